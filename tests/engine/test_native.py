"""The native core against the reference: equal to the last bit, and as hard to break.

`reference` is the class of value.py, `native` the one of engine/native, both in this process; the
table of primitives serves both.  What needs a process of its own is in test_native_processes.py.
"""

from __future__ import annotations

import gc
import inspect
import itertools
import math
import weakref
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine import methods, sweeps, transforms, value, vectors
from chainrule.engine import table as primitives
from chainrule.engine.native import core as native

from .both_classes import BACKENDS, SPECIAL, bits, numbers, outcome, picture

if native is None:
    pytest.skip("the native core is not built, or switched off", allow_module_level=True)

TABLE = primitives.TABLE
UNARY = sorted(n for n, row in TABLE.items() if row.arity == 1)
BINARY = sorted(n for n, row in TABLE.items() if row.arity == 2)
INDEXED = [
    "softmax",
    "softmax_rest",
    "take",
    "cross_entropy",
]  # the first argument says which of the others
VARIADIC = ["sum", "mean", "maximum", "minimum", "logsumexp", "dot", "softmax", "where"]

constants = st.one_of(
    numbers,
    st.integers(-3, 3),
    st.booleans(),
    st.sampled_from([10**400, -(10**400), Fraction(1, 3), np.float32(0.1), np.array(2.0)]),
)


# --- random graphs ------------------------------------------------------------------------------

positions = st.integers(0, 10**6)
operand = st.one_of(positions.map(lambda i: ("node", i)), constants.map(lambda c: ("number", c)))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("leaf"), numbers),
        st.tuples(st.just("call"), st.sampled_from(UNARY), st.tuples(operand)),
        st.tuples(st.just("call"), st.sampled_from(BINARY), st.tuples(operand, operand)),
        st.tuples(
            st.just("call"), st.sampled_from(VARIADIC), st.lists(operand, min_size=1, max_size=7)
        ),
        st.tuples(st.just("operator"), st.sampled_from("+-*/p"), st.tuples(operand, operand)),
        st.tuples(st.just("list"), st.sampled_from(VARIADIC[:5]), st.lists(operand, max_size=6)),
        st.tuples(st.just("label"), st.just("n"), st.tuples(operand)),
        st.tuples(st.just("backward"), st.just("b"), st.tuples(operand), numbers),
        st.tuples(st.just("write"), numbers, st.tuples(operand)),
    ),
    min_size=1,
    max_size=25,
)
OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "p": lambda a, b: a**b,
}
LISTS = {n: getattr(cr, n) for n in ("sum", "mean", "logsumexp", "maximum", "minimum")}


def run(program: list, make: type) -> tuple[list, list]:
    """The nodes that *program* makes with the class *make*, and what each step said."""
    nodes, said = [make(0.7)], []

    def resolve(given):
        kind, x = given
        return nodes[x % len(nodes)] if kind == "node" else x

    for kind, what, *rest in program:
        args = [resolve(x) for x in rest[0]] if rest else []
        try:
            if kind == "leaf":
                result = make(what)
            elif kind == "operator":
                if not any(isinstance(arg, make) for arg in args):
                    args[0] = nodes[-1]
                result = OPERATORS[what](*args)
            elif kind == "list" and what in ("maximum", "minimum"):
                result = LISTS[what](*args)
            elif kind == "list":
                result = LISTS[what](args)
            elif kind == "call":
                result = TABLE[what](*args)
            elif not isinstance(args[0], make):
                continue
            elif kind == "label":
                result = setattr(args[0], "label", what)
            elif kind == "backward":
                result = args[0].backward(rest[1])
            else:
                result = setattr(args[0], "data", what)
        except (ArithmeticError, TypeError, ValueError, IndexError, AttributeError) as error:
            said.append((type(error), str(error)))
            continue
        if isinstance(result, make):
            nodes.append(result)
        else:
            said.append(bits(result) if type(result) is float else repr(result))
    return nodes, said


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(program=steps)
def test_any_graph_is_the_same_in_both_to_the_last_bit(program):
    made = [run(program, make) for make in BACKENDS]
    pictures = [(picture(nodes), said) for nodes, said in made]
    assert pictures[0] == pictures[1]
    for nodes, _ in made:
        nodes[-1].backward()
    assert picture(made[0][0]) == picture(made[1][0])


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_row_has_the_same_values_and_partials_on_a_grid(name):
    row = TABLE[name]
    grid = [*SPECIAL, *np.linspace(-4.0, 4.0, 41).tolist(), *np.geomspace(1e-9, 700, 20).tolist()]
    rng = np.random.default_rng(len(name))
    arity = row.arity or (6 if name == "soft_cross_entropy" else 5)
    for _ in range(400 if arity > 1 else 1):
        points = [[x] for x in grid] if arity == 1 else [rng.choice(grid, arity).tolist()]
        for point in points:
            if name in INDEXED:
                point[0] = float(int(rng.integers(0, arity - 1)))
            seen = []
            for make in BACKENDS:
                start = 1 if name in INDEXED else 0
                y = row(*point[:start], *(make(x) for x in point[start:]))
                seen.append((picture([y]), bits(row(*point))))
            assert seen[0] == seen[1], point


@pytest.mark.parametrize("name", [*BINARY, *VARIADIC[:5]])
def test_every_pair_of_special_numbers_gives_the_same(name):
    for pair in itertools.product(SPECIAL, repeat=2):
        for values in ((0, 1), (0,), (1,)):
            made = []
            for make in BACKENDS:
                args = [make(x) if i in values else x for i, x in enumerate(pair)]
                made.append((picture([TABLE[name](*args)]), bits(TABLE[name](*pair))))
            assert made[0] == made[1], pair


def test_create_graph_and_transforms_give_the_same_bits():
    def f(a, b):
        return cr.tanh(a * b) + cr.logsumexp([a, b, a * a]) * b**3

    results = []
    for make in BACKENDS:
        a, b = make(0.3), make(-1.2)
        with_graph = sweeps.pullback({f(a, b): 1.0}, sweeps.linked_partials)
        slope = with_graph[a]
        slope.backward()
        results.append((slope.data, a.grad, b.grad))
    assert results[0] == results[1]
    assert transforms.Value is native.Value
    assert cr.hessian(f)(0.3, -1.2)[0][0] == results[0][1]


# --- what is refused is refused in the same words -----------------------------------------------


class Hostile:
    """A number that raises, or does harm, when it is asked for its value."""

    def __init__(self, act):
        self.act = act

    def __float__(self):
        return self.act()


class FloatChild(float):
    def __float__(self):
        return 7.0


numbers_and_others = [
    0.0, -0.0, None, "text", b"bytes", 1j, [1.0], (1.0,), {}, {1}, object, Decimal("1"),
    np.array([1.0, 2.0]),
    np.complex128(1), np.datetime64("2020-01-01"), np.timedelta64(1, "D"), FloatChild(1.0),
    np.float64(2.0), np.float16(0.1), np.int8(3), np.bool_(True), True, 10**400, Fraction(10**400),
    Fraction(1, 3), np.array(3), np.array([None], dtype=object), math.nan, Hostile(lambda: 1.0),
    ...,
]  # fmt: skip


ACTIONS = {
    "add": lambda v, x: v + x,
    "radd": lambda v, x: x + v,
    "sub": lambda v, x: v - x,
    "rsub": lambda v, x: x - v,
    "mul": lambda v, x: v * x,
    "rmul": lambda v, x: x * v,
    "div": lambda v, x: v / x,
    "rdiv": lambda v, x: x / v,
    "pow": lambda v, x: v**x,
    "rpow": lambda v, x: x**v,
    "less": lambda v, x: v < x,
    "at least": lambda v, x: v >= x,
    "more, reflected": lambda v, x: x > v,
    "equal": lambda v, x: v == x,
    "unequal": lambda v, x: v != x,
    "data": lambda v, x: setattr(v, "data", x),
    "data of a node": lambda v, x: setattr(v + 1, "data", x),
    "grad": lambda v, x: (setattr(v, "grad", 3.0), setattr(v, "grad", x), v.has_grad, v),
    "label": lambda v, x: (setattr(v, "label", x), v),
    "label of a node": lambda v, x: setattr(v + 1, "label", x),
    "seed": lambda v, x: (v * 2).backward(x),
    "Value": lambda v, x: type(v)(x),
    "Value, labelled": lambda v, x: type(v)(1.0, x),
    "Value of three": lambda v, x: type(v)(1.0, (v,), x),
    "Value of children": lambda v, x: type(v)(1.0, _children=x),
    "Value of children, labelled": lambda v, x: type(v)(data=1.0, label="n", _op=x),
    "closure": lambda v, x: setattr(v * 2.0, "_backward", x),
    "hypot": lambda v, x: v.hypot(x),
    "arctan2": lambda v, x: v.arctan2(x),
    "maximum": lambda v, x: cr.maximum(v, x),
    "atan2": lambda v, x: cr.atan2(x, v),
    "where": lambda v, x: cr.where(v, x, v),
    "tanh": lambda v, x: cr.tanh(x),
    "sum": lambda v, x: cr.sum([v, x]),
    "sum of": lambda v, x: cr.sum(x),
    "mean": lambda v, x: cr.mean((v, x, v)),
    "logsumexp": lambda v, x: cr.logsumexp([x, v]),
    "dot": lambda v, x: cr.dot([v, 1.0], [x, v], v),
    "dot of": lambda v, x: cr.dot([v], x),
    "dot, bias": lambda v, x: cr.dot([v], [v], x),
    "softmax": lambda v, x: cr.softmax([v, x]),
    "too many": lambda v, x: cr.tanh(v, x),
    "keyword": lambda v, x: cr.tanh(v, y=x),
    "format": lambda v, x: format(v, x),
    "bool": lambda v, x: bool(v),
    "float": lambda v, x: float(v),
    "int": lambda v, x: int(v),
    "math.exp": lambda v, x: math.exp(v),
    "leaky_relu": lambda v, x: v.leaky_relu(x),
    "subclass": lambda v, x: type("Mine", (type(v),), {}),
    "own attribute": lambda v, x: (setattr(v, "mine", x), v.mine),
    "attribute": lambda v, x: setattr(v, "parents", x) if v.op else setattr(v + x, "serial", 3),
    "read_data": lambda v, x: vectors.read_data([v, x]),
    "write_data": lambda v, x: (vectors.write_data([v], x), v),
    "write_data to a node": lambda v, x: vectors.write_data([v, v * 1.0], [1.0, 2.0]),
    "add_grads": lambda v, x: (vectors.add_grads([v], x), v),
    "add_grads of numbers": lambda v, x: (vectors.add_grads([v, v], [x, 1.0]), v),
    "add_grads to a node": lambda v, x: vectors.add_grads([v, v * 1.0], [1.0, 2.0]),
    "add_grads to others": lambda v, x: vectors.add_grads([v, x], [1.0, 2.0]),
    "reset_grads": lambda v, x: vectors.reset_grads([v, v * 2, v]),
}
ACTIONS.pop("attribute")  # fields of the one in C are read-only, those of the reference need not be


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_anything_given_has_the_same_outcome_in_the_same_words(action):
    for x in numbers_and_others:
        seen = [outcome(lambda make=make, x=x: ACTIONS[action](make(0.5), x)) for make in BACKENDS]
        assert seen[0] == seen[1], x


@pytest.mark.parametrize("mode", [cr.detect_anomaly, cr.no_grad])
def test_modes_are_kept_in_the_same_words(mode):
    def attempt(make):
        said = []
        x = make(0.0, "x")
        for action in (
            lambda: cr.log(x),
            lambda: x**-1,
            lambda: 1.0 / x,
            lambda: cr.sqrt(x).backward(),
            lambda: (x * 2.0).backward(math.inf),
            lambda: cr.sum([x, math.inf]),
            lambda: cr.atan2(x, 1.0).origin,
            lambda: (x + 1.0).operands,
            lambda: cr.dot([x], [x]).partials,
            lambda: cr.where(1.0, x, 3.0).origin,
        ):
            said.append(outcome(action))
            said.append((bits(x.grad), x.has_grad))
        return said

    with mode():
        assert attempt(value.Value) == attempt(native.Value)


def test_a_partial_that_makes_too_few_or_too_many_derivatives_is_refused():
    row = cr.primitive("lopsided", lambda *xs: xs[0], variadic=lambda args, y, linked: [1.0])
    with pytest.raises(ValueError, match="returned 1 partials for the 2"):
        row(native.Value(1.0), native.Value(2.0))


# --- re-entrance and other malice ---------------------------------------------------------------


@pytest.mark.parametrize(
    "harm",
    [
        lambda x, items: 1 / 0,
        lambda x, items: x.backward(),
        lambda x, items: items.clear(),
        lambda x, items: gc.collect() and None,
        lambda x, items: [x * x for _ in range(1000)] and None,
    ],
)
def test_operands_that_raise_delete_or_reenter_do_no_harm(harm):
    class Number(Fraction):
        def __float__(self):
            harm(x, items)
            return 1.0

    x, number = cr.Value(2.0), Number(1, 2)
    items = [x, number, x, *(cr.Value(1.0) for _ in range(50))]
    for action in ACTIONS.values():
        outcome(lambda action=action: action(x, number))
    outcome(lambda: cr.sum(items))
    items[:] = [x, number, x]
    outcome(lambda: cr.dot(items, items, number))
    x.data = 2.0
    y = x * x
    y.backward()
    assert (y.data, y.partials) == (4.0, (2.0, 2.0))


def test_a_buffer_that_empties_the_list_of_values_is_survived():
    class Array(np.ndarray):
        def __array__(self, *args, **kwargs):
            values.clear()
            return np.ones(3)

    values = [cr.Value(1.0) for _ in range(3)]
    outcome(lambda: vectors.write_data(values, np.ones(3).view(Array)))
    leaf = [cr.Value(1.0)]
    for vector in (b"12345678", np.ones(1, dtype=np.float32), np.ones(2), np.ones(0), None):
        assert native.write_data(leaf, vector) is False
        assert native.add_grads(leaf, vector) is False
        assert native.read_data(leaf, vector) is False
    assert (leaf[0].data, leaf[0].has_grad) == (1.0, False)


def test_a_class_caught_before_it_was_refused_makes_no_instances():
    class Trap:
        def __set_name__(self, owner, name):
            self.owner = owner

    trap = Trap()
    with pytest.raises(TypeError, match="cannot be subclassed"):
        type("Mine", (cr.Value,), {"__slots__": (), "trap": trap})
    for attempt in (
        lambda: trap.owner(1.0),
        lambda: cr.Value.__new__(trap.owner, 1.0),
        lambda: object.__new__(trap.owner),
        lambda: object.__new__(cr.Value),
        lambda: setattr(cr.Value(1.0), "__class__", trap.owner),
    ):
        with pytest.raises(TypeError):
            attempt()


def test_weak_references_die_with_their_node_and_their_callbacks_may_do_anything():
    called = []

    def callback(ref):
        called.append(ref() is None)
        z = cr.Value(1.0) * 2.0 + 1.0  # nodes are made and released while others are
        z.backward()

    x = cr.Value(1.0)
    y, refs = x, []
    for _ in range(200):
        y = cr.tanh(y * x)
        refs.append(weakref.ref(y, callback))
    del y
    assert len(called) == 200
    assert all(called)
    assert x.data == 1.0


def test_the_internal_functions_refuse_what_they_cannot_use():
    v = native.Value(1.0)
    tanh = primitives.tanh
    for arguments in (
        (),
        (tanh, (v,), (v,), 1.0),
        (tanh, (v,), (v,), 1.0, ()),
        (tanh, (v,), (v, v), 1.0, (1.0, 1.0)),
        (tanh, ("x",), (), 1.0, ()),
        (tanh, (v,), (v,), 1.0, ("x",)),
        (None, (v,), (), 1.0, ()),
        (object(), (v,), (v,), 1.0, (1.0,)),
        (tanh, [v], (v,), 1.0, (1.0,)),
        (tanh, (v,), (v,), "x", (1.0,)),
        (tanh, (v,), (v,), 1.0, (1.0,), "x"),
        (tanh, (v,), (v,), 1.0, (1.0,), None, 5),
    ):
        with pytest.raises((TypeError, ValueError)):
            native.make_node(*arguments)
    for call in (
        lambda: native.topological_order(v),
        lambda: native.connect(1),
        lambda: native.Value.__chainrule__(v),
        lambda: native.Value.__chainrule__(5, (v,)),
        lambda: native.Value(),
        lambda: native.Value(1.0, "a", "b"),
        lambda: native.Value(1.0, name="b"),
        lambda: v.backward(1.0, 2.0),
        lambda: v.backward(sead=1.0),
    ):
        with pytest.raises((TypeError, AttributeError)):
            call()
    assert native.topological_order((v, value.Value(1.0))) is None
    with pytest.raises(RuntimeError, match="there is one 'dot' already"):
        native.published(cr.dot, "dot()")
    with pytest.raises(ValueError, match="no 'print' here"):
        native.published(print, "print()")
    for name in ("data", "grad", "label"):
        with pytest.raises(AttributeError):
            delattr(v, name)


def test_the_functions_of_one_argument_are_methods_in_c():
    written_in_c = type(native.Value.backward)
    assert all(type(vars(native.Value)[name]) is written_in_c for name in methods.names())


def test_what_can_be_asked_about_a_function_is_answered():
    assert list(inspect.signature(cr.tanh).parameters) == ["args"]
    assert str(inspect.signature(native.Value)) == "(data, label='')"
    assert str(inspect.signature(native.Value(1.0).backward)) == "(seed=1.0)"
    assert native.Value.__doc__ == value.Value.__doc__


def test_make_node_restores_every_kind_of_node():
    a, b = native.Value(0.5, "a"), native.Value(2.0)
    nodes = [a + b, a * 3.0, 3.0 * a, cr.tanh(a), cr.sum([a, b, 1.0]), cr.where(a, b, a)]
    nodes += [cr.less(a, b), cr.atan2(a, b), cr.where(1.0, a, a)]
    for node in nodes:
        node.backward()
        node.label = "made"
        contents = (node.primitive, node.operands, node.parents, node.data, node.partials)
        again = native.make_node(*contents, node.grad, node.label)
        assert picture([again])[-1] == picture([node])[-1]
