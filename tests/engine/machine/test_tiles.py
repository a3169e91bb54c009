"""Element-wise steps of one example run as tiles: random ones, with operands in every manner.

Several examples at once take another way, so one example has to give the very numbers that it gives
among others, and those of a reading of the plan.
"""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.plan import BLOCK, STILL, SUMS, Operand, Plan, Step
from chainrule.engine import table
from chainrule.engine.native import core
from tests.engine.machine.reading import agree, read

if core is None:
    pytest.skip("tiles are the machine's in C", allow_module_level=True)

BINARY = [table.add, table.subtract, table.multiply, table.divide, table.maximum]
UNARY = [table.negative, table.square, table.absolute, table.identity]
ROWS = [*BINARY, *UNARY, table.where, table.tanh, table.sigmoid]
SHAPES = [(1,), (5,), (14,), (28,), (2, 14), (14, 2), (2, 14, 2), (3, 1, 4), (64,), (71,)]
LARGE = [(100,), (131,), (20, 7), (140, 2), (300, 2), (513,)]
PARAMETERS = 1300


def dense(shape):
    return np.cumprod([1, *shape[:0:-1]])[::-1].tolist()


def strides_in(rng, shape, result=False):
    """Return strides: in one piece mostly, else with gaps, turned, or the same for all."""
    kind = rng.choice(["dense", "gaps", "turned"] + ["same", "some"] * (not result),
                      p=[0.7, 0.15, 0.15] if result else [0.55, 0.1, 0.1, 0.15, 0.1])  # fmt: skip
    found = dense(shape)
    if kind == "gaps":
        return [2 * s for s in found]
    if kind == "turned":
        order = rng.permutation(len(shape))
        turned = dense([shape[i] for i in order])
        return [turned[order.tolist().index(i)] for i in range(len(shape))]
    return {"same": [0] * len(shape), "some": [0, *found[1:]]}.get(str(kind), found)


def reach(shape, strides):
    return sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1


class Steps:
    """Random steps on BLOCK; a place is written and read again and again."""

    def __init__(self, seed, shapes, size):
        self.rng, self.shapes, self.size = np.random.default_rng(seed), shapes, size
        self.last = []  # places that were just written

    def operand(self, shape, taken=()):
        """Return an operand; it has none of the places that are *taken*, but may be one of them."""
        rng = self.rng
        while True:
            if taken and rng.random() < 0.3:
                return taken[int(rng.integers(len(taken)))]
            strides = strides_in(rng, shape, bool(taken))
            if not taken and rng.random() < 0.2:
                return Operand(STILL, 1 + int(rng.integers(20)), tuple(strides))
            span = reach(shape, strides)
            if span > self.size:
                continue
            offset = int(rng.integers(self.size - span + 1))
            near = [x for x in self.last if x.offset + span <= self.size]
            if near and rng.random() < 0.6:
                offset = near[int(rng.integers(len(near)))].offset
            found = Operand(BLOCK, offset, tuple(strides))
            if all(x.space != BLOCK or self.apart(found, x, shape) for x in taken):
                return found

    def apart(self, x, y, shape):
        return (x.offset + reach(shape, x.strides) <= y.offset
                or y.offset + reach(shape, y.strides) <= x.offset)  # fmt: skip

    def step(self):
        rng = self.rng
        shape = self.shapes[int(rng.integers(len(self.shapes)))]
        code = str(
            rng.choice(["apply", "copy", "add", "sum", "product"], p=[0.7, 0.1, 0.1, 0.05, 0.05])
        )
        which = int(rng.integers(len(ROWS)))
        count = 1 if code in ("copy", "add", "sum") else 2
        if code == "apply":
            row = ROWS[which]
            count = 3 if row is table.where else 1 if row in UNARY or which > len(BINARY) + 4 else 2
        given = [self.operand(shape) for _ in range(count)]
        fits = [
            x for x in given if x.space == BLOCK and len({*self.places(x, shape)}) == np.prod(shape)
        ]
        for _ in range(100):
            result = self.operand(shape, tuple(x for x in given if x.space == BLOCK) or (given[0],))
            same = result in given
            if (same and (result not in fits or code not in ("apply", "copy"))) or (
                same and not all(x == result or x.space != BLOCK or self.apart(x, result, shape)
                                 for x in given)
            ):  # fmt: skip
                continue
            if result.space == BLOCK:
                break
        else:
            return None
        if code in ("sum", "product"):
            # A product that is not summed has a last index of 1.
            result = Operand(SUMS, int(rng.integers(40)), tuple(dense(shape)))
        self.last = [*self.last[-2:], result] if result.space == BLOCK else self.last
        operands = (result, *given)
        if code == "product":
            if not any(x.space == BLOCK for x in given):
                return None
            operands = tuple(x._replace(strides=(*x.strides, 0)) for x in operands)
            return Step(code, (*shape, 1), operands)
        if code == "sum" and given[0].space != BLOCK:
            return None
        return Step(code, shape, operands, {"apply": (which,), "sum": (0,)}.get(code, ()))

    def places(self, x, shape):
        return (x.offset + np.tensordot(x.strides, np.indices(shape), 1)).ravel().tolist()


def random_plan(seed, shapes, size, count):
    steps = Steps(seed, shapes, size)
    each = [step for step in (steps.step() for _ in range(count)) if step is not None]
    if seed % 3 == 0:
        each.insert(0, Step("loop", (), (), (2, max(1, len(each) - 3))))
    sums = 40 + max(int(np.prod(shape)) for shape in shapes)
    return Plan(
        rows=ROWS, still=np.zeros(1 + PARAMETERS), parameters=(1, 1 + PARAMETERS), block=size,
        inputs=[(0, size)], each=each, sums=sums,
    )  # fmt: skip


def check(plan, seed, reading=True):
    rng = np.random.default_rng(seed)
    theta, x = rng.normal(size=PARAMETERS), rng.normal(size=(1, plan.block))
    sums, plan.sums, each = plan.sums, 0, plan.each
    plan.each = [x for x in each if x.code != "loop" and x.operands[0].space != SUMS]
    plan.outputs = [Operand(BLOCK, i) for i in range(plan.block)]
    found = core.Machine(plan).run(theta, (x,))
    among = core.Machine(plan).run(theta, (np.repeat(x, 3, 0),))
    assert np.array_equal(found[:, 0], among[:, 1], equal_nan=True)
    # And what goes into sums, in loops.
    n = len(plan.still)
    plan.each, plan.sums, plan.still = each, sums, np.zeros(n + 1 + sums)
    plan.cost, plan.gradient = n, (n + 1, n + 1 + sums)
    plan.after = [Step("copy", (sums,), (Operand(STILL, n + 1, (1,)), Operand(SUMS, 0, (1,))))]
    _, slopes = core.Machine(plan).run(theta, (x,))
    if reading:
        agree(slopes, read(plan, theta, (x,))[1], 1e-11, 1e-11)
        plan.each, plan.cost, plan.gradient, plan.after = (
            [x for x in each if x.code != "loop" and x.operands[0].space != SUMS], None, None, []
        )  # fmt: skip
        agree(found, read(plan, theta, (x,)), 1e-11, 1e-11)


class Simulation:
    """Long steps on STILL, each a few places apart from the one before, with short ones between."""

    def __init__(self, seed, places=700, numbers=160):
        self.rng = np.random.default_rng(seed)
        self.places, self.numbers = places, numbers

    def operand(self, n, near):
        """Return an operand of *n* numbers, mostly a little before or behind a place, or one."""
        rng = self.rng
        if rng.random() < 0.15:
            return Operand(STILL, 1 + int(rng.integers(self.places)), (0,))
        first = (
            near + int(rng.integers(-2, 3))
            if rng.random() < 0.7
            else int(rng.integers(self.places))
        )
        return Operand(STILL, 1 + min(max(first, 0), self.places - n), (1,))

    def step(self):
        rng = self.rng
        n = int(rng.choice([self.numbers, self.numbers - 1, self.numbers - 40, 2, 1]))
        while True:
            which = int(rng.integers(len(BINARY)))
            near = int(rng.integers(4)) * self.numbers
            result = Operand(STILL, 1 + min(near + int(rng.integers(3)), self.places - n), (1,))
            code = str(rng.choice(["apply", "apply", "apply", "copy", "add"]))
            given = [self.operand(n, int(rng.integers(4)) * self.numbers)
                     for _ in range(2 if code == "apply" else 1)]  # fmt: skip
            if code != "add" and rng.random() < 0.5:
                given[-1] = result
            if all(x == result or apart(x, result, n) for x in given) and (
                code == "apply" or given[0] != result
            ):
                return Step(code, (n,), (result, *given), (which,) if code == "apply" else ())

    def plan(self, count, outputs):
        before = [self.step() for _ in range(count)]
        tables = []
        for _ in range(3):  # flat steps between them read a number here and there
            places = ~(1 + np.array([self.rng.choice(self.places, 3, False) for _ in range(8)]))
            rows = self.rng.integers(len(BINARY), size=(8, 1))
            tables.append(np.concatenate([rows, places, np.full((8, 1), ~1)], axis=1))
            at = int(self.rng.integers(count))
            before.insert(at, Step("flat", (), (), (len(tables) - 1,)))
        found = np.sort(self.rng.choice(self.places, outputs, replace=False))
        size = self.places + 1
        return Plan(
            rows=BINARY, tables=tables, still=np.zeros(size + 3), parameters=(size, size + 3),
            before=before, outputs=[Operand(STILL, 1 + int(i)) for i in found],
        )  # fmt: skip


def apart(x, y, n):
    ends = [o.offset + (n - 1) * o.strides[0] for o in (x, y)]
    return ends[0] < y.offset or ends[1] < x.offset


@pytest.mark.parametrize("seed", range(60))
def test_steps_that_are_shifted(level, seed):
    """What one step writes another reads a place further on; a few numbers only are asked for."""
    plan = Simulation(seed).plan(30, [5, 60, 700][seed % 3])
    plan.still[1 : 1 + 700] = np.random.default_rng(seed).normal(size=700)
    theta = np.array([0.5, -1.5, 2.0])
    found = core.Machine(plan).run(theta, ())
    assert np.array_equal(found, read(plan, theta, ()), equal_nan=True)


@pytest.mark.parametrize("numbers", [1, 7, 63, 64, 65, 200, 1000])
def test_recurrence_along_an_array(level, numbers):
    """y_i = x_i y_(i-1), again and again: each round reads what was written one place before."""
    n = numbers + 1
    x, y, z = 1, 1 + n, 1 + 2 * n
    rounds = [
        Step("apply", (numbers,), (at(z + 1), at(x + 1), at(y)), (2,)),
        Step("copy", (1,), (at(z), at(x))),
        Step("apply", (n,), (at(y), at(z), at(y)), (0,)),
    ]
    plan = Plan(
        rows=BINARY, still=np.zeros(1 + 3 * n), parameters=(x, x + n), before=rounds * 5,
        outputs=[Operand(STILL, y + i) for i in range(n)],
    )  # fmt: skip
    theta = np.random.default_rng(0).normal(size=n)
    plan.still[1 + n :] = 0.0
    expected = np.zeros(n)
    for _ in range(5):
        expected = expected + np.concatenate([theta[:1], theta[1:] * expected[:-1]])
    found = core.Machine(plan).run(theta, ())[:, 0]
    assert np.array_equal(found, expected)


def at(place):
    return Operand(STILL, place, (1,))


@pytest.mark.parametrize("seed", range(30))
def test_few_numbers(level, seed):
    check(random_plan(seed, SHAPES, 260, 40), seed, seed < 6)


@pytest.mark.parametrize("seed", range(30))
def test_many_numbers(level, seed):
    shapes = [LARGE[seed % len(LARGE)], (14,)] if seed % 2 else [LARGE[seed % len(LARGE)]]
    check(random_plan(1000 + seed, shapes, 2600, 25), seed, seed < 2)
