"""What a compiled function says to arguments, functions and results that do not fit."""

import fractions
import functools
import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn

nan = math.nan


@pytest.fixture
def w():
    return [cr.Value(1.0), cr.Value(2.0)]


# --- a single example where a batch is expected --------------------------------------------------


@pytest.mark.parametrize(
    ("use", "complaint"),
    [
        (lambda x: x[0], "not subscriptable"),
        (lambda x: sum(x), "not iterable"),
        (lambda x: len(x) * cr.Value(1.0), "no len"),
        (lambda x: cr.dot([1.0, 2.0], x), "dot takes an iterable"),
        (nn.MLP(2, [1], seed=0), "takes 2 inputs, but was given 1"),
    ],
)
def test_one_example_is_no_batch(use, complaint):
    with pytest.raises((TypeError, ValueError), match=complaint) as raised:
        cr.compile(use)([1.0, 2.0])
    assert "was called with one example, x a single number, from an array of shape (2,)" in str(
        raised.value
    )
    assert "the first axis of an array counts the examples" in str(raised.value)


def test_every_argument_is_told_with_its_shape(w):
    f = cr.compile(lambda x, y, t: cr.dot(w, x) - y[0])
    with pytest.raises(ValueError, match="dot: 2 weights and 3 inputs") as raised:
        f(np.ones((4, 3)), np.ones((4, 2)), np.ones(4))
    assert "x of shape (3,), from an array of shape (4, 3)" in str(raised.value)
    assert "y of shape (2,), from an array of shape (4, 2)" in str(raised.value)
    assert "t a single number, from an array of shape (4,)" in str(raised.value)
    assert isinstance(raised.value.__cause__, ValueError)


def test_other_errors_of_the_function_are_left_alone(w):
    class MineError(ValueError):
        def __init__(self, a, b):
            super().__init__(a, b)

    for error in (MineError(1, 2), KeyError("mine"), RuntimeError("mine"), ZeroDivisionError()):

        def f(x, error=error):
            raise error

        with pytest.raises(type(error)) as raised:
            cr.compile(f)([1.0])
        assert raised.value is error


# --- what is no array of numbers -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (None, TypeError, "argument x is None; expected an array, or a nested list, of numbers"),
        ({"a": 1}, TypeError, "argument x is {'a': 1}; expected an array"),
        ((v for v in [1.0]), TypeError, "argument x is <generator .*expected an array"),
        (zip([1.0], [2.0], strict=True), TypeError, "argument x is <zip .*; expected an array"),
        ([[1.0, None]], TypeError, "argument x: NoneType is not a real number"),
        ([[1.0, [2.0]]], ValueError, "argument x is ragged"),
        ([[1.0, 2.0], [1.0]], ValueError, "argument x is ragged; examples must have one shape"),
        (["ab"], TypeError, "argument x is an array of <U2; expected numbers"),
        (b"ab", TypeError, "argument x is an array of .S2; expected numbers"),
        ([[1j, 2.0]], TypeError, "argument x is an array of complex128; expected numbers"),
        (np.array([["2020"]], dtype="M8[Y]"), TypeError, "argument x is an array of datetime64"),
        (3.0, ValueError, "argument x is a single number; expected a batch"),
        (np.float64(3.0), ValueError, "argument x is a single number; expected a batch"),
    ],
)
def test_an_argument_that_is_no_array_of_numbers(w, given, error, message):
    f = cr.compile(lambda x: cr.dot(w, x))
    for call in (f, f.value_and_grad, f.backward, f.record):
        with pytest.raises(error, match=message):
            call(given)
    assert not any(p.has_grad for p in w)


@pytest.mark.parametrize("given", [[[cr.Value(1.0), 2.0]], cr.Value(1.0)])
def test_an_argument_of_which_a_derivative_is_asked_is_no_value(w, given):
    f = cr.compile(lambda x: cr.dot(w, x))
    for call in (f.value_and_grad, f.backward, f.record, f.jacobian):
        with pytest.raises(TypeError, match="argument x holds Values; expected plain numbers"):
            call(given)


def test_an_argument_beside_one_with_values_is_an_array_of_numbers():
    f = cr.compile(lambda x, y: x * y)
    v = cr.Value(2.0)
    for given, error, message in [
        ((v, [1.0]), TypeError, r"argument x is one Value; .* write f\(\[x\]\)"),
        (([v], None), TypeError, "argument y is None; expected an array"),
        (([v], [1.0, 2.0]), ValueError, "expected the same number of examples"),
        (([v, None], [1.0, 2.0]), TypeError, "argument x: NoneType is not a real number"),
        (([v],), TypeError, "missing a required argument"),
    ]:
        with pytest.raises(error, match=message):
            f(*given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([[True, False]], 1.0),
        ([[1, 2]], 5.0),
        (((1.0, 2.0),), 5.0),
        ([np.array([1.0, 2.0])], 5.0),
        ([[fractions.Fraction(1, 2), 1]], 2.5),
        ([[2**70, 0]], 2.0**70),
        ([[-(10**400), 1]], -math.inf),
        (np.array([[1, 2]], dtype=np.uint8), 5.0),
        (np.array([[0.5, 2.0]], dtype=np.float16), 4.5),
        (np.array([[0.5, 2.0]], dtype=">f4"), 4.5),
        (np.array([[1.0, 2.0]], dtype=object), 5.0),
        (np.ones((2, 4))[:1, ::2], 3.0),
        ([[nan, 1.0]], nan),
    ],
)
def test_every_kind_of_number_is_one(w, given, expected):
    (found,) = cr.compile(lambda x: cr.dot(w, x))(given)
    assert found == pytest.approx(expected, rel=1e-15, nan_ok=True)


def test_the_arrays_given_are_not_changed(w):
    X = np.array([[1.0, 2.0], [3.0, 4.0]])
    f = cr.compile(lambda x: cr.square(cr.dot(w, x)))
    f(X)
    f.backward(X)
    assert X.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    X.flags.writeable = False
    assert f(X).tolist() == [25.0, 121.0]


# --- how many arguments --------------------------------------------------------------------------


def test_the_number_of_arguments_is_that_of_the_function(w):
    f = cr.compile(lambda x, y: cr.dot(w, x) - y)
    X = np.ones((3, 2))
    with pytest.raises(TypeError, match=r"<lambda>\(x, y\): missing .*'y'; expected an array for"):
        f(X)
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        f()
    with pytest.raises(TypeError, match="too many positional arguments"):
        f(X, np.ones(3), np.ones(3))
    assert f(X, np.ones(3)).tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(TypeError, match="missing a required argument: 'y'"):
        f(X)


def test_arguments_by_default_by_star_and_by_name(w):
    with_default = cr.compile(lambda x, k=2.0: k * x * w[0])
    assert with_default([3.0]).tolist() == [6.0]
    assert with_default([3.0], [5.0]).tolist() == [15.0]
    starred = cr.compile(lambda *x: cr.sum(x) * w[0])
    assert starred([1.0], [2.0]).tolist() == [3.0]
    assert starred([1.0], [2.0], [3.0]).tolist() == [6.0]

    def by_name(x, *, k):
        return k * x * w[0]

    with pytest.raises(TypeError, match=r"by_name\(x, \*, k\): missing .* 'k'"):
        cr.compile(by_name)([1.0])
    assert cr.compile(functools.partial(by_name, k=3.0))([1.0]).tolist() == [3.0]


def test_a_function_of_nothing_is_pointed_to_its_root(w):
    f = cr.compile(lambda: 2.0 * w[0])
    with pytest.raises(TypeError, match=r"without a batch; .*, compile its root"):
        f()
    with pytest.raises(TypeError, match="too many positional arguments"):
        f([1.0])


def test_modules_methods_builtins_and_compiled_functions_are_functions(w):
    model = nn.MLP(2, [3, 1], seed=0)
    X = np.array([[1.0, -1.0], [0.5, 2.0]])
    expected = [model(x).data for x in X.tolist()]
    for function in (model, model.__call__, cr.compile(model)):
        assert cr.compile(function)(X) == pytest.approx(expected, rel=1e-12)
    assert repr(cr.compile(model)) == "<compiled MLP, recorded for 0 shapes of example>"
    assert cr.compile(cr.tanh)([0.0, 1.0]).tolist() == [0.0, math.tanh(1.0)]
    assert cr.compile(sum)([[1.0, 2.0]]).tolist() == [3.0]
    with pytest.raises(TypeError, match="expected a function of one example or a Value, not str"):
        cr.compile("w")


# --- results -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "result of <lambda>: NoneType .*is a return statement missing"),
        ("a", "result of <lambda>: str is not a real number"),
        (1j, "result of <lambda>: complex"),
        ({1.0}, "result of <lambda>: set is not"),
        ([1.0, [None]], "result of <lambda>: NoneType"),
        ([], r"<lambda> returned \[\]: expected one number or more"),
        ({"a": ()}, r"<lambda> returned {'a': \(\)}: expected one number"),
    ],
)
def test_a_result_that_is_no_number(returned, message):
    f = cr.compile(lambda x: returned)
    for _ in range(2):
        with pytest.raises(TypeError, match=message):
            f([1.0])


def test_an_empty_list_of_roots_is_no_graph():
    with pytest.raises(TypeError, match=r"\[\] holds no Value; expected a graph's root"):
        cr.compile([])


def test_the_gradient_needs_one_number(w):
    f = cr.compile(lambda x: {"a": [x * w[0]], "b": x})
    for call in (f.value_and_grad, f.backward):
        with pytest.raises(TypeError, match="needs one number as its result, not 2"):
            call([1.0])
    assert not w[0].has_grad


# --- what would be fixed for all examples --------------------------------------------------------


@pytest.mark.parametrize(
    "choose",
    [
        lambda x: 1.0 if x == 1.0 else x,
        lambda x: 1.0 if x != cr.Value(2.0) else x,
        lambda x: x if x in (1, 2) else 0.0,
        lambda x: [5.0, 1.0].index(x),
        lambda x: x if np.array([1.0, 2.0])[0] == x else 0.0,
        lambda x: x if x else 0.0,
        lambda x: x if not x else 0.0,
        lambda x: min(x, 2.0),
        lambda x: sorted([x, 1.0])[0],
        lambda x: np.max([x, 2.0 * x]),
        lambda x: np.argmax([x, 2.0 * x]),
        lambda x: np.sort(np.array([x, 2.0 * x], dtype=object))[0],
    ],
)
def test_choices_are_refused(choose):
    with pytest.raises(cr.TraceError, match=r"cr\.where\(cr\.less\(a, b\), x, y\)"):
        cr.compile(choose)([1.0, 2.0])


@pytest.mark.parametrize(
    "concretise",
    [
        lambda x: float(x),
        lambda x: int(x),
        lambda x: round(x),
        lambda x: math.exp(x),
        lambda x: math.floor(x),
        lambda x: [1.0, 2.0, 3.0][x],
        lambda x: cr.sum([1.0 for _ in range(x)]),
        lambda x: np.array([x], dtype=float),
    ],
)
def test_plain_numbers_of_values_are_refused(concretise):
    with pytest.raises(cr.TraceError, match=r"would fix that number for all examples"):
        cr.compile(concretise)([1.0, 2.0])


def test_a_backward_pass_inside_is_refused_before_it_adds_to_a_gradient(w):
    def slope(x):
        (w[0] * x).backward()
        return w[0].grad

    with pytest.raises(cr.TraceError, match="would run once, for one example"):
        cr.compile(slope)([1.0])
    assert not w[0].has_grad
    with pytest.raises(cr.TraceError, match="create_graph=True"):
        cr.compile(lambda x: cr.gradients(w[0] * x, [x])[0])([1.0])


def test_derivatives_inside_are_part_of_the_program(w):
    X = [1.0, 2.0, -3.0]
    f = lambda x: w[0] * x**3  # noqa: E731
    w[0].data = 0.5
    first = cr.compile(lambda x: cr.grad(f)(x))
    assert first(X) == pytest.approx([1.5 * x * x for x in X])
    assert first.value_and_grad(X)[1] == pytest.approx([14.0])
    linked = cr.compile(lambda x: cr.gradients(f(x), [x], create_graph=True)[0])
    assert linked(X) == pytest.approx(first(X))
    assert cr.compile(lambda x: cr.hessian(f)(x))(X) == pytest.approx([3.0 * x for x in X])
    assert cr.compile(lambda x: cr.jvp(f, [x], [2.0])[1])(X) == pytest.approx(2 * first(X))


def test_the_derivatives_of_a_compiled_function_inside_another_take_numbers_only(w):
    inner = cr.compile(lambda x: x * w[0])
    with pytest.raises(TypeError, match=r"holds Values; .* cr\.grad and the others give"):
        cr.compile(lambda x: inner.jacobian([x])[0])([1.0])
    assert cr.compile(lambda x: inner([x])[0] + 1.0)([2.0]).tolist() == [2.0 * w[0].data + 1.0]
    scale = cr.compile(lambda x: x * float(inner([3.0])[0]))
    assert scale([1.0, 2.0]).tolist() == [3.0, 6.0]


def test_identity_and_what_is_no_number_may_be_compared_while_recording(w):
    def f(x):
        assert x == x
        assert x != "a"
        assert x != None  # noqa: E711
        assert x in [x]
        assert {x: 1.0}[x] == 1.0
        return x * w[0]

    assert cr.compile(f)([2.0]).tolist() == [2.0]
    assert cr.Value(1.0) != 1.0  # equality is identity, once nothing is recorded


def test_after_a_refusal_nothing_is_recorded_and_values_compare_again(w):
    f = cr.compile(lambda x: x if x > 0.0 else w[0])
    with pytest.raises(cr.TraceError):
        f([1.0])
    assert cr.Value(1.0) < 2.0
    assert cr.Value(1.0) != 2.0
    with pytest.raises(RuntimeError, match="not recorded yet"):
        _ = f.source


@pytest.mark.parametrize("function", [np.floor, np.rint, np.isnan, np.logical_not])
def test_nobody_is_told_to_take_the_number_of_one_example(function):
    with pytest.raises(TypeError, match=r"v\.data"):
        function(cr.Value(0.5))
    with pytest.raises(TypeError, match=r"one example for all; add the operation with cr\.prim"):
        cr.compile(lambda x: x * function(x))([0.5, 1.5])
