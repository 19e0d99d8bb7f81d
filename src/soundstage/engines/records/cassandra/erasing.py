"""Rows of dropped tables, which nobody can read any more: erased from the tables in Cassandra that others share."""

from __future__ import annotations

from soundstage.engines.records.cassandra.catalogue import Catalogue
from soundstage.engines.records.cassandra.requests import Requests
from soundstage.engines.records.cassandra.together import together
from soundstage.engines.records.cassandra.walking import RING_HIGH, RING_LOW, Walker

ROWS_AT_ONCE = 2_000

PARTITIONS_AT_ONCE = 16
"""What is swept and erased side by side, so that calls find room between."""

ERASED_US = 1 << 62
"""Later than any row, whatever clock gave it its time: a delete at this process's own would leave what is ahead."""


class Eraser:
    """Erases a little at each call, one dropped table after another."""

    def __init__(self, catalogue: Catalogue, requests: Requests, walker: Walker) -> None:
        self._catalogue = catalogue
        self._requests = requests
        self._walker = walker
        self._reached: tuple[int, int] = (0, RING_LOW)

    async def erase(self) -> int:
        """Some partitions are gone for good; how many, 0 when nothing is left to erase.

        No number is given twice, so nothing is ever written there again, and a delete at the end of time takes all.
        """
        table = await self._catalogue.dropped()
        if table is None:
            return 0
        number, first = self._reached
        if number != table.number:
            first = RING_LOW
        found = await self._walker.rows(table, table.statements.survey, first, RING_HIGH, ROWS_AT_ONCE)
        partitions = list(dict.fromkeys(row[0] for row in found.rows))
        for at in range(0, len(partitions), PARTITIONS_AT_ONCE):
            some = partitions[at : at + PARTITIONS_AT_ONCE]
            await together(
                self._requests.write(table.statements.erase, (ERASED_US, table.number, each)) for each in some
            )
        if found.is_whole and found.high >= RING_HIGH:
            await self._catalogue.forget_dropped(table.number)
        self._reached = table.number, found.high + 1 if found.is_whole else first
        return len(partitions)
