"""The manner in which a program is called and answers, as plain data, and what a report says of it.

A manner is found out by trial, or stated. It can be written as JSON, because the program may be
called in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

LOOP = "loop"
"""What a training loop that stands under no function is called."""
CONTAINERS = ("thetas", "pairs", "alternating", "dict", "dicts", "numbered", "neurons", "apart",
              "separate", "vector", "split-vector", "held", "made")  # fmt: skip
"""How weights are handed over."""
BIASES = ("first", "last", "flat", "column", "row", "number", "none")
"""Where biases are: in each Theta's first or last column, apart in some shape, or nowhere.

A number is that of one unit, whose weights are a vector.
"""
EXAMPLES = ("rows", "columns", "one-flat", "one-column", "one-row", "one-labelled", "one-pair",
            "one-stacked-row", "one-stacked-column", "rows-ones", "columns-ones")  # fmt: skip
"""How examples are handed over: all at once, or one at a time; with ones for the bias in them."""
TARGETS = ("one-hot", "labels-0", "labels-1", "flat")
"""What can be stated of targets."""
_TARGETS_TRIED = (*TARGETS, "labels-column-0", "labels-column-1")
ANSWERS = ("", "returned", "stored", "after", "changed")
"""Where the gradient is: in what is returned or stored, or in the change of the weights."""


@dataclass(frozen=True)
class Step:
    """One call: of what, and which argument is what."""

    function: str = ""
    """The name of a method or of a function beside the main one; "" for the main one."""
    arguments: tuple[tuple[str, str], ...] = (
        ("", "thetas"),
        ("", "X"),
        ("", "Y"),
        ("", "lam"),
    )
    """(name, role) of each argument; the name is "" for one that is given by position."""


@dataclass(frozen=True)
class Manner:
    """How to call a program, and how to read what comes back.

    >>> Manner().plain
    True
    """

    steps: tuple[Step, ...] = (Step(),)
    container: str = "thetas"
    turned: bool = False
    """Whether weights are (inputs, units), a column for each unit."""
    bias: str = "first"
    order: str = "C"
    names: str = "W,b,1"
    """How a dictionary names weights and biases, and where it begins to count."""
    examples: str = "rows"
    targets: str = "one-hot"
    library: str = "numpy"
    answer: str = ""
    rate: float = 0.0
    """The learning rate that is divided by; 0 if it was not given, and must be found out."""
    network: int = 0
    """Which of the networks that were offered."""
    takes_lam: bool = True
    text: str = ""
    """The call as one would write it."""
    layout: str = ""
    """How the answer was laid out, where that is not as the weights are."""

    @property
    def plain(self) -> bool:
        """Whether it is function(thetas, X, Y, lam), by position, all as the notes have it."""
        like = Manner(network=self.network, text=self.text, answer=self.answer, layout=self.layout)
        return self == like

    @property
    def without_biases(self) -> bool:
        """Whether the program has no biases."""
        return self.bias == "none"

    @property
    def whole(self) -> bool:
        """Whether all examples are handed over at once."""
        return not self.examples.startswith("one")

    @property
    def labels(self) -> bool:
        """Whether each example has one class, as a number."""
        return self.targets.startswith("labels")

    @property
    def is_step(self) -> bool:
        """Whether the gradient is read from the change of the weights."""
        return self.answer in ("after", "changed")

    def _called(self) -> str:
        if self.text == f"{LOOP}()":
            return "one turn of the training loop at its top level was run"
        return f"called as {self.text}" if self.text else "called in its own manner"

    def words(self) -> dict[str, Any]:
        """Return it as what JSON knows."""
        return asdict(self)

    @classmethod
    def of(cls, words: Mapping[str, Any]) -> Manner:
        """Return the manner that :meth:`words` gave; ``ValueError`` if it is anything else."""
        known = {one.name: one.type for one in fields(cls)}
        if set(words) != set(known):
            raise ValueError(f"a manner with {sorted(words)!r:.200}")
        given = dict(words)
        steps = tuple(
            Step(_text(step["function"]), tuple((_text(a), _text(b)) for a, b in step["arguments"]))
            for step in given.pop("steps")
        )
        for name, allowed in (
            ("container", CONTAINERS),
            ("bias", BIASES),
            ("examples", EXAMPLES),
            ("targets", _TARGETS_TRIED),
            ("answer", ANSWERS),
            ("order", ("C", "F")),
            ("library", ("numpy", "torch", "lists")),
        ):
            if given[name] not in allowed:
                raise ValueError(f"{name} is {given[name]!r:.80}")
        for name in ("names", "text", "layout"):
            _text(given[name])
        if not all(isinstance(given[name], bool) for name in ("turned", "takes_lam")):
            raise ValueError("not a truth value")
        given["network"], given["rate"] = int(given["network"]), float(given["rate"])
        return cls(steps, **given)

    # --- what a report says ---

    def conventions(self) -> Iterator[tuple[str, str]]:
        """Yield a name and a sentence for each thing that is not as the notes have it."""
        if self.plain:
            return
        yield "called", self._called()
        if self.container in _WEIGHTS:
            yield f"weights-{self.container}", _WEIGHTS[self.container]
        if self.turned:
            yield "turned", "the weights of a layer are (inputs, units), a column for each unit"
        if self.bias in ("last", "none"):
            yield f"biases-{self.bias}", _BIASES[self.bias]
        if self.container == "vector":
            how = "column by column" if self.order == "F" else "row by row"
            yield f"unrolled-{self.order}", f"each matrix is unrolled {how}"
        if self.examples != "rows":
            yield f"examples-{self.examples}", _EXAMPLES[self.examples]
        if self.targets != "one-hot":
            yield f"targets-{self.targets}", _TARGETS[self.targets]
        if self.answer in _ANSWERS:
            rate = f"{self.rate:g}" if self.rate else "a rate found out"
            yield f"answer-{self.answer}", _ANSWERS[self.answer].format(rate=rate)
        if self.library != "numpy":
            yield self.library, f"called with {_LIBRARIES[self.library]}"
        if self.layout:
            yield "layout", self.layout
        if {"keep", "drop"} & {role for step in self.steps for _, role in step.arguments}:
            yield (
                "dropout",
                "called without dropout, whose masks are drawn at random: check_layer(forward, "
                'backward, kind="dropout") tests a layer with it',
            )


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 2000:
        raise ValueError(f"{value!r:.80} is not a short text")
    return value


_WEIGHTS = {
    "pairs": "the weights are handed over as (W, b) pairs",
    "alternating": "the weights are handed over as one list, W1, b1, W2, b2, ...",
    "dict": "the weights are handed over as a dictionary",
    "dicts": "the weights are handed over as a dictionary for each layer",
    "numbered": "the weights are handed over as a dictionary with the numbers of the layers",
    "neurons": "the weights are handed over as lists of dictionaries, one for each unit",
    "apart": "weights and biases are handed over as two lists",
    "separate": "the weights are handed over one by one",
    "vector": "the weights are handed over as one vector",
    "split-vector": "the weights are handed over as one vector, of each layer W, then b",
    "held": "the weights were put where the program holds them",
    "made": "the program makes its weights itself: they are those that it begins with",
}
_BIASES = {"last": "the bias is the last column", "none": "the network has no biases"}
_EXAMPLES = {
    "columns": "examples are columns",
    "one-flat": "one example at a time, as a vector; the gradients are averaged",
    "one-column": "one example at a time, as a column; the gradients are averaged",
    "one-pair": "one (x, y) pair at a time, as where weights are updated after each; the gradients "
    "are averaged",
    "one-row": "one example at a time, as a row; the gradients are averaged",
    "one-labelled": "one example at a time, its class behind it; the gradients are averaged",
    "one-stacked-row": "one example at a time, as a list of one row; the gradients are averaged",
    "one-stacked-column": "one example at a time, as a list of one column; the gradients are "
    "averaged",
    "rows-ones": "the examples are handed over with the ones for the bias in them",
    "columns-ones": "examples are columns, handed over with the ones for the bias in them",
}
_TARGETS = {
    "labels-0": "targets are the numbers of classes, from 0",
    "labels-1": "targets are the numbers of classes, from 1",
    "labels-column-0": "targets are the numbers of classes, from 0, in one column",
    "labels-column-1": "targets are the numbers of classes, from 1, in one column",
    "flat": "targets are one vector, a number for each example",
}
_ANSWERS = {
    "stored": "the gradients are read from where the program stores them",
    "after": "it returns new weights; the gradient is (before - after)/{rate}",
    "changed": "it changes the weights; the gradient is (before - after)/{rate}",
}
_LIBRARIES = {"torch": "torch tensors", "lists": "nested lists"}


@dataclass(frozen=True)
class Stated:
    """What is stated of the manner; "" or None is to be found out."""

    examples: str = ""
    """"rows", "columns" or "one"."""
    targets: str = ""
    biases: str = ""
    """"with" or "none"."""
    weights: str = ""
    """One of ``CONTAINERS``."""
    sizes: tuple[int, ...] = ()
    rate: float | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Roles of parameters, or numbers, by the name of the parameter."""

    def allows(self, manner: Manner) -> bool:
        """Whether *manner* is as stated."""
        return (
            (not self.examples or manner.examples.partition("-")[0] == self.examples)
            and (not self.targets or manner.targets.replace("-column", "") == self.targets)
            and (not self.biases or (self.biases == "none") == manner.without_biases)
            and (not self.weights or manner.container == self.weights)
        )
