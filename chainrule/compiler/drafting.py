"""Writing the steps of a plan: places for numbers, numbers for rows and tables, lists of drafts.

This is what every kind of operation needs when it is lowered; it does not know the kinds.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np

from ..engine import table as primitives
from ..engine.table import Primitive
from .addresses import AnyArray, Shape, affine
from .places import Buffer, Draft, Spot, settle
from .plan import BLOCK, STILL, SUMS, Plan
from .program import Operation, Program
from .strides import broadcast, merged, strides_of

BEFORE, EACH, AFTER = range(3)


class Drafting:
    """A program on its way to a plan: where results are, and the steps so far."""

    def __init__(self, program: Program, count: int):
        self.program = program
        self.operations = program.operations
        self.plan = Plan()
        self.lists: tuple[list[Draft], list[Draft], list[Draft]] = ([], [], [])
        self.spots: dict[int, Spot] = {}
        self.flat: dict[int, Spot] = {}  # contiguous copies of what has other strides
        self.pending: dict[int, tuple[Buffer, AnyArray, float]] = {}  # arrays to be filled
        self.loaded: dict[int, Spot] = {}  # where the arguments are
        # When and where operations are to be computed; decided before any of them is.
        self.stages: dict[int, int] = {}
        self.buffers: dict[int, Buffer] = {}  # of the arrays that are stored into
        self.dest: dict[int, Spot] = {}  # of what is computed in its place in a larger array
        self.fused: dict[int, list[int]] = {}  # sums, with the products they delay
        self.differences: dict[int, int] = {}  # sums, with the difference that is never written
        self.summing: set[int] = set()  # the sums over the examples
        self._rows: dict[Primitive, int] = {}
        self._tables: dict[bytes, int] = {}
        self._numbers: dict[bytes, Spot] = {}
        self._constants: dict[int, Spot] = {}
        self._still: list[AnyArray] = []
        self._taken = 0
        self._sums = 0
        self._first_row = 0  # of BLOCK, from which on rows are its own
        self.count = self._keep(np.zeros(1))
        self.theta = self._keep(np.zeros(count))

    def _space(self, n: int) -> int:
        """Return the space in which operation *n* computes its result."""
        if n in self.summing:
            return SUMS
        return BLOCK if self.stages[n] == EACH else STILL

    # --- places ----------------------------------------------------------------------------------

    def _keep(self, values: AnyArray) -> Spot:
        """Return the place of *values* in STILL, which nothing else ever has."""
        values = np.ascontiguousarray(values, dtype=float)
        buffer = Buffer(STILL, values.size, self._taken, fixed=True)
        self._still.append(values.ravel())
        self._taken += values.size
        return Spot(buffer, 0, strides_of(values.shape))

    def number(self, x: float) -> Spot:
        """Return the place of the number *x*."""
        key = struct.pack("d", x)
        if key not in self._numbers:
            self._numbers[key] = self._keep(np.full(1, x))._replace(strides=())
        return self._numbers[key]

    def row(self, row: Primitive) -> int:
        """Return the number of *row* in the plan."""
        return self._rows.setdefault(row, len(self._rows))

    def table(self, numbers: AnyArray) -> int:
        """Return the number of the table of whole *numbers*."""
        values = np.ascontiguousarray(numbers, dtype=np.int64).ravel()
        tables = self.plan.tables
        number = self._tables.setdefault(values.tobytes(), len(tables))
        if number == len(tables):
            tables.append(values)
        return number

    def made(self, n: int, operation: Operation) -> Spot:
        """Return where the result of an operation is to be computed."""
        return self.dest.get(n) or self._room(self._space(n), operation.shape)

    def _room(self, space: int, shape: Shape) -> Spot:
        buffer = Buffer(space, math.prod(shape))
        if space == SUMS:
            buffer.at, buffer.fixed = self._sums, True
            self._sums += buffer.size
        return Spot(buffer, 0, strides_of(shape))

    def shape(self, x: int | float) -> Shape:
        return self.operations[x].shape if type(x) is int else ()

    def spot(self, x: int | float, shape: Shape | None = None) -> Spot:
        """Return where operand *x* is, broadcast to *shape* if that is given."""
        found = self.spots[x] if type(x) is int else self.number(float(x))
        return found if shape is None else broadcast(found, self.shape(x), shape)

    def contiguous(self, n: int) -> Spot:
        """Return the result of operation *n* in one piece: itself, or a copy."""
        if n not in self.flat:
            spot, shape = self.spots[n], self.operations[n].shape
            self.flat[n] = self._packed(self.stages[n], spot, shape)
        return self.flat[n]

    def _packed(self, stage: int, spot: Spot, shape: Shape) -> Spot:
        """Return an array in one piece: where it is, or a copy."""
        if spot.strides == strides_of(shape):
            return spot
        copied = self._room(BLOCK if spot.buffer.space == BLOCK else STILL, shape)
        self.each("copy", stage, shape, (copied, spot))
        return copied

    # --- steps -----------------------------------------------------------------------------------

    def step(
        self,
        code: str,
        stage: int,
        extents: Sequence[int],
        spots: Sequence[Spot],
        detail: tuple[int, ...] = (),
    ) -> None:
        """Append a step; what it touches is filled before if it has to be."""
        for spot in spots:
            if self.pending:
                self._fill(spot.buffer)
        if spots[0].buffer.space == SUMS or any(s.buffer.space == BLOCK for s in spots):
            stage = EACH
        self.lists[stage].append(Draft(code, tuple(extents), tuple(spots), detail))

    def _fill(self, buffer: Buffer) -> None:
        """Fill what is not stored of an array, before anything is done with it."""
        found = self.pending.pop(id(buffer), None)
        if found is None:
            return
        _, places, value = found
        stage = EACH if buffer.space == BLOCK else BEFORE
        x = self.number(value)
        even = affine(places)
        if even is not None:
            ((extent, stride),) = even[1]
            spots = Spot(buffer, even[0], (stride,)), x._replace(strides=(0,))
            self.step("copy", stage, (extent,), spots)
        else:
            spots = Spot(buffer, 0, (1,)), x._replace(strides=(0,))
            self.step("scatter", stage, (len(places),), spots, (self.table(places),))

    def each(
        self,
        code: str,
        stage: int,
        shape: Shape,
        spots: Sequence[Spot],
        detail: tuple[int, ...] = (),
        inner: int = 0,
    ) -> None:
        """Append a step over all indices of *shape*, in as few loops as the strides allow.

        The last *inner* indices stay as they are.
        """
        outer = len(shape) - inner
        extents, columns = merged(shape[:outer], [s.strides[:outer] for s in spots])
        extents += shape[outer:]
        if not extents:
            extents, columns = [1], [[0] for _ in spots]
        placed = [
            s._replace(strides=(*column, *s.strides[outer:]))
            for s, column in zip(spots, columns, strict=True)
        ]
        self.step(code, stage, extents, placed, detail)

    def apply(self, row: Primitive, stage: int, shape: Shape, result: Spot, *args: Spot) -> Spot:
        """Append *row* of the *args*, all with the strides of *shape*."""
        self.each("apply", stage, shape, (result, *args), (self.row(row),))
        return result

    def _times_count(self, n: int, spot: Spot, shape: Shape, result: Spot) -> Spot:
        """Append the sum over the examples of what is the same for all of them."""
        every = self.count._replace(strides=(0,) * len(shape))
        return self.apply(primitives.multiply, self.stages[n], shape, result, spot, every)

    # --- after the operations --------------------------------------------------------------------

    def _settle(self, again: bool) -> None:
        """Give all buffers their places, and write the steps."""
        plan = self.plan
        loaded = [spot.buffer for spot in self.loaded.values()]
        still, plan.block = settle(self.lists, loaded, self._taken, again, self._first_row)
        plan.sums = self._sums
        plan.rows = list(self._rows)
        plan.still = np.concatenate([*self._still, np.zeros(still - self._taken)])
        theta = self.theta.buffer
        plan.parameters = theta.at, theta.at + theta.size
        for i in range(len(self.program.inputs)):
            spot = self.loaded.get(i)
            at = (0, 0)
            if spot is not None:
                at = spot.buffer.at + spot.offset, self._input_size(i)
            plan.inputs.append(at)
        plan.before, plan.each, plan.after = (
            [draft.step() for draft in drafts] for drafts in self.lists
        )

    def _input_size(self, i: int) -> int:
        shapes = (o.shape for o in self.operations if o.kind == "input" and o.detail == i)
        return math.prod(next(shapes))
