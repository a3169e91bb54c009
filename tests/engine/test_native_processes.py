"""The native core where it needs a process of its own: the other backend, depth, memory that runs
out, interpreters within the interpreter.
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import pytest

import chainrule as cr
from chainrule.engine import attributes, methods, value
from chainrule.engine.native import core as native

from .. import children

if native is None:
    pytest.skip("the native core is not built, or switched off", allow_module_level=True)


def run(program: str, *args: str, **environment: str) -> str:
    """What *program* prints in a fresh interpreter, which must end well."""
    return children.printed("-X", "faulthandler", "-c", program, *args, **environment).strip()


GRAPH = """
import chainrule as cr, pickle, sys
def graph():
    x, y = cr.Value(0.5, "x"), cr.Value(-2.0)
    z = cr.dot([x, y], [y, 3.0], 1.0) + cr.tanh(x) * 2.0 + cr.where(x, y, x) + cr.atan2(x, y)
    z.label = "z"
    z.backward()
    return z
def picture(z):
    from chainrule.engine.sweeps import topological_order
    return [(repr(v), v.parents.__repr__(), v.partials, v.operands.__repr__(), v.has_grad)
            for v in topological_order([z])]
"""


def test_the_environment_switches_the_native_core_off():
    program = "import chainrule as cr; print(cr.backend, cr.Value.__flags__ & 1 << 14 != 0)"
    assert run(program) == "native False"
    assert run(program, CHAINRULE_NO_EXTENSIONS="1") == "python True"
    assert run(program, CHAINRULE_NO_EXTENSIONS="0") == "native False"


def test_a_missing_core_is_said_once_and_the_switch_says_that_it_is_meant():
    program = (
        "import sys, warnings; sys.modules['chainrule.engine.native._core'] = None\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    import chainrule, chainrule.nn, chainrule.compiler\n"
        "print(chainrule.backend, *(str(w.message) for w in caught))"
    )
    said = run(program)
    assert said.startswith("python chainrule runs in pure Python here")
    assert said.count("CHAINRULE_NO_EXTENSIONS=1") == 1
    assert run(program, CHAINRULE_NO_EXTENSIONS="1") == "python"


@pytest.mark.parametrize("writer", ["0", "1"])
def test_a_graph_pickled_by_one_backend_is_read_by_the_other(tmp_path, writer):
    file = str(tmp_path / "graph")
    write = GRAPH + "z = graph(); pickle.dump(z, open(sys.argv[1], 'wb')); print(picture(z))"
    read = GRAPH + "z = pickle.load(open(sys.argv[1], 'rb')); print(picture(z)); z.backward()"
    reader = {"0": "1", "1": "0"}[writer]
    written = run(write, file, CHAINRULE_NO_EXTENSIONS=writer)
    assert run(read, file, CHAINRULE_NO_EXTENSIONS=reader) == written


def test_a_chain_of_three_million_is_built_differentiated_and_released_on_the_default_stack():
    program = """
import chainrule as cr
x = y = cr.Value(1.0)
for _ in range(1_000_000):
    y = cr.tanh(y * 0.5 + x)
repr(y)
y.backward()
assert 0.0 < x.grad < 10.0
y = None
z = x
for _ in range(300_000):
    z = cr.dot([z], [0.5], x)
z.backward()
z = None
print(cr.engine.native.core.memory()["nodes"])
"""
    assert run(program) == "1"


def test_a_deep_chain_is_pickled_and_copied_on_the_default_stack():
    length = int(os.environ.get("CHAINRULE_DEPTH", "100_000"))  # 3_000_000 in the nightly run
    program = """
import chainrule as cr, copy, pickle, sys
x = y = cr.Value(1.0)
for _ in range(int(sys.argv[1])):
    y = y * 0.999999
z = pickle.loads(pickle.dumps(y))
z.backward()
y.backward()
print(z.data == y.data, z.grad == y.grad)
"""
    assert run(program, str(length)) == "True True"


def test_a_wide_and_deep_graph_is_released_whole():
    # In quadratic time, or by recursion, this would not end before the process is stopped.
    program = """
import chainrule as cr
from chainrule.engine.native import core as native
before = native.memory()["nodes"]
layer = [cr.Value(0.1)] * 50
for _ in range(16_000):
    layer = [a + b for a, b in zip(layer, layer[1:] + layer[:1])]
held = native.memory()["nodes"] - before
layer = a = b = None
print(held, native.memory()["nodes"] - before)
"""
    assert run(program) == "800001 0"


def test_allocations_that_fail_raise_memory_error_and_change_nothing():
    pytest.importorskip("_testcapi", reason="this interpreter comes without its test modules")
    plain = """
import _testcapi
def f(x): return [g(x) for _ in range(2)]
def g(x): return (x, [x] * 40, {1: x}, h(x))
def h(x): return tuple([float(str(x)) for _ in range(3)])
def k(x): return sorted(f(x), key=lambda t: t[0])
for action in (lambda: f(1.5), lambda: k(2.5)):
    for start in range(80):
        _testcapi.set_nomemory(start, start + 1)
        try:
            action()
        except MemoryError:
            pass
        finally:
            _testcapi.remove_mem_hooks()
"""
    if children.run("-c", plain).returncode != 0:
        pytest.skip("this interpreter does not survive it in functions of its own: 3.12.1, 3.13.0")
    program = """
import _testcapi, sys
import chainrule as cr
from chainrule.engine import sweeps, vectors
from chainrule.engine.native import core as native

a, b = cr.Value(0.5, "a"), cr.Value(2.0)
many = [cr.Value(1.0) for _ in range(400)]
row = cr.primitive("mine", lambda x: x * 2.0, (2.0,))
top = cr.tanh(a * b) + row(a)
hold = []

def labelled():
    c = a * b
    c.label = "c"
    return c

def grow():
    return [a + b for _ in range(20_000)]  # several arenas

actions = [
    lambda: a + b, lambda: a * 2, lambda: cr.tanh(a), lambda: cr.dot(many, many, a),
    lambda: cr.sum(many), lambda: row(a), lambda: cr.Value(1.0, "x"), labelled, grow,
    lambda: top.parents, lambda: top.partials, lambda: top.operands, lambda: top.backward(),
    lambda: native.topological_order((top,)), lambda: a + 10**400, lambda: a < 3, lambda: repr(top),
    lambda: native.make_node(cr.tanh, (a,), (a,), 1.0, (1.0,), 2.0, "x"), lambda: cr.atan2(a, b),
    lambda: [cr.Value(1.0) for _ in range(9000)], lambda: (a + b).backward(2.0),
]
for action in actions:
    for _ in range(3):
        action()
nodes = native.memory()["nodes"]
failures = 0
for action in actions:
    for start in range(60):
        _testcapi.set_nomemory(start, start + 1)
        try:
            action()
        except MemoryError:
            failures += 1
        finally:
            _testcapi.remove_mem_hooks()
        assert native.memory()["nodes"] == nodes, (action, start)
    action()
assert failures > 60, failures
top.backward()
print("fine")
"""
    assert run(program) == "fine"


def test_all_is_well_under_the_debugging_allocator():
    program = (
        GRAPH
        + """
for _ in range(300):
    z = graph()
    again = pickle.loads(pickle.dumps(z))
    assert picture(z) == picture(again)
    for bad in (None, 1j, "x"):
        for action in (lambda: z + bad, lambda: cr.sum([z, bad]), lambda: cr.dot([z], [bad])):
            try:
                action()
            except TypeError:
                pass
print("fine")
"""
    )
    assert run(program, PYTHONMALLOC="debug") == "fine"


# What the native core needs of the package, without NumPy, which keeps out of such interpreters.
STANDALONE = """
import importlib.util, types
spec = importlib.util.spec_from_file_location("_core", {path!r})
native = importlib.util.module_from_spec(spec)
spec.loader.exec_module(native)
class Row(native.Row):
    __slots__ = ("name",)
    def applied(self, *args):
        raise TypeError(args)
names = {names!r}
table = {{name: Row() for name in names}}
for name, row in table.items():
    row.name = name
refuse = lambda *args: (_ for _ in ()).throw(TypeError(args))
asked = ("as_float as_operand leaf_data checked_label checked_grad node_contents GIVEN "
         "give_attribute refuse_row refuse_write coerced comparable evaluate observe "
         "watch_backward FLOAT64 UFUNCS array_ufunc").split()
value = types.SimpleNamespace(**dict.fromkeys(asked, refuse))
value.checked_label = str
native.connect(types.SimpleNamespace(TABLE=table), value)
refuse.__name__ = "dot"
dot = native.published(refuse, "dot()")
for _ in range(3):
    x = y = native.Value(0.5, "x")
    for _ in range(20_000):
        y = table["tanh"](y * x) + 0.25
    y.backward()
    assert x.grad > 0.0
    assert dot([x, y], [1.0, y], x).parents
keep = (x, y, table)
"""


def standalone() -> str:
    names = sorted(cr.engine.table.TABLE)
    return STANDALONE.format(path=native.__file__, names=names)


def test_the_module_can_be_loaded_again_and_again_in_one_interpreter():
    program = f"for _ in range(5):\n    exec({standalone()!r}, {{'__name__': 'x'}})\nprint('fine')"
    assert run(program) == "fine"


@pytest.mark.parametrize("beside_each_other", [1, 3])
def test_each_subinterpreter_has_its_own_state(beside_each_other):
    program = (
        f"code = {standalone()!r}\n"
        + """
import sys, threading
exec(code)
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
else:
    import _xxsubinterpreters as interpreters
def work():
    for _ in range(3):
        new = interpreters.create()
        failed = interpreters.run_string(new, code)
        assert failed is None, failed
        interpreters.destroy(new)
threads = [threading.Thread(target=work) for _ in range(int(sys.argv[1]))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
z = native.Value(2.0)
(z * z).backward()
print(z.grad)
"""
    )
    # With a lock for each interpreter, CPython itself exchanges the allocator of all of them while
    # the others use it (python/cpython#123134), which its debugging allocator does not survive.
    concurrent = beside_each_other > 1 and sys.version_info >= (3, 12)
    environment = {"PYTHONMALLOC": "default"} if concurrent else {}
    assert run(program, str(beside_each_other), **environment) == "4.0"


# --- what is looked at while any code may run ----------------------------------------------------

# Up to CPython 3.11 the collector, and finalizers with it, may run wherever an object is made.
OFTEN = """
import gc, sys
import chainrule as cr
from chainrule.engine.native import core as native

class Cycle:
    def __init__(self, act):
        self.act, self.itself = act, self
    def __del__(self):
        self.act()

def meanwhile(act, do):
    hold = [tuple([i, i]) for i in range(5000)]  # so that the next tuples are new ones
    Cycle(act)
    gc.set_threshold(1, 1, 1)
    try:
        return do()
    finally:
        gc.set_threshold(700, 10, 10)
        del hold
"""


@pytest.mark.parametrize("view", ["operands", "parents", "partials"])
def test_a_node_that_is_named_while_it_is_looked_at_is_shown_whole(view):
    program = (
        OFTEN
        + f"""
def name(z):
    z.label = "x"
    junk.extend(cr.Value(7.0) * 11.0 for _ in range(50))
a, b, junk = cr.Value(2.0), cr.Value(3.0), []
expected = dict(operands=(a, b), parents=(a, b), partials=(3.0, 2.0))[{view!r}]
for _ in range(200):
    z = a * b
    assert meanwhile(lambda: name(z), lambda: z.{view}) == expected
    junk.clear()
print("fine")
"""
    )
    assert run(program) == "fine"


@pytest.mark.parametrize(
    "call", ["cr.sum(x)", "cr.mean(x)", "cr.logsumexp(x)", "cr.dot(x, x)", "cr.dot(x, w, x[-1])"]
)
def test_a_list_that_is_emptied_while_it_is_added_up_is_survived(call):
    # Inside an except block an error that is only on its way to be dropped is made an object.
    program = (
        OFTEN
        + f"""
import math
for _ in range(100):
    x = [cr.Value(1.0), *(float(k) for k in range(40)), 10**400, cr.Value(1.0)]
    w = [1.0] * len(x)
    try:
        raise KeyError
    except KeyError:
        try:
            y = meanwhile(x.clear, lambda: {call})
        except (ValueError, IndexError):  # it came out empty, or shorter than the other
            assert not x
            continue
    if type(y) is float:  # emptied before it was looked at
        assert y == 0.0 and not x
    else:
        assert y.data == math.inf and len(y.operands) >= len(w)
print("fine")
"""
    )
    assert run(program) == "fine"


def test_outputs_are_held_while_what_is_below_them_is_listed():
    program = (
        OFTEN
        + """
w = cr.Value(2.0)
for walk in (native.topological_order, native.flatten, lambda made: native.paths((w,), made)):
    for _ in range(100):
        outputs = [cr.tanh(cr.Value(0.1 * k) * w) for k in range(300)]
        try:
            found = meanwhile(outputs.clear, lambda: walk(outputs))
        except TypeError:  # expected a tuple, which nobody can empty
            found = meanwhile(outputs.clear, lambda: walk(tuple(outputs)))
        repr(found)
print("fine")
"""
    )
    assert run(program) == "fine"


def test_lists_and_tuples_that_fill_up_slowly_cannot_be_found():
    program = (
        OFTEN
        + """
from fractions import Fraction
import numpy as np
class Searching(Fraction):
    def __float__(self):
        return search()
def search(*_):
    for x in gc.get_objects():
        if type(x) in (list, tuple):
            list(x)
    return 1.0
x = cr.Value(2.0)
searching = cr.primitive("searching", search, (1.0, 1.0))
assert searching(x, Searching(1, 2)).data == 1.0
assert searching(Searching(1, 2), x).data == 1.0
print("fine")
"""
    )
    assert run(program) == "fine"


# --- what is given by anybody --------------------------------------------------------------------


def test_a_kernel_that_was_written_over_does_no_harm():
    program = """
import chainrule as cr, math
from chainrule.engine.native import core as native
for kernel in (5, "x", None, [], native, cr.sin, object(), type):
    try:
        cr.tanh._kernel = kernel
    except AttributeError:
        pass
    assert cr.tanh(cr.Value(0.5)).data == cr.tanh(0.5) == math.tanh(0.5)
    assert cr.compile(lambda x: cr.tanh(x))([0.5]) == [math.tanh(0.5)]
print("fine")
"""
    assert run(program) == "fine"


def test_the_modules_functions_refuse_to_work_before_it_is_connected():
    program = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("_core", {native.__file__!r})
native = importlib.util.module_from_spec(spec)
spec.loader.exec_module(native)
for call in (
    lambda: native.make_node(None, (), (), 1.0, ()),
    lambda: native.make_node(5, (), (), 1.0, ()),
    lambda: native.topological_order((1.0,)),
    lambda: native.flatten(()),
    lambda: native.paths((), ()),
):
    try:
        call()
    except RuntimeError as error:
        assert "not connected" in str(error)
    else:
        raise AssertionError
assert native.memory()["nodes"] == 0
assert native.read_data([], bytearray()) is native.reset_grads([1.0]) is False
"""
    assert run(program) == ""


def test_a_node_restored_by_c_has_terms_that_its_kernel_could_have():
    program = """
import chainrule as cr
from chainrule.engine.table import TABLE
from chainrule.engine.native import core as native
a, b = cr.Value(0.5), cr.Value(2.0)
made = []
for row in TABLE.values():
    for operands in (
        (), (a,), (1.0,), (a, b), (9.0, a), (-1.0, a), (a, 1.0), (2.0, a, b), (a,) * 6
    ):
        parents = tuple(x for x in operands if type(x) is not float)
        made.append(native.make_node(row, operands, parents, 1.0, (1.0,) * len(parents)))
for node in made:
    assert node.parents == tuple(x for x in node.operands if type(x) is not float)
    node.backward()
    native.flatten((node,))
native.flatten(tuple(made))
print("fine")
"""
    assert run(program) == "fine"


# --- release -------------------------------------------------------------------------------------


def test_a_chain_held_by_callbacks_of_weak_references_is_released_in_little_stack():
    program = """
import chainrule as cr, weakref
from chainrule.engine.native import core as native
class Holding(weakref.ref):
    __slots__ = ("held",)
def let_go(ref):
    ref.held = None
x = y = cr.Value(1.0)
refs = []
for _ in range(100_000):
    ref = Holding(y, let_go)
    y = cr.Value(1.0)
    ref.held = y
    refs.append(ref)
z = y
for _ in range(100_000):  # and one of computed nodes
    ref = Holding(z, let_go)
    z = cr.Value(1.0) * 2.0
    ref.held = z
    refs.append(ref)
del y, z, ref
assert native.memory()["nodes"] == 300_001
del x
print(native.memory()["nodes"], sum(ref() is None for ref in refs))
"""
    assert run(program) == "0 200000"


def test_a_node_released_by_another_thread_inside_a_callback_goes_as_well():
    program = """
import chainrule as cr, threading, weakref
from chainrule.engine.native import core as native
def callback(ref):
    thread = threading.Thread(target=others.clear)
    thread.start()
    thread.join()
    gone.append(native.memory()["nodes"])
others, gone = [cr.Value(1.0) * 2.0 for _ in range(100)], []
x = cr.Value(1.0)
ref = weakref.ref(x, callback)
del x
print(gone, native.memory()["nodes"])
"""
    assert run(program) == "[1] 0"


def test_pickles_name_nothing_of_the_backend():
    text = pickle.dumps(cr.Value(1.0) * 2.0, protocol=0)
    assert b"_core" not in text


def test_the_stub_names_what_the_module_has():
    import ast

    stub = ast.parse(Path(native.__file__).with_name("_core.pyi").read_text())
    named = {n.name for n in stub.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    named |= {n.target.id for n in stub.body if isinstance(n, ast.AnnAssign)}
    assert named == {n for n in vars(native) if not n.startswith("__")}
    (cls,) = (n for n in stub.body if isinstance(n, ast.ClassDef) and n.name == "Value")
    assert [ast.unparse(base) for base in cls.bases] == ["Methods"]
    members = {n.name for n in cls.body if isinstance(n, ast.FunctionDef)}
    members |= set(methods.names()) | set(vars(value.Common))  # which stand elsewhere
    hung = {n for n, x in vars(native.Value).items() if isinstance(x, attributes.Given)}
    missing = {n for n in vars(native.Value) if not n.startswith("_")} - members - hung
    assert not missing
