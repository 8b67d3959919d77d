"""Script to steps: blocks called, groups repeated, every volume worked out and checked.

The one place where volumes flow. What a text gets wrong about them is said here, at its place.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from striate.errors import (
    DoesNotFit,
    Misfit,
    NotationError,
    Place,
    TooLarge,
    UnknownWord,
    VolumeMismatch,
    nearest,
)
from striate.layers import JOINS, BatchNorm, Layer, Shortcut, Volume
from striate.layers.join import largest
from striate.layers.settings import LARGEST
from striate.mismatch import agreement, derivation, unlike
from striate.notation.words import layer_of
from striate.notation.write import write_item
from striate.steps import INPUT, Expansion, Part, Step
from striate.tree import (
    Block,
    Branches,
    Call,
    Check,
    Item,
    Label,
    Reference,
    Repeat,
    Script,
    Sequence,
    Word,
    number_value,
)

MOST_LAYERS = 100_000
MOST_WORDS = 4 * MOST_LAYERS
DEEPEST = 150


def expand(script: Script) -> Expansion:
    """Works out every step of a script.

    Raises:
        DoesNotFit, VolumeMismatch, UnknownWord, TooLarge: all NotationErrors, placed.
    """
    return _Expander(script).run()


@dataclass(frozen=True)
class _Scope:
    """What a sequence can see: the arguments of its block, the labels, the calls that led here."""

    known: Mapping[str, int]
    labels: MutableMapping[str, int]
    calls: tuple[tuple[str, Place | None], ...] = ()
    repeated: bool = False


class _Expander:
    def __init__(self, script: Script) -> None:
        self.script = script
        self.blocks = {each.name: each for each in script.blocks}
        self.steps: list[Step] = []
        self.visited = 0
        self.depth = 0
        self.direct: int | None = None  # the step whose word stands directly before this one

    def run(self) -> Expansion:
        labels: dict[str, int] = {}
        scope = _Scope({}, labels)
        main = Part("", "network", taken=_labels(self.script.body))
        output = self.sequence(main, self.script.body, INPUT, scope)
        if output == INPUT:
            raise NotationError("the network has no layers", self.script.place)
        heads, head_outputs = {}, {}
        for head in self.script.heads:
            if head.name in heads or head.name in {"main", *(each.name for each in main.children)}:
                hint = "a head has a name of its own"
                raise NotationError(f"the name {head.name} is taken", head.place, hints=[hint])
            start = self.labelled(head.label, head.place, scope)
            heads[head.name] = Part(head.name, "head", taken=_labels(head.body))
            self.direct = None
            head_outputs[head.name] = self.sequence(heads[head.name], head.body, start, scope)
            if not any(heads[head.name].steps()):
                raise NotationError(f"the head {head.name} has no layers", head.place)
        self.settle_biases()
        self.refuse_unused({output, *head_outputs.values()})
        return Expansion(tuple(self.steps), main, heads, output, head_outputs, labels)

    # -- sequences and items

    def sequence(self, part: Part, items: Sequence, at: int, scope: _Scope) -> int:
        """Fills the part, starting from the volume of step `at`; returns its exit."""
        part.entry = at
        for item in items:
            at = self.item(part, item, at, scope)
        part.exit = at
        return at

    def item(self, part: Part, item: Item, at: int, scope: _Scope, label: str = "") -> int:
        self.visited += 1
        self.depth += 1
        if self.visited > MOST_WORDS:
            raise TooLarge(f"the network has more than {MOST_WORDS:,} words", item.place)
        if self.depth > DEEPEST:
            raise TooLarge(f"blocks and groups nest deeper than {DEEPEST}", item.place)
        match item:
            case Word():
                at = self.word(part, item, at, scope, label)
            case Call():
                at = self.call(part, item, at, scope, label)
            case Repeat():
                at = self.repeat(part, item, at, scope, label)
            case Branches():
                at = self.branches(part, item, at, scope, label)
            case Check():
                at = self.check(item, at, scope)
            case Label():
                at = self.label(part, item, at, scope)
            case Reference():
                self.direct = None
                at = self.labelled(item.name, item.place, scope)
        self.depth -= 1
        return at

    def word(self, part: Part, word: Word, at: int, scope: _Scope, label: str) -> int:
        try:
            layer = layer_of(word, scope.known)
            if isinstance(layer, Shortcut):
                return self.shortcut(part, layer, word, at, scope, label)
            return self.add(part, layer, (at,), word.place, scope, label)
        except Misfit as misfit:
            message = f"{write_item(word)} {misfit.message}"
            raise self.placed(
                DoesNotFit, word.place, scope, message, misfit.note, misfit.hints
            ) from None

    def shortcut(
        self, part: Part, layer: Shortcut, word: Word, at: int, scope: _Scope, label: str
    ) -> int:
        """What the word stands for here; under its label, if it has one, where that is several."""
        layer.volume(self.volume(at))
        first, *others = layer.expand(self.volume(at))
        if not (label and others):
            at = self.add(part, first, (at,), word.place, scope, label)
            for each in others:
                at = self.add(part, each, (at,), word.place, scope, "")
            return at
        group = Part(part.name_for(label, scope.repeated), "group", label, entry=at)
        part.children.append(group)
        for each in (first, *others):
            at = self.add(group, each, (at,), word.place, scope, "")
        group.exit = at
        return at

    def call(self, part: Part, call: Call, at: int, scope: _Scope, label: str) -> int:
        block = self.blocks[call.block]
        self.visited += len(block.parameters)
        known = self.arguments(block, call, scope)
        shown = ", ".join(
            str(value) if each.default is None else f"{each.name}={value}"
            for each, value in zip(block.parameters, known.values(), strict=True)
            if value != each.default
        )
        inner = Part(
            part.name_for(label or call.block, not label or scope.repeated),
            "block",
            (f"{label}: " if label else "") + f"{call.block}({shown})",
            taken=_labels(block.body),
        )
        part.children.append(inner)
        calls = ((inner.title, call.place), *scope.calls)
        return self.sequence(inner, block.body, at, _Scope(known, {}, calls))

    def arguments(self, block: Block, call: Call, scope: _Scope) -> dict[str, int]:
        given = dict(call.arguments)
        known = {}
        for each in block.parameters:
            value = given.get(each.name, each.default)
            if value is None:
                raise NotationError(f"{block.name} lacks its {each.name}", call.place)
            try:
                known[each.name] = number_value(value, scope.known)
            except ArithmeticError as error:
                message = f"{block.name} cannot work out its {each.name}"
                raise self.placed(NotationError, call.place, scope, message, str(error)) from None
        return known

    def repeat(self, part: Part, repeat: Repeat, at: int, scope: _Scope, label: str) -> int:
        try:
            times = number_value(repeat.times, scope.known)
        except ArithmeticError as error:
            message = "the number of repetitions cannot be worked out"
            raise self.placed(NotationError, repeat.place, scope, message, str(error)) from None
        if times < 1:
            message = f"a group is repeated at least once, not {times} times"
            raise self.placed(NotationError, repeat.place, scope, message)
        if label:
            group = Part(
                part.name_for(label, scope.repeated), "group", label, taken=_labels(repeat.body)
            )
            group.entry = at
            part.children.append(group)
            part = group
        first = len(self.steps)
        inner = scope
        for done in range(times):
            if times > 1:
                inner = replace(scope, labels=ChainMap({}, scope.labels), repeated=True)
            for item in repeat.body:
                at = self.item(part, item, at, inner)
            if done == 0 and (layers := (len(self.steps) - first) * times) > MOST_LAYERS:
                message = f"the group repeated {times:,} times makes {layers:,} layers"
                raise TooLarge(message, repeat.place, f"at most {MOST_LAYERS:,}")
        if label:
            part.exit = at
        return at

    def branches(self, part: Part, item: Branches, at: int, scope: _Scope, label: str) -> int:
        join = Part(
            part.name_for(label or item.kind, not label or scope.repeated), item.kind, entry=at
        )
        part.children.append(join)
        ends = []
        for number, branch in enumerate(item.branches, 1):
            inner = Part(f"{join.name}.branch{number}", "branch", taken=_labels(branch))
            join.children.append(inner)
            self.direct = None
            ends.append(self.sequence(inner, branch, at, scope))
        layer = JOINS[item.kind](branches=len(ends))
        volumes = [self.volume(end) for end in ends]
        try:
            joined = layer.join(volumes)
        except Misfit as error:
            raise self.mismatch(item, error, join, volumes, scope) from None
        if large := _too_large(joined):
            raise self.placed(
                DoesNotFit, item.place, scope, f"{item.kind} {large.message}", large.note
            )
        self.direct = None
        met = largest(volumes)
        step = Step(len(self.steps), join.name, layer, layer, tuple(ends), met, joined, item.place)
        self.steps.append(step)
        join.children.append(step)
        join.exit = step.index
        return step.index

    def check(self, check: Check, at: int, scope: _Scope) -> int:
        found = self.volume(at)
        if found != check.volume:
            last = "the input" if at == INPUT else self.steps[at].name
            message = f"the volume here is {found}, not {check.volume}"
            raise self.placed(VolumeMismatch, check.place, scope, message, f"{last} gives {found}")
        return at

    def label(self, part: Part, label: Label, at: int, scope: _Scope) -> int:
        own = scope.labels.maps[0] if isinstance(scope.labels, ChainMap) else scope.labels
        if label.name in own:
            raise self.placed(
                NotationError, label.place, scope, f"there is already a label {label.name}"
            )
        at = self.item(part, label.item, at, scope, label.name)
        scope.labels[label.name] = at
        return at

    def labelled(self, name: str, place: Place | None, scope: _Scope) -> int:
        if name not in scope.labels:
            hint = nearest(name, scope.labels) if scope.labels else "a label is set as in x: relu"
            if name in _every_label(self.script):
                hint = "a label is seen after its word; in a block or a repeated group, only there"
            message = f"there is no label {name!r} here"
            raise self.placed(UnknownWord, place, scope, message, hints=(hint,))
        return scope.labels[name]

    # -- steps

    def volume(self, at: int) -> Volume:
        return self.script.input if at == INPUT else self.steps[at].volume

    def add(
        self,
        part: Part,
        layer: Layer,
        inputs: tuple[int, ...],
        place: Place | None,
        scope: _Scope,
        label: str,
    ) -> int:
        if len(self.steps) >= MOST_LAYERS:
            raise TooLarge(f"the network has more than {MOST_LAYERS:,} layers", place)
        if isinstance(layer, BatchNorm) and self.direct == inputs[0]:
            before = self.steps[inputs[0]]
            if getattr(before.layer, "bias", "") == "auto":
                before.layer = _with_bias(before.layer, "no")
        met = self.volume(inputs[0])
        volume = layer.volume(met)
        if misfit := _too_large(volume):
            raise misfit
        base = f"{layer.kind}_" if layer.kind[-1].isdigit() else layer.kind  # relu6_1
        name = part.name_for(label or base, not label or scope.repeated)
        step = Step(len(self.steps), name, layer, layer, inputs, met, volume, place)
        self.steps.append(step)
        part.children.append(step)
        self.direct = step.index
        return step.index

    def settle_biases(self) -> None:
        """A bias that nothing took away is there."""
        for step in self.steps:
            if getattr(step.layer, "bias", "") == "auto":
                step.layer = _with_bias(step.layer, "yes")

    def refuse_unused(self, outputs: set[int]) -> None:
        """A volume that nothing reads is a mistake, not a network."""
        used = {index for step in self.steps for index in step.inputs} | outputs
        for step in self.steps:
            if step.index not in used:
                message = f"nothing uses the volume of {step.name}"
                raise NotationError(
                    message, step.place, hints=["label it and refer to it, or leave it out"]
                )

    # -- what went wrong

    def placed(
        self,
        kind: type[NotationError],
        place: Place | None,
        scope: _Scope,
        message: str,
        note: str = "",
        hints: Any = (),
    ) -> NotationError:
        """The error with the calls that led to it."""
        calls = [
            f"in {title}" + (f" at {called.line}:{called.column}" if called else "")
            for title, called in scope.calls
        ]
        if len(calls) > 4:
            calls[2:-1] = ["..."]
        return kind(message, place, note, (*hints, *calls))

    def mismatch(
        self, item: Branches, misfit: Misfit, join: Part, volumes: list[Volume], scope: _Scope
    ) -> NotationError:
        """With the derivation of one branch for each of the volumes that differ."""
        labels = {at: f"@{name}" for name, at in scope.labels.items()}
        branches = [each for each in join.children if isinstance(each, Part)]
        numbers = unlike(item.kind, volumes)
        said = [derivation(branches[n], self.volume, labels) for n in numbers]
        hints = [f"branch {n + 1}: {each}" for n, each in zip(numbers, said, strict=True)]
        message = f"{item.kind} {misfit.message}: {', '.join(str(volumes[n]) for n in numbers)}"
        hints += agreement(item.kind, volumes)
        return self.placed(VolumeMismatch, item.place, scope, message, hints=hints)


def _too_large(volume: Volume) -> Misfit | None:
    """What is said of a volume so large that working on with it would be slow."""
    if max(volume) <= LARGEST:
        return None
    return Misfit(f"makes a {volume} volume", f"no side may be above {LARGEST:,}")


@lru_cache(maxsize=4096)
def _with_bias(layer: Layer, bias: str) -> Layer:
    return replace(layer, bias=bias)  # type: ignore[call-arg]  # only called where there is one


def _every_label(script: Script) -> set[str]:
    """All labels that a script sets anywhere, whoever can see them."""

    def walk(items: Sequence) -> Iterator[str]:
        for item in items:
            if isinstance(item, Label):
                yield item.name
                item = item.item
            if isinstance(item, Repeat):
                yield from walk(item.body)
            elif isinstance(item, Branches):
                for branch in item.branches:
                    yield from walk(branch)

    inner = [*(block.body for block in script.blocks), *(head.body for head in script.heads)]
    return {name for body in (script.body, *inner) for name in walk(body)}


def _labels(items: Sequence) -> set[str]:
    """The labels that become names of a part's children."""
    found: set[str] = set()
    for item in items:
        if isinstance(item, Label):
            found.add(item.name)
            item = item.item
        if isinstance(item, Repeat):
            found |= _labels(item.body)
    return found
