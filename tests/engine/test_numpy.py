"""Values and NumPy: scalars and arrays on either side, object arrays, ufuncs, masks."""

from __future__ import annotations

import math
import operator
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import Value
from chainrule.engine import table as primitives

OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]


def data(array):
    return np.vectorize(lambda v: v.data, otypes=[float])(array)


@pytest.mark.parametrize("function", OPERATORS)
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i1", "u2", "?", "O", "longdouble"])
def test_an_array_on_either_side_works_element_by_element(function, dtype):
    array = np.array([[1, 2, 0], [1, 3, 1]]).astype(dtype)
    v = Value(2.0)
    with np.errstate(all="ignore"):
        for got, expected in (
            (function(v, array), function(2.0, array.astype(float))),
            (function(array, v), function(array.astype(float), 2.0)),
        ):
            assert type(got) is np.ndarray
            assert got.dtype == object
            assert got.shape == (2, 3)
            assert all(type(x) is Value and x.parents == (v,) for x in got.flat)
            np.testing.assert_array_equal(data(got), expected)


def test_empty_strided_and_read_only_arrays():
    v = Value(2.0)
    assert (v * np.zeros((0, 3))).shape == (0, 3)
    array = np.arange(10.0)[::-3]
    array.flags.writeable = False
    np.testing.assert_array_equal(data(v * array), 2 * array)
    np.testing.assert_array_equal(data(array - v), array - 2)


@pytest.mark.parametrize(
    "array", [np.array([1j]), np.array(["1"]), np.array([b"1"]), np.array([None]), np.array([{}])]
)
def test_an_array_of_anything_else_is_refused(array):
    for function in OPERATORS:
        with pytest.raises(TypeError, match="is not a real number"):
            function(Value(1.0), array)
    with pytest.raises(TypeError, match=r"is not a(n array of)? real number"):
        cr.exp(array)


@pytest.mark.parametrize("function", OPERATORS)
def test_arrays_of_values_broadcast_like_any_other(function):
    a = np.array([[Value(1.0)], [Value(2.0)]])
    b = np.array([Value(3.0), Value(4.0), 5.0])
    got = function(a, b)
    assert got.shape == (2, 3)
    np.testing.assert_array_equal(data(got), function(data(a), np.array([3.0, 4.0, 5.0])))
    assert got[1, 0].parents == (a[1, 0], b[0])


def test_sums_products_means_and_matrix_products_are_differentiable():
    x = np.array([Value(1.0), Value(2.0), Value(3.0)])
    a = np.arange(6.0).reshape(2, 3)
    for y, expected in (
        (x.sum(), [1, 1, 1]),
        (np.sum(x * x), [2, 4, 6]),
        (x.prod(), [6, 3, 2]),
        (np.mean(x), [1 / 3] * 3),
        ((a @ x).sum(), [3, 5, 7]),
        (x @ x, [2, 4, 6]),
        (np.dot(x, [1.0, 0.0, -1.0]), [1, 0, -1]),
        (np.cumsum(x)[1], [1, 1, 0]),
        (np.max(x), [0, 0, 1]),
        (np.linalg.multi_dot([a, x.reshape(3, 1)])[1, 0], [3, 4, 5]),
        (np.einsum("i,i->", x, np.array([1.0, 2.0, 3.0], dtype=object)), [1, 2, 3]),
    ):
        assert cr.gradients(y, list(x)) == pytest.approx(expected)


UFUNCS = [
    np.exp, np.expm1, np.log, np.log1p, np.sqrt, np.sin, np.cos, np.tan, np.tanh, np.square, np.abs,
    np.negative, np.arcsin, np.arccos, np.arctan, np.sinh, np.cosh, np.arcsinh, np.arctanh, np.exp2,
    np.log2, np.log10, np.cbrt,
]  # fmt: skip


@pytest.mark.parametrize("ufunc", UFUNCS)
def test_numpys_functions_are_the_librarys_on_a_value_and_on_arrays_of_them(ufunc):
    v = Value(0.7)
    y = ufunc(v)
    assert type(y) is Value
    assert y.parents == (v,)
    assert y.data == pytest.approx(float(ufunc(0.7)), rel=1e-15)
    (element,) = ufunc(np.array([v]))
    assert (element.data, element.partials) == (y.data, y.partials) or ufunc is np.square


@pytest.mark.parametrize(
    "ufunc",
    [np.add, np.subtract, np.multiply, np.divide, np.power, np.maximum, np.minimum, np.hypot,
     np.arctan2, np.logaddexp],
)  # fmt: skip
def test_numpys_functions_of_two_arguments_likewise(ufunc):
    v = Value(0.7)
    for y, expected in (
        (ufunc(v, 2.0), ufunc(0.7, 2.0)),
        (ufunc(np.float32(2.0), v), ufunc(2.0, 0.7)),
        (ufunc(v, Value(2.0)), ufunc(0.7, 2.0)),
    ):
        assert type(y) is Value
        assert v in y.parents
        assert y.data == pytest.approx(float(expected), rel=1e-15)
    array = ufunc(v, np.array([1.0, 2.0]))
    assert [type(x) for x in array] == [Value, Value]


@pytest.mark.parametrize("ufunc", [np.hypot, np.arctan2])
def test_numpys_functions_of_two_arrays_of_values_likewise(ufunc):
    a, b = np.array([Value(0.7), Value(-2.0)]), np.array([Value(1.5), Value(0.5)])
    for other in (b, 1.5):
        array = ufunc(a, other)
        assert [type(y) for y in array] == [Value, Value]
        assert array[0].data == pytest.approx(float(ufunc(0.7, 1.5)), rel=1e-15)
        assert array[0].parents[0] is a[0]


def test_variance_and_standard_deviation_of_an_array_of_values_are_differentiable():
    numbers = np.array([1.0, -2.0, 4.0, 0.5])
    values = np.array([Value(x) for x in numbers])
    for function in (np.var, np.std):
        for v in values:
            v.grad = 0.0
        y = function(values)
        y.backward()
        assert y.data == pytest.approx(function(numbers), rel=1e-14)
        slope = 2 * (numbers - numbers.mean()) / 4
        if function is np.std:
            slope /= 2 * np.std(numbers)
        assert [v.grad for v in values] == pytest.approx(slope, rel=1e-13)


@pytest.mark.parametrize(
    "ufunc", [np.rint, np.spacing, np.isnan, np.floor, np.trunc, np.floor_divide]
)
def test_a_function_of_numpys_that_is_not_in_the_table_is_refused_by_name(ufunc):
    with pytest.raises(TypeError, match=rf"numpy\.{ufunc.__name__} does not work on a Value"):
        ufunc(*[Value(0.5)] * ufunc.nin)


def test_ways_to_call_a_ufunc_that_would_drop_the_graph_are_refused():
    v = Value(1.0)
    for call in (
        lambda: np.add.accumulate(v),
        lambda: np.sum(v, axis=1),
        lambda: np.sum(v, keepdims=True),
        lambda: np.prod(v, initial=2.0),
        lambda: np.max(v, where=np.array([True])),
        lambda: np.sum(v, dtype=float),
        lambda: np.sum(v, out=np.zeros(())),
        lambda: np.less.reduce(v),
        lambda: np.clip(v, 0.0, 1.0, out=np.zeros(())),
        lambda: np.add.outer(v, [1.0, 2.0]),
        lambda: np.tanh(v, where=[True]),
        lambda: np.exp(v, dtype=float),
        lambda: np.add(v, 1.0, out=np.zeros(1)),
    ):
        with pytest.raises(TypeError):
            call()


def test_adding_in_place_to_an_array_of_values():
    v = Value(2.0)
    array = np.array([Value(1.0), 5.0], dtype=object)
    same = array
    array += v
    array *= 3
    assert same is array
    assert [x.data for x in array] == [9.0, 21.0]
    assert cr.gradients(array[0], [v]) == [3.0]


def test_adding_in_place_to_an_array_of_floats_is_refused_and_changes_nothing():
    array = np.ones(2)
    with pytest.raises(TypeError, match=r"v\.data"):
        array += Value(2.0)
    assert array.tolist() == [1.0, 1.0]


def test_an_array_of_floats_never_swallows_a_value():
    array = np.zeros(3)
    with pytest.raises(TypeError, match=r"v\.data"):
        array[0] = Value(1.0)
    with pytest.raises(TypeError, match=r"v\.data"):
        np.array([Value(1.0), 2.0], dtype=float)
    with pytest.raises(TypeError, match=r"v\.data"):
        np.array([Value(1.0)]).astype(float)
    with pytest.raises(TypeError):
        math.fsum(np.array([Value(1.0)]))


def test_a_zero_dimensional_array_of_a_value_is_that_value():
    v = Value(2.0)
    boxed = np.array(v, dtype=object)
    assert boxed.ndim == 0
    for y in (v * boxed, boxed * v, cr.exp(boxed), cr.hypot(boxed, 1.0), cr.maximum(1.0, boxed)):
        assert type(y) is Value
        assert set(y.parents) == {v}
    assert cr.softmax(np.array(1.0)) == 1.0


def test_numpy_scalars_compare_with_values():
    v = Value(2.0)
    for one in (np.float64(1), np.float32(1), np.int8(1), np.bool_(True)):
        assert one < v
        assert v > one
        assert not one >= v
        assert one != v
    array = np.array([1.0, 2.0, 3.0])
    for got, expected in (
        (array < v, array < 2),
        (v < array, array > 2),
        (array >= v, array >= 2),
        (np.array([v, Value(5.0)]) > 3, [False, True]),
    ):
        assert np.asarray(got).dtype == bool
        np.testing.assert_array_equal(got, expected)
    assert not (array == v).any()  # equality is identity
    assert (np.array([v, Value(2.0)]) == v).tolist() == [True, False]


def test_masks_are_kept():
    v = Value(2.0)
    masked = np.ma.array([1.0, 2.0], mask=[False, True])
    for y in (v * masked, masked * v):
        assert np.ma.getmaskarray(y).tolist() == [False, True]
        assert y[0].parents == (v,)
    assert np.ma.getmaskarray(cr.exp(masked)).tolist() == [False, True]


@pytest.mark.parametrize("row", primitives.TABLE.values(), ids=lambda row: row.name)
def test_a_masked_entry_masks_that_of_the_result(row):
    masked = np.ma.array([0.5, 0.25, 0.75], mask=[True, False, False])
    arguments = [masked] * (row.arity or 3)
    if row in (*primitives.OF_A_CLASS, primitives.take_entry):
        arguments[0] = 0.0
    if row is primitives.soft_cross_entropy:
        arguments.append(masked)
    found = row(*arguments)
    assert np.ma.getmaskarray(found).tolist() == [True, False, False]
    plain = row(*(x if x is not masked else masked.data for x in arguments))
    np.testing.assert_array_equal(found.data[1:], plain[1:])


def test_a_number_that_is_masked_is_refused_by_functions_too():
    for call in (lambda: cr.exp(np.ma.masked), lambda: cr.hypot(Value(1.0), np.ma.masked)):
        with pytest.raises(TypeError, match="MaskedConstant is not a real number"):
            call()


def test_a_matrix_stays_a_matrix_of_values():
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1.0, 2.0]])
    assert data(np.asarray(Value(2.0) * matrix)).tolist() == [[2.0, 4.0]]


@pytest.mark.parametrize("name", ["exp", "tanh", "gelu", "relu", "softplus", "silu", "logsigmoid"])
def test_a_function_of_an_array_of_numbers_is_an_array_of_floats(name):
    function = getattr(cr, name)
    for array in (np.arange(3), np.array([True, False]), np.array([[0.5]]), np.zeros((0, 2))):
        got = function(array)
        assert got.dtype == float
        assert got.shape == array.shape
        expected = [function(float(x)) for x in array.flat]
        np.testing.assert_allclose(got.ravel(), expected, rtol=1e-15)


def test_a_function_of_an_array_does_not_warn_and_leaves_the_array_alone():
    array = np.array([-1.0, 0.0, math.inf, -math.inf, math.nan, 1e308])
    before = array.copy()
    for name in ("log", "sqrt", "exp", "tan", "log1p", "silu", "gelu", "sigmoid", "softplus"):
        getattr(cr, name)(array)
    cr.atan2(array, array)
    cr.logaddexp(array, array[::-1])
    1.0 / Value(0.0) * array
    np.testing.assert_array_equal(array, before)


def test_where_takes_conditions_as_arrays():
    x = np.array([Value(-1.0), Value(2.0)])
    y = cr.where(x > 0, cr.log(x), x)
    assert [v.data for v in y] == [-1.0, math.log(2.0)]
    assert cr.gradients(y[0], list(x)) == [1.0, 0.0]
    got = cr.where(np.array([True, False]), 1.0, np.array([5.0, 6.0]))
    assert got.tolist() == [1.0, 6.0]


def test_the_variadic_functions_take_arrays():
    x = np.array([[Value(1.0), 2.0], [3.0, Value(4.0)]], dtype=object)
    assert cr.sum(x).parents == (x[0, 0], x[1, 1])
    assert cr.mean(x).data == 2.5
    assert cr.logsumexp(np.zeros(4)) == math.log(4)
    assert cr.dot(np.ones(3), np.arange(3), 1) == 4.0
    shares = cr.softmax(x)
    assert shares.shape == (2, 2)
    assert cr.sum(shares).data == pytest.approx(1.0, rel=1e-15)
    assert cr.softmax(np.zeros((2, 2))).tolist() == [[0.25, 0.25], [0.25, 0.25]]


def test_softmax_beside_masked_entries_on_arrays():
    """The array face of the row, one column for each logit."""
    row = cr.softmax([Value(0.0), 1.0])[0].primitive
    columns = np.array(
        [[0.0, -math.inf, math.inf, math.nan, -math.inf], [0.0, 1.0, 0.0, 1.0, -math.inf]]
    )
    got = row(0.0, *columns)
    expected = [cr.softmax(column)[0] for column in columns.T]
    np.testing.assert_array_equal(got, expected)


def test_a_long_double_is_compared_by_its_number():
    v, x = cr.Value(2.0), np.longdouble(1.5)
    assert (v > x, v < x, v == x, v != x) == (True, False, False, True)
    assert (np.array([1.5], dtype=np.longdouble) == v).tolist() == [False]


# ---------------------------------------------------------------- functions without a row


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("arctan", 1 / 1.25), ("arcsinh", 1 / math.sqrt(1.25)), ("sinh", math.cosh(0.5)),
        ("fabs", 1.0), ("reciprocal", -4.0), ("radians", math.pi / 180), ("deg2rad", math.pi / 180),
        ("degrees", 180 / math.pi), ("rad2deg", 180 / math.pi), ("conjugate", 1.0),
        ("log2", 2 / math.log(2)), ("cbrt", 0.5 ** (-2 / 3) / 3),
    ],
)  # fmt: skip
def test_numpys_function_by_its_name_on_a_value_and_on_an_array_of_values(name, slope):
    function = getattr(np, name)
    assert cr.grad(function)(0.5) == pytest.approx(slope, rel=1e-15)
    found = cr.grad(lambda x: function(np.array([x, 2.0 * x]))[0])(0.5)
    assert found == pytest.approx(slope, rel=1e-15)
    assert function(Value(0.5)).data == pytest.approx(function(0.5), rel=1e-15)


def test_a_power_in_floats_is_a_power():
    assert cr.grad(lambda x: np.float_power(x, 3))(2.0) == 12.0


@pytest.mark.parametrize(
    ("function", "advice"),
    [
        (np.floor, r"derivative is 0 .* take np\.floor\(v\.data\)"),
        (np.isnan, r"ask np\.isnan\(v\.data\)"),
        (lambda v: np.fmax(v, 0.0), r"use cr\.maximum, which does not skip nan"),
        (lambda v: np.logical_and(v, v), r"neither true nor false: compare it"),
        (lambda v: np.heaviside(v, 0.5), r"write cr\.where\(cr\.equal\(v, 0\.0\), at_zero, "),
        (np.add.accumulate, r"numpy\.add\.accumulate .*cr\.sum"),
        (lambda v: np.sin(v, where=True), r"numpy\.sin with where .*call np\.sin on Values"),
    ],
)
def test_the_message_of_a_function_without_a_row_says_what_to_write(function, advice):
    with pytest.raises(TypeError, match=advice):
        cr.grad(function)(0.5)


def test_the_message_shows_how_a_primitive_adds_the_function():
    with pytest.raises(TypeError, match="chainrule has no such function") as info:
        np.fmod(Value(5.5), 2.0)
    shown = re.search(r"fmod = (cr\.primitive\(.*?\]\))", str(info.value)).group(1)
    filled = shown.replace("...", "1.0", 1).replace("...", "-2.0", 1)
    fmod = eval(filled, {"cr": cr, "np": np})
    assert cr.value_and_grad(fmod, (0, 1))(5.5, 2.0) == (1.5, (1.0, -2.0))


def test_scipys_function_of_a_name_that_is_here_is_named():
    special = pytest.importorskip("scipy.special", reason="its ufuncs are asked for")
    with pytest.raises(TypeError, match=r"erf does not work on a Value: use cr\.erf"):
        special.erf(Value(0.5))
    with pytest.raises(TypeError, match=r"expit does not work on a Value: use cr\.sigmoid"):
        special.expit(Value(0.5))


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("sinc", r"cr\.sin\(x\) / x\) with x = math\.pi \* v"),
        ("angle", r"cr\.atan2"),
        ("var", "an array of Values"),
        ("round", r"np\.round\(v\.data\)"),
        ("cov", r"cr\.primitive"),
    ],
)
def test_functions_that_are_not_ufuncs_say_what_to_do(name, way_out):
    with pytest.raises(TypeError, match=rf"numpy\.{name} does not work on a Value: .*{way_out}"):
        getattr(np, name)(cr.Value(0.5))


@pytest.mark.parametrize(
    ("reduction", "axis"),
    [
        *[(f, {}) for f in (np.sum, np.prod, np.max, np.min, np.mean, np.median)],
        *[(np.sum, {"axis": axis}) for axis in (None, 0, -1, ())],
        (np.max, {"axis": 0}),
    ],
)
def test_numpys_reduction_of_one_value_is_its_number_as_for_floats(reduction, axis):
    def penalty(x):  # as written for a vector or a number
        return 0.5 * reduction(x**2, **axis)

    assert penalty(3.0) == 4.5
    assert cr.value_and_grad(penalty)(3.0) == (4.5, 3.0)


def test_numpys_clip_of_a_value_is_a_node_beyond_the_bounds_too():
    clipped = {x: cr.value_and_grad(lambda x: np.clip(x, -1.0, 2.0))(x) for x in (-3.0, 0.5, 7.0)}
    assert clipped == {-3.0: (-1.0, 0.0), 0.5: (0.5, 1.0), 7.0: (2.0, 0.0)}
    v = Value(7.0)
    y = np.clip(v, -1.0, 2.0)
    y.backward()  # NumPy's own rule would give the float 2.0 here
    assert (y.data, v.grad) == (2.0, 0.0)
    assert cr.grad(lambda high: np.clip(5.0, 0.0, high))(2.0) == 1.0
    assert (
        cr.gradients(np.clip(v, None, 9.0), [v]) == cr.gradients(np.clip(v, max=9.0), [v]) == [1.0]
    )
    assert np.clip(np.array([1.0, 3.0]), 0.0, Value(2.0))[1].data == 2.0
    assert cr.compile(lambda x: np.clip(x, -1.0, 2.0))([-3.0, 0.5, 7.0]).tolist() == [
        -1.0,
        0.5,
        2.0,
    ]


def test_numpys_interp_says_what_to_write():
    with pytest.raises(TypeError, match=r"numpy\.interp does not work .* np\.searchsorted"):
        np.interp(Value(0.5), [0.0, 1.0], [2.0, 3.0])


@pytest.mark.parametrize("function", [np.i0, lambda x: np.interp(x, [0.0, 1.0], [2.0, 3.0])])
def test_numpys_function_that_takes_a_number_in_a_compiled_function_is_told_as_a_choice(function):
    with pytest.raises(cr.TraceError, match="would fix that number for all examples"):
        cr.compile(lambda x: function(x))([0.5, 0.7])


def test_functions_that_run_on_any_objects_run_on_values():
    v, w = cr.Value(3.0), cr.Value(4.0)
    assert np.stack([v, w]).tolist() == [v, w]
    assert np.where(True, v, w).item() is v
    norm = np.linalg.norm(np.array([v, w]))
    norm.backward()
    assert (norm.data, v.grad, w.grad) == pytest.approx((5.0, 0.6, 0.8), rel=1e-15)
    with pytest.raises(TypeError, match="the truth of a Value is ambiguous"):
        np.count_nonzero(v)
    with pytest.raises(TypeError, match="is not converted to a float"):
        np.i0(v)
    with pytest.raises(IndexError):
        np.sort(v)
