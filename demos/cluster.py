"""A network learns from files, one at a time in memory, over the workers of a Dask cluster.

The data set is a folder of parts: digits of ``data/README.md``, moved by up to a pixel and made
noisy.  A part is read, shuffled, and taken in batches, whose examples the workers share; the next
part is read when it is used up.  After each part a checkpoint is written, whole or not at all: if
the program is killed, the next run goes on from there, to the same numbers to the last bit.  They
do not depend on the number of workers either.

On the way there is a bar on a terminal, and a line for each pass elsewhere; at the end the weights
and a picture of the loss.  It needs Dask: ``pip install 'chainrule[dask,demo]'``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import nn
from chainrule.demos import digits
from chainrule.demos._figures import COLOURS, Theme, check_matplotlib, figure
from chainrule.nn.files import write_whole

Array = np.ndarray[Any, Any]

PARTS, ROWS = 6, 6000
BATCH = 2000
"""Examples of a step.  A part, which is what is in memory, holds three, the data set 18."""
WIDTHS, RATE = [48, 10], 0.05
TIMEOUT = 300.0  # seconds for a step


def main(
    out: Path = Path("chainrule-cluster"),
    epochs: int = 4,
    seed: int = 0,
    quiet: bool = False,
    theme: Theme = "light",
    workers: int = 2,
) -> None:
    """Train over a cluster of so many *workers* on this machine.

    Where DASK_SCHEDULER_ADDRESS names a scheduler, the workers are those that it has.
    """
    check_matplotlib()
    check_dask()
    out.mkdir(parents=True, exist_ok=True)
    parts = written(out / "parts", seed)
    with cluster(workers) as executor:
        run = Run(out, parts, epochs, seed)
        if run.resume() and not quiet:
            print(f"going on after {len(run.losses)} steps: {out / CHECKPOINT} was there")
        train(run, executor, quiet)
    nn.save(run.model, out / "weights.npz")
    draw(out / "loss.svg", run.losses, len(parts), theme)
    (out / CHECKPOINT).unlink(missing_ok=True)  # there is nothing left to go on with
    print(f"accuracy on held-out digits: {accuracy(run.model):.1%}")
    print(f"wrote {out / 'weights.npz'} and {out / 'loss.svg'}")


def check_dask() -> None:
    """Raise ModuleNotFoundError, which says what to install, if there is no Dask."""
    if importlib.util.find_spec("distributed") is None:
        raise ModuleNotFoundError("this demo needs Dask: pip install 'chainrule[dask,demo]'")


@contextlib.contextmanager
def cluster(workers: int) -> Iterator[Executor]:
    """Lend the executor of a cluster on this machine, or of one that runs already."""
    dask, distributed = map(importlib.import_module, ("dask", "distributed"))
    with contextlib.ExitStack() as stack:
        scheduler = dask.config.get("scheduler-address", None)
        if scheduler is None:
            scheduler = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address=":0",
                )
            )
        yield stack.enter_context(distributed.Client(scheduler)).get_executor()


# --- data ----------------------------------------------------------------------------------------


def written(folder: Path, seed: int) -> list[Path]:
    """Return the files of the data set, which are written if they are not there."""
    folder.mkdir(exist_ok=True)
    training, _ = halves()
    paths = [folder / f"seed-{seed}-part-{i}.npz" for i in range(PARTS)]
    for i, path in enumerate(paths):
        if not path.exists():
            rng = np.random.default_rng([seed, i])
            rows = rng.integers(len(training), size=ROWS)
            X = moved(training.X[rows], rng) + rng.normal(scale=0.1, size=(ROWS, 64))
            whole(
                path, X=np.round(255.0 * X.clip(0.0, 1.0)).astype(np.uint8), y=training.labels[rows]
            )
    return paths


def halves() -> tuple[digits.Digits, digits.Digits]:
    """Return the digits to learn from, and those that are held out; always the same."""
    found: tuple[digits.Digits, digits.Digits] = digits.split(
        digits.load(), np.random.default_rng(0)
    )
    return found


def moved(X: Array, rng: np.random.Generator) -> Array:
    """Return pictures moved by up to a pixel, right or left, up or down."""
    framed = np.pad(X.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    down, right = rng.integers(3, size=(2, len(X), 1, 1))
    rows, columns = np.arange(8)[:, None] + down, np.arange(8) + right
    found: Array = framed[np.arange(len(X))[:, None, None], rows, columns]
    return found.reshape(len(X), 64)


def batches(path: Path, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """Yield the examples of one part, in random order, a batch at a time."""
    with np.load(path) as part:
        X, y = part["X"], part["y"]
    order = rng.permutation(len(X))
    for start in range(0, len(X), BATCH):
        rows = order[start : start + BATCH]
        yield X[rows] / 255.0, y[rows].astype(float)


# --- a run, and how it is taken up again ---------------------------------------------------------

CHECKPOINT = "checkpoint.npz"


@dataclass
class Run:
    """All that a training run is: what it started from, and how far it is."""

    out: Path
    parts: list[Path]
    epochs: int
    seed: int
    done: int = 0
    """The number of parts that were used up, over all passes."""
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = nn.MLP(64, WIDTHS, activation="tanh", seed=self.seed)
        self.optimiser = nn.optim.Adam(self.model.parameters(), RATE)

    @property
    def plan(self) -> str:
        """What a checkpoint must have been made by."""
        facts = [self.seed, self.epochs, len(self.parts), ROWS, BATCH, WIDTHS, RATE]
        return json.dumps(facts)

    def left(self) -> Iterator[tuple[Path, np.random.Generator]]:
        """Yield each part that is still to come, in the order of its pass, with its random numbers.

        Those depend on the seed, the pass and the part alone, so nothing of them need be kept.
        """
        for k in range(self.done, self.epochs * len(self.parts)):
            epoch, place = divmod(k, len(self.parts))
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.parts))
            yield self.parts[order[place]], np.random.default_rng([self.seed, epoch, place])

    def keep(self) -> None:
        """Write a checkpoint in the place of the last one."""
        state = {f"optimiser {name}": x for name, x in self.optimiser.state_dict().items()}
        theta = cr.read_data(self.model.parameters())
        kept = dict(state, plan=self.plan, done=self.done, losses=self.losses, theta=theta)
        whole(self.out / CHECKPOINT, **kept)

    def resume(self) -> bool:
        """Take up the run whose checkpoint there is, if there is one of such a run."""
        try:
            with np.load(self.out / CHECKPOINT) as kept:
                if str(kept["plan"]) != self.plan:
                    return False
                arrays = dict(kept)
        except FileNotFoundError:
            return False
        state: dict[str, Any] = {
            name.removeprefix("optimiser "): x
            for name, x in arrays.items()
            if name.startswith("optimiser ")
        }
        state["steps"] = int(state["steps"])
        self.optimiser.load_state_dict(state)
        cr.write_data(self.model.parameters(), arrays["theta"])
        self.done, self.losses = int(arrays["done"]), arrays["losses"].tolist()
        return True


def whole(path: Path, **arrays: Any) -> None:
    """Write *arrays* to a file that is there whole or not at all."""
    contents = io.BytesIO()
    with zipfile.ZipFile(contents, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as entry:  # without the time
                np.lib.format.write_array(entry, np.asarray(array), allow_pickle=False)
    write_whole(path, contents.getvalue(), "cluster")


def train(run: Run, executor: Executor, quiet: bool) -> None:
    """Take a step for each batch of the parts that are left; keep a checkpoint after each part."""
    loss = cr.compile(digits.loss_of(run.model), executor=executor, timeout=TIMEOUT)
    parts, live = len(run.parts), digits.rewriting(quiet)
    for path, rng in run.left():
        for X, y in batches(path, rng):
            run.optimiser.zero_grad()
            run.losses.append(loss.backward(X, y))
            run.optimiser.step()
        run.done += 1
        run.keep()
        epoch, place = divmod(run.done, parts)
        mean = float(np.mean(run.losses[-(ROWS // BATCH) :]))
        if live:
            print(bar(run.done, run.epochs * parts), f"loss {mean:.4f}", end="\r", flush=True)
        elif not quiet and not place:
            print(f"epoch {epoch}/{run.epochs}  loss {mean:.4f}", flush=True)
    if live:
        print()


def bar(done: int, of: int, width: int = 30) -> str:
    """Return a bar that is filled as far as the work is done.

    >>> bar(3, 6, width=10)
    '[#####-----] 3/6 parts'
    """
    filled = width * done // of
    return f"[{'#' * filled}{'-' * (width - filled)}] {done}/{of} parts"


def accuracy(model: nn.MLP) -> float:
    """Return how many of the held-out digits *model* reads right."""
    _, held_out = halves()
    return float(np.mean(digits.predict(model, held_out.X) == held_out.labels))


def draw(path: Path, losses: list[float], parts: int, theme: Theme = "light") -> None:
    """Draw the loss of every step."""
    colours = COLOURS[theme]
    steps = ROWS // BATCH * parts
    with figure(path, 6, 3.4, colours) as drawn:
        axes = drawn.subplots()
        axes.semilogy((1 + np.arange(len(losses))) / steps, losses, color=colours.blue)
        axes.set(title="Cross-entropy of each step", xlabel="epoch")


if __name__ == "__main__":
    main()
