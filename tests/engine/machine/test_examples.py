"""Sums over the examples, in blocks and in threads."""

from __future__ import annotations

import itertools
import math
import threading

import numpy as np
import pytest

from chainrule.compiler.plan import BLOCK, STILL, Operand, Plan, Step
from chainrule.engine.native import core

from .reading import agree, batch, network, numbers, read

if core is None:
    pytest.skip("there is no native core here", allow_module_level=True)


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


@pytest.mark.parametrize("m", [500, 1797, 20011])
def test_the_pieces_of_a_run_make_the_run(m):
    theta, arrays = numbers(1200, 3), batch(m, 20)
    whole = core.Machine(network(20, 60)).run(theta, arrays)
    lanes, starts = core.Machine(network(20, 60)).division(m)
    assert (starts[0], starts[-1]) == (0, m)
    assert all(start % lanes == 0 for start in starts[:-1])
    total = 0.0
    for start, stop in itertools.pairwise(starts):
        machine = core.Machine(network(20, 60))  # one that has seen no other part
        total += machine.part(theta, tuple(x[start:stop] for x in arrays), m, lanes)
    cost, gradient = core.Machine(network(20, 60)).finish(theta, m, total)
    assert cost == whole[0]
    assert gradient.tobytes() == whole[1].tobytes()


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
