"""Graphs without width: the tape is done again by the engine, rather than lifted to arrays.

An array operation costs about a microsecond however little it does, and the engine a twentieth of
that per node.  So the array program wins where its groups are wide or the batch is large, and a
chain of single nodes is better replayed: its operations are called again, in C where there is C, on
Values that are made anew for every run, and the engine differentiates.  A large batch is replayed
on arrays of a number per example, by the array forms and the partials in the table.

Which of the two it is to be is decided here, by :func:`narrow` before there is a program, and by
:func:`largest_batch` when there is one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine import modes, primitives
from ..engine._extension import native
from ..engine.backend import Value
from ..engine.primitives import Primitive
from ..engine.vectors import read_grads
from .tape import CONSTANT, Ids, Tape, depths

Array = np.ndarray[Any, np.dtype[np.float64]]

# Microseconds, measured by benchmarks/compiled.py: forward and backward of a node by the engine,
# one operation on a few numbers, and a node on arrays.
_NODE = 0.05 if native is not None else 2.5
_OPERATION, _NODE_ON_ARRAYS = 1.2, 20.0
_FEW = 25  # groups: so few, and the array operations that they take, are always an array program
_WIDTH = 8  # nodes per group below which no array program is made...
LUMP = 4  # ...where a group of nodes that are not alike counts as so many
_HELD = 8_000_000  # numbers that a replay on arrays may hold at a time


def width(tape: Tape) -> tuple[int, int]:
    """Return the number of recorded nodes, and how many groups they make at the least.

    Nodes of different depth or of different operations are never in one group.
    """
    codes = tape.codes[tape.computed].astype(np.int64)
    codes[np.diff(tape.term_starts)[tape.computed] > 0] = -1
    return tape.recorded, len(np.unique(depths(tape)[tape.computed] * len(tape.rows) + codes))


def narrow(nodes: int, groups: int) -> str:
    """Return why a graph should be replayed, "" if it should be lifted to an array program."""
    if groups <= _FEW or nodes >= _WIDTH * groups:
        return ""
    return f"no width: {nodes:,} nodes in {groups:,} groups; replayed by the engine"


def largest_batch(nodes: int, operations: int) -> int:
    """Return for how many examples a replay is twice as fast as so many array operations, or more.

    0 if there is none, or if the operations are few anyway.
    """
    if operations <= 4 * _FEW:
        return 0
    return int(operations * _OPERATION / (2.0 * _NODE * nodes))


@dataclass
class Replay:
    """The operations of a tape, as plain data."""

    rows: tuple[Primitive, ...]
    codes: np.ndarray[Any, np.dtype[np.int16]]
    starts: Ids
    inputs: Ids
    given: list[float | None]
    """The constants; None for what is computed or read."""
    parameters: list[int]
    arguments: list[list[int]]
    outputs: list[int]
    largest: float = math.inf
    """The largest batch for which this is the better way."""
    _calls: list[tuple[Primitive | None, list[int]]] = field(default_factory=list, repr=False)

    @classmethod
    def of(
        cls,
        tape: Tape,
        arguments: Sequence[Sequence[int]],
        parameters: Sequence[int],
        largest: float = math.inf,
    ) -> Replay | None:
        """Return what replays *tape*; None if it selects by an index, which is to be checked."""
        everything = np.arange(len(tape))
        if tape.are(everything, primitives.take_entry).any():
            return None
        # An entry of a softmax is told which one it is: constants that come before all else.
        entries = np.flatnonzero(tape.are(everything, primitives.softmax_entry))
        first = entries[tape.whole(entries)]
        sizes = tape.starts[first + 1] - tape.starts[first]
        before = int(sizes.max(initial=0))
        is_entry = np.zeros(len(tape), dtype=np.int64)
        is_entry[entries] = 1
        starts = tape.starts + np.concatenate([[0], np.cumsum(is_entry)])
        inputs = np.empty(starts[-1], dtype=np.int64)
        told = np.zeros(starts[-1], dtype=bool)
        told[starts[entries]] = True
        inputs[told] = entries - np.repeat(first, sizes)
        inputs[~told] = tape.inputs + before
        codes = np.append(np.full(before, CONSTANT, dtype=np.int16), tape.codes)
        values = [*map(float, range(before)), *tape.values.tolist()]
        return cls(
            tuple(tape.rows),
            codes,
            np.append(np.zeros(before, dtype=np.int64), starts),
            inputs,
            [x if code == CONSTANT else None for x, code in zip(values, codes, strict=True)],
            [n + before for n in parameters],
            [[n + before for n in members] for members in arguments],
            [n + before for n in tape.outputs],
            largest,
        )

    def suits(self, batch: Sequence[Array]) -> bool:
        """Return whether the examples of *batch* should be replayed."""
        return (len(batch[0]) if batch else 1) <= self.largest

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_calls": []}

    # --- both ways to run ------------------------------------------------------------------------

    def forward(self, theta: Array, batch: Sequence[Array]) -> Array:
        """Return the outputs for parameters *theta*: a row per example; of a graph, the one row."""
        count = len(batch[0]) if batch else 1
        if self._by_arrays(count):
            found, stop = np.empty((count, len(self.outputs))), 0
            for part in self._parts(batch):
                values = self._values(theta, part)
                start, stop = stop, stop + len(part[0])
                for k, n in enumerate(self.outputs):
                    found[start:stop, k] = values[n]
            return found
        rows: list[list[float]] = []
        with modes.suspended():
            leaves = [Value(x) for x in theta.tolist()]
            for example in _examples(batch):
                values = self._nodes(leaves, example)
                rows.append([getattr(values[n], "data", values[n]) for n in self.outputs])
        shape = (count, len(self.outputs)) if batch else (len(self.outputs),)
        return np.array(rows, dtype=float).reshape(shape)

    def gradient(self, theta: Array, batch: Sequence[Array]) -> tuple[float, Array]:
        """Return the mean of the one output and its gradient."""
        count = len(batch[0]) if batch else 1
        (output,) = self.outputs
        total = 0.0
        if self._by_arrays(count):
            vector = np.zeros(len(theta))
            for part in self._parts(batch):
                values, size = self._values(theta, part), len(part[0])
                total += float(np.broadcast_to(values[output], size).sum())
                vector += self._adjoints(values, output, size)
            return total / count, vector / count
        with modes.suspended():
            leaves = [Value(x) for x in theta.tolist()]
            for example in _examples(batch):
                y = self._nodes(leaves, example)[output]
                if isinstance(y, Value):
                    y.backward()
                    y = y.data
                total += y
        return total / count, read_grads(leaves) / count

    def _by_arrays(self, count: int) -> bool:
        return count > _NODE_ON_ARRAYS / _NODE

    # --- by the engine ---------------------------------------------------------------------------

    def _nodes(self, leaves: Sequence[Value], example: Sequence[Sequence[float]]) -> list[Any]:
        """Return what every number of the tape is for one example."""
        given: list[Any] = self.given.copy()
        for n, leaf in zip(self.parameters, leaves, strict=True):
            given[n] = leaf
        for numbers, inputs in zip(self.arguments, example, strict=True):
            for n, x in zip(numbers, inputs, strict=True):
                given[n] = Value(x)
        if native is not None:
            found: list[Any] = native.replay(self.rows, self.codes, self.starts, self.inputs, given)
            return found
        for n, (row, operands) in enumerate(self._steps()):
            if row is not None:
                given[n] = row(*[given[i] for i in operands])
        return given

    def _steps(self) -> list[tuple[Primitive | None, list[int]]]:
        """Return operation and operands of every number; None for what is not computed."""
        if not self._calls:
            inputs = self.inputs.tolist()
            ends = itertools.pairwise(self.starts.tolist())
            self._calls = [
                (self.rows[code] if code >= 0 else None, inputs[start:stop])
                for code, (start, stop) in zip(self.codes.tolist(), ends, strict=True)
            ]
        return self._calls

    # --- by arrays -------------------------------------------------------------------------------

    def _parts(self, batch: Sequence[Array]) -> list[list[Array]]:
        """Return the batch in parts for which all numbers of the tape can be held."""
        count, most = len(batch[0]), max(256, _HELD // len(self.codes))
        starts = range(0, count, most)
        return [[x[start : start + most] for x in batch] for start in starts]

    def _values(self, theta: Array, batch: Sequence[Array]) -> list[Any]:
        """Return for every number a float, or an array if an input reaches it."""
        values: list[Any] = self.given.copy()
        for n, x in zip(self.parameters, theta.tolist(), strict=True):
            values[n] = x
        for numbers, table in zip(self.arguments, batch, strict=True):
            for n, column in zip(numbers, _flat(table).T, strict=True):
                values[n] = np.ascontiguousarray(column)
        with np.errstate(all="ignore"):
            for n, (row, operands) in enumerate(self._steps()):
                if row is not None:
                    args = [values[i] for i in operands]
                    several = any(isinstance(x, np.ndarray) for x in args)
                    values[n] = row.array(*args) if several else row.scalar(*args)
        return values

    def _adjoints(self, values: Sequence[Any], output: int, size: int) -> Array:
        """Return the derivative of the sum of the outputs: the pullback, on arrays.

        The adjoint of what no input reaches is one number, the sum over the examples.
        """
        steps = self._steps()
        active = bytearray(len(values))  # what a parameter reaches
        for n in self.parameters:
            active[n] = 1
        for n, (row, operands) in enumerate(steps):
            if row is not None:
                active[n] = any(active[i] for i in operands)
        shaded = bytearray(len(values))  # below what was not chosen: there an adjoint of 0 wins
        adjoints: list[Any] = [None] * len(values)
        many = isinstance(values[output], np.ndarray)
        adjoints[output] = np.ones(size) if many else float(size)
        with np.errstate(all="ignore"):
            for n in range(len(values) - 1, -1, -1):
                row, operands = steps[n]
                if row is None or not active[n] or adjoints[n] is None:
                    continue
                many = isinstance(values[n], np.ndarray)
                for k, term in self._terms(n, values, adjoints[n], bool(shaded[n])):
                    i = operands[k]
                    if not active[i]:
                        continue
                    if many and not isinstance(values[i], np.ndarray):
                        term = float(term.sum())
                    adjoints[i] = term if adjoints[i] is None else adjoints[i] + term
                    shaded[i] |= shaded[n] or row.selects is not None
                adjoints[n] = None
        return np.array([adjoints[n] or 0.0 for n in self.parameters], dtype=float)

    def _terms(
        self, n: int, values: Sequence[Any], adjoint: Any, shaded: bool
    ) -> Iterator[tuple[int, Any]]:
        """Yield what number *n* hands on: position of the operand, and the adjoint's share."""
        row, operands = self._steps()[n]
        assert row is not None
        args = [values[i] for i in operands]
        if row.selects is not None:
            if row is primitives.where:
                chosen = np.where(args[0], 1, 2)
            else:
                chosen = np.asarray(np.frompyfunc(row.selects, len(args), 1)(*args), dtype=int)
            for k in range(len(args)):
                yield k, np.where(chosen == k, adjoint, 0.0)
            return
        linked = [k for k, i in enumerate(operands) if self.codes[i] != CONSTANT]
        linked = list(row.linked(args, linked))
        for k, partial in zip(linked, row.partial_values(args, values[n], linked), strict=True):
            if type(partial) is float and partial == 1.0:
                yield k, adjoint
            else:
                yield k, primitives.damped(partial, adjoint) if shaded else partial * adjoint


def _examples(batch: Sequence[Array]) -> Iterator[Sequence[Sequence[float]]]:
    """Yield the numbers of every example, a list per argument; of a graph, one empty example."""
    if not batch:
        yield ()
        return
    yield from zip(*[_flat(x).tolist() for x in batch], strict=True)


def _flat(x: Array) -> Array:
    return x.reshape(len(x), math.prod(x.shape[1:]))
