"""Random histories meet what is easily got wrong, and notice an engine that gets it wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

import pytest
from hypothesis import given, settings
from tests.engines.records.opened import in_memory

from soundstage.testing.model import DELETE, Record, Version
from soundstage.testing.records import Bench
from soundstage.testing.records.bench import KEPT_US
from soundstage.testing.records.examples import EXAMPLES
from soundstage.testing.records.histories import Again, History, Passed, Request, Sent, Step, Swept, histories

SHARE = 0.01
"""Of all steps, at least; what the semantics ask of every model of them."""

SITUATIONS = (
    "equal microseconds",
    "a reused token",
    "late under a marker",
    "late under a range",
    "late under a deleted record",
    "the last microsecond before an expiry",
    "the microsecond of an expiry",
    "a conditional repetition after an overwrite",
)


class Watched(History):
    """Counts the situations that its steps bring about."""

    counts: ClassVar[Counter[str]] = Counter()

    async def take(self, step: Step) -> None:
        self.counts["steps"] += 1
        await super().take(step)
        self.counts.update(set(self._on_the_clock()))

    async def _send(self, request: Request) -> None:
        self.counts.update(set(self._on_arrival(request)))
        await super()._send(request)

    def _on_arrival(self, request: Request) -> Iterator[str]:
        record, write = self.model.record(self.record), request.write
        known = record.ledger.get(write.token)
        if request.conditions is not None:
            newest = record.newest()
            if known is not None and known[1] == request.digest and newest is not None and newest.time_us > known[0]:
                yield "a conditional repetition after an overwrite"
            return
        for key, put in write.puts.items():
            own = Version(write.time_us, 0, write.token, *put[1:], put.value)
            yield from _met_by(own, key, record)

    def _on_the_clock(self) -> Iterator[str]:
        now_us = self.bench.at(None)
        for versions in self.model.record(self.record).versions.values():
            expiries = {found.expires_us for found in versions}
            if now_us in expiries:
                yield "the microsecond of an expiry"
            if now_us + 1 in expiries:
                yield "the last microsecond before an expiry"


def _met_by(own: Version, key: bytes, record: Record) -> Iterator[str]:
    others = record.versions.get(key, set())
    if any(other.time_us == own.time_us and other.token != own.token for other in others):
        yield "equal microseconds"
    if any(other[:3] == own[:3] and other != own for other in others):
        yield "a reused token"
    if any(other.kind == DELETE and other.rank() > own.rank() for other in others):
        yield "late under a marker"
    if any(other.rank() > own.rank() for other in record.range_deletes(key)):
        yield "late under a range"
    if any(other.rank() > own.rank() for other in record.deletes):
        yield "late under a deleted record"


def played(steps: list[Step], *, conditional: bool) -> None:
    async def play() -> None:
        bench = Bench(in_memory(), conditional=conditional)
        await bench.open()
        history = Watched(b"record", bench)
        for step in steps:
            await history.take(step)

    asyncio.run(play())


@pytest.fixture(scope="module")
def counts() -> Counter[str]:
    """How often each situation came up in the histories that the suite draws."""
    Watched.counts = Counter()

    @settings(EXAMPLES, max_examples=200)
    @given(histories(conditional=False), histories(conditional=True))
    def play(plain: list[Step], guarded: list[Step]) -> None:
        played(plain, conditional=False)
        played(guarded, conditional=True)

    play()
    return Watched.counts


@pytest.mark.slow
@pytest.mark.parametrize("situation", SITUATIONS)
def test_histories_meet(counts: Counter[str], situation: str) -> None:
    assert counts[situation] >= SHARE * counts["steps"], counts


async def test_a_write_may_arrive_again() -> None:
    bench = Bench(in_memory(), conditional=False)
    await bench.open()
    history = History(b"record", bench)
    sent = Sent(0, "a", {b"key": (b"value", None)}, [], [], False, None, b"")
    await history.take(sent)
    await history.take(Again(0))
    await history.check()
    assert {key: found.value for key, found in history.items().items()} == {b"key": b"value"}


async def test_a_write_that_can_arrive_no_more_does_not_arrive_again() -> None:
    bench = Bench(in_memory(), conditional=False)
    await bench.open()
    history = History(b"record", bench)
    await history.take(Sent(0, "a", {}, [], [], True, None, b""))
    await history.take(Sent(1, "a", {b"key": (b"hidden", None)}, [], [], False, None, b""))
    await history.take(Passed(KEPT_US + 1))
    await history.take(Swept(10))
    await history.take(Again(0))
    assert await bench.rows(b"record") == []


async def test_an_engine_that_answers_differently_is_noticed() -> None:
    bench = Bench(in_memory(), conditional=False)
    await bench.open()
    history = History(b"record", bench)
    await history.take(Sent(0, "a", {b"key": (b"value", None)}, [], [], False, None, b""))
    await bench.put(b"key", b"behind the model's back", at=5, record=b"record")
    with pytest.raises(AssertionError):
        await history.check()


async def test_all_benches_go_through_the_same() -> None:
    benches = [Bench(in_memory(), conditional=True) for _ in range(3)]
    for bench in benches:
        await bench.open()
    history = History(b"record", *benches)
    await history.take(Sent(0, "a", {b"key": (b"value", 5)}, [], [], False, [("absent", b"key")], b"one"))
    await history.take(Passed(4))
    await history.check()
    assert [await bench.values(b"record") for bench in benches] == [{b"key": b"value"}] * 3
    await history.take(Passed(1))
    assert [await bench.values(b"record") for bench in benches] == [{}] * 3
