"""The table in all its forms: golden files, and what holds for any network."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from html.parser import HTMLParser

import pytest
from hypothesis import given
from rich.cells import cell_len
from strategies import quick, scripts

from striate import zoo
from striate.account import Account, account
from striate.draw.formats import FORMATS
from striate.draw.lines import Line, entries, lines
from striate.draw.numbers import in_bytes, percent, short
from striate.draw.plain import plain
from striate.draw.table import Table, label
from striate.network import Network

Golden = Callable[[str, str], None]

# A little of everything: a title to escape, labels, blocks, folds, branches, a head, rounding.
SMALL = r"""
name: small_net: 100% & <b>"é" | 網
---
unit(k) = add(conv3-k bn relu conv3-k bn | id) relu
[24x16x3]
stem_: conv3x5-8(pad=1x2) relu maxpool2
unit(8)*5 x: unit(8)
concat(@stem_ maxpool3/2(pad=1, floor) | conv1-4 | avgpool3/2(ceil) upsample2)
(conv3-8/1 relu maxpool3/1(pad=1))*3 maxpool5x3/2(floor)
fc-10 softmax
head out from @x: avgpool fc-10 softmax
"""


def networks() -> object:
    return scripts().map(Network)


@cache
def counted_zoo(name: str) -> Account:
    return account(zoo.read(name))


def csv_rows(counted: Account) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(FORMATS["csv"](counted))))


# -- golden files; pytest --overwrite-golden writes them anew


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", ["vgg16", "resnet50", "googlenet", "lenet5", "convnetjs-cifar10"])
def test_golden_tables(golden: Golden, name: str, width: int) -> None:
    golden(f"{name}-{width}.txt", plain(zoo.read(name).table(), width))


@pytest.mark.parametrize("width", [40, 60, 80])
def test_golden_small(golden: Golden, width: int) -> None:
    golden(f"small-{width}.txt", plain(Network.parse(SMALL).table(), width))


@pytest.mark.parametrize(
    ("format", "ending"),
    [("markdown", "md"), ("csv", "csv"), ("latex", "tex"), ("lecture", "lecture.txt")],
)
def test_golden_formats(golden: Golden, format: str, ending: str) -> None:
    golden(f"small.{ending}", FORMATS[format](account(Network.parse(SMALL))))


def test_golden_json(golden: Golden) -> None:
    counted = account(Network.parse("[9x9x3] conv3-4/2 relu fc-10 softmax"), memory=10**6)
    golden("tiny.json", FORMATS["json"](counted))


@pytest.mark.parametrize("name", ["vgg16", "alexnet"])
def test_golden_lecture(golden: Golden, name: str) -> None:
    golden(f"{name}.lecture.txt", FORMATS["lecture"](account(zoo.read(name))))


def test_golden_options(golden: Golden) -> None:
    """What a batch, a memory and a convention add."""
    table = zoo.read("alexnet").table(batch=128, memory=8 * 10**9, convention="torch")
    golden("alexnet-options-80.txt", plain(table, 80))


@pytest.mark.parametrize("name", ["vgg16", "googlenet", "resnet50"])
def test_csv_sums_to_the_totals(name: str) -> None:
    """Added up by another program, the lines give the totals."""
    counted = account(zoo.read(name))
    rows = [row for row in csv_rows(counted) if not row["head"]]
    for column in ("parameters", "weights", "biases", "macs", "flops", "activations"):
        assert sum(int(row[column]) for row in rows) == getattr(counted.totals, column), column


# -- lines: folding loses nothing


def leaves(drawn: list[Line]) -> Iterator[tuple[Line, int]]:
    """The lines that sum nothing up, each with how often what it is part of is repeated."""
    around: list[int] = []
    for line in drawn:
        del around[line.depth :]
        times = 1
        for each in around:
            times *= each
        if not line.heads:
            yield line, times
        around.append(line.times)


@quick
@given(networks())
def test_folding_loses_nothing(network: Network) -> None:
    """The top lines sum to the totals; so do all others, repeated as often as they say."""
    counted = account(network)
    drawn = lines(counted)
    rows = [*counted.rows, *(row for rows in counted.heads.values() for row in rows)]
    for what in ("parameters", "flops", "activations"):
        whole = sum(getattr(row, what) for row in rows)
        assert sum(getattr(line, what) for line in drawn if line.depth == 0) == whole
        assert sum(getattr(line, what) * times for line, times in leaves(drawn)) == whole
    spelt = [
        row for entry in entries(counted) for _ in range(entry.times) for row in entry.every_row()
    ]
    key = [(row.word, row.volume, row.parameters, row.macs) for row in rows]
    assert [(row.word, row.volume, row.parameters, row.macs) for row in spelt] == key


@pytest.mark.parametrize(
    "text",
    [
        "b() = (conv3-8 relu conv1-8)*3\n[8x8x8] b() b()",
        "[8x8x8] (g: (conv3-8 relu conv1-8)*3)*2 fc-3",
    ],
)
def test_repetitions_within_repetitions_add_up(text: str) -> None:
    """The lines at the margin sum to the totals, however the groups nest."""
    counted = account(Network.parse(text))
    outer = [line for line in lines(counted) if line.depth == 0]
    assert sum(line.parameters for line in outer) == counted.totals.parameters
    assert sum(line.flops for line in outer) == counted.totals.flops


@pytest.mark.parametrize("name", zoo.names())
def test_folding_loses_nothing_in_the_zoo(name: str) -> None:
    counted = counted_zoo(name)
    rows = [*counted.rows, *(row for rows in counted.heads.values() for row in rows)]
    words: Counter[str] = Counter()
    for line, times in leaves(lines(counted)):
        for word in line.text.replace(", ", ",").split():
            words[word] += line.times * times
    for word, count in Counter(row.word.replace(", ", ",") for row in rows).items():
        assert words[word] == count, word


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("[8x8x2] conv3-2*100", ["input", "100 × conv3-2"]),
        ("[8x8x2] conv3-2*3", ["input", "conv3-2", "conv3-2", "conv3-2"]),
        (
            "[8x8x2] (conv3-2 relu maxpool3/1(pad=1))*2",
            ["input", "2 × group", "  conv3-2 relu", "  maxpool3/1(pad=1)"],
        ),
        ("[8x8x2] g: (conv3-2 relu)*4", ["input", "g", "  4 × conv3-2 relu"]),
        (
            "[8x8x2] g: (conv3-2 conv1-2)*2",
            ["input", "g", "  2 × group", "    conv3-2", "    conv1-2"],
        ),
        (
            "f() = conv3-2 relu\n[8x8x2] f() maxpool2 f()*2",
            ["input", "f() = conv3-2 relu", "maxpool2", "2 × f() = conv3-2 relu"],
        ),
        (
            "[8x8x2] a: conv3-2 relu b: conv1-2 add(@a | conv3-2 | id) relu",
            [
                "input",
                "a: conv3-2",
                "relu",
                "b: conv1-2",
                "├ @a",
                "├ conv3-2",
                "├ id",
                "└ add relu",
            ],
        ),
        (
            "[8x8x2] add(add(conv1-2 | conv3-2 relu conv3-2) conv1-2 | id)",
            [
                "input",
                "├ ├ conv1-2",
                "│ ├ conv3-2 relu",
                "│ │ conv3-2",
                "│ └ add",
                "│ conv1-2",
                "├ id",
                "└ add",
            ],
        ),
        (
            "f() = conv3-2 conv3-2\n[8x8x2] add(f() | id)*2",
            [
                "input",
                "2 × group",
                "  ├ f()",
                "  │   conv3-2",
                "  │   conv3-2",
                "  ├ id",
                "  └ add",
            ],
        ),
    ],
)
def test_drawing(text: str, drawn: list[str]) -> None:
    """Repetitions are counted, branches drawn, and volumes from elsewhere named."""
    assert [label(line) for line in lines(account(Network.parse(text)))] == drawn


def test_fields_of_repetitions() -> None:
    """From the first repetition's size to the last one's, in nested repetitions too."""
    network = Network.parse("f() = conv3-2*4 maxpool3/1(pad=1)\n[64x64x2] f()*3 deconv2-2/2")
    assert {label(line).strip(): line.field for line in lines(account(network))} == {
        "input": "1 /1",
        "3 × f()": "11…31 /1",
        "4 × conv3-2": "3…29 /1",
        "maxpool3/1(pad=1)": "11…31 /1",
        "deconv2-2/2": "31 /(1/2)",
    }


def test_misaligned_fields_are_marked() -> None:
    text = "[9x9x2] concat(conv{}-2/2(pad=0, floor) | conv4-2/2(pad=1, floor))"
    assert "*" not in str(Network.parse(text.format(2)).table())
    shown = str(Network.parse(text.format(3)).table())
    assert "/2 *" in shown
    assert "field       * from concat1 on: the paths that meet are not centred" in shown


# -- the text table


@quick
@given(networks())
def test_lines_fit(network: Network) -> None:
    for width in (80, 100, 160):
        assert max(map(cell_len, plain(network.table(), width).splitlines())) <= width


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("name", zoo.names())
def test_zoo_fits(name: str, width: int) -> None:
    """All columns have room from 80 columns on, no number is cut, and no word is broken."""
    table = Table(counted_zoo(name))
    shown = plain(table, width).splitlines()
    assert max(map(cell_len, shown)) <= width
    heading = next(line for line in shown if line.startswith("layer "))
    assert heading.split()[0::5] == ["layer", "field"]
    assert not any(re.search(r"\d…(?!\d)", line) for line in shown)
    found = {word for line in shown for word in line.replace("│", " ").split()}
    assert {word for line in lines(table.account) for word in line.text.split()} <= found


def test_narrow_tables_leave_columns_out() -> None:
    """A number is never cut: what has no room is left out."""
    table = zoo.read("vgg16").table()
    headings = {
        width: next(x for x in plain(table, width).splitlines() if x.startswith("layer")).split()
        for width in (100, 80, 60, 40, 20)
    }
    assert headings == {
        100: ["layer", "volume", "parameters", "MACs", "activations", "field"],
        80: ["layer", "volume", "params", "MACs", "values", "field"],
        60: ["layer", "volume", "params", "MACs", "values"],
        40: ["layer", "volume"],
        20: ["layer", "volume"],
    }


def test_wide_titles() -> None:
    """Letters that take two columns, and a title longer than the line."""
    network = Network.parse(f"name: {'網絡' * 60}\n---\n[8x8x3] fc-3")
    assert max(map(cell_len, plain(network.table(), 80).splitlines())) == 80


def test_str_is_the_table_of_a_pipe() -> None:
    table = zoo.read("resnet50").table()
    assert str(table) == plain(table, 120)


def test_no_parameters() -> None:
    shown = str(Network.parse("[4x4x1] relu").table())
    assert "parameters  0 = 0 weights + 0 biases" in shown
    assert "activations: 100% in input" in shown


# -- HTML, Markdown, LaTeX, CSV, JSON


class _Page(HTMLParser):
    """Keeps the open tags, and the text of each table row."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def page(table: Table) -> _Page:
    found = _Page()
    found.feed(table._repr_html_())
    found.close()
    assert not found.open
    return found


@quick
@given(networks())
def test_html_is_well_formed(network: Network) -> None:
    """A row for each line, each with every cell of the text table."""
    table = network.table()
    rows = page(table).rows
    assert rows[0] == list(table.columns)
    assert rows[1:] == [list(table.cells(line)) for line in lines(table.account)]


def test_html_escapes() -> None:
    table = Network.parse(SMALL).table()
    assert "<b>small_net: 100% &amp; &lt;b&gt;&quot;é&quot; | 網</b>" in table._repr_html_()
    assert page(table).rows
    assert "<p>" not in Network.parse("[8x8x3] relu").table()._repr_html_()


@quick
@given(networks())
def test_markdown_has_equal_columns(network: Network) -> None:
    rows = [x for x in FORMATS["markdown"](account(network)).splitlines() if x.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}
    assert len(rows) == 1 + len(lines(account(network)))


def test_markdown_escapes() -> None:
    title, *_ = FORMATS["markdown"](account(Network.parse(SMALL))).splitlines()
    assert title == r'**small\_net: 100% & \<b\>"é" \| 網**'


@quick
@given(networks())
def test_latex_is_escaped(network: Network) -> None:
    """ASCII, six cells a row, no special character of LaTeX by itself, braces in pairs."""
    text = FORMATS["latex"](account(network))
    assert text.isascii()
    body = text.splitlines()[4:-4]
    assert len(body) == len(lines(account(network)))
    assert all(len(re.findall(r"(?<!\\)&", row)) == 5 for row in body)
    assert all(row.endswith(r" \\") for row in body)
    assert not re.search(r"(?<!\\)[%#_]", text)
    assert len(re.findall(r"(?<!\\)\$", text)) % 2 == 0
    assert len(re.findall(r"(?<!\\){", text)) == len(re.findall(r"(?<!\\)}", text))


@quick
@given(networks())
def test_csv_and_json_have_the_same_numbers(network: Network) -> None:
    counted = account(network)
    found = json.loads(FORMATS["json"](counted))
    rows = found["rows"] + [row for rows in found["heads"].values() for row in rows]
    for row, cells in zip(rows, csv_rows(counted), strict=True):
        assert None not in cells
        assert (row["layer"], row["word"], row["rounding"]) == tuple(
            cells[name] for name in ("layer", "word", "rounding")
        )
        assert row["volume"] == [int(cells[side]) for side in ("height", "width", "depth")]
        for key in ("parameters", "weights", "biases", "macs", "flops", "activations"):
            assert str(row[key]) == cells[key]


@quick
@given(networks())
def test_lecture_lines_align(network: Network) -> None:
    shown, _, totals = FORMATS["lecture"](account(network)).partition("\n\n")
    for word in ("memory: ", "params: "):
        assert len({line.index(word) for line in shown.splitlines()}) == 1
    assert totals.startswith("TOTAL memory: ")


# -- numbers


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1 k"),
        (99_999, "100 k"),
        (999_949, "999.9 k"),
        (999_950, "1 M"),
        (15_470_264_320, "15.47 G"),
        (10**12, "1 T"),
        (10**15, "1 P"),
    ],
)
def test_short(number: int, said: str) -> None:
    assert short(number) == said


def test_bytes_and_percent() -> None:
    assert [in_bytes(each) for each in (0, 999, 60_950_432)] == ["0 B", "999 B", "60.95 MB"]
    shares = [0, 0.0001, 0.004, 0.005, 0.742, 0.9949, 0.996, 0.99999, 1]
    said = ["0%", "0.1%", "0.4%", "0%", "74%", "99%", "99.6%", "99.9%", "100%"]
    assert [percent(each) for each in shares] == said
