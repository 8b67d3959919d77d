"""What `striate export` writes: read back, compared, refused where wrong; hostile ONNX files."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import toy
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from shipped import model_of

from striate.compute import Compute
from striate.errors import RunError, StriateError
from striate.recipes import Recipe
from striate.runs import Run
from striate.session import begin
from striate.ship import formats, open_predictor
from striate.ship.export import Difference, difference, export, export_int8
from striate.ship.formats import FORMATS, answer_of, read_safetensors
from striate.ship.model import Whole, of_run
from striate.ship.onnx_file import read_onnx

NETWORK = "[8x8x3] conv3-4 bn relu maxpool2 concat(conv3-4 bn relu | id) fc-5 softmax"
MODEL = model_of(NETWORK, border=2, mean_image=True)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The model in every format."""
    folder = tmp_path_factory.mktemp("written")
    return {
        to: export(MODEL, to, folder / f"model{kind.suffix}").paths[0]
        for to, kind in FORMATS.items()
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("runs") / "toy"
    session = begin(path, toy.NETWORK, toy.splits(), Recipe(epochs=2, batch=16), Compute())
    for _ in session.records():
        pass
    return session.run


def test_every_format_was_run_and_compared(written: dict[str, Path]) -> None:
    """Nothing but the files is left; the Python file's weights lie beside it."""
    found = sorted(each.name for each in next(iter(written.values())).parent.iterdir())
    assert found == [
        *("model.onnx", "model.pt2", "model.py", "model.safetensors", "model.weights.safetensors"),
    ]


def test_what_answers_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong weight, an answer that is not finite, a file that does not run."""
    (tmp_path / "model.onnx").write_text("the one before")
    kind = FORMATS["onnx"]
    for answers in (
        [(np.zeros((1, 5), np.float32),) * 2, (np.zeros((3, 5), np.float32),) * 2],
        [(np.full((1, 5), np.nan, np.float32),) * 2, (np.full((3, 5), np.nan, np.float32),) * 2],
        [(np.zeros((1, 4), np.float32),) * 2, (np.zeros((3, 4), np.float32),) * 2],
    ):
        changed = kind._replace(answer=lambda path, said=answers: lambda batches: said)
        monkeypatch.setitem(formats.FORMATS, "onnx", changed)
        with pytest.raises(RunError, match=r"answers otherwise .*: nothing was written"):
            export(MODEL, "onnx", tmp_path / "model.onnx")
    assert [each.read_text() for each in tmp_path.iterdir()] == ["the one before"]


def test_a_python_file_that_needs_striate_or_fails_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from striate.ship import python_source

    template = python_source.TEMPLATE.read_text("utf-8")
    broken = tmp_path / "template.txt"
    broken.write_text(template.replace("def load():", "def load():\n    1 / 0"), "utf-8")
    monkeypatch.setattr(python_source, "TEMPLATE", broken)
    with pytest.raises(RunError, match=r"model\.py does not run: ZeroDivisionError"):
        export(MODEL, "python", tmp_path / "model.py")
    assert [each.name for each in tmp_path.iterdir()] == ["template.txt"]


def test_a_python_file_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "SLOWEST", 0.001)
    with pytest.raises(RunError, match=r"model\.py does not answer within 0\.001 s"):
        export(MODEL, "python", tmp_path / "model.py")
    assert not [*tmp_path.iterdir()]


def test_the_python_file_classifies_images_and_knows_no_striate(
    written: dict[str, Path], tmp_path: Path
) -> None:
    """Run as a person runs it, from another folder."""

    Image.fromarray(np.full((30, 20, 3), 200, np.uint8)).save(tmp_path / "grey.png")
    done = subprocess.run(
        [sys.executable, "-IB", str(written["python"]), "grey.png"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    predictor = open_predictor(written["onnx"], engine="exact")
    content = (tmp_path / "grey.png").read_bytes()
    best = predictor.classes[predictor(predictor.pixels(content)[None])[0].argmax()]
    assert done.stdout.startswith(f"grey.png: {best} ") and done.stdout.count("%") == 5
    text = written["python"].read_text("utf-8")
    assert "import striate" not in text and max(map(len, text.splitlines())) < 120


def test_the_torch_archive_needs_no_striate(written: dict[str, Path]) -> None:
    """In a process that does not find it: any number of images, and the classes beside."""
    code = (
        "import sys, json, torch; kept = {'striate.json': ''}\n"
        "module = torch.export.load(sys.argv[1], extra_files=kept).module()\n"
        "pixels = torch.zeros(7, 10, 10, 3, dtype=torch.uint8)\n"
        "said = json.loads(kept['striate.json'])\n"
        "print(tuple(module(pixels)[0].shape), said['classes'][4], 'striate' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(written["torch"])],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "(7, 5) class 4 False\n", done.stderr


def test_safetensors_hold_all_that_the_model_is(written: dict[str, Path]) -> None:
    found = read_safetensors(written["safetensors"])
    assert (found.network, found.preparation) == (MODEL.network, MODEL.preparation)
    assert (found.classes, found.volume, found.mark) == (MODEL.classes, MODEL.volume, MODEL.mark)
    assert toy.same_weights(found.module, MODEL.module)


def test_batch_normalisation_is_folded_in_onnx(written: dict[str, Path]) -> None:
    graph = onnx.load(str(written["onnx"])).graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    said = json.loads(onnx.load(str(written["onnx"])).metadata_props[0].value)
    assert said["volume"] == [10, 10, 3] and said["preprocessing"]["crop"] == [8, 8]


def test_the_same_model_is_the_same_bytes(tmp_path: Path, written: dict[str, Path]) -> None:
    for to in ("onnx", "safetensors", "python"):
        FORMATS[to].write(MODEL, tmp_path / written[to].name)
    for each in tmp_path.iterdir():
        assert each.read_bytes() == (written["onnx"].parent / each.name).read_bytes(), each.name


def test_names_of_every_sort_come_through(tmp_path: Path) -> None:
    """Of classes, in quotes, with a line break, that look like code; of layers, too."""
    classes = ('a"b', "c'd", "e\nf", '"""', "{0} $x \\", "漢字")
    network = "[4x4x3] train: conv3-2 self: relu x: conv3-2 add(@train | id) forward: fc-6 softmax"
    model = replace(model_of(network), classes=classes, name='it "is" mine, caf\udce9')
    for to in ("onnx", "safetensors", "python"):
        export(model, to, tmp_path / f"m{FORMATS[to].suffix}")
    assert open_predictor(tmp_path / "m.onnx", engine="exact").classes == classes
    space: dict[str, object] = {"__name__": "m", "__file__": "m.py"}
    exec((tmp_path / "m.py").read_text("utf-8"), space)
    assert tuple(space["CLASSES"]) == classes
    made = export(model, "python", tmp_path / "my model.v2.py").paths[0]
    assert "    python 'my model.v2.py' photo.jpg" in made.read_text("utf-8")


def test_the_python_file_passes_over_what_is_no_image(tmp_path: Path) -> None:
    made = export(MODEL, "python", tmp_path / "m.py").paths
    Image.new("RGB", (9, 9), "red").save(tmp_path / "red.png")
    (tmp_path / "bad.png").write_bytes(b"no image")

    def ran(*files: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "m.py", *files]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    done = ran("none.png", "bad.png", "red.png")
    assert done.returncode == 1 and done.stdout.startswith("red.png: class ")
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["none.png", "bad.png"]
    assert ran("red.png").returncode == 0 and "usage" in ran().stderr
    assert "usage" in ran("--help").stderr
    made[1].unlink()
    assert "belongs beside this file" in ran("red.png").stderr


def test_what_rounding_makes_of_the_model_itself_is_allowed_for() -> None:
    """Of 56 layers without shortcuts float32 may differ from float64 by more than 1e-4."""
    assert Difference(4, 0.0, 9e-5, 0.0).small and not Difference(4, 0.0, 2e-4, 0.0).small
    assert Difference(4, 0.0, 2e-4, 1e-4).small and not Difference(4, 0.0, 5e-4, 1e-4).small
    assert not Difference(4, 0.0, 0.02, 0.1).small  # then nothing can be said
    assert not Difference(4, 2e-3, 0.0, 0.1).small
    for wrong in (Difference(4, 0.0, math.nan, math.nan), Difference(4, math.nan, 0.0, 0.0)):
        assert not wrong.small
    own = answer_of(Whole(MODEL))
    found = difference(MODEL, own, (1, 3))
    assert found.score == 0 < found.rounding < 1e-5


def test_in_eight_bits(run: Run, tmp_path: Path) -> None:
    """Its loss of accuracy is measured; `striate predict` takes it."""
    model, splits = of_run(run), toy.splits()
    out = tmp_path / "float32.onnx"  # of any name
    made, found = export_int8(model, splits.train, splits.test, out)
    assert made.paths == (out,) and made.difference.small
    assert found.images == 60 and 0.5 < found.float32 <= 1 and abs(found.loss) < 0.2
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(str(out)).graph.node}
    predictor = open_predictor(out)
    pixels = np.asarray(splits.test.pixels[:])
    right = (predictor(pixels).argmax(axis=1) == splits.test.labels).mean()
    assert right == pytest.approx(found.int8)
    other = replace(splits.test, pixels=np.pad(pixels, ((0, 0), (1, 0), (1, 0), (0, 0))))
    with pytest.raises(RunError, match="takes images of 4x4x1, and they are 5x5x1 now"):
        export_int8(model, splits.train, other, out)


# -- the command


def called(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    from striate.cli import app

    try:
        app(["export", *arguments], prog_name="striate")
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = called([str(run.path), "--to", "safetensors"], capsys)
    assert code == 0 and out.splitlines()[0].startswith("toy.safetensors  ")
    assert "compared on 4 images: probabilities within 0 of the model's" in out
    with pytest.raises(RunError, match=r"must end in \.onnx"):
        called([str(run.path), "--to", "onnx", "--out", "model.bin"], capsys)
    with pytest.raises(RunError, match=r"none.* cannot be written: No such file or directory"):
        called([str(run.path), "--to", "onnx", "--out", "none/model.onnx"], capsys)
    assert called([str(run.path), "--to", "torch", "--int8"], capsys)[0] == 2
    with pytest.raises(RunError, match=r"must end in \.onnx"):
        called([str(run.path), "--to", "onnx", "--int8", "--out", "model.bin"], capsys)


# -- ONNX files from elsewhere


def changed(path: Path, to: Path, change: object) -> Path:
    model = onnx.load(str(path))
    change(model)  # type: ignore[operator]
    to.write_bytes(model.SerializeToString())
    return to


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def external_attribute(model: onnx.ModelProto) -> None:
    """Hidden in a node's attribute."""
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), "t")
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node[0].attribute.append(helper.make_attribute("value", tensor))


def loops(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", [], ["x"], body=body))


def explodes(model: onnx.ModelProto) -> None:
    """A volume of 2**40 values out of a few bytes."""
    scales = numpy_helper.from_array(np.array([1, 1, 2**20, 2**20], np.float32), "big")
    model.graph.initializer.append(scales)
    node = helper.make_node("Resize", ["input", "", "big"], ["huge"])
    at = next(i for i, each in enumerate(model.graph.node) if each.output[0] == "input")
    model.graph.node.insert(at + 1, node)


def hides(model: onnx.ModelProto) -> None:
    """As large a volume, whose sides only computing tells; the file says that it is small."""
    pads = np.array([0, 0, 0, 0, 0, 0, 2**20, 2**20])
    for name, values in (("pads", pads), ("one", np.ones(8, np.int64))):
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    at = next(i for i, each in enumerate(model.graph.node) if each.output[0] == "input")
    model.graph.node.insert(at + 1, helper.make_node("Div", ["pads", "one"], ["told late"]))
    model.graph.node.insert(at + 2, helper.make_node("Pad", ["input", "told late"], ["huge"]))
    small = helper.make_tensor_value_info("huge", TensorProto.FLOAT, ["N", 3, 8, 8])
    model.graph.value_info.append(small)


def ends(kind: str, values: list[int], **attributes: int) -> object:
    """Another node, with a constant, gives the probabilities."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.node[-1].output[0] = "before"
        model.graph.initializer.append(numpy_helper.from_array(np.array(values), "last"))
        node = helper.make_node(kind, ["before", "last"], ["probabilities"], **attributes)
        model.graph.node.append(node)

    return change


def foreign(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def says(**values: object) -> object:
    def change(model: onnx.ModelProto) -> None:
        said = json.loads(model.metadata_props[0].value) | values
        model.metadata_props[0].value = json.dumps(said)

    return change


def renamed(model: onnx.ModelProto) -> None:
    model.graph.node[-1].domain = "com.example"


def functions(model: onnx.ModelProto) -> None:
    model.functions.append(
        helper.make_function("here", "F", [], [], [], [helper.make_opsetid("", 20)])
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external, "keeps weights in other files"),
        (external_attribute, "keeps weights in other files|asks for|is damaged"),
        (loops, "asks for the operator 'Loop': it is not run here"),
        (explodes, "would hold [0-9,]+ values"),
        (hides, "nobody can tell how many values huge would hold"),
        (ends("Gather", [0, 1, 2], axis=1), "is damaged: it gives 3 probabilities"),
        (foreign, "was not written by striate export"),
        (renamed, "asks for the operator"),
        (functions, "holds functions"),
        (says(format=2), "is of format 2, and 1 is read here"),
        (says(classes=["a"]), "is damaged: it must take and give"),
        (says(classes=[1, 2, 3, 4, 5]), "its classes are no names"),
        (says(classes=None), "its metadata cannot be used"),
        (says(classes=[]), "its classes are no names"),
        (says(volume=[1e999, 10, 3]), "its metadata cannot be used"),
        (says(volume=[10, 10]), "its metadata cannot be used"),
        (says(volume=[10**9, 10**9, 3]), "takes pixels of"),
        (says(volume=[11, 10, 3]), "is damaged: it must take and give"),
        (says(preprocessing={}), "its metadata lack 'mean'"),
    ],
)
def test_hostile_onnx_files_are_refused(
    written: dict[str, Path], tmp_path: Path, change: object, message: str
) -> None:
    with pytest.raises(StriateError, match=message):
        open_predictor(changed(written["onnx"], tmp_path / "m.onnx", change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (ends("Reshape", [1, -1]), r"is damaged: it gives \(1, 10\) for 2 images"),
        (ends("Gather", [0, 1, 2, 3, 99], axis=1), "ONNX Runtime cannot compute the model"),
    ],
)
def test_a_file_that_does_other_than_it_says(
    written: dict[str, Path], tmp_path: Path, change: object, message: str
) -> None:
    """Which no shape tells: an error when it is asked, wherever that is."""
    path = changed(written["onnx"], tmp_path / "m.onnx", change)
    with pytest.raises(StriateError, match=message):
        predictor = open_predictor(path, engine="exact")
        predictor(np.zeros((2, *predictor.volume), np.uint8))


def test_torn_and_other_files_are_refused(written: dict[str, Path], tmp_path: Path) -> None:
    """Cut off anywhere, flipped, empty, of other programs: an error, never a crash."""
    content = written["onnx"].read_bytes()
    path = tmp_path / "m.onnx"
    chance = np.random.default_rng(0)
    cuts = [content[: int(each)] for each in chance.integers(0, len(content), 40)]
    for case in [b"", b"\0", b"PK\3\4", bytes(chance.bytes(500)), *cuts]:
        path.write_bytes(case)
        with pytest.raises(StriateError, match=r"m\.onnx"):
            open_predictor(path)
    for at in chance.integers(0, len(content), 40):
        flipped = bytearray(content)
        flipped[at] ^= 1 << int(chance.integers(8))
        path.write_bytes(flipped)
        try:
            read_onnx(path)
        except StriateError as reason:
            assert "m.onnx" in str(reason)
    with pytest.raises(StriateError, match=r"none\.onnx cannot be read: No such file"):
        open_predictor(tmp_path / "none.onnx")
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(StriateError, match="is not a file"):
        open_predictor(tmp_path / "pipe.onnx")


def test_damaged_safetensors_are_refused(written: dict[str, Path], tmp_path: Path) -> None:
    content = written["safetensors"].read_bytes()
    path = tmp_path / "m.safetensors"
    path.write_bytes(content[:-3])
    with pytest.raises(RunError, match="is damaged"):
        read_safetensors(path)
    torch.manual_seed(0)
    from safetensors.torch import save

    path.write_bytes(save({"a": torch.zeros(2)}))
    with pytest.raises(RunError, match="was not written by striate export"):
        read_safetensors(path)
