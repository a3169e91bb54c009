"""Pages to play with: ``explore`` shows a graph, ``explore_network`` a network that learns.

``data`` collects the graph as plain data and its places, ``page`` writes one HTML
file, and the JavaScript beside them calculates and shows it: ``rows.js`` is printed from the table,
``graph.js`` runs the sweeps, ``explorer.js`` is the state, ``network.js`` the algorithm of the
course notes, ``words.js`` and ``quiz.js`` say what happens, and what is left touches the page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...engine.backend import Value
from ..circuit import check_root, circuit_of
from ..drawing import Drawing
from ..network import HasThetas, network_of
from ..text import check_limit, checked_title
from .data import graph_data, whole_graph
from .network import network_data
from .page import Page
from .views import views_of

__all__ = ["Page", "explore", "explore_network"]

_HEIGHT = 1150  # of the frame in a notebook, in pixels: the picture and the first panels

_MOST = 5000  # nodes of a page, every one of which is computed anew at each change


def explore(root: Value, *, title: str | None = None, limit: int = 300) -> Page:
    """Return a page on which the graph of *root* can be played with.

    The page is one HTML file.  On it you step forward through the values and backward through the
    gradients, change a leaf and see everything else follow, nudge a leaf and compare the change
    with its gradient, point at a node and see the paths that make up its gradient, take steps of
    gradient descent, let tangents flow instead, and answer questions.

    >>> import chainrule as cr
    >>> w, x, b = cr.Value(-3.0, "w"), cr.Value(2.0, "x"), cr.Value(6.88, "b")
    >>> page = explore(cr.tanh(w * x + b))
    >>> page.save("neuron.html")            # doctest: +SKIP

    In a notebook it is shown in a frame.  It needs no server and makes no request.  Its numbers are
    the engine's, up to the last places of functions such as exp.  A leaf on which an operation of
    your own depends cannot be changed, since the page has no formula for it.

    More than *limit* nodes are folded, as in a drawing; a click on a fold opens it.  TypeError if
    *root* is not a Value; ValueError for more than 5,000 nodes.
    """
    check_root("explore", root)
    check_limit("explore: limit", limit)
    if title is not None:
        checked_title("explore: title", title)
    drawn = circuit_of(root, depth=0, title=title)
    members = whole_graph(root)
    if len(members) > _MOST:
        raise ValueError(
            f"explore: {len(members):,} nodes, more than {_MOST:,}, are too many for a page: "
            "explore one node inside with viz.explore(node)"
        )
    views = views_of(root, drawn.title, most=limit)
    data = {**graph_data(root), "views": views}
    still = circuit_of(root, title=title, limit=len(members))
    return Page(drawn.title, "graph", data, height=_HEIGHT, picture=Drawing(still))


def explore_network(
    model: HasThetas, X: Any, Y: Any, *, loss: str | Callable[..., Any], title: str | None = None
) -> Page:
    """Return a page on which *model* can be looked into and trained.

    *X* has a row for each example, *Y* its targets as *loss* takes them: one of ``"logistic"``,
    ``"cross_entropy"``, ``"squared_error"``, ``"half_squared_error"`` and ``"hinge"``, by name or
    from ``nn.losses``.  You choose an example and see the activation a and delta of every unit; of
    a unit that you choose, the formulas of z, a, delta (B5 of the course notes) and the gradients
    with this network's numbers.  You train a step, an epoch, or let it run, and watch the mean cost
    fall and, if there are two inputs, the boundary bend.  A network with a layer of more than 12
    units is shown as its matrices.

    >>> from chainrule import nn
    >>> model = nn.MLP(2, [4, 1], activation="tanh", seed=0)
    >>> explore_network(model, [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], loss="logistic")
    <Page: Network of 2 - 4 - 1 units>

    The model itself is not changed.  TypeError or ValueError if model, X, Y and loss do not fit
    together.
    """
    data = network_data(model, X, Y, loss)
    if title is not None:
        checked_title("explore_network: title", title)
    drawn = network_of(model, title=title)
    return Page(drawn.title, "network", data, height=_HEIGHT, picture=Drawing(drawn))
