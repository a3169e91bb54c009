"""Pictures and formulas of graphs: ``draw``, ``draw_network``, ``latex``.

A graph of Values or a model becomes plain data (:class:`Circuit`, :class:`Network`), the data
becomes DOT text, the text becomes an SVG, and that a PNG or a PDF on request.  Only the SVG of a
graph needs Graphviz, which most platforms install along with this package; nothing of it is
imported until you ask for a drawing.

>>> import chainrule as cr
>>> from chainrule import viz
>>> w, x, b = cr.Value(-3.0, "w"), cr.Value(2.0, "x"), cr.Value(6.88, "b")
>>> out = cr.tanh(w * x + b)
>>> out.backward()
>>> viz.draw(out).save("neuron.svg")        # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any

from ..engine.backend import Value
from .circuit import Circuit, circuit_of
from .drawing import Drawing
from .explore import Page, explore, explore_network
from .formulas import derivative_table, latex, latex_partials
from .layout import GraphvizError
from .network import Network, network_of
from .theme import Theme

__all__ = [
    "Circuit",
    "Drawing",
    "GraphvizError",
    "Network",
    "Page",
    "derivative_table",
    "draw",
    "draw_network",
    "explore",
    "explore_network",
    "latex",
    "latex_partials",
]


def draw(
    root: Value,
    *,
    depth: int | None = None,
    fold_weights: bool = True,
    limit: int = 200,
    title: str | None = None,
    theme: Theme = "light",
) -> Drawing:
    """Return a drawing of the graph that computed *root*.

    Each node shows its operation or its label, its value (green, above) and the gradient that the
    last backward pass left in it (red, below; ``–`` if there was none); each edge shows the local
    derivative.  Numbers have four significant digits; the tooltips show all of them.  What rounding
    left of a sum that cancels is marked as such: ``5.551e-17 ≈ 0``.

    >>> import chainrule as cr
    >>> x, y, z = cr.Value(-2.0, "x"), cr.Value(5.0, "y"), cr.Value(-4.0, "z")
    >>> f = (x + y) * z
    >>> f.backward()
    >>> [(n.op or n.label, n.data, n.grad) for n in draw(f).diagram.nodes]
    [('x', '-2', '-4'), ('y', '5', '-4'), ('z', '-4', '3'), ('+', '3', '-4'), ('*', '-12', '1')]

    *depth* limits the drawing to that many steps back from *root*.  Weights and biases of ``dot``
    nodes are drawn inside them, unless they are used elsewhere too or *fold_weights* is False.
    ValueError for more than *limit* nodes.  *theme* is ``"light"``, ``"dark"``, or ``"auto"`` for
    pictures on web pages that follow the reader's system.  The drawing is a snapshot: draw again
    after ``backward``.
    """
    circuit = circuit_of(root, depth=depth, fold_weights=fold_weights, limit=limit, title=title)
    return Drawing(circuit, theme)


def draw_network(
    model: Any, trace: Any = None, *, title: str | None = None, theme: Theme = "light"
) -> Drawing:
    """Return a drawing of *model* as course notes draw networks: layers, units and weights.

    An edge has the colour of its weight's sign, and is thicker for a larger weight.  With the
    *trace* that ``model.trace(x)`` returned, each unit shows its activation a_j^(l) and, after a
    backward pass, its delta_j^(l) = d loss / d z_j^(l).  Layers of more than ten units are
    shortened.

    >>> from chainrule.nn import MLP
    >>> model = MLP(3, [4, 2], activation="tanh", seed=0)
    >>> trace = model.trace([0.5, -1.0, 2.0])
    >>> (trace.output[0] ** 2 + trace.output[1] ** 2).backward()
    >>> draw_network(model, trace)
    <Drawing: Network of 3 - 4 - 2 units>

    This does not need Graphviz.  Units are counted from 1, as in the notes; tooltips say how the
    code counts them.
    """
    return Drawing(network_of(model, trace, title=title), theme)
