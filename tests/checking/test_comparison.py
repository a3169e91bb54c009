"""compare: what it calls exact, close and different, and that nothing handed in makes it raise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import chainrule as cr
from chainrule.checking import compare

TRUTH = [np.array([[0.5, -1.0, 2.0], [3.0, 0.25, -4.0]]), np.array([[1.5, -2.5, 1e-3]])]


def changed(layer, index, number):
    copies = [array.copy() for array in TRUTH]
    copies[layer][index] = number
    return copies


# ---------------------------------------------------------------- exact, close, different


def test_equal_arrays_are_exact():
    check = compare(TRUTH, TRUTH)
    assert check
    assert check.exact
    assert [layer.name for layer in check.layers] == ["layer 1", "layer 2"]
    assert check.max_difference == check.max_relative_difference == 0.0


def test_rounding_is_close_but_not_exact():
    check = compare([array * (1 + 4e-16) for array in TRUTH], TRUTH)
    assert check.ok
    assert not check.exact
    assert 0.0 < check.max_relative_difference < 1e-15


@pytest.mark.parametrize("factor", [1 + 1e-7, 2.0, -1.0, 0.0, 1.0 / 7])
def test_a_factor_is_different_and_the_numbers_are_shown(factor):
    check = compare(changed(0, (1, 2), -4.0 * factor), TRUTH)
    first, second = check.layers
    assert not check
    assert second.exact
    assert (first.close, first.index, first.different) == (False, (1, 2), 1)
    assert (first.theirs, first.truth) == (-4.0 * factor, -4.0)
    assert first.max_difference == abs(-4.0 * factor + 4.0)
    assert first.max_relative_difference == pytest.approx(
        abs(1 - factor) / max(1.0, abs(factor)), rel=1e-6
    )


def test_a_small_entry_that_is_wrong_is_not_lost_beside_large_ones():
    layer = compare(changed(1, (0, 2), 1.001e-3), TRUTH).layers[1]
    assert (layer.close, layer.index) == (False, (0, 2))


def test_an_entry_that_is_rounding_by_cancellation_is_close():
    assert compare(changed(0, (0, 0), 0.5 + 1e-17), TRUTH)
    truth = [np.array([1.0, 0.0])]
    assert compare([np.array([1.0, 1e-16])], truth)
    assert not compare([np.array([1.0, 1e-9])], truth)


def test_float32_has_the_tolerance_of_float32():
    rough = [array.astype(np.float32) * np.float32(1.00001) for array in TRUTH]
    assert compare(rough, TRUTH)
    assert compare(TRUTH, rough)
    assert not compare([array.astype(float) for array in rough], TRUTH)
    assert not compare([array * np.float32(1.01) for array in rough], TRUTH)


def test_rtol_overrides_the_tolerance():
    near = [array * 1.001 for array in TRUTH]
    assert not compare(near, TRUTH)
    assert compare(near, TRUTH, rtol=1e-2)
    assert not compare([array * (1 + 4e-16) for array in TRUTH], TRUTH, rtol=0.0)
    for rtol in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="rtol is a relative difference"):
            compare(TRUTH, TRUTH, rtol=rtol)


# ---------------------------------------------------------------- nan and infinity


@pytest.mark.parametrize(("theirs", "truth"), [(math.nan, 1.0), (1.0, math.nan), (math.nan,) * 2])
def test_nan_is_equal_to_nothing(theirs, truth):
    layer = compare(np.array([2.0, theirs]), np.array([9.0, truth])).layers[0]
    assert (layer.exact, layer.close, layer.index) == (False, False, (1,))
    assert math.isnan(layer.max_difference)
    assert math.isnan(layer.max_relative_difference)


def test_infinities_are_equal_to_themselves_only():
    assert compare([math.inf, 1.0], [math.inf, 1.0]).exact
    for theirs in (-math.inf, 1e308, 0.0):
        layer = compare([theirs, 1.0], [math.inf, 1.0]).layers[0]
        assert (layer.close, layer.index, layer.max_difference) == (False, (0,), math.inf)
        assert layer.max_relative_difference == math.inf


def test_differences_that_overflow_are_seen():
    layer = compare([1.7e308], [-1.7e308]).layers[0]
    assert not layer.close
    assert layer.max_difference == math.inf


# ---------------------------------------------------------------- what does not fit


@pytest.mark.parametrize(
    ("theirs", "problem"),
    [
        ([TRUTH[0].T, TRUTH[1]], "shape (3, 2), expected (2, 3)"),
        ([TRUTH[0].ravel(), TRUTH[1]], "shape (6,), expected (2, 3)"),
        ([[[1.0, 2.0, 3.0], [4.0]], TRUTH[1]], "not an array: its rows differ in length"),
        ([None, TRUTH[1]], "NoneType is not a real number"),
        (["abc", TRUTH[1]], "does not hold real numbers"),
        ([TRUTH[0] + 1j, TRUTH[1]], "an array of complex128 does not hold real numbers"),
        ([np.array([[{}]]), TRUTH[1]], "dict is not a real number"),
        ([np.array([["a"]], dtype=object), TRUTH[1]], "str is not a real number"),
    ],
)
def test_what_does_not_fit_is_a_problem_of_its_layer(theirs, problem):
    check = compare(theirs, TRUTH)
    first, second = check.layers
    assert problem in first.problem
    assert not first.close
    assert second.exact
    assert math.isnan(check.max_difference)
    assert problem in str(check)


def test_layers_that_are_missing_or_too_many_are_reported():
    missing = compare(TRUTH[:1], TRUTH)
    assert [layer.problem for layer in missing.layers] == ["", "missing"]
    assert missing.layers[1].shape == (1, 3)
    excess = compare([*TRUTH, TRUTH[0]], TRUTH)
    assert excess.layers[2].problem == "not expected: the truth has no such layer"
    assert not missing
    assert not excess


def test_nothing_at_all_is_not_the_truth():
    assert not compare(None, TRUTH)
    assert not compare([], TRUTH)
    assert not compare({}, TRUTH)


# ---------------------------------------------------------------- forms


def test_dicts_are_compared_by_name_whatever_their_order():
    truth = {"W": TRUTH[0], "b": [1.0, 2.0]}
    assert compare({"b": np.array([1.0, 2.0]), "W": TRUTH[0]}, truth)
    check = compare({"W": TRUTH[0], "bias": [1.0, 2.0]}, truth)
    assert [(layer.name, layer.problem.split(":")[0]) for layer in check.layers] == [
        ("W", ""),
        ("b", "missing"),
        ("bias", "not expected"),
    ]


def test_pairs_of_weights_and_biases_are_named_apart():
    truth = [(np.ones((2, 3)), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))]
    check = compare(truth, truth)
    assert [layer.name for layer in check.layers] == [
        "layer 1[0]",
        "layer 1[1]",
        "layer 2[0]",
        "layer 2[1]",
    ]


@pytest.mark.parametrize("one", [3.0, np.float64(3.0), np.array(3.0), 3])
def test_a_single_number_is_compared(one):
    layer = compare(one, 3.0).layers[0]
    assert (layer.name, layer.shape, layer.exact) == ("", (), True)


def test_a_value_stands_for_its_gradient():
    w = [cr.Value(2.0), cr.Value(-1.0)]
    cr.dot(w, [3.0, 5.0]).backward()
    assert compare([3.0, 5.0], w).exact
    assert compare(w, [3.0, 5.0]).exact
    assert compare([np.array([w])], [np.array([[3.0, 5.0]])]).exact
    assert compare(w[0], 3.0).exact


def test_values_without_any_gradient_are_a_problem_rather_than_zeros():
    w = [cr.Value(2.0), cr.Value(-1.0)]
    assert "call backward() first" in compare([0.0, 0.0], w).layers[0].problem
    (w[0] * 3.0).backward()  # the other one has the gradient 0
    assert compare([3.0, 0.0], w).exact


def test_empty_layers_are_equal():
    assert compare(np.zeros((0, 3)), np.zeros((0, 3))).exact


def test_nothing_given_is_changed():
    theirs = [array.copy() for array in TRUTH]
    compare(theirs, TRUTH)
    assert all(np.array_equal(a, b) for a, b in zip(theirs, TRUTH, strict=True))


# ---------------------------------------------------------------- the table


def test_the_table_shows_a_row_for_every_layer():
    theirs = changed(0, (0, 1), 1.0)
    theirs[1] = theirs[1].T
    assert str(compare(theirs, TRUTH)).splitlines() == [
        "         shape   exact  close  difference  relative  worst entry",
        "layer 1  (2, 3)  no     no     2           2         [0, 1]: 1.0, truth -1.0; 1 differs",
        "layer 2  (1, 3)  no     no                           shape (3, 1), expected (1, 3)",
    ]


def test_both_differences_of_a_row_are_those_of_one_entry():
    check = compare([np.array([100.0, 1e-3])], [np.array([101.0, 2e-3])])
    (layer,) = check.layers
    assert layer.index == (1,)
    assert layer.difference == pytest.approx(1e-3)
    assert layer.max_difference == 1.0
    assert "0.001       0.5" in str(check)


# ---------------------------------------------------------------- laws

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=60, deadline=None)
@given(arrays(float, array_shapes(max_dims=2, max_side=4), elements=FLOATS), st.data())
def test_anything_equals_itself_and_a_changed_entry_is_found(array, data):
    assert compare(array, array).exact
    index = tuple(data.draw(st.integers(0, side - 1)) for side in array.shape)
    other = array.copy()
    other[index] = data.draw(FLOATS)
    layer = compare(other, array).layers[0]
    assert layer.exact == (other[index] == array[index])
    if not layer.exact:
        assert layer.index == index
        assert layer.theirs == other[index]


@settings(max_examples=60, deadline=None)
@given(st.recursive(st.none() | st.floats() | st.text() | st.just({}), st.lists, max_leaves=8))
def test_whatever_is_handed_in_is_compared_without_raising(theirs):
    check = compare(theirs, TRUTH)
    assert not check
    assert str(check)
