"""What somebody handed in, whatever it is: a function, saved arrays, or an autograd class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .diagnosis.reporting import PartsReport, Report
from .diagnosis.running.process import EngineGivenError
from .diagnosis.submissions import diagnose_file
from .engines import check_engine_file

_LIMITS = ("time_limit", "memory_limit", "allow_chainrule")


def report_on(target: str, **options: Any) -> Report | PartsReport:
    """Return the report on *target*: ``file.py:name``, or saved arrays.

    A class with arithmetic is examined as an engine; anything else is diagnosed. *options* and
    errors are those of ``diagnose_file``.
    """
    try:
        return diagnose_file(target, **options)
    except EngineGivenError:
        path, _, name = target.rpartition(":")
        limits = {key: what for key, what in options.items() if key in _LIMITS}
        return check_engine_file(Path(path), name, **limits)
