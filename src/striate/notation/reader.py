"""Lark's tree to a Script: names, options and blocks are resolved here, every refusal placed."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from lark import Token

from striate.errors import Place, Source, UnknownWord, nearest
from striate.layers import JOINS, KINDS
from striate.layers.settings import LARGEST, BadSetting, settings_of
from striate.layers.volume import Pair, Volume
from striate.notation import words
from striate.notation.values import Node, Values, rule
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
)

# What other notations and PyTorch call our words.
SYNONYMS = {
    **dict.fromkeys(("batchnorm", "batchnorm2d", "norm"), "bn"),
    **dict.fromkeys(("linear", "dense", "full"), "fc"),
    **dict.fromkeys(("conv2d", "convolution"), "conv"),
    **dict.fromkeys(("convtranspose", "convtranspose2d", "upconv"), "deconv"),
    **dict.fromkeys(("gap", "globalpool", "avg", "averagepool", "avgpool2d"), "avgpool"),
    **dict.fromkeys(("pool", "maxpool2d", "max"), "maxpool"),
    **dict.fromkeys(("localresponsenorm", "norm1", "norm2"), "lrn"),
    **dict.fromkeys(("cat", "concatenate"), "concat( ... | ... )"),
    **dict.fromkeys(("sum", "plus", "residual"), "add( ... | ... )"),
    **dict.fromkeys(("times", "multiply", "product", "gate"), "mul( ... | ... )"),
    **dict.fromkeys(("identity", "skip"), "id"),
    **dict.fromkeys(("swish",), "silu"),
    **dict.fromkeys(("hswish",), "hardswish"),
    **dict.fromkeys(("hsigmoid",), "hardsigmoid"),
    **dict.fromkeys(("layernorm2d", "ln"), "layernorm"),
    **dict.fromkeys(("gn",), "groupnorm"),
    **dict.fromkeys(("gamma",), "layerscale"),
    **dict.fromkeys(("chunk", "narrow"), "slice"),
    **dict.fromkeys(("channelshuffle",), "shuffle"),
    **dict.fromkeys(("zeropad", "zeropad2d"), "pad"),
    **dict.fromkeys(("interpolate", "resize"), "upsample"),
}
MOST_ARGUMENTS = 500
MOST_PARAMETERS = 100


class Reader(Values):
    """Turns lark's tree into a Script; knows the blocks so far and the parameters in scope."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.blocks: dict[str, Block] = {}
        self.defined: frozenset[str] = frozenset()
        self.labels: set[str] = set()

    # -- the whole

    def script(self, tree: Node, front: tuple[tuple[str, str], ...]) -> Script:
        first = next(i for i, node in enumerate(tree.children) if rule(node) == "volume")
        self.defined = frozenset(node.children[0].lower() for node in tree.children[:first])
        for node in tree.children[:first]:
            self.block(node)
        body = tree.children[first + 1 :]
        return Script(
            input=self.check(tree.children[first], whole=True).volume,
            body=tuple(self.item(node) for node in body if rule(node) != "head"),
            blocks=tuple(self.blocks.values()),
            heads=tuple(self.head(node) for node in body if rule(node) == "head"),
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
        written = [each for each in rest if rule(each) == "parameter"]
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
        body = [each for each in rest if each is not None and rule(each) != "parameter"]
        items = tuple(self.item(each) for each in body)
        self.blocks[name] = Block(name, tuple(parameters.values()), items, place=self.place(token))
        self.parameters = frozenset()

    def head(self, node: Node) -> Head:
        word, name, reference, *body = node.children
        items = tuple(self.item(each) for each in body)
        place = Place(self.source, word.start_pos, reference.end_pos)
        return Head(name.lower(), reference[1:].lower(), items, place=place)

    # -- items

    def item(self, node: Node) -> Item:
        reader: Any = getattr(self, rule(node))
        item: Item = reader(node)
        return item

    def sequence(self, nodes: list[Any]) -> Sequence:
        return tuple(self.item(node) for node in nodes)

    def group(self, node: Node) -> Repeat:
        return Repeat(self.sequence(node.children), 1, place=self.place(node))

    def repeat(self, node: Node) -> Repeat:
        inner, _, times = node.children
        body = self.sequence(inner.children if rule(inner) == "group" else [inner])
        count = self.number(times)
        if rule(inner) == "word" and not isinstance(count, int) and inner.children[1] is not None:
            repeated = f"({self.place(inner).text})*{count}"
            message = "the `*` could repeat the word or belong to its width"
            self.refuse(
                node, message, f"say {repeated}, or bracket the width as in conv1-(4*{count})"
            )
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
        if (
            kernel
            and amount is None
            and words.setting_for(kind, "units")
            and not words.setting_for(kind, "kernel")
        ):
            self.refuse(token, f"{kind} has no kernel size", f"did you mean {kind}-{kernel}?")
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
        elsewhere = SYNONYMS.get(name) or SYNONYMS.get(kind)
        if kind in JOINS:
            hint = f"its branches touch the word: {kind}( ... | ... )"
        elif elsewhere:
            hint = f"here it is called {elsewhere}"
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
            elif text in KINDS:
                hint = f"{text} is a word of its own"
            raise UnknownWord(f"{kind} has no option {text!r}", self.place(node), hints=[hint])
        self.set(given, kind, name, value, node)

    def set(
        self, given: dict[str, Any], kind: str, name: str, value: Any, node: Node | Token
    ) -> None:
        if isinstance(value, str) and not words.is_choice(kind, name):
            if value in ("same", "valid"):
                message = f"the {name} of {kind} is a number, not {value!r}"
                self.refuse(
                    node, message, "without pad a convolution keeps the size; valid is pad=0"
                )
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


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def _example(kind: str) -> str:
    lines = (KINDS[kind].__doc__ or "").splitlines()
    return f"as in {lines[0].partition(':')[0]}"
