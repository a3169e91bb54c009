"""The engine: the table of primitives, Values, the two sweeps over a graph, and transforms."""

from . import copying as copying  # registers how a graph is copied and pickled
from .backend import Value

__all__ = ["Value"]
