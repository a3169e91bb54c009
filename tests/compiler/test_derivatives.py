"""Derivatives of compiled functions beyond the gradient, against the engine on each example."""

import importlib
import itertools
import pickle

import numpy as np
import pytest

import chainrule as cr

RNG = np.random.default_rng(3)
W = [cr.Value(x, f"w{i}") for i, x in enumerate(RNG.normal(size=3))]


def energy(x, t):
    """A number of two arguments and three leaves, with a branch and a tie."""
    pairs = [cr.square(a * b) * W[0] + cr.exp(-a) * W[1] for a, b in itertools.pairwise(x)]
    chosen = cr.where(cr.less(x[0], x[1]), x[0] * t * W[2], cr.square(t) / x[1])
    return cr.sum(pairs) + cr.maximum(chosen, x[2] * t)


def residuals(x, t):
    return [[x[0] * t, cr.sin(x[1]) * W[0]], [x[2] / t, 3.0], [x[0] + x[1] * W[2], cr.square(t)]]


X, T = RNG.normal(size=(5, 4)), RNG.normal(size=5)
X[1, 0] = X[1, 1]  # neither is less


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def each(function):
    """Return what *function* gives for each example, as one array."""
    return np.array([function(x.tolist(), t) for x, t in zip(X, T.tolist(), strict=True)])


def by_leaves(function, *point):
    """Return the matrix of second derivatives by W."""
    slopes = cr.gradients(function(*point), W, create_graph=True)
    return [cr.gradients(slope, W) for slope in slopes]


def test_hessians_are_the_engines_for_each_example():
    f = cr.compile(energy)
    close(f.hessian(X, T, argnums=0), each(lambda x, t: cr.hessian(lambda a: energy(a, t))(x)))
    (xx, xt), (tx, tt) = f.hessian(X, T)
    close(xx, f.hessian(X, T, argnums=0))
    close(tt, each(lambda x, t: cr.hessian(lambda s: energy(x, s))(t)))

    def along(x, t):
        return cr.grad(lambda s: cr.sum(cr.grad(energy)(x, s)))(t)

    mixed = each(along)
    close(xt.sum(axis=1), mixed)
    close(tx, xt)
    assert (xx.shape, xt.shape, tx.shape, tt.shape) == ((5, 4, 4), (5, 4), (5, 4), (5,))
    ((only,),) = f.hessian(X, T, argnums=(0,))
    assert np.array_equal(only, f.hessian(X, T, argnums=0))
    close(f.hessian(X, T, wrt=W), each(lambda x, t: by_leaves(energy, x, t)))


def test_a_hessian_by_two_arguments_has_the_axes_of_the_first_before_those_of_the_second():
    f = cr.compile(lambda x, y, a: x[0] * y[1] + 3.0 * x[1] * a[1][0] + y[0] * y[1] * a[0][1])
    point = [[1.0, 2.0]], [[3.0, 4.0]], [[[5.0, 6.0], [7.0, 8.0]]]
    found = f.hessian(*point)
    assert [[h.shape for h in row] for row in found] == [
        [(1, 2, 2), (1, 2, 2), (1, 2, 2, 2)],
        [(1, 2, 2), (1, 2, 2), (1, 2, 2, 2)],
        [(1, 2, 2, 2), (1, 2, 2, 2), (1, 2, 2, 2, 2)],
    ]
    assert found[0][1][0].tolist() == [[0.0, 1.0], [0.0, 0.0]]  # by x0 and y1
    assert found[1][0][0].tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert found[0][2][0, 1].tolist() == [[0.0, 0.0], [3.0, 0.0]]  # by x1 and a10
    assert found[2][1][0, 0, 1].tolist() == [4.0, 3.0]  # by a01 and y


def test_products_are_those_of_the_hessian_and_come_with_the_gradient():
    f = cr.compile(energy)
    v = RNG.normal(size=X.shape)
    hessian = f.hessian(X, T, argnums=0)
    gradient, product = f.hvp(X, T, vector=v, argnums=0, with_gradient=True)
    close(product, np.einsum("mij,mj->mi", hessian, v))
    close(gradient, each(lambda x, t: cr.grad(energy)(x, t)))
    close(f.hvp(X, T, vector=v[0], argnums=0), hessian @ v[0])
    by_x, by_t = f.hvp(X, T, vector=(v, np.zeros(5)))
    close(by_x, product)
    close(by_t, np.einsum("mi,mi->m", f.hessian(X, T)[1][0], v))
    u = RNG.normal(size=3)
    close(f.hvp(X, T, vector=u, wrt=W), f.hessian(X, T, wrt=W) @ u)


def test_tangents_are_those_of_the_jacobian():
    f = cr.compile(residuals)
    v, s = RNG.normal(size=X.shape), RNG.normal(size=5)
    by_x, by_t = f.jacobian(X, T)
    value, tangent = f.jvp(X, T, tangents=(v, s))
    close(np.array(value), np.array(f(X, T)))
    expected = np.einsum("mabi,mi->mab", by_x, v) + by_t * s[:, None, None]
    close(np.moveaxis(np.array(tangent), -1, 0), expected)
    u = RNG.normal(size=3)
    moved = np.moveaxis(np.array(f.jvp(X, T, tangents=u, wrt=W)[1]), -1, 0)
    close(moved, f.jacobian(X, T, wrt=W) @ u)


@pytest.mark.parametrize("function", [residuals, energy])
def test_a_jacobian_is_the_same_in_both_modes(function):
    f = cr.compile(function)
    for arguments in ({}, {"argnums": 1}, {"argnums": (1, 0)}, {"wrt": [W[2], W[0]]}):
        forward, reverse = (f.jacobian(X, T, mode=m, **arguments) for m in ("forward", "reverse"))
        assert type(forward) is type(reverse)
        for a, b in zip(forward, reverse, strict=True):
            assert a.shape == b.shape
            close(a, b)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_two_inputs_that_tie_share_the_derivative_in_both_modes(mode):
    f = cr.compile(lambda x: [cr.maximum(x[0], x[1]), cr.minimum(*x) * x[0]])
    expected = [[0.5, 0.5, 0.0], [1.0 + 1 / 3, 1 / 3, 1 / 3]]
    close(f.jacobian([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]], mode=mode)[0], expected)
    close(f.jvp([[1.0, 1.0, 1.0]], tangents=[1.0, 0.0, 0.0])[1], [[0.5], [4 / 3]])
    by_each = cr.compile(lambda x, y: [cr.maximum(x, y), x * y]).jacobian([1.0], [1.0], mode=mode)
    close(np.array(by_each), [[[0.5, 1.0]], [[0.5, 1.0]]])


W_TIED = cr.Value(-1.0)
TIED = {  # at -1 and 2: the function, by what, and the derivatives of u or of the parameter
    "a slope": (lambda u, x: cr.minimum(u, cr.grad(lambda v: x - v)(x)), {}, 0.5),
    "a leaf that is made": (lambda u, x: cr.minimum(u, cr.Value(-1.0) + 0.0 * x), {}, 0.5),
    "what is made of such leaves": (lambda u, x: cr.minimum(u, cr.Value(-2.0) / 2.0) + x, {}, 0.5),
    "a number": (lambda u, x: cr.minimum(u, -1.0) + x, {}, 0.0),
    "the other argument": (lambda u, x: cr.minimum(u, 1.0 - x), {}, 0.5),
    "an argument that is a number": (lambda u, x: cr.minimum(u, 1.0 - x), {"argnums": 0}, 0.0),
    "its square's slope": (
        lambda u, x: cr.minimum(u, cr.grad(lambda v: v * v)(x) - 5.0), {"argnums": 0}, 0.0
    ),
    "a leaf among arrays": (
        lambda u, x: cr.sum([cr.minimum(u, cr.Value(-1.0), k + x) / 64 for k in range(64)]), {}, 0.5
    ),
    "an argument among arrays": (
        lambda u, x: cr.sum([cr.minimum(u, 1.0 - x, k + x) / 64 for k in range(64)]),
        {"argnums": 0}, 0.0,
    ),
    "an argument in a loop": (
        lambda u, x: cr.scan(
            lambda c, k: (cr.minimum(c, 1.0 - x + k) + 0.0 * cr.sin(c), c), u, [0.0] + [1.0] * 4999
        )[0],
        {"argnums": 0}, 0.0,
    ),
    "a parameter": (lambda u, x: cr.minimum(u, W_TIED * 1.0) + x, {"argnums": 0}, 0.5),
    "an argument": (lambda u, x: cr.minimum(W_TIED, u) + x, {"wrt": [W_TIED]}, 0.0),
    "a leaf, by a parameter": (
        lambda u, x: cr.minimum(W_TIED, cr.Value(-1.0)) + x, {"wrt": [W_TIED]}, 0.0
    ),
    "a slope, by a parameter": (
        lambda u, x: cr.minimum(W_TIED, cr.grad(lambda v: v * v)(x) - 5.0), {"wrt": [W_TIED]}, 0.0
    ),
    "a slope at a parameter": (
        lambda u, x: cr.minimum(W_TIED, cr.grad(lambda v: v * v)(W_TIED) + 1.0) + x,
        {"wrt": [W_TIED]}, 1.5,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TIED)
def test_a_tie_is_one_of_values_or_with_a_number_whatever_the_mode(name):
    """To its arguments, what a function makes is a Value; to its parameters, it is a constant.

    An argument that is not differentiated by is a number, as it is where the engine is called.
    """
    function, by, slope = TIED[name]
    f = cr.compile(function)
    point = [-1.0], [2.0]
    found = [f.jacobian(*point, mode=mode, **by) for mode in ("reverse", "forward")]
    count = 2 - len(by)
    tangents = [1.0] if count == 1 else ([1.0], [0.0])
    if by == {"argnums": 0}:
        tangents = 1.0
    found.append(f.jvp(*point, tangents=tangents, **by)[1])
    assert [np.ravel(x[0] if isinstance(x, tuple) else x).tolist() for x in found] == [[slope]] * 3
    if "wrt" in by:
        assert f.value_and_grad(*point)[1].tolist() == [slope]


def test_a_sparse_jacobian_on_a_tie_is_the_dense_one_whatever_it_is_with():
    pytest.importorskip("scipy", reason="sparse results are SciPy's")
    for function, by, slope in TIED.values():
        f = cr.compile(function)
        for mode in ("reverse", "forward"):
            (matrix,) = f.jacobian([-1.0], [2.0], sparse=True, mode=mode, **by)
            assert matrix.toarray()[0, 0] == slope


def test_where_there_are_few_inputs_the_mode_is_forward():
    f = cr.compile(lambda t: [cr.sin(t * k) for k in range(9)])
    f.jacobian(T)
    assert "columns" in str(f._derivations)
    close(f.jacobian(T), np.arange(9) * np.cos(np.arange(9) * T[:, None]))


def test_a_compiled_graph_has_the_derivatives_of_its_leaves_as_they_are_now():
    x = [cr.Value(0.5), cr.Value(2.0), cr.Value(-1.0)]

    def build(a):
        return cr.square(a[0]) * a[1] + cr.maximum(a[1], a[2]) * a[0]

    f = cr.compile(build(x))
    for data in ([0.5, 2.0, -1.0], [1.5, -2.0, 3.0], [0.1, 0.2, 0.3]):
        for leaf, number in zip(x, data, strict=True):
            leaf.data = number
        hessian = cr.hessian(build)(data)
        close(f.hessian(), hessian)
        close(f.hessian(wrt=x[:2]), hessian[:2, :2])
        gradient, product = f.hvp(vector=[1.0, -1.0, 2.0], with_gradient=True)
        close(product, hessian @ [1.0, -1.0, 2.0])
        close(gradient, cr.grad(build)(data))
        value, tangent = f.jvp(tangents=[1.0, 0.0, 3.0])
        close((value, tangent), cr.jvp(build, (data,), ([1.0, 0.0, 3.0],)))
        close(f.jacobian(mode="forward"), cr.grad(build)(data))
    with pytest.raises(ValueError, match=r"a direction of shape \(2,\); expected \(3,\)"):
        f.hvp(vector=[1.0, 2.0])
    with pytest.raises(TypeError, match="give wrt, not argnums"):
        f.hessian(argnums=0)


def test_derivatives_follow_the_leaves_and_are_recorded_for_every_shape():
    w = cr.Value(2.0)
    f = cr.compile(lambda x: w * cr.sum([cr.square(e) * e for e in x]))
    for number, size in ((2.0, 1), (3.0, 2), (-1.0, 1)):
        w.data = number
        close(f.hessian(np.ones((3, size))), [6.0 * number * np.eye(size)] * 3)


def test_a_pickled_program_has_the_derivatives_that_it_was_asked_for():
    f = cr.compile(energy)
    expected = f.hvp(X, T, vector=X, argnums=0), f.hessian(X, T, argnums=0)
    loaded = pickle.loads(pickle.dumps(f))
    assert np.array_equal(loaded.hvp(X, T, vector=X, argnums=0), expected[0])
    assert np.array_equal(loaded.hessian(X, T, argnums=0), expected[1])
    with pytest.raises(ValueError, match="a copied or loaded program cannot record"):
        loaded.hessian(X, T)


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda f: f.hessian(X, T), TypeError, "second derivatives of residuals need one number"),
        (lambda f: f.jacobian(X, T, mode="back"), ValueError, "mode='back'; expected 'forward'"),
        (lambda f: f.jvp(X, T, tangents=X), ValueError, "5 arrays for 2 arguments"),
        (
            lambda f: f.jvp(X, T, tangents=T, argnums=0),
            ValueError,
            r"shape \(5,\); expected \(5, 4",
        ),
        (lambda f: f.jvp(X, T, tangents=T, argnums=0, wrt=W), TypeError, "either argnums or wrt"),
        (lambda f: f.jvp(X, T, tangents=T, wrt=W), ValueError, r"expected \(3,\), an entry"),
        (lambda f: f.jvp(X, T, tangents=T, argnums=2), ValueError, "argnums=2; expected numbers"),
    ],
)
def test_what_cannot_be_is_refused(ask, error, message):
    with pytest.raises(error, match=message):
        ask(cr.compile(residuals))


@pytest.mark.parametrize("wide", [False, True])
def test_an_empty_batch_has_empty_derivatives_of_every_kind(wide):
    """The shapes are those of any batch, with 0 for the number of examples."""
    f = cr.compile(
        lambda x, u: cr.sum([W[0] * a * b for a in x for b in (x if wide else x[:2])]) * u
    )
    x, u = np.zeros((0, 6)), np.zeros(0)
    assert [part.shape for part in f.jacobian(x, u)] == [(0, 6), (0,)]
    assert f.jacobian(x, u, wrt=W, mode="forward").shape == (0, 3)
    assert [part.shape for part in f.jvp(x, u, tangents=(x, u))] == [(0,), (0,)]
    assert [part.shape for part in f.hvp(x, u, vector=(x, u))] == [(0, 6), (0,)]
    shapes = [[part.shape for part in row] for row in f.hessian(x, u)]
    assert shapes == [[(0, 6, 6), (0, 6)], [(0, 6), (0,)]]
    with pytest.raises(ValueError, match="the mean over an empty batch is undefined"):
        f.value_and_grad(x, u)


def test_derivatives_by_nothing_are_empty():
    f = cr.compile(lambda x: W[0] * 2.0 + 0.0 * cr.sum([1.0, *x]))
    nothing = np.zeros((3, 0))
    for mode in ("reverse", "forward", None):
        assert f.jacobian(nothing, mode=mode).shape == (3, 0)
        assert f.jacobian(np.ones((3, 2)), wrt=[], mode=mode).shape == (3, 0)
        assert f.jacobian(np.ones((3, 2)), argnums=[], mode=mode) == ()
    assert f.hessian(nothing).shape == (3, 0, 0)
    assert f.hessian(np.ones((3, 2)), wrt=[]).shape == (3, 0, 0)
    assert f.hvp(nothing, vector=nothing).shape == (3, 0)
    assert f.hvp(np.ones((3, 2)), vector=[], wrt=[]).shape == (3, 0)
    value, tangent = f.jvp(nothing, tangents=nothing)
    close((value, tangent), ([2.0 * W[0].data] * 3, [0.0] * 3))
    with pytest.raises(TypeError, match="need one number as its result, not 2"):
        cr.compile(lambda x: [W[0], W[0]]).hessian(nothing)


def test_numbers_of_arguments_may_be_numpys():
    f = cr.compile(lambda x, y: x * y)
    found = f.jacobian([2.0], [3.0], argnums=np.int64(1))
    assert found.tolist() == f.jacobian([2.0], [3.0], argnums=1).tolist() == [2.0]
    for at in (-1, np.int8(-1), (-1,)):
        assert np.ravel(f.jacobian([2.0], [3.0], argnums=at)).tolist() == [2.0]
        assert np.ravel(f.hessian([2.0], [3.0], argnums=at)).tolist() == [0.0]
    assert f.jvp([2.0], [3.0], tangents=[1.0], argnums=-1)[1].tolist() == [2.0]
    assert f.hvp([2.0], [3.0], vector=([1.0], [1.0]), argnums=(-1, 0))[1].tolist() == [1.0]
    for wrong in (2, -3):
        with pytest.raises(ValueError, match="from 0 to 1, or from -2 to -1 from the end"):
            f.jacobian([2.0], [3.0], argnums=wrong)
    with pytest.raises(ValueError, match="argnums=True; expected numbers of arguments"):
        f.jacobian([2.0], [3.0], argnums=True)


# --- sparse --------------------------------------------------------------------------------------


def chain(x):
    """Return residuals that depend on neighbours only."""
    inner = [cr.square(b) - a * c for a, b, c in zip(x, x[1:], x[2:], strict=False)]
    return [x[0] - 1.0, *inner, cr.sin(x[-1])]


def test_a_sparse_jacobian_is_the_dense_one_with_few_sweeps():
    pytest.importorskip("scipy", reason="sparse results are SciPy's")
    f = cr.compile(chain)
    x = RNG.normal(size=(3, 40))
    dense = f.jacobian(x)
    for mode in (None, "forward", "reverse"):
        for matrix, expected in zip(f.jacobian(x, sparse=True, mode=mode), dense, strict=True):
            assert matrix.format == "csr"
            assert matrix.nnz == 3 * 38 + 2
            close(matrix.toarray(), expected)
    by_leaves = cr.compile(residuals).jacobian(X, T, wrt=W, sparse=True)
    assert by_leaves[0].shape == (6, 3)
    close(by_leaves[4].toarray(), cr.compile(residuals).jacobian(X, T, wrt=W)[4].reshape(6, 3))


def test_a_sparse_hessian_is_the_dense_one():
    pytest.importorskip("scipy", reason="sparse results are SciPy's")
    f = cr.compile(lambda x: cr.sum([cr.square(r) for r in chain(x)]))
    x = RNG.normal(size=(2, 20))
    dense = f.hessian(x)
    for matrix, expected in zip(f.hessian(x, sparse=True), dense, strict=True):
        assert matrix.nnz < 20 * 5
        close(matrix.toarray(), expected)
    leaves = [cr.Value(e) for e in x[0]]
    graph = cr.compile(cr.sum([cr.square(r) for r in chain(leaves)]))
    close(graph.hessian(sparse=True).toarray(), dense[0])
    nothing = cr.compile(lambda x: [3.0, 4.0 + 0.0 * x[0].data])
    assert nothing.jacobian(x, sparse=True)[0].nnz == 0


def test_sparse_derivatives_on_a_tie_are_the_dense_ones():
    pytest.importorskip("scipy", reason="sparse results are SciPy's")
    f = cr.compile(lambda x: cr.square(cr.maximum(x[0], x[1])) + cr.square(x[2]))
    (matrix,) = f.hessian([[1.0, 1.0, 3.0]], sparse=True)
    close(matrix.toarray(), [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 2.0]])
    g = cr.compile(lambda x: [cr.maximum(a, b) for a, b in itertools.pairwise(x)])
    for mode in ("forward", "reverse"):
        (matrix,) = g.jacobian([[1.0, 1.0, 2.0, 2.0]], sparse=True, mode=mode)
        close(matrix.toarray(), [[0.5, 0.5, 0, 0], [0, 0, 1, 0], [0, 0, 0.5, 0.5]])


def test_columns_of_one_colour_have_no_row_in_common():
    from chainrule.compiler import sparsity

    at = RNG.random((30, 25)) < 0.1
    rows, columns = np.nonzero(at)
    colours = np.array(sparsity.coloured(rows, columns, 25))
    for row in at:
        used = colours[row]
        assert len(set(used.tolist())) == len(used)
    banded = np.abs(np.subtract.outer(range(50), range(50))) <= 1
    assert max(sparsity.coloured(*np.nonzero(banded), 50)) == 2


def test_without_scipy_the_error_says_what_to_do(monkeypatch):
    usual = importlib.import_module

    def missing(name, *given):
        if name.startswith("scipy"):
            raise ImportError(name)
        return usual(name, *given)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportError, match="SciPy is not installed: pip install scipy"):
        cr.compile(chain).jacobian(X, sparse=True)


# --- called with Values --------------------------------------------------------------------------


def test_a_call_with_values_makes_one_node_for_each_number():
    f = cr.compile(residuals)
    x = [[cr.Value(e) for e in row] for row in X]
    found = f(x, T)
    for y in np.ravel(np.array(found, dtype=object)):
        assert isinstance(y, cr.Value)
        assert set(y.parents) <= {*np.ravel(x), *W}
    close([[[y.data for y in one] for one in row] for row in found], np.array(f(X, T)))
    for leaf in W:
        leaf.grad = 0.0
    cr.sum(np.ravel(np.array(found, dtype=object)).tolist()).backward()
    by_x, _ = f.jacobian(X, T)
    close([[v.grad for v in row] for row in x], by_x.sum(axis=(1, 2)))
    close([leaf.grad for leaf in W], f.jacobian(X, T, wrt=W).sum(axis=(0, 1, 2)))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_node_is_differentiated_again_as_the_function_is(order):
    f = cr.compile(energy)

    def through(t):
        return f([[t, t * t, 0.3, cr.sin(t)]], [t])[0]

    def plain(t):
        return energy([t, t * t, 0.3, cr.sin(t)], t)

    ours, theirs = through, plain
    for _ in range(order):
        ours, theirs = cr.grad(ours), cr.grad(theirs)
    close(ours(0.7), theirs(0.7))
    assert cr.jvp(through, (0.7,), (2.0,)) == pytest.approx(cr.jvp(plain, (0.7,), (2.0,)))


def test_a_leaf_that_is_both_captured_and_an_argument_counts_for_both():
    w = cr.Value(3.0)
    f = cr.compile(lambda x: x * x * w)
    for point in (lambda: w, lambda: 2.0 * w):
        y, expected = f([point()])[0], point() * point() * w
        (slope,), (theirs,) = (cr.gradients(z, [w], create_graph=True) for z in (y, expected))
        close(slope.data, theirs.data)
        close(cr.gradients(slope, [w]), cr.gradients(theirs, [w]))
    by_row = cr.hessian(lambda a: f([a[0] * w])[0] * a[1])([1.5, 2.0])
    close(by_row, cr.hessian(lambda a: cr.square(a[0] * w) * w * a[1])([1.5, 2.0]))


def test_inside_another_compiled_function_it_becomes_a_part_of_that():
    inner = cr.compile(energy)
    outer = cr.compile(lambda x, t: cr.square(inner([x], [t])[0]) + inner([x], [2.0])[0])

    def plain(x, t):
        return cr.square(energy(x, t)) + energy(x, cr.Value(2.0))

    close(outer(X, T), cr.compile(plain)(X, T))
    close(outer.jacobian(X, T)[0], cr.compile(plain).jacobian(X, T)[0])
    close(outer.hessian(X, T, wrt=W), cr.compile(plain).hessian(X, T, wrt=W))


def test_a_call_with_values_keeps_the_structure_of_the_result():
    f = cr.compile(lambda x: {"double": 2.0 * x, "rest": [x, 3.0]})
    v = cr.Value(1.5)
    found = f([v, 2.0])
    assert list(found) == ["double", "rest"]
    assert [getattr(y, "data", y) for y in found["double"]] == [3.0, 4.0]
    assert [getattr(y, "data", y) for y in found["rest"][1]] == [3.0, 3.0]
    with cr.no_grad():
        assert f([v])["double"][0].parents == ()


@pytest.mark.parametrize(
    ("a", "b"), [("v", "n"), ("n", "v"), ("v", "v"), ("vnv", "nvv"), ("nvv", "vnv")]
)
def test_a_number_of_a_call_with_values_is_a_number_on_a_tie(a, b):
    leaf = cr.Value(1.0)

    def function(x, y):
        return cr.maximum(x * leaf, y) * y + cr.maximum(x, 1.0)

    X, Y = ([cr.Value(1.0) if v == "v" else 1.0 for v in kinds] for kinds in (a, b))
    rows = zip(cr.compile(function)(X, Y), map(function, X, Y), X, Y, strict=True)
    for found, expected, x, y in rows:
        inputs = [v for v in (x, y, leaf) if isinstance(v, cr.Value)]
        slopes = [cr.gradients(z, inputs, create_graph=True) for z in (found, expected)]
        close(*([v.data if isinstance(v, cr.Value) else v for v in row] for row in slopes))
        for pair in zip(*slopes, strict=True):
            close(*(cr.gradients(v + 0.0 * x * y, inputs) for v in pair))


def test_a_call_with_values_that_cannot_be_is_refused():
    f = cr.compile(lambda x: x * x)
    v = cr.Value(1.5)
    with pytest.raises(TypeError, match=r"one Value; .*: write f\(\[x\]\)"):
        f(v)
    with pytest.raises(TypeError, match=r"holds Values; .* cr\.grad and the others give"):
        f.jacobian([v])
    loaded = pickle.loads(pickle.dumps(f))
    with pytest.raises(TypeError, match="cannot be called with Values"):
        loaded([v])


def test_a_graph_with_such_nodes_can_be_compiled_as_it_is():
    f = cr.compile(lambda x: [cr.square(x) * W[0], W[1]])
    v = cr.Value(1.5)
    graph = cr.compile(f([v])[0][0] * 2.0, wrt=[v, W[0]])
    for number in (1.5, -2.0):
        v.data = number
        value, slopes = graph.value_and_grad()
        close(value, 2.0 * number**2 * W[0].data)
        close(slopes, [4.0 * number * W[0].data, 2.0 * number**2])


def test_a_graph_with_such_a_node_is_pickled_with_its_program():
    f = cr.compile(lambda x: cr.square(x) * W[0])
    v = cr.Value(1.5)
    y, v2 = pickle.loads(pickle.dumps((f([v])[0], v)))
    y.backward()
    close(v2.grad, 3.0 * W[0].data)
    with pytest.raises(TypeError, match="copied or loaded, cannot be"):
        cr.gradients(y, [v2], create_graph=True)
