"""A plan that is ready to run: here, on one thread or several, or over workers."""

from __future__ import annotations

import functools
import pickle
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from ..engine.backend import Value
from ..engine.vectors import read_data
from .batches import Array
from .machine import machine_for
from .plan import Plan
from .remote import LoadedMachine


class Team(Protocol):
    """Those who share a batch: see :mod:`.workers`."""

    def run(self, ready: Ready, parameters: tuple[Value, ...], batch: tuple[Array, ...]) -> Any:
        """Return what the machine would."""


Hands = int | Team
"""Who runs a program: so many threads of this process, or workers."""


class Ready:
    """A machine, and all that sending its plan to others takes."""

    def __init__(self, plan: Plan, again: Callable[[], Plan]):
        self.program = LoadedMachine(machine_for(plan))
        self.machine = self.program.machine
        self.turned = plan.turned
        self.adds_up = plan.cost is not None
        self._again = again
        self._lock = threading.Lock()
        self._latest: tuple[int, Array] = (0, np.empty(0))

    def run(self, parameters: tuple[Value, ...], batch: Sequence[Array], hands: Hands) -> Any:
        """Return the outputs, or the mean and its gradient: see :mod:`.plan`."""
        if isinstance(hands, int):
            return self.machine.run(parameters, tuple(batch), hands)
        return hands.run(self, parameters, tuple(batch))

    @functools.cached_property
    def packed(self) -> bytes:
        """The plan, pickled."""
        return pickle.dumps(self._again(), protocol=pickle.HIGHEST_PROTOCOL)

    def version(self, parameters: Sequence[Value]) -> tuple[int, Array]:
        """Return the numbers of *parameters*, and the version that has them to the bit."""
        numbers = read_data(parameters)
        with self._lock:
            version, before = self._latest
            if len(before) != len(numbers) or not np.array_equal(
                before.view(np.int64), numbers.view(np.int64)
            ):
                version += 1
            elif version:
                return self._latest
            self._latest = version or 1, numbers
            return self._latest
