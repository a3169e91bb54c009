"""Pass 9, for graphs without width: the tape is replayed instead of being lifted to arrays.

An array operation costs about a microsecond however little it does; the engine costs a twentieth of
that per node.  So the array program wins if its groups are wide or the batch is large.  A chain of
single nodes is better replayed: its operations are called again, in C if possible, on new Values
for every run, and the engine differentiates.  A large batch is run on columns, by ``columns``.

This module decides between these ways: :func:`narrow` before there is a program,
:func:`largest_batch` once there is one, and :func:`Replay.suits` at every run.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine import modes
from ..engine import table as primitives
from ..engine.backend import Value
from ..engine.native import core as native
from ..engine.table import Primitive
from ..engine.vectors import read_grads
from .batches import Array
from .columns import Columns
from .tape import CONSTANT, Ids, Tape, depths

# Microseconds, measured by benchmarks/compiled.py: forward and backward of a node by the engine, an
# array operation on a few numbers, and forward and backward of a node on columns.
_NODE = 0.05 if native is not None else 2.5
_OPERATION, _COLUMN = 1.2, 8.0
_FEW = 25  # groups: up to this number, an array program is always made
_WIDTH = 8  # nodes per group, below which no array program is made...
LUMP = 4  # ...and a group of nodes that are not alike counts as so many groups


def least_groups(tape: Tape) -> int:
    """Return a lower bound on the number of groups, without making them.

    Nodes of different depths or different operations are never in one group.
    """
    codes = tape.codes[tape.computed].astype(np.int64)
    codes[np.diff(tape.term_starts)[tape.computed] > 0] = -1  # all sums are one operation
    return len(np.unique(depths(tape)[tape.computed] * (len(tape.rows) + 1) + codes))


def narrow(nodes: int, groups: int) -> bool:
    """Return whether a graph has too little width for an array program."""
    return groups > _FEW and nodes < _WIDTH * groups


def largest_batch(nodes: int, operations: int) -> int:
    """Return the largest batch for which a replay is at least twice as fast as the array program.

    It is 0 if there is none, or if the array operations are few anyway.
    """
    if operations <= 4 * _FEW:
        return 0
    return int(operations * _OPERATION / (2.0 * _NODE * nodes))


LARGEST = int(_COLUMN / _NODE)
"""The largest batch that does not run faster on columns."""


@dataclass
class Replay:
    """The operations of a tape, as plain data."""

    rows: tuple[Primitive, ...]
    codes: np.ndarray[Any, np.dtype[np.int16]]
    starts: Ids
    inputs: Ids
    given: list[float | None]
    """The constants; None for numbers that are computed or read."""
    parameters: list[int]
    arguments: list[list[int]]
    outputs: list[int]
    largest: int
    """The largest batch for which a replay is faster than the array program."""
    _columns: Columns | None = field(default=None, repr=False)
    _calls: list[tuple[Primitive | None, list[int]]] = field(default_factory=list, repr=False)

    @classmethod
    def of(
        cls,
        tape: Tape,
        arguments: Sequence[Sequence[int]],
        parameters: Sequence[int],
        largest: int,
    ) -> Replay | None:
        """Return a replay of *tape*, or None if it selects by an index, which must be checked."""
        everything = np.arange(len(tape))
        if tape.are(everything, primitives.take_entry).any():
            return None
        # An entry of a softmax needs its index: these constants come before everything else.
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
        """Return whether the examples of *batch* should be replayed one by one."""
        return not batch or len(batch[0]) <= self.largest

    @property
    def columns(self) -> Columns:
        """The same operations, for many examples at once."""
        if self._columns is None:
            self._columns = Columns(
                self._steps(), self.given, self.parameters, self.arguments, self.outputs
            )
        return self._columns

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_calls": [], "_columns": None}

    # --- running ---------------------------------------------------------------------------------

    def forward(self, theta: Array, batch: Sequence[Array]) -> Array:
        """Return the outputs for parameters *theta*, one row per example; a graph has one row."""
        rows: list[list[float]] = []
        with modes.suspended():
            leaves = [Value(x) for x in theta.tolist()]
            for example in _examples(batch):
                values = self._nodes(leaves, example)
                rows.append([getattr(values[n], "data", values[n]) for n in self.outputs])
        shape = (len(rows), len(self.outputs)) if batch else (len(self.outputs),)
        return np.array(rows, dtype=float).reshape(shape)

    def gradient(self, theta: Array, batch: Sequence[Array]) -> tuple[float, Array]:
        """Return the mean of the only output, and its gradient."""
        (output,) = self.outputs
        total, count = 0.0, 0
        with modes.suspended():
            leaves = [Value(x) for x in theta.tolist()]
            for count, example in enumerate(_examples(batch), 1):  # noqa: B007 (read below)
                y = self._nodes(leaves, example)[output]
                if isinstance(y, Value):
                    y.backward()  # the leaves add up
                    y = y.data
                total += y
        return total / count, read_grads(leaves) / count

    def _nodes(self, leaves: Sequence[Value], example: Sequence[Sequence[float]]) -> list[Any]:
        """Return the value of every number of the tape for one example."""
        given: list[Any] = self.given.copy()
        for n, leaf in zip(self.parameters, leaves, strict=True):
            given[n] = leaf
        for numbers, inputs in zip(self.arguments, example, strict=True):
            for n, x in zip(numbers, inputs, strict=True):
                given[n] = x
        if native is not None:
            found: list[Any] = native.replay(self.rows, self.codes, self.starts, self.inputs, given)
            return found
        for n, (row, operands) in enumerate(self._steps()):
            if row is not None:
                given[n] = row(*[given[i] for i in operands])
        return given

    def _steps(self) -> list[tuple[Primitive | None, list[int]]]:
        """Return the operation and operands of every number; None for one that is not computed."""
        if not self._calls:
            inputs = self.inputs.tolist()
            ends = itertools.pairwise(self.starts.tolist())
            self._calls = [
                (self.rows[code] if code >= 0 else None, inputs[start:stop])
                for code, (start, stop) in zip(self.codes.tolist(), ends, strict=True)
            ]
        return self._calls


def _examples(batch: Sequence[Array]) -> Iterator[Sequence[Sequence[float]]]:
    """Yield the numbers of every example, a list per argument; a graph has one empty example."""
    if not batch:
        yield ()
        return
    rows = [x.reshape(len(x), math.prod(x.shape[1:])).tolist() for x in batch]
    yield from zip(*rows, strict=True)
