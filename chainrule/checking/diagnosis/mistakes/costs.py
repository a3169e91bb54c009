"""The cost that is returned beside the gradient: how it comes out different."""

from __future__ import annotations

import numpy as np

from ..algorithm import Run
from .makers import scaled, takes_mean
from .row import Mistake


def _with_biases(run: Run) -> float:
    """The penalty on all entries of the Thetas."""
    squares = sum(float(np.square(theta).sum()) for theta in run.problem.thetas)
    return run.problem.lam * squares / (2 * run.count())


ROWS: tuple[Mistake, ...] = (
    Mistake(
        "cost.penalty-missing",
        "A1",
        "The cost lacks the regularisation term, which the gradient has.",
        "Add lambda/2m times the sum of the squares of the weights, the biases left out.",
        ({"penalty_cost": scaled(lambda run: 0.0)},),
        lambda problem: problem.lam > 0,
    ),
    Mistake(
        "cost.penalty-doubled",
        "A1",
        "The regularisation term of the cost is twice too large: lambda/m, not lambda/2m.",
        "Add lambda/2m times the squares, whose derivative is (lambda/m) Theta.",
        ({"penalty_cost": scaled(lambda run: 2.0)},),
        lambda problem: problem.lam > 0,
    ),
    Mistake(
        "cost.penalty-on-bias",
        "A1",
        "The regularisation term of the cost has the biases in it, and the gradient has not.",
        "Leave column 0 of Theta out of the penalty.",
        ({"penalty_cost": lambda run, usual: _with_biases(run)},),
        lambda problem: problem.lam > 0,
    ),
    Mistake(
        "cost.not-averaged",
        "A1",
        "The cost is a sum over the examples, and the gradient that of a mean.",
        "Divide the cost by m as well.",
        (
            {"data_cost": scaled(lambda run: run.count())},
            {"cost": scaled(lambda run: run.count())},
        ),
        takes_mean,
    ),
    Mistake(
        "cost.over-outputs",
        "B7",
        "The cost is a mean over the outputs, and the gradient that of their sum.",
        "Add up over the outputs: np.sum(...) / m, not np.mean(...).",
        ({"data_cost": scaled(lambda run: 1.0 / run.problem.K)},),
        lambda problem: problem.K > 1,
    ),
    Mistake(
        "cost.wrong-sign",
        "A2",
        "The cost has the wrong sign.",
        "Both logarithms are negative: the cost is minus their sum.",
        ({"data_cost": scaled(lambda run: -1.0)}, {"cost": scaled(lambda run: -1.0)}),
    ),
    Mistake(
        "cost.factor",
        "A1",
        "The cost is half or twice the one whose gradient this is.",
        "The cost and its gradient have one factor: 1/2 before the squares, or none.",
        (
            {"data_cost": scaled(lambda run: 0.5)},
            {"data_cost": scaled(lambda run: 2.0)},
            {"cost": scaled(lambda run: 0.5)},
            {"cost": scaled(lambda run: 2.0)},
        ),
    ),
    Mistake(
        "cost.wrong",
        "A1",
        "The cost that comes with the gradient is wrong.",
        "Compute the cost whose gradient it is, or return the gradient alone.",
    ),
)
