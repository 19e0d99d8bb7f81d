"""How much a request wants, and what still fits its page."""

from __future__ import annotations

from typing import Any

import pytest
from tests.data.kv.conftest import make, served

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument
from soundstage.data.kv.api import Selection
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.selections import EVERYTHING, ROOMY, ROWS_AT_ONCE, Filling, checked_selection
from soundstage.data.pagination import Patience, RowEstimate
from soundstage.engines.records.port import Row
from soundstage.runtime.stage import Stage

KIB = 1 << 10
OVERHEAD = len(version.put(1, "t", b""))


@pytest.fixture
async def namespace(plain_stage: Stage) -> ServedNamespace:
    kv = await make(
        plain_stage,
        "people",
        page_size_bytes="4KiB",
        page_size_max="8KiB",
        read_bytes_max="64KiB",
        rows_min=10,
        rows_max=500,
    )
    await kv.get_items(id="ada")
    return served(plain_stage)


@pytest.fixture
def patience(environment: VirtualEnvironment) -> Patience:
    return Patience(environment, None, None)


def filling(namespace: ServedNamespace, row_bytes: float = 64.0, **selection: Any) -> Filling:
    return Filling(namespace, Selection(**selection), RowEstimate(row_bytes))


def rows(*sizes: int) -> list[Row]:
    return [(b"%04d" % number, version.put(1, "t", b"x" * size)) for number, size in enumerate(sizes)]


def weight(*sizes: int) -> int:
    return sum(4 + OVERHEAD + size for size in sizes)


def test_no_selection_wants_everything() -> None:
    assert checked_selection(None) is EVERYTHING


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(page_size_bytes=1, item_limit=1, max_value_bytes=0),
        Selection(page_size_bytes=2**63 - 1, item_limit=2**63 - 1, max_value_bytes=2**63 - 1),
    ],
)
def test_limits_from_the_least_to_the_greatest_are_taken(selection: Selection) -> None:
    assert checked_selection(selection) is selection


@pytest.mark.parametrize(
    ("field", "limit"),
    [
        ("page_size_bytes", 0),
        ("page_size_bytes", -1),
        ("item_limit", 0),
        ("item_limit", -5),
        ("max_value_bytes", -1),
        ("page_size_bytes", 2**63),
        ("item_limit", 2**63),
        ("max_value_bytes", 2**70),
    ],
)
def test_a_limit_that_is_none_is_refused_by_its_path(field: str, limit: int) -> None:
    given: dict[str, Any] = {field: limit}
    with pytest.raises(InvalidArgument) as refused:
        checked_selection(Selection(**given))
    assert refused.value.field == f"selection.{field}"
    assert "or leave it out" in (refused.value.hint or "")


@pytest.mark.parametrize(("asked", "given"), [(None, 4 * KIB), (100, 100), (8 * KIB, 8 * KIB), (2**40, 8 * KIB)])
def test_a_page_is_as_large_as_asked_up_to_the_greatest(namespace: ServedNamespace, asked: int, given: int) -> None:
    assert filling(namespace, page_size_bytes=asked).bytes_left == given


def test_what_is_read_is_what_still_fits(namespace: ServedNamespace) -> None:
    assert filling(namespace).to_read == 4 * KIB


@pytest.mark.parametrize("selection", [{"include_values": False}, {"max_value_bytes": 10}])
def test_more_is_read_where_values_are_left_out(namespace: ServedNamespace, selection: dict[str, Any]) -> None:
    assert filling(namespace, **selection).to_read == 64 * KIB


def test_what_was_read_counts_against_that(namespace: ServedNamespace) -> None:
    page = filling(namespace, include_values=False)
    page.has_read(rows(1_000, 1_000))
    assert page.to_read == 64 * KIB - weight(1_000, 1_000)


@pytest.mark.parametrize(
    ("limit", "row_bytes", "asked"),
    [(None, 64.0, (500, 71)), (None, 4.0, (500, 500)), (None, 4_096.0, (500, 10)), (3, 64.0, (3, 3))],
)
def test_a_read_is_asked_for_the_rows_that_are_likely_to_fill_it(
    namespace: ServedNamespace, limit: int | None, row_bytes: float, asked: tuple[int, int]
) -> None:
    budget = filling(namespace, row_bytes, item_limit=limit).budget(4 * KIB, 77)
    assert (budget.rows, budget.likely_rows) == asked
    assert (budget.bytes, budget.deadline_ns) == (4 * KIB, 77)


def test_a_read_asks_for_a_byte_at_least(namespace: ServedNamespace) -> None:
    assert filling(namespace).budget(0, None).bytes == 1


async def test_items_are_taken_while_they_fit(namespace: ServedNamespace, patience: Patience) -> None:
    found = await filling(namespace).shape(rows(10, 20, 30), weight(10, 20), patience)
    assert ([item.metadata.size for item in found.items], found.weight) == ([10, 20], weight(10, 20))


async def test_not_even_the_first_is_taken_where_it_does_not_fit(
    namespace: ServedNamespace, patience: Patience
) -> None:
    found = await filling(namespace).shape(rows(10), weight(10) - 1, patience)
    assert (found.items, found.weight) == ([], 0)


async def test_values_left_out_weigh_nothing(namespace: ServedNamespace, patience: Patience) -> None:
    found = await filling(namespace, max_value_bytes=50).shape(rows(50, 51), ROOMY, patience)
    assert ([item.value is None for item in found.items], found.weight) == ([False, True], weight(50, 0))


@pytest.mark.parametrize("count", [ROWS_AT_ONCE - 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, 3 * ROWS_AT_ONCE + 7])
async def test_many_rows_are_all_taken(namespace: ServedNamespace, patience: Patience, count: int) -> None:
    found = await filling(namespace).shape(rows(*[1] * count), ROOMY, patience)
    assert [item.key for item in found.items] == [b"%04d" % n for n in range(count)]
    assert found.weight == weight(*[1] * count)


@pytest.mark.parametrize("count", [ROWS_AT_ONCE, ROWS_AT_ONCE + 1, 2 * ROWS_AT_ONCE, 2 * ROWS_AT_ONCE + 1])
async def test_many_rows_are_taken_while_they_fit(namespace: ServedNamespace, patience: Patience, count: int) -> None:
    given = rows(*[1] * (3 * ROWS_AT_ONCE))
    found = await filling(namespace).shape(given, weight(*[1] * count), patience)
    assert len(found.items) == count


async def test_others_run_while_many_rows_are_made_into_items(
    namespace: ServedNamespace, environment: VirtualEnvironment
) -> None:
    ways: list[float] = []

    class Watched(VirtualEnvironment):
        async def sleep(self, seconds: float) -> None:
            ways.append(seconds)

    await filling(namespace).shape(rows(*[1] * 5 * ROWS_AT_ONCE), ROOMY, Patience(Watched(), None, None))
    assert ways == [0.0] * 4


def test_the_estimates_of_the_walk_and_of_the_namespace_learn(namespace: ServedNamespace) -> None:
    page = filling(namespace, row_bytes=weight(100))
    before = namespace.estimate.bytes
    page.has_read(rows(200, 200))
    assert weight(100) < page.estimate.bytes < weight(200)
    assert namespace.estimate.bytes == before + 0.2 * (weight(200) - before)


def test_nothing_read_teaches_nothing(namespace: ServedNamespace) -> None:
    page = filling(namespace, row_bytes=99.0)
    page.has_read([])
    assert page.estimate.bytes == 99.0


def test_what_is_put_in_is_counted(namespace: ServedNamespace) -> None:
    page = filling(namespace, item_limit=5)
    page.put_in(2, 100)
    assert (page.items_left, page.bytes_left, namespace.amplification.returned) == (3, 4 * KIB - 100, 100)
