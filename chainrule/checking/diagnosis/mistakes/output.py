"""The delta of the output layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .... import backprop
from ...problem import Array, Problem
from ..algorithm import Changes, Run
from . import slopes
from .makers import USUAL
from .row import Mistake


def _output_slope(run: Run) -> Array:
    if run.problem.output == "softmax":
        p = run.a(run.last + 1)
        slope: Array = p * (1.0 - p)
        return slope
    return backprop.derivative(run.problem.output, run.z(run.last))


def _residual(run: Run, outputs: Array) -> Array:
    """Outputs - y, with the factor that the loss puts before it."""
    loss = run.problem.loss if run.problem.squares else "half_squared_error"
    return backprop.delta_output(outputs, run.targets(), loss=loss, output_activation="linear")


def _slope_missing_at_the_logarithms(run: Run, usual: Callable[[], Array]) -> Array:
    """The derivative of the cost with respect to a, instead of z."""
    h, y = run.a(run.last + 1), run.targets()
    slope: Array = -y / h if run.problem.output == "softmax" else usual() / _output_slope(run)
    return slope


def _thresholded(run: Run, usual: Callable[[], Array]) -> Array:
    """The prediction, 0 or 1, instead of the output."""
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
    return not problem.squares


def _squares(problem: Problem) -> bool:
    return problem.squares


def _times(factor: Callable[[Run], Array]) -> Changes:
    return {"output_delta": lambda run, usual: usual() * factor(run)}


def _output_error(run: Run) -> Array:
    error: Array = run.a(run.last + 1) - run.targets()
    return error


def _z_for_a_at_the_output(run: Run, usual: Callable[[], Array]) -> Array:
    residual = _residual(run, run.z(run.last))
    return residual if _takes_logarithms(run.problem) else residual * _output_slope(run)


def _output_of(name: str) -> Changes:
    def change(run: Run, usual: Callable[[], Array]) -> Array:
        z, y, p = run.z(run.last), run.targets(), run.problem
        if _takes_logarithms(p):
            return backprop.activate(name, z) - y
        return backprop.delta_output(z, y, loss=p.loss, output_activation=name)

    return {"output_delta": change}


def _without_targets(run: Run, usual: Callable[[], Array]) -> Array:
    p, outputs = run.problem, run.a(run.last + 1)
    if _takes_logarithms(p):
        return outputs
    nothing = np.zeros_like(outputs)
    loss = p.loss
    residual = backprop.delta_output(outputs, nothing, loss=loss, output_activation="linear")
    return residual * _output_slope(run)


def _not_cancelled(wrong: Callable[[Run], Array]) -> Changes:
    """The cost's derivative by a is right, and multiplied by something else than g'(z)."""
    return _times(lambda run: wrong(run) / _output_slope(run))


ROWS: tuple[Mistake, ...] = (
    Mistake(
        "output.slope-doubled",
        "B11",
        "The output delta is multiplied by g'(z) once too often.",
        "With this loss g'(z) has cancelled, and delta = a - y: do not multiply by it.",
        (
            _times(_output_slope),
            _times(lambda run: backprop.derivative("sigmoid", run.a(run.last + 1))),
            _times(lambda run: run.z(run.last) * (1.0 - run.z(run.last))),
        ),
        _takes_logarithms,
    ),
    Mistake(
        "output.slope-doubled",
        "B8",
        "The output delta is multiplied by g'(z) once too often.",
        "For squared errors delta = (a - y) g'(z): one factor g'(z), not two.",
        (_times(_output_slope),),
        _squares,
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
        "The factor g'(z) is missing in the output delta: it is the derivative with respect to a, "
        "not z.",
        "Multiply by g'(z): the denominators cancel, and a - y is left.",
        ({"output_delta": _slope_missing_at_the_logarithms},),
        _takes_logarithms,
    ),
    *slopes.OUTPUT,
    Mistake(
        "output.slope-not-cancelled",
        "B11",
        "The derivative of the cost by a is multiplied by another slope than g'(z) = a(1 - a): the "
        "denominators do not cancel.",
        "dJ/da = (a - y)/(a(1 - a)), times g'(z) = a(1 - a): a - y is left.",
        (
            _not_cancelled(lambda run: run.a(run.last + 1)),
            _not_cancelled(lambda run: 1.0 - run.a(run.last + 1)),
            _not_cancelled(lambda run: backprop.derivative("sigmoid", run.a(run.last + 1))),
            _not_cancelled(lambda run: run.z(run.last) * (1.0 - run.z(run.last))),
        ),
        lambda problem: problem.loss == "logistic",
    ),
    Mistake(
        "output.targets-missing",
        "B8",
        "The targets are not subtracted: the output delta is a, not a - y.",
        "delta = a - y; of labels, subtract 1 where the class is: p[range(m), y] -= 1.",
        ({"output_delta": _without_targets},),
    ),
    Mistake(
        "output.softmax-diagonal",
        "B7",
        "Of the softmax's derivative only the diagonal p(1 - p) is used.",
        "Each output depends on every z; with the cross-entropy it all adds up to delta = p - y.",
        ({"output_delta": lambda run, usual: -run.targets() * (1.0 - run.a(run.last + 1))},),
        lambda problem: problem.output == "softmax",
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
        "The output delta is computed from z instead of a.",
        "Apply g first: delta starts from a - y, not from z - y.",
        ({"output_delta": _z_for_a_at_the_output},),
    ),
    Mistake(
        "output.wrong-activation",
        "B8",
        "The output layer uses a different activation from the stated one.",
        "Use the stated output activation, in the forward pass and in delta.",
        tuple(_output_of(name) for name in ("sigmoid", "softmax")),
        _takes_logarithms,
    ),
    Mistake(
        "output.wrong-activation",
        "B8",
        "The output layer uses a different activation from the stated one.",
        "Use the stated output activation, in the forward pass and in delta.",
        tuple(_output_of(name) for name in USUAL),
        _squares,
    ),
    Mistake(
        "output.not-differentiated",
        "B8",
        "The output delta has the square or the absolute value of the error, not the error.",
        "delta is made of a - y with its sign: the cost is differentiated already.",
        (
            _times(_output_error),
            _times(lambda run: np.sign(_output_error(run))),
            # With y - a for the error, and the sign put right at the end.
            _times(lambda run: -_output_error(run)),
            _times(lambda run: -np.sign(_output_error(run))),
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
)
