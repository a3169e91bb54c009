"""Operations that users add: they work wherever the library's own do, and bad ones are refused."""

from __future__ import annotations

import copy
import functools
import gc
import math
import pickle
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule import Value
from chainrule.engine import table as primitives


@pytest.fixture(autouse=True)
def table():
    """Forget what a test has added."""
    before = dict(primitives.TABLE)
    yield primitives.TABLE
    primitives.TABLE.clear()
    primitives.TABLE.update(before)


@pytest.fixture
def logistic():
    """cr.sigmoid over again, as a user would write it."""
    return cr.primitive(
        "logistic",
        lambda x: 1.0 / (1.0 + math.exp(-x)),
        (lambda x, y: y * (1.0 - y),),
        latex=r"\ell\left({0}\right)",
    )


def test_it_works_on_numbers_arrays_and_values(logistic):
    assert logistic(0) == 0.5
    assert type(logistic(np.float32(0))) is float
    np.testing.assert_allclose(logistic(np.array([0, 1])), cr.sigmoid(np.array([0.0, 1.0])))
    v = Value(0.3)
    y = logistic(v)
    assert (y.op, y.parents) == ("logistic", (v,))
    linked, plain = logistic(np.array([v, 0.0]))
    assert (linked.data, plain) == (y.data, 0.5)


def test_it_works_in_every_mode_and_order(logistic):
    def f(function):
        return lambda x, w: function(x * w) * w + function(cr.exp(x))

    mine, theirs = f(logistic), f(cr.sigmoid)
    point = (0.3, -0.8)
    assert cr.grad(mine, (0, 1))(*point) == pytest.approx(cr.grad(theirs, (0, 1))(*point))
    assert cr.jvp(mine, point, (1.0, 2.0)) == pytest.approx(cr.jvp(theirs, point, (1.0, 2.0)))
    np.testing.assert_allclose(cr.hessian(mine)(*point), cr.hessian(theirs)(*point), rtol=1e-13)
    third = cr.grad(cr.grad(cr.grad(logistic)))(0.3)
    assert third == pytest.approx(cr.grad(cr.grad(cr.grad(cr.sigmoid)))(0.3))
    x = Value(0.3)
    logistic(x).backward()
    assert x.grad == pytest.approx(cr.grad(cr.sigmoid)(0.3))


def test_partials_may_be_numbers_or_nothing():
    affine = cr.primitive("affine", lambda x, y, z: 2 * x - y + math.floor(z), (2, -1.0, None))
    x, y, z = Value(1.0), Value(2.0), Value(3.5)
    w = affine(x, y, z)
    assert (w.data, w.parents, w.partials) == (3.0, (x, y), (2.0, -1.0))
    assert all(type(p) is float for p in w.partials)
    assert cr.grad(affine, (0, 1, 2))(1.0, 2.0, 3.5) == (2.0, -1.0, 0.0)
    assert cr.hessian(affine)(1.0, 2.0, 3.5).tolist() == [[0.0] * 3] * 3


def test_it_may_take_any_number_of_arguments():
    product = cr.primitive(
        "product",
        lambda *xs: math.prod(xs),
        variadic=lambda args, y, linked: [y / args[i] for i in linked],
        array=lambda *xs: np.prod(np.broadcast_arrays(*xs), axis=0),
    )
    x, y = Value(2.0), Value(5.0)
    z = product(x, 3.0, y)
    assert (z.data, z.parents, z.partials) == (30.0, (x, y), (15.0, 6.0))
    assert cr.hessian(lambda a, b: product(a, b, b))(2.0, 3.0).tolist() == [[0.0, 6.0], [6.0, 4.0]]
    assert product(np.array([1.0, 2.0]), 3.0).tolist() == [3.0, 6.0]
    with pytest.raises(TypeError, match="product takes at least one argument"):
        product()


def test_it_may_have_defaults():
    scaled = cr.primitive(
        "scaled", lambda x, k: k * x, (lambda x, k, y: k, lambda x, k, y: x), defaults=(10.0,)
    )
    v = Value(2.0)
    assert scaled(2) == scaled(2, 10) == 20.0
    assert scaled(v).operands == (v, 10.0)
    with pytest.raises(TypeError, match=r"scaled takes 2 arguments \(0 given\)"):
        scaled()
    with pytest.raises(TypeError, match=r"scaled takes 2 arguments \(3 given\)"):
        scaled(1, 2, 3)


def test_it_may_select_an_argument():
    first = cr.primitive(
        "first", lambda a, b: a, (1.0, 0.0), selects=lambda a, b: 0, array=lambda a, b: a
    )
    a, b = Value(1.0), Value(2.0)
    assert first(a, b).parents == (a,)
    assert first(3.0, b).parents == ()


def test_results_and_partials_of_other_number_types_become_floats():
    odd = cr.primitive("odd", lambda x: np.float32(x), (lambda x, y: np.float32(1),))
    integer = cr.primitive("integer", lambda x: 3, (lambda x, y: 0,))
    constant = cr.primitive("constant", lambda x: 2 * x, (np.int64(2),))
    for row in (odd, integer, constant):
        y = row(Value(0.5))
        assert type(y.data) is float
        assert type(y.partials[0]) is float
        assert cr.hessian(row)(0.5) == 0.0


def test_a_partial_in_plain_math_serves_first_order_and_says_what_to_do_at_second():
    plain = cr.primitive("plain", math.sin, (lambda x, y: math.cos(x),))
    assert cr.grad(plain)(0.5) == math.cos(0.5)
    with pytest.raises(TypeError, match=r"cr\.exp"):
        cr.grad(cr.grad(plain))(0.5)


def test_it_is_copied_and_pickled(logistic):
    y = logistic(Value(0.3))
    assert copy.deepcopy(y).primitive is logistic
    assert pickle.loads(pickle.dumps(y)).primitive is logistic
    assert pickle.loads(pickle.dumps(logistic)) is copy.copy(logistic) is logistic


def test_a_graph_keeps_the_rule_it_was_made_with_when_the_name_is_taken_anew():
    old = cr.primitive("mine", lambda x: 2.0 * x, (2.0,))
    x = Value(1.0)
    y = old(x)
    new = cr.primitive("mine", lambda x: 5.0 * x, (5.0,))
    assert primitives.TABLE["mine"] is new
    assert cr.gradients(y + new(x), [x]) == [7.0]


@pytest.mark.parametrize("name", ["tanh", "+", "**", "sum", "where", "identity"])
def test_a_name_of_the_library_cannot_be_taken(name):
    with pytest.raises(ValueError, match="is a primitive of chainrule; choose another name"):
        cr.primitive(name, lambda x: x, (1.0,))
    assert cr.tanh is primitives.TABLE["tanh"]


BAD = [
    ({"name": ""}, "name must be a non-empty string"),
    ({"name": None}, "name must be a non-empty string, not None"),
    ({"scalar": 3}, "scalar must be callable, not 3"),
    ({"array": "x"}, "array must be callable"),
    ({"partials": None}, "either partials, one per argument, or variadic"),
    ({"variadic": lambda *a: []}, "either partials, one per argument, or variadic"),
    ({"partials": lambda x, y: 1.0}, "expected a sequence of callables"),
    ({"partials": ("1",)}, "a partial is a callable or a number: '1'"),
    ({"partials": ()}, "partials is empty"),
    ({"partials": (1j,)}, "a partial is a callable or a number"),
    ({"partials": 1.0}, "expected a sequence of callables"),
    ({"partials": {1.0}}, "expected a sequence of callables"),
    ({"partials": (lambda x: 1.0,)}, r"bad: partials\[0\] .* 2 arguments; .* lambda x0, y: "),
    ({"partials": (1.0, lambda x, y: 1.0)}, r"partials\[1\] .* 3 arguments; .* lambda x0, x1, y: "),
    ({"partials": (lambda x, y, *, z: 1.0,)}, r"partials\[0\] cannot be called with 2 arguments"),
    ({"defaults": (1.0, 2.0)}, "2 defaults for 1 arguments"),
    ({"defaults": ("a",)}, "a default of bad: str is not a real number"),
    ({"defaults": 0.5}, "defaults is 0.5; expected a tuple"),
    ({"analytic": 1}, "analytic must be callable, not 1"),
    ({"selects": 0}, "selects must be callable, not 0"),
    ({"takes": "x"}, "takes must be callable, not 'x'"),
    ({"latex": 3}, "latex is 3; expected a template"),
    ({"precedence": "high"}, "precedence is 'high'; expected an int"),
    ({"binds": 3}, "binds is 3; expected an int per argument"),
    ({"binds": ("a",)}, "an entry of binds is 'a'; expected an int"),
    ({"domain": 3.0}, "domain is 3.0; expected an interval"),
    ({"domain": (0.0,)}, r"domain is \(0.0,\); expected an interval"),
    ({"domain": ((0.0, 1.0), (0.0, 1.0))}, "2 domains for 1 arguments"),
]


class Slope:
    def __call__(self, x, y):
        return 2.0 * x


class Unwilling(Slope):
    @property
    def __signature__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "partial",
    [
        lambda *args: 2.0 * args[0],
        lambda x, y, factor=2.0: factor * x,
        lambda x, *rest, factor=2.0, **options: factor * x,
        functools.partial(lambda factor, x, y: factor * x, 2.0),
        Slope(),
        Unwilling(),
    ],
)
def test_a_partial_may_be_any_callable_that_takes_the_arguments_and_the_result(partial):
    square = cr.primitive("square of a test", lambda x: x * x, (partial,))
    assert cr.grad(square)(3.0) == 6.0


@pytest.mark.parametrize(("change", "message"), BAD)
def test_a_bad_definition_is_refused_and_adds_nothing(change, message, table):
    before = dict(table)
    arguments = {"name": "bad", "scalar": lambda x: x, "partials": (1.0,)} | change
    with pytest.raises(TypeError, match=message):
        cr.primitive(**arguments)
    assert table == before


@pytest.mark.parametrize("result", [None, "1", 1j, [1.0]])
def test_a_result_or_a_partial_that_is_no_number_is_refused(result):
    value = cr.primitive("no value", lambda x: result, (1.0,))
    with pytest.raises(
        TypeError, match=f"result of no value: {type(result).__name__} is not a real"
    ):
        value(Value(1.0))
    slope = cr.primitive("no slope", lambda x: x, (lambda x, y: result,))
    with pytest.raises(TypeError, match=f"partial of no slope: {type(result).__name__} is not a"):
        slope(Value(1.0))


def test_a_wrong_number_of_partials_is_refused():
    row = cr.primitive("miscounted", lambda *xs: xs[0], variadic=lambda args, y, linked: [1.0])
    assert row(Value(1.0)).data == 1.0
    with pytest.raises(ValueError, match=r"returned 1 partials for the 2 arguments at positions"):
        row(Value(1.0), 2.0, Value(3.0))


@pytest.mark.parametrize("result", [None, 1.0])
def test_a_variadic_that_returns_no_sequence_is_refused(result):
    row = cr.primitive("no list", lambda *xs: xs[0], variadic=lambda args, y, linked: result)
    with pytest.raises(TypeError, match=r"no list: its variadic returned .*positions \[0, 2\]"):
        row(Value(1.0), 2.0, Value(3.0))


def test_what_a_users_function_raises_comes_through_and_builds_nothing():
    def fails(x):
        raise KeyError("mine")

    broken = cr.primitive("broken", fails, (1.0,))
    half = cr.primitive("half broken", lambda x: x, (lambda x, y: fails(x),))
    for row in (broken, half):
        with pytest.raises(KeyError, match="mine"):
            row(Value(1.0))


def test_another_type_can_carry_the_operations():
    """A symbol that writes down what is done to it: the hook that drawings are made with."""

    class Symbol:
        def __init__(self, text):
            self.text = text

        @staticmethod
        def __chainrule__(row, args):
            texts = [getattr(arg, "text", str(arg)) for arg in args]
            latex = row.latex
            return Symbol(latex(texts) if callable(latex) else latex.format(*texts))

        def __mul__(self, other):
            return primitives.multiply(self, other)

        def __neg__(self):
            return primitives.negative(self)

    x = Symbol("x")
    assert cr.tanh(x).text == r"\tanh\left(x\right)"
    assert cr.sum([x, 2.0]).text == "x + 2.0"
    (partial,) = primitives.sin.partial_values((x,), cr.sin(x), (0,))
    assert partial.text == r"\cos\left(x\right)"
    (partial,) = primitives.sigmoid.partial_values((x,), Symbol("y"), (0,))
    assert partial.text == r"y \, \sigma\left(-x\right)"


def test_of_a_name_that_is_defined_again_and_again_the_last_hundred_are_kept():
    """A loop may define its operation in each pass, with what it captures: it must not pile up."""

    class Captured:
        factor = 2.0

    def defined(captured, number):
        def scalar(x):
            return captured.factor * number * x

        return cr.primitive("defined in a loop", scalar, (lambda x, y: captured.factor * number,))

    first = defined(Captured(), 0.0)
    text = pickle.dumps(first)
    captured = Captured()
    gone = weakref.ref(captured)
    defined(captured, 0.5)
    del captured
    for i in range(1, 151):
        last = defined(Captured(), float(i))
        if i == 10:
            assert gone() is not None
            assert pickle.loads(text) is first
    gc.collect()
    assert gone() is None
    assert pickle.loads(pickle.dumps(last)) is last
    x = Value(3.0)
    first(x).backward()  # a definition that is held stays what it was
    assert x.grad == 0.0
    with pytest.raises(LookupError, match="cannot be pickled: 100 others came after it"):
        pickle.dumps(first)
    with pytest.raises(LookupError, match=r"definition 1 .* 152 ran here, of which the last 100"):
        pickle.loads(text)
