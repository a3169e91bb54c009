"""The careful forms and the words: pure, and NumPy's own numbers also at the edges."""

import inspect
import itertools

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import forms as quick
from chainrule.compiler.printers.arrays import forms, words
from chainrule.engine.table import BUILT_IN, TABLE, arrays

from ..test_edges import applied, points_of
from .libraries import numpy_of

inf, nan = np.inf, np.nan
ROWS = np.array(list(itertools.product([0.0, 2.0, -900.0, 800.0, inf, -inf, nan], repeat=3)))


def same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("name", ["softmax", "logsumexp", "logsumexp_slopes"])
def test_softmax_and_its_relatives_are_those_of_numpy(name):
    stretches = np.array([0, 2]), np.array([0, 0, 1])
    tables = words.indices([[0, 1], [2, 2]]), words.indices([[0, 1], [2, 3]])
    whole = (*tables, words.indices([0, 0, 1]), words.indices([0, 1, 2]))
    with np.errstate(all="ignore"):
        same(getattr(forms, name)(ROWS), getattr(quick, name)(ROWS))
        same(getattr(forms, name)(ROWS, whole), getattr(quick, name)(ROWS, *stretches))


def test_pullbacks_and_losses_are_those_of_numpy():
    rng = np.random.default_rng(0)
    shares = np.array([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5], [0.0, 0.5, 0.5]])
    with np.errstate(all="ignore"):
        p = quick.softmax(ROWS[~np.isnan(quick.softmax(ROWS)).any(axis=-1)])
        for g in (rng.normal(size=p.shape), np.where(rng.random(p.shape) < 0.3, inf, 1.0)):
            same(forms.softmax_pullback(p, g), quick.softmax_pullback(p, g))
        same(forms.surprisals(ROWS), arrays.surprisals(ROWS))
        for y in shares:
            same(forms.cross_entropy(ROWS, y), arrays.cross_entropy(ROWS, y))
            finite = ROWS[~np.isnan(ROWS).any(axis=-1)]
            same(forms.softmax_minus(finite, y), arrays.softmax_minus(finite, y))


def test_a_linked_product_leaves_terms_out_and_has_ieees_infinities():
    rng = np.random.default_rng(0)
    kinds = np.array([0.0, 1.0, -2.0, inf, -inf, nan])
    with np.errstate(all="ignore"):
        for _ in range(300):
            a = rng.choice(kinds[:3], size=(3, 4))
            b = rng.choice(kinds, size=(4, 2), p=[0.3, 0.3, 0.2, 0.1, 0.05, 0.05])
            mask = (rng.random((3, 4)) < 0.6).astype(float)
            a = np.where(mask, a, 0.0)
            terms = np.where(mask[:, :, None] != 0, a[:, :, None] * b[None], 0.0)
            same(forms.linked_product(a, b, mask), terms.sum(axis=1))


def test_no_form_writes_branches_on_data_or_calls_a_method_of_a_ufunc():
    for module in (forms, words):
        for name, function in vars(module).items():
            if inspect.isfunction(function) and function.__module__ == module.__name__:
                text = inspect.getsource(function)
                for sign in (".reduce", ".at(", "out=", "+=", "copyto", ".any()", ".all()"):
                    assert sign not in text, (name, sign)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_primitive_is_spelled_for_every_library(name, backend):
    row = TABLE[name]
    shifts = [cr.Value(0.5) for _ in points_of(row)[0]]
    compiled = cr.compile(applied(row, shifts), backend=backend).record(*([0.5] for _ in shifts))
    assert "rows[" not in compiled.source
    if backend != "jax":  # which takes longer to compile; its edges are asked below
        point = [0.25 * (1 + i) for i in range(len(shifts))]
        expected = applied(row, [None] * len(shifts))(*(x + 0.5 for x in point))
        same(numpy_of(compiled(*([x] for x in point))), [expected])


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 800.0, -800.0, 20.0, 1e300, inf, -inf, nan]


@pytest.mark.parametrize("name", sorted(n for n in BUILT_IN if TABLE[n].arity == 1))
def test_edges_of_one_argument(name, backend):
    """All points of a row in one program, each with a leaf of its own; no subnormal numbers."""
    row = TABLE[name]
    kept = [x for x in SPECIAL if not (name in ("sinh", "cosh") and 700.0 < abs(x) < inf)]
    leaves = [cr.Value(x) for x in kept]
    every = [row(leaf) for leaf in leaves]
    total = cr.sum(every)
    total.backward()
    found = [float(x) for x in cr.compile(every, backend=backend)()]
    same(found, [y.data for y in every])
    compiled = cr.compile(total, backend=backend)
    _, slopes = compiled.value_and_grad()
    same(numpy_of(slopes), [p.grad for p in compiled.parameters])
