"""The penalty on the squares of the weights, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .... import backprop
from ...problem import Array
from ..algorithm import Changes, Run
from .makers import on_the_bias_too, scaled, skipping, takes_mean, with_column_0
from .row import Mistake, Solves


def _decay_of(what: Callable[[Array], Array]) -> Changes:
    """Make the penalty (lambda/m) what(Theta~) in place of (lambda/m) Theta~."""

    def change(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
        theta = what(with_column_0(run.problem.thetas[layer], 0.0))
        biases = np.zeros((len(theta), 1))  # regularise leaves column 0 out: hide all behind one
        covered = np.hstack([biases, theta])
        zeros = np.zeros_like(covered)
        return backprop.regularise(zeros, covered, run.problem.lam, run.count())[:, 1:]

    return {"decay": change}


def _ones_in_the_bias(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    ones = np.ones(run.problem.shapes[layer])
    return usual(layer) + with_column_0(
        np.zeros_like(ones), backprop.regularise(0 * ones, ones, run.problem.lam, run.count())[:, 1]
    )


def _count(run: Run) -> float:
    return float(run.count())


ROWS: tuple[Mistake, ...] = (
    Mistake(
        "penalty.missing",
        "B10",
        "The regularisation term is missing.",
        "Add (lambda/m) Theta to D, except in the bias column. If no penalty is asked for, state "
        "lambda as 0: lam=0, or --lam 0.",
        ({"decay": scaled(lambda run: 0)},),
    ),
    Mistake(
        "penalty.not-divided",
        "B10",
        "The regularisation term is not divided by m.",
        "Add (lambda/m) Theta, not lambda Theta: the penalty is lambda/2m times the squares. "
        "With lambda/2 times them, as some courses have it, it is another cost.",
        ({"decay": scaled(_count)},),
        takes_mean,
    ),
    Mistake(
        "penalty.divided-twice",
        "B10",
        "The regularisation term is divided by m twice.",
        "Add (lambda/m) Theta: where the sum over the examples and the penalty are divided by m "
        "together, the penalty is not divided on its own as well.",
        ({"decay": scaled(lambda run: 1.0 / run.count())},),
        takes_mean,
    ),
    Mistake(
        "penalty.divided-by-2m",
        "A1",
        "The regularisation term is divided by 2m.",
        "The 2 of lambda/2m cancels against the 2 of the square: add (lambda/m) Theta.",
        ({"decay": scaled(lambda run: 0.5)},),
    ),
    Mistake(
        "penalty.doubled",
        "A1",
        "The regularisation term is counted twice.",
        "Add (lambda/m) Theta once: the penalty is lambda/2m times the squares.",
        ({"decay": scaled(lambda run: 2)},),
    ),
    Mistake(
        "penalty.wrong-sign",
        "B10",
        "The regularisation term is subtracted.",
        "Add it: the penalty is part of the cost.",
        ({"decay": scaled(lambda run: -1)},),
    ),
    Mistake(
        "penalty.on-bias",
        "A1",
        "The biases are regularised too.",
        "Leave column 0 of Theta out of the penalty.",
        ({"decay": on_the_bias_too},),
    ),
    Mistake(
        "penalty.ones-in-bias",
        "B10",
        "The bias column of the penalty is filled with ones instead of zeros.",
        "Set column 0 of the matrix that is multiplied by lambda to 0.",
        ({"decay": _ones_in_the_bias},),
    ),
    Mistake(
        "penalty.skips-wrong-entries",
        "B10",
        "The penalty leaves out entries other than the biases: row 0, or the last column.",
        "Set column 0 of Theta to 0 in the penalty: Theta[:, 0], not Theta[0, :] or Theta[:, -1].",
        (
            {"decay": skipping((0, slice(None)))},
            {"decay": skipping((slice(None), -1))},
        ),
    ),
    Mistake(
        "penalty.not-differentiated",
        "A1",
        "The squares of the weights are added: the penalty itself, not its derivative.",
        "The derivative of (lambda/2m) Theta^2 is (lambda/m) Theta.",
        (_decay_of(lambda theta: theta**2 / 2), _decay_of(np.square)),
    ),
    Mistake(
        "penalty.of-absolute-values",
        "A1",
        "The penalty is that of absolute values: it adds the sign of Theta, not Theta.",
        "The cost has squares, whose derivative is (lambda/m) Theta.",
        (_decay_of(np.sign), _decay_of(lambda theta: np.sign(theta) / 2)),
    ),
    Mistake(
        "penalty.without-theta",
        "A1",
        "lambda/m itself is added to the gradient of the weights.",
        "Multiply it by Theta: the term is (lambda/m) Theta.",
        (_decay_of(lambda theta: (theta != 0).astype(float)),),
    ),
    Mistake(
        "penalty.scaled",
        "B10",
        "The regularisation term has a constant factor; all else is right.",
        "Add (lambda/m) Theta to D, except in the bias column.",
        ({"decay": scaled(lambda run: run.rate)},),
        lambda problem: problem.lam > 0,
        solves=Solves.LINEAR,
        with_number="The regularisation term is {number} times the right one; all else is right.",
    ),
    Mistake(
        "penalty.other",
        "B10",
        "The regularisation term is wrong in a way that is not in the list; all else is right.",
        "Add (lambda/m) Theta to D, except in the bias column.",
    ),
)
