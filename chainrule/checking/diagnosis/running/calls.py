"""Calling somebody else's function, and what can go wrong when one does.

Whatever happens is an :class:`Outcome`, never a traceback: an exception, arguments written to, a
result that holds no numbers. The function gets copies of everything, each time anew.
"""

from __future__ import annotations

import inspect
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ...intake.handing import Network
from ...intake.manner import Manner
from .results import Tree, tidy

ARGUMENTS = ("thetas", "X", "Y", "lam")
"""What the function is called with."""
_NOT_THEIRS = ("<frozen", str(Path(__file__).parents[2]), *sysconfig.get_paths().values())


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one call gave."""

    tree: Tree | None = None
    """The returned arrays; None if there are none."""
    code: str = ""
    """The code of what went wrong in the call itself."""
    evidence: str = ""
    changed: tuple[str, ...] = ()
    """The names of the arguments that were written to."""
    manner: Manner | None = None
    """How it was called, where that had to be found out."""

    def in_manner(self, manner: Manner) -> Outcome:
        """Return the same outcome of a call in this *manner*."""
        return replace(self, manner=manner)


Caller: TypeAlias = Callable[[Sequence[Network]], "list[Outcome]"]
"""Calls one function with each problem in turn, in one process, until it fails."""


def caller(function: Callable[..., Any]) -> Caller:
    """Return a caller of *function* in this process: what it prints is printed, a hang hangs."""
    return lambda problems: list(until_failure(function, problems))


def until_failure(function: Callable[..., Any], problems: Iterable[Network]) -> Iterator[Outcome]:
    """Call *function* with each problem, and stop after the first call that returns nothing."""
    for problem in problems:
        outcome = call(function, problem)
        yield outcome
        if outcome.tree is None:
            return


def call(function: Callable[..., Any], problem: Network) -> Outcome:
    """Call function(thetas, X, Y, lam) with copies, and say what came of it."""
    thetas = [theta.copy() for theta in problem.thetas]
    X, Y = problem.X.copy(), problem.Y.copy()
    given = list(thetas)
    why = refused(function)
    if why:
        return Outcome(None, "call.wrong-arguments", why)
    try:
        returned = function(thetas, X, Y, problem.lam)
    except Exception as error:
        return Outcome(None, "call.raises", told(error))
    except SystemExit as error:
        return Outcome(None, "call.dies", f"It called exit({text_of(error.code, repr)}).")
    before = [*problem.thetas, problem.X, problem.Y]
    names = [f"thetas[{i}]" for i in range(len(given))] + ["X", "Y"]
    changed = [
        name
        for name, old, new in zip(names, before, [*given, X, Y], strict=True)
        # As they stand in memory: a nan that was not written to is the same nan.
        if old.shape != new.shape or old.tobytes() != new.tobytes()
    ]
    if len(thetas) != len(given) or any(a is not b for a, b in zip(thetas, given, strict=False)):
        changed.append("the list thetas")
    try:
        return Outcome(copied(tidy(returned)), changed=tuple(changed))
    except Exception as error:
        # Conversion runs the object's own code, which may do anything.
        return Outcome(None, "call.no-numbers", f"It returned {text_of(error)}.", tuple(changed))


def copied(tree: Tree) -> Tree:
    """Return the same arrays, shared with nobody."""
    return [copied(item) for item in tree] if isinstance(tree, list) else np.array(tree)


def refused(function: Callable[..., Any]) -> str:
    """Say why *function* cannot be called as it has to be; "" if it can, for all one can see."""
    try:
        signature = inspect.signature(function)
    except Exception:  # TypeError and ValueError, or what a __signature__ of their own raises
        return ""
    try:
        signature.bind(*ARGUMENTS)
    except TypeError as error:
        name = text_of(getattr(function, "__name__", type(function).__name__))
        return (
            f"It is called as {name}({', '.join(ARGUMENTS)}), by position; it is defined as "
            f"{name}{text_of(signature)}: {error}."
        )
    return ""


def text_of(value: Any, write: Callable[[Any], str] = str) -> str:
    """Return *value* as text; writing it down runs its own code, which may do anything."""
    try:
        return str(write(value))
    except Exception:
        return f"(a {type(value).__name__} that cannot be shown)"


def told(error: Exception) -> str:
    """Say what was raised, and the last line of the author's own that led there."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_NOT_THEIRS)
    ]
    text = f"{type(error).__name__}: {' '.join(text_of(error).split())[:300]}"
    if frames:
        where = frames[-1]
        text += f"\nline {where.lineno}, in {where.name}: {where.line or ''}".rstrip(": ")
    return text
