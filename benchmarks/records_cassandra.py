"""What does the records port cost on Cassandra? Ours beside the bare driver, on the same server and the same table.

The driver sends what means the same: one prepared INSERT of the cell at its time with the record's header, and one
prepared SELECT. Both keep as many requests under way, and both wait for a quorum. The figures are of this client and
one node together on one machine; the server does not wait for the disk (`skip_sync`). Tables that take conditions,
and leases on them, stand beside without a rival: they write by lightweight transactions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvloop

from benchmarks.cassandra_driver import driven
from benchmarks.report import Figure, figure, interleaved, options, show
from soundstage.core import version
from soundstage.core.environment import SystemEnvironment
from soundstage.engines.records.cassandra import CassandraRecords, Link, parse_address
from soundstage.engines.records.port import ALL, Batch, Budget, TableSpec
from soundstage.servers import Cluster

UNDER_WAY = 128
VALUE = bytes(100)
PUT = "INSERT INTO rows (number, id, kind, key, cell, newest) VALUES (?, ?, 2, ?, ?, ?) USING TIMESTAMP ?"
GET = "SELECT newest, key, cell FROM rows WHERE number = ? AND id = ? AND kind = 2 AND key IN ?"
RANGE = "SELECT newest, key, cell FROM rows WHERE number = ? AND id = ? AND kind = 2 AND key >= ? LIMIT ?"
NUMBER = -1
"""Of the driver's own records, which no table of ours has."""

KEY = b"item"
ROWS_OF_A_RANGE = 100


class Scale(msgspec.Struct, frozen=True):
    """How much is done; the first `warm` turns do not count."""

    rounds: int
    calls: int
    decisions: int
    warm: int = 2


FULL = Scale(rounds=31, calls=2_000, decisions=200, warm=20)
QUICK = Scale(rounds=5, calls=2_000, decisions=200)


class Bare:
    """The driver by itself."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._put, self._get, self._range = (session.prepare(each) for each in (PUT, GET, RANGE))
        self._written = 0

    def puts(self, count: int) -> float:
        """Puts per second."""
        first = self._written
        self._written += count
        return self._timed(count, (self._bound_put(first + each) for each in range(count)))

    def gets(self, count: int) -> float:
        """Reads of one item per second."""
        asked = (self._get.bind((NUMBER, b"record-%d" % (each % self._written), [KEY])) for each in range(count))
        return self._timed(count, asked)

    def ranges(self, count: int) -> float:
        """Rows of ranges read per second."""
        asked = (self._range.bind((NUMBER, b"wide", b"", ROWS_OF_A_RANGE + 1)) for _ in range(count))
        return self._timed(count, asked) * ROWS_OF_A_RANGE

    def fill(self) -> None:
        """One record has the rows of a range."""
        for each in range(ROWS_OF_A_RANGE):
            cell = version.put(time.time_ns() // 1_000, f"token-{each:032d}", VALUE)
            values = (NUMBER, b"wide", b"%05d" % each, cell, version.identity(cell), version.time_us(cell))
            self._session.execute(self._put, values)

    def _bound_put(self, number: int) -> Any:
        cell = version.put(time.time_ns() // 1_000, f"token-{number:032d}", VALUE)
        values = (NUMBER, b"record-%d" % number, KEY, cell, version.identity(cell), version.time_us(cell))
        return self._put.bind(values)

    def _timed(self, count: int, requests: Iterator[Any]) -> float:
        return count / driven(self._session, ([each] for each in requests), UNDER_WAY)


class Ours:
    """The port, called by as many tasks as the driver has requests under way."""

    def __init__(self, runner: asyncio.Runner, engine: CassandraRecords) -> None:
        self._runner = runner
        self._engine = engine
        self._written: dict[str, int] = {}

    def puts(self, table: str, count: int) -> float:
        """Puts per second."""

        async def put(number: int) -> None:
            cell = version.put(time.time_ns() // 1_000, f"token-{number:032d}", VALUE)
            await self._engine.apply(table, b"record-%d" % number, Batch(cells=[(KEY, cell)]))

        first = self._written.get(table, 0)
        self._written[table] = first + count
        return self._timed(put, range(first, first + count))

    def gets(self, table: str, count: int) -> float:
        """Reads of one item per second."""
        written, now_us = self._written[table], time.time_ns() // 1_000

        async def get(number: int) -> None:
            page = await self._engine.get(table, b"record-%d" % (number % written), [KEY], now_us)
            assert len(page.rows) == 1

        return self._timed(get, range(count))

    def ranges(self, table: str, count: int) -> float:
        """Rows of ranges read per second."""
        now_us, budget = time.time_ns() // 1_000, Budget(rows=ROWS_OF_A_RANGE)

        async def read(_: int) -> None:
            assert len((await self._engine.read(table, b"wide", ALL, budget, now_us)).rows) == ROWS_OF_A_RANGE

        return self._timed(read, range(count)) * ROWS_OF_A_RANGE

    def fill(self, table: str) -> None:
        """One record has the rows of a range."""
        cells = [
            (b"%05d" % each, version.put(time.time_ns() // 1_000, f"token-{each:032d}", VALUE))
            for each in range(ROWS_OF_A_RANGE)
        ]
        self._runner.run(self._engine.apply(table, b"wide", Batch(cells=cells)))

    def _timed(self, call: Callable[[int], Awaitable[None]], numbers: Sequence[int]) -> float:
        return self._runner.run(self._rate(call, numbers))

    async def _rate(self, call: Callable[[int], Awaitable[None]], numbers: Sequence[int]) -> float:
        left = iter(numbers)

        async def work() -> None:
            for number in left:
                await call(number)

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(UNDER_WAY)))
        return len(numbers) / (time.perf_counter() - began)


PLAIN, GUARDED = "bench/plain", "bench/guarded"


@contextmanager
def sides(url: str) -> Generator[tuple[Ours, Bare]]:
    """Both, by connections of the same settings."""
    link = Link(parse_address("bench", urlsplit(f"{url}/bench?space=s{time.time_ns()}"), {}, None))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        engine = CassandraRecords(link, SystemEnvironment())
        runner.run(engine.start())
        try:
            for name in (PLAIN, GUARDED):
                runner.run(engine.create_table(TableSpec(name=name, conditional=name == GUARDED)))
            ours, bare = Ours(runner, engine), Bare(link.session)
            ours.fill(PLAIN)
            bare.fill()
            yield ours, bare
        finally:
            runner.run(engine.stop())


def measure(scale: Scale) -> list[Figure]:
    """All figures, against a node of its own."""
    with Cluster("cassandra") as cluster, sides(cluster.url) as (ours, bare):
        return measured(ours, bare, scale)


def measured(ours: Ours, bare: Bare, scale: Scale) -> list[Figure]:
    """All figures, against what is given."""
    calls = scale.calls
    puts = interleaved(scale.rounds, lambda: ours.puts(PLAIN, calls), lambda: bare.puts(calls), warm=scale.warm)
    gets = interleaved(scale.rounds, lambda: ours.gets(PLAIN, calls), lambda: bare.gets(calls), warm=scale.warm)
    wide = calls // 10
    ranges = interleaved(scale.rounds, lambda: ours.ranges(PLAIN, wide), lambda: bare.ranges(wide), warm=scale.warm)
    decided = interleaved(scale.rounds, lambda: ours.puts(GUARDED, scale.decisions))
    guarded = interleaved(scale.rounds, lambda: ours.gets(GUARDED, scale.decisions))
    note = "conditional_writes true; no rival"
    return [
        figure("records_cassandra.puts", puts[0], puts[1], "puts/s", "higher", target=0.8),
        figure("records_cassandra.gets", gets[0], gets[1], "gets/s", "higher", target=0.8),
        figure("records_cassandra.ranges", ranges[0], ranges[1], "rows/s", "higher", target=0.8),
        figure("records_cassandra.decided_puts", decided[0], None, "puts/s", "higher", note=note),
        figure("records_cassandra.decided_gets", guarded[0], None, "gets/s", "higher", note=note),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    chosen = options(__doc__ or "", arguments)
    show("Cassandra", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
