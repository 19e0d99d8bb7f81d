"""100,000 real ratings in a log: read by a group whose members come and go, and again from a day on."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable

from soundstage import Instant, Stage
from soundstage.datasets import fetch
from soundstage.datasets.movielens import Rating, ratings
from soundstage.engines.log.consumer import Batch, Consumer, ConsumerOptions
from soundstage.engines.log.port import Entry, Log, TopicSpec

TOPIC = "ratings"
PARTITIONS = 4
OPTIONS = ConsumerOptions(limit_entries=2_500)


class Tally:
    """What a group has made of the ratings it read; one that is read again changes nothing."""

    def __init__(self) -> None:
        self.stars: dict[tuple[int, int], int] = {}
        self.again = 0

    def apply(self, batch: Batch) -> None:
        """Each rating counts by its place in the log, which is its token."""
        for entry in batch.entries:
            place = batch.partition, entry.offset
            self.again += place in self.stars
            self.stars[place] = int(entry.value or b"0")


async def append(log: Log, found: Iterable[Rating]) -> int:
    """Every rating is in the log, those of a person in one partition, at the time it was given; how many."""
    entries = [
        Entry(b"%d" % each.stars, b"%d" % each.user_id, (("film", b"%d" % each.film_id),), each.rated_at.us)
        for each in sorted(found, key=lambda rating: rating.rated_at)
    ]
    for begin in range(0, len(entries), 5_000):
        await log.append(TOPIC, entries[begin : begin + 5_000])
    return len(entries)


async def work(member: Consumer, tally: Tally) -> None:
    """All that is left of the member's share is applied and committed."""
    while (batch := await member.poll()) is not None:
        tally.apply(batch)
        await member.commit()


async def since(log: Log, time: Instant) -> int:
    """How many ratings were given from `time` on."""
    ends = [bounds.end for bounds in await log.bounds(TOPIC)]
    return sum(ends) - sum([await log.offset_at(TOPIC, number, time.us) for number in range(PARTITIONS)])


async def main() -> None:
    """Appends, reads with one member that breaks off and two that go on, and looks back."""
    with tempfile.TemporaryDirectory() as folder:
        async with Stage.open(data=folder) as stage:
            log = stage.log()
            await log.create_topic(TopicSpec(name=TOPIC, partitions=PARTITIONS))
            print(f"{await append(log, ratings(fetch('movielens-100k')))} ratings are in {PARTITIONS} partitions")

            def member() -> Consumer:
                return Consumer(log, "tally", [TOPIC], stage.environment, OPTIONS)

            tally = Tally()
            async with member() as first:
                for number in range(5):
                    tally.apply(await anext(first))
                    # The last batch is applied, and the member goes before it says so.
                    if number < 4:
                        await first.commit()
            print(f"the first member read {len(tally.stars)} and broke off")

            async with member() as second, member() as third:
                await second.beat()
                await asyncio.gather(work(second, tally), work(third, tally))
            print(f"two others read the rest: {len(tally.stars)} ratings with {sum(tally.stars.values())} stars")
            print(f"{tally.again} were read twice, and counted once")
            print(f"{await since(log, Instant.parse('1998-04-01T00:00:00Z'))} were given since April 1998")


if __name__ == "__main__":
    asyncio.run(main())
