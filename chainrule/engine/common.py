"""``Common``: the methods of a Value that need not be fast, written once for both classes."""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, SupportsFloat

from . import display, modes
from . import table as primitives
from .methods import names
from .native import core
from .signatures import arithmetic
from .ufuncs import DERIVED, UFUNCS, array_function, array_ufunc

if TYPE_CHECKING:
    from .value import Value

_OWN_OPERATION = (
    "add a row with "
    'cr.primitive, as in sin3 = cr.primitive("sin3", lambda x: math.sin(3 * x), '
    "[lambda x, y: 3 * cr.cos(3 * x)]), and call it: sin3(v)"
)


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
        """Return a node: cr.leaky_relu of this one, with that *slope*."""
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
        """Another name of ``label``."""
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
        """Return this node: it is a real number."""
        return self  # type: ignore[no-any-return]

    @arithmetic
    def hypot(self: Any, other: Any) -> Any:
        """Return a node: cr.hypot of this one and *other*."""
        return primitives.hypot(self, other)

    @arithmetic
    def arctan2(self: Any, other: Any) -> Any:
        """Return a node: cr.atan2 of this one, as the ordinate, and *other*."""
        return primitives.atan2(self, other)

    # --- what must not happen silently -------------------------------------------------------

    def __bool__(self: Any) -> NoReturn:
        modes.refuse_to_choose("testing the truth of a Value")
        raise TypeError(
            "the truth of a Value is ambiguous: compare it (v > 0), test v.data, choose with "
            "chainrule.where, or ask whether there is one with v is not None"
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

        def __floordiv__(self, other: object) -> Any:
            return _refuse_steps("//", other)

        def __divmod__(self, other: object) -> Any:
            return _refuse_steps("divmod", other)

        __rfloordiv__, __rdivmod__ = __floordiv__, __divmod__

    __array_ufunc__ = array_ufunc
    __array_function__ = array_function


def _refuse_steps(operation: str, other: object) -> Any:
    if not isinstance(other, numbers.Real) and not hasattr(type(other), "__chainrule__"):
        return NotImplemented
    modes.refuse_while_tracing(
        f"{operation} of a Value in a compiled function would fix its quotient for all examples: "
        "write (a - a % b) / b"
    )
    raise TypeError(
        f"{operation} does not work on a Value: take the quotient from the numbers, "
        "a.data // b.data, since its derivative is 0 wherever there is one; the remainder is a % b"
    )


def _send_back(node: Any) -> None:
    for parent, partial in zip(node.parents, node.partials, strict=True):
        parent.grad += partial * node.grad


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
    if core is not None and isinstance(node, core.Value):
        core.write_partials(node, partials)
    else:
        node.partials = partials


def _read_only(name: str) -> property:
    def refuse(self: Any, _: object) -> NoReturn:
        raise AttributeError(
            f"Value.{name} is fixed when a node is made: make it with its children, as in "
            "out = Value(number, (a, b), 'name'), and give it its _backward; a title is its label"
        )

    return vars(Common)[name].setter(refuse)  # type: ignore[no-any-return]


for _name in ("_prev", "_children", "_local_grads", "_op"):
    setattr(Common, _name, _read_only(_name))


def _method(name: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def method(self: Any) -> Any:
        return function(self)

    method.__name__, method.__qualname__ = name, f"Value.{name}"
    method.__doc__ = f"Return numpy.{name} of this node, a node."
    return method


for _ufunc, _function in (DERIVED | UFUNCS).items():
    # What NumPy calls on each element of an array of Values, where it has no operator for it.
    # Those that are rows of the table are made by add_to, and for the class in C by C.
    if _ufunc.nin == 1 and _ufunc.__name__ not in names() and not hasattr(Common, _ufunc.__name__):
        setattr(Common, _ufunc.__name__, _method(_ufunc.__name__, _function))
