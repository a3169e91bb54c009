"""Scans whose body is recorded once: the numbers of the loop written out, and of the engine."""

import functools
import inspect
import math
import pickle
import random
import re
from collections import namedtuple

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.compiler import loops, pieces
from chainrule.compiler.machine import Machine
from chainrule.engine import bodies, modes

State = namedtuple("State", "position velocity")
STEPS = 12


@pytest.fixture(autouse=True)
def _short_loops_too(monkeypatch):
    monkeypatch.setattr(bodies, "LEAST_WORK", 1)


@pytest.fixture(params=["numbers", "arrays"])
def form(request, monkeypatch):
    """Bodies number by number, as narrow ones run, and as arrays, as wide ones do."""
    monkeypatch.setattr(pieces, "WIDTH", 0 if request.param == "arrays" else 1_000_000)
    return request.param


def is_loop(compiled):
    return "body recorded once" in compiled.stats.get("way", "")


# --- programs: each with its captured leaves, a function of (x, xs), and whether it is a loop -----


def pendulum():
    length, damping = cr.Value(1.3), cr.Value(0.2)
    return [length, damping], rebuilt(length, damping)


def rebuilt(length, damping):
    def cost(x, xs):
        def step(state, push):
            speed = state.velocity - 0.1 * (cr.sin(state.position) / length)
            speed = speed - 0.1 * damping * speed + 0.05 * push
            position = state.position + 0.1 * speed
            return State(position, speed), cr.square(position)

        last, squares = cr.scan(step, State(x, 0.0), xs)
        return last.position * last.velocity + cr.mean(squares)

    return cost


def computed_before_and_after():
    a, b = cr.Value(0.3), cr.Value(-0.4)

    def cost(x, xs):
        rate = cr.exp(a) * x  # is computed, and captured by the body
        start = cr.sin(b) + rate

        def step(c, u):
            c = c * cr.tanh(rate + u * b) + x
            return c, (c * a, u)

        last, (ys, us) = cr.scan(step, start, [cr.tanh(u * a) for u in xs])
        return last * rate + cr.sum(ys) - cr.dot(us, ys)

    return [a, b], cost


def numbers_come_in():
    w = cr.Value(0.7)

    def cost(x, xs):
        times = [0.1 * k for k in range(len(xs))]

        def step(c, entry):
            return {"v": c["v"] * w + entry["t"] * entry["u"]}, None

        return cr.scan(step, {"v": x}, {"t": times, "u": xs})[0]["v"]

    return [w], cost


def parameters_come_in():
    ws = [cr.Value(0.1 * k - 0.3) for k in range(STEPS)]

    def cost(x, xs):
        last, _ = cr.scan(lambda c, wu: (cr.tanh(c * wu[0] + wu[1]), None), x, (ws, xs))
        return last

    return ws, cost


def swapped():
    w = cr.Value(0.9)

    def cost(x, xs):
        def step(c, u):
            a, b, idle = c
            return (b, a * w + u, idle * cr.sqrt(x - x)), None  # idle reaches nothing

        (a, _, _), _ = cr.scan(step, (x, 2.0 * x, 1.0), xs)
        return a

    return [w], cost


def only_what_goes_out():
    w = cr.Value(0.9)

    def cost(x, xs):
        # After the last step the carry reaches nothing; before it, it does.
        _, ys = cr.scan(lambda c, u: (c * w + u, c * cr.sin(c)), x, xs)
        return cr.sum(ys)

    return [w], cost


def one_after_another():
    w = cr.Value(0.4)

    def cost(x, xs):
        first, ys = cr.scan(lambda c, u: (cr.sin(c * w) + u, c * u), x, xs)
        second, zs = cr.scan(lambda c, y: (c * first * 0.1 + y * w, c), x * w, ys)
        third, _ = cr.scan(lambda c, _: (c * 0.5 + second * w, None), first, length=STEPS)
        return third + cr.sum(zs) * ys[0] if STEPS < 0 else third + cr.sum(zs)

    return [w], cost


def nested():
    w = cr.Value(0.4)

    def cost(x, xs):
        def outer(c, u):
            c, ys = cr.scan(lambda d, v: (d * w + u * v, d), c, [0.1, 0.2, 0.3])
            return c, cr.sum(ys)

        last, sums = cr.scan(outer, x, xs)
        return last * cr.sum(sums)

    return [w], cost


def recurrent_network():
    cell = nn.Layer(4, 3, activation="tanh", seed=1)
    out = nn.Layer(3, 1, activation="linear", seed=2)

    def cost(x, xs):
        last, ys = cr.scan(lambda h, u: ((h := cell([*h, u])), out(h)[0]), [x, 0.0, 0.0], xs)
        return cr.mean([cr.square(y - u) for y, u in zip(ys, xs)]) + last[0]  # noqa: B905

    return [*cell.parameters(), *out.parameters()], cost


def arrays():
    w = np.array([cr.Value(0.3), cr.Value(-0.2)])

    def cost(x, xs):
        def step(c, u):
            c = np.tanh(c * w + u)
            return c, c * x

        last, rows = cr.scan(step, np.array([x, x * 0.5]), xs)
        return cr.sum(last) + cr.sum(rows[:, 0] * rows[:, 1])

    return list(w), cost


def differentiated_beside_it():
    w = cr.Value(0.9)

    def cost(x, xs):
        slope = cr.grad(lambda v: cr.sin(v * w) * x)(w * 0.5)
        last, _ = cr.scan(lambda c, u: (cr.sin(c * slope) + u, None), x, xs)
        return last * cr.grad(lambda v: cr.exp(v * x))(w)

    return [w], cost


def parameters_of_several_arrays():
    ws = [cr.Value(0.1 * k - 0.25) for k in range(7)]

    def cost(x, xs):
        def step(c, u):
            return [cr.tanh(cr.dot(ws[i : i + 2], c, u)) for i in (0, 2)], None

        last, _ = cr.scan(step, [x, 0.5], xs)
        return cr.dot([ws[6], ws[3], ws[1], ws[5]], [*last, x, xs[0]]) + cr.sum(ws[2:5])

    return ws, cost


def branch_in_the_step():
    w = cr.Value(0.9)

    def cost(x, xs):
        def step(c, u):
            done = cr.less(c, 0.2)
            return cr.where(done, c, c * w * cr.sqrt(c - 0.2) + 0.05 * u), None

        return cr.scan(step, x, xs)[0]

    return [w], cost


def some_are_read():
    w = cr.Value(0.9)

    def cost(x, xs):
        _, ys = cr.scan(lambda c, u: (c * w + u, c * cr.sin(c)), x, xs)
        return ys[3] * ys[5]

    return [w], cost


def power_of_what_comes_in():
    w = cr.Value(0.9)

    def cost(x, xs):
        return cr.scan(lambda c, u: ((c * c + 0.1) ** u * w, None), x, xs)[0]

    return [w], cost


def steps_that_choose():
    w, v = cr.Value(0.9), cr.Value(-0.3)

    def cost(x, xs):
        def step(state, u):
            c, d, kept = state
            top = cr.maximum(c * w, d, 0.1)
            turned = cr.where(cr.less(u, 0.0), top, cr.relu(d + v) * cr.sqrt(cr.abs(c) + 0.1))
            index = cr.where(cr.less(u, 0.5), 1.0, 0.0)
            kept = cr.where(cr.less(c, 0.4), kept, cr.log(c) * w)
            return (turned + 0.1, cr.abs(c - u), kept), cr.where(index, d, c * v)

        (c, d, kept), ys = cr.scan(step, (x, 0.0, 1.0), xs)
        return c * d + kept + cr.where(cr.less(x, 0.5), ys[3], ys[7] * ys[-1])

    return [w, v], cost


def finishes_early():
    w = cr.Value(1.3)

    def cost(x, xs):
        # Newton's method, which stays where it is once it is close.
        def step(state, _):
            c, close = state
            found = cr.where(close, c, c - (c * c - w) / (2.0 * c))
            return (found, cr.less(cr.abs(found * found - w), 1e-12)), None

        (root, _), _ = cr.scan(step, (cr.abs(x) + 0.2, 0.0), length=STEPS)
        return root * cr.sum(xs)

    return [w], cost


def delayed_and_chosen():
    w = cr.Value(0.8)

    def cost(x, xs):
        def step(state, u):
            *late, total = state
            new = cr.where(cr.less(u, 0.0), total * w, u)
            return (new, *late[:-1], total + cr.square(late[-1]) * w), late[0] * u

        last, ys = cr.scan(step, (x, 0.1, 0.2, 0.3, x, 1.0, 0.5, w, x), xs)
        return last[-1] + ys[2]

    return [w], cost


def clipped_network():
    cell = nn.Layer(5, 4, activation="relu", seed=3)

    def cost(x, xs):
        def step(h, u):
            found = cell([*h, u])
            return [cr.minimum(z, 1.0) for z in found], cr.where(cr.less(u, 0.0), found[0], h[1])

        last, ys = cr.scan(step, [x, 0.3, 0.0, -0.2], xs)
        return cr.sum(last) + ys[4] * ys[5]

    return cell.parameters(), cost


def nothing_flows_where_nothing_was_chosen():
    w = cr.Value(0.5)

    def cost(x, xs):
        # Where the branch is not taken, its slope is infinite, and what it reads is never reached.
        def step(state, u):
            c, root = state
            return (
                c * 0.5 + u,
                cr.where(cr.less(c, 0.0), root, cr.sqrt(cr.maximum(c, 0.0) * w)),
            ), c

        (_, root), ys = cr.scan(step, (x, 0.0), xs)
        return root + cr.sum(ys) * 0.0

    return [w], cost


BY_DATA = [
    branch_in_the_step, some_are_read, steps_that_choose, finishes_early, delayed_and_chosen,
    clipped_network, nothing_flows_where_nothing_was_chosen, swapped,
]  # fmt: skip
"""Of these it hangs on data, or on the step, what is reached on the way back."""
LOOPS = [
    parameters_of_several_arrays, differentiated_beside_it,
    pendulum, computed_before_and_after, numbers_come_in,
    parameters_come_in, only_what_goes_out, one_after_another, nested,
    recurrent_network, arrays, power_of_what_comes_in, *BY_DATA,
]  # fmt: skip


def counts_its_calls():
    ws = [cr.Value(0.1 * k) for k in range(100)]

    def cost(x, xs):
        calls = iter(ws)
        return cr.scan(lambda c, u: (c * next(calls) + u, None), x, xs)[0]

    return ws, cost


def looks_at_plain_numbers():
    w = cr.Value(0.9)

    def cost(x, xs):
        def step(c, ku):
            k, u = ku
            return (c * w if k % 2 else c + u), None

        return cr.scan(step, x, (range(len(xs)), xs))[0]

    return [w], cost


def differentiated_across():
    w = cr.Value(0.9)

    def cost(x, xs):
        v = w * 1.0
        last, _ = cr.scan(lambda c, u: (cr.sin(c * v) + u, None), x, xs)
        (slope,) = cr.gradients(last, [v], create_graph=True)
        return slope * last

    return [w], cost


def differentiated_as_a_whole():
    w = cr.Value(0.9)

    def cost(x, xs):
        return cr.grad(lambda v: cr.scan(lambda c, u: (cr.sin(c * v) + u, None), x, xs)[0])(w) * w

    return [w], cost


WRITTEN_OUT = [
    differentiated_as_a_whole,
    counts_its_calls, looks_at_plain_numbers, differentiated_across,
]  # fmt: skip

X = np.array([0.7, -0.2, 0.4, 1.1, 0.9])
XS = np.cos(np.arange(5.0 * STEPS)).reshape(5, STEPS)


def by_the_engine(captured, cost):
    for leaf in captured:
        leaf.grad = 0.0
    costs = [cost(x, row) for x, row in zip(X.tolist(), XS.tolist(), strict=True)]
    cr.mean(costs).backward()
    return [c.data for c in costs], [leaf.grad for leaf in captured]


@pytest.mark.parametrize("make", [*LOOPS, *WRITTEN_OUT], ids=lambda f: f.__name__)
def test_the_numbers_are_the_engines(make, form):
    captured, cost = make()
    compiled = cr.compile(cost, wrt=captured)
    values = compiled(X, XS)
    assert is_loop(compiled) == (make not in WRITTEN_OUT)
    mean, gradient = compiled.value_and_grad(X, XS)
    costs, slopes = by_the_engine(captured, cost)
    assert values == pytest.approx(costs, rel=1e-13)
    assert mean == pytest.approx(np.mean(costs), rel=1e-13)
    assert gradient == pytest.approx(slopes, rel=1e-12, abs=1e-15)
    # Again, with other numbers in the leaves.
    for leaf in captured:
        leaf.data = leaf.data * 0.9 + 0.01
    costs, slopes = by_the_engine(captured, cost)
    assert compiled.value_and_grad(X, XS)[1] == pytest.approx(slopes, rel=1e-12, abs=1e-15)
    assert compiled(X, XS) == pytest.approx(costs, rel=1e-13)


@pytest.mark.parametrize("make", LOOPS, ids=lambda f: f.__name__)
def test_both_machines_and_any_number_of_threads_agree(make, form):
    captured, cost = make()
    compiled = cr.compile(cost).record(X, XS)
    loops_of_arrays = any(step.code == "apply" for step in compiled.plans["gradient"].each)
    assert loops_of_arrays or form == "numbers"
    many = np.tile(X, 200), np.tile(XS, (200, 1))
    value, gradient = compiled.value_and_grad(*many)
    threaded = cr.compile(cost, threads=3).value_and_grad(*many)
    assert (threaded[0], threaded[1].tolist()) == (value, gradient.tolist())
    by_numpy = Machine(compiled.plans["gradient"])
    batch = many[0][:, None], many[1]
    for _ in range(2):
        mean, slopes = by_numpy.run(compiled.parameters, batch)
        assert mean == pytest.approx(value, rel=1e-13)
        assert slopes == pytest.approx(gradient, rel=1e-11, abs=1e-14)
    forward = Machine(compiled.plans["forward"]).run(compiled.parameters, batch)
    assert forward[0] == pytest.approx(compiled(*many), rel=1e-13)
    assert captured


def test_parameters_of_loops_that_nothing_depends_on():
    a, w = cr.Value(2.0), cr.Value(0.5)

    def cost(x):
        # Only some of what goes out is read, and a not at all.
        _, (_, ys) = cr.scan(lambda c, _: (c * w, (a, cr.sin(c))), x, length=9)
        return ys[3]

    compiled = cr.compile(cost)
    expected = cr.compile(lambda x: cr.sin(x * w * w * w)).value_and_grad([1.5])[1]
    for _ in range(3):  # the second time the short way
        _, gradient = compiled.value_and_grad([1.5])
        assert compiled.parameters == (a, w)
        assert gradient == pytest.approx([0.0, *expected], rel=1e-13)
    assert is_loop(compiled)


def test_a_result_without_loop_or_batch_is_printed():
    def cost(x):
        cr.scan(lambda c, _: ([0, 0], 1.0), [1.0, 1.0], [1.0] * 16)
        return 1.0

    compiled = cr.compile(cost).record(X)
    assert called(compiled, "forward", X).tolist() == [[1.0]] * 5


# --- fewer states are kept ------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 3, 6, 20])
@pytest.mark.parametrize("make", LOOPS, ids=lambda f: f.__name__)
def test_states_that_are_computed_again_are_the_same(make, every, monkeypatch):
    captured, cost = make()
    expected = cr.compile(cost, wrt=captured).value_and_grad(X, XS)
    monkeypatch.setattr(cr, "scan", functools.partial(cr.scan, checkpoint=every))
    compiled = cr.compile(cost, wrt=captured)
    value, gradient = compiled.value_and_grad(X, XS)
    assert value == pytest.approx(expected[0], rel=1e-13)
    assert gradient == pytest.approx(expected[1], rel=1e-12, abs=1e-15)
    if make is pendulum:
        steps = compiled.plans["gradient"].each
        in_loops = [step.detail[0] for step in steps if step.code == "loop"]
        segments = (STEPS - 6) // every
        assert in_loops.count(segments) >= 2 * (segments > 0)
        batch = X[:, None], XS
        slopes = Machine(compiled.plans["gradient"]).run(compiled.parameters, batch)[1]
        order = [captured.index(leaf) for leaf in compiled.parameters]
        assert slopes == pytest.approx(expected[1][order], rel=1e-11)


def test_a_gradient_takes_the_memory_that_the_report_says():
    w = cr.Value(0.9)

    def rows(length, every):
        def cost(x):
            return cr.scan(lambda c, _: (cr.sin(c * w), None), x, length=length, checkpoint=every)[
                0
            ]

        compiled = cr.compile(cost).record([0.5])
        return compiled.plans["gradient"].block, compiled.explain()

    all_kept, report = rows(1000, None)
    assert "1000 states are kept for the way back, 8,000 bytes" in report
    few, report = rows(1000, 31)
    # 32 segments of 31 steps, and the 8 at the end
    assert f"{32 + 31 + 8} states are kept for the way back, 568 bytes" in report
    assert all_kept - few == pytest.approx(1000 - 32 - 31 - 8, abs=5)
    long, report = rows(265_225, None)  # 515 segments are enough
    assert long < 2000
    assert f"{514 + 515 + 515} states" in report


# --- the printed program --------------------------------------------------------------------------


def called(compiled, name, *batch):
    """Return what function *name* of the printed program gives, and by which leaves."""
    namespace = {}
    exec(compiled.source, namespace)
    signature = inspect.signature(namespace[name]).parameters
    leaves, arrays = list(compiled.placed), []
    sizes = compiled_sizes(compiled.source)
    for parameter in list(signature)[: len(signature) - len(batch)]:
        shape = sizes[parameter]
        some = [leaves.pop(0).data for _ in range(math.prod(shape))]
        arrays.append(np.array(some).reshape(shape))
    assert not leaves
    return namespace[name](*arrays, *(x if x.ndim > 1 else x[:, None] for x in batch))


def compiled_sizes(source):
    """Return the shapes of the parameters: those of their derivatives in the printed program."""
    found = re.findall(r"^    (d_|D)(\w*) = np\.zeros\(\(?(\d[\d, ]*)\)+$", source, re.MULTILINE)
    prefix = {"d_": "", "D": "Theta"}
    return {
        prefix[by] + name: tuple(map(int, shape.strip(",").split(", ")))
        for by, name, shape in found
    }


@pytest.mark.parametrize("make", [x for x in LOOPS if x not in BY_DATA], ids=lambda f: f.__name__)
def test_the_printed_loops_have_the_machines_numbers(make):
    captured, cost = make()
    compiled = cr.compile(cost, wrt=captured).record(X, XS)
    for _ in range(2):
        mean, gradient = called(compiled, "gradient", X, XS)
        by = dict(zip(compiled.placed, np.concatenate([x.ravel() for x in gradient]), strict=True))
        expected = compiled.value_and_grad(X, XS)
        assert mean == pytest.approx(expected[0], rel=1e-13)
        found = [by.get(leaf, 0.0) for leaf in captured]
        assert found == pytest.approx(expected[1], rel=1e-12, abs=1e-15)
        assert "for k in reversed(range" in compiled.source
        values = called(compiled, "forward", X, XS)
        assert values[:, 0] == pytest.approx(compiled(X, XS), rel=1e-13)
        for leaf in captured:
            leaf.data = leaf.data * 0.9 + 0.01


def test_the_printed_program_reads_like_backpropagation_through_time(monkeypatch):
    monkeypatch.setattr(bodies, "LEAST_WORK", 20_000)  # so that the machine writes it out
    rate = cr.Value(0.3, "rate")
    grown = lambda x: cr.scan(lambda c, _: (c + rate * cr.sin(c), None), x, length=50)[0]  # noqa: E731
    compiled = cr.compile(grown).record([0.5])
    assert not is_loop(compiled)
    source = compiled.source
    assert source[source.index("def step") :] == READS
    assert compiled.placed == (rate,)
    assert called(compiled, "gradient", np.array([0.5, 0.7]))[1][0] == pytest.approx(
        compiled.value_and_grad([0.5, 0.7])[1], rel=1e-13
    )
    assert "for k" not in pickle.loads(pickle.dumps(compiled)).source  # has no function to ask


READS = """\
def step(rate, state):
    return state + np.sin(state) * rate


def step_back(rate, state, d_state):
    return d_state + d_state * rate * np.cos(state), (d_state * np.sin(state)).sum(axis=0)


def end(state):
    return state


def end_back(state, d_result):
    return d_result


@np.errstate(all="ignore")
def forward(rate, X):
    m = len(X)
    state = X.reshape(m, 1)
    for k in range(50):
        state = step(rate, state)
    return end(state)


@np.errstate(all="ignore")
def gradient(rate, X):
    m = len(X)
    d_rate = np.zeros(1)
    state = X.reshape(m, 1)
    states = np.empty((51, m, 1))
    states[0] = state
    for k in range(50):  # every state is kept
        states[k + 1] = step(rate, states[k])
    state = states[50]
    cost = end(state).sum() / m
    d_state = end_back(state, np.ones((m, 1)))
    for k in reversed(range(50)):  # backward through time
        d_state, by_1 = step_back(rate, states[k], d_state)
        d_rate += by_1
    return cost, [d_rate / m]
"""


UNARY = (cr.sin, cr.tanh, cr.exp, cr.sqrt, cr.log, lambda v: 1.0 / v, lambda v: v * 0.5, cr.square)
BINARY = (lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a - 2.0 * b, cr.hypot)


def random_program(seed):
    """Return captured leaves and a function of one or two loops, of steps made at random."""
    draw = random.Random(seed)
    leaves = [cr.Value(draw.uniform(0.2, 1.0)) for _ in range(draw.randint(1, 3))]

    def expression(pool, size):
        pool = list(pool)
        for _ in range(size):
            if draw.random() < 0.5:
                pool.append(("u", draw.randrange(len(UNARY)), draw.choice(pool)))
            else:
                pool.append(
                    ("b", draw.randrange(len(BINARY)), draw.choice(pool), draw.choice(pool))
                )
        return pool[-1]

    plans = []
    for _ in range(draw.randint(1, 2)):
        n, outs = draw.randint(1, 3), draw.randint(0, 2)
        names = [*(f"c{i}" for i in range(n)), "x", "u", *(f"w{i}" for i in range(len(leaves)))]
        steps = [
            draw.choice(names[:n]) if draw.random() < 0.3 else expression(names, draw.randint(1, 5))
            for _ in range(n + outs)
        ]
        plans.append((n, steps, draw.random() < 0.5, [draw.random() < 0.7 for _ in range(n)]))

    def cost(x, xs):
        known = {"x": x, **{f"w{i}": w for i, w in enumerate(leaves)}}

        def value(e, names):
            if isinstance(e, str):
                return names[e]
            form = (UNARY if e[0] == "u" else BINARY)[e[1]]
            return form(*(value(part, names) for part in e[2:]))

        terms, entries = [], xs
        for n, steps, chained, used in plans:

            def step(c, u, n=n, steps=steps):
                names = {**known, "u": u, **{f"c{i}": v for i, v in enumerate(c)}}
                found = [value(e, names) for e in steps]
                return found[:n], tuple(found[n:])

            start = [known["x"] * 0.5 if i % 2 else 0.3 + 0.1 * i for i in range(n)]
            last, ys = cr.scan(step, start, entries)
            terms += [v for v, there in zip(last, used, strict=True) if there]
            terms += [cr.mean(y) for y in ys]
            if ys and chained:
                entries = ys[0]
        return cr.sum(terms) + 0.0 * x + leaves[0]

    return leaves, cost


@pytest.mark.parametrize("seed", range(30))
def test_random_loops_have_the_numbers_of_the_loop_written_out(seed, monkeypatch):
    leaves, cost = random_program(seed)
    x, xs = np.array([0.7, 0.4]), np.abs(XS[:2]) + 0.1
    with np.errstate(all="ignore"):
        found = cr.compile(cost, wrt=leaves).value_and_grad(x, xs)
        monkeypatch.setattr(bodies, "LEAST_WORK", 1e18)
        expected = cr.compile(cost, wrt=leaves).value_and_grad(x, xs)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-9)


def test_several_results_with_structure():
    w = cr.Value(0.5)

    def path(x, xs):
        return cr.scan(
            lambda s, u: (State(s.position + w * u, u), (s.position, u)), State(x, x), xs
        )

    compiled = cr.compile(path)
    last, (positions, us) = compiled(X, XS)
    assert is_loop(compiled)
    for i in range(len(X)):
        (position, _), (each, came) = path(X[i], XS[i].tolist())
        assert last.position[i] == position.data
        assert [y[i] for y in positions] == [getattr(y, "data", y) for y in each]
        assert [u[i] for u in us] == came


def test_the_plan_does_not_grow_with_the_length():
    w = cr.Value(0.9)
    sizes = []
    for length in (20, 2000):
        compiled = cr.compile(
            lambda x, n=length: cr.scan(lambda c, _: (cr.sin(c * w), None), x, length=n)[0]
        ).record([0.5])
        plans = compiled.plans.values()
        sizes.append([(len(p.each), sum(t.size for t in p.tables), len(p.still)) for p in plans])
        assert compiled.stats["nodes"] < 10
    assert sizes[0] == sizes[1]


def test_no_nan_comes_from_what_reaches_nothing():
    # The last carry is not used: its partial is infinite, but nothing flows there.
    w = cr.Value(1.0)

    def cost(x):
        _, ys = cr.scan(
            lambda c, _: ((c[1] * 1.0, cr.sqrt(c[0] * 0.0)), c[0] * w), (x, x), length=9
        )
        return cr.sum(ys[:2]) if w is None else ys

    compiled = cr.compile(lambda x: cr.sum(cost(x)))
    value, gradient = compiled.value_and_grad([2.0])
    assert is_loop(compiled)
    w.grad = 0.0
    expected = cr.sum(cost(2.0))
    expected.backward()
    assert value == expected.data
    assert gradient.tolist() == [w.grad]


def test_a_parameter_of_which_the_loop_knows_nothing():
    u, v = cr.Value(0.5), cr.Value(0.7)
    compiled = cr.compile(
        lambda x: cr.scan(lambda c, _: (cr.sin(c) * u, None), x, length=10)[0], wrt=[v, u]
    )
    value, gradient = compiled.value_and_grad([0.3, 0.4])
    assert is_loop(compiled)
    assert gradient[0] == 0.0
    expected = [cr.scan(lambda c, _: (cr.sin(c) * u, None), x, length=10)[0] for x in (0.3, 0.4)]
    u.grad = 0.0
    cr.mean(expected).backward()
    assert gradient[1] == pytest.approx(u.grad, rel=1e-13)
    assert value == pytest.approx(cr.mean(expected).data, rel=1e-14)


def test_what_needs_the_whole_graph_writes_it_out():
    _, cost = pendulum()
    compiled = cr.compile(cost).record(X, XS)
    by_x, by_xs = compiled.jacobian(X, XS)
    slopes = cr.grad(cost, (0, 1))(X[1], XS[1].tolist())
    assert by_x[1] == pytest.approx(slopes[0], rel=1e-12)
    assert by_xs[1] == pytest.approx(slopes[1], rel=1e-12)
    assert "void cost_forward" in compiled.c_source
    assert is_loop(compiled)
    report = compiled.explain()
    assert f"{STEPS} steps; 2 numbers are carried, 1 come in and 1 go out at each" in report
    assert f"{STEPS} times the next" in report
    assert "no width" in repr(compiled.stats) or is_loop(compiled)
    assert compiled._repr_html_()


def test_derivatives_of_compiled_loops():
    (length, damping), cost = pendulum()
    compiled = cr.compile(cost)
    compiled.record(X, XS)
    assert is_loop(compiled)
    hessian = compiled.hessian(X, XS, wrt=[length, damping])
    for i in range(2):
        with_these = lambda a, b, i=i: rebuilt(a, b)(X[i], XS[i].tolist())  # noqa: E731
        assert hessian[i] == pytest.approx(cr.hessian(with_these)(1.3, 0.2), rel=1e-11)
    _, tangent = compiled.jvp(X, XS, tangents=[1.0, np.zeros(STEPS)])
    slopes = [cr.grad(cost)(x, row) for x, row in zip(X.tolist(), XS.tolist(), strict=True)]
    assert tangent == pytest.approx([float(getattr(s, "data", s)) for s in slopes], rel=1e-12)
    node = compiled([cr.Value(0.7)], [XS[0].tolist()])[0]
    assert node.data == pytest.approx(compiled(X[:1], XS[:1])[0], rel=1e-13)
    node.backward()
    assert node.parents[0].grad == pytest.approx(tangent[0], rel=1e-12)


def test_a_pickled_program_runs():
    _, cost = pendulum()
    compiled = cr.compile(cost).record(X, XS)
    again = pickle.loads(pickle.dumps(compiled))
    assert again(X, XS).tolist() == compiled(X, XS).tolist()
    assert again.value_and_grad(X, XS)[1].tolist() == compiled.value_and_grad(X, XS)[1].tolist()
    assert again.source == compiled.source
    for found, expected in zip(again.jacobian(X, XS), compiled.jacobian(X, XS), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13)  # all steps, from the body


def test_errors_are_those_of_the_loop_written_out():
    with pytest.raises(ValueError, match=r"step 0 .* changed the structure of the carry"):
        cr.compile(lambda x: cr.scan(lambda c, _: ([c, c], None), x, length=20)[0])([1.0])
    with pytest.raises(cr.TraceError, match=r"cr\.where"):
        cr.compile(lambda x: cr.scan(lambda c, _: (c if c > 0 else -c, None), x, length=20)[0])(
            [1.0]
        )


def test_rules_for_the_data_hold_for_every_step():
    logits = [cr.Value(0.1), cr.Value(0.2), cr.Value(0.3)]

    def cost(labels):
        step = lambda c, y: (c + nn.losses.cross_entropy([v * c for v in logits], y), None)  # noqa: E731
        return cr.scan(step, 1.0, labels)[0]

    compiled = cr.compile(cost)
    labels = [[0, 1, 2, 0, 1, 2, 0, 1, 2, 0]]
    assert compiled(labels) == pytest.approx([cost(labels[0]).data], rel=1e-12)
    assert is_loop(compiled)
    with pytest.raises(ValueError, match=r"example 1: .* a class index, is 3"):
        compiled([*labels, [0, 1, 2, 0, 1, 2, 0, 1, 3, 0]])


def test_targets_of_every_kind_in_a_step(form):
    """What is tested came in, or is computed by the step: from the state, or from what came in."""
    cell, out = nn.Layer(4, 3, activation="tanh", seed=1), nn.Layer(3, 3, seed=2)

    def cost(xs, labels):
        def step(state, given):
            (h, turn), (x, label) = state, given
            h = cell([*h, x])
            z = out(h)
            share = cr.abs(x) / (cr.abs(x) + 1.0)
            losses = [
                nn.losses.cross_entropy(z, label),
                nn.losses.cross_entropy(z, [share, 0.0, 1.0 - share]),
                nn.losses.logistic(z[1], cr.less(turn, 1.5)),
                nn.losses.logistic(z[0], cr.step(x)),
                cr.take([z[0], h[1], 2.0], label),
            ]
            return (h, cr.where(cr.less(turn, 2.0), turn + 1.0, 0.0)), losses

        (h, _), losses = cr.scan(step, ([0.1, 0.2, 0.3], 0.0), (xs, labels))
        return cr.sum([cr.sum(row) for row in losses]) + h[0]

    labels = np.arange(5 * STEPS).reshape(5, STEPS) % 3
    parameters = [*cell.parameters(), *out.parameters()]
    compiled = cr.compile(cost, wrt=parameters)
    mean, gradient = compiled.value_and_grad(XS, labels)
    assert is_loop(compiled)
    costs = [cost(x, y) for x, y in zip(XS.tolist(), labels.tolist(), strict=True)]
    for leaf in parameters:
        leaf.grad = 0.0
    cr.mean(costs).backward()
    assert mean == pytest.approx(np.mean([c.data for c in costs]), rel=1e-13)
    assert gradient == pytest.approx([leaf.grad for leaf in parameters], rel=1e-11, abs=1e-14)
    labels[2, 5] = 3
    with pytest.raises(ValueError, match=r"example 2: cross_entropy: .* is 3: expected 0 to 2"):
        compiled(XS, labels)


def test_a_branch_after_the_loop():
    w = cr.Value(0.5)

    def cost(x):
        last, _ = cr.scan(lambda c, _: (cr.sqrt(c) * w, None), x, length=10)
        return cr.where(cr.less(x, 0.0), 0.0, last)

    compiled = cr.compile(cost)
    value, gradient = compiled.value_and_grad([-1.0, 1.0])
    assert is_loop(compiled)
    assert math.isfinite(value)
    assert np.isfinite(gradient).all()


def test_short_loops_are_written_out(monkeypatch):
    _, cost = pendulum()
    monkeypatch.setattr(bodies, "LEAST_WORK", 20_000)
    assert not is_loop(cr.compile(cost).record(X, XS))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (counts_its_calls, "the step did something else when it was called again"),
    ],
)
def test_the_report_says_why_a_loop_is_written_out(make, reason):
    report = cr.compile(make()[1]).record(X, XS).explain()
    assert report.startswith("Loops\n  written out: ")
    assert reason in report.splitlines()[1]


def test_an_empty_batch_and_one_example():
    _, cost = pendulum()
    compiled = cr.compile(cost)
    assert compiled(np.zeros(0), np.zeros((0, STEPS))).shape == (0,)
    assert is_loop(compiled)
    assert compiled(X[:1], XS[:1]) == pytest.approx(compiled(X, XS)[:1], rel=1e-14)


def test_modes_are_as_they_were():
    before = modes.current()
    cr.compile(pendulum()[1]).record(X, XS)
    assert modes.current() is before
    assert loops.MOST_LOOPS > 1
