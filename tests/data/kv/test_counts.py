"""How many items of a record there are."""

from __future__ import annotations

import pytest
from tests.data.kv.conftest import ALL, OpenStage, between, item, keys, make
from tests.data.kv.engines import Slow
from tests.data.kv.test_reads import fill, within

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument
from soundstage.data.kv.api import CountItemsReply, KeyValue, Predicate
from soundstage.runtime.stage import Stage


@pytest.fixture
async def ten(kv: KeyValue) -> KeyValue:
    await kv.put_items(id="ada", items=[item(b"%d" % number, b"x" * 100) for number in range(10)])
    return kv


@pytest.mark.parametrize(
    ("predicate", "count"),
    [
        (None, 10),
        (ALL, 10),
        (between(b"3", b"7"), 4),
        (between(b"3", b"7", start_inclusive=False, end_inclusive=True), 4),
        (between(b"3", b"3"), 0),
        (keys(b"1", b"9", b"none"), 2),
        (keys(), 0),
    ],
)
async def test_the_count_is_of_what_matches(ten: KeyValue, predicate: Predicate | None, count: int) -> None:
    assert await ten.count_items(id="ada", predicate=predicate) == CountItemsReply(count=count, exact=True)


async def test_an_unknown_id_has_none(kv: KeyValue) -> None:
    assert await kv.count_items(id="nobody") == CountItemsReply(count=0, exact=True)


async def test_deleted_and_expired_items_do_not_count(ten: KeyValue, environment: VirtualEnvironment) -> None:
    await ten.delete_items(id="ada", predicate=keys(b"0"))
    await ten.delete_items(id="ada", predicate=between(b"8"))
    await ten.put_items(id="ada", items=[item(b"1", ttl="1s")])
    environment.advance(2)
    assert (await ten.count_items(id="ada")).count == 6


@pytest.mark.parametrize(("limit", "reply"), [(9, (9, False)), (10, (10, True)), (11, (10, True)), (1, (1, False))])
@pytest.mark.parametrize("rows_max", [3, 10_000])
async def test_up_to_the_limit_the_count_is_exact_and_beyond_it_the_limit(
    stage: Stage, limit: int, reply: tuple[int, bool], rows_max: int
) -> None:
    kv = await make(stage, "some", count_limit=limit, rows_max=rows_max, rows_min=1)
    await kv.put_items(id="ada", items=[item(b"%d" % number) for number in range(10)])
    counted = await kv.count_items(id="ada")
    assert (counted.count, counted.exact) == reply


async def test_many_large_items_are_counted_a_part_at_a_time(stage: Stage) -> None:
    kv = await make(stage, "large", read_bytes_max="1MiB")
    names = await fill(kv, "ada", [300_000] * 20)
    assert (await kv.count_items(id="ada")).count == 20
    assert (await kv.count_items(id="ada", predicate=keys(*names))).count == 20


async def test_in_time_a_count_is_a_lower_bound(open_stage: OpenStage, environment: VirtualEnvironment) -> None:
    kv = await make(await open_stage(Slow(environment)), "people", slos=within(100), rows_max=10, rows_min=1)
    await fill(kv, "ada", [1] * 200)
    began = environment.monotonic_ns()
    counted = await kv.with_options(deadline=0.1).count_items(id="ada")
    assert environment.monotonic_ns() - began < 100_000_000
    assert (counted.count, counted.exact) == (40, False)


async def test_a_count_ends_after_a_first_read_that_takes_long(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    kv = await make(await open_stage(Slow(environment, 0.06)), "people", slos=within(100), rows_max=1, rows_min=1)
    await fill(kv, "ada", [1] * 5)
    counted = await kv.count_items(id="ada")
    assert (counted.count, counted.exact) == (1, False)


@pytest.mark.parametrize("id", ["", "x" * 1_025])
async def test_an_id_that_is_none_is_refused(plain: KeyValue, id: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await plain.count_items(id=id)
    assert refused.value.field == "id"


async def test_a_wrong_predicate_is_refused(plain: KeyValue) -> None:
    with pytest.raises(InvalidArgument, match="predicate is empty"):
        await plain.count_items(id="ada", predicate=Predicate())
