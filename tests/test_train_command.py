"""`striate train` from the command line: what it prints where, how it ends, and how it goes on."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from conftest import SOURCE
from PIL import Image

from striate import cli, recipes
from striate.cli import sessions
from striate.runs import open_run

NET = "[8x8x1] conv3-4 relu maxpool2 dropout(0.2) fc-10 softmax"


class Said(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


Striate = Callable[..., Said]


@pytest.fixture
def striate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Striate:
    """`striate ARGUMENTS` within this process, which has imported everything, in a fresh folder."""

    def command(*arguments: str) -> Said:
        threads = torch.get_num_threads()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["striate", *arguments])
        capsys.readouterr()
        code: object = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code or 0
        torch.set_num_threads(threads)
        assert isinstance(code, int)
        return Said(code, *capsys.readouterr())

    return command


def digest(run: Path) -> dict[str, str]:
    """Of the weights of a run."""
    files = sorted(run.glob("*.safetensors"))
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


# -- what is printed


def test_a_run_prints_its_result_alone_on_standard_output(striate: Striate) -> None:
    """And a line for each epoch on standard error. By default it is one of the runs/."""
    said = striate("train", NET, "--data", "digits", "--set", "lr=0.05", "epochs=2")
    assert said.code == 0
    error, where = said.out.splitlines()
    assert re.fullmatch(r"test error \d+\.\d\d% \(top-1, 359 images\)", error)
    assert where == "run runs/network-digits-1"
    lines = [line for line in said.err.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    expected = recipes.read("default").with_settings({"learning_rate": 0.05, "epochs": 2})
    assert open_run("runs/network-digits-1").recipe == expected


def test_quiet_prints_nothing_but_the_result(striate: Striate) -> None:
    said = striate("train", NET, "--data", "digits", "--epochs", "1", "--quiet")
    assert (said.code, said.err) == (0, "")
    assert [line.split()[0] for line in said.out.splitlines()] == ["test", "run"]


def test_tensorboards_files_lie_in_the_run_folder(striate: Striate) -> None:
    pytest.importorskip("tensorboard")
    said = striate("train", NET, "--data", "digits", "--epochs", "1", "--run", "r", "--tensorboard")
    assert said.code == 0 and list(Path("r/tensorboard").glob("events*"))


def test_settings_may_follow_set_and_stand_before_it(striate: Striate) -> None:
    """A published recipe with what is changed of it; --seed and --epochs are settings too."""
    options = ("--recipe", "resnet-cifar-2015", "--set", "lr=0.01", "batch=64", "weight_decay=0")
    said = striate("train", NET, "shift=1", "--data", "digits", *options, "--seed", "7", "epochs=1")
    assert said.code == 0, said.err
    changed = {"lr": 0.01, "batch": 64, "weight_decay": 0, "shift": 1, "seed": 7, "epochs": 1}
    expected = recipes.read("resnet-cifar-2015").with_settings(changed)
    assert open_run("runs/network-digits-1").recipe == expected


# -- mistakes


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["[8x8x1]", "fc-10", "softmax", "--data", "digits"], 2, "put a text in quotes: '[8x8x1]"),
        ([NET], 2, "name images to train on: --data SOURCE; `--data digits` needs no files"),
        (["--data", "digits"], 2, "name a network to train: striate train NET --data SOURCE"),
        ([], 2, "name a network to train"),
        ([NET, "--data", "digits", "--set", "lr"], 2, "--set takes KEY=VALUE, not 'lr'"),
        ([NET, "--data", "digits", "--epochs", "x"], 1, "epochs must be a whole number, not 'x'"),
        ([NET, "--data", "digits", "epoch=2"], 1, "no setting 'epoch'; did you mean epochs?"),
        ([NET, "--data", "digits", "--set", "momentum=2"], 1, "momentum must be at least 0"),
        ([NET, "--data", "digits", "rule=adam", "final=0"], 0, ""),
        ([NET, "--data", "digits", "rule=adam", "peak=0.2"], 1, "has no peak: leave it out"),
        ([NET, "--data", "digits", "--recipe", "resnet-cifar"], 1, "did you mean resnet-cifar-20"),
        ([NET, "--data", "digit"], 1, "there is nothing there; did you mean digits?"),
        ([NET, "--data", "."], 1, "no images"),
        (["lenet6", "--data", "digits"], 1, "did you mean lenet5?"),
        (["[8x8x2] fc-10", "--data", "digits"], 1, "8x8x1"),
        (["[8x8x1] fc-9", "--data", "digits"], 1, "10 classes"),
        ([NET, "--data", "digits", "--exact", "--precision", "bfloat16"], 1, "leave out bfloat16"),
        ([NET, "--data", "digits", "--device", "gpu"], 1, "there is no device 'gpu' here"),
        (["--resume", "nowhere"], 1, "there is no run at nowhere"),
        (["--resume", "."], 1, ". is not a run folder"),
    ],
)
def test_a_mistake_is_said_with_what_would_mend_it(
    striate: Striate, arguments: list[str], code: int, message: str
) -> None:
    """Without a traceback, and without a run folder that would stand in the way."""
    if not code:
        arguments = [*arguments, "--epochs", "1"]
    said = striate("train", *arguments)
    assert said.code == code and message in said.err, said.err
    assert "Traceback" not in said.err and bool(said.out) is not bool(code)
    assert Path("runs").exists() is not bool(code)


def test_a_folder_that_holds_something_is_left_alone(striate: Striate) -> None:
    start = ("train", NET, "--data", "digits", "--epochs", "1", "--run", "run")
    assert striate(*start).code == 0
    before = digest(Path("run"))
    said = striate(*start)
    assert said.code == 1 and "go on with it by --resume run" in said.err
    assert digest(Path("run")) == before


# -- stopped, and on from there


class Process:
    """`striate train` as a process of its own, whose lines are read as they come."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "striate", "train", *arguments],
            env={**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def until(self, start: str) -> None:
        """Read standard error up to a line that starts so."""
        assert self.process.stderr
        for line in self.process.stderr:
            if line.startswith(start):
                return
        raise AssertionError(f"it ended without a line that starts with {start!r}")

    def ended(self, number: int | None = None) -> Said:
        """Send a signal, and wait for the end."""
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return Said(self.process.returncode, out, err)


def records(lines: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines.splitlines()]


def losses(of: Sequence[dict[str, object]]) -> list[object]:
    return [each["loss"] for each in of if each["record"] == "Stepped"]


def test_a_run_stopped_by_ctrl_c_and_by_a_polite_kill_goes_on_to_the_same_end(
    tmp_path: Path,
) -> None:
    """It ends with 130 after a checkpoint and says how to go on; the weights are the same.

    The run that nobody stops prints its records as lines of JSON.
    """
    options = (NET, "--data", "digits", "--set", "epochs=14", "shift=1", "average=0.9")
    said = Process(*options, "--json", "--run", str(tmp_path / "whole")).ended()
    assert (said.code, said.err) == (0, "")
    told = records(said.out)
    assert told[0]["record"] == "Started" and told[-3]["record"] == "Ended"
    assert told[-2]["record"] == "Evaluated" and told[-2]["split"] == "test"
    assert told[-1] == {"record": "Kept", "run": str(tmp_path / "whole")}
    kept = records((tmp_path / "whole" / "metrics.jsonl").read_text("utf-8"))
    assert kept == told[:-1]

    run = tmp_path / "run"
    first = Process(*options, "--run", str(run), "--workers", "1")
    first.until("epoch  1/14")
    stopped = first.ended(signal.SIGINT)
    assert (stopped.code, stopped.out) == (130, "")
    found = re.search(r"^stopped after step (\d+); go on with: (.*)$", stopped.err, re.MULTILINE)
    assert found and found[2] == f"striate train --resume {run}"
    assert (run / "checkpoints" / f"step-{int(found[1]):08d}").is_dir()

    second = Process("--resume", str(run))
    second.until("epoch ")
    stopped = second.ended(signal.SIGTERM)
    assert stopped.code == 130 and "go on with: striate train --resume" in stopped.err

    third = Process("--resume", str(run), "--quiet").ended()
    assert (third.code, third.err) == (0, "")
    assert digest(run) == digest(tmp_path / "whole")
    again = records((run / "metrics.jsonl").read_text("utf-8"))
    assert losses(again) == losses(told)


# -- images in files


def photos(root: Path, count: int = 24) -> Path:
    """Bright and dark pictures of several sizes, in a folder for each class."""
    chance = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (root / name).mkdir(parents=True)
        for number in range(count):
            size = (9 + number % 3, 12, 3)
            pixels = level + chance.integers(-40, 40, size)
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.png")
    return root


def test_the_last_score_is_of_as_many_views_as_asked_for(striate: Striate) -> None:
    """The same as `striate score` has of the run, in its records too."""
    said = striate("train", NET, "--data", "digits", "epochs=2", "--views", "6", "--run", "run")
    assert said.code == 0, said.err
    scored = striate("score", "run", "--views", "6", "--format", "json")
    found = json.loads(scored.out)
    error = f"test error {found['top1_error']:.2%} (top-1, 359 images, views 6)"
    assert said.out.splitlines()[0] == error
    records = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert records[-1]["split"] == "test"
    assert records[-1]["score"]["loss"] == pytest.approx(found["loss"])
    assert records[-1]["score"]["top5_error"] == pytest.approx(found["top5_error"])


def test_a_folder_of_photos_is_trained_on_whatever_lies_between_them(
    striate: Striate, tmp_path: Path
) -> None:
    """What cannot be read is named with the reason, in one line whatever its name."""
    root = photos(tmp_path / "photos")
    whole = (root / "dark" / "0.png").read_bytes()
    (root / "dark" / "torn.png").write_bytes(whole[: len(whole) // 2])
    (root / "light" / "no[red]image\n.jpg").write_bytes(b"not an image")
    net = "[8x8x3] conv3-4 relu maxpool2 fc-2 softmax"
    settings = ("lr=0.05", "schedule=constant", "epochs=8")
    said = striate("train", net, *settings, "--data", str(root), "--run", "run")
    assert said.code == 0, said.err
    assert float(re.findall(r"test error ([\d.]+)%", said.out)[0]) < 20
    passed = [line for line in said.err.splitlines() if line.startswith("passed over ")]
    assert len(passed) == 2
    assert any("torn.png: " in line for line in passed)
    assert any(r"no[red]image\n.jpg: " in line for line in passed)
    assert open_run("run").classes == ("dark", "light")

    again = striate("train", "--resume", "run", "epochs=9", "--accept-changes")
    assert again.code == 0, again.err
    (root / "dark" / "0.png").unlink()
    changed = striate("train", "--resume", "run", "epochs=10", "--accept-changes")
    assert changed.code == 0 and "images: was SHA-256" in changed.err
    refused = striate("train", "--resume", "run", "epochs=11")
    assert refused.code == 1 and "--accept-changes goes on all the same" in refused.err


def test_of_many_unreadable_files_the_first_are_named_and_the_rest_counted(
    striate: Striate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's records name all of them."""
    monkeypatch.setattr(sessions, "SHOWN", 3)
    root = photos(tmp_path / "photos", 10)
    for number in range(5):
        (root / "dark" / f"empty{number}.png").touch()
    start = ("train", "[8x8x3] fc-2 softmax", "--data", str(root), "--epochs", "1", "--run")
    said = striate(*start, "run")
    assert said.code == 0
    assert len(re.findall("^passed over ", said.err, re.MULTILINE)) == 3
    assert "... and 2 more; `striate data" in said.err
    told = records(Path("run/metrics.jsonl").read_text("utf-8"))
    assert sum("passed over" in str(each.get("message")) for each in told) == 5
    assert striate(*start, "quiet", "--quiet").err == ""


def test_with_nothing_held_out_all_images_are_trained_on(striate: Striate) -> None:
    said = striate(
        "train", NET, "--data", "digits", "--epochs", "1", "validation=0", "--run", "all"
    )
    assert said.code == 0
    assert "1,438 images of 8x8x1; none held out for validation" in said.err
    assert "validation" not in said.err.partition("epoch 1/1")[2]
    said = striate("score", "all", "--split", "validation")
    assert said.code == 1
    assert "all was trained on all its images: none are for validation" in said.err
    assert striate("score", "all").code == 0
