"""The table for other programs and papers: JSON, CSV, Markdown, LaTeX, the lecture's lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

from striate.account import Account, Row
from striate.draw.lines import lines
from striate.draw.numbers import in_bytes, short, whole
from striate.draw.table import Table
from striate.layers import Conv, FullyConnected


def to_json(account: Account) -> str:
    """Every layer and the totals; see the accounting page for each key."""
    network, totals = account.network, account.totals
    found: dict[str, Any] = {
        "name": network.name,
        "input": list(network.input),
        "convention": account.convention,
        "rows": [_row(row) for row in account.rows],
        "heads": {name: [_row(row) for row in rows] for name, rows in account.heads.items()},
        "totals": {key: getattr(totals, key) for key in totals.__dataclass_fields__},
    }
    found["totals"]["batch"] = account.batch
    found["totals"]["training_bytes"] = totals.training_bytes(account.batch)
    if account.budget:
        found["budget"] = {
            "memory": account.budget.memory,
            "batch": account.budget.batch,
            "bytes": account.budget.used,
            "blocking_layer": account.budget.blocking.name,
            "blocking_what": account.budget.what,
            "blocking_share": account.budget.share,
        }
    return json.dumps(found, indent=2)


def _row(row: Row) -> dict[str, Any]:
    height, width = row.field.height, row.field.width
    return {
        "layer": row.name,
        "kind": row.kind,
        "word": row.word,
        "volume": list(row.volume),
        "parameters": row.parameters,
        "weights": row.weights,
        "biases": row.biases,
        "macs": row.macs,
        "flops": row.flops,
        "activations": row.activations,
        "kept_bytes": row.kept,
        "receptive_field": list(row.field.size),
        "receptive_field_smallest": [height.smallest, width.smallest],
        "receptive_field_stride": [_plain(height.jump), _plain(width.jump)],
        "receptive_field_offset": [_plain(height.offset), _plain(width.offset)],
        "receptive_field_aligned": row.field.aligned,
        "rounding": row.rounded,
    }


def _plain(value: Fraction | None) -> float | int | None:
    if value is None:
        return None
    return value.numerator if value.denominator == 1 else float(value)


def to_csv(account: Account) -> str:
    """A line for every layer, heads last; the same numbers as the JSON."""
    columns = [
        "layer",
        "kind",
        "word",
        "height",
        "width",
        "depth",
        "parameters",
        "weights",
        "biases",
        "macs",
        "flops",
        "activations",
        "kept_bytes",
    ]
    fields = ["field_height", "field_width", "rounding", "head"]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*columns, *fields])
    for row in (*account.rows, *(row for rows in account.heads.values() for row in rows)):
        numbers = (
            row.parameters,
            row.weights,
            row.biases,
            row.macs,
            row.flops,
            row.activations,
            row.kept,
        )
        names = (row.name, row.kind, row.word)
        writer.writerow([*names, *row.volume, *numbers, *row.field.size, row.rounded, row.head])
    return file.getvalue().rstrip("\n")


def to_markdown(account: Account) -> str:
    """The same lines as in a terminal, and what stands under them as a list."""
    table = Table(account)
    written = [f"**{_markdown(table.title)}**\n"] if table.title else []
    written += [_pipes(table.columns), "|---|---:|---:|---:|---:|---:|"]
    for line in lines(account):
        first, *others = table.cells(line)
        written.append(_pipes((_markdown(first).replace("  ", "&emsp;"), *others)))
    written.append("")
    for heading, sentence in table.sentences():
        written.append(f"- {heading}: {sentence}" if heading else f"  - {sentence}")
    return "\n".join(written)


def _markdown(text: str) -> str:
    return "".join(f"\\{letter}" if letter in r"\`*_[]<>|" else letter for letter in text)


def _pipes(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


_LATEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "×": r"$\times$", "…": r"\dots{}"}
_LATEX |= {
    "├": r"$\vdash$",
    "│": r"$|$",
    "└": r"$\llcorner$",
    "~": r"\textasciitilde{}",
    "·": r"$\cdot$",
}
_LATEX |= {
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def to_latex(account: Account) -> str:
    """A tabular for booktabs and amssymb."""
    table = Table(account)
    written = [
        r"\begin{tabular}{lrrrrr}",
        r"\toprule",
        " & ".join(table.columns) + r" \\",
        r"\midrule",
    ]
    for line in lines(account):
        first, volume, *others = table.cells(line)
        cells = [
            _latex(first).replace("  ", r"\quad "),
            volume.replace("x", r"$\times$"),
            *map(_latex, others),
        ]
        written.append(" & ".join(cells) + r" \\")
    totals = account.totals
    numbers = (totals.parameters, totals.flops, totals.activations)
    sums = f"total & & {' & '.join(map(whole, numbers))} & "
    return "\n".join([*written, r"\midrule", sums + r"\\", r"\bottomrule", r"\end{tabular}"])


def to_lecture(account: Account) -> str:
    """The lines of the lectures' VGG slide: a volume, its memory, its parameters without biases."""
    cells = [("INPUT:", f"[{account.network.input}]", _memory(account.rows[0]), "0")]
    for before, row in pairwise(account.rows):
        if row.activations or row.weights != 0:
            name = f"{row.word.upper()}:"
            cells.append((name, f"[{row.volume}]", _memory(row), _weights(row, before)))
    names, volumes, memories, _ = (max(map(len, column)) for column in zip(*cells, strict=True))
    written = [
        f"{name:<{names}}  {volume:<{volumes}}  memory: {memory:<{memories}}  params: {weights}"
        for name, volume, memory, weights in cells
    ]
    written[0] += "  (not counting biases)"
    totals = account.totals
    width = totals.activation_bytes // totals.activations
    written += [
        "",
        f"TOTAL memory: {totals.activations:,} values * {width} bytes = "
        f"{in_bytes(totals.activation_bytes)} / image (only forward! the text table has training)",
        f"TOTAL params: {whole(totals.weights)} weights + {whole(totals.biases)} biases"
        f" = {whole(totals.parameters)}",
    ]
    return "\n".join(written)


def _memory(row: Row) -> str:
    """`112*112*64=802.8k`, or the number alone for a vector."""
    if row.volume[:2] == (1, 1):
        return str(row.activations)
    return f"{'*'.join(map(str, row.volume))}={short(row.activations).replace(' ', '')}"


def _weights(row: Row, before: Row) -> str:
    """`(3*3*64)*128 = 73,728`: the inputs of a unit, times the units."""
    total = whole(row.weights)
    if row.weights is None:
        return total
    if isinstance(row.layer, Conv):
        kernel, filters = row.layer.kernel, row.layer.filters
        depth = row.weights // (kernel.height * kernel.width * filters)
        return f"({kernel.height}*{kernel.width}*{depth})*{filters} = {total}"
    if isinstance(row.layer, FullyConnected):
        each, units = row.weights // row.layer.units, row.layer.units
        met = [side for side in before.volume if side > 1]
        inputs = "*".join(map(str, met)) if before.volume.size == each and met else str(each)
        return f"{inputs}*{units} = {total}"
    return total


FORMATS: dict[str, Callable[[Account], str]] = {
    "lecture": to_lecture,
    "markdown": to_markdown,
    "csv": to_csv,
    "json": to_json,
    "latex": to_latex,
}
