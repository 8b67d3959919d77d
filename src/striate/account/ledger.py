"""Rows and totals. MACs and FLOPs are for one image; bytes say for what."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from striate.account.amounts import parse_memory
from striate.account.field import Field, fields
from striate.account.memory import OPTIMISERS, PRECISIONS, Traffic, traffic
from striate.errors import StriateError, one_of
from striate.layers import JOINS, Layer, Volume
from striate.notation.words import word_of
from striate.notation.write import write_word
from striate.steps import Step

if TYPE_CHECKING:
    from striate.account.budget import Budget
    from striate.network import Network

CONVENTIONS: dict[str, tuple[str, Callable[[int, int], int]]] = {
    "paper": ("one per multiply-add, as He et al. 2015 count", lambda macs, other: macs),
    "torch": (
        "two per multiply-add, as torch.utils.flop_counter counts",
        lambda macs, other: 2 * macs,
    ),
    "all": (
        "two per multiply-add and one per other operation",
        lambda macs, other: 2 * macs + other,
    ),
}


def total(values: Iterable[int | None]) -> int | None:
    """The sum; not known where a part of it is not."""
    numbers = list(values)
    return None if None in numbers else sum(number or 0 for number in numbers)


def times(count: int, value: int | None) -> int | None:
    """So many times as much; not known where one is not."""
    return None if value is None else count * value


def _known(value: int | None, opaque: Row | None) -> int:
    if value is not None:
        return value
    assert opaque is not None, "all else is known"
    raise StriateError(
        f"what {opaque.name} costs is unknown: {opaque.word} stands for what the notation cannot "
        "express"
    )


@dataclass(frozen=True, slots=True)
class Row:
    """What one layer costs. The first row of an account is the input, which costs its activations.

    Attributes:
        name: the dotted path, as the module's; `input` for the input.
        layer: the layer as the text has it, or None for the input.
        volume: the output volume.
        weights, biases: learned values; batch normalisation's scale and shift count as biases.
        buffers: values kept with the weights but not learned.
        macs: multiply-adds for one image, one per weight per output position, padding included.
        flops: operations for one image under the account's convention.
        activations: values of a new volume, the lectures' way: input, conv, pool and fc count, what
            works on the volume it meets (relu, bn, dropout, add, ...) does not.
        kept: bytes that stay for the backward pass for each image: this row's own volume, if any
            layer needs it, and the layer's own extras (a pool's indices, a dropout mask).
        field: the receptive field of one output position.
        rounded: rows and columns that floor or ceil drops or makes up, in words.
        head: the further output this row belongs to; empty for the network itself.

    What is None is not known: what an opaque layer costs.
    """

    name: str
    layer: Layer | None
    volume: Volume
    weights: int | None
    biases: int | None
    buffers: int | None
    macs: int | None
    flops: int | None
    activations: int
    kept: int | None
    field: Field
    rounded: str
    head: str = ""

    @property
    def parameters(self) -> int | None:
        return total((self.weights, self.biases))

    def known(self, name: str) -> int:
        """One of its numbers, to work on with. Raises StriateError where it is not known."""
        return _known(getattr(self, name), self)

    @property
    def kind(self) -> str:
        return self.layer.kind if self.layer else "input"

    @property
    def word(self) -> str:
        """The layer as the notation writes it; a join by its bare name."""
        if self.layer is None:
            return "input"
        return self.kind if self.kind in JOINS else write_word(word_of(self.layer))


@dataclass(frozen=True)
class Totals:
    """Sums over the rows of the network itself; heads, which serve training, stand apart.

    Bytes are for one image unless the name says otherwise; see the accounting page of the docs.
    What a part of is not known, because a layer is opaque, is None.
    """

    parameters: int | None
    weights: int | None
    biases: int | None
    buffers: int | None
    macs: int | None
    flops: int | None
    activations: int
    activation_bytes: int
    kept_bytes: int | None
    forward_peak_bytes: int
    training_peak_bytes: int | None
    weight_bytes: int | None
    gradient_bytes: int | None
    optimiser_bytes: int | None
    fixed_bytes: int | None
    parameters_with_heads: int | None
    macs_with_heads: int | None

    @property
    def training_bytes_fixed(self) -> int | None:
        """What training needs whatever the batch: weights, gradients, optimiser state, buffers."""
        return total(
            (self.weight_bytes, self.gradient_bytes, self.optimiser_bytes, self.fixed_bytes)
        )

    def training_bytes(self, batch: int) -> int | None:
        """What training needs at its peak for a batch of this size."""
        return total((self.training_bytes_fixed, times(batch, self.training_peak_bytes)))


@dataclass(frozen=True, repr=False)
class Account:
    """The rows and totals of a network under a convention."""

    network: Network
    rows: tuple[Row, ...]
    heads: dict[str, tuple[Row, ...]]
    totals: Totals
    convention: str
    precision: str
    optimiser: str
    batch: int
    memory: int | None

    def __repr__(self) -> str:
        totals = self.totals
        numbers = zip((totals.parameters, totals.macs), ("parameters", "MACs"), strict=True)
        counts = (f"{'unknown' if n is None else f'{n:,}'} {what}" for n, what in numbers)
        return f"<Account of {len(self.rows)} rows: {', '.join(counts)}>"

    def known(self, name: str) -> int:
        """One of the totals, to work on with. Raises StriateError where a part is not known."""
        every = (*self.rows, *(row for rows in self.heads.values() for row in rows))
        opaque = next((row for row in every if row.macs is None), None)
        return _known(getattr(self.totals, name), opaque)

    @cached_property
    def budget(self) -> Budget | None:
        """The largest batch in the given memory, if one was given."""
        from striate.account.budget import budget

        return budget(self, self.memory) if self.memory is not None else None

    def row(self, step: Step) -> Row:
        """The row of a step."""
        return self._by_name[step.name]

    @cached_property
    def _by_name(self) -> dict[str, Row]:
        every = [*self.rows, *(row for rows in self.heads.values() for row in rows)]
        return {row.name: row for row in every}


def account(
    network: Network,
    convention: str = "paper",
    batch: int = 1,
    memory: int | str | None = None,
    precision: str = "float32",
    optimiser: str = "momentum",
) -> Account:
    """Counts a network.

    Args:
        network: any Network.
        convention: how FLOPs are counted: one of CONVENTIONS. MACs are counted the same in all.
        batch: images at a time, for the totals of a batch.
        memory: bytes to train in, or a text such as 8GB, for the largest batch.
        precision: float32, bfloat16 or float16: the width of every value.
        optimiser: sgd, momentum or adam: what is kept beside each parameter.

    Raises:
        StriateError: convention, precision or optimiser is not one of those named.
    """
    flops = CONVENTIONS[one_of("convention", convention, CONVENTIONS)][1]
    width = PRECISIONS[one_of("precision", precision, PRECISIONS)]
    if batch < 1:
        raise StriateError(f"a batch has at least one image, not {batch}")
    memory = parse_memory(memory) if isinstance(memory, str) else memory
    if memory is not None and memory < 1:
        raise StriateError(f"there is no training in {memory} bytes")
    copies = OPTIMISERS[one_of("optimiser", optimiser, OPTIMISERS)]
    apart = {step.index for step in network.steps if network.apart(step)}
    further = {step.index for head in network.expansion.heads.values() for step in head.steps()}
    flow = traffic(network.steps, network.input, apart, further, width)
    seen = fields(network.steps)

    def row(step: Step, head: str = "") -> Row:
        weights, biases = step.layer.parameters(step.met) or (None, None)
        macs, others = step.layer.macs(step.met), step.layer.operations(step.met)
        return Row(
            name=step.name,
            layer=step.stated,
            volume=step.volume,
            weights=weights,
            biases=biases,
            buffers=step.layer.buffers(step.met),
            macs=macs,
            flops=None if macs is None or others is None else flops(macs, others),
            activations=0 if step.layer.in_place else step.volume.size,
            kept=flow.kept[step.index],
            field=seen[step.index],
            rounded=step.layer.rounded(step.met),
            head=head,
        )

    first = Row(
        "input", None, network.input, 0, 0, 0, 0, 0, network.input.size, flow.kept[-1], Field(), ""
    )
    rows = (first, *(row(step) for step in network.main.steps()))
    heads = {
        name: tuple(row(step, name) for step in part.steps())
        for name, part in network.expansion.heads.items()
    }
    totals = _totals(rows, heads, flow, width, copies)
    return Account(network, rows, heads, totals, convention, precision, optimiser, batch, memory)


def _totals(
    rows: tuple[Row, ...], heads: dict[str, tuple[Row, ...]], flow: Traffic, width: int, copies: int
) -> Totals:
    further = [row for each in heads.values() for row in each]
    parameters = total(row.parameters for row in rows)
    with_heads = total((parameters, *(row.parameters for row in further)))
    weight_bytes = times(width, with_heads)
    macs = total(row.macs for row in rows)
    activations = sum(row.activations for row in rows)
    buffers = total(row.buffers for row in (*rows, *further))
    return Totals(
        parameters=parameters,
        weights=total(row.weights for row in rows),
        biases=total(row.biases for row in rows),
        buffers=total(row.buffers for row in rows),
        macs=macs,
        flops=total(row.flops for row in rows),
        activations=activations,
        activation_bytes=activations * width,
        kept_bytes=total(flow.kept),
        forward_peak_bytes=flow.forward_peak,
        training_peak_bytes=flow.training_peak,
        weight_bytes=weight_bytes,
        gradient_bytes=weight_bytes,
        optimiser_bytes=times(copies, weight_bytes),
        fixed_bytes=total((flow.fixed, times(width, buffers))),
        parameters_with_heads=with_heads,
        macs_with_heads=total((macs, *(row.macs for row in further))),
    )
