"""Somebody's own autograd class: whether it is right, and which mistake it makes.

``operations`` and ``programs`` are what an engine is asked, ``running.exam`` asks it, ``replay`` is
a reference engine that can be told to make the mistakes of ``mistakes``, ``search`` finds those
that explain the answers, and ``examination`` writes the report.
"""

from __future__ import annotations

from .check import check_engine, check_engine_file

__all__ = ["check_engine", "check_engine_file"]
