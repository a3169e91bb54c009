"""Programs as others write them; each stands for a kind that once gave wrong numbers or errors."""

import collections
import copy
import math
import operator
import pickle
import random

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import program as programs
from chainrule.compiler.adjoint import Pullback
from chainrule.compiler.printers.rows import FUNCTIONS
from chainrule.engine.table import TABLE

from . import families
from .asking import assert_agrees, recomputed, rounds, run_another

inf, nan = math.inf, math.nan


@pytest.fixture(autouse=True)
def no_names_left():
    before = dict(TABLE)
    yield
    for name in TABLE.keys() - before.keys():
        del TABLE[name]


def points(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def assert_graph_agrees(root):
    """Compare the array program of a graph with the engine."""
    compiled = cr.compile(root)
    arrays = compiled._recorded().arrays
    for _ in rounds(compiled.parameters):
        (again,) = recomputed([root])
        for p in compiled.parameters:
            p.grad = 0.0
        again.backward()
        value, gradient = arrays.gradient([])
        assert value == pytest.approx(again.data, rel=1e-12)
        expected = [p.grad for p in compiled.parameters]
        np.testing.assert_allclose(gradient, expected, rtol=1e-11, atol=1e-11)


# --- weights that are shared in parts ------------------------------------------------------------


def test_an_array_that_is_added_to_through_a_view_starts_from_nothing_at_every_run():
    a, b, c = ([cr.Value(x), cr.Value(y)] for x, y in ((0.1, 0.2), (0.3, 0.4), (0.5, 0.6)))

    def layer(rows, h):
        return [cr.tanh(cr.dot(row, h)) for row in rows]

    compiled = assert_agrees(
        lambda x: cr.dot(b, layer([c, b], layer([a, c], layer([a, b], x)))), points(2, 2)
    )
    assert compiled.value_and_grad([[1.0, 2.0], [3.0, 4.0]])[1][0] == pytest.approx(
        0.21549903405195442, rel=1e-14
    )


@pytest.mark.parametrize("seed", range(60))
def test_networks_that_share_rows_of_weights(seed):
    rng = random.Random(seed)
    width = rng.choice([2, 3])
    rows = families.values(rng, rng.randrange(2, 6), width)
    shapes = [[rng.choice(rows) for _ in range(width)] for _ in range(rng.randrange(2, 5))]
    last, activation = rng.choice(rows), rng.choice([cr.tanh, cr.sigmoid, cr.relu])

    def network(x):
        for layer in shapes:
            x = [activation(cr.dot(row, x)) for row in layer]
        return cr.dot(last, x)

    assert_agrees(network, points(3, width, seed=seed))


# --- sigmoids of a number and of its negative ----------------------------------------------------

INNER = [
    lambda z: cr.sigmoid(z) * cr.sigmoid(-z),
    lambda z: cr.sigmoid(-z) / (1.0 + cr.sigmoid(z)),
    cr.grad(cr.sigmoid),
    cr.grad(cr.silu),
    cr.grad(cr.grad(cr.tanh)),
    cr.grad(cr.grad(cr.sigmoid)),
    cr.grad(cr.grad(cr.softplus)),
    cr.grad(cr.grad(cr.silu)),
    lambda z: cr.grad(cr.grad(lambda t: cr.tanh(t * z)))(z),
]


@pytest.mark.parametrize("which", range(len(INNER)))
def test_a_sigmoid_and_that_of_the_negative(which):
    w = families.values(random.Random(which), 3)
    assert_agrees(lambda x: cr.sum([INNER[which](v * x) for v in w]), points(4))


def test_one_minus_a_sigmoid_keeps_its_digits_in_the_tail():
    w = cr.Value(1.0)
    compiled = cr.compile(lambda x: cr.sigmoid(w * x) * cr.sigmoid(-(w * x)))
    value, gradient = compiled.value_and_grad([40.0])
    assert value == pytest.approx(4.248354255291589e-18, rel=1e-14)
    assert gradient[0] == pytest.approx(-40.0 * 4.248354255291589e-18, rel=1e-14)


def test_every_operation_of_a_forward_program_has_a_rule_backwards():
    backward = {"sum_batch", "spread", "one_minus_square", "logsumexp_slopes", "softmax_pullback"}
    backward |= {"softmax_minus", "surprisals", "linked_matmul"}
    without = backward | {"input", "constant", "parameter", "count", "new", "accumulate"}
    for kind in programs.KINDS.keys() - without:
        assert hasattr(Pullback, f"_{kind}"), kind


def test_the_laplacian_of_a_network_as_in_a_physics_informed_one():
    run, _ = families.mlp(random.Random(0), (1, 4, 1))

    def residual(x):
        second = cr.grad(cr.grad(lambda t: run([t])[0]))
        x = x if isinstance(x, cr.Value) else cr.Value(x)
        return cr.square(second(x) + cr.sin(x))

    assert_agrees(residual, points(5))


# --- own primitives ------------------------------------------------------------------------------


def scale(k):
    return cr.primitive("scale", lambda x: k * x, (lambda x, y: k,))


def test_two_primitives_of_one_name_are_two():
    doubled, hundredfold = scale(2.0), scale(100.0)
    w = cr.Value(0.5)
    compiled = assert_agrees(lambda x: doubled(w * x) + cr.tanh(hundredfold(w)), points(3))
    assert "rows['scale']" in compiled.source
    assert "rows['scale (2)']" in compiled.source
    expected = compiled.value_and_grad([1.0, 2.0])
    loaded = pickle.loads(pickle.dumps(compiled))
    again = scale(5.0)  # and a third one, made since
    for program in (loaded, copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        value, gradient = program.value_and_grad([1.0, 2.0])
        assert (value, gradient.tolist()) == (expected[0], expected[1].tolist())
    assert again(w).data == 2.5


def test_a_primitive_that_is_defined_again_does_not_change_what_was_compiled():
    first, w = scale(2.0), cr.Value(3.0)
    compiled = cr.compile(lambda x: first(w * x)).record([1.0])
    graph, text = cr.compile(first(w)), pickle.dumps(compiled)
    scale(7.0)
    for _ in rounds([w]):
        assert compiled([1.0]).tolist() == [2.0 * w.data]
        assert pickle.loads(text)([1.0]).tolist() == [6.0]  # with the w of its own
        assert graph() == 2.0 * w.data


def test_a_graph_finds_its_own_definition_again_when_it_is_loaded():
    w = cr.Value(3.0)
    doubled = scale(2.0)(w)
    text = pickle.dumps([doubled, scale(7.0)(w)])
    rows = [root.primitive for root in pickle.loads(text)]
    assert [row(1.0) for row in rows] == [2.0, 7.0]
    assert pickle.loads(pickle.dumps(scale(2.0))) is TABLE["scale"]  # a cell that ran again
    assert TABLE["scale"](1.0) == 2.0


def test_a_definition_that_did_not_run_here_is_an_error():
    for slope in (1.0, 2.0):
        row = cr.primitive("twice", lambda x: x, (slope,))
    text = pickle.dumps(row).replace(b"twice", b"other")
    cr.primitive("other", lambda x: x, (1.0,))
    with pytest.raises(LookupError, match="definition 2 of the primitive 'other', but only 1 ran"):
        pickle.loads(text)


NAMES = [
    *FUNCTIONS,
    "rows",
    "np",
    "math",
    "m",
    "forward",
    "gradient",
    "_1",
    "a b",
    "scale (2)",
    "'",
]
NAMES += ["softmax_entry", "take_entry", "divide", "add", "negative", "multiply", "where_", "slots"]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TABLE])
def test_a_name_that_the_printer_uses_too_is_as_good_as_any(name):
    row = cr.primitive(name, lambda x: 3.0 * x * x, (lambda x, y: 6.0 * x,))
    table = families.values(random.Random(0), 3)

    def function(x, i):
        z = cr.take(table, i) * x
        return row(z) + cr.sigmoid(z) * cr.sigmoid(-z) + cr.exp(z) ** 0.5 + cr.exp(x) ** table[0]

    compiled = assert_agrees(function, points(4), np.array([0, 2, 1, 1]))
    loaded = pickle.loads(pickle.dumps(compiled))
    assert loaded(points(4), [0, 2, 1, 1]).tolist() == compiled(points(4), [0, 2, 1, 1]).tolist()


def test_a_name_that_the_printer_uses_too_in_a_graph_without_inputs():
    row = cr.primitive("m", math.erf, (lambda x, y: 2.0 / math.pi**0.5 * cr.exp(-x * x),))
    compiled = cr.compile(row(cr.Value(1.0)))
    for _ in range(3):
        assert compiled() == math.erf(1.0)
        slope = 2.0 / math.sqrt(math.pi) / math.e
        assert compiled.value_and_grad()[1] == pytest.approx([slope], rel=1e-14)


def with_array(array):
    return cr.primitive(
        "own_erf", math.erf, (lambda x, y: 2.0 / math.sqrt(math.pi) * cr.exp(-x * x),), array=array
    )


ARRAYS = [
    np.frompyfunc(math.erf, 1, 1),
    np.vectorize(math.erf),
    lambda x: np.array(np.frompyfunc(math.erf, 1, 1)(x)),
]


@pytest.mark.parametrize("which", range(len(ARRAYS)))
def test_an_array_form_may_come_from_anywhere(which):
    row, w = with_array(ARRAYS[which]), families.values(random.Random(0), 2)
    found = row(np.array([0.5, 1.0]))
    assert found.dtype == float
    assert found.tolist() == [math.erf(0.5), math.erf(1.0)]
    assert_agrees(lambda x: row(w[0] * x) + row(w[1] * row(w[0])), points(4))


def test_an_array_form_from_scipy():
    special = pytest.importorskip("scipy.special")
    row, w = with_array(special.erf), cr.Value(0.7)
    assert_agrees(lambda x: row(w * x) - x, points(4))


def test_an_array_form_of_truth_values_counts():
    above = cr.primitive("above", lambda a, b: 1.0 * (a > b), (None, None), array=np.greater)
    w = families.values(random.Random(0), 2)
    assert above(np.array([1.0]), np.array([0.0])).dtype == float
    assert_agrees(lambda x: (above(w[0], x) + above(w[1], x)) * (-above(x, 0.0) - w[0]), points(6))


def test_an_array_form_may_return_its_argument():
    """It is not added to, or the argument would change with it."""
    reversed_ = cr.primitive("reversed", lambda x: x, (-1.0,), array=lambda x: x)
    slope = cr.primitive("sloped", lambda x: 0.5 * x * x, (lambda x, y: reversed_(x),))
    w = families.values(random.Random(0), 2, 3)

    def function(x):
        z = [cr.dot(row, x) for row in w]
        return cr.sum([slope(v) for v in z]) + z[1] + cr.dot(z, z) + reversed_(x[0] * w[0][0])

    X = points(4, 3)
    before = X.copy()
    assert_agrees(function, X)
    assert (before == X).all()


PARTIALS = {
    "division and power": (lambda x: x / (1.0 + x * x), lambda x, y: (1 - x**2) / (1 + x**2) ** 2),
    "power of a number": (lambda x: 2.0**x, lambda x, y: math.log(2.0) * 2**x),
    "integers": (lambda x: x * x, lambda x, y: 2 * x),
    "abs": (lambda x: x * abs(x), lambda x, y: 2 * abs(x)),
    "greater": (lambda x: max(x, 0.0), lambda x, y: (x > 0) * 1),
    "comparisons": (lambda x: min(max(x, -1.0), 1.0), lambda x, y: (x >= -1) * (x <= 1.0)),
    "equal": (lambda x: x, lambda x, y: 1.0 - (x == 0) + 0.5 * (x != 0)),
    "branch": (lambda x: max(x, 0.1 * x), lambda x, y: 1.0 if x > 0.0 else 0.1),
    "branch on the output": (lambda x: x * x, lambda x, y: 2.0 * x if y > 0.25 else 0.0),
    "math": (math.sin, lambda x, y: math.cos(x)),
    "numpy": (math.sin, lambda x, y: np.cos(x)),
    "max": (lambda x: x * x, lambda x, y: max(2.0 * x, 1)),
    "remainder": (lambda x: x * x, lambda x, y: 2 * x + x % 1.0 - x // 2.0),
    "an integer": (lambda x: 3.0 * x, lambda x, y: 3),
}


@pytest.mark.parametrize("name", PARTIALS)
def test_a_partial_is_written_as_the_engine_takes_it(name):
    row = cr.primitive("own", PARTIALS[name][0], (PARTIALS[name][1],))
    w = [cr.Value(0.7), cr.Value(-1.3)]
    X = np.array([0.0, 1.0, -2.0, 0.25, 3.0])
    compiled = assert_agrees(lambda x: cr.sum([cr.tanh(row(v * x)) for v in w]), X)
    loaded = pickle.loads(pickle.dumps(compiled))
    assert loaded(X).tolist() == compiled(X).tolist()
    total = cr.compile(lambda x: cr.sum([cr.tanh(row(v * x)) for v in w])).record(X)
    slopes = pickle.loads(pickle.dumps(total)).value_and_grad(X)[1]
    assert slopes.tolist() == total.value_and_grad(X)[1].tolist()


def test_partials_of_any_number_of_arguments_may_branch():
    row = cr.primitive(
        "largest_square", lambda *xs: max(x * x for x in xs),
        variadic=lambda xs, y, linked: [2.0 * xs[i] if xs[i] ** 2 == y else 0 for i in linked],
    )  # fmt: skip
    w = [cr.Value(0.7), cr.Value(-1.3), cr.Value(0.2)]
    assert_agrees(lambda x: row(*[a * b for a, b in zip(w, x, strict=True)], 0.1), points(6, 3))


def test_a_branch_in_a_partial_is_refused_within_a_transform_and_says_whose_it_is():
    row = cr.primitive("bent", lambda x: max(x, 0.1 * x), (lambda x, y: 1.0 if x > 0 else 0.1,))
    f = cr.compile(lambda x: row(x) * x)
    assert f.jacobian([2.0, -2.0]).tolist() == [4.0, -0.4]
    with pytest.raises(cr.TraceError, match=r"^in a partial of 'bent': .*cr\.where"):
        f.hessian([2.0])


def test_a_partial_that_fails_for_some_numbers_says_what_it_says_in_the_engine():
    limits = {1.0: 2.0}
    row, w = cr.primitive("own", math.sin, (lambda x, y: limits[x],)), cr.Value(1.0)
    compiled = cr.compile(lambda x: row(w * x)).record([1.0])
    assert compiled([3.0]).tolist() == [math.sin(3.0)]
    assert compiled.value_and_grad([1.0])[1].tolist() == [2.0]
    with pytest.raises(KeyError, match=r"3\.0"):
        compiled.value_and_grad([3.0])
    assert compiled.value_and_grad([1.0])[1].tolist() == [2.0]


@pytest.mark.parametrize("test", [bool, float, int, math.sin, operator.not_])
def test_a_symbol_is_neither_true_nor_a_number(test):
    seen = []

    def partial(x, y):
        seen.append(x)
        return 1.0

    row, w = cr.primitive("own", lambda x: x, (partial,)), cr.Value(1.0)
    cr.compile(lambda x: row(w * x)).record([1.0])
    with pytest.raises(TypeError):
        test(seen[-1])


# --- tables --------------------------------------------------------------------------------------


def test_tables_of_which_every_position_has_its_own():
    a, b = families.values(random.Random(0), 2, 3)
    indices = np.array([[0, 1], [2, 2], [1, 0]])
    assert_agrees(lambda i: cr.take(a, i[0]) + cr.tanh(cr.take(b, i[1])), indices)
    assert_agrees(lambda i: cr.take(a, i[0]) * cr.take(a, i[1]), indices)


def test_a_row_that_no_example_chooses():
    table = families.values(random.Random(0), 2, 1)
    w = families.values(random.Random(1), 2)
    assert_agrees(lambda x: cr.take(table, 0.0 * x)[0] + cr.tanh(x), points(3))
    assert_agrees(lambda x: cr.take(table, 0.0 * w[0] + 1.0)[0] + x, points(3))


def test_the_class_at_every_position():
    """As of a language model: logits for every position, of which the target takes one."""
    table, head = families.values(random.Random(0), 6, 4), families.values(random.Random(1), 6, 4)

    def loss(tokens, targets):
        total = []
        for token, target in zip(tokens, targets, strict=True):
            logits = families.linear(head, [cr.tanh(v) for v in cr.take(table, token)])
            total.append(-cr.log(cr.take(cr.softmax(logits), target)))
        return cr.mean(total)

    rng = np.random.default_rng(0)
    assert_agrees(loss, rng.integers(0, 6, (3, 5)), rng.integers(0, 6, (3, 5)))


def test_a_table_of_matrices_of_lists_and_of_arrays():
    deep = families.values(random.Random(0), 3, 2, 2, 2)
    rotations = np.array(families.values(random.Random(1), 4, 2, 2))
    Pair = collections.namedtuple("Pair", "first second")
    pairs = [Pair(*row) for row in families.values(random.Random(2), 4, 2)]

    def function(i, x):
        (c, d) = cr.take(deep, i)[1]
        matrix, pair = cr.take(rotations, i), cr.take(pairs, i)
        assert isinstance(matrix, np.ndarray)
        y = matrix @ np.array(x)
        return [y, cr.dot(c, d), cr.dot(y.tolist(), [pair.first, pair.second]), pair]

    assert_agrees(function, np.array([0, 2, 1, 1]), points(4, 2))


# --- results -------------------------------------------------------------------------------------

Result = collections.namedtuple("Result", "loss accuracy")


class Row(tuple):
    __slots__ = ()


def test_results_come_back_in_the_shape_in_which_they_were_returned():
    w = [cr.Value(2.0), cr.Value(3.0)]
    compiled = cr.compile(
        lambda x: Result(w[0] * x, [Row((x, w[1])), np.array([[w[0], x * w[1]]] * 3), {"a": x}])
    )
    for program in (compiled.record([1.0]), pickle.loads(pickle.dumps(compiled))):
        for x in ([1.0, 2.0, 4.0], [5.0], [1.0, 2.0, 4.0]):
            found = program(x)
            assert type(found) is Result
            assert found.loss.tolist() == [2.0 * v for v in x]
            row, array, named = found.accuracy
            assert (type(row), type(array), type(named)) == (Row, np.ndarray, dict)
            assert row[0].tolist() == named["a"].tolist() == x
            assert (array.shape, array.dtype) == ((3, 2, len(x)), float)
            assert array[2, 1].tolist() == [3.0 * v for v in x]
    graph = cr.compile(Result(w[0] * w[1], np.array([w[0], w[1] * 2.0])))
    for _ in range(3):
        assert graph().loss == 6.0
        assert graph().accuracy.tolist() == [2.0, 6.0]
    array = cr.compile(np.array([[w[0] * w[1]], [w[0]]]))
    for _ in rounds(array.parameters):
        assert array().tolist() == [[w[0].data * w[1].data], [w[0].data]]
    assert cr.compile(lambda x: np.array([w[0] * x])).value_and_grad([3.0])[1].tolist() == [3.0]


# --- irregular graphs ----------------------------------------------------------------------------


def products_both_ways(seed, size):
    """Return a graph in which a * b and b * a both occur, and hardly any two nodes are alike."""
    rng = random.Random(seed)
    pool = [cr.Value(rng.gauss(0.0, 1.0)) for _ in range(6)]
    for _ in range(size):
        a, b = rng.choice(pool), rng.choice(pool)
        pool += rng.choice([
            [a * b, b * a], [a * b], [cr.tanh(a + b)], [cr.sin(a)], [a - b],
            [cr.tanh(a * b + b * a)], [cr.maximum(a, b), cr.maximum(b, a)], [cr.tanh(a / 3.0)],
        ])  # fmt: skip
    return cr.sum([cr.tanh(v) for v in pool[-20:]])


@pytest.mark.parametrize("seed", range(20))
def test_products_in_either_order_in_irregular_graphs(seed):
    assert_graph_agrees(products_both_ways(seed, 60))


# --- powers --------------------------------------------------------------------------------------

BASES = [-inf, -0.0, 0.0, 4.0, -4.0, inf, nan]


@pytest.mark.parametrize("exponent", [0.5, 2.0, -1.0, 1.0, 0.0, -0.5, 3.0])
@pytest.mark.parametrize("base", BASES)
def test_powers_of_the_odd_bases(base, exponent):
    p = cr.Value(exponent)
    expected = (cr.Value(base) ** p).data
    zero = cr.Value(-0.0)
    for function, arrays in (
        (lambda x: x**p, [[base]]),
        (lambda x: x**p, [[base, 2.0]]),
        (lambda x: (x + zero) ** p, [[base]]),
        (lambda x: [(x + zero) ** p, (x - 1.0 + zero) ** p], [[base]]),
        (lambda x, q: x**q, [[base], [exponent]]),
        (lambda x, q: x**q, [[base, base], [exponent, 1.5]]),
        (lambda x: x**exponent, [[base, 1.0]]),
        (lambda q: base**q, [[exponent, 1.0]]),
    ):
        compiled = cr.compile(function)
        for _ in range(3):
            found = float(np.ravel(compiled(*arrays))[0])
            assert found == expected or (math.isnan(found) and math.isnan(expected))
            assert math.isnan(found) or math.copysign(1.0, found) == math.copysign(1.0, expected)
            run_another()


# --- many shapes ---------------------------------------------------------------------------------


def test_recordings_that_were_not_used_for_long_are_given_up(monkeypatch):
    from chainrule.compiler import recorded_function as module

    monkeypatch.setattr(module, "KEPT", 5)
    w, calls = cr.Value(2.0), []

    @cr.compile
    def total(x):
        calls.append(len(x))
        return w * cr.sum(x)

    for size in (1, 2, 3, 1, 4, 5, 1, 6, 7, 1, 2):
        assert total(np.ones((2, size))).tolist() == [2.0 * size] * 2
        assert len(total._lifted) <= 5
    assert calls == [1, 2, 3, 4, 5, 6, 7, 2]
    loaded = pickle.loads(pickle.dumps(total))
    assert loaded(np.ones((1, 7))).tolist() == [14.0]
