"""The comment at the head of a printed file."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping

from ...plan import Plan
from .shared import Shared, Signature
from .text import WIDTH, comment, count_text, shape_text


def head(shared: Shared, plans: Mapping[str, Plan]) -> str:
    """Return the comment that says what the functions take, and how they are called."""
    signature, name, real = shared.signature, shared.name, shared.precision
    has = bool(signature.parameters)
    size = {"double": 8, "float": 4}[real]
    numbers = sum(shared.sizes.values())
    result = math.prod(signature.result)
    lines = [
        f"{name}: made by chainrule. C99; needs libm alone; allocates nothing.",
        f"Its static arrays take {numbers * size} bytes, beside the constants. They are used "
        "by every call, so calls must not overlap, as in two threads or an interrupt.",
        "",
    ]
    if has:
        lines.append(f"parameters: {count_text(signature.parameters)} in this order")
        lines += [f"    {text}" for text in _parameters(signature)]
    for one, many, (_, _, shape) in zip(
        shared.single, shared.batch, signature.arguments, strict=True
    ):
        several = f"; {many}: m of these, one after another" if "gradient" in plans else ""
        lines.append(f"{one}: {shape_text(shape)}{several}")
    lines.append(f"result: {shape_text(signature.result)}")
    if "gradient" in plans:
        entries = _entries(plans["gradient"])
        mean = (
            "the mean of the results over m examples, m at least 1, and "
            if (shared.single)
            else "the result, and "
        )
        lines.append(
            f"{name}_gradient returns {mean}puts its derivatives by the first {entries} "
            "parameters into gradient, in the same order"
            if entries < len(signature.parameters)
            else f"{name}_gradient returns {mean}puts its derivatives by the parameters into "
            "gradient, in the same order"
        )
    lines += [
        "Arrays have the last index moving fastest. An index into a table that is not a row of it "
        "gives NAN.",
        "",
        "An example of use:",
        f"    {real} result[{result}];",
        f"    {name}_forward({', '.join([*(['parameters'] * has), *shared.single, 'result'])});",
    ]
    if "gradient" in plans:
        given = [*(["parameters"] * has), *(["m"] if shared.single else []), *shared.batch]
        lines += [
            f"    {real} gradient[{max(1, _entries(plans['gradient']))}];",
            f"    {real} mean = {name}_gradient({', '.join([*given, 'gradient'])});",
        ]
    wrapped: list[str] = []
    for line in map(comment, lines):
        if line.startswith("    ") or not line:
            wrapped.append(line)
        else:
            wrapped += textwrap.wrap(line, WIDTH - 3, subsequent_indent="    ")
    body = "\n".join(f" * {line}".rstrip() for line in wrapped)
    return "/*" + body[2:] + "\n */\n"


def _entries(plan: Plan) -> int:
    assert plan.gradient is not None
    return plan.gradient[1] - plan.gradient[0]


def _parameters(signature: Signature) -> list[str]:
    if signature.blocks:
        return [
            f"[{start}] to [{stop - 1}]: {name}, {shape_text(shape)}"
            for name, start, stop, shape in signature.blocks
        ]
    labels = signature.parameters
    found = [f"[{i}]: {label:.60}" for i, label in enumerate(labels) if label]
    return found if len(found) <= 100 else [*found[:99], "..."]
