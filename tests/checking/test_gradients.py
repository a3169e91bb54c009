"""check_gradients is itself checked: planted errors must be refused, right derivatives never.

The oracle here is the plant: each wrong primitive is a right one with one known mistake.
"""

from __future__ import annotations

import itertools
import math
import pickle
import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.checking import GradientMismatch, NotCheckable, check_gradients
from chainrule.checking.gradients.complex_step import ComplexStep, rounding_errors
from chainrule.checking.gradients.differences import slopes
from chainrule.engine.sweeps import topological_order
from chainrule.engine.table import TABLE


@pytest.fixture(autouse=True)
def _own_primitives_only():
    """Take the primitives that a test defines out of the table again."""
    before = set(TABLE)
    yield
    for name in set(TABLE) - before:
        del TABLE[name]


def refused(function, *point, **options):
    with pytest.raises(GradientMismatch) as caught:
        check_gradients(function, *point, **options)
    return caught.value.check


def unanswered(function, *point, **options):
    with pytest.raises(NotCheckable) as caught:
        check_gradients(function, *point, **options)
    return str(caught.value)


# ---------------------------------------------------------------- what is right is accepted


def points(row):
    """Draw the arguments of *row* from its domain."""
    if row.name in TAKES_A_CLASS:
        logits = st.lists(st.floats(-20, 20), min_size=1, max_size=4)
        return logits.flatmap(
            lambda xs: st.tuples(st.integers(0, len(xs) - 1).map(float), *map(st.just, xs))
        )
    if row.name == "dot":
        return st.integers(1, 3).flatmap(lambda n: st.tuples(*[st.floats(-3, 3)] * (2 * n + 1)))
    if row.name == "soft_cross_entropy":
        y, z = st.floats(0, 1), st.floats(-20, 20)
        return st.integers(1, 3).flatmap(lambda n: st.tuples(*[y] * n, *[z] * n))
    if row.arity is None:
        return st.lists(st.floats(-30, 30), min_size=1, max_size=4).map(tuple)
    # At subnormal points 1/x, a factor of second derivatives, is beyond the largest float.
    return st.tuples(*(st.floats(low, high, allow_subnormal=False) for low, high in row.domain))


def test_a_slope_that_is_clear_only_at_the_scale_of_the_arguments_is_found():
    tiny = 1.99e-159
    assert check_gradients(cr.hypot, tiny, tiny, order=2)
    partials = [lambda a, b, y: 1.01 * a / y, lambda a, b, y: b / y]
    refused(cr.primitive("not_hypot", math.hypot, partials), tiny, tiny, order=2)


@pytest.mark.parametrize("name", TABLE)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_no_row_of_the_table_raises_a_false_alarm(name, data):
    row = TABLE[name]
    args = data.draw(points(row))
    fixed = args[:1] if name in TAKES_A_CLASS else ()
    try:
        assert check_gradients(lambda *xs: row(*fixed, *xs), *args[len(fixed) :], order=2)
    except NotCheckable:
        # A jump of a step, of a first derivative at a kink, or a value too small to move.
        assert name in JUMPS | KINKS


JUMPS = {"step", "sign", "equal", "less", "less_equal", "where", "%", "whole_quotient"}
KINKS = {"abs", "relu", "leaky_relu", "maximum", "minimum", "hypot", "damped", "hinge_loss"}
TAKES_A_CLASS = {"softmax", "softmax_rest", "take", "cross_entropy"}

UNARY = [cr.tanh, cr.sin, cr.cos, cr.sigmoid, cr.softplus, cr.gelu, cr.silu, cr.square, cr.expm1]
BINARY = [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, cr.logaddexp]


def build(rng, depth, variables):
    """Return a random smooth expression of bounded size in *variables*."""
    if depth == 0:
        return rng.choice(variables)
    kind = rng.random()
    below = [build(rng, depth - 1, variables) for _ in range(3)]
    if kind < 0.4:
        return rng.choice(UNARY)(below[0] * rng.uniform(-1.0, 1.0))
    if kind < 0.7:
        return rng.choice(BINARY)(below[0], cr.tanh(below[1]))
    if kind < 0.8:
        return below[0] / (1.5 + cr.sin(below[1]))
    if kind < 0.9:
        return cr.softmax(below)[rng.randrange(3)]
    return cr.dot(below[:2], below[1:], bias=0.3)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.floats(-2, 2), min_size=1, max_size=3))
def test_random_smooth_functions_are_accepted_at_orders_1_and_2(seed, point):
    def f(*xs):
        return build(random.Random(seed), 4, list(xs))

    assert check_gradients(f, *point, order=2).max_relative_error < 1e-8


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_every_weight_of_a_relu_network_is_accepted(seed):
    rng = np.random.default_rng(seed)
    thetas = [rng.normal(size=(4, 3)), rng.normal(size=(3, 5)), rng.normal(size=(1, 4))]
    xs = rng.normal(size=(2, 2))

    def loss(*thetas):
        total = 0.0
        for x in xs:
            a = list(x)
            for theta in thetas:
                a = [cr.relu(cr.dot(row[1:], a, bias=row[0])) for row in theta]
            total = total + cr.square(a[0] - 1.0)
        return total

    assert len(check_gradients(loss, *thetas).rows) == 12 + 15 + 4


@pytest.mark.parametrize(
    ("function", "point"),
    [
        (cr.sin, 1e6),  # steps of the size of x sample a wave once a period
        (lambda x: cr.sin(1e6 * x), 1.0),
        (lambda x: cr.tan(cr.expm1(cr.expm1(x))), 2.7312736949692926),  # a period of 2**-22
        (lambda x: (x + 1e9) - 1e9, 1.0),  # nine digits lost inside
        (lambda x: x + 1e12, 1.0),
        (cr.log, 1e-200),
        (cr.log, 1e200),
        (lambda x: 1.0 / x, 1e-20),
        (cr.sigmoid, 1e-20),
        (cr.square, 0.0),
        (lambda x: x * x * x, 0.0),
        (cr.cos, 0.0),
        (cr.tanh, 20.0),
        (cr.sigmoid, -700.0),
        (cr.relu, 1e-12),  # a kink close by
        (lambda x: cr.relu(x) + 1e6, 1e-3),
        (lambda x: cr.abs(x) * x, 0.0),
        (lambda x: x - x, 3.0),
        (lambda x: cr.where(x > 1.0, x * x, 2.0 * x - 1.0), 1.0),
        (lambda x: x * 1e300, 2.0),
        (lambda x: x * 1e-300, 2.0),
        (lambda x: x**3, -2.0),
        (lambda x: x / x, 1e-3),
    ],
)
def test_functions_that_are_hard_on_differences_are_accepted(function, point):
    assert check_gradients(function, point)


def test_third_derivatives_are_checked():
    check = check_gradients(lambda x, y: cr.exp(x) * cr.sin(y), 0.3, 0.7, order=3)
    assert [sum(row.order == k for row in check.rows) for k in (1, 2, 3)] == [2, 4, 8]


def test_the_second_derivatives_are_those_of_the_closed_form():
    check = check_gradients(lambda x, y: x**2 * y + y + 2, 3.0, 4.0, order=2)
    numbers = {row.name: (row.reported, row.expected) for row in check.rows}
    assert numbers["d f / d x"] == (24.0, 24.0)
    assert numbers["d2 f / d x d y"] == (6.0, 6.0)
    assert numbers["d2 f / d y d y"] == (0.0, 0.0)


def test_a_function_that_differentiates_inside_is_checked():
    def f(x):
        return cr.grad(lambda y: x * y**3)(2.0) + x * cr.grad(lambda y: x + y)(1.0)

    assert check_gradients(f, 1.5, order=2).rows[0].reported == 13.0


def test_the_oracle_is_the_complex_step_where_it_can_be():
    assert check_gradients(lambda x: cr.exp(cr.tanh(x)), 0.4).rows[0].oracle == "complex step"
    assert check_gradients(lambda x: cr.relu(x), 0.4).rows[0].oracle == "differences"
    smooth = check_gradients(lambda x, y: cr.exp(x) * cr.sin(y) / (1 + x * x), 0.4, 0.3, order=2)
    assert smooth.max_relative_error < 1e-14


# ---------------------------------------------------------------- planted first-order errors

RIGHT = {
    "tanh": (math.tanh, lambda x, y: 1.0 - cr.square(y), TABLE["tanh"].analytic, 0.7),
    "softplus": (TABLE["softplus"].scalar, lambda x, y: cr.sigmoid(x), None, -0.3),
    "cube": (lambda x: x**3, lambda x, y: 3.0 * cr.square(x), lambda z: z * z * z, 2.0),
    "relu": (TABLE["relu"].scalar, lambda x, y: cr.where(x > 0, 1.0, 0.0), None, 1.3),
}
WRONG = {
    "sign": lambda partial: lambda x, y: -partial(x, y),
    "a factor 1 + 1e-6": lambda partial: lambda x, y: (1.0 + 1e-6) * partial(x, y),
    "a factor 1 - 1e-6": lambda partial: lambda x, y: (1.0 - 1e-6) * partial(x, y),
    "a factor 2": lambda partial: lambda x, y: 2.0 * partial(x, y),
    "zero": lambda partial: lambda x, y: 0.0,
    "an additional term": lambda partial: lambda x, y: partial(x, y) + 1e-5,
    "nan": lambda partial: lambda x, y: math.nan,
    "infinity": lambda partial: lambda x, y: math.inf,
    "of the output": lambda partial: lambda x, y: partial(y, y) + 1e-4,
}


@pytest.mark.parametrize("mistake", WRONG)
@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("known_analytic", [True, False])
def test_a_planted_first_order_error_is_refused(name, mistake, known_analytic):
    scalar, partial, analytic, x = RIGHT[name]
    analytic = analytic if known_analytic else None
    mine = cr.primitive("mine", scalar, (partial,), analytic=analytic)

    def f(x):
        return 3.0 * mine(cr.sin(x) + x)

    assert check_gradients(f, x)
    mine = cr.primitive("mine", scalar, (WRONG[mistake](partial),), analytic=analytic)
    check = refused(f, x)
    if math.isfinite(check.rows[0].reported):
        assert "partial of 'mine' with respect to its argument 0" in check.hint
    else:
        assert "detect_anomaly" in check.hint


def test_a_dropped_term_is_refused():
    def partial(x, y):
        return cr.sigmoid(x)  # + x * sigmoid'(x)

    swish = cr.primitive("swish", TABLE["silu"].scalar, (partial,))
    assert refused(swish, 0.8).wrong[0].reported == cr.sigmoid(0.8)


def test_an_error_in_one_argument_names_that_argument():
    times = cr.primitive("times", lambda a, b: a * b, (lambda a, b, y: b, lambda a, b, y: -a))

    def area(width, height):
        return times(width, height)

    check = refused(area, 3.0, 4.0)
    assert [row.argument for row in check.wrong] == ["height"]
    assert (check.wrong[0].reported, check.wrong[0].at) == (-3.0, 4.0)
    assert check.wrong[0].expected == pytest.approx(3.0, rel=1e-9)
    assert "argument 1 is -3.0 at (3.0, 4.0)" in check.hint


def test_a_partial_declared_zero_is_refused_where_it_is_not():
    times = cr.primitive("times", lambda a, b: a * b, (lambda a, b, y: b, None))
    check = refused(times, 3.0, 4.0)
    assert "argument 1 is 0.0" in check.hint


def test_a_wrong_analytic_form_does_not_mislead():
    odd = cr.primitive("odd", math.sin, (lambda x, y: cr.cos(x),), analytic=lambda z: 2.0 * z + 0.1)
    assert check_gradients(odd, 0.5).rows[0].oracle == "differences"
    # and one that makes the same mistake as the partial does not excuse it
    odd = cr.primitive("odd", math.sin, (2.0,), analytic=lambda z: 2.0 * z + 0.1)
    refused(odd, 0.5)


def test_only_the_output_that_is_wrong_is_named():
    bad = cr.primitive("bad", math.sin, (lambda x, y: -cr.cos(x),))
    check = refused(lambda x: [cr.sin(x), {"b": bad(x)}], 0.5)
    assert [row.name for row in check.wrong] == ["d f[1]['b'] / d x"]


# ---------------------------------------------------------------- planted higher-order errors


def number(x):
    return x.data if isinstance(x, cr.Value) else x


def test_a_partial_that_is_a_constant_is_refused_at_second_order_only():
    mine = cr.primitive("mine", lambda x: x * x, (lambda x, y: 2.0 * number(x),))
    assert check_gradients(mine, 3.0)
    check = refused(mine, 3.0, order=2)
    assert [row.name for row in check.wrong] == ["d2 mine / d args[0] d args[0]"]
    assert check.wrong[0].reported == 0.0
    assert check.wrong[0].expected == pytest.approx(2.0)
    assert "plain number" in check.hint


@pytest.mark.parametrize("analytic", [TABLE["cos"].analytic, None])
@pytest.mark.parametrize("factor", [-1.0, 1.0 + 1e-6])
def test_a_wrong_partial_of_a_partial_is_refused_at_second_order_only(analytic, factor):
    cosine = cr.primitive(
        "cosine", math.cos, (lambda x, y: -factor * cr.sin(x),), analytic=analytic
    )
    sine = cr.primitive("sine", math.sin, (lambda x, y: cosine(x),), analytic=TABLE["sin"].analytic)
    assert check_gradients(sine, 0.6)
    check = refused(sine, 0.6, order=2)
    assert {row.order for row in check.wrong} == {2}
    assert "'cosine'" in check.hint


def test_a_constant_two_orders_up_is_refused_at_third_order_only():
    inner = cr.primitive("inner", math.exp, (lambda x, y: number(y),))
    outer = cr.primitive("outer", math.exp, (lambda x, y: inner(x),))
    assert check_gradients(outer, 0.6, order=2)
    assert {row.order for row in refused(outer, 0.6, order=3).wrong} == {3}


# ---------------------------------------------------------------- graphs that are dropped


@pytest.mark.parametrize(
    "function",
    [
        lambda x: cr.Value(x.data**2),
        lambda x: x.data**2,
        lambda x: cr.square(x.detach()),
        lambda x: cr.no_grad()(cr.square)(x),
    ],
)
def test_a_function_that_drops_its_graph_is_refused(function):
    check = refused(function, 3.0)
    assert check.rows[0].expected == pytest.approx(6.0)
    assert "its graph does not lead there" in check.hint


def test_a_function_that_drops_half_its_graph_is_refused():
    check = refused(lambda x: x * x.data, 3.0)
    assert (check.rows[0].reported, check.rows[0].oracle) == (3.0, "differences")
    assert "outside the graph" in check.hint


def test_a_small_term_outside_the_graph_is_refused():
    refused(lambda x: cr.exp(x) + 1e-5 * math.sin(x.data), 0.5)


def test_a_branch_on_the_data_is_no_error_away_from_the_branch():
    def f(x):
        return x * x if x.data > 1.0 else 3.0 * x

    assert check_gradients(f, 1.5, order=2)
    assert check_gradients(f, 0.5, order=2)
    assert "does not exist" in unanswered(f, 1.0)


# ---------------------------------------------------------------- kinks


@pytest.mark.parametrize(
    ("function", "point", "sides", "reported"),
    [
        (lambda x: cr.relu(x), [0.0], (0.0, 1.0), 0.0),
        (lambda x: cr.abs(x), [0.0], (-1.0, 1.0), 0.0),
        (lambda x: cr.leaky_relu(x), [0.0], (0.01, 1.0), 0.01),
        (lambda x, y: cr.maximum(x, y), [2.0, 2.0], (0.0, 1.0), 0.5),
        (lambda x, y: cr.minimum(x, y), [2.0, 2.0], (1.0, 0.0), 0.5),
        (lambda x: 1e6 + cr.relu(x), [0.0], (0.0, 1.0), 0.0),
        (lambda x: 1e3 * cr.abs(cr.sin(x)), [0.0], (-1e3, 1e3), 0.0),
    ],
)
def test_at_a_kink_both_slopes_are_shown_and_any_between_is_right(function, point, sides, reported):
    check = check_gradients(function, *point)
    row = check.kinks[0]
    assert row.slopes == pytest.approx(sides, abs=1e-6)
    assert (row.reported, row.oracle) == (reported, "one-sided slopes")
    assert "which lies between them" in str(check)


def test_at_a_kink_what_is_not_between_the_slopes_is_wrong():
    bent = cr.primitive("bent", abs, (lambda x, y: cr.where(x < 0, -1.0, 1.5),))
    check = refused(bent, 0.0)
    assert check.wrong[0].slopes == (-1.0, 1.0)
    assert "1.5, which does not lie between them" in str(check)


def test_nan_at_a_kink_is_wrong():
    refused(lambda x: cr.sqrt(cr.square(x)), 0.0)  # inf * 0


def test_at_a_kink_the_second_derivative_cannot_be_checked():
    assert "d2 abs / d args[0] d args[0] does not exist" in unanswered(abs_of, 0.0, order=2)


def abs_of(*args):
    return cr.abs(*args)


abs_of.__name__ = "abs"


# ---------------------------------------------------------------- no answer


@pytest.mark.parametrize(
    ("function", "point", "message"),
    [
        (cr.log, 0.0, "log is -inf at the point"),
        (cr.sqrt, -1.0, "sqrt is nan at the point"),
        (cr.sqrt, 0.0, "edge of the domain: nan at -"),
        (lambda x: x**1.5, 0.0, "edge of the domain"),
        (TABLE["step"], 0.0, "does not exist"),
        (lambda x: cr.sqrt(cr.abs(x)), 0.0, "does not exist"),
        (lambda x: cr.where(x < 0, -1.0, 1.0) * cr.sqrt(cr.abs(x)), 0.0, "does not exist"),
        (lambda x: 3.0, 1.0, "does not depend on its arguments"),
        (lambda x: cr.Value(3.0) * 2.0, 1.0, "does not depend on its arguments"),
        (lambda x: x, math.nan, "x = nan"),
        (lambda x: x, math.inf, "finite points"),
        (lambda x: cr.exp(x) - cr.exp(x), 1000.0, "nan at the point"),
        (lambda x: cr.cos(cr.expm1(x)), 50.0, "so steep"),
    ],
)
def test_where_there_is_no_answer_the_message_says_why(function, point, message):
    assert message in unanswered(function, point)


def test_a_function_that_raises_beside_the_point_is_at_the_edge():
    def f(x):
        return x * math.sqrt(1.0 - x.data)

    assert "ValueError (" in unanswered(f, 1.0)
    with cr.detect_anomaly():
        assert "AnomalyError (" in unanswered(lambda x: x**1.5, 0.0)


def test_a_step_function_is_flat_and_checkable_between_its_jumps():
    assert check_gradients(TABLE["step"], 0.5, order=2)


def test_random_numbers_in_the_function_are_found():
    rng = random.Random(0)
    message = unanswered(lambda x: x * rng.random(), 1.0)
    assert "different result each time" in message


def test_state_kept_by_the_function_is_found():
    count = itertools.count()
    assert "let it keep no state" in unanswered(lambda x: x + next(count), 1.0)


def test_state_that_changes_late_is_found():
    calls = itertools.count()
    message = unanswered(lambda x: x if next(calls) < 5 else x + 1e-9, 1.0)
    assert "different result each time" in message


def test_writing_to_an_argument_is_found():
    def f(x):
        x.data = 2.0
        return x * x

    assert "writes to the data of its argument x" in unanswered(f, 1.0)


def test_a_result_that_changes_shape_is_found():
    sizes = itertools.chain([1], itertools.repeat(2))
    assert "returns 1 numbers at the point and 2" in unanswered(lambda x: [x] * next(sizes), 1.0)


# ---------------------------------------------------------------- arguments and results


def test_structured_arguments_are_named_by_their_paths():
    def f(theta, p, *rest):
        return cr.sum(theta.ravel()) * p["b"][1] * p["w"] + rest[0] * rest[1]

    theta = np.arange(4.0).reshape(2, 2)
    check = check_gradients(f, theta, {"w": 2.0, "b": (1.0, 5.0)}, 1.5, cr.Value(2.5))
    assert [row.argument for row in check.rows] == [
        "theta[0, 0]",
        "theta[0, 1]",
        "theta[1, 0]",
        "theta[1, 1]",
        "p['w']",
        "p['b'][0]",
        "p['b'][1]",
        "rest[0]",
        "rest[1]",
    ]
    assert check.rows[-1].at == 2.5


def test_nothing_given_is_changed():
    theta = np.array([1.0, 2.0])
    v = cr.Value(3.0)
    check_gradients(lambda t, x: cr.dot(t, [x, 2.0]), theta, v, order=2)
    assert theta.tolist() == [1.0, 2.0]
    assert not v.has_grad


def test_a_constant_among_several_outputs_is_fine():
    check = check_gradients(lambda x: (x * 2, 3.0, cr.Value(1.0)), 1.0, order=2)
    assert [row.expected for row in check.rows if row.order == 1] == [2.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3.0,), TypeError, "expected a function, then the point, not float"),
        ((cr.sin,), ValueError, "no numbers to vary"),
        ((cr.sin, []), ValueError, "no numbers to vary"),
        ((cr.sin, "a"), TypeError, r"args\[0\]: str is not a real number"),
        ((cr.sin, 1j), TypeError, "complex is not a real number"),
        ((lambda x: None, 1.0), TypeError, "is a return statement missing"),
        ((lambda x: [], 1.0), TypeError, "f returned no numbers"),
        ((lambda x: [x, "a"], 1.0), TypeError, "result of f: str"),
    ],
)
def test_unusable_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        check_gradients(*arguments)


@pytest.mark.parametrize("order", [0, 4, 1.5, "1", None])
def test_the_order_is_1_2_or_3(order):
    with pytest.raises(ValueError, match="order is 1, 2 or 3"):
        check_gradients(cr.sin, 1.0, order=order)


@pytest.mark.parametrize("rtol", [-1.0, 1.0, math.nan])
def test_rtol_is_a_relative_error(rtol):
    with pytest.raises(ValueError, match="rtol is a relative error"):
        check_gradients(cr.sin, 1.0, rtol=rtol)


def test_rtol_is_how_much_error_is_let_pass():
    near = cr.primitive("near", math.sin, (lambda x, y: 1.001 * cr.cos(x),))
    assert check_gradients(near, 1.0, rtol=1e-2)
    refused(near, 1.0, rtol=1e-4)


def test_an_error_of_the_function_itself_is_passed_on():
    with pytest.raises(KeyError):
        check_gradients(lambda x: {}["a"], 1.0)


# ---------------------------------------------------------------- what the findings say


def test_a_mismatch_is_an_assertion_error_that_survives_pickling():
    bad = cr.primitive("bad", math.sin, (lambda x, y: -cr.cos(x),))
    with pytest.raises(AssertionError) as caught:
        check_gradients(bad, 0.5)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert copy.check == caught.value.check


def test_a_mismatch_shows_derivative_place_order_and_both_numbers():
    def f(w, x):
        return cr.exp(w.data * x)

    message = str(refused(f, [2.0][0], 0.5))
    lines = message.splitlines()
    assert lines[0] == "f: 1 of 2 derivatives wrong"
    assert lines[1] == "d f / d w at w = 2.0 (order 1)"
    assert lines[2] == "  autograd   0.0"
    assert lines[3].startswith("  expected   1.3591409142")
    assert " by differences, give or take " in lines[3]
    assert lines[4] == "  rel. error 1"


def test_many_mismatches_are_counted_rather_than_listed():
    check = refused(lambda *xs: cr.Value(sum(x.data**2 for x in xs)), *map(float, range(1, 21)))
    assert len(check.wrong) == 20
    assert "... and 15 more" in str(check)


def test_a_success_says_what_was_compared_with_what():
    check = check_gradients(lambda x, y: cr.relu(x) * y, 1.0, 2.0)
    assert check
    assert str(check).startswith("f: 2 derivatives agree (1 by differences, 1 by complex")


# ---------------------------------------------------------------- the oracles themselves

KNOWN = [
    (math.sin, math.cos),
    (math.exp, math.exp),
    (math.atan, lambda x: 1.0 / (1.0 + x * x)),
    (lambda x: x**5, lambda x: 5.0 * x**4),
    (lambda x: math.sin(50.0 * x) / 50.0, lambda x: math.cos(50.0 * x)),
    (lambda x: math.log(x * x + 1e-4), lambda x: 2.0 * x / (x * x + 1e-4)),
]


@pytest.mark.parametrize(("function", "derivative"), KNOWN)
@settings(max_examples=60, deadline=None)
@given(x=st.floats(-5, 5))
@example(x=1.3969994256935176e-69)  # x**5 and its slope underflow
@example(x=2.2250738585e-313)
def test_the_uncertainty_of_a_slope_covers_its_error(function, derivative, x):
    y = function(x)
    (slope,) = slopes(lambda t: [function(t)], x, np.array([y]), np.array([4e-16 * abs(y)]))
    assert slope.kind == "smooth"
    assert abs(slope.value - derivative(x)) <= 2.0 * slope.uncertainty
    assert slope.uncertainty <= 1e-6 * max(1.0, abs(derivative(x)))


@settings(max_examples=60, deadline=None)
@given(x=st.floats(-3, 3), y=st.floats(-3, 3))
def test_the_complex_step_is_exact_to_rounding(x, y):
    a, b = cr.Value(x), cr.Value(y)
    root = cr.exp(cr.sin(a * b)) / (2.0 + cr.cos(a))
    step = ComplexStep(topological_order([root]), a)
    s, c = math.exp(math.sin(x * y)), 2.0 + math.cos(x)
    truth = s * math.cos(x * y) * y / c + s * math.sin(x) / (c * c)
    assert abs(step.derivative(root) - truth) <= step.rounding(root) + 1e-15 * abs(truth)


def test_the_rounding_bound_sees_digits_lost_inside():
    x = cr.Value(1.0)
    root = (x + 1e9) - 1e9
    errors = rounding_errors(topological_order([root]))
    assert 1e-8 < errors[root] < 1e-6


def test_slopes_that_are_rounding_alone_do_not_grow_without_bound():
    def f(x):
        return build(random.Random(18204), 4, [x])

    assert check_gradients(f, 0.0, order=2).ok
