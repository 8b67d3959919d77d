"""What is said of a text that the grammar cannot take."""

from __future__ import annotations

import re

from lark.exceptions import UnexpectedEOF, UnexpectedInput

from striate.errors import NotationError, Place, Source
from striate.layers import JOINS, KINDS
from striate.layers.settings import settings_of

MOST_EXPECTED = 5
_JOINING = re.compile(rf"({'|'.join(JOINS)})\($", re.IGNORECASE)
OPTIONS = {name for kind in KINDS.values() for name in settings_of(kind)}

_FRIENDLY = {
    "NAME": "a name",
    "VOLUME": "a volume [HxWxD]",
    "REFERENCE": "a label such as `@x`",
    "INT": "a number",
    "REAL": "a number",
    "PAIR": "a number",
    "STAR": "`*`",
    "PLUS": "`+`",
    "MINUS": "`-`",
    "DIVIDE": "`/`",
    "HEAD": "`head`",
    "_OPEN": "`(`",
    "_BRACKET": "`(`",
    "_CLOSE": "`)`",
    "_DASH": "`-`",
    "_SLASH": "`/`",
    "_EQUALS": "`=`",
    "_COMMA": "`,`",
    "_COLON": "`:`",
    "_BAR": "`|`",
    "_FROM": "`from`",
}
_ITEM = {"NAME", "JOIN", "LABEL", "REFERENCE", "VOLUME", "_BRACKET"}


def _expected(terminals: set[str]) -> list[str]:
    """The hint that says what could stand here instead, where that is not almost anything."""
    wanted = ["a word"] if terminals >= {"NAME", "JOIN"} else []
    if wanted:
        terminals = terminals - _ITEM
    wanted += sorted({_FRIENDLY[each] for each in terminals if each in _FRIENDLY})
    wanted.sort(key=lambda each: each.startswith("`"))
    if len(wanted) > MOST_EXPECTED:
        return []
    return (
        [f"expected {' or '.join(filter(None, [', '.join(wanted[:-1]), wanted[-1]]))}"]
        if wanted
        else []
    )


def explain(source: Source, body: str, error: UnexpectedInput) -> NotationError:
    """The placed error for what lark did not expect, with what helps."""
    found_out = (getattr(error, name, None) for name in ("accepts", "expected", "allowed"))
    expected = set(next(filter(None, found_out), ()))
    at_end = isinstance(error, UnexpectedEOF) or getattr(error, "token", None) == ""
    start = len(body.rstrip()) if at_end else max(0, error.pos_in_stream or 0)
    place = Place(source, start, start + 1)
    if not body.strip():
        return NotationError("there is no network in the text", place, hints=_BEGIN)
    if at_end and "DEFINE" in expected:
        return NotationError("there is no network after the blocks", place, hints=_BEGIN)
    if at_end:
        message = "the text ends before the network does"
        return NotationError(message, place, hints=_expected(expected))
    found = re.match(r"[\w@]+|\[[^\[\]\n]*\]?|.", body[start:], re.DOTALL)
    token = found[0] if found else ""
    place = Place(source, start, start + len(token))
    if token[:1] == "[" and token[-1:] != "]":
        hint = "it opens and closes on one line, as in [32x32x3]"
        return NotationError("this volume is never closed", place, hints=[hint])
    if expected <= {"VOLUME", "DEFINE"}:
        return NotationError(
            "a network starts with its input volume", place, hints=_beginning(body[start:])
        )
    hints = _advice(token, body[:start], expected) or _expected(expected)
    return NotationError(f"{token[:40]!r} cannot stand here", place, hints=hints)


def _beginning(body: str) -> list[str]:
    """What helps a text that does not begin with its input volume."""
    if re.match(r"\w+\s*:", body):
        return ["front matter ends with a line of three dashes: ---"]
    return [_DEFINITION] if re.match(r"\w+\s*=", body) else _BEGIN


def _open_bracket(before: str) -> str:
    """The text up to and with the last bracket that is still open."""
    depth = 0
    for at in range(len(before) - 1, -1, -1):
        depth += {"(": 1, ")": -1}.get(before[at], 0)
        if depth == 1:
            return before[: at + 1]
    return ""


def _advice(token: str, before: str, expected: set[str]) -> list[str]:
    """What helps with some mistakes better than a list of what could stand there."""
    option = re.search(r"(\w+)\s*$", before)
    if token == "=" and option and option[1].lower() in OPTIONS:
        return [f"options stand in brackets that touch the word: conv3-16({option[1]}=...)"]
    if token == "=":
        return [_DEFINITION]
    if token in (",", ";") and _JOINING.search(_open_bracket(before)):
        return ["branches are separated by |"]
    if token in (",", ";") and "JOIN" in expected:
        return ["white space alone separates words"]
    if token == "." and re.search(r"[a-z_]-?\d+$", before, re.IGNORECASE):
        return ["a number with a point stands in brackets, as in dropout(0.5)"]
    if token == ":" and option:
        return [f"the colon touches the label: {option[1]}: relu"]
    if token == "|":
        *joins, last = (f"{kind}( ... | ... )" for kind in JOINS)
        joined = f"{', '.join(joins)} and {last}"
        return [f"only {joined} have branches; the bracket touches the word"]
    if token in ("-", "/") and before[-1:].isspace():
        return [f"{token!r} belongs to a word only where it touches it, as in conv3-64/2"]
    if token.lower() == "head":
        return ["heads follow the words of the network, as in: head aux from @x: fc-10"]
    if re.match(r"\d+[a-z_]", token, re.IGNORECASE):
        return ["white space alone separates words"]
    return []


_DEFINITION = "blocks are defined above the input volume: f(k, s=1) = conv3-k/s relu"
_BEGIN = ["such as: [32x32x3] conv5-16 relu maxpool2 fc-10 softmax"]
