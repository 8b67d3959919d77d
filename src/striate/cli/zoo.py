"""`striate zoo`: the published networks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from striate.cli.arguments import choice

if TYPE_CHECKING:
    from striate.account import Account


@click.command("zoo")
@choice("--format", ("text", "json"), "text", "Of the list.")
def command(format: str) -> None:
    """List the networks that come along: parameters, MACs, year."""
    from striate import zoo as networks

    accounts = {name: networks.read(name).account() for name in networks.names()}
    found = sorted(accounts.items(), key=lambda each: (_year(each[1]), each[0]))
    print(_json(found)) if format == "json" else _show(found)


def _year(account: Account) -> str:
    return account.network.front.get("year", "")


def _json(found: Iterable[tuple[str, Account]]) -> str:
    listed = [
        {
            "name": name,
            "title": account.network.name,
            "year": _year(account),
            "input": account.network.input,
            "parameters": account.totals.parameters,
            "macs": account.totals.macs,
        }
        for name, account in found
    ]
    return json.dumps(listed, indent=2)


def _show(found: Iterable[tuple[str, Account]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from striate.draw.numbers import short, whole
    from striate.draw.plain import show

    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in ("name", "year", "input", "parameters", "MACs"):
        shown.add_column(column, justify="left" if column == "name" else "right", no_wrap=True)
    shown.add_column("network")
    for name, account in found:
        size, totals = str(account.network.input), account.totals
        title = Text(account.network.name or "", no_wrap=True, overflow="ellipsis")
        numbers = whole(totals.parameters), short(totals.macs)
        shown.add_row(name, _year(account), size, *numbers, title)
    show(shown)
