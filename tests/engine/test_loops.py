"""``scan`` and ``while_loop``: the numbers of the loop written out, and errors that say where."""

import math
import pickle
from collections import namedtuple

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine import bodies

State = namedtuple("State", "position velocity")
STEPS = 25


def swing(length, damping, kick):
    """Return the step of a pendulum that is kicked."""

    def step(state, push):
        angle, speed = state
        speed = speed - 0.1 * (cr.sin(angle) / length + damping * speed) + kick * push
        angle = angle + 0.1 * speed
        return (angle, speed), cr.square(angle)

    return step


def pushes(n=STEPS):
    return [math.sin(k) for k in range(n)]


def by_scan(length, damping, kick, start):
    (angle, speed), squares = cr.scan(swing(length, damping, kick), (start, 0.0), pushes())
    return angle * speed + cr.sum(squares)


def by_loop(length, damping, kick, start):
    step, state, squares = swing(length, damping, kick), (start, 0.0), []
    for push in pushes():
        state, square = step(state, push)
        squares.append(square)
    return state[0] * state[1] + cr.sum(squares)


POINT = (1.3, 0.2, 0.05, 0.7)


def test_a_scan_is_the_loop_written_out_to_the_last_bit():
    assert by_scan(*POINT) == by_loop(*POINT)
    assert cr.value_and_grad(by_scan, (0, 1, 2, 3))(*POINT) == cr.value_and_grad(
        by_loop, (0, 1, 2, 3)
    )(*POINT)
    assert np.array_equal(cr.hessian(by_scan)(*POINT), cr.hessian(by_loop)(*POINT))
    direction = (1.0, -2.0, 0.5, 0.25)
    assert cr.jvp(by_scan, POINT, direction) == cr.jvp(by_loop, POINT, direction)
    assert cr.hvp(by_scan, POINT, direction) == cr.hvp(by_loop, POINT, direction)


def test_captured_parameters_get_their_gradient():
    length, damping = cr.Value(1.3), cr.Value(0.2)
    by_scan(length, damping, 0.05, 0.7).backward()
    again = [cr.Value(1.3), cr.Value(0.2)]
    by_loop(*again, 0.05, 0.7).backward()
    assert (length.grad, damping.grad) == tuple(v.grad for v in again)


def test_a_closed_form():
    # x -> r x, n times: r^n, and its derivatives.
    def power(r):
        return cr.scan(lambda x, _: (x * r, None), 1.0, length=10)[0]

    assert power(2.0) == 1024.0
    assert cr.grad(power)(2.0) == 5120.0
    assert cr.grad(cr.grad(power))(2.0) == 23040.0


def test_scans_inside_scans():
    def row(total, k):
        def entry(inner, j):
            return inner + k * j, inner

        inner, partial = cr.scan(entry, total, [1.0, 2.0, 3.0])
        return inner, partial

    last, table = cr.scan(row, 0.0, [1.0, 10.0])
    assert last == 66.0
    assert table == [[0.0, 1.0, 3.0], [6.0, 16.0, 36.0]]
    assert cr.grad(lambda a: cr.scan(row, a, [1.0, 10.0])[0] * a)(2.0) == 70.0


@pytest.mark.parametrize(
    ("xs", "seen"),
    [
        ([1.0, 2.0], [1.0, 2.0]),
        (range(2), [0, 1]),
        (np.array([1.0, 2.0]), [1.0, 2.0]),
        (([1.0, 2.0], [3.0, 4.0]), [(1.0, 3.0), (2.0, 4.0)]),
        ([(1.0, 3.0), (2.0, 4.0)], [(1.0, 3.0), (2.0, 4.0)]),
        (State([1.0, 2.0], [3.0, 4.0]), [State(1.0, 3.0), State(2.0, 4.0)]),
        ({"t": [1.0, 2.0], "u": ([3.0, 4.0],)}, [{"t": 1.0, "u": (3.0,)}, {"t": 2.0, "u": (4.0,)}]),
        (([1.0, 2.0], None), [(1.0, None), (2.0, None)]),
    ],
)
def test_what_comes_in_at_each_step(xs, seen):
    came = []
    cr.scan(lambda _, x: (came.append(x), None), None, xs)
    assert came == seen
    assert list(map(type, came)) == list(map(type, seen))


def test_a_matrix_comes_in_row_by_row():
    last, rows = cr.scan(lambda total, row: (total + row, 2.0 * row), np.zeros(3), np.ones((4, 3)))
    assert last.tolist() == [4.0] * 3
    assert rows.tolist() == [[2.0] * 3] * 4


@pytest.mark.parametrize(
    ("out", "together"),
    [
        (lambda k: None, None),
        (lambda k: k, [0, 1]),
        (lambda k: [k, -k], [[0, 0], [1, -1]]),
        (lambda k: (k, [k]), ([0, 1], [[0], [1]])),
        (lambda k: State(k, None), State([0, 1], None)),
        (lambda k: {"a": k, "b": (k, k)}, {"a": [0, 1], "b": ([0, 1], [0, 1])}),
    ],
)
def test_what_goes_out_is_put_together(out, together):
    _, found = cr.scan(lambda _, k: (None, out(k)), None, range(2))
    assert found == together
    assert type(found) is type(together)


def test_arrays_of_values_go_out_as_one_array():
    x = cr.Value(2.0)
    _, table = cr.scan(lambda c, k: (c, np.array([x * k, x])), 0.0, [1.0, 2.0])
    assert table.shape == (2, 2)
    assert table[1, 0].data == 4.0
    cr.sum(table).backward()
    assert x.grad == 5.0


def test_the_state_may_be_any_tree():
    start = {"p": np.array([1.0, 2.0]), "q": [State(3.0, (4.0,))], "none": None}

    def step(tree, k):
        position, velocity = tree["q"][0]
        q = [State(position + velocity[0], velocity)]
        return {"q": q, "none": None, "p": tree["p"] * cr.Value(2.0)}, None

    last, _ = cr.scan(step, start, length=3)
    assert [v.data for v in last["p"]] == [8.0, 16.0]
    assert last["q"] == [State(15.0, (4.0,))]


def test_nan_and_infinities_pass_through():
    last, each = cr.scan(lambda x, y: (x + y, x), math.inf, [1.0, -math.inf, 0.0])
    assert math.isnan(last)
    assert each[:2] == [math.inf, math.inf]
    assert math.isnan(each[2])


def test_detect_anomaly_says_in_which_step():
    w = cr.Value(1.0)
    with cr.detect_anomaly():
        with pytest.raises(cr.AnomalyError, match=r"log\(0.0\) = -inf.*; in step 1 of a scan"):
            cr.scan(lambda x, _: (cr.log(x), None), w, length=3)
        with pytest.raises(cr.AnomalyError, match=r"step 2 .* made carry\['v'\] nan"):
            cr.scan(lambda c, x: ({"v": c["v"] * x}, None), {"v": 1.0}, [1.0, 1.0, math.nan])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3, 0.0, [1.0]), TypeError, "step must be a function"),
        ((lambda c, x: (c, x), 0.0), TypeError, "how many steps"),
        ((lambda c, x: (c, x), 0.0, []), ValueError, "xs has no entries.*never be called"),
        ((lambda c, x: (c, x), 0.0, None, 0), ValueError, "length is 0"),
        ((lambda c, x: (c, x), 0.0, None, -2), ValueError, "length is -2"),
        ((lambda c, x: (c, x), 0.0, None, 2.5), TypeError, "scan: length is 2.5: expected an int"),
        (
            (lambda c, x: (c, x), 0.0, ([1.0], {"u": [1.0, 2.0]})),
            ValueError,
            r"lengths differ: xs\[0\] 1, xs\[1\]\['u'\] 2",
        ),
        ((lambda c, x: (c, x), 0.0, [1.0], 2), ValueError, "lengths differ: xs 1, length 2"),
        ((lambda c, x: (c, x), 0.0, (1.0, 2.0)), TypeError, r"xs\[0\] is a number; expected"),
        ((lambda c, x: (c, x), 0.0, (x for x in [1.0])), TypeError, "xs is generator"),
        ((lambda c, x: (c, x), 0.0, 3.0), TypeError, "xs is a number"),
        ((lambda c, x: (c, x), "0", [1.0]), TypeError, "the carry holds str: expected numbers"),
        ((lambda c, x: (c, x), [0.0, 1j], [1.0]), TypeError, r"the carry holds complex at \[1\]"),
        ((lambda c, x: c, 0.0, [1.0]), TypeError, "must return a pair.*not a number"),
        ((lambda c, x: State(c, x), 0.0, [1.0]), TypeError, "must return a pair.*a State of 2"),
        ((lambda c, x: (c, "x"), 0.0, [1.0]), TypeError, "gives out, holds str"),
        ((lambda c, x: (None, x), 0.0, [1.0]), ValueError, "step 0 .* carry is None, not a number"),
        (
            (lambda c, x: ([*c, x], x), [0.0], [1.0]),
            ValueError,
            "step 0 .* changed the structure of the carry: carry is a list of 2, not a list of 1",
        ),
        (
            (lambda c, x: ({"v": (c["v"],) if x else c["v"]}, x), {"v": 1.0}, [0.0, 1.0]),
            ValueError,
            r"step 1 .* carry\['v'\] is a tuple of 1, not a number",
        ),
        (
            (lambda c, x: (np.zeros((2, 1)), x), np.zeros((1, 2)), [0.0]),
            ValueError,
            r"an array of shape \(2, 1\), not an array of shape \(1, 2\)",
        ),
        (
            (lambda c, x: ({"w": 1.0}, x), {"v": 1.0}, [0.0]),
            ValueError,
            "a dict of 'w', not a dict of 'v'",
        ),
        (
            (lambda c, x: (c, [x] * int(x)), 0.0, [1.0, 2.0]),
            ValueError,
            "step 1 .* gave out something other .*: y is a list of 2, not a list of 1",
        ),
    ],
)  # fmt: skip
def test_errors_say_what_and_where(arguments, error, message):
    with pytest.raises(error, match=message):
        cr.scan(*arguments)


def test_an_interrupt_ends_a_loop():
    def step(x, k):
        if k == 3:
            raise KeyboardInterrupt
        return x, None

    with pytest.raises(KeyboardInterrupt):
        cr.scan(step, 0.0, range(10))


def test_no_graph_is_made_in_no_grad():
    w = cr.Value(2.0)
    with cr.no_grad():
        last, _ = cr.scan(lambda x, _: (x * w, None), 1.0, length=5)
    assert last.data == 32.0
    assert last.parents == ()


# --- while_loop ---------------------------------------------------------------------------------


def test_newton_by_a_while_loop():
    def root(a):
        def far(pair):
            return cr.abs(pair[0] - pair[1]) > 1e-12

        def better(pair):
            return (0.5 * (pair[0] + a / pair[0]), pair[0])

        return cr.while_loop(far, better, (a, 0.0))[0]

    assert root(2.0) == pytest.approx(math.sqrt(2.0), rel=1e-15)
    assert cr.grad(root)(2.0) == pytest.approx(0.5 / math.sqrt(2.0), rel=1e-14)
    assert cr.grad(cr.grad(root))(2.0) == pytest.approx(-0.25 / 2.0**1.5, rel=1e-13)
    assert cr.jvp(root, (2.0,), (1.0,))[1] == pytest.approx(0.5 / math.sqrt(2.0), rel=1e-14)


def test_a_condition_may_be_a_value():
    x = cr.Value(1.0)
    doubled = cr.while_loop(lambda v: cr.less(v, 10.0), lambda v: 2.0 * v, x)
    doubled.backward()
    assert (doubled.data, x.grad) == (16.0, 16.0)


def test_a_loop_whose_condition_never_holds_gives_back_what_it_got():
    x = cr.Value(1.0)
    assert cr.while_loop(lambda v: False, lambda v: 2.0 * v, x) is x


def test_a_loop_that_never_ends_is_told():
    with pytest.raises(RuntimeError, match=r"still holds after 50 passes, with 51.0; .*limit="):
        cr.while_loop(lambda x: x > 0.0, lambda x: x + 1.0, 1.0, limit=50)
    with pytest.raises(RuntimeError, match=r"with \[nan, 3\]; carry\['x'\] is nan"):
        cr.while_loop(
            lambda c: not c["x"] < 1.0,
            lambda c: {"x": c["x"] - c["x"], "k": c["k"]},
            {"x": math.inf, "k": 3},
            limit=5,
        )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((True, lambda x: x, 1.0), TypeError, "condition must be a function"),
        ((lambda x: x < 3.0, 1.0, 1.0), TypeError, "body must be a function"),
        ((lambda x: True, lambda x: [x], 1.0), ValueError, "pass 0 .* carry is a list of 1"),
        ((lambda x: True, lambda x: x, "1"), TypeError, "the carry holds str"),
    ],
)
def test_errors_of_a_while_loop(arguments, error, message):
    with pytest.raises(error, match=message):
        cr.while_loop(*arguments)


# --- compiled -----------------------------------------------------------------------------------


def test_a_compiled_scan_has_the_numbers_of_the_engine():
    length, damping = cr.Value(1.3), cr.Value(0.2)

    def cost(start, pushes):
        (angle, speed), squares = cr.scan(swing(length, damping, 0.05), (start, 0.0), pushes)
        return angle * speed + cr.sum(squares)

    starts, given = np.array([0.7, -0.2, 0.0]), np.sin(np.arange(3.0 * STEPS)).reshape(3, -1)
    compiled = cr.compile(cost)
    value, gradient = compiled.value_and_grad(starts, given)
    for v in (length, damping):
        v.grad = 0.0
    costs = [cost(start, list(row)) for start, row in zip(starts, given, strict=True)]
    total = cr.mean(costs)
    total.backward()
    assert compiled(starts, given) == pytest.approx([c.data for c in costs], rel=1e-13)
    assert value == pytest.approx(total.data, rel=1e-13)
    assert gradient == pytest.approx([length.grad, damping.grad], rel=1e-12)


def test_a_transform_of_a_scan_compiles():
    slope = cr.grad(lambda r: cr.scan(lambda x, _: (x * cr.sin(r * x), x), r, length=6)[0])
    compiled = cr.compile(slope)
    points = [0.3, 1.1, 2.0]
    assert compiled(points) == pytest.approx([slope(x) for x in points], rel=1e-12)


def test_a_compiled_while_loop_has_to_have_a_limit_and_a_condition_that_is_a_value():
    double = lambda x: 2.0 * x  # noqa: E731
    for condition, limit in (
        (lambda x: x < 10.0, 20), (lambda x: cr.less(x, 10.0), None),
        (lambda x: cr.less(x, 10.0), 1_000_000),
    ):  # fmt: skip
        with pytest.raises(cr.TraceError, match=r"while_loop: .*limit=.*cr\.less"):
            cr.compile(lambda x, c=condition, n=limit: cr.while_loop(c, double, x, n))([1.0])


@pytest.mark.parametrize("least", [1, 20_000], ids=["loop", "written out"])
def test_a_compiled_while_loop_ends_for_each_example_on_its_own(least, monkeypatch):
    monkeypatch.setattr(bodies, "LEAST_WORK", least)
    w = cr.Value(2.0)

    def search(a):
        def better(s):
            return {"x": (s["x"] + w * a / s["x"]) / 2.0, "k": s["k"] + 1.0}

        far = lambda s: cr.less(1e-12, cr.abs(s["x"] * s["x"] - w * a))  # noqa: E731
        return cr.while_loop(far, better, {"x": a, "k": 0.0}, limit=30)

    given = [1.0, 2.0, 300.0, math.inf, math.nan]
    assert cr.compile(lambda a: search(a)["k"])(given).tolist() == [search(a)["k"] for a in given]
    roots = cr.compile(lambda a: search(a)["x"])
    found = [getattr(search(a)["x"], "data", search(a)["x"]) for a in given]
    assert roots(given) == pytest.approx(found, rel=1e-14, nan_ok=True)
    value, slopes = roots.value_and_grad(given[:3])
    mean = cr.mean([search(a)["x"] for a in given[:3]])
    w.grad = 0.0
    mean.backward()
    assert value == pytest.approx(mean.data, rel=1e-14)
    assert slopes == pytest.approx([w.grad], rel=1e-13)
    with pytest.raises(RuntimeError, match=r"example 1: .* still holds after 30 passes"):
        roots([1.0, -1.0])


@pytest.mark.parametrize("least", [1, 20_000], ids=["loop", "written out"])
def test_a_condition_may_become_a_value_after_some_passes(least, monkeypatch):
    """What is counted are plain numbers at first, and hangs on the input from the first pass on."""
    monkeypatch.setattr(bodies, "LEAST_WORK", least)

    def grown(x):
        return cr.while_loop(
            lambda s: cr.less(s[0], 2.0), lambda s: (s[0] + x, 1.5 * s[1] * x), (0.0, 1.0), limit=10
        )[1]

    compiled = cr.compile(grown)
    given, passes = [0.25, 0.7, 1.5], [8, 3, 2]
    exact = [(1.5 * x) ** n for x, n in zip(given, passes, strict=True)]
    assert compiled(given) == pytest.approx(exact, rel=1e-14)
    slopes = [n * y / x for x, y, n in zip(given, exact, passes, strict=True)]
    assert compiled.jacobian(given) == pytest.approx(slopes, rel=1e-13)
    assert compiled([0.21]) == pytest.approx([0.315**10], rel=1e-13)  # ten passes
    with pytest.raises(RuntimeError, match=r"example 1: .* still holds after 10 passes"):
        compiled([0.25, 0.19])


def test_a_compiled_while_loop_of_no_step():
    compiled = cr.compile(lambda x: cr.while_loop(lambda v: cr.less(v, 1.0), cr.exp, x, limit=0))
    assert compiled([1.0, 2.0]).tolist() == [1.0, 2.0]
    with pytest.raises(RuntimeError, match=r"example 1: .* after 0 passes, with 0\.5"):
        compiled([1.0, 0.5])


# --- segments -------------------------------------------------------------------------------------


def swinging(checkpoint, steps=23):
    def angle(length, start, push):
        def step(state, u):
            angle, speed, idle = state
            speed = speed - 0.1 * cr.sin(angle) / length + 0.05 * u * push
            return (angle + 0.1 * speed, speed, idle), (cr.square(angle), length)

        us = [push * k for k in range(steps)]
        last, (squares, lengths) = cr.scan(step, (start, 0.0, push), us, checkpoint=checkpoint)
        return last[0] * last[2] + cr.mean(squares) + lengths[3]

    return angle


@pytest.mark.parametrize("find", [cr.root, cr.fixed_point])
def test_an_equation_over_segments_has_every_derivative(find):
    def solution(a, b, **options):
        def equation(x):
            step = lambda s, _: (0.5 * s + 0.1 * cr.sin(a * s) + 0.2 * x * b, None)  # noqa: E731
            last = cr.scan(step, x, length=9, **options)[0]
            return last - a if find is cr.root else last

        return find(equation, 0.3)

    for of in (cr.jacobian, cr.hessian):
        found, expected = (of(lambda *ab, k=k: solution(*ab, **k))(0.7, 1.1) for k in CUT_AND_NOT)
        assert found == pytest.approx(expected, rel=1e-9)
    thirds = [cr.grad(cr.grad(cr.grad(lambda a, k=k: solution(a, 1.1, **k)))) for k in CUT_AND_NOT]
    assert thirds[0](0.7) == pytest.approx(thirds[1](0.7), rel=1e-8)


def test_a_graph_with_segments_computes_them_at_other_numbers():
    w, v = cr.Value(0.7), cr.Value(0.2)
    node = cr.scan(lambda x, _: (cr.sin(x * w) + v, None), w * v, length=6, checkpoint=2)[0]
    assert node.primitive(*[x.data for x in node.operands]) == node.data
    compiled = cr.compile(node)
    w.data, v.data = -0.4, 1.3
    state = w.data * v.data
    for _ in range(6):
        state = math.sin(state * w.data) + v.data
    assert compiled() == pytest.approx(state, rel=1e-14)


CUT_AND_NOT = ({"checkpoint": 4}, {})


@pytest.mark.parametrize("every", [1, 2, 5, 22, 23, 100])
def test_segments_have_the_derivatives_of_the_steps(every):
    point = 1.3, 0.4, 0.2
    plain, cut = swinging(None), swinging(every)
    assert cut(*point) == plain(*point)
    for of in (cr.jacobian, cr.hessian):
        found, expected = of(cut)(*point), of(plain)(*point)
        assert np.array(found) == pytest.approx(np.array(expected), rel=1e-12)
    value, tangent = cr.jvp(cut, point, (1.0, 0.5, -2.0))
    assert (value, tangent) == pytest.approx(cr.jvp(plain, point, (1.0, 0.5, -2.0)), rel=1e-13)
    third = [cr.grad(cr.grad(cr.grad(lambda x, f=f: f(x, 0.4, 0.2))))(1.3) for f in (cut, plain)]
    assert third[0] == pytest.approx(third[1], rel=1e-11)


def test_segments_leave_few_nodes():
    rate = cr.Value(0.1)

    def nodes(**options):
        last, _ = cr.scan(lambda x, _: (x + rate * cr.sin(x), None), 0.5, length=1000, **options)
        seen, waiting = {last}, [last]
        while waiting:
            for parent in waiting.pop().parents:
                if parent not in seen:
                    seen.add(parent)
                    waiting.append(parent)
        rate.grad = 0.0
        last.backward()
        return len(seen), last.data, rate.grad

    many, value, slope = nodes()
    few, *found = nodes(checkpoint=40)
    assert (many, few) == (3000, 26)
    assert found == pytest.approx([value, slope], rel=1e-12)


def test_a_captured_value_below_another_gets_its_own_part():
    w = cr.Value(0.7)
    v = w * w

    def last(**options):
        return cr.scan(lambda x, _: (cr.sin(x * w) + v, None), w, length=12, **options)[0]

    slopes = []
    for options in ({}, {"checkpoint": 5}):
        w.grad = 0.0
        last(**options).backward()
        slopes.append(w.grad)
    assert slopes[1] == pytest.approx(slopes[0], rel=1e-13)


def test_what_reaches_nothing_has_no_derivative_in_segments():
    def cost(x, **options):
        step = lambda c, _: ((c[0] * x, cr.sqrt(c[1] * 0.0)), c[0])  # noqa: E731
        return cr.sum(cr.scan(step, (1.0, x), length=9, **options)[1])

    assert cr.grad(lambda x: cost(x, checkpoint=4))(2.0) == cr.grad(cost)(2.0)


def test_segments_count_their_steps_from_the_beginning():
    def changes(c, k):
        return ([c, c] if k == 7 else c), None

    with pytest.raises(ValueError, match=r"step 7 .* changed the structure of the carry"):
        cr.scan(changes, cr.Value(1.0), range(9), checkpoint=3)
    with pytest.raises(ValueError, match=r"step 7 .* gave out something other"):
        cr.scan(lambda c, k: (c, [c] if k == 7 else c), cr.Value(1.0), range(9), checkpoint=3)
    for wrong in (0, -2, 2.5, "all"):
        with pytest.raises(ValueError, match="checkpoint="):
            cr.scan(lambda c, _: (c, None), 1.0, length=3, checkpoint=wrong)
    last, _ = cr.scan(lambda c, _: (c * cr.Value(2.0), None), math.nan, length=9, checkpoint=4)
    assert math.isnan(last if isinstance(last, float) else last.data)
    w = cr.Value(2.0)
    node = cr.scan(lambda c, _: (c * w, None), 1.0, length=9, checkpoint=4)[0]
    with pytest.raises(TypeError, match="neither pickled nor loaded"):
        pickle.dumps(node)


def test_plain_numbers_stay_plain_in_segments():
    last, ys = cr.scan(lambda c, x: (c + x, c), 1.0, [1.0, 2.0, 3.0], checkpoint=2)
    assert (last, ys) == (7.0, [1.0, 2.0, 4.0])
