"""The closed-form gradients against the complex step; conventions, and what is minimised."""

from __future__ import annotations

import ast
import dataclasses
import math
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule import backprop
from chainrule.backprop import (
    ACTIVATIONS,
    LOSSES,
    Cost,
    activate,
    cost,
    deltas,
    derivative,
    forward,
    gradients,
    one_hot,
    roll,
    unroll,
    with_bias,
)

from .references import assert_close, close, ng_problem, notes_problem

pytestmark = pytest.mark.numpy_alone

# ---------------------------------------------------------------- the complex-step reference

STEP = 1e-30

G = {
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "relu": lambda z: np.where(z.real > 0, z, 0),
    "linear": lambda z: z,
    "leaky_relu": lambda z: np.where(z.real > 0, z, z / 100),
    "elu": lambda z: np.where(z.real > 0, z, np.exp(z) - 1),
    "softplus": lambda z: np.log(1 + np.exp(z)),
    "silu": lambda z: z / (1 + np.exp(-z)),
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
    standard = {
        "__future__",
        "collections",
        "dataclasses",
        "math",
        "numbers",
        "operator",
        "re",
        "typing",
    }
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
