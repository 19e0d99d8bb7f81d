"""A log of intents, records of their effects, and appliers that break off where a test says so.

An intent says when it was accepted: a log may give an entry a later time, so that times never go back.

The effect of an intent is threefold. A row of its own, and the last intent of its account, are written by what is
idempotent by the rule of versions: the time and the token are the intent's. A sum by account is no idempotent write,
and shows an intent that was applied twice; it is written under the intent's token, which makes a repetition known.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Literal, NamedTuple, Protocol, TypeAlias

from soundstage.core import version
from soundstage.core.environment import Environment, VirtualEnvironment
from soundstage.core.errors import PreconditionFailed
from soundstage.engines.log.consumer import Consumer, ConsumerOptions
from soundstage.engines.log.port import Commit, Entry, Groups, Log, Position, Stored, TopicSpec
from soundstage.engines.records.port import (
    ALL,
    Batch,
    Budget,
    Condition,
    Conditional,
    Page,
    Records,
    Stamp,
    TableSpec,
)

TOPIC = "outbox/intents"
ROWS, SUMS = "outbox/rows", "outbox/sums"
GROUP = "outbox/appliers"
ACCOUNTS = 3
PARTITIONS = 2
SESSION_US = 5_000_000
BATCH_ENTRIES = 3
LATE_US = 1 << 60
TRIES = 50
BATCHES_MAX = 500

LATEST, TOTAL = b"latest", b"total"
ACCEPTED = "accepted-us"

Step: TypeAlias = Literal["appended", "read", "amid", "applied", "committed"]
STEPS: tuple[Step, ...] = ("appended", "read", "amid", "applied", "committed")
"""Behind each of these an applier, or whoever intends, may break off: `amid` lies between two writes of one effect."""


class Broken(Exception):
    """Somebody was broken off."""


class Pair(NamedTuple):
    """The engines of one stage."""

    records: Records
    log: Log

    async def start(self) -> None:
        """Both are open: the log last, which may lie in the database of the records."""
        await self.records.start()
        await self.log.start()

    async def stop(self) -> None:
        """Neither is."""
        await self.log.stop()
        await self.records.stop()


class OpenPair(Protocol):
    """What a test file gives the suite: its fixture `open_pair`."""

    async def __call__(self, environment: Environment) -> Pair:
        """Both engines, started: empty the first time, then as the last ones, which were stopped, left them."""
        ...


class Intent(NamedTuple):
    """What was acknowledged: `entry` is what was appended, once or oftener."""

    account: bytes
    token: str
    entry: Entry


Breaks: TypeAlias = Callable[[Step], bool]


def never(_: Step) -> bool:
    """Nobody breaks off."""
    return False


class Outbox:
    """Intents, and how far they have come, on a pair of engines and a virtual clock."""

    def __init__(self, open_pair: OpenPair, environment: VirtualEnvironment, seed: int = 0) -> None:
        self.pair: Pair
        self.environment: VirtualEnvironment = environment
        self.intents: list[Intent] = []
        self.applied: int = 0
        self._open_pair = open_pair
        self._random = Random(f"{seed} outbox")

    async def open(self) -> None:
        """Topic and tables are there."""
        self.pair = await self._open_pair(self.environment)
        await self.pair.log.create_topic(TopicSpec(name=TOPIC, partitions=PARTITIONS))
        await self.pair.records.create_table(TableSpec(name=ROWS))
        await self.pair.records.create_table(TableSpec(name=SUMS, conditional=True))

    async def reopen(self) -> None:
        """Both engines were stopped and others started on what they left."""
        await self.pair.stop()
        self.pair = await self._open_pair(self.environment)

    async def close(self) -> None:
        await self.pair.stop()

    @property
    def groups(self) -> Groups:
        assert isinstance(self.pair.log, Groups), "the log has groups"
        return self.pair.log

    async def intend(self, count: int, breaks: Breaks = never) -> None:
        """So many intents are acknowledged. Who breaks off behind an append does not know of it, and appends again."""
        for _ in range(count):
            # No two have one time, so that there is a last one.
            self.environment.advance(0.001)
            account, token = b"%d" % self._random.randrange(ACCOUNTS), f"intent-{len(self.intents):04}"
            entry = Entry(token.encode(), account, ((ACCEPTED, b"%d" % self.environment.now_us()),))
            await self.pair.log.append(TOPIC, [entry])
            if breaks("appended"):
                await self.pair.log.append(TOPIC, [entry])
            self.intents.append(Intent(account, token, entry))

    def applier(self) -> Applier:
        """Another one, which joins the group with its first batch."""
        return Applier(self)

    def pass_session(self) -> None:
        """Members that are not heard of are out of the group."""
        self.environment.advance(SESSION_US / 1e6)

    async def finish(self) -> None:
        """A last applier has applied whatever was left."""
        self.pass_session()
        last = self.applier()
        await last.apply()
        await last.leave()

    async def check(self) -> None:
        """Every intent has its effect, once; the group is at the end, and never was beyond what is applied."""
        await self.check_effects()
        ends = {number: bounds.end for number, bounds in enumerate(await self.pair.log.bounds(TOPIC)) if bounds.end}
        assert await self.committed() == ends, "the position is behind all that was applied"

    async def check_effects(self) -> None:
        """Every intent has its effect, once."""
        for account in sorted({intent.account for intent in self.intents}):
            tokens = [intent.token for intent in self.intents if intent.account == account]
            rows, sums = await self._rows(ROWS, account), await self._rows(SUMS, account)
            assert rows.pop(LATEST, b"").decode() == tokens[-1], "the last intent is the last"
            total = int(sums.pop(TOTAL, b"0"))
            written = [token.encode() for token in tokens]
            assert sorted(rows) == written, "every intent has its effect"
            assert sorted(sums) == written, "every intent is in a sum"
            assert total == len(tokens), f"{total} effects of {len(tokens)} intents"

    async def check_position(self) -> None:
        """The group's positions are not beyond what has its effect."""
        for partition, position in (await self.committed()).items():
            for entry in await self._entries(partition, position):
                rows = await self._rows(ROWS, entry.key or b"")
                assert entry.value in rows, f"the entry {entry.offset} of {partition} was passed over"

    async def committed(self) -> dict[int, int]:
        """The group's positions."""
        return await self.groups.committed(GROUP, TOPIC)

    async def forget_positions(self) -> None:
        """Nobody is in the group, and it begins anew: all is delivered again."""
        self.pass_session()
        positions = [Position(TOPIC, partition, 0) for partition in await self.committed()]
        await self.groups.commit(Commit(group=GROUP, positions=positions))

    async def write(self, entry: Stored, breaks: Breaks) -> None:
        """The effect of an intent is there, however often this is done."""
        account, token = entry.key or b"", (entry.value or b"").decode()
        time_us = int(dict(entry.headers)[ACCEPTED])
        cells = [(token.encode(), b""), (LATEST, token.encode())]
        batch = Batch(cells=[(key, version.put(time_us, token, value)) for key, value in cells])
        await self.pair.records.apply(ROWS, account, batch)
        if breaks("amid"):
            raise Broken
        await self._add(account, token, time_us)
        self.applied += 1

    async def _add(self, account: bytes, token: str, time_us: int) -> None:
        """The sum of an account has one more, unless the token is known."""
        for _ in range(TRIES):
            page = await self.pair.records.get(SUMS, account, [TOTAL], self.environment.now_us())
            now = version.split(page.rows[0][1]) if page.rows else None
            total = int(now.value) if now is not None else 0
            cells = [(token.encode(), b""), (TOTAL, b"%d" % (total + 1))]
            batch = Batch(cells=[(key, version.put(time_us, token, value)) for key, value in cells])
            unchanged = Condition(TOTAL, None if now is None else Stamp(now.time_us, now.token))
            once = Conditional(conditions=[unchanged], token=token, digest=token.encode(), limit_us=LATE_US)
            try:
                await self.pair.records.apply(SUMS, account, batch, conditional=once)
            except PreconditionFailed:
                continue
            return
        raise AssertionError(f"others changed the sum at each of {TRIES} tries")

    async def _rows(self, table: str, account: bytes) -> dict[bytes, bytes]:
        page: Page = await self.pair.records.read(table, account, ALL, Budget(), self.environment.now_us())
        return {key: bytes(version.split(cell).value) for key, cell in page.rows}

    async def _entries(self, partition: int, until: int) -> list[Stored]:
        found: list[Stored] = []
        offset = 0
        while offset < until:
            page = await self.pair.log.read(TOPIC, partition, offset, 1_000)
            found += [entry for entry in page.entries if entry.offset < until]
            offset = page.next
        return found


class Applier:
    """A member of the group that applies what it reads, and commits behind that."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        options = ConsumerOptions(limit_entries=BATCH_ENTRIES, session_us=SESSION_US)
        self.consumer: Consumer = Consumer(outbox.pair.log, GROUP, [TOPIC], outbox.environment, options)
        self._read: list[Stored] = []

    async def apply(self, breaks: Breaks = never) -> None:
        """Everything that is its share is applied and committed. Who breaks off is not heard of again."""
        for _ in range(BATCHES_MAX):
            if not await self.read():
                return
            _break_off(breaks, "read")
            await self.write(breaks)
            _break_off(breaks, "applied")
            await self.commit()
            _break_off(breaks, "committed")
        raise AssertionError(f"{BATCHES_MAX} batches did not come to an end")

    async def read(self) -> bool:
        """The next batch is read, and nothing of it applied; whether there was one."""
        batch = await self.consumer.poll()
        self._read = [] if batch is None else batch.entries
        return batch is not None

    async def write(self, breaks: Breaks = never) -> None:
        """What was read is applied."""
        for entry in self._read:
            await self._outbox.write(entry, breaks)

    async def commit(self) -> bool:
        """The group is behind what was applied; false when others have the share."""
        return await self.consumer.commit()

    async def leave(self) -> None:
        await self.consumer.leave()


def _break_off(breaks: Breaks, step: Step) -> None:
    if breaks(step):
        raise Broken


async def play(outbox: Outbox, rounds: int, chance: float = 0.15) -> None:
    """Appliers break off anywhere, with that chance at each step; engines start again, and groups begin anew.

    Who broke off last writes once more what it had read, when others have gone on.
    """
    random = outbox.environment.random

    def breaks(_: Step) -> bool:
        return random.random() < chance

    late = outbox.applier()
    for number in range(rounds):
        await outbox.intend(7, breaks)
        outbox.pass_session()
        applier = outbox.applier()
        try:
            await applier.apply(breaks)
        except Broken:
            late = applier
            if number % 2:
                await outbox.reopen()
        if number % 4 == 2:
            await outbox.forget_positions()
        await outbox.check_position()
    await outbox.finish()
    await late.write()
    await outbox.check()
