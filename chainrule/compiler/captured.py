"""The places where a function holds its parameters and plain numbers, watched for changes.

A recording keeps reading the leaves that it met.  If a list or an object now holds another Value in
place of one of them, the compiled function would compute with a leaf that the program no longer
uses: that is an error.  A number in a closure or a global is frozen: if it changes, a warning says
so.  The cells and globals that the code names are watched, and the lists, dicts and objects in
them.
"""

from __future__ import annotations

import dis
import functools
import types
import warnings
from collections.abc import Callable, Collection, Iterator
from typing import Any

from ..engine import modes
from ..engine.backend import Value

_OFTEN, _EVERY = 16, 16  # the first calls, which all look; and of the later ones, one in how many
_MOST = 100_000  # things to look through


class Captured:
    """The places at which *function* holds *parameters*, and the numbers it refers to."""

    def __init__(self, function: Callable[..., Any], parameters: Collection[Value]) -> None:
        self._calls = 0
        self._lists: list[tuple[str, list[Any], list[Any]]] = []
        self._places: list[tuple[str, Any, Any, Any, list[Value]]] = []
        self._numbers: list[list[Any]] = []
        wanted = set(parameters)
        self._walk(function, wanted)

    def check(self, name: str) -> None:
        """Raise TraceError if a Value was replaced by another; warn if a number changed."""
        self._calls += 1
        if self._calls > _OFTEN and self._calls % _EVERY:
            return
        for path, now, before in self._lists:
            if now != before:
                for i, (x, old) in enumerate(zip(now, before, strict=False)):
                    _compare(name, f"{path}[{i}]", x, [old])
        for path, holder, key, before, values in self._places:
            x = _get(holder, key)
            if x is not before:
                _compare(name, path, x, values)
        for entry in self._numbers:
            path, holder, key, before = entry
            x = _get(holder, key)
            if type(x) in (int, float) and x != before and not (x != x and before != before):
                entry[3] = x
                warnings.warn(
                    f"{name}: {path} was {before!r} when the function was recorded, and all calls "
                    f"still use that number, though it is {x!r} now: make it a Value or an "
                    "argument, or compile again",
                    RuntimeWarning,
                    stacklevel=5,
                )

    def _walk(self, function: Any, wanted: set[Value]) -> None:
        seen: set[int] = set()
        attributes: set[str] = set()
        objects: list[tuple[str, Any]] = []
        todo: list[tuple[str, Any]] = [("", function)]
        while todo and len(seen) < _MOST:
            path, x = todo.pop()
            if id(x) in seen or isinstance(x, (Value, type, types.ModuleType)):
                continue
            seen.add(id(x))
            if isinstance(x, types.MethodType):
                todo += [("self", x.__self__), (path, x.__func__)]
            elif isinstance(x, functools.partial):
                todo += [(path, x.func), (path, list(x.args)), (path, x.keywords)]
            elif isinstance(x, types.FunctionType):
                if (x.__module__ or "").partition(".")[0] == "chainrule":
                    continue
                for name, holder, key in _named(x, attributes):
                    self._note(name, holder, key, wanted, todo, number=True)
            elif isinstance(x, (list, tuple)):
                if type(x) is list and all(type(v) is Value for v in x):
                    if not wanted.isdisjoint(x):
                        self._lists.append((path, x, list(x)))
                else:
                    for i in range(len(x)):
                        self._note(f"{path}[{i}]", x, i, wanted, todo)
            elif isinstance(x, dict):
                for key in list(x):
                    self._note(f"{path}[{key!r}]", x, key, wanted, todo)
            elif hasattr(x, "__dict__"):
                objects.append((path, x))
                for key in list(vars(x)):
                    self._note(f"{path}.{key}".lstrip("."), vars(x), key, wanted, todo)
                call = getattr(type(x), "__call__", None)  # noqa: B004 (its code is read)
                if isinstance(call, types.FunctionType):
                    todo.append((path, call))
        for path, x in objects:
            for key in attributes.intersection(vars(x)):
                if type(vars(x)[key]) in (int, float):
                    self._numbers.append([f"{path}.{key}".lstrip("."), vars(x), key, vars(x)[key]])

    def _note(
        self,
        path: str,
        holder: Any,
        key: Any,
        wanted: set[Value],
        todo: list[tuple[str, Any]],
        number: bool = False,
    ) -> None:
        x = _get(holder, key)
        if number and type(x) in (int, float):
            self._numbers.append([path, holder, key, x])
        elif type(x) is Value:
            if x in wanted:
                self._places.append((path, holder, key, x, [x]))
        elif isinstance(x, (list, tuple, dict)) or hasattr(x, "__dict__"):
            todo.append((path, x))
            if isinstance(x, (list, tuple)) and type(holder) is not tuple:
                values = list(_values(x))
                if not wanted.isdisjoint(values):
                    self._places.append((path, holder, key, x, values))


def _named(function: types.FunctionType, attributes: set[str]) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name, holder and key of everything that the code of *function* names."""
    codes, loaded, stored = [function.__code__], set(), set()
    for code in codes:  # grows while it is read
        codes += [x for x in code.co_consts if isinstance(x, types.CodeType)]
        for step in dis.get_instructions(code):
            if step.opname.startswith("LOAD_GLOBAL"):
                loaded.add(step.argval)
            elif step.opname in ("STORE_GLOBAL", "STORE_DEREF"):
                stored.add(step.argval)
            elif step.opname.startswith("LOAD_ATTR"):
                attributes.add(step.argval)
    for name in sorted(loaded - stored):
        if name in function.__globals__:
            yield name, function.__globals__, name
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        if name not in stored:
            yield name, cell, None
    for i in range(len(function.__defaults__ or ())):
        yield f"default {i}", function.__defaults__, i


def _get(holder: Any, key: Any) -> Any:
    """Return what *holder* has under *key*, or None if it no longer has anything there."""
    try:
        return holder.cell_contents if isinstance(holder, types.CellType) else holder[key]
    except (ValueError, KeyError, IndexError):
        return None


def _values(x: Any) -> Iterator[Value]:
    """Yield the Values in nested lists and tuples."""
    todo = [x]
    while todo:
        x = todo.pop()
        if type(x) is Value:
            yield x
        elif isinstance(x, (list, tuple)):
            todo += reversed(x)


def _compare(name: str, path: str, now: Any, before: list[Value]) -> None:
    found = list(_values(now))
    if not found or all(x is old for x, old in zip(found, before, strict=False)):
        return
    raise modes.TraceError(
        f"{name}: {path} holds other Values than when the function was recorded, and the recording "
        "still reads the old ones: write numbers into those (v.data = ..., layer.theta = ...), or "
        "compile again"
    )
