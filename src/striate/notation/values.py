"""Numbers, pairs, expressions and bare names, out of lark's tree."""

from __future__ import annotations

from typing import Any, NoReturn

from lark import Token, Tree

from striate.errors import NotationError, Place, Source, UnknownWord, nearest
from striate.layers.settings import LARGEST
from striate.layers.volume import Pair
from striate.tree import Name, Number, Operation, number_names

LONGEST_EXPRESSION = 100

Node = Any  # lark types a child as tree or token; the grammar says which


def rule(node: Any) -> str:
    """The grammar's rule that a node comes from; empty for a token."""
    return str(node.data) if isinstance(node, Tree) else ""


class Values:
    """Reads what stands in words and brackets; knows the parameters of the block it is in."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.parameters: frozenset[str] = frozenset()

    def place(self, node: Node | Token) -> Place:
        if isinstance(node, Token):
            return Place(self.source, node.start_pos or 0, node.end_pos or 0)
        return Place(self.source, node.meta.start_pos, node.meta.end_pos)

    def refuse(self, node: Node | Token, message: str, *hints: str, note: str = "") -> NoReturn:
        raise NotationError(message, self.place(node), note, hints)

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
        kind = rule(node)
        if kind == "number":
            return self.whole(node.children[0])
        if kind == "name":
            name = node.children[0].lower()
            return Name(name) if name in self.parameters else name
        if kind == "pair":
            return self.pair_or_whole(node.children[0], str(node.children[0]))
        if kind == "real":
            sign, digits = node.children
            return float(digits) * (-1 if sign else 1)
        if sum(1 for _ in node.iter_subtrees()) > LONGEST_EXPRESSION:
            self.refuse(
                node, "the expression is too long", note=f"at most {LONGEST_EXPRESSION} parts"
            )
        if kind == "negative":
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
