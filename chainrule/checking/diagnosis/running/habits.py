"""What a function does besides computing, as its outcomes in equal calls show it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...text import number
from .calls import Outcome
from .results import flat


def habits(outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    """Say what the function does besides computing: codes with their evidence."""
    found = []
    changed = [name for outcome in outcomes for name in outcome.changed]
    if changed:
        names = ", ".join(dict.fromkeys(changed))
        found.append(("call.changes-arguments", f"Changed: {names}."))
    results = [flat(outcome.tree) for outcome in outcomes if outcome.tree is not None]
    if len(results) < len(outcomes):
        if results:
            failed = next(outcome for outcome in outcomes if outcome.tree is None)
            found.append((failed.code, f"Not in the first call. {failed.evidence}"))
        return found
    if len(results) < 3 or not all(np.isfinite(result).all() for result in results):
        return found
    one, two, three = results
    if not one.shape == two.shape == three.shape:
        found.append(("call.not-repeatable", "The shape changes from call to call."))
        return found
    size = max(float(np.abs(one).max(initial=0.0)), 1e-300)
    first, second = (np.abs(b - a).max(initial=0.0) / size for a, b in ((one, two), (two, three)))
    if first > 1e-6 and np.abs((three - two) - (two - one)).max() < 1e-6 * first * size:
        worst = int(np.argmax(np.abs(one)))
        numbers = ", ".join(number(result[worst]) for result in results)
        found.append(("call.accumulates", f"One entry in three equal calls: {numbers}."))
    elif max(first, second) > 1e-6:
        worst = int(np.argmax(np.abs(two - one) + np.abs(three - two)))
        numbers = ", ".join(number(result[worst]) for result in results)
        found.append(("call.not-repeatable", f"One entry in three equal calls: {numbers}."))
    return found
