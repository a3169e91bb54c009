"""An array that is written part by part, as what it is put together from in the end.

Each element of an example comes from one part, or is the number that the array was filled with.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ...addresses import AnyArray, Shape
from .elementwise import Rows, number_term


@dataclass
class WrittenPart:
    """What was written, as text, and its shape for one example."""

    text: str
    shape: Shape


@dataclass
class Parts:
    """Where each element of an array comes from."""

    shape: Shape
    batched: bool
    fill: float
    parts: list[WrittenPart] = field(default_factory=list)

    def __post_init__(self) -> None:
        size = math.prod(self.shape)
        self.owner = np.full(size, -1)
        self.place = np.zeros(size, dtype=np.int64)

    def write(self, addresses: AnyArray, part: WrittenPart) -> None:
        """Note that *part* was written at *addresses*, in this order."""
        at = addresses.ravel()
        self.owner[at] = len(self.parts)
        self.place[at] = np.arange(len(at))
        self.parts.append(part)

    def is_zero(self, addresses: AnyArray) -> bool:
        """Return whether nothing but 0.0 is at *addresses*."""
        return self.fill == 0.0 and bool((self.owner[addresses.ravel()] < 0).all())

    def part_at(self, addresses: AnyArray) -> tuple[WrittenPart, AnyArray] | None:
        """Return the one part that has all *addresses*, and where they are in it."""
        owners = self.owner[addresses.ravel()]
        if len(owners) == 0 or owners[0] < 0 or (owners != owners[0]).any():
            return None
        return self.parts[owners[0]], self.place[addresses]

    # --- putting together ------------------------------------------------------------------------

    def whole(self, rows: Rows, shaped: Callable[[Shape], str]) -> str:
        """Return the whole array as text; *shaped* writes a shape."""
        runs = self._runs()
        if not runs:
            return self._filled(rows, shaped, self.shape)
        if len(runs) == 1 and runs[0][0] >= 0:
            part = self.parts[runs[0][0]]
            if self._is_all_of(0, len(self.owner), part):
                return (
                    part.text if part.shape == self.shape else _reshaped(part, shaped, self.shape)
                )
        along = self._along(rows, shaped)
        if along is not None:
            return along
        return self._gathered(rows, shaped)

    def _runs(self) -> list[tuple[int, int, int]]:
        """Return owner, start and stop of the stretches that come from one part."""
        cuts = np.flatnonzero(np.diff(self.owner)) + 1
        edges = [0, *cuts.tolist(), len(self.owner)]
        return [(int(self.owner[a]), a, b) for a, b in itertools.pairwise(edges)]

    def _is_all_of(self, start: int, stop: int, part: WrittenPart) -> bool:
        size = math.prod(part.shape)
        return stop - start == size and bool((self.place[start:stop] == np.arange(size)).all())

    def _filled(self, rows: Rows, shaped: Callable[[Shape], str], shape: Shape) -> str:
        return f"{rows.helper('full')}({shaped(shape)}, {number_term(self.fill).text})"

    def _along(self, rows: Rows, shaped: Callable[[Shape], str]) -> str | None:
        """Return the parts side by side along one axis; None if they do not lie so."""
        owner, place = (x.reshape(self.shape) for x in (self.owner, self.place))
        for axis in reversed(range(len(self.shape))):
            across = np.moveaxis(owner, axis, 0).reshape(self.shape[axis], -1)
            if (across != across[:, :1]).any():
                continue
            line = across[:, 0]
            edges = [0, *(np.flatnonzero(np.diff(line)) + 1).tolist(), len(line)]
            texts = []
            for a, b in itertools.pairwise(edges):
                shape = (*self.shape[:axis], b - a, *self.shape[axis + 1 :])
                if line[a] < 0:
                    texts.append(self._filled(rows, shaped, shape))
                    continue
                part = self.parts[line[a]]
                places = np.take(place, range(a, b), axis=axis)
                if (
                    places.size != math.prod(part.shape)
                    or (places.ravel() != np.arange(places.size)).any()
                ):
                    break
                texts.append(part.text if part.shape == shape else _reshaped(part, shaped, shape))
            else:
                where = axis - len(self.shape)
                if len(texts) == 1:
                    return texts[0]
                return f"{rows.helper('concat')}([{', '.join(texts)}], {where})"
        return None

    def _gathered(self, rows: Rows, shaped: Callable[[Shape], str]) -> str:
        """Return all parts one after another, and the elements gathered from there."""
        used = [int(n) for n in np.unique(self.owner) if n >= 0]
        texts, starts, at = [], {}, 0
        for n in used:
            part = self.parts[n]
            size = math.prod(part.shape)
            starts[n], at = at, at + size
            texts.append(part.text if part.shape == (size,) else _reshaped(part, shaped, (size,)))
        if (self.owner < 0).any():
            starts[-1] = at
            texts.append(self._filled(rows, shaped, (1,)))
        first = np.array([starts.get(n, 0) for n in range(-1, len(self.parts))])
        index = first[self.owner + 1] + np.where(self.owner < 0, 0, self.place)
        joined = (
            texts[0] if len(texts) == 1 else f"{rows.helper('concat')}([{', '.join(texts)}], -1)"
        )
        name = rows.constant(index)
        text = f"{rows.helper('take')}({joined}, {name})"
        return text if len(self.shape) == 1 else f"xp.reshape({text}, {shaped(self.shape)})"


def _reshaped(part: WrittenPart, shaped: Callable[[Shape], str], shape: Shape) -> str:
    return f"xp.reshape({part.text}, {shaped(shape)})"
