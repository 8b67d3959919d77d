"""Files that are whole or not there: written aside, flushed, renamed; and tensors under a seal."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of
from torch import Tensor

from striate.disk import flush_folder
from striate.errors import RunError

UNSEALED = "0" * 64
# Both names have the mark, so that a seal whose name was damaged is not taken for none.
MARK = "striate"
ENTRY, SEAL = MARK, f"{MARK}-sha256"


def write(path: Path, content: bytes) -> None:
    """Write a file so that at any instant its name leads to all of the old or all of the new.

    Raises:
        RunError: it cannot be written; what was there before is as it was.
    """
    new = path.with_name(f"{path.name}.new")
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
        flush_folder(path.parent)  # the renaming must reach the disk too
    except OSError as reason:
        raise RunError(f"{path} cannot be written: {reason.strerror}") from None
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)  # what an interrupted writing left


def copy(source: Path, target: Path) -> None:
    """Let a second name lead to the same content: no bytes are copied where the disk can link.

    Raises:
        RunError: it cannot be written.
    """
    new = target.with_name(f"{target.name}.new")
    try:
        new.unlink(missing_ok=True)
        os.link(source, new)
        os.replace(new, target)
        # Where both already lead to the same content, POSIX's rename leaves the new name behind.
        new.unlink(missing_ok=True)
    except OSError:  # a disk that cannot link
        try:
            content = source.read_bytes()
        except OSError as reason:
            raise RunError(f"{source} cannot be read: {reason.strerror}") from None
        write(target, content)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write a safetensors file whose metadata holds `about` and a seal.

    The seal is the SHA-256 sum of the file with 64 zeros in the seal's place: one file vouches for
    itself, and any reader of safetensors can read it. Same tensors, same bytes: the metadata is a
    single entry, since safetensors writes several in any order.
    """
    plain = {name: each.detach().cpu().contiguous() for name, each in tensors.items()}
    content = bytes_of(plain, {ENTRY: json.dumps({**about, SEAL: UNSEALED})})
    seal = hashlib.sha256(content).hexdigest()
    write(path, content.replace(UNSEALED.encode(), seal.encode(), 1))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, and what it says about them.

    Raises:
        RunError: it cannot be read, is no safetensors file, or does not agree with its seal (a
            file without one, of another program, is taken as it is).
    """
    try:
        content = path.read_bytes()
        tensors = tensors_of(content)
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        entry = json.loads(metadata.get(ENTRY, "{}"))
        about = {str(name): str(value) for name, value in entry.items()}
    except OSError as reason:
        raise RunError(f"{path} cannot be read: {reason.strerror or reason}") from None
    except (SafetensorError, ValueError, AttributeError, RecursionError) as reason:
        raise RunError(f"{path} is damaged: {reason}") from None
    except KeyError as reason:  # PyTorch has fewer kinds of numbers than safetensors
        raise RunError(f"{path} holds numbers of the kind {reason}, not read here") from None
    seal = about.pop(SEAL, None)
    if seal is None:
        if MARK in str(metadata):
            raise RunError(f"{path} is damaged: its SHA-256 sum is gone")
        return tensors, about
    blank = content.replace(seal.encode(), UNSEALED.encode(), 1)
    if hashlib.sha256(blank).hexdigest() != seal:
        raise RunError(f"{path} is damaged: it does not agree with its SHA-256 sum")
    return tensors, about
