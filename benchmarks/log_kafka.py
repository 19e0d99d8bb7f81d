"""What does the log port cost on Kafka? Ours beside the bare driver, on the same broker and topics of one kind.

Both append the same entries with idempotence and `acks=all`, learn the offset of each, and keep as much under way;
both read a topic from its beginning and end up with offset, time, key, value and headers of each entry. The figures
are of the client and one broker together on one machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvloop
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.report import Figure, figure, interleaved, options, show
from soundstage.core.environment import SystemEnvironment
from soundstage.engines.log.kafka import KafkaLog, Link, parse_address
from soundstage.engines.log.kafka.names import topic_in_kafka
from soundstage.engines.log.port import Entry, TopicSpec
from soundstage.servers import Cluster

SPACE = "bench"
CALL_ENTRIES = 1_000
CALLS_UNDER_WAY = 16
PAGE_ENTRIES = 5_000
SIZES = {"100b": 100, "1kib": 1_024}
LINGER_MS = 5
"""The driver's own, for both. At 1 ms it is the quickness of either side that decides how many entries go together."""


class Scale(msgspec.Struct, frozen=True):
    """How much is done in each turn, in calls of a thousand entries; the first `warm` turns do not count."""

    rounds: int
    calls: int
    warm: int = 2


FULL = Scale(rounds=25, calls=64)
QUICK = Scale(rounds=9, calls=32)


class Bare:
    """The driver, as its own documentation uses it: produce, poll, and a callback for each message."""

    def __init__(self, url: str) -> None:
        self._brokers = urlsplit(url).netloc
        self._producer: Any = Producer(
            {
                "bootstrap.servers": self._brokers,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": LINGER_MS,
                "queue.buffering.max.messages": 1_000_000,
            }
        )

    def produce(self, topic: str, size: int, calls: int) -> float:
        """Entries per second."""
        offsets: list[int] = []
        errors: list[Any] = []

        def heard(error: Any, message: Any) -> None:
            if error is None:
                offsets.append(message.offset())
            else:
                errors.append(error)

        count, value, place = calls * CALL_ENTRIES, bytes(size), topic_in_kafka(SPACE, topic)
        began = time.perf_counter()
        for number in range(count):
            self._producer.produce(place, value, None, 0, heard)
            if number % CALL_ENTRIES == 0:
                self._producer.poll(0)
                while len(self._producer) > CALLS_UNDER_WAY * CALL_ENTRIES:
                    self._producer.poll(0.01)
        while len(offsets) + len(errors) < count:
            self._producer.poll(0.1)
        assert not errors
        return count / (time.perf_counter() - began)

    def consume(self, topic: str, count: int) -> float:
        """Entries per second."""
        consumer: Any = Consumer({"bootstrap.servers": self._brokers, "group.id": "bench", "enable.auto.commit": False})
        consumer.assign([TopicPartition(topic_in_kafka(SPACE, topic), 0, 0)])
        try:
            first = consumer.poll(10)
            found = [_taken(first)]
            began = time.perf_counter()
            while len(found) < count:
                found += [_taken(message) for message in consumer.consume(PAGE_ENTRIES, 0.05)]
            return count / (time.perf_counter() - began)
        finally:
            consumer.close()


def _taken(message: Any) -> tuple[Any, ...]:
    return message.offset(), message.timestamp()[1], message.key(), message.value(), message.headers()


class Ours:
    """The port, with as many calls under way."""

    def __init__(self, runner: asyncio.Runner, log: KafkaLog) -> None:
        self._runner = runner
        self._log = log

    def create(self, topic: str) -> None:
        """The topic is there, with one partition."""
        self._runner.run(self._log.create_topic(TopicSpec(name=topic)))

    def produce(self, topic: str, size: int, calls: int) -> float:
        """Entries per second."""
        return self._runner.run(self._produce(topic, size, calls))

    async def _produce(self, topic: str, size: int, calls: int) -> float:
        left = iter(range(calls))
        value = bytes(size)

        async def work() -> None:
            for _ in left:
                entries = [Entry(value) for _ in range(CALL_ENTRIES)]
                assert len(await self._log.append(topic, entries, partition=0)) == CALL_ENTRIES

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(CALLS_UNDER_WAY)))
        return calls * CALL_ENTRIES / (time.perf_counter() - began)

    def consume(self, topic: str, count: int) -> float:
        """Entries per second."""
        return self._runner.run(self._consume(topic, count))

    async def _consume(self, topic: str, count: int) -> float:
        page = await self._log.read(topic, 0, 0, 1)
        began = time.perf_counter()
        found = len(page.entries)
        while found < count:
            page = await self._log.read(topic, 0, page.next, PAGE_ENTRIES, 8 << 20)
            found += len(page.entries)
        return count / (time.perf_counter() - began)


@contextmanager
def sides(url: str) -> Generator[tuple[Ours, Bare]]:
    """Both, on one broker."""
    link = Link(parse_address("bench", urlsplit(f"{url}?space={SPACE}&linger_ms={LINGER_MS}"), {}, None))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        log = KafkaLog(link, SystemEnvironment())
        runner.run(log.start())
        try:
            yield Ours(runner, log), Bare(url)
        finally:
            runner.run(log.stop())


def measure(scale: Scale) -> list[Figure]:
    """All figures, against a broker of its own."""
    with Cluster("kafka") as cluster, sides(cluster.url) as (ours, bare):
        return measured(ours, bare, scale)


def measured(ours: Ours, bare: Bare, scale: Scale) -> list[Figure]:
    """All figures, against what is given."""
    found: list[Figure] = []
    for name, size in SIZES.items():
        topics = [f"bench/{side}/{name}" for side in ("ours", "bare")]
        for topic in topics:
            ours.create(topic)
        calls = scale.calls if size < 1_000 else max(1, scale.calls // 4)
        count = calls * CALL_ENTRIES
        made = interleaved(
            scale.rounds,
            lambda size=size, calls=calls, topic=topics[0]: ours.produce(topic, size, calls),
            lambda size=size, calls=calls, topic=topics[1]: bare.produce(topic, size, calls),
            warm=scale.warm,
        )
        read = interleaved(
            scale.rounds,
            lambda count=count, topic=topics[1]: ours.consume(topic, count),
            lambda count=count, topic=topics[1]: bare.consume(topic, count),
            warm=scale.warm,
        )
        found.append(figure(f"log_kafka.produce_{name}", made[0], made[1], "entries/s", "higher", target=0.7))
        found.append(figure(f"log_kafka.consume_{name}", read[0], read[1], "entries/s", "higher", target=0.7))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    chosen = options(__doc__ or "", arguments)
    show("Kafka", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
