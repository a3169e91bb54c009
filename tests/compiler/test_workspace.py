"""Kept arrays: a run writes where the last one did, and nobody can tell but by the memory."""

import itertools
import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.compiler.numpy_source import READ
from chainrule.engine.table import TABLE
from chainrule.engine.vectors import read_data

from . import families
from .asking import run_another


def batch(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def printed(compiled, name, arrays):
    """Return what function *name* of the printed text returns, run as it is printed.

    The text is the source, but for the losses, which are written with more digits to be run.
    """
    namespace = {"rows": {name: row.array for name, row in TABLE.items()}}
    text = compiled._prepared(arrays)[0].arrays.text
    program = compiled.program
    kinds = {operation.kind for operation in program.operations}
    assert (
        text == compiled.source
        or "softmax_minus" in kinds
        or not READ.keys().isdisjoint(program.rows)
    )
    exec(text, namespace)
    vector = read_data(compiled.placed)
    thetas = [vector[slice(*o.detail)].reshape(o.shape) for o in compiled.program.parameters(name)]
    return namespace[name](*thetas, *arrays)


def equal(found, expected):
    expected = np.broadcast_to(expected, np.shape(found))
    assert np.array_equal(found, expected, equal_nan=True)


def assert_runs_as_printed(compiled, *batches):
    rng = random.Random(0)
    compiled.record(*batches[0])
    for arrays in itertools.chain(batches, batches, batches):
        run_another()
        for p in compiled.parameters:
            p.data = rng.gauss(0.0, 1.0)
        lifted, rows = compiled._prepared(arrays)
        outputs = lifted.arrays.forward(rows, 1)
        equal(np.ravel(outputs), np.ravel(printed(compiled, "forward", arrays)))
        cost, gradient = lifted.arrays.gradient(rows)
        expected, derivatives = printed(compiled, "gradient", arrays)
        equal(cost, np.ravel(expected)[0])
        entries = np.zeros(len(compiled.parameters))
        for (n, _), derivative in zip(compiled.program.gradients, derivatives, strict=True):
            entries[slice(*compiled.program.operations[n].detail)] += np.ravel(derivative)
        equal(gradient, entries)


FAMILIES = {
    "sigmoid network": lambda rng: families.mlp(rng, (4, 5, 3), activation=cr.sigmoid)[0],
    "tanh network": lambda rng: families.mlp(rng, (4, 5, 3))[0],
    "relu network": lambda rng: families.mlp(rng, (4, 5, 3), activation=cr.relu)[0],
}


@pytest.mark.parametrize("name", FAMILIES)
def test_networks_run_as_printed_for_one_batch_after_another(name):
    run = FAMILIES[name](random.Random(1))
    compiled = cr.compile(lambda x, y: families.squared(run(x), y))
    sizes = (3, 1, 7, 3)
    assert_runs_as_printed(compiled, *((9.0 * batch(m, 4, seed=m), batch(m, 3)) for m in sizes))


def test_attention_runs_as_printed():
    loss = families.attention(random.Random(0), 4, 2, 8)
    compiled = cr.compile(loss)
    batches = [(batch(m, 5, 4, seed=m), batch(m, 5, 4, seed=m + 1)) for m in (2, 1, 4)]
    assert_runs_as_printed(compiled, *batches)


def test_a_table_that_is_added_up_starts_from_nothing_at_every_run():
    table = families.values(random.Random(0), 5, 3)
    compiled = cr.compile(lambda i, j: cr.dot(cr.take(table, i), cr.take(table, j)))
    batches = [(np.arange(m) % 5.0, np.arange(m)[::-1] % 4.0) for m in (6, 2)]
    assert_runs_as_printed(compiled, *batches)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 60))
def test_random_functions_run_as_printed(seed, size):
    leaves = families.values(random.Random(seed), 3)

    def function(x):
        x = [v if isinstance(v, cr.Value) else cr.Value(v) for v in x]
        return families.random_graph(seed, size, leaves, x)

    assert_runs_as_printed(cr.compile(function), *([batch(m, 3, seed=m)] for m in (3, 1)))


@pytest.mark.asks_once  # its memory is measured
def test_from_the_second_run_on_no_step_makes_an_array():
    run, _ = families.mlp(random.Random(0), (64, 32, 10), activation=cr.sigmoid)
    compiled = cr.compile(lambda x, y: families.squared(run(x), y))
    arrays = [batch(500, 64), batch(500, 10)]
    compiled.value_and_grad(*arrays)
    tracemalloc.start()
    compiled.value_and_grad(*arrays)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    outputs = 8 * len(compiled.parameters)
    assert outputs < peak < 3 * outputs
    assert 3 * outputs < 500 * 32 * 8  # the smallest array of the hidden layer


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
    compiled = cr.compile(lambda x: cr.exp(cr.dot(w, x)))
    for m in range(1, 30):
        compiled.value_and_grad(batch(m, 2))
    with compiled._recorded().arrays._running() as workspace:
        assert len(workspace.slots) <= 4
