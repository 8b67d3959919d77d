"""Weights that are known: of a run, in a file, on a hub; with what is known of their network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path

from torch import Tensor

from striate.data import Preparation
from striate.data.tell import Tell, silent
from striate.disk import at_home
from striate.errors import DataError, RunError
from striate.network import Network
from striate.runs import lasting, open_run
from striate.storage import read_tensors
from striate.transfer.hub import HUB, fetched
from striate.transfer.published import published

# How files begin that can run when they are read: a zip archive and a pickle, as torch.save writes.
PICKLES = (b"PK\x03\x04", b"\x80")
PREPARED = "prepared"  # in what a file says: the mean and deviation of each channel, as JSON
HEADER = b"{"  # after the eight bytes of its length, which may be those of PICKLES too


@dataclass(frozen=True, eq=False)
class Known:
    """Weights to begin with.

    Attributes:
        source: as `known` takes it, a path from the root of the file system.
        weights: by the names of the network's tensors.
        sha256: of their file.
        network: that they are of; None where that is not known.
        classes: that they tell apart, in the order of the scores; empty where not known.
        preparation: of the images that they were trained on, of any size where it is the same for
            each pixel; None where not known.
    """

    source: str
    weights: Mapping[str, Tensor]
    sha256: str
    network: Network | None = None
    classes: tuple[str, ...] = ()
    preparation: Preparation | None = None


def known(source: str, *, tell: Tell = silent) -> Known:
    """Weights to begin with, and what is known of their network.

    Args:
        source: a run's folder or name, whose weights to use are taken; a safetensors file, of a
            run, of striate's names or of torchvision's or timm's; or `hub:OWNER/NAME[@REVISION]`.
        tell: hears what is fetched.

    Raises:
        RunError: there is no such run, file or repository, or it cannot be used.
    """
    if source.startswith(HUB):
        found = fetched(source.removeprefix(HUB), tell=tell)
        weights = _of_file(found.path, source)
        if found.mean:
            weights = replace(
                weights, preparation=Preparation.by_channel(found.mean, found.deviation)
            )
        return replace(weights, source=source)
    path = at_home(source)
    if path.is_file() or path.suffix == ".safetensors":
        return _of_file(path, str(path))
    if ":" in source and not path.exists():
        raise RunError(
            f"--from takes a run, a .safetensors file or {HUB}OWNER/NAME: `striate recover "
            f"{source} --pretrained --out NET --weights FILE` writes such a file"
        )
    run = open_run(source)
    path = run.path / "weights.safetensors"
    if not path.is_file():
        raise RunError(f"{run.path} holds no weights: it ended before its first epoch did")
    return _of_run(path, lasting(source))


def _of_file(path: Path, name: str) -> Known:
    from striate.ship.formats import EXPORTED, model_from  # the room above wrote such files

    if (path.parent / "run.json").is_file():
        return _of_run(path, str(path.resolve()))
    weights, about, sha256 = _read(path, name)
    source = str(path.resolve())
    if EXPORTED in about:
        model = model_from(weights, about[EXPORTED], name)
        own = model.module.state_dict()
        return Known(source, own, sha256, model.network, model.classes, model.preparation)
    given = _given(about[PREPARED], name) if PREPARED in about else None
    found = published(weights)
    if found is None:
        return Known(source, weights, sha256, preparation=given)
    preparation = given or Preparation.by_channel(found.mean, found.deviation)
    return Known(source, found.weights, sha256, found.network, (), preparation)


def prepared(preparation: Preparation | None) -> dict[str, str]:
    """What a file of weights says of the images that they were trained on, where that is known."""
    if preparation is None:
        return {}
    plain = preparation.of_channels
    return {PREPARED: json.dumps([plain.mean, plain.deviation])}


def _given(said: str, name: str) -> Preparation:
    try:
        mean, deviation = (tuple(map(float, each)) for each in json.loads(said))
        return Preparation.by_channel(mean, deviation)
    except (ValueError, TypeError, OverflowError, RecursionError, DataError) as reason:
        raise RunError(f"{name}: how its images were prepared cannot be used: {reason}") from None


def _of_run(path: Path, source: str) -> Known:
    run = open_run(path.parent)
    weights, _, sha256 = _read(path, str(path))
    return Known(source, weights, sha256, run.network, run.classes, run.preparation)


def _read(path: Path, name: str) -> tuple[dict[str, Tensor], dict[str, str], str]:
    """The tensors of a file, all finite, what it says of them, and its sum."""
    try:
        with path.open("rb") as file:
            begins = file.read(8 + len(HEADER))
            file.seek(0)
            sha256 = file_digest(file, "sha256").hexdigest()
    except OSError as reason:
        raise RunError(f"{name} cannot be read: {reason.strerror}") from None
    if path.suffix.lower() == ".onnx":
        raise RunError(
            f"{name} is an ONNX file: `striate recover {name} --out NET --weights FILE` writes its "
            "network and its weights"
        )
    if begins.startswith(PICKLES) and begins[8:] != HEADER:
        raise RunError(
            f"{name} is a pickle or an archive of one, which could run code when it is read: "
            "striate reads safetensors alone"
        )
    if begins[8:] != HEADER:
        raise RunError(f"{name} is no safetensors file")
    tensors, about = read_tensors(path)
    for tensor, values in tensors.items():
        if values.is_floating_point() and not _wide(values).isfinite().all():
            raise RunError(f"{name}: {tensor} holds values that are not finite")
    return tensors, about, sha256


def _wide(values: Tensor) -> Tensor:
    """Numbers of a byte, of which PyTorch cannot ask whether they are finite, in four."""
    return values.float() if values.itemsize == 1 else values
