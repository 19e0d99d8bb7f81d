"""Rows of dropped tables, which nobody can read any more: erased from the tables in Cassandra that others share.

A record that has more dead rows than Cassandra reads cannot be erased: without a row that lives nobody is told its
name. It is gone around, and come back to every hour, until the table in Cassandra has been compacted.
"""

from __future__ import annotations

from collections.abc import Collection

from soundstage.core.together import together
from soundstage.engines.records.cassandra.catalogue import Catalogue, Table
from soundstage.engines.records.cassandra.failures import Overgrown
from soundstage.engines.records.cassandra.requests import Requests
from soundstage.engines.records.cassandra.walking import RING_HIGH, RING_LOW, SHORTER, Stretch, Walker

ROWS_AT_ONCE = 2_000

PARTITIONS_AT_ONCE = 16
"""What is swept and erased side by side, so that calls find room between."""

STRETCHES_AT_ONCE = 16
"""Parts of the ring without a row that one call passes."""

REST_NS = 3_600_000_000_000
"""After how long a table is come back to that has records which could not be erased."""

OVERGROWN_MAX = 1_000
"""Records of a table that are gone around; with more of them it rests as it is."""

ERASED_US = 1 << 62
"""Later than any row, whatever clock gave it its time: a delete at this process's own would leave what is ahead."""


class Course:
    """Once along the ring, around the tokens whose rows cannot be read."""

    def __init__(self, number: int = 0, known: Collection[int] = ()) -> None:
        """`known`: tokens that were gone around before, which are tried by themselves."""
        self.number: int = number
        self.first: int = RING_LOW
        self.overgrown: set[int] = set()
        self._known = sorted(known)
        self._fails_by: int | None = None

    @property
    def is_over(self) -> bool:
        return self.first > RING_HIGH or len(self.overgrown) >= OVERGROWN_MAX

    def last(self) -> int:
        """How far to read next."""
        if self.first in self._known:
            return self.first
        most = next((token - 1 for token in self._known if token > self.first), RING_HIGH)
        # What was too much lies somewhere up to there: half-way is halfway nearer to it.
        return most if self._fails_by is None else min(most, self.first + (self._fails_by - self.first) // 2)

    def passed(self, found: Stretch, asked: int) -> None:
        """What there was of a stretch is erased, which was `asked` to be longer."""
        if found.high < asked:
            self._fails_by = min(asked, self.first + SHORTER * (found.high - self.first + 1))
        if found.is_whole:
            self._go_to(found.high + 1)

    def go_around(self, token: int) -> None:
        """The rows at `token` are left."""
        self.overgrown.add(token)
        self._go_to(token + 1)

    def _go_to(self, first: int) -> None:
        self.first = first
        if self._fails_by is not None and self._fails_by < first:
            self._fails_by = None


class Eraser:
    """Erases a little at each call, one dropped table after another."""

    def __init__(self, catalogue: Catalogue, requests: Requests, walker: Walker) -> None:
        self._catalogue = catalogue
        self._requests = requests
        self._walker = walker
        self._course = Course()
        self._left: dict[int, tuple[int, frozenset[int]]] = {}

    @property
    def overgrown(self) -> int:
        """How many records of dropped tables could not be erased, for the dead rows that they have."""
        return len(self._known())

    async def erase(self) -> int:
        """Some partitions are gone for good; how many.

        No number is given twice, so nothing is ever written there again, and a delete at the end of time takes all.
        """
        resting = self._resting()
        table = await self._catalogue.dropped(resting)
        if table is None:
            # What was to be come back to by now is no more: another process has finished it.
            self._left = {number: self._left[number] for number in resting}
            return 0
        if self._course.number != table.number:
            self._course = Course(table.number, self._known())
        erased = 0
        for _ in range(STRETCHES_AT_ONCE):
            erased = await self._erase(table, self._course)
            if erased or self._course.is_over:
                break
        if self._course.is_over:
            await self._end(self._course)
        return erased

    async def _erase(self, table: Table, course: Course) -> int:
        """The next stretch is erased, or gone around; how many partitions are gone."""
        last = course.last()
        try:
            found = await self._walker.rows(table, table.statements.survey, course.first, last, ROWS_AT_ONCE)
        except Overgrown as met:
            course.go_around(course.first if met.token is None else met.token)
            return 0
        partitions = list(dict.fromkeys(row[0] for row in found.rows))
        for at in range(0, len(partitions), PARTITIONS_AT_ONCE):
            some = partitions[at : at + PARTITIONS_AT_ONCE]
            await together(
                self._requests.write(table.statements.erase, (ERASED_US, table.number, each)) for each in some
            )
        course.passed(found, last)
        return len(partitions)

    async def _end(self, course: Course) -> None:
        """The table is forgotten, or rests where something of it is left."""
        self._course = Course()
        if course.overgrown:
            self._left[course.number] = self._requests.now_ns(), frozenset(course.overgrown)
        else:
            await self._catalogue.forget_dropped(course.number)
            self._left.pop(course.number, None)

    def _known(self) -> set[int]:
        """Where they are. Tables that share one in Cassandra meet the same dead rows."""
        return {token for _, tokens in self._left.values() for token in tokens}

    def _resting(self) -> list[int]:
        return [number for number, (at_ns, _) in self._left.items() if not self._requests.is_late(at_ns + REST_NS)]
