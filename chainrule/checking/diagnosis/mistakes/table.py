"""The table of mistakes: everything the diagnosis knows of a mistake is one row.

A row has a stable code, the rule it breaks (a formula of the course notes, A1 to C8), a sentence, a
fix, and how to make the mistake: for each way in which people make it, the steps of the algorithm
that come out different, as :class:`steps.Run` reads them. The diagnosis, the report, the tests and
the table in the documentation read the rows; to teach the checker a mistake is to add one.

"B8", the delta of the output layer, stands for the formula that the loss has there: B8 for the two
that take logarithms, B4 and C7 for squared errors.

The order matters where two rows give the same gradient: the more common mistake comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from .... import backprop
from ...problem import Array, Problem
from ..algorithm import Changes, Run

CATEGORIES = MappingProxyType(
    {
        "mean": "the mean over the examples",
        "sign": "a sign",
        "factor": "a constant factor",
        "penalty": "regularisation",
        "output": "the delta of the output layer",
        "hidden": "the deltas of the hidden layers",
        "forward": "the forward pass",
        "sum": "the product of delta and activations",
        "bias": "the gradient of the biases",
        "update": "a step of gradient descent inside the function",
        "examples": "which examples and targets are used",
        "layout": "the order of the entries",
        "call": "how the function behaves when called",
        "unknown": "not in the list of mistakes",
    }
)
"""What the first half of a code stands for; a hint of level "category" says this much."""


@dataclass(frozen=True, eq=False)
class Mistake:
    """One mistake: how it is called, what it breaks, how to mend it, how to make it."""

    code: str
    rule: str
    """The formula of the notes that is broken."""
    says: str
    fix: str
    ways: tuple[Changes, ...] = ()
    """How people make it; empty where no gradient shows it."""
    applies: Callable[[Problem], bool] = lambda problem: True
    solves_rate: bool = False
    """Whether the replay has a learning rate that must be found first."""

    @property
    def category(self) -> str:
        """The key of ``CATEGORIES``."""
        return self.code.partition(".")[0]


# --- what the rows are made of --------------------------------------------------------------------


def _scaled(factor: Callable[[Run], float]) -> Callable[..., Any]:
    return lambda run, usual, *layer: factor(run) * usual(*layer)


def _both(factor: Callable[[Problem], float]) -> tuple[Changes, ...]:
    """A factor before the data alone, and before the penalty too."""
    scaled = _scaled(lambda run: factor(run.problem))
    return {"data": scaled}, {"gradient": scaled}


def _decay_of(what: Callable[[Array], Array]) -> Changes:
    """Make the penalty (lambda/m) what(Theta~) in place of (lambda/m) Theta~."""

    def change(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
        theta = what(_with_column_0(run.problem.thetas[layer], 0.0))
        biases = np.zeros((len(theta), 1))  # regularise leaves column 0 out: hide all behind one
        covered = np.hstack([biases, theta])
        zeros = np.zeros_like(covered)
        return backprop.regularise(zeros, covered, run.problem.lam, run.count())[:, 1:]

    return {"decay": change}


def _with_column_0(matrix: Array, column: Array | float) -> Array:
    changed: Array = matrix.copy()
    changed[:, 0] = column
    return changed


def _bias(column: Callable[[Run, int, Array], Any]) -> Changes:
    """Replace the bias column of the data gradient by column(run, layer, data gradient)."""

    def change(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
        data = usual(layer)
        return _with_column_0(data, column(run, layer, data))

    return {"data": change}


def _hidden(change: Callable[[Run, int, Array], Array]) -> Callable[..., Any]:
    """Change the delta of the hidden layers alone."""
    return lambda run, usual, layer: (
        usual(layer) if layer == run.last else change(run, layer, usual(layer))
    )


def _output_slope(run: Run) -> Array:
    if run.problem.output == "softmax":
        p = run.a(run.last + 1)
        slope: Array = p * (1.0 - p)
        return slope
    return backprop.derivative(run.problem.output, run.z(run.last))


def _residual(run: Run, outputs: Array) -> Array:
    """Outputs - y, with the factor that the loss puts before it."""
    loss = "half_squared_error" if _takes_logarithms(run.problem) else run.problem.loss
    return backprop.delta_output(outputs, run.targets(), loss=loss, output_activation="linear")


def _slope_missing_at_the_logarithms(run: Run, usual: Callable[[], Array]) -> Array:
    """The derivative of the cost by a, where delta, that by z, belongs."""
    h, y = run.a(run.last + 1), run.targets()
    slope: Array = -y / h if run.problem.output == "softmax" else usual() / _output_slope(run)
    return slope


def _thresholded(run: Run, usual: Callable[[], Array]) -> Array:
    """The prediction, 0 or 1, where the output belongs."""
    h = run.a(run.last + 1)
    if run.problem.output == "softmax":
        predicted = (h == h.max(axis=1, keepdims=True)).astype(float)
    else:
        predicted = (h > 0.5).astype(float)
    residual = _residual(run, predicted)
    return residual if _takes_logarithms(run.problem) else residual * _output_slope(run)


def _softmax_along(axis: int | None) -> Changes:
    def change(run: Run, usual: Callable[[], Array]) -> Array:
        z = run.z(run.last)
        e = np.exp(z - z.max())
        wrong: Array = e / e.sum(axis=axis, keepdims=True) - run.targets()
        return wrong

    return {"output_delta": change}


def _takes_logarithms(problem: Problem) -> bool:
    return problem.loss in ("logistic", "cross_entropy")


def _squares(problem: Problem) -> bool:
    return not _takes_logarithms(problem)


def _mean(problem: Problem) -> bool:
    return problem.reduction == "mean"


def _sum(problem: Problem) -> bool:
    return problem.reduction == "sum"


def _z_for_a_at_the_output(run: Run, usual: Callable[[], Array]) -> Array:
    residual = _residual(run, run.z(run.last))
    return residual if _takes_logarithms(run.problem) else residual * _output_slope(run)


def _slope_of(name: str) -> Changes:
    return {"slope": lambda run, usual, layer: backprop.derivative(name, run.z(layer))}


def _output_of(name: str) -> Changes:
    def change(run: Run, usual: Callable[[], Array]) -> Array:
        z, y, p = run.z(run.last), run.targets(), run.problem
        if _takes_logarithms(p):
            return backprop.activate(name, z) - y
        return backprop.delta_output(z, y, loss=p.loss, output_activation=name)

    return {"output_delta": change}


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
    # A square matrix can be used as it stands, others get by with a reshape; both are this.
    turned = weights.reshape(weights.shape[::-1]).T
    return np.hstack([theta[:, :1], turned])


def _last_unit_dropped(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    theta = run.theta_back(layer)
    product: Array = run.delta(layer + 1) @ theta[:, :-1]
    return product


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


def _ones_last_forward(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    z: Array = _ones_last(run.a(layer)) @ run.problem.thetas[layer].T
    return z


def _ones_last(a: Array) -> Array:
    return np.roll(backprop.with_bias(a), -1, axis=1)


def _columns_rolled(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    return np.roll(usual(layer), -1, axis=1)


def _no_bias(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    z: Array = run.a(layer) @ run.problem.thetas[layer][:, 1:].T
    return z


def _updated(gradient: str) -> Changes:
    def change(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
        step: Array = getattr(run, gradient)(layer + 1)
        updated: Array = usual(layer) - run.rate * step
        return updated

    return {"theta_back": change}


def _rows(rows: slice) -> Callable[..., Any]:
    return lambda run, usual: rows


def _fewer(run: Run, usual: Callable[[], int]) -> int:
    return len(range(run.m)[run.rows()]) if _mean(run.problem) else usual()


def _labels(shift: int, axis: int) -> Changes:
    return {"targets": lambda run, usual: np.roll(usual(), shift, axis=axis)}


def _transposed(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    turned = usual(layer)
    rows, columns = turned.shape
    if rows == columns:
        turned = turned.T
    elif rows == columns - 1:
        turned = np.hstack([turned[:, :1], turned[:, 1:].T])
    return turned


def _reread(write: Any, read: Any) -> Callable[..., Any]:
    return lambda run, usual, layer: (
        usual(layer).ravel(order=write).reshape(run.problem.shapes[layer], order=read)
    )


def _ones_in_the_bias(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    ones = np.ones(run.problem.shapes[layer])
    return usual(layer) + _with_column_0(
        np.zeros_like(ones), backprop.regularise(0 * ones, ones, run.problem.lam, run.count())[:, 1]
    )


def _on_the_bias_too(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    theta = run.problem.thetas[layer]
    biases = np.hstack([np.zeros((len(theta), 1)), theta[:, :1]])
    column = backprop.regularise(np.zeros_like(biases), biases, run.problem.lam, run.count())
    return _with_column_0(usual(layer), column[:, 1])


def _skipping(entries: tuple[int | slice, int | slice]) -> Callable[..., Any]:
    """The penalty with these entries left out in place of column 0."""

    def change(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
        decay = _on_the_bias_too(run, usual, layer)
        decay[entries] = 0.0
        return decay

    return change


def _stepped(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    updated: Array = run.problem.thetas[layer] - run.rate * usual(layer)
    return updated


def _named(name: str) -> Callable[..., Any]:
    return lambda run, usual, layer: name


def _count(run: Run) -> float:
    return float(run.count())


# --- the table ------------------------------------------------------------------------------------

TABLE: tuple[Mistake, ...] = (
    # The mean over the examples.
    Mistake(
        "mean.missing",
        "B9",
        "The sum over the examples is not divided by m; the penalty is.",
        "Divide Delta by m: D = (Delta + lambda Theta) / m.",
        ({"data": _scaled(lambda run: run.m)},),
        _mean,
    ),
    Mistake(
        "mean.missing-everywhere",
        "B10",
        "Nothing is divided by m, neither the sum over the examples nor the penalty.",
        "Divide the whole by m: D = (Delta + lambda Theta) / m. If the sum is wanted, state the "
        'reduction as "sum".',
        ({"gradient": _scaled(lambda run: run.m)},),
        _mean,
    ),
    Mistake(
        "mean.twice",
        "B9",
        "The sum over the examples is divided by m twice.",
        "Divide by m once: either the output delta, or Delta, not both.",
        ({"data": _scaled(lambda run: 1 / run.m)}, {"gradient": _scaled(lambda run: 1 / run.m)}),
        _mean,
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
        _mean,
    ),
    Mistake(
        "mean.m-minus-1",
        "B9",
        "The sum over the examples is divided by m - 1.",
        "Divide by m: the cost is a mean, not an estimate of a variance.",
        (
            {"data": _scaled(lambda run: run.m / (run.m - 1))},
            {"gradient": _scaled(lambda run: run.m / (run.m - 1))},
        ),
        lambda problem: _mean(problem) and problem.m > 1,
    ),
    Mistake(
        "mean.number-of-features",
        "B9",
        "The sum over the examples is divided by the number of features, not of examples.",
        "m is the number of rows of X: X.shape[0], or len(X), not X.shape[1].",
        _both(lambda problem: problem.m / problem.sizes[0]),
        _mean,
    ),
    Mistake(
        "mean.number-of-outputs",
        "B9",
        "The sum over the examples is divided by the number of outputs, not of examples.",
        "m is the number of rows of Y: Y.shape[0], or len(Y), not Y.shape[1].",
        _both(lambda problem: problem.m / problem.K),
        _mean,
    ),
    Mistake(
        "mean.over-outputs",
        "B9",
        "The gradient is divided by the number of outputs as well as by m.",
        "The cost adds up the outputs and is a mean over the examples: divide by m = Y.shape[0], "
        "not by Y.size; np.sum(...) / m, not np.mean(...).",
        _both(lambda problem: 1 / problem.K),
        lambda problem: problem.K > 1,
    ),
    Mistake(
        "mean.entries-of-x",
        "B9",
        "The sum over the examples is divided by the number of entries of X.",
        "m is the number of rows of X: X.shape[0], or len(X), not X.size.",
        _both(lambda problem: 1 / problem.sizes[0]),
        _mean,
    ),
    Mistake(
        "mean.missing-in-weights",
        "B9",
        "The gradient of the weights is not divided by m; that of the biases is.",
        "Divide all of Delta by m.",
        (
            {
                "data": lambda run, usual, layer: _with_column_0(
                    usual(layer) * run.m, usual(layer)[:, 0]
                )
            },
        ),
        _mean,
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
        ({"data": _scaled(lambda run: 1 / run.m)}, {"gradient": _scaled(lambda run: 1 / run.m)}),
        _sum,
    ),
    # Signs and constant factors.
    Mistake(
        "sign.error",
        "B8",
        "The error has the wrong sign: y - a where a - y belongs.",
        "Start from delta = a - y (for squared errors times g'(z)); or subtract in the update.",
        ({"output_delta": _scaled(lambda run: -1)}, {"data": _scaled(lambda run: -1)}),
    ),
    Mistake(
        "sign.everything",
        "A1",
        "Every entry is negated: this is the direction of descent, not the gradient.",
        "Return the gradient, and subtract it in the update.",
        ({"gradient": _scaled(lambda run: -1)},),
    ),
    Mistake(
        "factor.two",
        "B8",
        "There is a factor 2 too many.",
        "Compare the cost with its derivative: 2 comes from a square without 1/2, and belongs to "
        "no other loss.",
        ({"data": _scaled(lambda run: 2)}, {"gradient": _scaled(lambda run: 2)}),
    ),
    Mistake(
        "factor.half",
        "B8",
        "There is a factor 1/2 too many.",
        "The 1/2 of a half squared error cancels when it is differentiated; no other loss has one.",
        ({"data": _scaled(lambda run: 0.5)}, {"gradient": _scaled(lambda run: 0.5)}),
    ),
    # The penalty.
    Mistake(
        "penalty.missing",
        "B10",
        "The regularisation term is missing.",
        "Add (lambda/m) Theta to D, except in the bias column.",
        ({"decay": _scaled(lambda run: 0)},),
    ),
    Mistake(
        "penalty.not-divided",
        "B10",
        "The regularisation term is not divided by m.",
        "Add (lambda/m) Theta, not lambda Theta: the penalty is lambda/2m times the squares. "
        "With lambda/2 times them, as some courses have it, it is another cost.",
        ({"decay": _scaled(_count)},),
        _mean,
    ),
    Mistake(
        "penalty.divided-by-2m",
        "A1",
        "The regularisation term is divided by 2m.",
        "The 2 of lambda/2m cancels against the 2 of the square: add (lambda/m) Theta.",
        ({"decay": _scaled(lambda run: 0.5)},),
    ),
    Mistake(
        "penalty.doubled",
        "A1",
        "The regularisation term is counted twice.",
        "Add (lambda/m) Theta once: the penalty is lambda/2m times the squares.",
        ({"decay": _scaled(lambda run: 2)},),
    ),
    Mistake(
        "penalty.wrong-sign",
        "B10",
        "The regularisation term is subtracted.",
        "Add it: the penalty is part of the cost.",
        ({"decay": _scaled(lambda run: -1)},),
    ),
    Mistake(
        "penalty.on-bias",
        "A1",
        "The biases are regularised too.",
        "Leave column 0 of Theta out of the penalty.",
        ({"decay": _on_the_bias_too},),
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
        "The penalty leaves out other entries than the biases: row 0, or the last column.",
        "Set column 0 of Theta to 0 in the penalty: Theta[:, 0], not Theta[0, :] or Theta[:, -1].",
        (
            {"decay": _skipping((0, slice(None)))},
            {"decay": _skipping((slice(None), -1))},
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
        "penalty.other",
        "B10",
        "The regularisation term is wrong in a way that is not in the list; all else is right.",
        "Add (lambda/m) Theta to D, except in the bias column.",
    ),
    # The delta of the output layer.
    Mistake(
        "output.slope-doubled",
        "B11",
        "The output delta is multiplied by g'(z) once too often.",
        "With this loss g'(z) is already in delta = a - y: do not multiply again.",
        ({"output_delta": lambda run, usual: usual() * _output_slope(run)},),
    ),
    Mistake(
        "output.slope-missing",
        "B8",
        "The factor g'(z) is missing in the output delta.",
        "For squared errors delta = -(y - a) g'(z).",
        ({"output_delta": lambda run, usual: _residual(run, run.a(run.last + 1))},),
        _squares,
    ),
    Mistake(
        "output.slope-missing",
        "B11",
        "The factor g'(z) is missing in the output delta: it is the derivative by a, not by z.",
        "Multiply by g'(z): the denominators cancel, and a - y is left.",
        ({"output_delta": _slope_missing_at_the_logarithms},),
        _takes_logarithms,
    ),
    Mistake(
        "output.half-of-cost",
        "A2",
        "Only half of the logistic cost is differentiated.",
        "Both terms count: y log h for the ones and (1 - y) log(1 - h) for the zeros.",
        (
            {"output_delta": lambda run, usual: -run.targets() * (1.0 - run.a(run.last + 1))},
            {"output_delta": lambda run, usual: (1.0 - run.targets()) * run.a(run.last + 1)},
        ),
        lambda problem: problem.loss == "logistic",
    ),
    Mistake(
        "output.z-for-a",
        "B8",
        "The output delta is made with z where a belongs.",
        "Subtract the targets from the activations, after g.",
        ({"output_delta": _z_for_a_at_the_output},),
    ),
    Mistake(
        "output.wrong-activation",
        "B8",
        "The output layer has another activation than the stated one.",
        "Use the stated output activation, in the forward pass and in delta.",
        tuple(_output_of(name) for name in ("sigmoid", "softmax")),
        _takes_logarithms,
    ),
    Mistake(
        "output.wrong-activation",
        "B8",
        "The output layer has another activation than the stated one.",
        "Use the stated output activation, in the forward pass and in delta.",
        tuple(_output_of(name) for name in backprop.ACTIVATIONS),
        _squares,
    ),
    Mistake(
        "output.not-differentiated",
        "B8",
        "The output delta has the square or the absolute value of the error, not the error.",
        "delta is made of a - y with its sign: the cost is differentiated already.",
        (
            {"output_delta": lambda run, usual: usual() * (run.a(run.last + 1) - run.targets())},
            {
                "output_delta": lambda run, usual: (
                    usual() * np.sign(run.a(run.last + 1) - run.targets())
                )
            },
        ),
    ),
    Mistake(
        "output.thresholded",
        "B8",
        "The output delta is made with predictions, 0 or 1, where the outputs belong.",
        "Subtract the targets from the activations, before anything is rounded or thresholded.",
        ({"output_delta": _thresholded},),
        lambda problem: problem.output in ("sigmoid", "softmax"),
    ),
    Mistake(
        "output.softmax-along-wrong-axis",
        "B7",
        "The softmax is normalised over the examples, or over everything at once.",
        "Each example's outputs add up to 1: sum over the classes of one example.",
        (_softmax_along(0), _softmax_along(None)),
        lambda problem: problem.output == "softmax" and problem.m > 1,
    ),
    # The deltas of the hidden layers.
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
        "g' is taken at a instead of at z.",
        "Either g'(z), or the formula in a: a(1 - a) for the sigmoid. Not g'(a).",
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
        "The formula of g' in terms of a is used with z in it.",
        "a(1 - a) wants a = g(z), not z; likewise 1 - a^2 for tanh.",
        ({"slope": _slope_formula(lambda run, layer: run.z(layer))},),
    ),
    Mistake(
        "hidden.slope-of-wrong-activation",
        "C8",
        "The hidden deltas have the derivative of another activation.",
        "Use the derivative of the activation that the forward pass uses.",
        (
            *(_slope_of(name) for name in ("sigmoid", "tanh", "relu")),
            *(_formula_of(name) for name in ("sigmoid", "tanh")),
        ),
    ),
    Mistake(
        "hidden.relu-mask-of-delta",
        "C8",
        "The ReLU's mask is taken where the incoming gradient is positive, not where z is.",
        "The derivative of the ReLU depends on z: let the gradient through where z > 0.",
        ({"slope": _masked_by_blame},),
        _uses_relu,
    ),
    Mistake(
        "hidden.slope-leaks",
        "C8",
        "The hidden deltas have the slope 0.01 of a leaky ReLU where z is negative.",
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
        "The hidden deltas are the mean over the units that a hidden unit feeds, not the sum.",
        "Add up over all units of the next layer: Theta^T delta.",
        ({"blame": lambda run, usual, layer: usual(layer) / len(run.problem.thetas[layer + 1])},),
    ),
    Mistake(
        "hidden.slope-is-a",
        "B2",
        "The hidden deltas are multiplied by a where g'(z) belongs.",
        "The derivative of the sigmoid is a(1 - a): both factors.",
        ({"slope": lambda run, usual, layer: run.a(layer + 1)},),
    ),
    Mistake(
        "hidden.slope-is-1-minus-a",
        "B2",
        "The hidden deltas are multiplied by 1 - a where g'(z) belongs.",
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
        ({"blame": _last_unit_dropped},),
    ),
    Mistake(
        "hidden.overwritten",
        "C6",
        "A hidden unit keeps what one of its consumers sends back; `=` stands where `+=` belongs.",
        "Add up over all units that the hidden unit feeds: +=.",
        (
            {"blame": _consumer(-1)},
            {"blame": _consumer(-1), "rows": _rows(slice(-1, None))},
            {"blame": _consumer(0), "rows": _rows(slice(0, 1))},
            {"blame": _consumer(0), "rows": _rows(slice(-1, None))},
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
    # Forward.
    Mistake(
        "forward.wrong-activation",
        "C8",
        "The hidden layers have another activation than the stated one.",
        "Use the stated activation, forwards and backwards.",
        tuple({"activation": _named(name)} for name in backprop.ACTIVATIONS),
    ),
    Mistake(
        "forward.no-bias",
        "A7",
        "The biases are left out of the forward pass.",
        "z = Theta [1; a]: put the bias unit in front of the activations of every layer.",
        ({"z": _no_bias}, {"z": _no_bias, "data": _bias(lambda run, layer, data: 0.0)["data"]}),
    ),
    Mistake(
        "forward.ones-last",
        "A7",
        "The bias unit stands behind the activations; Theta has the biases in column 0.",
        "Put the column of ones first: np.c_[np.ones(m), a].",
        (
            {"z": _ones_last_forward, "sums": _columns_rolled},
            {"z": _ones_last_forward, "sums": _columns_rolled, "blame": _last_unit_dropped},
            {
                "z": _ones_last_forward,
                "sums": _columns_rolled,
                "blame": _last_unit_dropped,
                "decay": _skipping((slice(None), -1)),
            },
            {"z": _ones_last_forward},
        ),
    ),
    # The sum over the examples of delta a^T.
    Mistake(
        "sum.ones-last",
        "B9",
        "The gradient of the biases is in the last column; Theta has the biases in column 0.",
        "Put the column of ones first here too: delta [1; a]^T.",
        ({"sums": _columns_rolled},),
    ),
    Mistake(
        "sum.z-for-a",
        "B9",
        "The gradient is made with z where the activation a belongs.",
        "Delta sums delta a^T: the activations that went into the layer.",
        (
            {
                "sums": lambda run, usual, layer: (
                    usual(layer)
                    if layer == 0
                    else backprop.accumulate(run.delta(layer), run.z(layer - 1))
                )
            },
        ),
    ),
    Mistake(
        "sum.missing",
        "B9",
        "The examples do not enter at all: what is left is the penalty, if there is one.",
        "Add up delta a^T over the examples, and return that sum.",
        ({"data": _scaled(lambda run: 0)},),
    ),
    Mistake(
        "sum.all-zero",
        "B10",
        "Every entry is 0.",
        "Return the arrays that the loop fills, not those that were made for them.",
        ({"gradient": _scaled(lambda run: 0)},),
    ),
    # A step of gradient descent.
    Mistake(
        "update.weights-returned",
        "B10",
        "The weights come back, not their gradient.",
        "Return the gradient, and update the weights outside. Where the weights are "
        "Values or tensors, return the .grad of each.",
        ({"gradient": _stepped},),
        solves_rate=True,
    ),
    Mistake(
        "update.rate-inside",
        "B10",
        "Everything is multiplied by one factor, such as a learning rate.",
        "Return the gradient alone, and multiply by the learning rate in the update.",
        ({"gradient": lambda run, usual, layer: run.rate * usual(layer)},),
        # One delta for one output and one example: any mistake in it is such a factor.
        lambda problem: problem.m * problem.K > 1,
        solves_rate=True,
    ),
    # The biases.
    Mistake(
        "bias.zero",
        "B9",
        "The gradient of the biases is zero.",
        "A bias is the weight of a unit that is always 1: its gradient is delta.",
        (_bias(lambda run, layer, data: 0.0),),
    ),
    Mistake(
        "bias.not-summed",
        "B9",
        "The gradient of the biases is not summed over the batch.",
        "Add up the deltas of all examples.",
        (
            _bias(lambda run, layer, data: run.delta(layer)[-1] / run.count()),
            _bias(lambda run, layer, data: run.delta(layer)[0] / run.count()),
            _bias(lambda run, layer, data: run.delta(layer)[-1]),
            _bias(lambda run, layer, data: run.delta(layer)[0]),
        ),
    ),
    Mistake(
        "bias.times-m",
        "B9",
        "The gradient of the biases is summed over the batch, but not divided by m.",
        "Biases are averaged like weights: divide their sum by m too.",
        (_bias(lambda run, layer, data: data[:, 0] * run.m),),
        _mean,
    ),
    Mistake(
        "bias.divided-by-m",
        "B9",
        "The gradient of the biases is divided by m once too often.",
        "Average the deltas once.",
        (_bias(lambda run, layer, data: data[:, 0] / run.m),),
    ),
    Mistake(
        "bias.one-total",
        "B9",
        "All biases of a layer get one total: the deltas are summed over the units too.",
        "Sum over the examples only: axis=0 if rows are examples.",
        (_bias(lambda run, layer, data: data[:, 0].sum()),),
    ),
    Mistake(
        "bias.row-sum",
        "B9",
        "The gradient of a bias is the row sum of the weights' gradient.",
        "It is the sum of the deltas: no activation enters it.",
        (_bias(lambda run, layer, data: data[:, 1:].sum(axis=1)),),
    ),
    # Examples and targets.
    Mistake(
        "examples.last-only",
        "B10",
        "Only the last example counts.",
        "Accumulate over the examples: Delta += delta a^T, and zero Delta before the loop only.",
        (
            {"rows": _rows(slice(-1, None))},
            {
                "rows": _rows(slice(-1, None)),
                "data": lambda run, usual, layer: usual(layer) * run.count(),
            },
        ),
    ),
    Mistake(
        "examples.first-skipped",
        "B10",
        "The first example is skipped.",
        "Python counts from 0: loop over range(m).",
        (
            {"rows": _rows(slice(1, None))},
            {"rows": _rows(slice(1, None)), "count": _fewer},
        ),
        lambda problem: problem.m > 1,
    ),
    Mistake(
        "examples.last-skipped",
        "B10",
        "The last example is skipped.",
        "range(m) already ends before m: do not subtract 1.",
        (
            {"rows": _rows(slice(None, -1))},
            {"rows": _rows(slice(None, -1)), "count": _fewer},
        ),
        lambda problem: problem.m > 1,
    ),
    Mistake(
        "examples.labels-shifted",
        "B7",
        "The targets are shifted by one class.",
        "Check whether classes count from 0 or from 1 where labels become targets.",
        (_labels(1, 1), _labels(-1, 1)),
    ),
    Mistake(
        "examples.targets-of-neighbour",
        "B10",
        "Each example is compared with the target of its neighbour.",
        "Use one index for X and Y.",
        (_labels(1, 0), _labels(-1, 0)),
    ),
    # The order of the entries.
    Mistake(
        "layout.gradient-transposed",
        "B4",
        "The gradient is transposed.",
        "With Theta of shape (s_next, 1 + s) the gradient is delta a^T: a row for each unit.",
        ({"gradient": _transposed},),
    ),
    Mistake(
        "layout.unrolled-in-wrong-order",
        "C4",
        "The entries were unrolled in one order and rolled back in another.",
        'Use one order in both places: "C" reads row by row, "F" column by column.',
        ({"gradient": _reread("F", "C")}, {"gradient": _reread("C", "F")}),
    ),
    # What only a call can show.
    Mistake(
        "call.accumulates",
        "B10",
        "Each call adds to the result of the one before: the gradients are not set back to zero.",
        "Start every call from zero gradients (zero_grad).",
    ),
    Mistake(
        "call.not-repeatable",
        "B10",
        "The same call gives different answers.",
        "Let the result depend on the arguments alone: no random numbers, no state kept.",
    ),
    Mistake(
        "call.changes-arguments",
        "B10",
        "The function writes into its arguments.",
        "Work on copies; update the weights outside.",
    ),
    Mistake(
        "call.not-loaded",
        "B10",
        "The function cannot be loaded.",
        "Correct the file, or the name of the function.",
    ),
    Mistake(
        "call.wrong-arguments",
        "B10",
        "The function does not take the four arguments that it is called with.",
        "Define it as FUNCTION(thetas, X, Y, lam), even if it does not need them all.",
    ),
    Mistake(
        "call.raises",
        "B10",
        "The function raises an exception.",
        "Read the last line of the exception first; the shapes in it often name the mistake.",
    ),
    Mistake(
        "call.too-slow",
        "B10",
        "The function does not come back within the time limit.",
        "Look for a loop that does not end, or a wait for input.",
    ),
    Mistake(
        "call.dies",
        "B10",
        "The program ends before the function returns.",
        "Look for exit(), for memory that grows without bound, and for native code that crashes.",
    ),
    Mistake(
        "call.no-numbers",
        "C4",
        "What comes back is not an array of real numbers, nor a list of such arrays.",
        "Return one array for each Theta.",
    ),
    Mistake(
        "call.wrong-shape",
        "C4",
        "The gradient has the wrong shape.",
        "Each entry of Theta has one entry in the gradient: the shapes are the same.",
    ),
    Mistake(
        "call.not-finite",
        "A2",
        "The gradient has entries that are nan or infinite.",
        "Look for log(0), 0/0 and overflow in exp.",
    ),
    Mistake(
        "unknown.scaled",
        "B10",
        "The data gradient and the weights are all there, with wrong factors before them.",
        "Compare each factor with D = (1/m) Delta + (lambda/m) Theta.",
    ),
    Mistake(
        "unknown.products",
        "B10",
        "The deltas are right; no mistake in the list explains what is made of them.",
        "Look at the product delta a^T, at the column of the biases, and at the penalty.",
    ),
    Mistake(
        "unknown.deltas",
        "B5",
        "No mistake in the list explains this gradient: several at once, or a new one.",
        "Mend the first wrong layer, counted from the output; what lies behind it depends on it.",
    ),
)

BY_CODE = MappingProxyType({row.code: row for row in reversed(TABLE)})
"""The rows by their code."""


def as_markdown() -> str:
    """Return the table as a Markdown page."""
    lines = [
        "# The mistakes that the checker knows",
        "",
        "Made by `python docs/build.py` from the rows in `chainrule/checking/diagnosis/mistakes/`.",
        "The code is stable; the rule is the formula of the course notes that is broken (see",
        "[the notes, checked](notes.md)).",
    ]
    for category, about in CATEGORIES.items():
        rows = [row for row in TABLE if row.category == category]
        lines += ["", f"## {about[0].upper()}{about[1:]}", "", "| code | rule | mistake | fix |"]
        lines += ["|---|---|---|---|"]
        unique = {row.code: row for row in reversed(rows)}
        for row in reversed(unique.values()):
            says, fix = (text.replace("|", "\\|") for text in (row.says, row.fix))
            lines.append(f"| `{row.code}` | {row.rule} | {says} | {fix} |")
    return "\n".join(lines) + "\n"
