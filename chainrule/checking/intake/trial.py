"""Trials: a program is called in the manners that are possible, until one gives a gradient.

Names say what is likely; a call says what is possible. The sizes of the networks that are offered
are all different, so a wrong guess is refused by the shapes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from .clock import own_time
from .found import Found
from .handing import RATE, CannotCallError, Network
from .manner import Manner, Stated, Step
from .manners import Manners
from .names import block_of
from .one_call import NO_EXAMPLES, Answer, OtherSizesError, call
from .possible import Calls, is_step
from .program import Program
from .settings import settings_of

MOST_CALLS = 2000
MOST_SECONDS = 4.0
"""How much of the processor's time the trials may take; on the clock they may be given less."""
SLOW = 0.05
"""How many seconds a call takes on the average where calls are slow."""
UNFINISHED = (NameError, ImportError, NotImplementedError)
"""What a program raises however it is called, so that one call is enough."""
AT_LEAST = 3
"""How often a program is called in a manner that does."""
ALIKE = 12
"""So many equal failures on a network, and no other one, and none of so many layers is tried."""
ANY_DEPTH = ("thetas", "pairs", "alternating", "apart", "dicts", "numbered")
"""The containers of programs for any number of layers."""
MOST_FOUND = 16
MOST_LOOSE = 3
_TINY = 1e-8


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
    first ones met. What the process waits for a processor does not count.
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
        self.started, self.seconds = own_time(), seconds
        self.slowest = 0.0
        """How long a call took on the clock, for one batch."""
        self.failures: set[tuple[Any, ...]] = set()
        self.failed = 0
        self.furthest = (False, 0)
        self.possible = Calls(program, stated)
        self.manners = Manners(program, offered, stated, self.found)

    def run(self) -> Found:
        found = self._run()
        if self._meant_near():
            found.answers = found.near[:1]
        found.answers += found.loose
        found.deeper = self._on_deeper_networks()
        return found

    def _meant_near(self) -> bool:
        """Whether a program is meant for what it was given where its biases had other shapes.

        That is so if it gives a gradient nowhere else, or where there are fewer layers, or for one
        example at a time although it takes the mean over a batch.
        """
        if not self.found.near:
            return False
        if not self.found.answers:
            return True
        (manner, answers), (other, others) = self.found.near[0], self.found.answers[0]
        if len(self.offered[other.network].thetas) < len(self.offered[manner.network].thetas):
            return True
        if other.without_biases and other.network == manner.network:
            return True
        weights, thetas = answers[0].found.weights or [], others[0].found.thetas or []
        return (
            (manner.network, manner.turned) == (other.network, other.turned)
            and manner.whole
            and not other.whole
            and all(
                np.allclose(W.T if manner.turned else W, theta[:, 1:], rtol=1e-7, atol=1e-12)
                for W, theta in zip(weights, thetas, strict=True)
            )
        )

    def _on_deeper_networks(self) -> Exception | None:
        """Return what a program for any depth raises wherever there are hidden layers."""
        if not self.found.answers or self.stated.sizes:
            return None
        manner = self.found.answers[0][0]
        given = self.offered[manner.network]
        texts = self.program.texts([step.function for step in manner.steps])
        by_number = any(text[-1:].isdigit() and block_of(text) for text in texts)
        any_depth = manner.container in ANY_DEPTH or (manner.container == "dict" and not by_number)
        made = manner.container == "held" and isinstance(self.program.made, type)
        if len(given.thetas) > 1 or not (any_depth or made) or not self.program.has_loops:
            return None
        error: Exception | None = None
        for index, other in enumerate(self.offered):
            if len(other.thetas) > 1 and other.Y.shape[1] == given.Y.shape[1]:
                there = replace(manner, network=index)
                try:
                    with np.errstate(all="ignore"):
                        answer = call(self.program, other, there)
                    if made and answer.found.thetas is None and answer.found.raw is not None:
                        # A class that is made for any sizes gives what does not fit there.
                        self.found.answers = [(there, self._thrice(other, there, answer))]
                    return None
                except (CannotCallError, OtherSizesError):
                    return None
                except Exception as raised:
                    error = raised
        met = self.found.failure
        return met if error is not None and isinstance(met, Exception) else error

    def _run(self) -> Found:
        possible = list(self.possible.calls())
        self._with(possible)
        if not self.found.answers and not self.found.loose:
            self.failures, self.failed = set(), 0
            self._with(list(self.possible.other_calls()))
        if not self.found.answers and not self.found.sizes:
            called = self.calls > 0 or self.found.failure is not None
            self.found.asked = self.found.asked or self.possible.question(possible, called)
        return self.found

    def _with(self, possible: list[tuple[Step, ...]]) -> None:
        """Try these calls, until one gives a gradient."""
        for likely, library in product((True, False), self.possible.libraries()):
            self.manners.likely = likely
            hopeless: set[int] = set()  # for so many layers
            for index, network in enumerate(self.offered):
                if len(network.thetas) in hopeless:
                    continue
                for steps in possible:
                    texts = self.program.texts([step.function for step in steps])
                    if index not in self.manners.networks(steps, texts):
                        continue
                    call = Manner(
                        steps, network=index, library=library, text=self.possible.text(steps)
                    )
                    if (self._on(call, texts) and self._settles()) or self._spent():
                        return
                    if self._fails_always():
                        hopeless.add(len(network.thetas))
                        self.failures, self.failed = set(), 0
                        break

    def _settles(self) -> bool:
        """Whether an answer is beyond doubt; those that are not are then forgotten."""
        certain = [one for one in self.found.answers if not self._is_doubtful(one[0])]
        if certain:
            self.found.answers = certain
        return bool(certain)

    def _is_doubtful(self, manner: Manner) -> bool:
        """Whether the program may be meant for another network.

        That of a single neuron, with the ones of its bias in X, passes for one of several neurons
        without biases that are given one example at a time; and of some, whose gradient is a
        vector.
        """
        thetas = self.offered[manner.network].thetas
        if len(thetas) > 1:
            return False
        several = len(thetas[0]) > 1
        return (manner.without_biases and not manner.whole) or (several and bool(manner.layout))

    def _spent(self) -> bool:
        slow = self.calls > 0 and self._clock() > self.seconds
        if slow and not self.found.answers and self._clock() > SLOW * self.calls:
            self.found.asked = self._too_slow()
        long = self.calls > MOST_CALLS or 0.0 < self.end < time.process_time()
        self.found.cut = self.found.cut or slow or long
        return slow or long or not self.end

    def _clock(self) -> float:
        return own_time() - self.started

    def _too_slow(self) -> str:
        return (
            f"only {self.calls} ways to call it were tried, as a call takes long here: give one "
            "step in place of a whole training, or state how it is called"
        )

    def _fails_always(self) -> bool:
        """Whether it met one and the same exception, whatever it was given."""
        return self.failed >= ALIKE and len(self.failures) == 1 and not self.found.answers

    def _on(self, call: Manner, texts: set[str]) -> bool:
        """Make one *call* in every manner; whether a gradient came."""
        family: tuple[str, ...] | None = _family(Manner()) if self.plain_known else None
        for manner in self.manners.of(call, texts):
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
        batches = 1 if manner.whole else len(given.X)
        if self.calls and self._clock() + AT_LEAST * batches * self.slowest > self.seconds:
            self.found.cut = True
            return False
        self.calls += 1
        before = self._clock()
        try:
            with np.errstate(all="ignore"):
                answer = call(self.program, given, manner)
            self.slowest = max(self.slowest, (self._clock() - before) / batches)
        except CannotCallError as error:
            if str(error) == NO_EXAMPLES:
                self.found.asked = NO_EXAMPLES
            return False
        except OtherSizesError as error:
            if manner.examples == "rows":  # an object that takes its sizes from X takes others then
                self.found.sizes = self.found.sizes or error.sizes
            return False
        except Exception as error:
            self._failed(error)
            place = self.manners.place = _place_of(error)
            self.manners.said = _said(error)
            self.failures.add((place, type(error), self.manners.said))
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
        if answer.found.weights is not None and len(self.found.near) < MOST_LOOSE:
            self.found.near.append((answer.found.manner, self._thrice(given, manner, answer)))
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
        whatever = isinstance(error, UNFINISHED) and not isinstance(error, UnboundLocalError)
        if whatever:
            self.end = 0.0
        far = (whatever, line)
        if self.found.failure is None or far > self.furthest:
            self.found.failure, self.furthest = error, far

    def _settled(self, given: Network, answer: Answer) -> tuple[Manner, Answer]:
        """Find out whether what was returned are new weights, and by which rate."""
        manner = answer.found.manner
        if manner.container == "made":
            return manner, answer
        roles = {role for step in manner.steps for _, role in step.arguments}
        rates = "rate" in roles or self._sets_rate(given, manner)
        settled = manner
        returned = manner.answer == "returned" and manner.container != "held"
        if returned and (
            self._stands_still(given, manner) if rates else is_step(self.program.name)
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
                return call(self.program, given, manner)
        except Exception:
            return None

    def _thrice(self, given: Network, manner: Manner, first: Answer) -> list[Answer]:
        answers = [first]
        for _ in range(2):
            again = self._again(given, manner)
            if again is not None:
                answers.append(again)
        return answers


def _place_of(error: Exception) -> tuple[str, int] | None:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return None if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)


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
    if first.without_biases and key == (container, f"{examples}-ones", targets):
        return True  # the bias may be one of its weights
    return (container == key[0] or {container, key[0]} == {"vector", "split-vector"}) and (
        examples == key[1]
        and (
            targets == key[2]
            or "column" in key[2]  # which passes for one target, by broadcasting
            or targets.startswith("labels") == key[2].startswith("labels")
        )
    )


def _equal(one: Answer, two: Answer) -> bool:
    first, second = one.found.thetas, two.found.thetas
    if first is None or second is None:
        return False
    return all(
        a.shape == b.shape and np.array_equal(a, b) for a, b in zip(first, second, strict=False)
    )
