"""Works a journal off: reads sets from the log, applies them, and says how far it got.

One process at a time does it, by the lease of its role. What it knows is in the log, the positions of its group and the
ledger; after a crash the next one begins where the positions are, and meets sets again that were done: their statuses
say so. A position is committed once every set before it was applied, is dead, or waits on the shelf.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from soundstage.core.errors import DataLoss, InvalidArgument, PreconditionFailed
from soundstage.data.writeahead.applying import Outcome, apply
from soundstage.data.writeahead.journal import Journal
from soundstage.data.writeahead.ledger import Known, Listed, Status, pending
from soundstage.data.writeahead.pieces import Assembly, Whole
from soundstage.data.writeahead.sets import AcceptedSet, decode
from soundstage.data.writeahead.shelf import OPEN_STATES, Shelf
from soundstage.data.writeahead.target import Target
from soundstage.engines.log.port import Commit, Groups, Position
from soundstage.runtime.leases import Lease
from soundstage.runtime.patience import within

log: logging.Logger = logging.getLogger("soundstage.writeahead")

POLL_S = 1.0
"""How long until what others wrote is noticed: a journal's first set, and sets that are to be tried again."""

READ_ENTRIES = 1_000
READ_BYTES = 4 << 20

DUE_AT_ONCE = 200
"""Sets that wait, looked at in one go."""


class Reading:
    """How far one partition was read, what has begun there, and the position of the group."""

    def __init__(self, offset: int) -> None:
        self.offset: int = offset
        self.committed: int = offset
        self.assembly: Assembly = Assembly()


class Worker:
    """Applies the sets of `journal` by `target`. Not to be run twice at a time, which its role's lease sees to."""

    def __init__(self, journal: Journal, target: Target) -> None:
        self._journal = journal
        self._target = target
        self._ledger = journal.ledger
        self._environment = journal.environment
        self._shelf = Shelf(journal)
        self._turns = asyncio.Semaphore(journal.config.at_once)
        self._readings: dict[int, Reading] = {}
        self._groups = _groups(journal)

    async def run(self, lease: Lease | None = None) -> None:
        """Sets are applied as they come, and when they are due; never returns. Raises what the ledger and log raise."""
        self._readings.clear()
        while not await self._journal.exists():
            await within(self._environment, POLL_S, self._journal.opened.wait())
        while True:
            if lease is not None:
                lease.check()
            if not await self.round():
                await self._wait()

    async def round(self) -> bool:
        """Everything that can be read, up to some MiB, and what is due was tried; whether there was anything."""
        if not await self._journal.exists():
            return False
        if not self._readings:
            await self._begin()
        read = await self._read()
        return await self._retry_due() or read

    async def _begin(self) -> None:
        topic = self._journal.topic
        committed = await self._groups.committed(topic, topic)
        bounds = await self._journal.log.bounds(topic)
        for partition, bound in enumerate(bounds):
            self._readings[partition] = Reading(committed.get(partition, bound.start))

    async def _read(self) -> bool:
        """What the log has was read and dealt with, and the positions committed."""
        wholes: list[Whole] = []
        for partition, reading in self._readings.items():
            wholes += await self._read_one(partition, reading)
        # A set that was submitted again while it was being accepted is in the log twice.
        once = {(whole.mutation_id, whole.digest): whole for whole in wholes}
        await self._all([self._deal(whole) for whole in once.values()])
        moved = [
            (partition, reading, start)
            for partition, reading in self._readings.items()
            if (start := reading.assembly.start(reading.offset)) > reading.committed
        ]
        if moved:
            topic = self._journal.topic
            positions = [Position(topic, partition, start) for partition, _, start in moved]
            await self._groups.commit(Commit(group=topic, positions=positions))
            for _, reading, start in moved:
                reading.committed = start
        return bool(moved)

    async def _read_one(self, partition: int, reading: Reading) -> list[Whole]:
        topic, tally = self._journal.topic, self._journal.tally
        page = await self._journal.log.read(topic, partition, reading.offset, READ_ENTRIES, READ_BYTES)
        if page.start > reading.offset:
            tally.count("lost", page.start - reading.offset)
            log.error("entries of the write-ahead log are lost", extra={"topic": topic, "until": page.start})
        reading.offset = page.next
        dropped = reading.assembly.dropped
        wholes = [whole for entry in page.entries if (whole := reading.assembly.feed(entry)) is not None]
        reading.assembly.forget(self._environment.now_us())
        tally.count("dropped", reading.assembly.dropped - dropped)
        return wholes

    async def _deal(self, whole: Whole) -> None:
        """The set was tried, or put off until it is due, unless that was done already."""
        known = await self._ledger.find(whole.mutation_id) or await self._enter(whole)
        if known is None or known.status.digest != whole.digest or known.status.state not in OPEN_STATES:
            return
        status = known.status
        if status.state == "pending":
            await self._ledger.enlist(pending(self._journal.target), Listed(status.next_us, whole.mutation_id))
            return
        if whole.intact and status.due_us > self._environment.now_us():
            await self._delay(whole, known)
            return
        await self._try(whole.mutation_id, whole.encoded, known, whole.intact)

    async def _enter(self, whole: Whole) -> Known | None:
        """The status of a set that has none: it is lost, as after a restore; None when the set is too old to ask."""
        if not whole.intact:
            return None
        accepted = decode(whole.encoded)
        if self._environment.now_us() - accepted.accepted_us >= self._journal.config.status_kept.us:
            return None
        status = _status_of(self._journal.target, whole, accepted)
        try:
            return await self._ledger.write(whole.mutation_id, status, None)
        except PreconditionFailed:
            return await self._ledger.find(whole.mutation_id)

    async def _delay(self, whole: Whole, known: Known) -> None:
        waiting = known.status.now("pending", next_us=known.status.due_us)
        try:
            await self._shelf.put_off(whole.mutation_id, whole.encoded, known, waiting)
        except PreconditionFailed:
            # Its acceptor has just said that it is accepted, or its owner that it is not wanted.
            await self._deal(whole)

    async def _try(self, mutation_id: str, encoded: bytes, known: Known, intact: bool = True) -> None:
        self._journal.tally.open(mutation_id, known.status.since_us)
        try:
            accepted = decode(encoded if intact else b"")
        except DataLoss as error:
            await self._shelf.settle(mutation_id, encoded, known, Outcome(known.status.applied, error))
            return
        timeout_s = self._journal.config.apply_timeout.seconds
        outcome = await apply(self._target, accepted, known.status, self._environment, timeout_s)
        await self._shelf.settle(mutation_id, encoded, known, outcome)

    async def _retry_due(self) -> bool:
        """What waits and is due was tried again; whether there was any."""
        name = pending(self._journal.target)
        due = await self._ledger.listed(name, DUE_AT_ONCE, until_us=self._environment.now_us() + 1)
        await self._all([self._retry(listed) for listed in due])
        return bool(due)

    async def _retry(self, listed: Listed) -> None:
        known = await self._ledger.find(listed.mutation_id)
        if known is not None and known.status.state == "pending" and known.status.next_us == listed.at_us:
            content = await self._ledger.content(listed.mutation_id, known.status)
            await self._try(listed.mutation_id, content or b"", known, intact=content is not None)
        await self._ledger.strike(pending(self._journal.target), listed)

    async def _all(self, works: Sequence[Awaitable[None]]) -> None:
        """Each of `works` was done, some at once; raises what the first of them that failed did."""

        async def one(work: Awaitable[None]) -> None:
            async with self._turns:
                await work

        for failed in await asyncio.gather(*map(one, works), return_exceptions=True):
            if failed is not None:
                raise failed

    async def _wait(self) -> None:
        """Something can be read, or some time has passed."""
        topic = self._journal.topic
        next_up = await self._ledger.listed(pending(self._journal.target), 1)
        now_us = self._environment.now_us()
        wait_us = min([round(POLL_S * 1e6), *(max(1_000, each.at_us - now_us) for each in next_up)])
        positions = [Position(topic, partition, reading.offset) for partition, reading in self._readings.items()]
        await self._journal.log.wait(positions, self._environment.monotonic_ns() + wait_us * 1_000)


async def work_off(open: Callable[[], Awaitable[tuple[Journal, Target]]], lease: Lease | None) -> None:
    """What the role of a target does: the journal it opens is worked off, where the stage has a log."""
    try:
        journal, target = await open()
    except InvalidArgument:
        # A stage without a log takes no sets, and a role that ends is begun again.
        await asyncio.Event().wait()
        return
    await Worker(journal, target).run(lease)


def _groups(journal: Journal) -> Groups:
    if isinstance(journal.log, Groups):
        return journal.log
    raise InvalidArgument("the log has no groups", field="systems.writeahead.log", hint="name another engine")


def _status_of(target: str, whole: Whole, accepted: AcceptedSet) -> Status:
    return Status(
        target=target,
        state="accepted",
        digest=whole.digest,
        count=len(accepted.mutations),
        token=accepted.token,
        time_us=accepted.time_us,
        accepted_us=accepted.accepted_us,
        due_us=accepted.due_us,
        since_us=max(accepted.accepted_us, accepted.due_us),
    )
