"""Training curves in a terminal: braille dots, two across and four down in each character."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from rich.text import Text

from striate.records import Evaluated, Record, Started, Stepped

BRAILLE = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # [down][across] a character
GAP = 3
SMALLEST = 1e-6  # of a logarithmic scale; float32's cross-entropy may well be 0


def curve(records: Iterable[Record], width: int = 80, height: int = 9) -> Text:
    """The training loss and the validation error of a run over its epochs, side by side.

    Args:
        width: in characters, at least 40; it looks best from 60 to 100.
        height: of the plots, in characters; odd, so that there is a middle.

    The loss has a logarithmic scale; steps that share a column of dots are averaged.
    """
    epochs, steps = 1, 1
    losses, errors = [], []
    for record in records:
        match record:
            case Started():
                epochs, steps = record.epochs, record.steps_per_epoch
            case Stepped():
                losses.append((record.step / steps, record.loss))
            case Evaluated(split="validation"):
                errors.append((float(record.epoch), 100 * record.score.top1_error))
    size = (width - GAP) // 2, height
    left = _Panel("training loss", "cyan", losses, epochs, logarithmic=True).lines(*size)
    right = _Panel("validation error, %", "magenta", errors, epochs).lines(*size)
    return Text("\n").join(Text.assemble(a, " " * GAP, b) for a, b in zip(left, right, strict=True))


@dataclass(frozen=True)
class _Panel:
    """One plot of points (epoch, value) in order."""

    title: str
    colour: str
    points: Sequence[tuple[float, float]]
    epochs: int
    logarithmic: bool = False

    def lines(self, width: int, height: int) -> list[Text]:
        if not self.points:
            return [Text(self.title.ljust(width), "bold"), *[Text(" " * width)] * (height + 2)]
        heights = [self._scaled(value) for _, value in self.points]
        top = max(heights)
        bottom = min(heights) if self.logarithmic else 0.0
        span = (top - bottom) or 1.0
        marks = {
            row: f"{self._value(bottom + span * (1 - row / (height - 1))):.3g}"
            for row in (0, height // 2, height - 1)
        }
        margin = max(map(len, marks.values()))
        across, down = 2 * (width - margin - 2), 4 * height

        # Dots are counted from the top left; each column holds the mean of its points.
        def column(point: tuple[float, float]) -> int:
            return round(point[0] / self.epochs * (across - 1))

        trace = []
        for x, group in groupby(self.points, key=column):
            values = [self._scaled(value) for _, value in group]
            trace.append((x, (top - sum(values) / len(values)) / span * (down - 1)))
        cells = [[BRAILLE] * (across // 2) for _ in range(height)]
        for x, y in _joined(trace):
            cells[y // 4][x // 2] |= DOTS[y % 4][x % 2]

        end = f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}"
        below = f"0{end:>{width - margin - 3}}"
        plot = [
            Text.assemble(
                (f"{marks.get(row, ''):>{margin}} {'┤' if row in marks else '│'}", "dim"),
                ("".join(chr(cell) if cell > BRAILLE else " " for cell in line), self.colour),
            )
            for row, line in enumerate(cells)
        ]
        title = Text.assemble((self.title, "bold"), (f" → {self.points[-1][1]:.3g}", "dim"))
        title.truncate(width, pad=True)
        axis = Text(f"{' ' * margin} └{'─' * (width - margin - 2)}", "dim")
        return [title, *plot, axis, Text(f"{' ' * margin}  {below}", "dim")]

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, SMALLEST)) if self.logarithmic else value

    def _value(self, scaled: float) -> float:
        return 10**scaled if self.logarithmic else scaled


def _joined(trace: Sequence[tuple[int, float]]) -> Iterable[tuple[int, int]]:
    """Whole dots along the straight lines between points whose columns grow."""
    yield trace[0][0], round(trace[0][1])
    for (x, y), (next_x, next_y) in pairwise(trace):
        steps = max(next_x - x, math.ceil(abs(next_y - y)), 1)
        for step in range(1, steps + 1):
            part = step / steps
            yield round(x + (next_x - x) * part), round(y + (next_y - y) * part)
