"""A whole printed module: its imports, the functions that it calls, its functions, constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ....engine.table import Primitive
from ...addresses import AnyArray
from ...plan import Plan
from ...program import Program, distinct_names
from ..literals import nested
from .elementwise import Rows
from .pure import PureEmitter
from .spelling import DEFAULTS, Spelling
from .steps import StepsPrinter


@dataclass(frozen=True)
class Printed:
    """A program as text."""

    head: str
    functions: Sequence[str]
    constants: dict[str, AnyArray]
    tables: dict[str, tuple[str, ...]]
    """Names of tuples of constants."""

    def source(self) -> str:
        """Return the whole module."""
        parts = [self.head, *self.functions]
        lines = [
            f"{name} = {_maker(array)}({nested(array, 'xp')})"
            for name, array in self.constants.items()
        ]
        lines += [f"{name} = {', '.join(names)}" for name, names in self.tables.items()]
        return "\n\n\n".join([*parts, *(["\n".join(lines)] if lines else [])]) + "\n"

    def loaded(self, **names: Any) -> dict[str, Any]:
        """Return the names that the module defines, with *names* put in place of its own.

        The constants are made from arrays, not from text.
        """
        space: dict[str, Any] = {}
        exec(self.head, space)
        space |= names
        exec("\n\n\n".join(self.functions), space)
        for name, array in self.constants.items():
            space[name] = space[_maker(array)](array)
        for name, some in self.tables.items():
            space[name] = tuple(space[x] for x in some)
        return space


def _maker(array: AnyArray) -> str:
    return "constant" if array.dtype.kind == "f" else "indices"


def head(spelling: Spelling, module: str, precision: str, device: str | None) -> str:
    """Return the imports, and the type of numbers."""
    lines = [spelling.head.format(module=module), "", f"dtype = xp.{precision}"]
    if spelling.device:
        lines.append(f"device = {device!r}")
    return "\n".join(lines)


def write(
    program: Program,
    spelling: Spelling,
    module: str = "",
    precision: str = "float64",
    device: str | None = None,
) -> Printed:
    """Return *program* as ``forward`` and, if it has one, ``gradient``: pure functions."""
    rows = Rows(spelling)
    functions = PureEmitter(program, rows).functions()
    return printed_with(rows, functions, head(spelling, module, precision, device))


def write_steps(
    plans: Mapping[str, Plan],
    inputs: Sequence[str],
    spelling: Spelling,
    module: str = "",
    precision: str = "float64",
    device: str | None = None,
) -> Printed:
    """Return plans of single steps and loops as functions of the parameters and *inputs*."""
    rows = Rows(spelling)
    names = names_in(plans)
    functions = [
        StepsPrinter(plan, rows, [names[row] for row in plan.rows]).function(name, inputs)
        for name, plan in plans.items()
    ]
    return printed_with(rows, functions, head(spelling, module, precision, device))


def printed_words(spelling: Spelling, start: str) -> Printed:
    """Return all words of a library, without a program."""
    rows = Rows(spelling)
    for name in DEFAULTS:
        rows.helper(name)
    return printed_with(rows, [], start)


def names_in(plans: Mapping[str, Plan]) -> dict[Primitive, str]:
    """Return the names by which the operations of *plans* are called."""
    rows = list(dict.fromkeys(row for plan in plans.values() for row in plan.rows))
    return dict(zip(rows, distinct_names(row.name for row in rows), strict=True))


def printed_with(rows: Rows, functions: Sequence[str], start: str) -> Printed:
    """Return *functions* with all that they call."""
    helpers = list(rows.helpers.values())
    if any("math." in text for text in [*helpers, *functions]) and "import math" not in start:
        start = f"import math\n\n{start}"
    return Printed(start, [*helpers, *functions], rows.constants, rows.tables)
