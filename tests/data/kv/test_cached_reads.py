"""Reads that a cache answers, and those for which the store is asked all the same."""

from __future__ import annotations

import asyncio

import pytest
from tests.data.kv.caches import World, settle
from tests.data.kv.conftest import ALL, Clock, between, item, keys, served, values

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.data.kv.api import KeyValue, Selection
from soundstage.data.kv.cache_entries import WHOLE, head_key, keys_of
from soundstage.engines.records.port import Page, Stamp

POINT = keys(b"name")


@pytest.fixture
async def kv(world: World) -> KeyValue:
    kv = await world.open()
    await kv.put_items(id="ada", items=[item(b"name", b"Ada"), item(b"born", b"1815")])
    await settle()
    return kv


async def name(kv: KeyValue, **more: object) -> bytes | None:
    reply = await kv.get_items(id="ada", predicate=POINT, **more)  # type: ignore[arg-type]
    return reply.items[0].value if reply.items else None


async def test_an_item_that_was_read_is_read_again_without_the_store(world: World, kv: KeyValue) -> None:
    first = await kv.get_items(id="ada", predicate=POINT)
    asked = world.store.reads
    assert await kv.get_items(id="ada", predicate=POINT) == first
    assert world.store.reads == asked


async def test_what_the_cache_answers_is_not_counted_as_read_from_the_store(world: World, kv: KeyValue) -> None:
    counted = served(world._stages[0]).amplification
    await name(kv)
    read, returned = counted.read, counted.returned
    await name(kv)
    assert counted.read == read > 0
    assert counted.returned == 2 * returned


async def test_another_process_finds_what_one_has_filled(world: World, kv: KeyValue) -> None:
    await name(kv)
    other, asked = await world.open(), world.store.reads
    assert await name(other) == b"Ada"
    assert world.store.reads == asked


@pytest.mark.parametrize("predicate", [None, ALL])
async def test_a_small_record_is_read_whole_without_the_store(world: World, kv: KeyValue, predicate: object) -> None:
    await kv.get_items(id="ada")
    asked = world.store.reads
    reply = await kv.get_items(id="ada", predicate=predicate)  # type: ignore[arg-type]
    assert values(reply.items) == {b"name": b"Ada", b"born": b"1815"}
    assert world.store.reads == asked


async def test_a_record_read_downwards_is_another_answer(kv: KeyValue) -> None:
    await kv.get_items(id="ada")
    backwards = await kv.get_items(id="ada", selection=Selection(reverse=True))
    assert [each.key for each in backwards.items] == [b"name", b"born"]
    assert [each.key for each in (await kv.get_items(id="ada")).items] == [b"born", b"name"]


async def test_what_is_not_there_is_known_too(world: World, kv: KeyValue) -> None:
    for _ in range(2):
        assert (await kv.get_items(id="nobody", predicate=POINT)).items == []
    assert world.counts()["negative"] == 1


async def test_a_few_items_are_one_answer(world: World, kv: KeyValue) -> None:
    both = keys(b"name", b"born", b"no such")
    await kv.get_items(id="ada", predicate=both)
    asked = world.store.reads
    assert len((await kv.get_items(id="ada", predicate=both)).items) == 2
    assert world.store.reads == asked


@pytest.mark.parametrize(
    "request_",
    [
        {"predicate": keys(*(b"%d" % number for number in range(9)))},
        {"predicate": between(b"a", b"z")},
        {"predicate": POINT, "selection": Selection(include_values=False)},
        {"selection": Selection(item_limit=1)},
    ],
)
async def test_other_reads_ask_the_store(world: World, kv: KeyValue, request_: dict[str, object]) -> None:
    for _ in range(2):
        await kv.get_items(id="ada", **request_)  # type: ignore[arg-type]
    assert world.store.reads == 2


async def test_an_answer_over_the_limit_is_not_kept(world: World) -> None:
    kv = await world.open(cache={"answer_max": "1KiB"})
    await kv.put_items(id="ada", items=[item(b"name", bytes(2_000))])
    await settle()
    for _ in range(3):
        assert await name(kv) == bytes(2_000)
    assert (world.store.reads, world.counts()["large"]) == (3, 2)


async def test_a_value_in_chunks_is_not_kept(world: World) -> None:
    kv = await world.open(chunk_threshold="1KiB")
    await kv.put_items(id="ada", items=[item(b"name", bytes(5_000))])
    await settle()
    for _ in range(2):
        assert await name(kv) == bytes(5_000)
    assert world.counts()["large"] == 1


async def test_a_hit_never_shows_an_item_that_has_expired(world: World, environment: VirtualEnvironment) -> None:
    kv = await world.open()
    await kv.put_items(id="ada", items=[item(b"name", b"Ada", ttl="5s")])
    await settle()
    assert await name(kv) == b"Ada"
    environment.advance(5)
    assert await name(kv) is None
    assert world.counts()["negative"] == 1


async def test_a_hit_has_the_token_of_the_record(kv: KeyValue) -> None:
    first = await kv.get_items(id="ada", predicate=POINT)
    assert first.record_token is not None
    assert (await kv.get_items(id="ada", predicate=POINT)).record_token == first.record_token


async def test_a_write_after_a_hit_is_later_than_what_was_read(
    world: World, clock: Clock, environment: VirtualEnvironment
) -> None:
    kv = await world.open()
    ahead = clock.token(1_000_000)
    await kv.put_items(id="ada", items=[item(b"name", b"Ada")], idempotency_token=ahead)
    other = await world.open()
    await settle()
    await name(kv)
    assert await name(other) == b"Ada"
    assert world.counts(1)["hit"] == 1
    written = (await other.put_items(id="ada", items=[item(b"name", b"Countess")])).idempotency_token
    assert written.generation_time > ahead.generation_time


async def test_an_answer_is_kept_for_its_time(world: World, kv: KeyValue, environment: VirtualEnvironment) -> None:
    await name(kv)
    environment.advance(181)
    asked = world.store.reads
    assert await name(kv) == b"Ada"
    assert world.store.reads == asked + 1


async def test_many_readers_of_one_missing_answer_ask_the_store_once(world: World, kv: KeyValue) -> None:
    world.store.reading.clear()
    readers = [asyncio.ensure_future(name(kv)) for _ in range(50)]
    await asyncio.sleep(0)
    world.store.reading.set()
    assert await asyncio.gather(*readers) == [b"Ada"] * 50
    assert world.store.reads == 1


async def test_readers_of_two_processes_ask_the_store_once(world: World, kv: KeyValue) -> None:
    other = await world.open(cache={"wait": "10s"})
    world.store.reading.clear()
    first = asyncio.ensure_future(name(kv))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(name(other))
    await asyncio.sleep(0)
    world.store.reading.set()
    assert await asyncio.gather(first, second) == [b"Ada", b"Ada"]
    assert world.store.reads == 1


async def test_nobody_waits_for_another_for_long(world: World, kv: KeyValue, environment: VirtualEnvironment) -> None:
    world.store.reading.clear()
    first = asyncio.ensure_future(name(kv))
    await settle()
    began = environment.monotonic_ns()
    second = asyncio.ensure_future(name(kv))
    await settle()
    world.store.reading.set()
    assert await second == b"Ada"
    assert (environment.monotonic_ns() - began) / 1e6 < 250
    assert world.counts()["outwaited"] == 1
    await first


async def test_nobody_looks_for_long_at_a_head_that_others_change(
    world: World, kv: KeyValue, environment: VirtualEnvironment
) -> None:
    head = head_key(world.cached().tier.space, b"ada")

    async def meddle() -> None:
        environment.advance(0.1)
        await world.cache.inner.set(head, b"changed")
        world.cache.before["set"] = meddle

    await meddle()
    began = environment.monotonic_ns()
    assert await name(kv) == b"Ada"
    assert (environment.monotonic_ns() - began) / 1e6 < 350
    assert world.counts()["outwaited"] == 1


async def test_whoever_fetches_for_all_and_fails_leaves_the_lease_to_the_next(world: World, kv: KeyValue) -> None:
    world.store.reading.clear()
    first = asyncio.ensure_future(name(kv))
    await settle()
    first.cancel()
    world.store.reading.set()
    await settle()
    assert await name(kv) == b"Ada"
    assert world.counts().get("outwaited", 0) == 0


async def test_a_fill_is_void_once_the_record_was_written_meanwhile(world: World, kv: KeyValue) -> None:
    world.store.reading.clear()
    reader = asyncio.ensure_future(name(kv))
    await settle()
    await kv.put_items(id="ada", items=[item(b"name", b"Countess")])
    await settle()
    world.store.reading.set()
    assert await reader == b"Ada"
    assert await name(kv) == b"Countess"


async def test_a_fill_from_a_replica_that_is_behind_is_refused(world: World, clock: Clock) -> None:
    kv = await world.open(consistency="eventual", conditional_writes=False)
    await kv.put_items(id="ada", items=[item(b"name", b"Ada")])
    await settle()
    world.store.behind = Page([], None, None)
    assert await name(kv) is None
    world.store.behind = None
    assert await name(kv) == b"Ada"
    assert world.counts()["outdated"] == 1


async def test_a_reader_that_has_written_gets_what_it_wrote_though_the_cache_was_not_told(
    world: World, kv: KeyValue
) -> None:
    other = await world.open()
    await name(other)
    world.cache.away = True
    written = (await kv.put_items(id="ada", items=[item(b"name", b"Countess")])).idempotency_token
    world.cache.away = False
    assert await name(other) == b"Ada"
    assert await name(other, min_version=written) == b"Countess"
    assert world.counts(1)["refused"] == 1


async def test_what_was_read_for_a_writer_takes_the_place_of_the_older_answer(world: World, kv: KeyValue) -> None:
    other = await world.open()
    await name(other)
    world.cache.away = True
    written = (await kv.put_items(id="ada", items=[item(b"name", b"Countess")])).idempotency_token
    world.cache.away = False
    await name(other, min_version=written)
    assert await name(other) == b"Countess"


async def test_a_late_write_of_ones_own_is_seen_though_the_record_has_a_later_one(
    world: World, kv: KeyValue, clock: Clock
) -> None:
    await kv.put_items(id="ada", items=[item(b"other", b"")], idempotency_token=clock.token(1_000_000))
    other = await world.open()
    await settle()
    assert await name(other) == b"Ada"
    late = clock.token(1_000)
    world.cache.away = True
    await kv.put_items(id="ada", items=[item(b"name", b"Countess")], idempotency_token=late)
    world.cache.away = False
    assert await name(other, min_version=late) == b"Countess"


async def test_a_hit_serves_a_writer_whose_write_the_head_was_told_of(world: World, kv: KeyValue, clock: Clock) -> None:
    mine = (await kv.put_items(id="ada", items=[item(b"name", b"Countess")])).idempotency_token
    await kv.put_items(id="ada", items=[item(b"died", b"1852")])
    await settle()
    await name(kv)
    assert await name(kv, min_version=mine) == b"Countess"
    assert world.counts()["hit"] == 1


async def test_a_version_that_no_write_has_reached_is_unavailable(kv: KeyValue, clock: Clock) -> None:
    ahead = clock.token(10**9)
    await name(kv)
    with pytest.raises(Unavailable, match="min_version"):
        await name(kv, min_version=ahead)


async def test_without_the_cache_the_store_is_asked(world: World, kv: KeyValue) -> None:
    await name(kv)
    world.cache.away = True
    assert await name(kv) == b"Ada"
    assert world.counts()["away"] == 1


async def test_a_cache_that_is_away_is_soon_not_asked_any_more(world: World, kv: KeyValue) -> None:
    world.cache.away = True
    for _ in range(20):
        assert await name(kv) == b"Ada"
    assert world.counts()["failures"] == 3


async def test_a_cache_that_is_back_is_used_again(world: World, kv: KeyValue, environment: VirtualEnvironment) -> None:
    world.cache.away = True
    for _ in range(5):
        await name(kv)
    world.cache.away = False
    environment.advance(1)
    for _ in range(2):
        await name(kv)
    assert world.counts()["hit"] == 1


async def test_a_cache_that_was_restarted_is_filled_again(world: World, kv: KeyValue) -> None:
    await name(kv)
    await world.cache.restart()
    assert [await name(kv) for _ in range(2)] == [b"Ada", b"Ada"]
    assert world.counts()["hit"] == 1


@pytest.mark.parametrize("call", ["set", "delete"])
async def test_answers_of_the_cache_may_be_lost(world: World, kv: KeyValue, call: str) -> None:
    world.cache.lost = {call}
    for _ in range(3):
        assert await name(kv) == b"Ada"
    await kv.put_items(id="ada", items=[item(b"name", b"Countess")])
    world.cache.lost = set()
    world.environment.advance(2)
    assert await name(kv) == b"Countess"


async def test_what_the_cache_holds_may_be_junk(world: World, kv: KeyValue) -> None:
    await name(kv)
    for key in list(world.cache.inner._entries):
        await world.cache.inner.set(key, b"\xc1junk")
    assert [await name(kv) for _ in range(2)] == [b"Ada", b"Ada"]
    assert world.counts()["hit"] == 1


async def keep(world: World, question: bytes, page: Page | Exception) -> None:
    """The second process keeps that for the record."""

    async def fetch() -> Page:
        if isinstance(page, Exception):
            raise page
        return page

    await world.cached(1).reads.keep(b"ada", question, fetch)


async def test_what_is_kept_unasked_answers_the_next_reader(world: World, kv: KeyValue) -> None:
    other = await world.open()
    await keep(world, WHOLE, Page([], None, Stamp(2**60, "later")))
    assert (await other.get_items(id="ada")).items == []


@pytest.mark.parametrize("state", ["no head", "closed", "leased", "away"])
async def test_nothing_is_kept_unasked_where_another_sees_to_it(world: World, kv: KeyValue, state: str) -> None:
    other = await world.open()
    if state == "no head":
        await world.cache.restart()
    elif state == "closed":
        await world.cached().heads.close(b"ada")
    elif state == "leased":
        await world.cache.lease(keys_of(world.cached().tier.space, b"ada", WHOLE).answer, 3)
    world.cache.away = state == "away"
    await keep(world, WHOLE, Page([], None, None))
    world.cache.away = False
    assert len((await other.get_items(id="ada")).items) == 2


async def test_a_store_that_fails_then_leaves_the_next_reader_free_to_fill(world: World, kv: KeyValue) -> None:
    other = await world.open()
    with pytest.raises(Unavailable):
        await keep(world, WHOLE, Unavailable("away"))
    await settle()
    await other.get_items(id="ada")
    assert world.counts(1)["filled"] == 1
