"""What has to be looked up before anything is done, at brokers that say nothing more once the engine has started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import DeadlineExceeded
from soundstage.engines.log.kafka import KafkaLog, Link, engine, link, parse_address
from soundstage.engines.log.port import Appending, Entry, Position

PATIENCE_S = 60
"""Of the engine: a call that does not keep to its deadline takes so long."""


class Silent:
    """A client whose questions are never answered, but for the first."""

    def __init__(self, _settings: dict[str, Any]) -> None:
        """Nobody is connected to."""

    def list_topics(self, **_named: Any) -> None:
        """There is a cluster."""

    def describe_topics(self, *_given: Any, **_named: Any) -> dict[str, Future[Any]]:
        return {"it": Future()}

    describe_configs = describe_topics

    def flush(self, _within_s: float) -> int:
        return 0

    def purge(self) -> None:
        """There is nothing."""


@pytest.fixture
async def log(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KafkaLog]:
    monkeypatch.setattr(link, "root", SimpleNamespace(Producer=Silent))
    monkeypatch.setattr(link.admin, "AdminClient", Silent)
    monkeypatch.setattr(engine, "LOOK_S", 0.02)
    address = parse_address("unit", urlsplit(f"kafka://nowhere?patience_s={PATIENCE_S}"), {}, None)
    made = KafkaLog(Link(address), SystemEnvironment())
    await made.start()
    yield made
    await made.stop()


CALLS: list[Callable[[KafkaLog, int], Any]] = [
    lambda log, by_ns: log.append("events", [Entry(b"a")], deadline_ns=by_ns),
    lambda log, by_ns: log.append_together([Appending(topic="events", entries=[Entry(b"a")])], deadline_ns=by_ns),
]


@pytest.mark.parametrize("call", CALLS, ids=["append", "append_together"])
async def test_an_append_that_has_to_look_its_topic_up_ends_by_its_deadline(
    log: KafkaLog, call: Callable[[KafkaLog, int], Any]
) -> None:
    async with asyncio.timeout(PATIENCE_S / 2):
        with pytest.raises(DeadlineExceeded) as late:
            await call(log, SystemEnvironment().monotonic_ns() + 20_000_000)
    assert late.value.outcome == "not_applied"


async def test_who_waits_is_told_of_nothing_by_the_deadline(log: KafkaLog) -> None:
    async with asyncio.timeout(PATIENCE_S / 2):
        assert await log.wait([Position("events", 0, 0)], SystemEnvironment().monotonic_ns() + 20_000_000) == []
