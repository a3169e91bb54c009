"""Graphs without width over a large batch: the tape is run again on columns of numbers.

Nothing is compiled: every operation of the tape is called on arrays, going forward, and then its
partials from the table, in reverse.  An operation costs a microsecond or two however few examples
there are, and hardly more for a thousand of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..engine import table as primitives
from ..engine.table import Primitive
from .batches import Array

Column = Any
"""One number per example, or one float for all of them."""

_ROOM = 4_000_000  # numbers kept at a time: a large batch is run in parts

Step = tuple[int, Primitive, list[int]]


class Columns:
    """A tape to run on columns: *steps* are the operations, *given* the constants."""

    def __init__(
        self,
        steps: Sequence[tuple[Primitive | None, list[int]]],
        given: Sequence[float | None],
        parameters: Sequence[int],
        arguments: Sequence[Sequence[int]],
        outputs: Sequence[int],
    ) -> None:
        self._steps: list[Step] = [
            (n, row, operands) for n, (row, operands) in enumerate(steps) if row is not None
        ]
        self._given, self._outputs = list(given), list(outputs)
        self._parameters, self._arguments = list(parameters), list(arguments)
        varies = [False] * len(self._given)  # what would be a Value if it were called with numbers
        for n in parameters:
            varies[n] = True
        self._linked: dict[int, list[int]] = {}
        for n, row, operands in self._steps:
            candidates = [i for i, x in enumerate(operands) if varies[x]]
            if row.selects is None:
                candidates = list(row.linked(operands, candidates))
            varies[n] = bool(candidates)
            if candidates:
                self._linked[n] = candidates

    def forward(self, theta: Array, batch: Sequence[Array]) -> Array:
        """Return the outputs for parameters *theta*, a row per example."""
        parts = []
        for part in self._parts(batch):
            values = self._values(theta, part)
            parts.append(
                np.stack([np.broadcast_to(values[n], len(part[0])) for n in self._outputs], axis=1)
            )
        return np.concatenate(parts)

    def gradient(self, theta: Array, batch: Sequence[Array]) -> tuple[float, Array]:
        """Return the mean of the one output and its gradient."""
        (output,) = self._outputs
        count, total, gradient = len(batch[0]), 0.0, np.zeros(len(theta))
        for part in self._parts(batch):
            values, size = self._values(theta, part), len(part[0])
            with np.errstate(all="ignore"):
                total += _over(values[output], size)
                adjoints = self._pull(values, output, size)
            gradient += [adjoints.get(n, 0.0) for n in self._parameters]
        return total / count, gradient / count

    def _parts(self, batch: Sequence[Array]) -> Iterator[Sequence[Array]]:
        count, most = len(batch[0]), max(64, _ROOM // max(1, len(self._given)))
        for start in range(0, max(1, count), most):
            yield [x[start : start + most] for x in batch]

    def _values(self, theta: Array, batch: Sequence[Array]) -> list[Column]:
        """Return the column for every number of the tape."""
        values: list[Any] = self._given.copy()
        for n, x in zip(self._parameters, theta.tolist(), strict=True):
            values[n] = x
        for numbers, given in zip(self._arguments, batch, strict=True):
            columns = np.ascontiguousarray(given.reshape(len(given), -1).T)
            for n, column in zip(numbers, columns, strict=True):
                values[n] = column
        with np.errstate(all="ignore"):
            for n, row, operands in self._steps:
                args = [values[x] for x in operands]
                if {float}.issuperset(map(type, args)):
                    values[n] = float(row.scalar(*args))
                else:
                    values[n] = row.on_arrays(*args)
        return values

    def _pull(self, values: list[Column], output: int, size: int) -> dict[int, Column]:
        """Return the derivative of the sum of *output* over *size* examples, by number.

        As in the engine, nothing flows into a branch that was not chosen, whatever its partials
        are.
        """
        seed = 1.0 if type(values[output]) is not float else float(size)
        adjoints: dict[int, Column] = {output: seed}
        reached: dict[int, Column] = {output: True}
        for n, row, operands in reversed(self._steps):
            if n not in adjoints or n not in self._linked:
                continue
            adjoint, here = adjoints.pop(n), reached.pop(n)
            args, linked = [values[x] for x in operands], self._linked[n]
            if row.selects is None:
                partials = row.partial_values(args, values[n], linked)
                edges = [(i, p, here) for i, p in zip(linked, partials, strict=True)]
            else:
                position = _position(row, args)
                edges = [(i, 1.0, here & (position == i)) for i in linked]
            for i, partial, when in edges:
                term, operand = partial * adjoint, operands[i]
                if when is not True:
                    term = np.where(when, term, 0.0)
                if type(values[operand]) is float and type(values[n]) is not float:
                    term = _over(term, size)
                    when = when if when is True else bool(np.any(when)) or np.False_
                if operand in adjoints:
                    adjoints[operand] = adjoints[operand] + term
                    reached[operand] = reached[operand] | when
                else:
                    adjoints[operand], reached[operand] = term, when
        return adjoints


def _over(x: Column, size: int) -> float:
    """Return the sum of a column over *size* examples."""
    return float(x.sum()) if np.ndim(x) else float(x) * size


def _position(row: Primitive, args: Sequence[Column]) -> Column:
    """Return which of its arguments *row* copies."""
    if row is primitives.where:
        return np.where(args[0], 1, 2)
    if {float}.issuperset(map(type, args)):
        return np.asarray(primitives.position_of(row).scalar(*args))
    return primitives.position_of(row).on_arrays(*args)
