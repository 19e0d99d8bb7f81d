"""How slices to come are to be: as the knobs say, unless somebody or something adjusted that since.

Data on disk: table `timeseries/<namespace>`, partition `partitioning`, row `adjustment`. It counts for the knobs that
it was made for: whoever changes `time_partition`, or what it follows from, is obeyed.
"""

from __future__ import annotations

import msgspec

from soundstage.data.timeseries.config import Layout
from soundstage.runtime.system_table import SystemTable

PARTITION = "partitioning"
ADJUSTMENT = "adjustment"


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """`layout` takes the place of `configured`, by the proposal of that `number`."""

    configured: Layout
    layout: Layout
    number: int


class Layouts:
    """What one namespace's slices to come are like."""

    def __init__(self, table: SystemTable) -> None:
        self._table = table

    async def adjustment(self, configured: Layout) -> Adjustment | None:
        """The one that counts while the knobs come to `configured`."""
        entry = await self._table.get(PARTITION, ADJUSTMENT)
        found = None if entry is None else msgspec.msgpack.decode(entry.value, type=Adjustment)
        return found if found is not None and found.configured == configured else None

    async def of(self, configured: Layout) -> Layout:
        """The layout of a slice that is made now."""
        found = await self.adjustment(configured)
        return configured if found is None else found.layout
