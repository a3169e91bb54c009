"""Exact derivatives, from mpmath: what the tests of the table compare the engine with.

A :class:`Jet` is a Taylor polynomial: a number with infinitesimals e0, e1, ... added, one for each
argument, in which all products of more than ``order`` of them are zero.  Evaluating a function once
at (x + e0, y + e1) leaves the derivative f_xxy, over 2! 1!, as the coefficient of e0*e0*e1.  No
difference is taken and no step is chosen, so this works at 1e-300 as well as at 1.  The functions
are the textbook ones, in mpmath's arithmetic, with as many digits as the point needs: slow, and
unlike the engine's in every line.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from itertools import combinations_with_replacement

import mpmath
from mpmath import mp, mpf

EPS = 2.0**-52
SMALLEST = 5e-324
HIGHEST = 3
"""The highest order that the functions below have derivatives for."""


class Jet:
    """A polynomial in infinitesimals: {the indices in a product, ascending: its coefficient}."""

    def __init__(self, parts, order=HIGHEST):
        self.parts = parts
        self.order = order

    @property
    def real(self):
        return self.parts[()]

    def __add__(self, other):
        other = jet(other)
        parts = dict(self.parts)
        for indices, c in other.parts.items():
            parts[indices] = parts.get(indices, 0) + c
        return Jet(parts, min(self.order, other.order))

    __radd__ = __add__

    def __neg__(self):
        return Jet({indices: -c for indices, c in self.parts.items()}, self.order)

    def __sub__(self, other):
        return self + -jet(other)

    def __rsub__(self, other):
        return jet(other) + -self

    def __mul__(self, other):
        other = jet(other)
        order = min(self.order, other.order)
        parts = {(): self.real * other.real}
        for m, a in self.parts.items():
            for n, b in other.parts.items():
                if 0 < len(m) + len(n) <= order:
                    indices = tuple(sorted(m + n))
                    parts[indices] = parts.get(indices, 0) + a * b
        return Jet(parts, order)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return self * reciprocal(jet(other))

    def __rtruediv__(self, other):
        return jet(other) * reciprocal(self)


def jet(x):
    return x if isinstance(x, Jet) else Jet({(): mpf(x)})


def taylor(x, *derivatives):
    """f(a) + f'(a) n + f''(a) n^2/2 + f'''(a) n^3/6 for x = a + n, as far as the order of x."""
    nilpotent = Jet(x.parts | {(): mpf(0)}, x.order)
    result, power = Jet({(): derivatives[0]}, x.order), jet(1)
    for k, derivative in enumerate(derivatives[1 : x.order + 1], 1):
        power = power * nilpotent
        result = result + power * (derivative / math.factorial(k))
    return result


def reciprocal(x):
    r = 1 / x.real
    return taylor(x, r, -(r**2), 2 * r**3, -6 * r**4)


def exp(x):
    return taylor(x, *[mp.exp(x.real)] * 4)


def log(x):
    r = 1 / x.real
    return taylor(x, mp.log(x.real), r, -(r**2), 2 * r**3)


def sin(x):
    s, c = mp.sin(x.real), mp.cos(x.real)
    return taylor(x, s, c, -s, -c)


def cos(x):
    s, c = mp.sin(x.real), mp.cos(x.real)
    return taylor(x, c, -s, -c, s)


def sqrt(x):
    root, r = mp.sqrt(x.real), 1 / x.real
    return taylor(x, root, root * r / 2, -root * r**2 / 4, 3 * root * r**3 / 8)


def atan(x):
    a = x.real
    r = 1 / (1 + a**2)
    return taylor(x, mp.atan(a), r, -2 * a * r**2, (6 * a**2 - 2) * r**3)


def asin(x):
    a = x.real
    r = 1 / mp.sqrt((1 - a) * (1 + a))
    return taylor(x, mp.asin(a), r, a * r**3, (1 + 2 * a**2) * r**5)


def acos(x):
    a = x.real
    r = 1 / mp.sqrt((1 - a) * (1 + a))
    return taylor(x, mp.acos(a), -r, -a * r**3, -(1 + 2 * a**2) * r**5)


def cbrt(x):
    root, r = mp.sign(x.real) * mp.cbrt(abs(x.real)), 1 / x.real
    return taylor(x, root, root * r / 3, -2 * root * r**2 / 9, 10 * root * r**3 / 27)


def erf(x, value=mp.erf, sign=1):
    a = x.real
    slope = sign * 2 * mp.exp(-(a**2)) / mp.sqrt(mp.pi)
    # mpmath's erfc fails beyond 1e150; at 1e4 it is e**-1e8 already, 0 or 2 to any number format
    at = value(max(-(mpf(10) ** 4), min(a, mpf(10) ** 4)))
    return taylor(x, at, slope, -2 * a * slope, (4 * a**2 - 2) * slope)


def erfc(x):
    return erf(x, mp.erfc, -1)


def normal_cdf(x):
    a = x.real
    density = mp.exp(-(a**2) / 2) / mp.sqrt(2 * mp.pi)
    # mpmath's erfc fails beyond 1e150; at 1e4 it is e**-1e8 already, 0 or 1 to any number format
    value = mp.erfc(-max(-(mpf(10) ** 4), min(a, mpf(10) ** 4)) / mp.sqrt(2)) / 2
    return taylor(x, value, density, -a * density, (a**2 - 1) * density)


def power(x, p):
    if not any(c for indices, c in p.parts.items() if indices) and mp.isint(p.real):
        a, n = x.real, int(p.real)
        falling = [1, n, n * (n - 1), n * (n - 1) * (n - 2)]
        return taylor(x, *(f * a ** (n - k) if f else mpf(0) for k, f in enumerate(falling)))
    return exp(p * log(x))


def digits(point):
    """Return how many decimal digits keep 40 of them whatever cancels at *point*."""
    size = max([1.0, *(abs(x) for x in point)])
    span = max([0.0, *(abs(math.log10(abs(x))) for x in point if x)])
    return int(60 + 4 * span + 1.2 * min(size, 750.0))


def derivatives(function, point, order=0):
    """Return {(): f, (i,): df/dx_i, (i, j): ...} at *point*, i <= j, up to that *order*."""
    return _derivatives(function, tuple(point), order)


@functools.lru_cache(maxsize=20_000)  # several questions are asked about each point
def _derivatives(function, point, order):
    with mpmath.workdps(digits(point)):
        parts = [{(): mpf(x)} | ({(i,): mpf(1)} if order else {}) for i, x in enumerate(point)]
        result = jet(function(*(Jet(part, order) for part in parts))).parts
        found = {}
        for size in range(order + 1):
            for indices in combinations_with_replacement(range(len(point)), size):
                repeated = math.prod(map(math.factorial, Counter(indices).values()))
                found[indices] = result.get(indices, mpf(0)) * repeated
    return found
