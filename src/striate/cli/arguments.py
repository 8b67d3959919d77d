"""What several verbs take."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import click

Decorator = Callable[[Any], Any]

net = click.argument("net", metavar="NET")


def choice(name: str, values: Iterable[str], default: str, help: str) -> Decorator:
    """An option that is one of a few names, shown with its default."""
    return click.option(
        name, type=click.Choice(list(values)), default=default, show_default=True, help=help
    )


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
