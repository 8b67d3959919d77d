"""What stands under a table: the totals in sentences, each saying how it was counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from striate.account import CONVENTIONS, Account, Share, shares
from striate.draw.numbers import in_bytes, percent, short, whole

WORDS = {"parameters": "parameters", "activations": "activations", "macs": "work"}


def summary(account: Account) -> list[tuple[str, str]]:
    """Pairs of a heading and a sentence."""
    totals, batch = account.totals, account.batch
    rows = account.rows
    every = (*rows, *(row for rows in account.heads.values() for row in rows))
    split = f"{whole(totals.weights)} weights + {whole(totals.biases)} biases"
    split = "" if totals.parameters is None else f" = {split}"
    found = [("parameters", _least((row.parameters for row in rows), lambda n: f"{n:,}{split}"))]
    if account.heads:
        heads = f" with the heads that only train: {', '.join(account.heads)}"
        found.append(("", _least((row.parameters for row in every), lambda n: f"{n:,}{heads}")))
    said = _least(
        (row.macs for row in rows),
        lambda n: f"{n:,} for one image: {short(n)}, padding included",
    )
    found.append(("MACs", said))
    if account.convention != "paper":
        what = CONVENTIONS[account.convention][0]
        found.append(("FLOPs", _least((row.flops for row in rows), lambda n: f"{n:,}, {what}")))
    forward = f"{totals.activations:,} values = {in_bytes(totals.activation_bytes)} for one image"
    found.append(("memory", f"{forward}: input, conv, pool and fc volumes once each"))
    bound = "at most" if totals.macs is not None else "at least"
    peak = in_bytes(totals.forward_peak_bytes)
    found.append(("", f"{peak} alive at once {bound} to predict one image"))
    if totals.training_peak_bytes is None:
        found.append(("training", "unknown, as is what opaque layers keep for the backward pass"))
    else:
        fixed = in_bytes(totals.training_bytes_fixed)
        kept = f"{in_bytes(totals.kept_bytes)} kept for the backward pass of an image"
        what = f"weights, gradients and {account.optimiser}"
        found.append(("training", f"{fixed} for {what}; {kept}"))
    if batch > 1 and totals.macs is not None:
        needs = f"{in_bytes(totals.training_bytes(batch))} at its peak"
        found.append(
            ("", f"a batch of {batch:,}: {needs}, {short(batch * totals.macs)} MACs forward")
        )
    if account.budget:
        found.append(("", _budget(account)))
    found += [("most" if not i else "", _share(share)) for i, share in enumerate(shares(account))]
    return found


def _least(values: Iterable[int | None], said: Callable[[int], str]) -> str:
    """What is said of a sum; `at least ...; 1 opaque layer unknown` where that is not all."""
    numbers = list(values)
    known = said(sum(number or 0 for number in numbers))
    if not (unknown := numbers.count(None)):
        return known
    return f"at least {known}; {unknown} opaque layer{'s' * (unknown > 1)} unknown"


def _budget(account: Account) -> str:
    budget = account.budget
    assert budget is not None
    which = f"{budget.blocking.word} ({budget.blocking.name})"
    why = f"{which} holds {percent(budget.share)} of the {budget.what}"
    if budget.what == "activations":
        why += " kept for the backward pass"
    if budget.batch == 0:
        return f"{in_bytes(budget.memory)} is too little for one image: {why}"
    return (
        f"largest batch in {in_bytes(budget.memory)}: {budget.batch:,}; in the way of more, {why}"
    )


def _share(share: Share) -> str:
    """`parameters: 89% in fc layers, 74% in fc1 alone`."""
    alone = f"{percent(share.largest_fraction)} in {share.largest.name}"
    if share.largest_fraction == share.fraction:
        return f"{WORDS[share.what]}: {alone}"
    layers = f"half of all in {', '.join(row.name for row in share.half)}"
    if len(share.half) == 1:
        layers = f"{alone} alone"
    elif len(share.half) > 4:
        layers = f"half of all in {len(share.half)} layers"
    return f"{WORDS[share.what]}: {percent(share.fraction)} in {share.kind} layers, {layers}"


def notes(account: Account) -> list[tuple[str, str]]:
    """Where rows and columns were dropped or made up, and where receptive fields are misaligned."""
    rounded: dict[str, list[str]] = {}
    rows = [*account.rows, *(row for rows in account.heads.values() for row in rows)]
    for row in rows:
        if row.rounded:
            rounded.setdefault(row.rounded, []).append(row.name)
    said = [f"{what}: {_first(names)}" for what, names in rounded.items()]
    found = [("" if number else "rounding", each) for number, each in enumerate(said)]
    apart = next((row.name for row in rows if not row.field.aligned), None)
    if apart:
        where = f"from {apart} on: the paths that meet are not centred on the same position"
        found.append(("field", f"* {where}"))
    return found


def _first(names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
