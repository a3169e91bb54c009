"""The closed-form gradients against the complex step, the notes' formulas and published numbers.

The reference cost below is written a second time, in plain complex arithmetic, so that one
evaluation at theta + ih gives the derivative to rounding: Im J(theta + ih) / h, with nothing to
subtract.
"""

from __future__ import annotations

import ast
import dataclasses
import math
from itertools import pairwise, product
from pathlib import Path

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule import backprop
from chainrule.backprop import (
    ACTIVATIONS,
    LOSSES,
    Cost,
    accumulate,
    activate,
    cost,
    delta_hidden,
    delta_output,
    deltas,
    derivative,
    example_costs,
    forward,
    gradients,
    one_hot,
    penalty,
    regularise,
    roll,
    unroll,
    with_bias,
)

# ---------------------------------------------------------------- the complex-step reference

STEP = 1e-30

G = {
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "relu": lambda z: np.where(z.real > 0, z, 0),
    "linear": lambda z: z,
}


def reference_cost(thetas, X, Y, lam, loss, names, divisor):
    """J by the textbook formulas; every theta may carry leading axes, over which it broadcasts.

    1 - h and 1/h are written out rather than subtracted, so that the reference is no less exact
    than what it judges.
    """
    a = X
    for theta, name in zip(thetas, [*names[:-1], "linear"], strict=True):
        weights, bias = np.swapaxes(theta[..., 1:], -1, -2), theta[..., np.newaxis, :, 0]
        a = G[name](a @ weights + bias)
    if loss == "logistic":
        h, one_minus_h = G["sigmoid"](a), G["sigmoid"](-a)
        total = -(Y * np.log(h) + (1 - Y) * np.log(one_minus_h)).sum((-1, -2))
    elif loss == "cross_entropy":
        one_over_h = np.exp(a[..., np.newaxis, :] - a[..., :, np.newaxis]).sum(-1)
        total = (Y * np.log(one_over_h)).sum((-1, -2))
    else:
        factor = {"half_squared_error": 0.5, "squared_error": 1.0}[loss]
        total = factor * ((G[names[-1]](a) - Y) ** 2).sum((-1, -2))
    squares = sum((theta[..., 1:] ** 2).sum((-1, -2)) for theta in thetas)
    return (total + lam / 2 * squares) / divisor


def complex_step(thetas, X, Y, lam, loss, names, divisor):
    result = []
    for i, theta in enumerate(thetas):
        nudges = np.eye(theta.size).reshape(theta.size, *theta.shape)
        nudged = [*thetas[:i], theta + 1j * STEP * nudges, *thetas[i + 1 :]]
        slopes = reference_cost(nudged, X, Y, lam, loss, names, divisor).imag / STEP
        result.append(slopes.reshape(theta.shape))
    return result


def assert_close(ours, expected, rtol=1e-12, terms=None):
    """Compare matrix by matrix, relative to the largest entry of *terms*, by default *expected*."""
    terms = expected if terms is None else terms
    for i, (found, wanted, scale) in enumerate(zip(ours, expected, terms, strict=True)):
        wanted = np.asarray(wanted)
        assert found.shape == wanted.shape, f"matrix {i}"
        assert np.isfinite(scale).all(), f"matrix {i}"
        worst = np.abs(found - wanted).max()
        assert worst <= rtol * np.abs(scale).max(), f"matrix {i}: off by {worst}"


def sizes_of_terms(found, thetas, lam, names, divisor):
    """B5 and B10 with every term taken absolutely: what the deltas and D are sums of.

    Where terms cancel, two correct programs agree to the rounding of the terms, not of their sum.
    """
    delta = [np.abs(found.delta[-1])]
    for theta, z, name in zip(thetas[:0:-1], found.z[-2::-1], names[::-1], strict=True):
        delta.insert(0, delta[0] @ np.abs(theta[:, 1:]) * derivative(name, z))
    sums = [d.T @ with_bias(np.abs(a)) for d, a in zip(delta, found.a[:-1], strict=True)]
    return delta, [(s + lam * abs(t)) / divisor for s, t in zip(sums, thetas, strict=True)]


def targets(rng, loss, a):
    """Targets fit for the loss, and none so near the output a that a - y would cancel."""
    m, K = a.shape
    if loss == "logistic":
        return rng.integers(0, 2, (m, K)).astype(float)
    if loss == "cross_entropy":
        return one_hot(rng.integers(0, K, m), K)
    return a + rng.choice([-1.0, 1.0], (m, K)) * rng.uniform(0.1, 2.0, (m, K))


@st.composite
def problems(draw, loss, output_activation, min_outputs=1):
    depth = draw(st.integers(1, 5))
    widths = [draw(st.integers(1, 8)) for _ in range(depth)]
    widths.append(draw(st.integers(min_outputs, 8)))
    names = [draw(st.sampled_from(ACTIVATIONS)) for _ in range(depth - 1)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    m = draw(st.integers(1, 20))
    lam = draw(st.sampled_from([0.0, 1.3, 40.0]))
    thetas = [rng.normal(0, 1 / math.sqrt(s), (t, 1 + s)) for s, t in pairwise(widths)]
    X = rng.normal(0, 1, (m, widths[0]))
    a = forward(thetas, X, activation=names, output_activation=output_activation).a[-1]
    return thetas, X, targets(rng, loss, a), lam, names


PAIRS = [(loss, output) for loss, outputs in LOSSES.items() for output in outputs]


@pytest.mark.parametrize(("loss", "output"), PAIRS)
@settings(deadline=None, max_examples=100)
@given(data=st.data(), reduction=st.sampled_from(["mean", "sum"]))
def test_gradients_are_those_of_the_complex_step(loss, output, data, reduction):
    # With one output softmax is constant, and its gradient is exactly 0: tested on its own below.
    thetas, X, Y, lam, names = data.draw(problems(loss, output, 1 + (loss == "cross_entropy")))
    options = {
        "loss": loss,
        "activation": names,
        "output_activation": output,
        "reduction": reduction,
    }
    divisor = len(X) if reduction == "mean" else 1
    reference = (X, Y, lam, loss, [*names, output], divisor)

    found = gradients(thetas, X, Y, lam, **options)

    _, terms = sizes_of_terms(found, thetas, lam, names, divisor)
    assert_close(found.D, complex_step(thetas, *reference), terms=terms)
    assert found.cost == pytest.approx(reference_cost(thetas, *reference), rel=1e-12)
    assert cost(thetas, X, Y, lam, **options) == found.cost


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_deltas_are_the_derivatives_by_z_of_each_examples_cost(data):
    # Nudging z_j of a layer is nudging its bias, one example at a time.
    loss, output = data.draw(st.sampled_from(PAIRS))
    thetas, X, Y, _, names = data.draw(problems(loss, output, 1 + (loss == "cross_entropy")))
    options = {"loss": loss, "activation": names, "output_activation": output}
    found = deltas(thetas, X, Y, **options)
    terms, _ = sizes_of_terms(gradients(thetas, X, Y, **options), thetas, 0.0, names, 1)
    for t in range(len(X)):
        one = complex_step(thetas, X[t : t + 1], Y[t : t + 1], 0.0, loss, [*names, output], 1)
        expected = [slopes[:, 0] for slopes in one]
        rows = [delta[t] for delta in found]
        assert_close(rows, expected, terms=[term[t] for term in terms])


def test_a_single_softmax_output_has_nothing_to_learn():
    found = gradients(
        [[[0.3, -2.0]], [[0.1, 5.0]]], [[1.0], [2.0]], [[1], [1]], loss="cross_entropy"
    )
    assert found.cost == 0.0
    assert all(np.array_equal(D, np.zeros((1, 2))) for D in found.D)


def test_the_complex_step_reference_itself_would_notice_a_wrong_derivative():
    thetas, X, Y = ng_problem()
    right = complex_step(thetas, X, Y, 3.0, "logistic", ["sigmoid", "sigmoid"], 3)
    wrong = gradients(thetas, X, Y, 3.0 * (1 + 1e-10)).D
    with pytest.raises(AssertionError, match="off by"):
        assert_close(wrong, right)


# ---------------------------------------------------------------- the notes, index by index


def notes_problem(widths, m, seed=0):
    rng = np.random.default_rng(seed)
    thetas = [rng.normal(0, 1, (t, 1 + s)) for s, t in pairwise(widths)]
    return thetas, rng.normal(0, 1, (m, widths[0])), rng.integers(0, 2, (m, widths[-1]))


def close(value):
    return pytest.approx(value, rel=1e-12, abs=0)


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


# ---------------------------------------------------------------- published worked examples


def mazur(thetas, **options):
    return gradients(thetas, [[0.05, 0.10]], [[0.01, 0.99]], loss="half_squared_error", **options)


MAZUR = (
    np.array([[0.35, 0.15, 0.20], [0.35, 0.25, 0.30]]),
    np.array([[0.60, 0.40, 0.45], [0.60, 0.50, 0.55]]),
)


def test_mazur_step_by_step_backpropagation():
    found = mazur(MAZUR)
    z, costs = found.z, example_costs(found.z[1].T, [[0.01], [0.99]], loss="half_squared_error")
    assert z[0][0] == pytest.approx([0.3775, 0.3925], abs=5e-10)
    assert found.a[1][0] == pytest.approx([0.593269992, 0.596884378], abs=6e-10)
    assert z[1][0] == pytest.approx([1.105905967, 1.224921404], abs=6e-10)
    assert found.a[2][0] == pytest.approx([0.751365070, 0.772928465], abs=6e-10)
    assert costs == pytest.approx([0.274811083, 0.023560026], abs=6e-10)
    assert found.cost == pytest.approx(0.298371109, abs=6e-10)
    assert found.delta[0][0] == pytest.approx([0.008771355, 0.009954255], abs=6e-10)
    assert found.delta[1][0] == pytest.approx([0.138498562, -0.038098237], abs=6e-10)
    weights = np.concatenate([D[:, 1:].ravel() for D in found.D])
    published = """.000438567734 .000877135469 .000497712735 .000995425471
                   .082167040564 .082667627848 -.022602540477 -.022740242216"""
    assert weights == pytest.approx([float(w) for w in published.split()], abs=6e-13)
    # One bias is shared by the units of a layer, so its gradient is the sum of theirs.
    shared = [D[:, 0].sum() for D in found.D]
    assert shared == pytest.approx([0.018725609395, 0.100400325112], abs=6e-13)


def mazur_step(D):
    """One step of eta = 0.5 that leaves the biases where they are."""
    return [theta - 0.5 * d * [0, 1, 1] for theta, d in zip(MAZUR, D, strict=True)]


def test_mazur_after_one_step():
    stepped = mazur_step(mazur(MAZUR).D)
    weights = np.concatenate([theta[:, 1:].ravel() for theta in stepped])
    published = """.149780716 .19956143 .24975114 .29950229
                   .35891648 .408666186 .511301270 .561370121"""
    assert weights == pytest.approx([float(w) for w in published.split()], abs=6e-9)
    assert mazur(stepped).cost == close(0.29102777369359933)


def test_mazur_published_error_comes_from_weights_updated_too_soon():
    found = mazur(MAZUR)
    updated = mazur_step(found.D)[1]
    late = delta_hidden(updated, found.delta[1], found.z[0])
    stepped = mazur_step([accumulate(late, found.a[0]), found.D[1]])
    assert mazur(stepped).cost == pytest.approx(0.291027924, abs=6e-10)


def ng_problem():
    thetas = roll(np.arange(1, 19) / 10, [(2, 3), (4, 3)], order="F")
    X = np.cos([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    return list(thetas), X, one_hot([4, 2, 3], 4, first=1)


NG = {
    0.0: (
        7.406969856065749,
        """0.766138 0.979897 -0.027540 -0.035844 -0.024929 -0.053862
           0.883417 0.568762 0.584668 0.598139 0.459314 0.344618
           0.256313 0.311885 0.478337 0.368920 0.259771 0.322331""",
        6e-7,
    ),
    3.0: (
        16.45696985606575,
        """0.76614 0.97990 0.27246 0.36416 0.47507 0.54614
           0.88342 0.56876 0.58467 0.59814 1.55931 1.54462
           1.55631 1.71189 1.97834 1.96892 1.95977 2.12233""",
        6e-6,
    ),
}


@pytest.mark.parametrize("lam", NG)
def test_ng_cost_and_unrolled_gradient(lam):
    J, published, abs_tol = NG[lam]
    found = gradients(*ng_problem(), lam)
    assert found.cost == close(J)
    expected = [float(number) for number in published.split()]
    assert unroll(found.D, order="F") == pytest.approx(expected, abs=abs_tol)


def test_ng_cost_at_lambda_4_and_deltas():
    assert cost(*ng_problem(), 4) == close(19.473636522732416)
    expected = [
        [0.7939316618, 1.0528075567],
        [0.7367358131, 0.9512816635],
        [0.767747634, 0.935601378],
    ]
    assert deltas(*ng_problem())[0] == pytest.approx(np.array(expected), abs=6e-11)


def test_ng_sigmoid_gradient_table():
    found = derivative("sigmoid", [-1, -0.5, 0, 0.5, 1])
    assert found == pytest.approx([0.196612, 0.235004, 0.25, 0.235004, 0.196612], abs=5e-7)


def test_nielsen_single_neuron():
    found = gradients([[[0.9, 0.6]]], [[1.0]], [[0.0]], loss="half_squared_error")
    assert round(found.a[1][0, 0], 2) == 0.82
    assert found.D[0][0] == pytest.approx([0.121938, 0.121938], abs=6e-7)


@pytest.mark.parametrize(
    ("name", "theta", "x", "a", "dw", "dx"),
    [
        (
            "sigmoid",
            [[-3.0, 2.0, -3.0]],
            [[-1.0, -2.0]],
            0.7310585786300049,
            [0.19661193324148185, -0.19661193324148185, -0.3932238664829637],
            [0.3932238664829637, -0.5898357997244456],
        ),
        (
            "tanh",
            [[6.8813735870195432, -3.0, 1.0]],
            [[2.0, 0.0]],
            0.7071067811865476,
            [0.5, 1.0, 0.0],
            [-1.5, 0.5],
        ),
    ],
    ids=["CS231n", "micrograd"],
)
def test_published_single_neurons(name, theta, x, a, dw, dx):
    # Here the output itself is differentiated, so delta is g'(z).
    passed = forward([theta], x, output_activation=name)
    delta = derivative(name, passed.z[0])
    assert passed.a[1][0, 0] == close(a)
    assert accumulate(delta, x)[0] == pytest.approx(dw, rel=1e-12)
    assert delta_hidden(theta, delta, x, "linear")[0] == pytest.approx(dx, rel=1e-12)


def test_small_published_linear_networks():
    options = {"output_activation": "linear"}
    found = gradients([[[8.0, 2.0]]], [[-2.0]], [[2.0]], loss="half_squared_error", **options)
    assert (found.cost, found.D[0].tolist()) == (2.0, [[2.0, -4.0]])

    W = [[0.0, 0.1, 0.5], [0.0, -0.3, 0.8]]
    found = gradients([W], [[0.2, 0.4]], [[0.0, 0.0]], loss="squared_error", **options)
    assert found.cost == close(0.116)
    assert_close([found.D[0][:, 1:]], [[[0.088, 0.176], [0.104, 0.208]]])
    dx = delta_hidden(W, found.delta[0], [[0.2, 0.4]], "linear")
    assert_close([dx], [[[-0.112, 0.636]]])


# ---------------------------------------------------------------- conventions


@pytest.mark.parametrize("units", ["rows", "columns"])
@pytest.mark.parametrize("examples", ["rows", "columns"])
def test_conventions_only_transpose(examples, units):
    thetas, X, Y = notes_problem([3, 4, 2], 5)
    plain = gradients(thetas, X, Y, 1.3)
    by_example = np.transpose if examples == "columns" else np.asarray
    by_unit = np.transpose if units == "columns" else np.asarray

    network = [by_unit(theta) for theta in thetas]
    layout = {"examples": examples, "units": units}
    turned = gradients(network, by_example(X), by_example(Y), 1.3, **layout)

    assert turned.cost == plain.cost
    for field, turn in product(("z", "a", "delta"), [by_example]):
        assert_close(getattr(turned, field), [turn(w) for w in getattr(plain, field)], rtol=0)
    for field, turn in product(("Delta", "D"), [by_unit]):
        assert_close(getattr(turned, field), [turn(w) for w in getattr(plain, field)], rtol=0)
    passed = forward(network, by_example(X), **layout)
    assert_close(passed.z, turned.z, rtol=0)
    assert_close(passed.a, turned.a, rtol=0)
    assert_close(deltas(network, by_example(X), by_example(Y), **layout), turned.delta, rtol=0)


def test_the_column_convention_is_theta_times_a():
    theta, x = np.array([[0.5, 1.0, 2.0]]), np.array([[3.0], [4.0]])
    z = forward([theta], x, examples="columns").z[0]
    assert np.array_equal(z, theta @ np.vstack([[1.0], x]))


@pytest.mark.parametrize(
    ("loss", "output"), [("logistic", "sigmoid"), ("cross_entropy", "softmax")]
)
def test_a_network_that_ends_at_logits_has_the_same_cost_and_gradient(loss, output):
    thetas, X, _ = notes_problem([3, 4, 3], 5)
    Y = one_hot([0, 1, 2, 0, 1], 3)
    inside = gradients(thetas, X, Y, 1.3, loss=loss)
    outside = gradients(thetas, X, Y, 1.3, loss=loss, output_activation="linear")
    assert inside.cost == outside.cost
    assert_close(outside.D, inside.D, rtol=0)
    assert np.array_equal(outside.a[-1], outside.z[-1])
    assert np.array_equal(inside.a[-1], activate(output, inside.z[-1]))


def test_default_output_activations():
    thetas, X, _ = notes_problem([3, 2], 2)
    Y = one_hot([0, 1], 2)
    defaults = {
        "logistic": "sigmoid",
        "cross_entropy": "softmax",
        "half_squared_error": "sigmoid",
        "squared_error": "sigmoid",
    }
    assert set(defaults) == set(LOSSES)
    for loss, output in defaults.items():
        found = gradients(thetas, X, Y, loss=loss).a[-1]
        assert np.array_equal(found, activate(output, forward(thetas, X).z[-1]))


def test_activations_may_differ_from_layer_to_layer():
    thetas, X, _ = notes_problem([2, 3, 3, 2], 4)
    a = forward(thetas, X, activation=["relu", "tanh"], output_activation="linear").a
    first = np.maximum(with_bias(X) @ thetas[0].T, 0)
    second = np.tanh(with_bias(first) @ thetas[1].T)
    assert_close(a[1:], [first, second, with_bias(second) @ thetas[2].T], rtol=1e-15)


def test_sum_is_m_times_mean():
    thetas, X, Y = notes_problem([3, 4, 2], 5)
    mean, total = (gradients(thetas, X, Y, 1.3, reduction=r) for r in ("mean", "sum"))
    assert total.cost == close(5 * mean.cost)
    assert_close(total.D, [5 * D for D in mean.D])
    assert_close(total.delta, mean.delta, rtol=0)


@settings(deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=4),
    order=st.sampled_from(["C", "F"]),
)
def test_roll_undoes_unroll(shapes, order):
    thetas = [
        np.arange(float(np.prod(shape))).reshape(shape) + 100 * i for i, shape in enumerate(shapes)
    ]
    assert_close(roll(unroll(thetas, order), shapes, order), thetas, rtol=0)


def test_unroll_column_major_is_octaves_colon():
    thetas = [np.array([[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]), np.array([[7.0, 8.0]])]
    assert unroll(thetas, order="F").tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert unroll(thetas).tolist() == [1, 3, 5, 2, 4, 6, 7, 8]


def test_one_hot_takes_labels_as_data_files_give_them():
    expected = [[0, 0, 1], [1, 0, 0]]
    assert one_hot([2, 0], 3).tolist() == expected
    assert one_hot(np.array([[3.0], [1.0]]), 3, first=1).tolist() == expected
    assert one_hot(np.array([True, False]), 2).tolist() == [[0, 1], [1, 0]]


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


# ---------------------------------------------------------------- what is refused

THETAS = [np.ones((2, 3)), np.ones((4, 3))]
X53, Y54 = np.ones((5, 2)), np.eye(5, 4) + np.eye(5, 4, -4)


def problem(**changes):
    arguments = {"thetas": THETAS, "X": X53, "Y": Y54, **changes}
    return gradients(**arguments)


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
        {"activation": "elu"},
        ValueError,
        "activation is 'elu': expected one of 'sigmoid', 'tanh', 'relu', 'linear'",
    ),
    ({"activation": ["softmax"]}, ValueError, "activation is 'softmax'"),
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
        (lambda: forward(THETAS, X53, output_activation="x"), ValueError, "'linear', 'softmax'"),
        (lambda: activate("elu", [0.0]), ValueError, "activation is 'elu': .*'softmax'"),
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
            r"delta_next has shape \(5, 2\) and a \(4, 3\): expected as many rows",
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
    ],
)
def test_the_single_steps_refuse_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---------------------------------------------------------------- what is minimised


def test_costs_compare_by_value_and_a_list_of_names_may_be_used_again():
    names = ["tanh", "relu"]
    one, other = Cost("cross_entropy", names), Cost("cross_entropy", ("tanh", "relu"))
    names.append("linear")
    assert one == other
    assert len({one, other, Cost("logistic", "tanh")}) == 2
    assert dataclasses.replace(one, loss="logistic").output == "sigmoid"


@pytest.mark.parametrize(
    ("cost", "output", "hypothesis"),
    [
        (Cost(), "sigmoid", "sigmoid"),
        (Cost("logistic", output_activation="linear"), "linear", "sigmoid"),
        (Cost("cross_entropy", output_activation="linear"), "linear", "softmax"),
        (Cost("squared_error", output_activation="linear"), "linear", "linear"),
        (Cost("half_squared_error"), "sigmoid", "sigmoid"),
    ],
)
def test_what_the_output_layer_and_what_the_loss_do_to_z(cost, output, hypothesis):
    assert (cost.output, cost.hypothesis) == (output, hypothesis)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cost("mse"), "loss is 'mse': expected one of 'logistic', 'cross_entropy'"),
        (lambda: Cost(activation="softmax"), "activation is 'softmax': expected one of"),
        (lambda: Cost(activation=["tanh", "cube"]), "activation is 'cube'"),
        (lambda: Cost("cross_entropy", output_activation="sigmoid"), "one of 'softmax', 'linear'"),
        (lambda: Cost(reduction="max"), "reduction is 'max': expected one of 'mean', 'sum'"),
        (lambda: Cost(activation=["tanh"]).hidden(2), "names 1 layers: expected 2"),
    ],
)
def test_a_cost_that_cannot_be_is_refused_when_it_is_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_options_of_a_cost_are_the_keywords_of_gradients(reduction):
    options = Cost("squared_error", ["tanh"], "relu", reduction).options
    thetas = [[[0.1, 0.2, 0.3]] * 2, [[0.3, -0.2, 0.4]]]
    X, Y = [[1.0, 2.0], [0.5, -1.0]], [[1.0], [0.0]]
    found = gradients(thetas, X, Y, 0.5, **options)
    stated = gradients(
        thetas,
        X,
        Y,
        0.5,
        loss="squared_error",
        activation="tanh",
        output_activation="relu",
        reduction=reduction,
    )
    assert [D.tolist() for D in found.D] == [D.tolist() for D in stated.D]
    assert found.cost == cost(thetas, X, Y, 0.5, **options) == stated.cost


# ---------------------------------------------------------------- independence


def test_the_oracle_imports_numpy_and_nothing_else_of_the_package():
    room = Path(backprop.__file__).parent
    standard = {"__future__", "collections", "dataclasses", "math", "numbers", "operator", "typing"}
    for path in room.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                roots = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level <= 1, f"{path.name} imports from outside its room"
                roots = {str(node.module).split(".")[0]} if node.level == 0 else set()
            else:
                continue
            assert roots <= {"numpy"} | standard, f"{path.name} imports {roots}"
