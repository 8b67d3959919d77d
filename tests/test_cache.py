"""Images decoded once: shared, built by one, built again where damaged, streamed where too many."""

from __future__ import annotations

import faulthandler
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import sleep

import hostile
import numpy as np
import pytest
from filelock import FileLock
from PIL import Image
from test_files import as_folder, as_zip, numbers, picture, tree

from striate.data import Splits, build, load
from striate.data.cache import Mapped
from striate.data.images import Chosen
from striate.data.stream import Streamed
from striate.errors import DataError
from striate.layers.volume import Volume

INPUT = Volume(6, 6, 3)
FILES = tree("train/cat", "train/dog", "test/cat") | {"train/cat/bad.png": b"x"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every image that is decoded while a set is built."""
    seen: list[int] = []
    fitted = build.fitted
    monkeypatch.setattr(build, "fitted", lambda *given: seen.append(1) or fitted(*given))
    return seen


def store(found: Splits) -> object:
    assert isinstance(found.train.pixels, Chosen)
    return found.train.pixels.store


def same(first: Splits, second: Splits) -> bool:
    return (first.fingerprint, first.unreadable) == (second.fingerprint, second.unreadable) and all(
        np.array_equal(np.asarray(a.pixels), np.asarray(b.pixels))
        for a, b in zip(
            (first.train, first.validation, first.test),
            (second.train, second.validation, second.test),
            strict=True,
        )
    )


@pytest.mark.parametrize("make", [as_folder, as_zip])
def test_images_are_decoded_once_and_mapped(
    tmp_path: Path, cache: Path, decodes: list[int], make: Callable[..., Path]
) -> None:
    source = make(tmp_path, FILES)
    first = load(source, input=INPUT)
    assert len(decodes) == 31 and isinstance(store(first), Mapped)
    second = load(source, input=INPUT)
    assert len(decodes) == 31 and same(first, second)
    (folder,) = (each for each in (cache / "decoded").iterdir() if each.is_dir())
    assert (folder / "pixels.bin").stat().st_size == 30 * 6 * 6 * 3
    assert len(second.unreadable) == 1, "what could not be read is remembered"


def test_another_fit_or_a_changed_file_is_decoded_anew(
    tmp_path: Path, cache: Path, decodes: list[int]
) -> None:
    source = as_folder(tmp_path, FILES)
    first = load(source, input=INPUT)
    load(source, input=Volume(6, 6, 1))
    load(source, resize=4)
    assert len(decodes) == 3 * 31
    (source / "train" / "cat" / "3.png").write_bytes(picture(777))
    changed = load(source, input=INPUT)
    assert len(decodes) == 4 * 31
    assert 777 in [*numbers(changed.train), *numbers(changed.validation)]
    assert first.fingerprint != changed.fingerprint
    os.utime(source / "train" / "cat" / "4.png", (1, 1))
    assert load(source, input=INPUT).fingerprint == changed.fingerprint
    assert len(decodes) == 5 * 31


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "pixels.bin").write_bytes(b"short"),
        lambda folder: (folder / "digests.bin").write_bytes(b""),
        lambda folder: (folder / "index.json").write_text("{", "utf-8"),
        lambda folder: (folder / "index.json").write_text("[]", "utf-8"),
        lambda folder: (folder / "index.json").write_text('{"shape": [9], "keep": 1}', "utf-8"),
        lambda folder: (folder / "index.json").unlink(),
        lambda folder: (folder / "pixels.bin").unlink(),
    ],
)
def test_a_damaged_cache_is_built_again(
    tmp_path: Path, cache: Path, decodes: list[int], damage: Callable[[Path], object]
) -> None:
    source = as_folder(tmp_path, FILES)
    first = load(source, input=INPUT)
    (folder,) = (each for each in (cache / "decoded").iterdir() if each.is_dir())
    damage(folder)
    assert same(first, load(source, input=INPUT))
    assert len(decodes) == 2 * 31


def test_sets_too_large_for_the_limit_are_decoded_on_demand(
    tmp_path: Path, cache: Path, decodes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files are decoded once before training; the second time, none is."""
    source = as_zip(tmp_path, FILES)
    monkeypatch.setenv("STRIATE_CACHE_LIMIT", "1000")
    first = load(source, input=INPUT)
    assert isinstance(store(first), Streamed) and len(decodes) == 31
    assert numbers(first.test) == list(range(20, 30)) and len(first.unreadable) == 1
    assert same(first, load(source, input=INPUT))
    monkeypatch.setenv("STRIATE_CACHE_LIMIT", "1000000")
    mapped = load(source, input=INPUT)
    assert isinstance(store(mapped), Mapped)
    assert same(first, mapped), "a run goes on, whether its images are cached or not"
    monkeypatch.setenv("STRIATE_CACHE_LIMIT", "0")
    assert isinstance(store(load(source, input=INPUT)), Mapped), "what is there is used"
    monkeypatch.setenv("STRIATE_CACHE_LIMIT", "1 GB")
    with pytest.raises(DataError, match="STRIATE_CACHE_LIMIT is '1 GB': let it be a number"):
        load(source, input=Volume(5, 5, 3))


@pytest.mark.parametrize("limit", ["0", "1000000"])
def test_every_store_answers_alike_and_can_be_sent_to_workers(
    tmp_path: Path, cache: Path, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIATE_CACHE_LIMIT", limit)
    found = load(as_zip(tmp_path, FILES), input=INPUT).train
    whole = np.asarray(found.pixels)
    assert whole.shape == found.pixels.shape == (18, 6, 6, 3)
    sent = pickle.loads(pickle.dumps(found.pixels))
    positions = np.array([5, 0, 17, 5], dtype=np.int64)
    for pixels in (found.pixels, sent):
        assert np.array_equal(pixels[positions], whole[positions])
        assert type(pixels[positions]) is np.ndarray and pixels[positions].dtype == np.uint8
        assert np.array_equal(pixels[3:7], whole[3:7])
        assert np.array_equal(pixels[4], whole[4])
        assert (len(pixels), pixels.ndim, pixels.size) == (18, 4, whole.size)
        with pytest.raises(IndexError):
            pixels[np.array([18])]
        with pytest.raises(TypeError, match="by position alone"):
            pixels[..., 0]
    chosen = found.take(positions).take(np.array([2, 1]))
    assert np.array_equal(chosen.pixels[:], whole[[17, 0]])
    assert chosen.labels.tolist() == found.labels[[17, 0]].tolist()
    assert len(pickle.dumps(store(load(as_zip(tmp_path, FILES), input=INPUT)))) < 3000


def test_a_file_that_goes_while_it_is_streamed_is_named(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIATE_CACHE_LIMIT", "0")
    source = as_folder(tmp_path, FILES)
    found = load(source, input=INPUT)
    (source / "test" / "cat" / "4.png").unlink()
    with pytest.raises(DataError, match=r"4\.png: No such file"):
        found.test.pixels[:]
    (source / "test" / "cat" / "3.png").write_bytes(picture(1, 9, 9))
    with pytest.raises(DataError, match=r"3\.png: its size has changed"):
        found.test.pixels[3]


def test_without_a_folder_to_write_small_sets_stay_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "file"))
    told: list[str] = []
    source = as_folder(tmp_path, FILES)
    found = load(source, input=INPUT, tell=lambda what, done, total: told.append(what))
    assert isinstance(store(found), np.ndarray) and len(found.unreadable) == 1
    assert "no cache: " in told[0] and "cannot be written" in told[0]
    monkeypatch.setattr("striate.data.cache.IN_MEMORY", 10)
    assert isinstance(store(load(source, input=INPUT)), Streamed)
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    assert load(source, input=INPUT).fingerprint == found.fingerprint


def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    source = as_folder(tmp_path, FILES)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(
            DataError, match=r"No space left on device; STRIATE_CACHE names another"
        ):
            load(source, input=INPUT)
    assert not [each for each in (cache / "decoded").iterdir() if each.is_dir()]
    assert len(load(source, input=INPUT).test) == 10


def test_progress_is_told_of_all_files(tmp_path: Path, cache: Path) -> None:
    told: list[tuple[str, int, int]] = []
    load(as_folder(tmp_path, FILES), input=INPUT, tell=lambda *each: told.append(each))
    assert told[-1] == ("decoding", 31, 31)


def test_the_number_of_processes_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("striate.data.build.CHUNK", 4)
    source = as_zip(tmp_path, FILES)
    found = []
    for workers in (1, 2, 5):
        monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / str(workers)))
        found.append(load(source, input=INPUT, workers=workers))
    assert same(found[0], found[1]) and same(found[0], found[2])


def test_images_of_two_sizes_are_told_from_any_process(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, decodes: list[int]
) -> None:
    """The last one differs: that is found once, not with every load."""
    monkeypatch.setattr("striate.data.build.CHUNK", 4)
    source = as_folder(tmp_path, FILES | {"train/zoo/1.png": picture(1, 6, 7)})
    for workers in (2, 1):
        with pytest.raises(DataError, match="differ in size"):
            load(source, workers=workers)
        shutil.rmtree(cache)
    assert load(source, input=INPUT).train.volume == Volume(7, 7, 3)
    before = len(decodes)
    load(source, input=INPUT)
    assert len(decodes) == before


# -- several processes

SCRIPT = """
import sys
from pathlib import Path
from striate.data import build, load
from striate.layers.volume import Volume
fitted = build.fitted
def slow(*given):
    Path(sys.argv[2]).open("a").write("x")
    if sys.argv[3] != "0":
        from time import sleep
        sleep(float(sys.argv[3]))
    return fitted(*given)
build.fitted = slow
build.CHUNK = 4
found = load(sys.argv[1], input=Volume(6, 6, 3), workers=int(sys.argv[4]))
print(found.fingerprint)
"""


def loading(source: Path, count: Path, pause: float, workers: int) -> subprocess.Popen[str]:
    """`load` in a process of its own that notes each image it decodes, with a pause."""
    words = [str(source), str(count), str(pause), str(workers)]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *words], stdout=subprocess.PIPE, encoding="utf-8"
    )


def test_of_two_builders_one_builds_and_the_other_waits(tmp_path: Path, cache: Path) -> None:
    source, count = as_folder(tmp_path, FILES), tmp_path / "count"
    both = [loading(source, count, 0.01, workers) for workers in (1, 2)]
    told = [each.communicate(timeout=60)[0] for each in both]
    assert told[0] == told[1] != ""
    assert count.stat().st_size == 31


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_builder_leaves_nothing_in_the_way(
    tmp_path: Path, cache: Path, workers: int
) -> None:
    source, count = as_folder(tmp_path, FILES), tmp_path / "count"
    builder = loading(source, count, 0.1, workers)
    while not count.exists() or count.stat().st_size < 6:
        sleep(0.02)
    builder.send_signal(signal.SIGKILL)
    builder.communicate()
    parts = list((cache / "decoded").glob("*.part"))
    assert len(parts) == 1 and not list((cache / "decoded").glob("*/index.json"))
    abandoned = cache / "decoded" / "other.part"
    abandoned.mkdir()
    busy = cache / "decoded" / "busy.part"
    busy.mkdir()
    with FileLock(busy.with_suffix(".lock")):
        found = load(source, input=INPUT)
    assert len(found.test) == 10
    assert list((cache / "decoded").glob("*.part")) == [busy], "another builder's is left alone"


def test_waiting_is_told(tmp_path: Path, cache: Path) -> None:
    source, count = as_folder(tmp_path, FILES), tmp_path / "count"
    builder = loading(source, count, 0.02, 1)
    while not count.exists():
        sleep(0.02)
    told: list[str] = []
    load(source, input=INPUT, tell=lambda what, done, total: told.append(what))
    assert told[0] == "waiting for another process that decodes these images"
    assert builder.wait() == 0 and builder.stdout is not None
    builder.stdout.close()


@pytest.mark.parametrize("limit", ["0", "1000000"])
def test_a_decoder_that_ends_its_process_makes_its_file_unreadable_and_no_other(
    tmp_path: Path, cache: Path, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, killers = build.fitted, (picture(3), picture(17))

    def dies(content: bytes, fit: build.Fit) -> object:
        if content in killers:
            faulthandler.disable()
            os.kill(os.getpid(), signal.SIGSEGV)
        return fitted(content, fit)

    monkeypatch.setenv("STRIATE_CACHE_LIMIT", limit)
    monkeypatch.setattr(build, "CHUNK", 4)
    source = as_folder(tmp_path, FILES)
    with monkeypatch.context() as patch:
        patch.setattr(build, "fitted", dies)
        found = load(source, input=INPUT, workers=2)
    told = {Path(each.path).name: each.reason for each in found.unreadable}
    assert told.pop("bad.png")
    assert told == {"3.png": "the decoder crashed", "7.png": "the decoder crashed"}
    assert sorted([*numbers(found.train), *numbers(found.validation)]) == [
        number for number in range(20) if number not in (3, 17)
    ]
    assert numbers(found.test) == list(range(20, 30))


def test_where_processes_cannot_begin_there_are_none(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a script without a main guard, where they are not forked."""
    monkeypatch.setattr("striate.data.parallel._attend", lambda _: os._exit(1))
    found = load(as_folder(tmp_path, FILES), input=INPUT, workers=2)
    assert len(found.unreadable) == 1


def test_want_of_memory_is_told_and_not_remembered(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where Python says so nor where the system kills a process."""

    def scarce(image: Image.Image, *given: object) -> None:
        raise MemoryError

    def killed(content: bytes, fit: build.Fit) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    source = as_folder(tmp_path, FILES)
    with monkeypatch.context() as patch:
        patch.setattr("striate.data.decode._scaled_to", scarce)
        with pytest.raises(DataError, match=r"cat/0\.png: memory ran out while it was decoded"):
            load(source, resize=5)
    with monkeypatch.context() as patch:
        patch.setattr(build, "CHUNK", 4)
        patch.setattr(build, "fitted", killed)
        with pytest.raises(DataError, match="was killed, for want of memory mostly"):
            load(source, resize=5, workers=2)
    assert len(load(source, resize=5).unreadable) == 1


def test_hostile_images_end_no_process(tmp_path: Path, cache: Path) -> None:
    bad = hostile.bad()
    source = as_folder(tmp_path, FILES | {f"train/dog/{name}": bad[name] for name in bad})
    found = load(source, resize=6, workers=3)
    assert len(found.unreadable) == len(bad) + 1
