"""What the door knows of the kinds of keys."""

from __future__ import annotations

import pytest
from tests.data.kv.resp.conversation import Conversation, House

from soundstage.core.environment import VirtualEnvironment
from soundstage.data.kv import KeyValue, MatchAll, Predicate, PutItem
from soundstage.data.kv.resp.kinds import KNOWN_MAX, Strings


@pytest.fixture
def strings(environment: VirtualEnvironment) -> Strings:
    return Strings(environment.monotonic_ns)


def test_nothing_is_known_at_first(strings: Strings) -> None:
    assert not strings.know("a")


def test_what_was_seen_is_known_for_a_second(strings: Strings, environment: VirtualEnvironment) -> None:
    strings.learn("a")
    environment.advance(0.999)
    assert strings.know("a")
    environment.advance(0.001)
    assert not strings.know("a")


def test_what_was_changed_is_not(strings: Strings) -> None:
    strings.learn("a")
    strings.forget("a")
    strings.forget("b")
    assert not strings.know("a")


def test_the_oldest_is_forgotten_when_there_are_too_many(strings: Strings) -> None:
    for number in range(KNOWN_MAX + 1):
        strings.learn(str(number))
    assert not strings.know("0")
    assert strings.know("1")


async def test_a_string_that_is_overwritten_is_not_read(house: House, talk: Conversation) -> None:
    await talk.ask("SET", "a", "1")
    reads = house.stage.operation("kv", "get_items").stats
    before = reads.calls
    await talk.ask("SET", "a", "2")
    assert reads.calls == before
    assert await talk.ask("GET", "a") == b"2"


@pytest.mark.parametrize("between", [("DEL", "a"), ("GETDEL", "a"), ("EXPIRE", "a", -1)])
async def test_a_key_that_was_deleted_may_become_a_hash(
    house: House, talk: Conversation, between: tuple[str | int, ...]
) -> None:
    other = house.talk()
    await talk.ask("SET", "a", "1")
    await other.ask(*between)
    assert await other.ask("HSET", "a", "f", "1") == 1
    assert await talk.ask("SET", "a", "2") == "OK"
    items = (await house.stage.client(KeyValue, "resp").get_items(id="a")).items
    assert [item.key for item in items] == [b""]


async def test_a_string_that_expired_may_become_a_hash_and_be_replaced(house: House, talk: Conversation) -> None:
    await talk.ask("SET", "a", "1", "PX", 5)
    house.environment.advance(0.1)
    assert await talk.ask("HSET", "a", "f", "1") == 1
    assert await talk.ask("SET", "a", "2") == "OK"
    items = (await house.stage.client(KeyValue, "resp").get_items(id="a")).items
    assert [item.key for item in items] == [b""]


async def test_what_kv_makes_a_hash_is_seen_after_a_second(house: House, talk: Conversation) -> None:
    kv = house.stage.client(KeyValue, "resp")
    await talk.ask("SET", "a", "1")
    await kv.delete_items(id="a", predicate=Predicate(match_all=MatchAll()))
    await kv.put_items(id="a", items=[PutItem(key=b"f", value=b"1")])
    house.environment.advance(1)
    assert await talk.ask("SET", "a", "2") == "OK"
    assert [item.key for item in (await kv.get_items(id="a")).items] == [b""]
