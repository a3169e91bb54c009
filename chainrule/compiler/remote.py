"""What a worker does: it keeps programs and parameters that it was sent, and computes shards.

A worker may be a thread of this process, another process, or one on another machine.  It is sent a
:class:`Task` and gives an :class:`Answer`.  A task names its program and the version of the
parameters, and brings them along only if it is likely that the worker has none: a worker that lacks
one says so, and is sent the task again with both.  What is kept is bounded, so that a worker that
serves many programs for days does not fill up.
"""

from __future__ import annotations

import functools
import pickle
import traceback
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._version import __version__
from ..engine.locks import Lock
from .addresses import AnyArray
from .batches import aligned
from .machine import machine_for

PROGRAMS = 32
"""The number of programs that a worker keeps, those that were used last."""
VERSIONS = 4
"""The number of versions of the parameters that it keeps for each."""


class LoadedMachine:
    """A machine, and the parameters that came for it."""

    def __init__(self, machine: Any):
        self.machine = machine
        self.versions: OrderedDict[int, AnyArray] = OrderedDict()

    @functools.cached_property
    def key(self) -> str:
        """A name by which workers know it.

        A program that stays here has none: what knows it by name runs Python when it goes, and a
        Ctrl-C that comes then is lost.
        """
        key = uuid.uuid4().hex
        with _lock:
            _known[key] = self
        return key

    def take(self, version: int, parameters: AnyArray | None) -> AnyArray | None:
        """Return the parameters of a *version*, if they are here or come along; else None."""
        with _lock:
            if parameters is None:
                return self.versions.get(version)
            self.versions[version] = parameters
            while len(self.versions) > VERSIONS:
                self.versions.popitem(last=False)
            return parameters


_lock = Lock()
_known: weakref.WeakValueDictionary[str, LoadedMachine] = weakref.WeakValueDictionary()
"""The programs of this process, its own among them, so that its threads need not be sent any."""
_kept: OrderedDict[str, LoadedMachine] = OrderedDict()
"""Those that were sent."""


@dataclass(frozen=True)
class Shard:
    """A part of a batch: examples *start* to *stop* of it."""

    number: int
    start: int
    stop: int


@dataclass(frozen=True)
class Task:
    """A few shards to compute, one after another."""

    key: str
    version: int
    shards: Sequence[Shard]
    rows: tuple[AnyArray, ...]
    """The examples of these shards, of every argument."""
    count: int
    """The number of examples in the whole batch."""
    lanes: int
    program: bytes | None = None
    parameters: AnyArray | None = None
    made_by: str = __version__
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def with_all(self, program: bytes, parameters: AnyArray) -> Task:
        """Return the task for a worker that has nothing."""
        return replace(self, program=program, parameters=parameters, token=uuid.uuid4().hex)

    def __dask_tokenize__(self) -> str:
        # Without it Dask would read all numbers to find a name for the task.
        return self.token


@dataclass(frozen=True)
class Answer:
    """What a worker says: one array for each shard, or what it lacks, or why there is none."""

    parts: list[AnyArray] = field(default_factory=list)
    lacks: str = ""
    shard: Shard | None = None
    """The shard that failed."""
    error: Exception | None = None
    """The reason, if it can be sent."""
    told: str = ""
    """The reason as text, with the place in the worker."""


def answer(task: Task) -> Answer:
    """Compute the shards of a task."""
    if task.made_by != __version__:
        return Answer(
            shard=task.shards[0],
            told=f"the worker has chainrule {__version__}, and the program was made by "
            f"{task.made_by}; expected the same",
        )
    try:
        program = _found(task)
    except Exception as error:
        return _failed(task.shards[0], error)
    if program is None:
        return Answer(lacks="program")
    brought = None if task.parameters is None else aligned(task.parameters)
    parameters = program.take(task.version, brought)
    if parameters is None:
        return Answer(lacks="parameters")
    parts, first = [], task.shards[0].start
    given = tuple(map(aligned, task.rows))
    for shard in task.shards:
        rows = tuple([x[shard.start - first : shard.stop - first] for x in given])
        try:
            parts.append(program.machine.part(parameters, rows, task.count, task.lanes))
        except Exception as error:
            return _failed(shard, error)
    return Answer(parts)


def _found(task: Task) -> LoadedMachine | None:
    """Return the program of a task: one that is here, or the one that came along."""
    with _lock:
        program = _known.get(task.key)
        if program is not None:
            if task.key in _kept:
                _kept.move_to_end(task.key)
            return program
    if task.program is None:
        return None
    program = LoadedMachine(machine_for(pickle.loads(task.program)))
    with _lock:
        _known[task.key] = _kept[task.key] = program
        while len(_kept) > PROGRAMS:
            _kept.popitem(last=False)
    return program


def _failed(shard: Shard, error: Exception) -> Answer:
    told = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return Answer(shard=shard, told=told)
    return Answer(shard=shard, error=error, told=told)
