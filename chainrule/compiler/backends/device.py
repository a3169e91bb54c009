"""The parameters where a library computes: sent when Values changed, and pulled back when asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...engine.backend import Value
from ...engine.vectors import read_data, write_data
from .library import Library


class OnDevice:
    """The numbers of some leaves as one vector of a library.

    What was written into the Values since the vector was last sent or pulled is sent again, number
    by number; what was written on the device stays.
    """

    def __init__(self, library: Library, leaves: Sequence[Value]):
        self._library, self.leaves = library, tuple(leaves)
        self._known = read_data(self.leaves)
        self._vector = library.array(self._known)
        self._ahead = False  # whether the device has numbers that the Values have not

    def vector(self) -> Any:
        """Return the vector, after whatever was written into the Values."""
        now = read_data(self.leaves)
        same = (now == self._known) | ((now != now) & (self._known != self._known))
        if not same.all():
            library = self._library
            sent = library.array(now)
            if same.any():
                with library.running():
                    sent = library.xp.where(library.array(same) != 0.0, self._vector, sent)
            self._vector, self._known = sent, now
        return self._vector

    def replace(self, vector: Any) -> None:
        """Let the device have *vector* from now on."""
        library = self._library
        new = library.cast(vector) if library.is_own(vector) else library.array(vector)
        if tuple(new.shape) != (len(self.leaves),):
            raise ValueError(
                f"parameters_on_device: an array of shape {tuple(new.shape)}; expected "
                f"({len(self.leaves)},), a number for each parameter"
            )
        self.vector()  # what was written before is not sent later
        self._vector, self._ahead = new, True

    def pull(self) -> None:
        """Write the numbers on the device into the Values."""
        found = self._library.numpy(self.vector())
        write_data(self.leaves, found)
        self._known, self._ahead = found.copy(), False

    def settle(self) -> None:
        """Pull if the device has numbers that the Values have not."""
        if self._ahead:
            self.pull()
