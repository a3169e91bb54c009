"""Build the native core where that is possible, and say where the demos are.

All else is said in pyproject.toml.

Without a C compiler, on an interpreter without the global lock, or with CHAINRULE_NO_EXTENSIONS=1
the package is installed in pure Python.
"""

import os
import platform
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext


class BuildCore(build_ext):
    """Builds the core; where that fails, none is left that was built from other sources.

    A failure is no reason to stop, as the package serves without the core.  But an older core, in
    this tree or among what is built, would serve instead and pass every test.
    """

    def build_extension(self, ext: Extension) -> None:
        """Build *ext*, or take away what stands in its place."""
        try:
            super().build_extension(ext)
        except BaseException:  # also one that was interrupted
            built = Path(self.get_ext_filename(self.get_ext_fullname(ext.name)))
            for folder in (Path(), Path(self.build_lib)):
                (folder / built).unlink(missing_ok=True)
            raise


def native_core() -> list[Extension]:
    """Return the extension to build, or nothing where pure Python is to serve."""
    declined = (
        os.environ.get("CHAINRULE_NO_EXTENSIONS", "") not in ("", "0")
        or platform.python_implementation() != "CPython"
        or bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    )
    if declined:
        return []
    # Contraction to fused multiply-add would round differently from Python's own floats.
    options = ["/O2"] if sys.platform == "win32" else ["-std=c11", "-ffp-contract=off"]
    if sys.platform != "win32":
        asked = os.environ.get("CFLAGS", "")
        options += [] if "-O" in asked else ["-O3"]
        # What a debugger reads is four fifths of the file, and a quarter of the time to compile.
        options += [] if "-g" in asked else ["-g0"]
    core = Extension(
        "chainrule.engine.native._core",
        ["chainrule/engine/native/core.c"],
        depends=sorted(
            map(str, Path("chainrule/engine/native").rglob("*.h"))
        ),  # and so in the source archive
        extra_compile_args=options,
        optional=True,
    )
    return [core]


# The demos stand at the top of the repository, where people look, and ship with the package.
setup(
    packages=[*find_packages(include=["chainrule*"]), "chainrule.demos"],
    package_dir={"chainrule.demos": "demos"},
    ext_modules=native_core(),
    cmdclass={"build_ext": BuildCore},
)
