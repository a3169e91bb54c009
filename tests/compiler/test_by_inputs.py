"""Jacobians by arguments keep what was found: of width arrays are made, and loops stay loops."""

import functools
import itertools
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler.loops import Looped

RNG = np.random.default_rng(12)
ROWS = RNG.normal(size=(9, 30))
WEIGHTS = [[cr.Value(w) for w in row] for row in ROWS]
X, Y = RNG.normal(size=(5, 30)), RNG.normal(size=(5, 9))


def layer(x):
    return [cr.tanh(cr.dot(row, x)) for row in WEIGHTS]


def energy(x):
    return cr.sum([cr.square(z) for z in layer(x)]) + cr.maximum(*x)


def gated(x, y):
    return [z * b for z, b in zip(layer(x), y, strict=True)]


def by_hand(x, y):
    """Return the Jacobians of ``gated``, from their formula."""
    z = np.tanh(ROWS @ x)
    return (y * (1 - z * z))[:, None] * ROWS, np.diag(z)


def wide(f):
    """Return whether a Jacobian by arguments was found by arrays."""
    return bool(f._latest.arrays._jacobians)


def test_one_number_is_what_the_engine_says():
    f = cr.compile(energy)
    x = X.copy()
    x[2, 3] = x[2, 4] = 9.0  # a tie: half to each
    found = f.jacobian(x)
    assert wide(f)
    for row, slopes in zip(x, found, strict=True):
        np.testing.assert_allclose(slopes, cr.grad(energy)(row), rtol=1e-12, atol=1e-14)


def test_one_number_is_what_its_formula_says():
    cubes = cr.compile(lambda x: cr.sum([a * a * a for a in x]))
    np.testing.assert_allclose(cubes.jacobian(X), 3 * X * X, rtol=1e-14)
    assert wide(cubes)


@pytest.mark.parametrize("argnums", [None, 0, 1, (1, 0), (0, 0)])
def test_several_numbers_and_arguments(argnums):
    f = cr.compile(gated)
    found = f.jacobian(X, Y, argnums=argnums, mode="reverse")
    assert wide(f)
    parts = found if isinstance(found, tuple) else (found,)
    which = {None: (0, 1), 0: (0,), 1: (1,)}.get(argnums, argnums)
    assert len(parts) == len(which)
    for part, i in zip(parts, which, strict=True):
        expected = np.array([by_hand(x, y)[i] for x, y in zip(X, Y, strict=True)])
        np.testing.assert_allclose(part, expected, rtol=1e-12, atol=1e-14)


def test_the_steps_do_not_grow_with_the_width():
    def steps(n):
        f = cr.compile(lambda x: cr.log(cr.sum([cr.exp(a) for a in x])))
        f.jacobian(np.zeros((1, n)))
        (ready,) = f._latest.arrays._jacobians.values()
        return len(ready._again().each)

    assert steps(300) == steps(30) < 12


def test_many_numbers_that_depend_on_little_go_one_by_one():
    f = cr.compile(lambda x: [a * a * b for a, b in itertools.pairwise(x)])
    found = f.jacobian(X, mode="reverse")
    assert not wide(f)
    np.testing.assert_allclose(found[:, 3, 3], 2 * X[:, 3] * X[:, 4], rtol=1e-14)
    np.testing.assert_allclose(found[:, 3, 4], X[:, 3] ** 2, rtol=1e-14)


def test_what_has_no_part_is_0():
    f = cr.compile(lambda x, y, z: [cr.sum([cr.exp(a) for a in y]), 2.0])
    by_x, by_y, by_z = f.jacobian(X, X, Y, mode="reverse")
    assert not by_x.any()
    assert not by_z.any()
    assert not by_y[:, 1].any()
    np.testing.assert_allclose(by_y[:, 0], np.exp(X), rtol=1e-14)


def test_slopes_that_are_the_same_for_every_example():
    f = cr.compile(
        lambda x: cr.sum([2.0 * cr.sin(w) * a for w, a in zip(WEIGHTS[0], x, strict=True)])
    )
    np.testing.assert_allclose(f.jacobian(X), np.tile(2 * np.sin(ROWS[0]), (5, 1)), rtol=1e-14)


def test_ties_with_a_captured_leaf_and_with_a_number():
    level = cr.Value(1.0)
    given = np.array([[0.5, 1.0, 2.0] * 10])
    to_leaf = cr.compile(lambda x: cr.sum([cr.maximum(a, level) for a in x]))
    to_number = cr.compile(lambda x: cr.sum([cr.maximum(a, 1.0) for a in x]))
    assert to_leaf.jacobian(given)[0, :3].tolist() == [0.0, 0.5, 1.0]
    assert to_number.jacobian(given)[0, :3].tolist() == [0.0, 0.0, 1.0]


def test_ties_are_those_of_forward_mode():
    given, other = np.array([[1.0, 2.0, 3.0] * 10]), np.array([[1.0, 0.0, 4.0] * 10])
    pairs = cr.compile(lambda a, b: cr.sum([cr.maximum(x, y) for x, y in zip(a, b, strict=True)]))
    made = cr.compile(lambda a, _: cr.sum([cr.maximum(x, cr.Value(2.0)) for x in a]))
    for f in (pairs, made):
        for argnums in (0, 1, (0, 1)):
            found = f.jacobian(given, other, argnums=argnums, mode="reverse")
            forward = f.jacobian(given, other, argnums=argnums, mode="forward")
            assert np.array_equal(found, forward)


def test_nan_does_not_leak_from_a_branch_that_is_not_chosen():
    f = cr.compile(lambda x: cr.sum([cr.where(cr.less(0.0, a), cr.sqrt(a), a) for a in x]))
    given = np.tile([-1.0, 0.0, 4.0], 10)[None]
    assert f.jacobian(given)[0, :3].tolist() == [1.0, 1.0, 0.25]


def test_threads_pickles_and_an_empty_batch():
    f = cr.compile(energy)
    found = f.jacobian(X)
    many = np.tile(X, (2000, 1))
    shared = cr.compile(energy, threads=2).jacobian(many)
    assert np.array_equal(shared, np.tile(found, (2000, 1)))
    assert np.array_equal(pickle.loads(pickle.dumps(f)).jacobian(X), found)
    assert f.jacobian(X[:0]).shape == (0, 30)


def test_the_gradient_and_the_printed_program_stay_what_they_were():
    f = cr.compile(energy).record(X)
    source, (value, gradient) = f.source, f.value_and_grad(X)
    f.jacobian(X)
    again = f.value_and_grad(X)
    assert f.source == source
    assert again[0] == value
    assert np.array_equal(again[1], gradient)


# --- loops ---------------------------------------------------------------------------------------

RATE = cr.Value(0.3)


def swung(start, pushes):
    """Return what is left of a swing that is pushed, as a scan."""

    def step(state, push):
        angle, speed = state
        speed = speed - RATE * cr.sin(angle) + 0.01 * push
        return (angle + 0.1 * speed, speed), None

    (angle, speed), _ = cr.scan(step, (start[1], 0.0), pushes)
    return angle * speed * start[0]


def swung_in_a_loop(start, pushes):
    angle, speed = start[1], 0.0
    for push in pushes:
        speed = speed - RATE * cr.sin(angle) + 0.01 * push
        angle = angle + 0.1 * speed
    return angle * speed * start[0]


def close_to(found, expected):
    """Thousands of steps carry a rounding on, so what is small is not right to its last digits."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


START, PUSHES = RNG.normal(size=(3, 2)), RNG.normal(size=(3, 5000))


@functools.cache
def by_the_engine(function):
    """Return [by the start, by the pushes], each for all examples, of sweeps of the whole graph."""
    gradient = cr.grad(function, argnums=(0, 1))
    examples = zip(START.tolist(), PUSHES.tolist(), strict=True)
    return [np.array(part) for part in zip(*itertools.starmap(gradient, examples), strict=True)]


@pytest.mark.parametrize("argnums", [None, 0, 1, (1, 0)])
@pytest.mark.parametrize("function", [swung, swung_in_a_loop])
def test_loops_stay_loops(function, argnums):
    f = cr.compile(function)
    found = f.jacobian(START, PUSHES, argnums=argnums)
    assert type(f._latest) is Looped
    assert "written_out" not in vars(f._latest)
    parts = found if isinstance(found, tuple) else (found,)
    which = {None: (0, 1), 0: (0,), 1: (1,)}.get(argnums, argnums)
    for part, i in zip(parts, which, strict=True):
        for found, expected in zip(part, by_the_engine(function)[i], strict=True):
            close_to(found, expected)


def test_a_loop_for_many_examples_is_written_out():
    f = cr.compile(swung)
    few = f.jacobian(START, PUSHES[:, :4000])
    assert "written_out" not in vars(f._latest)
    many = f.jacobian(np.tile(START, (20, 1)), np.tile(PUSHES[:, :4000], (20, 1)))
    assert "written_out" in vars(f._latest)
    for a, b in zip(few, many, strict=True):
        close_to(np.tile(a, (20, 1)), b)


def test_leaves_are_read_anew_and_stay_as_they_are():
    f = cr.compile(swung)
    before = f.jacobian(START, PUSHES, argnums=0)
    RATE.data = 0.4
    try:
        after = f.jacobian(START, PUSHES, argnums=0)
        again = cr.compile(swung).jacobian(START, PUSHES, argnums=0)
    finally:
        RATE.data = 0.3
    assert np.array_equal(after, again)
    assert not np.array_equal(after, before)
    assert RATE.grad == 0.0
