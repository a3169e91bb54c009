"""Calling somebody's forward and backward pass, in the ways in which people write them.

The forward pass is called with the layer's inputs in their order, and with a dictionary of settings
if it takes one argument more. It returns the output, or the output and a cache. The backward pass
takes the gradient of the output and that cache, or the gradient and the inputs; arguments with
names that are known are given by name. It returns the gradients in the order of the inputs, or a
dictionary, which may name what lies between as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..diagnosis.running.calls import told
from .kinds import Layer

_UPSTREAM = ("dout", "grad", "upstream", "gradoutput", "doutput", "dy", "dz", "da", "delta", "g")
_CACHES = ("cache", "memory", "saved", "ctx", "caches", "mask", "dropoutmask")
_KEPT = ("p", "keep", "keepprob", "pkeep", "keepprobability", "prob", "rate", "dropprob", "pdrop",
         "dropout", "dropoutrate")  # fmt: skip
"""Names of how much dropout there is, by themselves and not in a dictionary of settings."""
_OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "dprev_h": ("dhprev", "dh0", "dhprevious"),
    "dprev_c": ("dcprev", "dc0", "dcprevious"),
    "dnext_h": ("dh", "dhnext"),
    "dnext_c": ("dcnext",),
    "dw": ("dfilters", "dkernel", "dweights"),
    "dW": ("dweights",),
    "db": ("dbias",),
    "dz": ("dhraw", "dtanh", "dpre"),
    "dS": ("dscores",),
    "dP": ("dweights", "dattn", "dprobs", "dattention"),
    "dlogits": ("dx", "dz", "dscores"),
    "dxhat": ("dxnorm", "dxnormalized", "dbnraw"),
    "dvar": ("dbnvar", "dvariance", "dsigma2"),
    "dmu": ("dmean", "dbnmeani"),
    "dgamma": ("dbngain",),
    "dbeta": ("dbnbias",),
    "dx": ("dinput", "dinputs"),
}
"""Other names, without underscores and in small letters, that gradients go by."""


class CallError(Exception):
    """A pass that failed: which one, the code of the finding, and what it said."""

    def __init__(self, which: str, code: str, says: str) -> None:
        super().__init__(says)
        self.which, self.code, self.says = which, code, says


@dataclass
class Given:
    """What a backward pass gave: gradients by name, and how they were read."""

    gradients: dict[str, Any]
    others: list[str] = field(default_factory=list)
    """Names in a dictionary that stand for nothing known."""
    changed: list[str] = field(default_factory=list)
    """The arguments that were written to."""


class Passes:
    """Somebody's two functions."""

    def __init__(
        self,
        layer: Layer,
        forward: Callable[..., Any],
        backward: Callable[..., Any] | None,
        settings: Mapping[str, Any],
    ) -> None:
        self._layer = layer
        self._forward, self._backward = forward, backward
        self._settings = dict(settings)
        self.outputs: tuple[Any, ...] = ()
        """What the last forward pass gave."""

    def forward(self, inputs: Mapping[str, Any]) -> tuple[tuple[Any, ...], Any]:
        """Return the outputs, and what else the forward pass returned: None if nothing."""
        arguments: list[Any] = [_copied(inputs[name]) for name in self._layer.inputs]
        if _least(self._forward) == len(arguments) + 1:
            last = list(inspect.signature(self._forward).parameters)[len(arguments)]
            alone = self._layer.random and _plain(last) in _KEPT
            arguments.append(self._settings["p"] if alone else dict(self._settings))
        try:
            returned = self._forward(*arguments)
        except Exception as error:
            raise CallError("forward", "call.raises", told(error)) from error
        count = len(self._layer.outputs)
        if not isinstance(returned, (tuple, list)):
            returned = (returned,)
        outputs, rest = tuple(returned[:count]), list(returned[count:])
        arrays = [_array(output) for output in outputs]
        made = tuple(array for array in arrays if array is not None)
        if len(made) < count:
            names = ", ".join(self._layer.outputs)
            raise CallError("forward", "call.no-arrays", f"expected {names}, then a cache if any")
        return made, (rest[0] if len(rest) == 1 else tuple(rest)) if rest else None

    def backward(self, inputs: Mapping[str, Any]) -> Given:
        """Return the gradients that the backward pass gives, by name."""
        self.outputs, cache = self.forward(inputs)
        if self._backward is None:
            return self._read(cache)
        given = {
            name: _copied(value)
            for name, value in inputs.items()
            if not (self._layer.is_loss and name == "dout")
        }
        before = {name: _copied(value) for name, value in given.items()}
        arguments, named = self._arguments(given, cache)
        try:
            returned = self._backward(*arguments, **named)
        except Exception as error:
            raise CallError("backward", "call.raises", told(error)) from error
        found = self._read(returned)
        found.changed = [name for name in given if not np.array_equal(given[name], before[name])]
        return found

    def _arguments(self, given: Mapping[str, Any], cache: Any) -> tuple[list[Any], dict[str, Any]]:
        above = [given[f"d{name}"] for name in self._layer.outputs if f"d{name}" in given]
        inputs = [given[name] for name in self._layer.inputs]
        named = self._by_name(given, cache)
        if named is not None:
            return [], named
        ways = [[*above, *inputs], [*above, *inputs, dict(self._settings)]]
        if cache is not None:
            ways[:0] = [[*above, cache], [cache]]
            if self._layer.is_loss:
                ways.insert(0, [1.0, cache])
        assert self._backward is not None
        for way in ways:
            try:
                inspect.signature(self._backward).bind(*way)
            except TypeError:
                continue
            except ValueError:
                break
            return way, {}
        return ways[0], {}

    def _by_name(self, given: Mapping[str, Any], cache: Any) -> dict[str, Any] | None:
        """Return the arguments by their names, None if some name is not known."""
        try:
            parameters = inspect.signature(self._backward).parameters.values()  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return None
        known = {_plain(name): value for name, value in given.items()}
        known |= {name: cache for name in _CACHES if cache is not None}
        if self._layer.random:
            known |= dict.fromkeys(_KEPT, self._settings["p"])
        if len(self._layer.outputs) == 1 and f"d{self._layer.outputs[0]}" in given:
            above = given[f"d{self._layer.outputs[0]}"]
            known |= {name: above for name in _UPSTREAM if name not in known}
        for name, others in _OTHER_NAMES.items():
            if name in given:
                known |= {other: given[name] for other in others if other not in known}
        found: dict[str, Any] = {}
        for parameter in parameters:
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                return None
            if _plain(parameter.name) in known:
                found[parameter.name] = known[_plain(parameter.name)]
            elif parameter.default is parameter.empty:
                return None
        return found or None

    # --- what it returned ---

    def _read(self, returned: Any) -> Given:
        asked = self._layer.asked
        if isinstance(returned, Mapping):
            return self._from_names(returned)
        if not isinstance(returned, (tuple, list)):
            returned = (returned,)
        arrays = [_array(value) for value in returned]
        wanted = [np.shape(np.zeros(self._layer.inputs[_input_of(name)])) for name in asked]
        if len(arrays) < len(asked) or any(array is None for array in arrays[: len(asked)]):
            kinds = ", ".join(type(value).__name__ for value in returned)
            raise CallError("backward", "call.no-arrays", f"It returned ({kinds}).")
        shapes = [np.shape(array) for array in arrays[: len(asked)]]
        order = list(range(len(asked)))
        if (
            shapes != wanted
            and sorted(shapes) == sorted(wanted)
            and len(set(wanted)) == len(wanted)
        ):
            order = [shapes.index(shape) for shape in wanted]  # by shape, where that is certain
        return Given({name: arrays[place] for name, place in zip(asked, order, strict=True)})

    def _from_names(self, named: Mapping[Any, Any]) -> Given:
        found: dict[str, Any] = {}
        others: list[str] = []
        steps = {_plain(step): step for step in self._layer.steps}
        exact = {step: step for step in self._layer.steps}
        for step in self._layer.steps:
            for other in _OTHER_NAMES.get(step, ()):
                steps.setdefault(other, step)
        for name, value in named.items():
            step = exact.get(str(name)) or steps.get(_plain(str(name)), "")
            array = _array(value)
            if step and array is not None:
                found[step] = array
            else:
                others.append(str(name))
        missing = [name for name in self._layer.asked if name not in found]
        if not found:
            raise CallError(
                "backward",
                "call.no-arrays",
                f"It returned {', '.join(map(str, named))}; expected {', '.join(missing)}.",
            )
        return Given(found, others)


def _input_of(gradient: str) -> str:
    return gradient[1:]


def _plain(name: str) -> str:
    return name.lower().replace("_", "")


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def _array(value: Any) -> Any:
    try:
        array = np.asarray(value)
        return array.astype(np.float64) if array.dtype.kind in "fiub" else None
    except (TypeError, ValueError):
        return None


def _least(function: Callable[..., Any]) -> int:
    """Return how many arguments a function must be given; 0 if nobody can say."""
    try:
        parameters: Sequence[inspect.Parameter] = list(
            inspect.signature(function).parameters.values()
        )
    except (TypeError, ValueError):
        return 0
    return sum(
        parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        for parameter in parameters
    )
