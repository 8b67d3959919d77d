"""`striate recover`: anyone's network, in the notation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from striate.recover import Recovered

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("recover")
@click.argument("source", metavar="SOURCE")
@click.option("--input", metavar="HxWxD", help="Of an image; by default what the source says.")
@click.option("--pretrained", is_flag=True, help="With timm's or torchvision's own weights.")
@click.option("--out", type=FILE, metavar="FILE.net", help="Write the text there.")
@click.option(
    "--weights",
    type=FILE,
    metavar="FILE.safetensors",
    help="Write the weights there, for train --from.",
)
def command(
    source: str, input: str | None, pretrained: bool, out: Path | None, weights: Path | None
) -> None:
    """Read a network from a PyTorch model or an ONNX file.

    SOURCE is timm:NAME, torchvision:NAME, package.module:function, a file that ends in .onnx, or a
    run. What comes back is built and compared with the source.
    """
    import sys

    from striate.errors import StriateError
    from striate.layers import Volume
    from striate.notation import read_volume
    from striate.recover.sources import recovered
    from striate.storage import write, write_tensors
    from striate.transfer.known import prepared

    volume = Volume(*read_volume(input)) if input else None
    _check_files(out, weights)
    found = recovered(source, volume, pretrained=pretrained)
    if weights and found.opaque:
        opaque = ", ".join(step.name for step in found.opaque[:3])
        raise StriateError(
            f"{opaque} cannot be expressed, so that the weights have no names to go by: leave "
            "--weights out"
        )
    if out:
        write(out, f"{found.network}\n".encode())
    else:
        print(found.network)
    for line in said(found):
        print(line, file=sys.stderr)
    if weights:
        write_tensors(weights, found.weights, prepared(found.preparation))
    if files := [str(each) for each in (out, weights) if each]:
        print(f"written: {', '.join(files)}", file=sys.stderr)


def said(found: Recovered) -> list[str]:
    """What came back, and what did not."""
    lines = list(found.aside)
    if found.opaque:
        lines.append(
            f"{len(found.opaque)} of {len(found.network.steps)} layers cannot be expressed; what "
            "they cost is unknown:"
        )
        lines += [f"  {step.name} of {step.met}, to {step.volume}" for step in found.opaque]
    else:
        counted = found.network.account().totals.parameters
        assert counted is not None  # since nothing is opaque
        same = "all" if counted == found.parameters else f"{found.parameters:,}"
        again = ", which uses some more than once" if counted > found.parameters else ""
        lines.append(f"{counted:,} parameters, {same} of the source's{again}; {_compared(found)}")
    if found.unused:
        modules = sorted({name.rpartition(".")[0].split(".")[0] for name in found.unused})
        lines.append(
            f"left out, as evaluation does not compute it: {', '.join(modules[:5])} "
            f"({sum(found.unused.values()):,} parameters)"
        )
    return lines


def _compared(found: Recovered) -> str:
    """How far the outputs are from the source's."""
    off = found.difference
    if off is None or math.isnan(off):
        return "outputs are not numbers, and cannot be compared"
    return f"outputs within {off:.1g} of the largest" if off else "outputs the same"


def _check_files(*files: Path | None) -> None:
    """Refuse to write one file over the other, or among those of a run."""
    given = [each.resolve() for each in files if each]
    if len({*given}) < len(given):
        raise click.UsageError(f"--out and --weights are one file, {files[0]}: name two")
    for path in given:
        if (path.parent / "run.json").is_file():
            raise click.UsageError(f"{path.parent} is the folder of a run: write elsewhere")
