"""Receptive fields: what autograd says a unit depends on, and the figures that are published."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies_layers import texts
from torch import Tensor, nn
from torch.nn import functional

from striate.account import Axis, Field
from striate.account.field import Sight, fields, hull
from striate.build import build
from striate.layers import Join, Volume
from striate.modules import Take
from striate.network import Network, read
from striate.steps import INPUT, Step

quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

WINDOWS = frozenset(
    {"conv", "maxpool", "avgpool", "subsample", "pad", "relu", "bn", "id", "shortcut"}
)
SPREADING = WINDOWS | {"deconv", "upsample", "take", "dropout", "scale"}
SQUASHING = (nn.Tanh, nn.Sigmoid, nn.GELU, nn.LocalResponseNorm)
WIDE = st.sampled_from((Volume(60, 60, 1), Volume(48, 60, 2), Volume(61, 47, 1)))


class Summed(nn.Module):
    """In the place of a max pool: the sum of each window, so that every value in it counts."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, volume: Tensor) -> Tensor:
        pool, depth = self.pool, volume.shape[1]
        size = pool(volume).shape[2:]
        far = functional.pad(volume, (0, 9, 0, 9))  # rows made up by ceil
        ones = torch.ones(depth, 1, *pool.kernel_size, dtype=volume.dtype)
        summed = functional.conv2d(
            far, ones, None, pool.stride, pool.padding, pool.dilation, groups=depth
        )
        return summed[:, :, : size[0], : size[1]]


class Mixed(nn.Module):
    """In the place of `take`: a field is a volume's, whichever of its channels sees how far."""

    def __init__(self, take: Take) -> None:
        super().__init__()
        self.depth = len(take.channels)

    def forward(self, volume: Tensor) -> Tensor:
        return volume.sum(dim=1, keepdim=True).repeat(1, self.depth, *[1] * (volume.dim() - 2))


def linear(network: Network) -> nn.Module:
    """The module in float64 with positive weights, no biases, and no maxima: a linear map."""
    module = build(network).double().eval()
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.MaxPool2d):
                parent.add_module(name, Summed(child))
            elif isinstance(child, nn.AdaptiveMaxPool2d):
                parent.add_module(name, nn.AdaptiveAvgPool2d(1))
            elif isinstance(child, Take):
                parent.add_module(name, Mixed(child))
            elif isinstance(child, SQUASHING):
                parent.add_module(name, nn.Identity())
    with torch.no_grad():
        for name, each in module.named_parameters():
            if name.endswith("bias"):
                each.zero_()
            else:
                each.abs_().add_(0.1)
    return module


def depends(network: Network, step: Step) -> tuple[Tensor, Tensor]:
    """A step's output on an image of ones, and the image, whose gradient says what is seen."""
    module = linear(network)
    height, width, depth = network.input
    image = torch.ones(1, depth, height, width, dtype=torch.float64, requires_grad=True)
    kept: list[Tensor] = []
    hook = module.get_submodule(step.name).register_forward_hook(
        lambda module, inputs, output: kept.append(output)
    )
    module(image)
    hook.remove()
    return kept[0].reshape(1, step.volume.depth, step.volume.height, step.volume.width), image


def extent(
    output: Tensor, image: Tensor, axis: int, unit: int, across: range
) -> tuple[int, int] | None:
    """The first and last row (or column) of the image on which units in one row depend."""
    chosen = (unit, slice(across.start, across.stop))
    lines = output[0, :, *(chosen if axis == 0 else chosen[::-1])]
    (gradient,) = torch.autograd.grad(lines.sum(), image, retain_graph=True)
    seen = (gradient[0].abs().sum(dim=0).sum(dim=1 - axis) > 0).nonzero().flatten().tolist()
    return (seen[0], seen[-1]) if seen else None


def interior(sight: Sight, units: int, size: int, margin: int) -> range:
    """The units whose view, and their neighbours', keeps a margin from the borders of the image."""
    if sight == Sight():  # nothing happens along this axis
        return range(units)
    found = []
    for unit in range(units):
        beside = range(unit - sight.period, unit + sight.period + 1)
        near = hull([sight.at(each) for each in beside])
        if near is None or (near[0] >= margin and near[1] < size - margin):
            found.append(unit)
    return range(found[0], found[-1] + 1) if found else range(0)


def compare(network: Network, step: Step, field: Field, margin: int) -> int:
    """Checks interior units of a step against autograd along both axes; returns how many."""
    output, image = depends(network, step)
    axes = (field.height, field.width)
    if any(axis.sight is None for axis in axes):
        return 0
    inside = [
        interior(axis.sight, step.volume[n], network.input[n], margin)
        for n, axis in enumerate(axes)
    ]
    if not all(
        any(axis.sight.at(unit) for unit in units) for axis, units in zip(axes, inside, strict=True)
    ):
        return 0  # none inside, or all of them see nothing
    checked = 0
    for n, axis in enumerate(axes):
        middle = len(inside[n]) // 2
        for unit in inside[n][max(0, middle - 3) : middle + 4]:
            found = extent(output, image, n, unit, inside[1 - n])
            assert found == axis.sight.at(unit), (step.name, n, unit)
            checked += 1
        period = axis.sight.period
        if len(inside[n]) >= 2 * period:
            first = inside[n][0]
            views = [extent(output, image, n, first + k, inside[1 - n]) for k in range(2 * period)]
            sizes = [view[1] - view[0] + 1 for view in views if view]
            assert max(sizes, default=0) == axis.size
            turned = [(a, b) for a, b in zip(views, views[period:], strict=False) if a and b]
            for before, after in turned:
                assert Fraction(after[0] - before[0], period) == axis.jump
    return checked


def same_jumps(network: Network, found: list[Field]) -> bool:
    """Whether all volumes that meet have the same jump: else their sum sees no regular pattern."""
    for step in network.steps:
        met = [Field() if index == INPUT else found[index] for index in step.inputs]
        if len({(field.height.jump, field.width.jump) for field in met}) > 1:
            return False
    return True


@quick
@given(texts(kinds=WINDOWS, most=4, input=WIDE, widest=64))
def test_windows_against_autograd(text: str) -> None:
    """Strides, dilation, even and rectangular kernels, padding and branches, unit by unit."""
    check(text)


@quick
@given(texts(kinds=SPREADING, most=4, input=WIDE, widest=64))
def test_upsampling_against_autograd(text: str) -> None:
    """The same with transposed convolutions and upsampling, where outputs take turns."""
    check(text)


SMALL = st.integers(1, 4)
UPWARDS = st.one_of(
    st.builds(
        "deconv{}x1-1/{}x1(dilation={}x1, pad={}x0)".format, SMALL, SMALL, SMALL, st.integers(0, 2)
    ),
    st.builds("upsample{}x1".format, SMALL),
    st.builds("upsample{}x1(bilinear)".format, SMALL),
)
DOWNWARDS = st.builds(
    "conv{}x1-1/{}x1(dilation={}x1, pad={}x0, floor)".format, SMALL, SMALL, SMALL, st.integers(0, 2)
)


@settings(quick, max_examples=150)
@given(UPWARDS, st.lists(UPWARDS | DOWNWARDS, min_size=1, max_size=2))
def test_chains_of_upsampling_against_autograd(first: str, others: list[str]) -> None:
    """Transposed convolutions with stride beyond the kernel, dilated, behind one another."""
    check(f"[60x1x1] {first} {' '.join(others)}")


@pytest.mark.parametrize(
    "text",
    [
        "[40x40x1] add(conv2-1/2(pad=0) | conv1-1/2(floor)) conv3-1",
        "[40x40x1] add(deconv4-1/2(pad=1) | upsample2) conv3-1(dilation=2)",
        "[40x40x1] concat(deconv3-1/3 | upsample3(bilinear) | deconv1-1/3(extra=2))",
        "[40x40x1] add(upsample2 conv3-1(pad=2, dilation=2) maxpool2 | conv5-1) conv2-1/2(pad=0)",
        "[40x38x1] concat(conv5x1-1 | conv4x3-1(pad=0x1) pad(1x0) conv2x1-1(pad=1x0))",
    ],
)
def test_unequal_paths_against_autograd(text: str) -> None:
    """Paths that take turns or are not aligned: a unit sees from the first to the last of all."""
    network = Network.parse(text)
    for step in network.steps:
        assert compare(network, step, fields(network.steps)[step.index], 8) > 0


def check(text: str) -> None:
    network = Network.parse(text)
    found = fields(network.steps)
    if not same_jumps(network, found):
        return
    jumps = [abs(axis.jump or 1) for field in found for axis in (field.height, field.width)]
    margin = int(3 * max(jumps)) + 3
    main = [step for step in network.main.steps() if not isinstance(step.layer, Join)]
    for step in {
        main[-1].index: main[-1],
        main[len(main) // 2].index: main[len(main) // 2],
    }.values():
        compare(network, step, found[step.index], margin)
    joins = [step for step in network.main.steps() if isinstance(step.layer, Join)]
    for step in joins[-1:]:
        compare(network, step, found[step.index], margin)


# -- over paths


def paths(steps: tuple[Step, ...], end: int) -> Iterator[list[Step]]:
    """Every way from the input to a step, joins left out."""
    if end == INPUT:
        yield []
        return
    step = steps[end]
    for index in set(step.inputs):
        for before in paths(steps, index):
            yield before if isinstance(step.layer, Join) else [*before, step]


def along(path: list[Step], axis: int) -> tuple[int, int, int]:
    """Size, jump and start over one path of windows: r <- r + D(F - 1)j, j <- jS (lecture 7)."""
    size, jump, start = 1, 1, 0
    for step in path:
        layer = step.layer
        if layer.kind in ("conv", "maxpool", "avgpool", "subsample"):
            slide = layer.slides(step.met)[axis]
            size += slide.dilation * (slide.kernel - 1) * jump
            start -= slide.padding * jump
            jump *= slide.stride
        elif layer.kind == "pad":
            start -= layer.border[axis] * jump
        elif layer.kind == "shortcut":
            jump *= layer.stride[axis]
    return size, jump, start


@quick
@given(texts(kinds=WINDOWS, most=4))
def test_smallest_over_paths(text: str) -> None:
    """The least and the most over all paths, each followed by the lecture's recurrence."""
    network = Network.parse(text)
    found = fields(network.steps)
    last = max(step.index for step in network.main.steps())
    every = list(paths(network.steps, last))
    for n, axis in enumerate((found[last].height, found[last].width)):
        views = [along(path, n) for path in every]
        meeting = len({jump for _, jump, _ in views}) == 1
        if network.steps[last].volume[n] > 1 and meeting:
            assert axis.smallest == min(size for size, _, _ in views)
            assert axis.jump == views[0][1]
            assert axis.start == min(start for _, _, start in views)
            last_seen = max(start + size for size, _, start in views)
            assert axis.size == last_seen - axis.start
            if axis.aligned:
                assert len({2 * start + size for size, _, start in views}) == 1


@pytest.mark.parametrize(
    ("text", "height", "width"),
    [
        ("[9x9x1] add(conv3-1 | id)", True, True),
        ("[9x9x1] add(conv3-1/2 | conv1-1/2)", True, True),
        ("[9x9x1] add(conv3-1(pad=0) | conv3-1(pad=0))", True, True),
        ("[9x9x1] add(conv3-1(pad=0) pad(1) | id)", True, True),
        ("[9x9x1] add(conv3x5-1(pad=0) pad(1x2) | id)", True, True),
        ("[8x8x1] add(conv2-1/2(pad=0) | conv1-1/2(floor))", False, False),
        ("[8x8x1] concat(maxpool2 | avgpool4/2(pad=1))", True, True),
        ("[8x8x1] add(conv1x2-1/1x2(pad=0) | conv1-1/1x2(floor))", True, False),
        # the projection of a residual block in the place of a pool: half a pixel apart
        ("[8x8x1] add(avgpool2 conv1-1 | shortcut-1/2(a))", False, False),
        ("[8x8x1] add(conv2-1(pad=0) pad(1) conv2-1(pad=0) | id)", True, True),
        ("[9x9x1] add(maxpool3/1(pad=1) | conv3-1(pad=2, dilation=2))", True, True),
        ("[8x8x1] add(upsample2 conv2-1/2(pad=0) | id)", True, True),
        ("[8x8x1] add(upsample2 conv1-1/2(floor) | id)", True, True),
        ("[8x8x1] add(deconv2-1/2 | upsample2)", True, True),
        ("[8x8x1] add(deconv4-1/2(pad=1) | upsample2)", False, False),
        ("[8x8x1] add(deconv4-1/2(pad=1) | upsample2(bilinear))", True, True),
        # 8x8 twice, but one path sees every other pixel
        ("[16x16x1] add(conv1-1/2(floor) | conv9-1(pad=0))", False, False),
    ],
)
def test_misalignment_is_reported(text: str, height: bool, width: bool) -> None:
    """Paths that meet are aligned where they are centred on the same pixels, along each axis."""
    network = Network.parse(text)
    field = network.account().rows[-1].field
    assert (field.height.aligned, field.width.aligned) == (height, width)
    assert field.aligned == (height and width)


def test_misalignment_stays_reported() -> None:
    """Every later layer sees through the paths that are not aligned."""
    account = Network.parse(
        "[8x8x1] add(conv2-1/2(pad=0) | conv1-1/2(floor)) relu conv3-1 fc-2"
    ).account()
    assert [row.field.aligned for row in account.rows[-3:]] == [False, False, False]


@pytest.mark.parametrize(
    "text",
    [
        "[8x8x2] add(avgpool conv1-3 | fc-3)",
        "[8x8x2] concat(conv8-3(pad=0) | avgpool | maxpool8/3(pad=0) | flatten)",
        "[8x8x2] conv3-2(pad=0) conv3-2/2(pad=0, floor) add(maxpool2 | conv2-2(pad=0))",
    ],
)
def test_one_position_has_no_jump_to_disagree_about(text: str) -> None:
    """Branches that end in one position see the same, however they came there."""
    field = Network.parse(text).account().rows[-1].field
    assert field.aligned
    assert field.height.start == 0


def test_squeeze_and_excitation() -> None:
    """A global pool spread over the volume again lets every unit see the whole image."""
    text = "[8x6x2] conv3-2 add(avgpool conv1-2 sigmoid upsample8x6 | id)"
    field = Network.parse(text).account().rows[-1].field
    assert field.height.smallest == 3
    assert field.height.sight.at(0) == (-1, 8)
    assert field.height.sight.at(7) == (-1, 8)
    assert field.width.sight.at(5) == (-1, 6)


def test_a_gate_lets_every_output_see_what_it_saw() -> None:
    """Squeeze and excitation: behind the product, and the residual sum, all see everything."""
    text = (
        "[8x6x2] conv3-2 add(conv3-2 mul(id | avgpool conv1-2 sigmoid) | id) tanh conv3-2"
        " add(maxpool3/1(pad=1) | id)"
    )
    network = Network.parse(text)
    found = {
        step.name: field for step, field in zip(network.steps, fields(network.steps), strict=True)
    }
    for name in ("add1.branch1.mul1", "add1", "conv1", "conv2", "add2"):
        axes = found[name].height, found[name].width
        if name != "conv1":
            seen = [[axis.sight.at(unit) for unit in range(6)] for axis in axes]
            assert seen == [[(-2, 9)] * 6, [(-2, 7)] * 6], name
            assert [(axis.jump, axis.aligned) for axis in axes] == [(0, True)] * 2
    assert found["add1"].height.smallest == 3
    # and so says autograd, within the image
    output, image = depends(network, network.steps[-1])
    for unit in range(6):
        assert extent(output, image, 0, unit, range(unit, unit + 1)) == (0, 7)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        # the gate has seen one row alone: what an output sees follows no pattern
        ("[8x8x2] mul(id | conv1-2/8(floor))", (None, None)),
        # two gates, and each output between them
        ("[8x8x2] mul(avgpool | id | maxpool)", (8, 8)),
        # a gate for each row: rows follow a pattern still
        ("[8x8x2] conv3-2 mul(id | maxpool1x8)", (3, 10)),
        # paths that have seen more than the gate
        ("[8x8x2] x: id mul(id | avgpool) concat(id | @x conv3-2)", (None, None)),
        ("[8x8x2] x: id mul(conv3-2 | @x conv3-2 avgpool) concat(id | @x conv3-2)", (10, 10)),
    ],
)
def test_what_is_seen_through_a_product(text: str, size: tuple[int | None, int | None]) -> None:
    """Every output sees all that the gate saw, where that is all that the others see."""
    assert Network.parse(text).account().rows[-1].field.size == size


# -- known figures


@pytest.mark.parametrize(
    ("name", "row", "size", "jump", "start"),
    [
        # Araujo, Norris, Sim 2019, distill.pub/2019/computing-receptive-fields: padding 90
        ("vgg16", "maxpool5", 212, 32, -90),
        # the same table, AlexNet v2: padding 64
        ("alexnet-lecture", "maxpool3", 195, 32, -64),
        # torchvision's stride in the 3x3 convolution, and the released model's in the first 1x1
        ("resnet50-torchvision", "bottleneck16.relu1", 427, 32, None),
        ("resnet50", "bottleneck16.relu1", 483, 32, None),
    ],
)
def test_published_fields(name: str, row: str, size: int, jump: int, start: int | None) -> None:
    """Receptive fields that others have published for the last volume before the classifier."""
    rows = {each.name: each for each in read(name).account().rows}
    field = rows[row].field
    assert field.size == (size, size)
    assert field.height.jump == field.width.jump == jump
    assert start is None or field.height.start == field.width.start == start
    assert field.aligned


@pytest.mark.parametrize(("count", "size"), [(1, 3), (2, 5), (3, 7)])
def test_three_by_three_stacked(count: int, size: int) -> None:
    """Two 3x3 convolutions see 5x5 and three see 7x7 (CS231n, lecture 7)."""
    network = Network.parse(f"[32x32x3] (conv3-8 relu)*{count}")
    assert network.account().rows[-1].field.size == (size, size)


def test_offset_and_start() -> None:
    """The start is in the padding, the offset is the centre of what the first unit sees."""
    height = Network.parse("[32x32x1] conv4-1/2(pad=1)").account().rows[-1].field.height
    assert (height.size, height.jump, height.start) == (4, 2, -1)
    assert height.offset == Fraction(1, 2)


def test_jump_below_one() -> None:
    """Behind an upsampling by 2 there are two units to a pixel."""
    field = Network.parse("[8x8x1] upsample2").account().rows[-1].field
    assert field.height.jump == Fraction(1, 2)
    assert field.size == (1, 1)


def test_units_that_see_nothing() -> None:
    """A transposed convolution with a stride beyond its kernel leaves holes."""
    height = Network.parse("[8x8x1] deconv1-1/2").account().rows[-1].field.height
    assert [height.sight.at(unit) for unit in range(4)] == [(0, 0), None, (1, 1), None]


@pytest.mark.parametrize(
    "text", ["[9x7x2] conv3-2(pad=0) fc-3", "[9x7x2] conv3-2(pad=0) avgpool fc-3 bn relu fc-2"]
)
def test_behind_a_dense_layer(text: str) -> None:
    """A fully connected unit sees the whole image."""
    network = Network.parse(text)
    field = network.account().rows[-1].field
    assert field.size == (9, 7)
    step = next(step for step in network.steps if step.layer.kind == "fc")
    output, image = depends(network, step)
    assert extent(output, image, 0, 0, range(1)) == field.height.sight.at(0) == (0, 8)
    assert extent(output, image, 1, 0, range(1)) == field.width.sight.at(0) == (0, 6)


def test_patterns_too_long_to_follow_are_unknown() -> None:
    """Where outputs take more turns than can be followed the field is unknown, not wrong."""
    field = Network.parse("[1x1x1] upsample50x1 (upsample50x1 conv3-1)*1").account().rows[-1].field
    assert field.height.sight is None
    assert (field.height.size, field.height.jump, field.height.start) == (None, None, None)
    assert field.width.size == 3


def test_labels_are_paths_too() -> None:
    """A volume that waits under a label brings its own view along."""
    text = "[20x20x1] x: conv3-1 conv3-1 y: conv3-1 add(@x | @y) concat(id | @x conv5-1)"
    field = Network.parse(text).account().rows[-1].field
    assert (field.height.size, field.height.smallest) == (7, 3)


def test_an_axis_alone() -> None:
    """The input sees itself."""
    assert Field().size == (1, 1)
    assert Axis().offset == Axis().start == 0


def test_unlike_jumps_are_unknown() -> None:
    """Behind a join of paths that step differently no pattern holds, and none is claimed."""
    text = "[32x32x8] concat(conv3-8/2(floor) | conv17-8(pad=0)) conv3-8"
    last = Network.parse(text).account().rows[-1]
    assert last.field.size == (None, None)
    assert not last.field.aligned


def test_paths_of_other_periods_may_share_their_centres() -> None:
    """A pool and a transposed convolution that undoes it are centred as a plain convolution is."""
    text = "[7x7x8] add( maxpool3/2(pad=1) deconv3-8/2(pad=1) | conv7-8 )"
    last = Network.parse(text).account().rows[-1]
    assert last.field.aligned


def test_a_long_chain_of_upsampling_is_counted_once() -> None:
    """Every stage repeats the first one's pattern, and is not worked out again."""
    account = Network.parse("[64x64x1] (upsample1023 maxpool1023)*50").account()
    assert len(account.rows) == 101
