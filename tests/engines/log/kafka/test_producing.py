"""Appends that no broker takes: how they end, and how many may be under way at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from soundstage.core.errors import DeadlineExceeded, Exhausted, Forbidden, NotFound, Unavailable
from soundstage.engines.log.kafka import Link, parse_address
from soundstage.engines.log.kafka import producing as module
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.driver import KafkaError, KafkaException, code_of
from soundstage.engines.log.kafka.producing import Arrivals, Producing
from soundstage.engines.log.port import Entry, Spot
from soundstage.servers.ports import free_port

MIB = 1 << 20
SOON_S = 0.05


@pytest.fixture
async def bridge() -> Bridge:
    return Bridge()


def link(query: str = "") -> Link:
    """To a broker that is not there."""
    port = free_port(["127.0.0.1"], random.Random(), set())
    return Link(parse_address("test", urlsplit(f"kafka://127.0.0.1:{port}?{query}"), {}, None))


async def opened(bridge: Bridge, patience_s: float) -> AsyncIterator[Producing]:
    """One MiB may be under way, and two appends wait."""
    found = Producing(link(f"in_flight={MIB}&waiting=2&patience_s={patience_s}"), bridge)
    yield found
    bridge.close()
    await found.close()


@pytest.fixture
async def producing(monkeypatch: pytest.MonkeyPatch, bridge: Bridge) -> AsyncIterator[Producing]:
    monkeypatch.setattr(module, "FLUSH_S", 0.01)
    async for each in opened(bridge, 60):
        yield each


@pytest.fixture
async def impatient(monkeypatch: pytest.MonkeyPatch, bridge: Bridge) -> AsyncIterator[Producing]:
    monkeypatch.setattr(module, "FLUSH_S", 0.01)
    async for each in opened(bridge, SOON_S):
        yield each


async def append(producing: Producing, size: int, left_s: float | None = None, place: int = 0) -> list[Spot]:
    return await producing.append("topic", [Entry(bytes(size))], [place], 1_000_000, size, left_s)


async def test_an_append_that_nobody_takes_ends_at_its_deadline(producing: Producing) -> None:
    with pytest.raises(DeadlineExceeded) as refused:
        await append(producing, 10, SOON_S)
    assert refused.value.outcome == "unknown"


async def test_an_append_without_a_deadline_ends_when_patience_does(impatient: Producing) -> None:
    with pytest.raises(Unavailable) as refused:
        await append(impatient, 10)
    assert (refused.value.outcome, refused.value.retryable) == ("unknown", True)


async def test_patience_ends_for_who_has_no_turn_too(impatient: Producing) -> None:
    first = asyncio.ensure_future(append(impatient, MIB, 60))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as refused:
        await append(impatient, 10)
    assert refused.value.outcome == "not_applied"
    first.cancel()


async def test_a_deadline_may_be_later_than_patience(impatient: Producing) -> None:
    with pytest.raises(DeadlineExceeded):
        await append(impatient, 10, 2 * SOON_S)


async def test_an_append_that_never_had_its_turn_was_not_made(producing: Producing) -> None:
    first = asyncio.ensure_future(append(producing, MIB))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded) as refused:
        await append(producing, 10, SOON_S)
    assert refused.value.outcome == "not_applied"
    first.cancel()


async def test_no_more_wait_than_are_allowed_to(producing: Producing) -> None:
    waiting = [asyncio.ensure_future(append(producing, MIB)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Exhausted) as refused:
        await append(producing, 10)
    assert (refused.value.outcome, refused.value.retry_after_ms) == ("not_applied", 100)
    for each in waiting:
        each.cancel()


async def test_who_left_takes_no_turn(producing: Producing) -> None:
    first, second, third = (asyncio.ensure_future(append(producing, MIB)) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    fourth = asyncio.ensure_future(append(producing, MIB))
    await asyncio.sleep(0)
    assert not fourth.done()
    with pytest.raises(Exhausted):
        await append(producing, 10)
    for each in (first, third, fourth):
        each.cancel()


async def test_who_waited_in_vain_does_not_count_as_one_that_waits(impatient: Producing) -> None:
    under_way = asyncio.ensure_future(append(impatient, MIB, 60))
    await asyncio.sleep(0)
    refused = [(await asyncio.gather(append(impatient, 10), return_exceptions=True))[0] for _ in range(4)]
    assert [type(each) for each in refused] == [Unavailable] * 4
    under_way.cancel()


async def test_who_leaves_makes_way_for_a_smaller_one(producing: Producing) -> None:
    under_way = asyncio.ensure_future(append(producing, MIB // 2))
    await asyncio.sleep(0)
    large, small = (asyncio.ensure_future(append(producing, size, place=1)) for size in (MIB, 10))
    await asyncio.sleep(0)
    large.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    refused = await asyncio.gather(append(producing, 10, SOON_S, place=2), return_exceptions=True)
    assert [each.outcome for each in refused if isinstance(each, DeadlineExceeded)] == ["unknown"]
    for each in (under_way, small):
        each.cancel()


async def test_who_waits_when_it_closes_is_told(producing: Producing) -> None:
    waiting = [asyncio.ensure_future(append(producing, MIB)) for _ in range(2)]
    await asyncio.sleep(0)
    await producing.close()
    with pytest.raises(Unavailable):
        await waiting[1]
    waiting[0].cancel()
    with pytest.raises(Unavailable):
        await append(producing, 10)


async def test_what_comes_while_the_engine_stops_is_not_sent(
    producing: Producing, bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[object] = []

    def produce(*given: object) -> None:
        sent.append(given)

    monkeypatch.setattr(module, "produce", produce)
    bridge.close()
    with pytest.raises(Unavailable) as refused:
        await append(producing, 10)
    assert (refused.value.outcome, sent) == ("not_applied", [])


class Dead:
    """What the driver calls a producer, after something that it does not get over: each call raises, or tells so."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._hear = settings["error_cb"]
        self._heard: list[Any] = []

    def produce(self, *given: Any) -> None:
        self._heard.append(given[4])

    def poll(self, _timeout_s: float) -> int:
        heard, self._heard = self._heard, []
        for each in heard:
            self._hear(KafkaError(code_of("CLUSTER_AUTHORIZATION_FAILED"), "no right to append", True))
            each(KafkaError(code_of("_FATAL"), "fatal", True), None)
        return len(heard)

    def flush(self, _timeout_s: float) -> None:
        raise KafkaException(KafkaError(code_of("_FATAL"), "fatal", True))

    def purge(self, blocking: bool = True) -> None:
        raise KafkaException(KafkaError(code_of("_FATAL"), "fatal", True))


class Slow:
    """A producer whose entries arrive when they are told to, or are given up when it is purged.

    It raises `fatal` once when it is asked what became of entries, and keeps in `sent` what it was ever given.
    """

    def __init__(self, _settings: dict[str, Any]) -> None:
        self.kept: list[Any] = []
        self.sent: list[tuple[int, bytes]] = []
        self.fatal: Any = None
        self.came: asyncio.Event = asyncio.Event()
        self._told: list[tuple[Any, Any, Any]] = []

    def __len__(self) -> int:
        return len(self.kept) + len(self._told)

    def produce(self, *given: Any) -> None:
        self.kept.append(given[4])
        self.sent.append((given[3], given[1]))
        self.came.set()

    def arrive(self, first: int | None = 0, place: int = 0) -> None:
        """All that is kept is at `place`, from the offset `first` on; None: Kafka says that it had it before."""
        self.came.clear()
        numbers = range(len(self.kept))
        offsets = [None if first is None else first + number for number in numbers]
        self._told = [(heard, None, Message(place, at)) for at, heard in zip(offsets, self.kept, strict=True)]
        self.kept = []

    def arrive_one(self, offset: int) -> None:
        """The first of what is kept is there."""
        self.came.clear()
        self._told.append((self.kept.pop(0), None, Message(0, offset)))

    def fail(self, code: str) -> None:
        self.came.clear()
        self._told = [(heard, KafkaError(code_of(code)), None) for heard in self.kept]
        self.kept = []

    def purge(self, blocking: bool = True) -> None:
        self._told = [(heard, KafkaError(code_of("_PURGE_INFLIGHT")), None) for heard in self.kept]
        self.kept = []

    def poll(self, _timeout_s: float) -> int:
        fatal, self.fatal = self.fatal, None
        if fatal is not None:
            raise fatal
        told, self._told = self._told, []
        for heard, error, message in told:
            heard(error, message)
        return len(told)

    def flush(self, _timeout_s: float) -> None:
        self.poll(0)


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[Slow]:
    """The producers that were made."""
    found: list[Slow] = []

    def made(settings: dict[str, Any]) -> Slow:
        found.append(Slow(settings))
        return found[-1]

    monkeypatch.setattr("soundstage.engines.log.kafka.link.root", SimpleNamespace(Producer=made))
    return found


async def test_appends_that_come_one_after_another_are_heard_of_no_later(
    monkeypatch: pytest.MonkeyPatch, bridge: Bridge, clients: list[Slow]
) -> None:
    producing = await known(bridge, clients)
    monkeypatch.setattr(module, "SERVE_LAST_S", 3_600)
    monkeypatch.setattr(module, "SERVE_LATER", 10)
    calls = [asyncio.ensure_future(append(producing, 10)) for _ in range(20)]
    await asyncio.sleep(0)
    clients[0].arrive()
    async with asyncio.timeout(30):
        assert await asyncio.gather(*calls) == [[Spot(0, offset)] for offset in range(20)]
    await producing.close()


async def test_what_a_call_gave_up_takes_up_room_until_kafka_has_decided(bridge: Bridge, clients: list[Slow]) -> None:
    producing = Producing(link(f"in_flight={MIB}"), bridge)
    with pytest.raises(DeadlineExceeded) as given_up:
        await append(producing, MIB, SOON_S)
    with pytest.raises(DeadlineExceeded) as refused:
        await append(producing, MIB, SOON_S)
    clients[0].arrive()
    waiting = asyncio.ensure_future(append(producing, MIB))
    await clients[0].came.wait()
    clients[0].arrive()
    assert await waiting == [Spot(0, 0)]
    assert [each.value.outcome for each in (given_up, refused)] == ["unknown", "not_applied"]
    assert len(clients) == 1
    await producing.close()


async def test_a_client_that_appends_no_more_keeps_nothing(bridge: Bridge, clients: list[Slow]) -> None:
    producing = await known(bridge, clients)
    calls = [asyncio.ensure_future(append(producing, 10)) for _ in range(2)]
    await asyncio.sleep(0)
    first = clients[0].kept.pop(0)
    first(KafkaError(code_of("_FATAL"), "fatal", True), None)
    calls.append(asyncio.ensure_future(append(producing, 10)))
    await asyncio.sleep(0)
    clients[1].arrive()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in ended] == [Unavailable, Unavailable, list]
    assert [each.outcome for each in ended if isinstance(each, Unavailable)] == ["unknown", "unknown"]
    await producing.close()


async def test_a_topic_that_a_broker_does_not_know_may_have_it_yet(bridge: Bridge, clients: list[Slow]) -> None:
    producing = Producing(link(), bridge)
    waiting = asyncio.ensure_future(append(producing, 10))
    await clients[0].came.wait()
    clients[0].kept.pop()(KafkaError(code_of("UNKNOWN_TOPIC_OR_PART")), None)
    with pytest.raises(NotFound) as refused:
        await waiting
    assert refused.value.outcome == "unknown"
    await producing.close()


async def test_what_is_under_way_when_it_closes_is_not_waited_for_long(bridge: Bridge, clients: list[Slow]) -> None:
    producing = Producing(link(), bridge)
    waiting = asyncio.ensure_future(append(producing, 10))
    await clients[0].came.wait()
    await producing.close()
    with pytest.raises(Unavailable) as refused:
        await waiting
    assert refused.value.outcome == "unknown"


async def test_a_client_that_may_not_append_says_why_and_is_closed_all_the_same(
    monkeypatch: pytest.MonkeyPatch, bridge: Bridge
) -> None:
    monkeypatch.setattr("soundstage.engines.log.kafka.link.root", SimpleNamespace(Producer=Dead))
    producing = Producing(Link(parse_address("test", urlsplit("kafka://127.0.0.1"), {}, None)), bridge)
    with pytest.raises(Forbidden) as refused:
        await append(producing, 10)
    assert (refused.value.retryable, refused.value.outcome) == (False, "unknown")
    await producing.close()


async def known(bridge: Bridge, clients: list[Slow]) -> Producing:
    """One whose client has appended to the first partition of `topic`."""
    producing = Producing(link(), bridge)
    first = asyncio.ensure_future(append(producing, 10))
    await clients[-1].came.wait()
    clients[-1].arrive()
    await first
    clients[-1].sent.clear()
    return producing


def several(producing: Producing, *values: bytes, places: Sequence[int] | None = None) -> asyncio.Task[list[Spot]]:
    """A call of so many entries, to the first partition, if no others are said."""
    entries = [Entry(value) for value in values]
    return asyncio.ensure_future(
        producing.append("topic", entries, places or [0] * len(entries), 1_000_000, 10 * len(entries), 60)
    )


class TestOpening:
    async def test_what_comes_first_to_a_partition_goes_alone(self, bridge: Bridge, clients: list[Slow]) -> None:
        producing = Producing(link(), bridge)
        call = several(producing, b"a", b"b", b"c")
        await clients[0].came.wait()
        alone = list(clients[0].sent)
        clients[0].arrive(7)
        await clients[0].came.wait()
        clients[0].arrive(8)
        assert await call == [Spot(0, 7), Spot(0, 8), Spot(0, 9)]
        assert (alone, clients[0].sent) == ([(0, b"a")], [(0, b"a"), (0, b"b"), (0, b"c")])
        await producing.close()

    async def test_one_entry_goes_to_each_partition_that_is_new(self, bridge: Bridge, clients: list[Slow]) -> None:
        producing = await known(bridge, clients)
        call = several(producing, b"a", b"b", b"c", b"d", b"e", places=[0, 1, 1, 2, 0])
        await clients[0].came.wait()
        assert clients[0].sent == [(1, b"b"), (2, b"d")]
        call.cancel()
        await producing.close()

    async def test_where_it_is_known_all_goes_at_once(self, bridge: Bridge, clients: list[Slow]) -> None:
        producing = await known(bridge, clients)
        call = several(producing, b"a", b"b")
        await clients[0].came.wait()
        sent = list(clients[0].sent)
        clients[0].arrive(3)
        assert (await call, sent) == ([Spot(0, 3), Spot(0, 4)], [(0, b"a"), (0, b"b")])
        await producing.close()

    async def test_others_wait_until_the_first_is_there(self, bridge: Bridge, clients: list[Slow]) -> None:
        producing = Producing(link(), bridge)
        first, second = several(producing, b"a", b"b"), several(producing, b"c")
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded) as refused:
            await append(producing, 10, SOON_S)
        sent = list(clients[0].sent)
        for offset in range(3):
            while not clients[0].kept:
                await clients[0].came.wait()
            clients[0].arrive_one(offset)
        assert (await first, await second) == ([Spot(0, 0), Spot(0, 1)], [Spot(0, 2)])
        assert (refused.value.outcome, sent) == ("not_applied", [(0, b"a")])
        assert [value for _, value in clients[0].sent] == [b"a", b"b", b"c"]
        await producing.close()

    async def test_who_waits_opens_where_the_first_failed(self, bridge: Bridge, clients: list[Slow]) -> None:
        producing = Producing(link(), bridge)
        first, second = several(producing, b"a", b"b"), several(producing, b"c", b"d")
        await clients[0].came.wait()
        clients[0].fail("_MSG_TIMED_OUT")
        with pytest.raises(Unavailable) as refused:
            await first
        await clients[0].came.wait()
        assert (refused.value.outcome, clients[0].sent) == ("unknown", [(0, b"a"), (0, b"c")])
        second.cancel()
        await producing.close()

    async def test_what_a_call_gave_up_is_sent_whole_all_the_same(self, bridge: Bridge, clients: list[Slow]) -> None:
        producing = Producing(link(), bridge)
        call = several(producing, b"a", b"b")
        await clients[0].came.wait()
        call.cancel()
        clients[0].arrive()
        await clients[0].came.wait()
        assert clients[0].sent == [(0, b"a"), (0, b"b")]
        await producing.close()

    async def test_a_topic_that_is_gone_is_opened_anew(self, bridge: Bridge, clients: list[Slow]) -> None:
        producing = await known(bridge, clients)
        producing.forget("topic")
        call = several(producing, b"a", b"b")
        await clients[0].came.wait()
        assert clients[0].sent == [(0, b"a")]
        call.cancel()
        await producing.close()

    async def test_what_the_driver_takes_no_more_of_is_told(
        self, bridge: Bridge, clients: list[Slow], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        producing = Producing(link(), bridge)
        call = several(producing, b"a", b"b")
        await clients[0].came.wait()

        def full(*_given: Any) -> None:
            raise BufferError("queue full")

        monkeypatch.setattr(clients[0], "produce", full)
        clients[0].arrive()
        with pytest.raises(Exhausted) as refused:
            await call
        assert refused.value.outcome == "unknown"
        await producing.close()

    async def test_who_waits_for_the_first_when_it_closes_is_told(self, bridge: Bridge, clients: list[Slow]) -> None:
        producing = Producing(link(), bridge)
        first, second = several(producing, b"a"), several(producing, b"b")
        await clients[0].came.wait()
        await producing.close()
        ended = await asyncio.gather(first, second, return_exceptions=True)
        assert [each.outcome for each in ended if isinstance(each, Unavailable)] == ["unknown", "not_applied"]


async def test_what_kafka_takes_for_a_repetition_does_not_count_as_there(bridge: Bridge, clients: list[Slow]) -> None:
    producing = await known(bridge, clients)
    call = several(producing, b"a", b"b")
    await clients[0].came.wait()
    clients[0].arrive(None)
    with pytest.raises(Unavailable) as refused:
        await call
    assert (refused.value.outcome, refused.value.retryable) == ("unknown", True)
    await producing.close()


async def test_who_waits_is_told_when_the_driver_says_that_a_client_appends_no_more(
    bridge: Bridge, clients: list[Slow]
) -> None:
    producing = await known(bridge, clients)
    call = several(producing, b"a")
    await clients[0].came.wait()
    clients[0].fatal = KafkaException(KafkaError(code_of("OUT_OF_ORDER_SEQUENCE_NUMBER"), "out of order", True))
    with pytest.raises(Unavailable) as refused:
        await call
    again = several(producing, b"b")
    await clients[1].came.wait()
    clients[1].arrive()
    assert (refused.value.outcome, await again) == ("unknown", [Spot(0, 0)])
    await producing.close()


class Message:
    """What the driver tells of an entry that has arrived."""

    def __init__(self, partition: int, offset: int | None) -> None:
        self._at = (partition, offset)

    def partition(self) -> int:
        return self._at[0]

    def offset(self) -> int | None:
        return self._at[1]


def test_arrivals_of_several_places_are_told_in_the_order_of_the_call() -> None:
    arrivals = Arrivals(4)
    heard = [arrivals.hear(None, Message(*at)) for at in ((1, 7), (0, 3), (1, 8), (0, 4))]
    assert heard == [False, False, False, True]
    assert arrivals.spots([0, 1, 1, 0]) == [Spot(0, 3), Spot(1, 7), Spot(1, 8), Spot(0, 4)]


def test_the_first_that_went_wrong_is_kept() -> None:
    arrivals = Arrivals(2)
    first = KafkaError(code_of("_MSG_TIMED_OUT"))
    arrivals.hear(first, Message(0, -1))
    assert arrivals.hear(KafkaError(code_of("_TRANSPORT")), Message(0, -1))
    assert arrivals.error is first
