"""Beginning with known weights: what is taken, what is said, what is refused, what stays."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from safetensors.torch import save_file
from test_train_command import Striate, striate
from torch import nn

from striate import recipes, zoo
from striate.compute import Compute
from striate.data import Images, Preparation, Splits
from striate.errors import NotationError, RunError
from striate.network import Network, read
from striate.recipes import Recipe
from striate.records import Saved, Stepped, Transferred, Warned
from striate.runs import Run, open_run
from striate.session import Session, begin, resume
from striate.ship.export import export
from striate.ship.model import of_run
from striate.state import initial
from striate.storage import write_tensors
from striate.transfer import Known, begin_with, fitted, known, network_of, preparation_for

__all__ = ["striate"]  # the fixture

NET = "[4x4x1] conv3-2 bn relu conv3-4 bn relu avgpool fc-{} softmax"
RECIPE = Recipe(epochs=2, batch=10, learning_rate=0.1, average=0.8)


def images(classes: tuple[str, ...], count: int = 60, seed: int = 3) -> Images:
    found = toy.images(count, seed)
    return Images(found.pixels, np.arange(count) % len(classes), classes)


def splits(*classes: str) -> Splits:
    return Splits("other", images(classes), None, images(classes, seed=4), fingerprint="of these")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on three classes."""
    path = tmp_path_factory.mktemp("runs") / "before"
    recipe = replace(RECIPE, normalisation="channels")
    list(begin(path, read(NET.format(3)), toy.splits(), recipe, Compute()).records())
    return path


def moved(
    path: Path,
    source: Path | str,
    *classes: str,
    net: str = "",
    head: str | None = None,
    recipe: Recipe = RECIPE,
) -> Session:
    """A run on other classes that begins with a source."""
    start = known(str(source))
    network = fitted(read(net) if net else network_of(start), classes)
    data = splits(*classes)
    return begin(path, network, data, recipe, Compute(), start=start, head=head)


def transferred(session: Session) -> Transferred:
    assert session.transferred is not None
    return session.transferred


# -- what is taken


def test_all_but_the_head_is_taken_and_said(before: Path, tmp_path: Path) -> None:
    session = moved(tmp_path / "after", before, "a", "b", "c", "d", "e")
    origin = transferred(session).origin
    assert str(origin) == "taken: 10 of 12 tensors; begins anew: fc1 (3 -> 5 classes)"
    now, old = session.state.model.state_dict(), open_run(before).model().state_dict()
    assert [name for name in now if not torch.equal(now[name], old[name])] == [
        "fc1.weight",
        "fc1.bias",
    ]
    assert session.run.network == read(NET.format(5))
    about = json.loads((session.run.path / "run.json").read_text("utf-8"))["origin"]
    assert about["source"] == str(before.resolve()) and len(about["sha256"]) == 64
    assert open_run(session.run.path) == session.run


@pytest.mark.parametrize(
    ("classes", "head", "anew"),
    [
        (("dark", "grey", "bright"), None, ()),
        (("dark", "grey", "bright"), "new", ("fc1 (as asked for)",)),
        (("x", "y", "z"), None, ("fc1 (other classes)",)),
        (("x", "y", "z"), "keep", ()),
        (("grey", "dark", "bright"), None, ("fc1 (other classes)",)),
    ],
)
def test_the_head_follows_the_classes(
    before: Path, tmp_path: Path, classes: tuple[str, ...], head: str | None, anew: tuple[str, ...]
) -> None:
    session = moved(tmp_path / "after", before, *classes, head=head)
    assert transferred(session).origin.anew == anew
    fresh = initial(session.run.network, RECIPE).state_dict()["fc1.weight"]
    assert torch.equal(session.state.model.state_dict()["fc1.weight"], fresh) is bool(anew)


@pytest.mark.parametrize(
    ("classes", "head", "rows", "said"),
    [
        (("grey", "dark", "bright"), "keep", [1, 0, 2], ()),
        (("bright", "dark", "slate"), "keep", [2, 0, 1], ("grey is slate now",)),
        (("x", "y", "grey"), "keep", [0, 2, 1], ("dark is x now", "bright is y now")),
    ],
)
def test_a_head_that_is_kept_goes_by_the_names_of_classes(
    before: Path, tmp_path: Path, classes: tuple[str, ...], head: str, rows: list[int], said: object
) -> None:
    session = moved(tmp_path / "after", before, *classes, head=head)
    now, old = session.state.model.state_dict(), open_run(before).model().state_dict()
    for name in ("fc1.weight", "fc1.bias"):
        assert torch.equal(now[name], old[name][rows])
    assert torch.equal(now["conv1.weight"], old["conv1.weight"])
    words = f"the head is kept: {', '.join(said)}"  # type: ignore[arg-type]
    assert session.warnings == ((words,) if said else ())


def test_a_head_that_is_kept_brings_what_stands_behind_it() -> None:
    text = "[8x8x1] conv3-6 relu conv1-3 bn avgpool softmax"
    network = read(text)
    model, there = (network.build().eval() for _ in range(2))
    for each in there.modules():
        if isinstance(each, nn.BatchNorm2d):
            for values in (each.weight.data, each.bias.data, each.running_mean):
                values.normal_()
    start = Known("there", there.state_dict(), "", network, ("a", "b", "c"))
    begin_with(start, model, network, ("c", "a", "b"), "keep")
    images = torch.rand(2, 1, 8, 8)
    assert torch.allclose(model(images), there(images)[:, [2, 0, 1]])
    twice = Known("there", there.state_dict(), "", network, ("a", "a", "c"))
    begin_with(twice, model, network, ("c", "a", "b"), "keep")
    assert torch.equal(model(images), there(images)), "of names that say nothing"


def test_frozen_layers_that_were_drawn_are_warned_of(tmp_path: Path) -> None:
    recipe = RECIPE.with_settings({"freeze": "features"})
    data = splits("dark", "grey", "bright")
    session = begin(tmp_path / "run", read(NET.format(3)), data, recipe, Compute())
    assert any("frozen layers keep weights that were drawn" in each for each in session.warnings)


def test_what_finds_out_how_to_compute_is_asked_once_nothing_can_be_refused(
    before: Path, tmp_path: Path
) -> None:
    start, data = known(str(before)), splits("a", "b")
    network = fitted(network_of(start), ("a", "b"))

    def probed() -> Compute:
        pytest.fail("it was probed")

    with pytest.raises(RunError, match="--head keep"):
        begin(tmp_path / "run", network, data, RECIPE, probed, start=start, head="keep")


def test_a_head_that_is_to_be_kept_must_fit(before: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"--head keep: fc1 of .* does not fit 2 classes"):
        moved(tmp_path / "after", before, "a", "b", head="keep")
    assert not (tmp_path / "after").exists()


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (
            "[4x4x1] conv3-2 bn relu conv5-4 bn relu conv3-4 relu avgpool fc-3",
            "taken: 11 of 14 tensors; begins anew: conv2 (was 4x2x3x3, is 4x2x5x5), conv3 (new)",
        ),
        ("[4x4x1] conv3-2 bn relu avgpool fc-3", "not used: bn2, conv2"),
        (
            "[4x4x1] conv3-2 relu conv3-4 relu avgpool fc-3",
            "begins anew: conv1.bias (new), conv2.bias (new); not used: bn1, bn2",
        ),
    ],
)
def test_another_network_takes_what_fits(before: Path, tmp_path: Path, net: str, said: str) -> None:
    session = moved(tmp_path / "after", before, "dark", "grey", "bright", net=net)
    assert said in str(transferred(session).origin)


def test_a_network_that_takes_little_is_warned_of(before: Path, tmp_path: Path) -> None:
    net = "[4x4x1] conv3-2 bn relu conv5-8 bn relu conv5-8 bn relu avgpool fc-3"
    session = moved(tmp_path / "after", before, "dark", "grey", "bright", net=net)
    assert any("of 17 tensors begin anew" in each for each in session.warnings), session.warnings
    session = moved(tmp_path / "whole", before, "dark", "grey", "bright")
    assert not session.warnings


def test_weights_that_fit_nowhere_are_refused(before: Path, tmp_path: Path) -> None:
    """Also where the last layer alone would fit: nothing would have been learned before."""
    for net in ("[4x4x1] conv5-2 relu avgpool fc-3", "[4x4x1] conv5-4 relu avgpool fc-3"):
        with pytest.raises(RunError, match=r"no layer .* its conv1.weight is 2x1x3x3, and"):
            moved(tmp_path / "after", before, "dark", "grey", "bright", net=net)
    assert not (tmp_path / "after").exists()


def test_a_layer_that_computes_otherwise_is_told(before: Path, tmp_path: Path) -> None:
    net = NET.format(3).replace("conv3-4", "conv3-4/2(floor)")
    session = moved(tmp_path / "after", before, "dark", "grey", "bright", net=net)
    assert any("conv2 (stride 1 there, 2 here)" in each for each in session.warnings)
    first, second = list(session.records())[:2]
    assert isinstance(first, Transferred) and isinstance(second, Warned)


# -- how images are prepared


def test_images_are_prepared_as_before(before: Path, tmp_path: Path) -> None:
    session = moved(tmp_path / "after", before, "a", "b")
    assert session.run.preparation == open_run(before).preparation
    assert transferred(session).preparation.startswith("images prepared as there: mean 0.")


def test_a_mean_image_of_another_size_becomes_means() -> None:
    image = np.linspace(0, 1, 4 * 4 * 3, dtype=np.float32).reshape(4, 4, 3)
    there = Preparation(read("[4x4x3] fc-2").input, (0.5,) * 3, (1 / 255,) * 3, image)
    start = Known("x", {}, "", preparation=there)
    same = preparation_for(start, read("[4x4x3] fc-2"))
    assert same == there
    other = preparation_for(start, read("[8x8x3] fc-2"))
    assert other is not None and other.mean_image is None
    assert other.mean == pytest.approx(image.mean(axis=(0, 1)).tolist())
    assert preparation_for(start, read("[4x4x1] fc-2")) is None, "other channels"


# -- the head as text


@pytest.mark.parametrize("name", zoo.names())
def test_networks_of_the_zoo_get_other_classes(name: str) -> None:
    """Nothing but the last layer differs; AlphaGo's has a bias for each point of the board."""
    network = zoo.read(name)
    if name == "alphago-policy":
        return
    other = network.with_classes(7)
    heads = (other.expansion.output, *other.expansion.head_outputs.values())
    assert all(other.steps[end].volume == (1, 1, 7) for end in heads)
    changed = [
        now.name
        for was, now in zip(network.steps, other.steps, strict=True)
        if (was.stated, was.met) != (now.stated, now.met)
        and now.layer.kind not in ("softmax", "scale")
    ]
    assert len(changed) == len(heads)
    assert Network.parse(str(other)) == other


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("[8x8x1] conv3-4 last: fc-10 softmax", "last: fc-5 softmax"),
        ("[8x8x1] conv3-4 conv1-10 avgpool [1x1x10] softmax", "conv3-4 conv1-5 avgpool softmax"),
        ("[8x8x1] conv3-4 fc-10 dropout(0.5) [1x1x10]", "fc-5 dropout(0.5)"),
    ],
)
def test_the_last_word_with_units_is_changed(text: str, after: str) -> None:
    assert after in str(read(text).with_classes(5))


@pytest.mark.parametrize("end", ["(fc-10)*2", "add(fc-10 | fc-10)", "top(10)", "relu"])
def test_an_end_without_a_width_of_its_own(end: str) -> None:
    block = "top(k) = fc-k\n\n" if "top" in end else ""
    with pytest.raises(NotationError, match="let its text end in fc-5 softmax"):
        read(f"{block}[8x8x1] {end} softmax").with_classes(5)


# -- sources


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04" + bytes(50), "a pickle or an archive of one, which could run code"),
        (b"\x80\x02}q\x00.", "a pickle or an archive of one"),
        (b"", "is no safetensors file"),
        (b"hello, I am something else", "is no safetensors file"),
        ((2**63).to_bytes(8, "little") + b"{}", "is damaged"),
        ((8).to_bytes(8, "little") + b'{"a":12}', "is damaged"),
        (
            (58).to_bytes(8, "little")
            + b'{"a":{"dtype":"F32","shape":[9,9],"data_offsets":[0,4]}}  '
            + bytes(4),
            "is damaged",
        ),
    ],
)
def test_a_hostile_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(RunError, match=message):
        known(str(path))


@pytest.mark.parametrize("mark", [b"\x80", b"\x80\x02"])
def test_a_header_as_long_as_a_pickle_begins_is_none(tmp_path: Path, mark: bytes) -> None:
    """The length of a safetensors file's header is its first bytes, whatever they say."""
    path = tmp_path / "weights.safetensors"
    header = b'{"conv1.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    size = int.from_bytes(mark, "little")
    path.write_bytes(size.to_bytes(8, "little") + header.ljust(size) + bytes(4))
    assert known(str(path)).weights["conv1.weight"] == 0


def test_numbers_of_other_kinds_are_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    small = torch.ones(2, dtype=torch.float8_e4m3fn)
    save_file({"conv1.weight": small}, path)
    assert known(str(path)).weights["conv1.weight"].dtype == small.dtype
    save_file({"conv1.weight": torch.tensor([torch.nan]).to(small.dtype)}, path)
    with pytest.raises(RunError, match="not finite"):
        known(str(path))
    path.write_bytes(path.read_bytes().replace(b'"F8_E4M3"', b'"F8_E8M0"'))
    with pytest.raises(RunError, match=r"holds numbers of the kind .*, not read here|is damaged"):
        known(str(path))
    save_file({"conv1.weight": torch.ones(2)}, path, {"striate": "[" * 100_000})
    with pytest.raises(RunError, match="is damaged"):
        known(str(path))


@pytest.mark.parametrize(
    "said",
    ["", "[[1], [0]]", "[[1e999], [1]]", "[[], []]", "[1, 2]", "{}", "[" * 9999, '["a", "b"]'],
)
def test_what_a_file_says_of_its_images_may_be_damaged(tmp_path: Path, said: str) -> None:
    path = tmp_path / "w.safetensors"
    write_tensors(path, {"conv1.weight": torch.zeros(4, 1, 3, 3)}, {"prepared": said})
    with pytest.raises(RunError, match="how its images were prepared cannot be used"):
        known(str(path))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.tensor([1.0, torch.inf])}, tmp_path / "w.safetensors")
    with pytest.raises(RunError, match=r"conv1.weight holds values that are not finite"):
        known(str(tmp_path / "w.safetensors"))


def test_a_file_of_a_run_brings_the_runs_network(before: Path, tmp_path: Path) -> None:
    run, file = known(str(before)), known(str(before / "best.safetensors"))
    assert file.network == run.network and file.classes == run.classes
    alone = shutil.copy(before / "weights.safetensors", tmp_path / "alone.safetensors")
    with pytest.raises(RunError, match="does not say of which network its weights are"):
        network_of(known(str(alone)))


def test_an_exported_file_says_its_network_and_how_images_are_prepared(
    before: Path, tmp_path: Path
) -> None:
    run = open_run(before)
    made = export(of_run(run), "safetensors", tmp_path / "m.safetensors")
    found = known(str(made.paths[0]))
    assert (found.network, found.classes) == (run.network, run.classes)
    assert found.preparation == run.preparation
    for name, each in run.model().state_dict().items():
        assert torch.equal(found.weights[name], each)
    beside = export(of_run(run), "python", tmp_path / "m.py").paths[1]
    assert beside.name == "m.weights.safetensors"
    again = known(str(beside))
    assert (again.network, again.preparation) == (run.network, run.preparation)
    assert again.weights.keys() == found.weights.keys()
    with pytest.raises(RunError, match=r"is an ONNX file: `striate recover"):
        known(str(export(of_run(run), "onnx", tmp_path / "m.onnx").paths[0]))


@pytest.mark.parametrize("source", ["nowhere", "nowhere.safetensors"])
def test_a_source_that_is_not_there(source: str) -> None:
    with pytest.raises(RunError, match=r"there is no run at nowhere|cannot be read"):
        known(source)


# -- going on


def going_on(run: Run, data: Splits, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(Run, "splits", lambda run, source=None, tell=None: data)
    return resume(run)


@pytest.mark.parametrize("freeze", [None, 1, "features"])
@pytest.mark.parametrize("step", [0, 4])
def test_a_transferred_run_goes_on_to_the_same_bits(
    before: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    freeze: int | str | None,
    step: int,
) -> None:
    """From a checkpoint; and from nothing, where it was killed before it had saved one."""
    recipe, classes = replace(RECIPE, freeze=freeze), ("a", "b", "c", "d")
    list(moved(tmp_path / "whole", before, *classes, recipe=recipe).records())
    session = moved(tmp_path / "run", before, *classes, recipe=recipe)
    for record in session.records(every=0.0 if step else 1e9):
        if isinstance(record, Saved | Stepped) and session.state.progress.step == step:
            break
    if not step:
        shutil.rmtree(tmp_path / "run" / "checkpoints")
    list(going_on(open_run(tmp_path / "run"), splits(*classes), monkeypatch).records())
    for name in ("weights", "last", "best"):
        files = [tmp_path / run / f"{name}.safetensors" for run in ("whole", "run")]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_weights_that_have_changed_since_are_no_beginning(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = shutil.copytree(before, tmp_path / "source")
    moved(tmp_path / "run", source, "a", "b")
    tensors = initial(read(NET.format(3)), RECIPE).state_dict()
    save_file(tensors, source / "weights.safetensors")
    with pytest.raises(RunError, match="which are others now, and saved none before"):
        going_on(open_run(tmp_path / "run"), splits("a", "b"), monkeypatch)


def test_runs_from_before_there_were_origins_are_read(before: Path, tmp_path: Path) -> None:
    path = shutil.copytree(before, tmp_path / "old")
    about = json.loads((path / "run.json").read_text("utf-8"))
    del about["origin"]
    (path / "run.json").write_text(json.dumps(about), "utf-8")
    assert open_run(path).origin is None
    (path / "run.json").write_text(json.dumps(about | {"origin": {"source": 1}}), "utf-8")
    with pytest.raises(RunError, match=r"run.json is damaged"):
        open_run(path)


# -- the command


SMALL = "[8x8x1] conv3-4 relu maxpool2 fc-10 softmax"


def test_the_command_says_what_it_took_and_chooses_a_recipe(striate: Striate) -> None:
    assert striate("train", SMALL, "--data", "digits", "--epochs", "1", "--run", "a").code == 0
    said = striate("train", "--from", "a", "--data", "digits", "--epochs", "1", "--run", "b")
    assert said.code == 0, said.err
    assert said.err.startswith("from a: taken: 4 of 4 tensors; images prepared as there: mean")
    assert open_run("b").recipe == recipes.read("finetune").with_settings({"epochs": "1"})
    again = ("--from", "b", "--data", "digits", "--freeze", "features", "--epochs", "2")
    first = striate("train", *again, "--run", "c")
    assert "frozen up to maxpool1: 64 of each image, computed once" in first.err
    assert open_run("c").recipe == recipes.read("head").with_settings({"epochs": "2"})
    second = striate("train", *again, "--run", "d", "--seed", "3")
    assert "of each image, computed before" in second.err
    varied = striate("train", *again, "--recipe", "finetune", "--run", "e", "--json")
    records = [json.loads(each) for each in varied.out.splitlines()]
    assert records[0]["record"] == "Transferred" and records[0]["origin"]["taken"] == 4
    warned = next(each for each in records if each["record"] == "Warned")
    assert "flip=random changes the images at random; flip=none does not" in warned["message"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--from", "nowhere", "--data", "digits"], 1, "there is no run at nowhere"),
        (["--from", "hub:x", "--data", "digits"], 1, "it is written hub:OWNER/NAME"),
        (["--from", "x"], 2, "name images to train on"),
        (["--from", "timm:resnet50", "--data", "digits"], 1, "`striate recover timm:resnet50"),
        (["[8x8x1] opaque8-4 fc-10", "--data", "digits"], 1, "opaque1, opaque8-4"),
        ([SMALL, "--data", "digits", "--head", "new"], 2, "say --from SOURCE too"),
        (["--resume", "x", "--from", "y"], 2, "leave --from out"),
        ([SMALL, "--data", "digits", "--freeze", "2"], 1, "leaves nothing to train"),
        ([SMALL, "--data", "digits", "--freeze", "all"], 1, "freeze is 'features' or a number"),
        ([SMALL, "--data", "digits", "--freeze", "1", "freeze=2"], 2, "freeze is set twice"),
    ],
)
def test_a_mistake_is_said(
    striate: Striate,
    arguments: list[str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before time goes into a probe."""
    monkeypatch.setattr("striate.probe.fastest", lambda *_, **__: pytest.fail("it was probed"))
    said = striate("train", *arguments)
    assert said.code == code and message in said.err, said.err
    assert "Traceback" not in said.err and not Path("runs").exists()


@pytest.mark.parametrize("verb", ["estimate", "profile"])
def test_what_measures_says_that_it_knows_no_frozen_layers(striate: Striate, verb: str) -> None:
    said = striate(verb, SMALL, "freeze=1")
    assert said.code == 1 and "frozen layers are not measured yet" in said.err
