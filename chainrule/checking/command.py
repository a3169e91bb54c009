"""``chainrule check``: a gradient from somebody's file, diagnosed, in the format asked for."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import backprop
from .diagnosis import diagnose, diagnose_calls, problems_for
from .files import check_is_file, put, read_arrays, read_problem, write_problem
from .problem import drawn, probe
from .report import Report
from .running.process import caller_of_file
from .telling import HINTS

FORMATS: dict[str, Callable[[Report, str], str]] = {
    "text": Report.text,
    "markdown": Report.markdown,
    "html": Report.html,
    "json": Report.json,
    "gradescope": Report.gradescope,
}


def check(
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

    ``OSError`` if a file cannot be read, ``ValueError`` if it is none of these.
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
        problems = problems_for(**arrays, **stated)
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``chainrule check``."""
    parser.add_argument(
        "target",
        nargs="?",
        metavar="FILE.py:FUNCTION",
        help="called as FUNCTION(thetas, X, Y, lam); or its result, saved as .npz or .npy",
    )
    network = parser.add_argument_group("the cost; none: find it out")
    network.add_argument("--loss", choices=[*backprop.LOSSES, "none"], default="none")
    network.add_argument(
        "--activation", choices=[*backprop.ACTIVATIONS, "none"], default="sigmoid", metavar="NAME"
    )
    network.add_argument("--output-activation", metavar="NAME", help="by default the loss's own")
    network.add_argument("--reduction", choices=["mean", "sum", "none"], default="mean")
    network.add_argument("--lam", type=float, metavar="LAMBDA", help="by default 1.3")
    network.add_argument(
        "--network", type=Path, metavar="FILE", help="by default the probe network"
    )
    network.add_argument(
        "--save-network", type=Path, metavar="FILE", help="write it there as .npz, and stop"
    )
    network.add_argument(
        "--seed",
        type=_seed,
        metavar="N",
        help="of the second network, on which a right function is tried",
    )
    told = parser.add_argument_group("the report")
    told.add_argument("--format", choices=list(FORMATS), default="text")
    told.add_argument("--hints", choices=HINTS, default="fix", help="how much to tell")
    told.add_argument("-o", "--output", type=Path, metavar="FILE")
    limits = parser.add_argument_group("limits for the process that runs the function")
    limits.add_argument("--time-limit", type=float, default=10.0, metavar="SECONDS")
    limits.add_argument("--memory-limit", type=int, default=2048, metavar="MiB")
    limits.add_argument(
        "--allow-chainrule", action="store_true", help="let the file import chainrule"
    )


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command, and return 0 if the gradient is right, 1 if it is not.

    2 if there was no function to call: a person is told so in a line, by the ``ValueError`` that
    all senseless requests raise; a program gets the report in the form that it asked for.
    """
    stated = {
        "loss": _stated(arguments.loss),
        "activation": _stated(arguments.activation),
        "output_activation": arguments.output_activation,
        "reduction": _stated(arguments.reduction),
        "lam": arguments.lam,
    }
    if arguments.save_network is not None:
        loss, lam = stated["loss"] or "logistic", arguments.lam
        write_problem(arguments.save_network, probe(loss, lam=1.3 if lam is None else lam))
        return 0
    if arguments.target is None:
        raise ValueError("expected FILE.py:FUNCTION, or a file of arrays")
    report = check(
        arguments.target,
        network=arguments.network,
        time_limit=arguments.time_limit,
        memory_limit=arguments.memory_limit,
        allow_chainrule=arguments.allow_chainrule,
        seed=arguments.seed,
        **stated,
    )
    not_loaded = "call.not-loaded" in report.codes
    if not_loaded and arguments.format == "text":
        raise ValueError("; ".join(report.data()["findings"][0]["evidence"].splitlines()))
    text = FORMATS[arguments.format](report, arguments.hints).rstrip("\n") + "\n"
    if arguments.output is None:
        sys.stdout.write(text)
    else:
        put(arguments.output, text.encode())
    return 2 if not_loaded else int(not report.ok)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _stated(choice: str) -> str | None:
    return None if choice == "none" else choice
