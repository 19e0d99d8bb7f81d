from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from soundstage.core.errors import Exhausted
from soundstage.engines.cache.memcached import connection as module
from soundstage.engines.cache.memcached.connection import Connection, Reply, Silent, found
from soundstage.engines.cache.port import MISS, UNAVAILABLE, Found, Outcome


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: bytes = b""
        self.aborted: bool = False
        self.ended: asyncio.Event = asyncio.Event()
        self.unsent: int = 0

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        self.aborted = True
        self.ended.set()

    def get_write_buffer_size(self) -> int:
        return self.unsent


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def connection(wire: Wire) -> Connection:
    made = Connection(asyncio.get_running_loop(), 0.01)
    made.connection_made(wire)
    return made


def pieces(data: bytes, chance: random.Random) -> Iterator[bytes]:
    """The data in parts of any size."""
    while data:
        size = chance.randint(1, 9)
        yield data[:size]
        data = data[size:]


async def test_a_request_is_sent_at_once_and_answered(connection: Connection, wire: Wire) -> None:
    asked = connection.ask(b"mg k v\r\n", 1, 30)
    assert wire.written == b"mg k v\r\n"
    connection.data_received(b"VA 3 f1 c7\r\nred\r\n")
    assert await asked == [Reply(b"VA", [b"f1", b"c7"], b"red")]


async def test_replies_go_to_requests_in_their_order(connection: Connection) -> None:
    first, second = connection.ask(b"", 2, 30), connection.ask(b"", 1, 30)
    connection.data_received(b"EN\r\nHD\r\nNS\r\n")
    assert [reply.code for reply in await first] == [b"EN", b"HD"]
    assert [reply.code for reply in await second] == [b"NS"]


@pytest.mark.parametrize("seed", range(20))
async def test_replies_may_come_in_any_pieces(connection: Connection, seed: int) -> None:
    chance = random.Random(seed)
    values = [chance.randbytes(chance.randint(0, 60)) + b"\r\nEN\r\n" for _ in range(10)]
    asked = connection.ask(b"", 20, 30)
    for piece in pieces(b"".join(b"VA %d\r\n%s\r\nEN\r\n" % (len(value), value) for value in values), chance):
        connection.data_received(piece)
    assert [reply.value for reply in await asked if reply.code == b"VA"] == values


ANSWERS = {
    b"VA 3 f1 c7\r\nred\r\n": Found(Outcome.HIT, b"red", 7),
    b"VA 8 f1 c8\r\nEN\r\nEN\r\n\r\n": Found(Outcome.HIT, b"EN\r\nEN\r\n", 8),
    b"VA 0 f1 c9\r\n\r\n": Found(Outcome.HIT, b"", 9),
    b"VA 12 f2 c7\r\nv\0\0\0\0\0\0\0\x05red\r\n": Found(Outcome.HIT, b"red", 7, 5),
    b"VA 4 f0 c7\r\n17  \r\n": Found(Outcome.HIT, b"17", 7),
    b"VA 0 f0 c7 Z\r\n\r\n": MISS,
    b"EN\r\n": MISS,
    b"SERVER_ERROR out of memory writing get response\r\n": UNAVAILABLE,
}
"""What a get hears of one key, and what that means."""


@pytest.mark.parametrize("seed", range(40))
async def test_a_batch_is_what_its_replies_are_whatever_is_among_them_and_however_it_comes(
    connection: Connection, seed: int
) -> None:
    chance = random.Random(seed)
    batches = [chance.choices(list(ANSWERS), k=chance.randint(1, 12)) for _ in range(4)]
    asked = [connection.get(b"", len(batch), 30) for batch in batches]
    data = b"".join(b"".join(batch) for batch in batches)
    for piece in pieces(data, chance) if seed % 4 else [data]:
        connection.data_received(piece)
    assert await asyncio.gather(*asked) == [[ANSWERS[reply] for reply in batch] for batch in batches]


async def test_numbers_and_marks_are_read_from_flags() -> None:
    reply = Reply(b"HD", [b"c17", b"W"])
    assert (reply.number(b"c"), reply.number(b"f"), reply.has(b"W"), reply.has(b"Z")) == (17, 0, True, False)


async def test_what_is_out_of_time_hears_so_and_its_late_reply_is_dropped(connection: Connection) -> None:
    late = connection.ask(b"", 1, 0)
    other = connection.ask(b"", 1, 30)
    connection.data_received(b"")
    with pytest.raises(Silent) as caught:
        await late
    assert caught.value.sent
    connection.data_received(b"EN\r\nHD\r\n")
    assert [reply.code for reply in await other] == [b"HD"]


async def test_a_caller_who_left_takes_no_others_reply(connection: Connection) -> None:
    left, stayed = connection.ask(b"", 1, 30), connection.ask(b"", 1, 30)
    left.cancel()
    connection.data_received(b"EN\r\nHD\r\n")
    assert [reply.code for reply in await stayed] == [b"HD"]


async def test_a_server_that_says_nothing_is_given_up(connection: Connection, wire: Wire) -> None:
    with pytest.raises(Silent):
        await connection.ask(b"", 1, 0.001)
    await wire.ended.wait()
    assert connection.closed


async def test_a_connection_that_ends_tells_all_who_wait(connection: Connection) -> None:
    asked = [connection.ask(b"", 1, 30) for _ in range(3)]
    connection.connection_lost(None)
    assert all(isinstance(each, Silent) for each in await asyncio.gather(*asked, return_exceptions=True))


async def test_a_closed_connection_sends_nothing(connection: Connection, wire: Wire) -> None:
    connection.close()
    with pytest.raises(Silent) as caught:
        await connection.ask(b"mg k\r\n", 1, 30)
    assert not caught.value.sent
    assert wire.written == b""


@pytest.mark.parametrize(
    "data", [b"VA x\r\n", b"VA\r\n", b"EN\r\nEN\r\n", b"x" * 3_000], ids=["size", "no size", "unasked", "no end"]
)
async def test_what_cannot_be_understood_ends_the_connection(connection: Connection, wire: Wire, data: bytes) -> None:
    asked = connection.ask(b"", 1, 30)
    connection.data_received(data)
    assert connection.closed
    assert wire.aborted
    await asyncio.gather(asked, return_exceptions=True)


async def test_more_requests_than_may_be_under_way_are_refused(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_FLIGHT_MAX", 2)
    asked = [connection.ask(b"", 1, 30) for _ in range(2)]
    with pytest.raises(Exhausted, match="under way"):
        connection.ask(b"", 1, 30)
    connection.close()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_a_server_that_takes_nothing_is_not_written_to_without_end(connection: Connection, wire: Wire) -> None:
    wire.unsent = module.UNSENT_MAX_BYTES + 1
    with pytest.raises(Exhausted):
        connection.ask(b"", 1, 30)


@pytest.mark.parametrize(
    ("line", "value", "expected"),
    [
        (b"VA 3 f1 c7", b"red", Found(Outcome.HIT, b"red", 7)),
        (b"VA 12 f2 c7", b"v\0\0\0\0\0\0\0\x05red", Found(Outcome.HIT, b"red", 7, 5)),
        (b"VA 4 f0 c7", b"17  ", Found(Outcome.HIT, b"17", 7)),
        (b"VA 0 f0 c7 Z", b"", MISS),
        (b"VA 0 f1 c7", b"", Found(Outcome.HIT, b"", 7)),
        (b"EN", b"", MISS),
        (b"SERVER_ERROR out of memory", b"", UNAVAILABLE),
    ],
)
def test_what_a_get_found_is_read(line: bytes, value: bytes, expected: Found) -> None:
    assert found(line.split(b" "), value) == expected


def test_an_answer_to_something_else_is_no_answer() -> None:
    with pytest.raises(ValueError, match="no answer to a get"):
        found([b"STORED"], b"")


async def test_requests_of_one_turn_go_out_together_behind_the_first(connection: Connection, wire: Wire) -> None:
    asked = [connection.get(b"%d;" % number, 1, 30) for number in range(4)]
    assert wire.written == b"0;"
    await asyncio.sleep(0)
    assert wire.written == b"0;1;2;3;"
    connection.data_received(b"EN\r\n" * 4)
    assert await asyncio.gather(*asked) == [[MISS]] * 4
