"""A network recovered from an ONNX file; what it gives is compared with what the file gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from striate.data import Preparation
from striate.errors import StriateError
from striate.foreign import session_of, short
from striate.layers import Volume
from striate.network import Network
from striate.recover.onnx.beginning import Beginning, begun
from striate.recover.onnx.calls import Live, read
from striate.recover.onnx.naming import Naming
from striate.recover.onnx.opening import Array, Opened, opened
from striate.recover.onnx.patterns import fused
from striate.recover.onnx.tracing import KEPT, OnnxTracer
from striate.recover.recovery import Recovered, rebuilt
from striate.recover.values import FLAT, LAST, Value

PRODUCER = "striate"


def recovered_file(path: Path, input: Volume | None = None) -> Recovered:
    """The network of an ONNX file.

    Args:
        input: the volume of an image; by default what the file says, else 224x224x3.

    Raises:
        StriateError: it is no ONNX file, or damaged; it refers to what is outside its folder; it
            is quantised, takes several inputs, or gives no volume.
    """
    file = opened(path)
    live, start = begun(file, input)
    naming = Naming(file.model.producer_name == PRODUCER)
    calls = fused(replace(live, calls=start.calls))
    tracer = OnnxTracer(live, calls, start, naming)
    try:
        graph, given = tracer.run()
        learned = _learned(tracer, start)
        tensors = {name: _tensor(live.arrays[name]) for name in _used(tracer) | learned}
        answers = _answers(live, start, given)
        found = rebuilt(graph, tensors, learned, answers, {"name": _title(path)})
    except RecursionError:
        raise StriateError(f"{path} is nested too deeply to be written down") from None
    aside = (*found.aside, *start.said(), *_shared(tracer), *_left(file.others))
    return replace(found, aside=aside, preparation=_preparation(file, found.network))


def _preparation(file: Opened, network: Network) -> Preparation | None:
    """Of images, where `striate export` wrote the file, whose graph begins with it."""
    from striate.ship.about import KEY, understood  # the room above wrote such files

    said = {each.key: each.value for each in file.model.metadata_props}
    if KEY not in said:
        return None
    about = understood(said[KEY], str(file.path))
    depth = about.volume.depth
    return None if about.mean_image or depth != network.input.depth else about.preparation(network)


def _title(path: Path) -> str:
    return "".join(each if each.isprintable() else "_" for each in path.name).strip() or "network"


def _shared(tracer: OnnxTracer) -> list[str]:
    several = [name for name, times in tracer.shared.items() if times > 1]
    if not several:
        return []
    names = ", ".join(several[:3]) + (" ..." if len(several) > 3 else "")
    return [
        f"{len(several)} tensors are read by several layers, each of which has its own: {names}"
    ]


def _left(others: tuple[str, ...]) -> list[str]:
    return [f"left out: the further outputs {', '.join(others[:5])}"] if others else []


def _used(tracer: OnnxTracer) -> set[str]:
    return {name for node in tracer.nodes.values() for name in node.used}


def _learned(tracer: OnnxTracer, start: Beginning) -> set[str]:
    """What was learned: what layers read, what is in the place of some, and what nothing reads."""
    live = tracer.live
    weights = [each for node in tracer.nodes.values() for each in node.weights.items()]
    kept = {each.name for name, each in weights if name in KEPT}
    met = {name for call in live.calls for name in read(call)} | set(start.read)
    origins = {each for name in met for each in live.origins.get(name, ())}
    others = _used(tracer) | (live.file.arrays.keys() - origins)
    return {each.name for name, each in weights if name not in KEPT} | {
        name for name in others - kept if _several(live.arrays[name])
    }


def _several(array: Array) -> bool:
    return array.size > 1 and (array.dtype.kind == "f" or array.dtype.name == "bfloat16")


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32))


# -- what the file gives


def _answers(live: Live, start: Beginning, given: Value) -> Callable[[Tensor], Tensor]:
    """The file itself, from the network's input on."""

    def answers(images: Tensor) -> Tensor:
        pixels = images.permute(0, 2, 3, 1) if start.value.order == LAST else images
        pixels = pixels.flatten(1) if start.value.order == FLAT else pixels
        kind = live.types[start.name]
        assert kind is not None
        wanted = helper.tensor_dtype_to_np_dtype(kind.tensor_type.elem_type)
        run = _runner(live.file.path, _cut(live, start))
        batch = (live.shape(start.name) or (1,))[0]
        found = []
        for part in np.split(pixels.contiguous().numpy().astype(wanted), len(images)):
            whole = np.repeat(part, batch, axis=0)
            found.append(np.asarray(run({start.name: whole})[0][:1], np.float32))
        scores = torch.from_numpy(np.concatenate(found))
        return scores.permute(0, 3, 1, 2) if given.order == LAST else scores

    return answers


def _cut(live: Live, start: Beginning) -> bytes:
    """The file without what comes before the network's input, and without what it does not need."""
    nodes = [call.node for call in start.calls]
    names = dict.fromkeys(name for call in start.calls for name in read(call))
    constants = [
        numpy_helper.from_array(np.ascontiguousarray(live.arrays[name]), name)
        for name in names
        if name in live.arrays
    ]
    ends = {name: live.types[name] for name in (start.name, live.file.output)}
    input, output = (helper.make_value_info(name, kind) for name, kind in ends.items() if kind)
    graph = helper.make_graph(nodes, "cut", [input], [output], constants)
    whole = live.file.model
    model = helper.make_model(
        graph, opset_imports=list(whole.opset_import), ir_version=max(4, whole.ir_version)
    )
    content: bytes = model.SerializeToString()
    return content


def _runner(path: Path, content: bytes) -> Callable[[dict[str, Any]], list[Any]]:
    """By ONNX Runtime, or where there is none by onnx itself."""
    runner: Any
    if find_spec("onnxruntime"):
        runner = session_of(content, torch.get_num_threads())
    else:
        from onnx.reference import ReferenceEvaluator

        runner = ReferenceEvaluator(onnx.load_model_from_string(content))

    def run(given: dict[str, Any]) -> list[Any]:
        try:
            return list(runner.run(None, given))
        except Exception as reason:  # their own exceptions have no common base
            raise StriateError(f"{path} does not run: {short(reason)}") from None

    return run
