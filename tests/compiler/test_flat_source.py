"""The printed program of a graph without width reads like the formula, and computes the same."""

import contextlib
import random

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import lifting
from chainrule.compiler.compiled import Compiled
from chainrule.compiler.printers import flat as printed_flat
from chainrule.compiler.printers import rows as printed_rows
from chainrule.engine.table import TABLE

from . import families
from .random_programs import pieces, verdict
from .test_scalars import GRAPHS


@pytest.fixture(autouse=True)
def every_digit(monkeypatch):
    """Print no formula of the notes that loses digits, so that all can be compared."""
    monkeypatch.setattr(printed_rows, "READ", {})


def loaded(compiled):
    names = printed_flat.row_names(compiled.plans)
    namespace = {"rows": {name: row for row, name in names.items()}}
    exec(compiled.source, namespace)
    return namespace


def arguments(compiled, arrays):
    theta = [np.array([p.data for p in compiled.placed])] if compiled.placed else []
    return [*theta, *(np.asarray(x, dtype=float) for x in arrays)]


def assert_the_same(compiled, *arrays, tolerance=1e-12):
    """Compare the printed functions with the machine."""
    lifted = compiled.record(*arrays)._recorded()
    assert lifted.narrow
    batch = compiled._batch(arrays) if arrays else ()
    module, given = loaded(compiled), arguments(compiled, arrays)
    expected = lifted.forward(batch)
    found = module["forward"](*given)
    assert found.shape == (expected.T.shape if arrays else (lifted.size,))
    close(found, expected.T if arrays else expected[:, 0], tolerance)
    if lifted.size == 1:
        cost, slopes = lifted.gradient(batch)
        mean, (gradient,) = module["gradient"](*given)
        close(mean, cost, tolerance)
        close(gradient, slopes, tolerance)


def close(found, expected, tolerance):
    finite = np.abs(expected)[np.isfinite(expected)]
    floor = tolerance * np.max(finite, initial=0.0)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=floor)


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda f: f.__name__)
def test_it_computes_what_the_machine_computes(graph):
    w = families.values(random.Random(0), 3)
    for points in (np.linspace(-1.0, 1.5, 7), np.array([0.3])):
        assert_the_same(cr.compile(lambda x: graph(x, w)), points)
    assert_the_same(cr.compile(graph(cr.Value(0.4), w)))


def steps(x, w, b, count=60):
    for _ in range(count):
        x = w * cr.sin(x) + b
    return x


def test_it_reads_like_the_formula():
    w, b = cr.Value(0.9, "w"), cr.Value(0.1, "b")
    f = cr.compile(lambda x: steps(x, w, b, 2) - x).record([1.0])
    f._recorded().narrow = True  # small as it is
    text = f.source
    assert text[: text.index("@np")] == "import numpy as np\n\n\n"
    forward, gradient = text.split("\n\n\n")[1:]
    assert forward == (
        '@np.errstate(all="ignore")\n'
        "def forward(theta, X):\n"
        "    w, b = theta\n"
        "    x = X.reshape(-1)\n"
        "    return np.column_stack([w * np.sin(w * np.sin(x) + b) + b - x])"
    )
    assert gradient.startswith(
        '@np.errstate(all="ignore")\ndef gradient(theta, X):\n    m = len(X)\n'
    )
    assert "np.cos(" in gradient
    assert ".sum() / m" in gradient


def test_labels_that_cannot_be_names_are_places_of_the_vector():
    for labels in (("w", "w"), ("w", ""), ("w", "not one"), ("w", "m"), ("np", "b"), ("X", "b")):
        w, b = (cr.Value(0.7, label) for label in labels)
        compiled = cr.compile(lambda x, w=w, b=b: steps(x, w, b))
        assert_the_same(compiled, [0.3, 0.4])
        assert "theta[0]" in compiled.source
        assert "theta[1]" in compiled.source


def test_arguments_of_any_shape_and_name():
    w = cr.Value(0.7)

    def f(x, theta, v1, X):
        return [steps(x, theta[1], v1[1][0]) * w, v1[0][1], w, 3.0, X]

    many = [np.linspace(0.1, 0.9, 5), np.ones((5, 3)), np.full((5, 2, 2), 0.3), np.arange(5.0)]
    assert_the_same(cr.compile(f), *many)
    assert_the_same(cr.compile(f), *(x[:1] for x in many))


def test_results_that_all_examples_have_in_common():
    w, unused = cr.Value(0.7), cr.Value(1.0)
    assert_the_same(cr.compile(lambda x: [steps(w, w, 0.1), 2.0, w]), [0.3, 0.4])
    assert_the_same(cr.compile(lambda x: steps(w, w, 0.1)), [0.3, 0.4, 0.5])
    assert_the_same(cr.compile(lambda x: steps(w, w, x) + w), [0.3, 0.4, 0.5])
    wrt = cr.compile(lambda x: steps(x, w, cr.Value(0.2)), wrt=[unused, w])
    assert_the_same(wrt, [0.3, 0.4, 0.5])
    assert_the_same(cr.compile(lambda x: steps(x, x, 0.2)), [0.3, 0.4, 0.5])


def test_constants_alone_have_ieee_answers():
    zero = cr.Value(0.0)
    w = cr.Value(0.5)
    with cr.no_grad():
        bad = 1.0 / zero

    def f(x):
        h = 1.0 / cr.Value(0.0) + w * 0.0
        return [steps(x, w, 0.1), h, bad, cr.Value(-1.0) ** 0.5, cr.Value(0.0) ** w]

    assert_the_same(cr.compile(f), [0.3, 0.4])
    assert loaded(cr.compile(f).record([0.3]))


def test_conditions_and_choices():
    w = families.values(random.Random(3), 3)

    def f(x):
        for k in range(30):
            below = cr.less(x, w[k % 3])
            x = cr.where(below, cr.sin(x) + w[0], w[1] * x) + below * 0.1
            x = cr.where(cr.equal(x, 0.25), x, cr.maximum(x, -1.0, w[2] * x))
        return x

    assert_the_same(cr.compile(f), np.linspace(-2.0, 2.0, 40))


def test_rows_of_your_own_are_called():
    name = "a {row} of one's own"
    row = cr.primitive(
        name,
        lambda x: x / (1.0 + abs(x)),
        (lambda x, y: 0.5,),
        array=lambda x: x / (1.0 + np.abs(x)),
    )
    w = cr.Value(0.7)
    try:
        compiled = cr.compile(lambda x: steps(row(steps(x, w, 0.2, 30)), w, 0.1, 30))
        assert_the_same(compiled, [0.3, 0.4])
        assert f"rows[{name!r}](" in compiled.source
    finally:
        del TABLE[name]


def test_many_numbers_are_written_in_lines():
    w = families.values(random.Random(3), 40)

    def f(x):
        for k in range(80):
            x = cr.sin(x * w[k % 40]) + 0.1
        return x

    compiled = cr.compile(f)
    assert_the_same(compiled, [0.3, 0.4])
    assert max(map(len, compiled.source.splitlines())) < 120


def test_no_array_program_is_made_for_it():
    w = cr.Value(0.7)
    compiled = cr.compile(lambda x: steps(x, w, 0.2)).record([0.3])
    assert "def gradient" in compiled.source
    assert compiled._recorded()._arrays is None


@pytest.mark.asks_once
def test_random_programs_compute_what_the_machine_computes(monkeypatch):
    monkeypatch.setattr(lifting, "narrow", lambda nodes, groups: True)
    compared = []
    record = Compiled.record

    def recorded(self, *arrays):
        record(self, *arrays)
        lifted = self._recorded()
        has_loops = not isinstance(lifted, lifting.Lifted) or lifted.with_loops is not None
        if lifted.narrow and arrays and not has_loops and id(lifted) not in compared:
            compared.append(id(lifted))
            batch = self._batch(arrays)
            module, given = loaded(self), arguments(self, arrays)
            same(module["forward"](*given), lifted.forward(batch).T)
            if lifted.size == 1:
                cost, slopes = lifted.gradient(batch)
                mean, (gradient,) = module["gradient"](*given)
                same(mean, cost)
                same(gradient, slopes)
        return self

    def same(found, expected):
        np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
        good = np.isfinite(expected)
        found, expected = np.where(good, found, 0.0), np.where(good, expected, 0.0)
        floor = 1e-12 * np.max(np.abs(expected), initial=0.0)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=floor)

    monkeypatch.setattr(Compiled, "record", recorded)
    for seed in range(60):
        with contextlib.suppress(verdict.InvalidProgramError):
            outcome = verdict.check(pieces.program(seed))
            assert outcome.failure is None, f"program {seed}: {outcome.failure}"
    assert len(compared) > 40
