"""Networks recovered from PyTorch modules: text, parameters, volumes and outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest
import torch
from conftest import Run
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import quick, scripts
from torch import Tensor, nn
from torch.nn import functional

import striate
from striate import layers, zoo
from striate.cli.recover import command
from striate.errors import StriateError
from striate.network import Network
from striate.recover import Recovered, recover
from striate.recover.folding import folded
from striate.steps import Step
from striate.storage import read_tensors
from striate.tree import Repeat, Script, Word
from striate.tree import Sequence as Items

SMALL = (16, 16, 3)


def shaken(module: nn.Module) -> nn.Module:
    """With statistics and scales as after training: at their start, mistakes would not show."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if name.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.2)
            elif tensor.is_floating_point() and (tensor.dim() == 1 or name.endswith("scale")):
                tensor.uniform_(0.5, 1.5)
    return module


def back(module: nn.Module, input: tuple[int, int, int] = SMALL) -> Recovered:
    """What is recovered, which must be whole."""
    found = recover(shaken(module), input)
    assert not found.opaque, str(found.network)
    assert found.difference is not None
    assert found.difference < 1e-5
    assert found.whole
    assert striate.read(str(found.network)) == found.network
    return found


def text(module: nn.Module, input: tuple[int, int, int] = SMALL) -> str:
    """The words that come back, without the input volume."""
    return str(back(module, input).network).partition("\n")[2]


# -- blocks and repetitions


class Bottleneck(nn.Module):
    """As torchvision writes it, in-place activations and all."""

    def __init__(self, depth: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(depth, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or depth != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(depth, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    """ResNet-50, as torchvision lays it out."""

    def __init__(self, counts: tuple[int, ...] = (3, 4, 6, 3)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        depth = 64
        for number, count in enumerate(counts):
            width, blocks = 64 * 2**number, []
            for each in range(count):
                blocks.append(Bottleneck(depth, width, 2 if number and not each else 1))
                depth = 4 * width
            setattr(self, f"layer{number + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(depth, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def test_resnet50_reads_like_the_zoos_own() -> None:
    found = back(ResNet(), (224, 224, 3))
    said = str(found.network)
    assert said == (
        "bottleneck(k, s=1) = add( conv1-k bn relu conv3-k/s(floor) bn relu conv1-(4*k) bn |\n"
        "    shortcut-(4*k)/s ) relu\n"
        "\n"
        "[224x224x3]\n"
        "conv7-64/2(floor) bn relu [112x112x64]\n"
        "maxpool3/2(pad=1, floor) bottleneck(64)*3 [56x56x256]\n"
        "bottleneck(128, s=2) bottleneck(128)*3 [28x28x512]\n"
        "bottleneck(256, s=2) bottleneck(256)*5 [14x14x1024]\n"
        "bottleneck(512, s=2) bottleneck(512)*2 [7x7x2048]\n"
        "avgpool fc-1000"
    )
    assert len(said.splitlines()) <= 15
    ours, zoos = (
        each.account().totals for each in (found.network, zoo.read("resnet50-torchvision"))
    )
    assert (ours.parameters, ours.macs) == (zoos.parameters, zoos.macs)


def vgg() -> nn.Sequential:
    layers: list[nn.Module] = []
    depth = 3
    for width, count in ((8, 1), (16, 2), (32, 2)):
        for _ in range(count):
            layers += [nn.Conv2d(depth, width, 3, padding=1), nn.ReLU(inplace=True)]
            depth = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(2 * 2 * 32, 64),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(64, 10),
    )


def test_repetitions_are_folded() -> None:
    assert text(vgg()) == (
        "conv3-8 relu [16x16x8]\n"
        "maxpool2 (conv3-16 relu)*2 [8x8x16]\n"
        "maxpool2 (conv3-32 relu)*2 [4x4x32]\n"
        "maxpool2 [2x2x32]\n"
        "(fc-64 relu dropout(0.5))*2 fc-10"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("abab", "(a b)*2"),
        ("aabaabc", "(a*2 b)*2 c"),
        ("aabbaabbb", "(a*2 b*2)*2 b"),
        ("abcab", "a b c a b"),
        ("abc" * 4000, "(a b c)*4000"),
    ],
)
def test_what_comes_several_times_in_a_row_is_said_once(words: str, said: str) -> None:
    items = folded([Word(each) for each in words])
    assert _plain(items) == said


@given(st.lists(st.sampled_from("abc"), max_size=40))
def test_folding_keeps_every_word(words: list[str]) -> None:
    assert _unfolded(folded([Word(each) for each in words])) == words


def _plain(items: Items) -> str:
    said = []
    for item in items:
        if isinstance(item, Repeat):
            body = _plain(item.body)
            said.append(f"({body})*{item.times}" if len(item.body) > 1 else f"{body}*{item.times}")
        elif isinstance(item, Word):
            said.append(item.kind)
    return " ".join(said)


def _unfolded(items: Items) -> list[str]:
    words: list[str] = []
    for item in items:
        if isinstance(item, Repeat):
            assert isinstance(item.times, int)
            words += _unfolded(item.body) * item.times
        elif isinstance(item, Word):
            words.append(item.kind)
    return words


class Unit(nn.Sequential):
    """Convolution, normalisation, activation."""

    def __init__(
        self, depth: int, width: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(depth, width, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(width),
            nn.SiLU(inplace=True),
        )


class Squeeze(nn.Module):
    """A gate for each channel."""

    def __init__(self, width: int, narrow: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(width, narrow, 1), nn.Conv2d(narrow, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = functional.silu(self.fc1(x.mean((2, 3), keepdim=True)), inplace=True)
        return x * torch.sigmoid(self.fc2(gate))


class Inverted(nn.Module):
    """EfficientNet's block."""

    def __init__(self, depth: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = 4 * depth
        self.expand = Unit(depth, hidden)
        self.depthwise = Unit(hidden, hidden, kernel, stride, hidden)
        self.squeeze = Squeeze(hidden, depth // 2)
        self.project = nn.Sequential(nn.Conv2d(hidden, width, 1, bias=False), nn.BatchNorm2d(width))
        self.same = depth == width and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.squeeze(self.depthwise(self.expand(x))))
        return x + out if self.same else out


def test_nested_blocks_with_gates() -> None:
    net = nn.Sequential(
        Unit(3, 8, 3, 2),
        Inverted(8, 8, 3, 1),
        Inverted(8, 16, 5, 2),
        Inverted(16, 16, 3, 1),
        Inverted(16, 24, 3, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 5),
    )
    said = text(net)
    assert "inverted(k) = add( conv1-(4*k) bn silu conv3-(4*k)(groups=4*k) bn silu" in said
    assert "(groups=4*k) bn silu squeeze(k/2) conv1-k bn | id )" in said.replace("\n    ", " ")


class Dense(nn.Module):
    """DenseNet's layers: each reads all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(8 + 4 * n),
                nn.ReLU(),
                nn.Conv2d(8 + 4 * n, 4, 3, padding=1, bias=False),
            )
            for n in range(4)
        )
        self.stem = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        seen = [self.stem(x)]
        for layer in self.layers:
            seen.append(layer(torch.cat(seen, 1)))
        return torch.cat(seen, 1)


def test_dense_connections() -> None:
    found = back(Dense())
    assert str(found.network).count("concat(") <= 4
    assert found.network.output == (16, 16, 24)


class Wired(nn.Module):
    """Steps on any of the volumes before them: an operation, and which two it takes."""

    def __init__(
        self, steps: list[tuple[str, int, int]], inner: list[tuple[str, int, int]]
    ) -> None:
        super().__init__()
        self.steps = steps
        made = {
            "conv": lambda: nn.Conv2d(4, 4, 3, padding=1),
            "cat": lambda: nn.Conv2d(8, 4, 1),
            "bn": lambda: nn.BatchNorm2d(4),
            "inner": lambda: Wired(inner, []),
        }
        self.parts = nn.ModuleList(made.get(step, nn.Identity)() for step, _, _ in steps)

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for part, (step, one, other) in zip(self.parts, self.steps, strict=True):
            first, second = seen[one % len(seen)], seen[other % len(seen)]
            joined = {
                "add": lambda a, b: a + b,
                "mul": lambda a, b: torch.sigmoid(a) * b,
                "cat": lambda a, b: torch.cat([a, b], 1),
            }.get(step, lambda a, b: a)
            seen.append(part(joined(first, second)))
        return seen[-1]


def wirings(*more: str, size: int) -> st.SearchStrategy[list[tuple[str, int, int]]]:
    places = st.integers(-3, 8)
    words = st.sampled_from(["conv", "bn", "add", "mul", "cat", *more])
    return st.lists(st.tuples(words, places, places), min_size=1, max_size=size)


@quick
@given(wirings("inner", "inner", size=12), wirings(size=4))
@example([("add", 0, 0), ("add", -1, -1)], [])  # both of what a sum joins are one sum
@example([("conv", 0, 0), ("cat", 1, 0), ("conv", 2, 2), ("add", 3, 1)], [])
def test_any_wiring_comes_back(
    steps: list[tuple[str, int, int]], inner: list[tuple[str, int, int]]
) -> None:
    back(Wired(steps, inner or [("bn", 0, 0)]), (6, 6, 4))


@pytest.mark.parametrize("places", [range(50)[::-1], range(50)])
def test_branches_deeper_than_brackets_may_nest(places: range) -> None:
    down = [("conv", -1, -1)] * 50
    back(Wired([*down, *(("cat", -1, place) for place in places)], []), (6, 6, 4))


@quick
@given(wirings("inner", "inner", size=12), wirings(size=4))
def test_any_wiring_can_be_said_by_labels_alone(
    steps: list[tuple[str, int, int]], inner: list[tuple[str, int, int]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("striate.recover.elements.DEEPEST", 0)
        back(Wired(steps, inner or [("bn", 0, 0)]), (6, 6, 4))


def test_names_of_classes_that_are_no_names_of_blocks() -> None:
    names = ("Conv", "Relu6", "Add", "Head", "From", "Conv3", "Блок", "_9x", "X1", "K", "A" * 100)
    units = [nn.Conv2d(3, 4, 1)]
    for name in names:
        kind = type(name, (nn.Sequential,), {})
        convs = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
        units += [kind(each, nn.ReLU(), nn.BatchNorm2d(4)) for each in convs]
    found = back(nn.Sequential(*units))
    assert len(found.network.script.blocks) == len(names)


def test_axes_of_one_channel_in_another_order_are_the_same_volume() -> None:
    net = Written(lambda m, x: m.conv(x.movedim(1, -1).reshape(x.shape)), conv=nn.Conv2d(1, 4, 1))
    assert text(net, (8, 8, 1)) == "conv1-4"


def test_more_channels_than_a_word_lists_are_opaque() -> None:
    listed = [*range(600)][::-1]
    found = recover(Written(lambda m, x: m.conv(x)[:, listed], conv=nn.Conv2d(3, 600, 1)), SMALL)
    assert found.opaque
    assert striate.read(str(found.network)) == found.network


# -- what PyTorch's functions mean


class Shuffling(nn.Module):
    """Half of the channels convolved, then both by turns."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        x = torch.cat((first, self.left(second)), dim=1)
        images, depth, height, width = x.size()
        x = x.view(images, 2, depth // 2, height, width).transpose(1, 2).contiguous()
        return x.view(images, depth, height, width)


class ConvNeXtBlock(nn.Module):
    """As torchvision writes it, channels last in between."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(depth, depth, 7, padding=3, groups=depth)
        self.norm = nn.LayerNorm(depth, eps=1e-6)
        self.up, self.down = nn.Linear(depth, 4 * depth), nn.Linear(4 * depth, depth)
        self.layer_scale = nn.Parameter(torch.ones(depth, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        out = self.down(functional.gelu(self.up(out))).permute(0, 3, 1, 2)
        return x + self.layer_scale * out


class Written(nn.Module):
    """A module out of a function."""

    def __init__(self, function: object, **children: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)  # type: ignore[operator, no-any-return]


def test_channels_are_shuffled() -> None:
    said = text(nn.Sequential(nn.Conv2d(3, 8, 3), Shuffling()))
    assert "concat( slice(0, 4) | slice(4, 8) conv1-4 )" in said
    assert "shuffle(2)" in said


def test_channels_last_are_the_same_volume() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 4, 4), ConvNeXtBlock(8), ConvNeXtBlock(8))
    said = str(back(net).network)
    assert "conv7-8(groups=8) layernorm(eps=1e-06) conv1-32 gelu conv1-8" in said
    assert said.endswith("convnext_block()*2")


FUNCTIONS = {
    "maxpool3/2(pad=1, floor)": lambda m, x: functional.max_pool2d(x, 3, 2, 1),
    "maxpool3/2(ceil)": lambda m, x: functional.max_pool2d(x, 3, 2, ceil_mode=True),
    "avgpool3/1(pad=1, inside)": lambda m, x: functional.avg_pool2d(
        x, 3, 1, 1, count_include_pad=False
    ),
    "avgpool3/1(pad=1)": lambda m, x: functional.avg_pool2d(x, 3, 1, 1),
    "avgpool4": lambda m, x: functional.adaptive_avg_pool2d(x, 4),
    "avgpool": lambda m, x: x.mean([2, 3]),
    "maxpool": lambda m, x: x.amax(dim=(-2, -1), keepdim=True),
    "relu6": lambda m, x: x.clamp(0, 6),
    "relu": lambda m, x: x.clone().relu_(),
    "leakyrelu(0.2)": lambda m, x: functional.leaky_relu(x, 0.2),
    "elu(0.5)": lambda m, x: functional.elu(x, 0.5),
    "gelu(tanh)": lambda m, x: functional.gelu(x, approximate="tanh"),
    "hardswish": lambda m, x: functional.hardswish(x),
    "hardsigmoid": lambda m, x: functional.hardsigmoid(x),
    "mish": lambda m, x: functional.mish(x),
    "tanh": lambda m, x: torch.tanh(x),
    "scale(0.5)": lambda m, x: x / 2,
    "pad(0, end=1)": lambda m, x: functional.pad(x, (0, 1, 0, 1)),
    "pad(2x1)": lambda m, x: functional.pad(x, (1, 1, 2, 2)),
    "upsample2": lambda m, x: functional.interpolate(x, scale_factor=2),
    "upsample2(bilinear)": lambda m, x: functional.interpolate(x, size=(32, 32), mode="bilinear"),
    "slice(1, 4)": lambda m, x: x[:, 1:],
    "take(2, 0)": lambda m, x: x[:, [2, 0]],
    "shuffle(2)": lambda m, x: functional.channel_shuffle(x, 2),
    "layernorm": lambda m, x: m.norm(x.movedim(1, -1)).movedim(-1, 1),
    "flatten slice(1, 9)": lambda m, x: x.flatten(1)[:, 1:9],
    "maxpool1/2(floor)": lambda m, x: x[:, :, ::2, ::2],
    "lrn(3, alpha=0.01, beta=0.5)": lambda m, x: functional.local_response_norm(
        x, 3, alpha=0.03, beta=0.5, k=2.0
    ),
    "add( relu | id )": lambda m, x: x + x.relu(),
    "mul( id | avgpool )": lambda m, x: x * x.mean((2, 3))[:, :, None, None].expand_as(x),
    "softmax": lambda m, x: torch.softmax(x, 1),
    "avgpool dropout(0.5)": lambda m, x: functional.dropout(
        functional.dropout(x.mean((2, 3), keepdim=True)[:, :, 0, 0], 0.0, False), 0.5, False
    ),
}


@pytest.mark.parametrize("word", FUNCTIONS)
def test_functions(word: str) -> None:
    """After a convolution of four filters; what the last softmax gives is compared as well."""
    net = Written(
        lambda m, x: FUNCTIONS[word](m, m.conv(x)), conv=nn.Conv2d(3, 4, 1), norm=nn.LayerNorm(4)
    )
    assert text(net).replace(" [16x16x4]\n", " ").split(" ", 1)[1] == word


@pytest.mark.parametrize(
    ("layer", "word"),
    [
        (nn.Conv2d(3, 4, 3, 2), "conv3-4/2(pad=0, floor)"),
        (nn.Conv2d(3, 6, (1, 3), padding=(0, 1), groups=3), "conv1x3-6(groups=3)"),
        (nn.Conv2d(3, 4, 3, padding="same", dilation=2), "conv3-4(dilation=2)"),
        (nn.Conv2d(3, 4, 2), "conv2-4(pad=0)"),
        (nn.Conv2d(3, 4, 1, bias=False), "conv1-4(bias=no)"),
        (nn.ConvTranspose2d(3, 4, 4, 2, 1), "deconv4-4/2(pad=1)"),
        (nn.BatchNorm2d(3, eps=0.001, momentum=0.01), "bn(eps=0.001, momentum=0.01)"),
        (nn.GroupNorm(3, 3), "groupnorm(3)"),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), "conv1-4(bias=yes) bn"),
        (nn.Sequential(nn.Flatten(), nn.Linear(768, 5, bias=False)), "fc-5(bias=no)"),
        (nn.Sequential(nn.Flatten(), nn.BatchNorm1d(768)), "flatten bn"),
        (nn.Flatten(), "flatten"),
        (nn.Identity(), "id"),
    ],
)
def test_layers(layer: nn.Module, word: str) -> None:
    assert text(layer) == word


def test_a_softmax_at_the_end_is_compared_too() -> None:
    back(nn.Sequential(nn.Conv2d(3, 4, 16), nn.Flatten(), nn.Softmax(dim=1)))


# -- what cannot be expressed


class Attention(nn.Module):
    """Every position asks all others: no layer of the notation."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.ask = nn.Conv2d(depth, 3 * depth, 1)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.ask(x).flatten(2).chunk(3, dim=1)
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
        return x + (value @ weights.transpose(1, 2)).view(x.shape)


def test_what_cannot_be_expressed_is_opaque() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        Attention(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    found = recover(net, SMALL)
    assert str(found.network) == (
        "[16x16x3]\nconv3-8 relu add( conv1-24 opaque16-8(attention, learned=0) | id ) relu "
        "[16x16x8]\navgpool fc-5"
    )
    assert [step.layer.name for step in found.opaque] == ["attention"]  # type: ignore[attr-defined]
    assert found.difference is None
    assert not found.whole
    assert striate.read(str(found.network)) == found.network
    assert found.network.account().totals.macs is None


def test_a_logarithm_of_softmax_at_the_end_is_read_as_softmax() -> None:
    """As PyTorch's own examples end."""
    net = nn.Sequential(nn.Conv2d(3, 4, 16), nn.Flatten(), nn.LogSoftmax(dim=1))
    found = back(net)
    assert str(found.network).endswith("conv16-4(pad=0) softmax")
    assert found.aside == (
        "it gives logarithms of probabilities: read as softmax, which gives the probabilities",
    )
    twice = recover(nn.Sequential(nn.LogSoftmax(dim=1), nn.Conv2d(3, 4, 1)), SMALL)
    assert [step.layer.name for step in twice.opaque] == ["log_softmax"]  # type: ignore[attr-defined]
    across = recover(Written(lambda m, x: x.mean((2, 3)).log_softmax(0)), SMALL)
    assert across.opaque, "over the images"


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x * m.own.type_as(x),
        lambda m, x: x * m.own.to(x),
        lambda m, x: x * m.own.data,
    ],
)
def test_a_parameter_made_like_the_images_is_that_parameter(function: object) -> None:
    net = Written(function)
    net.own = nn.Parameter(torch.rand(3, 1, 1))
    assert text(net) == "layerscale"


def test_weights_in_another_order_are_not_those_weights() -> None:
    net = Written(lambda m, x: functional.conv2d(x, m.own[m.order], padding=1))
    net.own = nn.Parameter(torch.rand(4, 3, 3, 3))
    net.register_buffer("order", torch.tensor([2, 0, 1, 3]))
    assert recover(net, SMALL).opaque


def test_images_are_not_taken_for_positions() -> None:
    """Two images of two positions: neither their number nor a side says which is which."""
    net = Tokens(8)
    found = recover(net, (1, 2, 8))
    assert len(found.opaque) == 1
    with pytest.raises(StriateError, match="gives values of"):
        recover(Written(lambda m, x: x.permute(1, 0, 2, 3)), (4, 4, 2))


def test_parts_without_channels_are_no_layers() -> None:
    assert recover(Written(lambda m, x: torch.cat([x[:, :0], x], 1)), SMALL).opaque
    wave = recover(Written(lambda m, x: (y := torch.fft.fft2(x)).real + y.imag), SMALL)
    assert len(wave.opaque) == 3, "of complex numbers nothing is a volume"


class Tokens(nn.Module):
    """PyTorch's own attention, as hybrid networks call it: positions in a row, channels last."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(depth)
        self.attention = nn.MultiheadAttention(depth, 2, batch_first=True)
        self.out = nn.Sequential(
            nn.Linear(depth, 2 * depth), nn.GELU(), nn.Linear(2 * depth, depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        rested = self.norm(tokens)
        tokens = tokens + self.attention(rested, rested, rested)[0]
        tokens = tokens + self.out(tokens)
        return tokens.transpose(1, 2).reshape(x.shape)


def test_attention_alone_is_opaque_and_what_is_around_it_is_not() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Tokens(8), nn.Conv2d(8, 4, 1))
    found = recover(net, SMALL)
    assert " ".join(str(found.network).split()) == (
        "[16x16x3] conv3-8 add( layernorm opaque16-8(multihead_attention, learned=288) | id ) "
        "add( conv1-16 gelu conv1-8 | id ) conv1-4"
    )


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda m, x: x.flatten(2).softmax(1).view(x.shape), "softmax"),
        (lambda m, x: x.flatten(2).transpose(1, 2).mean(1), "avgpool"),
        (lambda m, x: x.flatten(2).mean(2, keepdim=True)[..., None], "avgpool"),
        (
            lambda m, x: torch.cat(x.flatten(2).mT.chunk(3, 2), 2).mT.reshape(x.shape),
            "concat( slice(0, 1) | slice(1, 2) | slice(2, 3) )",
        ),
        (lambda m, x: (x.permute(0, 2, 3, 1).flatten(1, 2) * m.own).mT.view(x.shape), "layerscale"),
        (lambda m, x: (x.flatten(2) * m.own[:, None]).view(x.shape), "layerscale"),
    ],
)
def test_positions_in_a_row_are_the_same_volume(function: object, words: str) -> None:
    net = Written(function)
    net.own = nn.Parameter(torch.rand(3))
    assert text(net) == words


def test_a_part_written_in_place_is_not_overlooked() -> None:
    def first_two(m: nn.Module, x: Tensor) -> Tensor:
        x = m.conv(x)  # type: ignore[operator]
        x[:, :2] += 1
        return x.relu()

    found = recover(Written(first_two, conv=nn.Conv2d(3, 4, 1)), SMALL)
    assert found.opaque


def test_a_view_changed_in_place_is_not_overlooked() -> None:
    def rectified(m: nn.Module, x: Tensor) -> Tensor:
        x = m.conv(x)  # type: ignore[operator]
        part = x[:, :2]
        part.relu_()
        return x * 2

    assert recover(Written(rectified, conv=nn.Conv2d(3, 4, 1)), SMALL).opaque


def stale(m: nn.Module, x: Tensor) -> Tensor:
    x = m.conv(x)  # type: ignore[operator]
    part = x[:, :2]
    x.relu_()
    return part * 2


def hidden(m: nn.Module, x: Tensor) -> Tensor:
    x = m.conv(x)  # type: ignore[operator]
    x.data.relu_()
    return x * 2


@pytest.mark.parametrize("function", [stale, hidden])
def test_what_shares_the_memory_of_a_tensor_changes_with_it(function: object) -> None:
    assert recover(Written(function, conv=nn.Conv2d(3, 4, 1)), SMALL).opaque


def test_other_channels_do_not_change_with_those_written() -> None:
    def half(m: nn.Module, x: Tensor) -> Tensor:
        first, second = m.conv(x).chunk(2, 1)  # type: ignore[operator]
        first.relu_()
        return torch.cat([first, second], 1)

    said = text(Written(half, conv=nn.Conv2d(3, 4, 1)))
    assert said == "conv1-4 concat( slice(0, 2) relu | slice(2, 4) )"


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: functional.dropout(m.conv(x)),  # in evaluation too
        lambda m, x: m.conv(x).to(torch.int32).float(),
    ],
)
def test_what_only_looks_like_a_layer_is_opaque(function: object) -> None:
    assert recover(Written(function, conv=nn.Conv2d(3, 4, 1)), SMALL).opaque


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))


@torch.inference_mode()
def without_versions(m: nn.Module, x: Tensor) -> Tensor:
    return functional.relu(m.conv(x), inplace=True)  # type: ignore[operator]


def changing_its_input(m: nn.Module, x: Tensor) -> Tensor:
    return m.conv(x.mul_(2))  # type: ignore[operator, no-any-return]


@pytest.mark.parametrize(
    "module",
    [
        small().half(),
        small().bfloat16(),
        small().double(),
        torch.compile(small(), backend="eager"),
        nn.Sequential(nn.Conv2d(3, 3, 1), torch.compile(small(), backend="eager")),
        nn.DataParallel(small()),
        Written(without_versions, conv=nn.Conv2d(3, 4, 1)),
        Written(changing_its_input, conv=nn.Conv2d(3, 4, 1)),
    ],
)
def test_precision_and_the_way_it_is_run_do_not_matter(module: nn.Module) -> None:
    before = [each.dtype for each in module.parameters()]
    back(module)
    assert [each.dtype for each in module.parameters()] == before


def test_parameters_that_evaluation_does_not_read() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    net.head = nn.Linear(4, 4)  # type: ignore[assignment]
    found = recover(Written(lambda m, x: m.body(x), body=net[:2], aux=nn.Linear(4, 4)), SMALL)
    assert found.unused == {"aux.weight": 16, "aux.bias": 4}
    assert found.parameters == 16


# -- what is refused


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Conv2d(8, 4, 1), "Conv2d does not run on images of 16x16x3"),
        (Written(lambda m, x: (x, x * 2)), "gives 2 tensors"),
        (Written(lambda m, x: torch.zeros(2, 5)), "gives nothing of its input"),
        (Written(lambda m, x: x.flatten(2)), "no volume and no scores"),
        (Written(lambda m, x: x if x.sum() > 0 else -x), "asks for a value"),
        (nn.Conv2d(3, 4, 1, device="meta"), "weight of Conv2d has no values"),
        (nn.LazyConv2d(4, 1), "weight of LazyConv2d has no shape yet"),
    ],
)
def test_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(StriateError, match=message):
        recover(module, SMALL)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), torch.jit.script(nn.ReLU()))
    with pytest.raises(StriateError, match="Sequential is TorchScript, at least in part"):
        recover(net, SMALL)


def test_the_module_is_as_it_was() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()).train()
    before = {name: each.clone() for name, each in net.state_dict().items()}
    net[2].eval()
    found = recover(net, SMALL)
    assert found.whole
    assert [each.training for each in net.modules()] == [True, True, True, False]
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())


# -- ours come back as they are


@pytest.mark.parametrize(
    "name",
    [
        "alexnet",
        "lenet-caffe",
        "googlenet",
        "resnet20",
        "resnet18",
        "resnet20-b",
        "vgg11-lrn",
        "bn-inception",
        "convnetjs-cifar10",
        "airbench",
        "zfnet",
    ],
)
def test_networks_of_the_zoo_come_back(name: str) -> None:
    network = zoo.read(name)
    found = recover(network.build().eval(), network.input)
    ours, theirs = found.network.account().totals, network.account().totals
    assert (ours.parameters, ours.macs) == (theirs.parameters, theirs.macs)
    assert found.difference is not None
    assert found.difference < 1e-5


# What PyTorch computes for these in several steps that are none of our layers.
OWN = (layers.Subsample, layers.RadialBasis)


def leading(network: Network) -> list[Step]:
    """The steps whose volumes lead to the output."""
    wanted = {network.expansion.output}
    for step in reversed(network.steps):
        if step.index in wanted:
            wanted.update(step.inputs)
    return [step for step in network.steps if step.index in wanted]


@quick
@given(scripts())
def test_any_network_comes_back(script: Script) -> None:
    network = Network(script)
    if network.account().totals.parameters > 1_000_000:
        return
    found = recover(shaken(network.build()), network.input)
    needed = leading(network)
    if any(
        isinstance(step.layer, OWN) or getattr(step.layer, "bias", "") == "point" for step in needed
    ):
        assert found.opaque
        return
    height, width, depth = network.input
    if not found.answers(torch.randn(2, depth, height, width)).isfinite().all():
        return  # nor would ours be
    assert found.whole, str(found.network)
    if len(needed) == len(network.steps):  # evaluation computes nothing else
        ours, theirs = found.network.account().totals, network.account().totals
        assert (ours.parameters, ours.macs) == (theirs.parameters, theirs.macs)
    assert striate.read(str(found.network)) == found.network


# -- the command

MODELS = """
from torch import nn

def small():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())

def broken():
    raise RuntimeError("no luck")

number = 3
net = small()
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mymodels.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_command(here: Path, python: Run) -> None:
    words = ("recover", "mymodels:small", "--input", "8x8x3", "--out", "a.net", "--weights", "a.st")
    ran = python("-m", "striate", *words, PYTHONDONTWRITEBYTECODE="1", HERE=str(here))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == ""
    assert ran.stderr == (
        "224 parameters, all of the source's; outputs the same\nwritten: a.net, a.st\n"
    )
    assert (
        here / "a.net"
    ).read_text() == "name: mymodels:small\n---\n[8x8x3]\nconv3-8(pad=0) relu\n"
    weights, _ = read_tensors(here / "a.st")
    module = striate.read(here / "a.net").build()
    module.load_state_dict(weights)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["--out", "a.net", "--weights", "./a.net"], "are one file"),
        (["--weights", "base/weights.safetensors"], "is the folder of a run: write elsewhere"),
    ],
)
def test_files_that_would_be_lost_are_refused(
    here: Path, capsys: pytest.CaptureFixture[str], files: list[str], message: str
) -> None:
    (here / "base").mkdir()
    (here / "base/run.json").write_text("{}")
    with pytest.raises(click.UsageError, match=message):
        command.main(["mymodels:small", *files], standalone_mode=False)
    assert not (here / "a.net").exists()


def test_weights_of_what_is_opaque_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "a.net"
    words = [f"{__name__}:attention", "--input", "8x8x3", "--out", str(out), "--weights", "a.st"]
    with pytest.raises(StriateError, match="leave --weights out"):
        command.main(words, standalone_mode=False)
    assert not out.exists()


def test_a_size_that_is_guessed_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["mymodels:net"], standalone_mode=False)
    said = capsys.readouterr()
    assert said.out.startswith("name: mymodels:net\n---\n[224x224x3]\n")
    assert said.err.startswith("mymodels:net does not say what images it takes: read for 224x224x3")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("mymodels:smal", "mymodels has no 'smal': did you mean small?"),
        (
            "mymodels:broken",
            "mymodels:broken cannot be made: RuntimeError: no luck (mymodels.py, line 8)",
        ),
        (
            "mymodels:number",
            "mymodels:number cannot be made: TypeError: 'int' object is not callable",
        ),
        ("nomodule:x", "nomodule is not here"),
        ("mymodels.py:small", "a module is named without its ending, mymodels:NAME"),
        ("mymodels:small --input 2x2x3", "does not run on images of 2x2x3"),
        ("mymodels:small --input abc", "'abc' is no volume"),
        ("mymodels:small --pretrained", "timm and torchvision alone"),
        ("nothing", "there is no run at nothing"),
        ("nothing.onnx", "nothing.onnx cannot be read"),
    ],
)
def test_a_source_that_cannot_be_read(here: Path, source: str, message: str) -> None:
    name, *options = source.split()
    with pytest.raises((StriateError, click.UsageError)) as refused:
        command.main([name, *options], standalone_mode=False)
    assert message in str(refused.value)


def twice() -> nn.Module:
    conv = nn.Conv2d(3, 3, 1)
    return nn.Sequential(conv, conv)


def spoilt() -> nn.Module:
    conv = nn.Conv2d(3, 3, 1)
    nn.init.constant_(conv.weight, torch.nan)
    return conv


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (twice, "24 parameters, 12 of the source's, which uses some more than once; outputs"),
        (spoilt, "12 parameters, all of the source's; outputs are not numbers"),
    ],
)
def test_what_is_said_of_what_is_not_whole(
    make: Callable[[], nn.Module], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command.main([f"{__name__}:{make.__name__}", "--input", "8x8x3"], standalone_mode=False)
    assert capsys.readouterr().err.startswith(line)


def attention() -> nn.Module:
    return Attention(3)


def test_what_is_said_of_opaque_parts(capsys: pytest.CaptureFixture[str]) -> None:
    command.main([f"{__name__}:attention", "--input", "8x8x3"], standalone_mode=False)
    said = capsys.readouterr()
    assert "opaque8-3(matmul, learned=0)" in said.out
    assert "1 of 4 layers cannot be expressed; what they cost is unknown:" in said.err
