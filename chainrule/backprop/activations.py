r"""The activations g and their derivatives g', the only place where a layer is not linear.

Notes C8: the formulas of backpropagation do not change when tanh or ReLU takes the sigmoid's place;
only the function g and the factor g'(z) do, and both are here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from .arguments import Array, chosen, real_array

ACTIVATIONS = (
    "sigmoid", "tanh", "relu", "linear", "leaky_relu", "elu", "softplus", "silu",
)  # fmt: skip
"""The elementwise activations: any layer may have one."""
NUMBERS = {"leaky_relu": 0.01, "elu": 1.0}
"""Those that have a number, and what it is if none is stated: ``"leaky_relu(0.2)"`` states one."""
_STATED = re.compile(r"(\w+)\((\d*\.?\d+(?:e-?\d+)?)\)")


def checked_name(name: str, value: object, options: Iterable[str]) -> str:
    """Return *value* if it is one of *options*, or one of ``NUMBERS`` with a number behind it."""
    stated = _STATED.fullmatch(value) if isinstance(value, str) else None
    options = list(options)
    if isinstance(value, str) and stated and stated[1] in NUMBERS and stated[1] in options:
        return value
    return chosen(name, value, options)


def _parts(value: str) -> tuple[str, float]:
    """Return the name alone, and its number."""
    stated = _STATED.fullmatch(value)
    return (stated[1], float(stated[2])) if stated else (value, NUMBERS.get(value, 0.0))


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + e^-z)."""
    # exp of -|z| never overflows, and keeps every digit of the small values on the left.
    decay = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, decay) / (1.0 + decay)


def sigmoid_product(z: Array) -> Array:
    """Return a(1 - a), a = sigmoid(z), without the subtraction: once a rounds to 1 that gives 0."""
    return sigmoid(z) * sigmoid(-z)


def softmax_parts(z: Array) -> tuple[Array, Array, Array]:
    """Return p = softmax(z) of each row, 1 - p and -log p, none of them by cancellation.

    Only the largest p of a row can come near 1. Its 1 - p and -log p are therefore built from the
    sum of the *other* exponentials, which keeps their digits however sure the network is.
    """
    top = np.arange(z.shape[1]) == z.argmax(axis=1)[:, np.newaxis]
    below_top = z.max(axis=1, keepdims=True) - z
    exponentials = np.exp(-below_top)
    others = np.where(top, 0.0, exponentials).sum(axis=1, keepdims=True)
    p = exponentials / (1.0 + others)
    return p, np.where(top, others / (1.0 + others), 1.0 - p), below_top + np.log1p(others)


@np.errstate(all="ignore")
def activate(name: str, z: ArrayLike) -> Array:
    r"""Return a = g(z), elementwise.

    ``"sigmoid"`` is 1 / (1 + e^-z), ``"tanh"``, ``"relu"`` is max(z, 0), ``"leaky_relu"`` is z
    above 0, else z/100, ``"elu"`` is z above 0, else e^z - 1, ``"softplus"`` is log(1 + e^z),
    ``"silu"`` is z sigmoid(z), and ``"linear"`` is z itself. ``"leaky_relu(0.2)"`` has another
    slope, ``"elu(0.5)"`` another factor of e^z - 1. ``"softmax"``, e^(z_k) / sum_j e^(z_j) over
    the last axis of a matrix, is an output activation only: it is not elementwise. None of them
    overflows, and nan gives nan. An unknown name raises ``ValueError``.

    >>> activate("sigmoid", [-1000.0, 0.0, 1000.0]).tolist()
    [0.0, 0.5, 1.0]
    >>> activate("leaky_relu(0.2)", [-1.0, 1.0]).tolist()
    [-0.2, 1.0]
    """
    checked_name("activation", name, (*ACTIVATIONS, "softmax"))
    name, number = _parts(name)
    values = real_array("z", z)
    if name == "sigmoid":
        return sigmoid(values)
    if name == "tanh":
        return np.tanh(values)
    if name == "relu":
        return np.where(values <= 0, 0.0, values)
    if name == "leaky_relu":
        return np.where(values <= 0, number * values, values)
    if name == "elu":
        return np.where(values <= 0, number * np.expm1(values), values)
    if name == "softplus":
        return np.logaddexp(0.0, values)
    if name == "silu":
        return np.where(values == -np.inf, 0.0, values * sigmoid(values))
    if name == "linear":
        return values
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"z has shape {values.shape}: softmax expects a matrix, a row per example")
    return softmax_parts(values)[0]


@np.errstate(all="ignore")
def derivative(name: str, z: ArrayLike) -> Array:
    r"""Return g'(z), elementwise, to full relative accuracy in both tails.

    ========== ===========================================================================
    sigmoid    e^-z / (1 + e^-z)^2 = a (1 - a), notes B2, computed as g(z) g(-z)
    tanh       1 - a^2, computed as 4 s(2z) s(-2z) with s the sigmoid
    relu       1 above 0, else 0; the value 0 at the kink is the subgradient of least norm
    leaky_relu 1 above 0, else 0.01 or the slope stated, at the kink as well
    elu        1 above 0, else e^z, times the number stated
    softplus   sigmoid(z)
    silu       s(z) (1 + z s(-z)) with s the sigmoid
    linear     1
    ========== ===========================================================================

    >>> derivative("sigmoid", [-1.0, -0.5, 0.0, 0.5, 1.0]).round(6).tolist()
    [0.196612, 0.235004, 0.25, 0.235004, 0.196612]
    >>> derivative("sigmoid", [40.0]).tolist()           # a (1 - a) would give 0
    [4.248354255291589e-18]

    It is a function of z, not of a: from a rounded to 1 the derivative can no longer be had. An
    unknown name raises ``ValueError``, and so does ``"softmax"``, whose derivative is not
    elementwise.
    """
    checked_name("activation", name, ACTIVATIONS)
    name, number = _parts(name)
    values = real_array("z", z)
    if name == "sigmoid":
        return sigmoid_product(values)
    if name == "tanh":
        return 4.0 * sigmoid_product(2.0 * values)
    if name == "relu":
        return np.where(np.isnan(values), values, values > 0)
    if name == "leaky_relu":
        return np.where(np.isnan(values), values, np.where(values > 0, 1.0, number))
    if name == "elu":
        return np.where(values > 0, 1.0, number * np.exp(values))
    if name == "softplus":
        return sigmoid(values)
    if name == "silu":
        back = np.where(np.isinf(values), 0.0, values * sigmoid(-values))
        return sigmoid(values) * (1.0 + back)
    return np.ones_like(values)
