"""Text to Script: what can be told before parsing, then lark's grammar, then the reader."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources

from lark import Lark
from lark.exceptions import UnexpectedInput

from striate.errors import NotationError, Place, Source, TooLarge
from striate.layers.volume import Volume
from striate.notation.reader import Reader
from striate.notation.syntax import explain
from striate.tree import Script

LONGEST_TEXT = 250_000
LONGEST_WORD = 80
DEEPEST_NESTING = 40


@lru_cache(maxsize=1)
def _parser() -> Lark:
    grammar = resources.files(__package__).joinpath("grammar.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=True)


def read_script(source: Source) -> Script:
    """The script that a text writes.

    Raises:
        NotationError: the text is not in the notation; the error names line and column.
    """
    if len(source.text) > LONGEST_TEXT:
        size = f"{len(source.text):,} characters, at most {LONGEST_TEXT:,}"
        raise TooLarge("the text is too long", Place(source, 0, 1), size)
    front, body = _split_front(source)
    body = re.sub(r"#[^\n]*", lambda found: " " * len(found[0]), body)
    if long := re.search(rf"\w{{{LONGEST_WORD + 1},}}", body):
        place = Place(source, *long.span())
        raise TooLarge("the word is too long", place, f"at most {LONGEST_WORD} characters")
    _check_nesting(source, body)
    try:
        tree = _parser().parse(body)
    except UnexpectedInput as error:
        raise explain(source, body, error) from None
    return Reader(source).script(tree, front)


def read_volume(text: str) -> Volume:
    """`32x32x3`, with or without its square brackets.

    Raises:
        NotationError: it is no volume.
    """
    found = re.fullmatch(
        r"\s*\[?\s*(\d{1,9})\s*x\s*(\d{1,9})\s*x\s*(\d{1,9})\s*\]?\s*", text.lower()
    )
    if not found or not all(map(int, found.groups())):
        raise NotationError(
            f"{text!r} is no volume", hints=["a volume is written HxWxD, such as 32x32x3"]
        )
    return Volume(*map(int, found.groups()))


def _split_front(source: Source) -> tuple[tuple[tuple[str, str], ...], str]:
    """The front matter above the `---` line, and the text with it blanked out, places kept."""
    rule = re.search(r"^---[ \t\r]*$", source.text, re.MULTILINE)
    if not rule:
        return (), source.text
    front: dict[str, str] = {}
    for line in re.finditer(r"^[^\n]*\S[^\n]*$", source.text[: rule.start()], re.MULTILINE):
        place = Place(source, line.start(), line.end())
        key, colon, value = (part.strip() for part in line[0].partition(":"))
        if key.startswith("#"):
            continue
        if not (colon and value and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_ -]*", key)):
            raise NotationError("the front matter has lines of the form `key: value`", place)
        if key.lower() in front:
            raise NotationError(f"the front matter says {key.lower()} twice", place)
        front[key.lower()] = value
    return tuple(front.items()), re.sub(r"[^\n]", " ", source.text[: rule.end()]) + source.text[
        rule.end() :
    ]


def _check_nesting(source: Source, body: str) -> None:
    """Brackets close, and not too deep, so that nothing after this can run out of stack."""
    opened: list[int] = []
    for found in re.finditer(r"[()]", body):
        place = Place(source, *found.span())
        if found[0] == "(":
            opened.append(found.start())
            if len(opened) > DEEPEST_NESTING:
                raise TooLarge(f"brackets nest deeper than {DEEPEST_NESTING}", place)
        elif not opened:
            raise NotationError("this bracket closes nothing", place)
        else:
            opened.pop()
    if opened:
        place = Place(source, opened[-1], opened[-1] + 1)
        raise NotationError("this bracket is never closed", place)
