"""Flat steps that become chains: random ones whose places are used again and again."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.plan import BLOCK, STILL, SUMS, Operand, Plan, Step
from chainrule.engine import table
from chainrule.engine.native import core
from tests.engine.machine.reading import agree, read

if core is None:
    pytest.skip("chains are the machine's in C", allow_module_level=True)

# Arithmetic, which goes on in chains, more often than rows that are done on their own.
ROWS = [
    *[table.add, table.subtract, table.multiply, table.divide, table.negative, table.square] * 2,
    *[table.where, table.absolute, table.maximum],
]
LANES = [1, 2, 7, 8, 30, 64, 67, 203]
PLACES, PARAMETERS = 11, 3  # all places are given numbers, as none may be read before that
FIRST = 4  # that is written to


def flat_steps(rng, count, first, end, still):
    """Return steps that write into the places from *first* to *end*, none into its own arguments.

    A place is read as often as chance has it, and numbers of STILL are among the arguments.
    """
    steps = []
    for _ in range(count):
        which = int(rng.integers(len(ROWS)))
        given = [~int(rng.choice(still)) if rng.random() < 0.15 else int(rng.integers(end))
                 for _ in range(3)]  # fmt: skip
        if steps and rng.random() < 0.6:  # as programs do: what was just computed goes on
            given[int(rng.integers(2))] = steps[-1][1]
        result = int(rng.choice([p for p in range(first, end) if p not in given]))
        steps.append([which, result, *given])
    return np.array(steps)


def example(seed, each, tables, **more):
    rng = np.random.default_rng(seed)
    plan = Plan(
        rows=ROWS, tables=tables, still=np.zeros(1 + PARAMETERS), parameters=(1, 1 + PARAMETERS),
        block=PLACES, inputs=[(0, PLACES)], each=each, **more,
    )  # fmt: skip
    return plan, rng.normal(size=PARAMETERS), rng.normal(size=(int(rng.choice(LANES)), PLACES))


def check(plan, theta, x):
    agree(core.Machine(plan).run(theta, (x,)), read(plan, theta, (x,)))


def some_outputs(rng):
    return [Operand(BLOCK, int(p)) for p in rng.choice(range(FIRST, PLACES), 3, replace=False)]


FLAT = Step("flat", (), (), (0,))


@pytest.mark.parametrize("seed", range(25))
def test_places_that_are_used_again(level, seed):
    rng = np.random.default_rng(seed)
    steps = flat_steps(rng, int(rng.integers(1, 50)), FIRST, PLACES, [1, 2, 3])
    check(*example(seed, [FLAT], [steps], outputs=some_outputs(rng)))


@pytest.mark.parametrize("seed", range(10))
def test_what_other_steps_and_later_rounds_read(level, seed):
    rng = np.random.default_rng(100 + seed)
    steps = flat_steps(rng, 20, FIRST, PLACES, [1, 2, 3])
    more = flat_steps(rng, 5, FIRST, PLACES, [1, 2, 3])
    into, of = rng.choice(range(FIRST, PLACES), 2, replace=False).tolist()
    between = Step("copy", (1,), (Operand(BLOCK, into, (1,)), Operand(BLOCK, of, (1,))))
    gathered = Step("gather", (2,), (Operand(BLOCK, PLACES - 2, (1,)), Operand(BLOCK, 4, (1,))),
                    (2,))  # fmt: skip
    each = [Step("loop", (), (), (3, 3)), FLAT, between, Step("flat", (), (), (1,)), gathered]
    tables = [steps, more, np.array(rng.integers(0, PLACES - 6, 2))]
    check(*example(seed, each, tables, outputs=some_outputs(rng)))


@pytest.mark.parametrize("seed", range(20))
def test_what_the_next_round_of_the_same_steps_reads(level, seed):
    rng = np.random.default_rng(300 + seed)
    steps = flat_steps(rng, 12, FIRST, PLACES, [1, 2, 3])
    each = [Step("loop", (), (), (3, 1)), FLAT]
    check(*example(seed, each, [steps], outputs=some_outputs(rng)[:1]))


@pytest.mark.parametrize("seed", range(10))
def test_steps_before_and_after_the_examples(level, seed):
    rng = np.random.default_rng(200 + seed)
    n = 1 + PARAMETERS

    def on_still(count):  # what is computed stands behind the parameters
        steps = flat_steps(rng, count, n, n + 8, [1])
        steps[:, 2:] = np.where(steps[:, 2:] < 0, ~steps[:, 2:], steps[:, 2:])
        steps[:, 1:] = ~steps[:, 1:]
        return steps

    rows, sums = Operand(BLOCK, FIRST, (1,)), Operand(SUMS, 0, (1,))
    plan, theta, x = example(
        seed, [FLAT, Step("sum", (3,), (sums, rows), (0,))],
        [flat_steps(rng, 20, FIRST, PLACES, [1, 5, 7]), on_still(20), on_still(20)],
        before=[Step("flat", (), (), (1,))],
        after=[Step("copy", (3,), (Operand(STILL, n, (1,)), sums)), Step("flat", (), (), (2,))],
        sums=3, cost=n + 1, gradient=(n + 2, n + 5),
    )  # fmt: skip
    plan.still = np.zeros(n + 8)
    cost, slopes = core.Machine(plan).run(theta, (x[:1],))
    expected, expected_slopes = read(plan, theta, (x[:1],))
    agree([cost, *slopes], [expected, *expected_slopes])


def test_a_thousand_values_that_wait():
    """Every product waits for its use, far more of them than can be held."""
    n = 1000
    products = [[2, 1 + i, 0, ~1] for i in range(n)]  # ROWS[2] is the product
    sums = [[0, 1 + n + i, n - i, n + i if i else 0] for i in range(n)]
    steps = np.array([[*step, 0] for step in products + sums])
    plan = Plan(
        rows=ROWS, tables=[steps], still=np.zeros(2), parameters=(1, 2), block=1 + 2 * n,
        inputs=[(0, 1)], outputs=[Operand(BLOCK, 2 * n)], each=[FLAT],
    )  # fmt: skip
    for m in (1, 20, 70):
        check(plan, np.array([0.1]), np.random.default_rng(m).normal(size=(m, 1)))
