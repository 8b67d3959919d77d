"""CIFAR-10 and -100 in their authors' files, and pickles that want more than arrays."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from striate.data import cifar, load
from striate.errors import DataError

COUNT = 20  # images in a batch
RANDOM = np.random.default_rng(0)


class Batch:
    """Images as planes, with fine and coarse labels."""

    def __init__(self, classes: int) -> None:
        self.pixels = RANDOM.integers(0, 256, (COUNT, 32, 32, 3), dtype=np.uint8)
        self.labels = np.arange(COUNT) % 10 + classes - 10
        self.planes = self.pixels.transpose(0, 3, 1, 2).reshape(COUNT, -1)

    def pickled(self, key: str, encoding: str) -> bytes:
        """As Python 2 wrote it, where `encoding` is latin1: its keys and bytes come as text."""
        table = {"batch_label": "x", key: self.labels.tolist(), "data": self.planes}
        table |= {"coarse_labels": [0] * COUNT} if key == "fine_labels" else {}
        if encoding == "latin1":
            return python2(self.planes, table)
        return pickle.dumps({name.encode(): value for name, value in table.items()})

    def binary(self, coarse: bool) -> bytes:
        columns = [np.zeros(COUNT, np.uint8)] * coarse + [self.labels.astype(np.uint8)]
        return np.column_stack([*columns, self.planes]).astype(np.uint8).tobytes()


def python2(planes: np.ndarray, table: dict[str, object]) -> bytes:
    """A pickle of protocol 2 with the strings and the names of modules of NumPy 1 on Python 2."""

    def text(value: str | bytes) -> bytes:
        raw = value.encode() if isinstance(value, str) else value
        return b"T" + len(raw).to_bytes(4, "little") + raw

    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    shape = b"M" + planes.shape[0].to_bytes(2, "little") + b"M\x00\x0c\x86"
    dtype = (
        b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN"
        + b"J\xff\xff\xff\xff" * 2
        + b"K\x00tb"
    )
    array += b"(K\x01" + shape + dtype + b"\x89" + text(planes.tobytes()) + b"tb"
    body = b""
    for key, value in table.items():
        if key == "data":
            content = array
        elif isinstance(value, str):
            content = text(value)
        else:
            content = b"(" + b"".join(b"K" + bytes([each]) for each in value) + b"l"  # type: ignore[attr-defined]
        body += text(key) + content
    return b"\x80\x02}(" + body + b"u."


def cifar10(form: str) -> tuple[dict[str, bytes], list[Batch]]:
    """The files of a small CIFAR-10, and its batches; the last one is for testing."""
    batches = [Batch(10) for _ in range(6)]
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    words = [f"word{number}" for number in range(10)]
    if form == "binary":
        files = {f"{n}.bin": b.binary(False) for n, b in zip(names, batches, strict=True)}
        return files | {"batches.meta.txt": "\n".join([*words, ""]).encode()}, batches
    files = {n: b.pickled("labels", form) for n, b in zip(names, batches, strict=True)}
    return files | {"batches.meta": pickle.dumps({"label_names": words}, 2)}, batches


def cifar100(form: str) -> tuple[dict[str, bytes], list[Batch]]:
    batches = [Batch(100), Batch(100)]
    words = [f"word{number}" for number in range(100)]
    if form == "binary":
        files = {n: b.binary(True) for n, b in zip(("train.bin", "test.bin"), batches, strict=True)}
        return files | {"fine_label_names.txt": "\n".join(words).encode()}, batches
    files = {
        n: b.pickled("fine_labels", form) for n, b in zip(("train", "test"), batches, strict=True)
    }
    return files | {
        "meta": pickle.dumps({"fine_label_names": words, "coarse_label_names": []})
    }, batches


def as_folder(root: Path, files: dict[str, bytes]) -> Path:
    (root / "set").mkdir(exist_ok=True)
    for name, content in files.items():
        (root / "set" / name).write_bytes(content)
    return root / "set"


def as_folder_in_a_folder(root: Path, files: dict[str, bytes]) -> Path:
    return as_folder(root, files).parent


def as_tar(root: Path, files: dict[str, bytes], end: str = "gz") -> Path:
    path = root / f"set.tar.{end}"
    with tarfile.open(path, f"w:{end}") as archive:
        folder = tarfile.TarInfo("set")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(f"set/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("pack", [as_folder, as_folder_in_a_folder, as_tar])
@pytest.mark.parametrize("form", ["latin1", "bytes", "binary"])
@pytest.mark.parametrize("make", [cifar10, cifar100])
def test_a_set_gives_its_images(
    tmp_path: Path,
    make: Callable[[str], tuple[dict[str, bytes], list[Batch]]],
    form: str,
    pack: Callable[[Path, dict[str, bytes]], Path],
) -> None:
    """Batches of Python 2, of today and binary; a folder, or the archive as it was downloaded."""
    files, batches = make(form)
    source = pack(tmp_path, files)
    found = load(source)
    assert found.train.classes[:2] == ("word0", "word1")
    assert np.array_equal(found.test.pixels, batches[-1].pixels)
    assert np.array_equal(found.test.labels, batches[-1].labels)
    pixels = np.concatenate([batch.pixels for batch in batches[:-1]])
    labels = np.concatenate([batch.labels for batch in batches[:-1]])
    seen = np.concatenate([found.train.pixels[:], found.validation.pixels[:]])
    told = np.concatenate([found.train.labels, found.validation.labels])
    assert sorted(map(bytes, seen)) == sorted(map(bytes, pixels))
    for image, label in zip(seen, told, strict=True):
        (place,) = np.flatnonzero((pixels == image).all(axis=(1, 2, 3)))
        assert labels[place] == label
    assert sorted(os.listdir(tmp_path)) == [source.name] or pack is as_folder_in_a_folder


class Hostile:
    """Runs a command when a plain unpickler reads it."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.parts = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.parts


@pytest.mark.parametrize("pack", [as_folder, as_tar])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_hostile_pickle_runs_nothing(
    tmp_path: Path, protocol: int, pack: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    mark = tmp_path / "mark"
    files, _ = cifar10("bytes")
    files["data_batch_3"] = pickle.dumps({"data": Hostile(os.mkdir, str(mark))}, protocol)
    source = pack(tmp_path, files)
    with pytest.raises(DataError, match=r"data_batch_3 is damaged: it asks for (posix|nt).mkdir"):
        load(source)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Hostile(eval, "1")), "asks for builtins.eval"),
        (b"cos\nsystem\n(S'true'\ntR.", "asks for os.system"),
        (b"cnumpy\nload\n(S'x'\ntR.", "asks for numpy.load"),
        (b"cnumpy\nndarray\n((I99999999999\ntI1\ntR.", "not callable"),
        (b"c_codecs\nencode\n(Vx\nVzlib\ntR.", "it holds bytes as 'zlib'"),
        (b"cnumpy\ndtype\n(VO\ntR.", "it holds an array of 'O'"),
        (b"Pid\n.", "outside of it"),
        (pickle.dumps([1]), "it holds no dictionary"),
        (pickle.dumps({1: 2})[:-2], "."),
        (b"", "Ran out of input"),
        (b"\x80\x04" + bytes(range(256)), "."),
        (b"(" * 100_000 + b".", "."),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", "."),
        (b"\x80\x02U\xffx.", "."),
    ],
)
def test_no_pickle_gets_more_than_arrays_and_plain_values(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cifar.unpickle(content)


def test_an_array_is_no_larger_than_its_bytes() -> None:
    """A state that says another shape than it has bytes for is refused, not allocated."""
    content = pickle.dumps({"data": np.zeros((2, 3), np.uint8)}, 2)
    shape = content.index(b"K\x02K\x03\x86")
    lie = content[:shape] + b"J\xff\xff\xff\x7fK\x03\x86" + content[shape + 5 :]
    pickletools.dis(lie, out=io.StringIO())  # it is a pickle still
    with pytest.raises(ValueError):
        cifar.unpickle(lie)


def test_a_changed_byte_gives_values_or_a_reason() -> None:
    content = pickle.dumps({b"labels": [1, 2], b"data": np.zeros((2, 3), np.uint8)}, 2)
    for place in range(len(content)):
        for value in (0, 1, 40, 82, 99, 255):
            damaged = content[:place] + bytes([value]) + content[place + 1 :]
            try:
                assert isinstance(cifar.unpickle(damaged), dict)
            except ValueError as reason:
                assert str(reason)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data_batch_2", None, "holds no data_batch_2"),
        ("data_batch_2", b"", "data_batch_2 is damaged: Ran out of input"),
        (
            "data_batch_2",
            pickle.dumps({"data": np.zeros((1, 3072), np.uint8)}),
            "it lacks 'labels'",
        ),
        ("data_batch_2", pickle.dumps({"labels": [1], "data": [1]}), "no array of bytes"),
        (
            "data_batch_2",
            pickle.dumps({"labels": [1], "data": np.zeros((2, 3072), np.uint8)}),
            "1 l",
        ),
        ("data_batch_2", pickle.dumps({"labels": ["a"], "data": 0}), "invalid literal"),
        ("data_batch_2", pickle.dumps({"labels": [2**70], "data": 0}), "too large"),
        (
            "test_batch",
            pickle.dumps({"labels": [10], "data": np.zeros((1, 3072), np.uint8)}),
            "label 10",
        ),
        ("batches.meta", pickle.dumps({"label_names": 5}), "batches.meta is damaged: "),
        ("batches.meta", pickle.dumps({"names": ["a"]}), "batches.meta is damaged: it lacks"),
    ],
)
@pytest.mark.parametrize("pack", [as_folder, as_tar])
def test_files_that_are_not_what_they_should_be_are_named(
    tmp_path: Path,
    pack: Callable[[Path, dict[str, bytes]], Path],
    name: str,
    content: bytes | None,
    message: str,
) -> None:
    files, _ = cifar10("bytes")
    files[name] = content or b""
    if content is None:
        del files[name]
    source = pack(tmp_path, files)
    with pytest.raises(DataError, match=message) as caught:
        load(source)
    assert str(caught.value).startswith(str(source))


def test_binary_batches_of_another_length_are_refused(tmp_path: Path) -> None:
    files, _ = cifar10("binary")
    files["data_batch_1.bin"] += b"\0"
    with pytest.raises(DataError, match=r"data_batch_1.bin is damaged: .* no multiple of 3073"):
        load(as_folder(tmp_path, files))


def test_without_names_classes_are_numbers(tmp_path: Path) -> None:
    files, _ = cifar10("bytes")
    del files["batches.meta"]
    assert load(as_folder(tmp_path, files)).train.classes == tuple("0123456789")


def test_a_cut_archive_is_refused(tmp_path: Path) -> None:
    path = as_tar(tmp_path, cifar10("bytes")[0])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"set.tar.gz cannot be read: "):
        load(path)
