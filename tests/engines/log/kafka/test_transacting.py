"""Transactions that Kafka does not answer, refuses or leaves undecided: how they end, and what is done about them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from soundstage.core.errors import DeadlineExceeded, Exhausted, SoundstageError, Unavailable
from soundstage.engines.log.kafka import Link, parse_address
from soundstage.engines.log.kafka import carrier as module
from soundstage.engines.log.kafka import transacting as watching
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.carrier import Offered, Part
from soundstage.engines.log.kafka.driver import KafkaError, KafkaException, code_of
from soundstage.engines.log.kafka.transacting import Transacting
from soundstage.engines.log.port import Entry, Spot

LONG_S = 60.0


class Message:
    """One entry that has arrived, as the driver tells it."""

    def __init__(self, partition: int, offset: int | None) -> None:
        self.partition: Callable[[], int] = lambda: partition
        self.offset: Callable[[], int | None] = lambda: offset


class Kafka:
    """A cluster in one process: it does what `answers` says for a request, and keeps a list of them."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.answers: dict[str, list[BaseException | threading.Event | None]] = {}
        self.clients: list[dict[str, Any]] = []
        self.offset: int | None = 7
        self.heard = threading.Event()

    def ask(self, request: str) -> None:
        """The next of the answers to a request, of which the last but one is given once."""
        self.requests.append(request)
        self.heard.set()
        answers = self.answers.get(request, [None])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, threading.Event):
            answer.wait(LONG_S)
        elif answer is not None:
            raise answer

    def count(self, request: str) -> int:
        return self.requests.count(request)


class Client:
    """What the driver calls a producer."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._told: list[Any] = []
        self.within: list[float] = []

    def init_transactions(self, timeout: float) -> None:
        self._kafka.ask("init")

    def begin_transaction(self) -> None:
        self._kafka.ask("begin")

    def produce(self, topic: str, value: Any, key: Any, partition: int, heard: Any, *_: Any) -> None:
        self._told.append(lambda: heard(None, Message(partition, self._kafka.offset)))

    def send_offsets_to_transaction(self, positions: Any, member: Any, timeout: float) -> None:
        self._kafka.ask("offsets")

    def flush(self, timeout: float) -> int:
        self._kafka.ask("flush")
        for tell in self._told:
            tell()
        self._told.clear()
        return 0

    def commit_transaction(self, timeout: float) -> None:
        self._kafka.ask("commit")

    def abort_transaction(self, timeout: float) -> None:
        self._kafka.ask("abort")


class FalseLink(Link):
    """Hands out clients of a cluster that there is not."""

    def __init__(self, kafka: Kafka, options: str) -> None:
        super().__init__(parse_address("test", urlsplit(f"kafka://nowhere?{options}"), {}, None))
        self._kafka = kafka

    def producer(self, **more: Any) -> Any:
        self._kafka.clients.append(more)
        return Client(self._kafka)


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


@pytest.fixture
async def bridge() -> Bridge:
    return Bridge()


@pytest.fixture
async def transacting(kafka: Kafka, bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Transacting]:
    monkeypatch.setattr(module, "AGAIN_S", 0.001)
    found = Transacting(FalseLink(kafka, f"patience_s={LONG_S}&waiting=2"), bridge, "me")
    yield found
    bridge.close()
    await found.close()


def silent(name: str = "_TIMED_OUT", *, abort: bool = False, retriable: bool = True) -> BaseException:
    return KafkaException(KafkaError(code_of(name), "nothing came", False, retriable, abort))


async def transact(transacting: Transacting, left_s: float | None = None) -> list[list[Spot]]:
    part = Part("topic", [Entry(b"a")], [0])
    return await transacting.transact([part], [Offered(["position"], "member")], 1_000_000, left_s)


async def refusal(transacting: Transacting, left_s: float | None = None) -> SoundstageError:
    with pytest.raises(SoundstageError) as refused:
        await transact(transacting, left_s)
    return refused.value


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - a thread does it
        await asyncio.sleep(0.001)


async def test_entries_and_positions_are_of_one_transaction(transacting: Transacting, kafka: Kafka) -> None:
    assert await transact(transacting) == [[Spot(0, 7)]]
    assert await transact(transacting) == [[Spot(0, 7)]]
    assert kafka.requests == ["init"] + ["begin", "offsets", "flush", "commit"] * 2


@pytest.mark.parametrize("request_name", ["offsets", "flush"])
async def test_what_fails_before_the_commit_is_taken_back(
    transacting: Transacting, kafka: Kafka, request_name: str
) -> None:
    kafka.answers[request_name] = [silent(), None]
    refused = await refusal(transacting)
    assert (type(refused), refused.outcome, kafka.count("abort")) == (Unavailable, "not_applied", 1)
    assert await transact(transacting) == [[Spot(0, 7)]]
    assert kafka.count("init") == 1


async def test_a_commit_that_kafka_refuses_is_taken_back(transacting: Transacting, kafka: Kafka) -> None:
    kafka.answers["commit"] = [silent(abort=True), None]
    refused = await refusal(transacting)
    assert (refused.outcome, kafka.count("abort")) == ("not_applied", 1)


async def test_a_commit_that_nobody_answers_is_ended_though_nobody_asks_for_more(
    transacting: Transacting, kafka: Kafka
) -> None:
    kafka.answers["commit"] = [silent(), None]
    kafka.answers["init"] = [None, silent(), silent("_FATAL", retriable=False), None]
    refused = await refusal(transacting)
    assert (type(refused), refused.outcome) == (Unavailable, "unknown")
    await until(lambda: kafka.count("init") == 4)
    assert await transact(transacting) == [[Spot(0, 7)]]
    assert (kafka.count("init"), kafka.count("abort")) == (4, 0)


async def test_who_may_be_asked_again_is_and_who_may_not_has_a_successor(
    transacting: Transacting, kafka: Kafka
) -> None:
    kafka.answers["commit"] = [silent(), None]
    kafka.answers["init"] = [None, silent(), silent("_FATAL", retriable=False), None]
    await refusal(transacting)
    await until(lambda: kafka.count("init") == 4)
    assert len(kafka.clients) == 3


async def test_what_kafka_takes_for_a_repetition_is_taken_back(transacting: Transacting, kafka: Kafka) -> None:
    kafka.offset = None
    refused = await refusal(transacting)
    assert (type(refused), refused.outcome) == (Unavailable, "not_applied")
    assert (kafka.count("abort"), kafka.count("commit")) == (1, 0)


async def test_what_could_not_be_taken_back_is_ended_too(transacting: Transacting, kafka: Kafka) -> None:
    kafka.answers["flush"] = [silent(), None]
    kafka.answers["abort"] = [silent()]
    refused = await refusal(transacting)
    await until(lambda: kafka.count("init") == 2)
    assert refused.outcome == "not_applied"


async def test_kafka_keeps_open_what_it_hears_no_more_of_for_twice_as_long_as_a_call_may_take(
    transacting: Transacting, kafka: Kafka
) -> None:
    await transact(transacting)
    (client,) = kafka.clients
    assert client == {"transactional.id": "me", "transaction.timeout.ms": 120_000, "delivery.timeout.ms": 60_000}


async def test_a_cluster_that_is_away_refuses_with_nothing_done(transacting: Transacting, kafka: Kafka) -> None:
    kafka.answers["init"] = [silent()]
    refused = await refusal(transacting)
    assert (type(refused), refused.outcome, refused.retryable) == (Unavailable, "not_applied", True)


async def test_a_deadline_ends_the_wait_for_what_goes_on(transacting: Transacting, kafka: Kafka) -> None:
    go = threading.Event()
    kafka.answers["commit"] = [go, None]
    refused = await refusal(transacting, 0.02)
    go.set()
    assert (type(refused), refused.outcome) in ((DeadlineExceeded, "unknown"), (DeadlineExceeded, "not_applied"))


async def test_what_has_not_begun_by_its_deadline_never_does(transacting: Transacting, kafka: Kafka) -> None:
    go = threading.Event()
    kafka.answers["commit"] = [go, None]
    first = asyncio.ensure_future(transact(transacting))
    await until(lambda: kafka.count("commit") == 1)
    refused = await refusal(transacting, 0.01)
    go.set()
    await first
    assert (type(refused), refused.outcome) == (DeadlineExceeded, "not_applied")
    await transact(transacting)
    assert kafka.count("begin") == 2


async def test_who_leaves_before_a_transaction_has_begun_takes_it_along(transacting: Transacting, kafka: Kafka) -> None:
    go = threading.Event()
    kafka.answers["commit"] = [go, None]
    first = asyncio.ensure_future(transact(transacting))
    await until(lambda: kafka.count("commit") == 1)
    second = asyncio.ensure_future(transact(transacting))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    go.set()
    await first
    await transact(transacting)
    assert kafka.count("begin") == 2


async def test_no_more_wait_than_are_allowed_to(transacting: Transacting, kafka: Kafka) -> None:
    go = threading.Event()
    kafka.answers["commit"] = [go, None]
    calls = [asyncio.ensure_future(transact(transacting))]
    await until(lambda: kafka.count("commit") == 1)
    calls += [asyncio.ensure_future(transact(transacting)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Exhausted) as refused:
        await transact(transacting)
    go.set()
    await asyncio.gather(*calls)
    assert refused.value.outcome == "not_applied"


async def test_what_was_left_open_is_ended_when_the_engine_stops(
    kafka: Kafka, bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_S", LONG_S)
    go = threading.Event()
    transacting = Transacting(FalseLink(kafka, f"patience_s={LONG_S}"), bridge, "me")
    kafka.answers["commit"] = [silent()]
    kafka.answers["init"] = [None, silent(), None]
    await refusal(transacting)
    bridge.close()
    await transacting.close()
    go.set()
    assert kafka.count("init") >= 3


async def hang(
    transacting: Transacting, kafka: Kafka, monkeypatch: pytest.MonkeyPatch, times: int = 1
) -> list[threading.Event]:
    """The driver hangs while it is handed positions, and goes on when told to."""
    monkeypatch.setattr(watching, "STUCK_S", 0.0)
    hung = [threading.Event() for _ in range(times)]
    kafka.answers["offsets"] = [*hung, None]
    for number in range(times):
        refused = await refusal(transacting, 0.02)
        assert isinstance(refused, DeadlineExceeded)
        await until(lambda at=number: kafka.count("offsets") > at)
    return hung


async def test_a_driver_that_hangs_is_left_and_another_goes_on(
    transacting: Transacting, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hung,) = await hang(transacting, kafka, monkeypatch)
    await until(lambda: kafka.count("init") == 2)
    assert await transact(transacting) == [[Spot(0, 7)]]
    assert kafka.count("commit") == 1
    hung.set()
    await until(lambda: kafka.count("abort") == 1)
    assert kafka.count("commit") == 1, "who was left commits nothing"


async def test_who_was_left_shuts_out_nobody_when_the_driver_comes_back(
    transacting: Transacting, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hung,) = await hang(transacting, kafka, monkeypatch)
    await until(lambda: kafka.count("init") == 2)
    (left,) = transacting._stuck  # pyright: ignore[reportPrivateUsage]
    kafka.answers["abort"] = [silent()]
    hung.set()
    await until(lambda: not left.thread.is_alive())
    assert (kafka.count("abort"), kafka.count("init")) == (1, 2)


async def test_so_many_may_hang_and_no_more(
    transacting: Transacting, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = await hang(transacting, kafka, monkeypatch, watching.STUCK_MAX)
    await until(lambda: transacting._carrier is None)  # pyright: ignore[reportPrivateUsage]
    refused = await refusal(transacting)
    assert (type(refused), refused.outcome, "hang" in str(refused)) == (Unavailable, "not_applied", True)
    for each in hung:
        each.set()
    for each in transacting._stuck:  # pyright: ignore[reportPrivateUsage]
        await until(lambda thread=each.thread: not thread.is_alive())
    assert await transact(transacting) == [[Spot(0, 7)]]


async def test_an_engine_stops_though_the_driver_hangs(
    kafka: Kafka, bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    transacting = Transacting(FalseLink(kafka, f"patience_s={LONG_S}"), bridge, "me")
    hung = threading.Event()
    kafka.answers["offsets"] = [hung, None]
    refused = await refusal(transacting, 0.02)
    monkeypatch.setattr(watching, "STUCK_S", 0.01)
    await until(lambda: kafka.count("offsets") == 1)
    await transacting.close()
    hung.set()
    assert refused.outcome == "unknown"
