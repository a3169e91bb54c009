"""Matrix products as text, whatever a library calls the exchange of axes and a change of shape."""

from __future__ import annotations

from typing import Protocol

from ..program import Operation
from .rows import ATOM, PRODUCT


class Writer(Protocol):
    """What a product needs to be told by the printer that writes it."""

    def operand(self, x: int | float, binding: int = 0) -> tuple[str, int]:
        """Return the text of an operand, in parentheses if it binds less tightly."""

    def exchanged(self, x: int | float) -> str:
        """Return operand *x* with its last two axes exchanged."""

    def merged(self, x: int | float) -> str:
        """Return operand *x* with all axes but the last merged into one."""

    def reshaped(self, text: str, binds: int, operation: Operation) -> str:
        """Return the array that *text* gives, in the shape of *operation*."""


def product(writer: Writer, operation: Operation, left: Operation) -> tuple[str, int]:
    """Return a product of matrices, *left* being what gives the first, and how tightly it binds.

    A product with holes is a call of ``linked_product``.
    """
    first, second, *mask = operation.args
    exchange_first, exchange_second, stacked = operation.detail
    loose = 0 if mask else PRODUCT  # arguments of a function need no parentheses
    right = writer.operand(second, loose and loose + 1)[0]
    lefts = [writer.operand(x, loose)[0] for x in (first, *mask)]
    flat = not stacked and not exchange_first and len(left.shape) + left.batched > 2
    if exchange_first and stacked:
        lefts = [writer.exchanged(x) for x in (first, *mask)]
    elif exchange_first:
        lefts = [f"{writer.merged(x)}.T" for x in (first, *mask)]
        right = writer.merged(second)
    elif flat:
        lefts = [writer.merged(x) for x in (first, *mask)]
    if exchange_second:
        right = writer.exchanged(second) if stacked else f"{writer.operand(second, ATOM)[0]}.T"
    if mask:
        text, binds = f"linked_product({lefts[0]}, {right}, {lefts[1]})", ATOM
    else:
        text, binds = f"{lefts[0]} @ {right}", PRODUCT
    return (writer.reshaped(text, binds, operation), ATOM) if flat else (text, binds)
