"""A real node behind a network that is slow: calls end by their deadline, and all is well when it is quick again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.conformance.calls import refused, within
from tests.conformance.opensearch.conftest import engine_at
from tests.conformance.proxy import Proxy

from soundstage.core.errors import DeadlineExceeded, SoundstageError, Unavailable
from soundstage.engines.search.opensearch import OpenSearchSearch
from soundstage.engines.search.port import Field, IndexSpec, Kind, Nearest, Put, Request, Status
from soundstage.engines.search.queries import All
from soundstage.servers import Cluster

SPEC = IndexSpec(
    name="films",
    fields={"title": Field(kind=Kind.TEXT), "mood": Field(kind=Kind.VECTOR, dimensions=2, similarity="dot")},
)

PAUSE_S = 3.0
"""Before each piece of an answer: longer than a call may take."""

DEADLINE_S = 0.5

LUMP = "word " * 4_000
LUMPS = 20

WRITERS, EACH = 4, 6

pytestmark = pytest.mark.slow


@pytest.fixture
async def proxy(opensearch: Cluster) -> AsyncIterator[Proxy]:
    async with Proxy(opensearch.url).running() as running:
        yield running


@pytest.fixture
async def search(proxy: Proxy, url: str) -> AsyncIterator[OpenSearchSearch]:
    """An engine on the node, with an index, of which nothing is left when it stops."""
    engine = engine_at(f"opensearch://{proxy.address}/{url.rpartition('/')[2]}", patience_s=30.0)
    await engine.start()
    await engine.create_index(SPEC)
    yield engine
    proxy.quick()
    await engine.drop_index("films")
    await engine.stop()
    await proxy.deserted()


async def test_calls_end_by_their_deadline_and_all_goes_on_when_it_is_quick_again(
    search: OpenSearchSearch, proxy: Proxy
) -> None:
    await search.bulk("films", [Put("1", {"title": "Heat"})])
    proxy.slow(PAUSE_S)
    answered, deadline_ns = proxy.answered, within(DEADLINE_S)
    writes = await asyncio.gather(
        refused(search.bulk("films", [Put("2", {"title": "Ronin"})], deadline_ns=deadline_ns)),
        refused(search.delete_where("films", All(), deadline_ns=deadline_ns)),
        refused(search.search("films", Request(), deadline_ns=deadline_ns)),
        refused(search.get("films", ["1"], deadline_ns=deadline_ns)),
        refused(search.nearest("films", Nearest(field="mood", vector=[1.0, 0.0]), deadline_ns=deadline_ns)),
        refused(search.refresh("films", deadline_ns=deadline_ns)),
    )
    assert proxy.answered == answered, "they ended when something was answered"
    proxy.quick()
    assert {(type(each), each.outcome) for each in writes} == {(DeadlineExceeded, "unknown")}
    assert [each and each.fields for each in await search.get("films", ["1"])] == [{"title": "Heat"}]


async def test_an_answer_that_trickles_is_not_waited_for_beyond_the_deadline(
    search: OpenSearchSearch, proxy: Proxy
) -> None:
    await search.bulk("films", [Put(f"{number}", {"title": LUMP}) for number in range(LUMPS)])
    ids = [f"{number}" for number in range(LUMPS)]
    await search.get("films", ids)
    answered = proxy.answered
    proxy.slow(0.0, 100_000)
    error = await refused(search.get("films", ids, deadline_ns=within(DEADLINE_S)))
    trickled = proxy.answered - answered
    proxy.quick()
    assert (type(error), trickled < LUMPS * len(LUMP)) == (DeadlineExceeded, True)
    assert None not in await search.get("films", ids)


async def test_without_a_deadline_a_call_takes_no_longer_than_the_engine_is_patient(proxy: Proxy, url: str) -> None:
    engine = engine_at(f"opensearch://{proxy.address}/{url.rpartition('/')[2]}", patience_s=DEADLINE_S)
    patient = engine_at(url)
    for each in (engine, patient):
        await each.start()
    await patient.create_index(SPEC)
    proxy.slow(PAUSE_S)
    answered = proxy.answered
    read = await refused(engine.get("films", ["1"]))
    write = await refused(engine.bulk("films", [Put("2", {"title": "Ronin"})]))
    assert proxy.answered == answered
    proxy.quick()
    await engine.bulk("films", [Put("3", {"title": "Seven"})])
    assert None not in await engine.get("films", ["3"])
    await patient.drop_index("films")
    for each in (engine, patient):
        await each.stop()
    assert {(type(each), each.retryable) for each in (read, write)} == {(Unavailable, True)}


async def test_what_was_acknowledged_while_it_was_slow_is_there(search: OpenSearchSearch, proxy: Proxy) -> None:
    acknowledged: list[str] = []
    given_up: list[SoundstageError] = []

    async def write(writer: int) -> None:
        for number in range(EACH):
            id = f"{writer}-{number}"
            try:
                deadline_ns = within(30.0 if number % 2 else 0.1)
                (outcome,) = await search.bulk("films", [Put(id, {"title": id})], deadline_ns=deadline_ns)
            except (DeadlineExceeded, Unavailable) as error:
                given_up.append(error)
            else:
                acknowledged.extend([id] if outcome.status is Status.APPLIED else [])

    await search.get("films", ["1"])
    proxy.slow(0.2, 50_000)
    await asyncio.gather(*(write(number) for number in range(WRITERS)))
    proxy.quick()
    assert (len(given_up) > 0, len(acknowledged) >= WRITERS) == (True, True)
    assert None not in await search.get("films", acknowledged)
