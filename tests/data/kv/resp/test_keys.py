"""Commands on keys of either kind."""

from __future__ import annotations

import asyncio

import pytest
from tests.data.kv.resp.conversation import Conversation, House

from soundstage.data.kv import KeyValue


@pytest.mark.parametrize("command", ["DEL", "UNLINK"])
async def test_keys_of_both_kinds_are_deleted_and_counted(talk: Conversation, command: str) -> None:
    await talk.ask("SET", "a", "1")
    await talk.ask("HSET", "h", "f", "1")
    assert await talk.ask(command, "a", "h", "x", "a") == 2
    assert await talk.ask("EXISTS", "a", "h") == 0


async def test_one_key_is_deleted_once(talk: Conversation) -> None:
    await talk.ask("SET", "a", "1")
    assert [await talk.ask("DEL", "a"), await talk.ask("DEL", "a")] == [1, 0]


async def test_many_keys_are_deleted(talk: Conversation) -> None:
    names = [f"k{number}" for number in range(150)]
    await talk.ask("MSET", *[word for name in names for word in (name, "1")])
    assert await talk.ask("DEL", *names) == 150


async def test_a_deleted_hash_is_gone_for_kv_too(house: House, talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "1", "g", "2")
    await talk.ask("DEL", "h")
    assert (await house.stage.client(KeyValue, "resp").get_items(id="h")).items == []


async def test_of_many_that_delete_a_key_one_does(house: House, talk: Conversation) -> None:
    await talk.ask("SET", "a", "1")
    assert sum(await asyncio.gather(*(house.talk().ask("DEL", "a") for _ in range(10)))) == 1


async def test_exists_counts_a_key_as_often_as_it_is_named(talk: Conversation) -> None:
    await talk.ask("SET", "a", "1")
    await talk.ask("HSET", "h", "f", "1")
    assert await talk.ask("EXISTS", "a", "a", "h", "x") == 3
    assert await talk.ask("TOUCH", "a", "x") == 1


async def test_exists_of_more_keys_than_one_read_takes(talk: Conversation) -> None:
    names = [f"k{number}" for number in range(1_100)]
    await talk.ask("MSET", *[word for name in names for word in (name, "1")])
    assert await talk.ask("EXISTS", *names, "x") == 1_100


async def test_the_kinds_are_told_apart(talk: Conversation) -> None:
    await talk.ask("SET", "a", "")
    await talk.ask("HSET", "h", "f", "")
    assert [await talk.ask("TYPE", name) for name in ("a", "h", "x")] == ["string", "hash", "none"]


async def test_what_has_expired_does_not_exist(house: House, talk: Conversation) -> None:
    await talk.ask("SET", "a", "1", "PX", 5)
    house.environment.advance(1)
    assert [await talk.ask("EXISTS", "a"), await talk.ask("TYPE", "a"), await talk.ask("DEL", "a")] == [0, "none", 0]


async def test_without_conditional_writes_keys_are_deleted_all_the_same(plain: Conversation) -> None:
    await plain.ask("SET", "a", "1")
    assert [await plain.ask("DEL", "a", "b"), await plain.ask("EXISTS", "a")] == [1, 0]
