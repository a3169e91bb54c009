"""What the two classes of Values show, and how it is compared: for tests of the one in C."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import strategies as st

from chainrule.engine import sweeps, value
from chainrule.engine.native import core as native

if native is None:
    pytest.skip("the native core is not built, or switched off", allow_module_level=True)

BACKENDS = (value.Value, native.Value)
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, math.inf, -math.inf, math.nan, 5e-324, 1e-200, 1e308]
numbers = st.one_of(st.sampled_from(SPECIAL), st.floats(-30.0, 30.0), st.floats())


def bits(x: float) -> object:
    return "nan" if x != x else struct.pack("<d", x)


def named(operand: object, number: dict[int, int]) -> object:
    if type(operand) is float:
        return bits(operand)
    # one that is no parent need not be among the nodes
    return number.get(id(operand), ("unlinked", bits(operand.data)))


def picture(nodes: list) -> list:
    """All that can be seen of *nodes*, with parents named by where they stand among all nodes."""
    order = sweeps.topological_order(nodes)
    number = {id(node): i for i, node in enumerate(order)}
    return [
        (
            bits(node.data),
            bits(node.grad),
            node.has_grad,
            node.op,
            node.label,
            repr(node),
            [number[id(parent)] for parent in node.parents],
            [bits(partial) for partial in node.partials],
            [named(x, number) for x in node.operands],
            node.primitive,
        )
        for node in order
    ]


def outcome(function):
    try:
        result = function()
    except Exception as error:
        return type(error), str(error)
    return repr(result)
