"""Who reads and who waits, on a driver of which the test says what it brings."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import Unavailable
from soundstage.engines.log.kafka import lane
from soundstage.engines.log.kafka.asking import Asking
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.driver import EARLIEST, KafkaError, KafkaException
from soundstage.engines.log.kafka.link import Link
from soundstage.engines.log.kafka.options import parse_address
from soundstage.engines.log.kafka.reading import Reading
from soundstage.engines.log.membership import Place
from soundstage.engines.log.watch import Watch

PLACE: Place = ("topic", 0)
PATIENCE_S = 30


class Message:
    """One of ten bytes."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def topic(self) -> str:
        return PLACE[0]

    def partition(self) -> int:
        return PLACE[1]

    def offset(self) -> int:
        return self._offset

    def error(self) -> None:
        return None

    def headers(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return 1, 7

    def key(self) -> None:
        return None

    def value(self) -> bytes:
        return b"%d" % self._offset

    def __len__(self) -> int:
        return 10


class Cluster:
    """One partition of so many entries, and every client that was made to read it."""

    def __init__(self) -> None:
        self.end = 0
        self.silent = False
        self.changed = threading.Condition()
        self.clients: list[Client] = []

    def append(self, count: int) -> None:
        """By another process: the engine is not told."""
        with self.changed:
            self.end += count
            self.changed.notify_all()

    def client(self, _settings: dict[str, Any]) -> Client:
        self.clients.append(Client(self))
        return self.clients[-1]

    def list_offsets(self, asked: dict[Any, Any], **_named: Any) -> dict[Any, Future[Any]]:
        found: dict[Any, Future[Any]] = {}
        for at, which in asked.items():
            found[at] = Future()
            found[at].set_result(SimpleNamespace(offset=0 if which is EARLIEST else self.end))
        return found


class Client:
    """Brings what it was assigned from an offset on, but while it is paused; one after the end begins at the start."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.next: int | None = None
        self.paused = False
        self.brought = 0

    def incremental_assign(self, places: list[Any]) -> None:
        self.seek(places[0])

    def incremental_unassign(self, _places: list[Any]) -> None:
        self.next = None

    def seek(self, place: Any) -> None:
        self.next = place.offset if place.offset <= self._cluster.end else 0

    def pause(self, _places: list[Any]) -> None:
        self.paused = True

    def resume(self, _places: list[Any]) -> None:
        self.paused = False

    def poll(self, timeout_s: float) -> Message | None:
        with self._cluster.changed:
            self._cluster.changed.wait_for(self._has_some, timeout_s)
            return self._taken() if self._has_some() else None

    def consume(self, count: int, _timeout_s: float) -> list[Message]:
        with self._cluster.changed:
            return [self._taken() for _ in range(count) if self._has_some()]

    def close(self) -> None:
        """It reads nothing any more."""

    def _has_some(self) -> bool:
        return not (self.next is None or self.paused or self._cluster.silent) and self.next < self._cluster.end

    def _taken(self) -> Message:
        assert self.next is not None
        self.next += 1
        self.brought += 1
        return Message(self.next - 1)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    found = Cluster()
    monkeypatch.setattr("soundstage.engines.log.kafka.link.root", SimpleNamespace(Consumer=found.client))
    return found


@pytest.fixture
def opened(cluster: Cluster) -> Callable[[str], Reading]:
    def opened(query: str = "") -> Reading:
        link = Link(parse_address("unit", urlsplit(f"kafka://127.0.0.1?{query}"), {}, None))
        link.admin = cluster
        bridge, environment = Bridge(), SystemEnvironment()
        return Reading(link, bridge, Asking(link, bridge, environment), Watch(environment))

    return opened


@pytest.fixture
async def reading(opened: Callable[[str], Reading]) -> AsyncIterator[Reading]:
    found = opened("")
    yield found
    await found.close()


async def page(reading: Reading, offset: int, entries: int = 1_000) -> list[int]:
    """The offsets on it."""
    found = await reading.page("name", PLACE, offset, entries, 1 << 20)
    return [each.offset for each in found.entries]


async def watching(reading: Reading, end: int, place: Place = PLACE) -> asyncio.Task[None]:
    """Somebody waits at the end."""
    waiting = asyncio.ensure_future(reading.wait({place: end}, None))
    await asyncio.sleep(0)
    return waiting


async def woken(waiting: asyncio.Task[None]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await waiting


async def test_pages_follow_each_other(reading: Reading, cluster: Cluster) -> None:
    cluster.append(5)
    assert [await page(reading, offset, 2) for offset in (0, 2, 4)] == [[0, 1], [2, 3], [4]]
    assert (len(cluster.clients), cluster.clients[0].brought) == (1, 5)


async def test_who_waits_is_woken_by_what_another_process_appends(reading: Reading, cluster: Cluster) -> None:
    waiting = await watching(reading, 0)
    cluster.append(1)
    await woken(waiting)
    assert await page(reading, 0) == [0]


async def test_who_waits_is_woken_though_much_was_brought_ahead(
    reading: Reading, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "AHEAD_BYTES", 0)
    cluster.append(3)
    assert await page(reading, 0) == [0, 1, 2]
    waiting = await watching(reading, 3)
    cluster.append(1)
    await woken(waiting)
    assert await page(reading, 3) == [3]


async def test_a_reader_elsewhere_does_not_take_the_client_of_who_waits(reading: Reading, cluster: Cluster) -> None:
    cluster.append(3)
    waiting = await watching(reading, 3)
    assert await page(reading, 0) == [0, 1, 2]
    assert len(cluster.clients) == 2
    cluster.append(1)
    await woken(waiting)


async def test_who_waits_looks_again_when_its_client_is_given_up(
    opened: Callable[[str], Reading], cluster: Cluster
) -> None:
    reading = opened("patience_s=0.1&attempt_s=0.1")
    cluster.append(1)
    cluster.silent = True
    waiting = await watching(reading, 1, ("topic", 1))
    with pytest.raises(Unavailable):
        await page(reading, 0)
    await woken(waiting)
    await reading.close()


async def test_what_is_committed_is_told_so_though_readers_do_not_see_it_in_time(reading: Reading) -> None:
    await reading.shown({PLACE: 5}, 0.02)


async def test_what_is_committed_is_told_so_though_kafka_answers_no_more(
    reading: Reading, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **_named: Any) -> None:
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    monkeypatch.setattr(cluster, "list_offsets", refuse)
    await reading.shown({PLACE: 5})


async def test_a_transaction_is_waited_for_until_readers_see_it(reading: Reading, cluster: Cluster) -> None:
    showing = asyncio.ensure_future(reading.shown({PLACE: 5}))
    await asyncio.sleep(0.02)
    assert not showing.done()
    cluster.append(5)
    await woken(showing)
