"""What a check of gradients found: each derivative with what it should be, and all in words."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from ...engine.display import html_table
from ..text import short

_SHOWN = 5  # wrong derivatives in a message; the rest are counted


@dataclass(frozen=True, slots=True)
class CheckedDerivative:
    """One derivative of one output, as autograd reports it and as it should be."""

    name: str
    """What it is, such as ``d f / d w[0]`` or ``d2 f / d x d y``."""
    argument: str
    """The number that was varied, such as ``w[0]``."""
    at: float
    """Its value at the point."""
    order: int
    reported: float
    """What autograd says."""
    expected: float
    """What the oracle says; at a kink, the nearest slope between the two one-sided ones."""
    uncertainty: float
    """How far the oracle may itself be off."""
    oracle: str
    """``complex step``, ``differences`` or ``one-sided slopes``."""
    slopes: tuple[float, float] | None
    """At a kink, the slopes on its left and on its right."""
    ok: bool

    @property
    def relative_error(self) -> float:
        """The difference of the two numbers, relative to the larger of them.

        A derivative too small for the oracle to see counts by what the oracle does see: relative to
        1e8 times the uncertainty.  Infinite if either number is nan or infinite.
        """
        difference = abs(self.reported - self.expected)
        if difference == 0.0:
            return 0.0
        scale = max(abs(self.reported), abs(self.expected), 1e8 * self.uncertainty)
        return difference / scale if math.isfinite(difference) else math.inf

    def __str__(self) -> str:
        lines = [f"{self.name} at {self.argument} = {self.at!r} (order {self.order})"]
        if self.slopes is None:
            expected = f"{self.expected!r} by {self.oracle}, give or take {short(self.uncertainty)}"
            lines += [
                f"  autograd   {self.reported!r}",
                f"  expected   {expected}",
                f"  rel. error {short(self.relative_error)}",
            ]
        else:
            left, right = self.slopes
            inside = "lies" if self.ok else "does not lie"
            lines += [
                f"  a kink     slope {left!r} on the left, {right!r} on the right",
                f"  autograd   {self.reported!r}, which {inside} between them",
            ]
        return "\n".join(lines)


@dataclass(frozen=True)
class GradientCheck:
    """What :func:`check_gradients` found; true if every derivative is right."""

    function: str
    rows: tuple[CheckedDerivative, ...]
    hint: str = ""
    """What is probably wrong, if something is."""

    @property
    def ok(self) -> bool:
        """Whether every derivative is right."""
        return all(row.ok for row in self.rows)

    @property
    def wrong(self) -> tuple[CheckedDerivative, ...]:
        """The derivatives that are wrong, the worst first."""
        wrong = [row for row in self.rows if not row.ok]
        return tuple(sorted(wrong, key=lambda row: -row.relative_error))

    @property
    def kinks(self) -> tuple[CheckedDerivative, ...]:
        """The derivatives taken at a kink, where any number between two slopes is accepted."""
        return tuple(row for row in self.rows if row.slopes is not None)

    @property
    def max_relative_error(self) -> float:
        """The largest relative error of all derivatives."""
        return max(row.relative_error for row in self.rows)

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"<GradientCheck: {str(self).splitlines()[0]}>"

    def _repr_html_(self) -> str:
        rows = [
            [row.name, f"{row.argument} = {row.at!r}", row.reported, row.expected, row.oracle,
             short(row.relative_error), "yes" if row.ok else "no"]
            for row in (*self.wrong, *(row for row in self.rows if row.ok))
        ]  # fmt: skip
        headings = ["derivative", "at", "autograd", "expected", "by", "rel. error", "right"]
        return html_table(str(self).splitlines()[0], headings, rows)

    def __str__(self) -> str:
        wrong, total = self.wrong, len(self.rows)
        if not wrong:
            oracles = Counter(row.oracle for row in self.rows)
            by = ", ".join(f"{count} by {oracle}" for oracle, count in oracles.items())
            head = f"{self.function}: {total} derivatives agree ({by}); "
            head += f"largest relative error {short(self.max_relative_error)}"
            return "\n".join([head, *map(str, self.kinks)])
        head = f"{self.function}: {len(wrong)} of {total} derivatives wrong"
        parts = [head, *map(str, wrong[:_SHOWN])]
        if len(wrong) > _SHOWN:
            parts.append(f"... and {len(wrong) - _SHOWN} more")
        return "\n".join([*parts, self.hint] if self.hint else parts)


class GradientMismatch(AssertionError):  # noqa: N818 (it says what was found)
    """A derivative is wrong; ``check`` holds the whole :class:`GradientCheck`."""

    def __init__(self, check: GradientCheck) -> None:
        super().__init__(check)
        self.check = check


class NotCheckable(RuntimeError):  # noqa: N818 (a question without an answer)
    """The derivatives cannot be checked there: the message says why, and what to do."""
