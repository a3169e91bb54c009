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
from .names import block_of, role_of


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
        self.examples: dict[str, str] = {}
        """The roles of arrays that are examples by their shapes alone, and so not weights."""

    def __getitem__(self, name: str) -> Any:
        return self._module[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._module[name] = value

    def __delitem__(self, name: str) -> None:
        raise TypeError(name)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names if name not in self.examples)

    def __len__(self) -> int:
        return len(list(iter(self)))


@contextlib.contextmanager
def settings(
    program: HasCode, holder: Any, X: Any, Y: Any, lam: float, manner: Manner
) -> Iterator[None]:
    """Set what the program reads from its module or object rather than from an argument."""
    taken = {role for step in manner.steps for _, role in step.arguments}
    values = {"lam": lam, "rate": manner.rate or RATE, "epochs": 1}
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
            for name, value in _copied(holder).items():
                stack.callback(holder.__setitem__, name, value)
        yield


def _copied(holder: Globals) -> dict[str, Any]:
    """Return copies of what a call may change; what they share, the copies share."""
    there = {name: holder[name] for name in holder}
    kept = {name: value for name, value in there.items() if isinstance(value, _CHANGES) or (
        hasattr(value, "__dict__") and not isinstance(value, np.generic))}  # fmt: skip
    try:
        return copy.deepcopy(kept)
    except Exception:  # an open file, a lock
        plain = {name: value for name, value in kept.items() if isinstance(value, _CHANGES)}
        return copy.deepcopy(plain)


_CHANGES = (np.ndarray, list, dict)


@functools.lru_cache(maxsize=1024)  # a program is tried in a thousand ways
def globals_of(code: CodeType) -> frozenset[str]:
    """Return the names of its module that *code* reads or writes; those of attributes are not."""
    return frozenset(
        str(one.argval) for one in dis.get_instructions(code) if one.opname in _READS_A_GLOBAL
    )


_READS_A_GLOBAL = frozenset({"LOAD_GLOBAL", "STORE_GLOBAL", "LOAD_NAME", "STORE_NAME"})


_NUMBERS = ("lam", "rate", "epochs")


def settings_of(program: HasCode, holder: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield name, role and owner of the numbers and examples that are not arguments."""
    names, rates, slopes = set[str](), set[str](), set[str]()
    for code in program.code():
        names |= globals_of(code)
        of_unit = _is_of_a_unit(code)
        (slopes if of_unit else rates).update(code.co_names)
    slopes -= rates  # the alpha of leaky units is not a learning rate
    there = program.module
    for name in names & set(there):
        value, role = there[name], role_of(name)
        if role == "rate" and name in slopes:
            continue
        if (role in _NUMBERS and isinstance(value, (int, float))) or (
            role in ("X", "Y") and isinstance(value, (np.ndarray, list))
        ):
            yield name, role, there
    if isinstance(holder, Globals):
        yield from ((name, role, there) for name, role in holder.examples.items())
    if holder is not None and not isinstance(holder, (Globals, ModuleType)):
        for name, value in list(getattr(holder, "__dict__", {}).items()):
            role = role_of(name)
            if role in _NUMBERS and isinstance(value, (int, float)):
                if role == "rate" and name in slopes:
                    continue
                yield name, role, holder


def _is_of_a_unit(code: CodeType) -> bool:
    """Whether a function is an activation, or its slope, by its name or by what it calls."""
    name = code.co_name.lower()
    return any(word in name for word in ("elu", "leak", "activ", "slope", "deriv")) or (
        code.co_argcount <= 2 and bool({"where", "maximum"} & set(code.co_names))
    )


def holder_of(program: HasCode) -> Globals:
    """Return the globals that the functions of a module use, with the examples among them known.

    Two arrays that are read, never written, and as long as each other are the examples and the
    targets, in the order in which they were made, whatever they are called.
    """
    names, written = set[str](), set[str]()
    for code in program.code():
        names |= globals_of(code)
        written |= _written_by(code)
    holder = Globals(program.module, names)
    if not {role_of(name) for name in holder} & {"X", "Y"}:
        arrays = [
            (name, value) for name, value in holder.items()
            if name not in written and isinstance(value, np.ndarray) and value.ndim
            and block_of(name) is None
        ]  # fmt: skip
        if len(arrays) == 2 and len(arrays[0][1]) == len(arrays[1][1]) and arrays[0][1].ndim == 2:
            holder.examples = {arrays[0][0]: "X", arrays[1][0]: "Y"}
    return holder


@functools.lru_cache(maxsize=1024)
def _written_by(code: CodeType) -> frozenset[str]:
    return frozenset(
        str(one.argval) for one in dis.get_instructions(code)
        if one.opname in ("STORE_GLOBAL", "STORE_NAME")
    )  # fmt: skip
