"""One call of a program in one manner, from the Thetas to one array for each of them.

A :class:`Program` is a function, a method of an object or of a class, a pair of functions, a list of
layers, or a function whose weights are its module's globals. Whatever it is, a call starts from
fresh copies of everything, and what was set in its module is set back.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from types import CodeType, ModuleType
from typing import Any, Protocol

import numpy as np

from . import holding
from .answers import Found, array_of, read
from .layers import Chain
from .manner import Manner, Step
from .names import BACKWARD, FORWARD, STEP, block_of, order_of, plain, role_in_constructor, role_of
from .weights import Array, Block, blocks, named, packed

RATE = 0.5
"""The learning rate that a training step is given."""


class Network(Protocol):
    """What a call needs of a problem."""

    @property
    def thetas(self) -> Sequence[Array]: ...
    @property
    def X(self) -> Array: ...  # noqa: N802 (the notes' letters)
    @property
    def Y(self) -> Array: ...  # noqa: N802
    @property
    def lam(self) -> float: ...


class CannotCallError(Exception):
    """The program cannot be called in this manner."""


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
    def forwards(self) -> list[str]:
        """The names of methods or functions that may compute forward, the likeliest first."""
        if self._forward is not None:
            return [getattr(self._forward, "__name__", "forward")]
        if self.is_function:
            there = {plain(name): name for name, value in self.module.items() if callable(value)}
        else:
            there = {plain(name): name for name in dir(self.made) if callable(_get(self.made, name))}
            there.pop("call", None)
            if callable(self.made) and not isinstance(self.made, (type, Chain)):
                there["__call__"] = "__call__"
        main = plain(getattr(self.main, "__name__", ""))
        # backward_propagation goes with forward_propagation, if there are several.
        partner = main.replace("backward", "forward").replace("backprop", "forwardprop")
        wanted = (there.get(plain(name), "") for name in (partner, *FORWARD))
        return list(dict.fromkeys(name for name in wanted if name and plain(name) != main))[:3]

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
            todo += [known[n] for n in code.co_names if inspect.isfunction(known.get(n))]

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
            return Globals(self.module, {name for code in self.code() for name in code.co_names})
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

    def construct(self, sizes: Sequence[int], X: Array, Y: Array) -> Any:
        """Return an object of the class, made for a network of these *sizes*."""
        arguments, named_ones = [], {}
        parameters = [
            one
            for one in _signature(self.made)
            if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        ]
        inside = [i for i, one in enumerate(parameters) if one.default is one.empty]
        for place, parameter in enumerate(parameters):
            value = self._for_constructor(parameter.name, sizes, X, Y)
            if value is None and parameter.default is not parameter.empty:
                continue
            if value is None:
                # Nothing is known of it: one such argument is all sizes, several are one each.
                value = list(sizes) if len(inside) == 1 else sizes[min(place, len(sizes) - 1)]
            if parameter.kind is parameter.POSITIONAL_ONLY:
                arguments.append(value)
            else:
                named_ones[parameter.name] = value
        made = self.made(*arguments, **named_ones)
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
        return Answer(replace(first.found, thetas=means, raw=means), changed)

    def _once(self, given: Network, X: Any, Y: Any, manner: Manner, parts: int) -> Answer:
        holder = self.holder(given, manner)
        with _settings(self, holder, X, Y, given.lam / parts, manner):
            return self._called(holder, given, X, Y, manner, parts)

    def _called(
        self, holder: Any, given: Network, X: Any, Y: Any, manner: Manner, parts: int
    ) -> Answer:
        made = blocks(given.thetas, manner)
        held = None
        if manner.container == "held":
            held = holding.find(holder, sizes_of(given))
            if held is None:
                raise OtherSizesError(holding.sizes_of(holder))
            held.put(made)
        hand = _Hand(given, made, X, Y, manner, parts)
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
        self, returned: Any, holder: Any, held: holding.Held | None, hand: _Hand,
        made: list[Block], given: Network, manner: Manner,
    ) -> Answer:  # fmt: skip
        before = [part for one in made for part in ((one.W,) if one.b is None else (one.W, one.b))]
        thetas = given.thetas
        found = read(returned, thetas, manner)
        kind = manner.answer
        if kind in ("", "stored", "changed") and held is not None:
            now = (holding.find(holder, sizes_of(given)) or held).now()
            changed = any(not np.array_equal(a, b) for a, b in zip(now, before, strict=True))
            stored = holding.stored(holder, held, thetas, manner)
            at_rest = read(stored, thetas, manner) if stored is not None else None
            if kind == "" and found.score == 2 and not _same(found, before, manner, thetas):
                pass
            elif kind in ("", "stored") and at_rest is not None and at_rest.score == 2 and (
                not changed or _moves(self.method) is False
            ):
                return Answer(replace(at_rest, manner=replace(at_rest.manner, answer="stored")))
            elif changed and kind in ("", "changed"):
                return Answer(_difference(before, now, thetas, replace(manner, answer="changed")))
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


class _Hand:
    """What is handed to each parameter, and what became of it."""

    def __init__(
        self, given: Network, made: list[Block], X: Any, Y: Any, manner: Manner, parts: int
    ) -> None:
        self.given, self.made, self.manner, self.parts = given, made, manner, parts
        self.X, self.Y = X, Y
        self._mine = [
            Block(one.W.copy(), None if one.b is None else one.b.copy()) for one in made
        ]
        self._package = packed(self._mine, manner)
        self._output: Any = None
        self._cache: Any = None
        self._named: dict[str, Any] = {}
        self._arrays: list[tuple[str, Any, Any]] = []

    def arguments(self, step: Step) -> tuple[list[Any], dict[str, Any]]:
        by_position, by_name = [], {}
        blocks_here = [role for _, role in step.arguments if block_of(role) and block_of(role)[1]]  # type: ignore[index]
        for name, role in step.arguments:
            value = self._value(role, blocks_here)
            if role in ("X", "Y", "thetas"):
                self._arrays.append((role, value, copy.deepcopy(value)))
            if name:
                by_name[name] = value
            else:
                by_position.append(value)
        return by_position, by_name

    def _value(self, role: str, blocks_here: list[str]) -> Any:
        manner, given = self.manner, self.given
        if role.startswith("number:"):
            return float(role[7:]) if not role[7:].isdigit() else int(role[7:])
        if role.startswith("named:"):
            return self._by_name(role[6:])
        if role in blocks_here:
            return self._block(role, blocks_here)
        if role.startswith("size") and role[4:].isdigit():
            return sizes_of(given)[int(role[4:])]
        if role == "output" and self._output is None:
            raise CannotCallError("the output of a forward pass")
        if role == "pairs":
            return self._pairs()
        values: dict[str, Callable[[], Any]] = {
            "thetas": lambda: _in_library(self._package, manner),
            "weights": lambda: _in_library([one.W for one in self._mine], manner),
            "biases": lambda: _in_library([one.b for one in self._mine], manner),
            "X": lambda: _in_library(self.X, manner),
            "Y": lambda: _in_library(self.Y, manner),
            "lam": lambda: given.lam / self.parts,
            "rate": lambda: manner.rate or RATE,
            "epochs": lambda: 1,
            "m": lambda: len(given.X) if self.parts == 1 else 1,
            "sizes": lambda: list(sizes_of(given)),
            "sizeK": lambda: sizes_of(given)[-1],
            "hidden_sizes": lambda: list(sizes_of(given)[1:-1]),
            "output": lambda: self._output,
            "cache": lambda: self._cache,
        }
        if role not in values:
            raise CannotCallError(f"nothing is known of {role}")
        return values[role]()

    def _block(self, role: str, blocks_here: list[str]) -> Any:
        kind, _ = block_of(role) or ("W", "")
        same = [one for one in blocks_here if (block_of(one) or "W")[0] == kind]
        keys = {
            one: order_of((block_of(one) or ("W", ""))[1], place) for place, one in enumerate(same)
        }
        number = sorted(same, key=lambda one: keys[one]).index(role)
        if len(same) != len(self._mine):
            raise CannotCallError(f"weights of {len(same)} layers")
        block = self._mine[number]
        return _in_library(block.W if kind == "W" else block.b, self.manner)

    def _pairs(self) -> list[tuple[Any, Any]]:
        """Return (x, y) of each example, as columns, or as vectors."""
        Y = targets_of(self.given.Y, self.manner)
        column = self.manner.bias == "column" or self.manner.examples == "one-column"
        if column:
            return [(x[:, None], y[:, None] if np.ndim(y) else y) for x, y in
                    zip(self.given.X, Y, strict=True)]  # fmt: skip
        return list(zip(self.given.X, Y, strict=True))

    def forward(self, returned: Any, function: Any) -> None:
        """Take note of what a forward pass returned."""
        names = returned_names(function)
        self._cache = returned
        if isinstance(returned, tuple):
            if len(names) == len(returned):
                self._named |= dict(zip(names, returned, strict=True))
            arrays = [array_of(item) for item in returned]
            if arrays and arrays[0] is not None and any(array is None for array in arrays[1:]):
                self._output = returned[0]
                self._cache = returned[1] if len(returned) == 2 else returned[1:]
            elif arrays and arrays[-1] is not None and arrays[0] is None:
                self._output, self._cache = returned[-1], returned[0]
            elif arrays:
                rows = self.Y.shape if hasattr(self.Y, "shape") else None
                like = [item for item in returned if getattr(item, "shape", None) == rows]
                self._output = like[-1] if like else returned[-1]
        elif isinstance(returned, Mapping):
            self._named |= {str(name): value for name, value in returned.items()}
            values = [value for value in returned.values() if array_of(value) is not None]
            like = [v for v in values if np.shape(v) == np.shape(self.Y)]
            self._output = (like or values or [None])[-1]
        elif isinstance(returned, list):
            self._output = returned[-1] if returned else None
        else:
            self._output = returned
        if isinstance(self._cache, Mapping):
            self._named |= {str(name): value for name, value in self._cache.items()}

    def _by_name(self, name: str) -> Any:
        wanted = plain(name)
        for known, value in self._named.items():
            if plain(known) == wanted:
                return value
        raise CannotCallError(f"{name}, which the forward pass does not return by this name")

    def now(self) -> list[Array]:
        """Return the weights that were handed over as they are now: W1, b1, W2, ..."""
        if self.manner.library != "numpy":
            return []
        package = self._package
        if self.manner.container == "dict" and isinstance(package, dict):
            wanted = named(self.made, self.manner)
            values = [package.get(name) for name in wanted]
        elif self.manner.container in ("thetas", "alternating") and isinstance(package, list):
            values = list(package)
        elif self.manner.container == "pairs":
            values = [part for pair in package for part in pair]
        else:
            values = [part for one in self._mine for part in ((one.W,) if one.b is None else (one.W, one.b))]
        before = [part for one in self.made for part in ((one.W,) if one.b is None else (one.W, one.b))]
        arrays = [array_of(value) for value in values]
        if len(arrays) != len(before) or any(
            array is None or array.size != old.size
            for array, old in zip(arrays, before, strict=True)
        ):
            return []
        return [np.array(array, dtype=np.float64).reshape(old.shape)
                for array, old in zip(arrays, before, strict=True)]  # fmt: skip

    def changed(self) -> tuple[str, ...]:
        """Return the names of the arguments that were written to."""
        names = []
        for role, now, before in self._arrays:
            if not _alike(now, before):
                names.append(role)
        return tuple(names)


def _alike(one: Any, two: Any) -> bool:
    if isinstance(one, Mapping):
        return set(one) == set(two) and all(_alike(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(_alike, one, two))
    first, second = array_of(one), array_of(two)
    return first is None or second is None or np.array_equal(first, second, equal_nan=True)


def _in_library(value: Any, manner: Manner) -> Any:
    """Return arrays, in whatever container, as the library has them."""
    if manner.library == "numpy":
        return value
    if isinstance(value, Mapping):
        return {name: _in_library(item, manner) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_in_library(item, manner) for item in value)
    if manner.library == "lists":
        return value.tolist() if isinstance(value, np.ndarray) else value
    if isinstance(value, np.ndarray):
        import torch

        kind = torch.int64 if value.dtype.kind in "iu" else torch.float64
        return torch.tensor(value, dtype=kind)
    return value


def sizes_of(given: Network) -> tuple[int, ...]:
    """Return the number of units of each layer, the input first."""
    return (given.X.shape[1], *(len(theta) for theta in given.thetas))


def targets_of(Y: Array, manner: Manner) -> Array:
    """Return the targets of all examples as *manner* has them."""
    if manner.labels:
        labels: Array = Y.argmax(axis=1) + int(manner.targets[-1])
        return labels
    return Y[:, 0].copy() if manner.targets == "flat" else Y


def batches_of(given: Network, manner: Manner) -> Iterator[tuple[Any, Any]]:
    """Yield the examples with their targets: all at once, or one after the other."""
    X, Y = given.X, targets_of(given.Y, manner)
    if manner.examples in ("rows", "columns"):
        turn = manner.examples == "columns"
        yield (X.T if turn else X).copy(order="C"), (Y.T if turn else Y).copy(order="C")
        return
    for x, y in zip(X, Y, strict=True):
        if manner.examples == "one-flat":
            yield x.copy(), y.copy() if np.ndim(y) else y
        elif manner.examples == "one-column":
            yield x[:, None].copy(), y[:, None].copy() if np.ndim(y) else y
        else:
            yield x[None].copy(), y[None].copy() if np.ndim(y) else np.array([y])


class Globals(MutableMapping[str, Any]):
    """The globals of a module that its functions use."""

    def __init__(self, module: dict[str, Any], names: set[str]) -> None:
        self._module = module
        self._names = [
            name
            for name, value in module.items()
            if name in names and not isinstance(value, (ModuleType, type)) and not callable(value)
        ]

    def __getitem__(self, name: str) -> Any:
        return self._module[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._module[name] = value

    def __delitem__(self, name: str) -> None:
        raise TypeError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@contextlib.contextmanager
def _settings(
    program: Program, holder: Any, X: Any, Y: Any, lam: float, manner: Manner
) -> Iterator[None]:
    """Set what the program reads from its module or object rather than from an argument."""
    taken = {role for step in manner.steps for _, role in step.arguments}
    values = {"lam": lam, "rate": manner.rate or RATE}
    if "X" not in taken:
        values |= {"X": X, "Y": Y}
    elif "Y" not in taken:
        values["Y"] = Y
    with contextlib.ExitStack() as stack:
        for name, role, target in settings_of(program, holder):
            if role in values and role not in taken:
                old = target[name] if isinstance(target, MutableMapping) else getattr(target, name)
                if isinstance(target, MutableMapping):
                    stack.callback(target.__setitem__, name, old)
                    target[name] = values[role]
                else:
                    setattr(target, name, values[role])
        if isinstance(holder, Globals):
            for name in list(holder):
                if isinstance(holder[name], (np.ndarray, list, dict)):
                    stack.callback(holder.__setitem__, name, copy.deepcopy(holder[name]))
        yield


def settings_of(program: Program, holder: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield name, role and owner of the numbers and examples that are not arguments."""
    names = {name for code in program.code() for name in code.co_names}
    there = program.module
    for name in names & set(there):
        value, role = there[name], role_of(name)
        if role in ("lam", "rate") and isinstance(value, (int, float)):
            yield name, role, there
        elif role in ("X", "Y") and isinstance(value, (np.ndarray, list)):
            yield name, role, there
    if holder is not None and not isinstance(holder, (Globals, ModuleType)):
        for name, value in list(getattr(holder, "__dict__", {}).items()):
            if role_of(name) in ("lam", "rate") and isinstance(value, (int, float)):
                yield name, role_of(name), holder


def main_method(made: Any) -> str:
    """Return the name of the method to call, "" if there is none."""
    there = {plain(name): name for name in dir(made) if not name.startswith("__")}
    for name in (*BACKWARD, *STEP):
        found = there.get(plain(name), "")
        if found and callable(_get(made, found)):
            return found
    return ""


def _get(made: Any, name: str, otherwise: Mapping[str, Any] = {}) -> Any:  # noqa: B006
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


def returned_names(function: Any) -> list[str]:
    """Return the names in the last ``return a, b, c`` of *function*, none if it has none."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, IndentationError):
        return []
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            parts = node.value.elts
            names = [part.id if isinstance(part, ast.Name) else "" for part in parts]
    return names
