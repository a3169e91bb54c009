"""Running: memory is kept from run to run, and nobody can tell but by the memory."""

import random
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import nn
from chainrule.compiler.machine import Machine, machine_for

from . import families
from .asking import assert_agrees


def batch(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def equal(found, expected):
    expected = np.broadcast_to(expected, np.shape(found))
    assert np.array_equal(found, expected, equal_nan=True)


def test_a_table_that_is_added_up_starts_from_nothing_at_every_run():
    table = families.values(random.Random(0), 5, 3)

    def function(i, j):
        return cr.dot(cr.take(table, i), cr.take(table, j))

    for m in (6, 2):
        assert_agrees(function, np.arange(m) % 5.0, np.arange(m)[::-1] % 4.0)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 60))
@example(1857, 23)  # whose gradient is what is left of larger terms
def test_random_functions_run_alike_on_both_machines(seed, size):
    leaves = families.values(random.Random(seed), 3)

    def function(x):
        x = [v if isinstance(v, cr.Value) else cr.Value(v) for v in x]
        return families.random_graph(seed, size, leaves, x)

    compiled = cr.compile(function).record(batch(3, 3))
    arrays = compiled._recorded().arrays
    rng = random.Random(0)
    machines = [(Machine(plan), machine_for(plan)) for plan in arrays.plans().values()]
    for m in (3, 1, 3, 200):
        for p in compiled.parameters:
            p.data = rng.gauss(0.0, 1.0)
        for here, other in machines:
            found, expected, moved = (
                x if type(x) is tuple else (x,)
                for x in (
                    other.run(arrays.parameters, (batch(m, 3),)),
                    here.run(arrays.parameters, (batch(m, 3),)),
                    here.run(_rounded(arrays.parameters), (batch(m, 3),)),
                )
            )
            for a, b, c in zip(found, expected, moved, strict=True):
                with np.errstate(invalid="ignore"):
                    change = np.abs(c - b)  # where terms cancel, a rounding is worth this much
                floor = np.fmax(1e-13 * np.abs(b), change)
                floor = np.max(floor, initial=1e-300, where=np.isfinite(floor))
                np.testing.assert_allclose(a, b, rtol=1e-13, atol=floor)


def _rounded(parameters):
    """Return *parameters* that differ by a few roundings, up and down in turn."""
    return tuple(cr.Value(p.data * (1 + 1e-15 * (-1) ** i)) for i, p in enumerate(parameters))


@pytest.mark.asks_once  # its memory is measured
def test_from_the_second_run_on_no_step_makes_an_array():
    run, _ = families.mlp(random.Random(0), (64, 32, 10), activation=cr.sigmoid)
    compiled = cr.compile(lambda x, y: families.squared(run(x), y))
    arrays = [batch(500, 64) / 8.0, batch(500, 10)]  # in the tails a careful form makes some
    compiled.value_and_grad(*arrays)
    tracemalloc.start()
    compiled.value_and_grad(*arrays)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    outputs = 8 * len(compiled.parameters)
    assert outputs < peak < 3 * outputs
    assert 3 * outputs < 500 * 32 * 8  # the smallest array of the hidden layer


@pytest.mark.parametrize("count", [1, 5, 4000])
def test_how_many_threads_share_a_batch_does_not_change_a_bit(count):
    run, _ = families.mlp(random.Random(0), (3, 4, 2))

    def loss(x, y):
        return families.squared(run(x), y)

    arrays = batch(count, 3), batch(count, 2)
    alone = cr.compile(loss)
    for threads in (2, 3, 8):
        together = cr.compile(loss, threads=threads)
        equal(together(*arrays), alone(*arrays))
        found, expected = together.value_and_grad(*arrays), alone.value_and_grad(*arrays)
        assert found[0] == expected[0]
        equal(found[1], expected[1])


@pytest.mark.parametrize("threads", [0, -1, 1.0, True, "2", None])
def test_threads_are_a_whole_number(threads):
    with pytest.raises(
        ValueError, match=r"compile: threads=.*; expected a whole number, at least 1"
    ):
        cr.compile(cr.tanh, threads=threads)


def test_numbers_may_lie_between_addresses():
    run, _ = families.mlp(random.Random(0), (3, 4, 2))
    compiled = cr.compile(lambda x: cr.sum(run(x)))
    x = batch(500, 3)
    between = np.frombuffer(b"...." + x.tobytes(), offset=4).reshape(x.shape)
    assert not between.flags.aligned
    equal(compiled(between), compiled(x))
    equal(compiled.value_and_grad(between)[1], compiled.value_and_grad(x)[1])


def test_an_array_that_is_not_of_numbers_is_refused_after_any_number_of_calls():
    """A call like the one before goes to the machine at once, which cannot look at such arrays."""
    f = cr.compile(lambda x: x[0] * x[1])
    numbers = np.ones((2, 2))
    dates = np.array([["2020-01-01", "2020-01-02"]], dtype="datetime64[D]")
    for _ in range(40):
        assert f(numbers).tolist() == [1.0, 1.0]
        with pytest.raises(TypeError, match=r"argument x is an array of datetime64\[D\]"):
            f(dates)
        f.value_and_grad(numbers)
        with pytest.raises(TypeError, match=r"argument x is an array of datetime64\[D\]"):
            f.value_and_grad(dates)


def test_results_are_the_callers_to_keep():
    run, _ = families.mlp(random.Random(0), (3, 4, 2))
    compiled = cr.compile(lambda x: cr.sum(run(x)))
    first, second = batch(5, 3), batch(5, 3, seed=1)
    outputs, gradient = compiled(first), compiled.value_and_grad(first)[1]
    copies = outputs.copy(), gradient.copy()
    compiled(second)
    compiled.value_and_grad(second)
    equal(outputs, copies[0])
    equal(gradient, copies[1])


def test_a_run_inside_a_run_has_a_workspace_of_its_own():
    inside = []

    def forward(x):
        if len(inside) == 1:
            inside.append(None)
            inside.append(compiled.value_and_grad(2.0 * X)[1])
        return x * x

    own = cr.primitive("square_of_own", forward, [lambda x, y: 2.0 * x])
    w = families.values(random.Random(0), 3)
    X = batch(4, 3)
    compiled = cr.compile(lambda x: cr.tanh(cr.dot(w, x)) * own(cr.dot(w, x))).record(X)
    alone = [compiled.value_and_grad(factor * X)[1] for factor in (1.0, 2.0)]
    inside[:] = [None]
    around = compiled.value_and_grad(X)[1]
    equal(around, alone[0])
    equal(inside[2], alone[1])


def test_a_run_that_fails_leaves_the_next_one_right():
    fails = []

    def forward(x):
        if fails:
            raise ArithmeticError(fails.pop())
        return x * x

    own = cr.primitive("sometimes", forward, [lambda x, y: 2.0 * x])
    w = families.values(random.Random(0), 3)
    compiled = cr.compile(lambda x: cr.exp(own(cr.tanh(cr.dot(w, x)))))
    X, other = batch(4, 3), batch(4, 3, seed=1)
    expected = compiled.value_and_grad(X)
    fails.append("half-way")
    with pytest.raises(ArithmeticError, match="half-way"):
        compiled.value_and_grad(other)
    found = compiled.value_and_grad(X)
    assert found[0] == expected[0]
    equal(found[1], expected[1])


def test_arrays_are_kept_for_a_few_sizes_of_batch_only():
    w = families.values(random.Random(0), 2)
    compiled = cr.compile(lambda x: cr.exp(cr.dot(w, x))).record(batch(1, 2))
    arrays = compiled._recorded().arrays
    machine = Machine(arrays.plans()["gradient"])
    for m in range(1, 30):
        machine.run(arrays.parameters, (batch(m, 2),))
    (memory,) = machine._free
    assert len(memory._blocks) <= 4


# --- calls like the last one ---------------------------------------------------------------------


def test_the_same_call_reads_what_was_written_between():
    w = [cr.Value(0.5), cr.Value(-1.0)]
    compiled = cr.compile(lambda x: cr.tanh(cr.dot(w, x)))
    X = np.random.default_rng(0).normal(size=(5, 2))

    def expected():
        z = X @ [v.data for v in w]
        return np.tanh(z), (1 - np.tanh(z) ** 2) @ X / len(X)

    def check():
        values, gradient = expected()
        for _ in range(3):
            np.testing.assert_allclose(compiled(X), values, rtol=1e-12)
            cost, found = compiled.value_and_grad(X)
            np.testing.assert_allclose(cost, values.mean(), rtol=1e-12)
            np.testing.assert_allclose(found, gradient, rtol=1e-12)

    writes = [
        lambda: None,
        lambda: setattr(w[0], "data", 2.0),
        lambda: nn.optim.SGD(w, 0.1).step(),
        lambda: X.__imul__(0.5),
        lambda: [setattr(v, "data", -v.data) for v in w],
    ]
    compiled.backward(X)
    for write in writes:
        write()
        check()


def test_a_call_of_another_kind_between_changes_nothing():
    w = cr.Value(3.0)
    compiled = cr.compile(lambda x, y: cr.sum([w * a * y for a in x]))
    X, y = np.ones((4, 2)), np.full(4, 2.0)
    wide, rows = np.ones((4, 6)), np.ones((2, 4))
    calls = [
        ((X, y), 12.0), ((X.tolist(), y), 12.0), ((np.ones((4, 3)), y), 18.0), ((X, y), 12.0),
        ((X[:1], y[:1]), 12.0), ((wide[:, ::3], y), 12.0), ((rows.T, y), 12.0),
        ((X.astype(np.float32), y), 12.0), ((X.astype(">f8"), y), 12.0), ((X.astype(int), y), 12.0),
    ]  # fmt: skip
    for _ in range(3):
        for arguments, expected in calls:
            assert compiled(*arguments).tolist() == [expected] * len(arguments[0])
            assert compiled.value_and_grad(*arguments)[0] == expected
        for wrong in ((X, y[:2]), (X[:0], y[:0]), (X[0], y), (X,), (X, y, y), (np.ma.array(X), y)):
            with pytest.raises((ValueError, TypeError)):
                compiled.value_and_grad(*wrong)
        assert compiled(X[:0], y[:0]).shape == (0,)


def test_a_replaced_leaf_is_found_in_calls_that_are_alike():
    weights = [cr.Value(1.0), cr.Value(2.0)]
    compiled = cr.compile(lambda x: weights[0] * x + weights[1])
    X = np.ones(3)
    for _ in range(40):
        compiled.value_and_grad(X)
    weights[0] = cr.Value(5.0)
    found = None
    for _ in range(16):
        try:
            compiled.value_and_grad(X)
        except cr.TraceError as error:
            found = error
    assert "other Values" in str(found)


@pytest.mark.asks_once  # other threads see what asking again writes to the leaves
def test_threads_that_repeat_a_call_while_another_writes():
    w = cr.Value(1.0)
    compiled = cr.compile(lambda x: w * x)
    X, wrong = np.ones(3), []

    def ask():
        for _ in range(300):
            cost = compiled.value_and_grad(X)[0]
            if cost not in (1.0, 2.0):
                wrong.append(cost)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for k in range(300):
        w.data = 1.0 + k % 2
    for thread in threads:
        thread.join()
    w.data = 2.0
    assert not wrong
    assert compiled.value_and_grad(X)[0] == 2.0
