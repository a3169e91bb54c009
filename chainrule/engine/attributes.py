"""What a script hangs on a Value: ``p.momentum = 0.0`` for a parameter p.

A class written in Python takes any attribute, and scripts for such classes keep an optimiser's
state, a colour or a layer's name on the Value itself.  The class here has a ``__dict__`` for that.
The one in C has none, since most nodes need none.  It keeps such attributes in a table by node, and
a descriptor on the class, made when the first Value gets an attribute of that name, finds them.  So
nothing else becomes slower, and an entry goes with its node.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

_table: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()
_SETTABLE = {"".join(sorted(name)): name for name in ("data", "grad", "label", "name")}


class Given:
    """The attribute *name* of those Values that were given one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, node: Any, kind: type) -> Any:
        attributes = {} if node is None else _table.get(node, {})
        if self._name not in attributes:
            what = "type object 'Value'" if node is None else "'Value' object"
            raise AttributeError(f"{what} has no attribute {self._name!r}")
        return attributes[self._name]

    def __set__(self, node: Any, value: Any) -> None:
        _table.setdefault(node, {})[self._name] = value

    def __delete__(self, node: Any) -> None:
        self.__get__(node, type(node))
        del _table[node][self._name]


def give_attribute(node: Any, name: str, value: Any) -> None:
    """Give *node* the first attribute *name* that any Value is given, or raise AttributeError.

    Only the C core calls it.  A name that has the letters of one which every Value has, such as
    ``gard`` or ``Data``, is a slip, after which a training loop would run and not learn.
    """
    meant = _SETTABLE.get("".join(sorted(name.lower())))
    if meant is not None:
        raise AttributeError(f"'Value' object has no attribute {name!r}: did you mean {meant!r}?")
    setattr(type(node), name, Given(name))
    setattr(node, name, value)


def given_attributes(node: Any) -> Mapping[str, Any]:
    """Return what was hung on *node*, by name."""
    attributes: Mapping[str, Any] = getattr(node, "__dict__", None) or _table.get(node) or {}
    return attributes
