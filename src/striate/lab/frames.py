"""What goes to the page: a header in JSON and arrays in bytes, in one frame.

4 bytes    the header's length, little-endian
header     {"topic": ..., "arrays": [{"name", "kind", "shape", "at"}], ...}; UTF-8, filled up with
           spaces so that the arrays begin at a multiple of 4
arrays     little-endian, each from its `at` (bytes after the header) on, a multiple of 4 too
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = {"uint8": "<u1", "int32": "<i4", "float32": "<f4"}


def frame(topic: str, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """A frame. Numbers that JSON has no word for (NaN, infinities) become null.

    Raises:
        ValueError: an array is of another kind than KINDS.
    """
    parts, told, at = [], [], 0
    for name, array in arrays.items():
        kind = str(array.dtype)
        if kind not in KINDS:
            raise ValueError(f"{name} is of {kind}: a frame holds {', '.join(KINDS)}")
        content = np.ascontiguousarray(array, KINDS[kind]).tobytes()
        told.append({"name": name, "kind": kind, "shape": list(array.shape), "at": at})
        parts.append(content + bytes(-len(content) % 4))
        at += len(parts[-1])
    header = json.dumps(
        {"topic": topic, **_finite(about), "arrays": told}, allow_nan=False
    ).encode()
    header += b" " * (-len(header) % 4)
    return b"".join([len(header).to_bytes(4, "little"), header, *parts])


def unframed(content: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and the arrays of a frame."""
    end, header = 4 + int.from_bytes(content[:4], "little"), _header(content)
    arrays = {}
    for each in header["arrays"]:
        kind = np.dtype(KINDS[each["kind"]])
        count = int(np.prod(each["shape"], dtype=np.int64))
        flat = np.frombuffer(content, kind, count, end + each["at"])
        arrays[each["name"]] = flat.reshape(each["shape"])
    return header, arrays


def topic_of(content: bytes) -> str:
    """The topic of a frame."""
    return str(_header(content)["topic"])


def _header(content: bytes) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(content[4 : 4 + int.from_bytes(content[:4], "little")])
    return header


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
