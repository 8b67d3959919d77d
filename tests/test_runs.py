"""The run folder: read back as it was, refused where damaged, never written over."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import toy

from striate.compute import Compute
from striate.errors import NotationError, RunError
from striate.network import read
from striate.recipes import Recipe
from striate.records import Stepped
from striate.runs import open_run
from striate.session import Session, begin
from striate.state import initial
from striate.storage import write_tensors

RECIPE = Recipe(epochs=1, batch=16, seed=5)


def made(path: Path | None, recipe: Recipe = RECIPE) -> Session:
    """A run of the toy, to its end."""
    session = begin(path, toy.NETWORK, toy.splits(), recipe, Compute())
    for _ in session.records():
        pass
    return session


def test_a_run_is_read_back_as_it_was(tmp_path: Path) -> None:
    """In another place too: a run folder knows no path of its own."""
    session = made(tmp_path / "deep" / "run")
    os.rename(session.run.path, tmp_path / "moved")
    found = open_run(tmp_path / "moved")
    assert found == replace(session.run, path=tmp_path / "moved")
    assert (found.recipe, found.data, found.classes) == (RECIPE, "toy", ("dark", "grey", "bright"))
    assert toy.same_weights(found.model(), session.state.model)
    assert toy.same_weights(found.model("best"), found.model("last"))


def test_a_mean_image_is_kept_with_the_run(tmp_path: Path) -> None:
    run = made(tmp_path / "run", replace(RECIPE, normalisation="mean-image")).run
    assert run.preparation.mean_image is not None
    assert open_run(run.path).preparation == run.preparation


def test_the_records_are_lines_of_json(tmp_path: Path) -> None:
    made(tmp_path / "run")
    text = (tmp_path / "run" / "metrics.jsonl").read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    kinds = [line["record"] for line in lines if line["record"] != "Saved"]
    assert kinds == ["Started", *["Stepped"] * 3, "EpochEnded", "Evaluated", "Ended"]
    assert lines[0]["images"] == [4, 4, 1]
    step = next(line for line in lines if line.pop("record") == "Stepped")
    assert Stepped(**step).step == 1
    evaluated = next(line for line in lines if "score" in line)
    assert evaluated["score"].keys() == {"count", "loss", "top1_error", "top5_error"}


def test_the_weights_to_use_are_the_best_where_the_recipe_stops_early(tmp_path: Path) -> None:
    """An epoch of a far too high rate comes last, and is not what is used."""
    worse = replace(
        RECIPE, epochs=4, early_stopping=9, schedule="step", milestones=(0.75,), factor=1e4
    )
    run = made(tmp_path / "run", worse).run
    assert toy.same_weights(run.model(), run.model("best"))
    assert not toy.same_weights(run.model(), run.model("last"))


def test_without_a_name_runs_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert made(None).run.path == Path("runs/network-toy-1")
    assert made(None).run.path == Path("runs/network-toy-2")


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(RunError, match="mine is not empty: name another folder"):
        made(tmp_path / "mine")
    made(tmp_path / "run")
    with pytest.raises(RunError, match="run already holds a run: go on with it by --resume"):
        made(tmp_path / "run")
    with pytest.raises(RunError, match=r"thesis\.txt cannot be a run folder: File exists"):
        made(tmp_path / "mine" / "thesis.txt")


@pytest.mark.parametrize("file", ["network.net", "recipe.toml", "run.json", "weights.safetensors"])
@pytest.mark.parametrize("kept", [0, 1, 40, None])
def test_a_missing_or_torn_file_is_named(tmp_path: Path, file: str, kept: int | None) -> None:
    """All but a torn recipe, whose lines are whole or whose text is none."""
    path = made(tmp_path / "run").run.path / file
    if kept is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:kept])
    if file == "recipe.toml" and kept == 0:
        return
    with pytest.raises(RunError, match="run"):
        open_run(tmp_path / "run").model()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["a", "b"]}, "run.json and network.net are of different networks"),
        ({"preparation": {"input": [4, 4, 1]}}, "run.json is damaged: it lacks 'mean'"),
        ({"preparation": {}}, "run.json is damaged: it lacks 'input'"),
        ({"preparation": None}, "run.json cannot be used"),
        ({"compute": {"threads": 1, "speed": 2}}, "run.json cannot be used"),
    ],
)
def test_a_changed_run_json_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = made(tmp_path / "run").run.path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RunError, match=message):
        open_run(tmp_path / "run")


def test_weights_of_another_network_are_told_from_damaged_ones(tmp_path: Path) -> None:
    """In one line that names a tensor, not in a page of them."""
    run = made(tmp_path / "run").run
    tensors = initial(toy.NETWORK, RECIPE).state_dict()
    more = tensors | {"conv9.weight": tensors["conv1.weight"].clone()}
    for others, message in (
        ({}, r"of another network: it lacks conv1\.bias and 3 more"),
        (more, r"of another network: it has conv9\.weight$"),
        (
            tensors | {"fc1.bias": tensors["conv1.bias"].clone()},
            r"its fc1\.bias is of \(2,\), this one's",
        ),
    ):
        write_tensors(run.path / "weights.safetensors", others, {})
        with pytest.raises(RunError, match=message) as error:
            run.model()
        assert "\n" not in str(error.value)


def test_what_is_no_run_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run folder: it holds no run\.json"):
        open_run(tmp_path)
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets/run.json").write_text("{}")
    with pytest.raises(RunError, match=r"there is no run at .*; did you mean pets\?"):
        open_run(tmp_path / "pest")
    with pytest.raises(NotationError, match="pets is a run, and no network"):
        read(f"{tmp_path}/pets")
    (tmp_path / "m.onnx").write_bytes(b"x")
    with pytest.raises(RunError, match=r"m\.onnx is a file: name the folder of a run"):
        open_run(tmp_path / "m.onnx")
