"""`striate score`: a run on test images."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How the score is printed."""

    text = "text"
    json = "json"


def score(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    data: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Other images than those the run was trained on."),
    ] = None,
    format: Annotated[Format, typer.Option(help="Of the answer.")] = Format.text,
) -> None:
    """Score a run on the test images of its source: top-1 and top-5 error."""
    from striate.data import load
    from striate.errors import DataError
    from striate.evaluate import score as scored
    from striate.runs import open_run

    kept = open_run(run)
    source = data or kept.data
    test = load(source).test
    if test.classes != kept.classes:
        raise DataError(
            f"{source} has the classes {', '.join(test.classes)}, "
            f"but {run} was trained on {', '.join(kept.classes)}"
        )
    found = scored(kept.model(), test, kept.preparation)
    if format is Format.json:
        print(json.dumps({**asdict(found), "data": source}))
    else:
        print(f"{source}: {found.count:,} test images")
        print(f"top-1 error {found.top1_error:.2%}")
        print(f"top-5 error {found.top5_error:.2%}")
        print(f"loss {found.loss:.4f}")
