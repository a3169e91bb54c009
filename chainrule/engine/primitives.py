"""The table of primitives: everything the engine knows of an operation is one row here.

A row says how to evaluate the operation on floats and on arrays, what its partial derivatives are,
how to write it down, and where to sample it in tests.  Reverse mode, forward mode, higher orders,
the drawings, the table of derivatives in the docs and the tests all read the row, so adding an
operation means adding a row.

This module imports nothing from the package.  A primitive that is called with something other than
numbers (a ``Value``, a symbol) hands itself to the ``__chainrule__`` hook of that argument, which
is why a partial written in the library's own operations serves floats, arrays and Values alike.
Inside a partial, ``+``, ``-`` and ``*`` may be written as such (on floats they never raise);
whatever can leave the reals or overflow goes through a primitive, so that it gives an IEEE value.
"""

from __future__ import annotations

import cmath
import functools
import math
import numbers
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

inf, nan = math.inf, math.nan

Partial = Callable[..., Any] | float | None
VariadicPartials = Callable[[Sequence[Any], Any, Sequence[int]], Sequence[Any]]


def as_float(x: Any, doing: str) -> float:
    """Return *x* as a float; *doing* opens the message of the TypeError for what is no real number.

    Accepted are int, bool, float, Fraction, NumPy real scalars and 0-d arrays.  An integer or
    fraction beyond the float range rounds to an infinity, as IEEE conversion does.

    >>> as_float(True, "Value"), as_float(-10**400, "Value")
    (1.0, -inf)
    """
    if type(x) is float:
        return x
    if isinstance(x, np.ndarray) and x.ndim == 0:
        x = x[()]
    if isinstance(x, (numbers.Real, np.bool_)):
        try:
            return float(x)
        except OverflowError:
            return inf if x > 0 else -inf  # type: ignore[operator]
        except TypeError:  # NumPy registers its time differences as integers
            pass
    raise TypeError(f"{doing}: {type(x).__name__} is not a real number; {_advice(x)}")


def _advice(x: Any) -> str:
    if hasattr(type(x), "__chainrule__"):
        return "expected a plain number: take its .data"
    if isinstance(x, numbers.Complex) and not isinstance(x, numbers.Real):
        return "a Value holds one real number, so differentiate the real and imaginary parts apart"
    if isinstance(x, (list, tuple, np.ndarray)):
        return "a Value holds one number, so make one Value per element"
    if x is None:
        return "expected a number (is a return statement missing?)"
    return "expected an int, float, Fraction, NumPy scalar or Value"


class Primitive:
    """One row of the table: a differentiable operation, callable on numbers, arrays and Values.

    Made by :func:`primitive`, which describes the fields.
    """

    __slots__ = (
        "_kernel",
        "analytic",
        "arity",
        "array",
        "binds",
        "defaults",
        "domain",
        "latex",
        "name",
        "partials",
        "precedence",
        "scalar",
        "selects",
        "variadic",
    )

    _kernel: object
    """What computes this row in C, where there is such a thing; set from outside, else None."""
    name: str
    scalar: Callable[..., float]
    array: Callable[..., Any]
    partials: tuple[Any, ...]
    variadic: VariadicPartials | None
    arity: int | None
    defaults: tuple[float, ...]
    analytic: Callable[..., complex] | None
    selects: Callable[..., int] | None
    latex: str | Callable[[Sequence[str]], str]
    precedence: int
    binds: tuple[int, ...]
    domain: tuple[tuple[float, float], ...]

    def __call__(self, *args: Any) -> Any:
        for arg in args:
            if type(arg) is not float:
                return self._dispatch(args)
        if len(args) == self.arity:
            return self.scalar(*args)
        return self.scalar(*self.complete(args))

    def _dispatch(self, args: tuple[Any, ...]) -> Any:
        args = self.complete(args)
        kinds = dict.fromkeys(map(type, args))  # few, however many arguments there are
        hook = next((h for kind in kinds if (h := getattr(kind, "__chainrule__", None))), None)
        if not any(issubclass(kind, np.ndarray) for kind in kinds):
            if hook is not None:
                return hook(self, args)
            return self.scalar(*(as_float(arg, self.name) for arg in args))
        arrays = [arg for arg in args if isinstance(arg, np.ndarray)]
        if any(array.ndim == 0 for array in arrays):
            return self(*(_unboxed(arg, self.name) for arg in args))
        with np.errstate(all="ignore"):
            if hook is None and not any(array.dtype.kind == "O" for array in arrays):
                return self.array(*(_as_array(arg, self.name) for arg in args))
            operands = (x if isinstance(x, np.ndarray) else np.array(x, dtype=object) for x in args)
            return np.frompyfunc(self, len(args), 1)(*operands)

    def complete(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return *args* with the defaults appended; TypeError if their number cannot be right."""
        if self.arity is None:
            if args:
                return args
            raise TypeError(f"{self.name} takes at least one argument (0 given)")
        missing = self.arity - len(args)
        if 0 <= missing <= len(self.defaults):
            return args + self.defaults[len(self.defaults) - missing :]
        plural = "" if self.arity == 1 else "s"
        raise TypeError(f"{self.name} takes {self.arity} argument{plural} ({len(args)} given)")

    def linked(self, args: Sequence[Any], candidates: Sequence[int]) -> Sequence[int]:
        """Return those of the *candidates* (argument positions) that the result depends on."""
        if self.selects is not None:
            chosen = self.selects(*args)
            return [i for i in candidates if i == chosen]
        if None in self.partials:
            return [i for i in candidates if self.partials[i] is not None]
        return candidates

    def partial_values(self, args: Sequence[Any], y: Any, linked: Sequence[int]) -> tuple[Any, ...]:
        """Return the partial derivative for each *linked* argument position, and for no other.

        *args* may be floats, arrays or Values, and *y* is the output made from them.
        """
        if self.variadic is not None:
            partials = tuple(self.variadic(args, y, linked))
            if len(partials) != len(linked):
                raise ValueError(
                    f"{self.name}: its variadic returned {len(partials)} partials for the "
                    f"{len(linked)} arguments at positions {list(linked)}"
                )
            return partials
        values = []
        for i in linked:
            partial = self.partials[i]
            values.append(partial(*args, y) if callable(partial) else partial)
        return tuple(values)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return named, (self.name,)

    def __deepcopy__(self, memo: object) -> Primitive:
        return self  # not the row that bears the name by now


def _unboxed(x: Any, name: str) -> Any:
    if not isinstance(x, np.ndarray) or x.ndim:
        return x
    return x[()] if x.dtype.kind == "O" else as_float(x, name)


def _as_array(x: Any, name: str) -> Any:
    if not isinstance(x, np.ndarray):
        return as_float(x, name)
    if x.dtype.kind == "f":
        return x
    if x.dtype.kind in "biu":
        return x.astype(float)
    raise TypeError(f"{name}: an array of {x.dtype} is not an array of real numbers")


TABLE: dict[str, Primitive] = {}
_built_in: frozenset[str] = frozenset()


def named(name: str) -> Primitive:
    """Return the primitive of that *name* (used when a pickled graph is loaded)."""
    try:
        return TABLE[name]
    except KeyError:
        raise LookupError(
            f"no primitive is named {name!r}: define it with chainrule.primitive before "
            "loading a graph that uses it"
        ) from None


def primitive(
    name: str,
    scalar: Callable[..., float],
    partials: Sequence[Partial] | None = None,
    *,
    array: Callable[..., Any] | None = None,
    variadic: VariadicPartials | None = None,
    defaults: Sequence[float] = (),
    analytic: Callable[..., complex] | None = None,
    selects: Callable[..., int] | None = None,
    latex: str | Callable[[Sequence[str]], str] | None = None,
    precedence: int = 9,
    binds: Sequence[int] | None = None,
    domain: Any = (-3.0, 3.0),
) -> Primitive:
    r"""Add an operation to the table and return it as a function of numbers, arrays and Values.

    *scalar* maps floats to a float and *array* maps arrays to an array (by default *scalar*,
    element by element).  *partials* has one entry per argument: a callable that is given the
    arguments and then the output, a number where the operation is linear in that argument, or None
    where the derivative is zero wherever it exists.  Write the callables in the library's own
    functions (``cr.exp``, not ``math.exp``), so that higher derivatives come for free.

    >>> import chainrule as cr
    >>> cube = cr.primitive("cube", lambda x: x * x * x, (lambda x, y: 3.0 * cr.square(x),))
    >>> x = cr.Value(2.0)
    >>> cube(x).backward()
    >>> x.grad, cr.grad(cr.grad(cube))(2.0)
    (12.0, 12.0)

    The rest is optional.  *latex* is a template with ``{0}``, ``{1}``; the result binds with
    *precedence* (1 sum, 2 product, 3 sign, 4 power, 9 atom), and an argument that binds less than
    its entry in *binds* is put in parentheses.  *domain* is an interval, or one per argument, to
    sample in tests.  *analytic* is the same function on complex numbers near the real axis, used by
    complex-step checks.  *defaults* are for trailing arguments.  An operation of any number of
    arguments gives *variadic* in place of *partials*: from the arguments, the output and the linked
    positions it returns one partial for each of those positions.  *selects* is for an operation
    that copies one argument (``where``): from the arguments it returns that one's position.

    A name of the library's own table cannot be taken (ValueError); a user's own may be redefined.
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"primitive: the name must be a non-empty string, not {name!r}")
    if name in _built_in:
        raise ValueError(f"primitive: {name!r} is a primitive of chainrule; choose another name")
    if (partials is None) == (variadic is None):
        raise TypeError(f"primitive {name}: give either partials, one per argument, or variadic")
    for function, role in ((scalar, "scalar"), (array, "array"), (variadic, "variadic")):
        if function is not None and not callable(function):
            raise TypeError(f"primitive {name}: {role} must be callable, not {function!r}")
    if partials is not None and not isinstance(partials, (list, tuple)):
        raise TypeError(f"primitive {name}: partials is a sequence of callables, one per argument")
    for partial in partials or ():
        if not (partial is None or callable(partial) or isinstance(partial, numbers.Real)):
            raise TypeError(f"primitive {name}: a partial is a callable or a number: {partial!r}")
    if partials is not None and len(defaults) > len(partials):
        raise TypeError(f"primitive {name}: {len(defaults)} defaults for {len(partials)} arguments")

    row = Primitive()
    row._kernel = None
    row.name, row.scalar = name, scalar
    row.partials = tuple(
        [as_float(p, name) if isinstance(p, numbers.Real) else p for p in partials or ()]
    )
    row.variadic = variadic
    row.arity = None if variadic else len(row.partials)
    if row.arity == 0:
        raise TypeError(f"primitive {name}: partials is empty, but an operation has an argument")
    row.array = array or functools.partial(_elementwise, scalar)
    row.defaults = tuple([as_float(x, f"a default of {name}") for x in defaults])
    row.analytic, row.selects = analytic, selects
    slots = range(row.arity or 0)
    row.latex = latex or _call_template(name, row.arity)
    row.precedence = precedence
    row.binds = tuple(binds) if binds is not None else tuple(0 for _ in slots)
    row.domain = tuple(domain) if isinstance(domain[0], tuple) else tuple(domain for _ in slots)
    TABLE[name] = row
    return row


class _Position(Primitive):
    """The row that says which argument another row copies."""

    __slots__ = ("of",)

    of: Primitive

    def linked(self, args: Sequence[Any], candidates: Sequence[int]) -> Sequence[int]:
        return ()  # of any number of arguments, as of a few

    def __reduce__(self) -> tuple[Any, ...]:
        return position_of, (self.of,)


@functools.lru_cache(maxsize=None)
def position_of(row: Primitive) -> Primitive:
    """Return the operation that tells, from the arguments of *row*, which of them it copies."""
    assert row.selects is not None
    choose = row.selects
    found = _Position()
    for name in Primitive.__slots__:
        setattr(found, name, getattr(row, name))
    found._kernel, found.of = None, row
    found.name = f"{row.name}, position"
    found.scalar = lambda *args: float(choose(*args))
    found.array = functools.partial(_elementwise, found.scalar)
    found.partials = tuple([None] * len(row.partials))
    found.analytic = found.selects = None
    found.latex = _call_template(found.name, row.arity)
    TABLE[found.name] = found  # where the compiler's programs look for their rows
    return found


def _elementwise(scalar: Callable[..., float], *arrays: Any) -> Any:
    result = np.frompyfunc(lambda *args: scalar(*map(float, args)), len(arrays), 1)(*arrays)
    return result.astype(float)


def _call_template(name: str, arity: int | None) -> str:
    safe = "".join("\\" + c if c in "#$%&_{}" else c for c in name if c not in "\\^~")
    safe = safe.replace("{", "{{").replace("}", "}}")
    slots = "{0}" if arity is None else ", ".join(f"{{{i}}}" for i in range(arity))
    return rf"\operatorname{{{{{safe}}}}}\left({slots}\right)"


# --- the real line with IEEE answers, where Python's own arithmetic raises -----------------------


def _divide(a: float, b: float) -> float:
    try:
        return a / b
    except ZeroDivisionError:
        if a == 0.0 or a != a:
            return nan
        return math.copysign(inf, a) * math.copysign(1.0, b)


def _power(x: float, p: float) -> float:
    try:
        return math.pow(x, p)
    except OverflowError:
        return -inf if x < 0.0 and math.fmod(p, 2.0) != 0.0 else inf
    except ValueError:  # a negative base with a fractional exponent, or zero to a negative power
        if x != 0.0:
            return nan
        odd = math.isfinite(p) and math.fmod(p, 2.0) in (1.0, -1.0)  # 3.10 raises for -inf too
        return math.copysign(inf, x) if odd else inf


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return inf


def _expm1(x: float) -> float:
    try:
        return math.expm1(x)
    except OverflowError:
        return inf


def _log(x: float) -> float:
    return math.log(x) if x > 0.0 else -inf if x == 0.0 else nan


def _log1p(x: float) -> float:
    return math.log1p(x) if x > -1.0 else -inf if x == -1.0 else nan


def _sqrt(x: float) -> float:
    return math.sqrt(x) if x >= 0.0 else nan


def _sin(x: float) -> float:
    return math.sin(x) if math.isfinite(x) else nan


def _cos(x: float) -> float:
    return math.cos(x) if math.isfinite(x) else nan


def _tan(x: float) -> float:
    return math.tan(x) if math.isfinite(x) else nan


def _sigmoid(x: float) -> float:
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


def _softplus(x: float) -> float:
    return x + math.log1p(math.exp(-x)) if x > 0.0 else math.log1p(math.exp(x))


def _logsigmoid(x: float) -> float:
    return -_softplus(-x)


def _logaddexp(a: float, b: float) -> float:
    if a != a or b != b:
        return nan
    high = max(a, b)
    return high if math.isinf(high) else high + math.log1p(math.exp(-abs(a - b)))


def _normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x * math.sqrt(0.5))


def _normal_pdf(x: float) -> float:
    return math.sqrt(0.5 / math.pi) * math.exp(-0.5 * x * x)


def _damped(x: float, w: float) -> float:
    return x * w if w != 0.0 else 0.0


def _relu(x: float) -> float:
    return 0.0 if x <= 0.0 else x


def _step(x: float) -> float:
    return 1.0 if x > 0.0 else 0.0 if x <= 0.0 else nan


def _sign(x: float) -> float:
    return _step(x) - _step(-x)


def _total(*xs: float) -> float:
    # Not the built-in sum, which rounds differently from Python 3.12 on.
    return functools.reduce(operator.add, xs)


def _mean(*xs: float) -> float:
    return _total(*xs) / len(xs)


def _maximum(*xs: float) -> float:
    best = xs[0]
    for x in xs[1:]:
        if x > best or x != x:
            best = x
        elif x == best == 0.0:
            best = x + best  # +0.0 is the larger of the two zeros
        if best != best:
            return nan
    return best


def _minimum(*xs: float) -> float:
    return -_maximum(*(-x for x in xs))


def _dot(*args: float) -> float:
    n = len(args) // 2
    return functools.reduce(operator.add, map(operator.mul, args[:n], args[n:-1]), args[-1])


def _logsumexp(*xs: float) -> float:
    top = _maximum(*xs)
    if not math.isfinite(top):
        return top
    rest = list(xs)
    rest.remove(top)
    # log1p of the others, so that a sum dominated by one term keeps its small remainder
    return top + math.log1p(functools.reduce(operator.add, (math.exp(x - top) for x in rest), 0.0))


def _shares(xs: Sequence[float]) -> list[float]:
    top = _maximum(*xs)
    if top == inf:
        weights = [1.0 if x == inf else 0.0 for x in xs]
    elif math.isfinite(top):
        weights = [math.exp(x - top) for x in xs]
    else:
        return [nan] * len(xs)
    total = _total(*weights)
    return [weight / total for weight in weights]


def _softmax(k: float, *xs: float) -> float:
    return _shares(xs)[int(k)]


# --- the same on arrays, where NumPy has no function of that name --------------------------------


def _sigmoid_array(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0, e) / (1.0 + e)


def _relu_array(x: Any) -> Any:
    return np.maximum(x, 0.0) + 0.0


def _step_array(x: Any) -> Any:
    return np.heaviside(x, 0.0)


def _sum_array(*xs: Any) -> Any:
    return functools.reduce(np.add, xs)


def _maximum_array(*xs: Any) -> Any:
    return functools.reduce(np.maximum, xs)


def _minimum_array(*xs: Any) -> Any:
    return functools.reduce(np.minimum, xs)


def _dot_array(*args: Any) -> Any:
    n = len(args) // 2
    return functools.reduce(np.add, map(np.multiply, args[:n], args[n:-1]), args[-1])


def _logsumexp_array(*xs: Any) -> Any:
    return functools.reduce(np.logaddexp, xs)


def _softmax_array(k: Any, *xs: Any) -> Any:
    top = _maximum_array(*xs)
    weights = [np.where(x == top, 1.0, np.exp(x - top)) for x in xs]
    return np.where(top == -inf, nan, weights[int(k)] / _sum_array(*weights))


# --- the same on complex numbers near the real axis ----------------------------------------------


def _power_analytic(x: complex, p: complex) -> complex:
    if p.imag == 0.0 and p.real == int(p.real) and abs(p.real) <= 64:
        # By multiplication: the logarithm would carry rounding into the imaginary part.
        result = functools.reduce(operator.mul, [x] * int(abs(p.real)), complex(1.0))
        return result if p.real >= 0 else 1.0 / result
    return cmath.exp(p * cmath.log(x))


def _sigmoid_analytic(z: complex) -> complex:
    if z.real >= 0.0:
        return 1.0 / (1.0 + cmath.exp(-z))
    return cmath.exp(z) / (1.0 + cmath.exp(z))


def _softplus_analytic(z: complex) -> complex:
    return z + cmath.log(1.0 + cmath.exp(-z)) if z.real > 0.0 else cmath.log(1.0 + cmath.exp(z))


def _atan2_analytic(y: complex, x: complex) -> complex:
    if abs(x.real) >= abs(y.real):
        turn = 0.0 if x.real > 0.0 else math.copysign(math.pi, y.real)
        return cmath.atan(y / x) + turn
    return math.copysign(math.pi / 2.0, y.real) - cmath.atan(x / y)


def _total_analytic(*zs: complex) -> complex:
    return functools.reduce(operator.add, zs)


def _dot_analytic(*args: complex) -> complex:
    n = len(args) // 2
    return functools.reduce(operator.add, map(operator.mul, args[:n], args[n:-1]), args[-1])


def _logsumexp_analytic(*zs: complex) -> complex:
    top = max(z.real for z in zs)
    return top + cmath.log(_total_analytic(*(cmath.exp(z - top) for z in zs)))


def _softmax_analytic(k: complex, *zs: complex) -> complex:
    return cmath.exp(zs[int(k.real)] - _logsumexp_analytic(*zs))


# --- the table: steps ----------------------------------------------------------------------------
# Piecewise constant, so without derivative: the other rows' partials, and conditions for where(),
# are made of these.  Every convention at a kink stands here or in the row that has the kink.

equal = primitive(
    "equal", lambda a, b: 1.0 if a == b else 0.0, (None, None),
    array=lambda a, b: np.equal(a, b).astype(float), latex=r"\left[{0} = {1}\right]",
)  # fmt: skip
less = primitive(
    "less", lambda a, b: 1.0 if a < b else 0.0, (None, None),
    array=lambda a, b: np.less(a, b).astype(float), latex=r"\left[{0} < {1}\right]",
)  # fmt: skip
less_equal = primitive(
    "less_equal", lambda a, b: 1.0 if a <= b else 0.0, (None, None),
    array=lambda a, b: np.less_equal(a, b).astype(float), latex=r"\left[{0} \le {1}\right]",
)  # fmt: skip
step = primitive(  # 0 at 0; nan at nan
    "step", _step, (None,), array=_step_array, latex=r"\left[{0} > 0\right]",
)  # fmt: skip
sign = primitive(  # 0 at 0; nan at nan
    "sign", _sign, (None,), array=np.sign, latex=r"\operatorname{{sgn}}\left({0}\right)",
)  # fmt: skip

# --- the table: choosing -------------------------------------------------------------------------

where: Primitive = primitive(
    "where",
    lambda condition, a, b: a if condition else b,
    (None, lambda c, a, b, y: where(c, 1.0, 0.0), lambda c, a, b, y: where(c, 0.0, 1.0)),
    array=lambda condition, a, b: np.where(condition, a, b),
    selects=lambda condition, a, b: 1 if condition else 2,
    analytic=lambda condition, a, b: a if condition else b,
    latex=r"\begin{{cases}}{1} & \text{{if }} {0} \\ {2} & \text{{otherwise}}\end{{cases}}",
    domain=((0.0, 1.0), (-3.0, 3.0), (-3.0, 3.0)),
)


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
    selects=lambda k, *xs: 1 + int(k),
    array=lambda k, *xs: np.choose(np.asarray(k, dtype=int), np.broadcast_arrays(*xs), mode="clip"),
    latex=lambda args: rf"\left({', '.join(args[1:])}\right)_{{{args[0]}}}",
)  # fmt: skip
maximum = primitive(
    "maximum", _maximum, variadic=_tie_shares, array=_maximum_array,
    latex=r"\max\left({0}\right)",
)  # fmt: skip
minimum = primitive(
    "minimum", _minimum, variadic=_tie_shares, array=_minimum_array,
    latex=r"\min\left({0}\right)",
)  # fmt: skip

# --- the table: arithmetic -----------------------------------------------------------------------

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
divide: Primitive = primitive(  # by way of y, so that d/db survives a tiny b
    "/", _divide, (lambda a, b, y: divide(1.0, b), lambda a, b, y: divide(-y, b)),
    array=np.divide, analytic=operator.truediv,
    latex=r"\frac{{{0}}}{{{1}}}", precedence=2, domain=((-3.0, 3.0), (0.1, 3.0)),
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
    "**", _power, (_power_by_base, _power_by_exponent), array=np.power, analytic=_power_analytic,
    latex="{0}^{{{1}}}", precedence=4, binds=(5, 0), domain=((0.1, 3.0), (-3.0, 3.0)),
)  # fmt: skip
square = primitive(
    "square", lambda x: x * x, (lambda x, y: 2.0 * x,), array=np.square, analytic=lambda z: z * z,
    latex="{0}^{{2}}", precedence=4, binds=(5,),
)  # fmt: skip
absolute = primitive(
    "abs", math.fabs, (lambda x, y: sign(x),), array=np.abs, latex=r"\left\lvert {0} \right\rvert",
)  # fmt: skip
damped = primitive(  # x times a factor that wins when it is 0, even over an infinite x
    "damped", _damped,
    (
        lambda x, w, y: w,
        lambda x, w, y: where(equal(w, 0.0) * equal(absolute(x), inf), 0.0, x),
    ),
    array=lambda x, w: np.where(w == 0.0, 0.0, x * w), analytic=operator.mul,
    latex=_product_latex, precedence=2, binds=(2, 2),
)  # fmt: skip

# --- the table: exponentials, logarithms, roots, angles ------------------------------------------

exp = primitive(
    "exp", _exp, (lambda x, y: y,), array=np.exp, analytic=cmath.exp,
    latex="e^{{{0}}}", precedence=4, domain=(-20.0, 20.0),
)  # fmt: skip
expm1 = primitive(
    "expm1", _expm1, (lambda x, y: exp(x),), array=np.expm1, analytic=lambda z: cmath.exp(z) - 1.0,
    latex="e^{{{0}}} - 1", precedence=1, domain=(-20.0, 20.0),
)  # fmt: skip


def _reciprocal_above_zero(x: Any) -> Any:
    # x + 0.0 makes a negative zero positive: the logarithm has no derivative of -inf anywhere.
    return divide(where(less(x, 0.0), nan, 1.0), x + 0.0)


log = primitive(
    "log", _log, (lambda x, y: _reciprocal_above_zero(x),), array=np.log, analytic=cmath.log,
    latex=r"\ln\left({0}\right)", domain=(0.01, 20.0),
)  # fmt: skip
log1p = primitive(
    "log1p", _log1p, (lambda x, y: _reciprocal_above_zero(1.0 + x),),
    array=np.log1p, analytic=lambda z: cmath.log(1.0 + z),
    latex=lambda args: rf"\ln\left(1 {'' if args[0][:1] == '-' else '+ '}{args[0]}\right)",
    domain=(-0.9, 20.0),
)  # fmt: skip
sqrt = primitive(  # inf at both zeros
    "sqrt", _sqrt, (lambda x, y: divide(0.5, y + 0.0),), array=np.sqrt, analytic=cmath.sqrt,
    latex=r"\sqrt{{{0}}}", domain=(0.01, 20.0),
)  # fmt: skip
sin = primitive(
    "sin", _sin, (lambda x, y: cos(x),), array=np.sin, analytic=cmath.sin,
    latex=r"\sin\left({0}\right)",
)  # fmt: skip
cos: Primitive = primitive(
    "cos", _cos, (lambda x, y: -sin(x),), array=np.cos, analytic=cmath.cos,
    latex=r"\cos\left({0}\right)",
)  # fmt: skip
tan = primitive(
    "tan", _tan, (lambda x, y: 1.0 + square(y),), array=np.tan, analytic=cmath.tan,
    latex=r"\tan\left({0}\right)", domain=(-1.5, 1.5),
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
atan2 = primitive(  # by way of hypot, which neither overflows nor underflows
    "atan2", math.atan2,
    (
        lambda b, a, y: divide(divide(a, hypot(a, b)), hypot(a, b)),
        lambda b, a, y: -divide(divide(b, hypot(a, b)), hypot(a, b)),
    ),
    array=np.arctan2, analytic=_atan2_analytic,
    latex=r"\operatorname{{atan2}}\left({0}, {1}\right)", domain=((0.1, 3.0), (-3.0, 3.0)),
)  # fmt: skip

# --- the table: activations ----------------------------------------------------------------------
# Written so that a tail keeps its relative accuracy: 1 - tanh(20)**2 would be 0.

sigmoid: Primitive = primitive(
    "sigmoid", _sigmoid, (lambda x, y: y * sigmoid(-x),),
    array=_sigmoid_array, analytic=_sigmoid_analytic,
    latex=r"\sigma\left({0}\right)", domain=(-40.0, 40.0),
)  # fmt: skip
tanh = primitive(
    "tanh", math.tanh, (lambda x, y: 4.0 * (sigmoid(2.0 * x) * sigmoid(-2.0 * x)),),
    array=np.tanh, analytic=cmath.tanh,
    latex=r"\tanh\left({0}\right)", domain=(-20.0, 20.0),
)  # fmt: skip
relu = primitive(
    "relu", _relu, (lambda x, y: step(x),), array=_relu_array,
    latex=r"\operatorname{{relu}}\left({0}\right)",
)  # fmt: skip
leaky_relu = primitive(  # the slope at 0
    "leaky_relu", lambda x, slope: x if x > 0.0 else slope * x,
    (
        # 0 * step(x) lets a nan through, which where() takes for true
        lambda x, slope, y: where(step(x), 1.0, slope) + 0.0 * step(x),
        lambda x, slope, y: where(step(x), 0.0 * step(x), x),
    ),
    array=lambda x, slope: np.where(x > 0.0, x, slope * x), defaults=(0.01,),
    latex=r"\operatorname{{leaky\_relu}}\left({0}, {1}\right)",
)  # fmt: skip
softplus = primitive(
    "softplus", _softplus, (lambda x, y: sigmoid(x),),
    array=lambda x: np.logaddexp(0.0, x), analytic=_softplus_analytic,
    latex=r"\ln\left(1 + e^{{{0}}}\right)", domain=(-40.0, 40.0),
)  # fmt: skip
logsigmoid = primitive(
    "logsigmoid", _logsigmoid, (lambda x, y: sigmoid(-x),),
    array=lambda x: -np.logaddexp(0.0, -x), analytic=lambda z: -_softplus_analytic(-z),
    latex=r"\ln\sigma\left({0}\right)", domain=(-40.0, 40.0),
)  # fmt: skip
silu = primitive(
    "silu", lambda x: _damped(x, _sigmoid(x)),
    (lambda x, y: sigmoid(x) + damped(x, sigmoid(x) * sigmoid(-x)),),
    array=lambda x: damped(x, _sigmoid_array(x)), analytic=lambda z: z * _sigmoid_analytic(z),
    latex=r"\operatorname{{silu}}\left({0}\right)", domain=(-40.0, 40.0),
)  # fmt: skip
normal_pdf = primitive(
    "normal_pdf", _normal_pdf, (lambda x, y: -damped(x, y),),
    array=lambda x: math.sqrt(0.5 / math.pi) * np.exp(-0.5 * x * x),
    analytic=lambda z: math.sqrt(0.5 / math.pi) * cmath.exp(-0.5 * z * z),
    latex=r"\varphi\left({0}\right)", domain=(-6.0, 6.0),
)  # fmt: skip
normal_cdf = primitive(
    "normal_cdf", _normal_cdf, (lambda x, y: normal_pdf(x),),
    latex=r"\Phi\left({0}\right)", domain=(-6.0, 6.0),
)  # fmt: skip
gelu = primitive(  # the exact one, x times the normal distribution function
    "gelu", lambda x: _damped(x, _normal_cdf(x)),
    (lambda x, y: normal_cdf(x) + damped(x, normal_pdf(x)),),
    array=lambda x: damped(x, normal_cdf(x)),
    latex=r"\operatorname{{gelu}}\left({0}\right)", domain=(-6.0, 6.0),
)  # fmt: skip

# --- the table: sums and normalisers of any number of terms --------------------------------------

add_up = primitive(
    "sum", _total, variadic=lambda args, y, linked: [1.0] * len(linked),
    array=_sum_array, analytic=_total_analytic, latex=" + ".join, precedence=1, binds=(1,),
)  # fmt: skip
mean_of = primitive(
    "mean", _mean, variadic=lambda args, y, linked: [1.0 / len(args)] * len(linked),
    array=lambda *xs: _sum_array(*xs) / len(xs),
    analytic=lambda *zs: _total_analytic(*zs) / len(zs),
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
    "dot", _dot, variadic=_dot_partials, array=_dot_array, analytic=_dot_analytic,
    latex=_dot_latex, precedence=1, binds=(2,),
)  # fmt: skip


def softmax_of(xs: Sequence[Any]) -> list[Any]:
    """Return the softmax of *xs*, one entry for each (a node each where *xs* holds Values)."""
    if all(type(x) is float for x in xs):
        return _shares(xs)
    return [softmax_entry(float(k), *xs) for k in range(len(xs))]


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
    "softmax", _softmax, variadic=_softmax_partials, array=_softmax_array,
    analytic=_softmax_analytic,
    latex=lambda args: rf"\operatorname{{softmax}}_{{{args[0]}}}\left({', '.join(args[1:])}\right)",
)  # fmt: skip
logsumexp_of = primitive(
    "logsumexp", _logsumexp, variadic=_logsumexp_partials, array=_logsumexp_array,
    analytic=_logsumexp_analytic,
    latex=lambda args: r"\ln\left(" + " + ".join(f"e^{{{x}}}" for x in args) + r"\right)",
)  # fmt: skip
logaddexp = primitive(
    "logaddexp", _logaddexp,
    (
        lambda a, b, y: _logsumexp_partials((a, b), y, (0,))[0],
        lambda a, b, y: _logsumexp_partials((a, b), y, (1,))[0],
    ),
    array=np.logaddexp, analytic=_logsumexp_analytic,
    latex=r"\ln\left(e^{{{0}}} + e^{{{1}}}\right)",
)  # fmt: skip

_built_in = frozenset(TABLE)
