"""``sum``, ``dot``, ``mean``, ``softmax``, ``logsumexp``: one node, whatever they are given."""

from __future__ import annotations

import inspect
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import Value
from chainrule.engine import vectors

ONE_NODE = {
    "sum": cr.sum,
    "mean": cr.mean,
    "logsumexp": cr.logsumexp,
    "dot": lambda xs: cr.dot(xs, [0.5] * len(list(xs))),
}


@pytest.mark.parametrize("name", ONE_NODE)
def test_one_node_however_many_terms(name):
    xs = [Value(float(i) / 7) for i in range(70)]
    y = ONE_NODE[name](xs)
    assert y.op == name
    assert y.parents == tuple(xs)
    assert len(y.partials) == 70


@pytest.mark.parametrize("name", ONE_NODE)
def test_numbers_in_a_float_out_values_in_a_value_out(name):
    function = ONE_NODE[name]
    x = Value(0.25)
    assert type(function([1, 0.5, np.float32(2), True])) is float
    mixed = function([x, 1, 0.5])
    assert mixed.parents == (x,)
    assert mixed.data == function([0.25, 1, 0.5])
    assert function((x, 1, 0.5)).data == function(np.array([x, 1, 0.5])).data == mixed.data


@pytest.mark.parametrize("function", [cr.sum, cr.mean, cr.logsumexp, cr.softmax])
def test_any_iterable_will_do(function):
    xs = [0.5, 1.5, -2.0]
    expected = function(xs)
    assert function(iter(xs)) == function(tuple(xs)) == function(x for x in xs) == expected
    assert function(dict.fromkeys(xs).keys()) == expected
    assert function(range(3)) == function([0.0, 1.0, 2.0])


def test_terms_are_added_from_left_to_right_on_every_version_of_python():
    assert cr.sum([1.0, 1e100, 1.0, -1e100]) == 0.0
    assert cr.sum([Value(0.1)] * 10).data == cr.sum([0.1] * 10) == 0.9999999999999999
    assert cr.dot([0.1] * 10, [1.0] * 10) == 0.9999999999999999
    assert cr.dot([1.0, 1e100, -1e100], [1.0, 1.0, 1.0], bias=1.0) == 0.0


def test_of_nothing():
    assert cr.sum([]) == 0.0
    assert cr.dot([], []) == 0.0
    assert cr.dot([], [], bias=2) == 2.0
    bias = Value(3.0)
    assert cr.dot([], [], bias).parents == (bias,)
    for function, name in ((cr.mean, "mean"), (cr.softmax, "softmax"), (cr.logsumexp, "logsumexp")):
        for nothing in ([], (), np.zeros(0), iter(())):
            with pytest.raises(ValueError, match=f"{name} of no values: expected at least one"):
                function(nothing)


@pytest.mark.parametrize("thing", [1.0, Value(1.0), None, "12", b"12", 3, object()])
def test_what_is_no_collection_is_refused(thing):
    name = type(thing).__name__
    for function in (cr.sum, cr.mean, cr.softmax, cr.logsumexp):
        with pytest.raises(TypeError, match=f"takes an iterable of numbers or Values, not {name}"):
            function(thing)
    with pytest.raises(TypeError, match=f"dot takes an iterable of numbers or Values, not {name}"):
        cr.dot([1.0], thing)


def test_dot_wants_as_many_of_one_as_of_the_other():
    with pytest.raises(ValueError, match="dot: 2 weights and 3 inputs"):
        cr.dot([1.0, 2.0], [1.0, 2.0, 3.0])


def test_dot_is_a_neuron():
    w, x, b = [Value(2.0), Value(-3.0)], [Value(-1.0), -2.0], Value(0.5)
    z = cr.dot(w, x, bias=b)
    assert z.data == 2.0 * -1.0 + 6.0 + 0.5
    assert z.parents == (*w, x[0], b)
    assert z.partials == (-1.0, -2.0, 2.0, 1.0)
    z.backward()
    assert [v.grad for v in z.parents] == list(z.partials)
    assert cr.hessian(lambda a, c: cr.dot([a, a], [c, 1.0], c))(2.0, 5.0).tolist() == [
        [0.0, 1.0],
        [1.0, 0.0],
    ]


def test_softmax_returns_what_it_was_given_the_shape_of():
    x = Value(0.0)
    assert cr.softmax([0.0, 0.0]) == [0.5, 0.5]
    assert [type(s) for s in cr.softmax((x, 0.0))] == [Value, Value]
    assert isinstance(cr.softmax(np.zeros(3)), np.ndarray)
    assert cr.softmax([x])[0].data == 1.0


finite = st.floats(-1e4, 1e4)


@settings(deadline=None, max_examples=100)
@given(st.lists(finite, min_size=1, max_size=6), finite)
def test_softmax_is_a_distribution_and_knows_no_common_shift(logits, shift):
    shares = cr.softmax(logits)
    assert math.fsum(shares) == pytest.approx(1.0, rel=1e-15 * len(logits))
    assert all(0.0 <= share <= 1.0 for share in shares)
    rounding = 4 * 2.0**-52 * (max(map(abs, logits)) + abs(shift) + 1.0)
    shifted = cr.softmax([x + shift for x in logits])
    assert shifted == pytest.approx(shares, rel=2 * rounding, abs=1e-300)
    # logsumexp is its antiderivative, and moves with the shift
    assert cr.grad(cr.logsumexp)(logits) == pytest.approx(shares, rel=1e-14, abs=1e-320)
    moved = cr.logsumexp([x + shift for x in logits])
    assert moved == pytest.approx(cr.logsumexp(logits) + shift, abs=2 * rounding)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-30, 30), min_size=2, max_size=5))
def test_the_jacobian_of_softmax_is_diag_minus_outer(logits):
    shares = np.array(cr.softmax(logits))
    expected = -np.outer(shares, shares)
    for i in range(len(shares)):  # p - p*p, without the cancellation where p is almost 1
        expected[i, i] = shares[i] * np.delete(shares, i).sum()
    np.testing.assert_allclose(cr.jacobian(cr.softmax)(logits), expected, rtol=1e-13)


def test_the_mean_is_the_sum_over_the_count():
    xs = [Value(1.0), 2.0, Value(6.0)]
    y = cr.mean(xs)
    assert y.data == 3.0
    assert y.partials == (1 / 3, 1 / 3)


# ---------------------------------------------------------------- many leaves as one vector


def test_leaves_are_read_and_written_as_a_vector():
    leaves = [Value(1.0), Value(2.0), Value(3.0)]
    (leaves[0] * leaves[1]).backward()
    assert vectors.read_data(leaves).tolist() == [1.0, 2.0, 3.0]
    assert vectors.read_grads(leaves).tolist() == [2.0, 1.0, 0.0]
    vectors.write_data(leaves, np.array([4, 5, 6]))
    assert [(x.data, type(x.data)) for x in leaves] == [(4.0, float), (5.0, float), (6.0, float)]
    vectors.reset_grads(leaves)
    assert not any(x.has_grad for x in leaves)
    assert vectors.read_data([]).shape == (0,)
    vectors.write_data([], [])


@pytest.mark.parametrize("vector", [[1.0], [1.0, 2.0, 3.0], 1.0, [[1.0, 2.0]]])
def test_a_vector_of_another_shape_changes_nothing(vector):
    leaves = [Value(1.0), Value(2.0)]
    for change in (vectors.write_data, vectors.add_grads):
        with pytest.raises(ValueError, match=r"for 2 Values; expected shape \(2,\)"):
            change(leaves, vector)
    assert vectors.read_data(leaves).tolist() == [1.0, 2.0]
    assert not any(x.has_grad for x in leaves)


def test_writing_over_a_node_changes_nothing():
    leaf = Value(1.0)
    node = leaf * 2
    with pytest.raises(AttributeError, match="is not a leaf"):
        vectors.write_data([leaf, node], [7.0, 8.0])
    assert (leaf.data, node.data) == (1.0, 2.0)


def test_a_vector_is_added_to_the_gradients_of_leaves():
    leaves = [Value(1.0), Value(2.0), Value(3.0)]
    (leaves[0] * leaves[1]).backward()
    vectors.add_grads(leaves, np.array([1.0, -1.0, 0.5]))
    assert vectors.read_grads(leaves).tolist() == [3.0, 0.0, 0.5]
    assert [x.has_grad for x in leaves] == [True, False, True]  # as `leaf.grad += -1.0` leaves it
    vectors.add_grads((leaves[0], leaves[0]), [1, 2])
    assert leaves[0].grad == 6.0
    leaves[0].backward()
    assert leaves[0].grad == 7.0
    vectors.add_grads([], [])


def test_adding_to_the_gradient_of_a_node_changes_nothing():
    leaf = Value(1.0)
    node = leaf * 2
    node.backward()
    with pytest.raises(AttributeError, match="is not a leaf"):
        vectors.add_grads([leaf, node], [7.0, 8.0])
    assert (leaf.grad, node.grad) == (2.0, 1.0)


def test_dot_looks_like_a_function_on_both_engines():
    assert list(inspect.signature(cr.dot).parameters) == ["weights", "inputs", "bias"]
    assert inspect.signature(cr.dot).parameters["bias"].default == 0.0
    assert cr.dot.__module__ == "chainrule.engine.reductions"
    assert cr.dot.__doc__.startswith("Return bias + sum_i")
    assert pickle.loads(pickle.dumps(cr.dot)) is cr.dot


def test_arguments_of_dot_may_be_named():
    w = cr.Value(2.0)
    assert cr.dot([w], [3.0]).data == 6.0
    assert cr.dot([w], [3.0], bias=1).data == 7.0
    assert cr.dot(inputs=[3.0], weights=(w,), bias=w).partials == (3.0, 1.0)
    with pytest.raises(TypeError, match="inputs"):
        cr.dot([w])
    with pytest.raises(TypeError, match="offset"):
        cr.dot([w], [3.0], offset=1.0)


# What is wrong with the arguments, and what is said of it.
BAD_VECTORS = [
    (["1.5", "2"], TypeError, "dtype <U3: expected real numbers"),
    ([1.0, None], TypeError, "NoneType is not a real number"),
    ([1j, 2.0], TypeError, "dtype complex128"),
    ([Value(1.0), 2.0], TypeError, "take its .data"),
    ([[1.0], [2.0, 3.0]], ValueError, "is ragged"),
    (np.ma.array([1.0, 2.0], mask=[True, False]), ValueError, "has masked entries"),
]


@pytest.mark.parametrize(("vector", "error", "message"), BAD_VECTORS)
def test_what_is_not_a_vector_of_numbers_changes_nothing(vector, error, message):
    leaves = [Value(1.0), Value(2.0)]
    for change in (vectors.write_data, vectors.add_grads):
        with pytest.raises(error, match=message):
            change(leaves, vector)
    assert vectors.read_data(leaves).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("number", [Fraction(1, 2), np.float32(0.5), np.array(0.5), True, 10**400])
def test_a_vector_may_hold_whatever_a_value_may(number):
    leaves = [Value(1.0), Value(2.0)]
    vectors.write_data(leaves, [number, 3])
    assert [leaf.data for leaf in leaves] == [Value(number).data, 3.0]


@pytest.mark.parametrize("values", [None, 3.0, (Value(0.0) for _ in range(2))])
def test_values_that_cannot_be_counted_are_refused(values):
    for call in (cr.read_data, lambda given: cr.write_data(given, [1.0])):
        with pytest.raises(TypeError, match="expected a list of Values"):
            call(values)


def test_a_number_among_the_values_is_refused():
    leaf = Value(1.0)
    for call in (cr.read_data, lambda given: cr.write_data(given, [7.0, 8.0])):
        with pytest.raises(TypeError, match=r"value 1 is 2.0; expected a Value"):
            call([leaf, 2.0])
    assert leaf.data == 1.0


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (np.zeros(2, dtype=int), TypeError),  # would round
        (np.zeros(2, dtype=np.float32), TypeError),
        ([0.0, 0.0], TypeError),
        (np.zeros(3), ValueError),
        (np.zeros((3, 2)), ValueError),  # would repeat the numbers
    ],
)
def test_data_is_read_into_a_fitting_vector_only(out, error):
    with pytest.raises(error, match="read_data: out"):
        cr.read_data([Value(1.5), Value(2.5)], out)


def test_data_is_read_into_every_other_place():
    out = np.zeros(4)
    assert cr.read_data([Value(1.5), Value(2.5)], out[::2]).base is out
    assert out.tolist() == [1.5, 0.0, 2.5, 0.0]


@pytest.mark.parametrize("table", [None, 3.0, "abc", {0: 1.0}, np.array(1.0)])
def test_what_has_no_rows_is_not_a_table(table):
    with pytest.raises(TypeError, match=r"take: the rows of the table are .* expected a list of"):
        cr.take(table, 0)
