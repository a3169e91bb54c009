"""``grad`` and its relatives: what they return for which arguments, nested and mixed."""

from __future__ import annotations

import math
import sys
from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import Value

# ---------------------------------------------------------------- nesting


def test_no_perturbation_confusion():
    """d/dx [x * d/dy (x + y)] at 1 is 1: the inner derivative must not see the outer variable."""
    assert cr.grad(lambda x: x * cr.grad(lambda y: x + y)(1.0))(1.0) == 1.0
    assert cr.grad(lambda x: x * cr.grad(lambda y: x * y)(2.0))(3.0) == 6.0
    assert cr.grad(lambda x: x * cr.grad(lambda y: x + y)(x))(1.0) == 1.0
    assert cr.grad(lambda x: x * cr.jvp(lambda y: x + y, (1.0,), (1.0,))[1])(1.0) == 1.0
    assert cr.jvp(lambda x: x * cr.grad(lambda y: x + y)(1.0), (1.0,), (1.0,)) == (1.0, 1.0)
    assert (
        cr.jvp(lambda x: x * cr.jvp(lambda y: x * y, (2.0,), (1.0,))[1], (3.0,), (1.0,))[1] == 6.0
    )


def test_the_derivative_by_a_shift_of_a_derivative_is_the_second_derivative():
    """Siskind and Pearlmutter's shape of the confusion: one derivative inside a shifted other."""

    def shifted(u):
        return lambda x: cr.sin(x + u)

    slope = cr.grad(lambda u: cr.grad(shifted(u))(0.3))(0.0)
    assert slope == pytest.approx(-math.sin(0.3), rel=1e-15)


def nth_derivatives(f, x, n):
    found = [f]
    for _ in range(n):
        found.append(cr.grad(found[-1]))
    return [g(x) for g in found]


def test_derivatives_of_any_order():
    assert nth_derivatives(lambda x: x**5, 2.0, 6) == [32.0, 80.0, 160.0, 240.0, 240.0, 120.0, 0.0]
    assert nth_derivatives(cr.exp, 0.0, 7) == [1.0] * 8
    sines = nth_derivatives(cr.sin, 0.5, 5)
    expected = [math.sin(0.5 + k * math.pi / 2) for k in range(6)]
    assert sines == pytest.approx(expected, rel=1e-14)


DERIVATIVES = {
    "grad": cr.grad,
    "jvp": lambda f: lambda x: cr.jvp(f, (x,), (1.0,))[1],
    "vjp": lambda f: lambda x: cr.vjp(f, x)[1](1.0)[0],
    "jacobian": lambda f: cr.jacobian(f),
    "gradients": lambda f: lambda x: by_gradients(f, x),
    "value_and_grad": lambda f: lambda x: cr.value_and_grad(f)(x)[1],
}


def by_gradients(f, x):
    variable = cr.where(True, x, 0.0) if isinstance(x, Value) else Value(x)
    (slope,) = cr.gradients(f(variable), [variable], create_graph=True)
    return slope if isinstance(x, Value) else slope.data


@pytest.mark.parametrize("outer", DERIVATIVES)
@pytest.mark.parametrize("inner", DERIVATIVES)
def test_transforms_nest_in_any_order(inner, outer):
    def f(x):
        return cr.tanh(x) * x**3 + cr.exp(x / 2)

    slope = DERIVATIVES[outer](DERIVATIVES[inner](f))(0.7)
    assert slope == pytest.approx(cr.grad(cr.grad(f))(0.7), rel=1e-14)
    assert isinstance(slope, float)


@pytest.mark.parametrize("third", DERIVATIVES)
def test_transforms_nest_three_deep(third):
    def f(x):
        return cr.sin(x * x)

    x = 0.4
    exactly = -8 * x**3 * math.cos(x * x) - 12 * x * math.sin(x * x)
    slope = DERIVATIVES[third](DERIVATIVES["jvp"](DERIVATIVES["grad"](f)))(x)
    assert slope == pytest.approx(exactly, rel=1e-13)


def test_a_jacobian_of_a_gradient_is_the_hessian():
    def f(x):
        return x[0] ** 2 * x[1] + cr.exp(x[0] * x[1]) * x[2]

    point = [0.3, -0.8, 2.0]
    by_jacobian = cr.jacobian(cr.grad(f))(point)
    by_hessian = cr.hessian(f)(point)
    np.testing.assert_allclose(by_jacobian, by_hessian, rtol=1e-14)
    np.testing.assert_allclose(by_hessian, by_hessian.T, rtol=1e-14)
    for v in np.eye(3):
        (column,) = cr.hvp(f, (point,), (list(v),))
        np.testing.assert_allclose(column, by_hessian @ v, rtol=1e-14)


def test_a_direction_may_itself_be_differentiated():
    assert cr.grad(lambda t: cr.jvp(cr.square, (3.0,), (t,))[1])(1.0) == 6.0
    assert cr.grad(lambda t: cr.jvp(cr.square, (t,), (t,))[1])(3.0) == 12.0
    _, pull = cr.vjp(cr.square, 3.0)
    assert cr.grad(lambda c: pull(c)[0] ** 2)(1.0) == 72.0
    assert cr.grad(lambda t: cr.hvp(lambda x: x**3, (2.0,), (t,))[0])(1.0) == 12.0


def test_a_direction_that_is_a_value_gives_a_value():
    t = Value(1.0)
    value, tangent = cr.jvp(cr.square, (3.0,), (t,))
    assert value == 9.0
    tangent.backward()
    assert t.grad == 6.0


def test_a_closure_over_a_value_is_a_constant_unless_it_is_being_differentiated():
    w = Value(3.0)
    assert cr.grad(lambda x: w * x)(2.0) == 3.0
    assert cr.grad(lambda w: cr.grad(lambda x: w * x * x)(2.0))(3.0) == 4.0
    inner = cr.grad(lambda x: w * x)(Value(2.0))
    inner.backward()
    assert (inner.data, w.grad) == (3.0, 1.0)


def test_a_value_passed_twice_is_two_arguments():
    v = Value(3.0)
    dx, dy = cr.grad(lambda x, y: x * x * y, argnums=(0, 1))(v, v)
    assert (dx.data, dy.data) == (18.0, 9.0)
    cr.sum([dx, dy]).backward()
    assert v.grad == 18.0  # of 2xy + x^2 at x = y = v: 4v + 2v


def test_given_values_the_result_is_linked_to_them():
    v = Value(2.0)
    slope = cr.grad(lambda x: x**3)(v)
    assert slope.data == 12.0
    slope.backward()
    assert v.grad == 12.0
    value, slope = cr.value_and_grad(lambda x: x**3)(v)
    assert (value.data, slope.data) == (8.0, 12.0)
    assert cr.gradients(value, [v]) == [12.0]


# ---------------------------------------------------------------- shapes of arguments and results

Pair = namedtuple("Pair", "w b")


def test_a_gradient_has_the_shape_of_its_argument():
    assert cr.grad(lambda x: x[0] * x[1])([2.0, 3.0]) == [3.0, 2.0]
    assert cr.grad(lambda x: x[0] * x[1])((2, 3)) == (3.0, 2.0)
    assert cr.grad(lambda p: p.w * p.b)(Pair(2.0, 3.0)) == Pair(3.0, 2.0)
    assert cr.grad(lambda p: p["w"] * p["b"])({"w": 2.0, "b": 3.0}) == {"w": 3.0, "b": 2.0}
    nested = cr.grad(lambda t: t[0][1] * t[1]["b"])(([1.0, 2.0], {"b": 5.0, "c": ()}))
    assert nested == ([0.0, 5.0], {"b": 2.0, "c": ()})
    array = cr.grad(lambda x: (x**2).sum())(np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(array, 2.0 * np.arange(6).reshape(2, 3))
    assert array.dtype == float
    assert cr.grad(lambda x: cr.sum(x))(np.zeros((0, 3))).shape == (0, 3)
    assert cr.grad(lambda x: 1.0)([]) == []


def test_a_zero_dimensional_array_is_a_number():
    for function in (cr.exp, lambda x: x * x, lambda x: np.array(x, dtype=object)):
        value, slope = cr.value_and_grad(function)(np.array(2.0))
        assert type(value) is float
        assert type(slope) is float
    assert cr.grad(cr.square)(np.float32(3)) == 6.0


def test_arrays_read_only_and_strided_are_as_good():
    x = np.arange(8.0)[::-2]
    x.flags.writeable = False
    np.testing.assert_array_equal(cr.grad(lambda x: (x * x).sum())(x), 2 * x)


def test_values_inside_an_array_give_an_array_of_values():
    x = np.array([Value(1.0), Value(2.0)])
    slopes = cr.grad(lambda x: (x**3).sum())(x)
    assert slopes.dtype == object
    assert [s.data for s in slopes] == [3.0, 12.0]
    assert cr.gradients(slopes[1], list(x)) == [0.0, 12.0]


def test_argnums_choose_the_arguments():
    def f(x, y, z):
        return x * y * z

    assert cr.grad(f)(2, 3, 5) == 15.0
    assert cr.grad(f, 1)(2, 3, 5) == 10.0
    assert cr.grad(f, -1)(2, 3, 5) == 6.0
    assert cr.grad(f, (2, 0))(2, 3, 5) == (6.0, 15.0)
    assert cr.grad(f, [1])(2, 3, 5) == (10.0,)
    assert cr.grad(f, np.int64(1))(2, 3, 5) == 10.0
    assert cr.grad(f, np.array([0, 1]))(2, 3, 5) == (15.0, 10.0)
    assert cr.grad(f, ())(2, 3, 5) == ()


@pytest.mark.parametrize(
    ("argnums", "message"),
    [
        (3, "argnums names argument 3 of a call with 2 arguments"),
        (-3, "argnums names argument -3"),
        ((0, 0), "argnums names an argument twice"),
        ((1, -1), "argnums names an argument twice"),
        ("0", "argnums: expected an int or a sequence of ints, not '0'"),
        (1.0, "argnums: expected an int"),
        (None, "argnums: expected an int"),
    ],
)
def test_wrong_argnums_are_refused(argnums, message):
    with pytest.raises(TypeError, match=message):
        cr.grad(lambda x, y: x * y, argnums)(1.0, 2.0)


def test_keyword_arguments_are_handed_on():
    def f(x, *, args, function=1.0, kwargs=0.0, self=0.0):
        return x * args * function + kwargs + self

    assert cr.grad(f)(2.0, args=3.0, function=5.0, kwargs=1.0, self=1.0) == 15.0


def test_arguments_that_are_not_varied_may_be_anything():
    assert cr.grad(lambda x, how: x * x if how == "square" else x)(3.0, "square") == 6.0
    assert cr.grad(lambda x, other: x)(3.0, None) == 1.0


def test_a_function_may_ignore_or_return_its_argument():
    assert cr.grad(lambda x: 7.0)(2.0) == 0.0
    assert cr.grad(lambda x: 7)([1.0, 2.0]) == [0.0, 0.0]
    assert cr.value_and_grad(lambda x: x)(2.0) == (2.0, 1.0)
    assert cr.grad(lambda x, y: x, (0, 1))(2.0, 3.0) == (1.0, 0.0)
    assert cr.jvp(lambda x: 7.0, (2.0,), (1.0,)) == (7.0, 0.0)
    assert cr.jvp(lambda x: x, (2.0,), (3.0,)) == (2.0, 3.0)
    assert cr.vjp(lambda x: 7.0, 2.0)[1](1.0) == (0.0,)
    assert cr.vjp(lambda x: (x, x, 1.0), 2.0)[1]((1.0, 10.0, 100.0)) == (11.0,)
    assert cr.jacobian(lambda x: [x, 1.0, x])(2.0).tolist() == [1.0, 0.0, 1.0]
    assert cr.hessian(lambda x: x)(2.0) == 0.0
    assert cr.hvp(lambda x, y: x, (2.0, 3.0), (1.0, 1.0)) == (0.0, 0.0)
    assert cr.grad(cr.grad(lambda x: 3.0 * x))(1.0) == 0.0


def test_derivatives_by_arguments_that_reach_the_result_by_no_path_are_positive_zeros():
    slopes = cr.grad(lambda x, y: x * 2, (0, 1))(1.0, math.nan)
    assert slopes == (2.0, 0.0)
    assert math.copysign(1.0, slopes[1]) == 1.0


def test_no_arguments_and_no_results():
    assert cr.jvp(lambda: 3.0, (), ()) == (3.0, 0.0)
    value, pull = cr.vjp(lambda: 3.0)
    assert (value, pull(1.0)) == (3.0, ())
    assert cr.jacobian(lambda x: [])([1.0, 2.0]).shape == (0, 2)
    assert cr.jacobian(lambda x: [1.0, 2.0])([]).shape == (2, 0)
    assert cr.jvp(lambda x: [], (1.0,), (1.0,)) == ([], [])
    assert cr.vjp(lambda x: {}, 1.0)[1]({}) == (0.0,)
    with pytest.raises(TypeError, match="argnums names argument 0 of a call with 0 arguments"):
        cr.grad(lambda: 1.0)()


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "result of .*NoneType.*return statement missing"),
        ("1", "result of .*str is not a real number"),
        (1j, "result of .*complex is not a real number"),
        ([1.0, 2.0], "needs one number as its result, not list of 2: use jacobian"),
        ([1.0], "needs one number as its result"),
        (np.zeros(3), "needs one number as its result, not ndarray of 3: use jacobian"),
        ({"a": 1.0}, "needs one number as its result, not dict"),
        ((), "needs one number as its result"),
    ],
)
def test_a_result_that_is_no_number_is_refused(result, message):
    with pytest.raises(TypeError, match=message):
        cr.grad(lambda x: result)(1.0)


@pytest.mark.parametrize("point", [1j, "1", None, np.array(["a"]), np.array([1j]), [1.0, None]])
def test_an_argument_that_is_no_number_is_refused(point):
    def loss(x):
        return x

    with pytest.raises(TypeError, match=r"argument of loss: .* is not a real number"):
        cr.grad(loss)(point)


def test_directions_must_match():
    with pytest.raises(ValueError, match="jvp tangents: expected a sequence of 2, not 1"):
        cr.jvp(lambda x, y: x * y, (1.0, 2.0), (1.0,))
    with pytest.raises(ValueError, match="vjp cotangent: expected a sequence of 2, not float"):
        cr.vjp(lambda x: (x, x), 1.0)[1](1.0)
    with pytest.raises(ValueError, match="expected a sequence of 2, not 1"):
        cr.hvp(lambda x: x[0] * x[1], ([1.0, 2.0],), ([1.0],))
    with pytest.raises(ValueError, match="jvp tangents: expected a sequence of 1, not 2"):
        cr.jvp(lambda x: x[0] * x[1], ([1.0, 2.0],), (1.0, 2.0))
    with pytest.raises(ValueError, match=r"expected a dict with the keys \['w', 'b'\]"):
        cr.jvp(lambda p: p["w"] * p["b"], ({"w": 1.0, "b": 2.0},), ({"w": 1.0},))
    with pytest.raises(TypeError, match="jvp tangents: list is not a real number"):
        cr.jvp(cr.exp, (1.0,), ([1.0],))
    with pytest.raises(TypeError, match="primals: expected a tuple with one entry per argument"):
        cr.jvp(cr.exp, 1.0, 1.0)
    with pytest.raises(TypeError, match="tangents: expected a tuple"):
        cr.jvp(cr.exp, (1.0,), 1.0)
    with pytest.raises(TypeError, match="jvp tangents: str is not a real number"):
        cr.jvp(cr.exp, (1.0,), ("1",))


def test_directions_pair_by_key_and_arrays_pair_with_lists():
    def line(p):
        return p["w"] * 10 + p["b"]

    assert cr.jvp(line, ({"w": 1.0, "b": 2.0},), ({"b": 0.0, "w": 1.0},)) == (12.0, 10.0)
    assert cr.jvp(cr.sum, ([1.0, 2.0],), (np.array([1.0, 5.0]),)) == (3.0, 6.0)
    assert cr.jvp(cr.sum, (np.ones((2, 2)),), ([[1.0, 2.0], [3.0, 4.0]],)) == (4.0, 10.0)
    _, pull = cr.vjp(lambda x: {"double": 2 * x, "square": x * x}, 3.0)
    assert pull({"square": 1.0, "double": 0.0}) == (6.0,)


def test_gradients_wants_values():
    a = Value(2.0)
    with pytest.raises(TypeError, match="gradients: expected Values, not float"):
        cr.gradients(a * a, [2.0])
    with pytest.raises(TypeError, match="gradients: expected Values, not float"):
        cr.gradients(2.0, [a])
    assert cr.gradients(a * a, a) == [4.0]
    assert cr.gradients(a * a, [a, a, Value(1.0)]) == [4.0, 4.0, 0.0]
    assert cr.gradients(a, [a]) == [1.0]
    assert cr.gradients(a * a, []) == []


def test_gradients_with_respect_to_interior_nodes():
    a = Value(2.0)
    h = a * a
    y = cr.sin(h) * h
    (slope,) = cr.gradients(y, [h], create_graph=True)
    assert slope.data == math.cos(4.0) * 4.0 + math.sin(4.0)
    second = cr.gradients(slope, [h])[0]
    assert second == pytest.approx(2 * math.cos(4.0) - 4.0 * math.sin(4.0), rel=1e-15)


def test_a_function_that_raises_leaves_nothing_switched_on():
    def fails(x):
        raise ZeroDivisionError

    for transform in (cr.grad(fails), cr.jacobian(fails), cr.hessian(fails)):
        with pytest.raises(ZeroDivisionError):
            transform(1.0)
    assert type(cr.grad(cr.square)(3.0)) is float


# ---------------------------------------------------------------- matrices


def test_the_shape_of_a_jacobian_is_that_of_the_result_and_then_of_the_point():
    def table(x):
        return np.outer(x, [1.0, 2.0, 3.0])

    assert cr.jacobian(table)(np.ones(2)).shape == (2, 3, 2)
    assert cr.jacobian(lambda x: x[0][0] * x[1][1])([[1.0, 2.0], [3.0, 4.0]]).tolist() == [
        [4.0, 0.0],
        [0.0, 1.0],
    ]
    assert cr.jacobian(lambda x: x * x)(3.0) == 6.0
    assert cr.jacobian(lambda x, y: x * y)(3.0, 4.0).tolist() == [4.0, 3.0]
    assert cr.jacobian(lambda x: [x * x])(3.0).tolist() == [6.0]


def test_a_jacobian_of_a_ragged_thing_is_refused():
    with pytest.raises(ValueError, match="rectangular"):
        cr.jacobian(lambda x: [[x], [x, x]])(1.0)
    with pytest.raises(ValueError, match="rectangular"):
        cr.jacobian(lambda x, y: x)([1.0], 2.0)


def test_a_jacobian_of_a_dict_is_refused():
    for matrix in (cr.jacobian, cr.hessian):
        with pytest.raises(ValueError, match="not a dict"):
            matrix(lambda p: p["a"] * p["b"])({"a": 1.0, "b": 2.0})
    with pytest.raises(ValueError, match="not a dict"):
        cr.jacobian(lambda x: {"a": x})(1.0)


def test_wide_and_tall_jacobians_agree():
    """Forward mode serves the tall one and reverse mode the wide one: their product is known."""
    a = np.random.default_rng(3).normal(size=(3, 5))

    def linear(x):
        return a @ x

    def transposed(y):
        return a.T @ y

    np.testing.assert_array_equal(cr.jacobian(linear)(np.ones(5)), a)
    np.testing.assert_array_equal(cr.jacobian(transposed)(np.ones(3)), a.T)


def test_the_shape_of_a_hessian_is_that_of_the_point_twice():
    assert cr.hessian(lambda x: x**3)(2.0) == 12.0
    assert cr.hessian(lambda x: x[0] ** 3)([2.0]).tolist() == [[12.0]]
    assert cr.hessian(lambda x: (x**2).sum())(np.ones((2, 2))).shape == (2, 2, 2, 2)
    with pytest.raises(TypeError, match="needs one number as its result"):
        cr.hessian(lambda x: [x, x])(1.0)


def test_a_hessian_with_values_in_it_is_an_array_of_values():
    v = Value(2.0)
    matrix = cr.hessian(lambda x, y: x**3 * y)(v, 3.0)
    assert matrix.shape == (2, 2)
    assert matrix[0, 0].data == 36.0
    assert cr.gradients(matrix[0, 0], [v]) == [18.0]


# ---------------------------------------------------------------- laws

numbers = st.floats(-2.0, 2.0).filter(lambda x: abs(x) > 1e-3 or x == 0)
vectors = st.lists(numbers, min_size=3, max_size=3)


def field(x, y, z):
    """A field R^3 -> R^2 with every kind of node in it."""
    h = cr.tanh(x * y - z) + cr.softmax([x, y, z])[1] * cr.exp(z / 3)
    return [
        cr.dot([h, x], [z, y], h) + cr.logsumexp([x, h, 1.0]) / (2.0 + y * y),
        cr.where(x > y, h * h, cr.sigmoid(h)) + cr.maximum(x, z) * cr.hypot(h, 1.0) - cr.gelu(y),
    ]


@settings(deadline=None, max_examples=60)
@given(vectors, vectors, st.lists(numbers, min_size=2, max_size=2))
def test_duality(point, u, v):
    """<v, J u> = <J^T v, u>: the two sweeps are adjoint to each other."""
    _, pushed = cr.jvp(field, point, u)
    _, pull = cr.vjp(field, *point)
    forwards = sum(a * b for a, b in zip(v, pushed, strict=True))
    backwards = sum(a * b for a, b in zip(pull(v), u, strict=True))
    scale = sum(abs(a * b) for a, b in zip(v, pushed, strict=True)) + 1.0
    assert abs(forwards - backwards) <= 1e-13 * scale


@settings(deadline=None, max_examples=30)
@given(vectors, vectors)
def test_hvp_is_the_hessian_times_the_vector_and_the_hessian_is_symmetric(point, u):
    def scalar(*xs):
        return field(*xs)[0] * field(*xs)[1]

    hessian = cr.hessian(scalar)(*point)
    product = cr.hvp(scalar, point, u)
    scale = np.abs(hessian).max() + 1.0
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12 * scale)
    np.testing.assert_allclose(product, hessian @ u, atol=1e-12 * scale)


@settings(deadline=None, max_examples=30)
@given(vectors, numbers, numbers)
def test_grad_is_linear_and_obeys_product_and_chain_rule(point, a, b):
    def f(*xs):
        return field(*xs)[0]

    def g(*xs):
        return field(*xs)[1]

    def gradient(function):
        return np.array(cr.grad(function, range(3))(*point))

    df, dg = gradient(f), gradient(g)
    scale = 1.0 + np.abs(df).max() + np.abs(dg).max()
    close = {"rtol": 0, "atol": 1e-12 * scale**2}
    np.testing.assert_allclose(gradient(lambda *x: a * f(*x) + b * g(*x)), a * df + b * dg, **close)
    product = gradient(lambda *x: f(*x) * g(*x))
    np.testing.assert_allclose(product, df * g(*point) + dg * f(*point), **close)
    chained = gradient(lambda *x: cr.sin(f(*x)))
    np.testing.assert_allclose(chained, df * math.cos(f(*point)), **close)


@pytest.mark.parametrize(
    "transform",
    [
        cr.grad, cr.value_and_grad, cr.jacobian, cr.hessian, lambda f: cr.vjp(f, 1.0),
        lambda f: cr.jvp(f, (1.0,), (1.0,)), lambda f: cr.hvp(f, (1.0,), (1.0,)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("thing", [3, None, cr.Value(2.0)])
def test_what_is_no_function_is_refused_at_once(transform, thing):
    with pytest.raises(
        TypeError, match=r"expected a function to differentiate, not .*backward\(\)"
    ):
        transform(thing)


# ---------------------------------------------------------------- derivatives inside a long program


def steps_by_grad(x):
    return x - 0.01 * cr.grad(lambda t: cr.sin(t) * t)(x)


def steps_with_a_captured_node(x):
    return x - 0.01 * cr.grad(lambda t: cr.sin(t * x) * t)(0.7)


def steps_by_jvp(x):
    return x - 0.01 * cr.jvp(lambda t: cr.sin(t) * t, (x,), (1.0,))[1]


def steps_by_hessian(x):
    return x - 0.01 * cr.hessian(lambda t: cr.sin(t) * t)(x)


def steps_by_gradients(x):
    return x - 0.01 * cr.gradients(cr.sin(x) * x, [x], create_graph=True)[0]


def steps_by_grad_of_grad(x):
    return x - 0.01 * cr.grad(lambda t: cr.grad(lambda u: cr.sin(u * x) * t)(t))(0.7)


def steps_that_do_not_depend(x):
    return x - 0.01 * cr.grad(lambda t: cr.sin(t) * t)(0.7)


STEPS = (
    steps_by_grad,
    steps_with_a_captured_node,
    steps_by_jvp,
    steps_by_hessian,
    steps_by_gradients,
    steps_by_grad_of_grad,
    steps_that_do_not_depend,
)


def repeated(step, n):
    def run(x):
        for _ in range(n):
            x = step(x)
        return x

    return run


@pytest.mark.parametrize("step", STEPS)
def test_a_derivative_inside_a_long_program_costs_what_its_own_graph_costs(step):
    """Not what the graph costs that it stands on: in twice the steps, twice the work."""

    def work(n):
        events = 0

        def count(frame, event, arg):
            nonlocal events
            events += 1

        before = Value(0.0).serial
        sys.setprofile(count)
        try:
            cr.grad(repeated(step, n))(1.0)
        finally:
            sys.setprofile(None)
        return Value(0.0).serial - before, events

    (made, done), (twice_made, twice_done) = work(40), work(80)
    assert twice_made <= 2.05 * made
    assert twice_done <= 2.05 * done


@pytest.mark.parametrize("step", STEPS)
def test_a_derivative_through_a_long_program_is_that_of_differences(step):
    mpmath = pytest.importorskip("mpmath")

    def by_hand(x):
        sin, cos = mpmath.sin, mpmath.cos
        t = mpmath.mpf(0.7)
        slope = {
            steps_by_grad: lambda: cos(x) * x + sin(x),
            steps_with_a_captured_node: lambda: cos(t * x) * x * t + sin(t * x),
            steps_by_jvp: lambda: cos(x) * x + sin(x),
            steps_by_hessian: lambda: 2 * cos(x) - sin(x) * x,
            steps_by_gradients: lambda: cos(x) * x + sin(x),
            steps_by_grad_of_grad: lambda: cos(t * x) * x - sin(t * x) * x * x * t,
            steps_that_do_not_depend: lambda: cos(t) * t + sin(t),
        }[step]
        return x - mpmath.mpf(0.01) * slope()

    with mpmath.workdps(60):
        expected = mpmath.diff(repeated(by_hand, 6), mpmath.mpf(1))
        assert cr.grad(repeated(step, 6))(1.0) == pytest.approx(float(expected), rel=1e-13)


def test_numbers_stay_numbers_inside_a_function_that_is_being_differentiated():
    kinds = []

    def outer(x):
        h = x * x
        w = Value(3.0)
        kinds.append(type(cr.grad(lambda t: t * t * w)(2.0)))  # w is a constant here
        kinds.append(type(cr.grad(lambda t: t * h)(2.0)))
        kinds.append(type(cr.grad(lambda t: t * t)(2.0)))
        kinds.append(type(cr.jvp(lambda t: (t * 2.0, h), (2.0,), (1.0,))[1][0]))
        kinds.append(type(cr.grad(lambda t: 5.0)(2.0)))
        kinds.append(type(cr.grad(lambda t: h)(2.0)))
        kinds.append(type(cr.grad(lambda: h, ())()))
        return h

    assert cr.grad(outer)(3.0) == 6.0
    assert kinds == [float, Value, float, Value, float, Value, tuple]


def test_leaves_made_inside_a_run_are_constants_of_it_and_can_be_asked_for():
    found = []

    def f(x):
        w = Value(5.0)
        y = w * x * x
        found.extend(cr.gradients(y, [w]))
        found.append(cr.gradients(y, [w], create_graph=True)[0])
        return y * found[-1]

    # y = w x^2, dy/dw = x^2: d(w x^4)/dx = 4 w x^3
    assert cr.grad(f)(2.0) == 4 * 5.0 * 8.0
    assert (found[0], found[1].data) == (4.0, 4.0)


def test_gradients_by_a_node_and_by_what_it_was_made_from():
    a, b = Value(2.0), Value(3.0)
    h = a * b
    y = h * h * a
    assert cr.gradients(y, [a, h, b]) == [6.0 * 6.0 + 2 * 6.0 * 2.0 * 3.0, 24.0, 48.0]
    linked = cr.gradients(y, [b, h, y, a], create_graph=True)
    assert [x.data for x in linked] == [48.0, 24.0, 1.0, 108.0]
    assert cr.gradients(linked[1], [a, h]) == [2 * 6.0 + 2 * 2.0 * 3.0, 4.0]  # of 2ha
    late = Value(1.0)
    assert cr.gradients(h, [y, late]) == [0.0, 0.0]  # younger than what is differentiated


def test_a_derivative_does_not_look_at_what_it_does_not_depend_on():
    """Neither at a graph that is out of date elsewhere, nor at infinities there."""
    p, q = Value(0.0), Value(2.0)
    with np.errstate(all="ignore"):
        root = cr.sqrt(p)  # its slope is infinite
    stale = q * q
    q.data = 7.0
    x = Value(3.0)
    y = x * x * root + x * stale
    assert [v.data for v in cr.gradients(y, [x], create_graph=True)] == [4.0]
    with cr.detect_anomaly():
        assert cr.gradients(y, [x]) == [4.0]
        with pytest.raises(cr.AnomalyError, match="sqrt"):
            cr.gradients(y, [p])
    with pytest.raises(RuntimeError, match="out of date"):
        cr.gradients(y, [q], create_graph=True)


def test_three_levels_see_each_others_variables():
    def f(x):
        def g(y):
            def h(z):
                return x * x * y * z * z

            return cr.grad(h)(y) * y  # 2 x^2 y^3

        return cr.grad(g)(x) * x  # 6 x^5

    assert cr.grad(f)(2.0) == 6 * 5 * 16.0
    confused = cr.grad(lambda x: x * cr.grad(lambda y: cr.grad(lambda z: x + y + z)(1.0) * y)(2.0))
    assert confused(3.0) == 1.0
