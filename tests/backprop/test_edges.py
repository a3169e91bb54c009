"""The closed form at the edges: tails, kinks, infinities, and arrays of all kinds."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from chainrule.backprop import (
    ACTIVATIONS,
    LOSSES,
    activate,
    cost,
    delta_output,
    derivative,
    example_costs,
    gradients,
    one_hot,
    penalty,
    regularise,
    roll,
)

from .references import assert_close, ng_problem, notes_problem

# ---------------------------------------------------------------- the edges


@pytest.mark.parametrize("z", [1000.0, -1000.0, 40.0, -40.0, 700.0, -750.0, 0.3])
@pytest.mark.parametrize("y", [0.0, 1.0, 0.25])
def test_logistic_loss_is_exact_from_logits(z, y):
    with mpmath.workdps(1000):
        a = 1 / (1 + mpmath.exp(-mpmath.mpf(z)))
        J, delta = -(y * mpmath.log(a) + (1 - y) * mpmath.log(1 - a)), a - y
        expected = float(J), float(delta)
    assert example_costs([[z]], [[y]])[0] == pytest.approx(expected[0], rel=1e-14, abs=0)
    assert delta_output([[z]], [[y]])[0, 0] == pytest.approx(expected[1], rel=1e-14, abs=0)


@pytest.mark.parametrize(
    "z", [[1000, -1000, 0], [-1000, 0, 1000], [40, 0, -3], [7, 7, 7], [700, 690, -5], [1, 2, 3]]
)
@pytest.mark.parametrize("y", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.25, 0.25]])
def test_cross_entropy_is_exact_from_logits(z, y):
    with mpmath.workdps(1000):
        total = mpmath.fsum(mpmath.exp(v) for v in z)
        J = float(-mpmath.fsum(t * (v - mpmath.log(total)) for t, v in zip(y, z, strict=True)))
        delta = [float(mpmath.exp(v) / total - t) for t, v in zip(y, z, strict=True)]
    assert example_costs([z], [y], loss="cross_entropy")[0] == pytest.approx(J, rel=1e-14, abs=0)
    found = delta_output([z], [y], loss="cross_entropy")[0]
    # Where a soft target meets its probability, a - y has only the absolute accuracy of a.
    tiny = 0 if 1 in y else 1e-15
    assert found == pytest.approx(delta, rel=1e-14, abs=tiny)


@pytest.mark.parametrize("size", [1000.0, -1000.0])
@pytest.mark.parametrize("loss", ["logistic", "cross_entropy"])
def test_saturated_networks_have_finite_cost_and_gradient(loss, size):
    found = gradients([[[0, size], [0, -size]]], [[1.0]], [[0, 1]], loss=loss)
    assert (
        found.cost
        == {
            ("logistic", 1000.0): 2000.0,
            ("logistic", -1000.0): 0.0,
            ("cross_entropy", 1000.0): 2000.0,
            ("cross_entropy", -1000.0): 0.0,
        }[loss, size]
    )
    assert np.isfinite(found.D[0]).all()


def test_a_certain_answer_costs_nothing_even_at_infinity():
    assert example_costs([[np.inf], [-np.inf]], [[1], [0]]).tolist() == [0.0, 0.0]
    assert example_costs([[np.inf], [-np.inf]], [[0], [1]]).tolist() == [np.inf, np.inf]
    assert example_costs([[0.0, -np.inf]], [[1, 0]], loss="cross_entropy").tolist() == [0.0]


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_derivatives_keep_full_relative_accuracy_in_both_tails(name):
    exact = {
        "sigmoid": lambda z: mpmath.exp(-z) / (1 + mpmath.exp(-z)) ** 2,
        "tanh": lambda z: mpmath.sech(z) ** 2,
    }[name]
    points = [s * z for s in (1, -1) for z in (1e-300, 1e-8, 0.5, 1.0, 5.0, 20.0, 40.0, 300.0)]
    with mpmath.workdps(50):
        expected = [float(exact(mpmath.mpf(z))) for z in points]
    assert derivative(name, points) == pytest.approx(expected, rel=2e-15, abs=0)


def test_derivatives_and_activations_at_the_edges():
    edges = [0.0, -0.0, np.inf, -np.inf, np.nan]
    expected = {
        "sigmoid": ([0.5, 0.5, 1, 0, np.nan], [0.25, 0.25, 0, 0, np.nan]),
        "tanh": ([0, 0, 1, -1, np.nan], [1, 1, 0, 0, np.nan]),
        "relu": ([0, 0, np.inf, 0, np.nan], [0, 0, 1, 0, np.nan]),
        "linear": (edges, [1, 1, 1, 1, 1]),
        "leaky_relu": ([0, 0, np.inf, -np.inf, np.nan], [0.01, 0.01, 1, 0.01, np.nan]),
        "elu": ([0, 0, np.inf, -1, np.nan], [1, 1, 1, 0, np.nan]),
        "softplus": ([np.log(2), np.log(2), np.inf, 0, np.nan], [0.5, 0.5, 1, 0, np.nan]),
        "silu": ([0, 0, np.inf, 0, np.nan], [0.5, 0.5, 1, 0, np.nan]),
    }
    assert set(expected) == set(ACTIVATIONS)
    for name, (value, slope) in expected.items():
        np.testing.assert_array_equal(activate(name, edges), value)
        np.testing.assert_array_equal(derivative(name, edges), slope)
    assert not np.signbit(activate("relu", [-0.0]))[0]
    assert np.signbit(activate("linear", [-0.0]))[0]


def test_a_relu_exactly_at_its_kink_passes_nothing_back():
    found = gradients([[[0.0, 1.0]], [[0.0, 1.0]]], [[0.0]], [[1]], activation="relu")
    assert found.D[0].tolist() == [[0.0, 0.0]]


def test_nan_goes_through_and_overflow_is_silent():
    thetas, X, Y = notes_problem([3, 4, 2], 5)
    X[0, 0] = np.nan
    assert math.isnan(cost(thetas, X, Y, 1.0))
    huge = [[[0.0, 1e200]], [[0.0, 1e200]]]
    found = gradients(
        huge,
        [[1e200]],
        [[0.0]],
        1.0,
        activation="linear",
        output_activation="linear",
        loss="squared_error",
    )
    assert found.cost == math.inf


def test_without_penalty_infinite_weights_do_not_become_nan_by_0_times_inf():
    theta = [[0.0, np.inf]]
    assert penalty([theta], 0.0, 1) == 0.0
    assert regularise([[1.0, 2.0]], theta, 0.0, 1).tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint8, bool, np.longdouble])
def test_any_real_dtype_is_computed_in_float64(dtype):
    thetas = [np.ones((2, 3), dtype=dtype), np.ones((1, 3), dtype=dtype)]
    X, Y = np.ones((4, 2), dtype=dtype), np.ones((4, 1), dtype=dtype)
    found, expected = (
        gradients(*problem, 1)
        for problem in (
            (thetas, X, Y),
            ([theta.astype(float) for theta in thetas], X.astype(float), Y.astype(float)),
        )
    )
    assert found.cost == expected.cost
    assert_close(found.D, expected.D, rtol=0)
    assert {array.dtype for array in (*found.D, *found.delta, *found.a)} == {np.dtype(np.float64)}


@pytest.mark.parametrize("loss", LOSSES)
def test_inputs_are_neither_modified_nor_shared(loss):
    thetas, X, _ = notes_problem([3, 4, 2], 5)
    Y = one_hot([0, 1, 0, 1, 0], 2)
    given = [*thetas, X, Y]
    before = [array.copy() for array in given]
    found = gradients(thetas, X, Y, 2.0, loss=loss, output_activation=LOSSES[loss][-1])
    for array in (*found.z, *found.a, *found.delta, *found.Delta, *found.D):
        assert array.flags.writeable
        array[...] = -1.0
    for array, copy in zip(given, before, strict=True):
        assert np.array_equal(array, copy)
    rolled, vector = roll(X.ravel(), [(5, 3)]), X.ravel()
    rolled[0][...] = 0.0
    assert np.array_equal(X.ravel(), vector)


def test_the_arrays_of_one_result_do_not_share_memory():
    thetas, X, Y = notes_problem([3, 4, 2], 5)
    options = {
        "activation": "linear",
        "output_activation": "linear",
        "loss": "half_squared_error",
        "reduction": "sum",
    }
    found = gradients(thetas, X, Y, **options)
    arrays = [*found.z, *found.a, *found.delta, *found.Delta, *found.D]
    for i, array in enumerate(arrays):
        assert not any(np.shares_memory(array, other) for other in arrays[i + 1 :])


def test_results_cannot_be_rebound_by_accident():
    found = gradients(*ng_problem())
    with pytest.raises(AttributeError):
        found.D = ()
