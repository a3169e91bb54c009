"""Write what type checkers cannot see of the table: the methods of a Value.

python tools/stubs.py            write chainrule/engine/methods.pyi
python tools/stubs.py --check    write nothing; exit status 1 if it is out of date
"""

from __future__ import annotations

import sys
from pathlib import Path

from chainrule.engine import methods

STUB = Path(methods.__file__).with_suffix(".pyi")

HEAD = '''\
"""Made by ``python tools/stubs.py`` from the table: a method for each function of one argument."""

from collections.abc import Callable
from typing import Any

from .table import Primitive
from .value import Value

def names() -> dict[str, Primitive]: ...
def add_to(value_type: type, apply: Callable[[Primitive, Any], Any]) -> None: ...

class Methods:
'''


def text() -> str:
    """Return the stub."""
    lines = [f"    def {name}(self) -> Value: ...\n" for name in sorted(methods.names())]
    return HEAD + "".join(lines)


def main() -> None:
    """Do what the command line says."""
    if "--check" in sys.argv[1:]:
        if STUB.read_text(encoding="utf-8") != text():
            sys.exit(f"{STUB} is out of date: run python tools/stubs.py")
        return
    STUB.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
