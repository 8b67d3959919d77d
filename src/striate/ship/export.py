"""A model as a file that needs no striate: written aside, run, compared, and only then there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from striate.data import Images
from striate.data.tell import Tell, silent
from striate.errors import RunError, one_of
from striate.ship.choice import images
from striate.ship.engines import by_onnxruntime
from striate.ship.formats import FORMATS, Answer, answer_of
from striate.ship.model import Model, Whole
from striate.storage import write

if TYPE_CHECKING:
    from striate.ship.quantise import Accuracies

BATCHES = (1, 3)  # images at a time, to see that any number is taken
PROBABILITY = 1e-3  # how far a probability may be off
SCORE = 1e-4  # ... and a score, in parts of the largest
ROUNDING = 4  # ... or so many times what the model's own rounding makes of it
MEANINGLESS = 1e-2  # ... and never this much: where rounding makes more, nothing can be compared


class Difference(NamedTuple):
    """How far an artefact's answers are from the model's, at most.

    Attributes:
        images: how many were compared.
        probability: of 1.
        score: in parts of the largest score.
        rounding: how far the model's own scores, in float32, are from those in float64, in parts
            of the largest: of dozens of layers without shortcuts it may be more than 1e-4.
    """

    images: int
    probability: float
    score: float
    rounding: float

    @property
    def small(self) -> bool:
        """Whether rounding explains it; not where something is not finite."""
        allowed = min(max(SCORE, ROUNDING * self.rounding), MEANINGLESS)
        return self.probability <= PROBABILITY and self.score <= allowed


class Exported(NamedTuple):
    """What was written.

    Attributes:
        paths: of the artefact, and of what lies beside it.
        difference: from the model in plain float32.
    """

    paths: tuple[Path, ...]
    difference: Difference


def export(model: Model, to: str, out: Path, *, tell: Tell = silent) -> Exported:
    """Write a model's artefact, once its answers were compared with the model's.

    Args:
        to: a key of FORMATS.
        out: its file; one that is there is written over.

    Raises:
        StriateError: there is no such format, the file cannot be written, or what was written
            answers otherwise than the model: then no file is left.
    """
    kind = FORMATS[one_of("format", to, FORMATS)]
    check_name(out, to)
    with aside(out) as new:
        tell(f"writing {to}", 0, 2)
        kind.write(model, new)
        tell(f"comparing {to}", 1, 2)
        found = difference(model, kind.answer(new), BATCHES)
        if not found.small:
            raise RunError(
                f"{to} answers otherwise than the model, by {found.probability:.1g} of a "
                f"probability and {found.score:.1g} of the largest score, where its own rounding "
                f"makes {found.rounding:.1g}: nothing was written"
            )
        tell(f"comparing {to}", 2, 2)
        return Exported(settled(new, out), found)


def check_name(out: Path, to: str) -> None:
    """Refuse a file whose name ends otherwise than its format's do.

    Raises:
        RunError: it does.
    """
    if out.suffix != (suffix := FORMATS[to].suffix):
        raise RunError(f"{out} must end in {suffix}, as {to} files do")


@contextmanager
def aside(out: Path) -> Iterator[Path]:
    """A file of the same name in a folder beside it, which is gone afterwards."""
    try:
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            yield Path(folder, out.name)
    except OSError as reason:
        raise RunError(f"{out} cannot be written: {reason.strerror or reason}") from None


def settled(new: Path, out: Path) -> tuple[Path, ...]:
    """Move all files from beside an artefact to its own folder, the artefact last."""
    names = [*sorted({each.name for each in new.parent.iterdir()} - {new.name}), new.name]
    for name in names:
        with suppress(OSError), (new.parent / name).open("rb") as file:
            os.fsync(file.fileno())
        os.replace(new.parent / name, out.parent / name)
    return tuple(out.parent / name for name in reversed(names))


def difference(model: Model, answer: Answer, counts: Sequence[int]) -> Difference:
    """How far answers are from the model's, over batches of so many images."""
    batches = [images(model.volume, count, seed) for seed, count in enumerate(counts)]
    whole = Whole(model)
    own, finer = (answer_of(each)(batches) for each in (whole, deepcopy(whole).double()))
    probability = score = rounding = 0.0
    for found, wanted, exact in zip(answer(batches), own, finer, strict=True):
        probability = _worse(probability, _off(found[0], wanted[0]))
        largest = max(1e-9, float(np.abs(wanted[1]).max()))
        score = _worse(score, _off(found[1], wanted[1]) / largest)
        rounding = _worse(rounding, _off(exact[1], wanted[1]) / largest)
    return Difference(sum(counts), probability, score, rounding)


def _off(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    if found.shape != wanted.shape:
        return float("nan")
    return float(np.abs(found - wanted).max())


def _worse(one: float, other: float) -> float:
    """The larger; what is not a number stays."""
    return other if not other <= one else one


def export_int8(
    model: Model, training: Images, held_out: Images, out: Path, *, tell: Tell = silent
) -> tuple[Exported, Accuracies]:
    """Write a model as ONNX in whole numbers of eight bits.

    The float32 artefact is compared with the model as by `export`; of the other, the accuracy on
    held-out images is measured beside it.

    Args:
        training: images for the ranges of volumes.
        held_out: images for the accuracies.

    Raises:
        StriateError: as `export`, the images have another size now, or the model cannot be
            quantised.
    """
    from striate.ship.onnx_file import read_onnx
    from striate.ship.quantise import Accuracies, accuracy, quantised

    check_name(out, "onnx")
    for now in (training, held_out):
        if now.volume[:2] != model.volume[:2]:
            raise RunError(
                f"{model.name} takes images of {model.volume}, and they are {now.volume} now"
            )
    threads = torch.get_num_threads()
    with aside(out) as new:
        plain = export(model, "onnx", new.with_name(f"float32-{new.name}"), tell=tell)
        content = plain.paths[0].read_bytes()
        write(new, quantised(content, training, model.volume, tell=tell))
        plain.paths[0].unlink()
        before, after = (
            accuracy(by_onnxruntime(each, threads), held_out, model.volume, tell=tell)
            for each in (content, read_onnx(new).content)
        )
        found = Accuracies(len(held_out), before, after)
        return Exported(settled(new, out), plain.difference), found
