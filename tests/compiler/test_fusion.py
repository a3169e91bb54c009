"""Products that are only added up are one step; sums of different lengths are products with holes.

Both give what the engine gives, infinities and nan included.
"""

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler.machine import Machine
from chainrule.compiler.triangles import holed

V = cr.Value
SAME = {"rtol": 1e-12, "atol": 1e-13, "equal_nan": True}


def codes(program, key):
    return [step.code for step in program.plans[key].each]


def check(function, parameters, X):
    """Return *function* compiled, compared with the engine at each example, by both machines."""
    X = np.array(X, dtype=float)
    program = cr.compile(function, wrt=parameters).record(X)
    results = [function(x) for x in X.tolist()]
    for leaf in parameters:
        leaf.grad = 0.0
    for result in results:
        result.backward(1.0 / len(X))
    values = np.array([result.data for result in results])
    gradient = np.array([leaf.grad for leaf in parameters])
    np.testing.assert_allclose(program(X), values, **SAME)
    mean, found = program.value_and_grad(X)
    np.testing.assert_allclose(mean, values.mean(), **SAME)
    np.testing.assert_allclose(found, gradient, **SAME)
    mean, found = Machine(program.plans["gradient"]).run(program.placed, (X,))
    np.testing.assert_allclose(mean, values.mean(), **SAME)
    np.testing.assert_allclose(found, gradient, **SAME)
    return program


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def leaves(rng, *shape):
    return np.vectorize(V, otypes=[object])(rng.normal(size=shape)).tolist()


# --- sums of products --------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 40])
def test_the_distance_to_the_nearest_of_many(rng, count):
    centres = leaves(rng, 12, 5)

    def nearest(x):
        off = [[a - b for a, b in zip(x, centre, strict=True)] for centre in centres]
        return cr.minimum(*[cr.sum([cr.square(a) for a in row]) for row in off])

    flat = [w for row in centres for w in row]
    program = check(nearest, flat, rng.normal(size=(count, 5)))
    assert codes(program, "forward") == ["squared_distance", "minimum"]
    gradient = codes(program, "gradient")
    assert gradient.count("squared_distance") == gradient.count("weighted_difference") == 1
    sizes = [np.prod(s.extents) for s in program.plans["gradient"].each if s.code == "apply"]
    assert sizes.count(60) == 0  # no array of differences: -2 is a factor of the sums
    assert program.plans["gradient"].block < 60


@pytest.mark.parametrize("count", [1, 3, 100])
def test_ties_share_the_gradient_of_distances(rng, count):
    """Of 15 centres 3 are the same, and an example is as far from two others: 1/3 and 1/2 each."""
    centres = leaves(rng, 15, 4)
    for k in (1, 2):
        for leaf, like in zip(centres[k], centres[0], strict=True):
            leaf.data = like.data
    for k in range(5, 15):
        centres[k][3].data = 10.0
    for leaf, x in zip([*centres[3], *centres[4]], (1, 0, 0, 0, 0, 1, 0, 0), strict=True):
        leaf.data = float(x)

    def nearest(x):
        off = [[a - b for a, b in zip(x, centre, strict=True)] for centre in centres]
        return cr.minimum(*[cr.sum([cr.square(a) for a in row]) for row in off])

    flat = [w for row in centres for w in row]
    X = rng.normal(size=(count, 4))
    X[::2] = [[x.data for x in centres[0]]]
    X[::3] = [0.6, 0.6, 0.0, 0.0]
    program = check(nearest, flat, X)
    assert "weighted_difference" in codes(program, "gradient")
    _, slopes = program.value_and_grad(X[:1])
    expected = [0.4, -0.6, 0.0, 0.0, -0.6, 0.4, 0.0, 0.0]
    np.testing.assert_allclose(slopes[12:20], expected, rtol=1e-14)


@pytest.mark.parametrize("count", [1, 2, 50])
def test_second_derivatives_of_the_nearest(rng, count):
    """The gradient of the slope along (1, ..., 1) is twice the share of the examples."""
    centres = leaves(rng, 12, 5)
    flat = [w for row in centres for w in row]

    def slope(x):
        off = [[a - b for a, b in zip(x, centre, strict=True)] for centre in centres]
        nearest = cr.minimum(*[cr.sum([cr.square(a) for a in row]) for row in off])
        return cr.sum(cr.gradients(nearest, flat, create_graph=True))

    X = rng.normal(size=(count, 5))
    program = check(slope, flat, X)
    assert "squared_distance" in codes(program, "gradient")
    data = np.array([[w.data for w in row] for row in centres])
    which = np.square(X[:, None] - data).sum(axis=-1).argmin(axis=1)
    shares = np.bincount(which, minlength=12) / count
    _, found = program.value_and_grad(X)
    np.testing.assert_allclose(found.reshape(12, 5), np.repeat(2 * shares[:, None], 5, axis=1))


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 1e200])
def test_infinities_and_nan_in_distances(rng, bad):
    """A centroid that is not the nearest has the adjoint 0, and 0 times an infinity is nan."""
    centres = leaves(rng, 12, 5)

    def nearest(x):
        off = [[a - b for a, b in zip(x, centre, strict=True)] for centre in centres]
        return cr.minimum(*[cr.sum([cr.square(a) for a in row]) for row in off])

    X = rng.normal(size=(30, 5))
    flat = [w for row in centres for w in row]
    for at in (3, 7):
        flat[at].data = bad
    check(nearest, flat, X)
    if not np.isfinite(bad):  # else sums cancel to what their order leaves
        X[4, 1], X[9] = -bad, bad
    check(nearest, flat, X)


def test_weights_of_differences_with_derivatives_of_their_own(rng):
    centres, weights = leaves(rng, 12, 5), leaves(rng, 12)

    def f(x):
        off = [[a - b for a, b in zip(x, centre, strict=True)] for centre in centres]
        shares = cr.softmax([-cr.sum([cr.square(a) for a in row]) for row in off])
        pulls = [
            cr.sum(
                [w * cr.tanh(p) * row[i] for w, p, row in zip(weights, shares, off, strict=True)]
            )
            for i in range(5)
        ]
        return cr.sum([cr.exp(0.1 * p) for p in pulls])

    check(f, [*weights, *(w for row in centres for w in row)], rng.normal(size=(20, 5)))


def test_a_difference_that_is_read_by_something_else_stays_an_array(rng):
    centres = leaves(rng, 12, 5)

    def f(x):
        off = [[a - b for a, b in zip(x, centre, strict=True)] for centre in centres]
        squares = [cr.sum([cr.square(a) for a in row]) for row in off]
        return cr.logsumexp(squares) + cr.sum([cr.tanh(a) for row in off for a in row])

    program = check(f, [w for row in centres for w in row], rng.normal(size=(20, 5)))
    assert "squared_distance" not in codes(program, "forward")


def test_sums_that_are_read_through_a_view(rng):
    w = leaves(rng, 3, 4)

    def f(x):
        products = [[a * b * b for a, b in zip(row, x, strict=True)] for row in w]
        columns = [cr.sum([row[j] for row in products[::-1]]) for j in range(4)]
        return cr.sum([cr.tanh(c) for c in columns])

    check(f, [a for row in w for a in row], rng.normal(size=(7, 4)))


def test_a_product_that_is_read_twice_stays_an_array(rng):
    w = leaves(rng, 6)

    def f(x):
        products = [cr.square(a * b) for a, b in zip(w, x, strict=True)]
        return cr.sum(products) * cr.sum([cr.tanh(p) for p in products])

    check(f, w, rng.normal(size=(5, 6)))


@pytest.mark.parametrize("scale", [-1.0, 2.0, -0.25, 3.0, 0.1, -0.0, float("inf")])
def test_a_factor_of_all_terms(rng, scale):
    w = leaves(rng, 9)

    def f(x):
        return cr.sum([-(scale * (cr.exp(a) * b)) for a, b in zip(w, x, strict=True)])

    check(f, w, rng.normal(size=(4, 9)))


def test_infinities_and_nan_in_sums_of_products(rng):
    w = leaves(rng, 9)

    def f(x):
        return cr.sum([cr.square(a * b - a) for a, b in zip(w, x, strict=True)])

    X = rng.normal(size=(5, 9))
    X[1, 3], X[2, 4], X[3, :] = np.inf, np.nan, 1e200
    check(f, w, X)


# --- products with holes -------------------------------------------------------------------------


def triangular(rows, entries, x):
    """Return the products with a lower triangle, whose columns are one after another."""
    found, entry = [[] for _ in range(rows)], iter(entries)
    for column in range(rows):
        for row in range(column, rows):
            found[row].append(next(entry) * x[column])
    return [cr.sum(terms) for terms in found]


@pytest.mark.parametrize("many", [1, 3])
@pytest.mark.parametrize("count", [1, 30])
def test_triangles(rng, many, count):
    size = 7
    entries, shift = leaves(rng, many, size * (size + 1) // 2), leaves(rng, many, size)

    def f(x):
        moved = [[a - b for a, b in zip(x, s, strict=True)] for s in shift]
        rows = [triangular(size, e, m) for e, m in zip(entries, moved, strict=True)]
        return cr.logsumexp([-0.5 * cr.sum([cr.square(a) for a in row]) for row in rows])

    flat = [w for row in [*entries, *shift] for w in row]
    program = check(f, flat, rng.normal(size=(count, size)))
    assert codes(program, "forward").count("linked_product") == 1
    assert "segment_sum" not in codes(program, "gradient")
    assert "linked_product(" in program.source


def test_an_infinity_does_not_come_through_a_hole(rng):
    size, entries = 7, leaves(rng, 28)

    def f(x):
        return cr.sum([cr.tanh(0.1 * row) for row in triangular(size, entries, x)])

    X = rng.normal(size=(4, size))
    X[1, 5], X[2, 6], X[3, 3] = np.inf, np.nan, -np.inf
    program = check(f, entries, X)
    assert "linked_product" in codes(program, "forward")
    rows = cr.compile(lambda x: triangular(size, entries, x))(X)
    assert np.isfinite(np.array(rows)[:3, 1]).all()


def test_a_triangle_in_a_program_that_chooses(rng):
    size, entries, w = 7, leaves(rng, 28), leaves(rng, 7)

    def f(x):
        moved = [a * b for a, b in zip(x, w, strict=True)]
        rows = triangular(size, entries, moved)
        return cr.sum([cr.where(cr.less(0.0, row), cr.sqrt(row), -row) for row in rows])

    X = rng.normal(size=(6, size))
    X[2, 4] = np.inf
    check(f, [*entries, *w], X)


def test_a_triangle_of_a_compiled_graph(rng):
    entries, x = leaves(rng, 28), leaves(rng, 7)
    root = cr.sum([cr.square(row) for row in triangular(7, entries, x)])
    program = cr.compile(root, wrt=entries)
    root.backward()
    np.testing.assert_allclose(program.value_and_grad()[1], [e.grad for e in entries], **SAME)


def test_what_has_no_such_form():
    left, right, counts = np.repeat(np.arange(6), 6), np.arange(36), np.full(6, 6)
    rank = np.arange(6)
    assert holed(left, right, counts, rank) is None  # a sum has a factor twice
    shared = np.tile(np.arange(6), 6)
    found = holed(shared, right, counts, rank)
    assert found.entries.tolist() == np.arange(36).reshape(1, 6, 6).tolist()
    assert holed(shared, right // 2, counts, rank) is None  # a weight is shared
    assert holed(shared[:12], right[:12], counts[:2], rank[:2]) is None  # too small
    sparse = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 12, 13, 14, 0])
    lengths = np.array([1] * 15 + [2])
    assert holed(sparse, np.arange(17), lengths, np.arange(16)) is None  # hardly filled
