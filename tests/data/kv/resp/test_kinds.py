"""What the door knows of the kinds of keys."""

from __future__ import annotations

import pytest
from tests.data.kv.resp.conversation import Conversation, House

from soundstage.core.environment import VirtualEnvironment
from soundstage.data.kv import KeyValue, MatchAll, Predicate, PutItem
from soundstage.data.kv.resp.kinds import KNOWN_MAX, Forgotten, Known


@pytest.fixture
def known(environment: VirtualEnvironment) -> Known:
    return Known(environment.monotonic_ns)


def test_nothing_is_known_at_first(known: Known) -> None:
    assert not known.is_string("a")
    assert not known.has_field("a", b"f")


def test_what_was_seen_is_known_for_a_second(known: Known, environment: VirtualEnvironment) -> None:
    known.learn_string("a", 0)
    known.learn_field("h", b"f", 0)
    environment.advance(0.999)
    assert known.is_string("a")
    assert known.has_field("h", b"f")
    environment.advance(0.001)
    assert not known.is_string("a")
    assert not known.has_field("h", b"f")


def test_what_was_changed_is_not(known: Known) -> None:
    known.learn_string("a", 0)
    known.learn_field("a", b"f", 0)
    known.learn_field("a", b"g", 0)
    known.forget("a")
    known.forget("b")
    assert not known.is_string("a")
    assert not known.has_field("a", b"f")
    assert not known.has_field("a", b"g")


def test_the_oldest_string_is_forgotten_when_there_are_too_many(known: Known) -> None:
    for number in range(KNOWN_MAX + 1):
        known.learn_string(str(number), 0)
    assert not known.is_string("0")
    assert known.is_string("1")


def test_fields_are_forgotten_when_there_are_too_many(known: Known) -> None:
    for number in range(KNOWN_MAX + 1):
        known.learn_field(f"h{number % 3}", b"%d" % number, 0)
    assert not known.has_field("h0", b"0")
    assert known.has_field(f"h{KNOWN_MAX % 3}", b"%d" % KNOWN_MAX)


def test_nothing_is_learned_of_what_was_forgotten_since(known: Known) -> None:
    strings, fields = known.strings.turn, known.fields.turn
    known.forget("a")
    known.learn_string("a", strings)
    known.learn_field("a", b"f", fields)
    assert not known.is_string("a")
    assert not known.has_field("a", b"f")


def test_strings_and_fields_are_forgotten_apart(known: Known) -> None:
    turn = known.fields.turn
    known.forget_string("a")
    known.learn_field("a", b"f", turn)
    assert known.has_field("a", b"f")


def test_what_others_forget_is_learned_all_the_same(known: Known) -> None:
    turn = known.strings.turn
    known.forget("b")
    known.learn_string("a", turn)
    assert known.is_string("a")


def test_when_too_many_were_forgotten_all_may_have_been() -> None:
    forgotten = Forgotten()
    for number in range(KNOWN_MAX + 1):
        forgotten.note(str(number))
    assert forgotten.is_since("0", 0)
    assert forgotten.is_since("never", 0)
    assert not forgotten.is_since("never", forgotten.turn)


async def test_a_field_that_is_overwritten_again_is_not_read(house: House, talk: Conversation) -> None:
    for value in ("1", "2"):
        await talk.ask("HSET", "h", "f", value)
    reads = house.stage.operation("kv", "get_items").stats
    before = reads.calls
    assert await talk.ask("HSET", "h", "f", "3") == 0
    assert reads.calls == before
    assert await talk.ask("HGET", "h", "f") == b"3"


@pytest.mark.parametrize("between", [("DEL", "h"), ("HDEL", "h", "f"), ("EXPIRE", "h", -1), ("SET", "h", "s")])
async def test_a_field_that_went_is_new_again(house: House, talk: Conversation, between: tuple[str | int, ...]) -> None:
    for value in ("1", "2", "3"):
        await talk.ask("HSET", "h", "f", value)
    await house.talk().ask(*between)
    await house.talk().ask("DEL", "h")
    assert await talk.ask("HSET", "h", "f", "4") == 1


async def test_a_field_that_is_to_expire_does_so_though_it_was_known(house: House, talk: Conversation) -> None:
    for value in ("1", "2", "3"):
        await talk.ask("HSET", "h", "f", value)
    await talk.ask("EXPIRE", "h", 10)
    await talk.ask("HSET", "h", "f", "4")
    assert await talk.ask("TTL", "h") == 10


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
