"""The machine in NumPy: it runs a plan where there is no C core, and rows that C does not know.

Before the first run every step is *bound*: it becomes a call without arguments, whose arrays are
views of the three spaces.  A run with as many examples calls them again, one after another, and
makes no array but what a function makes for itself.  In BLOCK the lanes are the last axis.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..engine import table as primitives
from ..engine.backend import Value
from ..engine.native import core as native
from ..engine.table import Primitive, arrays
from ..engine.vectors import read_data
from . import forms, shards
from .accesses import written
from .addresses import AnyArray
from .plan import BLOCK, ONE_MINUS, ONE_MINUS_SQUARE, STILL, SUMS, Operand, Plan, Step

_ROOM = 500_000  # numbers that lie in BLOCK at a time: 4 MB
_FEWEST = 64  # lanes, however many rows
_SIZES = 4  # numbers of lanes for which bound steps are kept

Call = Callable[[], Any]

FORMS: dict[Primitive, Callable[..., Any]] = {primitives.power: forms.power}
"""Rows whose own array form does not have the engine's answer everywhere."""


def machine_for(plan: Plan) -> Any:
    """Return a machine for *plan*: in C if there is a core that has all its rows, else in NumPy."""
    if native is not None:
        try:
            return native.Machine(plan)
        except LookupError:  # a user's own operation
            pass
    return Machine(plan)


class Machine:
    """A plan with the memory that its runs need; simultaneous runs have memory of their own."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.lanes = max(_FEWEST, _ROOM // max(1, plan.block))
        self._free: list[Memory] = []

    def run(
        self, parameters: Sequence[Value], arguments: Sequence[AnyArray], threads: int = 1
    ) -> Any:
        """Return the outputs, a row each, or the mean and its gradient: see :mod:`.plan`."""
        count = len(arguments[0]) if arguments else 1
        lanes, starts = self.division(count)
        with self._memory(parameters, count) as memory:
            if self.plan.cost is None:
                return memory.outputs(arguments, count, lanes)
            total = np.zeros(self.plan.sums)
            for start, stop in itertools.pairwise(starts):
                total += memory.added_up([x[start:stop] for x in arguments], stop - start, lanes)
            return memory.finished(total)

    def division(self, count: int) -> tuple[int, tuple[int, ...]]:
        """Return how a batch is divided: the lanes of a block, and where its shards start.

        The number of examples is the last of these.
        """
        blocks = -(-count // self.lanes)
        found = [min(block * self.lanes, count) for block in shards.starts(blocks)]
        return self.lanes, tuple(found)

    def part(self, parameters: Any, rows: Sequence[AnyArray], count: int, lanes: int) -> Any:
        """Return the outputs, or the sums, of one shard of a batch of *count* examples."""
        size = len(rows[0])
        with self._memory(parameters, count) as memory:
            if self.plan.cost is None:
                return memory.outputs(rows, size, lanes)
            return memory.added_up(rows, size, lanes).copy()

    def finish(self, parameters: Any, count: int, total: AnyArray) -> tuple[float, AnyArray]:
        """Return the mean and the gradient, when the sums of all shards are added up."""
        with self._memory(parameters, count) as memory:
            return memory.finished(total)

    @contextlib.contextmanager
    def _memory(self, parameters: Any, count: int) -> Iterator[Memory]:
        """Lend memory in which the steps before the examples are done."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = Memory(self.plan)
        try:
            with np.errstate(all="ignore"):
                memory.begin(parameters, count)
                yield memory
        finally:
            self._free.append(memory)


class Memory:
    """The three spaces of a run, and the steps bound to them."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.still = plan.still.copy()
        self.sums = np.zeros(plan.sums)
        self.constant = _constants(plan)
        bind = Binder(self, np.empty((0, 1)))
        self.before = [bind(step) for step in plan.before]
        self.after = [bind(step) for step in plan.after]
        self._blocks: dict[int, tuple[AnyArray, list[Call], list[Any]]] = {}

    def begin(self, parameters: Any, count: int) -> None:
        """Put the number of examples and the parameters in place: Values, or a vector."""
        self.still[0] = count
        into = self.still[slice(*self.plan.parameters)]
        if isinstance(parameters, np.ndarray):
            into[:] = parameters
        else:
            read_data(parameters, into)
        for call in self.before:
            call()

    def outputs(self, arguments: Sequence[AnyArray], count: int, lanes: int) -> AnyArray:
        """Return the outputs of so many examples."""
        found = np.empty((len(self.plan.outputs), count))
        for at, rows in self._blocks_of(arguments, count, lanes):
            for i, row in enumerate(rows):
                found[i, at : at + lanes] = row
        return np.ascontiguousarray(found.T) if self.plan.turned else found

    def added_up(self, arguments: Sequence[AnyArray], count: int, lanes: int) -> AnyArray:
        """Return the sums over so many examples; they are valid until the next call."""
        self.sums[:] = 0.0
        for _ in self._blocks_of(arguments, count, lanes):
            pass
        return self.sums

    def finished(self, total: AnyArray) -> tuple[float, AnyArray]:
        """Return the mean and the gradient that the sums *total* give."""
        self.sums[:] = total
        for call in self.after:
            call()
        assert self.plan.cost is not None
        assert self.plan.gradient is not None
        return float(self.still[self.plan.cost]), self.still[slice(*self.plan.gradient)].copy()

    def _blocks_of(
        self, arguments: Sequence[AnyArray], count: int, lanes: int
    ) -> Iterator[tuple[int, list[Any]]]:
        """Do one block after another; yield where each starts, and its outputs."""
        given = [x.reshape(count, -1) if count else x for x in arguments]
        for at in range(0, count, lanes):
            size = min(lanes, count - at)
            block, calls, found = self.block(size)
            for (first, rows), x in zip(self.plan.inputs, given, strict=True):
                if rows:
                    block[first : first + rows] = x[at : at + size].T
            for call in calls:
                call()
            yield at, found

    def block(self, lanes: int) -> tuple[AnyArray, list[Call], list[Any]]:
        """Return the rows for so many *lanes*, the steps for each block, and the outputs."""
        found = self._blocks.get(lanes)
        if found is None:
            while len(self._blocks) >= _SIZES:
                del self._blocks[next(iter(self._blocks))]
            block = np.zeros((self.plan.block, lanes))
            calls = Binder(self, block).all(self.plan.each)
            outputs = [
                block[x.offset] if x.space == BLOCK else self.still[x.offset : x.offset + 1]
                for x in self.plan.outputs
            ]
            found = self._blocks[lanes] = block, calls, outputs
        return found


def _constants(plan: Plan) -> AnyArray:
    """Return which places of STILL hold the same number in every run."""
    constant = np.ones(len(plan.still), dtype=bool)
    constant[0] = False
    constant[slice(*plan.parameters)] = False
    for step in (*plan.before, *plan.after):
        for space, addresses in written(plan, step):
            if space == STILL:
                constant[addresses] = False
    return constant


class Binder:
    """Makes calls of steps: their arrays are views of one memory with so many lanes."""

    def __init__(self, memory: Memory, block: AnyArray):
        self.plan = memory.plan
        self.constant = memory.constant
        self.block = block
        self.lanes = block.shape[1]
        self.bases = (memory.still, block.reshape(-1), memory.sums)
        self.round = [0]  # of the loop whose steps are bound, as it is when they run

    def all(self, steps: Sequence[Step]) -> list[Call]:
        """Return calls of *steps*, one for each loop."""
        calls: list[Call] = []
        at = 0
        while at < len(steps):
            step, at = steps[at], at + 1
            if step.code != "loop":
                calls.append(self(step))
                continue
            count, n = step.detail
            around, self.round = self.round, [0]
            inner = self.all(steps[at : at + n])
            calls.append(functools.partial(_repeated, inner, count, self.round))
            self.round, at = around, at + n
        return calls

    def __call__(self, step: Step) -> Call:
        self.with_lanes = any(x.space == BLOCK for x in step.operands)
        return getattr(self, "_" + step.code)(step)  # type: ignore[no-any-return]

    # --- arrays ----------------------------------------------------------------------------------

    def view(
        self,
        x: Operand,
        extents: Sequence[int],
        strides: Sequence[int] | None = None,
        full: bool = True,
    ) -> AnyArray:
        """Return operand *x* as an array; it has extent 1 along strides 0 if it is not *full*."""
        strides = x.strides if strides is None else strides
        if not full:
            extents = [n if s else 1 for n, s in zip(extents, strides, strict=True)]
        unit, base = 8, self.bases[x.space]
        shape, steps = [*extents], [8 * s for s in strides]
        if x.space == BLOCK:
            unit *= self.lanes
            shape, steps = [*extents, self.lanes], [*(self.lanes * s for s in steps), 8]
        elif self.with_lanes:
            shape.append(1)
            steps.append(0)
        return _array(shape, base, unit * x.offset, steps)

    def args(self, step: Step) -> list[Any]:
        """Return the operands but the first, as arrays or, where they are constants, numbers."""
        found: list[Any] = []
        for x in step.operands[1:]:
            if x.space == STILL and not any(x.strides) and self.constant[x.offset]:
                found.append(float(self.bases[STILL][x.offset]))
            else:
                found.append(self.view(x, step.extents, full=False))
        return found

    def on_last(self, x: Operand, step: Step) -> AnyArray:
        """Return operand *x* with the last index of the step as the last axis."""
        found = self.view(x, step.extents)
        return found.swapaxes(-1, -2) if self.with_lanes else found

    # --- element by element ----------------------------------------------------------------------

    def _apply(self, step: Step) -> Call:
        result = self.view(step.operands[0], step.extents)
        return _applied(self.plan.rows[step.detail[0]], result, self.args(step))

    def _one_minus(self, step: Step) -> Call:
        result, a, z = (self.view(x, step.extents) for x in step.operands)
        return _into(forms.one_minus, result, [a, z])

    def _one_minus_square(self, step: Step) -> Call:
        result, a, z = (self.view(x, step.extents) for x in step.operands)
        return _into(forms.one_minus_square, result, [a, z])

    def _copy(self, step: Step) -> Call:
        result, x = (self.view(x, step.extents) for x in step.operands)
        return functools.partial(np.copyto, result, x)

    def _move(self, step: Step) -> Call:
        now, (by_result, by_x), (result, x) = self.round, step.detail, step.operands

        def run() -> None:
            into = result._replace(offset=result.offset + now[0] * by_result)
            of = x._replace(offset=x.offset + now[0] * by_x)
            self.with_lanes = True
            np.copyto(self.view(into, step.extents), self.view(of, step.extents))

        return run

    def _add(self, step: Step) -> Call:
        result, x = (self.view(x, step.extents) for x in step.operands)
        return functools.partial(np.add, result, x, result)

    # --- by tables -------------------------------------------------------------------------------

    def _gather(self, step: Step) -> Call:
        table = self.plan.tables[step.detail[0]]
        result, x = step.operands
        source = self.view(x, (int(table.max()) + 1,))
        return functools.partial(source.take, table, 0, self.view(result, step.extents), "clip")

    def _scatter(self, step: Step) -> Call:
        table = self.plan.tables[step.detail[0]]
        result, x = step.operands
        target, values = self.view(result, (int(table.max()) + 1,)), self.view(x, step.extents)
        return functools.partial(target.__setitem__, table, values)

    def _scatter_add(self, step: Step) -> Call:
        table = self.plan.tables[step.detail[0]]
        result, x = step.operands
        target, values = self.view(result, (int(table.max()) + 1,)), self.view(x, step.extents)
        return functools.partial(np.add.at, target, table, values)

    def _one_hot(self, step: Step) -> Call:
        result, which = (self.on_last(x, step) for x in step.operands)
        places = np.arange(step.extents[-1])
        return lambda: np.copyto(result, which == places)

    def _table(self, x: Operand, step: Step) -> AnyArray:
        """Return the rows and columns of a table."""
        (count, stride), columns = step.detail, step.extents[-1]
        steps = [8 * stride, 8 * x.strides[-1]]
        return _array((count, columns), self.bases[x.space], 8 * x.offset, steps)

    def _index(self, x: Operand, step: Step) -> AnyArray:
        return self.view(x, step.extents[:-1], x.strides[:-1])

    def _pick(self, step: Step) -> Call:
        into, which, x = step.operands
        result, index = self.on_last(into, step), self._index(which, step)
        table, count = self._table(x, step), step.detail[0]
        return lambda: np.copyto(result, table[forms.rows_of(index, count)])

    def _spread(self, step: Step) -> Call:
        into, which, x = step.operands
        table, count, width = self._table(into, step), step.detail[0], step.extents[-1]
        delta, index = self.on_last(x, step), self._index(which, step)
        shape = np.broadcast_shapes(index.shape, delta.shape[:-1])

        def run() -> None:
            rows = np.broadcast_to(forms.rows_of(index, count), shape)
            np.add.at(
                table, rows.ravel(), np.broadcast_to(delta, (*shape, width)).reshape(-1, width)
            )

        return run

    # --- sums ------------------------------------------------------------------------------------

    def _sum(self, step: Step) -> Call:
        (inner,), (into, x) = step.detail, step.operands
        outer = len(step.extents) - inner
        result, source = (
            self.view(into, step.extents[:outer], into.strides[:outer]),
            self.view(x, step.extents),
        )
        axes = tuple(range(outer, outer + inner))
        if into.space != SUMS:
            if not axes:
                return functools.partial(np.copyto, result, source)
            return functools.partial(np.add.reduce, source, axes, None, result)
        result = result[..., 0]
        axes = (*axes, len(step.extents))
        room = np.empty_like(result)

        def run() -> None:
            np.add.reduce(source, axes, out=room)
            np.add(result, room, result)

        return run

    def _product(self, step: Step) -> Call:
        """Bind a product as NumPy's of stacks of matrices, or as a sum along the lanes."""
        into = step.operands[0]
        loops = _Loops(self, step)
        kept, stack, summed = loops.kept, loops.shared, loops.summed
        if self.with_lanes and loops.lane in stack:
            text = f"{_letters(loops.of(1))},{_letters(loops.of(2))}->{_letters(kept)}"
            arrays_ = [loops.array(i, loops.of(i)) for i in (1, 2)]
            result = loops.array(0, kept)
            return lambda: np.einsum(text, *arrays_, out=result)
        # One row and one column index and the longest sum are NumPy's; all others are the stack.
        m, n, k = (loops.longest(part) for part in (loops.rows, loops.columns, summed))
        stack = [a for a in kept if a not in (m, n)]
        more = [a for a in summed if a != k]
        a = loops.array(1, [*more, *stack, m, k])
        b = loops.array(2, [*more, *stack, k, n])
        result = loops.array(0, [*stack, m, n])
        if into.space != SUMS and not more:
            return functools.partial(np.matmul, a, b, result)
        room = np.empty([*(loops.extents[x] for x in more), *result.shape])
        axes = tuple(range(len(more)))

        def run() -> None:
            np.matmul(a, b, room)
            found = np.add.reduce(room, axes) if axes else room
            if into.space == SUMS:
                np.add(result, found, result)
            else:
                np.copyto(result, found)

        return run

    def _linked_product(self, step: Step) -> Call:
        """Bind a product that has no terms where a mask is 0, whatever the factors are there."""
        into, *factors = step.operands
        plain = self._product(step._replace(operands=step.operands[:3]))
        a, b, mask = (self.view(x, step.extents, full=False) for x in factors)
        result = self.view(into, step.extents[:-1], into.strides[:-1])
        axes: tuple[int, ...] = (len(step.extents) - 1,)
        if into.space == SUMS:
            result, axes = result[..., 0], (*axes, len(step.extents))
        whole = [*step.extents, *([self.lanes] if self.with_lanes else [])]

        def run() -> None:
            if np.isfinite(a).all() and np.isfinite(b).all():
                plain()
                return
            terms = np.where(np.broadcast_to(mask, whole) == 0.0, 0.0, a * b)
            found = np.add.reduce(terms, axes)
            if into.space == SUMS:
                np.add(result, found, result)
            else:
                np.copyto(result, found)

        return run

    def _squared_distance(self, step: Step) -> Call:
        return self._summed_terms(step, lambda a, b: np.square(a - b))

    def _weighted_difference(self, step: Step) -> Call:
        return self._summed_terms(step, lambda w, a, b: w * (a - b))

    def _summed_terms(self, step: Step, terms: Callable[..., Any]) -> Call:
        """Bind a sum of *terms*, one index of the first axis at a time: they take little room."""
        into, *factors = step.operands
        outer, (inner,) = len(step.extents) - step.detail[0], step.detail
        into_sums = into.space == SUMS
        axes = tuple(range(outer, outer + inner + into_sums))
        if outer > 1:
            calls = []
            for i in range(step.extents[0]):
                parts = [
                    x._replace(offset=x.offset + i * x.strides[0], strides=x.strides[1:])
                    for x in step.operands
                ]
                part = step._replace(extents=step.extents[1:], operands=tuple(parts))
                calls.append(self._summed_terms(part, terms))
            return functools.partial(_repeated, calls, 1, [0])
        args = [self.view(x, step.extents, full=False) for x in factors]
        result = self.view(into, step.extents[:outer], into.strides[:outer])
        whole = (*step.extents, *([self.lanes] if self.with_lanes else []))
        result = result[..., 0] if into_sums else result

        def run() -> None:
            found = np.add.reduce(np.broadcast_to(terms(*args), whole), axes)
            if into_sums:
                np.add(result, found, result)
            else:
                np.copyto(result, found)

        return run

    # --- along the last index --------------------------------------------------------------------

    def _starts(self, step: Step) -> tuple[Any, Any]:
        if not step.detail:
            return None, None
        starts = self.plan.tables[step.detail[0]]
        counts = np.diff([*starts.tolist(), step.extents[-1]])
        return starts, np.repeat(np.arange(len(starts)), counts)

    def _narrow(self, x: Operand, step: Step) -> AnyArray:
        """Return a result with one number for the last index, or for each stretch of it."""
        count = len(self.plan.tables[step.detail[0]]) if step.detail else 1
        found = self.view(x, (*step.extents[:-1], count))
        return found.swapaxes(-1, -2) if self.with_lanes else found

    def _reduced(self, ufunc: Any, step: Step) -> Call:
        into, x = step.operands
        result, source = self._narrow(into, step), self.on_last(x, step)
        starts, _ = self._starts(step)
        if starts is None:
            return functools.partial(ufunc.reduce, source, -1, None, result, True)
        return functools.partial(ufunc.reduceat, source, starts, -1, None, result)

    def _segment_sum(self, step: Step) -> Call:
        return self._reduced(np.add, step)

    def _maximum(self, step: Step) -> Call:
        return self._reduced(np.maximum, step)

    def _minimum(self, step: Step) -> Call:
        return self._reduced(np.minimum, step)

    def _logsumexp(self, step: Step) -> Call:
        result, z = self._narrow(step.operands[0], step), self.on_last(step.operands[1], step)
        return _into(forms.logsumexp, result, [z, *self._starts(step)])

    def _of_all(self, form: Callable[..., Any], step: Step) -> Call:
        result, *args = (self.on_last(x, step) for x in step.operands)
        return _into(form, result, [*args, *self._starts(step)])

    def _softmax(self, step: Step) -> Call:
        return self._of_all(forms.softmax, step)

    def _logsumexp_slopes(self, step: Step) -> Call:
        return self._of_all(forms.logsumexp_slopes, step)

    def _softmax_pullback(self, step: Step) -> Call:
        return self._of_all(forms.softmax_pullback, step)

    def _surprisals(self, step: Step) -> Call:
        result, z = (self.on_last(x, step) for x in step.operands)
        return _into(arrays.surprisals, result, [z])

    def _cross_entropy(self, step: Step) -> Call:
        result = self._narrow(step.operands[0], step)
        return _into(
            arrays.cross_entropy, result, [self.on_last(x, step) for x in step.operands[1:]]
        )

    def _softmax_minus(self, step: Step) -> Call:
        result, z, y = (self.on_last(x, step) for x in step.operands)
        return _into(arrays.softmax_minus, result, [z, y])

    # --- rows of a tape --------------------------------------------------------------------------

    def _at(self, address: int) -> AnyArray:
        if address >= 0:
            row: AnyArray = self.block[address]
            return row
        return self.bases[STILL][~address : ~address + 1]

    def _given(self, address: int) -> Any:
        """Return the argument at *address*, as a number if it is a constant."""
        if address < 0 and self.constant[~address]:
            return float(self.bases[STILL][~address])
        return self._at(address)

    def _call(self, step: Step) -> Call:
        row, table = self.plan.rows[step.detail[0]], self.plan.tables[step.detail[1]]
        result, *args = table.tolist()
        return _applied(row, self._at(result), [self._given(x) for x in args])

    def _flat(self, step: Step) -> Call:
        calls = [self._one(*numbers) for numbers in self.plan.tables[step.detail[0]].tolist()]

        def run() -> None:
            for call in calls:
                call()

        return run

    def _one(self, number: int, result: int, *args: int) -> Call:
        into = self._at(result)
        if number in (ONE_MINUS, ONE_MINUS_SQUARE):
            form = forms.one_minus if number == ONE_MINUS else forms.one_minus_square
            a, z = (np.broadcast_to(self._at(x), into.shape) for x in args[:2])
            return _into(form, into, [a, z])
        row = self.plan.rows[number]
        arity = 2 if row.arity is None else row.arity
        return _applied(row, into, [self._given(x) for x in args[:arity]])


class _Loops:
    """The indices of a product, the lanes as the last one, by what they are in a matrix product."""

    def __init__(self, binder: Binder, step: Step):
        self.binder, self.operands = binder, step.operands
        self.extents = [*step.extents]
        self.strides = [[8 * self._unit(x) * s for s in x.strides] for x in step.operands]
        self.lane = len(step.extents)
        if binder.with_lanes:
            self.extents.append(binder.lanes)
            for x, strides in zip(step.operands, self.strides, strict=True):
                strides.append(8 if x.space == BLOCK else 0)
        result, a, b = self.strides
        wide = [i for i, extent in enumerate(self.extents) if extent > 1]
        last = len(step.extents) - 1
        self.kept = [i for i in wide if i != last and (result[i] or i != self.lane)]
        self.summed = [i for i in wide if i not in self.kept]
        self.shared = [i for i in self.kept if a[i] and b[i]]
        self.rows = [i for i in self.kept if a[i] and not b[i]]
        self.columns = [i for i in self.kept if b[i] and not a[i]]

    def _unit(self, x: Operand) -> int:
        return self.binder.lanes if x.space == BLOCK else 1

    def of(self, which: int) -> list[int]:
        """Return the indices that move an operand; the first has also those that move none."""
        strides, other = self.strides[which], self.strides[3 - which]
        return [
            i for i in (*self.kept, *self.summed) if strides[i] or (which == 1 and not other[i])
        ]

    def longest(self, indices: Sequence[int]) -> int:
        """Return the index of the greatest extent, or -1 for none: one of extent 1."""
        return max(indices, key=lambda i: self.extents[i], default=-1)

    def array(self, which: int, order: Sequence[int]) -> AnyArray:
        """Return an operand with the indices in *order* as axes."""
        x, strides = self.operands[which], self.strides[which]
        idle = set() if which == 0 else {i for i in self.kept if i not in self.of(which)}
        return _array(
            [1 if i < 0 or i in idle else self.extents[i] for i in order],
            self.binder.bases[x.space],
            8 * self._unit(x) * x.offset,
            [0 if i < 0 else strides[i] for i in order],
        )


def _repeated(calls: Sequence[Call], count: int, now: list[int]) -> None:
    """Do *calls* so many times, and say in *now* which time it is."""
    for k in range(count):
        now[0] = k
        for call in calls:
            call()


def _array(shape: Sequence[int], base: AnyArray, offset: int, strides: Sequence[int]) -> AnyArray:
    """Return a part of *base*, which is in one piece; *offset* and *strides* are in bytes."""
    found: AnyArray = np.ndarray(shape, float, base, offset, strides)
    return found


def _letters(indices: Sequence[int]) -> str:
    return "".join([chr(ord("a") + i) for i in indices])


def _applied(row: Primitive, result: AnyArray, args: Sequence[Any]) -> Call:
    """Return a call that writes *row* of *args* into *result*."""
    if all(type(x) is float for x in args):  # an array form needs an array
        return lambda: result.fill(float(row.scalar(*args)))
    if row is primitives.power and type(args[1]) is float:
        if args[1] == 0.5:
            return _into(forms.root, result, args[:1])
        return functools.partial(np.power, *args, result)
    if row in FORMS:
        return _into(FORMS[row], result, args)
    form: Any = row.array
    if form in (np.maximum, np.minimum):  # they warn of a third argument without a name
        return functools.partial(form, *args, out=result)
    if _is_numpys(form) and form.nin == len(args):
        return functools.partial(form, *args, result)
    return _into(form if _takes_out(form) else row.on_arrays, result, args)


def _is_numpys(form: Any) -> bool:
    """Return whether *form* is a ufunc that maps floats to one float."""
    return isinstance(form, np.ufunc) and form.nout == 1 and f"{'d' * form.nin}->d" in form.types


_IN_PLACE = (arrays.sigmoid, forms.one_minus)  # they may write over an operand


def _into(form: Callable[..., Any], result: AnyArray, args: Sequence[Any]) -> Call:
    """Return a call that writes *form* of *args* into *result*, which may be one of them."""
    shared = form not in _IN_PLACE and any(
        isinstance(x, np.ndarray) and np.may_share_memory(x, result) for x in args
    )
    shapes = [x.shape for x in args if isinstance(x, np.ndarray) and x.dtype == float]
    if not shared and _takes_out(form) and any(shape == result.shape for shape in shapes):
        return functools.partial(form, *args, out=result)
    return lambda: np.copyto(result, form(*args))


@functools.cache
def _takes_out(form: Callable[..., Any]) -> bool:
    """Return whether *form* is one of the library's that can be told where to write."""
    home = getattr(form, "__module__", "")
    return home in (forms.__name__, arrays.__name__) and "out" in form.__code__.co_varnames
