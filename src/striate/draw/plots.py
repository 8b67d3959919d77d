"""Curves of runs as charts, by matplotlib: no pyplot, and nothing of a person's own settings."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.draw.history import History, Points, averaged
from striate.errors import RunError, one_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by the colour-blind too (Okabe and Ito 2008); the yellow is too light for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
INK, FAINT, GRID = "#333333", "#767676", "#E4E4E4"
TEXT = 9  # points
LONGEST = 28  # characters of a label
SMALLEST = 1e-6  # on a logarithmic scale; float32's cross-entropy may well be 0
STEPWISE = {"losses": 80, "rates": 1000}  # points across a chart; a batch's loss is mostly noise
TRANSIENT = 0.2  # of a run; its errors may leave the chart at the top, for the rest to be readable


@dataclass(frozen=True)
class Panel:
    """A chart: the field of History that is drawn solid, the one that is dashed.

    Attributes:
        times: what a value is multiplied by.
        form: how a value is written.
        transient: the part of a run that does not stretch the scale.
    """

    title: str
    solid: str
    solid_name: str
    dashed: str = ""
    dashed_name: str = ""
    times: float = 1
    form: str = "{:.3g}"
    logarithmic: bool = False
    transient: float = 0


PANELS = {
    "loss": Panel(
        "Loss, nats", "validation_losses", "validation", "losses", "training", logarithmic=True
    ),
    "error": Panel(
        "Error, %",
        "validation_errors",
        "validation",
        "errors",
        "training, as images passed",
        times=100,
        form="{:.2f}%",
        transient=TRANSIENT,
    ),
    "rate": Panel("Learning rate", "rates", "rate"),
}


def curves(histories: Sequence[History], what: Sequence[str] = ("loss", "error")) -> Figure:
    """A chart for each of `what`, names of PANELS, with the curves of all runs.

    Losses of steps are averaged over 1/80 of the run. The error's scale starts at 0 and shows the
    last four fifths of the runs whole.

    Raises:
        RunError: matplotlib is not installed, or no run has anything to draw.
        StriateError: there is no such chart.
    """
    panels = [PANELS[one_of("curve", each, PANELS)] for each in what]
    drawn = figure(0.6 + 5.2 * len(panels), 3.6)
    for place, panel in enumerate(panels, 1):
        axes = drawn.add_subplot(1, len(panels), place)
        _draw(axes, panel, histories)
    return drawn


def _short(name: str) -> str:
    """The end of a long name: a label must leave room for the chart."""
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"


def _draw(axes: Axes, panel: Panel, histories: Sequence[History]) -> None:
    ends: list[tuple[float, str, str]] = []
    largest = last = 0.0
    for number, history in enumerate(histories):
        colour = COLOURS[number % len(COLOURS)]
        for field, name, style in (
            (panel.dashed, panel.dashed_name, "--"),
            (panel.solid, panel.solid_name, "-"),
        ):
            points = _points(history, field, panel) if field else ()
            if not points:
                continue
            xs, ys = zip(*points, strict=True)
            width, alpha = (1.8, 1.0) if style == "-" else (1.0, 0.75)
            (line,) = axes.plot(xs, ys, style, color=colour, linewidth=width, alpha=alpha)
            if len(points) == 1:
                line.set(marker="o", clip_on=False)
            last = max(last, xs[-1])
            largest = max([largest, *(y for x, y in points if x >= panel.transient * xs[-1])])
            if style == "-" or len(histories) == 1:
                said = name.partition(",")[0] if len(histories) == 1 else _short(history.name)
                ends.append((ys[-1], f"{said} {panel.form.format(ys[-1])}", colour))
    if not last:
        names = ", ".join(history.name for history in histories)
        raise RunError(f"there is no {panel.title.partition(',')[0].lower()} to draw in {names}")
    if panel.logarithmic:
        _logarithmic(axes)
    else:
        axes.set_ylim(0, 1.05 * largest or 1)
    axes.set_xlim(0, last)
    axes.locator_params(axis="x", integer=last >= 5)
    _plain(axes)
    axes.set_title(
        panel.title, loc="left", fontsize=TEXT + 2, color=INK, pad=20 if panel.dashed else 8
    )
    if panel.dashed:
        under = f"solid: {panel.solid_name}; dashed: {panel.dashed_name}"
        _note(axes, under, xy=(0, 1), offset=(0, 6), color=FAINT, va="bottom")
    axes.set_xlabel("epoch", fontsize=TEXT, color=FAINT)
    _label(axes, ends)


def _points(history: History, field: str, panel: Panel) -> Points:
    """The points to draw: those of steps averaged, those of epochs each."""
    points: Points = getattr(history, field)
    if field in STEPWISE:
        points = averaged(points, STEPWISE[field])
    least = SMALLEST if panel.logarithmic else 0.0
    return tuple((x, max(y * panel.times, least)) for x, y in points)


def _logarithmic(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    subs = (1.0, 2.0, 5.0) if high / low < 1000 else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _label(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Names at the ends of the lines, where the eye is, rather than in a legend."""
    to_axes = axes.transScale + axes.transLimits
    wanted = [float(to_axes.transform((0, value))[1]) for value, _, _ in ends]
    for y, (_, text, colour) in zip(spread(wanted, gap=0.06), ends, strict=True):
        _note(axes, text, xy=(1, y), offset=(6, 0), color=colour, va="center")


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Places from 0 to 1, at least `gap` apart as far as there is room, nearest to those wanted.

    They keep their order; of equal ones the first given comes lowest. Nearest by least squares:
    isotonic regression of what is wanted less the gaps below it.
    """
    gap = min(gap, 1 / max(1, len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda each: wanted[each])
    blocks: list[tuple[float, int]] = []  # means of neighbours that would be out of order, counts
    for number, each in enumerate(order):
        mean, count = wanted[each] - gap * number, 1
        while blocks and blocks[-1][0] > mean:
            below, more = blocks.pop()
            mean, count = (mean * count + below * more) / (count + more), count + more
        blocks.append((mean, count))
    top = 1 - gap * (len(wanted) - 1)
    flat = [min(max(mean, 0.0), top) for mean, count in blocks for _ in range(count)]
    placed = dict(zip(order, (y + gap * number for number, y in enumerate(flat)), strict=True))
    return [placed[each] for each in range(len(wanted))]


# -- what all charts share


def figure(width: float, height: float) -> Figure:
    """An empty figure, in inches.

    Raises:
        RunError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise RunError("charts need matplotlib: pip install 'striate[plots]'") from None
    return Figure(figsize=(width, height), dpi=160, layout="constrained", facecolor="white")


def image(drawn: Figure, kind: str = "png") -> bytes:
    """The figure as a file of this kind: png or svg."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # A class named in a script that the font lacks is drawn as boxes; that stops nothing.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        known = {"Date": None} if kind == "svg" else {"Software": None}  # the same bytes again
        drawn.savefig(file, format=kind, metadata=known)
    return file.getvalue()


def write(path: Path, content: bytes | str) -> None:
    """Write a file.

    Raises:
        RunError: it cannot be written.
    """
    try:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as reason:
        raise RunError(f"{path} cannot be written: {reason.strerror}") from None


def _plain(axes: Axes) -> None:
    """Horizontal lines to read values by, and no box."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(labelsize=TEXT, colors=FAINT, length=0)
    axes.tick_params(axis="x", length=3)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _note(
    axes: Axes, text: str, xy: tuple[float, float], offset: tuple[float, float], **style: Any
) -> None:
    axes.annotate(
        text,
        xy=xy,
        xytext=offset,
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=TEXT,
        annotation_clip=False,
        parse_math=False,
        **style,
    )
