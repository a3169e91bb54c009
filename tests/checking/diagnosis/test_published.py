"""Published examples, with their published errors."""

from __future__ import annotations

from chainrule import backprop
from chainrule.checking import diagnose_step
from chainrule.checking.problem import mazur, ng

from .making import report_on

# ---------------------------------------------------------------- published examples


def test_mazurs_published_error_after_the_step_is_the_wrong_order():
    report = diagnose_step(0.291027924, mazur(), 0.5, biases="fixed")
    assert report.codes == ("hidden.updated-weights",)
    assert report.findings[0].confidence == "certain"
    assert "0.291027774" in report.findings[0].evidence
    assert diagnose_step(0.291027774, mazur(), 0.5, biases="fixed").ok
    assert diagnose_step(0.29, mazur(), 0.5, biases="fixed").codes == ("unknown.deltas",)


def test_mazurs_gradient_in_the_wrong_order_is_named_with_its_learning_rate():
    # The post keeps its biases fixed: only the weights were updated, and only they lead back.
    problem = mazur()
    updated = problem.thetas[1] - 0.5 * problem.truth.D[1] * [0, 1, 1]
    late = backprop.delta_hidden(updated, problem.truth.delta[1], problem.truth.z[0])
    D1 = backprop.accumulate(late, problem.X)
    report = report_on([D1, problem.truth.D[1]], problem)
    assert report.codes == ("hidden.updated-weights",)
    assert "was 0.5." in report.findings[0].evidence


def test_ngs_published_gradient_is_right_to_its_digits():
    published = """0.766138 0.979897 -0.027540 -0.035844 -0.024929 -0.053862
                   0.883417 0.568762 0.584668 0.598139 0.459314 0.344618
                   0.256313 0.311885 0.478337 0.368920 0.259771 0.322331"""
    report = report_on([float(number) for number in published.split()], ng(0.0))
    assert report.ok
    assert [c.name for c in report.conventions] == ["unrolled-F", "precision"] or [
        c.name for c in report.conventions
    ] == ["precision", "unrolled-F"]
