"""Threads between which the interpreter switches as often as it is asked to."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator


@contextlib.contextmanager
def switched_every(seconds: float) -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def run_together(targets: Iterable[Callable[[], object]], seconds: float = 1e-6) -> None:
    """Run each of *targets* in a thread of its own, and wait for all."""
    threads = [threading.Thread(target=target) for target in targets]
    with switched_every(seconds):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
