r"""The losses: what one example costs, and the output delta it all starts from.

Rows are examples throughout this module. Both functions read z^(L), the output layer *before* its
activation: from there the logistic loss and the cross-entropy are exact at logits of +-1000, where
log(a) is already log(0).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .activations import activate, derivative, sigmoid, softmax_parts
from .arguments import Array, matrix
from .cost import Cost


def _check_targets(Y: Array, cost: Cost) -> None:
    """Refuse targets for which the two logarithmic losses have no meaning."""
    if not cost.from_logits:
        return
    outside = np.argwhere(~((Y >= 0) & (Y <= 1)))
    if outside.size:
        row, column = outside[0].tolist()
        raise ValueError(
            f"the target of example {row}, output {column}, is {Y[row, column]}: "
            f"the {cost.loss} loss expects targets in [0, 1]; "
            "class labels become targets with one_hot(labels, K)"
        )
    if cost.loss == "cross_entropy":
        totals = Y.sum(axis=1)
        uneven = np.flatnonzero(np.abs(totals - 1) > 1e-6)  # float32 probabilities must pass
        if uneven.size:
            raise ValueError(
                f"the targets of example {uneven[0]} sum to {totals[uneven[0]]:.6g}: "
                "the cross_entropy loss expects probabilities that sum to 1 over the outputs"
            )


def _outputs_and_targets(
    z: ArrayLike, Y: ArrayLike, loss: str, output_activation: str | None
) -> tuple[Array, Array, str]:
    cost = Cost(loss=loss, output_activation=output_activation)
    logits, targets = matrix("z", z), matrix("Y", Y)
    if logits.shape != targets.shape:
        raise ValueError(f"Y has shape {targets.shape}: expected the shape of z, {logits.shape}")
    _check_targets(targets, cost)
    return logits, targets, cost.output


def _weighted(weight: Array, term: Array) -> Array:
    # A target of 0 takes no part in the cost, even where the term it multiplies is infinite.
    return np.where(weight == 0, 0.0, weight * term)


@np.errstate(all="ignore")
def example_costs(
    z: ArrayLike, Y: ArrayLike, *, loss: str = "logistic", output_activation: str | None = None
) -> Array:
    r"""Return cost(t) of each example, shape (m,), from the output layer's z of shape (m, K).

    ================== ==========================================================================
    logistic           -sum_k [y_k log a_k + (1 - y_k) log(1 - a_k)], a = sigmoid(z)     (A2, B7)
    cross_entropy      -sum_k y_k log a_k, a = softmax(z)
    half_squared_error 1/2 sum_k (y_k - a_k)^2, a = g(z)                                 (B1, B3)
    squared_error      sum_k (a_k - y_k)^2, a = g(z)                                     (C1, C5)
    ================== ==========================================================================

    A2 is printed without its minus sign and without the brackets. With the sign as printed delta
    would be y - a, and gradient descent would climb.

    >>> example_costs([[1000.0], [-1000.0]], [[0], [0]]).tolist()
    [1000.0, 0.0]

    Logistic targets outside [0, 1], cross-entropy targets that are not probabilities, unequal
    shapes and unknown names raise ``ValueError``.
    """
    logits, y, output = _outputs_and_targets(z, Y, loss, output_activation)
    if loss == "logistic":
        # -log(sigmoid(z)) is softplus(-z); each half keeps its digits in its own tail.
        wrong_if_one, wrong_if_zero = np.logaddexp(0.0, -logits), np.logaddexp(0.0, logits)
        terms = _weighted(y, wrong_if_one) + _weighted(1 - y, wrong_if_zero)
    elif loss == "cross_entropy":
        terms = _weighted(y, softmax_parts(logits)[2])
    else:
        scale = 0.5 if loss == "half_squared_error" else 1.0
        terms = scale * (activate(output, logits) - y) ** 2
    costs: Array = terms.sum(axis=1)
    return costs


@np.errstate(all="ignore")
def delta_output(
    z: ArrayLike, Y: ArrayLike, *, loss: str = "logistic", output_activation: str | None = None
) -> Array:
    r"""Return delta^(L) = d cost(t) / d z^(L) (A3), a row per example, shape (m, K).

    ================== ==========================================================================
    logistic           a - y, a = sigmoid(z)                                            (A6, B8)
    cross_entropy      a - y, a = softmax(z)
    half_squared_error -(y - a) g'(z), for the sigmoid -(y - a) a(1 - a)                 (B1, B4)
    squared_error      2 (a - y) g'(z)                                                   (C1, C7)
    ================== ==========================================================================

    That so little is left of the logistic loss is B11: dJ/da = (y - 1)/(a - 1) - y/a and
    da/dz = a(1 - a), whose product is a - y. B4 is twice printed without its minus sign:
    delta is -(y - a) g'(z).

    >>> delta_output([[0.0, 2.0]], [[1, 0]]).round(6).tolist()
    [[-0.5, 0.880797]]

    Errors are those of ``example_costs``. For the first two losses a - y is computed as
    (1 - y) a - y (1 - a): the same number, but still exact where a rounds to 1.
    """
    logits, y, output = _outputs_and_targets(z, Y, loss, output_activation)
    if loss == "logistic":
        return (1 - y) * sigmoid(logits) - y * sigmoid(-logits)
    if loss == "cross_entropy":
        p, rest, _ = softmax_parts(logits)
        other_targets: Array = y.sum(axis=1, keepdims=True) - y
        return other_targets * p - y * rest
    residual = activate(output, logits) - y
    scale = 1.0 if loss == "half_squared_error" else 2.0
    return scale * residual * derivative(output, logits)
