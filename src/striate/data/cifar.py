"""CIFAR-10 and CIFAR-100 in their authors' files: https://www.cs.toronto.edu/~kriz/cifar.html

Python batches are pickles of a dictionary: `data`, uint8 of (count, 3072), red, green and blue
planes of 32x32; `labels`, or `coarse_labels` and `fine_labels`. Binary batches have the label bytes
before each image's 3072. Both may lie in a folder or in their .tar.gz, which is read where it lies.
"""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.archives import DAMAGED
from striate.data.images import Images
from striate.errors import DataError

LARGEST = 2**29  # bytes of a file; the largest, CIFAR-100's train, has 155 million
FIRST = 20  # members of an archive that are looked at to tell what it is
VALUES = 3 * 32 * 32


@dataclass(frozen=True)
class Form:
    """How the files of a set are called, and what is in them.

    Attributes:
        labels: bytes before an image in a binary file (the last one counts), or 0 for pickles.
        key: of the labels in a pickle.
        names: of the file of class names, and its key in a pickle.
    """

    train: tuple[str, ...]
    test: str
    labels: int
    key: str
    names: tuple[str, str]

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.train, self.test)


FIVE = tuple(f"data_batch_{number}" for number in range(1, 6))
FORMS = (
    Form(FIVE, "test_batch", 0, "labels", ("batches.meta", "label_names")),
    Form(tuple(f"{name}.bin" for name in FIVE), "test_batch.bin", 1, "", ("batches.meta.txt", "")),
    Form(("train",), "test", 0, "fine_labels", ("meta", "fine_label_names")),
    Form(("train.bin",), "test.bin", 2, "", ("fine_label_names.txt", "")),
)


def load(path: Path) -> tuple[Images, Images] | None:
    """The training and the test images of a folder or an archive; None if it holds no CIFAR.

    Raises:
        DataError: a file of it is missing or is not what it should be.
    """
    if path.is_dir():
        folders = [path, *(each for each in sorted(path.iterdir()) if each.is_dir())]
        for folder in folders[: 2 if len(folders) == 2 else 1]:
            names = {each.name for each in folder.iterdir() if each.is_file()}
            if form := _form(names):
                return _images(form, str(folder), partial(_from_folder, folder))
        return None
    return _archive(path)


def _form(names: set[str]) -> Form | None:
    for form in FORMS:
        if form.files[0] in names or form.test in names:
            return form
    return None


def _from_folder(folder: Path, name: str) -> bytes | None:
    path = folder / name
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path} is larger than the {LARGEST // 2**20} MiB read here")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as reason:
        raise DataError(f"{path}: {reason.strerror}") from None


def _archive(path: Path) -> tuple[Images, Images] | None:
    """One pass over an archive: a compressed one cannot be read in another order."""
    files: dict[str, bytes] = {}
    wanted = {name for form in FORMS for name in (*form.files, form.names[0])}
    try:
        if not tarfile.is_tarfile(path):
            return None
        with tarfile.open(path) as tar:
            for number, member in enumerate(tar):
                name = member.name.removeprefix("./").rpartition("/")[2]
                if member.isreg() and name in wanted:
                    if member.size > LARGEST:
                        raise DataError(f"{path}:{member.name} is larger than any such file")
                    file = tar.extractfile(member)
                    files[name] = file.read() if file else b""
                if number >= FIRST and not files:
                    return None
    except DAMAGED as reason:
        raise DataError(f"{path} cannot be read: {reason}") from None
    form = _form(set(files))
    return _images(form, str(path), files.get) if form else None


def _images(form: Form, where: str, read: Callable[[str], bytes | None]) -> tuple[Images, Images]:
    def file(name: str) -> bytes:
        content = read(name)
        if content is None:
            raise DataError(f"{where} holds no {name}")
        return content

    parts = {}
    for name in form.files:
        try:
            parts[name] = _batch(form, file(name))
        except (ArithmeticError, ValueError, KeyError, TypeError) as reason:
            raise DataError(f"{where}: {name} is damaged: {_said(reason)}") from None
    meta, key = form.names
    try:
        names = _names(read(meta), key)
    except (ArithmeticError, ValueError, KeyError, TypeError) as reason:
        raise DataError(f"{where}: {meta} is damaged: {_said(reason)}") from None
    count = 1 + max(int(labels.max(initial=0)) for _, labels in parts.values())
    classes = names or tuple(map(str, range(count)))
    train = [parts[name] for name in form.train]
    try:
        pixels, labels = (np.concatenate(each) for each in zip(*train, strict=True))
        return Images(pixels, labels, classes), Images(*parts[form.test], classes)
    except DataError as reason:
        raise DataError(f"{where}: {reason}") from None


def _said(reason: Exception) -> str:
    return f"it lacks {reason}" if isinstance(reason, KeyError) else str(reason)


def _batch(form: Form, content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """One file's images, (count, 32, 32, 3), and labels."""
    if form.labels:
        rows = np.frombuffer(content, np.uint8)
        width = form.labels + VALUES
        if rows.size % width:
            raise ValueError(f"{rows.size} bytes are no multiple of {width}")
        rows = rows.reshape(-1, width)
        labels, planes = rows[:, form.labels - 1].astype(np.int64), rows[:, form.labels :]
    else:
        table = unpickle(content)
        labels, planes = np.array(table[form.key], dtype=np.int64), table["data"]
        if not isinstance(planes, np.ndarray) or planes.dtype != np.uint8:
            raise ValueError("its data are no array of bytes")
        if planes.shape != (len(labels), VALUES):
            raise ValueError(f"its data are {planes.shape}, but there are {len(labels)} labels")
    return np.ascontiguousarray(planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels


def _names(content: bytes | None, key: str) -> tuple[str, ...]:
    if content is None:
        return ()
    if key:
        return tuple(map(str, unpickle(content)[key]))
    return tuple(content.decode().split())


def unpickle(content: bytes) -> Mapping[str, Any]:
    """The dictionary in a pickle of NumPy arrays and plain values; nothing in it is run.

    Raises:
        ValueError: it is damaged, or wants anything else.
    """
    try:
        table = _Restricted(io.BytesIO(content), encoding="latin1").load()
    except ValueError:
        raise
    except Exception as reason:  # the unpickler raises nearly anything for a damaged stream
        raise ValueError(f"{reason or type(reason).__name__}") from None
    if not isinstance(table, dict):
        raise ValueError("it holds no dictionary")
    return {key.decode() if isinstance(key, bytes) else str(key): table[key] for key in table}


class _Restricted(pickle.Unpickler):
    """Admits what arrays are made by, whichever NumPy wrote them, in the form they are written."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise ValueError(f"it asks for {module}.{name}, which no batch of images needs")
        return ADMITTED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise ValueError("it asks for something outside of it")


def _array(kind: object, shape: object, code: object) -> NDArray[Any]:
    """Empty, whatever is asked for: the state that follows fills it, by no more than its bytes."""
    return np.empty(0, np.uint8)


def _dtype(name: object, *flags: object) -> np.dtype[Any]:
    if name not in ("u1", "i8", "i4", "|u1", "<i8", "<i4"):
        raise ValueError(f"it holds an array of {name!r}")
    return np.dtype(str(name))


def _encode(text: str, encoding: object) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"it holds bytes as {encoding!r}")
    return text.encode("latin1")


ADMITTED: dict[tuple[str, str], object] = {
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy", "ndarray"): None,  # only ever an argument
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
}
