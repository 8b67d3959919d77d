"""The formats that a model leaves in: how each is written, and read back to be compared."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from striate.errors import RunError
from striate.fast.fold import folded
from striate.foreign import session_of
from striate.network import Network
from striate.ship.about import KEY, understood, written
from striate.ship.engines import PIXELS, PROBABILITIES, SCORES, require
from striate.ship.model import Model, Whole
from striate.storage import read_tensors, write, write_tensors

Answers = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Probabilities and scores, each (N, K)."""
Pixels = NDArray[np.uint8]
"""(N, H, W, D)"""
Answer = Callable[[Sequence[Pixels]], list[Answers]]
"""Batches of pixels to what is said of each."""

EXPORTED = "model"  # in what a safetensors file says: the network and the preparation
PREPARATION = "preparation."  # how names of tensors that are no weights begin
MEAN_IMAGE = f"{PREPARATION}mean_image"  # among those of a safetensors file
SHIFT = f"{PREPARATION}shift"  # the same in levels, among those beside a Python file
SLOWEST = 600  # seconds that a process may take to answer

# What a fresh process does with a written file of Python: it answers for pixels.
ANSWER = """
import importlib.util, sys, torch
from safetensors.torch import load_file, save_file
spec = importlib.util.spec_from_file_location("exported", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
classifier = module.load()
made = {}
with torch.inference_mode():
    for name, pixels in load_file(sys.argv[2]).items():
        probabilities, scores = classifier(pixels)
        made[name + "probabilities"], made[name + "scores"] = probabilities, scores.contiguous()
assert not any(name.split(".")[0] == "striate" for name in sys.modules), "it needs striate"
save_file(made, sys.argv[3])
"""


class Format(NamedTuple):
    """A way to leave.

    Attributes:
        suffix: of the file's name.
        write: writes a model's file, and what lies beside it.
        answer: reads the file as another program would.
        folded: whether batch normalisation became part of the layers before it.
    """

    suffix: str
    write: Callable[[Model, Path], None]
    answer: Callable[[Path], Answer]
    folded: bool


def _write_onnx(model: Model, path: Path) -> None:
    require("onnxruntime")
    from striate.ship.onnx_graph import to_onnx

    write(path, to_onnx(model, written(model)))


def _answer_onnx(path: Path) -> Answer:
    """By ONNX Runtime, after the checks that any file goes through."""
    from striate.ship.onnx_file import read_onnx

    session = session_of(read_onnx(path).content, torch.get_num_threads())

    return lambda batches: [
        tuple(session.run([PROBABILITIES, SCORES], {PIXELS: pixels})) for pixels in batches
    ]


def _write_torch(model: Model, path: Path) -> None:
    """By torch.export: a graph of PyTorch's operations, which knows no striate."""
    height, width, depth = model.volume
    pixels = torch.zeros(2, height, width, depth, dtype=torch.uint8)
    sizes = {"pixels": {0: torch.export.Dim("N", min=1)}}
    with torch.no_grad():
        whole = Whole(model, folded(model.module))
        program = torch.export.export(whole, (pixels,), dynamic_shapes=sizes)
        torch.export.save(program, path, extra_files={f"{KEY}.json": written(model)})


def _answer_torch(path: Path) -> Answer:
    return answer_of(torch.export.load(path).module())


def _write_safetensors(model: Model, path: Path) -> None:
    tensors = dict(model.module.state_dict())
    if (image := model.preparation.mean_image) is not None:
        tensors[MEAN_IMAGE] = torch.from_numpy(image)
    write_tensors(path, tensors, {EXPORTED: written(model)})


def _answer_safetensors(path: Path) -> Answer:
    """From what stands in the file alone."""
    return answer_of(Whole(read_safetensors(path)))


def read_safetensors(path: Path) -> Model:
    """The model that `striate export --to safetensors` wrote.

    Raises:
        RunError: it is none, or is damaged.
    """
    tensors, said = read_tensors(path)
    if EXPORTED not in said:
        raise RunError(f"{path} was not written by striate export: it names no network")
    return model_from(tensors, said[EXPORTED], str(path))


def model_from(tensors: Mapping[str, torch.Tensor], said: str, path: str) -> Model:
    """The model of such a file's tensors, or of those beside an exported Python file.

    Args:
        said: what its metadata have under EXPORTED.
        path: how an error names the file.

    Raises:
        StriateError: they do not belong together.
    """
    about = understood(said, path)
    network = Network.parse(about.network, path)
    weights = {name: each for name, each in tensors.items() if not name.startswith(PREPARATION)}
    image = tensors[SHIFT] / 255 if SHIFT in tensors else tensors.get(MEAN_IMAGE)
    if about.mean_image and image is None:
        raise RunError(f"{path} lacks its mean image")
    preparation = about.preparation(
        network, image.numpy() if about.mean_image and image is not None else None
    )
    with torch.random.fork_rng(devices=[]):
        module = network.build()
    try:
        module.load_state_dict(weights)
    except RuntimeError as reason:
        raise RunError(f"{path} is of another network: {' '.join(str(reason).split())}") from None
    return Model(about.name, network, module.eval(), preparation, about.classes, about.volume)


def _write_python(model: Model, path: Path) -> None:
    from striate.ship.python_source import BESIDE, to_python

    beside = path.with_suffix(BESIDE)
    source = to_python(model, beside.name)
    write(path, source.text.encode("utf-8", "replace"))
    write_tensors(beside, source.tensors, {EXPORTED: written(model)})


def _answer_python(path: Path) -> Answer:
    """In a fresh process, which does not find striate through PYTHONPATH and must not load it."""

    def answer(batches: Sequence[Pixels]) -> list[Answers]:
        with TemporaryDirectory() as folder:
            given, made = Path(folder, "given"), Path(folder, "made")
            save_file({f"{at}": torch.from_numpy(each) for at, each in enumerate(batches)}, given)
            command = [sys.executable, "-IB", "-c", ANSWER, str(path), str(given), str(made)]
            try:
                ran = subprocess.run(command, capture_output=True, text=True, timeout=SLOWEST)
            except subprocess.TimeoutExpired:
                raise RunError(f"{path.name} does not answer within {SLOWEST} s") from None
            if ran.returncode:
                said = ran.stderr.strip().splitlines()[-1:] or ["it ended without a word"]
                raise RunError(f"{path.name} does not run: {said[0]}")
            found = {name: each.numpy() for name, each in load_file(made).items()}
        return [
            (found[f"{at}{PROBABILITIES}"], found[f"{at}{SCORES}"]) for at in range(len(batches))
        ]

    return answer


def answer_of(module: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]) -> Answer:
    """What a module of PyTorch says, without gradients."""

    def answer(batches: Sequence[Pixels]) -> list[Answers]:
        with torch.inference_mode():
            said = [module(torch.from_numpy(pixels)) for pixels in batches]
        return [(probabilities.numpy(), scores.numpy()) for probabilities, scores in said]

    return answer


FORMATS: dict[str, Format] = {
    "onnx": Format(".onnx", _write_onnx, _answer_onnx, True),
    "torch": Format(".pt2", _write_torch, _answer_torch, True),
    "safetensors": Format(".safetensors", _write_safetensors, _answer_safetensors, False),
    "python": Format(".py", _write_python, _answer_python, False),
}
