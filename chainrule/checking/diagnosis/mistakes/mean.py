"""The mean over the examples: what is divided by m, by something else, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...problem import Array, Problem
from ..algorithm import Run
from .makers import scaled, scaled_ways, takes_mean, with_column_0
from .row import Mistake


def _hidden(change: Callable[[Run, int, Array], Array]) -> Callable[..., Any]:
    """Change the delta of the hidden layers alone."""
    return lambda run, usual, layer: (
        usual(layer) if layer == run.last else change(run, layer, usual(layer))
    )


def _takes_sum(problem: Problem) -> bool:
    return problem.reduction == "sum"


ROWS: tuple[Mistake, ...] = (
    Mistake(
        "mean.missing",
        "B9",
        "The sum over the examples is not divided by m.",
        "Divide Delta by m: D = (Delta + lambda Theta) / m.",
        ({"data": scaled(lambda run: run.m)},),
        takes_mean,
    ),
    Mistake(
        "mean.missing-everywhere",
        "B10",
        "Nothing is divided by m: not the sum over the examples, nor a penalty.",
        "Divide the whole by m: D = (Delta + lambda Theta) / m. If the sum is wanted, state the "
        'reduction as "sum".',
        ({"gradient": scaled(lambda run: run.m)},),
        takes_mean,
    ),
    Mistake(
        "mean.twice",
        "B9",
        "The sum over the examples is divided by m twice.",
        "Divide by m once: either the output delta, or Delta, not both.",
        scaled_ways(lambda run: 1 / run.m),
        takes_mean,
    ),
    Mistake(
        "mean.on-hidden-delta",
        "B5",
        "The hidden deltas are divided by m as well; m enters again at every layer.",
        "Leave the deltas alone: delta belongs to one example. Divide by m once, in D.",
        (
            {"delta": _hidden(lambda run, layer, delta: delta / run.m)},
            {
                "data": lambda run, usual, layer: (
                    usual(layer) if layer == run.last else usual(layer) / run.m
                )
            },
        ),
        takes_mean,
    ),
    Mistake(
        "mean.m-minus-1",
        "B9",
        "The sum over the examples is divided by m - 1.",
        "Divide by m: the cost is a mean, not an estimate of a variance.",
        scaled_ways(lambda run: run.m / (run.m - 1)),
        lambda problem: takes_mean(problem) and problem.m > 1,
    ),
    Mistake(
        "mean.m-plus-1",
        "B9",
        "The sum over the examples is divided by m + 1.",
        "Divide by m, the number of rows of X: the column or row of ones is not an example.",
        scaled_ways(lambda run: run.m / (run.m + 1)),
        takes_mean,
    ),
    Mistake(
        "mean.number-of-features",
        "B9",
        "The sum over the examples is divided by the number of features, not of examples.",
        "m is the number of rows of X: X.shape[0], or len(X), not X.shape[1].",
        scaled_ways(lambda run: run.m / run.problem.sizes[0]),
        takes_mean,
    ),
    Mistake(
        "mean.number-of-outputs",
        "B9",
        "The sum over the examples is divided by the number of outputs, not of examples.",
        "m is the number of rows of Y: Y.shape[0], or len(Y), not Y.shape[1].",
        scaled_ways(lambda run: run.m / run.problem.K),
        takes_mean,
    ),
    Mistake(
        "mean.over-outputs",
        "B9",
        "The gradient is divided by the number of outputs as well as by m.",
        "The cost adds up the outputs and is a mean over the examples: divide by m = Y.shape[0], "
        "not by Y.size; np.sum(...) / m, not np.mean(...).",
        scaled_ways(lambda run: 1 / run.problem.K),
        lambda problem: problem.K > 1,
    ),
    Mistake(
        "mean.entries-of-x",
        "B9",
        "The sum over the examples is divided by the number of entries of X.",
        "m is the number of rows of X: X.shape[0], or len(X), not X.size.",
        scaled_ways(lambda run: 1 / run.problem.sizes[0]),
        takes_mean,
    ),
    Mistake(
        "mean.missing-in-weights",
        "B9",
        "The gradient of the weights is not divided by m; that of the biases is.",
        "Divide all of Delta by m.",
        (
            {
                "data": lambda run, usual, layer: with_column_0(
                    usual(layer) * run.m, usual(layer)[:, 0]
                )
            },
        ),
        takes_mean,
    ),
    Mistake(
        "mean.other",
        "B9",
        "Each example alone is right, but what is made of all of them is not, in a way that is not "
        "in the list.",
        "Look at how the examples are added up, and at what the sum is divided by.",
    ),
    Mistake(
        "mean.not-wanted",
        "B9",
        "The sum over the examples is divided by m, but the stated cost is a sum.",
        'Leave out 1/m, or state the reduction as "mean".',
        scaled_ways(lambda run: 1 / run.m),
        _takes_sum,
    ),
)
