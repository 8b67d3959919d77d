"""`striate train`: from a text, images and a recipe to a run folder, and on from there."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from striate.cli.arguments import choice, settings_among

if TYPE_CHECKING:
    from rich.console import Console

    from striate.data import Splits
    from striate.network import Network
    from striate.ranks import Ranks
    from striate.records import Record
    from striate.session import Session


@click.command("train")
@click.argument("words", nargs=-1, metavar="[NET] [KEY=VALUE]...")
@click.option("--data", metavar="SOURCE", help="A name such as `digits`, a folder, archive, table.")
@click.option("--recipe", metavar="RECIPE", help="A name or a .toml file; `default` by default.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Of the recipe; more may follow."
)
@click.option("--epochs", metavar="N", help="Short for --set epochs=N.")
@click.option("--seed", metavar="N", help="Short for --set seed=N.")
@click.option(
    "--run",
    "--run-folder",  # torchrun of Python 3.11 takes --run for its own --run-path
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to keep the run; by default runs/NET-SOURCE-N.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on from a run's newest checkpoint.",
)
@click.option(
    "--accept-changes", is_flag=True, help="Resume although network, recipe or images have changed."
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Processes that load batches ahead; by default none, or the machine's cores where images "
    "are decoded as they are needed.",
)
@click.option(
    "--save-every",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Between checkpoints within an epoch.",
)
@choice(
    "--on-nan",
    ("stop", "rewind"),
    "stop",
    "Where numbers are no longer finite: stop, or go back and halve the rate.",
)
@click.option("--exact", is_flag=True, help="Compute in float32, whatever the machine offers.")
@click.option(
    "--precision", type=click.Choice(["float32", "bfloat16"]), help="By default the machine's best."
)
@click.option(
    "--memory-format",
    type=click.Choice(["contiguous", "channels_last"]),
    help="By default the machine's best.",
)
@click.option(
    "--device", metavar="DEVICE", help="cpu, cuda, cuda:1 ...; by default CUDA where there is one."
)
@click.option(
    "--tensorboard", is_flag=True, help="Write the records for TensorBoard too, in the run folder."
)
@click.option("--quiet", is_flag=True, help="Show nothing but the result.")
@click.option("--json", "as_json", is_flag=True, help="Print every record as a line of JSON.")
def command(words: tuple[str, ...], **options: Any) -> None:
    """Train a network on images and keep the run, or go on with one.

    Ctrl-C stops after the step under way and saves a checkpoint; twice, at once.
    """
    from rich.console import Console

    from striate.ranks import joined

    nets, settings = _checked(words, options)
    with joined() as ranks:
        show = ranks.first and not options["quiet"] and not options["as_json"]
        console = Console(stderr=True, quiet=not show)
        path = _to_resume(ranks, options)
        if path is None:
            session = _begun(nets, settings, ranks, console, options)
        else:
            session = _resumed(path, nets, settings, ranks, console, options)
        with _memory_explained(session.run.network, session.run.recipe.batch):
            finished = _follow(session, console, ranks, options)
        if not finished:
            if ranks.first:
                Console(stderr=True).print(
                    f"stopped after step {session.state.progress.step:,}; go on with: "
                    f"striate train --resume {session.run.path}",
                    highlight=False,
                    markup=False,
                    soft_wrap=True,
                )
            raise SystemExit(130)
        _judge(session, ranks, options["as_json"])


def _checked(words: tuple[str, ...], options: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    """The network, if one was named, and the settings; refuses what cannot be meant."""
    nets, settings = settings_among(words, options["settings"])
    for name in ("epochs", "seed"):
        if options[name] is not None and settings.setdefault(name, options[name]) != options[name]:
            raise click.UsageError(f"{name} is set twice")
    if options["resume"] is not None:
        if options["folder"] is not None:
            raise click.UsageError("--resume goes on in the run's own folder: leave --run out")
    elif not nets:
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


def _to_resume(ranks: Ranks, options: dict[str, Any]) -> Path | None:
    """The run to go on with; torchrun repeats a command that began one after a crash."""
    folder: Path | None = options["folder"]
    restarted = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    # One rank looks: a slow one would take the run that another has just begun for an old one.
    begun = ranks.told(restarted and folder is not None and (folder / "run.json").exists())
    return folder if begun else options["resume"]


def _begun(
    nets: list[str],
    settings: dict[str, str],
    ranks: Ranks,
    console: Console,
    options: dict[str, Any],
) -> Session:
    from striate import recipes
    from striate.compute import choose
    from striate.data import load
    from striate.draw.progress import working
    from striate.network import read
    from striate.session import begin

    network = read(nets[0])
    recipe = recipes.read(options["recipe"] or "default").with_settings(settings)
    with working(console) as tell:
        splits = load(options["data"], input=network.input, resize=recipe.resize, tell=tell)
    _say_unreadable(splits, console)
    compute = choose(network, max(1, recipe.batch // ranks.world), **_wanted(options))
    with _memory_explained(network, recipe.batch):
        return begin(options["folder"], network, splits, recipe, compute, ranks=ranks)


def _resumed(
    path: Path,
    nets: list[str],
    settings: dict[str, str],
    ranks: Ranks,
    console: Console,
    options: dict[str, Any],
) -> Session:
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
    return {name: options[name] for name in ("device", "precision", "memory_format", "exact")}


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


def _follow(session: Session, console: Console, ranks: Ranks, options: dict[str, Any]) -> bool:
    """Train, showing and keeping what happens; whether it came to its end."""
    from striate.draw.board import board
    from striate.draw.curve import panels
    from striate.draw.history import read_history
    from striate.draw.progress import progress
    from striate.records import Ended, to_json

    records: Iterable[Record] = session.records(
        workers=_workers(session, options["workers"]),
        every=options["save_every"],
        rewind=options["on_nan"] == "rewind",
    )
    if ranks.first and options["tensorboard"]:
        records = board(records, session.run.path / "tensorboard")
    if ranks.first:
        records = progress(records, console)
    with _stopping(session):
        for record in records:
            if options["as_json"] and ranks.first:
                print(to_json(record), flush=True)
            last = record
    if console.is_terminal and isinstance(last, Ended) and ranks.first:
        console.print(panels(read_history(session.run.path), width=min(console.width, 100)))
    return isinstance(last, Ended)


def _workers(session: Session, given: int | None) -> int:
    """Decoded images lie in memory or its map, where no other process brings them faster."""
    from striate.data.stream import is_slow

    if given is not None:
        return given
    cores = (os.cpu_count() or 1) // session.ranks.here
    return max(1, cores - 1) if is_slow(session.splits.train.pixels) else 0


def _judge(session: Session, ranks: Ranks, as_json: bool) -> None:
    """Say how good the weights to use are on the test images."""
    from striate.evaluate import score
    from striate.keeping import note
    from striate.records import Evaluated, to_json

    ranks.told(None)  # the first has written the weights
    run, state = session.run, session.state
    model = run.compute.place(run.model())
    with run.compute.autocast():
        tested = score(model, session.splits.test, run.preparation)
    if not ranks.first:
        return
    record = Evaluated(len(state.progress.errors), "test", tested, state.progress.seconds)
    note(run, record)
    if as_json:
        print(to_json(record))
        print(json.dumps({"record": "Kept", "run": str(run.path)}))
    else:
        print(f"test error {tested.top1_error:.2%} (top-1, {tested.count:,} images)")
        print(f"run {run.path}")


@contextmanager
def _stopping(session: Session) -> Iterator[None]:
    """Ctrl-C, or a polite kill, stops after the step under way; the second time, at once."""

    def ask(number: int, frame: object) -> None:
        if session.state.asked_to_stop:
            raise KeyboardInterrupt
        session.state.asked_to_stop = True

    signals = (signal.SIGINT, signal.SIGTERM) if session.ranks.world == 1 else (signal.SIGINT,)
    before = {each: signal.signal(each, ask) for each in signals}
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"interrupted; go on with: striate train --resume {session.run.path}", err=True)
        raise SystemExit(130) from None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


# What PyTorch says of it, on CPUs and GPUs.
OUT = ("not enough memory", "out of memory", "can't allocate memory")


@contextmanager
def _memory_explained(network: Network, batch: int) -> Iterator[None]:
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
