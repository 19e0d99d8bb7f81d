"""Commands on hashes."""

from __future__ import annotations

import asyncio

import pytest
from tests.data.kv.resp.conversation import Conversation, Fault, House, pairs

from soundstage.core.time import Duration
from soundstage.data.kv import KeyValue, PutItem
from soundstage.data.kv.resp.faults import WRONG_TYPE

WRONG = Fault(WRONG_TYPE)


async def test_fields_are_set_and_got(talk: Conversation) -> None:
    assert await talk.ask("HSET", "h", "f", "1", "g", "2") == 2
    assert await talk.ask("HGET", "h", "f") == b"1"
    assert await talk.ask("HMGET", "h", "g", "x", "f", "g") == [b"2", None, b"1", b"2"]


async def test_hset_counts_the_fields_that_are_new(talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "1")
    assert await talk.ask("HSET", "h", "f", "2", "g", "3") == 1
    assert await talk.ask("HSET", "h", "f", "4") == 0
    assert await talk.ask("HGET", "h", "f") == b"4"


async def test_of_a_field_named_twice_the_last_counts(talk: Conversation) -> None:
    assert await talk.ask("HSET", "h", "f", "1", "f", "2") == 1
    assert await talk.ask("HGET", "h", "f") == b"2"


async def test_hmset_answers_ok(talk: Conversation) -> None:
    assert await talk.ask("HMSET", "h", "f", "1") == "OK"


@pytest.mark.parametrize("command", ["HSET", "HMSET"])
async def test_a_field_without_a_value_is_refused(talk: Conversation, command: str) -> None:
    reply = await talk.ask(command, "h", "f", "1", "g")
    assert reply == Fault(f"ERR wrong number of arguments for '{command.lower()}' command")


async def test_everything_of_a_hash(talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "1", "g", "2")
    assert pairs(await talk.ask("HGETALL", "h")) == {b"f": b"1", b"g": b"2"}
    assert await talk.ask("HKEYS", "h") == [b"f", b"g"]
    assert await talk.ask("HVALS", "h") == [b"1", b"2"]
    assert await talk.ask("HLEN", "h") == 2


async def test_in_resp3_it_is_a_map(talk: Conversation) -> None:
    await talk.ask("HELLO", 3)
    await talk.ask("HSET", "h", "f", "1")
    assert await talk.ask("HGETALL", "h") == {b"f": b"1"}
    assert await talk.ask("HGET", "h", "x") is None


async def test_an_unknown_key_is_an_empty_hash(talk: Conversation) -> None:
    assert await talk.ask("HGETALL", "h") == []
    assert await talk.ask("HKEYS", "h") == []
    assert [await talk.ask(command, "h") for command in ("HLEN", "HVALS")] == [0, []]
    assert await talk.ask("HGET", "h", "f") is None
    assert await talk.ask("HDEL", "h", "f") == 0


async def test_items_written_through_kv_are_fields(house: House, talk: Conversation) -> None:
    items = [PutItem(key=b"name", value=b"Ada"), PutItem(key=b"born", value=b"1815")]
    await house.stage.client(KeyValue, "resp").put_items(id="ada", items=items)
    assert await talk.ask("TYPE", "ada") == "hash"
    assert pairs(await talk.ask("HGETALL", "ada")) == {b"name": b"Ada", b"born": b"1815"}


async def test_fields_are_items_to_kv(house: House, talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "1")
    (item,) = (await house.stage.client(KeyValue, "resp").get_items(id="h")).items
    assert (item.key, item.value) == (b"f", b"1")


async def test_hexists_and_hstrlen(talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "abc")
    assert [await talk.ask("HEXISTS", "h", "f"), await talk.ask("HEXISTS", "h", "g")] == [1, 0]
    assert [await talk.ask("HSTRLEN", "h", "f"), await talk.ask("HSTRLEN", "h", "g")] == [3, 0]


async def test_hdel_counts_what_was_there(talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "1", "g", "2")
    assert await talk.ask("HDEL", "h", "f", "x", "f") == 1
    assert await talk.ask("HKEYS", "h") == [b"g"]


async def test_a_hash_without_fields_is_no_key(talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "1")
    await talk.ask("HDEL", "h", "f")
    assert [await talk.ask("EXISTS", "h"), await talk.ask("TYPE", "h")] == [0, "none"]


async def test_hsetnx_sets_a_field_once(talk: Conversation) -> None:
    assert [await talk.ask("HSETNX", "h", "f", "1"), await talk.ask("HSETNX", "h", "f", "2")] == [1, 0]
    assert await talk.ask("HGET", "h", "f") == b"1"


@pytest.mark.parametrize(
    "words",
    [
        ("HSET", "s", "f", "1"),
        ("HSET", "s", "f", "1", "g", "2"),
        ("HMSET", "s", "f", "1"),
        ("HSETNX", "s", "f", "1"),
        ("HGET", "s", "f"),
        ("HMGET", "s", "f"),
        ("HGETALL", "s"),
        ("HKEYS", "s"),
        ("HVALS", "s"),
        ("HLEN", "s"),
        ("HEXISTS", "s", "f"),
        ("HSTRLEN", "s", "f"),
        ("HDEL", "s", "f"),
        ("HSCAN", "s", "0"),
    ],
)
async def test_a_string_is_no_hash(talk: Conversation, words: tuple[str]) -> None:
    await talk.ask("SET", "s", "1")
    assert await talk.ask(*words) == WRONG
    assert await talk.ask("GET", "s") == b"1"


async def test_the_empty_field_is_not_to_be_had(talk: Conversation) -> None:
    assert isinstance(await talk.ask("HSET", "h", "", "1"), Fault)
    await talk.ask("HSET", "h", "f", "1")
    assert await talk.ask("HGET", "h", "") is None
    assert await talk.ask("HMGET", "h", "", "f") == [None, b"1"]
    assert await talk.ask("HDEL", "h", "") == 0


async def test_a_field_too_long_is_refused(talk: Conversation) -> None:
    reply = await talk.ask("HSET", "h", b"f" * 4_097, "1")
    assert isinstance(reply, Fault)
    assert reply.line.startswith("ERR")


async def test_a_new_field_expires_with_its_hash(house: House, talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "1")
    await talk.ask("EXPIRE", "h", 10)
    await talk.ask("HSET", "h", "g", "2")
    assert await talk.ask("TTL", "h") == 10
    house.environment.advance(11)
    assert await talk.ask("EXISTS", "h") == 0


async def test_a_field_that_is_overwritten_expires_as_before(talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "1", "g", "2")
    await talk.ask("EXPIRE", "h", 10)
    await talk.ask("HSET", "h", "f", "2")
    await talk.ask("HSET", "h", "f", "3", "g", "4")
    assert await talk.ask("TTL", "h") == 10


async def test_fields_of_kv_with_times_of_their_own_keep_the_hash_until_the_last(
    house: House, talk: Conversation
) -> None:
    items = [
        PutItem(key=b"f", value=b"1", ttl=Duration.parse("10s")),
        PutItem(key=b"g", value=b"2", ttl=Duration.parse("20s")),
    ]
    await house.stage.client(KeyValue, "resp").put_items(id="h", items=items)
    assert await talk.ask("TTL", "h") == 20
    house.environment.advance(15)
    assert await talk.ask("HKEYS", "h") == [b"g"]


async def test_a_large_hash_is_read_over_many_pages(talk: Conversation) -> None:
    for number in range(6):
        await talk.ask("HSET", "h", f"f{number}", b"x" * 900_000)
    assert len(await talk.ask("HVALS", "h")) == 6
    assert [len(value) for value in await talk.ask("HMGET", "h", *[f"f{number}" for number in range(6)])] == [
        900_000
    ] * 6


async def test_many_fields_are_set_at_once(talk: Conversation) -> None:
    words = [word for number in range(1_500) for word in (f"f{number}", number)]
    assert await talk.ask("HSET", "h", *words) == 1_500
    assert await talk.ask("HSET", "h", *words, "new", "1") == 1
    assert await talk.ask("HLEN", "h") == 1_501


async def test_a_field_that_many_set_is_new_to_one(house: House) -> None:
    talks = [house.talk() for _ in range(20)]
    counts = await asyncio.gather(*(each.ask("HSET", "h", "f", number) for number, each in enumerate(talks)))
    assert sum(counts) == 1


async def test_a_field_that_many_delete_is_deleted_by_one(house: House, talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "1")
    counts = await asyncio.gather(*(house.talk().ask("HDEL", "h", "f") for _ in range(10)))
    assert sum(counts) == 1


async def test_string_and_hash_under_one_name_are_never_both(house: House) -> None:
    talks = [house.talk() for _ in range(10)]
    await asyncio.gather(
        *(
            each.ask("SET", "k", "v") if number % 2 else each.ask("HSET", "k", f"f{number}", "1")
            for number, each in enumerate(talks)
        )
    )
    items = (await house.stage.client(KeyValue, "resp").get_items(id="k")).items
    assert len({item.key == b"" for item in items}) == 1


async def test_without_conditional_writes_hashes_work_all_the_same(plain: Conversation) -> None:
    assert await plain.ask("HSET", "h", "f", "1", "g", "2") == 2
    assert await plain.ask("HSET", "h", "g", "3", "i", "4") == 1
    assert await plain.ask("HDEL", "h", "f") == 1
    assert pairs(await plain.ask("HGETALL", "h")) == {b"g": b"3", b"i": b"4"}
    reply = await plain.ask("HSETNX", "h", "z", "1")
    assert isinstance(reply, Fault)
    assert "conditional_writes" in reply.line
