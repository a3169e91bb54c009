"""Somebody's file, diagnosed: a function that is called, or arrays that it saved."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..intake.locating import locate
from ..problem import drawn
from ..saved import check_is_file, read_arrays, read_problem
from .asked import Asked
from .diagnose import Stated, diagnose, problems_for
from .programs import diagnose_and_know, diagnose_program
from .reporting import Report
from .running.process import FileProgram

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)?(,[^\W\d]\w*)?")


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
    if Path(target).suffix not in (".npz", ".npy"):
        path, name, package = locate(target)
        check_is_file(path)
        with path.open("rb"):
            pass  # a file that cannot be read is the caller's mistake, not the author's
        if path.suffix not in (".py", ".ipynb") or not _NAME.fullmatch(name):
            raise ValueError(
                f"{target}: expected FILE:NAME, a function or a class of a .py or .ipynb file, or "
                "FILE:CLASS.METHOD, or FILE:FORWARD,BACKWARD; or arrays in .npz or .npy"
            )
        program = FileProgram(
            path, name, package, time_limit, memory_limit, allow_chainrule=allow_chainrule
        )
        asked = Asked.read(**stated)
        if arrays:
            cost = asked.loss, asked.activation, asked.output_activation, asked.reduction
            problems = problems_for(**arrays, lam=asked.lam, stated=Stated(*cost))
            asked = replace(asked, given=problems[0])
        report, known = diagnose_and_know(program, asked, path.name)
        if not report.ok:
            return report
        chosen = secrets.randbelow(1_000_000) if seed is None else seed
        again = diagnose_program(known, _elsewhere(asked, report, chosen), path.name)
        return report if again.ok else _right_elsewhere(again, report.problem.name)
    return diagnose(read_arrays(Path(target)), **arrays, **stated, name=Path(target).name)


def _elsewhere(asked: Asked, report: Report, seed: int) -> Asked:
    """Return the same question on a network drawn at random: of other sizes where any will do."""
    keep = asked.given is not None or bool(asked.manner.sizes) or bool(report.conventions)
    keep = keep or report.problem.K == 1
    like = replace(report.problem, own_cost=False)
    classes = asked.loss is None or any(
        one.name.startswith("targets-") for one in report.conventions
    )
    if like.K > 1 and classes:
        like = replace(like, loss="cross_entropy")
    network = drawn(
        [replace(like, lam=1.3 if asked.lam is None else asked.lam)], seed, shapes=keep
    )[0]
    if asked.given is not None:
        network = replace(network, lam=asked.given.lam)
        return replace(asked, given=network)
    return replace(asked, network=network)


def _right_elsewhere(report: Report, where: str) -> Report:
    says = f"It is right on {where}; not on this one."
    findings = [
        replace(finding, evidence=f"{says}\n{finding.evidence}".rstrip())
        for finding in report.findings
    ]
    return replace(report, findings=tuple(findings))
