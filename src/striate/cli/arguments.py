"""What several verbs take."""

from __future__ import annotations

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
