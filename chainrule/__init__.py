"""chainrule: scalar reverse-mode automatic differentiation that shows its work.

>>> import chainrule as cr
>>> w, x, b = cr.Value(2.0, "w"), cr.Value(-2.0, "x"), cr.Value(8.0, "b")
>>> loss = cr.square(w * x + b - 2.0) / 2
>>> loss.backward()
>>> loss.data, w.grad, b.grad
(2.0, -4.0, 2.0)
"""

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .engine import functions as _functions
from .engine.backend import Value, backend
from .engine.functions import *  # noqa: F403 (each is handed on there, by its name)
from .engine.implicit import fixed_point, root
from .engine.loops import scan
from .engine.modes import AnomalyError, TraceError, detect_anomaly, no_grad
from .engine.reductions import dot, logsumexp, mean, softmax, sum, take
from .engine.scopes import scope
from .engine.table import Primitive as _Primitive
from .engine.table import primitive
from .engine.transforms import grad, gradients, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from .engine.vectors import read_data, write_data
from .engine.while_loops import while_loop

__all__ = [
    "AnomalyError",
    "ShardError",
    "TraceError",
    "Value",
    "__version__",
    "backend",
    "compile",
    "detect_anomaly",
    "dot",
    "fixed_point",
    "grad",
    "gradients",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "logsumexp",
    "mean",
    "no_grad",
    "primitive",
    "read_data",
    "root",
    "scan",
    "scope",
    "softmax",
    "sum",
    "take",
    "value_and_grad",
    "vjp",
    "while_loop",
    "write_data",
]
__all__ += [name for name, row in vars(_functions).items() if isinstance(row, _Primitive)]
__all__.sort()

if TYPE_CHECKING:  # and not __getattr__, which would hide that a name is misspelt
    from . import backprop as backprop
    from . import checking as checking
    from . import compiler as compiler
    from . import nn as nn
    from . import viz as viz
    from .compiler import ShardError, compile
else:

    def __getattr__(name: str) -> Any:
        # The rooms above the engine, such as cr.nn and cr.viz, are imported when they are first
        # used.
        if name in _ROOMS:
            return importlib.import_module(f"{__name__}.{name}")
        if name in _COMPILER:
            return getattr(importlib.import_module(f"{__name__}.compiler"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_ROOMS = ("backprop", "checking", "compiler", "nn", "viz")
_COMPILER = ("ShardError", "compile")


def __dir__() -> list[str]:
    """Return what is public, and not what this module is made with."""
    dunders = {name for name in globals() if name.startswith("__")}
    return sorted({*__all__, *_ROOMS, *dunders})
