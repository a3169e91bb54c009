"""The functions of ``floats`` on complex numbers near the real axis, for complex-step checks."""

from __future__ import annotations

import cmath
import functools
import math
import operator

from . import floats


def power(x: complex, p: complex) -> complex:
    if p.imag == 0.0 and p.real == int(p.real) and abs(p.real) <= 64:
        # By multiplication: the logarithm would carry rounding into the imaginary part.
        result = functools.reduce(operator.mul, [x] * int(abs(p.real)), complex(1.0))
        return result if p.real >= 0 else 1.0 / result
    return cmath.exp(p * cmath.log(x))


def remainder(a: complex, b: complex) -> complex:
    quotient = floats.whole_quotient(a.real, b.real)
    return complex(floats.remainder(a.real, b.real), a.imag - quotient * b.imag)


def sigmoid(z: complex) -> complex:
    if z.real >= 0.0:
        return 1.0 / (1.0 + cmath.exp(-z))
    return cmath.exp(z) / (1.0 + cmath.exp(z))


def softplus(z: complex) -> complex:
    return z + cmath.log(1.0 + cmath.exp(-z)) if z.real > 0.0 else cmath.log(1.0 + cmath.exp(z))


def cbrt(z: complex) -> complex:
    return cmath.exp(cmath.log(z) / 3.0) if z.real > 0.0 else -cmath.exp(cmath.log(-z) / 3.0)


def erf(z: complex) -> complex:
    # DLMF 7.6.2: unlike in Taylor's series, all terms have one sign.
    if abs(z.real) >= 2.0:
        return 1.0 - erfc(z) if z.real > 0.0 else erfc(-z) - 1.0
    term = series = z
    for n in range(1, 60):
        term = term * (2.0 * z * z) / (2 * n + 1)
        series += term
    return 2.0 / math.sqrt(math.pi) * cmath.exp(-z * z) * series


def erfc(z: complex) -> complex:
    # DLMF 7.9.3, a continued fraction, from a depth at which it is exact to rounding.
    if z.real < 2.0:
        return 1.0 - erf(z) if z.real > -2.0 else 2.0 - erfc(-z)
    tail = z
    for n in range(80, 0, -1):
        tail = z + 0.5 * n / tail
    return cmath.exp(-z * z) / (math.sqrt(math.pi) * tail)


def atan2(y: complex, x: complex) -> complex:
    if abs(x.real) >= abs(y.real):
        turn = 0.0 if x.real > 0.0 else math.copysign(math.pi, y.real)
        return cmath.atan(y / x) + turn
    return math.copysign(math.pi / 2.0, y.real) - cmath.atan(x / y)


def total(*zs: complex) -> complex:
    return functools.reduce(operator.add, zs)


def dot(*args: complex) -> complex:
    n = len(args) // 2
    return functools.reduce(operator.add, map(operator.mul, args[:n], args[n:-1]), args[-1])


def logsumexp(*zs: complex) -> complex:
    top = max(z.real for z in zs)
    return top + cmath.log(total(*(cmath.exp(z - top) for z in zs)))


def softmax_entry(k: complex, *zs: complex) -> complex:
    return cmath.exp(zs[int(k.real)] - logsumexp(*zs))


def logistic_loss(z: complex, y: complex) -> complex:
    return y * softplus(-z) + (1.0 - y) * softplus(z)


def softmax_rest(k: complex, *zs: complex) -> complex:
    return total(0.0, *(softmax_entry(i, *zs) for i in range(len(zs)) if i != k.real))


def cross_entropy(k: complex, *zs: complex) -> complex:
    own = zs[int(k.real)]
    return logsumexp(*(z - own for z in zs))


def soft_cross_entropy(*args: complex) -> complex:
    ys, zs = args[: len(args) // 2], args[len(args) // 2 :]
    return total(*(y * cross_entropy(k, *zs) for k, y in enumerate(ys)))
