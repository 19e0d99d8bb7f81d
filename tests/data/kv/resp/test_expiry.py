"""Commands on the expiry of keys."""

from __future__ import annotations

import pytest
from tests.data.kv.resp.conversation import START_NS, Conversation, Fault, House

from soundstage.data.kv.resp.expiry import Change

NOW_S = START_NS // 1_000_000_000


@pytest.fixture(params=["string", "hash"])
async def key(request: pytest.FixtureRequest, talk: Conversation) -> str:
    """A key of either kind that does not expire."""
    await talk.ask("SET", "k", "1") if request.param == "string" else await talk.ask("HSET", "k", "f", "1", "g", "2")
    return "k"


async def test_a_key_without_one_lasts(talk: Conversation, key: str) -> None:
    assert [await talk.ask(command, key) for command in ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME")] == [-1] * 4


async def test_a_key_that_is_not_there_has_none(talk: Conversation) -> None:
    assert [await talk.ask(command, "x") for command in ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME")] == [-2] * 4


@pytest.mark.parametrize(
    ("command", "amount"),
    [("EXPIRE", 10), ("PEXPIRE", 10_000), ("EXPIREAT", NOW_S + 10), ("PEXPIREAT", NOW_S * 1_000 + 10_000)],
)
async def test_a_key_is_gone_when_its_time_has_come(
    house: House, talk: Conversation, key: str, command: str, amount: int
) -> None:
    assert await talk.ask(command, key, amount) == 1
    assert await talk.ask("TTL", key) == 10
    assert 9_990 <= await talk.ask("PTTL", key) <= 10_000
    assert abs(await talk.ask("EXPIRETIME", key) - (NOW_S + 10)) <= 1
    house.environment.advance(10.1)
    assert await talk.ask("EXISTS", key) == 0


async def test_what_it_holds_stays(talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "1", "g", "2")
    await talk.ask("EXPIRE", "h", 10)
    assert await talk.ask("HMGET", "h", "f", "g") == [b"1", b"2"]


async def test_persist_takes_it_back(house: House, talk: Conversation, key: str) -> None:
    await talk.ask("EXPIRE", key, 10)
    assert [await talk.ask("PERSIST", key), await talk.ask("PERSIST", key)] == [1, 0]
    house.environment.advance(20)
    assert await talk.ask("EXISTS", key) == 1


@pytest.mark.parametrize("amount", [0, -1])
async def test_a_time_that_has_passed_deletes(talk: Conversation, key: str, amount: int) -> None:
    assert [await talk.ask("EXPIRE", key, amount), await talk.ask("EXISTS", key)] == [1, 0]


async def test_a_key_that_is_not_there_is_not_changed(talk: Conversation) -> None:
    assert [await talk.ask("EXPIRE", "x", 10), await talk.ask("PERSIST", "x")] == [0, 0]


async def test_the_rules_are_kept(talk: Conversation, key: str) -> None:
    assert [await talk.ask("EXPIRE", key, 10, rule) for rule in ("XX", "GT")] == [0, 0]
    assert await talk.ask("EXPIRE", key, 10, "LT") == 1
    assert await talk.ask("EXPIRE", key, 20, "NX") == 0
    assert [await talk.ask("EXPIRE", key, 20, "LT"), await talk.ask("EXPIRE", key, 20, "GT")] == [0, 1]
    assert await talk.ask("EXPIRE", key, 5, "xx", "lt") == 1
    assert await talk.ask("TTL", key) == 5


@pytest.mark.parametrize("rules", [("NX", "XX"), ("NX", "GT"), ("GT", "LT"), ("SO",)])
async def test_rules_that_contradict_are_refused(talk: Conversation, key: str, rules: tuple[str, ...]) -> None:
    assert isinstance(await talk.ask("EXPIRE", key, 10, *rules), Fault)


@pytest.mark.parametrize("amount", ["x", "1.5", "99999999999999"])
async def test_what_is_no_time_is_refused(talk: Conversation, key: str, amount: str) -> None:
    assert isinstance(await talk.ask("EXPIRE", key, amount), Fault)


@pytest.mark.parametrize("words", [("EXPIRE", "a", 1), ("PEXPIREAT", "a", 1), ("PERSIST", "a")])
async def test_without_conditional_writes_none_is_changed(plain: Conversation, words: tuple[str | int, ...]) -> None:
    await plain.ask("SET", "a", "1", "EX", 100)
    reply = await plain.ask(*words)
    assert isinstance(reply, Fault)
    assert "conditional_writes" in reply.line
    assert await plain.ask("TTL", "a") == 100


async def test_a_hash_too_large_to_be_written_at_once_is_refused(talk: Conversation) -> None:
    for number in range(6):
        await talk.ask("HSET", "h", f"f{number}", b"x" * 900_000)
    reply = await talk.ask("EXPIRE", "h", 10)
    assert isinstance(reply, Fault)
    assert reply.line.startswith("TOOLARGE")


@pytest.mark.parametrize(
    ("change", "old", "allowed"),
    [
        (Change(10), None, True),
        (Change(None), None, False),
        (Change(None), 5, True),
        (Change(10, frozenset({b"GT"})), 10, False),
        (Change(10, frozenset({b"LT"})), 10, False),
        (Change(10, frozenset({b"LT"})), None, True),
        (Change(10, frozenset({b"GT"})), None, False),
    ],
)
def test_what_a_change_allows(change: Change, old: int | None, allowed: bool) -> None:
    assert change.allows(old) == allowed
