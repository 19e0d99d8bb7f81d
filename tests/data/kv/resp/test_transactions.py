"""Transactions, which are not offered: nothing of one is run."""

from __future__ import annotations

import pytest
from tests.data.kv.resp.conversation import Conversation, House


def first_words(replies: list[object]) -> list[str]:
    return [str(getattr(reply, "line", reply)).split()[0] for reply in replies]


async def test_nothing_of_a_refused_transaction_is_stored(house: House, talk: Conversation) -> None:
    replies = await talk.ask_all(("MULTI",), ("SET", "a", "1"), ("hset", "h", "f", "1"), ("EXEC",))
    assert first_words(replies) == ["ERR", "ERR", "ERR", "EXECABORT"]
    assert await house.talk().ask("DBSIZE") == 0


async def test_nor_when_its_commands_come_one_by_one(talk: Conversation) -> None:
    replies = [await talk.ask(*words) for words in [("multi",), ("SET", "a", "1"), ("MULTI",), ("PING",), ("exec",)]]
    assert first_words(replies) == ["ERR", "ERR", "ERR", "ERR", "EXECABORT"]
    assert await talk.ask("GET", "a") is None


async def test_the_refusal_says_how_to_do_without(talk: Conversation) -> None:
    replies = await talk.ask_all(("MULTI",), ("GET", "a"), ("EXEC",))
    assert ["transaction=False" in reply.line for reply in replies] == [True, False, True]


@pytest.mark.parametrize("end", ["EXEC", "DISCARD", "RESET"])
async def test_after_its_end_commands_are_run(talk: Conversation, end: str) -> None:
    await talk.ask_all(("MULTI",), ("SET", "a", "1"), (end,))
    assert await talk.ask_all(("SET", "b", "2"), ("GET", "b")) == ["OK", b"2"]


async def test_discard_is_answered(talk: Conversation) -> None:
    assert (await talk.ask_all(("MULTI",), ("SET", "a", "1"), ("DISCARD",)))[-1] == "OK"


@pytest.mark.parametrize("end", ["EXEC", "DISCARD", "WATCH"])
async def test_the_end_of_none_is_not_offered(talk: Conversation, end: str) -> None:
    assert "is not offered" in (await talk.ask(end, "a")).line


async def test_other_connections_go_on(house: House, talk: Conversation) -> None:
    await talk.ask("MULTI")
    assert await house.talk().ask("SET", "a", "1") == "OK"


async def test_whoever_leaves_in_the_midst_of_it_may(talk: Conversation) -> None:
    await talk.ask("MULTI")
    assert await talk.ask("QUIT") == "OK"
    assert talk.wire.closed
