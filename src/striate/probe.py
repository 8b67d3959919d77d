"""How this machine computes a network fastest: a few steps in each way, measured and checked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from striate.compute import Compute, choose, is_small
from striate.data.folders import cache_folder
from striate.data.tell import Tell, silent
from striate.errors import RunError
from striate.fast.check import wrong
from striate.fast.kernels import NoKernels, library
from striate.host import cores, processor, quiet
from striate.network import Network
from striate.notation import write_script
from striate.storage import write

WORK = 3_000_000_000  # multiply-adds of a measured step's forward pass, at most, if it can be
ENOUGH = 0.25  # seconds of measured steps in each way
GAIN = 1.1  # what a way must bring before it is taken in place of a plainer one
BUSY = "beside other programs: the next run measures anew"
VERSION = 1  # of what is kept


@dataclass(frozen=True)
class Choice:
    """How a network is computed here, and why.

    Attributes:
        compute: the way chosen.
        reason: in words.
        rates: images a second of each way that was measured, by its name.
        left_out: the ways that cannot be taken here, and why.
    """

    compute: Compute
    reason: str
    rates: dict[str, float]
    left_out: dict[str, str]


def probe(network: Network, batch: int, *, tell: Tell = silent) -> Choice:
    """Measure how the CPU trains a network fastest, or recall what was measured before.

    Ways are compared on random images, in steps without the update, each way for about a quarter of
    a second: float32 as PyTorch computes it, float32 and bfloat16 with the fused kernels in
    channels last, on all threads and on one. A way whose layers are not right here is left out.
    The result is kept in the user's cache by network, batch, machine and versions, unless other
    programs were at work: then it holds for now alone.

    Args:
        batch: images in a step.
        tell: hears what is measured.
    """
    kept = cache_folder() / "probes" / f"{_mark(network, batch)}.json"
    if (found := _recalled(kept)) is not None:
        return found
    if not quiet():
        found = _measured(network, batch, tell, busy=True)
        return replace(found, reason=f"{found.reason}, {BUSY}")
    found = _measured(network, batch, tell)
    with suppress(OSError, RunError):  # else it is measured again the next time
        kept.parent.mkdir(parents=True, exist_ok=True)
        write(kept, json.dumps(asdict(found), indent=1).encode())
    return found


def fastest(network: Network, batch: int, *, tell: Tell = silent, **wanted: Any) -> Compute:
    """What `choose` says where something was asked for, on a GPU and for small steps; on a CPU
    otherwise what the probe finds.

    Args:
        wanted: as `striate.compute.choose` takes it.

    Raises:
        RunError: there is no such device, or it cannot compute in that way.
    """
    ruled = choose(network, batch, **wanted)
    asked = any(value for name, value in wanted.items() if name != "device")
    if asked or ruled.device != "cpu" or is_small(network, batch):
        return ruled
    found = probe(network, batch, tell=tell)
    return replace(found.compute, reason=found.reason)


def _measured(network: Network, batch: int, tell: Tell, busy: bool = False) -> Choice:
    before = torch.get_num_threads()
    began = perf_counter()
    rates: dict[Compute, float] = {}
    left_out: dict[str, str] = {}
    plain = choose(network, batch, device="cpu", exact=True)

    def measure(way: Compute) -> None:
        tell(f"measuring {way}", len(rates), 5)
        try:
            rates[way] = _rate(model, images, way)
        except (RunError, NoKernels) as reason:
            left_out[str(way)] = str(reason)

    try:
        with torch.random.fork_rng(devices=[]):
            model = network.build()
            images = torch.rand(_size(network, batch), *_shape(network)).mul_(2).sub_(1)
            for way in _ways(plain):
                measure(way)
            best = _best(rates)
            if plain.threads > 1:
                # Beside other programs threads wait for each other, each way as long as it may be.
                for way in _ways(plain) if busy else dict.fromkeys((best, plain)):
                    measure(replace(way, threads=1))
                alone = replace(best, threads=1)
                if busy:
                    alone = _best({way: rate for way, rate in rates.items() if way.threads == 1})
                best = alone if rates[best] <= GAIN * rates.get(alone, 0.0) else best
    finally:
        torch.set_num_threads(before)
    gain = rates[best] / max(rates[way] for way in rates if way.engine == "eager")
    seconds = perf_counter() - began
    reason = f"{gain:.1f} times as fast as plain float32 in a probe of {seconds:.1f} s"
    if best.engine == "eager":
        reason = f"no other way is faster in a probe of {seconds:.1f} s"
    return Choice(best, reason, {str(way): rate for way, rate in rates.items()}, left_out)


def _ways(plain: Compute) -> Iterator[Compute]:
    """From the plainest on."""
    yield plain
    fused = replace(plain, memory_format="channels_last", engine="fused")
    yield fused
    yield replace(fused, precision="bfloat16")


def _best(rates: dict[Compute, float]) -> Compute:
    best, *others = rates
    for way in others:
        if rates[way] > GAIN * rates[best]:
            best = way
    return best


def _rate(model: nn.Module, images: Tensor, way: Compute) -> float:
    """Images a second, of the fastest step.

    Raises:
        NoKernels: the way needs kernels, and there are none here.
        RunError: a layer is not right when it is computed in this way.
    """
    if way.engine == "fused":
        library()
    placed = way.place(model)
    module = way.training(placed).train()
    images = way.arranged(images)
    if way.engine == "fused" and (layer := wrong(module, images[:4], way.autocast())):
        raise RunError(f"{layer} is not right in {way.precision} here")
    fastest, spent = float("inf"), 0.0
    _step(module, images, way)
    while spent < ENOUGH:
        seconds = _step(module, images, way)
        fastest, spent = min(fastest, seconds), spent + seconds
    return len(images) / fastest


def _step(module: nn.Module, images: Tensor, way: Compute) -> float:
    for each in module.parameters():
        each.grad = None
    began = perf_counter()
    with way.autocast():
        scores = module(images)
    heads = scores.values() if isinstance(scores, dict) else [scores]
    torch.autograd.backward([each.float().square().mean() for each in heads])
    return perf_counter() - began


def _size(network: Network, batch: int) -> int:
    """Images in a measured step: more than one, for batch normalisation."""
    return max(2, min(batch, WORK // max(1, network.account().known("macs"))))


def _shape(network: Network) -> tuple[int, int, int]:
    input = network.input
    return input.depth, input.height, input.width


def _mark(network: Network, batch: int) -> str:
    """A name for what decides the measurement."""
    said = [VERSION, write_script(network.script), _size(network, batch), processor(), cores()]
    said += [torch.__version__, torch.get_num_threads()]
    return sha256(repr(said).encode()).hexdigest()[:24]


def _recalled(kept: Path) -> Choice | None:
    try:
        about = json.loads(kept.read_text("utf-8"))
        return Choice(**(about | {"compute": Compute(**about["compute"])}))
    except (OSError, ValueError, TypeError, KeyError):
        return None  # there is none, or it is damaged
