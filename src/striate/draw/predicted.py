"""Predictions as text, JSON lines and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from striate.draw.plain import line

if TYPE_CHECKING:
    from rich.table import Table

    from striate.ship.bulk import Prediction

HEADING = ("image", "rank", "class", "probability", "error")


def table(predictions: Sequence[Prediction]) -> Table:
    """A row for each class of each image."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False)
    made.add_column("image", overflow="fold")
    made.add_column("class", overflow="fold")
    made.add_column("probability", justify="right", no_wrap=True)
    for each in predictions:
        if each.error:
            made.add_row(Text(line(each.image)), Text(f"passed over: {line(each.error)}"), "")
        for rank, (name, probability) in enumerate(each.top):
            image = "" if rank else line(each.image)
            made.add_row(Text(image), Text(line(name)), f"{probability:.2%}")
    return made


def to_text(predictions: Sequence[Prediction]) -> str:
    """A line for each image."""
    return "".join(f"{line(each.image)}: {_said(each)}\n" for each in predictions)


def _said(each: Prediction) -> str:
    if each.error:
        return f"passed over: {line(each.error)}"
    return ", ".join(f"{line(name)} {probability:.2%}" for name, probability in each.top)


def to_json(predictions: Sequence[Prediction]) -> str:
    """An object a line: `image` and `top`, or `image` and `error`."""
    return "".join(f"{json.dumps(_object(each))}\n" for each in predictions)


def _object(each: Prediction) -> dict[str, object]:
    if each.error:
        return {"image": each.image, "error": each.error}
    top = [{"class": name, "probability": rounded(value)} for name, value in each.top]
    return {"image": each.image, "top": top}


def rounded(probability: float) -> float:
    """As many digits as a float32 has."""
    return float(f"{probability:.7g}")


def to_csv(predictions: Sequence[Prediction], heading: bool = True) -> str:
    """A line for each class of each image, `rank` from 1 on; `error` where one is passed over."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    if heading:
        writer.writerow(HEADING)
    for each in predictions:
        if each.error:
            writer.writerow((each.image, "", "", "", each.error))
        for rank, (name, probability) in enumerate(each.top, 1):
            writer.writerow((each.image, rank, name, rounded(probability), ""))
    return file.getvalue()
