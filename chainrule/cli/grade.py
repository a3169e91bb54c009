"""``chainrule grade``: a class's submissions, each diagnosed; a table, and a page for each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..characters import plain
from .requests import RequestError, from_on
from .submissions import add_options, options_of

if TYPE_CHECKING:
    from ..checking import Result

SUMMARY = "diagnose the submissions of a whole class, and count the mistakes"
DESCRIPTION = (
    "Diagnose every file and folder in DIR as `chainrule check` does: several at a time, each in a "
    "process of its own with limits. A run that was interrupted goes on where it was if it has a "
    "--csv or an --html, beside which the results are kept, or --results. Exit status 1 if some "
    "could not be checked for a reason that is not theirs."
)

_ALL_OF_IT = 6
"""The version of Landlock that has all that is promised."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``chainrule grade``."""
    from ..checking.diagnosis.reporting import HINTS

    parser.add_argument(
        "directory",
        type=Path,
        metavar="DIR",
        help="each .py, .ipynb, .npz and .npy file and each folder in it is a submission",
    )
    parser.add_argument(
        "--function",
        metavar="NAME",
        help="what to call in each; by default the name that most of them define, of those that "
        "sound like backpropagation",
    )
    add_options(parser)
    told = parser.add_argument_group("the report")
    told.add_argument("--csv", type=Path, metavar="FILE", help="a row for each submission")
    told.add_argument(
        "--html",
        type=Path,
        metavar="DIR",
        help="index.html for the teacher, and reports/, a page for each submission",
    )
    told.add_argument(
        "--hints", choices=HINTS, default="fix", help="how much the pages in reports/ tell"
    )
    told.add_argument(
        "--points", type=float, default=1.0, metavar="N", help="what a right gradient earns"
    )
    runs = parser.add_argument_group("the run")
    runs.add_argument(
        "--jobs",
        type=from_on(1),
        metavar="N",
        help="how many at a time; by default one a processor",
    )
    runs.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="where results are kept, so that what has not changed is not run again",
    )
    runs.add_argument(
        "--hide",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="what no submission may read, such as a model solution",
    )
    runs.add_argument("--again", action="store_true", help="run everything again")


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command, and return 0, or 1 if some could not be checked."""
    from ..checking import grade
    from ..checking.diagnosis.running.fences import landlock_version

    if landlock_version() < _ALL_OF_IT:
        print(
            "chainrule: this system has not all that keeps a submission from other files and "
            "processes; docs/fair-play.md says what it lacks",
            file=sys.stderr,
        )
    with ExitStack() as stack:
        try:
            report = grade(
                arguments.directory,
                arguments.function,
                jobs=arguments.jobs,
                results=_results(arguments),
                again=arguments.again,
                hidden=[path for path in (*arguments.hide, arguments.html, arguments.csv) if path],
                progress=_progress(stack),
                **options_of(arguments),
            )
        except (TypeError, ValueError) as error:
            raise RequestError(str(error)) from error
        except KeyboardInterrupt:
            kept = "" if _results(arguments) is None else "; the same command goes on from here"
            raise KeyboardInterrupt(f"interrupted{kept}") from None
    if arguments.csv is not None:
        report.write_csv(arguments.csv, arguments.points)
    if arguments.html is not None:
        report.write_html(arguments.html, arguments.hints)
    print(report.text())
    return int(report.number("not done") > 0)


def _results(arguments: argparse.Namespace) -> Path | None:
    """Return where results are kept: beside what is written, unless it was said."""
    if arguments.results is not None:
        return Path(arguments.results)
    if arguments.html is not None:
        return Path(arguments.html) / "results"
    if arguments.csv is not None:
        return Path(arguments.csv).with_suffix(".results")
    return None


def _progress(stack: ExitStack) -> Callable[[Result, int, int], None]:
    """Return what shows the progress: a bar on a terminal with tqdm, else a line for each."""
    if sys.stderr.isatty():
        try:
            from tqdm import tqdm
        except ImportError:
            pass
        else:
            bar = stack.enter_context(tqdm(unit="submission", dynamic_ncols=True))

            def moved(result: Result, done: int, total: int) -> None:
                bar.total = total
                bar.set_postfix_str(plain(result.name, kept="")[:40], refresh=False)
                bar.update(done - bar.n)

            return moved

    def told(result: Result, done: int, total: int) -> None:
        codes = "".join(f", {one.code}" for one in result.found if not result.ok)
        line = f"[{done}/{total}] {result.shown}: {result.status}{codes}"
        print(line, file=sys.stderr, flush=True)

    return told
