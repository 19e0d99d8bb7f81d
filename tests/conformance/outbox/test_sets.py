"""Sets of mutations over real servers: a whole stage with records on Cassandra and its log here, or on Kafka.

Of two namespaces one is `far`, on Cassandra, and one `near`, on the embedded engine, so that the store of one can be
down while the other's is well. What is accepted is applied from when a test says so, as the role does it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.outbox.conftest import WAIT_S
from tests.data.kv.conftest import item, keys
from tests.data.kv.test_mutations import delete, put

from soundstage.core.errors import SoundstageError
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.data.kv import KeyValue, Mutation
from soundstage.data.kv.service import KeyValueService
from soundstage.data.writeahead import MutationStatus, WriteAhead
from soundstage.data.writeahead.worker import Worker
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec
from soundstage.runtime.stage import Stage
from soundstage.servers import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PAUSE_S = 10.0
MARKS = 500
"""Mutations of a set that takes a while."""


class Sets:
    """A stage with the namespaces `near` and `far`, and what is asked of it here."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.kv = stage.client(KeyValue)
        self.ahead = stage.client(WriteAhead)
        self._working: asyncio.Task[None] | None = None

    def work(self) -> None:
        """From now on sets are applied."""
        self._working = asyncio.ensure_future(self._work())

    async def rest(self) -> None:
        """From now on none is."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait((self._working,))

    async def stop(self) -> None:
        await self.rest()
        await self.stage.stop()

    async def _work(self) -> None:
        """What ends by a store that fails is begun again, as a role is."""
        service = await self.stage.systems.started("kv")
        assert isinstance(service, KeyValueService)
        while True:
            with suppress(SoundstageError):
                await Worker(*await service.mutations.journal()).run()
            await asyncio.sleep(0.05)

    async def declare(self, name: str) -> None:
        engines = {"records": "far"} if name != "near" and "far" in self.stage.engines else {}
        spec = NamespaceSpec(name=name, abstraction="kv", engines=engines)
        await self.stage.client(Namespaces).put(namespace=spec)

    async def send(self, *mutations: Mutation, **fields: Any) -> str:
        return (await self.kv.mutate_items(mutations=list(mutations), **fields)).mutation_id

    async def until(self, mutation_id: str, *states: str) -> MutationStatus:
        ends = time.monotonic() + WAIT_S
        while (status := await self.ahead.status(mutation_id=mutation_id)).state not in states:
            assert time.monotonic() < ends, f"after {WAIT_S} s it is {status}"
            await asyncio.sleep(0.02)
        return status

    async def there(self, namespace: str, id: str = "ada") -> dict[bytes, bytes | None]:
        pages = self.stage.client(KeyValue, namespace).get_items.pages(id=id)
        return {found.key: found.value async for page in pages for found in page.items}

    async def versions(self, namespace: str, id: str = "ada") -> dict[bytes, IdempotencyToken]:
        pages = self.stage.client(KeyValue, namespace).get_items.pages(id=id)
        return {found.key: found.metadata.token async for page in pages for found in page.items}

    async def until_there(self, namespace: str, key: bytes) -> None:
        ends = time.monotonic() + WAIT_S
        while key not in await self.there(namespace):
            assert time.monotonic() < ends, f"{key!r} does not come"
            await asyncio.sleep(0.02)


async def open_stage(cassandra: Cluster, kafka: Cluster, folder: Path, log: str, default: str = "near") -> Stage:
    """What the stage itself keeps is on the engine `default`; sets are in the log of `log`."""
    space = f"sets{time.time_ns()}"
    engines = {
        "near": {"url": f"rocksdb://{folder}/database"},
        "far": {"url": f"{cassandra.url}/suite?space={space}&attempt_s=1&patience_s=2"},
        "topics": {"url": f"{kafka.url}?space={space}&linger_ms=0"},
    }
    engines["default"] = engines.pop(default)
    knobs = {"log": "default" if log == default else log, "retry_min": "50ms", "retry_max": "1s", "apply_timeout": "2s"}
    config = {"engines": engines, "systems": {"writeahead": knobs}, "telemetry": {"log_level": "error"}}
    stage = Stage.open(config=config, data=str(folder / "data"), variables={}, background=False)
    return await stage.start()


@pytest.fixture(params=["near", "topics", "all"])
async def sets(
    request: pytest.FixtureRequest, cassandra: Cluster, kafka: Cluster, tmp_path: Path
) -> AsyncIterator[Sets]:
    """The log is here, or on Kafka; or that and everything else, both namespaces too, is on servers."""
    log, default = ("topics", "far") if request.param == "all" else (request.param, "near")
    stage = await open_stage(cassandra, kafka, tmp_path, log, default)
    found = Sets(stage)
    await found.declare("near")
    await found.declare("far")
    yield found
    await found.stop()


async def test_a_set_over_both_stores_is_applied_in_its_order_with_its_versions(sets: Sets) -> None:
    now = Instant.from_us(sets.stage.environment.now_us())
    mutations = [put(item(b"k", b"%d" % n), item(b"%d" % n), namespace=("near", "far")[n % 2]) for n in range(20)]
    mutations += [delete(keys(b"3"), namespace="far"), delete(keys(b"4"), namespace="near")]
    token = IdempotencyToken(now, "tok")
    mutation_id = await sets.send(*mutations, idempotency_token=token)
    assert await sets.send(*mutations, idempotency_token=token) == mutation_id
    sets.work()
    await sets.until(mutation_id, "applied")
    assert await sets.there("near") == {b"k": b"18", **{b"%d" % n: b"" for n in range(0, 20, 2) if n != 4}}
    assert await sets.there("far") == {b"k": b"19", **{b"%d" % n: b"" for n in range(1, 20, 2) if n != 3}}
    assert (await sets.versions("far"))[b"7"] == IdempotencyToken(Instant.from_us(now.us + 7), "tok/7")


async def test_a_poison_mutation_is_set_aside_with_the_rest_of_its_set_and_others_go_on(sets: Sets) -> None:
    await sets.declare("gone")
    poison = await sets.send(
        put(item(b"before"), namespace="far"), put(item(b"x"), namespace="gone"), put(item(b"after"), namespace="far")
    )
    await sets.stage.client(Namespaces).delete(name="gone")
    await sets.declare("gone")
    others = [
        await sets.send(put(item(b"%d" % n), namespace="far"), put(item(b"%d" % n), namespace="near")) for n in range(5)
    ]
    sets.work()
    dead = await sets.until(poison, "dead")
    others.append(await sets.send(put(item(b"later"), namespace="far")))
    for each in others:
        await sets.until(each, "applied")
    assert (dead.applied, dead.problem is not None) == (1, True)
    assert set(await sets.there("far")) == {b"before", b"later", *(b"%d" % n for n in range(5))}
    assert await sets.there("gone") == {}
    assert [each.mutation_id for each in (await sets.ahead.list_dead()).sets] == [poison]


@pytest.mark.parametrize("sets", ["near", "topics"], indirect=True)
async def test_what_a_store_that_is_down_needs_waits_while_the_rest_is_applied_and_all_heals(
    sets: Sets, cassandra: Cluster, well: None
) -> None:
    sets.work()
    await sets.until(await sets.send(put(item(b"first"), namespace="far")), "applied")
    cassandra.servers[0].kill()
    try:
        mixed = await sets.send(
            put(item(b"mixed"), namespace="near"),
            put(item(b"mixed", b"1"), namespace="far"),
            put(item(b"mixed", b"2"), item(b"end"), namespace="near"),
        )
        waiting = [await sets.send(put(item(b"%d" % n), namespace="far")) for n in range(20)]
        others = [await sets.send(put(item(b"%d" % n), namespace="near")) for n in range(20)]
        for each in others:
            await sets.until(each, "applied")
        found = [await sets.until(each, "pending") for each in (mixed, *waiting)]
        near = await sets.there("near")
    finally:
        await asyncio.to_thread(cassandra.restart)
    assert {each.problem and each.problem.code for each in found} <= {"unavailable", "deadline"}
    assert [each.applied for each in found] == [1, *[0] * 20]
    assert near == {b"mixed": b"", **{b"%d" % n: b"" for n in range(20)}}
    for each in (mixed, *waiting):
        await sets.until(each, "applied")
    assert await sets.there("far") == {b"first": b"", b"mixed": b"1", **{b"%d" % n: b"" for n in range(20)}}
    assert await sets.there("near") == {**near, b"mixed": b"2", b"end": b""}


@pytest.mark.parametrize("sets", ["topics"], indirect=True)
async def test_a_node_that_hangs_amid_a_set_ends_no_set_and_holds_up_no_other_store(
    sets: Sets, cassandra: Cluster, well: None
) -> None:
    sets.work()
    marks = [put(item(b"last", b"%d" % n), item(b"%04d" % n), namespace="far") for n in range(MARKS)]
    long = await sets.send(*marks)
    await sets.until_there("far", b"0000")
    cassandra.servers[0].pause()
    try:
        sent: list[str] = []
        resumes = time.monotonic() + PAUSE_S
        while time.monotonic() < resumes:
            number = len(sent)
            sent.append(await sets.send(put(item(b"%d" % number), namespace=("near", "far")[number % 2], id="bob")))
            await asyncio.sleep(0.1)
        for each in sent[::2]:
            await sets.until(each, "applied")
    finally:
        cassandra.servers[0].resume()
    for each in (long, *sent):
        await sets.until(each, "applied")
    assert await sets.there("far") == {b"last": b"%d" % (MARKS - 1), **{b"%04d" % n: b"" for n in range(MARKS)}}
    bob = [await sets.there(name, "bob") for name in ("near", "far")]
    assert [sorted(each) for each in bob] == [sorted(b"%d" % n for n in range(k, len(sent), 2)) for k in (0, 1)]


async def test_a_stage_that_keeps_all_of_its_own_on_cassandra_and_its_log_on_kafka_applies_sets(
    cassandra: Cluster, kafka: Cluster, tmp_path: Path, well: None
) -> None:
    sets = Sets(await open_stage(cassandra, kafka, tmp_path, "topics", "far"))
    await sets.declare("far")
    sets.work()
    ids = [await sets.send(*[put(item(b"%d-%d" % (n, m)), namespace="far") for m in range(3)]) for n in range(10)]
    cassandra.servers[0].pause()
    await asyncio.sleep(2)
    cassandra.servers[0].resume()
    for each in ids:
        await sets.until(each, "applied")
    found = await sets.there("far")
    await sets.stop()
    assert set(found) == {b"%d-%d" % (n, m) for n in range(10) for m in range(3)}
