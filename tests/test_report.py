"""`striate score`: what it says, in which forms, and the report it writes."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch.nn.functional import cross_entropy

from striate.cli import score as verb
from striate.compute import Compute
from striate.data import Images, load, prepare
from striate.draw.report import MARK, write_report
from striate.draw.scored import Scored, to_json, to_text
from striate.errors import DataError, RunError
from striate.evaluate import Predictions, average, predict, score, summarise
from striate.network import read
from striate.recipes import Recipe
from striate.records import EpochEnded, Evaluated, Score
from striate.records import to_json as line
from striate.runs import Run, create_run
from striate.storage import write_tensors

NETWORK = read("[8x8x1] fc-10 softmax")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two linear classifiers of digits, trained a little from different weights."""
    splits = load("digits")
    preparation = prepare(NETWORK, splits)
    pixels = preparation(splits.train.pixels[np.arange(len(splits.train))])
    labels = torch.from_numpy(splits.train.labels)
    made = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = NETWORK.build()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
        for _ in range(30):
            optimiser.zero_grad()
            torch.autograd.backward(cross_entropy(model(pixels), labels))
            optimiser.step()
        path = tmp_path_factory.mktemp("runs") / f"digits-{seed}"
        run = create_run(path, NETWORK, splits, preparation, Recipe(seed=seed), Compute())
        write_tensors(path / "weights.safetensors", model.state_dict(), {})
        records = [EpochEnded(1, 30, 0.5, 0.2, 1.0)]
        records += [Evaluated(1, "validation", Score(143, 0.4, 0.1, 0.0), 1.0)]
        (path / "metrics.jsonl").write_text("".join(line(each) + "\n" for each in records))
        made.append(run)
    return made


def said(*arguments: object) -> Result:
    return CliRunner().invoke(verb.command, [*map(str, arguments)])


def answer(*arguments: object) -> dict[str, object]:
    done = said(*arguments, "--format", "json")
    assert done.exit_code == 0, done.exception or done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


# -- what it says


def test_the_json_has_every_figure_as_a_fraction(runs: list[Run]) -> None:
    found = answer(runs[0].path)
    splits = load("digits")
    counted = score(runs[0].model(), splits.test, runs[0].preparation)
    assert (found["data"], found["split"], found["views"]) == ("digits", "test", "1")
    assert found["count"] == counted.count == 359
    assert (found["top1_error"], found["top5_error"]) == (counted.top1_error, counted.top5_error)
    assert found["loss"] == pytest.approx(counted.loss)
    low, high = found["top1_interval"]
    assert 0 < low < found["top1_error"] < high < 0.5
    assert 0 < found["calibration_error"] < 1
    assert np.array(found["confusion"]).sum() == 359
    assert sum(each["wrong"] for each in found["per_class"]) == round(359 * found["top1_error"])
    assert sum(each["count"] for each in found["calibration"]) == 359
    assert found["mistakes"][0]["said"] != found["mistakes"][0]["true"]


def test_the_text_says_the_same(runs: list[Run]) -> None:
    found, text = answer(runs[0].path), said(runs[0].path).stdout
    low, high = found["top1_interval"]
    lines = text.splitlines()
    assert lines[0] == "digits: 359 test images"
    assert lines[1] == (
        f"top-1 error {found['top1_error']:.2%} (95% interval {low:.2%} to {high:.2%})"
    )
    assert lines[2].startswith("top-5 error ")
    assert lines[3] == f"loss {found['loss']:.4f}"
    assert lines[4] == f"calibration error {found['calibration_error']:.2%}"
    assert [line.split()[0] for line in lines[6:17]] == ["class", *"0123456789"]
    first = found["confused"][0]
    assert f"mistaken: {first['true']} for {first['said']} ({first['count']})" in lines[-1]


def test_other_splits_and_tops(runs: list[Run]) -> None:
    text = said(runs[0].path, "--split", "validation", "--top", "2,3").stdout
    assert text.startswith("digits: 143 validation images\ntop-2 error ")
    assert "top-3 error" in text and "top-1" not in text
    found = answer(runs[0].path, "--split", "train", "--top", "3")
    assert found["count"] == 1295
    assert found["top1_error"] > found["top3_error"] > found["top5_error"]
    for wrong in ("", "0", "1,", "one", "-1", "1;5"):
        assert said(runs[0].path, "--top", wrong).exit_code == 2


def test_the_csv_is_a_heading_and_a_line(runs: list[Run]) -> None:
    found = answer(runs[0].path)
    (row,) = csv.DictReader(io.StringIO(said(runs[0].path, "--format", "csv").stdout))
    assert float(row["top1_error"]) == found["top1_error"]
    assert [float(row["top1_low"]), float(row["top1_high"])] == found["top1_interval"]
    assert row["runs"] == str(runs[0].path)


def test_an_ensemble_averages_its_runs(runs: list[Run]) -> None:
    paths = [run.path for run in runs]
    found = answer(paths[0], "--ensemble", paths[1], "--views", "6")
    test = load("digits").test
    each = [predict([run.model()], test, run.preparation, views="6") for run in runs]
    expected = summarise(average(each))
    assert found["top1_error"] == expected.errors[1].fraction
    assert found["loss"] == pytest.approx(expected.loss)
    assert found["runs"] == [str(path) for path in paths]
    text = said(paths[0], "--ensemble", paths[1], "--views", "6").stdout
    assert text.startswith("digits: 359 test images, mean over 6 views of each and 2 runs\n")


def test_images_of_other_classes_are_refused(runs: list[Run], tmp_path: Path) -> None:
    splits = load("digits")
    kept = np.flatnonzero(splits.train.labels < 3)
    images = Images(splits.train.pixels[kept], splits.train.labels[kept], ("a", "b", "c"))
    network = read("[8x8x1] fc-3 softmax")
    few = type(splits)("digits", images, images, images)
    other = create_run(tmp_path / "few", network, few, prepare(network, few), Recipe(), Compute())
    done = said(runs[0].path, "--ensemble", other.path)
    assert isinstance(done.exception, DataError)
    message = "digits has images of class '0', which the network does not know; known: a, b, c"
    assert str(done.exception) == message


# -- other images


def photos(root: Path, *folders: str, count: int = 6) -> Path:
    """So many of scikit-learn's digits in each folder, which is named after its class."""
    splits = load("digits")
    for folder in folders:
        (root / folder).mkdir(parents=True)
        members = np.flatnonzero(splits.test.labels == int(folder[-1]))[:count]
        for number, position in enumerate(members.tolist()):
            pixels = splits.test.pixels[position][..., 0]
            Image.fromarray(pixels).save(root / folder / f"{number}.png")
    return root


def counted(found: dict[str, object]) -> dict[str, int]:
    return {each["class"]: each["count"] for each in found["per_class"] if each["count"]}  # type: ignore[attr-defined]


def test_all_images_of_another_folder_are_scored_by_the_names_of_their_classes(
    runs: list[Run], tmp_path: Path
) -> None:
    """A folder without splits, of some of the classes: a missing one shifts no label."""
    source = photos(tmp_path / "more", "7", "2")
    found = answer(runs[0].path, "--data", source)
    assert (found["split"], found["count"]) == ("all", 12)
    assert counted(found) == {"2": 6, "7": 6}
    assert found["top1_error"] < 0.5
    text = said(runs[0].path, "--data", source, "--ensemble", runs[1].path).stdout
    assert text.startswith(f"{source}: 12 images, mean over 2 runs\n")
    assert answer(runs[0].path, "--data", source, "--split", "test")["count"] == 2


def test_of_a_folder_with_splits_the_test_images_are_scored(
    runs: list[Run], tmp_path: Path
) -> None:
    alone = photos(tmp_path / "alone", "test/1", "test/3")
    found = answer(runs[0].path, "--data", alone)
    assert (found["split"], counted(found)) == ("test", {"1": 6, "3": 6})
    both = photos(tmp_path / "both", "train/1", "train/5", "test/5")
    assert counted(answer(runs[0].path, "--data", both)) == {"5": 6}
    assert counted(answer(runs[0].path, "--data", both, "--split", "train")) == {"1": 5, "5": 5}


def test_an_unknown_class_is_named_and_an_empty_one_is_none(
    runs: list[Run], tmp_path: Path
) -> None:
    source = photos(tmp_path / "more", "7")
    (source / "extra").mkdir()
    assert answer(runs[0].path, "--data", source)["count"] == 6
    Image.new("L", (8, 8)).save(source / "extra" / "a.png")
    done = said(runs[0].path, "--data", source)
    assert isinstance(done.exception, DataError)
    assert "has images of class 'extra', which the network does not know" in str(done.exception)


def test_the_images_of_the_run_are_known_again_where_they_were_moved(tmp_path: Path) -> None:
    """Those it was trained on would flatter it: its test images are scored."""
    source = photos(tmp_path / "here", "0", "1", count=30)
    splits = load(source, input=NETWORK.input)
    network = read("[8x8x1] fc-2 softmax")
    run = create_run(
        tmp_path / "run", network, splits, prepare(network, splits), Recipe(), Compute()
    )
    write_tensors(run.path / "weights.safetensors", network.build().state_dict(), {})
    here = answer(run.path)
    there = source.rename(tmp_path / "there")
    moved = answer(run.path, "--data", there)
    assert (here["split"], here["count"]) == (moved["split"], moved["count"]) == ("test", 6)
    assert here["loss"] == moved["loss"]


def test_a_report_in_a_folder_with_brackets_in_its_name(runs: list[Run], tmp_path: Path) -> None:
    source = photos(tmp_path / "more[/x]", "7")
    (source / "7" / "bad.png").write_bytes(b"")
    done = said(runs[0].path, "--data", source, "--report", tmp_path / "br[/y]rep")
    assert done.exit_code == 0, done.exception
    assert f"1 file passed over: striate data {source} lists them" in done.stderr
    assert f"report {tmp_path / 'br[/y]rep' / 'index.html'}" in done.stderr


def test_a_run_trained_on_a_device_that_is_not_here_is_scored_all_the_same(
    runs: list[Run], tmp_path: Path
) -> None:
    about = json.loads((runs[0].path / "run.json").read_text("utf-8"))
    about["compute"]["device"] = "cuda:99"
    for file in runs[0].path.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "run.json").write_text(json.dumps(about), "utf-8")
    assert answer(tmp_path)["top1_error"] == answer(runs[0].path)["top1_error"]


def test_many_classes_are_not_listed_and_a_class_without_images_has_no_error() -> None:
    logs = np.log(np.full((2, 21), 1 / 21))
    names = tuple(f"class {each}" for each in range(21))
    summary = summarise(Predictions(logs, np.array([0, 3]), names))
    found = Scored("things", "test", ("run",), "1", (1,), summary)
    assert "class 20" not in to_text(found)
    assert json.loads(to_json(found))["per_class"][20] == {
        "class": "class 20",
        "count": 0,
        "wrong": 0,
        "error": None,
        "interval": [0, 1],
    }


# -- the report


def test_a_report_is_a_page_with_charts_and_tables(runs: list[Run], tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "report"
    done = said(runs[0].path, "--ensemble", runs[1].path, "--report", folder)
    assert done.exit_code == 0, done.exception
    assert f"report {folder / 'index.html'}" in done.stderr.replace("\n", "")
    assert {each.name for each in folder.iterdir()} == {
        "index.html",
        "curve.png",
        "calibration.png",
        "confusion.png",
        "mistakes.png",
        "per-class.csv",
        "confusion.csv",
        "predictions.csv",
    }
    page = (folder / "index.html").read_text("utf-8")
    assert MARK in page and page.count("data:image/png;base64,") == 4
    assert not re.search(r'(src|href)="(?!data:|[a-z-]+\.csv")', page), "nothing from elsewhere"
    for chart in folder.glob("*.png"):
        with Image.open(chart) as opened:
            assert min(opened.size) > 200

    def lines_of(name: str) -> list[str]:
        return (folder / name).read_text("utf-8").splitlines()

    rows = list(csv.DictReader(lines_of("predictions.csv")))
    assert len(rows) == 359
    wrong = sum(row["class"] != row["said"] for row in rows)
    classes = list(csv.DictReader(lines_of("per-class.csv")))
    assert sum(int(row["wrong"]) for row in classes) == wrong
    confusion = list(csv.reader(lines_of("confusion.csv")))
    assert confusion[0] == ["true", *"0123456789"] and len(confusion) == 11


def test_a_report_replaces_a_report_and_nothing_else(runs: list[Run], tmp_path: Path) -> None:
    assert said(runs[0].path, "--report", tmp_path / "report").exit_code == 0
    (tmp_path / "report" / "notes.txt").write_text("mine")
    assert said(runs[1].path, "--report", tmp_path / "report").exit_code == 0
    assert str(runs[1].path) in (tmp_path / "report" / "index.html").read_text("utf-8")
    assert (tmp_path / "report" / "notes.txt").read_text() == "mine"
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("<p>my site")
    done = said(runs[0].path, "--report", site)
    assert isinstance(done.exception, RunError)
    assert "site is not empty and no report: name another folder" in str(done.exception)
    assert [each.name for each in site.iterdir()] == ["index.html"]
    done = said(runs[0].path, "--report", site / "index.html")
    assert "cannot hold a report: File exists" in str(done.exception)


def test_a_report_of_hostile_names_without_mistakes_or_pictures(
    runs: list[Run], tmp_path: Path
) -> None:
    """Volumes that are no pictures have no sheet; names are text."""
    from striate.draw.history import read_history

    names = ("<script>alert(1)</script>", '"&', "$x$")
    pixels = np.zeros((2, 3, 3, 5), np.uint8)
    images = Images(pixels, np.array([0, 1]), names)
    found = Predictions(np.log([[0.2, 0.4, 0.4], [0.1, 0.8, 0.1]]), images.labels, names)
    scored = Scored("<b>", "test", ("a&b",), "1", (1,), summarise(found))
    history = read_history(runs[0].path)
    write_report(tmp_path, scored, found, images, [history])
    page = (tmp_path / "index.html").read_text("utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page and "<b>" not in page
    assert not (tmp_path / "mistakes.png").exists()
    assert "Without images: $x$" in page
