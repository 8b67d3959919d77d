"""`striate see`: the pictures, judged by their pixels, and the command as a person meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import striate
from striate.cli import app
from striate.compute import Compute
from striate.data import load, prepare
from striate.errors import SeeError, StriateError
from striate.gallery import WAYS, picture
from striate.gallery.levels import ZERO, framed, lit, numbered, photograph, signed, strength
from striate.gallery.look import Look, spread
from striate.recipes import Recipe
from striate.runs import Run, create_run
from striate.see import Box
from striate.storage import write_tensors

NET = "[8x8x1] conv3-8 relu maxpool2 conv3-6 relu fc-10 softmax"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on digits with weights that nobody trained."""
    network = striate.read(NET)
    splits = load("digits", input=network.input)
    preparation = prepare(network, splits)
    folder = tmp_path_factory.mktemp("seen") / "run"
    made = create_run(folder, network, splits, preparation, Recipe(), Compute())
    torch.manual_seed(0)
    write_tensors(folder / "weights.safetensors", network.build().state_dict(), {})
    return made


@pytest.mark.parametrize("what", WAYS)
def test_every_way_draws_and_leaves_the_run_alone(what: str, run: Run) -> None:
    before = {each: each.read_bytes() for each in run.path.rglob("*") if each.is_file()}
    torch_state = torch.get_rng_state()
    drawn = picture(what, run, style="test:3")
    assert min(drawn.size) > 60
    assert len(np.unique(np.asarray(drawn.convert("L")))) > 8, "it is not one colour"
    assert torch.equal(torch_state, torch.get_rng_state())
    assert before == {each: each.read_bytes() for each in run.path.rglob("*") if each.is_file()}


@pytest.mark.parametrize("what", ["guided", "deconvnet"])
def test_what_shows_no_decision_says_so(what: str, run: Run, monkeypatch: object) -> None:
    from striate.gallery import decision

    titles: list[str] = []
    monkeypatch.setattr(  # type: ignore[attr-defined]
        decision, "sheet", lambda rows, title, cell: titles.extend(title)
    )
    picture(what, run)
    assert "shows image structure, not the decision" in titles[0]
    assert "(image structure, not the decision)" in WAYS[what].shows


def test_zero_is_always_the_same_grey() -> None:
    assert signed(torch.tensor([-2.0, 0, 1, 2])).tolist() == [1, ZERO, 192, 255]
    assert signed(torch.tensor([-2.0, 0, 1, 2]), 4).tolist() == [64, ZERO, 160, 192]
    assert signed(torch.tensor([0.0, 3]), 1).tolist() == [ZERO, 255]
    assert signed(torch.zeros(3)).tolist() == [ZERO] * 3
    assert strength(torch.tensor([0.0, 1, 2])).tolist() == [0, 128, 255]
    assert strength(torch.zeros(2)).tolist() == [0, 0]


def test_a_photograph_is_the_pixels_that_were_prepared(run: Run) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 1), dtype=np.uint8)
    back = photograph(run.preparation(pixels)[0], run.preparation)
    assert (back == pixels[0]).all()


def test_an_image_is_lit_where_the_light_is() -> None:
    found = lit(np.full((4, 4, 1), 200, dtype=np.uint8), torch.eye(4))
    assert (np.diag(found[..., 0]) == 200).all() and found[0, 3, 0] == 30


def test_a_frame_lies_on_the_pixels_of_its_box() -> None:
    drawn = framed(np.zeros((8, 8, 1), dtype=np.uint8), Box(2, -1, 4, 3))
    rows, columns = np.nonzero(drawn[..., 0])
    assert (rows.min(), rows.max() + 1) == (2 * 24, 4 * 24)
    assert (columns.min(), columns.max() + 1) == (0, 3 * 24)


def test_numbers_are_written_where_there_is_room() -> None:
    assert numbered(torch.ones(3, 3), 1).shape == (108, 108, 1)
    assert numbered(torch.ones(9, 9), 1).shape == (9, 9, 1)


def test_a_long_list_keeps_its_ends() -> None:
    assert spread(list(range(10)), 4) == [0, 3, 6, 9]
    assert spread([1, 2], 4) == [1, 2]


def test_the_scales_of_maps_differ(run: Run) -> None:
    drawn = [np.asarray(picture("maps", run, scale=each)) for each in ("map", "layer", "network")]
    sizes = {each.shape for each in drawn}
    assert len(sizes) == 1 and not (drawn[0] == drawn[1]).all() and not (drawn[1] == drawn[2]).all()


def test_a_file_is_seen_as_the_images_of_the_run_are(run: Run, tmp_path: Path) -> None:
    """Scaled and cut to the side that those have."""
    test = run.splits().test
    small = test.pixels[4][..., 0]
    Image.fromarray(np.kron(small, np.ones((16, 16), dtype=np.uint8))).save(tmp_path / "a.png")
    assert torch.allclose(
        Look(run, str(tmp_path / "a.png")).prepared, Look(run, "test:4").prepared, atol=0.5
    )


@pytest.mark.parametrize(
    ("what", "image", "options", "message"),
    [
        ("saliency", "test:359", {}, r"there is no test:359: they go from test:0 to 358"),
        ("saliency", "nowhere.png", {}, r"nowhere.png cannot be read: .*; an image is a file or"),
        ("saliency", None, {"target": "cat"}, r"there is no class 'cat'"),
        ("cam", None, {"layer": "conv9"}, r"the network has no layer 'conv9': did you mean conv"),
        ("patches", None, {"unit": 6, "layer": "conv2"}, r"conv2 has no unit 6: .* 0 to 5"),
        ("neuron", None, {"at": (9, 0)}, r"conv1 has no row 9: they go from 0 to 7"),
        ("style", None, {}, r"style takes two images: name the one of the style by --style"),
        ("filters", None, {"layer": "relu1"}, r"relu1 has no filters: it is a ReLU"),
        ("maps", None, {"scale": "world"}, r"there is no scale 'world'"),
    ],
)
def test_what_is_not_there_is_named(
    what: str, image: str | None, options: dict[str, object], message: str, run: Run
) -> None:
    with pytest.raises(StriateError, match=message):
        picture(what, run, image, **options)


def test_a_damaged_image_file_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(StriateError, match="image"):
        picture("saliency", run, str(tmp_path / "bad.png"))


def test_a_run_without_validation_images_says_so(run: Run, monkeypatch: object) -> None:
    from dataclasses import replace

    from striate.data import Splits

    splits = replace(run.splits(), validation=None)
    monkeypatch.setattr(Run, "splits", lambda *_, **__: splits)  # type: ignore[attr-defined]
    assert isinstance(splits, Splits)
    with pytest.raises(SeeError, match="it has no validation"):
        picture("saliency", run, "validation:0")


def test_the_command_writes_a_png_and_says_where(run: Run, tmp_path: Path) -> None:
    to = tmp_path / "out.png"
    result = CliRunner().invoke(app, ["see", "filters", str(run.path), "--out", str(to)])
    assert result.exit_code == 0 and result.stdout == f"{to}\n"
    with Image.open(to) as drawn:
        assert drawn.size[0] > 60
    result = CliRunner().invoke(app, ["see", "filters", str(run.path), "--out", "x.gif"])
    assert result.exit_code == 2 and "must end in .png" in result.output
    result = CliRunner().invoke(app, ["see", "neuron", str(run.path), "--at", "3"])
    assert result.exit_code == 2 and "'3' is no row and column such as 3,5" in result.output


def test_a_mistake_is_a_sentence_in_a_process_of_its_own(run: Run, tmp_path: Path) -> None:
    words = ["see", "cam", str(run.path), "--layer", "conv9"]
    done = subprocess.run(
        [sys.executable, "-m", "striate", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == 1 and not list(tmp_path.iterdir())
    assert done.stderr.startswith("the network has no layer 'conv9'")


def test_the_page_in_the_docs_shows_every_way() -> None:
    docs = Path(__file__).parents[1] / "docs"
    page = (docs / "gallery.md").read_text("utf-8")
    for name, way in WAYS.items():
        assert f"![{way.shows}](images/gallery/{name}.webp)" in page, f"make gallery: {name}"
        with Image.open(docs / "images" / "gallery" / f"{name}.webp") as shown:
            assert min(shown.size) > 40
