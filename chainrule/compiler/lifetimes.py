"""Places by lifetime: a step's result takes the place of a number that is not needed any more.

A chain of a million nodes then needs two or three rows of a block instead of a million.
"""

from __future__ import annotations

import numpy as np

from ..engine.native import core as native
from .tape import Ids, Mask


def places(results: Ids, arguments: Ids, own: Mask, kept: Mask, first: int) -> tuple[Ids, int]:
    """Return a place for each register that is our *own*, from *first* on, and where they end.

    Step ``i`` reads the registers ``arguments[i]``, -1 for none, and writes ``results[i]``, one of
    our own.  A register is written by consecutive steps; if it is *kept*, it is read after the last
    step too.  A result never takes the place of an argument of its step.
    """
    count, width = arguments.shape
    now = np.arange(count)
    last = np.full(len(own) + 1, -1, dtype=np.int64)  # the step that reads a register last
    last[arguments.ravel()] = np.repeat(now, width)  # of several assignments, the last one counts
    last[results] = np.maximum(last[results], now)
    last[:-1][kept | ~own] = last[-1] = count
    dying = np.concatenate([arguments, results[:, None]], axis=1)
    dying = np.where(last[dying] == now[:, None], dying, -1)
    for k in range(1, width + 1):  # what occurs twice is freed once
        dying[(dying[:, :k] == dying[:, k, None]).any(axis=1), k] = -1
    step, column = np.nonzero(dying >= 0)
    counts = np.bincount(step, minlength=count)
    return _allot(len(own), results, dying[step, column], counts, first)


def _allot(size: int, results: Ids, dying: Ids, counts: Ids, first: int) -> tuple[Ids, int]:
    """Return the places, where each step ends the lives of the next so many of the *dying*."""
    place = np.full(size, -1, dtype=np.int64)
    if native is not None:
        columns = map(np.ascontiguousarray, (results, counts, dying))
        return place, native.allot(*columns, place, first)
    found, ends = place.tolist(), iter(dying.tolist())
    free: list[int] = []
    stop = first
    for result, ending in zip(results.tolist(), counts.tolist(), strict=True):
        if found[result] < 0:
            if free:
                found[result] = free.pop()
            else:
                found[result] = stop
                stop += 1
        for _ in range(ending):
            free.append(found[next(ends)])
    return np.array(found, dtype=np.int64), stop
