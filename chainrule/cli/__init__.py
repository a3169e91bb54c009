"""The command line: ``chainrule demo``, ``draw``, ``check``, ``grade`` and others."""

from .main import main

__all__ = ["main"]
