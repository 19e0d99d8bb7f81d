"""Puts and deletes as batches, their limits, and what they cost."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from tests.data.kv.conftest import ALL, Clock, OpenStage, between, item, keys, make, values

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.core.message import Duration
from soundstage.data.kv.api import KeyValue, Predicate, PutItem
from soundstage.data.kv.writes import LargeValues, delete_batch, put_batch
from soundstage.engines.records.port import Batch, RangeDelete
from soundstage.engines.records.rocksdb.engine import RocksRecords
from soundstage.runtime.stage import CALLS_A_TURN

MIB = 1 << 20
TIME_US = 1_000_000


def put(*items: PutItem, partition: bytes = b"id", value_max: int = MIB) -> Batch:
    return put_batch(partition, list(items), TIME_US, "token", value_max)


def test_a_put_is_a_cell_of_its_tokens_time() -> None:
    assert dict(put(item(b"k", b"v")).cells) == {b"k": version.put(TIME_US, "token", b"v")}


@pytest.mark.parametrize("ttl", ["1ms", "10s", "3653d"])
def test_an_item_expires_its_ttl_after_its_token(ttl: str) -> None:
    expires_us = TIME_US + Duration.parse(ttl).us
    assert dict(put(item(b"k", b"v", ttl)).cells) == {b"k": version.put(TIME_US, "token", b"v", expires_us)}


def test_items_with_and_without_ttl_keep_their_own() -> None:
    cells = dict(put(item(b"a"), item(b"b", ttl="1s"), item(b"c")).cells)
    assert [version.expires_us(cell) for cell in cells.values()] == [0, 2 * TIME_US, 0]


@pytest.mark.parametrize("ttl", ["999us", "0s", "-1s", "3654d"])
def test_a_ttl_out_of_bounds_is_refused_by_its_path(ttl: str) -> None:
    with pytest.raises(InvalidArgument, match="out of bounds") as refused:
        put(item(b"a"), item(b"b", ttl=ttl))
    assert (refused.value.field, refused.value.hint) == ("items[1].ttl", "use 1ms to 3653d, or leave it out")


@pytest.mark.parametrize("ttl", ["10s", 2.5])
def test_a_ttl_that_is_no_duration_is_refused(ttl: Any) -> None:
    with pytest.raises(InvalidArgument, match="not a Duration") as refused:
        put(PutItem(key=b"k", value=b"", ttl=ttl))
    assert refused.value.field == "items[0].ttl"


def test_a_put_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="items is empty") as refused:
        put()
    assert refused.value.field == "items"


def test_a_key_twice_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="the same key") as refused:
        put(item(b"a", b"1"), item(b"b"), item(b"a", b"2"))
    assert refused.value.field == "items[2].key"


@pytest.mark.parametrize("value", ["text", 1, None, [1]])
def test_a_value_that_is_no_bytes_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument, match="not bytes") as refused:
        put(item(b"a"), PutItem(key=b"b", value=value))
    assert refused.value.field == "items[1].value"


def test_a_value_over_the_threshold_does_not_go_into_its_row() -> None:
    put(item(b"a", b"x" * 100), item(b"b", b"x" * 100), value_max=100)
    with pytest.raises(LargeValues):
        put(item(b"a"), item(b"b", b"x" * 101), value_max=100)


def test_a_call_too_large_is_refused_before_it_is_looked_for_large_values() -> None:
    with pytest.raises(TooLarge):
        put(item(b"a", b"x" * (4 * MIB + 1)))


def test_a_call_has_five_thousand_items_at_most() -> None:
    items = [item(b"%d" % number) for number in range(5_001)]
    assert len(put(*items[:-1]).cells) == 5_000
    with pytest.raises(TooLarge, match="5001 entries") as refused:
        put(*items)
    assert (refused.value.field, refused.value.hint) == ("items", "split it over several calls")


def test_a_call_has_four_mebibytes_at_most_with_its_id_and_keys() -> None:
    full = [item(b"k%d" % number, b"x" * (MIB - 3)) for number in range(3)]
    rest = 4 * MIB - 3 * (MIB - 1) - len(b"id") - len(b"k3")
    put(*full, item(b"k3", b"x" * rest), value_max=2 * MIB)
    with pytest.raises(TooLarge, match="4194305 bytes") as refused:
        put(*full, item(b"k3", b"x" * (rest + 1)), value_max=2 * MIB)
    assert refused.value.field == "items"


def test_a_delete_needs_a_predicate() -> None:
    with pytest.raises(InvalidArgument, match="needs a predicate") as refused:
        delete_batch(None, TIME_US, "token")
    assert refused.value.field == "predicate"
    assert "match_all" in (refused.value.hint or "")


def test_a_delete_of_no_keys_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="no key is named") as refused:
        delete_batch(keys(), TIME_US, "token")
    assert refused.value.field == "predicate.match_keys.keys"


@pytest.mark.parametrize("predicate", [Predicate(), keys(b"a", b"a"), between(b"b", b"a")])
def test_a_delete_by_a_wrong_predicate_is_refused(predicate: Predicate) -> None:
    with pytest.raises(InvalidArgument):
        delete_batch(predicate, TIME_US, "token")


def test_a_deleted_record_is_one_tombstone() -> None:
    assert delete_batch(ALL, TIME_US, "token") == Batch(partition=version.delete(TIME_US, "token"))


def test_a_deleted_range_is_one_tombstone() -> None:
    cell = version.delete(TIME_US, "token")
    assert delete_batch(between(b"a", b"b"), TIME_US, "token") == Batch(ranges=[RangeDelete(b"a", b"b", cell)])


def test_deleted_keys_are_markers_in_the_order_given() -> None:
    cell = version.delete(TIME_US, "token")
    assert delete_batch(keys(b"b", b"a"), TIME_US, "token") == Batch(cells=[(b"b", cell), (b"a", cell)])


# Through a stage.


async def test_the_largest_value_comes_back(kv: KeyValue) -> None:
    value = bytes(range(256)) * (MIB // 256)
    await kv.put_items(id="ada", items=[item(b"k", value)])
    assert values((await kv.get_items(id="ada")).items) == {b"k": value}


async def test_the_largest_call_comes_back(kv: KeyValue) -> None:
    items = [item(b"%04d" % number, b"x" * 800) for number in range(5_000)]
    await kv.put_items(id="ada", items=items)
    assert (await kv.count_items(id="ada")).count == 5_000


@pytest.mark.parametrize("id", ["a", "é" * 512, "x" * 1_024, "\0", "a/b c"])
async def test_any_text_of_1_to_1024_bytes_is_an_id(kv: KeyValue, id: str) -> None:
    await kv.put_items(id=id, items=[item(b"k", b"v")])
    assert values((await kv.get_items(id=id)).items) == {b"k": b"v"}
    assert [found.id for found in (await kv.scan_items()).records] == [id]


async def test_an_item_is_gone_from_its_expiry_on(kv: KeyValue, clock: Clock, environment: VirtualEnvironment) -> None:
    await kv.put_items(id="ada", items=[item(b"k", b"v", ttl="1s")], idempotency_token=clock.token())
    environment.advance(0.999_999)
    assert [len((await kv.get_items(id="ada")).items), (await kv.count_items(id="ada")).count] == [1, 1]
    environment.advance(0.000_001)
    assert [len((await kv.get_items(id="ada")).items), (await kv.count_items(id="ada")).count] == [0, 0]


async def test_a_retry_does_not_restart_the_ttl(kv: KeyValue, clock: Clock, environment: VirtualEnvironment) -> None:
    token = clock.token()
    for _ in range(2):
        await kv.put_items(id="ada", items=[item(b"k", ttl="10s")], idempotency_token=token)
        environment.advance(6)
    assert (await kv.get_items(id="ada")).items == []


async def test_a_late_put_stays_under_each_kind_of_delete(kv: KeyValue, clock: Clock) -> None:
    for id, predicate in (("all", ALL), ("range", between(b"k")), ("keys", keys(b"k"))):
        await kv.delete_items(id=id, predicate=predicate, idempotency_token=clock.token())
        await kv.put_items(id=id, items=[item(b"k")], idempotency_token=clock.token(at=-1))
    assert (await kv.scan_items()).records == []


async def fill(kv: KeyValue, id: str, count: int) -> list[bytes]:
    """A record of so many items; returns their keys."""
    names = [b"%06d" % number for number in range(count)]
    for first in range(0, count, 5_000):
        await kv.put_items(id=id, items=[item(name) for name in names[first : first + 5_000]])
    return names


@pytest.mark.slow
async def test_deleting_a_record_costs_the_same_for_one_item_and_for_many(open_stage: OpenStage) -> None:
    kv = await make(await open_stage("rocksdb"), "people")
    costs: dict[int, list[float]] = {1: [], 30_000: []}
    for number in range(5):
        for count in costs:
            await fill(kv, f"{number}-{count}", count)
    await kv.delete_items(id="warm", predicate=ALL)
    for number in range(5):
        for count, spent in costs.items():
            began = time.process_time()
            await kv.delete_items(id=f"{number}-{count}", predicate=ALL)
            spent.append(time.process_time() - began)
    assert (await kv.scan_items()).records == []
    assert min(costs[30_000]) < 2 * min(costs[1])


@pytest.mark.slow
async def test_a_record_of_a_million_items_dies_in_a_moment_and_is_read_past_in_one(open_stage: OpenStage) -> None:
    kv = await make(await open_stage("rocksdb"), "people")
    await fill(kv, "large", 1_000_000)
    await kv.put_items(id="large", items=[item(b"z")])
    began = time.process_time()
    await kv.delete_items(id="large", predicate=ALL)
    await kv.put_items(id="large", items=[item(b"zz")])
    page = await kv.get_items(id="large")
    # To mark a million rows takes a second, and to step over them a third of one.
    assert time.process_time() - began < 0.1
    assert [found.key for found in page.items] == [b"zz"]


@pytest.mark.slow
async def test_the_markers_of_many_deleted_keys_go_spread_over_their_window(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    stage = await open_stage("rocksdb")
    kv = await make(stage, "people", delete_ttl_min="1h", delete_ttl_max="2h")
    names = await fill(kv, "large", 100_000)
    environment.advance(0.001)
    for first in range(0, len(names), 5_000):
        await kv.delete_items(id="large", predicate=keys(*names[first : first + 5_000]))
    assert (await kv.get_items(id="large")).items == []
    purged: list[int] = []
    for _ in range(4):
        environment.advance(900 if purged else 3_600 + 900)
        purged.append((await stage.engines["default"].sweep(200_000)).purged)
    assert all(24_000 < quarter < 26_000 for quarter in purged[:3])
    # The stage's own tables have a few dead rows too.
    assert 0 <= sum(purged) - len(names) < 20


async def test_the_newest_ten_are_kept_by_deleting_a_range(kv: KeyValue, environment: VirtualEnvironment) -> None:
    for number in range(50):
        environment.advance(0.001)
        await kv.put_items(id="log", items=[item(b"%08d" % number)])
        if number >= 10:
            await kv.delete_items(id="log", predicate=between(end=b"%08d" % (number - 9)))
    assert list(values((await kv.get_items(id="log")).items)) == [b"%08d" % number for number in range(40, 50)]


async def test_of_writers_of_one_moment_none_misses_the_flush_of_the_others(open_stage: OpenStage) -> None:
    stage = await open_stage("rocksdb", durability="group")
    kv = await make(stage, "people")
    engine = stage.engines["default"]
    assert isinstance(engine, RocksRecords)
    before, moments = engine.database.commits.flushes, 4
    for _ in range(moments):
        # So many that one of them in this test is the call after which others have a turn.
        await asyncio.gather(*(kv.put_items(id=f"{n}", items=[item(b"k")]) for n in range(CALLS_A_TURN // 2)))
    assert engine.database.commits.flushes - before == moments
