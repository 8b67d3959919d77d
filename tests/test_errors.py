"""What the notation says of mistakes: each message exactly, and that every repair repairs.

The messages are in messages.txt, text and message below each other. Here are those of texts too
long to show, of files, and the properties that hold for all.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import assume, example, given, reject
from hypothesis import strategies as st
from strategies import quick, random_texts

from striate import errors
from striate.errors import (
    DoesNotFit,
    Misfit,
    NotationError,
    Place,
    Source,
    StriateError,
    TooLarge,
    UnknownWord,
    VolumeMismatch,
    nearest,
)
from striate.layers import JOINS, Conv, Pair, Volume
from striate.network import Network, read
from striate.tree import Call, Check, Reference, Script, Word


def cases() -> dict[str, tuple[str, str, str]]:
    """Name to text, class and message."""
    written = (Path(__file__).parent / "messages.txt").read_text("utf-8")
    found = re.findall(r"^=== (.+)\n((?s:.*?))\n=> (\w+)\n((?s:.+?))\n*(?=^===|\Z)", written, re.M)
    return {name: (text, kind, message) for name, text, kind, message in found}


CASES = cases()


def error_of(text: str, source: str = "mine.net") -> NotationError:
    with pytest.raises(NotationError) as caught:
        Network.parse(text, source)
    return caught.value


@pytest.mark.parametrize("name", CASES)
def test_message(name: str) -> None:
    text, kind, message = CASES[name]
    error = error_of(text)
    assert str(error) == message
    assert type(error).__name__ == kind


def test_all_cases_are_read() -> None:
    written = (Path(__file__).parent / "messages.txt").read_text("utf-8")
    assert len(CASES) == written.count("\n=== ") > 100
    assert {kind for _, kind, _ in CASES.values()} == {
        "NotationError",
        "UnknownWord",
        "DoesNotFit",
        "VolumeMismatch",
        "TooLarge",
    }


@pytest.mark.parametrize("name", CASES)
def test_layout_of_a_message(name: str) -> None:
    """The place, the line with a caret below the place, then hints; nothing ends in a full stop."""
    head, line, caret, *hints = CASES[name][2].split("\n")
    where = re.match(r"mine\.net:(\d+):(\d+): \S", head)
    assert where
    assert line.startswith(f"  {where[1]} | ")
    assert re.fullmatch(r" +\| +\^+( \S.*)?", caret)
    assert all(re.fullmatch(r"  \S.*([^.]|\.\.\.)", hint) for hint in hints)
    text = CASES[name][0].split("\n")[int(where[1]) - 1]
    if len(text) <= 100:
        assert line == f"  {where[1]} | {text.replace(chr(9), ' ')}".rstrip()
        assert caret.index("^") - line.index("|") - 2 == int(where[2]) - 1


# -- texts too long to show


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("", NotationError, "mine.net:1:1: there is no network in the text"),
        (" \n\n\t", NotationError, "mine.net:1:1: there is no network in the text"),
        (
            f"[8x8x3] {'(' * 41}relu{')' * 41}",
            TooLarge,
            "mine.net:1:49: brackets nest deeper than 40",
        ),
        (f"[8x8x3] {'r' * 81}", TooLarge, "mine.net:1:9: the word is too long"),
        (f"[8x8x3]{' relu' * 50_000}", TooLarge, "mine.net:1:1: the text is too long"),
        (
            f"f(k) = conv3-({'+'.join('k' * 120)})\n[8x8x3] f(1)",
            NotationError,
            "mine.net:1:15: the expression is too long",
        ),
        (
            f"f(k) = conv3-({'-' * 200}k)\n[8x8x3] f(1)",
            NotationError,
            "mine.net:1:15: the expression is too long",
        ),
        (
            f"[8x8x3] take({', '.join('0' * 501)})",
            NotationError,
            "mine.net:1:14: a word has at most 500 settings",
        ),
        (
            f"f({', '.join(f'p{n}' for n in range(101))}) = relu\n[8x8x3] relu",
            NotationError,
            "mine.net:1:1: a block has at most 100 parameters",
        ),
        (
            "f() = relu*60000\n[8x8x3] f() f()",
            TooLarge,
            "mine.net:1:7: the network has more than 100,000 layers",
        ),
    ],
)
def test_too_much(text: str, kind: type[NotationError], message: str) -> None:
    error = error_of(text)
    assert str(error).split("\n")[0] == message
    assert type(error) is kind
    assert len(str(error)) < 500


def test_a_long_line_is_cut_to_a_window() -> None:
    text = f"[7x7x6] {'relu ' * 30}conv3-8/3(pad=0){' relu' * 30}"
    _, line, caret, *_ = str(error_of(text)).split("\n")
    assert len(line) <= 110
    assert line[caret.index("^") : caret.rindex("^") + 1] == "conv3-8/3(pad=0)"


def test_many_names_are_not_all_listed() -> None:
    text = "[8x8x3] " + " ".join(f"label{n}: relu" for n in range(200)) + " @zzz"
    assert str(error_of(text)).endswith("label131, label132, label133, ...")


def test_many_branches_are_not_all_listed() -> None:
    text = "[8x8x3] add(" + " | ".join(f"fc-{n}" for n in range(1, 100)) + ")"
    error = error_of(text)
    assert error.message == (
        "add joins volumes that differ: 1x1x1, 1x1x2, 1x1x3, 1x1x4, 1x1x5, 1x1x6"
    )
    assert len(error.hints) == 6


# -- errors that have no text


def test_a_network_made_by_a_program_has_no_place() -> None:
    with pytest.raises(DoesNotFit) as caught:
        Network.of((7, 7, 6), Conv(kernel=3, filters=8, stride=3, pad=0))
    assert caught.value.place is None
    assert str(caught.value) == (
        "conv3-8/3(pad=0) does not fit the 7x7x6 volume\n"
        "  (7 - 3)/3 + 1 = 2.33 along height and width\n"
        "  fits: stride 1 -> 5x5, stride 2 -> 3x3, pad=1 -> 3x3; or say floor -> 2x2 "
        "(drops 1 row and 1 column) or ceil -> 3x3 (makes up 2 rows and 2 columns)"
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ((Check(Volume(1, 2, 3)),), "the volume here is 8x8x3, not 1x2x3\n  the input gives 8x8x3"),
        ((Reference("x"),), "there is no label 'x' here\n  a label is set as in x: relu"),
        ((), "the network has no layers"),
    ],
)
def test_trees_made_by_a_program(body: tuple[Word | Call, ...], message: str) -> None:
    with pytest.raises(NotationError) as caught:
        Network(Script(Volume(8, 8, 3), body))
    assert str(caught.value) == message


# -- files


def test_a_file_that_does_not_exist() -> None:
    with pytest.raises(NotationError) as caught:
        read("nowhere/mine.net")
    assert str(caught.value) == "nowhere/mine.net cannot be read: No such file or directory"


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotationError) as caught:
        read(tmp_path)
    assert str(caught.value) == f"{tmp_path} cannot be read: Is a directory"


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.net"
    path.write_bytes(b"[8x8x3] relu \xff\xfe")
    with pytest.raises(NotationError) as caught:
        read(path)
    assert str(caught.value) == f"{path} cannot be read: it is not a UTF-8 text"


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "mine.net"
    path.write_text("[8x8x3] relu", "utf-8-sig")
    assert read(path) == read("[8x8x3] relu")


@pytest.mark.parametrize("name", ["a\0b.net", "a\0b", "n" * 5000, "n" * 5000 + ".net", "", "/"])
def test_names_that_no_file_can_have(name: str) -> None:
    with pytest.raises(NotationError) as caught:
        read(name)
    assert "cannot be read" in str(caught.value) or "no network in the zoo" in str(caught.value)


def test_a_mistake_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.net"
    path.write_text("name: x\r\n---\r\n[8x8x3]\r\n  rely\r\n", "utf-8", newline="")
    with pytest.raises(UnknownWord) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path}:4:3: there is no layer or block 'rely' here\n"
        "  4 |   rely\n"
        "    |   ^^^^\n"
        "  did you mean relu?"
    )


def test_a_name_that_nothing_has() -> None:
    with pytest.raises(UnknownWord) as caught:
        read("vgg61")
    assert str(caught.value).startswith("there is no file and no network in the zoo named 'vgg61'")


# -- repairs: each is carried out, and must give what it says

REPAIR = re.compile(r"(stride |kernel |pad=|floor|ceil)([\dx]*)((?:, floor)?) -> (\d+)x(\d+)")


def windows() -> st.SearchStrategy[tuple[str, str]]:
    """The text of a word whose window often does not fit, in its parts, and what it meets."""
    pair = st.one_of(
        st.integers(1, 7).map(str), st.tuples(st.integers(1, 7), st.integers(1, 7)).map(_by)
    )
    options = st.fixed_dictionaries(
        {},
        optional={
            "pad": st.one_of(st.integers(0, 4).map(str), st.just("1x0"), st.just("0x2")),
            "dilation": st.one_of(st.integers(1, 3).map(str), st.just("1x2")),
        },
    )
    word = st.tuples(st.sampled_from(("conv", "maxpool", "subsample")), pair, pair, options)
    volume = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 3))
    return st.tuples(volume.map(lambda v: f"[{v[0]}x{v[1]}x{v[2]}]"), word)


def _by(sides: tuple[int, int]) -> str:
    return f"{sides[0]}x{sides[1]}"


def written(kind: str, kernel: str, stride: str, options: dict[str, str]) -> str:
    units = "-4" if kind == "conv" else ""
    said = ", ".join(key if value == "" else f"{key}={value}" for key, value in options.items())
    return f"{kind}{kernel}{units}/{stride}({said})"


@quick
@given(windows())
@example(("[7x7x6]", ("conv", "3", "3", {"pad": "0"})))
@example(("[7x7x6]", ("conv", "4", "2", {})))
@example(("[7x9x6]", ("maxpool", "3", "4", {})))
def test_every_repair_repairs(drawn: tuple[str, tuple[str, str, str, dict[str, str]]]) -> None:
    volume, (kind, kernel, stride, options) = drawn
    try:
        Network.parse(f"{volume} {written(kind, kernel, stride, options)}")
        assume(False)
    except DoesNotFit as caught:
        error = caught
    assume("does not fit" in error.message or "keeps the size" in error.message)
    repairs = REPAIR.findall(" ".join(error.hints))
    assert repairs or "spans" in error.note
    assert len(repairs) == " ".join(error.hints).count(" -> ")
    for what, value, floor, height, width in repairs:
        changed = {"kernel ": kernel, "stride ": stride, **options}
        changed[what.rstrip("=")] = value
        if floor:
            changed["floor"] = ""
        word = written(kind, changed.pop("kernel "), changed.pop("stride "), changed)
        network = Network.parse(f"{volume} {word}")
        assert network.output[:2] == (int(height), int(width)), word


@quick
@given(st.integers(1, 8), st.integers(1, 12), st.integers(2, 12))
def test_every_number_of_groups_fits(depth: int, filters: int, groups: int) -> None:
    assume(depth % groups or filters % groups)
    for kind in ("conv", "deconv"):
        error = error_of(f"[8x8x{depth}] {kind}3-{filters}(groups={groups})")
        (hint,) = error.hints
        assert hint.startswith("groups that fit: ")
        for each in hint.removeprefix("groups that fit: ").split(", "):
            Network.parse(f"[8x8x{depth}] {kind}3-{filters}(groups={each})")


@pytest.mark.parametrize(
    ("word", "repaired"),
    {
        "deconv2-8(pad={})": "pad up to ",
        "deconv4x2-8/3x1(pad={}, extra=1x0)": "pad up to ",
        "maxpool3(pad={}, floor)": "pad up to ",
    }.items(),
)
def test_a_smaller_pad_fits(word: str, repaired: str) -> None:
    error = error_of(f"[2x3x6] {word.format(9)}")
    (most,) = re.findall(f"{repaired}([0-9x]+)$", error.hints[0])
    Network.parse(f"[2x3x6] {word.format(most)}")
    larger = "x".join(str(int(side) + 1) for side in most.split("x"))
    with pytest.raises(DoesNotFit):
        Network.parse(f"[2x3x6] {word.format(larger)}")


def test_a_smaller_extra_fits() -> None:
    error = error_of("[8x8x6] deconv4-8/2(extra=2)")
    assert error.hints == ("extra up to 1",)
    assert Network.parse("[8x8x6] deconv4-8/2(extra=1)").output == (19, 19, 8)


volumes = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5))


def reducible(volume: Volume, target: Volume, kind: str) -> bool:
    """Whether taking every n-th row and every m-th column leads from one to the other.

    A factor of a product may have one row or one column.
    """
    return all(
        (kind == "mul" and size == 1)
        or any(len(range(0, size, stride)) == wanted for stride in range(1, size + 1))
        for size, wanted in zip(volume[:2], target[:2], strict=True)
    )


@quick
@given(
    st.sampled_from(tuple(JOINS)),
    volumes,
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 5)), max_size=4),
)
@example("add", (8, 6, 3), [(2, 1, 4), (1, 2, 4)])
def test_the_projections_make_the_branches_agree(
    kind: str, met: tuple[int, int, int], strides: list[tuple[int, int, int]]
) -> None:
    branches = [f"conv3-{k}/{y}x{x}(floor)" for y, x, k in strides] + ["id relu"]
    ends = [Network.parse(f"[{Volume(*met)}] {branch}").output for branch in branches]
    with suppress(Misfit):
        JOINS[kind]().join(ends)
        reject()
    text = f"[{Volume(*met)}] {kind}( {{}} )"
    hints = error_of(text.format(" | ".join(branches))).hints
    agreeing = [hint for hint in hints if hint.startswith("agrees with ")]
    mended = any(all(reducible(each, target, kind) for each in ends) for target in ends)
    assert len(agreeing) == mended
    if mended:
        for word, number in re.findall(r"(shortcut-\S+) at the end of branch (\d+)", agreeing[0]):
            branches[int(number) - 1] += f" {word}"
        Network.parse(text.format(" | ".join(branches)))


@pytest.mark.parametrize(
    "branch", ["conv3-128/2(floor) bn relu conv3-128 bn", "conv1-128/2(floor)"]
)
def test_a_residual_block_is_always_mended(branch: str) -> None:
    error = error_of(f"[56x56x64] add({branch} | id)")
    assert error.hints[-1] == "agrees with shortcut-128/2 at the end of branch 2"
    assert Network.parse(f"[56x56x64] add({branch} | id shortcut-128/2)").output == (28, 28, 128)


# -- what holds for every error


@quick
@given(random_texts())
def test_any_text_gives_a_network_or_a_placed_error(text: str) -> None:
    try:
        Network.parse(text, "mine.net")
    except NotationError as error:
        assert error.place is not None
        head, line, caret, *_ = str(error).split("\n")
        assert head == f"{error.place}: {error.message}"
        assert line.startswith(f"  {error.place.line} | ")
        assert "^" in caret


def test_the_tree_of_errors() -> None:
    placed = (UnknownWord, DoesNotFit, VolumeMismatch, TooLarge)
    assert all(issubclass(each, NotationError) for each in placed)
    assert issubclass(NotationError, StriateError)
    assert issubclass(NotationError, ValueError)
    for name in ("DataError", "RunError"):
        assert issubclass(getattr(errors, name), StriateError)
        assert name in errors.__doc__
    assert not issubclass(Misfit, StriateError)


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("cnov", ["conv", "fc"], "did you mean conv?"),
        ("zzz", ["fc", "conv"], "known: conv, fc"),
        ("zzz", [], "there are none here"),
        ("conv" * 100, ["conv"], "known: conv"),
    ],
)
def test_nearest(word: str, known: list[str], hint: str) -> None:
    assert nearest(word, known) == hint


@pytest.mark.parametrize(
    ("start", "end", "where", "excerpt"),
    [
        (0, 3, "mine.net:1:1", "  1 | one two\n    | ^^^ note"),
        (4, 7, "mine.net:1:5", "  1 | one two\n    |     ^^^ note"),
        (4, 12, "mine.net:1:5", "  1 | one two\n    |     ^^^ note"),
        (8, 13, "mine.net:2:1", "  2 | three\n    | ^^^^^ note"),
        (13, 13, "mine.net:2:6", "  2 | three\n    |      ^ note"),
    ],
)
def test_places(start: int, end: int, where: str, excerpt: str) -> None:
    place = Place(Source("one two\nthree", "mine.net"), start, end)
    assert str(place) == where
    assert place.excerpt("note") == excerpt


def test_a_misfit_knows_no_place() -> None:
    with pytest.raises(Misfit) as caught:
        Conv(kernel=Pair(3, 3), filters=8, stride=Pair(3, 3), pad=Pair(0, 0)).volume(
            Volume(7, 7, 6)
        )
    assert caught.value.message == "does not fit the 7x7x6 volume"
    assert caught.value.note == "(7 - 3)/3 + 1 = 2.33 along height and width"
