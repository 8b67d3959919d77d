"""What computes a model: PyTorch, ONNX Runtime or OpenVINO; pixels to probabilities."""

from __future__ import annotations

import threading
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from importlib.util import find_spec
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from striate.compute import PRECISIONS, Compute
from striate.data.device import moved
from striate.errors import StriateError, nearest
from striate.foreign import session_of, short
from striate.ship.model import Infer, Model, Whole, probabilities

EXTRAS = {"onnxruntime": "onnx", "openvino": "openvino"}  # the extra that brings an engine
ENGINES = ("pytorch", *EXTRAS)
PIXELS, PROBABILITIES, SCORES = "pixels", "probabilities", "scores"  # of an ONNX file


@dataclass(frozen=True)
class Way:
    """One way to compute a model.

    Attributes:
        engine: one of ENGINES.
        precision, memory_format, device: as in `Compute`, the last two of PyTorch.
    """

    engine: str
    precision: str = "float32"
    memory_format: str = "contiguous"
    device: str = "cpu"

    def __str__(self) -> str:
        words = [self.engine]
        words += [self.device] if self.device != "cpu" else []
        words += [self.precision] if self.precision != "float32" else []
        words += ["channels last"] if self.memory_format != "contiguous" else []
        return " ".join(words)


def installed(engine: str) -> bool:
    """Whether an engine can be had here."""
    needed = [engine, *(["onnx"] if engine in EXTRAS else [])]
    return engine == "pytorch" or all(find_spec(each) for each in needed)


def require(engine: str) -> None:
    """Raise StriateError for an engine that there is not, here or anywhere."""
    if engine not in ENGINES:
        raise StriateError(f"there is no engine {engine!r}: {nearest(engine, ENGINES)}")
    if not installed(engine):
        raise StriateError(
            f"{engine} is not installed: pip install 'striate[{EXTRAS[engine]}]', or leave it out"
        )


def by_pytorch(model: Model, way: Way, threads: int) -> Infer:
    """The model's own layers, batch normalisation folded."""
    compute = Compute(way.device, way.precision, way.memory_format, threads, "fused")
    module = compute.place(compute.scoring(deepcopy(model.module)))
    if way.precision != "float32":
        for each in module.modules():  # once, not in each call
            if isinstance(each, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                each.to(PRECISIONS[way.precision])
    whole = Whole(model, module).to(way.device)

    def infer(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode(), compute.autocast():
            images = compute.arranged(whole.prepared(moved(pixels, way.device)))
            return probabilities(whole.network(images))

    return infer


def by_onnxruntime(content: bytes, threads: int) -> Infer:
    """An ONNX model, checked before, in ONNX Runtime on the CPU."""
    session = session_of(content, threads)

    def infer(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            return cast("NDArray[np.float32]", session.run([PROBABILITIES], {PIXELS: pixels})[0])
        except Exception as reason:  # its own exceptions have no common base
            raise StriateError(f"ONNX Runtime cannot compute the model: {short(reason)}") from None

    return infer


def by_openvino(content: bytes, precision: str, threads: int) -> Infer:
    """An ONNX model, checked before, in OpenVINO on the CPU."""
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
    }
    try:
        compiled = core.compile_model(core.read_model(content, b""), "CPU", settings)
    except Exception as reason:
        raise StriateError(f"OpenVINO cannot take the model: {short(reason)}") from None
    own = threading.local()  # a request serves one caller at a time

    def infer(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        found = own.request.infer({PIXELS: np.ascontiguousarray(pixels)}, share_inputs=True)
        return np.array(found[PROBABILITIES], np.float32)

    return infer


def multiplies_bfloat16() -> bool:
    """Whether this CPU multiplies in bfloat16 (AMX, AVX-512 BF16): it may be faster then."""
    # Private, and the only way to ask PyTorch; a release that lacks them has no such CPU.
    asked = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in asked)


def ways(engine: str, *, own: bool, small: bool) -> list[Way]:
    """The ways of an engine, or of all that are installed, the plainest first.

    Args:
        engine: `auto` or one of ENGINES.
        own: whether PyTorch has the model, not an ONNX file alone.
        small: whether there is so little to compute that bfloat16 brings nothing.
    """
    found = [Way("pytorch", device="cuda")] if torch.cuda.is_available() else []
    found += [Way("pytorch"), Way("pytorch", memory_format="channels_last")]
    found += [Way("onnxruntime"), Way("openvino")]
    if multiplies_bfloat16() and not small:
        found += [Way("pytorch", "bfloat16", "channels_last"), Way("openvino", "bfloat16")]
    return [
        way
        for way in found
        if engine in ("auto", way.engine)
        and installed(way.engine)
        and (own or way.engine != "pytorch")
    ]


def opened(
    way: Way, model: Model | None, content: Callable[[], bytes] | None, threads: int
) -> Infer:
    """What computes in a way; `content` gives the ONNX model, which PyTorch does not need."""
    if way.engine == "pytorch":
        assert model is not None
        return by_pytorch(model, way, threads)
    assert content is not None
    if way.engine == "onnxruntime":
        return by_onnxruntime(content(), threads)
    return by_openvino(content(), way.precision, threads)
