"""Thetas in the form in which a program has its weights, and gradients in that form as Thetas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .manner import Manner

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Block:
    """What a program has for one Theta: a matrix, and biases if they are apart."""

    W: Array
    b: Array | None = None


def blocks(thetas: Sequence[Array], manner: Manner) -> list[Block]:
    """Return each Theta, (s_next, 1 + s) with the bias in column 0, as *manner* has it."""
    return [_block(theta, manner) for theta in thetas]


def _block(theta: Array, manner: Manner) -> Block:
    weights, bias = theta[:, 1:], theta[:, :1]
    b = None
    if manner.bias == "number":  # one unit: its weights are a vector
        return Block(weights[0].copy(), np.array(bias[0, 0]))
    if manner.bias == "first":
        weights = theta
    elif manner.bias == "last":
        weights = np.hstack([weights, bias])
    elif manner.bias != "none":
        b = {"flat": bias.ravel(), "column": bias, "row": bias.T}[manner.bias].copy()
    return Block(np.array(weights.T if manner.turned else weights, order="C"), b)


def theta_of(block: Block, manner: Manner) -> Array:
    """Return what :func:`blocks` made a block of; without biases, column 0 is zero."""
    weights = block.W.T if manner.turned else block.W
    if manner.bias == "number":
        weights = weights[None]
    if manner.bias == "first":
        return np.array(weights)
    if manner.bias == "last":
        return np.roll(weights, 1, axis=1)
    bias = np.zeros(len(weights)) if block.b is None else np.ravel(block.b)
    return np.column_stack([bias, weights])


def packed(made: Sequence[Block], manner: Manner) -> Any:
    """Return the weights as one argument, in the container of *manner*."""
    if manner.container == "pairs":
        return [(one.W, one.b) for one in made]
    if manner.container == "alternating":
        return flat(made)
    if manner.container == "separate":  # a network of one layer, under one name
        return made[0].W
    if manner.container == "dict":
        return named(made, manner)
    if manner.container == "dicts":
        weight, bias, _ = manner.names.split(",")
        return [{weight: one.W} | ({} if one.b is None else {bias: one.b}) for one in made]
    if manner.container == "neurons":
        weight = manner.names.partition(",")[0]
        return [[{weight: row.copy()} for row in one.W] for one in made]
    if manner.container == "numbered":
        return numbered([one.W for one in made], manner)
    if manner.container in ("vector", "split-vector"):
        return np.concatenate([part.ravel(manner.order) for part in flat(made)])  # type: ignore[arg-type]
    return [one.W for one in made]


def numbered(arrays: Sequence[Any], manner: Manner) -> dict[int, Any]:
    """Return *arrays* by the number of the layer, from where *manner* begins to count."""
    return dict(enumerate(arrays, start=int(manner.names.rpartition(",")[2])))


def flat(made: Sequence[Block]) -> list[Array]:
    """Return W1, b1, W2, ..., or W1, W2, ... where no biases are apart."""
    return [part for one in made for part in ((one.W,) if one.b is None else (one.W, one.b))]


def named(made: Sequence[Block], manner: Manner) -> dict[str, Array]:
    """Return the blocks as a dictionary, named as *manner* says."""
    weight, bias, first = manner.names.split(",")
    given: dict[str, Array] = {}
    for number, one in enumerate(made, start=int(first)):
        given[f"{weight}{number}"] = one.W
        if one.b is not None:
            given[f"{bias}{number}"] = one.b
    return given


def shapes_of(thetas: Sequence[Array], manner: Manner) -> list[Block]:
    """Return blocks of the right shapes; their numbers mean nothing."""
    return blocks([np.zeros(theta.shape) for theta in thetas], manner)


def fits(arrays: Sequence[Array], like: Sequence[Block]) -> list[Block] | None:
    """Return *arrays*, W1, b1, W2, ..., as blocks, None if their shapes are not those of *like*.

    Biases may have any shape with as many entries.
    """
    left, found = list(arrays), []
    for one in like:
        count = 1 if one.b is None else 2
        if len(left) < count or left[0].shape != one.W.shape:
            return None
        if one.b is not None and not _is_bias(left[1], one.b.size):
            return None
        found.append(Block(left[0], None if one.b is None else left[1]))
        del left[:count]
    return None if left else found


def _is_bias(array: Array, size: int) -> bool:
    return array.size == size and (array.ndim < 2 or (array.ndim == 2 and 1 in array.shape))


def unpacked(vector: Array, like: Sequence[Block], manner: Manner) -> list[Block]:
    """Return the blocks that :func:`packed` made a vector of."""
    found, start = [], 0
    for one in like:
        parts = []
        for part in (one.W, one.b):
            if part is not None:
                content = vector[start : start + part.size]
                parts.append(content.reshape(part.shape, order=manner.order))  # type: ignore[call-overload]
                start += part.size
        found.append(Block(*parts))
    return found
