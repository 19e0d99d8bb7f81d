"""Pages of one record."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest
from tests.data.kv.conftest import ALL, Clock, OpenStage, between, item, keys, make, served, values
from tests.data.kv.engines import Hesitant, RowLimited, Slow

from soundstage.core import version
from soundstage.core.environment import SystemEnvironment, VirtualEnvironment
from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.core.message import Duration
from soundstage.core.namespace import LatencyObjective, Objective
from soundstage.data.kv.api import GetItemsReply, Item, KeyValue, Predicate, Selection
from soundstage.runtime.stage import Stage

MIB = 1 << 20
OVERHEAD = len(version.put(1, "", b""))


def weight(found: Item) -> int:
    """What an item counts against the bytes of a page."""
    return len(found.key) + OVERHEAD + len(found.metadata.token.token.encode()) + len(found.value or b"")


def size(items: list[Item]) -> int:
    return sum(map(weight, items))


async def pages_of(kv: KeyValue, **request: Any) -> list[GetItemsReply]:
    return [page async for page in kv.get_items.pages(**request)]


async def shown(kv: KeyValue, **request: Any) -> list[bytes]:
    """The keys of all pages, in order."""
    return [found.key for page in await pages_of(kv, **request) for found in page.items]


async def fill(kv: KeyValue, id: str, sizes: list[int], names: list[bytes] | None = None) -> list[bytes]:
    """A record of values of these sizes; returns their keys."""
    names = names or [b"%06d" % number for number in range(len(sizes))]
    batch, total = [item(b"", b"")] * 0, 0
    for name, length in zip(names, sizes, strict=True):
        if total + length > 3 * MIB or len(batch) == 4_000:
            await kv.put_items(id=id, items=batch)
            batch, total = [], 0
        batch.append(item(name, b"x" * length))
        total += length + 50
    await kv.put_items(id=id, items=batch)
    return names


async def test_an_unknown_id_reads_as_empty(kv: KeyValue) -> None:
    assert await kv.get_items(id="nobody") == GetItemsReply(items=[])
    assert await kv.get_items(id="nobody", predicate=keys(b"k")) == GetItemsReply(items=[])


async def test_items_come_in_the_order_of_their_keys(kv: KeyValue) -> None:
    names = [b"\xff", b"", b"b", b"a\0", b"a", b"\0"]
    await kv.put_items(id="ada", items=[item(name, name) for name in names])
    assert values((await kv.get_items(id="ada")).items) == {name: name for name in sorted(names)}


async def test_one_item_by_its_key_comes_as_it_does_in_a_page(kv: KeyValue) -> None:
    await kv.put_items(id="ada", items=[item(b"k", b"v", ttl="1h"), item(b"l")])
    page = await kv.get_items(id="ada")
    one = await kv.get_items(id="ada", predicate=keys(b"k"))
    assert (one.items, one.record_token, one.next_page_token) == (page.items[:1], page.record_token, None)


@pytest.mark.parametrize("key", [b"", b"x" * 1_025, b"x" * 4_096])
async def test_one_item_of_any_key_is_found(kv: KeyValue, key: bytes) -> None:
    await kv.put_items(id="ada", items=[item(key, b"v")])
    assert values((await kv.get_items(id="ada", predicate=keys(key))).items) == {key: b"v"}


async def test_a_namespace_may_be_read_downwards(stage: Stage) -> None:
    kv = await make(stage, "log", key_order="desc")
    names = await fill(kv, "log", [10] * 9)
    assert await shown(kv, id="log", selection=Selection(page_size_bytes=200)) == names[::-1]
    assert await shown(kv, id="log", selection=Selection(page_size_bytes=200, reverse=True)) == names
    assert await shown(kv, id="log", predicate=keys(names[1], names[3])) == [names[3], names[1]]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("page_size", [1, 77, 500, 5_000, 100_000])
@pytest.mark.parametrize("predicate", [ALL, between(b"000007", b"000055"), "keys"], ids=["all", "range", "keys"])
async def test_pages_together_are_the_whole(
    kv: KeyValue, predicate: Predicate | str, page_size: int, reverse: bool
) -> None:
    names = await fill(kv, "ada", [number * 7 % 400 for number in range(60)])
    wanted = names[7:55]
    asked = keys(*wanted) if isinstance(predicate, str) else predicate
    wanted = names if asked is ALL else wanted
    found = await shown(kv, id="ada", predicate=asked, selection=Selection(page_size_bytes=page_size, reverse=reverse))
    assert found == (wanted[::-1] if reverse else wanted)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_pages_of_values_up_to_a_mebibyte_are_the_whole_and_keep_to_their_size(kv: KeyValue, seed: int) -> None:
    chance = Random(seed)
    names = await fill(kv, "ada", [min(MIB, int(2 ** chance.uniform(0, 20.2))) for _ in range(150)])
    pages = await pages_of(kv, id="ada", selection=Selection(page_size_bytes=300_000))
    assert [found.key for page in pages for found in page.items] == names
    assert all(size(page.items) <= 300_000 or len(page.items) == 1 for page in pages)


async def test_a_page_is_filled_as_far_as_it_goes(kv: KeyValue) -> None:
    await fill(kv, "ada", [100] * 50)
    pages = await pages_of(kv, id="ada", selection=Selection(page_size_bytes=2_000))
    one = weight(pages[0].items[0])
    assert {len(page.items) for page in pages[:-1]} == {2_000 // one}


async def test_a_page_that_is_exactly_full_is_not_cut(kv: KeyValue) -> None:
    await fill(kv, "ada", [100] * 3)
    whole = size((await kv.get_items(id="ada")).items)
    assert (await kv.get_items(id="ada", selection=Selection(page_size_bytes=whole))).next_page_token is None
    assert (await kv.get_items(id="ada", selection=Selection(page_size_bytes=whole - 1))).next_page_token is not None


async def test_a_giant_item_is_a_page_of_its_own(kv: KeyValue) -> None:
    await fill(kv, "ada", [10, 5_000, 10])
    pages = await pages_of(kv, id="ada", selection=Selection(page_size_bytes=500))
    assert [len(page.items) for page in pages] == [1, 1, 1]


async def test_pages_are_as_large_as_the_namespace_says_and_no_larger_than_its_greatest(stage: Stage) -> None:
    kv = await make(stage, "small", page_size_bytes="1KiB", page_size_max="2KiB")
    await fill(kv, "ada", [100] * 60)
    assert 800 < size((await kv.get_items(id="ada")).items) <= 1_024
    assert 1_800 < size((await kv.get_items(id="ada", selection=Selection(page_size_bytes=MIB))).items) <= 2_048


@pytest.mark.parametrize("asked", [None, ALL, between(b"000002"), "keys"], ids=["none", "all", "range", "keys"])
async def test_the_limit_on_items_is_over_all_pages(kv: KeyValue, asked: Any) -> None:
    names = await fill(kv, "ada", [100] * 20)
    predicate = keys(*names) if asked == "keys" else asked
    first = 2 if predicate is not None and predicate.match_range else 0
    selection = Selection(page_size_bytes=500, item_limit=7)
    pages = await pages_of(kv, id="ada", predicate=predicate, selection=selection)
    assert [found.key for page in pages for found in page.items] == names[first : first + 7]
    assert len(pages) == 3


async def test_a_limit_that_is_the_number_of_items_ends_without_a_token(kv: KeyValue) -> None:
    await fill(kv, "ada", [1] * 5)
    assert (await kv.get_items(id="ada", selection=Selection(item_limit=5))).next_page_token is None


async def test_values_are_left_out_as_selected(kv: KeyValue) -> None:
    await fill(kv, "ada", [5, 50, 500])
    for selection, left in (
        (Selection(include_values=False), [None, None, None]),
        (Selection(max_value_bytes=50), [5, 50, None]),
        (Selection(max_value_bytes=0), [None, None, None]),
        (Selection(include_values=False, max_value_bytes=1_000), [None, None, None]),
    ):
        items = (await kv.get_items(id="ada", selection=selection)).items
        assert [None if found.value is None else len(found.value) for found in items] == left
        assert [found.metadata.size for found in items] == [5, 50, 500]


@pytest.mark.parametrize("selection", [Selection(include_values=False), Selection(max_value_bytes=10)])
async def test_a_page_without_values_holds_many_large_items(kv: KeyValue, selection: Selection) -> None:
    names = await fill(kv, "ada", [100_000] * 60)
    page = await kv.get_items(id="ada", selection=selection)
    assert [found.key for found in page.items] == names


async def test_a_page_without_values_reads_no_more_than_its_knob_says(stage: Stage) -> None:
    kv = await make(stage, "thrifty", page_size_bytes="64KiB", read_bytes_max="1MiB")
    await fill(kv, "ada", [100_000] * 30)
    pages = await pages_of(kv, id="ada", selection=Selection(include_values=False))
    assert [len(page.items) for page in pages] == [10, 10, 10]


async def test_the_record_token_is_on_the_first_page_only(kv: KeyValue) -> None:
    await fill(kv, "ada", [100] * 9)
    pages = await pages_of(kv, id="ada", selection=Selection(page_size_bytes=300))
    assert [page.record_token is not None for page in pages] == [True] + [False] * (len(pages) - 1)


async def test_the_record_token_is_there_for_a_record_without_items(kv: KeyValue) -> None:
    await kv.put_items(id="ada", items=[item(b"k")])
    deleted = (await kv.delete_items(id="ada", predicate=ALL)).idempotency_token
    for predicate in (None, keys(b"k"), keys(), between(b"a", b"a")):
        assert (await kv.get_items(id="ada", predicate=predicate)).record_token == deleted


async def test_a_read_may_ask_for_what_was_written(kv: KeyValue) -> None:
    written = (await kv.put_items(id="ada", items=[item(b"k")])).idempotency_token
    assert len((await kv.get_items(id="ada", min_version=written)).items) == 1
    assert len((await kv.get_items(id="ada", predicate=keys(b"k"), min_version=written)).items) == 1


@pytest.mark.parametrize("predicate", [None, keys(b"k")])
async def test_a_read_that_asks_for_more_is_told_to_come_again(
    kv: KeyValue, clock: Clock, predicate: Predicate | None
) -> None:
    await kv.put_items(id="ada", items=[item(b"k")], idempotency_token=clock.token())
    with pytest.raises(Unavailable) as refused:
        await kv.get_items(id="ada", predicate=predicate, min_version=clock.token(at=1))
    assert (refused.value.field, refused.value.retryable) == ("min_version", True)


async def test_a_walk_does_not_end_for_a_change_of_knobs(stage: Stage) -> None:
    kv = await make(stage, "people")
    names = await fill(kv, "ada", [100] * 40)
    found: list[bytes] = []
    async for page in kv.get_items.pages(id="ada", selection=Selection(page_size_bytes=600)):
        found += [each.key for each in page.items]
        await make(stage, "people", page_size_max="1KiB", page_size_bytes="1KiB", rows_max=3 + len(found), rows_min=1)
    assert found == names


async def test_rows_of_a_page_are_bounded_too(stage: Stage) -> None:
    kv = await make(stage, "few", rows_max=7, rows_min=1)
    await fill(kv, "ada", [1] * 20)
    assert [len(page.items) for page in await pages_of(kv, id="ada")] == [7, 7, 6]


async def test_many_keys_of_large_values_are_read_a_page_at_a_time(kv: KeyValue) -> None:
    names = await fill(kv, "ada", [500_000] * 20)
    pages = await pages_of(kv, id="ada", predicate=keys(*reversed(names), b"none"))
    assert [found.key for page in pages for found in page.items] == names
    assert {len(page.items) for page in pages} == {4}


async def test_five_thousand_keys_come_in_one_page(kv: KeyValue) -> None:
    names = await fill(kv, "ada", [10] * 5_000)
    page = await kv.get_items(id="ada", predicate=keys(*names))
    assert ([found.key for found in page.items], page.next_page_token) == (names, None)


# While others write.


class Busy(VirtualEnvironment):
    """Lets a read be interrupted: its clock moves by `step_s` whenever it is looked at."""

    step_s = 0.0

    def monotonic_ns(self) -> int:
        self.advance(self.step_s)
        return super().monotonic_ns()


@pytest.fixture
async def busy(open_stage: OpenStage) -> tuple[Busy, KeyValue]:
    """A store whose reads give way after every few rows, so that writes come in between."""
    environment = Busy(seed=3)
    kv = await make(await open_stage("rocksdb", environment, "group"), "people", drift_past="1h")
    return environment, kv


@pytest.mark.slow
@pytest.mark.parametrize("by", ["range", "keys"])
async def test_a_page_shows_all_or_nothing_of_each_write(busy: tuple[Busy, KeyValue], by: str) -> None:
    environment, kv = busy
    names = [b"%04d" % number for number in range(900)]
    await kv.put_items(id="ada", items=[item(name, b"0") for name in names])
    environment.step_s = 0.002
    seen: set[bytes] = set()

    async def write() -> None:
        for number in range(1, 25):
            await kv.put_items(id="ada", items=[item(name, b"%d" % number) for name in names])

    async def read() -> None:
        for _ in range(25):
            page = await kv.get_items(id="ada", predicate=keys(*names) if by == "keys" else None)
            shown = {found.value for found in page.items if found.value is not None}
            assert len(shown) == 1
            seen.update(shown)

    await asyncio.gather(write(), read())
    assert len(seen) > 3


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
async def test_untouched_items_appear_once_while_others_come_and_go(kv: KeyValue, reverse: bool) -> None:
    chance = Random(4)
    untouched = [b"%04d" % number for number in range(0, 2_000, 2)]
    others = [b"%04d" % number for number in range(1, 2_000, 2)]
    await kv.put_items(id="ada", items=[item(name, b"x" * 20) for name in untouched])

    async def write() -> None:
        for _ in range(120):
            names = chance.sample(others, 30)
            await kv.put_items(id="ada", items=[item(name, b"y" * chance.randrange(200)) for name in names])
            await kv.delete_items(id="ada", predicate=keys(*chance.sample(names, 10)))
            await asyncio.sleep(0)

    writing = asyncio.ensure_future(write())
    walks = 0
    while not writing.done():
        found: list[bytes] = []
        async for page in kv.get_items.pages(id="ada", selection=Selection(page_size_bytes=3_000, reverse=reverse)):
            found += [each.key for each in page.items]
            await asyncio.sleep(0)
        assert found == sorted(set(found), reverse=reverse)
        assert set(untouched) <= set(found)
        walks += 1
    await writing
    assert walks > 2


# Stores that are slow, or cannot stop by bytes.


def within(milliseconds: int) -> dict[str, Objective]:
    return {"read": Objective(latency=LatencyObjective(max=Duration(milliseconds * 1_000_000)))}


@pytest.mark.parametrize("by", ["range", "keys"])
async def test_a_slow_store_never_makes_a_walk_late(
    open_stage: OpenStage, environment: VirtualEnvironment, by: str
) -> None:
    slow = Slow(environment)
    kv = await make(await open_stage(slow), "people", slos=within(100), rows_max=500, rows_min=1)
    names = await fill(kv, "ada", [20] * 10_000)
    found: list[bytes] = []
    predicate = keys(*names[:5_000]) if by == "keys" else None
    pages = kv.with_options(deadline=0.1).get_items.pages(id="ada", predicate=predicate)
    began = environment.monotonic_ns()
    async for page in pages:
        assert environment.monotonic_ns() - began < 100_000_000
        found += [each.key for each in page.items]
        began = environment.monotonic_ns()
    assert found == names[: len(found)]
    assert len(found) == (5_000 if by == "keys" else 10_000)


@pytest.mark.parametrize("deadline", [None, 0.1])
async def test_a_page_of_dead_rows_is_empty_and_goes_on(
    open_stage: OpenStage, environment: VirtualEnvironment, deadline: float | None
) -> None:
    class Dead(Slow):
        """Reads find nothing in their time, but for the twelfth."""

        reads = 0

        async def read(self, table: str, partition: bytes, span: Any, budget: Any, now_us: int) -> Any:
            page = await super().read(table, partition, span, budget, now_us)
            self.reads += table == "kv/people"
            return type(page)([], span.start, page.stamp) if 0 < self.reads < 12 else page

    kv = await make(await open_stage(Dead(environment)), "people", slos=within(100))
    await fill(kv, "ada", [20] * 3)
    pages = await pages_of(kv.with_options(deadline=deadline), id="ada")
    assert [len(page.items) for page in pages[:-1]] == [0] * (len(pages) - 1)
    assert len(pages[-1].items) == 3
    assert len(pages) > 2


async def test_a_store_that_hesitates_makes_empty_pages_and_hides_nothing(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    kv = await make(await open_stage(Hesitant(environment)), "people")
    names = await fill(kv, "ada", [100] * 30)
    for reverse in (False, True):
        pages = await pages_of(
            kv, id="ada", predicate=between(b"", b"z"), selection=Selection(page_size_bytes=1_000, reverse=reverse)
        )
        assert {bool(page.items) for page in pages} == {True, False}
        assert sorted(found.key for page in pages for found in page.items) == names


async def test_the_objective_of_the_operation_goes_before_that_of_reads(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    slos = {**within(1_000), "get_items": Objective(latency=LatencyObjective(max=Duration(50_000_000)))}
    stage = await open_stage(Slow(environment))
    kv = await make(stage, "people", slos=slos)
    await kv.get_items(id="ada")
    assert served(stage).max_ns == {
        "get_items": 50_000_000,
        "scan_items": 1_000_000_000,
        "batch_get_items": 1_000_000_000,
        "count_items": 1_000_000_000,
    }


def uniform(chance: Random) -> int:
    return chance.randint(50, 1_500)


def bimodal(chance: Random) -> int:
    return 100 if chance.random() < 0.9 else 20_000


async def amplification(open_stage: OpenStage, environment: VirtualEnvironment, draw: Any, **knobs: Any) -> float:
    """Bytes that the store returned over bytes of the replies, from the second page of a walk on."""
    chance = Random(6)
    stage = await open_stage(RowLimited(environment))
    kv = await make(stage, "people", **knobs)
    names = await fill(kv, "ada", [draw(chance) for _ in range(6_000)])
    selection, found = Selection(page_size_bytes=100_000), list[bytes]()
    counts: list[tuple[int, int]] = []
    async for page in kv.get_items.pages(id="ada", selection=selection):
        assert size(page.items) <= 100_000 or len(page.items) == 1
        found += [each.key for each in page.items]
        counted = served(stage).amplification
        counts.append((counted.read, counted.returned))
    assert found == names
    return (counts[-1][0] - counts[0][0]) / (counts[-1][1] - counts[0][1])


@pytest.mark.slow
@pytest.mark.parametrize(("draw", "most"), [(uniform, 1.3), (bimodal, 2.0)], ids=["uniform", "bimodal"])
async def test_a_store_that_counts_rows_is_read_little_more_than_is_returned(
    open_stage: OpenStage, environment: VirtualEnvironment, draw: Any, most: float
) -> None:
    adaptive = await amplification(open_stage, environment, draw)
    static = await amplification(open_stage, environment, draw, rows_min=1_000, rows_max=1_000)
    assert adaptive < most
    assert static > 2 * adaptive


async def test_a_store_that_stops_by_bytes_is_read_no_more_than_is_returned(kv: KeyValue, stage: Stage) -> None:
    chance = Random(6)
    await fill(kv, "ada", [bimodal(chance) for _ in range(1_000)])
    await pages_of(kv, id="ada", selection=Selection(page_size_bytes=100_000))
    counted = served(stage).amplification
    assert counted.read == counted.returned > 0


async def test_a_real_clock_is_as_good(open_stage: OpenStage) -> None:
    kv = await make(await open_stage("memory", SystemEnvironment()), "people", slos=within(60_000))
    names = await fill(kv, "ada", [10] * 100)
    assert await shown(kv.with_options(deadline=60), id="ada", selection=Selection(page_size_bytes=700)) == names


@pytest.mark.parametrize("id", ["", "x" * 1_025, "é" * 513])
async def test_an_id_of_no_length_or_too_much_is_refused(plain: KeyValue, id: str) -> None:
    for predicate in (None, keys(b"k")):
        with pytest.raises(InvalidArgument) as refused:
            await plain.get_items(id=id, predicate=predicate)
        assert (refused.value.field, refused.value.hint) == ("id", "use 1 to 1024 bytes")
