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


def sigmoid(z: Any, out: Any = None) -> Any:
    if np.minimum.reduce(z, axis=None, initial=0.0) > -708.0:
        e = np.exp(np.negative(z, out=out), out=out)
        e += 1.0
        return np.divide(1.0, e, out=e)
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
