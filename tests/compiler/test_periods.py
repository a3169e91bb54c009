"""Loops of Python: their period is found, and their numbers are the engine's."""

import math
import pickle
import random

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.compiler import loops, periods, rolling, tape
from chainrule.compiler.loops import Looped
from chainrule.engine import bodies

STEPS = 40
X = np.array([0.7, 0.4, -0.3])
XS = np.array([[math.sin(1.3 * k + 2.0 * m) for k in range(STEPS)] for m in range(3)])


@pytest.fixture(autouse=True)
def _short_loops_too(monkeypatch):
    monkeypatch.setattr(bodies, "LEAST_WORK", 1)
    monkeypatch.setattr(loops, "MANY_GROUPS", 25)


def runs_of(compiled):
    """Return (steps, nodes) of each loop that was found."""
    recorded = compiled._recorded()
    if not isinstance(recorded, Looped):
        return []
    return [(loop.count, len(loop.body.nodes)) for loop in recorded.program.loops]


def assert_agrees(captured, cost, x=X, xs=XS):
    """Compare with the engine, example by example; return the compiled function."""
    compiled = cr.compile(cost, wrt=captured)
    found = compiled(x, xs)
    slopes, values = np.zeros(len(captured)), []
    for one, several in zip(x.tolist(), xs.tolist(), strict=True):
        y = cost(cr.Value(one), [*map(cr.Value, several)])  # inside transforms, only Values link
        values.append(y.data)
        slopes += cr.gradients(y, captured)
    np.testing.assert_allclose(found, values, rtol=1e-12, atol=1e-15)
    mean, gradient = compiled.value_and_grad(x, xs)
    assert mean == pytest.approx(np.mean(values), rel=1e-12)
    np.testing.assert_allclose(gradient, slopes / len(x), rtol=1e-11, atol=1e-14)
    return compiled


# --- what is a loop ------------------------------------------------------------------------------


def recurrence(step, start=lambda x: x, after=lambda x, seen: x):
    """Return captured leaves and a function that takes *step* STEPS times."""
    w, v = cr.Value(0.8, "w"), cr.Value(0.3, "v")

    def cost(x, xs):
        state, seen = start(x), []
        for k in range(STEPS):
            state = step(k, state, xs, w, v, seen)
            seen.append(state)
        return after(state, seen)

    return [w, v], cost


def plain(k, x, xs, w, v, seen):
    return w * cr.sin(x) + v


def drive(k, x, xs, w, v, seen):
    return w * cr.sin(x) + v * xs[k]


def test_a_recurrence_is_a_loop():
    compiled = assert_agrees(*recurrence(plain))
    assert runs_of(compiled) == [(STEPS, 3)]
    assert compiled.stats["way"] == f"found a period: {STEPS} steps of 3 nodes"
    assert compiled.explain().startswith("Loops\n  40 steps; 1 numbers are carried")
    assert "for k in range(40)" in compiled.source


@pytest.mark.parametrize("order", [lambda k: k, lambda k: STEPS - 1 - k, lambda k: 7 * k % STEPS])
def test_inputs_come_in_in_any_order(order):
    step = lambda k, x, xs, w, v, seen: w * cr.sin(x) + v * xs[order(k)]  # noqa: E731
    ((count, _),) = runs_of(assert_agrees(*recurrence(step)))
    assert count >= STEPS - 1


def test_numbers_and_parameters_come_in():
    ws = [cr.Value(0.1 * k - 1.0) for k in range(STEPS)]

    def cost(x, xs):
        for k in range(STEPS):
            x = cr.tanh(x * ws[k]) + 0.01 * k * ws[-1 - k]
        return x

    ((count, _),) = runs_of(assert_agrees(ws, cost))
    assert count > STEPS - 3


def test_a_constant_that_differs_once_comes_in():
    step = lambda k, x, xs, w, v, seen: w * cr.sin(x + (2.0 if k == 17 else 1.0)) + v  # noqa: E731
    compiled = assert_agrees(*recurrence(step))
    assert runs_of(compiled) == [(STEPS, 4)]


def test_an_operation_that_differs_once_ends_a_loop():
    step = lambda k, x, xs, w, v, seen: w * (cr.cos if k == 17 else cr.sin)(x) + v  # noqa: E731
    assert [count for count, _ in runs_of(assert_agrees(*recurrence(step)))] == [17, 22]


def test_a_branch_every_fourth_step_is_a_period_of_four_steps():
    def step(k, x, xs, w, v, seen):
        return (cr.tanh if k % 4 == 3 else cr.sin)(drive(k, x, xs, w, v, seen))

    ((count, nodes),) = runs_of(assert_agrees(*recurrence(step)))
    assert (count, nodes) == (STEPS // 4, 20)


@pytest.mark.parametrize("delay", [2, 3, 7])
def test_a_delay_is_a_line_of_carries(delay):
    step = lambda k, x, xs, w, v, seen: w * cr.sin(x) + v * (seen[-delay] if k >= delay else xs[k])  # noqa: E731
    compiled = assert_agrees(*recurrence(step))
    (loop,) = compiled._recorded().program.loops
    assert loop.count == STEPS - delay
    assert len(loop.carry) == delay  # and not one more, for what is not delayed


def test_two_delays_share_a_line():
    def step(k, x, xs, w, v, seen):
        *_, third, second, first = (0.1, 0.2, 0.3, *seen)
        return w * cr.sin(second) + v * third + first * 0.1

    compiled = assert_agrees(*recurrence(step))
    (loop,) = compiled._recorded().program.loops
    assert len(loop.carry) == 3


def test_the_first_step_read_by_all_others_comes_from_before_the_loop():
    step = lambda k, x, xs, w, v, seen: w * cr.sin(x) + v * (seen[0] if seen else x)  # noqa: E731
    assert runs_of(assert_agrees(*recurrence(step)))[0][0] >= STEPS - 4


def test_an_index_that_jumps_ends_a_loop():
    step = lambda k, x, xs, w, v, seen: (  # noqa: E731
        w * cr.sin(x) + v * seen[-1 if k < 20 else -2 if k < 38 else 0] if k else x * v
    )
    assert [count for count, _ in runs_of(assert_agrees(*recurrence(step)))] == [18, 17]


@pytest.mark.parametrize(
    ("after", "counts"),
    [
        (lambda x, seen: cr.mean([cr.square(y) for y in seen]), [STEPS, STEPS]),
        (lambda x, seen: sum(seen), [STEPS, STEPS]),
        (lambda x, seen: x * seen[3], [STEPS - 4]),
        (lambda x, seen: x * seen[15], [16, STEPS - 16]),
        (lambda x, seen: x * seen[-2] * seen[-3], [STEPS]),
        (lambda x, seen: cr.sum(seen[10:]), [10, STEPS - 10]),
        (lambda x, seen: cr.sum(seen[:-1]), [STEPS - 1]),
        (lambda x, seen: cr.sum(seen[::4]), [9]),
        (
            lambda x, seen: cr.sum([a * b for a, b in zip(seen, reversed(seen), strict=True)]),
            [40, 40],
        ),
    ],
    ids=[
        "all",
        "chain",
        "fourth",
        "middle",
        "last three",
        "tail",
        "but one",
        "every fourth",
        "turned",
    ],
)
def test_what_is_read_after_a_loop_goes_out_of_it(after, counts):
    compiled = assert_agrees(*recurrence(plain, after=after))
    found = [count for count, _ in runs_of(compiled)]
    assert found[: len(counts)] == counts


def test_what_is_read_without_order_goes_out_too():
    some = [0, 1, 5, 6, 7, 13, 14, 18, 21, 22, 23, 30, 31, 33]
    compiled = assert_agrees(
        *recurrence(plain, after=lambda x, seen: cr.sum([seen[k] for k in some]))
    )
    assert runs_of(compiled)[0][0] > STEPS - 8
    assert compiled._recorded().has_gradient


def test_two_recurrences_in_turns_are_one_loop():
    w, v = cr.Value(0.8), cr.Value(0.3)

    def cost(x, xs):
        a, b = x, x * v
        for u in xs:
            a = w * cr.sin(a) + u
            b = cr.tanh(b * v) * w
        return a * b

    compiled = assert_agrees([w, v], cost)
    assert runs_of(compiled) == [(STEPS, 6)]
    assert len(compiled._recorded().program.loops[0].carry) == 2


def test_several_loops_one_after_another():
    w = cr.Value(0.4)

    def cost(x, xs):
        a, seen = x, []
        for u in xs:
            a = cr.sin(a * w) + u
            seen.append(a * u)
        b = x * w
        for y in reversed(seen):
            b = b * a * 0.1 + cr.tanh(y * w)
        for _ in range(30):
            b = b * 0.5 + a * w
        return b

    counts = [count for count, _ in runs_of(assert_agrees([w], cost))]
    assert all(a >= b for a, b in zip(counts, [STEPS - 1, STEPS - 1, 29], strict=True))


def test_a_nest_is_a_loop_of_its_outer_steps():
    w, v = cr.Value(0.4), cr.Value(0.9)

    def cost(x, xs):
        for u in xs:
            for _ in range(5):
                x = w * cr.sin(x) + v
            x = x * u
        return x

    compiled = assert_agrees([w, v], cost)
    assert runs_of(compiled) == [(STEPS, 16)]


def test_newton_of_a_fixed_number_of_steps():
    w = cr.Value(2.0)

    def root(x, xs):
        y = x * x + 1.0
        for _ in range(1000):
            y = 0.5 * (y + w / y) + 0.001 * x
        return y

    compiled = assert_agrees([w], root)
    assert runs_of(compiled)[0][0] >= 998


def runge_kutta(steps):
    gravity, length = cr.Value(9.81), cr.Value(1.3)

    def pull(angle, speed):
        return -(gravity / length) * cr.sin(angle) - 0.1 * speed

    def cost(x, xs, h=0.01):
        a, v = x, 0.0
        for _ in range(steps):
            k1, q1 = v, pull(a, v)
            k2, q2 = v + h / 2 * q1, pull(a + h / 2 * k1, v + h / 2 * q1)
            k3, q3 = v + h / 2 * q2, pull(a + h / 2 * k2, v + h / 2 * q2)
            k4, q4 = v + h * q3, pull(a + h * k3, v + h * q3)
            a = a + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            v = v + h / 6 * (q1 + 2 * q2 + 2 * q3 + q4)
        return a

    return [gravity, length], cost


def test_a_pendulum_by_runge_and_kutta_carries_two_numbers():
    compiled = assert_agrees(*runge_kutta(300))
    (loop,) = compiled._recorded().program.loops
    assert loop.count >= 297
    assert len(loop.carry) == 2


def test_a_recurrent_network_of_width_16():
    cell = nn.Layer(17, 16, activation="tanh", seed=1)

    def cost(x, xs):
        h = [x] + [0.0] * 15
        for u in xs:
            h = cell([*h, u])
        return cr.sum(h)

    assert runs_of(assert_agrees(cell.parameters(), cost))[0][0] >= STEPS - 2


# --- graphs, and loops in transforms -------------------------------------------------------------


def test_a_graph_is_searched_too():
    captured, cost = runge_kutta(100)
    x = cr.Value(1.0)
    y = cost(x, None)
    compiled = cr.compile(y, wrt=[x, *captured])
    assert runs_of(compiled)[0][0] >= 97
    for _ in range(2):
        value, slopes = compiled.value_and_grad()
        y = cost(x, None)
        assert value == compiled() == pytest.approx(y.data, rel=1e-13)
        np.testing.assert_allclose(slopes, cr.gradients(y, [x, *captured]), rtol=1e-11)
        for leaf in (x, *captured):
            leaf.data *= 0.9
    np.testing.assert_allclose(compiled.jacobian(), compiled.value_and_grad()[1], rtol=1e-12)


def test_a_graph_with_several_results():
    def slope(x, y):
        return [x[0]] + [xi * before for xi, before in zip(x[1:], y, strict=False)]

    def solution(x, steps, h):
        y = [0.0] * len(x)
        for _ in range(steps):
            k1 = slope(x, y)
            k2 = slope(x, [a + h * b for a, b in zip(y, k1, strict=True)])
            y = [a + h / 2 * (b + c) for a, b, c in zip(y, k1, k2, strict=True)]
        return y

    x = [cr.Value(0.3), cr.Value(-0.7), cr.Value(1.1)]
    y = solution(x, 50, 0.02)
    compiled = cr.compile(np.array(y))
    assert runs_of(compiled)
    np.testing.assert_allclose(compiled(), [v.data for v in y], rtol=1e-13)
    expected = [cr.gradients(v, x) for v in y]
    np.testing.assert_allclose(compiled.jacobian(), expected, rtol=1e-12)


@pytest.mark.parametrize("transform", ["grad", "gradients", "hvp", "jvp"])
def test_loops_in_transforms(transform):
    def made(steps):
        captured, swing = runge_kutta(steps)

        def cost(x, xs):
            if transform == "grad":
                return cr.grad(lambda t: swing(t, xs))(x) * captured[0]
            if transform == "gradients":
                w = cr.Value(0.5) * captured[1]
                return cr.sum(cr.gradients(swing(x + w, xs), captured, create_graph=True))
            if transform == "hvp":
                turned = lambda t, s: swing(t, xs) * s  # noqa: E731
                return cr.sum(cr.hvp(turned, (x, captured[1]), (0.3, 1.0)))
            return cr.jvp(lambda t: swing(t, xs), (x,), (captured[1],))[1]

        return captured, cost

    short = assert_agrees(*made(30))
    long = cr.compile(made(60)[1]).record(X, XS)
    assert len(runs_of(short)) == len(runs_of(long)) >= 2
    more = steps_of(long) - steps_of(short)  # what goes from loop to loop is collected
    assert more < 0.5 * (long.stats["nodes"] - short.stats["nodes"])


def steps_of(compiled):
    """Return how many single steps there are in the plans, those in loops once."""
    plans = compiled.plans.values()
    flat = [plan.tables[x.detail[-1]] for plan in plans for x in plan.each if x.code == "flat"]
    return sum(map(len, flat))


def test_a_scan_in_a_transform_is_a_loop_again():
    w = cr.Value(0.7)

    def cost(x, xs):
        energy = lambda t: cr.scan(lambda c, u: (cr.sin(c * w) + u * t, None), t, xs)[0]  # noqa: E731
        return cr.grad(energy)(x)

    counts = [count for count, _ in runs_of(assert_agrees([w], cost))]
    assert min(counts) > STEPS - 4


def test_derivatives_of_a_compiled_loop():
    _, cost = runge_kutta(60)
    compiled = cr.compile(lambda x: cost(x, None)).record(X)
    second = compiled.hessian(X)
    assert runs_of(compiled)
    expected = [cr.grad(cr.grad(lambda x: cost(x, None)))(x) for x in X.tolist()]
    np.testing.assert_allclose(second, expected, rtol=1e-10)
    _, tangent = compiled.jvp(X, tangents=np.ones(3))
    np.testing.assert_allclose(tangent, compiled.jacobian(X), rtol=1e-12)


@pytest.mark.parametrize("choose", [cr.maximum, cr.minimum])
def test_on_a_tie_with_a_constant_of_some_steps_the_derivative_is_the_engines(choose):
    w = cr.Value(1.0)
    bounds = [1.0 if k % 2 else 1.0 + (0.5 if choose is cr.minimum else -0.5) for k in range(STEPS)]

    def cost(x):
        y, total = 1.0, 0.0
        for bound in bounds:
            y = choose(w * y, bound)
            total = total + y * w
        return total * x

    compiled = cr.compile(cost)
    value, slope = compiled.value_and_grad([1.0])
    assert runs_of(compiled)
    y = cost(cr.Value(1.0))
    assert (value, *slope) == (y.data, *cr.gradients(y, [w]))


# --- edges, copies, reasons ----------------------------------------------------------------------


@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e300])
def test_nan_and_infinities_are_the_engines(x):
    w = cr.Value(0.5)

    def cost(x):
        y = x
        for _ in range(STEPS):
            y = cr.sqrt(y * w) * cr.exp(-y) + cr.log(y + 1.0)
        return y

    compiled = cr.compile(cost)
    y = cost(cr.Value(x))
    value, slope = compiled.value_and_grad([x])
    assert runs_of(compiled)
    np.testing.assert_array_equal(np.isnan(value), math.isnan(y.data))
    np.testing.assert_allclose(value, y.data, rtol=1e-12)
    np.testing.assert_allclose(slope, cr.gradients(y, [w]), rtol=1e-12)


def test_what_a_loop_carries_and_nobody_reads_has_no_derivative():
    w = cr.Value(1.0)

    def cost(x):
        y, z = x, x
        for _ in range(STEPS):
            y, z = y * w, z + cr.sqrt(y - x)
        return y + 0.0 * z

    for value, slope in [cr.compile(cost).value_and_grad([1.0])]:
        y = cost(cr.Value(1.0))
        assert value == y.data
        np.testing.assert_array_equal(slope, cr.gradients(y, [w]))


def test_a_copy_has_all_that_the_original_has():
    _, cost = runge_kutta(60)
    compiled = cr.compile(lambda x: cost(x, None)).record(X)
    again = pickle.loads(pickle.dumps(compiled))
    assert runs_of(again) == runs_of(compiled)
    np.testing.assert_array_equal(again.value_and_grad(X)[1], compiled.value_and_grad(X)[1])
    np.testing.assert_allclose(again.jacobian(X), compiled.jacobian(X), rtol=1e-13)


def test_threads_give_the_same_bits():
    _, cost = runge_kutta(30)
    function, x = lambda x: cost(x, None), np.linspace(-1.0, 1.0, 5000)
    one, two = cr.compile(function), cr.compile(function, threads=2)
    np.testing.assert_array_equal(one(x), two(x))
    assert runs_of(two)


bent = cr.primitive(
    "bent",
    lambda x: x / (1.0 + x * x),
    (lambda x, y: (1.0 - x * x) / ((1.0 + x * x) * (1.0 + x * x)),),
)


def refused(k, x, xs, w, v, seen):
    return bent(w * x) * v + xs[k]


def chosen(k, x, xs, w, v, seen):
    return cr.where(cr.less(w * x, v), x * w, v) + xs[k]


def test_a_recurrence_that_chooses_is_a_loop():
    assert runs_of(assert_agrees(*recurrence(chosen)))[0][0] > STEPS - 8


def read_far_back(k, x, xs, w, v, seen):
    before = seen[random.Random(k).randrange(k)] if seen else x
    return w * cr.sin(x) + (xs[k] - before)


def without_order(k, x, xs, w, v, seen):
    for number in random.Random(k).choices(range(4), k=6):
        x = [cr.tanh(x), x * w, cr.sin(x), x + v][number]
    return x


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (refused, "there is the operation bent, in its step or around it"),
        (
            read_far_back,
            "4 nodes come again, but operand 2 of '-', node 3 of these, is the result ",
        ),
        (without_order, "no loop was found in"),
    ],
)
def test_where_there_is_no_loop_the_report_begins_with_the_reason(step, words):
    report = assert_agrees(*recurrence(step)).explain()
    assert report.startswith("Loops\n  written out: ")
    assert words in report.split("\n\n")[0]


def test_a_short_graph_and_a_wide_one_are_not_searched(monkeypatch):
    def refused(*_):
        raise AssertionError("searched")

    monkeypatch.setattr(periods, "find", refused)
    model = nn.MLP(30, [40, 40, 1], seed=0)
    cr.compile(lambda x: model(x)).record(np.zeros((1, 30)))
    monkeypatch.setattr(bodies, "LEAST_WORK", 20_000)
    _, cost = runge_kutta(100)
    cr.compile(lambda x: cost(x, None)).record(X)
    with pytest.raises(AssertionError, match="searched"):
        cr.compile(lambda x: runge_kutta(1000)[1](x, None)).record(X)


# --- random programs -----------------------------------------------------------------------------


def random_tape_program(seed):
    """Return captured leaves and a function with loops, whose steps now and then differ."""
    draw = random.Random(seed)
    ws = [cr.Value(draw.uniform(0.3, 1.1)) for _ in range(3)]
    unary = [cr.sin, cr.tanh, cr.square, lambda v: 0.5 * v, lambda v: 1.0 / (1.0 + v * v)]
    binary = [lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a - 2.0 * b]
    parts = []
    for _ in range(draw.randint(1, 3)):
        size = draw.randint(1, 6)
        steps = [
            (draw.choice(unary), draw.choice(binary), draw.randrange(7), draw.randrange(7))
            for _ in range(size)
        ]
        odd = [draw.randrange(40) for _ in range(draw.choice([0, 0, 1, 3]))]
        parts.append((steps, draw.randint(9, 40), odd, draw.randrange(5), draw.randrange(6)))

    def cost(x, xs):
        total = x * ws[0]
        earlier = [x]
        for steps, count, odd, kind, ending in parts:
            state, seen = [total * 0.3, x], []
            for k in range(count):
                entry = [xs[k], xs[-1 - k], 0.1 * k, earlier[k % len(earlier)], ws[k % 3]][kind]
                back = seen[max(0, k - 1 - kind)] if seen else x
                pool = [*state, entry, *ws, back]
                for f, g, i, j in steps:
                    pool.append(cr.tanh(g(f(pool[-1 - i % len(pool)]), pool[j])))
                if k in odd:
                    pool.append(pool[-1] * ws[1] if k % 2 else pool[-2] + 0.5)
                state = [pool[-1], pool[-2]]
                seen.append(pool[-1] * 0.9)
            endings = [
                state[0], cr.mean(seen), sum(seen[::-1]) / count,
                seen[len(seen) // 3] * state[1], cr.sum(seen[2:-3]) * 0.1, cr.sum(seen[::3]),
            ]  # fmt: skip
            total = endings[ending] + 0.1 * total
            earlier = seen
        return total

    return ws, cost


@pytest.mark.parametrize("seed", range(40))
def test_random_loops_have_the_engines_numbers(seed):
    assert_agrees(*random_tape_program(seed))


@pytest.mark.parametrize("seed", range(40, 60))
def test_rolled_and_unrolled_is_the_same_tape(seed):
    ws, cost = random_tape_program(seed)
    x = [cr.Value(v) for v in XS[0]]
    y = cost(x[0], x)
    sequence = periods.Sequence(tape.flatten([y]))
    made, outputs = rolling.rolled(sequence, periods.find(sequence).runs)
    again = rolling.unrolled(made, outputs, {*ws, *x})
    assert again[0].data == y.data
    known = {}
    assert written(tape.flatten(again), known) == written(sequence.tape, known)


def written(found, known):
    """Return the numbers of what a tape computes, the same for equal nodes in all tapes."""
    names = []
    for n in range(len(found)):
        row = found.row(n)
        what = found.leaves[n] if n in found.leaves else repr(found.values[n])
        key = what if row is None else (row, *(names[k] for k in found.operands(n)))
        names.append(known.setdefault(key, len(known)))
    return set(names)


def test_what_a_step_has_done_before_is_a_part_of_later_steps_too():
    w, v = cr.Value(0.3), cr.Value(-0.4)
    draw = random.Random(1)
    data = [draw.randrange(150) / 64 for _ in range(200)]  # the same number now and then

    def cost(x, xs):
        for number in data:
            x = cr.tanh(w * number + v * x)  # w * number may have been computed
        return x

    compiled = assert_agrees([w, v], cost)
    assert runs_of(compiled) == [(200, 4)]
    assert compiled.stats["way"] == "found a period: 200 steps of 4 nodes"


def test_what_is_the_same_in_all_steps_is_computed_before_the_loop():
    w, v = cr.Value(0.3), cr.Value(-0.4)

    def cost(x, xs):
        for k in range(60):
            x = cr.tanh(cr.exp(w) * x + cr.sin(v) * (k % 7 if k % 5 else 100 + k))
        return x

    compiled = assert_agrees([w, v], cost)
    assert min(count for count, _ in runs_of(compiled)) >= 59
    assert "exp" not in compiled.source[compiled.source.index("def step(") :].split("\n\n")[0]
