"""The runs that come along: they open by name, score as they say, and stay as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from striate import pretrained, zoo
from striate.cli import app
from striate.data import load
from striate.errors import RunError
from striate.evaluate import predict, summarise
from striate.runs import open_run
from striate.session import resume


@pytest.mark.parametrize("name", pretrained.names())
def test_each_opens_by_its_name_with_its_weights(name: str) -> None:
    run = open_run(name)
    model = run.model()
    assert (
        sum(each.numel() for each in model.parameters()) == run.network.account().totals.parameters
    )
    scores = model(torch.zeros(2, *run.network.input[2:], *run.network.input[:2]))
    assert scores.shape == (2, len(run.classes)) and scores.isfinite().all()


def test_digits_are_told_apart_and_the_network_of_convnetjs_is_the_zoos() -> None:
    run = open_run("digits")
    found = predict([run.model()], load("digits").test, run.preparation)
    assert summarise(found, [1, 5]).errors[1].fraction < 0.05
    assert open_run("convnetjs-cifar10").network == zoo.read("convnetjs-cifar10")


def test_what_comes_along_is_not_trained_on() -> None:
    with pytest.raises(RunError, match="digits came along with striate and stays as it is"):
        resume(open_run("digits"))


def test_a_folder_of_that_name_is_meant_before_what_comes_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    with pytest.raises(RunError, match="digits is not a run folder"):
        open_run("digits")
    with pytest.raises(RunError, match=r"no run at digit; by name .* convnetjs-cifar10 and digits"):
        open_run("digit")


def test_they_can_be_looked_into_without_a_run_of_ones_own(tmp_path: Path) -> None:
    to = tmp_path / "seen.png"
    result = CliRunner().invoke(app, ["see", "filters", "digits", "--out", str(to)])
    assert result.exit_code == 0, result.output
    assert to.is_file()
