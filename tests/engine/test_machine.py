"""The machine in C does what a plan says: every code against a reading of it in plain Python.

The reading below knows no blocks, no threads and no vectors: it goes through all examples, all
indices and all terms in order, with the table's own functions on floats, and adds up exactly.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from chainrule.compiler.plan import BLOCK, STILL, SUMS, Operand, Plan, Step
from chainrule.engine import table
from chainrule.engine.native import core

if core is None:
    pytest.skip("there is no native core here", allow_module_level=True)

inf, nan = math.inf, math.nan


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
        elif code in ("product", "sum"):
            n = 1 if code == "product" else detail[0]
            terms = {}
            for index in indices:
                xs = [self.get(x, index) for x in rest]
                terms.setdefault(index[: len(index) - n], []).append(math.prod(xs))
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
        arity = row.arity or (2 if flat else len(xs))
        return float(row.scalar(*xs[:arity]))


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
        for step in plan.each:
            reading.do(step)
        for i, (space, offset, _) in enumerate(plan.outputs):
            outputs[i, example] = (reading.still if space == STILL else reading.block)[offset]
    for step in plan.after:
        reading.do(step)
    if plan.cost is None:
        return outputs
    return reading.still[plan.cost], np.array(reading.still[slice(*plan.gradient)])


def agree(found, expected, rtol=0.0, atol=0.0):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, equal_nan=True)


# --- every code -----------------------------------------------------------------------------------

SIZES = [0, 1, 2, 7, 8, 9, 300]


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
def test_moves_and_sums(step, n_in, n_out, m):
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
def test_products(name, m):
    extents, result, a, b, n_in, n_out, parameters = PRODUCTS[name]
    step = Step("product", extents, (result, a, b))
    found, expected = through(step, n_in, n_out, m, parameters=parameters)
    agree(found, expected, 1e-13, 1e-13)
