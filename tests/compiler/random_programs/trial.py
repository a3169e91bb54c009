"""One program, made from its seed and checked, in so many seconds; for other processes, too."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from types import FrameType

from . import pieces, verdict

PRECISE = 20  # one program in so many is compared with mpmath as well
SECONDS = 30  # of the processor, within which a program must be done


class TooLongError(BaseException):  # not to be taken for an exception of the program
    """A program takes longer than it may."""


@dataclass
class Result:
    seed: int
    outcome: verdict.Outcome | None
    """None if the engine does not run the program."""
    seconds: float


def run(seed: int, further: bool = False) -> Result:
    """Make and check the program of *seed*, with or without *further* derivatives."""
    program, start = pieces.program(seed), time.process_time()
    try:
        with _Limit(SECONDS):
            outcome = verdict.check(program, precise=seed % PRECISE == 0, further=further)
    except verdict.InvalidProgramError:
        outcome = None
    except TooLongError:
        outcome = verdict.Outcome(verdict.Failure("timeout", f"after {SECONDS} s"))
    return Result(seed, outcome, time.process_time() - start)


class _Limit:
    """Raise TooLongError after so many seconds of the processor, where the platform can."""

    def __init__(self, seconds: int):
        self.seconds = seconds

    def __enter__(self) -> None:
        if hasattr(signal, "SIGPROF"):
            signal.signal(signal.SIGPROF, self._over)
            signal.setitimer(signal.ITIMER_PROF, self.seconds)

    def __exit__(self, *exception: object) -> None:
        if hasattr(signal, "SIGPROF"):
            signal.setitimer(signal.ITIMER_PROF, 0.0)

    def _over(self, number: int, frame: FrameType | None) -> None:
        raise TooLongError
