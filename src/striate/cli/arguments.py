"""What several verbs take."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import click

Decorator = Callable[[Any], Any]

net = click.argument("net", metavar="NET")
VIEWS = ("1", "flip", "6", "10")  # of an image, as `striate.evaluate.VIEWS` has them


def choice(name: str, values: Iterable[str], default: str, help: str) -> Decorator:
    """An option that is one of a few names, shown with its default."""
    return click.option(
        name, type=click.Choice(list(values)), default=default, show_default=True, help=help
    )


def applied(options: Iterable[Decorator], command: Any) -> Any:
    """A command with options, in their order."""
    for option in reversed(list(options)):
        command = option(command)
    return command


WAYS = ("device", "precision", "memory_format", "engine", "exact")  # as `compute.choose` takes them


def computing(command: Any) -> Any:
    """Gives a command the options of WAYS."""
    best = "by default the machine's best."
    options = (
        click.option(
            "--exact", is_flag=True, help="Compute in float32 by PyTorch's own operations."
        ),
        click.option(
            "--precision", type=click.Choice(["float32", "bfloat16"]), help=best.capitalize()
        ),
        click.option(
            "--memory-format",
            type=click.Choice(["contiguous", "channels_last"]),
            help=best.capitalize(),
        ),
        click.option(
            "--engine",
            type=click.Choice(["eager", "fused", "compiled"]),
            help=f"PyTorch's operations, kernels of runs of layers, or torch.compile; {best}",
        ),
        click.option(
            "--device",
            metavar="DEVICE",
            help="cpu, cuda, cuda:1 ...; by default CUDA where there is one.",
        ),
    )
    return applied(options, command)


SETTING = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)


def settings_among(words: Iterable[str], given: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """What remains of a command's words, and the KEY=VALUE among them and in `--set`.

    A network's text begins with its input volume or a block, so that it is no setting.
    """
    from striate.recipes import split_settings

    for word in given:
        if not SETTING.fullmatch(word):
            raise click.UsageError(f"--set takes KEY=VALUE, not {word!r}")
    nets = [word for word in words if not SETTING.fullmatch(word)]
    if len(nets) > 1:
        raise click.UsageError(
            f"one network, not {len(nets)} words: put a text in quotes: {' '.join(nets)!r}"
        )
    return nets, split_settings([*given, *filter(SETTING.fullmatch, words)])
