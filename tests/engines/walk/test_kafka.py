"""Whatever the driver of Kafka raises or answers, of all its codes, is an error of the tree in every call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Future
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.engines.walk.calls import TOPIC, At, call, calls_of
from tests.engines.walk.faults import Fault, Told, refusal, told

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.log.kafka import KafkaLog, Link, parse_address
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.driver import (
    EARLIEST,
    KafkaError,
    KafkaException,
    admin,
    code_of,
    names_of_codes,
    root,
)
from soundstage.engines.log.kafka.failures import failure
from soundstage.engines.log.kafka.settings import configuration

CALLS = calls_of("log", KafkaLog)
PLACE = "main.seen"

AWAY, BUSY, DEFECT = Told("unavailable", True), Told("exhausted", True), Told("internal", False)
GONE, THERE, PASSED = Told("not_found", False), Told("already_exists", False), Told("precondition_failed", False)
STRANGER, FORBIDDEN = Told("unauthenticated", False), Told("forbidden", False)
LARGE, WRONG = Told("too_large", False), Told("invalid_argument", False)

CODES: dict[Told, set[str]] = {
    GONE: {
        "GROUP_ID_NOT_FOUND",
        "UNKNOWN_TOPIC_ID",
        "UNKNOWN_TOPIC_OR_PART",
        "_UNKNOWN_GROUP",
        "_UNKNOWN_PARTITION",
        "_UNKNOWN_TOPIC",
    },
    THERE: {"TOPIC_ALREADY_EXISTS"},
    PASSED: {
        "FENCED_INSTANCE_ID",
        "FENCED_MEMBER_EPOCH",
        "GROUP_SUBSCRIBED_TO_TOPIC",
        "ILLEGAL_GENERATION",
        "NON_EMPTY_GROUP",
        "REBALANCE_IN_PROGRESS",
        "STALE_MEMBER_EPOCH",
        "UNKNOWN_MEMBER_ID",
        "UNRELEASED_INSTANCE_ID",
        "_ASSIGNMENT_LOST",
        "_MAX_POLL_EXCEEDED",
        "_STATE",
    },
    STRANGER: {
        "DELEGATION_TOKEN_EXPIRED",
        "DELEGATION_TOKEN_NOT_FOUND",
        "ILLEGAL_SASL_STATE",
        "SASL_AUTHENTICATION_FAILED",
        "UNSUPPORTED_SASL_MECHANISM",
        "_AUTHENTICATION",
    },
    FORBIDDEN: {
        "CLUSTER_AUTHORIZATION_FAILED",
        "DELEGATION_TOKEN_AUTHORIZATION_FAILED",
        "GROUP_AUTHORIZATION_FAILED",
        "SECURITY_DISABLED",
        "TOPIC_AUTHORIZATION_FAILED",
        "TOPIC_DELETION_DISABLED",
        "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
    },
    LARGE: {"MSG_SIZE_TOO_LARGE", "OFFSET_METADATA_TOO_LARGE", "RECORD_LIST_TOO_LARGE"},
    WRONG: {
        "INCONSISTENT_GROUP_PROTOCOL",
        "INVALID_CONFIG",
        "INVALID_GROUP_ID",
        "INVALID_PARTITIONS",
        "INVALID_REPLICATION_FACTOR",
        "INVALID_REPLICA_ASSIGNMENT",
        "INVALID_SESSION_TIMEOUT",
        "INVALID_TIMESTAMP",
        "INVALID_TRANSACTION_TIMEOUT",
        "POLICY_VIOLATION",
        "TOPIC_EXCEPTION",
        "_SSL",
    },
    BUSY: {"GROUP_MAX_SIZE_REACHED", "THROTTLING_QUOTA_EXCEEDED", "_QUEUE_FULL"},
    DEFECT: {
        "INVALID_REQUEST",
        "INVALID_REQUIRED_ACKS",
        "UNSUPPORTED_FOR_MESSAGE_FORMAT",
        "UNSUPPORTED_VERSION",
        "_CONFLICT",
        "_INVALID_ARG",
        "_INVALID_TYPE",
        "_NOT_IMPLEMENTED",
        "_UNSUPPORTED_FEATURE",
    },
}
"""What a caller is told of each code that is final; of all others, that Kafka did not answer."""

NAMES = names_of_codes()


def meaning(code: int) -> Told:
    """What a caller is told of a code."""
    return next((found for found, names in CODES.items() if NAMES[code] in names), AWAY)


def of_code(name: str) -> Exception:
    """What the driver raises."""
    return KafkaException(KafkaError(code_of(name)))


@pytest.mark.parametrize("code", sorted(NAMES), ids=NAMES.get)
def test_a_code_is_told_as_what_it_means(code: int) -> None:
    assert told(failure(KafkaException(KafkaError(code))).error) == meaning(code)


def test_no_code_is_told_of_that_the_driver_does_not_have() -> None:
    assert set().union(*CODES.values()) <= set(NAMES.values())


class Driver:
    """A healthy cluster with one topic of one entry, until it fails with `fault`, where it is called or answers."""

    def __init__(self) -> None:
        self.fault = Fault()
        self.of_readers = Fault()
        """Of clients that read, which come to what they fetch after others have answered."""
        self.raises = False

    def answer(self, found: Any) -> Future[Any]:
        """What one part of a question comes to."""
        answer: Future[Any] = Future()
        if self.fault.error is None:
            answer.set_result(found)
            return answer
        if self.raises:
            self.fault.strike()
        self.fault.met += 1
        answer.set_exception(self.fault.error)
        return answer


class Admin:
    """The client that asks."""

    def __init__(self, driver: Driver, _settings: Any) -> None:
        self._driver = driver

    def poll(self, _timeout: float) -> int:
        return 0

    def list_topics(self, timeout: float) -> Any:
        self._driver.fault.strike()
        return SimpleNamespace(topics={PLACE: None})

    def describe_topics(self, names: Any, request_timeout: float) -> dict[str, Future[Any]]:
        found = SimpleNamespace(partitions=[None], topic_id="1")
        return {name: self._known(name, found) for name in names.topic_names}

    def describe_configs(self, resources: Iterable[Any], request_timeout: float) -> dict[Any, Future[Any]]:
        link = parse_address("walk", urlsplit("kafka://nowhere"), {}, None)
        values = {name: SimpleNamespace(value=each) for name, each in configuration(TOPIC, link.options).items()}
        return {each: self._known(each.name, values) for each in resources}

    def _known(self, name: str, found: Any) -> Future[Any]:
        if name == PLACE or self._driver.fault.error is not None:
            return self._driver.answer(found)
        missing: Future[Any] = Future()
        missing.set_exception(of_code("UNKNOWN_TOPIC_OR_PART"))
        return missing

    def list_offsets(self, asked: dict[Any, Any], isolation_level: Any, request_timeout: float) -> dict[Any, Any]:
        return {
            each: self._driver.answer(SimpleNamespace(offset=0 if which is EARLIEST else 1))
            for each, which in asked.items()
        }

    def list_consumer_groups(self, request_timeout: float) -> Future[Any]:
        return self._driver.answer(SimpleNamespace(valid=[]))

    def __getattr__(self, name: str) -> Callable[..., dict[int, Future[Any]]]:
        return lambda *_, **__: {0: self._driver.answer(SimpleNamespace(topic_partitions=[]))}


class Client:
    """A client that appends or reads."""

    def __init__(self, driver: Driver, settings: Any) -> None:
        self._driver = driver
        self._reads = settings.get("group.id") == "soundstage-readers"
        self._told: list[Any] = []

    def produce(self, topic: str, value: Any, key: Any, partition: int, heard: Any, *_: Any) -> None:
        error: Any = self._driver.fault.error
        if error is not None:
            if self._driver.raises:
                self._driver.fault.strike()
            self._driver.fault.met += 1
        found: Any = getattr(error, "args", (None,))[0] if isinstance(error, KafkaException) else None
        self._told.append(lambda: heard(found, SimpleNamespace(partition=lambda: 0, offset=lambda: 7)))

    def poll(self, _timeout: float = 0) -> Any:
        if self._reads:
            self._driver.of_readers.strike()

    def flush(self, _timeout: float) -> int:
        self.poll()
        return 0

    def purge(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""

    def __len__(self) -> int:
        return len(self._told)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def asked(*_: Any, **__: Any) -> Any:
            (self._driver.of_readers if self._reads else self._driver.fault).strike()
            return []

        return asked


class Appender(Client):
    """A client that appends: its `poll` counts what it told."""

    def poll(self, _timeout: float = 0) -> Any:
        told, self._told = self._told, []
        for tell in told:
            tell()
        return len(told)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    found = Driver()
    monkeypatch.setattr(admin, "AdminClient", partial(Admin, found))
    monkeypatch.setattr(root, "Producer", partial(Appender, found))
    monkeypatch.setattr(root, "Consumer", partial(Client, found))
    return found


@pytest.fixture
async def log(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[At]:
    """Pauses between attempts count as they are, and take no time: what is left for the last is enough for any."""

    async def pause(_bridge: Bridge, _seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(Bridge, "pause", pause)
    address = parse_address("walk", urlsplit("kafka://nowhere?patience_s=1"), {}, None)
    environment = VirtualEnvironment()
    engine = KafkaLog(Link(address), environment)
    await engine.start()
    yield At(engine, over_ns=environment.monotonic_ns())
    driver.fault.error = driver.of_readers.error = None
    await engine.stop()


FAULTS: dict[str, Told] = {
    "_TRANSPORT": AWAY,
    "_TIMED_OUT": AWAY,
    "NOT_COORDINATOR": AWAY,
    "SASL_AUTHENTICATION_FAILED": STRANGER,
    "CLUSTER_AUTHORIZATION_FAILED": FORBIDDEN,
    "THROTTLING_QUOTA_EXCEEDED": BUSY,
    "UNSUPPORTED_VERSION": DEFECT,
}

KNOWN = {"beat", "leave"}
"""Calls of somebody who is no member, which is known here."""


@pytest.mark.parametrize("raises", [False, True], ids=["answered", "raised"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", CALLS)
async def test_no_error_of_the_driver_passes_a_call(
    log: At, driver: Driver, name: str, fault: str, raises: bool
) -> None:
    driver.raises, driver.fault.error = raises, of_code(fault)
    error = await refusal(call("log", name, log))
    if name in KNOWN:
        assert (driver.fault.met, error) == (0, None)
        return
    assert driver.fault.met
    assert error is not None
    assert told(error) == FAULTS[fault]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["append", "append_together", "commit", "committed", "offset_at", "join"])
async def test_no_error_of_the_driver_passes_a_call_of_a_topic_that_is_known(
    log: At, driver: Driver, name: str, fault: str
) -> None:
    await log.bounds("seen")
    driver.fault.error = of_code(fault)
    error = await refusal(call("log", name, log))
    assert driver.fault.met
    assert error is not None
    assert told(error) == FAULTS[fault]


PYTHONS: dict[str, tuple[Exception, Told]] = {
    "a queue is full": (BufferError("Local: Queue full"), BUSY),
    "a client is closed": (RuntimeError("Handle has been closed"), AWAY),
    "time is over": (TimeoutError(), AWAY),
    "an argument is wrong": (TypeError("expected str"), DEFECT),
    "a value is wrong": (ValueError("negative"), DEFECT),
}
"""What the driver raises of Python's own."""


@pytest.mark.parametrize("fault", PYTHONS)
@pytest.mark.parametrize("name", [name for name in CALLS if name not in KNOWN])
async def test_nothing_of_pythons_own_passes_a_call(log: At, driver: Driver, name: str, fault: str) -> None:
    driver.raises = True
    driver.fault.error, expected = PYTHONS[fault]
    error = await refusal(call("log", name, log))
    assert driver.fault.met
    assert error is not None
    assert told(error) == expected


@pytest.mark.parametrize("fault", [*map(of_code, ("_TRANSPORT", "_FATAL")), RuntimeError("Consumer closed")])
async def test_a_client_that_reads_and_fails_is_told_of_to_who_reads(log: At, driver: Driver, fault: Exception) -> None:
    driver.of_readers.error = fault
    error = await refusal(log.read("seen", 0, 0))
    assert driver.of_readers.met
    assert error is not None
    assert told(error) == AWAY

    reading = log._parts.reading
    lanes = reading._lanes
    driver.of_readers.error, reading._patience_s = None, 0.05
    assert await refusal(log.read("seen", 0, 0)) is not None
    assert all(lane.error is None for lane in lanes)
