"""What of a graph is drawn as one box, so that the rest can be read: scopes, loops, layers, parts.

A fold is a set of nodes that is drawn as one box.  It is found from what the program says
(``cr.scope``) or from the shape of the graph: repeated pieces of a chain are the steps of a loop,
equal operands of a sum are the terms of a batch, dot products of the same inputs are a layer.  What
has no such shape is folded by dominance: everything that reaches the result only through one node
is a part, and that node is its output.  Where even that is of no use, all but the end of the
computation is one box.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain as chained
from itertools import groupby, pairwise
from math import isqrt

from ..engine import scopes
from ..engine.backend import Value
from ..engine.table import dot_product

EARLIER = "earlier"
"""The name of the fold that holds all but the end of a computation without a shape."""

_REPEATS = 3  # from which on equal pieces are a loop
_MANY = 25  # from which on the steps of a loop are folded together
_FEWEST = 5  # boxes that parts may leave; fewer say too little
_LAST = (24, 16, 12, 8, 5, 3, 2, 1)  # computed nodes that are kept if all before them is one box
_PARTS = (3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)  # nodes in a part, tried in this order


@dataclass(frozen=True, slots=True)
class Fold:
    """Nodes that are drawn as one box: its name, and the nodes by their serial numbers."""

    name: str
    members: tuple[Value, ...]
    is_one_of_many: bool = False
    """Whether the others are alike, so that one of them can stay open as an example."""


def ways_to_fold(nodes: Sequence[Value]) -> Iterator[list[Fold]]:
    """Yield sets of folds for the graph of *nodes*, whose last is the root: each folds more.

    The last leaves two boxes.
    """
    folds: list[Fold] = []
    for depth in range(scopes.deepest(nodes), 0, -1):
        for with_leaves in (False, True):
            folds = _by_scope(nodes, depth, with_leaves) or folds
            if folds:
                yield folds
    for find in (_steps, _steps_with_leaves, _terms, _layers):
        found = find(Graph(nodes, folds))
        if found:
            folds = _combined(folds, found)
            yield folds
    runs = _runs(folds)
    if runs:
        folds = _combined(folds, runs)
        yield folds
    for size in _PARTS:
        parts = _combined(folds, _parts(Graph(nodes, folds), size))
        if len(Graph(nodes, parts).members) < _FEWEST or size > 2 * len(nodes):
            break
        if len(parts) > len(folds):
            yield parts
    for kept in _LAST:
        found = _earlier(Graph(nodes, folds), kept)
        if found:
            yield _combined(folds, found)


def opened(folds: Iterable[Fold], names: Collection[str], nodes: Sequence[Value]) -> list[Fold]:
    """Return *folds* without those called *names*; the scopes inside these stay folded."""
    kept = [fold for fold in folds if fold.name not in names]
    for fold in folds:
        if fold.name in names:
            inside = set(fold.members)
            for depth in range(1, scopes.deepest(nodes) + 1):
                inner = [f for f in _by_scope(nodes, depth) if set(f.members) < inside]
                inner = [f for f in inner if f.name not in names]
                if inner:
                    kept += inner
                    break
    return kept


def _combined(folds: Sequence[Fold], found: Sequence[Fold]) -> list[Fold]:
    """Return *found*, and those of *folds* that are not inside one of them."""
    inside = {node for fold in found for node in fold.members}
    return [*(fold for fold in folds if fold.members[0] not in inside), *found]


class Graph:
    """A graph whose nodes are Values or folds: numbered so that each comes after its operands."""

    def __init__(self, nodes: Sequence[Value], folds: Sequence[Fold] = ()) -> None:
        owner = {node: fold for fold in folds for node in fold.members}
        units: dict[object, list[Value]] = {}
        for node in nodes:
            fold = owner.get(node)
            units.setdefault(node if fold is None else id(fold), []).append(node)
        folds_by_id = {id(fold): fold for fold in folds}
        members = list(units.values())
        self.folds = [folds_by_id.get(key) if isinstance(key, int) else None for key in units]
        unit_of = {node: i for i, unit in enumerate(members) for node in unit}
        into = [
            list(dict.fromkeys(unit_of[p] for v in unit for p in v.parents if p in unit_of))
            for unit in members
        ]
        order = _sorted(members, into)
        place = {unit: i for i, unit in enumerate(order)}
        self.acyclic = len(order) == len(members)
        self.members = [members[unit] for unit in order]
        self.folds = [self.folds[unit] for unit in order]
        self.into = [[place[u] for u in into[unit] if u != unit and u in place] for unit in order]
        self.out: list[list[int]] = [[] for _ in order]
        for head, tails in enumerate(self.into):
            for tail in tails:
                self.out[tail].append(head)
        self.unit_of = {node: i for i, unit in enumerate(self.members) for node in unit}

    def is_leaf(self, unit: int) -> bool:
        """Whether *unit* is a Value that was not computed."""
        return len(self.members[unit]) == 1 and self.members[unit][0].primitive is None

    def computed(self, units: Iterable[int]) -> set[int]:
        """Return *units* without the leaves."""
        return {unit for unit in units if not self.is_leaf(unit)}

    def with_leaves(self, units: set[int], users: int | None = None) -> set[int]:
        """Return *units* and the leaves that only they use, only so many of them."""
        leaves = {tail for unit in units for tail in self.into[unit] if self.is_leaf(tail)}
        if users is not None:
            leaves = {leaf for leaf in leaves if len(self.out[leaf]) <= users}
        return units | {leaf for leaf in leaves if units.issuperset(self.out[leaf])}

    def sign(self, units: Iterable[int]) -> tuple[str, ...]:
        """Return what *units* have in common with others that compute the same in another place."""
        return tuple(sorted(map(self.kind, self.computed(units))))

    def kind(self, unit: int) -> str:
        """Return what *unit* has in common with others of its kind: the operation, and how many."""
        return " ".join(sorted(node.op or "leaf" for node in self.members[unit]))

    def dominators(self) -> list[int]:
        """Return, for each unit, the first that all its ways to the root pass; the root's is -1.

        Cooper, Harvey and Kennedy (2001), on a graph without cycles: once through is enough.
        """
        root = len(self.members) - 1
        above, depth = [-1] * len(self.members), [0] * len(self.members)
        for unit in range(root - 1, -1, -1):
            meet = -1
            for head in self.out[unit]:
                meet = head if meet < 0 else _meet(meet, head, above, depth)
            above[unit] = root if meet < 0 else meet
            depth[unit] = depth[above[unit]] + 1
        return above

    def fold(self, name: str, units: Iterable[int], alike: bool) -> Fold:
        """Return the fold of all nodes in *units*."""
        nodes = [node for unit in units for node in self.members[unit]]
        return Fold(name, tuple(sorted(nodes, key=lambda node: node.serial)), alike)


def _meet(one: int, other: int, above: Sequence[int], depth: Sequence[int]) -> int:
    while one != other:
        if depth[one] >= depth[other]:
            one = above[one]
        else:
            other = above[other]
    return one


def _sorted(members: Sequence[Sequence[Value]], into: Sequence[Sequence[int]]) -> list[int]:
    """Return the units so that each comes after those it depends on, and else by age.

    Units that depend on each other in a circle are left out.
    """
    waiting = [len([u for u in tails if u != unit]) for unit, tails in enumerate(into)]
    heads: list[list[int]] = [[] for _ in members]
    for unit, tails in enumerate(into):
        for tail in tails:
            if tail != unit:
                heads[tail].append(unit)
    ready = [(members[unit][-1].serial, unit) for unit, count in enumerate(waiting) if not count]
    heapq.heapify(ready)
    order = []
    while ready:
        _, unit = heapq.heappop(ready)
        order.append(unit)
        for head in heads[unit]:
            waiting[head] -= 1
            if not waiting[head]:
                heapq.heappush(ready, (members[head][-1].serial, head))
    return order


def _regions(above: Sequence[int]) -> list[set[int]]:
    """Return what each unit dominates, itself included."""
    regions = [{unit} for unit in range(len(above))]
    for unit, over in enumerate(above):  # what is dominated comes before
        if over >= 0:
            regions[over] |= regions[unit]
    return regions


def _numbered(
    graph: Graph, kind: str, groups: Sequence[Iterable[int]], alike: bool = False, first: int = 1
) -> list[Fold]:
    return [graph.fold(f"{kind} {i}", units, alike) for i, units in enumerate(groups, first)]


# --- scopes ------------------------------------------------------------------------------------


def _by_scope(nodes: Sequence[Value], depth: int, with_leaves: bool = False) -> list[Fold]:
    """Return a fold for each block at that *depth*, perhaps with the leaves that only it uses.

    A block on which something outside depends that it depends on itself is left as it is.
    """
    found = scopes.blocks(nodes)
    uses: dict[Value, list[Value]] = {}
    for node in nodes:
        for parent in node.parents:
            uses.setdefault(parent, []).append(node)
    groups: dict[tuple[object, ...], list[Value]] = {}
    for node in nodes:
        path = found.get(node, ())
        if with_leaves and node.primitive is None and node in uses:
            paths = [found.get(user, ()) for user in uses[node]]
            path = paths[0] if all(p[:depth] == paths[0][:depth] for p in paths) else ()
        if len(path) >= depth:
            groups.setdefault(path[:depth], []).append(node)
    names = [path[-1].name for path in groups]  # type: ignore[attr-defined]
    many = {name for name in names if names.count(name) > 1}
    counts: dict[str, int] = {}
    folds: list[Fold] = []
    for name, group in zip(names, groups.values(), strict=True):
        counts[name] = counts.get(name, 0) + 1
        if len(group) > 1:
            fold = Fold(f"{name} {counts[name]}" if name in many else name, tuple(group))
            if Graph(nodes, [*folds, fold]).acyclic:
                folds.append(fold)
    return folds


# --- loops, batches and layers -------------------------------------------------------------------


def _steps(graph: Graph, with_leaves: bool = False) -> list[Fold]:
    """Return the steps of a loop: equal pieces of the longest way on which all depends."""
    above = graph.dominators()
    regions = _regions(above)
    depth = [0] * len(above)
    for unit in range(len(above) - 2, -1, -1):
        depth[unit] = depth[above[unit]] + 1
    chain = [max(range(len(above)), key=lambda u: (depth[u], u))]
    while above[chain[-1]] >= 0:
        chain.append(above[chain[-1]])
    chain.reverse()  # from the root to what is computed first
    pieces = [regions[a] - regions[b] for a, b in pairwise(chain)]
    pieces.append(regions[chain[-1]])
    signs = [graph.sign(piece) for piece in pieces]
    start, period, repeats = _repetition(signs)
    if repeats < _REPEATS:
        return []
    groups = [
        set[int]().union(*pieces[start + i * period : start + (i + 1) * period])
        for i in range(repeats)
    ]
    first = start + repeats * period
    if first < len(chain) and graph.sign(regions[chain[first]]) == graph.sign(groups[-1]):
        groups.append(regions[chain[first]])
    groups = [graph.computed(group) for group in reversed(groups)]
    if with_leaves:
        groups = [graph.with_leaves(group) for group in groups]
    return _numbered(graph, "step", groups, alike=True) if len(groups[0]) > 1 else []


def _steps_with_leaves(graph: Graph) -> list[Fold]:
    return _steps(graph, with_leaves=True)


def _repetition(signs: Sequence[object]) -> tuple[int, int, int]:
    """Return start, period and number of the repetition in *signs* that covers most of it."""
    best = (0, 1, 1)
    for period in range(1, len(signs) // 2 + 1):
        equal = [a == b for a, b in zip(signs, signs[period:], strict=False)]
        position = 0
        for same, run in groupby(equal):
            length = len(list(run))
            repeats = length // period + 1
            if same and repeats * period > best[1] * best[2]:
                best = (position, period, repeats)
            position += length
    return best


def _runs(folds: Sequence[Fold]) -> list[Fold]:
    """Return folds of many steps each, if there are many steps: as many as there are in each."""
    steps = [fold for fold in folds if fold.name.startswith("step ") and fold.is_one_of_many]
    if len(steps) < _MANY:
        return []
    length = isqrt(len(steps))
    found = []
    for first in range(0, len(steps), length):
        run = steps[first : first + length]
        nodes = sorted((n for fold in run for n in fold.members), key=lambda node: node.serial)
        found.append(Fold(f"steps {first + 1} to {first + len(run)}", tuple(nodes), True))
    return found


def _terms(graph: Graph) -> list[Fold]:
    """Return the equal operands of one node, such as the losses of the examples of a batch."""
    above = graph.dominators()
    regions = _regions(above)
    best: list[set[int]] = []
    for unit, operands in enumerate(graph.into):
        if len(operands) < _REPEATS:  # most units; their regions need not be looked at
            continue
        below = [u for u in operands if above[u] == unit and len(graph.computed(regions[u])) > 1]
        signs = [graph.sign(regions[b]) for b in below]
        for sign in set(signs):
            alike = [regions[b] for b, s in zip(below, signs, strict=True) if s == sign]
            if len(alike) >= _REPEATS and sum(map(len, alike)) > sum(map(len, best)):
                best = alike
    return _numbered(graph, "term", best, alike=True)


def _layers(graph: Graph) -> list[Fold]:
    """Return the layers: dot products of the same inputs, with the functions of one of them."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for unit, members in enumerate(graph.members):
        node = members[0]
        if len(members) == 1 and node.primitive is dot_product:
            n = len(node.operands) // 2
            groups.setdefault(tuple(node.operands[n : 2 * n]), []).append(unit)
    if all(len(dots) < 2 for dots in groups.values()):
        return []
    layers = []
    for dots in groups.values():
        units = set(dots)
        for dot in dots:
            (after, *others) = graph.out[dot] or [dot]
            while not others and graph.into[after] == [dot] and not graph.folds[after]:
                units.add(after)
                dot = after
                (after, *others) = graph.out[dot] or [dot]
        if len(units) > 1:
            layers.append(graph.with_leaves(units, users=1))
    if len(layers) < 2:
        return []
    found: list[Fold] = []
    for fold in _numbered(graph, "layer", layers, first=2):  # layer 1 is the input
        if Graph(list(chained(*graph.members)), [*filter(None, graph.folds), *found, fold]).acyclic:
            found.append(fold)
    return found


def _parts(graph: Graph, size: int) -> list[Fold]:
    """Return the largest parts of at most *size* units that have one output."""
    above = graph.dominators()
    regions = _regions(above)
    taken: set[int] = set()
    groups = []
    for unit in reversed(range(len(above))):
        small = unit not in taken and len(regions[unit]) <= size
        if small and len(graph.computed(regions[unit])) > 1:
            taken |= regions[unit]
            groups.append(regions[unit])
    return _numbered(graph, "part", groups[::-1])


def _earlier(graph: Graph, kept: int) -> list[Fold]:
    """Return one fold of all that is computed before the last units."""
    computed = [unit for unit in range(len(graph.members)) if not graph.is_leaf(unit)]
    if len(computed) <= kept + 1:
        return []
    return [graph.fold(EARLIER, graph.with_leaves(set(computed[:-kept])), alike=False)]
