"""Counts of sizes in few numbers: each is known within 2 %, and the counts of two sketches add up."""

from __future__ import annotations

from math import ceil, log

import msgspec

WITHIN = 0.02
"""How far the size that a quantile tells may be from the true one, relatively."""

_GROWTH = (1 + WITHIN) / (1 - WITHIN)
_STEP = log(_GROWTH)


class Sketch(msgspec.Struct):
    """How many values there are in each of geometrically growing ranges, and the greatest. Values are 1 at least.

    Range `n` ends at `_GROWTH ** n`. Up to 2**63 there are about 1,100 of them.
    """

    counts: dict[int, int] = {}
    greatest: int = 0

    @property
    def values(self) -> int:
        """How many there are."""
        return sum(self.counts.values())

    @property
    def total(self) -> int:
        """What they come to together, within `WITHIN`."""
        return round(sum(_GROWTH**at * (1 - WITHIN) * count for at, count in self.counts.items()))

    def add(self, value: int) -> None:
        """One value more, exact where it is the greatest."""
        at = ceil(log(max(1, value)) / _STEP)
        self.counts[at] = self.counts.get(at, 0) + 1
        self.greatest = max(self.greatest, value)

    def merge(self, other: Sketch) -> None:
        """The values of `other` too."""
        for at, count in other.counts.items():
            self.counts[at] = self.counts.get(at, 0) + count
        self.greatest = max(self.greatest, other.greatest)

    def quantile(self, share: float) -> int:
        """The least value that so large a `share` of all is not above, within `WITHIN`; 0 where there is none."""
        wanted, passed = max(1, ceil(share * self.values)), 0
        for at in sorted(self.counts):
            passed += self.counts[at]
            if passed >= wanted:
                return min(self.greatest, round(_GROWTH**at * (1 - WITHIN)))
        return self.greatest

    def by_powers_of_two(self) -> dict[int, int]:
        """How many values there are from each power of two on, below the next; those at a border may be in either."""
        found: dict[int, int] = {}
        for at in sorted(self.counts):
            middle = min(self.greatest, max(1, round(_GROWTH**at * (1 - WITHIN))))
            power = 1 << (middle.bit_length() - 1)
            found[power] = found.get(power, 0) + self.counts[at]
        return found
