from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from tests.testing.simulation.kv.stand import Liar, at_scene, step

from soundstage.data.kv.api import BatchGetItemsReply, CountItemsReply, GetItemsReply, Item, Selection
from soundstage.testing.simulation.climate import Climate
from soundstage.testing.simulation.faults import FaultRates
from soundstage.testing.simulation.kv.reading import Reader, Walk, seen_of
from soundstage.testing.simulation.kv.scene import Scene
from soundstage.testing.simulation.kv.steps import KEYS
from soundstage.testing.simulation.kv.writing import Writer, delete_of, keys_predicate, put_of
from soundstage.testing.simulation.scenario import Divergence


async def put(scene: Scene, *keys: bytes, record: str = "alpha") -> None:
    sent = put_of(record, keys, b"value", None, scene.token(step()), False)
    assert await Writer(scene).send(step(), sent) == "acknowledged"


async def delete(scene: Scene, *keys: bytes) -> None:
    sent = delete_of("alpha", "marker", keys_predicate(keys), keys, scene.token(step()), False)
    assert await Writer(scene).send(step(), sent) == "acknowledged"


def test_items_are_seen_as_replies_show_them() -> None:
    async def body(scene: Scene) -> None:
        await put(scene, b"a")
        reply = await scene.kv(step()).get_items(id="alpha")
        found = seen_of(reply.items)[b"a"]
        assert (found.value, found.size, found.expires_us) == (b"value", 5, 0)
        assert found.is_of(scene.certain("alpha").items[b"a"])

    at_scene(body)


@pytest.mark.parametrize("page_bytes", [1, 60, None])
@pytest.mark.parametrize("key_order", ["asc", "desc"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_walk_shows_every_item(page_bytes: int | None, key_order: str, reverse: bool) -> None:
    async def body(scene: Scene) -> set[bytes]:
        await put(scene, *KEYS[:5])
        await put(scene, *KEYS[5:])
        await delete(scene, KEYS[3])
        selection = Selection(page_size_bytes=page_bytes, reverse=reverse)
        return set(await Reader(scene).read(step(), "alpha", None, KEYS, selection))

    assert at_scene(body, key_order=key_order) == set(KEYS) - {KEYS[3]}


@pytest.mark.parametrize("choice", [0, 1, 2])
def test_keys_ranges_and_everything_are_asked_for(choice: int) -> None:
    async def body(scene: Scene) -> None:
        await put(scene, *KEYS)
        asked = step(choice=choice, keys=(b"a", b"b"), start=b"a", end=b"c", page_bytes=1, item_limit=2)
        await Reader(scene).get(asked)
        await Reader(scene).walk(asked)
        await Reader(scene).count(asked)
        await Reader(scene).batch_get(asked)

    at_scene(body)


def test_an_item_put_behind_a_walk_is_not_missed() -> None:
    """It was passed before it was there, which the pages' own moments explain."""

    async def body(scene: Scene) -> None:
        await put(scene, b"a", b"c")
        walk = Walk(scene, "alpha", KEYS, Selection())
        kv = scene.kv(step())
        selection = Selection(page_size_bytes=1)
        watch = scene.watch()
        first = await kv.get_items(id="alpha", selection=selection)
        walk.take(watch, first.items, first.next_page_token)
        await put(scene, b"b")
        watch = scene.watch()
        items = [item for item in (await kv.get_items(id="alpha")).items if item.key == b"c"]
        walk.take(watch, items, None)
        walk.close()

    at_scene(body, key_order="asc")


def test_an_item_that_was_there_all_along_is_missed() -> None:
    async def body(scene: Scene) -> None:
        await put(scene, b"a", b"b", b"c")
        walk = Walk(scene, "alpha", KEYS, Selection())
        items = (await scene.kv(step()).get_items(id="alpha")).items
        walk.take(scene.watch(), items[:1], "more")
        walk.take(scene.watch(), items[2:], None)

    with pytest.raises(Divergence, match="b'b' shows None"):
        at_scene(body, key_order="asc")


def test_empty_pages_may_come_before_the_first_item() -> None:
    async def body(scene: Scene) -> None:
        await put(scene, b"c")
        walk = Walk(scene, "alpha", KEYS, Selection())
        walk.take(scene.watch(), [], "more")
        walk.take(scene.watch(), [], "more")
        walk.take(scene.watch(), (await scene.kv(step()).get_items(id="alpha")).items, "more")
        walk.take(scene.watch(), [], None)
        assert scene.history.open() == scene.history.events

    at_scene(body)


def test_a_walk_that_ends_early_misses_the_rest() -> None:
    async def body(scene: Scene) -> None:
        await put(scene, b"c")
        walk = Walk(scene, "alpha", KEYS, Selection())
        walk.take(scene.watch(), [], "more")
        walk.take(scene.watch(), [], None)

    with pytest.raises(Divergence, match="b'c' shows None"):
        at_scene(body)


def test_a_walk_under_faults_and_restarts_is_whole() -> None:
    async def body(scene: Scene) -> set[bytes]:
        await put(scene, *KEYS[:5])
        scene.site.host.set_rates(FaultRates(early_page=0.5, lost_before=0.3))
        await scene.site.host.restart("kill", 0.0)
        return set(await Reader(scene).read(step(), "alpha", None, KEYS, Selection(page_size_bytes=60)))

    assert at_scene(body) == set(KEYS[:5])


def pages(reply: Any) -> Any:
    return msgspec.structs.replace(reply, next_page_token="again") if isinstance(reply, GetItemsReply) else reply


def edit(change: Any) -> Any:
    """A lie about the items of a page."""

    def lie(reply: GetItemsReply) -> GetItemsReply:
        return msgspec.structs.replace(reply, items=change(list(reply.items)))

    return lie


def renamed(items: Sequence[Item]) -> list[Item]:
    return [msgspec.structs.replace(item, key=b"elsewhere") for item in items]


def valueless(items: Sequence[Item]) -> list[Item]:
    return [msgspec.structs.replace(item, value=None) for item in items]


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (edit(lambda items: items[1:]), "shows None"),  # pyright: ignore[reportUnknownLambdaType]
        (edit(lambda items: items[::-1]), "out of order"),  # pyright: ignore[reportUnknownLambdaType]
        (edit(lambda items: items * 2), "a key twice"),  # pyright: ignore[reportUnknownLambdaType]
        (edit(renamed), "a key twice"),
        (edit(valueless), "leaves out values"),
        (lambda reply: msgspec.structs.replace(reply, record_token=None), "its token is shown as None"),  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    ],
)
def test_a_store_that_lies_about_a_page_is_found_out(lie: Any, said: str) -> None:
    async def body(scene: Scene) -> None:
        await put(scene, b"a", b"b")
        Liar(scene, lie)
        await Reader(scene).read(step(), "alpha", None, KEYS, Selection())

    with pytest.raises(Divergence, match=said):
        at_scene(body)


@pytest.mark.parametrize(
    ("selection", "said"),
    [(Selection(item_limit=1), "more than the limit"), (Selection(include_values=False), "values that were not asked")],
)
def test_a_store_that_shows_more_than_was_asked_for_is_found_out(selection: Selection, said: str) -> None:
    async def body(scene: Scene) -> None:
        await put(scene, b"a", b"b")
        whole = await scene.kv(step()).get_items(id="alpha")
        Liar(scene, lambda reply: whole)
        await Reader(scene).read(step(), "alpha", None, KEYS, selection)

    with pytest.raises(Divergence, match=said):
        at_scene(body)


def test_pages_without_end_are_found_out() -> None:
    async def body(scene: Scene) -> None:
        Liar(scene, pages)
        await Reader(scene).read(step(), "alpha", None, KEYS, None, pages=500)

    with pytest.raises(Exception, match=r"pages without end|page token"):
        at_scene(body)


@pytest.mark.parametrize(("count", "exact"), [(3, True), (1, True), (3, False)])
def test_a_store_that_miscounts_is_found_out(count: int, exact: bool) -> None:
    async def body(scene: Scene) -> None:
        await put(scene, b"a", b"b")
        Liar(scene, lambda reply: CountItemsReply(count=count, exact=exact))
        await Reader(scene).count(step(choice=2))

    with pytest.raises(Divergence, match=f"counts {count} items"):
        at_scene(body)


def test_a_lower_bound_is_no_miscount() -> None:
    async def body(scene: Scene) -> None:
        await put(scene, b"a", b"b")
        Liar(scene, lambda reply: CountItemsReply(count=1, exact=False))
        await Reader(scene).count(step(choice=2))

    at_scene(body)


def test_counts_are_judged_where_batches_are_applied_in_part() -> None:
    async def body(scene: Scene) -> None:
        sent = put_of("alpha", [b"a", b"b"], b"v", None, scene.token(step()), False)
        sent.write.sure_keys = {}
        scene.history.begin(sent.write)
        await Reader(scene).count(step(choice=2))
        Liar(scene, lambda reply: CountItemsReply(count=3, exact=True))
        with pytest.raises(Divergence, match="not 0 to 2"):
            await Reader(scene).count(step(choice=2))

    at_scene(body, climate=Climate(port=FaultRates(partial=0.1)))


def test_a_batch_shows_its_records_in_the_order_asked_for() -> None:
    def turned(reply: BatchGetItemsReply) -> BatchGetItemsReply:
        return BatchGetItemsReply(records=reply.records[::-1])

    async def body(scene: Scene) -> None:
        Liar(scene, turned)
        await Reader(scene).batch_get(step())

    with pytest.raises(Divergence, match="a batch shows the records"):
        at_scene(body)


@pytest.mark.parametrize("choice", [2, 5])
def test_the_rest_of_a_batch_is_read_or_left(choice: int) -> None:
    async def body(scene: Scene) -> None:
        await put(scene, *KEYS[:4])
        await put(scene, *KEYS[:4], record="b")
        await Reader(scene).batch_get(step(choice=choice, page_bytes=60))

    at_scene(body)
