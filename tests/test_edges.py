"""The conventions at the edges: one table, read by every way of computing a derivative.

A mode is a function of (f, point) that returns the value and the derivatives of f there.  Whatever
learns to differentiate later joins by one entry in MODES.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import Value

inf, nan = math.inf, math.nan


# ---------------------------------------------------------------- the modes


def by_backward(f, point):
    inputs = [Value(x) for x in point]
    output = f(*inputs)
    output.backward()
    return output.data, [x.grad for x in inputs]


def by_gradients(f, point):
    inputs = [Value(x) for x in point]
    output = f(*inputs)
    return output.data, cr.gradients(output, inputs)


def by_linked_gradients(f, point):
    inputs = [Value(x) for x in point]
    output = f(*inputs)
    return output.data, [g.data for g in cr.gradients(output, inputs, create_graph=True)]


def by_grad(f, point):
    value, slopes = cr.value_and_grad(f, range(len(point)))(*point)
    return value, list(slopes)


def by_forward(f, point):
    n = len(point)
    units = [[1.0 if j == i else 0.0 for j in range(n)] for i in range(n)]
    value = cr.jvp(f, point, [0.0] * n)[0]
    return value, [cr.jvp(f, point, unit)[1] for unit in units]


def by_linked_forward(f, point):
    n = len(point)
    units = [[1.0 if j == i else 0.0 for j in range(n)] for i in range(n)]
    inputs = [Value(x) for x in point]
    value = cr.jvp(f, inputs, [0.0] * n)[0]
    return value.data, [cr.jvp(f, inputs, unit)[1].data for unit in units]


def by_vjp(f, point):
    value, pull = cr.vjp(f, *point)
    return value, list(pull(1.0))


MODES = {
    "backward": by_backward,
    "gradients": by_gradients,
    "gradients, linked": by_linked_gradients,
    "grad": by_grad,
    "vjp": by_vjp,
    "jvp": by_forward,
    "jvp, linked": by_linked_forward,
}


def reverse_over_reverse(f, point):
    inputs = [Value(x) for x in point]
    slopes = cr.gradients(f(*inputs), inputs, create_graph=True)
    return [cr.gradients(slope, inputs) for slope in slopes]


def forward_over_reverse(f, point):
    n = len(point)
    units = [[1.0 if j == i else 0.0 for j in range(n)] for i in range(n)]
    return [list(row) for row in zip(*(cr.hvp(f, point, unit) for unit in units), strict=True)]


def forward_over_forward(f, point):
    n = len(point)

    def along(i, g):
        unit = [1.0 if j == i else 0.0 for j in range(n)]
        return lambda *args: cr.jvp(g, args, unit)[1]

    return [[along(j, along(i, f))(*point) for j in range(n)] for i in range(n)]


def by_hessian(f, point):
    return np.reshape(cr.hessian(f)(*point), (len(point), len(point))).tolist()


SECOND_ORDER_MODES = {
    "reverse over reverse": reverse_over_reverse,
    "forward over reverse": forward_over_reverse,
    "forward over forward": forward_over_forward,
    "hessian": by_hessian,
}


def same(got, expected):
    """Exactly equal, or both nan, or within a rounding where the table gives a decimal."""
    if math.isnan(expected) or math.isinf(expected) or expected == 0.0:
        return math.isnan(got) if math.isnan(expected) else got == expected
    return math.isclose(got, expected, rel_tol=4e-16)


def id_of(edge):
    return edge[0]


# ---------------------------------------------------------------- the table

sigmoid_40 = 4.248354255291589e-18  # sigmoid(-40), sigmoid'(40): e**-40 to the last digit
tanh_prime_20 = 1.6993417021166355e-17  # 4 e**-40


def power_by(p):
    return lambda x: x**p


EDGES = [  # what, f, point, value, derivatives
    ("relu at 0", cr.relu, [0.0], 0.0, [0.0]),
    ("relu at -0", cr.relu, [-0.0], 0.0, [0.0]),
    ("relu at nan", cr.relu, [nan], nan, [nan]),
    ("relu at inf", cr.relu, [inf], inf, [1.0]),
    ("relu at -inf", cr.relu, [-inf], 0.0, [0.0]),
    ("relu at the least number", cr.relu, [5e-324], 5e-324, [1.0]),
    ("abs at 0", cr.abs, [0.0], 0.0, [0.0]),
    ("abs at -0", cr.abs, [-0.0], 0.0, [0.0]),
    ("abs at nan", cr.abs, [nan], nan, [nan]),
    ("abs at inf", cr.abs, [inf], inf, [1.0]),
    ("abs at -inf", cr.abs, [-inf], inf, [-1.0]),
    ("maximum, tie", cr.maximum, [2.0, 2.0], 2.0, [0.5, 0.5]),
    ("minimum, tie", cr.minimum, [2.0, 2.0], 2.0, [0.5, 0.5]),
    ("maximum, tie of zeros", cr.maximum, [0.0, -0.0], 0.0, [0.5, 0.5]),
    ("minimum, tie of zeros", cr.minimum, [0.0, -0.0], -0.0, [0.5, 0.5]),
    ("maximum, tie of infinities", cr.maximum, [inf, inf], inf, [0.5, 0.5]),
    ("maximum, tie of four", cr.maximum, [1.0, 3.0, 3.0, 3.0, 3.0], 3.0, [0.0] + [0.25] * 4),
    ("minimum, tie of three", cr.minimum, [1.0, 1.0, 3.0, 1.0], 1.0, [1 / 3, 1 / 3, 0.0, 1 / 3]),
    ("maximum with a constant, tie", lambda x: cr.maximum(x, 0.0), [0.0], 0.0, [0.0]),
    ("maximum of a constant, tie", lambda x: cr.maximum(0.0, x), [0.0], 0.0, [0.0]),
    ("minimum with a constant, tie", lambda x: cr.minimum(x, 1.0), [1.0], 1.0, [0.0]),
    ("maximum with a constant, above", lambda x: cr.maximum(x, 0.0), [1.0], 1.0, [1.0]),
    ("maximum, two tied with a constant", lambda x, y: cr.maximum(x, y, 1.0), [1.0, 1.0], 1.0,
     [0.0, 0.0]),
    ("maximum of one number twice", lambda x: cr.maximum(x, x), [1.0], 1.0, [1.0]),
    ("maximum with nan first", cr.maximum, [nan, 1.0], nan, [nan, nan]),
    ("maximum with nan last", cr.maximum, [1.0, nan], nan, [nan, nan]),
    ("maximum of nan and inf", cr.maximum, [inf, nan], nan, [nan, nan]),
    ("minimum with nan", cr.minimum, [1.0, nan, -1.0], nan, [nan, nan, nan]),
    ("maximum with a nan constant", lambda x: cr.maximum(x, nan), [1.0], nan, [nan]),
    ("leaky relu at 0", cr.leaky_relu, [0.0], 0.0, [0.01]),
    ("leaky relu at -0", lambda x: cr.leaky_relu(x, 0.2), [-0.0], -0.0, [0.2]),
    ("leaky relu by its slope", cr.leaky_relu, [-2.0, 0.1], -0.2, [0.1, -2.0]),
    ("leaky relu at nan", cr.leaky_relu, [nan], nan, [nan]),
    ("leaky relu at inf", cr.leaky_relu, [inf], inf, [1.0]),
    ("leaky relu at -inf", cr.leaky_relu, [-inf], -inf, [0.01]),
    ("x**0 at 0", power_by(0), [0.0], 1.0, [0.0]),
    ("x**0 at nan", power_by(0), [nan], 1.0, [0.0]),
    ("x**0 at inf", power_by(0), [inf], 1.0, [0.0]),
    ("x**0 at -3", power_by(0), [-3.0], 1.0, [0.0]),
    ("x**1 at 0", power_by(1), [0.0], 0.0, [1.0]),
    ("x**1 at -3", power_by(1), [-3.0], -3.0, [1.0]),
    ("x**1 at inf", power_by(1), [inf], inf, [1.0]),
    ("x**2 at 0", power_by(2), [0.0], 0.0, [0.0]),
    ("x**2 at -3", power_by(2), [-3.0], 9.0, [-6.0]),
    ("x**2 overflows", power_by(2), [1e200], inf, [2e200]),
    ("x**3 overflows to -inf", power_by(3), [-1e200], -inf, [inf]),
    ("x**-1 at 0", power_by(-1), [0.0], inf, [-inf]),
    ("x**-1 at -0", power_by(-1), [-0.0], -inf, [-inf]),
    ("x**-2 at -0", power_by(-2), [-0.0], inf, [inf]),
    ("x**0.5 at 0", power_by(0.5), [0.0], 0.0, [inf]),
    ("x**0.5 below 0", power_by(0.5), [-2.0], nan, [nan]),
    ("x**1.5 at 0", power_by(1.5), [0.0], 0.0, [0.0]),
    ("0**0, both", lambda x, y: x**y, [0.0, 0.0], 1.0, [0.0, 0.0]),
    ("0**.5, both", lambda x, y: x**y, [0.0, 0.5], 0.0, [inf, 0.0]),
    ("0**1, both", lambda x, y: x**y, [0.0, 1.0], 0.0, [1.0, 0.0]),
    ("0**2, both", lambda x, y: x**y, [0.0, 2.0], 0.0, [0.0, 0.0]),
    ("0**-1, both", lambda x, y: x**y, [0.0, -1.0], inf, [-inf, -inf]),
    ("(-2)**3, both", lambda x, y: x**y, [-2.0, 3.0], -8.0, [12.0, nan]),
    ("(-2)**3, by the base", power_by(3.0), [-2.0], -8.0, [12.0]),
    ("(-2)**y", lambda y: (-2.0) ** y, [3.0], -8.0, [nan]),
    ("(-2)**.5", lambda y: (-2.0) ** y, [0.5], nan, [nan]),
    ("0**y", lambda y: 0.0**y, [2.0], 0.0, [0.0]),
    ("1**y", lambda y: 1.0**y, [nan], 1.0, [0.0]),
    ("2**y overflows", lambda y: 2.0**y, [5000.0], inf, [inf]),
    ("sqrt at 0", cr.sqrt, [0.0], 0.0, [inf]),
    ("sqrt at -0", cr.sqrt, [-0.0], -0.0, [inf]),
    ("sqrt below 0", cr.sqrt, [-1.0], nan, [nan]),
    ("sqrt of the least number", cr.sqrt, [5e-324],
     2.2227587494850775e-162, [2.2494568972715982e161]),
    ("sqrt at inf", cr.sqrt, [inf], inf, [0.0]),
    ("log at 0", cr.log, [0.0], -inf, [inf]),
    ("log at -0", cr.log, [-0.0], -inf, [inf]),
    ("log below 0", cr.log, [-1.0], nan, [nan]),
    ("log at inf", cr.log, [inf], inf, [0.0]),
    ("log at nan", cr.log, [nan], nan, [nan]),
    ("log1p at -1", cr.log1p, [-1.0], -inf, [inf]),
    ("log1p below -1", cr.log1p, [-2.0], nan, [nan]),
    ("log1p of almost nothing", cr.log1p, [1e-300], 1e-300, [1.0]),
    ("expm1 of almost nothing", cr.expm1, [1e-300], 1e-300, [1.0]),
    ("expm1 at -inf", cr.expm1, [-inf], -1.0, [0.0]),
    ("exp overflows", cr.exp, [1000.0], inf, [inf]),
    ("exp underflows", cr.exp, [-1000.0], 0.0, [0.0]),
    ("exp at -inf", cr.exp, [-inf], 0.0, [0.0]),
    ("exp of a subnormal result", cr.exp, [-745.0], 5e-324, [5e-324]),
    ("1/0", lambda b: 1.0 / b, [0.0], inf, [-inf]),
    ("1/-0", lambda b: 1.0 / b, [-0.0], -inf, [-inf]),
    ("-1/0", lambda b: -1.0 / b, [0.0], -inf, [inf]),
    ("a/0, both", lambda a, b: a / b, [1.0, 0.0], inf, [inf, -inf]),
    ("0/0", lambda a, b: a / b, [0.0, 0.0], nan, [inf, nan]),
    ("a/b at a tiny b", lambda a, b: a / b, [1e-200, 1e-200], 1.0, [1e200, -1e200]),
    ("a/b at a huge b", lambda a, b: a / b, [1.0, 1e200], 1e-200, [1e-200, 0.0]),
    ("a/inf", lambda a, b: a / b, [1.0, inf], 0.0, [0.0, 0.0]),
    ("inf - inf", lambda a, b: a - b, [inf, inf], nan, [1.0, -1.0]),
    ("0 * inf", lambda a, b: a * b, [0.0, inf], nan, [inf, 0.0]),
    ("product overflows", lambda a, b: a * b, [1e200, -1e200], -inf, [-1e200, 1e200]),
    ("square overflows", cr.square, [-1e200], inf, [-2e200]),
    ("tanh at 20", cr.tanh, [20.0], 1.0, [tanh_prime_20]),
    ("tanh at -20", cr.tanh, [-20.0], -1.0, [tanh_prime_20]),
    ("tanh at inf", cr.tanh, [inf], 1.0, [0.0]),
    ("tanh at -inf", cr.tanh, [-inf], -1.0, [0.0]),
    ("sigmoid at 40", cr.sigmoid, [40.0], 1.0, [sigmoid_40]),
    ("sigmoid at -40", cr.sigmoid, [-40.0], sigmoid_40, [sigmoid_40]),
    ("sigmoid at 1000", cr.sigmoid, [1000.0], 1.0, [0.0]),
    ("sigmoid at -1000", cr.sigmoid, [-1000.0], 0.0, [0.0]),
    ("sigmoid at nan", cr.sigmoid, [nan], nan, [nan]),
    ("softplus at 1000", cr.softplus, [1000.0], 1000.0, [1.0]),
    ("softplus at -1000", cr.softplus, [-1000.0], 0.0, [0.0]),
    ("softplus at -40", cr.softplus, [-40.0], sigmoid_40, [sigmoid_40]),
    ("softplus at inf", cr.softplus, [inf], inf, [1.0]),
    ("softplus at -inf", cr.softplus, [-inf], 0.0, [0.0]),
    ("logsigmoid at -1000", cr.logsigmoid, [-1000.0], -1000.0, [1.0]),
    ("logsigmoid at 1000", cr.logsigmoid, [1000.0], -0.0, [0.0]),
    ("logsigmoid at 40", cr.logsigmoid, [40.0], -sigmoid_40, [sigmoid_40]),
    ("logsigmoid at -inf", cr.logsigmoid, [-inf], -inf, [1.0]),
    ("silu at inf", cr.silu, [inf], inf, [1.0]),
    ("silu at -inf", cr.silu, [-inf], 0.0, [0.0]),
    ("silu at -1000", cr.silu, [-1000.0], 0.0, [0.0]),
    ("silu at nan", cr.silu, [nan], nan, [nan]),
    ("gelu at inf", cr.gelu, [inf], inf, [1.0]),
    ("gelu at -inf", cr.gelu, [-inf], 0.0, [0.0]),
    ("gelu at 0", cr.gelu, [0.0], 0.0, [0.5]),
    ("gelu at nan", cr.gelu, [nan], nan, [nan]),
    ("sin at inf", cr.sin, [inf], nan, [nan]),
    ("cos at -inf", cr.cos, [-inf], nan, [nan]),
    ("tan at inf", cr.tan, [inf], nan, [nan]),
    ("logaddexp of two -inf", cr.logaddexp, [-inf, -inf], -inf, [0.0, 0.0]),
    ("logaddexp of one -inf", cr.logaddexp, [-inf, 3.0], 3.0, [0.0, 1.0]),
    ("logaddexp of huge ones", cr.logaddexp, [1000.0, 1000.0], 1000.6931471805599, [0.5, 0.5]),
    ("logaddexp of far ones", cr.logaddexp, [0.0, -40.0], sigmoid_40, [1.0, sigmoid_40]),
    ("logaddexp with inf", cr.logaddexp, [inf, 0.0], inf, [1.0, 0.0]),
    ("logaddexp with nan", cr.logaddexp, [nan, 0.0], nan, [nan, nan]),
    ("logsumexp of -inf entries", lambda *x: cr.logsumexp(x), [-inf, 2.0, -inf], 2.0,
     [0.0, 1.0, 0.0]),
    ("logsumexp of nothing but -inf", lambda *x: cr.logsumexp(x), [-inf] * 3, -inf, [0.0] * 3),
    ("logsumexp of one", lambda *x: cr.logsumexp(x), [-5.0], -5.0, [1.0]),
    ("logsumexp of huge ones", lambda *x: cr.logsumexp(x), [1e300, -1e300], 1e300, [1.0, 0.0]),
    ("logsumexp keeps the rest", lambda *x: cr.logsumexp(x), [0.0, -40.0], sigmoid_40,
     [1.0, sigmoid_40]),
    ("logsumexp with nan", lambda *x: cr.logsumexp(x), [nan, 1.0], nan, [nan, nan]),
    ("softmax at huge logits", lambda *x: cr.softmax(x)[0], [1000.0, -1000.0], 1.0, [0.0, 0.0]),
    ("softmax at huge equal logits", lambda *x: cr.softmax(x)[0], [1e300, 1e300], 0.5,
     [0.25, -0.25]),
    ("softmax of a confident logit", lambda *x: cr.softmax(x)[0], [40.0, 0.0], 1.0,
     [sigmoid_40, -sigmoid_40]),
    ("softmax with a masked entry", lambda *x: cr.softmax(x)[1], [0.0, -inf, 0.0], 0.0, [0.0] * 3),
    ("softmax beside a masked entry", lambda *x: cr.softmax(x)[0], [0.0, -inf, 0.0], 0.5,
     [0.25, 0.0, -0.25]),
    ("softmax with an infinite logit", lambda *x: cr.softmax(x)[0], [inf, 0.0], 1.0, [0.0, 0.0]),
    ("softmax of nothing but -inf", lambda *x: cr.softmax(x)[0], [-inf, -inf], nan, [nan, nan]),
    ("softmax with nan", lambda *x: cr.softmax(x)[0], [1.0, nan], nan, [nan, nan]),
    ("softmax of one", lambda *x: cr.softmax(x)[0], [7.0], 1.0, [0.0]),
    ("hypot at the origin", cr.hypot, [0.0, 0.0], 0.0, [0.0, 0.0]),
    ("hypot at the negative origin", cr.hypot, [-0.0, -0.0], 0.0, [0.0, 0.0]),
    ("hypot of huge numbers", cr.hypot, [3e200, 4e200], 5e200, [0.6, 0.8]),
    ("hypot of tiny numbers", cr.hypot, [3e-200, -4e-200], 5e-200, [0.6, -0.8]),
    ("atan2 at the origin", cr.atan2, [0.0, 0.0], 0.0, [nan, nan]),
    ("atan2 on the negative axis", cr.atan2, [0.0, -2.0], math.pi, [-0.5, 0.0]),
    ("atan2 below the negative axis", cr.atan2, [-0.0, -2.0], -math.pi, [-0.5, 0.0]),
    ("atan2 of huge numbers", cr.atan2, [1e200, 1e200], math.pi / 4, [5e-201, -5e-201]),
    ("atan2 of tiny numbers", cr.atan2, [1e-200, 1e-200], math.pi / 4, [5e199, -5e199]),
    ("where keeps the other branch's nan out", lambda x: cr.where(x > 0, cr.log(x), x),
     [-2.0], -2.0, [1.0]),
    ("where keeps the other branch's inf out", lambda x: cr.where(x > 0, cr.sqrt(x), 0.0 * x),
     [0.0], 0.0, [0.0]),
    ("where by a Value", cr.where, [0.0, 5.0, 7.0], 7.0, [0.0, 0.0, 1.0]),
    ("where by a true Value", cr.where, [-3.0, 5.0, 7.0], 5.0, [0.0, 1.0, 0.0]),
    ("where choosing nan", lambda x, y: cr.where(True, x, y), [nan, 1.0], nan, [1.0, 0.0]),
    ("sum of subnormals", lambda *x: cr.sum(x), [5e-324, 5e-324], 1e-323, [1.0, 1.0]),
    ("a subnormal product", lambda a, b: a * b, [1e-160, 1e-160], 1e-320, [1e-160, 1e-160]),
    ("a subnormal quotient", lambda a, b: a / b, [1e-310, 4.0], 2.5e-311, [0.25, -6.25e-312]),
    ("dot with inf times 0", lambda *x: cr.dot(x[:2], x[2:]), [inf, 1.0, 0.0, 1.0], nan,
     [0.0, 1.0, inf, 1.0]),
    ("mean of huge numbers overflows", lambda *x: cr.mean(x), [1e308, 1e308], inf, [0.5, 0.5]),
]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("edge", EDGES, ids=id_of)
def test_an_edge(edge, mode):
    _, f, point, value, derivatives = edge
    got_value, got_derivatives = MODES[mode](f, point)
    assert same(got_value, value), (got_value, value)
    assert math.isnan(value) or math.copysign(1.0, got_value) == math.copysign(1.0, value)
    assert len(got_derivatives) == len(derivatives)
    assert all(map(same, got_derivatives, derivatives)), (got_derivatives, derivatives)


ROW_EDGES = [edge for edge in EDGES if isinstance(edge[1], type(cr.exp))]


@pytest.mark.parametrize("edge", ROW_EDGES, ids=id_of)
def test_plain_numbers_have_the_same_edges(edge):
    _, row, point, value, _ = edge
    got = row(*point)
    assert type(got) is float
    assert same(got, value)
    assert math.isnan(value) or math.copysign(1.0, got) == math.copysign(1.0, value)


@pytest.mark.parametrize("edge", ROW_EDGES, ids=id_of)
def test_arrays_have_the_same_edges(edge):
    _, row, point, value, _ = edge
    (got,) = row(*(np.array([x]) for x in point))
    assert same(got, value) or math.isclose(got, value, rel_tol=1e-15)
    # Which zero np.maximum takes of a 0 and a -0 depends on the machine.
    if not math.isnan(value) and edge[0] != "maximum, tie of zeros":
        assert math.copysign(1.0, got) == math.copysign(1.0, value)


SECOND_ORDER_EDGES = [  # what, f, point, matrix
    ("relu at 0", cr.relu, [0.0], [[0.0]]),
    ("abs at 0", cr.abs, [0.0], [[0.0]]),
    ("leaky relu at 0", cr.leaky_relu, [0.0], [[0.0]]),
    ("leaky relu with its slope, below 0", cr.leaky_relu, [-2.0, 0.1], [[0.0, 1.0], [1.0, 0.0]]),
    ("maximum, tie", cr.maximum, [2.0, 2.0], [[0.0, 0.0], [0.0, 0.0]]),
    ("x**0 at 0", power_by(0), [0.0], [[0.0]]),
    ("x**0 at nan", power_by(0), [nan], [[0.0]]),
    ("x**1 at 0", power_by(1), [0.0], [[0.0]]),
    ("x**1 at inf", power_by(1), [inf], [[0.0]]),
    ("x**2 at 0", power_by(2), [0.0], [[2.0]]),
    ("x**3 at 0", power_by(3), [0.0], [[0.0]]),
    ("x**1.5 at 0", power_by(1.5), [0.0], [[inf]]),
    ("x**.5 at 0", power_by(0.5), [0.0], [[-inf]]),
    ("x**-1 at 0", power_by(-1), [0.0], [[inf]]),
    ("x**-1 at -0", power_by(-1), [-0.0], [[-inf]]),
    ("0**2, both", lambda x, y: x**y, [0.0, 2.0], [[2.0, 0.0], [0.0, 0.0]]),
    ("0**3, both", lambda x, y: x**y, [0.0, 3.0], [[0.0, 0.0], [0.0, 0.0]]),
    ("1**y", lambda x, y: x**y, [1.0, 3.0], [[6.0, 1.0], [1.0, 0.0]]),
    ("x**0, both", lambda x, y: x**y, [2.0, 0.0], [[0.0, 0.5], [0.5, math.log(2) ** 2]]),
    ("e**y", lambda x, y: x**y, [math.e, 1.0], [[0.0, 2.0], [2.0, math.e]]),
    ("square at 0", cr.square, [0.0], [[2.0]]),
    ("log at 0", cr.log, [0.0], [[-inf]]),
    ("sqrt at 0", cr.sqrt, [0.0], [[-inf]]),
    ("tanh at 0", cr.tanh, [0.0], [[0.0]]),
    ("tanh at 20", cr.tanh, [20.0], [[-2 * tanh_prime_20]]),
    ("tanh at inf", cr.tanh, [inf], [[0.0]]),
    ("sigmoid at 40", cr.sigmoid, [40.0], [[-sigmoid_40]]),
    ("sigmoid at -40", cr.sigmoid, [-40.0], [[sigmoid_40]]),
    ("sigmoid at 1000", cr.sigmoid, [1000.0], [[0.0]]),
    ("softplus at 1000", cr.softplus, [1000.0], [[0.0]]),
    ("logsigmoid at -1000", cr.logsigmoid, [-1000.0], [[0.0]]),
    ("silu at 0", cr.silu, [0.0], [[0.5]]),
    ("silu at 1000", cr.silu, [1000.0], [[0.0]]),
    ("silu at inf", cr.silu, [inf], [[0.0]]),
    ("silu at -inf", cr.silu, [-inf], [[0.0]]),
    ("gelu at inf", cr.gelu, [inf], [[0.0]]),
    ("gelu at -inf", cr.gelu, [-inf], [[0.0]]),
    ("gelu at nan", cr.gelu, [nan], [[nan]]),
    ("gelu at 0", cr.gelu, [0.0], [[math.sqrt(2 / math.pi)]]),
    ("gelu at -1000", cr.gelu, [-1000.0], [[0.0]]),
    ("hypot at the origin", cr.hypot, [0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]]),
    ("logaddexp of equals", cr.logaddexp, [3.0, 3.0], [[0.25, -0.25], [-0.25, 0.25]]),
    ("logaddexp of two -inf", cr.logaddexp, [-inf, -inf], [[0.0, 0.0], [0.0, 0.0]]),
    ("logsumexp with a masked entry", lambda *x: cr.logsumexp(x), [0.0, -inf, 0.0],
     [[0.25, 0.0, -0.25], [0.0, 0.0, 0.0], [-0.25, 0.0, 0.25]]),
    ("softmax with a masked entry", lambda *x: cr.softmax(x)[0], [0.0, -inf, 0.0],
     [[0.0] * 3] * 3),
    ("where keeps the other branch out", lambda x: cr.where(x > 0, cr.log(x), x * x), [0.0],
     [[2.0]]),
    ("quotient at a tiny divisor", lambda a, b: a / b, [1e-100, 1e-100],
     [[0.0, -1e200], [-1e200, 2e200]]),
]  # fmt: skip


@pytest.mark.parametrize("mode", SECOND_ORDER_MODES)
@pytest.mark.parametrize("edge", SECOND_ORDER_EDGES, ids=id_of)
def test_an_edge_at_second_order(edge, mode):
    _, f, point, matrix = edge
    got = SECOND_ORDER_MODES[mode](f, point)
    for got_row, row in zip(got, matrix, strict=True):
        assert all(map(same, got_row, row)), (got, matrix)
