"""`striate completion`: what teaches a shell the verbs and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what completes verbs and options in a shell.

    In bash: eval "$(striate completion bash)", best as a line of ~/.bashrc.
    """
    from striate.cli import app

    kind = get_completion_class(shell)
    assert kind is not None, "click knows the shells listed above"
    print(kind(app, {}, "striate", "_STRIATE_COMPLETE").source())
