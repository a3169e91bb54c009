"""What an operation on Values costs; the same as ``chainrule bench``.

python benchmarks/eager.py [rounds]
"""

import sys

from chainrule.cli.timing import main

if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
