"""How a batch is dealt out: the one rule, by its size alone, so that who computes changes no bit.

A batch is cut into *blocks*, and the blocks are dealt to *shards*.  Each shard has sums of its own,
and those are added up in order.  Threads take shards, and so do workers; how many there are has no
part in it.  The machine in C has the rule as ``division_of``; a test holds the two together.
"""

from __future__ import annotations

MOST = 16


def starts(blocks: int) -> list[int]:
    """Return the first block of each shard of so many *blocks*, and their number as the last entry.

    >>> starts(2), starts(7), len(starts(1000)) - 1
    ([0, 2], [0, 2, 4, 6, 7], 16)
    """
    count = 1
    while count < MOST and 3 * count <= blocks:
        count *= 2
    each, more = divmod(blocks, count)
    return [shard * each + min(shard, more) for shard in range(count + 1)]
