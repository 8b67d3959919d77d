"""`striate zoo`: the published networks."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer


class ListFormat(StrEnum):
    text = "text"
    json = "json"


def zoo(
    format: Annotated[ListFormat, typer.Option(help="Of the list.")] = ListFormat.text,
) -> None:
    """List the networks that come with striate: parameters, MACs, year."""
    from striate import zoo as networks

    found = []
    for name in networks.names():
        network = networks.read(name)
        totals = network.account().totals
        found.append(
            {
                "name": name,
                "title": network.name,
                "year": network.front.get("year"),
                "input": list(network.input),
                "parameters": totals.parameters,
                "macs": totals.macs,
            }
        )
    found.sort(key=lambda each: (str(each["year"]), str(each["name"])))
    if format is ListFormat.json:
        print(json.dumps(found, indent=2))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from striate.draw.numbers import short

    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in ("name", "year", "input", "parameters", "MACs", "network"):
        right = column in ("parameters", "MACs", "input")
        shown.add_column(column, justify="right" if right else "left", no_wrap=column != "network")
    for each in found:
        size = "x".join(map(str, each["input"]))
        sizes = (size, f"{each['parameters']:,}", short(each["macs"]))
        shown.add_row(each["name"], each["year"] or "", *sizes, each["title"] or "")
    Console().print(shown)
