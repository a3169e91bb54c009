"""The ways in which people write a gradient down, and how to read them as Theta-shaped arrays.

A gradient may come as one matrix per layer, as weights and biases apart, transposed, with the bias
last, as one vector: these are conventions, not mistakes. Shapes say which are possible; where
several are, the numbers must decide, so :func:`readings` returns all of them, the plainest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from ... import backprop
from ..problem import Array, Problem
from .running.results import Tree

MOST_NUMBERS = 4
"""How many single numbers among the arrays are tried as the cost."""


@dataclass(frozen=True, eq=False)
class Reading:
    """One way to read what was returned."""

    convention: str
    """Its name; "" for the plain one, one Theta-shaped array per layer."""
    says: str
    gradients: list[Array]
    mistakes: tuple[tuple[str, int], ...] = ()
    """Codes of mistakes that the shapes alone give away, each with the index of its Theta."""
    cost: float | None = None
    """The number that came with the gradient, if one did."""


def shape_of(tree: Tree) -> str:
    """Say in words what shape a tree has."""
    if isinstance(tree, list):
        inside = ", ".join(shape_of(item) for item in tree[:8])
        return f"[{inside}{', ...' if len(tree) > 8 else ''}]"
    return str(tree.shape)


def precision(tree: Tree) -> type[np.floating[Any]]:
    """Return the coarsest type of floating-point numbers in *tree*."""
    if isinstance(tree, list):
        return min((precision(item) for item in tree), key=_digits, default=np.float64)
    return tree.dtype.type if tree.dtype.kind == "f" and _digits(tree.dtype) < 15 else np.float64


def of_integers(tree: Tree) -> bool:
    """Whether *tree* holds arrays of integers alone."""
    if isinstance(tree, list):
        return bool(tree) and all(of_integers(item) for item in tree)
    return tree.dtype.kind in "iu" and tree.ndim > 0


def _digits(kind: Any) -> int:
    return int(np.finfo(kind).precision)


def readings(tree: Tree, problem: Problem) -> list[Reading]:
    """Return every way to read *tree* as the gradient of *problem*; none if no shape fits."""
    found: list[Reading] = []
    for reading in _readings(tree, problem):
        if not any(_same(reading, other) for other in found):
            found.append(reading)
    return found


def _same(one: Reading, two: Reading) -> bool:
    return all(
        np.array_equal(a, b, equal_nan=True)
        for a, b in zip(one.gradients, two.gradients, strict=True)
    )


def _readings(tree: Tree, problem: Problem) -> Iterator[Reading]:
    if isinstance(tree, np.ndarray):
        if tree.ndim == 3:
            yield from _listed(list(tree), problem)
        elif len(problem.thetas) == 1 and tree.ndim == 2:
            yield from _listed([tree], problem)
        yield from _vectors(tree, problem)
        return
    if len(tree) == 1:
        yield from _readings(tree[0], problem)
    flat = [item for item in tree if isinstance(item, np.ndarray)]
    if len(flat) == len(tree):
        yield from _listed(flat, problem)
    yield from _split(tree, problem)
    # One number may be the cost, wherever it stands.
    numbers = [i for i, item in enumerate(tree) if isinstance(item, np.ndarray) and item.size == 1]
    for i in numbers[:MOST_NUMBERS] if len(tree) > 1 else ():
        rest = [*tree[:i], *tree[i + 1 :]]
        for reading in _readings(rest[0] if len(rest) == 1 else rest, problem):
            if reading.cost is None:
                says = "the cost is returned with the gradient"
                cost = float(np.ravel(tree[i])[0])
                yield replace(also(reading, "with-cost", says), cost=cost)


def also(reading: Reading, convention: str, says: str) -> Reading:
    """Return *reading* with one more convention."""
    names = [name for name in (reading.convention, convention) if name]
    texts = [text for text in (reading.says, says) if text]
    return replace(reading, convention="+".join(names), says="; ".join(texts))


def _floats(arrays: Iterable[Any]) -> list[Array]:
    return [np.array(array, dtype=np.float64) for array in arrays]


def _listed(arrays: Sequence[np.ndarray[Any, Any]], problem: Problem) -> Iterator[Reading]:
    """One matrix for each layer."""
    shapes = problem.shapes
    if len(arrays) != len(shapes):
        return
    for order in (1, -1):
        ordered = _floats(arrays[::order])
        for reading in _matrices(ordered, shapes):
            if order == 1:
                yield reading
            else:
                yield also(reading, "output-first", "the layers come in order from the output")


def _matrices(arrays: list[Array], shapes: list[tuple[int, int]]) -> Iterator[Reading]:
    straight = [array.shape == shape for array, shape in zip(arrays, shapes, strict=True)]
    turned = [array.shape == shape[::-1] for array, shape in zip(arrays, shapes, strict=True)]
    if all(straight):
        yield Reading("", "", arrays)
        last = [np.roll(array, 1, axis=1) for array in arrays]
        yield Reading("bias-last", "the bias is the last column", last)
    if all(turned):
        back = [array.T for array in arrays]
        yield Reading("transposed", "each gradient is transposed, a column for each unit", back)
        last = [np.roll(array.T, 1, axis=1) for array in arrays]
        yield Reading("transposed+bias-last", "transposed, the bias in the last row", last)
    elif not all(straight) and all(s or t for s, t in zip(straight, turned, strict=True)):
        back = [a if s else a.T for a, s in zip(arrays, straight, strict=True)]
        mistaken = tuple(
            ("layout.gradient-transposed", layer) for layer, s in enumerate(straight) if not s
        )
        yield Reading("", "", back, mistaken)


def _split(tree: list[Any], problem: Problem) -> Iterator[Reading]:
    """Weights and biases apart: pairs, alternating, or all of one kind and then the other."""
    n = len(problem.thetas)
    pairs: list[tuple[list[Any], list[Any]]] = []
    if len(tree) == n and all(isinstance(item, list) and len(item) == 2 for item in tree):
        pairs += [([item[k] for item in tree], [item[1 - k] for item in tree]) for k in (0, 1)]
    if len(tree) == 2:
        one, two = (list(item) for item in tree) if all(map(_countable, tree)) else ([], [])
        pairs += [(one, two), (two, one)]
    if len(tree) == 2 * n:
        pairs += [(tree[0::2], tree[1::2]), (tree[1::2], tree[0::2])]
        pairs += [(tree[:n], tree[n:]), (tree[n:], tree[:n])]
    for weights, biases in pairs:
        for order in (1, -1):
            for reading in _pairs(weights[::order], biases[::order], problem):
                if order == 1:
                    yield reading
                else:
                    yield also(reading, "output-first", "the layers come in order from the output")


def _countable(item: Any) -> bool:
    return isinstance(item, list) or np.ndim(item) > 0


def _pairs(weights: list[Any], biases: list[Any], problem: Problem) -> Iterator[Reading]:
    for added in (np.sum, np.mean):
        yield from _joined(weights, biases, problem, added)
        if not any(isinstance(bias, np.ndarray) and bias.ndim == 2 for bias in biases):
            return  # they are summed


def _joined(
    weights: list[Any], biases: list[Any], problem: Problem, added: Callable[..., Any]
) -> Iterator[Reading]:
    """Read weights and biases as one matrix; biases of each example are *added* up."""
    shapes = problem.shapes
    leaves = [*weights, *biases]
    if len(weights) != len(shapes) or len(biases) != len(shapes):
        return
    if not all(isinstance(leaf, np.ndarray) for leaf in leaves):
        return
    columns: list[Array] = []
    mistaken: list[tuple[str, int]] = []
    for layer, ((units, _), bias) in enumerate(zip(shapes, biases, strict=True)):
        column = np.array(bias, dtype=np.float64)
        if column.shape in ((units,), (units, 1), (1, units)) or column.size == units == 1:
            columns.append(column.ravel())
        elif column.size == 1:
            columns.append(np.full(units, column.ravel()[0]))
            mistaken.append(("bias.one-total", layer))
        elif column.shape == (problem.m, units):
            columns.append(added(column, axis=0))
            mistaken.append(("bias.not-summed", layer))
        elif column.shape == (units, problem.m):
            columns.append(added(column, axis=1))
            mistaken.append(("bias.not-summed", layer))
        else:
            return
    blocks = _floats(weights)
    inner = [(units, inputs - 1) for units, inputs in shapes]
    mistakes = tuple(mistaken)
    if all(block.shape == shape for block, shape in zip(blocks, inner, strict=True)):
        joined = [np.column_stack(pair) for pair in zip(columns, blocks, strict=True)]
        yield Reading("split", "weights and biases come apart", joined, mistakes)
    if all(block.shape == shape[::-1] for block, shape in zip(blocks, inner, strict=True)):
        joined = [np.column_stack((c, block.T)) for c, block in zip(columns, blocks, strict=True)]
        yield Reading(
            "split+transposed",
            "weights and biases come apart, the weights transposed: a column for each unit",
            joined,
            mistakes,
        )


def _vectors(tree: np.ndarray[Any, Any], problem: Problem) -> Iterator[Reading]:
    """All entries in one vector."""
    shapes = problem.shapes
    total = sum(rows * columns for rows, columns in shapes)
    if tree.size != total or tree.ndim > 2 or (tree.ndim == 2 and 1 not in tree.shape):
        return
    vector = np.array(tree, dtype=np.float64).ravel()
    for order, says in (("C", "row by row"), ("F", "column by column")):
        unrolled = list(backprop.roll(vector, shapes, order=order))  # type: ignore[arg-type]
        yield Reading(f"unrolled-{order}", f"one vector, each matrix {says}", unrolled)
    yield Reading(
        "unrolled+bias-last",
        "one vector, of each unit first the weights, then the bias",
        [np.roll(rows, 1, axis=1) for rows in backprop.roll(vector, shapes)],
    )
    backwards = backprop.roll(vector, shapes[::-1])[::-1]
    yield Reading(
        "unrolled-output-first", "one vector, each matrix row by row, from the output", [*backwards]
    )
    for name, blocks in _ORDERS.items():
        for memory, how in (("C", "row by row"), ("F", "column by column")):
            yield Reading(
                f"unrolled-{name}-{memory}",
                f"one vector, {blocks.says}, the weights {how}",
                blocks.of(vector, shapes, memory),
            )


@dataclass(frozen=True)
class _Order:
    """In which order the weights and the biases of the layers stand in one vector."""

    says: str
    blocks: Callable[[int], list[tuple[int, bool]]]
    """The index of the layer, and whether it is its biases, of block after block of n layers."""

    def of(self, vector: Array, shapes: list[tuple[int, int]], memory: str) -> list[Array]:
        """Read *vector* in this order."""
        joined, start = [np.zeros(shape) for shape in shapes], 0
        for layer, biases in self.blocks(len(shapes)):
            units, columns = shapes[layer]
            size = units if biases else units * (columns - 1)
            block = vector[start : start + size]
            start += size
            if biases:
                joined[layer][:, 0] = block
            else:
                turned = block.reshape(units, columns - 1, order=memory)  # type: ignore[call-overload]
                joined[layer][:, 1:] = turned
        return joined


_ORDERS = MappingProxyType(
    {
        "split": _Order(
            "of each layer first the weights, then the biases",
            lambda n: [(i, biases) for i in range(n) for biases in (False, True)],
        ),
        "split-bias-first": _Order(
            "of each layer first the biases, then the weights",
            lambda n: [(i, biases) for i in range(n) for biases in (True, False)],
        ),
        "weights-then-biases": _Order(
            "all weights, then all biases",
            lambda n: [(i, biases) for biases in (False, True) for i in range(n)],
        ),
        "biases-then-weights": _Order(
            "all biases, then all weights",
            lambda n: [(i, biases) for biases in (True, False) for i in range(n)],
        ),
        "split-output-first": _Order(
            "from the output, of each layer first the weights, then the biases",
            lambda n: [(i, biases) for i in reversed(range(n)) for biases in (False, True)],
        ),
    }
)
"""The orders other than that of the Thetas' rows, by name."""


def misfit(tree: Tree, problem: Problem) -> tuple[str, int | None]:
    """Say what is wrong with the shape of *tree*, and in which layer if it can be said."""
    expected = ", ".join(map(str, problem.shapes))
    given = f"It has shape {shape_of(tree)}; expected one array per layer, [{expected}]"
    if isinstance(tree, np.ndarray) or len(tree) != len(problem.thetas):
        count = len(tree) if isinstance(tree, list) else 1
        return f"{given}: {count} array{'s' * (count != 1)} for {len(problem.thetas)} Thetas.", None
    for layer in reversed(range(len(tree))):
        item, (units, columns) = tree[layer], problem.shapes[layer]
        if isinstance(item, list) or item.shape in ((units, columns), (columns, units)):
            continue
        where = f"{given}. That of Theta^({layer + 1})"
        if item.shape == (units + 1, columns):
            return f"{where} has a row too many: the delta of the bias unit was kept.", layer
        if item.shape == (units, columns - 1):
            return f"{where} has no column for the biases.", layer
        if item.shape == (units, columns + 1):
            return f"{where} has a column too many: the bias unit was added twice.", layer
        return f"{where} does not fit.", layer
    return f"{given}.", None
