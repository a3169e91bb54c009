"""In which manners one call may be made: the form of the weights, of the examples, of the targets.

The likeliest come first.  Where a wrong guess gets past the shapes (labels from 0 or 1, the bias
first or last) several manners are tried: the numbers must decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from . import holding
from .found import Found
from .handing import CannotCallError, Network
from .manner import Manner, Stated, Step
from .names import block_of
from .program import Program
from .settings import settings_of

_COMPARES = {"arange", "unique", "eye", "tile", "fit_transform", "get_dummies", "where"}
"""Names in the code of who makes one-hot targets of labels, which may stand in a column."""
_ALIKE = 2
"""After so many forms of the examples that make no difference, another one will not."""


class Manners:
    """The manners in which a program may be called with the networks that are offered."""

    def __init__(
        self, program: Program, offered: Sequence[Network], stated: Stated, found: Found
    ) -> None:
        self.program, self.offered, self.stated, self.found = program, offered, stated, found
        self.place: tuple[str, int] | None = None
        """Where the last call failed, which those who call write here."""
        self.said = ""
        """What the exception said."""
        self.likely = True
        """Whether what the code says of the weights is taken at its word."""
        self.hopeless: set[tuple[tuple[str, int] | None, int]] = set()
        """Where it fails on which network, whatever the targets are."""

    def networks(self, steps: tuple[Step, ...], texts: set[str]) -> list[int]:
        """Return which networks may fit, by the number of their layers."""
        roles = [role for step in steps for _, role in step.arguments]
        every = range(len(self.offered))
        depth = sum(
            kind == "W" and bool(where)
            for kind, where in (block_of(role) or ("", "") for _, role in steps[-1].arguments)
        )
        if not depth and "size1" in roles:
            depth = 2
        if not depth and "size2" in roles:
            depth = 3
        if not depth:
            numbers = [
                int(block[1])
                for text in texts
                if (block := block_of(text)) and block[0] == "W" and block[1].isdigit()
            ]
            whole = not any(block_of(text) == ("W", "") and len(text) == 1 for text in texts
                            ) or not any(text == "W" for text in texts)  # fmt: skip
            depth = max(numbers) if len(set(numbers)) > 1 and whole else 0
        fitting = [i for i in every if len(self.offered[i].thetas) == depth]
        return fitting or list(every)

    def of(self, base: Manner, texts: set[str]) -> Iterator[Manner]:
        """Yield the manners of the call that *base* makes; *texts* are the names in its code."""
        steps, index = base.steps, base.network
        roles = [role for step in steps for _, role in step.arguments]
        takes = "lam" in roles or self._sets_lam(index, base)
        base = replace(base, takes_lam=takes)
        layouts: list[tuple[Manner, list[str]]] = []
        for layout in self._layouts(base, roles, texts):
            forms = _examples(layout, roles)
            later = [one for one in forms if one.endswith("-ones") and layout.container != "vector"]
            layouts.append((layout, later))
            yield from self._in_forms(layout, [one for one in forms if one not in later], texts)
        # A matrix that is given ones with the examples does as well without any.
        for layout, with_ones in layouts:
            yield from self._in_forms(layout, with_ones, texts)

    def _in_forms(self, layout: Manner, forms: Sequence[str], texts: set[str]) -> Iterator[Manner]:
        met: list[tuple[tuple[str, int] | None, str]] = []
        for examples in forms:
            places: set[tuple[str, int] | None] = set()
            for targets in self._targets(layout, texts):
                if "column" in targets and examples.startswith("one"):
                    continue
                self.place = None
                yield replace(layout, examples=examples, targets=targets)
                places.add(self.place)
                if (self.place, layout.network) in self.hopeless:
                    break
            if len(places) == 1 and None not in places:
                # It fails there whatever the targets are: before it reads them, it seems.
                self.hopeless |= {(place, layout.network) for place in places}
                met.append((self.place, self.said))
                if len(met) > _ALIKE and len(set(met)) == 1:
                    break  # nor are the examples

    def _sets_lam(self, index: int, base: Manner) -> bool:
        try:
            holder = self.program.holder(self.offered[index], base)
        except Exception:
            return False
        return any(role == "lam" for _, role, _ in settings_of(self.program, holder))

    def _layouts(self, base: Manner, roles: list[str], texts: set[str]) -> Iterator[Manner]:
        blocks_here = {role for role in roles if (block_of(role) or ("", ""))[1]}
        if not self.likely and (blocks_here or not {"thetas", "weights"} & set(roles)):
            return
        if blocks_here:
            biases = any((block_of(role) or ("W", ""))[0] == "b" for role in blocks_here)
            yield from _splits(base, "separate") if biases else _joints(base, "separate")
        elif "biases" in roles:
            one = len(self.offered[base.network].thetas) == 1
            if one and len(self.offered[base.network].thetas[0]) == 1:
                yield replace(base, container="separate", bias="number")
            yield from _splits(base, "separate" if one else "apart")
            if one:
                yield from _splits(base, "apart")
            for first in (1, 0):
                yield from _splits(replace(base, names=f"W,b,{first}"), "numbered")
        elif "thetas" in roles or "weights" in roles:
            yield from self._containers(base, roles, texts)
        else:
            yield from self._held(base)

    def _containers(self, base: Manner, roles: list[str], texts: set[str]) -> Iterator[Manner]:
        keys = [text for text in texts if block_of(text)]
        if base.steps[-1].function in self.program.updates:
            neurons = replace(base, container="neurons", bias="last", names=_letters(keys))
            yield from [neurons] if self.likely else []
            return
        sized = any(role.startswith("size") or role == "hidden_sizes" for role in roles)
        if sized or self.stated.weights == "vector":
            yield from self._vectors(base) if self.likely else ()
            if self.likely and "sizes" in roles and self.stated.weights != "vector":
                yield from _joints(base, "thetas")
                yield from self._numbered(base)
            return
        named = self._names_of_dict(keys)
        by_name = any(key in texts for key in named.split(",")[:2]) or _numbered(keys)
        base = replace(base, names=named) if by_name else base
        if by_name and self.likely:
            # Such a program is tried on every network before its weights are anything else.
            yield from _splits(base, "dict")
            yield from _joints(base, "dict")
        elif by_name or self.likely:
            yield from self._lists(base, keys)

    def _lists(self, base: Manner, keys: list[str]) -> Iterator[Manner]:
        thetas = self.offered[base.network].thetas
        neuron = len(thetas) == len(thetas[0]) == 1
        if neuron:  # its weights are a vector, first of all
            yield from self._vectors(base)
        if len(thetas) == 1:
            yield from _joints(base, "separate")
        yield from _joints(base, "thetas")
        yield from _splits(base, "pairs")
        yield from _splits(base, "alternating")
        yield from _splits(replace(base, names=_letters(keys)), "dicts")
        yield from self._numbered(base)
        if not neuron:
            yield from self._vectors(base)

    @staticmethod
    def _vectors(base: Manner) -> Iterator[Manner]:
        orders = [replace(base, order=order) for order in ("F", "C")]
        for one in orders:
            yield from _joints(one, "vector")
        for one in reversed(orders):
            yield from _splits(one, "split-vector")

    @staticmethod
    def _numbered(base: Manner) -> Iterator[Manner]:
        for first in (0, 1):
            yield from _joints(replace(base, names=f"W,b,{first}"), "numbered")

    def _names_of_dict(self, keys: list[str]) -> str:
        """Return how a dictionary's keys are spelled: the names without numbers, the first one."""
        found = {"W": "W", "b": "b"}
        numbers = []
        for key in sorted(keys, key=lambda one: not one[-1].isdigit()):
            kind, where = block_of(key) or ("W", "")
            if where and not where.isdigit():
                continue
            found[kind] = key[: len(key) - len(where)]
            numbers += [int(where)] if where else []
        return f"{found['W']},{found['b']},{min(numbers, default=1)}"

    def _held(self, base: Manner) -> Iterator[Manner]:
        given = self.offered[base.network]
        try:
            holder = self.program.holder(given, base)
        except CannotCallError:
            return
        except Exception as error:
            self.found.failure = self.found.failure or error
            return
        shape = (given.X.shape[1], *(len(theta) for theta in given.thetas))
        held = holding.find(holder, shape)
        if held is None:
            sizes = holding.sizes_of(holder)
            self.found.sizes = self.found.sizes or sizes
            if not sizes and self._sets_rate(holder, base):
                yield replace(base, container="made")
            return
        base = holding.manner_of(held, base)
        yield base
        if base.bias == "first":
            yield replace(base, bias="last")
        if held.biases:
            yield replace(base, bias="none")

    def _sets_rate(self, holder: Any, base: Manner) -> bool:
        """Whether it can be told how far to go: then it can be told to stay where it begins."""
        roles = {role for step in base.steps for _, role in step.arguments}
        return "rate" in roles or any(
            role == "rate" for _, role, _ in settings_of(self.program, holder)
        )

    def _targets(self, layout: Manner, texts: set[str]) -> list[str]:
        outputs = self.offered[layout.network].Y.shape[1]
        if outputs == 1:
            return ["flat", "one-hot"] if layout.bias == "number" else ["one-hot", "flat"]
        # A program that is told the number of classes, or makes them, is given labels.
        found = ["one-hot", "labels-0", "labels-1"]
        return [*found, "labels-column-0", "labels-column-1"] if texts & _COMPARES else found


def _joints(base: Manner, container: str) -> Iterator[Manner]:
    for bias in ("first", "last", "none"):
        # A matrix that is unrolled is a transposed one, unrolled in the other order.
        for turned in (False,) if container == "vector" else (False, True):
            yield replace(base, container=container, bias=bias, turned=turned)


def _splits(base: Manner, container: str) -> Iterator[Manner]:
    for bias, turned in (("flat", True), ("flat", False), ("column", False), ("row", True),
                         ("row", False), ("column", True)):  # fmt: skip
        yield replace(base, container=container, bias=bias, turned=turned)


def _examples(layout: Manner, roles: list[str]) -> tuple[str, ...]:
    if "pairs" in roles:
        return "rows", "one-pair"
    if layout.container == "neurons":
        return "one-labelled", "one-flat"
    if layout.bias == "column":
        return "columns", "one-column", "rows", "one-flat", *_stacked(layout, "one-stacked-column")
    if layout.bias in ("flat", "row"):
        return "rows", "one-flat", "one-row", "columns", *_stacked(layout, "one-stacked-row")
    stacked = _stacked(layout, "one-stacked-row", "one-stacked-column")
    forms = ("rows", "columns", "one-flat", "one-column", "one-row", *stacked)
    joint = layout.bias in ("first", "last") and layout.container != "held"
    return (*forms, "rows-ones", "columns-ones") if joint else forms


def _stacked(layout: Manner, *names: str) -> tuple[str, ...]:
    """Return *names* for an object: a method may go over examples that are rows or columns."""
    return names if layout.container == "held" else ()


def _numbered(keys: list[str]) -> bool:
    return len({key for key in keys if (block_of(key) or ("", ""))[1].isdigit()}) > 1


def _letters(keys: list[str]) -> str:
    found = {"W": "W", "b": "b"}
    for key in keys:
        kind, where = block_of(key) or ("W", "")
        if not where:
            found[kind] = key
    return f"{found['W']},{found['b']},1"
