"""Programs of every family on every array library: the numbers of the engine."""

import itertools
import random

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.engine import bodies

from .. import families
from .libraries import numpy_of


def eager(function, arrays, parameters):
    """Return the results for all examples, their mean and its gradient, by the engine."""
    for p in parameters:
        p.grad = 0.0
    results = [function(*example) for example in zip(*(x.tolist() for x in arrays), strict=True)]
    mean = cr.mean(results)
    mean.backward()
    return [r.data for r in results], mean.data, np.array([p.grad for p in parameters])


def batch(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def mlp():
    run, thetas = families.mlp(random.Random(1), (3, 4, 2, 3), activation=cr.gelu)
    targets = np.eye(3)[[0, 2, 1, 0]]
    loss = lambda x, y: families.cross_entropy(run(x), y) + families.penalty(thetas)  # noqa: E731
    return loss, (batch(4, 3), targets)


def classes():
    model = nn.MLP(3, [5, 4], activation="tanh", seed=0)
    return lambda x, k: nn.losses.cross_entropy(model(x), k), (
        batch(5, 3),
        np.array([0, 3, 1, 2, 2]),
    )


def attention():
    loss = families.attention(random.Random(0), 4, 2, 8)
    return loss, (batch(2, 5, 4), batch(2, 5, 4, seed=1))


def convolution():
    return families.convolution(random.Random(0), channels=3), (batch(3, 9),)


def recurrent():
    return families.recurrent(random.Random(0), 3, 4), (batch(3, 4, 3),)


def table():
    rows, scale = families.values(random.Random(0), 5, 4), cr.Value(0.7)
    function = lambda i, x: cr.dot(cr.take(rows, i), x) * scale  # noqa: E731
    return function, (np.array([1.0, 4.0, 1.0]), batch(3, 4))


def choices():
    w = families.values(random.Random(0), 3, 3)

    def rectified(x):
        z = [cr.dot(row, x) for row in w]
        chosen = [cr.where(cr.less(0.0, v), cr.log(cr.abs(v)), v) for v in z]
        return cr.sum(chosen) + cr.maximum(*z) + cr.logsumexp(z)

    return rectified, (batch(4, 3),)


def stretches():
    w = families.values(random.Random(0), 8)

    def function(x):
        hidden = [cr.tanh(a * x) for a in w]
        rows = [[hidden[3 * j % 8] for j in range(k)] for k in range(3, 8)]
        return cr.sum([cr.square(cr.softmax(row)[1]) + cr.maximum(*row) for row in rows])

    return function, (batch(4),)


def newton():
    w = [cr.Value(0.1), cr.Value(0.2)]

    def function(x):
        root = x * x + 1.0
        for _ in range(60):
            root = 0.5 * (root + (x * x + 1.0) / root) + 0.001 * w[0]
        return root * w[1]

    return function, (batch(3),)


def own():
    cube = cr.primitive("cube on a library", lambda x: x * x * x, (lambda x, y: 3.0 * x * x,))
    root = cr.primitive(
        "root on a library", lambda x: abs(x) ** 0.5, (lambda x, y: 0.5 / y,),
        array=lambda x: np.sqrt(np.abs(x)),
    )  # fmt: skip
    w = families.values(random.Random(0), 3)
    return lambda x: cr.sum([cube(a * x) + root(a + x) for a in w]), (batch(4),)


PROGRAMS = (
    mlp, classes, attention, convolution, recurrent, table, choices, stretches, newton, own,
)  # fmt: skip


def close(found, expected):
    floor = 1e-12 * np.max(np.abs(expected), initial=0.0)
    np.testing.assert_allclose(numpy_of(found), expected, rtol=1e-12, atol=floor)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_gives_the_numbers_of_the_engine(program, backend):
    function, arrays = program()
    compiled = cr.compile(function, backend=backend).record(*arrays)
    for data in (None, 1.1):
        for p in compiled.parameters if data else ():
            p.data = p.data * data
        results, mean, gradient = eager(function, arrays, compiled.parameters)
        close(compiled(*arrays), results)
        value, slopes = compiled.value_and_grad(*arrays)
        close(value, mean)
        close(slopes, gradient)
    for p in compiled.parameters:
        p.grad = 0.0
    assert compiled.backward(*arrays) == pytest.approx(mean, rel=1e-12)
    close(np.array([p.grad for p in compiled.parameters]), gradient)


@pytest.mark.parametrize("steps", [12, 40])
def test_a_scan_stays_a_loop(steps, backend, monkeypatch):
    monkeypatch.setattr(bodies, "LEAST_WORK", 1)
    rate, bias = cr.Value(0.1), cr.Value(0.3)

    def function(x, pushes):
        def step(state, push):
            size, speed = state
            speed = 0.9 * speed - rate * cr.sin(size) + push * bias
            return (size + 0.1 * speed, speed), cr.square(size)

        (size, _), squares = cr.scan(step, (x, 0.0 * bias), pushes)
        return size + cr.mean(squares)

    arrays = batch(3), batch(3, steps)
    compiled = cr.compile(function, backend=backend).record(*arrays)
    assert "body recorded once" in compiled.stats["way"]
    assert "scan(" in compiled.source
    results, mean, gradient = eager(function, arrays, compiled.parameters)
    close(compiled(*arrays), results)
    value, slopes = compiled.value_and_grad(*arrays)
    close(value, mean)
    close(slopes, gradient)
    assert compiled.source.count("xp.sin(") + compiled.source.count("xp.cos(") == 6


def test_a_leaf_that_only_a_loop_reads_has_a_derivative_too(backend, monkeypatch):
    monkeypatch.setattr(bodies, "LEAST_WORK", 1)
    w = cr.Value(1.0)

    def function(x):
        cr.scan(lambda c, _: ([w + 1.0], None), [1.0], length=9, checkpoint=1)
        return 1.0

    compiled = cr.compile(function, backend=backend).record([0.5])
    value, slopes = compiled.value_and_grad([0.5, 1.0])
    assert float(value) == 1.0
    assert numpy_of(slopes).tolist() == [0.0] * len(compiled.parameters)


def test_results_of_any_structure_and_a_graph(backend):
    w, v = cr.Value(2.0), cr.Value(-1.0)
    f = cr.compile(lambda x: {"a": x * w, "b": (x, [v + 0.0 * x, 3.0])}, backend=backend)
    found = f([1.0, 2.0])
    assert numpy_of(found["a"]).tolist() == [2.0, 4.0]
    assert numpy_of(found["b"][1][1]).tolist() == [3.0, 3.0]
    graph = cr.compile([w * v, w + v], backend=backend)
    assert [float(x) for x in graph()] == [-2.0, 1.0]
    w.data = 5.0
    assert [float(x) for x in graph()] == [-5.0, 4.0]
    _, slopes = cr.compile(w * v, backend=backend).value_and_grad()
    assert numpy_of(slopes).tolist() == [-1.0, 5.0]


def test_derivatives_of_every_kind_are_those_of_the_machine(backend):
    w = families.values(random.Random(0), 2, 3)

    def layer(x):
        return [cr.tanh(cr.dot(row, x)) for row in w]

    def cost(x):
        return cr.sum([cr.square(v) for v in layer(x)])

    X, one = batch(4, 3), np.array([1.0, -2.0, 0.5])
    here, there = cr.compile(layer), cr.compile(layer, backend=backend)
    for options in ({}, {"mode": "forward"}, {"wrt": w[0]}):
        close(there.jacobian(X, **options), here.jacobian(X, **options))
    for a, b in zip(there.jvp(X, tangents=one), here.jvp(X, tangents=one), strict=True):
        for x, y in zip(a, b, strict=True):
            close(x, y)
    here, there = cr.compile(cost), cr.compile(cost, backend=backend)
    close(there.hessian(X), here.hessian(X))
    close(there.hvp(X, vector=one), here.hvp(X, vector=one))


def test_nan_stays_in_its_example_and_nothing_leaks_from_the_other_branch(backend):
    w = cr.Value(1.0)

    def safe(x):
        return cr.where(cr.less(0.0, x * w), cr.log(x * w), x * w)

    f = cr.compile(safe, backend=backend)
    value, slope = f.value_and_grad([-1.0, 2.0])
    assert float(value) == pytest.approx((np.log(2.0) - 1.0) / 2, rel=1e-12)
    assert numpy_of(slope).tolist() == pytest.approx([0.0])
    assert np.isnan(numpy_of(f([1.0, np.nan, -3.0]))).tolist() == [False, True, False]


@pytest.mark.parametrize("seed", range(6))
def test_random_graphs(seed, backend):
    leaves = families.values(random.Random(seed), 3)

    def function(x):
        x = [v if isinstance(v, cr.Value) else cr.Value(v) for v in x]
        return families.random_graph(seed, 25, leaves, x)

    arrays = (batch(3, 3, seed=seed),)
    compiled = cr.compile(function, backend=backend).record(*arrays)
    results, mean, gradient = eager(function, arrays, compiled.parameters)
    close(compiled(*arrays), results)
    value, slopes = compiled.value_and_grad(*arrays)
    close(value, mean)
    close(slopes, gradient)


def test_ties_are_shared_by_our_conventions(backend):
    w = [cr.Value(1.0) for _ in range(3)]
    f = cr.compile(lambda x: cr.maximum(w[0], x[0], w[1]) + cr.relu(w[2] - x[1]), backend=backend)
    for x in itertools.product([1.0, 0.0, 2.0], repeat=2):
        for p in w:
            p.grad = 0.0
        (cr.maximum(w[0], x[0], w[1]) + cr.relu(w[2] - x[1])).backward()
        _, slopes = f.value_and_grad([list(x)])
        assert numpy_of(slopes).tolist() == [p.grad for p in w]
