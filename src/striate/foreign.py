"""ONNX files, which anyone may have made: read whole, refused where they are none, run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG
from typing import Any

from striate.errors import StriateError

LARGEST = 2**31 - 1  # bytes: no larger message can be parsed
FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def content_of(path: Path, *, links: bool = True) -> bytes:
    """The bytes of a file that is one, not a pipe or a folder.

    Args:
        links: whether the name may be a link.

    Raises:
        StriateError: it cannot be read, or is too large.
    """
    try:
        flags = FLAGS | (0 if links else getattr(os, "O_NOFOLLOW", 0))
        with open(os.open(path, flags), "rb") as file:
            about = os.fstat(file.fileno())
            if not S_ISREG(about.st_mode) or (not links and about.st_nlink > 1):
                raise StriateError(f"{path} is not a file" if links else f"{path} is a link")
            if about.st_size > LARGEST:
                raise StriateError(f"{path} is larger than the 2 GiB that an ONNX file may have")
            return file.read(LARGEST)
    except (OSError, ValueError) as reason:  # ValueError: a null byte in the name
        said = getattr(reason, "strerror", None) or reason
        raise StriateError(f"{path} cannot be read: {said}") from None


def model_of(path: Path, content: bytes) -> Any:
    """The message that a file holds.

    Raises:
        StriateError: it holds none.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
        if not model.graph.node:
            raise ValueError("it holds no graph")
    except Exception as reason:  # protobuf's own errors have no common base
        raise StriateError(f"{path} is no ONNX file, or is cut off: {short(reason)}") from None
    return model


def nodes(graph: Any) -> Iterator[Any]:
    """The nodes of a graph, and of the graphs within them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from nodes(inner)


def tensors(graph: Any) -> Iterator[Any]:
    """All tensors that a graph holds, in whatever depth."""
    yield from graph.initializer
    sparse = list(graph.sparse_initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
            for inner in (attribute.g, *attribute.graphs):
                yield from tensors(inner)
    for each in sparse:
        yield from (each.values, each.indices)


def outside(tensor: Any) -> bool:
    """Whether its values are in another file."""
    return bool(tensor.data_location == type(tensor).EXTERNAL or tensor.external_data)


def session_of(content: bytes, threads: int) -> Any:
    """ONNX Runtime's session for a model.

    Raises:
        StriateError: it cannot compute it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what fails is raised
    options.enable_cpu_mem_arena = True
    try:
        return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    except Exception as reason:  # its own exceptions have no common base
        raise StriateError(f"ONNX Runtime cannot take the model: {short(reason)}") from None


def short(reason: Exception) -> str:
    """One line of what libraries say in many."""
    return " ".join(str(reason).split())[:300] or type(reason).__name__
