"""Somebody's file, diagnosed: a function that is called, or arrays that it saved."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..problem import drawn
from ..saved import check_is_file, read_arrays, read_problem
from .diagnose import Stated, diagnose, diagnose_calls, problems_for
from .reporting import Report
from .running.process import caller_of_file


def diagnose_file(
    target: str,
    *,
    network: Path | None = None,
    time_limit: float = 10.0,
    memory_limit: int = 2048,
    allow_chainrule: bool = False,
    seed: int | None = None,
    **stated: Any,
) -> Report:
    """Return the report on *target*: ``file.py:function``, or saved arrays, ``.npz`` or ``.npy``.

    The function runs in a process of its own, see :func:`process.caller_of_file`. *network* is a
    file as ``--save-network`` writes it, by default the probe network. *stated* is what is known of
    it: lam, loss, activation, output_activation, reduction, as in :func:`diagnose`.

    A function that is right there is called once more, on a network drawn at random, by *seed* if
    one is given: the answers for one network may be a list that somebody wrote down.

    ``OSError`` if a file cannot be read, ``ValueError`` if it is neither.
    """
    arrays: dict[str, Any] = {}
    if network is not None:
        given = read_problem(network)
        arrays = {"thetas": given.thetas, "X": given.X, "Y": given.Y}
        stated["lam"] = given.lam if stated.get("lam") is None else stated["lam"]
    path, colon, function = target.rpartition(":")
    if colon and path.endswith(".py"):
        if not function.isidentifier():
            raise ValueError(
                f"{target}: expected file.py:function, the name of a function at the top level of "
                "the file; a method or an expression goes into a function there"
            )
        check_is_file(Path(path))
        with Path(path).open("rb"):
            pass  # a file that cannot be read is the caller's mistake, not the author's
        call = caller_of_file(
            Path(path), function, time_limit, memory_limit, allow_chainrule=allow_chainrule
        )
        cost = {name: what for name, what in stated.items() if name != "lam"}
        problems = problems_for(**arrays, lam=stated.get("lam"), stated=Stated(**cost))
        report = diagnose_calls(call, problems, Path(path).name)
        if not report.ok:
            return report
        chosen = secrets.randbelow(1_000_000) if seed is None else seed
        again = diagnose_calls(
            call, drawn(problems, chosen, shapes=network is not None), Path(path).name
        )
        return report if again.ok else _right_elsewhere(again, report.problem.name)
    if Path(target).suffix in (".npz", ".npy"):
        return diagnose(read_arrays(Path(target)), **arrays, **stated, name=Path(target).name)
    raise ValueError(f"{target}: expected file.py:function, or arrays in .npz or .npy")


def _right_elsewhere(report: Report, where: str) -> Report:
    says = f"It is right on {where}; not on this one."
    findings = [
        replace(finding, evidence=f"{says}\n{finding.evidence}".rstrip())
        for finding in report.findings
    ]
    return replace(report, findings=tuple(findings))
