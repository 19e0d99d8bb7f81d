"""Walks over keys and fields."""

from __future__ import annotations

from typing import Any

import pytest
from tests.data.kv.resp.conversation import Conversation, Fault, House, housed, pairs

from soundstage.core.environment import VirtualEnvironment
from soundstage.data.kv import KeyValue, PutItem


async def walked(talk: Conversation, *words: str | int, first: int = 1) -> list[Any]:
    """Everything that a walk returns; `first` is the place of the cursor."""
    command: list[str | int] = [*words]
    found: list[Any] = []
    for _ in range(10_000):
        cursor, some = await talk.ask(*command)
        found += some
        if cursor == b"0":
            return found
        command[first] = cursor.decode()
    raise AssertionError("the walk has no end")


@pytest.fixture
async def many(talk: Conversation) -> Conversation:
    """Two hundred strings and two hundred hashes."""
    await talk.ask("MSET", *[word for number in range(200) for word in (f"s{number:03}", "1")])
    await talk.ask_all(*[("HSET", f"h{number:03}", "f", "1", "g", "2") for number in range(200)])
    return talk


async def test_every_key_is_met_once(many: Conversation) -> None:
    found = await walked(many, "SCAN", 0)
    assert len(found) == len(set(found)) == 400


async def test_a_page_is_about_as_large_as_asked(many: Conversation) -> None:
    _, few = await many.ask("SCAN", 0)
    _, lots = await many.ask("SCAN", 0, "COUNT", 100)
    assert 3 <= len(few) <= 30
    assert 40 <= len(lots) <= 300


async def test_a_pattern_chooses(many: Conversation) -> None:
    assert sorted(await walked(many, "SCAN", 0, "MATCH", "s00?")) == [b"s00%d" % number for number in range(10)]


async def test_a_pattern_that_matches_nothing_comes_to_an_end(many: Conversation) -> None:
    assert await walked(many, "SCAN", 0, "MATCH", "x*", "COUNT", 1) == []


async def test_a_kind_chooses(many: Conversation) -> None:
    found = await walked(many, "SCAN", 0, "TYPE", "hash", "COUNT", 50)
    assert sorted(found) == [b"h%03d" % number for number in range(200)]
    assert len(await walked(many, "SCAN", 0, "TYPE", "STRING")) == 200
    assert await walked(many, "SCAN", 0, "TYPE", "list") == []


async def test_a_walk_may_go_on_over_another_connection(house: House, many: Conversation) -> None:
    cursor, some = await many.ask("SCAN", 0)
    assert len(some) + len(await walked(house.talk(), "SCAN", cursor.decode())) == 400


async def test_a_record_over_several_pages_is_one_key(house: House, talk: Conversation) -> None:
    items = [PutItem(key=b"f%04d" % number, value=b"x") for number in range(2_000)]
    await house.stage.client(KeyValue, "resp").put_items(id="large", items=items)
    await talk.ask("SET", "a", "1")
    assert sorted(await walked(talk, "SCAN", 0)) == [b"a", b"large"]
    assert await talk.ask("DBSIZE") == 2


@pytest.mark.parametrize("cursor", ["7", "99999999999999999999999", "x", "-1"])
async def test_a_cursor_that_is_none_is_refused(talk: Conversation, cursor: str) -> None:
    reply = await talk.ask("SCAN", cursor)
    assert isinstance(reply, Fault)
    assert reply.line.startswith("ERR invalid cursor")


async def test_a_cursor_is_good_for_its_own_walk(many: Conversation) -> None:
    cursor, _ = await many.ask("SCAN", 0)
    assert isinstance(await many.ask("HSCAN", "h000", cursor), Fault)
    await many.ask("SELECT", 1)
    assert isinstance(await many.ask("SCAN", cursor), Fault)


async def test_the_oldest_walk_is_forgotten_when_there_are_too_many(environment: VirtualEnvironment) -> None:
    async with housed(environment, {"cursors": 2}) as house:
        talk = house.talk()
        await talk.ask("MSET", *[word for number in range(100) for word in (f"s{number:03}", "1")])
        cursors = [(await talk.ask("SCAN", 0))[0] for _ in range(3)]
        assert isinstance(await talk.ask("SCAN", cursors[0]), Fault)
        assert not isinstance(await talk.ask("SCAN", cursors[1]), Fault)


async def test_every_field_is_met_once(talk: Conversation) -> None:
    words = [word for number in range(500) for word in (f"f{number:03}", number)]
    await talk.ask("HSET", "h", *words)
    found = pairs(await walked(talk, "HSCAN", "h", 0, first=2))
    assert found == {b"f%03d" % number: b"%d" % number for number in range(500)}


async def test_fields_are_chosen_too(talk: Conversation) -> None:
    await talk.ask("HSET", "h", "a1", "1", "a2", "2", "b1", "3")
    assert pairs((await talk.ask("HSCAN", "h", 0, "MATCH", "a*"))[1]) == {b"a1": b"1", b"a2": b"2"}
    assert (await talk.ask("HSCAN", "h", 0, "NOVALUES"))[1] == [b"a1", b"a2", b"b1"]


async def test_nothing_is_walked_over_to_its_end(talk: Conversation) -> None:
    assert await talk.ask("HSCAN", "h", 0) == [b"0", []]
    assert await talk.ask("SCAN", 0) == [b"0", []]
    assert await talk.ask("DBSIZE") == 0


@pytest.mark.parametrize("words", [("COUNT", 0), ("COUNT",), ("MATCH",), ("NOVALUES",), ("what", "x")])
async def test_options_that_are_none_are_syntax_errors(talk: Conversation, words: tuple[str | int, ...]) -> None:
    assert await talk.ask("SCAN", 0, *words) == Fault("ERR syntax error")


async def test_dbsize_counts_keys(many: Conversation) -> None:
    assert await many.ask("DBSIZE") == 400
