r"""The activations g and their derivatives g', the only place where a layer is not linear.

Notes C8: the formulas of backpropagation do not change when tanh or ReLU takes the sigmoid's place;
only the function g and the factor g'(z) do, and both are here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .arguments import Array, chosen, real_array

ACTIVATIONS = ("sigmoid", "tanh", "relu", "linear", "leaky_relu")
"""The elementwise activations: any layer may have one."""
LEAK = 0.01
"""The slope of ``"leaky_relu"`` below 0."""


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
    above 0, else z/100, and ``"linear"`` is z itself. ``"softmax"``, e^(z_k) / sum_j e^(z_j) over
    the last axis of a matrix, is an output activation only: it is not elementwise. None of them
    overflows, and nan gives nan. An unknown name raises ``ValueError``.

    >>> activate("sigmoid", [-1000.0, 0.0, 1000.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    chosen("activation", name, (*ACTIVATIONS, "softmax"))
    values = real_array("z", z)
    if name == "sigmoid":
        return sigmoid(values)
    if name == "tanh":
        return np.tanh(values)
    if name == "relu":
        return np.where(values <= 0, 0.0, values)
    if name == "leaky_relu":
        return np.where(values <= 0, LEAK * values, values)
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
    leaky_relu 1 above 0, else 0.01, at the kink as well
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
    chosen("activation", name, ACTIVATIONS)
    values = real_array("z", z)
    if name == "sigmoid":
        return sigmoid_product(values)
    if name == "tanh":
        return 4.0 * sigmoid_product(2.0 * values)
    if name == "relu":
        return np.where(np.isnan(values), values, values > 0)
    if name == "leaky_relu":
        return np.where(np.isnan(values), values, np.where(values > 0, 1.0, LEAK))
    return np.ones_like(values)
