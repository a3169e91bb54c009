"""``no_grad`` and ``detect_anomaly``: nested, in threads and tasks, around transforms."""

from __future__ import annotations

import asyncio
import inspect
import math
import os
import sys
import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule import AnomalyError, Value
from chainrule.engine import modes

from .. import children

# ---------------------------------------------------------------- no_grad


def test_inside_no_grad_operations_make_leaves():
    x = Value(3.0)
    with cr.no_grad():
        results = [x * x, cr.exp(x), cr.sum([x, x]), cr.where(True, x, 1.0), 2**x, -x, np.exp(x)]
    for y in results:
        assert (y.parents, y.partials, y.operands, y.op) == ((), (), (), "")
        y.data = 1.0
    assert results[0].data == 1.0
    assert (x * x).parents == (x, x)


def test_what_no_grad_made_is_a_constant_for_what_follows():
    x = Value(3.0)
    with cr.no_grad():
        y = x * x
    z = y * x
    z.backward()
    assert (x.grad, y.grad) == (9.0, 3.0)


def test_backward_works_inside_no_grad():
    x = Value(3.0)
    y = x * x
    with cr.no_grad():
        y.backward()
    assert x.grad == 6.0


def test_modes_nest_and_end_with_their_block():
    x = Value(0.0)
    with cr.no_grad():
        with cr.detect_anomaly():
            with pytest.raises(AnomalyError):
                cr.log(x)
            assert (x + 1).parents == ()
        assert cr.log(x).data == -math.inf
        with cr.no_grad():
            pass
        assert (x + 1).parents == ()
    assert (x + 1).parents == (x,)


def test_a_mode_ends_when_its_block_raises():
    x = Value(1.0)
    for mode in (cr.no_grad, cr.detect_anomaly):
        with pytest.raises(ZeroDivisionError), mode():
            raise ZeroDivisionError
    assert (x + 1).parents == (x,)
    assert cr.log(x * 0).data == -math.inf


def test_a_mode_can_be_used_again_and_around_itself():
    x = Value(1.0)
    mode = cr.no_grad()
    with mode:
        with mode:
            assert (x + 1).parents == ()
        assert (x + 1).parents == ()
    assert (x + 1).parents == (x,)
    with mode:
        assert (x + 1).parents == ()
    assert (x + 1).parents == (x,)


def test_a_mode_decorates_functions():
    @cr.no_grad()
    def predict(x, *, scale=1.0):
        """Docs."""
        return x * scale if scale < 2 else predict(x, scale=scale / 2)

    x = Value(3.0)
    assert predict(x, scale=8.0).parents == ()
    assert (predict.__name__, predict.__doc__) == ("predict", "Docs.")
    assert "scale" in inspect.signature(predict).parameters
    assert (x * x).parents == (x, x)


def test_a_mode_refuses_to_decorate_what_runs_later():
    def numbers():
        yield Value(1.0) * 2

    async def number():
        return Value(1.0) * 2

    for function in (numbers, number):
        with pytest.raises(TypeError, match=r"generator or coroutine.*write the with statement"):
            cr.no_grad()(function)


def test_a_mode_belongs_to_its_thread():
    x = Value(1.0)
    inside, outside = threading.Event(), threading.Event()
    seen = []

    def work():
        with cr.no_grad():
            inside.set()
            outside.wait(10)
            seen.append((x + 1).parents)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(10)
    seen.append((x + 1).parents)
    outside.set()
    thread.join()
    assert seen == [(x,), ()]
    assert (x + 1).parents == (x,)


def test_modes_entered_in_many_threads_are_counted_right():
    x = Value(1.0)
    wrong = []

    @cr.no_grad()
    def unlinked():
        return x + 1

    def work():
        for _ in range(300):
            if unlinked().parents or (x + 1).parents != (x,):
                wrong.append(threading.get_ident())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert (x + 1).parents == (x,)


def test_one_object_can_be_entered_in_many_threads_at_once():
    x = Value(1.0)
    mode = cr.no_grad()
    barrier = threading.Barrier(2)
    wrong = []

    def work(first):
        for _ in range(50):
            with cr.detect_anomaly() if first else cr.no_grad():
                barrier.wait(10)
                with mode:
                    barrier.wait(10)
                    wrong.extend((x + 1).parents)
                if bool((x + 1).parents) is not first:
                    wrong.append(first)
            if (x + 1).parents != (x,):
                wrong.append("left on")

    threads = [threading.Thread(target=work, args=(first,)) for first in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# A process is forked while other threads enter and leave modes, and while this one is inside some.
FORKING = """
import chainrule as cr, os, sys, threading, time
from chainrule import Value
from chainrule.engine import modes
x, going = Value(1.0), True
def switch():
    while going:
        with cr.no_grad(), cr.detect_anomaly():
            pass
def stay():
    with cr.no_grad():
        entered.set()
        while going:
            time.sleep(0.01)
def generator():
    with cr.no_grad():
        yield (x + 1).parents
entered = threading.Event()
threads = [threading.Thread(target=work, daemon=True) for work in (switch, switch, stay)]
for thread in threads:
    thread.start()
entered.wait()
sys.setswitchinterval(1e-6)
suspended = generator()
assert next(suspended) == ()
modes._mode.set(modes._OFF)  # the generator's mode is on while it waits, here as anywhere
def child():
    with cr.no_grad():
        assert (x + 1).parents == ()
    assert (x + 1).parents == (x,)
    suspended.close()
    assert modes.active == modes.observing == []
    return (x + 1).parents == (x,)
for _ in range(int(sys.argv[1])):
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if child() else 1)
        finally:
            os._exit(2)
    deadline = time.monotonic() + 60
    while (done := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, 9)
        time.sleep(0.001)
    assert done[1] == 0, done
going = False
for thread in threads:
    thread.join()
suspended.close()
assert modes.active == modes.observing == []
print("fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_a_forked_process_has_the_modes_of_the_thread_that_forked_and_no_others():
    done = children.run("-W", "ignore::DeprecationWarning", "-c", FORKING, "60")
    assert (done.stdout.strip(), done.stderr) == ("fine", "")


def test_a_mode_entered_by_a_finalizer_while_another_is_entered_is_counted():
    class Entering:
        def __del__(self):
            with cr.no_grad():
                seen.append((x + 1).parents)

    x, seen = Value(1.0), []

    def trace(frame, event, argument):  # the collector may run between any two lines
        if frame.f_code.co_filename.endswith("modes.py"):
            sys.settrace(None)
            Entering()
            sys.settrace(trace)
        return trace

    sys.settrace(trace)
    try:
        with cr.no_grad():
            assert (x + 1).parents == ()
    finally:
        sys.settrace(None)
    assert len(seen) > 4
    assert not any(seen)
    assert modes.active == modes.observing == []
    assert (x + 1).parents == (x,)


def test_a_mode_belongs_to_its_task():
    x = Value(1.0)
    seen = {}

    async def one():
        with cr.no_grad():
            await asyncio.sleep(0.01)
            seen["one"] = (x + 1).parents

    async def other():
        await asyncio.sleep(0.001)
        seen["other"] = (x + 1).parents

    async def both():
        await asyncio.gather(one(), other())

    asyncio.run(both())
    assert seen == {"one": (), "other": (x,)}


def test_a_generator_that_is_closed_early_leaves_the_mode():
    x = Value(1.0)

    def predictions():
        with cr.no_grad():
            while True:
                yield x * 2

    generator = predictions()
    assert next(generator).parents == ()
    generator.close()
    assert (x + 1).parents == (x,)


def test_blocks_that_overlap_through_a_generator_end_all_the_same():
    x = Value(1.0)

    def predictions():
        with cr.detect_anomaly():
            yield

    with cr.no_grad():
        generator = predictions()
        next(generator)
    generator.close()
    assert (x + 1).parents == (x,)
    assert cr.log(x * 0).data == -math.inf


def test_a_generator_closed_in_another_thread_does_not_fail():
    def predictions():
        with cr.no_grad():
            yield 1

    generator = predictions()
    failures = []

    def work():
        next(generator)

    def close():
        try:
            generator.close()
        except BaseException as error:
            failures.append(error)

    for target in (work, close):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    assert not failures


# ---------------------------------------------------------------- no_grad and transforms


def test_a_transform_inside_no_grad_is_right_and_leaves_no_graph():
    v = Value(3.0)
    with cr.no_grad():
        assert cr.grad(cr.square)(3.0) == 6.0
        assert cr.grad(cr.grad(lambda x: x**3))(2.0) == 12.0
        assert cr.jvp(cr.square, (3.0,), (1.0,)) == (9.0, 6.0)
        assert cr.vjp(cr.square, 3.0)[1](1.0) == (6.0,)
        assert cr.jacobian(lambda x: [x * x, x])(3.0).tolist() == [6.0, 1.0]
        assert cr.hessian(lambda x, y: x * x * y)(1.0, 2.0).tolist() == [[4.0, 2.0], [2.0, 0.0]]
        assert cr.hvp(lambda x: x**3, (2.0,), (1.0,)) == (12.0,)
        value, slope = cr.value_and_grad(lambda x: x**3)(v)
        assert (value.data, slope.data) == (27.0, 27.0)
        assert value.parents == slope.parents == ()
        assert (v * v).parents == ()


def test_no_grad_inside_a_function_cuts_what_is_inside_it():
    def f(x):
        with cr.no_grad():
            constant = x * x
        return constant * x

    assert cr.grad(f)(3.0) == 9.0
    assert cr.jvp(f, (3.0,), (1.0,))[1] == 9.0
    assert cr.grad(cr.grad(f))(3.0) == 0.0


def test_a_transform_inside_no_grad_inside_a_function_is_a_constant():
    def f(x):
        with cr.no_grad():
            value, slope = cr.value_and_grad(lambda y: x * y * y)(2.0)
        return (value + slope) * x

    assert cr.grad(f)(3.0) == 3.0 * 4.0 + 3.0 * 4.0


def test_a_second_derivative_of_a_graph_asked_for_inside_no_grad_is_right():
    x = Value(2.0)
    y = x**3
    with cr.no_grad():
        (slope,) = cr.gradients(y, [x], create_graph=True)
    assert (slope.data, slope.parents) == (12.0, ())


# ---------------------------------------------------------------- detect_anomaly

BAD = [
    (lambda: cr.log(Value(0.0)), r"log\(0\.0\) = -inf"),
    (lambda: Value(1.0) / 0.0, r"1\.0 / 0\.0 = inf"),
    (lambda: 1.0 / Value(0.0), r"1\.0 / 0\.0 = inf"),
    (lambda: Value(-2.0) ** 0.5, r"-2\.0 \*\* 0\.5 = nan"),
    (lambda: cr.exp(Value(1000.0)), r"exp\(1000\.0\) = inf"),
    (lambda: Value(1e300) * 1e300, r"1e\+300 \* 1e\+300 = inf"),
    (lambda: cr.sum([Value(math.inf), -math.inf]), r"sum\(inf, -inf\) = nan"),
    (lambda: cr.softmax([Value(math.nan), 1.0]), r"softmax\(.*nan, 1\.0\) = nan"),
    (lambda: Value(-2.0).sqrt(), r"sqrt\(-2\.0\) = nan"),
    (lambda: -Value(math.nan), r"neg\(nan\) = nan"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_an_anomaly_names_operation_operands_and_line(make, message):
    make()
    with cr.detect_anomaly(), pytest.raises(AnomalyError) as caught:
        make()
    assert caught.match(message + ", made at ")
    line = inspect.getsourcelines(make)[1]
    assert caught.match(rf"test_modes\.py:{line} in <lambda>")


def test_the_line_is_the_users_also_through_layers_of_the_library():
    def objective(x):
        return cr.mean([cr.log(x), x])  # this line

    with cr.detect_anomaly(), pytest.raises(AnomalyError, match=r"test_modes\.py:\d+ in objective"):
        cr.hessian(objective)(0.0)
    with cr.detect_anomaly(), pytest.raises(AnomalyError, match=r"test_modes\.py:\d+ in test_the"):
        np.exp(np.array([Value(1000.0)], dtype=object))


def test_an_infinite_gradient_is_an_anomaly():
    with cr.detect_anomaly():
        x = Value(0.0, label="x")
        y = cr.sqrt(x) * 3.0
        with pytest.raises(AnomalyError) as caught:
            y.backward()
    assert caught.match(r"the gradient inf flows into operand 0 \(Value\(data=0\.0.*'x'")
    assert caught.match(r"sqrt\(0\.0\) = 0\.0: local derivative inf, gradient from above 3\.0")
    assert caught.match(r"made at .*test_modes\.py:\d+ in test_an_infinite")


def test_an_anomaly_in_a_graph_made_outside_says_how_to_find_the_line():
    y = cr.sqrt(Value(0.0))
    with cr.detect_anomaly(), pytest.raises(AnomalyError, match="make the graph inside detect_ano"):
        y.backward()


@pytest.mark.parametrize(
    "differentiate",
    [
        lambda: cr.grad(cr.sqrt)(0.0),
        lambda: cr.value_and_grad(cr.sqrt)(0.0),
        lambda: cr.jvp(cr.sqrt, (0.0,), (1.0,)),
        lambda: cr.vjp(cr.sqrt, 0.0)[1](1.0),
        lambda: cr.jacobian(cr.sqrt)(0.0),
        lambda: cr.jacobian(lambda x: [x, cr.sqrt(x)])(0.0),
        lambda: cr.gradients(cr.sqrt(x := Value(0.0)), [x]),
        lambda: cr.gradients(cr.sqrt(x := Value(0.0)), [x], create_graph=True),
        lambda: cr.hessian(lambda x: x**1.5)(0.0),
        lambda: cr.hvp(lambda x: x**1.5, (0.0,), (1.0,)),
        lambda: cr.grad(lambda x: cr.square(x) * 1e200)(1e200),
    ],
)
def test_every_way_to_differentiate_is_watched(differentiate):
    differentiate()
    with cr.detect_anomaly(), pytest.raises(AnomalyError):
        differentiate()


def test_an_infinite_direction_is_blamed_on_the_first_node_it_reaches():
    with (
        cr.detect_anomaly(),
        pytest.raises(AnomalyError, match=r"tangent of exp\(0\.0\) = 1\.0 is"),
    ):
        cr.jvp(cr.exp, (0.0,), (math.inf,))


def test_healthy_work_passes_unchanged_under_watch():
    def work():
        x = Value(0.5)
        y = cr.tanh(x) * cr.softmax([x, 1.0])[0] + cr.where(x > 0, x, cr.log(x * x))
        y.backward()
        return [y.data, x.grad, cr.hessian(lambda a, b: a * cr.exp(b))(1.0, 2.0).tolist()]

    expected = work()
    with cr.detect_anomaly():
        assert work() == expected


def test_an_infinite_leaf_is_not_an_anomaly_until_something_comes_of_it():
    with cr.detect_anomaly():
        mask = Value(-math.inf)
        assert cr.softmax([mask, 1.0])[0].data == 0.0
        with pytest.raises(AnomalyError):
            mask + 1.0


def test_an_anomaly_is_a_floating_point_error_of_the_library():
    assert issubclass(AnomalyError, FloatingPointError)
    assert AnomalyError.__module__ == "chainrule"


def test_a_compiled_function_is_recorded_without_a_look_at_each_node():
    seen = []

    def f(x):
        seen.append((bool(modes.active), bool(modes.observing)))
        return x * x

    cr.compile(f)([1.0])
    with cr.detect_anomaly():
        cr.compile(f)([1.0])
    assert seen == [(True, False), (True, True)]
    assert modes.active == modes.observing == []
