"""What a Value takes, and what it refuses with a message: data, labels, children, operands.

Both classes of Values ask it: the reference in ``value`` and, beside its fast path, the one in C.
"""

from __future__ import annotations

import itertools
import math
import numbers
from typing import Any, NoReturn

import numpy as np

from . import modes
from . import table as primitives
from .table import Primitive, as_float

GIVEN = primitives.given_row()

_ONE_IMPORT = (
    "objects of two imports do not work together, so make all of them again after chainrule was "
    "removed from sys.modules and imported again"
)


def as_operand(x: Any, doing: str) -> float:
    """Return *x*, which is not a Value, as a float for the operation *doing*."""
    _refuse_strangers(x)
    return as_float(x, doing)


def _refuse_strangers(x: Any) -> None:
    """Raise TypeError if *x* is a Value of another class than the one that met it."""
    if hasattr(type(x), "__chainrule__") and type(x).__module__ == "chainrule":
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


def refuse_write(node: Any) -> NoReturn:
    """Raise the AttributeError for writing to the data of a computed *node*."""
    raise AttributeError(
        f"data of a node computed by {node.op!r} is read-only: write to the leaves below it and "
        "compute it again, or take v.detach()"
    )


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
