"""Wrong programs as people wrote them are named; ``python benchmarks/programs.py`` counts them."""

from __future__ import annotations

import pytest

from chainrule.checking import diagnose

from .programs.wrong import WRONG


def name_of(value):
    return getattr(value, "__name__", None)


@pytest.mark.numpy_alone
@pytest.mark.parametrize(("program", "stated", "codes"), WRONG, ids=name_of)
def test_the_mistake_of_a_program_is_named(program, stated, codes):
    report = diagnose(program, **stated)
    if codes:
        assert tuple(sorted(report.codes)) in [tuple(sorted(wanted)) for wanted in codes]
    else:
        assert report.codes == ("unknown.deltas",)
        assert report.first_wrong_layer == 1
