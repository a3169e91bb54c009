"""Runs of a machine: arguments, interruption, threads, memory; and loops."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
import textwrap
import threading
import time
import tracemalloc

import numpy as np
import pytest

from chainrule.compiler.plan import BLOCK, STILL, Operand, Plan, Step
from chainrule.engine import table
from chainrule.engine.native import core

from ... import children
from .reading import SIZES, batch, network, numbers, read

if core is None:
    pytest.skip("there is no native core here", allow_module_level=True)


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
    lines = children.printed("-c", program).splitlines()
    assert lines == ["interrupted True", "interrupted True", "(1, 2)"]


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

    rounds(600)  # what Python keeps for later grows for some hundred of them
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
