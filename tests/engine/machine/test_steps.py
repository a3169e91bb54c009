"""Every code of a plan, against a reading of it in plain Python."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from chainrule.compiler.machine import Machine as NumPyMachine
from chainrule.compiler.plan import BLOCK, STILL, SUMS, Operand, Plan, Step
from chainrule.engine.backend import Value
from chainrule.engine.native import core

from .reading import LINES, SIZES, agree, inf, nan, numbers, read, softmax, through

if core is None:
    pytest.skip("there is no native core here", allow_module_level=True)


@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize(
    ("step", "n_in", "n_out"),
    [
        (Step("copy", (2, 3), (Operand(BLOCK, 6, (1, 2)), Operand(BLOCK, 0, (3, 1)))), 6, 6),
        (Step("copy", (2, 3), (Operand(BLOCK, 2, (3, 1)), Operand(STILL, 1, (1, 1)))), 2, 6),
        (Step("add", (2, 2), (Operand(BLOCK, 4, (2, 1)), Operand(BLOCK, 0, (2, 1)))), 4, 4),
        (Step("add", (2, 2), (Operand(BLOCK, 4, (1, 2)), Operand(STILL, 1, (0, 1)))), 4, 4),
        (Step("gather", (5,), (Operand(BLOCK, 4, (1,)), Operand(BLOCK, 0, (1,))), (0,)), 4, 5),
        (Step("gather", (5,), (Operand(BLOCK, 4, (1,)), Operand(STILL, 1, (1,))), (0,)), 4, 5),
        (Step("scatter", (4,), (Operand(BLOCK, 4, (2,)), Operand(BLOCK, 0, (1,))), (1,)), 4, 8),
        (Step("scatter_add", (5,), (Operand(BLOCK, 5, (1,)), Operand(BLOCK, 0, (1,))), (0,)), 5, 4),
        (Step("one_hot", (2, 3), (Operand(BLOCK, 2, (3, 1)), Operand(BLOCK, 0, (1, 0)))), 2, 6),
        (Step("sum", (2, 3), (Operand(BLOCK, 6, (1, 0)), Operand(BLOCK, 0, (3, 1))), (1,)), 6, 2),
        (Step("sum", (2, 3), (Operand(BLOCK, 6, (1, 0)), Operand(BLOCK, 0, (1, 2))), (1,)), 6, 2),
        (Step("sum", (2, 3), (Operand(BLOCK, 6, (0, 0)), Operand(BLOCK, 0, (1, 2))), (2,)), 6, 1),
        (Step("sum", (2, 3), (Operand(BLOCK, 6, (3, 1)), Operand(BLOCK, 0, (1, 2))), (0,)), 6, 6),
        (Step("sum", (2, 2), (Operand(BLOCK, 6, (1, 0)), Operand(STILL, 1, (2, 1))), (1,)), 6, 2),
    ],
    ids=lambda x: x.code if isinstance(x, Step) else None,
)  # fmt: skip
def test_moves_and_sums(level, step, n_in, n_out, m):
    tables = [np.array([3, 0, 0, 2, 1]), np.array([1, 3, 0, 2], dtype=np.int32)]
    x = None
    if step.code == "one_hot":
        x = np.random.default_rng(m).integers(-1, 4, (m, n_in)).astype(float)
    found, expected = through(step, n_in, n_out, m, x, tables, initial=0.0)
    assert found.shape == (n_out, m)
    agree(found, expected, 1e-15, 1e-15)


PRODUCTS = {
    "weights times an example": (
        (3, 4), Operand(BLOCK, 4, (1, 0)), Operand(STILL, 1, (4, 1)), Operand(BLOCK, 0, (0, 1)),
        4, 3, 12,
    ),
    "the transposed weights times an example": (
        (4, 3), Operand(BLOCK, 3, (1, 0)), Operand(STILL, 1, (1, 4)), Operand(BLOCK, 0, (0, 1)),
        3, 4, 12,
    ),
    "an example times weights": (
        (3, 4), Operand(BLOCK, 4, (1, 0)), Operand(BLOCK, 0, (0, 1)), Operand(STILL, 1, (4, 1)),
        4, 3, 12,
    ),
    "matrix times weights": (
        (3, 5, 4), Operand(BLOCK, 12, (5, 1, 0)), Operand(BLOCK, 0, (4, 0, 1)),
        Operand(STILL, 1, (0, 4, 1)), 12, 15, 20,
    ),
    "two matrices of an example": (
        (2, 3, 4), Operand(BLOCK, 20, (3, 1, 0)), Operand(BLOCK, 0, (4, 0, 1)),
        Operand(BLOCK, 8, (0, 1, 3)), 20, 6, 1,
    ),
    "two matrices of an example, the other transposed": (
        (2, 3, 4), Operand(BLOCK, 20, (3, 1, 0)), Operand(BLOCK, 0, (4, 0, 1)),
        Operand(BLOCK, 8, (0, 4, 1)), 20, 6, 1,
    ),
    "a stack of matrices": (
        (3, 2, 2, 2), Operand(BLOCK, 24, (4, 2, 1, 0)), Operand(BLOCK, 0, (4, 2, 0, 1)),
        Operand(BLOCK, 12, (4, 0, 1, 2)), 24, 12, 1,
    ),
    "an outer product": (
        (3, 4, 1), Operand(BLOCK, 7, (4, 1, 0)), Operand(BLOCK, 0, (1, 0, 0)),
        Operand(BLOCK, 3, (0, 1, 0)), 7, 12, 1,
    ),
    "only weights": (
        (3, 4), Operand(BLOCK, 1, (1, 0)), Operand(STILL, 1, (4, 1)), Operand(STILL, 13, (0, 1)),
        1, 3, 16,
    ),
    "a long one": (
        (7, 30), Operand(BLOCK, 30, (1, 0)), Operand(STILL, 1, (30, 1)),
        Operand(BLOCK, 0, (0, 1)), 30, 7, 210,
    ),
}  # fmt: skip


@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize("name", PRODUCTS)
def test_products(level, name, m):
    extents, result, a, b, n_in, n_out, parameters = PRODUCTS[name]
    step = Step("product", extents, (result, a, b))
    found, expected = through(step, n_in, n_out, m, parameters=parameters)
    agree(found, expected, 1e-13, 1e-13)


@pytest.mark.parametrize("m", [1, 2, 9, 41])
@pytest.mark.parametrize("space", [BLOCK, SUMS])
@pytest.mark.parametrize("hostile", [False, True])
def test_linked_products(level, hostile, space, m):
    rng = np.random.default_rng(m)
    a, mask = rng.normal(size=(m, 6)), rng.integers(0, 2, (m, 6)).astype(float)
    b = rng.normal(size=(m, 12))
    a *= mask
    if hostile:
        b[rng.random(b.shape) < 0.1] = rng.choice([inf, -inf, nan])
        a[mask == 0.0] = nan
    x = np.hstack([a, mask, b])
    strides = [(3, 0, 1), (3, 0, 1), (0, 1, 4)]
    operands = [Operand(BLOCK, at, s) for at, s in zip((0, 6, 12), strides, strict=True)]
    step = Step(
        "linked_product", (2, 4, 3),
        (Operand(space, 24 * (space == BLOCK), (4, 1, 0)), *(operands[i] for i in (0, 2, 1))),
    )  # fmt: skip
    if space == BLOCK:
        found, expected = through(step, 24, 8, m, x)
    else:
        plan = Plan(
            still=np.zeros(10), block=24, inputs=[(0, 24)], sums=8, each=[step], cost=9,
            gradient=(1, 9),
            after=[Step("copy", (8,), (Operand(STILL, 1, (1,)), Operand(SUMS, 0, (1,))))],
        )  # fmt: skip
        (_, found), (_, expected) = core.Machine(plan).run((), (x,)), read(plan, (), (x,))
    agree(found, expected, 1e-13, 1e-13)
    assert hostile or np.isfinite(expected).all()


@pytest.mark.parametrize("code", ["maximum", "logsumexp", "softmax", "logsumexp_slopes"])
@pytest.mark.parametrize("n", [31, 32, 33, 39, 40, 203])
def test_one_long_line(level, code, n):
    """Of one example vectors run along the line; what is missing of the last one has no part."""
    rng, one_number = np.random.default_rng(n), code in ("maximum", "logsumexp")
    result = Operand(BLOCK, n, (0,) if one_number else (1,))
    step = Step(code, (n,), (result, Operand(BLOCK, 0, (1,))))
    lines = [rng.normal(size=n), np.full(n, 2.5), np.full(n, -inf), np.full(n, -1e300)]
    for bad, places in itertools.product(
        [inf, -inf, nan, 700.0, -0.0], [[0], [n - 1], [n // 2, n - 2], [5, 13]]
    ):
        lines.append(rng.normal(size=n))
        lines[-1][places] = bad
    for line in lines:
        found, expected = through(step, n, 1 if one_number else n, 1, line[None])
        agree(found, expected, 4e-15, 1e-300)


CENTRES = {  # extents, how many are summed, strides of result, coordinates and centres, and where
    "an example and centres": ((5, 3), 1, (1, 0), (0, 1), (3, 1), STILL),
    "centres that lie across": ((5, 3), 1, (1, 0), (0, 1), (1, 5), STILL),
    "centres of each example": ((5, 3), 1, (1, 0), (0, 1), (3, 1), BLOCK),
    "one sum": ((5, 3), 2, (0, 0), (0, 1), (3, 1), STILL),
    "no sum": ((5, 3), 0, (3, 1), (0, 1), (3, 1), STILL),
    "no sum of what lies across": ((5, 3), 0, (1, 5), (0, 1), (1, 5), BLOCK),
}

EXAMPLES = [0, 1, 2, 9, 70]


def with_sums(step, n, size, x):
    """Return what the machines in C and in NumPy find of a step into SUMS, and the reading."""
    theta = numbers(15, seed=5)
    plan = Plan(
        still=np.zeros(17 + n), block=size, parameters=(1, 16), inputs=[(0, size)], sums=n,
        each=[step], cost=16, gradient=(17, 17 + n),
        after=[Step("copy", (n,), (Operand(STILL, 17, (1,)), Operand(SUMS, 0, (1,))))],
    )  # fmt: skip
    runs = [
        core.Machine(plan).run(theta, (x,)),
        NumPyMachine(plan).run([Value(t) for t in theta], (x,)),
        read(plan, theta, (x,)),
    ]
    return [found for _, found in runs]


@pytest.mark.parametrize("name", CENTRES)
def test_squared_distances(level, name):
    extents, inner, result, point, centre, space = CENTRES[name]
    at = 1 if space == STILL else 3
    operands = Operand(BLOCK, 18, result), Operand(BLOCK, 0, point), Operand(space, at, centre)
    n = 1 + sum((x - 1) * s for x, s in zip(extents, result, strict=True))
    for m in EXAMPLES:
        step = Step("squared_distance", extents, operands, (inner,))
        found, expected = through(step, 18, n, m, parameters=15)
        agree(found, expected, 1e-13, 1e-13)


@pytest.mark.parametrize("zeros", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("hostile", [False, True])
@pytest.mark.parametrize("into", [BLOCK, SUMS])
@pytest.mark.parametrize("name", CENTRES)
def test_weighted_differences(level, name, into, hostile, zeros):
    """Terms with a weight of 0 may be left out only where the difference is finite."""
    extents, inner, result, point, centre, space = CENTRES[name]
    weights, first = Operand(BLOCK, 0, (1, 0)), Operand(into, 23 * (into == BLOCK), result)
    others = Operand(BLOCK, 5, point), Operand(space, 1 if space == STILL else 8, centre)
    step = Step("weighted_difference", extents, (first, weights, *others), (inner,))
    n = 1 + sum((e - 1) * s for e, s in zip(extents, result, strict=True))
    for m in EXAMPLES:
        rng = np.random.default_rng(m)
        x = rng.normal(size=(m, 23))  # 5 weights, 3 coordinates, 15 of centres
        x[:, :5][rng.random((m, 5)) < zeros] = 0.0
        if hostile:
            x[:, 5:][rng.random((m, 18)) < 0.05] = rng.choice([inf, -inf, nan, 1e308, -1e308])
        if into == BLOCK:
            found, expected = through(step, 23, n, m, x, parameters=15)
        else:
            found, by_numpy, expected = with_sums(step, n, 23, x)
            agree(by_numpy, expected, 1e-12, 1e-12)
        agree(found, expected, 1e-12, 1e-12)
        assert hostile or np.isfinite(expected).all()


LEVELS_OF_LINES = [
    pytest.param(code, detail, id=f"{code}{'-of-stretches' * bool(detail)}")
    for code, detail in itertools.product(LINES, [(), (0,)])
    if not (detail and code in ("surprisals", "cross_entropy", "softmax_minus"))
]

HOSTILE = [
    [0.0, 0.0, 0.0, 0.0, 0.0],
    [1000.0, -1000.0, 999.0, 0.0, 1000.0],
    [inf, 0.0, 1.0, -inf, 2.0],
    [inf, inf, 1.0, -inf, inf],
    [-inf, -inf, -inf, -inf, -inf],
    [-inf, 0.0, -inf, -inf, -inf],
    [nan, 0.0, 1.0, 2.0, 3.0],
    [5e-324, -5e-324, 1e-310, 0.0, -0.0],
    [40.0, 0.0, -40.0, 3.0, 39.0],
    [800.0, 0.0, -1.0, 1e-8, 2.0],
]


def targets(m, n=5):
    shares = np.random.default_rng(3).dirichlet(np.ones(n), m)
    shares[::2] = np.eye(n)[np.arange(len(shares[::2])) % n]
    return shares


@pytest.mark.parametrize("m", [1, 2, 9, 41])
@pytest.mark.parametrize(("code", "detail"), LEVELS_OF_LINES)
def test_careful_forms(level, code, detail, m):
    rows = np.concatenate([HOSTILE, numbers((m, 5), m, 3.0)])[-m - 2 : -2] if m < 9 else None
    z = np.concatenate([HOSTILE, numbers((m, 5), m, 3.0)])[:m] if rows is None else rows
    if code == "softmax_pullback":
        z = np.where(np.isfinite(z), z, 1.0)
        z = np.array(
            [[*softmax(row[:2]), *softmax(row[2:])] if detail else softmax(row) for row in z]
        )
    y = numbers((m, 5), 7) if code == "softmax_pullback" else targets(m)
    to_one = code in ("segment_sum", "maximum", "minimum", "logsumexp", "cross_entropy")
    n_out = (2 if detail else 1) if to_one else 5
    result = Operand(BLOCK, 10, (1 if detail or not to_one else 0,))
    operands = (result, Operand(BLOCK, 0, (1,)), Operand(BLOCK, 5, (1,)))
    two = code in ("softmax_pullback", "cross_entropy", "softmax_minus")
    step = Step(code, (5,), operands[: 2 + two], detail)
    found, expected = through(step, 10, n_out, m, np.hstack([z, y]), [np.array([0, 2])])
    if code not in ("softmax_pullback", "softmax_minus"):
        agree(found, expected, 2e-15, 5e-324)
        return
    sure = z.max(1) > 0.999 if two and code == "softmax_pullback" else np.max(z, 1) > 30.0
    agree(found[:, ~sure], expected[:, ~sure], 2e-15, 2e-15)
    agree(found[:, sure], expected[:, sure], 1e-11, 1e-300)


@pytest.mark.parametrize("m", [1, 9])
@pytest.mark.parametrize("detail", [(), (0,)])
def test_infinite_adjoints_of_a_softmax(level, detail, m):
    logits = [[0.0] * 5, [1.0, 0.0, 0.5, 2.0, 1.0], [9.0, 0.0, 0.0, 1.0, 0.0]]
    logits += [[999.0, 0.0, 0.0, 0.0, 0.0], [0.0, -999.0, 0.5, 0.5, -999.0], [-inf] * 5]
    shares = [[*softmax(z[:2]), *softmax(z[2:])] if detail else softmax(z) for z in logits]
    hostile = [inf, 0.5, -inf, nan, -2.0, 0.0]
    for k in range(0, 36, 5 if m == 9 else 1):
        kinds = [hostile[(k + i * j * j) % 6] for i in range(m) for j in range(5)]
        z = np.array([shares[(k + i) % 6] for i in range(m)])
        y = np.reshape(kinds, (m, 5))
        operands = Operand(BLOCK, 10, (1,)), Operand(BLOCK, 0, (1,)), Operand(BLOCK, 5, (1,))
        step = Step("softmax_pullback", (5,), operands, detail)
        found, expected = through(step, 10, 5, m, np.hstack([z, y]), [np.array([0, 2])])
        agree(found, expected, 1e-12, 1e-15)


@pytest.mark.parametrize("m", [1, 3])
def test_lines_along_any_axis(level, m):
    z = numbers((m, 24), 1)
    for strides, out in (((1, 4), (1, 4)), ((6, 1), (6, 1)), ((1, 4), (6, 1))):
        operands = Operand(BLOCK, 24, out), Operand(BLOCK, 0, strides)
        found, expected = through(Step("softmax", (4, 6), operands), 24, 24, m, z)
        agree(found, expected, 2e-15)
