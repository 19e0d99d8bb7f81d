"""Commands on strings."""

from __future__ import annotations

import asyncio

import pytest
from tests.data.kv.resp.conversation import Conversation, Fault, House

from soundstage.core.compression import compress
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv import Condition, KeyValue, PutItem
from soundstage.data.kv.resp.faults import WRONG_TYPE
from soundstage.runtime.namespaces.api import Namespaces

WRONG = Fault(WRONG_TYPE)


async def test_a_value_is_set_and_got(talk: Conversation) -> None:
    assert await talk.ask("SET", "a", b"\x00\r\n\xff") == "OK"
    assert await talk.ask("GET", "a") == b"\x00\r\n\xff"


async def test_an_empty_value_is_one(talk: Conversation) -> None:
    await talk.ask("SET", "a", "")
    assert await talk.ask("GET", "a") == b""


async def test_an_unknown_key_has_none(talk: Conversation) -> None:
    assert await talk.ask("GET", "a") is None


async def test_a_string_is_the_item_with_the_empty_key(house: House, talk: Conversation) -> None:
    await talk.ask("SET", "a", "1")
    (item,) = (await house.stage.client(KeyValue, "resp").get_items(id="a")).items
    assert (item.key, item.value) == (b"", b"1")


async def test_such_an_item_written_through_kv_is_a_string(house: House, talk: Conversation) -> None:
    await house.stage.client(KeyValue, "resp").put_items(id="a", items=[PutItem(key=b"", value=b"kv")])
    assert await talk.ask("GET", "a") == b"kv"


@pytest.mark.parametrize("command", ["GET", "STRLEN", "GETDEL", "GETEX"])
async def test_a_hash_is_no_string(talk: Conversation, command: str) -> None:
    await talk.ask("HSET", "h", "f", "1")
    assert await talk.ask(command, "h") == WRONG


async def test_set_replaces_a_hash(talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "1", "g", "2")
    assert await talk.ask("SET", "h", "now") == "OK"
    assert (await talk.ask("GET", "h"), await talk.ask("TYPE", "h")) == (b"now", "string")


async def test_and_leaves_no_field_behind(house: House, talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "1")
    await talk.ask("SET", "h", "now", "PX", 10)
    house.environment.advance(1)
    assert await talk.ask("TYPE", "h") == "none"


async def test_set_drops_the_expiry(talk: Conversation) -> None:
    await talk.ask("SET", "a", "1", "EX", 100)
    await talk.ask("SET", "a", "2")
    assert await talk.ask("TTL", "a") == -1


async def test_unless_it_keeps_it(talk: Conversation) -> None:
    await talk.ask("SET", "a", "1", "EX", 100)
    await talk.ask("SET", "a", "2", "KEEPTTL")
    assert (await talk.ask("GET", "a"), await talk.ask("TTL", "a")) == (b"2", 100)


async def test_also_that_of_a_hash_which_it_replaces(talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "1")
    await talk.ask("EXPIRE", "h", 100)
    await talk.ask("SET", "h", "2", "KEEPTTL")
    assert (await talk.ask("GET", "h"), await talk.ask("TTL", "h")) == (b"2", 100)


@pytest.mark.parametrize(("unit", "amount"), [("EX", 10), ("PX", 10_000)])
async def test_a_value_is_gone_when_its_time_is_over(house: House, talk: Conversation, unit: str, amount: int) -> None:
    await talk.ask("SET", "a", "1", unit, amount)
    house.environment.advance(9.9)
    assert await talk.ask("GET", "a") == b"1"
    house.environment.advance(0.2)
    assert await talk.ask("GET", "a") is None


@pytest.mark.parametrize(("unit", "scale"), [("EXAT", 1_000_000_000), ("PXAT", 1_000_000)])
async def test_or_when_the_instant_has_come(house: House, talk: Conversation, unit: str, scale: int) -> None:
    at = house.environment.now_ns() // scale + 10 * 1_000_000_000 // scale
    await talk.ask("SET", "a", "1", unit, at)
    assert await talk.ask("PEXPIRETIME", "a") == at * scale // 1_000_000


async def test_an_instant_in_the_past_deletes(talk: Conversation) -> None:
    await talk.ask("SET", "a", "1")
    assert await talk.ask("SET", "a", "2", "EXAT", 1) == "OK"
    assert await talk.ask("GET", "a") is None


async def test_setex_and_psetex_expire(talk: Conversation) -> None:
    assert await talk.ask("SETEX", "a", 10, "1") == "OK"
    assert await talk.ask("PSETEX", "b", 10_000, "2") == "OK"
    assert [await talk.ask("TTL", "a"), await talk.ask("TTL", "b")] == [10, 10]


@pytest.mark.parametrize("command", ["SETEX", "PSETEX"])
async def test_a_time_that_is_none_is_refused(talk: Conversation, command: str) -> None:
    assert await talk.ask(command, "a", 0, "1") == Fault(f"ERR invalid expire time in '{command.lower()}' command")


async def test_nx_sets_what_is_not_there(talk: Conversation) -> None:
    assert await talk.ask("SET", "a", "1", "NX") == "OK"
    assert await talk.ask("SET", "a", "2", "NX") is None
    assert await talk.ask("GET", "a") == b"1"


async def test_nx_is_kept_out_by_a_hash(talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "1")
    assert await talk.ask("SET", "h", "2", "NX") is None


async def test_xx_sets_what_is_there(talk: Conversation) -> None:
    assert await talk.ask("SET", "a", "1", "XX") is None
    await talk.ask("SET", "a", "1")
    assert await talk.ask("SET", "a", "2", "XX") == "OK"
    assert await talk.ask("GET", "a") == b"2"


async def test_xx_sets_over_a_hash(talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "1")
    assert await talk.ask("SET", "h", "2", "XX") == "OK"
    assert await talk.ask("GET", "h") == b"2"


async def test_get_returns_the_value_before(talk: Conversation) -> None:
    assert await talk.ask("SET", "a", "1", "GET") is None
    assert await talk.ask("SET", "a", "2", "GET") == b"1"
    assert await talk.ask("SET", "a", "3", "NX", "GET") == b"2"
    assert await talk.ask("GET", "a") == b"2"


async def test_get_over_a_hash_is_wrong(talk: Conversation) -> None:
    await talk.ask("HSET", "h", "f", "1")
    assert await talk.ask("SET", "h", "2", "GET") == WRONG
    assert await talk.ask("GETSET", "h", "2") == WRONG


async def test_setnx_tells_whether_it_set(talk: Conversation) -> None:
    assert [await talk.ask("SETNX", "a", "1"), await talk.ask("SETNX", "a", "2")] == [1, 0]


async def test_getset_returns_the_value_before(talk: Conversation) -> None:
    assert [await talk.ask("GETSET", "a", "1"), await talk.ask("GETSET", "a", "2")] == [None, b"1"]


async def test_getdel_returns_and_deletes(talk: Conversation) -> None:
    await talk.ask("SET", "a", "1")
    assert [await talk.ask("GETDEL", "a"), await talk.ask("GETDEL", "a")] == [b"1", None]


async def test_getex_changes_the_expiry(talk: Conversation) -> None:
    await talk.ask("SET", "a", "1")
    assert await talk.ask("GETEX", "a", "EX", 10) == b"1"
    assert await talk.ask("TTL", "a") == 10
    assert await talk.ask("GETEX", "a") == b"1"
    assert await talk.ask("TTL", "a") == 10
    assert await talk.ask("GETEX", "a", "PERSIST") == b"1"
    assert await talk.ask("TTL", "a") == -1
    assert await talk.ask("GETEX", "a", "PXAT", 5) == b"1"
    assert await talk.ask("GETEX", "a", "EX", 10) is None


async def test_strlen_counts_bytes(talk: Conversation) -> None:
    await talk.ask("SET", "a", "é")
    assert [await talk.ask("STRLEN", "a"), await talk.ask("STRLEN", "b")] == [2, 0]


async def test_mset_sets_each_key_and_the_last_of_two_alike(talk: Conversation) -> None:
    assert await talk.ask("MSET", "a", "1", "b", "2", "a", "3") == "OK"
    assert await talk.ask("MGET", "a", "b") == [b"3", b"2"]


async def test_mset_wants_a_value_for_each_key(talk: Conversation) -> None:
    assert await talk.ask("MSET", "a", "1", "b") == Fault("ERR wrong number of arguments for 'mset' command")


async def test_mset_tells_what_failed(talk: Conversation) -> None:
    reply = await talk.ask("MSET", "a", "1", b"b" * 1_025, "2")
    assert isinstance(reply, Fault)
    assert "1025 bytes" in reply.line
    assert await talk.ask("GET", "a") == b"1"


async def test_mget_has_nothing_for_what_is_no_string(talk: Conversation) -> None:
    await talk.ask("SET", "a", "1")
    await talk.ask("HSET", "h", "f", "1")
    assert await talk.ask("MGET", "a", "h", "x", "a") == [b"1", None, None, b"1"]


async def test_mget_goes_on_over_many_pages(talk: Conversation) -> None:
    for number in range(5):
        await talk.ask("SET", f"k{number}", b"%d" % number * 900_000)
    found = await talk.ask("MGET", *[f"k{number}" for number in range(5)])
    assert [value[:1] for value in found] == [b"0", b"1", b"2", b"3", b"4"]
    assert {len(value) for value in found} == {900_000}


async def test_mget_of_many_keys(talk: Conversation) -> None:
    await talk.ask("MSET", *[word for number in range(1_200) for word in (f"k{number}", number)])
    found = await talk.ask("MGET", *[f"k{number}" for number in range(1_200)])
    assert found == [b"%d" % number for number in range(1_200)]


@pytest.mark.parametrize(
    "words",
    [
        ("SET", "a", "1", "NX"),
        ("SET", "a", "1", "XX"),
        ("SET", "a", "1", "GET"),
        ("SET", "a", "1", "KEEPTTL"),
        ("SETNX", "a", "1"),
        ("GETSET", "a", "1"),
        ("GETDEL", "a"),
        ("GETEX", "a", "EX", "1"),
    ],
)
async def test_what_depends_on_what_is_there_needs_conditional_writes(plain: Conversation, words: tuple[str]) -> None:
    reply = await plain.ask(*words)
    assert isinstance(reply, Fault)
    assert "conditional_writes" in reply.line


async def test_plain_writes_do_not(plain: Conversation) -> None:
    assert await plain.ask("SET", "a", "1", "EX", 10) == "OK"
    assert await plain.ask("MSET", "b", "2") == "OK"
    assert await plain.ask("GETEX", "a") == b"1"
    await plain.ask("HSET", "h", "f", "1")
    assert await plain.ask("SET", "h", "2") == "OK"
    assert await plain.ask("TYPE", "h") == "string"


async def test_of_many_that_set_what_is_not_there_one_does(house: House) -> None:
    talks = [house.talk() for _ in range(20)]
    replies = await asyncio.gather(*(each.ask("SET", "a", number, "NX") for number, each in enumerate(talks)))
    assert sorted(str(reply) for reply in replies) == ["None"] * 19 + ["OK"]


async def test_swaps_form_one_chain(house: House) -> None:
    talks = [house.talk() for _ in range(10)]
    before = await asyncio.gather(*(each.ask("GETSET", "a", number) for number, each in enumerate(talks)))
    last = await talks[0].ask("GET", "a")
    assert sorted([*(value for value in before if value is not None), last]) == [b"%d" % each for each in range(10)]


async def test_a_condition_of_kv_holds_against_the_door(house: House, talk: Conversation) -> None:
    await talk.ask("SET", "a", "1")
    kv = house.stage.client(KeyValue, "resp")
    token = (await kv.get_items(id="a")).items[0].metadata.token
    await kv.put_items(id="a", items=[PutItem(key=b"", value=b"2")], condition=Condition(key=b"", token=token))
    assert await talk.ask("GET", "a") == b"2"


@pytest.mark.parametrize("key", [b"\xff", b"", b"k" * 1_025])
async def test_a_key_that_is_no_id_is_refused(talk: Conversation, key: bytes) -> None:
    for words in [("SET", key, "1"), ("GET", key)]:
        reply = await talk.ask(*words)
        assert isinstance(reply, Fault)
        assert reply.line.startswith("ERR")


async def test_a_value_too_large_for_its_row_is_taken_as_any_other(talk: Conversation) -> None:
    assert await talk.ask("SET", "a", b"x" * (2 << 20)) == "OK"
    assert await talk.ask("GET", "a") == b"x" * (2 << 20)


class TestCompressed:
    """Values that their writer compressed, which a client of Redis cannot undo."""

    REFUSED = Fault(
        "ERR the value was compressed by its writer (zstd), which this door does not undo; read it over HTTP"
    )

    @pytest.fixture(autouse=True)
    async def packed(self, house: House) -> None:
        knobs = {"compression": {"codecs": ["zstd"]}}
        spec = NamespaceSpec(name="resp", abstraction="kv", config=knobs)
        await house.stage.client(Namespaces).put(namespace=spec)
        items = [PutItem(key=b"", value=compress("zstd", b"words " * 50), codec="zstd")]
        await house.stage.client(KeyValue, "resp").put_items(id="packed", items=items)

    @pytest.mark.parametrize(
        "command",
        [
            ("GET", "packed"),
            ("MGET", "other", "packed"),
            ("STRLEN", "packed"),
            ("GETDEL", "packed"),
            ("GETEX", "packed", "EX", "5"),
            ("EXPIRE", "packed", "5"),
            ("SET", "packed", "new", "GET"),
        ],
        ids=lambda command: command[0],
    )
    async def test_what_needs_the_value_is_refused_and_nothing_is_changed(
        self, house: House, talk: Conversation, command: tuple[str, ...]
    ) -> None:
        assert await talk.ask(*command) == self.REFUSED
        (item,) = (await house.stage.client(KeyValue, "resp").get_items(id="packed")).items
        assert (item.value, item.metadata.expires_at) == (b"words " * 50, None)

    async def test_it_exists_and_can_be_replaced_and_deleted(self, talk: Conversation) -> None:
        assert await talk.ask("EXISTS", "packed") == 1
        assert await talk.ask("SET", "packed", "new") == "OK"
        assert await talk.ask("GET", "packed") == b"new"
        assert await talk.ask("DEL", "packed") == 1
