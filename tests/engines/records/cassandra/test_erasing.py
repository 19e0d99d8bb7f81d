"""How much is erased at once; the suites against a real server have the rest."""

from __future__ import annotations

from tests.engines.records.cassandra.scripted import ADDRESS, Session, requests_of, table_of

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.records.cassandra import schema
from soundstage.engines.records.cassandra.catalogue import Catalogue, Table
from soundstage.engines.records.cassandra.erasing import PARTITIONS_AT_ONCE, Eraser
from soundstage.engines.records.cassandra.link import Link
from soundstage.engines.records.cassandra.reading import Reader
from soundstage.engines.records.cassandra.requests import Requests
from soundstage.engines.records.cassandra.statements import Ledgers
from soundstage.engines.records.cassandra.walking import Walker
from soundstage.engines.records.port import TableSpec

PARTITIONS = 5 * PARTITIONS_AT_ONCE


class OneDropped(Catalogue):
    """A table was dropped that has rows."""

    def __init__(self, requests: Requests, environment: VirtualEnvironment) -> None:
        super().__init__(Link(ADDRESS), "main", requests, Ledgers({}), environment)
        self.forgotten: list[int] = []

    async def dropped(self) -> Table:
        return table_of(TableSpec(name="dropped"))

    async def forget_dropped(self, number: int) -> None:
        self.forgotten.append(number)


async def test_many_records_are_erased_a_few_at_a_time(environment: VirtualEnvironment) -> None:
    rows = [(b"%d" % number, None, schema.ITEM, b"key", b"cell") for number in range(PARTITIONS)]
    session = Session([rows, *[None] * PARTITIONS])
    # With more of them at once some would be turned down.
    requests = requests_of(session, environment, f"in_flight={PARTITIONS_AT_ONCE}&waiting=0")
    catalogue = OneDropped(requests, environment)
    walker = Walker(Link(ADDRESS), requests, Reader(requests, environment), environment)
    assert await Eraser(catalogue, requests, walker).erase() > 0
    assert (len(session.sent), catalogue.forgotten) == (PARTITIONS + 1, [1])
