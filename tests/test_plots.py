"""Curves: what is read of a run's records, and the charts made of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from striate.cli.curve import command
from striate.draw.curve import panels
from striate.draw.history import averaged, read_history
from striate.draw.plots import PANELS, curves, image, spread
from striate.errors import RunError, StriateError

EPOCHS, STEPS = 3, 4


def lines(final: float = 0.1) -> list[str]:
    """The records of a small run."""
    records: list[dict[str, object]] = [
        {"record": "Started", "epochs": EPOCHS, "steps_per_epoch": STEPS}
    ]
    for step in range(1, EPOCHS * STEPS + 1):
        epoch = (step - 1) // STEPS + 1
        rate = 0.1 * (1 - step / (EPOCHS * STEPS))
        records.append(
            {"record": "Stepped", "epoch": epoch, "step": step, "loss": 2 / step, "rate": rate}
        )
        if step % STEPS == 0:
            records.append({"record": "EpochEnded", "epoch": epoch, "step": step, "error": 0.5})
            score = {"loss": 1.0, "top1_error": final + 0.1 * (EPOCHS - epoch)}
            records.append(
                {"record": "Evaluated", "split": "validation", "epoch": epoch, "score": score}
            )
    test = {"record": "Evaluated", "split": "test", "epoch": 3, "score": {"top1_error": 0.9}}
    return [json.dumps(record) for record in [*records, test]]


def made(folder: Path, text: Iterable[str | bytes] = (), final: float = 0.1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row if isinstance(row, bytes) else row.encode() for row in text or lines(final)]
    (folder / "metrics.jsonl").write_bytes(b"\n".join(rows))
    return folder


# -- what is read


def test_the_curves_of_a_run(tmp_path: Path) -> None:
    """Places are in epochs; the test split, looked at once, is no curve."""
    found = read_history(made(tmp_path / "run"))
    assert (found.name, found.epochs) == ("run", 3)
    assert found.losses[:2] == ((0.25, 2.0), (0.5, 1.0)) and found.losses[-1][0] == 3
    assert found.errors == ((1, 0.5), (2, 0.5), (3, 0.5))
    assert found.validation_losses == ((1, 1.0), (2, 1.0), (3, 1.0))
    assert [value for _, value in found.validation_errors] == pytest.approx([0.3, 0.2, 0.1])
    assert found.rates[-1] == (3, 0)


@pytest.mark.parametrize(
    "line",
    [
        b'{"record": "Stepped", "step": 13, "lo',
        b"\xff\xfe",
        b"[1, 2]",
        b"7",
        b"[" * 100_000,
        b'{"record": "Rewound", "step": 3, "why": "nan"}',
        b'{"record": ["Stepped"], "step": 3}',
        b'{"record": "Stepped", "loss": 1}',
        b'{"record": "Stepped", "step": "13", "loss": 1}',
        b'{"record": "Evaluated", "split": {}, "epoch": 9, "score": 3}',
        b'{"record": "Evaluated", "split": "validation", "epoch": 9, "score": 3}',
        b'{"record": "Stepped", "step": 13, "loss": NaN}',
        b'{"record": "Stepped", "step": 13, "loss": 1' + b"0" * 400 + b"}",
        b'{"record": "Stepped", "step": 13, "loss": true}',
    ],
)
def test_what_is_no_record_is_passed_over(tmp_path: Path, line: bytes) -> None:
    """A torn last line above all."""
    whole = read_history(made(tmp_path / "whole"), "run")
    rows = [row.encode() for row in lines()]
    assert read_history(made(tmp_path / "torn", [*rows, line]), "run") == whole
    assert read_history(made(tmp_path / "within", [*rows[:7], line, *rows[7:]]), "run") == whole


def test_steps_that_a_resumed_run_repeats_count_once(tmp_path: Path) -> None:
    rows = lines()
    again = [rows[5].replace("0.5}", "0.25}"), *rows[6:]]
    found = read_history(made(tmp_path, [*rows[:9], *again]), "run")
    assert [place for place, _ in found.losses] == [step / STEPS for step in range(1, 13)]


def test_without_its_first_line_a_run_is_still_drawn(tmp_path: Path) -> None:
    assert read_history(made(tmp_path, lines()[1:]), "run").losses[-1][0] == 3
    assert read_history(made(tmp_path, lines()[1:3]), "run").losses[-1][0] == 1


def test_no_records_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"metrics\.jsonl cannot be read: No such file"):
        read_history(tmp_path)
    with pytest.raises(RunError, match="holds no records of training yet"):
        read_history(made(tmp_path, lines()[:1]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=1000))
def test_averaging_keeps_the_mean_and_thins_the_points(values: list[float]) -> None:
    points = tuple((float(place), value) for place, value in enumerate(values, 1))
    thin = averaged(points, most=50)
    assert len(thin) <= max(50, min(len(points), 50))
    assert [x for x, _ in thin] == sorted(x for x, _ in thin)
    assert min(values) - 1e-9 <= min(y for _, y in thin) <= max(values) + 1e-9


# -- charts


@given(st.lists(st.floats(-0.2, 1.2), min_size=1, max_size=40), st.floats(0.01, 0.2))
def test_labels_stand_apart_in_order_and_within(wanted: list[float], gap: float) -> None:
    found = spread(wanted, gap)
    room = min(gap, 1 / max(1, len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda each: wanted[each])
    placed = [found[each] for each in order]
    assert all(b - a >= room - 1e-9 for a, b in pairwise(placed))
    assert min(found) >= -1e-9 and max(found) <= 1 + 1e-9


def test_labels_with_room_stay_where_they_are_wanted() -> None:
    assert spread([0.9, 0.1, 0.5], 0.1) == pytest.approx([0.9, 0.1, 0.5])
    assert spread([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])


@pytest.mark.parametrize("what", [["loss"], ["error"], ["rate"], ["loss", "error", "rate"]])
@pytest.mark.parametrize("kind", ["png", "svg"])
def test_charts_of_runs_with_awkward_names(tmp_path: Path, what: list[str], kind: str) -> None:
    """Names are text, not formulas; a letter that the font lacks is no warning."""
    names = ["a", "_b", "$\\frac{1}$", "50%", "<b>", "猫"]
    found = [
        read_history(made(tmp_path / "run", final=0.1 + n / 50), name)
        for n, name in enumerate(names)
    ]
    drawn = image(curves(found, what), kind)
    assert drawn.startswith(b"\x89PNG" if kind == "png" else b"<?xml")
    if kind == "png":
        assert drawn == image(curves(found, what)), "the same bytes again"


def test_a_line_ends_in_its_name_and_last_value(tmp_path: Path) -> None:
    runs = [made(tmp_path / "one"), made(tmp_path / "two", final=0.2)]
    (axes,) = curves([read_history(run) for run in runs], ["error"]).axes
    written = [each.get_text() for each in axes.texts]
    assert "one 10.00%" in written and "two 20.00%" in written
    assert axes.get_ylim()[0] == 0
    (axes,) = curves([read_history(runs[0])], ["error"]).axes
    written = [each.get_text() for each in axes.texts]
    assert "validation 10.00%" in written and "training 50.00%" in written


def test_what_was_not_recorded_cannot_be_drawn(tmp_path: Path) -> None:
    rows = [row for row in lines() if "Stepped" not in row]
    with pytest.raises(RunError, match="there is no learning rate to draw in run"):
        curves([read_history(made(tmp_path / "run", rows))], ["rate"])
    with pytest.raises(StriateError, match="no curve 'los'"):
        curves([read_history(made(tmp_path / "run"))], ["los"])


def test_without_matplotlib_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(RunError, match=r"pip install 'striate\[plots\]'"):
        curves([read_history(made(tmp_path / "run"))])


def test_drawing_needs_neither_pyplot_nor_torch(
    tmp_path: Path, python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    made(tmp_path / "run")
    code = (
        "import sys; from pathlib import Path; from striate.draw.plots import *\n"
        "from striate.draw.history import read_history\n"
        f"image(curves([read_history(Path({str(tmp_path / 'run')!r}))]))\n"
        "assert not {'matplotlib.pyplot', 'torch', 'striate.evaluate'} & set(sys.modules)"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


# -- the terminal and the command


@pytest.mark.parametrize("what", [["loss"], ["error"], ["loss", "error"], list(PANELS)])
@pytest.mark.parametrize("width", [80, 100])
def test_a_terminal_shows_the_same_curves(tmp_path: Path, what: list[str], width: int) -> None:
    shown = panels(read_history(made(tmp_path / "run")), what, width).plain.split("\n")
    assert shown[0] == "run"
    assert all(len(line) <= width for line in shown) and len(shown) == 13
    for title in ("training loss → ", "validation error, % → 10", "learning rate → "):
        named = {"t": "loss", "v": "error", "l": "rate"}[title[0]]
        assert (title in shown[1]) == (named in what)


def test_the_command_writes_what_the_name_ends_in(tmp_path: Path) -> None:
    runs = [str(made(tmp_path / "a/run")), str(made(tmp_path / "b/run", final=0.2))]
    for ending, begins in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".HTML", b"<!doctype html>")):
        file = tmp_path / f"curve{ending}"
        done = CliRunner().invoke(command, [*runs, "--to", str(file)], catch_exceptions=False)
        assert (done.exit_code, done.output) == (0, "")
        assert file.read_bytes().startswith(begins)
    page = file.read_text("utf-8")
    assert "<svg" in page and "<td>b/run</td><td>3</td><td>20.00%</td>" in page
    assert not any(far in page for far in ("<script", "<link", "src=", "@import"))
    done = CliRunner().invoke(command, [*runs, "--to", str(tmp_path / "curve.csv")])
    rows = (tmp_path / "curve.csv").read_text("utf-8").splitlines()
    assert rows[0] == "run,curve,epoch,value"
    assert rows[1] == "a/run,training loss,0.25,2.0"
    assert len(rows) == 1 + 2 * (2 * EPOCHS * STEPS + 3 * EPOCHS)


def test_the_command_draws_in_the_terminal_and_refuses_other_endings(tmp_path: Path) -> None:
    run = str(made(tmp_path / "run"))
    done = CliRunner().invoke(command, [run, "--what", "rate"])
    assert "learning rate → 0" in done.output and "loss" not in done.output
    done = CliRunner().invoke(command, [run, "--to", "curve.gif"])
    assert done.exit_code == 2 and "must end in .png, .svg, .html or .csv" in done.output
    done = CliRunner().invoke(command, [run, "--to", str(tmp_path / "none/curve.png")])
    assert isinstance(done.exception, RunError) and "cannot be written" in str(done.exception)
