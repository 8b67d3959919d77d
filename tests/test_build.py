"""The module is the network: its volumes, names and counts are those of the table."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import strategies
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strategies_layers import (
    EVERY,
    SETTINGS,
    fitting,
    pairs,
    text_of,
    texts,
    volumes,
)
from torch import Tensor, nn
from torch.nn import functional

from striate.build import build
from striate.codes import codes
from striate.containers import PartialConvolution
from striate.errors import StriateError
from striate.initialise import INITIALISATIONS, fans, initialise
from striate.kinds import MODULES
from striate.layers import JOINS, KINDS, Conv, Volume
from striate.modules import CeilConv2d
from striate.network import Network, read

quick = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
EITHER = st.one_of(texts(), strategies.texts())


def images(network: Network, batch: int = 2, device: str = "cpu") -> Tensor:
    """A batch of noise that the network takes."""
    height, width, depth = network.input
    if device == "meta":
        return torch.empty(batch, depth, height, width, device="meta")
    return torch.randn(batch, depth, height, width)


def seen_volumes(network: Network, module: nn.Module, batch: Tensor) -> dict[str, tuple[int, ...]]:
    """The shape that every named submodule gives in one pass, without the batch."""
    seen: dict[str, tuple[int, ...]] = {}

    def keep(name: str):
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            seen[name] = tuple(output.shape[1:])

        return hook

    hooks = [
        each.register_forward_hook(keep(plain(name)))
        for name, each in module.named_modules()
        if name
    ]
    module(batch)
    for hook in hooks:
        hook.remove()
    return seen


def plain(name: str) -> str:
    """A name without the underscores that set a label apart from torch's own names."""
    return ".".join(part.rstrip("_") for part in name.split("."))


def shapes_of(volume: Volume) -> set[tuple[int, ...]]:
    """A volume as PyTorch holds it; one position may be flat."""
    spatial = (volume.depth, volume.height, volume.width)
    return {spatial, (volume.depth,)} if volume[:2] == (1, 1) else {spatial}


# -- the module against the table


@quick
@given(EITHER, st.sampled_from(("meta", "cpu")))
def test_volumes_and_names_of_every_step(text: str, device: str) -> None:
    """Every row of the table is a submodule of its name that gives its volume."""
    network = Network.parse(text)
    module = build(network).to(device)
    module.train()
    seen = seen_volumes(network, module, images(network, device=device))
    for step in network.steps:
        if not network.apart(step):
            assert seen[plain(step.name)] in shapes_of(step.volume), step
    rows = {plain(step.name) for step in network.steps}
    helpers = {name for name in seen if name not in rows}
    for name, each in ((plain(name), each) for name, each in module.named_modules()):
        if name in helpers and not any(row.startswith(f"{name}.") for row in rows):
            inside_a_row = any(name.startswith(f"{row}.") for row in rows)
            assert inside_a_row or not list(each.parameters()), name


@quick
@given(EITHER)
def test_parameters_of_every_row(text: str) -> None:
    """Each row's weights, biases and buffers are those of the submodule of its name."""
    network = Network.parse(text)
    module = build(network)
    account = network.account()
    modules = {plain(name): each for name, each in module.named_modules()}
    every = [*account.rows[1:], *(row for rows in account.heads.values() for row in rows)]
    final = {step.name for step in network.steps if network.apart(step)}
    for row in every:
        if row.name in final or row.kind in JOINS:
            assert row.parameters == row.buffers == 0
            continue
        found = Counter(
            {
                name.rpartition(".")[2]: value.numel()
                for name, value in modules[plain(row.name)].named_parameters()
            }
        )
        if row.kind in ("bn", "layernorm", "groupnorm"):
            assert (row.weights, row.biases) == (0, found["weight"] + found["bias"])
        else:
            assert (row.weights, row.biases) == (found["weight"], found["bias"])
        buffers = dict(modules[plain(row.name)].named_buffers())
        learned_beside = [
            v for k, v in buffers.items() if k not in ("channels", "num_batches_tracked")
        ]
        assert row.buffers == sum(each.numel() for each in learned_beside)
    total = sum(each.numel() for each in module.parameters())
    assert account.totals.parameters_with_heads == total
    heads = set(map(plain, account.heads))
    first = {name: plain(name.partition(".")[0]) for name, _ in module.named_parameters()}
    alone = sum(
        each.numel() for name, each in module.named_parameters() if first[name] not in heads
    )
    assert account.totals.parameters == alone


@quick
@given(EITHER)
def test_state_dict_keys_are_names(text: str) -> None:
    """Every key of the state is a row's name and the parameter's; the text decides them all."""
    network = Network.parse(text)
    keys = list(build(network).state_dict())
    assert keys == list(build(Network.parse(str(network))).state_dict())
    rows = {plain(step.name) for step in network.steps}
    for key in keys:
        name = plain(key.rpartition(".")[0])
        assert name in rows or name.rpartition(".")[0] in rows, key


@quick
@given(EITHER)
def test_prediction_is_a_distribution(text: str) -> None:
    """Probabilities sum to 1 over the depth and are the softmax of the scores."""
    network = Network.parse(text)
    # 0/0 is no number: without k nothing is left of a volume of zeros, or of what is nearly so.
    assume(all(getattr(each.layer, "k", 1) for each in network.steps))
    module = build(network, "small")
    batch = images(network)
    for training in (True, False):
        module.train(training)
        probabilities = module.probabilities(batch)
        torch.testing.assert_close(
            probabilities.sum(dim=1), torch.ones_like(probabilities.sum(dim=1)), rtol=0, atol=1e-5
        )


@quick
@given(EITHER)
def test_heads_only_in_training(text: str) -> None:
    """In training a network with heads gives a dict of scores; otherwise its own scores alone."""
    network = Network.parse(text)
    module = build(network)
    scores = module.eval()(images(network))
    assert isinstance(scores, Tensor)
    assert tuple(scores.shape[1:]) in shapes_of(network.output)
    trained = module.train()(images(network))
    if not network.expansion.heads:
        assert isinstance(trained, Tensor)
        return
    assert list(trained) == ["main", *network.expansion.heads]
    for name, index in network.expansion.head_outputs.items():
        volume = network.input if index < 0 else network.steps[index].volume
        assert tuple(trained[name].shape[1:]) in shapes_of(volume)


@quick
@given(st.data())
def test_every_kind(data: st.DataObject) -> None:
    """Each kind alone: its word is read back, its volume and parameters are the real module's."""
    for kind in EVERY:
        met = data.draw(volumes())
        given_settings = SETTINGS[kind](data.draw, met) if kind in SETTINGS else {}
        layer = fitting(KINDS[kind](**given_settings), met)
        if layer is None:
            continue
        network = Network.parse(f"[{met}] {text_of(layer)}")
        stated = network.steps[0].stated
        assert Network.parse(str(network)) == network == Network.of(met, layer)
        assert kind == "shortcut" or text_of(stated) == text_of(layer)
        module = build(network).train()
        assert tuple(module(images(network)).shape[1:]) in shapes_of(layer.volume(met))
        learned = sum(each.numel() for each in module.parameters())
        assert learned == sum(step.layer.parameters(step.met).total for step in network.steps)


def test_every_kind_has_a_module() -> None:
    """No kind of layer is left without its module."""
    assert set(MODULES) == {KINDS[kind] for kind in EVERY}


# -- names


@pytest.mark.parametrize(
    "label", ["forward", "train", "heads", "flow", "append", "training", "keeps"]
)
def test_labels_that_torch_needs_itself(label: str) -> None:
    """A label may be a word that modules use: its submodule gets an underscore."""
    text = f"b() = {label}: conv3-4 relu\n[4x4x3] {label}: conv3-4 b b fc-2"
    module = build(Network.parse(text))
    assert module(torch.randn(2, 3, 4, 4)).shape == (2, 2)
    assert {f"{label}_.weight", f"b1.{label}_.weight"} <= set(module.state_dict())


def test_labels_that_differ_by_an_underscore() -> None:
    """Setting a label apart from torch's own names never makes two labels the same."""
    names = ["forward", "forward_", "requires_grad", "requires_grad_", "requires_grad__", "__init"]
    network = Network.parse("[4x4x3] " + " ".join(f"{each}: conv1-3" for each in names))
    module = build(network)
    assert len(list(module.children())) == len(names)
    assert module(torch.randn(2, 3, 4, 4)).shape == (2, 3, 4, 4)


@pytest.mark.parametrize(
    "text",
    [
        "[4x4x3] fc1_input: conv3-3 fc-3 fc1_input_: fc-5",
        "[4x4x3] fc-3 conv1_input: conv1-3 conv1-3",
        "[4x4x3] x: conv3-3 y: relu @x tanh_from: conv1-3 tanh1_from: relu tanh add(id | @y)",
        "[4x4x3] exit_from: conv3-3 x: relu concat(id | exit: relu add(id | @x))",
        "[4x4x3] input: conv3-3 add(id | @input conv3-3)",
        "[4x4x3] branch3: conv3-3 add(branch1: relu | branch2: conv1-3)",
    ],
)
def test_labels_like_the_helpers(text: str) -> None:
    """Labels may be called like the modules that reshape or recall a volume."""
    network = Network.parse(text)
    module = build(network)
    seen = seen_volumes(network, module, images(network))
    assert {plain(step.name) for step in network.steps} <= set(seen)


def test_names_never_meet() -> None:
    """Blocks `b` and `b1` called often do not end at the same name."""
    network = Network.parse("b() = conv1-3\nb1() = conv1-3\n[4x4x3] b1 " + "b " * 12)
    assert len({step.name for step in network.steps}) == 13
    assert len(build(network).state_dict()) == 26


def test_a_head_has_a_name_of_its_own() -> None:
    """A head's scores come under its name, whatever torch calls its own attributes."""
    network = Network.parse("[4x4x3] a: conv3-3 relu fc-2\nhead train from @a: fc-5")
    scores = build(network).train()(torch.randn(2, 3, 4, 4))
    assert {name: tuple(each.shape) for name, each in scores.items()} == {
        "main": (2, 2),
        "train": (2, 5),
    }


# -- softmax apart


def test_final_softmax_is_apart() -> None:
    """Scores are what the softmax meets; probabilities are what it gives."""
    module = build(Network.parse("[4x4x3] fc-5 softmax")).eval()
    batch = torch.randn(2, 3, 4, 4)
    scores = module(batch)
    torch.testing.assert_close(scores, module.get_submodule("fc1")(batch.flatten(1)))
    torch.testing.assert_close(module.probabilities(batch), torch.softmax(scores, dim=1))
    assert "softmax1" not in dict(module.named_modules())


def test_softmax_that_something_reads_is_not_apart() -> None:
    """A last softmax whose probabilities a head reads is a layer like any other."""
    network = Network.parse("[4x4x3] fc-5 x: softmax\nhead h from @x: fc-2")
    scores = build(network).train()(torch.randn(2, 3, 4, 4))
    torch.testing.assert_close(scores["main"].sum(dim=1), torch.ones(2))
    assert scores["h"].shape == (2, 2)


def test_a_softmax_apart_need_not_be_the_last_word() -> None:
    """Where the text goes back to it by its label, the scores are those that it met."""
    network = Network.parse("[8x8x1] a: fc-10 s: softmax @a y: relu @s\nhead h from @y: fc-2")
    module = build(network).train()
    images = torch.randn(4, 1, 8, 8)
    scores = module(images)["main"]
    torch.testing.assert_close(scores, module.a(images.flatten(1)))
    assert scores.min() < 0


def test_a_head_keeps_its_name_from_helpers() -> None:
    """The module that flattens before fc1 gives way to a head of that name."""
    network = Network.parse("[8x8x1] x: conv3-8 relu fc-10 softmax\nhead fc1_input from @x: fc-2")
    scores = build(network).train()(torch.randn(2, 1, 8, 8))
    assert {name: tuple(each.shape) for name, each in scores.items()} == {
        "main": (2, 10),
        "fc1_input": (2, 2),
    }


# -- what single layers compute


@quick
@given(volumes(2, 9), pairs(1, 4), pairs(1, 3), pairs(0, 2), st.sampled_from(("floor", "ceil")))
def test_rounded_convolution(met: Volume, kernel, stride, pad, rounding: str) -> None:
    """Floor leaves the last rows out; ceil adds zeros until the last window is whole."""
    layer = fitting(
        Conv(kernel=kernel, filters=2, stride=stride, pad=pad, rounding=rounding, bias="no"), met
    )
    if layer is None or layer.rounding != rounding:
        return
    module = build(Network.of(met, layer))
    batch = torch.randn(2, met.depth, met.height, met.width)
    found = module(batch)
    pad = layer.pad
    room = [met[axis] + 2 * pad[axis] - kernel[axis] for axis in (0, 1)]
    counts = [math.floor(room[axis] / stride[axis]) + 1 for axis in (0, 1)]
    if rounding == "ceil":
        for axis in (0, 1):  # Caffe: a further window if it starts inside the volume
            if room[axis] % stride[axis] and counts[axis] * stride[axis] < met[axis] + pad[axis]:
                counts[axis] += 1
    padded = functional.pad(batch, (pad.width, pad.width + 9, pad.height, pad.height + 9))
    weight = next(module.parameters())
    expected = functional.conv2d(padded, weight, stride=tuple(stride))
    expected = expected[:, :, : counts[0], : counts[1]]
    torch.testing.assert_close(found.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)


def windows(met: Volume, layer) -> list[list[list[tuple[int, int]]]]:
    """For each output of a pool, the positions in the padded volume that its window reaches."""
    rows, columns = layer.positions(met)
    height, width = layer.slides(met)
    return [
        [
            [
                (i * height.stride + a * height.dilation, j * width.stride + b * width.dilation)
                for a in range(height.kernel)
                for b in range(width.kernel)
            ]
            for j in range(columns)
        ]
        for i in range(rows)
    ]


@quick
@given(st.data(), st.sampled_from(("maxpool", "avgpool", "subsample")))
def test_pools_by_loops(data: st.DataObject, kind: str) -> None:
    """Max, mean and sum of each window, one position at a time."""
    met = data.draw(volumes(1, 6, 2))
    layer = fitting(KINDS[kind](**SETTINGS[kind](data.draw, met)), met)
    if layer is None:
        return
    module = build(Network.of(met, layer))
    batch = torch.randn(1, met.depth, met.height, met.width)
    with torch.no_grad():
        for each in module.parameters():
            each.uniform_(0.5, 1.5)
        found = module(batch).reshape(1, met.depth, *layer.positions(met))
    height, width = layer.slides(met)
    own = next(module.children())
    for d in range(met.depth):
        for i, row in enumerate(windows(met, layer)):
            for j, places in enumerate(row):
                inside = [
                    batch[0, d, a - height.padding, b - width.padding].item()
                    for a, b in places
                    if height.padding <= a < height.padding + met.height
                    and width.padding <= b < width.padding + met.width
                ]
                padded = [
                    1
                    for a, b in places
                    if a < met.height + 2 * height.padding and b < met.width + 2 * width.padding
                ]
                expected = {
                    "maxpool": lambda inside=inside: max(inside),
                    "avgpool": lambda inside=inside, padded=padded: (
                        sum(inside) / len(inside if layer.counted == "inside" else padded)
                    ),
                    "subsample": lambda inside=inside, d=d: (
                        sum(inside) * own.weight[d].item() + own.bias[d].item()
                    ),
                }[kind]()
                assert found[0, d, i, j].item() == pytest.approx(expected, abs=1e-5)


@quick
@given(
    volumes(1, 4, 6), st.integers(1, 6), st.sampled_from((0.1, 1.0)), st.sampled_from((1.0, 2.0))
)
def test_local_response_normalisation_by_loops(
    met: Volume, size: int, alpha: float, k: float
) -> None:
    """Krizhevsky et al. 2012, section 3.3: b_i = a_i / (k + alpha sum_j a_j^2)^beta."""
    module = build(Network.parse(f"[{met}] lrn({size}, alpha={alpha}, beta=0.75, k={k})"))
    batch = torch.randn(1, met.depth, met.height, met.width, dtype=torch.float64)
    found = module(batch).reshape(batch.shape)
    for i in range(met.depth):
        near = range(max(0, i - size // 2), min(met.depth - 1, i + (size - 1) // 2) + 1)
        if size % 2:  # the paper's sum, from i - n/2 to i + n/2, for the odd n that it means
            assert list(near) == [j for j in range(met.depth) if abs(i - j) <= size // 2]
        total = sum(batch[:, j] ** 2 for j in near)
        torch.testing.assert_close(found[:, i], batch[:, i] / (k + alpha * total) ** 0.75)


def test_scaled_tanh() -> None:
    """The squashing of LeNet-5 maps 1 to 1 and -1 to -1 (LeCun et al. 1998, equation 6)."""
    module = build(Network.parse("[1x2x1] scaledtanh"))
    found = module(torch.tensor([[[[1.0, -1.0]]]])).flatten()
    torch.testing.assert_close(found, torch.tensor([1.0, -1.0]), rtol=0, atol=1e-4)


def test_radial_basis_is_minus_the_squared_distance() -> None:
    """An `rbf` unit's score falls with the squared distance to its code, and is 0 at the code."""
    module = build(Network.parse("[1x1x84] rbf-10"))
    targets = torch.tensor(codes(10, 84), dtype=torch.float32)
    batch = torch.randn(3, 84)
    expected = -((batch[:, None, :] - targets[None]) ** 2).sum(dim=2)
    torch.testing.assert_close(module(batch[:, :, None, None]), expected, rtol=1e-5, atol=1e-4)
    scores = module(targets[:, :, None, None])
    assert scores.argmax(dim=1).tolist() == list(range(10))
    assert scores.diagonal().abs().max() < 1e-3


def test_take() -> None:
    """`take` gives the channels it names, in that order, again if named again."""
    module = build(Network.parse("[2x3x4] take(3, 0, 0)"))
    batch = torch.randn(2, 4, 2, 3)
    torch.testing.assert_close(module(batch), batch[:, [3, 0, 0]])


@pytest.mark.parametrize(
    ("word", "function"),
    [
        ("relu6", functional.relu6),
        ("elu(0.7)", lambda x: functional.elu(x, 0.7)),
        ("mish", lambda x: x * torch.tanh(torch.log1p(torch.exp(x)))),
        ("hardsigmoid", lambda x: (x + 3).clamp(0, 6) / 6),
        ("hardswish", lambda x: x * (x + 3).clamp(0, 6) / 6),
        (
            "gelu(tanh)",
            lambda x: x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x.pow(3)))),
        ),
        ("gelu", lambda x: x * torch.special.ndtr(x)),
        ("slice(1, 5)", lambda x: x[:, 1:5]),
        ("shuffle(3)", lambda x: x[:, [0, 2, 4, 1, 3, 5]]),
        ("pad(1x0, end=0x2)", lambda x: functional.pad(x, (0, 2, 1, 0))),
        (
            "layernorm(eps=1e-3)",
            lambda x: (
                (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, correction=0) + 1e-3).sqrt()
            ),
        ),
        ("groupnorm(2)", lambda x: functional.group_norm(x, 2)),
        ("layerscale(0.3)", lambda x: 0.3 * x),
    ],
)
def test_layers_by_their_formulas(word: str, function) -> None:
    """What the page of the notation says that they compute, on values of both signs."""
    batch = 3 * torch.randn(2, 6, 4, 5)
    found = build(Network.parse(f"[4x5x6] {word}"))(batch)
    torch.testing.assert_close(found, function(batch), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("last", [False, True])
def test_layer_normalisation_leaves_channels_where_they_lie(last: bool) -> None:
    """So that what follows neither copies nor converts; flat volumes are normalised alike."""
    batch = torch.randn(2, 6, 4, 5)
    batch = batch.contiguous(memory_format=torch.channels_last) if last else batch
    module = build(Network.parse("[4x5x6] layernorm"))
    assert module(batch).stride() == batch.stride()
    flat = build(Network.parse("[4x5x6] flatten layernorm"))
    expected = functional.layer_norm(batch.flatten(1), (120,))
    torch.testing.assert_close(flat(batch), expected)


@quick
@given(volumes(1, 7), pairs(1, 3), st.integers(0, 3))
def test_shortcut_a(met: Volume, stride, more: int) -> None:
    """Option A: every S-th row and column, and zeros for the new channels."""
    network = Network.parse(f"[{met}] shortcut-{met.depth + more}/{stride}(a)")
    batch = images(network)
    found = build(network)(batch)
    kept = batch[:, :, :: stride.height, :: stride.width]
    expected = torch.cat([kept, torch.zeros(2, more, *kept.shape[2:])], dim=1)
    torch.testing.assert_close(found.reshape(expected.shape), expected)


@pytest.mark.parametrize(
    ("option", "width", "learned"), [("a", 3, 0), ("b", 3, 0), ("c", 3, 9 + 6), ("b", 5, 15 + 10)]
)
def test_shortcut_b_and_c(option: str, width: int, learned: int) -> None:
    """B projects where the volume changes, C everywhere: a 1x1 convolution and normalisation."""
    network = Network.parse(f"[4x4x3] shortcut-{width}({option})")
    module = build(network).eval()
    assert sum(each.numel() for each in module.parameters()) == learned
    batch = images(network)
    if not learned:
        torch.testing.assert_close(module(batch), batch)
        return
    expected = functional.conv2d(batch, module.get_submodule("conv1").weight)
    torch.testing.assert_close(module(batch), expected / math.sqrt(1 + 1e-5))


def test_point_bias() -> None:
    """`bias=point` learns one bias for each position, shared by all filters (AlphaGo)."""
    module = build(Network.parse("[3x2x4] conv1-5(bias=point)"))
    bias = module.get_parameter("conv1.point.bias")
    with torch.no_grad():
        bias.copy_(torch.arange(6.0).reshape(3, 2))
    batch = torch.zeros(1, 4, 3, 2)
    torch.testing.assert_close(module(batch)[0], bias.detach().expand(5, 3, 2))


@pytest.mark.parametrize(
    "text",
    [
        "[4x4x3] concat(fc-3 | conv4-4(pad=0)) conv1-2",
        "[4x4x3] add(avgpool conv1-4 | fc-4 | fc-2 fc-4)",
        "[4x4x3] x: conv1-5 concat(fc-3 add(fc-4 | @x fc-4) | conv4-4(pad=0))",
        "[4x4x3] flatten bn take(0, 5) conv1-3 flatten add(id | fc-3) upsample4",
        "[2x2x3] fc-12 upsample2 lrn maxpool2 relu fc-3",
    ],
)
def test_flat_and_spatial_meet(text: str) -> None:
    """A volume of one position is the same volume, flat or not, wherever branches meet."""
    network = Network.parse(text)
    module = build(network)
    seen = seen_volumes(network, module, images(network))
    assert all(seen[step.name] in shapes_of(step.volume) for step in network.steps)


def test_dropout_only_in_training() -> None:
    """Dropout leaves a prediction alone and keeps the mean in training."""
    module = build(Network.parse("[50x50x2] dropout(0.25)"))
    batch = torch.ones(2, 2, 50, 50)
    torch.testing.assert_close(module.eval()(batch), batch)
    trained = module.train()(batch)
    assert trained.unique().tolist() == pytest.approx([0, 4 / 3])
    assert trained.mean().item() == pytest.approx(1, abs=0.05)


# -- the module as torch's own tools take it


@pytest.mark.parametrize(
    "text",
    [
        "b(k) = add(conv3-k bn relu conv3-k bn | shortcut-k) relu\n[6x6x3] b(4)*2 avgpool fc-3",
        "[6x6x3] x: conv3-4 relu y: conv3-4 tanh add(id | @x | @y) fc-3\nhead h from @y: fc-2",
    ],
)
def test_export(text: str) -> None:
    """torch.export takes the module and gives the same scores."""
    network = Network.parse(text)
    module = build(network).eval()
    batch = images(network)
    exported = torch.export.export(module, (batch,))
    torch.testing.assert_close(exported.module()(batch), module(batch))


def test_printed_structure_follows_the_text() -> None:
    """Blocks, labels and branches stand in the module as in the text."""
    network = Network.parse(
        "basic(k) = add(conv3-k bn | id) relu\n[4x4x3] stem: conv3-4 basic(4)*2 fc-2 softmax"
    )
    module = build(network)
    assert [name for name, _ in module.named_children()] == [
        "stem",
        "basic1",
        "basic2",
        "fc1_input",
        "fc1",
    ]
    assert isinstance(module.get_submodule("basic2.add1.branch1.conv1"), nn.Conv2d)
    assert "(basic1): Chain(" in repr(module)


# -- how weights start


def test_same_seed_same_weights() -> None:
    """The weights are torch's generator's: the same seed gives the same, another seed others."""
    network = read("lenet5")
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(torch.cat([each.flatten() for each in build(network).parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize(
    ("scheme", "word", "deviation"),
    [
        ("he", "conv3-200", math.sqrt(2 / (9 * 20))),
        ("xavier", "conv3-200", math.sqrt(2 / (9 * 220))),
        ("fan-in", "conv3-200", math.sqrt(1 / (9 * 20))),
        ("small", "conv3-200", 0.01),
        ("he", "fc-30", math.sqrt(2 / (20 * 64))),
        ("xavier", "fc-30", math.sqrt(2 / (20 * 64 + 30))),
        ("he", "conv3-200(groups=2)", math.sqrt(2 / (9 * 10))),
        # a transposed convolution's output sums K^2/S^2 taps of each channel
        ("he", "deconv4-200/2(pad=1)", math.sqrt(2 / (20 * 16 / 4))),
        ("he", "deconv3-200", math.sqrt(2 / (20 * 9))),
    ],
)
def test_deviation_of_the_weights(scheme: str, word: str, deviation: float) -> None:
    """Weights have mean 0 and the scheme's standard deviation; biases are 0."""
    torch.manual_seed(0)
    module = build(Network.parse(f"[8x8x20] {word}"), scheme)
    weight = next(each for name, each in module.named_parameters() if name.endswith("weight"))
    assert weight.mean().item() == pytest.approx(0, abs=4 * deviation / math.sqrt(weight.numel()))
    assert weight.std().item() == pytest.approx(deviation, rel=0.03)
    assert not any(each.any() for name, each in module.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("word", ["conv3-64", "deconv4-64/2(pad=1)", "conv3-64/2(floor)", "fc-400"])
def test_he_keeps_the_variance(word: str) -> None:
    """Behind a ReLU, He's weights keep the mean square of what they meet (interior units)."""
    torch.manual_seed(0)
    module = build(Network.parse(f"[16x16x64] {word}"))
    batch = torch.relu(torch.randn(4, 64, 16, 16)) * math.sqrt(2)  # mean square 1
    found = module(batch)
    inside = found[:, :, 2:-2, 2:-2] if found.dim() == 4 else found
    assert inside.square().mean().item() == pytest.approx(2, rel=0.1)


@quick
@given(st.data())
def test_fans_count_what_is_summed(data: st.DataObject) -> None:
    """Fan-in is how many values one interior output sums, fan-out how many one input reaches."""
    kind = data.draw(st.sampled_from(("conv", "deconv")))
    met = Volume(20, 20, data.draw(st.integers(1, 4)))
    kernel, stride = data.draw(pairs(1, 4)), data.draw(pairs(1, 2))
    if kind == "deconv" and any(f % s for f, s in zip(kernel, stride, strict=True)):
        return  # outputs take turns with differing numbers of taps
    if kind == "conv" and any(f % s for f, s in zip(kernel, stride, strict=True)):
        return
    options = {"rounding": "floor"} if kind == "conv" else {}
    layer = KINDS[kind](kernel=kernel, filters=3, stride=stride, pad=(0, 0), bias="no", **options)
    module = next(build(Network.of(met, layer)).children())
    with torch.no_grad():
        module.weight.fill_(1)
    seen, reached = fans(module)
    batch = torch.ones(1, met.depth, 20, 20, requires_grad=True)
    found = module(batch)
    assert found[0, 0, found.shape[2] // 2, found.shape[3] // 2].item() == seen
    found.sum().backward()
    assert batch.grad[0, 0, 10, 10].item() == reached


def test_constant_start_keeps_units_equal() -> None:
    """From equal weights every filter of a layer gets the same gradient: they never differ."""
    network = Network.parse("[6x6x2] conv3-4 relu conv3-4 tanh fc-3")
    module = build(network, "constant")
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        functional.cross_entropy(
            module(images(network, 5)), torch.tensor([0, 1, 2, 0, 1])
        ).backward()
        optimiser.step()
    first = module.get_parameter("conv1.weight")
    torch.testing.assert_close(first, first[:1].expand_as(first))
    assert (first != 0.01).any()


def test_initialise_by_name() -> None:
    """The schemes go by name, and an unknown one is said with those known."""
    assert {"he", "xavier", "small", "constant"} <= set(INITIALISATIONS)
    with pytest.raises(StriateError, match="there is no initialisation 'no such'"):
        initialise(nn.Linear(2, 2), "no such")


def test_subsampling_starts_as_the_average() -> None:
    """LeNet-5's subsampling starts as an average pool."""
    module = build(Network.parse("[6x4x3] subsample2x2/2"))
    batch = torch.randn(2, 3, 6, 4)
    torch.testing.assert_close(module(batch), functional.avg_pool2d(batch, 2))


def test_ceil_convolution_only_where_rows_are_made_up() -> None:
    """A plain Conv2d serves wherever no rows are made up."""
    assert (
        type(next(build(Network.parse("[7x7x1] conv3-2/2(pad=0, ceil)")).children())) is nn.Conv2d
    )
    assert (
        type(next(build(Network.parse("[8x8x1] conv3-2/2(pad=0, ceil)")).children())) is CeilConv2d
    )


# -- LeNet-5's C3: branches that see some channels


@pytest.mark.parametrize(
    "text",
    [
        "[14x14x6] concat(take(0, 1, 2) conv5-1(pad=0) | take(5, 0) conv5-3(pad=0))",
        "[9x8x5] concat(take(3) conv3-2/2(floor) | take(2, 0, 1) conv3-1/2(floor) | take(1) "
        "conv3-4/2(floor)) relu",
        "[5x5x4] concat(take(2) conv1-1(bias=no) | take(0, 3) conv1-2(bias=no))",
    ],
)
def test_a_partial_convolution_trains_as_its_branches_would(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """One convolution in the place of several: output, gradients and names are the same."""
    network = read(text)
    whole = build(network).train()
    monkeypatch.setattr("striate.build._partial", lambda branches: False)
    apart = build(network).train()
    kinds = [{type(each) for each in module.modules()} for module in (whole, apart)]
    assert [PartialConvolution in kind for kind in kinds] == [True, False]
    assert whole.state_dict().keys() == apart.state_dict().keys()
    apart.load_state_dict(whole.state_dict())
    given = [images(network, 3).requires_grad_()]
    given.append(given[0].detach().clone().requires_grad_())
    outputs = [module(each) for module, each in zip((whole, apart), given, strict=True)]
    assert torch.allclose(*outputs, atol=1e-5)
    back = torch.randn_like(outputs[0])
    for output in outputs:
        output.backward(back)
    assert torch.allclose(given[0].grad, given[1].grad, atol=1e-5)
    for ours, theirs in zip(whole.parameters(), apart.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-4)


def test_a_partial_convolution_predicts_branch_by_branch() -> None:
    """So that each branch can be looked at; in training none of them runs."""
    network = read("lenet5")
    module = build(network)
    (c3,) = partial_parts(module)
    convolutions = [name for name, each in module.named_modules() if isinstance(each, nn.Conv2d)]
    inner = [name for name in convolutions if name.startswith(f"{c3}.")]
    assert len(inner) == 16
    ran: list[str] = []
    for name in inner:
        module.get_submodule(name).register_forward_hook(lambda *_, name=name: ran.append(name))
    module.train()(images(network))
    assert ran == []
    module.eval()(images(network))
    assert ran == inner


def partial_parts(module: nn.Module) -> list[str]:
    return [name for name, each in module.named_modules() if isinstance(each, PartialConvolution)]


@pytest.mark.parametrize(
    "branches",
    [
        "take(0, 0) conv3-2 | take(1) conv3-2",  # would have to be summed
        "take(0) conv3-2 | take(1) conv5-2",
        "take(0) conv3-2 | take(1) conv3-2(bias=no)",
        "take(0) conv3-2 relu | take(1) conv3-2 relu",
        "conv3-2 | take(1) conv3-2",
        "take(0, 1) conv3-2(groups=2) | take(1, 2) conv3-2(groups=2)",
    ],
)
def test_branches_that_are_no_single_convolution_stay_apart(branches: str) -> None:
    network = read(f"[8x8x3] concat({branches})")
    module = build(network)
    assert not partial_parts(module)
    batch = images(network)
    assert torch.equal(module.train()(batch), module.eval()(batch))
