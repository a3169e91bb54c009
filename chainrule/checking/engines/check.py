"""``check_engine``: an autograd class examined, its mistakes named, and the report written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..diagnosis.reporting import PartsReport
from ..diagnosis.running import exam as running
from ..diagnosis.running.calls import Outcome
from ..diagnosis.running.process import examined
from .examination import Examination, bare
from .programs import exam


def check_engine(engine: Callable[..., Any], name: str = "") -> PartsReport:
    """Return a report on somebody's own scalar autograd class, and which mistakes it makes.

    *engine* is a class whose instances hold a number, are added and multiplied, and have a backward
    pass that fills in gradients. What it offers is found out by trying: how a node is made, what
    the number and the gradient are called, which operators and methods there are, and which of them
    are made of others. What it does not have is listed, and is not a fault.

    >>> class Value:
    ...     def __init__(self, data, parents=(), local_grads=()):
    ...         self.data, self.grad = data, 0.0
    ...         self.parents, self.local_grads = parents, local_grads
    ...     def __mul__(self, other):
    ...         return Value(self.data * other.data, (self, other), (other.data, self.data))
    ...     def backward(self, above=1.0):
    ...         self.grad = above
    ...         for parent, local in zip(self.parents, self.local_grads):
    ...             parent.backward(above * local)
    >>> report = check_engine(Value)
    >>> report.ok, report.codes
    (False, ('accumulate.overwrites-everywhere',))
    >>> print(report.findings[0].here)
    a = Value(1.3); y = a * a; y.backward()
    a.grad is 1.3, expected 2.6

    The class runs in this process; ``chainrule check engine.py:Value`` runs it in one of its own.
    Mistakes make a report that is not ``ok``; limits, such as a backward pass that fails on a chain
    longer than Python's recursion limit, are findings of a report that is.
    """
    called = name or getattr(engine, "__name__", type(engine).__name__)
    outcomes = list(running.answers(engine, [program.steps for program in exam()]))
    return _report(outcomes, called, called if called.isidentifier() else "Value")


def check_engine_file(
    path: Path,
    name: str,
    *,
    time_limit: float = 10.0,
    memory_limit: int = 2048,
    allow_chainrule: bool = False,
) -> PartsReport:
    """Return the report on the class *name* of a file, run in a process of its own with limits.

    Limits and errors are those of :func:`process.caller_of_file`.
    """
    outcomes = examined(
        path,
        name,
        [program.steps for program in exam()],
        time_limit,
        memory_limit,
        allow_chainrule=allow_chainrule,
    )
    return _report(outcomes, f"{Path(path).name}:{name}", name)


def _report(outcomes: Sequence[Outcome], name: str, class_name: str) -> PartsReport:
    first = outcomes[0]
    if first.tree is None:
        finding = bare(first.code or "call.dies", class_name, evidence=first.evidence)
        return PartsReport(name, "an engine that could not be loaded", (finding,))
    offer = json.loads(first.evidence)
    if offer["wrong"]:
        finding = bare("call.not-examinable", class_name, evidence=offer["wrong"])
        return PartsReport(name, "a class that could not be examined", (finding,))
    return Examination(offer, outcomes[1:], name, class_name).report()
