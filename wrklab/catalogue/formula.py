"""Formulas of cards: whole numbers, names, + - * //, min, max and parentheses, read by a parser of their own.

A formula is data: it is never handed to Python. `2 * cpus + 1` and `workers * min(threads, 64)` are formulas.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator

#: The one name that every formula may use: how many CPUs the host gives to the server.
CPUS = "cpus"

_LENGTH_MAX = 200
_DEPTH_MAX = 30
_TOKEN = re.compile(r"\s*(?:(?P<number>[0-9]+)|(?P<name>[a-z][a-z0-9_]*)|(?P<sign>//|[-+*(),]))")
_NUMBER_DIGITS_MAX = 9
_NUMBER_END = 10**_NUMBER_DIGITS_MAX
_SUMS = frozenset({"+", "-"})
_PRODUCTS = frozenset({"*", "//"})
_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "min": min,
    "max": max,
}
_FUNCTIONS = ("max", "min")


@dataclass(frozen=True)
class _Operation:
    """An operator or a function, and what it is applied to from left to right."""

    operator: str
    operands: tuple[_Node, ...]


#: A number, a name, or an operation on such.
_Node = int | str | _Operation


@dataclass(frozen=True)
class Formula:
    """A formula that was parsed; two that say the same in other spacing are equal."""

    tree: _Node

    def __str__(self) -> str:
        """As one would write it: `2 * cpus + 1`."""
        return _written(self.tree)

    @property
    def names(self) -> frozenset[str]:
        """The names that it needs values for."""
        return frozenset(node for node in _nodes(self.tree) if isinstance(node, str))

    @property
    def constant(self) -> int | None:
        """Its value where it needs no name; None where it needs one."""
        return self.tree if isinstance(self.tree, int) else None

    def at(self, values: Mapping[str, int]) -> int:
        """Its value. Raises ValueError for a name without a value and for a division by zero."""
        found = self.filled({name: Formula(value) for name, value in values.items()})
        if found.constant is None:
            raise ValueError(f"{self}: {', '.join(sorted(found.names))} has no value here")
        return found.constant

    def filled(self, values: Mapping[str, Formula]) -> Formula:
        """The formula with names replaced by formulas, calculated as far as it can be. Raises ValueError as `at`."""
        return Formula(_filled(self.tree, values))


def parse_formula(given: object) -> Formula:
    """The formula in a text, or a whole number as one. Raises ValueError saying what stands where."""
    if isinstance(given, Formula):
        return given
    if isinstance(given, str):
        return _Parser(given).formula()
    if isinstance(given, int) and not isinstance(given, bool) and abs(given) < _NUMBER_END:
        return Formula(given)
    raise ValueError(f"a whole number or a formula was expected, for instance 2 * cpus + 1; found {given!r}")


#: A formula as a key of a card; written to JSON as a number where it is one, else as text.
CardFormula = Annotated[
    Formula,
    PlainValidator(parse_formula),
    PlainSerializer(lambda formula: str(formula) if formula.constant is None else formula.constant, return_type=object),
]


class _Parser:
    """Recursive descent: sum, product, factor."""

    def __init__(self, text: str) -> None:
        self._text = text
        if len(text) > _LENGTH_MAX:
            raise ValueError(f"a formula of at most {_LENGTH_MAX} characters was expected; found {len(text)}")
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0

    def formula(self) -> Formula:
        tree = self._sum()
        if self._peek():
            raise self._unexpected("an operator (+ - * //) or the end")
        return Formula(_filled(tree, {}))

    def _sum(self) -> _Node:
        return self._chain(_SUMS, lambda: self._chain(_PRODUCTS, self._factor))

    def _chain(self, signs: frozenset[str], operand: Callable[[], _Node]) -> _Node:
        left = operand()
        while self._peek() in signs:
            left = _Operation(self._next(), (left, operand()))
        return left

    def _factor(self) -> _Node:
        begin = self._peek()
        if begin.isdigit():
            return _number(self._next(), self._text)
        if begin == "(":
            return self._in_parentheses()[0]
        if begin in _FUNCTIONS:
            return _Operation(self._next(), self._in_parentheses(2))
        if begin[:1].isalpha():
            return self._next()
        raise self._unexpected("a whole number, a name, min(...), max(...) or (")

    def _in_parentheses(self, least: int = 1) -> tuple[_Node, ...]:
        """What stands between parentheses: one formula, or `least` and more with commas between."""
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise ValueError(f"a formula with parentheses at most {_DEPTH_MAX} deep was expected; found {self._text!r}")
        self._take("(")
        found = [self._sum()]
        while least > 1 and self._peek() == ",":
            self._next()
            found.append(self._sum())
        if len(found) < least:
            raise self._unexpected("a comma and another value: min and max compare several")
        self._take(")")
        self._depth -= 1
        return tuple(found)

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, sign: str) -> None:
        if self._peek() != sign:
            raise self._unexpected(sign)
        self._at += 1

    def _unexpected(self, expected: str) -> ValueError:
        found = repr(self._peek()) if self._peek() else "its end"
        return ValueError(f"formula {self._text!r}: expected {expected}; found {found}")


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None:
            strange = text[at:].strip()[0]
            raise ValueError(
                f"formula {text!r}: expected numbers, names, + - * //, min, max and parentheses; found {strange!r}"
            )
        yield found[0].strip()
        at = found.end()


def _number(digits: str, text: str) -> int:
    if len(digits) > _NUMBER_DIGITS_MAX:
        raise ValueError(f"formula {text!r}: expected numbers of at most {_NUMBER_DIGITS_MAX} digits; found {digits}")
    return int(digits)


def _filled(node: _Node, values: Mapping[str, Formula]) -> _Node:
    if isinstance(node, int):
        return node
    if isinstance(node, str):
        return values[node].tree if node in values else node
    operands = tuple(_filled(operand, values) for operand in node.operands)
    numbers = [operand for operand in operands if isinstance(operand, int)]
    if len(numbers) < len(operands):
        return _Operation(node.operator, operands)
    result = numbers[0]
    for number in numbers[1:]:
        if node.operator == "//" and number == 0:
            raise ValueError(f"{_written(node)}: a division by zero")
        result = _OPERATIONS[node.operator](result, number)
    if abs(result) >= _NUMBER_END:
        raise ValueError(f"{_written(node)}: a value of at most {_NUMBER_DIGITS_MAX} digits was expected")
    return result


def _nodes(node: _Node) -> Iterator[_Node]:
    yield node
    if isinstance(node, _Operation):
        for operand in node.operands:
            yield from _nodes(operand)


def _written(node: _Node) -> str:
    if isinstance(node, str):
        return node
    if isinstance(node, int):
        return str(node) if node >= 0 else f"0 - {-node}"
    if node.operator in _FUNCTIONS:
        return f"{node.operator}({', '.join(map(_written, node.operands))})"
    left, right = node.operands
    return f"{_within(left, node.operator)} {node.operator} {_within(right, node.operator, is_right=True)}"


def _within(node: _Node, outer: str, *, is_right: bool = False) -> str:
    """A part of an operation, in parentheses where reading it back would group it otherwise."""
    if isinstance(node, int) and node < 0:
        return f"({_written(node)})"
    is_sum = isinstance(node, _Operation) and node.operator in _SUMS
    is_product = isinstance(node, _Operation) and node.operator in _PRODUCTS
    needs = (is_sum and (is_right or outer in _PRODUCTS)) or (is_product and is_right and outer in _PRODUCTS)
    return f"({_written(node)})" if needs else _written(node)
