"""A door below a prefix: its requests are let in, bounded, named and counted as all others."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.runtime.conftest import NOTES, make
from tests.runtime.doors import peer
from tests.runtime.notes.api import Notes
from tests.surface.http.asgi_client import Caller
from tests.surface.http.conftest import Serve

from soundstage.catalogue import SYSTEMS
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.stage import Stage
from soundstage.runtime.tokens.api import Tokens
from soundstage.surface.http.app import Application


class Mounted:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.application = Application(stage, HttpConfig())
        self.caller = Caller(self.application)

    @property
    def failures(self) -> dict[str, int]:
        return self.stage.doors.opened[0].context.statistics.failures


async def mounted(**config: Any) -> AsyncIterator[Mounted]:
    doors = {"sheets": {"prefix": "/sheets", "max_body": "1KiB"}}
    stage = Stage.open(config={"doors": doors, **config}, data="memory:", systems=(*SYSTEMS, NOTES))
    async with stage:
        await make(stage)
        await stage.open_doors()
        await stage.client(Notes, "home").write(name="milk", text="two")
        yield Mounted(stage)


@pytest.fixture
async def door() -> AsyncIterator[Mounted]:
    async for found in mounted():
        yield found


@pytest.fixture
async def guarded() -> AsyncIterator[Mounted]:
    async for found in mounted(auth={"mode": "tokens"}):
        yield found


async def test_the_door_answers_below_its_prefix(door: Mounted) -> None:
    answer = await door.caller.ask("/sheets/milk")
    assert (answer.status, answer.body) == (200, b"two")


async def test_its_answers_have_the_id_of_the_request(door: Mounted) -> None:
    assert (await door.caller.ask("/sheets/milk", x_request_id="mine")).headers["x-request-id"] == "mine"


async def test_an_error_of_an_operation_is_a_problem(door: Mounted) -> None:
    answer = await door.caller.ask("/sheets/nothing")
    assert (answer.status, answer.json()["code"]) == (404, "not_found")
    assert door.failures == {"not_found": 1}


async def test_a_defect_is_told_without_its_details(door: Mounted) -> None:
    answer = await door.caller.ask("/sheets/defect")
    assert (answer.status, answer.json()["code"]) == (500, "internal")
    assert b"broken" not in answer.body


async def test_a_body_over_the_doors_bound_is_too_large(door: Mounted) -> None:
    answer = await door.caller.ask("/sheets/x", b"x" * 2_000)
    assert (answer.status, answer.json()["code"]) == (413, "too_large")


async def test_one_within_it_arrives(door: Mounted) -> None:
    assert (await door.caller.ask("/sheets/x", parts=[b"x" * 500, b"y" * 500])).body == b"1000"


async def test_paths_beside_the_prefix_are_nothing(door: Mounted) -> None:
    assert (await door.caller.ask("/sheetsmilk")).status == 404


async def test_requests_and_bytes_are_counted(door: Mounted) -> None:
    await door.caller.ask("/sheets/x", b"x" * 100)
    statistics = door.stage.doors.opened[0].context.statistics
    assert (statistics.requests, statistics.received, statistics.sent) == (1, 100, 3)


async def test_nobody_is_let_in_without_a_token(guarded: Mounted) -> None:
    answer = await guarded.caller.ask("/sheets/milk")
    assert (answer.status, answer.json()["code"]) == (401, "unauthenticated")


async def test_a_bearer_is_let_in(guarded: Mounted) -> None:
    token = (await guarded.stage.client(Tokens).create(name="a", roles=["read"])).bearer
    assert (await guarded.caller.ask("/sheets/milk", authorization=f"Bearer {token}")).body == b"two"


async def test_so_is_a_token_as_a_password(guarded: Mounted) -> None:
    token = (await guarded.stage.client(Tokens).create(name="a", roles=["read"])).bearer
    pair = base64.b64encode(f"anyone:{token}".encode()).decode()
    assert (await guarded.caller.ask("/sheets/milk", authorization=f"Basic {pair}")).body == b"two"


@pytest.mark.parametrize("header", ["Basic ???", "Digest x", "Bearer "])
async def test_other_credentials_are_not(guarded: Mounted, header: str) -> None:
    assert (await guarded.caller.ask("/sheets/milk", authorization=header)).status == 401


async def test_a_server_that_stops_refuses(door: Mounted) -> None:
    door.application.close("the server is stopping")
    assert (await door.caller.ask("/sheets/milk")).status == 503


async def test_other_sites_are_refused_without_authentication(door: Mounted) -> None:
    answer = await door.caller.ask("/sheets/milk", host="evil.example", origin="http://evil.example")
    assert answer.status == 403


async def test_half_an_answer_is_cut_off(door: Mounted, serve: Serve) -> None:
    url = await serve(door.stage)
    async with peer(url) as caller:
        caller.writer.write(b"GET /sheets/half HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        assert await caller.rest() == b""
