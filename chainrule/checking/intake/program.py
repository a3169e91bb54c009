"""A program: what is called, what is in its code, and what holds its weights.

It is a function, a method of an object or of a class, a pair of functions, a list of layers, or a
function whose weights are its module's globals.
"""

from __future__ import annotations

import copy
import dis
import inspect
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, ModuleType
from typing import Any

from . import holding
from .handing import (
    RATE,
    CannotCallError,
    Network,
    sizes_of,
    targets_of,
)
from .layer_objects import Chain
from .manner import Manner
from .methods import (
    get,
    is_function,
    is_layer,
    main_method,
    methods_of,
    parameters_of,
    signature_of,
)
from .names import (
    FORWARD,
    UPDATES,
    plain,
    role_in_constructor,
    role_of,
)
from .settings import globals_of, holder_of
from .weights import Array


class Program:
    """Something to call; *method* names what of a class or an object, "" to look for it."""

    def __init__(self, made: Any, method: str = "", forward: Any = None) -> None:
        if isinstance(made, tuple) and len(made) == 2 and all(map(callable, made)):
            forward, made = made
        if inspect.ismethod(made) and not method and not isinstance(made.__self__, type):
            roles = {role_of(name) for name in parameters_of(made)}
            if not roles & {"thetas", "weights"}:
                made, method = made.__self__, made.__name__
        if isinstance(made, list) and made and all(map(is_layer, made)):
            made = Chain(made)
        self._stated = bool(method)
        self.made = made
        self.is_function = is_function(made) and not method
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
            there = {plain(name): name for name in dir(self.made) if callable(get(self.made, name))}
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
        todo += [self._forward or get(self.made, one, self.module) for one in forwards if one]
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
            parts = list(code.co_consts)
            for part in parts:  # the keys of a loop over them stand in a tuple
                parts += part if isinstance(part, (tuple, frozenset)) else ()
            found |= {part for part in parts if isinstance(part, str) and len(part) < 40}
            found |= set(code.co_names)
        return found

    def numbers(self, forwards: Sequence[str] = ()) -> set[float]:
        """Return the numbers in its code, and those of names that stand beside it."""
        found: list[Any] = []
        for code in self.code(forwards):
            found += code.co_consts
            found += (self.module.get(name) for name in globals_of(code))
        functions = [self.main] if self.is_function else vars(self.made).values()
        for function in [*functions, *self.module.values()]:
            found += getattr(function, "__defaults__", None) or ()
        return {number for number in found if isinstance(number, float)}

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
            for one in signature_of(self.made)
            if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        ]
        inside = [i for i, one in enumerate(parameters) if one.default is one.empty]
        roles = [role_in_constructor(one.name) for one in parameters]
        for place, parameter in enumerate(parameters):
            value = self._for_constructor(parameter.name, sizes, X, Y)
            if roles.count("size0") > 1 and role_of(parameter.name) == "X":
                value = X  # of input and n_in, the first is not a number
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


def _nothing() -> None:
    """Stand for the method of an object that has none to call."""
