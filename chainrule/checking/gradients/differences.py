"""Slopes by differences: the oracle that knows nothing but the function's values.

Seven points around x (three on either side) give a central difference of the sixth order and, from
the same samples, the two one-sided slopes.  Where the function is smooth at the scale of the step
these agree, and how well they agree is the error estimate; a kink, a jump or the edge of a domain
shows in how they disagree.  The step shrinks until they agree or rounding drowns them, so that
functions of any scale are served, and a mild one costs six evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal["smooth", "kink", "unbounded", "edge"]
Vector = np.ndarray[Any, np.dtype[np.float64]]

_EPS = 2.0**-52
_UNDERFLOW = 2.0**-1060  # the rounding of what vanishes among the subnormal numbers
_FIRST, _FACTOR, _RUNGS = 10, 3, 8  # steps 2**-10, 2**-13, ... of the scale of x
_CONVERGED = 2.0**-28  # one-sided slopes that agree so far need no smaller step
_SIGNIFICANT = 32.0  # times the rounding: what differs by more does so for a reason


@dataclass(frozen=True, slots=True)
class Slope:
    """The derivative of one output at x, as far as differences can tell.

    *kind* says what was found: "smooth"; "kink", with slopes *left* and *right* that stay apart;
    "unbounded", where they grow as the step shrinks; or "edge", where the function has no finite
    value on one side, or on both (the slope there is nan).  The *uncertainty* is that of *value*;
    at a kink, that of *left* and *right*.
    """

    kind: Kind
    value: float
    uncertainty: float
    left: float
    right: float
    step: float


@dataclass(frozen=True, slots=True)
class _Rung:
    """What one step size says about every output."""

    step: float
    value: Vector
    left: Vector
    right: Vector
    disagreement: Vector
    noise: Vector

    def agrees(self) -> Any:
        """Return where the one-sided slopes agree, as far as rounding lets them."""
        with np.errstate(all="ignore"):
            scale = np.maximum(np.abs(self.left), np.abs(self.right))
            return self.disagreement <= _CONVERGED * scale + _SIGNIFICANT * self.noise


def slopes(
    evaluate: Callable[[float], Sequence[float]],
    x: float,
    centre: Vector,
    rounding: Vector,
    finer: float = 1.0,
) -> list[Slope]:
    """Return the slope at *x* of each of the outputs of *evaluate*.

    *centre* holds the outputs at *x*, and *rounding* a bound on the rounding error of each.  Where
    *evaluate* raises an ArithmeticError or a ValueError the function has no value.  *finer* is a
    factor on all steps: a wave that the steps happen to sample once a period looks like a slow one,
    and does not with steps that have nothing in common with those.

    >>> (slope,) = slopes(lambda x: [x**3], 2.0, np.array([8.0]), np.array([0.0]))
    >>> slope.kind, round(slope.value, 9), slope.uncertainty < 1e-6
    ('smooth', 12.0, True)
    """
    rungs: list[_Rung] = []
    for step in _steps(x, finer):
        samples = np.array(
            [_near(evaluate, x + i * step, centre) if i else centre for i in range(-3, 4)]
        )
        rungs.append(_rung(samples, x, step, rounding))
        if np.all(rungs[-1].agrees()):
            break
    return [_slope(rungs, i) for i in range(len(centre))]


def _near(evaluate: Callable[[float], Sequence[float]], x: float, centre: Vector) -> Any:
    try:
        return evaluate(x)
    except (ArithmeticError, ValueError):  # outside the domain
        return np.full_like(centre, math.nan)


def _steps(x: float, finer: float) -> list[float]:
    """Return *finer* times powers of two below the scale of x, and below 1, that of most functions.

    No step is so small that x + step would be rounded badly.
    """
    own = math.frexp(x)[1]
    exponents = {top - _FIRST - _FACTOR * i for top in (0, own) for i in range(_RUNGS)}
    steps = (math.ldexp(finer, exponent) for exponent in sorted(exponents, reverse=True))
    least = 8.0 * math.ulp(x)
    return [step for step in steps if step >= least] or [least]


def _rung(samples: Vector, x: float, step: float, rounding: Vector) -> _Rung:
    with np.errstate(all="ignore"):
        below, centre, above = samples[2::-1], samples[3], samples[4:]
        one, two, three = above - below
        value = (45.0 * one - 9.0 * two + three) / (60.0 * step)
        fourth_order = (8.0 * one - two) / (12.0 * step)
        right = _one_sided(centre, above) / step
        left = -_one_sided(centre, below) / step
        rounding = rounding + _EPS * np.abs(samples).max(axis=0)
        rounding = rounding + _EPS * (abs(x) + 3.0 * step) * np.abs(value)
        return _Rung(
            step=step,
            value=value,
            left=left,
            right=right,
            disagreement=np.abs(right - left) + 8.0 * np.abs(value - fourth_order),
            noise=2.0 * (rounding + _UNDERFLOW) / step,
        )


def _one_sided(centre: Vector, side: Vector) -> Vector:
    one, two, three = side
    return (-11.0 * centre + 18.0 * one - 9.0 * two + 2.0 * three) / 6.0  # type: ignore[no-any-return]


def _slope(rungs: Sequence[_Rung], i: int) -> Slope:
    kind, best = _verdict(rungs, i)
    apart = 0.0 if kind == "kink" else best.disagreement[i]
    return Slope(
        kind,
        float(best.value[i]),
        float(apart + best.noise[i]),
        float(best.left[i]) + 0.0,
        float(best.right[i]) + 0.0,
        best.step,
    )


def _verdict(rungs: Sequence[_Rung], i: int) -> tuple[Kind, _Rung]:
    usable = [rung for rung in rungs if math.isfinite(rung.disagreement[i] + rung.noise[i])]
    if not usable:
        return "edge", rungs[-1]
    agreeing = [rung for rung in usable if rung.agrees()[i]]
    apart = [rung for rung in usable if rung.disagreement[i] > _SIGNIFICANT * rung.noise[i]]
    if agreeing:
        # The largest of these steps: among all steps a wave sampled once a period looks flat.
        best = agreeing[0]
        apart = [rung for rung in apart if rung.step > best.step]
        if not apart or apart[-1].disagreement[i] > _SIGNIFICANT * best.noise[i]:
            return "smooth", best
        last = apart[-1]
        change = abs(best.value[i] - last.value[i])
        if change > _SIGNIFICANT * (best.noise[i] + last.disagreement[i]):
            return "smooth", best  # at its own, smaller scale it has another slope, and a clear one
        # Rounding would hide it if the slopes still differed as before.
        best = min(best, last, key=lambda rung: rung.disagreement[i] + rung.noise[i])
        if len(apart) < 2:
            return "smooth", best
    else:
        best = apart[-1]
    # How the disagreement goes as the step shrinks eightfold: 1 at a kink, 8 at a jump, sqrt(8) at
    # the root of |x|; where it still falls, the function is merely steep.
    growth = apart[-1].disagreement[i] / apart[-2].disagreement[i] if len(apart) > 1 else 1.0
    if growth <= 0.5:
        return "smooth", best
    return "unbounded" if growth > 1.5 else "kink", apart[-1]
