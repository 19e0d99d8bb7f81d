"""A stage with its rows on Cassandra that accepts a set of mutations and applies it, and may be killed at any step.

First it sees to the set of the life before, as whoever applies sets does, and as a caller who was told nothing.
"""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection
from typing import Any

import msgspec
from tests.conformance.cassandra.lives import Telling, watch

from soundstage.core.message import IdempotencyToken, Instant
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv import KeyValue, Mutation, PutItem, PutMutation
from soundstage.data.kv.service import KeyValueService
from soundstage.data.writeahead import WriteAhead
from soundstage.data.writeahead.worker import Worker
from soundstage.engines.log.rocksdb.engine import RocksLog
from soundstage.engines.records.cassandra import CassandraRecords
from soundstage.runtime.namespaces import Namespaces
from soundstage.runtime.stage import Stage

SMALL, LARGE = "small", "large"
NAMESPACES: dict[str, dict[str, Any]] = {SMALL: {}, LARGE: {"chunk_threshold": "1KiB", "chunk_bytes": "16KiB"}}
VALUE = bytes(range(250)) * 20
"""In chunks where it goes."""

WHOLE = {(SMALL, b"first"): b"1", (LARGE, b"second"): VALUE, (SMALL, b"third"): b"3"}
TOPIC = "writeahead/kv"
SETS = "apply system/writeahead"
STEPS = (
    f"{SETS} 1",
    f"append {TOPIC} 1",
    f"{SETS} 2",
    f"apply kv/{SMALL} 1",
    f"apply kv/{LARGE}/values 1",
    f"apply kv/{LARGE}/values 2",
    f"apply kv/{LARGE} 1",
    f"apply kv/{SMALL} 2",
    f"{SETS} 3",
    f"commit {TOPIC} 1",
)
"""It is being accepted, it and its marker are in the log, it is accepted; its three mutations, of which the second has
a value in chunks; it is applied, and need not be read again."""

ROUNDS_MAX = 1_000
ROUND_S = 0.02


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A set of the record `id` in both namespaces; whether its caller was told that it is accepted."""

    id: str
    at_us: int
    accepted: bool = False

    @property
    def token(self) -> IdempotencyToken:
        return IdempotencyToken(Instant.from_us(self.at_us), f"set-{self.id}")

    @property
    def whole(self) -> dict[tuple[str, bytes], tuple[bytes | None, str]]:
        """What there is of it once it is applied, and under which tokens."""
        return {place: (value, f"{self.token.token}/{at}") for at, (place, value) in enumerate(WHOLE.items())}


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stage is, what it sends, and what was sent before; `last`: the step that is its last."""

    url: str
    folder: str
    sent: Sent
    before: Sent | None = None
    last: str | None = None


class Sets:
    """What is asked of a stage about sets of mutations; they are applied here, and only when that is asked for."""

    def __init__(self, stage: Stage, worker: Worker) -> None:
        self._stage = stage
        self._worker = worker

    async def send(self, sent: Sent) -> str:
        """The set is accepted."""
        mutations = [
            Mutation(put=PutMutation(namespace=namespace, id=sent.id, items=[PutItem(key=key, value=value)]))
            for (namespace, key), value in WHOLE.items()
        ]
        kv = self._stage.client(KeyValue)
        return (await kv.mutate_items(mutations=mutations, idempotency_token=sent.token)).mutation_id

    async def apply(self) -> None:
        """Nothing in the log is left to be read again, and nothing waits for its turn."""
        service = await self._stage.systems.started("kv")
        assert isinstance(service, KeyValueService)
        journal, _ = await service.mutations.journal()
        log = journal.log
        assert isinstance(log, RocksLog)
        for _ in range(ROUNDS_MAX):
            waits = await self._worker.round()
            committed = await log.committed(TOPIC, TOPIC)
            ends = [bounds.end for bounds in await log.bounds(TOPIC)]
            listed = await journal.ledger.listed("pending/kv", 1)
            if not waits and not listed and [committed.get(at, 0) for at in range(len(ends))] == ends:
                return
            await asyncio.sleep(ROUND_S)
        raise AssertionError(f"sets are left after {ROUNDS_MAX} rounds")

    async def settle(self, sent: Sent) -> None:
        """A set is there whole, or not at all where nobody was told that it was accepted; sent again it is whole."""
        await self.apply()
        found = await self.found(sent)
        assert found == sent.whole or (not sent.accepted and not found), f"{sent.id} is there as {sorted(found)}"
        mutation_id = await self.send(sent)
        await self.apply()
        assert (await self._stage.client(WriteAhead).status(mutation_id=mutation_id)).state == "applied"
        assert await self.found(sent) == sent.whole

    async def found(self, sent: Sent) -> dict[tuple[str, bytes], tuple[bytes | None, str]]:
        return {
            (name, item.key): (item.value, item.metadata.token.token)
            for name in NAMESPACES
            for item in (await self._stage.client(KeyValue, name).get_items(id=sent.id)).items
        }


async def sets_of(stage: Stage) -> Sets:
    service = await stage.systems.started("kv")
    assert isinstance(service, KeyValueService)
    return Sets(stage, Worker(*await service.mutations.journal()))


def open_stage(url: str, folder: str) -> Stage:
    """All of its rows are on Cassandra, those that tell of sets too; the log of sets is in the folder."""
    config: dict[str, Any] = {
        "engines": {"default": {"url": url}, "log": {"url": f"rocksdb://{folder}/log"}},
        "systems": {"writeahead": {"log": "log", "retry_min": "50ms", "retry_max": "1s"}},
        "telemetry": {"log_level": "error"},
    }
    return Stage.open(config=config, data=folder, variables={}, background=False)


async def declare(url: str, folder: str) -> None:
    """The namespaces are there."""
    async with open_stage(url, folder) as stage:
        for name, knobs in NAMESPACES.items():
            await stage.client(Namespaces).put(namespace=NamespaceSpec(name=name, abstraction="kv", config=knobs))


async def live(life: Life, telling: Telling) -> None:
    """All of it, once; steps count from the acceptance on."""
    async with open_stage(life.url, life.folder) as stage:
        sets = await sets_of(stage)
        if life.before is not None:
            await sets.settle(life.before)
        telling.begin()
        await sets.send(life.sent)
        telling.tell("accepted")
        await sets.apply()
        telling.tell("applied")


def run(life: Life, ends: Connection) -> None:
    """It lives in this process, and tells its steps."""
    telling = Telling(ends, life.last)
    watch(telling.at, CassandraRecords, "apply")
    watch(telling.at, RocksLog, "append")
    watch(telling.at, RocksLog, "commit", lambda commit: str(commit.group))
    asyncio.run(live(life, telling))
