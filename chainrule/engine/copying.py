"""Copying and pickling of graphs of any depth.

A node refers to its parents, so the obvious reducer would recurse once per level.  Here a node's
ancestors are handled before it, oldest first: ``deepcopy`` goes through them in a loop, and a node
that is pickled brings an iterator over them.  When a node's turn comes, all its parents are known,
so nothing recurses, and a node that several roots share stays shared.
"""

from __future__ import annotations

import copy
import copyreg
import threading
from collections.abc import Iterator
from typing import Any

from . import modes
from .attributes import given_attributes
from .backend import Value, make_node
from .sweeps import topological_order
from .table import Primitive

_ALTERED = (
    "expected contents as chainrule stores them: the data were altered, or the operation was "
    "redefined, so store the graph again"
)


class _Ancestors(list[Value]):
    """Nodes that are stored before the node that needs them."""


class _Announced(threading.local):
    """The nodes that an iterator has just yielded: their parents need not be announced again."""

    def __init__(self) -> None:
        self.ids: set[int] = set()


_announced = _Announced()


def _ancestors_of(node: Value) -> Iterator[Value]:
    ancestors = topological_order([node])[:-1]
    try:
        for ancestor in ancestors:
            _announced.ids.add(id(ancestor))
            yield ancestor
    finally:
        _announced.ids.difference_update(map(id, ancestors))


def _contents(node: Value) -> tuple[Any, ...]:
    modes.refuse_while_tracing(
        "copying a Value in a compiled function would fix its number for all examples: "
        "use the Value itself"
    )
    grad = node.grad if node.has_grad else None
    return (
        node.primitive,
        node.operands,
        node.parents,
        node.data,
        node.partials,
        grad,
        node.label,
    )


def _deepcopy(node: Value, memo: dict[int, Any]) -> Value:
    with modes.suspended():
        for one in topological_order([node]):
            if id(one) not in memo:
                row, operands, parents, *rest = _contents(one)
                operands = [x if type(x) is float else copy.deepcopy(x, memo) for x in operands]
                parents = [memo[id(x)] for x in parents]
                made = make_node(row, tuple(operands), tuple(parents), *rest)
                memo[id(one)] = made
                for name, value in given_attributes(one).items():
                    setattr(made, name, copy.deepcopy(value, memo))
    return memo[id(node)]  # type: ignore[no-any-return]


def _reduce(node: Value) -> tuple[Any, ...]:
    contents = _contents(node)
    if node.primitive is None or id(node) in _announced.ids:
        _announced.ids.discard(id(node))
        return _restored, contents, *_state(node)
    return _after, (_Bundle(node), *contents), *_state(node)


def _state(node: Value) -> tuple[Any, ...]:
    """Return what comes third in a reduction: what a script hung on *node*, in pickle's form."""
    attributes = given_attributes(node)
    return ((None, dict(attributes)),) if attributes else ()


class _Bundle:
    """A stand-in for the ancestors of *node* in a reduction; it is restored as a list of them."""

    def __init__(self, node: Value) -> None:
        self.node = node

    def __reduce__(self) -> tuple[Any, ...]:
        return _Ancestors, (), None, _ancestors_of(self.node)


def _restored(*contents: Any) -> Value:
    _check(*contents)
    with modes.suspended():
        return make_node(*contents)


def _check(
    row: Any,
    operands: Any,
    parents: Any,
    data: Any,
    partials: Any,
    grad: Any = None,
    label: Any = "",
) -> None:
    """Raise ValueError unless *row* can have made a node with these contents.

    The contents come from a file, and the engine and the compiler rely on them.
    """
    tuples = {tuple}.issuperset(map(type, (operands, parents, partials)))
    numbers = (data, *partials, *(() if grad is None else (grad,))) if tuples else ()
    if not (tuples and {float}.issuperset(map(type, numbers)) and type(label) is str):
        raise ValueError(f"restoring a Value: numbers or texts have the wrong type; {_ALTERED}")
    if len(partials) != len(parents) or not _stand_in(parents, operands):
        raise ValueError(f"restoring a Value: its parents are not its operands; {_ALTERED}")
    if row is None:
        if operands:
            raise ValueError(f"restoring a Value: operands without an operation; {_ALTERED}")
    elif not isinstance(row, Primitive) or not row.could_take(operands):
        raise ValueError(f"restoring a Value: {row!r} cannot have its operands; {_ALTERED}")


def _stand_in(parents: tuple[Any, ...], operands: tuple[Any, ...]) -> bool:
    """Return whether *operands* are Values and floats, with *parents* among them, in order."""
    if not {Value, float}.issuperset(map(type, operands)):
        return False
    rest = iter(operands)
    return all(any(operand is parent for operand in rest) for parent in parents)


def _after(ancestors: object, *contents: Any) -> Value:
    return _restored(*contents)


copyreg.pickle(Value, _reduce)
Value.__deepcopy__ = _deepcopy  # type: ignore[attr-defined]
