"""A batch over workers gives the bits that one thread gives, and says what it could not compute."""

import copy
import itertools
import multiprocessing
import os
import pickle
import random
import signal
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import machine as machines
from chainrule.compiler import remote, shards, workers
from chainrule.engine.native import core

from .. import children
from . import families, misbehaving
from .misbehaving import DIES, NAPS, RAISES, doubled
from .test_plans import PROGRAMS, recorded, rows

SPAWN = multiprocessing.get_context("spawn")
MANY = 3000 if core is not None else 1500
"""Examples of the network that are several shards."""


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Have the machine in Python make blocks as small as the one in C, which takes few examples."""
    monkeypatch.setattr(machines, "_ROOM", machines._ROOM // 16)


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, mp_context=SPAWN, initializer=misbehaving.define) as pool:
        yield pool


@pytest.fixture(params=[1, 2, 7])
def threads(request):
    with ThreadPoolExecutor(request.param) as pool:
        yield pool


def same(found, expected):
    """Assert that two results have the same bits."""
    if isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    else:
        assert np.asarray(found).shape == np.asarray(expected).shape
        assert np.asarray(found).tobytes() == np.asarray(expected).tobytes()


def batch(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 6)), rng.normal(size=(count, 2))


def network():
    run, thetas = families.mlp(random.Random(0), (6, 40, 40, 2))
    leaves = [w for theta in thetas for row in theta for w in row]
    return run, leaves


def cost(run):
    return lambda x, y: families.squared(run(x), y)


# --- shards --------------------------------------------------------------------------------------


def made(plan):
    """Return the machines that can run *plan*."""
    if core is not None and all(core.Machine.can(row) for row in plan.rows):
        yield core.Machine(plan)
    yield machines.Machine(plan)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 100, 499, 1797, 20011, 1_000_003])
def test_both_machines_deal_out_a_batch_by_one_rule(count):
    compiled, _ = recorded("attention")
    for plan in compiled.plans.values():
        for machine in made(plan):
            lanes, starts = machine.division(count)
            blocks = -(-count // lanes) if count else 0
            expected = [min(lanes * block, count) for block in shards.starts(blocks)]
            assert list(starts) == expected
            assert (starts[0], starts[-1]) == (0, count)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_parts_of_a_run_make_the_run(name):
    _, arrays = recorded(name)
    many = tuple(np.resize(x, (1500, *x.shape[1:])) for x in rows(name))
    count = len(many[0])
    theta = cr.read_data(arrays.parameters)
    for plan in arrays.plans().values():
        for machine in made(plan):
            if isinstance(machine, machines.Machine):
                machine.lanes = 16
            whole = machine.run(arrays.parameters, many)
            lanes, starts = machine.division(count)
            assert len(starts) > 2
            parts = [
                machine.part(theta, tuple(x[start:stop] for x in many), count, lanes)
                for start, stop in itertools.pairwise(starts)
            ]
            if plan.cost is None:
                same(np.concatenate(parts, axis=0 if plan.turned else 1), whole)
                continue
            total = parts[0].copy()
            for part in parts[1:]:
                total += part
            same(machine.finish(theta, count, total), whole)


@pytest.mark.skipif(core is None, reason="there is no C core")
def test_what_is_no_part_of_a_run_is_refused():
    _, arrays = recorded("attention")
    machine, theta = core.Machine(arrays.plans()["gradient"]), cr.read_data(arrays.parameters)
    few = rows("attention")
    for lanes in (0, -8, 10_000):
        with pytest.raises(ValueError, match=rf"expected from 1 to [0-9]+ lanes, not {lanes}"):
            machine.part(theta, few, 100, lanes)
    with pytest.raises(ValueError, match=r"expected [0-9]+ sums of float64"):
        machine.finish(theta, 100, np.zeros(1))
    with pytest.raises(ValueError, match="expected a number of examples, not -1"):
        machine.division(-1)
    with pytest.raises(TypeError, match="of a plan with a cost"):
        core.Machine(arrays.plans()["forward"]).finish(theta, 100, np.zeros(1))


# --- the same bits -------------------------------------------------------------------------------


def test_any_number_of_threads_gives_the_same_bits(threads):
    run, leaves = network()
    here = cr.compile(cost(run))
    there = cr.compile(cost(run), executor=threads)
    for count in (1, 2, 300, MANY):
        arrays = batch(count)
        same(there(*arrays), here(*arrays))
        same(there.value_and_grad(*arrays), here.value_and_grad(*arrays))
        same(there.jacobian(*arrays), here.jacobian(*arrays))
    grads = []
    for compiled in (here, there):
        for leaf in leaves:
            leaf.grad = 0.25
        assert compiled.backward(*arrays) == here.value_and_grad(*arrays)[0]
        grads.append([leaf.grad for leaf in leaves])
    assert grads[0] == grads[1]


@pytest.mark.processes_alone
def test_processes_give_the_same_bits_while_parameters_change(processes):
    run, leaves = network()
    here, there = cr.compile(cost(run)), cr.compile(cost(run), executor=processes)
    arrays = batch(MANY)
    for step in range(4):
        same(there.value_and_grad(*arrays), here.value_and_grad(*arrays))
        same(there(*arrays), here(*arrays))
        cr.write_data(leaves, cr.read_data(leaves) + 0.01 * step)


STARTED = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
import numpy as np
import chainrule as cr

def main():
    rng = np.random.default_rng(0)
    W = [[cr.Value(x) for x in row] for row in rng.normal(size=(12, 6)).tolist()]
    def loss(x, y):
        return cr.square(cr.sum([cr.tanh(cr.dot(w, x)) for w in W]) - y)
    X, Y = rng.normal(size=(20_000, 6)), rng.normal(size=20_000)
    expected = cr.compile(loss).value_and_grad(X, Y)
    for count in map(int, sys.argv[2:]):
        context = multiprocessing.get_context(sys.argv[1])
        with ProcessPoolExecutor(count, mp_context=context) as pool:
            there = cr.compile(loss, executor=pool)
            for _ in range(3):
                found = there.value_and_grad(X, Y)
                assert found[0] == expected[0] and found[1].tobytes() == expected[1].tobytes()
    print("the same")

if __name__ == "__main__":
    main()
"""


@pytest.mark.processes_alone
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_processes_may_be_started_in_any_way(method, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(STARTED)
    counts = ["1", "2", "7"] if method == "fork" else ["2"]  # an interpreter for each is started
    assert children.printed(script, method, *counts) == "the same\n"


@pytest.mark.processes_alone
def test_derivatives_beyond_the_gradient_are_shared_too(processes):
    w = cr.Value(0.3)

    def f(x):
        return cr.sin(w * x[0]) * cr.exp(x[1]) + x[2] * x[3]

    X = batch(4000)[0]
    here, there = cr.compile(f), cr.compile(f, executor=processes)
    same(there.hvp(X, vector=[1.0, 0.5, 0.0, 0.0, 2.0, 0.0]), here.hvp(
        X, vector=[1.0, 0.5, 0.0, 0.0, 2.0, 0.0]
    ))  # fmt: skip
    same(there.hessian(X, wrt=w), here.hessian(X, wrt=w))
    same(there.jacobian(X, wrt=w), here.jacobian(X, wrt=w))


@pytest.mark.processes_alone
def test_loops_and_graphs_without_width_are_shared(processes):
    k = cr.Value(0.5)

    def decay(x, y):
        end, _ = cr.scan(lambda c, _: (c - 0.001 * k * cr.sin(c), None), x, length=5000)
        return cr.square(end - y)

    X, Y = batch(900)[0][:, 0].copy(), batch(900)[1][:, 0].copy()
    here, there = cr.compile(decay), cr.compile(decay, executor=processes)
    machine = there.record(X, Y)._latest.program.ready("gradient").machine
    assert len(machine.division(len(X))[1]) > 2
    same(there(X, Y), here(X, Y))
    same(there.value_and_grad(X, Y), here.value_and_grad(X, Y))


def test_a_compiled_function_is_given_an_executor_later(threads):
    run, _ = network()
    here = cr.compile(cost(run))
    arrays = batch(MANY)
    expected = here.value_and_grad(*arrays)
    same(cr.compile(here, executor=threads).value_and_grad(*arrays), expected)
    loaded = pickle.loads(pickle.dumps(here))
    same(cr.compile(loaded, executor=threads).value_and_grad(*arrays), expected)
    assert cr.compile(here) is here


def test_a_copy_leaves_the_executor_behind(threads):
    run, _ = network()
    there = cr.compile(cost(run), executor=threads)
    arrays = batch(MANY)
    expected = there.value_and_grad(*arrays)
    for again in (pickle.loads(pickle.dumps(there)), copy.deepcopy(there)):
        same(again.value_and_grad(*arrays), expected)


# --- what is sent --------------------------------------------------------------------------------


class Noting(Executor):
    """Passes tasks on, and notes them."""

    def __init__(self, executor, count):
        self.executor, self._max_workers, self.tasks = executor, count, []

    def submit(self, function, /, task):
        self.tasks.append(task)
        return self.executor.submit(function, task)

    def sent(self):
        """Return how many tasks brought a program, and parameters; and forget them."""
        found = [(x.program is not None, x.parameters is not None) for x in self.tasks]
        self.tasks.clear()
        return tuple(map(sum, zip(*found, strict=True)))


@pytest.mark.asks_once  # what one call sends is counted
def test_a_program_is_sent_once_and_parameters_when_they_changed():
    run, leaves = network()
    arrays = batch(MANY)
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        noting = Noting(pool, 3)  # three tasks, and one worker that takes them all
        there = cr.compile(cost(run), executor=noting)
        there.value_and_grad(*arrays)
        programs, _ = noting.sent()
        assert 1 <= programs <= 3  # tasks that were on their way asked as well
        there.value_and_grad(*arrays)
        assert noting.sent() == (0, 0)
        leaves[3].data += 1.0
        expected = cr.compile(cost(run)).value_and_grad(*arrays)
        same(there.value_and_grad(*arrays), expected)
        assert noting.sent() == (0, 3)
        leaves[3].data += 0.0
        same(there.value_and_grad(*arrays), expected)
        assert noting.sent() == (0, 0)
        leaves[3].data = float("nan")
        there.value_and_grad(*arrays)
        there.value_and_grad(*arrays)
        assert noting.sent() == (0, 3)


def test_threads_of_this_process_are_sent_no_program(threads):
    run, _ = network()
    noting = Noting(threads, 4)
    cr.compile(cost(run), executor=noting).value_and_grad(*batch(MANY))
    assert noting.sent()[0] == 0


def test_a_program_that_stays_here_is_noted_nowhere():
    """A note that goes with it would run Python then, where a Ctrl-C is lost."""
    before = set(remote._known)
    run, _ = network()
    cr.compile(cost(run)).value_and_grad(*batch(MANY))
    assert set(remote._known) <= before  # others may end


def test_a_worker_that_forgot_everything_asks(threads, monkeypatch):
    run, _ = network()
    arrays = batch(MANY)
    here, there = cr.compile(cost(run)), cr.compile(cost(run), executor=threads)
    expected = here.value_and_grad(*arrays)
    same(there.value_and_grad(*arrays), expected)
    monkeypatch.setattr(remote, "_known", type(remote._known)())
    same(there.value_and_grad(*arrays), expected)


def test_what_a_worker_keeps_is_bounded():
    plan = recorded("attention")[0].plans["forward"]
    few, theta = rows("attention"), cr.read_data(recorded("attention")[1].parameters)
    shard = remote.Shard(0, 0, len(few[0]))
    packed = pickle.dumps(plan)
    keys = [f"key {i}" for i in range(remote.PROGRAMS + 3)]
    for key, version in itertools.product(keys, range(remote.VERSIONS + 2)):
        task = remote.Task(key, version, [shard], few, len(few[0]), 8)
        assert remote.answer(task.with_all(packed, theta)).parts
        assert remote.answer(task).parts
    assert len(remote._kept) == remote.PROGRAMS
    assert len(remote._kept[keys[-1]].versions) == remote.VERSIONS
    old = remote.Task(keys[-1], 0, [shard], few, len(few[0]), 8)
    assert remote.answer(old).lacks == "parameters"
    gone = remote.Task(keys[0], 0, [shard], few, len(few[0]), 8)
    assert remote.answer(gone).lacks == "program"
    remote._kept.clear()


@pytest.mark.processes_alone
@pytest.mark.asks_once  # the parameters are those of all threads
def test_runs_over_workers_may_overlap(processes):
    run, _ = network()
    here, there = cr.compile(cost(run)), cr.compile(cost(run), executor=processes)
    arrays = [batch(count, count) for count in (700, MANY, MANY + 1001)]
    expected = [here.value_and_grad(*x) for x in arrays]
    wrong = []

    def work(i):
        for _ in range(5):
            found = there.value_and_grad(*arrays[i])
            if found[0] != expected[i][0] or found[1].tobytes() != expected[i][1].tobytes():
                wrong.append(i)

    together = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert not wrong


# --- what goes wrong -----------------------------------------------------------------------------


def misbehaving_cost():
    w = cr.Value(1.0)
    w.grad = 0.5
    X = np.linspace(0.0, 1.0, 1_600_000).reshape(-1, 40)
    return w, (lambda x: cr.sum([cr.square(w * doubled(v)) for v in x])), X


def bad(X, place, number):
    """Return *X* with *number* in the example at *place*."""
    X = X.copy()
    X[place, 3] = number
    return X


def failed(there, X, match):
    """Assert that a call fails, and return the error."""
    assert len(there.record(X)._latest.arrays._gradient.machine.division(len(X))[1]) > 3
    with pytest.raises(cr.ShardError, match=match) as caught:
        there.backward(X)
    return caught.value


@pytest.mark.processes_alone
@pytest.mark.asks_once  # a part of the batch would be computed here
@pytest.mark.parametrize("place", [0, 20_000, 39_999])
def test_an_error_in_a_worker_is_told_with_its_shard(processes, place):
    w, f, X = misbehaving_cost()
    there = cr.compile(f, executor=processes)
    error = failed(there, bad(X, place, RAISES), "ArithmeticError: it was asked to raise")
    assert isinstance(error.__cause__, ArithmeticError)
    assert "misbehaving.py" in error.trace
    _, starts = there._latest.machine("gradient")[0].division(len(X))
    (shard,) = error.shards
    assert starts[shard] <= place < starts[shard + 1]
    assert f"shard {shard}, examples {starts[shard]} to {starts[shard + 1] - 1} of 40000" in str(
        error
    )
    assert w.grad == 0.5
    same(there.value_and_grad(X), cr.compile(f).value_and_grad(X))  # and they go on
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.shards, again.trace) == (str(error), error.shards, error.trace)


@pytest.mark.processes_alone
@pytest.mark.asks_once  # a part of the batch would kill this process
def test_a_worker_that_dies_is_told(tmp_path):
    w, f, X = misbehaving_cost()
    with ProcessPoolExecutor(2, mp_context=SPAWN, initializer=misbehaving.define) as pool:
        there = cr.compile(f, executor=pool)
        same(there.value_and_grad(X), cr.compile(f).value_and_grad(X))
        error = failed(there, bad(X, 20_000, DIES), "its worker did not answer: BrokenProcessPool")
        assert error.shards
        assert w.grad == 0.5
        failed(there, X, "BrokenProcessPool")  # as the executor is broken now
    with ProcessPoolExecutor(2, mp_context=SPAWN, initializer=misbehaving.define) as pool:
        same(cr.compile(there, executor=pool).value_and_grad(X), cr.compile(f).value_and_grad(X))


@pytest.mark.processes_alone
@pytest.mark.asks_once  # its workers are busy afterwards
def test_a_worker_that_hangs_is_told(processes):
    w, f, X = misbehaving_cost()
    there = cr.compile(f, executor=processes, timeout=0.7)
    cr.compile(there, executor=processes).value_and_grad(X)  # now the workers have the program
    began = time.monotonic()
    error = failed(there, bad(X, 0, NAPS), r"no answer within 0\.7 seconds")
    assert time.monotonic() - began < misbehaving.NAP
    assert 0 in error.shards
    assert len(error.shards) < 16  # the other worker gave its own
    assert w.grad == 0.5


def test_an_executor_that_was_shut_down_is_told():
    run, _ = network()
    with ThreadPoolExecutor(2) as pool:
        there = cr.compile(cost(run), executor=pool)
    with pytest.raises(cr.ShardError, match="cannot schedule new futures after shutdown"):
        there.value_and_grad(*batch(MANY))
    same(there(*batch(3)), cr.compile(cost(run))(*batch(3)))  # which one shard computes here


@pytest.mark.asks_once  # it is asked three times whether it fails
def test_a_worker_without_the_operation_is_told():
    _, f, X = misbehaving_cost()
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        failed(cr.compile(f, executor=pool), X, "no primitive is named 'misbehaves': define it")


def test_a_worker_with_another_version_is_told(monkeypatch, threads):
    run, _ = network()
    there = cr.compile(cost(run), executor=threads)
    monkeypatch.setattr(remote, "__version__", "0.0.1")
    with pytest.raises(cr.ShardError, match=r"the worker has chainrule 0\.0\.1, and the program"):
        there.value_and_grad(*batch(MANY))


class Forgetful(Executor):
    """Says that it lacks the program, whatever it is sent."""

    def submit(self, function, /, task):
        future = Future()
        future.set_result(remote.Answer(lacks="program"))
        return future


def test_a_worker_that_always_asks_is_told():
    run, _ = network()
    with pytest.raises(cr.ShardError, match="a worker lacks the program"):
        cr.compile(cost(run), executor=Forgetful()).value_and_grad(*batch(MANY))


def test_arguments_that_make_no_sense_are_refused(threads):
    with pytest.raises(TypeError, match="executor='many'; expected one of concurrent"):
        cr.compile(cr.tanh, executor="many")
    with pytest.raises(TypeError, match="give either threads or an executor"):
        cr.compile(cr.tanh, executor=threads, threads=2)
    with pytest.raises(TypeError, match="timeout is for an executor"):
        cr.compile(cr.tanh, timeout=3.0)
    for timeout in (0, -1.0, "soon"):
        with pytest.raises(ValueError, match="expected a number of seconds above 0"):
            cr.compile(cr.tanh, executor=threads, timeout=timeout)


def test_how_many_workers_there_are_is_asked():
    with ThreadPoolExecutor(3) as pool:
        assert workers.number_of_workers(pool) == 3
    assert workers.number_of_workers(Forgetful()) is None


# --- Ctrl-C --------------------------------------------------------------------------------------

INTERRUPTED = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
import numpy as np
import chainrule as cr

def main():
    w = cr.Value(0.5)
    w.grad = 0.25
    def f(x):
        for _ in range(2000):
            x = cr.sin(w * x)
        return x
    X = np.linspace(0.0, 1.0, 80_000 if cr.backend == 'native' else 20_000)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = cr.compile(f, executor=pool)
        pids = set(pool.map(pid, range(50)))
        there.value_and_grad(X[:5000])
        print(*pids, flush=True)
        try:
            there.backward(X)
        except KeyboardInterrupt:
            print("interrupted", w.grad, flush=True)
            raise

def pid(_):
    return os.getpid()

if __name__ == "__main__":
    main()
"""


@pytest.mark.processes_alone
@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX has them")
@pytest.mark.parametrize("whom", ["the parent", "all, as a terminal does"])
def test_ctrl_c_leaves_no_process_behind(whom, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    with children.started(script) as process:
        pids = [int(x) for x in process.stdout.readline().split()]
        assert pids
        time.sleep(0.5)  # a fraction of what the batch takes
        if whom == "the parent":
            process.send_signal(signal.SIGINT)
        else:
            os.killpg(process.pid, signal.SIGINT)
        said, errors = process.communicate(timeout=120)
        assert said == "interrupted 0.25\n", errors
        assert process.returncode != 0
        for pid in pids:
            assert gone(pid), f"{pid} is left"


def gone(pid):
    """Return whether a process has ended, within some seconds."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
