"""Somebody's autograd class, asked to work: what it offers, and what it answers to small programs.

Read where the class lives, in a process of its own as well, so that this module needs nothing but
its neighbours: it knows what to ask, and not what is right. A program is a list of instructions,
plain data:

    ["leaf", 1.5]           a node, made by the class
    ["number", 2.0]         a plain number
    ["apply", "mul", 0, 1]  an operation on earlier results, by their places in the list
    ["again", "add", 0, 1, 1200]   y = the first; 1200 times y = y + the second
    ["sum", 0, 1]           Python's own sum() of them
    ["backward", 3]         a backward pass
    ["clear"]               the gradients of the leaves set to zero by assignment
    ["zero"]                zero_grad() of every node

What is read at its end: the number of the last node made, then the gradient of each leaf.
"""

from __future__ import annotations

import inspect
import json
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import numpy as np

from .calls import Outcome, told

IS_ENGINE = "call.is-an-engine"
"""The code of what is a class with arithmetic, where a function was expected."""
AGAIN = "again: "
"""How the evidence of an answer begins if the program, run again, gave other numbers."""
MISSING = "not offered"
"""The evidence of a program that uses an operation which the class does not have."""
Instruction: TypeAlias = "Sequence[Any]"
Formula: TypeAlias = "list[list[Any]]"
"""How an operation is made of others, one after the other: [name, operand, ...]. An operand is
["first"] or ["second"] of its own; if that is a number, ["minus second"], ["one over second"] or
["node second"], a node made of it; ["number", value] or ["node", value]; or ["step", place], the
result of an earlier one."""

OPERATORS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "add": (operator.add, "__add__", "__radd__"),
    "sub": (operator.sub, "__sub__", "__rsub__"),
    "mul": (operator.mul, "__mul__", "__rmul__"),
    "div": (operator.truediv, "__truediv__", "__rtruediv__"),
    "pow": (operator.pow, "__pow__", "__rpow__"),
    "neg": (operator.neg, "__neg__", ""),
    "abs": (abs, "__abs__", ""),
}
"""Python's operators, and what a class defines for them: on the left, on the right."""
METHODS: dict[str, tuple[str, ...]] = {
    "relu": ("relu", "ReLU", "Relu"),
    "tanh": ("tanh", "Tanh"),
    "sigmoid": ("sigmoid", "Sigmoid", "logistic", "sigm"),
    "exp": ("exp",),
    "log": ("log", "ln"),
    "sqrt": ("sqrt",),
    "sin": ("sin",),
    "cos": ("cos",),
    "square": ("square", "squared"),
    "softplus": ("softplus",),
}
"""The methods that are tried, and the names they go by."""
_REPEATS = 24
"""How many programs are run twice, to see whether the answer is the same."""
_DATA = ("data", "value", "val", "_data", "_value", "v", "x", "item")
_GRAD = ("grad", "gradient", "g", "grads", "derivative", "adjoint", "_grad", "dv", "bar")
_BACKWARD = ("backward", "backprop", "backpropagate", "back", "backwards", "backward_pass")
_ZERO = ("zero_grad", "zero_grads", "zero_gradients", "zerograd", "reset_grad", "clear_grad")


@dataclass
class Offer:
    """What a class offers, found out by trying."""

    constructor: str = ""
    data: str = ""
    grad: str = ""
    backward: str = ""
    zero: str = ""
    offers: list[str] = field(default_factory=list)
    """The forms that work: ``add:VV``, ``add:VN``, ``add:NV``, ``exp:V``."""
    names: dict[str, str] = field(default_factory=dict)
    """The name that the class has for a form."""
    refused: dict[str, str] = field(default_factory=dict)
    """The forms that the class has, and that raise or return something else."""
    formulas: dict[str, Formula] = field(default_factory=dict)
    """The forms that are made of others."""
    follows: dict[str, str] = field(default_factory=dict)
    """The forms that are refused because another form is."""
    same: dict[str, str] = field(default_factory=dict)
    """The forms that are another form's very function."""
    wrong: str = ""
    """Why the class cannot be examined; "" if it can."""


def is_engine(found: Any) -> bool:
    """Whether *found* is a class with arithmetic, not a function that returns gradients."""
    return isinstance(found, type) and any(hasattr(found, name) for name in ("__add__", "__mul__"))


def answers(made: Any, programs: Sequence[Sequence[Instruction]]) -> Iterator[Outcome]:
    """Yield what the class offers, as JSON in an outcome's evidence, then each program's answer."""
    subject = Examinee(made)
    offer = subject.offer
    yield Outcome(np.zeros(0), evidence=json.dumps(asdict(offer)))
    if offer.wrong:
        return
    for program in programs:
        zeroes = any(step[0] == "zero" for step in program)
        if needed(program) <= set(offer.offers) and (offer.zero or not zeroes):
            yield subject.answer(program)
        else:
            yield Outcome(np.zeros(0), evidence=MISSING)


def needed(program: Sequence[Instruction]) -> set[str]:
    """Return the forms of operations that *program* uses."""
    kinds: list[str] = []
    forms: set[str] = set()
    for name, *rest in program:
        kinds.append("N" if name == "number" else "V")
        if name in ("apply", "again"):
            places = rest[1 : 1 + (2 if name == "again" else len(rest))]
            forms.add(f"{rest[0]}:{''.join(kinds[place] for place in places)}")
        elif name == "sum":
            forms |= {"add:NV", "add:VV"}
    return forms


class Examinee:
    """The class that is examined, and the names that it has for things."""

    def __init__(self, made: Any) -> None:
        self.made = made
        self.offer = Offer()
        self._repeats = _REPEATS
        self._begins_with_none = False
        try:
            self._find_out()
        except _NotExaminableError as error:
            self.offer.wrong = str(error)

    # --- what a program needs ---

    def answer(self, program: Sequence[Instruction]) -> Outcome:
        """Run *program*; an exception is an outcome as well."""
        try:
            numbers = self._run(program)
            evidence = ""
            if self._repeats and sum(step[0] == "apply" for step in program) > 1:
                self._repeats -= 1
                again = self._run(program)
                if not np.array_equal(numbers, again, equal_nan=True):
                    evidence = AGAIN + json.dumps(again)
            return Outcome(np.array(numbers, dtype=np.float64), evidence=evidence)
        except RecursionError:
            return Outcome(None, "call.raises", "RecursionError: maximum recursion depth exceeded")
        except Exception as error:
            return Outcome(None, "call.raises", told(error))
        except SystemExit:
            return Outcome(None, "call.dies", "It called exit().")

    def _run(self, program: Sequence[Instruction]) -> list[float]:
        made: list[Any] = []
        leaves: list[Any] = []
        last: Any = None
        for name, *rest in program:
            result: Any = None
            if name == "leaf":
                result = last = self.make(rest[0])
                leaves.append(result)
            elif name == "number":
                result = rest[0]
            elif name == "apply":
                result = last = self.apply(rest[0], *(made[place] for place in rest[1:]))
            elif name == "again":
                result = made[rest[1]]
                for _ in range(rest[3]):
                    result = self.apply(rest[0], result, made[rest[2]])
                last = result
            elif name == "sum":
                result = last = sum(made[place] for place in rest)
            elif name == "backward":
                self.backward(made[rest[0]])
            elif name == "clear":
                for leaf in leaves:
                    setattr(leaf, self.offer.grad, None if self._begins_with_none else 0.0)
            elif name == "zero":
                for node in made:
                    if self._is_node(node):
                        getattr(node, self.offer.zero)()
            made.append(result)
        return [self.data(last), *(self.grad(leaf) for leaf in leaves)]

    def make(self, number: float) -> Any:
        """Return a leaf."""
        return _CONSTRUCTORS[self.offer.constructor](self.made, number)

    def data(self, node: Any) -> float:
        """Return the number of a node."""
        found = getattr(node, self.offer.data)
        return _as_number(found() if callable(found) else found)

    def grad(self, node: Any) -> float:
        """Return the gradient of a node, 0 if it has none yet."""
        found = getattr(node, self.offer.grad)
        if found is None:
            return 0.0
        if self._is_node(found):  # an engine whose gradients are nodes, for higher orders
            return self.data(found)
        return _as_number(found)

    def backward(self, node: Any) -> None:
        """Run a backward pass from *node*."""
        getattr(node, self.offer.backward)()

    def apply(self, name: str, *operands: Any) -> Any:
        """Apply an operation as a program would write it."""
        if name in OPERATORS:
            return OPERATORS[name][0](*operands)
        return getattr(operands[0], self.offer.names[f"{name}:V"])()

    def _is_node(self, value: Any) -> bool:
        return isinstance(value, self._kind)

    # --- finding out ---

    def _find_out(self) -> None:
        offer, number = self.offer, 0.6180339887
        leaf = self._first_leaf(number)
        self._kind = type(leaf)
        offer.data = next((name for name in (*_DATA, *_attributes(leaf))
                           if _is(_read(leaf, name), number)), "")  # fmt: skip
        if not offer.data:
            raise _NotExaminableError(
                f"its number cannot be found: tried {', '.join('.' + name for name in _DATA)}"
            )
        offer.backward = next((name for name in _BACKWARD if _method(leaf, name)), "")
        if not offer.backward:
            raise _NotExaminableError(
                f"it has no backward pass: tried {', '.join(f'.{name}()' for name in _BACKWARD)}"
            )
        others = tuple(name for name in _attributes(leaf) if name not in (*_GRAD, offer.data))
        offer.grad = next((name for name in _GRAD if hasattr(leaf, name)), "")
        if not offer.grad:
            offer.grad = next((name for name in others if "grad" in name.lower()
                               and not callable(getattr(leaf, name))), "")  # fmt: skip
        if not offer.grad:
            raise _NotExaminableError(
                f"its gradient cannot be found: tried {', '.join('.' + name for name in _GRAD)}"
            )
        self._begins_with_none = _read(leaf, offer.grad) is None
        offer.zero = next((name for name in _ZERO if _method(leaf, name)), "")
        self._try_operations()
        _Tracer(self).trace()

    def _first_leaf(self, number: float) -> Any:
        errors = []
        ways = _CONSTRUCTORS
        if _wants_requires_grad(self.made):
            ways = {_WITH_GRAD: _CONSTRUCTORS[_WITH_GRAD]} | _CONSTRUCTORS
        for name, construct in ways.items():
            try:
                leaf = construct(self.made, number)
            except Exception as error:
                errors.append(error)
            else:
                self.offer.constructor = name
                return leaf
        raise _NotExaminableError(
            f"no node could be made, as by Value(2.0): {told(errors[0])}"
        ) from errors[0]

    def _try_operations(self) -> None:
        for name, (_, left, right) in OPERATORS.items():
            if right:
                self._try(name, left, "VV")
                self._try(name, left, "VN")
                self._try(name, right, "NV")
            else:
                self._try(name, left, "V")
        for name, spellings in METHODS.items():
            for spelling in spellings:
                if callable(getattr(self._kind, spelling, None)):
                    self.offer.names[f"{name}:V"] = spelling
                    self._try(name, spelling, "V")
                    break

    def _try(self, name: str, spelling: str, kinds: str) -> None:
        form = f"{name}:{kinds}"
        if not callable(getattr(self._kind, spelling, None)):
            return
        self.offer.names[form] = spelling
        operands = [self.make(1.25 + place) if kind == "V" else 2.0 for place, kind in
                    enumerate(kinds)]  # fmt: skip
        try:
            result = self.apply(name, *operands)
        except Exception as error:
            self.offer.refused[form] = f"raises {told(error)}"
            return
        if not self._is_node(result):
            what = "None" if result is None else f"a {type(result).__name__}"
            self.offer.refused[form] = f"returns {what}"
            return
        self.offer.offers.append(form)


class _NotExaminableError(Exception):
    """The class cannot be examined, and why."""


class _Tracer:
    """Looks which operations an operation calls, by standing in front of each of them.

    ``a - b`` is a node of its own in one class, and ``a + (-b)`` in another: a mistake in its
    ``__mul__`` is then seen in its subtraction as well.
    """

    def __init__(self, subject: Examinee) -> None:
        self._subject = subject
        self._kind: Any = subject._kind
        self._depth = 0
        self._calls: list[tuple[str, tuple[Any, ...], Any]] = []

    def trace(self) -> None:
        """Fill in the formulas of the subject's offer."""
        offer = self._subject.offer
        spelled: dict[str, str] = {}
        for form, spelling in offer.names.items():
            spelled.setdefault(spelling, form)
        functions = {spelling: getattr(self._kind, spelling) for spelling in spelled}
        for form in offer.offers:
            name, kinds = form.split(":")
            own = functions[offer.names[form]]
            left = OPERATORS[name][1] if name in OPERATORS else ""
            if kinds == "NV" and own is functions.get(left):
                offer.same[form] = f"{name}:VN"
        own_names = {spelling: vars(self._kind).get(spelling) for spelling in spelled}
        patched: list[str] = []
        try:
            for spelling, form in spelled.items():
                setattr(self._kind, spelling, self._wrapped(form, functions[spelling]))
                patched.append(spelling)
            for form in offer.offers:
                if form not in offer.same:
                    formula = self._formula(form)
                    if formula is not None:
                        offer.formulas[form] = formula
            for form in offer.refused:
                self._once(form, (1.25, 2.75))
                inner = [
                    called
                    for called, _, came in self._calls
                    if came is None and called in offer.refused and called != form
                ]
                if inner:
                    offer.follows[form] = inner[-1]
        except (TypeError, AttributeError):
            offer.formulas.clear()  # a class that cannot be changed: each operation is its own
        finally:
            for spelling in patched:
                if own_names[spelling] is None:
                    delattr(self._kind, spelling)
                else:
                    setattr(self._kind, spelling, own_names[spelling])

    def _wrapped(self, form: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def traced(*arguments: Any, **named: Any) -> Any:
            self._depth += 1
            result = None
            try:
                result = function(*arguments, **named)
            finally:
                self._depth -= 1
                if result is None and self._depth == 1:
                    self._calls.append((form, arguments, None))
            if result is not None and self._depth == 1:
                self._calls.append((form, arguments, result))
            return result

        return traced

    def _formula(self, form: str) -> Formula | None:
        one = self._once(form, (1.25, 2.75))
        two = self._once(form, (0.875, 3.5))
        return one if one == two else None

    def _once(self, form: str, numbers: tuple[float, float]) -> Formula | None:
        """Return the formula of one call, None if the result is not that of an operation."""
        subject = self._subject
        name, kinds = form.split(":")
        operands: list[Any] = [
            subject.make(number) if kind == "V" else number
            for kind, number in zip(kinds, numbers, strict=False)
        ]
        self._calls.clear()
        self._depth = 0
        try:
            result = subject.apply(name, *operands)
        except Exception:
            self._depth = 0
            return None
        # A reflected method has its operands the other way round; the formula is in written order.
        first, second = operands[0], operands[-1] if len(operands) > 1 else None
        places: list[Any] = []
        formula: Formula = []
        for called, arguments, came in self._calls:
            step: list[Any] = [called.split(":")[0]]
            written = arguments[::-1] if called.endswith(":NV") else arguments
            for argument in written:
                operand = self._operand(argument, first, second, places)
                if operand is None:
                    return None
                step.append(operand)
            formula.append(step)
            places.append(came)
        return formula if places and result is places[-1] else None

    def _operand(
        self, argument: Any, first: Any, second: Any, places: Sequence[Any]
    ) -> list[Any] | None:
        for place, came in enumerate(places):
            if argument is came:
                return ["step", place]
        if argument is first and self._subject._is_node(argument):
            return ["first"]
        if argument is second and self._subject._is_node(argument):
            return ["second"]
        wrapped = self._subject._is_node(argument)  # a node made inside, as by Value(other)
        try:
            number = self._subject.data(argument) if wrapped else _as_number(argument)
        except (TypeError, ValueError):
            return None
        how = "node " if wrapped else ""
        for which, given in (("first", first), ("second", second)):
            if given is not None and not self._subject._is_node(given):
                if number == given:
                    return [how + which]
                for made, value in (("minus ", -given), ("one over ", 1 / given)):
                    if number == value and not wrapped:
                        return [made + which]
        return ["node" if wrapped else "number", number]


_WITH_GRAD = "Value(2.0, requires_grad=True)"
_CONSTRUCTORS: dict[str, Callable[[Any, float], Any]] = {
    "Value(2.0)": lambda made, number: made(number),
    _WITH_GRAD: lambda made, number: made(number, requires_grad=True),
    "Value(data=2.0)": lambda made, number: made(data=number),
    "Value(value=2.0)": lambda made, number: made(value=number),
    "Value(2.0, ())": lambda made, number: made(number, ()),
    "Value(2.0, (), '')": lambda made, number: made(number, (), ""),
    "Value(2.0, [], [])": lambda made, number: made(number, [], []),
}
"""The ways in which a leaf is made, as they are tried."""


def _wants_requires_grad(made: Any) -> bool:
    try:
        return inspect.signature(made).parameters["requires_grad"].default is False
    except Exception:  # it has none, or none can be seen
        return False


def _as_number(value: Any) -> float:
    if isinstance(value, (str, bytes)) or value is None:
        raise TypeError(f"{value!r:.40} is not a number")
    if isinstance(value, np.ndarray):
        value = value.item()
    return float(value)


def _is(found: Any, number: float) -> bool:
    try:
        return abs(_as_number(found) - number) < 1e-6
    except Exception:
        return False


def _read(node: Any, name: str) -> Any:
    """Return an attribute, or None: a property of theirs may do anything."""
    try:
        found = getattr(node, name)
        return found() if name == "item" else found
    except Exception:
        return None


def _attributes(node: Any) -> list[str]:
    return [name for name in dir(node) if not name.startswith("__")]


def _method(node: Any, name: str) -> bool:
    return callable(getattr(node, name, None))
