"""The log first: an intent is appended, applied idempotently by its token, and the position committed after that.

That is how portable code writes to two stores (`docs/log-port.md`). Whatever breaks off in between, every intent that
was acknowledged has its effect, and has it once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.log.consumer import Consumer, ConsumerOptions
from soundstage.engines.log.port import Entry, Log, Stored, TopicSpec
from soundstage.engines.records.port import ALL, Batch, Budget, Conditional, Records, TableSpec

TOPIC = "outbox/intents"
TABLE = "outbox/effects"
GROUP = "outbox/appliers"
ACCOUNTS = 3
PARTITIONS = 2
LATE_US = 1 << 60

Reopen = Callable[[], Awaitable[None]]


class Broken(Exception):
    """The applier was broken off."""


class Outbox:
    """A log of intents and records of their effects. The effect of an intent is one row, and one in a sum by account.

    The sum is no idempotent write: it is what shows an intent that was applied twice. Each account's rows are
    written by conditional writes under the token of the intent, which make a repetition known.
    """

    def __init__(self, environment: VirtualEnvironment, seed: int = 0) -> None:
        self.log: Log
        self.records: Records
        self.intents: list[tuple[bytes, str]] = []
        self.applied: int = 0
        self._environment = environment
        self._random = Random(f"{seed} outbox")

    async def prepare(self) -> None:
        """Topic and table are there."""
        await self.log.create_topic(TopicSpec(name=TOPIC, partitions=PARTITIONS))
        await self.records.create_table(TableSpec(name=TABLE, conditional=True))

    async def intend(self, count: int) -> None:
        """So many intents are acknowledged, and nothing of their effects is there yet."""
        for _ in range(count):
            account = b"%d" % self._random.randrange(ACCOUNTS)
            token = f"intent-{len(self.intents)}"
            await self.log.append(TOPIC, [Entry(token.encode(), account)])
            self.intents.append((account, token))

    async def apply(self, break_off: float) -> None:
        """Everything intended is applied; breaks off, somewhere, with that probability at each step."""
        options = ConsumerOptions(limit_entries=3, session_us=5_000_000)
        # A member that broke off is in the group until its session has ended.
        self._environment.advance(5)
        async with Consumer(self.log, GROUP, [TOPIC], self._environment, options) as consumer:
            while (batch := await consumer.poll()) is not None:
                for entry in batch.entries:
                    self._maybe(break_off)
                    await self._effect(entry)
                self._maybe(break_off)
                await consumer.commit()

    async def check(self) -> None:
        """Every intent has its effect, once."""
        expected: dict[bytes, list[str]] = {}
        for account, token in self.intents:
            expected.setdefault(account, []).append(token)
        for account, tokens in expected.items():
            page = await self.records.read(TABLE, account, ALL, Budget(), self._environment.now_us())
            found = {key: version.split(cell).value for key, cell in page.rows}
            total = int(found.pop(b"total", b"0"))
            assert sorted(found) == sorted(token.encode() for token in tokens), "every intent has its effect"
            assert total == len(tokens), f"{total} effects of {len(tokens)} intents"

    async def _effect(self, entry: Stored) -> None:
        account, token = entry.key or b"", (entry.value or b"").decode()
        rows = await self.records.get(TABLE, account, [b"total"], self._environment.now_us())
        total = int(version.split(rows.rows[0][1]).value) if rows.rows else 0
        cells = [(token.encode(), b"applied"), (b"total", b"%d" % (total + 1))]
        batch = Batch(cells=[(key, version.put(entry.time_us, token, value, 0)) for key, value in cells])
        known = Conditional(conditions=[], token=token, digest=token.encode(), limit_us=LATE_US)
        await self.records.apply(TABLE, account, batch, conditional=known)
        self.applied += 1

    def _maybe(self, break_off: float) -> None:
        if self._random.random() < break_off:
            raise Broken


async def play(outbox: Outbox, rounds: int, reopen: Reopen) -> None:
    """Intents are appended and applied by appliers that break off, on engines that are started again."""
    await outbox.prepare()
    for number in range(rounds):
        await outbox.intend(7)
        try:
            await outbox.apply(break_off=0.2)
        except Broken:
            if number % 2:
                await reopen()
    await outbox.apply(break_off=0.0)
    await outbox.check()
