"""How a report on an engine puts operations, derivatives and ratios into words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..text import number
from .operations import OPERATIONS, written
from .search import Answer, Explanation, differs


@dataclass(frozen=True)
class Texts:
    """What stands for what in the texts of a row."""

    method: str
    operand: str = "its operand"
    rule: str = "its derivative"
    zero: str = "zero_grad"

    def put(self, text: str) -> str:
        return text.format(method=self.method, operand=self.operand, rule=self.rule, zero=self.zero)


PLAIN = frozenset(
    f"{name}:{'VV' if len(row.partials) == 2 else 'V'}"
    for name, row in OPERATIONS.items()
    if name != "pow"
)
"""The forms that take nodes alone: an exception there is more than something missing."""


def as_written(form: str) -> str:
    """Return an operation as a program has it, such as ``a * b``."""
    return written(form, letters(form))


def letters(form: str) -> list[str]:
    """Return what stands for the operands of a form when it is shown."""
    return {"V": ["a"], "VV": ["a", "b"], "VN": ["a", "2"], "NV": ["2", "a"]}[
        form.partition(":")[2]
    ]


def rules(forms: Iterable[str]) -> str:
    """Return the derivatives of the first of *forms*."""
    name = next(iter(forms), "").partition(":")[0]
    return "; ".join(OPERATIONS[name].rules) if name else ""


def chain_rule(forms: Iterable[str], category: str) -> str:
    """Return the derivatives of *forms*, and how a gradient takes them if that is the mistake."""
    found = rules(forms)
    if found and category in ("upstream", "accumulate"):
        name = "a" if "dy/da" in found else "x"
        return f"{name}.grad += dy/d{name} * y.grad, with {found}"
    return found


def support(explanation: Explanation) -> str:
    """Say in how many programs an *explanation* gives the numbers that were read."""
    count = len(explanation.answers)
    programs = "program that is" if count == 1 else f"{count} programs that are"
    return f"A reference engine with this mistake gives your numbers in the {programs} wrong."


def ratio(answers: Sequence[Answer]) -> str:
    """Say so if all that is wrong is wrong by one factor."""
    ratios = [read / should for one in answers for _, read, should in differs(one) if should]
    if ratios and max(ratios) - min(ratios) < 1e-6 * max(1.0, abs(ratios[0])):
        return f"It is {number(ratios[0])} times what is right, wherever it is wrong."
    return ""
