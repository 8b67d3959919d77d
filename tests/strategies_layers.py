"""Strategies for layers that fit a volume, and for whole networks of such layers.

Every network has its text, small volumes, and few enough weights that it can be built and run many
times a second.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from striate.errors import Misfit
from striate.layers import JOINS, KINDS, Layer, Pair, Volume
from striate.layers.window import Window
from striate.notation.words import word_of
from striate.notation.write import write_word

Draw = Callable[[st.SearchStrategy[Any]], Any]

WIDEST = 20  # rows or columns, unless a test says otherwise
LARGEST = 8  # values in a volume, for each square of the widest
FLATTENING = frozenset({"fc", "rbf", "flatten"})
EVERY = frozenset(KINDS) - {"opaque"}  # all that can be built
JOINED = tuple(JOINS)


def pairs(low: int, high: int) -> st.SearchStrategy[Pair]:
    """The same for height and width, or one for each."""
    whole = st.integers(low, high)
    return st.one_of(whole.map(lambda n: Pair(n, n)), st.builds(Pair, whole, whole))


# -- one layer of each kind, for the volume that it meets; some drawings do not fit


def _window(draw: Draw, met: Volume, most_pad: int) -> dict[str, Any]:
    return {
        "kernel": draw(pairs(1, 4)),
        "stride": draw(pairs(1, 3)),
        "pad": draw(st.one_of(st.none(), pairs(0, most_pad))),
        "dilation": draw(st.one_of(st.just(Pair(1, 1)), pairs(1, 2))),
        "rounding": draw(st.sampled_from(("exact", "floor", "ceil"))),
    }


def _groups(draw: Draw, depth: int) -> tuple[int, int]:
    """Groups that split the depth, and a number of filters that they split."""
    groups = draw(st.sampled_from([g for g in range(1, depth + 1) if depth % g == 0]))
    return groups, groups * draw(st.integers(1, max(1, 6 // groups)))


def _conv(draw: Draw, met: Volume) -> dict[str, Any]:
    groups, filters = _groups(draw, met.depth)
    bias = draw(st.sampled_from(("auto", "auto", "yes", "no", "point")))
    return {**_window(draw, met, 2), "filters": filters, "groups": groups, "bias": bias}


def _deconv(draw: Draw, met: Volume) -> dict[str, Any]:
    groups, filters = _groups(draw, met.depth)
    return {
        "kernel": draw(pairs(1, 4)),
        "filters": filters,
        "groups": groups,
        "stride": draw(pairs(1, 3)),
        "pad": draw(pairs(0, 1)),
        "extra": draw(pairs(0, 1)),
        "dilation": draw(st.one_of(st.just(Pair(1, 1)), pairs(1, 2))),
        "bias": draw(st.sampled_from(("auto", "yes", "no"))),
    }


def _pool(draw: Draw, met: Volume) -> dict[str, Any]:
    if draw(st.integers(0, 5)) == 0:
        return {}
    return {**_window(draw, met, 1), "dilation": Pair(1, 1)}


def _avgpool(draw: Draw, met: Volume) -> dict[str, Any]:
    return {**_pool(draw, met), "counted": draw(st.sampled_from(("padded", "inside")))}


def _maxpool(draw: Draw, met: Volume) -> dict[str, Any]:
    found = _pool(draw, met)
    return {**found, "dilation": draw(pairs(1, 2))} if found else found


def _units(draw: Draw, met: Volume) -> dict[str, Any]:
    return {"units": draw(st.integers(1, 6))}


def _groupnorm(draw: Draw, met: Volume) -> dict[str, Any]:
    groups = [g for g in range(1, met.depth + 1) if met.depth % g == 0]
    return {"groups": draw(st.sampled_from(groups)), "eps": draw(st.sampled_from((1e-5, 1e-3)))}


def _slice(draw: Draw, met: Volume) -> dict[str, Any]:
    first = draw(st.integers(0, met.depth - 1))
    return {"first": first, "stop": draw(st.integers(first + 1, met.depth))}


def _take(draw: Draw, met: Volume) -> dict[str, Any]:
    channel = st.integers(0, met.depth - 1)
    return {"channels": tuple(draw(st.lists(channel, min_size=1, max_size=4)))}


SETTINGS: dict[str, Callable[[Draw, Volume], dict[str, Any]]] = {
    "conv": _conv,
    "deconv": _deconv,
    "maxpool": _maxpool,
    "avgpool": _avgpool,
    "subsample": _pool,
    "fc": lambda draw, met: {
        **_units(draw, met),
        "bias": draw(st.sampled_from(("auto", "yes", "no"))),
    },
    "rbf": _units,
    "leakyrelu": lambda draw, met: {"slope": draw(st.sampled_from((0.01, 0.2)))},
    "elu": lambda draw, met: {"alpha": draw(st.sampled_from((0.0, 0.7, 1.0)))},
    "gelu": lambda draw, met: {"approximation": draw(st.sampled_from(("exact", "tanh")))},
    "scale": lambda draw, met: {"factor": draw(st.sampled_from((0.25, 2.0)))},
    "bn": lambda draw, met: {"scale": draw(st.sampled_from(("yes", "no")))},
    "layernorm": lambda draw, met: {"eps": draw(st.sampled_from((1e-5, 1e-3)))},
    "groupnorm": _groupnorm,
    "layerscale": lambda draw, met: {"initial": draw(st.sampled_from((1e-6, 0.5, -2.0)))},
    "lrn": lambda draw, met: {"size": draw(st.integers(1, 5)), "alpha": 0.1},
    "dropout": lambda draw, met: {"probability": draw(st.sampled_from((0.0, 0.3, 0.5)))},
    "pad": lambda draw, met: {
        "border": draw(pairs(0, 2)),
        "end": draw(st.one_of(st.none(), pairs(0, 2))),
    },
    "upsample": lambda draw, met: {
        "factor": draw(pairs(1, 3)),
        "method": draw(st.sampled_from(("nearest", "bilinear"))),
    },
    "take": _take,
    "slice": _slice,
    "shuffle": lambda draw, met: {"groups": _groups(draw, met.depth)[0]},
    "shortcut": lambda draw, met: {
        "filters": met.depth + draw(st.integers(0, 2)),
        "stride": draw(pairs(1, 2)),
        "option": draw(st.sampled_from("abc")),
    },
}


def _small(volume: Volume, widest: int) -> bool:
    return volume.size <= LARGEST * widest**2 and max(volume.height, volume.width) <= widest


def fitting(layer: Layer, met: Volume, widest: int = WIDEST) -> Layer | None:
    """The layer, with `floor` or `ceil` or no padding where that makes it fit; else None."""
    changes: list[dict[str, Any]] = [{}]
    if isinstance(layer, Window):
        changes += [
            {"rounding": "floor"},
            {"rounding": "ceil"},
            {"rounding": "ceil", "pad": (0, 0)},
        ]
    for change in changes:
        tried = replace(layer, **change)
        try:
            if _small(tried.volume(met), widest):
                return tried
        except Misfit:
            pass
    return None


@st.composite
def layers(draw: Draw, met: Volume, kinds: Collection[str] = EVERY, widest: int = WIDEST) -> Layer:
    """A layer of one of the kinds that fits the volume; a 1x1 convolution where none did."""
    kind = draw(st.sampled_from(sorted(kinds)))
    settings = SETTINGS[kind](draw, met) if kind in SETTINGS else {}
    found = fitting(KINDS[kind](**settings), met, widest)
    return found or KINDS["conv"](kernel=Pair(1, 1), filters=draw(st.integers(1, 6)))


def volumes(low: int = 1, high: int = 10, depth: int = 4) -> st.SearchStrategy[Volume]:
    """Small volumes, square and oblong."""
    side = st.integers(low, high)
    return st.builds(Volume, side, side, st.integers(1, depth))


def text_of(layer: Layer) -> str:
    """The word for a layer."""
    return write_word(word_of(layer))


# -- networks

BLOCKS = """
basic(k, s=1) = add(conv3-k/s(floor) bn relu conv3-k bn | shortcut-k/s) relu
cells(a, b) = concat(conv1-a relu | conv1-a relu conv3-b relu | maxpool3/1(pad=1) conv1-b relu)
deep(k) = basic(k) kept: conv3-k relu add(tanh | @kept bn)
split(k) = concat(take(0) conv3-k | id) bn leakyrelu
"""


@dataclass
class _Text:
    """A network while its text is written."""

    draw: Draw
    kinds: frozenset[str]
    nested: bool
    widest: int
    labels: list[tuple[str, Volume]] = field(default_factory=list)
    named: int = 0

    def chance(self, one_in: int) -> bool:
        return bool(self.draw(st.integers(1, one_in)) == 1)

    def whole(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def name(self) -> str:
        self.named += 1
        return (
            str(self.draw(st.sampled_from(("x", "conv", "forward", "b", "add")))) + f"{self.named}"
        )

    def sequence(self, met: Volume, most: int, deep: int = 0) -> tuple[str, Volume]:
        """Up to `most` items one after the other, and the volume behind them."""
        words = []
        for _ in range(self.whole(1, most)):
            word, met = self.item(met, deep)
            words.append(word)
        return " ".join(words), met

    def item(self, met: Volume, deep: int) -> tuple[str, Volume]:
        if self.nested and deep < 2 and self.chance(3):
            kinds = [self.branches, self.ends, self.group, self.call, self.detour]
            if not self.kinds & FLATTENING:
                kinds.remove(self.ends)
            word, met = self.draw(st.sampled_from(kinds))(met, deep)
        else:
            word, met = self.word(met)
        if self.nested and deep == 0 and self.chance(4):
            name = self.name()
            if ":" not in word.split()[0]:
                self.labels.append((name, met))
                word = f"{name}: {word}"
        return word, met

    def word(self, met: Volume) -> tuple[str, Volume]:
        layer = self.draw(layers(met, self.kinds, self.widest))
        return text_of(layer), layer.volume(met)

    def same_size(self) -> str:
        """Words that keep the volume as it is."""
        kept = ("relu", "bn", "tanh", "id", "gelu", "sigmoid", "lrn(3)", "dropout(0.5)", "scale(2)")
        kept += ("hardswish", "layerscale(0.5)")
        known = [each for each in kept if each.partition("(")[0] in self.kinds]
        return " ".join(self.draw(st.lists(st.sampled_from(known), max_size=2)))

    def step(self, depth: int, stride: Pair) -> str:
        """A word that strides over a volume and leaves this depth: size n becomes ceil(n/S)."""
        choices = [f"conv{f}-{depth}/{stride}(floor)" for f in ("1", "3", "1x3")]
        if "shortcut" in self.kinds:
            choices.append(f"shortcut-{depth}/{stride}(c)")
        if "maxpool" in self.kinds:
            choices.append(f"maxpool3/{stride}(pad=1, floor) conv1-{depth}")
        if stride == (1, 1) and "upsample" in self.kinds:
            choices.append(f"upsample2 conv3-{depth} avgpool2")
        return str(self.draw(st.sampled_from(choices)))

    def branches(self, met: Volume, deep: int) -> tuple[str, Volume]:
        """Branches that stride alike; one may start from a label."""
        kind = self.draw(st.sampled_from(JOINED))
        stride = self.draw(pairs(1, 2))
        depth = self.whole(1, 5)
        made, depths = [], []
        for number in range(self.whole(2, 3)):
            own = self.whole(1, 5) if kind == "concat" else depth
            start = ""
            if number and deep == 0 and self.chance(2):
                start = self.recalled(met)
            last = self.step(own, stride)
            if kind == "mul" and self.chance(3):
                last = self.gate(own, stride)
            made.append(" ".join((start, self.same_size(), last, self.same_size())))
            depths.append(own)
        if kind == "mul":  # one of them is no gate
            made.append(self.step(depth, stride))
        if kind == "concat" and stride == (1, 1) and self.chance(2):
            made.append("id")
            depths.append(met.depth)
        rows, columns = -(-met.height // stride.height), -(-met.width // stride.width)
        volume = Volume(rows, columns, sum(depths) if kind == "concat" else depth)
        return f"{kind}({' | '.join(' '.join(each.split()) for each in made)})", volume

    def gate(self, depth: int, stride: Pair) -> str:
        """A factor with a side of 1: for each channel, or for each position."""
        gates = [self.step(1, stride)]
        if "avgpool" in self.kinds:
            gates.append(f"avgpool conv1-{depth}")
        if "fc" in self.kinds:
            gates.append(f"fc-{depth}")
        return str(self.draw(st.sampled_from(gates)))

    def recalled(self, met: Volume) -> str:
        fitting = [name for name, volume in self.labels if volume[:2] == met[:2]]
        return f"@{self.draw(st.sampled_from(fitting))}" if fitting else ""

    def ends(self, met: Volume, deep: int) -> tuple[str, Volume]:
        """Branches that end in one position, flat or not."""
        kind = self.draw(st.sampled_from(JOINED))
        depth = self.whole(1, 5)
        choices = (f"fc-{depth}", f"avgpool conv1-{depth}", f"fc-3 conv1-{depth}", f"fc-{depth} bn")
        made = [self.draw(st.sampled_from(choices)) for _ in range(self.whole(2, 3))]
        volume = Volume(1, 1, depth * len(made) if kind == "concat" else depth)
        return f"{kind}({' | '.join(made)})", volume

    def group(self, met: Volume, deep: int) -> tuple[str, Volume]:
        """A group that keeps the volume, so that it can be repeated."""
        inside = f"{self.same_size()} {self.step(met.depth, Pair(1, 1))} {self.same_size()}"
        if self.chance(3):
            name = self.name()
            inside = f"{name}: ({self.step(met.depth, Pair(1, 1))}) {inside} add(id | @{name})"
        return f"({' '.join(inside.split())})*{self.whole(1, 3)}", met

    def call(self, met: Volume, deep: int) -> tuple[str, Volume]:
        name = self.draw(st.sampled_from(("basic", "cells", "deep", "split")))
        if name == "basic":
            depth, stride = self.whole(1, 5), self.whole(1, 2)
            volume = Volume(-(-met.height // stride), -(-met.width // stride), depth)
            return f"basic({depth}, s={stride})", volume
        if name == "cells":
            one, other = self.whole(1, 3), self.whole(1, 3)
            return f"cells({one}, {other})", met._replace(depth=one + 2 * other)
        depth = self.whole(1, 5)
        return f"{name}({depth})", met._replace(depth=depth + (met.depth if name == "split" else 0))

    def detour(self, met: Volume, deep: int) -> tuple[str, Volume]:
        """A word whose volume waits under a label while the line goes on from an earlier one."""
        first, second = self.name(), self.name()
        one, two, three = (self.step(met.depth, Pair(1, 1)) for _ in range(3))
        return f"{first}: ({one}) {second}: ({two}) @{first} {three} add(@{second} | id)", met


@st.composite
def texts(
    draw: Draw,
    kinds: Collection[str] = EVERY,
    nested: bool = True,
    most: int = 5,
    input: st.SearchStrategy[Volume] | None = None,
    widest: int = WIDEST,
) -> str:
    """The text of a network of these kinds; `nested` for branches, labels, blocks and heads."""
    first: Volume = draw(volumes() if input is None else input)
    writer = _Text(draw, frozenset(kinds), nested, widest)
    body, _ = writer.sequence(first, most)
    text = f"[{first}] {body}"
    if "softmax" in writer.kinds and writer.chance(2):
        text += " softmax"
    if nested:
        for number in range(min(len(writer.labels), writer.whole(0, 2))):
            name, start = draw(st.sampled_from(writer.labels))
            words, _ = writer.sequence(start, 2, 2)
            text += f"\nhead aux{number} from @{name}: {words}"
        text = f"{BLOCKS.strip()}\n\n{text}"
    return text
