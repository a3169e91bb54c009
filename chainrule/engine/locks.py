"""A lock for what all threads of a process share, which a fork does not leave locked."""

from __future__ import annotations

import os
import threading


class Lock:
    """A lock, to be used in a ``with`` statement and kept as long as the process lives.

    In a child it is made anew: a thread of the parent, which is not there, may have held it.
    """

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
