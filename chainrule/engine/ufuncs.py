"""NumPy's functions on Values: which row each is, and what to write for one that has no row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from . import modes
from . import table as primitives

UFUNCS = {row.array: row for row in primitives.TABLE.values() if isinstance(row.array, np.ufunc)}
UFUNCS |= {np.maximum: primitives.maximum, np.minimum: primitives.minimum}
UFUNCS |= {np.fabs: primitives.absolute, np.float_power: primitives.power}
DERIVED: dict[np.ufunc, Callable[[Any], Any]] = {
    np.reciprocal: lambda x: primitives.divide(1.0, x),
    np.conjugate: lambda x: x,
    np.deg2rad: lambda x: x * (math.pi / 180.0),
    np.radians: lambda x: x * (math.pi / 180.0),
    np.rad2deg: lambda x: x * (180.0 / math.pi),
    np.degrees: lambda x: x * (180.0 / math.pi),
}
"""NumPy's functions that are not rows themselves but are written with rows."""
_STEPS = "its derivative is 0 wherever there is one, so take np.{name}(v.data)"
_LOGICAL = "a Value is neither true nor false: compare it, v > 0, or take v.data"
_INSTEAD = {
    "fmax": "use cr.maximum, which does not skip nan",
    "fmin": "use cr.minimum, which does not skip nan",
    "clip": "write cr.minimum(cr.maximum(v, low), high)",
    "interp": "find the piece with np.searchsorted(xs, v.data), and write its line",
    "matmul": "use cr.dot of two lists, or @ on arrays of Values",
    "vecdot": "use cr.dot of two lists, or @ on arrays of Values",
    "copysign": "write cr.where(cr.less(sign, 0.0), -cr.abs(v), cr.abs(v))",
    "heaviside": "write cr.where(cr.equal(v, 0.0), at_zero, cr.step(v))",
    "logaddexp2": "write cr.log2(cr.exp2(a) + cr.exp2(b))",
    "ldexp": "write v * 2.0**n",
    "expit": "use cr.sigmoid",
    "log_expit": "use cr.logsigmoid",
    **dict.fromkeys(("logical_and", "logical_or", "logical_xor", "logical_not"), _LOGICAL),
    **dict.fromkeys(("isfinite", "isinf", "isnan", "signbit"), "ask np.{name}(v.data)"),
    **dict.fromkeys(("floor", "ceil", "rint", "trunc", "floor_divide", "round", "around"), _STEPS),
    "fix": _STEPS,
    "angle": "use cr.atan2(imaginary, real)",
    "sinc": "write cr.where(cr.equal(x, 0.0), 1.0, cr.sin(x) / x) with x = math.pi * v",
    **dict.fromkeys(("var", "std"), "give it an array of Values; that of a single one is 0"),
}
_CLIPS = {"a", "a_min", "a_max", "min", "max"}
_COMPARISONS = {np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal}


def _boxed(x: Any) -> Any:
    """Return *x* as an array of Python objects: NumPy's own numbers would call us again."""
    array = np.asarray(x)
    return (array.astype(float) if array.dtype.kind == "f" else array).astype(object)


def array_ufunc(node: Any, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
    """Apply one of NumPy's functions to *args*, *node* among them, with a row of the table."""
    if method == "__call__" and kwargs.keys() == {"out"}:  # array += Value
        (array,) = kwargs["out"]
        array[...] = array_ufunc(node, ufunc, method, *args)
        return array
    if method == "__call__" and not kwargs:
        if ufunc in UFUNCS:
            return UFUNCS[ufunc](*args)
        if ufunc in DERIVED:
            return DERIVED[ufunc](*args)
        if ufunc in _COMPARISONS:
            return ufunc(*(_boxed(a) for a in args)).astype(bool)[()]
    if method == "reduce" and ufunc in UFUNCS and _reduces_to_itself(args, kwargs):
        return node  # np.sum(v), np.max(v), as of any number
    raise TypeError(_without_row(ufunc, method, kwargs))


def array_function(
    node: Any,
    function: Callable[..., Any],
    types: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """Run one of NumPy's functions that are not ufuncs as it runs on any objects.

    NumPy calls this where one of the arguments is a Value; what fails says what to do.
    """
    if function is np.clip and len(args) < 4 and kwargs.keys() <= _CLIPS:
        return _clipped(*args, **kwargs)  # NumPy would return the bound itself
    try:
        return function._implementation(*args, **kwargs)  # type: ignore[attr-defined]
    except (AttributeError, TypeError) as error:
        if isinstance(error, modes.TraceError):
            raise
        said = str(error).startswith(("numpy.", "a Value", "the truth of a Value"))
        if said and function.__name__ not in _INSTEAD:
            raise
        raise TypeError(_not_on_values(function.__name__)) from error


def _reduces_to_itself(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Return whether NumPy's reduction, so called, of one number is that number."""
    axis = kwargs.get("axis")
    asked = {name for name, given in kwargs.items() if given is not None and given is not False}
    return len(args) == 1 and asked <= {"axis"} and (axis is None or axis in (0, -1, ()))


def _clipped(a: Any, a_min: Any = None, a_max: Any = None, **bounds: Any) -> Any:
    """Return ``np.clip`` of *a*, a node also where *a* is beyond its bounds."""
    for low in (a_min, bounds.get("min")):
        a = a if low is None else primitives.maximum(a, low)
    for high in (a_max, bounds.get("max")):
        a = a if high is None else primitives.minimum(a, high)
    return a


def _without_row(ufunc: np.ufunc, method: str, kwargs: Mapping[str, Any]) -> str:
    """Return the message for a NumPy function that has no row, with what to write instead."""
    name = ufunc.__name__
    module = "numpy." if getattr(np, name, None) is ufunc else ""
    if ufunc in UFUNCS or ufunc in DERIVED or ufunc in _COMPARISONS:
        what = f"{name}.{method}" if method != "__call__" else f"{name} with {', '.join(kwargs)}"
        return (
            f"{module}{what} does not work on a Value: call np.{name} on Values or on arrays of "
            "them, and the functions of chainrule, such as cr.sum, on lists"
        )
    if name in primitives.BUILT_IN and name.isidentifier():
        advice = f"use cr.{name}"
    elif name in _INSTEAD:
        advice = _INSTEAD[name].format(name=name)
    else:
        arguments = ", ".join("abcdefgh"[: ufunc.nin] if ufunc.nin > 1 else "x")
        slopes = ", ".join([f"lambda {arguments}, y: ..."] * ufunc.nin)
        advice = (
            f"chainrule has no such function; cr.primitive adds one: {name} = "
            f'cr.primitive("{name}", lambda {arguments}: float({module.replace("numpy", "np")}'
            f"{name}({arguments})), [{slopes}]), with the partial derivative for each ..."
        )
    if "v.data" in advice and modes.current().tracing:
        advice = (
            "in a compiled function v.data would be that of one example for all; add the operation "
            "with cr.primitive, or give its result as an argument"
        )
    return f"{module}{name} does not work on a Value: {advice}"


def _not_on_values(name: str) -> str:
    """Return the message for a NumPy function that fails on a Value, with what to do instead."""
    advice = _INSTEAD.get(
        name, "give it an array of Values, or add the operation with cr.primitive"
    )
    return f"numpy.{name} does not work on a Value: {advice.format(name=name)}"
