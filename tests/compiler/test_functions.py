"""Compiled functions of many shapes: structures in and out, tables, and a user's own primitives."""

import concurrent.futures
import math
import multiprocessing
import pickle
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import nn
from chainrule.engine import table as primitives
from chainrule.engine.table import TABLE

from . import families
from .asking import assert_agrees


def batch(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# --- structures and tables -----------------------------------------------------------------------


def values_of(numbers):
    """Return *numbers* as Values, which a random graph treats as it treats those of a recording."""
    return [v if isinstance(v, cr.Value) else cr.Value(v) for v in numbers]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(1, 15))
def test_random_functions_with_a_selection_in_the_middle(seed, size):
    leaves = families.values(random.Random(seed), 3)
    rows = families.values(random.Random(seed + 1), 4, 2)

    def function(x, v, table, k):
        own = values_of([x, *v, *(entry for row in table for entry in row)])
        computed = [families.random_graph(seed + i, size, leaves, own) for i in range(3)]
        mixed = cr.take([computed[0], leaves[0], computed[1], 0.5], k)
        given_row = cr.take(table, k - 1.0)
        last = families.random_graph(seed + 9, size, leaves, [*own, *computed])
        return {
            "a": last * mixed,
            "b": [computed[2], (cr.dot(cr.take(rows, k), v), mixed)],
            "c": {"d": [[given_row[0] * leaves[1]], []]},
        }

    m = 5
    rng = np.random.default_rng(seed % 1000)
    k = rng.integers(1, 4, size=m)
    x, v, table = rng.normal(size=m), rng.normal(size=(m, 2)), rng.normal(size=(m, 3, 2))
    assert_agrees(function, x, v, table, k)


def test_a_selection_feeds_a_network_that_feeds_a_selection():
    rng = random.Random(0)
    embedding, model = families.values(rng, 6, 3), nn.MLP(3, [4, 5], activation="tanh", seed=0)

    def function(token, following):
        outputs = model(cr.take(embedding, token))
        return -cr.log(cr.take(cr.softmax(outputs), following))

    tokens = np.array([0, 5, 2, 2, 1, 0])
    compiled = assert_agrees(function, tokens, np.array([4, 0, 0, 3, 1, 4]))
    with pytest.raises(IndexError, match="example 5: take: there is no row 6 in a table of 6"):
        compiled([0, 1, 2, 3, 4, 6], [0] * 6)
    with pytest.raises(IndexError, match="example 0: take: there is no row 5 in a table of 5"):
        compiled([0, 1], [5, 0])
    with pytest.raises(IndexError, match=r"example 1: take: there is no row 0\.5 in a table of 5"):
        compiled([0, 1], [1, 0.5])


def test_selections_within_selections():
    rng = random.Random(1)
    cube, order = families.values(rng, 3, 2), [2.0, 0.0, 1.0]

    def function(i, j):
        return cr.take(cr.take(cube, cr.take(order, i)), j)

    assert_agrees(function, np.array([0, 1, 2, 2, 0]), np.array([0, 1, 1, 0, 1]))


def test_results_may_repeat_inputs_parameters_and_constants():
    w = cr.Value(3.0)
    assert_agrees(lambda x, v: [x, x, w, w, 2.5, v, (v[0] * w, x)], batch(4), batch(4, 2))


def test_permuting_the_batch_permutes_the_answers_and_leaves_the_mean():
    leaves = families.values(random.Random(3), 4)
    function = lambda x: families.random_graph(11, 60, leaves, values_of(x))  # noqa: E731
    X = batch(9, 3)
    compiled = cr.compile(function)
    found, (mean, gradient) = compiled(X), compiled.value_and_grad(X)
    assert len(set(found.tolist())) == 9
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(9)
        assert compiled(X[order]).tolist() == found[order].tolist()
        again, slopes = compiled.value_and_grad(X[order])
        assert again == pytest.approx(mean, rel=1e-14)
        np.testing.assert_allclose(slopes, gradient, rtol=1e-12)


# --- a user's own primitives ---------------------------------------------------------------------


@pytest.fixture
def own():
    """Primitives of every kind that a user can make; gone from the table afterwards."""
    before = dict(TABLE)
    made = {
        "unary": cr.primitive(
            "own_unary", lambda x: x / (1.0 + abs(x)),
            (lambda x, y: primitives.divide(1.0, cr.square(1.0 + cr.abs(x))),),
        ),
        "binary": cr.primitive(
            "own_binary", lambda a, b: a * math.sin(b),
            (lambda a, b, y: cr.sin(b), lambda a, b, y: a * cr.cos(b)),
        ),
        "constant slope": cr.primitive("own_linear", lambda a, b: 2.0 * a - b, (2.0, -1.0)),
        "no slope": cr.primitive(
            "own_rounded", lambda a, b: a + math.floor(b), (lambda a, b, y: 1.0, None)
        ),
        "default": cr.primitive(
            "own_scaled", lambda x, k: k * x, (lambda x, k, y: k, lambda x, k, y: x),
            defaults=(3.0,),
        ),
        "variadic": cr.primitive(
            "own_norm", lambda *xs: math.sqrt(math.fsum(x * x for x in xs)),
            variadic=lambda args, y, linked: [primitives.divide(args[i], y) for i in linked],
        ),
        "array": cr.primitive(
            "own_cubed", lambda x: x**3, (lambda x, y: 3.0 * cr.square(x),),
            array=lambda x: x * x * x,
        ),
        "choosing": cr.primitive(
            "own_choice", lambda c, a, b: a if c > 0.0 else b,
            (None, lambda c, a, b, y: cr.where(cr.less(0.0, c), 1.0, 0.0),
             lambda c, a, b, y: cr.where(cr.less(0.0, c), 0.0, 1.0)),
        ),
    }  # fmt: skip
    yield made
    for name in TABLE.keys() - before.keys():
        del TABLE[name]


KINDS = [
    "unary",
    "binary",
    "constant slope",
    "no slope",
    "default",
    "variadic",
    "array",
    "choosing",
]


@pytest.mark.parametrize("kind", KINDS)
def test_own_primitives_in_both_faces(own, kind):
    row = own[kind]
    w = [cr.Value(v) for v in (0.7, -1.3, 0.4)]
    count = {"unary": 1, "default": 1, "array": 1, "choosing": 3, "variadic": 3}.get(kind, 2)

    def function(x):
        args = [a * b for a, b in zip(w, x, strict=True)][:count]
        return [row(*args), row(*args[:-1], 0.25), row(*x[:count])]

    compiled = assert_agrees(function, batch(6, 3))
    assert f"rows['{row.name}']" in compiled.source
    loaded = pickle.loads(pickle.dumps(compiled))
    np.testing.assert_array_equal(loaded(batch(6, 3)), compiled(batch(6, 3)))

    root = cr.sum(function([1.5, 0.5, -2.0])[:2])
    graph = cr.compile(root)
    for p in graph.parameters:
        p.grad = 0.0
    root.backward()
    value, gradient = graph.value_and_grad()
    assert value == pytest.approx(root.data, rel=1e-12)
    np.testing.assert_allclose(gradient, [p.grad for p in graph.parameters], rtol=1e-12)


def test_every_kind_of_own_primitive_is_in_these_tests(own):
    assert list(own) == KINDS


# --- other processes, and nothing half done ------------------------------------------------------


def test_programs_with_tables_losses_and_ties_run_in_another_process():
    embedding = families.values(random.Random(0), 4, 2)
    model = nn.MLP(2, [3, 2], activation="relu", seed=1)

    def cost(token, x, label):
        inputs = [cr.maximum(a, b) for a, b in zip(cr.take(embedding, token), x, strict=True)]
        return nn.losses.cross_entropy(model(inputs), label) + nn.losses.l2(model, 0.1, 4)

    arrays = [np.array([0, 3, 1, 3]), batch(4, 2), np.array([0, 1, 1, 0])]
    compiled = cr.compile(cost).record(*arrays)
    value, gradient = compiled.value_and_grad(*arrays)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        there, slopes = pool.submit(compiled.value_and_grad, *arrays).result()
        wrong = pool.submit(compiled.value_and_grad, [0, 1, 2, 4], *arrays[1:])
        with pytest.raises(IndexError, match="example 3: take: there is no row 4 in a table of 4"):
            wrong.result()
    assert (there, slopes.tolist()) == (value, gradient.tolist())


@pytest.mark.parametrize(
    "wrong",
    [
        ([0, 9], [[1.0, 2.0]] * 2, [0, 1]),
        ([0, 1], [[1.0, 2.0]] * 2, [0, 2]),
        ([0, 1], [[1.0, 2.0, 3.0]] * 2, [0, 1]),
        ([0, 1], [[1.0, 2.0]], [0, 1]),
        ([0, 1], [[1.0, "a"]] * 2, [0, 1]),
        ([], np.empty((0, 2)), []),
        ([0, 1], [[1.0, 2.0]] * 2),
    ],
)
def test_a_backward_pass_that_fails_leaves_every_gradient_as_it_was(wrong):
    embedding = families.values(random.Random(0), 4, 2)
    model = nn.MLP(2, [3, 2], seed=1)

    def cost(token, x, label):
        inputs = [a + b for a, b in zip(cr.take(embedding, token), x, strict=True)]
        return nn.losses.cross_entropy(model(inputs), label)

    compiled = cr.compile(cost)
    compiled.backward([0, 1], [[1.0, 2.0]] * 2, [0, 1])
    before = [p.grad for p in compiled.parameters]
    assert any(before)
    with pytest.raises((TypeError, ValueError, IndexError)):
        compiled.backward(*wrong)
    assert [p.grad for p in compiled.parameters] == before


def test_a_mean_that_is_no_number_is_a_result_all_the_same():
    w = [cr.Value(1.0), cr.Value(2.0)]
    compiled = cr.compile(lambda x: cr.sum([w[0] * x, w[1] * x, cr.log(w[0] - 1.0) * 0.0]))
    value = compiled.backward([2.0])
    assert math.isnan(value)
    assert math.isnan(w[0].grad)
    assert w[1].grad == 2.0


# --- the order of the parameters -----------------------------------------------------------------


def test_parameters_stand_in_the_order_in_which_they_were_made():
    from chainrule import nn

    model = nn.MLP(3, [4, 2], seed=1)
    made = sorted(model.parameters(), key=lambda p: p.serial)
    functions = [
        lambda x: cr.sum(model(x)),
        lambda x: model(x)[1] * model(x)[0],
        lambda x: model.layers[0](x)[2] + cr.square(made[-1]),
        lambda x: cr.sum([cr.square(p) for p in reversed(made)]) * x[0],
    ]
    for function in functions:
        compiled = cr.compile(function).record([[1.0, 2.0, 3.0]])
        assert list(compiled.parameters) == [p for p in made if p in set(compiled.parameters)]


def test_parameters_of_a_narrow_graph_stand_in_that_order_before_and_after_there_are_arrays():
    u, w = cr.Value(0.3), cr.Value(0.1)

    def newton(x):
        root = x * w
        for _ in range(100):
            root = 0.5 * (root + x / root) + 0.001 * u * w
        return root

    compiled = cr.compile(newton)
    first = compiled.value_and_grad([2.0, 3.0])[1]
    assert compiled.parameters == (u, w)
    assert "theta" in compiled.source
    assert compiled.parameters == (u, w)
    many = compiled.value_and_grad([2.0, 3.0] * 500)[1]
    assert many == pytest.approx(first, rel=1e-12)
    reverse = cr.compile(newton, wrt=[w, u])
    for batch in ([2.0, 3.0], [2.0, 3.0] * 500):
        assert reverse.value_and_grad(batch)[1] == pytest.approx(first[::-1], rel=1e-12)


def test_the_gradient_is_with_respect_to_what_is_asked_for():
    u, v, w, unused = (cr.Value(x) for x in (2.0, 3.0, 5.0, 7.0))
    compiled = cr.compile(lambda x: u * x + v * w * x, wrt=[w, unused, u])
    assert compiled.parameters == (w, unused, u)
    for k in range(3):
        u.data = 2.0 + k
        assert compiled([1.0, 3.0]).tolist() == [17.0 + k, 51.0 + 3 * k]
        value, slopes = compiled.value_and_grad([1.0, 3.0])
        assert (value, slopes.tolist()) == (34.0 + 2 * k, [6.0, 0.0, 2.0])
    compiled.backward([1.0, 3.0])
    assert [p.grad for p in (u, v, w, unused)] == [2.0, 0.0, 6.0, 0.0]
    of_a_graph = cr.compile(u * v * w, wrt=v)
    assert (of_a_graph.parameters, of_a_graph.value_and_grad()) == ((v,), (60.0, [20.0]))
    again = pickle.loads(pickle.dumps(compiled))
    assert again.value_and_grad([1.0, 3.0])[1].tolist() == [6.0, 0.0, 2.0]


def test_what_is_no_leaf_cannot_be_asked_for():
    u = cr.Value(2.0)
    with pytest.raises(TypeError, match=r"wrt holds str; expected the leaves .*parameters\(\)"):
        cr.compile(lambda x: u * x, wrt=["u"])
    with pytest.raises(TypeError, match=r"wrt holds .*, which was computed by '\*'; expected leav"):
        cr.compile(lambda x: u * x, wrt=[u * u])
    with pytest.raises(ValueError, match="wrt holds a leaf twice"):
        cr.compile(lambda x: u * x, wrt=[u, u])
    with pytest.raises(TypeError, match="already a compiled function; give wrt and threads"):
        cr.compile(cr.compile(lambda x: u * x), wrt=[u])
