"""Mistakes in the engine as a whole: in every operation, in its nodes, in its sweep."""

from __future__ import annotations

from .row import Mistake

ROWS: tuple[Mistake, ...] = (
    # --- the engine as a whole ---
    Mistake(
        "accumulate.overwrites-everywhere",
        "Every operation sets the gradients of its operands instead of adding to them: where a "
        "node is used twice, one of the two is lost.",
        "Write += in place of =: the gradient of a node is the sum over all of its uses.",
        ({"overwrites": (0, 1)}, {"overwrites": (0, 1), "sweep": "use by use"}),
        ordered=True,
    ),
    Mistake(
        "upstream.forgotten-everywhere",
        "Every operation passes on its own derivative alone, without the gradient from above.",
        "Multiply by out.grad: the chain rule is local derivative times what comes from above.",
        ({"chain": lambda above, partial, y: partial},),
        ordered=True,
    ),
    Mistake(
        "upstream.added-everywhere",
        "Every operation adds its derivative to the gradient from above instead of multiplying.",
        "Multiply: local derivative times out.grad.",
        ({"chain": lambda above, partial, y: above + partial},),
        ordered=True,
    ),
    Mistake(
        "upstream.is-data-everywhere",
        "Every operation multiplies its derivative by out.data where out.grad belongs.",
        "Multiply by out.grad, the gradient that comes from above.",
        ({"chain": lambda above, partial, y: y * partial},),
        ordered=True,
    ),
    Mistake(
        "nodes.operands-in-set",
        "A node that is used twice by one operation, as in x * x, gets its gradient once: the "
        "operands are kept in a set, and a set holds a thing once.",
        "Keep the operands in a tuple, in their order.",
        ({"once": True},),
    ),
    Mistake(
        "sweep.seed-missing",
        "All gradients are zero: the pass does not begin with a gradient of 1 at the root, or does "
        "not come to the root.",
        "Set self.grad = 1 before the pass, and let the root itself pass its gradient on.",
        ({"seed": "missing"}, {"sweep": "without root"}),
    ),
    Mistake(
        "sweep.seed-is-data",
        "The pass begins with the root's own number as its gradient.",
        "Set self.grad = 1 before the pass: dy/dy is 1.",
        ({"seed": "data"},),
    ),
    Mistake(
        "sweep.not-reversed",
        "The gradient comes one step down from the root and no further: the nodes are visited from "
        "the leaves to the root, when most have no gradient to pass on, or the operands of the "
        "operands are not visited at all.",
        "Put the nodes in topological order, and go through it backwards: for node in "
        "reversed(topo).",
        ({"sweep": "not reversed"}, {"sweep": "created"}, {"sweep": "root only"}),
        ordered=True,
    ),
    Mistake(
        "sweep.no-visited",
        "A node that is reached by several paths passes on its whole gradient each time: what came "
        "first is passed on again.",
        "Visit each node once, when all of its uses have added to its gradient: keep a set of "
        "those that were visited, put the nodes in topological order, and go backwards.",
        (
            {"sweep": "repeated"},
            {"sweep": "breadth first, repeated"},
            {"sweep": "path by path"},
        ),
        ordered=True,
    ),
    Mistake(
        "sweep.not-topological",
        "A node passes its gradient on before all of its uses have added theirs.",
        "Order the nodes topologically: append a node after its operands, and go backwards.",
        ({"sweep": "preorder"}, {"sweep": "breadth first"}),
        ordered=True,
    ),
    Mistake(
        "sweep.one-operand",
        "The pass goes on to one operand of each node and leaves out the other.",
        "Visit all operands of a node.",
        ({"sweep": "first operand only"}, {"sweep": "last operand only"}),
    ),
    Mistake(
        "nodes.equal-merged",
        "Two nodes that hold the same number are taken for one: the second is never visited.",
        "Compare nodes by identity: leave __eq__ and __hash__ as they are (eq=False in a "
        "dataclass), or keep id(node) in the visited set.",
        ({"sweep": "equal merged"},),
        ordered=True,
    ),
)
