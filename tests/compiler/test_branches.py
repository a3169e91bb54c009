"""The branch that ``where`` does not choose has no part in a gradient, whatever is infinite in it.

By every operation that joins several numbers, over batches and as graphs that are read again.
"""

import numpy as np
import pytest

import chainrule as cr

V = cr.Value
P = [V(0.7), V(-0.3), V(0.2), V(1.1)]
w, u, t, y = P


def layer(x):
    inner = [cr.tanh(cr.dot([cr.log(x * y), x], [a, b], t)) for a, b in ((w, u), (t, y))]
    return cr.dot(P[:2], inner)


def attention(x):
    keys = [[cr.log(x) * p, cr.sqrt(x) * q] for p, q in ((w, t), (y, u), (t, y))]
    rows = [[cr.dot(a, b) for b in keys] for a in keys]
    return cr.sum([cr.dot(cr.softmax(row), [k[0] for k in keys]) for row in rows])


# Each in the branch for what is not below 0.
JOINED = {
    "logsumexp": lambda x: cr.logsumexp([cr.log(x) * w, u, t]),
    "softmax": lambda x: cr.softmax([cr.log(x) * w, u, t])[1],
    "a softmax that is used whole": lambda x: cr.dot(
        P, cr.softmax([cr.log(x) * w, u, t, cr.sqrt(x * y)])
    ),
    "maximum of three": lambda x: cr.maximum(cr.log(x) * w, u, t * x),
    "minimum of three": lambda x: cr.minimum(cr.log(x * y) * w, u, t),
    "maximum of two": lambda x: cr.maximum(cr.log(x * y) * w, u),
    "dot": lambda x: cr.dot([cr.log(x * w), cr.sqrt(-x * u), 1.0], P[:3], P[3]),
    "sum": lambda x: cr.sum([cr.log(x * p) for p in (w, t, y)]),
    "mean": lambda x: cr.mean([cr.log(x * p) * q for p in (w, t, y) for q in P]),
    "logaddexp": lambda x: cr.logaddexp(cr.log(x * w), t),
    "power": lambda x: (x * w) ** t,
    "angles": lambda x: cr.hypot(cr.log(x * w), t) + cr.atan2(cr.sqrt(x * w), t),
    "a division": lambda x: cr.logsumexp([w / cr.relu(x), u, t]),
    "where": lambda x: cr.where(
        cr.less(x, 1.0),
        cr.logsumexp([cr.sqrt(1.0 - x) * w, u, t]),
        cr.maximum(cr.sqrt(x - 1.0) * w, u, t * x),
    ),
    "layer": layer,
    "attention": attention,
}


def guarded(joined):
    return lambda x: cr.where(cr.less(x, 0.0), w * x, joined(x))


def pooled(x):
    """One of few alike nodes each, in arrays that are read while they are filled."""
    return cr.sum([cr.where(cr.less(0.0, x), cr.log(x) * p, p) for p in P]) + cr.sum(
        [guarded(JOINED[name])(x) for name in ("logsumexp", "where", "layer", "maximum of three")]
    )


def gradient_by_the_engine(function, x, leaves):
    return np.array(cr.gradients(function(x), leaves))


@pytest.mark.parametrize("name", [*JOINED, "pooled"])
def test_nothing_leaks_from_the_branch_that_is_not_chosen(name):
    function = pooled if name == "pooled" else guarded(JOINED[name])
    for xs in ([-1.0, 2.0], [2.0, -1.0], [-1.0, 0.5, 2.0, -0.5, 3.0], [-1.0], [2.0]):
        expected = sum(gradient_by_the_engine(function, V(x), P) for x in xs) / len(xs)
        assert np.isfinite(expected).all()
        compiled = cr.compile(function)
        for _ in range(3):
            slopes = dict(
                zip(compiled.record(xs).parameters, compiled.value_and_grad(xs)[1], strict=True)
            )
            found = [slopes.get(p, 0.0) for p in P]
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("first", [-1.0, 2.0])
@pytest.mark.parametrize("name", [*JOINED, "pooled"])
def test_nothing_leaks_in_a_graph_that_is_read_again(name, first):
    function = pooled if name == "pooled" else guarded(JOINED[name])
    x = V(first)
    leaves = [*P, x]
    compiled = cr.compile(function(x))
    compiled.source  # noqa: B018 (so that there are arrays)
    for now in (first, 0.5, -2.0, first):
        x.data = now
        expected = gradient_by_the_engine(function, x, leaves)
        slopes = dict(zip(compiled.parameters, compiled.value_and_grad()[1], strict=True))
        found = [slopes.get(p, 0.0) for p in leaves]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "hidden",
    [
        lambda: float("-inf") * cr.tanh(w),
        lambda: cr.log(V(0.0)) * cr.logsumexp([w, u]),
        lambda: cr.dot([float("inf"), 1.0], [cr.tanh(w), u]),
        lambda: cr.leaky_relu(w, float("inf")) * cr.sigmoid(w),
    ],
)
def test_an_infinite_constant_in_the_branch_not_chosen_does_not_leak(hidden):
    compiled = cr.compile(lambda x: cr.where(cr.less(x, 0.0), hidden(), 1.0) * t)
    for xs in ([1.0], [2.0, 1.0], [0.5, 2.0, 3.0]):
        mean, gradient = compiled.value_and_grad(xs)
        slopes = dict(zip(compiled.parameters, gradient, strict=True))
        assert mean == pytest.approx(t.data, rel=1e-15)
        assert slopes[t] == 1.0
        assert [slopes.get(p, 0.0) for p in (w, u)] == [0.0, 0.0]
