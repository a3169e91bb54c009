"""The functions of ``floats`` on NumPy arrays, where NumPy has no such function."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np


def equal(a: Any, b: Any) -> Any:
    return (a == b).astype(float)


def less(a: Any, b: Any) -> Any:
    return (a < b).astype(float)


def less_equal(a: Any, b: Any) -> Any:
    return (a <= b).astype(float)


def whole_quotient(a: Any, b: Any) -> Any:
    return np.round((a - np.remainder(a, b)) / b)


def sigmoid(z: Any, out: Any = None) -> Any:
    if np.minimum.reduce(z, axis=None, initial=0.0) > -708.0:
        e = np.exp(np.negative(z, out=out), out=out)
        e += 1.0
        return np.divide(1.0, e, out=out)
    e = np.exp(-np.abs(z))  # does not overflow
    return np.divide(np.where(z >= 0.0, 1.0, e), 1.0 + e, out=out)


def softplus(z: Any) -> Any:
    return np.logaddexp(0.0, z)


def logsigmoid(z: Any) -> Any:
    return -np.logaddexp(0.0, -z)


def leaky_relu(x: Any, slope: Any) -> Any:
    return np.where(x > 0.0, x, slope * x)


def damped(x: Any, factor: Any) -> Any:
    # A factor of zero wins, even over an infinite x.
    return np.where(factor == 0.0, 0.0, x * factor)


def silu(z: Any) -> Any:
    return damped(z, sigmoid(z))


def normal_cdf(x: Any) -> Any:
    return np.vectorize(lambda t: 0.5 * math.erfc(-t * math.sqrt(0.5)), otypes=[float])(x)


def normal_pdf(x: Any) -> Any:
    return math.sqrt(0.5 / math.pi) * np.exp(-0.5 * x * x)


def gelu(x: Any) -> Any:
    return damped(x, normal_cdf(x))


def one_less_square(x: Any) -> Any:
    return (1.0 - x) * (1.0 + x)


def inverse_hypotenuse(x: Any) -> Any:
    return 1.0 / np.where(np.abs(x) < 1e10, np.sqrt(1.0 + x * x), np.abs(x))


def lorentzian(x: Any) -> Any:
    near = np.abs(x) < 1e10
    return 1.0 / np.where(near, 1.0 + x * x, x) / np.where(near, 1.0, x)


def inversion(a: Any, b: Any) -> Any:
    first = np.abs(a) >= np.abs(b)
    large, small = np.where(first, a, b), np.where(first, b, a)
    ratio = small / large
    found = np.where(first, 1.0, ratio) / (large + small * ratio)
    return np.where((np.isinf(a) | np.isinf(b)) & (a == a) & (b == b), 0.0, found)


def gaussian(x: Any) -> Any:
    inside = np.clip(x, -28.0, 28.0)  # e**-784 is 0
    shifted = 134217729.0 * inside
    head = shifted - (shifted - inside)  # the first 26 bits, so that the square is exact
    return np.exp(-head * head) * np.exp((head - inside) * (head + inside))


def erf(x: Any) -> Any:
    return np.vectorize(math.erf, otypes=[float])(x)


def erfc(x: Any) -> Any:
    return np.vectorize(math.erfc, otypes=[float])(x)


def relu(x: Any) -> Any:
    return np.maximum(x, 0.0) + 0.0


def step(x: Any) -> Any:
    return np.heaviside(x, 0.0)


def total(*xs: Any) -> Any:
    return functools.reduce(np.add, xs)


def maximum(*xs: Any) -> Any:
    return functools.reduce(np.maximum, xs)


def minimum(*xs: Any) -> Any:
    return functools.reduce(np.minimum, xs)


def dot(*args: Any) -> Any:
    n = len(args) // 2
    return functools.reduce(np.add, map(np.multiply, args[:n], args[n:-1]), args[-1])


def logsumexp(*xs: Any) -> Any:
    return functools.reduce(np.logaddexp, xs)


def softmax_entry(k: Any, *xs: Any) -> Any:
    top = np.maximum.reduce(np.broadcast_arrays(*xs))
    one = np.where(top > -np.inf, 1.0, np.nan)
    weights = [np.where(x == top, one, np.exp(x - top)) for x in xs]
    return weights[int(k)] / sum(weights)


def logistic_loss(z: Any, y: Any) -> Any:
    # No term is a difference; a weight of 0 wins over an infinite z
    weight = np.where(z >= 0.0, 1.0 - y, -y)
    return np.log1p(np.exp(-np.abs(z))) + np.where(weight == 0.0, 0.0, weight * z)


def sigmoid_minus(z: Any, y: Any, out: Any = None) -> Any:
    # sigmoid(z) - y, with all its digits also where both are almost 1
    if np.minimum.reduce(z, axis=None, initial=0.0) > -708.0:
        e = np.exp(np.negative(z, out=out), out=out)
        return np.divide((1.0 - y) - y * e, 1.0 + e, out=out)
    e = np.exp(-np.abs(z))  # does not overflow
    above, below = np.where(z >= 0.0, 1.0, e), np.where(z >= 0.0, e, 1.0)
    return np.divide((1.0 - y) * above - y * below, 1.0 + e, out=out)


def surprisals(z: Any) -> Any:
    # -log(softmax(z)) along the last axis, with all digits however sure it is
    top = np.maximum.reduce(z, axis=-1, keepdims=True)
    below = np.asarray(top - z)
    if not np.isfinite(top).all():  # an infinite logit takes all; where all are -inf, none is right
        np.copyto(below, np.where(top > -np.inf, 0.0, np.nan), where=z == top)
    first = below == 0.0
    rest = np.add.reduce(np.where(first, 0.0, np.exp(-below)), axis=-1, keepdims=True)
    return below + np.log1p(rest + (np.add.reduce(first, axis=-1, keepdims=True) - 1.0))


def cross_entropy(z: Any, y: Any) -> Any:
    # -sum(y * log(softmax(z))); a target of 0 wins over an infinite surprise
    s = surprisals(z)
    terms = y * s
    if np.isinf(s).any():
        terms = np.where(y == 0.0, 0.0, terms)
    return np.add.reduce(terms, axis=-1, keepdims=True)


def softmax_minus(z: Any, y: Any, out: Any = None) -> Any:
    # softmax(z) - y, with all its digits also where both are almost 1
    top = np.maximum.reduce(z, axis=-1, keepdims=True)
    p = np.exp(np.subtract(z, top, out=out), out=out)
    if not np.isfinite(top).all():  # an infinite logit takes all; where all are -inf, none is right
        np.copyto(p, np.where(top > -np.inf, 1.0, np.nan), where=z == top)
    p = np.divide(p, np.add.reduce(p, axis=-1, keepdims=True), out=out)
    total = np.add.reduce(y, axis=-1, keepdims=True)
    sure, exact = p > 0.9, 0.0
    if sure.any():
        rest = np.add.reduce(np.where(sure, 0.0, p), axis=-1, keepdims=True)
        exact = (total - y) * p - y * rest
    if not (total == 1.0).all():
        p = np.multiply(p, total, out=out)
    difference = np.subtract(p, y, out=out)
    np.copyto(difference, exact, where=sure)
    return difference


def softmax_rest(k: Any, *xs: Any) -> Any:
    others = [softmax_entry(i, *xs) for i in range(len(xs)) if i != int(k)]
    return total(np.zeros(np.broadcast_shapes(*map(np.shape, xs))), *others)


def cross_entropy_entry(k: Any, *zs: Any) -> Any:
    s = surprisals(np.stack(np.broadcast_arrays(*zs), axis=-1))
    k = np.broadcast_to(k, s.shape[:-1])[..., np.newaxis]
    is_class = (k >= 0) & (k < len(zs)) & (k % 1 == 0)
    chosen = np.take_along_axis(s, np.where(is_class, k, 0).astype(int), axis=-1)
    return np.where(is_class, chosen, np.nan)[..., 0]


def soft_cross_entropy(*args: Any) -> Any:
    args = np.broadcast_arrays(*args)
    y, z = (np.stack(half, axis=-1) for half in (args[: len(args) // 2], args[len(args) // 2 :]))
    return cross_entropy(z, y)[..., 0]
