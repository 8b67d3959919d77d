"""Networks and texts made at random, from any source of choices that is like `random.Random`.

Plain Python, so that the fuzz can use it without hypothesis; strategies.py wraps it for the tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING
from random import Random
from typing import Any

from striate.errors import Misfit, NotationError
from striate.expand import expand
from striate.layers import JOINS, KINDS, FullyConnected, Pair, Shortcut, Upsample, Volume
from striate.layers.settings import (
    Choice,
    Extent,
    Identifier,
    Real,
    Whole,
    Wholes,
    form_of,
    settings_of,
)
from striate.notation import write_script
from striate.notation.words import canonical, checked, word_of
from striate.tree import (
    Block,
    Branches,
    Call,
    Check,
    Head,
    Item,
    Label,
    Name,
    Number,
    Operation,
    Parameter,
    Reference,
    Repeat,
    Script,
    Sequence,
    Word,
)

LARGEST_VOLUME = 4000
MOST_STEPS = 60
DEEPEST = 2
LABELS = ("x", "y", "skip", "forward", "train", "head", "from", "conv", "relu", "id", "add", "a_")
PARAMETERS = ("k", "s", "n", "a", "b", "no", "floor", "width", "x", "conv", "from")
BLOCKS = ("basic", "f_", "bottleneck_", "res_a", "tower", "reluconv")
FRONT = ("name", "paper", "year", "note", "see-also", "a key of words")
VALUES = (
    "ResNet-34",
    "Simonyan & Zisserman 2014, arXiv:1409.1556",
    "2015",
    "# no comment",
    "é: 漢字",
)

Labels = Mapping[str, Volume]
Known = Mapping[str, int]


class Maker:
    """Makes scripts that are valid networks: every item is tried on the volume that it meets."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.blocks: list[Block] = []
        self.heads: list[Head] = []
        self.named = 0

    def script(self) -> Script:
        """A whole network."""
        met = Volume(self.whole(1, 9), self.whole(1, 9), self.whole(1, 6))
        body, _ = self.sequence(met, {}, {}, 0, 6)
        front = {key: self.one(VALUES) for key in FRONT if self.chance(20)}
        script = Script(met, body, tuple(self.blocks), tuple(self.heads), tuple(front.items()))
        try:
            expand(script)
        except NotationError:  # a block called again in a way that does not fit; rare
            return Script(met, (Word("relu"),), front=script.front)
        return script

    # -- small choices

    def chance(self, percent: int) -> bool:
        return self.random.randint(0, 99) < percent

    def whole(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def one(self, options: Iterable[Any]) -> Any:
        return self.random.choice(tuple(options))

    def pair(self, low: int, high: int) -> Pair:
        height = self.whole(low, high)
        return Pair(height, self.whole(low, high) if self.chance(30) else height)

    def fresh(self, names: tuple[str, ...]) -> str:
        """A name that nothing else has."""
        self.named += 1
        return f"{self.one(names)}{self.named if self.named > 1 else ''}"

    # -- sequences

    def sequence(
        self, met: Volume, known: Known, outer: Labels, depth: int, most: int, checks: bool = True
    ) -> tuple[Sequence, Volume]:
        """Items that fit one after the other, and the volume that they give."""
        items: list[Item] = []
        labels: dict[str, Volume] = {}
        for _ in range(self.whole(1, most)):
            visible = {**outer, **labels}
            item = self.item(met, known, visible, depth)
            given = self.gives(met, (item,), known, visible)
            if given is None:
                continue
            met = given
            if self.chance(25):
                name = self.fresh(LABELS)
                item, labels[name] = Label(name, item), given
            items.append(item)
            if checks and self.chance(20):
                items.append(Check(met))
            if depth == 0 and isinstance(item, Label) and self.chance(25):
                body, _ = self.sequence(met, {}, labels, 1, 3)
                self.heads.append(Head(f"out{len(self.heads) + 1}", item.name, body))
                if self.chance(50):
                    name, met = self.one(labels.items())
                    items.append(Reference(name))
        if not items or (depth == 0 and isinstance(items[-1], Reference)):
            items.append(Word("id"))
        return tuple(items), met

    def item(self, met: Volume, known: Known, labels: Labels, depth: int) -> Item:
        """A word, or with luck something larger; it may turn out not to fit."""
        if depth < DEEPEST and self.chance(45):
            larger = self.one((self.repeat, self.branches, self.call))
            made: Item = larger(met, known, labels, depth + 1)
            return made
        return self.word(met, known)

    def repeat(self, met: Volume, known: Known, labels: Labels, depth: int) -> Repeat:
        body, _ = self.sequence(met, known, labels, depth, 3)
        times = self.whole(1, 3)
        while times > 1 and self.gives(met, (Repeat(body, times),), known, labels) is None:
            times -= 1
        return Repeat(body, self.expression(times, known) if self.chance(40) else times)

    def branches(self, met: Volume, known: Known, labels: Labels, depth: int) -> Branches:
        """Branches of which the later ones are made to agree with the first."""
        kind = self.one(JOINS)
        first, target = self.sequence(met, known, labels, depth, 3)
        made = [first]
        for _ in range(self.whole(1, 2)):
            start: Sequence = ()
            at = met
            if labels and self.chance(40):
                name, at = self.one(labels.items())
                start = (Reference(name),)
            if self.chance(60):
                inner, at = self.sequence(at, known, labels, depth, 2)
                start += inner
            made.append(start + self.agreeing(kind, at, target))
        return Branches(kind, tuple(each or (Word("id"),) for each in made))

    def agreeing(self, kind: str, at: Volume, target: Volume) -> Sequence:
        """Words that lead from one volume to another."""
        if kind == "mul" and self.chance(30):
            return (word_of(FullyConnected(units=self.one((1, target.depth)))),)
        depth = self.whole(1, 6) if kind == "concat" else target.depth
        if at[:2] == target[:2] and (kind == "concat" or at == target):
            return ()
        stride = Pair(-(-at.height // target.height), -(-at.width // target.width))
        shortcut = Shortcut(filters=depth, stride=stride, option=self.one("bc"))
        if shortcut.volume(at)[:2] == target[:2]:
            return (word_of(shortcut),)
        return to_volume(target._replace(depth=depth))

    # -- blocks and calls

    def call(self, met: Volume, known: Known, labels: Labels, depth: int) -> Call:
        """A call of a block; where no old one fits, of a new one that does."""
        if self.blocks and self.chance(50):
            block = self.one(self.blocks)
            call = self.arguments(block, {}, known)
            if self.gives(met, (call,), known, labels) is not None:
                return call
        names = [name for name in PARAMETERS if self.chance(20)]
        given = {name: self.whole(0, 6) for name in names}
        body, _ = self.sequence(met, given, {}, depth, 3, checks=False)
        parameters = tuple(
            Parameter(name, value if self.chance(30) else self.one((None, None, 1, 2)))
            for name, value in given.items()
        )
        block = Block(self.fresh(BLOCKS), parameters, body)
        self.blocks.append(block)
        return self.arguments(block, given, known)

    def arguments(self, block: Block, given: Known, known: Known) -> Call:
        """The call with these values or others, written out or as expressions of the caller's."""
        stated: dict[str, Number] = {}
        for each in block.parameters:
            value = given.get(each.name, self.whole(0, 6))
            if each.default is None or value != each.default:
                stated[each.name] = self.expression(value, known) if self.chance(40) else value
        return Call(block.name, tuple(stated.items()))

    # -- words

    def word(self, met: Volume, known: Known) -> Word:
        """A word of any kind that fits, some of its numbers as expressions of the parameters."""
        for _ in range(8):
            kind = self.one(sorted({*KINDS} - {"opaque"}))
            try:
                layer = KINDS[kind](**self.settings(kind, met))
                if layer.volume(met).size <= LARGEST_VOLUME:
                    return self.opened(word_of(layer), known)
            except (Misfit, ValueError):
                continue
        return Word("relu")

    def settings(self, kind: str, met: Volume) -> dict[str, Any]:
        """Settings of each form at random; most of them fit."""
        made: dict[str, Any] = {}
        for name, each in settings_of(KINDS[kind]).items():
            needed = each.default is MISSING or each.metadata["position"] == 0
            if needed or each.metadata["role"] == "kernel" or self.chance(35):
                made[name] = self.setting(name, form_of(each), met)
        if kind in ("maxpool", "avgpool", "subsample") and self.chance(20):
            made = {}
        if "filters" in made and "groups" in made:
            made["filters"] *= made["groups"]
        if "stop" in made:
            made["stop"] = self.whole(made["first"] + 1, met.depth)
        return made

    def setting(self, name: str, form: object, met: Volume) -> Any:
        match form:
            case Choice():
                return self.one(form.names)
            case Identifier():
                return self.one(("attention", "unknown", "a_1", "x"))
            case Real():
                return self.real(max(form.low, -3.0), min(form.high, 3.0))
            case Wholes():
                return tuple(self.whole(0, met.depth - 1) for _ in range(self.whole(1, 4)))
            case Extent() if name in ("pad", "extra", "border", "end"):
                return self.pair(0, 2)
            case Extent():
                return self.pair(1, 5 if name == "kernel" else 3)
            case Whole() if name == "first":
                return self.whole(0, met.depth - 1)
            case Whole() if name == "groups":
                return self.one(g for g in range(1, met.depth + 1) if met.depth % g == 0)
            case Whole():
                return self.whole(1, 8)
        raise TypeError(f"no way to choose a {name}")

    def real(self, low: float, high: float) -> float:
        exact = self.one((low, high, 0.5, 1.0, 1e-4, 0.1 + 0.2, 2 / 3, 1.5e-5))
        return float(exact) if low <= exact <= high else self.random.uniform(low, high)

    def opened(self, word: Word, known: Known) -> Word:
        """The word with expressions in the place of numbers, where its settings take them."""
        given = dict(word.settings)
        for name, each in settings_of(KINDS[word.kind]).items():
            form, value = form_of(each), given.get(name, each.default)
            if not known or not self.chance(40):
                continue
            if isinstance(form, Wholes):
                given[name] = tuple(self.expression(channel, known) for channel in value)
            elif isinstance(form, Extent) and isinstance(value, Pair) and value[0] == value[1]:
                given[name] = self.expression(value.height, known)
            elif isinstance(form, Whole):
                given[name] = self.expression(value, known)
        closed = {name: checked(word.kind, name, value) for name, value in given.items()}
        return Word(word.kind, canonical(word.kind, closed))

    def expression(self, value: int, known: Known, depth: int = 0) -> Number:
        """An expression that has this value."""
        if not known or (depth and self.chance(20)):
            return value
        name = self.one(known)
        other = known[name]
        if value == other and self.chance(70):
            return Name(name)
        forms = [("-", other - value), ("+", value - other)]
        if other and value % other == 0:
            forms.append(("*", value // other))
        if value and other and other % value == 0:
            forms.append(("/", other // value))
        sign, rest = self.one(forms)
        inner = self.expression(rest, known, depth + 1) if depth < 3 else rest
        if sign in "+*" and self.chance(30):
            return Operation(sign, inner, Name(name))
        return Operation(sign, Name(name), inner)

    # -- trying

    def gives(self, met: Volume, items: Sequence, known: Known, labels: Labels) -> Volume | None:
        """The volume that the items give where these labels are seen, or None: they do not fit."""
        before: list[Item] = []
        for name, volume in labels.items():
            *words, last = to_volume(volume)
            before += [*words, Label(name, last)]
        parameters = tuple(Parameter(name, value) for name, value in known.items())
        trial = Block("trial", parameters, (*before, *to_volume(met), *items))
        try:
            made = expand(Script(met, (Call("trial"),), (*self.blocks, trial)))
        except NotationError:
            return None
        volume = made.steps[made.output].volume
        small = len(made.steps) <= MOST_STEPS and volume.size <= LARGEST_VOLUME
        return volume if small else None


def to_volume(volume: Volume) -> tuple[Word, Word]:
    """Two words that make any volume into this one."""
    height, width, depth = volume
    return (
        word_of(FullyConnected(units=depth)),
        word_of(Upsample(factor=Pair(height, width))),
    )


# -- texts

PIECES = (
    *KINDS,
    *JOINS,
    *"()[]{}|:@=*/-+,.#\n\t\r\0 \\\"'%$",
    *(
        "(",
        ")",
        "( ",
        " )",
        "*2",
        "-8",
        "/2",
        "x",
        "[8x8x3]",
        "[1x1x8]",
        "---\n",
        "name: x\n",
        " | ",
    ),
    *(
        "add( ",
        "mul( ",
        "concat( ",
        "head out from @x: ",
        "x: ",
        "@x",
        "f(k, s=1) = ",
        "f(2)",
        "k",
        "*k",
        "1e-4",
    ),
    *("conv3-4", "conv3-(k*2)", "(pad=1)", "(floor)", "0.5", "999999999999", "2147483647", "1e999"),
    *(
        "0",
        "1",
        "3x3",
        "\u200b",
        "é",
        "漢",
        "İ",
        "\ufeff",
        "٣",
        "\u2028",
        "\x85",
        "-1",
        "--",
        "**",
    ),
)
TOKEN = re.compile(r"\w+|\s+|.", re.DOTALL)
WORD = re.compile(r"\s+|[\[(|)\]]|[^\s\[(|)\]]+")
NUMBERS = (*"01234567899", *"12345678", "1000", "65536", "2147483647", "2147483648", "9" * 30)


def noise(random: Random) -> str:
    """A text of pieces of the notation in any order, now and then after a good beginning."""
    start = random.choice(("", "[8x8x3] ", "[8x8x3] relu ", "f(k, s=1) = conv3-k relu\n[8x8x3] "))
    gap = random.choice(("", " "))
    return start + gap.join(random.choice(PIECES) for _ in range(random.randint(0, 40)))


def accidents(random: Random, text: str, other: str) -> str:
    """The text after accidents, most often to what follows the front matter."""
    rule = text.find("---\n") + 4
    if rule > 3 and random.random() < 0.8:
        return text[:rule] + mutated(random, text[rule:], other)
    return mutated(random, text, other)


def mutated(random: Random, text: str, other: str) -> str:
    """The text after a few small accidents to its words, its tokens or its characters."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        cut = random.choice((WORD.findall, WORD.findall, TOKEN.findall, list))
        parts, others = cut(text), cut(other)
        if not parts or not others:
            return other
        at, until = sorted((random.randrange(len(parts)), random.randrange(len(parts))))
        until = min(until, at + random.randint(1, 8))
        plain = [n for n, part in enumerate(parts) if not re.search(r"[\s()\[\]|]", part)]
        if plain and random.random() < 0.8:
            at = until = random.choice(plain)
            others = [part for part in others if not re.search(r"[\s()\[\]|]", part)] or others
        match random.randrange(20):
            case 0 | 11:
                del parts[at : until + 1]
            case 1:
                parts.insert(at, random.choice(PIECES))
            case 2:
                parts.insert(at, random.choice(others))
            case 3 | 12 | 13:
                parts[at] = random.choice(others)
            case 4:
                parts[at:at] = parts[at : until + 1]
            case 5:
                parts[at], parts[until] = parts[until], parts[at]
            case 6:
                parts[at:] = others[random.randrange(len(others)) :]
            case 7 | 8 | 14 | 15 | 16 | 17 | 18 | 19:
                numbers = list(re.finditer("[0-9]+", text)) or [re.match("", text)]
                start, end = random.choice(numbers).span()
                parts = [text[:start], random.choice(NUMBERS), text[end:]]
            case 9:
                depth = random.choice((1, 1, 2, 10, 39, 60))
                parts[at : until + 1] = ["(" * depth, *parts[at : until + 1], ")" * depth]
            case 10:
                breaks = {"\n": "\r\n", " ": random.choice(("\t", "\n", "\v", "\u3000", "  "))}
                change = random.choice((str.upper, str.title, str.swapcase))
                parts = [breaks.get(part, change(part)) for part in parts]
        text = "".join(parts)
    return text


def random_text(random: Random, texts: tuple[str, ...] = ()) -> str:
    """A text that is sometimes a network: generated, mutated, or noise."""
    kind = random.random()
    if kind < 0.2:
        return noise(random)
    text = random.choice(texts) if texts and kind < 0.4 else write_script(Maker(random).script())
    other = random.choice(texts) if texts else noise(random)
    if random.random() < 0.4:  # or most numbers that change would only break a check
        start = text.find("]") + 1
        text = text[:start] + re.sub(r"\[[^]]*\]", "", text[start:])
    return text if kind > 0.97 else accidents(random, text, other)
