"""What the box of a node says: its operation, its value, its gradient, and its tooltips."""

from __future__ import annotations

from collections.abc import Sequence

from ..engine.backend import Value
from ..engine.table import add, add_up, dot_product, subtract
from .text import NOT_COMPUTED, short, visible, with_dust

_NOTICED = 1e-9  # relative to what flows: more than rounding leaves
TOOLTIP = 200  # characters of a label in a tooltip


def name_of(node: Value) -> str:
    """Return the label of *node*, or what made it."""
    return visible(node.label) or visible(node.op) or "a leaf"


def data_of(node: Value) -> str:
    """Return the value of *node*; of a sum whose terms cancel, marked if only rounding is left."""
    operands = [x.data if isinstance(x, Value) else x for x in node.operands]
    if node.primitive in (add, subtract, add_up):
        return with_dust(node.data, max(map(abs, operands)))
    if node.primitive is dot_product:
        n = len(operands) // 2
        terms = [w * x for w, x in zip(operands[:n], operands[n:-1], strict=True)]
        return with_dust(node.data, max(map(abs, [*terms, operands[-1]])))
    return short(node.data)


def grads_of(members: Sequence[Value]) -> dict[Value, str]:
    """Return the gradient of each of *members*, marked if only rounding is left of its sum."""
    largest: dict[Value, float] = dict.fromkeys(members, 0.0)
    for node in members:
        if node.has_grad:
            for parent, partial in zip(node.parents, node.partials, strict=True):
                if parent in largest:
                    largest[parent] = max(largest[parent], abs(partial * node.grad))
    return {
        node: with_dust(node.grad, most) if node.has_grad else NOT_COMPUTED
        for node, most in largest.items()
    }


def more_than_flows(members: Sequence[Value]) -> str:
    """Say which leaves hold more gradient than flows to them here; empty if none does."""
    flows: dict[Value, float] = {}
    sizes: dict[Value, float] = {}
    unknown: set[Value] = set()
    for node in members:
        for parent, partial in zip(node.parents, node.partials, strict=True):
            if not node.has_grad:
                unknown.add(parent)
                continue
            flow = partial * node.grad
            flows[parent] = flows.get(parent, 0.0) + flow
            sizes[parent] = sizes.get(parent, 0.0) + abs(flow)
    more = [
        visible(leaf.label)
        for leaf, flow in flows.items()
        if leaf.primitive is None and leaf.has_grad and leaf not in unknown
        if abs(leaf.grad - flow) > _NOTICED * (sizes[leaf] + abs(leaf.grad))
    ]
    if not more:
        return ""
    names = ", ".join(more[:3]) + (", …" if len(more) > 3 else "")
    if not all(more):
        names = f"{len(more)} leaves" if len(more) > 1 else "a leaf"
    return f"More than flows here is in the gradient of {names}: leaves add up until .grad is 0."


def hint_of(node: Value) -> str:
    """Return what a tooltip says of *node*."""
    lines = [visible(node.op, TOOLTIP), visible(node.label, TOOLTIP)]
    lines.append(f"value {node.data!r}")
    lines.append(f"gradient {node.grad!r}" if node.has_grad else "gradient not yet computed")
    return "\n".join(filter(None, lines))


def flow_of(node: Value, parent: Value, partial: float) -> str:
    """Return what a tooltip says of an edge: its local derivative, and what goes back along it."""
    text = f"local derivative d({name_of(node)})/d({name_of(parent)}) = {partial!r}"
    if not node.has_grad:
        return text
    return f"{text}\nsends back {partial!r} × {node.grad!r} = {partial * node.grad!r}"


def op_of(node: Value, folded: bool) -> str:
    """Return the operation with the constants among its operands: ``** 2``, ``maximum(·, 0)``."""
    op = visible(node.op)
    operands = node.operands
    if node.primitive is dot_product and operands[-1:] == (0.0,):
        operands = operands[:-1]  # the bias that was not given
    if folded or all(isinstance(x, Value) for x in operands):
        return op
    shown = ["·" if isinstance(x, Value) else short(x) for x in operands]
    if len(operands) == 2 and not op.isidentifier():
        left, right = shown
        return f"{op} {right}" if isinstance(operands[0], Value) else f"{left} {op}"
    if len(shown) > 4:
        shown[2:-1] = ["…"]
    return f"{op}({', '.join(shown)})"
