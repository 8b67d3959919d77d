"""Checkpoints: folders that are whole, or recognised as not.

    step-00001200/
        state.safetensors   every tensor that training changes
        progress.json       every number that it changes, and what the run was made from
        SHA256SUMS          the manifest, written last: `sha256sum -c SHA256SUMS` checks it too

A folder is filled under another name, each file flushed, and gets its own name at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from striate.disk import flush_folder
from striate.errors import RunError

MANIFEST = "SHA256SUMS"
STATE = "state.safetensors"
PROGRESS = "progress.json"
NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read back and found whole."""

    path: Path
    tensors: dict[str, Tensor]
    about: dict[str, Any]


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> Path:
    """Write a checkpoint and return where it lies. Those that were there stay as they are.

    Raises:
        RunError: the disk is full or the folder read-only.
    """
    path = folder / f"step-{step:08d}"
    new = path.with_name(f"{path.name}.new")
    try:
        folder.mkdir(exist_ok=True)
        shutil.rmtree(new, ignore_errors=True)  # of a writing that was killed
        new.mkdir()
        plain = {name: each.detach().cpu().contiguous() for name, each in tensors.items()}
        save_file(plain, new / STATE)
        (new / PROGRESS).write_text(json.dumps(about, indent=2), "utf-8")
        for name in (STATE, PROGRESS):
            _flush(new / name)
        (new / MANIFEST).write_bytes(_manifest(new))
        _flush(new / MANIFEST)
        flush_folder(new)
        if path.exists():  # a damaged one, or one of a future that was given up
            shutil.rmtree(path)
        os.replace(new, path)
        flush_folder(folder)
    except (OSError, SafetensorError) as reason:
        shutil.rmtree(new, ignore_errors=True)
        said = getattr(reason, "strerror", None) or reason
        raise RunError(
            f"{path} cannot be written: {said}; the checkpoints before it stay"
        ) from None
    return path


def newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is whole, and a sentence for each damaged one passed over."""
    warnings: list[str] = []
    for step in sorted(steps(folder), reverse=True):
        try:
            return read(folder, step), warnings
        except RunError as reason:
            warnings.append(str(reason))
    return None, warnings


def read(folder: Path, step: int) -> Checkpoint:
    """One checkpoint.

    Raises:
        RunError: it is not there, or not whole: a file is missing or disagrees with its sum.
    """
    path = folder / f"step-{step:08d}"
    try:
        if (path / MANIFEST).read_bytes() != _manifest(path):
            raise ValueError(f"its files do not agree with {MANIFEST}")
        about = json.loads((path / PROGRESS).read_text("utf-8"))
        return Checkpoint(path, load_file(path / STATE), about)
    except (OSError, ValueError, SafetensorError) as reason:
        said = getattr(reason, "strerror", None) or reason
        raise RunError(f"checkpoint {path} is damaged: {said}") from None


def prune(folder: Path, keep: int, also: Collection[int] = ()) -> None:
    """Remove all but the newest `keep` checkpoints, those of the steps `also`, and remainders."""
    for step in sorted(steps(folder))[:-keep]:
        if step not in also:
            shutil.rmtree(folder / f"step-{step:08d}", ignore_errors=True)
    for remainder in folder.glob("*.new"):
        shutil.rmtree(remainder, ignore_errors=True)


def discard_after(folder: Path, step: int) -> None:
    """Remove the checkpoints of a future that is given up."""
    for later in [each for each in steps(folder) if each > step]:
        shutil.rmtree(folder / f"step-{later:08d}", ignore_errors=True)


def steps(folder: Path) -> list[int]:
    """The steps of which there are checkpoints, whole or not."""
    if not folder.is_dir():
        return []
    return [int(found[1]) for each in folder.iterdir() if (found := NAME.fullmatch(each.name))]


def _manifest(path: Path) -> bytes:
    lines = []
    for name in (STATE, PROGRESS):
        with (path / name).open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    return "".join(lines).encode()


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
