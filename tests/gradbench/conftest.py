"""The tool stands in benchmarks/, which is not part of the package: it is found by its folder."""

import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "benchmarks" / "gradbench"
sys.path.insert(0, str(FOLDER))
