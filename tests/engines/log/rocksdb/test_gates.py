"""Nobody is told what a power loss could take back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.engines.log.rocksdb.store import TOPIC, Store
from tests.engines.rocks.threads import NO_SPACE

from soundstage.core.errors import Exhausted, Unavailable
from soundstage.engines.log.port import Entry, Position, Spot

TURNS = 20


async def settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def begun(call: Any) -> asyncio.Future[Any]:
    """The call has done what it does before it waits."""
    future = asyncio.ensure_future(call)
    await settle()
    return future


@pytest.fixture
async def store(tmp_path: Path) -> Any:
    store = Store(str(tmp_path / "log"), slow=True)
    opening = await begun(store.open())
    while not opening.done():
        store.held.run()
        await settle()
    # From here on every flush takes long, and so leaves the loop.
    store.database.commits.flush_ns = 10**9
    yield store
    stopping = await begun(store.log.stop())
    while not stopping.done():
        if store.held.waiting:
            store.held.run()
        await settle()


async def test_an_append_is_answered_after_its_flush(store: Store) -> None:
    appending = await begun(store.append(b"a"))
    assert not appending.done()
    store.held.run()
    assert await appending == [0]


async def test_appends_of_a_moment_share_a_flush(store: Store) -> None:
    first = await begun(store.append(b"first"))
    many = [asyncio.ensure_future(store.append(b"%d" % number, partition=number % 2)) for number in range(50)]
    await settle()
    before = store.disk.flushes
    for _ in range(2):
        store.held.run()
        await settle()
    assert all(each.done() for each in (first, *many))
    assert store.disk.flushes - before == 2


@pytest.mark.parametrize("call", ["read", "wait", "bounds", "offset_at", "statistics"])
async def test_who_looks_at_what_is_not_flushed_is_answered_after_the_flush(store: Store, call: str) -> None:
    await begun(store.append(b"a"))
    log = store.log
    calls = {
        "read": lambda: log.read(TOPIC, 0, 0),
        "wait": lambda: log.wait([Position(TOPIC, 0, 0)]),
        "bounds": lambda: log.bounds(TOPIC),
        "offset_at": lambda: log.offset_at(TOPIC, 0, 0),
        "statistics": lambda: log.statistics(TOPIC),
    }
    looking = await begun(calls[call]())
    assert not looking.done()
    store.held.run()
    await looking


async def test_who_waited_is_woken_after_the_flush(store: Store) -> None:
    waiting = await begun(store.log.wait([Position(TOPIC, 0, 0)]))
    await begun(store.append(b"a"))
    assert not waiting.done()
    store.held.run()
    assert await waiting == [Position(TOPIC, 0, 0)]


async def test_a_repeated_token_is_answered_after_the_flush_of_the_first(store: Store) -> None:
    first = await begun(store.log.append(TOPIC, [Entry(b"a")], partition=0, token="t"))
    again = await begun(store.log.append(TOPIC, [Entry(b"a")], partition=0, token="t"))
    assert not again.done()
    store.held.run()
    assert await first == await again == [Spot(0, 0)]


async def test_other_partitions_are_read_at_once(store: Store) -> None:
    await begun(store.append(b"a", partition=1))
    assert await store.values(0) == []
    store.held.run()


async def test_a_page_that_is_full_of_what_is_flushed_waits_for_nothing(store: Store) -> None:
    first = await begun(store.append(b"a", b"b", b"c"))
    store.held.run()
    await first
    appending = await begun(store.append(b"d"))
    page = await store.log.read(TOPIC, 0, 0, 2)
    assert ([each.value for each in page.entries], page.next, page.end) == ([b"a", b"b"], 2, 3)
    store.held.run()
    await appending


async def test_a_page_that_reaches_the_end_has_everything_up_to_it(store: Store) -> None:
    await begun(store.append(b"a"))
    store.held.run()
    await begun(store.append(b"b"))
    reading = await begun(store.log.read(TOPIC, 0, 0))
    assert not reading.done()
    store.held.run()
    page = await reading
    assert ([each.value for each in page.entries], page.end) == ([b"a", b"b"], 2)


async def test_a_failed_flush_fails_who_wrote_and_who_read(store: Store) -> None:
    appending = await begun(store.append(b"a"))
    reading, waiting = (
        await begun(store.log.read(TOPIC, 0, 0)),
        await begun(store.log.wait([Position(TOPIC, 1, 0)])),
    )
    store.disk.flush_error = NO_SPACE
    store.held.run()
    for failed in (appending, reading):
        with pytest.raises(Unavailable) as caught:
            await failed
        assert caught.value.outcome == "unknown"
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable) as refused:
        await store.append(b"b")
    assert (refused.value.outcome, bool(store.log.lost)) == ("not_applied", True)


async def test_a_failed_write_is_unknown_and_closes(store: Store) -> None:
    store.disk.write_error = NO_SPACE
    with pytest.raises(Unavailable) as caught:
        await store.append(b"a")
    assert caught.value.outcome == "unknown"


async def test_a_stalled_write_is_tried_again(store: Store) -> None:
    store.disk.stalls = 3
    appending = await begun(store.append(b"a"))
    store.held.run()
    assert await appending == [0]
    again = await begun(store.append(b"b"))
    store.held.run()
    assert await again == [1]


async def test_a_write_that_stalls_for_long_is_given_up(store: Store) -> None:
    store.disk.stalls = 10**6
    with pytest.raises(Exhausted) as caught:
        await store.append(b"a")
    assert caught.value.outcome == "not_applied"
    store.disk.stalls = 0
    appending = await begun(store.append(b"b"))
    store.held.run()
    assert await appending == [0]


async def test_a_disk_that_is_nearly_full_takes_no_entries(store: Store) -> None:
    store.disk.free = 1_000
    with pytest.raises(Unavailable) as caught:
        await store.append(b"a")
    assert (caught.value.outcome, bool(store.log.warning)) == ("not_applied", True)
