"""What a program reads from its module or its object rather than from an argument."""

from __future__ import annotations

import contextlib
import copy
import dis
import functools
from collections.abc import Iterator, MutableMapping
from types import CodeType, ModuleType
from typing import Any, Protocol

import numpy as np

from .handing import RATE
from .manner import Manner
from .names import role_of


class HasCode(Protocol):
    """A program, as far as its settings are concerned."""

    @property
    def module(self) -> dict[str, Any]: ...
    def code(self) -> Iterator[CodeType]: ...


class Globals(MutableMapping[str, Any]):
    """The globals of a module that its functions use."""

    def __init__(self, module: dict[str, Any], names: set[str]) -> None:
        self._module = module
        self._names = [
            name
            for name, value in module.items()
            if name in names and not isinstance(value, (ModuleType, type)) and not callable(value)
        ]

    def __getitem__(self, name: str) -> Any:
        return self._module[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._module[name] = value

    def __delitem__(self, name: str) -> None:
        raise TypeError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@contextlib.contextmanager
def settings(
    program: HasCode, holder: Any, X: Any, Y: Any, lam: float, manner: Manner
) -> Iterator[None]:
    """Set what the program reads from its module or object rather than from an argument."""
    taken = {role for step in manner.steps for _, role in step.arguments}
    values = {"lam": lam, "rate": manner.rate or RATE}
    if "X" not in taken:
        values |= {"X": X, "Y": Y}
    elif "Y" not in taken:
        values["Y"] = Y
    with contextlib.ExitStack() as stack:
        for name, role, target in settings_of(program, holder):
            if role in values and role not in taken:
                old = target[name] if isinstance(target, MutableMapping) else getattr(target, name)
                if isinstance(target, MutableMapping):
                    stack.callback(target.__setitem__, name, old)
                    target[name] = values[role]
                else:
                    setattr(target, name, values[role])
        if isinstance(holder, Globals):
            for name in list(holder):
                if isinstance(holder[name], (np.ndarray, list, dict)):
                    stack.callback(holder.__setitem__, name, copy.deepcopy(holder[name]))
        yield


@functools.lru_cache(maxsize=1024)  # a program is tried in a thousand ways
def globals_of(code: CodeType) -> frozenset[str]:
    """Return the names of its module that *code* reads or writes; those of attributes are not."""
    return frozenset(
        str(one.argval) for one in dis.get_instructions(code) if one.opname in _READS_A_GLOBAL
    )


_READS_A_GLOBAL = frozenset({"LOAD_GLOBAL", "STORE_GLOBAL", "LOAD_NAME", "STORE_NAME"})


def settings_of(program: HasCode, holder: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield name, role and owner of the numbers and examples that are not arguments."""
    names = {name for code in program.code() for name in globals_of(code)}
    there = program.module
    for name in names & set(there):
        value, role = there[name], role_of(name)
        if (role in ("lam", "rate") and isinstance(value, (int, float))) or (
            role in ("X", "Y") and isinstance(value, (np.ndarray, list))
        ):
            yield name, role, there
    if holder is not None and not isinstance(holder, (Globals, ModuleType)):
        for name, value in list(getattr(holder, "__dict__", {}).items()):
            if role_of(name) in ("lam", "rate") and isinstance(value, (int, float)):
                yield name, role_of(name), holder
