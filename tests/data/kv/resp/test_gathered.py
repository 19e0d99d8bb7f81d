"""What the replies of all connections hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.data.kv.resp.conversation import Conversation, House, housed

from soundstage.core.environment import VirtualEnvironment
from soundstage.data.kv.resp.faults import CommandError
from soundstage.data.kv.resp.gathered import SMALL_BYTES, Gathered, Share

READS = [
    ("MGET", "a", "b", "c"),
    ("HGETALL", "h"),
    ("HVALS", "h"),
    ("HMGET", "h", "a", "b", "c"),
    ("HSCAN", "h", 0, "COUNT", 10_000),
    ("GET", "large"),
    ("HGET", "l", "f"),
]
"""Each is answered by over 600 kB."""


@pytest.fixture
async def small(environment: VirtualEnvironment) -> AsyncIterator[House]:
    """A door whose replies may hold 1 MiB."""
    async with housed(environment, {"max_replies": "1MiB"}) as house:
        talk = house.talk()
        for name in ("a", "b", "c"):
            await talk.ask("SET", name, b"x" * 210_000)
            await talk.ask("HSET", "h", name, b"x" * 210_000)
        await talk.ask("SET", "large", b"x" * 630_000)
        await talk.ask("HSET", "l", "f", b"x" * 630_000)
        yield house


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.fixture
async def stuck(small: House) -> Conversation:
    """A connection that does not take the large reply that it asked for."""
    talk = small.talk()
    talk.wire.takes = False
    talk.send("MGET", "a", "b", "c")
    await settle()
    assert small.door.gathered.size > 600_000
    return talk


@pytest.mark.parametrize("words", READS, ids=lambda words: words[0])
async def test_a_reply_over_what_all_may_hold_is_refused(
    small: House, stuck: Conversation, words: tuple[str | int, ...]
) -> None:
    reply = await small.talk().ask(*words)
    assert reply.line.startswith("EXHAUSTED")
    assert "max_replies" in reply.line
    assert small.door.context.statistics.failures["EXHAUSTED"] == 1


@pytest.mark.parametrize("words", READS, ids=lambda words: words[0])
async def test_it_is_answered_again_once_the_others_are_taken(
    small: House, stuck: Conversation, words: tuple[str | int, ...]
) -> None:
    stuck.wire.takes = True
    stuck.connection.resume_writing()
    talk = small.talk()
    for _ in range(3):
        assert isinstance(await talk.ask(*words), bytes | list)
    assert small.door.gathered.size == 0


async def test_what_a_lost_connection_held_is_free(small: House, stuck: Conversation) -> None:
    stuck.lose()
    assert small.door.gathered.size == 0


async def test_small_replies_and_writes_go_on(small: House, stuck: Conversation) -> None:
    replies = await small.talk().ask_all(("SET", "s", "1"), ("GET", "s"), ("HSET", "t", "f", "1"), ("PING",))
    assert replies == ["OK", b"1", 1, "PONG"]


async def test_a_value_that_cannot_be_answered_is_not_deleted(small: House, stuck: Conversation) -> None:
    talk = small.talk()
    replies = await talk.ask_all(("GETDEL", "large"), ("SET", "s", "1"))
    assert replies[0].line.startswith("EXHAUSTED")
    assert replies[1] == "OK"
    assert await talk.ask("EXISTS", "large") == 1


async def test_a_refused_reply_holds_nothing(small: House, stuck: Conversation) -> None:
    before = small.door.gathered.size
    await small.talk().ask("MGET", "a", "b", "c")
    assert small.door.gathered.size == before


async def test_many_commands_of_one_connection_count_one_by_one(small: House) -> None:
    replies = await small.talk().ask_all(*[("GET", "large")] * 5)
    assert [len(reply) for reply in replies] == [630_000] * 5
    assert small.door.gathered.size == 0


def test_shares_are_of_one_whole() -> None:
    whole = Gathered(100)
    one, two = Share(whole), Share(whole)
    one.take(60)
    with pytest.raises(CommandError, match="EXHAUSTED"):
        two.take(41)
    two.take(40)
    one.keep(10)
    assert (whole.size, one.size, two.size) == (50, 10, 40)


def test_a_small_value_is_not_counted() -> None:
    share = Share(Gathered(1 << 20))
    share.take_value(b"x" * SMALL_BYTES)
    share.take_value(None)
    assert share.size == 0
    share.take_value(b"x" * (SMALL_BYTES + 1))
    assert share.size == SMALL_BYTES + 1
