"""Predictions for files: the pixels of training, whatever the file; shards, bad images, engines."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import hostile
import numpy as np
import pytest
import torch
from conftest import SOURCE
from PIL import Image
from shipped import model_of

from striate.compute import Compute
from striate.data import load
from striate.data.assemble import read_files
from striate.data.files import list_files
from striate.errors import DataError, RunError, StriateError
from striate.evaluate import predict
from striate.network import read
from striate.recipes import Recipe
from striate.runs import Run
from striate.session import begin
from striate.ship import choice, open_predictor
from striate.ship.engines import ENGINES, Way, by_pytorch, ways
from striate.ship.export import export
from striate.ship.model import Model, of_run
from striate.ship.python_source import to_python

NETWORK = "[20x20x3] conv3-6 bn relu maxpool2 fc-3 softmax"
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 30, 210)}


def photograph(name: str, number: int) -> Image.Image:
    """Of one of three colours with noise, of many sizes."""
    chance = np.random.default_rng([number, len(name)])
    height, width = 24 + number % 5, 26 + number % 7
    noise = chance.integers(-60, 60, (height, width, 3))
    return Image.fromarray(np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEG and PNG files in all orientations, an animal a folder."""
    made = tmp_path_factory.mktemp("photos")
    for name in COLOURS:
        (made / name).mkdir()
        for number in range(16):
            exif = Image.Exif()
            exif[274] = 1 + number % 8
            ending = "jpg" if number % 2 else "png"
            photograph(name, number).save(made / name / f"{number}.{ending}", exif=exif)
    return made


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trained on them for some epochs; images are scaled to 23x23 and cut to 20x20."""
    network = read(NETWORK)
    splits = load(folder, input=network.input)
    path = tmp_path_factory.mktemp("runs") / "colours"
    recipe = Recipe(epochs=4, batch=8, normalisation="mean-image")
    session = begin(path, network, splits, recipe, Compute())
    for _ in session.records():
        pass
    return session.run


@pytest.fixture(scope="module")
def onnx(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "colours.onnx"
    return export(of_run(run), "onnx", out).paths[0]


# -- the same pixels, the same answers


def test_files_are_seen_as_training_and_scoring_see_them(
    run: Run, folder: Path, onnx: Path
) -> None:
    """Every byte of every pixel, and the probabilities of every image, whatever computes."""
    listing = list_files(folder)
    images = read_files(listing, run.network.input, run.recipe.resize).images
    exact = open_predictor(run.path, engine="exact")
    assert exact.volume == (23, 23, 3)
    pixels = np.stack([exact.pixels(listing.read(entry)) for entry in listing.entries])
    assert np.array_equal(pixels, images.pixels[:])
    seen = np.concatenate([np.asarray(each.pixels[:]) for each in (run.splits().test,)])
    assert {each.tobytes() for each in seen} <= {each.tobytes() for each in pixels}
    wanted = predict([run.model()], images, run.preparation).probabilities
    for source, engine in (
        (run.path, "exact"),
        (run.path, "pytorch"),
        (run.path, "onnxruntime"),
        (run.path, "auto"),
        (onnx, "auto"),
        (onnx, "exact"),
        (onnx, "onnxruntime"),
    ):
        predictor = open_predictor(source, engine=engine)
        assert predictor.classes == run.classes == ("blue", "green", "red")
        assert predictor.name == "colours" and predictor.volume == exact.volume
        assert engine not in ENGINES or predictor.engine == engine
        np.testing.assert_allclose(predictor(pixels), wanted, atol=2e-6)


@pytest.mark.filterwarnings("ignore")  # Pillow's, of metadata; a person's file may say them
def test_odd_files_are_the_same_pixels_in_the_python_file() -> None:
    """EXIF's orientations, palettes, transparency, 16 bits: what it reads, it reads as we do."""
    model = model_of("[20x20x3] fc-3", border=3)
    space: dict[str, object] = {"__name__": "exported", "__file__": "exported.py"}
    exec(to_python(model, "weights.safetensors").text, space)
    from striate.data.decode import decode

    compared = 0
    for name, (content, _) in hostile.odd().items():
        if "float" in name or "32 bits" in name:
            continue  # which the file leaves to others
        found = space["pixels"](io.BytesIO(content))
        assert np.array_equal(found, decode(content, 3, (23, 23))), name
        compared += 1
    assert compared > 60


def test_a_file_of_another_shape_is_cut_to_the_shape_of_the_runs_images() -> None:
    from striate.data.decode import decode

    tall = np.zeros((60, 20, 3), np.uint8)
    tall[25:35] = 255
    content = hostile.saved(Image.fromarray(tall), "PNG")
    assert decode(content, 3, (10, 20)).min() == 255
    assert decode(content, 3, (60, 20)).tobytes() == tall.tobytes()


def test_many_threads_make_the_same_pixels(run: Run, folder: Path) -> None:
    """And leave Python's warnings as they were."""
    import warnings

    predictor = open_predictor(run.path, engine="exact")
    files = [each.read_bytes() for each in sorted(folder.rglob("*.jpg"))] * 4
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(predictor.pixels, files))
    assert warnings.filters == before
    assert all(np.array_equal(predictor.pixels(c), p) for c, p in zip(files, found, strict=True))


def test_an_empty_batch_and_wrong_pixels(run: Run) -> None:
    predictor = open_predictor(run.path, engine="exact")
    assert predictor(np.zeros((0, 23, 23, 3), np.uint8)).shape == (0, 3)
    with pytest.raises(StriateError, match=r"takes uint8 pixels of \(N, 23, 23, 3\), not float32"):
        predictor(np.zeros((1, 23, 23, 3), np.float32))
    with pytest.raises(DataError, match="the file is empty"):
        predictor.pixels(b"")


# -- engines


def test_bfloat16_is_near_float32() -> None:
    model = model_of("resnet20")
    pixels = choice.images(model.volume, 4)
    found = by_pytorch(model, Way("pytorch", "bfloat16", "channels_last"), 1)(pixels)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - model.exact(pixels)).max() < 0.05


def test_a_way_that_is_wrong_or_fails_is_not_taken(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However fast it is; and with no other, that is said."""
    opened = choice.Subject.open

    def crooked(subject: choice.Subject, way: Way, threads: int) -> object:
        if way.engine != "pytorch":
            raise StriateError("no luck")
        if way.memory_format == "channels_last":
            return lambda pixels: np.full((len(pixels), 3), np.nan, np.float32)
        return opened(subject, way, threads)

    monkeypatch.setattr(choice.Subject, "open", crooked)
    assert open_predictor(run.path).way.startswith("pytorch, ")
    with pytest.raises(StriateError, match="cannot be computed here: onnxruntime: no luck"):
        open_predictor(run.path, engine="onnxruntime")


def test_what_was_measured_is_remembered(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "quiet", lambda: True)
    first = open_predictor(run.path, engine="pytorch")
    monkeypatch.setattr(choice, "_rate", lambda *given: pytest.fail("measured again"))
    again = open_predictor(run.path, engine="pytorch")
    assert "as measured before" in again.way and again.engine == first.engine


def test_engines_that_are_not_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StriateError, match=r"no engine 'onxruntime': did you mean onnxruntime\?"):
        open_predictor(run.path, engine="onxruntime")
    from striate.ship import engines

    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    assert {way.engine for way in ways("auto", own=True, small=True)} == {"pytorch"}
    with pytest.raises(StriateError, match=r"pip install 'striate\[onnx\]'"):
        open_predictor(run.path, engine="onnxruntime")


def test_channels_that_no_image_file_has(tmp_path: Path) -> None:
    model = model_of("[8x8x5] fc-3")
    out = export(model, "onnx", tmp_path / "five.onnx").paths[0]
    with pytest.raises(
        StriateError, match=r"takes a depth of 5: image files are grey \(1\) or RGB"
    ):
        open_predictor(out)


# -- the command


def striate(*arguments: object, input: bytes = b"", **environment: str) -> tuple[int, str, str]:
    """`striate ARGUMENTS` as a process; its exit code, standard output and error."""
    done = subprocess.run(
        [sys.executable, "-m", "striate", *map(str, arguments)],
        input=input,
        capture_output=True,
        env=os.environ
        | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
        | environment,
        timeout=120,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def called(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """The same in this process, which is faster."""
    from striate.cli import app

    try:
        app(["predict", *arguments], prog_name="striate")
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_command_says_the_classes_of_files_and_passes_bad_ones_over(
    onnx: Path, folder: Path, tmp_path: Path
) -> None:
    """As a process, from a folder, an archive and a list; the exit code is 3 where some are bad."""
    (tmp_path / "bad.jpg").write_bytes((folder / "red/1.jpg").read_bytes()[:300])
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as file:
        file.write(folder / "red/2.png", "deep/er/red.png")
    listed = f"{folder}/blue/3.jpg\n{folder}/none.jpg\n".encode()
    sources = [folder / "green/5.jpg", tmp_path / "bad.jpg", tmp_path / "all.zip", "-"]
    code, out, err = striate(
        "predict", onnx, *sources, "--format", "json", "--top", 2, input=listed
    )
    found = {each["image"]: each for each in lines(out)}
    assert code == 3 and len(found) == 5
    for name in ("green/5.jpg", "blue/3.jpg"):
        top = found[f"{folder}/{name}"]["top"]
        assert len(top) == 2 and top[0]["class"] == name.partition("/")[0]
        assert top[0]["probability"] >= top[1]["probability"]
    assert found[f"{tmp_path}/all.zip:deep/er/red.png"]["top"][0]["class"] == "red"
    assert "damaged" in found[f"{tmp_path}/bad.jpg"]["error"]
    assert found[f"{folder}/none.jpg"]["error"] == "No such file or directory"
    assert "2 images passed over" in err and "Traceback" not in err


def test_images_that_a_table_names_and_nobody_finds_are_said(
    run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "t.csv"
    table.write_text(f"path,label\n{folder}/red/1.jpg,red\n{folder}/none.jpg,red\n")
    words = [str(run.path), str(table), "--format", "json", "--engine", "exact"]
    code, out, err = called(words, capsys)
    red, none = lines(out)
    assert code == 3 and "1 image passed over" in err
    assert red["image"] == f"{folder}/red/1.jpg" and none["image"] == f"{folder}/none.jpg"


def test_what_cannot_be_read_belongs_to_the_mark_of_shards(
    run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else shards that are cut otherwise would stand for each other."""
    table, names = tmp_path / "t.csv", [f"{folder}/{name}" for name in ("none.jpg", "red/1.jpg")]
    words = [str(run.path), str(table), "--engine", "exact", "--shards", "2"]
    words += ["--out", str(tmp_path / "shards")]
    table.write_text("\n".join(["path", *names]))
    assert called(words, capsys)[0] == 3
    table.write_text("\n".join(["path", names[1]]))
    with pytest.raises(RunError, match="holds shards of another prediction"):
        called(words, capsys)


def test_a_table_needs_no_labels_to_be_predicted(
    run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its images come in its own order."""
    table = tmp_path / "t.csv"
    names = [f"{folder}/red/3.jpg", f"{folder}/none.jpg", f"{folder}/red/1.jpg"]
    table.write_text("\n".join(["path,size", *(f"{name},1" for name in names)]))
    words = [str(run.path), str(table), "--format", "json", "--engine", "exact"]
    code, out, _ = called(words, capsys)
    assert code == 3 and [each["image"] for each in lines(out)] == names
    table.write_text("image\na.png\n")
    with pytest.raises(DataError, match="must name the column path; there is no path in image"):
        called(words, capsys)


@pytest.mark.parametrize("ending", [".safetensors", ".pt2", ".py"])
def test_other_files_of_models_are_told_from_damaged_ones(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"m{ending}").write_bytes(b"x")
    with pytest.raises(StriateError, match="neither a run nor an ONNX file"):
        open_predictor(tmp_path / f"m{ending}")


def test_one_image_through_a_pipe(
    run: Run,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = (folder / "blue/6.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    code, out, _ = called([str(run.path), "-", "--top", "1", "--engine", "exact"], capsys)
    assert code == 0 and out.split()[:5] == ["image", "class", "probability", "-", "blue"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\x00nothing")))
    with pytest.raises(DataError, match="neither an image nor a list of paths"):
        called([str(run.path), "-"], capsys)


def test_forms(run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same answers as a table, as lines, as rows; in a file by its name."""
    some = [str(run.path), str(folder / "red"), "--engine", "exact"]
    _, table, _ = called([*some, "--top", "1"], capsys)
    assert len(table.splitlines()) == 17
    _, text, _ = called([*some, "--format", "csv"], capsys)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 16 * 3 and [each["rank"] for each in rows[:3]] == ["1", "2", "3"]
    assert sum(float(each["probability"]) for each in rows[:3]) == pytest.approx(1, abs=1e-5)
    code, _, err = called([*some, "--out", str(tmp_path / "said.xlsx")], capsys)
    assert code == 2 and ".jsonl, .csv, .txt: say its form by --format" in err
    out = tmp_path / "said.jsonl"
    code, text, _ = called([*some, "--out", str(out)], capsys)
    said = lines(out.read_text())
    assert (code, text) == (0, "")
    assert [each["image"] for each in said] == [
        str(folder / "red" / f"{n}.{'jpg' if n % 2 else 'png'}") for n in range(16)
    ]
    assert said[0]["top"][0]["probability"] == pytest.approx(float(rows[0]["probability"]))


def test_a_tar_and_a_folder_say_the_same(
    run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as file:
        file.add(folder, "photos")
    some = ["--engine", "exact", "--format", "json", "--workers"]
    _, one, _ = called([str(run.path), str(folder), *some, "0"], capsys)
    _, two, _ = called([str(run.path), str(tmp_path / "all.tar.gz"), *some, "2"], capsys)
    assert [each["top"] for each in lines(one)] == [each["top"] for each in lines(two)]
    assert len(lines(two)) == 48


def test_shards_are_made_once(
    run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing ones are made again and are the same; those of another prediction are not mixed."""
    out = tmp_path / "out"
    some = [str(run.path), str(folder), "--out", str(out), "--shards", "5", "--engine", "exact"]
    assert f"{out}: 5 shards of 48 images written\n" == called(some, capsys)[1]
    before = {each.name: each.read_bytes() for each in out.iterdir()}
    assert sum(len(lines(each.decode())) for each in before.values()) == 48
    sorted(out.iterdir())[2].unlink()
    assert "1 shards of 9 images written, 4 were there" in called(some, capsys)[1]
    assert {each.name: each.read_bytes() for each in out.iterdir()} == before
    with pytest.raises(RunError, match="holds shards of another prediction"):
        called([*some, "--top", "1"], capsys)
    assert called(["RUN", "images", "--shards", "5"], capsys)[0] == 2


def test_processes_share_the_shards(
    run: Run,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As torchrun tells them who they are; none waits for another."""
    out = tmp_path / "out"
    some = [str(run.path), str(folder), "--out", str(out), "--shards", "3", "--engine", "exact"]
    for rank, count in (("1", 1), ("0", 3)):
        for name, value in (("RANK", rank), ("WORLD_SIZE", "2"), ("LOCAL_WORLD_SIZE", "2")):
            monkeypatch.setenv(name, value)
        assert called(some, capsys)[0] == 0
        assert len(list(out.iterdir())) == count
    code, _, err = called(some[:2], capsys)
    assert code == 2 and "processes share shards: say --shards N --out DIR" in err


def test_what_is_not_there(
    run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match="there is nothing at"):
        called([str(run.path), str(tmp_path / "none.jpg")], capsys)
    with pytest.raises(DataError, match="there are no images"):
        called([str(run.path), str(tmp_path)], capsys)
    with pytest.raises(RunError, match="there is no run at"):
        called([str(tmp_path / "none"), str(folder)], capsys)


def test_numbers_that_are_not_finite_are_an_error_of_their_image(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON knows no NaN; the other images are answered."""
    exact = Model.exact

    def spoiled(model: Model, pixels: np.ndarray) -> np.ndarray:
        found = exact(model, pixels)
        found[1] = np.nan
        return found

    monkeypatch.setattr(Model, "exact", spoiled)
    files = [str(folder / "red" / name) for name in ("0.png", "2.png", "4.png")]
    some = [str(run.path), *files, "--engine", "exact", "--format", "json"]
    code, out, _ = called(some, capsys)
    said = lines(out)
    assert code == 3 and [each["image"] for each in said] == files
    assert ["top" in each for each in said] == [True, False, True]
    assert said[1]["error"] == "the network's scores of it are not finite"


def test_a_file_whose_name_begins_as_a_home(
    run: Run,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of nobody: as it is left where an editor has not tidied up."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(folder / "blue/6.png", tmp_path / "~$photo.png")
    code, out, _ = called([str(run.path), "~$photo.png", "--engine", "exact"], capsys)
    assert code == 0 and "~$photo.png  blue" in out
    with pytest.raises(DataError, match=r"there is nothing at ~no-such-user/photo.png"):
        called([str(run.path), "~no-such-user/photo.png"], capsys)


def test_a_file_that_cannot_be_written_is_told_before_anything_is_computed(
    run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out, said in ((tmp_path, "is a folder: --shards N"), (tmp_path / "a/b", "no folder")):
        code, _, err = called([str(run.path), str(folder), "--out", str(out)], capsys)
        assert code == 2 and said in err


def test_threads_are_those_asked_for_whatever_computes(run: Run) -> None:
    before = torch.get_num_threads()
    try:
        open_predictor(run.path, engine="exact", threads=before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_pixels_that_cannot_be_written_to(run: Run) -> None:
    """As those of files are, which other processes decode; PyTorch warns of them."""
    pixels = np.frombuffer(bytes(2 * 23 * 23 * 3), np.uint8).reshape(2, 23, 23, 3)
    for way in (Way("pytorch"), Way("pytorch", memory_format="channels_last")):
        assert by_pytorch(of_run(run), way, 1)(pixels).shape == (2, 3)


def test_an_engine_that_was_installed_under_another_name(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime-gpu is onnxruntime too, and Python's lists of packages do not know that."""

    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(choice, "version", version)
    assert open_predictor(run.path, engine="onnxruntime").engine == "onnxruntime"


def test_pytorch_has_no_layers_of_an_onnx_file(onnx: Path) -> None:
    with pytest.raises(StriateError, match="computed here: pytorch takes no ONNX files"):
        open_predictor(onnx, engine="pytorch")


def test_threads_of_torch_are_left_to_others(run: Run) -> None:
    before = torch.get_num_threads()
    open_predictor(run.path, engine="exact")
    assert torch.get_num_threads() == before
