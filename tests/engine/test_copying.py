"""Copies and pickles of graphs work, share what was shared, and never point at the originals."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule import Value
from chainrule.engine import copying
from chainrule.engine.sweeps import topological_order
from chainrule.engine.table import TABLE

from .. import children

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def by_pickle(protocol):
    return lambda x: pickle.loads(pickle.dumps(x, protocol))


def by_python_pickle(x):
    return pickle._loads(pickle._dumps(x))


COPIES = {
    "deepcopy": copy.deepcopy,
    **{f"pickle protocol {p}": by_pickle(p) for p in PROTOCOLS},
    "pickle in Python": by_python_pickle,
}


@pytest.fixture(params=COPIES)
def duplicate(request):
    return COPIES[request.param]


def build(x, w):
    h = cr.tanh(w * x + 1)
    return cr.dot([h, x], [w, 2.0], h) + cr.where(x > 0, h, x) - cr.logsumexp([h, x, 3.0])


def test_a_copy_of_a_graph_works_by_itself(duplicate):
    x, w = Value(0.5, label="x"), Value(-0.3, label="w")
    y = build(x, w)
    y.backward()
    z = duplicate(y)
    originals, copies = topological_order([y]), topological_order([z])
    assert len(copies) == len(originals)
    assert not set(copies) & set(originals)
    for a, b in zip(originals, copies, strict=True):
        assert (a.data, a.grad, a.label, a.op) == (b.data, b.grad, b.label, b.op)
        assert a.partials == b.partials
        assert a.primitive is b.primitive
        assert [type(o) for o in a.operands] == [type(o) for o in b.operands]
        assert [originals.index(p) for p in a.parents] == [copies.index(p) for p in b.parents]
    before = x.grad, w.grad
    z.backward()
    assert (x.grad, w.grad) == before
    x2, w2 = (next(n for n in copies if n.label == label) for label in "xw")
    assert (x2.grad, w2.grad) == (2 * x.grad, 2 * w.grad)
    assert [g.data for g in cr.gradients(z, [x2, w2], create_graph=True)] == list(before)
    x2.data = 9.0
    assert x.data == 0.5


def test_what_two_roots_share_stays_shared(duplicate):
    x = Value(2.0)
    h = x * x
    first, second, again, leaf = duplicate([h * 3, h * 5, h, x])
    assert first.parents[0] is second.parents[0] is again
    assert again.parents == (leaf, leaf)
    first.backward()
    second.backward()
    assert leaf.grad == 32.0
    assert x.grad == 0.0


def test_the_order_in_which_roots_come_does_not_matter(duplicate):
    x = Value(2.0)
    h = x * x
    y = h * x
    for nodes in ([y, h, x], [x, y, h], [h, y, x], {"a": y, "b": (x, h)}):
        copied = duplicate(nodes)
        flat = list(copied) if isinstance(copied, list) else [copied["a"], *copied["b"]]
        given = list(nodes) if isinstance(nodes, list) else [nodes["a"], *nodes["b"]]
        by_original = dict(zip(given, flat, strict=True))
        assert by_original[y].parents == (by_original[h], by_original[x])
        assert by_original[h].parents == (by_original[x],) * 2


def test_a_leaf_and_its_state_are_copied(duplicate):
    x = Value(-0.0, label='"<é\n')
    x.grad = 2.5
    fresh = Value(1.0)
    x2, fresh2 = duplicate((x, fresh))
    assert (repr(x2), x2.has_grad, fresh2.has_grad) == (repr(x), True, False)


def test_arrays_and_structures_of_values_are_copied(duplicate):
    x = Value(2.0)
    table = np.array([[x, x * 2], [x * 3, x * 4]])
    copied = duplicate(table)
    assert copied[0, 1].parents == (copied[0, 0],)
    cr.sum(copied).backward()
    assert copied[0, 0].grad == 10.0
    assert x.grad == 0.0


def test_a_shallow_copy_is_another_node_with_the_same_parents():
    x = Value(2.0, label="x")
    y = x * x
    z = copy.copy(y)
    assert z is not y
    assert z.parents == y.parents
    z.backward()
    assert (x.grad, y.grad) == (4.0, 0.0)
    twin = copy.copy(x)
    twin.data = 5.0
    assert x.data == 2.0


def test_a_copy_is_newer_than_its_parents_and_can_be_built_upon(duplicate):
    x = Value(2.0)
    y = x * x
    z = duplicate(y)
    (z * y * z.parents[0]).backward()
    assert x.grad == 4.0 * 4.0 * 2.0


def test_deepcopy_shares_its_memo():
    x = Value(2.0)
    y = x * x
    memo = {}
    a, b = copy.deepcopy(y, memo), copy.deepcopy(x, memo)
    assert a.parents == (b, b)


def test_many_copies_leave_no_trace():
    """The bookkeeping that lets deep graphs be copied must end with each copy, failed ones too."""

    class Unpicklable:
        def __reduce__(self):
            raise RuntimeError("no")

    x = Value(2.0)
    h = x * x
    y = h * x
    for _ in range(3):
        with pytest.raises(RuntimeError, match="no"):
            pickle.dumps([y, Unpicklable()])
        with pytest.raises(RuntimeError, match="no"):
            copy.deepcopy([Unpicklable(), y])
        copied = pickle.loads(pickle.dumps(h))
        assert copied.parents[0].data == 2.0
        assert copied.parents[0] is not x
        assert copy.deepcopy(x * h).parents[1].parents[0] is not x


def test_copying_interrupted_inside_a_graph_leaves_the_graph_copyable():
    class FullError(Exception):
        pass

    class Full:
        def __init__(self, room):
            self.room = room

        def write(self, data):
            self.room -= len(data)
            if self.room < 0:
                raise FullError

    x = Value(2.0)
    y = x
    for _ in range(20_000):
        y = y * 1.0
    with pytest.raises(FullError):
        pickle.dump(y, Full(100_000))
    for copied in (pickle.loads(pickle.dumps(y)), copy.deepcopy(y)):
        assert len(topological_order([copied])) == 20_001


def test_a_pickle_is_read_in_another_process():
    x = Value(3.0, label="x")
    y = cr.exp(x) * x
    script = (
        "import pickle, sys\n"
        "y = pickle.loads(sys.stdin.buffer.read())\n"
        "y.backward()\n"
        "print(y.data.hex(), y.parents[1].grad.hex(), y.parents[1].label)\n"
    )
    printed = children.printed("-c", script, given=pickle.dumps(y), text=False)
    y.backward()
    assert printed.decode().split() == [y.data.hex(), x.grad.hex(), "x"]


def test_a_graph_of_a_users_primitive_is_pickled_by_its_name():
    cube = cr.primitive("cube for pickling", lambda x: x**3, (lambda x, y: 3.0 * cr.square(x),))
    y = cube(Value(2.0))
    z = pickle.loads(pickle.dumps(y))
    assert z.primitive is cube
    z.backward()
    assert z.parents[0].grad == 12.0
    data = pickle.dumps(y).replace(b"cube for pickling", b"cube unknown here")
    with pytest.raises(
        LookupError, match=r"cube unknown here.*define it with chainrule\.primitive"
    ):
        pickle.loads(data)


def test_a_deep_copy_keeps_the_rule_a_node_was_made_with():
    def make(slope):
        return cr.primitive("redefined", lambda x: slope * x, (slope,))

    y = make(2.0)(Value(1.0))
    make(5.0)
    z = copy.deepcopy(y)
    assert z.primitive is y.primitive
    assert cr.gradients(z, z.parents) == [2.0]


X, Y = cr.Value(0.5), cr.Value(2.0)


@pytest.mark.parametrize(
    "contents",
    [
        (None, (X,), (), 1.0, ()),
        (None, (), (X,), 1.0, (1.0,)),
        (None, (), (), 1, ()),
        (None, (), (), "1", ()),
        (None, (), (), 1.0, (), "1"),
        (None, (), (), 1.0, (), None, b"label"),
        (None, [], (), 1.0, ()),
        ("tanh", (X,), (X,), 1.0, (1.0,)),
        (cr.tanh, (), (), 1.0, ()),
        (cr.tanh, (X, Y), (X, Y), 1.0, (1.0, 1.0)),
        (cr.tanh, (X,), (X,), 1.0, ()),
        (cr.tanh, (X,), (Y,), 1.0, (1.0,)),
        (cr.tanh, (X,), (X,), 1.0, ("1.0",)),
        (cr.tanh, ("x",), (), 1.0, ()),
        (cr.maximum, (), (), 1.0, ()),
        (cr.maximum, (X, Y), (Y, X), 1.0, (1.0, 1.0)),
        (cr.leaky_relu, (X,), (X,), 1.0, (1.0,)),
        (cr.where, (X, Y), (Y,), 1.0, (1.0,)),
        *(
            (TABLE[name], operands, tuple(v for v in operands if v in (X, Y)), 1.0, ps)
            for name in ("softmax", "take")
            for operands, ps in (
                ((), ()),
                ((0.0,), ()),
                ((1.0, X), (1.0,)),
                ((-1.0, X), (1.0,)),
                ((1e300, X, Y), (1.0, 1.0)),
                ((math.nan, X, Y), (1.0, 1.0)),
            )
        ),
        (TABLE["dot"], (X, Y), (X, Y), 1.0, (1.0, 1.0)),
    ],
)
def test_contents_that_no_node_can_have_are_refused_when_a_pickle_is_read(contents):
    with pytest.raises(
        ValueError, match=r"restoring a Value: .*; expected contents as chainrule stores them"
    ):
        copying._restored(*contents)
    restored = copying._restored(cr.tanh, (X,), (X,), 1.0, (1.0,), None, "y")
    assert (restored.parents, restored.data, restored.label) == ((X,), 1.0, "y")


def test_a_graph_is_copied_as_it_is_whatever_is_switched_on(duplicate):
    x = Value(0.0)
    y = cr.log(x) + 1.0
    with cr.no_grad(), cr.detect_anomaly():
        z = duplicate(y)
    assert z.data == y.data
    assert z.op == "+"
    assert z.parents[0].op == "log"
    assert cr.gradients(z, [z.parents[0].parents[0]]) == [float("inf")]


def test_a_copy_has_what_a_script_hung_on_a_value(duplicate):
    x, y = Value(2.0), Value(3.0)
    z = x * y
    x.moments, z.color, z.leaf = [0.5, 0.25], "green", x
    copied = duplicate(z)
    assert copied.color == "green"
    assert copied.leaf is copied.parents[0]
    assert copied.leaf.moments == [0.5, 0.25]
    assert copied.leaf.moments is not x.moments
    assert not hasattr(copied.parents[1], "moments")
