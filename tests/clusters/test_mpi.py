"""Real MPI ranks on this machine: one asks, the others compute."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from .. import children

ROOT = Path(__file__).parents[2]


def mpiexec():
    """Return the mpiexec of this environment, or of the system; skip if there is none."""
    pytest.importorskip("mpi4py", reason="needs the extra: pip install 'chainrule[mpi]'")
    here = [sysconfig.get_path("scripts"), str(Path(sys.executable).parent)]
    import mpi4py

    here.append(str(Path(mpi4py.__file__).parents[4] / "bin"))
    found = shutil.which("mpiexec", path=os.pathsep.join([*here, os.environ.get("PATH", "")]))
    if found is None:
        pytest.skip("needs an MPI: pip install mpich, or that of the system")
    return found


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_give_the_bits_of_one_thread(ranks):
    command = mpiexec()
    beside = Path(command).resolve().parents[1] / "lib"  # of an MPI that came as a wheel
    libraries = [str(beside), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    done = subprocess.run(
        [command, "-n", str(ranks), sys.executable, "-m", "mpi4py", "-m", "tests.clusters.ranks"],
        capture_output=True,
        text=True,
        timeout=children.SECONDS,
        cwd=ROOT,
        env=children.environment(
            LD_LIBRARY_PATH=os.pathsep.join(libraries),
            OMPI_ALLOW_RUN_AS_ROOT="1",
            OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
        ),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"the same bits over {ranks - 1} worker(s)\n", done.stderr
