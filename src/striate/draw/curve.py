"""Training curves in a terminal: braille dots, two across and four down in each character."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from rich.text import Text

from striate.draw.history import History
from striate.records import Evaluated, Record, Started, Stepped

BRAILLE = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # [down][across] a character
GAP = 3  # between the plots
MARGIN = 7  # of a plot, for numbers such as 1.3e-05
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
    left = _Panel("training loss", "cyan", losses, epochs, logarithmic=True)
    return _side_by_side(
        [left, _Panel("validation error, %", "magenta", errors, epochs)], width, height
    )


def panels(
    history: History, what: Sequence[str] = ("loss", "error"), width: int = 80, height: int = 9
) -> Text:
    """The same of a run that was read, under its name.

    Args:
        what: `loss`, `error`, `rate`.
    """
    # A run whose recipe was changed may have gone farther than it says.
    reached = [epoch for points in (history.losses, history.errors) for epoch, _ in points]
    epochs = math.ceil(max([1, history.epochs, *reached]) - 1e-9)
    errors = [(epoch, 100 * error) for epoch, error in history.validation_errors]
    known = {
        "loss": _Panel("training loss", "cyan", history.losses, epochs, logarithmic=True),
        "error": _Panel("validation error, %", "magenta", errors, epochs),
        "rate": _Panel("learning rate", "green", history.rates, epochs),
    }
    drawn = _side_by_side([known[each] for each in what], width, height)
    return Text.assemble((history.name, "bold"), "\n", drawn)


def _side_by_side(panels: Sequence[_Panel], width: int, height: int) -> Text:
    size = (width - GAP * (len(panels) - 1)) // len(panels), height
    rows = zip(*(panel.lines(*size) for panel in panels), strict=True)
    return Text("\n").join(Text(" " * GAP).join(row) for row in rows)


@dataclass(frozen=True)
class _Panel:
    """One plot of points (epoch, value), in the order of their epochs."""

    title: str
    colour: str
    points: Sequence[tuple[float, float]]
    epochs: int
    logarithmic: bool = False

    def lines(self, width: int, height: int) -> list[Text]:
        """A title, `height` lines of dots, and an axis of two lines, each `width` characters."""
        columns = width - MARGIN - 2
        trace = self._means(2 * columns)
        if not trace:
            return [Text(self.title.ljust(width), "bold"), *[Text(" " * width)] * (height + 2)]
        scaled = [self._scaled(value) for _, value in trace]
        top, bottom = max(scaled), min(scaled) if self.logarithmic else 0.0
        span = (top - bottom) or 1.0
        dots = [(top - value) / span * (4 * height - 1) for value in scaled]
        cells = [[BRAILLE] * columns for _ in range(height)]
        for x, y in _joined([(x, dot) for (x, _), dot in zip(trace, dots, strict=True)]):
            cells[y // 4][x // 2] |= DOTS[y % 4][x % 2]

        title = Text.assemble((self.title, "bold"), (f" → {_number(trace[-1][1])}", "dim"))
        title.truncate(width, pad=True)
        drawn = [title]
        for row, line in enumerate(cells):
            value = self._value(bottom + span * (1 - row / (height - 1)))
            marked = row in (0, height // 2, height - 1)
            margin = f"{_number(value):>{MARGIN}} ┤" if marked else f"{'':{MARGIN}} │"
            braille = "".join(chr(cell) if cell > BRAILLE else " " for cell in line)
            drawn.append(Text.assemble((margin, "dim"), (braille, self.colour)))
        end = f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}"
        drawn.append(Text(f"{'':{MARGIN}} └{'─' * columns}", "dim"))
        drawn.append(Text(f"{'':{MARGIN}}  0{end:>{columns - 1}}", "dim"))
        return drawn

    def _means(self, across: int) -> list[tuple[int, float]]:
        """The mean value in each column of dots that has a point."""

        def column(point: tuple[float, float]) -> int:
            return round(point[0] / self.epochs * (across - 1))

        grouped = [(x, [value for _, value in group]) for x, group in groupby(self.points, column)]
        return [(x, sum(values) / len(values)) for x, values in grouped]

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, SMALLEST)) if self.logarithmic else value

    def _value(self, scaled: float) -> float:
        return 10**scaled if self.logarithmic else scaled


def _number(value: float) -> str:
    return f"{value:.3g}" if value >= 1 else f"{value:.2g}"  # at most MARGIN characters


def _joined(trace: Sequence[tuple[int, float]]) -> Iterable[tuple[int, int]]:
    """Whole dots along the straight lines between points whose columns grow."""
    yield trace[0][0], round(trace[0][1])
    for (x, y), (next_x, next_y) in pairwise(trace):
        steps = max(next_x - x, math.ceil(abs(next_y - y)), 1)
        for step in range(1, steps + 1):
            part = step / steps
            yield round(x + (next_x - x) * part), round(y + (next_y - y) * part)
