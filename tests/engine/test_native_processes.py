"""The native core where it needs a process of its own: the other backend, depth, memory that runs
out, interpreters within the interpreter.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import chainrule as cr
from chainrule.engine._extension import native

if native is None:
    pytest.skip("the native core is not built, or switched off", allow_module_level=True)


def run(program: str, *args: str, **environment: str) -> str:
    """What *program* prints in a fresh interpreter, which must end well."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program, *args],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


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
        "import sys, warnings; sys.modules['chainrule.engine._native'] = None\n"
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
print(cr.engine._extension.native.memory()["nodes"])
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
from chainrule.engine._extension import native
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
    if subprocess.run([sys.executable, "-c", plain], capture_output=True).returncode != 0:
        pytest.skip("this interpreter does not survive it in functions of its own: 3.12.1, 3.13.0")
    program = """
import _testcapi, sys
import chainrule as cr
from chainrule.engine import sweeps, vectors
from chainrule.engine._extension import native

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
    lambda: native.topological_order([top]), lambda: a + 10**400, lambda: a < 3, lambda: repr(top),
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
spec = importlib.util.spec_from_file_location("_native", {path!r})
native = importlib.util.module_from_spec(spec)
spec.loader.exec_module(native)
class Row:
    __slots__ = ("_kernel", "name")
    def __call__(self, *args):
        raise TypeError(args)
names = {names!r}
table = {{name: Row() for name in names}}
for name, row in table.items():
    row.name = name
refuse = lambda *args: (_ for _ in ()).throw(TypeError(args))
asked = ("as_float leaf_data checked_label checked_grad refuse_arguments refuse_attribute "
         "refuse_write coerced comparable evaluate observe watch_backward").split()
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
    names = sorted(cr.engine.primitives.TABLE)
    return STANDALONE.format(path=native.__file__, names=names)


def test_the_module_can_be_loaded_again_and_again_in_one_interpreter():
    program = f"for _ in range(5):\n    exec({standalone()!r}, {{'__name__': 'x'}})\nprint('fine')"
    assert run(program) == "fine"


def test_each_subinterpreter_has_its_own_state():
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
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
z = native.Value(2.0)
(z * z).backward()
print(z.grad)
"""
    )
    assert run(program) == "4.0"


def test_pickles_name_nothing_of_the_backend():
    text = pickle.dumps(cr.Value(1.0) * 2.0, protocol=0)
    assert b"_native" not in text


def test_the_stub_names_what_the_module_has():
    import ast

    stub = ast.parse(Path(native.__file__).with_name("_native.pyi").read_text())
    named = {n.name for n in stub.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    assert named == {n for n in vars(native) if not n.startswith("__")}
    (cls,) = (n for n in stub.body if isinstance(n, ast.ClassDef) and n.name == "Value")
    members = {n.name for n in cls.body if isinstance(n, ast.FunctionDef)}
    missing = {n for n in vars(native.Value) if not n.startswith("_")} - members
    assert not missing
