"""The model card: what stands on it, and that it can be made of any run."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
import toy
from PIL import Image

from striate import recipes
from striate.compute import Compute
from striate.errors import RunError
from striate.keeping import note
from striate.network import Network, read
from striate.origin import Origin
from striate.recipes import Recipe
from striate.records import Evaluated, Score
from striate.runs import Run
from striate.session import begin
from striate.ship.card import card, write_card


def made(path: Path, network: Network = toy.NETWORK, *, scored: bool = True) -> Run:
    session = begin(path, network, toy.splits(), Recipe(epochs=2, batch=16), Compute())
    for _ in session.records():
        pass
    if scored:
        note(session.run, Evaluated(2, "test", Score(60, 0.5, 0.25, 0.0), 1.0))
    return session.run


def test_the_card_says_what_was_changed_of_a_recipe(tmp_path: Path) -> None:
    recipe = recipes.read("finetune").with_settings({"epochs": "2", "batch": "16"})
    session = begin(tmp_path / "toy", toy.NETWORK, toy.splits(), recipe, Compute())
    for _ in session.records():
        pass
    text = card(session.run, "toy").text
    said = "(Fine-tuning a trained network), but for `epochs`, `batch`, which its note does not"
    assert f"The recipe `finetune` of striate {said} know of. Whole:" in text
    assert "epochs = 2" in text and "merely slow" in text
    whole = replace(session.run, recipe=recipes.read("resnet-2015"))
    assert ", as it comes:\n" in card(whole, "toy").text
    own = replace(session.run, recipe=replace(recipe, title="Mine"))
    assert "Mine. The recipe:" in card(own, "toy").text


def test_the_card_says_what_the_run_is(tmp_path: Path) -> None:
    run = made(tmp_path / "toy")
    paths = write_card(run, tmp_path / "card.md")
    assert [each.name for each in paths] == ["card.md", "card-curve.png", "card-filters.png"]
    text = paths[0].read_text("utf-8")
    for said in (
        "# toy",
        "tells 3 classes apart",
        "| test, looked at once, after training | 60 | 25.00% | 15.78% to 37.23% |",
        "| validation, held out from training | 12 |",
        "conv3-2 relu dropout(0.1) fc-3 softmax",
        "| layer | volume | parameters |",
        "epochs = 2",
        run.fingerprint,
        "Classes: `dark`, `grey`, `bright`.",
        "- Scaled to 4 x 4",
        "](card-curve.png)",
        "](card-filters.png)",
        "striate predict toy photo.jpg",
    ):
        assert said in text, said
    assert str(tmp_path) not in text  # where it lay on a disk concerns nobody
    for path in paths[1:]:
        with Image.open(path) as picture:
            assert min(picture.size) > 30


def test_the_card_says_where_weights_came_from(tmp_path: Path) -> None:
    origin = Origin(str(tmp_path / "first"), "ab" * 32, 4, 6, anew=("fc1 (other classes)",))
    write_card(replace(made(tmp_path / "toy"), origin=origin), tmp_path / "card.md")
    text = (tmp_path / "card.md").read_text("utf-8")
    assert "began with the weights of `first`; taken: 4 of 6 tensors; begins anew: fc1" in text
    assert "ab" * 32 in text and str(tmp_path) not in text


def test_a_network_without_convolutions_and_a_run_without_scores(tmp_path: Path) -> None:
    run = made(tmp_path / "plain", read("[4x4x1] fc-3 softmax"), scored=False)
    found = card(run, "plain")
    assert list(found.pictures) == ["plain-curve.png", "plain-filters.png"]  # its templates
    assert Image.open(BytesIO(found.pictures["plain-curve.png"])).format == "PNG"
    (run.path / "metrics.jsonl").unlink()
    with pytest.raises(RunError, match=r"metrics\.jsonl cannot be read"):
        card(run, "plain")


def test_names_of_every_sort_are_shown_as_they_are(tmp_path: Path) -> None:
    from dataclasses import replace

    run = replace(made(tmp_path / "toy"), classes=("a|b", "c`d", "e\nf"))
    text = card(run, "toy").text
    assert "`a|b`, `` c`d ``, `e\\nf`." in text
    moved = replace(run, path=run.path.rename(tmp_path / "my (best) toy"))
    text = card(moved, "my (best) toy").text
    assert "](my%20%28best%29%20toy-curve.png)" in text
    assert "striate predict 'my (best) toy' photo.jpg" in text


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from striate.cli import app

    run = made(tmp_path / "toy")
    with pytest.raises(SystemExit) as end:
        app(["card", str(run.path), "--out", str(tmp_path / "toy.md")], prog_name="striate")
    assert not end.value.code
    assert capsys.readouterr().out.splitlines()[0] == str(tmp_path / "toy.md")
    with pytest.raises(SystemExit) as end:
        app(["card", str(run.path), "--out", str(tmp_path / "toy.txt")], prog_name="striate")
    assert end.value.code == 2
