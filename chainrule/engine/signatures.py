"""How type checkers see the operators of a Value: a plain array gives an array."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, SupportsFloat, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .value import Value

Array = NDArray[Any]  # of numbers or of Values: NumPy's types cannot tell
Mask = NDArray[np.bool_]


class _Arithmetic(Protocol):
    """An operator of a Value and a number; with a plain array, an array of Values."""

    @overload
    def __call__(self, other: Array, /) -> Array: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, other: Value | SupportsFloat, /) -> Value: ...


class _Comparison(Protocol):
    """A comparison of a Value with a number; with a plain array, an array of bools."""

    @overload
    def __call__(self, other: Array, /) -> Mask: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, other: Value | SupportsFloat, /) -> bool: ...


def arithmetic(method: Callable[[Any, Any], Any]) -> _Arithmetic:
    """Return *method*, which is an operator."""
    return method  # type: ignore[return-value]  # it is bound when it is called


def comparison(method: Callable[[Any, Any], Any]) -> _Comparison:
    """Return *method*, which is a comparison."""
    return method  # type: ignore[return-value]  # likewise
