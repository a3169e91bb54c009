"""Compile random programs and compare them with the engine, and some with mpmath.

    python -m tests.compiler.random_programs --count 100000 --seed 0 --jobs 1
    python -m tests.compiler.random_programs --seed 17 --show          what program 17 is
    python -m tests.compiler.random_programs --seed 17 --count 1       run it, make a failure small

Every program is made from its seed alone.  A failure is shrunk to a smallest case and printed as a
script that runs by itself.  The exit status is 1 if any program failed.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import faulthandler
import functools
import multiprocessing
import sys
from collections.abc import Iterable, Iterator

import chainrule as cr

from . import pieces, shrinking, verdict
from .language import Program
from .trial import Result, run


def main() -> int:
    options = _options()
    faulthandler.enable()
    if options.show:
        print(pieces.program(options.seed).script())
        return 0
    seeds = range(options.seed, options.seed + options.count)
    report = Report(options)
    for result in _results(seeds, options):
        report.add(result)
    report.finish()
    return 1 if report.failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.compiler.random_programs", description=str(__doc__).split("\n")[0]
    )
    parser.add_argument("--count", type=int, default=1000, help="how many programs")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes")
    parser.add_argument(
        "--further", action="store_true", help="ask for Jacobians, Hessians and products, too"
    )
    parser.add_argument("--show", action="store_true", help="print the program and stop")
    parser.add_argument("--shrink", type=float, default=20.0, help="seconds per failure; 0: none")
    parser.add_argument("--each", type=int, default=2, help="how many failures of a kind to print")
    parser.add_argument(
        "--every", type=int, default=1000, help="programs between lines of progress"
    )
    return parser.parse_args()


def _results(seeds: Iterable[int], options: argparse.Namespace) -> Iterator[Result]:
    one = functools.partial(run, further=options.further)
    if options.jobs == 1:
        yield from map(one, seeds)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        yield from pool.map(one, seeds, chunksize=50)


class Report:
    """What is printed while programs run, and at the end."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.failures: collections.Counter[str] = collections.Counter()
        self.seeds: dict[str, list[int]] = {}
        self.total, self.seconds, self.invalid = 0, 0.0, 0
        self.numbers: collections.Counter[str] = collections.Counter()
        print(f"backend {cr.backend}, Python {sys.version.split()[0]}", flush=True)

    def add(self, result: Result) -> None:
        self.total += 1
        self.seconds += result.seconds
        if result.outcome is None:
            self.invalid += 1
        else:
            for name in ("compared", "doubtful", "undecided", "precise"):
                self.numbers[name] += getattr(result.outcome, name)
            if result.outcome.failure is not None:
                self._failed(result.seed, result.outcome.failure)
        if self.total % self.options.every == 0:
            self._progress()

    def _failed(self, seed: int, failure: verdict.Failure) -> None:
        kind = " ".join(shrinking.kind(failure)).strip()
        self.failures[kind] += 1
        self.seeds.setdefault(kind, []).append(seed)
        if self.failures[kind] > self.options.each:
            print(f"seed {seed}: {kind}", flush=True)
            return
        program: Program = pieces.program(seed)
        if self.options.shrink and failure.kind != "timeout":
            precise = failure.kind == "precise"
            program = shrinking.shrunk(program, failure, self.options.shrink, precise)
            found = verdict.check(program, precise, failure.derivatives).failure
            failure = found or failure
        print(
            f"\n--- seed {seed}: {failure}\n{program.script(failure.of_gradient)}---\n", flush=True
        )

    def _progress(self) -> None:
        print(
            f"{self.total} programs, {sum(self.failures.values())} failed, {self.invalid} not run, "
            f"{1000 * self.seconds / self.total:.1f} ms each; {dict(self.numbers)}",
            flush=True,
        )

    def finish(self) -> None:
        self._progress()
        for kind, count in self.failures.most_common():
            print(f"{count:6} {kind}: seeds {self.seeds[kind][:10]}")


if __name__ == "__main__":
    sys.exit(main())
