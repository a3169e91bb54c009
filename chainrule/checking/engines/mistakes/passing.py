"""What an operation does with the gradient from above, and with those of its operands."""

from __future__ import annotations

from .row import Mistake

ROWS: tuple[Mistake, ...] = (
    # --- one operation ---
    Mistake(
        "accumulate.overwrites",
        "{method} sets the gradient of {operand} instead of adding to it: where a node is used "
        "twice, one of the two is lost.",
        "Write += in place of = in {method}: gradients of several uses add up.",
        local=(("*", {"overwrites": (0, 1)}),),
        ordered=True,
        places=True,
    ),
    Mistake(
        "upstream.forgotten",
        "{method} passes on its own derivative alone, without the gradient from above.",
        "Multiply by out.grad: {rule}, times what comes from above.",
        local=(("*", {"chain": lambda above, partial, y: partial}),),
        places=True,
    ),
    Mistake(
        "upstream.added",
        "{method} adds its derivative to the gradient from above instead of multiplying.",
        "Multiply: {rule}, times out.grad.",
        local=(("*", {"chain": lambda above, partial, y: above + partial}),),
    ),
    Mistake(
        "upstream.is-data",
        "{method} multiplies its derivative by out.data where out.grad belongs.",
        "Multiply by out.grad: {rule}, times what comes from above.",
        local=(("*", {"chain": lambda above, partial, y: y * partial}),),
    ),
    Mistake(
        "upstream.twice",
        "{method} multiplies by the gradient from above twice.",
        "Multiply by out.grad once.",
        local=(("*", {"chain": lambda above, partial, y: above * above * partial}),),
    ),
    Mistake(
        "operands.swapped",
        "{method} gives each operand the derivative by the other one.",
        "Exchange them: {rule}.",
        local=(("2", {"swap": True}),),
        apart=frozenset({"add", "sub"}),
    ),
    Mistake(
        "operands.forgotten",
        "{method} gives {operand} no gradient.",
        "Add to the gradient of {operand} too: {rule}.",
        local=(("*", {"skips": (0, 1)}),),
        places=True,
    ),
    Mistake(
        "operands.one-gets-both",
        "{method} adds the derivatives by both operands to the gradient of one.",
        "Write self.grad in one line and other.grad in the other.",
        local=(("2", {"onto": {1: 0}}), ("2", {"onto": {0: 1}})),
    ),
)
