"""What is handed to each parameter, in the form that a manner says, and what became of it."""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from .answers import array_of
from .manner import Manner, Step
from .names import block_of, order_of, plain
from .weights import Array, Block, flat, named, numbered, packed

RATE = 0.5
"""The learning rate that a training step is given."""


class Network(Protocol):
    """What a call needs of a problem."""

    @property
    def thetas(self) -> Sequence[Array]: ...
    @property
    def X(self) -> Array: ...  # noqa: N802 (the notes' letters)
    @property
    def Y(self) -> Array: ...  # noqa: N802
    @property
    def lam(self) -> float: ...


class CannotCallError(Exception):
    """The program cannot be called in this manner."""


class Hand:
    """What is handed to each parameter, and what became of it."""

    def __init__(
        self, given: Network, made: list[Block], X: Any, Y: Any, manner: Manner, parts: int
    ) -> None:
        self.given, self.made, self.manner, self.parts = given, made, manner, parts
        self.X, self.Y = X, Y
        self._mine = [Block(one.W.copy(), None if one.b is None else one.b.copy()) for one in made]
        self._package = packed(self._mine, manner)
        self._output: Any = None
        self._cache: Any = None
        self._named: dict[str, Any] = {}
        self._arrays: list[tuple[str, Any, Any]] = []
        self._handed: dict[str, Any] = {}

    def arguments(self, step: Step) -> tuple[list[Any], dict[str, Any]]:
        by_position, by_name = [], {}
        blocks_here = [role for _, role in step.arguments if block_of(role) and block_of(role)[1]]  # type: ignore[index]
        for name, role in step.arguments:
            value = self._value(role, blocks_here)
            if role in ("X", "Y", "thetas"):
                self._arrays.append((role, value, copy.deepcopy(value)))
            if name:
                by_name[name] = value
            else:
                by_position.append(value)
        return by_position, by_name

    def _value(self, role: str, blocks_here: list[str]) -> Any:
        manner, given = self.manner, self.given
        if role.startswith("number:"):
            return float(role[7:]) if not role[7:].isdigit() else int(role[7:])
        if role.startswith("named:"):
            return self._by_name(role[6:])
        if role in blocks_here:
            return self._block(role, blocks_here)
        if role.startswith("size") and role[4:].isdigit():
            return sizes_of(given)[int(role[4:])]
        if role == "output" and self._output is None:
            raise CannotCallError("the output of a forward pass")
        if role == "pairs":
            return self._pairs()
        values: dict[str, Callable[[], Any]] = {
            "thetas": lambda: _in_library(self._package, manner),
            "weights": lambda: _in_library(self._list([one.W for one in self._mine]), manner),
            "biases": lambda: _in_library(self._list([one.b for one in self._mine]), manner),
            "X": lambda: _in_library(self.X, manner),
            "Y": lambda: _in_library(self.Y, manner),
            "lam": lambda: given.lam / self.parts,
            "rate": lambda: manner.rate or RATE,
            "epochs": lambda: 1,
            "flag": lambda: False,
            "keep": lambda: 1.0,
            "drop": lambda: 0.0,
            "m": lambda: len(given.X) if self.parts == 1 else 1,
            "sizes": lambda: list(sizes_of(given)),
            "sizeK": lambda: sizes_of(given)[-1],
            "hidden_sizes": lambda: list(sizes_of(given)[1:-1]),
            "output": lambda: self._output,
            "cache": lambda: self._cache,
        }
        if role not in values:
            raise CannotCallError(f"nothing is known of {role}")
        if role in ("thetas", "weights", "biases"):
            if role not in self._handed:  # all steps share one, so that they see what changes
                self._handed[role] = values[role]()
            return self._handed[role]
        return values[role]()

    def _list(self, arrays: list[Any]) -> Any:
        if self.manner.container == "separate":  # a network of one layer
            return arrays[0]
        return numbered(arrays, self.manner) if self.manner.container == "numbered" else arrays

    def _block(self, role: str, blocks_here: list[str]) -> Any:
        kind, _ = block_of(role) or ("W", "")
        same = [one for one in blocks_here if (block_of(one) or "W")[0] == kind]
        keys = {
            one: order_of((block_of(one) or ("W", ""))[1], place) for place, one in enumerate(same)
        }
        number = sorted(same, key=lambda one: keys[one]).index(role)
        if len(same) != len(self._mine):
            raise CannotCallError(f"weights of {len(same)} layers")
        block, key = self._mine[number], f"{kind}{number}"
        if key not in self._handed:
            self._handed[key] = _in_library(block.W if kind == "W" else block.b, self.manner)
        return self._handed[key]

    def _pairs(self) -> list[tuple[Any, Any]]:
        """Return (x, y) of each example, as columns, or as vectors."""
        X: Any = self.given.X
        Y: Any = targets_of(self.given.Y, self.manner)
        if self.manner.examples == "one-pair":
            X, Y = [self.X], [self.Y]
        column = self.manner.bias == "column" or self.manner.examples == "one-column"
        if column:
            return [(x[:, None], y[:, None] if np.ndim(y) else y) for x, y in
                    zip(X, Y, strict=True)]  # fmt: skip
        return list(zip(X, Y, strict=True))

    def forward(self, returned: Any, function: Any) -> None:
        """Take note of what a forward pass returned."""
        names = returned_names(function)
        self._cache = returned
        if isinstance(returned, tuple):
            if len(names) == len(returned):
                self._named |= dict(zip(names, returned, strict=True))
            arrays = [array_of(item) for item in returned]
            if arrays and arrays[0] is not None and any(array is None for array in arrays[1:]):
                self._output = returned[0]
                self._cache = returned[1] if len(returned) == 2 else returned[1:]
            elif arrays and arrays[-1] is not None and arrays[0] is None:
                self._output, self._cache = returned[-1], returned[0]
            elif arrays:
                rows = self.Y.shape if hasattr(self.Y, "shape") else None
                like = [item for item in returned if getattr(item, "shape", None) == rows]
                self._output = like[-1] if like else returned[-1]
        elif isinstance(returned, Mapping):
            self._named |= {str(name): value for name, value in returned.items()}
            values = [value for value in returned.values() if array_of(value) is not None]
            like = [v for v in values if np.shape(v) == np.shape(self.Y)]
            self._output = (like or values or [None])[-1]
        elif isinstance(returned, list):
            self._output = returned[-1] if returned else None
        else:
            self._output = returned
        if isinstance(self._cache, Mapping):
            self._named |= {str(name): value for name, value in self._cache.items()}

    def _by_name(self, name: str) -> Any:
        wanted = plain(name)
        for known, value in self._named.items():
            if plain(known) == wanted:
                return value
        raise CannotCallError(f"{name}, which the forward pass does not return by this name")

    def now(self) -> list[Array]:
        """Return the weights that were handed over as they are now: W1, b1, W2, ..."""
        package, container, values = self._handed.get("thetas"), self.manner.container, None
        if package is None:
            values = self._apart_now()
        elif container == "dict":
            values = [package.get(name) for name in named(self.made, self.manner)]
        elif container in ("thetas", "alternating"):
            values = list(package)
        elif container == "separate":
            values = [package]
        elif container == "numbered":
            values = list(package.values())
        elif container == "neurons":
            weight = self.manner.names.partition(",")[0]
            values = [[unit[weight] for unit in layer] for layer in package]
        elif container == "pairs":
            values = [part for pair in package for part in pair]
        if values is None:
            return []
        before = flat(self.made)
        arrays = [array_of(value) for value in values]
        if len(arrays) != len(before) or any(
            array is None or array.size != old.size
            for array, old in zip(arrays, before, strict=True)
        ):
            return []
        return [np.array(array, dtype=np.float64).reshape(old.shape)
                for array, old in zip(arrays, before, strict=True)]  # fmt: skip

    def _apart_now(self) -> list[Any] | None:
        """Return W1, b1, W2, ... where they are handed over apart, None where they are not."""
        handed = self._handed
        if "weights" in handed:
            groups = [handed[role] for role in ("weights", "biases") if role in handed]
            if self.manner.container == "separate":
                return groups
            lists = [[*group.values()] if isinstance(group, dict) else [*group] for group in groups]
            if len({len(one) for one in lists}) != 1:
                return None
            return [part for layer in zip(*lists, strict=True) for part in layer]
        keys = [f"{kind}{number}" for number, one in enumerate(self._mine)
                for kind in ("W", "b") if kind == "W" or one.b is not None]  # fmt: skip
        return [handed[key] for key in keys] if set(keys) <= set(handed) else None

    def changed(self) -> tuple[str, ...]:
        """Return the names of the arguments that were written to."""
        names = []
        for role, now, before in self._arrays:
            if not _alike(now, before):
                names.append(role)
        return tuple(names)


def _alike(one: Any, two: Any) -> bool:
    if isinstance(one, Mapping):
        return set(one) == set(two) and all(_alike(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(_alike, one, two))
    first, second = array_of(one), array_of(two)
    return first is None or second is None or np.array_equal(first, second, equal_nan=True)


def _in_library(value: Any, manner: Manner) -> Any:
    """Return arrays, in whatever container, as the library has them."""
    if manner.library == "numpy":
        return value
    if isinstance(value, Mapping):
        return {name: _in_library(item, manner) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_in_library(item, manner) for item in value)
    if manner.library == "lists":
        return value.tolist() if isinstance(value, np.ndarray) else value
    if isinstance(value, np.ndarray):
        import torch

        kind = torch.int64 if value.dtype.kind in "iu" else torch.float64
        return torch.tensor(value, dtype=kind)
    return value


def sizes_of(given: Network) -> tuple[int, ...]:
    """Return the number of units of each layer, the input first."""
    return (given.X.shape[1], *(len(theta) for theta in given.thetas))


def targets_of(Y: Array, manner: Manner) -> Array:
    """Return the targets of all examples as *manner* has them."""
    if manner.labels:
        labels: Array = Y.argmax(axis=1) + int(manner.targets[-1])
        return labels[:, None] if "column" in manner.targets else labels
    return Y[:, 0].copy() if manner.targets == "flat" else Y


def batches_of(given: Network, manner: Manner) -> Iterator[tuple[Any, Any]]:
    """Yield the examples with their targets: all at once, or one after the other."""
    X, Y = given.X, targets_of(given.Y, manner)
    if manner.whole:
        turn = manner.examples.startswith("columns")
        if manner.examples.endswith("ones"):
            X = np.insert(X, X.shape[1] if manner.bias == "last" else 0, 1.0, axis=1)
        yield (X.T if turn else X).copy(order="C"), (Y.T if turn else Y).copy(order="C")
        return
    for x, y in zip(X, Y, strict=True):
        if manner.examples in ("one-flat", "one-pair"):
            yield x.copy(), y.copy() if np.ndim(y) else y
        elif manner.examples == "one-labelled":
            yield np.append(x, np.argmax(y) if np.ndim(y) else y), y.copy() if np.ndim(y) else y
        elif manner.examples.startswith("one-stacked"):
            turn = manner.examples.endswith("column")
            yield x[None, :, None] if turn else x[None, None], _stacked(y, turn)
        elif manner.examples == "one-column":
            yield x[:, None].copy(), y[:, None].copy() if np.ndim(y) else y
        else:
            yield x[None].copy(), y[None].copy() if np.ndim(y) else np.array([y])


def _stacked(y: Any, turn: bool) -> Array:
    if np.ndim(y) == 0:
        return np.array([y])
    stacked: Array = y[None, :, None] if turn else y[None, None]
    return stacked


def returned_names(function: Any) -> list[str]:
    """Return the names in the last ``return a, b, c`` of *function*, none if it has none."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, IndentationError):
        return []
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            parts = node.value.elts
            names = [part.id if isinstance(part, ast.Name) else "" for part in parts]
    return names
