"""A namespace as the commands see it, where others write at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.data.kv.engines import Littered
from tests.data.kv.resp.conversation import Conversation, House, housed

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import PreconditionFailed
from soundstage.core.operation import Operation
from soundstage.data.kv import Item, KeyValue, PutItem
from soundstage.data.kv.resp.faults import CommandError
from soundstage.data.kv.resp.hashes import CONDITIONS_MAX
from soundstage.data.kv.resp.space import ATTEMPTS, STRING, Space, at, last_of

Meddle = Callable[[], Awaitable[object]]


@pytest.fixture
async def space(talk: Conversation) -> Space:
    assert talk.connection.client is not None
    return talk.connection.client.space


@pytest.fixture
def kv(house: House) -> KeyValue:
    return house.stage.client(KeyValue, "resp")


def meddled(space: Space, name: str, meddle: Meddle, times: int = 1) -> None:
    """Before the next writes by `name` somebody else writes."""
    carried: Any = space._invoke  # pyright: ignore[reportPrivateUsage]
    left = times

    async def invoke(operation: Operation[..., Any], request: Any) -> Any:
        nonlocal left
        if operation.name == name and left:
            left -= 1
            await meddle()
        return await carried(operation, request)

    space._invoke = invoke  # pyright: ignore[reportPrivateUsage]


def followed(space: Space, name: str, meddle: Meddle) -> None:
    """After the next write by `name`, and before its reply is seen, somebody else writes."""
    carried: Any = space._invoke  # pyright: ignore[reportPrivateUsage]
    left = 1

    async def invoke(operation: Operation[..., Any], request: Any) -> Any:
        nonlocal left
        reply = await carried(operation, request)
        if operation.name == name and left:
            left -= 1
            await meddle()
        return reply

    space._invoke = invoke  # pyright: ignore[reportPrivateUsage]


async def test_the_head_is_the_string_or_any_field_or_nothing(space: Space, talk: Conversation) -> None:
    await talk.ask("SET", "a", "1")
    await talk.ask("HSET", "h", "f", "1")
    heads = [await space.head(id) for id in ("a", "h", "x")]
    assert [(head.is_string, head.is_hash) for head in heads] == [(True, False), (False, True), (False, False)]


async def test_what_was_deleted_has_no_head(space: Space, talk: Conversation) -> None:
    await talk.ask("SET", "a", "1")
    await talk.ask("DEL", "a")
    head = await space.head("a")
    assert head.item is None
    assert head.token is not None


async def test_a_write_that_was_overtaken_is_tried_again(space: Space, talk: Conversation, kv: KeyValue) -> None:
    async def meddle() -> None:
        await kv.put_items(id="a", items=[PutItem(key=STRING, value=b"theirs")])

    meddled(space, "put_items", meddle)
    assert await talk.ask("SET", "a", "ours", "GET") == b"theirs"
    assert await talk.ask("GET", "a") == b"ours"


async def test_a_key_made_meanwhile_keeps_nx_out(space: Space, talk: Conversation, kv: KeyValue) -> None:
    async def meddle() -> None:
        await kv.put_items(id="a", items=[PutItem(key=STRING, value=b"theirs")])

    meddled(space, "put_items", meddle)
    assert await talk.ask("SETNX", "a", "ours") == 0


async def test_a_hash_made_meanwhile_is_replaced_by_set(space: Space, talk: Conversation, kv: KeyValue) -> None:
    async def meddle() -> None:
        await kv.put_items(id="a", items=[PutItem(key=b"f", value=b"1")])

    meddled(space, "put_items", meddle)
    assert await talk.ask("SET", "a", "ours") == "OK"
    assert [item.key for item in (await kv.get_items(id="a")).items] == [STRING]


async def test_a_string_made_meanwhile_is_wrong_for_hset(space: Space, talk: Conversation, kv: KeyValue) -> None:
    async def meddle() -> None:
        await kv.put_items(id="h", items=[PutItem(key=STRING, value=b"1")])

    meddled(space, "put_items", meddle)
    assert (await talk.ask("HSET", "h", "f", "1")).line.startswith("WRONGTYPE")


async def test_a_field_that_expires_otherwise_meanwhile_is_read_again(
    space: Space, house: House, talk: Conversation
) -> None:
    await talk.ask("HSET", "h", "f", "1")
    await talk.ask("EXPIRE", "h", 100)

    async def meddle() -> None:
        await house.talk().ask("EXPIRE", "h", 10)

    meddled(space, "put_items", meddle)
    assert await talk.ask("HSET", "h", "g", "2") == 1
    assert await talk.ask("TTL", "h") == 10


@pytest.mark.parametrize(
    "words", [("f", "2"), ("f", "2", "g", "2"), ("new", "2"), ("f", "2", "new", "2")], ids=lambda words: " ".join(words)
)
async def test_a_hash_that_is_to_expire_meanwhile_expires(
    space: Space, house: House, talk: Conversation, words: tuple[str, ...]
) -> None:
    await talk.ask("HSET", "h", "f", "1", "g", "1")

    async def meddle() -> None:
        await house.talk().ask("EXPIRE", "h", 10)

    meddled(space, "put_items", meddle)
    await talk.ask("HSET", "h", *words)
    assert await talk.ask("TTL", "h") == 10
    assert await talk.ask("HGET", "h", words[-2]) == b"2"


async def test_so_does_one_of_which_many_fields_are_overwritten(space: Space, house: House, talk: Conversation) -> None:
    words = [word for number in range(CONDITIONS_MAX + 1) for word in (f"f{number}", number)]
    await talk.ask("HSET", "h", *words)

    async def meddle() -> None:
        await house.talk().ask("EXPIRE", "h", 10)

    meddled(space, "put_items", meddle)
    assert await talk.ask("HSET", "h", *words) == 0
    assert await talk.ask("TTL", "h") == 10


async def test_a_field_of_a_hash_that_is_to_expire_is_not_known_to_stay(
    space: Space, house: House, talk: Conversation
) -> None:
    await talk.ask("HSET", "h", "f", "1")

    async def meddle() -> None:
        await house.talk().ask("EXPIRE", "h", 10)

    followed(space, "put_items", meddle)
    await talk.ask("HSET", "h", "f", "2")
    await talk.ask("HSET", "h", "f", "3")
    assert await talk.ask("TTL", "h") == 10
    assert await talk.ask("HGET", "h", "f") == b"3"


@pytest.mark.parametrize("expiry", [(), ("EX", "100")], ids=["forever", "expiring"])
async def test_a_string_that_becomes_a_hash_meanwhile_is_replaced_by_set(
    space: Space, house: House, talk: Conversation, kv: KeyValue, expiry: tuple[str, ...]
) -> None:
    await talk.ask("SET", "a", "1")
    house.environment.advance(1)

    async def meddle() -> None:
        await asyncio.sleep(0)
        await house.talk().ask_all(("DEL", "a"), ("HSET", "a", "f", "1"))

    followed(space, "get_items", meddle)
    assert await talk.ask("SET", "a", "ours", *expiry) == "OK"
    assert [(item.key, item.value) for item in (await kv.get_items(id="a")).items] == [(STRING, b"ours")]


@pytest.mark.parametrize("before", [False, True], ids=["new", "known"])
async def test_a_string_that_became_a_hash_before_it_was_answered_is_not_known(
    space: Space, house: House, talk: Conversation, kv: KeyValue, before: bool
) -> None:
    if before:
        await talk.ask("SET", "a", "0")

    async def meddle() -> None:
        await house.talk().ask_all(("DEL", "a"), ("HSET", "a", "f", "1"))

    followed(space, "put_items", meddle)
    await talk.ask("SET", "a", "1")
    assert await talk.ask("SET", "a", "2") == "OK"
    assert [item.key for item in (await kv.get_items(id="a")).items] == [STRING]


async def test_of_two_connections_neither_undoes_an_expiry(house: House) -> None:
    one, two = house.talk(), house.talk()
    await one.ask("HSET", "h", "f", "0", "g", "0")
    for number in range(1, 60):
        words = ("f", number) if number % 2 else (f"f{number}", number)
        await asyncio.gather(one.ask("HSET", "h", *words), two.ask("EXPIRE", "h", 100))
        assert await two.ask("TTL", "h") == 100
        assert await one.ask("HGET", "h", words[0]) == str(number).encode()
        await two.ask("PERSIST", "h")


async def test_of_many_connections_none_makes_a_key_both_string_and_hash(house: House, kv: KeyValue) -> None:
    talks = [house.talk() for _ in range(3)]
    for _ in range(40):
        await asyncio.gather(
            talks[0].ask("SET", "k", "1"),
            talks[1].ask_all(("DEL", "k"), ("HSET", "k", "f", "1"), ("HSET", "k", "f", "2")),
            talks[2].ask_all(("HSET", "k", "f", "3"), ("SET", "k", "2")),
        )
        assert len({item.key == STRING for item in (await kv.get_items(id="k")).items}) == 1


async def test_many_that_set_one_key_are_all_answered(house: House) -> None:
    talks = [house.talk() for _ in range(2 * ATTEMPTS)]
    await talks[0].ask("SET", "a", "0")
    house.environment.advance(1)
    replies = await asyncio.gather(*(each.ask("SET", "a", number) for number, each in enumerate(talks)))
    assert set(replies) == {"OK"}


async def test_a_field_written_meanwhile_is_expired_too(space: Space, house: House, talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "1")

    async def meddle() -> None:
        await house.talk().ask("HSET", "h", "g", "2")

    meddled(space, "put_items", meddle)
    assert await talk.ask("EXPIRE", "h", 10) == 1
    house.environment.advance(11)
    assert await talk.ask("EXISTS", "h") == 0


async def test_a_key_deleted_meanwhile_is_not_counted(space: Space, house: House, talk: Conversation) -> None:
    await talk.ask("SET", "a", "1")

    async def meddle() -> None:
        await house.talk().ask("DEL", "a")

    meddled(space, "delete_items", meddle)
    assert await talk.ask("DEL", "a") == 0


async def test_whoever_is_always_overtaken_is_told(space: Space, house: House, talk: Conversation) -> None:
    await talk.ask("SET", "a", "1")

    async def meddle() -> None:
        await house.talk().ask("SET", "a", "2")

    meddled(space, "put_items", meddle, ATTEMPTS)
    assert (await talk.ask("SET", "a", "3", "XX")).line.startswith("CONFLICT")


async def test_attempts_are_counted(space: Space) -> None:
    tried = 0

    async def attempt() -> None:
        nonlocal tried
        tried += 1
        raise PreconditionFailed("others")

    with pytest.raises(CommandError, match="CONFLICT"):
        await space.settled(attempt)
    assert tried == ATTEMPTS


async def test_what_has_passed_is_not_stored(space: Space, house: House) -> None:
    now_ns = house.environment.now_ns()
    assert not await space.put("a", [(STRING, b"1")], now_ns)
    assert not await space.put("a", [(STRING, b"1")], now_ns + 999_000)
    assert await space.put("a", [(STRING, b"1")], now_ns + 50_000_000)


async def test_a_reply_over_the_bound_is_refused(space: Space) -> None:
    space.check_reply(space.reply_max)
    with pytest.raises(CommandError, match="TOOLARGE"):
        space.check_reply(space.reply_max + 1)


async def test_items_expire_with_the_last_of_them(space: Space, house: House) -> None:
    now_ns = house.environment.now_ns()
    await space.put("h", [(b"f", b"1")], now_ns + 10_000_000_000)
    await space.put("h", [(b"g", b"1")], now_ns + 20_000_000_000)
    items, _ = await space.everything("h")
    assert last_of(items) == now_ns + 20_000_000_000
    await space.put("h", [(b"i", b"1")])
    items, _ = await space.everything("h")
    assert (last_of(items), last_of(list[Item]())) == (None, None)


async def test_an_item_at_its_token_is_a_condition(space: Space, talk: Conversation) -> None:
    await talk.ask("SET", "a", "1")
    item = await space.string("a")
    assert item is not None
    assert await space.put("a", [(STRING, b"2")], condition=at(item))
    with pytest.raises(PreconditionFailed):
        await space.put("a", [(STRING, b"3")], condition=at(item))


async def test_a_hash_whose_first_fields_are_all_deleted_exists(environment: VirtualEnvironment) -> None:
    async with housed(environment, engines={"default": Littered(environment)}) as house:
        talk = house.talk()
        await talk.ask("HSET", "h", "f", "1")
        await talk.ask("SET", "a", "1")
        assert await talk.ask("TYPE", "h") == "hash"
        assert await talk.ask("EXISTS", "a", "h", "h", "x") == 3
        assert (await talk.ask("GET", "h")).line.startswith("WRONGTYPE")
        assert await talk.ask("DEL", "h") == 1
        assert await talk.ask("EXISTS", "h") == 0
