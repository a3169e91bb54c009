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
    with modes.suspended():
        return make_node(*contents)


def _after(ancestors: object, *contents: Any) -> Value:
    return _restored(*contents)


copyreg.pickle(Value, _reduce)
Value.__deepcopy__ = _deepcopy  # type: ignore[attr-defined]
