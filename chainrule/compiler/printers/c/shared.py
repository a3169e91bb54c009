"""What the functions of a file share, and rows of the table as expressions of C."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ....engine import table as primitives
from ....engine.table import Primitive, rows
from ...plan import ONE_MINUS, ONE_MINUS_SQUARE
from ..kernels import FORMULAS, NEEDS
from .helpers import HELPERS_NEED
from .names import identifier
from .text import bare

_FEW = 4  # terms of a sum that are added in one expression


_IDENTIFIERS = {row: name for name, row in vars(rows).items() if isinstance(row, Primitive)}
_OPERATORS = {
    primitives.add: "+",
    primitives.subtract: "-",
    primitives.multiply: "*",
    primitives.divide: "/",
}
_VARIADIC = {
    "sum_of": "k_sum",
    "mean_of": "k_mean",
    "maximum": "k_maximum",
    "minimum": "k_minimum",
    "logsumexp_of": "k_logsumexp",
    "softmax_entry": "k_softmax",
    "softmax_rest": "k_softmax_rest",
    "cross_entropy": "k_cross_entropy",
    "soft_cross_entropy": "k_soft_cross_entropy",
    "take_entry": "take",
}
"""Kernels of rows of any number of arguments, by the rows' identifiers."""


@dataclass(frozen=True)
class Signature:
    """What a printed file says of its functions, and the order of their arguments."""

    name: str
    arguments: Sequence[tuple[str, str, tuple[int, ...]]]
    """For each argument its name, that of a batch of it, and the shape of one example."""
    result: tuple[int, ...]
    """The shape of the result of one example."""
    parameters: Sequence[str]
    """A label, or "", for each of the numbers that ``parameters`` points to."""
    order: Sequence[int]
    """For each parameter of the plans, which of those it is."""
    blocks: Sequence[tuple[str, int, int, tuple[int, ...]]] = ()
    """Names for parts of the parameters: the first, the number behind the last, and the shape."""


class Shared:
    """What the functions of a file in the making share: arrays, tables, kernels, names."""

    def __init__(self, signature: Signature, precision: str):
        self.signature, self.precision = signature, precision
        self.name = identifier(signature.name, default="function")
        self.sizes = {"work": 0, "fixed": 0, "sums": 0, "line": 0}
        self.functions: dict[str, None] = {}  # called, those that others call first
        self.tables: dict[tuple[int, ...], str] = {}
        self.flat: list[str] = []
        self.cases: dict[int | Primitive, int] = {}
        taken: list[str] = []
        self.single: list[str] = []
        self.batch: list[str] = []
        for one, many, _ in signature.arguments:
            self.single.append(identifier(one, taken))
            taken.append(self.single[-1])
            # Of its own name in the loop over the examples.
            self.batch.append(identifier(many, taken))
            taken.append(self.batch[-1])

    def needs(self, function: str) -> str:
        """Note that *function* is called, and return its name."""
        if function not in self.functions:
            for other in (NEEDS.get(function) or HELPERS_NEED.get(function, "")).split():
                self.needs(other)
            self.functions[function] = None
        return function

    def room(self, array: str, size: int) -> None:
        """See to it that *array* has so many numbers at least."""
        self.sizes[array] = max(self.sizes[array], size)

    def table(self, numbers: Sequence[int]) -> str:
        """Return the name of an array of whole numbers."""
        return self.tables.setdefault(tuple(numbers), f"table{len(self.tables) + 1}")

    def literal(self, x: float) -> str:
        """Return a number as a constant, in parentheses if it is negative."""
        with np.errstate(over="ignore"):
            number = x if self.precision == "double" else np.float32(x)
        if math.isnan(x):
            return "NAN"
        if math.isinf(number):
            return "INFINITY" if x > 0 else "(-INFINITY)"
        text = repr(float(x)) if self.precision == "double" else str(number)
        return f"({text}@)" if text.startswith("-") else f"{text}@"

    def flat_expression(self, what: int | Primitive, args: Sequence[str]) -> tuple[list[str], str]:
        """Return statements, and then the value, of a flat step."""
        if what == ONE_MINUS:
            return [], f"{self.needs('k_sigmoid')}(-{args[1]})"
        if what == ONE_MINUS_SQUARE:
            return [], f"{self.needs('k_tanh_0')}({args[1]}, {args[0]})"
        assert isinstance(what, Primitive)
        return self.expression(what, args[: 2 if what.arity is None else what.arity])

    def expression(self, row: Primitive, args: Sequence[str]) -> tuple[list[str], str]:
        """Return statements, and then the value, of *row*."""
        known = _IDENTIFIERS.get(row)
        if row in _OPERATORS and len(args) == 2:
            return [], f"{args[0]} {_OPERATORS[row]} {args[1]}"
        if row is primitives.negative:
            return [], f"-{args[0]}"
        if row is primitives.identity:
            return [], args[0]
        if row is primitives.where and len(args) == 3:
            return [], f"{args[0]} != 0.0@ ? {args[1]} : {args[2]}"
        if row is primitives.dot_product:
            n = len(args) // 2
            pairs = zip(args[:n], args[n:-1], strict=True)
            return [], " + ".join([*(f"{w} * {x}" for w, x in pairs), args[-1]])
        if known in _VARIADIC:
            if known == "sum_of" and len(args) <= _FEW:
                return [], " + ".join(args)
            return self._of_many(_VARIADIC[known], args)
        kernel = f"k_{known}"
        if kernel not in FORMULAS or row.arity not in (1, 2):
            raise LookupError(
                f"C source: the operation {row.name!r} has no formula in C; write the function "
                "with operations that chainrule has (docs/primitives.md lists them), or run it "
                "as NumPy: f.source"
            )
        return [], f"{self.needs(kernel)}({', '.join(map(bare, args))})"

    def _of_many(self, kernel: str, args: Sequence[str]) -> tuple[list[str], str]:
        self.room("line", 2 * len(args))
        count = len(args)
        lines = [f"line[{i}] = {bare(x)};" for i, x in enumerate(args)]
        return lines, f"{self.needs(kernel)}(line, {count}, line + {count})"
