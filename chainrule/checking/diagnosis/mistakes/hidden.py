"""The deltas of the hidden layers: the slope, the way back through Theta, and when it is taken."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from ...problem import Array, Problem
from ..algorithm import Changes, Run
from . import slopes
from .makers import last_unit_dropped, rows_of
from .row import Mistake, Solves


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


def _errors_without_slopes(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    """The errors go back through the Thetas alone, and each layer's slope is put on afterwards."""
    following = run.error() if layer + 1 == run.last else run.blame(layer + 1)
    blame: Array = following @ run.theta_back(layer)[:, 1:]
    return blame


def _from_raw_error(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    if layer + 1 < run.last:
        return usual(layer)
    blame: Array = run.error() @ run.theta_back(layer)[:, 1:]
    return blame


def _theta_of_neighbour(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    other = run.problem.thetas[layer]
    return other if other.shape == usual(layer).shape else usual(layer)


def _not_updated(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    """Every layer gets the delta of the output, where the shapes allow it."""
    output = run.output_delta()
    return output if output.shape == run.z(layer).shape else usual(layer)


def _constant(value: float) -> Changes:
    return {"blame": lambda run, usual, layer: np.full_like(run.z(layer), value)}


def _times_m(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    return np.full_like(run.z(layer), float(run.count()))


def _is_deep(problem: Problem) -> bool:
    return problem.last > 1


def _repeats_a_shape(problem: Problem) -> bool:
    return any(one == two for one, two in pairwise(problem.shapes))


def _output_is_as_wide(problem: Problem) -> bool:
    return problem.K in problem.sizes[1:-1]


ROWS: tuple[Mistake, ...] = (
    *slopes.HIDDEN,
    *slopes.HIDDEN_ALONE,
    Mistake(
        "hidden.errors-without-slopes",
        "B5",
        "The hidden errors come from the errors of the next layer without its slopes: from the raw "
        "error, not from delta.",
        "Go back from delta: delta^(l) = (Theta^(l))^T delta^(l+1) .* g'(z^(l)).",
        ({"blame": _errors_without_slopes},),
        lambda problem: problem.squares or _is_deep(problem),
    ),
    Mistake(
        "hidden.from-raw-error",
        "B5",
        "The last hidden layer's delta comes from the error a - y, not from the output delta.",
        "With a squared error delta of the output has the factor g'(z): go back from delta.",
        ({"blame": _from_raw_error},),
        lambda problem: problem.squares and _is_deep(problem),
    ),
    Mistake(
        "hidden.blame-lost",
        "B5",
        "The hidden deltas ignore what comes back from the next layer: only g'(z) is left.",
        "Multiply g'(z) by what comes back, Theta^T delta.",
        # Where the output delta is divided by m early, the lost one takes 1/m with it.
        (_constant(1.0), _constant(-1.0), {"blame": _times_m}),
    ),
    Mistake(
        "hidden.delta-never-updated",
        "B5",
        "The output delta is used for a hidden layer too: delta is not updated on the way back.",
        "Going back a layer, set delta = Theta^T delta .* g'(z).",
        ({"delta": _not_updated},),
        _output_is_as_wide,
        alone=True,
    ),
    Mistake(
        "hidden.theta-of-neighbour",
        "B5",
        "The hidden deltas come back through the Theta of the layer before.",
        "delta^(l) comes back through Theta^(l), which led from layer l to layer l + 1.",
        ({"theta_back": _theta_of_neighbour},),
        _repeats_a_shape,
        alone=True,
    ),
    Mistake(
        "hidden.averaged",
        "B5",
        "The hidden deltas average over the units that a hidden unit feeds instead of adding up.",
        "Add up over all units of the next layer: Theta^T delta.",
        ({"blame": lambda run, usual, layer: usual(layer) / len(run.problem.thetas[layer + 1])},),
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
        solves=Solves.BELOW_THE_OUTPUT,
    ),
)
