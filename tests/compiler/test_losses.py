"""The losses of nn in compiled functions: the engine's numbers, and the engine's errors."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import nn
from chainrule.nn import losses

from .asking import rounds

inf, nan = math.inf, math.nan


def by_engine(function, parameters, *arrays):
    """Return the losses of all examples, and the gradient of their mean."""
    for p in parameters:
        p.grad = 0.0
    results = [function(*example) for example in zip(*(a.tolist() for a in arrays), strict=True)]
    cr.mean(results).backward()
    return [r.data for r in results], [p.grad for p in parameters]


def assert_agrees(function, *arrays):
    compiled = cr.compile(function).record(*arrays)
    for asked in rounds(compiled.parameters, arrays):
        expected, slopes = by_engine(function, compiled.parameters, *asked)
        np.testing.assert_allclose(compiled(*asked), expected, rtol=1e-12, atol=0.0)
        mean, gradient = compiled.value_and_grad(*asked)
        np.testing.assert_allclose(mean, np.mean(expected), rtol=1e-12)
        floor = 1e-12 * np.max(np.abs(slopes))
        np.testing.assert_allclose(gradient, slopes, rtol=1e-12, atol=floor)
    return compiled


def probabilities(rng, *shape):
    y = rng.random(size=shape)
    return y / y.sum(axis=-1, keepdims=True)


def classes(rng, m):
    return rng.integers(0, 3, size=m)


TARGETS = {  # for three outputs of m examples
    "logistic": (losses.logistic, lambda rng, m: 1.0 * rng.integers(0, 2, size=(m, 3))),
    "logistic, between": (losses.logistic, lambda rng, m: rng.random(size=(m, 3))),
    "cross_entropy, index": (losses.cross_entropy, classes),
    "cross_entropy, one-hot": (losses.cross_entropy, lambda rng, m: np.eye(3)[classes(rng, m)]),
    "cross_entropy": (losses.cross_entropy, lambda rng, m: probabilities(rng, m, 3)),
    "cross_entropy, rounded": (
        losses.cross_entropy,
        lambda rng, m: probabilities(rng, m, 3).astype(np.float32),
    ),
    "hinge": (losses.hinge, lambda rng, m: 2.0 * rng.integers(0, 2, size=(m, 3)) - 1.0),
    "squared_error": (losses.squared_error, lambda rng, m: rng.normal(size=(m, 3))),
    "half_squared_error": (losses.half_squared_error, lambda rng, m: rng.normal(size=(m, 3))),
}


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0])
def test_a_model_and_its_loss_with_inputs_for_targets(name, scale):
    loss, targets = TARGETS[name]
    rng = np.random.default_rng(0)
    model = nn.MLP(4, [5, 3], activation="tanh", seed=rng)
    model.thetas = [theta * scale for theta in model.thetas]
    X = rng.normal(size=(7, 4))

    def cost(x, y):
        return loss(model(x), y) + losses.l2(model, lam=0.3, m=7)

    compiled = assert_agrees(cost, X, targets(rng, 7))
    assert set(compiled.parameters) == set(model.parameters())
    # Narrow as it is, it lifts to the five products of its two layers and nothing is gathered.
    assert compiled.stats["gradient products"] == 5
    assert compiled.stats["gradient gathers"] == 0
    assert "rows[" not in compiled.source


def test_every_loss_that_takes_targets_is_in_these_tests():
    assert {loss.__name__ for loss, _ in TARGETS.values()} == set(losses.__all__) - {"l2"}


LOGITS = [0.0, 1e-8, 0.5, -1.0, 20.0, -20.0, 37.0, -40.0, 700.0, 1000.0, -1000.0]


@pytest.mark.parametrize("y", [0.0, 1.0, 0.3])
def test_the_logistic_loss_keeps_its_tails(y):
    shift = cr.Value(-0.0)
    compiled = cr.compile(lambda z, y: losses.logistic(z + shift, y))
    for z in [*LOGITS, inf, -inf]:
        expected, slopes = by_engine(
            lambda z, y: losses.logistic(z + shift, y), [shift], np.array([z]), np.array([y])
        )
        value, gradient = compiled.value_and_grad([z], [y])
        assert value == pytest.approx(expected[0], rel=1e-12, abs=0.0)
        assert gradient == pytest.approx(slopes, rel=1e-12, abs=0.0)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from([*LOGITS, -inf]), min_size=3, max_size=3),
    st.sampled_from([0, 1, 2, (0.0, 1.0, 0.0), (0.2, 0.3, 0.5), (0.0, 0.25, 0.75)]),
)
def test_cross_entropy_keeps_its_tails(logits, target):
    if max(logits) == -inf:
        return
    shifts = [cr.Value(-0.0) for _ in logits]

    def cost(z, y):
        return losses.cross_entropy([a + s for a, s in zip(z, shifts, strict=True)], y)

    Z, Y = np.array([logits]), np.array([target])
    expected, slopes = by_engine(cost, shifts, Z, Y)
    compiled = cr.compile(cost).record(Z, Y)
    slopes = dict(zip(shifts, slopes, strict=True))
    value, gradient = compiled.value_and_grad(Z, Y)
    assert value == pytest.approx(expected[0], rel=1e-12, abs=0.0)
    # p - y of an uncertain y is a difference of two rounded numbers, here as in the engine.
    floor = 1e-300 if np.max(target) in (0, 1, 2) else 1e-15
    expected = [slopes[p] for p in compiled.parameters]
    assert gradient == pytest.approx(expected, rel=1e-12, abs=floor)


def test_which_logit_is_largest_may_differ_from_example_to_example():
    # Recorded with the first example, whose largest logit is not that of the second.
    shift = cr.Value(-0.0)
    Z = np.array([[900.0, 0.0, 0.0], [0.0, 0.0, 900.0]])
    for target in (0, 2):
        compiled = assert_agrees(
            lambda z, t=target: losses.cross_entropy([v + shift for v in z], t), Z
        )
        assert sorted(compiled(Z)) == [0.0, 900.0]


def test_targets_computed_from_inputs_and_constant_ones():
    w = [cr.Value(0.3), cr.Value(-0.2)]
    X = np.random.default_rng(0).normal(size=(5, 2))
    flags = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    assert_agrees(lambda x, y: losses.logistic(cr.dot(w, x), 1.0 - y), X, flags)
    assert_agrees(lambda x, y: losses.hinge(cr.dot(w, x), 2.0 * y - 1.0), X, flags)
    assert_agrees(lambda x: losses.logistic([cr.dot(w, x), w[0]], [1, 0.5]), X)
    assert_agrees(lambda x, y: losses.logistic([cr.dot(w, x), w[0]], [1, y]), X, flags)
    assert_agrees(lambda x: losses.cross_entropy([w[0] * x[0], w[1]], 1), X)
    assert_agrees(lambda x, y: losses.cross_entropy([w[0] * x[0], w[1]], [y, 1 - y]), X, flags)


# --- targets that are wrong ----------------------------------------------------------------------

WRONG = [
    (losses.logistic, [0.0, 2.0, 1.0], "logistic: target 1 is 2.0; expected a number between 0"),
    (losses.logistic, [0.0, 1.0, -1.0], "target 2 is -1.0; .*; for targets of -1 and 1 there is h"),
    (losses.logistic, [nan, 1.0, 1.0], "logistic: target 0 is nan; expected a finite number"),
    (losses.hinge, [1.0, 0.0, 1.0], "hinge: target 1 is 0.0; expected -1 or 1"),
    (losses.hinge, [1.0, inf, 1.0], "hinge: target 1 is inf; expected a finite number"),
    (losses.squared_error, [1.0, -inf, 1.0], "squared_error: target 1 is -inf; expected a finite"),
    (losses.half_squared_error, [nan, 1.0, 1.0], "half_squared_error: target 0 is nan; expected"),
    (losses.cross_entropy, [0.5, 0.6, 0.5], "targets .* are not probabilities; expected numbers"),
    (losses.cross_entropy, [1.5, -0.5, 0.0], r"targets \[1.5, -0.5, 0.0\] are not probabilities"),
    (losses.cross_entropy, [nan, 0.5, 0.5], "cross_entropy: target 0 is nan; expected a finite"),
    (losses.cross_entropy, 3, "a class index, is 3: expected 0 to 2, for 3 logits"),
    (losses.cross_entropy, -1, "a class index, is -1: expected 0 to 2, for 3 logits"),
    (losses.cross_entropy, 1.5, "a class index, is 1.5: expected a whole number, 0 to 2, for 3"),
    (losses.cross_entropy, nan, "a class index, is nan: expected a whole number, 0 to 2, for 3"),
    (losses.cross_entropy, inf, "a class index, is inf: expected a whole number, 0 to 2, for 3"),
]


@pytest.mark.parametrize(("loss", "target", "message"), WRONG)
@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("before", [True, False], ids=["recorded before", "first call"])
def test_a_wrong_target_raises_as_in_the_engine_and_changes_nothing(
    loss, target, message, place, before
):
    model = nn.MLP(2, [3], seed=0)
    compiled = cr.compile(lambda x, y: loss(model(x), y))
    X, right = np.ones((4, 2)), [1.0, 0.0, 0.0] if loss is not losses.hinge else [1.0] * 3
    Y = np.array([1 if np.ndim(target) == 0 else right] * 4, dtype=float)
    if before:
        compiled.backward(X, Y)
        model.zero_grad()
    Y[place] = target
    for call in (compiled, compiled.value_and_grad, compiled.backward):
        with pytest.raises(ValueError, match=message) as raised:
            call(X, Y)
        assert str(raised.value).startswith(f"example {place}: {loss.__name__}: ")
    assert not any(p.has_grad for p in model.parameters())
    if type(target) is not float:  # the index of a class is an int in the engine, or a TypeError
        with pytest.raises(ValueError, match=message) as by_engine:
            loss(model([1.0, 1.0]), target)
        assert str(raised.value) == f"example {place}: {by_engine.value}"


def test_what_targets_must_be_travels_with_the_program():
    model = nn.MLP(2, [3], seed=0)
    compiled = cr.compile(lambda x, y: losses.cross_entropy(model(x), y))
    compiled.record(np.ones((2, 2)), [0, 1])
    loaded = pickle.loads(pickle.dumps(compiled))
    assert loaded(np.ones((1, 2)), [2]).shape == (1,)
    with pytest.raises(ValueError, match="example 0: cross_entropy: target, a class index, is 3"):
        loaded(np.ones((1, 2)), [3])


def test_counts_that_do_not_fit_are_told_with_the_shapes():
    model = nn.MLP(2, [3], seed=0)
    compiled = cr.compile(lambda x, y: losses.squared_error(model(x), y))
    with pytest.raises(ValueError, match=r"3 outputs and 2 targets.*y of shape \(2,\), from an"):
        compiled(np.ones((4, 2)), np.ones((4, 2)))


def test_an_empty_batch_has_no_targets_to_test():
    model = nn.MLP(2, [1], seed=0)
    compiled = cr.compile(lambda x, y: losses.hinge(model(x), y))
    assert compiled(np.empty((0, 2)), np.empty(0)).shape == (0,)


def test_outside_of_a_recording_a_target_that_is_a_value_is_refused():
    with pytest.raises(TypeError, match="target 0 is a Value"):
        losses.logistic(cr.Value(1.0), cr.Value(1.0))
    with pytest.raises(TypeError, match="Value"):
        losses.cross_entropy([cr.Value(1.0), 2.0], cr.Value(1.0))


def test_an_accuracy_is_refused_and_where_is_named():
    model = nn.MLP(2, [3], seed=0)

    def accuracy(x, y):
        z = model(x)
        return 1.0 if max(range(3), key=lambda k: z[k]) == y else 0.0

    with pytest.raises(cr.TraceError, match=r"cr\.where"):
        cr.compile(accuracy)([[1.0, 2.0]], [1])


# --- what is read --------------------------------------------------------------------------------

BACKWARD = """\
    delta2 = (delta3 @ Theta2[:, 1:]) * (a2[:, 1:] * one_minus_a2)
    D1 = delta2.T @ a1 / m
    D2 = delta3.T @ a2 / m
"""
READS = {  # the loss, its target, and how delta3 and the cost are written
    "logistic": (
        losses.logistic,
        [1.0, 0.0, 1.0],
        "    delta3 = sigmoid(z3) - Y\n",
        "    return (np.logaddexp(0.0, z3) - z3 * Y).sum() / m, [D1, D2]\n",
    ),
    "cross-entropy": (
        losses.cross_entropy,
        [0.0, 0.0, 1.0],
        "    delta3 = softmax(z3) - Y\n",
        "    return cross_entropy(z3, Y).sum(axis=0) / m, [D1, D2]\n",
    ),
    "cross-entropy of a class": (
        losses.cross_entropy,
        2,
        "    v1 = one_hot(Y, 3)\n    delta3 = softmax(z3) - v1\n",
        "    return cross_entropy(z3, v1).sum(axis=0) / m, [D1, D2]\n",
    ),
    "half squared error": (
        losses.half_squared_error,
        [0.5, 0.0, 1.0],
        "    a3, one_minus_a3 = sigmoid_pair(z3)\n    delta3 = (a3 - Y) * (a3 * one_minus_a3)\n",
        "    return (0.5 * np.square(a3 - Y)).sum() / m, [D1, D2]\n",
    ),
    "squared error": (
        losses.squared_error,
        [0.5, 0.0, 1.0],
        "    a3, one_minus_a3 = sigmoid_pair(z3)\n"
        "    v1 = a3 - Y\n"
        "    delta3 = 2.0 * v1 * (a3 * one_minus_a3)\n",
        "    return np.square(v1).sum() / m, [D1, D2]\n",
    ),
}


@pytest.mark.parametrize("name", READS)
def test_the_printed_program_is_the_algorithm_of_the_notes(name):
    loss, target, delta, cost = READS[name]
    output = "sigmoid" if "squared" in name else "linear"
    model = nn.MLP(4, [5, 3], activation="sigmoid", output_activation=output, seed=0)

    def example_cost(X, Y):
        return loss(model(X), Y)

    source = cr.compile(example_cost).record(np.ones((2, 4)), np.array([target] * 2)).source
    assert source[source.index("def gradient") :].startswith(
        "def gradient(Theta1, Theta2, X, Y):\n"
        "    m = len(X)\n"
        "    a1 = np.ones((m, 5))\n"
        "    a1[:, 1:] = X\n"
        "    z2 = a1 @ Theta1.T\n"
        "    a2 = np.ones((m, 6))\n"
        "    a2[:, 1:], one_minus_a2 = sigmoid_pair(z2)\n"
        "    z3 = a2 @ Theta2.T\n"
        f"{delta}{BACKWARD}{cost}"
    )


@pytest.mark.parametrize("name", READS)
def test_the_printed_program_gives_what_is_run(name):
    loss, target, _, _ = READS[name]
    output = "sigmoid" if "squared" in name else "linear"
    model = nn.MLP(4, [5, 3], activation="sigmoid", output_activation=output, seed=0)
    X, Y = np.random.default_rng(0).normal(size=(7, 4)), np.array([target] * 7)
    compiled = cr.compile(lambda X, Y: loss(model(X), Y)).record(X, Y)
    namespace = {}
    exec(compiled.source, namespace)
    cost, gradients = namespace["gradient"](*model.thetas, X, Y.reshape(7, -1))
    model.zero_grad()
    assert np.ravel(cost)[0] == pytest.approx(compiled.backward(X, Y), rel=1e-13)
    for printed, run in zip(gradients, model.theta_grads, strict=True):
        np.testing.assert_allclose(printed, run, rtol=1e-12)


# --- what is run keeps the edges -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("logits", "target", "value", "slopes"),
    [
        ([inf, 0.0, -inf], 0, 0.0, [0.0, 0.0, 0.0]),
        ([inf, 0.0, 1.0], 1, inf, [1.0, -1.0, 0.0]),
        ([inf, inf, 1.0], 1, math.log(2.0), [0.5, -0.5, 0.0]),
        ([inf, 3.0, 1.0], [1.0, 0.0, 0.0], 0.0, [0.0, 0.0, 0.0]),
        ([inf, 3.0, 1.0], [0.5, 0.5, 0.0], inf, [0.5, -0.5, 0.0]),
        ([-inf, 3.0, 3.0], [0.0, 0.5, 0.5], math.log(2.0), [0.0, 0.0, 0.0]),
        ([-inf, -inf, -inf], 0, nan, [nan, nan, nan]),
        ([nan, 0.0, 0.0], 1, nan, [nan, nan, nan]),
    ],
)
def test_infinite_logits_have_the_value_that_is_right(logits, target, value, slopes):
    shifts = [cr.Value(-0.0) for _ in logits]

    def cost(z, y):
        return losses.cross_entropy([a + s for a, s in zip(z, shifts, strict=True)], y)

    eager = cost(logits, target)
    eager.backward()
    assert [eager.data, *(s.grad for s in shifts)] == pytest.approx([value, *slopes], nan_ok=True)
    compiled = cr.compile(cost)
    for _ in range(3):
        # Beside an example without infinities, whose gradient is known.
        found = compiled([[0.0, 0.0, 0.0], logits], [target] * 2)
        assert found == pytest.approx([math.log(3.0), value], nan_ok=True)
        got, gradient = compiled.value_and_grad([logits], [target])
        at = dict(zip(compiled.parameters, gradient, strict=True))
        assert [got, *(at[s] for s in shifts)] == pytest.approx([value, *slopes], nan_ok=True)


def test_targets_may_depend_on_parameters():
    teacher, student = nn.MLP(2, [3], seed=0), nn.MLP(2, [3], seed=1)
    teacher.layers[0].theta = [[0.3, 1.0, -1.0], [0.0, 0.5, 2.0], [-0.4, -1.0, 0.1]]
    X = np.random.default_rng(0).normal(size=(5, 2))
    by_rows = cr.compile(lambda x: losses.cross_entropy(student(x), cr.softmax(teacher(x))))
    by_hand = cr.compile(
        lambda x: (
            -cr.sum(
                [
                    p * (z - cr.logsumexp(student(x)))
                    for p, z in zip(cr.softmax(teacher(x)), student(x), strict=True)
                ]
            )
        )
    )
    expected = dict(zip(by_hand.record(X).parameters, by_hand.value_and_grad(X)[1], strict=True))
    value, gradient = by_rows.value_and_grad(X)
    assert value == pytest.approx(by_hand.value_and_grad(X)[0], rel=1e-13)
    assert gradient == pytest.approx([expected[p] for p in by_rows.parameters], rel=1e-11)
    assert set(by_rows.parameters) == {*teacher.parameters(), *student.parameters()}


@pytest.mark.parametrize("name", TARGETS)
def test_derivatives_of_a_loss_inside_a_compiled_function(name):
    loss, targets = TARGETS[name]
    w = [cr.Value(0.3), cr.Value(-0.2), cr.Value(0.5)]

    def slope(x, y):
        slopes = cr.grad(lambda z: loss(z, y))([a * b for a, b in zip(w, x, strict=True)])
        return cr.sum(cr.square(g) for g in slopes)

    rng = np.random.default_rng(3)
    X, Y = rng.normal(size=(4, 3)), targets(rng, 4)
    compiled = cr.compile(slope).record(X, Y)
    for _ in range(3):
        expected, slopes = by_engine(slope, compiled.parameters, X, Y)
        np.testing.assert_allclose(compiled(X, Y), expected, rtol=1e-12)
        np.testing.assert_allclose(compiled.value_and_grad(X, Y)[1], slopes, rtol=1e-11, atol=1e-14)


def test_a_class_for_every_position():
    """As in a language model: one loss for each of several rows of logits."""
    model = nn.MLP(2, [4], seed=0)

    def cost(xs, ys):
        return cr.mean([losses.cross_entropy(model(x), y) for x, y in zip(xs, ys, strict=True)])

    rng = np.random.default_rng(0)
    compiled = assert_agrees(cost, rng.normal(size=(3, 5, 2)), rng.integers(0, 4, size=(3, 5)))
    assert compiled.stats["gradient gathers"] == 0
    fixed = assert_agrees(lambda xs: cost(xs, [0, 3, 1, 1, 2]), rng.normal(size=(3, 5, 2)))
    assert fixed.stats["gradient gathers"] == 0
