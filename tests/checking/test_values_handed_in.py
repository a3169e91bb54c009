"""``diagnose``: arrays of Values are read as their data."""

import numpy as np

import chainrule as cr
from chainrule.checking import diagnose, probe


def report_on(arrays):
    problem = probe()
    values = [np.array([[cr.Value(x) for x in row] for row in array]) for array in arrays]
    return diagnose(values, problem.thetas, problem.X, problem.Y, problem.lam, loss="logistic")


def test_a_gradient_of_values_is_right_or_wrong_as_its_data_are():
    right = probe().truth.D
    assert report_on(right).ok
    assert report_on([-D for D in right]).codes == ("sign.everything",)


def test_parameters_that_come_back_are_no_gradient_and_it_is_said_where_theirs_is():
    report = report_on(probe().thetas)
    assert report.codes == ("update.weights-returned",)
    assert ".grad" in report.findings[0].fix
