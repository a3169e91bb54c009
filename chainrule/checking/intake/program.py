"""One call of a program in one manner, from the Thetas to one array for each of them.

A :class:`Program` is a function, a method of an object or of a class, a pair of functions, a list
of layers, or a function whose weights are its module's globals. Whatever it is, a call starts from
fresh copies of everything, and what was set in its module is set back.
"""

from __future__ import annotations

import copy
import dis
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from . import holding
from .answers import Found, read
from .drawing import drawn_alike
from .handing import (
    RATE,
    CannotCallError,
    Hand,
    Network,
    batches_of,
    returned_names,
    sizes_of,
    targets_of,
)
from .layers import Chain
from .manner import Manner
from .names import (
    BACKWARD,
    FORWARD,
    LOSSES,
    STEP,
    UPDATES,
    gradient_of,
    plain,
    role_in_constructor,
    role_of,
    sounds_like_gradients,
)
from .settings import globals_of, holder_of, settings, settings_of
from .weights import Array, Block, blocks, flat, shapes_of

_STAYS = 1e-13
"""A learning rate that leaves weights where they are; 0 may be taken for none."""
NO_EXAMPLES = "nothing in its module is known to be the examples: call them X and Y"
"""What is said of a function that is not given the examples, and reads them from somewhere."""


class OtherSizesError(Exception):
    """The program has a network of its own, of other sizes than were offered."""

    def __init__(self, sizes: list[tuple[int, ...]]) -> None:
        super().__init__(str(sizes))
        self.sizes = sizes


@dataclass(frozen=True, eq=False)
class Answer:
    """What a call gave."""

    found: Found
    changed: tuple[str, ...] = ()
    """The names of the arguments that were written to."""


class Program:
    """Something to call; *method* names what of a class or an object, "" to look for it."""

    def __init__(self, made: Any, method: str = "", forward: Any = None) -> None:
        if isinstance(made, tuple) and len(made) == 2 and all(map(callable, made)):
            forward, made = made
        if inspect.ismethod(made) and not method and not isinstance(made.__self__, type):
            roles = {role_of(name) for name in parameters_of(made)}
            if not roles & {"thetas", "weights"}:
                made, method = made.__self__, made.__name__
        if isinstance(made, list) and made and all(map(_is_layer, made)):
            made = Chain(made)
        self._stated = bool(method)
        self.made = made
        self.is_function = _is_function(made) and not method
        self.method = method or ("" if self.is_function else main_method(made))
        self._forward = forward

    @property
    def name(self) -> str:
        """What one would call it."""
        if self.is_function:
            return getattr(self.made, "__name__", type(self.made).__name__)
        owner = self.made if isinstance(self.made, type) else type(self.made)
        if isinstance(self.made, (ModuleType, Chain)):
            return self.method
        return f"{owner.__name__}.{self.method}"

    @property
    def main(self) -> Callable[..., Any]:
        """What is called last."""
        if not self.is_function and not self.method:
            return _nothing
        found: Callable[..., Any] = (
            self.made if self.is_function else getattr(self.made, self.method)
        )
        return found

    @property
    def module(self) -> dict[str, Any]:
        """The globals of the module in which it was written."""
        main = inspect.unwrap(self.main) if self.is_function or self.method else self.made
        return getattr(getattr(main, "__func__", main), "__globals__", {})

    @property
    def has_loops(self) -> bool:
        """Whether there is a loop in its code, as over layers."""
        return any(
            one.opname == "FOR_ITER" for code in self.code() for one in dis.get_instructions(code)
        )

    @property
    def knows_arrays(self) -> bool:
        """Whether its module has something of an array library."""
        return any(
            getattr(value, "__name__", "").partition(".")[0] == "numpy"
            if isinstance(value, ModuleType)
            else type(value).__module__ == "numpy"
            or str(getattr(value, "__module__", "")).partition(".")[0] == "numpy"
            for value in list(self.module.values())
        )

    @property
    def forwards(self) -> list[str]:
        """The names of methods or functions that may compute forward, the likeliest first."""
        if self._forward is not None:
            return [getattr(self._forward, "__name__", "forward")]
        if self.is_function:
            there = {plain(name): name for name, value in self.module.items() if callable(value)}
        else:
            there = {
                plain(name): name for name in dir(self.made) if callable(_get(self.made, name))
            }
            there.pop("call", None)
            if callable(self.made) and not isinstance(self.made, (type, Chain)):
                there["__call__"] = "__call__"
        main = plain(getattr(self.main, "__name__", ""))
        # backward_propagation goes with forward_propagation, if there are several.
        partner = main.replace("backward", "forward").replace("backprop", "forwardprop")
        wanted = (there.get(plain(name), "") for name in (partner, *FORWARD))
        return list(dict.fromkeys(name for name in wanted if name and plain(name) != main))[:3]

    @property
    def others(self) -> list[str]:
        """The names of other methods of an object that may compute gradients or change weights."""
        if self.is_function or self._stated or isinstance(self.made, (ModuleType, Chain)):
            return []
        return [name for name in methods_of(self.made) if name != self.method][:3]

    @property
    def updates(self) -> list[str]:
        """The names of functions beside it that change weights by what it left in them."""
        if not self.is_function or not {"weights", "delta"} <= self.texts():
            return []
        return [name for name, value in self.module.items()
                if callable(value) and plain(name) in UPDATES]  # fmt: skip

    def of(self, function: str, holder: Any) -> Callable[..., Any]:
        """Return what a step calls."""
        if self.is_function:
            if not function:
                return self.made  # type: ignore[no-any-return]
            return self._forward or self.module[function]  # type: ignore[no-any-return]
        return getattr(holder, function or self.method)  # type: ignore[no-any-return]

    def code(self, forwards: Sequence[str] = ()) -> Iterator[CodeType]:
        """Yield the code of what is called, and of the functions beside it that it calls."""
        todo: list[Any] = [self.main] if self.is_function or self.method else []
        todo += [self._forward or _get(self.made, one, self.module) for one in forwards if one]
        if not self.is_function:
            owner = self.made if isinstance(self.made, type) else type(self.made)
            todo += [value for value in vars(owner).values() if inspect.isfunction(value)]
        seen: set[Any] = set()
        while todo and len(seen) < 200:
            function = todo.pop()
            function = getattr(function, "__func__", function)
            code = getattr(inspect.unwrap(function) if callable(function) else function,
                           "__code__", function)  # fmt: skip
            if not isinstance(code, CodeType) or code in seen:
                continue
            seen.add(code)
            yield code
            todo += [part for part in code.co_consts if isinstance(part, CodeType)]
            known = getattr(function, "__globals__", self.module)
            todo += [known[n] for n in globals_of(code) if inspect.isfunction(known.get(n))]

    def texts(self, forwards: Sequence[str] = ()) -> set[str]:
        """Return the short texts and the names in its code, and in that of forward passes."""
        found: set[str] = set()
        for code in self.code(forwards):
            found |= {part for part in code.co_consts if isinstance(part, str) and len(part) < 40}
            found |= set(code.co_names)
        return found

    # --- where weights are held ---

    def holder(self, given: Network, manner: Manner) -> Any:
        """Return a fresh object, the module's globals for a function; None if it holds nothing."""
        if self.is_function:
            return holder_of(self)
        if isinstance(self.made, type):
            X, Y = given.X, targets_of(given.Y, manner)
            if manner.examples == "columns":
                X, Y = X.T, Y.T
            return self.construct(sizes_of(given), X, Y)
        if isinstance(self.made, ModuleType):
            return self.made
        try:
            return copy.deepcopy(self.made)
        except Exception:
            return self.made

    def can_be_made(self, given: Network) -> bool:
        """Whether an object of the class can be made that holds weights."""
        try:
            return bool(holding.sizes_of(self.construct(sizes_of(given), given.X, given.Y)))
        except CannotCallError:  # it knows its number of layers
            return True
        except Exception:
            return False

    def construct(self, sizes: Sequence[int], X: Array, Y: Array) -> Any:
        """Return an object of the class, made for a network of these *sizes*."""
        arguments, named_ones = [], {}
        parameters = [
            one
            for one in _signature(self.made)
            if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        ]
        inside = [i for i, one in enumerate(parameters) if one.default is one.empty]
        roles = [role_in_constructor(one.name) for one in parameters]
        for place, parameter in enumerate(parameters):
            value = self._for_constructor(parameter.name, sizes, X, Y)
            if roles.count("size0") > 1 and role_of(parameter.name) == "X":
                value = X  # of input and n_in, the first is no number
            if value is None and parameter.default is not parameter.empty:
                continue
            if value is None:
                # Nothing is known of it: one such argument is all sizes, several are one each.
                value = list(sizes) if len(inside) == 1 else sizes[min(place, len(sizes) - 1)]
            if parameter.kind is parameter.POSITIONAL_ONLY:
                arguments.append(value)
            else:
                named_ones[parameter.name] = value
        try:
            made = self.made(*arguments, **named_ones)
        except SystemExit as error:
            raise RuntimeError(f"it called exit({error.code!r:.200})") from error
        if hasattr(made, "double") and hasattr(made, "named_parameters"):
            made = made.double()
        return made

    @staticmethod
    def _for_constructor(name: str, sizes: Sequence[int], X: Array, Y: Array) -> Any:
        role = role_in_constructor(name)
        if role.startswith("size") and role not in ("sizes", "sizeK"):
            number = int(role[4:])
            if number >= len(sizes) - 1:
                raise CannotCallError(f"{name}: a network of {len(sizes) - 1} layers")
            return sizes[number]
        return {
            "sizes": list(sizes), "sizeK": sizes[-1], "hidden_sizes": list(sizes[1:-1]),
            "X": X, "Y": Y, "rate": RATE, "lam": 0.0, "epochs": 1,
        }.get(role)  # fmt: skip

    # --- a call ---

    def call(self, given: Network, manner: Manner) -> Answer:
        """Call the program in this *manner*; whatever it raises is raised."""
        batches = list(batches_of(given, manner))
        answers = [self._once(given, X, Y, manner, len(batches)) for X, Y in batches]
        first = answers[0]
        if len(answers) == 1:
            return first
        changed = tuple(dict.fromkeys(name for one in answers for name in one.changed))
        all_thetas = [one.found.thetas for one in answers]
        if any(thetas is None for thetas in all_thetas):
            bad = next(one for one in answers if one.found.thetas is None)
            return Answer(bad.found, changed)
        means = [np.mean(layer, axis=0) for layer in zip(*all_thetas, strict=True)]
        raw: Any = means if manner.container != "made" else [first.found.raw[0], means]
        costs = [one.found.cost for one in answers if one.found.cost is not None]
        cost = float(np.mean(costs)) if len(costs) == len(answers) else None
        return Answer(replace(first.found, thetas=means, raw=raw, cost=cost), changed)

    def _once(self, given: Network, X: Any, Y: Any, manner: Manner, parts: int) -> Answer:
        if manner.container == "made":
            return self._made_inside(given, X, Y, manner, parts)
        holder = self.holder(given, manner)
        if not self._takes_examples(holder, manner):
            raise CannotCallError(NO_EXAMPLES)
        with settings(self, holder, X, Y, given.lam / parts, manner):
            return self._called(holder, given, X, Y, manner, parts)

    def _made_inside(self, given: Network, X: Any, Y: Any, manner: Manner, parts: int) -> Answer:
        """Call a program that makes its weights itself, twice: it stays, and it makes one step.

        What is answered are the weights with which it began, and the gradient there.
        """
        held = []
        for rate in (_STAYS, RATE):
            held.append(self._trained(given, X, Y, replace(manner, rate=rate), parts))
        manner = replace(holding.manner_of(held[0], manner), container="made")
        manner = replace(manner, answer="changed", rate=RATE)
        like = flat(shapes_of(given.thetas, manner))
        before, now = ([a.reshape(b.shape) for a, b in zip(one.now(), like, strict=True)]
                       for one in held)  # fmt: skip
        found = _difference(before, now, given.thetas, manner)
        begun = read(before, given.thetas, manner).thetas
        return Answer(replace(found, raw=[begun, found.thetas]))

    def _trained(self, given: Network, X: Any, Y: Any, manner: Manner, parts: int) -> holding.Held:
        """Return where the weights are after a training, which begins with what is drawn alike."""
        with drawn_alike():
            holder = self.holder(given, manner)
            with settings(self, holder, X, Y, given.lam / parts, manner):
                hand = Hand(given, [], X, Y, manner, parts)
                returned: Any = None
                for step in manner.steps:
                    function = self.of(step.function, holder)
                    arguments, by_name = hand.arguments(step)
                    returned = function(*arguments, **by_name)
                    if step is not manner.steps[-1]:
                        hand.forward(returned, function)
        names = returned_names(self.of(manner.steps[-1].function, holder))
        if isinstance(returned, tuple) and len(names) == len(returned) and all(names):
            returned = dict(zip(names, returned, strict=True))
        for place in ([] if self.is_function else [holder]) + [returned]:
            held = None if place is None else holding.find(place, sizes_of(given))
            if held is not None:
                return held
            others = [] if place is None else holding.sizes_of(place)
            if others:
                raise OtherSizesError(others)
        raise CannotCallError("no weights after a training")

    def _takes_examples(self, holder: Any, manner: Manner) -> bool:
        """Whether a function is given the examples, or reads them from its module."""
        roles = {role for step in manner.steps for _, role in step.arguments}
        if not self.is_function or roles & {"X", "pairs", "cache"}:
            return True
        return any(role == "X" for _, role, _ in settings_of(self, holder))

    def _called(
        self, holder: Any, given: Network, X: Any, Y: Any, manner: Manner, parts: int
    ) -> Answer:
        made = blocks(given.thetas, manner)
        held = None
        if manner.container == "held":
            held = _held(holder, given, manner)
            if held is None:
                raise OtherSizesError(holding.sizes_of(holder))
            held.put(made)
        hand = Hand(given, made, X, Y, manner, parts)
        returned: Any = None
        for step in manner.steps:
            function = self.of(step.function, holder)
            arguments, by_name = hand.arguments(step)
            returned = function(*arguments, **by_name)
            if inspect.isgenerator(returned):
                returned = list(returned)
            if step is not manner.steps[-1]:
                hand.forward(returned, function)
        return self._answer(returned, holder, held, hand, made, given, manner)

    def _answer(
        self, returned: Any, holder: Any, held: holding.Held | None, hand: Hand,
        made: list[Block], given: Network, manner: Manner,
    ) -> Answer:  # fmt: skip
        before = flat(made)
        thetas = given.thetas
        found = read(returned, thetas, manner)
        kind = manner.answer
        if kind in ("", "stored", "changed") and held is not None:
            now = (_held(holder, given, manner) or held).now()
            now = [a.reshape(b.shape) for a, b in zip(now, before, strict=True)]
            changed = any(not np.array_equal(a, b) for a, b in zip(now, before, strict=True))
            stored = holding.stored(holder, held, thetas, manner)
            at_rest = read(stored, thetas, manner) if stored is not None else None
            if kind == "" and found.score == 2 and not _same(found, before, manner, thetas):
                pass
            elif (
                kind in ("", "stored")
                and at_rest is not None
                and at_rest.score == 2
                and (not changed or _moves(self.method) is False)
            ):
                return Answer(replace(at_rest, manner=replace(at_rest.manner, answer="stored")))
            elif changed and kind in ("", "changed"):
                return Answer(_difference(before, now, thetas, replace(manner, answer="changed")))
            elif returned is None and at_rest is None:
                # Nothing is returned, stored or changed: as if every gradient were 0.
                zeros = _difference(before, now, thetas, replace(manner, answer="changed"))
                return Answer(replace(zeros, thetas=None, score=0))
        if kind in ("", "changed") and held is None and found.score < 2:
            now = hand.now()
            if now and any(not np.array_equal(a, b) for a, b in zip(now, before, strict=True)):
                return Answer(_difference(before, now, thetas, replace(manner, answer="changed")))
        if kind == "after" and found.thetas is not None:
            after = found.thetas
            base = read(before, thetas, manner).thetas or []
            rate = manner.rate or 1.0
            moved = [(old - new) / rate for old, new in zip(base, after, strict=True)]
            return Answer(replace(found, thetas=moved, raw=moved))
        return Answer(
            replace(found, manner=replace(found.manner, answer=kind or "returned")), hand.changed()
        )


def _held(holder: Any, given: Network, manner: Manner) -> holding.Held | None:
    """Return where the weights are; if the program has no biases, those that are there are idle."""
    found = holding.find(holder, sizes_of(given))
    if found is not None and manner.without_biases and found.biases:
        return replace(found, biases=[], idle=found.biases)
    return found


def _same(found: Found, before: list[Array], manner: Manner, thetas: Sequence[Array]) -> bool:
    """Whether what was found are the weights themselves."""
    base = read(before, thetas, manner).thetas or []
    return found.thetas is not None and all(
        np.array_equal(a, b) for a, b in zip(found.thetas, base, strict=True)
    )


def _difference(
    before: list[Array], now: list[Array], thetas: Sequence[Array], manner: Manner
) -> Found:
    rate = manner.rate or 1.0
    moved = [(old - new.reshape(old.shape)) / rate for old, new in zip(before, now, strict=True)]
    return read(moved, thetas, manner)


def _moves(method: str) -> bool:
    """Whether a method of this name changes weights."""
    small = plain(method)
    return small in {plain(name) for name in STEP}


def _nothing() -> None:
    """Stand for the method of an object that has none to call."""


def main_method(made: Any) -> str:
    """Return the name of the method to call, "" if there is none."""
    return next(iter(methods_of(made)), "")


def methods_of(made: Any) -> list[str]:
    """Return the names of methods that may compute gradients or change weights, likeliest first."""
    there = {plain(name): name for name in dir(made) if not name.startswith("__")}
    likely = [plain(name) for name in there.values() if sounds_like_gradients(name)]
    # A method called loss may return gradients too, but hardly where another is called for them.
    order = [*BACKWARD[: -len(LOSSES)], *likely, *LOSSES, *STEP]
    wanted = [there.get(plain(name), "") for name in order]
    wanted += [name for name in there.values() if _names_gradients(_get(made, name))]
    return list(dict.fromkeys(
        name for name in wanted
        if name and callable(_get(made, name)) and not _is_a_loss(made, name)
    ))  # fmt: skip


def _names_gradients(function: Any) -> bool:
    """Whether a function has variables that are called dW1, grad_b or delta_weights."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    names = getattr(code, "co_varnames", ())
    return any(gradient_of(name) is not None for name in names)


def _is_a_loss(made: Any, name: str) -> bool:
    """Whether an object was merely given a loss to use: that is not a method of its own."""
    own = made if isinstance(made, (type, ModuleType)) else type(made)
    return plain(name) in ("loss", "costfunction", "grad", "gradient") and not hasattr(own, name)


def _get(made: Any, name: str, otherwise: Mapping[str, Any] = {}) -> Any:
    try:
        return getattr(made, name) if hasattr(made, name) else otherwise.get(name)
    except Exception:
        return None


def _is_function(made: Any) -> bool:
    if isinstance(made, (type, ModuleType, Chain)):
        return False
    if not callable(made):
        return False
    if inspect.isroutine(made) or not main_method(made):
        return True
    try:
        inspect.signature(made).bind("thetas", "X", "Y", "lam")
    except (TypeError, ValueError):
        return False
    return True


def is_program(made: Any) -> bool:
    """Whether *made* is something to call, not the arrays that a call returned."""
    if isinstance(made, (np.ndarray, Mapping, str, bytes)) or made is None:
        return False
    if isinstance(made, tuple) and len(made) == 2 and all(map(callable, made)):
        return True
    if isinstance(made, (list, tuple)):
        return isinstance(made, list) and bool(made) and all(map(_is_layer, made))
    if callable(made):
        return True
    own = type(made).__module__ not in ("builtins", "numpy", "torch")
    return own and not hasattr(made, "__array__") and bool(main_method(made))


def _is_layer(made: Any) -> bool:
    return hasattr(made, "forward") and hasattr(made, "backward")


def _signature(function: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except Exception:  # TypeError and ValueError, or what a __signature__ of their own raises
        return []


def has_signature(function: Any) -> bool:
    """Whether it is known which arguments *function* takes."""
    try:
        inspect.signature(function)
    except Exception:
        return False
    return True


def parameters_of(function: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters of *function* by name; none if nobody can say."""
    return {one.name: one for one in _signature(function)}
