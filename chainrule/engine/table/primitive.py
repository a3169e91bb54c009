"""``Primitive``, a row of the table: a differentiable operation on numbers, arrays and Values.

A row says how to evaluate the operation on floats and on arrays, what its partial derivatives are,
how to write it down, and where to sample it in tests.  A primitive that is called with something
other than numbers (a ``Value``, a symbol) hands itself to the ``__chainrule__`` hook of that
argument, so a partial written in the library's own operations works for floats, arrays and Values.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from ..native import Row
from .alike import same_definition
from .description import Description

Partial = Callable[..., Any] | float | None
VariadicPartials = Callable[[Sequence[Any], Any, Sequence[int]], Sequence[Any]]


def as_float(x: Any, doing: str) -> float:
    """Return *x* as a float; TypeError, whose message *doing* opens, if it is not a real number.

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
            return math.inf if x > 0 else -math.inf  # type: ignore[operator]
        except TypeError:  # NumPy registers its time differences as integers
            pass
    raise TypeError(f"{doing}: {type(x).__name__} is not a real number; {_advice(x)}")


def _advice(x: Any) -> str:
    if hasattr(type(x), "__chainrule__"):
        return "expected a plain number: take its .data"
    if isinstance(x, numbers.Complex) and not isinstance(x, numbers.Real):
        return "a Value holds one real number: differentiate real and imaginary parts separately"
    if isinstance(x, (list, tuple, np.ndarray)):
        return "a Value holds one number, so make one Value per element"
    if x is None:
        return "expected a number (is a return statement missing?)"
    if hasattr(x, "__array__") and hasattr(x, "ndim") and not isinstance(x, np.generic):
        if x.ndim == 0 and hasattr(x, "item"):
            return "take its number, without its graph there, with .item()"
        return "a Value holds one number; np.asarray(x) is an array, for functions of arrays"
    return "expected an int, float, Fraction, NumPy scalar or Value"


class Primitive(Row):
    """One row of the table: a differentiable operation, callable on numbers, arrays and Values.

    Made by :func:`primitive`, which describes the fields.
    """

    __slots__ = (
        "analytic",
        "arity",
        "array",
        "binds",
        "defaults",
        "domain",
        "found_by",
        "latex",
        "name",
        "partials",
        "precedence",
        "scalar",
        "selects",
        "takes",
        "variadic",
    )

    exact: ClassVar[bool] = True
    """Whether the rules give the stored numbers to the last bit."""

    name: str
    scalar: Callable[..., float]
    array: Callable[..., Any]
    partials: tuple[Any, ...]
    variadic: VariadicPartials | None
    arity: int | None
    defaults: tuple[float, ...]
    analytic: Callable[..., complex] | None
    selects: Callable[..., int] | None
    takes: Callable[..., bool] | None
    latex: str | Callable[[Sequence[str]], str]
    precedence: int
    binds: tuple[int, ...]
    domain: tuple[tuple[float, float], ...]
    found_by: Callable[[str], Primitive]
    """The function that finds this row by its name when a pickled graph is loaded."""

    if TYPE_CHECKING:

        def __call__(self, *args: Any) -> Any: ...

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.applied)

    def applied(self, *args: Any) -> Any:
        """Return the row of *args*: what a call does, where C does not do it."""
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
                return self.on_arrays(*(_as_array(arg, self.name) for arg in args))
            operands = (x if isinstance(x, np.ndarray) else np.array(x, dtype=object) for x in args)
            return np.frompyfunc(self, len(args), 1)(*operands)

    def on_arrays(self, *arrays: Any) -> Any:
        """Return the result of the array form as floats, even if it gives booleans or objects.

        An entry that depends on a masked one is masked.
        """
        if any(isinstance(array, np.ma.MaskedArray) for array in arrays):
            found = self.on_arrays(*map(np.ma.getdata, arrays))
            masks = map(np.ma.getmaskarray, arrays)
            return np.ma.array(found, mask=functools.reduce(np.logical_or, masks))
        found = self.array(*arrays)
        if isinstance(found, np.ndarray) and found.dtype.kind == "f":
            return found
        return np.asarray(found, dtype=float)

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

    def could_take(self, operands: Sequence[Any]) -> bool:
        """Return whether *operands* have a result: whether their number and data are right."""
        n = len(operands)
        if n == 0 if self.arity is None else n != self.arity:
            return False
        if self.takes is None:
            return True
        return self.takes(*(x if type(x) is float else x.data for x in operands))

    def linked(self, args: Sequence[Any], candidates: Sequence[int]) -> Sequence[int]:
        """Return those of the *candidates* (argument positions) that the result depends on."""
        if self.selects is not None:
            chosen = self.selects(*args)
            return [i for i in candidates if i == chosen]
        if None in self.partials:
            return [i for i in candidates if self.partials[i] is not None]
        return candidates

    def partial_values(self, args: Sequence[Any], y: Any, linked: Sequence[int]) -> tuple[Any, ...]:
        """Return the partial derivative for each *linked* argument position, and only for those.

        *args* may be floats, arrays or Values, and *y* is the output made from them.
        """
        if self.variadic is not None:
            given = self.variadic(args, y, linked)
            if not hasattr(given, "__iter__"):
                raise TypeError(
                    f"{self.name}: its variadic returned {given!r:.80}; expected a sequence of "
                    f"partials, one for each of the positions {list(linked)}"
                )
            partials = tuple(given)
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
        if self.found_by is not named or self.name in BUILT_IN:
            return self.found_by, (self.name,)
        which = _number_of(self)
        if which is None:
            raise LookupError(
                f"this definition of the primitive {self.name!r} cannot be pickled: "
                f"{MOST_DEFINITIONS} others came after it, and no more are kept; give each "
                "definition its own name"
            )
        return named, (self.name, which)

    def __deepcopy__(self, memo: object) -> Primitive:
        return self  # not the row that has the name by now


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
"""Every operation by its name: the library's, then the user's."""
BUILT_IN: set[str] = set()
"""The names of the library's own rows, which cannot be taken."""
Primitive.__doc__ = Description(Primitive.__doc__, BUILT_IN)  # type: ignore[assignment]
_definitions: dict[str, dict[int, Primitive]] = {}  # a name that was used again has several
MOST_DEFINITIONS = 100
"""How many definitions of one name are kept: a loop may define its operation anew in each pass."""


def named(name: str, which: int | None = None) -> Primitive:
    """Return the primitive of that *name*: the latest, or definition *which*, counted from 0.

    This is how a pickled graph or program finds its operations again.
    """
    if name not in TABLE:
        raise LookupError(
            f"no primitive is named {name!r}: define it with chainrule.primitive before "
            "loading a graph that uses it"
        )
    if which is None:
        return TABLE[name]
    known = _definitions[name]
    if which in known:
        return known[which]
    ran = max(known) + 1
    if which < ran:
        raise LookupError(
            f"the pickle has definition {which + 1} of the primitive {name!r}, and {ran} ran here, "
            f"of which the last {MOST_DEFINITIONS} are kept: give each definition its own name "
            "before pickling"
        )
    raise LookupError(
        f"the pickle has definition {which + 1} of the primitive {name!r}, but only {ran} ran "
        "here: define it as often and in the same order before loading, or give each definition "
        "its own name before pickling"
    )


def enlist(row: Primitive) -> None:
    """Add *row* to the table; a row that repeats an earlier definition replaces it."""
    TABLE[row.name] = row
    known = _definitions.setdefault(row.name, {})
    which = _number_of(row)
    known[max(known, default=-1) + 1 if which is None else which] = row
    if len(known) > MOST_DEFINITIONS:
        del known[min(known)]


def _number_of(row: Primitive) -> int | None:
    """Return which definition of its name *row* is, counted from 0, if it is still kept."""
    known = _definitions[row.name]
    return next((i for i, other in known.items() if same_definition(row, other)), None)


Unlisted = TypeVar("Unlisted", bound=Primitive)


def unlisted(
    row: Unlisted,
    name: str,
    scalar: Callable[..., float],
    variadic: Callable[..., Sequence[Any]],
    found_by: Callable[[str], Primitive],
) -> Unlisted:
    """Fill in *row*, of which only the nodes that have it know, and return it.

    It takes any number of arguments, and *variadic* gives its partials.
    """
    row.name, row.scalar, row.variadic, row.found_by = name, scalar, variadic, found_by
    row.array = functools.partial(elementwise, scalar)
    row.analytic = row.selects = row.takes = row.arity = None
    row.partials = row.defaults = row.domain = row.binds = ()
    row.latex, row.precedence = call_template(name, None), 9
    return row


@functools.lru_cache(maxsize=1024)  # of a user's operations there may be any number
def position_of(row: Primitive, name: str = "") -> Primitive:
    """Return the operation that tells which of its arguments *row* copies."""
    assert row.selects is not None
    choose = row.selects
    found = Primitive()
    for slot in Primitive.__slots__:
        setattr(found, slot, getattr(row, slot))
    found.found_by = functools.partial(position_of, row)
    found.name = f"{row.name}, position"
    found.scalar = lambda *args: float(choose(*args))
    found.array = functools.partial(elementwise, found.scalar)
    found.partials = tuple([None] * len(row.partials))
    if row.variadic is not None:
        found.variadic = lambda args, y, linked: [0.0] * len(linked)
    found.analytic = found.selects = None
    found.latex = call_template(found.name, row.arity)
    return found


def elementwise(scalar: Callable[..., float], *arrays: Any) -> Any:
    """Return *scalar* of the elements of *arrays*, one by one."""
    result = np.frompyfunc(lambda *args: scalar(*map(float, args)), len(arrays), 1)(*arrays)
    return np.asarray(result, dtype=float)  # of numbers alone it is a number


def call_template(name: str, arity: int | None) -> str:
    """Return the LaTeX of a function called *name*, with a placeholder for each argument."""
    safe = "".join("\\" + c if c in "#$%&_{}" else c for c in name if c not in "\\^~")
    safe = safe.replace("{", "{{").replace("}", "}}")
    slots = "{0}" if arity is None else ", ".join(f"{{{i}}}" for i in range(arity))
    return rf"\operatorname{{{{{safe}}}}}\left({slots}\right)"
