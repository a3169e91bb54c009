"""The command line: ``chainrule demo``, ``draw``, ``check`` and ``bench``."""

from .main import main

__all__ = ["main"]
