"""What only a second pass shows, or a reset of the gradients."""

from __future__ import annotations

from .row import Mistake

ROWS: tuple[Mistake, ...] = (
    # --- one pass after another ---
    Mistake(
        "twice.seed-adds",
        "The pass adds 1 to the root's gradient, which the last pass has left there.",
        "Set it: self.grad = 1.",
        ({"seed": "adds"},),
    ),
    Mistake(
        "twice.visited-kept",
        "The nodes that an earlier pass has visited are left out of the next one.",
        "Begin every pass with a new set: no default argument that is a set or a list, and none "
        "that belongs to the class.",
        ({"sweep": "visited kept"},),
    ),
    Mistake(
        "twice.earlier-again",
        "What an earlier pass went through passes its gradient on again in the next, though it "
        "does not lie below the root.",
        "Begin every pass with a new list of nodes (no default argument that is a list, none that "
        "belongs to the class), or go only through what lies below the root; or set the gradients "
        "of all recorded nodes to zero first.",
        ({"sweep": "topo kept", "kept": True}, {"sweep": "whole tape", "kept": True}),
    ),
    Mistake(
        "twice.tape-emptied",
        "A pass empties the tape: what was recorded before it gets no gradient from the next.",
        "Keep the tape until the graph is done with, or remember each node's operands.",
        ({"sweep": "tape since"},),
    ),
    Mistake(
        "zero.nothing",
        "{zero} leaves the gradients as they are.",
        "Set self.grad = 0.0 in it.",
        ({"zero": "nothing"},),
    ),
    Mistake(
        "zero.one",
        "{zero} sets the gradient to 1.",
        "Set self.grad = 0.0; the 1 belongs to the root, when a pass begins.",
        ({"zero": "one"},),
    ),
    Mistake(
        "zero.data",
        "{zero} sets the number to zero, not only the gradient.",
        "Set self.grad = 0.0 and leave self.data alone.",
        ({"zero": "data"},),
    ),
    Mistake(
        "zero.leaves-only",
        "{zero} leaves the gradients of nodes that are not leaves as they are, and the next pass "
        "adds to them.",
        "Set the gradient of every node to zero, or let a pass begin by doing so.",
        ({"zero": "leaves", "kept": True},),
    ),
)
