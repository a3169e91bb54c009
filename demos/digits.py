"""A 64-32-10 network learns to read real handwriting, every gradient from the scalar graph.

The data are the 1,797 digits of ``data/README.md``.  A neuron is one ``dot`` node and one ``tanh``
node, and the loss of a digit is one graph, which ``cr.compile`` turns into matrix products over a
mini-batch: ``loss.backward(X, labels)`` is all there is to the gradient.  At the end the gradient
of a batch, from one graph of scalars, is compared with two others that do not use the graph: the
deltas in closed form (:mod:`chainrule.backprop`), and finite differences.
"""

from __future__ import annotations

import contextlib
import gzip
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import backprop, nn, viz
from chainrule.checking.gradients.differences import slopes
from chainrule.demos._figures import COLOURS, Colours, Theme, check_matplotlib, figure

Array = np.ndarray[Any, Any]

WIDTHS, ACTIVATION = [32, 10], "tanh"
HELD_OUT = 360
BATCH, RATE, MOMENTUM = 16, 0.1, 0.9
EPOCHS = 6
SHARED_RATE, SHARED_EPOCHS = 0.5, 200
"""With workers, each step goes over all digits, as a batch of 16 is not worth sharing."""
COMPARED = 16
"""Held-out digits in the batch whose gradients are compared."""
SAMPLED = 20
"""The number of parameters whose derivative is also taken by finite differences."""


def main(
    out: Path = Path("chainrule-demo"),
    epochs: int | None = None,
    seed: int = 0,
    quiet: bool = False,
    theme: Theme = "light",
    workers: int = 1,
) -> None:
    """Train, compare the gradients, draw, and report the results.

    With more than one of *workers*, so many processes share each step, which goes over all digits.
    """
    check_matplotlib()
    if epochs is None:
        epochs = EPOCHS if workers == 1 else SHARED_EPOCHS
    out.mkdir(parents=True, exist_ok=True)  # or fail now rather than after the training
    rng = np.random.default_rng(seed)
    training, held_out = split(load(), rng)
    model = nn.MLP(64, WIDTHS, activation=ACTIVATION, seed=rng)
    history, written = History(), list[Path]()
    if not quiet:
        print(f"{model}: {len(model.parameters()):,} parameters")
        print(f"{len(training):,} digits to learn from, {len(held_out)} held out", flush=True)
    try:
        with processes(workers) as pool:
            train(model, training, held_out, epochs, rng, history, quiet, pool)
        read = predict(model, held_out.X)
        wrong = int(np.sum(read != held_out.labels))
        print(f"accuracy on held-out digits: {1 - wrong / HELD_OUT:.1%}", end="")
        print(f" ({wrong} of {HELD_OUT} wrong)")
        compare(model, held_out[:COMPARED], rng)
        for path, shows in draw(out, model, history, held_out, read, theme):
            written.append(path)
            print(f"wrote {path}: {shows}")
    except KeyboardInterrupt:
        if rewriting(quiet):
            print()
        finished = f"{len(history.accuracies)} of {epochs} epochs"
        if history.accuracies:
            finished += f" (held-out accuracy {history.accuracies[-1]:.1%})"
        files = ", ".join(map(str, written)) or "nothing"
        raise KeyboardInterrupt(f"interrupted after {finished}; written: {files}") from None


# --- data ----------------------------------------------------------------------------------------


@dataclass
class Digits:
    """Pixels between 0 and 1, shape (m, 64), and the digit that each row shows."""

    X: Array
    labels: Array

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> Digits:
        return Digits(self.X[rows], self.labels[rows])


def load() -> Digits:
    """Return the digits that come with the package.

    >>> digits = load()
    >>> digits.X.shape, digits.labels[:3].tolist()
    ((1797, 64), [0, 1, 2])
    """
    packed = resources.files("chainrule.demos") / "data" / "digits.csv.gz"
    rows = gzip.decompress(packed.read_bytes()).decode("ascii").splitlines()
    table = np.loadtxt(rows, delimiter=",", dtype=int)
    return Digits(table[:, :-1] / 16.0, table[:, -1])


def split(digits: Digits, rng: np.random.Generator) -> tuple[Digits, Digits]:
    """Return a training part and a held-out part, drawn at random."""
    order = rng.permutation(len(digits))
    return digits[order[HELD_OUT:]], digits[order[:HELD_OUT]]


# --- training ------------------------------------------------------------------------------------


@dataclass
class History:
    """The record of a training run: the loss of every mini-batch, the accuracy of every epoch."""

    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)


def loss_of(model: nn.MLP) -> Callable[[Any, Any], Any]:
    """Return the cross-entropy of *model* as a function of one digit's pixels and its label."""
    return lambda x, label: nn.losses.cross_entropy(model(x), label)


@dataclass
class OneByOne:
    """A function of one example run on batches as ``cr.compile`` would, but scalar by scalar."""

    function: Callable[..., Any]
    reason: str = ""
    """Why it is not compiled."""

    def results(self, arrays: tuple[Array, ...]) -> list[Any]:
        return [self.function(*x) for x in zip(*(a.tolist() for a in arrays), strict=True)]

    @cr.no_grad()
    def __call__(self, *arrays: Array) -> Array:
        data = np.vectorize(lambda value: value.data, otypes=[float])
        found: Array = data(self.results(arrays)).T
        return found

    def backward(self, *arrays: Array) -> float:
        """Add the gradient of the mean, which is one graph, to the parameters; return the mean."""
        mean = cr.mean(self.results(arrays))
        mean.backward()
        return float(mean.data)


def processes(workers: int) -> contextlib.AbstractContextManager[Executor | None]:
    """Return an executor of so many processes, or of none if this one is enough."""
    if workers == 1:
        return contextlib.nullcontext()
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def on_batches(
    function: Callable[..., Any], *arrays: Array, executor: Executor | None = None
) -> Any:
    """Return *function* of one example as one of batches like *arrays*: compiled, if possible."""
    try:
        return cr.compile(function, executor=executor).record(*arrays)
    except cr.TraceError as refusal:
        return OneByOne(function, str(refusal))


def how(run: Any) -> str:
    """Say what kind of function *run*, a result of :func:`on_batches`, is."""
    if isinstance(run, OneByOne):
        return f"from a graph for every mini-batch: {run.reason}"
    nodes, operations = run.stats["nodes"], run.stats["gradient"]
    return f"from the compiled loss: {nodes:,} scalar nodes became {operations} array operations"


def predict(model: nn.MLP, X: Array) -> Array:
    """Return the digit that *model* reads in each row of *X*: the one with the largest output."""
    read: Array = np.argmax(on_batches(model, X)(X), axis=0)
    return read


def rewriting(quiet: bool) -> bool:
    """Return whether there is a terminal, where the line of progress can overwrite itself."""
    return sys.stdout.isatty() and not quiet


def train(
    model: nn.MLP,
    training: Digits,
    held_out: Digits,
    epochs: int,
    rng: np.random.Generator,
    history: History,
    quiet: bool,
    pool: Executor | None = None,
) -> None:
    """Fit *model* by gradient descent with momentum; the rate falls to 0 as a half cosine.

    The workers of a *pool* share steps over all digits; without one, each step takes a mini-batch.
    """
    live = rewriting(quiet)
    loss = on_batches(loss_of(model), training.X, training.labels, executor=pool)
    if not quiet:
        print(f"gradients {how(loss)}", flush=True)
    batches = len(training) // BATCH if pool is None else 1
    said = 1 if pool is None else max(1, epochs // 10)  # every so many epochs
    rate = RATE if pool is None else SHARED_RATE
    schedule = nn.optim.cosine(rate, total=epochs * batches)
    optimiser = nn.optim.SGD(model.parameters(), schedule, momentum=MOMENTUM)
    for epoch in range(1, epochs + 1):
        begun = time.perf_counter()
        for k, rows in enumerate(np.array_split(rng.permutation(len(training)), batches)):
            if live:
                print(f"\repoch {epoch}/{epochs}  {k / batches:4.0%}", end="", flush=True)
            optimiser.zero_grad()
            history.losses.append(loss.backward(training.X[rows], training.labels[rows]))
            optimiser.step()
        accuracy = float(np.mean(predict(model, held_out.X) == held_out.labels))
        history.accuracies.append(accuracy)
        if not quiet and epoch % said == 0:
            seconds = time.perf_counter() - begun
            print("\r" * live + f"epoch {epoch}/{epochs}", end="")
            print(f"  loss {np.mean(history.losses[-batches:]):.4f}", end="")
            print(f"  held-out accuracy {accuracy:.1%}  {seconds:.1f} s", flush=True)


# --- three roads to one gradient -----------------------------------------------------------------


def by_graph(model: nn.MLP, batch: Digits) -> Array:
    """Return the gradient of the loss in all parameters, from one backward pass."""
    model.zero_grad()
    OneByOne(loss_of(model)).backward(batch.X, batch.labels)
    return backprop.unroll(model.theta_grads)


def by_closed_form(model: nn.MLP, batch: Digits) -> Array:
    """Return the same from the delta formulas, which see only matrices."""
    targets = backprop.one_hot(batch.labels, WIDTHS[-1])
    found = backprop.gradients(
        model.thetas, batch.X, targets, loss="cross_entropy", activation=ACTIVATION
    )
    return backprop.unroll(found.D)


def by_differences(model: nn.MLP, batch: Digits, positions: Array) -> Array:
    """Return the entries at *positions* by finite differences of the loss."""
    loss = on_batches(loss_of(model), batch.X, batch.labels)
    centre = np.mean(loss(batch.X, batch.labels))
    entries = []
    unrolled = [p for array in model.parameter_arrays() for p in array.values]
    for parameter in np.array(unrolled)[positions]:

        def moved(x: float, parameter: cr.Value = parameter) -> list[float]:
            parameter.data = x
            return [np.mean(loss(batch.X, batch.labels))]

        x = parameter.data
        entries.append(slopes(moved, x, np.array([centre]), np.zeros(1))[0].value)
        parameter.data = x
    return np.array(entries)


def relative_differences(ours: Array, reference: Array) -> Array:
    """Return |ours - reference| / |reference| of each entry; two zeros agree.

    This is stricter than ``checking.compare``, which makes allowance for entries that nearly
    cancel.
    """
    differences: Array = np.abs(ours - reference)
    return differences / np.where(differences == 0.0, 1.0, np.abs(reference))


def compare(model: nn.MLP, batch: Digits, rng: np.random.Generator) -> None:
    """Print how far the graph's gradient is from the other two, entry by entry."""
    graph = by_graph(model, batch)
    closed = relative_differences(graph, by_closed_form(model, batch))
    sample = rng.choice(np.flatnonzero(graph), SAMPLED, replace=False)
    numerical = relative_differences(graph[sample], by_differences(model, batch, sample))
    print("largest relative difference of autograd")
    print(f"  from the closed-form deltas, over all {len(graph):,} parameters: {closed.max():.1e}")
    print(f"  from finite differences, over {SAMPLED} of them: {numerical.max():.1e}")


# --- pictures ------------------------------------------------------------------------------------


def draw(
    out: Path,
    model: nn.MLP,
    history: History,
    held_out: Digits,
    read: Array,
    theme: Theme = "light",
) -> Iterator[tuple[Path, str]]:
    """Write the pictures into *out*; yield the path of each, and what it shows."""
    drawings = {
        "neuron.svg": (one_neuron(theme), "the graph of one neuron"),
        "graph.svg": (small_loss(theme), "the graph of a 2-2-1 network's loss"),
        "network.svg": (
            one_reading(model, held_out, theme),
            "this network reading a held-out digit",
        ),
    }
    for name, (drawing, shows) in drawings.items():
        drawing.save(out / name)
        yield out / name, shows
    draw_history(out / "loss.svg", history, COLOURS[theme])
    yield out / "loss.svg", "the loss and the accuracy during training"
    draw_sheet(out / "digits.png", held_out, read, COLOURS[theme])
    yield out / "digits.png", "every held-out digit, with the wrong readings marked"


def one_neuron(theme: Theme = "light") -> viz.Drawing:
    """Draw tanh(w1 x1 + w2 x2 + b), built from plain arithmetic."""
    x1, x2 = cr.Value(2.0, "x1"), cr.Value(0.0, "x2")
    w1, w2, b = cr.Value(-3.0, "w1"), cr.Value(1.0, "w2"), cr.Value(6.88, "b")
    out = cr.tanh(w1 * x1 + w2 * x2 + b)
    out.backward()
    return viz.draw(out, title="One neuron: tanh(w1 x1 + w2 x2 + b)", theme=theme)


def small_loss(theme: Theme = "light") -> viz.Drawing:
    """Draw the loss of a small network; each neuron is one ``dot`` node."""
    model = nn.MLP(2, [2, 1], activation=ACTIVATION, output_activation="sigmoid", seed=1)
    loss = cr.square(model.trace([0.5, -1.0]).output - 1.0) / 2.0
    loss.label = "loss"
    loss.backward()
    title = "Half the squared error of a 2-2-1 network on one example"
    return viz.draw(loss, title=title, theme=theme)


def one_reading(model: nn.MLP, digits: Digits, theme: Theme = "light") -> viz.Drawing:
    """Draw the network with the first digit's activations, and the deltas of its loss."""
    trace = model.trace(digits.X[0])
    nn.losses.cross_entropy(trace.output, int(digits.labels[0])).backward()
    return viz.draw_network(model, trace, title=f"Reading a {digits.labels[0]}", theme=theme)


def draw_history(path: Path, history: History, colours: Colours = COLOURS["light"]) -> None:
    """Draw the loss of the mini-batches, with its running mean, and the accuracy by epoch."""
    losses, epochs = np.array(history.losses), len(history.accuracies)
    by_batch = epochs * (1 + np.arange(len(losses))) / len(losses)
    width = max(1, len(losses) // epochs // 4)
    smooth = np.convolve(losses, np.full(width, 1 / width), mode="valid")
    with figure(path, 9, 3.4, colours) as drawn:
        left, right = drawn.subplots(1, 2)
        left.semilogy(
            by_batch, losses, color=colours.blue, alpha=0.25, linewidth=0.8, label="mini-batch"
        )
        left.semilogy(by_batch[width - 1 :], smooth, color=colours.blue, label=f"mean of {width}")
        left.set(title="Cross-entropy", xlabel="epoch")
        left.legend(frameon=False)
        right.plot(
            range(1, epochs + 1), np.multiply(history.accuracies, 100), "o-", color=colours.blue
        )
        right.set(title="Accuracy on held-out digits, %", xlabel="epoch", ylim=(None, 100))
        right.xaxis.get_major_locator().set_params(integer=True)


def draw_sheet(
    path: Path, digits: Digits, read: Array, colours: Colours = COLOURS["light"]
) -> None:
    """Draw every digit with its reading below; a wrong reading is framed and written in full."""
    columns, width, height = 24, 14, 13  # of a cell, in pixels; a digit has 8 by 8 of them
    rows = -(-len(digits) // columns)
    paper = np.zeros((rows * height, columns * width))
    wrong = read != digits.labels
    with figure(path, columns * width / 32, rows * height / 32 + 0.4, colours) as drawn:
        axes = drawn.subplots()
        for i, (x, label) in enumerate(zip(digits.X, digits.labels, strict=True)):
            top, left = i // columns * height, i % columns * width
            paper[top + 1 : top + 9, left + 3 : left + 11] = x.reshape(8, 8)
            caption = {"x": left + 6.5, "y": top + 10.3, "ha": "center", "va": "center"}
            if wrong[i]:
                axes.text(s=f"{read[i]}, not {label}", color=colours.red, fontsize=6.5, **caption)
                right, bottom = left + 13, top + 12
                frame = [left, right, right, left, left], [top, top, bottom, bottom, top]
                axes.plot(*frame, color=colours.red, linewidth=1.2)
            else:
                axes.text(s=str(read[i]), color=colours.grey, fontsize=6.5, **caption)
        axes.imshow(paper, cmap=colours.ramp, interpolation="nearest")
        axes.set(xlim=(-1, columns * width), ylim=(rows * height, -1))
        axes.set_title(f"{len(digits)} held-out digits and what was read: {wrong.sum()} wrong")
        axes.axis("off")


if __name__ == "__main__":
    main()
