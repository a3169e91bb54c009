"""The formulas of the course notes, each held against the graph: which hold as printed.

The formulas and their two sides are in ``chainrule.checking.notes``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from chainrule.checking import notes


def main(markdown: Path | None = None) -> None:
    """Print the table; with *markdown*, write it to that file as a Markdown page too."""
    rows = notes.table()
    print(notes.as_text(rows), end="")
    if markdown is not None:
        Path(markdown).write_text(notes.as_markdown(rows), encoding="utf-8")
        print(f"The same as Markdown: {markdown}")
    if any(row.verdict == "does not hold" for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
