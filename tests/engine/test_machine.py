"""The machine in C does what a plan says: every code against a reading of it in plain Python.

The reading below knows no blocks, no threads and no vectors: it goes through all examples, all
indices and all terms in order, with the table's own functions on floats, and adds up exactly.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import math
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc

import numpy as np
import pytest

from chainrule.compiler.machine import Machine as NumPyMachine
from chainrule.compiler.plan import BLOCK, STILL, SUMS, Operand, Plan, Step
from chainrule.engine import table
from chainrule.engine.backend import Value
from chainrule.engine.native import core
from chainrule.engine.table import TABLE

if core is None:
    pytest.skip("there is no native core here", allow_module_level=True)

inf, nan = math.inf, math.nan


@pytest.fixture(params=["baseline", "avx2", "avx512"])
def level(request, monkeypatch):
    """Let machines be made for a level of the processor, if it is one of this processor's."""
    monkeypatch.setenv("CHAINRULE_LEVEL", request.param)
    if core.Machine(Plan()).level != request.param:
        pytest.skip("this processor has no such level")
    return request.param


# --- a plan, read in plain Python -----------------------------------------------------------------


class Reading:
    """The places of one example, and of what all examples share."""

    def __init__(self, plan, parameters, m):
        self.plan = plan
        self.still = [float(x) for x in plan.still]
        self.still[0] = float(m)
        first, end = plan.parameters
        self.still[first:end] = map(float, parameters)
        self.sums = [[] for _ in range(plan.sums)]
        self.block = []

    def place(self, operand, index):
        space, offset, strides = operand
        at = offset + sum(i * s for i, s in zip(index, strides, strict=True))
        return (self.still, self.block, self.sums)[space], at

    def get(self, operand, index):
        numbers, at = self.place(operand, index)
        return total(numbers[at]) if numbers is self.sums else numbers[at]

    def put(self, operand, index, x):
        numbers, at = self.place(operand, index)
        if numbers is self.sums:
            numbers[at].append(x)
        else:
            numbers[at] = x

    def address(self, at):
        return (self.block, at) if at >= 0 else (self.still, ~at)

    def all(self, steps, k=0):
        """Do *steps*, in round *k* of the innermost loop around them."""
        steps = list(steps)
        while steps:
            step = steps.pop(0)
            if step.code == "loop":
                count, n = step.detail
                for k_inside in range(count):
                    self.all(steps[:n], k_inside)
                del steps[:n]
            elif step.code == "move":
                moved = [
                    x._replace(offset=x.offset + k * by)
                    for x, by in zip(step.operands, step.detail, strict=True)
                ]
                self.do(Step("copy", step.extents, tuple(moved)))
            else:
                self.do(step)

    def do(self, step):
        code, extents, operands, detail = step
        plan = self.plan
        if code in ("flat", "call"):
            table_of = plan.tables[detail[-1]]
            steps = table_of.tolist() if code == "flat" else [[detail[0], *table_of.tolist()]]
            for row, result, *arguments in steps:
                xs = [(numbers[at]) for numbers, at in map(self.address, arguments)]
                numbers, at = self.address(result)
                numbers[at] = self.row(row, xs, flat=code == "flat")
            return
        result, *rest = operands
        indices = list(itertools.product(*map(range, extents)))
        if code in ("apply", "one_minus", "one_minus_square", "copy", "add"):
            found = []
            for index in indices:
                xs = [self.get(x, index) for x in rest]
                found.append(
                    {
                        "apply": lambda xs: self.row(detail[0], xs),
                        "one_minus": lambda xs: table.sigmoid.scalar(-xs[1]),
                        "one_minus_square": lambda xs: one_minus_square(xs[1]),
                        "copy": lambda xs: xs[0],
                        "add": lambda xs, i=index: self.get(result, i) + xs[0],
                    }[code](xs)
                )
            for index, x in zip(indices, found, strict=True):
                self.put(result, index, x)
        elif code in ("gather", "scatter", "scatter_add"):
            for i, k in enumerate(plan.tables[detail[0]].tolist()):
                if code == "gather":
                    self.put(result, (i,), self.get(rest[0], (k,)))
                else:
                    x = self.get(rest[0], (i,))
                    x = x + self.get(result, (k,)) if code == "scatter_add" else x
                    self.put(result, (k,), x)
        elif code in ("product", "linked_product", "sum", *DIFFERENCES):
            n = detail[0] if detail else 1
            terms = {}
            for index in indices:
                xs = [self.get(x, index) for x in rest]
                found = terms.setdefault(index[: len(index) - n], [])
                if code in DIFFERENCES:
                    *weights, a, b = xs
                    found.append((weights[0] if weights else a - b) * (a - b))
                elif code != "linked_product" or xs.pop() != 0.0:
                    found.append(math.prod(xs))
            for index, xs in terms.items():
                self.put(result, (*index, *[0] * n), total(xs))
        elif code in ("pick", "spread"):
            count, stride = detail
            moved = 1 if code == "pick" else 0
            for index in indices:
                which = self.get(rest[0], index)
                if which not in range(count):
                    raise IndexError(f"take: expected whole numbers from 0 to {count - 1}")
                space, offset, strides = rest[1] if moved else result
                there = Operand(space, offset + int(which) * stride, strides)
                if moved:
                    self.put(result, index, self.get(there, index))
                else:
                    x = self.get(rest[1], index)
                    self.put(there, index, x if space == SUMS else x + self.get(there, index))
        elif code == "one_hot":
            for index in indices:
                self.put(result, index, float(self.get(rest[0], index) == index[-1]))
        else:
            self.lines(step)

    def lines(self, step):
        code, extents, (result, *rest), detail = step
        starts = self.plan.tables[detail[0]].tolist() if detail else [0]
        for outer in itertools.product(*map(range, extents[:-1])):
            for i, start in enumerate(starts):
                stretch = range(start, [*starts, extents[-1]][i + 1])
                columns = [[self.get(x, (*outer, k)) for k in stretch] for x in rest]
                found = LINES[code](*columns)
                if isinstance(found, list):
                    for k, x in zip(stretch, found, strict=True):
                        self.put(result, (*outer, k), x)
                else:
                    self.put(result, (*outer, i), found)

    def row(self, number, xs, flat=False):
        if number == -1:
            return table.sigmoid.scalar(-xs[1])
        if number == -2:
            return one_minus_square(xs[1])
        row = self.plan.rows[number]
        arity = row.arity or (2 if flat and row is not table.where else len(xs))
        return float(row.scalar(*xs[:arity]))


DIFFERENCES = ("squared_distance", "weighted_difference")


def total(xs):
    try:
        return math.fsum(xs)
    except (ValueError, OverflowError):
        return sum(xs)


def one_minus_square(z):
    return table.tanh.partials[0](z, math.tanh(z))


def softmax(z):
    return table.softmax_of([float(x) for x in z])


def rests(p):
    return [total(p[:k] + p[k + 1 :]) for k in range(len(p))]


def surprisals(z):
    return [table.cross_entropy.scalar(float(k), *z) for k in range(len(z))]


def softmax_pullback(p, g):
    others = [total([g[k] * p[k] for k in range(len(p)) if k != j]) for j in range(len(p))]
    rest = rests(p)
    return [
        p[j] * (g[j] * (rest[j] if p[j] > 0.5 else 1.0 - p[j]) - others[j]) for j in range(len(p))
    ]


def softmax_minus(z, y):
    p, rest, others = softmax(z), rests(softmax(z)), rests(y)
    return [p[j] * others[j] - y[j] * rest[j] for j in range(len(p))]


LINES = {
    "segment_sum": total,
    "maximum": lambda z: table.maximum.scalar(*z),
    "minimum": lambda z: table.minimum.scalar(*z),
    "logsumexp": lambda z: table.logsumexp_of.scalar(*z),
    "softmax": softmax,
    "logsumexp_slopes": lambda z: [0.0] * len(z) if max(z) == -inf else softmax(z),
    "softmax_pullback": softmax_pullback,
    "surprisals": surprisals,
    "cross_entropy": lambda z, y: table.soft_cross_entropy.scalar(*y, *z),
    "softmax_minus": softmax_minus,
}


def read(plan, parameters=(), arguments=()):
    """Return what a run of *plan* gives."""
    m = len(arguments[0]) if arguments else 1
    reading = Reading(plan, parameters, m)
    for step in plan.before:
        reading.do(step)
    outputs = np.zeros((len(plan.outputs), m))
    for example in range(m):
        reading.block = [0.0] * plan.block
        for (first, size), x in zip(plan.inputs, arguments, strict=True):
            reading.block[first : first + size] = x[example].ravel().tolist()
        reading.all(plan.each)
        for i, (space, offset, _) in enumerate(plan.outputs):
            outputs[i, example] = (reading.still if space == STILL else reading.block)[offset]
    for step in plan.after:
        reading.do(step)
    if plan.cost is None:
        return outputs.T if plan.turned else outputs
    return reading.still[plan.cost], np.array(reading.still[slice(*plan.gradient)])


def agree(found, expected, rtol=0.0, atol=0.0):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, equal_nan=True)


# --- every code -----------------------------------------------------------------------------------

SIZES = [0, 1, 2, 7, 8, 9, 41]


def numbers(n, seed=0, spread=2.0):
    return np.random.default_rng(seed).normal(scale=spread, size=n)


def through(step_of, n_in, n_out, m, x=None, tables=(), rows=(), parameters=4, initial=None):
    """Run one step from an argument of *n_in* numbers to *n_out* rows, and read it.

    The parameters are at place 1 of STILL, the argument at row 0, the result at row *n_in*.
    """
    plan = Plan(
        rows=list(rows), tables=list(tables), still=np.zeros(1 + parameters), block=n_in + n_out,
        parameters=(1, 1 + parameters), inputs=[(0, n_in)],
        outputs=[Operand(BLOCK, n_in + i) for i in range(n_out)],
    )  # fmt: skip
    if initial is not None:
        plan.each.append(
            Step("copy", (n_out,), (Operand(BLOCK, n_in, (1,)), Operand(STILL, 1, (0,))))
        )
    plan.each.append(step_of)
    x = numbers((m, n_in), seed=m) if x is None else x
    theta = numbers(parameters, seed=5)
    return core.Machine(plan).run(theta, (x,), 1), read(plan, theta, (x,))


@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize(
    ("step", "n_in", "n_out"),
    [
        (Step("copy", (2, 3), (Operand(BLOCK, 6, (1, 2)), Operand(BLOCK, 0, (3, 1)))), 6, 6),
        (Step("copy", (2, 3), (Operand(BLOCK, 2, (3, 1)), Operand(STILL, 1, (1, 1)))), 2, 6),
        (Step("add", (2, 2), (Operand(BLOCK, 4, (2, 1)), Operand(BLOCK, 0, (2, 1)))), 4, 4),
        (Step("add", (2, 2), (Operand(BLOCK, 4, (1, 2)), Operand(STILL, 1, (0, 1)))), 4, 4),
        (Step("gather", (5,), (Operand(BLOCK, 4, (1,)), Operand(BLOCK, 0, (1,))), (0,)), 4, 5),
        (Step("gather", (5,), (Operand(BLOCK, 4, (1,)), Operand(STILL, 1, (1,))), (0,)), 4, 5),
        (Step("scatter", (4,), (Operand(BLOCK, 4, (2,)), Operand(BLOCK, 0, (1,))), (1,)), 4, 8),
        (Step("scatter_add", (5,), (Operand(BLOCK, 5, (1,)), Operand(BLOCK, 0, (1,))), (0,)), 5, 4),
        (Step("one_hot", (2, 3), (Operand(BLOCK, 2, (3, 1)), Operand(BLOCK, 0, (1, 0)))), 2, 6),
        (Step("sum", (2, 3), (Operand(BLOCK, 6, (1, 0)), Operand(BLOCK, 0, (3, 1))), (1,)), 6, 2),
        (Step("sum", (2, 3), (Operand(BLOCK, 6, (1, 0)), Operand(BLOCK, 0, (1, 2))), (1,)), 6, 2),
        (Step("sum", (2, 3), (Operand(BLOCK, 6, (0, 0)), Operand(BLOCK, 0, (1, 2))), (2,)), 6, 1),
        (Step("sum", (2, 3), (Operand(BLOCK, 6, (3, 1)), Operand(BLOCK, 0, (1, 2))), (0,)), 6, 6),
        (Step("sum", (2, 2), (Operand(BLOCK, 6, (1, 0)), Operand(STILL, 1, (2, 1))), (1,)), 6, 2),
    ],
    ids=lambda x: x.code if isinstance(x, Step) else None,
)  # fmt: skip
def test_moves_and_sums(level, step, n_in, n_out, m):
    tables = [np.array([3, 0, 0, 2, 1]), np.array([1, 3, 0, 2], dtype=np.int32)]
    x = None
    if step.code == "one_hot":
        x = np.random.default_rng(m).integers(-1, 4, (m, n_in)).astype(float)
    found, expected = through(step, n_in, n_out, m, x, tables, initial=0.0)
    assert found.shape == (n_out, m)
    agree(found, expected, 1e-15, 1e-15)


PRODUCTS = {
    "weights times an example": (
        (3, 4), Operand(BLOCK, 4, (1, 0)), Operand(STILL, 1, (4, 1)), Operand(BLOCK, 0, (0, 1)),
        4, 3, 12,
    ),
    "the transposed weights times an example": (
        (4, 3), Operand(BLOCK, 3, (1, 0)), Operand(STILL, 1, (1, 4)), Operand(BLOCK, 0, (0, 1)),
        3, 4, 12,
    ),
    "an example times weights": (
        (3, 4), Operand(BLOCK, 4, (1, 0)), Operand(BLOCK, 0, (0, 1)), Operand(STILL, 1, (4, 1)),
        4, 3, 12,
    ),
    "matrix times weights": (
        (3, 5, 4), Operand(BLOCK, 12, (5, 1, 0)), Operand(BLOCK, 0, (4, 0, 1)),
        Operand(STILL, 1, (0, 4, 1)), 12, 15, 20,
    ),
    "two matrices of an example": (
        (2, 3, 4), Operand(BLOCK, 20, (3, 1, 0)), Operand(BLOCK, 0, (4, 0, 1)),
        Operand(BLOCK, 8, (0, 1, 3)), 20, 6, 1,
    ),
    "two matrices of an example, the other transposed": (
        (2, 3, 4), Operand(BLOCK, 20, (3, 1, 0)), Operand(BLOCK, 0, (4, 0, 1)),
        Operand(BLOCK, 8, (0, 4, 1)), 20, 6, 1,
    ),
    "a stack of matrices": (
        (3, 2, 2, 2), Operand(BLOCK, 24, (4, 2, 1, 0)), Operand(BLOCK, 0, (4, 2, 0, 1)),
        Operand(BLOCK, 12, (4, 0, 1, 2)), 24, 12, 1,
    ),
    "an outer product": (
        (3, 4, 1), Operand(BLOCK, 7, (4, 1, 0)), Operand(BLOCK, 0, (1, 0, 0)),
        Operand(BLOCK, 3, (0, 1, 0)), 7, 12, 1,
    ),
    "only weights": (
        (3, 4), Operand(BLOCK, 1, (1, 0)), Operand(STILL, 1, (4, 1)), Operand(STILL, 13, (0, 1)),
        1, 3, 16,
    ),
    "a long one": (
        (7, 30), Operand(BLOCK, 30, (1, 0)), Operand(STILL, 1, (30, 1)),
        Operand(BLOCK, 0, (0, 1)), 30, 7, 210,
    ),
}  # fmt: skip


@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize("name", PRODUCTS)
def test_products(level, name, m):
    extents, result, a, b, n_in, n_out, parameters = PRODUCTS[name]
    step = Step("product", extents, (result, a, b))
    found, expected = through(step, n_in, n_out, m, parameters=parameters)
    agree(found, expected, 1e-13, 1e-13)


@pytest.mark.parametrize("m", [1, 2, 9, 41])
@pytest.mark.parametrize("space", [BLOCK, SUMS])
@pytest.mark.parametrize("hostile", [False, True])
def test_linked_products(level, hostile, space, m):
    rng = np.random.default_rng(m)
    a, mask = rng.normal(size=(m, 6)), rng.integers(0, 2, (m, 6)).astype(float)
    b = rng.normal(size=(m, 12))
    a *= mask
    if hostile:
        b[rng.random(b.shape) < 0.1] = rng.choice([inf, -inf, nan])
        a[mask == 0.0] = nan
    x = np.hstack([a, mask, b])
    strides = [(3, 0, 1), (3, 0, 1), (0, 1, 4)]
    operands = [Operand(BLOCK, at, s) for at, s in zip((0, 6, 12), strides, strict=True)]
    step = Step(
        "linked_product", (2, 4, 3),
        (Operand(space, 24 * (space == BLOCK), (4, 1, 0)), *(operands[i] for i in (0, 2, 1))),
    )  # fmt: skip
    if space == BLOCK:
        found, expected = through(step, 24, 8, m, x)
    else:
        plan = Plan(
            still=np.zeros(10), block=24, inputs=[(0, 24)], sums=8, each=[step], cost=9,
            gradient=(1, 9),
            after=[Step("copy", (8,), (Operand(STILL, 1, (1,)), Operand(SUMS, 0, (1,))))],
        )  # fmt: skip
        (_, found), (_, expected) = core.Machine(plan).run((), (x,)), read(plan, (), (x,))
    agree(found, expected, 1e-13, 1e-13)
    assert hostile or np.isfinite(expected).all()


@pytest.mark.parametrize("code", ["maximum", "logsumexp", "softmax", "logsumexp_slopes"])
@pytest.mark.parametrize("n", [31, 32, 33, 39, 40, 203])
def test_one_long_line(level, code, n):
    """Of one example vectors run along the line; what is missing of the last one has no part."""
    rng, one_number = np.random.default_rng(n), code in ("maximum", "logsumexp")
    result = Operand(BLOCK, n, (0,) if one_number else (1,))
    step = Step(code, (n,), (result, Operand(BLOCK, 0, (1,))))
    lines = [rng.normal(size=n), np.full(n, 2.5), np.full(n, -inf), np.full(n, -1e300)]
    for bad, places in itertools.product(
        [inf, -inf, nan, 700.0, -0.0], [[0], [n - 1], [n // 2, n - 2], [5, 13]]
    ):
        lines.append(rng.normal(size=n))
        lines[-1][places] = bad
    for line in lines:
        found, expected = through(step, n, 1 if one_number else n, 1, line[None])
        agree(found, expected, 4e-15, 1e-300)


CENTRES = {  # extents, how many are summed, strides of result, coordinates and centres, and where
    "an example and centres": ((5, 3), 1, (1, 0), (0, 1), (3, 1), STILL),
    "centres that lie across": ((5, 3), 1, (1, 0), (0, 1), (1, 5), STILL),
    "centres of each example": ((5, 3), 1, (1, 0), (0, 1), (3, 1), BLOCK),
    "one sum": ((5, 3), 2, (0, 0), (0, 1), (3, 1), STILL),
    "no sum": ((5, 3), 0, (3, 1), (0, 1), (3, 1), STILL),
    "no sum of what lies across": ((5, 3), 0, (1, 5), (0, 1), (1, 5), BLOCK),
}
EXAMPLES = [0, 1, 2, 9, 70]


def with_sums(step, n, size, x):
    """Return what the machines in C and in NumPy find of a step into SUMS, and the reading."""
    theta = numbers(15, seed=5)
    plan = Plan(
        still=np.zeros(17 + n), block=size, parameters=(1, 16), inputs=[(0, size)], sums=n,
        each=[step], cost=16, gradient=(17, 17 + n),
        after=[Step("copy", (n,), (Operand(STILL, 17, (1,)), Operand(SUMS, 0, (1,))))],
    )  # fmt: skip
    runs = [
        core.Machine(plan).run(theta, (x,)),
        NumPyMachine(plan).run([Value(t) for t in theta], (x,)),
        read(plan, theta, (x,)),
    ]
    return [found for _, found in runs]


@pytest.mark.parametrize("name", CENTRES)
def test_squared_distances(level, name):
    extents, inner, result, point, centre, space = CENTRES[name]
    at = 1 if space == STILL else 3
    operands = Operand(BLOCK, 18, result), Operand(BLOCK, 0, point), Operand(space, at, centre)
    n = 1 + sum((x - 1) * s for x, s in zip(extents, result, strict=True))
    for m in EXAMPLES:
        step = Step("squared_distance", extents, operands, (inner,))
        found, expected = through(step, 18, n, m, parameters=15)
        agree(found, expected, 1e-13, 1e-13)


@pytest.mark.parametrize("zeros", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("hostile", [False, True])
@pytest.mark.parametrize("into", [BLOCK, SUMS])
@pytest.mark.parametrize("name", CENTRES)
def test_weighted_differences(level, name, into, hostile, zeros):
    """Terms with a weight of 0 may be left out only where the difference is finite."""
    extents, inner, result, point, centre, space = CENTRES[name]
    weights, first = Operand(BLOCK, 0, (1, 0)), Operand(into, 23 * (into == BLOCK), result)
    others = Operand(BLOCK, 5, point), Operand(space, 1 if space == STILL else 8, centre)
    step = Step("weighted_difference", extents, (first, weights, *others), (inner,))
    n = 1 + sum((e - 1) * s for e, s in zip(extents, result, strict=True))
    for m in EXAMPLES:
        rng = np.random.default_rng(m)
        x = rng.normal(size=(m, 23))  # 5 weights, 3 coordinates, 15 of centres
        x[:, :5][rng.random((m, 5)) < zeros] = 0.0
        if hostile:
            x[:, 5:][rng.random((m, 18)) < 0.05] = rng.choice([inf, -inf, nan, 1e308, -1e308])
        if into == BLOCK:
            found, expected = through(step, 23, n, m, x, parameters=15)
        else:
            found, by_numpy, expected = with_sums(step, n, 23, x)
            agree(by_numpy, expected, 1e-12, 1e-12)
        agree(found, expected, 1e-12, 1e-12)
        assert hostile or np.isfinite(expected).all()


LEVELS_OF_LINES = [
    pytest.param(code, detail, id=f"{code}{'-of-stretches' * bool(detail)}")
    for code, detail in itertools.product(LINES, [(), (0,)])
    if not (detail and code in ("surprisals", "cross_entropy", "softmax_minus"))
]
HOSTILE = [
    [0.0, 0.0, 0.0, 0.0, 0.0],
    [1000.0, -1000.0, 999.0, 0.0, 1000.0],
    [inf, 0.0, 1.0, -inf, 2.0],
    [inf, inf, 1.0, -inf, inf],
    [-inf, -inf, -inf, -inf, -inf],
    [-inf, 0.0, -inf, -inf, -inf],
    [nan, 0.0, 1.0, 2.0, 3.0],
    [5e-324, -5e-324, 1e-310, 0.0, -0.0],
    [40.0, 0.0, -40.0, 3.0, 39.0],
    [800.0, 0.0, -1.0, 1e-8, 2.0],
]


def targets(m, n=5):
    shares = np.random.default_rng(3).dirichlet(np.ones(n), m)
    shares[::2] = np.eye(n)[np.arange(len(shares[::2])) % n]
    return shares


@pytest.mark.parametrize("m", [1, 2, 9, 41])
@pytest.mark.parametrize(("code", "detail"), LEVELS_OF_LINES)
def test_careful_forms(level, code, detail, m):
    rows = np.concatenate([HOSTILE, numbers((m, 5), m, 3.0)])[-m - 2 : -2] if m < 9 else None
    z = np.concatenate([HOSTILE, numbers((m, 5), m, 3.0)])[:m] if rows is None else rows
    if code == "softmax_pullback":
        z = np.where(np.isfinite(z), z, 1.0)
        z = np.array(
            [[*softmax(row[:2]), *softmax(row[2:])] if detail else softmax(row) for row in z]
        )
    y = numbers((m, 5), 7) if code == "softmax_pullback" else targets(m)
    to_one = code in ("segment_sum", "maximum", "minimum", "logsumexp", "cross_entropy")
    n_out = (2 if detail else 1) if to_one else 5
    result = Operand(BLOCK, 10, (1 if detail or not to_one else 0,))
    operands = (result, Operand(BLOCK, 0, (1,)), Operand(BLOCK, 5, (1,)))
    two = code in ("softmax_pullback", "cross_entropy", "softmax_minus")
    step = Step(code, (5,), operands[: 2 + two], detail)
    found, expected = through(step, 10, n_out, m, np.hstack([z, y]), [np.array([0, 2])])
    if code not in ("softmax_pullback", "softmax_minus"):
        agree(found, expected, 2e-15, 5e-324)
        return
    sure = z.max(1) > 0.999 if two and code == "softmax_pullback" else np.max(z, 1) > 30.0
    agree(found[:, ~sure], expected[:, ~sure], 2e-15, 2e-15)
    agree(found[:, sure], expected[:, sure], 1e-11, 1e-300)


@pytest.mark.parametrize("m", [1, 9])
@pytest.mark.parametrize("detail", [(), (0,)])
def test_infinite_adjoints_of_a_softmax(level, detail, m):
    logits = [[0.0] * 5, [1.0, 0.0, 0.5, 2.0, 1.0], [9.0, 0.0, 0.0, 1.0, 0.0]]
    logits += [[999.0, 0.0, 0.0, 0.0, 0.0], [0.0, -999.0, 0.5, 0.5, -999.0], [-inf] * 5]
    shares = [[*softmax(z[:2]), *softmax(z[2:])] if detail else softmax(z) for z in logits]
    hostile = [inf, 0.5, -inf, nan, -2.0, 0.0]
    for k in range(0, 36, 5 if m == 9 else 1):
        kinds = [hostile[(k + i * j * j) % 6] for i in range(m) for j in range(5)]
        z = np.array([shares[(k + i) % 6] for i in range(m)])
        y = np.reshape(kinds, (m, 5))
        operands = Operand(BLOCK, 10, (1,)), Operand(BLOCK, 0, (1,)), Operand(BLOCK, 5, (1,))
        step = Step("softmax_pullback", (5,), operands, detail)
        found, expected = through(step, 10, 5, m, np.hstack([z, y]), [np.array([0, 2])])
        agree(found, expected, 1e-12, 1e-15)


@pytest.mark.parametrize("m", [1, 3])
def test_lines_along_any_axis(level, m):
    z = numbers((m, 24), 1)
    for strides, out in (((1, 4), (1, 4)), ((6, 1), (6, 1)), ((1, 4), (6, 1))):
        operands = Operand(BLOCK, 24, out), Operand(BLOCK, 0, strides)
        found, expected = through(Step("softmax", (4, 6), operands), 24, 24, m, z)
        agree(found, expected, 2e-15)


# --- rows -----------------------------------------------------------------------------------------

POINTS = [
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 3.0, -3.0, 20.0, -20.0, 40.0, -40.0, 700.0, -700.0, 709.0,
    710.0, -708.0, -745.0, -745.13, -745.2, -746.0, 1e-300, -1e-300, 5e-324, -5e-324, 1e-310, 1e300,
    -1e300, 1e-8, -1e-8, 1e-16, 1e10, -1e10, inf, -inf, nan, 0.25, 27.9, 28.0, 1 - 2**-53,
    1 + 2**-52, 709.782712893384, 709.7827128933841, -708.3964185322641, 2.2250738585072014e-308,
]  # fmt: skip

# How many units in the last place a row made of our own exponential and logarithm may be away from
# the engine's, which has those of the C library; all other rows are the engine's to the last bit.
ULPS = {
    "exp": 1, "log": 1, "logaddexp": 1, "sigmoid": 2, "softplus": 2, "logsigmoid": 2, "silu": 2,
    "normal_pdf": 2, "sigmoid_minus": 2, "logistic_loss": 2, "tanh": 3, "hypot": 1, "sin": 1,
    "cos": 1,
}  # fmt: skip
ROWS = [row for name, row in TABLE.items() if name in table.BUILT_IN]


def apart(a, b):
    """Return how many floats lie between, 0 for two nans; -0.0 is not 0.0."""
    keys = [np.ascontiguousarray(x, dtype=float).view(np.int64) for x in (a, b)]
    first, second = (np.where(k < 0, -(k & (2**63 - 1)) - 1, k) for k in keys)
    near = np.isclose(a, b, rtol=1e-9, atol=1e-300)
    distance = np.where(near, abs(first - second), 2**62).astype(float)
    return np.where(np.isnan(a) & np.isnan(b), 0.0, distance)


def grid(row):
    rng = np.random.default_rng(11)
    if row.arity == 1:
        spread = [rng.normal(size=200) * s for s in (1.0, 30.0)]
        wide = rng.uniform(-750, 750, 200), 10.0 ** rng.uniform(-320, 308, 100)
        return [np.concatenate([POINTS, *spread, *wide, -wide[1]])]
    a, b = (x.ravel() for x in np.meshgrid(POINTS, POINTS))
    near = rng.normal(size=(2, 300)) * 3.0
    if row.name in ("sigmoid_minus", "logistic_loss"):
        near[1] = rng.choice([0.0, 1.0, 0.3, 0.999], 300)
    return [np.concatenate([a, near[0]]), np.concatenate([b, near[1]])]


@pytest.mark.parametrize("name", [n for n in TABLE if core.Machine.can(TABLE[n])])
def test_rows_are_the_engine_s(level, name):
    row = TABLE[name]
    if row.arity not in (1, 2):
        return
    args = grid(row)
    n, m = len(args), len(args[0])
    expected = np.array([row.scalar(*x) for x in zip(*(x.tolist() for x in args), strict=True)])
    places = [Operand(BLOCK, i, (0,)) for i in range(n)]
    operands = Operand(BLOCK, n + 1, (0,)), *places
    lanes = Plan(
        rows=[row], block=n + 2, inputs=[(0, n)], tables=[np.array([[0, n, 0, n - 1, 0]])],
        outputs=[Operand(BLOCK, n), Operand(BLOCK, n + 1)],
        each=[Step("flat", (), (), (0,)), Step("apply", (1,), operands, (0,))],
    )  # fmt: skip
    found = core.Machine(lanes).run((), (np.stack(args, 1),), 1)
    # The same on one lane, along a vector of STILL, and of places apart from one another.
    still = np.zeros(1 + 4 * m)
    for i, x in enumerate(args):
        still[1 + i * m : 1 + (i + 1) * m] = x
    lie = [Operand(STILL, 1 + i * m, (1,)) for i in range(n)]
    vector = Plan(
        rows=[row], still=still, block=2 * m,
        each=[Step("apply", (m,), (Operand(BLOCK, 0, (2,)), *lie), (0,))],
        outputs=[Operand(BLOCK, 2 * i) for i in range(m)],
    )  # fmt: skip
    along = core.Machine(vector).run((), (), 1)[:, 0]
    for x in (*found, along):
        assert apart(x, expected).max() <= ULPS.get(name, 0)


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_turns_have_all_digits_near_multiples_of_a_quarter(level, name):
    near = np.arange(-700, 701) * (math.pi / 2)
    x = np.concatenate([near, np.nextafter(near, math.inf), np.nextafter(near, -math.inf)])
    step = Step("apply", (1,), (Operand(BLOCK, 1, (0,)), Operand(BLOCK, 0, (0,))), (0,))
    found, expected = through(step, 1, 1, len(x), x[:, None], rows=[TABLE[name]])
    assert apart(found, expected).max() <= 1


@pytest.mark.parametrize("m", [1, 2, 70])
def test_one_operand_may_be_the_same_for_all_lanes(level, m):
    x = numbers((m, 1), 2)
    for name in ("+", "-", "*", "/", "**", "less", "sigmoid_minus", "leaky_relu", "hypot"):
        for turned in (False, True):
            args = [Operand(BLOCK, 0, (0,)), Operand(STILL, 1, (0,))]
            step = Step(
                "apply", (1,), (Operand(BLOCK, 1, (0,)), *args[:: -1 if turned else 1]), (0,)
            )
            found, expected = through(step, 1, 1, m, x, rows=[TABLE[name]])
            assert apart(found, expected).max() <= ULPS.get(name, 0)


@pytest.mark.parametrize("m", [1, 2, 70])
def test_rows_of_any_number_of_arguments(level, m):
    x = numbers((m, 6), 4)
    x[:, 5] = np.arange(m) % 3
    row_args = {
        "where": [5, 0, 1], "maximum": [0, 1, 2, 1], "minimum": [0, 1], "sum": [0, 1, 2, 3],
        "mean": [0, 1, 2], "dot": [0, 1, 2, 3, 4], "logsumexp": [0, 1, 2], "softmax": [5, 1, 2, 3],
        "softmax_rest": [5, 0, 1, 2], "cross_entropy": [5, 0, 1, 2], "take": [5, 0, 1, 2],
        "soft_cross_entropy": [0, 1, 2, 3],
    }  # fmt: skip
    assert {row.name for row in ROWS if row.arity not in (1, 2)} == row_args.keys()
    for name, where in row_args.items():
        args = tuple(Operand(BLOCK, i, (0,)) for i in where)
        for step in (
            Step("apply", (1,), (Operand(BLOCK, 6, (0,)), *args), (0,)),
            Step("call", (), (), (0, 0)),
        ):
            found, expected = through(step, 6, 1, m, x, [np.array([6, *where])], [TABLE[name]])
            assert apart(found, expected).max() == 0.0, name


def test_a_number_that_is_not_one_of_the_entries_is_refused():
    step = Step("call", (), (), (0, 0))
    for name, at in itertools.product(("softmax", "take", "cross_entropy"), (-1.0, 2.0, nan)):
        with pytest.raises(IndexError, match="take: expected whole numbers from 0 to 1"):
            through(
                step, 3, 1, 1, np.array([[at, 1.0, 2.0]]), [np.array([3, 0, 1, 2])], [TABLE[name]]
            )


def test_exponential_and_logarithm_are_within_one_unit(level):
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(8)
    for name, x in (
        ("exp", np.concatenate([rng.uniform(-746, 710, 20000), rng.normal(size=20000)])),
        (
            "log",
            np.concatenate([10.0 ** rng.uniform(-323, 308, 20000), 1 + rng.normal(size=9000) / 9]),
        ),
    ):
        row = TABLE[name]
        plan = Plan(
            rows=[row], block=2, inputs=[(0, 1)], outputs=[Operand(BLOCK, 1)],
            each=[Step("apply", (1,), (Operand(BLOCK, 1, (0,)), Operand(BLOCK, 0, (0,))), (0,))],
        )  # fmt: skip
        found = core.Machine(plan).run((), (x,), 1)[0]
        assert apart(found, np.array([row.scalar(t) for t in x.tolist()])).max() <= 1.0
        for t, y in zip(x[::40].tolist(), found[::40].tolist(), strict=True):
            with mpmath.workprec(120):
                exact = getattr(mpmath, name)(mpmath.mpf(t))
                off = abs(y - exact)
            assert off <= (0.501 if abs(y) < 1e-307 else 0.6) * math.ulp(y)


@pytest.mark.parametrize("m", [1, 2, 70])
def test_complements_keep_their_digits(level, m):
    mpmath = pytest.importorskip("mpmath")
    z = np.resize(
        [-700.0, -40.0, -1.0, -0.1, 0.0, 0.3, 0.55, 0.9, 2.0, 9.0, 20.0, 40.0, 300.0], (m, 1)
    )
    z = z if m > 2 else z[-m:] + 0.5
    for code, row, exact in (
        ("one_minus", table.sigmoid, lambda t: 1 / (1 + mpmath.exp(t))),
        ("one_minus_square", table.tanh, lambda t: 1 / mpmath.cosh(t) ** 2),
    ):
        plan = Plan(
            rows=[row], block=3, inputs=[(0, 1)], outputs=[Operand(BLOCK, 2)],
            each=[
                Step("apply", (1,), (Operand(BLOCK, 1, (0,)), Operand(BLOCK, 0, (0,))), (0,)),
                Step(code, (1,), tuple(Operand(BLOCK, i, (0,)) for i in (2, 1, 0))),
            ],
        )  # fmt: skip
        found = core.Machine(plan).run((), (z,), 1)[0]
        flat = Plan(
            rows=[row], block=3, inputs=[(0, 1)], outputs=[Operand(BLOCK, 2)],
            each=[Step("flat", (), (), (0,))],
            tables=[np.array([[0, 1, 0, 0, 0], [-1 if code == "one_minus" else -2, 2, 1, 0, 0]])],
        )  # fmt: skip
        again = core.Machine(flat).run((), (z,), 1)[0]
        for t, x, y in zip(z.ravel().tolist(), found.tolist(), again.tolist(), strict=True):
            e = float(exact(mpmath.mpf(t)))
            assert x == pytest.approx(e, rel=2e-15, abs=5e-324)
            assert y == pytest.approx(e, rel=2e-15, abs=5e-324)


@pytest.mark.parametrize("m", [1, 2, 70])
@pytest.mark.parametrize("between", ["nothing", "reads", "writes z", "writes a", "writes rest"])
@pytest.mark.parametrize("rest", [2, 6, 7])
def test_a_complement_computed_with_its_sigmoid_is_the_same(level, rest, between, m):
    def rows(first, *strides):
        return Operand(BLOCK, first, strides or (1,))

    meddling = {
        "nothing": [],
        "reads": [Step("copy", (2,), (rows(10), rows(rest)))],
        "writes z": [Step("copy", (1,), (rows(3, 0), rows(0, 0)))],
        "writes a": [Step("copy", (1,), (rows(5, 0), rows(0, 0)))],
        "writes rest": [Step("copy", (1,), (rows(rest, 0), rows(0, 0)))],
    }[between]
    plan = Plan(
        rows=[table.sigmoid], block=12, inputs=[(0, 4)],
        outputs=[Operand(BLOCK, i) for i in range(12)],
        each=[
            Step("copy", (8,), (rows(4), rows(0, 0))),
            Step("apply", (2,), (rows(4), rows(2)), (0,)),
            *meddling,
            Step("one_minus", (2,), (rows(rest), rows(4), rows(2))),
        ],
    )  # fmt: skip
    x = numbers((m, 4), m, 9.0)
    found, expected = core.Machine(plan).run((), (x,)), read(plan, (), (x,))
    if between in ("writes a", "writes z") or (between == "writes rest" and rest == 2):
        # The two operands do not belong together then, so only that a was not 1 - ... is asked.
        kept = [i for i in range(12) if not rest <= i < rest + 2]
        found, expected = found[kept], expected[kept]
    agree(found, expected, 1e-15)


def test_flat_steps_of_many_kinds(level):
    rng = np.random.default_rng(2)
    rows = [
        table.add,
        table.multiply,
        table.sin,
        table.where,
        table.maximum,
        table.divide,
        table.exp,
    ]
    steps = [[i % 7, 5 + i, *rng.integers(0, 5 + i, 3)] for i in range(60)]
    steps[10][3], steps[11][2] = ~1, ~2
    plan = Plan(
        rows=rows, tables=[np.array(steps)], block=65, still=np.zeros(3), parameters=(1, 3),
        inputs=[(0, 5)], outputs=[Operand(BLOCK, 5 + i) for i in range(60)],
        each=[Step("flat", (), (), (0,))],
    )  # fmt: skip
    theta = np.array([0.5, 2.0])
    for m in (1, 2, 9, 300):
        x = rng.normal(size=(m, 5))
        agree(core.Machine(plan).run(theta, (x,)), read(plan, theta, (x,)), 1e-13)


# --- rows of a table by their number --------------------------------------------------------------


def looked_up(code):
    """Return a plan that picks rows of a table of 3 rows by 2 in STILL, or spreads into sums."""
    if code == "pick":
        operands = Operand(BLOCK, 2, (2, 1)), Operand(BLOCK, 0, (1, 0)), Operand(STILL, 1, (0, 1))
        step = Step("pick", (2, 2), operands, (3, 2))
        return Plan(
            still=np.zeros(7), parameters=(1, 7), block=6, inputs=[(0, 2)], each=[step],
            outputs=[Operand(BLOCK, 2 + i) for i in range(4)],
        )  # fmt: skip
    step = Step(
        "spread", (2, 2),
        (Operand(SUMS, 0, (0, 1)), Operand(BLOCK, 0, (1, 0)), Operand(BLOCK, 0, (1, 1))), (3, 2),
    )  # fmt: skip
    return Plan(
        still=np.zeros(14), parameters=(1, 7), block=3, inputs=[(0, 3)], sums=6, each=[step],
        after=[Step("copy", (6,), (Operand(STILL, 7, (1,)), Operand(SUMS, 0, (1,))))],
        cost=13, gradient=(7, 13),
    )  # fmt: skip


@pytest.mark.parametrize("m", [1, 2, 500])
def test_picked_and_spread(m):
    which = np.random.default_rng(m).integers(0, 3, (m, 3)).astype(float)
    theta = numbers(6, 1)
    pick, spread = looked_up("pick"), looked_up("spread")
    found = core.Machine(pick).run(theta, (which[:, :2],))
    agree(found, read(pick, theta, (which[:, :2].copy(),)))
    found, expected = core.Machine(spread).run(theta, (which,)), read(spread, theta, (which,))
    agree(found[1], expected[1], 1e-15)


@pytest.mark.parametrize("bad", [3.0, -1.0, 0.5, nan, inf])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_number_that_is_none_of_the_rows_is_refused(bad, threads):
    for code, at in itertools.product(("pick", "spread"), (0, 9000)):
        plan = looked_up(code)
        machine = core.Machine(plan)
        x = np.ones((10000, plan.inputs[0][1]))
        x[at, 1] = bad
        for _ in range(3):
            with pytest.raises(IndexError, match=r"^take: expected whole numbers from 0 to 2$"):
                machine.run(np.zeros(6), (x,), threads)
        machine.run(np.zeros(6), (np.ones_like(x),), threads)


# --- sums over the examples -----------------------------------------------------------------------


def network(n_in=7, n_hidden=6):
    """Return the plan of a network tanh(W x), 0.5 (sum - y)**2 with its gradient."""
    w, cost = 1, 1 + n_in * n_hidden
    x, y, z, a, rest, s, d, delta = range(8)
    rows = [n_in, 1, n_hidden, n_hidden, n_hidden, 1, 1, n_hidden]
    start = np.concatenate([[0], np.cumsum(rows)]).tolist()

    def block(which, *strides):
        return Operand(BLOCK, start[which], strides)

    n = n_in * n_hidden
    each = [
        Step("product", (n_hidden, n_in), (block(z, 1, 0), Operand(STILL, w, (n_in, 1)),
             block(x, 0, 1))),
        Step("apply", (n_hidden,), (block(a, 1), block(z, 1)), (0,)),
        Step("one_minus_square", (n_hidden,), (block(rest, 1), block(a, 1), block(z, 1))),
        Step("sum", (n_hidden,), (block(s, 0), block(a, 1)), (1,)),
        Step("apply", (1,), (block(d, 0), block(s, 0), block(y, 0)), (1,)),
        Step("product", (1,), (Operand(SUMS, 0, (0,)), block(d, 0), block(d, 0))),
        Step("apply", (n_hidden,), (block(delta, 1), block(d, 0), block(rest, 1)), (2,)),
        Step("product", (n_hidden, n_in, 1), (Operand(SUMS, 1, (n_in, 1, 0)), block(delta, 1, 0, 0),
             block(x, 0, 1, 0))),
    ]  # fmt: skip
    after = [
        Step("apply", (1 + n,), (Operand(STILL, cost, (1,)), Operand(SUMS, 0, (1,)),
             Operand(STILL, 0, (0,))), (3,)),
    ]  # fmt: skip
    return Plan(
        rows=[table.tanh, table.subtract, table.multiply, table.divide],
        still=np.zeros(cost + 1 + n), block=start[-1], sums=1 + n, parameters=(w, w + n),
        inputs=[(0, n_in), (n_in, 1)], each=each, after=after, cost=cost,
        gradient=(cost + 1, cost + 1 + n),
    )  # fmt: skip


def batch(m, n_in=7):
    return numbers((m, n_in), 1), numbers(m, 2)


@pytest.mark.parametrize("m", [1, 2, 7, 8, 9, 33, 120, 121, 257])
def test_gradients(level, m):
    plan, theta = network(), numbers(42, 3)
    found = core.Machine(plan).run(theta, batch(m))
    expected = read(plan, theta, batch(m))
    assert found[0] == pytest.approx(expected[0], rel=1e-13)
    agree(found[1], expected[1], 1e-12, 1e-14)


@pytest.mark.parametrize("turned", [False, True])
def test_large_products(level, turned):
    """More numbers than are worked on at a time, in every direction."""
    n, k, m = 101, 523, 133
    w, x = numbers(n * k, 1), numbers((m, k), 2)
    strides = (1, n) if turned else (k, 1)
    plan = Plan(
        still=np.zeros(1 + n * k), parameters=(1, 1 + n * k), block=k + n, inputs=[(0, k)],
        outputs=[Operand(BLOCK, k + i) for i in range(n)],
        each=[Step("product", (n, k), (Operand(BLOCK, k, (1, 0)), Operand(STILL, 1, strides),
              Operand(BLOCK, 0, (0, 1))))],
    )  # fmt: skip
    matrix = w.reshape(k, n).T if turned else w.reshape(n, k)
    agree(core.Machine(plan).run(w, (x,)), matrix @ x.T, 1e-11, 1e-11)


def test_no_examples_at_all():
    cost, gradient = core.Machine(network()).run(numbers(42), batch(0))
    assert math.isnan(cost)
    assert np.isnan(gradient).all()


def test_a_million_examples():
    x, y = batch(10**6, 2)
    theta = numbers(4, 3)
    cost, gradient = core.Machine(network(2, 2)).run(theta, (x, y), 2)
    a = np.tanh(x @ theta.reshape(2, 2).T)
    d = a.sum(1) - y
    assert cost == pytest.approx((d * d).mean(), rel=1e-12)
    agree(gradient.reshape(2, 2), (d[:, None] * (1 - a * a)).T @ x / len(x), 1e-10, 1e-12)


@pytest.mark.parametrize("m", [500, 1797, 20011])
def test_the_number_of_threads_changes_no_bit(m):
    machine, theta = core.Machine(network(20, 60)), numbers(1200, 3)
    one = machine.run(theta, batch(m, 20), 1)
    for threads in (2, 3, 8, 100, 1):
        again = machine.run(theta, batch(m, 20), threads)
        assert again[0] == one[0]
        assert again[1].tobytes() == one[1].tobytes()


def test_one_machine_serves_many_threads_at_once():
    machine, theta = core.Machine(network(20, 60)), numbers(1200, 3)
    batches = [batch(m, 20) for m in (1, 30, 300, 3000)]
    expected = [machine.run(theta, x) for x in batches]
    wrong = []

    def work(seed):
        for k in np.random.default_rng(seed).integers(0, 4, 60).tolist():
            cost, gradient = machine.run(theta, batches[k], 1 + seed % 2)
            if cost != expected[k][0] or gradient.tobytes() != expected[k][1].tobytes():
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --- runs -----------------------------------------------------------------------------------------


def test_parameters_are_values_or_a_vector_and_are_read_at_every_run():
    from chainrule import Value

    if Value is not core.Value:
        pytest.skip("Values are in Python here")
    machine, theta = core.Machine(network()), numbers(42, 3)
    values = tuple(Value(x) for x in theta.tolist())
    for x in (*values, 1.0)[:2]:
        x.data += 1.0
        theta[values.index(x)] += 1.0
        assert machine.run(values, batch(9))[0] == machine.run(theta, batch(9))[0]
    assert machine.run(list(values), batch(9))[0] == machine.run(theta, batch(9))[0]
    with pytest.raises(TypeError, match=r"expected Values as parameters, not 1\.0"):
        machine.run((*values[:-1], 1.0), batch(9))
    with pytest.raises(ValueError, match="expected 42 parameters, not 41"):
        machine.run(values[1:], batch(9))
    with pytest.raises(ValueError, match="expected 42 parameters of float64"):
        machine.run(theta[1:], batch(9))


def test_arguments_may_lie_in_any_way():
    machine, theta = core.Machine(network()), numbers(42, 3)
    x, y = batch(50)
    expected = machine.run(theta, (x, y))[0]
    big = np.zeros((50, 9))
    big[:, 1:8] = x
    for given in (np.asfortranarray(x), big[:, 1:8], x.reshape(50, 7, 1), np.repeat(x, 2, 0)[::2]):
        assert machine.run(theta, (given, y))[0] == expected
        assert machine.run(theta, (x, np.repeat(y, 3)[::3]))[0] == expected
    assert machine.run(theta, (x[::-1], y[::-1]))[0] == pytest.approx(expected, rel=1e-13)
    for wrong, match in (
        ((x,), "a tuple of 2 arguments"),
        ((x, y[1:]), "as many examples in all arguments, not 50 and 49"),
        ((x[:, 1:], y), "7 numbers of each example, not 6"),
        ((x.astype(np.float32), y), "arrays of float64"),
        ((np.float64(1.0), y), "an axis for the examples"),
    ):
        with pytest.raises(ValueError, match=match):
            machine.run(theta, wrong)
    with pytest.raises(ValueError, match="one thread at least, not 0"):
        machine.run(theta, (x, y), 0)


def test_an_argument_that_is_not_read_only_counts():
    plan = Plan(
        block=1, inputs=[(0, 0), (0, 1)], outputs=[Operand(BLOCK, 0), Operand(STILL, 0)]
    )  # fmt: skip
    x = np.arange(3.0)
    assert core.Machine(plan).run((), (np.zeros((3, 9)), x)).tolist() == [[0, 1, 2], [3, 3, 3]]


def test_without_arguments_there_is_one_example():
    plan = Plan(
        rows=[table.multiply], still=np.array([0.0, 0.0, 3.0, 0.0]), parameters=(1, 2), block=1,
        before=[Step("flat", (), (), (0,))], each=[Step("flat", (), (), (1,))],
        tables=[np.array([[0, ~3, ~1, ~2, 0]]), np.array([[0, 0, ~3, ~0, 0]])],
        outputs=[Operand(BLOCK, 0), Operand(STILL, 3)],
    )  # fmt: skip
    machine = core.Machine(plan)
    for x in (2.0, 5.0):
        assert machine.run(np.array([x]), ()).tolist() == [[3 * x], [3 * x]]


SLOW = """
import signal, time
import numpy as np
from chainrule.compiler.plan import BLOCK, Operand, Plan, Step
from chainrule.engine import table
from chainrule.engine.native import core

steps = np.array([[0, 1 + i % 2, (i + 1) % 2 + 1 if i else 0, 0, 0] for i in range(2000)])
plan = Plan(rows=[table.sin], block=3, inputs=[(0, 1)], outputs=[Operand(BLOCK, 1)],
            tables=[steps], each=[Step("flat", (), (), (0,))])
machine, x = core.Machine(plan), np.ones(10**7)
machine.run((), (x[:1000],), {threads})
signal.signal(signal.SIGALRM, signal.default_int_handler)
for _ in range(2):
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    began = time.monotonic()
    try:
        machine.run((), (x,), {threads})
    except KeyboardInterrupt:
        print("interrupted", time.monotonic() - began < 30.0)
print(machine.run((), (x[:2],)).shape)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no such timer here")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_can_be_interrupted(threads):
    program = textwrap.dedent(SLOW).replace("{threads}", str(threads))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )  # fmt: skip
    assert done.stdout.split("\n")[:3] == ["interrupted True", "interrupted True", "(1, 2)"], done


def test_other_threads_run_meanwhile():
    steps = np.array([[0, 1, 0, 0, 0]] * 300)
    plan = Plan(
        rows=[table.sin], block=2, inputs=[(0, 1)], outputs=[Operand(BLOCK, 1)], tables=[steps],
        each=[Step("flat", (), (), (0,))],
    )  # fmt: skip
    machine, ran, stop = core.Machine(plan), [], threading.Event()

    def count():
        while not stop.is_set():
            ran.append(time.monotonic())
            time.sleep(0.0005)

    thread = threading.Thread(target=count)
    thread.start()
    began = time.monotonic()
    machine.run((), (np.ones(60_000),))
    ended = time.monotonic()
    stop.set()
    thread.join()
    assert sum(began < t < ended for t in ran) > 3


def test_a_long_plan_is_compact():
    steps = np.array([[0, 1 + i % 2, 2 - i % 2 if i else 0, 0, 0] for i in range(200_000)])
    plan = Plan(
        rows=[table.add], block=3, inputs=[(0, 1)], outputs=[Operand(BLOCK, 2)], tables=[steps],
        each=[Step("flat", (), (), (0,))],
    )  # fmt: skip
    tracemalloc.start()
    machine = core.Machine(plan)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken < 24 * len(steps)
    assert machine.run((), (np.ones(2),)).tolist() == [[200_001.0, 200_001.0]]


def test_machines_leave_nothing_behind():
    def rounds(n):
        for _ in range(n):
            machine = core.Machine(network())
            machine.run(numbers(42), batch(300), 2)
            with contextlib.suppress(ValueError):
                machine.run(numbers(42), ())

    grown = []
    for _ in range(5):  # other things may come to stay meanwhile, but not in every round
        before = sys.getallocatedblocks()
        rounds(30)
        gc.collect()
        grown.append(sys.getallocatedblocks() - before)
    assert min(grown) < 15


# --- loops ----------------------------------------------------------------------------------------

LOOPS = {
    "one": [
        Step("loop", (), (), (4, 3)),
        Step("move", (2,), (Operand(BLOCK, 12, (1,)), Operand(BLOCK, 0, (1,))), (0, 2)),
        Step("flat", (), (), (0,)),
        Step("move", (1,), (Operand(BLOCK, 8, (1,)), Operand(BLOCK, 14, (1,))), (1, 0)),
        Step("add", (4,), (Operand(BLOCK, 8, (1,)), Operand(STILL, 1, (0,)))),
    ],
    "backwards, with strides": [
        Step("loop", (), (), (3, 1)),
        Step("move", (2, 2), (Operand(BLOCK, 10, (3, 1)), Operand(BLOCK, 4, (1, 2))), (-1, -2)),
    ],
    "nested": [
        Step("loop", (), (), (2, 5)),
        Step("move", (2,), (Operand(BLOCK, 12, (1,)), Operand(BLOCK, 0, (1,))), (0, 3)),
        Step("loop", (), (), (3, 2)),
        Step("flat", (), (), (0,)),
        Step("move", (1,), (Operand(BLOCK, 9, (1,)), Operand(BLOCK, 14, (1,))), (1, 0)),
        Step("move", (1,), (Operand(BLOCK, 8, (1,)), Operand(BLOCK, 12, (1,))), (2, 0)),
        Step("copy", (1,), (Operand(BLOCK, 15, (1,)), Operand(BLOCK, 14, (1,)))),
    ],
}


@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize("name", LOOPS)
def test_loops(level, name, m):
    table_of = np.array([[0, 14, 12, 13, 0], [1, 12, 14, ~2, 0]])
    plan = Plan(
        rows=[table.multiply, table.add], tables=[table_of], still=np.zeros(3), block=16,
        parameters=(1, 3), inputs=[(0, 8)], each=LOOPS[name],
        outputs=[Operand(BLOCK, 8 + i) for i in range(8)],
    )  # fmt: skip
    zero = Step("copy", (8,), (Operand(BLOCK, 8, (1,)), Operand(STILL, 1, (0,))))
    plan.each = [zero, *plan.each]
    x, theta = numbers((m, 8), seed=m), numbers(2, seed=5)
    expected = read(plan, theta, (x,))
    assert np.array_equal(core.Machine(plan).run(theta, (x,), 1), expected)


# --- plans that are not sound ---------------------------------------------------------------------


def test_a_row_without_a_kernel_is_a_lookup_error():
    own = table.primitive("cubed", lambda x: x**3, (lambda x, y: 3 * x * x,))
    try:
        assert not core.Machine.can(own)
        assert core.Machine.can(table.hypot)
        assert not core.Machine.can("exp")
        step = Step("apply", (1,), (Operand(BLOCK, 1, (0,)), Operand(BLOCK, 0, (0,))), (0,))
        with pytest.raises(LookupError, match="cubed"):
            core.Machine(Plan(rows=[own], block=2, inputs=[(0, 1)], each=[step]))
    finally:
        del TABLE["cubed"]


def sound(**changes):
    step = Step("copy", (2,), (Operand(BLOCK, 2, (1,)), Operand(BLOCK, 0, (1,))))
    plan = Plan(
        rows=[table.exp, table.add], tables=[np.array([0, 1]), np.array([[1, 2, 0, 1, 0]])],
        block=4, still=np.zeros(5), parameters=(1, 3), sums=2, inputs=[(0, 2)], each=[step],
        outputs=[Operand(BLOCK, 2)],
    )  # fmt: skip
    for name, x in changes.items():
        setattr(plan, name, x)
    return plan


B, S, T = BLOCK, STILL, SUMS


def one(code, extents=(2,), *operands, detail=(), where="each"):
    return {where: [Step(code, extents, tuple(Operand(*x) for x in operands), detail)]}


def looping(count, by=(0, 0)):
    """Return changes that put a copy that moves into a loop."""
    move = Step("move", (2,), (Operand(B, 2, (1,)), Operand(B, 0, (1,))), by)
    return {"each": [Step("loop", (), (), (count, 1)), move]}


def test_a_code_that_c_does_not_know_is_a_lookup_error():
    with pytest.raises(LookupError, match="there is no code 'frobnicate' in C"):
        core.Machine(sound(**one("frobnicate", (2,), (B, 2, (1,)), (B, 0, (1,)))))


UNSOUND = {
    "beyond": one("copy", (2,), (B, 3, (1,)), (B, 0, (1,))),
    "beyond by a stride": one("copy", (2,), (B, 2, (1,)), (B, 0, (4,))),
    "beyond by far": one("copy", (2,), (B, 2, (1,)), (B, 0, (2**62,))),
    "beyond by two axes": one("copy", (2, 2), (B, 0, (2, 1)), (B, 1, (2, 1))),
    "before": one("copy", (2,), (B, 2, (1,)), (B, -1, (1,))),
    "backwards": one("copy", (2,), (B, 2, (1,)), (B, 1, (-1,))),
    "an extent of 0": one("copy", (0,), (B, 2, (1,)), (B, 0, (1,))),
    "no extent": one("copy", (), (B, 2, ()), (B, 0, ())),
    "an extent that overflows": one("copy", (2**62, 2**62), (B, 2, (0, 0)), (B, 0, (0, 0))),
    "a space": one("copy", (2,), (3, 2, (1,)), (B, 0, (1,))),
    "strides": one("copy", (2,), (B, 2, (1, 1)), (B, 0, (1,))),
    "operands": one("copy", (2,), (B, 2, (1,))),
    "detail": one("copy", (2,), (B, 2, (1,)), (B, 0, (1,)), detail=(1,)),
    "a result in STILL": one("copy", (2,), (S, 1, (1,)), (B, 0, (1,))),
    "a result in SUMS": one("copy", (2,), (T, 0, (1,)), (B, 0, (1,))),
    "reading SUMS": one("copy", (2,), (B, 0, (1,)), (T, 0, (1,))),
    "BLOCK before": one("copy", (2,), (S, 3, (1,)), (B, 0, (1,)), where="before"),
    "BLOCK after": one("copy", (2,), (B, 0, (1,)), (S, 0, (1,)), where="after"),
    "a row": one("apply", (2,), (B, 2, (1,)), (B, 0, (1,)), detail=(2,)),
    "a row below": one("apply", (2,), (B, 2, (1,)), (B, 0, (1,)), detail=(-1,)),
    "the arguments of a row": one("apply", (2,), (B, 2, (1,)), (B, 0, (1,)), detail=(1,)),
    "a table": one("gather", (2,), (B, 2, (1,)), (B, 0, (1,)), detail=(2,)),
    "a short table": one("gather", (4,), (B, 0, (1,)), (B, 0, (1,)), detail=(0,)),
    "a gather beyond": one("gather", (2,), (B, 2, (1,)), (B, 3, (1,)), detail=(0,)),
    "a scatter beyond": one("scatter", (2,), (B, 3, (1,)), (B, 0, (1,)), detail=(0,)),
    "the columns of flat": one("flat", (), detail=(0,)),
    "a sum along its result": one("sum", (2,), (B, 2, (1,)), (B, 0, (1,)), detail=(1,)),
    "a sum over too much": one("sum", (2,), (B, 2, (0,)), (B, 0, (1,)), detail=(2,)),
    "stretches beyond": one("segment_sum", (1,), (B, 2, (1,)), (B, 0, (1,)), detail=(0,)),
    "rows of a table": one("pick", (1,), (B, 2, (1,)), (B, 0, (0,)), (S, 1, (1,)), detail=(3, 2)),
    "no rows": one("pick", (1,), (B, 2, (1,)), (B, 0, (0,)), (S, 1, (1,)), detail=(0, 2)),
    "a loop of nothing": {"each": [Step("loop", (), (), (3, 0))]},
    "a loop beyond the end": {"each": [Step("loop", (), (), (3, 1))]},
    "no rounds": looping(0),
    "a loop that ends after the one around it": {
        "each": [Step("loop", (), (), (3, 1)), *looping(2)["each"]]
    },
    "a loop with extents": one("loop", (2,), detail=(3, 1)),
    "a loop before": {"before": looping(2)["each"], "each": []},
    "too many loops in one another": {
        "each": [*(Step("loop", (), (), (1, 41 - i)) for i in range(40)), *looping(1)["each"]]
    },
    "moving without a loop": {"each": looping(2)["each"][1:]},
    "moving beyond": looping(3, (1, 0)),
    "moving below": looping(3, (0, -1)),
    "moving far": looping(2, (2**40, 0)),
    "moving from STILL": {
        "each": [
            Step("loop", (), (), (1, 1)),
            Step("move", (1,), (Operand(B, 2, (1,)), Operand(S, 0, (1,))), (0, 0)),
        ]
    },
    "inputs": {"inputs": [(3, 2)]},
    "outputs": {"outputs": [Operand(BLOCK, 4)]},
    "outputs of sums": {"outputs": [Operand(SUMS, 0)]},
    "parameters": {"parameters": (3, 6)},
    "the count among the parameters": {"parameters": (0, 2)},
    "a cost": {"cost": 5, "gradient": (1, 3)},
    "a gradient": {"cost": 1, "gradient": (3, 6)},
    "nothing still": {"still": np.zeros(0)},
    "still of another type": {"still": np.zeros(5, dtype=np.float32)},
    "a table of floats": {"tables": [np.zeros(2)]},
    "a negative size": {"block": -1},
    "a step that is not one": {"each": [("copy", (2,))]},
}


def test_a_sound_plan_is_taken():
    assert core.Machine(sound()).run(np.zeros(2), (np.ones((1, 2)),)).tolist() == [[1.0]]


@pytest.mark.parametrize("name", UNSOUND)
def test_a_plan_that_is_not_sound_is_refused(name):
    with pytest.raises(ValueError, match="Machine: the plan is not sound: "):
        core.Machine(sound(**UNSOUND[name]))


@pytest.mark.parametrize(
    "steps",
    [
        [[1, 4, 0, 1, 0]], [[1, 2, 0, 4, 0]], [[1, 2, 0, ~5, 0]], [[1, ~3, 0, 1, 0]],
        [[2, 2, 0, 1, 0]], [[-3, 2, 0, 1, 0]], [[1, 2, 2, 1, 0]],
    ],
)  # fmt: skip
def test_flat_steps_that_are_not_sound_are_refused(steps):
    with pytest.raises(ValueError, match="Machine: the plan is not sound: "):
        core.Machine(sound(tables=[np.array(steps)], **one("flat", (), detail=(0,))))
    table_of = [np.array(steps[0][1:4])]
    if 0 <= steps[0][0] < 2:
        with pytest.raises(ValueError, match="Machine: the plan is not sound: "):
            core.Machine(sound(tables=table_of, **one("call", (), detail=(steps[0][0], 0))))


def test_whatever_is_not_a_plan_is_refused():
    for wrong in (None, 1, [], Plan):
        with pytest.raises((TypeError, AttributeError, ValueError)):
            core.Machine(wrong)
    for field in ("rows", "tables", "still", "inputs", "before", "each", "after", "outputs"):
        for wrong in (None, 3, [None], "no"):
            with pytest.raises((TypeError, ValueError, LookupError, BufferError)):
                core.Machine(
                    sound(
                        **(
                            {field: wrong} | one("flat", (), detail=(1,))
                            if field == "rows"
                            else {field: wrong}
                        )
                    )
                )
