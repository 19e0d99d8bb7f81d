"""Walks over all records of a namespace."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.data.kv.conftest import ALL, OpenStage, item, keys, make, served, values
from tests.data.kv.engines import Slow
from tests.data.kv.test_reads import fill, size, within

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DataLoss, InvalidArgument
from soundstage.core.namespace import LatencyObjective, Objective
from soundstage.core.time import Duration
from soundstage.data.kv.api import KeyValue, ScanItemsReply, Selection
from soundstage.engines.records.port import Batch
from soundstage.runtime.stage import Stage


async def pages_of(kv: KeyValue, **request: Any) -> list[ScanItemsReply]:
    return [page async for page in kv.scan_items.pages(**request)]


async def scanned(kv: KeyValue, **request: Any) -> dict[str, list[bytes]]:
    """The keys of each record; one that is not contiguous fails."""
    found: dict[str, list[bytes]] = {}
    last = None
    for page in await pages_of(kv, **request):
        for record in page.records:
            assert record.id == last or record.id not in found
            found.setdefault(record.id, []).extend(each.key for each in record.items)
            last = record.id
    return found


@pytest.fixture
async def people(kv: KeyValue) -> dict[str, list[bytes]]:
    """Forty records of one to nine items, as a scan shows them."""
    records = {f"person-{number}": [b"%d" % key for key in range(1 + number % 9)] for number in range(40)}
    for id, names in records.items():
        await kv.put_items(id=id, items=[item(name, b"x" * 50) for name in names])
    return records


async def test_an_empty_namespace_is_one_empty_page(kv: KeyValue) -> None:
    assert await kv.scan_items() == ScanItemsReply(records=[])


@pytest.mark.parametrize("page_size", [1, 100, 1_000, 100_000])
async def test_a_scan_shows_every_record_once(kv: KeyValue, people: dict[str, list[bytes]], page_size: int) -> None:
    assert await scanned(kv, selection=Selection(page_size_bytes=page_size)) == people


@pytest.mark.parametrize("total", [1, 2, 3, 64, 1_024])
async def test_the_segments_together_are_the_whole(kv: KeyValue, people: dict[str, list[bytes]], total: int) -> None:
    parts = [await scanned(kv, segment=segment, total_segments=total) for segment in range(total)]
    assert sum(map(len, parts)) == len(people)
    assert {id: names for part in parts for id, names in part.items()} == people


async def test_the_order_is_the_same_each_time(kv: KeyValue, people: dict[str, list[bytes]]) -> None:
    orders = [list(await scanned(kv, selection=Selection(page_size_bytes=size))) for size in (100, 700, 100_000)]
    assert orders[0] == orders[1] == orders[2]


async def test_items_within_a_record_go_up_even_where_reads_go_down(stage: Stage) -> None:
    kv = await make(stage, "log", key_order="desc")
    names = await fill(kv, "ada", [10] * 5)
    assert await scanned(kv) == {"ada": names}


@pytest.mark.parametrize("page_size", [1, 150, 1_000, 5_000])
async def test_no_page_is_larger_than_asked_but_for_a_single_item(
    kv: KeyValue, people: dict[str, list[bytes]], page_size: int
) -> None:
    await kv.put_items(id="giant", items=[item(b"a", b"x" * 7_000), item(b"b")])
    for page in await pages_of(kv, selection=Selection(page_size_bytes=page_size)):
        items = [found for record in page.records for found in record.items]
        assert size(items) <= page_size or len(items) == 1


async def test_pages_are_at_least_half_full(kv: KeyValue, people: dict[str, list[bytes]]) -> None:
    pages = await pages_of(kv, selection=Selection(page_size_bytes=2_000))
    assert all(size([item for record in page.records for item in record.items]) > 1_000 for page in pages[:-1])


async def test_a_large_record_goes_on_in_the_next_page(kv: KeyValue) -> None:
    names = await fill(kv, "ada", [100] * 50)
    pages = await pages_of(kv, selection=Selection(page_size_bytes=1_000))
    assert len(pages) > 5
    assert await scanned(kv, selection=Selection(page_size_bytes=1_000)) == {"ada": names}


async def test_records_without_live_items_are_left_out(
    kv: KeyValue, people: dict[str, list[bytes]], environment: VirtualEnvironment
) -> None:
    await kv.put_items(id="expired", items=[item(b"k", ttl="1s")])
    await kv.put_items(id="emptied", items=[item(b"k")])
    await kv.delete_items(id="emptied", predicate=keys(b"k"))
    await kv.delete_items(id="person-0", predicate=ALL)
    environment.advance(2)
    assert set(await scanned(kv)) == set(people) - {"person-0"}


@pytest.mark.parametrize("page_size", [100, 100_000])
async def test_the_limit_on_items_is_over_all_pages(
    kv: KeyValue, people: dict[str, list[bytes]], page_size: int
) -> None:
    found = await scanned(kv, selection=Selection(page_size_bytes=page_size, item_limit=23))
    assert sum(map(len, found.values())) == 23


@pytest.mark.parametrize("selection", [Selection(include_values=False), Selection(max_value_bytes=10)])
async def test_values_are_left_out_as_selected(kv: KeyValue, selection: Selection) -> None:
    await kv.put_items(id="ada", items=[item(b"k", b"x" * 11)])
    assert values((await kv.scan_items(selection=selection)).records[0].items) == {b"k": None}


async def test_a_page_without_values_holds_what_several_reads_found(kv: KeyValue) -> None:
    for number in range(30):
        await kv.put_items(id=f"id-{number}", items=[item(b"k", b"x" * 10_000)])
    selection = Selection(page_size_bytes=25_000, include_values=False)
    page = await kv.scan_items(selection=selection)
    assert len(page.records) == 30


async def test_a_page_without_values_reads_no_more_than_its_knob_says(stage: Stage) -> None:
    kv = await make(stage, "thrifty", read_bytes_max="64KiB")
    for number in range(30):
        await kv.put_items(id=f"id-{number}", items=[item(b"k", b"x" * 10_000)])
    pages = await pages_of(kv, selection=Selection(page_size_bytes=25_000, include_values=False))
    assert max(len(page.records) for page in pages) < 10
    assert sum(len(page.records) for page in pages) == 30


@pytest.mark.parametrize("total", [1, 3])
async def test_a_scan_does_not_end_for_a_change_of_knobs(
    stage: Stage, kv: KeyValue, people: dict[str, list[bytes]], total: int
) -> None:
    found: dict[str, list[bytes]] = {}
    pages = 0
    for segment in range(total):
        async for page in kv.scan_items.pages(
            segment=segment, total_segments=total, selection=Selection(page_size_bytes=600)
        ):
            pages += 1
            for record in page.records:
                found.setdefault(record.id, []).extend(each.key for each in record.items)
            size = f"{1_024 + pages}B"
            await make(stage, "people", page_size_bytes=size, page_size_max=size, rows_max=3 + pages, rows_min=1)
            await asyncio.sleep(0)
    assert found == people
    assert pages > 2 * total


@pytest.mark.parametrize("change", ["put", "delete"])
async def test_one_record_is_never_of_two_moments_within_a_page(
    open_stage: OpenStage, environment: VirtualEnvironment, change: str
) -> None:
    """Between two reads of one page a write changes the record that the first one left unfinished."""

    class Racing(Slow):
        kv: KeyValue | None = None

        async def walk(self, table: str, *arguments: Any, **named: Any) -> Any:
            page = await super().walk(table, *arguments, **named)
            if self.kv is not None:
                kv, self.kv = self.kv, None
                if change == "put":
                    await kv.put_items(id="ada", items=[item(name, b"1" * 300) for name in names])
                else:
                    await kv.delete_items(id="ada", predicate=ALL)
            return page

    engine = Racing(environment)
    kv = await make(await open_stage(engine), "people")
    names = [b"%02d" % number for number in range(20)]
    await kv.put_items(id="ada", items=[item(name, b"0" * 300) for name in names])
    engine.kv = kv
    selection = Selection(page_size_bytes=2_000, max_value_bytes=300, include_values=False)
    page = await kv.scan_items(selection=selection)
    tokens = {found.metadata.token.token for record in page.records for found in record.items}
    assert len(tokens) == 1
    # What is missing of the record is the next page's to show, or to know to be gone.
    assert page.next_page_token is not None


async def test_dead_rows_before_the_first_live_one_are_of_its_moment(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    """A read stops before a record whose first rows are dead; they live before the next read of the page."""

    class Racing(Slow):
        kv: KeyValue | None = None

        async def walk(self, table: str, *arguments: Any, **named: Any) -> Any:
            page = await super().walk(table, *arguments, **named)
            if self.kv is not None:
                kv, self.kv = self.kv, None
                for id in ids:
                    await kv.put_items(id=id, items=[item(b"a", b"1" * 100), item(b"z", b"1" * 100)])
            return page

    engine = Racing(environment)
    kv = await make(await open_stage(engine), "people")
    ids = [f"id-{number}" for number in range(20)]
    for id in ids:
        await kv.put_items(id=id, items=[item(b"a", b"0"), item(b"z", b"0" * 100)])
        await kv.delete_items(id=id, predicate=keys(b"a"))
    # The first read takes its time, so that what races with it is written later than that.
    engine.kv, raced_ns = kv, environment.now_ns() + 10_000_000
    page = await kv.scan_items(selection=Selection(page_size_bytes=500, include_values=False))
    halves = [record.items[0].metadata.token for record in page.records if len(record.items) == 1]
    assert halves
    assert [token for token in halves if token.generation_time >= raced_ns] == []


async def test_a_scan_has_no_reverse(plain: KeyValue) -> None:
    with pytest.raises(InvalidArgument, match="the engine's order") as refused:
        await plain.scan_items(selection=Selection(reverse=True))
    assert (refused.value.field, bool(refused.value.hint)) == ("selection.reverse", True)


@pytest.mark.parametrize(("segment", "total"), [(1, 1), (5, 5)])
async def test_a_segment_beyond_the_last_is_refused(kv: KeyValue, segment: int, total: int) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await kv.scan_items(segment=segment, total_segments=total)
    assert refused.value.field == "segment"
    assert "1 to 1024 segments" in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("segment", "total", "field"),
    [
        (-1, 5, "segment"),
        (2**70, 1, "segment"),
        (0, 0, "total_segments"),
        (0, 1_025, "total_segments"),
        (0, -1, "total_segments"),
    ],
)
async def test_a_segment_that_is_none_is_refused(kv: KeyValue, segment: int, total: int, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await kv.scan_items(segment=segment, total_segments=total)
    assert (refused.value.field, bool(refused.value.hint)) == (field, True)


async def test_a_token_of_another_segment_is_refused(kv: KeyValue, people: dict[str, list[bytes]]) -> None:
    selection = Selection(page_size_bytes=1)
    page = await kv.scan_items(segment=0, total_segments=2, selection=selection)
    with pytest.raises(InvalidArgument, match="another request"):
        await kv.scan_items(segment=1, total_segments=2, selection=selection, page_token=page.next_page_token)


async def test_an_id_that_is_no_text_is_told_as_lost(kv: KeyValue, stage: Stage) -> None:
    await kv.put_items(id="person", items=[item(b"key", b"value")])
    people = served(stage)
    cell = version.put(1, "token", b"value")
    await people.records.apply(people.table, b"\xff\xfe", Batch(cells=[(b"key", cell)]))
    with pytest.raises(DataLoss, match="no text"):
        await kv.scan_items()


async def test_a_slow_store_never_makes_a_scan_late(open_stage: OpenStage, environment: VirtualEnvironment) -> None:
    kv = await make(await open_stage(Slow(environment)), "people", slos=within(100), rows_max=50, rows_min=1)
    for number in range(40):
        await kv.put_items(id=f"id-{number}", items=[item(b"%02d" % key, b"x" * 20) for key in range(25)])
    found, began = 0, environment.monotonic_ns()
    async for page in kv.with_options(deadline=0.1).scan_items.pages():
        assert environment.monotonic_ns() - began < 100_000_000
        found += sum(len(record.items) for record in page.records)
        began = environment.monotonic_ns()
    assert found == 1_000


async def test_the_objective_of_scans_may_differ(open_stage: OpenStage, environment: VirtualEnvironment) -> None:
    slos = {**within(50), "scan_items": Objective(latency=LatencyObjective(max=Duration(70_000_000)))}
    stage = await open_stage(Slow(environment))
    await (await make(stage, "people", slos=slos)).scan_items()
    assert served(stage).max_ns["scan_items"] == 70_000_000


@pytest.mark.slow
async def test_untouched_records_appear_once_while_others_come_and_go(kv: KeyValue) -> None:
    untouched = {f"still-{number}" for number in range(300)}
    for id in untouched:
        await kv.put_items(id=id, items=[item(b"a"), item(b"b")])
    done = asyncio.Event()

    async def write() -> None:
        for number in range(150):
            await kv.put_items(id=f"moving-{number % 40}", items=[item(b"%d" % number)])
            await kv.delete_items(id=f"moving-{(number + 7) % 40}", predicate=ALL)
            await asyncio.sleep(0)
        done.set()

    writing = asyncio.ensure_future(write())
    walks = 0
    while not done.is_set():
        found: list[str] = []
        async for page in kv.scan_items.pages(selection=Selection(page_size_bytes=2_000)):
            found += [record.id for record in page.records if record.id in untouched for _ in record.items]
            await asyncio.sleep(0)
        assert sorted(found) == sorted([*untouched, *untouched])
        walks += 1
    await writing
    assert walks > 1
