"""What certain numbers need of the loops of a program: the rest of each loop is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from ..engine.backend import Value
from ..engine.bodies import Loop


def loops_for(numbers: Sequence[Any], loops: Sequence[Loop]) -> list[Loop]:
    """Return the parts of *loops* that *numbers* are computed from, in their order."""
    wanted, found = [*numbers], []
    for loop in reversed(loops):
        below = _below(wanted)
        going = [j for j in range(len(loop.body.y_out)) if any(row[j] in below for row in loop.ys)]
        carried = {i for i, x in enumerate(loop.last) if x in below}
        if not going and not carried:
            continue
        body, nodes = loop.body, set[Value]()
        while True:
            nodes = _below([*(body.carry_out[i] for i in carried), *(body.y_out[j] for j in going)])
            more = {i for i, x in enumerate(body.carry_in) if x in nodes}
            if more <= carried:
                break
            carried |= more
        some = sorted(carried)
        reduced = replace(
            body,
            carry_in=_at(body.carry_in, some),
            carry_out=_at(body.carry_out, some),
            y_out=_at(body.y_out, going),
            nodes=[x for x in body.nodes if x in nodes],
        )
        found.append(
            replace(
                loop,
                body=reduced,
                carry=_at(loop.carry, some),
                last=_at(loop.last, some),
                ys=[_at(row, going) for row in loop.ys],
            )
        )
        wanted += [*found[-1].carry, *(x for row in loop.xs for x in row), *reduced.nodes]
    return found[::-1]


def _at(numbers: Sequence[Any], places: Iterable[int]) -> list[Any]:
    return [numbers[i] for i in places]


def _below(numbers: Iterable[Any]) -> set[Value]:
    """Return all Values that *numbers* are computed from, and themselves."""
    found = {x for x in numbers if isinstance(x, Value)}
    waiting = list(found)
    while waiting:
        for x in waiting.pop().operands:
            if isinstance(x, Value) and x not in found:
                found.add(x)
                waiting.append(x)
    return found
