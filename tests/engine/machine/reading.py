"""A plan, read in plain Python.

The reading knows no blocks, no threads and no vectors: it goes through all examples, all indices
and all terms in order, with the table's own functions on floats, and adds up exactly.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from chainrule.compiler.plan import BLOCK, STILL, SUMS, Operand, Plan, Step
from chainrule.engine import table
from chainrule.engine.native import core

inf, nan = math.inf, math.nan


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


def one(code, extents=(2,), *operands, detail=(), where="each"):
    return {where: [Step(code, extents, tuple(Operand(*x) for x in operands), detail)]}
