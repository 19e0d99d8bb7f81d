"""Single items read lately: what is kept, for how long, and that no reader is told what has changed."""

from __future__ import annotations

import tracemalloc
from typing import Any, cast

import msgspec
import pytest
from tests.data.kv.conftest import ALL, Clock, OpenStage, between, item, keys, make, served

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv import KeyValue
from soundstage.data.kv.api import Item, ItemMetadata, MatchKeys, Predicate
from soundstage.data.kv.hot_items import ENTRY_BYTES, Address, HotItem, HotItems
from soundstage.data.kv.service import KeyValueService
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

MIB = 1 << 20
PEOPLE = cast("Any", "people")


class Flag:
    """A mark that ends when it is told to."""

    def __init__(self) -> None:
        self.current = True


def address(number: int) -> Address:
    return PEOPLE, f"id-{number:06d}", b"key-%06d" % number


def hot(number: int = 0, value: bytes = b"value", mark: Flag | None = None) -> HotItem:
    token = IdempotencyToken(Instant(10**18 + number), f"token-{number:06d}-and-more")
    found = Item(key=b"key-%06d" % number, value=value, metadata=ItemMetadata(token=token, size=len(value)))
    return HotItem(mark or Flag(), found, IdempotencyToken(Instant(10**18 + number), f"stamp-{number:06d}"), 10**15, 0)


def test_what_was_kept_is_found() -> None:
    items, one = HotItems(MIB), hot()
    items.keep(address(0), one)
    assert items.find(address(0)) is one


def test_what_was_not_kept_is_not_found() -> None:
    items = HotItems(MIB)
    items.keep(address(0), hot())
    assert items.find(address(1)) is None


def test_what_is_no_longer_true_is_not_found() -> None:
    items, mark = HotItems(MIB), Flag()
    items.keep(address(0), hot(mark=mark))
    mark.current = False
    assert items.find(address(0)) is None


def test_the_older_generation_is_no_longer_true_either() -> None:
    items, mark = HotItems(16 * ENTRY_BYTES), Flag()
    items.keep(address(0), hot(mark=mark, value=b""))
    for number in range(1, 9):
        items.keep(address(number), hot(number, value=b""))
    mark.current = False
    assert items.find(address(0)) is None


def filled() -> HotItems:
    """Room for few, of which there have been many."""
    items = HotItems(64 * ENTRY_BYTES)
    for number in range(100):
        items.keep(address(number), hot(number, value=b""))
    return items


def test_whatever_is_read_is_admitted_while_there_has_been_room_for_all() -> None:
    items = HotItems(MIB)
    items.keep(address(0), hot())
    assert all(items.admits(address(number)) for number in range(1, 100))


def test_what_is_read_for_the_first_time_is_not_admitted_once_the_room_was_too_small() -> None:
    items = filled()
    # One in 256 may look like what was read before.
    assert sum(items.admits(address(number)) for number in range(1_000, 2_000)) < 100


def test_what_is_read_for_the_second_time_is_admitted() -> None:
    items = filled()
    items.admits(address(1_000))
    assert items.admits(address(1_000))


def test_what_is_kept_is_admitted_again_with_its_new_value() -> None:
    items = filled()
    assert items.admits(address(99))


def test_all_is_admitted_again_once_nothing_is_kept() -> None:
    items = filled()
    items.clear()
    assert all(items.admits(address(number)) for number in range(1_000, 1_010))


@pytest.mark.parametrize(("id_chars", "key_bytes", "value_bytes"), [(9, 10, 250), (9, 4_096, 0), (1_000, 10, 0)])
def test_the_budget_holds_whatever_is_kept(id_chars: int, key_bytes: int, value_bytes: int) -> None:
    items = HotItems(MIB)
    tracemalloc.start()
    try:
        for number in range(10_000):
            id, key = f"{number:06d}".ljust(id_chars, "€"), (b"%06d" % number).ljust(key_bytes, b"-")
            kept = hot(number, value=bytes(value_bytes))
            assert kept.item is not None
            kept = msgspec.structs.replace(kept, item=msgspec.structs.replace(kept.item, key=bytes(bytearray(key))))
            items.keep((PEOPLE, id, key), kept)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert MIB // 5 < taken < 1.1 * MIB


def test_an_item_that_is_kept_anew_takes_the_room_of_the_old() -> None:
    items = HotItems(32 * ENTRY_BYTES)
    for number in range(5):
        items.keep(address(number), hot(number, value=b""))
    for _ in range(1_000):
        items.keep(address(5), hot(5, value=b""))
    assert all(items.find(address(number)) for number in range(6))


def test_what_is_read_often_stays() -> None:
    items = HotItems(64 * ENTRY_BYTES)
    items.keep(address(0), hot())
    for number in range(1, 1_000):
        items.keep(address(number), hot(number))
        assert items.find(address(0)) is not None
    assert items.find(address(1)) is None


def test_a_value_that_would_take_most_of_the_memory_is_not_kept() -> None:
    items = HotItems(MIB)
    items.keep(address(0), hot(value=bytes(MIB // 4)))
    assert items.find(address(0)) is None


def test_without_memory_nothing_is_kept() -> None:
    items = HotItems(0)
    items.keep(address(0), hot(value=b""))
    assert items.find(address(0)) is None


def test_nothing_is_kept_once_cleared() -> None:
    items = HotItems(MIB)
    items.keep(address(0), hot())
    items.clear()
    assert items.find(address(0)) is None


@pytest.fixture
async def embedded(open_stage: OpenStage) -> Stage:
    return await open_stage("rocksdb")


@pytest.fixture
async def people(embedded: Stage) -> KeyValue:
    return await make(embedded, "people")


async def value_of(kv: KeyValue, id: str = "ada", key: bytes = b"k") -> bytes | None:
    found = (await kv.get_items(id=id, predicate=keys(key))).items
    return found[0].value if found else None


def found(stage: Stage) -> int:
    service = stage.systems.service("kv")
    assert isinstance(service, KeyValueService)
    return service._hot.found


async def test_an_item_is_looked_up_once(embedded: Stage, people: KeyValue) -> None:
    await people.put_items(id="ada", items=[item(b"k", b"1")])
    replies = [await people.get_items(id="ada", predicate=keys(b"k")) for _ in range(3)]
    assert found(embedded) == 2
    assert replies[0] == replies[1] == replies[2]


async def test_that_nothing_is_there_is_kept_too(embedded: Stage, people: KeyValue) -> None:
    await people.put_items(id="ada", items=[item(b"other")])
    replies = [await people.get_items(id="ada", predicate=keys(b"k")) for _ in range(2)]
    assert (found(embedded), replies[0].items) == (1, [])
    assert replies[0] == replies[1]


@pytest.mark.parametrize("change", ["put", "delete", "range", "all"])
async def test_a_reader_sees_every_write_at_once(people: KeyValue, change: str) -> None:
    await people.put_items(id="ada", items=[item(b"k", b"1")])
    for _ in range(2):
        assert await value_of(people) == b"1"
    if change == "put":
        await people.put_items(id="ada", items=[item(b"k", b"2")])
    else:
        gone = {"delete": keys(b"k"), "range": between(b"a", b"z"), "all": ALL}[change]
        await people.delete_items(id="ada", predicate=gone)
    assert await value_of(people) == (b"2" if change == "put" else None)


async def test_a_late_write_of_another_item_is_seen(people: KeyValue, clock: Clock) -> None:
    await people.put_items(id="ada", items=[item(b"a"), item(b"z")], idempotency_token=clock.token())
    for _ in range(2):
        assert await value_of(people) is None
    await people.put_items(id="ada", items=[item(b"k", b"1")], idempotency_token=clock.token(at=-1_000_000))
    assert await value_of(people) == b"1"


async def test_an_item_expires_to_the_microsecond(people: KeyValue, environment: VirtualEnvironment) -> None:
    reply = await people.put_items(id="ada", items=[item(b"k", b"1", ttl="5s")])
    assert await value_of(people) == b"1"
    over_us = reply.idempotency_token.generation_time // 1_000 + 5_000_000
    environment.advance((over_us - 1 - environment.now_us()) / 1e6)
    assert await value_of(people) == b"1"
    environment.advance(1e-6)
    assert await value_of(people) is None


async def test_a_namespace_made_anew_knows_nothing_of_the_old(embedded: Stage, people: KeyValue) -> None:
    await people.put_items(id="ada", items=[item(b"k", b"1")])
    assert await value_of(people) == b"1"
    control = embedded.client(Namespaces)
    await control.delete(name="people")
    await control.put(namespace=NamespaceSpec(name="people", abstraction="kv"))
    assert await value_of(people) is None


async def test_namespaces_are_kept_apart(embedded: Stage, people: KeyValue) -> None:
    other = await make(embedded, "other")
    await people.put_items(id="ada", items=[item(b"k", b"1")])
    await other.put_items(id="ada", items=[item(b"k", b"2")])
    assert [await value_of(people), await value_of(other), await value_of(people)] == [b"1", b"2", b"1"]


async def test_a_store_that_cannot_tell_is_asked_every_time(plain_stage: Stage, plain: KeyValue) -> None:
    await plain.put_items(id="ada", items=[item(b"k", b"1")])
    for _ in range(3):
        assert await value_of(plain) == b"1"
    assert found(plain_stage) == 0


async def test_a_kept_item_teaches_the_clock_as_one_that_is_read(
    embedded: Stage, people: KeyValue, environment: VirtualEnvironment, clock: Clock
) -> None:
    await people.put_items(id="ada", items=[item(b"k", b"old")], idempotency_token=clock.token())
    embedded_clock = served(embedded).clock
    assert await value_of(people) == b"old"
    embedded_clock.last_us = 0
    assert await value_of(people) == b"old"
    assert embedded_clock.last_us > 0


async def test_what_had_expired_counts_as_missed(
    embedded: Stage, people: KeyValue, environment: VirtualEnvironment
) -> None:
    await people.put_items(id="ada", items=[item(b"k", b"1", ttl="5s")])
    await value_of(people)
    environment.advance(10)
    await value_of(people)
    assert found(embedded) == 0


@pytest.mark.parametrize(
    ("id", "asked", "field"),
    [(["ada"], [b"k"], "id"), ("ada", None, "predicate.match_keys.keys"), ("ada", "k", "predicate.match_keys.keys")],
)
async def test_what_is_of_another_type_is_refused(people: KeyValue, id: Any, asked: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await people.get_items(id=id, predicate=Predicate(match_keys=MatchKeys(keys=asked)))
    assert refused.value.field == field
