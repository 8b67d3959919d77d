"""A report on predictions: a folder with one page that needs nothing else, charts and tables."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from striate.draw import diagnostics, plots, scored
from striate.draw.history import History, Points
from striate.draw.plots import image, write
from striate.draw.scored import Scored, between
from striate.errors import RunError

if TYPE_CHECKING:
    from striate.data import Images
    from striate.evaluate import Predictions, Summary

MARK = '<meta name="generator" content="striate score">'  # by which a report is known
ACROSS = 8  # mistakes in a row of the sheet
TABLES = ("per-class.csv", "confusion.csv", "predictions.csv")
CHARTS = ("curve.png", "calibration.png", "confusion.png", "mistakes.png")

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #333; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
img, svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 0.15rem 1.2rem 0.15rem 0; }
th:first-child, td:first-child { text-align: left; }
thead th { font-weight: normal; color: #767676; border-bottom: 1px solid #ccc; }
p, li { color: #555; }
"""


def claim(folder: Path) -> None:
    """Make sure that a report can lie in a folder; it is made if there is none.

    Raises:
        RunError: it holds something else, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {each.name for each in folder.iterdir()}
        page = folder / "index.html"
        mine = page.is_file() and MARK in page.read_text("utf-8", errors="replace")
    except OSError as reason:
        raise RunError(f"{folder} cannot hold a report: {reason.strerror}") from None
    if not mine and names - {*TABLES, *CHARTS}:  # those alone: a report that was interrupted
        raise RunError(f"{folder} is not empty and no report: name another folder")


def write_report(
    folder: Path,
    found: Scored,
    predictions: Predictions,
    images: Images,
    histories: Sequence[History],
) -> None:
    """Write a report over the one there may be.

    Args:
        folder: claimed.
        images: those that the predictions are of.
        histories: of the runs.

    Raises:
        RunError: matplotlib is not installed, or a file cannot be written.
    """
    summary = found.summary
    charts = {
        "curve.png": image(plots.curves(histories)),
        "calibration.png": image(diagnostics.calibration(summary)),
        "confusion.png": image(diagnostics.confusion(summary)),
    }
    if summary.mistakes and images.volume.depth in (1, 3):
        charts["mistakes.png"] = _mistakes(summary, images)
    else:
        (folder / "mistakes.png").unlink(missing_ok=True)
    for name, content in charts.items():
        write(folder / name, content)
    write(folder / "per-class.csv", scored.per_class_csv(summary) + "\n")
    write(folder / "confusion.csv", scored.confusion_csv(summary) + "\n")
    write(folder / "predictions.csv", _predictions_csv(predictions) + "\n")
    write(folder / "index.html", page(found.title, _body(found, charts)))


def curve_page(histories: Sequence[History], what: Sequence[str]) -> str:
    """An HTML page of curves, with where each run ended under them.

    Raises:
        RunError: matplotlib is not installed, or there is nothing to draw.
    """
    chart = image(plots.curves(histories, what), "svg").decode()
    rows = [
        (history.name, str(len(history.errors)), *_best(history.validation_errors))
        for history in histories
    ]
    heading = ("run", "epochs", "validation error", "lowest", "in epoch")
    title = ", ".join(history.name for history in histories)
    parts = (f"<h1>{escape(title)}</h1>", chart[chart.index("<svg") :], html_table(heading, rows))
    return page(title, "\n".join(parts))


def _best(errors: Points) -> tuple[str, str, str]:
    """The last error, the lowest, and when that was."""
    if not errors:
        return "", "", ""
    epoch, lowest = min(errors, key=lambda point: point[1])
    return f"{errors[-1][1]:.2%}", f"{lowest:.2%}", f"{epoch:g}"


def page(title: str, body: str) -> str:
    """An HTML page that refers to nothing outside itself."""
    head = f'<meta charset="utf-8">{MARK}<title>{escape(title)}</title><style>{STYLE}</style>'
    view = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}{view}</head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def _body(found: Scored, charts: dict[str, bytes]) -> str:
    return "\n".join(_parts(found, charts))


def _parts(found: Scored, charts: dict[str, bytes]) -> Iterator[str]:
    summary = found.summary
    yield f"<h1>{escape(found.title)}</h1>"
    yield f"<p>{escape(', '.join(found.runs))}</p>"
    yield html_table(("", "", ""), [(what, value) for what, value in found.figures()])
    yield "<h2>Training</h2>" + _picture("curve.png", charts)
    if "mistakes.png" in charts:
        yield "<h2>The most confident mistakes</h2>"
        yield "<p>What was said, with its probability, and in brackets what is true.</p>"
        yield _picture("mistakes.png", charts)
    yield "<h2>Confusion</h2>" + _picture("confusion.png", charts)
    if summary.confused:
        pairs = [(each.true, each.said, f"{each.count:,}") for each in summary.confused]
        yield html_table(("true", "said", "images"), pairs)
    yield "<h2>Calibration</h2>" + _picture("calibration.png", charts)
    yield "<h2>Classes, the worst first</h2>"
    classes = zip(summary.classes, summary.per_class, strict=True)
    rows = [
        (name, f"{rate.count:,}", f"{rate.wrong:,}", f"{rate.fraction:.2%}", between(rate))
        for name, rate in sorted(classes, key=lambda each: -each[1].fraction)
        if rate.count
    ]
    yield html_table(("class", "images", "wrong", "error", "95% interval"), rows)
    if absent := [
        n for n, r in zip(summary.classes, summary.per_class, strict=True) if not r.count
    ]:
        yield f"<p>Without images: {escape(', '.join(absent))}</p>"
    links = ", ".join(f'<a href="{name}">{name}</a>' for name in TABLES)
    yield f"<h2>Tables</h2><p>{links}</p>"
    yield (
        "<p>Errors are exact fractions of all images; intervals are Wilson's at 95%, for other "
        "images drawn as these were. The calibration error is the mean distance between confidence "
        "and accuracy over 15 bins of equal width. Loss is in nats.</p>"
    )


def html_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of text, with a heading where it has words."""
    names = "".join(f"<th>{escape(name)}</th>" for name in heading)
    lines = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows
    )
    top = f"<thead><tr>{names}</tr></thead>" if any(heading) else ""
    return f"<table>{top}<tbody>\n{lines}</tbody></table>"


def _picture(name: str, charts: dict[str, bytes]) -> str:
    return (
        f'<p><img alt="{name}" src="data:image/png;base64,{b64encode(charts[name]).decode()}"></p>'
    )


def _mistakes(summary: Summary, images: Images) -> bytes:
    """A contact sheet, the most confident first."""
    from striate.draw.sheet import sheet

    rows, captions = [], []
    for first in range(0, len(summary.mistakes), ACROSS):
        row = summary.mistakes[first : first + ACROSS]
        pixels = [images.pixels[each.position : each.position + 1][0] for each in row]
        rows.append((f"{first + 1}", pixels))
        captions.append([f"{each.said} {each.probability:.0%} ({each.true})" for each in row])
    file = BytesIO()
    sheet(rows, captions=captions).save(file, "png")
    return file.getvalue()


def _predictions_csv(predictions: Predictions) -> str:
    """A line for each image: the truth, what was said, and how sure it was of both."""
    names = predictions.classes
    said = predictions.log_probabilities.argmax(axis=1)
    rows = (
        [image, names[label], names[best], each[best], each[label]]
        for image, (label, best, each) in enumerate(
            zip(predictions.labels, said, predictions.probabilities, strict=True)
        )
    )
    heading = ["image", "class", "said", "probability_said", "probability_class"]
    return scored.table(heading, rows)
