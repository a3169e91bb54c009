"""Libraries by the names that ``cr.compile`` takes."""

from __future__ import annotations

import types
from typing import Any

from .cupy import CuPyLibrary
from .jax import JAXLibrary
from .library import PRECISIONS, Library, NumPyLibrary, of_module
from .torch import TorchLibrary

NAMES = ("native", "numpy", "jax", "torch", "cupy")


def library(backend: Any, dtype: Any, device: Any) -> Library:
    """Return the library that *backend* names; ImportError, which says what to install, without it.

    ValueError for another name, type of numbers or device.
    """
    precision = getattr(dtype, "__name__", None) or str(dtype).rpartition(".")[2]
    if precision not in PRECISIONS:
        raise ValueError(f"compile: dtype={dtype!r}; expected 'float64' or 'float32'")
    if isinstance(backend, types.ModuleType):
        return of_module(backend, precision, device)
    if backend == "numpy":
        import numpy as np

        return NumPyLibrary(np, precision, device)
    if backend == "jax":
        return JAXLibrary(precision, device)
    if backend == "torch":
        return TorchLibrary(precision, device)
    if backend == "cupy":
        return CuPyLibrary(precision, device)
    known = ", ".join(map(repr, NAMES))
    raise ValueError(
        f"compile: backend={backend!r}; expected one of {known}, or a module that follows the "
        "array API standard"
    )
