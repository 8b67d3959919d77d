"""What a look at a source finds, and what `striate data` says of it."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import hostile
import numpy as np
import pytest
from click.testing import CliRunner, Result
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from striate.cli.data import command
from striate.data import glance
from striate.data.findings import Look
from striate.data.images import Images
from striate.data.look import Arrays, look, open_source, samples
from striate.data.sources import load
from striate.draw.look import render, to_json
from striate.draw.plain import plain
from striate.errors import DataError

RANDOM = np.random.default_rng(0)


def picture(height: int = 6, width: int = 8) -> Image.Image:
    """One that was never seen before."""
    return Image.fromarray(RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8))


def put(image: Image.Image, *paths: Path, **options: object) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four cats and two dogs to train on, and two cats to test."""
    for name in ("train/cat/0", "train/cat/1", "train/cat/2", "train/cat/3", "train/dog/0"):
        put(picture(), tmp_path / f"{name}.png")
    put(picture(), tmp_path / "train/dog/1.png")
    put(picture(), tmp_path / "test/cat/0.png", tmp_path / "test/dog/0.png")
    put(picture(), tmp_path / "test/cat/1.png")
    put(picture(), tmp_path / "test/dog/0.png")
    return tmp_path


def seen(folder: Path, workers: int = 1) -> Look:
    return look(open_source(folder), workers=workers)


def said(look: Look, width: int = 80) -> str:
    return " ".join(plain(render(look), width).split())


def test_counts_and_sizes_are_told(folder: Path) -> None:
    put(picture(20, 30), folder / "train/dog/2.png")
    put(picture(2, 30), folder / "train/dog/3.png")
    found = seen(folder)
    assert found.classes == ("cat", "dog")
    assert found.counts == {"train": (4, 4), "test": (2, 1)}
    assert (found.smallest, found.median, found.largest) == ((6, 8), (6, 8), (20, 30))
    assert found.sizes == 3
    assert found.bytes == sum(file.stat().st_size for file in folder.rglob("*.png"))
    assert "6x8 to 20x30 (height x width), median 6x8; 3 different" in said(found)
    assert not found.warnings


def test_modes_formats_and_turned_images_are_counted(folder: Path) -> None:
    turned = Image.Exif()
    turned[274] = 6
    put(picture(6, 8), folder / "train/cat/turned.jpg", exif=turned)
    put(picture().convert("CMYK"), folder / "train/dog/c.jpg")
    put(picture().convert("L"), folder / "train/dog/grey.bmp")
    put(picture().quantize(8), folder / "train/cat/palette.gif")
    put(Image.new("I;16", (8, 6), 999), folder / "train/cat/sixteen.png")
    found = seen(folder)
    assert found.modes == {"RGB": 10, "CMYK": 1, "L": 1, "P": 1, "I;16": 1}
    assert found.formats == {"PNG": 10, "JPEG": 2, "BMP": 1, "GIF": 1}
    assert found.turned == 1
    assert found.sizes == 2, "the turned one is measured upright"
    assert "turned 1 image, to stand upright as EXIF says" in said(found)


def test_mean_and_deviation_are_those_of_the_training_pixels(folder: Path) -> None:
    files = sorted((folder / "train").rglob("*.png"))
    pixels = np.stack([np.asarray(Image.open(file)) for file in files]) / 255
    found = seen(folder)
    assert np.allclose(found.mean, pixels.mean(axis=(0, 1, 2)))
    assert np.allclose(found.deviation, pixels.std(axis=(0, 1, 2)))


def test_copies_across_splits_are_warned_of_however_they_are_stored(folder: Path) -> None:
    same = picture()
    put(same, folder / "train/cat/a.png", folder / "test/cat/b.bmp", folder / "test/cat/c.png")
    put(same, folder / "test/cat/d.png", compress_level=0)
    found = seen(folder)
    assert found.repeated("test", "train") == 3 and found.repeated("train", "test") == 1
    assert found.spare == {"test": 2}
    (warning,) = found.warnings
    assert warning.startswith("3 test images are in train too: test error will look better than it")
    assert str(folder / "test/cat/b.bmp") in warning and "train/cat/a.png" in warning
    assert "2 in test: the same picture again within its split" in said(found)


def test_a_picture_under_two_labels_is_warned_of(folder: Path) -> None:
    put(picture(), folder / "train/cat/a.png", folder / "train/dog/b.png")
    (warning,) = seen(folder).warnings
    assert warning.startswith("1 picture has more than one label")
    assert "cat/a.png, cat = " in warning and "dog/b.png, dog" in warning


def test_without_splits_copies_are_warned_of_too(tmp_path: Path) -> None:
    put(picture(), tmp_path / "cat/a.png", tmp_path / "cat/b.png")
    put(picture(), tmp_path / "dog/a.png")
    found = seen(tmp_path)
    assert found.counts == {"all": (2, 1)}
    (warning,) = found.warnings
    assert warning.startswith("1 image repeats another: a split at random may put one")


def test_a_class_that_a_split_lacks_is_warned_of(folder: Path) -> None:
    put(picture(), folder / "train/emu/0.png", folder / "train/fox/1.png")
    put(picture(), folder / "train/fox/1.png")
    found = seen(folder)
    assert found.missing("test") == ("emu", "fox")
    assert "test has no images of emu, fox" in found.warnings


def test_imbalance_is_warned_of(folder: Path) -> None:
    assert not any("unbalanced" in each for each in seen(folder).warnings)
    for i in range(10):
        put(picture(), folder / f"train/cat/more-{i}.png")
    assert "train is unbalanced: 14 images of cat, but 2 of dog" in seen(folder).warnings


def test_unreadable_files_are_named_with_the_reason_and_nothing_is_changed(folder: Path) -> None:
    (folder / "train/cat/empty.png").write_bytes(b"")
    whole = (folder / "train/cat/0.png").read_bytes()
    (folder / "train/cat/[red]cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "train/cat/notes.txt").write_text("not an image")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*.*")}
    found = seen(folder)
    assert {Path(each.path).name for each in found.unreadable} == {"empty.png", "[red]cut.png"}
    assert all(each.reason for each in found.unreadable)
    assert found.counts["train"] == (4, 2)
    assert found.passed_over == {"txt": 1}
    text = said(found, 200)
    assert "warning: 2 files cannot be used" in text and "train/cat/[red]cut.png: " in text
    assert "1 .txt: not image files" in text
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before}


def test_what_cannot_be_used_is_what_training_cannot_use(folder: Path) -> None:
    """Of odd files and bad ones, a look and `load` say the same."""
    for name, content in hostile.bad().items():
        (folder / "train/cat" / name).write_bytes(content)
    for name, (content, _) in hostile.odd().items():
        (folder / "train/dog" / name).write_bytes(content)
    loaded = load(folder, resize=8)
    assert sorted(seen(folder).unreadable) == sorted(loaded.unreadable)
    assert sum(seen(folder).counts["train"]) == len(loaded.train) + len(loaded.validation)


def test_a_source_without_a_readable_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/empty.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"no image of .* can be read \(.*empty.png: .*empty"):
        seen(tmp_path)


def test_the_number_of_processes_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("striate.data.glance.CHUNK", 2)
    put(picture(), folder / "train/cat/a.png", folder / "test/cat/b.png")
    (folder / "train/cat/empty.png").write_bytes(b"")
    told: list[tuple[str, int, int]] = []
    assert seen(folder, workers=3) == seen(folder)
    look(open_source(folder), tell=lambda *what: told.append(what))
    assert told[-1] == ("looking at images", 12, 12)


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 1), st.sampled_from(["train", "test"])),
        min_size=1,
    )
)
def test_copies_are_counted_as_comparing_every_pair_would(
    drawn: Sequence[tuple[int, int, str]],
) -> None:
    """Of images that are a number, a label and a split."""
    drawn = [*drawn, (9, 0, "train"), (8, 1, "test")]
    splits = {}
    for split in ("train", "test"):
        chosen = [each for each in drawn if each[2] == split]
        pixels = np.array([each[0] for each in chosen], dtype=np.uint8)[:, None, None, None]
        labels = np.array([each[1] for each in chosen])
        splits[split] = Images(pixels, labels, ("a", "b"))
    found = look(Arrays("drawn", splits))
    training = {number for number, _, split in drawn if split == "train"}
    test = [number for number, _, split in drawn if split == "test"]
    assert found.repeated("test", "train") == sum(number in training for number in test)
    assert found.spare.get("test", 0) == len(test) - len(set(test))
    both = {n for n, label, _ in drawn if label == 0} & {n for n, label, _ in drawn if label == 1}
    assert len(found.two_labels) == len(both)


def test_images_in_memory_are_looked_at_as_well() -> None:
    found = look(open_source("digits"))
    assert found.total == 1797 and found.modes == {"L": 1797} and not found.formats
    assert found.smallest == found.largest == (8, 8)
    assert "8x8 (height x width), all images" in said(found)


def test_many_classes_are_shown_by_the_largest_and_the_smallest() -> None:
    labels = np.repeat(np.arange(200), np.arange(1, 201))
    pixels = np.arange(len(labels) * 4).astype(np.uint32).view(np.uint8)[: len(labels) * 4]
    names = tuple(f"class-{label}" for label in range(200))
    images = Images(pixels.reshape(-1, 2, 2, 1), labels, names)
    text = plain(render(look(Arrays("many", {"train": images, "test": images}))), 80)
    assert "class-199" in text and "class-0" in text and "class-100" not in text
    assert "... 176 more ..." in text
    assert max(map(len, text.splitlines())) <= 80


def test_samples_are_of_each_class_and_chosen_by_the_seed_alone(folder: Path) -> None:
    (folder / "train/dog/empty.png").write_bytes(b"")
    source = open_source(folder)
    rows = samples(source, 3)
    assert [(name, len(images)) for name, images in rows] == [("cat", 3), ("dog", 2)]
    again = samples(source, 3)
    assert all(np.array_equal(a, b) for a, b in zip(rows[0][1], again[0][1], strict=True))
    other = [samples(source, 1, seed)[0][1][0].tobytes() for seed in range(20)]
    assert len(set(other)) == 4
    digits = samples(open_source("digits"), 5)
    assert [len(images) for _, images in digits] == [5] * 10
    assert digits[0][1][0].shape == (8, 8, 1)


def test_samples_are_made_small_one_by_one_and_of_so_many_classes(
    tmp_path: Path, python: Run
) -> None:
    for label in range(12):
        put(picture(600, 900), tmp_path / f"{label}/0.png", tmp_path / f"{label}/1.png")
    source = open_source(tmp_path)
    rows = samples(source, 2, classes=10, side=64)
    assert [name for name, _ in rows] == [str(label) for label in range(10)]
    assert {image.shape for _, images in rows for image in images} == {(43, 64, 3)}
    counted = (  # in a process of its own: threads of other tests have memory too
        "import sys, tracemalloc; from striate.data.look import open_source, samples;"
        "source = open_source(sys.argv[1]); samples(source, 1, classes=1, side=64);"
        "tracemalloc.start(); samples(source, 2, classes=10, side=64);"
        "print(tracemalloc.get_traced_memory()[1])"
    )
    ran = python("-c", counted, str(tmp_path))
    assert int(ran.stdout) < 6 * 600 * 900 * 3, ran.stderr
    digits = samples(open_source("digits"), 1, classes=3, side=4)
    assert [images[0].shape for _, images in digits] == [(4, 4, 1)] * 3


def test_a_decoder_that_ends_its_process_is_told_of_its_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen_whole, killer = glance.decode, (folder / "train/cat/2.png").read_bytes()

    def dies(content: bytes, depth: int) -> object:
        if content == killer:
            faulthandler.disable()
            os.kill(os.getpid(), signal.SIGABRT)
        return seen_whole(content, depth)

    monkeypatch.setattr(glance, "CHUNK", 3)
    monkeypatch.setattr(glance, "decode", dies)
    found = seen(folder, workers=2)
    assert [(Path(path).name, reason) for path, reason in found.unreadable] == [
        ("2.png", "the decoder crashed")
    ]
    assert found.total == 8


def test_a_source_of_test_images_alone_is_looked_at_too(tmp_path: Path) -> None:
    put(picture(), tmp_path / "test/cat/a.png")
    put(picture(), tmp_path / "test/dog/a.png")
    assert seen(tmp_path).counts == {"test": (1, 1)}


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(command, [*map(str, arguments)], catch_exceptions=False)


def test_striate_data_prints_json_with_all_that_was_found(folder: Path) -> None:
    put(picture(), folder / "train/cat/a.png", folder / "test/dog/b.png")
    (folder / "train/cat/empty.png").write_bytes(b"")
    found = json.loads(invoke(folder, "--format", "json").stdout)
    assert found == json.loads(to_json(seen(folder)))
    assert found["counts"]["train"] == {"cat": 5, "dog": 2}
    assert found["images"] == 11
    assert [copy["class"] for copy in found["copies"][0]] == ["cat", "dog"]
    assert found["unreadable"][0]["path"].endswith("empty.png")
    assert len(found["warnings"]) == 3


def test_names_in_brackets_are_shown_as_they_are(tmp_path: Path) -> None:
    """They are no markup, and letters that a terminal would obey are written out."""
    source = tmp_path / "br[x]"
    for name in ("[y]cat", "[red]dog"):
        put(picture(), source / name / "0.png", source / name / "[b].bmp")
    (source / "[y]cat" / "[b]1.png").write_bytes(b"")
    (source / "[y]cat" / "a.[i]\x1b[1m").write_bytes(b"")
    result = invoke(source, "--sheet", tmp_path / "[z].png")
    said = " ".join(result.stdout.split())
    for words in ("br[x]: 4 images", "[y]cat", "[red]dog", "[b]1.png: the file is empty"):
        assert words in said
    assert ".[i]\\x1b[1m" in said and "\x1b" not in result.stdout
    assert "[z].png" in result.stderr


def test_striate_data_draws_a_sheet(folder: Path, tmp_path: Path) -> None:
    result = invoke(folder, "--sheet", tmp_path / "sheet.png", "--per-class", 2, "--seed", 1)
    assert f"{folder}: 9 images of 2 classes" in result.stdout
    assert f"sheet {tmp_path / 'sheet.png'}" in result.stderr
    with Image.open(tmp_path / "sheet.png") as drawn:
        assert drawn.format == "PNG" and drawn.height > 2 * 64
    with pytest.raises(DataError, match=r"nowhere/x\.png cannot be written: No such file"):
        invoke(folder, "--sheet", tmp_path / "nowhere/x.png")
