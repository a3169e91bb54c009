"""A batch over workers: the shards of a batch go to any ``concurrent.futures`` executor.

The machine says how a batch is divided (:mod:`.shards`).  Neighbouring shards become one task, as
many tasks as there are workers; every shard's sums come back by themselves and are added up here in
the order of the shards.  So the result has the bits that one thread of this process gives, whoever
computed what.  Nothing is written anywhere before all shards are there.

Parameters go along when they changed since the last call, and a program when a worker asks for it:
see :mod:`.remote`.
"""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from typing import Any

import numpy as np

from ..engine.backend import Value
from .batches import Array
from .ready import Ready
from .remote import Answer, Shard, Task, answer

_ASKED_AGAIN = 3
"""How often a task may be sent anew because the worker that took it lacked something."""


class ShardError(RuntimeError):
    """A part of a batch was not computed: its worker died, was too late, or met an error.

    An error that a worker met is the ``__cause__``, if it could be sent.  No gradient was changed.
    """

    __module__ = "chainrule"

    def __init__(self, message: str, shards: Sequence[int] = (), trace: str = ""):
        super().__init__(message)
        self.shards = tuple(shards)
        """The numbers of the shards, from 0."""
        self.trace = trace
        """Where in the worker it happened, as text."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.shards, self.trace)


class Workers:
    """An executor, and what its workers were sent."""

    def __init__(self, executor: Executor, timeout: float | None = None):
        self.executor = executor
        self.timeout = timeout
        self._lock = threading.Lock()
        self._sent: weakref.WeakKeyDictionary[Ready, int] = weakref.WeakKeyDictionary()

    def run(self, ready: Ready, parameters: tuple[Value, ...], batch: tuple[Array, ...]) -> Any:
        """Return what the machine would; ShardError if a worker fails."""
        count = len(batch[0]) if batch else 1
        lanes, starts = ready.machine.division(count)
        shards = [Shard(i, *edges) for i, edges in enumerate(itertools.pairwise(starts))]
        if len(shards) == 1:  # sending it elsewhere would gain nothing
            return ready.machine.run(parameters, batch, 1)
        version, numbers = ready.version(parameters)
        with self._lock:
            brought = numbers if self._sent.get(ready) != version else None
            self._sent[ready] = version
        tasks = [
            Task(
                ready.program.key,
                version,
                some,
                tuple([x[some[0].start : some[-1].stop] for x in batch]),
                count,
                lanes,
                parameters=brought,
            )
            for some in _dealt(shards, number_of_workers(self.executor))
        ]
        try:
            parts = self._parts(tasks, ready, numbers, count)
        except BaseException:
            with self._lock:
                self._sent.pop(ready, None)  # who has it is not known
            raise
        if not ready.adds_up:
            return np.concatenate(parts, axis=0 if ready.turned else 1)
        total = parts[0].copy()
        for part in parts[1:]:
            total += part
        return ready.machine.finish(numbers, count, total)

    def _parts(
        self, tasks: Sequence[Task], ready: Ready, numbers: Array, count: int
    ) -> list[Array]:
        """Return what each shard gives, in order."""
        found: dict[int, list[Array]] = {}
        until = None if self.timeout is None else time.monotonic() + self.timeout
        times = dict.fromkeys(range(len(tasks)), 0)
        pending: dict[Future[Answer], int] = {}
        try:
            for i, task in enumerate(tasks):
                pending[self._submit(task, count)] = i
            while pending:
                left = None if until is None else max(0.0, until - time.monotonic())
                done, _ = wait(pending, left, return_when=FIRST_COMPLETED)
                if not done:
                    raise self._late([tasks[i] for i in pending.values()], count)
                for future in done:
                    i = pending.pop(future)
                    said = _answer(future, tasks[i], count)
                    if not said.lacks:
                        found[i] = said.parts
                        continue
                    times[i] += 1
                    if times[i] > _ASKED_AGAIN:
                        raise _error(tasks[i].shards, count, f"a worker lacks the {said.lacks}")
                    again = tasks[i].with_all(ready.packed, numbers)
                    pending[self._submit(again, count)] = i
        finally:
            for future in pending:
                future.cancel()
        return [part for i in range(len(tasks)) for part in found[i]]

    def _submit(self, task: Task, count: int) -> Future[Answer]:
        try:
            return self.executor.submit(answer, task)
        except RuntimeError as error:  # BrokenExecutor is one; so is that of one that was shut down
            raise _error(task.shards, count, f"{type(error).__name__}: {error}") from error

    def _late(self, tasks: Sequence[Task], count: int) -> ShardError:
        shards = [shard for task in tasks for shard in task.shards]
        return _error(shards, count, f"no answer within {self.timeout:g} seconds")


def number_of_workers(executor: Executor) -> int | None:
    """Return how many tasks *executor* runs at a time, or None if it does not say."""
    # The standard library's and mpi4py's executors say it; Dask's client knows its threads.
    found = getattr(executor, "_max_workers", None)
    if client := getattr(executor, "_client", None):
        found = sum(client.nthreads().values())
    return found if isinstance(found, int) and found > 0 else None


def _dealt(shards: Sequence[Shard], count: int | None) -> list[Sequence[Shard]]:
    """Return *shards* as neighbours of which one worker takes all, for so many workers."""
    n = len(shards) if count is None else min(count, len(shards))
    edges = [i * len(shards) // n for i in range(n + 1)]
    return [shards[start:stop] for start, stop in itertools.pairwise(edges)]


def _answer(future: Future[Answer], task: Task, count: int) -> Answer:
    """Return what a worker said; raise ShardError if it failed."""
    try:
        said = future.result()
    except (Exception, CancelledError) as error:  # the executor's: the worker died, say
        told = f"{type(error).__name__}: {error}".rstrip(": ")
        raise _error(task.shards, count, f"its worker did not answer: {told}") from error
    if said.shard is not None:
        reason = said.told.strip()
        last = reason.rpartition("\n")[2]
        raise _error([said.shard], count, last, reason) from said.error
    return said


def _error(shards: Sequence[Shard], count: int, reason: str, trace: str = "") -> ShardError:
    numbers = [shard.number for shard in shards]
    start, stop = min(x.start for x in shards), max(x.stop for x in shards)
    which = (
        f"shard {numbers[0]}" if len(numbers) == 1 else f"shards {min(numbers)} to {max(numbers)}"
    )
    return ShardError(
        f"{which}, examples {start} to {stop - 1} of {count}: {reason}; nothing was added to any "
        "gradient",
        numbers,
        trace,
    )
