r"""What is minimised: loss, activations and reduction, as one value.

Everything here that computes a cost or its gradient needs the same four names, so they travel
together, as a :class:`Cost` that has been checked once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from .activations import ACTIVATIONS, checked_name
from .arguments import chosen, whole

Activation: TypeAlias = str | list[str] | tuple[str, ...]
"""One activation for all hidden layers, or one for each of them."""

LOSSES = {
    "logistic": ("sigmoid", "linear"),
    "cross_entropy": ("softmax", "linear"),
    "half_squared_error": ACTIVATIONS,
    "squared_error": ACTIVATIONS,
}
"""Every loss, with the output activations it goes with; the first is the default.

The logistic loss needs a = sigmoid(z) and the cross-entropy a = softmax(z). With ``"linear"`` a
network ends at its logits, a = z, and the loss applies the sigmoid or softmax itself: cost and
delta are the same.
"""

REDUCTIONS = ("mean", "sum")
"""What becomes of the examples' costs; with the sum every 1/m is dropped, the penalty's too."""


@dataclass(frozen=True)
class Cost:
    r"""What the cost of a network is made of: names that are known, and that fit each other.

    J = (1/m) sum_t loss(h_t, y_t) + (lambda / 2m) sum Theta_ji^2, where h is what the network says.
    The arguments mean what they mean in :func:`~chainrule.backprop.cost`, which takes them one by
    one; a ``Cost`` compares by value and can be changed with ``dataclasses.replace``.

    >>> cost = Cost("cross_entropy", activation=["tanh", "relu"])
    >>> cost.output, cost.hidden(2), cost.divisor(m=10)
    ('softmax', ('tanh', 'relu'), 10)
    >>> Cost("logistic", output_activation="tanh")
    Traceback (most recent call last):
        ...
    ValueError: output_activation for loss 'logistic' is 'tanh': expected one of 'sigmoid', 'linear'
    """

    loss: str = "logistic"
    activation: Activation = "sigmoid"
    """That of the hidden layers: one name for all of them, or one for each, as a tuple."""
    output_activation: str | None = None
    """That of the output layer as it was stated; ``output`` is what None stands for."""
    reduction: str = "mean"

    def __post_init__(self) -> None:
        fitting = LOSSES[chosen("loss", self.loss, LOSSES)]
        if self.output_activation is not None:
            checked_name(
                f"output_activation for loss {self.loss!r}", self.output_activation, fitting
            )
        object.__setattr__(self, "activation", checked_activation(self.activation))
        chosen("reduction", self.reduction, REDUCTIONS)

    @property
    def output(self) -> str:
        """The activation of the output layer: the one stated, or the first that fits the loss."""
        return self.output_activation or LOSSES[self.loss][0]

    @property
    def from_logits(self) -> bool:
        """Whether the loss takes logarithms, and so applies the sigmoid or softmax itself."""
        return self.loss in ("logistic", "cross_entropy")

    @property
    def hypothesis(self) -> str:
        """The activation that makes of the last z what the loss compares with y (the notes' h)."""
        return LOSSES[self.loss][0] if self.from_logits else self.output

    def hidden(self, count: int) -> tuple[str, ...]:
        """Return the activation of each of *count* hidden layers; ValueError if they are others."""
        return hidden_activations(self.activation, whole("count", count))

    def divisor(self, m: int) -> int:
        """Return what sums over *m* examples are divided by: m for the mean, else 1."""
        return m if self.reduction == "mean" else 1

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of ``gradients``, ``cost`` and (but for reduction) ``deltas``."""
        return {
            "loss": self.loss,
            "activation": self.activation,
            "output_activation": self.output_activation,
            "reduction": self.reduction,
        }


def checked_activation(activation: Activation) -> str | tuple[str, ...]:
    """Return *activation*, a list of names as a tuple, or raise an error if a name is unknown."""
    if isinstance(activation, (list, tuple)):
        return tuple(checked_name("activation", name, ACTIVATIONS) for name in activation)
    return checked_name("activation", activation, ACTIVATIONS)


def hidden_activations(activation: Activation, count: int) -> tuple[str, ...]:
    """Return the activation of each of *count* hidden layers, or raise an error."""
    names = checked_activation(activation)
    if isinstance(names, str):
        return (names,) * count
    if len(names) != count:
        raise ValueError(
            f"activation names {len(names)} layers: expected {count}, one per hidden layer; "
            "the output layer's is output_activation"
        )
    return names
