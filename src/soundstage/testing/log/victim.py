"""A process that appends, and tells of every answer, until it is killed: `python -m soundstage.testing.log.victim`.

Each producer sends one call after the other: some entries with keys, into several partitions, every other one together
with a write of records. A reader follows one partition and tells what it is shown.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import msgspec

from soundstage.core import version
from soundstage.core.environment import SystemEnvironment
from soundstage.core.size import Size
from soundstage.engines.log.port import Appending, Applying, Entry, Position, Spot, TopicSpec
from soundstage.engines.log.rocksdb import RocksLog
from soundstage.engines.records.port import Batch, TableSpec
from soundstage.engines.records.rocksdb import RocksOptions, RocksRecords
from soundstage.engines.rocks.database import Database

TOPIC = "crash/entries"
TABLE = "crash/items"
PARTITIONS = 3
SMALL = Size(8 << 20)


class Acked(msgspec.Struct, tag="acked"):
    """A call was answered; `together` says that it wrote a record too."""

    producer: int
    call: int
    together: bool
    spots: list[Spot]


class Shown(msgspec.Struct, tag="shown"):
    """A reader was shown an entry."""

    partition: int
    offset: int
    value: bytes


class Opened(msgspec.Struct, tag="opened"):
    """What comes now follows what an earlier process left."""


Line = Acked | Shown | Opened


def value_of(producer: int, call: int, index: int, count: int) -> bytes:
    """What an entry says: which one it is of how many of its call."""
    return b"%d:%d:%d:%d" % (producer, call, index, count)


def opened(folder: str) -> tuple[RocksRecords, RocksLog]:
    """Records and a log on `folder`, not started."""
    environment = SystemEnvironment()
    database = Database(folder, RocksOptions(cache=SMALL, low_water=Size(0)), environment)
    records = RocksRecords(database, environment)
    return records, RocksLog(database, environment, records.enlist)


class Victim:
    """Producers and a reader on one folder."""

    def __init__(self, folder: str, first_call: int) -> None:
        self._records, self._log = opened(folder)
        self._first_call = first_call

    async def run(self, producers: int) -> None:
        """Until somebody ends the process."""
        await self._records.start()
        await self._log.start()
        await self._records.create_table(TableSpec(name=TABLE))
        await self._log.create_topic(TopicSpec(name=TOPIC, partitions=PARTITIONS))
        tell(Opened())
        await asyncio.gather(self._follow(), *map(self._produce, range(producers)))

    async def _produce(self, producer: int) -> None:
        call = self._first_call
        while True:
            count = 1 + call % 4
            entries = [
                Entry(value_of(producer, call, index, count), b"%d" % (producer + index)) for index in range(count)
            ]
            if call % 2:
                spots = await self._together(producer, call, entries)
            else:
                spots = await self._log.append(TOPIC, entries)
            tell(Acked(producer, call, bool(call % 2), spots))
            call += 1

    async def _together(self, producer: int, call: int, entries: Sequence[Entry]) -> list[Spot]:
        cell = version.put(1 + call, f"{producer}-{call}", b"", 0)
        write = Applying(table=TABLE, partition=b"%d" % producer, batch=Batch(cells=[(b"%d" % call, cell)]))
        done = await self._log.write_together([write], [Appending(topic=TOPIC, entries=entries)])
        return done.spots[0]

    async def _follow(self) -> None:
        offset = (await self._log.bounds(TOPIC))[0].end
        while True:
            await self._log.wait([Position(TOPIC, 0, offset)])
            page = await self._log.read(TOPIC, 0, offset)
            for entry in page.entries:
                tell(Shown(0, entry.offset, entry.value or b""))
            offset = page.next


def tell(line: Line) -> None:
    """Whoever started this process hears of it at once."""
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def main(arguments: Sequence[str]) -> None:
    """`FOLDER FIRST_CALL PRODUCERS`."""
    folder, first_call, producers = arguments
    asyncio.run(Victim(folder, int(first_call)).run(int(producers)))


if __name__ == "__main__":
    main(sys.argv[1:])
