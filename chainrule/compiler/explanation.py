"""The figures in ``stats`` and the report of ``explain()``: what each pass found, for people."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from .accesses import read, written
from .groups import Group, Grouping
from .layout import Layout
from .plan import BLOCK, STILL, SUMS, Operand, Plan, Step
from .program import Operation, Program
from .tape import ONE, Tape

FREE = frozenset({"input", "parameter", "constant", "view", "reshape", "count", "broadcast"})
"""Kinds of operation that do not move a number."""

STRETCHES = frozenset(
    {"segment_sum", "maximum", "minimum", "logsumexp", "softmax", "logsumexp_slopes"}
    | {"softmax_pullback"}
)
"""Kinds of operation on the last axis, or on stretches of it where they have a detail."""


def stats(tape: Tape, program: Program) -> dict[str, Any]:
    """Return the figures of a program.

    ``nodes`` is the size of the graph that was recorded, ``forward`` and ``gradient`` are the array
    operations of the two functions (views and constants cost nothing and do not count),
    ``products`` the matrix products among them, and ``gathers`` those that copy elements by a list
    of addresses.
    """
    operations = program.operations
    found: dict[str, Any] = {"nodes": tape.recorded}
    results = {"forward": program.outputs}
    if program.cost is not None:
        results["gradient"] = [program.cost, *(x for _, x in program.gradients)]
    for name, wanted in results.items():
        kinds = Counter(operations[n].kind for n in program.needed(wanted))
        found[name] = sum(count for kind, count in kinds.items() if kind not in FREE)
        found[f"{name} products"] = kinds["matmul"] + kinds["linked_matmul"]
        found[f"{name} gathers"] = kinds["take"]
    found["why gathers"] = _reasons(program)
    found["way"] = ""
    return found


def narrow_stats(tape: Tape, groups: int) -> dict[str, Any]:
    """Return the figures of a graph without width, and the reason why it has no array program."""
    why = f"no width: {tape.recorded:,} nodes in {groups:,} groups; every node is a step of its own"
    names = ("forward", "gradient") if len(tape.outputs) == 1 else ("forward",)
    zeros = {f"{name}{what}": 0 for name in names for what in ("", " products", " gathers")}
    reason = "0 for nodes that have few alike: their operands are not gathered"
    return {"nodes": tape.recorded, **zeros, "why gathers": [reason], "way": why}


def _reasons(program: Program) -> list[str]:
    """Return one line for each reason why elements are gathered rather than viewed."""
    operations = program.operations
    users: dict[int, list[Operation]] = {}
    for operation in operations:
        for x in operation.args:
            if type(x) is int:
                users.setdefault(x, []).append(operation)
    reasons: Counter[str] = Counter()
    for number, operation in enumerate(operations):
        if operation.kind != "take":
            continue
        if operation.args[0] in program.pools:
            reasons["operands of nodes that have few alike"] += 1
        elif _uneven(operation, users.get(number, []), operations):
            reasons["sums of different lengths"] += 1
        else:
            reasons["operands in no even order"] += 1
    return [f"{count} for {reason}" for reason, count in reasons.items()]


def _uneven(gather: Operation, users: list[Operation], operations: list[Operation]) -> bool:
    """Return whether a *gather* reads from, or is read by, stretches of different lengths."""
    beside = [operations[int(gather.args[0])], *users]
    return any(x.kind in STRETCHES and x.detail is not None for x in beside)


def passes(tape: Tape, grouping: Grouping, layout: Layout) -> list[tuple[str, str]]:
    """Return what each pass found, as titles and texts."""
    products = [terms.product for part in grouping.groups for terms in part.terms if terms.product]
    program = layout.program
    arrays = [
        f"  {program.names.get(n, f'operation {n}')}: shape {operation.shape}"
        + (" for each example" if operation.batched else "")
        for n, operation in enumerate(program.operations)
        if n in program.names or operation.kind == "parameter"
    ]
    return [
        *tape_passes(tape),
        ("3. Groups of alike nodes", "\n".join(map(_group_line, grouping.groups))),
        (
            "4. Products",
            "\n".join(
                f"  {_times(p.left.shape)} by {_times(p.right.shape)} transposed" for p in products
            )
            or "  none",
        ),
        ("5. Layout", "\n".join(arrays)),
        (
            "6. Backward",
            f"  {len(program.operations)} operations, forward and backward; a derivative for "
            f"{len(program.gradients)} arrays of parameters",
        ),
    ]


def tape_passes(tape: Tape) -> list[tuple[str, str]]:
    """Return what the first two passes found, as titles and texts."""
    sums = int((np.diff(tape.term_starts) > 0).sum())
    return [
        (
            "1. Flat arrays",
            f"  {tape.recorded} nodes recorded; {len(tape)} numbers for them and their "
            "constants, where equal nodes share one",
        ),
        (
            "2. Sums of products",
            f"  all additions have become {sums} sums with {tape.terms.shape[1]} terms",
        ),
    ]


def _times(shape: tuple[int, ...]) -> str:
    stack, rows, columns = shape
    return (f"{stack} times " if stack > 1 else "") + f"({rows}, {columns})"


def _group_line(part: Group) -> str:
    count = f"  {len(part.members):6d} x "
    if part.row is not None:
        return count + part.row.name + (", of different kinds" if part.lump else "")
    kinds = []
    for terms in part.terms:
        each = terms.each
        number = "different numbers" if each is None else str(each)
        plain = bool((terms.right == ONE).all())
        kinds.append(f"{number} of {'- ' if terms.sign < 0 else ''}{'a' if plain else 'a * b'}")
    return count + "sum of " + " and ".join(kinds)


# --- the plan ------------------------------------------------------------------------------------

_SPACES = {STILL: "still", BLOCK: "row", SUMS: "sum"}


def plan_report(plans: dict[str, Plan]) -> str:
    """Return the plans of both functions as text: sizes, steps, lifetimes, and costs."""
    return "\n".join(_plan_text(name, plan) for name, plan in plans.items())


def _plan_text(name: str, plan: Plan) -> str:
    steps = [*plan.before, *plan.each, *plan.after]
    lines = [
        f"  {name}: {len(steps)} steps; for every example {plan.block} rows; in all "
        f"{len(plan.still)} numbers that are the same for all examples, and {plan.sums} sums"
    ]
    until = _lifetimes(plan)
    number = 0
    for title, part in (
        ("before", plan.before),
        ("for each block of examples", plan.each),
        ("after", plan.after),
    ):
        if part:
            lines.append(f"    {title}:")
        for step in part:
            lines.append(f"    {number:5}  {_step_text(plan, step)}{until[number]}")
            number += 1
    return "\n".join(lines)


def _step_text(plan: Plan, step: Step) -> str:
    name = plan.rows[step.detail[0]].name if step.code in ("apply", "call") else step.code
    if step.code == "loop":
        return "{} times the next {} steps".format(*step.detail)
    if not step.operands:
        return f"{name} of {len(plan.tables[step.detail[-1]])}"
    result, *args = [_place_text(x) for x in step.operands]
    extents = " x ".join(map(str, step.extents))
    return f"{result:>10} <- {name}({', '.join(args)}), {extents}"


def _place_text(x: Operand) -> str:
    return f"{_SPACES[x.space]} {x.offset}"


def _lifetimes(plan: Plan) -> list[str]:
    """Return, for every step, until when its result is needed, if that is a step after the next."""
    steps = [*plan.before, *plan.each, *plan.after]
    last: dict[tuple[int, int], int] = {}
    found = [""] * len(steps)
    if any(step.code == "loop" for step in steps):
        return found  # what a round leaves may be needed in the next one
    for number in range(len(steps) - 1, -1, -1):
        step = steps[number]
        until = number
        for space, addresses in written(plan, step):
            for place in addresses.tolist():
                until = max(until, last.pop((space, place), number))
        if until > number + 1:
            found[number] = f", read until {until}"
        for space, addresses in read(plan, step):
            for place in addresses.tolist():
                last.setdefault((space, place), number)
    return found
