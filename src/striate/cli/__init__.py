"""The command line: parse, call, print. One short file for each verb."""

from __future__ import annotations

import codecs
import io
import os
import sys

import typer

from striate.cli.canonical import print_canonical
from striate.cli.check import check
from striate.cli.compare import compare
from striate.cli.match import match
from striate.cli.score import score
from striate.cli.table import table
from striate.cli.train import train
from striate.cli.zoo import zoo
from striate.errors import StriateError

app = typer.Typer(
    name="striate",
    help="A workbench for ConvNets. NET is a name of the zoo, a .net file, or a text such as "
    "'[32x32x3] conv5-16 relu maxpool2 fc-10 softmax'.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(zoo)
app.command()(table)
app.command()(check)
app.command("print")(print_canonical)
app.command()(match)
app.command()(compare)
app.command()(train)
app.command()(score)


@app.callback(invoke_without_command=True)
def _version(
    version: bool = typer.Option(False, "--version", help="Say the version and stop."),
) -> None:
    if version:
        from striate import __version__

        print(f"striate {__version__}")
        raise typer.Exit


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
            app()
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except StriateError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # whose reader has seen enough
            print(error, file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
