"""The engine: the table of primitives, Values, the two sweeps over a graph, and transforms."""

from . import copying as copying  # its import registers how graphs are copied and pickled
from .backend import Value

__all__ = ["Value"]
