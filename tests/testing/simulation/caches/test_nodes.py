"""The cache of all, and the way to it: each fault by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

import pytest

from soundstage.core.errors import Unavailable
from soundstage.engines.cache.port import Outcome
from soundstage.testing.simulation.caches.nodes import NODES, CacheRates, CacheWay, SharedCache, number_of
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.loop import run, running_loop
from soundstage.testing.simulation.turn import Turn, taking

T = TypeVar("T")
KEY = b"k"


class Place:
    """A shared cache and one way to it."""

    def __init__(self) -> None:
        self.environment = SimulatedEnvironment(running_loop(), "place")
        self.shared = SharedCache(self.environment)
        self.cut = False
        self.counts: Counter[str] = Counter()
        self.way = CacheWay(self.shared, 0, lambda: self.cut, self.counts)

    async def refusal(self) -> str | None:
        """The outcome of a set that does not come back."""
        with pytest.raises(Unavailable) as error:
            await self.way.set(KEY, b"v", within_s=0.1)
        return error.value.outcome

    async def value(self) -> bytes:
        self.shared.rates = CacheRates()
        return (await self.way.get([KEY]))[0].value


def played(body: Callable[[Place], Awaitable[T]]) -> T:
    async def main() -> T:
        place = Place()
        await place.shared.start()
        with taking(Turn(Random(1))):
            return await body(place)

    return run(main, "seed")


def test_two_ways_see_the_same() -> None:
    async def body(place: Place) -> bytes:
        await CacheWay(place.shared, 1, lambda: False, place.counts).set(KEY, b"v")
        return await place.value()

    assert played(body) == b"v"


@pytest.mark.parametrize(
    ("rates", "outcome", "value"),
    [
        (CacheRates(refused=1.0), "not_applied", b""),
        (CacheRates(lost=1.0), "unknown", b""),
        (CacheRates(answer_lost=1.0), "unknown", b"v"),
    ],
    ids=["refused", "lost", "answer_lost"],
)
def test_a_change_that_is_not_answered_is_done_or_not(rates: CacheRates, outcome: str, value: bytes) -> None:
    async def body(place: Place) -> tuple[str | None, bytes]:
        place.shared.rates = rates
        return await place.refusal(), await place.value()

    assert played(body) == (outcome, value)


def test_one_that_is_late_is_done_after_its_sender_has_given_up() -> None:
    async def body(place: Place) -> tuple[bytes, bytes, Counter[str]]:
        place.shared.rates = CacheRates(late=1.0, late_s=50.0)
        await place.refusal()
        before = await place.value()
        await place.environment.sleep(60.0)
        return before, await place.value(), place.counts

    assert played(body) == (b"", b"v", Counter(cache_late=1))


def test_a_slow_one_is_answered_in_time() -> None:
    async def body(place: Place) -> float:
        place.shared.rates = CacheRates(slow=1.0)
        began = running_loop().time()
        assert await place.way.set(KEY, b"v", within_s=0.1)
        return running_loop().time() - began

    assert 0.0 < played(body) < 0.1


def test_a_node_that_is_down_misses_and_refuses() -> None:
    async def body(place: Place) -> tuple[Outcome, bool, str | None]:
        place.shared.down.add(number_of(KEY))
        (found,) = await place.way.get([KEY])
        return found.outcome, (await place.way.lease(KEY, 1)).won, await place.refusal()

    assert played(body) == (Outcome.UNAVAILABLE, False, "not_applied")


def test_a_process_that_is_cut_off_reaches_no_node_and_others_do() -> None:
    async def body(place: Place) -> tuple[str | None, bool]:
        place.shared.cut_off.add(0)
        return await place.refusal(), await CacheWay(place.shared, 1, lambda: False, place.counts).set(KEY, b"v")

    assert played(body) == ("not_applied", True)


def test_one_that_was_started_anew_has_nothing_and_counts_from_the_beginning() -> None:
    async def body(place: Place) -> tuple[bytes, int, int]:
        await place.way.set(KEY, b"v")
        (before,) = await place.way.get([KEY])
        for number in range(NODES):
            await place.shared.forget(number)
        value = await place.value()
        await place.way.set(KEY, b"v")
        (after,) = await place.way.get([KEY])
        return value, before.cas, after.cas

    value, before, after = played(body)
    assert (value, before) == (b"", after)


def test_what_is_evicted_begins_as_told() -> None:
    async def body(place: Place) -> list[bool]:
        for key in (b"kvh1", b"kva1"):
            await place.way.set(key, b"v")
        await place.shared.evict(b"kvh", 1.0)
        return [found.hit for found in await place.way.get([b"kvh1", b"kva1"])]

    assert played(body) == [False, True]


def test_a_process_that_is_gone_reaches_nothing() -> None:
    async def body(place: Place) -> tuple[str | None, bytes]:
        place.cut = True
        outcome = await place.refusal()
        place.cut = False
        return outcome, await place.value()

    assert played(body) == ("not_applied", b"")


def test_all_calls_go_to_the_node() -> None:
    async def body(place: Place) -> tuple[bool, bool, int, bool]:
        way = place.way
        await way.set(KEY, b"v")
        touched, deleted = await way.touch(KEY, 5), await way.delete(KEY)
        total = await way.add(KEY, 3)
        await way.delete(KEY)
        return touched, deleted, total, (await way.lease(KEY, 2)).won

    assert played(body) == (True, True, 3, True)
