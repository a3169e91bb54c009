"""What could go wrong silently in compiled functions: names, changed arguments, frozen numbers."""

import copy
import threading

import numpy as np
import pytest

import chainrule as cr

from ..threads import switched_every
from .asking import rounds


def eager(function, X):
    return [
        [getattr(v, "data", v) for v in np.ravel(np.array(function(x), dtype=object))] for x in X
    ]


def assert_same(function, X):
    compiled = cr.compile(function)
    compiled.record(X)
    for (asked,) in rounds(compiled.parameters, [X]):
        found = np.array(compiled(asked)).reshape(-1, len(asked)).T
        expected = np.array(eager(function, asked.tolist()), dtype=float)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    return compiled


def test_operations_of_one_argument_keep_their_parentheses():
    w, u = cr.Value(4.0), cr.Value(3.0)
    for reduced in (cr.minimum, cr.maximum, lambda z: cr.logsumexp([z]), lambda z: cr.sum([z])):
        for function in (
            lambda x, f=reduced: u * f(x - w),
            lambda x, f=reduced: u - f(x - w),
            lambda x, f=reduced: -f(x - w),
            lambda x, f=reduced: u / f(x * w),
        ):
            assert_same(function, [2.0, 5.0])
    assert cr.compile(u * cr.maximum(w - u))() == 3.0


LABELS = [
    "m", "m_", "np", "np.tanh", "None", "class", "lambda", "len", "float", "sigmoid", "softmax",
    "rows", "slots", "forward", "gradient", "reduced", "c0", "i0", "math", "X", "x", "sum", "_1",
]  # fmt: skip


@pytest.mark.parametrize("label", LABELS)
def test_a_label_may_be_any_word(label):
    one, row = cr.Value(5.0, label), [cr.Value(0.5 * i, f"{label}[{i}]") for i in range(3)]
    two = [cr.Value(0.5, label), cr.Value(-0.5, label)]

    def function(x):
        hidden = cr.sigmoid(cr.dot(row[1:], x, row[0]))
        return hidden * one + cr.logsumexp([cr.tanh(cr.dot(two, x)), one])

    X = np.array([[1.0, 2.0], [3.0, -4.0], [0.5, 6.0]])
    compiled = assert_same(function, X)
    cr.mean([function(x) for x in X]).backward()
    gradient = compiled.value_and_grad(X)[1]
    np.testing.assert_allclose(gradient, [p.grad for p in compiled.parameters], rtol=1e-12)


@pytest.mark.parametrize("name", ["len", "np", "sigmoid", "m", "_1", "_add", "c0", "rows", "slots"])
def test_an_argument_may_have_any_name(name):
    w = cr.Value(2.0)
    scope = {"cr": cr, "w": w}
    exec(f"def function({name}, X, x): return cr.sigmoid({name} * w) + X * w - x", scope)
    found = cr.compile(scope["function"])([1.0, 2.0], [3.0, 4.0], [5.0, 7.0])
    np.testing.assert_allclose(found, 1 / (1 + np.exp([-2.0, -4.0])) + [1.0, 1.0], rtol=1e-14)


def test_a_function_may_change_the_lists_it_is_given():
    w = cr.Value(2.0)

    def swapped(x):
        x = x if isinstance(x, list) else x.tolist()
        x[0], x[1] = x[1], x[0]
        return x[0] - w * x[1]

    def scaled(x):
        x = x if isinstance(x, list) else x.tolist()
        x[0] = x[0] * w
        x.append(x.pop(0))
        x.insert(0, w)
        return x[0] - x[1] * x[2]

    for function in (swapped, scaled):
        compiled = assert_same(function, np.array([[1.0, 2.0], [3.0, 5.0]]))
        assert compiled.parameters == (w,)


def test_what_would_fix_the_numbers_of_one_example_is_refused():
    w = cr.Value(4.0)

    def without(x):
        with cr.no_grad():
            return w * x

    for function, what in (
        (without, "no_grad"),
        (cr.no_grad()(lambda x: w * x), "no_grad"),
        (lambda x: w * x.detach(), "detach"),
        (lambda x: w * copy.copy(x), "copying"),
        (lambda x: w * copy.deepcopy(x), "copying"),
    ):
        with pytest.raises(cr.TraceError, match=what):
            cr.compile(function)([1.0, 2.0])


def test_a_plain_number_that_is_returned_is_no_parameter():
    w = cr.Value(2.0)
    compiled = cr.compile(lambda x: 3.0)
    mean, gradient = compiled.value_and_grad([1.0, 2.0])
    assert (mean, gradient.tolist(), compiled.parameters) == (3.0, [], ())
    several = cr.compile(lambda x: [w * x, 3.0, 3.0])
    assert np.array(several([1.0, 2.0])).tolist() == [[2.0, 4.0], [3.0, 3.0], [3.0, 3.0]]
    assert several.parameters == (w,)


@pytest.mark.asks_once  # the parameters are those of both threads
def test_backward_adds_into_the_parameters_of_its_own_recording():
    w, u = cr.Value(4.0), cr.Value(3.0)
    compiled = cr.compile(lambda x: x[0] * w if len(x) == 1 else x[0] * u)
    A, B = np.ones((1, 1)), np.ones((1, 2))
    compiled(A)
    compiled(B)
    stop = threading.Event()

    def others():
        while not stop.is_set():
            compiled.value_and_grad(B)

    thread = threading.Thread(target=others)
    with switched_every(1e-6):
        thread.start()
        for _ in range(1000):
            compiled.backward(A)
        stop.set()
        thread.join()
    assert (w.grad, u.grad) == (1000.0, 0.0)


def test_an_empty_batch_gives_empty_arrays_also_through_views():
    kernel = [cr.Value(1.0), cr.Value(2.0)]
    compiled = cr.compile(lambda x: [kernel[0] * x[i] + kernel[1] * x[i + 1] for i in range(3)])
    assert [len(found) for found in compiled(np.zeros((0, 4)))] == [0, 0, 0]


def test_masked_arrays_are_refused():
    with pytest.raises(TypeError, match="masked"):
        cr.compile(lambda x: x * x)(np.ma.array([1.0, 9.0], mask=[0, 1]))


def test_a_dictionary_of_graphs_can_be_compiled():
    a = cr.Value(2.0)
    assert cr.compile({"square": a * a, "same": a})() == {"square": 4.0, "same": 2.0}
