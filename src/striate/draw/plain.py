"""What rich draws, as plain text for a pipe or a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 120


def plain(renderable: RenderableType, width: int = WIDTH) -> str:
    """The text without colours, and without spaces at the ends of lines."""
    from io import StringIO

    from rich.console import Console

    file = StringIO()
    console = Console(
        file=file, width=width, color_system=None, force_terminal=False, force_jupyter=False
    )
    console.print(renderable, highlight=False)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def show(renderable: RenderableType) -> None:
    """Prints it: with colours and in the width there is in a terminal, else as plain text."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(renderable) if console.is_terminal else print(plain(renderable))


def line(text: str) -> str:
    """A text in one line, whatever is in it: the names of files may hold anything."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
