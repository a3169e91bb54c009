"""Logistic regression as courses set it: theta is a vector, X has the ones in it, y is a vector.

Its cost comes with the gradient, and says what is meant: an error of the gradient is not a
convention then.
"""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.checking import diagnose

pytestmark = pytest.mark.numpy_alone

RIGHT = """
def regression(theta, X, y, lambda_):
    m = y.size
    h = 1 / (1 + np.exp(-(X @ theta)))
    J = -(y @ np.log(h) + (1 - y) @ np.log(1 - h)) / m + lambda_ / (2 * m) * (theta[1:] ** 2).sum()
    error = h - y
    grad = X.T @ error / m
    grad[1:] += lambda_ / m * theta[1:]
    return J, grad
"""


def program(old="", new=""):
    assert not old or RIGHT.count(old) == 1
    space = {"np": np}
    exec(RIGHT.replace(old, new) if old else RIGHT, space)
    return space["regression"]


def test_the_right_one_is_right_whatever_passes_the_shapes():
    report = diagnose(program())
    assert report.ok
    assert report.problem.thetas[0].shape == (1, 6)
    assert report.problem.biases


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("grad[1:] += lambda_ / m * theta[1:]", "grad += lambda_ / m * theta", "penalty.on-bias"),
        ("grad[1:] += lambda_ / m", "grad[1:] += lambda_", "penalty.not-divided"),
        ("    grad[1:] += lambda_ / m * theta[1:]\n", "", "penalty.missing"),
        ("error / m", "error", "mean.missing"),
        ("error = h - y", "error = y - h", "sign.error"),
        ("error = h - y", "error = (h - y) * h * (1 - h)", "output.slope-doubled"),
    ],
)
def test_a_slip_in_the_gradient_is_named_for_the_cost_says_what_is_meant(old, new, code):
    assert diagnose(program(old, new)).codes == (code,)


def test_a_cost_that_is_not_the_usual_one_says_nothing_against_what_is_stated():
    """Both are sums, as is stated."""
    both = RIGHT.replace(" / m + lambda_ / (2 * m)", " + lambda_ / 2").replace("error / m", "error")
    space = {"np": np}
    exec(both.replace("lambda_ / m", "lambda_"), space)
    report = diagnose(space["regression"], reduction="sum")
    assert report.ok
