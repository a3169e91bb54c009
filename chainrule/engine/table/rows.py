"""The table: everything the engine knows about an operation is one row here.

Reverse mode, forward mode, higher orders, the compiler, the drawings, the table of derivatives in
the docs and the tests all read the row, so adding an operation means adding a row.

Inside a partial, ``+``, ``-`` and ``*`` may be written directly, since they never raise on floats.
Anything that can leave the reals or overflow goes through a primitive, which gives an IEEE value.
"""

from __future__ import annotations

import cmath
import math
import operator
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from . import analytic, arrays, floats
from .definitions import primitive
from .primitive import BUILT_IN, TABLE

if TYPE_CHECKING:
    from .signatures import Binary, Ternary, Unary

inf, nan = math.inf, math.nan
LN2, LN10, ROOT_PI = math.log(2.0), math.log(10.0), math.sqrt(math.pi)

# --- steps ----------------------------------------------------------------------------------------
# Piecewise constant, with derivative zero.  The other rows' partials, and conditions for where(),
# are made of these.  Every convention at a kink is written here or in the row that has the kink.

equal = primitive(
    "equal", lambda a, b: 1.0 if a == b else 0.0, (None, None),
    array=arrays.equal, latex=r"\left[{0} = {1}\right]",
)  # fmt: skip
less = primitive(
    "less", lambda a, b: 1.0 if a < b else 0.0, (None, None),
    array=arrays.less, latex=r"\left[{0} < {1}\right]",
)  # fmt: skip
less_equal = primitive(
    "less_equal", lambda a, b: 1.0 if a <= b else 0.0, (None, None),
    array=arrays.less_equal, latex=r"\left[{0} \le {1}\right]",
)  # fmt: skip
step = primitive(  # 0 at 0; nan at nan
    "step", floats.step, (None,), array=arrays.step, latex=r"\left[{0} > 0\right]",
)  # fmt: skip
whole_quotient = primitive(  # of a / b, rounded down: what the derivative of a % b is made of
    "whole_quotient", floats.whole_quotient, (None, None), array=arrays.whole_quotient,
    latex=r"\left\lfloor \frac{{{0}}}{{{1}}} \right\rfloor", domain=((-3.0, 3.0), (0.1, 3.0)),
)  # fmt: skip
sign = primitive(  # 0 at 0; nan at nan
    "sign", floats.sign, (None,), array=np.sign, latex=r"\operatorname{{sgn}}\left({0}\right)",
)  # fmt: skip

# --- choosing -------------------------------------------------------------------------------------

where: Ternary = primitive(
    "where",
    lambda condition, a, b: a if condition else b,
    (None, lambda c, a, b, y: where(c, 1.0, 0.0), lambda c, a, b, y: where(c, 0.0, 1.0)),
    array=lambda condition, a, b: np.where(condition, a, b),
    selects=lambda condition, a, b: 1 if condition else 2,
    analytic=lambda condition, a, b: a if condition else b,
    latex=r"\begin{{cases}}{1} & \text{{if }} {0} \\ {2} & \text{{otherwise}}\end{{cases}}",
    domain=((0.0, 1.0), (-3.0, 3.0), (-3.0, 3.0)),
)


def _is_entry(k: float, *xs: float) -> bool:
    return 0.0 <= k < len(xs)


def _tie_shares(args: Sequence[Any], y: Any, linked: Sequence[int]) -> list[Any]:
    # Equal shares among tied Values, none on a tie with a constant; 0/0 = nan when y is nan.
    ties = [equal(arg, y) for arg in args]
    count = add_up(*ties)
    share = divide(1.0, count)
    for i in set(range(len(args))).difference(linked):
        share = share * (1.0 - ties[i])
    return [ties[i] * share for i in linked]


take_entry = primitive(  # which entry, counted from 0, then the entries
    "take", lambda k, *xs: xs[int(k)],
    variadic=lambda args, y, linked: [1.0] * len(linked),
    selects=lambda k, *xs: 1 + int(k), takes=_is_entry,
    array=lambda k, *xs: np.choose(np.asarray(k, dtype=int), np.broadcast_arrays(*xs), mode="clip"),
    latex=lambda args: rf"\left({', '.join(args[1:])}\right)_{{{args[0]}}}",
)  # fmt: skip
maximum = primitive(
    "maximum", floats.maximum, variadic=_tie_shares, array=arrays.maximum,
    latex=r"\max\left({0}\right)",
)  # fmt: skip
minimum = primitive(
    "minimum", floats.minimum, variadic=_tie_shares, array=arrays.minimum,
    latex=r"\min\left({0}\right)",
)  # fmt: skip

# --- arithmetic -----------------------------------------------------------------------------------

identity = primitive(
    "identity", lambda x: x, (1.0,), array=np.positive, analytic=lambda x: x, latex="{0}",
)  # fmt: skip
add = primitive(
    "+", operator.add, (1.0, 1.0), array=np.add, analytic=operator.add,
    latex="{0} + {1}", precedence=1, binds=(1, 1),
)  # fmt: skip
subtract = primitive(
    "-", operator.sub, (1.0, -1.0), array=np.subtract, analytic=operator.sub,
    latex="{0} - {1}", precedence=1, binds=(1, 2),
)  # fmt: skip


def _product_latex(args: Sequence[str]) -> str:
    left, right = args
    return rf"{left} \cdot {right}" if right[:1].isdigit() else rf"{left} \, {right}"


multiply = primitive(
    "*", operator.mul, (lambda a, b, y: b, lambda a, b, y: a),
    array=np.multiply, analytic=operator.mul, latex=_product_latex, precedence=2, binds=(2, 2),
)  # fmt: skip
divide: Binary = primitive(  # by way of y, so that d/db survives a tiny b
    "/", floats.divide, (lambda a, b, y: divide(1.0, b), lambda a, b, y: divide(-y, b)),
    array=np.divide, analytic=operator.truediv,
    latex=r"\frac{{{0}}}{{{1}}}", precedence=2, domain=((-3.0, 3.0), (0.1, 3.0)),
)  # fmt: skip
remainder = primitive(  # with b's sign; where it jumps it is differentiated as after the jump
    "%", floats.remainder,
    (
        lambda a, b, y: where(equal(y, y), 1.0, nan),
        lambda a, b, y: -whole_quotient(a, b),
    ),
    array=np.remainder, analytic=analytic.remainder,
    latex=r"{0} \bmod {1}", precedence=0, binds=(2, 3), domain=((-3.0, 3.0), (0.1, 3.0)),
)  # fmt: skip
negative = primitive(
    "neg", operator.neg, (-1.0,), array=np.negative, analytic=operator.neg,
    latex="-{0}", precedence=1, binds=(2,),
)  # fmt: skip


def _power_by_base(x: Any, p: Any, y: Any) -> Any:
    if isinstance(p, float):  # x**0 is constant, at 0, nan and at every order
        return p * power(x, p - 1.0) if p else 0.0
    return damped(power(x, p - 1.0), p)


def _power_by_exponent(x: Any, p: Any, y: Any) -> Any:
    flat = equal(x, 0.0) * less_equal(0.0, p)  # 0**p is 0 for every p above 0
    return where(flat, 0.0, y * log(x))


power = primitive(
    "**", floats.power, (_power_by_base, _power_by_exponent),
    array=np.power, analytic=analytic.power,
    latex="{0}^{{{1}}}", precedence=4, binds=(5, 0), domain=((0.1, 3.0), (-3.0, 3.0)),
)  # fmt: skip
square = primitive(
    "square", lambda x: x * x, (lambda x, y: 2.0 * x,), array=np.square, analytic=lambda z: z * z,
    latex="{0}^{{2}}", precedence=4, binds=(5,),
)  # fmt: skip
absolute = primitive(
    "abs", math.fabs, (lambda x, y: sign(x),), array=np.abs, latex=r"\left\lvert {0} \right\rvert",
)  # fmt: skip
damped = primitive(  # x times a factor; if the factor is 0 so is the result, even for an infinite x
    "damped", floats.damped,
    (
        lambda x, w, y: w,
        lambda x, w, y: where(equal(w, 0.0) * equal(absolute(x), inf), 0.0, x),
    ),
    array=arrays.damped, analytic=operator.mul,
    latex=_product_latex, precedence=2, binds=(2, 2),
)  # fmt: skip

# --- exponentials, logarithms, roots --------------------------------------------------------------

exp = primitive(
    "exp", floats.exp, (lambda x, y: y,), array=np.exp, analytic=cmath.exp,
    latex="e^{{{0}}}", precedence=4, domain=(-20.0, 20.0),
)  # fmt: skip
exp2 = primitive(
    "exp2", floats.exp2, (lambda x, y: LN2 * y,),
    array=np.exp2, analytic=lambda z: cmath.exp(LN2 * z),
    latex="2^{{{0}}}", precedence=4, domain=(-20.0, 20.0),
)  # fmt: skip
expm1 = primitive(
    "expm1", floats.expm1, (lambda x, y: exp(x),),
    array=np.expm1, analytic=lambda z: cmath.exp(z) - 1.0,
    latex="e^{{{0}}} - 1", precedence=1, domain=(-20.0, 20.0),
)  # fmt: skip


def _over_positive(numerator: float, x: Any) -> Any:
    # x + 0.0 makes a negative zero positive: the logarithm has no derivative of -inf anywhere.
    return divide(where(less(x, 0.0), nan, numerator), x + 0.0)


log = primitive(
    "log", floats.log, (lambda x, y: _over_positive(1.0, x),), array=np.log, analytic=cmath.log,
    latex=r"\ln\left({0}\right)", domain=(0.01, 20.0),
)  # fmt: skip
log1p = primitive(
    "log1p", floats.log1p, (lambda x, y: _over_positive(1.0, 1.0 + x),),
    array=np.log1p, analytic=lambda z: cmath.log(1.0 + z),
    latex=lambda args: rf"\ln\left(1 {'' if args[0][:1] == '-' else '+ '}{args[0]}\right)",
    domain=(-0.9, 20.0),
)  # fmt: skip
log2 = primitive(
    "log2", floats.log2, (lambda x, y: _over_positive(1.0 / LN2, x),),
    array=np.log2, analytic=lambda z: cmath.log(z) / LN2,
    latex=r"\log_{{2}}\left({0}\right)", domain=(0.01, 20.0),
)  # fmt: skip
log10 = primitive(
    "log10", floats.log10, (lambda x, y: _over_positive(1.0 / LN10, x),),
    array=np.log10, analytic=cmath.log10,
    latex=r"\log_{{10}}\left({0}\right)", domain=(0.01, 20.0),
)  # fmt: skip
sqrt = primitive(  # inf at both zeros
    "sqrt", floats.sqrt, (lambda x, y: divide(0.5, y + 0.0),), array=np.sqrt, analytic=cmath.sqrt,
    latex=r"\sqrt{{{0}}}", domain=(0.01, 20.0),
)  # fmt: skip
cbrt = primitive(  # inf at both zeros
    "cbrt", floats.cbrt, (lambda x, y: divide(divide(1.0, 3.0 * y), y),),
    array=np.cbrt, analytic=analytic.cbrt,
    latex=r"\sqrt[3]{{{0}}}", domain=(0.01, 20.0),
)  # fmt: skip
# --- parts of derivatives -------------------------------------------------------------------------
# These are rows because, written out, they would overflow or lose digits at some order.

one_less_square = primitive(
    "one_less_square", lambda x: (1.0 - x) * (1.0 + x), (lambda x, y: -2.0 * x,),
    array=arrays.one_less_square, analytic=lambda z: (1.0 - z) * (1.0 + z),
    latex="1 - {0}^{{2}}", precedence=1, binds=(5,),
)  # fmt: skip
inverse_hypotenuse = primitive(
    "inverse_hypotenuse", floats.inverse_hypotenuse, (lambda x, y: -(damped(x, y) * y * y),),
    array=arrays.inverse_hypotenuse, analytic=lambda z: 1.0 / cmath.sqrt(1.0 + z * z),
    latex=r"\frac{{1}}{{\sqrt{{1 + {0}^{{2}}}}}}", precedence=2, binds=(5,),
)  # fmt: skip
lorentzian = primitive(
    "lorentzian", floats.lorentzian, (lambda x, y: -2.0 * (damped(x, y) * y),),
    array=arrays.lorentzian, analytic=lambda z: 1.0 / (1.0 + z * z),
    latex=r"\frac{{1}}{{1 + {0}^{{2}}}}", precedence=2, binds=(5,),
)  # fmt: skip
gaussian = primitive(
    "gaussian", floats.gaussian, (lambda x, y: -2.0 * damped(x, y),),
    array=arrays.gaussian, analytic=lambda z: cmath.exp(-z * z),
    latex="e^{{-{0}^{{2}}}}", precedence=4, binds=(5,), domain=(-4.0, 4.0),
)  # fmt: skip

inversion: Binary = primitive(  # by a quotient, so that no square over- or underflows
    "inversion", floats.inversion,
    (
        lambda a, b, y: (inversion(b, a) - y) * (inversion(b, a) + y),
        lambda a, b, y: -2.0 * (y * inversion(b, a)),
    ),
    array=arrays.inversion, analytic=lambda a, b: a / (a * a + b * b),
    latex=r"\frac{{{0}}}{{{0}^{{2}} + {1}^{{2}}}}", precedence=2, binds=(5, 5),
    domain=((0.1, 3.0), (-3.0, 3.0)),
)  # fmt: skip

# --- angles ---------------------------------------------------------------------------------------

sin = primitive(
    "sin", floats.sin, (lambda x, y: cos(x),), array=np.sin, analytic=cmath.sin,
    latex=r"\sin\left({0}\right)",
)  # fmt: skip
cos: Unary = primitive(
    "cos", floats.cos, (lambda x, y: -sin(x),), array=np.cos, analytic=cmath.cos,
    latex=r"\cos\left({0}\right)",
)  # fmt: skip
tan = primitive(
    "tan", floats.tan, (lambda x, y: 1.0 + square(y),), array=np.tan, analytic=cmath.tan,
    latex=r"\tan\left({0}\right)", domain=(-1.5, 1.5),
)  # fmt: skip
asin = primitive(  # inf at 1 and -1
    "asin", floats.asin, (lambda x, y: divide(1.0, sqrt(one_less_square(x))),),
    array=np.arcsin, analytic=cmath.asin,
    latex=r"\arcsin\left({0}\right)", domain=(-0.9, 0.9),
)  # fmt: skip
acos = primitive(  # -inf at 1 and -1
    "acos", floats.acos, (lambda x, y: divide(-1.0, sqrt(one_less_square(x))),),
    array=np.arccos, analytic=cmath.acos,
    latex=r"\arccos\left({0}\right)", domain=(-0.9, 0.9),
)  # fmt: skip
atan = primitive(
    "atan", math.atan, (lambda x, y: lorentzian(x),), array=np.arctan, analytic=cmath.atan,
    latex=r"\arctan\left({0}\right)",
)  # fmt: skip
hypot = primitive(  # (0, 0) at the origin
    "hypot", math.hypot,
    (
        lambda a, b, y: divide(a, where(equal(y, 0.0), 1.0, y)),
        lambda a, b, y: divide(b, where(equal(y, 0.0), 1.0, y)),
    ),
    array=np.hypot, analytic=lambda a, b: cmath.sqrt(a * a + b * b),
    latex=r"\sqrt{{{0}^{{2}} + {1}^{{2}}}}", binds=(5, 5),
)  # fmt: skip
atan2 = primitive(
    "atan2", math.atan2,
    (
        lambda b, a, y: inversion(a, b),
        lambda b, a, y: -inversion(b, a),
    ),
    array=np.arctan2, analytic=analytic.atan2,
    latex=r"\operatorname{{atan2}}\left({0}, {1}\right)", domain=((0.1, 3.0), (-3.0, 3.0)),
)  # fmt: skip

# --- hyperbolic functions, their inverses, the error function -------------------------------------

sinh = primitive(
    "sinh", floats.sinh, (lambda x, y: cosh(x),), array=np.sinh, analytic=cmath.sinh,
    latex=r"\sinh\left({0}\right)", domain=(-20.0, 20.0),
)  # fmt: skip
cosh: Unary = primitive(
    "cosh", floats.cosh, (lambda x, y: sinh(x),), array=np.cosh, analytic=cmath.cosh,
    latex=r"\cosh\left({0}\right)", domain=(-20.0, 20.0),
)  # fmt: skip
asinh = primitive(
    "asinh", math.asinh, (lambda x, y: inverse_hypotenuse(x),),
    array=np.arcsinh, analytic=cmath.asinh,
    latex=r"\operatorname{{arsinh}}\left({0}\right)",
)  # fmt: skip
acosh = primitive(  # inf at 1; two roots, because x**2 would overflow
    "acosh", floats.acosh, (lambda x, y: divide(divide(1.0, sqrt(x - 1.0)), sqrt(x + 1.0)),),
    array=np.arccosh, analytic=cmath.acosh,
    latex=r"\operatorname{{arcosh}}\left({0}\right)", domain=(1.1, 20.0),
)  # fmt: skip
atanh = primitive(  # inf at 1 and -1
    "atanh", floats.atanh,
    (lambda x, y: divide(where(less(1.0, absolute(x)), nan, 1.0), one_less_square(x)),),
    array=np.arctanh, analytic=cmath.atanh,
    latex=r"\operatorname{{artanh}}\left({0}\right)", domain=(-0.9, 0.9),
)  # fmt: skip

erf = primitive(
    "erf", math.erf, (lambda x, y: 2.0 / ROOT_PI * gaussian(x),),
    array=arrays.erf, analytic=analytic.erf,
    latex=r"\operatorname{{erf}}\left({0}\right)", domain=(-4.0, 4.0),
)  # fmt: skip
erfc = primitive(
    "erfc", math.erfc, (lambda x, y: -2.0 / ROOT_PI * gaussian(x),),
    array=arrays.erfc, analytic=analytic.erfc,
    latex=r"\operatorname{{erfc}}\left({0}\right)", domain=(-4.0, 6.0),
)  # fmt: skip

# --- activations ----------------------------------------------------------------------------------
# Written so that a tail keeps its relative accuracy: 1 - tanh(20)**2 would be 0.

sigmoid: Unary = primitive(
    "sigmoid", floats.sigmoid, (lambda x, y: y * sigmoid(-x),),
    array=arrays.sigmoid, analytic=analytic.sigmoid,
    latex=r"\sigma\left({0}\right)", domain=(-40.0, 40.0),
)  # fmt: skip
tanh = primitive(
    "tanh", math.tanh, (lambda x, y: 4.0 * (sigmoid(2.0 * x) * sigmoid(-2.0 * x)),),
    array=np.tanh, analytic=cmath.tanh,
    latex=r"\tanh\left({0}\right)", domain=(-20.0, 20.0),
)  # fmt: skip
relu = primitive(
    "relu", floats.relu, (lambda x, y: step(x),), array=arrays.relu,
    latex=r"\operatorname{{relu}}\left({0}\right)",
)  # fmt: skip
leaky_relu = primitive(  # the slope at 0
    "leaky_relu", lambda x, slope: x if x > 0.0 else slope * x,
    (
        # 0 * step(x) lets a nan through, which where() takes for true
        lambda x, slope, y: where(step(x), 1.0, slope) + 0.0 * step(x),
        lambda x, slope, y: where(step(x), 0.0 * step(x), x),
    ),
    array=arrays.leaky_relu, defaults=(0.01,),
    latex=r"\operatorname{{leaky\_relu}}\left({0}, {1}\right)",
)  # fmt: skip
softplus = primitive(
    "softplus", floats.softplus, (lambda x, y: sigmoid(x),),
    array=arrays.softplus, analytic=analytic.softplus,
    latex=r"\ln\left(1 + e^{{{0}}}\right)", domain=(-40.0, 40.0),
)  # fmt: skip
logsigmoid = primitive(
    "logsigmoid", floats.logsigmoid, (lambda x, y: sigmoid(-x),),
    array=arrays.logsigmoid, analytic=lambda z: -analytic.softplus(-z),
    latex=r"\ln\sigma\left({0}\right)", domain=(-40.0, 40.0),
)  # fmt: skip
silu = primitive(
    "silu", lambda x: floats.damped(x, floats.sigmoid(x)),
    (lambda x, y: sigmoid(x) + damped(x, sigmoid(x) * sigmoid(-x)),),
    array=arrays.silu, analytic=lambda z: z * analytic.sigmoid(z),
    latex=r"\operatorname{{silu}}\left({0}\right)", domain=(-40.0, 40.0),
)  # fmt: skip
normal_pdf = primitive(
    "normal_pdf", floats.normal_pdf, (lambda x, y: -damped(x, y),),
    array=arrays.normal_pdf,
    analytic=lambda z: math.sqrt(0.5 / math.pi) * cmath.exp(-0.5 * z * z),
    latex=r"\varphi\left({0}\right)", domain=(-6.0, 6.0),
)  # fmt: skip
normal_cdf = primitive(
    "normal_cdf", floats.normal_cdf, (lambda x, y: normal_pdf(x),), array=arrays.normal_cdf,
    latex=r"\Phi\left({0}\right)", domain=(-6.0, 6.0),
)  # fmt: skip
gelu = primitive(  # the exact one, x times the normal distribution function
    "gelu", lambda x: floats.damped(x, floats.normal_cdf(x)),
    (lambda x, y: normal_cdf(x) + damped(x, normal_pdf(x)),),
    array=arrays.gelu,
    latex=r"\operatorname{{gelu}}\left({0}\right)", domain=(-6.0, 6.0),
)  # fmt: skip

# --- sums and normalisers of any number of terms --------------------------------------------------

add_up = primitive(
    "sum", floats.total, variadic=lambda args, y, linked: [1.0] * len(linked),
    array=arrays.total, analytic=analytic.total, latex=" + ".join, precedence=1, binds=(1,),
)  # fmt: skip
mean_of = primitive(
    "mean", floats.mean, variadic=lambda args, y, linked: [1.0 / len(args)] * len(linked),
    array=lambda *xs: arrays.total(*xs) / len(xs),
    analytic=lambda *zs: analytic.total(*zs) / len(zs),
    latex=r"\operatorname{{mean}}\left({0}\right)",
)  # fmt: skip


def _dot_latex(args: Sequence[str]) -> str:
    n = len(args) // 2
    terms = [_product_latex(pair) for pair in zip(args[:n], args[n:-1], strict=True)]
    return " + ".join(terms + [args[-1]] * (args[-1] != "0" or not terms))


def _dot_partials(args: Sequence[Any], y: Any, linked: Sequence[int]) -> Sequence[Any]:
    n = len(args) // 2
    others = (*args[n:-1], *args[:n], 1.0)
    return others if len(linked) == len(args) else [others[i] for i in linked]


dot_product = primitive(  # the weights, then as many inputs, then the bias
    "dot", floats.dot, variadic=_dot_partials, array=arrays.dot, analytic=analytic.dot,
    latex=_dot_latex, precedence=1, binds=(2,), takes=lambda *args: len(args) % 2 == 1,
)  # fmt: skip


def softmax_of(xs: Sequence[Any]) -> list[Any]:
    """Return the softmax of *xs*, one entry for each (a node each where *xs* holds Values)."""
    if all(type(x) is float for x in xs):
        return floats.softmax(xs)
    return [softmax_entry(float(k), *xs) for k in range(len(xs))]


def _softmax_latex(args: Sequence[str]) -> str:
    return rf"\operatorname{{softmax}}_{{{args[0]}}}\left({', '.join(args[1:])}\right)"


def _softmax_partials(args: Sequence[Any], y: Any, linked: Sequence[int]) -> list[Any]:
    k, *xs = args
    shares = softmax_of(xs)
    own = int(k)
    others = shares[:own] + shares[own + 1 :]
    rest = add_up(*others) if others else 0.0  # 1 - y would lose a confident y's tail
    return [y * rest if i - 1 == own else -(y * shares[i - 1]) for i in linked]


def _logsumexp_partials(args: Sequence[Any], y: Any, linked: Sequence[int]) -> list[Any]:
    shares = softmax_of(args)
    empty = equal(y, -inf)  # a sum of nothing but zeros does not respond: 0, not nan
    return [where(empty, 0.0, shares[i]) for i in linked]


softmax_entry = primitive(  # which entry, as a constant, then the logits
    "softmax", floats.softmax_entry, variadic=_softmax_partials, array=arrays.softmax_entry,
    analytic=analytic.softmax_entry,
    takes=_is_entry, latex=_softmax_latex,
)  # fmt: skip
logsumexp_of = primitive(
    "logsumexp", floats.logsumexp, variadic=_logsumexp_partials, array=arrays.logsumexp,
    analytic=analytic.logsumexp,
    latex=lambda args: r"\ln\left(" + " + ".join(f"e^{{{x}}}" for x in args) + r"\right)",
)  # fmt: skip
logaddexp = primitive(
    "logaddexp", floats.logaddexp,
    (
        lambda a, b, y: _logsumexp_partials((a, b), y, (0,))[0],
        lambda a, b, y: _logsumexp_partials((a, b), y, (1,))[0],
    ),
    array=np.logaddexp, analytic=analytic.logsumexp,
    latex=r"\ln\left(e^{{{0}}} + e^{{{1}}}\right)",
)  # fmt: skip

# --- losses ---------------------------------------------------------------------------------------
# What the outputs z, a or s of one example cost, given the target y or the class k.

sigmoid_minus = primitive(  # a - y, exact also where both are almost 1
    "sigmoid_minus", floats.sigmoid_minus, (lambda z, y, d: sigmoid(z) * sigmoid(-z), -1.0),
    array=arrays.sigmoid_minus, analytic=lambda z, y: analytic.sigmoid(z) - y,
    latex=r"\sigma\left({0}\right) - {1}", precedence=1, binds=(0, 2),
    domain=((-40.0, 40.0), (0.0, 1.0)),
)  # fmt: skip


def _logistic_latex(args: Sequence[str]) -> str:
    z, y = args
    yes, no = rf"\ln\sigma\left({z}\right)", rf"\ln\left(1 - \sigma\left({z}\right)\right)"
    if y in ("0", "1"):
        return f"-{yes if y == '1' else no}"
    return rf"-\left({y} \, {yes} + \left(1 - {y}\right) {no}\right)"


logistic_loss = primitive(  # takes the logit
    "logistic_loss", floats.logistic_loss,
    (lambda z, y, loss: sigmoid_minus(z, y), lambda z, y, loss: -z),
    array=arrays.logistic_loss, analytic=analytic.logistic_loss,
    latex=_logistic_latex, precedence=1, binds=(0, 2), domain=((-40.0, 40.0), (0.0, 1.0)),
)  # fmt: skip
squared_error = primitive(
    "squared_error", floats.squared_error,
    (lambda a, y, loss: 2.0 * (a - y), lambda a, y, loss: 2.0 * (y - a)),
    array=lambda a, y: np.square(a - y), analytic=lambda a, y: (a - y) * (a - y),
    latex=r"\left({0} - {1}\right)^{{2}}", precedence=4, binds=(1, 2),
)  # fmt: skip
half_squared_error = primitive(
    "half_squared_error", floats.half_squared_error,
    (lambda a, y, loss: a - y, lambda a, y, loss: y - a),
    array=lambda a, y: 0.5 * np.square(a - y), analytic=lambda a, y: 0.5 * (a - y) * (a - y),
    latex=r"\frac{{1}}{{2}} \left({0} - {1}\right)^{{2}}", precedence=2, binds=(1, 2),
)  # fmt: skip
hinge_loss = primitive(  # 0 where the margin y s is exactly 1, as relu at 0
    "hinge_loss", floats.hinge_loss,
    (lambda s, y, loss: -(y * step(loss)), lambda s, y, loss: -damped(s, step(loss))),
    array=lambda s, y: arrays.relu(1.0 - y * s),
    latex=lambda args: rf"\max\left(0, 1 - {_product_latex(args[::-1])}\right)", binds=(2, 2),
)  # fmt: skip


def _all_but_one(xs: Sequence[Any]) -> list[Any]:
    """Return for each of *xs* the sum of the others, without subtracting it from that of all.

    Both sides are added up from the outside, as in ``softmax_rest``.
    """
    before = list(accumulate(xs[:-1]))
    after = list(accumulate(xs[:0:-1]))[::-1]
    inner = [a + b for a, b in zip(before[:-1], after[1:], strict=True)]
    return [after[0], *inner, before[-1]] if len(xs) > 1 else [0.0]


def _softmax_rest_partials(args: Sequence[Any], y: Any, linked: Sequence[int]) -> list[Any]:
    k, *zs = args
    if k not in range(len(zs)):
        return [nan] * len(linked)
    shares = softmax_of(zs)
    own = shares[int(k)]
    return [-(own * y) if i - 1 == k else own * shares[i - 1] for i in linked]


softmax_rest = primitive(  # 1 - softmax, with its digits where that is almost 1
    "softmax_rest", floats.softmax_rest, variadic=_softmax_rest_partials,
    array=arrays.softmax_rest, analytic=analytic.softmax_rest,
    takes=_is_entry, latex=lambda args: f"1 - {_softmax_latex(args)}", precedence=1,
)  # fmt: skip


def _cross_entropy_partials(args: Sequence[Any], y: Any, linked: Sequence[int]) -> list[Any]:
    k, *zs = args
    shares = softmax_of(zs)
    found = []
    for i in linked:
        if i == 0:
            found.append(0.0)  # the index of a class is not a quantity
        elif not isinstance(k, float):
            missing = -softmax_rest(i - 1.0, *zs)
            found.append(where(equal(k, i - 1.0), missing, shares[i - 1]))
        else:
            found.append(-softmax_rest(k, *zs) if i - 1 == k else shares[i - 1])
    return found


def _soft_cross_entropy_partials(args: Sequence[Any], y: Any, linked: Sequence[int]) -> list[Any]:
    n = len(args) // 2
    ys, zs = args[:n], args[n:]
    by_target = [_surprisal(i, ys, zs) for i in linked if i < n]
    if len(by_target) == len(linked):
        return by_target
    shares, others = softmax_of(zs), _all_but_one(ys)
    if all(type(z) is float for z in zs):
        rests = _all_but_one(shares)
    else:
        rests = [softmax_rest(float(k), *zs) for k in range(n)]
    logits = [i - n for i in linked if i >= n]
    return by_target + [others[j] * shares[j] - ys[j] * rests[j] for j in logits]


def _surprisal(k: int, ys: Sequence[Any], zs: Sequence[Any]) -> Any:
    found = cross_entropy(float(k), *zs)
    return where(equal(ys[k], 0.0) * equal(found, inf), 0.0, found)  # as in the value, 0 wins


cross_entropy = primitive(  # which class, then the logits
    "cross_entropy", floats.cross_entropy, variadic=_cross_entropy_partials,
    array=arrays.cross_entropy_entry, analytic=analytic.cross_entropy,
    takes=_is_entry, latex=lambda args: rf"-\ln{_softmax_latex(args)}", precedence=1,
)  # fmt: skip
soft_cross_entropy = primitive(  # the probability of every class, then as many logits
    "soft_cross_entropy", floats.soft_cross_entropy, variadic=_soft_cross_entropy_partials,
    array=arrays.soft_cross_entropy, analytic=analytic.soft_cross_entropy,
    takes=lambda *args: len(args) % 2 == 0,
    latex=lambda args: (
        logsumexp_of.latex(args[len(args) // 2 :])  # type: ignore[operator]
        + rf" - \left({_dot_latex([*args, '0'])}\right)"
    ),
    precedence=1, binds=(2,),
)  # fmt: skip

OF_A_CLASS = (softmax_entry, softmax_rest, cross_entropy)
"""The rows whose first argument says which of the others is meant."""

BUILT_IN.update(TABLE)
