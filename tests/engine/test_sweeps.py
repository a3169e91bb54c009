"""The two sweeps on graphs of unusual shape: deep, wide, full of paths, in threads."""

from __future__ import annotations

import contextlib
import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule import Value
from chainrule.engine.sweeps import pullback, pushforward, topological_order

from ..threads import run_together

MILLION = 10**6


def chain(x, n):
    for _ in range(n):
        x = x + 1e-6
    return x


def test_a_chain_of_a_million_nodes_lives_and_dies_under_the_default_limits():
    """Built, swept both ways, shown and freed: nothing may recurse once per level."""
    assert sys.getrecursionlimit() <= 1000
    x = Value(1.0)
    y = chain(x, MILLION)
    y.backward()
    assert x.grad == 1.0
    assert repr(y) == f"Value(data={y.data!r}, grad=1.0, op='+')"
    assert pushforward([y], {x: 3.0})[y] == 3.0
    ref = weakref.ref(y)
    del y
    assert ref() is None


def test_a_deep_chain_has_second_derivatives():
    x = Value(0.5)
    y = x
    for _ in range(20_000):
        y = y * x
    (slope,) = cr.gradients(y, [x], create_graph=True)
    assert slope.data == 0.0
    z = x
    for _ in range(20_000):
        z = cr.sin(z)
    (slope,) = cr.gradients(z, [x], create_graph=True)
    assert cr.gradients(slope, [x])[0] < 0.0


def test_a_deep_chain_is_deep_copied_and_pickled():
    x = Value(1.0)
    y = chain(x, 50_000)
    for z in (copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
        z.backward()
        assert (z.data, z.op, x.grad) == (y.data, "+", 0.0)
    ref = weakref.ref(z)
    del z
    assert ref() is None


def test_a_deep_chain_is_built_swept_and_freed_on_a_small_stack():
    failures = []

    def work():
        x = Value(1.0)
        y = chain(x, 100_000)
        y.backward()
        ref = weakref.ref(y)
        pickle.loads(pickle.dumps(y))
        del y
        if x.grad != 1.0 or ref() is not None:
            failures.append((x.grad, ref()))

    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert not failures


def test_a_ladder_with_two_to_the_thousandth_paths_takes_a_thousand_steps():
    x = Value(1.0)
    y = x
    for _ in range(1000):
        y = y + y
    y.backward()
    assert y.data == x.grad == 2.0**1000
    assert cr.jvp(lambda v: doubled(v, 1000), (1.0,), (1.0,))[1] == 2.0**1000


def doubled(v, n):
    for _ in range(n):
        v = v + v
    return v


def test_a_node_with_many_parents_and_a_leaf_with_many_children():
    xs = [Value(float(i)) for i in range(50_000)]
    y = cr.sum(xs) + cr.sum([xs[0]] * 1000)
    y.backward()
    assert xs[0].grad == 1001.0
    assert {x.grad for x in xs[1:]} == {1.0}


def test_the_order_of_a_sweep_is_the_order_of_making():
    a, b = Value(1.0), Value(2.0)
    c = a * b
    d = b + c
    e = d * a
    order = topological_order([e])
    assert order == [a, b, c, d, e]
    assert topological_order([e, c, e]) == order
    assert topological_order([]) == []
    rest = topological_order([d])
    assert rest == [a, b, c, d]


def test_an_output_that_feeds_another_output_receives_both_cotangents():
    a = Value(2.0)
    h = a * 3
    y = h * h
    adjoints = pullback({h: 10.0, y: 1.0})
    assert adjoints == {a: 66.0, h: 22.0, y: 1.0}


def test_a_tangent_exists_only_where_an_input_reaches():
    a, b = Value(0.0), Value(2.0)
    h = cr.sqrt(a)  # an infinite slope that nobody asks for
    y = h * 0.0 + b
    tangents = pushforward([y], {b: 1.0})
    assert tangents[y] == 1.0
    assert h not in tangents
    assert a not in tangents


def test_an_input_of_the_forward_sweep_may_lie_inside_the_graph():
    a = Value(2.0)
    h = a * a
    y = h * a
    assert pushforward([y], {h: 1.0})[y] == 2.0
    assert pushforward([y], {h: 1.0, a: 0.5})[y] == 4.0  # h is held by its own tangent


def test_the_sweeps_agree_on_a_big_random_graph():
    rng = np.random.default_rng(11)
    leaves = [Value(x) for x in rng.normal(size=8)]
    nodes = list(leaves)
    for _ in range(3000):
        a, b = (nodes[-1 - int(i)] for i in rng.integers(0, 8, size=2))
        kind = int(rng.integers(4))
        nodes.append([a + b, a - b, cr.tanh(a) * b, cr.sin(a * b)][kind])
    y = cr.tanh(nodes[-1])
    u = rng.normal(size=8)
    tangent = pushforward([y], dict(zip(leaves, u.tolist(), strict=True)))[y]
    adjoints = pullback({y: 1.0})
    gradient = np.array([adjoints.get(leaf, 0.0) for leaf in leaves])
    assert tangent == pytest.approx(float(gradient @ u), rel=1e-10)


def test_backward_passes_in_many_threads_do_not_disturb_each_other():
    expected = cr.grad(lambda x: cr.sum([cr.sin(x * k) for k in range(200)]))(0.3)
    found = []

    def work():
        for _ in range(20):
            x = Value(0.3)
            cr.sum([cr.sin(x * k) for k in range(200)]).backward()
            found.append(x.grad)

    run_together([work] * 6, 1e-5)
    assert found == [expected] * 120


def test_building_and_sweeping_makes_no_garbage_for_the_collector():
    gc.collect()
    x = Value(0.5)
    for _ in range(100):
        y = cr.tanh(x * x) + cr.softmax([x, 1.0, x])[0]
        y.backward()
        cr.gradients(y, [x], create_graph=True)
    del y
    assert gc.collect() == 0


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals need the main thread"
)
def test_an_interrupt_in_the_middle_of_a_walk_leaves_the_graph_as_it_was():
    """At whatever moment it comes; a handler that lets the program go on loses nothing."""
    x = Value(1.0)
    y = chain(x, 200_000)
    asked = []

    def handler(number, frame):
        asked.append(number)
        if len(asked) % 2:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handler)
    try:
        for _ in range(6):
            seen = len(asked)
            code = f"import os, time; time.sleep(0.05); os.kill({os.getpid()}, {signal.SIGINT:d})"
            with (
                subprocess.Popen([sys.executable, "-c", code]),
                contextlib.suppress(KeyboardInterrupt),
            ):
                for _ in range(10_000):
                    assert len(topological_order([y])) == 200_001
                    if len(asked) > seen:
                        break
            assert cr.gradients(y, [x]) == [1.0]
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(asked) == 6
    y.backward()
    assert x.grad == 1.0
