"""A run of the store beside the model: acts are drawn from one source of chance, every answer is compared."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from soundstage.core.errors import PreconditionFailed, SoundstageError, TokenDrift, TokenReused, Unavailable
from soundstage.core.hlc import TokenClock
from soundstage.core.message import IdempotencyToken
from soundstage.testing.kv.drift import FUTURE_US, PAST_US, Drift
from soundstage.testing.kv.readings import Divergence, Readings
from soundstage.testing.kv.situations import Situations
from soundstage.testing.kv.store import FIRST_KNOBS, Store
from soundstage.testing.kv.writes import (
    VALUES,
    Change,
    Kind,
    Sent,
    as_sent,
    draw_change,
    draw_conditions,
    hidden_by,
    hidden_keys,
    token_at,
    version_of,
)
from soundstage.testing.model import Condition, Model, Write
from soundstage.testing.records import OpenEngine

RECORDS = 4
SENT_MAX = 40
"""Writes remembered, to be repeated or to lend their token."""

CACHED_SHARE = 0.8
CACHED_READS = 4

EPOCH_STEPS = 400
"""After so many steps the records are emptied and others begun, so that the model stays small."""

REFUSALS: dict[str, type[SoundstageError]] = {
    "precondition_failed": PreconditionFailed,
    "token_reused": TokenReused,
    "unavailable": Unavailable,
}


class Walk:
    """One store and its model; `step` does one act. The acts are public, for state machines to choose from.

    With `cached` the store has a cache before it, and most reads are such as it may answer.
    """

    def __init__(self, open_engine: OpenEngine, seed: int = 0, name: str = "walk", *, cached: bool = False) -> None:
        self.seed = seed
        self.store: Store = Store(open_engine, name, seed, cached=cached)
        self.situations: Situations = Situations()
        self.clock: TokenClock = TokenClock(self.store.environment)
        self.drift: Drift = Drift(FIRST_KNOBS["drift_past"], FIRST_KNOBS["drift_future"])
        self._tokens = self._epoch = self._latest_us = 0
        self._begin()

    def _begin(self) -> None:
        self._epoch += 1
        self.model: Model = Model()
        self.sent: list[Sent] = []
        self.names: list[str] = [f"record-{self._epoch}-{number}" for number in range(RECORDS)]
        newest_us = self.readings.newest_us if hasattr(self, "readings") else 0
        self.readings: Readings = Readings(self.store, self.model, self.drift)
        self.readings.newest_us = newest_us

    async def run(self, steps: int) -> Situations:
        """So many steps were done; raises `Divergence` at the first answer that is not the model's."""
        chance = Random(self.seed)
        for number in range(1, steps + 1):
            try:
                await self.step(chance)
                if number % EPOCH_STEPS == 0:
                    await self.finish()
                    self._begin()
            except Exception as error:
                raise Divergence(f"seed {self.seed}, step {number}: {error}") from error
        return self.situations

    async def step(self, chance: Random) -> None:
        """One act, drawn by its weight."""
        self.situations["steps"] += 1
        await chance.choices(tuple(ACTS), tuple(ACTS.values()))[0](self, chance)

    async def finish(self) -> None:
        """Everything is as in the model, and then gone."""
        self.store.advance_us(max(FUTURE_US.values()) * 2)
        chance = Random(self._epoch)
        for name in self.names:
            await self.readings.record(name, chance)
            await self._send(name, Change("record"), self.clock.token(), None, chance)
        await self.readings.scan(chance)

    # Acts.

    async def put(self, chance: Random) -> None:
        await self._write(chance, "put")

    async def delete_keys(self, chance: Random) -> None:
        await self._write(chance, "keys")

    async def delete_range(self, chance: Random) -> None:
        await self._write(chance, "range")

    async def delete_record(self, chance: Random) -> None:
        await self._write(chance, "record")

    async def put_late(self, chance: Random) -> None:
        """A put that is older than what hides its key."""
        name = chance.choice(self.names)
        hidden = hidden_keys(self.model.record(name), self.store.now_us)
        if not hidden:
            return await self.put(chance)
        key, time_us = chance.choice(hidden[chance.choice(sorted(hidden))])
        change = Change("put", puts=((key, chance.choice(VALUES), None),))
        return await self._send(name, change, self._token(time_us - chance.choice((0, 1, 1, 1_000))), None, chance)

    async def put_equal(self, chance: Random) -> None:
        """A write of the very microsecond of another one."""
        if not self.sent:
            return await self.put(chance)
        other = chance.choice(self.sent)
        kind: Kind = chance.choice(("put", "put", "keys", "range", "record"))
        return await self._send(other.record, draw_change(chance, kind), self._token(other.stamp_us), None, chance)

    async def reuse_token(self, chance: Random) -> None:
        """A token that named a write before names another one."""
        if not self.sent:
            return await self.put(chance)
        other = chance.choice(self.sent)
        kind: Kind = chance.choice(("put", "put", "put", other.change.kind))
        return await self._send(other.record, draw_change(chance, kind), other.token, other.conditions, chance)

    async def repeat(self, chance: Random) -> None:
        """A write is sent again as it was."""
        conditional = [sent for sent in self.sent if sent.conditions is not None]
        candidates = conditional if conditional and chance.random() < 0.7 else self.sent
        if not candidates:
            return await self.put(chance)
        sent = chance.choice(candidates)
        return await self._send(sent.record, sent.change, sent.token, sent.conditions, chance)

    async def drifted(self, chance: Random) -> None:
        """A token next to a bound of what is taken, on either side of it."""
        now_us = self.store.now_us
        bound = chance.choice((self.drift.oldest_us(now_us), now_us + self.drift.future_us))
        change = draw_change(chance, chance.choice(("put", "keys")))
        await self._send(
            chance.choice(self.names), change, self._token(bound + chance.choice((-1, 0, 1))), None, chance
        )

    async def read(self, chance: Random) -> None:
        if self.store.cache is not None and chance.random() < CACHED_SHARE:
            await self._read_kept(chance.choice(self.names), chance)
            return
        await self.readings.record(chance.choice(self.names), chance)

    async def read_beyond(self, chance: Random) -> None:
        await self.readings.unreached(chance.choice(self.names))

    async def batch(self, chance: Random) -> None:
        await self.readings.batch(self.names, chance)

    async def scan(self, chance: Random) -> None:
        await self.readings.scan(chance)

    async def count(self, chance: Random) -> None:
        await self.readings.count(chance.choice(self.names), chance)

    async def to_an_expiry(self, chance: Random) -> None:
        """The clock stands at the microsecond before an item expires, or at that very one, and the item is read."""
        now_us = self.store.now_us
        expiring = [
            (item.expires_us, name)
            for name in self.names
            for item in self.model.items(name, now_us).values()
            if item.expires_us
        ]
        if not expiring:
            return await self.put(chance)
        expires_us, name = min(expiring)
        await self._read_kept(name, chance)
        self.store.advance_us(max(0, expires_us - chance.choice((0, 0, 1)) - now_us))
        self.situations["expiry_boundary"] += 1
        await self._read_kept(name, chance)
        return await self.readings.record(name, chance)

    async def wait(self, chance: Random) -> None:
        self.store.advance_us(chance.choice((1, 1_000, 50_000, 1_000_000, 20_000_000, 100_000_000)))

    async def wait_long(self, chance: Random) -> None:
        """So long that much of what is dead can be removed."""
        self.store.advance_us(chance.choice((700_000_000, 2_000_000_000)))
        await self.store.sweep()

    async def sweep(self, chance: Random) -> None:
        await self.store.sweep()

    async def turn_knobs(self, chance: Random) -> None:
        past, future = chance.choice(tuple(PAST_US)), chance.choice(tuple(FUTURE_US))
        least = chance.choice(("1s", "1m"))
        await self.store.configure(drift_past=past, drift_future=future, delete_ttl_min=least)
        self.drift.change(past, future, self.store.now_us)

    async def restart(self, chance: Random) -> None:
        """A stage after a restart knows nothing of what the replies of the one before showed."""
        await self.store.restart()
        self.readings.newest_us = 0

    async def _read_kept(self, name: str, chance: Random) -> None:
        """Some of what a cache may answer, if there is one."""
        for _ in range(0 if self.store.cache is None else CACHED_READS):
            self.situations["kept"] += await self.readings.kept(name, chance)

    # How a write is sent.

    async def _write(self, chance: Random, kind: Kind) -> None:
        name, draw = chance.choice(self.names), chance.random()
        conditions = None
        if draw < 0.25:
            conditions = draw_conditions(chance, self.model.record(name), self.store.now_us)
        token = None if conditions is None and chance.random() < 0.15 else self.clock.token()
        if token is not None and chance.random() < 0.1:
            token = self._token(self.store.now_us + chance.randint(0, self.drift.future_us))
        await self._send(name, draw_change(chance, kind), token, conditions, chance)

    async def _send(
        self,
        name: str,
        change: Change,
        token: IdempotencyToken | None,
        conditions: tuple[Condition, ...] | None,
        chance: Random,
    ) -> None:
        request: dict[str, Any] = {"id": name, **change.request()}
        if token is not None:
            request["idempotency_token"] = token
        if conditions is not None:
            request["condition"] = as_sent(conditions, chance)
        call = self.store.kv.put_items if change.kind == "put" else self.store.kv.delete_items
        now_us = self.store.now_us
        try:
            answer: IdempotencyToken | SoundstageError = (await call(**request)).idempotency_token
        except SoundstageError as error:
            answer = error
        if token is None:
            if isinstance(answer, Unavailable) and self._latest_us >= now_us + self.drift.future_us:
                # The store has seen a time so late that its next token is further ahead than the door takes; its clock
                # stays past that token too.
                self._latest_us += 1
                return None
            token = self._made_by_the_store(answer, now_us)
        elif not self.drift.takes(token.generation_time // 1_000, now_us):
            return self._compare(answer, TokenDrift, f"{change} under {token}")
        # A write that is refused for its condition has been seen, too.
        self._latest_us = max(self._latest_us, token.generation_time // 1_000)
        expected = self._expected(name, change, token, conditions, now_us)
        return self._compare(answer, expected, f"{change} under {token}")

    def _made_by_the_store(self, answer: IdempotencyToken | SoundstageError, now_us: int) -> IdempotencyToken:
        """The token of a write that came without one, which is later than all that replies showed."""
        if isinstance(answer, SoundstageError):
            raise Divergence(f"a write without a token was refused with {answer!r}") from answer
        if not max(now_us, self.readings.newest_us + 1) <= answer.generation_time // 1_000:
            raise Divergence(f"the store made {answer}, but had shown {self.readings.newest_us}")
        return answer

    def _expected(
        self, name: str, change: Change, token: IdempotencyToken, conditions: tuple[Condition, ...] | None, now_us: int
    ) -> int | type[SoundstageError]:
        """The time that the write is stamped with, or what it is refused with; the model knows of it then."""
        time_us = token.generation_time // 1_000
        write = change.write(token.token, time_us)
        digest = repr((time_us, change, conditions)).encode()
        self._note(name, write, digest, conditional=conditions is not None, now_us=now_us)
        if conditions is None:
            stamp_us: int | str = self.model.apply(name, write)
        else:
            limit_us = now_us + self.drift.future_us + 1
            stamp_us = self.model.apply_if(name, write, conditions, digest, limit_us, now_us)
        if isinstance(stamp_us, str):
            return REFUSALS[stamp_us]
        self.sent = [*self.sent[-SENT_MAX:], Sent(name, change, token, conditions, stamp_us)]
        self._latest_us = max(self._latest_us, stamp_us)
        return stamp_us

    def _compare(
        self, answer: IdempotencyToken | SoundstageError, expected: int | type[SoundstageError], what: str
    ) -> None:
        if isinstance(expected, int):
            if isinstance(answer, SoundstageError) or answer.generation_time != expected * 1_000:
                raise Divergence(f"{what} was answered with {answer!r}, not stamped {expected}")
            self.readings.saw(answer)
        elif type(answer) is not expected:
            raise Divergence(f"{what} was answered with {answer!r}, not {expected.__name__}")

    def _note(self, name: str, write: Write, digest: bytes, *, conditional: bool, now_us: int) -> None:
        """Count what this write makes happen, each at most once."""
        record, seen = self.model.record(name), set[str]()
        for key, put in write.puts.items():
            equal = [other for other in record.versions.get(key, ()) if other.time_us == write.time_us]
            if any(other.token != write.token for other in equal):
                seen.add("equal_us")
            if any(other.token == write.token and other.value != put.value for other in equal):
                seen.add("reused_token")
            hidden = None if conditional else hidden_by(record, key, version_of(write, key), now_us)
            if hidden is not None:
                seen.add(f"late_under_{hidden}")
        known, newest = record.ledger.get(write.token) if conditional else None, record.newest()
        if known is not None and known[1] != digest:
            seen.add("reused_token")
        elif known is not None and newest is not None and newest.time_us > known[0]:
            seen.add("retry_after_overwrite")
        self.situations.update(seen)

    def _token(self, time_us: int) -> IdempotencyToken:
        self._tokens += 1
        return token_at(time_us, f"t{self._tokens}")


ACTS: dict[Callable[[Walk, Random], Awaitable[None]], int] = {
    Walk.put: 20,
    Walk.delete_keys: 6,
    Walk.delete_range: 4,
    Walk.delete_record: 2,
    Walk.put_late: 14,
    Walk.put_equal: 6,
    Walk.reuse_token: 10,
    Walk.repeat: 8,
    Walk.drifted: 2,
    Walk.read: 14,
    Walk.read_beyond: 1,
    Walk.batch: 4,
    Walk.scan: 3,
    Walk.count: 3,
    Walk.to_an_expiry: 4,
    Walk.wait: 8,
    Walk.wait_long: 1,
    Walk.sweep: 2,
    Walk.turn_knobs: 1,
    Walk.restart: 1,
}
"""What a step may be, and how often."""


def walk(open_engine: OpenEngine, seed: int, steps: int, name: str = "walk", *, cached: bool = False) -> Situations:
    """`Walk.run` on a store of its own, from opening to closing."""

    async def play() -> Situations:
        found = Walk(open_engine, seed, name, cached=cached)
        await found.store.open()
        try:
            return await found.run(steps)
        finally:
            await found.store.close()

    return asyncio.run(play())
