"""What a network runs on: what is chosen, what is refused, what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial

import pytest
import torch
from torch import nn

from striate import compute
from striate.compute import Compute, choose
from striate.errors import RunError, StriateError
from striate.fast.kernels import NoKernels
from striate.network import read

SMALL = read("[8x8x1] conv3-8 relu maxpool2 fc-10 softmax")
LARGE = read("vgg16")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """Two of them, set back after the test: the number is the process's."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that multiplies matrices in bfloat16, and no GPU."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("exact", [False, True])
def test_a_small_network_computes_in_float32_on_one_thread(exact: bool) -> None:
    """Whatever the machine offers: conversions and a second thread would cost more."""
    assert choose(SMALL, 32, exact=exact) == Compute("cpu", "float32", "contiguous", 1)


@pytest.mark.usefixtures("fast")
def test_a_large_one_computes_as_fast_as_the_machine_can() -> None:
    assert choose(LARGE, 32) == Compute("cpu", "bfloat16", "channels_last", 2, "fused")
    assert choose(LARGE, 32, exact=True) == Compute("cpu", "float32", "contiguous", 2)


@pytest.mark.parametrize("amx", [False, None])
def test_without_bfloat16_in_hardware_it_is_float32(
    monkeypatch: pytest.MonkeyPatch, amx: bool | None
) -> None:
    """Also in a PyTorch that cannot say what the CPU has."""
    if amx is None:
        monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    found = choose(LARGE, 32, device="cpu")
    assert (found.precision, found.memory_format) == ("float32", "contiguous")


@pytest.mark.parametrize(("batch", "threads"), [(1, 1), (100_000, 2)])
def test_what_counts_is_the_work_of_a_whole_step(batch: int, threads: int) -> None:
    assert choose(SMALL, batch, device="cpu").threads == threads


def test_what_a_person_says_is_taken() -> None:
    found = choose(SMALL, 32, device="cpu", precision="bfloat16", memory_format="channels_last")
    assert found == Compute("cpu", "bfloat16", "channels_last", 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "bfloat16", "exact": True}, "exact training is in float32: leave out"),
        ({"engine": "fused", "exact": True}, "by PyTorch's own operations: leave out"),
        ({"device": "tpu"}, "there is no device 'tpu' here: "),
        ({"device": "cuda:999"}, "there is no device 'cuda:999' here: "),
        ({"device": ""}, "there is no device '' here: "),
    ],
)
def test_what_this_machine_cannot_do_is_said(options: dict[str, object], message: str) -> None:
    with pytest.raises(RunError, match=message) as error:
        choose(SMALL, 32, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("engine", ["fused", "compiled"])
def test_an_engine_that_compiles_needs_a_compiler(
    monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    def none() -> str:
        raise NoKernels("there is no C++ compiler here")

    monkeypatch.setattr(compute, "compiler", none)
    with pytest.raises(RunError, match=f"no C.. compiler here, which the engine '{engine}' needs"):
        choose(SMALL, 32, device="cpu", engine=engine)
    assert choose(SMALL, 32, device="cpu", engine="eager").engine == "eager"


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(StriateError, match="no precision 'bfloat15': did you mean bfloat16"):
        Compute(precision="bfloat15")
    with pytest.raises(StriateError, match="no memory format 'channel_last'"):
        Compute(memory_format="channel_last")
    with pytest.raises(StriateError, match="no engine 'fuse': did you mean fused"):
        Compute(engine="fuse")


@pytest.mark.parametrize("precision", compute.PRECISIONS)
@pytest.mark.parametrize("memory_format", compute.MEMORY_FORMATS)
def test_it_is_kept_and_read_back_and_said(precision: str, memory_format: str) -> None:
    one = Compute("cpu", precision, memory_format, 3)
    assert Compute(**asdict(one)) == one
    assert str(one) == f"cpu, 3 threads, {precision}, {memory_format.replace('_', ' ')}"
    assert str(replace(one, engine="fused", reason="so")) == f"{one}, fused: so"


def test_a_gpu_says_no_threads() -> None:
    assert str(Compute("cuda:1", "bfloat16", "channels_last", 8)) == (
        "cuda:1, bfloat16, channels last"
    )


def test_a_model_and_its_images_are_placed_and_computed_as_said() -> None:
    """Weights stay float32; convolutions and products are in the precision, here bfloat16."""
    one = Compute("cpu", "bfloat16", "channels_last", 1)
    model = one.place(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 2)))
    images = one.arranged(torch.randn(2, 3, 6, 6))
    assert torch.get_num_threads() == 1
    for tensor in (images, model[0].weight):  # type: ignore[index]
        assert tensor.is_contiguous(memory_format=torch.channels_last)
    with one.autocast():
        assert model(images).dtype == torch.bfloat16
    with Compute().autocast():
        assert model(images).dtype == torch.float32
    assert all(each.dtype == torch.float32 for each in model.parameters())


@pytest.mark.parametrize("engine", compute.ENGINES)
def test_every_engine_trains_the_model_s_own_parameters(
    monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    model = SMALL.build()
    one = Compute(engine=engine)
    module = one.training(model)
    assert {id(each) for each in module.parameters()} == {id(each) for each in model.parameters()}
    module(
        torch.randn(2, *(SMALL.input.depth, SMALL.input.height, SMALL.input.width))
    ).sum().backward()
    assert all(each.grad is not None for each in model.parameters())
