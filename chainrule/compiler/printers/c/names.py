"""Identifiers that C, libm and the printed file itself leave free."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..kernels import FORMULAS
from .helpers import HELPERS

_RESERVED_TEXT = """
auto break case char const continue default do double else enum extern float for goto if inline
int long register restrict return short signed sizeof static struct switch typedef union
unsigned void volatile while _Bool _Complex _Imaginary asm fortran bool true false class new
delete this template typename namespace private public protected operator try catch throw using
virtual friend explicit export mutable and or not xor nullptr constexpr parameters result
gradient m count work fixed sums constants line example total place run i j k l z y_line start
starts step steps a b c main NULL NAN INFINITY HUGE_VAL HUGE_VALF HUGE_VALL MATH_ERRNO
MATH_ERREXCEPT math_errhandling EOF errno offsetof size_t ptrdiff_t wchar_t DOMAIN SING OVERFLOW
UNDERFLOW PLOSS TLOSS fpclassify isfinite isinf isnan isnormal signbit isgreater isgreaterequal
isless islessequal islessgreater isunordered float_t double_t hypot atan2
"""
_RESERVED = frozenset(_RESERVED_TEXT.split())


def identifier(text: str, taken: Sequence[str] = (), default: str = "x") -> str:
    """Return *text* as an identifier of C that is none of those *taken*, nor any that C knows."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_") or default
    if name[0].isdigit():
        name = f"{default}{name}"
    name = name[:31]
    if name in _RESERVED or name in FORMULAS or name in HELPERS or _is_known(name):
        name += "_"
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def _is_known(name: str) -> bool:
    """Return whether *name* may be one of libm's, or one that is printed here."""
    printed = re.match(r"(k|FP|M|MATH)_|(table|t|i)\d+\Z", name)
    return printed is not None or name in _LIBM or re.sub(r"[fl]\Z", "", name) in _LIBM


_LIBM_TEXT = """
acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs
fdim floor fma fmax fmin fmod frexp hypot ilogb ldexp lgamma llrint llround log log10 log1p log2
logb lrint lround modf nan nearbyint nextafter nexttoward pow remainder remquo rint round
scalbln scalbn sin sinh sqrt tan tanh tgamma trunc j0 j1 jn y0 y1 yn gamma
"""
_LIBM = frozenset(_LIBM_TEXT.split())
