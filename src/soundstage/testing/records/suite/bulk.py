"""Batches of many partitions in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from soundstage.core.errors import DeadlineExceeded, InvalidArgument, NotFound, SoundstageError, TooLarge
from soundstage.engines.records.port import BATCH_MAX_BYTES, BATCH_MAX_ITEMS, Batch, Bulk, Capability
from soundstage.testing.model import Put, Write
from soundstage.testing.records.bench import Bench
from soundstage.testing.records.requirements import requires
from soundstage.testing.records.writes import batch_of

ROUNDS = 6
RECORDS = 12


async def send(
    bench: Bench, writes: Sequence[tuple[bytes, Write]], table: str | None = None, deadline_ns: int | None = None
) -> None:
    """All of them in one call."""
    assert isinstance(bench.engine, Bulk)
    batches = [(record, batch_of(write)) for record, write in writes]
    await bench.engine.apply_each(table or bench.spec.name, batches, deadline_ns=deadline_ns)


async def values(bench: Bench, records: Sequence[bytes]) -> Mapping[bytes, Mapping[bytes, bytes]]:
    return {record: await bench.values(record) for record in records}


async def refused(bench: Bench, writes: Sequence[tuple[bytes, Write]], kind: type[SoundstageError]) -> bool:
    """They are refused for `kind`, and nothing of them is there."""
    with pytest.raises(kind):
        await send(bench, writes)
    return not any((await values(bench, [record for record, _ in writes])).values())


def drawn(bench: Bench) -> Write:
    """A write of some of a few keys, at one of a few times, of every kind."""
    random = bench.environment.random
    at, number = random.randrange(8), random.randrange(4)
    keys = random.sample([b"a", b"b", b"c", b"d"], random.randint(1, 4))
    if number == 0:
        return bench.write(at=at, whole=True)
    if number == 1:
        return bench.write(at=at, markers=keys)
    if number == 2:
        return bench.write(at=at, ranges=[(min(keys), None)])
    return bench.write(at=at, puts={key: Put(b"%d" % random.randrange(100)) for key in keys})


class BulkHeld:
    @requires(Capability.BULK)
    async def test_batches_of_a_call_count_as_those_of_calls_of_their_own_do(self, bench: Bench) -> None:
        for _ in range(ROUNDS):
            writes = [drawn(bench) for _ in range(RECORDS)]
            await send(bench, [(b"together-%d" % number, write) for number, write in enumerate(writes)])
            for number, write in enumerate(writes):
                await bench.send(write, b"alone-%d" % number)
        for number in range(RECORDS):
            pages = [await bench.page(name % number) for name in (b"together-%d", b"alone-%d")]
            assert (pages[0].rows, pages[0].stamp) == (pages[1].rows, pages[1].stamp)

    @requires(Capability.BULK, Capability.DURABLE)
    async def test_batches_of_a_call_are_there_after_a_restart(self, bench: Bench) -> None:
        records = [b"%d" % number for number in range(RECORDS)]
        await send(bench, [(record, bench.write(at=0, puts={b"key": Put(record)})) for record in records])
        await bench.reopen()
        assert await values(bench, records) == {record: {b"key": record} for record in records}

    @requires(Capability.BULK)
    async def test_batches_of_5000_items_together_are_taken(self, bench: Bench) -> None:
        half = BATCH_MAX_ITEMS // 2
        keys = [b"%04d" % number for number in range(half)]
        await send(bench, [(name, bench.write(at=0, puts=dict.fromkeys(keys, Put(b"")))) for name in (b"1", b"2")])
        assert [len(await bench.values(name)) for name in (b"1", b"2")] == [half, half]

    @requires(Capability.BULK)
    async def test_batches_of_one_item_more_together_are_too_large(self, bench: Bench) -> None:
        keys = [b"%04d" % number for number in range(BATCH_MAX_ITEMS)]
        writes = [
            (b"1", bench.write(at=0, puts=dict.fromkeys(keys, Put(b"")))),
            (b"2", bench.write(at=0, puts={b"key": Put(b"")})),
        ]
        assert await refused(bench, writes, TooLarge)

    @requires(Capability.BULK)
    async def test_batches_of_4_mib_together_are_taken(self, bench: Bench) -> None:
        half = Put(bytes(BATCH_MAX_BYTES // 2 - 1))
        await send(bench, [(name, bench.write(at=0, puts={b"k": half})) for name in (b"1", b"2")])
        assert [len((await bench.values(name))[b"k"]) for name in (b"1", b"2")] == [len(half.value)] * 2

    @requires(Capability.BULK)
    async def test_batches_of_one_byte_more_together_are_too_large(self, bench: Bench) -> None:
        half = BATCH_MAX_BYTES // 2 - 1
        writes = [
            (b"1", bench.write(at=0, puts={b"k": Put(bytes(half))})),
            (b"2", bench.write(at=0, puts={b"k": Put(bytes(half + 1))})),
        ]
        assert await refused(bench, writes, TooLarge)

    @requires(Capability.BULK)
    async def test_a_call_names_a_partition_once(self, bench: Bench) -> None:
        writes = [(b"1", bench.write(at=at, puts={b"key": Put(b"")})) for at in (0, 1)]
        assert await refused(bench, writes, InvalidArgument)

    @requires(Capability.BULK)
    async def test_batches_whose_deadline_has_passed_do_nothing(self, bench: Bench) -> None:
        writes = [(b"%d" % number, bench.write(at=0, puts={b"key": Put(b"")})) for number in range(3)]
        with pytest.raises(DeadlineExceeded):
            await send(bench, writes, deadline_ns=bench.environment.monotonic_ns())
        assert not any((await values(bench, [record for record, _ in writes])).values())

    @requires(Capability.BULK)
    async def test_batches_for_a_table_that_is_not_there_are_refused(self, bench: Bench) -> None:
        with pytest.raises(NotFound):
            await send(bench, [(b"1", bench.write(at=0, puts={b"key": Put(b"")}))], table="suite/none")

    @requires(Capability.BULK)
    async def test_a_batch_that_changes_nothing_is_refused(self, bench: Bench) -> None:
        assert isinstance(bench.engine, Bulk)
        with pytest.raises(InvalidArgument):
            await bench.engine.apply_each(bench.spec.name, [(b"1", Batch())])
