"""What makes nodes alike: the same operation on operands that are alike.

Each node has a *colour*: computed nodes have that of their group, and the members of a group share
it.  So two nodes are alike if they are the same operation on operands of the same colours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine import table as primitives
from .tape import Ids, Tape, ranges

Digests = np.ndarray[Any, np.dtype[np.uint64]]

UNIT, PARAMETER, CONSTANT, INPUT = -1, 0, 1, 2
"""The colours of ONE and of leaves; input i has colour ``INPUT + i``, and computed nodes follow."""

SEGMENTED = (primitives.maximum, primitives.minimum, primitives.logsumexp_of)
"""Operations on any number of operands that have a form for a whole axis."""

OVER_CLASSES = (
    primitives.cross_entropy,
    primitives.soft_cross_entropy,
    primitives.softmax_rest,
)
"""Operations on a class or on the share of every class, and then the logits."""

# A constant operand of these may differ between members; for other operations alike means equal.
OPEN = {
    primitives.multiply,
    primitives.divide,
    primitives.where,
    primitives.maximum,
    primitives.minimum,
    primitives.less,
    primitives.less_equal,
    primitives.equal,
    primitives.hypot,
    primitives.atan2,
    primitives.logaddexp,
    primitives.damped,
    primitives.sigmoid_minus,
    primitives.logistic_loss,
    primitives.squared_error,
    primitives.half_squared_error,
    primitives.hinge_loss,
    *OVER_CLASSES,
}
_RUNS = 8  # a sum is added up in its order if its terms change their kind less often than that


def buckets_of(tape: Tape, level: Ids, colour: Ids) -> dict[Any, list[Ids]]:
    """Return the nodes of one depth by what makes them alike."""
    if len(level) > 1:
        _, first, which = np.unique(
            _digests(tape, level, colour), return_index=True, return_inverse=True
        )
        order = np.argsort(which, kind="stable")
        parts = np.split(level[order], np.cumsum(np.bincount(which))[:-1])
        parts = [parts[i] for i in np.argsort(first)]
    else:
        parts = [level]
    found: dict[Any, list[Ids]] = {}
    for alike in parts:
        found.setdefault(_likeness(tape, int(alike[0]), colour), []).append(alike)
    return found


def _likeness(tape: Tape, n: int, colour: Ids) -> Any:
    """Return what another node must share with node *n* to be like it."""
    if tape.term_starts[n] < tape.term_starts[n + 1]:
        kinds = np.stack(terms_of(tape, np.array([n]), colour)[1:], axis=1)
        return None, frozenset(map(tuple, kinds.tolist()))
    row, inputs = tape.row(n), tape.operands(n)
    colours = colour[inputs].tolist()
    if row is primitives.multiply:
        return (row, *sorted(colours, reverse=True))
    if row is primitives.softmax_entry or (
        row in SEGMENTED and len(inputs) > 2 and not tape.constant(inputs).any()
    ):
        return row, frozenset(colours)
    if row in OPEN:
        return row, *colours
    constant = tape.constant(inputs).tolist()
    values = tape.values[inputs].tolist()
    return row, *[(x,) if c else k for c, x, k in zip(constant, values, colours, strict=True)]


def _digests(tape: Tape, level: Ids, colour: Ids) -> Digests:
    """Return a number for every node of a *level*; nodes that are alike have the same number.

    It is a sum of pseudo-random numbers, one for each kind of term or operand that the node has, or
    one for each of its operands and its place.
    """
    rows = tape.codes[level].astype(np.int64)
    sums = tape.term_starts[level + 1] > tape.term_starts[level]
    rows[sums] = -1  # + and dot are alike once they are sums
    of_term, sign, p, q, run = terms_of(tape, level, colour)
    kinds = scattered(scattered(p) + scattered(q) * np.uint64(3) + scattered(run) * np.uint64(5))
    owner = [of_term]
    marks = [kinds + sign.astype(np.uint64)]

    counts = np.where(sums, 0, tape.starts[level + 1] - tape.starts[level])
    of = np.repeat(np.arange(len(level)), counts)
    operand = ranges(tape.starts[level], counts)
    inputs = tape.inputs[operand]
    constant = tape.constant(inputs)
    mark = colour[inputs].astype(np.uint64)
    named = constant & ~tape.are(level, *OPEN)[of]
    mark[named] = scattered(tape.values[inputs[named]].view(np.uint64))
    slot = operand - tape.starts[level[of]]
    anyhow = tape.are(level, primitives.softmax_entry, primitives.multiply)
    several = tape.are(level, *SEGMENTED) & (counts > 2)
    several[of[constant]] = False
    slot[(anyhow | several)[of]] = -1
    owner.append(of)
    marks.append(scattered(mark + scattered(slot)))

    owners, mark = np.concatenate(owner), scattered(np.concatenate(marks))
    order = np.lexsort((mark, owners))
    owners, mark = owners[order], mark[order]
    first = np.append(True, owners[1:] != owners[:-1])
    mark[~first & np.append(False, mark[1:] == mark[:-1])] = 0
    total: Digests = np.add.reduceat(mark, np.flatnonzero(first)) + scattered(rows)
    return total


def terms_of(tape: Tape, nodes: Ids, colour: Ids) -> tuple[Ids, Ids, Ids, Ids, Ids]:
    """Return for every term of *nodes*, one after another, whose it is and of what kind.

    Those are the position of its node in *nodes*; its sign, the colours of its factors, the larger
    one first; and its run.  A run is a piece of the sum whose terms are of one kind, so sums that
    have their kinds in another order are not alike.  Products stand where the product is computed:
    they are in run 0, and so are all terms if there would be many runs.
    """
    counts = tape.term_starts[nodes + 1] - tape.term_starts[nodes]
    owner = np.repeat(np.arange(len(nodes)), counts)
    sign, left, right = tape.terms[:, ranges(tape.term_starts[nodes], counts)]
    p, q = np.maximum(colour[left], colour[right]), np.minimum(colour[left], colour[right])
    run = np.zeros(len(owner), dtype=np.int64)
    plain = np.flatnonzero(q == UNIT)
    kinds = np.stack([owner[plain], sign[plain], p[plain]])
    changes = np.append(False, (kinds[:, 1:] != kinds[:, :-1]).any(axis=0))[: len(plain)]
    changes[1:] &= kinds[0, 1:] == kinds[0, :-1]
    so_far = np.cumsum(changes)
    number = np.bincount(kinds[0], weights=changes, minlength=len(nodes)).astype(np.int64)
    before = np.cumsum(number) - number
    run[plain] = np.where(number[kinds[0]] < _RUNS, so_far - before[kinds[0]], 0)
    return owner, sign, p, q, run


def scattered(x: Ids | Digests) -> Digests:
    """Return integers below 2**64: equal ones for equal integers, and scattered ones for others."""
    mixed: Digests = x.astype(np.uint64)  # what follows is the last step of splitmix64
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
