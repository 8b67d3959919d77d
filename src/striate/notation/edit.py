"""Changes to a script that keep it a script."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from striate.layers.volume import Volume
from striate.tree import Branches, Check, Item, Label, Repeat, Script, Sequence, Word


def without_checks(script: Script, input: Volume) -> Script:
    """The same words on another input volume. Checks are left out: they held for the old one."""
    return replace(
        script,
        input=input,
        body=_unchecked(script.body),
        blocks=tuple(replace(block, body=_inner(block.body)) for block in script.blocks),
        heads=tuple(replace(head, body=_inner(head.body)) for head in script.heads),
    )


# What may stand between the last layer with weights and the end, and changes no number of classes.
WEIGHTLESS = {"softmax", "relu", "dropout", "scale", "flatten", "avgpool", "maxpool", "id"}
WIDTH = {"fc": "units", "rbf": "units", "conv": "filters"}


def with_classes(script: Script, classes: int) -> Script | None:
    """The same words with a last layer, and last layers of heads, of so many units.

    None where a sequence does not end in a word with units, written out, and words without weights:
    where it ends in a block, a repeated group or branches.
    """
    body = _resized(script.body, classes)
    heads = [_resized(head.body, classes) for head in script.heads]
    if body is None or None in heads:
        return None
    resized = zip(script.heads, cast("list[Sequence]", heads), strict=True)
    new = tuple(replace(head, body=each) for head, each in resized)
    return replace(script, body=body, heads=new)


def _resized(items: Sequence, units: int) -> Sequence | None:
    """The checks after the layer held for the old number, and are left out."""
    for at in range(len(items) - 1, -1, -1):
        item = items[at]
        inner = item.item if isinstance(item, Label) else item
        if isinstance(inner, Check) or (isinstance(inner, Word) and inner.kind in WEIGHTLESS):
            continue
        if not isinstance(inner, Word) or inner.kind not in WIDTH:
            return None
        name = WIDTH[inner.kind]
        settings = tuple((key, units if key == name else old) for key, old in inner.settings)
        word: Any = replace(inner, settings=settings)
        new = replace(item, item=word) if isinstance(item, Label) else word
        return (*items[:at], new, *_unchecked(items[at + 1 :]))
    return None


def _unchecked(items: Sequence) -> Sequence:
    return tuple(_item(item) for item in items if not isinstance(item, Check))


def _inner(items: Sequence) -> Sequence:
    """The same for a sequence within brackets, which cannot be empty."""
    return _unchecked(items) or (Word("id"),)


def _item(item: Item) -> Item:
    match item:
        case Repeat():
            return replace(item, body=_inner(item.body))
        case Branches():
            return replace(item, branches=tuple(_inner(each) for each in item.branches))
        case Label():
            return replace(item, item=cast(Any, _item(item.item)))
        case _:
            return item
