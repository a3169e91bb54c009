"""The course notes, formula by formula: the graph's number beside the closed form's.

Three sets of notes on backpropagation (A: intuition, B: derivation and algorithm, C: calculus) give
some thirty formulas. Each is an entry of ``FORMULAS``: what it says, what was wrong in print if
anything was, and two roads to the quantity on its left side. One road is the scalar graph, which
knows no formula but the chain rule. The other is the formula itself, in NumPy. ``table`` holds the
two against each other; a formula whose print is wrong also gets the number that print would give.

>>> row = table()[3]
>>> row.formula.code, row.verdict, abs(row.graph - row.closed) < 1e-15
('A4', 'holds as corrected', True)
"""

from .formulas import FORMULAS, Formula
from .network import Instance, Setting
from .table import Row, as_markdown, as_text, check, example, table

__all__ = [
    "FORMULAS",
    "Formula",
    "Instance",
    "Row",
    "Setting",
    "as_markdown",
    "as_text",
    "check",
    "example",
    "table",
]
