"""The deltas of the hidden layers: the slope, the way back through Theta, and when it is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .... import backprop
from ...problem import Array, Problem
from ..algorithm import Changes, Run
from .makers import last_unit_dropped, rows_of
from .row import Mistake


def _slope_of(name: str) -> Changes:
    return {"slope": lambda run, usual, layer: backprop.derivative(name, run.z(layer))}


def _slope_formula(argument: Callable[[Run, int], Array]) -> Callable[..., Any]:
    """The formula of g' in terms of a, with something else put in for a."""

    def change(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
        value, name = argument(run, layer), run.activation(layer)
        if name == "sigmoid":
            return value * (1.0 - value)
        if name == "tanh":
            return 1.0 - value * value
        return backprop.derivative(name, value)

    return change


def _formula_of(name: str) -> Changes:
    """Another activation's formula of g' in terms of a, with this layer's a in it."""
    formulas: dict[str, Callable[[Array], Array]] = {
        "sigmoid": lambda a: a * (1.0 - a),
        "tanh": lambda a: 1.0 - a * a,
    }
    return {
        "slope": lambda run, usual, layer: (
            usual(layer) if run.activation(layer) == name else formulas[name](run.a(layer + 1))
        )
    }


def _masked_by_blame(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    if run.activation(layer) != "relu":
        return usual(layer)
    mask: Array = (run.blame(layer) > 0).astype(float)
    return mask


def _leaking(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    if run.activation(layer) != "relu":
        return usual(layer)
    return np.where(run.z(layer) > 0, 1.0, 0.01)


def _slope_of_neighbour(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    """The slopes at [1, z], the last of them dropped where the first should be."""
    shifted = backprop.with_bias(run.z(layer))[:, :-1]
    return backprop.derivative(run.activation(layer), shifted)


def _uses_relu(problem: Problem) -> bool:
    return "relu" in problem.activations


def _theta_not_transposed(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    theta = usual(layer)
    weights = theta[:, 1:]
    # A square matrix can be used as it is, others after a reshape; this makes both.
    turned = weights.reshape(weights.shape[::-1]).T
    return np.hstack([theta[:, :1], turned])


def _consumer(index: int) -> Callable[..., Any]:
    def change(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
        weights, following = run.theta_back(layer)[:, 1:], run.delta(layer + 1)
        one: Array = following[:, [index]] @ weights[[index]]
        return one

    return change


def _updated_by_each_example(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    # (Theta - r delta a^T)^T delta = Theta^T delta - r |delta|^2 a, for each example.
    squares = np.square(run.delta(layer + 1)).sum(axis=1, keepdims=True)
    blame: Array = usual(layer) - run.rate * squares * run.a(layer + 1)
    return blame


def _updated(gradient: str) -> Changes:
    def change(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
        step: Array = getattr(run, gradient)(layer + 1)
        updated: Array = usual(layer) - run.rate * step
        return updated

    return {"theta_back": change}


ROWS: tuple[Mistake, ...] = (
    Mistake(
        "hidden.slope-missing",
        "B5",
        "The factor g'(z) is missing in the hidden deltas.",
        "Multiply Theta^T delta by g'(z), elementwise.",
        (_slope_of("linear"),),
    ),
    Mistake(
        "hidden.slope-at-a",
        "B2",
        "g' is evaluated at a instead of z.",
        "Use g'(z), or its formula in terms of a: a(1 - a) for the sigmoid. Not g'(a).",
        (
            {
                "slope": lambda run, usual, layer: backprop.derivative(
                    run.activation(layer), run.a(layer + 1)
                )
            },
        ),
    ),
    Mistake(
        "hidden.slope-formula-of-z",
        "B2",
        "The formula for g' in terms of a is given z instead.",
        "In a(1 - a), a is g(z), not z; likewise in 1 - a^2 for tanh.",
        ({"slope": _slope_formula(lambda run, layer: run.z(layer))},),
    ),
    Mistake(
        "hidden.slope-of-wrong-activation",
        "C8",
        "The hidden deltas use the derivative of a different activation.",
        "Use the derivative of the activation that the forward pass uses.",
        (
            *(_slope_of(name) for name in ("sigmoid", "tanh", "relu")),
            *(_formula_of(name) for name in ("sigmoid", "tanh")),
        ),
    ),
    Mistake(
        "hidden.relu-mask-of-delta",
        "C8",
        "The ReLU's mask is 1 where the incoming gradient is positive, not where z is.",
        "The derivative of the ReLU depends on z: let the gradient through where z > 0.",
        ({"slope": _masked_by_blame},),
        _uses_relu,
    ),
    Mistake(
        "hidden.slope-leaks",
        "C8",
        "The hidden deltas use the slope 0.01 of a leaky ReLU where z is negative.",
        "Use the derivative of the activation that the forward pass uses: 0 where z < 0.",
        ({"slope": _leaking},),
        _uses_relu,
    ),
    Mistake(
        "hidden.slope-squared",
        "B5",
        "The hidden deltas are multiplied by g'(z) twice.",
        "Multiply Theta^T delta by g'(z) once.",
        ({"slope": lambda run, usual, layer: usual(layer) ** 2},),
    ),
    Mistake(
        "hidden.slope-of-neighbour",
        "B5",
        "Each hidden delta is multiplied by the slope of the unit before it.",
        "If the bias unit is put in front of z, drop entry 0 of the slopes again, not the last.",
        ({"slope": _slope_of_neighbour},),
    ),
    Mistake(
        "hidden.averaged",
        "B5",
        "The hidden deltas average over the units that a hidden unit feeds instead of adding up.",
        "Add up over all units of the next layer: Theta^T delta.",
        ({"blame": lambda run, usual, layer: usual(layer) / len(run.problem.thetas[layer + 1])},),
    ),
    Mistake(
        "hidden.slope-is-a",
        "B2",
        "The hidden deltas are multiplied by a instead of g'(z).",
        "The derivative of the sigmoid is a(1 - a): both factors.",
        ({"slope": lambda run, usual, layer: run.a(layer + 1)},),
    ),
    Mistake(
        "hidden.slope-is-1-minus-a",
        "B2",
        "The hidden deltas are multiplied by 1 - a instead of g'(z).",
        "The derivative of the sigmoid is a(1 - a): both factors; of tanh 1 - a^2: the square.",
        ({"slope": lambda run, usual, layer: 1.0 - run.a(layer + 1)},),
    ),
    Mistake(
        "hidden.theta-not-transposed",
        "B5",
        "Theta is not transposed on the way back.",
        "Going back, unit k collects from every unit j that it feeds: Theta^T delta.",
        ({"theta_back": _theta_not_transposed},),
    ),
    Mistake(
        "hidden.bias-dropped-at-wrong-end",
        "B5",
        "Theta^T delta loses its last unit instead of the bias unit, which is the first.",
        "Drop entry 0 of Theta^T delta, where the bias unit is: [1:], not [:-1].",
        ({"blame": last_unit_dropped},),
    ),
    Mistake(
        "hidden.overwritten",
        "C6",
        "A hidden unit keeps what one of its consumers sends back: `=` is used instead of `+=`.",
        "Add up over all units that the hidden unit feeds: +=.",
        (
            {"blame": _consumer(-1)},
            {"blame": _consumer(-1), "rows": rows_of(slice(-1, None))},
            {"blame": _consumer(0), "rows": rows_of(slice(0, 1))},
            {"blame": _consumer(0), "rows": rows_of(slice(-1, None))},
        ),
    ),
    Mistake(
        "hidden.too-early",
        "C6",
        "A hidden unit passes its gradient on when only its first consumer has contributed: the "
        "nodes are not visited in topological order.",
        "Visit a node after all nodes that use it: sort the graph first.",
        ({"blame": _consumer(0)},),
    ),
    Mistake(
        "hidden.updated-weights",
        "B5",
        "The weights were updated before the hidden delta was computed from them.",
        "Compute all gradients first, at one and the same point; update afterwards.",
        (_updated("gradient"), _updated("data"), {"blame": _updated_by_each_example}),
        solves_rate=True,
    ),
)
