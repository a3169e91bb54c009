"""The formulas of the course notes, index by index."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from chainrule.backprop import (
    cost,
    delta_output,
    deltas,
    derivative,
    forward,
    gradients,
    one_hot,
    unroll,
)

from .references import assert_close, close, notes_problem


@pytest.mark.parametrize("lam", [0.0, 2.5])
@pytest.mark.parametrize("K", [1, 3])
def test_A1_A2_B7_cost_is_the_double_sum_plus_the_penalty_without_biases(K, lam):
    thetas, X, Y = notes_problem([3, 4, K], 6)
    h = forward(thetas, X).a[-1]
    m = len(X)
    data = 0.0
    for t, k in product(range(m), range(K)):
        data += -(Y[t, k] * math.log(h[t, k]) + (1 - Y[t, k]) * math.log(1 - h[t, k]))
    squares = sum(theta[j, i] ** 2 for theta in thetas for j, i in np.ndindex(theta.shape) if i > 0)
    assert cost(thetas, X, Y, lam) == close(data / m + lam / (2 * m) * squares)


def test_A4_A5_are_deltas_only_after_the_factor_g_prime():
    thetas, X, Y = notes_problem([2, 2, 2, 1], 1)
    z, delta = forward(thetas, X).z, deltas(thetas, X, Y)
    A5 = thetas[2][0, 2] * delta[2][0, 0]
    A4 = thetas[1][0, 2] * delta[1][0, 0] + thetas[1][1, 2] * delta[1][0, 1]
    assert delta[1][0, 1] == close(A5 * derivative("sigmoid", z[1])[0, 1])
    assert delta[0][0, 1] == close(A4 * derivative("sigmoid", z[0])[0, 1])


def test_A6_B8_the_output_delta_is_a_minus_y():
    thetas, X, Y = notes_problem([2, 2, 2, 1], 5)
    assert_close(deltas(thetas, X, Y)[-1:], [forward(thetas, X).a[-1] - Y])
    thetas, X, _ = notes_problem([2, 2, 4], 5)
    Y = one_hot([0, 1, 2, 3, 0], 4)
    softmax = forward(thetas, X, output_activation="softmax").a[-1]
    assert_close(deltas(thetas, X, Y, loss="cross_entropy")[-1:], [softmax - Y])


def test_A7_C5_z_is_the_bias_and_the_weighted_sum_of_both_units():
    thetas, X, _ = notes_problem([2, 2, 2, 1], 1)
    passed = forward(thetas, X)
    (a1, a2), theta = passed.a[1][0], thetas[1]
    assert passed.z[1][0, 0] == close(theta[0, 0] + theta[0, 1] * a1 + theta[0, 2] * a2)


def test_B1_B3_squared_error_through_a_sigmoid():
    thetas, X, Y = notes_problem([3, 4, 1], 7)
    options = {"loss": "half_squared_error", "reduction": "sum"}
    found = gradients(thetas, X, Y, **options)
    a2, yhat = found.a[1], found.a[2][:, 0]
    B1 = [sum(-(Y[:, 0] - yhat) * yhat * (1 - yhat) * a2[:, j]) for j in range(4)]
    assert_close([found.D[1][0, 1:]], [B1])

    neuron, inputs = thetas[0][:1], X
    y = forward([neuron], inputs).a[-1][:, 0]
    B3 = [-sum(inputs[:, i] * y * (1 - y) * (Y[:, 0] - y)) for i in range(3)]
    assert_close([gradients([neuron], inputs, Y, **options).D[0][0, 1:]], [B3])


def test_B4_B6_rows_for_examples_and_theta_on_the_right():
    thetas, X, y = notes_problem([2, 3, 1], 4)
    found = gradients(
        [theta.T for theta in thetas],
        X,
        y,
        loss="half_squared_error",
        reduction="sum",
        units="columns",
    )
    yhat, z2, z3 = found.a[2], found.z[0], found.z[1]
    delta3 = -(y - yhat) * derivative("sigmoid", z3)
    delta2 = delta3 @ thetas[1][:, 1:] * derivative("sigmoid", z2)
    assert_close([found.D[1][1:], found.D[0][1:]], [found.a[1].T @ delta3, X.T @ delta2])


def test_B5_C6_C7_a_hidden_delta_is_the_weighted_sum_of_the_next():
    thetas, X, Y = notes_problem([3, 4, 2, 3], 5)
    found = gradients(thetas, X, Y, loss="squared_error", activation="tanh")
    for t, k in np.ndindex(5, 4):
        dC_da = sum(thetas[1][j, 1 + k] * found.delta[1][t, j] for j in range(2))
        assert found.delta[0][t, k] == close(dC_da / math.cosh(found.z[0][t, k]) ** 2)
    for j, k in np.ndindex(3, 2):
        C7 = [
            found.a[2][t, k] * a * (1 - a) * 2 * (a - Y[t, j])
            for t, a in enumerate(found.a[3][:, j])
        ]
        assert found.D[2][j, 1 + k] == close(sum(C7) / 5)


def test_B9_B10_the_loop_over_examples_gives_Delta_and_D():
    thetas, X, Y = notes_problem([3, 4, 2], 5)
    lam, m = 1.7, 5
    found = gradients(thetas, X, Y, lam)
    for i, theta in enumerate(thetas):
        Delta = np.zeros_like(theta)
        for t in range(m):
            Delta = Delta + np.outer(found.delta[i][t], [1.0, *found.a[i][t]])
        D = (Delta + lam * theta) / m
        D[:, 0] = Delta[:, 0] / m
        assert_close([found.Delta[i], found.D[i]], [Delta, D])
        assert_close([gradients(thetas, X, Y).D[i]], [Delta / m])


def test_B2_B11_the_factors_of_the_output_delta():
    z = np.linspace(-5, 5, 21).reshape(-1, 1)
    for y in (0.0, 0.25, 1.0):
        a = 1 / (1 + np.exp(-z))
        dJ_da, da_dz = (y - 1) / (a - 1) - y / a, np.exp(-z) / (1 + np.exp(-z)) ** 2
        assert_close([derivative("sigmoid", z)], [da_dz])
        assert_close([delta_output(z, np.full_like(z, y))], [dJ_da * da_dz])


def test_B12_the_two_layer_expansion():
    thetas, X, y = notes_problem([1, 1, 1], 1)
    found = gradients(thetas, X, y)
    a0, a1, a2 = (a[0, 0] for a in found.a)
    assert found.D[0][0, 1] == close((a2 - y[0, 0]) * thetas[1][0, 1] * a1 * (1 - a1) * a0)


def test_C1_C2_C3_C4_a_chain_of_single_units():
    thetas, X, Y = notes_problem([1, 1, 1, 1], 3)
    found = gradients(thetas, X, Y, loss="squared_error")
    a, y = found.a[3][:, 0], Y[:, 0]
    dC_db = a * (1 - a) * 2 * (a - y)
    C3, C2 = dC_db.mean(), (found.a[2][:, 0] * dC_db).mean()
    assert found.D[2][0].tolist() == [close(C3), close(C2)]
    vector = unroll(found.D)
    assert vector.tolist() == [g for D in found.D for g in (D[0, 0], D[0, 1])]
