"""A line of training in the lab: a state, the loop at work on it, what it has told; its forks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace

from striate import pretrained
from striate.compute import Compute, choose
from striate.data import Preparation, Splits, prepare
from striate.errors import RunError
from striate.lab.curves import Curve
from striate.network import Network
from striate.recipes import Recipe
from striate.records import Ended, Evaluated, Record, Stepped
from striate.runs import Run
from striate.state import State, initial
from striate.train import train
from striate.transfer.keep import Kept, keep

LATELY = 50  # steps
MOST_TOLD = 20_000  # records kept; of each kind every second one goes then
# Settings that were used before the first step: another value needs another beginning.
FIRST = {"initialisation", "whiten", "freeze", "normalisation", "resize", "validation", "seed"}


@dataclass(frozen=True)
class Mark:
    """What was changed, after so many images, from one value to another."""

    seen: int
    name: str
    before: object
    after: object


@dataclass(frozen=True)
class Turn:
    """What was done to a branch after so many steps: settings or the whole network changed."""

    step: int
    settings: dict[str, object] = field(default_factory=dict)
    network: str = ""


@dataclass(eq=False)
class Branch:
    """One curve. Between steps its recipe may change: the loop goes on where its state is.

    Attributes:
        began: network and recipe as they were in the beginning.
        weights: what `open_run` knows the run by whose weights it began with; empty where they
            were random.
        follows: the run folder that it goes on from, with all that training needs; else empty.
        seen: images trained on.
        parent: the branch that it forked off, and after how many images.
        marks: what was changed, for eyes.
        turns: the same, to be done again.
        last: the step done last.
        first: the loss of the first step.
        lately: wrong and images of the last steps.
        told: records; of a long run not all.
        exploded: whether the last step came to numbers that are not finite.
        ended: whether its recipe has come to its end.
    """

    name: str
    network: Network
    state: State
    splits: Splits
    preparation: Preparation
    compute: Compute
    began: tuple[Network, Recipe]
    weights: str = ""
    follows: str = ""
    seen: int = 0
    parent: tuple[str, int] | None = None
    marks: list[Mark] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    loss: Curve = field(default_factory=Curve)
    training: Curve = field(default_factory=Curve)
    validation: Curve = field(default_factory=Curve)
    last: Stepped | None = None
    first: float | None = None
    lately: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=LATELY))
    told: list[Record] = field(default_factory=list)
    exploded: bool = False
    ended: bool = False
    loop: Iterator[Record] | None = None

    @property
    def recipe(self) -> Recipe:
        """As it is now."""
        return self.state.recipe

    @property
    def recently_right(self) -> float | None:
        """The part of the images of the last 50 steps that were right, 0 to 1."""
        images = sum(count for _, count in self.lately)
        return 1 - sum(wrong for wrong, _ in self.lately) / images if images else None

    def step(self) -> None:
        """Train one step; what the end of an epoch tells comes before the next.

        Raises:
            NotFinite: a loss or a gradient is not.
        """
        if self.loop is None:
            self.loop = train(self.state, self.splits, self.preparation, compute=self.compute)
        for record in self.loop:
            self.hear(record)
            if isinstance(record, Stepped | Ended):
                return

    def train(self, step: int) -> None:
        """Train until so many steps are done."""
        while self.state.progress.step < step and not self.ended:
            self.step()

    def turn(self, **settings: object) -> list[Mark]:
        """Change settings of the recipe; gives a mark for each that has another value now.

        Weights and progress stay, and what the update rule remembers, unless it is another rule.

        Raises:
            RunError: there is no such setting, it cannot have this value, nothing reads it, or it
                was used in the beginning.
        """
        before = self.recipe
        recipe = before.with_settings(settings)
        names = [each.name for each in fields(Recipe)]
        other = [each for each in names if getattr(recipe, each) != getattr(before, each)]
        if used := FIRST.intersection(other):
            raise RunError(f"{min(used)} was used in the beginning: begin anew with another")
        if not other:
            return []
        self._go_on(State(self.state.model, recipe))
        self.turns.append(Turn(self.state.progress.step, settings))
        marks = [
            Mark(self.seen, each, getattr(before, each), getattr(recipe, each)) for each in other
        ]
        self.marks += marks
        return marks

    def rebuilt(self, network: Network) -> tuple[Branch, Kept]:
        """This branch with another network: layers of the same name and shape keep their weights.

        The update rule's memory begins anew. Where no weight is kept, so does all else.

        Raises:
            DataError: the images do not fit it.
        """
        made = begun(self.name, network, self.recipe, self.splits)
        kept = keep(self.state.model.state_dict(), made.state.model)
        if not kept.taken:
            return made, kept
        progress = self.state.progress
        made.state.progress = replace(progress, errors=[*progress.errors], ends=[*progress.ends])
        mark = Mark(self.seen, "network", "", f"{len(kept.taken)} weights kept")
        turn = Turn(progress.step, network=str(network))
        return replace(
            self,
            network=network,
            state=made.state,
            preparation=made.preparation,
            compute=made.compute,
            marks=[*self.marks, mark],
            turns=[*self.turns, turn],
            lately=deque(maxlen=LATELY),  # what was right of late was the other network's answer
            loop=None,
        ), kept

    def fork(self, name: str) -> Branch:
        """The same weights, memory of the rule, order of images and chance, to go on apart."""
        state = State(deepcopy(self.state.model), self.recipe)
        return replace(
            self,
            name=name,
            state=_gone_on(state, self.state),
            parent=(self.name, self.seen),
            marks=[*self.marks],
            turns=[*self.turns],
            loss=deepcopy(self.loss),
            training=deepcopy(self.training),
            validation=deepcopy(self.validation),
            lately=deque(self.lately, maxlen=LATELY),
            told=[*self.told],
            loop=None,
        )

    def _go_on(self, state: State) -> None:
        """Go on with another state on the same weights."""
        if self.loop is not None:
            self.loop.close()  # type: ignore[attr-defined]  # a generator
        self.state, self.loop, self.ended = _gone_on(state, self.state), None, False

    def hear(self, record: Record) -> None:
        """Take in what training tells."""
        match record:
            case Stepped():
                self.last, self.exploded = record, False
                self.first = record.loss if self.first is None else self.first
                self.lately.append((record.wrong, record.images))
                self.seen += record.images
                self.loss.add(self.seen, record.loss)
                self.training.add(self.seen, 1 - record.wrong / record.images)
            case Evaluated():
                self.validation.add(self.seen, 1 - record.score.top1_error)
            case Ended():
                self.ended = True
        self.told.append(record)
        if len(self.told) > MOST_TOLD:
            steps = [each for each in self.told if isinstance(each, Stepped)]
            others = [each for each in self.told if not isinstance(each, Stepped)]
            left_out = {id(each) for each in (*steps[::2], *others[::2])}
            self.told = [each for each in self.told if id(each) not in left_out]


def begun(name: str, network: Network, recipe: Recipe, splits: Splits) -> Branch:
    """A branch with the weights that the recipe's seed and initialisation give it.

    It computes in float32 by PyTorch's own operations: what one looks at is what is trained.

    Raises:
        DataError: the images do not fit the network.
        RunError: the recipe cannot be followed.
    """
    preparation = prepare(network, splits, recipe.normalisation)
    compute = choose(network, recipe.batch, exact=True)
    model = compute.place(initial(network, recipe, splits.train, preparation))
    state = State(model, recipe)
    return Branch(name, network, state, splits, preparation, compute, (network, recipe))


def with_weights(name: str, run: Run, recipe: Recipe, splits: Splits) -> Branch:
    """A branch that begins with a run's network and weights, and with nothing learned yet here.

    Raises:
        DataError: the images do not fit the network.
        RunError: the run told other classes apart, or its weights are damaged.
    """
    classes = splits.test.classes
    if run.classes != classes:
        told = ", ".join(run.classes[:3])
        raise RunError(f"{run.path} tells {len(run.classes)} other classes apart: {told}, ...")
    made = begun(name, run.network, recipe, splits)
    made.state.model.load_state_dict(run.model().state_dict())
    return replace(made, preparation=run.preparation, weights=pretrained.reference(run.path))


def _gone_on(state: State, before: State) -> State:
    """A fresh state with the progress of another, and with what its rule and average remember."""
    if state.recipe.rule == before.recipe.rule:
        kept = {name: each.clone() for name, each in before.optimiser.tensors().items()}
        with suppress(RunError):  # of another network
            state.optimiser.load(kept)
    if state.average and before.average:
        state.average.load({name: each.clone() for name, each in before.average.tensors().items()})
    progress = before.progress
    state.progress = replace(progress, errors=[*progress.errors], ends=[*progress.ends])
    return state
