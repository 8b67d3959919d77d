"""The run folder: written whole or not at all, read back as it was, refused where damaged."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import toy

from striate.errors import RunError
from striate.recipes import Recipe
from striate.records import Stepped
from striate.runs import Run, create_run, open_run
from striate.train import initial

RECIPE = Recipe(epochs=1, batch=16, seed=5)


def made(path: Path | None) -> tuple[Run, torch.nn.Module]:
    """A run folder with a trained model's weights."""
    model, records, data, preparation = toy.trained(RECIPE)
    run = create_run(path, toy.NETWORK, data, preparation, RECIPE)
    for record in records:
        run.record(record)
    run.save(model)
    return run, model


def test_a_run_is_read_back_as_it_was(tmp_path: Path) -> None:
    """In another place too: a run folder knows no path of its own."""
    run, model = made(tmp_path / "deep" / "run")
    os.rename(run.path, tmp_path / "moved")
    found = open_run(tmp_path / "moved")
    assert found.network == run.network
    assert (found.recipe, found.preparation, found.data) == (RECIPE, run.preparation, "toy")
    assert found.classes == ("dark", "grey", "bright")
    assert toy.same_weights(found.model(), model)
    pixels = toy.images().pixels
    assert np.array_equal(found.preparation(pixels), run.preparation(pixels))


def test_the_records_are_lines_of_json(tmp_path: Path) -> None:
    run, _ = made(tmp_path / "run")
    text = (run.path / "metrics.jsonl").read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    kinds = [line["record"] for line in lines]
    assert kinds == ["Started", *["Stepped"] * 3, "EpochEnded", "Evaluated", "Ended"]
    assert lines[0]["images"] == [4, 4, 1]
    del lines[1]["record"]
    assert Stepped(**lines[1]).step == 1
    assert lines[5]["score"].keys() == {"count", "loss", "top1_error", "top5_error"}


def test_without_a_name_runs_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert made(None)[0].path == Path("runs/network-toy-1")
    assert made(None)[0].path == Path("runs/network-toy-2")


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(RunError, match="mine is not empty: name another folder"):
        made(tmp_path / "mine")
    made(tmp_path / "run")
    with pytest.raises(RunError, match="run already holds a run: name another folder"):
        made(tmp_path / "run")
    with pytest.raises(RunError, match=r"thesis\.txt cannot be a run folder: File exists"):
        made(tmp_path / "mine" / "thesis.txt")


def test_a_kill_before_the_renaming_leaves_the_old_weights(
    tmp_path: Path, python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """A process dies with the new weights written and not yet named."""
    run, model = made(tmp_path / "run")
    code = f"""
import os, signal
from striate.runs import open_run
run = open_run({str(run.path)!r})
os.replace = lambda old, new: os.kill(os.getpid(), signal.SIGKILL)
run.save(run.network.build())
"""
    done = python("-c", code, OMP_NUM_THREADS="1")
    assert done.returncode == -9, done.stderr
    assert (run.path / "weights.safetensors.new").stat().st_size > 0
    assert toy.same_weights(open_run(run.path).model(), model)
    other = initial(toy.NETWORK, Recipe(seed=6))
    run.save(other)
    assert toy.same_weights(open_run(run.path).model(), other)
    assert not (run.path / "weights.safetensors.new").exists()


def test_weights_reach_the_disk_before_they_get_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, model = made(tmp_path / "run")
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(file: int) -> None:
        calls.append("folder" if os.path.isdir(f"/proc/self/fd/{file}") else "file")
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), replace(a, b)))
    run.save(model)
    if os.path.isdir("/proc/self/fd"):
        assert calls == ["file", "rename", "folder"]


def test_a_disk_that_takes_no_more_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights before stay good."""
    run, model = made(tmp_path / "run")

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"weights\.safetensors cannot be written: No space left"):
        run.save(initial(toy.NETWORK, Recipe(seed=6)))
    assert toy.same_weights(open_run(run.path).model(), model)


@pytest.mark.parametrize("file", ["network.net", "recipe.toml", "run.json", "weights.safetensors"])
@pytest.mark.parametrize("kept", [0, 1, 40, None])
def test_a_missing_or_torn_file_is_named(tmp_path: Path, file: str, kept: int | None) -> None:
    """All but a torn recipe, whose lines are whole or whose text is none."""
    path = made(tmp_path / "run")[0].path / file
    content = path.read_bytes()
    path.unlink()
    if kept is not None:
        path.write_bytes(content[:kept])
    if file == "recipe.toml" and kept == 0:
        assert open_run(path.parent).recipe == Recipe()
        return
    with pytest.raises(RunError, match=file.partition(".")[0]):
        open_run(path.parent).model()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": None, "classes": ["one"]}, "of different networks"),
        ({"classes": 3}, "run.json cannot be used"),
        ({"preparation": {"input": [4, 4, 1], "mean": [0.5]}}, "it lacks 'deviation'"),
        ({"preparation": {"input": [4, 4], "mean": [0], "deviation": [1]}}, "cannot be used"),
        ({"preparation": {"input": [4, 4, 1], "mean": [0], "deviation": [0]}}, "not above 0"),
        ({"preparation": {"input": [4, 4, 1], "mean": [1e999], "deviation": [1]}}, "not finite"),
        ({"preparation": {"input": [4, 4, 1e999], "mean": [0], "deviation": [1]}}, "cannot be"),
        ({"preparation": {"input": [4, 4, 3], "mean": [0] * 3, "deviation": [1] * 3}}, "different"),
    ],
)
def test_a_run_that_contradicts_itself_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = made(tmp_path / "run")[0].path
    about = json.loads((path / "run.json").read_text("utf-8"))
    (path / "run.json").write_text(json.dumps(about | change), "utf-8")
    with pytest.raises(RunError, match=message):
        open_run(path)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    run, _ = made(tmp_path / "run")
    run.save(torch.nn.Linear(2, 2))
    with pytest.raises(RunError, match=r"(?s)weights\.safetensors is damaged: .*Missing key"):
        run.model()


def test_a_run_without_weights_says_why(tmp_path: Path) -> None:
    _, _, data, preparation = toy.trained(RECIPE)
    run = create_run(tmp_path / "run", toy.NETWORK, data, preparation, RECIPE)
    with pytest.raises(RunError, match="run holds no weights: it ended before its first epoch"):
        run.model()
    with pytest.raises(RunError, match="nowhere is not a run folder"):
        open_run(tmp_path / "nowhere")
