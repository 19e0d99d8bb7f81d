"""One connection: order, batches, what is malformed, slow readers, and ends."""

from __future__ import annotations

import asyncio
import logging
from random import Random
from typing import Any

import pytest
from tests.data.kv.resp.conversation import Conversation, Fault, House, encoded, housed

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.namespace import NamespaceSpec, Quotas
from soundstage.core.time import Duration
from soundstage.data.kv import KeyValue
from soundstage.data.kv.resp import connection as module
from soundstage.data.kv.resp.connection import READ_AHEAD_BYTES
from soundstage.runtime.namespaces.api import Namespaces


async def test_commands_sent_at_once_are_answered_in_order_in_one_write(talk: Conversation) -> None:
    replies = await talk.ask_all(("SET", "a", "1"), ("GET", "a"), ("SET", "a", "2"), ("GET", "a"), ("PING",))
    assert replies == ["OK", b"1", "OK", b"2", "PONG"]
    assert talk.wire.writes == 1


async def test_the_last_of_many_writes_to_a_key_stays(talk: Conversation) -> None:
    await talk.ask_all(*[("SET", "a", number) for number in range(300)])
    assert await talk.ask("GET", "a") == b"299"


async def test_errors_do_not_stop_what_follows(talk: Conversation) -> None:
    replies = await talk.ask_all(("SET", "a", "1"), ("HGET", "a", "f"), ("FOO",), ("SET", "b"), ("GET", "a"))
    assert [type(reply) for reply in replies] == [str, Fault, Fault, Fault, bytes]


async def test_many_commands_are_all_answered(talk: Conversation) -> None:
    commands = [("SET", f"k{number % 50}", number) for number in range(2_000)]
    assert await talk.ask_all(*commands) == ["OK"] * 2_000
    assert await talk.ask("GET", "k49") == b"1999"


async def test_writes_to_different_keys_are_answered_each_for_itself(talk: Conversation) -> None:
    await talk.ask("SET", "s", "1")
    replies = await talk.ask_all(
        ("SET", "a", "1"),
        ("HSET", "h", "f", "1"),
        ("HSET", "s", "f", "1"),
        ("DEL", "a"),
        ("SETNX", "b", "1"),
        ("GET", "a"),
    )
    assert [reply if not isinstance(reply, Fault) else "fault" for reply in replies] == ["OK", 1, "fault", 1, 1, None]


@pytest.mark.parametrize(
    ("commands", "taken"),
    [
        ([("SET", "a", "1"), ("SET", "b", "1")], [True, True]),
        ([("SET", "a", "1"), ("SET", "a", "1")], [True, False]),
        ([("HSET", "a", "f", "1"), ("HSET", "a", "g", "1")], [True, True]),
        ([("HSET", "a", "f", "1"), ("HSET", "a", "f", "2")], [True, False]),
        ([("HSET", "a", "f", "1"), ("HSET", "a", "g", "1", "h", "1")], [True, False]),
        ([("HSET", "a", "f", "1"), ("DEL", "a")], [True, False]),
        ([("SET", "a", "1"), ("HSET", "a", "f", "1")], [True, False]),
        ([("hset", "a", "f", "1"), ("HSET", "b", "f", "1")], [True, True]),
    ],
)
def test_what_writes_to_the_same_waits_for_its_turn(commands: list[tuple[str, ...]], taken: list[bool]) -> None:
    written = module.Written()
    assert [written.takes([word.encode() for word in command]) for command in commands] == taken


async def test_fields_of_one_hash_are_set_together_and_counted_each(talk: Conversation) -> None:
    fields: list[tuple[Any, ...]] = [("HSET", "h", f"f{number % 30}", number) for number in range(90)]
    assert await talk.ask_all(*fields) == [1] * 30 + [0] * 60
    assert await talk.ask("HGET", "h", "f29") == b"89"


async def test_a_read_waits_for_the_writes_before_it(talk: Conversation) -> None:
    commands: list[tuple[Any, ...]] = [("SET", f"k{number}", number) for number in range(100)]
    assert (await talk.ask_all(*commands, ("DBSIZE",)))[-1] == 100


async def test_commands_typed_by_hand_are_answered(talk: Conversation) -> None:
    assert await talk.raw(b'SET a "b c"\r\nGET a\r\n\r\nPING\r\n') == ["OK", b"b c", "PONG"]


async def test_half_a_command_waits_for_its_rest(talk: Conversation) -> None:
    whole = encoded("SET", "a", "x" * 100)
    assert await talk.raw(whole[:50]) == []
    assert talk.door.context.statistics.buffered > 0
    assert await talk.raw(whole[50:]) == ["OK"]
    assert talk.door.context.statistics.buffered == 0


@pytest.mark.parametrize("data", [b"*x\r\n", b"*1\r\n:1\r\n", b"*1\r\n$99999999999\r\n", b'get "\r\n', b"*2\r\n*1\r\n"])
async def test_what_is_malformed_is_told_and_closes(talk: Conversation, data: bytes) -> None:
    replies = await talk.raw(encoded("SET", "a", "1") + data + encoded("SET", "a", "2"))
    assert replies[0] == "OK"
    assert replies[1].line.startswith("ERR Protocol error")
    assert len(replies) == 2
    assert talk.wire.closed


async def test_nothing_is_read_after_it(house: House, talk: Conversation) -> None:
    await talk.raw(b"*x\r\n")
    assert await talk.raw(encoded("SET", "a", "1")) == []
    assert await house.talk().ask("GET", "a") is None


class TestBrowsers:
    POST = b"POST / HTTP/1.1\r\nHost: localhost:6379\r\nContent-Length: 15\r\n\r\nSET pwned yes\r\n"
    PUT = POST.replace(b"POST", b"PUT")

    @pytest.mark.parametrize("request_", [POST, PUT, POST.replace(b"POST", b"GET")])
    async def test_nothing_of_what_a_page_sends_is_run(self, house: House, talk: Conversation, request_: bytes) -> None:
        replies = await talk.raw(request_)
        assert replies[-1].line.startswith("ERR Protocol error: this is HTTP")
        assert talk.wire.closed
        assert await house.talk().ask("GET", "pwned") is None
        assert house.door.context.statistics.failures["foreign"] == 1

    async def test_nor_when_it_comes_in_pieces(self, house: House, talk: Conversation) -> None:
        for byte in self.POST:
            talk.connection.data_received(bytes([byte]))
        await talk.replies()
        assert talk.wire.closed
        assert await house.talk().ask("GET", "pwned") is None

    async def test_the_log_says_so_once_a_minute(self, house: House, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "soundstage.data.kv.resp"):
            for seconds in (0, 1, 60):
                house.environment.advance(seconds)
                await house.talk().raw(self.POST)
        assert ["spoke HTTP" in record.message for record in caplog.records] == [True, True]


async def test_deep_arrays_are_malformed(talk: Conversation) -> None:
    (reply,) = await talk.raw(b"*1\r\n" * 10_000)
    assert reply.line.startswith("ERR Protocol error")


async def test_a_command_over_the_bound_is_malformed(environment: VirtualEnvironment) -> None:
    async with housed(environment, {"max_request": "64KiB", "max_arguments": 16}) as house:
        assert (await house.talk().ask("SET", "a", b"x" * 70_000)).line.startswith("ERR Protocol error")
        assert (await house.talk().ask("DEL", *["x"] * 16)).line.startswith("ERR Protocol error")
        assert await house.talk().ask("SET", "a", b"x" * 60_000) == "OK"


async def test_what_is_half_there_is_bounded_over_all_connections(environment: VirtualEnvironment) -> None:
    async with housed(environment, {"max_buffered": "64KiB"}) as house:
        first, second = house.talk(), house.talk()
        half = encoded("SET", "a", b"x" * 100_000)
        assert await first.raw(half[:60_000]) == []
        (reply,) = await second.raw(half[:60_000])
        assert reply.line.startswith("ERR too much of what all connections sent")
        assert second.wire.closed
        second.lose()
        first.lose()
        assert house.door.context.statistics.buffered == 0


async def test_whole_commands_that_wait_are_counted_too(environment: VirtualEnvironment) -> None:
    async with housed(environment, {"max_buffered": "1MiB"}) as house:
        first, second = house.talk(), house.talk()
        await first.ask("SET", "a", "1")
        first.wire.takes = False
        first.connection.data_received(encoded("GET", "a") * 20)
        await asyncio.sleep(0)
        first.connection.data_received(encoded("SET", "b", b"x" * 700_000))
        assert house.door.context.statistics.buffered > 700_000
        (reply,) = await second.raw(encoded("SET", "c", b"x" * 700_000)[:600_000])
        assert reply.line.startswith("ERR too much of what all connections sent")
        second.lose()
        first.wire.takes = True
        first.connection.resume_writing()
        assert len(await first.replies()) == 21
        assert house.door.context.statistics.buffered == 0


class TestSlowReaders:
    async def test_few_large_commands_stop_reading_as_many_small_ones_do(self, talk: Conversation) -> None:
        talk.wire.takes = False
        talk.connection.data_received(encoded("GET", "a") * 20)
        await asyncio.sleep(0)
        for _ in range(2):
            talk.connection.data_received(encoded("SET", "b", b"x" * (READ_AHEAD_BYTES // 2)))
        assert talk.wire.paused
        talk.wire.takes = True
        talk.connection.resume_writing()
        assert len(await talk.replies()) == 22
        assert not talk.wire.paused

    async def test_no_reply_is_made_for_a_peer_that_takes_none(self, talk: Conversation) -> None:
        await talk.ask("SET", "a", b"x" * 1_000)
        talk.wire.takes = False
        talk.connection.data_received(encoded("GET", "a") * 50)
        talk.connection.data_received(encoded("GET", "a") * 1_000)
        for _ in range(50):
            await asyncio.sleep(0)
        assert talk.connection.is_busy
        assert len(talk.wire.written) < 300_000
        assert talk.wire.paused
        talk.wire.takes = True
        talk.connection.resume_writing()
        assert len(await talk.replies()) == 1_050
        assert not talk.wire.paused

    async def test_a_peer_that_goes_meanwhile_is_forgotten(self, talk: Conversation) -> None:
        talk.wire.takes = False
        talk.connection.data_received(encoded("PING") * 1_000)
        talk.lose()
        await talk.replies()
        assert not talk.connection.is_busy
        assert talk.door.connections == {}


class TestEnds:
    async def test_a_peer_that_says_no_more_is_answered(self, talk: Conversation) -> None:
        talk.connection.data_received(encoded("SET", "a", "1") + encoded("GET", "a"))
        talk.connection.eof_received()
        assert await talk.replies() == ["OK", b"1"]
        assert talk.wire.closed

    async def test_a_door_that_closes_answers_what_it_was_asked(self, talk: Conversation) -> None:
        talk.connection.data_received(encoded("SET", "a", "1") * 300 + encoded("SET", "b", "2")[:10])
        talk.connection.drain()
        assert await talk.replies() == ["OK"] * 300
        assert talk.wire.closed

    async def test_and_nothing_more(self, house: House, talk: Conversation) -> None:
        talk.connection.drain()
        assert await talk.raw(encoded("SET", "a", "1")) == []
        assert await house.talk().ask("GET", "a") is None

    async def test_a_lost_connection_ends_after_the_command_under_way(self, house: House, talk: Conversation) -> None:
        talk.connection.data_received(b"".join(encoded("SET", f"k{number}", "1") for number in range(500)))
        talk.lose()
        await talk.replies()
        assert house.door.connections == {}
        assert house.door.context.statistics.connections == 0

    async def test_whoever_is_too_many_is_told(self, environment: VirtualEnvironment) -> None:
        async with housed(environment, {"max_connections": 1}) as house:
            first, second = house.talk(), house.talk()
            assert bytes(second.wire.written).startswith(b"-ERR max number of clients reached")
            assert second.wire.closed
            assert await first.ask("PING") == "PONG"


class TestFailures:
    @pytest.fixture
    async def gone(self, house: House) -> Conversation:
        """A connection to a namespace that was deleted."""
        talk = house.talk()
        await talk.ask("SET", "a", "1")
        await house.stage.client(Namespaces).delete(name="resp")
        return talk

    async def test_a_namespace_that_is_gone_is_told(self, gone: Conversation) -> None:
        for words in [("GET", "a"), ("SET", "a", "1"), ("HSET", "h", "f", "1"), ("DEL", "a"), ("SCAN", "0")]:
            reply = await gone.ask(*words)
            assert reply.line.startswith("NOTFOUND there is no namespace 'resp'")

    async def test_failures_are_counted_by_their_code(self, gone: Conversation) -> None:
        await gone.ask("GET", "a")
        await gone.ask("FOO")
        assert gone.door.context.statistics.failures == {"not_found": 1, "ERR": 1}

    async def test_a_defect_is_told_by_its_id_alone(
        self, talk: Conversation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def broken(client: Any, arguments: list[bytes]) -> bytes:
            raise RuntimeError("secret")

        command = module.COMMANDS[b"GET"]
        monkeypatch.setitem(module.COMMANDS, b"GET", command._replace(answer=broken))
        with caplog.at_level(logging.ERROR, "soundstage.data.kv.resp"):
            reply = await talk.ask("GET", "a")
        assert reply.line.startswith("INTERNAL")
        assert "secret" not in reply.line
        assert vars(caplog.records[-1])["request_id"] in reply.line
        assert await talk.ask("PING") == "PONG"

    async def test_a_quota_is_told_with_the_time_to_wait(self, house: House, talk: Conversation) -> None:
        quotas = Quotas(reads_per_second=1, burst=Duration.parse("1s"))
        spec = NamespaceSpec(name="resp", abstraction="kv", quotas=quotas)
        await house.stage.client(Namespaces).put(namespace=spec)
        replies = [await talk.ask("HGET", "h", "f") for _ in range(4)]
        assert replies[-1].line.startswith("EXHAUSTED")
        assert "retry after" in replies[-1].line


async def test_what_one_connection_writes_another_reads(house: House, talk: Conversation) -> None:
    await talk.ask("SET", "a", "1")
    assert await house.talk().ask("GET", "a") == b"1"
    assert (await house.stage.client(KeyValue, "resp").get_items(id="a")).items[0].value == b"1"


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_bytes_come_the_door_answers_in_its_protocol_and_goes_on(house: House, seed: int) -> None:
    draw = Random(seed)
    parts = [
        b"*",
        b"$",
        b"\r\n",
        b"-1",
        b"0",
        b"2",
        b"3",
        b"GET",
        b"SET",
        b"a",
        b"HSET",
        b"SCAN",
        b'"',
        b"\xff",
        b" ",
        b"\n",
    ]
    for _ in range(60):
        talk = house.talk()
        data = b"".join(draw.choice(parts) for _ in range(draw.randrange(1, 40)))
        if draw.random() < 0.5:
            data = encoded("SET", "a", "1") + data
        for start in range(0, len(data), 7):
            talk.connection.data_received(data[start : start + 7])
        await talk.replies()
        talk.connection.eof_received()
        await talk.replies()
        assert talk.wire.closed
        talk.lose()
    assert house.door.context.statistics.buffered == 0
    assert await house.talk().ask("PING") == "PONG"


class TestOutbox:
    async def test_a_reply_leaves_at_the_end_of_its_turn(self, talk: Conversation) -> None:
        talk.send("PING")
        assert talk.wire.writes == 0
        await asyncio.sleep(0)
        assert (talk.wire.writes, bytes(talk.wire.written)) == (1, b"+PONG\r\n")

    async def test_a_second_reply_of_the_turn_leaves_with_it(self, talk: Conversation) -> None:
        talk.send("PING")
        talk.send("ECHO", "a")
        await asyncio.sleep(0)
        assert (talk.wire.writes, await talk.replies()) == (1, ["PONG", b"a"])

    async def test_a_large_reply_leaves_at_once_and_behind_the_small_ones(self, talk: Conversation) -> None:
        talk.send("PING")
        talk.send("ECHO", b"x" * 5_000)
        assert talk.wire.writes == 1
        assert await talk.replies() == ["PONG", b"x" * 5_000]

    async def test_a_connection_that_closes_is_told_first(self, talk: Conversation) -> None:
        talk.send("QUIT")
        assert talk.wire.closed
        assert bytes(talk.wire.written) == b"+OK\r\n"

    async def test_a_connection_that_is_gone_is_told_nothing(self, talk: Conversation) -> None:
        talk.send("PING")
        talk.lose()
        await asyncio.sleep(0)
        assert talk.wire.writes == 0
