"""Functions whose results are derivatives of another function, to be compiled in their turn.

Each of them runs the function on one example and sweeps over its graph, as the transforms do inside
a compiled function.  So the compiler needs nothing more for Hessians, products and forward mode:
the graph of the derivatives is recorded, lifted and run like any other.

The inputs to differentiate by are the numbers in some of the arguments, or leaves that the function
captured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..engine import structures
from ..engine.backend import Value
from ..engine.sweep_calls import sweep_recorded
from ..engine.table import dot_product
from .batches import Array
from .tape import Ids

Function = Callable[..., Any]


class RecordedRun(NamedTuple):
    """A function that was recorded, and what it is differentiated by."""

    result: Any
    outputs: list[Any]
    """The numbers of the result."""
    inputs: list[Any]
    since: float
    """From this serial number on a leaf is a constant.

    What a function makes is one to its parameters, as in ``value_and_grad``.  To its arguments it
    is a Value, as in the engine, which gives a transform's result as one where it was given one.
    """

    def sweep(self, seeds: Sequence[Sequence[Any]], forward: bool) -> list[list[Any]]:
        """Return a row of tangents, or of adjoints, for each of *seeds*."""
        return sweep_recorded(self.outputs, self.inputs, seeds, forward, self.since)

    def gradient(self) -> list[Any]:
        """Return the derivatives of the only number of the result."""
        return self.sweep([[1.0]], forward=False)[0]


@dataclass(frozen=True)
class Source:
    """A function, and what it is differentiated by."""

    function: Function
    name: str
    which: tuple[int, ...]
    """The numbers of the arguments, if it is by arguments..."""
    leaves: tuple[Value, ...] | None = None
    """...or captured leaves."""

    def run(self, examples: Sequence[Any]) -> RecordedRun:
        """Run the function on the *examples*."""
        if self.leaves is None:
            inputs = structures.leaves([examples[i] for i in self.which])
        else:
            inputs = list(self.leaves)
        since = math.inf if self.leaves is None else Value(0.0).serial
        result = self.function(*examples)  # only now: it may change its lists
        return RecordedRun(result, structures.leaves(result), inputs, since)

    def run_to_one(self, examples: Sequence[Any]) -> RecordedRun:
        """Run the function; TypeError if the result is not one number."""
        run = self.run(examples)
        if len(run.outputs) != 1:
            raise TypeError(
                f"second derivatives of {self.name} need one number as its result, not "
                f"{len(run.outputs)}"
            )
        return run


def gradient(source: Source) -> Function:
    """Return the gradient, a vector."""

    def gradient(*examples: Any) -> Any:
        slopes = source.run_to_one(examples).gradient()
        return structures.array_of(slopes, (len(slopes),))

    return gradient


def tangent(source: Source) -> Function:
    """Return a function that gives the result and its tangent.

    It takes a vector with the tangents of the inputs as a further argument, the last one.
    """

    def tangent(*given: Any) -> Any:
        *examples, directions = given
        directions = list(directions)
        run = source.run(examples)
        (moved,) = run.sweep([directions], forward=True)
        return run.result, structures.like(run.result, iter(moved))

    return tangent


def product(source: Source) -> Function:
    """Return a function that gives the gradient and the Hessian times a vector: two rows.

    It takes the vector as a further argument, the last one.
    """

    def product(*given: Any) -> Any:
        *examples, vector = given
        vector = list(vector)
        run = source.run_to_one(examples)
        slopes = run.gradient()
        (moved,) = run._replace(outputs=slopes).sweep([vector], forward=True)
        return structures.array_of([*slopes, *moved], (2, len(run.inputs)))

    return product


def columns(source: Source) -> Function:
    """Return the Jacobian by forward mode: a row for each input, as a table of its columns."""
    return _swept(source, forward=True)


def rows(source: Source) -> Function:
    """Return the Jacobian by reverse mode: a row for each number of the result."""
    return _swept(source, forward=False)


def _swept(source: Source, forward: bool) -> Function:
    def rows(*examples: Any) -> Any:
        run = source.run(examples)
        ends = (run.inputs, run.outputs) if forward else (run.outputs, run.inputs)
        m, n = map(len, ends)
        found = run.sweep(_units(m), forward=forward)
        return structures.array_of([x for row in found for x in row], (m, n))

    return rows


def pulled(source: Source) -> Function:
    """Return a function that gives the derivatives of the results, times weights, added up.

    It takes a vector with a weight for each number of the result as a further argument, the last.
    """

    def pulled(*given: Any) -> Any:
        *examples, weights = given
        weights = list(weights)
        (slopes,) = source.run(examples).sweep([weights], forward=False)
        return structures.array_of(slopes, (len(slopes),))

    return pulled


def weighted(source: Source) -> Function:
    """Return the sum of the results times weights, which are a further argument, the last."""

    def weighted(*given: Any) -> Any:
        *examples, weights = given
        return dot_product(*source.run(examples).outputs, *weights, 0.0)

    return weighted


def entries(source: Source, rows: Ids, at: Ids, colours: Sequence[int], forward: bool) -> Function:
    """Return certain entries of the Jacobian, at *rows* and columns *at*, with a sweep per colour.

    *colours* has an entry for each column, in *forward* mode, or for each row.
    """
    sweeps = [[1.0 if colour == c else 0.0 for colour in colours] for c in range(max(colours) + 1)]
    places = list(zip(rows.tolist(), at.tolist(), strict=True))

    def entries(*examples: Any) -> Any:
        found = source.run(examples).sweep(sweeps, forward)
        chosen = [found[colours[j]][i] if forward else found[colours[i]][j] for i, j in places]
        return structures.array_of(chosen, (len(chosen),))

    return entries


def _units(n: int) -> list[list[float]]:
    return [[1.0 if j == i else 0.0 for j in range(n)] for i in range(n)]


# --- arrays outside ------------------------------------------------------------------------------


def turned(table: Array, at_once: int = 256) -> Array:
    """Return *table* with its last axis, the examples, as the first, contiguous.

    So many examples are moved at a time, while they are in the cache.
    """
    source = np.moveaxis(table, -1, 0)
    found = np.empty(source.shape)
    for start in range(0, len(source), at_once):
        found[start : start + at_once] = source[start : start + at_once]
    return found


def split(table: Array, given: Sequence[Array]) -> list[Array]:
    """Return *table*, a row for each number of an example of *given*, in pieces shaped like those.

    Its last axis counts the examples; axes between come after that of the examples.
    """
    found, start = [], 0
    for x in given:
        size = int(np.prod(x.shape[1:], dtype=int))
        piece = np.moveaxis(table[start : start + size], 0, -1)  # (..., examples, numbers)
        piece = np.moveaxis(piece, -2, 0)
        found.append(np.ascontiguousarray(piece).reshape(*piece.shape[:-1], *x.shape[1:]))
        start += size
    return found


def joined(what: str, given: Sequence[Any], like: Sequence[Array]) -> Array:
    """Return directions that are shaped as the arguments *like*, as one vector for each example.

    ValueError, which *what* opens, if one has another shape; one example's may serve for all.
    """
    rows = []
    if len(given) != len(like):
        raise ValueError(
            f"{what}: {len(given)} arrays for {len(like)} arguments; give one for each"
        )
    for x, array in zip(given, like, strict=True):
        direction = np.asarray(x, dtype=float)
        if direction.shape not in (array.shape, array.shape[1:]):
            raise ValueError(
                f"{what}: an array of shape {direction.shape}; expected {array.shape}, as the "
                f"argument has, or {array.shape[1:]} for all examples"
            )
        size = int(np.prod(array.shape[1:], dtype=int))
        rows.append(np.broadcast_to(direction, array.shape).reshape(len(array), size))
    return np.concatenate(rows, axis=1)
