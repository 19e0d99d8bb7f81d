"""Records and entries in one batch: both are there or none of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.engines.log.rocksdb.store import SMALL
from tests.engines.rocks.threads import FaultyDisk

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, NotFound, PreconditionFailed, TokenReused, Unavailable
from soundstage.engines.log.port import STAMP, Appending, Applying, AtomicWithLog, Entry, LogCapability, Spot, TopicSpec
from soundstage.engines.log.rocksdb import RocksLog, open_rocksdb_log
from soundstage.engines.records.port import Batch, Condition, Conditional, TableSpec
from soundstage.engines.records.rocksdb import RocksOptions, RocksRecords
from soundstage.engines.rocks.database import Database

TABLE, TOPIC = "test/items", "test/changes"
LATE_US = 2**50


class Pair:
    """Records and a log on one folder."""

    def __init__(self, folder: str) -> None:
        self.environment = VirtualEnvironment(seed=1)
        self.disk = FaultyDisk()
        options = RocksOptions(cache=SMALL, low_water=SMALL)
        database = Database(folder, options, self.environment, disk=self.disk)
        self.records = RocksRecords(database, self.environment)
        self.log = RocksLog(database, self.environment, self.records.enlist)

    async def open(self) -> Pair:
        await self.records.start()
        await self.log.start()
        await self.records.create_table(TableSpec(name=TABLE, conditional=True))
        await self.log.create_topic(TopicSpec(name=TOPIC, partitions=2))
        return self

    async def close(self) -> None:
        await self.log.stop()
        await self.records.stop()

    async def found(self) -> tuple[list[bytes], list[bytes | None]]:
        """What the two hold: keys of the record, values of the entries."""
        rows = await self.records.get(TABLE, b"r", [b"a", b"b", b"c"], self.environment.now_us())
        page = await self.log.read(TOPIC, 0, 0)
        return [key for key, _ in rows.rows], [each.value for each in page.entries]


def write(key: bytes = b"a", *, partition: bytes = b"r", conditional: Conditional | None = None) -> Applying:
    cell = version.put(5, f"t-{key.decode()}", b"value", 0)
    return Applying(table=TABLE, partition=partition, batch=Batch(cells=[(key, cell)]), conditional=conditional)


def append(value: bytes = b"1", *, partition: int = 0, token: str | None = None) -> Appending:
    return Appending(topic=TOPIC, entries=[Entry(value)], partition=partition, token=token)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    pair = await Pair(str(tmp_path / "both")).open()
    yield pair
    await pair.close()


def test_the_capability_comes_with_records(pair: Pair) -> None:
    assert LogCapability.ATOMIC_WITH_LOG in pair.log.capabilities
    assert isinstance(pair.log, AtomicWithLog)


async def test_a_log_without_records_refuses(tmp_path: Path) -> None:
    log = open_rocksdb_log(str(tmp_path / "alone"), RocksOptions(cache=SMALL), VirtualEnvironment())
    await log.start()
    assert LogCapability.ATOMIC_WITH_LOG not in log.capabilities
    with pytest.raises(InvalidArgument, match="no records"):
        await log.write_together([write()], [])
    await log.stop()


async def test_an_entry_tells_in_which_version_the_write_beside_it_was_applied(pair: Pair) -> None:
    absent = Conditional(conditions=[Condition(b"z", None)], token="c", digest=b"d", limit_us=1 << 60)
    await pair.log.write_together([write(b"a")], [append(b"1")])
    stamped = msgspec.structs.replace(append(b"2"), stamped=1)
    done = await pair.log.write_together([write(b"x", partition=b"other"), write(b"b", conditional=absent)], [stamped])
    entry = (await pair.log.read(TOPIC, 0, 1)).entries[0]
    assert entry.headers == ((STAMP, done.stamps[1].to_bytes(8, "big")),)
    assert done.stamps[1] > done.stamps[0]


@pytest.mark.parametrize("number", [-1, 1])
async def test_the_stamp_of_a_write_that_is_not_there_is_refused(pair: Pair, number: int) -> None:
    with pytest.raises(InvalidArgument, match="no write"):
        await pair.log.write_together([write()], [msgspec.structs.replace(append(), stamped=number)])
    assert (await pair.log.bounds(TOPIC))[0].end == 0


async def test_both_are_there_and_answered_as_by_themselves(pair: Pair) -> None:
    done = await pair.log.write_together([write(b"a"), write(b"x", partition=b"other")], [append(b"1")])
    assert (done.stamps, done.spots) == ([5, 5], [[Spot(0, 0)]])
    assert await pair.found() == ([b"a"], [b"1"])


async def test_both_are_there_after_a_restart(pair: Pair, tmp_path: Path) -> None:
    await pair.log.write_together([write()], [append()])
    await pair.close()
    again = await Pair(str(tmp_path / "both")).open()
    assert await again.found() == ([b"a"], [b"1"])
    await again.close()


async def test_they_share_one_flush(pair: Pair) -> None:
    before = pair.disk.flushes, pair.disk.writes
    await pair.log.write_together([write()], [append(), append(partition=1)])
    assert (pair.disk.flushes - before[0], pair.disk.writes - before[1]) == (1, 1)


@pytest.mark.parametrize(
    ("writes", "appends", "error"),
    [
        ([write()], [Appending(topic="unknown", entries=[Entry(b"")])], NotFound),
        ([write()], [append(), append()], InvalidArgument),
        ([write(), write(b"b")], [append()], InvalidArgument),
        ([write()], [append(partition=7)], InvalidArgument),
        ([Applying(table="unknown", partition=b"r", batch=write().batch)], [append()], NotFound),
    ],
)
async def test_what_one_refuses_neither_does(
    pair: Pair, writes: list[Applying], appends: list[Appending], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await pair.log.write_together(writes, appends)
    assert await pair.found() == ([], [])


async def test_a_condition_that_fails_appends_nothing(pair: Pair) -> None:
    absent = Conditional(conditions=[Condition(b"a", None)], token="c1", digest=b"1", limit_us=LATE_US)
    await pair.log.write_together([write(conditional=absent)], [append(b"1")])
    again = Conditional(conditions=[Condition(b"a", None)], token="c2", digest=b"2", limit_us=LATE_US)
    with pytest.raises(PreconditionFailed):
        await pair.log.write_together([write(conditional=again)], [append(b"2")])
    assert await pair.found() == ([b"a"], [b"1"])


async def test_a_repetition_of_both_has_no_effect(pair: Pair) -> None:
    absent = Conditional(conditions=[Condition(b"a", None)], token="c", digest=b"1", limit_us=LATE_US)
    calls = [await pair.log.write_together([write(conditional=absent)], [append(token="c")]) for _ in range(3)]
    assert calls[0] == calls[1] == calls[2]
    assert await pair.found() == ([b"a"], [b"1"])


async def test_a_token_of_other_entries_refuses_the_write_too(pair: Pair) -> None:
    await pair.log.write_together([write(b"a")], [append(b"1", token="t")])
    with pytest.raises(TokenReused):
        await pair.log.write_together([write(b"b")], [append(b"2", token="t")])
    assert await pair.found() == ([b"a"], [b"1"])


async def test_a_failed_write_leaves_neither(pair: Pair, tmp_path: Path) -> None:
    pair.disk.write_error = Exception("IO error: No space left on device")
    with pytest.raises(Unavailable) as caught:
        await pair.log.write_together([write()], [append()])
    assert caught.value.outcome == "unknown"
    await pair.close()
    again = await Pair(str(tmp_path / "both")).open()
    assert await again.found() == ([], [])
    await again.close()


async def test_a_checkpoint_is_one_cut_over_both(pair: Pair, tmp_path: Path) -> None:
    await pair.log.write_together([write(b"a")], [append(b"1")])
    await pair.records.checkpoint(str(tmp_path / "cut"))
    await pair.log.write_together([write(b"b")], [append(b"2")])
    other = Pair(str(tmp_path / "other"))
    await other.records.start()
    await other.log.start()
    await other.records.restore(str(tmp_path / "cut"))
    await other.log.restore(str(tmp_path / "cut"))
    assert await other.found() == ([b"a"], [b"1"])
    await other.close()
