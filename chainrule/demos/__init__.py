"""What ``chainrule demo`` runs: short scripts, one idea each, to be read as much as to be run.

A demo is a module here with ``main()``, whose keyword parameters become options of the command line
and whose docstring opens with the line that ``chainrule demo --list`` shows.  Each is a script as
well: in the repository ``demos`` is a link to this directory, and ``python demos/xor.py`` runs it.
"""

NAMES = ("digits", "notes", "moons", "xor", "chain", "mazur", "micrograd", "lift")
"""The demos; the first is what ``chainrule demo`` runs without a name."""
