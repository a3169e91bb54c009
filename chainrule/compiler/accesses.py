"""Which places a step of a plan writes and reads, for reports and for those who run it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .addresses import AnyArray, addresses_of
from .plan import BLOCK, STILL, Operand, Plan, Step

NARROW = frozenset({"segment_sum", "maximum", "minimum", "logsumexp"})
"""The codes whose result has one number for each stretch, if there are stretches."""

Places = list[tuple[int, AnyArray]]
"""Spaces, and addresses there."""


def written(plan: Plan, step: Step) -> Places:
    """Return the places of the result of *step*: of one that moves, in the first round."""
    if step.code == "loop":
        return []
    if not step.operands:
        return _of_rows(plan, step, slice(0, 1))
    result, extents = step.operands[0], step.extents
    if step.code in ("scatter", "scatter_add"):
        return [(result.space, result.offset + plan.tables[step.detail[0]] * result.strides[0])]
    if step.code == "spread":
        return [(result.space, _table(result, step))]
    if step.code in NARROW and step.detail:
        extents = (*extents[:-1], len(plan.tables[step.detail[0]]))
    return [(result.space, _addresses(result, extents))]


def read(plan: Plan, step: Step) -> Places:
    """Return the places of the operands of *step*, and of its result if that is added to."""
    if step.code == "loop":
        return []
    if not step.operands:
        return _of_rows(plan, step, slice(1, None))
    found = []
    for i, x in enumerate(step.operands[1:]):
        if step.code == "gather":
            addresses = x.offset + plan.tables[step.detail[0]] * x.strides[0]
        elif step.code == "pick" and i == 1:
            addresses = _table(x, step)
        else:
            addresses = _addresses(x, step.extents)
        found.append((x.space, addresses))
    if step.code in ("add", "scatter_add", "spread"):
        found += written(plan, step)
    return found


def _addresses(x: Operand, extents: Sequence[int]) -> AnyArray:
    return addresses_of((x.offset, tuple(zip(extents, x.strides, strict=True)))).ravel()


def _table(x: Operand, step: Step) -> AnyArray:
    """Return the addresses of the rows and columns of a table."""
    count, stride = step.detail
    axes = (count, stride), (step.extents[-1], x.strides[-1])
    return addresses_of((x.offset, axes)).ravel()


def _of_rows(plan: Plan, step: Step, part: slice) -> Places:
    """Return the places in a part of every row of flat steps, or of a call."""
    table: Any = plan.tables[step.detail[-1]]
    numbers = table[part] if step.code == "call" else table[:, 1:][:, part].ravel()
    return [(BLOCK, numbers[numbers >= 0]), (STILL, np.invert(numbers[numbers < 0]))]
