"""The compiler: write scalars, run matrices.

A scalar graph is lifted to matrix form in passes, which ``docs/compiler.md`` follows through an
example: ``tape`` (1 flat arrays, 2 sums of products), ``groups`` (3 groups of alike nodes,
4 products), ``layout`` (5, which array holds a number), ``adjoint`` (6, the backward program),
``lowering`` (7, the plan: a place for every number, and steps) and ``printers`` (8, NumPy that a
person can read).  From pass 5 on the graph is a ``program``, an array program as plain data.  What
runs is the plan, on the ``machine``, in C or in NumPy.  A graph in which hardly any nodes are alike
gains nothing from this; ``flat`` (9) makes a step of the plan of every operation.
"""

from ..engine.modes import TraceError
from .compiled import Compiled
from .compiling import compile
from .program import Operation, Program
from .workers import ShardError

__all__ = ["Compiled", "Operation", "Program", "ShardError", "TraceError", "compile"]
