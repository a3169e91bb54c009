"""Which numbers of a program with loops depend on no parameter: to the engine they are constants.

That matters only to rows whose partials ask for it: a tie with a constant has no derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..engine.backend import Value
from ..engine.modes import WriteOut
from . import flat
from .linking import MOST_ENDINGS, Linker, segments
from .pieces import piece_of
from .tape import TIES, flatten


def note_constants(linker: Linker) -> None:
    """Note which numbers depend on no parameter, if there is a row for which that matters."""
    numbers = [
        *linker.outputs, *(x for outs, *_ in linker.bodies for x in outs),
        *(x for which in range(len(linker.loops)) for some, _ in linker.entry(which) for x in some),
    ]  # fmt: skip
    tape = flatten([x for x in numbers if isinstance(x, Value)])
    if not tape.are(np.flatnonzero(tape.codes >= 0), *TIES).any():
        return
    known = linker.given | linker.place.keys()
    for which, loop in enumerate(linker.loops):
        _note(linker, which, known)
        known |= {*loop.last, *(y for row in loop.ys for y in row)}


def _note(linker: Linker, which: int, known: set[Value]) -> None:
    """Note which numbers of a loop depend on no parameter, step by step."""
    loop, at, (outs, _, held) = linker.loops[which], linker.places[which], linker.bodies[which]
    n, nx = len(loop.carry), len(loop.body.x_in)
    linked = known - linker.given - linker.plain
    carry, xs, more = (_linked(some, known, linked) for some, _ in linker.entry(which))
    own = {*loop.body.carry_in, *loop.body.x_in, *held}
    found: dict[Any, list[bool]] = {}
    steps: list[frozenset[Value]] = []
    for k, ys in enumerate(loop.ys):
        x = xs[nx * k : nx * (k + 1)]
        inner = {
            leaf
            for leaf, there in zip(
                (*loop.body.carry_in, *loop.body.x_in, *held), (*carry, *x, *more), strict=True
            )
            if there
        }
        steps.append(frozenset(own - inner))
        if steps[-1] not in found:
            found[steps[-1]] = _linked(outs, known | own, linked | inner)
        after = found[steps[-1]]
        linker.plain.update(y for y, there in zip(ys, after[n:], strict=True) if not there)
        carry = after[:n]
    linker.plain.update(x for x, there in zip(loop.last, carry, strict=True) if not there)
    firsts = next((k for k in reversed(range(len(steps))) if steps[k] != steps[-1]), -1) + 1
    if firsts > MOST_ENDINGS:
        raise WriteOut("what depends on a parameter differs from step to step")
    if firsts and segments(loop)[0]:
        raise WriteOut("what depends on a parameter differs in the first steps")
    at.plain = steps[: firsts + 1]


def _linked(numbers: Sequence[Any], known: set[Value], leaves: set[Value]) -> list[bool]:
    """Return which of *numbers* depend on one of the *leaves*."""
    tape = piece_of(numbers, known)
    own = [n for n, leaf in tape.leaves.items() if leaf in leaves]
    found = flat.depending(tape, own)
    return [bool(found[n]) for n in tape.outputs]
