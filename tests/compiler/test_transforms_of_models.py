"""Transforms inside losses: over tied weights, tables, operations of one's own, and each other.

Compared with the engine over batches of several sizes; parameters change between the questions.
"""

import math
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.engine.table import TABLE

V = cr.Value
W = [[V(0.3), V(-0.2)], [V(0.5), V(0.1)]]
T = [V(1.2), V(-0.7), V(0.4)]
LEAVES = [*W[0], *W[1], *T]
(p, q), (r, s) = W

erf_by_array = cr.primitive(
    "erf by array",
    math.erf,
    (lambda x, y: 2.0 / math.sqrt(math.pi) * cr.exp(-x * x),),
    array=np.vectorize(math.erf),
)
del TABLE["erf by array"]  # other tests go through the whole table


def tied(x):
    """An autoencoder: the same weights, transposed, on the way out."""
    h = [cr.tanh(cr.dot(row, x)) for row in W]
    return [cr.dot([p, r], h), cr.dot([q, s], h)]


def frobenius(x):
    return cr.sum([cr.square(e) for row in cr.jacobian(tied)(x) for e in row])


def curvature_of_a_table(i, x):
    hessian = cr.hessian(lambda t: cr.square(cr.take(t, i)) * t[0] * x + cr.sin(cr.take(t, i)))(T)
    return cr.sum([a * b for a, row in zip(T, hessian, strict=True) for b in row])


def by_cases(v):
    return [cr.where(cr.less(t, 0.0), cr.sqrt(-t) * p, cr.log(t) * q) for t in v]


def pair(x):
    value, slopes = cr.value_and_grad(
        lambda a, b: cr.where(cr.less(a, b), a * b, a - b), argnums=(0, 1)
    )(x, p)
    return value * slopes[0] + slopes[1]


def recurrence(x):
    for k in range(40):
        x = cr.tanh(p * x + q) * r + cr.where(cr.less(x, 0.1 * k - 2.0), x * s, s)
    return x


PROGRAMS = {  # with the shapes of an example's arguments; "i" is an index
    "a jacobian over tied weights": (frobenius, [2]),
    "a hessian of a table": (curvature_of_a_table, ["i", 0]),
    "a second derivative by array form": (
        lambda x: cr.grad(cr.grad(lambda t: erf_by_array(t * p) * t))(x) * q, [0]),
    "a derivative by a weight": (
        lambda x: cr.grad(lambda w: cr.grad(lambda t: erf_by_array(t * w) * w)(x))(p) * q, [0]),
    "a jacobian by cases": (lambda x: cr.sum([cr.sum(e) for e in cr.jacobian(by_cases)(x)]), [2]),
    "in the direction of weights": (
        lambda x: cr.jvp(lambda w: [cr.tanh(w[0] * x) * w[1]], ([p, q],), ([q, x],))[1][0], [0]),
    "a hessian times weights": (
        lambda x: cr.hvp(lambda v: cr.sin(v[0] * p) * v[1] * v[1], ([x, q],), ([p, x],))[0][0],
        [0]),
    "a cotangent of weights": (
        lambda x: cr.sum(list(cr.vjp(lambda a, b: (a * b, cr.sin(a)), x, p)[1]((q, x)))), [0]),
    "value and slopes": (pair, [0]),
    "a recurrence": (recurrence, [0]),
    "parameters alone": (lambda x: p * q + cr.exp(r) * s, [0]),
    "a penalty": (lambda x: cr.square(p * x) + 0.1 * cr.sum([w * w for w in LEAVES]), [0]),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_transforms_inside_a_loss(name):
    function, shapes = PROGRAMS[name]
    compiled = cr.compile(function)
    rng = np.random.default_rng(3)
    for count in (3, 1, 40, 7):
        batch = [
            rng.integers(0, 3, count).astype(float)
            if shape == "i"
            else rng.normal(size=(count, shape) if shape else count)
            for shape in shapes
        ]
        expected = []
        for example in zip(*batch, strict=True):
            values = [[V(v) for v in x] if np.ndim(x) else V(float(x)) for x in example]
            result = function(*values)
            expected.append([result.data, *cr.gradients(result, LEAVES)])
        mean, gradient = compiled.value_and_grad(*batch)
        named = dict(zip(compiled.parameters, gradient, strict=True))
        found = [mean, *(named.get(leaf, 0.0) for leaf in LEAVES)]
        right = np.array(expected, dtype=float).mean(axis=0)
        np.testing.assert_allclose(found, right, rtol=1e-10, atol=1e-13)


def test_classes_for_one_batch_size_after_another_and_weights_that_are_loaded():
    model = nn.MLP(2, [4, 3], activation="tanh", seed=1)
    compiled = cr.compile(lambda x, k: nn.losses.cross_entropy(model(x), k))
    rng = np.random.default_rng(4)
    before = model.state_dict()
    for count in (1, 2, 5, 33, 70, 3):
        x, k = rng.normal(size=(count, 2)), rng.integers(0, 3, count)
        for state in (nn.MLP(2, [4, 3], activation="tanh", seed=count).state_dict(), before):
            model.load_state_dict(state)
            losses = [nn.losses.cross_entropy(model(a), int(b)) for a, b in zip(x, k, strict=True)]
            right = np.mean(
                [cr.gradients(loss, list(model.parameters())) for loss in losses], axis=0
            )
            mean, gradient = compiled.value_and_grad(x, k)
            assert mean == pytest.approx(np.mean([loss.data for loss in losses]), rel=1e-12)
            np.testing.assert_allclose(gradient, right, rtol=1e-10, atol=1e-14)


def test_two_compiled_functions_add_up_in_the_parameters_they_share():
    first = cr.compile(lambda x: p * x + q)
    second = cr.compile(lambda x: cr.square(q * x) * p)
    for leaf in (p, q):
        leaf.grad = 0.0
    first.backward([1.0, 2.0])
    second.backward([3.0])
    first.backward([5.0])
    assert p.grad == pytest.approx(1.5 + 9.0 * q.data**2 + 5.0, rel=1e-14)
    assert q.grad == pytest.approx(2.0 + 18.0 * q.data * p.data, rel=1e-14)


def test_a_copy_has_parameters_of_its_own():
    compiled = cr.compile(frobenius).record([[1.0, 2.0]])
    before = compiled.value_and_grad([[0.5, -1.0]])
    copy = pickle.loads(pickle.dumps(compiled))
    np.testing.assert_array_equal(copy.value_and_grad([[0.5, -1.0]])[1], before[1])
    for leaf in copy.parameters:
        leaf.data = 0.0
    assert copy.value_and_grad([[0.5, -1.0]])[0] == 0.0
    assert compiled.value_and_grad([[0.5, -1.0]])[0] == before[0]
