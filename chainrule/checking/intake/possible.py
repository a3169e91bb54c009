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
from .methods import has_signature, parameters_of
from .names import STEP, block_of, plain, role_of
from .program import Program

_CANONICAL = ("thetas", "X", "Y", "lam")
ADAPTER = """\
def backprop(thetas, X, Y, lam):
    W1, b1 = thetas[0][:, 1:].T, thetas[0][:, 0]  # a row for each unit, its bias first
    W2, b2 = thetas[1][:, 1:].T, thetas[1][:, 0]
    ...  # one forward and one backward pass of yours with these
    return [np.c_[db1, dW1.T], np.c_[db2, dW2.T]]"""
"""What a program needs that cannot be called as it is."""
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
        if torch:
            return ["torch", "numpy"]
        # What knows no arrays writes row + [1], which means something else of arrays.
        return ["numpy", "lists"] if self.program.knows_arrays else ["lists", "numpy"]

    def calls(self) -> Iterator[tuple[Step, ...]]:
        """Yield the calls to make, each argument with its role."""
        for step in self._readings("", self.program.main):
            behind: list[tuple[Step, ...]] = [
                (one,)
                for name in self.program.updates
                for one in self._readings(name, self.program.module[name])
            ]
            needs = bool(behind) or bool(_before(step))
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
                yield from ((*one, step, *last) for last in behind or [()])

    def other_calls(self) -> Iterator[tuple[Step, ...]]:
        """Yield calls of other methods of the object: one may need what another has done."""
        for name in self.program.others:
            yield from ((one,) for one in self._readings(name, getattr(self.program.made, name)))

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
        if name and "output" in roles and "Y" not in roles and is_step(name):
            roles = ["Y" if role == "output" else role for role in roles]
        sized = {"thetas", "Y", "size0", "sizeK"} <= set(roles)
        if "lam" not in roles and (sized or plain(self.program.name) in _OF_A_POINT):
            # What one port of a course calls a learning rate is lambda: it makes no step.
            roles = ["lam" if role == "rate" else role for role in roles]
        if "biases" not in roles:
            roles = ["thetas" if role == "weights" else role for role in roles]
        needed = [
            place for place, one in enumerate(parameters)
            if one.default is one.empty and not roles[place]
        ]  # fmt: skip
        missing = [role for role in self._wanted(roles) if role not in roles]
        if name:
            missing = [role for role in missing if role in ("thetas", "X", "rate")]
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

    def _no_weights(self) -> str:
        """Say that nothing holds weights, if that is why nothing was called."""
        if self.program.is_function:
            return (
                f"{self.program.name} takes no weights, and its module holds none before it is "
                "called: it makes its own. State which parameter has them, --argument NAME=thetas, "
                f"or add this to the file, and give it:\n{ADAPTER}"
            )
        return (
            f"an object as {self.program.name.partition('.')[0]} makes it holds no weights: they "
            "may be made in its training method, or by layers that are added. Make them in "
            f"__init__, or add this to the file, and give it:\n{ADAPTER}"
        )

    def _no_forward(self, possible: list[tuple[Step, ...]]) -> str:
        """Say that nothing fills a cache, if that is why nothing was called."""
        wanted = {role for steps in possible for role in _before(steps[-1])}
        if not wanted:
            return ""
        return (
            f"{self.program.name} wants what a forward pass leaves, and none was found beside it "
            "that returns it: give both, FILE:FORWARD,BACKWARD"
        )

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

    def question(self, possible: list[tuple[Step, ...]], called: bool) -> str:
        """Return what has to be stated, or done, before anything can be called; "" if nothing.

        *called* is whether something was called.
        """
        if possible:
            return "" if called else self._no_forward(possible) or self._no_weights()
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


_OF_A_POINT = ("gradient", "gradientreg", "gradientregularized", "regularizedgradient", "cost",
               "costreg", "gradientwithloop")  # fmt: skip
"""Functions that give a gradient, or a cost, and make no step."""


def _before(step: Step) -> list[str]:
    """Return the roles of a call that a forward pass must have filled."""
    return [
        role for _, role in step.arguments
        if role in ("output", "cache") or role.startswith("named:")
    ]  # fmt: skip


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
