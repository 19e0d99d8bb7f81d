"""Pairs with one mistake each, and what of the suite sees it: each goes through it in a run of pytest of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from tests.testing.examination import Examination
from tests.testing.outbox.pairs import Make, kept

from soundstage.core import version
from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.log.port import Assignment, Commit, Entry, LogPage, Spot
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Batch
from soundstage.testing.outbox.bench import GROUP, ROWS, SUMS

SUBJECT = Path(__file__).with_name("subject.py")


class Eager(MemoryLog):
    """Moves positions when entries are read, before anybody applied them."""

    async def read(
        self, topic: str, partition: int, offset: int, limit_entries: int = 1_000, limit_bytes: int = 1 << 20
    ) -> LogPage:
        page = await super().read(topic, partition, offset, limit_entries, limit_bytes)
        self._topics[topic].positions.setdefault(GROUP, {})[partition] = page.next
        return page


class Careless(MemoryLog):
    """Takes positions from whoever brings them."""

    async def commit(self, commit: Commit) -> None:
        for topic, partition, offset in commit.positions:
            self._topics[topic].positions.setdefault(commit.group, {})[partition] = offset


class Oblivious(MemoryLog):
    """Forgets positions when it stops, and begins at the end."""

    async def stop(self) -> None:
        for topic in self._topics.values():
            for number, partition in enumerate(topic.partitions):
                topic.positions.setdefault(GROUP, {})[number] = partition.end
        await super().stop()


class Lossy(MemoryLog):
    """Acknowledges an entry that it does not keep."""

    async def append(self, topic: str, entries: Sequence[Entry], **more: Any) -> list[Spot]:
        if any(entry.value == b"intent-0004" for entry in entries):
            return [Spot(0, 0)]
        return await super().append(topic, entries, **more)


class Headless(MemoryLog):
    """Leaves out the headers: the time that an intent was accepted at becomes the time it was appended at."""

    async def read(
        self, topic: str, partition: int, offset: int, limit_entries: int = 1_000, limit_bytes: int = 1 << 20
    ) -> LogPage:
        page = await super().read(topic, partition, offset, limit_entries, limit_bytes)
        late = [
            msgspec.structs.replace(entry, headers=(("accepted-us", b"%d" % (entry.time_us + entry.offset)),))
            for entry in page.entries
        ]
        return msgspec.structs.replace(page, entries=late)


class Generous(MemoryLog):
    """Gives every member everything."""

    async def join(self, group: str, member: str, topics: Sequence[str], session_us: int) -> Assignment:
        found = await super().join(group, member, topics, session_us)
        return msgspec.structs.replace(found, partitions={topic: [0, 1] for topic in topics})


class Faithful(MemoryLog):
    """Keeps the share of a member that is not heard of."""

    async def join(self, group: str, member: str, topics: Sequence[str], session_us: int) -> Assignment:
        return await super().join(group, member, topics, 3_600_000_000)


class Forgetful(MemoryRecords):
    """Forgets which conditional writes it has accepted, and what they were to find."""

    async def apply(self, table: str, partition: bytes, batch: Batch, **named: Any) -> int:
        guard = named.pop("conditional", None)
        if table == SUMS and guard is not None:
            known = self._table(table).partitions.get(partition)
            if known is not None:
                known.ledger.clear()
            named["conditional"] = guard
        return await super().apply(table, partition, batch, **named)


class Latest(MemoryRecords):
    """Whatever comes last is the greatest."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._ticks = 1_800_000_000_000_000

    async def apply(self, table: str, partition: bytes, batch: Batch, **named: Any) -> int:
        if table == ROWS:
            self._ticks += 1
            cells = [(key, version.restamp(cell, self._ticks)) for key, cell in batch.cells]
            batch = msgspec.structs.replace(batch, cells=cells)
        return await super().apply(table, partition, batch, **named)


class Fleeting(MemoryRecords):
    """Forgets rows when it stops."""

    async def stop(self) -> None:
        self._table(ROWS).partitions.clear()
        await super().stop()


class Mutant(NamedTuple):
    """A mistake of one of the engines, and a word in the name of the tests that must see it."""

    engine: type[MemoryLog] | type[MemoryRecords]
    seen_by: str


MUTANTS = (
    Mutant(Eager, "who_breaks_off"),
    Mutant(Careless, "moves_no_position or takes_no_position"),
    Mutant(Oblivious, "start_again"),
    Mutant(Lossy, "what_was_intended"),
    Mutant(Headless, "appended_again"),
    Mutant(Generous, "share_the_work"),
    Mutant(Faithful, "who_breaks_off"),
    Mutant(Forgetful, "delivered_again"),
    Mutant(Latest, "moves_no_position"),
    Mutant(Fleeting, "start_again"),
)

PLAYED = (Eager, Oblivious, Lossy, Faithful, Forgetful, Latest, Fleeting)
"""The mistakes that the random play must see by itself."""


class Run(Examination):
    """A run of the suite over pairs in memory, one for each test, of which one engine is given."""

    def __init__(self, engine: type[MemoryLog] | type[MemoryRecords]) -> None:
        super().__init__()
        self._engine = engine

    @pytest.fixture
    def make(self) -> Make:
        engine = self._engine
        return kept(log=engine) if issubclass(engine, MemoryLog) else kept(records=engine)


def failures(engine: type[MemoryLog] | type[MemoryRecords], part: str) -> Run:
    """The tests whose names have `part`, run over pairs of which one is `engine`."""
    run = Run(engine)
    run.run(SUBJECT, "-k", part)
    return run
