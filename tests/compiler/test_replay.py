"""Graphs without width: replayed by the engine, and as right as everything else."""

import itertools
import math
import pickle
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.compiler.program import Builder
from chainrule.compiler.replay import Replay
from chainrule.compiler.tape import flatten, normalise
from chainrule.engine import table as primitives
from chainrule.engine.table import TABLE

from . import families
from .asking import rounds


def chain(x, w, steps=100):
    for _ in range(steps):
        x = w[0] * cr.sin(x) + w[1]
    return x


def newton(x, w, steps=60):
    root = w[0] + 2.0
    for _ in range(steps):
        root = 0.5 * (root + (x * x + w[1] * w[1]) / root)
    return root * w[2]


def recurrence(x, w, steps=60):
    h = c = x
    for _ in range(steps):
        h, c = cr.tanh(w[0] * h + w[1] * c + 0.1), cr.sigmoid(w[2] * h - c / 3.0)
    return h * c


def branches(x, w, steps=40):
    for k in range(steps):
        safe = cr.where(cr.less(0.1, x), cr.log(x), x * w[k % 3])
        x = cr.maximum(cr.tanh(safe), w[0] * x, -2.0) + cr.softmax([x, w[1], 0.5])[k % 3]
    return x


GRAPHS = [chain, newton, recurrence, branches]


@pytest.fixture(params=GRAPHS, ids=lambda f: f.__name__)
def function(request):
    w = families.values(random.Random(0), 3)
    return lambda x: request.param(x, w)


def eager(function, points, parameters):
    for p in parameters:
        p.grad = 0.0
    results = [function(cr.Value(x)) for x in points]
    cr.mean(results).backward()
    gradient = np.array([p.grad for p in parameters])
    for p in parameters:
        p.grad = 0.0
    return np.array([r.data for r in results]), gradient


def close(found, expected):
    floor = 1e-12 * np.max(np.abs(expected), initial=0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=floor)


# --- which way -----------------------------------------------------------------------------------


def test_a_graph_without_width_says_that_it_is_replayed(function):
    compiled = cr.compile(function).record([0.3])
    assert compiled.stats["replay"].startswith("no width: ")
    assert compiled.stats["gradient"] == 0
    assert "replayed by the engine" in compiled.explain()
    assert compiled.stats["nodes"] > 200


def test_a_graph_with_width_is_not_replayed():
    run, _ = families.mlp(random.Random(0), (4, 20, 20, 2))
    compiled = cr.compile(lambda x: cr.sum(run(x))).record(np.ones((1, 4)))
    assert compiled.stats["replay"] == ""


def test_a_narrow_recurrence_is_replayed_for_small_batches_only():
    run = families.recurrent(random.Random(0), 1, 6)
    compiled = cr.compile(run).record(np.ones((1, 60, 1)))
    assert compiled.stats["gradient"] > 0
    if cr.backend == "native":
        assert compiled.stats["replay"].startswith("batches of up to ")
        assert "9. Replay" in compiled.explain()
    X = np.random.default_rng(0).normal(size=(300, 60, 1))
    value, gradient = compiled.value_and_grad(X)
    singly = [compiled.value_and_grad(x[None]) for x in X]
    assert value == pytest.approx(np.mean([v for v, _ in singly]), rel=1e-12)
    close(gradient, np.mean([g for _, g in singly], axis=0))
    close(compiled(X), [compiled(x[None])[0] for x in X])


def test_a_thousand_nodes_or_ten_thousand_cost_the_same_each():
    x, w = cr.Value(0.3), families.values(random.Random(0), 2)
    compiled = cr.compile(chain(x, w, steps=20_000))
    assert compiled.value_and_grad()[0] == chain(x, w, steps=20_000).data


# --- values and gradients ------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 30])
def test_a_replayed_function_agrees_with_the_engine(function, count):
    points = np.linspace(-1.0, 1.5, count)
    compiled = cr.compile(function).record(points)
    for (asked,) in rounds(compiled.parameters, [points]):
        results, gradient = eager(function, asked.tolist(), compiled.parameters)
        close(compiled(asked), results)
        value, found = compiled.value_and_grad(asked)
        assert value == pytest.approx(results.mean(), rel=1e-12)
        close(found, gradient)
    assert all(p.grad == 0.0 for p in compiled.parameters)
    assert compiled.backward(points) == value
    assert [p.grad for p in compiled.parameters] == found.tolist()


def test_a_replayed_graph_has_the_very_values_of_the_engine_and_reads_its_leaves_anew(function):
    x = cr.Value(0.3)
    root = function(x)
    compiled = cr.compile(root)
    for data in (0.3, -0.7):
        x.data = data
        results, gradient = eager(lambda _: function(x), [data], compiled.parameters)
        assert compiled() == results[0]
        value, found = compiled.value_and_grad()
        assert value == results[0]
        close(found, gradient)  # equal nodes are one here: sums in another order


def test_several_outputs_of_a_replayed_graph():
    w = families.values(random.Random(0), 3)
    x = cr.Value(0.3)
    a = chain(x, w)
    compiled = cr.compile([[a], (x, cr.tanh(a), 2.0)])
    assert compiled.stats["replay"]
    assert compiled() == [[a.data], (0.3, math.tanh(a.data), 2.0)]
    many = cr.compile(lambda x: [chain(x, w), x, w[1]])
    points = np.linspace(0.0, 1.0, 200)
    found = many(points)
    assert found[1].tolist() == points.tolist()
    assert set(found[2].tolist()) == {w[1].data}
    close(found[0][::100], [chain(cr.Value(x), w).data for x in points[::100]])
    assert many(np.empty(0))[0].shape == (0,)


def replayed(root, arguments=()):
    """Return the replay of any graph at all, and its parameters."""
    tape = flatten([root])
    members = tape.arguments(arguments)
    normalise(tape)
    inputs = set(itertools.chain.from_iterable(members))
    order = [n for n in tape.leaves if n not in inputs]
    return Replay.of(tape, members, order, 1000), [tape.leaves[n] for n in order]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(1, 60), st.sampled_from(["nodes", "columns"]))
def test_random_functions_agree_with_the_engine(seed, size, how):
    leaves = families.values(random.Random(seed), 3)
    points = np.random.default_rng(seed).normal(size=({"nodes": 4, "columns": 70}[how], 2))

    def function(x):
        return families.random_graph(seed, size, leaves, x)

    example = [cr.Value(x) for x in points[0].tolist()]
    replay, parameters = replayed(function(example), [example])
    for p in parameters:
        p.grad = 0.0
    results = [function([cr.Value(v) for v in row]) for row in points.tolist()]
    total = cr.mean(results)
    total.backward()
    theta = np.array([p.data for p in parameters])
    asked = replay if how == "nodes" else replay.columns
    for _ in range(2):
        close(asked.forward(theta, [points])[:, 0], [r.data for r in results])
        value, gradient = asked.gradient(theta, [points])
        assert value == pytest.approx(total.data, rel=1e-12)
        close(gradient, np.array([p.grad for p in parameters]))


def test_columns_choose_as_the_engine_does():
    u, v, w = parameters = families.values(random.Random(3), 3)
    median = cr.primitive(
        "the median of three",
        lambda *xs: sorted(xs)[1],
        (1.0, 1.0, 1.0),
        selects=lambda *xs: xs.index(sorted(xs)[1]),
    )
    functions = [
        lambda x: cr.where(cr.less(x, 0.0), u * x, cr.sqrt(x) * v),
        lambda x: cr.where(cr.less(x, 0.0), u * x, cr.logsumexp([cr.log(x) * v, w, 1.0])),
        lambda x: cr.where(cr.less(u, w), u * x, cr.log(cr.abs(x)) * v + w),
        lambda x: cr.where(cr.less(u, w), u, cr.log(u - w + 1.0)) * x,
        lambda x: cr.square(median(x, u, w * x)),
        lambda x: cr.square(median(u, v, w)) * x,
        lambda x: cr.maximum(x, u, 0.5, w) + cr.minimum(x, x * u, x),
        lambda x: cr.softmax([x, u, 2.0])[2] * cr.hypot(x, v) ** w,
        lambda x: cr.where(x, u, cr.where(cr.less(x, -0.5), v * x, cr.square(w))) + u,
        lambda x: u * v,
        lambda x: cr.sum([u, v, x, u * x]) + cr.dot([u, v], [x, x * x], w) + cr.mean([u, x]),
    ]
    points = np.array([-1.2, -0.4, 0.0, 0.3, 0.5, 1.7, 2.5] * 12)
    for function in functions:
        example = cr.Value(0.7)
        replay, leaves = replayed(function(example), [[example]])
        for k in range(3):
            u.data += 0.6 * k
            results, expected = eager(function, points[points != 0.0].tolist(), parameters)
            theta = np.array([p.data for p in leaves])
            batch = [points[points != 0.0, None]]
            close(replay.columns.forward(theta, batch)[:, 0], results)
            slopes = dict(zip(leaves, replay.columns.gradient(theta, batch)[1], strict=True))
            close(np.array([slopes.get(p, 0.0) for p in parameters]), expected)


def test_large_batches_are_done_on_columns_until_there_is_an_array_program(function):
    points = np.linspace(-1.0, 1.5, 400)
    compiled = cr.compile(function).record(points)
    replay = compiled._latest.replay
    assert 0 < replay.largest < 400 or cr.backend != "native"
    results, gradient = eager(function, points.tolist(), compiled.parameters)
    for lifted in (False, False, True, True):
        if lifted:
            assert "theta" in compiled.source
        value, found = compiled.value_and_grad(points)
        assert value == pytest.approx(results.mean(), rel=1e-12)
        close(found, gradient)
        assert (compiled._latest._arrays is not None) == lifted
    assert compiled.stats["replay"].startswith("batches of up to ")
    assert compiled.stats["gradient"] > 100
    close(compiled(points), results)
    single = compiled.value_and_grad(points[:1])[1]
    close(single, eager(function, [-1.0], compiled.parameters)[1])


# --- what every compiled program can do ----------------------------------------------------------


def test_the_array_program_is_there_for_who_asks(function):
    points = np.linspace(-1.0, 1.5, 7)
    compiled = cr.compile(function).record(points)
    _, gradient = compiled.value_and_grad(points)
    namespace = {}
    exec(compiled.source, namespace)
    vector = np.array([p.data for p in compiled.parameters])
    program = compiled.program
    thetas = [vector[slice(*o.detail)].reshape(o.shape) for o in program.parameters("gradient")]
    _, found = namespace["gradient"](*thetas, points[:, None])
    again = np.zeros(len(vector))
    for (number, _), part in zip(program.gradients, found, strict=True):
        again[slice(*program.operations[number].detail)] += np.ravel(part)
    close(again, gradient)


def test_a_replay_pickles(function):
    points = np.linspace(-1.0, 1.5, 7)
    compiled = cr.compile(function).record(points)
    loaded = pickle.loads(pickle.dumps(compiled))
    assert loaded.value_and_grad(points)[1].tolist() == compiled.value_and_grad(points)[1].tolist()
    assert loaded.source == compiled.source
    assert pickle.loads(pickle.dumps(compiled)).stats == loaded.stats


def test_the_modes_of_the_caller_do_not_matter(function):
    points = [0.2, 0.4]
    compiled = cr.compile(function).record(points)
    expected = compiled.value_and_grad(points)[1].tolist()
    with cr.no_grad():
        assert compiled.value_and_grad(points)[1].tolist() == expected
    with cr.detect_anomaly():
        assert compiled.value_and_grad(points)[1].tolist() == expected
        assert not np.isfinite(compiled([math.nan])).any()


def test_user_primitives_are_replayed():
    row = cr.primitive("test_replay_cubed", lambda x: x * x * x, (lambda x, y: 3.0 * cr.square(x),))
    w = cr.Value(0.4)

    def function(x):
        for _ in range(50):
            x = row(cr.sin(x) * w + 0.7)
        return x

    try:
        compiled = cr.compile(function).record([0.1])
        assert compiled.stats["replay"]
        points = np.linspace(-1.0, 1.0, 3)
        results, gradient = eager(function, points.tolist(), [w])
        close(compiled(points), results)
        close(compiled.value_and_grad(points)[1], gradient)
    finally:
        del TABLE["test_replay_cubed"]


def test_an_index_is_checked_so_what_selects_is_not_replayed():
    table = families.values(random.Random(0), 4)

    def function(x, k):
        return chain(cr.take(table, k) * x, table)

    compiled = cr.compile(function)
    results = [function(0.3, 1).data, function(0.3, 3).data]
    close(compiled([0.3, 0.3], [1, 3]), results)
    with pytest.raises(IndexError):
        compiled([0.3], [4])


@pytest.mark.skipif(cr.backend != "native", reason="the reference is plain Python")
def test_c_refuses_what_is_no_tape():
    from chainrule.engine.native import core as native

    rows, x = (primitives.sin,), cr.Value(0.5)
    codes = np.array([-1, 0], dtype=np.int16)
    good = np.array([0, 0, 1]), np.array([0])
    assert native.replay(rows, codes, *good, [x, None])[1].data == math.sin(0.5)
    for starts, inputs, given_codes, given_values in (
        ([0, 0, 1], [1], codes, [x, None]),
        ([0, 0, 1], [-1], codes, [x, None]),
        ([0, 0, 2], [0], codes, [x, None]),
        ([0, 0], [0], codes, [x, None]),
        ([0, 0, 0], [], codes, [x, None]),
        ([0, 0, 1], [0], codes + 1, [x, None]),
        ([0, 0, 1], [0], codes, []),
    ):
        with pytest.raises(ValueError, match="inputs before their users"):
            native.replay(rows, given_codes, np.array(starts), np.array(inputs, int), given_values)


def test_a_long_chain_of_numbers_is_no_deep_recursion():
    builder = Builder()
    x = builder.emit("count", (1.0,), (1,), False)
    for k in range(5000):
        x = primitives.multiply(x, 0.5 + k)
    assert builder.reshape(x, (1, 1)).shape == (1, 1)
