"""Which rows of a network's table a module computes, and how often their multiply-adds."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from striate.account import Row
from striate.compute import Compute
from striate.errors import RunError
from striate.network import Network
from striate.timing.calls import Call

PER_MAC = 2  # FLOP
LAST = "last"  # what the last step of a branch, the sum and the activation are, computed as one


def require_layers(compute: Compute) -> None:
    """Refuse an engine that computes a network as one piece.

    Raises:
        RunError: it does.
    """
    if compute.engine == "compiled":
        raise RunError("a compiled network has no layers to time one by one: --engine fused has")


def rows_of(network: Network) -> dict[str, Row]:
    """The rows of a network's table by name, those of its heads too."""
    account = network.account()
    every = [*account.rows, *(row for rows in account.heads.values() for row in rows)]
    return {row.name: row for row in every}


def layers_of(
    call: Call, rows: Mapping[str, Row], names: Mapping[nn.Module, str]
) -> tuple[str, ...]:
    """The rows of the table that a module computes: one, several at once, or none.

    Args:
        names: of the modules of the model, as its text has it; what trains it may run several of
            them as one, which then holds them, and is called by their names, as `bn1+relu1`.
    """
    found = {names[each] for each in call.own if each in names} & rows.keys()
    before, _, last = call.name.rpartition(".")
    if "+" in call.name:
        path = before if last == LAST else call.name
        start, _, parts = path.rpartition(".")
        prefix = f"{start}." if start else ""
        found |= {f"{prefix}{each}" for each in parts.split("+")} & rows.keys()
    else:
        known = (call.name, call.name.removesuffix("_input"), call.name.rstrip("_"), before)
        found |= set([name for name in known if name in rows][:1])
    return tuple(sorted(found, key=list(rows).index)) if len(found) > 1 else tuple(found)


def names_of(model: nn.Module) -> dict[nn.Module, str]:
    """The modules of a model with their paths."""
    return {module: name for name, module in model.named_modules()}


def products(call: Call) -> int:
    """How often a layer's multiply-adds are done in a step: forward, for the gradients of its
    weights, and for that of what it meets if anything before it learns.
    """
    return 1 + call.learns + (call.learns and any(met.learns for met in call.met))
