"""hypot and atan2 in C: the bits of the table, so of the math module of this interpreter."""

from __future__ import annotations

import itertools
import math
import random
import struct
import tracemalloc

import pytest

import chainrule as cr
from chainrule.engine import sweeps, value
from chainrule.engine.native import core as native

if native is None:
    pytest.skip("the native core is not built, or switched off", allow_module_level=True)

TINY, LEAST, MOST = 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308
EDGES = [0.0, 1.0, 3.0, 1e-170, 1e170, 1e-300, LEAST, LEAST / 4, TINY, MOST, MOST / 2, math.inf]
EDGES = [*EDGES, *(-x for x in EDGES), math.nan]
ROWS = [cr.hypot, cr.atan2]


def bits(x):
    return "nan" if x != x else struct.pack("<d", x)


def points(count):
    rng = random.Random(count)
    for _ in range(count):
        scale = rng.choice([1.0, 1.0, 1e-160, 1e160, 1e-310])
        a = rng.gauss(0.0, 1.0) * scale
        yield a, rng.gauss(0.0, 1.0) * scale * rng.choice([1.0, 1.0, 1e-8, 1e-4])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_values_and_partials_are_those_of_the_table(row):
    for a, b in itertools.chain(itertools.product(EDGES, repeat=2), points(10_000)):
        y = row(native.Value(a), native.Value(b))
        slopes = [rule(a, b, y.data) for rule in row.partials]
        expected = [bits(x) for x in (row.scalar(a, b), *slopes)]
        assert [bits(x) for x in (y.data, *y.partials)] == expected, (a, b)
        assert bits(row(a, b)) == expected[0], (a, b)


def derivatives(row, x, y, order):
    """Return all partial derivatives up to *order*, by sweeps of Values."""
    found = [row(x, y)]
    for node in found:
        if len(found) >= 2 ** (order + 1) - 1:
            break
        slopes = sweeps.pullback({node: 1.0}, sweeps.linked_partials)
        for v in (x, y):
            slope = slopes.get(v, 0.0)
            found.append(slope if type(slope) is type(x) else type(x)(slope))
    return [bits(node.data) for node in found]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_second_and_third_derivatives_are_those_of_the_reference(row):
    for a, b in itertools.chain(itertools.product(EDGES[:12], EDGES[::3]), points(200)):
        seen = [derivatives(row, make(a), make(b), 3) for make in (value.Value, native.Value)]
        assert seen[0] == seen[1], (a, b)


def test_nested_transforms_agree_with_closed_forms():
    for a, b in itertools.islice(points(10_000), 50):
        if not 1e-3 < min(abs(a), abs(b)) < 10.0:
            continue
        r = math.hypot(a, b)
        assert cr.hessian(cr.hypot)(a, b)[0][1] == pytest.approx(-a * b / r**3, rel=1e-12)
        assert cr.hessian(cr.atan2)(a, b)[0][0] == pytest.approx(-2 * a * b / r**4, rel=1e-12)
        third = cr.grad(cr.grad(cr.grad(lambda x, b=b: cr.hypot(x, b))))(a)
        assert third == pytest.approx(-3 * a * b * b / r**5, rel=1e-10)


def test_asking_the_interpreter_leaves_nothing_behind():
    x, y = cr.Value(3.0), cr.Value(4.0)

    def work():
        for _ in range(2000):
            cr.atan2(cr.hypot(x, y), y)

    work()
    tracemalloc.start()
    try:
        work()
        before = tracemalloc.get_traced_memory()[0]
        work()
        assert tracemalloc.get_traced_memory()[0] - before < 2000
    finally:
        tracemalloc.stop()
