"""The kinds of layers: what goes in, what comes out, and each step on the way back.

A layer is written out in steps, each with the name that courses give it: ``dP``, ``dS``, ``dQ``. A
step reads what the ones before it have left in a scope, so that a mistake in one of them shows in
all that follow, as it does in the program that is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import permutations
from types import MappingProxyType, SimpleNamespace
from typing import Any, TypeAlias

import numpy as np

Scope: TypeAlias = SimpleNamespace
"""The inputs, the outputs, what lies between, the settings, and the gradients by name."""
Step: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Layer:
    """One kind of layer."""

    kind: str
    inputs: Mapping[str, tuple[int, ...]]
    """The arguments of the forward pass in their order, and their shapes."""
    forward: Callable[[Any], None]
    """Sets the outputs, and what lies between."""
    steps: Mapping[str, Step]
    """The gradients by name, in the order in which a backward pass comes to them."""
    outputs: tuple[str, ...] = ("out",)
    settings: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Other ways to define the layer, in words, and the settings that differ."""
    labels: int = 0
    """How many classes its last input, labels, has; 0 if it has none."""
    random: bool = False
    """Whether the forward pass draws a mask, which its output shows: ``mask``, with its factor."""
    apart: float = 0.0
    """How far from 0 every number of x is at least: the distance to a kink."""

    @property
    def is_loss(self) -> bool:
        """Whether its output is a number, whose gradient is 1."""
        return self.labels > 0

    @property
    def asked(self) -> tuple[str, ...]:
        """The gradients that a backward pass must give: those of the inputs that are not labels."""
        names = {"logits": "dlogits"} if self.is_loss else {}
        return tuple(names.get(name, f"d{name}") for name in self.inputs if name != "y")

    def drawn(self, seed: int = 5, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return inputs and the gradients of the outputs, no two numbers alike."""
        rng = np.random.default_rng(seed)
        found: dict[str, Any] = {}
        for name, shape in self.inputs.items():
            if name == "y" and self.labels:
                found[name] = rng.permutation(np.arange(shape[0]) % self.labels)
                continue
            values = rng.normal(size=shape)
            if self.apart:
                values = values + np.where(values > 0, self.apart, -self.apart)
            found[name] = values
        scope = self.scope(found, settings)
        for name in self.outputs:
            made = getattr(scope, name)
            found[f"d{name}"] = 1.0 if self.is_loss else rng.normal(size=np.shape(made))
        return found

    def scope(self, given: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> Scope:
        """Return a scope in which the forward pass has run."""
        scope = Scope(**{**self.settings, **(settings or {}), **given})
        self.forward(scope)
        return scope

    def gradients(
        self,
        given: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
        changes: Mapping[str, Callable[[Any, Any], Any]] | None = None,
    ) -> dict[str, Any]:
        """Return every gradient by name, with some steps changed.

        A change is called with the scope and with what the step would have given.
        """
        scope = self.scope(given, settings)
        found: dict[str, Any] = {}
        for name, step in self.steps.items():
            value = step(scope)
            if changes and name in changes:
                value = changes[name](scope, value)
            setattr(scope, name, value)
            found[name] = value
        return found


def sigmoid(x: Any) -> Any:
    """Return the logistic function, which does not overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def softmax(x: Any) -> Any:
    """Return the softmax along the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def one_hot(y: Any, classes: int) -> Any:
    """Return a row of zeros with a one for each label."""
    return np.eye(classes)[y]


def windows(s: Any) -> list[tuple[int, int, Any]]:
    """Return row, column and slices of each window of a convolution or of a pooling."""
    height, width = s.size
    found = []
    for i in range(s.rows):
        for j in range(s.columns):
            top, left = i * s.stride, j * s.stride
            found.append((i, j, (slice(top, top + height), slice(left, left + width))))
    return found


def _affine(s: Any) -> None:
    s.out = s.x @ (s.W.T if s.transposed else s.W) + s.b


def _softmax_loss(s: Any) -> None:
    s.probs = softmax(s.logits)
    s.n, s.classes = s.logits.shape
    s.count = s.n if s.mean else 1
    s.out = -np.log(s.probs[np.arange(s.n), s.y]).sum() / s.count


def _convolution(s: Any) -> None:
    s.padded = np.pad(s.x, ((0, 0), (0, 0), (s.pad, s.pad), (s.pad, s.pad)))
    s.size = s.w.shape[2:]
    s.rows = (s.padded.shape[2] - s.size[0]) // s.stride + 1
    s.columns = (s.padded.shape[3] - s.size[1]) // s.stride + 1
    s.out = np.zeros((len(s.x), len(s.w), s.rows, s.columns))
    for i, j, (down, across) in windows(s):
        s.out[:, :, i, j] = np.einsum("nchw,fchw->nf", s.padded[:, :, down, across], s.w) + s.b


def unpadded(s: Any, array: Any) -> Any:
    """Return the gradient of the input from that of the padded one."""
    return array[:, :, s.pad : array.shape[2] - s.pad, s.pad : array.shape[3] - s.pad]


def spread(s: Any, onto: Callable[[Any, Any], None], filters: Any = None) -> Any:
    """Return the gradient of the padded input; *onto* adds what one window gives."""
    found = np.zeros_like(s.padded)
    filters = s.w if filters is None else filters
    for i, j, (down, across) in windows(s):
        onto(found[:, :, down, across], np.einsum("nf,fchw->nchw", s.dout[:, :, i, j], filters))
    return found


def add_onto(into: Any, more: Any) -> None:
    """Add, in place."""
    into += more


def put_onto(into: Any, more: Any) -> None:
    """Overwrite, in place."""
    into[...] = more


def _filters(s: Any) -> Any:
    found = np.zeros_like(s.w)
    for i, j, (down, across) in windows(s):
        found += np.einsum("nf,nchw->fchw", s.dout[:, :, i, j], s.padded[:, :, down, across])
    return found


def _pooling(s: Any) -> None:
    s.size = (2, 2)
    s.rows, s.columns = s.x.shape[2] // 2, s.x.shape[3] // 2
    s.out = np.zeros((*s.x.shape[:2], s.rows, s.columns))
    for i, j, (down, across) in windows(s):
        window = s.x[:, :, down, across]
        s.out[:, :, i, j] = window.max(axis=(2, 3)) if s.largest else window.mean(axis=(2, 3))


def pooled(s: Any, share: Callable[[Any, Any], Any]) -> Any:
    """Return the gradient of a pooling's input; *share* says how much of it each entry gets."""
    found = np.zeros_like(s.x)
    for i, j, (down, across) in windows(s):
        above = s.dout[:, :, i, j][:, :, None, None]
        window = s.x[:, :, down, across]
        found[:, :, down, across] += share(window, s.out[:, :, i, j][:, :, None, None]) * above
    return found


def _norm(s: Any) -> None:
    s.mu = s.x.mean(axis=s.axis, keepdims=True)
    s.n = s.x.shape[s.axis]
    s.centred = s.x - s.mu
    s.divisor = s.n - s.lost
    s.var = (s.centred**2).sum(axis=s.axis, keepdims=True) / s.divisor
    s.inverse = 1.0 / np.sqrt(s.var + s.eps)
    s.xhat = s.centred * s.inverse
    s.out = s.gamma * s.xhat + s.beta


_NORM_STEPS: Mapping[str, Step] = {
    "dbeta": lambda s: s.dout.sum(axis=0),
    "dgamma": lambda s: (s.dout * s.xhat).sum(axis=0),
    "dxhat": lambda s: s.dout * s.gamma,
    "dvar": lambda s: (s.dxhat * s.centred).sum(axis=s.axis, keepdims=True) * (-0.5) * s.inverse**3,
    "dmu": lambda s: (
        -(s.dxhat * s.inverse).sum(axis=s.axis, keepdims=True)
        + s.dvar * (-2.0) * s.centred.sum(axis=s.axis, keepdims=True) / s.divisor
    ),
    "dx": lambda s: s.dxhat * s.inverse + s.dvar * 2.0 * s.centred / s.divisor + s.dmu / s.n,
}


def _rnn(s: Any) -> None:
    s.z = s.x @ s.Wx + s.prev_h @ s.Wh + s.b
    s.next_h = np.tanh(s.z)


def _lstm(s: Any) -> None:
    s.a = s.x @ s.Wx + s.prev_h @ s.Wh + s.b
    parts = dict(zip(s.order, np.split(s.a, 4, axis=1), strict=True))
    s.i, s.f, s.o = (sigmoid(parts[name]) for name in "ifo")
    s.g = np.tanh(parts["g"])
    s.next_c = s.f * s.prev_c + s.i * s.g
    s.tc = np.tanh(s.next_c)
    s.next_h = s.o * s.tc


def gates(s: Any, **slopes: Any) -> Any:
    """Return the gradient of the four gates before their activations, side by side."""
    usual = {"i": s.i * (1 - s.i), "f": s.f * (1 - s.f), "o": s.o * (1 - s.o), "g": 1 - s.g**2}
    usual |= slopes
    return np.concatenate([getattr(s, f"d{name}") * usual[name] for name in s.order], axis=1)


def _attention(s: Any) -> None:
    s.n, s.d = s.Q.shape
    s.scale = 1.0 / np.sqrt(s.d) if s.scaled else 1.0
    s.S = s.Q @ s.K.T * s.scale
    if s.causal:
        s.S = np.where(np.tri(s.n, dtype=bool), s.S, -np.inf)
    s.P = softmax(s.S)
    s.out = s.P @ s.V


_KINDS = (
    Layer(
        "affine",
        {"x": (4, 3), "W": (3, 5), "b": (5,)},
        _affine,
        {
            "dx": lambda s: s.dout @ (s.W if s.transposed else s.W.T),
            "dW": lambda s: s.dout.T @ s.x if s.transposed else s.x.T @ s.dout,
            "db": lambda s: s.dout.sum(axis=0),
        },
        settings={"transposed": False},
    ),
    Layer(
        "relu",
        {"x": (4, 5)},
        lambda s: setattr(s, "out", np.maximum(s.x, 0.0)),
        {"dx": lambda s: s.dout * (s.x > 0)},
        apart=0.05,
    ),
    Layer(
        "dropout",
        {"x": (12, 10)},
        lambda s: setattr(s, "out", s.x * s.mask),
        {"dx": lambda s: s.dout * s.mask},
        settings={"p": 0.6, "mask": 1.0, "theirs": np.nan},
        random=True,
        apart=0.05,
    ),
    Layer(
        "tanh",
        {"x": (4, 5)},
        lambda s: setattr(s, "out", np.tanh(s.x)),
        {"dx": lambda s: s.dout * (1.0 - s.out**2)},
    ),
    Layer(
        "sigmoid",
        {"x": (4, 5)},
        lambda s: setattr(s, "out", sigmoid(s.x)),
        {"dx": lambda s: s.dout * s.out * (1.0 - s.out)},
    ),
    Layer(
        "softmax loss",
        {"logits": (6, 4), "y": (6,)},
        _softmax_loss,
        {"dlogits": lambda s: (s.probs - one_hot(s.y, s.classes)) / s.count * s.dout},
        settings={"mean": True},
        variants={"the loss is the sum over the examples, not their mean": {"mean": False}},
        labels=4,
    ),
    Layer(
        "convolution",
        {"x": (2, 2, 4, 5), "w": (3, 2, 3, 3), "b": (3,)},
        _convolution,
        {
            "db": lambda s: s.dout.sum(axis=(0, 2, 3)),
            "dw": _filters,
            "dx": lambda s: unpadded(s, spread(s, add_onto)),
        },
        settings={"stride": 1, "pad": 1},
        variants={"there is no padding": {"pad": 0}},
    ),
    Layer(
        "max pooling",
        {"x": (2, 3, 4, 6)},
        _pooling,
        {"dx": lambda s: pooled(s, lambda window, top: window == top)},
        settings={"largest": True, "stride": 2},
    ),
    Layer(
        "average pooling",
        {"x": (2, 3, 4, 6)},
        _pooling,
        {"dx": lambda s: pooled(s, lambda window, top: np.full(window.shape, 0.25))},
        settings={"largest": False, "stride": 2},
    ),
    Layer(
        "batch norm",
        {"x": (5, 4), "gamma": (4,), "beta": (4,)},
        _norm,
        _NORM_STEPS,
        settings={"axis": 0, "eps": 1e-5, "lost": 0},
        variants={
            "the variance is divided by m - 1": {"lost": 1},
            "epsilon is 1e-8": {"eps": 1e-8},
            "there is no epsilon": {"eps": 0.0},
            "epsilon is 1e-3": {"eps": 1e-3},
            "the variance is divided by m - 1, epsilon is 1e-8": {"lost": 1, "eps": 1e-8},
        },
    ),
    Layer(
        "layer norm",
        {"x": (3, 5), "gamma": (5,), "beta": (5,)},
        _norm,
        _NORM_STEPS,
        settings={"axis": 1, "eps": 1e-5, "lost": 0},
        variants={
            "epsilon is 1e-8": {"eps": 1e-8},
            "epsilon is 1e-6": {"eps": 1e-6},
            "there is no epsilon": {"eps": 0.0},
            "the variance is divided by d - 1": {"lost": 1},
        },
    ),
    Layer(
        "rnn step",
        {"x": (3, 4), "prev_h": (3, 5), "Wx": (4, 5), "Wh": (5, 5), "b": (5,)},
        _rnn,
        {
            "dz": lambda s: s.dnext_h * (1.0 - s.next_h**2),
            "dx": lambda s: s.dz @ s.Wx.T,
            "dprev_h": lambda s: s.dz @ s.Wh.T,
            "dWx": lambda s: s.x.T @ s.dz,
            "dWh": lambda s: s.prev_h.T @ s.dz,
            "db": lambda s: s.dz.sum(axis=0),
        },
        outputs=("next_h",),
    ),
    Layer(
        "lstm step",
        {"x": (3, 4), "prev_h": (3, 2), "prev_c": (3, 2), "Wx": (4, 8), "Wh": (2, 8), "b": (8,)},
        _lstm,
        {
            "do": lambda s: s.dnext_h * s.tc,
            "dtc": lambda s: s.dnext_h * s.o,
            "dc": lambda s: s.dnext_c + s.dtc * (1.0 - s.tc**2),
            "df": lambda s: s.dc * s.prev_c,
            "di": lambda s: s.dc * s.g,
            "dg": lambda s: s.dc * s.i,
            "dprev_c": lambda s: s.dc * s.f,
            "da": gates,
            "dx": lambda s: s.da @ s.Wx.T,
            "dprev_h": lambda s: s.da @ s.Wh.T,
            "dWx": lambda s: s.x.T @ s.da,
            "dWh": lambda s: s.prev_h.T @ s.da,
            "db": lambda s: s.da.sum(axis=0),
        },
        outputs=("next_h", "next_c"),
        settings={"order": "ifog"},
        variants={
            f"the gates stand in the order {', '.join(order)}": {"order": "".join(order)}
            for order in permutations("ifog")
        },
    ),
    Layer(
        "attention",
        {"Q": (4, 3), "K": (4, 3), "V": (4, 3)},
        _attention,
        {
            "dV": lambda s: s.P.T @ s.dout,
            "dP": lambda s: s.dout @ s.V.T,
            "dS": lambda s: s.P * (s.dP - (s.P * s.dP).sum(axis=1, keepdims=True)),
            "dQ": lambda s: s.dS @ s.K * s.scale,
            "dK": lambda s: s.dS.T @ s.Q * s.scale,
        },
        settings={"scaled": True, "causal": False},
        variants={
            "the scores are not divided by sqrt(d)": {"scaled": False},
            "each position sees itself and earlier ones": {"causal": True},
            "each position sees itself and earlier ones, the scores are not divided by sqrt(d)": {
                "causal": True,
                "scaled": False,
            },
        },
    ),
)  # fmt: skip

_NORM_RULES: Mapping[str, str] = {
    "dbeta": "dbeta = sum over the examples of dout",
    "dgamma": "dgamma = sum over the examples of dout xhat",
    "dxhat": "dxhat = dout gamma",
    "dvar": "dvar = sum of dxhat (x - mu) (-1/2) (var + eps)^(-3/2)",
    "dmu": "dmu = -(sum of dxhat) / sqrt(var + eps)",
    "dx": "dx = dxhat / sqrt(var + eps) + dvar 2 (x - mu) / n + dmu / n",
}

RULES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "affine": {"dx": "dx = dout W^T", "dW": "dW = x^T dout", "db": "db = sum of dout's rows"},
        "relu": {"dx": "dx = dout where x > 0, else 0"},
        "dropout": {"dx": "dx = dout times the mask of the forward pass, and its factor"},
        "tanh": {"dx": "dx = dout (1 - out^2), out = tanh(x)"},
        "sigmoid": {"dx": "dx = dout out (1 - out), out = sigmoid(x)"},
        "softmax loss": {
            "dlogits": "dlogits = (p - 1 at the right class) / m, for the mean over m examples"
        },
        "convolution": {
            "db": "db = dout summed over examples and places",
            "dw": "dw = sum over windows of dout times window",
            "dx": "dx = sum over windows of dout times w, the padding cut off",
        },
        "max pooling": {"dx": "dx = dout at the largest entry of each window, else 0"},
        "average pooling": {"dx": "dx = dout / 4 at each entry of a window of four"},
        "rnn step": {
            "dz": "dz = dnext_h (1 - next_h^2)",
            "dx": "dx = dz Wx^T",
            "dprev_h": "dprev_h = dz Wh^T",
            "dWx": "dWx = x^T dz",
            "dWh": "dWh = prev_h^T dz",
            "db": "db = sum of dz's rows",
        },
        "lstm step": {
            "do": "do = dnext_h tanh(next_c)",
            "dtc": "d tanh(c) = dnext_h o",
            "dc": "dc = dnext_c + dnext_h o (1 - tanh(next_c)^2)",
            "df": "df = dc prev_c",
            "di": "di = dc g",
            "dg": "dg = dc i",
            "dprev_c": "dprev_c = dc f",
            "da": "da = (di i(1-i), df f(1-f), do o(1-o), dg (1-g^2)), in the order of the gates",
            "dx": "dx = da Wx^T",
            "dprev_h": "dprev_h = da Wh^T",
            "dWx": "dWx = x^T da",
            "dWh": "dWh = prev_h^T da",
            "db": "db = sum of da's rows",
        },
        "attention": {
            "dV": "dV = P^T dout",
            "dP": "dP = dout V^T",
            "dS": "dS = P (dP - row sums of P dP)",
            "dQ": "dQ = dS K / sqrt(d)",
            "dK": "dK = dS^T Q / sqrt(d)",
        },
        "batch norm": _NORM_RULES,
        "layer norm": _NORM_RULES,
    }
)
"""Each step as a formula."""

KINDS = MappingProxyType({layer.kind: layer for layer in _KINDS})
"""The layers by their kind."""
