"""Writes of a namespace with a cache: nobody is shown what they replaced, whatever fails in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.data.kv.ada import POINT, countess, forget, name
from tests.data.kv.caches import World, settle
from tests.data.kv.conftest import ALL, Clock, OpenStage, between, item, keys

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Exhausted, InvalidArgument, PreconditionFailed, SoundstageError, Unavailable
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv.api import Condition, DeleteMutation, KeyValue, Mutation, PutMutation
from soundstage.data.kv.cache_entries import CLOSED_US
from soundstage.data.kv.cached_records import LOOKING_MAX, SETTLED_US
from soundstage.data.writeahead import work_off
from soundstage.runtime.namespaces.api import Namespaces

Write = Callable[[KeyValue], Awaitable[Any]]


@pytest.fixture
async def kv(world: World) -> KeyValue:
    kv = await world.open()
    await kv.put_items(id="ada", items=[item(b"name", b"Ada"), item(b"born", b"1815")])
    await settle()
    return kv


WRITES: list[tuple[Write, bytes | None]] = [
    (countess, b"Countess"),
    (forget, None),
    (lambda kv: kv.delete_items(id="ada", predicate=POINT), None),
    (lambda kv: kv.delete_items(id="ada", predicate=between(b"n", b"o")), None),
]


@pytest.mark.parametrize(("write", "expected"), WRITES)
async def test_every_write_voids_what_was_kept(
    world: World, kv: KeyValue, write: Write, expected: bytes | None
) -> None:
    other = await world.open()
    for _ in range(2):
        await name(other)
    await write(kv)
    assert await name(other) == expected
    await settle()
    assert [await name(other) for _ in range(2)] == [expected, expected]


async def test_a_delete_of_the_record_voids_answers_to_every_question(world: World, kv: KeyValue) -> None:
    questions: list[dict[str, Any]] = [
        {"predicate": POINT},
        {"predicate": keys(b"born")},
        {},
        {"predicate": keys(b"born", b"name")},
    ]
    for question in questions:
        await kv.get_items(id="ada", **question)
    await forget(kv)
    await settle()
    assert [(await kv.get_items(id="ada", **question)).items for question in questions] == [[]] * 4


async def test_an_item_that_was_not_there_is_there_once_it_was_put(world: World, kv: KeyValue) -> None:
    for _ in range(2):
        assert (await kv.get_items(id="ada", predicate=keys(b"died"))).items == []
    await kv.put_items(id="ada", items=[item(b"died", b"1852")])
    await settle()
    assert len((await kv.get_items(id="ada", predicate=keys(b"died"))).items) == 1


async def test_a_late_write_that_loses_shows_nobody_what_it_says(world: World, kv: KeyValue, clock: Clock) -> None:
    await name(kv)
    await kv.put_items(id="ada", items=[item(b"name", b"Augusta")], idempotency_token=clock.token(-1_000_000))
    await settle()
    assert [await name(kv) for _ in range(2)] == [b"Ada", b"Ada"]


async def test_a_late_write_older_than_the_record_is_seen(world: World, kv: KeyValue, clock: Clock) -> None:
    for _ in range(2):
        await kv.get_items(id="ada", predicate=keys(b"died"))
    await kv.put_items(id="ada", items=[item(b"died", b"1852")], idempotency_token=clock.token(-1_000_000))
    await settle()
    assert len((await kv.get_items(id="ada", predicate=keys(b"died"))).items) == 1


async def test_while_a_record_is_written_the_store_is_asked(world: World, kv: KeyValue) -> None:
    await name(kv)
    world.store.writing.clear()
    writing = asyncio.ensure_future(countess(kv))
    await settle()
    assert await name(kv) == b"Ada"
    assert world.counts()["closed"] == 1
    world.store.writing.set()
    await writing


async def test_a_cache_that_loses_a_head_while_its_record_is_written_shows_the_writer_nothing_older(
    world: World, kv: KeyValue
) -> None:
    other = await world.open()
    world.store.writing.clear()
    first = asyncio.ensure_future(countess(kv))
    second = asyncio.ensure_future(kv.put_items(id="ada", items=[item(b"died", b"1852")]))
    await settle()
    await world.cache.restart()
    assert await name(other) == b"Ada"
    world.store.writing.set()
    await first
    # As long as the other one is not done, the head is as the reader has made it.
    assert await name(kv) == b"Countess"
    await second
    await settle()
    assert await name(other) == b"Countess"


@pytest.mark.parametrize("writers", [1, 2])
async def test_what_was_filled_in_once_the_cache_lost_a_closed_head_is_void_as_soon_as_the_write_is_answered(
    world: World, kv: KeyValue, writers: int
) -> None:
    other = await world.open()
    world.store.writing.clear()
    writing = [asyncio.ensure_future(countess(kv)) for _ in range(writers)]
    await settle()
    await world.cache.restart()
    assert [await name(other) for _ in range(2)] == [b"Ada", b"Ada"]
    world.store.writing.set()
    await writing[0]
    assert await name(other) == b"Countess"
    await asyncio.gather(*writing)


async def test_what_a_slow_reader_fills_in_after_the_answer_counts_for_nothing(world: World, kv: KeyValue) -> None:
    other = await world.open()
    world.store.writing.clear()
    writing = asyncio.ensure_future(countess(kv))
    await settle()
    await world.cache.restart()
    world.store.reading.clear()
    reading = asyncio.ensure_future(name(other))
    await settle()
    world.store.writing.set()
    await writing
    world.store.reading.set()
    assert await reading == b"Ada"
    assert await name(other) == b"Countess"


async def test_a_write_whose_caller_is_gone_is_told_all_the_same(world: World, kv: KeyValue) -> None:
    other = await world.open()
    gate = asyncio.Event()

    async def hold() -> None:
        world.cache.before["get"] = gate.wait

    world.cache.before["set"] = hold
    writing = asyncio.ensure_future(countess(kv))
    await settle()
    writing.cancel()
    await settle()
    gate.set()
    await settle()
    assert await name(other) == b"Countess"
    assert world.counts(1)["miss"] == 1


@pytest.mark.parametrize(
    ("predicate", "question"),
    [
        (ALL, None),
        (ALL, ALL),
        (POINT, POINT),
        (keys(b"name", b"born"), keys(b"born")),
        (keys(b"no such"), keys(b"no such")),
    ],
)
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_what_was_deleted_is_known_to_be_gone_before_anybody_asks(
    world: World, order: str, predicate: Any, question: Any
) -> None:
    kv = await world.open(key_order=order)
    await kv.put_items(id="ada", items=[item(b"name", b"Ada"), item(b"born", b"1815")])
    deleted = (await kv.delete_items(id="ada", predicate=predicate)).idempotency_token
    await settle()
    other, asked = await world.open(), world.store.reads
    reply = await other.get_items(id="ada", predicate=question)
    assert (reply.items, reply.record_token) == ([], deleted)
    assert world.counts(1) == {"negative": 1}
    assert world.store.reads == asked


async def test_a_key_that_came_back_is_not_known_to_be_gone(world: World, kv: KeyValue, clock: Clock) -> None:
    await kv.put_items(id="ada", items=[item(b"name", b"Countess")], idempotency_token=clock.token(1_000))
    await kv.delete_items(id="ada", predicate=POINT, idempotency_token=clock.token(-1_000))
    await settle()
    assert await name(kv) == b"Countess"
    assert world.counts()["hit"] == 1


async def test_puts_and_deletes_of_ranges_ask_the_store_for_nothing(world: World, kv: KeyValue) -> None:
    asked = world.store.reads
    await countess(kv)
    await kv.delete_items(id="ada", predicate=between(b"n", b"o"))
    await settle()
    assert world.store.reads == asked


async def test_of_many_deletes_at_once_some_are_not_looked_after(world: World, kv: KeyValue) -> None:
    world.store.reading.clear()
    asked = world.store.reads
    await asyncio.gather(*(kv.delete_items(id=str(number), predicate=ALL) for number in range(2 * LOOKING_MAX)))
    await settle()
    assert world.store.reads == asked + LOOKING_MAX
    world.store.reading.set()


async def test_other_records_are_served_meanwhile(world: World, kv: KeyValue) -> None:
    await kv.get_items(id="grace", predicate=POINT)
    world.store.writing.clear()
    writing = asyncio.ensure_future(countess(kv))
    await settle()
    await kv.get_items(id="grace", predicate=POINT)
    assert world.counts()["negative"] == 1
    world.store.writing.set()
    await writing


async def test_a_process_that_dies_between_store_and_cache_leaves_nothing_stale(world: World, kv: KeyValue) -> None:
    other = await world.open()
    for _ in range(2):
        await name(other)
    world.store.fails = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await countess(kv)
    await settle()
    assert await name(other) == b"Countess"
    assert world.counts(1)["closed"] == 1


async def test_a_process_that_dies_before_the_store_leaves_what_was_there(world: World, kv: KeyValue) -> None:
    other = await world.open()
    await name(other)
    world.store.fails, world.store.happens = asyncio.CancelledError(), False
    with pytest.raises(asyncio.CancelledError):
        await countess(kv)
    assert await name(other) == b"Ada"


async def test_a_record_is_kept_again_once_a_dead_writer_can_write_no_more(
    world: World, kv: KeyValue, environment: VirtualEnvironment
) -> None:
    world.store.fails = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await countess(kv)
    environment.advance(CLOSED_US / 1e6)
    assert [await name(kv) for _ in range(2)] == [b"Countess", b"Countess"]
    assert world.counts()["hit"] == 1


@pytest.mark.parametrize("failure", [Unavailable, Exhausted])
@pytest.mark.parametrize(("outcome", "closed"), [("unknown", 1), ("not_applied", 0)])
async def test_a_write_of_unknown_outcome_is_waited_for(
    world: World, kv: KeyValue, failure: type[SoundstageError], outcome: Any, closed: int
) -> None:
    world.store.fails, world.store.happens = failure("no answer", outcome=outcome), False
    with pytest.raises(failure):
        await countess(kv.with_options(retries=0))
    await settle()
    await name(kv)
    assert world.counts().get("closed", 0) == closed


async def test_a_write_without_the_cache_is_made_and_its_process_asks_the_store(world: World, kv: KeyValue) -> None:
    await name(kv)
    world.cache.away = True
    await countess(kv)
    world.cache.away = False
    assert await name(kv) == b"Countess"
    assert world.counts()["owed"] == 1


async def test_once_the_cache_was_told_nobody_is_shown_what_was_replaced(world: World, kv: KeyValue) -> None:
    other = await world.open()
    await name(other)
    world.cache.away = True
    await countess(kv)
    world.cache.away = False
    assert await name(other) == b"Ada"
    world.environment.advance(1)
    await world.cached().heads.tell_owed()
    assert await name(other) == b"Countess"


async def test_what_a_process_that_died_owed_is_gone_with_the_answers_time(
    world: World, kv: KeyValue, environment: VirtualEnvironment
) -> None:
    other = await world.open()
    await name(other)
    world.cache.away = True
    await countess(kv)
    world.cached().heads.stop()
    world.cache.away = False
    environment.advance(181)
    assert await name(other) == b"Countess"


async def test_conditions_are_decided_by_the_store(world: World, kv: KeyValue) -> None:
    other = await world.open()
    read = (await other.get_items(id="ada", predicate=POINT)).items[0].metadata.token
    world.cache.away = True
    await countess(kv)
    world.cache.away = False
    with pytest.raises(PreconditionFailed):
        await other.put_items(id="ada", items=[item(b"name", b"Augusta")], condition=Condition(key=b"name", token=read))


async def test_after_a_condition_that_failed_the_next_read_has_what_it_failed_for(world: World, kv: KeyValue) -> None:
    other = await world.open()
    read = (await other.get_items(id="ada", predicate=POINT)).items[0].metadata.token
    world.cache.away = True
    await countess(kv)
    world.cache.away = False
    with pytest.raises(PreconditionFailed):
        await other.put_items(id="ada", items=[item(b"name", b"Augusta")], condition=Condition(key=b"name", token=read))
    assert await name(other) == b"Countess"


async def test_a_set_of_mutations_voids_what_was_kept(world: World, kv: KeyValue) -> None:
    await name(kv)
    await kv.get_items(id="grace")
    await KeyValue(kv.invoker).mutate_items(
        mutations=[
            Mutation(put=PutMutation(namespace="people", id="grace", items=[item(b"name", b"Grace")])),
            Mutation(delete=DeleteMutation(namespace="people", id="ada", predicate=ALL)),
        ]
    )
    service: Any = world._stages[0].systems.service("kv")
    working = asyncio.ensure_future(work_off(service.mutations.journal, None))
    await settle()
    assert await name(kv) is None
    assert len((await kv.get_items(id="grace")).items) == 1
    working.cancel()


async def test_a_namespace_of_the_same_name_knows_nothing_of_the_one_before(world: World, kv: KeyValue) -> None:
    await name(kv)
    await world.drop()
    await world.configure()
    assert await name(kv) is None


async def test_two_namespaces_on_one_cache_are_apart(world: World, kv: KeyValue) -> None:
    await name(kv)
    config = {"consistency": "read_your_writes", "cache": {"engine": "hot"}}
    await (
        world._stages[0].client(Namespaces).put(namespace=NamespaceSpec(name="others", abstraction="kv", config=config))
    )
    assert await name(world._stages[0].client(KeyValue, "others")) is None


async def test_a_cache_that_is_bound_again_knows_nothing_of_the_time_before(
    world: World, kv: KeyValue, environment: VirtualEnvironment
) -> None:
    await name(kv)
    await world.configure({"engine": None})
    await countess(kv)
    await world.configure()
    assert await name(kv) == b"Countess"
    assert world.counts()["owed"] == 1
    environment.advance(SETTLED_US / 1e6)
    assert [await name(kv) for _ in range(2)] == [b"Countess", b"Countess"]
    assert world.counts()["hit"] == 1


async def test_whatever_changes_of_the_namespace_the_cache_begins_anew(
    world: World, kv: KeyValue, environment: VirtualEnvironment
) -> None:
    await name(kv)
    await world.configure(page_size_bytes="1MiB")
    await name(kv)
    assert world.counts() == {"owed": 1}
    environment.advance(SETTLED_US / 1e6)
    assert [await name(kv) for _ in range(2)] == [b"Ada", b"Ada"]
    assert world.counts() == {"owed": 1, "miss": 1, "filled": 1, "hit": 1}


async def test_a_write_that_began_before_a_change_is_told_of_before_anything_is_kept_again(
    world: World, kv: KeyValue, environment: VirtualEnvironment
) -> None:
    world.store.writing.clear()
    writing = asyncio.ensure_future(countess(kv.with_options(deadline=60)))
    await settle()
    await world.configure(page_size_bytes="1MiB")
    environment.advance(40)
    assert await name(kv) == b"Ada"
    world.store.writing.set()
    await writing
    assert await name(kv) == b"Countess"


@pytest.mark.parametrize("change", ["version", "no cache", "deleted"])
async def test_what_is_owed_of_a_version_that_is_over_is_told_no_more(world: World, kv: KeyValue, change: str) -> None:
    cached = world.cached()
    world.cache.away = True
    await countess(kv)
    assert cached.heads._repeating is not None
    service: Any = world._stages[0].systems.service("kv")
    if change == "deleted":
        await world.drop()
        list(service.measurements())
    else:
        await world.configure({"engine": None} if change == "no cache" else None, page_size_bytes="1MiB")
        service._serve("people")
    assert cached.heads._repeating is None


async def test_a_namespace_that_was_truncated_shows_nothing_that_was_kept(
    world: World, kv: KeyValue, environment: VirtualEnvironment
) -> None:
    await name(kv)
    await kv.truncate(confirm="people")
    assert await name(kv) is None
    environment.advance(SETTLED_US / 1e6)
    assert [await name(kv) for _ in range(2)] == [None, None]
    assert world.counts()["negative"] == 1


async def test_what_is_written_after_a_truncation_is_kept(
    world: World, kv: KeyValue, environment: VirtualEnvironment
) -> None:
    await kv.truncate(confirm="people")
    environment.advance(SETTLED_US / 1e6)
    await countess(kv)
    await settle()
    assert [await name(kv) for _ in range(2)] == [b"Countess", b"Countess"]
    assert world.counts()["hit"] == 1


@pytest.mark.parametrize(
    ("knobs", "field"),
    [
        ({"cache": {"engine": "hot"}}, "namespace.config.consistency"),
        ({"cache": {"engine": "cold"}, "consistency": "eventual"}, "namespace.config.cache.engine"),
        ({"cache": {"engine": "default"}, "consistency": "eventual"}, "namespace.config.cache.engine"),
        ({"cache": {"engine": "hot", "ttl": "2d"}, "consistency": "eventual"}, "namespace.config.cache.ttl"),
        ({"cache": {"engin": "hot"}, "consistency": "eventual"}, "namespace.config.cache.engin"),
    ],
)
async def test_a_cache_that_cannot_be_is_refused(world: World, knobs: dict[str, Any], field: str) -> None:
    await world.open()
    spec = NamespaceSpec(name="others", abstraction="kv", config={"conditional_writes": False, **knobs})
    with pytest.raises(InvalidArgument) as refused:
        await world._stages[0].client(Namespaces).put(namespace=spec)
    assert refused.value.field == field


async def test_what_the_cache_did_is_counted(world: World, kv: KeyValue, environment: VirtualEnvironment) -> None:
    await name(kv)
    environment.advance(10)
    await name(kv)
    told = {
        (each.name, each.labels.get("outcome")): each.value
        for each in world.cached().measurements({"namespace": "people"})
    }
    assert told["kv_cache_reads", "miss"] == told["kv_cache_reads", "hit"] == told["kv_cache_fills", "filled"] == 1
    assert told["kv_cache_hit_age_seconds", None] == 10
    assert told["kv_cache_owed_records", None] == told["kv_cache_failures", None] == 0


async def test_a_namespace_without_a_cache_has_none_of_it(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await stage.client(Namespaces).put(namespace=NamespaceSpec(name="people", abstraction="kv"))
    kv = stage.client(KeyValue, "people")
    await kv.put_items(id="ada", items=[item(b"name", b"Ada")])
    service: Any = stage.systems.service("kv")
    assert service._served["people"].cached is None
    assert service._served["people"].records is service._served["people"].view.records
