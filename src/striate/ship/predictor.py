"""A model that answers for image files, computed as this machine does it fastest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from striate.data.decode import WORDS, decode
from striate.data.tell import Tell, silent
from striate.disk import at_home
from striate.errors import StriateError
from striate.layers.volume import Volume
from striate.runs import open_run
from striate.ship.about import written
from striate.ship.choice import Subject, choose
from striate.ship.engines import installed, require
from striate.ship.model import Infer, Model, of_run

OTHERS = (".pt", ".pt2", ".pth", ".py", ".safetensors")  # what models come in, too
EXACT = "exact"  # PyTorch in float32, layer by layer: what other ways are compared with


@dataclass(frozen=True, eq=False)
class Predictor:
    """Image files to pixels to probabilities.

    Attributes:
        name: how the model goes by.
        classes: their names, in the order of the probabilities.
        volume: of the pixels that it takes.
        engine: what computes it: `pytorch`, `onnxruntime` or `openvino`.
        way: the same in words, with what was measured.
        mark: SHA-256, in hexadecimal, of all that decides its answers, within rounding.
    """

    name: str
    classes: tuple[str, ...]
    volume: Volume
    engine: str
    way: str
    mark: str
    infer: Infer = field(repr=False)

    def pixels(self, content: bytes) -> NDArray[np.uint8]:
        """An image file as the run's images were seen, (H, W, D); from many threads at once.

        Upright, grey or RGB; of another size than the run's images, the largest centred rectangle
        of their shape is scaled to it.

        Raises:
            DataError: the file cannot be decoded, or has more than 100 million pixels.
        """
        return decode(content, self.volume.depth, self.volume[:2])

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities, (N, K), of uint8 pixels, (N, H, W, D), for any N; from any thread.

        Raises:
            StriateError: the pixels are of another volume, or an ONNX file fails with them.
        """
        if pixels.dtype != np.uint8 or pixels.shape[1:] != tuple(self.volume):
            raise StriateError(
                f"{self.name} takes uint8 pixels of (N, {', '.join(map(str, self.volume))}), "
                f"not {pixels.dtype} of {pixels.shape}"
            )
        if not len(pixels):
            return np.zeros((0, len(self.classes)), np.float32)
        found = self.infer(pixels)
        if found.shape != (len(pixels), len(self.classes)):  # as an ONNX file may say and not do
            raise StriateError(
                f"{self.name} is damaged: it gives {found.shape} for {len(pixels)} images of "
                f"{len(self.classes)} classes"
            )
        return found


def open_predictor(
    source: str | Path,
    *,
    engine: str = "auto",
    threads: int | None = None,
    tell: Tell = silent,
) -> Predictor:
    """What answers for image files.

    Args:
        source: a run's folder, the name of a run that comes along, or an ONNX file that
            `striate export` wrote.
        engine: `auto`, the fastest that is installed and whose answers agree with plain float32:
            a probe of a few seconds, remembered; `pytorch`, `onnxruntime` or `openvino`, the
            fastest way of that one; `exact`, plain float32 in PyTorch (for an ONNX file, in
            ONNX Runtime).
        threads: of the CPU, PyTorch's from then on; by default as many as PyTorch takes.
        tell: hears what is measured.

    Raises:
        StriateError: the source is neither, or is damaged, or the engine cannot be had here.
    """
    path = at_home(source)
    if engine not in ("auto", EXACT):
        require(engine)
    if threads:
        torch.set_num_threads(threads)  # `exact` is PyTorch too, and what others are compared with
    threads = torch.get_num_threads()
    subject = _of_onnx(path) if _is_onnx(path) else _of_run(source)
    if subject.volume.depth not in WORDS:
        raise StriateError(
            f"{subject.name} takes a depth of {subject.volume.depth}: image files are grey (1) "
            "or RGB (3)"
        )
    chosen = choose(subject, engine, threads, tell)
    return Predictor(
        subject.name,
        subject.classes,
        subject.volume,
        chosen.way.engine,
        chosen.words,
        subject.mark,
        chosen.infer,
    )


def _is_onnx(path: Path) -> bool:
    return path.is_file() or path.suffix.lower() == ".onnx"


def _of_onnx(path: Path) -> Subject:
    if path.suffix.lower() in OTHERS:
        raise StriateError(
            f"{path} is neither a run nor an ONNX file: name the run that it was exported from, or "
            "`striate export RUN --to onnx`"
        )
    require("onnxruntime")
    from hashlib import sha256

    from striate.ship.onnx_file import read_onnx

    content, about = read_onnx(path)
    mark = sha256(content).hexdigest()
    return Subject(
        about.name, about.network, about.classes, about.volume, mark, None, lambda: content
    )


def _of_run(source: str | Path) -> Subject:
    model = of_run(open_run(source))
    said = written(model)
    return Subject(
        model.name,
        str(model.network),
        model.classes,
        model.volume,
        model.mark,
        model,
        _artefact(model, said) if installed("onnxruntime") or installed("openvino") else None,
    )


def _artefact(model: Model, said: str) -> Callable[[], bytes]:
    """The model as ONNX, made when it is first wanted."""

    @cache
    def content() -> bytes:
        from striate.ship.onnx_graph import to_onnx

        return to_onnx(model, said)

    return content
