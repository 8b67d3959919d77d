"""The process that trains. It obeys commands between steps and never waits for a window."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from striate.errors import StriateError
from striate.lab.outbox import Outbox, Outlet

if TYPE_CHECKING:
    from striate.lab.following import Following
    from striate.lab.telling import Telling
    from striate.lab.workbench import Workbench


@dataclass(frozen=True)
class Wanted:
    """What the lab begins with.

    Attributes:
        net: a name of the zoo, a path or a text; or a run folder, which is followed.
        data: the images' source; of a run it is the run's own.
        recipe: a name or a path.
        settings: of the recipe, as a person types them.
        ours: whether nobody chose the network: its last layer is as wide as there are classes.
    """

    net: str
    data: str
    recipe: str
    settings: Mapping[str, str] = field(default_factory=dict)
    ours: bool = False


OFTEN = 1.0  # seconds from one look at a run that is followed to the next
HEARS = 0.02  # seconds between looks for commands: a step may take less than one of them does
ASKS = ("kept", "moment", "shelf", "unit")  # commands after which the rest looks as before


def is_run(net: str) -> bool:
    """Whether what is to be trained is a run folder."""
    return (Path(net) / "run.json").is_file() if "[" not in net else False


def work(commands: Connection, out: Connection, asks: Connection, wanted: Wanted) -> None:
    """Train and obey until the server closes the commands: what the process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to hear
    outbox, questions = Outbox(out), Outbox(asks)
    with suppress(EOFError, OSError):  # the server has gone
        try:
            outbox.put("opening", {"said": "Loading PyTorch"})
            bench, telling, following = opened(wanted, outbox, questions)
        except StriateError as reason:
            outbox.put("opening", {"failed": str(reason)})
            while True:
                commands.recv()
        telling.all()
        outbox.put("opening", {})
        telling.shelf()
        trainer = Trainer(bench, telling, outbox, commands, following)
        while True:
            trainer.turn()


class Trainer:
    """Obeys, trains and tells by turns."""

    def __init__(
        self,
        bench: Workbench,
        telling: Telling,
        outbox: Outbox,
        commands: Connection,
        following: Following | None = None,
    ) -> None:
        self.bench, self.telling, self.following = bench, telling, following
        self.outbox, self.commands = outbox, commands
        self.verbs = _verbs(bench, telling)
        self.heard = 0.0  # by perf_counter

    def turn(self) -> None:
        """Do what is asked, then a step, and look at what it did; at rest, wait to be asked.

        Raises:
            EOFError, OSError: the server has gone.
        """
        bench, changed = self.bench, False
        if not bench.at_work or perf_counter() - self.heard > HEARS:
            wait = 0 if bench.at_work else OFTEN if self.following else None
            changed = _obeyed(self.commands, self.verbs, self.outbox, wait)
            self.heard = perf_counter()
        if bench.at_work:
            self.following = None  # from here on it is trained here
        elif self.following:
            changed |= self.following.news()
        if changed:
            self.telling.soon() if bench.at_work else self.telling.all()
        if bench.at_work:
            self.telling.about_to_step()
            began = perf_counter()
            bench.train()
            self.telling.stepped(perf_counter() - began)


def opened(
    wanted: Wanted, outbox: Outlet, questions: Outlet
) -> tuple[Workbench, Telling, Following | None]:
    """What is wanted, loaded, and the run that is followed if it is one.

    Raises:
        StriateError: there is no such network, run or recipe, or no such images.
    """
    from striate import recipes
    from striate.data import load
    from striate.lab.branch import begun
    from striate.lab.following import Following
    from striate.lab.telling import Telling
    from striate.lab.workbench import Workbench
    from striate.network import read
    from striate.runs import open_run

    def tell(what: str, done: int, count: int) -> None:
        outbox.put("opening", {"said": f"{what.capitalize()}: {done:,} of {count:,}"})

    if is_run(wanted.net):
        following = Following(open_run(wanted.net), tell=tell)
        bench = Workbench(following.branch)
        bench.pause()
        return bench, Telling(bench, outbox, questions), following
    network = read(wanted.net)
    recipe = recipes.read(wanted.recipe).with_settings(wanted.settings)
    splits = load(
        wanted.data,
        input=network.input,
        resize=recipe.resize,
        validation=recipe.validation,
        tell=tell,
    )
    if wanted.ours:
        network = network.with_classes(len(splits.train.classes))
    bench = Workbench(begun("main", network, recipe, splits))
    return bench, Telling(bench, outbox, questions), None


def _verbs(bench: Workbench, telling: Telling) -> dict[str, Callable[..., Any]]:
    """What a command may do, by name."""
    of_bench = (
        bench.run,
        bench.pause,
        bench.step,
        bench.knob,
        bench.fork,
        bench.compare,
        bench.drop,
        bench.choose,
        bench.kept,
        bench.apply,
        bench.overfit,
        bench.check_gradients,
        bench.look,
        bench.next_image,
        bench.own,
        bench.reset,
        bench.rewrite,
        bench.save,
        bench.begin,
    )
    return {
        each.__name__: each
        for each in (*of_bench, telling.moment, telling.rescale, telling.unit, telling.shelf)
    }


def _obeyed(
    commands: Connection,
    verbs: Mapping[str, Callable[..., Any]],
    outbox: Outbox,
    wait: float | None,
) -> bool:
    """Do what is asked, waiting so long for the first; whether anything may look otherwise now."""
    changed = False
    while commands.poll(wait):
        wait, command = 0, commands.recv()
        number, verb = command.pop("id", None), str(command.pop("do", ""))
        changed |= verb not in ASKS
        outbox.put(f"answer/{number}", _answer(verbs, verb, command))
    return changed


def _answer(
    verbs: Mapping[str, Callable[..., Any]], verb: str, words: dict[str, Any]
) -> dict[str, Any]:
    """What comes of a command; a mistake, or too little memory, is told and ends nothing."""
    try:
        if verb not in verbs:
            raise StriateError(f"the lab has no command {verb!r}")
        return {"answer": verbs[verb](**words)}
    except StriateError as reason:
        return {"error": str(reason)}
    except Exception as reason:  # whatever a window sends, training goes on
        return {"error": f"it cannot be done: {reason or type(reason).__name__}"}
