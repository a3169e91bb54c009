"""How the core is built: a build that fails leaves no older core in its place."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

import pytest

from .. import children

SETUP = Path(__file__).parents[2] / "setup.py"
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


@pytest.mark.skipif(not SETUP.exists(), reason="setup.py is in the repository, not in the package")
def test_a_core_that_cannot_be_built_leaves_no_older_one(tmp_path):
    pytest.importorskip("setuptools")
    shutil.copy(SETUP, tmp_path)
    native, built = (tmp_path / x / "chainrule" / "engine" / "native" for x in ("", "build/lib"))
    for folder in (native, built):
        folder.mkdir(parents=True)
        (folder / f"_core{SUFFIX}").write_text("what was built before the edit")
        os.utime(folder / f"_core{SUFFIX}", (1e9, 1e9))
    (native / "core.c").write_text("#error of somebody who edits it\n")
    (tmp_path / "demos").mkdir()
    command = ["setup.py", "build_ext", "--build-lib=build/lib", "--inplace"]
    children.printed(*command, cwd=tmp_path, CHAINRULE_NO_EXTENSIONS=None)  # the package serves
    assert list(tmp_path.rglob(f"_core{SUFFIX}")) == []
