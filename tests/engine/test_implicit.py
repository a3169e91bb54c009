"""``root`` and ``fixed_point``: found to all digits, and differentiated as the equation says.

The derivatives are held to closed forms, to mpmath's own root finder differentiated by mpmath, and
to differences.
"""

import copy
import gc
import math
import pickle
from collections import namedtuple

import numpy as np
import pytest
from mpmath import mp

import chainrule as cr
from chainrule import nn
from chainrule.engine import bodies

Point = namedtuple("Point", "x y")


def square_root(a):
    return cr.root(lambda x: x * x - a, 1.0)


def kepler(mean, eccentricity):
    """Return the eccentric anomaly: E - e sin E = M."""
    return cr.root(lambda E: E - eccentricity * cr.sin(E) - mean, mean)


def kepler_by_iteration(mean, eccentricity):
    return cr.fixed_point(lambda E: mean + eccentricity * cr.sin(E), 0.0)


def test_of_plain_numbers_it_is_a_plain_number():
    assert square_root(2.0) == pytest.approx(math.sqrt(2.0), rel=1e-15)
    assert type(square_root(2.0)) is float
    assert cr.fixed_point(math.cos, 1.0) == pytest.approx(0.7390851332151607, rel=1e-14)
    assert cr.root(lambda p: [p[0] - 1, p[1] + p[0]], [5, 5]) == [1.0, -1.0]
    # Where it starts has no part in where it ends.
    assert type(cr.root(lambda x: x * x - 2.0, cr.Value(1.0))) is float
    assert cr.grad(lambda a: cr.root(lambda x: x * x - 2.0, a))(1.0) == 0.0


def test_a_square_root_at_every_order():
    slope, exact = square_root, [0.25, -1 / 32, 3 / 256, -15 / 2048, 105 / 16384]
    for number in exact:
        slope = cr.grad(slope)
        assert slope(4.0) == pytest.approx(number, rel=1e-13)


def forward(f):
    return lambda x: cr.jvp(f, (x,), (1.0,))[1]


@pytest.mark.parametrize("outer", [cr.grad, forward])
@pytest.mark.parametrize("inner", [cr.grad, forward])
@pytest.mark.parametrize("solve", [kepler, kepler_by_iteration])
def test_both_modes_in_either_order(outer, inner, solve):
    with mp.workdps(40):

        def anomaly(M):
            return mp.findroot(lambda E: E - mp.mpf(0.3) * mp.sin(E) - M, M)

        first, second = (float(mp.diff(anomaly, mp.mpf(1.2), n)) for n in (1, 2))

    def f(M):
        return solve(M, 0.3)

    assert inner(f)(1.2) == pytest.approx(first, rel=1e-12)
    assert outer(inner(f))(1.2) == pytest.approx(second, rel=1e-11)


def test_a_hessian():
    with mp.workdps(40):

        def anomaly(M, e):
            return mp.findroot(lambda E: E - e * mp.sin(E) - M, M)

        exact = [
            [float(mp.diff(anomaly, (mp.mpf(1.2), mp.mpf(0.3)), orders)) for orders in row]
            for row in (((2, 0), (1, 1)), ((1, 1), (0, 2)))
        ]
    assert cr.hessian(kepler)(1.2, 0.3) == pytest.approx(np.array(exact), rel=1e-11)
    assert cr.hessian(kepler_by_iteration)(1.2, 0.3) == pytest.approx(np.array(exact), rel=1e-11)


def on_circle(a, b):
    """Return the point at squared distance *a* from the origin, on the line x = b y."""
    return cr.root(lambda p: Point(p.x**2 + p.y**2 - a, p.x - b * p.y), Point(1.0, 1.0))


def test_a_system_of_equations():
    point = on_circle(2.0, 1.0)
    assert type(point) is Point
    assert point == pytest.approx((1.0, 1.0), rel=1e-14)
    assert cr.jacobian(on_circle)(2.0, 1.0) == pytest.approx(
        np.array([[0.25, 0.5], [0.25, -0.5]]), rel=1e-13
    )

    def product(a, b):
        return on_circle(a, b).x * on_circle(a, b).y

    def closed(a, b):
        return a * b / (1.0 + b * b)

    for at in ((2.0, 1.0), (3.0, 0.5)):
        assert cr.hessian(product)(*at) == pytest.approx(cr.hessian(closed)(*at), abs=1e-12)


@pytest.mark.parametrize(
    "start", [[1.0, 2.0], (1.0, 2.0), {"u": 1.0, "v": [2.0]}, np.array([1.0, 2.0])]
)
def test_unknowns_in_any_structure(start):
    a = cr.Value(3.0)

    def f(tree):
        if isinstance(tree, dict):
            return {"u": 0.5 * tree["u"] + a, "v": [cr.cos(tree["v"][0]) * 0.1]}
        first, second = tree
        found = [0.5 * first + a, cr.cos(second) * 0.1]
        return type(tree)(found) if isinstance(tree, (list, tuple)) else np.array(found)

    found = cr.fixed_point(f, start)
    assert type(found) is type(start)
    first = found["u"] if isinstance(found, dict) else found[0]
    first.backward()
    assert (first.data, a.grad) == (pytest.approx(6.0, rel=1e-13), 2.0)


def test_a_row_of_unknowns_that_needs_pivots():
    # x0 does not occur in the first equation.
    def f(a, b):
        return cr.root(lambda p: [p[1] - a, p[0] + p[1] - b], [0.0, 0.0])

    assert f(2.0, 5.0) == [3.0, 2.0]
    assert cr.jacobian(f)(2.0, 5.0).tolist() == [[-1.0, 1.0], [1.0, 0.0]]


def test_captured_values_get_gradients_and_one_node_is_drawn():
    a = cr.Value(4.0, "a")
    x = square_root(a)
    assert (x.op, x.parents, x.partials) == ("root", (a,), (0.25,))
    (x * x * a).backward()
    assert a.grad == pytest.approx(8.0, rel=1e-14)  # of a^2
    (slope,) = cr.gradients(x, [a], create_graph=True)
    assert cr.gradients(slope, [a]) == [pytest.approx(-1 / 32, rel=1e-13)]


def test_only_what_has_a_part_in_the_equation_is_a_parent():
    a, b, c = cr.Value(4.0), cr.Value(5.0), cr.Value(6.0)

    def f(x):
        chosen = cr.where(cr.less(x, b), a, c)
        return x * x - cr.sqrt(chosen) * 2.0

    x = cr.root(f, 1.0)
    cr.sum([x]).backward()
    assert x.data == pytest.approx(2.0, rel=1e-14)
    assert a.grad == pytest.approx(0.125, rel=1e-13)
    assert (b.grad, c.grad) == (0.0, 0.0)


def test_the_minimum_of_a_loss_is_differentiated_by_its_data():
    # Where the gradient is 0: of sum (w - y)^2 + l w^2 that is sum y / (n + l).
    def ridge(y, weight):
        def loss(w):
            return cr.sum([cr.square(w - v) for v in y]) + weight * cr.square(w)

        return cr.root(cr.grad(loss), 0.0)

    data, by_weight = cr.grad(ridge, (0, 1))([1.0, 2.0, 6.0], 1.5)
    assert data == pytest.approx([1 / 4.5] * 3, rel=1e-13)
    assert by_weight == pytest.approx(-9.0 / 4.5**2, rel=1e-13)
    assert cr.grad(cr.grad(lambda s: ridge([1.0, 2.0, 6.0], s)))(1.5) == pytest.approx(
        18.0 / 4.5**3, rel=1e-12
    )


def test_a_root_within_a_root():
    def outer(a):  # x + sqrt(x) = a, so sqrt(x) = (-1 + sqrt(1 + 4 a)) / 2
        return cr.root(lambda x: x + cr.root(lambda y: y * y - x, 1.0) - a, 1.5)

    def closed(a):
        return cr.square((cr.sqrt(1.0 + 4.0 * a) - 1.0) / 2.0)

    for _ in range(3):
        assert outer(6.0) == pytest.approx(closed(6.0), rel=1e-11)
        outer, closed = cr.grad(outer), cr.grad(closed)


def test_a_network_that_is_its_own_input():
    model = nn.MLP(2, [2], output_activation="tanh", seed=3)
    for p in model.parameters():
        p.data *= 0.5
    loss = cr.sum(cr.fixed_point(lambda h: model(h), [0.1, 0.1]))
    loss.backward()
    gradient = [p.grad for p in model.parameters()]

    def at(k, h):
        p = model.parameters()[k]
        p.data += h
        found = cr.sum(cr.fixed_point(lambda h: model(h), [0.1, 0.1])).data
        p.data -= h
        return found

    for k, slope in enumerate(gradient):
        difference = (at(k, 1e-4) - at(k, -1e-4)) / 2e-4
        assert slope == pytest.approx(difference, rel=1e-6, abs=1e-9)


def test_what_the_function_makes_is_a_constant():
    nine = lambda: cr.exp(cr.Value(math.log(9.0)))  # noqa: E731
    x = cr.root(lambda x: x * x - nine(), 1.0)
    assert type(x) is float
    assert x == pytest.approx(3.0, rel=1e-15)
    a = cr.Value(1.0)
    x = cr.root(lambda x: x * x - a * nine(), 1.0)
    x.backward()
    assert a.grad == pytest.approx(1.5, rel=1e-14)


def test_copies_and_pickles_are_graphs_of_their_own():
    a = cr.Value(4.0)
    x = square_root(a) * 3.0
    for again in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        leaf = again.parents[0].parents[0]
        assert leaf is not a
        again.backward()
        assert leaf.grad == 0.75
        (slope,) = cr.gradients(again, [leaf], create_graph=True)
        assert cr.gradients(slope, [leaf]) == [pytest.approx(-3 / 32, rel=1e-13)]


def test_a_dropped_graph_is_freed_at_once():
    a = cr.Value(4.0)
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(20):
            x = square_root(a)
            x.backward()
            (slope,) = cr.gradients(x, [a], create_graph=True)
            del x, slope
        assert len(gc.get_objects()) - before < 60
    finally:
        gc.enable()


def test_no_graph_is_made_in_no_grad():
    a = cr.Value(4.0)
    with cr.no_grad():
        x = square_root(a)
    assert (x.data, x.parents) == (2.0, ())


def test_a_double_root_has_an_infinite_derivative():
    a = cr.Value(0.0)
    square_root(a).backward()
    assert abs(a.grad) > 1e11


def test_a_newton_step_that_overshoots_is_halved():
    assert cr.root(cr.atan, 5.0) == pytest.approx(0.0, abs=1e-12)


def test_slow_and_fast_contractions():
    for rate in (0.01, 0.5, 0.95, -0.95):

        def f(c, q=rate):
            return cr.fixed_point(lambda x: q * x + c, 0.0)

        assert f(1.0) == pytest.approx(1.0 / (1.0 - rate), rel=1e-12)
        assert cr.grad(f)(1.0) == pytest.approx(1.0 / (1.0 - rate), rel=1e-15)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: cr.root(3, 1.0), TypeError, "root: f must be a function"),
        (lambda: cr.root(lambda x: x, "1"), TypeError, "root: start: str"),
        (lambda: cr.root(lambda x: x, []), ValueError, "start holds no number, but a list of 0"),
        (lambda: cr.root(lambda x: [x, x], 1.0), ValueError, "gives 2 numbers; expected 1"),
        (lambda: cr.root(lambda x: None, 1.0), TypeError, r"root: f\(x\): NoneType .*return"),
        (lambda: cr.root(lambda x: x, 1.0, limit=0), ValueError, "limit is 0: expected 1 or more"),
        (lambda: cr.root(lambda x: x, 1.0, tolerance=-1.0), ValueError, "tolerance is -1.0"),
        (lambda: cr.root(lambda x: x * x + 1.0, 3.0), RuntimeError, "root: .*start elsewhere"),
        (lambda: cr.root(lambda x: cr.cos(x), 0.0), RuntimeError, "divided by at 0, .* 0 "),
        (lambda: cr.root(cr.log, -1.0), RuntimeError, "root: f is nan at -1, after 0 steps"),
        (lambda: cr.root(lambda x: x**3 - 8.0, 1e3, limit=2), RuntimeError, "in 2 steps; .*limit="),
        (
            lambda: cr.root(lambda p: [p[0] + p[1], p[0] + p[1] - 1.0], [0.0, 0.0]),
            RuntimeError,
            r"cannot be divided by at \[0, 0\]",
        ),
        (lambda: cr.fixed_point(2.0, 1.0), TypeError, "fixed_point: f must be a function"),
        (lambda: cr.fixed_point(lambda x: [x], 1.0), ValueError, r"f\(x\) is a list of 1"),
        (lambda: cr.fixed_point(lambda x: 2.0 * x, 1.0), RuntimeError, r"step 1023 .* inf"),
        (
            lambda: cr.fixed_point(lambda x: -x, 1.0, limit=9),
            RuntimeError,
            "fixed_point: not found in 9 steps; the last led to -1, by 2; .*cr.root",
        ),
        (lambda: cr.fixed_point(lambda x: math.nan, 1.0), RuntimeError, "from 1 to nan"),
    ],
)  # fmt: skip
def test_errors_say_what_happened_where(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_an_interrupt_ends_the_search():
    def f(x):
        raise KeyboardInterrupt

    for solve in (cr.root, cr.fixed_point):
        with pytest.raises(KeyboardInterrupt):
            solve(f, 1.0)


# --- in compiled functions ------------------------------------------------------------------------

A = [1.0, 4.0, 9.0]


def cube_root(a, w):
    return cr.root(lambda x: x * x * x - a * w, 1.0)


def line_and_parabola(a, w):
    x, y = cr.root(lambda p: [p[0] * p[0] + p[1] - a, p[0] - p[1] * w], [a, 1.0])
    return x * cr.sin(y)


def of_a_branch(a, w):
    return cr.root(lambda x: cr.where(cr.less(a, 2.0), x - a * w, x * x - a), 1.5)


def contraction(a, w):
    return cr.fixed_point(lambda x: w * cr.cos(x) / a, 0.5)


def within_a_scan(a, w):
    step = lambda c, _: (cr.root(lambda x: x - c - 0.1 * w * cr.sin(x), c), None)  # noqa: E731
    return cr.scan(step, a, length=9)[0]


SEARCHES = [cube_root, line_and_parabola, of_a_branch, contraction, within_a_scan]


@pytest.mark.parametrize("f", SEARCHES, ids=lambda f: f.__name__)
def test_a_compiled_function_searches_for_each_example(f):
    w = cr.Value(0.8)
    compiled = cr.compile(lambda a: f(a, w))
    for batch in (A, A[::-1], A[1:2], A * 4):
        assert compiled(batch) == pytest.approx([f(a, w.data) for a in batch], rel=1e-11)
        _, (slope,) = compiled.value_and_grad(batch)
        slopes = [cr.grad(f, 1)(a, w.data) for a in batch]
        assert slope == pytest.approx(np.mean(slopes), rel=1e-9)
        by_a = [cr.grad(f)(a, w.data) for a in batch]
        assert compiled.jacobian(batch) == pytest.approx(by_a, rel=1e-9)
        w.data *= 0.9
    assert pickle.loads(pickle.dumps(compiled))(A) == pytest.approx(compiled(A), rel=1e-12)


def test_second_derivatives_of_a_compiled_search():
    compiled = cr.compile(lambda a: cube_root(a, 2.0))
    curvatures = [cr.grad(cr.grad(lambda a: cube_root(a, 2.0)))(a) for a in A]
    assert compiled.hessian(A) == pytest.approx(curvatures, rel=1e-9)
    within = cr.compile(lambda a: cr.grad(lambda b: cube_root(b, 2.0))(a))
    assert within(A) == pytest.approx([(2.0 * a) ** (-2 / 3) * 2 / 3 for a in A], rel=1e-11)


def in_closed_form(a, w):
    y = (cr.sqrt(1.0 + 4.0 * w * w * a) - 1.0) / (2.0 * w * w)
    return w * y * cr.sin(y)


def along_a_branch(a, w):
    x, y = cr.root(lambda p: [p[0] - cr.where(cr.less(a, 2.0), w * a, a * a), p[1] - p[0]], [a, a])
    return x * y


@pytest.mark.parametrize("by", [0, 1])
def test_transforms_of_several_unknowns_inside_a_compiled_function(by):
    f, exact, w = line_and_parabola, in_closed_form, cr.Value(0.8)
    for _ in range(3):
        f, exact = cr.grad(f, by), cr.grad(exact, by)
        compiled = cr.compile(lambda a, f=f: f(a, w))
        assert compiled(A) == pytest.approx([exact(a, 0.8) for a in A], rel=1e-8)
        slopes = [cr.grad(exact)(a, 0.8) for a in A]
        assert compiled.jacobian(A) == pytest.approx(slopes, rel=1e-8)
        assert compiled.value_and_grad(A)[1] == pytest.approx(
            [np.mean([cr.grad(exact, 1)(a, 0.8) for a in A])], rel=1e-8
        )
    assert pickle.loads(pickle.dumps(compiled))(A) == pytest.approx(compiled(A), rel=1e-12)
    chosen = cr.compile(lambda a: cr.grad(along_a_branch)(a, 0.8))
    assert chosen(A) == pytest.approx([2 * 0.64 * 1.0, 4 * 4.0**3, 4 * 9.0**3], rel=1e-12)


STEPS, SHARE = 20, 0.9


def filled(a, inflow):
    """Return what is left of *a* after STEPS steps: SHARE of what there was, and the *inflow*."""
    return cr.scan(lambda level, _: (SHARE * level + inflow, None), a, length=STEPS)[0]


def filled_while(a, inflow):
    def step(state):
        return state[0] + 1.0, SHARE * state[1] + inflow

    going = lambda state: cr.less(state[0], float(STEPS))  # noqa: E731
    return cr.while_loop(going, step, (0.0, a), limit=STEPS)[1]


@pytest.mark.parametrize("loop", [filled, filled_while])
def test_a_compiled_search_among_the_results_of_a_long_loop(loop, monkeypatch):
    """The loop is a part of the equation, and cannot be one of the program around it."""
    monkeypatch.setattr(bodies, "LEAST_WORK", 1)
    left = SHARE**STEPS
    full = (1.0 - left) / (1.0 - SHARE)
    emptied = cr.compile(lambda a: cr.root(lambda v: loop(a, v), 0.5))
    balanced = cr.compile(lambda a: cr.fixed_point(lambda v: 0.05 * loop(a, v), 0.5))
    for compiled, slope in (emptied, -left / full), (balanced, 0.05 * left / (1 - 0.05 * full)):
        assert compiled(A) == pytest.approx([slope * a for a in A], rel=1e-10)
        assert compiled.jacobian(A) == pytest.approx([slope for _ in A], rel=1e-10)
        assert compiled.jacobian(A, mode="forward") == pytest.approx([slope for _ in A], rel=1e-10)


def test_what_an_equation_demands_of_the_data_is_tested_at_the_solution():
    """The loop in it takes five steps at most: enough where the search starts, or ends, or not."""

    def counted(x):
        going = lambda k: cr.less(k, x)  # noqa: E731
        return cr.while_loop(going, lambda k: k + 1.0, 0.0, limit=5)

    compiled = cr.compile(lambda a: cr.root(lambda x: x - a + 0.0 * counted(x), 0.5))
    assert compiled([1.5, 4.5]) == pytest.approx([1.5, 4.5])
    with pytest.raises(RuntimeError, match=r"example 1: while_loop: .* after 5 passes"):
        compiled([1.5, 5.5])
    started = cr.compile(lambda a: cr.root(lambda x: x - 1.5 + 0.0 * counted(x), a))
    assert started([9.0, 0.5]) == pytest.approx([1.5, 1.5])


def test_a_compiled_search_that_fails_says_where():
    compiled = cr.compile(lambda a: cr.root(lambda x: x * x + a, 1.0))
    assert compiled([-4.0]) == pytest.approx([2.0])
    with pytest.raises(RuntimeError, match=r"root: .* start elsewhere"):
        compiled([-4.0, 1.0])
