"""What two processes tell each other: a few words as JSON, and arrays as their bytes.

Each message begins with a secret that both sides know, so that what somebody else writes into the
channel is not taken for one. Nothing is unpickled, and nothing is believed: an array is as long as
the bytes that come for it, and of no type but plain numbers.
"""

from __future__ import annotations

import json
import math
from typing import Any, BinaryIO

import numpy as np

from .results import DEEPEST, MOST_ARRAYS, MOST_ENTRIES, Tree

SECRET = 32
"""How many bytes of a secret go before each message."""
_LENGTH = 8
_MOST_WORDS = 1 << 20
_TYPES = {
    np.dtype(name).str for name in ("?", "b", "B", "h", "H", "i", "I", "q", "Q", "e", "f", "d")
}

# Bound here, before a submission can put something else in their place.
_written = json.JSONEncoder().encode
_read = json.JSONDecoder().decode


class NotAMessage(Exception):  # noqa: N818 (it is the end of a stream more often than an error)
    """What was read is not a message."""


class NoMessage(NotAMessage):
    """The stream has ended."""


def write(stream: BinaryIO, secret: bytes, words: dict[str, Any], tree: Tree | None) -> None:
    """Write a message: *words* that JSON knows, and arrays of numbers in nested lists."""
    blocks: list[bytes] = []

    def plan(part: Tree) -> Any:
        if isinstance(part, list):
            return [plan(item) for item in part]
        if part.dtype.str not in _TYPES:  # longdouble, and what is not in this machine's order
            part = part.astype(np.float64)
        blocks.append(part.tobytes())
        return {"dtype": part.dtype.str, "shape": part.shape}

    head = _written({"words": words, "tree": None if tree is None else plan(tree)}).encode()
    stream.write(secret + len(head).to_bytes(_LENGTH, "big") + head)
    stream.writelines(blocks)
    stream.flush()


def read(stream: BinaryIO, secret: bytes) -> tuple[dict[str, Any], Tree | None]:
    """Read what :func:`write` wrote; ``NotAMessage`` if it is anything else."""
    begin = stream.read(SECRET)
    if not begin:
        raise NoMessage
    if begin != secret:
        raise NotAMessage("it does not begin as one")
    length = int.from_bytes(_exactly(stream, _LENGTH), "big")
    if length > _MOST_WORDS:
        raise NotAMessage(f"{length} bytes of words")
    try:
        head = _read(_exactly(stream, length).decode())
        words, plan = dict(head["words"]), head["tree"]
        left = [MOST_ARRAYS, MOST_ENTRIES]
        return words, None if plan is None else _grown(stream, plan, DEEPEST + 1, left)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise NotAMessage(str(error)) from error


def _grown(stream: BinaryIO, plan: Any, depth: int, left: list[int]) -> Tree:
    if isinstance(plan, list) and depth > 0:
        return [_grown(stream, item, depth - 1, left) for item in plan]
    kind, shape = plan["dtype"], tuple(plan["shape"])
    if kind not in _TYPES or not all(type(n) is int and 0 <= n <= MOST_ENTRIES for n in shape):
        raise ValueError(f"an array of {kind!r:.20} and {shape!r:.80}")
    size = math.prod(shape)
    left[0] -= 1
    left[1] -= size
    if min(left) < 0 or len(shape) > 32:
        raise ValueError("more than a result may hold")
    content = _exactly(stream, size * np.dtype(kind).itemsize)
    return np.frombuffer(content, dtype=kind).reshape(shape)


def _exactly(stream: BinaryIO, length: int) -> bytes:
    content = stream.read(length)
    if len(content) != length:
        raise NoMessage("it ends too early")
    return content
