"""Which calls are possible: the method, what comes before it, and each argument with its role.

Names say what is likely; the roles that no name gives are tried in every order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import permutations
from types import ModuleType
from typing import Any

from .manner import Stated, Step
from .names import STEP, block_of, plain, role_of
from .program import Program, has_signature, parameters_of

_CANONICAL = ("thetas", "X", "Y", "lam")
_LABELS = {
    "thetas": "the weights",
    "lam": "lambda",
    "rate": "the rate",
    "output": "the output",
    "cache": "the cache",
    "pairs": "(x, y) pairs",
}


class Calls:
    """The calls of a program that are possible."""

    def __init__(self, program: Program, stated: Stated) -> None:
        self.program, self.stated = program, stated

    def libraries(self) -> list[str]:
        """Return what the arrays may be made of that are handed over."""
        torch = any(
            isinstance(value, ModuleType) and value.__name__.partition(".")[0] == "torch"
            for value in self.program.module.values()
        )
        return ["torch", "numpy"] if torch else ["numpy", "lists"]

    def calls(self) -> Iterator[tuple[Step, ...]]:
        """Yield the calls to make, each argument with its role."""
        for step in self._readings("", self.program.main):
            roles = {role for _, role in step.arguments}
            needs = any(r in ("output", "cache") or r.startswith("named:") for r in roles)
            first: list[tuple[Step, ...]] = [()]
            method = not self.program.is_function and not is_step(self.program.name)
            if needs or method:
                before: list[tuple[Step, ...]] = [
                    (one,)
                    for name in self.program.forwards
                    for one in self._readings(name, self.program.of(name, self.program.made))
                ]
                first = before if needs else [*before, ()]
            for one in first:
                yield (*one, step)

    def _readings(self, name: str, function: Any) -> Iterator[Step]:
        """Yield which argument may be what."""
        parameters = [
            one for one in parameters_of(function).values()
            if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        ]  # fmt: skip
        if isinstance(self.program.made, type) and parameters and parameters[0].name == "self":
            parameters = parameters[1:]
        if not parameters and _variadic(function) and not name:
            yield Step()
            return
        roles = [self._role(one.name) for one in parameters]
        if "biases" not in roles:
            roles = ["thetas" if role == "weights" else role for role in roles]
        needed = [
            place for place, one in enumerate(parameters)
            if one.default is one.empty and not roles[place]
        ]  # fmt: skip
        missing = [role for role in self._wanted(roles) if role not in roles]
        if name:
            missing = [role for role in missing if role in ("thetas", "X")]
        if len(needed) > 5:
            return
        orders = [()] if not needed else permutations([*missing, *[""] * len(needed)], len(needed))
        seen = set()
        for order in orders:
            if order in seen or (needed and "" in order):
                continue
            seen.add(order)
            chosen = dict(zip(needed, order, strict=True))
            given: list[tuple[str, str]] = []
            for place, one in enumerate(parameters):
                role = chosen.get(place, roles[place])
                if role == "X?":
                    role = "X"
                if not role:
                    continue
                by_name = one.kind is one.KEYWORD_ONLY or len(given) < place
                given.append((one.name if by_name else "", role))
            yield Step(name, tuple(given))

    def _wanted(self, roles: list[str]) -> list[str]:
        wanted = list(_CANONICAL)
        if not self.program.is_function or any(block_of(r) and block_of(r)[1] for r in roles if r):  # type: ignore[index]
            wanted.remove("thetas")
        if "weights" in roles:
            wanted.remove("thetas")
        if "pairs" in roles:
            wanted = [role for role in wanted if role not in ("X", "Y")]
        return wanted

    def _role(self, name: str) -> str:
        if name in self.stated.arguments:
            role = self.stated.arguments[name]
            return role if not re.fullmatch(r"[-+.\deE]+", role) else f"number:{role}"
        return role_of(name)

    def text(self, steps: tuple[Step, ...]) -> str:
        """Return how the calls are written in a report."""
        shown = []
        for step in steps:
            name = step.function or self.program.name
            if self.program.is_function or not step.function:
                function = self.program.main if not step.function else None
            else:
                function = None
            names = list(parameters_of(function)) if function is not None else []
            if isinstance(self.program.made, type) and names[:1] == ["self"]:
                names = names[1:]
            parts = [
                _shown(by_name or (names[i] if i < len(names) else ""), role)
                for i, (by_name, role) in enumerate(step.arguments)
            ]
            shown.append(f"{name}({', '.join(parts)})")
        return ", then ".join(shown)

    def question(self, possible: list[tuple[Step, ...]]) -> str:
        """Return what has to be stated before anything can be called; "" if nothing has."""
        if possible:
            return ""
        unknown = [
            one.name for one in parameters_of(self.program.main).values()
            if one.default is one.empty and one.name != "self" and not self._role(one.name)
        ]  # fmt: skip
        if not unknown:
            return ""
        name = unknown[0]
        return (
            f"what is {name} in {self.program.name}? State it: --argument {name}=ROLE, with "
            "thetas, X, Y, lam, rate, sizes or a number for ROLE"
        )


def _shown(name: str, role: str) -> str:
    label = _LABELS.get(role, role)
    if not name:
        return label
    return (
        name
        if plain(name) == plain(label) or role.startswith(("size", "named")) or (name == role)
        else f"{name} = {label}"
    )


def is_step(name: str) -> bool:
    """Return whether a function of this name seems to make a step of descent."""
    small = plain(name.rpartition(".")[2])
    return small in {plain(one) for one in STEP} or any(
        word in small for word in ("train", "update", "step", "descent", "learn", "fit")
    )


def _variadic(function: Any) -> bool:
    """Whether it takes any arguments, or nobody can say which."""
    every = parameters_of(function).values()
    if not every:
        return not has_signature(function)
    return any(one.kind is one.VAR_POSITIONAL for one in every)
