"""Where the time goes, and how long it will take: tables for a terminal, and JSON."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from striate.draw.numbers import in_bytes, percent, short

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from striate.compute import Compute
    from striate.timing.estimate import Estimate
    from striate.timing.profile import Profile, Timing

BUSY = "other programs are at work: on an idle machine it may take less"
MOST_LAYERS = 32  # rows; of more, those that take longest are shown
COLUMNS = ("layer", "volume", "MACs", "bytes", "forward", "backward", "FLOP/s", "of peak", "bound")


def render(profile: Profile, every: bool = False) -> RenderableType:
    """What a terminal shows.

    Args:
        every: all layers, however many.
    """
    from rich.console import Group
    from rich.text import Text

    return Group(
        *(Text(each) for each in _heading(profile)),
        Text(),
        _layers(profile, every),
        Text(),
        _kinds(profile),
        Text(),
        *(Text(each) for each in _closing(profile)),
    )


def _heading(profile: Profile) -> Iterable[str]:
    rates = profile.rates
    name = f"{profile.network.name}: " if profile.network.name else ""
    yield f"{name}a training step of {profile.batch:,} images on {_plain(profile.compute)}"
    yield (
        f"this machine at most {short(round(rates.products))}FLOP/s in matrix products, "
        f"{short(round(rates.traffic))}B/s with memory: {rates.ridge:.0f} FLOP a byte"
    )


def _layers(profile: Profile, every: bool) -> Table:
    table = _table(*COLUMNS)
    layers = profile.layers
    if not every and len(layers) > MOST_LAYERS:
        longest = sorted(layers, key=lambda each: -each.seconds)[:MOST_LAYERS]
        layers = tuple(each for each in layers if each in longest)
    for each in layers:
        table.add_row(each.name, str(each.volume), *_cells([each], profile), each.bound)
    if others := [each for each in profile.layers if each not in layers]:
        table.add_row(f"{len(others):,} others", "", *_cells(others, profile), "", style="dim")
    table.add_section()
    return table


def _cells(layers: list[Timing], profile: Profile) -> tuple[str, ...]:
    flops, seconds = sum(each.flops for each in layers), sum(each.seconds for each in layers)
    macs = sum(each.macs for each in layers)
    return (
        short(macs) if macs else "",
        in_bytes(sum(each.bytes for each in layers)),
        ms(sum(each.forward for each in layers)),
        ms(sum(each.backward for each in layers)),
        short(round(flops / seconds)) if flops and seconds else "",
        percent(flops / seconds / profile.rates.products) if flops and seconds else "",
    )


def _kinds(profile: Profile) -> Table:
    """The same by kinds of layers, with all that is no layer, and the sum."""
    table = _table("in all", "", *COLUMNS[2:8], "of step")
    kinds: dict[str, list[Timing]] = defaultdict(list)
    for each in profile.layers:
        kinds[each.kind].append(each)

    def of_step(seconds: float) -> str:
        return percent(seconds / profile.step)

    for kind, layers in sorted(kinds.items(), key=lambda pair: -_seconds(pair[1])):
        count = f"{len(layers):,} layers" if len(layers) > 1 else "1 layer"
        table.add_row(kind, count, *_cells(layers, profile), of_step(_seconds(layers)))
    for what, seconds in profile.outside.items():
        forward, backward = ("", ms(seconds)) if what.endswith("backward") else (ms(seconds), "")
        cells = (what, "", "", "", forward, backward, "", "", of_step(seconds))
        table.add_row(*cells, style="dim")
    return table


def _closing(profile: Profile) -> Iterable[str]:
    speed = profile.batch / profile.step
    yield f"a step {ms(profile.step)} ms, {speed:,.0f} images/s"
    yield (
        f"{short(profile.flops)}FLOP in it, two for each multiply-add: {percent(profile.share)} of "
        f"the matrix-product peak; each layer at its limit, {percent(profile.limit / profile.step)}"
    )


def foretold(estimate: Estimate) -> RenderableType:
    """An estimate, as a terminal shows it: what, how much, between what, and of what."""
    from rich.console import Group
    from rich.text import Text

    name = f"{estimate.network.name}: " if estimate.network.name else ""
    heading = f"{name}{estimate.batch:,} images a step on {_plain(estimate.compute)}"
    table = _table("", "", "between", "")
    for row in _rows(estimate):
        table.add_row(*row)
    busy = [] if estimate.quiet else [Text(BUSY, style="yellow")]
    return Group(Text(heading), Text(), table, *busy)


def _rows(estimate: Estimate) -> Iterable[tuple[str, str, str, str]]:
    step, within = estimate.step, 1 + estimate.within
    shares = ", ".join(f"{what} {percent(each / step)}" for what, each in estimate.parts.items())

    def row(what: str, seconds: float, of: str) -> tuple[str, str, str, str]:
        between = f"{duration(seconds / within)} to {duration(seconds * within)}"
        return what, duration(seconds), between, of

    yield row("a step", step, shares)
    speed = estimate.batch / step
    between = f"{_rate(speed / within)} to {_rate(speed * within)}"
    yield "images/s", _rate(speed), between, ""
    if estimate.images:
        scored = f", {estimate.scored[0]:,} scored after it" if estimate.scored[0] else ""
        yield row("an epoch", estimate.epoch, f"{estimate.images:,} images{scored}")
        yield row(
            "the run", estimate.run, f"{estimate.epochs:,} epoch{'s' * (estimate.epochs != 1)}"
        )
    yield "memory", in_bytes(estimate.memory), "", f"of {in_bytes(estimate.room)} here"


def _rate(speed: float) -> str:
    """In whole images a second, of few in tenths and hundredths."""
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.3g}"


def duration(seconds: float) -> str:
    """`12.3 ms`, `4.56 s`, `3 min 20 s`, `2 h 05 min`, `3 days 4 h`."""
    if seconds < 0.9995:
        return f"{ms(seconds)} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, hours = round(seconds) // 60, round(seconds / 60) // 60
    if hours < 1:
        return f"{minutes} min {round(seconds) % 60:02} s"
    if hours < 48:
        return f"{hours} h {round(seconds / 60) % 60:02} min"
    return f"{hours // 24} days {hours % 24} h"


def estimate_to_json(estimate: Estimate) -> str:
    """All of it; times in seconds, memory in bytes."""
    found: dict[str, Any] = {
        "network": estimate.network.name,
        "compute": asdict(estimate.compute),
        "batch": estimate.batch,
        "parts": estimate.parts,
        "step": estimate.step,
        "images_per_second": estimate.batch / estimate.step,
        "within": estimate.within,
        "quiet": estimate.quiet,
        "epoch": estimate.epoch if estimate.images else None,
        "run": estimate.run if estimate.images else None,
        "images": estimate.images,
        "epochs": estimate.epochs,
        "memory": estimate.memory,
        "memory_here": estimate.room,
    }
    return json.dumps(found, indent=2)


def _plain(compute: Compute) -> str:
    """Without why it was chosen."""
    return str(replace(compute, reason=""))


def _seconds(layers: Iterable[Timing]) -> float:
    return sum(each.seconds for each in layers)


def ms(seconds: float) -> str:
    """Milliseconds with three digits or more: `0.123`, `12.3`, `1,234`."""
    value = 1000 * seconds
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3}f}"


def _table(*names: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for number, name in enumerate(names):
        left = number == 0 or name == "bound"
        heading = f"{name}, ms" if name in ("forward", "backward") else name
        # A long name is broken before a number is cut.
        table.add_column(
            heading, justify="left" if left else "right", no_wrap=number > 0, overflow="fold"
        )
    return table


def to_json(profile: Profile) -> str:
    """All of it; times in seconds, rates in FLOP/s and bytes/s."""
    found: dict[str, Any] = {
        "network": profile.network.name,
        "compute": asdict(profile.compute),
        "batch": profile.batch,
        "step": profile.step,
        "images_per_second": profile.batch / profile.step,
        "flops": profile.flops,
        "of_peak": profile.share,
        "limit": profile.limit,
        "machine": asdict(profile.rates),
        "outside": profile.outside,
        "layers": [{**asdict(each), "volume": str(each.volume)} for each in profile.layers],
    }
    return json.dumps(found, indent=2)
