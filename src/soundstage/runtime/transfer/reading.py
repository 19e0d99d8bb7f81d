"""Goes through all that the tables of a namespace keep, from any place on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias

import msgspec

from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.engines.records.holdings import Holding, Transfers
from soundstage.engines.records.port import Budget, Capability, Records
from soundstage.runtime.transfer.tally import Tally

Compute: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]
"""Runs a function off the event loop: `stage.compute.thread`."""

PAGE = Budget(rows=4_000, bytes=1 << 20)

UNSTEADY_MAX = 4_000
"""Records that may be left unchecked, because they were deleted from while they were read."""


class OpenRecord(msgspec.Struct):
    """A record of which more may come: what hid its rows when it began, and what it counts."""

    partition: bytes
    covers: bytes
    tally: Tally


class Place(msgspec.Struct):
    """How far a reading is, as checkpoints keep it. `at_us` is when it began.

    A record over several pages is checked by the sum only if nothing was deleted from it while it was read;
    else it is one of the `unsteady`, by the hashes of their names.
    """

    at_us: int
    table: int = 0
    position: bytes | None = None
    tally: Tally = msgspec.field(default_factory=Tally)
    open: OpenRecord | None = None
    unsteady: list[bytes] = []


class ReadPage(NamedTuple):
    """Holdings of the table of that number."""

    table: int
    holdings: list[Holding]


def transfers_of(records: Records, name: str, field: str) -> Transfers:
    """The engine as one that can be read and filled so. Raises `InvalidArgument` when it cannot."""
    if isinstance(records, Transfers) and Capability.TRANSFER in records.capabilities:
        return records
    raise InvalidArgument(
        f"the engine of the namespace {name!r} lacks the capability {Capability.TRANSFER.value!r}",
        field=field,
        hint="bind the namespace to another engine",
    )


class Reading:
    """A walk over tables; `place` is always that after the page that was taken last.

    Records whose hashes are in `passing_over` are not counted. `compute` counts off the event loop.
    """

    def __init__(
        self,
        engine: Transfers,
        tables: Sequence[str],
        place: Place,
        compute: Compute,
        passing_over: frozenset[bytes] = frozenset(),
    ) -> None:
        self.place = place
        self._engine = engine
        self._tables = tables
        self._compute = compute
        self._passing_over = passing_over

    async def pages(self) -> AsyncGenerator[ReadPage]:
        """Page after page to the end."""
        place = self.place
        while place.table < len(self._tables):
            table = place.table
            page = await self._engine.dump(self._tables[table], place.position, PAGE)
            await self._compute(self._take, table, page.holdings)
            place.position = page.position
            if page.position is None:
                self._close()
                place.table += 1
            yield ReadPage(table, page.holdings)

    def _take(self, table: int, holdings: Sequence[Holding]) -> None:
        for holding in holdings:
            self._count(table, holding)

    def _count(self, table: int, holding: Holding) -> None:
        place, covers = self.place, _covers(holding)
        found = place.open
        if found is None or found.partition != holding.partition:
            self._close()
            found = place.open = OpenRecord(holding.partition, covers, Tally(records=1))
        if found.covers not in (covers, b""):
            found.covers = b""
            self._mark_unsteady(table, holding.partition)
        found.tally.take(table, holding.partition, holding.cells, place.at_us)

    def _close(self) -> None:
        place = self.place
        if place.open is not None:
            found, place.open = place.open, None
            name = record_hash(place.table, found.partition)
            if found.covers and name not in self._passing_over:
                place.tally.add(found.tally)

    def _mark_unsteady(self, table: int, partition: bytes) -> None:
        if len(self.place.unsteady) >= UNSTEADY_MAX:
            raise Unavailable(
                f"{UNSTEADY_MAX} records were deleted from while they were read, too many to be left unchecked",
                hint="try again when less is deleted",
                outcome="not_applied",
            )
        self.place.unsteady.append(record_hash(table, partition))


def record_hash(table: int, partition: bytes) -> bytes:
    """What names a record in lists."""
    return sha256(b"%d " % table + partition).digest()[:16]


def _covers(holding: Holding) -> bytes:
    """What hides rows of a record, in few bytes; never empty."""
    return sha256(msgspec.msgpack.encode(holding.covers)).digest()[:16]
