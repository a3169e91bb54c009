"""``primitive``: a row is defined, and its definition checked before it is one."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, overload

from .parameters import takes as takes_so_many
from .primitive import (
    BUILT_IN,
    Partial,
    Primitive,
    VariadicPartials,
    as_float,
    call_template,
    elementwise,
    enlist,
    named,
)

if TYPE_CHECKING:
    from .signatures import Binary, Options, Ternary, Unary, Unpack, Variadic, WithParameter

    Scalar = Callable[..., float]
    Four = tuple[Partial, Partial, Partial, Partial, Unpack[tuple[Partial, ...]]]  # or more


@overload
def primitive(
    name: str, scalar: Scalar, partials: tuple[Partial], **options: Unpack[Options]
) -> Unary: ...
@overload
def primitive(
    name: str,
    scalar: Scalar,
    partials: tuple[Partial, Partial],
    *,
    defaults: tuple[float],
    **options: Unpack[Options],
) -> WithParameter: ...
@overload
def primitive(
    name: str, scalar: Scalar, partials: tuple[Partial, Partial], **options: Unpack[Options]
) -> Binary: ...
@overload
def primitive(
    name: str,
    scalar: Scalar,
    partials: tuple[Partial, Partial, Partial],
    **options: Unpack[Options],
) -> Ternary: ...
@overload
def primitive(
    name: str, scalar: Scalar, *, variadic: VariadicPartials, **options: Unpack[Options]
) -> Variadic: ...
@overload
def primitive(
    name: str,
    scalar: Scalar,
    partials: list[Partial] | Four,
    *,
    defaults: Sequence[float] = ...,
    **options: Unpack[Options],
) -> Primitive: ...
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
    takes: Callable[..., bool] | None = None,
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
    *takes* is for an operation that does not accept all numbers, such as an index into a table: it
    returns whether the arguments are valid, and is called when a pickled graph is loaded.

    The names of the library's own table cannot be used (ValueError); your own may be used again.
    Nodes made with the older definition keep it.  A pickled node finds it again if the definitions
    of that name ran in the same order, and at most a hundred of them came after it.
    """
    if not isinstance(name, str) or not name:  # type: ignore[redundant-expr]
        raise TypeError(f"primitive: the name must be a non-empty string, not {name!r}")
    if name in BUILT_IN:
        raise ValueError(f"primitive: {name!r} is a primitive of chainrule; choose another name")
    if (partials is None) == (variadic is None):
        raise TypeError(f"primitive {name}: give either partials, one per argument, or variadic")
    functions: dict[str, Any] = {
        "scalar": scalar, "array": array, "variadic": variadic,
        "analytic": analytic, "selects": selects, "takes": takes,
    }  # fmt: skip
    for role, function in functions.items():
        if not callable(function) and (function is not None or role == "scalar"):
            raise TypeError(f"primitive {name}: {role} must be callable, not {function!r:.80}")
    if not (latex is None or isinstance(latex, str) or callable(latex)):
        raise TypeError(f"primitive {name}: latex is {latex!r:.80}; expected a template, a str")
    if not isinstance(defaults, (list, tuple)):
        raise TypeError(f"primitive {name}: defaults is {defaults!r:.80}; expected a tuple")

    row = Primitive()
    row.found_by = named
    row.name, row.scalar = name, scalar
    row.partials = () if variadic else _checked_partials(name, partials)
    row.variadic = variadic
    row.arity = None if variadic else len(row.partials)
    if row.arity is not None and len(defaults) > row.arity:
        raise TypeError(f"primitive {name}: {len(defaults)} defaults for {row.arity} arguments")
    row.array = array or functools.partial(elementwise, scalar)
    row.defaults = tuple([as_float(x, f"a default of {name}") for x in defaults])
    row.analytic, row.selects, row.takes = analytic, selects, takes
    slots = range(row.arity or 0)
    row.latex = latex or call_template(name, row.arity)
    row.precedence = _whole(name, "precedence", precedence)
    if not (binds is None or isinstance(binds, (list, tuple))):
        raise TypeError(f"primitive {name}: binds is {binds!r:.80}; expected an int per argument")
    row.binds = tuple([_whole(name, "an entry of binds", b) for b in binds or [0 for _ in slots]])
    row.domain = _intervals(name, domain, row.arity)
    enlist(row)
    return row


def _checked_partials(name: str, partials: Any) -> tuple[Any, ...]:
    """Return *partials*, the numbers among them as floats; TypeError if one cannot be called."""
    if not isinstance(partials, (list, tuple)):
        raise TypeError(
            f"primitive {name}: partials is {partials!r:.80}; expected a sequence of callables, "
            "one per argument"
        )
    if not partials:
        raise TypeError(f"primitive {name}: partials is empty; expected at least one")
    found: list[Any] = []
    for k, partial in enumerate(partials):
        if not (partial is None or callable(partial) or isinstance(partial, numbers.Real)):
            raise TypeError(f"primitive {name}: a partial is a callable or a number: {partial!r}")
        if callable(partial) and not takes_so_many(partial, len(partials) + 1):
            given = ", ".join([f"x{i}" for i, _ in enumerate(partials)])
            raise TypeError(
                f"primitive {name}: partials[{k}] cannot be called with {len(partials) + 1} "
                "arguments; it is given the operation's arguments and then its result, as in "
                f"lambda {given}, y: ..."
            )
        found.append(as_float(partial, name) if isinstance(partial, numbers.Real) else partial)
    return tuple(found)


def _whole(name: str, what: str, given: Any) -> int:
    if not isinstance(given, int):
        raise TypeError(f"primitive {name}: {what} is {given!r:.80}; expected an int from 0 to 9")
    return given


def _intervals(name: str, domain: Any, arity: int | None) -> tuple[tuple[float, float], ...]:
    """Return an interval for each argument; none where any number of them share one."""
    try:
        is_shared = not isinstance(domain[0], (list, tuple))
        listed = [domain] if is_shared else domain
        intervals = [(as_float(low, name), as_float(high, name)) for low, high in listed]
    except (TypeError, ValueError, LookupError):
        raise TypeError(
            f"primitive {name}: domain is {domain!r:.80}; expected an interval, such as "
            "(-1.0, 1.0), or one per argument"
        ) from None
    if is_shared:
        intervals *= arity or 0
    if arity is not None and len(intervals) != arity:
        raise TypeError(f"primitive {name}: {len(intervals)} domains for {arity} arguments")
    return tuple(intervals)
