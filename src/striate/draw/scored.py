"""How good runs are on images: for a terminal, as JSON, as CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from striate.draw.plain import line

if TYPE_CHECKING:
    from striate.evaluate import Rate, Summary

MOST_LISTED = 20  # classes that a terminal shows one by one
MOST_PAIRS = 5


@dataclass(frozen=True)
class Scored:
    """A summary, and what it is of.

    Attributes:
        data: the source of the images.
        split: which of them; `all` of a source without splits.
        runs: the run folders, more than one for an ensemble.
        views: how many of each image were averaged, by name.
        tops: the k whose errors a person asked for.
    """

    data: str
    split: str
    runs: tuple[str, ...]
    views: str
    tops: tuple[int, ...]
    summary: Summary

    @property
    def title(self) -> str:
        """`digits: 359 test images, mean over 6 views of each and 7 runs`."""
        means = [] if self.views == "1" else [f"{VIEWS.get(self.views, self.views)} of each"]
        if len(self.runs) > 1:
            means.append(f"{len(self.runs)} runs")
        over = f", mean over {' and '.join(means)}" if means else ""
        split = "" if self.split == "all" else f"{self.split} "
        return f"{self.data}: {self.summary.count:,} {split}images{over}"

    def figures(self) -> list[tuple[str, str]]:
        """Pairs of what was measured and its value."""
        found = []
        # Of five classes, the class is among the first five always.
        telling = [top for top in self.tops if top < len(self.summary.classes)]
        for number, top in enumerate(telling or self.tops[:1]):
            rate = self.summary.errors[top]
            words = "95% interval " if number == 0 else ""
            found.append((f"top-{top} error", f"{rate.fraction:.2%} ({words}{between(rate)})"))
        found.append(("loss", f"{self.summary.loss:.4f}"))
        found.append(("calibration error", f"{self.summary.calibration_error:.2%}"))
        return found


VIEWS = {"flip": "2 views", "6": "6 views", "10": "10 views"}


def between(rate: Rate) -> str:
    """The interval, `0.59% to 3.22%`."""
    low, high = rate.interval
    return f"{low:.2%} to {high:.2%}"


def to_text(scored: Scored) -> str:
    """Lines for a terminal; classes one by one where there are not many."""
    summary = scored.summary
    lines = [scored.title, *(f"{what} {value}" for what, value in scored.figures())]
    if len(summary.classes) <= MOST_LISTED:
        rows = [("class", "images", "wrong", "error")]
        for name, rate in zip(summary.classes, summary.per_class, strict=True):
            error = f"{rate.fraction:.2%}" if rate.count else ""
            rows.append((name, f"{rate.count:,}", f"{rate.wrong:,}", error))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines.append("")
        for name, *numbers in rows:
            cells = (f"{each:>{width}}" for each, width in zip(numbers, widths[1:], strict=True))
            lines.append(f"{name:<{widths[0]}}  {'  '.join(cells)}")
    if summary.confused:
        pairs = summary.confused[:MOST_PAIRS]
        said = ", ".join(f"{each.true} for {each.said} ({each.count:,})" for each in pairs)
        lines += ["", f"most often mistaken: {said}"]
    return "\n".join(map(line, lines))


def to_json(scored: Scored) -> str:
    """One line. Errors are fractions; null stands for a mean of nothing."""
    summary = scored.summary
    found: dict[str, Any] = {
        "data": scored.data,
        "split": scored.split,
        "runs": scored.runs,
        "views": scored.views,
        "count": summary.count,
        "loss": _number(summary.loss),
    }
    for top, rate in summary.errors.items():
        found[f"top{top}_error"] = rate.fraction
        found[f"top{top}_interval"] = rate.interval
    found["calibration_error"] = summary.calibration_error
    found["calibration"] = [
        {"low": each.low, "high": each.high, "confidence": _number(each.confidence)}
        | _rate(each.rate)
        for each in summary.bins
    ]
    found["classes"] = summary.classes
    found["per_class"] = [
        {"class": name} | _rate(rate)
        for name, rate in zip(summary.classes, summary.per_class, strict=True)
    ]
    found["confusion"] = summary.confusion.tolist()
    found["confused"] = [asdict(each) for each in summary.confused]
    found["mistakes"] = [asdict(each) for each in summary.mistakes]
    return json.dumps(found, allow_nan=False)


def to_csv(scored: Scored) -> str:
    """A heading and a line, to be stacked with those of other runs."""
    summary = scored.summary
    row: dict[str, object] = {
        "runs": " ".join(scored.runs),
        "data": scored.data,
        "split": scored.split,
        "views": scored.views,
        "count": summary.count,
        "loss": summary.loss,
    }
    for top, rate in summary.errors.items():
        low, high = rate.interval
        row |= {f"top{top}_error": rate.fraction, f"top{top}_low": low, f"top{top}_high": high}
    row["calibration_error"] = summary.calibration_error
    return table(list(row), [list(row.values())])


def per_class_csv(summary: Summary) -> str:
    """A line for each class."""
    rows = (
        [name, rate.count, rate.wrong, _number(rate.fraction), *rate.interval]
        for name, rate in zip(summary.classes, summary.per_class, strict=True)
    )
    return table(["class", "images", "wrong", "error", "low", "high"], rows)


def confusion_csv(summary: Summary) -> str:
    """A line for each true class, a column for each class said."""
    counts = zip(summary.classes, summary.confusion.tolist(), strict=True)
    return table(["true", *summary.classes], ([name, *row] for name, row in counts))


def table(heading: list[str], rows: Any) -> str:
    """A CSV text; None is an empty cell."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(heading)
    writer.writerows(rows)
    return file.getvalue().rstrip("\n")


FORMATS = {"text": to_text, "json": to_json, "csv": to_csv}


def _rate(rate: Rate) -> dict[str, Any]:
    return {
        "count": rate.count,
        "wrong": rate.wrong,
        "error": _number(rate.fraction),
        "interval": rate.interval,
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
