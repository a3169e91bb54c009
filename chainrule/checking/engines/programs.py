"""The exam: small programs, each of which looks at one thing.

A program is instructions as ``running.exam`` reads them. Every operation has its own: alone, below
a product (what comes from above must be passed on), and beside another use of its operand (what it
passes on must be added). The others look at the order of a backward pass, at a second one, and at
how deep a graph may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from ..diagnosis.running.exam import needed
from .operations import OPERATIONS, written

DEEP = 1200
"""How many nodes stand in a chain: more than Python's recursion limit, and few to a program."""
_LETTERS = "abcdefgh"


@dataclass(frozen=True, eq=False)
class Program:
    """One program of the exam."""

    about: str
    """What it looks at: alone, above, shared, order, twice, zero, equal, deep or extreme."""
    steps: tuple[tuple[Any, ...], ...]
    form: str = ""
    """The form of the operation it is about; "" if it is about all of them."""

    @cached_property
    def needs(self) -> frozenset[str]:
        """The forms of operations that it uses."""
        return frozenset(needed(self.steps))

    def leaves(self) -> list[str]:
        """Return the names of its leaves, in the order of their gradients."""
        return [_LETTERS[k] for k in range(sum(step[0] == "leaf" for step in self.steps))]

    def text(self, make: str = "Value") -> str:
        """Return it as a line of Python.

        >>> leaf, other, product = ("leaf", 1.5), ("leaf", -2.0), ("apply", "mul", 0, 1)
        >>> Program("alone", (leaf, other, product, ("backward", 2))).text()
        'a, b = Value(1.5), Value(-2.0); y = a * b; y.backward()'
        """
        names: list[str] = []
        leaves: list[str] = []
        lines: list[str] = []
        last = [k for k, step in enumerate(self.steps) if step[0] in ("apply", "again", "sum")]
        for place, (name, *rest) in enumerate(self.steps):
            called = ""
            if name == "leaf":
                called = _LETTERS[len(leaves)]
                leaves.append(f"{make}({rest[0]})")
            elif name == "number":
                called = str(rest[0])
            elif name in ("apply", "again", "sum"):
                called = "y" if place == last[-1] else f"t{last.index(place) + 1}"
                operands = [names[k] for k in (rest if name == "sum" else rest[1:3])]
                if name == "sum":
                    lines.append(f"{called} = sum([{', '.join(operands)}])")
                elif name == "again":
                    lines.append(
                        f"{called} = {operands[0]}; {rest[3]} times "
                        f"{called} = {written(rest[0] + ':VV', [called, operands[1]])}"
                    )
                else:
                    lines.append(f"{called} = {written(rest[0] + ':', operands)}")
            elif name == "backward":
                lines.append(f"{names[rest[0]]}.backward()")
            elif name == "clear":
                lines.append(" = ".join(f"{leaf}.grad" for leaf in self.leaves()) + " = 0")
            elif name == "zero":
                lines.append("zero_grad() of every node")
            names.append(called)
        return "; ".join([f"{', '.join(self.leaves())} = {', '.join(leaves)}", *lines])


@cache
def exam() -> tuple[Program, ...]:
    """Return the whole exam, the plainest programs first, and last what may end a process."""
    found: list[Program] = []
    for name, operation in OPERATIONS.items():
        for kinds in ("VV", "VN", "NV") if len(operation.partials) == 2 else ("V",):
            found += _of_form(name, kinds)
    found += _general()
    for name, operation in OPERATIONS.items():
        if operation.extreme is not None:
            steps = (("leaf", operation.extreme), ("apply", name, 0), ("backward", 1))
            found.append(Program("extreme", steps, f"{name}:V"))
    deep = (("leaf", 1.3), ("leaf", 0.001), ("again", "add", 0, 1, DEEP), ("backward", 2))
    return (*found, Program("deep", deep))


def _of_form(name: str, kinds: str) -> Iterator[Program]:
    form = f"{name}:{kinds}"
    points: Sequence[tuple[float, ...]] = OPERATIONS[name].points
    if name == "pow" and kinds == "VN":
        points = (*points, (-1.7, 2.0), (1.9, 2))
    elif "N" in kinds:
        points = (*points, (1.9, 3))
    for point in points:
        operands = [
            ("leaf" if kind == "V" else "number", number)
            for kind, number in zip(kinds, point, strict=True)
        ]
        here = len(operands)
        apply = ("apply", name, *range(here))
        yield Program("alone", (*operands, apply, ("backward", here)), form)
    for point in points[:2]:
        operands = [
            ("leaf" if kind == "V" else "number", number)
            for kind, number in zip(kinds, point, strict=True)
        ]
        for factor in (1.9, -1.7) if kinds == "V" else (1.9,):
            above = (*operands, ("leaf", factor), ("apply", name, *range(here)))
            yield Program(
                "above",
                (*above, ("apply", "mul", here + 1, here), ("backward", here + 2)),
                form,
            )
        for place, kind in enumerate(kinds):
            if kind == "V":
                shared = (*operands, ("apply", name, *range(here)))
                other = "mul" if name == "add" else "add"
                yield Program(
                    "shared",
                    (*shared, ("apply", other, here, place), ("backward", here + 1)),
                    form,
                )
                yield Program(
                    "shared",
                    (*shared, ("apply", "add", here, here), ("backward", here + 1)),
                    form,
                )
    if kinds == "VV":
        for number in (1.3, 0.7):
            yield Program(
                "shared", (("leaf", number), ("apply", name, 0, 0), ("backward", 1)), form
            )
        three = (("leaf", 1.3), ("leaf", 0.7), ("leaf", 1.9), ("apply", name, 0, 1))
        yield Program("above", (*three, ("apply", name, 3, 2), ("backward", 4)), form)
        yield Program("shared", (*three, ("apply", name, 3, 0), ("backward", 4)), form)
        yield Program("shared", (*three, ("apply", name, 3, 1), ("backward", 4)), form)


def _general() -> Iterator[Program]:
    x, y, z = ("leaf", 1.3), ("leaf", -0.7), ("leaf", 1.9)
    times = ("apply", "mul", 0, 1)  # 3, in most programs: s = x * y

    def order(*steps: tuple[Any, ...]) -> Program:
        return Program("order", (*steps, ("backward", len(steps) - 1)))

    # One node reached by paths of different lengths, on either side.
    yield order(x, y, z, times, ("apply", "add", 3, 0), ("apply", "mul", 4, 3))
    yield order(x, y, z, times, ("apply", "add", 3, 0), ("apply", "mul", 3, 4))
    yield order(
        x, y, z, times, ("apply", "mul", 3, 2), ("apply", "mul", 4, 0), ("apply", "add", 3, 5)
    )
    yield order(
        x, y, z, times, ("apply", "mul", 3, 2), ("apply", "mul", 4, 0), ("apply", "add", 5, 3)
    )
    yield order(x, y, z, ("apply", "add", 0, 1), ("apply", "mul", 3, 3), ("apply", "mul", 4, 3))
    yield order(x, y, z, times, ("apply", "mul", 0, 2), ("apply", "add", 3, 4))
    yield order(x, y, z, times, ("apply", "mul", 3, 2), ("apply", "mul", 4, 2))
    yield order(
        x, y, z, times, ("apply", "add", 3, 2), ("apply", "mul", 4, 4), ("apply", "add", 5, 4),
        ("apply", "mul", 6, 3),
    )  # fmt: skip
    yield order(x, y, z, ("apply", "mul", 1, 2), ("apply", "add", 0, 3), ("apply", "mul", 4, 2))
    yield order(x, y, z, ("apply", "add", 2, 1), ("apply", "add", 3, 0), ("apply", "add", 4, 3))
    yield order(x, y, z, ("sum", 0, 1, 2, 0))

    below = (x, y, z, times)
    yield Program("twice", (*below, ("apply", "mul", 3, 2), ("backward", 4), ("backward", 4)))
    yield Program("twice", (x, y, times[:1] + times[1:], ("backward", 2), ("backward", 2)))
    yield Program(
        "twice",
        (*below, ("apply", "mul", 3, 2), ("backward", 4), ("apply", "mul", 0, 2), ("backward", 6)),
    )
    yield Program(
        "twice",
        (
            *below, ("apply", "mul", 3, 2), ("apply", "mul", 0, 3), ("backward", 4),
            ("backward", 5),
        ),
    )  # fmt: skip
    yield Program(
        "twice",
        (*below, ("apply", "mul", 3, 2), ("backward", 4), ("clear",), ("backward", 4)),
    )
    yield Program(
        "twice",
        (
            *below, ("apply", "mul", 3, 2), ("backward", 4), ("clear",),
            ("apply", "mul", 0, 2), ("apply", "mul", 7, 1), ("backward", 8),
        ),
    )  # fmt: skip
    yield Program("zero", (x, y, times[:1] + times[1:], ("backward", 2), ("zero",)))
    yield Program(
        "zero", (*below, ("apply", "mul", 3, 2), ("backward", 4), ("zero",), ("backward", 4))
    )
    same = (("leaf", 1.5), ("leaf", 1.5), z, ("apply", "add", 0, 2), ("apply", "add", 1, 2))
    yield Program("equal", (*same, ("apply", "mul", 3, 4), ("backward", 5)))
    yield Program("equal", (*same[:2], ("apply", "mul", 0, 1), ("backward", 2)))
    yield Program("leaf", (x, ("backward", 0)))
