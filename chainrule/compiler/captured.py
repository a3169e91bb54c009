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
import operator
import types
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Any

from ..engine import modes
from ..engine.backend import Value

_OFTEN, _EVERY = 16, 16  # the first calls, which all look; and of the later ones, one in how many
_MOST = 10_000  # things to look through, the nearest first: half a second of it

_COMPILER = __name__.rpartition(".")[0]


class Captured:
    """The places at which *function* holds *parameters*, and the numbers it refers to."""

    def __init__(self, function: Callable[..., Any], parameters: Collection[Value]) -> None:
        self.left = 0
        """How many calls may still go by without a look."""
        self._looks = 0
        self._lists: list[tuple[str, list[Any], list[Any]]] = []
        self._places: list[tuple[str, Any, Any, Any, list[Value]]] = []
        self._numbers: list[list[Any]] = []
        self._objects: list[tuple[str, Any, Any, Any]] = []
        self._wanted = set(parameters)
        self._walk(function, self._wanted)
        places = [(holder, key, x) for _, holder, key, x, *_ in (*self._places, *self._objects)]
        self._cells = [place for place in places if isinstance(place[0], types.CellType)]
        indexed = [place for place in places if not isinstance(place[0], types.CellType)]
        self._holders = [holder for holder, _, _ in indexed]
        self._keys = [key for _, key, _ in indexed]
        self._held = [x for _, _, x in indexed]

    def check(self, name: str) -> None:
        """Raise TraceError if a Value was replaced by another; warn if a number changed."""
        if self.left:
            self.left -= 1
            return
        self._looks += 1
        self.left = _EVERY - 1 if self._looks >= _OFTEN else 0
        for path, now, before in self._lists:
            if now != before:
                for i, (x, old) in enumerate(zip(now, before, strict=False)):
                    _compare(name, f"{path}[{i}]", x, [old])
        if not self._same():
            self._look_closer(name)
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

    def _same(self) -> bool:
        """Return whether every place holds the very object that it held."""
        try:
            now = map(operator.getitem, self._holders, self._keys)
            return all(map(operator.is_, now, self._held)) and all(
                _get(cell, None) is before for cell, _, before in self._cells
            )
        except (KeyError, IndexError):
            return False

    def _look_closer(self, name: str) -> None:
        for path, holder, key, before, values in self._places:
            x = _get(holder, key)
            if x is not before:
                _compare(name, path, x, values)
        for path, holder, key, before in self._objects:
            x = _get(holder, key)
            if x is not before:
                held, old = set(_deep(x)), self._wanted.intersection(_deep(before))
                if held and not held >= old:
                    raise _other_values(name, path)

    def _walk(self, function: Any, wanted: set[Value]) -> None:
        seen: set[int] = set()
        attributes: set[str] = set()
        objects: list[tuple[str, Any]] = []
        found = _Found()
        todo: deque[tuple[str, Any, int]] = deque([("", function, -1)])
        while todo and len(seen) < _MOST:
            path, x, owner = todo.popleft()
            if id(x) in seen or isinstance(x, (Value, type, types.ModuleType)) or _compiled(x):
                continue
            seen.add(id(x))
            parts: list[tuple[str, Any, Any]] = []
            if isinstance(x, types.MethodType):
                todo += [("self", x.__self__, owner), (path, x.__func__, owner)]
            elif isinstance(x, functools.partial):
                inside = (x.func, list(x.args), x.keywords)
                todo += [(path, part, owner) for part in inside]
            elif isinstance(x, types.FunctionType):
                if (x.__module__ or "").partition(".")[0] == "chainrule":
                    continue
                parts = list(_named(x, attributes))
            elif isinstance(x, (list, tuple)):
                if type(x) is list and all(type(v) is Value for v in x):
                    if not wanted.isdisjoint(x):
                        self._lists.append((path, x, list(x)))
                        found.mark(owner)
                else:
                    parts = [(f"{path}[{i}]", x, i) for i in range(min(len(x), _MOST))]
            elif isinstance(x, dict):
                parts = [(f"{path}[{key!r}]", x, key) for key in list(x)[:_MOST]]
            elif hasattr(x, "__dict__"):
                objects.append((path, x))
                parts = [(f"{path}.{key}".lstrip("."), vars(x), key) for key in list(vars(x))]
                call = getattr(type(x), "__call__", None)  # noqa: B004 (its code is read)
                if isinstance(call, types.FunctionType):
                    todo.append((path, call, owner))
            number = isinstance(x, types.FunctionType)
            for part in parts:
                self._note(*part, wanted, todo, found, owner, number)
        self._objects = found.marked()
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
        todo: deque[tuple[str, Any, int]],
        found: _Found,
        owner: int,
        number: bool,
    ) -> None:
        x = _get(holder, key)
        if number and type(x) in (int, float):
            self._numbers.append([path, holder, key, x])
        elif type(x) is Value:
            if x in wanted:
                self._places.append((path, holder, key, x, [x]))
                found.mark(owner)
        elif isinstance(x, (list, tuple, dict)):
            todo.append((path, x, owner))
            if isinstance(x, (list, tuple)) and type(holder) is not tuple:
                values = list(_values(x))
                if not wanted.isdisjoint(values):
                    self._places.append((path, holder, key, x, values))
        elif hasattr(x, "__dict__"):
            if type(holder) is not tuple:
                owner = found.add((path, holder, key, x), owner)
            todo.append((path, x, owner))


class _Found:
    """The objects that were met, each with the one that it was met in: -1 if with none."""

    def __init__(self) -> None:
        self._entries: list[tuple[tuple[str, Any, Any, Any], int]] = []
        self._marked: set[int] = set()

    def add(self, place: tuple[str, Any, Any, Any], owner: int) -> int:
        """Note the place of an object, and return its number."""
        self._entries.append((place, owner))
        return len(self._entries) - 1

    def mark(self, number: int) -> None:
        """Note that an object, and so all that it was met in, holds a parameter."""
        while number >= 0 and number not in self._marked:
            self._marked.add(number)
            number = self._entries[number][1]

    def marked(self) -> list[tuple[str, Any, Any, Any]]:
        """Return the places of the objects that hold a parameter."""
        return [self._entries[n][0] for n in sorted(self._marked)]


def _compiled(x: Any) -> bool:
    """Return whether *x* is a compiled function or a part of one, which watches its own Values."""
    return type(x).__module__.startswith(_COMPILER)


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


def _deep(x: Any) -> Iterator[Value]:
    """Yield the Values in nested lists, tuples, dicts and objects, each holder once."""
    todo, seen = [x], set[int]()
    while todo and len(seen) < _MOST:
        x = todo.pop()
        if type(x) is Value:
            yield x
        elif id(x) not in seen and not isinstance(x, (type, types.ModuleType)):
            seen.add(id(x))
            if isinstance(x, (list, tuple)):
                todo += x
            elif isinstance(x, dict):
                todo += x.values()
            elif hasattr(x, "__dict__"):
                todo += vars(x).values()


def _compare(name: str, path: str, now: Any, before: list[Value]) -> None:
    found = list(_values(now))
    if not found or all(x is old for x, old in zip(found, before, strict=False)):
        return
    raise _other_values(name, path)


def _other_values(name: str, path: str) -> modes.TraceError:
    return modes.TraceError(
        f"{name}: {path} holds other Values than when the function was recorded, and the recording "
        "still reads the old ones: write numbers into those (v.data = ..., layer.theta = ...), or "
        "compile again"
    )
