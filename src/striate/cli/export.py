"""`striate export`: a run as a file that needs no striate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from striate.data.tell import Tell
    from striate.runs import Run
    from striate.ship.export import Exported
    from striate.ship.model import Model
    from striate.ship.quantise import Accuracies

FORMATS = {"onnx": ".onnx", "torch": ".pt2", "safetensors": ".safetensors", "python": ".py"}


@click.command("export")
@click.argument("run", metavar="RUN")
@click.option(
    "--to",
    type=click.Choice(list(FORMATS)),
    required=True,
    help="An ONNX file, a torch.export archive, weights, or a PyTorch file in plain Python.",
)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="By default the run's name here, -int8 if it is that, and the format's ending.",
)
@click.option("--int8", is_flag=True, help="ONNX alone: compute in whole numbers of eight bits.")
def command(run: str, to: str, out: Path | None, int8: bool) -> None:
    """Write a run's model as a file that needs no striate.

    The file is run and compared with the model before it is there.
    """
    from rich.console import Console

    from striate.draw.progress import working
    from striate.runs import open_run
    from striate.ship.export import check_name, export
    from striate.ship.model import of_run

    if int8 and to != "onnx":
        raise click.UsageError("--int8 is of ONNX files: say --to onnx")
    opened = open_run(run)
    model = of_run(opened)
    out = out or Path(f"{model.name}{'-int8' if int8 else ''}{FORMATS[to]}")
    check_name(out, to)  # before images are read
    with working(Console(stderr=True)) as tell:
        if int8:
            made, found = _in_int8(opened, model, out, tell)
        else:
            made, found = export(model, to, out, tell=tell), None
    for path in made.paths:
        size = path.stat().st_size
        print(f"{path}  {f'{size / 1e6:,.1f} MB' if size >= 1e6 else f'{size / 1e3:,.1f} kB'}")
    before = "before quantisation, " if found else ""
    print(
        f"compared on {made.difference.images} images: {before}probabilities within "
        f"{made.difference.probability:.1g} of the model's, scores within "
        f"{made.difference.score:.1g} of the largest"
    )
    if found:
        print(
            f"accuracy on {found.images:,} test images: {found.int8:.2%} in int8, "
            f"{found.float32:.2%} in float32, a loss of {100 * found.loss:.2f} points"
        )


def _in_int8(run: Run, model: Model, out: Path, tell: Tell) -> tuple[Exported, Accuracies]:
    from striate.ship.export import export_int8

    splits = run.splits(tell=tell)
    return export_int8(model, splits.train, splits.test, out, tell=tell)
