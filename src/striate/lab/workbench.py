"""What stands on the bench: branches in training, an image that is looked at, what can be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import torch
from torch import nn

from striate.diagnosis import NotFinite
from striate.errors import RunError, StriateError
from striate.keeping import keep_now
from striate.lab.branch import Branch, Mark, begun, with_weights
from striate.lab.differences import GOOD, WRONG, check_gradients
from striate.lab.knobs import TURNED
from striate.lab.script import script
from striate.lab.shelf import runs
from striate.lab.some import some
from striate.lab.subject import Subject
from striate.network import Network
from striate.recipes import Recipe, from_toml
from striate.runs import create_run, open_run
from striate.see.copies import device_of
from striate.storage import write
from striate.transfer.keep import Kept, keep

HEART = "by heart"  # the branch that learns a few images
ENDED = "the recipe has come to its end: give it more epochs as text, or begin anew"
MOST_BRANCHES = 8
FEW = 20  # images to be learned by heart
CHECKED = 4  # images that gradients are checked on


class Workbench:
    """Branches that train by turns.

    Attributes:
        branches: by name, in the order in which they began.
        chosen: the name of the one that is looked at.
        running: whether it trains by itself.
        subject: the image that is looked at.
        failure: why training has stopped, where it had to.
    """

    def __init__(self, branch: Branch) -> None:
        self.splits, self.running, self.failure = branch.splits, True, ""
        self.branches = {branch.name: branch}
        self.chosen = branch.name
        self.subject = Subject.of(self.splits.test, 0)

    @property
    def branch(self) -> Branch:
        """The one that is looked at."""
        return self.branches[self.chosen]

    @property
    def model(self) -> nn.Module:
        """The network of the branch that is looked at."""
        return self.branch.state.model

    @property
    def by_heart(self) -> bool:
        """Whether the branch that is looked at learns a few images."""
        return self.branch.splits is not self.splits

    @property
    def at_work(self) -> bool:
        """Whether there is a step to do."""
        return self.running and any(not each.ended for each in self.branches.values())

    def train(self) -> None:
        """A step of every branch. Numbers that are no longer finite stop it, with the reason."""
        for branch in self.branches.values():
            if branch.ended:
                continue
            try:
                branch.step()
            except (StriateError, RuntimeError, MemoryError) as reason:  # NotFinite among them
                self.running, self.failure = False, f"{branch.name}: {reason}"
                branch.exploded = isinstance(reason, NotFinite)
                branch.loop = None
        if all(each.ended for each in self.branches.values()):
            self.running, self.failure = False, ENDED

    def run(self) -> None:
        """Train on.

        Raises:
            RunError: every branch is at the end of its recipe.
        """
        if all(each.ended for each in self.branches.values()):
            raise RunError(ENDED)
        self.running, self.failure = True, ""

    def pause(self) -> None:
        """Rest after the step under way."""
        self.running = False

    def step(self) -> None:
        """One step, then rest."""
        self.running, self.failure = False, ""
        self.train()

    def knob(self, name: str, value: object, branch: str | None = None) -> str:
        """Turn a setting; says what was done.

        Raises:
            RunError: it cannot be turned, or cannot have this value.
        """
        marks = self._branch(branch).turn(**{_turnable(name): value})
        return _said(marks) or f"{name} is {value} already"

    def rewrite(self, text: str) -> str:
        """Go on with another recipe; says what has changed.

        Raises:
            RunError: the text is no recipe, or changes what only a beginning can.
        """
        recipe, now = from_toml(text, "recipe"), self.branch.recipe
        names = [each.name for each in fields(Recipe)]
        other = {each: getattr(recipe, each) for each in names}
        changed = {
            name: list(each) if isinstance(each, tuple) else each  # as TOML has several numbers
            for name, each in other.items()
            if each != getattr(now, name)
        }
        return _said(self.branch.turn(**changed)) or "it is the recipe that trains"

    def fork(self, name: str | None = None, value: object = None) -> str:
        """A branch that goes on beside the one looked at: the same but for one setting.

        Raises:
            RunError: there are too many, or the setting cannot be.
        """
        if len(self.branches) >= MOST_BRANCHES:
            raise RunError(f"there are {MOST_BRANCHES} branches: drop one first")
        number = next(n for n in range(1, 100) if f"fork {n}" not in self.branches)
        made = self.branch.fork(f"fork {number}")
        marks = made.turn(**{_turnable(name): value}) if name else []
        self.branches[made.name] = made
        return f"{made.name} goes on beside {self.chosen}" + (f", {_said(marks)}" if marks else "")

    def compare(self, rules: Sequence[str]) -> str:
        """Begin anew with a branch for each update rule: the same first weights, images and chance.

        Each has the rate that its paper or PyTorch begins with.

        Raises:
            RunError: there is no such rule, or there are too many.
        """
        if not 1 <= len(set(rules)) <= MOST_BRANCHES:
            raise RunError(
                f"from 1 to {MOST_BRANCHES} rules can be compared, not {len(set(rules))}"
            )
        before = self.branch
        self.branches = {
            rule: begun(rule, before.network, before.recipe.changed(rule=rule), self.splits)
            for rule in dict.fromkeys(rules)
        }
        self.chosen, self.failure = next(iter(self.branches)), ""
        return f"comparing {', '.join(self.branches)} from the same beginning"

    def drop(self, branch: str) -> None:
        """Forget a branch.

        Raises:
            RunError: there is no such branch, or it is the last.
        """
        dropped = self._branch(branch)
        if len(self.branches) == 1:
            raise RunError("there must be one branch")
        del self.branches[dropped.name]
        if self.chosen == dropped.name:
            self.chosen = next(iter(self.branches))

    def choose(self, branch: str) -> None:
        """Look at another branch."""
        self.chosen = self._branch(branch).name

    def kept(self, text: str) -> dict[str, Any]:
        """What `apply` would keep of the weights."""
        network = Network.parse(text, "network")
        with torch.device("meta"):  # shapes alone: it is asked while somebody types
            model = network.build()
        return _kept(keep(self.model.state_dict(), model, dry=True))

    def apply(self, text: str) -> dict[str, Any]:
        """Go on with another network: layers of the same name and shape keep their weights.

        The update rule's memory begins anew. Where no weight is kept, so do the curves.

        Raises:
            NotationError: the text is no network.
            DataError: the images do not fit it.
        """
        network = Network.parse(text, "network")
        self.branches[self.chosen], kept = self.branch.rebuilt(network)
        return _kept(kept)

    def overfit(self, on: bool) -> str:
        """Learn 20 images by heart, from the beginning and without decay, or stop that.

        A network that cannot has a fault (CS231n, neural-networks-3, sanity checks).
        """
        if not on:
            self.drop(HEART)
            return "back to all images"
        if HEART in self.branches:
            self.choose(HEART)
            return "it learns them already"
        recipe = self.branch.recipe.changed(
            weight_decay=0.0, batch=FEW, flip="none", shift=0, schedule="constant"
        )
        train = self.splits.train
        few = replace(self.splits, train=train.take(some(train, FEW)), validation=None)
        self.branches[HEART] = begun(HEART, self.branch.network, recipe, few)
        self.chosen = HEART
        return f"learning {FEW} images by heart: the loss should come near 0"

    def check_gradients(self) -> dict[str, Any]:
        """Gradients beside differences, on a few training images."""
        few = self.splits.train.take(some(self.splits.train, CHECKED))
        images = self.branch.preparation(few.pixels[:])
        device, labels = device_of(self.model), torch.from_numpy(few.labels)
        found = check_gradients(self.model, images.to(device), labels.to(device))
        worst = max((each.worst for each in found), default=0.0)
        said = "right" if worst <= GOOD else "wrong" if worst > WRONG else "to be looked at"
        error = f"relative error {worst:.1e}" if worst else "no difference beyond rounding"
        count = sum(each.compared for each in found)
        said = f"{said}: {error}, {count} weights compared in float64"
        return {"said": said, "tensors": [*map(asdict, found)]}

    def look(self, number: int) -> None:
        """Look at a test image."""
        self.subject = Subject.of(self.splits.test, number)

    def next_image(self) -> None:
        """Look at a test image further on, mostly of another class: many a set lies by class."""
        test = self.splits.test
        self.look((self.subject.number or 0) + len(test) // len(test.classes) + 1)

    def own(self, content: bytes) -> None:
        """Look at a person's own image.

        Raises:
            DataError: it cannot be decoded.
        """
        self.subject = Subject.own(content, self.splits.test)

    def reset(self, text: str | None = None) -> str:
        """Begin anew, with other first weights, or with another recipe.

        Args:
            text: a recipe; the split of the images and their size stay as they are.

        Raises:
            RunError: the text is no recipe.
        """
        before = self.branch
        if text is None:
            recipe = before.recipe.changed(seed=before.recipe.seed + 1)
        else:
            kept = {name: getattr(before.recipe, name) for name in ("validation", "resize")}
            recipe = replace(from_toml(text, "recipe"), **kept)
        name = "main" if self.by_heart else self.chosen
        self.branches = {name: begun(name, before.network, recipe, self.splits)}
        self.chosen, self.failure = name, ""
        return "begun anew"

    def begin(self, run: str) -> str:
        """Begin with the network and the weights of a run, one of those on the shelf, and rest.

        At a tenth of the rate: what was learned would be lost at that of random weights (CS231n,
        transfer-learning).

        Raises:
            RunError: it is none of those, or damaged.
        """
        if run not in runs(self.splits):
            raise RunError(f"there is no run {run!r} that fits these images")
        recipe = self.branch.recipe
        recipe = recipe.changed(learning_rate=recipe.learning_rate / 10)
        made = with_weights("main", open_run(run), recipe, self.splits)
        self.branches, self.chosen, self.failure = {"main": made}, "main", ""
        self.running = False
        return f"begun with the weights of {run}, at rest and at a tenth of the rate"

    def save(self) -> str:
        """Keep the branch as a run folder, with the script that repeats it; says where.

        Raises:
            RunError: it cannot be written, or learns but a few images.
        """
        if self.by_heart:
            raise RunError("a run is of all images, and this branch learns a few: choose another")
        branch = self.branch
        made_from = branch.network, self.splits, branch.preparation, branch.recipe, branch.compute
        run = create_run(None, *made_from)
        keep_now(run, branch.state, branch.told)
        write(run.path / "session.py", script(branch).encode())
        return str(run.path)

    def _branch(self, name: str | None) -> Branch:
        if name is None:
            return self.branch
        if name not in self.branches:
            raise RunError(f"there is no branch {name!r}")
        return self.branches[name]


def _turnable(name: str) -> str:
    if name not in TURNED:
        raise RunError(f"{name} cannot be turned while it trains: {', '.join(TURNED)} can")
    return name


def _said(marks: Sequence[Mark]) -> str:
    return ", ".join(f"{each.name} from {each.before} to {each.after}" for each in marks)


def _kept(kept: Kept) -> dict[str, Any]:
    if not kept.taken:
        said = "all weights begin anew"
    elif not kept.anew:
        said = "all weights are kept"
    else:
        said = f"{len(kept.taken)} weights are kept; anew: " + ", ".join(
            f"{name} ({why})" for name, why in kept.anew.items()
        )
    return {"said": said, "taken": list(kept.taken), "anew": kept.anew}
