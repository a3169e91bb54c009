"""What array libraries spell differently, as one word each: here in NumPy.

The careful forms and the printed programs are written in these words, and otherwise in what all
libraries have: operators, slices, and the functions of the array API standard, by the name ``xp``.
:mod:`.spelling` has the words of the other libraries.  No word writes into an argument.
"""

from __future__ import annotations

from typing import Any

import numpy as xp

dtype: Any = xp.float64


def full(shape: Any, x: Any) -> Any:
    return xp.full(shape, x, dtype=dtype)


def constant(numbers: Any) -> Any:
    return xp.asarray(numbers, dtype=dtype)


def indices(numbers: Any) -> Any:
    return xp.asarray(numbers, dtype=xp.int64)


def counting(n: Any) -> Any:
    return xp.arange(n, dtype=dtype)


def number(condition: Any) -> Any:
    # 1.0 where it holds, else 0.0
    return condition.astype(dtype)


def whole(x: Any) -> Any:
    return x.astype(xp.int64)


def concat(parts: Any, axis: Any) -> Any:
    return xp.concatenate(parts, axis=axis)


def take(x: Any, index: Any, axis: Any = -1) -> Any:
    return xp.take(x, index, axis=axis)


def total(x: Any, axis: Any, keep: Any = False) -> Any:
    return xp.sum(x, axis=axis, keepdims=keep)


def largest(x: Any) -> Any:
    return xp.max(x, axis=-1, keepdims=True)


def smallest(x: Any) -> Any:
    return xp.min(x, axis=-1, keepdims=True)


def cumulative(x: Any) -> Any:
    return xp.cumsum(x, axis=-1)


def turned(x: Any, axis: Any = -1) -> Any:
    return xp.flip(x, axis=axis)


def transposed(x: Any) -> Any:
    return xp.swapaxes(x, -1, -2)


def permuted(x: Any, order: Any) -> Any:
    return xp.transpose(x, order)


def together(xs: Any) -> Any:
    # all of one shape
    return xp.broadcast_arrays(*xs)


def segment_sum(x: Any, owner: Any, padded: Any) -> Any:
    # of stretches of the last axis; row i of padded has the places of stretch i, then that of a 0
    ended = concat([x, full((*x.shape[:-1], 1), 0.0)], -1)
    some = xp.reshape(take(ended, xp.reshape(padded, (-1,))), (*x.shape[:-1], *padded.shape))
    return total(some, -1)


def spread(rows: Any, delta: Any, count: Any) -> Any:
    # each row of delta added to that row of a table of so many; a row that is none adds nothing
    chosen = xp.expand_dims(rows, axis=-1) == xp.arange(count)
    one = xp.expand_dims(delta, axis=-2)
    return total(xp.where(xp.expand_dims(chosen, axis=-1), one, 0.0), 0)


def scan(step: Any, carry: Any, xs: Any, length: Any) -> Any:
    # all rounds of a loop: the last carry, and what went out of each round
    outs = []
    for k in range(length):
        carry, out = step(carry, tuple([x[k, ...] for x in xs]))
        outs.append(out)
    return carry, tuple([xp.stack(some) for some in zip(*outs, strict=True)])
