"""Pages of many records in one reply."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.data.kv.conftest import OpenStage, between, item, keys, make, values
from tests.data.kv.engines import Slow
from tests.data.kv.test_reads import size, weight, within

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.data.kv.api import BatchRecord, KeyValue, Predicate, Selection
from soundstage.data.kv.batches import READS_AT_ONCE
from soundstage.runtime.stage import Stage

IDS = ["ada", "bob", "cyd"]


@pytest.fixture
async def people(kv: KeyValue) -> KeyValue:
    """Three records of the keys a, b and c; each value has a hundred bytes."""
    for id in IDS:
        await kv.put_items(id=id, items=[item(key, id.encode() * 33 + b"x") for key in (b"a", b"b", b"c")])
    return kv


async def rest(kv: KeyValue, record: BatchRecord, **request: object) -> list[bytes]:
    """The keys of the record's page and of those that follow it."""
    found = [each.key for each in record.items]
    if record.next_page_token is not None:
        pages = kv.get_items.pages(id=record.id, page_token=record.next_page_token, **request)  # type: ignore[arg-type]
        found += [each.key async for page in pages for each in page.items]
    return found


async def test_there_is_a_record_for_each_id_in_their_order(people: KeyValue) -> None:
    reply = await people.batch_get_items(ids=["cyd", "nobody", "ada", "cyd"])
    assert [record.id for record in reply.records] == ["cyd", "nobody", "ada", "cyd"]
    assert [len(record.items) for record in reply.records] == [3, 0, 3, 3]


async def test_each_record_is_as_it_is_read_alone(people: KeyValue) -> None:
    reply = await people.batch_get_items(ids=IDS, predicate=keys(b"c", b"a"))
    for record in reply.records:
        alone = await people.get_items(id=record.id, predicate=keys(b"a", b"c"))
        assert (record.items, record.next_page_token) == (alone.items, None)


@pytest.mark.parametrize("predicate", [None, between(b"b"), keys(b"c", b"b")])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("page_size", [1, 200, 400, 800])
async def test_what_a_reply_did_not_reach_follows(
    people: KeyValue, predicate: Predicate | None, reverse: bool, page_size: int
) -> None:
    selection = Selection(page_size_bytes=page_size, reverse=reverse)
    reply = await people.batch_get_items(ids=IDS, predicate=predicate, selection=selection)
    wanted = [b"a", b"b", b"c"][0 if predicate is None else 1 :]
    for record in reply.records:
        found = await rest(people, record, predicate=predicate, selection=selection)
        assert found == (wanted[::-1] if reverse else wanted)


@pytest.mark.parametrize("page_size", [1, 150, 400, 700, 1_100])
async def test_the_size_of_a_page_is_that_of_the_reply(people: KeyValue, page_size: int) -> None:
    reply = await people.batch_get_items(ids=IDS, selection=Selection(page_size_bytes=page_size))
    items = [found for record in reply.records for found in record.items]
    assert size(items) <= page_size or len(items) == 1


async def test_a_reply_is_filled_as_far_as_it_goes(people: KeyValue) -> None:
    one = weight((await people.get_items(id="ada")).items[0])
    reply = await people.batch_get_items(ids=IDS, selection=Selection(page_size_bytes=5 * one))
    assert [len(record.items) for record in reply.records] == [3, 2, 0]


async def test_a_giant_item_is_alone_in_its_reply(kv: KeyValue) -> None:
    await kv.put_items(id="small", items=[item(b"k", b"x" * 10)])
    await kv.put_items(id="giant", items=[item(b"k", b"x" * 5_000)])
    selection = Selection(page_size_bytes=1_000)
    for ids, shown in ((["small", "giant"], [1, 0]), (["giant", "small"], [1, 0]), (["none", "giant"], [0, 1])):
        reply = await kv.batch_get_items(ids=ids, selection=selection)
        assert [len(record.items) for record in reply.records] == shown
        found = [await rest(kv, record, selection=selection) for record in reply.records]
        assert found == [[] if id == "none" else [b"k"] for id in ids]


async def test_records_without_items_come_without_a_token(people: KeyValue) -> None:
    reply = await people.batch_get_items(ids=["nobody", "ada", "noone"])
    assert [record.next_page_token for record in reply.records] == [None, None, None]


async def test_the_limit_on_items_is_of_each_record(people: KeyValue) -> None:
    one = weight((await people.get_items(id="ada")).items[0])
    selection = Selection(item_limit=2, page_size_bytes=3 * one)
    reply = await people.batch_get_items(ids=IDS, selection=selection)
    assert [len(record.items) for record in reply.records] == [2, 1, 0]
    assert [await rest(people, record, selection=selection) for record in reply.records] == [[b"a", b"b"]] * 3


async def test_values_are_left_out_as_selected(people: KeyValue) -> None:
    reply = await people.batch_get_items(ids=IDS, selection=Selection(include_values=False))
    assert [values(record.items) for record in reply.records] == [{b"a": None, b"b": None, b"c": None}] * 3


async def test_no_ids_are_refused(plain: KeyValue) -> None:
    with pytest.raises(InvalidArgument, match="ids is empty") as refused:
        await plain.batch_get_items(ids=[])
    assert (refused.value.field, refused.value.hint) == ("ids", "name at least one record")


async def test_there_is_a_limit_to_the_ids(plain_stage: Stage) -> None:
    kv = await make(plain_stage, "few", batch_ids_max=3)
    await kv.batch_get_items(ids=["a"] * 3)
    with pytest.raises(TooLarge, match="4 entries, the limit is 3") as refused:
        await kv.batch_get_items(ids=["a"] * 4)
    assert refused.value.field == "ids"
    assert "batch_ids_max" in (refused.value.hint or "")


async def test_the_id_that_is_none_is_named(plain: KeyValue) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await plain.batch_get_items(ids=["ada", "x" * 1_025])
    assert refused.value.field == "ids[1]"


async def test_a_wrong_predicate_is_refused(plain: KeyValue) -> None:
    with pytest.raises(InvalidArgument, match="starts after its end"):
        await plain.batch_get_items(ids=["ada"], predicate=between(b"b", b"a"))


async def test_a_slow_store_makes_a_reply_short_and_never_late(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    kv = await make(await open_stage(Slow(environment)), "people", slos=within(100))
    ids = [f"id-{number}" for number in range(20)]
    for id in ids:
        await kv.put_items(id=id, items=[item(b"k")])
    began = environment.monotonic_ns()
    reply = await kv.with_options(deadline=0.1).batch_get_items(ids=ids)
    assert environment.monotonic_ns() - began < 100_000_000
    assert 2 <= sum(bool(record.items) for record in reply.records) < 6
    assert [await rest(kv, record) for record in reply.records] == [[b"k"]] * 20


async def test_others_run_while_many_records_are_read(plain: KeyValue) -> None:
    reading = asyncio.ensure_future(plain.batch_get_items(ids=["nobody"] * (3 * READS_AT_ONCE + 1)))
    turns = 0
    while not reading.done():
        turns += 1
        await asyncio.sleep(0)
    await reading
    assert turns > 4


async def test_records_that_are_being_written_wait_for_one_flush_together(
    environment: VirtualEnvironment, tmp_path: Path
) -> None:
    data = {"data": str(tmp_path), "engines": {"default": {"url": "rocksdb:records", "durability": "group"}}}
    async with Stage.open(config=data, environment=environment, variables={}) as stage:
        kv = await make(stage, "people")
        ids = [f"id-{number}" for number in range(50)]
        await asyncio.gather(*(kv.put_items(id=id, items=[item(b"k")]) for id in ids))
        commits = stage.engines["default"].database.commits
        writing = asyncio.ensure_future(_write_on(kv, ids))
        await asyncio.sleep(0)
        before = commits.flushes
        reply = await kv.batch_get_items(ids=ids)
        assert [len(record.items) for record in reply.records] == [1] * 50
        assert commits.flushes - before <= 3
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def _write_on(kv: KeyValue, ids: list[str]) -> None:
    async def write(id: str) -> None:
        while True:
            await kv.put_items(id=id, items=[item(b"k")])

    async with asyncio.TaskGroup() as writers:
        for id in ids:
            writers.create_task(write(id))


async def test_many_records_are_read_in_one_reply(kv: KeyValue) -> None:
    ids = [f"id-{number}" for number in range(300)]
    for id in ids:
        await kv.put_items(id=id, items=[item(id.encode())])
    reply = await kv.batch_get_items(ids=ids)
    assert [found.key.decode() for record in reply.records for found in record.items] == ids


async def test_a_record_in_pages_stays_bound_to_the_request_of_get(people: KeyValue) -> None:
    selection = Selection(page_size_bytes=1)
    reply = await people.batch_get_items(ids=IDS, selection=selection)
    token = reply.records[1].next_page_token
    assert token is not None
    with pytest.raises(InvalidArgument, match="another request"):
        await people.get_items(id="ada", selection=selection, page_token=token)
