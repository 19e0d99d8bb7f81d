"""Following the changes of a namespace."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from random import Random
from typing import Any

import pytest
from tests.data.kv.conftest import ALL, Clock, OpenStage, between, item, keys, make
from tests.data.kv.followers import Replica, contents, everything, taken, until

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, NotFound, PreconditionFailed, SoundstageError, Unavailable
from soundstage.core.feed import Position
from soundstage.core.message import Instant
from soundstage.data.kv.api import (
    Condition,
    DeleteMutation,
    KeyValue,
    MatchAll,
    Mutation,
    Predicate,
    PutMutation,
    WatchItems,
)
from soundstage.data.kv.changes import entries_of
from soundstage.data.kv.roles import drop_topics
from soundstage.data.kv.service import KeyValueService
from soundstage.data.kv.watching import Watch
from soundstage.data.kv.writes import put_batch
from soundstage.data.writeahead.worker import Worker
from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.records.memory import MemoryRecords
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.roles import RoleContext
from soundstage.runtime.stage import Stage


@pytest.fixture
async def people(stage: Stage) -> KeyValue:
    """The namespace `people`, which is watched, on each embedded engine in turn."""
    return await make(stage, "people", watch=True)


@pytest.fixture
async def some(plain_stage: Stage) -> KeyValue:
    """The same in memory."""
    return await make(plain_stage, "people", watch=True)


async def settled() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


async def test_every_kind_of_write_is_told_in_the_order_of_its_record(people: KeyValue) -> None:
    await people.put_items(id="ada", items=[item(b"k", b"1"), item(b"l", b"2", "1h")])
    await people.delete_items(id="ada", predicate=keys(b"k"))
    await people.delete_items(id="ada", predicate=between(b"a", b"m"))
    await people.delete_items(id="ada", predicate=ALL)
    first, *rest = await taken(people.watch_items(cursor="0"), 4)
    assert [(each.key, each.value) for each in first.items or ()] == [(b"k", b"1"), (b"l", b"2")]
    assert [each.deleted for each in rest] == [keys(b"k"), between(b"a", b"m"), ALL]
    assert {each.id for each in rest} == {"ada"}


async def test_without_a_cursor_it_begins_now(people: KeyValue) -> None:
    await people.put_items(id="ada", items=[item(b"before")])
    following = asyncio.ensure_future(taken(people.watch_items(), 1))
    await settled()
    await people.put_items(id="ada", items=[item(b"after")])
    (change,) = await following
    assert [each.key for each in change.items or ()] == [b"after"]


async def test_it_goes_on_after_a_cursor_missing_and_repeating_nothing(people: KeyValue) -> None:
    for number in range(12):
        await people.put_items(id=f"id-{number}", items=[item(b"k", b"%d" % number)])
    whole = await taken(people.watch_items(cursor="0"), 12)
    for cut in range(12):
        rest = await taken(people.watch_items(cursor=whole[cut].cursor), 11 - cut)
        assert [each.id for each in rest] == [each.id for each in whole[cut + 1 :]]


async def test_since_begins_at_changes_of_then(some: KeyValue, environment: VirtualEnvironment) -> None:
    await some.put_items(id="ada", items=[item(b"old")])
    environment.advance(10)
    then = Instant.from_us(environment.now_us())
    await some.put_items(id="ada", items=[item(b"new")])
    (change,) = await taken(some.watch_items(since=then), 1)
    assert [each.key for each in change.items or ()] == [b"new"]
    (after,) = await taken(some.watch_items(since=then, cursor="0"), 1)
    assert [each.key for each in after.items or ()] == [b"old"]


async def test_one_record_is_followed(some: KeyValue) -> None:
    for number in range(20):
        await some.put_items(id=f"id-{number}", items=[item(b"k")])
    await some.put_items(id="id-7", items=[item(b"l")])
    assert [each.id for each in await everything(some, id="id-7")] == ["id-7", "id-7"]


async def test_records_that_begin_alike_are_followed(some: KeyValue) -> None:
    for name in ("a/1", "b/1", "a/2", "ab", "a"):
        await some.put_items(id=name, items=[item(b"k")])
    assert sorted(each.id for each in await everything(some, prefix="a/")) == ["a/1", "a/2"]


async def test_id_and_prefix_together_are_refused(some: KeyValue) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await taken(some.watch_items(id="a", prefix="a"), 1)
    assert raised.value.field == "prefix"


@pytest.mark.parametrize("cursor", ["x", "1", "1-2", "99-0-0-0-0", "1-9-9-9-9", "-", "1-0-0-0-0-0"])
async def test_a_cursor_that_is_none_of_the_feed_is_refused(some: KeyValue, cursor: str) -> None:
    await some.put_items(id="ada", items=[item(b"k")])
    with pytest.raises(InvalidArgument) as raised:
        await taken(some.watch_items(cursor=cursor), 1)
    assert raised.value.field == "cursor"


async def test_who_passes_over_much_is_told_how_far_it_is(plain_stage: Stage, some: KeyValue) -> None:
    for number in range(5):
        await some.put_items(id=f"other-{number}", items=[item(b"k")])
    request = WatchItems(namespace="people", prefix="mine", cursor="0")
    service = service_of(plain_stage)
    watch = Watch(request, lambda: service._serve("people"), plain_stage.environment)
    async with aclosing(watch.messages()) as messages:
        first, passed = [await anext(messages) for _ in range(2)]
    assert isinstance(first, Position)
    assert isinstance(passed, Position)
    assert first.cursor != passed.cursor


async def test_what_is_too_old_for_a_cursor_is_said_with_where_to_go_on(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    stage = await open_stage()
    kv = await make(stage, "people", watch=True, watch_retention="1m", watch_partitions=1)
    for number in range(3):
        await kv.put_items(id="ada", items=[item(b"%d" % number)])
    (first,) = await taken(kv.watch_items(cursor="0"), 1)
    environment.advance(120)
    await kv.put_items(id="ada", items=[item(b"late")])
    await stage.log().sweep(1_000)
    with pytest.raises(InvalidArgument) as raised:
        await taken(kv.watch_items(cursor=first.cursor), 1)
    assert raised.value.field == "cursor"
    assert "missed" in raised.value.detail
    oldest = (raised.value.hint or "").split('"')[1]
    (change,) = await taken(kv.watch_items(cursor=oldest), 1)
    assert [each.key for each in change.items or ()] == [b"late"]


async def test_one_who_falls_behind_what_is_kept_gets_that_as_the_last_word(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    stage = await open_stage()
    kv = await make(stage, "people", watch=True, watch_retention="1m", watch_partitions=1)
    for number in range(600):
        await kv.put_items(id="ada", items=[item(b"%d" % number)])
    async with aclosing(kv.watch_items(cursor="0")) as changes:
        await anext(changes)
        environment.advance(120)
        await kv.put_items(id="ada", items=[item(b"late")])
        await stage.log().sweep(10_000)
        with pytest.raises(InvalidArgument, match="missed"):
            async for _ in changes:
                pass


async def test_a_namespace_that_is_not_watched_says_so(plain: KeyValue) -> None:
    with pytest.raises(InvalidArgument, match="not kept"):
        await taken(plain.watch_items(), 1)


async def test_a_namespace_that_is_not_watched_makes_no_topic(plain_stage: Stage, plain: KeyValue) -> None:
    await plain.put_items(id="ada", items=[item(b"k")])
    assert await plain_stage.log().topics() == []


async def test_whether_it_is_watched_is_fixed(plain_stage: Stage, some: KeyValue) -> None:
    for change in ({}, {"watch": True, "watch_partitions": 5}):
        with pytest.raises(InvalidArgument, match="since the namespace was created"):
            await make(plain_stage, "people", **change)
    await make(plain_stage, "people", watch=True, watch_retention="2h")
    await some.put_items(id="ada", items=[item(b"k")])
    (spec,) = await plain_stage.log().topics()
    assert spec.retention_us == 7_200_000_000


async def test_conditions_are_refused_where_the_engine_cannot_tell_of_them(plain_stage: Stage, some: KeyValue) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await make(plain_stage, "other", watch=True, conditional_writes=True)
    assert raised.value.field == "namespace.config.watch"
    with pytest.raises(InvalidArgument):
        await some.put_items(id="ada", items=[item(b"k")], condition=Condition(key=b"k", absent=True))


async def test_a_condition_that_fails_is_not_told_and_one_that_holds_is_in_its_version(open_stage: OpenStage) -> None:
    kv = await make(await open_stage("rocksdb"), "people", watch=True)
    absent = Condition(key=b"k", absent=True)
    await kv.put_items(id="ada", items=[item(b"other")])
    made = await kv.put_items(id="ada", items=[item(b"k", b"1")], condition=absent)
    with pytest.raises(PreconditionFailed):
        await kv.put_items(id="ada", items=[item(b"k", b"2")], condition=absent)
    last = await kv.put_items(id="ada", items=[item(b"end")])
    found = await until(kv.watch_items(cursor="0"), last.idempotency_token)
    assert [each.idempotency_token for each in found[1:]] == [made.idempotency_token, last.idempotency_token]
    (read,) = (await kv.get_items(id="ada", predicate=keys(b"k"))).items
    assert (found[1].items or [])[0] == read


async def test_a_stamp_past_the_tokens_time_is_told(open_stage: OpenStage, clock: Clock) -> None:
    kv = await make(await open_stage("rocksdb"), "people", watch=True)
    await kv.put_items(id="ada", items=[item(b"k")], idempotency_token=clock.token(1_000_000))
    token, absent = clock.token(), Condition(key=b"l", absent=True)
    made = await kv.put_items(id="ada", items=[item(b"l")], idempotency_token=token, condition=absent)
    assert made.idempotency_token.generation_time > token.generation_time
    _, change = await taken(kv.watch_items(cursor="0"), 2)
    assert change.idempotency_token == made.idempotency_token


async def test_mutations_are_told_when_they_are_applied(stage: Stage, people: KeyValue) -> None:
    mutations = [
        Mutation(put=PutMutation(namespace="people", id="ada", items=[item(b"k", b"v")])),
        Mutation(delete=DeleteMutation(namespace="people", id="ada", predicate=Predicate(match_all=MatchAll()))),
    ]
    made = await stage.client(KeyValue).mutate_items(mutations=mutations)
    worker = Worker(*await service_of(stage).mutations.journal())
    while await worker.round():
        pass
    put, delete = await taken(people.watch_items(cursor="0"), 2)
    assert put.idempotency_token.generation_time == made.idempotency_token.generation_time
    assert delete.deleted == ALL


async def test_a_truncation_is_told_in_every_part(people: KeyValue) -> None:
    await people.put_items(id="ada", items=[item(b"k")])
    await people.truncate(confirm="people")
    found = await everything(people)
    assert [each.truncated for each in found].count(True) == 4
    assert Replica().hear(found).shown() == {}
    assert [each.truncated for each in await everything(people, id="ada")] == [False, True]


async def test_the_erasure_of_what_was_truncated_is_not_told(open_stage: OpenStage) -> None:
    stage = await open_stage("rocksdb")
    kv = await make(stage, "people", watch=True)
    await kv.put_items(id="ada", items=[item(b"k")])
    await kv.truncate(confirm="people")
    await kv.put_items(id="ada", items=[item(b"k")], condition=Condition(key=b"k", absent=True))
    await service_of(stage).erase_truncated("people", lambda: None)
    found = await everything(kv)
    assert len(found) == 2 + 4
    assert all(each.deleted is None for each in found)


async def test_what_expires_is_not_told(some: KeyValue, environment: VirtualEnvironment) -> None:
    await some.put_items(id="ada", items=[item(b"k", b"v", "1s")])
    environment.advance(100)
    assert len(await everything(some)) == 1


async def test_a_large_value_is_told_without_its_bytes(plain_stage: Stage) -> None:
    kv = await make(plain_stage, "people", watch=True, chunk_threshold="1KiB")
    await kv.put_items(id="ada", items=[item(b"k", bytes(5_000))])
    (change,) = await everything(kv)
    assert [(each.value, each.metadata.size) for each in change.items or ()] == [(None, 5_000)]


async def test_a_namespace_deleted_while_it_is_followed_ends_the_feed(
    plain_stage: Stage, some: KeyValue, environment: VirtualEnvironment
) -> None:
    following = asyncio.ensure_future(taken(some.watch_items(), 1))
    await settled()
    await plain_stage.client(Namespaces).delete(name="people")
    await make(plain_stage, "people", watch=True)
    await environment.sleep(20)
    with pytest.raises(NotFound):
        await following


async def test_a_cursor_of_a_namespace_that_was_made_again_is_refused(plain_stage: Stage, some: KeyValue) -> None:
    await some.put_items(id="ada", items=[item(b"k")])
    (change,) = await taken(some.watch_items(cursor="0"), 1)
    await plain_stage.client(Namespaces).delete(name="people")
    again = await make(plain_stage, "people", watch=True)
    with pytest.raises(InvalidArgument):
        await taken(again.watch_items(cursor=change.cursor), 1)
    assert await everything(again) == []


async def test_the_topic_of_a_deleted_namespace_is_dropped_in_the_second_round(
    plain_stage: Stage, some: KeyValue
) -> None:
    await some.put_items(id="ada", items=[item(b"k")])
    other = await make(plain_stage, "other", watch=True)
    await other.put_items(id="ada", items=[item(b"k")])
    await plain_stage.client(Namespaces).delete(name="people")
    context = RoleContext(environment=plain_stage.environment, invoker=plain_stage, service=service_of(plain_stage))
    suspects = await drop_topics(context, set())
    assert len(await plain_stage.log().topics()) == 2
    assert len(suspects) == 1
    await drop_topics(context, suspects)
    assert [spec.name.rpartition("-")[2] for spec in await plain_stage.log().topics()] == ["other"]


def service_of(stage: Stage) -> KeyValueService:
    service = stage.systems.service("kv")
    assert isinstance(service, KeyValueService)
    return service


class Faulty(MemoryRecords):
    """Some writes to records fail, before they are applied or after."""

    def __init__(self, environment: VirtualEnvironment, seed: int) -> None:
        super().__init__(environment)
        self.random = Random(seed)
        self.share = 0.0

    async def apply(self, table: str, *arguments: Any, **named: Any) -> int:
        if table == "kv/people" and self.random.random() < self.share:
            if self.random.random() < 0.5:
                await super().apply(table, *arguments, **named)
            raise Unavailable("the store is away", outcome="unknown", retryable=False)
        return await super().apply(table, *arguments, **named)


@pytest.mark.parametrize("seed", range(8))
async def test_nothing_acknowledged_is_missed_though_writes_fail(
    open_stage: OpenStage, environment: VirtualEnvironment, clock: Clock, seed: int
) -> None:
    engine = Faulty(environment, seed)
    stage = await open_stage(engine)
    kv = await make(stage, "people", watch=True)
    engine.share, random = 0.3, Random(seed)
    acknowledged: list[str] = []
    tried: list[str] = []
    for _ in range(60):
        token = clock.token()
        tried.append(token.token)
        try:
            await write(kv, random, token)
        except SoundstageError:
            continue
        acknowledged.append(token.token)
    engine.share = 0.0
    found = await everything(kv)
    told = [each.idempotency_token.token for each in found]
    assert set(acknowledged) <= set(told) <= set(tried)
    # What was told and failed may be there or not; written again under its token it is.
    shown, replayed = await contents(kv), Replica().hear(found).shown()
    known = [each for each in found if each.idempotency_token.token in acknowledged]
    if len(known) == len(found):
        assert shown == replayed


async def write(kv: KeyValue, random: Random, token: Any) -> None:
    id, key = random.choice(["ada", "bob", "eve"]), random.choice([b"a", b"b", b"c"])
    kind = random.choice(["put", "put", "put", "keys", "range", "all"])
    if kind == "put":
        await kv.put_items(id=id, items=[item(key, b"%d" % random.randrange(99))], idempotency_token=token)
        return
    predicate = {"keys": keys(key), "range": between(key, b"c"), "all": ALL}[kind]
    await kv.delete_items(id=id, predicate=predicate, idempotency_token=token)


@pytest.mark.parametrize("engine", ["memory", "rocksdb"])
@pytest.mark.parametrize("seed", range(6))
async def test_who_applies_what_is_told_has_what_the_namespace_has(
    open_stage: OpenStage, clock: Clock, engine: str, seed: int
) -> None:
    kv = await make(await open_stage(engine), "people", watch=True)
    random, made = Random(seed), 0
    for number in range(80):
        # Out of order, and some twice.
        token = clock.token(random.randrange(-2_000, 2_000), f"t-{random.randrange(60)}")
        await write(kv, random, token)
        made += 1
        if number == 40 and seed % 2:
            await kv.truncate(confirm="people", idempotency_token=clock.token(random.randrange(-1_000, 1_000)))
            made += 4
    found = await everything(kv)
    assert len(found) == made
    assert Replica().hear(found).shown() == await contents(kv)
    twice = found + found[::-1]
    assert Replica().hear(twice).shown() == await contents(kv)


async def test_a_write_after_what_was_told_is_later_than_it(
    plain_stage: Stage, some: KeyValue, environment: VirtualEnvironment
) -> None:
    changes = service_of(plain_stage)._serve("people").changes
    assert changes is not None
    ahead_us = environment.now_us() + 1_000_000
    # Of another server, whose clock is ahead.
    theirs = put_batch(b"ada", [item(b"k")], ahead_us, "theirs", 1_000)
    await (await changes.open()).append(changes.topic, entries_of(b"ada", theirs))
    await taken(some.watch_items(cursor="0"), 1)
    made = await some.put_items(id="ada", items=[item(b"k")])
    assert made.idempotency_token.generation_time.us > ahead_us


class Unready(MemoryLog):
    """A log that takes nothing."""

    async def append(self, *arguments: Any, **named: Any) -> Any:
        raise Unavailable("the log is away", outcome="not_applied")


async def test_a_write_that_the_log_does_not_take_is_not_made(plain_stage: Stage, some: KeyValue) -> None:
    changes = service_of(plain_stage)._serve("people").changes
    assert changes is not None
    changes._opened = Unready(plain_stage.environment)
    with pytest.raises(Unavailable):
        await some.with_options(deadline=0.5).put_items(id="ada", items=[item(b"k")])
    assert await contents(some) == {}
