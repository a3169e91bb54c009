r"""Losses: what one example costs, as a node of the graph.

Each takes the outputs for one example, a single one or a sequence, and as many targets.  They are
sums over the outputs, as in the course notes; the mean over m examples is the caller's::

    loss = cr.mean([losses.logistic(model(x), y) for x, y in zip(X, Y)]) + losses.l2(model, lam, m)

``logistic`` and ``cross_entropy`` take *logits*: the network's output before the sigmoid or
softmax, which is what a "linear" output layer gives.  They stay exact, value and gradient, where
the probability has long rounded to 0 or 1.

Outputs may be numbers as well, and then the loss is a float.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np

from ..engine.backend import Value
from ..engine.primitives import as_float, dot_product, logsigmoid, logsumexp_of, relu, softplus
from ..engine.reductions import sum as sum_of
from . import checks
from .module import Module

__all__ = ["cross_entropy", "half_squared_error", "hinge", "l2", "logistic", "squared_error"]


def squared_error(outputs: Any, targets: Any) -> Any:
    """Return sum_j (a_j - y_j)^2 (notes C1, C5).

    >>> import chainrule as cr
    >>> a = cr.Value(3.0)
    >>> loss = squared_error(a, 1.0)
    >>> loss.backward()
    >>> loss.data, a.grad
    (4.0, 4.0)

    The derivative carries the factor 2; :func:`half_squared_error` does without it.  Different
    numbers of outputs and targets, and targets that are not finite, raise ValueError.
    """
    return _squared(*_pairs(outputs, targets, "squared_error"))


def half_squared_error(outputs: Any, targets: Any) -> Any:
    """Return 1/2 sum_j (y_j - a_j)^2 (notes B1, B3), whose derivative is just a_j - y_j.

    >>> round(half_squared_error([0.75136507, 0.772928465], [0.01, 0.99]), 9)
    0.298371109

    Errors are those of :func:`squared_error`.
    """
    return 0.5 * _squared(*_pairs(outputs, targets, "half_squared_error"))


def logistic(logits: Any, targets: Any) -> Any:
    """Return -sum_k [y_k log h_k + (1 - y_k) log(1 - h_k)], h = sigmoid(logits) (notes A2, B7).

    Targets are between 0 and 1, else ValueError.  The derivative with respect to logit k is
    h_k - y_k.

    >>> import chainrule as cr
    >>> z = cr.Value(1000.0)
    >>> loss = logistic(z, 0)
    >>> loss.backward()
    >>> loss.data, z.grad
    (1000.0, 1.0)

    It applies the sigmoid itself: the output layer of the network must not.
    """
    # log h = logsigmoid(z) and log(1 - h) = -softplus(z): neither is a difference, so both keep
    # their digits in the tail where they are tiny.
    logits, targets = _pairs(logits, targets, "logistic")
    weights, terms = [], []
    for k, (z, y) in enumerate(zip(logits, targets, strict=True)):
        if not 0.0 <= y <= 1.0:
            advice = "; for targets of -1 and 1 there is hinge" if y == -1.0 else ""
            raise ValueError(
                f"logistic: target {k} is {y}; expected a number between 0 and 1{advice}"
            )
        if y:  # a target of 0 takes no part, even where the term is infinite
            weights.append(-y)
            terms.append(logsigmoid(z))
        if y != 1.0:
            weights.append(1.0 - y)
            terms.append(softplus(z))
    return dot_product(*weights, *terms, 0.0)


def cross_entropy(logits: Any, target: Any) -> Any:
    """Return -sum_k y_k log p_k, p = softmax(logits): for a class index t, -log p_t.

    *target* is the index of the class, from 0, or a sequence y of probabilities that sum to 1.  The
    derivative with respect to logit k is p_k - y_k.

    >>> import chainrule as cr
    >>> z = [cr.Value(v) for v in (1000.0, 0.0, -1000.0)]
    >>> loss = cross_entropy(z, 2)
    >>> loss.backward()
    >>> loss.data, [v.grad for v in z]
    (2000.0, [1.0, 0.0, -1.0])

    ValueError if the index is out of range, or the probabilities are none.  It applies the softmax
    itself: the output layer of the network must not.
    """
    logits = _listed(logits, "cross_entropy", "logits")
    if len(logits) == 1:
        raise ValueError(
            "cross_entropy of one logit: the softmax of one is always 1; use logistic, which takes "
            "one logit for two classes"
        )
    y = _probabilities(target, len(logits))
    # With d_k = z_k - z_top the loss is sum(y) * log(sum_k exp d_k) - sum_k y_k d_k, in which no
    # term is negative: nothing cancels, however sure the network is.  Which logit is subtracted
    # does not matter to the loss, so the choice has no derivative.
    top = max(range(len(logits)), key=lambda k: _data(logits[k]))
    differences = [0.0 if k == top else z - logits[top] for k, z in enumerate(logits)]
    linked = [k for k in range(len(logits)) if k != top and y[k]]
    return dot_product(
        math.fsum(y),
        *(-y[k] for k in linked),
        logsumexp_of(*differences),
        *(differences[k] for k in linked),
        0.0,
    )


def hinge(scores: Any, targets: Any) -> Any:
    """Return sum_k max(0, 1 - y_k s_k) for targets y_k of -1 or 1, else ValueError.

    >>> hinge([0.5, -3.0], [1, -1])
    0.5

    Where a margin y s is exactly 1 the derivative is 0, as relu's is at 0.
    """
    scores, targets = _pairs(scores, targets, "hinge")
    for k, y in enumerate(targets):
        if abs(y) != 1.0:
            raise ValueError(f"hinge: target {k} is {y}; expected -1 or 1")
    return sum_of(relu(dot_product(-y, s, 1.0)) for s, y in zip(scores, targets, strict=True))


def l2(weights: Module | Iterable[Any], lam: float, m: int) -> Any:
    """Return the penalty lambda/(2m) * sum w^2 (notes A1), over *weights* or those of a module.

    A module's weights are all its parameters but the biases of its neurons.  *m* is the number of
    examples in the mean that the penalty is added to.

    >>> from chainrule.nn import MLP
    >>> model = MLP(2, [1])
    >>> model.thetas = [[[100.0, 3.0, 4.0]]]
    >>> l2(model, lam=2.0, m=5).data
    5.0

    ValueError if *lam* is negative or not finite, or *m* is below 1.  With ``lam=0`` it is the
    number 0.0.
    """
    strength, examples = checks.real("l2: lam", lam), checks.count("l2: m", m)
    if isinstance(weights, Module):
        arrays = weights.parameter_arrays()
        values: list[Any] = list(dict.fromkeys(w for array in arrays for w in array.weights))
    else:
        values = list(weights)
    if not values or strength == 0.0:
        return 0.0
    return strength / (2 * examples) * dot_product(*values, *values, 0.0)


def _squared(outputs: list[Any], targets: list[float]) -> Any:
    residuals = [a - y for a, y in zip(outputs, targets, strict=True)]
    return dot_product(*residuals, *residuals, 0.0)


def _data(x: Any) -> float:
    return x.data if isinstance(x, Value) else as_float(x, "loss")


def _listed(given: Any, name: str, what: str) -> list[Any]:
    if isinstance(given, np.ndarray):
        if given.ndim > 1:
            raise ValueError(
                f"{name}: the {what} have shape {given.shape}; expected those of one example, so "
                "take the loss row by row"
            )
        given = given.tolist()
    if isinstance(given, (str, bytes, Mapping, Set)):
        raise TypeError(f"{name}: the {what} are {given!r:.80}; expected a sequence of numbers")
    listed = list(given) if hasattr(given, "__iter__") else [given]
    if not listed:
        raise ValueError(f"{name}: no {what}; expected at least one")
    return listed


def _numbers(given: Any, name: str) -> list[float]:
    numbers = []
    for k, y in enumerate(_listed(given, name, "targets")):
        if isinstance(y, Value):
            raise TypeError(f"{name}: target {k} is a Value; expected a number, so take its .data")
        numbers.append(as_float(y, f"{name}: target {k}"))
        if not math.isfinite(numbers[k]):
            raise ValueError(f"{name}: target {k} is {y}; expected a finite number")
    return numbers


def _pairs(outputs: Any, targets: Any, name: str) -> tuple[list[Any], list[float]]:
    listed = _listed(outputs, name, "outputs")
    numbers = _numbers(targets, name)
    if len(listed) != len(numbers):
        raise ValueError(
            f"{name}: {len(listed)} outputs and {len(numbers)} targets; expected as many of one as "
            "of the other"
        )
    return listed, numbers


def _probabilities(target: Any, count: int) -> list[float]:
    if not hasattr(target, "__iter__") or getattr(target, "ndim", 1) == 0:
        t = checks.count("cross_entropy: target, a class index,", target, least=0)
        if t >= count:
            raise ValueError(
                f"cross_entropy: target, a class index, is {t}: expected 0 to {count - 1}, for "
                f"{count} logits"
            )
        return [float(k == t) for k in range(count)]
    y = _numbers(target, "cross_entropy")
    if len(y) != count:
        raise ValueError(f"cross_entropy: {count} logits and {len(y)} probabilities")
    # Probabilities rounded to float32 must pass.
    if min(y) < 0.0 or abs(math.fsum(y) - 1.0) > 1e-6:
        raise ValueError(
            f"cross_entropy: the targets {y} are no probabilities; expected numbers of 0 or more "
            "that sum to 1, or the index of a class"
        )
    return y
