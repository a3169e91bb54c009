"""Which examples and targets are used."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...problem import Array
from ..algorithm import Changes, Run
from .makers import rows_of, takes_mean
from .row import Mistake


def _fewer(run: Run, usual: Callable[[], int]) -> int:
    return len(range(run.m)[run.rows()]) if takes_mean(run.problem) else usual()


def _labels(shift: int, axis: int) -> Changes:
    return {"targets": lambda run, usual: np.roll(usual(), shift, axis=axis)}


def _from_plus_minus(run: Run, usual: Callable[[], Array]) -> Array:
    """The error with 2y - 1 in place of y; the losses with logarithms refuse such targets."""
    scale = 2.0 if run.problem.loss == "squared_error" else 1.0
    return usual() + scale * (1.0 - run.targets())


def _from_plus_minus_at_logarithms(run: Run, usual: Callable[[], Array]) -> Array:
    return usual() if run.problem.squares else usual() + (1.0 - run.targets())


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
        "examples.classes-reversed",
        "B7",
        "The classes are in reverse order.",
        "Column k of the targets belongs to output k.",
        ({"targets": lambda run, usual: usual()[:, ::-1]},),
        lambda problem: problem.K > 1,
    ),
    Mistake(
        "examples.targets-plus-minus",
        "B7",
        "The targets 0 and 1 are turned into -1 and 1.",
        "The sigmoid and the softmax give numbers from 0 to 1: compare them with 0 and 1.",
        ({"error": _from_plus_minus, "output_delta": _from_plus_minus_at_logarithms},),
    ),
    Mistake(
        "examples.targets-of-neighbour",
        "B10",
        "Each example is compared with the target of its neighbour.",
        "Use one index for X and Y.",
        (_labels(1, 0), _labels(-1, 0)),
    ),
)
