"""Layers computed faster: the same numbers, the same names, whatever the threads."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import striate
from striate.fast import check, convolved, kernels
from striate.fast.check import wrong
from striate.fast.columns import by_columns, columns, filters_by_columns, summed
from striate.fast.convolved import Convolved, suits
from striate.fast.fold import folded
from striate.fast.memory import keep_freed_memory
from striate.fast.normed import ACTIVATIONS, Normed
from striate.fast.pointwise import by_product
from striate.fast.pooled import Pooled, poolable
from striate.fast.sidebyside import apart, joined, side_by_side
from striate.fast.twin import NormedSum, twin

LAST = torch.channels_last

needs_compiler = pytest.mark.skipif(not kernels.available(), reason="there is no C++ compiler")


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def normal(*shape: int, seed: int = 0) -> Tensor:
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return made.contiguous(memory_format=LAST) if len(shape) == 4 else made


def relative(found: Tensor, right: Tensor) -> float:
    found, right = found.detach().double(), right.detach().double()
    return float((found - right).norm() / right.norm().clamp(min=1e-9))


def learnt(parts: Normed, *inputs: Tensor, plainly: bool = False) -> list[Tensor]:
    """The output, the gradients of inputs and parameters, and the statistics."""
    parts = deepcopy(parts)
    inputs = tuple(each.clone().requires_grad_() for each in inputs)
    out = (parts.plainly if plainly else parts)(*inputs, *[None] * (2 - len(inputs)))
    wanted = [*inputs, *parts.parameters()]
    grads = torch.autograd.grad(out, wanted, normal(*out.shape, seed=9).to(out.dtype))
    return [out.detach(), *grads, *(each.to(out.dtype) for each in parts.buffers())]


def normalisation(channels: int, scale: bool = True) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(channels, momentum=0.3)
    nn.init.normal_(made.weight, 1, 0.2)
    nn.init.normal_(made.bias, 0, 0.5)
    if not scale:
        made.register_parameter("weight", None)
    return made


@needs_compiler
@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(1, 9),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.integers(1, 70),
    pooled=st.booleans(),
    norm=st.sampled_from(["none", "scaled", "shifted"]),
    activation=st.sampled_from([None, *ACTIVATIONS]),
    shortcut=st.booleans(),
    offset=st.sampled_from([0.0, 300.0]),
)
def test_the_kernels_compute_what_pytorch_does(
    n: int,
    height: int,
    width: int,
    channels: int,
    pooled: bool,
    norm: str,
    activation: Any,
    shortcut: bool,
    offset: float,
) -> None:
    """Any volume, any combination, values far from zero too: outputs, gradients, statistics."""
    rows, columns = (height // 2, width // 2) if pooled else (height, width)
    if n * rows * columns < 2:
        return
    parts = Normed(
        nn.MaxPool2d(2) if pooled else None,
        None if norm == "none" else normalisation(channels, norm == "scaled"),
        activation() if activation else None,
    )
    inputs = [normal(n, channels, height, width) + (offset if norm != "none" else 0)]
    if shortcut:
        inputs.append(normal(n, channels, rows, columns, seed=1))
    assert parts.fits(inputs[0], inputs[1] if shortcut else None)
    exact = learnt(parts.double(), *(each.double() for each in inputs), plainly=True)
    parts = parts.float()
    found, theirs = learnt(parts, *inputs), learnt(parts, *inputs, plainly=True)
    for one, other, right in zip(found, theirs, exact, strict=True):
        assert one.shape == right.shape
        # Where little is left of large numbers PyTorch's float32 is as far off.
        most = 8 * float((other - right).abs().max()) + 1e-4 * (1 + float(right.abs().max()))
        assert float((one - right).abs().max()) <= most


@needs_compiler
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
@pytest.mark.parametrize("pooled", [False, True])
def test_in_bfloat16_the_error_is_that_of_rounding(activation: Any, pooled: bool) -> None:
    """No further from float32 than PyTorch's own operations in bfloat16 are."""
    made = activation() if activation else None
    parts = Normed(nn.MaxPool2d(2) if pooled else None, normalisation(32), made)
    volume = normal(8, 32, 12, 12).bfloat16()
    right = learnt(parts, volume.float(), plainly=True)
    ours = [relative(*pair) for pair in zip(learnt(parts, volume), right, strict=True)]
    theirs = learnt(parts, volume, plainly=True)
    for one, other in zip(
        ours, (relative(*p) for p in zip(theirs, right, strict=True)), strict=True
    ):
        assert one <= 1.5 * other + 2e-3


@needs_compiler
def test_the_number_of_threads_changes_no_bit() -> None:
    parts = Normed(nn.MaxPool2d(2), normalisation(24), nn.GELU())
    volume = normal(7, 24, 30, 30)
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(learnt(parts, volume))
    assert all(
        torch.equal(*pair) for other in found[1:] for pair in zip(found[0], other, strict=True)
    )


@needs_compiler
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
def test_what_is_no_number_stays_none(activation: Any) -> None:
    """A run that diverges must be seen to: no kernel may turn NaN into a number."""
    volume = normal(2, 3, 4, 4)
    volume[1, 2, 3, 3] = torch.nan
    parts = Normed(nn.MaxPool2d(2), None, activation() if activation else None)
    assert parts(volume).isnan().sum() == 1
    assert Normed(None, normalisation(3), parts.activation)(volume)[:, 2].isnan().all()


@needs_compiler
def test_of_equal_values_the_first_gets_the_gradient() -> None:
    """As PyTorch's pooling does it: after a ReLU, ties at zero are common."""
    volume = torch.zeros(1, 2, 4, 4).contiguous(memory_format=LAST)
    found, right = (
        learnt(Normed(nn.MaxPool2d(2), None, None), volume, plainly=plainly)
        for plainly in (False, True)
    )
    assert torch.equal(found[1], right[1])


def test_scoring_and_single_values_are_left_to_pytorch() -> None:
    parts = Normed(None, normalisation(3), nn.ReLU())
    assert not parts.fits(normal(1, 3, 1, 1), None)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        parts(normal(1, 3, 1, 1))
    assert not parts.eval().fits(normal(2, 3, 4, 4), None)
    assert torch.equal(parts(normal(2, 3, 4, 4)), parts.plainly(normal(2, 3, 4, 4), None))


# -- images side by side


def way(layer: nn.Conv2d, volume: Tensor) -> Any:
    """How a volume is computed."""
    return Convolved(layer).way(volume)


def values(module: nn.Module, volume: Tensor, gradient: Tensor, fast: bool) -> list[Tensor]:
    """The output and all gradients, fast under autocast."""
    given = volume.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast):
        out = module(given)
    wanted = [given, *module.parameters()]
    return [out.detach(), *torch.autograd.grad(out, wanted, gradient.to(out))]


@needs_compiler
@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(1, 40),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.sampled_from([(3, 3), (5, 5), (1, 3), (3, 5), (5, 3), (2, 2), (1, 1)]),
    stride=st.sampled_from([(1, 1), (2, 2), (1, 2), (3, 3)]),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    channels=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    bias=st.booleans(),
    data=st.data(),
)
def test_convolutions_computed_otherwise_are_the_same(
    n: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    channels: tuple[int, int],
    bias: bool,
    data: st.DataObject,
) -> None:
    """In every way that can compute it, whichever the number of positions would choose.

    The right values are float32's: PyTorch's own in bfloat16 are wrong on some maps narrower than
    the filter (2.13), so that what is in part computed by it is looked at on others.
    """
    assume(all(s + 2 * p >= k for s, p, k in zip(size, padding, kernel, strict=True)))
    layer = nn.Conv2d(*channels, kernel, stride, padding, bias=bias)
    assert suits(layer)
    volume = normal(n, channels[0], *size).bfloat16().float()
    with torch.no_grad():
        for each in layer.parameters():
            each.copy_(each.bfloat16())
        exact = layer(volume)
    gradient = normal(*exact.shape, seed=1).bfloat16()
    fits = [by_columns]
    if all(s >= k > 2 * p for s, k, p in zip(size, kernel, padding, strict=True)):
        fits.append(filters_by_columns)
    if kernel == stride == (1, 1) and padding == (0, 0):
        fits.append(by_product)
    if stride == (1, 1) and exact.shape[2:] == volume.shape[2:] and padding[1]:
        fits.append(side_by_side)
    other = Convolved(layer)
    assert way(layer, volume) in [*fits, None]
    chosen = data.draw(st.sampled_from(fits))
    other.way = lambda volume: chosen  # type: ignore[method-assign]
    fast, right = values(other, volume, gradient, True), values(layer, volume, gradient, False)
    for found, expected in zip(fast, right, strict=True):
        assert found.shape == expected.shape
        assert relative(found, expected) < 0.01
    assert [each.dtype for each in fast] == [torch.bfloat16] + [torch.float32] * (2 + bias)


@needs_compiler
def test_the_number_of_positions_chooses_the_way() -> None:
    three = nn.Conv2d(64, 64, 3, padding=1)
    assert way(three, normal(8, 64, 16, 16)) is by_columns
    assert way(three, normal(9, 64, 16, 16)) is None
    assert way(three, normal(64, 64, 8, 8)) is side_by_side
    assert way(nn.Conv2d(64, 64, 3, padding=(0, 1)), normal(64, 64, 8, 8)) is None
    assert way(nn.Conv2d(64, 8, 1), normal(1, 64, 4, 4)) is by_product
    assert way(nn.Conv2d(64, 8, 1, stride=2), normal(9, 64, 64, 64)) is by_columns
    deep, shallow = (nn.Conv2d(c, 64, 3, stride=2, padding=1) for c in (32, 16))
    assert way(deep, normal(9, 32, 32, 32)) is filters_by_columns
    assert way(deep, normal(9, 32, 34, 34)) is None
    assert way(shallow, normal(9, 16, 32, 32)) is None


def test_without_a_compiler_nothing_is_computed_by_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolved, "available", lambda: False)
    assert way(nn.Conv2d(64, 64, 3, padding=1), normal(1, 64, 4, 4)) is side_by_side
    assert way(nn.Conv2d(64, 64, 3, stride=2), normal(1, 64, 4, 4)) is None


@needs_compiler
def test_columns_hold_what_each_position_meets_and_are_summed_back() -> None:
    layer = nn.Conv2d(1, 1, (2, 3), stride=(1, 2), padding=(0, 1))
    volume = torch.arange(1.0, 9.0).view(1, 1, 2, 4).bfloat16()
    matrix = columns(volume, layer)
    assert matrix.tolist() == [[0, 1, 2, 0, 5, 6], [2, 3, 4, 6, 7, 8]]
    assert summed(matrix, volume, layer).flatten().tolist() == [1, 4, 3, 4, 5, 12, 7, 8]


def test_images_lie_side_by_side_with_zeros_between() -> None:
    wide = joined(torch.arange(1.0, 13.0).view(3, 1, 2, 2), together=2, between=1)
    assert wide.shape == (2, 1, 2, 6)
    assert wide[0, 0].tolist() == [[1, 2, 0, 5, 6, 0], [3, 4, 0, 7, 8, 0]]
    assert apart(wide, torch.Size((3, 1, 2, 2)), 1).flatten().tolist() == list(range(1, 13))
    assert wide[1, 0].tolist() == [[9, 10, 0, 0, 0, 0], [11, 12, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    "options", [{"groups": 2}, {"dilation": 2}, {"padding": "same"}, {"padding_mode": "reflect"}]
)
def test_other_convolutions_stay_as_they_are(options: dict[str, Any]) -> None:
    assert not suits(nn.Conv2d(4, 4, 3, **options))


# -- pooling of any window


@needs_compiler
@settings(max_examples=150, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 9), st.integers(1, 9)),
    window=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padded=st.booleans(),
    ceil=st.booleans(),
    kind=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=st.integers(0, 99),
)
def test_pooling_is_pytorchs_whatever_the_window_and_the_ties(
    shape: tuple[int, int, int, int],
    window: tuple[int, int],
    stride: tuple[int, int],
    padded: bool,
    ceil: bool,
    kind: torch.dtype,
    seed: int,
) -> None:
    """To the bit: small whole numbers are equal often, and add up without rounding."""
    padding = (window[0] // 2, window[1] // 2) if padded else (0, 0)
    assume(all(s + 2 * p >= k for s, p, k in zip(shape[2:], padding, window, strict=True)))
    layer = nn.MaxPool2d(window, stride, padding, ceil_mode=ceil)
    assert poolable(layer)
    chance = torch.Generator().manual_seed(seed)
    volume = torch.randint(-3, 3, shape, generator=chance).to(kind)
    volume = volume.contiguous(memory_format=LAST)
    found, right = (module(volume.requires_grad_()) for module in (Pooled(layer), layer))
    assert torch.equal(found, right)
    gradient = torch.randint(-3, 3, found.shape, generator=chance).to(kind)
    slopes = (torch.autograd.grad(out, volume, gradient)[0] for out in (found, right))
    assert torch.equal(*slopes)


@needs_compiler
def test_what_is_no_number_is_the_largest_and_nothing_may_be_beyond_all_bounds() -> None:
    volume = torch.full((1, 1, 4, 4), -float("inf"))
    volume[0, 0, 2, 2] = float("nan")
    layer = nn.MaxPool2d((3, 3), (2, 2), (1, 1))
    found, right = (module(volume.requires_grad_()) for module in (Pooled(layer), layer))
    assert torch.equal(found.isnan(), right.isnan()) and found.isnan().any()
    assert torch.equal(found.isinf(), right.isinf()) and found.isinf().any()
    slopes = (torch.autograd.grad(out, volume, torch.ones(out.shape))[0] for out in (found, right))
    assert torch.equal(*slopes)


def test_poolings_that_keep_places_or_spread_stay_as_they_are() -> None:
    assert not poolable(nn.MaxPool2d((3, 3), (2, 2), (1, 1), dilation=2))
    assert not poolable(nn.MaxPool2d((3, 3), (2, 2), (1, 1), return_indices=True))
    assert not poolable(nn.MaxPool2d((17, 17), (2, 2), (1, 1)))
    assert not poolable(nn.AvgPool2d((3, 3), (2, 2), (1, 1)))


# -- twins


@needs_compiler
@pytest.mark.parametrize(
    "name", ["resnet20", "resnet20-b", "airbench", "convnetjs-cifar10", "lenet5"]
)
def test_a_twin_computes_what_its_model_does_with_its_parameters(name: str) -> None:
    network = striate.read(name)
    torch.manual_seed(0)
    model = network.build().to(memory_format=LAST).train()
    reference = deepcopy(model)
    double = twin(model)
    assert {id(each) for each in double.parameters()} == {id(each) for each in model.parameters()}
    images = normal(3, network.input.depth, network.input.height, network.input.width)
    scores, right = double(images), reference(images)
    assert relative(scores, right) < 1e-4
    weights = normal(*scores.shape, seed=3)
    (scores * weights).sum().backward()
    (right * weights).sum().backward()
    norm = sum(float(each.grad.square().sum()) for each in reference.parameters()) ** 0.5
    for (key, one), other in zip(model.named_parameters(), reference.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None
        assert float((one.grad - other.grad).norm()) < 2e-3 * norm, key  # a ReLU at its edge
    for (key, one), other in zip(model.named_buffers(), reference.buffers(), strict=True):
        assert torch.allclose(one.float(), other.float(), rtol=1e-4, atol=1e-5), key


def test_a_twin_leaves_the_model_s_names_and_modules_alone() -> None:
    model = striate.read("resnet20").build()
    before = str(model), list(model.state_dict())
    double = twin(model)
    assert (str(model), list(model.state_dict())) == before
    assert any(isinstance(each, NormedSum) for each in double.modules())
    assert "bn1+relu1" in dict(double.named_children())


def test_volumes_that_are_kept_are_there_in_the_twin() -> None:
    """A label in the middle of what would be one kernel ends it there."""
    network = striate.read("[8x8x3] conv3-4 a: bn relu add(conv3-4 bn | @a) relu fc-3 softmax")
    torch.manual_seed(0)
    model = network.build().train()
    reference = deepcopy(model)
    images = normal(4, 3, 8, 8)
    assert relative(twin(model)(images), reference(images)) < 1e-5


# -- for scoring


@pytest.mark.parametrize("name", ["resnet20", "resnet20-b", "airbench", "bn-inception"])
def test_a_folded_model_scores_as_the_model_does(name: str) -> None:
    network = striate.read(name)
    torch.manual_seed(0)
    model = network.build().train()
    for each in model.modules():
        if isinstance(each, nn.BatchNorm2d):
            nn.init.normal_(each.running_mean, 0, 0.5)
            nn.init.uniform_(each.running_var, 0.5, 2)
    shape = network.input.depth, network.input.height, network.input.width
    images = normal(2, *shape)
    before = deepcopy(model.state_dict())
    fast = folded(model)
    with torch.no_grad():
        found = fast(images)
        assert all(each.training for each in model.modules())
        assert relative(found, model.eval()(images)) < 1e-4
    assert all(torch.equal(one, before[key]) for key, one in model.state_dict().items())
    assert not any(each.training for each in fast.modules())


# -- checked, and done without


class Off(nn.Conv2d):
    """A convolution that is a tenth off in bfloat16."""

    def forward(self, input: Tensor) -> Tensor:
        out = super().forward(input)
        return out * 1.1 if out.dtype == torch.bfloat16 else out


def test_a_layer_that_is_wrong_on_this_machine_is_named() -> None:
    sound = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
    broken = nn.Sequential(*sound[:3], Off(8, 4, 3))
    images = normal(4, 3, 8, 8)
    half = torch.autocast("cpu", dtype=torch.bfloat16)
    assert wrong(twin(sound), images, half) is None
    assert wrong(twin(sound), images, nullcontext()) is None
    assert (wrong(broken, images, half) or "").startswith("Off(8, 4")


@needs_compiler
def test_the_check_sees_wrong_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = nn.Sequential(Normed(None, normalisation(4), nn.ReLU()))
    plainly = Normed.plainly
    monkeypatch.setattr(Normed, "plainly", lambda *given: plainly(*given) * 1.01)
    monkeypatch.setattr(Normed, "fits", lambda self, volume, shortcut: True)
    assert (wrong(parts, normal(2, 4, 5, 5), nullcontext()) or "").startswith("Normed")


def test_every_kind_that_computes_in_another_way_is_checked() -> None:
    for kind in (Convolved, Normed, Pooled, nn.Conv2d, nn.Linear):
        assert issubclass(kind, check.KINDS)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """No kernels compiled yet, and an empty cache."""
    monkeypatch.setattr(kernels, "cache_folder", lambda: tmp_path)
    kernels.library.cache_clear()
    kernels.available.cache_clear()
    yield tmp_path
    kernels.library.cache_clear()
    kernels.available.cache_clear()


def test_without_a_compiler_training_goes_on(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "COMPILERS", ())
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(kernels.NoKernels, match="no C\\+\\+ compiler"):
        kernels.library()
    parts = Normed(None, normalisation(3), nn.ReLU())
    assert torch.equal(parts(normal(2, 3, 4, 4)), deepcopy(parts).plainly(normal(2, 3, 4, 4), None))


def test_a_compiler_that_fails_is_told_of(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = fresh / "broken-c++"
    broken.write_text("#!/bin/sh\necho 'no such flag' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(kernels.NoKernels, match="no such flag"):
        kernels.library()
    assert not kernels.available()


@needs_compiler
def test_kernels_are_compiled_once_and_kept(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(kernels.library(), ctypes.CDLL)
    kernels.library.cache_clear()
    monkeypatch.setattr(kernels, "_compiled", lambda *given: pytest.fail("compiled again"))
    kernels.library()


@needs_compiler
def test_kernels_that_were_damaged_are_compiled_again(fresh: Path) -> None:
    kernels.library()
    (made,) = (fresh / "kernels").iterdir()
    made.unlink()  # first: the process has it mapped
    made.write_bytes(b"not a library")
    kernels.library.cache_clear()
    assert isinstance(kernels.library(), ctypes.CDLL)
    assert made.stat().st_size > 1000


def test_freed_memory_is_kept_where_the_c_library_can() -> None:
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
