"""Two processes are one: the same losses, the same scores, and a killed one costs a few steps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from striate.runs import open_run

NETWORK = "[8x8x1] conv3-8 relu conv3-8(bias=no) bn relu maxpool2 fc-16 relu fc-10 softmax"
WHITEN = ("whiten=true", "whiten_bias_epochs=1")
OPTIONS = ("--data", "digits", "--set", "epochs=3", "batch=64", "shift=1", "mixup=0.2", *WHITEN)
SOURCE = Path(__file__).parents[1] / "src"


def started(ranks: int, *arguments: str) -> subprocess.Popen[str]:
    """`striate train` in so many processes."""
    command = [sys.executable, "-m"]
    if ranks > 1:
        command += ["torch.distributed.run", "--nproc-per-node", str(ranks), "--max-restarts", "3"]
        command += ["--standalone", "-m"]
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, "striate", "train", *arguments],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> list[dict[str, object]]:
    """The records that a process printed; it must have ended well, and in time."""
    try:
        out, err = process.communicate(timeout=200)
    finally:
        if process.poll() is None:
            for each in (*workers(process.pid), process.pid):  # each rank has a group of its own
                os.kill(each, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]


def losses(records: list[dict[str, object]]) -> list[float]:
    """Of each step; of a repeated one, the last."""
    found = {each["step"]: each["loss"] for each in records if each["record"] == "Stepped"}
    return [found[step] for step in sorted(found)]  # type: ignore[type-var,misc]


def told(records: list[dict[str, object]]) -> dict[tuple[object, ...], dict[str, object]]:
    """What was told, by kind, epoch and split; of what a start after a crash repeats, the last."""
    names = ("record", "epoch", "split")
    return {tuple(each.get(name) for name in names): each for each in records}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, object]]]:
    """A run of two processes and what it told."""
    path = tmp_path_factory.mktemp("pair") / "run"
    return path, ended(started(2, NETWORK, *OPTIONS, "--json", "--run-folder", str(path)))


def test_two_processes_tell_what_one_does(
    tmp_path: Path, pair: tuple[Path, list[dict[str, object]]]
) -> None:
    """Batch normalisation and mixed images included; scores count every image once."""
    one = ended(started(1, NETWORK, *OPTIONS, "--json", "--run-folder", str(tmp_path / "run")))
    two = pair[1]
    assert losses(two) == pytest.approx(losses(one), rel=2e-3)
    assert losses(two)[:5] == pytest.approx(losses(one)[:5], rel=1e-5)
    ours, theirs = told(one), told(two)
    assert ours.keys() == theirs.keys()
    for key, record in ours.items():
        if record["record"] == "Evaluated":
            assert record["score"]["count"] == theirs[key]["score"]["count"]  # type: ignore[index]


def test_a_killed_process_costs_no_more_than_some_steps(
    tmp_path: Path, pair: tuple[Path, list[dict[str, object]]]
) -> None:
    """torchrun starts all anew; they go on from the last checkpoint to the same end."""
    path = tmp_path / "run"
    process = started(
        2, NETWORK, *OPTIONS, "--json", "--save-every", "0", "--run-folder", str(path)
    )
    deadline = time.monotonic() + 100
    while not list(path.glob("checkpoints/step-000000[2-9]?")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    os.kill(max(workers(process.pid)), signal.SIGKILL)
    records = ended(process)
    starts = [each["step"] for each in records if each["record"] == "Started"]
    assert len(starts) >= 2 and int(str(starts[1])) >= 19
    assert losses(records) == losses(pair[1])


def workers(parent: int) -> list[int]:
    """The processes whose parent this is."""
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True
    )
    return [int(each) for each in found.stdout.split()]


def test_a_run_goes_on_with_another_number_of_processes(
    tmp_path: Path, pair: tuple[Path, list[dict[str, object]]]
) -> None:
    more = ("--set", "epochs=4", "--accept-changes", "--json")
    records = ended(started(1, "--resume", str(pair[0]), *more))
    steps = [each["step"] for each in records if each["record"] == "Stepped"]
    assert steps[0] == len(losses(pair[1])) + 1
    assert open_run(pair[0]).recipe.epochs == 4
