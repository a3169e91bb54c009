"""A program, wherever it runs: what came of each manner, and how to call it in one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from ..intake.manner import Manner, Stated
from ..intake.program import Program
from ..problem import Problem
from .running.calls import Caller, Outcome
from .running.trying import EXPLORED, outcomes_of, tried


class Subject(Protocol):
    """A program, wherever it runs."""

    def explore(self, offered: Sequence[Problem], stated: Stated) -> list[Outcome]:
        """Return what came of each manner, see ``trying``."""

    def caller(self, manner: Manner) -> Caller:
        """Return how to call it in this manner."""


class Here:
    """A program in this process."""

    def __init__(self, made: Any) -> None:
        self.program = Program(made)

    def explore(self, offered: Sequence[Problem], stated: Stated) -> list[Outcome]:
        return list(tried(self.program, offered, stated))

    def caller(self, manner: Manner) -> Caller:
        return lambda problems: list(outcomes_of(self.program, manner, problems))


class Known:
    """A program of which it is known how it is called, and which words are in its code."""

    def __init__(self, subject: Subject, manner: Manner, words: Sequence[str]) -> None:
        self.subject, self.manner, self.words = subject, replace(manner, network=0), words

    def explore(self, offered: Sequence[Problem], stated: Stated) -> list[Outcome]:
        outcomes = self.caller(self.manner)([offered[0]] * 3)
        found = [replace(outcome, manner=self.manner) for outcome in outcomes]
        return [*found, Outcome(None, EXPLORED, json.dumps(list(self.words)))]

    def caller(self, manner: Manner) -> Caller:
        return self.subject.caller(manner)
