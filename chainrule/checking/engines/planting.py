"""Mistakes planted in the operations that an engine has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from .mistakes import MISTAKES, Mistake
from .operations import OPERATIONS
from .replay import Build, Changes, Plant

LATER = frozenset({"twice", "zero", "limit"})
"""Categories that a single backward pass does not show."""


def plants(build: Build, forms: Iterable[str], later: bool = False) -> list[Plant]:
    """Return every plant that could show in the operations *forms* of an engine.

    With *later*, those that only a second pass or a zero_grad can show, and no others.
    """
    wrong = frozenset(forms)
    return [plant for plant in _all_plants(build, later) if plant.forms <= wrong]


@lru_cache(maxsize=64)
def _all_plants(build: Build, later: bool) -> tuple[Plant, ...]:
    methods = _methods(build)
    found: list[Plant] = []
    for row in MISTAKES:
        if (row.category in LATER) is not later or (row.category == "zero" and not build.zero):
            continue
        found += [Plant(row.code, changes, ordered=row.ordered) for changes in row.ways]
        for name, changes in row.local:
            for at in methods:
                operation = min(at).partition(":")[0]
                two = len(OPERATIONS[operation].partials) == 2
                if operation not in row.apart and (
                    name in ("*", operation) or (name == "2" and two)
                ):
                    found += _at(row, changes, at, operation, two)
    return tuple(found)


def _at(
    row: Mistake, changes: Changes, forms: frozenset[str], operation: str, two: bool
) -> Iterator[Plant]:
    given = _translated(changes, operation)
    both = any(form.endswith("VV") for form in forms)
    if "swap" in changes and not both:
        return
    if not (row.places and two):
        yield Plant(row.code, given, forms, row.ordered)
        return
    if both:
        yield Plant(row.code, given, forms, row.ordered)
    for place in (0, 1):
        if any(form.partition(":")[2][place] == "V" for form in forms):
            yield Plant(row.code, _only(given, place), forms, row.ordered, place)


def _translated(changes: Changes, operation: str) -> Changes:
    """Write out what depends on the operation."""
    row = OPERATIONS[operation]
    if "swap" in changes:
        return {
            "partial": lambda usual, place, numbers, y: usual(1 - place),
        }
    if "exchange" in changes:
        return {
            "value": lambda usual, a, b: usual(b, a),
            "partial": lambda usual, place, numbers, y: row.partials[1 - place](*numbers[::-1], y),
        }
    return changes


def _only(changes: Changes, place: int) -> Changes:
    """Return the same changes for one of two operands."""
    limited: dict[str, Any] = dict(changes)
    if "overwrites" in limited:
        limited["overwrites"] = (place,)
    if "skips" in limited:
        limited["skips"] = (place,)
    if "partial" in limited:
        changed = limited["partial"]
        limited["partial"] = lambda usual, at, numbers, y: (
            changed(usual, at, numbers, y) if at == place else usual()
        )
    if "chain" in limited:
        limited["chained"] = place
    return limited


def _methods(build: Build) -> list[frozenset[str]]:
    """Return which forms share a method: a + b and a + 2 do; and each form alone."""
    found: dict[frozenset[str], None] = {}
    for form in sorted(build.own()):
        name, kinds = form.split(":")
        shared = {f"{name}:VV", f"{name}:VN"} if kinds in ("VV", "VN") else {form}
        together = frozenset(shared) & build.own()
        for at in (together, frozenset({form})):
            found[at] = None
    return list(found)
