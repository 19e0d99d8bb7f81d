"""What a stream believes of what the driver hands over, and what it gives out."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.driver import KafkaError, KafkaException
from soundstage.engines.log.kafka.failures import failure
from soundstage.engines.log.kafka.lane import Brought, EndOfPartition, Lane, Stream, sorted_by_place, stored
from soundstage.engines.log.kafka.link import Link
from soundstage.engines.log.membership import Place
from soundstage.engines.log.port import Stored

PLACE: Place = ("topic", 0)


def brought(*parts: int | EndOfPartition) -> Brought:
    """Entries of ten bytes at these offsets."""
    found = Brought()
    for part in parts:
        found.parts.append(part if isinstance(part, EndOfPartition) else Stored(part, 0, None, bytes(10)))
        found.size += 0 if isinstance(part, EndOfPartition) else 10
        found.others += isinstance(part, EndOfPartition)
    return found


def begun(offset: int) -> Stream:
    stream = Stream(("topic", 0))
    stream.begin(offset)
    return stream


def offsets(stream: Stream) -> list[int]:
    return [each.offset for each in stream.entries]


def test_what_follows_is_taken() -> None:
    stream = begun(10)
    stream.bring(brought(10, 11, 12))
    assert (offsets(stream), stream.next, stream.gap) == ([10, 11, 12], 13, False)


def test_what_lies_before_is_passed_over() -> None:
    stream = begun(10)
    stream.bring(brought(8, 9, 10))
    assert offsets(stream) == [10]


def test_a_gap_is_remembered() -> None:
    stream = begun(10)
    stream.bring(brought(12, 15))
    assert (offsets(stream), stream.next, stream.gap) == ([12, 15], 16, True)


def test_an_end_after_what_was_not_for_readers_is_where_it_goes_on() -> None:
    stream = begun(10)
    stream.bring(brought(10, EndOfPartition(12)))
    assert (offsets(stream), stream.next) == ([10], 12)


def test_all_is_taken_at_once_when_it_is_within_the_limits() -> None:
    stream = begun(0)
    stream.bring(brought(0, 1, 2))
    taken, size = stream.take(3, 30)
    assert ([each.offset for each in taken], size, stream.first, stream.size) == ([0, 1, 2], 30, 3, 0)


@pytest.mark.parametrize(
    ("entries", "size", "count"), [(2, 1_000, 2), (9, 29, 2), (9, 20, 2), (9, 19, 1), (9, 1, 1), (1, 1, 1)]
)
def test_no_more_is_taken_than_the_limits_say(entries: int, size: int, count: int) -> None:
    stream = begun(0)
    stream.bring(brought(0, 1, 2))
    taken, taken_size = stream.take(entries, size)
    assert (len(taken), taken_size, stream.first, stream.size) == (count, 10 * count, count, 30 - 10 * count)


def test_the_first_of_what_is_left_tells_where_the_next_page_begins() -> None:
    stream = begun(0)
    stream.bring(brought(0, 5, 6))
    stream.take(1, 1_000)
    assert stream.first == 5


def test_beginning_anew_forgets_what_was_there() -> None:
    stream = begun(0)
    stream.bring(brought(0, 5))
    stream.begin(3)
    assert (offsets(stream), stream.first, stream.next, stream.gap, stream.size) == ([], 3, 3, False, 0)


class Message:
    """As the driver hands one over."""

    def __init__(self, topic: str | None, partition: int, offset: int, headers: list[tuple[str, bytes]] | None) -> None:
        self._given = (topic, partition, offset, headers)

    def topic(self) -> str | None:
        return self._given[0]

    def partition(self) -> int:
        return self._given[1]

    def offset(self) -> int:
        return self._given[2]

    def headers(self) -> list[tuple[str, bytes]] | None:
        return self._given[3]

    def error(self) -> None:
        return None

    def __len__(self) -> int:
        return len(self.value() or b"")

    def timestamp(self) -> tuple[int, int]:
        return 1, 7

    def key(self) -> bytes | None:
        return b"key"

    def value(self) -> bytes | None:
        return b"value"


def test_messages_are_sorted_by_place_in_their_order() -> None:
    given = [("a", 0, 1), ("a", 1, 7), ("a", 0, 2), ("b", 0, 3), (None, 0, 0), ("a", 1, 8)]
    found = sorted_by_place([Message(*each, None) for each in given])
    assert {
        place: [part.offset for part in each.parts if isinstance(part, Stored)] for place, each in found.items()
    } == {
        ("a", 0): [1, 2],
        ("a", 1): [7, 8],
        ("b", 0): [3],
    }
    assert found["a", 0].size == 16


def test_what_a_time_has_beyond_its_milliseconds_is_no_header() -> None:
    assert stored(Message("a", 0, 4, None)) == Stored(4, 7_000, b"key", b"value")
    own = [("own", b"1"), ("soundstage-us", b"-990")]
    assert stored(Message("a", 0, 4, own)) == Stored(4, 6_010, b"key", b"value", (("own", b"1"),))


class Idle:
    """A thread that does nothing by itself."""

    def __init__(self, **_settings: Any) -> None:
        """As `threading.Thread`."""

    def start(self) -> None: ...


class Moved:
    """A client of the driver that notes where it was moved to, and that fails where it is `gone`."""

    def __init__(self) -> None:
        self.at: list[int] = []
        self.gone = False

    def incremental_assign(self, places: list[Any]) -> None:
        self.at.append(places[0].offset)

    def seek(self, place: Any) -> None:
        if self.gone:
            raise KafkaException(KafkaError(KafkaError._STATE))
        self.at.append(place.offset)


class TestMoving:
    """Between a move of the client and the word of it nothing is brought that would be passed over."""

    @pytest.fixture
    def client(self) -> Moved:
        return Moved()

    @pytest.fixture
    async def lane(self, client: Moved, monkeypatch: pytest.MonkeyPatch) -> Lane:
        threads = SimpleNamespace(Thread=Idle, Event=threading.Event)
        monkeypatch.setattr("soundstage.engines.log.kafka.lane.threading", threads)

        def consumer(_group: str) -> Moved:
            return client

        link = cast("Link", SimpleNamespace(consumer=consumer))
        return Lane(link, Bridge(), lambda _place: None)

    async def test_a_client_is_moved_and_says_so_in_one_order(self, lane: Lane, client: Moved) -> None:
        stream = lane.stream(PLACE)
        for offset in (5, 9):
            lane.begin(stream, offset)
            assert (len(lane._orders), stream.going) == (1, 1)
            lane._obey()
            await asyncio.sleep(0)
            assert (client.at[-1], stream.next, stream.going) == (offset, offset, 0)

    async def test_one_that_cannot_be_moved_says_so_as_well(self, lane: Lane, client: Moved) -> None:
        stream = lane.stream(PLACE)
        lane.begin(stream, 5)
        client.gone = True
        lane.begin(stream, 9)
        lane._obey()
        await asyncio.sleep(0)
        assert (client.at, stream.going) == ([5], 0)

    async def test_a_stream_that_begins_once_the_client_has_failed_tells_of_it(self, lane: Lane) -> None:
        error = failure(KafkaException(KafkaError(KafkaError._FATAL)), reading=True).error
        lane._fail(error)
        stream = lane.stream(PLACE)
        lane.begin(stream, 5)
        assert stream.error is error
