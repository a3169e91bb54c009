"""What is shown of an object: short texts, and tables in notebooks, whatever a label holds."""

import inspect
import json
import math
import pkgutil
from xml.etree import ElementTree as ET

import pytest

import chainrule as cr
from chainrule import Value, backprop, checking, compiler, nn, viz
from chainrule.engine import attributes
from chainrule.nn import MLP, Module

HOSTILE = "<script>alert(1)</script>\u202e\ud800\x00&'\""


def cells(thing):
    html = thing._repr_html_()
    json.dumps(html).encode()  # as it travels to the browser
    html.encode()
    table = ET.fromstring(html)
    assert not list(table.iter("script"))
    return [[cell.text or "" for cell in row] for row in table.iter("tr")]


def test_a_value_shows_its_parents_and_local_derivatives():
    w, x = Value(3.0, "w"), Value(2.0, "x")
    y = w * x
    y.label = "y"
    assert cells(y)[1] == ["this node", "6.0", "–", ""]
    y.backward()
    assert cells(y) == [
        ["", "value", "gradient", "local derivative"],
        ["this node", "6.0", "1.0", ""],
        ["w", "3.0", "2.0", "2.0"],
        ["x", "2.0", "3.0", "3.0"],
    ]
    assert "Value y = *" in y._repr_html_()
    assert len(repr(y)) < 80


def test_labels_are_text():
    x = Value(1.0, HOSTILE)
    shown = cells(x * 2.0)
    assert shown[2][0] == "<script>alert(1)</script>\\u202e\\ud800\\x00&'\""


def test_an_emoji_of_several_characters_stays_whole():
    label = "\U0001f469\u200d\U0001f4bb"
    assert cells(Value(1.0, label) * 2.0)[2][0] == label


def test_a_long_sum_shows_twenty_parents():
    total = cr.sum([Value(float(i)) for i in range(1000)])
    shown = cells(total)
    assert len(shown) == 22
    assert shown[-1] == ["… 981 more"]


def test_a_module_shows_its_parameters():
    class Line(Module):
        def __init__(self):
            self.slope = Value(2.0)
            self.offsets = [Value(0.0), Value(-1.0)]

    assert repr(Line()) == "<Line: 3 parameters in slope, offsets>"
    assert cells(Line())[1:] == [["slope", "a number", "1", "2"], ["offsets", "2", "2", "1"]]
    assert cells(MLP(2, [3, 1], seed=0))[1][:3] == ["Theta1", "3 × 3", "9"]
    assert repr(Module()) == "<Module: 0 parameters in nothing>"

    class Many(Module):
        def __init__(self):
            for i in range(9):
                setattr(self, f"p{i}", Value(1.0))

    assert repr(Many()) == "<Many: 9 parameters in p0, p1, p2, p3, …>"


def test_a_trace_shows_its_units():
    model = MLP(2, [2, 1], "tanh", seed=0)
    trace = model.trace([0.5, -1.0])
    assert repr(trace) == "<Trace of 2 - 2 - 1 units>"
    assert cells(trace)[1] == ["a[1][0]", "", "0.5", ""]
    assert cells(trace)[-1][3] == "–"
    (trace.output - 1.0).backward()
    unit = trace.z[3][0]
    assert cells(trace)[-1] == ["a[3][0]", f"{unit.data:.4g}", f"{trace.a[3][0].data:.4g}", "1"]


def test_a_compiled_function_shows_its_program():
    f = cr.compile(lambda x: cr.tanh(x) * 2.0)
    assert "0 shapes" in repr(f)
    assert "0 shapes" in f._repr_html_()
    f([1.0, 2.0])
    assert "1 shape of" in repr(f)
    shown = ET.fromstring(f"<div>{f._repr_html_()}</div>").find("pre").text
    assert "tanh" in shown
    assert len(shown.splitlines()) <= 61


def test_a_gradient_check_shows_what_is_wrong_first():
    check = checking.check_gradients(lambda x, y: cr.tanh(x) * y, 0.5, 2.0)
    assert repr(check).startswith("<GradientCheck: ")
    assert "\n" not in repr(check)
    assert len(cells(check)) == 3
    assert {row[-1] for row in cells(check)[1:]} == {"yes"}
    cube = cr.primitive("cube of the display", lambda x: x * x * x, (lambda x, y: 2.0 * x * x,))
    with pytest.raises(checking.GradientMismatch) as caught:
        checking.check_gradients(lambda x, y: cube(x) + y, 2.0, 1.0)
    shown = cells(caught.value.check)
    assert shown[1][-1] == "no"
    assert shown[2][-1] == "yes"
    assert float(shown[1][2]) == 8.0
    assert math.isclose(float(shown[1][3]), 12.0, rel_tol=1e-6)


def test_every_method_of_a_value_says_what_it_does_and_takes():
    for name in (name for name in dir(Value) if not name.startswith("_")):
        if isinstance(inspect.getattr_static(Value, name), attributes.Given):
            continue  # another test hung it on a Value
        member = getattr(Value, name)
        if callable(member):
            assert inspect.getdoc(member), name
            assert "self" in inspect.signature(member).parameters, name


def test_a_scope_shows_its_name():
    assert repr(cr.scope("encoder")) == "scope('encoder')"


@pytest.mark.parametrize("room", [cr, backprop, compiler, nn, nn.losses, nn.optim, viz])
def test_completion_offers_what_is_public(room):
    """A room's own files may be there too, but nothing that it imports for itself."""
    offered = {name for name in dir(room) if name.isidentifier() and name[0] != "_"}
    assert offered >= {name for name in room.__all__ if not name.startswith("_")}
    files = {info.name for info in pkgutil.iter_modules(getattr(room, "__path__", []))}
    assert offered <= {*room.__all__, *files}
