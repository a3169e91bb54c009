"""Plans that are not sound are refused when a machine is made."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.plan import BLOCK, STILL, SUMS, Operand, Plan, Step
from chainrule.engine import table
from chainrule.engine.native import core
from chainrule.engine.table import TABLE

from .reading import one

if core is None:
    pytest.skip("there is no native core here", allow_module_level=True)


# --- plans that are not sound ---------------------------------------------------------------------


def test_a_row_without_a_kernel_is_a_lookup_error():
    own = table.primitive("cubed", lambda x: x**3, (lambda x, y: 3 * x * x,))
    try:
        assert not core.Machine.can(own)
        assert core.Machine.can(table.hypot)
        assert not core.Machine.can("exp")
        step = Step("apply", (1,), (Operand(BLOCK, 1, (0,)), Operand(BLOCK, 0, (0,))), (0,))
        with pytest.raises(LookupError, match="cubed"):
            core.Machine(Plan(rows=[own], block=2, inputs=[(0, 1)], each=[step]))
    finally:
        del TABLE["cubed"]


def sound(**changes):
    step = Step("copy", (2,), (Operand(BLOCK, 2, (1,)), Operand(BLOCK, 0, (1,))))
    plan = Plan(
        rows=[table.exp, table.add], tables=[np.array([0, 1]), np.array([[1, 2, 0, 1, 0]])],
        block=4, still=np.zeros(5), parameters=(1, 3), sums=2, inputs=[(0, 2)], each=[step],
        outputs=[Operand(BLOCK, 2)],
    )  # fmt: skip
    for name, x in changes.items():
        setattr(plan, name, x)
    return plan


B, S, T = BLOCK, STILL, SUMS


def looping(count, by=(0, 0)):
    """Return changes that put a copy that moves into a loop."""
    move = Step("move", (2,), (Operand(B, 2, (1,)), Operand(B, 0, (1,))), by)
    return {"each": [Step("loop", (), (), (count, 1)), move]}


def test_a_code_that_c_does_not_know_is_a_lookup_error():
    with pytest.raises(LookupError, match="there is no code 'frobnicate' in C"):
        core.Machine(sound(**one("frobnicate", (2,), (B, 2, (1,)), (B, 0, (1,)))))


UNSOUND = {
    "beyond": one("copy", (2,), (B, 3, (1,)), (B, 0, (1,))),
    "beyond by a stride": one("copy", (2,), (B, 2, (1,)), (B, 0, (4,))),
    "beyond by far": one("copy", (2,), (B, 2, (1,)), (B, 0, (2**62,))),
    "beyond by two axes": one("copy", (2, 2), (B, 0, (2, 1)), (B, 1, (2, 1))),
    "before": one("copy", (2,), (B, 2, (1,)), (B, -1, (1,))),
    "backwards": one("copy", (2,), (B, 2, (1,)), (B, 1, (-1,))),
    "an extent of 0": one("copy", (0,), (B, 2, (1,)), (B, 0, (1,))),
    "no extent": one("copy", (), (B, 2, ()), (B, 0, ())),
    "an extent that overflows": one("copy", (2**62, 2**62), (B, 2, (0, 0)), (B, 0, (0, 0))),
    "a space": one("copy", (2,), (3, 2, (1,)), (B, 0, (1,))),
    "strides": one("copy", (2,), (B, 2, (1, 1)), (B, 0, (1,))),
    "operands": one("copy", (2,), (B, 2, (1,))),
    "detail": one("copy", (2,), (B, 2, (1,)), (B, 0, (1,)), detail=(1,)),
    "a result in STILL": one("copy", (2,), (S, 1, (1,)), (B, 0, (1,))),
    "a result in SUMS": one("copy", (2,), (T, 0, (1,)), (B, 0, (1,))),
    "reading SUMS": one("copy", (2,), (B, 0, (1,)), (T, 0, (1,))),
    "BLOCK before": one("copy", (2,), (S, 3, (1,)), (B, 0, (1,)), where="before"),
    "BLOCK after": one("copy", (2,), (B, 0, (1,)), (S, 0, (1,)), where="after"),
    "a row": one("apply", (2,), (B, 2, (1,)), (B, 0, (1,)), detail=(2,)),
    "a row below": one("apply", (2,), (B, 2, (1,)), (B, 0, (1,)), detail=(-1,)),
    "the arguments of a row": one("apply", (2,), (B, 2, (1,)), (B, 0, (1,)), detail=(1,)),
    "a table": one("gather", (2,), (B, 2, (1,)), (B, 0, (1,)), detail=(2,)),
    "a short table": one("gather", (4,), (B, 0, (1,)), (B, 0, (1,)), detail=(0,)),
    "a gather beyond": one("gather", (2,), (B, 2, (1,)), (B, 3, (1,)), detail=(0,)),
    "a scatter beyond": one("scatter", (2,), (B, 3, (1,)), (B, 0, (1,)), detail=(0,)),
    "the columns of flat": one("flat", (), detail=(0,)),
    "a sum along its result": one("sum", (2,), (B, 2, (1,)), (B, 0, (1,)), detail=(1,)),
    "a sum over too much": one("sum", (2,), (B, 2, (0,)), (B, 0, (1,)), detail=(2,)),
    "stretches beyond": one("segment_sum", (1,), (B, 2, (1,)), (B, 0, (1,)), detail=(0,)),
    "rows of a table": one("pick", (1,), (B, 2, (1,)), (B, 0, (0,)), (S, 1, (1,)), detail=(3, 2)),
    "no rows": one("pick", (1,), (B, 2, (1,)), (B, 0, (0,)), (S, 1, (1,)), detail=(0, 2)),
    "a loop of nothing": {"each": [Step("loop", (), (), (3, 0))]},
    "a loop beyond the end": {"each": [Step("loop", (), (), (3, 1))]},
    "no rounds": looping(0),
    "a loop that ends after the one around it": {
        "each": [Step("loop", (), (), (3, 1)), *looping(2)["each"]]
    },
    "a loop with extents": one("loop", (2,), detail=(3, 1)),
    "a loop before": {"before": looping(2)["each"], "each": []},
    "too many loops in one another": {
        "each": [*(Step("loop", (), (), (1, 41 - i)) for i in range(40)), *looping(1)["each"]]
    },
    "moving without a loop": {"each": looping(2)["each"][1:]},
    "moving beyond": looping(3, (1, 0)),
    "moving below": looping(3, (0, -1)),
    "moving far": looping(2, (2**40, 0)),
    "moving from STILL": {
        "each": [
            Step("loop", (), (), (1, 1)),
            Step("move", (1,), (Operand(B, 2, (1,)), Operand(S, 0, (1,))), (0, 0)),
        ]
    },
    "inputs": {"inputs": [(3, 2)]},
    "outputs": {"outputs": [Operand(BLOCK, 4)]},
    "outputs of sums": {"outputs": [Operand(SUMS, 0)]},
    "parameters": {"parameters": (3, 6)},
    "the count among the parameters": {"parameters": (0, 2)},
    "a cost": {"cost": 5, "gradient": (1, 3)},
    "a gradient": {"cost": 1, "gradient": (3, 6)},
    "nothing still": {"still": np.zeros(0)},
    "still of another type": {"still": np.zeros(5, dtype=np.float32)},
    "a table of floats": {"tables": [np.zeros(2)]},
    "a negative size": {"block": -1},
    "a step that is not one": {"each": [("copy", (2,))]},
}


def test_a_sound_plan_is_taken():
    assert core.Machine(sound()).run(np.zeros(2), (np.ones((1, 2)),)).tolist() == [[1.0]]


@pytest.mark.parametrize("name", UNSOUND)
def test_a_plan_that_is_not_sound_is_refused(name):
    with pytest.raises(ValueError, match="Machine: the plan is not sound: "):
        core.Machine(sound(**UNSOUND[name]))


@pytest.mark.parametrize(
    "steps",
    [
        [[1, 4, 0, 1, 0]], [[1, 2, 0, 4, 0]], [[1, 2, 0, ~5, 0]], [[1, ~3, 0, 1, 0]],
        [[2, 2, 0, 1, 0]], [[-3, 2, 0, 1, 0]], [[1, 2, 2, 1, 0]],
    ],
)  # fmt: skip
def test_flat_steps_that_are_not_sound_are_refused(steps):
    with pytest.raises(ValueError, match="Machine: the plan is not sound: "):
        core.Machine(sound(tables=[np.array(steps)], **one("flat", (), detail=(0,))))
    table_of = [np.array(steps[0][1:4])]
    if 0 <= steps[0][0] < 2:
        with pytest.raises(ValueError, match="Machine: the plan is not sound: "):
            core.Machine(sound(tables=table_of, **one("call", (), detail=(steps[0][0], 0))))


def test_whatever_is_not_a_plan_is_refused():
    for wrong in (None, 1, [], Plan):
        with pytest.raises((TypeError, AttributeError, ValueError)):
            core.Machine(wrong)
    for field in ("rows", "tables", "still", "inputs", "before", "each", "after", "outputs"):
        for wrong in (None, 3, [None], "no"):
            with pytest.raises((TypeError, ValueError, LookupError, BufferError)):
                core.Machine(
                    sound(
                        **(
                            {field: wrong} | one("flat", (), detail=(1,))
                            if field == "rows"
                            else {field: wrong}
                        )
                    )
                )
