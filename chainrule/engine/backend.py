"""Which ``Value`` this process uses: the one in C where it was built, else the reference."""

from __future__ import annotations

from .value import Value, make_node

backend = "python"

__all__ = ["Value", "backend", "make_node"]
