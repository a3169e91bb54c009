"""Plans: every machine does what the printed program does, and no place is shared."""

import functools

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler.accesses import read, written
from chainrule.compiler.builder import Builder
from chainrule.compiler.lowering import lower
from chainrule.compiler.machine import Machine
from chainrule.compiler.places import Buffer, Draft, Gaps, Spot, settle
from chainrule.compiler.printers import numpy as printer
from chainrule.compiler.printers import rows as printed_rows
from chainrule.compiler.strides import merged
from chainrule.engine import table as primitives
from chainrule.engine.native import core
from chainrule.engine.vectors import read_data

from . import families
from .plans import accesses, both, programs, prove, sizes

PROGRAMS = {name: (function, batch) for name, function, batch in programs()}


@functools.cache
def recorded(name):
    function, batch = PROGRAMS[name]
    compiled = cr.compile(function).record(*batch)
    return compiled, compiled._recorded().arrays


def rows(name):
    return tuple(x if x.ndim > 1 else x[:, None] for x in PROGRAMS[name][1])


def results(machine, arrays, batch):
    found = machine.run(arrays.parameters, batch, 1)
    return found if isinstance(found, tuple) else (found,)


def close(found, expected, precision=1e-13):
    for a, b in zip(found, expected, strict=True):
        floor = precision * np.max(np.abs(b), initial=1e-300, where=np.isfinite(b))
        np.testing.assert_allclose(a, b, rtol=precision, atol=floor)


def printed(compiled, arrays, name, batch):
    """Return what function *name* of the printed source returns, in the shape of a run."""
    program = compiled.program
    forms = (row.on_arrays for row in program.rows)
    namespace = {"rows": dict(zip(program.row_names(), forms, strict=True))}
    exec(printer.write(program), namespace)
    vector = read_data(arrays.parameters)
    thetas = [vector[slice(*o.detail)].reshape(o.shape) for o in program.parameters(name)]
    found = namespace[name](*thetas, *batch)
    if name == "forward":
        return (np.broadcast_to(found, (len(batch[0]), found.shape[-1])).T,)
    cost, derivatives = found
    whole = np.zeros(len(vector) + 1)
    for (n, _), derivative in zip(program.gradients, derivatives, strict=True):
        whole[slice(*program.operations[n].detail)] += np.ravel(derivative)
    return np.asarray(cost).item(), whole[list(arrays.wanted)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_step_reads_a_place_that_was_overwritten(name):
    for plan, beside in both(recorded(name)[1]):
        prove(plan, beside)


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_a_step_touches_is_known(name):
    for plan in recorded(name)[1].plans().values():
        for step in (*plan.before, *plan.each, *plan.after):
            for places, known in zip(accesses(plan, step), (written, read), strict=True):
                found = {(space, i) for space, at in known(plan, step) for i in at.tolist()}
                expected = {(space, i) for space, at in places for i in at.tolist()}
                assert expected <= found
                assert step.code == "spread" or found == expected


def test_the_report_says_how_long_a_result_is_needed():
    compiled, _ = recorded("attention")
    text = compiled.explain()
    assert "7. Plan" in text
    assert "rows; in all" in text
    assert text.count(", read until ") > 10


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_plan_does_what_the_printed_program_does(name, monkeypatch):
    # What is printed of some losses is the formula of the notes, which loses digits.
    monkeypatch.setattr(printed_rows, "READ", {})
    monkeypatch.setattr(printer.Emitter, "_softmax_minus", printer.Emitter._segmented)
    compiled, arrays = recorded(name)
    for function, plan in arrays.plans().items():
        found = results(Machine(plan), arrays, rows(name))
        close(found, printed(compiled, arrays, function, rows(name)))


@pytest.mark.skipif(core is None, reason="there is no C core")
@pytest.mark.parametrize("name", PROGRAMS)
def test_both_machines_do_the_same(name):
    _, arrays = recorded(name)
    for plan in arrays.plans().values():
        if not all(core.Machine.can(row) for row in plan.rows):
            continue
        batch = rows(name)
        many = tuple(np.concatenate([x] * 40) for x in batch)
        for asked in (batch, many, tuple(x[:1] for x in batch)):
            found = results(core.Machine(plan), arrays, asked)
            close(found, results(Machine(plan), arrays, asked))


def test_a_batch_in_several_blocks_is_a_batch():
    _, arrays = recorded("attention")
    batch = tuple(np.concatenate([x] * 5) for x in rows("attention"))
    for plan in arrays.plans().values():
        whole, parts = Machine(plan), Machine(plan)
        parts.lanes = 4
        close(results(parts, arrays, batch), results(whole, arrays, batch))


def test_a_derivative_that_is_not_wanted_is_not_computed():
    run, thetas = families.mlp(families.random.Random(0), (3, 4, 2))
    last = [w for row in thetas[-1] for w in row][::-1]
    batch = np.ones((4, 3))

    def function(x):
        return cr.sum(run(x))

    every = cr.compile(function).record(batch)
    some = cr.compile(function, wrt=[*last, cr.Value(0.0)]).record(batch)
    plans = [c._recorded().arrays.plans()["gradient"] for c in (every, some)]
    assert sizes(plans[1])[0] < sizes(plans[0])[0] - 3
    gradient = dict(zip(every.parameters, every.value_and_grad(batch)[1], strict=True))
    assert some.value_and_grad(batch)[1].tolist() == [*(gradient[w] for w in last), 0.0]


# --- the length of plans -------------------------------------------------------------------------


def test_a_program_of_any_length_is_lowered_and_its_rows_are_used_again():
    builder = Builder()
    x = builder.emit("input", (), (3,), True, 0)
    for _ in range(5000):
        x = primitives.sin(x) + 1.0
    program = builder.program
    program.inputs, program.outputs = ["X"], [x.number]
    plan = lower(program, 0)
    assert len(plan.each) == 2 * 5000
    assert plan.block == 3  # each result is written over its operand
    (found,) = results(Machine(plan), _Nothing, (np.zeros((1, 3)),))
    expected = 0.0
    for _ in range(5000):
        expected = np.sin(expected) + 1.0
    assert found == pytest.approx(np.full((3, 1), expected))


class _Nothing:
    parameters = ()


def test_steps_grow_as_the_program_does():
    rng = np.random.default_rng(0)
    counts = []
    for length in (4, 8, 12):
        leaves = [[cr.Value(x) for x in row] for row in rng.normal(size=(3, 3))]

        def run(xs, leaves=leaves):
            h = xs[0]
            for x in xs[1:]:
                h = [cr.tanh(cr.dot(row, h) + a) for row, a in zip(leaves, x, strict=True)]
            return cr.sum(h)

        compiled = cr.compile(run).record(rng.normal(size=(2, length, 3)))
        counts.append([sizes(p)[0] for p in compiled._recorded().arrays.plans().values()])
    first, second, third = np.array(counts)
    assert (third - second == second - first).all()


# --- places --------------------------------------------------------------------------------------


def test_gaps_are_used_again_and_grow_together():
    gaps = Gaps()
    starts = [gaps.take(size) for size in (4, 3, 5)]
    assert starts == [0, 4, 7]
    assert gaps.size == 12
    gaps.give(0, 4)
    assert gaps.take(2) == 0
    gaps.give(4, 3)
    assert gaps.take(5) == 2  # what is left of the first, and the second
    gaps.give(7, 5)
    assert gaps.take(9) == 7  # the last gap grows
    assert gaps.size == 16


def test_the_last_of_many_gaps_is_used_in_part_and_the_size_never_shrinks():
    gaps = Gaps()
    starts = [gaps.take(1) for _ in range(400)]
    for start in starts[:300:2]:
        gaps.give(start, 1)
    for start in starts[300:]:
        gaps.give(start, 1)
    assert [gaps.take(10), gaps.size] == [300, 400]
    assert [gaps.take(90), gaps.size] == [310, 400]
    assert [gaps.take(5), gaps.size] == [400, 405]


def test_a_result_is_written_over_an_operand_only_if_nothing_else_reads_it():
    a, b, c = (Buffer(1, 4) for _ in range(3))
    spots = [Spot(x, 0, (1,)) for x in (a, b, c)]
    backwards = Spot(a, 3, (0,))
    each = [
        Draft("apply", (4,), (spots[1], spots[0], backwards), (0,)),
        Draft("apply", (4,), (spots[2], spots[1]), (0,)),
    ]
    settle(([], each, []), [a], 0, True)
    assert b.at != a.at
    assert c.at == b.at


def test_indices_are_merged_where_all_strides_allow():
    assert merged((2, 3, 4), [(12, 4, 1), (0, 0, 0)]) == ([24], [[1], [0]])
    assert merged((2, 3, 4), [(12, 4, 1), (4, 0, 1)]) == ([2, 3, 4], [[12, 4, 1], [4, 0, 1]])
    assert merged((1,), [(5,)]) == ([], [[]])
