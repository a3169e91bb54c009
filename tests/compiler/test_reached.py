"""What has no part in the result of an example has none in its gradient, and what has one has one.

In one array stand numbers that the engine links and others that it does not: a branch that was not
chosen, a neuron that only serves a condition.  nan and infinities in the inputs tell them apart.
"""

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.table import TABLE

V = cr.Value
inf, nan = math.inf, math.nan
P = [V(0.7), V(-0.3), V(0.2), V(1.1)]
W = [[V(0.1 * i + 0.2 * j - 0.3) for i in range(3)] for j in range(4)]
LEAVES = [w for row in W for w in row] + P
p, q, r, s = P

X = [[1.0, 2.0, 3.0], [inf, 1.0, 2.0], [nan, 0.0, 1.0], [-inf, 0.0, 0.0], [0.0, -1.0, 5.0]]
Y = [[1.0, 2.0, 3.0], [0.5, 1.0, 2.0], [-9.0, 0.0, 1.0], [nan, 0.0, 0.0], [0.0, -1.0, inf]]
INDEX = [0, 1, 2, 3, 0]
BATCHES = [slice(0, 5), slice(1, 2), slice(2, 3), slice(0, 1), slice(0, 5, 2)]

larger = cr.primitive(
    "larger of two", lambda a, b: a if a > b else b, (1.0, 1.0), selects=lambda a, b: int(a <= b)
)
del TABLE["larger of two"]  # other tests go through the whole table


def chosen(z):
    """A rectifier by hand: z has a part in it where it is above 0."""
    return cr.where(cr.less(0.0, z), z, 0.0)


def layer(x):
    return [cr.dot(w, x) for w in W]


def attention(x):
    keys = [[h * p, h * q] for h in layer(x)]
    rows = [[cr.dot(a, b) for b in keys] for a in keys]
    return [cr.dot(cr.softmax(row), [k[0] for k in keys]) for row in rows]


def deep(x):
    h = [chosen(z) for z in layer(x)]
    return cr.dot(P, [chosen(cr.dot(w, h[:3])) for w in W])


def stacked(x, y):
    left = [[x[i] * w[i] for i in range(3)] for w in W]
    right = [[cr.log(y[i] * w[i] + 1.0) for i in range(3)] for w in W]
    return cr.sum([chosen(cr.dot(a, b)) for a in left for b in right])


def computed(*rows):
    """Two layers whose weights are computed from the parameters, on every row."""
    first = [[cr.sqrt(w * w) for w in row] for row in W]
    second = [[cr.sqrt(cr.sin(w) * w) for w in [*row, p]] for row in W]
    h = [[cr.tanh(cr.dot(k, row)) for k in first] for row in rows]
    return cr.sum([chosen(cr.dot(k, row)) for row in h for k in second])


def by(choose):
    return lambda x: choose(*layer(x))


SHARED = {
    "a condition": by(lambda a, b, c, d: cr.where(cr.less(a, 1.0), b, c * d)),
    "a comparison": by(lambda a, b, c, d: cr.less(a, 1.0) * b + c),
    "a step and a sign": by(lambda a, b, c, d: cr.step(a) * b + cr.sign(c)),
    "a class": by(lambda a, b, c, d: cr.take([b, c, d], cr.less(0.0, a) + cr.less(0.0, b))),
    "a rectifier": lambda x: cr.dot(P, [chosen(z) for z in layer(x)]),
    "two layers": deep,
    "a slope on either side": lambda x: cr.dot(
        P, [cr.where(cr.less(z, 0.0), 0.1 * z, z) for z in layer(x)]
    ),
    "a softmax": by(
        lambda a, b, c, d: cr.where(
            cr.less(a, 1.0), cr.softmax([a, b, c, d])[1], cr.logsumexp([b, c, d])
        )
    ),
    "the largest": by(
        lambda a, b, c, d: cr.where(cr.less(a, 1.0), cr.maximum(a, b, c, d), cr.minimum(b, c, d, p))
    ),
    "one of its own": lambda x: cr.sum([larger(z, p) for z in layer(x)]),
    "attention": lambda x: (lambda a: cr.where(cr.less(a[0], 0.3), a[1], chosen(a[2])))(
        attention(x)
    ),
    "a layer or another": lambda x: cr.where(
        x[0],
        cr.dot(P, [cr.tanh(z) for z in layer(x)]),
        cr.where(x[1], cr.sum(layer(x)), p),
    ),
    "an entry": lambda x, i: cr.take(layer(x), i) * p,
    "a row of attention": lambda x, i: cr.take(attention(x), i),
    "a stack": stacked,
    "computed weights": computed,
}
SECOND = {"an entry": INDEX, "a row of attention": INDEX, "a stack": Y, "computed weights": Y}


def by_the_engine(function, batch):
    """Return the mean of the results, and of the gradients by all leaves."""
    results, gradients = [], []
    for example in zip(*batch, strict=True):
        result = function(*example)
        results.append(getattr(result, "data", result))
        gradients.append(cr.gradients(result, LEAVES))
    with np.errstate(all="ignore"):
        return np.mean(results), np.array(gradients, dtype=float).mean(axis=0)


def agrees(compiled, function, batch):
    mean, gradient = by_the_engine(function, batch)
    found, slopes = compiled.value_and_grad(*batch)
    named = dict(zip(compiled.parameters, slopes, strict=True))
    np.testing.assert_allclose(found, mean, rtol=1e-12)
    np.testing.assert_allclose(
        [named.get(leaf, 0.0) for leaf in LEAVES], gradient, rtol=1e-11, atol=1e-14
    )


def unlike(x):
    """One of each kind: hardly a row is like another."""
    a, b, c, d = layer(x)
    parts = [cr.where(cr.less(a, 1.0), b * p, c), chosen(d) * cr.log(p), cr.step(c) * cr.tanh(b)]
    parts += [larger(cr.sin(a), q * x[1]), cr.where(x[1], chosen(cr.exp(-b)), cr.sqrt(c * c))]
    parts += [cr.take([a * p, cr.cosh(b), chosen(c)], cr.less(0.0, a) + cr.less(0.0, b))]
    for k in range(12):
        parts.append(cr.where(cr.less(parts[-1], 0.1 * k), parts[k % 5] * s, cr.tanh(parts[-2])))
    return cr.mean(parts)


def test_masks_in_a_graph_without_width():
    compiled = cr.compile(unlike)
    for batch in (X, X[1:2], X[:1], 9 * X):
        agrees(compiled, unlike, [batch])
    compiled.source  # noqa: B018 (so that there are arrays)
    for first in X:
        x = [V(v) for v in first]
        graph = cr.compile(unlike(x))
        graph.source  # noqa: B018
        for now in X:
            for leaf, v in zip(x, now, strict=True):
                leaf.data = v
            expected = cr.gradients(unlike(x), LEAVES)
            slopes = dict(zip(graph.parameters, graph.value_and_grad()[1], strict=True))
            found = [slopes.get(leaf, 0.0) for leaf in LEAVES]
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("name", SHARED)
def test_nan_and_infinity_reach_what_is_linked_and_nothing_else(name):
    function = SHARED[name]
    compiled = cr.compile(function)
    data = [X, SECOND[name]] if name in SECOND else [X]
    for at in BATCHES:
        agrees(compiled, function, [x[at] for x in data])
    agrees(compiled, function, [9 * x for x in data])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: cr.where(cr.less(x, 1.0), cr.square(cr.sqrt(x * p)), q),
        lambda x: cr.where(cr.less(x, 1.0), cr.relu(cr.log(x * p)), q),
        lambda x: cr.where(cr.less(x, 1.0), cr.sum([cr.sqrt(x * w) * x for w in P]), q),
        lambda x: cr.sum([cr.where(cr.less(x, w), cr.square(cr.sqrt(x * w)), w) for w in P]),
        lambda x: larger(cr.square(cr.sqrt(x * p)), q),
    ],
)
def test_zero_times_infinity_in_the_chosen_branch_is_nan_as_in_the_engine(function):
    compiled = cr.compile(function)
    assert np.isnan(by_the_engine(function, [[0.0]])[1]).any()
    for xs in ([0.0], [2.0], [0.5, 2.0], [0.5, 0.0, 2.0], [2.0] * 40, [2.0] * 40 + [0.0]):
        agrees(compiled, function, [xs])


def test_what_no_example_takes_from_a_table_has_no_part():
    def entry(i):
        return cr.take([cr.log(p), cr.log(q * q - 0.09), cr.exp(r)], i) * s

    compiled = cr.compile(entry)
    for index in ([0, 2], [0], [1, 2], [0, 1, 2] * 9):
        agrees(compiled, entry, [index])


def test_masks_are_printed_only_where_something_may_have_no_part():
    def huber(x, y):
        error = cr.dot(P, [cr.tanh(z) for z in layer(x)]) - y
        small = cr.less(cr.abs(error), 1.0)
        return cr.where(small, 0.5 * error * error, cr.abs(error) - 0.5)

    compiled = cr.compile(huber)
    compiled.record(X[:1], [1.0])
    assert "linked" not in compiled.source  # one branch or the other needs the error


def test_a_product_leaves_out_the_terms_that_are_not_linked():
    compiled = cr.compile(deep)
    compiled.record(X[:1])
    scope = {}
    exec(compiled.source, scope)
    product = scope["linked_product"]
    rng = np.random.default_rng(5)
    for lead in ((), (2,), (2, 3)):
        a, b = rng.normal(size=(*lead, 4, 5)), rng.normal(size=(*lead, 5, 6))
        mask = (rng.random((*lead, 4, 5)) < 0.5).astype(float)
        b[..., 1, 2], b[..., 3, 0], b[..., 4, 5] = inf, nan, -inf
        a = np.where(mask, a, 0.0)
        a[..., 0, :], mask[..., 0, 1] = 0.0, 1.0  # a true 0, which meets the infinity
        with np.errstate(all="ignore"):
            terms = a[..., :, :, None] * b[..., None, :, :]
            right = np.where(mask[..., None], terms, 0.0).sum(axis=-2)
            found = product(a, b, mask)
            out = np.empty(right.shape)
            assert product(a, b, mask, out) is out
        np.testing.assert_allclose(found, right, rtol=1e-14)
        np.testing.assert_array_equal(out, found)
        assert np.isnan(found[..., 0, 2]).all()
