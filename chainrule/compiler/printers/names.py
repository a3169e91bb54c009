"""Names that are free in a printed NumPy program."""

from __future__ import annotations

import builtins
import itertools
import keyword
import re
from collections.abc import Sequence

from .rows import FUNCTIONS

_TAKEN = {*keyword.kwlist, *dir(builtins), "np", "math", "rows", "m"}
_TAKEN |= {"forward", "gradient", "reduced", *FUNCTIONS}
_TAKEN_PATTERN = re.compile(r"_.*|[ci][0-9]+")  # what is private, and constants


def is_taken(name: str) -> bool:
    """Return whether *name* has another meaning in the source."""
    return name in _TAKEN or _TAKEN_PATTERN.fullmatch(name) is not None


def free_names(names: Sequence[str]) -> list[str]:
    """Return *names* for arguments, with new ones for those that are taken or repeated."""
    found: list[str] = []
    for name in names:
        stem = f"x{name}" if name.startswith("_") else name
        candidates = (stem if i == 0 else f"{stem}_{i}" for i in itertools.count())
        found.append(next(x for x in candidates if not is_taken(x) and x not in found))
    return found
