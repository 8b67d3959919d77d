"""`striate score`: a run on test images."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from striate.cli.arguments import choice


@click.command("score")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--data", metavar="SOURCE", help="Other images than those the run was trained on.")
@choice("--format", ("text", "json"), "text", "Of the answer.")
def command(run: Path, data: str | None, format: str) -> None:
    """Say a run's top-1 and top-5 error on test images."""
    from striate.data import load
    from striate.errors import DataError
    from striate.evaluate import BATCH, score
    from striate.runs import open_run
    from striate.train import use_threads

    kept = open_run(run)
    source = data or kept.data
    test = load(source).test
    if test.classes != kept.classes:
        raise DataError(
            f"{source} has the classes {', '.join(test.classes)}, "
            f"but {run} was trained on {', '.join(kept.classes)}"
        )
    if any(a > b for a, b in zip(test.volume, kept.network.input, strict=True)):
        raise DataError(
            f"{source} has images of {test.volume}, but the network of {run} takes "
            f"{kept.network.input}"
        )
    use_threads(kept.network, BATCH)
    found = score(kept.model(), test, kept.preparation)
    if format == "json":
        print(json.dumps({**asdict(found), "data": source}))
    else:
        print(f"{source}: {found.count:,} test images")
        print(f"top-1 error {found.top1_error:.2%}")
        print(f"top-5 error {found.top5_error:.2%}")
        print(f"loss {found.loss:.4f}")
