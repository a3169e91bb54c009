"""chainrule: scalar reverse-mode automatic differentiation that shows its work.

>>> import chainrule as cr
>>> w, x, b = cr.Value(2.0, "w"), cr.Value(-2.0, "x"), cr.Value(8.0, "b")
>>> loss = cr.square(w * x + b - 2.0) / 2
>>> loss.backward()
>>> loss.data, w.grad, b.grad
(2.0, -4.0, 2.0)
"""

import importlib
from typing import Any

from ._version import __version__
from .engine.backend import Value, backend
from .engine.modes import AnomalyError, TraceError, detect_anomaly, no_grad
from .engine.reductions import dot, logsumexp, mean, softmax, sum, take
from .engine.table import absolute as abs
from .engine.table import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cbrt,
    cos,
    cosh,
    equal,
    erf,
    erfc,
    exp,
    exp2,
    expm1,
    gelu,
    hypot,
    leaky_relu,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logsigmoid,
    maximum,
    minimum,
    primitive,
    relu,
    sigmoid,
    sign,
    silu,
    sin,
    sinh,
    softplus,
    sqrt,
    square,
    step,
    tan,
    tanh,
    where,
)
from .engine.transforms import grad, gradients, hessian, hvp, jacobian, jvp, value_and_grad, vjp

__all__ = [
    "AnomalyError",
    "TraceError",
    "Value",
    "__version__",
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "backend",
    "cbrt",
    "compile",
    "cos",
    "cosh",
    "detect_anomaly",
    "dot",
    "equal",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "gelu",
    "grad",
    "gradients",
    "hessian",
    "hvp",
    "hypot",
    "jacobian",
    "jvp",
    "leaky_relu",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logsigmoid",
    "logsumexp",
    "maximum",
    "mean",
    "minimum",
    "no_grad",
    "primitive",
    "relu",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "sinh",
    "softmax",
    "softplus",
    "sqrt",
    "square",
    "step",
    "sum",
    "take",
    "tan",
    "tanh",
    "value_and_grad",
    "vjp",
    "where",
]

_ROOMS = ("backprop", "checking", "compiler", "nn", "viz")


def __getattr__(name: str) -> Any:
    # The rooms above the engine are imported when they are first asked for: cr.nn, cr.viz.
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "compile":
        return importlib.import_module(f"{__name__}.compiler").compile
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS, "compile"})
