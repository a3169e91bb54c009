"""The compiler: values and gradients of the engine, from a few array operations."""

import concurrent.futures
import gc
import itertools
import math
import multiprocessing
import pickle
import random
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.compiler import program as programs
from chainrule.compiler.printers.rows import EXPRESSIONS, FUNCTIONS
from chainrule.engine import table as primitives
from chainrule.engine.table import TABLE

from .. import children
from . import families
from .asking import recomputed, rounds

inf, nan = math.inf, math.nan


def eager(function, arrays, parameters):
    """Return the results for all examples, their mean and its gradient, by the engine."""
    for p in parameters:
        p.grad = 0.0
    results = [function(*example) for example in zip(*(x.tolist() for x in arrays), strict=True)]
    mean = cr.mean(results)
    mean.backward()
    return [r.data for r in results], mean.data, np.array([p.grad for p in parameters])


def assert_agrees(function, *arrays):
    """Compare the compiled function with the engine, on a batch and on the batch permuted."""
    compiled = cr.compile(function).record(*arrays)
    kept = [p.grad for p in compiled.parameters]
    for asked in rounds(compiled.parameters, arrays):
        results, mean, gradient = eager(function, asked, compiled.parameters)
        np.testing.assert_allclose(compiled(*asked), results, rtol=1e-12)
        value, found = compiled.value_and_grad(*asked)
        np.testing.assert_allclose(value, mean, rtol=1e-12)
        close(found, gradient)
    for p, g in zip(compiled.parameters, kept, strict=True):
        p.grad = g
    order = np.random.default_rng(1).permutation(len(arrays[0]))
    np.testing.assert_allclose(
        compiled(*(x[order] for x in arrays)), np.array(results)[order], rtol=1e-12
    )
    return compiled


def assert_graph_agrees(root):
    """Compare the compiled graph with the engine."""
    compiled = cr.compile(root)
    for _ in rounds(compiled.parameters):
        for p in compiled.parameters:
            p.grad = 0.0
        (again,) = recomputed([root])
        again.backward()
        value, found = compiled.value_and_grad()
        np.testing.assert_allclose(value, again.data, rtol=1e-12)
        close(found, np.array([p.grad for p in compiled.parameters]))
    return compiled


def close(found, expected):
    # An entry that is small because large terms cancelled is as exact as these terms.
    floor = 1e-12 * np.max(np.abs(expected), initial=0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=floor)


def batch(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# --- families: right, and in a fixed number of array operations ----------------------------------


@pytest.mark.parametrize("neuron", families.NEURONS)
def test_all_ways_of_writing_a_neuron_give_one_program(neuron):
    def program(neuron):
        run, _ = families.mlp(random.Random(0), (4, 3, 2), neuron, cr.sigmoid)
        loss = lambda x, y: families.logistic(run(x), y)  # noqa: E731
        return assert_agrees(loss, batch(5, 4), (batch(5, 2) > 0) * 1.0)

    assert program(neuron).source == program(families.by_dot).source


@pytest.mark.parametrize("activation", families.ACTIVATIONS)
@pytest.mark.parametrize("loss", families.LOSSES)
def test_mlps_of_every_activation_and_loss(activation, loss):
    run, thetas = families.mlp(random.Random(1), (3, 4, 2, 3), activation=activation)
    targets = np.eye(3)[[0, 2, 1, 0]]

    def cost(x, y):
        return loss(run(x), y) + families.penalty(thetas)

    compiled = assert_agrees(cost, batch(4, 3), targets)
    assert compiled.stats["gradient products"] == 8
    assert compiled.stats["gradient gathers"] == 0


def operations(build, sizes):
    """Return the numbers of operations of the programs that *build* makes for *sizes*."""
    return {tuple(build(size).stats[k] for k in ("forward", "gradient")) for size in sizes}


def test_a_layer_costs_a_fixed_number_of_operations_whatever_its_width():
    def build(size, depth=1):
        run, _ = families.mlp(random.Random(0), (size, *[2 * size] * depth, size + 1))
        loss = lambda x, y: families.squared(run(x), y)  # noqa: E731
        return cr.compile(loss).record(batch(2, size), batch(2, size + 1))

    assert len(operations(build, (2, 3, 7, 20))) == 1
    counts = [build(3, depth).stats["gradient"] for depth in (1, 2, 3, 4)]
    assert set(np.diff(counts)) == {9}
    assert build(3).stats["forward"] <= 12


def test_a_time_step_costs_a_fixed_number_of_operations_whatever_the_width():
    def build(width, steps=4):
        run = families.recurrent(random.Random(0), 3, width)
        return assert_agrees(run, batch(3, steps, 3))

    assert len(operations(build, (5, 8, 20))) == 1
    counts = [build(4, steps).stats["gradient"] for steps in (3, 4, 5, 6)]
    assert len(set(np.diff(counts))) == 1
    assert np.diff(counts)[0] <= 16


def test_a_convolution_costs_a_fixed_number_of_operations():
    def build(size):
        run = families.convolution(random.Random(0), channels=size)
        return assert_agrees(run, batch(3, 6 + size))

    assert len(operations(build, (3, 5, 8))) == 1
    assert build(5).stats["forward products"] == 2
    assert build(5).stats["gradient"] <= 25


@pytest.mark.parametrize("heads", [1, 2])
def test_causal_attention_costs_a_fixed_number_of_operations(heads):
    def build(context, width=4):
        loss = families.attention(random.Random(0), width, heads, 8)
        return assert_agrees(loss, batch(2, context, width), batch(2, context, width, seed=1))

    assert len(operations(build, (5, 6, 9))) == 1
    assert build(6, 6).stats["gradient"] <= 100
    assert build(6).stats["forward products"] == 4  # keys, queries and values are one product
    assert any("different lengths" in reason for reason in build(6).stats["why gathers"])


@pytest.mark.parametrize("joined", [cr.sum, cr.logsumexp, lambda xs: cr.maximum(*xs)])
def test_gathers_of_different_lengths_are_told(joined):
    w = families.values(random.Random(0), 8)

    def function(x):
        hidden = [cr.tanh(a * x) for a in w]
        rows = [[hidden[3 * j % 8] for j in range(k)] for k in range(3, 8)]
        return cr.sum([cr.square(joined(row)) for row in rows])

    reasons = assert_agrees(function, batch(4)).stats["why gathers"]
    known = dict(reason.split(" for ")[::-1] for reason in reasons)
    assert int(known["sums of different lengths"]) >= 2  # forward, and backward
    assert int(known["operands in no even order"]) <= 1
    one = assert_agrees(lambda x: joined([w[3 * j % 8] * cr.tanh(x) for j in range(8)]), batch(4))
    assert not any("different lengths" in reason for reason in one.stats["why gathers"])


def test_a_loop_over_the_data_becomes_a_batch():
    def build(samples, neuron=families.by_loop):
        rng = random.Random(0)
        run, thetas = families.mlp(rng, (3, 5, 2), neuron)
        data = [(families.numbers(rng, 3), [float(i % 2), 1.0]) for i in range(samples)]
        root = 0.0
        for x, y in data:
            root = root + families.squared(run(x), y)
        return assert_graph_agrees(root / samples + families.penalty(thetas))

    assert len(operations(build, (20, 33, 100))) == 1
    assert build(100).stats["gradient products"] == 5
    assert build(100).stats["gradient gathers"] == 0
    # The network in the loop and the network on a batch are the same program.
    assert "a2[:, 1:] = np.tanh(z2)" in build(100).source


def test_an_unrolled_batch_of_leaves_lifts_as_well():
    rng = random.Random(0)
    run, _ = families.mlp(rng, (3, 4, 2))
    X = families.values(rng, 30, 3)
    root = cr.sum([families.squared(run(x), [0.0, 1.0]) for x in X])
    assert assert_graph_agrees(root).stats["gradient products"] == 6


def test_unrolled_attention_over_tokens():
    rng = random.Random(0)
    loss = families.attention(rng, 4, 2, 8)
    table, positions = families.values(rng, 7, 4), families.values(rng, 6, 4)
    tokens = [rng.randrange(7) for _ in range(6)]
    xs = [
        [a + b for a, b in zip(cr.take(table, token), positions[t], strict=True)]
        for t, token in enumerate(tokens)
    ]
    compiled = assert_graph_agrees(loss(xs, families.numbers(rng, 6, 4)))
    assert compiled.stats["gradient"] <= 100


def test_a_mixture_of_families():
    rng = random.Random(0)
    conv, rnn = families.convolution(rng, 3), families.recurrent(rng, 1, 4)
    run, thetas = families.mlp(rng, (8, 5, 1))

    def cost(x):
        (out,) = run(x)
        return conv(x) * cr.sigmoid(out) + rnn([[v] for v in x[:5]]) + families.penalty(thetas)

    assert_agrees(cost, batch(4, 8))


def test_two_towers_of_different_widths():
    rng = random.Random(0)
    left, _ = families.mlp(rng, (5, 4, 2))
    right, _ = families.mlp(rng, (3, 6, 2))

    def cost(x, u):
        return cr.square(cr.dot(left(x), right(u)))

    assert assert_agrees(cost, batch(6, 5), batch(6, 3)).stats["forward gathers"] <= 2


# --- random graphs and the edges -----------------------------------------------------------------


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 2**31), st.integers(1, 60))
def test_random_graphs_agree_with_the_engine(seed, size):
    rng = random.Random(seed)
    assert_graph_agrees(families.random_graph(seed, size, families.values(rng, 4)))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(1, 60))
def test_random_functions_agree_with_the_engine(seed, size):
    leaves = families.values(random.Random(seed), 2)

    def function(x):
        x = [v if isinstance(v, cr.Value) else cr.Value(v) for v in x]
        return families.random_graph(seed, size, leaves, x)

    assert_agrees(function, batch(3, 3, seed=seed % 1000))


def test_an_irregular_graph_of_many_nodes():
    rng = random.Random(3)
    pool = families.values(rng, 30)
    for _ in range(900):
        a, b, c = (rng.choice(pool) for _ in range(3))
        choices = [cr.tanh(a + b), cr.sin(a * b), cr.dot([a, b], [c, 0.3], 0.1), a - cr.sigmoid(c)]
        pool.append(cr.tanh(rng.choice(choices)))
    root = cr.sum(pool[-200:])
    compiled = assert_graph_agrees(root)
    assert any("few alike" in reason for reason in compiled.stats["why gathers"])


POINTS = [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 20.0, -40.0, 1000.0, -1000.0, -720.0, 710.0]
POINTS += [1e-300, 5e-324, -1e-310, 1e300, inf, -inf, nan]


def edge_cases(row):
    """Return operand tuples for *row*: all pairs of POINTS, Values and constants mixed."""
    if row.arity == 1:
        return [(cr.Value(a),) for a in POINTS]
    if row.arity == 2:
        pairs = list(itertools.product([*POINTS[:4], 0.5, *POINTS[6:10:2], *POINTS[-3:]], repeat=2))
        return [
            case
            for a, b in pairs
            for case in ((cr.Value(a), cr.Value(b)), (cr.Value(a), b), (a, cr.Value(b)))
        ]
    rng = random.Random(row.name)
    count = row.arity or (4 if row.name == "soft_cross_entropy" else 3)
    cases = [tuple(cr.Value(rng.choice(POINTS)) for _ in range(count)) for _ in range(150)]
    if row.name == "soft_cross_entropy":  # a probability of every class, and then the logits
        shares = itertools.cycle([(0.0, 1.0), (0.3, 0.7), (1.0, 0.0)])
        return [
            (cr.Value(y), cr.Value(rest), *case[2:])
            for (y, rest), case in zip(shares, cases, strict=False)
        ]
    if row.name in ("softmax", "softmax_rest", "take", "cross_entropy"):
        return [(1.0, *case) for case in cases]
    return cases


@pytest.mark.parametrize("row", [r for n, r in TABLE.items() if n != "cube"], ids=lambda r: r.name)
def test_every_primitive_answers_at_the_edges_as_the_engine_does(row):
    """All cases in one program, where they are a column of numbers, and a few of them alone."""
    every = [row(*operands) for operands in edge_cases(row)]
    total = cr.sum(every)
    total.backward()  # each case has leaves of its own, so no nan gets from one to another
    compiled = cr.compile(every)
    np.testing.assert_allclose(compiled(), [y.data for y in every], rtol=1e-12)
    compiled = cr.compile(total)
    _, gradient = compiled.value_and_grad()
    np.testing.assert_allclose(gradient, [p.grad for p in compiled.parameters], rtol=1e-12)
    for operands in edge_cases(row)[::7]:
        y = row(*operands)
        y.backward()
        compiled = cr.compile(y)
        value, gradient = compiled.value_and_grad()
        expected = [y.data, *(p.grad for p in compiled.parameters)]
        np.testing.assert_allclose([value, *gradient], expected, rtol=1e-12, err_msg=str(operands))


def test_where_lets_no_nan_through_from_the_branch_not_chosen():
    w = cr.Value(0.0)

    def safe(x):
        return cr.where(cr.less(0.0, x + w), cr.log(x + w), x * w)

    value, gradient = cr.compile(safe).value_and_grad([0.0, math.e, -1.0])
    assert value == pytest.approx(1 / 3)
    assert gradient == pytest.approx((0.0 + 1 / math.e - 1.0) / 3)


def test_nan_in_one_example_stays_in_that_example():
    run, _ = families.mlp(random.Random(0), (3, 4, 1))
    X = batch(3, 3)
    X[1, 2] = nan
    found = cr.compile(lambda x: run(x)[0])(X)
    assert np.isnan(found).tolist() == [False, True, False]


# --- arguments, results, parameters --------------------------------------------------------------


def test_scalars_lists_and_nested_lists_in_and_any_structure_out():
    w = cr.Value(2.0)

    @cr.compile
    def f(x, v, table):
        return {"a": x * w, "b": (v[1], [table[1][0] + x, 3.0])}

    found = f([1.0, 2.0], [[1.0, 5.0], [2.0, 6.0]], np.arange(8.0).reshape(2, 2, 2))
    assert found["a"].tolist() == [2.0, 4.0]
    assert found["b"][0].tolist() == [5.0, 6.0]
    assert found["b"][1][0].tolist() == [3.0, 8.0]
    assert found["b"][1][1].tolist() == [3.0, 3.0]
    with pytest.raises(TypeError, match="needs one number as its result, not 4"):
        f.value_and_grad([1.0], [[1.0, 5.0]], np.ones((1, 2, 2)))


def test_parameters_are_read_anew_at_every_call():
    w = cr.Value(2.0)
    f = cr.compile(lambda x: w * x)
    assert f([3.0]).tolist() == [6.0]
    w.data = 5.0
    assert f([3.0]).tolist() == [15.0]


def test_a_compiled_graph_reads_its_leaves_anew():
    x, y = cr.Value(2.0), cr.Value(3.0)
    f = cr.compile([x * y, x + y])
    assert f() == [6.0, 5.0]
    x.data = -1.0
    assert f() == [-3.0, 2.0]
    with pytest.raises(TypeError, match="takes no arguments"):
        f([1.0])


def test_backward_adds_the_mean_into_grad():
    w, b = cr.Value(2.0), cr.Value(0.0)
    f = cr.compile(lambda x: w * x + b)
    assert f.backward([1.0, 3.0]) == 4.0
    f.backward([1.0, 3.0])
    assert (w.grad, b.grad) == (4.0, 2.0)


def test_results_that_depend_on_nothing():
    w = cr.Value(2.0)
    assert cr.compile(lambda x: 3.0)([1.0, 2.0]).tolist() == [3.0, 3.0]
    assert cr.compile(lambda x: x)([1.0, 2.0]).tolist() == [1.0, 2.0]
    f = cr.compile(lambda x: w)
    assert f([1.0, 2.0]).tolist() == [2.0, 2.0]
    assert f.value_and_grad([1.0, 2.0]) == (2.0, np.array([1.0]))
    value, gradient = cr.compile(lambda x: x * x).value_and_grad([1.0, 3.0])
    assert (value, gradient.shape) == (5.0, (0,))


def test_take_gathers_rows_of_a_table():
    table = families.values(random.Random(0), 5, 3)

    def loss(tokens, y):
        return cr.sum([cr.square(v - y) for t in tokens for v in cr.take(table, t)])

    tokens, y = np.array([[0, 4], [4, 1], [2, 2]]), np.array([1.0, 0.0, 2.0])
    compiled = assert_agrees(loss, tokens, y)
    assert "pick(" in compiled.source
    for wrong in (5, -1, 0.5):
        with pytest.raises(IndexError):
            compiled(np.full((1, 2), wrong), [0.0])
    scalars = cr.compile(lambda k: cr.take(table[0], k))
    assert scalars([2, 0]).tolist() == [table[0][2].data, table[0][0].data]


def test_take_from_computed_entries():
    w = families.values(random.Random(0), 3)

    def loss(x, k):
        return cr.square(cr.take([cr.tanh(w[0] * x), w[1] * x, w[2]], k))

    assert_agrees(loss, batch(4), np.array([0, 1, 2, 1]))


def test_user_primitives_compile():
    name = "test_compiler_softsign"
    row = cr.primitive(
        name,
        lambda x: x / (1.0 + abs(x)),
        (lambda x, y: primitives.divide(1.0, cr.square(1.0 + cr.abs(x))),),
    )
    w = cr.Value(0.7)
    try:
        compiled = assert_agrees(lambda x: row(w * x), batch(4))
        assert f"rows['{name}']" in compiled.source
        pickle.loads(pickle.dumps(compiled))
    finally:
        del TABLE[name]


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "choose",
    [
        lambda x: x if x > 0.0 else -x,
        lambda x: max(x, 0.0),
        lambda x: sorted([x, cr.Value(1.0)])[0],
        lambda x: x and 1.0,
        lambda x: x * (np.array([1.0, 2.0]) < x)[0],
    ],
)
def test_choosing_by_data_is_refused_and_where_is_named(choose):
    with pytest.raises(cr.TraceError, match=r"cr\.where"):
        cr.compile(choose)([1.0, -1.0])
    assert cr.Value(1.0) < 2.0  # only while recording


def test_arguments_that_do_not_fit_are_named():
    f = cr.compile(lambda x, y: x[0] * y)
    X = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"x has shape \(3, 2\) and y \(4,\)"):
        f(X, np.ones(4))
    with pytest.raises(ValueError, match="argument x is ragged"):
        f([[1.0], [1.0, 2.0]], [1.0, 1.0])
    with pytest.raises(TypeError, match="argument y is an array of <U1"):
        f(X, ["a", "b", "c"])
    with pytest.raises(TypeError, match="complex"):
        f(X, np.ones(3) * 1j)
    with pytest.raises(ValueError, match="argument y is a single number"):
        f(X, 1.0)
    with pytest.raises(TypeError, match="expected an array"):
        f()
    with pytest.raises(TypeError, match="expected a function"):
        cr.compile(3.0)
    with pytest.raises(TypeError, match="result of"):
        cr.compile(lambda x: None)([1.0])


def test_an_empty_batch_has_no_mean():
    w = cr.Value(1.0)
    f = cr.compile(lambda x: cr.dot([w, w], x))
    assert f(np.empty((0, 2))).shape == (0,)
    assert f([[1.0, 2.0]]).tolist() == [3.0]
    with pytest.raises(ValueError, match="empty batch"):
        f.value_and_grad(np.empty((0, 2)))
    assert w.grad == 0.0


def test_nothing_is_known_before_the_first_recording():
    f = cr.compile(lambda x: x)
    with pytest.raises(RuntimeError, match=r"record\(X"):
        _ = f.source
    assert f.record([1.0]).source.startswith("import numpy as np")


# --- recordings, processes, threads --------------------------------------------------------------


def test_one_recording_per_shape_of_example():
    calls = []
    w = cr.Value(1.0)

    @cr.compile
    def f(x):
        calls.append(len(x))
        return w * cr.sum(x)

    for columns in (2, 3, 2, 3):
        for rows in (1, 5):
            f(np.ones((rows, columns)))
    assert calls == [2, 3]


def test_programs_pickle_and_run_in_another_process():
    run, _ = families.mlp(random.Random(0), (3, 4, 2))
    f = cr.compile(lambda x, y: families.squared(run(x), y))
    X, Y = batch(5, 3), batch(5, 2)
    expected = f.value_and_grad(X, Y)
    loaded = pickle.loads(pickle.dumps(f))
    assert loaded.value_and_grad(X, Y)[1].tolist() == expected[1].tolist()
    with pytest.raises(
        ValueError, match=r"\(\(4,\), \(2,\)\), but .* recorded for \(\(3,\), \(2,\)\)"
    ):
        loaded(batch(5, 4), Y)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        found = pool.submit(loaded.value_and_grad, X, Y).result()
    assert found[1].tolist() == expected[1].tolist()


def test_a_program_is_plain_data():
    run, _ = families.mlp(random.Random(0), (3, 4, 2))
    program = cr.compile(lambda x: cr.sum(run(x))).record(batch(5, 3)).program

    def plain(x):
        if isinstance(x, tuple):
            return all(map(plain, x))
        return x is None or isinstance(x, (int, float, str))

    assert all(operation.kind in programs.KINDS for operation in program.operations)
    for operation in program.operations:
        assert plain((operation.args, operation.detail, operation.shape))


@pytest.mark.asks_once  # the parameters are those of all threads
def test_runs_may_overlap_in_threads():
    run, _ = families.mlp(random.Random(0), (3, 40, 2))
    f = cr.compile(lambda x: cr.sum(run(x)))
    batches = [batch(200, 3, seed=i) for i in range(8)]
    alone = [f.value_and_grad(X)[1].tolist() for X in batches]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = [g.tolist() for _, g in pool.map(f.value_and_grad, batches)]
    assert together == alone


def test_a_mode_of_the_caller_does_not_disturb_a_recording():
    w = cr.Value(2.0)
    with cr.no_grad():
        assert cr.compile(lambda x: w * x).value_and_grad([3.0])[1].tolist() == [3.0]


# --- the source ----------------------------------------------------------------------------------


def test_the_source_of_the_sigmoid_network_is_the_delta_algorithm():
    theta1 = [[cr.Value(0.1, f"Theta1[{j},{k}]") for k in range(5)] for j in range(3)]
    theta2 = [[cr.Value(0.2, f"Theta2[{j},{k}]") for k in range(4)] for j in range(2)]

    def cost(x, y):
        a2 = [cr.sigmoid(cr.dot(row[1:], x, row[0])) for row in theta1]
        return families.logistic([cr.dot(row[1:], a2, row[0]) for row in theta2], y)

    source = cr.compile(cost).record(batch(5, 4), batch(5, 2)).source
    assert (
        source[source.index("def gradient") :]
        == """def gradient(Theta1, Theta2, X, Y):
    m = len(X)
    a1 = np.ones((m, 5))
    a1[:, 1:] = X
    z2 = a1 @ Theta1.T
    a2 = np.ones((m, 4))
    a2[:, 1:], one_minus_a2 = sigmoid_pair(z2)
    z3 = a2 @ Theta2.T
    delta3 = sigmoid(z3) - Y
    delta2 = (delta3 @ Theta2[:, 1:]) * (a2[:, 1:] * one_minus_a2)
    D1 = delta2.T @ a1 / m
    D2 = delta3.T @ a2 / m
    return (np.logaddexp(0.0, z3) - z3 * Y).sum() / m, [D1, D2]
"""
    )


def test_the_source_runs_by_itself_with_numpy_alone(tmp_path):
    rng = random.Random(0)
    loss = families.attention(rng, 4, 2, 8)
    X, Y = batch(2, 5, 4), batch(2, 5, 4, seed=1)
    f = cr.compile(loss).record(X, Y)
    program = f.program
    vector = np.array([p.data for p in f.parameters])
    thetas = [vector[slice(*o.detail)].reshape(o.shape) for o in program.parameters("gradient")]
    np.savez(tmp_path / "in.npz", X, Y, *thetas)
    script = tmp_path / "lifted.py"
    script.write_text(
        f.source + "\n\nimport sys\n"
        "given = np.load(sys.argv[1])\n"
        "X, Y, *thetas = [given[f'arr_{i}'] for i in range(len(given.files))]\n"
        "assert 'chainrule' not in sys.modules\n"
        "print(repr(float(np.ravel(gradient(*thetas, X, Y)[0])[0])))\n"
    )
    printed = children.printed("-I", "-W", "error", script, tmp_path / "in.npz")
    # The machine adds some sums of products up in one step, in another order than the text.
    assert float(printed) == pytest.approx(f.value_and_grad(X, Y)[0], rel=1e-14)


def test_the_emitted_forms_of_the_primitives_are_those_of_the_table():
    grid = np.array([x for x in POINTS if abs(x) < 1e200])
    for name in [*EXPRESSIONS, *FUNCTIONS]:
        if name not in TABLE or name in ("softmax", "logsumexp", "cross_entropy"):  # of an axis
            continue
        row = TABLE[name]
        args = [cr.Value(0.5) for _ in range(row.arity or 2)]
        f = cr.compile(lambda *xs, row=row: row(*xs))
        columns = (
            [grid] if len(args) == 1 else list(np.array(list(itertools.product(grid, grid))).T)
        )
        with np.errstate(all="ignore"):  # as every program has it
            expected = row.array(*columns)
        np.testing.assert_allclose(f(*columns), expected, rtol=1e-14, atol=0.0)


def test_large_batches_in_parts_are_the_same_mean():
    run, _ = families.mlp(random.Random(0), (3, 300, 1))
    f = cr.compile(lambda x: cr.square(run(x)[0]))
    X = batch(1001, 3)
    value, gradient = f.value_and_grad(X)
    small = [f.value_and_grad(X[i : i + 77]) for i in range(0, 1001, 77)]
    assert value == pytest.approx(np.mean([v for v, _ in small]), rel=1e-12)
    close(gradient, np.mean([g for _, g in small], axis=0))


def test_explain_tells_what_every_pass_found():
    run, _ = families.mlp(random.Random(0), (3, 4, 2))
    text = cr.compile(lambda x: cr.sum(run(x))).record(batch(5, 3)).explain()
    page = (Path(__file__).parents[2] / "docs" / "compiler.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (\d\. .*)$", page, re.MULTILINE)
    for heading in headings[:7]:  # the page and the report give a pass one number and one name
        assert f"\n{heading}\n" in "\n" + text
    assert "4 x sum of" in text
    assert "(1, 3) by (4, 3) transposed" in text


# --- cost ----------------------------------------------------------------------------------------


def test_memory_while_compiling_stays_below_a_kilobyte_per_node():
    rng = random.Random(0)
    run, _ = families.mlp(rng, (6, 8, 4), families.by_loop)
    root = cr.sum([families.squared(run(x), [0.0] * 4) for x in families.numbers(rng, 150, 6)])
    gc.collect()
    tracemalloc.start()
    compiled = cr.compile(root)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert compiled.stats["nodes"] > 20_000
    assert peak / compiled.stats["nodes"] < 1000
