"""A door's listener: how many come in, over what, and how they are sent away."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import trustme
from tests.runtime.doors import Peer, lines_door, open_door, opened, peer, until

from soundstage.runtime.stage import Stage

HERE = "127.0.0.1:0"


def doors(**keys: Any) -> dict[str, Any]:
    return {"lines": {"listen": HERE, **keys}}


def where(stage: Stage) -> str:
    return stage.doors.infos()[0].address


async def until_newline(caller: Peer) -> bytes:
    found = b""
    while not found.endswith(b"\n"):
        found += await caller.reader.read(1 << 16)
    return found


async def test_connections_over_the_bound_are_told_and_closed() -> None:
    async with opened(doors(max_connections=1)) as stage, peer(where(stage)) as first:
        await first.ask("anyone")
        async with peer(where(stage)) as second:
            assert await second.rest() == b"refused: 1 connections are open, the limit\n"
        assert await first.ask("nothing") == "not_found"
        assert open_door(stage).context.statistics.refused == 1


async def test_a_connection_that_ends_makes_room() -> None:
    async with opened(doors(max_connections=1)) as stage:
        for _ in range(3):
            async with peer(where(stage)) as caller:
                assert await caller.ask("anyone") == "hello local"
                caller.writer.write_eof()
                assert await caller.rest() == b""


async def test_what_was_asked_is_answered_while_the_door_closes() -> None:
    async with opened(doors()) as stage, peer(where(stage)) as caller:
        await caller.ask("anyone")
        caller.say("wait")
        await until(lambda: open_door(stage).context.statistics.requests == 2)
        closing = asyncio.create_task(stage.doors.stop())
        await asyncio.sleep(0)
        lines_door(stage).gate.set()
        assert await caller.rest() == b"waited\n"
        await closing


async def test_a_door_that_closes_is_no_reason_to_be_called() -> None:
    async with opened(doors()) as stage, peer(where(stage)) as caller:
        await caller.ask("anyone")
        caller.say("wait")
        await until(lambda: open_door(stage).context.statistics.requests == 2)
        closing = asyncio.create_task(stage.doors.stop())
        await asyncio.sleep(0)
        assert stage.health().reasons == ["the doors are closing"]
        lines_door(stage).gate.set()
        await closing
        assert stage.health().ready


async def test_who_is_not_answered_in_time_is_cut_off() -> None:
    async with opened(doors(drain_timeout="10ms")) as stage, peer(where(stage)) as caller:
        await caller.ask("anyone")
        caller.say("wait")
        await until(lambda: open_door(stage).context.statistics.requests == 2)
        door = lines_door(stage)
        await stage.doors.stop()
        with suppress(ConnectionResetError):
            assert await caller.rest() == b""
        door.gate.set()


async def test_a_silent_connection_is_closed() -> None:
    async with opened(doors(idle_timeout="20ms")) as stage, peer(where(stage)) as caller:
        assert await caller.rest() == b""


async def test_one_that_waits_for_an_answer_is_not() -> None:
    async with opened(doors(idle_timeout="250ms")) as stage, peer(where(stage)) as caller:
        caller.say("wait")
        asyncio.get_running_loop().call_later(0.4, lines_door(stage).gate.set)
        assert await caller.hear() == "waited"


async def test_one_that_takes_nothing_is_cut_off() -> None:
    async with opened(doors(write_timeout="20ms")) as stage, peer(where(stage), limit=1) as caller:
        caller.say("flood 30000000")
        await until(lambda: open_door(stage).context.statistics.sent)
        await until(lambda: not open_door(stage).context.statistics.connections)


async def test_one_that_takes_it_slowly_is_served() -> None:
    async with opened(doors()) as stage, peer(where(stage)) as caller:
        caller.say("flood 3000000")
        assert len(await until_newline(caller)) == 3_000_001


async def test_what_is_half_there_is_bounded_over_all_connections() -> None:
    async with opened(doors(max_buffered="64KiB")) as stage, peer(where(stage)) as first, peer(where(stage)) as second:
        assert await first.ask("half") == "held"
        assert await second.ask("half") == "too much"


async def test_and_forgotten_with_its_connection() -> None:
    async with opened(doors(max_buffered="64KiB")) as stage:
        async with peer(where(stage)) as first:
            await first.ask("half")
        await until(lambda: not open_door(stage).context.statistics.connections)
        async with peer(where(stage)) as second:
            assert await second.ask("half") == "held"


async def test_tls_is_spoken_where_there_is_a_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "door.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with (
        opened(doors(tls={"certificate": str(tmp_path / "door.pem")})) as stage,
        peer(where(stage), ssl=trusting, server_hostname="localhost") as caller,
    ):
        assert where(stage).startswith("liness://")
        assert await caller.ask("anyone") == "hello local"


async def test_plain_text_to_a_door_with_tls_is_closed(tmp_path: Path) -> None:
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "door.pem")
    tls = {"certificate": str(tmp_path / "door.pem")}
    async with opened(doors(tls=tls)) as stage, peer(where(stage)) as caller:
        caller.say("anyone")
        assert b"hello" not in await caller.rest()
