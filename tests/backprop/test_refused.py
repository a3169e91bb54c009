"""What does not fit is refused by name."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chainrule.backprop import (
    Cost,
    accumulate,
    activate,
    delta_hidden,
    delta_output,
    derivative,
    forward,
    one_hot,
    penalty,
    regularise,
    roll,
    unroll,
)

from .references import THETAS, X53, Y54, problem

REFUSED = [
    # shapes
    (
        {"thetas": [np.ones((2, 3)), np.ones((4, 4))]},
        ValueError,
        r"thetas\[1\] has shape \(4, 4\), but thetas\[0\] leads to 2 units: "
        r"expected \(4, 3\); column 0 is the bias",
    ),
    (
        {"thetas": [np.ones((3, 2)), np.ones((4, 4))], "units": "columns"},
        ValueError,
        r"thetas\[1\] has shape \(4, 4\), but thetas\[0\] leads to 2 units: "
        r"expected \(3, 4\); row 0 is the bias",
    ),
    ({"thetas": [np.ones(3)]}, ValueError, r"thetas\[0\] has shape \(3,\): expected a matrix, 2-D"),
    ({"thetas": [np.ones((2, 1))]}, ValueError, r"thetas\[0\] has shape \(2, 1\): .*one weight"),
    ({"thetas": [np.ones((0, 3))]}, ValueError, r"thetas\[0\] has shape \(0, 3\): .*at least one"),
    ({"thetas": []}, ValueError, "thetas is empty: expected at least one matrix"),
    (
        {"thetas": np.ones((2, 3))},
        TypeError,
        r"thetas is one array of shape \(2, 3\): .*\[matrix\]",
    ),
    ({"thetas": None}, TypeError, "thetas is None: expected a list of matrices"),
    ({"X": np.ones((5, 4))}, ValueError, r"X has shape \(5, 4\).*2 inputs.*expected \(5, 2\)$"),
    ({"X": np.ones((5, 3))}, ValueError, r"expected \(5, 2\); leave out the column of ones"),
    ({"X": np.ones((2, 5))}, ValueError, r"X has shape \(2, 5\).*is X transposed\?"),
    ({"X": np.ones(2)}, ValueError, r"X has shape \(2,\).*2-D; one example is X.reshape\(1, -1\)"),
    (
        {"X": np.ones(2), "examples": "columns"},
        ValueError,
        r"one example is X.reshape\(-1, 1\)",
    ),
    ({"X": np.ones((1, 5, 2))}, ValueError, r"X has shape \(1, 5, 2\): expected a matrix"),
    ({"X": np.ones((0, 2))}, ValueError, r"X has shape \(0, 2\): expected at least one row"),
    ({"X": [[1, 2], [3]]}, ValueError, "X is ragged: expected rows of equal length"),
    ({"Y": np.ones((5, 1))}, ValueError, r"Y has shape \(5, 1\): expected \(5, 4\).*one_hot"),
    ({"Y": [0, 1, 2, 3, 0]}, ValueError, r"Y has shape \(5,\): expected a matrix.*one_hot"),
    (
        {"X": X53.T, "Y": Y54, "examples": "columns"},
        ValueError,
        r"Y has shape \(5, 4\): expected \(4, 5\), for 5 examples and 4 outputs",
    ),
    # kinds of numbers
    ({"X": X53 + 0j}, TypeError, "X has dtype complex128: expected real numbers"),
    ({"X": X53.astype(object)}, TypeError, "X has dtype object: .*; take .data of each Value"),
    ({"X": [["a", "b"]]}, TypeError, "X has dtype <U1: expected real numbers"),
    ({"Y": Y54.astype("M8[s]")}, TypeError, "Y has dtype datetime64"),
    ({"thetas": [THETAS[0], THETAS[1] * 1j]}, TypeError, r"thetas\[1\] has dtype complex128"),
    # targets
    ({"Y": 4 * Y54}, ValueError, r"the target of example 0, output 0, is 4.0: the logistic loss"),
    ({"Y": np.nan * Y54}, ValueError, r"is nan: the logistic loss expects targets in \[0, 1\]"),
    ({"Y": -Y54, "loss": "cross_entropy"}, ValueError, "the cross_entropy loss expects"),
    ({"Y": Y54 / 2, "loss": "cross_entropy"}, ValueError, r"example 0 sum to 0.5: .*sum to 1"),
    # lambda
    ({"lam": -1}, ValueError, "lam is -1.0: expected a finite number, 0 or more"),
    ({"lam": math.nan}, ValueError, "lam is nan"),
    ({"lam": math.inf}, ValueError, "lam is inf"),
    ({"lam": 1j}, TypeError, "lam is 1j: expected a real number"),
    ({"lam": "1"}, TypeError, "lam is '1': expected a real number"),
    ({"lam": [1.0]}, TypeError, r"lam is \[1.0\]"),
    # names
    (
        {"loss": "mse"},
        ValueError,
        "loss is 'mse': expected one of 'logistic', 'cross_entropy', 'half_squared_error', "
        "'squared_error'",
    ),
    (
        {"activation": "selu"},
        ValueError,
        "activation is 'selu': expected one of 'sigmoid', 'tanh', 'relu', 'linear', 'leaky_relu'",
    ),
    ({"activation": ["softmax"]}, ValueError, "activation is 'softmax'"),
    ({"activation": "relu(0.2)"}, ValueError, r"activation is 'relu\(0.2\)': expected one of"),
    ({"activation": None}, ValueError, "activation is None"),
    ({"activation": ["relu", "relu"]}, ValueError, "names 2 layers: expected 1.*output_activation"),
    (
        {"output_activation": "tanh"},
        ValueError,
        "output_activation for loss 'logistic' is 'tanh': expected one of 'sigmoid', 'linear'",
    ),
    (
        {"output_activation": "sigmoid", "loss": "cross_entropy"},
        ValueError,
        "expected one of 'softmax', 'linear'",
    ),
    ({"reduction": "none"}, ValueError, "reduction is 'none': expected one of 'mean', 'sum'"),
    ({"examples": "row"}, ValueError, "examples is 'row': expected one of 'rows', 'columns'"),
    ({"units": "col"}, ValueError, "units is 'col': expected one of 'rows', 'columns'"),
]


@pytest.mark.parametrize(("changes", "error", "message"), REFUSED)
def test_bad_arguments_are_refused_by_name(changes, error, message):
    with pytest.raises(error, match=message):
        problem(**changes)


def test_the_arguments_those_are_varied_from_are_good():
    assert math.isfinite(problem().cost)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: forward(THETAS, X53, output_activation="x"),
            ValueError,
            "silu', 'softmax'",
        ),
        (lambda: activate("selu", [0.0]), ValueError, "activation is 'selu': .*'softmax'"),
        (lambda: activate("softmax", [0.0]), ValueError, r"z has shape \(1,\): softmax expects"),
        (lambda: derivative("softmax", [0.0]), ValueError, "activation is 'softmax'"),
        (
            lambda: delta_hidden(np.ones((2, 3)), np.ones((5, 3)), np.ones((5, 2))),
            ValueError,
            r"theta has shape \(2, 3\), delta_next \(5, 3\), z \(5, 2\): expected \(s_next",
        ),
        (
            lambda: accumulate(np.ones((5, 2)), np.ones((4, 3))),
            ValueError,
            r"delta_next has shape \(5, 2\) and a \(4, 3\): expected the same number of rows",
        ),
        (
            lambda: delta_output(np.ones((5, 2)), np.ones((5, 1))),
            ValueError,
            r"Y has shape \(5, 1\): expected the shape of z, \(5, 2\)",
        ),
        (
            lambda: regularise(np.ones((2, 3)), np.ones((3, 2)), 1, 1),
            ValueError,
            r"Delta has shape \(2, 3\): expected that of theta, \(3, 2\)",
        ),
        (lambda: penalty(THETAS, 1, 0), ValueError, "m is 0: expected a number of examples"),
        (lambda: penalty(THETAS, -1, 1), ValueError, "lam is -1.0"),
        (lambda: unroll(THETAS, order="A"), ValueError, "order is 'A': expected one of 'C', 'F'"),
        (lambda: roll([1, 2], [(2, 2)]), ValueError, r"vector has shape \(2,\): expected \(4,\)"),
        (lambda: roll([[1, 2]], [(1, 2)]), ValueError, r"vector has shape \(1, 2\)"),
        (lambda: roll([], []), ValueError, r"shapes is \[\]: expected pairs"),
        (lambda: roll([1, 2], [(2,)]), ValueError, r"shapes is \[\(2,\)\]: expected pairs"),
        (lambda: roll([1, 2], [(-1, -2)]), ValueError, "expected pairs .*, all 1 or more"),
        (lambda: one_hot([1, 10], 10), ValueError, r"labels\[1\] is 10: .*from 0 to 9.*first=0"),
        (lambda: one_hot([0], 3, first=1), ValueError, r"labels\[0\] is 0: .*from 1 to 3"),
        (lambda: one_hot([0.5], 3), ValueError, r"labels\[0\] is 0.5: expected a whole number"),
        (lambda: one_hot([math.nan], 3), ValueError, r"labels\[0\] is nan"),
        (lambda: one_hot(["cat"], 3), TypeError, "labels has dtype <U3"),
        (lambda: one_hot([[1, 2]], 3), ValueError, r"labels has shape \(1, 2\): .*one label"),
        (lambda: one_hot([], 3), ValueError, r"labels has shape \(0,\)"),
        (lambda: one_hot([0], 0), ValueError, "K is 0: expected at least one class"),
        (lambda: one_hot([0], 2.5), TypeError, "K is 2.5: expected a whole number"),
        (lambda: one_hot([0], 3, first="1"), TypeError, "first is '1': expected a whole number"),
        (lambda: roll([1, 2], None), TypeError, r"shapes is None: expected pairs"),
        (lambda: roll([1, 2], [2]), TypeError, r"shapes is \[2\]: expected pairs"),
        (lambda: roll([1, 2], [(1.0, 2.0)]), TypeError, r"shapes is .*: expected pairs"),
        (lambda: penalty(THETAS, 10**400, 1), ValueError, "lam is inf: expected a finite number"),
        (lambda: activate(np.array(["tanh"]), [0.0]), ValueError, "activation is array"),
        (lambda: Cost().hidden(2.5), TypeError, "count is 2.5: expected a whole number"),
    ],
)
def test_the_single_steps_refuse_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()
