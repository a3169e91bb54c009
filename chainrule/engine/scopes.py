"""Scopes: blocks of a program that have a name, so that a drawing can fold what they made.

A block remembers between which serial numbers it ran; no node is touched, so a block costs as much
as the two numbers, and a node made inside costs nothing.  Only where another thread or task is in a
block of its own at the same time do the numbers of a block have to be told from those of the other:
then the nodes made inside are counted one by one, which is slower.
"""

from __future__ import annotations

import contextlib
import itertools
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from types import TracebackType

from . import modes
from .backend import Value

REMEMBERED = 100_000
"""Blocks that are kept after their end; older ones are forgotten, so that memory is bounded."""


class Block:
    """A block of a program while it ran once: its name, its outer block, and what it made."""

    __slots__ = ("by", "depth", "name", "outer", "own", "runs", "start", "stop")

    def __init__(self, by: scope, name: str, outer: Block | None) -> None:
        self.by: scope | None = by
        self.name, self.outer = name, outer
        self.depth: int = 0 if outer is None else outer.depth + 1
        # Someone else is in a block, or was when one of those around this one began.
        self.own: bool = len(_open) > self.depth or (outer is not None and outer.own)
        """Whether the nodes it made are counted one by one, in *runs*."""
        self.runs: list[list[int]] = []
        self.start = _now()
        self.stop: int | None = None  # while it runs

    def add(self, serial: int) -> None:
        """Count a node as made in this block."""
        if self.runs and self.runs[-1][1] == serial:
            self.runs[-1][1] = serial + 1
        else:
            self.runs.append([serial, serial + 1])

    def intervals(self) -> list[list[int]]:
        """Return from and up to which serial numbers the nodes are that were made here."""
        return self.runs if self.own else [[self.start, self.stop or _now()]]


_current: ContextVar[Block | None] = ContextVar("chainrule_scope", default=None)
_open: dict[int, Block] = {}
_ended: deque[Block] = deque(maxlen=REMEMBERED)


def _now() -> int:
    return Value(0.0).serial


class scope(contextlib.ContextDecorator):  # noqa: N801 (used like a function, as in contextlib)
    """Give a name to what a block of code, or a function, computes.

    A drawing that would be too small to read draws the block as one box.

    >>> import chainrule as cr
    >>> x = cr.Value(0.5, "x")
    >>> with cr.scope("square it"):
    ...     y = x * x
    >>> with cr.scope("and add"):
    ...     z = y + 1.0

    Blocks can stand inside one another, and may be entered again and again: each time is a block of
    its own.  Nodes that are made in a block cost nothing more, and are none the wiser: a copy, or
    what ``pickle`` reads, belongs to the block in which it is made, if any.  The last 100,000
    blocks are remembered.

    Each thread and each asynchronous task has its own blocks.  A node that another thread makes
    outside any block, while one runs here, counts as made here if it is part of the same graph.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name.strip():  # type: ignore[redundant-expr]
            raise TypeError(f"scope({name!r:.80}): expected a name, such as scope('encoder')")
        self._name = name
        self._counting: dict[Block, contextlib.AbstractContextManager[None]] = {}

    def __repr__(self) -> str:
        return f"scope({self._name!r})"

    def __enter__(self) -> None:
        block = Block(self, self._name, _current.get())
        if block.own:
            self._counting[block] = modes.counting(block.add)
            self._counting[block].__enter__()
        _open[id(block)] = block
        _current.set(block)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        block = _current.get()
        while block is not None and block.by is not self:  # one inside is not at its end yet
            block = block.outer
        if block is None:  # entered in another thread or task
            return
        block.stop, block.by = _now(), None
        _open.pop(id(block), None)
        _current.set(block.outer)
        if block.own:
            self._counting.pop(block).__exit__(kind, error, traceback)
        _ended.append(block)

    def _recreate_cm(self) -> scope:
        return scope(self._name)  # each call of a decorated function, in any thread, is its own


def blocks(nodes: Sequence[Value]) -> dict[Value, tuple[Block, ...]]:
    """Return the blocks in which each of *nodes* was made, from the outermost to the innermost.

    *nodes* are in the order of their serial numbers.  Nodes made outside all blocks are left out.
    """
    serials = [node.serial for node in nodes]
    exact: dict[Value, Block] = {}
    loose: dict[Value, Block] = {}
    for block in sorted(itertools.chain(_ended.copy(), list(_open.values())), key=_start):
        into = exact if block.own else loose
        for start, stop in block.intervals():
            for i in range(bisect_left(serials, start), bisect_left(serials, stop)):
                into[nodes[i]] = block  # the innermost begins last
    found = {}
    for node in nodes:
        innermost = exact.get(node) or loose.get(node)
        if innermost is not None:
            found[node] = _path(innermost)
    return found


def _start(block: Block) -> int:
    return block.start


def _path(block: Block | None) -> tuple[Block, ...]:
    path: list[Block] = []
    while block is not None:
        path.append(block)
        block = block.outer
    return tuple(reversed(path))


def deepest(nodes: Iterable[Value]) -> int:
    """Return how many blocks stand inside one another where one of *nodes* was made."""
    return max(map(len, blocks(sorted(nodes, key=lambda node: node.serial)).values()), default=0)
