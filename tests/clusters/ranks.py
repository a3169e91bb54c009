"""Run under mpiexec: rank 0 asks, the others are workers."""

import sys

import chainrule as cr
from tests.clusters.models import batch, bits, model


def main() -> None:
    """Compare a few steps over the ranks with the same steps here; print what was found."""
    from mpi4py.futures import MPICommExecutor  # which starts MPI

    with MPICommExecutor() as executor:
        if executor is None:
            return  # a worker, whose work is done
        loss, leaves = model()
        here, there = cr.compile(loss), cr.compile(loss, executor=executor, timeout=120)
        for count in (5000, 5000, 20_000):
            arrays = batch(count)
            if bits(there.value_and_grad(*arrays)) != bits(here.value_and_grad(*arrays)):
                sys.exit(f"other bits, of {count} examples")
            cr.write_data(leaves, cr.read_data(leaves) * 1.01)
        print(f"the same bits over {executor.num_workers} worker(s)")


if __name__ == "__main__":
    main()
