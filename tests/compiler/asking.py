"""How a compiled program is asked: three times, with changes between, and after another program.

A program keeps its arrays from run to run.  What it left there, or another program did, must not be
seen in a result; a test that asks once could not tell.  So no test of this room asks once: its
``conftest.py`` puts :func:`three_times` in the place of every question.  Where there is an oracle
for other parameters as well, :func:`rounds` yields what to ask.
"""

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.engine import modes


def rounds(parameters, arrays=()) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the batches to ask for, and change the data of the *parameters* between them.

    As given; other numbers for the parameters and half the examples, from the last on; and as given
    again, after another program ran.  With numbers of the same sign all stays in its domain.
    """
    before = [p.data for p in parameters]
    arrays = tuple(np.asarray(x) for x in arrays)
    yield arrays
    _change(parameters, before)
    yield _half(arrays)
    for p, x in zip(parameters, before, strict=True):
        p.data = x
    run_another()
    yield arrays


def _change(parameters, before):
    for i, p in enumerate(parameters):
        p.data = before[i] * (1.0 + 0.0625 * (1 + i % 3))


def _half(arrays):
    """Return half of the examples, from the last on."""
    return tuple(np.asarray(x)[::-1][: (1 + len(x)) // 2] for x in arrays)


# --- every question, three times ----------------------------------------------------------------

_asking = False


@contextlib.contextmanager
def _by_ourselves():
    """What is asked within is asked once."""
    global _asking
    before, _asking = _asking, True
    try:
        yield
    finally:
        _asking = before


def three_times(ask: Callable[..., Any]) -> Callable[..., Any]:
    """Return *ask*, a method of a compiled program, as one that answers the same three times.

    Between the answers it is asked with other parameters for half the examples, and another program
    runs.  What is asked by an operation of a program that runs is asked once.
    """

    @functools.wraps(ask)
    def asked(program, *arrays):
        if _asking or modes.current().tracing:  # within a function that is being recorded
            return ask(program, *arrays)
        with _by_ourselves():
            first = ask(program, *arrays)
            for between in (functools.partial(_with_others, ask, program, arrays), run_another):
                between()
                assert_same_answer(ask(program, *arrays), first)
            return first

    return asked


def added_three_times(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Return *backward*, which adds to gradients, as one that asks for them three times before."""

    @functools.wraps(backward)
    def asked(program, *arrays):
        mean, _ = program.value_and_grad(*arrays)
        with _by_ourselves():
            found = backward(program, *arrays)
        assert_same_answer(found, mean)
        return found

    return asked


def _with_others(ask, program, arrays):
    """Ask with other parameters, for half the examples; an error is an answer too."""
    parameters = program.parameters
    before = [p.data for p in parameters]
    try:
        _change(parameters, before)
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ask(program, *_half(arrays))
    finally:
        for p, x in zip(parameters, before, strict=True):
            p.data = x


def assert_same_answer(found, expected):
    """Compare two answers of a program: structures of arrays, floats, or both."""
    for a, b in zip(_parts(found), _parts(expected), strict=True):
        floor = 1e-12 * np.max(np.abs(b), initial=0.0, where=np.isfinite(b))
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=floor)


def _parts(structure):
    if isinstance(structure, dict):
        structure = list(structure.values())
    if isinstance(structure, (list, tuple)):
        return [part for x in structure for part in _parts(x)]
    array = np.asarray(structure)
    if array.dtype.kind == "O":  # asked with Values
        array = np.array([getattr(x, "data", x) for x in array.ravel()]).reshape(array.shape)
    return [array.astype(float)]


def run_another():
    """Run a program that has nothing to do with any test's."""
    program = _another()
    for count in (5, 2):
        program.value_and_grad(np.ones((count, 3)))


@functools.cache
def _another():
    w = [[cr.Value(0.1 * i - 0.2 * j) for j in range(3)] for i in range(3)]

    def function(x):
        hidden = [cr.tanh(cr.dot(w[i], x)) for i in (0, 1, 1)]
        return cr.dot(w[1], [cr.sigmoid(cr.dot(w[i], hidden)) for i in (2, 0, 1)])

    return cr.compile(function)


def recomputed(roots):
    """Return the *roots* of a graph built again by the engine, from the present data of its leaves.

    The leaves are the same ones.
    """
    nodes, seen = list(roots), set(roots)
    for node in nodes:  # grows while it is read
        for operand in node.operands:
            if isinstance(operand, cr.Value) and operand not in seen:
                seen.add(operand)
                nodes.append(operand)
    built = {}
    for node in sorted(nodes, key=lambda node: node.serial):
        row = node.primitive
        operands = [built.get(x, x) if isinstance(x, cr.Value) else x for x in node.operands]
        built[node] = node if row is None else row(*operands)
    return [built[root] for root in roots]


# --- the engine's answers ------------------------------------------------------------------------


def flat(structure):
    """Return the leaves of *structure* from left to right."""
    if isinstance(structure, np.ndarray):
        structure = structure.tolist()
    if isinstance(structure, dict):
        return [leaf for part in structure.values() for leaf in flat(part)]
    if isinstance(structure, (list, tuple)):
        return [leaf for part in structure for leaf in flat(part)]
    return [structure]


def columns(found, result):
    """Return the array *found* for each number of *result*; both have one structure."""
    if isinstance(result, np.ndarray) and result.ndim:
        assert isinstance(found, np.ndarray)
        assert found.shape[:-1] == result.shape
        return list(found.reshape(-1, found.shape[-1]))
    if isinstance(result, (dict, list, tuple)):
        assert type(found) is type(result)
        assert len(found) == len(result)
        keys = result if isinstance(result, dict) else range(len(result))
        return [column for key in keys for column in columns(found[key], result[key])]
    return [found]


def number(x):
    return x.data if isinstance(x, cr.Value) else x


def assert_agrees(function, *arrays):
    """Compare all results of *function* with the engine's, and the gradient of their sum."""
    compiled = cr.compile(function).record(*arrays)
    total = cr.compile(lambda *example: cr.sum(flat(function(*example)))).record(*arrays)
    for asked in rounds(compiled.parameters, arrays):
        _compare(function, compiled, total, asked)
    return compiled


def _compare(function, compiled, total, arrays):
    results = [function(*example) for example in zip(*(a.tolist() for a in arrays), strict=True)]
    expected = np.array([[number(x) for x in flat(result)] for result in results])
    for column, array in zip(expected.T, columns(compiled(*arrays), results[0]), strict=True):
        # What is small because terms of order 1 cancelled is as exact as these.
        np.testing.assert_allclose(array, column, rtol=1e-12, atol=1e-13)

    for p in total.parameters:
        p.grad = 0.0
    mean = cr.mean([cr.sum(flat(result)) for result in results])
    if isinstance(mean, cr.Value):
        mean.backward()
    value, gradient = total.value_and_grad(*arrays)
    slopes = np.array([p.grad for p in total.parameters])
    np.testing.assert_allclose(value, number(mean), rtol=1e-12, atol=1e-12 * np.abs(expected).max())
    floor = 1e-12 * np.max(np.abs(slopes), initial=0.0)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-12, atol=floor)
