"""Dictionaries between a running server and running clients."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.core.words import documents
from tests.surface.http.conftest import OpenStage, Serve

from soundstage.client import Connection, Settings, connect, connect_sync
from soundstage.core.message import Duration
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv import KeyValue, PutItem, SyncKeyValue
from soundstage.runtime.jobs.api import Jobs
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage
from soundstage.surface.cli.root import run

RAW = Settings(attune=False)
QUICK = {"poll_interval": "10ms"}


@pytest.fixture
async def trained(open_stage: OpenStage) -> Stage:
    """A stage whose namespace `people` has values, and takes zstd."""
    stage = await open_stage(jobs=QUICK)
    spec = NamespaceSpec(name="people", abstraction="kv", config={"compression": {"codecs": ["zstd"]}})
    await stage.client(Namespaces).put(namespace=spec)
    items = [PutItem(key=b"%03d" % at, value=value) for at, value in enumerate(documents(300))]
    await stage.client(KeyValue, "people").put_items(id="samples", items=items)
    return stage


async def train(stage: Stage, size: int = 2_048) -> str:
    job = await stage.client(KeyValue, "people").train_dictionary(size=size)
    return (await job.result()).codec


async def codecs(url: str) -> dict[str, str | None]:
    """How each record that is no sample is stored."""
    async with connect(url, settings=RAW) as raw:
        found = await raw.client(KeyValue, "people").scan_items()
    return {record.id: record.items[0].metadata.codec for record in found.records if record.id != "samples"}


def calls(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of what the connection sends from here on."""
    sent: list[str] = []
    send = connection._transport.handle_async_request

    async def counted(request: object) -> object:
        sent.append(request.url.path.rsplit("/", 1)[1])  # type: ignore[attr-defined]
        return await send(request)  # type: ignore[arg-type]

    monkeypatch.setattr(connection._transport, "handle_async_request", counted)
    return sent


async def test_running_clients_write_with_a_new_one_and_read_all_of_before(trained: Stage, serve: Serve) -> None:
    url = await serve(trained)
    values = documents(3, seed=7)
    async with connect(url) as connection, connect(url) as reader:
        kv = connection.client(KeyValue, "people")
        # The first reply tells that there is something to ask for.
        await kv.get_items(id="nobody")
        await kv.put_items(id="1", items=[PutItem(key=b"k", value=values[0])])
        first = await train(trained)
        await kv.put_items(id="2", items=[PutItem(key=b"k", value=b"")])
        await asyncio.sleep(0)
        connection._attuning._tuned["people"].again_ns = 0
        await kv.put_items(id="2", items=[PutItem(key=b"k", value=values[1])])
        second = await train(trained, size=4_096)
        await kv.get_items(id="nobody")
        connection._attuning._tuned["people"].again_ns = 0
        await kv.put_items(id="3", items=[PutItem(key=b"k", value=values[2])])
        assert await codecs(url) == {"1": None, "2": first, "3": second}
        for client in (kv, reader.client(KeyValue, "people"), trained.client(KeyValue, "people")):
            assert [(await client.get_items(id=id)).items[0].value for id in "123"] == values


async def test_many_readers_of_a_connection_fetch_it_once(
    trained: Stage, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await serve(trained)
    await train(trained)
    (value,) = documents(1, seed=7)
    async with connect(url) as writer, connect(url) as reader:
        await writer.client(KeyValue, "people").get_items(id="nobody")
        await writer.client(KeyValue, "people").put_items(id="1", items=[PutItem(key=b"k", value=value)])
        sent, kv = calls(reader, monkeypatch), reader.client(KeyValue, "people")
        found = await asyncio.gather(*(kv.get_items(id="1") for _ in range(30)))
        assert [each.items[0].value for each in found] == [value] * 30
        assert sent.count("get_dictionary") == 1


async def test_a_synchronous_client_does_the_same(trained: Stage, serve: Serve) -> None:
    url = await serve(trained)
    codec = await train(trained)
    (value,) = documents(1, seed=7)

    def written() -> bytes | None:
        with connect_sync(url) as connection:
            kv = connection.client(SyncKeyValue, "people")
            kv.get_items(id="nobody")
            kv.put_items(id="1", items=[PutItem(key=b"k", value=value)])
            return kv.get_items(id="1").items[0].value

    assert await asyncio.to_thread(written) == value
    assert await codecs(url) == {"1": codec}


async def test_a_client_that_cannot_hear_of_a_retirement_sends_its_values_as_they_are(
    trained: Stage, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await serve(trained)
    await train(trained)
    (value,) = documents(1, seed=7)
    async with connect(url) as connection:
        kv = connection.client(KeyValue, "people")
        await kv.get_items(id="nobody")
        await kv.handshake()
        await kv.put_items(id="1", items=[PutItem(key=b"k", value=value)])
        # As one that was retired more than ten minutes ago, of which this client has heard nothing.
        monkeypatch.setattr("soundstage.data.kv.shelf.TAKEN_US", 0)
        await trained.client(KeyValue, "people").retire_dictionary()
        connection._attuning._tuned["people"].again_ns = 1 << 62
        sent = calls(connection, monkeypatch)
        await kv.put_items(id="2", items=[PutItem(key=b"k", value=value)])
        assert sent == ["put_items", "put_items"]
        assert (await codecs(url))["2"] is None
        assert (await kv.get_items(id="2")).items[0].value == value


async def test_a_client_without_dictionaries_is_given_what_is_stored(trained: Stage, serve: Serve) -> None:
    url = await serve(trained)
    codec = await train(trained)
    async with connect(url) as connection, connect(url, settings=RAW) as raw:
        await connection.client(KeyValue, "people").get_items(id="nobody")
        await connection.client(KeyValue, "people").put_items(
            id="1", items=[PutItem(key=b"k", value=documents(1, seed=7)[0])]
        )
        (item,) = (await raw.client(KeyValue, "people").get_items(id="1")).items
        assert (item.metadata.codec, item.metadata.size) == (codec, len(item.value or b""))


async def test_the_command_line_lists_fetches_retires_and_drops(
    trained: Stage, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    url = await serve(trained)

    async def told(*words: str) -> dict[str, Any]:
        arguments = ["kv", *words, "--namespace", "people", "--url", url, "--output", "json"]
        assert await asyncio.to_thread(run, arguments) == 0
        return json.loads(capsys.readouterr().out)

    codec = await train(trained)
    listed = await told("list-dictionaries")
    assert [each["codec"] for each in listed["dictionaries"]] == [codec]
    assert (await told("get-dictionary", "--codec", codec))["codec"] == codec
    assert await told("retire-dictionary") == {"retired": [codec]}
    job = await told("drop-dictionaries", "--detach")
    outcome = await trained.client(Jobs).result(job_id=job["job_id"], wait=Duration.parse("60s"))
    assert outcome.state == "succeeded"
