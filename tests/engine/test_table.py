"""Every row of the table of primitives against mpmath, to the third derivative.

A :class:`Case` says what a row should be in textbook terms and where to look; ``discrepancies`` is
the one judge.  The judge is judged in its turn: with a sign, a factor of 1 + 1e-6 or a dropped term
planted in any partial it must object.

Tolerances are relative, in units of 2**-52, and the same for all rows unless a case says why not.
A value is a few roundings from the truth (4 units), a first derivative a few products more (12).
Neither has an absolute part, so a tail must keep its relative accuracy.  From the second derivative
on, terms of opposite sign may cancel near an isolated zero, as in tanh'' at 0: the error is then
compared with the derivative nearby (``reach``) instead.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

import chainrule as cr
from chainrule.engine import table as primitives

from ..oracles import exact
from ..oracles.exact import EPS, SMALLEST, Jet

LARGEST = np.finfo(float).max
UNITS = (4, 12, 40, 160)  # by order of derivative
EXTREMES = [10.0**k for k in (-300, -200, -100, -30, -8, -3, 3, 8, 30, 100, 200, 300)]
GAUSSIAN_EXTREMES = EXTREMES[:-2]  # beyond, x**2 overflows while the density is 0


def unit_reach(*point):
    return [1.0] * len(point)


def relative_reach(*point):
    return [abs(x) / 4 for x in point]


def beyond_one_reach(x):
    return [max(abs(x), 1.0) / 4]


def joint_reach(*point):
    return [max(map(abs, point)) / 4] * len(point)


@dataclass
class Case:
    row: str
    truth: Callable  # the same function of exact.Jet
    special: Sequence = (0.0,)  # numbers, or tuples of them; each is tried with its neighbours
    valid: Callable[..., bool] = lambda *point: True
    domain: Sequence | None = (
        None  # the row's own, unless the row has other arguments than the case
    )
    call: Callable | None = None  # from the row and the point, how to apply it
    reach: Callable[..., list[float]] = unit_reach
    slack: Callable[..., float] = lambda *point: 1.0  # how much the conditioning widens a tolerance
    name: str = ""
    random_points: int = 200
    extremes: Sequence[float] = tuple(EXTREMES)
    order: int = 3

    def __post_init__(self):
        self.name = self.name or self.row

    def apply(self, row, *point):
        return self.call(row, *point) if self.call else row(*point)

    def intervals(self):
        return self.domain or primitives.TABLE[self.row].domain

    def special_points(self):
        points = [p if isinstance(p, tuple) else (p,) for p in self.special]
        for point in list(points):
            for i, x in enumerate(point):
                near = [math.nextafter(x, math.inf), math.nextafter(x, -math.inf)]
                points += [(*point[:i], y, *point[i + 1 :]) for y in [*near, x + 1e-8, x - 1e-8]]
        return [p for p in points if self.valid(*p)]

    def extreme_points(self):
        n = len(self.intervals())
        signed = [s * x for x in self.extremes for s in (1, -1)]
        if n > 1:
            rng = random.Random(self.name)
            signed += [1.0, -1.0]
            grid = [tuple(rng.choice(signed) for _ in range(n)) for _ in range(30)]
        else:
            grid = [(x,) for x in signed]
        return [p for p in grid if self.valid(*p)]

    def sampled_points(self):
        rng = random.Random(self.name)
        points = [
            tuple(rng.uniform(*interval) for interval in self.intervals())
            for _ in range(self.random_points)
        ]
        return [p for p in points if self.valid(*p)]

    def points(self):
        return self.special_points() + self.sampled_points() + self.extreme_points()


def sigmoid(x):
    return 1 / (1 + exact.exp(-x))


def tanh(x):
    return 1 - 2 / (1 + exact.exp(2 * x))


def softplus(x):
    return exact.log(1 + exact.exp(x))


def hypot(a, b):
    return exact.sqrt(a * a + b * b)


def atan2(b, a):
    if abs(a.real) >= abs(b.real):
        turn = 0 if a.real > 0 else mpmath.pi * (1 if b.real >= 0 else -1)
        return exact.atan(b / a) + turn
    return mpmath.pi / 2 * (1 if b.real > 0 else -1) - exact.atan(a / b)


def total(xs):
    return sum(xs, Jet({(): mpf(0)}))


def logsumexp(*xs):
    return exact.log(total([exact.exp(x) for x in xs]))


def exponential_slack(x):
    # exp(-x**2/2) and erfc: a rounding of the argument weighs x**2 in the result
    return 1.0 + min(x * x, 1500.0)


def power_slack(x, p):
    # x**(p-1): the rounding of p - 1 weighs log(x); y*log(x): that of y weighs nothing more
    return 1.0 + abs(math.log(abs(x)))


def spread_slack(*xs):
    # the rounding of x - max weighs that difference in the exponential
    return 1.0 + max(xs) - min(xs)


def is_share(z, y):
    return 0 <= y <= 1


def logistic_slack(z, y):
    # a - y is a difference of (1 - y) a and y (1 - a), each of them exact
    with mpmath.workdps(400):
        a = 1 / (1 + mpmath.exp(-mpf(z)))
        return 1.0 + float(min(((1 - y) * a + y * (1 - a)) / max(abs(a - y), mpf(SMALLEST)), 1e300))


def difference_slack(a, y):
    return 1.0 if a == y else float((abs(mpf(a)) + abs(mpf(y))) / abs(mpf(a) - mpf(y)))


def inversion_slack(a, b):
    # of the square of the one coordinate that of the other is subtracted
    with mpmath.workdps(60):
        a, b = mpf(a) ** 2, mpf(b) ** 2
        return float((a + b) / abs(a - b))


def soft_slack(*args):
    # as in the softmax; and p - y is a difference
    n = len(args) // 2
    ys, zs = args[:n], args[n:]
    with mpmath.workdps(60):
        powers = [mpmath.exp(mpf(z)) for z in zs]
        worst = max(
            (sum(ys) * p / sum(powers) + y) / max(abs(sum(ys) * p / sum(powers) - y), mpf(SMALLEST))
            for p, y in zip(powers, ys, strict=True)
        )
    return spread_slack(*zs) * float(min(worst, 1e300))


def cross_entropy(k, *zs):
    return logsumexp(*(z - zs[k] for z in zs))


def soft_cross_entropy(*args):
    n = len(args) // 2
    return total([y * cross_entropy(k, *args[n:]) for k, y in enumerate(args[:n])])


def power_case(p, **kw):
    return Case(
        "**", lambda x: exact.power(x, Jet({(): mpf(p)})), call=lambda row, x: row(x, p),
        domain=((-3.0, 3.0) if p == int(p) else (0.01, 3.0),), special=(1.0, 2.0),
        valid=lambda x: x > 0 or (p == int(p) and (x < 0 or p > 0)), name=f"x**{p}",
        reach=relative_reach, **kw,
    )  # fmt: skip


PLANE = [(1.0, 1.0), (1.0, -1.0), (0.0, 1.0), (-2.0, 0.0), (3.0, 1e-3)]

CASES = [
    Case("identity", lambda x: x),
    Case("+", lambda a, b: a + b, PLANE),
    Case("-", lambda a, b: a - b, PLANE),
    Case("*", lambda a, b: a * b, PLANE),
    Case("/", lambda a, b: a / b, PLANE, valid=lambda a, b: b != 0),
    Case("%", lambda a, b: a - b * mp.floor(a.real / b.real), PLANE[2:],
         valid=lambda a, b: b != 0 and a % b != 0 and abs(a / b) < 1e15),
    Case("whole_quotient", lambda a, b: Jet({(): mp.floor(a.real / b.real)}), PLANE[2:],
         valid=lambda a, b: b != 0 and a % b != 0 and abs(a / b) < 1e15),
    Case("neg", lambda x: -x),
    Case("**", exact.power, [(1.0, 1.0), (1.0, 0.0), (2.0, -1.0), (1e-3, 2.0), (3.0, 0.5)],
         valid=lambda x, p: x > 0, slack=power_slack, reach=relative_reach, name="x**y",
         extremes=(1e-300, 1e-8, 1e-3, 0.25, 3.0, 1e3, 1e300)),
    *map(power_case, (0.0, 1.0, 2.0, 3.0, -1.0, -2.0)),
    power_case(0.5), power_case(-0.5, slack=lambda x: power_slack(x, 0)),
    power_case(2.7, slack=lambda x: power_slack(x, 0)),
    Case("**", lambda p: exact.power(Jet({(): mpf(2.5)}), p), (0.0, 1.0, -2.0),
         call=lambda row, p: row(2.5, p), domain=((-3.0, 3.0),), name="2.5**x"),
    Case("square", lambda x: x * x),
    Case("abs", lambda x: x if x.real > 0 else -x, valid=bool),
    Case("damped", lambda x, w: x * w, PLANE),
    Case("exp", exact.exp, (0.0, 1.0, -745.0, 709.0)),
    Case("exp2", lambda x: exact.exp(x * mp.log(2)), (0.0, 1.0, -1074.0, 1023.0)),
    Case("expm1", lambda x: exact.exp(x) - 1, (0.0, 1.0, -37.0, 709.0)),
    Case("log", exact.log, (1.0, 2.0), valid=lambda x: x > 0),
    Case("log1p", lambda x: exact.log(1 + x), (0.0, 1.0, -1.0), valid=lambda x: x > -1),
    Case("log2", lambda x: exact.log(x) / mp.log(2), (1.0, 2.0, 8.0), valid=lambda x: x > 0),
    Case("log10", lambda x: exact.log(x) / mp.log(10), (1.0, 2.0, 1000.0), valid=lambda x: x > 0),
    Case("cbrt", exact.cbrt, (1.0, -8.0, -0.3, 1e308, -2.2e-308, 5e-324), valid=bool,
         reach=relative_reach),
    Case("sqrt", exact.sqrt, (1.0, 2.0), valid=lambda x: x > 0),
    Case("sin", exact.sin, (0.0, 1.0, math.pi, math.pi / 2)),
    Case("cos", exact.cos, (0.0, 1.0, math.pi, math.pi / 2)),
    Case("tan", lambda x: exact.sin(x) / exact.cos(x), (0.0, 1.0, math.pi / 4, math.pi / 2)),
    Case("asin", exact.asin, (0.0, 1.0, -1.0, 0.5), valid=lambda x: abs(x) < 1),
    Case("acos", exact.acos, (0.0, 1.0, -1.0, 0.5), valid=lambda x: abs(x) < 1),
    Case("atan", exact.atan, (0.0, 1.0, 1e10, -1e10, 1e155), reach=beyond_one_reach),
    Case("sinh", lambda x: (exact.exp(x) - exact.exp(-x)) / 2, (0.0, 1.0, 710.0, -710.0)),
    Case("cosh", lambda x: (exact.exp(x) + exact.exp(-x)) / 2, (0.0, 1.0, 710.0, -710.0)),
    Case("asinh", lambda x: exact.log(x + exact.sqrt(1 + x * x)), (0.0, 1.0, 1e10, -1e10),
         reach=beyond_one_reach),
    Case("acosh", lambda x: exact.log(x + exact.sqrt(x - 1) * exact.sqrt(x + 1)), (1.0, 2.0),
         valid=lambda x: x > 1, reach=beyond_one_reach),
    Case("atanh", lambda x: exact.log((1 + x) / (1 - x)) / 2, (0.0, 1.0, -1.0, 0.5),
         valid=lambda x: abs(x) < 1),
    Case("one_less_square", lambda x: 1 - x * x, (0.0, 1.0, -1.0)),
    Case("inverse_hypotenuse", lambda x: 1 / exact.sqrt(1 + x * x), (0.0, 1.0, 1e10, -1e10),
         reach=beyond_one_reach),
    Case("lorentzian", lambda x: 1 / (1 + x * x), (0.0, 1.0, 1e10, -1e10, 1e155),
         reach=beyond_one_reach),
    Case("gaussian", lambda x: exact.exp(-(x * x)), (0.0, 1.0, -6.0, 26.5, 27.5),
         extremes=GAUSSIAN_EXTREMES),
    Case("erf", exact.erf, (0.0, 1.0, -6.0, 20.0, 26.5), extremes=GAUSSIAN_EXTREMES),
    Case("erfc", exact.erfc, (0.0, 1.0, -6.0, 26.5), extremes=GAUSSIAN_EXTREMES),
    Case("hypot", hypot, PLANE, valid=lambda a, b: a or b, reach=joint_reach),
    Case("inversion", lambda a, b: a / (a * a + b * b), PLANE, reach=joint_reach,
         slack=inversion_slack, valid=lambda a, b: abs(a) != abs(b)),
    Case("atan2", atan2, PLANE, valid=lambda b, a: b or a, reach=joint_reach),
    Case("sigmoid", sigmoid, (0.0, 1.0, 20.0, 40.0, -40.0, 700.0, -700.0)),
    Case("tanh", tanh, (0.0, 1.0, 20.0, -20.0, 300.0)),
    Case("relu", lambda x: x if x.real > 0 else 0 * x, valid=bool),
    Case("leaky_relu", lambda x, s: x if x.real > 0 else s * x, [(0.0, 0.01), (1.0, 0.1)],
         domain=((-3.0, 3.0), (0.001, 0.5)), valid=lambda x, s: x != 0),
    Case("softplus", softplus, (0.0, 1.0, 40.0, -40.0, 700.0, -700.0)),
    Case("logsigmoid", lambda x: -softplus(-x), (0.0, 1.0, 40.0, -40.0, 700.0, -700.0)),
    Case("silu", lambda x: x * sigmoid(x), (0.0, 1.0, -1.2784645427610738, 40.0, -40.0, -700.0)),
    Case("normal_pdf", lambda x: exact.exp(-x * x / 2) / exact.sqrt(Jet({(): 2 * mp.pi})),
         (0.0, 1.0, -6.0, 6.0, -37.0), slack=exponential_slack, extremes=GAUSSIAN_EXTREMES),
    Case("normal_cdf", exact.normal_cdf, (0.0, 1.0, -6.0, 6.0, -37.0),
         slack=exponential_slack, extremes=GAUSSIAN_EXTREMES),
    Case("gelu", lambda x: x * exact.normal_cdf(x), (0.0, 1.0, -0.7517915246935645, -6.0, -37.0),
         slack=exponential_slack, extremes=GAUSSIAN_EXTREMES),
    Case("equal", lambda a, b: Jet({(): mpf(a.real == b.real)}), [(1.0, 1.0), (0.0, -0.0)]),
    Case("less", lambda a, b: Jet({(): mpf(a.real < b.real)}), [(1.0, 1.0), (0.0, -0.0)]),
    Case("less_equal", lambda a, b: Jet({(): mpf(a.real <= b.real)}), [(1.0, 1.0), (0.0, -0.0)]),
    Case("step", lambda x: Jet({(): mpf(x.real > 0)})),
    Case("sign", lambda x: Jet({(): mpf((x.real > 0) - (x.real < 0))})),
    Case("where", lambda a, b: a, PLANE, call=lambda row, a, b: row(1.0, a, b), name="where true",
         domain=((-3.0, 3.0),) * 2),
    Case("where", lambda a, b: b, PLANE, call=lambda row, a, b: row(0.0, a, b), name="where false",
         domain=((-3.0, 3.0),) * 2),
    Case("take", lambda a, b: b, PLANE, call=lambda row, a, b: row(1.0, a, b),
         domain=((-3.0, 3.0),) * 2),
    Case("maximum", lambda *xs: max(xs, key=lambda x: x.real), [(1.0, 2.0, 3.0)],
         domain=((-3.0, 3.0),) * 3, valid=lambda *xs: len(set(xs)) == 3, random_points=40),
    Case("minimum", lambda *xs: min(xs, key=lambda x: x.real), [(1.0, 2.0, 3.0)],
         domain=((-3.0, 3.0),) * 3, valid=lambda *xs: len(set(xs)) == 3, random_points=40),
    Case("sum", lambda *xs: total(xs), [(0.0, 1.0, -1.0)], domain=((0.1, 3.0),) * 3,
         random_points=40, extremes=(1e-300, 1e-8, 1e8, 1e300), reach=joint_reach),
    Case("mean", lambda *xs: total(xs) / len(xs), [(0.0, 1.0, -1.0)], domain=((0.1, 3.0),) * 3,
         random_points=40, extremes=(1e-300, 1e-8, 1e8, 1e300), reach=joint_reach),
    Case("dot", lambda w, v, x, y, b: w * x + v * y + b, [(1.0, 0.0, 2.0, 1.0, 0.5)],
         domain=((0.1, 3.0),) * 5, random_points=20, extremes=(1e-100, 1.0, 1e100), order=2),
    Case("softmax", lambda *xs: exact.exp(xs[1] - logsumexp(*xs)),
         [(0.0, 0.0, 0.0), (40.0, 0.0, 1.0)],
         call=lambda row, *xs: row(1.0, *xs), domain=((-20.0, 20.0),) * 3, random_points=40,
         extremes=(1e-300, 1e-8, 700.0), slack=spread_slack),
    Case("softmax_rest", lambda *xs: 1 - exact.exp(xs[1] - logsumexp(*xs)),
         [(0.0, 0.0, 0.0), (40.0, 0.0, 1.0), (0.0, 40.0, 1.0)],
         call=lambda row, *xs: row(1.0, *xs), domain=((-20.0, 20.0),) * 3, random_points=40,
         extremes=(1e-300, 1e-8, 700.0), slack=spread_slack),
    Case("logsumexp", logsumexp, [(0.0, 0.0, 0.0), (40.0, 0.0, 1.0)], domain=((-20.0, 20.0),) * 3,
         random_points=40, extremes=(1e-300, 1e-8, 700.0)),
    Case("logaddexp", logsumexp, [(0.0, 0.0), (40.0, 0.0), (-700.0, 1.0)],
         domain=((-20.0, 20.0),) * 2, extremes=(1e-300, 1e-8, 700.0)),
    Case("sigmoid_minus", lambda z, y: sigmoid(z) - y,
         [(0.0, 0.0), (40.0, 1.0), (-40.0, 0.0), (700.0, 1.0), (37.0, 0.0)],
         valid=is_share, slack=logistic_slack, extremes=(1e-300, 1e-8, 700.0)),
    Case("logistic_loss", lambda z, y: softplus(z) - y * z,
         [(0.0, 0.0), (40.0, 1.0), (-40.0, 0.0), (700.0, 1.0), (37.0, 0.0)],
         valid=is_share, slack=logistic_slack, extremes=(1e-300, 1e-8, 700.0)),
    Case("squared_error", lambda a, y: (a - y) * (a - y), PLANE, slack=difference_slack,
         extremes=EXTREMES[1:-2]),
    Case("half_squared_error", lambda a, y: (a - y) * (a - y) * mpf(0.5), PLANE,
         slack=difference_slack, extremes=EXTREMES[1:-2]),
    Case("hinge_loss", lambda s, y: 1 - y * s if 1 - y.real * s.real > 0 else 0 * s, PLANE[1:],
         valid=lambda s, y: abs(1 - mpf(y) * mpf(s)) > 1e-3,
         slack=lambda s, y: float((1 + abs(mpf(y) * mpf(s))) / abs(1 - mpf(y) * mpf(s)))),
    Case("cross_entropy", lambda *zs: cross_entropy(1, *zs),
         [(0.0, 0.0, 0.0), (40.0, 0.0, 1.0), (0.0, 40.0, 1.0)],
         call=lambda row, *zs: row(1.0, *zs), domain=((-20.0, 20.0),) * 3, random_points=40,
         extremes=(1e-300, 1e-8, 700.0), slack=spread_slack),
    Case("soft_cross_entropy", soft_cross_entropy,
         [(0.2, 0.3, 0.5, 0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 40.0, 0.0, 1.0)],
         domain=((0.0, 1.0),) * 3 + ((-20.0, 20.0),) * 3, random_points=20, order=2,
         extremes=(1e-300, 1e-8, 700.0), valid=lambda *args: min(args[:3]) >= 0,
         slack=soft_slack),
]  # fmt: skip


# ---------------------------------------------------------------- the judge


def reverse(function, point, order):
    """Return {(): f, (i,): df/dx_i, ...} by ``gradients`` of ``gradients``, as floats."""
    inputs = [cr.Value(x) for x in point]
    level = {(): function(*inputs)}
    found = {(): level[()].data}
    for depth in range(1, order + 1):
        deeper = {}
        for indices, node in level.items():
            slopes = cr.gradients(node, inputs, create_graph=depth < order)
            for i in range(indices[-1] if indices else 0, len(inputs)):
                deeper[(*indices, i)] = slopes[i]
        level = deeper
        found |= {k: v.data if isinstance(v, cr.Value) else v for k, v in level.items()}
    return found


def backward(function, point):
    inputs = [cr.Value(x) for x in point]
    output = function(*inputs)
    output.backward()
    return {(): output.data} | {(i,): x.grad for i, x in enumerate(inputs)}


def forward(function, point, indices):
    """Return the derivative for *indices* by forward mode within forward mode."""
    for i in indices:
        function = along(function, i)
    return function(*point)


def along(function, i):
    def slope(*args):
        direction = [1.0 if j == i else 0.0 for j in range(len(args))]
        return cr.jvp(function, args, direction)[1]

    return slope


def is_close(got, exactly, units, nearby=0.0):
    if abs(exactly) > LARGEST:
        return got == math.copysign(math.inf, exactly)
    room = units * (EPS * max(abs(exactly), nearby) + 2 * SMALLEST)
    return bool(abs(mpf(got) - exactly) <= room)  # false for nan and infinity


def derivative_nearby(case, point, indices):
    """Return the largest size of a derivative within ``reach`` of *point*."""
    n, reach = len(point), case.reach(*point)
    directions = list(itertools.product((-1, 0, 1), repeat=n))
    if n > 3:  # along the axes alone: there would be hundreds
        directions = [signs for signs in directions if n - signs.count(0) < 2]
    sizes = [mpf(0)]
    for signs in directions:
        near = [x + s * r for x, s, r in zip(point, signs, reach, strict=True)]
        if case.valid(*near):
            found = exact.derivatives(case.truth, near, len(indices))
            sizes.append(abs(found[tuple(sorted(indices))]))
    return max(sizes)


def discrepancies(case, row, points, order=3):
    """Return a line for each number of *row* that is not what *case* says, by both sweeps."""

    def function(*args):
        return case.apply(row, *args)

    problems = []
    for point in points:
        n = len(point)
        exactly = exact.derivatives(case.truth, point, order)
        slack = case.slack(*point)
        faces = [("plain", {(): function(*point)}), ("backward", backward(function, point))]
        faces.append(("reverse", reverse(function, point, order)))
        faces.append(("forward", {(i,): forward(function, point, [i]) for i in range(n)}))
        for face, found in faces:
            for indices, got in found.items():
                units = UNITS[len(indices)] * slack
                if is_close(got, exactly[indices], units):
                    continue
                if math.isnan(got) and any(
                    abs(x) > LARGEST for k, x in exactly.items() if len(k) == len(indices) > 1
                ):
                    continue  # what would have to cancel lies beyond the floats
                if len(indices) > 1 or case.row in CANCELLING:
                    nearby = derivative_nearby(case, point, indices)
                    if is_close(got, exactly[indices], units, nearby):
                        continue
                wanted = mpmath.nstr(exactly[indices], 17)
                problems.append(f"{face} {case.name}{point} d{indices}: {got!r}, exactly {wanted}")
    return problems


# Rows whose value or first derivative is itself a sum of terms that may cancel.
CANCELLING = {
    "+",
    "-",
    "sum",
    "mean",
    "dot",
    "silu",
    "gelu",
    "sin",
    "cos",
    "logaddexp",
    "logsumexp",
}


def case_id(case):
    return case.name


# ---------------------------------------------------------------- the table is right


def test_every_row_has_a_case():
    assert {case.row for case in CASES} == primitives.BUILT_IN


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_row_agrees_with_mpmath(case):
    row = primitives.TABLE[case.row]
    points = case.points()
    assert not discrepancies(case, row, points[::3], order=case.order)
    if cr.backend == "native":  # whose partials have the bits of the row's: test_native
        del points[::3]
        assert not discrepancies(case, row, points, order=1)


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_forward_mode_in_itself_gives_the_higher_derivatives_of_reverse_mode(case):
    """The two differ in the order of roundings only: both are compared with mpmath above."""

    def function(*args):
        return case.apply(primitives.TABLE[case.row], *args)

    for point in case.sampled_points()[:3]:
        by_reverse = reverse(function, point, case.order)
        for indices, expected in by_reverse.items():
            if len(indices) > 1:
                nearby = float(derivative_nearby(case, point, indices))
                units = UNITS[len(indices)] * case.slack(*point)
                got = forward(function, point, indices)
                assert abs(got - expected) <= units * EPS * max(abs(expected), nearby)


def apart(case, got, expected, indices=()):
    """Return the points where the array *got* is not what the floats *expected* are.

    NumPy's exp, log and their kin are a few units from the C library's, and how many depends on the
    processor.  What is a sum of terms that cancel is as exact as these terms.
    """
    points = case.points()
    slack = np.array([case.slack(*point) for point in points])
    expected = np.array(expected)
    with np.errstate(invalid="ignore"):
        close = np.abs(got - expected) <= 8 * EPS * slack * np.abs(expected) + 2 * SMALLEST
    close |= (got == expected) | (np.isnan(got) & np.isnan(expected))
    left = [n for n in np.flatnonzero(~close) if case.row in CANCELLING]
    for n in left:
        nearby = float(derivative_nearby(case, points[n], indices))
        close[n] = abs(got[n] - expected[n]) <= 8 * EPS * slack[n] * nearby
    return [(points[n], got[n], expected[n]) for n in np.flatnonzero(~close)]


def columns(case):
    return [np.array(column) for column in zip(*case.points(), strict=True)]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_arrays_give_what_floats_give(case):
    row = primitives.TABLE[case.row]
    got = case.apply(row, *columns(case))
    expected = [case.apply(row, *point) for point in case.points()]
    assert got.dtype == float
    assert not apart(case, got, expected)


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_an_array_without_dimensions_gives_what_its_number_gives(case):
    row = primitives.TABLE[case.row]
    points = case.points()[:20]
    with np.errstate(all="ignore"):
        got = [case.apply(row.on_arrays, *map(np.array, point)) for point in points]
        one = [case.apply(row.on_arrays, *map(np.array, zip(point))) for point in points]
    assert all(array.shape == () for array in got)
    np.testing.assert_array_equal(got, np.concatenate(one))


VARIADIC = [row for row in primitives.TABLE.values() if row.arity is None]


@pytest.mark.parametrize("row", VARIADIC, ids=lambda row: row.name)
def test_a_result_has_the_shape_of_its_arrays_however_few_they_are(row):
    column = np.array([0.25, 0.5, 2.0])
    first = [column, 0.0] if row.takes is None else [0.0]  # an entry's number is a number
    for args in itertools.product(first, [column, 1.0]):
        if any(arg is column for arg in args):
            with np.errstate(all="ignore"):
                assert row.on_arrays(*args).shape == column.shape


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_partials_on_arrays_are_partials_on_floats(case):
    row = primitives.TABLE[case.row]

    def arguments(*point):
        """The arguments that the case's call hands to the row."""
        return case.apply(lambda *args: args, *point)

    names = [f"x{i}" for i in range(len(case.intervals()))]
    varied = [i for i, arg in enumerate(arguments(*names)) if arg in names]
    if row.variadic is None:
        varied = [i for i in varied if row.partials[i] is not None]

    def partials(*point):
        args = arguments(*point)
        return row.partial_values(args, row(*args), varied)

    with np.errstate(all="ignore"):
        got = partials(*columns(case))
    expected = list(zip(*(partials(*point) for point in case.points()), strict=True))
    assert len(got) == len(expected)
    position = {name: i for i, name in enumerate(names)}
    for g, e, i in zip(got, expected, varied, strict=True):
        assert not apart(case, g, e, (position[arguments(*names)[i]],))


@pytest.mark.parametrize(
    "case", [c for c in CASES if primitives.TABLE[c.row].analytic], ids=case_id
)
def test_the_analytic_face_gives_the_derivative_by_complex_step(case):
    """Im f(x + ih)/h: no difference is taken, so it is exact to rounding even at h = 1e-100."""
    row = primitives.TABLE[case.row]
    for point in case.sampled_points()[:20]:
        exactly = exact.derivatives(case.truth, point, 1)
        for i in range(len(point)):
            stepped = [complex(x, 1e-100 * (j == i)) for j, x in enumerate(point)]
            got = case.apply(row.analytic, *stepped)
            units = 64 * case.slack(*point)
            # There is no complex log1p: a small softplus is exact to 1e-16, not relatively.
            assert is_close(got.real, exactly[()], units, nearby=1.0)
            # A quotient of complex numbers is as exact as its modulus.
            nearby = max(abs(exactly[()]), derivative_nearby(case, point, [i]))
            assert is_close(got.imag / 1e-100, exactly[(i,)], units, nearby)


# ---------------------------------------------------------------- the judge is right


def mutated_row(row, mutate):
    """Return *row* as a user's primitive with *mutate* applied to its partials."""
    if row.variadic is not None:

        def variadic(args, y, linked):
            return [mutate(p) for p in row.variadic(args, y, linked)]

        rule = {"variadic": variadic}
    else:

        def mutated(partial):
            if callable(partial):
                return lambda *args: mutate(partial(*args))
            return mutate(0.0 if partial is None else partial)

        rule = {"partials": [mutated(partial) for partial in row.partials]}
    return cr.primitive(f"mutant of {row.name}", row.scalar, array=row.array, **rule)


def constant(x):
    return x.data if isinstance(x, cr.Value) else x


MUTATIONS = {
    "sign": lambda p: -p,
    "factor": lambda p: p * (1 + 1e-6),
    "dropped": lambda p: p * 0.0,
    "planted": lambda p: p + 1e-6,
}


@pytest.fixture
def mutant():
    names = set(primitives.TABLE)
    yield mutated_row
    for name in set(primitives.TABLE) - names:
        del primitives.TABLE[name]


STEPS = {"equal", "less", "less_equal", "step", "sign", "whole_quotient"}


MUTANTS = [  # of zero no sign, factor or term can be wrong
    pytest.param(case, mutation, id=f"{case.name}-{mutation}")
    for case in CASES
    for mutation in MUTATIONS
    if mutation == "planted" or not (case.row in STEPS or case.name == "x**0.0")
]


@pytest.mark.parametrize(("case", "mutation"), MUTANTS)
def test_the_judge_rejects_a_wrong_partial(case, mutation, mutant):
    row = primitives.TABLE[case.row]
    points = case.sampled_points()[:3]
    assert not discrepancies(case, row, points, order=1)
    assert discrepancies(case, mutant(row, MUTATIONS[mutation]), points, order=1)


CURVED = [c for c in CASES if c.row not in STEPS | {
    "identity", "+", "-", "%", "neg", "abs", "relu", "sum", "mean", "maximum", "minimum", "where",
    "take",
} and c.name not in ("x**0.0", "x**1.0")]  # fmt: skip


@pytest.mark.parametrize("case", CURVED, ids=case_id)
def test_the_judge_rejects_a_partial_that_is_right_but_cannot_be_differentiated(case, mutant):
    row = primitives.TABLE[case.row]
    points = case.sampled_points()[:3]
    assert not discrepancies(case, row, points, order=2)
    frozen = mutant(row, constant)
    assert not discrepancies(case, frozen, points, order=1)
    assert discrepancies(case, frozen, points, order=2)


@pytest.mark.parametrize("case", [c for c in CASES if len(c.intervals()) < 3], ids=case_id)
def test_the_exact_derivatives_are_those_of_mpmath_by_differences(case):
    point = case.sampled_points()[0]

    def function(*args):
        return case.truth(*map(exact.jet, args)).real

    for indices, value in exact.derivatives(case.truth, point, exact.HIGHEST).items():
        counts = tuple(indices.count(i) for i in range(len(point)))
        with mpmath.workdps(40):
            theirs = mpmath.diff(function, tuple(map(mpf, point)), counts)
            assert mpmath.almosteq(value, theirs, rel_eps=mpf(10) ** -12, abs_eps=mpf(10) ** -12)
