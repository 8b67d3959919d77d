"""Script to canonical text. Reading that text gives the same script."""

from __future__ import annotations

import re
import textwrap
from dataclasses import MISSING
from functools import lru_cache
from typing import Any

from striate.layers import KINDS, Pair
from striate.layers.settings import Choice, form_of, settings_of
from striate.tree import (
    Block,
    Branches,
    Call,
    Check,
    Head,
    Item,
    Label,
    Name,
    Number,
    Operation,
    Reference,
    Repeat,
    Script,
    Sequence,
    Word,
)

WIDTH = 96
TIED = "\N{NO-BREAK SPACE}"


def write_script(script: Script) -> str:
    """The canonical text: front matter, blocks, then the words, a line broken after each check."""
    write = _Writer({each.name: each for each in script.blocks})
    front = "".join(f"{key}: {value}\n" for key, value in script.front)
    blocks = "".join(f"{write.block(each)}\n" for each in script.blocks)
    network = "".join(f"{line}\n" for line in (f"[{script.input}]", *write.lines(script.body)))
    heads = "".join(f"{write.head(each)}\n" for each in script.heads)
    parts = (f"{front}---\n" if front else "", blocks, network, heads)
    return parts[0] + "\n".join(part for part in parts[1:] if part)


def write_item(item: Item) -> str:
    """One item by itself, as it is shown in messages."""
    return _Writer({}).item(item)


def _fold(line: str) -> str:
    """The line on several, where it is long; never broken inside a word's brackets."""
    kept = re.sub(r"(?<=[\w)])\([^()|]*\)", lambda found: found[0].replace(" ", TIED), line)
    wrapped = textwrap.wrap(kept, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n    ".join(wrapped).replace(TIED, " ")


class _Writer:
    """Knows the blocks, to write the arguments that a call must have by position."""

    def __init__(self, blocks: dict[str, Block]) -> None:
        self.blocks = blocks

    def lines(self, body: Sequence) -> list[str]:
        """Words up to and with the next check on a line of their own."""
        lines, line = [], ""
        for item in body:
            line = f"{line} {self.item(item)}".lstrip()
            if isinstance(item, Check):
                lines.append(line)
                line = ""
        return [_fold(each) for each in [*lines, line] if each]

    def block(self, block: Block) -> str:
        parameters = ", ".join(
            each.name if each.default is None else f"{each.name}={each.default}"
            for each in block.parameters
        )
        return _fold(f"{block.name}({parameters}) = {self.sequence(block.body)}")

    def head(self, head: Head) -> str:
        return _fold(f"head {head.name} from @{head.label}: {self.sequence(head.body)}")

    def sequence(self, items: Sequence) -> str:
        return " ".join(self.item(item) for item in items)

    def item(self, item: Item) -> str:
        match item:
            case Word():
                return write_word(item)
            case Call(block, arguments):
                return f"{block}({', '.join(self.argument(block, *each) for each in arguments)})"
            case Repeat(body, times):
                bare = len(body) == 1 and isinstance(body[0], Word | Call | Branches) and times != 1
                if bare and not isinstance(times, int) and isinstance(body[0], Word):
                    bare = "-" not in write_word(body[0])  # conv1-4*k could mean conv1-(4*k)
                inner = self.sequence(body) if bare else f"({self.sequence(body)})"
                return inner if times == 1 else f"{inner}*{_amount(times)}"
            case Branches(kind, branches):
                return f"{kind}( {' | '.join(map(self.sequence, branches))} )"
            case Check(volume):
                return f"[{volume}]"
            case Label(name, inner):
                return f"{name}: {self.item(inner)}"
            case Reference(name):
                return f"@{name}"

    def argument(self, block: str, name: str, value: Number) -> str:
        """By position where the block has no default for it, which every call must give."""
        known = self.blocks.get(block)
        required = known and any(
            each.name == name and each.default is None for each in known.parameters
        )
        leads = known and all(
            each.default is None for each in known.parameters[: _position(known, name)]
        )
        return str(value) if required and leads else f"{name}={value}"


def _position(block: Block, name: str) -> int:
    return [each.name for each in block.parameters].index(name)


def _amount(number: Number) -> str:
    return f"({number})" if isinstance(number, Operation) else str(number)


@lru_cache(maxsize=4096)
def write_word(word: Word) -> str:
    """`conv3-64/2(pad=1)`: kernel, units, stride, then the options in the kind's order."""
    given = dict(word.settings)
    kernel = units = stride = ""
    options: list[str] = []
    for name, each in settings_of(KINDS[word.kind]).items():
        if name not in given:
            continue
        value, role = given[name], each.metadata["role"]
        if role == "kernel" and not isinstance(value, Name | Operation):
            kernel = str(value)
        elif role == "units":
            units = f"-{_amount(value)}"
        elif role == "stride":
            stride = f"/{_amount(value)}"
        else:
            options.append(_option(name, each, value, len(options)))
    brackets = f"({', '.join(options)})" if options else ""
    return f"{word.kind}{kernel}{units}{stride}{brackets}"


def _option(name: str, each: Any, value: Any, before: int) -> str:
    """By position where it is the first, or where each before it is always there."""
    form = form_of(each)
    if isinstance(value, Name | Operation):
        return f"{name}={value}"
    if isinstance(form, Choice) and form.flags:
        return str(value)
    shown = str(value) if isinstance(value, Pair) else form.show(value)
    position = each.metadata["position"]
    unnamed = position == 0 or (position == before and each.default is MISSING)
    return shown if unnamed else f"{name}={shown}"
