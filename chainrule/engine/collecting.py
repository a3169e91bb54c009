"""Work on graphs with Python's cyclic collector switched off."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Switch the cyclic collector off: it would scan millions of tuples again and again.

    Graphs have no cycles, so nothing is lost but time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
