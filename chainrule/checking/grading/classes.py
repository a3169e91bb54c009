"""``grade``: a class's submissions, each diagnosed, and what the class has in common."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..saved import put, read_problem
from .pages import as_index, as_report, as_text
from .results import (
    FAILED,
    RIGHT,
    UNDONE,
    WRONG,
    Count,
    Group,
    Result,
    counts_of,
    groups_of,
    without_report,
)
from .runner import run_all
from .spreadsheet import as_csv
from .store import Store, file_name
from .submissions import Submission, checker, entries_of, fingerprint, submissions_of

Progress = Callable[[Result, int, int], None]
"""Is told each result, how many there are by now, and how many there will be."""


@dataclass(frozen=True)
class ClassReport:
    """What came of a class, in the order of the names of what was handed in."""

    results: tuple[Result, ...]
    function: str = ""
    """The function that was called in each."""
    name: str = "class"

    @property
    def counts(self) -> list[Count]:
        """Each mistake with those who made it, the most frequent first."""
        return counts_of(self.results)

    @property
    def groups(self) -> list[Group]:
        """Those who made the same mistakes in the same places, the largest group first."""
        return groups_of(self.results)

    def number(self, status: str) -> int:
        """Return how many came out as "right", "wrong", "failed" or "not done"."""
        return sum(result.status == status for result in self.results)

    def text(self) -> str:
        """Return the summary for a terminal."""
        return as_text(self.results, self.summary)

    def csv(self, points: float = 1.0) -> str:
        """Return one row for each submission; *points* is what a right gradient earns."""
        return as_csv(self.results, points)

    def write_csv(self, path: Path | str, points: float = 1.0) -> None:
        """Write the rows to a file, whole or not at all, in UTF-8 as spreadsheets recognise it."""
        put(Path(path), self.csv(points).encode("utf-8-sig"))

    def write_html(self, folder: Path | str, hints: str = "fix") -> None:
        """Write ``index.html``, for the teacher, and ``reports/``, a page for each submission.

        The pages of the submissions tell as much as the level *hints*; the index tells all.
        """
        reports = Path(folder) / "reports"
        reports.mkdir(parents=True, exist_ok=True)
        for result in self.results:
            page = as_report(result, hints)
            put(reports / file_name(result.name, ".html"), page.encode("utf-8", "replace"))
        index = as_index(self.results, self.summary, lambda name: file_name(name, ".html"))
        put(Path(folder) / "index.html", index.encode("utf-8", "replace"))

    @property
    def summary(self) -> str:
        """A sentence that says how many there are, and how many are right."""
        words = [f"{self.number(RIGHT)} right", f"{self.number(WRONG)} wrong"]
        words += [f"{n} {what}" for what in (FAILED, UNDONE) if (n := self.number(what))]
        count = len(self.results)
        return f"{count} submission{'s' * (count != 1)}: {', '.join(words)}"

    def __str__(self) -> str:
        return self.text()


def grade(
    directory: Path | str,
    function: str | None = None,
    *,
    jobs: int | None = None,
    results: Path | str | None = None,
    again: bool = False,
    hidden: Sequence[Path | str] = (),
    progress: Progress | None = None,
    **options: Any,
) -> ClassReport:
    """Diagnose every submission in *directory*, and return the report on the class.

    A submission is a ``.py`` or ``.ipynb`` file, saved arrays, or a folder. *function* is what is
    called in each, by default the name that most of them define of those that sound like
    backpropagation. *options* are those of ``check``: loss, lam, time_limit, memory_limit and so
    on. *jobs* of them run at a time, by default as many as there are processors to use.

    In the folder *results*, each result is kept as soon as it is there: what is done, and has not
    changed since, is not run again, unless *again*. A run that was interrupted goes on where it
    was.

    A submission cannot open the others, nor the results, nor what is *hidden*: a model solution,
    say, or what was written about the class before.

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "ada.py").write_text("def backprop(thetas, X, Y, lam): return thetas")
    ...     _ = Path(folder, "bob.py").write_text("def backprop(): return 1")
    ...     report = grade(folder, loss="logistic", jobs=1)
    >>> report.summary
    '2 submissions: 0 right, 1 wrong, 1 failed'
    >>> [(count.code, count.names) for count in report.counts][0]
    ('call.wrong-arguments', ('bob.py',))

    ``OSError`` if the folder cannot be read, ``ValueError`` if it has no submissions, or if an
    option makes no sense.
    """
    folder = Path(directory).resolve()
    paths = entries_of(folder)
    if not paths:
        raise ValueError(f"{directory}: no submissions: expected .py or .ipynb files, or folders")
    if jobs is not None and jobs < 1:
        raise ValueError(f"{jobs} jobs: expected 1 or more")
    found, called = submissions_of(paths, function)
    _check(options)
    # With their types: a text may be a statement, or a default of another type.
    stated = sorted((key, type(what).__name__, str(what)) for key, what in options.items())
    settings = json.dumps([checker(), stated])
    prints = {one.name: fingerprint(one, settings) for one in found}
    store = Store(None if results is None else Path(results))
    done = {} if again else store.done(prints)
    try:
        secret = [folder, *([] if results is None else [results]), *hidden]
        beside = sorted(set(folder.iterdir()) - set(paths))  # files that all share
        for result in _results(found, done, jobs or _processors(), options, secret, beside):
            if result.name not in done:
                store.keep(prints[result.name], result)
            done[result.name] = result
            if progress is not None:
                progress(result, len(done), len(found))
    finally:
        store.settle(prints)
    return ClassReport(tuple(done[one.name] for one in found), called, folder.name)


def _results(
    found: Sequence[Submission],
    done: dict[str, Result],
    jobs: int,
    options: dict[str, Any],
    hidden: Sequence[Path | str],
    shown: Sequence[Path],
) -> Iterable[Result]:
    """Yield the results that are not there yet."""
    asked = []
    for one in found:
        if one.name in done:
            continue
        if one.wrong:
            yield without_report(one.name, FAILED, f"{one.name}: {one.wrong}")
            continue
        asked.append(
            {
                "name": one.name,
                "path": one.target,
                "target": one.relative_target,
                "options": options,
                "hidden": [str(Path(path).resolve()) for path in hidden],
                "shown": [str(path) for path in (one.path, *shown)],
            }
        )
    if asked:
        yield from run_all(asked, jobs, float(options.get("time_limit", 10.0)))


def _check(options: dict[str, Any]) -> None:
    """Raise for what is wrong with the request, so that no submission is blamed for it."""
    network = options.get("network")
    if network is not None:
        read_problem(Path(network))


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
