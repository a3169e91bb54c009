"""Pieces of C as text: loops, arrays, functions, comments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

WIDTH = 96


def merged(
    extents: Sequence[int], strides: Sequence[Sequence[int]]
) -> list[tuple[int, tuple[int, ...]]]:
    """Return extents with the strides of all operands, as few as can be."""
    found: list[tuple[int, tuple[int, ...]]] = []
    for i, extent in enumerate(extents):
        if extent == 1:
            continue
        here = tuple([s[i] for s in strides])
        if found and found[-1][1] == tuple([s * extent for s in here]):
            found[-1] = found[-1][0] * extent, here
        else:
            found.append((extent, here))
    return found


def index(i: int) -> str:
    """Return the name of a loop's index, the outermost 0."""
    return "ijkl"[i] if i < 4 else f"i{i}"


def offset_of(offset: int, terms: Sequence[tuple[str, int]]) -> str:
    """Return an offset, and indices times their strides, as a sum."""
    found = [name if stride == 1 else f"{stride} * {name}" for name, stride in terms if stride]
    return " + ".join([*([str(offset)] if offset or not found else []), *found])


def times(number: int, count: str) -> str:
    """Return *number* times *count*, which may be a name."""
    if count.isdigit():
        return str(number * int(count))
    return count if number == 1 else f"{number} * {count}"


def room_at(number: int, count: str, index: str) -> str:
    """Return a place in the *number*-th row of *count* numbers."""
    return f"{times(number, count)} + {index}"


def bare(text: str) -> str:
    """Return a constant without the parentheses around it."""
    return text[1:-1] if re.fullmatch(r"\(-[\w.+-]+@?\)", text) else text


def assigned(result: str, value: tuple[list[str], str]) -> list[str]:
    """Return the statements that give *value*, and the assignment."""
    statements, expression = value
    return [*statements, f"{result} = {bare(expression)};"]


def indented(lines: Sequence[str]) -> list[str]:
    """Return *lines*, further in."""
    return ["    " + line for line in lines]


def nested(heads: Sequence[str], lines: list[str]) -> list[str]:
    """Return *lines* in the blocks that *heads* open, the outermost first."""
    for head in reversed(heads):
        lines = [head, *indented(lines), "}"]
    return lines


def array_text(head: str, numbers: Any) -> str:
    """Return an array with its numbers, in one line if they fit."""
    lines: list[list[str]] = [[]]
    room = WIDTH - 12
    for text in numbers:  # textwrap takes five times as long, and there may be millions
        room -= len(text) + 2
        if room < -1 and lines[-1]:
            lines.append([])
            room = WIDTH - 12 - (len(text) + 2)
        lines[-1].append(text)
    texts = [", ".join(line) for line in lines]
    if len(texts) == 1 and len(head) + len(texts[0]) < WIDTH - 12:
        return f"{head} = {{{texts[0]}}};\n"
    body = ",\n    ".join(texts)
    return f"{head} = {{\n    {body}\n}};\n"


def function_text(title: str, name: str, arguments: Sequence[str], body: Sequence[str]) -> str:
    """Return a prototype and the function; *name* is its type and its name, in two lines."""
    last = name.splitlines()[-1]
    text = wrapped(last, arguments)
    first = name.splitlines()[0]
    prototype = wrapped(f"{first} {last}", arguments) + ";"
    return "\n".join([prototype, "", title, first, text, "{", *indented(body), "}", ""])


def wrapped(name: str, arguments: Sequence[str]) -> str:
    """Return the head of a function, in several lines if it is long."""
    lines = [f"{name}({arguments[0]}"]
    for x in arguments[1:]:
        if len(lines[-1]) + len(x) + 3 > WIDTH:
            lines[-1] += ","
            lines.append(f"    {x}")
        else:
            lines[-1] += f", {x}"
    return "\n".join(lines) + ")"


def comment(text: str) -> str:
    """Return any text as one that may stand in a comment."""
    plain = ascii(text)[1:-1]
    for pair in ("*/", "/*", "??"):
        while pair in plain:
            plain = plain.replace(pair, f"{pair[0]} {pair[1]}")
    return plain


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape in words."""
    if not shape:
        return "1 number"
    if len(shape) == 1:
        return f"{shape[0]} number" + "s" * (shape[0] != 1)
    return " x ".join(map(str, shape)) + " numbers"


def count_text(things: Sequence[Any]) -> str:
    """Return how many numbers there are, in words."""
    return shape_text((len(things),))
