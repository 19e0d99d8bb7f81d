"""Statistics of a table: near enough to plan by, exact while it is small."""

from __future__ import annotations

import pytest

from soundstage.core.errors import NotFound, Unavailable
from soundstage.engines.records.port import Capability, Statistics, TableStatistics
from soundstage.testing.model import Put
from soundstage.testing.records.bench import Bench
from soundstage.testing.records.requirements import requires
from soundstage.testing.records.suite.tables import create


async def statistics(bench: Bench, table: str | None = None) -> TableStatistics:
    assert isinstance(bench.engine, Statistics)
    return await bench.engine.statistics(table or bench.spec.name)


class Sizes:
    @requires(Capability.STATISTICS)
    async def test_an_empty_table_has_nothing(self, bench: Bench) -> None:
        assert await statistics(bench) == TableStatistics(rows=0, bytes=0, partitions=0, tombstones=0, histogram={})

    @requires(Capability.STATISTICS)
    async def test_rows_and_partitions_are_counted(self, bench: Bench) -> None:
        for number in range(10):
            puts = {b"%d" % key: Put(b"") for key in range(3)}
            await bench.send(bench.write(at=-1, puts=puts), b"record-%d" % number)
        found = await statistics(bench)
        assert (found.rows, found.partitions) == (30, 10)

    @requires(Capability.STATISTICS)
    async def test_bytes_are_those_of_keys_and_cells(self, bench: Bench) -> None:
        await bench.put(b"key", bytes(1_000), at=-1)
        wanted = sum(len(key) + len(cell) for key, cell in await bench.rows())
        assert (await statistics(bench)).bytes == wanted

    @requires(Capability.STATISTICS)
    async def test_the_histogram_counts_records_by_powers_of_two(self, bench: Bench) -> None:
        for number, size in enumerate((1_000, 1_000, 3_000)):
            await bench.put(b"key", bytes(size), at=-1, record=b"record-%d" % number)
        assert (await statistics(bench)).histogram == {2_048: 2, 4_096: 1}

    @requires(Capability.STATISTICS)
    async def test_tombstones_are_counted(self, bench: Bench) -> None:
        await bench.delete_all(at=0)
        await bench.send(bench.write(at=1, ranges=[(b"a", b"b"), (b"c", b"d")]))
        await bench.delete_range(b"a", b"b", at=1, record=b"other")
        assert (await statistics(bench)).tombstones == 4

    @requires(Capability.STATISTICS)
    async def test_statistics_are_of_one_table(self, bench: Bench) -> None:
        await bench.put(b"key", b"", at=-1)
        await create(bench, "suite/a")
        await create(bench, "suite/z")
        assert [(await statistics(bench, name)).rows for name in ("suite/a", "suite/z")] == [0, 0]

    @requires(Capability.STATISTICS)
    async def test_statistics_of_an_unknown_table_are_refused(self, bench: Bench) -> None:
        with pytest.raises(NotFound):
            await statistics(bench, "suite/unknown")

    @requires(Capability.STATISTICS)
    async def test_a_stopped_engine_has_no_statistics(self, bench: Bench) -> None:
        await bench.engine.stop()
        with pytest.raises(Unavailable):
            await statistics(bench)
