"""What ``chainrule demo`` runs: short scripts, one idea each, to be read as much as to be run.

A demo is a module here with ``main()``, whose keyword parameters become options of the command line
and whose docstring opens with the line that ``chainrule demo --list`` shows.  Each is a script
too: the files are in ``demos`` at the top of the repository (``python demos/xor.py``), and in
``chainrule.demos`` in the installed package.
"""

NAMES = (
    "digits",
    "notes",
    "moons",
    "xor",
    "chain",
    "mazur",
    "micrograd",
    "lift",
    "gpt",
    "cluster",
    "lstm",
    "bundle",
    "explore",
    "gallery",
)
"""The demos; the first is what ``chainrule demo`` runs without a name."""
