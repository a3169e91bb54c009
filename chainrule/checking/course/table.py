"""The table that ``chainrule demo notes`` prints: every formula with its numbers and a verdict."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .formulas import FORMULAS, Formula
from .network import Instance


@dataclass(frozen=True)
class Row:
    """A formula with its numbers on one network."""

    formula: Formula
    graph: float
    """The entry of the left side that is largest in size, from the graph."""
    closed: float
    """The same entry from the formula."""
    difference: float
    """Relative to that largest entry, the largest difference in any entry."""
    printed: float | None
    """The same for the formula as printed; None where print is right."""

    @property
    def verdict(self) -> str:
        """One of "holds", "holds as corrected", "does not hold"."""
        if not self.difference <= 1e-12:
            return "does not hold"
        return "holds as corrected" if self.formula.erratum else "holds"


def relative_difference(graph: Any, closed: Any) -> float:
    """Return the largest difference between two arrays, relative to the largest entry of *closed*.

    >>> relative_difference([1.0, 200.0], [2.0, 200.0])
    0.005
    """
    graph, closed = np.asarray(graph, dtype=float), np.asarray(closed, dtype=float)
    if graph.shape != closed.shape:
        raise ValueError(f"shapes {graph.shape} and {closed.shape} cannot be compared")
    scale = float(np.max(np.abs(closed)))
    worst = float(np.max(np.abs(graph - closed)))
    return worst / scale if scale else worst


def check(formula: Formula, problem: Instance) -> Row:
    """Return *formula*'s numbers on the network of *problem*."""
    graph, closed = np.asarray(formula.graph(problem)), np.asarray(formula.closed(problem))
    printed = None
    if formula.printed is not None:
        left = graph if formula.printed_left is None else formula.printed_left(problem)
        printed = relative_difference(formula.printed(problem), left)
    largest = np.argmax(np.abs(closed))
    return Row(
        formula,
        float(np.ravel(graph)[largest]),
        float(np.ravel(closed)[largest]),
        relative_difference(graph, closed),
        printed,
    )


def example(formula: Formula) -> Instance:
    """Return the network on which the table shows *formula*: that of its own set of notes.

    Notes A draw 2-2-2-1, notes C a chain of single neurons before they widen it; the rest is shown
    on 3-4-3-2. All have seven examples and lambda = 1.3: with one example, or without a penalty,
    several wrong formulas would hold by accident.
    """
    setting = formula.setting
    if setting.widest == 1:
        sizes = [1, 1, 1, 1]
    elif formula.code.startswith("A"):
        sizes = [2, 2, 2, 1]
    else:
        sizes = [3, 4, 3, setting.outputs or 2]
    greatest = setting.depth[1]
    if greatest < 3:
        sizes = [*sizes[:greatest], sizes[-1]]
    return Instance(setting, sizes, m=7, lam=1.3, seed=3)


def table() -> list[Row]:
    """Return every formula's row, A1 to C8."""
    return [check(formula, example(formula)) for formula in FORMULAS]


def as_text(rows: Sequence[Row]) -> str:
    """Return the table for a terminal, two lines a formula and a third where print is wrong."""
    head = f"{'':9}{'graph':>20}{'closed form':>20}{'difference':>13}  verdict"
    lines = [head, "-" * len(head + " as corrected")]
    for row in rows:
        numbers = f"{row.graph:>20.12g}{row.closed:>20.12g}{row.difference:>13.1e}"
        lines += [f"{row.formula.code:9}{row.formula.text}", f"{'':9}{numbers}  {row.verdict}"]
        if row.formula.erratum:
            note = f"{row.formula.erratum} {_off(row)}"
            lines += textwrap.wrap(note, 88, initial_indent=" " * 9, subsequent_indent=" " * 9)
    corrected = sum(bool(row.formula.erratum) for row in rows)
    wrong = sum(row.verdict == "does not hold" for row in rows)
    lines += [
        "",
        f"{len(rows)} formulas: {len(rows) - corrected - wrong} hold as printed, {corrected} hold "
        f"as corrected, {wrong} do not hold.",
        "The number is the largest entry of the left side, the difference the largest of any entry "
        "relative to it.",
        "Notes A on a 2-2-2-1 network, B on 3-4-3-2, C on 1-1-1-1 and 3-4-3-2; seven examples, "
        "lambda 1.3.",
    ]
    return "\n".join(lines) + "\n"


_ABOUT = (
    "The letter says which set of notes a formula is in:",
    "",
    "- **A**, backpropagation by example: a 2-2-2-1 network with sigmoid units and the logistic",
    "  cost; the cost with its penalty, what a delta is, and the deltas written out unit by unit.",
    "  Θ⁽ˡ⁾ leads from layer l to layer l + 1, its column 0 belongs to the bias unit a₀ = 1.",
    "- **B**, the derivation and the algorithm: squared errors first (rows are examples there, and",
    "  z = aΘ), then K outputs with the logistic cost, δ going back from layer to layer, and the",
    "  algorithm that adds up Δ over the examples and makes the gradient D of it.",
    "- **C**, the calculus: the cost (a - y)², one chain of neurons and then whole layers, with",
    "  weights w and biases b apart; any activation g, the tanh and the ReLU among them.",
)
"""What the three sets of notes are."""


def as_markdown(rows: Sequence[Row]) -> str:
    """Return the table as a Markdown page."""
    lines = [
        "# The course notes, checked",
        "",
        "Made by `chainrule demo notes --markdown`. Each number is the largest entry of the "
        "formula's left side, on one network; the difference is the largest of any entry, relative "
        "to it. The tests repeat the comparison on many random networks.",
        "",
        *_ABOUT,
        "",
        "| | formula | graph | closed form | difference | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        text = row.formula.text.replace("|", "\\|").replace("*", "\\*")
        lines.append(
            f"| {row.formula.code} | {text} | {row.graph:.12g} | {row.closed:.12g} "
            f"| {row.difference:.1e} | {row.verdict} |"
        )
    lines += ["", "## What is wrong in print", ""]
    lines += [
        f"- **{row.formula.code}.** {row.formula.erratum} {_off(row)}"
        for row in rows
        if row.formula.erratum
    ]
    return "\n".join(lines) + "\n"


def _off(row: Row) -> str:
    return "" if row.printed is None else f"As printed it is off by {row.printed:.0%}."
