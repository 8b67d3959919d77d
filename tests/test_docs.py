"""Every example of the README and the docs runs, and every table of the language is the language's.

python tests/test_docs.py    writes the output of the console examples anew (none with `...`)

net      a text that must parse
python   run; with >>> as a doctest; the blocks of a page share their names
console  `$ striate ...` and all that it prints, on standard output and error. A line `...`
         stands for any lines. `cat` makes the file that it shows, or shows the one there is.
         What is trained is trained for one epoch, on made images, and only the words around
         its numbers must be so.
sh       a line of SHELL, or a target of the Makefile
"""

from __future__ import annotations

import doctest
import importlib
import json
import re
import shlex
import shutil
import struct
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import MISSING, fields
from difflib import ndiff
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, get_args

import click
import numpy as np
import pytest
from PIL import Image

import striate
from striate import errors
from striate.account.ledger import CONVENTIONS, Totals
from striate.account.memory import INDEX_BYTES, OPTIMISERS, PRECISIONS
from striate.cli import app, lab, main, serve
from striate.expand import DEEPEST, MOST_LAYERS, MOST_WORDS
from striate.layers import JOINS, KINDS, Layer, Volume, Window
from striate.layers.settings import LARGEST, Choice, Form, form_of, settings_of
from striate.network import Network
from striate.notation import read as reading
from striate.notation import reader, values
from striate.pattern import CLASSES, PASSED_OVER
from striate.recipes import Recipe
from striate.recipes.choices import RATES, SCHEDULES
from striate.records import Record
from striate.serve.metrics import COUNTERS, GAUGES, HISTOGRAMS
from striate.serve.openapi import REFUSALS
from striate.serve.settings import Limits

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
LINKED = [*sorted(ROOT.glob("*.md")), *PAGES[1:]]
# Numbers that depend on the machine, or on images that are not here.
TRAINED = (
    *("striate train", "striate score", "striate data photos", "cat runs/"),
    *("striate predict", "striate export"),
)
SHELL = {
    "cd striate",
    "source .venv/bin/activate",
    "python -m pip install .",
    'eval "$(striate completion bash)"',
}


class Block(NamedTuple):
    """A fenced example: where it opens, its language, its lines."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    found, opened = [], None
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        fence = re.fullmatch(r"( *)```(.*)", line)
        if fence and opened is None:
            opened = (number, fence[2].strip(), len(fence[1]), [])
        elif fence and opened and not fence[2]:
            found.append(Block(page, opened[0], opened[1], "\n".join(opened[3]) + "\n"))
            opened = None
        elif opened:
            opened[3].append(line[opened[2] :])
    assert opened is None, f"{page}: the block of line {opened and opened[0]} is not closed"
    return found


def of(language: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.language == language]


def pages_of(language: str) -> list[Path]:
    return list(dict.fromkeys(block.page for block in of(language)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_example_has_a_language_that_is_tested(page: Path) -> None:
    for block in blocks(page):
        assert block.language in {"net", "python", "console", "sh"}, f"{block}: {block.language!r}"


# -- the examples


@pytest.mark.parametrize("block", of("net"), ids=str)
def test_net(block: Block) -> None:
    Network.parse(block.text, str(block))


@pytest.mark.parametrize("block", of("sh"), ids=str)
def test_sh(block: Block) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for line in block.text.splitlines():
        command = line.partition("#")[0].strip()
        if command.startswith("striate lab"):  # it ends when somebody ends it: test_lab_page.py
            lab.command.make_context("striate lab", shlex.split(command)[2:])
            continue
        if command.startswith("striate serve"):  # and this: test_serve_command.py
            serve.command.make_context("striate serve", shlex.split(command)[2:])
            continue
        if command.startswith("curl"):  # asked of a server there
            continue
        assert command in SHELL | {f"make {target}" for target in targets}, f"{block}: {line}"


@pytest.mark.parametrize("page", pages_of("python"), ids=lambda page: page.name)
def test_python(page: Path, tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    with at_work(tmp_path):
        for block in blocks(page):
            if block.language != "python":
                continue
            if ">>>" not in block.text:
                with redirect_stdout(StringIO()):
                    exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
                continue
            examples = doctest.DocTestParser()
            test = examples.get_doctest(block.text, names, str(page), str(page), block.line)
            report = StringIO()
            runner = doctest.DocTestRunner(Checker(), optionflags=doctest.ELLIPSIS)
            done = runner.run(test, out=report.write, clear_globs=False)
            assert done.attempted and not done.failed, f"{block}\n{report.getvalue()}"
            names = test.globs


class Checker(doctest.OutputChecker):
    """Blank lines at the end of what is printed do not show on a page."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return super().check_output(want.rstrip() + "\n", got.rstrip() + "\n", optionflags)


@pytest.mark.parametrize("page", pages_of("console"), ids=lambda page: page.name)
def test_console(page: Path, tmp_path: Path) -> None:
    with at_work(tmp_path):
        session = Session()
        for block in blocks(page):
            for command, said in commands(block) if block.language == "console" else ():
                expected = trimmed(said)
                actual = trimmed(session.run(command, said))
                if command.startswith(TRAINED):
                    expected, actual = shape(expected), shape(actual)
                differing = "\n".join(ndiff(expected, actual))
                assert agree(expected, actual), f"{block}: $ {command}\n{differing}"


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """The commands of a console example, each with what stands under it."""
    assert block.text.startswith("$ "), f"{block} begins without a command"
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, said = part.partition("\n")
        yield command, said


class Session:
    """A shell as far as the examples need one."""

    def __init__(self) -> None:
        self.code = 0

    def depends_on_training(self, command: str) -> bool:
        """Whether the numbers that the command, which was run, has shown are those of a machine."""
        return command.startswith(TRAINED) and self.code == 0

    def run(self, command: str, said: str) -> str:
        program, *arguments = shlex.split(command)
        before, self.code = self.code, 0
        if command == "echo $?":
            return str(before)
        if program == "cat":
            path = Path(arguments[0])
            if not path.exists():
                path.write_text(said, "utf-8")
            return path.read_text("utf-8")
        if program == "ls":
            return "  ".join(sorted(each.name for each in Path(arguments[0]).iterdir()))
        assert program == "striate", f"no example may run {program}"
        if arguments[0] == "train" and "--resume" not in arguments:
            arguments = [each for each in arguments if not each.startswith("epochs=")]
            arguments += [] if "--epochs" in arguments else ["--epochs", "1"]
        shown, sys.argv = StringIO(), ["striate", *arguments]
        with redirect_stdout(shown), redirect_stderr(shown):
            try:
                main()
            except SystemExit as stop:
                self.code = int(stop.code or 0)
        return shown.getvalue()


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """A folder with the examples, some images and an empty cache; a terminal of 100 columns."""
    shutil.copytree(ROOT / "examples", folder / "examples", dirs_exist_ok=True)
    (folder / "mnist").mkdir(exist_ok=True)
    for split, count in (("train", 40), ("t10k", 20)):
        images = np.random.default_rng(count).bytes(count * 28 * 28)
        idx(folder / f"mnist/{split}-images-idx3-ubyte", (count, 28, 28), images)
        labels = bytes(number % 10 for number in range(count))
        idx(folder / f"mnist/{split}-labels-idx1-ubyte", (count,), labels)
    photographs(folder / "photos")
    with chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "100")
        patch.setenv("STRIATE_CACHE", str(folder / ".cache"))
        patch.setattr(sys, "argv", sys.argv)
        for name in ("FORCE_COLOR", "NO_COLOR"):
            patch.delenv(name, raising=False)
        yield


def idx(path: Path, sizes: tuple[int, ...], content: bytes) -> None:
    header = bytes([0, 0, 8, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes)
    path.write_bytes(header + content)


def photographs(folder: Path) -> None:
    """Four classes of small photographs, one of them damaged."""
    for label, name in enumerate(("bird", "cat", "dog", "frog")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(20):
            pixels = np.random.default_rng(20 * label + number).integers(0, 256, (32, 32, 3))
            image = Image.fromarray(pixels.astype(np.uint8))
            image.save(folder / name / f"{number:04}.jpg")
    broken = folder / "dog/0371.jpg"
    broken.write_bytes((folder / "dog/0000.jpg").read_bytes()[:400])


def trimmed(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def shape(lines: list[str]) -> list[str]:
    """With # for every number and for the machine; lines that then are the same are one."""
    plain = []
    for line in lines:
        line = re.sub(r"^on (cpu|cuda)\b[^;]*", "on #", line)
        line = re.sub(r"\b\d[\d.,]*(e-\d+)?( [kMG]B)?", "#", re.sub("─+", "─", line))
        plain.append(re.sub(r"\s+", " ", line))
    text = re.sub(r"^(.+)\n\.\.\.\n(?=\1$)", r"", "\n".join(plain), flags=re.MULTILINE)
    return [line for line, _ in groupby(text.splitlines())]


def agree(expected: list[str], actual: list[str]) -> bool:
    """Whether they are the same, a line `...` standing for any lines."""
    if "..." not in expected:
        return expected == actual
    gap = expected.index("...")
    before, after = expected[:gap], expected[gap + 1 :]
    if actual[:gap] != before:
        return False
    return any(agree(after, actual[at:]) for at in range(gap, len(actual) + 1))


@pytest.mark.parametrize(
    "module",
    [
        ".".join(["striate", *path.relative_to(ROOT / "src/striate").with_suffix("").parts])
        for path in sorted((ROOT / "src/striate").rglob("*.py"))
        if ">>> " in path.read_text("utf-8")
    ],
)
def test_docstrings(module: str) -> None:
    found = importlib.import_module(module.removesuffix(".__init__"))
    failed, tried = doctest.testmod(found, optionflags=doctest.ELLIPSIS)
    assert tried and not failed


# -- links


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"[-\s]+", "-", heading) for heading in plain}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text)):
        if link.startswith(("https://", "http://")):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name}: there is no {target}"
        assert not anchor or anchor in anchors(path), f"{page.name}: {target} has no #{anchor}"


def test_files_that_pages_speak_of_exist() -> None:
    for page in PAGES:
        for path in re.findall(r"`((?:tests|examples|src)/[\w./]+)`", page.read_text("utf-8")):
            assert (ROOT / path).exists(), f"{page.name}: there is no {path}"


def test_every_page_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in PAGES[1:]:
        assert str(page.relative_to(DOCS)) in menu


# -- tables


def table(page: str, *heading: str) -> list[list[str]]:
    """The rows of all tables of a page that have this heading."""
    found: list[list[str]] = []
    inside = False
    for line in (DOCS / page).read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if not line.startswith("|"):
            inside = False
        elif cells == list(heading):
            inside = True
        elif inside and not set(line) <= set("|-: "):
            found.append(cells)
    assert found, f"{page} has no table with the heading {heading}"
    return found


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def needed(each: Any) -> bool:
    return each.default is MISSING


def test_words() -> None:
    """A row for every kind, with its parts, its options and their defaults."""
    rows = table("notation.md", "word", "options and defaults", "meaning")
    assert [code(word)[0] for word, *_ in rows] == [parts(kind) for kind in KINDS]
    for (word, options, _), kind in zip(rows, KINDS, strict=True):
        assert options == ", ".join(written_options(kind)), word


def parts(kind: str) -> str:
    """`convF-K/S`: what may stand outside of the brackets."""
    marks = {"kernel": "F", "units": "-K", "stride": "/S"}
    word = kind
    for role, mark in marks.items():
        for each in settings_of(KINDS[kind]).values():
            if each.metadata["role"] == role:
                word += mark if needed(each) or role == "stride" else f"[{mark}]"
    return word


def written_options(kind: str) -> Iterator[str]:
    for name, each in settings_of(KINDS[kind]).items():
        form: Form = form_of(each)
        if each.metadata["role"] != "option":
            continue
        if isinstance(form, Choice) and form.flags:
            yield " / ".join(f"**`{n}`**" if n == each.default else f"`{n}`" for n in form.names)
        elif needed(each) or each.default is None:
            yield f"`{name}`"
        else:
            yield f"`{name}={form.show(each.default)}`"


def test_settings() -> None:
    """A row for every setting with the values it takes, of all kinds that have it so."""
    expected: dict[tuple[str, str], list[str]] = {}
    for kind, layer in KINDS.items():
        for name, each in settings_of(layer).items():
            wanted = form_of(each).wanted.replace(f"{LARGEST:,}", "2³¹ - 1")
            expected.setdefault((name, wanted), []).append(kind)
    rows = table("notation.md", "setting", "of", "takes", "meaning")
    found = {(code(name)[0], takes): code(kinds) for name, kinds, takes, _ in rows}
    assert found == expected


def test_limits() -> None:
    limits = [
        reading.LONGEST_TEXT,
        reading.LONGEST_WORD,
        reading.DEEPEST_NESTING,
        values.LONGEST_EXPRESSION,
        reader.MOST_ARGUMENTS,
        LARGEST,
        DEEPEST,
        MOST_LAYERS,
        MOST_WORDS,
    ]
    rows = table("notation.md", "limit", "at most")
    assert [most for _, most in rows] == [f"{limit:,}" for limit in limits]


def test_what_is_served() -> None:
    """What is refused, what is bounded, what is told."""
    rows = table("serving.md", "status", "means")
    assert {int(status): meaning for status, meaning in rows} == REFUSALS
    given = Limits()
    bounds = [given.body, given.images, given.pixels, given.answer]
    bounds += [given.reading, given.head, given.held, given.connections]
    rows = table("serving.md", "limit", "by default", "option")
    assert [most for _, most, _ in rows] == [f"{bound:,.0f}" for bound in bounds]
    told = {name: ("counter", help) for name, help in COUNTERS.items()}
    told |= {name: ("gauge", help) for name, help in GAUGES.items()}
    told |= {name: ("histogram", help) for name, (help, _) in HISTOGRAMS.items()}
    rows = table("serving.md", "name", "kind", "tells")
    assert {code(name)[0]: (kind, help) for name, kind, help in rows} == told


def test_pattern_words() -> None:
    rows = {code(word)[0].lower(): set(code(kinds)) for word, kinds in pattern_rows()}
    assert rows.pop("softmax") == {"fc", "softmax", "rbf"}
    assert rows == CLASSES
    said = (DOCS / "notation.md").read_text("utf-8").partition("are passed over:")[2]
    assert set(code(said.partition(".\n")[0])) == PASSED_OVER


def pattern_rows() -> list[list[str]]:
    return table("notation.md", "in a pattern", "stands for")


MET = Volume(12, 10, 8)
SAMPLES: dict[str, dict[str, Any]] = {
    **{kind: {"branches": 3} for kind in JOINS},
    "conv": {"kernel": 3, "filters": 4, "groups": 2},
    "deconv": {"kernel": 3, "filters": 4, "groups": 2},
    "maxpool": {"kernel": 2},
    "avgpool": {"kernel": 2},
    "subsample": {"kernel": 2},
    "fc": {"units": 5},
    "rbf": {"units": 5},
    "scale": {"factor": 0.5},
    "dropout": {"probability": 0.5},
    "pad": {"border": 1},
    "upsample": {"factor": 2, "method": "bilinear"},
    "take": {"channels": (1, 2)},
    "groupnorm": {"groups": 2},
    "slice": {"first": 1, "stop": 5},
    "shuffle": {"groups": 2},
    "opaque": {"extent": 7, "depth": 8},
    "shortcut": {"filters": 16, "stride": 2, "option": "a"},
}


def sample(kind: str) -> tuple[Layer, dict[str, int]]:
    """A layer of the kind on a small volume, and the letters of the lectures for its sizes."""
    layer = {**KINDS, **JOINS}[kind](**SAMPLES.get(kind, {}))
    volume = layer.volume(MET)
    window = layer.slides(MET)[0].kernel if isinstance(layer, Window) else 3
    letters = {"F": window, "K": volume.depth, "G": getattr(layer, "groups", 1), "B": 3}
    letters |= dict(zip(("H1", "W1", "D1"), MET, strict=True))
    letters |= dict(zip(("H2", "W2", "D2"), volume, strict=True))
    letters |= {"n": getattr(layer, "size", 0), "V1": MET.size, "V2": volume.size}
    return layer, letters


def worked(cell: str, letters: dict[str, int]) -> int | None:
    """`F·F·D1·K/G` with its numbers; an empty cell is nothing, unknown is None."""
    if cell == "unknown":
        return None
    formula = "".join(code(cell)).replace("·", "*")
    assert re.fullmatch(r"[\w*/+() -]*", formula), cell
    return int(eval(formula, {"__builtins__": {}}, letters)) if formula else 0


def test_counting() -> None:
    """The formulas for parameters, MACs and other operations, each worked out and compared."""
    rows = table("accounting.md", "kind", "weights", "biases", "MACs", "other operations")
    assert [kind for row in rows for kind in code(row[0])] == in_order([row[0] for row in rows])
    for kinds, *cells in rows:
        for kind in code(kinds):
            layer, letters = sample(kind)
            learned = layer.parameters(MET) or (None, None)
            actual = (*learned, layer.macs(MET), layer.operations(MET))
            assert tuple(worked(cell, letters) for cell in cells) == actual, kind


def test_what_is_kept() -> None:
    """What each kind saves for the backward pass, and how much beside the volumes."""
    rows = table("accounting.md", "kind", "its input", "its output", "further values", "why")
    in_order([row[0] for row in rows])
    for kinds, met, own, further, _ in rows:
        for kind in code(kinds):
            layer, letters = sample(kind)
            saved = layer.saved(MET)
            if saved is None:
                assert {met, own, further} == {"unknown"}, kind
                continue
            assert (met == "kept", own == "kept") == (saved.input, saved.output), kind
            values = saved.values + saved.indices * INDEX_BYTES // 4 + saved.fixed
            assert worked(further, letters) == values, kind


def in_order(cells: list[str]) -> list[str]:
    """The kinds of a table: all that there are, each once."""
    kinds = [kind for cell in cells for kind in code(cell)]
    assert sorted(kinds) == sorted([*KINDS, *JOINS])
    return kinds


def test_names_of_options() -> None:
    for heading, known in (
        ("convention", CONVENTIONS),
        ("precision", PRECISIONS),
        ("optimiser", OPTIMISERS),
    ):
        rows = table("accounting.md", heading, "bytes" if heading == "precision" else "counts")
        assert [code(name)[0] for name, _ in rows] == list(known)


def test_json_keys() -> None:
    """Every key of the JSON has a row, and every row a key."""
    found = json.loads(striate_says("table", "googlenet", "--format", "json", "--memory", "1GB"))
    expected = {
        "": set(found),
        "rows": set(found["rows"][0]),
        "totals": set(found["totals"]),
        "budget": set(found["budget"]),
    }
    assert {each.name for each in fields(Totals)} <= expected["totals"]
    rows = table("accounting.md", "key", "meaning")
    keys = [key.rpartition(".") for cell, _ in rows for key in code(cell)]
    assert {part: {key for of, _, key in keys if of == part} for part in expected} == expected
    columns = striate_says("table", "googlenet", "--format", "csv").partition("\n")[0].split(",")
    assert code(" ".join(table("accounting.md", "columns of the CSV")[0])) == columns


def striate_says(*arguments: str) -> str:
    return Session().run(shlex.join(["striate", *arguments]), "")


def test_recipe() -> None:
    rows = table("recipes.md", "setting", "default", "meaning")
    expected = {each.name: str(each.default).lower() or '""' for each in fields(Recipe)}
    assert {code(name)[0]: code(default)[0] for name, default, _ in rows} == expected


def test_rules_and_schedules() -> None:
    """Every rule with the rate that it begins with, and every schedule."""
    rows = table("recipes.md", "rule", "what it does", "PyTorch's", "rate", "reads")
    assert {code(rule)[0]: float(code(rate)[0]) for rule, _, _, rate, _ in rows} == RATES
    rows = table("recipes.md", "schedule", "factor", "reads")
    assert {code(name)[0] for name, *_ in rows} == set(SCHEDULES)


def test_records() -> None:
    rows = table("training.md", "record", "when")
    assert [code(name)[0] for name, _ in rows] == [each.__name__ for each in get_args(Record)]


def test_initialisations() -> None:
    from striate.initialise import INITIALISATIONS

    rows = table("python.md", "name", "weights drawn from")
    assert [code(name)[0] for name, _ in rows] == list(INITIALISATIONS)


def test_errors() -> None:
    rows = table("python.md", "class", "when")
    assert issubclass(errors.NotationError, ValueError)
    assert {code(name)[0] for name, _ in rows} == {
        name
        for name, each in vars(errors).items()
        if isinstance(each, type)
        and issubclass(each, errors.StriateError)
        and each is not errors.StriateError
    }


def test_every_option_of_every_verb_is_described() -> None:
    page = (DOCS / "command-line.md").read_text("utf-8")
    sections = dict(re.findall(r"^## `striate (\w+)`\n(.*?)(?=^## |\Z)", page, re.M | re.S))
    context = click.Context(app)
    verbs = {name: app.get_command(context, name) for name in app.list_commands(context)}
    assert list(sections) == list(verbs)
    for verb, command in verbs.items():
        for each in command.params:
            for option in each.opts if each.param_type_name == "option" else ():
                assert option in ("--help", "-h") or f"`{option}" in sections[verb], (verb, option)


def test_every_public_name_is_on_the_page() -> None:
    page = (DOCS / "python.md").read_text("utf-8")
    said = {name.rpartition(".")[2] for name in re.findall(r"^::: (\S+)$", page, re.MULTILINE)}
    assert {name for name in striate.__all__ if name != "layers"} <= said


# -- writing the output of the console examples


def written(page: Path, folder: Path) -> str:
    """The page with what its console examples print now."""
    text = page.read_text("utf-8")
    with at_work(folder):
        session = Session()
        for block in blocks(page):
            if block.language != "console":
                continue
            made = ""
            for command, said in commands(block):
                now = "\n".join(trimmed(session.run(command, said)))
                kept = session.depends_on_training(command) or "..." in said.splitlines()
                made += f"$ {command}\n" + (said if kept else f"{now}\n" if now else "")
            text = text.replace(f"```console\n{block.text}```", f"```console\n{made}```")
    return text


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    for each in PAGES:
        with TemporaryDirectory() as folder:
            new = written(each, Path(folder))
        if new != each.read_text("utf-8"):
            each.write_text(new, "utf-8")
            print(each.relative_to(ROOT))
