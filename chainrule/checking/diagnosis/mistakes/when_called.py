"""What only a call can show."""

from __future__ import annotations

from .row import Mistake

ROWS: tuple[Mistake, ...] = (
    Mistake(
        "call.accumulates",
        "B10",
        "Each call adds to the result of the one before: the gradients are not set back to zero.",
        "Start every call from zero gradients (zero_grad).",
    ),
    Mistake(
        "call.not-repeatable",
        "B10",
        "The same call gives different answers.",
        "Let the result depend on the arguments alone: no random numbers, as dropout and weights "
        "drawn anew have them, no order of a set, no state kept.",
    ),
    Mistake(
        "call.changes-arguments",
        "B10",
        "The function writes into its arguments.",
        "Work on copies; update the weights outside.",
    ),
    Mistake(
        "call.not-loaded",
        "B10",
        "The function cannot be loaded.",
        "Correct the file, or the name of the function.",
    ),
    Mistake(
        "call.wrong-arguments",
        "B10",
        "How to call the program cannot be found out.",
        "State what its parameters are, or add a function FUNCTION(thetas, X, Y, lam) that calls "
        "it.",
    ),
    Mistake(
        "call.one-layer",
        "B5",
        "This is one layer, not a network: it is given the gradient of its output, not targets.",
        "Check the network that uses it, FILE:NETWORK; or the layer alone, in Python: "
        "chainrule.checking.check_layer(forward, backward, kind=...), docs/layers.md.",
    ),
    Mistake(
        "call.not-as-asked",
        "B10",
        "The program does not keep to the conventions that were asked for.",
        "Follow the conventions of the exercise, or have them stated.",
    ),
    Mistake(
        "call.raises",
        "B10",
        "The function raises an exception.",
        "Read the last line of the exception first; the shapes in it often name the mistake.",
    ),
    Mistake(
        "call.too-slow",
        "B10",
        "The function does not return within the time limit.",
        "Look for a loop that does not end, or a wait for input.",
    ),
    Mistake(
        "call.dies",
        "B10",
        "The program ends before the function returns.",
        "Look for exit(), for memory that grows without limit, and for native code that crashes.",
    ),
    Mistake(
        "call.no-numbers",
        "C4",
        "The result cannot be read as arrays of real numbers, one for each Theta.",
        "Return one array for each Theta, of real numbers and in its shape.",
    ),
    Mistake(
        "call.wrong-shape",
        "C4",
        "The gradient has the wrong shape.",
        "Each entry of Theta has one entry in the gradient: the shapes are the same.",
    ),
    Mistake(
        "call.not-finite",
        "A2",
        "The gradient has entries that are nan or infinite.",
        "Look for log(0), 0/0 and overflow in exp.",
    ),
)
