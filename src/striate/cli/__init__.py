"""The command line: parse, call, print. One short file for each verb."""

from __future__ import annotations

import codecs
import io
import os
import sys
from importlib import import_module

import click

from striate import __version__
from striate.errors import StriateError, nearest

# In the order in which they are listed. Only the verb that runs is imported.
VERBS = (
    "zoo",
    "table",
    "check",
    "print",
    "match",
    "compare",
    "recover",
    "data",
    "recipe",
    "profile",
    "estimate",
    "train",
    "score",
    "curve",
    "see",
    "lab",
    "predict",
    "export",
    "card",
    "serve",
    "completion",
)


class Verbs(click.Group):
    """Finds a verb's command in the file of its name."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            context.fail(f"there is no command {name!r}: {nearest(name, VERBS)}")
        # `cli.print` would hide the built-in from this file, hence `canonical`.
        module = import_module(f"striate.cli.{'canonical' if name == 'print' else name}")
        command: click.Command = module.command
        return command


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="striate %(version)s")
def app() -> None:
    """A workbench for ConvNets.

    NET is a name of the zoo, a .net file, or a text such as
    '[32x32x3] conv5-16 relu maxpool2 fc-10 softmax'.
    """


INTERRUPTED = 130  # as shells have it: 128 and the number of SIGINT
LOOKALIKES = {"─": "-", "│": "|", "├": "|", "└": "`", "×": "x", "·": "-", "…": ".."}


def _lookalikes(error: UnicodeError) -> tuple[str, int]:
    """What an ASCII terminal shows of a table; a question mark for what has no likeness."""
    assert isinstance(error, UnicodeEncodeError)
    missing = error.object[error.start : error.end]
    return "".join(LOOKALIKES.get(letter, "?") for letter in missing), error.end


def main() -> None:
    """Runs a command. A person's mistake ends in a message and exit code 1, never a traceback."""
    codecs.register_error("lookalikes", _lookalikes)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="lookalikes")
    try:
        try:
            code = app(prog_name="striate", standalone_mode=False)
        finally:
            if sys.stdout:
                sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except StriateError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # whose reader has seen enough
            print(error, file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
