"""Places by lifetime: a step's result takes the place of a number that is not needed any more.

A chain of a million nodes then needs two or three rows of a block instead of a million.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.native import core as native
from .tape import Mask

Registers = np.ndarray[Any, np.dtype[np.int32]]
"""Registers, or addresses: a graph with millions of nodes has many of them, and memory is time."""


def places(
    results: Registers, arguments: Registers, own: Mask, kept: Mask, first: int
) -> tuple[Registers, int]:
    """Return a place for each register that is our *own*, from *first* on, and where they end.

    Step ``i`` reads the registers ``arguments[i]``, -1 for none, and writes ``results[i]``, one of
    our own.  A register is written by consecutive steps; if it is *kept*, it is read after the last
    step too.  A result never takes the place of an argument of its step.  Other registers get -1.
    """
    place = np.full(len(own), -1, dtype=np.int32)
    dies = own & ~kept
    if native is not None:
        columns = map(np.ascontiguousarray, (results, arguments))
        return place, native.allot(*columns, dies, place, first)
    # The step that touches a register last: of several assignments, the last one counts.
    last = np.full(len(own) + 1, -1, dtype=np.int64)
    touched = np.concatenate([arguments, results[:, None]], axis=1)
    last[touched.ravel()] = np.repeat(np.arange(len(results)), touched.shape[1])
    last[:-1][~dies] = last[-1] = len(results)
    found, end = place.tolist(), last.tolist()
    free: list[int] = []
    stop = first
    for step, registers in enumerate(touched.tolist()):
        result = registers[-1]
        if found[result] < 0:
            if free:
                found[result] = free.pop()
            else:
                found[result] = stop
                stop += 1
        free += [found[x] for x in dict.fromkeys(registers) if end[x] == step]
    return np.array(found, dtype=np.int32), stop
