"""What stands under a table: the totals in sentences, each saying how it was counted."""

from __future__ import annotations

from striate.account import CONVENTIONS, Account, Share, shares
from striate.draw.numbers import in_bytes, percent, short

WORDS = {"parameters": "parameters", "activations": "activations", "macs": "work"}


def summary(account: Account) -> list[tuple[str, str]]:
    """Pairs of a heading and a sentence."""
    totals, batch = account.totals, account.batch
    weights, biases = f"{totals.weights:,} weights", f"{totals.biases:,} biases"
    found = [("parameters", f"{totals.parameters:,} = {weights} + {biases}")]
    if account.heads:
        heads = ", ".join(account.heads)
        found.append(
            ("", f"{totals.parameters_with_heads:,} with the heads that only train: {heads}")
        )
    found.append(("MACs", f"{totals.macs:,} for one image: {short(totals.macs)}, padding included"))
    if account.convention != "paper":
        said = f"{totals.flops:,}, {CONVENTIONS[account.convention][0]}"
        found.append(("FLOPs", said))
    forward = f"{totals.activations:,} values = {in_bytes(totals.activation_bytes)} for one image"
    found.append(("memory", f"{forward}: input, conv, pool and fc volumes once each"))
    found.append(
        ("", f"{in_bytes(totals.forward_peak_bytes)} alive at once at most to predict one image")
    )
    fixed = (
        f"{in_bytes(totals.training_bytes_fixed)} for weights, gradients and {account.optimiser}"
    )
    kept = f"{in_bytes(totals.kept_bytes)} kept for the backward pass of an image"
    found.append(("training", f"{fixed}; {kept}"))
    if batch > 1:
        needs = f"{in_bytes(totals.training_bytes(batch))} at its peak"
        work = f"{short(batch * totals.macs)} MACs forward"
        found.append(("", f"a batch of {batch:,}: {needs}, {work}"))
    if account.budget:
        found.append(("", _budget(account)))
    found += [("most" if not i else "", _share(share)) for i, share in enumerate(shares(account))]
    return found


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
