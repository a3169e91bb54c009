"""What is known of a gradient before anything is named: where it is off, and what that excludes.

With one example and no penalty a gradient is delta a^T. As a_0 is 1, column 0 is a delta, and the
other columns are the same delta times the activations: where they contradict each other, the
gradient of the biases or the product is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..problem import Array, Problem
from ..text import number, short
from .worked import symbol

NEARLY = 1e-2
"""Up to which difference a block is said to agree: rounded, or differences of the cost."""


@dataclass(frozen=True)
class Block:
    """A layer's weights, or its biases, beside the right ones."""

    layer: int
    """The index of the Theta."""
    part: str
    """"weights" or "biases"."""
    off: float
    """How far it is off, relative to the terms that are summed in its layer."""
    right: bool
    ratio: float | None = None
    """The factor that makes the right ones yours, if one does."""
    of_data: bool = False
    """Whether the factor is that of the examples' part alone, the penalty being right."""

    @property
    def name(self) -> str:
        """The block in words."""
        return f"the {self.part} of {symbol('Θ', self.layer + 1)}"

    def says(self) -> str | None:
        """Say in which way it is wrong, if that can be said."""
        name = self.name[0].upper() + self.name[1:]
        if self.ratio is not None:
            right = "right ones, but for the penalty" if self.of_data else "right ones"
            return f"{name} are {number(self.ratio)} times the {right}."
        if self.off < NEARLY:
            return (
                f"{name} agree to {short(self.off)}: they are rounded, or differences of the cost "
                "with a large step."
            )
        return None


@dataclass(frozen=True, eq=False)
class Evidence:
    """A gradient beside the right one, with a tolerance relative to the terms that are summed."""

    problem: Problem
    gradients: Sequence[Array]
    tolerance: float
    expected: Sequence[Array] = field(default=())
    """What it is compared with: the right one, or what a mistake that is known makes of it."""
    instead: str = "right"
    """What *expected* is."""

    def right(self, layer: int) -> Array:
        """What is expected of a layer."""
        return self.expected[layer] if self.expected else self.problem.truth.D[layer]

    def off(self, layer: int) -> Array:
        """How far each entry is off, relative to the terms that are summed in its layer."""
        scale = self.problem.scales[layer] or 1.0
        off: Array = np.abs(self.gradients[layer] - self.right(layer)) / scale
        return off

    def wrong(self, layer: int) -> NDArray[np.bool_]:
        """Which entries are wrong; a nan is."""
        wrong: NDArray[np.bool_] = ~(self.off(layer) <= self.tolerance)
        return wrong

    def worst(self, layer: int) -> tuple[int, int]:
        """The unit and the column of the entry that is furthest off."""
        off = self.off(layer)
        unit, column = np.unravel_index(int(np.argmax(off)), off.shape)
        return int(unit), int(column)

    def wrong_layers(self) -> list[int]:
        """L of each Theta^(l) whose gradient is wrong, from the output."""
        layers = reversed(range(len(self.problem.thetas)))
        return [layer + 1 for layer in layers if self.wrong(layer).any()]

    def wrong_entries(self) -> Iterator[tuple[int, int, int]]:
        """L, row and column of each wrong entry."""
        for layer in range(len(self.problem.thetas)):
            for unit, column in np.argwhere(self.wrong(layer)).tolist():
                yield layer + 1, unit, column

    def entry_for(self, code: str, made_in: tuple[int, ...]) -> tuple[int, int, int]:
        """Return the entry at which to show a mistake: where its formula acts, and furthest off.

        *made_in* has the indices of the Thetas that it is made in, if it is not all of them.
        """
        layers: Sequence[int] = made_in or range(self.problem.last + 1)
        if not made_in and code.startswith("hidden.") and self.problem.last:
            layers = range(self.problem.last)
        wrong = [layer for layer in layers if self.wrong(layer).any()]
        chosen = max(wrong or layers)
        unit, column = self.worst(chosen)
        if code.startswith("bias.") or code in ("penalty.on-bias", "penalty.ones-in-bias"):
            return chosen, int(np.argmax(self.off(chosen)[:, 0])), 0
        off = self.off(chosen)[:, 1:]
        if code.startswith("penalty.") and (off > self.tolerance).any():
            # The biases have no penalty, and may be off for another reason.
            row, weight = np.unravel_index(int(np.argmax(off)), off.shape)
            return chosen, int(row), int(weight) + 1
        return chosen, unit, column

    def two_numbers(self, layer: int, unit: int, column: int) -> str:
        """Return an entry as it is and as it should be."""
        entry = symbol("D", layer + 1, unit + 1, column)
        yours = number(float(self.gradients[layer][unit, column]))
        right = number(float(self.right(layer)[unit, column]))
        return f"yours: {entry} = {yours}; {self.instead}: {right}"

    def blocks(self) -> list[Block]:
        """Return the weights and the biases of each layer, from the output."""
        return [
            self._block(layer, part)
            for layer in reversed(range(self.problem.last + 1))
            for part in ("weights", "biases")
        ]

    def _block(self, layer: int, part: str) -> Block:
        columns = slice(1, None) if part == "weights" else slice(0, 1)
        scale = self.problem.scales[layer] or 1.0
        yours, right = self.gradients[layer][:, columns], self.right(layer)[:, columns]
        off = float(np.abs(yours - right).max()) / scale
        if off <= self.tolerance:
            return Block(layer, part, off, right=True)
        decay = self.problem.truth.D[layer] - self.problem.truth.Delta[layer] / self.problem.divisor
        for penalty in (np.zeros_like(right), decay[:, columns]):
            ratio = _ratio(yours - penalty, right - penalty, self.tolerance * scale)
            if ratio is not None:
                return Block(layer, part, off, False, ratio, bool(penalty.any()))
        return Block(layer, part, off, right=False)

    def by_blocks(self) -> list[str]:
        """Say of which layers the weights or the biases are wrong, and how, from the output."""
        blocks = self.blocks()
        says = [block.says() for block in blocks if not block.right]
        found = [line for line in says if line]
        if None in says and not self.columns():
            wrong = [block for block in blocks if not block.right and not block.says()]
            found.append(f"Wrong, and by no constant factor: {_named(wrong)}.")
            right = [block for block in blocks if block.right]
            if right and self.instead == "right":
                found.append(f"Right: {_named(right)}.")
        return found

    def columns(self) -> str:
        """Say whether the biases alone are wrong, or the weights alone."""
        wrong = {column > 0 for _, _, column in self.wrong_entries()}
        if wrong == {False}:
            return "Only the gradient of the biases, column 0, is wrong."
        if wrong == {True}:
            return (
                "Column 0 is right in every layer. It adds up the deltas and has no penalty. So "
                "the activations that the deltas are multiplied by are wrong, or the penalty."
            )
        return ""

    def deltas_of(self, example: int) -> tuple[list[str], bool]:
        """Say which deltas are right, and whether all are; the problem is one *example* alone."""
        lines: list[str] = []
        alone = f"With example {example + 1} alone and lambda = 0"
        for layer in reversed(range(self.problem.last + 1)):
            D, true = self.gradients[layer], self.problem.truth.D[layer]
            a, wrong = self.problem.truth.a[layer][0], self.wrong(layer)
            biases, weights = not wrong[:, 0].any(), not wrong[:, 1:].any()
            delta = symbol("δ", layer + 2)
            if biases and weights:
                lines.append(f"{alone} your {delta} is right.")
                continue
            if weights and np.abs(a).max() > 0:
                unit = int(np.argmax(np.abs(D - true)[:, 0]))
                lines.append(
                    f"{alone} your {delta} is right, for the gradient of the weights is; that of "
                    f"the biases is not: {self._entry(layer, unit, 0)}"
                )
                continue
            if biases:
                unit, column = divmod(int(np.argmax(np.abs(D - true))), D.shape[1])
                lines.append(
                    f"{alone} your {delta} is right, for the gradient of the biases is; its "
                    f"product with the activations is not: {self._entry(layer, unit, column)}"
                )
                continue
            unit = int(np.argmax(np.abs(D - true)[:, 0]))
            size = np.abs(D).max()
            yours, right = number(float(D[unit, 0])), number(float(true[unit, 0]))
            one = symbol("δ", layer + 2, unit + 1)
            if np.abs(D[:, 1:] - np.outer(D[:, 0], a)).max() <= self.tolerance * size:
                lines.append(f"{alone} your {one} is {yours}; right is {right}.")
            else:
                lines.append(
                    f"{alone} your gradient by {symbol('Θ', layer + 1)} is not a delta times the "
                    f"activations: column 0 has {yours} where {one} = {right} belongs, and the "
                    "other columns are not that times the activations."
                )
            return lines, False
        return lines, True

    def _entry(self, layer: int, unit: int, column: int) -> str:
        entry = symbol("D", layer + 1, unit + 1, column)
        yours = number(float(self.gradients[layer][unit, column]))
        right = number(float(self.problem.truth.D[layer][unit, column]))
        return f"{entry} is {yours}; right is {right}."


def _named(blocks: Sequence[Block]) -> str:
    """Name blocks in words: what is said of several layers once."""
    parts: dict[int, list[str]] = {}
    for block in blocks:
        parts.setdefault(block.layer, []).append(block.part)
    layers: dict[str, list[str]] = {}
    for layer, both in parts.items():
        layers.setdefault(" and ".join(both), []).append(symbol("Θ", layer + 1))
    return "; ".join(f"{both} of {' and '.join(where)}" for both, where in layers.items())


def _ratio(yours: Array, right: Array, most: float) -> float | None:
    """Return the factor between two blocks of two entries or more, if there is one."""
    length = float(np.sum(right * right))
    if yours.size < 2 or not length:
        return None
    ratio = float(np.sum(yours * right)) / length
    off = float(np.abs(yours - ratio * right).max())
    return ratio if off <= most * max(1.0, abs(ratio)) and abs(ratio) > 1e-9 else None
