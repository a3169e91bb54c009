"""The formulas of the course notes, each compared with the graph: which are right as printed.

The formulas and their two sides are in ``chainrule.checking.course``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from chainrule.checking import course


def main(markdown: Path | None = None) -> None:
    """Print the table; with *markdown*, write it to that file as a Markdown page too."""
    rows = course.table()
    print(course.as_text(rows), end="")
    if markdown is not None:
        Path(markdown).write_text(course.as_markdown(rows), encoding="utf-8")
        print(f"The same as Markdown: {markdown}")
    if any(row.verdict == "does not hold" for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
