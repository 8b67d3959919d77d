"""Nothing is lost: what is saved, what is gone on with, what is refused. tests/crash.py kills."""

from __future__ import annotations

import json
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import crash
import pytest
import torch
import toy

from striate import checkpoints
from striate import train as loop
from striate.compute import Compute
from striate.data import Splits
from striate.diagnosis import NotFinite
from striate.errors import RunError
from striate.network import read
from striate.recipes import Recipe
from striate.records import Ended, Evaluated, Record, Saved, Started, Stepped, Stopped, Warned
from striate.runs import Run, open_run
from striate.session import Session, begin, resume
from striate.state import Progress

RECIPE = Recipe(epochs=3, batch=10, learning_rate=0.1, average=0.8, rule="adam")


def split(recipe: Recipe) -> Splits:
    return toy.splits(0.2 if recipe.validation else 0)


def begun(path: Path, recipe: Recipe = RECIPE) -> Session:
    return begin(path, toy.NETWORK, split(recipe), recipe, Compute())


def going_on(run: Run, monkeypatch: pytest.MonkeyPatch, **options: object) -> Session:
    """The toy's images are no source that a run could load."""
    monkeypatch.setattr(Run, "splits", lambda run, source=None, tell=None: split(run.recipe))
    return resume(run, **options)  # type: ignore[arg-type]


def until(session: Session, step: int) -> list[Record]:
    """Train, and ask to stop during a step."""
    seen = []
    for record in session.records(every=0.0):
        seen.append(record)
        if isinstance(record, Stepped) and record.step == step - 1:
            session.state.asked_to_stop = True
    return seen


@pytest.mark.parametrize("validation", [0.1, 0.0])
@pytest.mark.parametrize("step", [1, 2, 4, 5, 6, 10, 13, 15])
def test_a_run_that_was_stopped_goes_on_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, validation: float
) -> None:
    """At an epoch's first, last and middle steps: weights, losses and images to the bit."""
    recipe = replace(RECIPE, validation=validation)
    whole = list(begun(tmp_path / "whole", recipe).records())
    first = begun(tmp_path / "run", recipe)
    if step == 1:
        first.state.asked_to_stop = True
    told = until(first, step)
    assert isinstance(told[-1], Saved) and isinstance(told[-2], Stopped)
    rest = list(going_on(open_run(tmp_path / "run"), monkeypatch).records())
    assert isinstance(rest[0], Started) and rest[0].step == step

    def numbers(records: list[Record]) -> list[tuple[object, ...]]:
        steps = [(r.step, r.loss, r.wrong, r.rate) for r in records if isinstance(r, Stepped)]
        return steps + [(r.epoch, r.score) for r in records if isinstance(r, Evaluated)]

    assert sorted(map(str, numbers(told) + numbers(rest))) == sorted(map(str, numbers(whole)))
    for name in ("weights", "last", "best"):
        files = [tmp_path / run / f"{name}.safetensors" for run in ("whole", "run")]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_the_records_of_steps_that_are_done_again_are_not_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run killed between checkpoints repeats steps; its file tells each once."""
    session = begun(tmp_path / "run")
    for record in session.records():
        if isinstance(record, Stepped) and record.step == 8:
            break  # the checkpoint is of step 5
    list(going_on(open_run(tmp_path / "run"), monkeypatch).records())
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    steps = [found["step"] for line in lines if (found := json.loads(line))["record"] == "Stepped"]
    assert steps == list(range(1, 16))


def test_the_last_checkpoints_and_the_best_are_kept(tmp_path: Path) -> None:
    worse = Recipe(epochs=5, batch=10, schedule="step", milestones=(0.4,), factor=50)
    session = begun(tmp_path / "run", worse)
    list(session.records())
    progress = session.state.progress
    kept = {progress.ends[progress.best_epoch - 1], 20, 25}
    assert progress.best_epoch < 4
    assert set(checkpoints.steps(tmp_path / "run" / "checkpoints")) == kept


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recipe": replace(RECIPE, learning_rate=0.2)}, "was learning_rate = 0.1"),
        ({"network": read("[4x4x1] conv3-2 relu dropout(0.2) fc-3 softmax")}, "network: was"),
    ],
)
def test_a_changed_run_is_refused_unless_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], said: str
) -> None:
    until(begun(tmp_path / "run"), 7)
    run = open_run(tmp_path / "run")
    with pytest.raises(RunError, match=f"would not go on as it began:\n.*{said}"):
        going_on(run, monkeypatch, **change)
    session = going_on(run, monkeypatch, accept=True, **change)
    assert any(said in warning for warning in session.warnings)
    assert isinstance(list(session.records())[-1], Ended)
    again = open_run(tmp_path / "run")
    assert (again.network, again.recipe) == (session.run.network, session.run.recipe)


def test_other_images_are_refused_unless_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(begun(tmp_path / "run"), 7)
    others = replace(toy.splits(), train=toy.images(40), fingerprint="another")
    monkeypatch.setattr(Run, "splits", lambda run, source=None, tell=None: others)
    with pytest.raises(RunError, match="images: was SHA-256"):
        resume(open_run(tmp_path / "run"))
    session = resume(open_run(tmp_path / "run"), accept=True)
    steps = [record.step for record in session.records() if isinstance(record, Stepped)]
    assert steps == list(range(5, 13)), "4 steps an epoch now: this one begins anew"


def test_a_run_that_ended_can_be_given_more_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(begun(tmp_path / "run").records())
    done = going_on(open_run(tmp_path / "run"), monkeypatch)
    assert done.warnings == ("all 3 epochs are done: a larger epochs=N, accepted, trains on",)
    assert [type(record) for record in done.records()] == [Warned, Started, Ended]
    longer = replace(RECIPE, epochs=5)
    more = going_on(open_run(tmp_path / "run"), monkeypatch, recipe=longer, accept=True)
    assert [r.epoch for r in more.records() if isinstance(r, Evaluated)] == [4, 5]


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(begun(tmp_path / "whole").records())
    until(begun(tmp_path / "run"), 7)
    torn = tmp_path / "run" / "checkpoints" / "step-00000007" / "state.safetensors"
    torn.write_bytes(torn.read_bytes()[:-1])
    session = going_on(open_run(tmp_path / "run"), monkeypatch)
    first = next(iter(session.records()))
    assert isinstance(first, Warned) and "step-00000007 is damaged" in first.message
    assert session.state.progress.step == 6
    list(session.records())
    files = [tmp_path / run / "weights.safetensors" for run in ("whole", "run")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_rewind_goes_back_and_lowers_the_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last checkpoint, with half the rate, and on to the end; without it, an error."""
    sum_of_losses = loop.loss_of

    def fails_at_the_full_rate(*given: object) -> torch.Tensor:
        found = sum_of_losses(*given)  # type: ignore[arg-type]
        fails = progress().step == 7 and progress().lowered == 1
        return found * float("nan") if fails else found

    session = begun(tmp_path / "run")
    monkeypatch.setattr(loop, "loss_of", fails_at_the_full_rate)

    def progress() -> Progress:
        return session.state.progress

    with pytest.raises(NotFinite, match="the loss is not finite at step 8"):
        list(session.records())
    again = begun(tmp_path / "again")
    session = again
    records = list(again.records(rewind=True))
    warned = [record for record in records if isinstance(record, Warned)]
    assert len(warned) == 1 and "Back to step 5, the learning rate times 0.5" in warned[0].message
    steps = [record for record in records if isinstance(record, Stepped)]
    assert [record.step for record in steps] == [*range(1, 8), *range(6, 16)]
    assert steps[7].rate == steps[5].rate / 2
    assert progress().rewinds == 1 and isinstance(records[-1], Ended)


def test_without_validation_the_last_weights_are_the_best(tmp_path: Path) -> None:
    session = begun(tmp_path / "run", replace(RECIPE, validation=0))
    records = list(session.records())
    assert isinstance(records[-1], Ended) and records[-1].best_epoch == 3
    assert [type(each) for each in records].count(Saved) == 4  # at the start, after each epoch
    last, best, used = (
        (tmp_path / "run" / f"{name}.safetensors").read_bytes()
        for name in ("last", "best", "weights")
    )
    assert last == best == used


@pytest.mark.parametrize("change", [{"early_stopping": 2}, {"schedule": "plateau"}])
def test_what_goes_by_validation_errors_is_refused_without_them(
    tmp_path: Path, change: dict[str, object]
) -> None:
    with pytest.raises(RunError, match="goes by validation errors, and validation=0 gives none"):
        begun(tmp_path / "run", RECIPE.changed(validation=0, **change))
    assert not (tmp_path / "run").exists()


def test_a_run_that_never_gets_better_stops_early(tmp_path: Path) -> None:
    recipe = Recipe(epochs=50, batch=10, learning_rate=1e-12, early_stopping=3)
    ended = list(begun(tmp_path / "run", recipe).records())[-2:]
    assert isinstance(ended[-1], Ended) and ended[-1].early
    assert (ended[-1].epochs, ended[-1].best_epoch) == (4, 1)


def test_another_batch_size_counts_its_own_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints of the steps of old are of a future that was given up."""
    list(begun(tmp_path / "run").records())
    larger = replace(RECIPE, batch=24, epochs=5)
    session = going_on(open_run(tmp_path / "run"), monkeypatch, recipe=larger, accept=True)
    told = until(session, 8)
    assert [record.step for record in told if isinstance(record, Stepped)] == [7, 8]
    again = going_on(open_run(tmp_path / "run"), monkeypatch)
    assert again.state.progress.step == 8 and not again.warnings
    assert isinstance(list(again.records())[-1], Ended)
    assert again.state.progress.ends == [2, 4, 6, 8, 10]


def test_a_run_without_a_whole_checkpoint_is_not_begun_anew_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(begun(tmp_path / "run").records())
    for state in tmp_path.glob("run/checkpoints/*/state.safetensors"):
        state.write_bytes(state.read_bytes()[:-9])
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(RunError, match="run has no checkpoint that is whole:\n"):
        going_on(open_run(tmp_path / "run"), monkeypatch)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    anew = going_on(open_run(tmp_path / "run"), monkeypatch, accept=True)
    assert anew.state.progress.step == 0 and "starts anew" in anew.warnings[-1]


def test_damaged_best_weights_are_taken_from_their_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where that is gone too, it is said, and the run goes on."""
    run = begun(tmp_path / "run", replace(RECIPE, early_stopping=3)).run
    until(going_on(run, monkeypatch), 7)
    best = tmp_path / "run" / "best.safetensors"
    whole = best.read_bytes()
    best.write_bytes(whole[:-1])
    (tmp_path / "run" / "weights.safetensors").unlink()
    assert not going_on(open_run(run.path), monkeypatch).warnings
    assert best.read_bytes() == whole
    assert toy.same_weights(run.model(), run.model("best"))
    best.write_bytes(whole[:-1])
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000005")
    assert "the weights of epoch 1, the best, are lost" in going_on(run, monkeypatch).warnings[-1]


def test_a_rewind_that_did_not_help_goes_farther_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest checkpoint may hold the trouble already."""
    sum_of_losses = loop.loss_of
    session = begun(tmp_path / "run")

    def fails(*given: object) -> torch.Tensor:
        found = sum_of_losses(*given)  # type: ignore[arg-type]
        progress = session.state.progress
        return found * float("nan") if progress.step == 11 and progress.lowered > 0.3 else found

    monkeypatch.setattr(loop, "loss_of", fails)
    told = list(session.records(rewind=True))
    back = [record.step for record in told if isinstance(record, Warned)]
    assert back == [10, 5] and isinstance(told[-1], Ended)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert sum(json.loads(line)["record"] == "Warned" for line in lines) >= 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"network": read("[6x6x1] conv3-2 relu fc-3 softmax")}, "another input needs a new run"),
        ({"recipe": replace(RECIPE, normalisation="none")}, "normalisation cannot change"),
        ({"recipe": replace(RECIPE, validation=0)}, "validation cannot change"),
    ],
)
def test_what_no_run_can_change_is_refused_always(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], said: str
) -> None:
    until(begun(tmp_path / "run"), 7)
    with pytest.raises(RunError, match=said):
        going_on(open_run(tmp_path / "run"), monkeypatch, accept=True, **change)


def test_other_versions_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    until(begun(tmp_path / "run"), 7)
    about = tmp_path / "run" / "run.json"
    about.write_text(about.read_text().replace(torch.__version__, "1.0"))
    warning = going_on(open_run(tmp_path / "run"), monkeypatch).warnings[-1]
    assert warning.startswith("torch was 1.0 and is ")


def test_a_checkpoint_reaches_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files, the manifest after them, their folder, the renaming, the folder above."""
    calls: list[str] = []
    fsync, rename = os.fsync, os.replace

    def noted(file: int) -> None:
        calls.append(os.path.basename(os.readlink(f"/proc/self/fd/{file}")))
        fsync(file)

    session = begun(tmp_path / "run")
    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), rename(a, b)))
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc to look at")
    checkpoints.save(tmp_path / "run" / "checkpoints", 1, session.state.tensors(), {})
    assert calls == [
        "state.safetensors",
        "progress.json",
        "SHA256SUMS",
        "step-00000001.new",
        "rename",
        "checkpoints",
    ]


@pytest.mark.parametrize("code", [28, 5, 30])  # full, broken, read-only
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_takes_no_more_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    """The checkpoints before stay good."""
    session = begun(tmp_path / "run")
    held = tmp_path / "run" / "checkpoints"
    checkpoints.save(held, 1, session.state.tensors(), {})

    def fails(*arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch, pytest.raises(RunError, match=os.strerror(code)):
        patch.setattr(os, call, fails)
        checkpoints.save(held, 2, session.state.tensors(), {})
    found, warnings = checkpoints.newest(held)
    assert found is not None and found.path.name == "step-00000001" and not warnings


def test_killed_runs_go_on_to_the_same_end(tmp_path: Path) -> None:
    """A slice of `make crash-test`: kill -9 with 0 and 2 workers."""
    found = crash.kills(tmp_path, 4, (0, 2), seed=random.randrange(10**6))
    assert found["bit-identical runs"] == found["runs"] and found["kills"] >= 4


def test_torn_files_and_flipped_bits_are_recognised(tmp_path: Path) -> None:
    found = crash.damages(tmp_path, 12, 12, seed=random.randrange(10**6))
    assert found["recognised"] == found["fell back"] == found["weights recognised"] == 24


def test_an_end_between_any_two_calls_of_a_save_loses_nothing(tmp_path: Path) -> None:
    found = crash.ends_between_calls(tmp_path)
    assert found["whole after"] == found["points"] >= 5


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    found = crash.full_disks(tmp_path)
    assert found["said"] == found["kept"] == found["limits"]
