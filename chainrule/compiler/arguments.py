"""What a compiled function is called with: an array for each argument, a row for each example."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .batches import Array, floats

_FLOAT = np.dtype(np.float64)


class Arguments:
    """The arguments of a function as its calls name, count and check them.

    *name* is that of the function in messages.
    """

    def __init__(self, name: str, function: Callable[..., Any] | None):
        self._name = name
        self._signature = _signature(function)
        self._names = _parameter_names(self._signature)
        self._right: int | None = None  # a number of arguments that is known to be right

    def names(self, count: int) -> list[str]:
        """Return the names of the first *count* arguments."""
        names = self._names[:count]
        return names + [f"x{i}" for i in range(len(names), count)]

    def told(self, count: int) -> list[str]:
        """Return how messages name the first *count* arguments."""
        return [f"{self._name}: argument {name}" for name in self.names(count)]

    def batch(self, arrays: tuple[Any, ...]) -> tuple[Array, ...]:
        """Return *arrays* as arrays of float, all with the same number of examples."""
        self.check_count(arrays)
        for x in arrays:
            if (
                type(x) is not np.ndarray
                or x.dtype is not _FLOAT
                or not x.ndim
                or not x.flags.aligned
            ):
                return self._converted(arrays)
            if len(x) != len(arrays[0]):
                return self._converted(arrays)  # which says so
        return arrays

    def _converted(self, arrays: Sequence[Any]) -> tuple[Array, ...]:
        """Return *arrays*, lists or anything else, as arrays of float."""
        told = self.told(len(arrays))
        batch = [floats(given, name) for name, given in zip(told, arrays, strict=True)]
        self.check_examples(batch)
        return tuple(batch)

    def check_examples(self, batch: Sequence[Any]) -> None:
        """Raise ValueError unless all of *batch* have the same number of examples."""
        shapes = [tuple(x.shape) for x in batch]
        for name, shape in zip(self.names(len(batch)), shapes, strict=True):
            if shape[0] != shapes[0][0]:
                first = self.names(1)[0]
                raise ValueError(
                    f"{self._name}: argument {first} has shape {shapes[0]} and {name} "
                    f"{shape}; expected the same number of examples, along the first axis"
                )

    def check_count(self, arrays: Sequence[Any]) -> None:
        """Raise TypeError unless the function can be called with that many arguments."""
        if len(arrays) == self._right:
            return
        if self._signature is not None:
            try:
                self._signature.bind(*arrays)
            except TypeError as error:
                raise TypeError(
                    f"{self._name}{self._signature}: {error}; expected an array for each argument, "
                    "by position, with a row per example"
                ) from None
        if not arrays:
            raise TypeError(
                f"{self._name} is called without a batch; to compile a graph that needs none, "
                f"compile its root: cr.compile({self._name}())"
            )
        self._right = len(arrays)

    def described(self, batch: Sequence[Array]) -> str:
        """Return a description of the example of *batch* that the function is recorded on."""
        told = [
            f"{name} {f'of shape {x.shape[1:]}' if x.ndim > 1 else 'a single number'}, from an "
            f"array of shape {x.shape}"
            for name, x in zip(self.names(len(batch)), batch, strict=True)
        ]
        return (
            f"{self._name} was called with one example, {' and '.join(told)}; the first axis of an "
            "array counts the examples"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_signature": None}  # its defaults may be anything


def capital(name: str) -> str:
    """Return the name of the array whose rows are called *name*: X for x."""
    return name.upper() if len(name.rstrip("0123456789")) == 1 else name


def _signature(function: Callable[..., Any] | None) -> inspect.Signature | None:
    """Return the signature of *function* without annotations; None if it has none."""
    try:
        signature = inspect.signature(function)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    bare = [x.replace(annotation=x.empty) for x in signature.parameters.values()]
    return inspect.Signature(bare)


def _parameter_names(signature: inspect.Signature | None) -> list[str]:
    """Return the names of the positional parameters, as far as they are known."""
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = signature.parameters.values() if signature else ()
    return [x.name for x in parameters if x.kind in plain]
