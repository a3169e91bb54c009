"""Nodes whose number and partials are given, as scripts for other ``Value`` classes make them."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import re
import sys
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule import Value, viz


def product(a, b):
    return Value(a.data * b.data, (a, b), (b.data, a.data))


@pytest.fixture
def ab():
    return Value(2.0, "a"), Value(3.0, "b")


# ---------------------------------------------------------------- how they are written


@pytest.mark.parametrize(
    "make",
    [
        lambda a, b: Value(6.0, (a, b), (3.0, 2.0)),
        lambda a, b: Value(6, [a, b], [3, 2]),
        lambda a, b: Value(np.float64(6), (a, b), np.array([3.0, 2.0])),
        lambda a, b: Value(6.0, children=(a, b), local_grads=(3.0, 2.0)),
        lambda a, b: Value(data=6.0, local_grads=(3.0, 2.0), children=(a, b)),
        lambda a, b: Value(6.0, _children=(a, b), _local_grads=(3.0, 2.0)),
        lambda a, b: Value(6.0, (a, b), (np.float32(3), True + True)),
    ],
)
def test_children_and_partials_make_a_node(ab, make):
    a, b = ab
    y = make(a, b)
    assert (y.data, y.op, y.parents, y.operands) == (6.0, "given", (a, b), (a, b))
    assert (y.partials, y._children, y._prev) == ((3.0, 2.0), (a, b), {a, b})
    (y * a).backward()
    assert (a.grad, b.grad, y.grad) == (3.0 * 2.0 + 6.0, 4.0, 2.0)
    assert repr(y) == "Value(data=6.0, grad=2.0, op='given')"


@pytest.mark.parametrize(
    "make",
    [
        lambda a, b: Value(6.0, (a, b), "*"),
        lambda a, b: Value(6.0, {a, b}, "*"),
        lambda a, b: Value(6.0, _children=(a, b), _op="*"),
        lambda a, b: Value(6.0, (a, b), _op="*"),
        lambda a, b: Value(6.0, (a, b), op="*", label=""),
        lambda a, b: Value(6.0, (a, b), "*", ""),
    ],
)
def test_children_and_the_name_of_an_operation_wait_for_a_closure(ab, make):
    a, b = ab
    y = make(a, b)
    assert (y.op, y._op, y.parents) == ("*", "*", (a, b))
    assert all(math.isnan(partial) for partial in y.partials)  # nobody knows them yet

    def backward():
        a.grad += b.data * y.grad
        b.grad += a.data * y.grad

    a.grad = 7.0
    y._backward = backward
    assert (y.partials, a.grad, b.grad, y.grad) == ((3.0, 2.0), 7.0, 0.0, 0.0)
    y.backward()
    assert (a.grad, b.grad) == (10.0, 2.0)


def test_a_label_stands_behind_or_by_name(ab):
    a, b = ab
    assert Value(6.0, (a, b), "*", "p").label == "p"
    assert Value(6.0, (a, b), (3.0, 2.0), "p").label == "p"
    assert Value(6.0, (a, b), (3.0, 2.0), label="p").label == "p"
    assert Value(6.0, "p").label == Value(6.0, label="p").label == "p"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Value(6.0, ()),
        lambda: Value(6.0, (), ()),
        lambda: Value(6.0, (), ""),
        lambda: Value(6.0, (), "const"),
        lambda: Value(6.0, _children=()),
        lambda: Value(6.0, set(), _op=""),
        lambda: Value(6.0, children=[], local_grads=[]),
    ],
)
def test_without_children_it_is_a_leaf(make):
    v = make()
    assert (v.data, v.op, v.primitive, v.parents, v.partials) == (6.0, "", None, (), ())
    v.data = 7.0
    assert v.data == 7.0


A = Value(1.0)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Value(1.0, (A,), (1.0, 2.0)), ValueError, "a number for each child, not 2 for 1"),
        (lambda: Value(1.0, (A, A), [1.0]), ValueError, "a number for each child, not 1 for 2"),
        (lambda: Value(1.0, (A,), ()), ValueError, "a number for each child, not 0 for 1"),
        (lambda: Value(1.0, (), (1.0,)), ValueError, "a number for each child, not 1 for 0"),
        (lambda: Value(1.0, (A, 3.0), (1.0, 2.0)), TypeError, "expected Values, not float; a num"),
        (lambda: Value(1.0, ("A",), "op"), TypeError, "children.: expected Values, not str"),
        (lambda: Value(1.0, (A,), (A,)), TypeError, r"local_grads.*take its \.data"),
        (lambda: Value(1.0, (A,), ("1",)), TypeError, "local_grads.*str is not a real number"),
        (lambda: Value(1.0, (A,), (1j,)), TypeError, "local_grads.*complex is not a real number"),
        (lambda: Value(1.0, (A,), 3.0), TypeError, "expected a tuple of numbers, not float"),
        (lambda: Value(1.0, (A,), op=3), TypeError, "expected a str, not int"),
        (lambda: Value(1.0, 5), TypeError, "label: expected a str, not int, or a tuple of"),
        (lambda: Value(1.0, None), TypeError, "not NoneType, or a tuple of Values for the"),
        (lambda: Value(1.0, A, 1.0), TypeError, "label: expected a str, not Value, or"),
        (lambda: Value(1.0, (A,), (1.0,), 3), TypeError, "label: expected a str, not int"),
        (lambda: Value(1.0, (A,), (1.0,), label=3), TypeError, "label: expected a str, not int"),
        (
            lambda: Value(1.0, (A,), (1.0,), "", 3),
            TypeError,
            "not take the further argument 3: write",
        ),
        (lambda: Value(1.0, "x", label="y"), TypeError, "not take the further argument 'x'"),
        (lambda: Value(1.0, "x", (A,)), TypeError, r"not take the further argument \(Value"),
        (lambda: Value(1.0, requires_grad=True), TypeError, "not take an argument 'requires_grad'"),
        (lambda: Value(1.0, (A,), children=(A,)), TypeError, "not take an argument 'children'"),
        (lambda: Value("1", (A,), (1.0,)), TypeError, "Value: str is not a real number"),
        (lambda: Value(A, (A,), (1.0,)), TypeError, "already a Value"),
    ],
)
def test_what_does_not_fit_is_refused(make, error, message):
    before = sys.getrefcount(A)
    with pytest.raises(error, match=message):
        make()
    gc.collect()
    assert sys.getrefcount(A) == before


# ---------------------------------------------------------------- what they are good for


def test_the_same_child_twice_has_two_partials():
    x = Value(3.0)
    y = Value(9.0, (x, x), (3.0, 3.0))
    y.backward()
    assert (y.parents, x.grad) == ((x, x), 6.0)
    z = Value(9.0, (x, x), "*")

    def backward():
        x.grad += x.data * z.grad
        x.grad += x.data * z.grad

    z._backward = backward
    x.grad = 0.0
    z.backward()
    assert x.grad == 6.0


def test_first_order_in_every_mode(ab):
    a, b = ab
    assert cr.gradients(product(a, b) * a, [a, b]) == [12.0, 4.0]
    assert cr.grad(lambda x, y: product(x, y) * x, (0, 1))(2.0, 3.0) == (12.0, 4.0)
    assert cr.jvp(lambda x, y: product(x, y) * x, (2.0, 3.0), (1.0, 1.0)) == (12.0, 16.0)
    assert cr.jacobian(lambda x, y: [product(x, y), x])(2.0, 3.0).tolist() == [[3, 2], [1, 0]]


def test_at_second_order_it_is_said_what_is_missing(ab):
    a, b = ab
    y = product(a, b) * a
    for second in (
        lambda: cr.gradients(y, [a], create_graph=True),
        lambda: cr.hessian(lambda x, y: product(x, y))(2.0, 3.0),
        lambda: cr.grad(cr.grad(lambda x: product(x, x)))(2.0),
    ):
        with pytest.raises(TypeError, match=r"a node 'given' were given.*cr\.primitive"):
            second()
    # What is asked of the part beside it is answered.
    (slope,) = cr.gradients(y * b * b, [b * 1.0, y], create_graph=True)[1:]
    assert slope.data == 9.0


def test_a_node_is_drawn_and_written():
    x = Value(0.5, "x")
    y = Value(math.sin(0.5), (x,), "sin3") + Value(2.0, (x,), (4.0,))
    picture = viz.draw(y)
    assert "sin3" in picture.svg
    assert "given" in picture.svg
    assert viz.latex(y) == (
        r"\operatorname{sin3}\left(x\right) + \operatorname{given}\left(x\right)"
    )


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))]
)
def test_copies_work_by_themselves(ab, copied):
    a, b = ab
    y = product(a, b)
    sine = Value(math.sin(2.0), (a,), "sine", "s")
    sine._backward = lambda: setattr(a, "grad", a.grad + math.cos(2.0) * sine.grad)
    z = copied(y * sine)
    z.backward()
    p, s = z.parents
    assert (p.op, s.op, s.label, p.primitive.name) == ("given", "sine", "s", "given")
    assert p.grad == math.sin(2.0)
    if copied is not copy.copy:
        assert (a.grad, p.parents[0].grad) == (0.0, 3 * math.sin(2.0) + 6 * math.cos(2.0))
    assert "sine" not in cr.engine.table.TABLE


@pytest.mark.parametrize("name", ["_prev", "_children", "_local_grads", "_op"])
@pytest.mark.parametrize("made", [lambda a: Value(0.5), lambda a: -a, lambda a: product(a, a)])
def test_what_made_a_node_is_not_written_afterwards_and_the_message_says_how(ab, name, made):
    with pytest.raises(AttributeError, match=rf"Value\.{name} is fixed .* Value\(number, \(a, b\)"):
        setattr(made(ab[0]), name, (ab[1],))


def test_an_operation_that_bears_the_name_of_a_row_is_not_that_row():
    x = Value(0.5)
    y = pickle.loads(pickle.dumps(Value(7.0, (x,), "tanh")))
    assert (y.data, y.op) == (7.0, "tanh")
    assert y.primitive is not cr.tanh
    with pytest.raises(TypeError, match="number of a node 'tanh' was given with its children"):
        y.primitive(Value(1.0))


def test_modes(ab):
    a, b = ab
    with cr.no_grad():
        y = product(a, b)
        z = Value(6.0, (a, b), "*")
        z._backward = lambda: None
    assert (y.data, y.parents, y.op, z.parents) == (6.0, (), "", ())
    with cr.detect_anomaly():
        y = Value(1.0, (a, b), (1.0, math.inf))
        assert "test_given_nodes.py" in y.origin
        with pytest.raises(cr.AnomalyError, match=r"flows into operand 1 .* of given\(2.0, 3.0\)"):
            y.backward()
        with pytest.raises(cr.AnomalyError, match=r"given\(2.0\) = nan, made at"):
            Value(math.nan, (a,), (1.0,))
        with pytest.raises(cr.AnomalyError, match="gradient nan flows into operand 0"):
            Value(1.0, (a,), "unknown").backward()


def test_a_compiled_function_says_that_it_cannot_know_the_partials(ab):
    a, b = ab
    y = product(a, b)
    for compiled in (
        lambda: cr.compile(lambda x: product(x, a))([1.0, 2.0]),
        lambda: cr.compile(lambda x: x * y)([1.0, 2.0]),
        lambda: cr.compile(product(a, b) * a),
    ):
        with pytest.raises(cr.TraceError, match=r"cr\.primitive"):
            compiled()
    # In a function that is not differentiated by what it made, it is a number like any other.
    slope = product(a, b).data
    assert cr.compile(lambda x: x * slope)([2.0]).tolist() == [12.0]


# ---------------------------------------------------------------- closures


def test_a_closure_that_sets_or_forgets_what_comes_from_above_is_told():
    x = Value(2.0)
    y = Value(8.0, (x,), "cube")
    for wrong in (
        lambda: setattr(x, "grad", 12.0 * y.grad),
        lambda: setattr(x, "grad", x.grad + 12.0),
    ):
        x.grad = 5.0
        with pytest.raises(ValueError, match=r"write child\.grad \+= derivative \* out\.grad"):
            y._backward = wrong
        assert (x.grad, y.grad) == (5.0, 0.0)
        assert math.isnan(y.partials[0])


def test_a_closure_that_raises_leaves_the_gradients_as_they_were():
    x = Value(2.0)
    y = Value(8.0, (x,), "cube")
    x.grad = 5.0

    def fails():
        x.grad = 1.0
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        y._backward = fails
    assert (x.grad, y.grad) == (5.0, 0.0)


def test_an_infinite_partial_is_taken_as_it_is():
    x = Value(0.0)
    y = Value(0.0, (x,), "sqrt")
    y._backward = lambda: setattr(x, "grad", x.grad + math.inf * y.grad)
    assert y.partials == (math.inf,)


def test_a_closure_keeps_nothing_alive():
    gc.disable()
    try:
        x = Value(2.0)

        def cube(v):
            out = Value(v.data**3, (v,), "cube")

            def backward():
                v.grad += 3 * v.data**2 * out.grad

            out._backward = backward
            return out

        y = cube(x)
        ref = weakref.ref(y)
        y.backward()
        assert x.grad == 12.0
        del y, cube
        gc.collect()  # the closure refers to itself by way of its cell
        assert ref() is None
    finally:
        gc.enable()


def test_a_long_chain_of_given_nodes_is_swept_and_freed():
    x = y = Value(1.0)
    for _ in range(200_000):
        y = Value(y.data, (y,), (1.0,))
    y.backward()
    assert x.grad == 1.0
    ref = weakref.ref(y)
    del y
    assert ref() is None


# ---------------------------------------------------------------- what is hung on the class


def test_methods_of_ones_own_hung_on_the_class():
    def clip(self, low, high):
        return cr.minimum(cr.maximum(self, low), high)

    Value.clip = clip
    Value.__matmul__ = lambda self, other: cr.dot([self], [other])
    try:
        x = Value(3.0)
        y = x.clip(0.0, 2.0) + x @ x
        y.backward()
        assert (y.data, x.grad) == (11.0, 6.0)
        assert pickle.loads(pickle.dumps(x)).clip(0.0, 1.0).data == 1.0
    finally:
        del Value.clip, Value.__matmul__
    with pytest.raises(AttributeError):
        Value(1.0).clip(0.0, 1.0)
    with pytest.raises(TypeError):
        Value(1.0) @ Value(1.0)


def test_a_name_is_a_label():
    v = Value(1.0)
    v.name = "w"
    assert (v.label, v.name, Value(2.0, "b").name) == ("w", "w", "b")
    assert re.search("w", viz.draw(v * 2.0).svg)
