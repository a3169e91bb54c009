"""The table of mistakes that people make in an engine: each is one row.

A row has a stable code, a sentence, a fix, and the ways in which the mistake is made: the steps of
the reference engine that come out different, as ``replay`` reads them. A row for operations is
planted in each operation that the engine has, in one operand or in all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from .operations import OPERATIONS
from .replay import Build, Changes, Plant

CATEGORIES = MappingProxyType(
    {
        "value": "the value of an operation",
        "slope": "the derivative of an operation",
        "upstream": "what an operation does with the gradient that comes from above",
        "accumulate": "how gradients are added up",
        "operands": "which operand gets which gradient",
        "sweep": "the order of the backward pass, or where it begins",
        "twice": "what is left from one backward pass to the next",
        "zero": "setting gradients back to zero",
        "nodes": "how nodes are made and told apart",
        "limit": "how far the engine goes",
        "call": "how the class behaves when it is used",
        "unknown": "not in the list of mistakes",
    }
)
"""What the first half of a code stands for; a hint of level "category" says this much."""


@dataclass(frozen=True, eq=False)
class Mistake:
    """One mistake: its name, what is wrong, how to mend it, how to make it.

    ``{method}`` in a text stands for the method that it is made in, ``{rule}`` for the derivative
    as it should be, ``{operand}`` for the operand.
    """

    code: str
    says: str
    fix: str
    ways: tuple[Changes, ...] = ()
    """How it is made in the engine as a whole."""
    local: tuple[tuple[str, Changes], ...] = ()
    """How it is made in an operation: its name, or "*" for each, "2" for each of two operands."""
    ordered: bool = False
    places: bool = False
    """Whether it may be made in one of two operands alone."""
    apart: frozenset[str] = frozenset()
    """Operations in which it is the same as another row's mistake."""

    @property
    def category(self) -> str:
        """The key of ``CATEGORIES``."""
        return self.code.partition(".")[0]


def _slope(place: int, function: Callable[..., float]) -> Changes:
    """Return the change of one partial; *function* is called with the operands and the result."""
    return {
        "partial": lambda usual, at, numbers, y: function(*numbers, y) if at == place else usual()
    }


def _each(function: Callable[[float], float]) -> Changes:
    return {"partial": lambda usual, place, numbers, y: function(usual())}


def _value(function: Callable[..., float]) -> Changes:
    return {"value": lambda usual, *numbers: function(*numbers)}


def _with(
    name: str, value: Callable[..., float], *partials: Callable[..., float]
) -> tuple[tuple[str, Changes], ...]:
    """Return two ways: another value alone, and another value with its own derivative."""
    other: Changes = {"partial": lambda usual, place, numbers, y: partials[place](*numbers, y)}
    return (name, _value(value)), (name, {**_value(value), **other})


def _instead(name: str, other: str) -> tuple[tuple[str, Changes], ...]:
    return _with(name, OPERATIONS[other].value, *OPERATIONS[other].partials)


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


_TWICE = frozenset({"add", "sub", "neg"})
"""Their derivatives are 1 and -1 everywhere: some mistakes are one mistake there."""

MISTAKES: tuple[Mistake, ...] = (
    # --- the engine as a whole ---
    Mistake(
        "accumulate.overwrites-everywhere",
        "Every operation sets the gradients of its operands instead of adding to them: where a "
        "node is used twice, one of the two is lost.",
        "Write += in place of =: the gradient of a node is the sum over all of its uses.",
        ({"overwrites": (0, 1)},),
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
    Mistake(
        "slope.sign",
        "{method} has the wrong sign in the derivative by {operand}.",
        "Check the sign: {rule}.",
        local=(("*", _each(lambda slope: -slope)),),
        places=True,
    ),
    Mistake(
        "slope.missing",
        "{method} passes on the gradient from above without the derivative by {operand}.",
        "Multiply by the derivative: {rule}.",
        local=(("*", _each(lambda slope: 1.0)),),
        places=True,
        apart=frozenset({*_TWICE, "relu", "abs"}),
    ),
    Mistake(
        "slope.doubled",
        "The derivative of {method} by {operand} is twice what it should be.",
        "Look for a factor 2, or a line that runs twice: {rule}.",
        local=(("*", _each(lambda slope: 2.0 * slope)),),
        places=True,
    ),
    Mistake(
        "slope.halved",
        "The derivative of {method} by {operand} is half of what it should be.",
        "Look for a factor 1/2: {rule}.",
        local=(("*", _each(lambda slope: 0.5 * slope)),),
        places=True,
    ),
    Mistake(
        "slope.of-product",
        "{method} has the derivative of a product.",
        "The derivative of a sum by each of its terms is 1, of a difference 1 and -1.",
        local=(
            ("add", {"partial": lambda usual, place, numbers, y: numbers[1 - place]}),
            ("sub", {"partial": lambda usual, place, numbers, y: numbers[1 - place]}),
            ("div", {"partial": lambda usual, place, numbers, y: numbers[1 - place]}),
        ),
        places=True,
    ),
    Mistake(
        "slope.is-result",
        "{method} takes its result for its derivative by {operand}.",
        "It is {rule}.",
        local=(("*", {"partial": lambda usual, place, numbers, y: y}),),
        places=True,
        apart=frozenset({"exp"}),
    ),
    Mistake(
        "slope.is-operand",
        "{method} takes its operand for its derivative.",
        "It is {rule}.",
        local=tuple(
            (name, _slope(0, lambda x, y: x))
            for name in OPERATIONS
            if name not in ("add", "sub", "mul", "div", "pow", "relu")
        ),
    ),
    Mistake(
        "slope.at-operand",
        "{method} puts its operand where its result belongs, or the other way round: the formula "
        "of the derivative is right for the other one.",
        "Mind which one the formula is for: {rule}.",
        local=(
            ("tanh", _slope(0, lambda x, y: 1.0 - x * x)),
            ("tanh", _slope(0, lambda x, y: 1.0 - math.tanh(y) ** 2)),
            ("sigmoid", _slope(0, lambda x, y: x * (1.0 - x))),
            ("sigmoid", _slope(0, lambda x, y: _sigmoid(y) * (1.0 - _sigmoid(y)))),
            ("exp", _slope(0, lambda x, y: math.exp(y))),
            ("log", _slope(0, lambda x, y: 1.0 / y)),
            ("sqrt", _slope(0, lambda x, y: 0.5 / x)),
            ("sqrt", _slope(0, lambda x, y: 0.5 / math.sqrt(y))),
            ("sin", _slope(0, lambda x, y: math.cos(y))),
            ("cos", _slope(0, lambda x, y: -math.sin(y))),
            ("square", _slope(0, lambda x, y: 2.0 * y)),
            ("softplus", _slope(0, lambda x, y: _sigmoid(y))),
        ),
    ),
    Mistake(
        "slope.not-squared",
        "{method} misses the square in its derivative.",
        "Square it: {rule}.",
        local=(
            ("tanh", _slope(0, lambda x, y: 1.0 - y)),
            ("div", _slope(1, lambda a, b, y: -a / b)),
        ),
    ),
    Mistake(
        "slope.plus-square",
        "{method} adds the square in its derivative.",
        "Subtract it: {rule}.",
        local=(("tanh", _slope(0, lambda x, y: 1.0 + y * y)),),
    ),
    Mistake(
        "slope.of-other-activation",
        "{method} has the derivative of another activation.",
        "It is {rule}.",
        local=(
            ("tanh", _slope(0, lambda x, y: y * (1.0 - y))),
            ("sigmoid", _slope(0, lambda x, y: 1.0 - y * y)),
            ("softplus", _slope(0, lambda x, y: float(x > 0))),
            ("softplus", _slope(0, lambda x, y: math.tanh(x))),
        ),
    ),
    Mistake(
        "slope.half-of-it",
        "{method} has one factor of its derivative and misses the other.",
        "Both factors belong there: {rule}.",
        local=(
            ("sigmoid", _slope(0, lambda x, y: 1.0 - y)),
            ("pow", _slope(0, lambda a, b, y: b)),
            ("pow", _slope(0, lambda a, b, y: a ** (b - 1))),
            ("pow", _slope(1, lambda a, b, y: math.log(a))),
            ("div", _slope(1, lambda a, b, y: -1.0 / b**2)),
            ("div", _slope(1, lambda a, b, y: -a)),
            ("square", _slope(0, lambda x, y: 2.0)),
        ),
        apart=frozenset(),
    ),
    Mistake(
        "slope.exponent-not-lowered",
        "{method} keeps the exponent as it is in the derivative.",
        "Lower it by one: {rule}.",
        local=(("pow", _slope(0, lambda a, b, y: b * a**b)),),
    ),
    Mistake(
        "slope.factor-lowered",
        "{method} lowers the factor in front too, not the exponent alone.",
        "The factor is the exponent as it was: {rule}.",
        local=(("pow", _slope(0, lambda a, b, y: (b - 1) * a ** (b - 1))),),
    ),
    Mistake(
        "slope.exponent-forgotten",
        "{method} has b * a for its derivative: right for squares alone.",
        "Raise the base to the exponent less one: {rule}.",
        local=(
            ("pow", _slope(0, lambda a, b, y: b * a)),
            ("pow", _slope(0, lambda a, b, y: 2.0 * a)),
        ),
    ),
    Mistake(
        "slope.power-rule",
        "{method} has the power rule where the exponent is what changes.",
        "It is {rule}.",
        local=(
            ("exp", _slope(0, lambda x, y: x * math.exp(x - 1.0))),
            ("pow", _slope(1, lambda a, b, y: b * a ** (b - 1))),
        ),
    ),
    Mistake(
        "slope.wrong-logarithm",
        "{method} takes the logarithm of the exponent, or one of another base.",
        "It is the natural logarithm of the base: {rule}.",
        local=(
            ("pow", _slope(1, lambda a, b, y: y * math.log(b))),
            ("pow", _slope(1, lambda a, b, y: y * math.log10(a))),
            ("log", _slope(0, lambda x, y: 1.0 / (x * math.log(10.0)))),
        ),
    ),
    Mistake(
        "slope.of-the-value",
        "{method} has the derivative of its derivative, or its own value, where the derivative "
        "belongs.",
        "It is {rule}.",
        local=(
            ("log", _slope(0, lambda x, y: 1.0 / x**2)),
            ("log", _slope(0, lambda x, y: -1.0 / x**2)),
            ("cos", _slope(0, lambda x, y: -math.cos(x))),
            ("sin", _slope(0, lambda x, y: -math.sin(x))),
            ("sqrt", _slope(0, lambda x, y: -0.25 * x**-1.5)),
        ),
    ),
    Mistake(
        "slope.root-in-numerator",
        "{method} multiplies by the root where it should divide by it.",
        "Divide: {rule}.",
        local=(("sqrt", _slope(0, lambda x, y: 0.5 * x)),),
    ),
    Mistake(
        "slope.mask-missing",
        "{method} passes the gradient on whatever the sign of its operand is.",
        "It is {rule}.",
        local=(
            ("relu", _slope(0, lambda x, y: 1.0)),
            ("abs", _slope(0, lambda x, y: 1.0)),
        ),
    ),
    Mistake(
        "slope.mask-inverted",
        "{method} passes the gradient on where its operand is negative.",
        "The other way round: {rule}.",
        local=(("relu", _slope(0, lambda x, y: float(x < 0))),),
    ),
    Mistake(
        "slope.mask-of-upstream",
        "{method} asks whether the gradient from above is positive, not its operand.",
        "Ask the operand, or the result: {rule}.",
        local=(
            ("relu", {"chain": lambda above, partial, y: max(above, 0.0)}),
            ("relu", {"chain": lambda above, partial, y: float(above > 0) * (y > 0)}),
        ),
    ),
    Mistake(
        "slope.leaks",
        "{method} passes a small part of the gradient on where its operand is negative.",
        "That is the leaky one; here {rule}.",
        local=(
            ("relu", _slope(0, lambda x, y: 1.0 if x > 0 else 0.01)),
            ("relu", _slope(0, lambda x, y: 1.0 if x > 0 else 0.1)),
        ),
    ),
    # --- values ---
    Mistake(
        "value.operands-exchanged",
        "{method} computes with its operands the wrong way round.",
        "The number stands on the left there: other comes first, then self.",
        local=(("2", {"exchange": True}),),
        apart=frozenset({"add", "mul"}),
    ),
    Mistake(
        "value.of-other-operation",
        "{method} computes another operation.",
        "Check the formula of its value.",
        local=(
            *_instead("add", "mul"),
            *_instead("add", "sub"),
            *_instead("sub", "add"),
            *_instead("mul", "add"),
            *_instead("mul", "div"),
            *_instead("div", "mul"),
            *_instead("pow", "mul"),
            *_instead("pow", "div"),
            *_instead("sin", "cos"),
            *_instead("cos", "sin"),
            *_instead("sqrt", "square"),
            *_instead("square", "sqrt"),
            *_instead("abs", "neg"),
            *_instead("abs", "relu"),
            *_instead("tanh", "sigmoid"),
            *_instead("sigmoid", "tanh"),
            *_instead("softplus", "exp"),
            *_instead("log", "exp"),
            *_instead("exp", "log"),
            *_with("neg", lambda x: x, lambda x, y: 1.0),
            *_with("abs", lambda x: x, lambda x, y: 1.0),
            *_with("neg", lambda x: 1.0 / x, lambda x, y: -y * y),
            *_with("square", lambda x: 2.0 * x, lambda x, y: 2.0),
            ("div", _value(lambda a, b: float(a // b))),
            ("sub", _value(lambda a, b: b - a)),
            ("div", _value(lambda a, b: b / a)),
            ("pow", _value(lambda a, b: b**a)),
        ),
    ),
    Mistake(
        "value.wrong-base",
        "{method} has another base than e.",
        "Use math.exp and math.log.",
        local=(
            ("log", _value(math.log10)),
            ("log", _value(math.log2)),
            ("exp", _value(lambda x: 2.0**x)),
            ("exp", _value(lambda x: 10.0**x)),
        ),
    ),
    Mistake(
        "value.sign-of-exponent",
        "{method} has the wrong sign in its exponent.",
        "sigmoid(x) = 1 / (1 + exp(-x)); exp(x) = e to the x.",
        local=(
            ("sigmoid", _value(lambda x: 1.0 / (1.0 + math.exp(x)))),
            ("exp", _value(lambda x: math.exp(-x))),
            ("softplus", _value(lambda x: math.log1p(math.exp(-x)))),
        ),
    ),
    Mistake(
        "value.two-missing",
        "{method} has exp(x) where exp(2x) belongs.",
        "tanh(x) = (exp(2x) - 1) / (exp(2x) + 1).",
        local=(("tanh", _value(lambda x: math.tanh(0.5 * x))),),
    ),
    Mistake(
        "value.cut-off-wrong",
        "{method} keeps what it should cut off.",
        "relu(x) is x where x > 0, else 0.",
        local=(
            *_with("relu", lambda x: min(x, 0.0), lambda x, y: float(y > 0)),
            *_with("relu", lambda x: min(x, 0.0), lambda x, y: float(x < 0)),
            *_with("relu", abs, lambda x, y: float(y > 0)),
            *_with("relu", lambda x: x, lambda x, y: 1.0),
            *_with("relu", lambda x: x if x > 0 else 0.01 * x, lambda x, y: 1.0 if x > 0 else 0.01),
            *_with("relu", lambda x: x if x > 0 else 0.1 * x, lambda x, y: 1.0 if x > 0 else 0.1),
            *_with("relu", lambda x: min(max(x, 0.0), 1.0), lambda x, y: float(0 < x < 1)),
            *_with("relu", lambda x: float(x > 0), lambda x, y: 0.0),
        ),
    ),
    Mistake(
        "value.with-epsilon",
        "{method} adds a small number before it takes the logarithm.",
        "Take the logarithm of the number itself.",
        local=(
            ("log", _value(lambda x: math.log(x + 1e-6))),
            ("log", _value(lambda x: math.log(x + 1e-5))),
            ("log", _value(lambda x: math.log(x + 1e-3))),
        ),
    ),
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

BY_CODE = MappingProxyType({row.code: row for row in MISTAKES})
"""The rows by their code."""
LATER = frozenset({"twice", "zero", "limit"})
"""Categories that a single backward pass does not show."""


def plants(build: Build, forms: Iterable[str], later: bool = False) -> list[Plant]:
    """Return every plant that could show in the operations *forms* of an engine.

    With *later*, those that only a second pass or a zero_grad can show, and no others.
    """
    wrong = frozenset(forms)
    return [plant for plant in _all_plants(build, later) if plant.forms <= wrong]


@lru_cache(maxsize=64)
def _all_plants(build: Build, later: bool) -> tuple[Plant, ...]:
    methods = _methods(build)
    found: list[Plant] = []
    for row in MISTAKES:
        if (row.category in LATER) is not later or (row.category == "zero" and not build.zero):
            continue
        found += [Plant(row.code, changes, ordered=row.ordered) for changes in row.ways]
        for name, changes in row.local:
            for at in methods:
                operation = min(at).partition(":")[0]
                two = len(OPERATIONS[operation].partials) == 2
                if operation not in row.apart and (
                    name in ("*", operation) or (name == "2" and two)
                ):
                    found += _at(row, changes, at, operation, two)
    return tuple(found)


def _at(
    row: Mistake, changes: Changes, forms: frozenset[str], operation: str, two: bool
) -> Iterator[Plant]:
    given = _translated(changes, operation)
    both = any(form.endswith("VV") for form in forms)
    if "swap" in changes and not both:
        return
    if not (row.places and two):
        yield Plant(row.code, given, forms, row.ordered)
        return
    if both:
        yield Plant(row.code, given, forms, row.ordered)
    for place in (0, 1):
        if any(form.partition(":")[2][place] == "V" for form in forms):
            yield Plant(row.code, _only(given, place), forms, row.ordered, place)


def _translated(changes: Changes, operation: str) -> Changes:
    """Write out what depends on the operation."""
    row = OPERATIONS[operation]
    if "swap" in changes:
        return {
            "partial": lambda usual, place, numbers, y: usual(1 - place),
        }
    if "exchange" in changes:
        return {
            "value": lambda usual, a, b: usual(b, a),
            "partial": lambda usual, place, numbers, y: row.partials[1 - place](*numbers[::-1], y),
        }
    return changes


def _only(changes: Changes, place: int) -> Changes:
    """Return the same changes for one of two operands."""
    limited: dict[str, Any] = dict(changes)
    if "overwrites" in limited:
        limited["overwrites"] = (place,)
    if "skips" in limited:
        limited["skips"] = (place,)
    if "partial" in limited:
        changed = limited["partial"]
        limited["partial"] = lambda usual, at, numbers, y: (
            changed(usual, at, numbers, y) if at == place else usual()
        )
    if "chain" in limited:
        limited["chained"] = place
    return limited


def _methods(build: Build) -> list[frozenset[str]]:
    """Return which forms share a method: a + b and a + 2 do; and each form alone."""
    found: dict[frozenset[str], None] = {}
    for form in sorted(build.own()):
        name, kinds = form.split(":")
        shared = {f"{name}:VV", f"{name}:VN"} if kinds in ("VV", "VN") else {form}
        together = frozenset(shared) & build.own()
        for at in (together, frozenset({form})):
            found[at] = None
    return list(found)


def as_markdown() -> str:
    """Return the table as a Markdown page."""
    lines = [
        "# The mistakes of engines that the checker knows",
        "",
        "Made by `python docs/build.py` from the rows in `chainrule/checking/engines/mistakes.py`.",
        "The code is stable. A row for an operation is tried in every operation of an engine;",
        "see [checking an engine](engines.md).",
    ]
    put = {"method": "the operation", "operand": "the operand", "zero": "`zero_grad`"}
    for category, about in CATEGORIES.items():
        lines += ["", f"## {about[0].upper()}{about[1:]}", "", "| code | mistake | fix |"]
        lines += ["|---|---|---|"]
        for row in MISTAKES:
            if row.category == category:
                says, fix = (
                    text.format(rule="the derivative", **put).replace("|", "\\|")
                    for text in (row.says, row.fix)
                )
                lines.append(f"| `{row.code}` | {says[0].upper()}{says[1:]} | {fix} |")
    return "\n".join(lines) + "\n"
