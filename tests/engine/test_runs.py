"""Sweeps with storage of their own: equal to the reference, and nothing else is touched."""

import functools
import math
import random
import struct

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine import runs, sweep_calls
from chainrule.engine.sweeps import linked_partials, pullback, pushforward


def bits(numbers):
    return [struct.pack("d", x) if x == x else "nan" for x in numbers]


def graph(seed, size=40):
    """Return inputs and outputs of a random graph, in which infinities and nans occur."""
    choose = random.Random(seed)
    inputs = [cr.Value(choose.choice([0.0, -0.0, 1.0, -2.5, 0.3])) for _ in range(4)]
    captured = cr.sqrt(cr.Value(0.0))  # older than nothing below, not on any path
    nodes = [*inputs, captured]
    for _ in range(size):
        chosen = [choose.choice(nodes[-12:]) for _ in range(3)]
        nodes.append(
            choose.choice(
                [
                    lambda a, b, c: a + b,
                    lambda a, b, c: a * b,
                    lambda a, b, c: a - 0.5 * b,
                    lambda a, b, c: cr.sqrt(a),
                    lambda a, b, c: a / b,
                    lambda a, b, c: cr.tanh(a),
                    lambda a, b, c: cr.where(cr.less(a, b), b, c),
                    lambda a, b, c: cr.maximum(a, b),
                    lambda a, b, c: cr.dot([a, b], [b, c], 1.0),
                    lambda a, b, c: cr.sum([a, b, c, 2.0]),
                ]
            )(*chosen)
        )
    return inputs, [nodes[-1], nodes[-3], 7.0, nodes[-1], nodes[len(nodes) // 2]]


def seeds_of(outputs, seeds):
    found = {}
    for y, seed in zip(outputs, seeds, strict=True):
        if isinstance(y, cr.Value) and seed != 0.0:
            found[y] = found[y] + seed if y in found else seed
    return found


@pytest.mark.parametrize("seed", range(60))
def test_the_sweeps_equal_the_reference_to_the_bit_and_leave_gradients_alone(seed):
    inputs, outputs = graph(seed)
    outputs[0].backward(0.25)
    before = [(repr(v.grad), v.has_grad) for v in (*inputs, outputs[0], outputs[1])]
    rows = np.array([[1.0, 0.0, 3.0, 0.0, 0.0], [0.0, 2.0, 1.0, -0.5, 0.0], [0.0] * 5])
    found = sweep_calls.sweep_rows(outputs, inputs, rows, forward=False)
    for row, got in zip(rows.tolist(), found.tolist(), strict=True):
        adjoints = pullback(seeds_of(outputs, row), inputs=inputs)
        expected = [adjoints.get(x, 0.0) for x in inputs]
        assert bits(got) == bits(expected)
        assert bits(sweep_calls.pull(outputs, inputs, row, linked=False)) == bits(expected)
    matrix = sweep_calls.sweep_rows(outputs, inputs, None, forward=True)
    for k, x in enumerate(inputs):
        moved = pushforward([y for y in outputs if isinstance(y, cr.Value)], {x: 1.0})
        expected = [moved.get(y, 0.0) if isinstance(y, cr.Value) else 0.0 for y in outputs]
        assert bits(matrix[:, k]) == bits(expected)
    assert [(repr(v.grad), v.has_grad) for v in (*inputs, outputs[0], outputs[1])] == before


@pytest.mark.parametrize("seed", range(20))
def test_linked_sweeps_equal_the_reference_to_the_bit(seed):
    inputs, outputs = graph(seed, 15)
    seed_node = cr.Value(1.5)
    cotangents = [1.0, seed_node, 1.0, 0.0, 2.0]
    found = sweep_calls.pull(outputs, inputs, cotangents, linked=True)
    adjoints = pullback(seeds_of(outputs, cotangents), linked_partials, inputs)
    expected = [adjoints.get(x, 0.0) for x in inputs]
    for got, want in zip(found, expected, strict=True):
        assert type(got) is type(want)
        if isinstance(got, cr.Value):
            assert got.op == want.op
            wanted = [*inputs, seed_node]
            assert bits([got.data, *cr.gradients(got, wanted)]) == bits(
                [want.data, *cr.gradients(want, wanted)]
            )
        else:
            assert bits([got]) == bits([want])


def test_a_hundred_sweeps_at_once_are_a_hundred_sweeps():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(150, 5))
    xs = [cr.Value(x) for x in rng.normal(size=5)]
    outputs = [cr.tanh(cr.dot(w.tolist(), xs)) for w in weights]
    matrix = sweep_calls.sweep_rows(outputs, xs, None, forward=False)
    assert matrix.tolist() == [cr.gradients(y, xs) for y in outputs]
    np.testing.assert_allclose(sweep_calls.sweep_rows(outputs, xs, None, True), matrix, rtol=1e-15)


def test_a_deep_graph_is_swept_without_recursion():
    x = y = cr.Value(1.0)
    for _ in range(200_000):
        y = y + 1.0
    assert cr.gradients(y, [x]) == [1.0]
    assert sweep_calls.sweep_rows([y, y], [x], None, forward=True).tolist() == [[1.0], [1.0]]
    (slope,) = cr.gradients(y * x, [x], create_graph=True)
    assert slope.data == 200_002.0


@pytest.mark.parametrize("seed", range(40))
def test_linked_tangents_equal_the_reference_to_the_bit(seed):
    inputs, outputs = graph(seed)
    inputs.append(cr.exp(inputs[1]))  # an input that depends on another one keeps its own tangent
    outputs.append(inputs[-1] * inputs[1])
    t = cr.Value(0.5)
    for tangents in ([t, 1.0, t * t, 0.0, 2.0], [0.0] * 5, [0.0, 0.0, 0.0, 1.0, t]):
        found = sweep_calls.push(outputs, inputs, tangents, linked=True)
        moving = {v: x for v, x in zip(inputs, tangents, strict=True) if x != 0.0}
        nodes = [x for x in outputs if isinstance(x, cr.Value)]
        moved = pushforward(nodes, moving, linked_partials)
        expected = [moved.get(x, 0.0) if isinstance(x, cr.Value) else 0.0 for x in outputs]
        assert [type(x) for x in found] == [type(x) for x in expected]
        data = [[getattr(x, "data", x) for x in xs] for xs in (found, expected)]
        assert bits(data[0]) == bits(data[1])
        for one, other in zip(found, expected, strict=True):
            if isinstance(one, cr.Value):
                assert bits(cr.gradients(one, [t])) == bits(cr.gradients(other, [t]))


def test_linked_tangents_of_a_graph_that_is_out_of_date_are_refused():
    x, t = cr.Value(2.0), cr.Value(1.0)
    y = cr.tanh(x * x)
    x.data = 3.0
    with pytest.raises(RuntimeError, match="out of date"):
        sweep_calls.push([y], [x], [t], linked=True)


@pytest.mark.parametrize("mode", ["forward", "reverse", None])
def test_the_jacobian_is_the_same_in_both_modes(mode):
    def function(x):
        return [[x[0] * x[1], cr.sin(x[2])], [x[2] / x[0], 4.0]]

    found = cr.jacobian(function, mode=mode)([2.0, 3.0, 0.5])
    expected = [
        [[3.0, 2.0, 0.0], [0.0, 0.0, math.cos(0.5)]],
        [[-0.125, 0.0, 0.5], [0.0, 0.0, 0.0]],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-15)
    assert cr.jacobian(lambda x: x * x, mode=mode)(3.0) == 6.0
    second = cr.grad(lambda a: cr.sum(cr.jacobian(function, mode=mode)([a, 3.0, 0.5]).ravel()))(2.0)
    assert second == pytest.approx(1.0 + 0.125 - 0.25)


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_linked_jacobians_equal_the_reference_to_the_bit(seed, forward):
    inputs, outputs = graph(seed, 20)
    inputs.append(cr.exp(inputs[1]))  # an input that depends on another one
    outputs.append(inputs[-1] * inputs[1])
    found = sweep_calls.sweep_linked(outputs, inputs, forward)
    partials = functools.cache(linked_partials)
    nodes = [y for y in outputs if isinstance(y, cr.Value)]
    if forward:
        moved = [pushforward(nodes, {x: 1.0}, partials) for x in inputs]
        expected = [[m.get(y, 0.0) if y in nodes else 0.0 for m in moved] for y in outputs]
    else:
        pulled = [pullback({y: 1.0} if y in nodes else {}, partials, inputs) for y in outputs]
        expected = [[adjoints.get(x, 0.0) for x in inputs] for adjoints in pulled]
    for row, wanted in zip(found, expected, strict=True):
        assert [type(x) for x in row] == [type(x) for x in wanted]
        for one, other in zip(row, wanted, strict=True):
            if isinstance(one, cr.Value):
                assert one.op == other.op
                assert bits([one.data, *cr.gradients(one, inputs)]) == bits(
                    [other.data, *cr.gradients(other, inputs)]
                )
            else:
                assert bits([one]) == bits([other])


@pytest.mark.parametrize(("forward", "size"), [(True, 5), (False, 4)])
def test_the_sweeps_of_a_linked_jacobian_share_the_partials(forward, size):
    made = []

    def slope(x, y):
        made.append(x)
        return 3.0 * cr.square(x)

    cube = cr.primitive(f"cube that counts {forward}", lambda x: x**3, (slope,))
    x = [cr.Value(0.5 * i) for i in range(5)]
    inner = cube(cr.sum(x))
    made.clear()
    rows = sweep_calls.sweep_linked([inner * x[k] for k in range(4)], x, forward)
    assert len(made) == 1
    assert (len(rows), len(rows[0])) == (4, 5)
    assert rows[1][2].data == 3.0 * 25.0 * 0.5


@pytest.mark.parametrize("mode", ["forward", "reverse", None])
@pytest.mark.parametrize("outer", [cr.grad, lambda f: cr.jacobian(f, "forward")])
def test_a_jacobian_inside_a_derivative_has_all_orders(mode, outer):
    """d/da of the Jacobian of (x y a, sin(x) / y) and of x^2 y a, with their closed forms."""

    def entries(a):
        pair = cr.jacobian(lambda x, y: (x * y * a, cr.sin(x * a) / y), mode)(0.5, 2.0)
        one = cr.jacobian(lambda v: v[0] ** 2 * v[1] * a, mode)([3.0, a])
        two = cr.jacobian(lambda x: [x * x, 7.0, x / a], mode)(a)
        assert (pair.shape, one.shape, two.shape) == ((2, 2), (2,), (3,))
        return [*pair.ravel(), *one, *two]

    a = 0.75
    expected = [
        *(2.0, 0.5),
        *(0.5 * (math.cos(0.5 * a) - 0.5 * a * math.sin(0.5 * a)), -0.125 * math.cos(0.5 * a)),
        *(12.0 * a, 9.0),  # of 6 a^2 and 9 a
        *(2.0, 0.0, -1.0 / a**2),  # of 2 a, 0 and 1 / a
    ]
    found = [outer(lambda a, i=i: entries(a)[i])(a) for i in range(len(expected))]
    assert found == pytest.approx(expected, rel=1e-14)


def test_a_mode_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="mode='backward'; expected 'forward', 'reverse' or None"):
        cr.jacobian(cr.sin, mode="backward")


def test_hvp_hands_out_its_gradient():
    def function(x, y):
        return x[0] ** 2 * y + cr.exp(x[1])

    point, vector = ([1.0, 0.0], 3.0), ([1.0, 2.0], 1.0)
    gradient, product = cr.hvp(function, point, vector, with_gradient=True)
    assert gradient == ([6.0, 1.0], 1.0) == cr.grad(function, (0, 1))(*point)
    assert product == ([8.0, 2.0], 2.0) == cr.hvp(function, point, vector)
    v = cr.Value(1.0)
    gradient, product = cr.hvp(lambda x: x**3, (v,), (1.0,), with_gradient=True)
    assert (gradient[0].data, product[0].data) == (3.0, 6.0)
    assert cr.gradients(product[0], [v]) == [6.0]


def test_an_interrupted_or_failing_function_leaves_no_differentiation_behind():
    def fails(x):
        raise ZeroDivisionError("mine")

    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match="mine"):
            cr.grad(fails)(1.0)
        assert runs.enclosing.get() is None
    assert cr.grad(lambda x: x * x)(3.0) == 6.0


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (2, 4.0),
        (True, 2.0),
        (np.float64(2.0), 4.0),
        (np.float32(2.0), 4.0),
        (np.array(2.0), 4.0),
    ],
)
def test_a_gradient_by_any_number_is_a_float(argument, expected):
    found = cr.grad(lambda x: x * x)(argument)
    assert (type(found), found) == (float, expected)


def test_gradients_keep_the_structure_of_the_argument():
    def function(p):
        return p["w"][0] * p["w"][1][0] + p["b"] ** 2

    found = cr.grad(function)({"w": [2.0, (3.0,)], "b": 4})
    assert found == {"w": [3.0, (2.0,)], "b": 8.0}
    assert type(found["w"][1]) is tuple
    many = cr.grad(lambda a, b: cr.sum(a) * b[0], argnums=(1, -2))([1.0, 2.0], np.array([3.0]))
    assert (many[1], many[0].tolist()) == ([3.0, 3.0], [3.0])
    assert cr.grad(lambda x, scale: x * scale)(1.0, scale=3.0) == 3.0


def test_an_argument_that_the_function_changes_does_not_break_anything():
    point = [1.0, 2.0]

    def function(x):
        point.append(3.0)
        return x[0] * x[1]

    with pytest.raises((RuntimeError, StopIteration)):
        cr.grad(function)(point)


def test_numbers_of_numpy_are_taken_as_floats_are():
    x = cr.Value(3.0)
    two = np.float64(2.0)
    for y, expected in [(two - x, -1.0), (x - two, 1.0), (two**x, 8.0), (two / x, 2.0 / 3.0)]:
        assert isinstance(y, cr.Value)
        assert y.data == expected
        assert all(type(operand) in (float, cr.Value) for operand in y.operands)
    assert cr.dot([x, x], [two, two], two).data == 14.0
    assert type(cr.exp(two)) is float
    assert type(cr.Value(two).data) is float
