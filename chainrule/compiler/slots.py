"""When each node is computed: nodes at the edge of a row wait for it.

A node may be computed in any slot from the one after its operands, its earliest, to the one before
its users, its latest.  For most nodes of a simulation both are the same.  Those next to an edge,
whose neighbours are constants or parameters, could be computed much earlier than the others of
their row.  Then they would be unlike the others, and so would be their users, and the users of
these: of every row more and more would fall out of its group.

So a node that has few like it waits, if it belongs to a *row*: many nodes in its latest slot, which
have no choice, that are the same operation on as many operands and are used as it is.  It joins
them there, whatever its operands are.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engine import table as primitives
from .likeness import (
    CONSTANT,
    OPEN,
    OVER_CLASSES,
    SEGMENTED,
    UNIT,
    Digests,
    scattered,
    terms_of,
)
from .tape import ONE, Ids, Mask, Tape, depths, ranges, starts_of, wiring

_LEAST = 8  # nodes of a row
_LARGE = 4  # a row has so many times the nodes that may join it
_TERMS = 8  # longer sums are not added up term by term
_SAMPLE = 32  # nodes of a row that say how all are used
_APART = (primitives.softmax_entry, primitives.take_entry, *SEGMENTED, *OVER_CLASSES)
"""Operations whose groups have forms of their own."""


@dataclass(frozen=True, eq=False)
class _Row:
    """Nodes of one kind that can be computed in one slot only."""

    size: int
    sample: Ids
    uses: frozenset[int]
    """How at least half of them are used."""


class Slots:
    """The nodes of a tape, slot by slot; *colour* is filled in while they are gone through."""

    def __init__(self, tape: Tape, colour: Ids) -> None:
        self.tape, self.colour = tape, colour
        self._earliest = depths(tape)
        self._waiting: dict[int, list[Ids]] = {}
        self._slot: Ids | None = None  # the slot of each node, or one before it
        self._known: dict[tuple[int, int], _Row | None] = {}
        self._model: dict[int, int] = {}
        self._now = 0

    def __iter__(self) -> Iterator[Ids]:
        """Yield the nodes that can be computed in each slot: their operands are."""
        for slot, level in enumerate(self._levels, 1):
            self._now, nodes = slot, level
            if self._slot is not None:
                nodes = np.sort(np.concatenate([level, *self._waiting.pop(self._now, ())]))
                nodes = self._ready(nodes) if len(nodes) else nodes
            if len(nodes):
                yield nodes

    @functools.cached_property
    def _levels(self) -> list[Ids]:
        """The computed nodes by depth: a node is one deeper than its deepest operand."""
        computed = self.tape.computed
        if not len(computed):
            return []
        depth = self._earliest[computed]
        order = np.argsort(depth, kind="stable")
        return np.split(computed[order], np.cumsum(np.bincount(depth)[1:])[:-1])

    def models(self, nodes: Ids) -> Ids:
        """Return for each of *nodes*, which are in order, one of the row it joined, or itself."""
        if not self._model:
            return nodes
        joined = np.array(list(self._model), dtype=np.int64)
        there = np.isin(joined, nodes, assume_unique=True)
        found: Ids = nodes.copy()
        at = np.searchsorted(nodes, joined[there])
        found[at] = np.array(list(self._model.values()), dtype=np.int64)[there]
        return found

    def settle(self, buckets: dict[Any, list[Ids]]) -> None:
        """Take from *buckets*, of alike nodes, those that wait; let those of a row join it."""
        self._model = {}
        sizes = {key: sum(map(len, parts)) for key, parts in buckets.items()}
        large = [key for key, size in sizes.items() if size >= _LEAST]
        places: dict[_Row, tuple[Any, int] | None] = {}
        for key, size in sizes.items():
            if size >= _LEAST:
                continue
            nodes = np.concatenate(buckets[key]).tolist()
            stays = []
            for n in nodes:
                until = int(self._latest[n])
                row = self._row_of(n, until, size)
                if row is not None and until > self._now:
                    self._put_off(np.array([n]), np.array([until]))
                    continue
                if row is not None and row not in places:
                    places[row] = self._place_of(row, {k: buckets[k] for k in large})
                place = None if row is None else places[row]
                if place is None:
                    stays.append(n)
                else:
                    buckets[place[0]].append(np.array([n]))
                    self._model[n] = place[1]
            if not stays:
                del buckets[key]
            elif len(stays) < size:
                buckets[key] = [np.array(stays)]

    def _place_of(self, row: _Row, buckets: dict[Any, list[Ids]]) -> tuple[Any, int] | None:
        """Return the bucket that most of a *row* is in, and one of them, if others may join it."""
        for key, parts in buckets.items():
            there = row.sample[np.isin(row.sample, np.concatenate(parts))]
            if 2 * len(there) > len(row.sample):
                model = int(there[len(there) // 2])
                return (key, model) if self._may_be_joined(model) else None
        return None

    def _may_be_joined(self, model: int) -> bool:
        """Return whether a group with *model* in it is surely not a product of matrices."""
        tape = self.tape
        if tape.term_starts[model] == tape.term_starts[model + 1]:
            return True
        _, _, p, q, _ = terms_of(tape, np.array([model]), self.colour)
        computed = (q != UNIT) & (p != CONSTANT) & (q != CONSTANT)
        factors = Counter(zip(p[computed].tolist(), q[computed].tolist(), strict=True))
        return max(factors.values(), default=1) == 1

    # --- putting off -----------------------------------------------------------------------------

    def _ready(self, nodes: Ids) -> Ids:
        """Return which of *nodes* have their operands by now; the others are put off."""
        assert self._slot is not None
        starts, inputs = self._wiring
        counts = starts[nodes + 1] - starts[nodes]
        slots = self._slot[inputs[ranges(starts[nodes], counts)]]
        after = 1 + np.maximum.reduceat(slots, np.cumsum(counts) - counts)
        later = after > self._now
        self._put_off(nodes[later], after[later])
        return nodes[~later]

    def _put_off(self, nodes: Ids, until: Ids) -> None:
        if self._slot is None:
            self._slot = self._earliest.copy()
        self._slot[nodes] = until
        for slot in np.unique(until).tolist():
            self._waiting.setdefault(slot, []).append(nodes[until == slot])

    # --- rows ------------------------------------------------------------------------------------

    def _row_of(self, n: int, slot: int, beside: int) -> _Row | None:
        """Return the row in a *slot* that node *n* belongs to, one of *beside* alike nodes."""
        if len(self._levels[slot - 1]) < max(_LEAST, _LARGE * beside) or not self._may_join[n]:
            return None
        key = slot, int(self._kinds[n])
        if key not in self._known:
            self._known[key] = self._row(*key)
        row = self._known[key]
        if row is None or row.size < _LARGE * beside:
            return None
        uses = self._uses(n)
        return row if 2 * len(uses & row.uses) >= max(1, len(uses)) else None

    def _row(self, slot: int, kind: int) -> _Row | None:
        """Return the row of a *kind* in a *slot*, if there is one."""
        level = self._levels[slot - 1]
        nodes = level[(self._kinds[level] == np.uint64(kind)) & (self._latest[level] == slot)]
        if len(nodes) < _LEAST:
            return None
        sample = nodes[np.linspace(0, len(nodes) - 1, min(_SAMPLE, len(nodes))).astype(np.int64)]
        counts = Counter(use for n in sample.tolist() for use in self._uses(n))
        uses = frozenset(use for use, count in counts.items() if 2 * count >= len(sample))
        return _Row(len(nodes), sample, uses) if uses else None

    def _uses(self, n: int) -> frozenset[int]:
        """Return a number for each way in which node *n* is used: when, by what, and where."""
        starts, edges = self._users
        edge = edges[starts[n] : starts[n + 1]]
        user = self._owner[edge]
        place = edge - self._wiring[0][user]
        found = scattered(
            scattered(self._latest[user]) + self._kinds[user] + scattered(place) * np.uint64(3)
        ).tolist()
        return frozenset(found + [0] * (n in self._outputs))

    @functools.cached_property
    def _outputs(self) -> frozenset[int]:
        return frozenset(self.tape.outputs)

    @functools.cached_property
    def _wiring(self) -> tuple[Ids, Ids]:
        return wiring(self.tape)

    @functools.cached_property
    def _owner(self) -> Ids:
        """Whose operand each is."""
        return np.repeat(np.arange(len(self.tape)), np.diff(self._wiring[0]))

    @functools.cached_property
    def _users(self) -> tuple[Ids, Ids]:
        """Where those who read each number start, and all of them, as places in the wiring."""
        _, inputs = self._wiring
        starts = starts_of(np.bincount(inputs, minlength=len(self.tape)))
        return starts, np.argsort(inputs, kind="stable")

    @functools.cached_property
    def _latest(self) -> Ids:
        """The last slot in which each node can be computed without any delay in the end."""
        starts, inputs = self._wiring
        found = np.full(len(self.tape), len(self._levels), dtype=np.int64)
        for level in reversed(self._levels):
            counts = starts[level + 1] - starts[level]
            below = inputs[ranges(starts[level], counts)]
            np.minimum.at(found, below, np.repeat(found[level] - 1, counts))
        return found

    @functools.cached_property
    def _may_join(self) -> Mask:
        tape = self.tape
        may = ~tape.are(np.arange(len(tape)), *_APART)
        may &= np.diff(tape.term_starts) <= _TERMS
        return may

    @functools.cached_property
    def _kinds(self) -> Digests:
        """What a node is, whatever its operands are: so much is the same all along a row.

        That is its operation; for a sum, the signs of its terms and which are products; and
        constants that are part of the operation, such as the exponent of a power.
        """
        tape, (starts, inputs) = self.tape, self._wiring
        owner = self._owner
        place = np.arange(len(inputs)) - starts[owner]
        sums = np.diff(tape.term_starts) > 0
        mark = scattered(place)
        in_sum = np.flatnonzero(sums[owner])
        term = tape.term_starts[owner[in_sum]] + place[in_sum] // 2
        unit = inputs[in_sum] == ONE
        mark[in_sum] += scattered(2 * (tape.terms[0, term] > 0) + unit + 5)
        named = tape.constant(inputs) & ~sums[owner] & ~tape.are(owner, *OPEN)
        mark[named] += scattered(tape.values[inputs[named]].view(np.uint64))
        sizes = np.cumsum(np.concatenate([np.zeros(1, dtype=np.uint64), scattered(mark)]))
        total: Digests = sizes[starts[1:]] - sizes[starts[:-1]]
        return total + scattered(np.where(sums, -1, tape.codes.astype(np.int64)))
