r"""Losses: what one example costs, as a node of the graph.

Each takes the outputs for one example, a single one or a sequence, and as many targets.  They are
sums over the outputs, as in the course notes; the mean over m examples is the caller's::

    loss = cr.mean([losses.logistic(model(x), y) for x, y in zip(X, Y)]) + losses.l2(model, lam, m)

``logistic`` and ``cross_entropy`` take *logits*: the network's output before the sigmoid or
softmax, which is what a "linear" output layer gives.  They stay exact, value and gradient, where
the probability has long rounded to 0 or 1.

Each output's loss is one node of the graph, ``cross_entropy`` one for all of them; their formulas
are rows of the engine's table.  Outputs may be numbers as well, and then the loss is a float.

Targets are plain numbers, tested at once.  In a function that is compiled they may be its inputs,
or computed from them: the same formula is recorded, and the targets of every batch that the
compiled function is called on are tested before it is run.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, SupportsFloat, overload

import numpy as np
from numpy.typing import NDArray

from ..engine import modes, table
from ..engine.backend import Value
from ..engine.reductions import sum as sum_of
from . import arguments
from .module import Module

__all__ = ["cross_entropy", "half_squared_error", "hinge", "l2", "logistic", "squared_error"]


def __dir__() -> list[str]:
    """Return what is public, and not what this module is made with."""
    return sorted(__all__)


# What a loss takes: of numbers it makes a float, of anything wider a Value, so that the signatures
# overlap.  Of an array NumPy's types do not say which.
# mypy: disable-error-code="overload-overlap"
Array = NDArray[Any]
Numbers = SupportsFloat | Iterable[SupportsFloat]
Terms = Value | SupportsFloat | Iterable[Value | SupportsFloat]


@dataclass(frozen=True, eq=False)
class _Rule:
    """What each target of a loss must be: *test* says so of a number, and of an array of them.

    No two are equal, since a target is told by its place among those of one loss.
    """

    loss: str
    test: Callable[[Any], Any]
    expected: str

    def holds(self, targets: Any) -> Any:
        return self.test(targets)

    def error(self, targets: Sequence[float]) -> Exception:
        k, y = next((k, y) for k, y in enumerate(targets) if not self.test(y))
        finite = math.isfinite(y)
        advice = "; for targets of -1 and 1 there is hinge" * (self.loss == "logistic" and y == -1)
        return ValueError(
            f"{self.loss}: target {k} is {y}; expected "
            f"{self.expected if finite else 'a finite number'}{advice}"
        )


def _finite(y: Any) -> Any:
    return abs(y) < math.inf


def _between_0_and_1(y: Any) -> Any:
    return (y >= 0.0) & (y <= 1.0)


def _minus_1_or_1(y: Any) -> Any:
    return abs(y) == 1.0


@overload
def squared_error(outputs: Array, targets: Terms) -> Any: ...
@overload
def squared_error(outputs: Numbers, targets: Numbers) -> float: ...
@overload
def squared_error(outputs: Terms, targets: Terms) -> Value: ...
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
    rule = _Rule("squared_error", _finite, "a finite number")
    return _summed(table.squared_error, _pairs(outputs, targets, rule))


@overload
def half_squared_error(outputs: Array, targets: Terms) -> Any: ...
@overload
def half_squared_error(outputs: Numbers, targets: Numbers) -> float: ...
@overload
def half_squared_error(outputs: Terms, targets: Terms) -> Value: ...
def half_squared_error(outputs: Any, targets: Any) -> Any:
    """Return 1/2 sum_j (y_j - a_j)^2 (notes B1, B3), whose derivative is just a_j - y_j.

    >>> round(half_squared_error([0.75136507, 0.772928465], [0.01, 0.99]), 9)
    0.298371109

    Errors are those of :func:`squared_error`.
    """
    rule = _Rule("half_squared_error", _finite, "a finite number")
    return _summed(table.half_squared_error, _pairs(outputs, targets, rule))


@overload
def logistic(logits: Array, targets: Terms) -> Any: ...
@overload
def logistic(logits: Numbers, targets: Numbers) -> float: ...
@overload
def logistic(logits: Terms, targets: Terms) -> Value: ...
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
    rule = _Rule("logistic", _between_0_and_1, "a number between 0 and 1")
    return _summed(table.logistic_loss, _pairs(logits, targets, rule))


@overload
def cross_entropy(logits: Array, target: Terms) -> Any: ...
@overload
def cross_entropy(logits: Numbers, target: Numbers) -> float: ...
@overload
def cross_entropy(logits: Terms, target: Terms) -> Value: ...
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

    ValueError if the index is out of range, or the numbers are not probabilities.  It applies the
    softmax itself: the output layer of the network must not.
    """
    logits = _listed(logits, "cross_entropy", "logits")
    if len(logits) == 1:
        raise ValueError(
            "cross_entropy of one logit: the softmax of one is always 1; use logistic, which takes "
            "one logit for two classes"
        )
    if not hasattr(target, "__iter__") or getattr(target, "ndim", 1) == 0:  # a 0-d array has one
        return table.cross_entropy(_class_index(target, len(logits)), *logits)
    return table.soft_cross_entropy(*_probabilities(target, len(logits)), *logits)


@overload
def hinge(scores: Array, targets: Terms) -> Any: ...
@overload
def hinge(scores: Numbers, targets: Numbers) -> float: ...
@overload
def hinge(scores: Terms, targets: Terms) -> Value: ...
def hinge(scores: Any, targets: Any) -> Any:
    """Return sum_k max(0, 1 - y_k s_k) for targets y_k of -1 or 1, else ValueError.

    >>> hinge([0.5, -3.0], [1, -1])
    0.5

    Where a margin y s is exactly 1 the derivative is 0, as relu's is at 0.
    """
    rule = _Rule("hinge", _minus_1_or_1, "-1 or 1")
    return _summed(table.hinge_loss, _pairs(scores, targets, rule))


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
    strength, examples = arguments.real("l2: lam", lam), arguments.count("l2: m", m)
    if isinstance(weights, Module):
        arrays = weights.parameter_arrays()
        values: list[Any] = list(dict.fromkeys(w for array in arrays for w in array.weights))
    else:
        values = arguments.listed("l2: the weights", weights, "numbers or Values, or a module")
    if not values or strength == 0.0:
        return 0.0
    return strength / (2 * examples) * table.dot_product(*values, *values, 0.0)


def _summed(row: table.Primitive, pairs: Sequence[tuple[Any, Any]]) -> Any:
    """Return the sum over the outputs of the loss *row*; of a single output, that loss itself."""
    losses = [row(output, target) for output, target in pairs]
    return losses[0] if len(losses) == 1 else sum_of(losses)


def _listed(given: Any, name: str, what: str) -> list[Any]:
    if isinstance(given, np.ndarray):
        if given.ndim > 1:
            raise ValueError(
                f"{name}: the {what} have shape {given.shape}; expected those of one example, so "
                "take the loss row by row"
            )
        given = given.tolist()
    if arguments.is_sequence(given):
        listed = list(given)
    elif hasattr(given, "__iter__"):
        raise TypeError(f"{name}: the {what} are {given!r:.80}; expected a sequence of numbers")
    else:
        listed = [given]
    if not listed:
        raise ValueError(f"{name}: no {what}; expected at least one")
    return listed


def _numbers(given: Any, rule: _Rule) -> list[Any]:
    """Return the targets *given*: numbers that keep *rule*, or Values of which it is demanded."""
    name = rule.loss
    numbers: list[Any] = []
    for k, y in enumerate(_listed(given, name, "targets")):
        if isinstance(y, Value):
            if not modes.current().tracing:
                raise TypeError(
                    f"{name}: target {k} is a Value; expected a number, so take its .data"
                )
            numbers.append(y)
        else:
            numbers.append(table.as_float(y, f"{name}: target {k}"))
            if not rule.holds(numbers[k]):
                raise rule.error(numbers)
    if any(isinstance(y, Value) for y in numbers):
        modes.demand(rule, numbers)
    return numbers


def _pairs(outputs: Any, targets: Any, rule: _Rule) -> list[tuple[Any, Any]]:
    listed = _listed(outputs, rule.loss, "outputs")
    numbers = _numbers(targets, rule)
    if len(listed) != len(numbers):
        raise ValueError(
            f"{rule.loss}: {len(listed)} outputs and {len(numbers)} targets; expected as many of "
            "one as of the other"
        )
    return list(zip(listed, numbers, strict=True))


@dataclass(frozen=True)
class _ClassIndex:
    """The rule that a target keeps which is the index of one of *count* classes."""

    count: int

    def holds(self, target: Any) -> Any:
        return (target >= 0) & (target < self.count) & (target % 1 == 0)

    def error(self, target: Sequence[float]) -> Exception:
        t = next(t for t in target if not self.holds(t))
        whole = "" if t % 1 == 0 else "a whole number, "
        return ValueError(
            f"cross_entropy: target, a class index, is {t if whole else int(t)}: expected {whole}"
            f"0 to {self.count - 1}, for {self.count} logits"
        )


class _Distribution:
    """The rule that targets keep together which are probabilities."""

    def holds(self, y: Any) -> Any:
        # Probabilities rounded to float32 must pass.
        positive = functools.reduce(operator.and_, [t >= 0.0 for t in y])
        return positive & (abs(sum(y) - 1.0) <= 1e-6)

    def error(self, y: Sequence[float]) -> Exception:
        return ValueError(
            f"cross_entropy: the targets {list(y)} are not probabilities; expected numbers of 0 or "
            "more that sum to 1, or the index of a class"
        )


def _class_index(target: Any, count: int) -> Any:
    index = _ClassIndex(count)
    if isinstance(target, Value) and modes.current().tracing:
        modes.demand(index, [target])
        return target
    t = arguments.count("cross_entropy: target, a class index,", target, least=None)
    if not index.holds(t):
        raise index.error([t])
    return float(t)


def _probabilities(target: Any, count: int) -> list[Any]:
    """Return the probability of every class."""
    y = _numbers(target, _Rule("cross_entropy", _finite, "a finite number"))
    if len(y) != count:
        raise ValueError(f"cross_entropy: {count} logits and {len(y)} probabilities")
    distribution = _Distribution()
    if any(isinstance(t, Value) for t in y):
        modes.demand(distribution, y)
    elif not distribution.holds(y):
        raise distribution.error(y)
    return y
