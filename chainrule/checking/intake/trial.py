"""Which manners are possible, the likeliest first, and those in which a call gives a gradient.

Names say what is likely; a call says what is possible. The sizes of the networks that are offered
are all different, so a wrong guess is refused by the shapes. Where a wrong guess gets past them
(labels from 0 or 1, the bias first or last) several manners are returned: the numbers must decide.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations, product
from types import ModuleType
from typing import Any

import numpy as np

from . import holding
from .handing import RATE, CannotCallError, Network
from .manner import Manner, Stated, Step
from .names import STEP, block_of, plain, role_of
from .program import Answer, OtherSizesError, Program, has_signature, parameters_of
from .settings import settings_of

MOST_CALLS = 2000
MOST_SECONDS = 4.0
"""How much of the processor's time the trials may take; on the clock they may be given less."""
SLOW = 0.05
"""How many seconds a call takes on the average where calls are slow."""
AT_LEAST = 3
"""How often a program is called in a manner that does."""
ALIKE = 12
"""So many equal failures on a network, and no other one, and no other network is tried."""
ADAPTER = """\
def backprop(thetas, X, Y, lam):
    W1, b1 = thetas[0][:, 1:].T, thetas[0][:, 0]  # a row for each unit, its bias first
    W2, b2 = thetas[1][:, 1:].T, thetas[1][:, 0]
    ...  # one forward and one backward pass of yours with these
    return [np.c_[db1, dW1.T], np.c_[db2, dW2.T]]"""
"""What a program needs that cannot be called as it is."""
ANY_DEPTH = ("thetas", "pairs", "alternating", "apart", "dicts", "numbered")
"""The containers of programs for any number of layers."""
MOST_FOUND = 16
MOST_LOOSE = 3
_TINY = 1e-8
_CANONICAL = ("thetas", "X", "Y", "lam")


@dataclass
class Found:
    """What trials found out."""

    answers: list[tuple[Manner, list[Answer]]] = field(default_factory=list)
    """Manners in which a gradient came, each with the answers of three calls."""
    failure: Exception | SystemExit | None = None
    """What the likeliest manner raised, if none gave a gradient."""
    loose: list[tuple[Manner, list[Answer]]] = field(default_factory=list)
    """Manners in which arrays came of which a gradient may be read in another layout."""
    other: tuple[Manner, list[Answer]] | None = None
    """A manner in which the call gave something else."""
    sizes: list[tuple[int, ...]] = field(default_factory=list)
    """Sizes of a network that the program has of its own."""
    deeper: Exception | None = None
    """What it raised on every network with hidden layers, if it gave a gradient without any."""
    asked: str = ""
    """What has to be stated, as a question; "" if nothing is missing."""


def explore(
    program: Program,
    offered: Sequence[Network],
    stated: Stated,
    *,
    plain_known: bool = False,
    seconds: float = float("inf"),
) -> Found:
    """Call *program* in every manner that is possible, until one gives a gradient.

    If it is known what the plain call gives, that call is not made again. *seconds* is how long the
    trials may take on the clock, so that a program whose every call is slow is still told what the
    first ones met.
    """
    return _Exploration(program, offered, stated, plain_known, seconds).run()


class _Exploration:
    def __init__(
        self, program: Program, offered: Sequence[Network], stated: Stated,
        plain_known: bool, seconds: float,
    ) -> None:  # fmt: skip
        self.program, self.offered, self.stated = program, offered, stated
        self.plain_known = plain_known
        self.found = Found()
        self.calls, self.end = 0, time.process_time() + MOST_SECONDS
        self.started, self.seconds = time.monotonic(), seconds
        self.slowest = 0.0
        """How long a call took on the clock, for one batch."""
        self.failures: set[tuple[Any, ...]] = set()
        self.failed = 0
        self.furthest = (False, 0)
        self.likely = True
        """Whether what the code says of the weights is taken at its word."""
        self.texts: set[str] = set()
        self.place: tuple[str, int] | None = None
        """Where the last call failed."""
        self.hopeless: set[tuple[str, int] | None] = set()

    def run(self) -> Found:
        found = self._run()
        found.answers += found.loose
        found.deeper = self._on_deeper_networks()
        return found

    def _on_deeper_networks(self) -> Exception | None:
        """Return what a program for any depth raises wherever there are hidden layers."""
        if not self.found.answers or self.stated.sizes:
            return None
        manner = self.found.answers[0][0]
        given = self.offered[manner.network]
        by_number = _numbered([text for text in self.texts if block_of(text)]) or any(
            text[-1:].isdigit() and block_of(text) for text in self.texts
        )
        any_depth = manner.container in ANY_DEPTH or (manner.container == "dict" and not by_number)
        if len(given.thetas) > 1 or not any_depth or not self.program.has_loops:
            return None
        error: Exception | None = None
        for index, other in enumerate(self.offered):
            if len(other.thetas) > 1 and other.Y.shape[1] == given.Y.shape[1]:
                try:
                    with np.errstate(all="ignore"):
                        self.program.call(other, replace(manner, network=index))
                    return None
                except CannotCallError:
                    return None
                except Exception as raised:
                    error = raised
        met = self.found.failure
        return met if error is not None and isinstance(met, Exception) else error

    def _run(self) -> Found:
        possible = list(self._steps())
        if self._with(possible) or self._with(list(self._other_steps())):
            return self.found
        if not self.found.answers and not self.found.sizes:
            self.found.asked = self._question(possible)
        return self.found

    def _with(self, possible: list[tuple[Step, ...]]) -> bool:
        """Try these calls; whether no others have to be tried."""
        for likely, library in product((True, False), self._libraries()):
            self.likely = likely
            for index in range(len(self.offered)):
                for steps in possible:
                    self.texts = self.program.texts([step.function for step in steps])
                    if index not in self._networks(steps):
                        continue
                    if self._on(index, steps, library) or self._spent() or self._fails_always():
                        return True
        return bool(self.found.loose)

    def _other_steps(self) -> Iterator[tuple[Step, ...]]:
        """Yield calls of other methods of the object: one may need what another has done."""
        for name in self.program.others:
            yield from ((one,) for one in self._readings(name, getattr(self.program.made, name)))

    def _spent(self) -> bool:
        slow = self.calls > 0 and self._clock() > self.seconds
        if slow and not self.found.answers and self._clock() > SLOW * self.calls:
            self.found.asked = self._too_slow()
        return slow or self.calls > MOST_CALLS or time.process_time() > self.end

    def _clock(self) -> float:
        return time.monotonic() - self.started

    def _too_slow(self) -> str:
        return (
            f"only {self.calls} ways to call it were tried, as a call takes long here: give one "
            "step in place of a whole training, or state how it is called"
        )

    def _fails_always(self) -> bool:
        """Whether it met one and the same exception, whatever it was given."""
        return self.failed >= ALIKE and len(self.failures) == 1 and not self.found.answers

    def _on(self, index: int, steps: tuple[Step, ...], library: str) -> bool:
        """Try every layout on one network; whether a gradient came."""
        family: tuple[str, ...] | None = _family(Manner()) if self.plain_known else None
        for manner in self._manners(index, steps, library):
            first = self.found.answers[0][0] if self.found.answers else Manner()
            if family is not None and not _related(family, _family(manner), first):
                continue
            if len(self.found.answers) >= MOST_FOUND or self._spent():
                break
            if self._try(manner) and family is None:
                family = _family(manner)
        return family is not None

    def _try(self, manner: Manner) -> bool:
        if not self.stated.allows(manner) or (self.plain_known and manner.plain):
            return False
        given = self.offered[manner.network]
        batches = 1 if manner.examples in ("rows", "columns") else len(given.X)
        if self.calls and self._clock() + AT_LEAST * batches * self.slowest > self.seconds:
            return False
        self.calls += 1
        before = self._clock()
        try:
            with np.errstate(all="ignore"):
                answer = self.program.call(given, manner)
            self.slowest = max(self.slowest, (self._clock() - before) / batches)
        except CannotCallError:
            return False
        except OtherSizesError as error:
            if manner.examples == "rows":  # an object that takes its sizes from X takes others then
                self.found.sizes = self.found.sizes or error.sizes
            return False
        except Exception as error:
            self._failed(error)
            self.place = _place_of(error)
            self.failures.add((self.place, type(error), _said(error)))
            self.failed += 1
            return False
        except SystemExit as error:
            self.found.failure = self.found.failure or error
            self.end = 0.0
            return False
        if answer.found.score == 0:
            if self.found.other is None:
                self.found.other = manner, self._thrice(given, manner, answer)
            return False
        if answer.found.score == 1:
            if len(self.found.loose) < MOST_LOOSE:
                self.found.loose.append((answer.found.manner, self._thrice(given, manner, answer)))
            return False
        manner, answer = self._settled(given, answer)
        new = not any(
            _equal(answer, others[0]) and other.without_biases == manner.without_biases
            for other, others in self.found.answers
        )
        if new:
            self.found.answers.append((manner, self._thrice(given, manner, answer)))
        return True

    def _failed(self, error: Exception) -> None:
        """Keep the failure that came furthest: of a wrong guess, a program makes little."""
        main = getattr(getattr(self.program.main, "__func__", self.program.main), "__code__", None)
        line, trace = 0, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code is main:
                line = trace.tb_lineno
            trace = trace.tb_next
        far = (isinstance(error, (NameError, ImportError, NotImplementedError)), line)
        if self.found.failure is None or far > self.furthest:
            self.found.failure, self.furthest = error, far

    def _settled(self, given: Network, answer: Answer) -> tuple[Manner, Answer]:
        """Find out whether what was returned are new weights, and by which rate."""
        manner = answer.found.manner
        roles = {role for step in manner.steps for _, role in step.arguments}
        rates = "rate" in roles or self._sets_rate(given, manner)
        settled = manner
        returned = manner.answer == "returned" and manner.container != "held"
        if returned and (
            self._stands_still(given, manner) if rates else _is_step(self.program.name)
        ):
            settled = replace(manner, answer="after", rate=RATE if rates else 0.0)
        if manner.answer == "changed" and rates and self._stands_still(given, manner):
            settled = replace(manner, rate=RATE)
        if settled.is_step and not settled.rate and self.stated.rate is not None:
            settled = replace(settled, rate=self.stated.rate)
        if settled is manner:
            return manner, answer
        again = self._again(given, settled)
        return (manner, answer) if again is None else (settled, again)

    def _stands_still(self, given: Network, manner: Manner) -> bool:
        """Whether a learning rate of next to nothing leaves the weights as they are."""
        if manner.answer == "returned":
            manner = replace(manner, answer="after")
        again = self._again(given, replace(manner, rate=_TINY))
        if again is None or again.found.thetas is None:
            return False
        return all(float(np.abs(D).max(initial=0.0)) < 1e5 for D in again.found.thetas)

    def _sets_rate(self, given: Network, manner: Manner) -> bool:
        try:
            holder = self.program.holder(given, manner)
        except Exception:
            return False
        return any(role == "rate" for _, role, _ in settings_of(self.program, holder))

    def _again(self, given: Network, manner: Manner) -> Answer | None:
        self.calls += 1
        try:
            with np.errstate(all="ignore"):
                return self.program.call(given, manner)
        except Exception:
            return None

    def _thrice(self, given: Network, manner: Manner, first: Answer) -> list[Answer]:
        answers = [first]
        for _ in range(2):
            again = self._again(given, manner)
            if again is not None:
                answers.append(again)
        return answers

    # --- what is possible ---

    def _libraries(self) -> list[str]:
        torch = any(
            isinstance(value, ModuleType) and value.__name__.partition(".")[0] == "torch"
            for value in self.program.module.values()
        )
        if torch:
            return ["torch", "numpy"]
        # What knows no arrays writes row + [1], which means something else of arrays.
        return ["numpy", "lists"] if self.program.knows_arrays else ["lists", "numpy"]

    def _steps(self) -> Iterator[tuple[Step, ...]]:
        """Yield the calls to make, each argument with its role."""
        for step in self._readings("", self.program.main):
            behind: list[tuple[Step, ...]] = [
                (one,)
                for name in self.program.updates
                for one in self._readings(name, self.program.module[name])
            ]
            needs = bool(behind) or bool(_before(step))
            first: list[tuple[Step, ...]] = [()]
            method = not self.program.is_function and not _is_step(self.program.name)
            if needs or method:
                before: list[tuple[Step, ...]] = [
                    (one,)
                    for name in self.program.forwards
                    for one in self._readings(name, self.program.of(name, self.program.made))
                ]
                first = before if needs else [*before, ()]
            for one in first:
                yield from ((*one, step, *last) for last in behind or [()])

    def _readings(self, name: str, function: Any) -> Iterator[Step]:
        """Yield which argument may be what."""
        parameters = [
            one for one in parameters_of(function).values()
            if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        ]  # fmt: skip
        if isinstance(self.program.made, type) and parameters and parameters[0].name == "self":
            parameters = parameters[1:]
        if not parameters and _variadic(function) and not name:
            yield Step()
            return
        roles = [self._role(one.name) for one in parameters]
        if name and "output" in roles and "Y" not in roles and _is_step(name):
            roles = ["Y" if role == "output" else role for role in roles]
        if "biases" not in roles:
            roles = ["thetas" if role == "weights" else role for role in roles]
        needed = [
            place for place, one in enumerate(parameters)
            if one.default is one.empty and not roles[place]
        ]  # fmt: skip
        missing = [role for role in self._wanted(roles) if role not in roles]
        if name:
            missing = [role for role in missing if role in ("thetas", "X", "rate")]
        if len(needed) > 5:
            return
        orders = [()] if not needed else permutations([*missing, *[""] * len(needed)], len(needed))
        seen = set()
        for order in orders:
            if order in seen or (needed and "" in order):
                continue
            seen.add(order)
            chosen = dict(zip(needed, order, strict=True))
            given: list[tuple[str, str]] = []
            for place, one in enumerate(parameters):
                role = chosen.get(place, roles[place])
                if role == "X?":
                    role = "X"
                if not role:
                    continue
                by_name = one.kind is one.KEYWORD_ONLY or len(given) < place
                given.append((one.name if by_name else "", role))
            yield Step(name, tuple(given))

    def _wanted(self, roles: list[str]) -> list[str]:
        wanted = list(_CANONICAL)
        if not self.program.is_function or any(block_of(r) and block_of(r)[1] for r in roles if r):  # type: ignore[index]
            wanted.remove("thetas")
        if "weights" in roles:
            wanted.remove("thetas")
        if "pairs" in roles:
            wanted = [role for role in wanted if role not in ("X", "Y")]
        return wanted

    def _role(self, name: str) -> str:
        if name in self.stated.arguments:
            role = self.stated.arguments[name]
            return role if not re.fullmatch(r"[-+.\deE]+", role) else f"number:{role}"
        return role_of(name)

    def _networks(self, steps: tuple[Step, ...]) -> list[int]:
        """Return which networks may fit, by the number of their layers."""
        roles = [role for step in steps for _, role in step.arguments]
        every = range(len(self.offered))
        depth = sum(
            kind == "W" and bool(where)
            for kind, where in (block_of(role) or ("", "") for _, role in steps[-1].arguments)
        )
        if not depth and "size1" in roles:
            depth = 2
        if not depth and "size2" in roles:
            depth = 3
        if not depth:
            numbers = [
                int(block[1])
                for text in self.texts
                if (block := block_of(text)) and block[0] == "W" and block[1].isdigit()
            ]
            whole = not any(block_of(text) == ("W", "") and len(text) == 1 for text in self.texts
                            ) or not any(text == "W" for text in self.texts)  # fmt: skip
            depth = max(numbers) if len(set(numbers)) > 1 and whole else 0
        fitting = [i for i in every if len(self.offered[i].thetas) == depth]
        return fitting or list(every)

    def _manners(self, index: int, steps: tuple[Step, ...], library: str) -> Iterator[Manner]:
        base = Manner(steps, network=index, library=library, text=self._text(steps))
        roles = [role for step in steps for _, role in step.arguments]
        takes = "lam" in roles or self._sets_lam(index, base)
        base = replace(base, takes_lam=takes)
        for layout in self._layouts(base, roles):
            for examples in _examples(layout, roles):
                places: set[tuple[str, int] | None] = set()
                for targets in self._targets(layout):
                    self.place = None
                    yield replace(layout, examples=examples, targets=targets)
                    places.add(self.place)
                    if self.place in self.hopeless:
                        break
                if len(places) == 1 and None not in places:
                    # It fails there whatever the targets are: before it reads them, it seems.
                    self.hopeless |= places

    def _sets_lam(self, index: int, base: Manner) -> bool:
        try:
            holder = self.program.holder(self.offered[index], base)
        except Exception:
            return False
        return any(role == "lam" for _, role, _ in settings_of(self.program, holder))

    def _layouts(self, base: Manner, roles: list[str]) -> Iterator[Manner]:
        blocks_here = {role for role in roles if (block_of(role) or ("", ""))[1]}
        if blocks_here:
            if not self.likely:
                return
            biases = any((block_of(role) or ("W", ""))[0] == "b" for role in blocks_here)
            yield from _splits(base, "separate") if biases else _joints(base, "separate")
        elif not self.likely and not {"thetas", "weights"} & set(roles):
            return
        elif "biases" in roles and self.likely:
            one = len(self.offered[base.network].thetas) == 1
            yield from _splits(base, "separate" if one else "apart")
            if one:
                yield from _splits(base, "apart")
            for first in (1, 0):
                yield from _splits(replace(base, names=f"W,b,{first}"), "numbered")
        elif "thetas" in roles or "weights" in roles:
            yield from self._containers(base, roles)
        else:
            yield from self._held(base)

    def _containers(self, base: Manner, roles: list[str]) -> Iterator[Manner]:
        keys = [text for text in self.texts if block_of(text)]
        if base.steps[-1].function in self.program.updates:
            neurons = replace(base, container="neurons", bias="last", names=_letters(keys))
            yield from [neurons] if self.likely else []
            return
        sized = any(role.startswith("size") or role == "hidden_sizes" for role in roles)
        if sized or self.stated.weights == "vector":
            yield from self._vectors(base) if self.likely else ()
            if self.likely and "sizes" in roles and self.stated.weights != "vector":
                yield from _joints(base, "thetas")
                yield from self._numbered(base)
            return
        named = self._names_of_dict(keys)
        by_name = any(key in self.texts for key in named.split(",")[:2]) or _numbered(keys)
        base = replace(base, names=named) if by_name else base
        if by_name and self.likely:
            # Such a program is tried on every network before its weights are anything else.
            yield from _splits(base, "dict")
            yield from _joints(base, "dict")
        elif by_name or self.likely:
            yield from self._lists(base, keys)

    def _lists(self, base: Manner, keys: list[str]) -> Iterator[Manner]:
        yield from _joints(base, "thetas")
        yield from _splits(base, "pairs")
        yield from _splits(base, "alternating")
        if len(self.offered[base.network].thetas) == 1:
            yield from _joints(base, "separate")
        yield from _splits(replace(base, names=_letters(keys)), "dicts")
        yield from self._numbered(base)
        yield from self._vectors(base)

    @staticmethod
    def _vectors(base: Manner) -> Iterator[Manner]:
        orders = [replace(base, order=order) for order in ("F", "C")]
        for one in orders:
            yield from _joints(one, "vector")
        for one in reversed(orders):
            yield from _splits(one, "split-vector")

    @staticmethod
    def _numbered(base: Manner) -> Iterator[Manner]:
        for first in (0, 1):
            yield from _joints(replace(base, names=f"W,b,{first}"), "numbered")

    def _names_of_dict(self, keys: list[str]) -> str:
        """Return how a dictionary's keys are spelled: the names without numbers, the first one."""
        found = {"W": "W", "b": "b"}
        numbers = []
        for key in sorted(keys, key=lambda one: not one[-1].isdigit()):
            kind, where = block_of(key) or ("W", "")
            if where and not where.isdigit():
                continue
            found[kind] = key[: len(key) - len(where)]
            numbers += [int(where)] if where else []
        return f"{found['W']},{found['b']},{min(numbers, default=1)}"

    def _held(self, base: Manner) -> Iterator[Manner]:
        given = self.offered[base.network]
        try:
            holder = self.program.holder(given, base)
        except CannotCallError:
            return
        except Exception as error:
            self.found.failure = self.found.failure or error
            return
        shape = (given.X.shape[1], *(len(theta) for theta in given.thetas))
        held = holding.find(holder, shape)
        if held is None:
            sizes = holding.sizes_of(holder)
            self.found.sizes = self.found.sizes or sizes
            return
        base = holding.manner_of(held, base)
        yield base
        if base.bias == "first":
            yield replace(base, bias="last")
        if held.biases:
            yield replace(base, bias="none")

    def _targets(self, layout: Manner) -> list[str]:
        outputs = self.offered[layout.network].Y.shape[1]
        if outputs == 1:
            return ["one-hot", "flat"]
        # A program that is told the number of classes, or makes them, is given labels.
        return ["one-hot", "labels-0", "labels-1"]

    # --- what is said ---

    def _text(self, steps: tuple[Step, ...]) -> str:
        shown = []
        for step in steps:
            name = step.function or self.program.name
            if self.program.is_function or not step.function:
                function = self.program.main if not step.function else None
            else:
                function = None
            names = list(parameters_of(function)) if function is not None else []
            if isinstance(self.program.made, type) and names[:1] == ["self"]:
                names = names[1:]
            parts = [
                _shown(by_name or (names[i] if i < len(names) else ""), role)
                for i, (by_name, role) in enumerate(step.arguments)
            ]
            shown.append(f"{name}({', '.join(parts)})")
        return ", then ".join(shown)

    def _no_weights(self) -> str:
        """Say that nothing holds weights, if that is why nothing was called."""
        if self.calls or self.found.failure is not None:
            return ""
        if self.program.is_function:
            return (
                f"{self.program.name} takes no weights, and its module holds none before it is "
                "called: it makes its own. State which parameter has them, --argument NAME=thetas, "
                f"or add this to the file, and give it:\n{ADAPTER}"
            )
        return (
            f"an object as {self.program.name.partition('.')[0]} makes it holds no weights: they "
            "may be made in its training method, or by layers that are added. Make them in "
            f"__init__, or add this to the file, and give it:\n{ADAPTER}"
        )

    def _no_forward(self, possible: list[tuple[Step, ...]]) -> str:
        """Say that nothing fills a cache, if that is why nothing was called."""
        wanted = {role for steps in possible for role in _before(steps[-1])}
        if self.calls or not wanted:
            return ""
        return (
            f"{self.program.name} wants what a forward pass leaves, and none was found beside it "
            "that returns it: give both, FILE:FORWARD,BACKWARD"
        )

    def _question(self, possible: list[tuple[Step, ...]]) -> str:
        if possible:
            return self._no_weights() or self._no_forward(possible)
        unknown = [
            one.name for one in parameters_of(self.program.main).values()
            if one.default is one.empty and one.name != "self" and not self._role(one.name)
        ]  # fmt: skip
        if not unknown:
            return ""
        name = unknown[0]
        return (
            f"what is {name} in {self.program.name}? State it: --argument {name}=ROLE, with "
            "thetas, X, Y, lam, rate, sizes or a number for ROLE"
        )


def _before(step: Step) -> list[str]:
    """Return the roles of a call that a forward pass must have filled."""
    return [
        role for _, role in step.arguments
        if role in ("output", "cache") or role.startswith("named:")
    ]  # fmt: skip


def _place_of(error: Exception) -> tuple[str, int] | None:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return None if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)


_LABELS = {
    "thetas": "the weights",
    "lam": "lambda",
    "rate": "the rate",
    "output": "the output",
    "cache": "the cache",
    "pairs": "(x, y) pairs",
}


def _shown(name: str, role: str) -> str:
    label = _LABELS.get(role, role)
    if not name:
        return label
    return (
        name
        if plain(name) == plain(label) or role.startswith(("size", "named")) or (name == role)
        else f"{name} = {label}"
    )


def _is_step(name: str) -> bool:
    small = plain(name.rpartition(".")[2])
    return small in {plain(one) for one in STEP} or any(
        word in small for word in ("train", "update", "step", "descent", "learn", "fit")
    )


def _said(error: Exception) -> str:
    """Return what an exception says; saying it runs its own code, which may do anything."""
    try:
        return str(error)[:200]
    except Exception:
        return ""


def _family(manner: Manner) -> tuple[str, str, str]:
    return manner.container, manner.examples, manner.targets


def _related(family: tuple[str, ...], key: tuple[str, ...], first: Manner) -> bool:
    """Whether a manner may be the right one although another one gave a gradient already."""
    container, examples, targets = family
    if first.is_step and container == key[0] and targets == key[2]:
        return examples == key[1] or key[1].startswith("one")
    return (container == key[0] or {container, key[0]} == {"vector", "split-vector"}) and (
        examples == key[1]
        and (targets == key[2] or targets.startswith("labels") == key[2].startswith("labels"))
    )


def _joints(base: Manner, container: str) -> Iterator[Manner]:
    for bias in ("first", "last", "none"):
        # A matrix that is unrolled is a transposed one, unrolled in the other order.
        for turned in (False,) if container == "vector" else (False, True):
            yield replace(base, container=container, bias=bias, turned=turned)


def _splits(base: Manner, container: str) -> Iterator[Manner]:
    for bias, turned in (("flat", True), ("flat", False), ("column", False), ("row", True),
                         ("row", False), ("column", True)):  # fmt: skip
        yield replace(base, container=container, bias=bias, turned=turned)


def _examples(layout: Manner, roles: list[str]) -> tuple[str, ...]:
    if "pairs" in roles:
        return ("rows",)
    if layout.container == "neurons":
        return "one-labelled", "one-flat"
    if layout.bias == "column":
        return "columns", "one-column", "rows", "one-flat", *_stacked(layout, "one-stacked-column")
    if layout.bias in ("flat", "row"):
        return "rows", "one-flat", "one-row", "columns", *_stacked(layout, "one-stacked-row")
    stacked = _stacked(layout, "one-stacked-row", "one-stacked-column")
    return "rows", "columns", "one-flat", "one-column", "one-row", *stacked


def _stacked(layout: Manner, *names: str) -> tuple[str, ...]:
    """Return *names* for an object: a method may go over examples that are rows or columns."""
    return names if layout.container == "held" else ()


def _numbered(keys: list[str]) -> bool:
    return len({key for key in keys if (block_of(key) or ("", ""))[1].isdigit()}) > 1


def _letters(keys: list[str]) -> str:
    found = {"W": "W", "b": "b"}
    for key in keys:
        kind, where = block_of(key) or ("W", "")
        if not where:
            found[kind] = key
    return f"{found['W']},{found['b']},1"


def _variadic(function: Any) -> bool:
    """Whether it takes any arguments, or nobody can say which."""
    every = parameters_of(function).values()
    if not every:
        return not has_signature(function)
    return any(one.kind is one.VAR_POSITIONAL for one in every)


def _equal(one: Answer, two: Answer) -> bool:
    first, second = one.found.thetas, two.found.thetas
    if first is None or second is None:
        return False
    return all(
        a.shape == b.shape and np.array_equal(a, b) for a, b in zip(first, second, strict=False)
    )


def _near(one: Answer, two: Answer) -> bool:
    first, second = one.found.thetas, two.found.thetas
    if first is None or second is None:
        return False
    return all(
        np.allclose(a, b, rtol=1e-4, atol=1e-7 * max(1.0, float(np.abs(a).max(initial=0.0))))
        for a, b in zip(first, second, strict=True)
    )
