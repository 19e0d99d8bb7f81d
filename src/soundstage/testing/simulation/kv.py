"""The key-value store under simulation: clients that write, read and retry against a store with faults.

Every answer is checked when it arrives; at the end the faults stop and the whole state is compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, Protocol

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import DeadlineExceeded, PreconditionFailed, SoundstageError, TokenDrift, Unavailable
from soundstage.core.hlc import TokenClock
from soundstage.core.message import Duration, IdempotencyToken, Instant
from soundstage.data.kv import api
from soundstage.engines.records.port import Records
from soundstage.testing.simulation import faults
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.faults import FaultyRecords
from soundstage.testing.simulation.history import DELETE, Divergence, History, Observed, PutValue, Seen, Span, Write
from soundstage.testing.simulation.loop import SimulationLoop, run
from soundstage.testing.simulation.steps import KEYS, RECORDS, Step

NAMESPACE = "simulated"
CLIENTS = 4
TRIES_MAX = 400
SKEW_MAX_S = 1.0

EngineFactory = Callable[[Environment], Awaitable[Records]]
"""Opens (or, called again, reopens with what it kept) the engine under test."""


class Store(Protocol):
    """The key-value service under test, over one engine."""

    kv: api.KeyValue

    async def close(self) -> None: ...


class StoreFactory(Protocol):
    def __call__(self, engine: Records, environment: Environment, namespace: str) -> Awaitable[Store]: ...


class Outcome(msgspec.Struct, kw_only=True):
    """What a run did: how often each act, fault and situation of interest occurred."""

    steps: int
    virtual_s: float
    acts: dict[str, int]
    faults: dict[str, int]
    situations: dict[str, int]

    def plus(self, other: Outcome) -> Outcome:
        """Both runs together."""
        return Outcome(
            steps=self.steps + other.steps,
            virtual_s=self.virtual_s + other.virtual_s,
            acts=_sum(self.acts, other.acts),
            faults=_sum(self.faults, other.faults),
            situations=_sum(self.situations, other.situations),
        )


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in (*one, *(key for key in other if key not in one))}


def simulate(seed: int, steps: Sequence[Step], open_engine: EngineFactory, open_store: StoreFactory) -> Outcome:
    """Play `steps` to their end; raises `Divergence` at the first answer that nothing explains."""
    return run(lambda: _Run(seed, steps, open_engine, open_store).play(), seed)


class _Run:
    def __init__(self, seed: int, steps: Sequence[Step], open_engine: EngineFactory, open_store: StoreFactory) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulationLoop)
        self.loop = loop
        self.seed = seed
        self.steps = steps
        self.open_engine = open_engine
        self.open_store = open_store
        self.environment = SimulatedEnvironment(loop, seed)
        self.history = History()
        self.last: dict[str, tuple[Write, Any]] = {}
        self.acts: dict[str, int] = {}
        self.situations: dict[str, int] = {}
        self.clocks = [TokenClock(SimulatedEnvironment(loop, seed * CLIENTS + number + 1)) for number in range(CLIENTS)]
        self.faulty: FaultyRecords
        self.kv: api.KeyValue

    async def play(self) -> Outcome:
        engine = await self.open_engine(self.environment)
        self.faulty = FaultyRecords(engine, self.environment, Random(f"faults {self.seed}"))
        store = await self.open_store(self.faulty, self.environment, NAMESPACE)
        self.kv = store.kv
        try:
            await asyncio.gather(*(self._client(number) for number in range(CLIENTS)))
            self.faulty.rates = faults.HEALTHY
            for record in RECORDS:
                await self._read_record(record, 4_096, reverse=False)
            await self._scan(4_096)
        finally:
            await store.close()
        return Outcome(
            steps=len(self.steps),
            virtual_s=self.loop.virtual_s,
            acts=self.acts,
            faults=self.faulty.counts,
            situations=self.situations,
        )

    async def _client(self, number: int) -> None:
        for step in self.steps:
            if step.client != number:
                continue
            if step.pause_s:
                await self.environment.sleep(step.pause_s)
            self.acts[step.act] = self.acts.get(step.act, 0) + 1
            try:
                await self._do(step)
            except Divergence as divergence:
                raise Divergence(f"step {step.number} ({step.act}): {divergence}") from None
            except SoundstageError as error:
                raise Divergence(f"step {step.number} ({step.act}) was refused: {error!r}") from error

    async def _do(self, step: Step) -> None:
        match step.act:
            case "put" | "delete_all" | "delete_range" | "delete_keys":
                await self._write(step)
            case "get" | "get_keys":
                await self._get_keys(step)
            case "read_all":
                await self._read_record(step.record, step.page_bytes, reverse=step.reverse)
            case "count":
                await self._count(step)
            case "scan":
                await self._scan(step.page_bytes)
            case "batch_get":
                await self._batch_get(step)
            case "sweep":
                await self._answered(lambda: self.faulty.sweep(1 + int(abs(step.amount) * 50)))
            case "skew":
                self.environment.skew_s = step.amount * SKEW_MAX_S
            case "rates":
                self.faulty.rates = faults.ROUGH if step.amount > 0 else faults.HEALTHY
            case "restart":
                await self._restart()

    # -- writes

    async def _write(self, step: Step) -> None:
        write, request, invoke = self._prepared(step)
        if step.token == "resent" and (last := self.last.get(step.record)) is not None:
            self._note("resent")
            await self._resend(*last)
            return
        condition_expected = self._condition_outcome(write, request)
        self.history.begin(write)
        await self._until_known(write, request, invoke)
        if condition_expected is not None and self.history.quiet_but(write):
            self._check_condition(write, request, expected=condition_expected)
        if write.acknowledged is not None:
            self.last[step.record] = (write, request)

    async def _resend(self, write: Write, request: Any) -> None:
        """The same call again: the same answer, and no effect that the checks would see."""
        invoke = self.kv.put_items if write.puts else self.kv.delete_items
        if write.conditional:
            newest = self.history.newest(write.record, self.history.events)
            if newest is not None and newest > write.record_version():
                self._note("conditional_retry_after_overwrite")
        try:
            reply = await self._answered(lambda: invoke(**request))
        except TokenDrift:
            return
        time_us = int(reply.idempotency_token.generation_time) // 1_000
        if time_us != write.time_us:
            raise Divergence(f"a repetition of {write.token} was answered with {time_us}, first with {write.time_us}")

    async def _until_known(self, write: Write, request: dict[str, Any], invoke: Any) -> None:
        uncertain = False
        for _ in range(TRIES_MAX):
            try:
                reply = await invoke(**request)
            except (Unavailable, DeadlineExceeded) as error:
                uncertain = uncertain or error.outcome != "not_applied"
                await self.environment.sleep(0.05)
            except PreconditionFailed:
                write.refused = True
                return
            except TokenDrift:
                write.refused = not uncertain
                return
            else:
                self._acknowledge(write, reply)
                return

    def _acknowledge(self, write: Write, reply: Any) -> None:
        token = reply.idempotency_token
        if token.token != write.token:
            raise Divergence(f"{write.token} was answered with the token {token.token}")
        time_us = int(token.generation_time) // 1_000
        if not write.conditional and time_us != write.token_time_us:
            raise Divergence(f"{write.token} of {write.token_time_us} was stamped {time_us} without a condition")
        self._note_situations(write, time_us)
        self.history.acknowledge(write, time_us)

    def _note_situations(self, write: Write, time_us: int) -> None:
        for key in write.puts:
            over = self.history.expected(write.record, key, self.history.events)
            if over is None or write.conditional:
                continue
            if over.time_us == time_us and over.token != write.token:
                self._note("equal_us")
            if over.kind == DELETE and over.time_us > time_us:
                self._note(f"late_under_{self._tombstone_of(write.record, over.token)}")

    def _tombstone_of(self, record: str, token: str) -> str:
        for write in self.history.writes[record]:
            if write.token == token and not write.puts:
                if write.span is None:
                    return "marker"
                return "partition_tombstone" if write.span == Span() else "range_tombstone"
        return "marker"

    def _prepared(self, step: Step) -> tuple[Write, dict[str, Any], Any]:
        token, conditional = self._token(step), step.condition is not None and step.token == "client"
        write = Write(
            record=step.record,
            token=token.token,
            token_time_us=int(token.generation_time) // 1_000,
            begun=self.history.tick(),
            conditional=conditional,
        )
        request: dict[str, Any] = {"id": step.record, "idempotency_token": token}
        if conditional:
            request["condition"] = self._condition(step)
        if step.act == "put":
            value = f"value {step.number}".encode()
            write.puts = {key: PutValue(value, step.ttl_us) for key in step.keys}
            ttl = None if step.ttl_us is None else Duration(step.ttl_us * 1_000)
            request["items"] = [api.PutItem(key=key, value=value, ttl=ttl) for key in step.keys]
            return write, request, self.kv.put_items
        request["predicate"] = self._delete_predicate(step, write)
        return write, request, self.kv.delete_items

    def _delete_predicate(self, step: Step, write: Write) -> api.Predicate:
        if step.act == "delete_all":
            write.span = Span()
            return api.Predicate(match_all=api.MatchAll())
        if step.act == "delete_keys":
            write.keys = step.keys
            return api.Predicate(match_keys=api.MatchKeys(keys=list(step.keys)))
        write.span = Span(step.start, step.end)
        return api.Predicate(match_range=api.MatchRange(start=step.start or None, end=step.end))

    def _token(self, step: Step) -> IdempotencyToken:
        clock = self.clocks[step.client]
        last = self.last.get(step.record)
        if step.token == "reused" and last is not None and not last[0].conditional and step.act == "put":
            self._note("reused_token")
            return last[1]["idempotency_token"]
        token = clock.token()
        if step.token == "past":
            return IdempotencyToken(Instant(int(token.generation_time) - step.age_us * 1_000), token.token)
        if step.token == "equal_time" and last is not None and last[0].time_us is not None:
            return IdempotencyToken(Instant(last[0].time_us * 1_000), token.token)
        return token

    # -- conditions

    def _condition(self, step: Step) -> api.Condition:
        now, key = self.history.events, step.keys[0]
        match step.condition:
            case "item_absent":
                return api.Condition(key=key, absent=True)
            case "record_absent":
                return api.Condition(absent=True)
            case "item_token" if (found := self.history.expected(step.record, key, now)) is not None:
                return api.Condition(key=key, token=_token_of(found.time_us, found.token))
            case "record_token" if (newest := self.history.newest(step.record, now)) is not None:
                return api.Condition(token=_token_of(newest[0], newest[2]))
            case _:
                return api.Condition(key=key, token=_token_of(1, "nobody"))

    def _condition_outcome(self, write: Write, request: dict[str, Any]) -> bool | None:
        """Whether the condition holds now; None when a write under way makes that uncertain."""
        condition: api.Condition | None = request.get("condition")
        if condition is None or not self.history.quiet(write.record, write.begun):
            return None
        now, now_us = self.history.events, self.environment.now_us()
        if condition.key is not None:
            return self._item_holds(write.record, condition.key, condition, now, now_us)
        if condition.absent:
            return not any(self._live(write.record, key, now, now_us) for key in KEYS)
        newest = self.history.newest(write.record, now)
        return condition.token == (None if newest is None else _token_of(newest[0], newest[2]))

    def _item_holds(self, record: str, key: bytes, condition: api.Condition, now: int, now_us: int) -> bool:
        found = self.history.expected(record, key, now)
        if found is None or not found.live_at(now_us):
            return condition.absent
        return condition.token == _token_of(found.time_us, found.token)

    def _live(self, record: str, key: bytes, now: int, now_us: int) -> bool:
        found = self.history.expected(record, key, now)
        return found is not None and found.live_at(now_us)

    def _check_condition(self, write: Write, request: dict[str, Any], *, expected: bool) -> None:
        """A condition that nothing disturbed has the outcome that the history says."""
        if self._expires_soon(write.record):
            return
        if write.refused is expected:
            outcome = "refused" if write.refused else "accepted"
            raise Divergence(f"{write.token} under {request['condition']} was {outcome}")

    def _expires_soon(self, record: str) -> bool:
        return any(
            put.ttl_us is not None for write in self.history.writes.get(record, ()) for put in write.puts.values()
        )

    # -- reads

    async def _get_keys(self, step: Step) -> None:
        if step.at_expiry:
            await self._wait_for_expiry(step.record, step.keys)
        predicate = api.Predicate(match_keys=api.MatchKeys(keys=list(step.keys)))
        await self._read_page(step.record, predicate, step.keys, api.Selection(reverse=step.reverse), None)

    async def _wait_for_expiry(self, record: str, keys: Sequence[bytes]) -> None:
        now_us = self.environment.now_us()
        for key in keys:
            found = self.history.expected(record, key, self.history.events)
            if found is not None and 0 < found.expires_us - now_us < 10_000_000:
                await self.environment.sleep((found.expires_us * 1_000 - self.environment.now_ns()) / 1e9)
                if self.environment.now_us() == found.expires_us:
                    self._note("expiry_boundary")
                return

    async def _read_record(self, record: str, page_bytes: int, *, reverse: bool) -> None:
        selection = api.Selection(page_size_bytes=page_bytes, reverse=reverse)
        rest, page_token = sorted(KEYS, reverse=reverse), None
        for _ in range(1_000):
            page_token = await self._read_page(record, None, rest, selection, page_token)
            if page_token is None:
                return
            rest = self.rest
        raise Divergence(f"record {record!r} has pages without end")

    async def _read_page(
        self,
        record: str,
        predicate: api.Predicate | None,
        keys: Sequence[bytes],
        selection: api.Selection,
        page_token: str | None,
    ) -> str | None:
        for _ in range(TRIES_MAX):
            began, now_us = self.history.tick(), self.environment.now_us()
            try:
                reply = await self.kv.get_items(
                    id=record, predicate=predicate, selection=selection, page_token=page_token
                )
            except (Unavailable, DeadlineExceeded):
                await self.environment.sleep(0.05)
                continue
            return self._check_reply(record, keys, reply, began, now_us)
        raise Divergence(f"record {record!r} could not be read in {TRIES_MAX} tries")

    def _check_reply(
        self, record: str, keys: Sequence[bytes], reply: api.GetItemsReply, began: int, now_us: int
    ) -> str | None:
        observed = _observed(reply.items)
        if len(observed) != len(reply.items):
            raise Divergence(f"record {record!r} shows a key twice in one page")
        covered = keys
        if reply.next_page_token is not None:
            shown = [key for key in keys if key in observed]
            covered = keys[: keys.index(shown[-1]) + 1] if shown else ()
        self.rest = keys[len(covered) :]
        later_us = self.environment.now_us()
        window = (min(now_us, later_us), max(now_us, later_us))
        self.history.check_page(record, covered, observed, began, self.history.tick(), window)
        self._check_record_token(record, reply, began)
        return reply.next_page_token

    def _check_record_token(self, record: str, reply: api.GetItemsReply, began: int) -> None:
        least = self.history.newest(record, began)
        token = reply.record_token
        if token is None or least is None:
            return
        if (int(token.generation_time) // 1_000, token.token) < (least[0], least[2]) and least[0] > (
            int(token.generation_time) // 1_000
        ):
            raise Divergence(f"record {record!r} has the token {token}, older than {least}")

    async def _count(self, step: Step) -> None:
        began = self.history.events
        reply = await self._answered(lambda: self.kv.count_items(id=step.record))
        if self.history.quiet(step.record, began) and not self._expires_soon(step.record):
            now_us = self.environment.now_us()
            live = sum(self._live(step.record, key, self.history.events, now_us) for key in KEYS)
            if reply.exact and reply.count != live:
                raise Divergence(f"record {step.record!r} counts {reply.count} items instead of {live}")

    async def _scan(self, page_bytes: int) -> None:
        """Every record with a live item untouched during the walk is met, each item once."""
        began, now_us = self.history.tick(), self.environment.now_us()
        met: dict[str, Observed] = {}
        page_token = None
        for _ in range(5_000):
            token = page_token
            reply = await self._answered(
                lambda token=token: self.kv.scan_items(
                    selection=api.Selection(page_size_bytes=page_bytes), page_token=token
                )
            )
            self._collect(reply, met)
            page_token = reply.next_page_token
            if page_token is None:
                break
        else:
            raise Divergence("a scan has pages without end")
        self._check_scan(met, began, now_us)

    def _collect(self, reply: api.ScanItemsReply, met: dict[str, Observed]) -> None:
        for record in reply.records:
            known = met.setdefault(record.id, {})
            for key, seen in _observed(record.items).items():
                if key in known:
                    raise Divergence(f"a scan met {record.id!r} {key!r} twice")
                known[key] = seen

    def _check_scan(self, met: dict[str, Observed], began: int, now_us: int) -> None:
        ended, later_us = self.history.tick(), self.environment.now_us()
        window = (min(now_us, later_us), max(now_us, later_us))
        for record in RECORDS:
            if self.history.quiet(record, began):
                self.history.check_page(record, KEYS, met.get(record, {}), began, ended, window)

    async def _batch_get(self, step: Step) -> None:
        predicate = api.Predicate(match_keys=api.MatchKeys(keys=list(step.keys)))
        for _ in range(TRIES_MAX):
            began, now_us = self.history.tick(), self.environment.now_us()
            try:
                reply = await self.kv.batch_get_items(ids=list(RECORDS), predicate=predicate)
            except (Unavailable, DeadlineExceeded):
                await self.environment.sleep(0.05)
                continue
            for record in reply.records:
                page = api.GetItemsReply(items=record.items, next_page_token=record.next_page_token)
                self._check_reply(record.id, step.keys, page, began, now_us)
            return

    async def _answered(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """The first answer of `ask` that is no failure of the store."""
        for _ in range(TRIES_MAX):
            try:
                return await ask()
            except (Unavailable, DeadlineExceeded):
                await self.environment.sleep(0.05)
        raise Divergence(f"no answer in {TRIES_MAX} tries")

    async def _restart(self) -> None:
        """The store refuses for a moment and comes back with what it had acknowledged."""
        if self.faulty.down:
            return
        self.faulty.down = True
        await self.environment.sleep(0.2)
        self.faulty.engine = await self.open_engine(self.environment)
        self.faulty.down = False
        self._note("restart")

    def _note(self, situation: str) -> None:
        self.situations[situation] = self.situations.get(situation, 0) + 1


def _token_of(time_us: int, token: str) -> IdempotencyToken:
    return IdempotencyToken(Instant(time_us * 1_000), token)


def _observed(items: Sequence[api.Item]) -> Observed:
    return {
        item.key: Seen(
            int(item.metadata.token.generation_time) // 1_000,
            item.metadata.token.token,
            0 if item.metadata.expires_at is None else int(item.metadata.expires_at) // 1_000,
            item.value or b"",
        )
        for item in items
    }
