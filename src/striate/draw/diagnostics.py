"""Charts of predictions: which classes are taken for which, and whether confidence is earned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate.draw.plots import COLOURS, FAINT, GRID, INK, TEXT, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    from striate.evaluate import Summary

MOST_COUNTED = 20  # classes for which each cell has room for its count
MOST_NAMED = 100  # ... and each row for its name
BLUE, ORANGE = COLOURS[:2]


def confusion(summary: Summary) -> Figure:
    """Images by true class (rows) and the class said (columns).

    Colour is for mistakes alone; what is right stands in the diagonal without it.

    Raises:
        RunError: matplotlib is not installed.
    """
    names = summary.classes
    count = len(names)
    wrong = summary.confusion.copy()
    wrong[range(count), range(count)] = 0
    side = min(10.0, 2.2 + 0.42 * count)
    drawn = figure(side, side)
    axes = drawn.add_subplot()
    most = max(1, int(wrong.max()))
    axes.imshow(wrong, cmap="Blues", vmin=0, vmax=most, interpolation="nearest")
    for place in range(count) if count <= MOST_NAMED else ():
        axes.add_patch(_cell(place))
    for row in range(count) if count <= MOST_COUNTED else ():
        for column in range(count):
            cell = int(summary.confusion[row, column])
            pale = "white" if wrong[row, column] > 0.55 * most else INK
            if cell:
                axes.text(column, row, f"{cell:,}", ha="center", va="center", size=7, color=pale)
    places = range(count) if count <= MOST_NAMED else ()
    size = TEXT if count <= MOST_COUNTED else 4
    said = [names[place] for place in places]
    axes.set_xticks(places, said, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(places, said, fontsize=size, parse_math=False)
    axes.tick_params(length=0, labelcolor=FAINT)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("said", fontsize=TEXT, color=FAINT)
    axes.set_ylabel("true", fontsize=TEXT, color=FAINT)
    axes.set_title("Confusion, images", loc="left", fontsize=TEXT + 2, color=INK)
    return drawn


def _cell(place: int) -> Rectangle:
    from matplotlib.patches import Rectangle

    return Rectangle((place - 0.5, place - 0.5), 1, 1, color="#EDEDED")


def calibration(summary: Summary) -> Figure:
    """Accuracy against confidence, a dot for each bin with its 95% interval; below, their images.

    Raises:
        RunError: matplotlib is not installed.
    """
    drawn = figure(4.2, 4.6)
    axes, below = drawn.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.plot((0, 1), (0, 1), color=FAINT, linewidth=0.8)
    filled = [each for each in summary.bins if each.rate.count]
    for each in filled:
        low, high = each.rate.interval
        axes.plot([each.confidence] * 2, (1 - high, 1 - low), color=BLUE, linewidth=1, alpha=0.6)
    right = [1 - each.rate.fraction for each in filled]
    axes.plot(
        [each.confidence for each in filled], right, "o", color=BLUE, markersize=4.5, clip_on=False
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_ylabel("accuracy", fontsize=TEXT, color=FAINT)
    axes.text(0.98, 0.03, "below the line: too sure", fontsize=8, color=FAINT, ha="right")
    said = f"Calibration: expected error {summary.calibration_error:.2%}"
    axes.set_title(said, loc="left", fontsize=TEXT + 2, color=INK)
    width = 1 / len(summary.bins)
    counts = [each.rate.count for each in summary.bins]
    below.bar([each.low for each in summary.bins], counts, width * 0.9, align="edge", color=BLUE)
    below.set_ylabel("images", fontsize=TEXT, color=FAINT)
    below.set_xlabel("confidence", fontsize=TEXT, color=FAINT)
    for each in (axes, below):
        each.spines[["top", "right", "left"]].set_visible(False)
        each.spines["bottom"].set_color(FAINT)
        each.tick_params(labelsize=TEXT, colors=FAINT, length=0)
        each.grid(axis="y", color=GRID, linewidth=0.8)
        each.set_axisbelow(True)
    below.locator_params(axis="y", nbins=3)
    return drawn
