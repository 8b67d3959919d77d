"""What lives in memory, and when: the forward pass, what training keeps, the backward pass.

Everything is counted from the text. Volumes are counted as the plain module allocates them, layer
by layer, without in-place tricks; workspaces of the kernels and the allocator's slack are not
included, so that the peaks are lower bounds for a real device, but for two layers of LeNet-5: the
backward pass of `subsample` is two operations, so that a real run can hold one output volume less,
and its C3, which training computes as one convolution, keeps its input once for all branches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from striate.layers import Join, Mul, Volume
from striate.layers.base import Saved
from striate.steps import INPUT, Step

INDEX_BYTES = 8  # PyTorch keeps a max pool's winners as int64
OPTIMISERS = {"sgd": 0, "momentum": 1, "adam": 2}  # values kept beside each parameter
PRECISIONS = {"float32": 4, "bfloat16": 2, "float16": 2}  # bytes for each value


@dataclass(frozen=True)
class Traffic:
    """The memory of one image's way through a network, in bytes.

    Attributes:
        kept: for each step, and last for the input, what stays for the backward pass; None where it
            is not known: of an opaque step, and of a volume that it may be alone to keep.
        fixed: what stays for the backward pass whatever the batch (batch statistics).
        forward_peak: the most alive at once when the network only predicts; of the volumes between
            layers alone, where one is opaque.
        training_peak: the most alive at once in training, gradients of the volumes included.
    """

    kept: tuple[int | None, ...]
    fixed: int | None
    forward_peak: int
    training_peak: int | None


def traffic(
    steps: Sequence[Step], input: Volume, apart: set[int], further: set[int], width: int = 4
) -> Traffic:
    """Follows every volume through the passes.

    Args:
        steps: in the order of computation.
        input: the input volume.
        apart: indices of final softmaxes, which training does not run.
        further: indices of the heads' steps, which a prediction does not run.
        width: bytes for each value.
    """
    trained = [step for step in steps if step.index not in apart]
    learns = _learns(trained)
    volumes = [*(step.volume for step in steps), input]
    known = {step.index: _saved(step, volumes, learns) for step in trained}
    saved = {index: each or Saved() for index, each in known.items()}
    sizes = [volume.size * width for volume in volumes]
    owner = _owners(steps, trained=True)
    needed = _needed_until(trained, saved, owner)
    extra = [0] * len(sizes)
    for index, each in saved.items():
        extra[index] = each.values * width + each.indices * INDEX_BYTES
    opaque = [step for step in trained if known[step.index] is None]
    hidden = {owner[index] for step in opaque for index in step.inputs} - needed.keys()
    hidden |= {step.index for step in opaque}
    kept = tuple(
        None if i in hidden else extra[i] + (sizes[i] if i in needed else 0)
        for i in range(len(sizes))
    )
    predicting = [step for step in steps if step.index not in further]
    forward = _live_peak(predicting, sizes, _owners(steps, trained=False))
    if opaque:
        return Traffic(kept, None, forward, None)
    training = max(
        _live_peak(trained, sizes, owner, frozenset(needed), extra),
        _backward_peak(trained, sizes, owner, needed, extra, learns),
    )
    return Traffic(kept, width * sum(each.fixed for each in saved.values()), forward, training)


def _learns(steps: Sequence[Step]) -> set[int]:
    """The steps whose volume depends on something learned; others need no gradient."""
    learns: set[int] = set()
    for step in steps:
        learned = step.layer.parameters(step.met)
        if learned is None or learned.total or learns.intersection(step.inputs):
            learns.add(step.index)
    return learns


def _saved(step: Step, volumes: Sequence[Volume], learns: set[int]) -> Saved | None:
    """What a step keeps, where so much before it learns."""
    if not learns.intersection(step.inputs):
        return step.layer.saved_first(step.met)
    if isinstance(step.layer, Mul):
        met = [volumes[index] for index in step.inputs]
        return step.layer.saved_of(met, [index in learns for index in step.inputs])
    return step.layer.saved(step.met)


def _owners(steps: Sequence[Step], trained: bool) -> list[int]:
    """Which step's memory each step's volume lies in; the input's own entry is the last."""
    owner = [*range(len(steps)), len(steps)]
    for step in steps:
        if step.layer.shares(trained):
            owner[step.index] = owner[step.inputs[0]]
    return owner


def _needed_until(
    steps: Sequence[Step], saved: dict[int, Saved], owner: list[int]
) -> dict[int, int]:
    """For each memory that is kept for the backward pass, the first step in order that needs it."""
    needed: dict[int, int] = {}
    for step in steps:
        own = [owner[step.index]] if saved[step.index].output else []
        of = step.inputs if saved[step.index].input else ()
        of = of or tuple(step.inputs[branch] for branch in saved[step.index].branches)
        met = [owner[index] for index in of]
        for memory in own + met:
            needed.setdefault(memory, step.index)
    return needed


def _live_peak(
    steps: Sequence[Step],
    sizes: list[int],
    owner: list[int],
    kept: frozenset[int] = frozenset(),
    extra: Sequence[int] = (),
) -> int:
    """The most alive at once in a forward pass: each volume until its last reader, kept ones on."""
    last = {owner[INPUT]: INPUT}
    for step in steps:
        for index in (*step.inputs, step.index):
            last[owner[index]] = step.index
    ends: dict[int, list[int]] = {}
    for memory, step_index in last.items():
        if memory not in kept:
            ends.setdefault(step_index, []).append(memory)
    live = peak = sizes[INPUT]
    for step in steps:
        if owner[step.index] == step.index:
            live += sizes[step.index]
        live += extra[step.index] if extra else 0
        peak = max(peak, live)
        live -= sum(sizes[memory] for memory in ends.get(step.index, ()))
    return peak


def _made(met: list[int], sizes: list[int], learns: set[int]) -> int:
    """Bytes of gradients that a layer makes at once of what it meets.

    A product goes back as it came: the gradient of the last factor, and that of the product of
    those before, which is at least as large as the largest of them.
    """
    *before, last = met
    found = {last} & learns
    if learns.intersection(before):
        found.add(max(before, key=lambda memory: sizes[memory]))
    return sum(sizes[memory] for memory in found)


class _Gradients:
    """The gradients alive in a backward pass; the branches of a sum share one."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes
        self.of: dict[int, int] = {}  # by volume: for which volume its gradient's memory was made
        self.holders: Counter[int] = Counter()
        self.live = 0

    def hold(self, volume: int, made_for: int) -> None:
        self.of[volume] = made_for
        self.holders[made_for] += 1
        if self.holders[made_for] == 1:
            self.live += self.sizes[made_for]

    def let_go(self, volume: int) -> None:
        made_for = self.of.pop(volume)
        self.holders[made_for] -= 1
        if not self.holders[made_for]:
            self.live -= self.sizes[made_for]


def _backward_peak(
    steps: Sequence[Step],
    sizes: list[int],
    owner: list[int],
    needed: dict[int, int],
    extra: Sequence[int],
    learns: set[int],
) -> int:
    """The most alive at once in the backward pass.

    Each layer takes the gradient of its output and makes that of its input, which is then added to
    what other readers of the input made; a sum or a concatenation only hands its own on. What was
    kept is let go once the first layer that needs it has run. The images themselves get no
    gradient.
    """
    kept = peak = sum(sizes[memory] for memory in needed) + sum(extra)
    frees: dict[int, list[int]] = {}
    for memory, index in needed.items():
        frees.setdefault(index, []).append(memory)
    gradients = _Gradients(sizes)
    for step in reversed(steps):
        own, met = owner[step.index], {owner[index] for index in step.inputs} & learns
        if own in learns and own not in gradients.of:
            gradients.hold(own, own)  # an output: its gradient comes from the loss
        handed_on = (isinstance(step.layer, Join) and step.layer.hands_on) or own in met
        made = 0 if handed_on else _made([owner[index] for index in step.inputs], sizes, learns)
        peak = max(peak, kept + gradients.live + made)
        for memory in met - {own}:
            if not handed_on and memory in gradients.of:
                gradients.let_go(memory)
            if memory not in gradients.of:
                gradients.hold(memory, gradients.of[own] if handed_on else memory)
        if own in learns and own not in met:
            gradients.let_go(own)
        kept -= extra[step.index] + sum(sizes[memory] for memory in frees.get(step.index, ()))
    return peak
