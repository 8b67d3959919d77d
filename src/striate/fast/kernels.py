"""The kernels of native/, compiled for this machine when they are first wanted, and kept."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from striate.data.folders import cache_folder
from striate.host import instructions, processor

FLAGS = ("-O3", "-std=c++17", "-fPIC", "-fno-math-errno", "-fno-trapping-math")
COMPILERS = ("c++", "g++", "clang++")
LAST = torch.channels_last  # how the kernels want volumes
NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


class NoKernels(Exception):
    """There are none here; the text says why. PyTorch's own operations do the same, slower."""


@cache
def library() -> ctypes.CDLL:
    """The kernels of this machine, compiled at the first call: some four seconds, once.

    PyTorch's OpenMP is used, so that its threads are not doubled: nothing is linked, the names are
    found in the process. Where that fails, the kernels run on one thread.

    Raises:
        NoKernels: no compiler, or none that succeeds.
    """
    folder = files("striate.fast").joinpath("native")
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith((".cpp", ".h")))
    sources = {name: folder.joinpath(name).read_bytes() for name in names}
    path = compiler()
    kept = cache_folder() / "kernels" / f"{_mark(sources, path)}.so"
    try:
        found = ctypes.CDLL(str(kept))
    except OSError:  # not compiled yet, or damaged
        found = _compiled(path, sources, kept)
    for name in ("forward", "backward", "largest", "spread"):
        for kind in NAMES.values():
            getattr(found, f"{name}_{kind}").restype = None
    for name in ("columns_of", "volume_of", "descend", "descend_adam"):
        getattr(found, name).restype = None
    found.squares.restype = ctypes.c_double
    return found


@cache
def available() -> bool:
    """Whether this machine has them."""
    try:
        library()
    except NoKernels:
        return False
    return True


def at(tensor: Tensor | None) -> ctypes.c_void_p:
    """Where a tensor's values lie; nowhere for None."""
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def compiler() -> str:
    """The path of a C++ compiler.

    Raises:
        NoKernels: there is none.
    """
    for name in (os.environ.get("CXX"), *COMPILERS):
        if name and (path := shutil.which(name)):
            return path
    raise NoKernels("there is no C++ compiler here")


def _mark(sources: Mapping[str, bytes], path: str) -> str:
    """A name for what this compiler makes of these sources on this kind of processor."""
    known = instructions() or platform.node()
    said = [sources, FLAGS, path, os.stat(path).st_mtime_ns, processor(), known]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:24]


def _compiled(path: str, sources: Mapping[str, bytes], kept: Path) -> ctypes.CDLL:
    """The kernels, which are kept under a name if that can be written."""
    arm = platform.machine() in ("arm64", "aarch64")
    native = ["-mcpu=native"] if arm else ["-march=native", "-mprefer-vector-width=512"]
    with TemporaryDirectory() as folder:
        for name, text in sources.items():
            Path(folder, name).write_bytes(text)
        units = [name for name in sources if name.endswith(".cpp")]
        result = Path(folder, "kernels.so")
        for threads in (["-fopenmp"], []):
            compile_only = [path, *FLAGS, *native, *threads, "-c", *units]
            objects = [name.replace(".cpp", ".o") for name in units]
            link = [path, "-shared", *objects, "-o", result.name]
            try:
                for command in (compile_only, link):
                    subprocess.run(
                        command, check=True, cwd=folder, capture_output=True, text=True, timeout=120
                    )
                found = ctypes.CDLL(str(result))
                break
            except (OSError, subprocess.SubprocessError) as reason:
                said = getattr(reason, "stderr", None) or str(reason)
        else:
            raise NoKernels(f"{path} cannot compile them: {said.strip().splitlines()[-1]}")
        with suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            aside = kept.with_name(f"{kept.name}.{os.getpid()}")
            shutil.copy(result, aside)
            os.replace(aside, kept)
        return found
