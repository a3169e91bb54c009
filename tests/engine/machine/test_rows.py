"""Rows of the table, and rows of a table by their number, in the machine."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from chainrule.compiler.plan import BLOCK, STILL, SUMS, Operand, Plan, Step
from chainrule.engine import table
from chainrule.engine.native import core
from chainrule.engine.table import TABLE

from .reading import agree, inf, nan, numbers, read, through

if core is None:
    pytest.skip("there is no native core here", allow_module_level=True)


# --- rows -----------------------------------------------------------------------------------------

POINTS = [
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 3.0, -3.0, 20.0, -20.0, 40.0, -40.0, 700.0, -700.0, 709.0,
    710.0, -708.0, -745.0, -745.13, -745.2, -746.0, 1e-300, -1e-300, 5e-324, -5e-324, 1e-310, 1e300,
    -1e300, 1e-8, -1e-8, 1e-16, 1e10, -1e10, inf, -inf, nan, 0.25, 27.9, 28.0, 1 - 2**-53,
    1 + 2**-52, 709.782712893384, 709.7827128933841, -708.3964185322641, 2.2250738585072014e-308,
]  # fmt: skip

# How many units in the last place a row made of our own exponential and logarithm may be away from
# the engine's, which has those of the C library; all other rows are the engine's to the last bit.
ULPS = {
    "exp": 1, "log": 1, "logaddexp": 1, "sigmoid": 2, "softplus": 2, "logsigmoid": 2, "silu": 2,
    "normal_pdf": 2, "sigmoid_minus": 2, "logistic_loss": 2, "tanh": 3, "hypot": 1, "sin": 1,
    "cos": 1,
}  # fmt: skip

ROWS = [row for name, row in TABLE.items() if name in table.BUILT_IN]


def apart(a, b):
    """Return how many floats lie between, 0 for two nans; -0.0 is not 0.0."""
    keys = [np.ascontiguousarray(x, dtype=float).view(np.int64) for x in (a, b)]
    first, second = (np.where(k < 0, -(k & (2**63 - 1)) - 1, k) for k in keys)
    near = np.isclose(a, b, rtol=1e-9, atol=1e-300)
    distance = np.where(near, abs(first - second), 2**62).astype(float)
    return np.where(np.isnan(a) & np.isnan(b), 0.0, distance)


def grid(row):
    rng = np.random.default_rng(11)
    if row.arity == 1:
        spread = [rng.normal(size=200) * s for s in (1.0, 30.0)]
        wide = rng.uniform(-750, 750, 200), 10.0 ** rng.uniform(-320, 308, 100)
        return [np.concatenate([POINTS, *spread, *wide, -wide[1]])]
    a, b = (x.ravel() for x in np.meshgrid(POINTS, POINTS))
    near = rng.normal(size=(2, 300)) * 3.0
    if row.name in ("sigmoid_minus", "logistic_loss"):
        near[1] = rng.choice([0.0, 1.0, 0.3, 0.999], 300)
    return [np.concatenate([a, near[0]]), np.concatenate([b, near[1]])]


@pytest.mark.parametrize("name", [n for n in TABLE if core.Machine.can(TABLE[n])])
def test_rows_are_the_engine_s(level, name):
    row = TABLE[name]
    if row.arity not in (1, 2):
        return
    args = grid(row)
    n, m = len(args), len(args[0])
    expected = np.array([row.scalar(*x) for x in zip(*(x.tolist() for x in args), strict=True)])
    places = [Operand(BLOCK, i, (0,)) for i in range(n)]
    operands = Operand(BLOCK, n + 1, (0,)), *places
    lanes = Plan(
        rows=[row], block=n + 2, inputs=[(0, n)], tables=[np.array([[0, n, 0, n - 1, 0]])],
        outputs=[Operand(BLOCK, n), Operand(BLOCK, n + 1)],
        each=[Step("flat", (), (), (0,)), Step("apply", (1,), operands, (0,))],
    )  # fmt: skip
    found = core.Machine(lanes).run((), (np.stack(args, 1),), 1)
    # The same on one lane, along a vector of STILL, and of places apart from one another.
    still = np.zeros(1 + 4 * m)
    for i, x in enumerate(args):
        still[1 + i * m : 1 + (i + 1) * m] = x
    lie = [Operand(STILL, 1 + i * m, (1,)) for i in range(n)]
    vector = Plan(
        rows=[row], still=still, block=2 * m,
        each=[Step("apply", (m,), (Operand(BLOCK, 0, (2,)), *lie), (0,))],
        outputs=[Operand(BLOCK, 2 * i) for i in range(m)],
    )  # fmt: skip
    along = core.Machine(vector).run((), (), 1)[:, 0]
    for x in (*found, along):
        assert apart(x, expected).max() <= ULPS.get(name, 0)


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_turns_have_all_digits_near_multiples_of_a_quarter(level, name):
    near = np.arange(-700, 701) * (math.pi / 2)
    x = np.concatenate([near, np.nextafter(near, math.inf), np.nextafter(near, -math.inf)])
    step = Step("apply", (1,), (Operand(BLOCK, 1, (0,)), Operand(BLOCK, 0, (0,))), (0,))
    found, expected = through(step, 1, 1, len(x), x[:, None], rows=[TABLE[name]])
    assert apart(found, expected).max() <= 1


@pytest.mark.parametrize("m", [1, 2, 70])
def test_one_operand_may_be_the_same_for_all_lanes(level, m):
    x = numbers((m, 1), 2)
    for name in ("+", "-", "*", "/", "**", "less", "sigmoid_minus", "leaky_relu", "hypot"):
        for turned in (False, True):
            args = [Operand(BLOCK, 0, (0,)), Operand(STILL, 1, (0,))]
            step = Step(
                "apply", (1,), (Operand(BLOCK, 1, (0,)), *args[:: -1 if turned else 1]), (0,)
            )
            found, expected = through(step, 1, 1, m, x, rows=[TABLE[name]])
            assert apart(found, expected).max() <= ULPS.get(name, 0)


@pytest.mark.parametrize("m", [1, 2, 70])
def test_rows_of_any_number_of_arguments(level, m):
    x = numbers((m, 6), 4)
    x[:, 5] = np.arange(m) % 3
    row_args = {
        "where": [5, 0, 1], "maximum": [0, 1, 2, 1], "minimum": [0, 1], "sum": [0, 1, 2, 3],
        "mean": [0, 1, 2], "dot": [0, 1, 2, 3, 4], "logsumexp": [0, 1, 2], "softmax": [5, 1, 2, 3],
        "softmax_rest": [5, 0, 1, 2], "cross_entropy": [5, 0, 1, 2], "take": [5, 0, 1, 2],
        "soft_cross_entropy": [0, 1, 2, 3],
    }  # fmt: skip
    assert {row.name for row in ROWS if row.arity not in (1, 2)} == row_args.keys()
    for name, where in row_args.items():
        args = tuple(Operand(BLOCK, i, (0,)) for i in where)
        for step in (
            Step("apply", (1,), (Operand(BLOCK, 6, (0,)), *args), (0,)),
            Step("call", (), (), (0, 0)),
        ):
            found, expected = through(step, 6, 1, m, x, [np.array([6, *where])], [TABLE[name]])
            assert apart(found, expected).max() == 0.0, name


def test_a_number_that_is_not_one_of_the_entries_is_refused():
    step = Step("call", (), (), (0, 0))
    for name, at in itertools.product(("softmax", "take", "cross_entropy"), (-1.0, 2.0, nan)):
        with pytest.raises(IndexError, match="take: expected whole numbers from 0 to 1"):
            through(
                step, 3, 1, 1, np.array([[at, 1.0, 2.0]]), [np.array([3, 0, 1, 2])], [TABLE[name]]
            )


def test_exponential_and_logarithm_are_within_one_unit(level):
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(8)
    for name, x in (
        ("exp", np.concatenate([rng.uniform(-746, 710, 20000), rng.normal(size=20000)])),
        (
            "log",
            np.concatenate([10.0 ** rng.uniform(-323, 308, 20000), 1 + rng.normal(size=9000) / 9]),
        ),
    ):
        row = TABLE[name]
        plan = Plan(
            rows=[row], block=2, inputs=[(0, 1)], outputs=[Operand(BLOCK, 1)],
            each=[Step("apply", (1,), (Operand(BLOCK, 1, (0,)), Operand(BLOCK, 0, (0,))), (0,))],
        )  # fmt: skip
        found = core.Machine(plan).run((), (x,), 1)[0]
        assert apart(found, np.array([row.scalar(t) for t in x.tolist()])).max() <= 1.0
        for t, y in zip(x[::40].tolist(), found[::40].tolist(), strict=True):
            with mpmath.workprec(120):
                exact = getattr(mpmath, name)(mpmath.mpf(t))
                off = abs(y - exact)
            assert off <= (0.501 if abs(y) < 1e-307 else 0.6) * math.ulp(y)


@pytest.mark.parametrize("m", [1, 2, 70])
def test_complements_keep_their_digits(level, m):
    mpmath = pytest.importorskip("mpmath")
    z = np.resize(
        [-700.0, -40.0, -1.0, -0.1, 0.0, 0.3, 0.55, 0.9, 2.0, 9.0, 20.0, 40.0, 300.0], (m, 1)
    )
    z = z if m > 2 else z[-m:] + 0.5
    for code, row, exact in (
        ("one_minus", table.sigmoid, lambda t: 1 / (1 + mpmath.exp(t))),
        ("one_minus_square", table.tanh, lambda t: 1 / mpmath.cosh(t) ** 2),
    ):
        plan = Plan(
            rows=[row], block=3, inputs=[(0, 1)], outputs=[Operand(BLOCK, 2)],
            each=[
                Step("apply", (1,), (Operand(BLOCK, 1, (0,)), Operand(BLOCK, 0, (0,))), (0,)),
                Step(code, (1,), tuple(Operand(BLOCK, i, (0,)) for i in (2, 1, 0))),
            ],
        )  # fmt: skip
        found = core.Machine(plan).run((), (z,), 1)[0]
        flat = Plan(
            rows=[row], block=3, inputs=[(0, 1)], outputs=[Operand(BLOCK, 2)],
            each=[Step("flat", (), (), (0,))],
            tables=[np.array([[0, 1, 0, 0, 0], [-1 if code == "one_minus" else -2, 2, 1, 0, 0]])],
        )  # fmt: skip
        again = core.Machine(flat).run((), (z,), 1)[0]
        for t, x, y in zip(z.ravel().tolist(), found.tolist(), again.tolist(), strict=True):
            e = float(exact(mpmath.mpf(t)))
            assert x == pytest.approx(e, rel=2e-15, abs=5e-324)
            assert y == pytest.approx(e, rel=2e-15, abs=5e-324)


@pytest.mark.parametrize("m", [1, 2, 70])
@pytest.mark.parametrize("between", ["nothing", "reads", "writes z", "writes a", "writes rest"])
@pytest.mark.parametrize("rest", [2, 6, 7])
def test_a_complement_computed_with_its_sigmoid_is_the_same(level, rest, between, m):
    def rows(first, *strides):
        return Operand(BLOCK, first, strides or (1,))

    meddling = {
        "nothing": [],
        "reads": [Step("copy", (2,), (rows(10), rows(rest)))],
        "writes z": [Step("copy", (1,), (rows(3, 0), rows(0, 0)))],
        "writes a": [Step("copy", (1,), (rows(5, 0), rows(0, 0)))],
        "writes rest": [Step("copy", (1,), (rows(rest, 0), rows(0, 0)))],
    }[between]
    plan = Plan(
        rows=[table.sigmoid], block=12, inputs=[(0, 4)],
        outputs=[Operand(BLOCK, i) for i in range(12)],
        each=[
            Step("copy", (8,), (rows(4), rows(0, 0))),
            Step("apply", (2,), (rows(4), rows(2)), (0,)),
            *meddling,
            Step("one_minus", (2,), (rows(rest), rows(4), rows(2))),
        ],
    )  # fmt: skip
    x = numbers((m, 4), m, 9.0)
    found, expected = core.Machine(plan).run((), (x,)), read(plan, (), (x,))
    if between in ("writes a", "writes z") or (between == "writes rest" and rest == 2):
        # The two operands do not belong together then, so only that a was not 1 - ... is asked.
        kept = [i for i in range(12) if not rest <= i < rest + 2]
        found, expected = found[kept], expected[kept]
    agree(found, expected, 1e-15)


def test_flat_steps_of_many_kinds(level):
    rng = np.random.default_rng(2)
    rows = [
        table.add,
        table.multiply,
        table.sin,
        table.where,
        table.maximum,
        table.divide,
        table.exp,
    ]
    steps = [[i % 7, 5 + i, *rng.integers(0, 5 + i, 3)] for i in range(60)]
    steps[10][3], steps[11][2] = ~1, ~2
    plan = Plan(
        rows=rows, tables=[np.array(steps)], block=65, still=np.zeros(3), parameters=(1, 3),
        inputs=[(0, 5)], outputs=[Operand(BLOCK, 5 + i) for i in range(60)],
        each=[Step("flat", (), (), (0,))],
    )  # fmt: skip
    theta = np.array([0.5, 2.0])
    for m in (1, 2, 9, 300):
        x = rng.normal(size=(m, 5))
        agree(core.Machine(plan).run(theta, (x,)), read(plan, theta, (x,)), 1e-13)


# --- rows of a table by their number --------------------------------------------------------------


def looked_up(code):
    """Return a plan that picks rows of a table of 3 rows by 2 in STILL, or spreads into sums."""
    if code == "pick":
        operands = Operand(BLOCK, 2, (2, 1)), Operand(BLOCK, 0, (1, 0)), Operand(STILL, 1, (0, 1))
        step = Step("pick", (2, 2), operands, (3, 2))
        return Plan(
            still=np.zeros(7), parameters=(1, 7), block=6, inputs=[(0, 2)], each=[step],
            outputs=[Operand(BLOCK, 2 + i) for i in range(4)],
        )  # fmt: skip
    step = Step(
        "spread", (2, 2),
        (Operand(SUMS, 0, (0, 1)), Operand(BLOCK, 0, (1, 0)), Operand(BLOCK, 0, (1, 1))), (3, 2),
    )  # fmt: skip
    return Plan(
        still=np.zeros(14), parameters=(1, 7), block=3, inputs=[(0, 3)], sums=6, each=[step],
        after=[Step("copy", (6,), (Operand(STILL, 7, (1,)), Operand(SUMS, 0, (1,))))],
        cost=13, gradient=(7, 13),
    )  # fmt: skip


@pytest.mark.parametrize("m", [1, 2, 500])
def test_picked_and_spread(m):
    which = np.random.default_rng(m).integers(0, 3, (m, 3)).astype(float)
    theta = numbers(6, 1)
    pick, spread = looked_up("pick"), looked_up("spread")
    found = core.Machine(pick).run(theta, (which[:, :2],))
    agree(found, read(pick, theta, (which[:, :2].copy(),)))
    found, expected = core.Machine(spread).run(theta, (which,)), read(spread, theta, (which,))
    agree(found[1], expected[1], 1e-15)


@pytest.mark.parametrize("bad", [3.0, -1.0, 0.5, nan, inf])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_number_that_is_none_of_the_rows_is_refused(bad, threads):
    for code, at in itertools.product(("pick", "spread"), (0, 9000)):
        plan = looked_up(code)
        machine = core.Machine(plan)
        x = np.ones((10000, plan.inputs[0][1]))
        x[at, 1] = bad
        for _ in range(3):
            with pytest.raises(IndexError, match=r"^take: expected whole numbers from 0 to 2$"):
                machine.run(np.zeros(6), (x,), threads)
        machine.run(np.zeros(6), (np.ones_like(x),), threads)
