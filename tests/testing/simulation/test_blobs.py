from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

import pytest
from tests.testing.simulation.theatre import at_site

from soundstage.core.errors import Unavailable
from soundstage.engines.blobs.memory import MemoryBlobs
from soundstage.testing.simulation.blobs import BlobWay
from soundstage.testing.simulation.faults import HEALTHY, FaultRates
from soundstage.testing.simulation.scenario import Site

T = TypeVar("T")


class Way:
    """A way to blobs that a test cuts and puts faults on."""

    def __init__(self, blobs: MemoryBlobs) -> None:
        self.cut = False
        self.rates = HEALTHY
        self.blobs = blobs
        self.seen: Any = BlobWay(blobs, lambda: self.cut, lambda: self.rates)


def with_way(body: Callable[[Way], Awaitable[T]]) -> T:
    async def main(site: Site) -> T:
        return await body(Way(site.host.blobs))

    return at_site(main)


async def parts(*given: bytes) -> AsyncGenerator[bytes]:
    for each in given:
        yield each


async def content(blobs: Any, key: str) -> bytes:
    return b"".join([chunk async for chunk in blobs.open(key)])


def test_what_is_put_is_the_host_s_and_everybody_s() -> None:
    async def body(way: Way) -> tuple[bytes, bytes]:
        await way.seen.put("a", parts(b"1", b"2"))
        return await content(way.seen, "a"), await content(way.blobs, "a")

    assert with_way(body) == (b"12", b"12")


def test_nothing_goes_where_the_way_is_cut() -> None:
    async def body(way: Way) -> None:
        await way.seen.put("a", parts(b"1"))
        way.cut = True
        for call in (way.seen.head("a"), way.seen.put("b", parts(b"1")), content(way.seen, "a")):
            with pytest.raises(Unavailable, match="has ended"):
                await call
        assert [info.key for info in await way.blobs.list()] == ["a"]

    with_way(body)


def test_a_put_that_is_cut_off_leaves_nothing() -> None:
    async def body(way: Way) -> None:
        async def chunks() -> AsyncGenerator[bytes]:
            yield b"1"
            way.cut = True
            yield b"2"

        with pytest.raises(Unavailable):
            await way.seen.put("a", chunks())
        assert await way.blobs.list() == []

    with_way(body)


@pytest.mark.parametrize(
    ("rates", "outcome", "kept"),
    [(FaultRates(lost_before=1.0), "not_applied", 0), (FaultRates(lost_after=1.0), "unknown", 1)],
)
def test_calls_are_lost_before_they_are_done_and_after(rates: FaultRates, outcome: str, kept: int) -> None:
    async def body(way: Way) -> None:
        way.rates = rates
        with pytest.raises(Unavailable) as lost:
            await way.seen.put("a", parts(b"1"))
        assert lost.value.outcome == outcome
        assert len(await way.blobs.list()) == kept

    with_way(body)


def test_a_reader_may_lose_its_connection() -> None:
    async def body(way: Way) -> None:
        await way.seen.put("a", parts(b"1"))
        way.rates = FaultRates(lost_before=1.0)
        with pytest.raises(Unavailable, match="the connection was lost"):
            await content(way.seen, "a")

    with_way(body)


def test_a_sender_may_lose_its_connection() -> None:
    async def body(way: Way) -> None:
        way.rates = FaultRates(lost_before=0.2)
        lost = 0
        for number in range(40):
            try:
                await way.seen.put(f"{number}", parts(*[b"x"] * 20))
            except Unavailable:
                lost += 1
        whole = {info.size for info in await way.blobs.list()}
        assert lost
        assert whole == {20}

    with_way(body)


def test_it_has_the_calls_of_blobs_and_no_others() -> None:
    async def body(way: Way) -> None:
        await way.seen.start()
        await way.seen.stop()
        assert hasattr(way.seen, "put")
        assert not hasattr(way.seen, "apply")

    with_way(body)
