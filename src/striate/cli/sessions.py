"""The run that `striate train` begins or goes on with, from what was said on the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from striate.cli.arguments import WAYS, settings_among

if TYPE_CHECKING:
    from rich.console import Console

    from striate.compute import Compute
    from striate.data import Splits
    from striate.network import Network
    from striate.ranks import Ranks
    from striate.session import Session


def checked(words: tuple[str, ...], options: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    """The network, if one was named, and the settings; refuses what cannot be meant."""
    nets, settings = settings_among(words, options["settings"])
    for name in ("epochs", "batch", "seed", "freeze"):
        if options[name] is not None and settings.setdefault(name, options[name]) != options[name]:
            raise click.UsageError(f"{name} is set twice")
    if options["resume"] is not None:
        if options["folder"] is not None:
            raise click.UsageError("--resume goes on in the run's own folder: leave --run out")
        if options["start"] is not None or options["head"] is not None:
            raise click.UsageError("--resume goes on with the run's own weights: leave --from out")
    elif options["head"] is not None and options["start"] is None:
        raise click.UsageError("--head is of weights that are taken over: say --from SOURCE too")
    elif not nets and options["start"] is None:
        raise click.UsageError("name a network to train: striate train NET --data SOURCE")
    elif not options["data"]:
        raise click.UsageError(
            "name images to train on: --data SOURCE; `--data digits` needs no files"
        )
    elif options["folder"] is None and os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0":
        raise click.UsageError(
            "name the run's folder by --run-folder, so that a restart by torchrun finds it"
        )
    return nets, settings


def to_resume(ranks: Ranks, options: dict[str, Any]) -> Path | None:
    """The run to go on with; torchrun repeats a command that began one after a crash."""
    folder: Path | None = options["folder"]
    restarted = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    # One rank looks: a slow one would take the run that another has just begun for an old one.
    there = ranks.told(restarted and folder is not None and (folder / "run.json").exists())
    return folder if there else options["resume"]


def begun(
    nets: list[str],
    settings: dict[str, str],
    ranks: Ranks,
    console: Console,
    options: dict[str, Any],
) -> Session:
    """A new run."""
    from striate import recipes
    from striate.build import refuse_opaque
    from striate.compute import choose
    from striate.data import load
    from striate.draw.progress import working
    from striate.network import read
    from striate.probe import fastest
    from striate.runs import check_new
    from striate.session import begin
    from striate.transfer.begin import fitted, network_of
    from striate.transfer.known import known

    recipe = recipes.read(options["recipe"] or _usual(settings, options)).with_settings(settings)
    if ranks.first and options["folder"] is not None:
        check_new(options["folder"])  # now, not after an hour of decoding
    with working(console) as tell:
        start = known(options["start"], tell=tell) if options["start"] else None
        network = read(nets[0]) if nets else network_of(start)
        refuse_opaque(network)
        share = max(1, recipe.batch // ranks.world)
        compute = choose(network, share, **_wanted(options))
        splits = load(
            options["data"],
            input=network.input,
            resize=recipe.resize,
            validation=recipe.validation,
            tell=tell,
        )
    _say_unreadable(splits, console)
    if start:
        network = fitted(network, splits.train.classes)
        compute = choose(network, share, **_wanted(options))

    def fast() -> Compute:
        if ranks.world > 1:
            return compute
        with working(console) as tell:
            return fastest(network, share, tell=tell, **_wanted(options))

    with memory_explained(network, recipe.batch):
        return begin(
            options["folder"],
            network,
            splits,
            recipe,
            fast,
            start=start,
            head=options["head"],
            ranks=ranks,
        )


def _usual(settings: dict[str, str], options: dict[str, Any]) -> str:
    """The recipe where none is named."""
    if settings.get("freeze") == "features":
        return "head"
    return "finetune" if options["start"] else "default"


def resumed(
    path: Path,
    nets: list[str],
    settings: dict[str, str],
    ranks: Ranks,
    console: Console,
    options: dict[str, Any],
) -> Session:
    """A run that goes on from its newest checkpoint."""
    from striate import recipes
    from striate.compute import check_device, choose
    from striate.draw.progress import working
    from striate.network import read
    from striate.runs import open_run
    from striate.session import resume

    run = open_run(path)
    restarted = path == options["folder"]  # by the command that began it, which changes nothing
    recipe = recipes.read(options["recipe"]) if options["recipe"] and not restarted else run.recipe
    network = read(nets[0]) if nets and not restarted else run.network
    compute = run.compute
    if any(_wanted(options).values()):
        compute = choose(network, max(1, recipe.batch // ranks.world), **_wanted(options))
    else:
        check_device(compute.device)
    with working(console) as tell:
        return resume(
            run,
            network=network,
            recipe=recipe if restarted else recipe.with_settings(settings),
            source=None if restarted else options["data"],
            compute=compute,
            accept=options["accept_changes"],
            ranks=ranks,
            tell=tell,
        )


def _wanted(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in WAYS}


SHOWN = 100  # of the files that cannot be read; the run folder names all


def _say_unreadable(splits: Splits, console: Console) -> None:
    from striate.draw.plain import line

    for file in splits.unreadable[:SHOWN]:
        said = line(f"passed over {file.path}: {file.reason}")
        console.print(said, highlight=False, markup=False, soft_wrap=True)
    if len(splits.unreadable) > SHOWN:
        more = len(splits.unreadable) - SHOWN
        said = line(f"... and {more:,} more; `striate data {splits.source}` lists all")
        console.print(said, highlight=False, markup=False, soft_wrap=True)


# What PyTorch says of it, on CPUs and GPUs.
OUT = ("not enough memory", "out of memory", "can't allocate memory")


@contextmanager
def memory_explained(network: Network, batch: int) -> Iterator[None]:
    """Says what training needs where PyTorch or NumPy cannot have it."""
    from striate.draw.numbers import in_bytes
    from striate.errors import RunError

    try:
        yield
    except (MemoryError, RuntimeError) as error:  # PyTorch's CPU allocator raises RuntimeError
        if not isinstance(error, MemoryError) and not any(each in str(error) for each in OUT):
            raise
        needed = in_bytes(network.account().totals.training_bytes(batch))
        raise RunError(f"memory ran out: a step of {batch} images needs {needed}") from None
