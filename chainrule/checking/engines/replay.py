"""A reference engine that can be told to make a mistake, and runs the programs of the exam with it.

It is put together as the engine that is checked is put together: where ``a - b`` is ``a + (-b)``
there, it is here too, so that a mistake in a product shows wherever products are used. A *plant* is
a mistake at its place: changes to single steps, of some forms of operations or of the whole.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..diagnosis.running.exam import Formula, Instruction
from .operations import OPERATIONS

Changes: TypeAlias = Mapping[str, Any]
"""Which steps come out different, and how; see ``_Node`` and ``_Run``."""
Numbers: TypeAlias = "tuple[float, ...]"

RAISES = (math.nan,)
"""The prediction that a program raises."""
_LONGEST = 4000


@dataclass(frozen=True, eq=False)
class Plant:
    """A mistake, and where it is made."""

    code: str
    changes: Changes
    forms: frozenset[str] = frozenset()
    """The forms of operations it is made in; none if it is in the engine as a whole."""
    ordered: bool = False
    """Whether the order of a node's operands matters, which no right program tells."""
    place: int | None = None
    """Which operand it concerns; None if all or none."""


@dataclass(frozen=True, eq=False)
class Build:
    """How an engine is put together: which forms it offers, and which are made of others."""

    offers: frozenset[str]
    formulas: Mapping[str, Formula] = field(default_factory=dict)
    same: Mapping[str, str] = field(default_factory=dict)
    zero: bool = False
    """Whether there is a method that sets gradients to zero."""

    def uses(self, form: str) -> frozenset[str]:
        """Return the forms that are nodes of their own below *form*."""
        return frozenset(node.form for node in self._applied(form).made)

    def visits(self, form: str) -> frozenset[str]:
        """Return *form* and all forms that it is made of, at any depth."""
        return frozenset(self._applied(form).applied)

    def _applied(self, form: str) -> _Run:
        run = _Run(self)
        operands = [_Node(1.25) if kind == "V" else 2.0 for kind in form.split(":")[1]]
        # A formula that is wrong may leave the domain of what it is made of.
        with contextlib.suppress(ArithmeticError, ValueError, TypeError):
            run.apply(form.split(":")[0], operands)
        return run

    def own(self) -> frozenset[str]:
        """Return the forms that are nodes of their own."""
        return frozenset(
            form for form in self.offers if form not in self.formulas and form not in self.same
        )


class _Node:
    """A node of the reference engine."""

    __slots__ = ("data", "form", "grad", "operands", "seen")

    def __init__(self, data: float, form: str = "", operands: Sequence[_Node | float] = ()) -> None:
        self.data = data
        self.grad = 0.0
        self.form = form
        self.operands = operands
        self.seen = False

    @property
    def below(self) -> list[_Node]:
        return [operand for operand in self.operands if isinstance(operand, _Node)]


def outcomes(
    program: Sequence[Instruction], build: Build, plants: Sequence[Plant] = ()
) -> list[Numbers]:
    """Return what the program may read at its end, one for each habit that a right engine may have.

    Right engines differ in the order in which they visit a node's operands, in whether a second
    backward pass adds to the gradients of leaves or begins them anew, and in whether it goes
    through all that was recorded or what lies below the root alone.
    """
    orders = (1, -1) if any(plant.ordered for plant in plants) else (1,)
    twice = sum(step[0] in ("backward", "zero") for step in program) > 1
    found: list[Numbers] = []
    for order in orders:
        for anew in (False, True) if twice else (False,):
            for tape in (False, True) if twice and plants else (False,):
                try:
                    numbers = _Run(build, plants, order, anew, tape).answer(program)
                except (ArithmeticError, ValueError, TypeError, RecursionError):
                    numbers = RAISES
                if numbers not in found:
                    found.append(numbers)
    return found


class _Run:
    """One run of one program."""

    def __init__(
        self,
        build: Build,
        plants: Sequence[Plant] = (),
        order: int = 1,
        anew: bool = False,
        tape: bool = False,
    ) -> None:
        self._build = build
        self._order = order
        self._anew = anew
        self.made: list[_Node] = []
        self.applied: set[str] = set()
        """The forms that were asked for."""
        self._cleared = 0
        self._passed = False
        self._topo: list[_Node] = []
        self._visited: list[_Node] = []
        self._whole: dict[str, Any] = {}
        self._local: dict[str, dict[str, Any]] = {}
        for plant in plants:
            if not plant.forms:
                self._whole.update(plant.changes)
            for form in plant.forms:
                self._local.setdefault(form, {}).update(plant.changes)
        # A right engine that goes through the whole tape begins by setting it to zero.
        self._usual = "whole tape" if tape and not self._whole.get("kept") else "topological"

    def answer(self, program: Sequence[Instruction]) -> Numbers:
        results: list[Any] = []
        leaves: list[_Node] = []
        last: Any = None
        for name, *rest in program:
            result: Any = None
            if name == "leaf":
                result = last = _Node(rest[0])
                leaves.append(result)
            elif name == "number":
                result = rest[0]
            elif name == "apply":
                result = last = self.apply(rest[0], [results[place] for place in rest[1:]])
            elif name == "again":
                result = results[rest[1]]
                for _ in range(rest[3]):
                    result = self.apply(rest[0], [result, results[rest[2]]])
                last = result
            elif name == "sum":
                result = 0
                for place in rest:
                    result = self.apply("add", [result, results[place]])
                last = result
            elif name == "backward":
                self._backward(results[rest[0]])
            elif name == "clear":
                for leaf in leaves:
                    leaf.grad = 0.0
            elif name == "zero":
                self._zero([*leaves, *self.made])
            results.append(result)
        return (last.data, *(leaf.grad for leaf in leaves))

    def apply(self, name: str, operands: Sequence[Any]) -> _Node:
        """Apply an operation as the engine would: by its formula, or as a node of its own."""
        kinds = "".join("V" if isinstance(operand, _Node) else "N" for operand in operands)
        form = f"{name}:{kinds}"
        self.applied.add(form)
        if form in self._build.same:
            return self.apply(name, operands[::-1])
        formula = self._build.formulas.get(form)
        if formula is not None:
            steps: list[Any] = []
            for called, *places in formula:
                steps.append(self.apply(called, [_found(p, operands, steps) for p in places]))
            made: _Node = steps[-1]
            return made
        numbers = [getattr(operand, "data", operand) for operand in operands]
        value = OPERATIONS[name].value
        changed = self._local.get(form, {}).get("value")
        node = _Node(
            value(*numbers) if changed is None else changed(value, *numbers), form, operands
        )
        self.made.append(node)
        return node

    # --- the backward pass ---

    def _backward(self, root: _Node) -> None:
        sequence = _SWEEPS[self._whole.get("sweep", self._usual)](self, root)
        if self._passed and not self._whole.get("kept"):
            for node in self.made if self._usual == "whole tape" else _below(root, 1):
                if (node.operands or self._anew) and node is not root:
                    node.grad = 0.0
        self._passed = True
        seed = self._whole.get("seed", "one")
        if seed == "adds":
            root.grad += 1.0
        elif seed != "missing":
            root.grad = root.data if seed == "data" else 1.0
        for count, step in enumerate(sequence):
            if count > _LONGEST:
                raise RecursionError
            node, place = step if isinstance(step, tuple) else (step, None)
            if node.operands:
                self._propagate(node, place)

    def _propagate(self, node: _Node, only: int | None = None) -> None:
        """Pass the gradient of *node* on to its operands, or to the one at place *only*."""
        changes = self._whole | self._local.get(node.form, {})
        numbers = [getattr(operand, "data", operand) for operand in node.operands]
        partials = OPERATIONS[node.form.partition(":")[0]].partials
        chain, chained = changes.get("chain"), changes.get("chained")
        overwrites = changes.get("overwrites", ())
        onto, once = changes.get("onto", {}), changes.get("once", False)
        for place, operand in enumerate(node.operands):
            if only not in (None, place):
                continue
            target = node.operands[onto.get(place, place)]
            if not isinstance(target, _Node) or place in changes.get("skips", ()):
                continue
            if once and operand in node.operands[:place]:
                continue

            def usual(which: int = place) -> float:
                return partials[which](*numbers, node.data)

            changed = changes.get("partial")
            partial = usual() if changed is None else changed(usual, place, numbers, node.data)
            if chain is None or chained not in (None, place):
                passed = node.grad * partial
            else:
                passed = chain(node.grad, partial, node.data)
            if place in overwrites:
                target.grad = passed
            else:
                target.grad += passed

    def _zero(self, nodes: Sequence[_Node]) -> None:
        how = self._whole.get("zero", "all")
        for node in nodes:
            if how == "all" or (how == "leaves" and not node.operands):
                node.grad = 0.0
            elif how == "one":
                node.grad = 1.0
            elif how == "data":
                node.data = node.grad = 0.0

    # --- the order of a pass ---

    def _operands(self, node: _Node) -> list[_Node]:
        return node.below[:: self._order]

    def topological(self, root: _Node) -> list[_Node]:
        return _below(root, self._order)

    def not_reversed(self, root: _Node) -> list[_Node]:
        return _below(root, self._order)[::-1]

    def repeated(self, root: _Node) -> list[_Node]:
        found: list[_Node] = []

        def visit(node: _Node) -> None:
            for operand in self._operands(node):
                visit(operand)
            if len(found) > _LONGEST:
                raise RecursionError
            found.append(node)

        visit(root)
        return found[::-1]

    def path_by_path(self, root: _Node) -> Iterator[_Node]:
        yield root
        for operand in self._operands(root):
            yield from self.path_by_path(operand)

    def use_by_use(self, root: _Node) -> Iterator[tuple[_Node, int]]:
        """Go down below an operand before the next one has its gradient, as recursion does."""
        for place in range(len(root.operands))[:: self._order]:
            yield root, place
            operand = root.operands[place]
            if isinstance(operand, _Node):
                yield from self.use_by_use(operand)

    def preorder(self, root: _Node) -> list[_Node]:
        found: list[_Node] = []

        def visit(node: _Node) -> None:
            if node not in found:
                found.append(node)
                for operand in self._operands(node):
                    visit(operand)

        visit(root)
        return found

    def breadth_first(self, root: _Node) -> list[_Node]:
        found = [root]
        for node in found:
            found += [n for n in dict.fromkeys(self._operands(node)) if n not in found]
        return found

    def breadth_first_repeated(self, root: _Node) -> list[_Node]:
        found = [root]
        for node in found:
            found += self._operands(node)
            if len(found) > _LONGEST:
                raise RecursionError
        return found

    def without_root(self, root: _Node) -> list[_Node]:
        return _below(root, self._order)[1:]

    def root_only(self, root: _Node) -> list[_Node]:
        return [root]

    def first_operand_only(self, root: _Node) -> Iterator[_Node]:
        yield root
        for operand in root.below[:1]:
            yield from self.first_operand_only(operand)

    def last_operand_only(self, root: _Node) -> Iterator[_Node]:
        yield root
        for operand in root.below[-1:]:
            yield from self.last_operand_only(operand)

    def created(self, root: _Node) -> list[_Node]:
        return list(self.made)

    def whole_tape(self, root: _Node) -> list[_Node]:
        return self.made[::-1]

    def tape_since(self, root: _Node) -> list[_Node]:
        found = self.made[self._cleared :][::-1]
        self._cleared = len(self.made)
        return found

    def visited_kept(self, root: _Node) -> list[_Node]:
        found = [node for node in _below(root, self._order) if node not in self._visited]
        self._visited += found
        return found

    def topo_kept(self, root: _Node) -> list[_Node]:
        fresh = [node for node in _below(root, self._order) if node not in self._topo]
        self._topo += fresh[::-1]
        return self._topo[::-1]

    def equal_merged(self, root: _Node) -> list[_Node]:
        found: list[_Node] = []
        visited: list[float] = []

        def visit(node: _Node) -> None:
            if node.data not in visited:
                visited.append(node.data)
                for operand in self._operands(node):
                    visit(operand)
                found.append(node)

        visit(root)
        return found[::-1]


_SWEEPS: Mapping[str, Callable[[_Run, _Node], Any]] = {
    "topological": _Run.topological,
    "not reversed": _Run.not_reversed,
    "repeated": _Run.repeated,
    "path by path": _Run.path_by_path,
    "use by use": _Run.use_by_use,
    "preorder": _Run.preorder,
    "breadth first": _Run.breadth_first,
    "breadth first, repeated": _Run.breadth_first_repeated,
    "root only": _Run.root_only,
    "without root": _Run.without_root,
    "first operand only": _Run.first_operand_only,
    "last operand only": _Run.last_operand_only,
    "created": _Run.created,
    "whole tape": _Run.whole_tape,
    "tape since": _Run.tape_since,
    "visited kept": _Run.visited_kept,
    "topo kept": _Run.topo_kept,
    "equal merged": _Run.equal_merged,
}


def _found(operand: Sequence[Any], operands: Sequence[Any], steps: Sequence[Any]) -> Any:
    """Return what an operand of a formula stands for."""
    kind, *rest = operand
    if kind == "step":
        return steps[rest[0]]
    if kind in ("number", "node"):
        return rest[0] if kind == "number" else _Node(rest[0])
    how, _, which = kind.rpartition(" ")
    value = operands[0 if which == "first" else 1]
    if how == "node":
        return _Node(value)
    if how == "minus":
        return -value
    return 1 / value if how == "one over" else value


def _below(root: _Node, order: int) -> list[_Node]:
    """Return the nodes below *root*, each before its operands."""
    found: list[_Node] = []
    marked: list[_Node] = []
    stack: list[tuple[_Node, bool]] = [(root, False)]
    while stack:
        node, done = stack.pop()
        if done:
            found.append(node)
        elif not node.seen:
            node.seen = True
            marked.append(node)
            stack.append((node, True))
            stack += [(operand, False) for operand in node.below[::-order]]
    for node in marked:
        node.seen = False
    return found[::-1]
