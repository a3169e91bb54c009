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

from ..oracles.edges import EDGES, id_of, power_by, sigmoid_40, tanh_prime_20

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
    ("cbrt at 0", cr.cbrt, [0.0], [[-inf]]),
    ("cbrt at -0", cr.cbrt, [-0.0], [[inf]]),
    ("asin at 1", cr.asin, [1.0], [[inf]]),
    ("asin at -1", cr.asin, [-1.0], [[-inf]]),
    ("asin above 1", cr.asin, [1.5], [[nan]]),
    ("acos at 1", cr.acos, [1.0], [[-inf]]),
    ("acosh at 1", cr.acosh, [1.0], [[-inf]]),
    ("acosh below 1", cr.acosh, [0.5], [[nan]]),
    ("atanh at 1", cr.atanh, [1.0], [[inf]]),
    ("atanh at -1", cr.atanh, [-1.0], [[-inf]]),
    ("atanh above 1", cr.atanh, [1.5], [[nan]]),
    ("atan at inf", cr.atan, [inf], [[0.0]]),
    ("asinh at -inf", cr.asinh, [-inf], [[0.0]]),
    ("erf at inf", cr.erf, [inf], [[0.0]]),
    ("erfc at 0", cr.erfc, [0.0], [[0.0]]),
    ("log2 at 0", cr.log2, [0.0], [[-inf]]),
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
