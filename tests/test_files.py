"""Folders, archives and manifests of images: classes, splits, and files that cannot be used."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from time import sleep

import hostile
import numpy as np
import pytest
from PIL import Image

from striate.data import load
from striate.data.files import Entry, FolderReader, Listing, list_files, natural
from striate.errors import DataError
from striate.layers.volume import Volume

INPUT = Volume(6, 6, 3)


def picture(number: int, height: int = 6, width: int = 6) -> bytes:
    """A PNG of one colour, by its number."""
    colour = (number % 256, number // 256, 99)
    return hostile.saved(Image.new("RGB", (width, height), colour), "PNG")


def numbers(split: object) -> list[int]:
    """The numbers of a split's pictures, in order."""
    pixels = np.asarray(split.pixels)  # type: ignore[attr-defined]
    return [int(each[0, 0, 0]) + 256 * int(each[0, 0, 1]) for each in pixels]


def tree(*folders: str, count: int = 10) -> dict[str, bytes]:
    """So many pictures in each folder, numbered through."""
    paths = [f"{folder}/{number}.png" for folder in folders for number in range(count)]
    return {path: picture(number) for number, path in enumerate(paths)}


def as_folder(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root / "data"


def as_zip(root: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(root / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return root / "data.zip"


def as_tar(root: Path, files: Mapping[str, bytes], end: str = "", prefix: str = "") -> Path:
    path = root / f"data.tar{'.' * bool(end)}{end}"
    with tarfile.open(path, f"w:{end}") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def as_csv(root: Path, files: Mapping[str, bytes]) -> Path:
    """A manifest beside the folder; its first part is the split if it is one."""
    as_folder(root, files)
    rows = ["path,label,split"]
    for name in files:
        *split, label = name.split("/")[:-1]
        rows.append(f"data/{name},{label},{(split or [''])[0]}")
    (root / "data.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return root / "data.csv"


KINDS: dict[str, Callable[[Path, Mapping[str, bytes]], Path]] = {
    "folder": as_folder,
    "zip": as_zip,
    "tar": as_tar,
    "tar of a folder": lambda root, files: as_tar(root, files, prefix="./"),
    "tar.gz": lambda root, files: as_tar(root, files, "gz"),
    "tar.bz2": lambda root, files: as_tar(root, files, "bz2"),
    "tar.xz": lambda root, files: as_tar(root, files, "xz"),
    "csv": as_csv,
}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Mapping[str, bytes]], Path]:
    return lambda files: KINDS[request.param](tmp_path, files)


def test_every_kind_of_source_gives_its_splits(made: Callable[..., Path]) -> None:
    source = made(tree("train/cat", "train/dog", "val/cat", "val/dog", "test/cat", "test/dog"))
    found = load(source, input=INPUT)
    assert found.source == str(source)
    assert found.train.classes == ("cat", "dog") and not found.unreadable
    assert numbers(found.train) == list(range(20))
    assert numbers(found.validation) == list(range(20, 40))
    assert numbers(found.test) == list(range(40, 60))
    assert found.test.labels.tolist() == [0] * 10 + [1] * 10
    assert found.train.volume == INPUT
    assert len(found.fingerprint) == 64


def test_every_kind_without_splits_is_split_by_class(made: Callable[..., Path]) -> None:
    """A tenth is for testing, always the same; then a tenth for validation, by the seed."""
    source = made(tree("cat", "dog", count=100))
    first, second = load(source, input=INPUT), load(source, input=INPUT, seed=1)
    for found in (first, second):
        parts = (found.train, found.validation, found.test)
        assert [np.bincount(part.labels).tolist() for part in parts] == [
            [81] * 2,
            [9] * 2,
            [10] * 2,
        ]
        assert sorted(n for part in parts for n in numbers(part)) == list(range(200))
        assert [n // 100 for n in numbers(found.train)] == found.train.labels.tolist()
    assert numbers(first.test) == numbers(second.test)
    assert numbers(first.validation) != numbers(second.validation)
    assert first.fingerprint != second.fingerprint


def test_without_a_test_split_validation_is_for_testing(made: Callable[..., Path]) -> None:
    found = load(made(tree("train/cat", "train/dog", "val/cat", "val/dog")), input=INPUT)
    assert numbers(found.test) == list(range(20, 40))
    assert (len(found.train), len(found.validation)) == (18, 2)


def test_without_validation_a_tenth_of_training_is_held_out(made: Callable[..., Path]) -> None:
    found = load(made(tree("train/cat", "train/dog", "test/cat")), input=INPUT)
    assert numbers(found.test) == list(range(20, 30))
    assert (len(found.train), len(found.validation)) == (18, 2)


def test_a_class_missing_from_a_split_shifts_no_label(made: Callable[..., Path]) -> None:
    found = load(made(tree("train/ant", "train/bee", "train/cat", "test/cat")), input=INPUT)
    assert found.test.labels.tolist() == [2] * 10
    assert found.test.classes == ("ant", "bee", "cat")


@pytest.mark.parametrize("make", [as_folder, as_zip, as_tar])
def test_a_folder_around_all_is_looked_through(tmp_path: Path, make: Callable[..., Path]) -> None:
    files = tree("deep/cifar/Train/cat", "deep/cifar/Train/dog", "deep/cifar/TEST/dog")
    found = load(make(tmp_path, files), input=INPUT)
    assert found.train.classes == ("cat", "dog") and len(found.test) == 10


def test_images_may_lie_deeper_in_the_folder_of_their_class(tmp_path: Path) -> None:
    files = tree("train/cat/white/2019", "train/cat/black", "train/dog", "test/cat/x/y/z")
    found = load(as_folder(tmp_path, files), input=INPUT)
    assert found.train.classes == ("cat", "dog")
    assert sorted([*numbers(found.train), *numbers(found.validation)]) == list(range(30))


def test_a_class_called_train_is_one_among_others(tmp_path: Path) -> None:
    """As in CIFAR-100."""
    found = load(as_folder(tmp_path, tree("bus", "test", "train")), input=INPUT)
    assert found.train.classes == ("bus", "test", "train")


def test_classes_are_in_natural_order_wherever_they_are_listed() -> None:
    names = ["b", "10", "A", "2", "a", "B", "x10", "x9"]
    assert sorted(names, key=natural) == ["2", "10", "A", "a", "B", "b", "x9", "x10"]
    assert sorted(reversed(names), key=natural) == sorted(names, key=natural)


def test_what_systems_leave_is_passed_over_and_other_files_are_counted(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    files = tree("train/cat", "train/dog", "test/cat")
    plain = list_files(made(files))
    if plain.source.endswith(".csv"):
        return
    left = ["train/cat/.DS_Store", "train/dog/Thumbs.db", "__MACOSX/train/cat/._0.png"]
    left += ["train/cat/._0.png", ".git/train/x.png"]
    listing = list_files(made(files | dict.fromkeys([*left, "readme.md", "train/cat/0.txt"], b"x")))
    assert listing.classes == ("cat", "dog") and not listing.unreadable
    assert listing.passed_over == {"md": 1, "txt": 1}
    assert [entry.path for entry in listing.entries] == [entry.path for entry in plain.entries]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no images"),
        ({"cat/readme.txt": b"x", "dog/1.npy": b"x"}, "no images; files of other kinds: 1 .txt"),
        ({"1.png": picture(1), "2.png": picture(2)}, "lie in no folders of classes: give each"),
        (tree("val/cat", "test/cat"), "holds no training images, only validation, test"),
        (tree("train/cat", "val/cat", "valid/cat"), "both val and valid, which are the same"),
        (tree("train/cat", "test/cat", "test/dog"), "no training image of class 'dog' can be read"),
        (tree("train/cat", "train/dog") | {"train/dog/x.png": b""} | {}, None),
        ({**tree("cat"), "dog/1.png": b"", "dog/2.jpg": b"x"}, r"class 'dog' .*1.png: the file is"),
        ({"cat/1.png": b"", "dog/1.png": b""}, "no image can be read; .*1.png: the file is empty"),
        ({**tree("train/cat"), "test/cat/1.png": b"x"}, "no image of its split test can be read"),
    ],
)
@pytest.mark.parametrize("make", [as_folder, as_zip, as_tar])
def test_a_source_that_cannot_be_used_says_why(
    tmp_path: Path, make: Callable[..., Path], files: Mapping[str, bytes], message: str | None
) -> None:
    source = make(tmp_path, files)
    source.exists() or source.mkdir()
    if message is None:
        assert len(load(source, input=INPUT).unreadable) == 1
        return
    with pytest.raises(DataError, match=message) as caught:
        load(source, input=INPUT)
    assert str(source) in str(caught.value)


def test_an_empty_folder_of_a_class_is_named(tmp_path: Path) -> None:
    source = as_folder(tmp_path, tree("train/cat", "train/dog"))
    (source / "train" / "emu").mkdir()
    with pytest.raises(DataError, match="no training image of class 'emu' can be read"):
        load(source, input=INPUT)


def test_stray_images_and_folders_are_told(made: Callable[..., Path]) -> None:
    files = tree("train/cat", "train/dog", "test/cat")
    source = made(files)
    if source.suffix == ".csv":
        return
    strays = {"a.png": picture(1), "train/b.png": picture(1), "extra/cat/c.png": picture(1)}
    found = load(made(files | strays | {"extra/cat/d.png": picture(1)}), input=INPUT)
    assert [path.removeprefix(f"{source}")[1:] for path, _ in found.unreadable] == [
        "a.png",
        "train/b.png",
        "extra",
    ]
    assert "2 images in a folder that is no split" in found.unreadable[2].reason


def test_the_same_images_have_the_same_fingerprint_from_any_kind_of_source(tmp_path: Path) -> None:
    files = tree("train/cat", "train/dog", "test/cat", "val/cat")
    found = {load(make(tmp_path, files), input=INPUT).fingerprint for make in KINDS.values()}
    assert len(found) == 1
    changed = files | {"train/cat/3.png": picture(999)}
    moved = {name.replace("train/cat/3", "train/dog/30"): files[name] for name in files}
    renamed = {name.replace("dog", "emu"): files[name] for name in files}
    for number, other in enumerate((changed, moved, renamed)):
        (tmp_path / str(number)).mkdir()
        found.add(load(as_zip(tmp_path / str(number), other), input=INPUT).fingerprint)
    found.add(load(as_zip(tmp_path, files), resize=5).fingerprint)
    found.add(load(as_zip(tmp_path, files), input=Volume(6, 6, 1)).fingerprint)
    assert len(found) == 6


@pytest.mark.parametrize(
    ("sizes", "input", "resize", "side"),
    [
        ([(6, 6)], None, None, (6, 6, 3)),
        ([(6, 8)], Volume(7, 7, 3), None, (6, 8, 3)),  # 8 is 8/7 of 7
        ([(6, 9)], Volume(7, 7, 3), None, (8, 8, 3)),
        ([(6, 6), (6, 7)], Volume(7, 7, 3), None, (8, 8, 3)),
        ([(300, 400)], Volume(224, 224, 3), None, (256, 256, 3)),
        ([(6, 6), (6, 7)], None, 5, (5, 5, 3)),
        ([(6, 6)], Volume(6, 6, 1), 12, (12, 12, 1)),
        ([(3, 3)], Volume(32, 32, 3), None, (3, 3, 3)),
    ],
)
def test_images_are_kept_or_scaled(
    tmp_path: Path,
    sizes: list[tuple[int, int]],
    input: Volume | None,
    resize: int | None,
    side: tuple[int, int, int],
) -> None:
    """Kept if they are of one size, not above 8/7 of the input's; else squares of 8/7 of it."""
    files = {
        f"{split}/cat/{number}.png": picture(number, *sizes[number % len(sizes)])
        for split in ("train", "val", "test")
        for number in range(4)
    }
    found = load(as_folder(tmp_path, files), input=input, resize=resize)
    assert found.train.pixels.shape == (4, *side)
    if side[2] == 3:
        assert numbers(found.test) == [0, 1, 2, 3]


def test_images_of_many_sizes_need_a_size(tmp_path: Path) -> None:
    files = {f"{name}/{n}.png": picture(n, 5 + n, 6) for name in "ab" for n in range(3)}
    source = as_folder(tmp_path, files)
    for _ in range(2):
        with pytest.raises(DataError, match=r"differ in size \(5x6 and 6x6\): say to what"):
            load(source)
    with pytest.raises(DataError, match=r"grey \(1\) or RGB \(3\), but the network takes 6x6x2"):
        load(source, input=Volume(6, 6, 2))
    with pytest.raises(DataError, match="cannot be resized to 0 pixels"):
        load(source, resize=0)


# -- manifests


def manifest(root: Path, text: str | bytes) -> Path:
    as_folder(root, tree("a", "b", count=3))
    path = root / "data.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_manifest_is_read_as_programs_write_it(tmp_path: Path) -> None:
    """A byte order mark, quotes, other columns, blank lines, absolute paths, ends of Windows."""
    absolute = tmp_path / "data" / "b" / "1.png"
    rows = [
        "Label,other,PATH",
        '"a, or so",1,data/a/0.png',
        "",
        f'b,2,"{absolute}"',
        "b,,data/a/1.png",
    ]
    listing = list_files(manifest(tmp_path, "\ufeff" + "\r\n".join(rows)))
    assert listing.classes == ("a, or so", "b")
    labels = {os.path.basename(entry.path): entry.label for entry in listing.entries}
    assert len(listing.entries) == 3 and labels["0.png"] == 0
    assert listing.read(listing.entries[-1])[:4] == b"\x89PNG"


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_manifest_may_be_cut_otherwise_than_by_commas(tmp_path: Path, delimiter: str) -> None:
    rows = [("path", "label"), *((f"data/{name}/0.png", f"{name}, or so") for name in "ab")]
    rows = [('"a,b,c,d"', *rows[0]), *(("", *row) for row in rows[1:])]
    text = "\ufeff" + "\n".join(delimiter.join(row) for row in rows)
    assert list_files(manifest(tmp_path, text)).classes == ("a, or so", "b, or so")


def test_a_manifests_missing_files_are_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    rows = ["path,label", *(f"data/{name}/{n}.png,{name}" for name in "ab" for n in range(4))]
    rows += ["pipe.png,a", "data,a", "x\0y.png,a"]
    found = load(manifest(tmp_path, "\n".join(rows)), input=INPUT)
    assert [(Path(path).name, reason) for path, reason in found.unreadable] == [
        ("3.png", "No such file or directory"),
        ("3.png", "No such file or directory"),
        ("pipe.png", "not a file"),
        ("data", "not a file"),
        ("x\0y.png", "embedded null byte"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first row must name the columns path, label .* no path in it"),
        ("path\nx", "there is no label in path"),
        ("file,label\nx,y", "there is no path in file, label"),
        ("path,label", "names no images"),
        ("path,label\ndata/a/0.png,", "row 2: it has no label"),
        ("path,label\n,a", "row 2: it has no path"),
        ("path,label\ndata/a/0.png", "row 2: it has no label"),
        (
            "path,label,split\ndata/a/0.png,a,trian",
            "row 2: there is no split 'trian'; did you mean tr",
        ),
        (
            "path,label,split\ndata/a/0.png,a,train\ndata/a/1.png,a,",
            "some rows have a split, others",
        ),
        ("path,label,split\ndata/a/0.png,a,test", "holds no training images, only test"),
        ("path,label\nnowhere.png,a", "names no image that is there; .*nowhere.png: No such"),
        (b"path,label\n\xff\xfe,a", "invalid start byte"),
        ('path,label\n"a.png,a', "unexpected end of data"),
        ("path,label\n" + "x" * 200_000, "field larger than field limit"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_where(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    path = manifest(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        load(path, input=INPUT)
    assert str(caught.value).startswith(str(path))


def test_a_parquet_manifest_is_one_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    root = as_folder(tmp_path, tree("a", "b"))
    paths = [f"{name}/{n}.png" for name in "ab" for n in range(10)]
    table = arrow.table({"path": paths, "label": [n // 10 * 5 for n in range(20)], "more": paths})
    parquet.write_table(table, root / "data.parquet")
    found = load(root / "data.parquet", input=INPUT)
    assert found.train.classes == ("0", "5") and len(found.test) == 2
    (root / "bad.parquet").write_bytes(b"PAR1" + hostile.noise(100))
    with pytest.raises(DataError, match=r"bad\.parquet: "):
        load(root / "bad.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DataError, match="pip install pyarrow"):
        load(root / "data.parquet")


# -- archives


def test_links_and_devices_in_archives_are_refused(tmp_path: Path) -> None:
    path = as_tar(tmp_path, tree("cat", "dog"))
    with tarfile.open(path, "a") as archive:
        for name, kind in {
            "a": tarfile.SYMTYPE,
            "b": tarfile.LNKTYPE,
            "c": tarfile.FIFOTYPE,
        }.items():
            member = tarfile.TarInfo(f"cat/{name}.png")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        outside = tarfile.TarInfo("../cat/d.png")
        archive.addfile(outside)
    zipped = as_zip(tmp_path, tree("cat", "dog"))
    with zipfile.ZipFile(zipped, "a") as archive_:
        link = zipfile.ZipInfo("cat/a.png")
        link.external_attr = 0o120777 << 16
        archive_.writestr(link, "/etc/passwd")
        archive_.writestr("/cat/b.png", "x")
    for source, names in ((path, "abcd"), (zipped, "ab")):
        told = load(source, input=INPUT).unreadable
        assert [Path(each.path).stem for each in told] == list(names)
        assert all(each.path.startswith(f"{source}:") for each in told)
        assert "a link" in told[0].reason and "out of the archive" in told[-1].reason


@pytest.mark.parametrize("end", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_damaged_archive_is_an_error_or_its_members_are_told(tmp_path: Path, end: str) -> None:
    whole = KINDS[end](tmp_path, tree("cat", "dog", count=40)).read_bytes()
    for percent in (0, 10, 50, 80):
        path = tmp_path / f"cut{percent}.{end}"
        path.write_bytes(whole[: len(whole) * percent // 100])
        with pytest.raises(DataError, match=f"cut{percent}"):
            load(path, input=INPUT)
    damaged = bytearray(whole)
    place = whole.find(b"IHDR") if end == "tar" else len(whole) // 4  # a tar has idle bytes too
    damaged[place : place + 50] = bytes(50)
    (tmp_path / f"changed.{end}").write_bytes(damaged)
    try:
        assert load(tmp_path / f"changed.{end}", input=INPUT).unreadable
    except DataError as reason:
        assert "changed" in str(reason)


def test_an_encrypted_zip_says_so(tmp_path: Path) -> None:
    path = as_zip(tmp_path, tree("cat"))
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + place] |= 1
            at = content.find(mark, at + 1)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"is encrypted \(cat/0.png\): unpack it first"):
        load(path, input=INPUT)


def test_a_member_that_is_too_large_is_told_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("striate.data.arrange.LARGEST", 10_000)
    files = tree("cat", "dog") | {"cat/bomb.png": bytes(50_000)}
    for make in (as_zip, as_tar, as_folder):
        told = load(make(tmp_path, files), input=INPUT).unreadable
        assert [Path(each.path).name for each in told] == ["bomb.png"]


def test_a_compressed_tar_that_explodes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("striate.data.archives.SPARE", 2**20)
    path = as_tar(tmp_path, tree("cat") | {"cat/bomb.bmp": bytes(2**24)}, "gz")
    with pytest.raises(DataError, match=r"holds more than .* bytes, for which"):
        load(path, input=INPUT)
    assert not list(Path(os.environ["STRIATE_CACHE"]).rglob("*.part"))


@pytest.mark.parametrize("name", ["photo.jpg", "notes.txt", "model.zip", "x.tar.gz"])
def test_a_file_that_is_no_source_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(hostile.JPEG)
    with pytest.raises(DataError, match="is no folder, zip or tar archive, nor a"):
        load(tmp_path / name)


def test_an_unknown_source_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is nothing there; did you mean digits"):
        load("digit")
    with pytest.raises(DataError, match="did you mean cifar10"):
        load("cifar-10")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        load(tmp_path / "pipe")


def test_a_reader_can_be_sent_to_another_process(made: Callable[..., Path]) -> None:
    listing = list_files(made(tree("cat", "dog")))
    reader = pickle.loads(pickle.dumps(listing.reader))
    assert [reader.read(entry) for entry in listing.entries] == [picture(n) for n in range(20)]


# -- hostile files


def state(root: Path) -> dict[str, tuple[str, int]]:
    """The content and the time of change of every file."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in files
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_hostile_files_among_good_ones_are_told_once_and_left_alone(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("striate.data.build.CHUNK", 16)
    bad = hostile.bad()
    files = tree("train/cat", "train/dog", "test/cat", count=20)
    root = as_folder(tmp_path, files | {f"train/dog/{name}": bad[name] for name in bad})
    special = hostile.no_files(root / "train" / "dog")
    before = state(root)
    found = load(root, resize=6, workers=workers)
    assert len(found.train) + len(found.validation) == 40
    told = [path.removeprefix(f"{root}/train/dog/") for path, _ in found.unreadable]
    assert sorted(told) == sorted([*bad, *special])
    assert all(reason and "\n" not in reason for _, reason in found.unreadable)
    assert state(root) == before


@pytest.mark.parametrize("make", [as_zip, as_tar])
def test_hostile_members_of_an_archive_are_told_once(
    tmp_path: Path, make: Callable[..., Path]
) -> None:
    bad = hostile.bad()
    files = tree("train/cat", "train/dog", "test/cat") | {f"train/cat/{n}": bad[n] for n in bad}
    source = make(tmp_path, files)
    found = load(source, resize=6)
    told = [path.removeprefix(f"{source}:train/cat/") for path, _ in found.unreadable]
    assert sorted(told) == sorted(bad)


def test_odd_files_are_images_like_others(tmp_path: Path) -> None:
    odd = hostile.odd()
    files = {f"{name}/{file}": odd[file][0] for name in ("cat", "dog") for file in odd}
    found = load(as_folder(tmp_path, files), input=Volume(24, 36, 3))
    assert not found.unreadable
    assert sum(map(len, (found.train, found.validation, found.test))) == 2 * len(odd)


@pytest.mark.parametrize("make", [as_folder, as_csv])
def test_a_file_that_may_not_be_read_is_told_until_it_may(
    tmp_path: Path, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though neither its size nor the time of its content changes."""
    read, source = FolderReader.read, make(tmp_path, tree("cat", "dog"))
    secret = tmp_path / "data" / "cat" / "0.png"

    def refused(reader: FolderReader, entry: Entry) -> bytes:  # root may read everything
        if os.stat(reader.name(entry.path)).st_mode & 0o777 == 0:
            raise DataError("Permission denied")
        return read(reader, entry)

    monkeypatch.setattr(FolderReader, "read", refused)
    secret.chmod(0)
    assert [reason for _, reason in load(source, input=INPUT).unreadable] == ["Permission denied"]
    sleep(0.02)  # times are kept by the tick of a clock
    secret.chmod(0o644)
    assert not load(source, input=INPUT).unreadable


def test_a_file_that_goes_or_grows_while_it_is_read_is_told(tmp_path: Path) -> None:
    listing: Listing = list_files(root := as_folder(tmp_path, tree("cat", "dog")))
    (root / "cat" / "0.png").unlink()
    (root / "cat" / "1.png").unlink()
    os.mkfifo(root / "cat" / "1.png")
    for entry, reason in zip(listing.entries[:2], ("No such file", "not a file"), strict=True):
        with pytest.raises(DataError, match=reason):
            listing.read(entry)
