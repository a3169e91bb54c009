"""What one node of a tape computes, as steps of a plan: its value, and then its partials.

The steps are found by calling the row and its partials with symbols, as the array compiler does,
once for all nodes that have the row, and the same kinds of operand, in common.  Rows of any number
of arguments become chains of small steps; what cannot be is called.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..engine import table as primitives
from ..engine.table import BUILT_IN, Primitive
from .builder import Builder
from .partials import partial_values
from .plan import ONE_MINUS, ONE_MINUS_SQUARE
from .program import Operation
from .symbolic import Operand, Symbol

OPERAND, RESULT, LATER, NUMBER = range(4)
"""Where an argument of a step comes from: the operands of the node, the results of the node or of
those that follow it (the entries of a softmax), earlier steps, or it is a number."""

Reference = tuple[int, Any]

Kinds = tuple[bool | str, ...]
"""What the operands of a node are: whether each differs between the examples, or a number, whose
text tells the two zeros apart and makes a nan equal itself."""


class Line(NamedTuple):
    """One step of a formula."""

    row: Primitive | int
    """A row, or one of the complements that a plan knows."""
    result: Reference
    arguments: tuple[Reference, ...]
    varies: bool
    """Whether it differs between the examples."""


class Slope(NamedTuple):
    """The partial by one operand."""

    at: Reference
    negative: bool = False
    condition: Reference | None = None
    """What says whether the operand is chosen, for a row that copies one of its operands."""
    when: bool = True
    """Whether it is chosen where the condition holds, or where it does not."""


class Formula(NamedTuple):
    """The steps of a node: first those of its value, then those of its partials alone."""

    value: tuple[Line, ...]
    partials: tuple[Line, ...]
    slopes: tuple[Slope, ...]
    """For each of the operands that were asked for."""
    temporaries: tuple[bool, ...]
    """Whether each of the numbers that steps leave for later ones differs between examples."""


BY_VALUE = frozenset({primitives.power, primitives.take_entry, *primitives.OF_A_CLASS}).difference(
    {primitives.softmax_entry}  # whose index is not among the operands on a tape
)
"""The rows of the table whose partials ask which of their operands are plain numbers."""


_ODD = (primitives.multiply, primitives.divide)
"""The rows whose result has the sign of the first argument."""


def knows_numbers(row: Primitive) -> bool:
    """Return whether the steps of *row* depend on the constants among its operands."""
    return row in BY_VALUE or row.name not in BUILT_IN


@functools.lru_cache(maxsize=4096)
def formula(
    row: Primitive,
    operands: Kinds,
    linked: tuple[int, ...],
    wanted: tuple[int, ...],
) -> Formula:
    """Return the steps of a node.

    *linked* says which operands depend on what is differentiated, *wanted* by which the partials
    are needed.
    """
    recorder = Recorder()
    args = recorder.operands(operands)
    y = recorder.apply(row, *args)
    if not isinstance(y, Symbol) or y.operation.kind == "input":
        batched = any(x is True for x in operands)
        y = recorder.emit("apply", (y,), (1,), batched, recorder.number(primitives.identity))
    recorder.results = {y.number: 0}
    if not wanted:
        return recorder.formula([])
    if row.selects is not None:
        return recorder.formula(_choices(recorder, row, args, wanted))
    found: Sequence[Any]
    if row is primitives.tanh:
        found = [recorder.emit("one_minus_square", (y, args[0]), (1,), y.batched)]
    elif row.variadic is None:
        linked = tuple(row.linked(args, wanted))
        found = partial_values(row, args, y, linked)
    else:
        found = partial_values(row, args, y, linked)
    by = dict(zip(linked, found, strict=True))
    return recorder.formula([recorder.slope(by[i]) for i in wanted])


@functools.lru_cache(maxsize=4096)
def softmax_values(operands: Kinds) -> Formula:
    """Return the steps of all entries of a softmax."""
    recorder = Recorder()
    entries = recorder.softmax(recorder.operands(operands))
    recorder.results = {x.number: k for k, x in enumerate(entries)}
    return recorder.formula([])


@functools.lru_cache(maxsize=4096)
def softmax_slopes(
    operands: Kinds,
    entry: int,
    linked: tuple[int, ...],
    wanted: tuple[int, ...],
) -> Formula:
    """Return the steps of the partials of one *entry* of a softmax, whose entries are there."""
    recorder = Recorder()
    args = recorder.operands(operands)
    batched = any(x is True for x in operands)
    entries = [
        recorder.emit("input", (), (1,), batched, (RESULT, k - entry)) for k in range(len(args))
    ]
    recorder.shares[tuple(map(_key, args))] = entries
    shifted = [i + 1 for i in linked]
    by = dict(
        zip(
            linked,
            primitives.softmax_entry.partial_values((float(entry), *args), entries[entry], shifted),
            strict=True,
        )
    )
    return recorder.formula([recorder.slope(by[i]) for i in wanted])


def _choices(
    recorder: Recorder, row: Primitive, args: Sequence[Any], wanted: Sequence[int]
) -> list[Slope]:
    """Return the slopes of a row that copies one operand: 1, under a condition."""
    one = (NUMBER, 1.0)
    if row is primitives.where:
        condition = recorder.reference(args[0])
        return [Slope(one, condition=condition, when=i == 1) for i in wanted]
    if row is primitives.take_entry:
        position: Any = args[0]
        shift = 1.0
    else:
        position, shift = primitives.position_of(row)(*args), 0.0
    return [
        Slope(one, condition=recorder.reference(primitives.equal(position, i - shift)))
        for i in wanted
    ]


class Recorder(Builder):
    """A builder of scalar steps, in which rows of any number of arguments become small steps."""

    def __init__(self) -> None:
        super().__init__()
        self.shares: dict[Any, list[Any]] = {}
        self.results: dict[int, int] = {}
        """The operations that are results of the node, and which."""

    def operands(self, kinds: Sequence[bool | str]) -> list[Any]:
        """Return symbols for the operands of a node, and the floats among them as they are."""
        return [
            float(kind)
            if isinstance(kind, str)
            else self.emit("input", (), (1,), kind, (OPERAND, i))
            for i, kind in enumerate(kinds)
        ]

    # --- small steps -----------------------------------------------------------------------------

    def apply(self, row: Primitive, *args: Any) -> Operand:
        """Return *row* of the operands, in small steps."""
        if not any(isinstance(arg, Symbol) for arg in args):
            return float(row.scalar(*args))
        if row is primitives.dot_product:
            n = len(args) // 2
            products = map(primitives.multiply, args[:n], args[n:-1])
            found: Any = functools.reduce(primitives.add, products, args[-1])
        elif row is primitives.mean_of:
            found = primitives.divide(primitives.add_up(*args), float(len(args)))
        elif row is primitives.softmax_entry:
            found = self.softmax(args[1:])[int(args[0])]
        elif row is primitives.logsumexp_of:
            found = self._logsumexp(args)
        elif row is primitives.take_entry:
            found = self._taken(*args)
        elif row is primitives.maximum or row is primitives.minimum:
            found = functools.reduce(functools.partial(super().apply, row), args)
        else:
            found = super().apply(row, *args)
        return found  # type: ignore[no-any-return]

    def softmax(self, xs: Sequence[Any]) -> list[Any]:
        """Return the entries of a softmax."""
        key = tuple(map(_key, xs))
        if key not in self.shares:
            top = primitives.maximum(*xs)
            # An infinite logit takes all; where all are -inf, none is right.
            most = primitives.where(primitives.less(-math.inf, top), 1.0, math.nan)
            weights = [
                primitives.where(primitives.equal(x, top), most, primitives.exp(x - top))
                for x in xs
            ]
            total = primitives.add_up(*weights)
            self.shares[key] = [primitives.divide(weight, total) for weight in weights]
        return self.shares[key]

    def _logsumexp(self, xs: Sequence[Any]) -> Any:
        top = primitives.maximum(*xs)
        ties = [primitives.equal(x, top) for x in xs]
        weights = [
            primitives.where(tie, 0.0, primitives.exp(x - top))
            for x, tie in zip(xs, ties, strict=True)
        ]
        rest = primitives.add_up(*weights) + (primitives.add_up(*ties) - 1.0)
        finite = primitives.less(primitives.absolute(top), math.inf)
        return primitives.where(finite, top + primitives.log1p(rest), top)

    def _taken(self, which: Any, *xs: Any) -> Any:
        found = xs[-1]
        for i in range(len(xs) - 2, -1, -1):
            found = primitives.where(primitives.equal(which, float(i)), xs[i], found)
        return found

    # --- what came out ---------------------------------------------------------------------------

    def slope(self, partial: Any) -> Slope:
        """Return a partial, and its sign apart."""
        if isinstance(partial, Symbol) and partial.row is primitives.negative:
            return Slope(self.reference(self.symbol(int(partial.operation.args[0]))), negative=True)
        if isinstance(partial, Symbol) and partial.row in _ODD:
            first, *rest = [self.symbol(x) if type(x) is int else x for x in partial.operation.args]
            if isinstance(first, Symbol) and first.row is primitives.negative:
                first = self.symbol(int(first.operation.args[0]))
                return Slope(self.reference(self.apply(partial.row, first, *rest)), negative=True)
        if type(partial) is float and partial == -1.0:
            return Slope((NUMBER, 1.0), negative=True)
        return Slope(self.reference(partial))

    def reference(self, x: Any) -> Reference:
        """Return where *x* is; temporaries are numbered later."""
        return (LATER, x.number) if isinstance(x, Symbol) else (NUMBER, x)

    def formula(self, slopes: Sequence[Slope]) -> Formula:
        """Return the steps that lead to the results and to the *slopes*."""
        operations = self.program.operations
        needed = set(self.results)
        self._below(needed)
        of_value = frozenset(needed)
        for slope in slopes:
            needed.update(
                at[1] for at in (slope.at, slope.condition) if at is not None and at[0] == LATER
            )
        self._below(needed)
        places: dict[int, Reference] = {}
        temporaries: list[bool] = []
        value: list[Line] = []
        partials: list[Line] = []

        def place(x: int | float) -> Reference:
            return places[x] if type(x) is int else (NUMBER, float(x))

        for number in sorted(needed):
            operation = operations[number]
            if operation.kind == "input":
                places[number] = operation.detail
                continue
            if number in self.results:
                places[number] = RESULT, self.results[number]
            else:
                places[number] = LATER, len(temporaries)
                temporaries.append(operation.batched)
            line = Line(
                self._row(operation),
                places[number],
                tuple(map(place, operation.args)),
                operation.batched,
            )
            (value if number in of_value else partials).append(line)

        def placed(at: Reference) -> Reference:
            return places[at[1]] if at[0] == LATER else at

        return Formula(
            tuple(value),
            tuple(partials),
            tuple(
                x._replace(at=placed(x.at), condition=x.condition and placed(x.condition))
                for x in slopes
            ),
            tuple(temporaries),
        )

    def _below(self, needed: set[int]) -> None:
        """Add to *needed* what its members are computed from."""
        for number in range(len(self.program.operations) - 1, -1, -1):
            if number in needed:
                args = self.program.operations[number].args
                needed.update(x for x in args if type(x) is int)

    def _row(self, operation: Operation) -> Primitive | int:
        if operation.kind == "apply":
            row: Primitive = self.program.rows[operation.detail]
            return row
        return {"one_minus": ONE_MINUS, "one_minus_square": ONE_MINUS_SQUARE}[operation.kind]


def _key(x: Any) -> Any:
    return ("symbol", x.number) if isinstance(x, Symbol) else x
