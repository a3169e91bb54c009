"""A compiled function called with Values: one node for each number of its result.

Its number and its partials come from the machine, those of all examples in one run.  So the parents
of such a node are the Values in its example and the leaves that the function captured, and whatever
lies between them stays inside.  To be differentiated again, the function itself is run on the
operands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine.backend import Value, make_node
from ..engine.segments import partials_again, with_others
from ..engine.structures import array_of, leaves, mapped
from ..engine.table import Primitive, as_float, unlisted
from .batches import Array, example_like, floats

Shapes = tuple[tuple[int, ...], ...]


def holds_values(arrays: Sequence[Any]) -> bool:
    """Return whether one of *arrays*, the arguments of a call, holds a Value."""
    for x in arrays:
        if isinstance(x, np.ndarray) and x.dtype.kind != "O":
            continue
        if any(isinstance(leaf, Value) for leaf in leaves(x)):
            return True
    return False


_is_value = np.frompyfunc(lambda x: isinstance(x, Value), 1, 1)


def are_values(arrays: Sequence[Any]) -> Array:
    """Return, a row for each example, which numbers of *arrays* are Values."""
    parts = [np.asarray(x, dtype=object) for x in arrays]
    rows = [x.reshape(len(x), math.prod(x.shape[1:])) for x in parts]
    return _is_value(np.concatenate(rows, axis=1)).astype(bool)  # type: ignore[no-any-return]


def inlined(function: Callable[..., Any], arrays: Sequence[Any]) -> Any:
    """Return *function* of each example of *arrays*, whose graph becomes part of a larger one."""
    results = [function(*example) for example in zip(*map(_examples, arrays), strict=True)]
    return stacked(results[0], [leaves(result) for result in results])


def stacked(structure: Any, examples: Sequence[Sequence[Any]]) -> Any:
    """Return *structure* with an array for each of its numbers: those of all *examples*."""
    numbers = iter(range(len(examples[0])))

    def column(_: Any) -> Any:
        k = next(numbers)
        return array_of([example[k] for example in examples], (len(examples),))

    return mapped(structure, column)


def _examples(x: Any) -> list[Any]:
    array = np.asarray(x, dtype=object)
    return [example_like(one) for one in array]


class Called(Primitive):
    """One number of the result of a compiled function, as an operation.

    Its operands are the numbers of an example, and then the leaves that the function captured.
    """

    __slots__ = ()

    exact = False  # the machine may round otherwise than the engine


def row_of(
    name: str,
    function: Callable[..., Any] | None,
    shapes: Shapes,
    number: int,
    captured: Sequence[Value],
    found_by: Callable[[str], Primitive],
) -> Primitive:
    """Return the operation that gives that *number* of the result of *function*.

    Its operands are those of an example of *shapes*, and then the *captured* leaves.
    *found_by* finds it again when a graph is loaded.
    """
    count = sum(math.prod(shape) for shape in shapes)

    def run(numbers: Sequence[Any]) -> Any:
        if function is None:
            raise TypeError(
                f"a node of the compiled function {name}, copied or loaded, cannot be computed or "
                "differentiated again: its Python function is not there"
            )
        flat, given = list(numbers), []
        for shape in shapes:
            size = math.prod(shape)
            given.append(example_like(array_of(flat[:size], shape) if shape else flat[0]))
            del flat[:size]
        return leaves(function(*given))[number]

    def result(operands: Sequence[Any]) -> Any:
        return with_others(run, operands[:count], captured, operands[count:])

    def scalar(*operands: float) -> float:
        y = result(operands)
        return float(y.data if isinstance(y, Value) else y)

    def slopes(operands: Sequence[Any], y: Any, linked: Sequence[int]) -> Sequence[Any]:
        return partials_again(result, operands, captured, linked)

    return unlisted(Called(), name, scalar, slopes, found_by)


def numbers_in(arrays: Sequence[Any], names: Sequence[str]) -> tuple[Array, ...]:
    """Return *arrays*, called *names* in messages, with a number for each Value."""
    found = []
    for x, name in zip(arrays, names, strict=True):
        if not holds_values([x]):
            found.append(floats(x, name))
            continue
        array = np.asarray(x, dtype=object)
        if not array.ndim:
            raise TypeError(
                f"{name} is one Value; a compiled function is called with batches: write f([x]) "
                "for the one example x"
            )
        flat = [v.data if isinstance(v, Value) else as_float(v, name) for v in array.ravel()]
        found.append(np.array(flat).reshape(array.shape))
    return tuple(found)


def called(
    arrays: Sequence[Any],
    table: Array,
    structure: Any,
    slopes: Array,
    captured: Sequence[Value],
    row: Callable[[int, Shapes], Primitive],
) -> Any:
    """Return the result of a function for each example of *arrays*, as Values.

    *table* has its numbers, a column for each example, *structure* their structure, and *slopes*,
    for each example, their derivatives by the numbers in *arrays* and then by *captured* leaves.
    """
    given = [np.asarray(x, dtype=object) for x in arrays]
    shapes = tuple(x.shape[1:] for x in given)
    flat = [x.reshape(len(x), -1).tolist() for x in given]
    rows = [row(k, shapes) for k in range(len(table))]
    examples = []
    for e in range(table.shape[1]):
        own = [x if isinstance(x, Value) else float(x) for part in flat for x in part[e]]
        operands = (*own, *captured)
        at = [i for i, x in enumerate(operands) if isinstance(x, Value)]
        parents: Any = tuple([operands[i] for i in at])
        examples.append(
            [
                make_node(one, operands, parents, y, tuple(slopes[e, k, at].tolist()))
                for k, (one, y) in enumerate(zip(rows, table[:, e].tolist(), strict=True))
            ]
        )
    return stacked(structure, examples)
