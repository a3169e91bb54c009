"""Learning rates that change: functions from the number of steps taken so far to a rate.

Any function of that kind will do wherever an optimiser takes a ``lr``.  Those that are made here
can be pickled and copied, and so can an optimiser that has one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from . import arguments

Schedule = Callable[[int], float]


def constant(rate: float) -> Schedule:
    """Return the schedule that is always *rate*.

    >>> constant(0.1)(1000)
    0.1
    """
    return functools.partial(_constant, arguments.real("constant: rate", rate))


def step_decay(rate: float, every: int, factor: float = 0.1) -> Schedule:
    """Return the schedule rate * factor^floor(steps / every).

    >>> [round(step_decay(0.8, every=10, factor=0.5)(steps), 3) for steps in (0, 9, 10, 25)]
    [0.8, 0.8, 0.4, 0.2]
    """
    rate = arguments.real("step_decay: rate", rate)
    factor = arguments.real("step_decay: factor", factor)
    every = arguments.count("step_decay: every", every)
    return functools.partial(_step_decay, rate, every, factor)


def cosine(rate: float, total: int, final: float = 0.0) -> Schedule:
    """Return the schedule that falls from *rate* to *final* over *total* steps, as a half cosine.

    final + (rate - final) (1 + cos(pi steps / total)) / 2, and *final* from then on; Loshchilov and
    Hutter, "SGDR" (2017), equation 5, without restarts.

    >>> [round(cosine(1.0, total=4)(steps), 4) for steps in range(6)]
    [1.0, 0.8536, 0.5, 0.1464, 0.0, 0.0]
    """
    rate, final = arguments.real("cosine: rate", rate), arguments.real("cosine: final", final)
    total = arguments.count("cosine: total", total)
    return functools.partial(_cosine, rate, total, final)


def warmup(over: int, then: float | Schedule) -> Schedule:
    """Return the schedule that rises in *over* equal strides to what *then* begins with.

    The first step already gets 1/over of the rate, so that none is lost.  After *over* steps the
    schedule *then*, or the constant rate, runs from its own beginning.

    >>> schedule = warmup(4, then=cosine(0.8, total=100))
    >>> [round(schedule(steps), 3) for steps in (0, 1, 2, 3, 4, 54)]
    [0.2, 0.4, 0.6, 0.8, 0.8, 0.4]
    """
    over = arguments.count("warmup: over", over)
    return functools.partial(_warmup, over, then if callable(then) else constant(then))


# The functions of the steps, apart from those that make them: so that schedules can be pickled.


def _constant(rate: float, steps: int) -> float:
    return rate


def _step_decay(rate: float, every: int, factor: float, steps: int) -> float:
    return rate * math.pow(factor, steps // every)


def _cosine(rate: float, total: int, final: float, steps: int) -> float:
    share = min(steps / total, 1.0)
    return final + (rate - final) * 0.5 * (1.0 + math.cos(math.pi * share))


def _warmup(over: int, then: Schedule, steps: int) -> float:
    return then(0) * (steps + 1) / over if steps < over else then(steps - over)
