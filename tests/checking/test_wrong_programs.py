"""Wrong programs as people wrote them are named; ``python benchmarks/programs.py`` counts them."""

from __future__ import annotations

import pytest

from chainrule.checking import diagnose

from .programs.wrong import WRONG, lists_with_the_bias_last


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


@pytest.mark.numpy_alone
def test_a_mistake_without_a_name_is_told_by_the_reading_with_the_most_right_layers():
    report = diagnose(lists_with_the_bias_last)
    assert report.codes == ("unknown.deltas",)
    assert report.first_wrong_layer == 1
    assert "the bias is the last column" in report.text()
