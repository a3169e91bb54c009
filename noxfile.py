#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2025.2.9"]
# ///
"""What is checked before a change lands, each in an environment of its own: ``nox --list``."""

import os
import re
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|venv"  # a second in place of fifteen, where there is uv

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = [
    line.rpartition(" ")[2]
    for line in PROJECT["project"]["classifiers"]
    if line.startswith("Programming Language :: Python :: 3.")
]

BESIDE = ("-n", "auto", "--dist", "worksteal")
"""On all cores; at the end, a worker that has nothing left takes tests from one that has."""
WITHOUT_CORE = {"CHAINRULE_NO_EXTENSIONS": "1"}


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


def install_with_core(session: nox.Session, extras: str, *others: str) -> None:
    """Install the package as it stands here, with its core in C where there is a compiler.

    That is compiled once for the sessions of an interpreter; installing would do it for each.  One
    that is newer than its sources is taken as it is.
    """
    if not shutil.which("cc"):  # there may be another compiler
        session.install("-e", f".[{extras}]", *others)
        return
    session.install("-e", f".[{extras}]", *others, "setuptools>=77", env=WITHOUT_CORE)
    session.run_install("python", "setup.py", "-q", "build_ext", "--inplace")
    # An extension that does not build falls back silently.
    session.run("python", "-c", "import chainrule; assert chainrule.backend == 'native'")


def install_torch(session: nox.Session) -> None:
    """Install PyTorch: its build for CPUs where pip can find one, the other brings 3 GB of CUDA."""
    pip = (sys.executable, "-m", "pip")
    found = session.run_install(
        *pip, "index", "versions", "torch", silent=True, external=True, success_codes=range(256)
    )
    for_cpu = re.search(r"\b[\d.]+\+cpu\b", str(found))
    if for_cpu is None:
        session.install("-e", ".[torch]", env=WITHOUT_CORE)
    else:
        python = str(Path(session.bin, "python"))
        wanted = f"torch=={for_cpu[0]}"
        into = ("--python", python, "install", "-q", "--no-compile")
        session.run_install(*pip, *into, wanted, external=True)


def without_vectors(session: nox.Session, *kinds: str) -> dict[str, str]:
    """Return the setting that keeps NumPy from vector instructions: all, or those of some *kinds*.

    Their names differ between versions of NumPy, so it is asked.
    """
    script = (
        "from numpy._core._multiarray_umath import __cpu_dispatch__ as names; "
        f"print(*(name for name in names if name.startswith({kinds or ('',)})))"
    )
    names = session.run("python", "-c", script, silent=True)
    return {"NPY_DISABLE_CPU_FEATURES": str(names).strip()}


@nox.session
def lint(session: nox.Session) -> None:
    """Lint, and the layout of the code."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Types, strictly."""
    session.install("-e", ".[test]", *group("types"), env=WITHOUT_CORE)
    session.run("mypy")
    session.run("pytest", "tests/typing", env=WITHOUT_CORE)


@nox.session
def tests(session: nox.Session) -> None:
    """Tests and doctests, in C where there is a compiler; any arguments are pytest's."""
    install_with_core(session, "test")
    session.run("python", "-m", "pytest", *BESIDE, *session.posargs)


@nox.session
def python_only(session: nox.Session) -> None:
    """Tests and doctests without the C core, and with the plainest loops of NumPy.

    Those that judge what NumPy computes, how processes are run, pictures, or the text of the code,
    say the same with the core, and so do types, pages, commands, GradBench's evals and what the
    demos learn: they are left out.  All are run by
    ``nox -s python_only -- tests chainrule demos docs README.md``.
    """
    session.install("-e", ".[test]", env=WITHOUT_CORE)
    env = WITHOUT_CORE | without_vectors(session)
    env["CHAINRULE_PROGRAMS"] = os.environ.get("CHAINRULE_PROGRAMS", "150")
    chosen = session.posargs or [
        *("-m", "not numpy_alone and not processes_alone and not text_alone"),
        *(
            f"--ignore=tests/{name}"
            for name in ("typing", "docs", "cli", "demos", "gradbench", "viz/explore")
        ),
        "--ignore=README.md",
    ]
    session.run("python", "-m", "pytest", *BESIDE, *chosen, env=env)


@nox.session(default=False)
def arrays(session: nox.Session) -> None:
    """Compiled functions on array libraries: JAX and PyTorch on the CPU, and the strict array API.

    The tests of the compiler are asked of PyTorch and of the strict API, as far as they can be.
    """
    install_with_core(session, "test,jax", *group("arrays"))
    install_torch(session)
    session.run("python", "-m", "pytest", "-n", "auto", "tests/compiler/backends")
    rooms = [
        f"tests/compiler/test_{name}.py" for name in ("branches", "edges", "losses", "reached")
    ]
    for backend in ("array_api_strict", "torch"):
        session.run(
            "python", "-m", "pytest", "-n", "auto", *(session.posargs or rooms),
            env={"CHAINRULE_BACKEND": backend},
        )  # fmt: skip


@nox.session(python=PYTHONS, default=False)
def versions(session: nox.Session) -> None:
    """Tests on each version of Python that is supported and found here."""
    install_with_core(session, "test")
    session.run("python", "-m", "pytest", *BESIDE, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The generated pages say what the code says now, and all pages render.

    The examples on them are tests and run with these; so are these checks themselves.
    """
    session.install("-e", ".[test]", env=WITHOUT_CORE)
    session.run("python", "docs/build.py", "--check", env=WITHOUT_CORE)
    for tool in ("stubs", "kernels", "javascript"):
        session.run("python", f"tools/{tool}.py", "--check", env=WITHOUT_CORE)
    session.run("python", "-m", "pytest", "tests/docs", env=WITHOUT_CORE)


@nox.session(default=False)
def clusters(session: nox.Session) -> None:
    """A batch over workers: a Dask cluster, one of whose workers is killed, and MPI ranks."""
    install_with_core(session, "test,dask,mpi,progress", *group("clusters"))
    session.run("python", "-m", "pytest", "tests/clusters", *session.posargs)


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """The pages in a real browser, the chromium on the PATH, and notebooks that are executed.

    With npm, also what axe finds.
    """
    install_with_core(session, "test", *group("browser"))
    env = {"CHAINRULE_SEQUENCES": os.environ.get("CHAINRULE_SEQUENCES", "200")}
    if shutil.which("npm"):
        folder = session.create_tmp()
        session.run("npm", "install", "--prefix", folder, "axe-core@4", external=True)
        env["CHAINRULE_AXE"] = str(Path(folder, "node_modules", "axe-core", "axe.min.js").resolve())
    session.run("python", "tools/notebooks.py", "--check")
    tests = ["tests/viz/explore", "tests/docs/test_notebooks.py"]
    session.run("python", "-m", "pytest", *tests, *session.posargs, env=env)


@nox.session(default=False)
def site(session: nox.Session) -> None:
    """The site, with warnings as errors: ``nox -s site``, then open build/site/index.html.

    ``nox -s site -- --links`` looks at the links that lead elsewhere, too, which needs a network.
    """
    session.install("-e", ".[test]", *group("site"), env=WITHOUT_CORE)
    env = WITHOUT_CORE | {"CHAINRULE_SITE": "build/site"}
    session.run("python", "docs/site/make.py", "build/site", *session.posargs, env=env)
    session.run("python", "-m", "pytest", "tests/docs/test_site.py", env=env)


@nox.session(default=False)
def cover(session: nox.Session) -> None:
    """Which lines the tests reach, by both backends together."""
    install_with_core(session, "test", *group("cover"))
    session.run("coverage", "erase")
    for off in ("", "1"):
        command = ["coverage", "run", "--append", "-m", "pytest", *session.posargs]
        session.run(*command, env={"CHAINRULE_NO_EXTENSIONS": off})
    session.run("coverage", "report")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Ratios of speed against peers in one process: ``nox -s bench -- eager``, or ``compiled``."""
    install_with_core(session, "test", *group("bench"))
    for name in session.posargs or ["eager", "compiled"]:
        session.run("python", f"benchmarks/{name}.py")


@nox.session(default=False)
def wheel(session: nox.Session) -> None:
    """The source distribution, a wheel made from it, and tests against what the wheel installs.

    With NumPy's loops of a processor without AVX-512.
    """
    session.install("build")
    dist = Path(session.create_tmp()) / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    beside = ["--installer", "uv"] if session.venv_backend == "uv" else []
    # What could be lacking is so however well the core is optimised, which takes the time.
    quickly = {"CFLAGS": f"-O1 -g0 {os.environ.get('CFLAGS', '')}"}
    session.run("python", "-m", "build", *beside, "--outdir", str(dist), env=quickly)
    (made,) = dist.glob("*.whl")
    session.install("--force-reinstall", f"{made}[test]")
    apart = dist.with_name("apart")
    shutil.rmtree(apart, ignore_errors=True)
    for name in ("tests", "docs"):
        shutil.copytree(name, apart / name)
    for name in ("conftest.py", "pyproject.toml", "README.md"):
        shutil.copy(name, apart)
    # What an installation could lack or do otherwise, and what depends on the processor.
    chosen = ["test_architecture.py", "cli", "demos/test_demos.py", "viz/explore"]
    chosen += ["engine/test_table.py", "engine/test_edges.py", "compiler/test_edges.py"]
    on_floats = "tests/engine/test_table.py::test_a_row_agrees_with_mpmath"
    plainer = without_vectors(session, "AVX512", "X86_V4")
    session.chdir(apart)
    tests = session.posargs or [f"tests/{name}" for name in chosen]
    apart_from_text = ("-m", "not text_alone", "--deselect", on_floats)
    session.run("python", "-m", "pytest", *BESIDE, *tests, *apart_from_text, env=plainer)


if __name__ == "__main__":
    nox.main()
