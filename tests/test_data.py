"""Sources of arrays and their splits; hostile IDX files."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from striate.data import Images, hold_out, idx, load
from striate.errors import DataError

RANDOM = np.random.default_rng(0)
TRAINING = RANDOM.integers(0, 256, (20, 5, 4), dtype=np.uint8)
TEST = RANDOM.integers(0, 256, (6, 5, 4), dtype=np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_idx(folder: Path, pack: Callable[[bytes], bytes] = bytes, end: str = "") -> Path:
    """Twenty training images and six test images of two classes."""
    for name, array in {
        "train-images-idx3-ubyte": TRAINING,
        "train-labels-idx1-ubyte": np.arange(20) % 2,
        "t10k-images-idx3-ubyte": TEST,
        "t10k-labels-idx1-ubyte": np.array([1, 1, 1, 1, 1, 1]),
    }.items():
        (folder / f"{name}{end}").write_bytes(pack(idx_bytes(array)))
    return folder


@pytest.mark.parametrize(("pack", "end"), [(bytes, ""), (gzip.compress, ".gz")])
def test_an_idx_folder_gives_its_images(
    tmp_path: Path, pack: Callable[[bytes], bytes], end: str
) -> None:
    """Plain or compressed; a class that the test split lacks shifts no label."""
    found = load(write_idx(tmp_path, pack, end))
    assert found.source == str(tmp_path)
    assert (len(found.train), len(found.validation), len(found.test)) == (18, 2, 6)
    assert found.test.volume == (5, 4, 1)
    assert np.array_equal(found.test.pixels[:][..., 0], TEST)
    assert found.test.labels.tolist() == [1] * 6
    assert found.test.classes == found.train.classes == ("0", "1")
    for split in (found.train, found.validation):
        for pixels, label in zip(split.pixels[:][..., 0], split.labels, strict=True):
            (place,) = np.flatnonzero((pixels == TRAINING).all(axis=(1, 2)))
            assert label == place % 2


GOOD = idx_bytes(TEST)
PACKED = gzip.compress(GOOD, mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with , not with 00000803"),
        (b"\x00\x00", "begins with 0000, not with 00000803"),
        (b"PK\x03\x04" + GOOD, "begins with 504b0304, not with 00000803"),
        (b"\x00\x00\x0d\x03" + GOOD[4:], "begins with 00000d03, not with 00000803"),
        (idx_bytes(np.zeros(3)), "begins with 00000801, not with 00000803"),
        (GOOD[:11], "ends within its header"),
        (GOOD[:-1], "its header says 6 x 5 x 4 bytes, but only 119 follow"),
        (GOOD + b"\x00", "its header says 6 x 5 x 4 bytes, but more follow"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 1, 1), "2147483648 x 1 x 1 bytes, but only 0"),
        (struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3), "more than the 4294967296 read here"),
    ],
)
@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_hostile_idx_file_is_named_with_the_reason(
    tmp_path: Path, content: bytes, message: str, end: str
) -> None:
    file = tmp_path / f"images{end}"
    file.write_bytes(gzip.compress(content) if end else content)
    tracemalloc.start()
    with pytest.raises(DataError) as caught:
        idx.read(file, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)
    assert peak < 2 * 2**20, "what the header says allocates nothing"


def test_a_compressed_bomb_is_read_no_further_than_its_header(tmp_path: Path) -> None:
    file = tmp_path / "bomb.gz"
    file.write_bytes(gzip.compress(GOOD + bytes(50 * 2**20)))
    tracemalloc.start()
    with pytest.raises(DataError, match="more follow"):
        idx.read(file, 3)
    assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD, "Not a gzipped file"),
        (PACKED[:-9], "Compressed file ended"),
        (PACKED[:-8] + bytes(8), "CRC check failed"),
        (PACKED[:12] + b"\xff" * 40, "invalid"),
    ],
    ids=["plain", "cut", "checksum", "garbled"],
)
def test_a_damaged_compressed_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "images.gz").write_bytes(content)
    with pytest.raises(DataError, match=message):
        idx.read(tmp_path / "images.gz", 3)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("t10k-labels-idx1-ubyte", np.array([0, 1, 2, 0, 0, 0]), r"image 2 .* label 2, .* 0 to 1"),
        ("t10k-labels-idx1-ubyte", np.zeros(5), "6 images, but 5 labels"),
        ("t10k-images-idx3-ubyte", np.zeros((6, 4, 5)), "of 5x4x1, but test images of 4x5x1"),
        ("train-images-idx3-ubyte", np.zeros((0, 5, 4)), "0 images, but 20 labels"),
        ("t10k-images-idx3-ubyte", np.zeros((6, 0, 4)), "there are no images"),
    ],
)
def test_files_that_disagree_are_refused(
    tmp_path: Path, name: str, array: np.ndarray, message: str
) -> None:
    write_idx(tmp_path)
    (tmp_path / name).write_bytes(idx_bytes(array))
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_an_empty_data_set_is_refused(tmp_path: Path) -> None:
    for split in ("train", "t10k"):
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((0, 5, 4))))
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(0)))
    with pytest.raises(DataError, match="there are no images"):
        load(tmp_path)


def test_a_missing_file_or_source_is_named(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="holds no t10k-labels-idx1-ubyte, plain or"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"no images at 'digit': .* did you mean digits"):
        load("digit")


def test_digits_are_split_the_same_way_by_every_seed_but_for_validation() -> None:
    """About 20% of each class is for testing; a tenth of the rest is held out."""
    first, second = load("digits"), load("digits", seed=1)
    assert np.array_equal(first.test.pixels, second.test.pixels)
    assert not np.array_equal(first.validation.pixels, second.validation.pixels)
    pixels = np.asarray(first.train.pixels)
    assert pixels.min() == 0 and pixels.max() == 255
    assert len(first.fingerprint) == 64 and first.fingerprint != second.fingerprint
    whole = [len(first.train) + len(first.validation), len(first.test)]
    assert sum(whole) == 1797
    for label in range(10):
        train, validation, test = (
            int((split.labels == label).sum())
            for split in (first.train, first.validation, first.test)
        )
        assert abs(test - 0.2 * (train + validation + test)) <= 0.5
        assert abs(validation - 0.1 * (train + validation)) <= 0.5


def test_holding_out_takes_from_each_class_and_loses_nothing() -> None:
    pixels = np.arange(11, dtype=np.uint8)[:, None, None, None]
    labels = np.array([0] * 8 + [1] * 2 + [2])
    kept, held_out = hold_out(Images(pixels, labels, ("a", "b", "c")), 0.25, seed=3)
    assert sorted([*kept.pixels[:].ravel(), *held_out.pixels[:].ravel()]) == list(range(11))
    assert held_out.labels.tolist() == [0, 0, 1]
    with pytest.raises(DataError, match="too few to hold any out"):
        hold_out(Images(pixels[:2], np.array([0, 1]), ("a", "b")), 0.25)


def test_images_must_be_bytes_with_labels() -> None:
    with pytest.raises(DataError, match=r"not float64 of \(2, 3\)"):
        Images(np.zeros((2, 3)), np.zeros(2, dtype=np.int64), ("a",))  # type: ignore[arg-type]


def test_arrays_are_scaled_where_that_is_asked_for() -> None:
    """As image files are; labels and splits stay."""
    plain, scaled = load("digits"), load("digits", resize=16)
    assert scaled.train.volume == (16, 16, 1) and len(scaled.test) == len(plain.test)
    assert np.array_equal(scaled.test.labels, plain.test.labels)
    assert scaled.fingerprint != plain.fingerprint
    images = scaled.test.pixels[np.array([3, 1])]
    assert images.dtype == np.uint8 and np.array_equal(images[1], scaled.test.pixels[1])
    means = images.reshape(2, 8, 2, 8, 2).mean(axis=(2, 4))
    assert abs(means - plain.test.pixels[np.array([3, 1])][..., 0]).mean() < 16
    with pytest.raises(DataError, match="cannot be resized to 0 pixels"):
        load("digits", resize=0)


def test_taking_images_copies_no_pixels() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(6, 2, 2, 1)
    images = Images(pixels, np.zeros(6, dtype=np.int64), ("a",))
    taken = images.take(np.array([4, 2, 0])).take(np.array([2, 0]))
    pixels[0] = 99
    assert taken.pixels[:][..., 0, 0].tolist() == [[99, 99], [16, 18]]
    assert taken.pixels.shape == (2, 2, 2, 1) and len(taken.pixels) == 2
