"""The rooms of the package: imports run downwards only, never in a circle, and none too early.

Read from the source with ``ast``, so an import inside a function counts as well.
"""

from __future__ import annotations

import ast
import functools
import sys
from pathlib import Path

import pytest

import chainrule
from chainrule import demos

from . import children

PACKAGE, DEMOS = Path(chainrule.__file__).parent, Path(demos.__file__).parent

# Which rooms may a room import from?  Its own modules, always; engine and backprop are the floor.
BELOW = {
    "cli": {
        "face",
        "characters",
        "checking",
        "viz",
        "nn",
        "compiler",
        "backprop",
        "engine",
        "demos",
    },
    "demos": {"face", "checking", "viz", "nn", "compiler", "backprop", "engine"},
    "checking": {"nn", "backprop", "engine", "characters"},
    "viz": {"nn", "engine", "characters"},
    "compiler": {"engine", "version"},
    "nn": {"engine"},
    "backprop": set(),
    "engine": {"characters"},
    "characters": set(),
    "version": set(),
    "face": {"engine", "version"},
}
ROOM_OF_MODULE = {
    "__init__": "face",
    "_version": "version",
    "__main__": "cli",
    "cli": "cli",
}


def modules():
    """Return {dotted name: path} of all modules of the package.

    In a checkout the demos stand beside it.
    """
    found = {}
    for place, name in ((PACKAGE, "chainrule"), (DEMOS, "chainrule.demos")):
        for path in sorted(place.rglob("*.py")):
            parts = (name, *path.relative_to(place).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def room(module):
    parts = module.split(".")
    first = parts[1] if len(parts) > 1 else "__init__"
    return ROOM_OF_MODULE.get(first, first)


@functools.cache
def imports(module):
    """Return [(dotted name, is it imported while the module is)] of what *module* imports."""
    path = MODULES[module]
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    deferred = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        or is_for_types(node)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        early = id(node) not in deferred
        if isinstance(node, ast.Import):
            found += [(alias.name, early) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = (
                package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            )
            stem = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{stem}.{alias.name}"
                found.append((full if full in MODULES else stem, early))
    return found


def is_for_types(node):
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


@pytest.mark.text_alone
@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downwards_only(module):
    here = room(module)
    assert here in BELOW, f"{module} is in no room of the design"
    for name, early in imports(module):
        if here == "face" and not early:
            continue  # named there for type checkers; imported when it is first asked for
        if name.split(".")[0] == "chainrule":
            there = room(name)
            assert there == here or there in BELOW[here], f"{module} imports {name}"


@pytest.mark.text_alone
def test_no_module_imports_itself_by_any_detour():
    graph = {
        module: [name for name, early in imports(module) if early and name in MODULES]
        for module in MODULES
    }
    done, path = set(), []

    def visit(module):
        assert module not in path, " -> ".join([*path, module])
        if module in done:
            return
        path.append(module)
        for name in graph[module]:
            if not module.startswith(f"{name}."):  # a package is not imported by its own modules
                visit(name)
        path.pop()
        done.add(module)

    for module in MODULES:
        visit(module)


def third_party(module):
    names = {name.split(".")[0] for name, _ in imports(module)}
    return names - set(sys.stdlib_module_names) - {"chainrule"}


@pytest.mark.text_alone
@pytest.mark.parametrize("module", [m for m in MODULES if room(m) == "backprop"])
def test_the_closed_form_is_an_independent_oracle(module):
    assert third_party(module) <= {"numpy"}


@pytest.mark.text_alone
@pytest.mark.parametrize("module", [m for m in MODULES if room(m) in ("engine", "nn")])
def test_the_engine_needs_numpy_alone(module):
    assert third_party(module) <= {"numpy"}


@pytest.mark.text_alone
@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("chainrule.engine.table")])
def test_the_table_of_primitives_imports_nothing_of_the_package(module):
    ours = [name for name, _ in imports(module) if name.startswith("chainrule")]
    base = "chainrule.engine.native"  # of the class of rows
    assert all(name.startswith(("chainrule.engine.table", base)) for name in ours)
    assert all(name == base for name, _ in imports(base) if name.startswith("chainrule"))


RECURRING = {
    "activations": "the same idea by two roads that must not know each other: nn and backprop",
    "losses": "the same",
    "arguments": "what callers hand in to this room, made plain or refused",
    "called": "what shows when it is called: a function in one checker, a class in the other",
    "check": "the way into a checker; its command",
    "compiled": "a compiled function; the same on an array library",
    "differences": "slopes by differences: taken by us, or by the one who is checked",
    "explore": "the command; the demo that shows its page",
    "expressions": "expressions of code, read here and written there",
    "file": "a whole printed file, in either language",
    "fitting": "a picture that fits a slide; a cost that fits the numbers",
    "flat": "plans of graphs without width, made and printed",
    "forms": "the careful forms, in NumPy and as pure functions",
    "formulas": "formulas for people: the course's, and those of a graph",
    "loops": "loops with a form: recorded, compiled, printed",
    "makers": "of what the rows of one table of mistakes are made",
    "row": "what a row of one table of mistakes is",
    "search": "which rows of one table of mistakes explain the numbers",
    "slopes": "the rows of one table of mistakes about derivatives",
    "methods": "methods of a Value; of what somebody handed in",
    "names": "names that are free, in either language; what people's names mean",
    "network": "a network: its formulas, its picture, its page, one at random",
    "page": "one HTML file that needs nothing else",
    "places": "where the numbers of a program are kept; the same in printed C",
    "program": "what the room takes for a program: somebody's, or array operations",
    "programs": "the same, several",
    "results": "what somebody's function gave; what a class of them gave",
    "rows": "the rows of the table of primitives; the same as NumPy expressions",
    "steps": "the steps of a plan, printed in either language",
    "submissions": "what was handed in: one, a class of them, on the command line",
    "sums": "groups of sums; the mistakes in the sum over the examples",
    "text": "pieces of text that this room writes",
    "words": "what a report says in words; what libraries spell differently",
}
"""Names that files in several rooms have, and why they may: a new one needs a reason, or a name."""


@pytest.mark.text_alone
def test_two_files_of_one_name_have_a_reason():
    stems = [path.stem for path in MODULES.values() if path.stem != "__init__"]
    assert {stem for stem in stems if stems.count(stem) > 1} == set(RECURRING)


@pytest.mark.text_alone
def test_two_classes_of_one_room_have_two_names():
    """The checkers of one engine, one layer and one network are rooms of their own."""
    found = {}
    for module, path in MODULES.items():
        inside = ".".join(module.split(".")[1:3]) if room(module) == "checking" else room(module)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault((inside, node.name), []).append(module)
    assert {key: modules for key, modules in found.items() if len(modules) > 1} == {}


@pytest.mark.text_alone
@pytest.mark.parametrize("module", MODULES)
def test_what_is_private_to_a_file_stays_in_it(module):
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    private = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module  # else it is a module
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    assert not private


RUNNING, INTAKE = "chainrule.checking.diagnosis.running", "chainrule.checking.intake"
BESIDE = ("calls", "exam", "fences", "messages", "results", "trying")


@pytest.mark.parametrize("name", ["student", *BESIDE])
def test_what_is_loaded_beside_a_submission_is_two_rooms(name):
    """The packages around them are not there, and the right answers neither."""
    ours = {found for found, _ in imports(f"{RUNNING}.{name}") if found.startswith("chainrule")}
    assert {found for found in ours if not found.startswith(INTAKE)} <= {
        RUNNING,
        *(f"{RUNNING}.{beside}" for beside in BESIDE),
    }
    assert third_party(f"{RUNNING}.{name}") <= {"numpy"}


@pytest.mark.text_alone
@pytest.mark.parametrize("name", [module for module in MODULES if module.startswith(INTAKE)])
def test_the_intake_imports_nothing_of_ours(name):
    """It runs beside a submission; torch only if the submission has loaded it."""
    ours = {found for found, _ in imports(name) if found.startswith("chainrule")}
    assert all(found.startswith(INTAKE) for found in ours)
    assert third_party(name) <= {"numpy", "torch"}


def test_the_guard_of_a_submission_runs_alone():
    assert not [name for name, _ in imports(f"{RUNNING}.guard") if name.startswith("chainrule")]
    assert not third_party(f"{RUNNING}.guard")


HEAVY = {"graphviz", "pygraphviz", "matplotlib", "rich", "tqdm", "scipy", "torch", "pandas"}


@pytest.mark.parametrize("room_name", ["chainrule", "chainrule.nn", "chainrule.backprop"])
def test_importing_does_not_import_what_draws(room_name):
    script = f"import sys, {room_name}; print(*(m.split('.')[0] for m in sys.modules))"
    assert not HEAVY & set(children.printed("-c", script).split())


def test_importing_the_engine_does_not_import_the_rooms_above():
    script = "import sys, chainrule; print(*(m for m in sys.modules if m.startswith('chainrule.')))"
    loaded = {room(name) for name in children.printed("-c", script).split()}
    assert loaded <= {"engine", "characters", "version", "face"}


def test_every_public_name_is_there_once_and_documented():
    assert sorted(chainrule.__all__) == chainrule.__all__
    assert len(set(chainrule.__all__)) == len(chainrule.__all__)
    namespace = {}
    exec("from chainrule import *", namespace)
    for name in chainrule.__all__:
        assert name in namespace
    for name in ("Value", "grad", "jvp", "vjp", "hessian", "hvp", "no_grad", "primitive", "sum"):
        assert getattr(chainrule, name).__doc__


DESIGNED = """
    Value exp exp2 expm1 log log1p log2 log10 sqrt cbrt sin cos tan asin acos atan sinh cosh tanh
    asinh acosh atanh erf erfc sigmoid relu leaky_relu softplus logsigmoid gelu silu abs square sign
    step maximum minimum logaddexp hypot atan2 where equal less less_equal take sum scan
    dot mean softmax logsumexp grad value_and_grad gradients jvp vjp jacobian hessian hvp no_grad
    detect_anomaly backend primitive __version__
""".split()  # noqa: SIM905 (a list of this length is read more easily without the quotes)


@pytest.mark.parametrize("name", DESIGNED)
def test_a_name_that_code_outside_relies_on_is_public(name):
    assert name in chainrule.__all__
    assert hasattr(chainrule, name)


def test_which_engine_runs_is_said():
    assert chainrule.backend in ("python", "native")
    assert chainrule.Value.__module__ == "chainrule"
    assert chainrule.Value.__qualname__ == "Value"


def test_what_dir_shows_is_public():
    shown = {name for name in dir(chainrule) if not name.startswith("__")}
    assert shown == {n for n in chainrule.__all__ if not n.startswith("__")} | {
        "backprop", "checking", "compiler", "nn", "viz",
    }  # fmt: skip
    assert {"__all__", "__doc__", "__version__"} <= set(dir(chainrule))
