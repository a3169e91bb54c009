"""``Value``: a number that remembers how it was computed.  The readable reference of the engine.

Every operation on Values makes a node that holds its result, its parents and, fixed at that moment,
the partial derivative with respect to each parent, as the table of primitives defines them.  A node
refers only to older nodes, so a graph has no cycles: it is freed as soon as it is dropped.

``native`` is the same class in C.  Whatever need not be fast is written here once for both:
``Common``, whose methods both classes have, and the functions marked as called from the C core,
which calls them whenever an operation leaves the path of plain floats and Values.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import numbers
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, SupportsFloat, overload

import numpy as np
from numpy.typing import NDArray

from . import display, modes
from . import table as primitives
from .methods import Methods, add_to, names
from .native import core
from .sweeps import pullback
from .table import Primitive, as_float

Array = NDArray[Any]  # of numbers or of Values: NumPy's types cannot tell
Mask = NDArray[np.bool_]

_PACKAGE = str(Path(__file__).parents[1]) + os.sep
_serials = itertools.count()
UFUNCS = {row.array: row for row in primitives.TABLE.values() if isinstance(row.array, np.ufunc)}
UFUNCS |= {np.maximum: primitives.maximum, np.minimum: primitives.minimum}
UFUNCS |= {np.fabs: primitives.absolute, np.float_power: primitives.power}
_DERIVED: dict[np.ufunc, Callable[[Any], Any]] = {
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
    "matmul": "use cr.dot of two lists, or @ on arrays of Values",
    "vecdot": "use cr.dot of two lists, or @ on arrays of Values",
    "copysign": "write cr.where(cr.less(sign, 0.0), -cr.abs(v), cr.abs(v))",
    "heaviside": "write cr.where(cr.less(v, 0.0), 0.0, 1.0)",
    "logaddexp2": "write cr.log2(cr.exp2(a) + cr.exp2(b))",
    "ldexp": "write v * 2.0**n",
    "expit": "use cr.sigmoid",
    "log_expit": "use cr.logsigmoid",
    **dict.fromkeys(("logical_and", "logical_or", "logical_xor", "logical_not"), _LOGICAL),
    **dict.fromkeys(("isfinite", "isinf", "isnan", "signbit"), "ask np.{name}(v.data)"),
    **dict.fromkeys(("floor", "ceil", "rint", "trunc", "floor_divide", "round", "around"), _STEPS),
    "fix": _STEPS,
    "angle": "use cr.atan2(imaginary, real)",
    "sinc": "write cr.sin(math.pi * v) / (math.pi * v), or add it with cr.primitive",
    **dict.fromkeys(("var", "std"), "give it an array of Values; that of a single one is 0"),
}
_COMPARISONS = {np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal}


def _boxed(x: Any) -> Any:
    """Return *x* as an array of Python objects: NumPy's own numbers would call us again."""
    array = np.asarray(x)
    return (array.astype(float) if array.dtype.kind == "f" else array).astype(object)


_OWN_OPERATION = (
    "add a row with "
    'cr.primitive, as in sin3 = cr.primitive("sin3", lambda x: math.sin(3 * x), '
    "[lambda x, y: 3 * cr.cos(3 * x)]), and call it: sin3(v)"
)
GIVEN = primitives.given_row()
FLOAT64 = np.float64


_ONE_IMPORT = (
    "objects of two imports do not work together, so make all of them again after chainrule was "
    "removed from sys.modules and imported again"
)


def _send_back(node: Any) -> None:
    for parent, partial in zip(node.parents, node.partials, strict=True):
        parent.grad += partial * node.grad


class _Arithmetic(Protocol):
    """How type checkers see an operator of a Value; a plain array gives an array of Values."""

    @overload
    def __call__(self, other: Array, /) -> Array: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, other: Value | SupportsFloat, /) -> Value: ...


class _Comparison(Protocol):
    @overload
    def __call__(self, other: Array, /) -> Mask: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, other: Value | SupportsFloat, /) -> bool: ...


def _arithmetic(method: Callable[[Any, Any], Any]) -> _Arithmetic:
    return method  # type: ignore[return-value]  # it is bound when it is called


def _comparison(method: Callable[[Any, Any], Any]) -> _Comparison:
    return method  # type: ignore[return-value]  # likewise


def _take_backward(node: Any, function: Callable[[], object]) -> None:
    """Take the partials of *node* from *function*, a closure that adds them to its children.

    It is called once, with out.grad = 1, and not kept: a closure that holds its own node would keep
    both alive.  A second call, with out.grad = 0, checks that it adds, and that it multiplies.
    """
    if not modes.current().linking and node.primitive is None:
        return  # inside no_grad no node has children
    if not primitives.is_given(node.primitive):
        what = "a leaf" if node.primitive is None else f"a node that {node.op!r} made"
        raise AttributeError(
            f"Value._backward cannot be set on {what}: make the node with its children, as in "
            f"out = Value(number, (a, b), 'name'); or {_OWN_OPERATION}"
        )
    children = list(dict.fromkeys(node.parents))
    before = [(v, v.grad) for v in (node, *children)]
    try:
        found = []
        for above, there in ((1.0, 0.0), (0.0, 1.0)):
            for v in children:
                v.grad = there
            node.grad = above
            function()
            found.append([v.grad for v in children])
    finally:
        for v, grad in before:
            v.grad = grad
    for v, partial, left in zip(children, *found, strict=True):
        if left != 1.0 and math.isfinite(partial):
            raise ValueError(
                f"_backward of {node!r} must add to the gradient of each child the local "
                f"derivative times out.grad; with out.grad = 0 it changed that of {v!r} from 1.0 "
                f"to {left}: write child.grad += derivative * out.grad"
            )
    sums = dict(zip(children, found[0], strict=True))
    partials = tuple([sums.pop(v, 0.0) for v in node.parents])
    if isinstance(node, Value):
        node.partials = partials
    else:
        core.write_partials(node, partials)


class Common:
    """The methods of a Value that need not be fast: this class and the one in C share them."""

    __slots__ = ()

    @property
    def op(self: Any) -> str:
        """The name of the operation that made this node, such as "+" or "tanh"; "" for a leaf."""
        return "" if self.primitive is None else self.primitive.name

    def __repr__(self: Any) -> str:
        label = f", label={self.label!r}" if self.label else ""
        op = f", op={self.op!r}" if self.primitive is not None else ""
        return f"Value(data={self.data!r}, grad={self.grad!r}{op}{label})"

    def _repr_html_(self: Any) -> str:
        name = " ".join(filter(None, (self.label, f"= {self.op}" if self.op else "")))
        grad = repr(self.grad) if self.has_grad else "–"
        rows = [["this node", self.data, grad, ""]]
        for parent, partial in zip(self.parents, self.partials, strict=True):
            given = repr(parent.grad) if parent.has_grad else "–"
            rows.append([parent.label or parent.op or "a leaf", parent.data, given, partial])
        headings = ["", "value", "gradient", "local derivative"]
        return display.html_table(f"Value {name}".strip(), headings, rows)

    def __format__(self: Any, spec: str) -> str:
        return format(self.data, spec) if spec else repr(self)

    def detach(self: Any) -> Value:
        """Return a new leaf with the same data and label, and no history."""
        modes.refuse_while_tracing(
            "detach() in a compiled function would fix the number of one example for all, and a "
            "compiled function cannot stop a gradient: give the number as an argument"
        )
        return type(self)(self.data, self.label)  # type: ignore[no-any-return]

    def leaky_relu(self: Any, slope: Value | SupportsFloat = 0.01) -> Value:
        return primitives.leaky_relu(self, slope)  # type: ignore[no-any-return]

    # --- the names by which scripts for micrograd and microgpt look into a node ---------------

    @property
    def _prev(self: Any) -> set[Any]:
        return set(self.parents)

    @property
    def _children(self: Any) -> tuple[Any, ...]:
        return self.parents  # type: ignore[no-any-return]

    @property
    def _local_grads(self: Any) -> tuple[float, ...]:
        return self.partials  # type: ignore[no-any-return]

    @property
    def _op(self: Any) -> str:
        return self.op  # type: ignore[no-any-return]

    @property
    def name(self: Any) -> str:
        return self.label  # type: ignore[no-any-return]

    @name.setter
    def name(self: Any, name: str) -> None:
        self.label = name

    @property
    def _backward(self: Any) -> Callable[[], None]:
        return functools.partial(_send_back, self)

    @_backward.setter
    def _backward(self: Any, function: Callable[[], object]) -> None:
        _take_backward(self, function)

    # --- the names that NumPy calls on the entries of an array of objects ---------------------

    def conjugate(self: Any) -> Value:
        return self  # type: ignore[no-any-return]

    @_arithmetic
    def hypot(self: Any, other: Any) -> Any:
        return primitives.hypot(self, other)

    @_arithmetic
    def arctan2(self: Any, other: Any) -> Any:
        return primitives.atan2(self, other)

    # --- what must not happen silently -------------------------------------------------------

    def __bool__(self: Any) -> NoReturn:
        modes.refuse_to_choose("testing the truth of a Value")
        raise TypeError(
            "the truth of a Value is ambiguous: compare it (v > 0), test v.data, or choose with "
            "chainrule.where"
        )

    def _refuse_to_be_a_number(self: Any, *_: object) -> NoReturn:
        modes.refuse_while_tracing(
            "turning a Value into a plain number while a function is compiled would fix that "
            "number for all examples: use chainrule's functions (cr.exp) instead of math's, and "
            "cr.take(table, v) for table[int(v)]"
        )
        raise TypeError(
            "a Value is not converted to a float implicitly, because that would drop its graph: "
            "take v.data, or use chainrule's functions (cr.exp) instead of math's"
        )

    if not TYPE_CHECKING:  # so that float(v) and math.exp(v) are reported
        __float__ = __int__ = __index__ = __complex__ = _refuse_to_be_a_number
        __round__ = __trunc__ = __floor__ = __ceil__ = _refuse_to_be_a_number

    def __array_ufunc__(self: Any, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if method == "__call__" and kwargs.keys() == {"out"}:  # array += Value
            (array,) = kwargs["out"]
            array[...] = self.__array_ufunc__(ufunc, method, *args)
            return array
        if method == "__call__" and not kwargs:
            if ufunc in UFUNCS:
                return UFUNCS[ufunc](*args)
            if ufunc in _DERIVED:
                return _DERIVED[ufunc](*args)
            if ufunc in _COMPARISONS:
                return ufunc(*(_boxed(a) for a in args)).astype(bool)[()]
        raise TypeError(_without_row(ufunc, method, kwargs))

    def __array_function__(
        self: Any,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Run one of NumPy's functions that are not ufuncs as it runs on any objects.

        NumPy calls this where one of the arguments is a Value; what fails says what to do.
        """
        try:
            return function._implementation(*args, **kwargs)  # type: ignore[attr-defined]
        except (AttributeError, TypeError) as error:
            if str(error).startswith(("numpy.", "a Value", "the truth of a Value")):
                raise
            raise TypeError(_not_on_values(function.__name__)) from error


array_ufunc = Common.__array_ufunc__


def _without_row(ufunc: np.ufunc, method: str, kwargs: Mapping[str, Any]) -> str:
    """Return the message for a NumPy function that has no row, with what to write instead."""
    name = ufunc.__name__
    module = "numpy." if getattr(np, name, None) is ufunc else ""
    if ufunc in UFUNCS or ufunc in _DERIVED or ufunc in _COMPARISONS:
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


class Value(Common, Methods):
    """A real number in a computation graph.

    ``Value(data, label="")`` makes a leaf.  Arithmetic (``+ - * / **``, unary ``-``, ``abs``) and
    the functions of the library make nodes that depend on it, and ``backward()`` on such a node
    leaves the derivative with respect to each node in that node's ``grad``.

    >>> x = Value(3.0, label="x")
    >>> y = x * x + 2 * x
    >>> y.backward()
    >>> y.data, x.grad
    (15.0, 8.0)

    Two Values are equal only if they are the same node; ``<``, ``<=``, ``>`` and ``>=`` compare
    data.

    ``Value(data, children, local_grads)`` makes a node from a number and its derivatives with
    respect to each of the children that you have computed yourself, as scripts for other classes
    do:

    >>> cubed = Value(x.data**3, (x,), (3 * x.data**2,))
    >>> x.grad = 0.0
    >>> cubed.backward()
    >>> x.grad
    27.0

    The derivatives are numbers, so they cannot be differentiated again, and a compiled function
    cannot recompute the node.  Operations made with ``primitive`` do not have these limits.
    """

    __slots__ = (
        "__weakref__",
        "_grad",
        "_label",
        "_primal",
        "operands",
        "origin",
        "parents",
        "partials",
        "primitive",
        "serial",
    )

    __module__ = "chainrule"

    _label: str
    _primal: float
    parents: tuple[Value, ...]
    """The Values this one was computed from, in order, with duplicates."""
    partials: tuple[float, ...]
    """The derivative of this node with respect to each of its parents."""
    operands: tuple[Value | float, ...]
    """What the operation was applied to: the parents, and the constants between them."""
    primitive: Primitive | None
    """The row of the table that made this node; None for a leaf."""
    serial: int
    """The number of nodes made before this one."""
    origin: str | None
    """Where in the source the node was made, if ``detect_anomaly`` was on."""

    @overload
    def __init__(self, data: SupportsFloat, label: str = "") -> None: ...

    @overload
    def __init__(
        self,
        data: SupportsFloat,
        children: Collection[Value],
        local_grads: Sequence[SupportsFloat] | str = (),
        label: str = "",
    ) -> None: ...

    @overload
    def __init__(
        self, data: SupportsFloat, _children: Collection[Value] = (), _op: str = "", label: str = ""
    ) -> None: ...

    def __init__(self, data: Any, *given: Any, label: Any = "", **named: Any) -> None:
        self._grad: float | None = None
        self.origin = None
        self.serial = next(_serials)
        if len(given) == 1 and not label and isinstance(given[0], str):
            label = given[0]
        elif given or named:
            self.primitive, self.operands, self.parents, self._primal, self.partials, _, label = (
                node_contents(data, *given, label=label, **named)
            )
            self._label = label
            for child in self.parents:
                if type(child) is not Value:
                    as_operand(child, "Value(data, children)")
            if modes.active:
                _settle(self)
            return
        self._primal = leaf_data(data)
        self.label = label
        self.operands = self.parents = self.partials = ()
        self.primitive = None

    # --- what a node shows -------------------------------------------------------------------

    @property
    def data(self) -> float:
        """The number.  Writable on a leaf only."""
        return self._primal

    @data.setter
    def data(self, data: SupportsFloat) -> None:
        if self.primitive is not None:
            refuse_write(self)
        self._primal = as_float(data, "Value.data")

    @property
    def grad(self) -> float:
        """The derivative of the last root of ``backward`` with respect to this node.

        Interior nodes hold that of the last call alone; leaves add up over the calls, from the 0.0
        they start with.  Setting it to 0.0 makes it "not yet computed" again: see ``has_grad``.
        """
        return 0.0 if self._grad is None else self._grad

    @grad.setter
    def grad(self, grad: SupportsFloat) -> None:
        number = checked_grad(grad)
        self._grad = None if number == 0.0 else number

    @property
    def has_grad(self) -> bool:
        """Whether a backward pass has reached this node since its ``grad`` was last reset."""
        return self._grad is not None

    @property
    def label(self) -> str:
        """A name for drawings and messages."""
        return self._label

    @label.setter
    def label(self, label: str) -> None:
        self._label = checked_label(label)

    # --- derivatives -------------------------------------------------------------------------

    def backward(self, seed: SupportsFloat = 1.0) -> None:
        """Leave in ``grad`` of every node below this one *seed* times d(this)/d(that node).

        Gradients of interior nodes start fresh at each call; leaves add up, so that after k calls a
        leaf holds k times its gradient.  Nothing is changed if the pass raises.
        """
        seed = as_float(seed, "backward(seed)")
        if modes.active:
            watch_backward(self, seed)
        adjoints = pullback({self: seed})
        for node, adjoint in adjoints.items():
            if node.primitive is None and node._grad is not None:
                adjoint += node._grad
            node._grad = adjoint

    # --- operators ---------------------------------------------------------------------------

    @_arithmetic
    def __add__(self, other: Any) -> Any:
        return _binary(primitives.add, self, other)

    @_arithmetic
    def __radd__(self, other: Any) -> Any:
        return _reflected(primitives.add, self, other)

    @_arithmetic
    def __sub__(self, other: Any) -> Any:
        return _binary(primitives.subtract, self, other)

    @_arithmetic
    def __rsub__(self, other: Any) -> Any:
        return _reflected(primitives.subtract, self, other)

    @_arithmetic
    def __mul__(self, other: Any) -> Any:
        return _binary(primitives.multiply, self, other)

    @_arithmetic
    def __rmul__(self, other: Any) -> Any:
        return _reflected(primitives.multiply, self, other)

    @_arithmetic
    def __truediv__(self, other: Any) -> Any:
        return _binary(primitives.divide, self, other)

    @_arithmetic
    def __rtruediv__(self, other: Any) -> Any:
        return _reflected(primitives.divide, self, other)

    @_arithmetic
    def __pow__(self, other: Any) -> Any:
        return _binary(primitives.power, self, other)

    @_arithmetic
    def __rpow__(self, other: Any) -> Any:
        return _reflected(primitives.power, self, other)

    def __neg__(self) -> Value:
        return _unary(primitives.negative, self)

    def __pos__(self) -> Value:
        return self

    def __abs__(self) -> Value:
        return _unary(primitives.absolute, self)

    def __eq__(self, other: object) -> bool:
        if modes.active and self is not other:
            comparable(other)
        return NotImplemented  # the interpreter falls back to identity

    __hash__ = object.__hash__

    @_comparison
    def __lt__(self, other: Any) -> Any:
        return NotImplemented if (x := comparable(other)) is None else self._primal < x

    @_comparison
    def __le__(self, other: Any) -> Any:
        return NotImplemented if (x := comparable(other)) is None else self._primal <= x

    @_comparison
    def __gt__(self, other: Any) -> Any:
        return NotImplemented if (x := comparable(other)) is None else self._primal > x

    @_comparison
    def __ge__(self, other: Any) -> Any:
        return NotImplemented if (x := comparable(other)) is None else self._primal >= x

    # --- hooks -------------------------------------------------------------------------------

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError(
            "Value cannot be subclassed: write functions of Values, or nn modules, and keep what "
            "belongs to a Value in a dictionary with the Value as its key"
        )

    @staticmethod
    def __chainrule__(row: Primitive, args: tuple[Any, ...]) -> Value:
        """Apply *row* to *args*, at least one of them a Value; a primitive calls this."""
        if not isinstance(row, Primitive):
            refuse_row(row)
        if not {Value, float}.issuperset(map(type, args)):
            args = tuple(a if type(a) is Value else as_operand(a, row.name) for a in args)
        return _apply(row, args)


# --- making nodes ------------------------------------------------------------------------------

_blank = object.__new__


def make_node(
    primitive: Primitive | None,
    operands: tuple[Value | float, ...],
    parents: tuple[Value, ...],
    data: float,
    partials: tuple[float, ...],
    grad: float | None = None,
    label: str = "",
) -> Value:
    """Return a node with exactly these contents."""
    node = _blank(Value)
    node.primitive = primitive
    node.operands = operands
    node.parents = parents
    node._primal = data
    node.partials = partials
    node._grad = grad
    node._label = label
    node.origin = None
    node.serial = next(_serials)
    if modes.active:
        _settle(node)
    return node


def _settle(node: Value) -> None:
    linked, node.origin = observe(node)
    if not linked:
        node.operands = node.parents = node.partials = ()
        node.primitive = None


# The next ten, as_float, array_ufunc, UFUNCS, FLOAT64 and GIVEN are used by the C core too.


def as_operand(x: Any, doing: str) -> float:
    """Return *x*, which is not a Value, as a float for the operation *doing*."""
    _refuse_strangers(x)
    return as_float(x, doing)


def _refuse_strangers(x: Any) -> None:
    """Raise TypeError if *x* is a Value of another class than the one that met it."""
    if hasattr(type(x), "__chainrule__") and type(x).__module__ == Value.__module__:
        raise TypeError(f"this Value belongs to another import of chainrule; {_ONE_IMPORT}")


def refuse_row(row: Any) -> NoReturn:
    """Raise the TypeError for applying *row*, not a primitive of this import, to a Value."""
    raise TypeError(
        f"{row!r} is not a primitive of the chainrule that made this Value; {_ONE_IMPORT}"
    )


def leaf_data(data: Any) -> float:
    """Return the number that ``Value(data)`` holds."""
    if hasattr(type(data), "__chainrule__"):
        raise TypeError("Value(Value): already a Value; v.detach() makes a new leaf of its data")
    return as_float(data, "Value")


def checked_label(label: Any) -> str:
    """Return *label* as a plain str: a subclass of str could refer back to its node."""
    if not isinstance(label, str):
        raise TypeError(f"Value.label: expected a str, not {type(label).__name__}")
    return str.__str__(label)


def checked_grad(grad: Any) -> float:
    """Return the number that ``v.grad = grad`` is to write."""
    if grad is None:
        raise TypeError(
            "Value.grad: NoneType is not a real number; expected 0.0, which resets it, as does "
            "zero_grad() of a module or an optimiser"
        )
    return as_float(grad, "Value.grad")


_PLACES = ("children", "local_grads", "label")
_FORMS = (
    "write Value(data, label) for a leaf, or Value(data, children, local_grads), with a number for "
    "each child, for a node with children"
)


def node_contents(data: Any, *given: Any, label: Any = "", **named: Any) -> tuple[Any, ...]:
    """Return the arguments of ``make_node`` for ``Value(data, ...)`` with more than a label.

    Two forms are accepted, as scripts use them: ``Value(data, children, local_grads)``, and
    ``Value(data, _children, _op, label)`` with partials from a closure that is assigned to
    ``_backward`` afterwards; until then they are nan.
    """
    found: dict[str, Any] = {} if isinstance(label, str) and not label else {"label": label}
    places = ("label",) if given and isinstance(given[0], str) else _PLACES
    for name, thing in itertools.zip_longest(places[: len(given)], given, fillvalue=""):
        if isinstance(thing, str) and name == "local_grads":
            name = "op"
        if not name or name in found:
            raise TypeError(f"Value does not take the further argument {thing!r:.80}: {_FORMS}")
        found[name] = thing
    for alias, thing in named.items():
        name = alias.removeprefix("_")
        if name not in ("children", "local_grads", "op") or name in found:
            raise TypeError(f"Value does not take an argument {alias!r}: {_FORMS}")
        found[name] = thing
    label = checked_label(found.get("label", ""))
    children = _checked_children(found.get("children", ()))
    partials = found.get("local_grads")
    if partials is None or ("op" in found and not children):
        partials = [math.nan] * len(children)
    elif not isinstance(partials, (tuple, list, np.ndarray)):
        raise TypeError(
            f"Value(local_grads): expected a tuple of numbers, not {type(partials).__name__}"
        )
    if len(partials) != len(children):
        raise ValueError(
            f"Value(data, children, local_grads): expected a number for each child, not "
            f"{len(partials)} for {len(children)}"
        )
    partials = tuple([as_float(x, "Value(local_grads)") for x in partials])
    op = found.get("op", "")
    if not isinstance(op, str):
        raise TypeError(f"Value(op): expected a str, not {type(op).__name__}")
    if not children:
        return None, (), (), leaf_data(data), (), None, label
    modes.refuse_while_tracing(
        "Value(data, children, local_grads) in a compiled function would fix the numbers of one "
        f"example for all: {primitives.ADVICE}"
    )
    row = primitives.given_row(op) if op else GIVEN
    return row, children, children, leaf_data(data), partials, None, label


def _checked_children(children: Any) -> tuple[Any, ...]:
    if not isinstance(children, (tuple, list, set, frozenset)):
        raise TypeError(
            f"Value.label: expected a str, not {type(children).__name__}, or a tuple of Values "
            "for the children"
        )
    for child in children:
        if not hasattr(type(child), "__chainrule__"):
            raise TypeError(
                f"Value(data, children): expected Values, not {type(child).__name__}; a number has "
                "no gradient, so leave out both the number and its local derivative"
            )
    if isinstance(children, (set, frozenset)):  # whose order differs from run to run
        return tuple(sorted(children, key=lambda node: node.serial))
    return tuple(children)


def refuse_attribute(name: str) -> NoReturn:
    """Raise the AttributeError for setting an attribute that no Value has.

    Only the C core calls it: the class here would need a ``__setattr__``, at a tenth of its speed.
    """
    raise AttributeError(
        f"'Value' object has no attribute {name!r}, and takes no new ones: keep what belongs to a "
        f"Value in a dictionary, {name} = {{}}, and write {name}[v] in place of v.{name}; a name "
        "that is to be shown goes into v.label"
    )


def refuse_write(node: Any) -> NoReturn:
    """Raise the AttributeError for writing to the data of a computed *node*."""
    raise AttributeError(
        f"data of a node computed by {node.op!r} is read-only: write to the leaves below it and "
        "compute it again, or take v.detach()"
    )


def observe(node: Any) -> tuple[bool, str | None]:
    """Return whether a *node* just made stays linked to its parents, and where it was made."""
    mode = modes.current()
    origin = None
    if mode.count is not None:
        mode.count(node.serial)
    if mode.watching and node.primitive is not None:
        frame = sys._getframe(1)
        while frame.f_back and frame.f_code.co_filename.startswith(_PACKAGE):
            frame = frame.f_back
        origin = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        if not math.isfinite(node.data):
            raise modes.AnomalyError(f"{_written(node)} = {node.data}, made at {origin}")
    return mode.linking, origin


def watch_backward(root: Any, seed: float) -> None:
    """Raise AnomalyError, in detect_anomaly, if *root*'s backward pass meets an infinity or nan."""
    modes.refuse_while_tracing(
        "backward() in a compiled function would run once, for one example: call backward of the "
        "compiled function, or cr.gradients(y, [x], create_graph=True) inside"
    )
    if modes.current().watching:
        watch_adjoints(pullback({root: seed}))


def watch_adjoints(adjoints: dict[Value, Any]) -> None:
    """Raise AnomalyError for the first contribution to *adjoints* that is infinite or nan."""
    for node in sorted(adjoints, key=lambda node: node.serial, reverse=True):
        for i, (parent, partial) in enumerate(zip(node.parents, node.partials, strict=True)):
            flowing = partial * adjoints[node] if parent in adjoints else 0.0
            if type(flowing) is float and not math.isfinite(flowing):
                raise modes.AnomalyError(
                    f"the gradient {flowing} flows into operand {i} ({parent!r}) of "
                    f"{_written(node)} = {node.data}: local derivative {partial}, gradient from "
                    f"above {adjoints[node]}; made at {_origin(node)}"
                )


def watch_tangents(tangents: dict[Value, Any]) -> None:
    """Raise AnomalyError for the first of *tangents* that is infinite or nan."""
    for node, tangent in tangents.items():
        if node.parents and type(tangent) is float and not math.isfinite(tangent):
            raise modes.AnomalyError(
                f"the tangent of {_written(node)} = {node.data} is {tangent}: local derivatives "
                f"{node.partials}; made at {_origin(node)}"
            )


def _origin(node: Value) -> str:
    return node.origin or "an unknown place: make the graph inside detect_anomaly too"


def _written(node: Any) -> str:
    numbers = [repr(x if type(x) is float else x.data) for x in node.operands]
    if len(numbers) == 2 and not node.op.isidentifier():
        return f" {node.op} ".join(numbers)
    return f"{node.op}({', '.join(numbers)})"


def _unary(row: Primitive, x: Value) -> Value:
    a = x._primal
    y = row.scalar(a)
    partial = row.partials[0]
    operands = (x,)
    slope = partial(a, y) if callable(partial) else partial
    return make_node(row, operands, operands, y, (slope,))


add_to(Value, _unary)


def _method(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda self: function(self)


for _ufunc, _function in (_DERIVED | UFUNCS).items():
    # What NumPy calls on each element of an array of Values, where it has no operator for it.
    # Those that are rows of the table are made by add_to, and for the class in C by C.
    if _ufunc.nin == 1 and _ufunc.__name__ not in names() and not hasattr(Value, _ufunc.__name__):
        setattr(Common, _ufunc.__name__, _method(_function))


def _binary(row: Primitive, x: Any, other: Any) -> Any:
    # x is a Value, other anything
    if type(other) is Value:
        a, b = x._primal, other._primal
        y = row.scalar(a, b)
        p, q = row.partials
        operands = (x, other)
        partials = (p(a, b, y) if callable(p) else p, q(a, b, y) if callable(q) else q)
        return make_node(row, operands, operands, y, partials)
    if type(other) is not float:
        other = coerced(row, other, "Value {} {}")
        if type(other) is not float:
            return NotImplemented if other is None else row(x, other)
    a = x._primal
    y = row.scalar(a, other)
    p = row.partials[0]
    return make_node(row, (x, other), (x,), y, (p(a, other, y) if callable(p) else p,))


def _reflected(row: Primitive, x: Value, other: Any) -> Any:
    # other is not a Value, or its own operator would have been called
    if type(other) is not float:
        other = coerced(row, other, "{1} {0} Value")
        if type(other) is not float:
            return NotImplemented if other is None else row(other, x)
    b = x._primal
    y = row.scalar(other, b)
    q = row.partials[1]
    return make_node(row, (other, x), (x,), y, (q(other, b, y) if callable(q) else q,))


# The types for which the library decides whether they are real numbers.  Any other type may know
# about Values itself.
_KNOWN = (numbers.Number, np.generic, np.ndarray, str, bytes, list, tuple, dict, set, type(None))


def coerced(row: Primitive, other: Any, expression: str) -> Any:
    """Return *other* as a float, unchanged if it is an array, or None to let its type decide."""
    if isinstance(other, np.ndarray) and (other.ndim or other.dtype.kind == "O"):
        return other
    if isinstance(other, _KNOWN):
        return as_float(other, expression.format(row.name, type(other).__name__))
    _refuse_strangers(other)
    return None


def _apply(row: Primitive, operands: tuple[Value | float, ...]) -> Value:
    y, linked, partials = evaluate(row, operands)
    if len(linked) == len(operands):
        parents: Any = operands
    else:
        parents = tuple([operands[i] for i in linked])
    return make_node(row, operands, parents, y, partials)


# The next two, and coerced, are called from the C core too.


def evaluate(
    row: Primitive, operands: Sequence[Any]
) -> tuple[float, Sequence[int], tuple[float, ...]]:
    """Return *row* of *operands*, the positions that it depends on, and the partial for each."""
    args = tuple([x if type(x) is float else x.data for x in operands])
    y = as_float(row.scalar(*args), f"result of {row.name}")
    linked = row.linked(args, [i for i, x in enumerate(operands) if type(x) is not float])
    partials = row.partial_values(args, y, linked)
    if not {float}.issuperset(map(type, partials)):
        partials = tuple([as_float(p, f"partial of {row.name}") for p in partials])
    return y, linked, partials


def comparable(other: Any) -> float | None:
    """Return the number to compare with, or None to let the type of *other* decide."""
    number: float | None = None
    if type(other) is Value:
        number = other._primal
    elif not isinstance(other, np.ndarray) or not other.ndim:
        with contextlib.suppress(TypeError):
            number = as_float(other, "comparison")
    if modes.active and (number is not None or hasattr(type(other), "__chainrule__")):
        modes.refuse_to_choose("comparing Values")
    return number
