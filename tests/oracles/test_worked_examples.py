"""Published worked examples that need the engine alone: every number that is printed in them.

Mazur's network is also a matter of ``nn`` and ``backprop``, and the four-class network of the
course of ``backprop``; here both are written out in plain scalar operations.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import Value


def leaves(*numbers):
    return [Value(x) for x in numbers]


def grads(values):
    return [v.grad for v in values]


# ---------------------------------------------------------------- Mazur, step by step

MAZUR_WEIGHTS = (0.15, 0.20, 0.25, 0.30, 0.40, 0.45, 0.50, 0.55)


def mazur(weights, biases):
    """Return the error and the nodes of "A Step by Step Backpropagation Example" (2-2-2)."""
    w1, w2, w3, w4, w5, w6, w7, w8 = weights
    b1, b2 = biases
    i1, i2 = 0.05, 0.10
    net_h = [w1 * i1 + w2 * i2 + b1, w3 * i1 + w4 * i2 + b1]
    h1, h2 = (cr.sigmoid(net) for net in net_h)
    net_o = [w5 * h1 + w6 * h2 + b2, w7 * h1 + w8 * h2 + b2]
    out_o = [cr.sigmoid(net) for net in net_o]
    errors = [cr.square(t - o) / 2 for t, o in zip((0.01, 0.99), out_o, strict=True)]
    return cr.sum(errors), net_h, [h1, h2], net_o, out_o, errors


def test_mazurs_forward_and_backward_pass():
    weights, biases = leaves(*MAZUR_WEIGHTS), leaves(0.35, 0.60)
    error, net_h, out_h, net_o, out_o, errors = mazur(weights, biases)
    assert [v.data for v in net_h] == pytest.approx([0.3775, 0.3925], rel=1e-12)
    assert [v.data for v in out_h] == pytest.approx([0.593269992, 0.596884378], abs=5e-10)
    assert [v.data for v in net_o] == pytest.approx([1.105905967, 1.224921404], abs=5e-10)
    assert [v.data for v in out_o] == pytest.approx([0.751365070, 0.772928465], abs=5e-10)
    assert [v.data for v in errors] == pytest.approx([0.274811083, 0.023560026], abs=5e-10)
    assert error.data == pytest.approx(0.298371109, abs=5e-10)
    error.backward()
    # (The second is also quoted as -0.038097238; dE/dw7 / out_h1 shows that its digits slipped.)
    assert grads(net_o) == pytest.approx([0.138498562, -0.038098237], abs=5e-10)
    assert grads(net_h) == pytest.approx([0.008771355, 0.009954255], abs=5e-10)
    assert grads(weights) == pytest.approx(
        [0.000438567734, 0.000877135469, 0.000497712735, 0.000995425471,
         0.082167040564, 0.082667627848, -0.022602540477, -0.022740242216],
        abs=5e-13,
    )  # fmt: skip
    assert grads(biases) == pytest.approx([0.018725609395, 0.100400325112], abs=5e-13)


def test_mazurs_step_of_descent():
    weights = leaves(*MAZUR_WEIGHTS)
    mazur(weights, (0.35, 0.60))[0].backward()
    for w in weights:
        w.data -= 0.5 * w.grad
    assert [w.data for w in weights] == pytest.approx(
        [0.149780716, 0.19956143, 0.24975114, 0.29950229, 0.35891648, 0.408666186, 0.511301270,
         0.561370121],
        abs=5e-9,
    )  # fmt: skip
    error = mazur(weights, (0.35, 0.60))[0].data
    assert error == pytest.approx(0.29102777369359933, rel=1e-15)
    # The article prints 0.291027924: its hidden deltas used the output weights after their update.
    assert error != pytest.approx(0.291027924, abs=5e-10)


# ---------------------------------------------------------------- the four-class network

THETA = [k / 10 for k in range(1, 19)]  # unrolled column by column, layer after layer
X = np.cos([[1, 2], [3, 4], [5, 6]])
CLASSES = [4, 2, 3]  # counted from 1


def course_cost(theta, lam):
    """Return the regularised logistic cost of the 2-2-4 network, in scalar operations."""
    theta1 = [[theta[r + 2 * c] for c in range(3)] for r in range(2)]
    theta2 = [[theta[6 + r + 4 * c] for c in range(3)] for r in range(4)]
    terms, nodes = [], []
    for x, k in zip(X.tolist(), CLASSES, strict=True):
        z2 = [cr.dot(row[1:], x, row[0]) for row in theta1]
        a2 = [cr.sigmoid(z) for z in z2]
        z3 = [cr.dot(row[1:], a2, row[0]) for row in theta2]
        nodes.append(z2)
        # -y log h - (1 - y) log(1 - h) at h = sigmoid(z), without the cancellation
        terms += [cr.softplus(-z if j + 1 == k else z) for j, z in enumerate(z3)]
    penalty = cr.sum([cr.square(t) for row in theta1 + theta2 for t in row[1:]])
    return cr.sum(terms) / len(CLASSES) + lam / (2 * len(CLASSES)) * penalty, nodes


PUBLISHED_GRADIENTS = {
    0: [0.766138, 0.979897, -0.027540, -0.035844, -0.024929, -0.053862, 0.883417, 0.568762,
        0.584668, 0.598139, 0.459314, 0.344618, 0.256313, 0.311885, 0.478337, 0.368920, 0.259771,
        0.322331],
    3: [0.76614, 0.97990, 0.27246, 0.36416, 0.47507, 0.54614, 0.88342, 0.56876, 0.58467, 0.59814,
        1.55931, 1.54462, 1.55631, 1.71189, 1.97834, 1.96892, 1.95977, 2.12233],
}  # fmt: skip


@pytest.mark.parametrize(
    ("lam", "cost"), [(0, 7.406969856065749), (3, 16.45696985606575), (4, 19.473636522732416)]
)
def test_the_cost_of_the_four_class_network(lam, cost):
    theta = leaves(*THETA)
    root, nodes = course_cost(theta, lam)
    assert root.data == pytest.approx(cost, rel=2e-15)
    root.backward()
    if lam in PUBLISHED_GRADIENTS:
        digits = 6 if lam == 0 else 5
        assert grads(theta) == pytest.approx(PUBLISHED_GRADIENTS[lam], abs=0.51 * 10**-digits)
    # delta of a unit is the gradient of its z; that of the mean over examples is a third of it
    deltas = [[3 * z.grad for z in row] for row in nodes]
    assert np.array(deltas) == pytest.approx(
        np.array(
            [[0.7939316618, 1.0528075567], [0.7367358131, 0.9512816635], [0.767747634, 0.935601378]]
        ),
        abs=5e-11,
    )


def test_the_slope_of_the_sigmoid():
    slopes = [cr.grad(cr.sigmoid)(z) for z in (-1, -0.5, 0, 0.5, 1)]
    assert slopes == pytest.approx([0.196612, 0.235004, 0.25, 0.235004, 0.196612], abs=5e-7)


def test_the_two_sided_difference_that_the_course_prints():
    def j(theta):
        return 2 * theta**3 + 2

    assert (j(1.01) - j(0.99)) / 0.02 == pytest.approx(6.0002, abs=1e-12)
    assert cr.grad(j)(1.0) == 6.0


# ---------------------------------------------------------------- CS231n


def test_cs231n_sum_times_z():
    x, y, z = leaves(-2, 5, -4)
    q = x + y
    f = q * z
    f.backward()
    assert (f.data, q.data, q.grad, grads([x, y, z])) == (-12.0, 3.0, -4.0, [-4.0, -4.0, 3.0])


def test_cs231n_sigmoid_neuron():
    w, x = leaves(2, -3, -3), leaves(-1, -2)
    f = 1 / (1 + cr.exp(-(w[0] * x[0] + w[1] * x[1] + w[2])))
    f.backward()
    assert f.data == pytest.approx(0.7310585786300049, rel=1e-15)
    s = 0.19661193324148185
    assert grads(w) == pytest.approx([-s, -2 * s, s], rel=1e-14)
    assert grads(x) == pytest.approx([0.3932238664829637, -0.5898357997244456], rel=1e-14)
    assert cr.grad(cr.sigmoid)(1.0) == pytest.approx(s, rel=1e-15)


def test_cs231n_circuit_with_a_maximum():
    x, y, z, w = leaves(3, -4, 2, -1)
    f = 2 * (x * y + cr.maximum(z, w))
    f.backward()
    assert (f.data, grads([x, y, z, w])) == (-20.0, [-8.0, 6.0, 2.0, 0.0])


def test_cs231n_staged_computation():
    x, y = leaves(3, -4)
    f = (x + cr.sigmoid(y)) / (cr.sigmoid(x) + (x + y) ** 2)
    f.backward()
    assert f.data == pytest.approx(1.5456448841066441, rel=1e-15)
    assert grads([x, y]) == pytest.approx([2.0595697955721652, 1.5922327514838093], rel=1e-14)


def test_cs231n_squared_norm_of_a_matrix_product():
    weights = np.array([[Value(0.1), Value(0.5)], [Value(-0.3), Value(0.8)]])
    x = np.array(leaves(0.2, 0.4))
    q = weights @ x
    f = (q**2).sum()
    f.backward()
    assert f.data == pytest.approx(0.116, rel=1e-14)
    assert grads(weights.ravel()) == pytest.approx([0.088, 0.176, 0.104, 0.208], rel=1e-14)
    assert grads(x) == pytest.approx([-0.112, 0.636], rel=1e-14)


# ---------------------------------------------------------------- micrograd: README and lecture


def test_micrograds_readme():
    a, b = leaves(-4.0, 2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    g.backward()
    assert g.data == pytest.approx(24.70408163265306, rel=1e-15)
    assert a.grad == pytest.approx(138.83381924198252, rel=1e-15)
    assert b.grad == pytest.approx(645.5772594752186, rel=1e-15)


def test_micrograds_sanity_check():
    x = Value(-4.0)
    z = 2 * x + 2 + x
    q = z.relu() + z * x
    h = (z * z).relu()
    y = h + q + q * x
    y.backward()
    assert (y.data, x.grad) == (-20.0, 46.0)


def lecture_neuron():
    x1, x2, w1, w2 = leaves(2.0, 0.0, -3.0, 1.0)
    n = x1 * w1 + x2 * w2 + Value(6.8813735870195432)
    return (x1, x2, w1, w2), n


def check_lecture_neuron(inputs, n, o):
    o.backward()
    assert n.data == pytest.approx(0.8813735870195432, rel=1e-15)
    assert o.data == pytest.approx(0.7071067811865476, rel=1e-15)
    assert n.grad == pytest.approx(0.5, rel=1e-15)
    assert grads(inputs) == pytest.approx([-1.5, 0.5, 1.0, 0.0], rel=1e-15)


def test_the_lectures_neuron():
    inputs, n = lecture_neuron()
    check_lecture_neuron(inputs, n, n.tanh())


def test_the_lectures_neuron_with_tanh_written_out():
    inputs, n = lecture_neuron()
    e = (2 * n).exp()
    check_lecture_neuron(inputs, n, (e - 1) / (e + 1))


def lecture_expression(a, b, c, f):
    e = a * b
    d = e + c
    return d * f


def test_the_lectures_expression_and_its_step_along_the_gradient():
    leaves_ = leaves(2.0, -3.0, 10.0, -2.0)
    loss = lecture_expression(*leaves_)
    loss.backward()
    assert (loss.data, grads(leaves_)) == (-8.0, [6.0, -4.0, -2.0, 4.0])
    for leaf in leaves_:
        leaf.data += 0.01 * leaf.grad
    assert lecture_expression(*leaves_).data == pytest.approx(-7.286496, abs=5e-7)


def test_the_lectures_bug_a_variable_used_twice():
    a = Value(3.0)
    (a + a).backward()
    assert a.grad == 2.0
    a, b = leaves(-2.0, 3.0)
    f = (a * b) * (a + b)
    f.backward()
    assert (f.data, grads([a, b])) == (-6.0, [-3.0, -8.0])


# ---------------------------------------------------------------- small ones

SMALL = [
    ("3(a + bc)", lambda a, b, c: 3 * (a + b * c), (5, 3, 2), 33, (3, 6, 9), 0),
    ("(wx + b - y)^2 / 2", lambda w, b: (w * -2 + b - 2) ** 2 / 2, (2, 8), 2, (-4, 2), 0),
    ("x^2 y + y + 2", lambda x, y: x**2 * y + y + 2, (3, 4), 42, (24, 10), 0),
    ("ln x1 + x1 x2 - sin x2", lambda x, y: cr.log(x) + x * y - cr.sin(y), (2, 5), 11.652071455,
     (5.5, 1.716337815), 5e-10),
    ("[sin(x1/x2) + x1/x2 - e^x2] [x1/x2 - e^x2]",
     lambda x, y: (cr.sin(x / y) + x / y - cr.exp(y)) * (x / y - cr.exp(y)), (1.5, 0.5),
     2.016646669, (3.011843328, -13.723961509), 5e-9),
    ("c (a + 2b)", lambda a, b, c: c * (a + 2 * b), (3, 1, -2), -10, (-2, -4, 5), 0),
    ("Nielsen's neuron", lambda w, b: cr.square(cr.sigmoid(w * 1 + b) - 0) / 2, (0.6, 0.9),
     0.817574476**2 / 2, (0.121938, 0.121938), 5e-6),
]  # fmt: skip


@pytest.mark.parametrize("example", SMALL, ids=lambda example: example[0])
def test_a_small_example(example):
    _, f, point, value, gradient, tolerance = example
    got_value, got = cr.value_and_grad(f, range(len(point)))(*point)
    assert got_value == pytest.approx(value, abs=max(tolerance, 1e-15), rel=0)
    assert got == pytest.approx(gradient, abs=max(tolerance, 1e-15), rel=0)
    for i, expected in enumerate(gradient):
        unit = [float(j == i) for j in range(len(point))]
        assert cr.jvp(f, point, unit)[1] == pytest.approx(expected, abs=max(tolerance, 1e-15))


def test_nielsens_neuron_is_at_082():
    assert cr.sigmoid(0.6 * 1 + 0.9) == pytest.approx(0.82, abs=0.005)
    assert math.isclose(cr.sigmoid(1.5), 0.8175744761936437, rel_tol=1e-15)
