"""Functions of floats that give IEEE answers where Python's own arithmetic raises."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence

inf, nan = math.inf, math.nan


def divide(a: float, b: float) -> float:
    try:
        return a / b
    except ZeroDivisionError:
        if a == 0.0 or a != a:
            return nan
        return math.copysign(inf, a) * math.copysign(1.0, b)


def power(x: float, p: float) -> float:
    try:
        return math.pow(x, p)
    except OverflowError:
        return -inf if x < 0.0 and math.fmod(p, 2.0) != 0.0 else inf
    except ValueError:  # a negative base with a fractional exponent, or zero to a negative power
        if x != 0.0:
            return nan
        odd = math.isfinite(p) and math.fmod(p, 2.0) in (1.0, -1.0)  # 3.10 raises for -inf too
        return math.copysign(inf, x) if odd else inf


def remainder(a: float, b: float) -> float:
    # Python's % written out: C and JavaScript, whose own has a's sign, are made from this.
    if b == 0.0 or not math.isfinite(a):
        return nan
    rest = math.fmod(a, b)
    if rest == 0.0:
        return math.copysign(0.0, b)
    if rest < 0.0:
        return rest if b < 0.0 else rest + b
    return rest + b if b < 0.0 else rest


def whole_quotient(a: float, b: float) -> float:
    near = divide(a - remainder(a, b), b)  # a whole number, but for roundings
    if abs(near) >= 4503599627370496.0:  # 2**52: there are no others
        return near
    return near + 0.5 - remainder(near + 0.5, 1.0)


def exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return inf


def expm1(x: float) -> float:
    try:
        return math.expm1(x)
    except OverflowError:
        return inf


def log(x: float) -> float:
    return math.log(x) if x > 0.0 else -inf if x == 0.0 else nan


def exp2(x: float) -> float:
    return power(2.0, x)  # Python 3.10 has no math.exp2


def log1p(x: float) -> float:
    return math.log1p(x) if x > -1.0 else -inf if x == -1.0 else nan


def log2(x: float) -> float:
    return math.log2(x) if x > 0.0 else -inf if x == 0.0 else nan


def log10(x: float) -> float:
    return math.log10(x) if x > 0.0 else -inf if x == 0.0 else nan


def sqrt(x: float) -> float:
    return math.sqrt(x) if x >= 0.0 else nan


def cbrt(x: float) -> float:
    if x == 0.0 or not math.isfinite(x):
        return x
    y = math.copysign(math.pow(abs(x), 1.0 / 3.0), x)
    return y - (y - x / (y * y)) / 3.0  # one step of Newton's: 1/3 is not quite a third


def sin(x: float) -> float:
    return math.sin(x) if math.isfinite(x) else nan


def cos(x: float) -> float:
    return math.cos(x) if math.isfinite(x) else nan


def tan(x: float) -> float:
    return math.tan(x) if math.isfinite(x) else nan


def asin(x: float) -> float:
    return math.asin(x) if -1.0 <= x <= 1.0 else nan


def acos(x: float) -> float:
    return math.acos(x) if -1.0 <= x <= 1.0 else nan


def sinh(x: float) -> float:
    try:
        return math.sinh(x)
    except OverflowError:
        return math.copysign(inf, x)


def cosh(x: float) -> float:
    try:
        return math.cosh(x)
    except OverflowError:
        return inf


def acosh(x: float) -> float:
    return math.acosh(x) if x >= 1.0 else nan


def atanh(x: float) -> float:
    if -1.0 < x < 1.0:
        return math.atanh(x)
    return math.copysign(inf, x) if abs(x) == 1.0 else nan


# Beyond this, the 1 in 1 + x**2 is less than a rounding error, and soon x**2 overflows.
FAR = 1e10


def inverse_hypotenuse(x: float) -> float:
    return 1.0 / math.sqrt(1.0 + x * x) if abs(x) < FAR else 1.0 / abs(x)


def lorentzian(x: float) -> float:
    return 1.0 / (1.0 + x * x) if abs(x) < FAR else (1.0 / x) * (1.0 / x)


def inversion(a: float, b: float) -> float:
    """Return a coordinate of (a, b) inverted in the unit circle: a / (a**2 + b**2)."""
    if math.isinf(a) or math.isinf(b):
        return 0.0 if a == a and b == b else nan
    if abs(a) >= abs(b):
        return divide(1.0, a + b * divide(b, a))
    ratio = divide(a, b)
    return divide(ratio, b + a * ratio)


def gaussian(x: float) -> float:
    if not abs(x) < 28.0:
        return 0.0 if x == x else nan
    # The rounding error of x*x would be amplified x*x times in the result.  The head of x has 26
    # bits, so its square is exact (Veltkamp).
    shifted = 134217729.0 * x
    head = shifted - (shifted - x)
    return math.exp(-head * head) * math.exp((head - x) * (head + x))


def sigmoid(x: float) -> float:
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


def softplus(x: float) -> float:
    return x + math.log1p(math.exp(-x)) if x > 0.0 else math.log1p(math.exp(x))


def logsigmoid(x: float) -> float:
    return -softplus(-x)


def logaddexp(a: float, b: float) -> float:
    if a != a or b != b:
        return nan
    high = max(a, b)
    return high if math.isinf(high) else high + math.log1p(math.exp(-abs(a - b)))


def normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x * math.sqrt(0.5))


def normal_pdf(x: float) -> float:
    return math.sqrt(0.5 / math.pi) * math.exp(-0.5 * x * x)


def damped(x: float, w: float) -> float:
    return x * w if w != 0.0 else 0.0


def relu(x: float) -> float:
    return 0.0 if x <= 0.0 else x


def step(x: float) -> float:
    return 1.0 if x > 0.0 else 0.0 if x <= 0.0 else nan


def sign(x: float) -> float:
    return step(x) - step(-x)


def total(*xs: float) -> float:
    # Not the built-in sum, which rounds differently from Python 3.12 on.
    return functools.reduce(operator.add, xs)


def mean(*xs: float) -> float:
    return total(*xs) / len(xs)


def maximum(*xs: float) -> float:
    best = xs[0]
    for x in xs[1:]:
        if x > best or x != x:
            best = x
        elif x == best == 0.0:
            best = x + best  # +0.0 is the larger of the two zeros
        if best != best:
            return nan
    return best


def minimum(*xs: float) -> float:
    return -maximum(*(-x for x in xs))


def dot(*args: float) -> float:
    n = len(args) // 2
    return functools.reduce(operator.add, map(operator.mul, args[:n], args[n:-1]), args[-1])


def logsumexp(*xs: float) -> float:
    top = maximum(*xs)
    if not math.isfinite(top):
        return top
    rest = list(xs)
    rest.remove(top)
    # log1p of the others, so that a sum dominated by one term keeps its small remainder
    return top + math.log1p(functools.reduce(operator.add, (math.exp(x - top) for x in rest), 0.0))


def softmax(xs: Sequence[float]) -> list[float]:
    top = maximum(*xs)
    if top == inf:
        weights = [1.0 if x == inf else 0.0 for x in xs]
    elif math.isfinite(top):
        weights = [math.exp(x - top) for x in xs]
    else:
        return [nan] * len(xs)
    sum_of_all = total(*weights)
    return [weight / sum_of_all for weight in weights]


def softmax_entry(k: float, *xs: float) -> float:
    return softmax(xs)[int(k)]


def logistic_loss(z: float, y: float) -> float:
    # No term is a difference, so each keeps its digits in the tail where it is tiny.
    straight = damped(z, 1.0 - y) if z >= 0.0 else damped(-z, y)
    return math.log1p(math.exp(-abs(z))) + straight


def sigmoid_minus(z: float, y: float) -> float:
    return (1.0 - y) * sigmoid(z) - y * sigmoid(-z)


def squared_error(a: float, y: float) -> float:
    return (a - y) * (a - y)


def half_squared_error(a: float, y: float) -> float:
    return 0.5 * squared_error(a, y)


def hinge_loss(s: float, y: float) -> float:
    return relu(1.0 - y * s)


def softmax_rest(k: float, *xs: float) -> float:
    if k not in range(len(xs)):
        return nan
    shares, own = softmax(xs), int(k)
    sides = [side for side in (shares[:own], shares[:own:-1]) if side]  # added up from the outside
    return total(*(total(*side) for side in sides)) if sides else 0.0


def surprisals(zs: Sequence[float]) -> list[float]:
    """Return -log softmax of *zs*, none of them by cancellation, however sure the softmax is."""
    top = maximum(*zs)
    if top == -inf or top != top:
        return [nan] * len(zs)
    below = [0.0 if z == top else top - z for z in zs]  # an infinite top takes all
    others = list(below)
    others.remove(0.0)
    rest = math.log1p(functools.reduce(operator.add, (math.exp(-x) for x in others), 0.0))
    return [x + rest for x in below]


def cross_entropy(k: float, *zs: float) -> float:
    return surprisals(zs)[int(k)] if k in range(len(zs)) else nan


def soft_cross_entropy(*args: float) -> float:
    n = len(args) // 2
    return total(*map(damped, surprisals(args[n:]), args[:n]))
