"""The compiler: write scalars, run matrices.

A scalar graph is lifted back to matrix form in passes, a module each: ``tape`` (flat arrays, sums
of products), ``groups`` (alike nodes, matrix products), ``layout`` (where every number is kept),
``adjoint`` (the backward program) and ``numpy_source`` (NumPy that a person can read).  What passes
between the last three is ``program``, an array program as plain data.  A graph in which nothing is
alike gains nothing by that: ``replay`` does it again scalar by scalar.
"""

from ..engine.modes import TraceError
from .compiled import Compiled, compile
from .program import Operation, Program

__all__ = ["Compiled", "Operation", "Program", "TraceError", "compile"]
