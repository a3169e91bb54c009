"""``Value``: a number that remembers how it was computed.  The readable reference of the engine.

Every operation on Values makes a node that holds its result, its parents and, fixed at that moment,
the partial derivative with respect to each parent, as the table of primitives defines them.  A node
refers only to older nodes, so a graph has no cycles: it is freed as soon as it is dropped.

``native`` is the same class in C.  Whatever need not be fast is written once for both: ``common``
has the methods that both classes have, and ``asked`` the functions that the C core calls whenever
an operation leaves the path of plain floats and Values.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Sequence
from typing import Any, NoReturn, SupportsFloat, overload

import numpy as np

from . import modes
from . import table as primitives
from .admission import (
    as_operand,
    checked_grad,
    checked_label,
    coerced,
    leaf_data,
    node_contents,
    refuse_row,
    refuse_write,
)
from .anomalies import observe, watch_backward
from .common import Common
from .methods import Methods, add_to
from .signatures import arithmetic, comparison
from .sweeps import pullback
from .table import Primitive, as_float

_serials = itertools.count()


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
        "__dict__",  # for what a script hangs on it: see attributes
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
            if modes.observing:
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

    @arithmetic
    def __add__(self, other: Any) -> Any:
        return _binary(primitives.add, self, other)

    @arithmetic
    def __radd__(self, other: Any) -> Any:
        return _reflected(primitives.add, self, other)

    @arithmetic
    def __sub__(self, other: Any) -> Any:
        return _binary(primitives.subtract, self, other)

    @arithmetic
    def __rsub__(self, other: Any) -> Any:
        return _reflected(primitives.subtract, self, other)

    @arithmetic
    def __mul__(self, other: Any) -> Any:
        return _binary(primitives.multiply, self, other)

    @arithmetic
    def __rmul__(self, other: Any) -> Any:
        return _reflected(primitives.multiply, self, other)

    @arithmetic
    def __truediv__(self, other: Any) -> Any:
        return _binary(primitives.divide, self, other)

    @arithmetic
    def __rtruediv__(self, other: Any) -> Any:
        return _reflected(primitives.divide, self, other)

    @arithmetic
    def __mod__(self, other: Any) -> Any:
        return _binary(primitives.remainder, self, other)

    @arithmetic
    def __rmod__(self, other: Any) -> Any:
        return _reflected(primitives.remainder, self, other)

    @arithmetic
    def __pow__(self, other: Any) -> Any:
        return _binary(primitives.power, self, other)

    @arithmetic
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

    @comparison
    def __lt__(self, other: Any) -> Any:
        return NotImplemented if (x := comparable(other)) is None else self._primal < x

    @comparison
    def __le__(self, other: Any) -> Any:
        return NotImplemented if (x := comparable(other)) is None else self._primal <= x

    @comparison
    def __gt__(self, other: Any) -> Any:
        return NotImplemented if (x := comparable(other)) is None else self._primal > x

    @comparison
    def __ge__(self, other: Any) -> Any:
        return NotImplemented if (x := comparable(other)) is None else self._primal >= x

    # --- hooks -------------------------------------------------------------------------------

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError(
            "Value cannot be subclassed: write functions of Values, or nn modules; attach methods "
            "to Value itself, and what belongs to one Value to that Value"
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
    if modes.observing:
        _settle(node)
    return node


def _settle(node: Value) -> None:
    linked, node.origin = observe(node)
    if not linked:
        node.operands = node.parents = node.partials = ()
        node.primitive = None


def _unary(row: Primitive, x: Value) -> Value:
    a = x._primal
    y = row.scalar(a)
    partial = row.partials[0]
    operands = (x,)
    slope = partial(a, y) if callable(partial) else partial
    return make_node(row, operands, operands, y, (slope,))


add_to(Value, _unary)


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


def _apply(row: Primitive, operands: tuple[Value | float, ...]) -> Value:
    y, linked, partials = evaluate(row, operands)
    if len(linked) == len(operands):
        parents: Any = operands
    else:
        parents = tuple([operands[i] for i in linked])
    return make_node(row, operands, parents, y, partials)


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
