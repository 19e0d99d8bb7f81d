"""How many partitions to read at once: about as many as pages have needed of late.

Where events lie dense one or two partitions fill a page, and more would be read in vain. Where they are sparse a page
takes many, and one after the other would take as many times as long, where a store is elsewhere. One in this process
reads one after the other in any case: of it no more are read at first than pages have needed.
"""

from __future__ import annotations

from math import ceil

WEIGHT = 0.2
MARGIN = 1.25

STEP = 4
"""Of a store in this process a quarter more is read where a page needs more than others did, and then twice that."""

ALONE = 1.05
"""Who needs so many has the page in the first, but for a few times."""


class FanOut:
    """An average of the partitions that a page needed, in which the last counts a fifth."""

    __slots__ = ("_elsewhere", "_is_behind", "_most", "needed")

    def __init__(self, needed: float, most: int, *, elsewhere: bool = True) -> None:
        self.needed: float = needed
        self._most = most
        self._elsewhere = elsewhere
        self._is_behind = False

    def width(self) -> int:
        """How many to read at first."""
        if not self._elsewhere:
            return max(1, min(self._most, round(self.needed)))
        return 1 if self.needed <= ALONE else min(self._most, ceil(self.needed * MARGIN))

    def wider(self, width: int) -> int:
        """How many to read next, when so many did not fill the page."""
        if self._elsewhere or self._is_behind:
            return min(self._most, width * 2)
        self._is_behind = True
        return max(1, width // STEP)

    def learn(self, partitions: int) -> None:
        """A page needed so many."""
        self.needed += WEIGHT * (min(partitions, self._most) - self.needed)
