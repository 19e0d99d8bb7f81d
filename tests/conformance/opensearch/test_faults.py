"""A real node that hangs, is killed or refuses: what callers see, and what is kept."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from urllib.parse import urlsplit

import msgspec
import pytest
from tests.conformance.calls import within
from tests.conformance.opensearch.conftest import engine_at
from tests.conformance.pauses import paused

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import DeadlineExceeded, SoundstageError, Unavailable
from soundstage.engines.search.opensearch import OpenSearchSearch, parse_address
from soundstage.engines.search.opensearch.link import Link
from soundstage.engines.search.opensearch.mapping import settings
from soundstage.engines.search.opensearch.options import OpenSearchOptions
from soundstage.engines.search.port import Field, IndexSpec, Kind, Nearest, Put, Request, Status
from soundstage.engines.search.queries import All, Match
from soundstage.servers import Cluster
from soundstage.servers.ports import free_port
from soundstage.testing.servers import server_fixture

pytestmark = pytest.mark.slow

SPEC = IndexSpec(
    name="films",
    fields={"title": Field(kind=Kind.TEXT), "mood": Field(kind=Kind.VECTOR, dimensions=2, similarity="dot")},
)


own: Callable[[], Generator[Cluster]] = server_fixture("opensearch", scope="function")


@pytest.fixture
async def search(url: str) -> AsyncIterator[OpenSearchSearch]:
    engine = engine_at(url, patience_s=30.0)
    await engine.start()
    await engine.create_index(SPEC)
    yield engine
    await engine.drop_index("films")
    await engine.stop()


class Watermark:
    """How much room a node wants on its disk before it takes writes."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def set(self, flood: str) -> None:
        """It takes none below `flood`, which it sees when it looks next."""
        marks = {"low": flood, "high": flood, "flood_stage": flood}
        here = "cluster.routing.allocation.disk"
        said = {f"{here}.threshold_enabled": True, **{f"{here}.watermark.{name}": mark for name, mark in marks.items()}}
        await self._say({"transient": said})

    async def close(self) -> None:
        """No connection is left."""
        await self._link.close()

    async def _say(self, settings: Mapping[str, object]) -> None:
        answer = await self._link.ask("PUT", "/_cluster/settings", msgspec.json.encode(settings))
        assert answer.status == 200, answer.body


def tasks() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def test_while_a_node_hangs_calls_end_by_their_deadline(search: OpenSearchSearch, opensearch: Cluster) -> None:
    before = tasks()
    await search.bulk("films", [Put("1", {"title": "Heat"})])
    async with paused(*opensearch.servers):
        for call in (
            search.search("films", Request(), deadline_ns=within(0.3)),
            search.get("films", ["1"], deadline_ns=within(0.3)),
            search.bulk("films", [Put("2", {"title": "Ronin"})], deadline_ns=within(0.3)),
            search.nearest("films", Nearest(field="mood", vector=[1.0, 0.0]), deadline_ns=within(0.3)),
            search.delete_where("films", All(), deadline_ns=within(0.3)),
            search.refresh("films", deadline_ns=within(0.3)),
        ):
            with pytest.raises((DeadlineExceeded, Unavailable)) as refusal:
                await call
            assert refusal.value.outcome is not None
    assert tasks() <= before
    assert [each and each.fields for each in await search.get("films", ["1"])] == [{"title": "Heat"}]


async def test_what_was_acknowledged_is_there_after_a_kill_and_the_engine_comes_back(
    search: OpenSearchSearch, opensearch: Cluster
) -> None:
    (server,) = opensearch.servers
    acknowledged: list[str] = []
    failed: list[SoundstageError] = []
    enough, over = asyncio.Event(), asyncio.Event()

    async def write(number: int) -> None:
        turn = 0
        while not over.is_set():
            ids = [f"{number}-{turn}-{n}" for n in range(5)]
            turn += 1
            try:
                outcomes = await search.bulk("films", [Put(id, {"title": id}) for id in ids])
            except SoundstageError as error:
                failed.append(error)
                continue
            acknowledged.extend(id for id, each in zip(ids, outcomes, strict=True) if each.status is Status.APPLIED)
            if len(acknowledged) >= 100:
                enough.set()

    writers = [asyncio.create_task(write(number)) for number in range(4)]
    await enough.wait()
    server.kill()
    with pytest.raises((Unavailable, DeadlineExceeded)):
        await search.search("films", Request(), deadline_ns=within(2))
    assert search.lost is not None
    server.start()
    await asyncio.to_thread(opensearch.ready)
    over.set()
    await asyncio.gather(*writers)
    assert all(isinstance(error, Unavailable) for error in failed)
    page = await search.search("films", Request(limit=0))
    assert search.lost is None
    assert page.total is not None
    for start in range(0, len(acknowledged), 100):
        found = await search.get("films", acknowledged[start : start + 100])
        assert None not in found


async def test_while_a_shard_is_missing_nothing_is_answered_of_the_rest(url: str) -> None:
    link = Link(parse_address("suite", urlsplit(url), {}, None), SystemEnvironment())
    made = settings(SPEC, OpenSearchOptions(shards=2))
    # Of one node's shards the second has then no place.
    made["settings"]["index"]["routing.allocation.total_shards_per_node"] = 1
    place = f"/{url.rpartition('/')[2]}-films"
    assert (await link.change("PUT", f"{place}?wait_for_active_shards=0", msgspec.json.encode(made))).status == 200
    await link.close()
    engine = engine_at(url, patience_s=0.5)
    await engine.start()
    for call in (
        engine.search("films", Request()),
        engine.nearest("films", Nearest(field="mood", vector=[1.0, 0.0])),
        engine.get("films", [f"{number}" for number in range(20)]),
    ):
        with pytest.raises(Unavailable):
            await call
    await engine.drop_index("films")
    await engine.stop()


@pytest.fixture
async def watermark(own: Cluster) -> AsyncIterator[Watermark]:
    made = Watermark(Link(parse_address("suite", urlsplit(own.url), {}, None), SystemEnvironment()))
    yield made
    await made.close()


@pytest.fixture
async def full_soon(own: Cluster) -> AsyncIterator[OpenSearchSearch]:
    """An engine on a node of its own: what was once refused for want of room may be refused there for minutes."""
    engine = engine_at(f"{own.url}/full", patience_s=30.0)
    await engine.start()
    await engine.create_index(SPEC)
    yield engine
    await engine.stop()


async def until(call: Callable[[], Awaitable[bool]]) -> None:
    """What `call` asks for came true: the node looks at its disk every ten seconds."""
    for _ in range(600):
        if await call():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it did not come true within a minute")


async def test_a_full_disk_refuses_writes_answers_searches_and_takes_writes_again_when_there_is_room(
    full_soon: OpenSearchSearch, watermark: Watermark
) -> None:
    await full_soon.bulk("films", [Put("kept", {"title": "Heat"})])
    await full_soon.refresh("films")
    refused: list[SoundstageError] = []

    async def written() -> bool:
        try:
            (outcome,) = await full_soon.bulk("films", [Put("tried", {"title": "Ronin"})])
        except SoundstageError as error:
            refused.append(error)
            return False
        assert outcome.status is Status.APPLIED
        return True

    async def full() -> bool:
        return not await written()

    await watermark.set("1000tb")
    await until(full)
    with pytest.raises(SoundstageError) as refusal:
        await full_soon.point("shown", "films")
    refused.append(refusal.value)
    told = {(error.code, error.retryable, error.outcome) for error in refused}
    assert told == {("exhausted", True, "not_applied")}
    assert all("no room on its disk" in str(error) and "free some" in str(error.hint) for error in refused)
    assert (await full_soon.search("films", Request(query=Match("title", "heat")))).total == 1
    assert await full_soon.get("films", ["kept"]) != [None]
    await watermark.set("1b")
    await until(written)
    assert None not in await full_soon.get("films", ["kept", "tried"])


async def test_where_nobody_listens_the_outcome_is_known() -> None:
    port = free_port(["127.0.0.1"], random.Random(), set())
    engine = engine_at(f"opensearch://127.0.0.1:{port}", patience_s=0.2)
    with pytest.raises(Unavailable) as refusal:
        await engine.start()
    assert (refusal.value.outcome, refusal.value.retryable) == ("not_applied", True)


async def test_of_two_nodes_the_one_that_answers_is_asked(opensearch: Cluster, url: str) -> None:
    port = free_port(["127.0.0.1"], random.Random(), set())
    engine = engine_at(url.replace("opensearch://", f"opensearch://127.0.0.1:{port},"), patience_s=10.0)
    await engine.start()
    assert (await engine.server_version()).startswith("opensearch 2.")
    await engine.stop()


async def test_an_index_that_another_drops_is_gone_for_all(search: OpenSearchSearch, url: str) -> None:
    other = engine_at(url)
    await other.start()
    await search.search("films", Request())
    await other.drop_index("films")
    for call in (search.search("films", Request()), search.get("films", ["1"])):
        with pytest.raises(SoundstageError) as refusal:
            await call
        assert refusal.value.code == "not_found"
    await other.stop()


async def test_another_process_sees_what_this_one_makes(search: OpenSearchSearch, url: str) -> None:
    other = engine_at(url)
    await other.start()
    await search.bulk("films", [Put("1", {"title": "Heat"})])
    await search.refresh("films")
    await search.point("shown", "films")
    page = await other.search("shown", Request(query=Match("title", "HEAT")))
    assert [hit.document.id for hit in page.hits] == ["1"]
    assert [info.spec for info in await other.indexes()] == [SPEC]
    await other.stop()
