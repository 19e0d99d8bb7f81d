from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import msgspec
import pytest

from soundstage.runtime.config import HttpConfig
from soundstage.runtime.stage import Stage
from soundstage.surface.http.server import Server

READY = {"status": "not ready", "reasons": ["the stage is starting"]}


@pytest.fixture
async def starting() -> AsyncIterator[tuple[Stage, Server, httpx2.AsyncClient]]:
    """A server that listens for a stage that is not open."""
    stage = Stage.open(data="memory:")
    server = Server(stage, HttpConfig(port=0))
    await server.listen()
    [port] = [each.getsockname()[1] for each in server.sockets]
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield stage, server, client
    await server.stop()
    await stage.stop()


Starting = tuple[Stage, Server, httpx2.AsyncClient]


async def test_a_stage_that_is_not_open_is_live_and_not_ready(starting: Starting) -> None:
    _, _, client = starting
    live, ready = await client.get("/health/live"), await client.get("/health/ready")
    assert (live.status_code, live.json()) == (200, {"status": "live"})
    assert (ready.status_code, ready.json()) == (503, READY)


@pytest.mark.parametrize("path", ["/v1/kv/get_items", "/v1/blobs/x", "/metrics", "/", "/nowhere"])
async def test_whatever_else_is_asked_for_is_unavailable(starting: Starting, path: str) -> None:
    _, _, client = starting
    answer = await client.post(path, json={"namespace": "x", "id": "a"})
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["outcome"]) == (503, "unavailable", "not_applied")
    assert answer.headers["retry-after"] == "1"


async def test_a_head_has_no_body(starting: Starting) -> None:
    _, _, client = starting
    answer = await client.head("/health/ready")
    assert (answer.status_code, answer.content) == (503, b"")


async def test_once_it_is_started_the_same_address_answers(starting: Starting) -> None:
    stage, server, client = starting
    await stage.start()
    assert await server.start() == str(client.base_url).rstrip("/")
    assert (await client.get("/health/ready")).json()["status"] == "ready"
    assert (await client.post("/v1/namespaces/list", json={})).status_code == 200


async def test_a_refusal_speaks_the_caller_s_format_and_names_its_request(starting: Starting) -> None:
    _, _, client = starting
    body = msgspec.msgpack.encode({"namespace": "x", "id": "a"})
    headers = {"content-type": "application/msgpack", "x-request-id": "mine"}
    answer = await client.post("/v1/kv/get_items", content=body, headers=headers)
    problem = msgspec.msgpack.decode(answer.content)
    assert (problem["code"], problem["request_id"]) == ("unavailable", "mine")
    assert answer.headers["x-request-id"] == "mine"
