"""Which operation of a recorded graph has a wrong partial, each judged by itself."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from ...engine.backend import Value
from .complex_step import own_rounding
from .differences import slopes

_SEARCHED = 2000  # nodes among which the operation at fault is looked for


def faulty_partial(nodes: Sequence[Value]) -> str:
    """Return which recorded operation has a wrong partial, judged one by one; "" if none has."""
    for node in nodes[:_SEARCHED]:
        row = node.primitive
        if row is None:
            continue
        args = [x.data if isinstance(x, Value) else x for x in node.operands]
        candidates = [i for i, x in enumerate(node.operands) if isinstance(x, Value)]
        partials = dict(zip(row.linked(args, candidates), node.partials, strict=True))
        rounding = 4.0 * own_rounding(node)
        for i in filter(lambda i: math.isfinite(args[i]), candidates):
            varied = functools.partial(_applied, row.scalar, args, i)
            (slope,) = slopes(varied, args[i], np.array([node.data]), np.array([rounding]))
            partial = partials.get(i, 0.0)
            allowed = 1e-8 * max(abs(partial), abs(slope.value)) + 2.0 * slope.uncertainty
            if slope.kind == "smooth" and not abs(partial - slope.value) <= allowed:
                at = ", ".join(map(repr, args))
                return (
                    f"the partial of {row.name!r} with respect to its argument {i} is "
                    f"{partial!r} at ({at}), not {slope.value!r}"
                )
    return ""


def _applied(scalar: Callable[..., float], args: Sequence[float], i: int, x: float) -> tuple[float]:
    return (scalar(*args[:i], x, *args[i + 1 :]),)
