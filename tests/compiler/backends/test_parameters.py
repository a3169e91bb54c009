"""Parameters and batches on the device: sent when Values changed, pulled when asked."""

import pickle
import random

import numpy as np
import pytest

import chainrule as cr

from .. import families
from .libraries import numpy_of


def line(backend, **options):
    w, b = cr.Value(2.0), cr.Value(0.5)
    f = cr.compile(lambda x, y: cr.square(w * x + b - y), backend=backend, **options)
    X, Y = np.linspace(-1.0, 1.0, 8), 3.0 * np.linspace(-1.0, 1.0, 8) - 1.0
    return w, b, f.record(X, Y), X, Y


def test_parameters_stay_on_the_device_until_they_are_pulled(backend):
    w, b, f, X, Y = line(backend)
    X, Y = (f.library.array(x) for x in (X, Y))
    assert f.library.is_own(f.parameters_on_device)
    assert numpy_of(f.parameters_on_device).tolist() == [2.0, 0.5]
    for _ in range(200):
        _, slopes = f.value_and_grad(X, Y)
        with f.library.running():
            f.parameters_on_device = f.parameters_on_device - 0.3 * slopes
    assert (w.data, b.data) == (2.0, 0.5)
    f.pull()
    assert w.data == pytest.approx(3.0, rel=1e-12)
    assert b.data == pytest.approx(-1.0, rel=1e-12)


def test_a_value_that_was_written_is_sent_again_and_no_other(backend):
    w, b, f, X, Y = line(backend)
    f.parameters_on_device = np.array([10.0, 20.0])
    b.data = -1.0
    assert numpy_of(f.parameters_on_device).tolist() == [10.0, -1.0]
    assert (w.data, b.data) == (2.0, -1.0)
    value, _ = f.value_and_grad(X, Y)
    assert float(value) == pytest.approx(np.mean((10.0 * X - 1.0 - Y) ** 2), rel=1e-12)
    f.pull()
    assert (w.data, b.data) == (10.0, -1.0)


def test_leaves_that_are_read_but_not_differentiated_are_sent_too(backend):
    w, b = cr.Value(2.0), cr.Value(3.0)
    f = cr.compile(lambda x: w * x + b, wrt=[b], backend=backend).record([1.0])
    assert numpy_of(f.parameters_on_device).tolist() == [3.0]
    f.parameters_on_device = [5.0]
    w.data = 7.0
    assert numpy_of(f([1.0])).tolist() == [12.0]
    value, slopes = f.value_and_grad([1.0, 3.0])
    assert (float(value), numpy_of(slopes).tolist()) == (19.0, [1.0])


def test_examples_of_another_shape_have_the_parameters_that_were_trained(backend):
    w, more = cr.Value(2.0), cr.Value(1.0)
    f = cr.compile(lambda x: w * x[0] + (more if len(x) > 1 else 0.0), backend=backend)
    f([[1.0]])
    f.parameters_on_device = [4.0]
    assert numpy_of(f([[1.0, 1.0]])).tolist() == [5.0]
    assert numpy_of(f([[1.0]])).tolist() == [4.0]


def test_float32_by_choice(backend):
    run, _ = families.mlp(random.Random(1), (3, 4, 2), activation=cr.tanh)
    X = np.random.default_rng(0).normal(size=(4, 3))
    exact = cr.compile(lambda x: cr.sum(run(x)))
    f = cr.compile(lambda x: cr.sum(run(x)), backend=backend, dtype="float32")
    found, (value, slopes) = f(X), f.value_and_grad(X)
    for x in (found, value, slopes, f.parameters_on_device):
        assert "float32" in str(x.dtype)
    np.testing.assert_allclose(numpy_of(found), exact(X), rtol=3e-5, atol=1e-6)
    np.testing.assert_allclose(numpy_of(slopes), exact.value_and_grad(X)[1], rtol=1e-4, atol=1e-6)
    assert cr.compile(lambda x: x, backend=backend)([1.0]).dtype != found.dtype


def test_a_pickled_function_runs_on_its_library(backend):
    _, _, f, X, Y = line(backend)
    again = pickle.loads(pickle.dumps(f))
    np.testing.assert_array_equal(numpy_of(again(X, Y)), numpy_of(f(X, Y)))
    again.parameters[0].data = 0.0
    assert numpy_of(again(X, Y)).tolist() != numpy_of(f(X, Y)).tolist()


def test_the_printed_source_runs_by_itself(backend):
    _, _, f, X, Y = line(backend)
    names = {}
    with f.library.running():
        exec(f.source, names)
        given = names.get("constant", f.library.array)
        thetas = [given([p.data]) for p in f.placed]
        batch = [given(x.reshape(-1, 1)) for x in (X, Y)]
        cost, slopes = names["gradient"](*thetas, *batch)
    value, gradient = f.value_and_grad(X, Y)
    assert float(cost[0]) == float(value)
    order = [f.placed.index(p) for p in f.parameters]
    found = np.array([float(x.reshape(-1)[0]) if hasattr(x, "reshape") else float(x[0])
                      for x in slopes])[order]  # fmt: skip
    np.testing.assert_array_equal(found, numpy_of(gradient))
    for written in ("out=", "] =", "+=", ".reduce(", "if "):
        assert (
            written
            not in f.source.replace("x if ", "").replace("= indices(", "").split("def forward")[1]
        ), written
