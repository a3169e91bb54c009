"""A gallery of pictures: thirteen programs, each as the graph or the network that it is.

Every function here returns a drawing.  Fitted onto a slide of 1280 by 640 pixels all of their text
can be read: a long chain continues in a second row, and what would still be too small is folded.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import chainrule as cr
from chainrule import Value, nn, viz
from chainrule.viz import Theme

Picture = Callable[[Theme], viz.Drawing]
PICTURES: dict[str, Picture] = {}
"""The function of each picture, by its name."""


def picture(function: Picture) -> Picture:
    """Enter *function* in the gallery."""
    PICTURES[function.__name__] = function
    return function


def main(out: Path = Path("chainrule-demo"), theme: Theme = "light") -> None:
    """Write all pictures as SVG, and say what each shows."""
    out.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        draw(theme).save(out / f"{name}.svg")
        print(f"wrote {out / name}.svg: {caption(name)}")


def caption(name: str) -> str:
    """Return what the picture *name* shows, in a sentence."""
    return (PICTURES[name].__doc__ or "").strip()


@picture
def chain(theme: Theme = "light") -> viz.Drawing:
    """A chain of 20 steps, too long for one row, goes on in the next."""
    y = Value(0.5, "x")
    for i in range(20):
        y = cr.tanh(y) if i % 2 else cr.sin(y)
    y.backward()
    return viz.draw(y, title="sin and tanh in turn, 20 times", theme=theme)


@picture
def newton(theme: Theme = "light") -> viz.Drawing:
    """Newton's method: of five equal steps one is drawn, and the others are a box each."""
    a, x = Value(2.0, "a"), Value(1.0, "x0")
    for _ in range(5):
        x = x - (x * x - a) / (2.0 * x)
    x.backward()
    return viz.draw(x, title="Five steps towards the square root of 2", theme=theme)


@picture
def expression(theme: Theme = "light") -> viz.Drawing:
    """An expression of 54 nodes without a pattern, folded into parts that have one output each."""
    w = [Value(0.3 * i - 1.0, f"w{i}") for i in range(6)]
    x = [Value(0.2 * i + 0.1, f"x{i}") for i in range(4)]
    h1 = cr.tanh(w[0] * x[0] + w[1] * x[1] + 0.1)
    h2 = cr.sigmoid(w[2] * x[2] - w[3] * x[3])
    g = h1 * h2 + cr.exp(-x[0] * x[1]) * cr.sin(x[2] + w[4])
    q = (g * g + h1 / (1.0 + h2 * h2)) * w[5] + cr.log(1.0 + cr.exp(g)) - cr.sqrt(x[3] + h2)
    penalty = 0.5 * (w[1] * w[1] + w[2] * w[2] + w[4] * w[4])
    result = cr.tanh(q) * cr.cos(g * w[0]) + cr.maximum(h1, h2) * q - penalty
    result.backward()
    return viz.draw(result, title="A long expression", theme=theme)


@picture
def loss(theme: Theme = "light") -> viz.Drawing:
    """The loss of a 2-2-1 network: the weights stand in the boxes of their dot products."""
    model = nn.MLP(2, [2, 1], activation="tanh", output_activation="sigmoid", seed=1)
    result = cr.square(model.trace([0.5, -1.0]).output - 1.0) / 2.0
    result.label = "loss"
    result.backward()
    title = "Half the squared error of a 2-2-1 network on one example"
    return viz.draw(result, title=title, theme=theme)


@picture
def weights(theme: Theme = "light") -> viz.Drawing:
    """A 2-3-1 network with every weight beside its neuron (fold_weights=False)."""
    model = nn.MLP(2, [3, 1], activation="tanh", seed=3)
    result = (model.trace([0.5, -1.0]).output - 1.0) ** 2
    result.backward()
    title = "The squared error of a 2-3-1 network, with its weights"
    return viz.draw(result, title=title, fold_weights=False, theme=theme)


@picture
def wide_sum(theme: Theme = "light") -> viz.Drawing:
    """A sum of 40 numbers lists them in its box."""
    result = cr.sum([Value(math.sin(i), f"x{i}") for i in range(40)])
    result.backward()
    return viz.draw(result, title="A sum of 40 terms", theme=theme)


@picture
def softmax(theme: Theme = "light") -> viz.Drawing:
    """Softmax and cross-entropy by hand: gradients are probabilities, minus 1 for the target."""
    z = [Value(logit, f"z{i}") for i, logit in enumerate((1.0, 2.0, 0.5), start=1)]
    e = [cr.exp(logit) for logit in z]
    total = e[0] + e[1] + e[2]
    total.label = "total"
    result = -cr.log(e[1] / total)
    result.label = "loss"
    result.backward()
    return viz.draw(result, title="Cross-entropy of a softmax, by hand", theme=theme)


@picture
def batch(theme: Theme = "light") -> viz.Drawing:
    """The four examples of XOR: one is drawn, and the others are a box each."""
    model = nn.MLP(2, [2, 1], activation="tanh", output_activation="sigmoid", seed=1)
    table = [((0.0, 0.0), 0.0), ((0.0, 1.0), 1.0), ((1.0, 0.0), 1.0), ((1.0, 1.0), 0.0)]
    result = cr.mean([cr.square(model(x) - y) for x, y in table])
    result.backward()
    return viz.draw(result, title="The mean squared error on XOR", theme=theme)


@picture
def recurrence(theme: Theme = "light") -> viz.Drawing:
    """Eight steps of a recurrence: each step is a box, and the weights are named where they act."""
    w, u, b = Value(0.5, "w"), Value(-0.3, "u"), Value(0.1, "b")
    h = Value(0.0, "h0")
    for t in range(1, 9):
        h = cr.tanh(w * h + u * Value(math.cos(t), f"x{t}") + b)
    h.backward()
    return viz.draw(h, title="h = tanh(w h + u x + b), eight times", theme=theme)


@picture
def attention(theme: Theme = "light") -> viz.Drawing:
    """An attention head, one query and three keys; what is inside a cr.scope folds into one box."""
    rng = random.Random(1)

    def vector(name: str) -> list[Value]:
        return [Value(rng.gauss(0.0, 1.0), f"{name}{j}") for j in (1, 2)]

    query, keys = vector("q"), [vector(f"k{t}") for t in (1, 2, 3)]
    values = [vector(f"v{t}") for t in (1, 2, 3)]
    with cr.scope("scores"):
        scores = [cr.dot(query, key) / math.sqrt(2.0) for key in keys]
    shares = cr.softmax(scores)
    with cr.scope("weighted sum"):
        out = [cr.dot(shares, [value[j] for value in values]) for j in (0, 1)]
    result = out[0] * out[0] + out[1] * out[1]
    result.backward()
    return viz.draw(result, title="The squared length of an attention head's output", theme=theme)


@picture
def small_network(theme: Theme = "light") -> viz.Drawing:
    """A 2-2-1 network on one example: activations, deltas and every weight."""
    model = nn.MLP(2, [2, 1], activation="tanh", output_activation="sigmoid", seed=1)
    trace = model.trace([0.5, -1.0])
    nn.losses.half_squared_error(trace.output, 1.0).backward()
    return viz.draw_network(model, trace, theme=theme)


@picture
def classifier(theme: Theme = "light") -> viz.Drawing:
    """A 4-8-3 classifier on one example."""
    model = nn.MLP(4, [8, 3], activation="tanh", seed=0)
    trace = model.trace([0.5, -1.0, 2.0, 0.25])
    nn.losses.cross_entropy(trace.output, 1).backward()
    return viz.draw_network(model, trace, theme=theme)


@picture
def digits(theme: Theme = "light") -> viz.Drawing:
    """A 64-32-10 network reads a digit."""
    from chainrule.demos.digits import load

    data = load()
    model = nn.MLP(64, [32, 10], activation="tanh", seed=0)
    trace = model.trace(data.X[0])
    nn.losses.cross_entropy(trace.output, int(data.labels[0])).backward()
    return viz.draw_network(model, trace, theme=theme)


if __name__ == "__main__":
    main()
