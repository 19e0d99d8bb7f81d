"""What a namespace tells its clients, when that changes, and which codecs it takes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.data.kv.conftest import ALL, OpenStage, make, served, values

from soundstage.core.compression import compress
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, NotFound
from soundstage.core.message import Duration
from soundstage.core.namespace import LatencyObjective, Objective
from soundstage.data.kv.api import ClientCapabilities, KeyValue, KeyValueSignals, PutItem
from soundstage.data.kv.signalling import WITHDRAWN_US
from soundstage.runtime.stage import Stage

PYTHON = ClientCapabilities(codecs=["zstd", "lz4", "none"], version="test")
MS = 1_000_000


def within(target: str | None = None, max: str | None = None) -> Objective:
    return Objective(
        latency=LatencyObjective(
            target=None if target is None else Duration.parse(target), max=None if max is None else Duration.parse(max)
        )
    )


async def signals(kv: KeyValue, client: ClientCapabilities = PYTHON) -> KeyValueSignals:
    return (await kv.handshake(client=client)).signals


async def test_a_plain_namespace_tells_its_sizes_and_that_values_stay_as_they_are(plain: KeyValue) -> None:
    told = await signals(plain)
    assert (told.page_size_bytes, told.page_size_max, told.chunk_threshold) == (2 << 20, 8 << 20, 1 << 20)
    assert (told.codecs, told.slos, told.hold) == (["none"], {}, Duration.parse("60s"))


async def test_objectives_are_told_by_operation(plain_stage: Stage) -> None:
    slos = {"read": within("5ms", "50ms"), "scan_items": within("1s"), "write": within(max="2s")}
    told = await signals(await make(plain_stage, "people", slos))
    assert told.slos["get_items"] == within("5ms", "50ms").latency
    assert told.slos["scan_items"] == within("1s").latency
    assert told.slos["put_items"] == within(max="2s").latency


async def test_a_client_is_offered_what_it_has_in_the_order_of_the_namespace(plain_stage: Stage) -> None:
    kv = await make(plain_stage, "people", compression={"codecs": ["lz4", "zstd"], "min_bytes": 64, "level": 7})
    told = await signals(kv)
    assert (told.codecs, told.compress_from, told.compress_level) == (["lz4", "zstd", "none"], 64, 7)
    assert (await signals(kv, ClientCapabilities(codecs=["brotli", "zstd"]))).codecs == ["zstd", "none"]
    assert (await signals(kv, ClientCapabilities())).codecs == ["none"]


@pytest.mark.parametrize(
    "knobs", [{"compression": {"codecs": ["zstd"]}}, {"page_size_bytes": "1MiB"}, {"hedging": {"after": "never"}}]
)
async def test_the_version_is_another_when_something_changes(plain_stage: Stage, knobs: dict[str, Any]) -> None:
    before = await signals(await make(plain_stage, "people"))
    after = await signals(await make(plain_stage, "people", **knobs))
    assert before.version != after.version


async def test_the_version_is_the_same_in_every_process(open_stage: OpenStage) -> None:
    first, second = await open_stage(), await open_stage()
    assert (await signals(await make(first, "a"))).version == (await signals(await make(second, "b"))).version


async def test_a_namespace_that_is_not_there_is_not_found(plain_stage: Stage) -> None:
    with pytest.raises(NotFound):
        await signals(plain_stage.client(KeyValue, "nobody"))


class TestAnnounced:
    """With replies a version goes out only where a client that does not ask misses something."""

    async def announced(self, stage: Stage, slos: Any = None, **config: Any) -> bool:
        kv = await make(stage, "people", slos, **config)
        await kv.count_items(id="ada")
        said, version = served(stage).announced, (await signals(kv)).version
        assert said in ("", version)
        return bool(said)

    async def test_not_of_a_plain_namespace(self, plain_stage: Stage) -> None:
        assert not await self.announced(plain_stage)

    async def test_where_values_are_to_be_compressed(self, plain_stage: Stage) -> None:
        assert await self.announced(plain_stage, compression={"codecs": ["zstd"]})

    async def test_where_there_is_a_target_to_send_reads_twice_after(self, plain_stage: Stage) -> None:
        assert await self.announced(plain_stage, {"read": within("5ms")})

    async def test_not_where_they_never_are(self, plain_stage: Stage) -> None:
        assert not await self.announced(plain_stage, {"read": within("5ms")}, hedging={"after": "never"})

    async def test_where_clients_are_to_measure(self, plain_stage: Stage) -> None:
        assert await self.announced(plain_stage, hedging={"after": "p95"})


class TestCodecs:
    """A namespace takes the codecs that it names."""

    PACKED = PutItem(key=b"k", value=compress("zstd", b"words " * 40), codec="zstd")

    async def test_another_is_refused_with_those_that_are_taken(self, plain_stage: Stage) -> None:
        kv = await make(plain_stage, "people", compression={"codecs": ["lz4"]})
        with pytest.raises(InvalidArgument) as refused:
            await kv.put_items(id="ada", items=[PutItem(key=b"a", value=b"v"), self.PACKED])
        assert refused.value.field == "items[1].codec"
        assert refused.value.hint == "it takes lz4, none; the namespace's knob is compression.codecs"

    @pytest.mark.parametrize("codec", ["", "ZSTD", "brotli", "zstd:0011223344556677"])
    async def test_what_is_no_codec_is_refused(self, plain_stage: Stage, codec: str) -> None:
        kv = await make(plain_stage, "people", compression={"codecs": ["zstd"]})
        with pytest.raises(InvalidArgument, match="does not take"):
            await kv.put_items(id="ada", items=[PutItem(key=b"a", value=b"v", codec=codec)])

    async def test_large_values_are_refused_as_others_are(self, plain: KeyValue) -> None:
        with pytest.raises(InvalidArgument, match="does not take"):
            await plain.put_items(id="ada", items=[PutItem(key=b"a", value=bytes(2 << 20), codec="zstd")])

    async def test_none_is_always_taken_and_not_told(self, plain: KeyValue) -> None:
        await plain.put_items(id="ada", items=[PutItem(key=b"a", value=b"v", codec="none")])
        assert [item.metadata.codec for item in (await plain.get_items(id="ada")).items] == [None]

    async def test_one_that_was_withdrawn_is_taken_until_clients_have_heard(
        self, plain_stage: Stage, environment: VirtualEnvironment
    ) -> None:
        await make(plain_stage, "people", compression={"codecs": ["zstd"]})
        kv = await make(plain_stage, "people")
        await kv.put_items(id="ada", items=[self.PACKED])
        environment.advance(WITHDRAWN_US / 1e6 + 1)
        with pytest.raises(InvalidArgument, match="does not take"):
            await kv.put_items(id="ada", items=[self.PACKED])

    async def test_codecs_alone_are_remembered_of_how_values_were_compressed(self, plain_stage: Stage) -> None:
        kv = plain_stage.client(KeyValue, "people")
        for level in range(1, 4):
            await make(plain_stage, "people", compression={"codecs": ["zstd"], "level": level, "min_bytes": level})
        await kv.handshake()
        assert served(plain_stage).view.earlier == ()
        await make(plain_stage, "people", compression={"codecs": ["lz4"]})
        await kv.handshake()
        assert [each.config.compression.codecs for each in served(plain_stage).view.earlier] == [["zstd"]]

    async def test_what_was_written_with_it_is_still_read(
        self, plain_stage: Stage, environment: VirtualEnvironment
    ) -> None:
        kv = await make(plain_stage, "people", compression={"codecs": ["zstd"]})
        await kv.put_items(id="ada", items=[self.PACKED])
        kv = await make(plain_stage, "people")
        environment.advance(WITHDRAWN_US / 1e6 + 1)
        assert values((await kv.get_items(id="ada", predicate=ALL)).items) == {b"k": b"words " * 40}

    async def test_one_that_is_named_twice_is_refused(self, plain_stage: Stage) -> None:
        with pytest.raises(InvalidArgument, match="named twice"):
            await make(plain_stage, "people", compression={"codecs": ["zstd", "zstd"]})
