"""The compiled programs at the edges: the table of conventions, ties, and constants of both kinds.

A Value of the engine stands in a compiled function for what depends on a parameter; numbers and
what is computed from the inputs alone are its constants.
"""

import itertools
import math
import random

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler.builder import Builder
from chainrule.compiler.dependence import dependence
from chainrule.compiler.program import Program
from chainrule.engine import table as primitives
from chainrule.engine.table import BUILT_IN, TABLE

from ..oracles.edges import EDGES, id_of
from . import families

inf, nan = math.inf, math.nan


def same(got, expected):
    """Equal to a relative 1e-12; infinities of one sign, nan and zero exactly."""
    return math.isclose(got, expected, rel_tol=1e-12) or (math.isnan(got) and math.isnan(expected))


def assert_same(got, expected):
    assert len(got) == len(expected)
    assert all(map(same, got, expected)), (got, expected)


def eager(function, example, parameters):
    """Return the result for one example of plain numbers, and its gradient, by the engine."""
    for p in parameters:
        p.grad = 0.0
    result = function(*example)
    if not isinstance(result, cr.Value):
        return result, [0.0] * len(parameters)
    result.backward()
    return result.data, [p.grad for p in parameters]


# --- the table of the edges ----------------------------------------------------------------------


def by_graph(f, point):
    """Return value and derivatives of the compiled graph."""
    inputs = [cr.Value(x) for x in point]
    compiled = cr.compile(f(*inputs))
    value, gradient = compiled.value_and_grad()
    assert same(compiled(), value)
    slopes = dict(zip(compiled.parameters, gradient.tolist(), strict=True))
    return compiled(), [slopes.get(x, 0.0) for x in inputs]


def by_function(f, point):
    """Return value and derivatives of a compiled function that adds parameters to its inputs."""
    shifts = [cr.Value(-0.0) for _ in point]  # x + -0.0 is x, also for both zeros
    compiled = cr.compile(lambda *x: f(*(a + s for a, s in zip(x, shifts, strict=True))))
    value, gradient = compiled.value_and_grad(*([x] for x in point))
    slopes = dict(zip(compiled.parameters, gradient.tolist(), strict=True))
    of_three = compiled(*([x, 0.25, 0.5] for x in point))
    assert same(of_three[0], value)
    return of_three[0], [slopes.get(s, 0.0) for s in shifts]


@pytest.mark.parametrize("mode", [by_graph, by_function])
@pytest.mark.parametrize("edge", EDGES, ids=id_of)
def test_an_edge(edge, mode):
    _, f, point, value, derivatives = edge
    try:
        got_value, got_derivatives = mode(f, point)
    except cr.TraceError:
        assert "where" in edge[0]  # its condition is a comparison
        return
    assert_same([got_value, *got_derivatives], [value, *derivatives])
    # Which zero np.maximum takes of a 0 and a -0 depends on the machine.
    if value == 0.0 and edge[0] != "maximum, tie of zeros":
        assert math.copysign(1.0, got_value) == math.copysign(1.0, value)


@pytest.mark.parametrize("edge", [e for e in EDGES if len(e[2]) > 1], ids=id_of)
def test_an_edge_between_inputs_and_parameters(edge):
    _, f, point, _, _ = edge
    for chosen in itertools.product([True, False], repeat=len(point)):
        shifts = [cr.Value(-0.0) if c else None for c in chosen]

        def mixed(*x, shifts=shifts):
            return f(*(a if s is None else a + s for a, s in zip(x, shifts, strict=True)))

        if any(chosen):
            compiled = cr.compile(mixed)
            value, gradient = compiled.value_and_grad(*([x] for x in point))
            expected, slopes = eager(mixed, point, compiled.parameters)
            assert_same([value, *gradient], [expected, *slopes])


# --- every row of the table, in the function's face ----------------------------------------------

POINTS = [0.0, -0.0, 1.0, -1.0, 0.5, 800.0, -800.0, 20.0, 1e300, 5e-324, inf, -inf, nan]
SHARES = [(0.0, 1.0, 0.0), (0.2, 0.3, 0.5), (0.5, 0.0, 0.5)]
PAIRS = [*POINTS[:6], -2.0, 3.0, inf, -inf, nan]


def points_of(row):
    """Return arguments for *row*; for an operation of any number of them, of a few."""
    if row.arity == 1:
        return [(x,) for x in POINTS]
    if row.arity == 2:
        return list(itertools.product(PAIRS, repeat=2))
    rng = random.Random(row.name)
    count = row.arity or (6 if row.name == "soft_cross_entropy" else 5)
    points = [tuple(rng.choice(POINTS) for _ in range(count)) for _ in range(80)]
    if row.name == "soft_cross_entropy":  # a probability of every class, and then the logits
        return [(*shares, *p[3:]) for p, shares in zip(points, itertools.cycle(SHARES))]
    return points


def faces(row):
    """Return which arguments of *row* are to depend on parameters."""
    count = len(points_of(row)[0])
    if count < 3:
        return [c for c in itertools.product([True, False], repeat=count) if any(c)]
    return [(True,) * count, (False, True) * (count // 2) + (False,) * (count % 2)]


def applied(row, shifts):
    """Return *row* as a function of inputs, of which those with a shift depend on parameters."""

    def function(*x):
        args = [a if s is None else a + s for a, s in zip(x, shifts, strict=True)]
        if row.name in ("softmax", "take", "softmax_rest", "cross_entropy"):
            args.insert(0, 1.0)
        return row(*args)

    return function


@pytest.mark.parametrize("row", TABLE.values(), ids=lambda row: row.name)
def test_every_primitive_of_inputs_and_parameters(row):
    points = points_of(row)
    for face in faces(row):
        function = applied(row, [cr.Value(-0.0) if own else None for own in face])
        compiled = cr.compile(function).record(*([0.5] for _ in points[0]))
        values = compiled(*np.transpose(points))
        for point, value in zip(points, values.tolist(), strict=True):
            expected, slopes = eager(function, point, compiled.parameters)
            _, gradient = compiled.value_and_grad(*([x] for x in point))
            assert_same([value, *gradient], [expected, *slopes])


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_primitive_of_the_library_is_spelled_out_in_numpy(name):
    row = TABLE[name]
    shifts = [cr.Value(0.5) for _ in points_of(row)[0]]
    source = cr.compile(applied(row, shifts)).record(*([0.5] for _ in shifts)).source
    assert "rows[" not in source  # which is how a user's own primitives are called


# --- ties with constants -------------------------------------------------------------------------

TIES = [
    lambda w, x: cr.maximum(w[0], x[0]),
    lambda w, x: cr.minimum(x[0], w[0]),
    lambda w, x: cr.maximum(2.0 * x[0] - 1.0, w[0]),
    lambda w, x: cr.maximum(w[0], w[1]),
    lambda w, x: cr.maximum(w[0], x[0], w[1]),
    lambda w, x: cr.minimum(x[1], x[0], w[2], 1.0),
    lambda w, x: cr.minimum(cr.maximum(w[0] * x[0], 0.0), 1.0),
    lambda w, x: cr.minimum(cr.maximum(w[0] * x[0], x[1]), x[2]),
    lambda w, x: cr.sum([cr.maximum(a, b) for a, b in zip(w, x, strict=True)]),
    lambda w, x: cr.sum([cr.maximum(a, b, w[0]) for a, b in zip(w, x, strict=True)]),
    lambda w, x: cr.sum([cr.maximum(*w, *x[: k + 1]) for k in range(len(x))]),
    lambda w, x: cr.sum([cr.relu(a * b) + cr.abs(a - b) for a, b in zip(w, x, strict=True)]),
    lambda w, x: cr.where(cr.equal(x[0], w[0]), cr.maximum(x[1], w[1]), w[2]),
]


@pytest.mark.parametrize("which", range(len(TIES)))
def test_a_tie_with_a_constant_has_no_share_in_the_derivative(which):
    w = [cr.Value(1.0) for _ in range(3)]
    compiled = cr.compile(lambda x: TIES[which](w, x))
    for x in itertools.product([1.0, 0.0, 2.0, nan], repeat=3):
        value, gradient = compiled.value_and_grad([x])
        expected, slopes = eager(lambda x: TIES[which](w, x), [list(x)], compiled.parameters)
        assert_same([value, *gradient], [expected, *slopes])


def irregular(seed, leaves, inputs):
    """Return a sum of nested maxima and minima of few different numbers, so that many tie."""
    rng = random.Random(seed)
    pool = [*leaves, *inputs]
    for _ in range(40):
        count = rng.choice([2, 2, 3, 4])
        args = [rng.choice(pool) if rng.random() < 0.7 else float(rng.randrange(-1, 2))
                for _ in range(count)]  # fmt: skip
        y = rng.choice([cr.maximum, cr.minimum])(*args)
        if rng.random() < 0.3:
            y = y + rng.choice(pool)
        pool.append(y)
    return cr.sum(pool[-20:])


@pytest.mark.parametrize("seed", range(30))
def test_ties_in_irregular_graphs(seed):
    rng = random.Random(seed)
    leaves = [cr.Value(float(rng.randrange(-1, 2))) for _ in range(4)]
    function = lambda x: irregular(seed, leaves, x)  # noqa: E731
    compiled = cr.compile(function)
    for x in ([1.0, 0.0, -1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0]):
        value, gradient = compiled.value_and_grad([x])
        expected, slopes = eager(function, [x], compiled.parameters)
        assert_same([value, *gradient], [expected, *slopes])
    root = function([0.0, 1.0, -1.0])
    if isinstance(root, cr.Value):
        compiled = cr.compile(root)
        value, gradient = compiled.value_and_grad()
        expected, slopes = eager(lambda: root, [], compiled.parameters)
        assert_same([value, *gradient], [expected, *slopes])


def programs():
    rng = random.Random(0)
    attention, recurrent = families.attention(rng, 4, 2, 8), families.recurrent(rng, 3, 4)
    convolution, table = families.convolution(rng, 3), families.values(rng, 5, 4)
    yield cr.compile(attention).record(np.ones((1, 5, 4)), np.ones((1, 5, 4)))
    yield cr.compile(recurrent).record(np.ones((1, 4, 3)))
    yield cr.compile(convolution).record(np.ones((1, 9)))
    yield cr.compile(lambda t: cr.sum(cr.take(table, t))).record([1])
    leaves = families.values(rng, 6)
    yield cr.compile(lambda x: families.random_graph(7, 200, leaves, x)).record(np.ones((1, 3)))


@pytest.mark.parametrize("which", range(5))
def test_what_depends_on_a_parameter_is_known_number_by_number(which):
    program: Program = list(programs())[which].program
    forward = [n for n in sorted(program.needed(program.outputs)) if type(n) is int]
    found = dependence(program, forward[-1] + 1)
    for n, depends in enumerate(found):
        operation = program.operations[n]
        assert depends.shape == operation.shape
        written = [o for o in program.operations[:n] if o.kind == "store" and o.args[0] == n]
        if operation.kind not in ("store", "new") and not written:
            sources = [found[a] for a in operation.args if type(a) is int]
            parameter = operation.kind == "parameter"
            assert depends.any() <= (parameter or any(s.any() for s in sources))
    (output,) = program.outputs
    assert found[output].all()


def test_every_kind_of_operation_hands_on_what_depends_on_a_parameter():
    builder = Builder()
    row = builder.new((6,), False, 0.0)  # - P P - - P
    theta = builder.emit("parameter", (), (3,), False, (0, 3))
    builder.store(row, np.array([1, 2, 5]), theta)
    x = builder.emit("input", (), (2, 3), False, 0)
    y = builder.emit("input", (), (2, 2), False, 2)
    stretches = builder.stretches(np.array([1, 3, 1, 1]))
    matrix = builder.reshape(row, (2, 3))
    index = builder.emit("input", (), (2,), False, 1)
    pairs = builder.reshape(builder.at(row, np.array([0, 3, 1, 2])), (2, 2))
    expected = [
        (builder.emit("segment_sum", (row,), (4,), False, stretches[0]), "- P - P"),
        (builder.emit("maximum", (row,), (4,), False, stretches[0]), "- P - P"),
        (builder.emit("logsumexp", (row,), (4,), False, stretches), "- P - P"),
        (builder.emit("softmax", (row,), (6,), False, stretches), "- P P P - P"),
        (builder.emit("minimum", (matrix,), (2, 1), False, None), "P P"),
        (builder.emit("sum", (matrix,), (1, 3), False, (-2,)), "- P P"),
        (builder.emit("broadcast", (builder.at(row, np.array([0, 1])),), (2, 2), False), "- P - P"),
        (builder.at(row, np.array([5, 4, 2, 0, 1, 3])), "P - P - P -"),
        (builder.at(row, np.array([[1, 2], [3, 4]])), "P P - -"),
        (primitives.add(matrix, x), "- P P - - P"),
        (builder.matmul(x, matrix, (False, True)), "P P P P"),
        (builder.matmul(y, pairs, (False, True)), "- P - P"),
        (builder.stack(pairs, x, (False, False)), "- - - P P P"),
        (builder.stack(x, pairs, (True, True)), "- P - P - P"),
        (builder.emit("pick", (index, matrix), (2, 3), False), "- P P - P P"),
    ]
    depends = dependence(builder.program, len(builder.program.operations))
    for symbol, told in expected:
        found = " ".join("P" if d else "-" for d in depends[symbol.number].ravel())
        assert found == told, symbol.operation


# --- a softmax whose adjoints are infinite --------------------------------------------------------

LOGITS = [[0.0, 0.0, 0.0], [2.0, -1.0, 0.5], [5.0, 0.0, 1.0], [800.0, 0.0, 0.0], [0.0, -900.0, 0.0]]


def shares_of(*lists):
    """Return a function of factors: of the softmaxes of *lists*, one after another."""

    def f(c):
        shares = itertools.chain.from_iterable(map(cr.softmax, lists))
        return cr.sum([a * b for a, b in zip(shares, c, strict=True)])

    return f


def by_source(f, X):
    """Return the gradient that the printed NumPy program gives."""
    names, program = {}, f.record(X).program
    exec(f.source, names)
    vector = np.array([p.data for p in f.placed])
    thetas = [vector[slice(*o.detail)].reshape(o.shape) for o in program.parameters("gradient")]
    with np.errstate(all="ignore"):
        _, found = names["gradient"](*thetas, np.array(X, dtype=float))
    return np.concatenate([np.ravel(x) for x in found]).tolist()


@pytest.mark.parametrize("logits", LOGITS)
@pytest.mark.parametrize("both", [True, False])
def test_infinite_adjoints_of_a_softmax_are_the_engines(logits, both):
    w = [cr.Value(x) for x in logits]
    f = shares_of(w, w[:-1]) if both else shares_of(w)
    compiled = cr.compile(f)
    kinds = [inf, -inf, 0.5, 0.0, 1e300, nan]
    for example in random.Random(0).sample(list(itertools.product(kinds, repeat=3)), 20):
        c = [*example, example[0], 0.5][: 5 if both else 3]
        expected = eager(f, [c], w)[1]
        assert_same(compiled.value_and_grad([c])[1].tolist(), expected)
        assert_same(compiled.value_and_grad([c] * 9)[1].tolist(), expected)
        assert_same(by_source(compiled, [c]), expected)


def test_a_factor_is_taken_out_of_a_sum_so_that_what_overflows_in_the_engine_need_not():
    """The factor 2 of a square, after the sum; see "Where the numbers differ" in the docs."""
    centroids = [[cr.Value(x) for x in row] for row in ([1.2e308] * 2, [1.0, 2.0], [3.0, 4.0])]
    leaves = [x for row in centroids for x in row]

    def nearest(point):
        return cr.minimum(
            *[cr.sum([cr.square(a - b) for a, b in zip(point, c, strict=True)]) for c in centroids]
        )

    points = [[0.5, 0.25], [0.0, 3.0]]
    found = cr.compile(nearest, wrt=leaves).value_and_grad(points)[1]
    engine = np.mean([cr.gradients(nearest(p), leaves) for p in points], axis=0)
    assert np.isnan(engine[:2]).all()
    assert (np.isnan(found[:2]) | (found[:2] == 0.0)).all()  # 0 is right, nan is the engine's
    assert found[2:].tolist() == engine[2:].tolist() == [1.5, 0.75, 0.0, 0.0]
