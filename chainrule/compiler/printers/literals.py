"""Numbers and arrays of them as text."""

from __future__ import annotations

import math
from typing import Any

WIDTH = 92
"""Characters of a line of text, about."""


def number(x: float, module: str = "np") -> str:
    """Return *x* as text, with the infinities and nan of a *module*."""
    if math.isfinite(x):
        return repr(x)
    return f"{module}.nan" if x != x else f"{module}.inf" if x > 0 else f"-{module}.inf"


def literal(array: Any) -> str:
    """Return a NumPy array as the call that makes it."""
    kind = "" if array.dtype.kind == "f" else ", dtype=int"
    return f"np.array({nested(array, 'np')}{kind})"


def nested(array: Any, module: str) -> str:
    """Return the numbers of a NumPy array as nested lists, with infinities of a *module*."""
    text = _rows(array.tolist(), "")
    return text.replace("nan", f"{module}.nan").replace("inf", f"{module}.inf")


def _rows(numbers: Any, indent: str) -> str:
    """Return nested lists of numbers as text, broken into lines."""
    if not isinstance(numbers, list):
        return repr(numbers)
    parts = [_rows(part, indent + " ") for part in numbers]
    if numbers and isinstance(numbers[0], list):
        return "[" + f",\n{indent} ".join(parts) + "]"
    each = max(1, (WIDTH - len(indent)) // (2 + max(map(len, parts), default=0)))
    lines = [", ".join(parts[i : i + each]) for i in range(0, len(parts), each)]
    return "[" + f",\n{indent} ".join(lines) + "]"
