"""The choice of ``Value`` for this process: the class in C if it was built, else the reference."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING

from . import fallbacks, table, value
from .common import Common
from .methods import add_to
from .native import core

if TYPE_CHECKING or core is None:
    from .value import Value, make_node

    backend = "python"
else:
    core.connect(table, fallbacks)
    Value, make_node = core.Value, core.make_node
    Value.__name__ = "Value"  # otherwise the interpreter's messages would say chainrule.Value
    Value.__doc__ = value.Value.__doc__
    # Copied, not inherited: a subclass of a class written in Python is tracked by the collector.
    for name, behaviour in vars(Common).items():
        if isinstance(behaviour, (FunctionType, property)) and name not in vars(Value):
            setattr(Value, name, behaviour)
    add_to(Value, lambda row, x: row(x))
    Value.__init_subclass__ = vars(value.Value)["__init_subclass__"]
    backend = "native"

__all__ = ["Value", "backend", "make_node"]
