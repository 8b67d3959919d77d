"""Text to Script: grammar by lark, names and options resolved here, every error placed."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import Any, NoReturn

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedEOF, UnexpectedInput

from striate.errors import NotationError, Place, Source, TooLarge, UnknownWord, nearest
from striate.layers import JOINS, KINDS
from striate.layers.settings import LARGEST, BadSetting, settings_of
from striate.layers.volume import Pair, Volume
from striate.notation import words
from striate.tree import (
    Block,
    Branches,
    Call,
    Check,
    Head,
    Item,
    Label,
    Name,
    Number,
    Operation,
    Parameter,
    Reference,
    Repeat,
    Script,
    Sequence,
    Word,
    number_names,
)

LONGEST_TEXT = 250_000
LONGEST_WORD = 80
DEEPEST_NESTING = 40
LONGEST_EXPRESSION = 100
MOST_ARGUMENTS = 500
MOST_PARAMETERS = 100
MOST_EXPECTED = 5

Node = Any  # lark types a child as tree or token; the grammar says which


@lru_cache(maxsize=1)
def _parser() -> Lark:
    grammar = resources.files(__package__).joinpath("grammar.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=True)


def read_script(source: Source) -> Script:
    """The script that a text writes.

    Raises:
        NotationError: the text is not in the notation; the error names line and column.
    """
    if len(source.text) > LONGEST_TEXT:
        size = f"{len(source.text):,} characters, at most {LONGEST_TEXT:,}"
        raise TooLarge("the text is too long", Place(source, 0, 1), size)
    front, body = _split_front(source)
    body = re.sub(r"#[^\n]*", lambda found: " " * len(found[0]), body)
    if long := re.search(rf"\w{{{LONGEST_WORD + 1},}}", body):
        place = Place(source, *long.span())
        raise TooLarge("the word is too long", place, f"at most {LONGEST_WORD} characters")
    _check_nesting(source, body)
    try:
        tree = _parser().parse(body)
    except UnexpectedInput as error:
        raise _syntax_error(source, body, error) from None
    return _Reader(source).script(tree, front)


def read_volume(text: str) -> Volume:
    """`32x32x3`, with or without its square brackets.

    Raises:
        NotationError: it is no volume.
    """
    found = re.fullmatch(
        r"\s*\[?\s*(\d{1,9})\s*x\s*(\d{1,9})\s*x\s*(\d{1,9})\s*\]?\s*", text.lower()
    )
    if not found or not all(map(int, found.groups())):
        raise NotationError(
            f"{text!r} is no volume", hints=["a volume is written HxWxD, such as 32x32x3"]
        )
    return Volume(*map(int, found.groups()))


def _split_front(source: Source) -> tuple[tuple[tuple[str, str], ...], str]:
    """The front matter above the `---` line, and the text with it blanked out, places kept."""
    rule = re.search(r"^---[ \t\r]*$", source.text, re.MULTILINE)
    if not rule:
        return (), source.text
    front: dict[str, str] = {}
    for line in re.finditer(r"^[^\n]*\S[^\n]*$", source.text[: rule.start()], re.MULTILINE):
        place = Place(source, line.start(), line.end())
        key, colon, value = (part.strip() for part in line[0].partition(":"))
        if key.startswith("#"):
            continue
        if not (colon and value and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_ -]*", key)):
            raise NotationError("the front matter has lines of the form `key: value`", place)
        if key.lower() in front:
            raise NotationError(f"the front matter says {key.lower()} twice", place)
        front[key.lower()] = value
    return tuple(front.items()), re.sub(r"[^\n]", " ", source.text[: rule.end()]) + source.text[
        rule.end() :
    ]


def _check_nesting(source: Source, body: str) -> None:
    """Brackets close, and not too deep, so that nothing after this can run out of stack."""
    opened: list[int] = []
    for found in re.finditer(r"[()]", body):
        place = Place(source, *found.span())
        if found[0] == "(":
            opened.append(found.start())
            if len(opened) > DEEPEST_NESTING:
                raise TooLarge(f"brackets nest deeper than {DEEPEST_NESTING}", place)
        elif not opened:
            raise NotationError("this bracket closes nothing", place)
        else:
            opened.pop()
    if opened:
        place = Place(source, opened[-1], opened[-1] + 1)
        raise NotationError("this bracket is never closed", place)


_FRIENDLY = {
    "NAME": "a name",
    "VOLUME": "a volume [HxWxD]",
    "REFERENCE": "a label such as `@x`",
    "INT": "a number",
    "REAL": "a number",
    "PAIR": "a number",
    "STAR": "`*`",
    "PLUS": "`+`",
    "MINUS": "`-`",
    "DIVIDE": "`/`",
    "HEAD": "`head`",
    "_OPEN": "`(`",
    "_BRACKET": "`(`",
    "_CLOSE": "`)`",
    "_DASH": "`-`",
    "_SLASH": "`/`",
    "_EQUALS": "`=`",
    "_COMMA": "`,`",
    "_COLON": "`:`",
    "_BAR": "`|`",
    "_FROM": "`from`",
}
_ITEM = {"NAME", "JOIN", "LABEL", "REFERENCE", "VOLUME", "_BRACKET"}


def _expected(terminals: set[str]) -> list[str]:
    """The hint that says what could stand here instead, where that is not almost anything."""
    wanted = ["a word"] if terminals >= {"NAME", "JOIN"} else []
    if wanted:
        terminals = terminals - _ITEM
    wanted += sorted({_FRIENDLY[each] for each in terminals if each in _FRIENDLY})
    wanted.sort(key=lambda each: each.startswith("`"))
    if len(wanted) > MOST_EXPECTED:
        return []
    return (
        [f"expected {' or '.join(filter(None, [', '.join(wanted[:-1]), wanted[-1]]))}"]
        if wanted
        else []
    )


def _syntax_error(source: Source, body: str, error: UnexpectedInput) -> NotationError:
    found_out = (getattr(error, name, None) for name in ("accepts", "expected", "allowed"))
    expected = set(next(filter(None, found_out), ()))
    at_end = isinstance(error, UnexpectedEOF) or getattr(error, "token", None) == ""
    start = len(body.rstrip()) if at_end else max(0, error.pos_in_stream or 0)
    place = Place(source, start, start + 1)
    if not body.strip():
        return NotationError("there is no network in the text", place, hints=_BEGIN)
    if at_end and "DEFINE" in expected:
        return NotationError("there is no network after the blocks", place, hints=_BEGIN)
    if at_end:
        message = "the text ends before the network does"
        return NotationError(message, place, hints=_expected(expected))
    found = re.match(r"[\w@]+|\[[^\[\]\n]*\]?|.", body[start:], re.DOTALL)
    token = found[0] if found else ""
    place = Place(source, start, start + len(token))
    if token[:1] == "[" and token[-1:] != "]":
        hint = "it opens and closes on one line, as in [32x32x3]"
        return NotationError("this volume is never closed", place, hints=[hint])
    if expected <= {"VOLUME", "DEFINE"}:
        return NotationError(
            "a network starts with its input volume", place, hints=_beginning(body[start:])
        )
    hints = _advice(token, body[:start], expected) or _expected(expected)
    return NotationError(f"{token[:40]!r} cannot stand here", place, hints=hints)


def _beginning(body: str) -> list[str]:
    """What helps a text that does not begin with its input volume."""
    if re.match(r"\w+\s*:", body):
        return ["front matter ends with a line of three dashes: ---"]
    return [_DEFINITION] if re.match(r"\w+\s*=", body) else _BEGIN


def _advice(token: str, before: str, expected: set[str]) -> list[str]:
    """What helps with some mistakes better than a list of what could stand there."""
    if token == "=":
        return [_DEFINITION]
    if token in (",", ";") and "JOIN" in expected:
        return ["white space alone separates words"]
    if token == "|":
        joins = "add( ... | ... ) and concat( ... | ... )"
        return [f"only {joins} have branches; the bracket touches the word"]
    if token in ("-", "/") and before[-1:].isspace():
        return [f"{token!r} belongs to a word only where it touches it, as in conv3-64/2"]
    if token.lower() == "head":
        return ["heads follow the words of the network, as in: head aux from @x: fc-10"]
    if re.match(r"\d+[a-z_]", token, re.IGNORECASE):
        return ["white space alone separates words"]
    return []


_DEFINITION = "blocks are defined above the input volume: f(k, s=1) = conv3-k/s relu"
_BEGIN = ["such as: [32x32x3] conv5-16 relu maxpool2 fc-10 softmax"]


class _Reader:
    """Turns lark's tree into a Script; knows the blocks so far and the parameters in scope."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.blocks: dict[str, Block] = {}
        self.defined: frozenset[str] = frozenset()
        self.labels: set[str] = set()
        self.parameters: frozenset[str] = frozenset()

    # -- places and refusals

    def place(self, node: Node | Token) -> Place:
        if isinstance(node, Token):
            return Place(self.source, node.start_pos or 0, node.end_pos or 0)
        return Place(self.source, node.meta.start_pos, node.meta.end_pos)

    def refuse(self, node: Node | Token, message: str, *hints: str, note: str = "") -> NoReturn:
        raise NotationError(message, self.place(node), note, hints)

    # -- the whole

    def script(self, tree: Node, front: tuple[tuple[str, str], ...]) -> Script:
        first = next(i for i, node in enumerate(tree.children) if _rule(node) == "volume")
        self.defined = frozenset(node.children[0].lower() for node in tree.children[:first])
        for node in tree.children[:first]:
            self.block(node)
        body = tree.children[first + 1 :]
        return Script(
            input=self.check(tree.children[first], whole=True).volume,
            body=tuple(self.item(node) for node in body if _rule(node) != "head"),
            blocks=tuple(self.blocks.values()),
            heads=tuple(self.head(node) for node in body if _rule(node) == "head"),
            front=front,
            place=self.place(tree.children[first]),
        )

    def block(self, node: Node) -> None:
        """A block may call the blocks above it, and so never itself."""
        token, *rest = node.children
        name = token.lower()
        if words.is_reserved(name):
            self.refuse(token, f"{name} cannot name a block: it reads as a layer")
        if name in self.blocks:
            self.refuse(token, f"the block {name} is defined twice")
        written = [each for each in rest if _rule(each) == "parameter"]
        if len(written) > MOST_PARAMETERS:
            self.refuse(token, f"a block has at most {MOST_PARAMETERS} parameters")
        parameters: dict[str, Parameter] = {}
        for each in written:
            parameter, default = each.children
            if parameter.lower() in parameters:
                self.refuse(parameter, f"{name} has the parameter {parameter.lower()} twice")
            value = None if default is None else self.whole(default)
            parameters[parameter.lower()] = Parameter(
                parameter.lower(), value, place=self.place(each)
            )
        self.parameters = frozenset(parameters)
        body = [each for each in rest if each is not None and _rule(each) != "parameter"]
        items = tuple(self.item(each) for each in body)
        self.blocks[name] = Block(name, tuple(parameters.values()), items, place=self.place(token))
        self.parameters = frozenset()

    def head(self, node: Node) -> Head:
        _, name, reference, *body = node.children
        items = tuple(self.item(each) for each in body)
        return Head(name.lower(), reference[1:].lower(), items, place=self.place(node))

    # -- items

    def item(self, node: Node) -> Item:
        reader: Any = getattr(self, _rule(node))
        item: Item = reader(node)
        return item

    def sequence(self, nodes: list[Any]) -> Sequence:
        return tuple(self.item(node) for node in nodes)

    def group(self, node: Node) -> Repeat:
        return Repeat(self.sequence(node.children), 1, place=self.place(node))

    def repeat(self, node: Node) -> Repeat:
        inner, _, times = node.children
        body = self.sequence(inner.children if _rule(inner) == "group" else [inner])
        count = self.number(times)
        if isinstance(count, int) and count < 1:
            self.refuse(times, "a group is repeated at least once")
        return Repeat(body, count, place=self.place(node))

    def branches(self, node: Node) -> Branches:
        kind, *branches = node.children
        read = tuple(self.sequence(branch.children) for branch in branches)
        if len(read) < 2:
            self.refuse(
                node, f"{kind.lower()} joins at least two branches", "the empty branch is `id`"
            )
        return Branches(kind.lower(), read, place=self.place(node))

    def volume(self, node: Node) -> Check:
        return self.check(node)

    def check(self, node: Node, whole: bool = False) -> Check:
        text = str(node.children[0])
        sizes = re.findall(r"\d+", text)
        shape = r"\[\s*\d+\s*(x\s*\d+\s*x\s*\d+\s*)?\]"
        if not re.fullmatch(shape, text, re.IGNORECASE) or (whole and len(sizes) == 1):
            hint = "such as [32x32x3]"
            if "×" in text:
                hint = f"with the letter x: {text.replace('×', 'x')}"
            elif whole and len(sizes) == 2:
                hint = "a grey image of {0}x{1} is [{0}x{1}x1]".format(*sizes)
            elif whole and len(sizes) == 1:
                hint = f"a vector of {sizes[0]} values is [1x1x{sizes[0]}]"
            self.refuse(node, "a volume is written [HxWxD]", hint)
        if not all(len(size) <= 10 and 1 <= int(size) <= LARGEST for size in sizes):
            self.refuse(node, f"the sides of a volume go from 1 to {LARGEST:,}")
        sides = [int(size) for size in sizes]
        return Check(Volume(*([1, 1] if len(sides) == 1 else []), *sides), place=self.place(node))

    def label(self, node: Node) -> Label:
        token, item = node.children
        read = self.item(item)
        assert not isinstance(read, Check | Reference | Label), "the grammar labels words only"
        self.labels.add(token[:-1].lower())
        return Label(token[:-1].lower(), read, place=self.place(token))

    def reference(self, node: Node) -> Reference:
        return Reference(node.children[0][1:].lower(), place=self.place(node))

    # -- words and calls

    def word(self, node: Node) -> Word | Call:
        token, amount, extent, arguments = node.children
        name = token.lower()
        if name in self.blocks:
            if amount is not None or extent is not None:
                self.refuse(node, f"{name} is a block: its arguments stand in brackets")
            return self.call(node, name, arguments)
        kind, kernel = words.split_kind(name)
        if kind not in KINDS:
            self.unknown(token, kind)
        given: dict[str, Any] = {}
        if kernel is not None:
            self.part(given, kind, "kernel", self.pair_or_whole(token, kernel), token)
        if amount is not None:
            self.part(given, kind, "units", self.number(amount), amount)
        if extent is not None:
            self.part(given, kind, "stride", self.value(extent), extent)
        for position, argument in enumerate(self.arguments(arguments)):
            self.option(given, kind, position, argument)
        if lacking := words.missing(kind, given):
            self.refuse(node, f"{name} lacks its {' and its '.join(lacking)}", _example(kind))
        return Word(kind, words.canonical(kind, given), place=self.place(node))

    def arguments(self, node: Node | None) -> list[Any]:
        found = [] if node is None else [each for each in node.children if each is not None]
        if node is not None and len(found) > MOST_ARGUMENTS:
            self.refuse(node, f"a word has at most {MOST_ARGUMENTS:,} settings")
        return found

    def unknown(self, token: Token, kind: str) -> NoReturn:
        name = token.lower()
        message = f"there is no layer or block {name!r} here"
        hint = nearest(kind, [*KINDS, *JOINS, *self.blocks])
        if kind in JOINS:
            hint = f"its branches touch the word: {kind}( ... | ... )"
        elif name in ("head", "from"):
            hint = "a head is written: head NAME from @LABEL: ..."
        elif name in self.labels:
            hint = f"the volume labelled {name} is written @{name}"
        elif name in self.defined:
            message = f"the block {name} cannot be called here"
            hint = "a block may call only the blocks above it, and so never itself"
        raise UnknownWord(message, self.place(token), hints=[hint])

    def part(
        self, given: dict[str, Any], kind: str, role: str, value: Any, node: Node | Token
    ) -> None:
        name = words.setting_for(kind, role)
        if name is None:
            what = {
                "kernel": "kernel size",
                "units": "number of filters or units",
                "stride": "stride",
            }
            self.refuse(node, f"{kind} has no {what[role]}", _example(kind))
        self.set(given, kind, name, value, node)

    def option(self, given: dict[str, Any], kind: str, position: int, node: Node) -> None:
        key, written = node.children
        value = self.value(written)
        if key is None:
            name = words.flag(kind, str(value))
            if name is None and not isinstance(value, str):
                name = words.positional(kind, position)
        else:
            name = key.lower() if key.lower() in settings_of(KINDS[kind]) else None
        if name is None:
            text = str(key or value).lower()
            options = words.option_names(kind)
            hint = nearest(text, options) if options else f"{kind} takes no options"
            if text in options:
                hint = f"say which: {text}=..."
            raise UnknownWord(f"{kind} has no option {text!r}", self.place(node), hints=[hint])
        self.set(given, kind, name, value, node)

    def set(
        self, given: dict[str, Any], kind: str, name: str, value: Any, node: Node | Token
    ) -> None:
        if isinstance(value, str) and not words.is_choice(kind, name):
            self.no_parameter(node, value, f"the {name} of {kind} is a number")
        several = words.is_list(kind, name)
        if name in given and not several:
            self.refuse(node, f"{kind} is given its {name} twice")
        try:
            checked = words.checked(kind, name, (value,) if several else value)
        except BadSetting as error:
            shown = "x".join(map(str, value)) if isinstance(value, Pair) else value
            self.refuse(node, f"{kind} cannot have {shown} as its {name}", note=str(error))
        given[name] = (*given.get(name, ()), *checked) if several else checked

    def call(self, node: Node, name: str, arguments: Node | None) -> Call:
        parameters = self.blocks[name].parameters
        given: dict[str, Number] = {}
        written_out = self.arguments(arguments)
        for position, argument in enumerate(written_out):
            key, written = argument.children
            if key is None and position >= len(parameters):
                takes = _count(len(parameters), "argument")
                self.refuse(argument, f"{name} takes {takes}, not {len(written_out)}")
            parameter = parameters[position].name if key is None else key.lower()
            if parameter not in {each.name for each in parameters}:
                known = [each.name for each in parameters]
                message = f"{name} has no parameter {parameter!r}"
                raise UnknownWord(message, self.place(argument), hints=[nearest(parameter, known)])
            if parameter in given:
                self.refuse(argument, f"{name} is given {parameter} twice")
            value = self.value(written)
            if isinstance(value, str):
                self.no_parameter(written, value)
            if not isinstance(value, int | Name | Operation):
                self.refuse(argument, f"{name} takes whole numbers")
            given[parameter] = value
        lacking = [
            each.name for each in parameters if each.default is None and each.name not in given
        ]
        if lacking:
            self.refuse(node, f"{name} lacks its {' and its '.join(lacking)}")
        in_order = {each.name: given[each.name] for each in parameters if each.name in given}
        stated = tuple(
            (each.name, in_order[each.name])
            for each in parameters
            if each.name in in_order and in_order[each.name] != each.default
        )
        return Call(name, stated, place=self.place(node))

    # -- values

    def whole(self, token: Token) -> int:
        if len(token) > 10 or int(token) > LARGEST:
            self.refuse(token, "the number is too large", note=f"at most {LARGEST:,}")
        return int(token)

    def pair_or_whole(self, token: Token, text: str) -> Any:
        sides = text.lower().split("x")
        if any(len(side) > 10 for side in sides):
            self.refuse(token, "the number is too large", note=f"at most {LARGEST:,}")
        return Pair(*map(int, sides)) if len(sides) == 2 else int(text)

    def number(self, node: Node) -> Number:
        value = self.value(node)
        if isinstance(value, str):
            self.no_parameter(node, value)
        assert isinstance(value, int | Name | Operation), "the grammar puts numbers here"
        return value

    def no_parameter(self, node: Node | Token, name: str, note: str = "") -> NoReturn:
        hint = "only a block has parameters: f(k) = conv3-k relu"
        if self.parameters:
            hint = nearest(name, self.parameters)
        message = f"{name!r} is no parameter here"
        raise UnknownWord(message, self.place(node), note, [hint])

    def value(self, node: Node) -> Any:
        """A number, an expression, a pair, a real number, or a bare name as a string."""
        rule = _rule(node)
        if rule == "number":
            return self.whole(node.children[0])
        if rule == "name":
            name = node.children[0].lower()
            return Name(name) if name in self.parameters else name
        if rule == "pair":
            return self.pair_or_whole(node.children[0], str(node.children[0]))
        if rule == "real":
            sign, digits = node.children
            return float(digits) * (-1 if sign else 1)
        if sum(1 for _ in node.iter_subtrees()) > LONGEST_EXPRESSION:
            self.refuse(
                node, "the expression is too long", note=f"at most {LONGEST_EXPRESSION} parts"
            )
        if rule == "negative":
            operand = self.number(node.children[1])
            return self.operate(node, "-", 0, operand)
        result = self.number(node.children[0])
        for sign, operand in zip(node.children[1::2], node.children[2::2], strict=True):
            result = self.operate(node, str(sign), result, self.number(operand))
        return result

    def operate(self, node: Node, sign: str, left: Number, right: Number) -> Number:
        operation = Operation(sign, left, right)
        if number_names(left) or number_names(right):
            return operation
        try:
            return operation.value({})
        except ArithmeticError as error:
            self.refuse(node, "the expression cannot be worked out", note=str(error))


def _rule(node: Any) -> str:
    return str(node.data) if isinstance(node, Tree) else ""


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def _example(kind: str) -> str:
    lines = (KINDS[kind].__doc__ or "").splitlines()
    return f"as in {lines[0].partition(':')[0]}"
