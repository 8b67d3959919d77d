"""The command line as a process: what it prints where, and how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SOURCE, Run

from striate import __version__, zoo
from striate.cli import main
from striate.network import Network

TOTALS = {
    "parameters",
    "weights",
    "biases",
    "buffers",
    "macs",
    "flops",
    "activations",
    "activation_bytes",
    "kept_bytes",
    "forward_peak_bytes",
    "training_peak_bytes",
    "weight_bytes",
    "gradient_bytes",
    "optimiser_bytes",
    "fixed_bytes",
    "parameters_with_heads",
    "macs_with_heads",
    "batch",
    "training_bytes",
}
ROW = {
    "layer",
    "kind",
    "word",
    "volume",
    "parameters",
    "weights",
    "biases",
    "macs",
    "flops",
    "activations",
    "kept_bytes",
    "receptive_field",
    "receptive_field_smallest",
    "receptive_field_stride",
    "receptive_field_offset",
    "receptive_field_aligned",
    "rounding",
}
CSV = (
    "layer,kind,word,height,width,depth,parameters,weights,biases,macs,flops,activations,"
    "kept_bytes,field_height,field_width,rounding,head"
)
SMALL = "[8x8x3] conv3-4 relu maxpool2 fc-10 softmax"
VERBS = (
    *("zoo", "table", "check", "print", "match", "compare", "recover"),
    *(
        "data",
        "recipe",
        "profile",
        "estimate",
        "train",
        "score",
        "curve",
        "see",
        "lab",
        "predict",
        "export",
        "card",
        "serve",
        "completion",
    ),
)


def succeeds(run: Run, *arguments: str, **environment: str) -> str:
    """What the command prints; it ends well and says nothing on standard error."""
    ran = run(*arguments, **environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def fails(run: Run, *arguments: str, code: int = 1, **environment: str) -> str:
    """What the command says on standard error: a message, never a traceback."""
    ran = run(*arguments, **environment)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert "Traceback" not in ran.stderr
    return ran.stderr


# -- help


def test_version(run: Run) -> None:
    assert succeeds(run, "--version") == f"striate {__version__}\n"


def test_help_lists_the_verbs(run: Run) -> None:
    """Every verb is listed with a line that is not cut off."""
    said = succeeds(run, "--help")
    assert re.findall(r"^  (\w+)  +[A-Z]", said, re.MULTILINE) == list(VERBS)
    for verb in VERBS:
        (line,) = re.findall(rf"^  {verb} .*", said, re.MULTILINE)
        assert line.endswith("."), line
        assert not line.endswith("..."), line


def test_no_verb_gives_the_help(run: Run) -> None:
    ran = run()
    assert ran.returncode == 2
    assert "Usage:" in ran.stdout + ran.stderr


def test_help_of_table(run: Run) -> None:
    said = succeeds(run, "table", "-h")
    for option in (
        "--input HxWxD",
        "--batch",
        "--memory SIZE",
        "--convention",
        "--precision",
        "--optimiser",
        "--format",
    ):
        assert option in said


def test_completion(run: Run) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_STRIATE_COMPLETE" in succeeds(run, "completion", shell)


# -- table


def test_vgg16_json(run: Run) -> None:
    """The totals of the lecture's VGG-16, the activations as its own rows sum up."""
    found = json.loads(succeeds(run, "table", "vgg16", "--format", "json"))
    totals = found["totals"]
    assert totals["parameters"] == 138_357_544
    assert totals["weights"] == 138_344_128
    assert totals["biases"] == 13_416
    assert totals["activations"] == 15_237_608
    assert found["name"] == "VGG-16 (configuration D)"
    assert found["input"] == [224, 224, 3]
    assert found["rows"][1]["volume"] == [224, 224, 64]
    assert found["rows"][2]["receptive_field"] == [3, 3]


def test_alexnet_lecture(run: Run) -> None:
    assert "62,378,344" in succeeds(run, "table", "alexnet-lecture")


def test_json_has_every_key_and_its_rows_sum_to_its_totals(run: Run) -> None:
    found = json.loads(succeeds(run, "table", "googlenet", "--format", "json", "--memory", "1GB"))
    assert list(found) == ["name", "input", "convention", "rows", "heads", "totals", "budget"]
    further = [row for rows in found["heads"].values() for row in rows]
    totals = found["totals"]
    assert set(totals) == TOTALS
    assert all(set(row) == ROW for row in found["rows"] + further)
    assert list(found["heads"]) == ["aux1", "aux2"]
    for key in ("parameters", "weights", "biases", "macs", "flops", "activations"):
        assert sum(row[key] for row in found["rows"]) == totals[key], key
    for key in ("parameters", "macs"):
        assert sum(row[key] for row in further) == totals[f"{key}_with_heads"] - totals[key], key
    assert sum(row["kept_bytes"] for row in found["rows"] + further) == totals["kept_bytes"]
    assert found["rows"][0]["layer"] == "input"
    assert found["budget"]["bytes"] <= found["budget"]["memory"] == 10**9
    assert set(found["budget"]) == {
        "memory",
        "batch",
        "bytes",
        "blocking_layer",
        "blocking_what",
        "blocking_share",
    }


@pytest.mark.parametrize(
    ("format", "first"),
    [
        ("text", "layer"),
        ("lecture", "INPUT:"),
        ("markdown", "| layer | volume | parameters | MACs | activations | field |"),
        ("csv", CSV),
        ("latex", r"\begin{tabular}{lrrrrr}"),
    ],
)
def test_formats(run: Run, format: str, first: str) -> None:
    lines = succeeds(run, "table", SMALL, "--format", format).splitlines()
    assert lines[0].startswith(first)
    assert lines == [line.rstrip() for line in lines]


def test_resnet1202_is_folded(run: Run) -> None:
    shown = succeeds(run, "table", "resnet1202")
    assert len(shown.splitlines()) < 60
    assert "200 × basic(16)" in shown


def test_options(run: Run) -> None:
    """Another input, a batch, a memory, a convention: each shows in the table."""
    options = "--input 16x16x3 --batch 32 --memory 1MB --convention torch --optimiser adam"
    shown = succeeds(run, "table", "[8x8x3] conv3-4 relu [8x8x4] fc-10", *options.split())
    assert "16x16x4" in shown
    assert "FLOPs (torch)" in shown
    assert "a batch of 32" in shown
    assert "largest batch in 1 MB" in shown
    assert "weights, gradients and adam" in shown


def test_half_precision_halves_the_bytes(run: Run) -> None:
    totals = [
        json.loads(succeeds(run, "table", SMALL, "--format", "json", *more))["totals"]
        for more in ((), ("--precision", "bfloat16"))
    ]
    assert totals[0]["activation_bytes"] == 2 * totals[1]["activation_bytes"]
    assert totals[0]["parameters"] == totals[1]["parameters"]


# -- the other verbs


def test_zoo(run: Run) -> None:
    lines = succeeds(run, "zoo").splitlines()
    assert lines[0].split() == ["name", "year", "input", "parameters", "MACs", "network"]
    assert len(lines) == 2 + len(zoo.names())
    assert any(re.match(r"vgg16 +2014 +224x224x3 +138,357,544 +15.47 G  VGG-16", x) for x in lines)


def test_zoo_json(run: Run) -> None:
    found = json.loads(succeeds(run, "zoo", "--format", "json"))
    assert sorted(each["name"] for each in found) == zoo.names()
    assert list(found[0]) == ["name", "title", "year", "input", "parameters", "macs"]
    assert [each["year"] for each in found] == sorted(each["year"] for each in found)


def test_check(run: Run) -> None:
    assert succeeds(run, "check", "vgg16") == (
        "VGG-16 (configuration D): valid, 39 layers, 224x224x3 -> 1x1x1000\n"
    )
    assert succeeds(run, "check", "[8x8x3] relu") == "valid, 1 layer, 8x8x3 -> 8x8x3\n"


def test_check_says_why_it_does_not_fit(run: Run) -> None:
    assert fails(run, "check", "[7x7x3] conv3-1/3(pad=0)") == (
        "text:1:9: conv3-1/3(pad=0) does not fit the 7x7x3 volume\n"
        "  1 | [7x7x3] conv3-1/3(pad=0)\n"
        "    |         ^^^^^^^^^^^^^^^^ (7 - 3)/3 + 1 = 2.33 along height and width\n"
        "  fits: stride 1 -> 5x5, stride 2 -> 3x3, pad=1 -> 3x3; or say floor -> 2x2"
        " (drops 1 row and 1 column) or ceil -> 3x3 (makes up 2 rows and 2 columns)\n"
    )


def test_print_is_canonical(run: Run, tmp_path: Path) -> None:
    """What is printed is read again, from a file too, and printed as it is."""
    printed = succeeds(run, "print", "resnet18")
    assert Network.parse(printed) == zoo.read("resnet18")
    file = tmp_path / "copy.net"
    file.write_text(f"# a comment\n\n{printed}", "utf-8")
    assert succeeds(run, "print", str(file)) == printed


def test_match(run: Run) -> None:
    assert succeeds(run, "match", "vgg16") == (
        "matches [(CONV-RELU)*N-POOL?]*M-(FC-RELU)*K,SOFTMAX\n"
        "N = 2, 2, 3, 3, 3\nM = 5\nK = 2\n"
        "passing over dropout\n"
        "within the lecture's usual bounds (N up to 5, K up to 2)\n"
    )


def test_match_not(run: Run) -> None:
    """No match is an answer: it goes to standard output, with exit code 1."""
    ran = run("match", "resnet18")
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "it branches at basic1.add1" in ran.stdout


def test_match_refuses_a_pattern(run: Run) -> None:
    assert fails(run, "match", "vgg16", "(CONV-REUL)*N").endswith("did you mean relu?\n")


def test_compare(run: Run) -> None:
    shown = succeeds(run, "compare", "vgg16", "vgg16-c")
    lines = shown.splitlines()
    assert sum(line.startswith("~") for line in lines) == 3
    assert re.search(r"^parameters +138,357,544 +133,638,952 +0.966$", shown, re.MULTILINE)
    assert max(map(len, lines)) <= 120


# -- mistakes


def test_unknown_name(run: Run) -> None:
    assert fails(run, "table", "vgg61") == (
        "there is no file and no network in the zoo named 'vgg61'\n  did you mean vgg19?\n"
    )


def test_name_too_long_for_a_file(run: Run) -> None:
    assert fails(run, "check", "conv " * 1000)


def test_unreadable_files(run: Run, tmp_path: Path) -> None:
    """A missing file, a folder, bytes that are no text, an empty file: each has its reason."""
    binary, empty = tmp_path / "binary.net", tmp_path / "empty.net"
    binary.write_bytes(bytes(range(256)))
    empty.write_bytes(b"")
    missing = str(tmp_path / "missing.net")
    assert fails(run, "check", missing) == (
        f"{missing} cannot be read: No such file or directory\n"
    )
    assert fails(run, "check", str(tmp_path)) == f"{tmp_path} cannot be read: Is a directory\n"
    assert fails(run, "check", str(binary)) == f"{binary} cannot be read: it is not a UTF-8 text\n"
    assert fails(run, "check", str(empty)).startswith(f"{empty}:1:1: there is no network")


def test_mistake_in_a_file(run: Run, tmp_path: Path) -> None:
    """The message names the file and the line."""
    file = tmp_path / "mine.net"
    file.write_text("name: mine\n---\n[8x8x3]\nconv3-4 rleu\n", "utf-8")
    said = fails(run, "table", str(file))
    assert said.startswith(f"{file}:4:9: ")
    assert "4 | conv3-4 rleu" in said
    assert "did you mean relu?" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--memory x", "'x' is no amount of memory: say 8GB (10^9 bytes each) or 8GiB (2^30)"),
        ("--memory 0", "'0' is no amount of memory"),
        ("--input 3x", "'3x' is no volume"),
        ("--input 1x1x3", "maxpool2 does not fit the 1x1x4 volume"),
    ],
)
def test_bad_options(run: Run, options: str, message: str) -> None:
    assert message in fails(run, "table", SMALL, *options.split())


@pytest.mark.parametrize("options", ["--batch 0", "--format txt", "--convention he", "--nope", "x"])
def test_bad_usage(run: Run, options: str) -> None:
    said = fails(run, "table", SMALL, *options.split(), code=2)
    assert "Usage:" in said
    assert "Error" in said


# -- terminals, pipes and locales


def test_ascii_output(run: Run) -> None:
    """What an encoding lacks is drawn with what it has."""
    shown = succeeds(run, "table", "resnet18", PYTHONIOENCODING="ascii")
    assert shown.isascii()
    assert "2 x basic(64)" in shown
    assert "`" in shown
    assert "?" not in shown
    assert "-" * 60 in succeeds(run, "compare", SMALL, SMALL, PYTHONIOENCODING="ascii")


def test_c_locale(run: Run) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    assert "2 x basic(64)" in succeeds(run, "table", "resnet18", **plain)
    assert "é" not in fails(run, "table", "é", **plain)


def test_no_home(run: Run) -> None:
    assert succeeds(run, "check", SMALL, HOME="").startswith("valid")


@pytest.mark.parametrize("width", [20, 300])
def test_terminal_widths(run: Run, width: int) -> None:
    """Lines fit a terminal of any width, and a wide one does not stretch them."""
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": str(width)}
    shown = succeeds(run, "table", "vgg16", **terminal)
    assert "\x1b[1m" in shown
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()]
    assert max(map(len, lines)) <= min(width, 120)


def test_a_pipe_has_no_colours_and_no_end_of_line_spaces(run: Run) -> None:
    for verb in (["zoo"], ["table", "googlenet"], ["compare", "vgg16", "vgg16-c"]):
        shown = succeeds(run, *verb)
        assert "\x1b" not in shown
        assert all(line == line.rstrip() for line in shown.splitlines())


@pytest.mark.parametrize("verb", [["table", SMALL], ["table", "resnet1202", "--format", "json"]])
def test_reader_that_has_seen_enough(verb: list[str]) -> None:
    """A pipe that is closed early ends the command without a word."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    environment.pop("PYTHONUNBUFFERED", None)
    with subprocess.Popen(
        [sys.executable, "-m", "striate", *verb],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "striate", "print", "vgg16"],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
    assert ran.returncode == 1
    assert ran.stderr == "[Errno 28] No space left on device\n"


def test_ctrl_c_ends_with_its_own_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("striate.cli.zoo.command.callback", interrupted)
    monkeypatch.setattr(sys, "argv", ["striate", "zoo"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130 and capsys.readouterr().err.strip() == "interrupted"


# -- what is loaded


def test_counting_loads_nothing_slow(python: Run) -> None:
    """Every verb that only reads and counts leaves torch, NumPy and their like alone."""
    ran = python(
        "-c",
        "import contextlib, io, sys\n"
        "from striate.cli import main\n"
        "for line in sys.argv[1:]:\n"
        "    sys.argv = ['striate', *line.split()]\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as said:\n"
        "        try:\n"
        "            main()\n"
        "        except SystemExit as ended:\n"
        "            assert not ended.code, (line, ended.code)\n"
        "    assert said.getvalue(), line\n"
        "slow = 'torch', 'numpy', 'sklearn', 'safetensors', 'PIL', 'scipy', 'matplotlib'\n"
        "print([name for name in slow if name in sys.modules])\n",
        "table lenet5",
        "table lenet5 --format json --memory 8GB",
        "table lenet5 --format latex",
        "zoo",
        "check vgg16",
        "print vgg16",
        "match vgg16",
        "compare lenet5 lenet5-lecture",
        "recipe vgg-2014",
        "train --help",
        "score --help",
        "data --help",
        "curve --help",
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "[]\n", "")


def test_choices_are_those_of_the_library() -> None:
    """The command line repeats the names so that its help need not load what they name."""
    from striate import compute, keeping
    from striate.account.ledger import CONVENTIONS
    from striate.account.memory import OPTIMISERS, PRECISIONS
    from striate.cli import score, table, train
    from striate.draw import scored
    from striate.draw.formats import FORMATS
    from striate.evaluate.views import VIEWS

    assert set(table.FORMATS) == {"text", *FORMATS}
    assert tuple(CONVENTIONS) == table.CONVENTIONS
    assert set(table.PRECISIONS) == set(PRECISIONS)
    assert tuple(OPTIMISERS) == table.OPTIMISERS
    assert set(score.FORMATS) == set(scored.FORMATS)
    assert set(score.VIEWS) == set(VIEWS)
    offered = {each.name: each.type for each in train.command.params}
    assert set(offered["precision"].choices) == set(compute.PRECISIONS)
    kept = {each.name: each.default for each in train.command.params}
    assert kept["save_every"] == keeping.EVERY
    assert set(offered["memory_format"].choices) == set(compute.MEMORY_FORMATS)
