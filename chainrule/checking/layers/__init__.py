"""Somebody's own layer, forward and backward: which gradient is the first wrong one, and why.

``kinds`` has the layers step by step, ``mistakes`` how a step comes out different, ``calling`` how
people's functions are called, and ``check`` compares and reports.
"""

from __future__ import annotations

from .check import check_layer

__all__ = ["check_layer"]
