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
