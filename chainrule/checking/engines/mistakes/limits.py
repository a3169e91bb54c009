"""How far an engine goes, and how its nodes are told apart."""

from __future__ import annotations

from .row import Mistake

ROWS: tuple[Mistake, ...] = (
    # --- how far it goes: right, and limited ---
    Mistake(
        "limit.interior-kept",
        "A second backward pass over the same nodes gives wrong gradients: those of the nodes in "
        "between are still there from the first.",
        "Begin a pass by setting the gradients of all nodes that are not leaves to zero; or build "
        "the graph anew for each pass, and say so.",
        ({"kept": True},),
    ),
    Mistake(
        "limit.one-pass",
        "A second backward pass over the same nodes is refused.",
        "Nothing, if that is meant: the exception should say so.",
    ),
    Mistake(
        "limit.recursion",
        "A long chain fails: the order of the nodes is found by a function that calls itself, and "
        "Python allows about a thousand calls within calls.",
        "Use a loop with a stack of your own: push a node, then its operands, and append it when "
        "it comes up for the second time.",
    ),
    Mistake(
        "limit.overflow",
        "{method} fails where its operand is large, though the result is an ordinary number.",
        "Use a formula that does not overflow: math.tanh, or exp(-abs(x)) in place of exp(x).",
    ),
    # --- what is seen without a replay ---
    Mistake(
        "nodes.not-repeatable",
        "The same program gives different gradients when it is run again.",
        "Keep operands in tuples, in their order: a set has no order, and pairs each operand with "
        "the derivative by another one.",
    ),
    Mistake(
        "nodes.none-returned",
        "{method} returns None.",
        "End it with: return out.",
    ),
    Mistake(
        "nodes.no-node",
        "{method} returns something that is not a node.",
        "Return a new node that holds the number and knows its operands.",
    ),
)
