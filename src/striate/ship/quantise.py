"""An ONNX model in whole numbers of eight bits, and how many more images it gets wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.data import Images, shuffled
from striate.data.tell import Tell, silent
from striate.errors import RunError
from striate.layers.volume import Volume
from striate.ship.engines import PIXELS
from striate.ship.model import Infer

CALIBRATED = 256  # images by which the ranges of volumes are measured
BATCH = 32
# What ONNX Runtime computes in whole numbers; the rest stays float32.
WHOLE = [
    *("Add", "AveragePool", "Concat", "Conv", "Gemm", "GlobalAveragePool", "LeakyRelu", "MaxPool"),
    *("Relu", "Sigmoid"),
]


class Accuracies(NamedTuple):
    """On the same images, before and after."""

    images: int
    float32: float
    int8: float

    @property
    def loss(self) -> float:
        """Of accuracy; below 0 where it has become better."""
        return self.float32 - self.int8


def quantised(content: bytes, images: Images, volume: Volume, *, tell: Tell = silent) -> bytes:
    """The model with weights and volumes of eight bits, per filter and per volume.

    By ONNX Runtime's static quantisation: the range of each volume is that over training images.

    Args:
        content: of an ONNX file.
        images: those that it was trained on.
        volume: of its pixels.

    Raises:
        RunError: it cannot be quantised.
    """
    import onnx
    from onnxruntime import quantization

    chosen = np.sort(shuffled(len(images), 0)[:CALIBRATED])
    parts = [chosen[first : first + BATCH] for first in range(0, len(chosen), BATCH)]

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # it has no types
        def __init__(self) -> None:
            self.left = iter(parts)
            self.done = 0

        def get_next(self) -> dict[str, Any] | None:
            if (part := next(self.left, None)) is None:
                return None
            tell("calibrating", self.done, len(parts))
            self.done += 1
            return {PIXELS: pixels_of(images, part, volume)}

    with TemporaryDirectory() as folder, _quiet():
        path = Path(folder, "int8.onnx")
        try:
            quantization.quantize_static(
                onnx.load_model_from_string(content),
                path,
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=WHOLE,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        except Exception as reason:  # its exceptions have no common base
            said = " ".join(str(reason).split())[:200]
            raise RunError(f"the model cannot be computed in eight bits: {said}") from None
        return path.read_bytes()


@contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's quantisation advises through the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def pixels_of(images: Images, positions: NDArray[np.int64], volume: Volume) -> NDArray[np.uint8]:
    """Some images of a run as its artefacts take them: grey ones in each channel."""
    found = np.asarray(images.pixels[positions])
    return np.ascontiguousarray(np.broadcast_to(found, (len(positions), *volume)))


def accuracy(infer: Infer, images: Images, volume: Volume, *, tell: Tell = silent) -> float:
    """The part of images whose most probable class is the true one."""
    right = 0
    for first in range(0, len(images), BATCH):
        tell("scoring", first, len(images))
        positions = np.arange(first, min(first + BATCH, len(images)), dtype=np.int64)
        said = infer(pixels_of(images, positions, volume)).argmax(axis=1)
        right += int((said == images.labels[positions]).sum())
    tell("scoring", len(images), len(images))
    return right / len(images)
