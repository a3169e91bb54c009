"""How the class behaves when it is used, and what no row explains."""

from __future__ import annotations

from .row import Mistake

ROWS: tuple[Mistake, ...] = (
    Mistake(
        "call.raises",
        "{method} raises an exception.",
        "Read the last line of the exception first.",
    ),
    Mistake(
        "call.pass-raises",
        "The backward pass raises an exception.",
        "Read the last line of the exception first.",
    ),
    Mistake(
        "call.not-loaded",
        "The class cannot be loaded.",
        "Correct the file, or the name of the class.",
    ),
    Mistake(
        "call.dies",
        "The program ends before the class has been examined.",
        "Look for exit(), for memory that grows without limit, and for native code that crashes.",
    ),
    Mistake(
        "call.too-slow",
        "The class is not examined to the end within the time limit.",
        "Look for a loop that does not end, or for a pass that visits nodes over and over.",
    ),
    Mistake(
        "call.not-examinable",
        "The class cannot be used as an engine.",
        "Let Value(2.0) make a node, with the number as .data, the gradient as .grad, and "
        ".backward() to fill the gradients in.",
    ),
    Mistake(
        "unknown.value",
        "{method} gives a wrong value.",
        "Check its formula.",
    ),
    Mistake(
        "unknown.slope",
        "{method} gives a wrong derivative.",
        "Check it against {rule}.",
    ),
    Mistake(
        "unknown.passing",
        "{method} is right alone, and wrong as a part of something larger.",
        "Look at what it multiplies by (out.grad), and whether it adds (+=).",
    ),
    Mistake(
        "unknown.several",
        "Most operations are wrong, and no mistake in the list explains how.",
        "Look at what they share first: the backward pass, += in each operation, and out.grad; "
        "then check again.",
    ),
    Mistake(
        "unknown.sweep",
        "Each operation is right, and a graph of several is not.",
        "Look at the order in which nodes are visited, and at how often each is.",
    ),
    Mistake(
        "unknown.twice",
        "One backward pass is right, and what follows it is not.",
        "Look at what is left in the nodes when the next pass begins.",
    ),
)
