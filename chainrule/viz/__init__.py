"""Pictures and formulas of graphs: ``draw``, ``draw_network``, ``latex``.

A graph of Values or a model becomes plain data (:class:`Circuit`, :class:`Network`), the data
is laid out and becomes an SVG, and that a PNG or a PDF on request; or it becomes DOT text for other
programs.  Nothing heavy is imported until you ask for it.

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
from .circuit import LIMIT, Circuit
from .drawing import Drawing
from .explore import Page, explore, explore_network
from .fitting import Unfold, fitted
from .formulas import derivative_table, latex, latex_partials
from .layered import Direction
from .matrices import Matrices, matrices_of
from .network import MOST_UNITS, HasThetas, Network, checked_model, network_of
from .theme import Theme, checked_theme

__all__ = [
    "Circuit",
    "Drawing",
    "Matrices",
    "Network",
    "Page",
    "Theme",
    "derivative_table",
    "draw",
    "draw_network",
    "explore",
    "explore_network",
    "latex",
    "latex_partials",
]


def __dir__() -> list[str]:
    """Return what is public, and not what this module is made with."""
    return sorted(__all__)


def draw(
    root: Value,
    *,
    depth: int | None = None,
    fold_weights: bool = True,
    limit: int = LIMIT,
    title: str | None = None,
    theme: Theme = "light",
    direction: Direction = "right",
    unfold: Unfold = False,
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

    A drawing can be read on a slide: fitted into 1280 by 640 pixels, no text is smaller than 11
    pixels.  A long chain goes on in a second row, with the names of leaves where their lines would
    be long; what is still too much is folded into boxes: blocks in a ``cr.scope``, steps of a loop,
    terms of a batch, layers, or parts that have one output.  A line below says what is folded.
    ``unfold=True`` draws every node, however small, and ``unfold="step 3"``, or a list of such
    names, opens these boxes.  The derivative on an edge into a box is that of the whole box.

    >>> x = Value(1.0, "x")
    >>> for _ in range(8):
    ...     x = x - (x * x - 2.0) / (2.0 * x)
    >>> [node.op for node in draw(x).diagram.nodes if node.folded]
    ['step 2', 'step 3', 'step 4', 'step 5', 'step 6', 'step 7', 'step 8']
    >>> len(draw(x, unfold=True).diagram.nodes)
    41

    *direction* is ``"right"`` or ``"down"``.

    *depth* limits the drawing to that many steps back from *root*.  Weights and biases of ``dot``
    nodes are drawn inside them, unless they are used elsewhere too or *fold_weights* is False.
    ValueError for more than *limit* nodes: to find what folds takes a second or two for 2,000, and
    longer than in proportion for more.  *theme* is ``"light"``, ``"dark"``, or ``"auto"`` for
    pictures on web pages that follow the reader's system.  The drawing is a snapshot: draw again
    after ``backward``.
    """
    checked_theme("draw", theme)
    circuit, layout = fitted(
        root,
        unfold=unfold,
        direction=direction,
        depth=depth,
        fold_weights=fold_weights,
        limit=limit,
        title=title,
    )
    return Drawing(circuit, theme, layout)


def draw_network(
    model: HasThetas,
    trace: Any = None,
    *,
    target: Any = None,
    title: str | None = None,
    theme: Theme = "light",
) -> Drawing:
    """Return a drawing of *model* as course notes draw networks: layers, units and weights.

    An edge has the colour of its weight's sign, and is thicker for a larger weight.  With the
    *trace* that ``model.trace(x)`` returned, each unit shows its activation a_j^(l) and, after a
    backward pass, its delta_j^(l) = d loss / d z_j^(l).  The largest output is marked as the
    prediction.  *target* is a class or the outputs that were wanted; after a backward pass of a
    cross-entropy or logistic loss it is known from the deltas, p - y, and so are the probabilities
    p.

    A network with a layer of more than nine units, or ten without a trace, is drawn as its
    matrices: a cell for each weight, activation and delta.

    >>> from chainrule.nn import MLP
    >>> model = MLP(3, [4, 2], activation="tanh", seed=0)
    >>> trace = model.trace([0.5, -1.0, 2.0])
    >>> (trace.output[0] ** 2 + trace.output[1] ** 2).backward()
    >>> draw_network(model, trace)
    <Drawing: Network of 3 - 4 - 2 units>

    Units are counted from 1, as in the notes; tooltips say how the
    code counts them.
    """
    checked_theme("draw_network", theme)
    _, sizes = checked_model(model, trace)
    if max(sizes) > MOST_UNITS[trace is not None]:
        return Drawing(matrices_of(model, trace, target=target, title=title), theme)
    return Drawing(network_of(model, trace, target=target, title=title), theme)
