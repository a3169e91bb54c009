"""Where the numbers of a plan are while it is printed: places that are written become names.

A plan writes into places and uses them again; a pure function cannot.  So each write is a new name,
and a place is known by the name that holds it now, alone or with others as the rows of an array.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...addresses import AnyArray
from ..rows import ATOM
from .elementwise import Rows, Term

_FEW = 16  # pieces that are put side by side; of more, all parts are, and places are gathered


class Held(NamedTuple):
    """Numbers that were written together."""

    text: str
    size: int | None
    """How many rows there are, or None: it is one number, not an array with a row."""
    lanes: bool
    """Whether there is a number for each example."""
    plain: bool = False
    """Whether it is a number of Python's."""
    binds: int = ATOM


class Space:
    """One space of a plan."""

    def __init__(self, rows: Rows, size: int, lanes: bool):
        self.rows, self.lanes = rows, lanes
        self.owner = np.full(size, -1)
        self.place = np.zeros(size, dtype=np.int64)
        self.held: list[Held] = []

    def copied(self) -> Space:
        """Return a memory that holds the same, to be written apart from this one."""
        other = Space(self.rows, 0, self.lanes)
        other.owner, other.place = self.owner.copy(), self.place.copy()
        other.held = list(self.held)
        return other

    def write(self, address: int, held: Held) -> None:
        """Note that one number is at *address* now."""
        self.owner[address], self.place[address] = len(self.held), 0
        self.held.append(held)

    def write_many(self, addresses: AnyArray, text: str) -> None:
        """Note that the rows of the array *text* are at *addresses* now."""
        self.owner[addresses] = len(self.held)
        self.place[addresses] = np.arange(len(addresses))
        self.held.append(Held(text, len(addresses), self.lanes))

    def knows(self, address: int) -> bool:
        """Return whether anything was written at *address*."""
        return bool(self.owner[address] >= 0)

    def at(self, address: int) -> tuple[Term, bool]:
        """Return the number at *address*, and whether it is one for each example."""
        held = self.held[self.owner[address]]
        if held.size is None:
            return Term(held.text, held.binds, held.plain), held.lanes
        k = int(self.place[address])
        return Term(f"{held.text}[{k}, :]" if self.lanes else f"{held.text}[{k}]", ATOM), held.lanes

    def row(self, address: int) -> str:
        """Return the number at *address* with all its lanes, if this space has lanes."""
        term, lanes = self.at(address)
        if lanes or not self.lanes:
            return self.rows.array(term)
        if term.plain:
            return f"{self.rows.helper('full')}((m,), {term.text})"
        return f"xp.broadcast_to({term.text}, (m,))"

    def many(self, addresses: AnyArray) -> str:
        """Return the numbers at *addresses* as the rows of an array."""
        rest = ", :" if self.lanes else ""
        owners, places = self.owner[addresses], self.place[addresses]
        single = np.array([x.size is None for x in self.held])[owners]
        breaks = (np.diff(owners) != 0) | (np.diff(places) != 1) | single[1:] | single[:-1]
        edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(addresses)]
        if len(edges) > _FEW and not single.all():
            evenly = self._evenly(owners, places)
            return self._gathered(owners, places) if evenly is None else evenly
        texts = []
        for a, b in itertools.pairwise(edges):
            held = self.held[owners[a]]
            if held.size is None:
                texts.append(f"{self.row(int(addresses[a]))}[None{rest}]")
                continue
            start, stop = int(places[a]), int(places[b - 1]) + 1
            whole = (start, stop) == (0, held.size)
            texts.append(held.text if whole else f"{held.text}[{start}:{stop}{rest}]")
        return self._joined(texts)

    def _evenly(self, owners: AnyArray, places: AnyArray) -> str | None:
        """Return evenly spaced rows of one array as a slice of it, turned if they go back."""
        steps = np.unique(np.diff(places))
        if (owners != owners[0]).any() or len(steps) != 1 or not steps[0]:
            return None
        hop, low, high = abs(int(steps[0])), int(places.min()), int(places.max())
        each = f":{hop}" if hop > 1 else ""
        rest = ", :" if self.lanes else ""
        text = f"{self.held[owners[0]].text}[{low}:{high + 1}{each}{rest}]"
        return text if steps[0] > 0 else f"{self.rows.helper('turned')}({text}, 0)"

    def _joined(self, texts: Sequence[str]) -> str:
        if len(texts) == 1:
            return texts[0]
        return f"{self.rows.helper('concat')}([{', '.join(texts)}], 0)"

    def _gathered(self, owners: AnyArray, places: AnyArray) -> str:
        used, texts, starts, top = np.unique(owners).tolist(), [], {}, 0
        rest = ", :" if self.lanes else ""
        for n in used:
            held = self.held[n]
            address = int(np.flatnonzero(self.owner == n)[0])
            texts.append(held.text if held.size else f"{self.row(address)}[None{rest}]")
            starts[n], top = top, top + (held.size or 1)
        index = np.array([starts[n] for n in owners.tolist()]) + places
        name = self.rows.constant(index)
        return f"{self.rows.helper('take')}({self._joined(texts)}, {name}, 0)"
