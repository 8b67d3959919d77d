"""What the editor shows while somebody types: each word's numbers, or what is wrong and where."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from striate.account.ledger import total
from striate.errors import NotationError
from striate.network import Network

LONGEST = 100_000  # characters


@dataclass(frozen=True)
class Word:
    """A word of the text and what it comes to, summed over its repetitions and calls.

    Attributes:
        start, end: characters of the text.
        times: how many layers it makes.
        volume: of the last of them.
        parameters, macs: of all of them; None where one's are not known.
        field: the receptive field of its outputs, as 15x15; ? where it follows no pattern.
    """

    start: int
    end: int
    line: int
    layers: tuple[str, ...]
    times: int
    volume: str
    parameters: int | None
    macs: int | None
    field: str


def checked(text: str) -> dict[str, Any]:
    """The words and totals of a text, or its error: plain values for the page."""
    if len(text) > LONGEST:
        return {
            "error": {
                "message": f"a text of more than {LONGEST:,} characters",
                "start": 0,
                "end": 0,
            }
        }
    try:
        network = Network.parse(text, "network")
        return {"canonical": str(network), **_told(network)}
    except NotationError as error:
        return {"error": _error(error)}


def _told(network: Network) -> dict[str, Any]:
    account = network.account()
    every = [*account.rows, *(row for rows in account.heads.values() for row in rows)]
    rows = {row.name: row for row in every}
    words: dict[tuple[int, int], list[Any]] = {}
    for step in network.steps:
        if step.place is not None and step.name in rows:
            words.setdefault((step.place.start, step.place.end), []).append((step, rows[step.name]))
    found = []
    for (start, end), layers in sorted(words.items()):
        height, width = layers[-1][1].field.size
        field = "?" if height is None or width is None else f"{height}x{width}"
        found.append(
            Word(
                start,
                end,
                layers[0][0].place.line,
                tuple(step.name for step, _ in layers),
                len(layers),
                str(layers[-1][0].volume),
                total(row.parameters for _, row in layers),
                total(row.macs for _, row in layers),
                field,
            )
        )
    totals = account.totals
    return {
        "words": [asdict(word) for word in found],
        "totals": {"parameters": totals.parameters, "macs": totals.macs},
        "input": str(network.input),
        "output": str(network.output),
    }


def _error(error: NotationError) -> dict[str, Any]:
    place = error.place
    return {
        "message": error.message,
        "note": error.note,
        "hints": list(error.hints),
        "start": place.start if place else 0,
        "end": max(place.start + 1, place.end) if place else 0,
        "line": place.line if place else 1,
        "column": place.column if place else 1,
    }
