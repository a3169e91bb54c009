"""What it costs to let workers share a step, and from where on it pays.

Programs from light to heavy, each on one batch: seconds per step here, over threads of the machine,
and over the workers of each executor, as ratios to one thread.  All are asked in turns in one
process; the median of the turns is taken, and the fastest, which says more where the machine is
busy with other work: its load stands at the head.

    python benchmarks/workers.py [--workers 2] [--turns 7] [--only threads processes dask mpi]

With MPI, ``mpiexec -n 3 python -m mpi4py benchmarks/workers.py --only mpi``, the other ranks work.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np

import chainrule as cr
from chainrule import nn

KINDS = ("threads", "processes", "dask", "mpi")


def network(widths, rows, rng):
    """Return a cross-entropy of a network, and a batch."""
    model = nn.MLP(64, widths, activation="tanh", seed=0)
    arrays = rng.random((rows, 64)), rng.integers(10, size=rows).astype(float)
    return (lambda x, label: nn.losses.cross_entropy(model(x), label)), arrays


def simulation(steps, rows, rng):
    """Return the squared end of a simulation of so many steps, and a batch."""
    k = cr.Value(0.7)

    def end(x):
        def step(state, _):
            p, v = state
            return (p + 0.01 * v, v - 0.01 * k * cr.sin(p)), None

        (p, _), _ = cr.scan(step, (x[0], x[1]), length=steps)
        return cr.square(p)

    return end, (rng.random((rows, 2)),)


def programs():
    rng = np.random.default_rng(0)
    yield "64-32-10, 1,000 examples", *network([32, 10], 1000, rng)
    yield "64-32-10, 20,000 examples", *network([32, 10], 20_000, rng)
    yield "64-128-128-10, 4,000 examples", *network([128, 128, 10], 4000, rng)
    yield "pendulum of 2,000 steps, 4,000 examples", *simulation(2000, 4000, rng)


@contextlib.contextmanager
def executors(workers, only):
    """Lend the executors that can be had, by name."""
    found = {}
    with contextlib.ExitStack() as stack:
        if "threads" in only:
            found["thread pool"] = stack.enter_context(ThreadPoolExecutor(workers))
        if "processes" in only:
            spawn = multiprocessing.get_context("spawn")
            found["processes"] = stack.enter_context(ProcessPoolExecutor(workers, mp_context=spawn))
        if "dask" in only:
            distributed = importlib.import_module("distributed")
            cluster = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address=":0",
                )
            )
            found["Dask"] = stack.enter_context(distributed.Client(cluster)).get_executor()
        if "mpi" in only:
            futures = importlib.import_module("mpi4py.futures")
            found["MPI"] = stack.enter_context(futures.MPICommExecutor())
        yield found


def seconds(run, arrays):
    began = time.perf_counter()
    run.value_and_grad(*arrays)
    return time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=["threads", "processes"])
    options = parser.parse_args()
    with executors(options.workers, options.only) as found:
        if found.get("MPI", found) is None:
            return  # a rank that works for the first one
        load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
        print(f"{os.cpu_count()} CPUs, load {load}; {options.workers} workers")
        for name, function, arrays in programs():
            one = cr.compile(function)
            runs = {"one thread": one, "threads=2": cr.compile(function, threads=options.workers)}
            runs |= {key: cr.compile(one, executor=pool) for key, pool in found.items()}
            expected = one.value_and_grad(*arrays)
            times = {key: [] for key in runs}
            for run in runs.values():  # compiles, and sends the program
                run.value_and_grad(*arrays)
            for _ in range(options.turns):
                # A step of training: the parameters are others each time.
                parameters = one.parameters
                cr.write_data(parameters, cr.read_data(parameters) * (1.0 + 1e-9))
                for key, run in runs.items():
                    times[key].append(seconds(run, arrays))
            print(f"\n{name}: cost {expected[0]:.4f}; median, fastest turn")
            alone = [pick(times["one thread"]) for pick in (statistics.median, min)]
            for key, took in times.items():
                both = [pick(took) for pick in (statistics.median, min)]
                told = [
                    f"{1e3 * x:8.1f} ms {x / y:6.2f} x" for x, y in zip(both, alone, strict=True)
                ]
                print(f"  {key:12}", *told, flush=True)


if __name__ == "__main__":
    main()
