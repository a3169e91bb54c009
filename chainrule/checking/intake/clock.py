"""Time as a program has it: what it waits for a processor on a busy machine does not count."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

MOST_WAITED = 4.0
"""How many times its time a program may wait for a processor."""
_FEW = 4
"""How many threads a program may have that waits for others, and not for itself."""


def own_time() -> float:
    """Return the clock of this process, in seconds, which stands while it waits for a processor.

    Where the system does not say how long that was, it is the usual clock.

    >>> begun = own_time()
    >>> own_time() >= begun
    True
    """
    return time.monotonic() - waited("self")


def waited(process: int | str) -> float:
    """Return how many seconds a *process* has waited for a processor, 0 if nobody can say."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
    return 0.0


def waited_below(process: int) -> float:
    """Return how long the child of a *process* has waited for others, 0 if nobody can say.

    A child that has threads or processes of its own, more than a few, waits for these.
    """
    with suppress(OSError):
        for child in _children(process):
            if _children(int(child)) or len(list(Path(f"/proc/{child}/task").iterdir())) > _FEW:
                return 0.0
            return waited(child)
    return 0.0


def _children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()
