"""The compiler: write scalars, run matrices.

A scalar graph is lifted to matrix form in passes, which ``docs/compiler.md`` follows through an
example: ``tape`` (1 flat arrays, 2 sums of products), ``groups`` (3 groups of alike nodes,
4 products), ``layout`` (5, where every number is kept), ``adjoint`` (6, the backward program),
``numpy_source`` (7, NumPy that a person can read) and ``rewriting`` (8, kept arrays).  From pass 5
on the graph is a ``program``, an array program as plain data.  A graph in which hardly any nodes
are alike gains nothing from this; ``replay`` (9) runs its operations again one by one.
"""

from ..engine.modes import TraceError
from .compiled import Compiled, compile
from .program import Operation, Program

__all__ = ["Compiled", "Operation", "Program", "TraceError", "compile"]
