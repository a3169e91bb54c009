"""Calling somebody else's function, and what can go wrong when one does.

Whatever happens is an :class:`Outcome`, never a traceback: an exception, arguments written to, a
result that is no gradient. The function gets copies of everything, each time anew.
"""

from __future__ import annotations

import inspect
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..layouts import Tree, tidy
from ..problem import Problem
from ..worked import number

ARGUMENTS = ("thetas", "X", "Y", "lam")
"""What the function is called with."""
_NOT_THEIRS = ("<frozen", str(Path(__file__).parents[1]), *sysconfig.get_paths().values())


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


Caller: TypeAlias = Callable[[Sequence[Problem]], "list[Outcome]"]
"""Calls one function with each problem in turn, in one process, until it fails."""


def caller(function: Callable[..., Any]) -> Caller:
    """Return a caller of *function* in this process: what it prints is printed, a hang hangs."""
    return lambda problems: list(until_failure(function, problems))


def until_failure(function: Callable[..., Any], problems: Iterable[Problem]) -> Iterator[Outcome]:
    """Call *function* with each problem, and stop after the first call that returns nothing."""
    for problem in problems:
        outcome = call(function, problem)
        yield outcome
        if outcome.tree is None:
            return


def call(function: Callable[..., Any], problem: Problem) -> Outcome:
    """Call function(thetas, X, Y, lam) with copies, and say what came of it."""
    thetas = [theta.copy() for theta in problem.thetas]
    X, Y = problem.X.copy(), problem.Y.copy()
    given = list(thetas)
    refused = _refused(function)
    if refused:
        return Outcome(None, "call.wrong-arguments", refused)
    try:
        returned = function(thetas, X, Y, problem.lam)
    except Exception as error:
        return Outcome(None, "call.raises", told(error))
    except SystemExit as error:
        return Outcome(None, "call.dies", f"It called exit({error.code!r}).")
    before = [*problem.thetas, problem.X, problem.Y]
    names = [f"thetas[{i}]" for i in range(len(given))] + ["X", "Y"]
    changed = [
        name
        for name, old, new in zip(names, before, [*given, X, Y], strict=True)
        if old.shape != new.shape or not np.array_equal(old, new)
    ]
    if len(thetas) != len(given) or any(a is not b for a, b in zip(thetas, given, strict=False)):
        changed.append("the list thetas")
    try:
        return Outcome(_copied(tidy(returned)), changed=tuple(changed))
    except Exception as error:
        # Conversion runs the object's own code, which may do anything.
        return Outcome(None, "call.no-numbers", f"It returned {error}.", tuple(changed))


def _copied(tree: Tree) -> Tree:
    return [_copied(item) for item in tree] if isinstance(tree, list) else np.array(tree)


def _refused(function: Callable[..., Any]) -> str:
    """Say why *function* cannot be called as it has to be; "" if it can, for all one can see."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ""
    try:
        signature.bind(*ARGUMENTS)
    except TypeError as error:
        name = getattr(function, "__name__", type(function).__name__)
        return (
            f"It is called as {name}({', '.join(ARGUMENTS)}), by position; it is defined as "
            f"{name}{signature}: {error}."
        )
    return ""


def told(error: Exception) -> str:
    """Say what was raised, and the last line of the author's own that led there."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_NOT_THEIRS)
    ]
    try:
        message = " ".join(str(error).split())[:300]
    except Exception:
        message = "(an exception that cannot be shown)"
    text = f"{type(error).__name__}: {message}"
    if frames:
        where = frames[-1]
        text += f"\nline {where.lineno}, in {where.name}: {where.line or ''}".rstrip(": ")
    return text


def finite(tree: Tree) -> bool:
    """Whether every number of *tree* is finite."""
    if isinstance(tree, list):
        return all(finite(item) for item in tree)
    return bool(np.isfinite(np.asarray(tree, dtype=np.float64)).all())


def _flat(tree: Tree) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return all numbers of *tree* as one vector."""
    if isinstance(tree, list):
        return np.concatenate([np.zeros(0), *map(_flat, tree)])
    return np.asarray(tree, dtype=np.float64).ravel()


def habits(outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    """Say what the function does besides computing: codes with their evidence."""
    found = []
    changed = [name for outcome in outcomes for name in outcome.changed]
    if changed:
        names = ", ".join(dict.fromkeys(changed))
        found.append(("call.changes-arguments", f"Changed: {names}."))
    results = [_flat(outcome.tree) for outcome in outcomes if outcome.tree is not None]
    if len(results) < len(outcomes):
        if results:
            failed = next(outcome for outcome in outcomes if outcome.tree is None)
            found.append((failed.code, f"Not in the first call. {failed.evidence}"))
        return found
    if len(results) < 3 or not all(np.isfinite(result).all() for result in results):
        return found
    one, two, three = results
    if not one.shape == two.shape == three.shape:
        found.append(("call.not-repeatable", "The shape changes from call to call."))
        return found
    size = max(float(np.abs(one).max(initial=0.0)), 1e-300)
    first, second = (np.abs(b - a).max(initial=0.0) / size for a, b in ((one, two), (two, three)))
    if first > 1e-6 and np.abs((three - two) - (two - one)).max() < 1e-6 * first * size:
        worst = int(np.argmax(np.abs(one)))
        numbers = ", ".join(number(result[worst]) for result in results)
        found.append(("call.accumulates", f"One entry in three equal calls: {numbers}."))
    elif max(first, second) > 1e-6:
        worst = int(np.argmax(np.abs(two - one) + np.abs(three - two)))
        numbers = ", ".join(number(result[worst]) for result in results)
        found.append(("call.not-repeatable", f"One entry in three equal calls: {numbers}."))
    return found
