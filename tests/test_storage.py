"""Files that are whole or not there, and tensors under a seal."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from striate.errors import RunError
from striate.storage import copy, read_tensors, write, write_tensors

TENSORS = {
    "conv1.weight": torch.arange(18.0).reshape(2, 1, 3, 3),
    "bn1.num_batches_tracked": torch.tensor(7),
    "half": torch.ones(3, dtype=torch.bfloat16),
}
ABOUT = {"epoch": "3"}
NO_SPACE = OSError(28, os.strerror(28))


@cache
def content() -> bytes:
    """A sealed file."""
    with TemporaryDirectory() as folder:
        write_tensors(Path(folder, "file"), TENSORS, ABOUT)
        return Path(folder, "file").read_bytes()


def test_tensors_are_read_as_they_were_written(tmp_path: Path) -> None:
    """In whatever memory format they were, and whether or not they had gradients."""
    path = tmp_path / "file.safetensors"
    odd = {
        "last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "learned": torch.randn(3, requires_grad=True),
        "part": torch.arange(10)[::2],
    }
    write_tensors(path, TENSORS | odd, ABOUT)
    tensors, about = read_tensors(path)
    assert about == ABOUT
    assert tensors.keys() == {*TENSORS, *odd}
    for name, tensor in (TENSORS | odd).items():
        assert torch.equal(tensors[name], tensor) and tensors[name].dtype == tensor.dtype
    assert os.listdir(tmp_path) == ["file.safetensors"]


def test_same_tensors_same_bytes(tmp_path: Path) -> None:
    """Whatever order they come in; other words about them give another seal."""
    for name, tensors in (("a", TENSORS), ("b", dict(reversed(TENSORS.items())))):
        write_tensors(tmp_path / name, tensors, ABOUT)
        assert (tmp_path / name).read_bytes() == content()
    write_tensors(tmp_path / "c", TENSORS, {"epoch": "4"})
    assert (tmp_path / "c").read_bytes() != content()


@settings(deadline=None)
@given(st.integers(0, 8 * len(content()) - 1))
def test_a_flipped_bit_is_recognised(place: int) -> None:
    damaged = bytearray(content())
    damaged[place // 8] ^= 1 << place % 8
    assert_refused(bytes(damaged))


def test_a_flipped_bit_of_the_header_is_recognised_wherever_it_is() -> None:
    """Each of them: a seal whose very name was damaged is not taken for none."""
    header = 8 + int.from_bytes(content()[:8], "little")
    for place in range(8 * header):
        damaged = bytearray(content())
        damaged[place // 8] ^= 1 << place % 8
        assert_refused(bytes(damaged))


@settings(deadline=None)
@given(st.data())
def test_a_torn_file_and_one_with_a_hole_are_recognised(data: st.DataObject) -> None:
    """It ends too early, has more behind it, or zeros where there was something."""
    whole = content()
    assert_refused(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert_refused(whole + data.draw(st.binary(min_size=1, max_size=9)))
    first = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(first + 1, len(whole)))
    hole = whole[:first] + bytes(end - first) + whole[end:]
    if hole != whole:
        assert_refused(hole)


def assert_refused(damaged: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(damaged)
        with pytest.raises(RunError, match="file is damaged"):
            read_tensors(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt", "sha256": "of something else"}])
def test_a_file_of_another_program_is_taken_as_it_is(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    save_file(TENSORS, tmp_path / "other", metadata)
    tensors, about = read_tensors(tmp_path / "other")
    assert about == {} and tensors.keys() == TENSORS.keys()


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="none cannot be read: No such file"):
        read_tensors(tmp_path / "none")
    with pytest.raises(RunError, match="cannot be read: Is a directory"):
        read_tensors(tmp_path)


def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> None:
        raise NO_SPACE

    path = tmp_path / "file"
    write(path, b"before")
    for call in ("fsync", "replace"):
        with monkeypatch.context() as patch, pytest.raises(RunError, match="No space left"):
            patch.setattr(os, call, fails)
            write(path, b"after")
        assert path.read_bytes() == b"before" and os.listdir(tmp_path) == ["file"]


def test_a_copy_holds_its_content_when_the_first_is_written_anew(tmp_path: Path) -> None:
    """Also where the disk cannot link, and twice over."""
    first, second = tmp_path / "first", tmp_path / "second"
    write(first, b"1")
    for _ in range(2):
        copy(first, second)
        assert sorted(os.listdir(tmp_path)) == ["first", "second"]
    write(first, b"2")
    assert second.read_bytes() == b"1"


def test_where_a_disk_cannot_link_the_bytes_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    write(tmp_path / "first", b"1")
    monkeypatch.setattr(os, "link", refuses)
    copy(tmp_path / "first", tmp_path / "second")
    assert (tmp_path / "second").read_bytes() == b"1"
