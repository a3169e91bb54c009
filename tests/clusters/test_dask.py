"""A real Dask cluster on the loopback: two workers, and what happens when one is killed."""

import contextlib
import os
import signal
import threading
import time

import numpy as np
import pytest

import chainrule as cr

from .models import batch, bits, model

pytest.importorskip("distributed", reason="needs the extra: pip install 'chainrule[dask]'")
import dask
from distributed import Client, LocalCluster

from .. import children

# What the cluster's own threads and sockets leave open when a worker is killed is not ours.
pytestmark = [
    pytest.mark.filterwarnings("default::ResourceWarning"),
    pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("default::DeprecationWarning"),
    pytest.mark.filterwarnings("default::UserWarning:distributed"),
]
SETTINGS = {"distributed.comm.timeouts.connect": "20s"}


@pytest.fixture
def client(request):
    settings = {**SETTINGS, **getattr(request, "param", {})}
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0"
        ) as cluster,
        Client(cluster) as found,
    ):
        yield found


def pids(client):
    return sorted(client.run(os.getpid).values())


def killed_in_the_middle(there, arrays, pid, after):
    """Return what a call gives, or its error, while a worker is killed."""
    thread = threading.Timer(after, os.kill, (pid, signal.SIGKILL))
    thread.start()
    try:
        return there.backward(*arrays)
    except cr.ShardError as error:
        return error
    finally:
        thread.join()


def test_two_workers_give_the_bits_of_one_thread(client):
    loss, leaves = model()
    here = cr.compile(loss)
    there = cr.compile(loss, executor=client.get_executor(), timeout=120)
    arrays = batch(5000)
    for _ in range(3):
        expected = bits(here.value_and_grad(*arrays))
        assert bits(there.value_and_grad(*arrays)) == expected
        np.testing.assert_array_equal(there(*arrays), here(*arrays))
        cr.write_data(leaves, cr.read_data(leaves) * 1.01)
    jacobian = there.jacobian(*arrays, argnums=0)
    np.testing.assert_array_equal(jacobian, here.jacobian(*arrays, argnums=0))


def test_a_worker_that_is_killed_in_the_middle_is_replaced_and_the_bits_stay(client):
    loss, leaves = model()
    here, there = cr.compile(loss), cr.compile(loss, executor=client.get_executor(), timeout=200)
    arrays = batch(100_000)
    began = time.monotonic()
    expected = here.value_and_grad(*arrays)
    alone = time.monotonic() - began
    there.value_and_grad(*batch(5000))
    before = pids(client)
    cost = killed_in_the_middle(there, arrays, before[0], 0.25 * alone)
    assert cost == expected[0]
    assert bits((cost, np.array([leaf.grad for leaf in leaves]))) == bits(expected)
    client.wait_for_workers(2, timeout=60)
    assert before[0] not in pids(client)  # it was killed, and the cluster started another
    assert bits(there.value_and_grad(*arrays)) == bits(expected)  # which lacks program, and asks


@pytest.mark.parametrize("client", [{"distributed.scheduler.allowed-failures": 0}], indirect=True)
def test_a_death_that_the_cluster_does_not_make_good_is_told(client):
    loss, leaves = model()
    there = cr.compile(loss, executor=client.get_executor(), timeout=200)
    arrays = batch(100_000)
    began = time.monotonic()
    expected = cr.compile(loss).value_and_grad(*arrays)
    alone = time.monotonic() - began
    there.value_and_grad(*batch(5000))
    for leaf in leaves:
        leaf.grad = 0.5
    error = killed_in_the_middle(there, arrays, pids(client)[0], 0.25 * alone)
    assert isinstance(error, cr.ShardError)
    assert "KilledWorker" in str(error)
    assert 0 < len(error.shards) < 16
    assert {leaf.grad for leaf in leaves} == {0.5}
    client.wait_for_workers(2, timeout=60)
    assert bits(there.value_and_grad(*arrays)) == bits(expected)


def demo(out, wait_for=None):
    """Run the demo; kill it, with all that it started, when a file holds *wait_for* steps."""
    command = ("-m", "chainrule", "demo", "cluster", "--epochs", "2", "--out", out)
    with children.started(*command) as process:
        while wait_for is not None and process.poll() is None:
            with contextlib.suppress(FileNotFoundError), np.load(out / "checkpoint.npz") as kept:
                if len(kept["losses"]) >= wait_for:
                    break
            time.sleep(0.05)
        if wait_for is not None:
            os.killpg(process.pid, signal.SIGKILL)
        said, errors = process.communicate(timeout=children.SECONDS)
    assert process.returncode == (0 if wait_for is None else -signal.SIGKILL), errors
    return said


def test_training_that_is_killed_goes_on_to_the_same_numbers(tmp_path):
    pytest.importorskip("matplotlib", reason="the demo draws")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    demo(whole)
    demo(killed, wait_for=15)
    assert not (killed / "weights.npz").exists()
    assert "going on after" in demo(killed)
    assert (killed / "weights.npz").read_bytes() == (whole / "weights.npz").read_bytes()
    assert (killed / "loss.svg").read_bytes() == (whole / "loss.svg").read_bytes()
    assert not (killed / "checkpoint.npz").exists()
