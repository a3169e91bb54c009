"""The library's names on numbers of fifty digits: what a program's right answer is.

A module that a program's text may take for ``cr``.  Derivatives are forward mode, as towers of
dual numbers: a :class:`Dual` of some level is a number plus a nilpotent of that level, and every
transform takes a level of its own, so nested ones cannot be confused.  An operation is a
:class:`Rule`: how to compute it, and a partial derivative per argument.  None of it is from the
engine.

With ``rounding`` switched on every result that a float cannot hold is disturbed by as much as
floating point would round it, at random, and every sum by as much as its largest term would be: its
terms may be added in any order.  What then changes from run to run is what a program in floats may
be wrong by, cancellation and all (Monte Carlo arithmetic: Parker, 1997).

Where two numbers are equal, fifty digits do not say what the derivative of their maximum is: that
is a convention, and :class:`ConventionError` is raised.  Where rounding decides which of them is
larger, nobody can say, and :class:`RoundingError` is raised.  :func:`any_side` goes on past a
convention on one of its sides: the number is then not the right one, but what noise does to it
is what noise does to the right one, which is made of the same terms.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from dataclasses import dataclass, field
from types import SimpleNamespace

from mpmath import mp, mpf

UNIT = mpf(2) ** -53
NAN = mpf("nan")  # which nobody sees if it is in the branch that is not chosen
DIGITS = 50


class ConventionError(Exception):
    """The answer is a convention of the engine's: a kink, a pole, the edge of a domain."""


class TieError(ConventionError):
    """Two numbers are equal of which the larger one is wanted."""


class RoundingError(Exception):
    """The answer hangs on the last digit of a number that was rounded."""


class UnsupportedError(Exception):
    """The program uses what this world does not have."""


_state = SimpleNamespace(rng=None, any_side=False)
_levels = itertools.count(1)


def new_level():
    """Return a level above all that there are."""
    return next(_levels)


@contextlib.contextmanager
def rounding(seed):
    """Disturb every result as floating point would; with None, nothing is disturbed."""
    before, _state.rng = _state.rng, None if seed is None else random.Random(seed)
    try:
        with mp.workdps(DIGITS):
            yield
    finally:
        _state.rng = before


@contextlib.contextmanager
def any_side():
    """Take one side of a convention, whichever, in place of raising ConventionError."""
    _state.any_side = True
    try:
        yield
    finally:
        _state.any_side = False


def convention(told, error=ConventionError):
    """Raise ConventionError, or return if any side will do."""
    if not _state.any_side:
        raise error(told)


# --- numbers -------------------------------------------------------------------------------------


class Operators:
    __slots__ = ()

    def __add__(self, other):
        return ADD(self, other)

    def __radd__(self, other):
        return ADD(other, self)

    def __sub__(self, other):
        return SUBTRACT(self, other)

    def __rsub__(self, other):
        return SUBTRACT(other, self)

    def __mul__(self, other):
        return MULTIPLY(self, other)

    def __rmul__(self, other):
        return MULTIPLY(other, self)

    def __truediv__(self, other):
        return DIVIDE(self, other)

    def __rtruediv__(self, other):
        return DIVIDE(other, self)

    def __mod__(self, other):
        return remainder(self, other)

    def __rmod__(self, other):
        return remainder(other, self)

    def __pow__(self, other):
        return power(self, other)

    def __rpow__(self, other):
        return power(other, self)

    def __neg__(self):
        return NEGATE(self)

    def __abs__(self):
        return absolute(self)

    def __lt__(self, other):
        return compared(self, other) < 0

    def __le__(self, other):
        return compared(self, other) <= 0

    def __gt__(self, other):
        return compared(self, other) > 0

    def __ge__(self, other):
        return compared(self, other) >= 0

    def __eq__(self, other):
        return compared(self, other) == 0

    __hash__ = None


class Real(Operators):
    """A number; *rounded* if a float in its place may not be this very number."""

    __slots__ = ("made", "origin", "rounded", "summed", "value")
    level = 0

    def __init__(self, value, rounded=False, summed=False, origin=None):
        self.value, self.rounded, self.summed, self.made = value, rounded, summed, None
        self.origin = origin or self  # the number that this one is a copy of, to the last digit


class Dual(Operators):
    """primal + tangent * (the nilpotent of its level); a tangent None is 0."""

    __slots__ = ("level", "made", "primal", "tangent")

    def __init__(self, primal, tangent, level):
        self.primal, self.tangent, self.level, self.made = primal, tangent, level, None


class Leaf(Operators):
    """A number that can be written to: what ``cr.Value`` makes."""

    __slots__ = ("number",)

    def __init__(self, x, label=""):
        self.number = number(x)


Value = Leaf


def number(x):
    """Return *x* as a Real or a Dual."""
    if type(x) is Leaf:
        return x.number
    if type(x) in (Real, Dual):
        return x
    if isinstance(x, (int, float)):
        return Real(mpf(x))
    raise UnsupportedError(f"{type(x).__name__} in the place of a number")


def real(x):
    """Return the Real at the bottom of *x*."""
    x = number(x)
    while x.level:
        x = x.primal
    return x


def compared(a, b):
    """Return -1, 0 or 1 as *a* is less than, equal to or greater than *b*."""
    a, b = real(a), real(b)
    if a.origin is b.origin:
        return 0
    if mp.isnan(a.value) or mp.isnan(b.value):
        convention("outside of a domain, or on its edge")
        return 0
    near = 1000 * UNIT * max(mp.fabs(a.value), mp.fabs(b.value))
    if (a.rounded or b.rounded) and mp.fabs(a.value - b.value) <= near:
        raise RoundingError("two numbers differ by rounding only")
    return (a.value > b.value) - (a.value < b.value)


def kinked(x, above, below):
    """Return *above* or *below* as *x* is; at 0 the derivative is 0 by convention."""
    order = compared(x, 0.0)
    return 0.0 * number(x) if order == 0 else same(above if order > 0 else below)


# --- rules ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """An operation on mpf, and its partials, which are given the arguments and the result."""

    base: object
    partials: tuple = field(default=())
    sums: bool = False

    def __call__(self, *args):
        args = [number(x) for x in args]
        result = self.apply(args)
        if result.made is None:
            result.made = (self, args)
        return result

    def apply(self, args):
        level = max(x.level for x in args)
        if not level:
            return self.compute(args)
        primals = [x.primal if x.level == level else x for x in args]
        y = self(*primals)
        tangent = None
        for x, partial in zip(args, self.partials, strict=True):
            if x.level == level and x.tangent is not None:
                slope = partial(*primals, y)
                plain = type(slope) is int and slope == 1
                term = x.tangent if plain else MULTIPLY(slope, x.tangent)
                tangent = term if tangent is None else ADD(tangent, term)
        return y if tangent is None else Dual(y, tangent, level)

    def compute(self, args):
        """Return the result as a Real; nan of infinities, outside of the domain and on its edge."""
        if not all(mp.isfinite(x.value) for x in args):
            return Real(NAN, True)
        try:
            value = self.base(*[x.value for x in args])
        except ZeroDivisionError:
            value = NAN
        if type(value) is not mpf or not mp.isfinite(value):
            return Real(NAN, True)
        rounded = any(x.rounded for x in args) or value != float(value)
        size = value if rounded else 0
        if self.sums and all(x.value for x in args):
            rounded = rounded or any(x.summed for x in args)  # in another order it would be
            size = max(mp.fabs(x.value) for x in args)
        if size and _state.rng is not None:
            value = value + size * 2 * UNIT * mpf(_state.rng.uniform(-1.0, 1.0))
        return Real(value, rounded, self.sums)


def _erfc(x):
    # mpmath's erfc fails beyond 1e150; at 1e4 it is e**-1e8 already, 0 or 2 to any number format.
    return mp.erfc(x) if mp.isnan(x) or mp.fabs(x) < 1e4 else mp.mpf(0 if x > 0 else 2)


ADD = Rule(lambda a, b: a + b, (lambda a, b, y: 1, lambda a, b, y: 1), True)
SUBTRACT = Rule(lambda a, b: a - b, (lambda a, b, y: 1, lambda a, b, y: -1), True)
MULTIPLY = Rule(lambda a, b: a * b, (lambda a, b, y: b, lambda a, b, y: a))
DIVIDE = Rule(lambda a, b: a / b, (lambda a, b, y: 1 / b, lambda a, b, y: -y / b))
SAME = Rule(lambda a: a, (lambda a, y: 1,))
NEGATE = Rule(lambda a: -a, (lambda a, y: -1,))
exp = Rule(mp.exp, (lambda x, y: y,))
log = Rule(mp.log, (lambda x, y: 1 / x,))
sqrt = Rule(mp.sqrt, (lambda x, y: 0.5 / y,))
sin = Rule(mp.sin, (lambda x, y: cos(x),))
cos = Rule(mp.cos, (lambda x, y: -sin(x),))
tan = Rule(mp.tan, (lambda x, y: 1 + y * y,))
tanh = Rule(mp.tanh, (lambda x, y: 4 * (sigmoid(2 * x) * sigmoid(-2 * x)),))  # as floats must
sinh = Rule(mp.sinh, (lambda x, y: cosh(x),))
cosh = Rule(mp.cosh, (lambda x, y: sinh(x),))
atan = Rule(mp.atan, (lambda x, y: 1 / (1 + x * x),))
expm1 = Rule(mp.expm1, (lambda x, y: y + 1,))
log1p = Rule(mp.log1p, (lambda x, y: 1 / (1 + x),))
erf = Rule(mp.erf, (lambda x, y: 2 / Real(mp.sqrt(mp.pi), True) * exp(-x * x),))
erfc = Rule(_erfc, (lambda x, y: -2 / Real(mp.sqrt(mp.pi), True) * exp(-x * x),))
asin = Rule(mp.asin, (lambda x, y: 1 / sqrt(1 - x * x),))
acos = Rule(mp.acos, (lambda x, y: -1 / sqrt(1 - x * x),))
asinh = Rule(mp.asinh, (lambda x, y: 1 / sqrt(1 + x * x),))
acosh = Rule(mp.acosh, (lambda x, y: 1 / sqrt(x * x - 1),))
atanh = Rule(mp.atanh, (lambda x, y: 1 / (1 - x * x),))
exp2 = Rule(lambda x: mpf(2) ** x, (lambda x, y: y * Real(mp.log(2), True),))
log2 = Rule(lambda x: mp.log(x, 2), (lambda x, y: 1 / (x * Real(mp.log(2), True)),))
log10 = Rule(mp.log10, (lambda x, y: 1 / (x * Real(mp.log(10), True)),))
cbrt = Rule(lambda x: mp.sign(x) * mp.cbrt(mp.fabs(x)), (lambda x, y: 1 / (3 * y * y),))
lgamma = Rule(mp.loggamma, (lambda x, y: digamma(x),))
digamma = Rule(mp.digamma, (lambda x, y: trigamma(x),))
trigamma = Rule(lambda x: mp.psi(1, x), (lambda x, y: _refuse("psi''"),))
_angle = Rule(
    mp.atan2,
    (lambda b, a, y: a / (a * a + b * b), lambda b, a, y: -b / (a * a + b * b)),
)
_integer_power = {}


def _refuse(what):
    raise UnsupportedError(what)


def same(x):
    """Return a number of its own that is *x*, as the result of a choice or a transform is one."""
    x = number(x)
    if x.level:
        copy = Dual(same(x.primal), x.tangent, x.level)
    else:
        copy = Real(x.value, x.rounded, x.summed, x.origin)
    copy.made = (SAME, [x])
    return copy


def remainder(a, b):
    if real(b).value == 0:
        convention("a remainder by 0")
    turns = mp.floor(real(a).value / real(b).value) if real(b).value else NAN
    for end in (turns, turns + 1):  # where the remainder jumps
        if compared(a, end * real(b)) == 0:
            convention("a jump of the remainder")
    return a - turns * number(b)


def power(x, p):
    p = number(p)
    if p.level:
        if compared(x, 0.0) <= 0:
            convention("a base that is not positive")
            return number(x) * NAN
        return exp(p * log(x))
    # The exponent less 1 is not disturbed: a negative number has no power 1.0000000000000002.
    less = Real(p.value - 1, p.rounded)
    base = Rule(lambda a, b: a**b, (lambda a, b, y: b * power(a, less), lambda a, b, y: y * log(a)))
    if p.value == 0 and compared(x, 0.0) <= 0:
        return number(1)
    return base(x, p)


def absolute(x):
    return kinked(x, x, -number(x))


abs = absolute


def square(x):
    return x * x


def hypot(a, b):
    return sqrt(a * a + b * b)


def atan2(b, a):
    if real(b).value == 0 and not real(a).value > 0:
        convention("the cut of atan2, or its corner")
    return _angle(b, a)


def sigmoid(x):
    return 1 / (1 + exp(-number(x)))


def softplus(x):
    return log1p(exp(x))


def logsigmoid(x):
    return -softplus(-number(x))


def silu(x):
    return x * sigmoid(x)


def gelu(x):
    return x * (0.5 * (1 + erf(x / sqrt(2.0))))


def relu(x):
    return kinked(x, x, 0.0)


def leaky_relu(x, slope=0.01):
    return same(x) if compared(x, 0.0) > 0 else slope * number(x)


def logaddexp(a, b):
    return logsumexp([a, b])


# --- choosing ------------------------------------------------------------------------------------


def less(a, b):
    return float(compared(a, b) < 0)


def less_equal(a, b):
    return float(compared(a, b) <= 0)


def equal(a, b):
    return float(compared(a, b) == 0)


def where(condition, a, b):
    return same(a if real(condition).value else b)


def maximum(*xs):
    best = xs[0]
    for x in xs[1:]:
        best = x if compared(x, best) > 0 else best
    if sum_of(compared(x, best) == 0 for x in xs) > 1:
        convention("two are the largest", TieError)
    return same(best)


def minimum(*xs):
    return -maximum(*(-number(x) for x in xs))


def take(table, index):
    return _mapped(same, table[int(real(index).value)])


# --- many numbers --------------------------------------------------------------------------------


def sum(values):
    total = number(0.0)
    for x in values:
        total = total + x
    return total


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def dot(weights, inputs, bias=0.0):
    return bias + sum(w * x for w, x in zip(weights, inputs, strict=True))


def logsumexp(values):
    return log(sum(exp(x) for x in values))


def softmax(values):
    weights = [exp(x) for x in values]
    total = sum(weights)
    return [x / total for x in weights]


# --- loops ---------------------------------------------------------------------------------------


def scan(step, carry, xs=None, length=None, checkpoint=None):
    outs = []
    for x in [None] * length if xs is None else xs:
        carry, out = step(carry, x)
        outs.append(out)
    if outs[0] is None:
        return carry, None
    return carry, tuple(map(list, zip(*outs, strict=True))) if type(outs[0]) is tuple else outs


# --- transforms ----------------------------------------------------------------------------------


def _mapped(function, structure):
    if isinstance(structure, (list, tuple)):
        return [_mapped(function, part) for part in structure]
    return function(structure)


def _moved(structure, tangents, level):
    """Return the structure with the next of *tangents* added to every number of it."""

    def one(x):
        tangent = next(tangents)
        return number(x) if tangent is None else Dual(number(x), number(tangent), level)

    return _mapped(one, structure)


def tangent(structure, level):
    def one(x):
        x = number(x)
        found = x.tangent if x.level == level else None
        return number(0.0) if found is None else same(found)

    return _mapped(one, structure)


def _primal(structure, level):
    return _mapped(lambda x: same(number(x).primal if number(x).level == level else x), structure)


def _count(structure):
    if isinstance(structure, (list, tuple)):
        return sum_of(map(_count, structure))
    return 1


def sum_of(counts):
    total = 0
    for count in counts:
        total += count
    return total


def _flat(structure):
    if isinstance(structure, (list, tuple)):
        return [leaf for part in structure for leaf in _flat(part)]
    return [structure]


def pushed(function, args, tangents):
    """Return the value and the derivative in the direction of the flat list *tangents*."""
    level = new_level()
    result = function(*_moved(list(args), iter(tangents), level))
    return _primal(result, level), tangent(result, level)


def partials(function, args, position):
    """Return the derivative of *function* by every number of one argument, shaped like it."""
    start = sum_of(map(_count, args[:position]))
    count = _count(list(args))

    def one(n):
        return pushed(function, args, [1.0 if i == n else None for i in range(count)])[1]

    numbers = itertools.count(start)
    return _mapped(lambda _: one(next(numbers)), args[position])


def grad(function, argnums=0):
    def gradient(*args):
        if isinstance(argnums, int):
            return partials(function, args, argnums)
        return tuple(partials(function, args, i) for i in argnums)

    return gradient


def value_and_grad(function, argnums=0):
    return lambda *args: (function(*args), grad(function, argnums)(*args))


def jvp(function, primals, tangents):
    return pushed(function, primals, _flat(tangents))


def vjp(function, *primals):
    value = function(*primals)

    def pull(cotangent):
        def weighed(*args):
            return dot(_flat(cotangent), _flat(function(*args)))

        return tuple(partials(weighed, primals, i) for i in range(len(primals)))

    return value, pull


def hvp(function, primals, vector):
    return jvp(grad(function, range(len(primals))), primals, vector)[1]


def jacobian(function):
    """For one list as the point: rows by the numbers of the result."""

    def matrix(point):
        columns = partials(function, [point], 0)
        if not isinstance(point, (list, tuple)):
            return columns
        if not isinstance(columns[0], list):
            return columns
        return [list(row) for row in zip(*columns, strict=True)]

    return matrix


def hessian(function):
    def matrix(point):
        return partials(lambda at: partials(function, [at], 0), [point], 0)

    return matrix


def gradients(output, inputs, create_graph=False):
    """Return the derivative of *output* by numbers that it was made from, in reverse mode."""
    output, inputs = number(output), [number(x) for x in inputs]
    adjoints = {id(output): number(1.0)}
    for node in reversed(_ordered(output)):
        adjoint = adjoints.get(id(node))
        if node.made is None or adjoint is None:
            continue
        rule, args = node.made
        for x, partial in zip(args, rule.partials, strict=True):
            if partial is None:
                continue
            flow = adjoint * partial(*args, node)
            adjoints[id(x)] = adjoints[id(x)] + flow if id(x) in adjoints else flow
    return [adjoints.get(id(x), number(0.0)) for x in inputs]


def _ordered(output):
    """Return the numbers that *output* was made from, each after those it was made from."""
    order, seen, waiting = [], set(), [(output, False)]
    while waiting:
        node, finished = waiting.pop()
        if finished:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            waiting.append((node, True))
            waiting += [(x, False) for x in (node.made[1] if node.made else ())]
    return order


# --- what else a text may name -------------------------------------------------------------------


def primitive(name, scalar, partials=None, *, defaults=(), **ignored):
    """Return *scalar* itself, written so that it runs on numbers of any kind."""
    return lambda *args: scalar(*args, *defaults[len(defaults) - _missing(partials, args) :])


def _missing(partials, args):
    return len(partials) - len(args) if partials is not None else 0


math = SimpleNamespace(
    exp=exp, log=log, sin=sin, cos=cos, atan=atan, erf=erf, tanh=tanh, sqrt=sqrt, lgamma=lgamma,
    sinh=sinh, pi=3.141592653589793, prod=lambda xs: _product(xs),
)  # fmt: skip


def _product(xs):
    result = number(1.0)
    for x in xs:
        result = result * x
    return result
