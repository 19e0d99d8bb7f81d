"""Works a journal off: reads sets from the log, applies them, and says how far it got.

One process at a time does it, by the lease of its role. What it knows is in the log, the positions of its group and the
ledger; after a crash the next one begins where the positions are, and meets sets again that were done: their statuses
say so. A position is committed once every set before it was applied, is dead, or waits on the shelf.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from soundstage.core.errors import DataLoss, InvalidArgument, PreconditionFailed
from soundstage.core.together import together
from soundstage.data.writeahead.applying import Hands, Outcome
from soundstage.data.writeahead.gates import Gates
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

LOOK_S = 0.01
"""The shortest time between two looks at what is due."""

FIRST_PATIENCE_S = 1.0
"""What comes from the log waits no longer for a mutation: those behind it are held up meanwhile."""

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
        self._ledger = journal.ledger
        self._environment = journal.environment
        self._shelf = Shelf(journal)
        self._hands = Hands(target, Gates(journal.config), journal.environment)
        self._turns = asyncio.Semaphore(journal.config.at_once)
        self._second_turns = asyncio.Semaphore(journal.config.at_once)
        self._trying: dict[str, asyncio.Task[None]] = {}
        self._readings: dict[int, Reading] = {}
        self._groups = _groups(journal)

    async def run(self, lease: Lease | None = None) -> None:
        """Sets are applied as they come, and when they are due; never returns. Raises what the ledger and log raise."""
        self._readings.clear()
        while not await self._journal.exists():
            await within(self._environment, POLL_S, self._journal.opened.wait())
        await self._begin()
        lanes = [asyncio.ensure_future(each) for each in (self._follow(lease), self._look_after_those_that_wait())]
        try:
            await asyncio.wait(lanes, return_when=asyncio.FIRST_EXCEPTION)
            for lane in lanes:
                if lane.done():
                    lane.result()
        finally:
            trying = list(self._trying.values())
            for task in (*lanes, *trying):
                task.cancel()
            await asyncio.gather(*lanes, *trying, return_exceptions=True)

    async def round(self) -> bool:
        """Everything that can be read, up to some MiB, and what is due was tried; whether there was anything."""
        if not await self._journal.exists():
            return False
        if not self._readings:
            await self._begin()
        read = await self._read()
        due = await self._retry_due()
        await together(list(self._trying.values()))
        self._collect()
        return due or read

    async def _follow(self, lease: Lease | None) -> None:
        """What the log has is dealt with as it comes."""
        topic = self._journal.topic
        while True:
            if lease is not None:
                lease.check()
            if not await self._read():
                positions = [Position(topic, partition, each.offset) for partition, each in self._readings.items()]
                until_ns = self._environment.monotonic_ns() + round(POLL_S * 1e9)
                await self._journal.log.wait(positions, until_ns)

    async def _look_after_those_that_wait(self) -> None:
        """What waits is tried when it is due, apart from what comes, so that no slow place holds that up."""
        while True:
            await self._retry_due()
            self._collect()
            await self._journal.room.look()
            next_up = await self._ledger.listed(pending(self._journal.target), len(self._trying) + 1)
            now_us = self._environment.now_us()
            left_us = [each.at_us - now_us for each in next_up if each.mutation_id not in self._trying]
            await self._environment.sleep(max(LOOK_S, min([POLL_S, *(us / 1e6 for us in left_us)])))

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
        await together([self._dealt(whole) for whole in once.values()])
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

    async def _dealt(self, whole: Whole) -> None:
        async with self._turns:
            await self._deal(whole)

    async def _deal(self, whole: Whole) -> None:
        """The set was tried, or put off until it is due, unless that was done already."""
        known = await self._ledger.find(whole.mutation_id) or await self._enter(whole)
        if known is None or known.status.digest != whole.digest or known.status.state not in OPEN_STATES:
            return
        status = known.status
        if status.state == "pending":
            listed = Listed(status.next_us, whole.mutation_id)
            await self._ledger.enlist(pending(self._journal.target), listed, place=status.place)
            return
        if whole.intact and status.due_us > self._environment.now_us():
            await self._delay(whole, known)
            return
        await self._try(whole.mutation_id, whole.encoded, known, intact=whole.intact, first=True)

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
        waiting = known.status.now("pending", next_us=known.status.due_us, place=self._first_place(whole))
        try:
            await self._shelf.put_off(whole.mutation_id, whole.encoded, known, waiting)
        except PreconditionFailed:
            # Its acceptor has just said that it is accepted, or its owner that it is not wanted.
            await self._deal(whole)

    def _first_place(self, whole: Whole) -> str:
        """What the set is going to need first; nothing where that cannot be told, which is found out when it is due."""
        try:
            return self._hands.target.place(decode(whole.encoded).mutations[0])
        except Exception:
            log.exception("what a set needs cannot be told", extra={"mutation_id": whole.mutation_id})
            return ""

    async def _try(
        self, mutation_id: str, encoded: bytes, known: Known, *, intact: bool = True, first: bool = False
    ) -> None:
        self._journal.tally.open(mutation_id, known.status.since_us)
        try:
            accepted = decode(encoded if intact else b"")
        except DataLoss as error:
            await self._shelf.settle(mutation_id, encoded, known, Outcome(known.status.applied, error))
            return
        timeout_s = self._journal.config.apply_timeout.seconds
        patience_s = min(FIRST_PATIENCE_S, timeout_s) if first else timeout_s
        outcome = await self._hands.apply(accepted, known.status, patience_s)
        await self._shelf.settle(mutation_id, encoded, known, outcome)

    async def _retry_due(self) -> bool:
        """What waits and is due is being tried again; whether there was any."""
        name = pending(self._journal.target)
        due = await self._ledger.listed(name, DUE_AT_ONCE, until_us=self._environment.now_us() + 1)
        fresh = {each.mutation_id: each for each in due if each.mutation_id not in self._trying}
        for mutation_id, listed in fresh.items():
            self._trying[mutation_id] = asyncio.ensure_future(self._in_turn(listed))
        return bool(fresh)

    async def _in_turn(self, listed: Listed) -> None:
        async with self._second_turns:
            await self._retry(listed)

    def _collect(self) -> None:
        """Tries that have ended are forgotten. Raises what one of them failed with."""
        for mutation_id in [name for name, task in self._trying.items() if task.done()]:
            self._trying.pop(mutation_id).result()

    async def _retry(self, listed: Listed) -> None:
        known = await self._ledger.find(listed.mutation_id)
        if known is not None and known.status.state == "pending" and known.status.next_us == listed.at_us:
            content = await self._ledger.content(listed.mutation_id, known.status)
            await self._try(listed.mutation_id, content or b"", known, intact=content is not None)
        await self._ledger.strike(pending(self._journal.target), listed)


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
