"""Signals between a running server and running clients: nobody is restarted when a namespace changes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.surface.http.asgi_client import Caller
from tests.surface.http.conftest import Serve

from soundstage.client import Settings, connect, connect_sync
from soundstage.core.compression import compress
from soundstage.core.message import Duration
from soundstage.core.namespace import LatencyObjective, NamespaceSpec, Objective
from soundstage.data.kv import KeyValue, Mutation, PutItem, PutMutation, SyncKeyValue
from soundstage.data.writeahead import WriteAhead
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.surface.cli.root import run

WORDS = b'{"name": "Ada", "born": 1815}' * 60
RAW = Settings(attune=False)


async def change(stage: Stage, slos: dict[str, Objective] | None = None, **config: Any) -> None:
    """The namespace `people` has these knobs from now on."""
    spec = NamespaceSpec(name="people", abstraction="kv", config=config, slos=slos)
    await stage.client(Namespaces).put(namespace=spec)


async def codecs(url: str, id: str) -> list[str | None]:
    async with connect(url, settings=RAW) as raw:
        return [item.metadata.codec for item in (await raw.client(KeyValue, "people").get_items(id=id)).items]


async def test_a_running_client_follows_the_codecs_of_a_namespace(stage: Stage, serve: Serve) -> None:
    url = await serve(stage)
    async with connect(url) as connection:
        kv = connection.client(KeyValue, "people")
        await kv.put_items(id="1", items=[PutItem(key=b"k", value=WORDS[:900])])
        await change(stage, compression={"codecs": ["zstd"], "min_bytes": "128B"})
        for id in ("2", "3"):
            await kv.put_items(id=id, items=[PutItem(key=b"k", value=WORDS[:900])])
        assert [await codecs(url, id) for id in "123"] == [[None], [None], ["zstd"]]
        assert [(await kv.get_items(id=id)).items[0].value for id in "123"] == [WORDS[:900]] * 3


async def test_a_running_client_follows_when_to_send_reads_twice(stage: Stage, serve: Serve) -> None:
    url = await serve(stage)
    async with connect(url) as connection:
        kv = connection.client(KeyValue, "people")
        await kv.get_items(id="1")
        assert connection.statistics.hedgeable == 0
        target = Objective(latency=LatencyObjective(target=Duration.parse("1h")))
        await change(stage, {"read": target})
        for _ in range(3):
            await kv.get_items(id="1")
        assert connection.statistics.hedgeable == 2
        assert connection.statistics.questions == 1


async def test_a_server_stores_and_returns_the_very_bytes(stage: Stage, serve: Serve) -> None:
    await change(stage, compression={"codecs": ["zstd"]})
    url = await serve(stage)
    frame = compress("zstd", WORDS)
    async with connect(url) as connection, connect(url, settings=RAW) as raw:
        await connection.client(KeyValue, "people").put_items(id="1", items=[PutItem(key=b"k", value=WORDS)])
        # What is no frame is none of a server's business.
        odd = [PutItem(key=b"odd", value=b"no frame", codec="zstd")]
        await raw.client(KeyValue, "people").put_items(id="1", items=odd)
        found = (await raw.client(KeyValue, "people").get_items(id="1")).items
    assert [(item.value, item.metadata.size) for item in found] == [(frame, len(frame)), (b"no frame", 8)]


async def test_sets_of_mutations_are_compressed_as_each_namespace_wants(stage: Stage, serve: Serve) -> None:
    await change(stage, compression={"codecs": ["lz4"]})
    url = await serve(stage)
    async with connect(url) as connection:
        item = PutItem(key=b"k", value=WORDS)
        mutation = Mutation(put=PutMutation(namespace="people", id="1", items=[item]))
        accepted = await connection.client(KeyValue).mutate_items(mutations=[mutation])
        for _ in range(1_000):
            if (await connection.client(WriteAhead).status(mutation_id=accepted.mutation_id)).state == "applied":
                break
            await asyncio.sleep(0.01)
        assert await codecs(url, "1") == ["lz4"]
        (found,) = (await connection.client(KeyValue, "people").get_items(id="1")).items
    assert found.value == WORDS


async def test_the_synchronous_client_does_as_the_other(stage: Stage, serve: Serve) -> None:
    await change(stage, compression={"codecs": ["zstd"]})
    url = await serve(stage)

    def work() -> tuple[bytes | None, int]:
        with connect_sync(url) as connection:
            kv = connection.client(SyncKeyValue, "people")
            kv.put_items(id="1", items=[PutItem(key=b"k", value=WORDS)])
            return kv.get_items(id="1").items[0].value, connection.statistics.questions

    assert await asyncio.to_thread(work) == (WORDS, 1)
    assert await codecs(url, "1") == ["zstd"]


async def test_the_command_line_shows_values_as_they_went(
    stage: Stage, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    await change(stage, compression={"codecs": ["zstd"]})
    url = await serve(stage)
    async with connect(url) as connection:
        await connection.client(KeyValue, "people").put_items(id="1", items=[PutItem(key=b"k", value=WORDS)])
    arguments = ["kv", "get-items", "--url", url, "--namespace", "people", "--id", "1", "--output", "json"]
    assert await asyncio.to_thread(run, arguments) == 0
    (item,) = json.loads(capsys.readouterr().out)["items"]
    assert item["value"] == WORDS.decode()


async def test_the_version_goes_with_replies_only_where_something_is_to_be_tuned(stage: Stage, caller: Caller) -> None:
    asked = {"namespace": "people", "id": "1"}
    assert "soundstage-signals" not in (await caller.post("/v1/kv/get_items", asked)).headers
    await change(stage, compression={"codecs": ["zstd"]})
    told = (await caller.post("/v1/kv/get_items", asked)).headers["soundstage-signals"]
    reply = await caller.post("/v1/kv/handshake", {"namespace": "people", "client": {"codecs": ["zstd"]}})
    signals = json.loads(reply.body)["signals"]
    assert (signals["version"], signals["codecs"]) == (told, ["zstd", "none"])
    assert "soundstage-signals" not in reply.headers


async def test_a_codec_that_is_not_taken_is_refused_at_the_door(caller: Caller) -> None:
    put = {"namespace": "people", "id": "1", "items": [{"key": "aw==", "value": "aw==", "codec": "zstd"}]}
    refused = await caller.post("/v1/kv/put_items", put)
    problem = json.loads(refused.body)
    assert (refused.status, problem["field"]) == (400, "items[0].codec")
    assert "it takes none" in problem["hint"]
