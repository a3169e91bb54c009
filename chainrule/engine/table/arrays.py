"""The functions of ``floats`` on NumPy arrays, where NumPy has no such function."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np


def sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0, e) / (1.0 + e)


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
    top = maximum(*xs)
    weights = [np.where(x == top, 1.0, np.exp(x - top)) for x in xs]
    return np.where(top == -np.inf, np.nan, weights[int(k)] / total(*weights))
