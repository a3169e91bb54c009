"""Array forms of what is not one row of the table: softmax along an axis, selection by an index.

They need NumPy alone, so that the printer can copy them into a source, and are what the machine in
NumPy calls.  With *out* they write there, but not into an operand.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def sigmoid_pair(z: Any, out: Any = (None, None)) -> Any:
    # a = sigmoid(z) and 1 - a, both with all their digits
    a, rest = out
    if np.minimum.reduce(z, axis=None, initial=0.0) > -708.0:
        e = np.exp(np.negative(z, out=rest), out=rest)
        a = np.divide(1.0, np.add(1.0, e, out=a), out=a)
        return a, np.multiply(a, e, out=e)
    e = np.exp(-np.abs(z))  # does not overflow
    a = np.divide(np.where(z >= 0.0, 1.0, e), 1.0 + e, out=a)
    return a, np.divide(np.where(z >= 0.0, e, 1.0), 1.0 + e, out=rest)


def one_minus(a: Any, z: Any, out: Any = None) -> Any:
    # 1 - a for a = sigmoid(z), with all its digits also where a is almost 1; out may be a or z
    if np.maximum.reduce(a, axis=None, initial=0.0) <= 0.99:  # not if there is a nan
        return np.subtract(1.0, a, out=out)
    sure = a > 0.99
    exact = a[sure] * np.exp(-z[sure])
    rest = np.subtract(1.0, a, out=out)
    rest[sure] = exact
    return rest


def one_minus_square(a: Any, z: Any, out: Any = None) -> Any:
    # 1 - a**2 for a = tanh(z), with all its digits also where a is almost 1 or -1
    rest = np.subtract(1.0, np.square(a, out=out), out=out)
    if np.minimum.reduce(rest, axis=None, initial=1.0) >= 0.001:
        return rest
    e = np.exp(-2.0 * np.abs(z))
    return np.positive(np.where(rest < 0.001, 4.0 * e / np.square(1.0 + e), rest), out=out)


def rows_of(index: Any, count: Any) -> Any:
    rows = index.astype(int)
    if (rows != index).any() or (rows < 0).any() or (rows >= count).any():
        raise IndexError(f"take: expected whole numbers from 0 to {count - 1}")
    return rows


def pick(index: Any, table: Any) -> Any:
    return table[rows_of(index, len(table))]


def spread(index: Any, delta: Any, count: Any) -> Any:
    # The transpose of pick.
    total = np.zeros((count, delta.shape[-1]))
    np.add.at(total, rows_of(index, count).ravel(), delta.reshape(-1, delta.shape[-1]))
    return total


def power(x: Any, p: Any) -> Any:
    # Where p is 0.5, NumPy may take the square root: nan at -inf, -0.0 at -0.0.
    half = p == 0.5
    return np.where(half, root(x), np.power(x, p)) if half.any() else np.power(x, p)


def root(x: Any) -> Any:
    # x ** 0.5, which NumPy takes for sqrt(x): that is nan at -inf
    return np.where(x == -np.inf, np.inf, np.sqrt(x + 0.0))


# Of the last axis; or of its stretches, given where they start and which one each element is in:


def reduced(ufunc: Any, x: Any, starts: Any) -> Any:
    if starts is None:
        return ufunc.reduce(x, axis=-1, keepdims=True)
    return ufunc.reduceat(x, starts, axis=-1)


def repeated(x: Any, owner: Any) -> Any:
    return x if owner is None else x[..., owner]


def softmax(z: Any, starts: Any = None, owner: Any = None, out: Any = None) -> Any:
    top = repeated(reduced(np.maximum, z, starts), owner)
    e = np.subtract(z, top, out=out)
    e = np.exp(e, out=e)
    if not np.isfinite(top).all():  # an infinite logit takes all; where all are -inf, none is right
        np.copyto(e, np.where(top > -np.inf, 1.0, np.nan), where=z == top)
    return np.divide(e, repeated(reduced(np.add, e, starts), owner), out=e)


def logsumexp(z: Any, starts: Any = None, owner: Any = None) -> Any:
    top = reduced(np.maximum, z, starts)
    tops = repeated(top, owner)
    ties = reduced(np.add, (z == tops).astype(float), starts)
    rest = reduced(np.add, np.where(z == tops, 0.0, np.exp(z - tops)), starts)
    return np.where(np.isfinite(top), top + np.log1p(rest + (ties - 1.0)), top)


def logsumexp_slopes(z: Any, starts: Any = None, owner: Any = None, out: Any = None) -> Any:
    # The softmax, but nothing responds where all is -inf.
    p = softmax(z, starts, owner, out)
    np.copyto(p, 0.0, where=repeated(reduced(np.maximum, z, starts), owner) == -np.inf)
    return p


def sum_of_others(x: Any, starts: Any) -> Any:
    # of the same row or stretch, added up from both of its ends
    begins = [0] if starts is None else list(starts)
    ends = [*begins[1:], x.shape[-1]]
    found = np.zeros(x.shape)
    for start, end in zip(begins, ends, strict=True):
        before = np.add.accumulate(x[..., start : end - 1], axis=-1)
        after = np.add.accumulate(x[..., end - 1 : start : -1], axis=-1)
        found[..., start + 1 : end] = before
        found[..., start : end - 1] += after[..., ::-1]
    return found


def softmax_pullback(p: Any, g: Any, starts: Any = None, owner: Any = None, out: Any = None) -> Any:
    def total(x: Any) -> Any:
        return repeated(reduced(np.add, x, starts), owner)

    gp = np.multiply(g, p, out=out)
    sums, sure = total(gp), p > 0.5
    others = total(np.where(sure, 0.0, p))  # of the shares beside a large one
    careful = ((p > 0.999) & (others > 0.0)) | ~np.isfinite(sums)
    if not careful.any():
        rest = np.subtract(g, sums, out=gp)
        return np.multiply(p, rest, out=rest)
    # Without subtracting from a p near 1, or inf from inf: p_j (g_j (1 - p_j) - sum of the other
    # g_k p_k) in those rows.
    careful = repeated(reduced(np.logical_or, careful, starts), owner)
    own = g * np.where(sure, others, 1.0 - p)
    rest = np.where(careful, own - sum_of_others(gp, starts), g - sums)
    return np.multiply(p, rest, out=gp)


def linked_product(a: Any, b: Any, mask: Any, out: Any = None) -> Any:
    # a @ b; where the mask of a is 0 there is no term, even if b is infinite or nan there
    product = np.matmul(a, b, out=out)
    if not np.isfinite(product).all():
        mask = np.broadcast_to(mask, a.shape)
        total = np.zeros(product.shape)
        for j in range(a.shape[-1]):
            term = a[..., :, j, None] * b[..., j, None, :]
            total += np.where(mask[..., :, j, None], term, 0.0)
        product[...] = total
    return product


def one_hot(which: Any, count: Any) -> Any:
    return (which == np.arange(count)).astype(float)


def view(x: Any, offset: Any, shape: Any, strides: Any, batched: Any) -> Any:
    items = x.reshape(len(x), math.prod(x.shape[1:])) if batched else x.reshape(-1)
    step = items.strides[-1]
    lead = (len(x),) if batched else ()
    return np.lib.stride_tricks.as_strided(
        items[..., offset:], (*lead, *shape), (*items.strides[:-1], *(s * step for s in strides))
    )
