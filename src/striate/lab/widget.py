"""A run's curves and maps in a notebook, live or past: the page's own modules behind anywidget."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any
from weakref import ref

from striate.errors import StriateError
from striate.lab.following import Following
from striate.lab.frames import frame
from striate.lab.telling import Telling
from striate.lab.workbench import Workbench

try:
    from anywidget import AnyWidget
except ImportError:
    raise StriateError("watching needs anywidget: pip install 'striate[notebook]'") from None

if TYPE_CHECKING:
    from striate.runs import Run

PAGE = Path(__file__).parent / "page"
MODULES = (
    "frames",
    "parts",
    "curves",
    "maps",
    "layers",
    "notebook",
)  # each after those it takes from
OFTEN = 1.0  # seconds from one look at the run to the next


def bundle() -> str:
    """The modules as one, as a notebook wants them: it knows no addresses to import from."""
    texts = [(PAGE / f"{name}.js").read_text("utf-8") for name in MODULES]
    alone = [re.sub(r"^import .*\n", "", each, flags=re.M) for each in texts]
    inner = [re.sub(r"^export (?!default)", "", each, flags=re.M) for each in alone]
    return "\n".join(inner)


class Watch(AnyWidget):
    """A run as it is, and as it becomes while it trains elsewhere. Show it as a cell's value."""

    _esm = bundle()
    _css = (PAGE / "notebook.css").read_text("utf-8")

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.following = Following(run)
        self.telling = Telling(Workbench(self.following.branch), self, self)
        self.turn = Lock()
        self.on_msg(lambda *_: self.look())  # a view that has opened asks for everything
        Thread(target=_follow, args=(ref(self),), daemon=True).start()

    def put(
        self, topic: str, about: Mapping[str, Any], arrays: Mapping[str, Any] | None = None
    ) -> None:
        """Send a frame to every view: what a Telling does with what it has seen."""
        self.send({"topic": topic}, [frame(topic, about, arrays or {})])

    def look(self) -> None:
        """Send what there is now."""
        with self.turn:
            self._look()

    def follow(self) -> None:
        """Send what there is if the run has news."""
        with self.turn:
            if self.following.news():
                self._look()

    def _look(self) -> None:
        for topic in ("state", "curves", "maps", "weights"):
            self.telling.looks.look(topic, free=True)


def _follow(watch: ref[Watch]) -> None:
    """Look whenever the run has news, until nobody holds the widget any more."""
    from time import sleep

    while (shown := watch()) is not None:
        shown.follow()
        del shown
        sleep(OFTEN)
