"""Which examples and targets are used."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..algorithm import Changes, Run
from .makers import rows_of, takes_mean
from .row import Mistake


def _fewer(run: Run, usual: Callable[[], int]) -> int:
    return len(range(run.m)[run.rows()]) if takes_mean(run.problem) else usual()


def _labels(shift: int, axis: int) -> Changes:
    return {"targets": lambda run, usual: np.roll(usual(), shift, axis=axis)}


ROWS: tuple[Mistake, ...] = (
    Mistake(
        "examples.last-only",
        "B10",
        "Only the last example counts.",
        "Accumulate over the examples: Delta += delta a^T, and zero Delta before the loop only.",
        (
            {"rows": rows_of(slice(-1, None))},
            {
                "rows": rows_of(slice(-1, None)),
                "data": lambda run, usual, layer: usual(layer) * run.count(),
            },
        ),
    ),
    Mistake(
        "examples.first-skipped",
        "B10",
        "The first example is skipped.",
        "Python counts from 0: loop over range(m).",
        (
            {"rows": rows_of(slice(1, None))},
            {"rows": rows_of(slice(1, None)), "count": _fewer},
        ),
        lambda problem: problem.m > 1,
    ),
    Mistake(
        "examples.last-skipped",
        "B10",
        "The last example is skipped.",
        "range(m) already ends before m: do not subtract 1.",
        (
            {"rows": rows_of(slice(None, -1))},
            {"rows": rows_of(slice(None, -1)), "count": _fewer},
        ),
        lambda problem: problem.m > 1,
    ),
    Mistake(
        "examples.labels-shifted",
        "B7",
        "The targets are shifted by one class.",
        "Check whether classes count from 0 or from 1 where labels become targets.",
        (_labels(1, 1), _labels(-1, 1)),
    ),
    Mistake(
        "examples.targets-of-neighbour",
        "B10",
        "Each example is compared with the target of its neighbour.",
        "Use one index for X and Y.",
        (_labels(1, 0), _labels(-1, 0)),
    ),
)
