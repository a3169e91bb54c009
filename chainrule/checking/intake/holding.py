"""Weights that an object or a module holds: where they are, and how to put others there.

Attributes, dictionaries and lists are looked through for matrices, in the order in which they were
made. Which of them are weights, names say, and shapes decide: one layer's outputs are the next
one's inputs.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np

from .answers import array_of
from .manner import Manner
from .names import block_of, gradient_of, may_hold_weights, order_of
from .weights import Block, shapes_of

Array = np.ndarray[Any, Any]
_DEEPEST = 4
IDLE = 0.7
_MOST = 4000


@dataclass(frozen=True, eq=False)
class Place:
    """Where an array is: in which container, under which name, attribute or index."""

    owner: Any
    key: Any
    path: str
    """The names on the way there, with dots."""
    is_attribute: bool

    @property
    def name(self) -> str:
        """The last name on the way, without indices."""
        return next((p for p in reversed(self.path.split(".")) if not p.isdigit()), "")

    @property
    def value(self) -> Any:
        return getattr(self.owner, self.key) if self.is_attribute else self.owner[self.key]

    def put(self, array: Array) -> None:
        """Put *array* there: into the array that is there, if it is one of this shape."""
        old = self.value
        if hasattr(old, "detach") and hasattr(old, "data"):
            import torch

            old.data = torch.tensor(array.reshape(tuple(old.shape)), dtype=torch.float64)
            if getattr(old, "grad", None) is not None:
                old.grad = None
            return
        new: Any = np.array(array, dtype=np.float64)
        if isinstance(old, np.ndarray):
            if old.dtype == np.float64 and old.shape == new.shape and old.flags.writeable:
                old[...] = new
                return
            new = new.reshape(old.shape) if old.size == new.size else new
        elif isinstance(old, list):
            new = new.reshape(np.shape(old)).tolist()
        elif isinstance(old, (int, float, np.number)):
            new = float(new.ravel()[0])
        if self.is_attribute:
            setattr(self.owner, self.key, new)
        else:
            self.owner[self.key] = new


def places(holder: Any) -> list[Place]:
    """Return where *holder* has arrays, in the order in which they were put there."""
    found: list[Place] = []
    seen: set[int] = set()

    def look(value: Any, path: str, depth: int) -> None:
        if id(value) in seen or len(seen) > _MOST or depth > _DEEPEST:
            return
        seen.add(id(value))
        for owner, key, is_attribute, item in _inside(value):
            name = f"{path}.{key}" if path else str(key)
            array = array_of(item)
            if array is not None and array.ndim in (1, 2) and array.size:
                if id(item) not in seen:
                    found.append(Place(owner, key, name, is_attribute))
                    seen.add(id(item))
            elif array is None:
                look(item, name, depth + 1)

    look(holder, "", 0)
    return found


def _inside(value: Any) -> Iterator[tuple[Any, Any, bool, Any]]:
    if isinstance(value, Mapping):
        for key in list(value):
            if not str(key).startswith("__"):
                yield value, key, False, value[key]
    elif isinstance(value, (list, tuple)):
        if len(value) <= 256:
            for index, item in enumerate(value):
                yield value, index, False, item
    elif hasattr(value, "named_parameters") and hasattr(value, "named_children"):
        for name, item in value.named_parameters(recurse=False):
            yield value, name, True, item
        for name, child in value.named_children():
            yield value, name, True, child
        for name, item in list(vars(value).items()):
            if not name.startswith("_"):
                yield value, name, True, item
    elif (
        hasattr(value, "__dict__")
        and not isinstance(value, (type, ModuleType))
        and not inspect.isroutine(value)
        and type(value).__module__ not in ("builtins", "functools", "numpy")
    ):
        for name, item in list(vars(value).items()):
            yield value, name, True, item


def _is_like(place: Place, kind: str) -> bool:
    block = block_of(place.name)
    if block is None:
        return ("weight" if kind == "W" else "bias") in place.name.lower()
    return block[0] == kind


@dataclass(frozen=True)
class Held:
    """Where the weights are, layer by layer, and how they are laid out."""

    weights: list[Place]
    biases: list[Place]
    turned: bool
    bias: str
    idle: Sequence[Place] = ()
    """Biases that are there, and are not used."""

    def put(self, made: Sequence[Block]) -> None:
        """Put these weights there."""
        for place, one in zip(self.weights, made, strict=True):
            place.put(one.W)
        for place, one in zip(self.biases, made, strict=False):
            if one.b is not None:
                place.put(one.b)
        for place in self.idle:  # whoever uses them all the same gets other numbers
            place.put(np.full(_array(place).shape, IDLE))

    def now(self) -> list[Array]:
        """Return copies of what is there: W1, b1, W2, ..."""
        return [
            np.array(array_of(place.value), dtype=np.float64)
            for pair in _together(self.weights, self.biases)
            for place in pair
        ]

    def grads(self) -> list[Array] | None:
        """Return what the arrays have as ``.grad``, None if one has none."""
        found = []
        for pair in _together(self.weights, self.biases):
            for place in pair:
                grad = array_of(getattr(place.value, "grad", None))
                if grad is None:
                    return None
                found.append(np.array(grad, dtype=np.float64))
        return found


def _together(weights: list[Place], biases: list[Place]) -> list[tuple[Place, ...]]:
    return list(zip(weights, biases, strict=True)) if biases else [(one,) for one in weights]


def _sorted(found: list[Place], kind: str) -> list[Place]:
    """Put those with numbers or words in their names in that order."""
    keys = [
        order_of(block[1], i) if (block := block_of(place.name)) and block[1] else (50, i)
        for i, place in enumerate(found)
    ]
    return [place for _, place in sorted(zip(keys, found, strict=True), key=lambda one: one[0])]


def _candidates(holder: Any) -> tuple[list[Place], list[Place]]:
    """Return the places of what may be weights, matrices first, and of what may be biases."""
    every = [place for place in places(holder) if _may_be(place)]
    matrices = [place for place in every if _array(place).ndim == 2 and not _is_like(place, "b")]
    known = [place for place in matrices if _is_like(place, "W") or _is_weights(place)]
    vectors = [place for place in every if _is_like(place, "b")]
    if not vectors:
        vectors = [place for place in every if 1 in (_array(place).ndim, *_array(place).shape)]
        vectors = [place for place in vectors if place not in known]
    return _sorted(known or matrices, "W"), _sorted(vectors, "b")


def _may_be(place: Place) -> bool:
    parts = [part for part in place.path.split(".") if not part.isdigit()]
    if any(gradient_of(part) is not None and block_of(part) is None for part in parts):
        return False
    return all(may_hold_weights(part) or block_of(part) is not None for part in parts)


def _is_weights(place: Place) -> bool:
    return any(
        block is not None and block[0] == "W" for block in map(block_of, place.path.split("."))
    )


def _array(place: Place) -> Array:
    array = array_of(place.value)
    assert array is not None
    return array


_HOW = [(turned, joint) for joint in (False, True) for turned in (False, True)]


def find(holder: Any, sizes: Sequence[int]) -> Held | None:
    """Return where *holder* has the weights of a network of these *sizes*; None if nowhere."""
    matrices, vectors = _candidates(holder)
    if len(matrices) >= len(sizes) and any(
        len(whole) == len(matrices) + 1 for whole in sizes_of(holder)
    ):
        return None  # it is a deeper network, of which this would be a part
    for turned, joint in _HOW:
        chosen: list[Place] = []
        for inputs, units in pairwise(sizes):
            shape = (units, inputs + joint)
            wanted = shape[::-1] if turned else shape
            place = next(
                (p for p in matrices if p not in chosen and _array(p).shape == wanted), None
            )
            if place is None:
                break
            chosen.append(place)
        if len(chosen) == len(sizes) - 1:
            if joint:
                return Held(chosen, [], turned, "first")
            biases = _biases(vectors, chosen, sizes[1:])
            bias = "none" if biases is None else _form(biases)
            return Held(chosen, biases or [], turned, bias)
    return _one_unit(holder, sizes[0]) if tuple(sizes[1:]) == (1,) else None


def _one_unit(holder: Any, inputs: int) -> Held | None:
    """Return where *holder* has a vector of weights, and a number beside it for the bias."""
    vectors = [
        place for place in places(holder)
        if _array(place).shape == (inputs,) and _may_be(place) and _is_like(place, "W")
    ]  # fmt: skip
    numbers = [
        Place(owner, key, str(key), is_attribute)
        for owner, key, is_attribute, item in _inside(holder)
        if isinstance(item, (int, float, np.number)) and not isinstance(item, bool)
        and (block_of(str(key)) or ("", ""))[0] == "b"
    ]  # fmt: skip
    if not vectors:
        return None
    return Held(vectors[:1], numbers[:1], False, "flat" if numbers else "none")


def _biases(vectors: list[Place], taken: list[Place], units: Sequence[int]) -> list[Place] | None:
    chosen: list[Place] = []
    for count in units:
        place = next(
            (p for p in vectors if p not in chosen and p not in taken and _fits(_array(p), count)),
            None,
        )
        if place is None:
            return None
        chosen.append(place)
    return chosen


def _fits(array: Array, count: int) -> bool:
    return array.size == count and (array.ndim == 1 or 1 in array.shape)


def _form(biases: list[Place]) -> str:
    shapes = [_array(place).shape for place in biases]
    if all(len(shape) == 1 for shape in shapes):
        return "flat"
    return "row" if all(len(shape) == 2 and shape[0] == 1 for shape in shapes) else "column"


def sizes_of(holder: Any) -> list[tuple[int, ...]]:
    """Return what the sizes of the network that *holder* holds may be, the likeliest first."""
    matrices, vectors = _candidates(holder)
    found: list[tuple[int, ...]] = []
    for turned, joint in _HOW:
        shapes = [_array(p).shape[:: 1 if turned else -1] for p in matrices]
        ends = [(int(rows) - joint, int(columns)) for rows, columns in shapes]
        if not ends or any(inputs < 1 for inputs, _ in ends):
            continue
        if all(before[1] == after[0] for before, after in pairwise(ends)):
            sizes = (ends[0][0], *(units for _, units in ends))
            if joint or _biases(vectors, list(matrices), sizes[1:]) is not None:
                found.insert(0, sizes)
            else:
                found.append(sizes)
    return list(dict.fromkeys(found))


def manner_of(held: Held, like: Manner) -> Manner:
    """Return *like* with the layout of what is held."""
    return replace(like, container="held", turned=held.turned, bias=held.bias)


def stored(holder: Any, held: Held, thetas: Sequence[Array], manner: Manner) -> Any:
    """Return the gradients that *holder* stores beside its weights: W1, b1, ...; None if none."""
    grads = held.grads()
    if grads is not None:
        return grads
    taken = {place.path for place in (*held.weights, *held.biases)}
    others = [
        place
        for place in places(holder)
        if place.path not in taken and _looks_like_a_gradient(place)
    ]
    like = shapes_of(thetas, manner)
    weights = _stored(others, "W", [one.W.shape for one in like], held.weights)
    if weights is None:
        return None
    if not held.biases:
        return weights
    biases = _stored(
        [place for place in others if all(_array(place) is not w for w in weights)],
        "b",
        [one.b.shape for one in like if one.b is not None],
        held.biases,
    )
    if biases is None:
        return weights
    return [array for pair in zip(weights, biases, strict=True) for array in pair]


def _looks_like_a_gradient(place: Place) -> bool:
    parts = [part for part in place.path.split(".") if not part.isdigit()]
    return any(gradient_of(part) is not None or "grad" in part.lower() or "nabla" in part.lower()
               or part.lower() in ("dw", "db") for part in parts)  # fmt: skip


def _stored(
    others: list[Place], kind: str, shapes: list[Any], beside: list[Place]
) -> list[Array] | None:
    """Return for each layer a gradient of its shape, that beside its weights if there are more."""
    chosen: list[Place] = []
    for shape, weight in zip(shapes, beside, strict=True):
        fitting = [
            place
            for place in others
            if place not in chosen
            and _kind(place) in (kind, "")
            and (
                _array(place).shape == shape
                or (kind == "b" and _array(place).size == int(np.prod(shape)))
            )
        ]
        near = [p for p in fitting if p.path.rpartition(".")[0] == weight.path.rpartition(".")[0]]
        numbered = [p for p in near or fitting if _where(p) == _where(weight)]
        place = next(iter(numbered or near or fitting), None)
        if place is None:
            return None
        chosen.append(place)
    return [_array(place) for place in chosen]


def _kind(place: Place) -> str:
    for part in reversed(place.path.split(".")):
        found = gradient_of(part) or block_of(part)
        if found is not None:
            return found[0]
    return ""


def _where(place: Place) -> str:
    found = gradient_of(place.name) or block_of(place.name)
    return found[1] if found is not None else ""
