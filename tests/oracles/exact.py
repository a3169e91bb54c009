"""Exact derivatives, from mpmath: what the tests of the table compare the engine with.

A :class:`Jet` is a number with infinitesimals e0, e1, e2 added, each of square zero.  Evaluating a
function once at (x + e0 + e1, y + e2) leaves the mixed derivative f_xxy as the coefficient of
e0*e1*e2.  Nothing is subtracted and no step is chosen, so this works at 1e-300 as well as at 1.
The functions are the textbook ones, in mpmath's arithmetic, with as many digits as the point needs:
slow, and unlike the engine's in every line.
"""

from __future__ import annotations

import math

import mpmath
from mpmath import mp, mpf

EPS = 2.0**-52
SMALLEST = 5e-324


class Jet:
    """A number with nilpotent parts: {set of infinitesimals, as a bit mask: coefficient}."""

    def __init__(self, parts):
        self.parts = parts

    @property
    def real(self):
        return self.parts[0]

    def __add__(self, other):
        parts = dict(self.parts)
        for mask, c in jet(other).parts.items():
            parts[mask] = parts.get(mask, 0) + c
        return Jet(parts)

    __radd__ = __add__

    def __neg__(self):
        return Jet({mask: -c for mask, c in self.parts.items()})

    def __sub__(self, other):
        return self + -jet(other)

    def __rsub__(self, other):
        return jet(other) + -self

    def __mul__(self, other):
        parts = {}
        for m, a in self.parts.items():
            for n, b in jet(other).parts.items():
                if not m & n:
                    parts[m | n] = parts.get(m | n, 0) + a * b
        return Jet(parts)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return self * reciprocal(jet(other))

    def __rtruediv__(self, other):
        return jet(other) * reciprocal(self)


def jet(x):
    return x if isinstance(x, Jet) else Jet({0: mpf(x)})


def taylor(x, *derivatives):
    """f(a) + f'(a) n + f''(a) n^2/2 + f'''(a) n^3/6 for x = a + n, with n^4 = 0."""
    nilpotent = Jet({mask: c for mask, c in x.parts.items() if mask})
    result, power = jet(derivatives[0]), jet(1)
    for k, derivative in enumerate(derivatives[1:], 1):
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
    if all(not c for mask, c in p.parts.items() if mask) and mp.isint(p.real):
        a, n = x.real, int(p.real)
        falling = [1, n, n * (n - 1), n * (n - 1) * (n - 2)]
        return taylor(x, *(f * a ** (n - k) if f else mpf(0) for k, f in enumerate(falling)))
    return exp(p * log(x))


def digits(point):
    """Return how many decimal digits keep 40 of them whatever cancels at *point*."""
    size = max([1.0, *(abs(x) for x in point)])
    span = max([0.0, *(abs(math.log10(abs(x))) for x in point if x)])
    return int(60 + 4 * span + 1.2 * min(size, 750.0))


def derivatives(function, point, indices=()):
    """Return {(): f, (i,): df/dx_i, (i, j): ...} at *point* for every subset of *indices*."""
    with mpmath.workdps(digits(point)):
        parts = [{0: mpf(x)} for x in point]
        for bit, index in enumerate(indices):
            parts[index][1 << bit] = mpf(1)
        result = jet(function(*map(Jet, parts))).parts
    found = {}
    for mask in range(1 << len(indices)):
        chosen = tuple(sorted(i for bit, i in enumerate(indices) if mask >> bit & 1))
        found[chosen] = result.get(mask, mpf(0))
    return found
