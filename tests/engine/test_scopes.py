"""Scopes: which block made a node, whoever else makes nodes meanwhile."""

import asyncio
import copy
import pickle
import threading
from collections import deque

import pytest

import chainrule as cr
from chainrule import Value
from chainrule.engine import scopes


def names(*nodes):
    found = scopes.blocks(sorted(nodes, key=lambda node: node.serial))
    return [tuple(block.name for block in found.get(node, ())) for node in nodes]


def test_a_node_belongs_to_the_blocks_around_it():
    x = Value(1.0)
    with cr.scope("outer"):
        a = x + 1.0
        with cr.scope("inner"):
            b = a + 1.0
        c = b + 1.0
    d = c + 1.0
    assert names(x, a, b, c, d) == [(), ("outer",), ("outer", "inner"), ("outer",), ()]
    assert scopes.deepest([x, a, b, c, d]) == 2
    assert scopes.deepest([x, d]) == 0


def test_each_time_is_a_block_of_its_own():
    step = cr.scope("step")
    h = Value(1.0)
    made = []
    for _ in range(3):
        with step:
            h = h * 2.0
        made.append(h)
    found = scopes.blocks(made)
    assert len({id(path[0]) for path in found.values()}) == 3
    assert names(*made) == [("step",)] * 3


def test_a_function_can_be_a_scope_and_may_call_itself():
    @cr.scope("down")
    def down(x, n):
        return down(x + 1.0, n - 1) if n else x * 2.0

    y = down(Value(0.0), 2)
    assert names(y) == [("down",) * 3]
    assert names(y.parents[0]) == [("down",) * 2]


def test_an_exception_ends_the_block():
    made = []

    @cr.scope("broken")
    def broken():
        made.append(Value(1.0) + 1.0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert names(*made, Value(1.0) + 1.0) == [("broken",), ()]


def test_a_graph_can_be_looked_at_before_its_block_ends():
    with cr.scope("open"):
        a = Value(1.0) + 1.0
        assert names(a) == [("open",)]


def test_threads_have_blocks_of_their_own():
    turn = threading.Barrier(2, timeout=30)
    made = {"a": [], "b": []}

    def work(name):
        turn.wait()
        x = Value(1.0)
        for _ in range(20):
            with cr.scope(name):
                turn.wait()  # both are inside
                made[name].append(x + 1.0)
                with cr.scope(f"{name} inside"):
                    made[name].append(x * 2.0)
                turn.wait()

    threads = [threading.Thread(target=work, args=(name,)) for name in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, nodes in made.items():
        assert names(*nodes) == [(name,), (name, f"{name} inside")] * 20


def test_tasks_have_blocks_of_their_own():
    async def work(name):
        made = []
        with cr.scope(name):
            for _ in range(5):
                await asyncio.sleep(0)
                made.append(Value(1.0) + 1.0)
        await asyncio.sleep(0)
        made.append(Value(1.0) + 1.0)
        return made

    async def both():
        return await asyncio.gather(work("a"), work("b"))

    for name, made in zip("ab", asyncio.run(both()), strict=True):
        assert names(*made)[:5] == [(name,)] * 5
    assert not scopes._open


def test_a_block_ended_elsewhere_than_it_began_harms_nobody():
    block = cr.scope("here")
    block.__enter__()
    thread = threading.Thread(target=block.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    a = Value(1.0) + 1.0
    block.__exit__(None, None, None)
    assert names(a, Value(1.0) + 1.0) == [("here",), ()]


def test_a_copy_belongs_to_where_it_was_made():
    with cr.scope("first"):
        a = Value(1.0) + 1.0
    again = pickle.loads(pickle.dumps(a))
    assert names(again) == [()]
    with cr.scope("second"):
        assert names(copy.deepcopy(a)) == [("second",)]
    assert names(a) == [("first",)]


def test_old_blocks_are_forgotten(monkeypatch):
    monkeypatch.setattr(scopes, "_ended", deque(maxlen=10))
    made = []
    for i in range(20):
        with cr.scope(f"{i}"):
            made.append(Value(1.0) + 1.0)
    assert names(*made) == [()] * 10 + [(f"{i}",) for i in range(10, 20)]


def test_a_scope_changes_nothing_of_what_is_computed():
    def f(x):
        with cr.scope("inside"):
            return cr.tanh(x) * x

    def plain(x):
        return cr.tanh(x) * x

    assert cr.grad(f)(0.5) == cr.grad(plain)(0.5)
    assert cr.compile(f)([0.5, 2.0]).tolist() == cr.compile(plain)([0.5, 2.0]).tolist()
    with cr.no_grad(), cr.scope("no graph"):
        assert (Value(1.0) + 1.0).parents == ()


@pytest.mark.parametrize("name", ["", " ", 3, None, ["x"]])
def test_a_scope_needs_a_name(name):
    with pytest.raises(TypeError, match=r"expected a name, such as scope\('encoder'\)"):
        cr.scope(name)
