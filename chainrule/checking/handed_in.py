"""What somebody handed in, whatever it is: a function, saved arrays, or an autograd class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from .diagnosis.reporting import PartsReport, Report
from .diagnosis.running.process import EngineGivenError
from .diagnosis.submissions import diagnose_file
from .engines import check_engine_file
from .intake.locating import locate

_LIMITS = ("time_limit", "memory_limit", "allow_chainrule")


def report_on(target: str, **options: Any) -> Report | PartsReport:
    """Return the report on *target*: ``file.py:name``, ``file.py`` alone, or saved arrays.

    It is headed by the function and its file. A class with arithmetic is examined as an engine;
    anything else is diagnosed. *options* and errors are those of ``diagnose_file``.
    """
    path, _, name = target.rpartition(":")
    try:
        report = diagnose_file(target, **options)
    except EngineGivenError:
        limits = {key: what for key, what in options.items() if key in _LIMITS}
        file, found, _ = locate(target)
        return check_engine_file(file, found, **limits)
    if path and all(part.isidentifier() for part in name.split(".")):
        return replace(report, name=f"{name} in {Path(path).name}")
    return report
