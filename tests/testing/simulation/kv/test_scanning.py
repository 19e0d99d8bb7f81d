from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.testing.simulation.kv.stand import Liar, at_scene, step

from soundstage.data.kv.api import Item, ScanItemsReply, ScannedRecord
from soundstage.testing.simulation.faults import FaultRates
from soundstage.testing.simulation.kv.scanning import Scanner
from soundstage.testing.simulation.kv.scene import Scene
from soundstage.testing.simulation.kv.steps import KEYS, RECORDS
from soundstage.testing.simulation.kv.writing import Writer, put_of
from soundstage.testing.simulation.scenario import Divergence


async def fill(scene: Scene) -> None:
    for record in RECORDS:
        sent = put_of(record, KEYS[:4], b"value", None, scene.token(step()), False)
        assert await Writer(scene).send(step(), sent) == "acknowledged"


@pytest.mark.parametrize("page_bytes", [1, 200, None])
@pytest.mark.parametrize("segments", [1, 3])
def test_a_scan_meets_everything_once(page_bytes: int | None, segments: int) -> None:
    async def body(scene: Scene) -> None:
        await fill(scene)
        await Scanner(scene).scan(step("scan", page_bytes=page_bytes, segments=segments))

    at_scene(body)


@pytest.mark.parametrize("item_limit", [1, 5, 16, 17])
def test_a_scan_may_end_at_its_limit(item_limit: int) -> None:
    async def body(scene: Scene) -> None:
        await fill(scene)
        await Scanner(scene).scan(step("scan", page_bytes=200, item_limit=item_limit))

    at_scene(body)


def test_a_scan_under_faults_and_a_restart_meets_everything_once() -> None:
    async def body(scene: Scene) -> None:
        await fill(scene)
        scene.site.host.set_rates(FaultRates(early_page=0.5, lost_before=0.3, late=0.3))
        await scene.site.host.restart("kill", 0.0)
        await Scanner(scene).scan(step("scan", page_bytes=60))

    at_scene(body)


def test_nothing_is_under_way_after_a_scan() -> None:
    async def body(scene: Scene) -> int:
        await fill(scene)
        await Scanner(scene).scan(step("scan", page_bytes=60))
        sent = put_of("alpha", [b"a"], b"v", None, scene.token(step()), False)
        await Writer(scene).send(step(), sent)
        return len(scene.history.record("alpha").recent)

    assert at_scene(body) == 0


Lie = Callable[[list[ScannedRecord]], list[ScannedRecord]]


def told(change: Lie) -> Callable[[ScanItemsReply], ScanItemsReply]:
    def lie(reply: ScanItemsReply) -> ScanItemsReply:
        return ScanItemsReply(records=change(list(reply.records)), next_page_token=reply.next_page_token)

    return lie


def first(records: list[ScannedRecord], items: list[Item]) -> list[ScannedRecord]:
    return [ScannedRecord(id=records[0].id, items=items), *records[1:]]


def without_a_record(records: list[ScannedRecord]) -> list[ScannedRecord]:
    return records[1:]


def without_an_item(records: list[ScannedRecord]) -> list[ScannedRecord]:
    return first(records, records[0].items[1:])


def a_record_again(records: list[ScannedRecord]) -> list[ScannedRecord]:
    return [*records, records[0]]


def an_item_again(records: list[ScannedRecord]) -> list[ScannedRecord]:
    return first(records, [*records[0].items, records[0].items[-1]])


def out_of_order(records: list[ScannedRecord]) -> list[ScannedRecord]:
    return first(records, records[0].items[::-1])


def an_empty_record(records: list[ScannedRecord]) -> list[ScannedRecord]:
    return first(records, [])


def a_record_in_two_parts(records: list[ScannedRecord]) -> list[ScannedRecord]:
    items = records[0].items
    return [ScannedRecord(id=records[0].id, items=items[2:]), *first(records, items[:2])]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_a_record, "shows None and may be Version"),
        (without_an_item, "shows None and may be Version"),
        (a_record_again, "came back to"),
        (an_item_again, "with the keys"),
        (out_of_order, "shows the keys"),
        (an_empty_record, "with the keys"),
        (a_record_in_two_parts, "after"),
    ],
)
def test_a_store_that_lies_about_a_scan_is_found_out(change: Lie, said: str) -> None:
    async def body(scene: Scene) -> None:
        await fill(scene)
        Liar(scene, told(change))
        await Scanner(scene).scan(step("scan"))

    with pytest.raises(Divergence, match=said):
        at_scene(body)


def test_a_scan_with_more_items_than_its_limit_is_found_out() -> None:
    async def body(scene: Scene) -> None:
        await fill(scene)
        whole: Any = await scene.kv(step()).scan_items()
        Liar(scene, lambda reply: whole)
        await Scanner(scene).scan(step("scan", item_limit=3))

    with pytest.raises(Divergence, match="13 items more than its limit"):
        at_scene(body)
