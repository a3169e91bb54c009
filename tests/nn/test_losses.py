"""The losses against their textbook formulas in 50 digits, and against published numbers.

The reference is written out as print has it, log(h) and all: at 50 digits (2,000 where a logit is
1000) nothing it rounds can be seen in a float.
"""

from __future__ import annotations

import math
import sys

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import nn, viz
from chainrule.nn import losses

DIGITS = 2000  # e^-2000 beside 1


def logistic_exactly(z, y):
    h = [1 / (1 + mpmath.exp(-mpmath.mpf(v))) for v in z]
    value = -sum(
        (t * mpmath.log(p) if t else 0) + ((1 - mpmath.mpf(t)) * mpmath.log(1 - p) if t != 1 else 0)
        for p, t in zip(h, y, strict=True)
    )
    return value, [p - mpmath.mpf(t) for p, t in zip(h, y, strict=True)]


def cross_entropy_exactly(z, y):
    powers = [mpmath.exp(mpmath.mpf(v)) for v in z]
    p = [power / sum(powers) for power in powers]
    value = -sum(mpmath.mpf(t) * mpmath.log(q) for q, t in zip(p, y, strict=True) if t)
    total = sum(mpmath.mpf(t) for t in y)
    return value, [total * q - mpmath.mpf(t) for q, t in zip(p, y, strict=True)]


def value_and_gradient(loss, outputs, targets):
    leaves = [cr.Value(v) for v in outputs]
    node = loss(leaves, targets)
    node.backward()
    return node.data, [leaf.grad for leaf in leaves]


def assert_exact(found, expected, ulps=8):
    with mpmath.workdps(DIGITS):
        for x, exact in zip(found, expected, strict=True):
            error = abs(mpmath.mpf(x) - exact)
            smallest = sys.float_info.min * sys.float_info.epsilon
            assert error <= ulps * sys.float_info.epsilon * abs(exact) + 2 * smallest, (x, exact)


EXTREME = [0.0, 1e-300, 1e-8, 0.5, -1.0, 20.0, -20.0, 37.0, -40.0, 700.0, -745.0, 1000.0, -1000.0]


@pytest.mark.parametrize("z", EXTREME)
@pytest.mark.parametrize("y", [0.0, 1.0, 0.25])
def test_logistic_keeps_every_digit_in_both_tails(z, y):
    value, gradient = value_and_gradient(losses.logistic, [z], [y])
    with mpmath.workdps(DIGITS):
        expected, slopes = logistic_exactly([z], [y])
    assert_exact([value, *gradient], [expected, *slopes])


@pytest.mark.parametrize(
    "logits",
    [
        [1000.0, 0.0, -1000.0],
        [40.0, 0.0, 1.0],
        [-1000.0, 1000.0],
        [0.0, 0.0, 0.0],
        [700.0, 690.0, -745.0],
        [1e-9, -1e-9],
    ],
)
@pytest.mark.parametrize("target", [0, 1])
def test_cross_entropy_keeps_every_digit_however_sure_the_network_is(logits, target):
    value, gradient = value_and_gradient(losses.cross_entropy, logits, target)
    y = [float(k == target) for k in range(len(logits))]
    with mpmath.workdps(DIGITS):
        expected, slopes = cross_entropy_exactly(logits, y)
    assert_exact([value, *gradient], [expected, *slopes])
    assert value_and_gradient(losses.cross_entropy, logits, y) == (value, gradient)


logit = st.floats(-1000, 1000)
share = st.floats(0, 1)


@settings(deadline=None, max_examples=50)
@given(pairs=st.lists(st.tuples(logit, share), min_size=1, max_size=4))
def test_logistic_is_the_sum_over_the_outputs_of_the_formula(pairs):
    z, y = zip(*pairs, strict=True)
    value, gradient = value_and_gradient(losses.logistic, z, y)
    with mpmath.workdps(1000):
        expected, slopes = logistic_exactly(z, y)
        assert value == pytest.approx(float(expected), rel=1e-14, abs=1e-300)
        assert gradient == pytest.approx([float(s) for s in slopes], rel=1e-14, abs=1e-15)


@settings(deadline=None, max_examples=50)
@given(logits=st.lists(logit, min_size=2, max_size=5), raw=st.data())
def test_cross_entropy_of_probabilities_is_the_formula(logits, raw):
    n = len(logits)
    weights = raw.draw(st.lists(st.integers(0, 5), min_size=n, max_size=n).filter(any))
    y = [w / sum(weights) for w in weights]
    value, gradient = value_and_gradient(losses.cross_entropy, logits, y)
    # A difference of logits rounds by half an ulp of itself, and exp makes that relative.
    relative = (10 + max(logits) - min(logits)) * sys.float_info.epsilon
    with mpmath.workdps(1000):
        expected, slopes = cross_entropy_exactly(logits, y)
        assert value == pytest.approx(float(expected), rel=relative, abs=1e-300)
        assert gradient == pytest.approx([float(s) for s in slopes], rel=relative, abs=1e-15)


@pytest.mark.parametrize("error", [9e-7, -9e-7])
def test_probabilities_that_nearly_sum_to_one_are_taken_at_their_word(error):
    z, y = [1.0, 2.0, -1.0], [0.25, 0.5 + error, 0.25]
    value, gradient = value_and_gradient(losses.cross_entropy, z, y)
    with mpmath.workdps(50):
        expected, slopes = cross_entropy_exactly(z, y)
        assert value == pytest.approx(float(expected), rel=1e-15)
        assert gradient == pytest.approx([float(s) for s in slopes], rel=1e-14)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (losses.squared_error, [0.3, -0.1, 0.0]),
        (losses.half_squared_error, [0.3, -0.1, 0.0]),
        (losses.logistic, [1, 0, 0.5]),
        (losses.cross_entropy, 2),
        (losses.cross_entropy, [0.2, 0.3, 0.5]),
    ],
)
def test_second_derivatives_are_those_of_differences(loss, targets):
    point = [0.5, -1.0, 0.25]
    hessian = np.array(cr.hessian(lambda z: loss(z, targets))(point))
    step = 1e-6
    for k in range(3):
        up, down = ([v + s * (i == k) for i, v in enumerate(point)] for s in (step, -step))
        difference = np.subtract(
            value_and_gradient(loss, up, targets)[1], value_and_gradient(loss, down, targets)[1]
        )
        np.testing.assert_allclose(hessian[k], difference / (2 * step), atol=1e-8)


def test_squared_error_sums_over_the_outputs_and_half_is_half():
    a, y = [3.0, -1.0, 0.5], [1.0, 1.0, 0.5]
    assert value_and_gradient(losses.squared_error, a, y) == (8.0, [4.0, -4.0, 0.0])
    assert value_and_gradient(losses.half_squared_error, a, y) == (4.0, [2.0, -2.0, 0.0])


def test_published_small_ones():
    w, x, b = cr.Value(2.0), cr.Value(-2.0), cr.Value(8.0)
    loss = losses.half_squared_error(w * x + b, 2.0)  # a line and its square
    loss.backward()
    assert (loss.data, w.grad, b.grad) == (2.0, -4.0, 2.0)
    w, b = cr.Value(0.6), cr.Value(0.9)  # Nielsen, chapter 3
    a = cr.sigmoid(w * 1.0 + b)
    losses.half_squared_error(a, 0).backward()
    assert a.data == pytest.approx(0.82, abs=0.005)
    assert (w.grad, b.grad) == (pytest.approx(0.121938, abs=1e-6),) * 2


def test_hinge_and_its_kink():
    s = [0.5, 1.0, 3.0, -2.0]
    value, gradient = value_and_gradient(losses.hinge, s, [1, 1, 1, 1])
    assert (value, gradient) == (3.5, [-1.0, 0.0, 0.0, -1.0])
    value, gradient = value_and_gradient(losses.hinge, s, [-1, -1, -1, -1])
    assert (value, gradient) == (7.5, [1.0, 1.0, 1.0, 0.0])


def test_l2_leaves_the_biases_out():
    model = nn.MLP(2, [2, 1], seed=0)
    model.thetas = [[[100, 1, 2], [100, 3, 4]], [[100, 5, 6]]]
    penalty = losses.l2(model, 3.0, 6)
    penalty.backward()
    assert penalty.data == 3.0 / 12 * (1 + 4 + 9 + 16 + 25 + 36)
    expected = [[0, 0.5, 1.0], [0, 1.5, 2.0]], [[0, 2.5, 3.0]]
    for grad, rows in zip(model.theta_grads, expected, strict=True):
        assert grad.tolist() == rows
    layer = model.layers[0]
    assert losses.l2(layer, 3.0, 6).data == 7.5
    assert losses.l2(layer.neurons[0], 3.0, 6).data == 1.25
    assert losses.l2(layer.neurons[0].w, 3.0, 6).data == 1.25


def test_l2_of_a_module_of_ones_own_counts_a_shared_weight_once():
    module = nn.Module()
    module.first = module.second = nn.Neuron(1, seed=0)
    module.scale = cr.Value(3.0)
    module.first.theta = [9, 2]
    assert losses.l2(module, 1, 1).data == (4 + 9) / 2


def test_l2_with_no_penalty_is_zero_even_of_infinite_weights():
    assert losses.l2([cr.Value(math.inf)], 0, 3) == 0.0
    assert losses.l2([], 1.0, 3) == 0.0


@pytest.mark.parametrize(
    ("lam", "m", "error", "message"),
    [
        (-1.0, 1, ValueError, "lam is -1.0"),
        (math.nan, 1, ValueError, "lam is nan"),
        (math.inf, 1, ValueError, "lam is inf"),
        ("1", 1, TypeError, "l2: lam"),
        (1.0, 0, ValueError, "m is 0"),
        (1.0, 2.0, TypeError, "m is 2.0"),
        (1.0, True, TypeError, "m is True"),
    ],
)
def test_l2_refuses(lam, m, error, message):
    with pytest.raises(error, match=message):
        losses.l2([cr.Value(1.0)], lam, m)


def test_a_penalty_of_what_is_not_a_list_is_refused():
    for weights in (cr.Value(1.0), 3.0, None, b"x"):
        with pytest.raises(TypeError, match=r"l2: the weights are .*: expected a list of"):
            losses.l2(weights, 1.0, 2)


# ---------------------------------------------------------------- few nodes


def nodes_above(node, leaves):
    seen, todo = set(), [node]
    while todo:
        node = todo.pop()
        if node not in seen and node not in leaves:
            seen.add(node)
            todo.extend(node.parents)
    return len(seen)


@pytest.mark.parametrize(
    ("loss", "targets", "most"),
    [
        (losses.squared_error, [0.0] * 10, 11),
        (losses.half_squared_error, [0.0] * 10, 11),
        (losses.logistic, [0, 1] * 5, 11),
        (losses.cross_entropy, 3, 1),
        (losses.cross_entropy, [0.1] * 10, 1),
        (losses.hinge, [1, -1] * 5, 11),
    ],
)
def test_a_loss_is_few_nodes(loss, targets, most):
    leaves = [cr.Value(0.1 * k) for k in range(10)]
    assert nodes_above(loss(leaves, targets), set(leaves)) <= most
    assert nodes_above(losses.l2(leaves, 1.0, 1), set(leaves)) == 2


@pytest.mark.parametrize(
    ("loss", "outputs", "target", "drawn"),
    [
        (losses.squared_error, 1, 0.5, "squared_error(·, 0.5)"),
        (losses.half_squared_error, 1, 0.5, "half_squared_error(·, 0.5)"),
        (losses.logistic, 1, 1, "logistic_loss(·, 1)"),
        (losses.hinge, 1, -1, "hinge_loss(·, -1)"),
        (losses.cross_entropy, 3, 2, "cross_entropy(2, ·, ·, ·)"),
        (losses.cross_entropy, 2, [0.5, 0.5], "soft_cross_entropy(0.5, 0.5, ·, ·)"),
    ],
)
def test_a_loss_is_one_box_in_a_drawing(loss, outputs, target, drawn):
    leaves = [cr.Value(0.1 * k, f"z{k}") for k in range(outputs)]
    node = loss(leaves, target)
    node.backward()
    boxes = [box for box in viz.draw(node).diagram.nodes if not box.is_leaf]
    assert [box.op for box in boxes] == [drawn]
    assert node.parents == tuple(leaves)
    assert node.partials == tuple(leaf.grad for leaf in leaves)


@pytest.mark.parametrize(
    ("loss", "outputs", "target", "formula"),
    [
        (losses.logistic, 1, 1, r"-\ln\sigma\left(z_{0}\right)"),
        (losses.logistic, 1, 0, r"-\ln\left(1 - \sigma\left(z_{0}\right)\right)"),
        (
            losses.logistic,
            1,
            0.25,
            r"-\left(0.25 \, \ln\sigma\left(z_{0}\right) + \left(1 - 0.25\right) "
            r"\ln\left(1 - \sigma\left(z_{0}\right)\right)\right)",
        ),
        (losses.squared_error, 1, 0.5, r"\left(z_{0} - 0.5\right)^{2}"),
        (losses.half_squared_error, 1, 0.5, r"\frac{1}{2} \left(z_{0} - 0.5\right)^{2}"),
        (losses.hinge, 1, -1, r"\max\left(0, 1 - \left(-1\right) \, z_{0}\right)"),
        (losses.cross_entropy, 2, 1, r"-\ln\operatorname{softmax}_{1}\left(z_{0}, z_{1}\right)"),
        (
            losses.cross_entropy,
            2,
            [0.25, 0.75],
            r"\ln\left(e^{z_{0}} + e^{z_{1}}\right) - \left(0.25 \, z_{0} + 0.75 \, z_{1}\right)",
        ),
    ],
)
def test_a_loss_as_a_formula(loss, outputs, target, formula):
    leaves = [cr.Value(0.1 * k, f"z{k}") for k in range(outputs)]
    assert viz.latex(loss(leaves, target)) == formula


# ---------------------------------------------------------------- infinite outputs, and PyTorch

inf, nan = math.inf, math.nan


@pytest.mark.parametrize(
    ("loss", "outputs", "target", "value", "slopes"),
    [
        (losses.logistic, [inf], 1, 0.0, [0.0]),
        (losses.logistic, [-inf], 0, 0.0, [0.0]),
        (losses.logistic, [inf], 0, inf, [1.0]),
        (losses.logistic, [-inf], 1, inf, [-1.0]),
        (losses.logistic, [inf], 0.25, inf, [0.75]),
        (losses.logistic, [nan], 1, nan, [nan]),
        (losses.hinge, [inf], 1, 0.0, [0.0]),
        (losses.hinge, [inf], -1, inf, [1.0]),
        (losses.hinge, [nan], 1, nan, [nan]),
        (losses.squared_error, [-inf], 1, inf, [-inf]),
        (losses.half_squared_error, [1e200], 0, inf, [1e200]),
        (losses.cross_entropy, [inf, 0.0, -inf], 0, 0.0, [0.0, 0.0, 0.0]),
        (losses.cross_entropy, [inf, 0.0, 1.0], 1, inf, [1.0, -1.0, 0.0]),
        (losses.cross_entropy, [inf, inf, 1.0], 0, math.log(2.0), [-0.5, 0.5, 0.0]),
        (losses.cross_entropy, [inf, 0.0], [1.0, 0.0], 0.0, [0.0, 0.0]),
        (losses.cross_entropy, [-inf, 0.0], [0.0, 1.0], 0.0, [0.0, 0.0]),
        (losses.cross_entropy, [-inf, 0.0], [0.5, 0.5], inf, [-0.5, 0.5]),
        (losses.cross_entropy, [-inf, -inf], 0, nan, [nan, nan]),
        (losses.cross_entropy, [nan, 0.0], 1, nan, [nan, nan]),
    ],
)
def test_outputs_that_are_not_finite(loss, outputs, target, value, slopes):
    found = value_and_gradient(loss, outputs, target)
    assert [found[0], *found[1]] == pytest.approx([value, *slopes], nan_ok=True)


def test_the_losses_and_their_first_and_second_derivatives_are_pytorchs():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    rng = np.random.default_rng(0)
    for _ in range(20):
        z = rng.normal(size=4) * 5.0
        index, labels, real = int(rng.integers(4)), rng.integers(0, 2, 4), rng.normal(size=4)
        shares = rng.dirichlet(np.ones(4))
        given = {
            losses.logistic: (labels, labels, functional.binary_cross_entropy_with_logits, "sum"),
            losses.squared_error: (real, real, functional.mse_loss, "sum"),
            losses.hinge: (
                2 * labels - 1,
                2 * labels - 1,
                lambda s, y, reduction: torch.relu(1 - y * s).sum(),
                "sum",
            ),
            "index": (index, index, functional.cross_entropy, "sum"),
            "shares": (shares, shares, functional.cross_entropy, "sum"),
        }
        for loss, (ours, theirs, function, reduction) in given.items():
            loss = losses.cross_entropy if isinstance(loss, str) else loss

            def reference(x, theirs=theirs, function=function, reduction=reduction):
                y = torch.tensor(theirs) if np.ndim(theirs) == 0 else torch.tensor(theirs).double()
                return function(x, y, reduction=reduction)

            x = torch.tensor(z, requires_grad=True)
            cost = reference(x)
            (slopes,) = torch.autograd.grad(cost, x)
            curvature = torch.autograd.functional.hessian(reference, torch.tensor(z))
            found = value_and_gradient(loss, z.tolist(), ours)
            assert found[0] == pytest.approx(cost.item(), rel=1e-12)
            np.testing.assert_allclose(found[1], slopes.numpy(), rtol=1e-10, atol=1e-14)
            hessian = cr.hessian(lambda v, loss=loss, ours=ours: loss(v, ours))(z.tolist())
            np.testing.assert_allclose(hessian, curvature.numpy(), rtol=1e-9, atol=1e-13)


# ---------------------------------------------------------------- what may be given


@pytest.mark.parametrize("loss", [losses.squared_error, losses.logistic, losses.half_squared_error])
def test_single_outputs_sequences_and_arrays_are_alike(loss):
    expected = loss([0.25], [1.0])
    assert isinstance(expected, float)
    for outputs in (0.25, np.array([0.25]), np.float64(0.25), np.array(0.25), (0.25,)):
        for targets in (1, [True], np.array([1]), np.int64(1), np.array(1.0), (1.0,)):
            assert loss(outputs, targets) == expected
    assert loss(cr.Value(0.25), 1).data == expected
    assert loss(np.array([cr.Value(0.25)]), 1).data == expected


def test_class_indices_may_be_of_any_integer_type():
    z = [1.0, 2.0, 3.0]
    expected = losses.cross_entropy(z, 2)
    for target in (np.int64(2), np.uint8(2), np.array(2), [0, 0, 1], np.array([0.0, 0.0, 1.0])):
        assert losses.cross_entropy(z, target) == expected
    thirds = np.full(3, 1 / 3, dtype=np.float32)  # sums to 1 to seven digits only
    assert losses.cross_entropy(z, thirds) == pytest.approx(1.40760596, abs=1e-6)


PAIRED = [losses.squared_error, losses.half_squared_error, losses.logistic, losses.hinge]


@pytest.mark.parametrize("loss", PAIRED)
@pytest.mark.parametrize(
    ("outputs", "targets", "error", "message"),
    [
        ([0.0, 0.0], [1.0], ValueError, "2 outputs and 1 targets"),
        (0.0, [1.0, 1.0], ValueError, "1 outputs and 2 targets"),
        ([], [], ValueError, "no outputs"),
        ([0.0], [], ValueError, "no targets"),
        (0.0, math.nan, ValueError, "target 0 is nan"),
        ([0.0, 0.0], [1.0, math.inf], ValueError, "target 1 is inf"),
        (0.0, None, TypeError, "target 0: NoneType"),
        (0.0, "1", TypeError, "targets are '1'"),
        (0.0, 1j, TypeError, "target 0: complex"),
        (0.0, {1.0}, TypeError, "targets are"),
        ([0.0], [[1.0]], TypeError, "target 0: list"),
        (np.zeros((2, 1)), [1, 1], ValueError, r"shape \(2, 1\)"),
        ([0.0], np.ones((1, 1)), ValueError, r"shape \(1, 1\)"),
        (0.0, cr.Value(1.0), TypeError, "target 0 is a Value"),
        ("0", 1.0, TypeError, "outputs are '0'"),
        ([None], 1.0, TypeError, "NoneType"),
    ],
)
def test_targets_that_do_not_fit(loss, outputs, targets, error, message):
    with pytest.raises(error, match=message):
        loss(outputs, targets)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (3, ValueError, "is 3: expected 0 to 2, for 3 logits"),
        (-1, ValueError, "class index, is -1"),
        (1.0, TypeError, "is 1.0: expected an int"),
        (True, TypeError, "is True"),
        (math.nan, TypeError, "is nan"),
        (None, TypeError, "is None"),
        (cr.Value(1.0), TypeError, "Value"),
        ("1", TypeError, "targets are '1'"),
        ([1.0, 0.0], ValueError, "3 logits and 2 probabilities"),
        ([0.5, 0.6, 0.5], ValueError, "not probabilities"),
        ([1.5, -0.5, 0.0], ValueError, "not probabilities"),
        ([math.nan, 0.5, 0.5], ValueError, "target 0 is nan"),
        ([], ValueError, "no targets"),
        (np.eye(3), ValueError, r"shape \(3, 3\)"),
    ],
)
def test_cross_entropy_refuses(target, error, message):
    with pytest.raises(error, match=message):
        losses.cross_entropy([cr.Value(0.0), 1.0, 2.0], target)


def test_a_single_logit_has_no_cross_entropy():
    for logits in ([cr.Value(3.0)], cr.Value(3.0), 3.0):
        with pytest.raises(ValueError, match="use logistic"):
            losses.cross_entropy(logits, 0)
    with pytest.raises(ValueError, match="no logits"):
        losses.cross_entropy([], 0)


@pytest.mark.parametrize(("loss", "target", "advice"), [
    (losses.logistic, -1, "there is hinge"),
    (losses.logistic, 1.5, "between 0 and 1"),
    (losses.hinge, 0, "-1 or 1"),
    (losses.hinge, 0.5, "-1 or 1"),
])  # fmt: skip
def test_targets_out_of_range(loss, target, advice):
    with pytest.raises(ValueError, match=f"target 0 is {float(target)}.*{advice}"):
        loss(cr.Value(0.0), target)


@pytest.mark.parametrize("loss", PAIRED)
def test_outputs_that_are_not_finite_follow_ieee(loss):
    assert math.isnan(loss(math.nan, 1))
    assert loss(math.inf, 1) in (0.0, math.inf)
    assert loss(-math.inf, 1) == math.inf


def test_infinite_logits_of_cross_entropy():
    assert value_and_gradient(losses.cross_entropy, [math.inf, 0.0], 0) == (0.0, [0.0, 0.0])
    assert losses.cross_entropy([math.inf, 0.0], 1) == math.inf
    assert losses.cross_entropy([-math.inf, 0.0], 1) == 0.0
    assert math.isnan(losses.cross_entropy([math.nan, 0.0], 1))
