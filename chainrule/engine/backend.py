"""Which ``Value`` this process uses: the one in C where it was built, else the reference."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING

from . import table, value
from ._extension import native
from .methods import add_to

if TYPE_CHECKING or native is None:
    from .value import Value, make_node

    backend = "python"
else:
    native.connect(table, value)
    Value, make_node = native.Value, native.make_node
    Value.__name__ = "Value"  # else the interpreter's messages would say chainrule.Value
    Value.__doc__ = value.Value.__doc__
    # Copied, not inherited: every class written in Python makes its heirs collectable.
    for name, behaviour in vars(value.Common).items():
        if isinstance(behaviour, (FunctionType, property)):
            setattr(Value, name, behaviour)
    add_to(Value, lambda row, x: row(x))
    Value.__init_subclass__ = vars(value.Value)["__init_subclass__"]
    backend = "native"

__all__ = ["Value", "backend", "make_node"]
