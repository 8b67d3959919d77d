"""Within which modules an ONNX node is computed, as far as its file says so.

PyTorch's older exporter writes modules into a node's name, its newer one lists them with their
classes; our own names are those of a network's steps. Where a file names no classes, modules whose
parts have the same names are taken for one class, a block.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from striate.layers import JOINS

SCOPES = "pkg.torch.onnx.name_scopes"
CLASSES = "pkg.torch.onnx.class_hierarchy"
LONGEST = 10_000  # characters of such a list
ALIKE = 0.5  # of the parts of two modules of one class: how many are in both
MOST = 500  # kinds of modules; published ConvNets come to some ten
STRUCTURE = frozenset([*JOINS, "branch", "head"])  # of our own names: what are no blocks

Path = tuple[str, ...]


class Naming:
    """The paths of nodes, and what each module on them is."""

    def __init__(self, ours: bool) -> None:
        self.ours = ours
        self.classes: dict[str, str] = {}
        self.parts: dict[str, set[str]] = {}

    def path(self, node: Any) -> Path:
        """The modules around a node, outermost first, each by all names that lead to it."""
        said = {each.key: each.value for each in node.metadata_props}
        if SCOPES in said and CLASSES in said:
            return self._listed(_words(said[SCOPES]), _words(said[CLASSES]))
        if self.ours:
            return self._of_step(node.name)
        if node.name.startswith("/"):
            return self._scoped(node.name)
        return ()

    def _listed(self, scopes: Sequence[str], classes: Sequence[str]) -> Path:
        pairs = list(zip(scopes, classes, strict=False))[:-1]
        named = {scope: kind.rpartition(".")[2] for scope, kind in pairs if scope}
        self.classes |= named
        return tuple(named)

    def _of_step(self, name: str) -> Path:
        """`basic3.add1.branch1.conv2`: a call of a block, and where in it."""
        parts = name.split("/")[0].split(".")[:-1]
        path = tuple(".".join(parts[: n + 1]) for n in range(len(parts)))
        for module, part in zip(path, parts, strict=True):
            kind = part.rstrip("0123456789")
            self.classes[module] = "" if kind in STRUCTURE else kind
        return path

    def _scoped(self, name: str) -> Path:
        """`/layer1/layer1.0/conv1/Conv`."""
        parts = name.split("/")[1:]
        path = tuple("/".join(parts[: n + 1]).replace("/", ".") for n in range(len(parts) - 1))
        for n, module in enumerate(path):
            self.parts.setdefault(module, set()).add(parts[n + 1].removeprefix(f"{parts[n]}."))
        return path

    def kinds(self) -> dict[str, str]:
        """The class of each module; blocks by number where classes have no names."""
        return {module: f"{n}Block" for module, n in _alike(self.parts).items()} | self.classes


def _words(text: str) -> list[str]:
    """What a list of strings in Python's notation holds."""
    return re.findall(r"'([^']*)'", text[:LONGEST])


def _alike(parts: Mapping[str, set[str]]) -> dict[str, int]:
    """A number for the class of each module; none for plain sequences, whose parts are numbered."""
    classes: list[frozenset[str]] = []
    found: dict[frozenset[str], int] = {}
    kinds = {frozenset(each) for each in parts.values()}
    if len(kinds) > MOST:
        return {}
    for kind in sorted(kinds, key=lambda kind: (-len(kind), sorted(kind))):
        if _numbered(kind):
            continue
        best = max(classes, key=lambda other: len(kind & other) / len(kind | other), default=kind)
        if len(kind & best) < ALIKE * len(kind | best) or not classes:
            classes.append(best := kind)
        found[kind] = classes.index(best)
    return {
        module: found[kind] for module, each in parts.items() if (kind := frozenset(each)) in found
    }


def _numbered(parts: Iterable[str]) -> bool:
    return all(each.isdecimal() for each in parts)
