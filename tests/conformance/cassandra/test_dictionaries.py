"""Dictionaries on a real Cassandra: two stages write and read with them, and jobs end at each of their writes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.clocks import LaterClock
from tests.core.words import documents

from soundstage.core.call import Call
from soundstage.core.compression import compress
from soundstage.core.dictionaries import Dictionary
from soundstage.core.errors import InvalidArgument, NotFound, Unavailable
from soundstage.data.kv import KeyValue, MatchAll, Predicate, PutItem
from soundstage.data.kv.api import ClientCapabilities, DictionariesDropped, DropDictionaries, TrainDictionary
from soundstage.data.kv.service import KeyValueService
from soundstage.engines.records.cassandra import CassandraRecords
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec
from soundstage.runtime.stage import Stage
from soundstage.servers import Cluster
from soundstage.testing.simulation.dictionaries.works import Unhurried

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

VALUES = documents(100)
SHELF = "kv/people/values"
POINTS = [(number, when) for number in range(1, 6) for when in ("before", "after")]
"""A dictionary is made, retired, needed by none, about to be dropped, and dropped."""


class Server:
    """A stage on the cluster, whose jobs nobody takes away."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.kv: KeyValue = stage.client(KeyValue, "people")

    @property
    def service(self) -> KeyValueService:
        service = self.stage.systems.service("kv")
        assert isinstance(service, KeyValueService)
        return service

    async def train(self, size: int = 2_048) -> str:
        job: Any = Unhurried()
        return (await self.service.train_dictionary(Call(), TrainDictionary(namespace="people", size=size), job)).codec

    async def drop(self) -> DictionariesDropped:
        job: Any = Unhurried()
        return await self.service.drop_dictionaries(Call(), DropDictionaries(namespace="people"), job)

    async def live_through(self, size: int, clock: LaterClock) -> None:
        """A dictionary is made, retired, and dropped, for no value needs it."""
        await self.train(size)
        await self.wind_up(clock)

    async def wind_up(self, clock: LaterClock) -> None:
        """Only those are left that a value needs."""
        await self.kv.retire_dictionary()
        for _ in range(2):
            clock.off_s += 9_000
            await self.drop()

    async def put(self, id: str, codec: str) -> None:
        """The first of the values, compressed with the dictionary."""
        words = Dictionary(codec, (await self.kv.get_dictionary(codec=codec)).content)
        frame = compress(codec, VALUES[0], 3, words)
        await self.kv.put_items(id=id, items=[PutItem(key=b"worded", value=frame, codec=codec)])

    async def values(self, id: str) -> list[bytes | None]:
        return [item.value for item in (await self.kv.get_items(id=id)).items]

    async def kept(self) -> dict[str, str]:
        return {each.codec: each.state for each in (await self.kv.list_dictionaries()).dictionaries}


@pytest.fixture
def clock() -> LaterClock:
    return LaterClock()


@pytest.fixture
async def servers(cassandra: Cluster, clock: LaterClock, tmp_path: Path) -> AsyncIterator[tuple[Server, Server]]:
    """Two, and a namespace with values that have much in common."""
    url = f"{cassandra.url}/suite?space=words-{time.time_ns()}"
    config: dict[str, Any] = {"engines": {"default": {"url": url}}, "telemetry": {"log_level": "warning"}}

    def opened(name: str) -> Stage:
        return Stage.open(config=config, data=str(tmp_path / name), variables={}, environment=clock, background=False)

    async with opened("one") as one:
        knobs = {"compression": {"codecs": ["zstd"]}, "consistency": "strong", "consistency_scope": "global"}
        spec = NamespaceSpec(name="people", abstraction="kv", config=knobs)
        await one.client(Namespaces).put(namespace=spec)
        items = [PutItem(key=b"%d" % at, value=value) for at, value in enumerate(VALUES)]
        await one.client(KeyValue, "people").put_items(id="samples", items=items)
        async with opened("two") as two:
            await two.client(KeyValue, "people").count_items(id="nobody")
            yield Server(one), Server(two)


async def test_what_one_trains_the_other_writes_with_and_drops_when_no_value_needs_it(
    servers: tuple[Server, Server], clock: LaterClock
) -> None:
    one, two = servers
    codec = await one.train()
    told = await two.kv.handshake(client=ClientCapabilities(codecs=["zstd:*", "zstd"]))
    assert told.signals.codecs[0] == codec
    mixed = [
        PutItem(key=b"none", value=VALUES[1]),
        PutItem(key=b"zstd", value=compress("zstd", VALUES[2]), codec="zstd"),
    ]
    await one.kv.put_items(id="ada", items=mixed)
    await two.put("ada", codec)
    for server in servers:
        assert await server.values("ada") == [VALUES[1], VALUES[0], VALUES[2]]
    await one.kv.retire_dictionary()
    clock.off_s += 3_600
    with pytest.raises(InvalidArgument):
        await two.put("bob", codec)
    assert (await two.drop()).needed == [codec]
    assert await one.values("ada") == [VALUES[1], VALUES[0], VALUES[2]]
    await one.kv.delete_items(id="ada", predicate=Predicate(match_all=MatchAll()))
    assert (await two.drop()).waiting == [codec]
    clock.off_s += 9_000
    assert (await one.drop()).dropped == [codec]
    for server in servers:
        with pytest.raises(NotFound):
            await server.kv.get_dictionary(codec=codec)


async def test_a_job_may_end_before_and_after_each_of_its_writes(
    servers: tuple[Server, Server], clock: LaterClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another server does it again; the value that needs a dictionary is read after each, and no other is kept."""
    one, two = servers
    lasting = await one.train(1_024)
    await one.put("ada", lasting)
    await one.kv.retire_dictionary()
    apply: Any = CassandraRecords.apply
    cut: list[tuple[int, str]] = []
    for turn, (number, when) in enumerate(POINTS):
        calls = 0

        async def cut_off(self: CassandraRecords, table: str, *given: Any, **named: Any) -> int:
            nonlocal calls
            calls += table == SHELF
            if table != SHELF or calls != number:  # noqa: B023
                return await apply(self, table, *given, **named)
            if when == "after":  # noqa: B023
                await apply(self, table, *given, **named)
            cut.append((number, when))  # noqa: B023
            raise Unavailable("its process was killed", outcome="unknown", retryable=False)

        with monkeypatch.context() as patch:
            patch.setattr(CassandraRecords, "apply", cut_off)
            with pytest.raises(Unavailable):
                await one.live_through(1_100 + 50 * turn, clock)
        for server in servers:
            assert await server.values("ada") == [VALUES[0]]
        await two.wind_up(clock)
        assert await one.kept() == {lasting: "retired"}
    assert cut == POINTS
