"""What metrics.jsonl tells of a run, as curves: plain lists of points."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from striate.errors import RunError
from striate.records import Score

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class History:
    """The curves of a run, each of points (epochs done, value).

    Attributes:
        name: what the run is called in a chart.
        epochs: how far the run was to go.
        losses: mean cross-entropy of each step's batch, in nats, before the step.
        errors: fraction of the training images that were wrong as they passed, for each epoch.
        validation_losses, validation_errors: after each epoch.
        rates: the learning rate of each step; empty where the records have none.
    """

    name: str
    epochs: float
    losses: Points = ()
    errors: Points = ()
    validation_losses: Points = ()
    validation_errors: Points = ()
    rates: Points = ()


def read_history(run: Path, name: str = "") -> History:
    """Read a run folder's records; whatever cannot be read as one is passed over.

    Of records of the same step the last one counts: a run that was resumed repeats steps.

    Args:
        name: by default the folder's.

    Raises:
        RunError: there are no records.
    """
    path = run / "metrics.jsonl"
    try:
        lines = path.read_bytes().splitlines()
    except OSError as reason:
        raise RunError(f"{path} cannot be read: {reason.strerror}") from None
    kinds: dict[str, dict[float, dict[str, Any]]] = {}
    planned: dict[str, Any] = {}
    for kind, record in _records(lines):
        if kind == "Started":
            planned = record
        elif kind in ("Stepped", "EpochEnded", "Evaluated"):
            of = f"{kind} {record['split']}" if "split" in record else kind
            at = _number(record.get("step" if kind == "Stepped" else "epoch"))
            if at is not None:
                kinds.setdefault(of, {})[at] = record
    steps = kinds.get("Stepped", {})
    ended = kinds.get("EpochEnded", {})
    each = _number(planned.get("steps_per_epoch")) or _steps_per_epoch(steps, ended)
    scores = {at: found.get("score") for at, found in kinds.get("Evaluated validation", {}).items()}
    found = History(
        name=name or run.resolve().name,
        epochs=_number(planned.get("epochs")) or max([1.0, *ended]),
        losses=_points(steps, "loss", each),
        errors=_points(ended, "error"),
        validation_losses=_points(scores, "loss"),
        validation_errors=_points(scores, "top1_error"),
        rates=_points(steps, "rate", each),
    )
    if not (found.losses or found.errors or found.validation_errors):
        raise RunError(f"{path} holds no records of training yet")
    return found


def last_scores(run: Path) -> dict[str, Score]:
    """The last score of each split in a run folder's records; none where there are no records."""
    try:
        lines = (run / "metrics.jsonl").read_bytes().splitlines()
    except OSError:
        return {}
    found = {}
    for kind, record in _records(lines):
        if kind == "Evaluated":
            with suppress(KeyError, TypeError, ValueError):
                said = record["score"]
                numbers = (float(said[name]) for name in ("loss", "top1_error", "top5_error"))
                found[str(record["split"])] = Score(int(said["count"]), *numbers)
    return found


def as_csv(histories: Sequence[History]) -> str:
    """Every point as it was recorded: columns run, curve, epoch, value."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["run", "curve", "epoch", "value"])
    for history in histories:
        for curve, points in (
            ("training loss", history.losses),
            ("validation loss", history.validation_losses),
            ("training error", history.errors),
            ("validation error", history.validation_errors),
            ("learning rate", history.rates),
        ):
            writer.writerows([history.name, curve, *point] for point in points)
    return file.getvalue()


def averaged(points: Points, most: int) -> Points:
    """The means of the points in each of `most` equal parts of the way, at their mean places.

    Fewer points than that are left as they are.
    """
    if len(points) <= most:
        return points
    parts = groupby(points, lambda point: math.ceil(point[0] / points[-1][0] * most))
    return tuple(_mean(list(part)) for _, part in parts)


def _mean(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)


def _records(lines: Sequence[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records in lines of JSON with their kinds, torn and foreign lines left out."""
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield str(record.get("record")), record


def _points(records: dict[float, Any], field: str, each: float = 1) -> Points:
    """A field of records by their places; values that are no finite numbers are left out."""
    values = {
        at: _number(record.get(field)) for at, record in records.items() if isinstance(record, dict)
    }
    return tuple((at / each, value) for at, value in sorted(values.items()) if value is not None)


def _number(value: object) -> float | None:
    """The value where it is a finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond all floats
        return None


def _steps_per_epoch(steps: dict[float, Any], ended: dict[float, Any]) -> float:
    """What the steps say where the first line is lost."""
    for epoch, record in ended.items():
        if epoch and (step := _number(record.get("step"))):
            return step / epoch
    return max([1.0, *steps])
