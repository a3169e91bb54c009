"""Copying and pickling of graphs, however deep, as one node is copied: by its contents.

A node refers to its parents, so the obvious reducer would recurse once per level.  Here all of its
ancestors come before it, oldest first: ``deepcopy`` goes through them in a loop, and to ``pickle``
a node takes along an iterator over them.  Each is then met while all its parents are known already,
so nothing recurses, and a node that several roots share stays shared.
"""

from __future__ import annotations

import copy
import copyreg
import threading
from collections.abc import Iterator
from typing import Any

from . import modes
from .backend import Value, make_node
from .sweeps import topological_order
from .table import Primitive

_ALTERED = "what was stored was altered, or its operation is another one now"


class _Ancestors(list[Value]):
    """Nodes that are stored before the node that needs them."""


class _Announced(threading.local):
    """The nodes an iterator has just handed out: their parents need no announcing again."""

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
        "copying a Value in a function that is compiled would fix its number for all examples: "
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
                memo[id(one)] = make_node(row, tuple(operands), tuple(parents), *rest)
    return memo[id(node)]  # type: ignore[no-any-return]


def _reduce(node: Value) -> tuple[Any, ...]:
    contents = _contents(node)
    if node.primitive is None or id(node) in _announced.ids:
        _announced.ids.discard(id(node))
        return _restored, contents
    return _after, (_Bundle(node), *contents)


class _Bundle:
    """Stands for the ancestors of *node* in a reduction; restores as a list of them."""

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
    """Raise ValueError unless *row* can have made a node of these contents.

    They come from a file, and what the engine and the compiler do relies on them.
    """
    tuples = {tuple}.issuperset(map(type, (operands, parents, partials)))
    numbers = (data, *partials, *(() if grad is None else (grad,))) if tuples else ()
    if not (tuples and {float}.issuperset(map(type, numbers)) and type(label) is str):
        raise ValueError(f"a Value restored: {_ALTERED}: numbers or texts of another type")
    if len(partials) != len(parents) or not _stand_in(parents, operands):
        raise ValueError(f"a Value restored: {_ALTERED}: parents that are not its operands")
    if row is None:
        if operands:
            raise ValueError(f"a Value restored: {_ALTERED}: operands without an operation")
    elif not isinstance(row, Primitive) or not row.could_take(operands):
        raise ValueError(f"a Value restored: {_ALTERED}: {row!r} of operands that it cannot have")


def _stand_in(parents: tuple[Any, ...], operands: tuple[Any, ...]) -> bool:
    """Return whether *operands* are Values and floats, and *parents* some of them, in order."""
    if not {Value, float}.issuperset(map(type, operands)):
        return False
    rest = iter(operands)
    return all(any(operand is parent for operand in rest) for parent in parents)


def _after(ancestors: object, *contents: Any) -> Value:
    return _restored(*contents)


copyreg.pickle(Value, _reduce)
Value.__deepcopy__ = _deepcopy  # type: ignore[attr-defined]
