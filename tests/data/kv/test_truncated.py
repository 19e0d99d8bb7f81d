"""A namespace that was truncated, as it is read and written from then on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import pytest
from tests.data.kv.conftest import ALL, Clock, OpenStage, between, item, keys, make, values

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, NotFound, PreconditionFailed, TokenDrift, Unavailable
from soundstage.core.message import IdempotencyToken
from soundstage.data.kv.api import Condition, KeyValue, Selection
from soundstage.data.kv.erasing import due_us
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.service import KeyValueService
from soundstage.data.kv.truncated import TruncatedRecords, eraser, stamp_of
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import ALL as WHOLE
from soundstage.engines.records.port import Batch, Budget, RangeDelete, Stamp, TableSpec
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

AT = Stamp(1_000, "t")


async def truncate(kv: KeyValue, token: IdempotencyToken | None = None, name: str = "people") -> IdempotencyToken:
    return (await kv.truncate(confirm=name, idempotency_token=token)).idempotency_token


async def walked(kv: KeyValue) -> dict[str, list[bytes]]:
    return {
        record.id: [found.key for found in record.items]
        async for page in kv.scan_items.pages()
        for record in page.records
    }


async def test_all_records_are_gone_at_once(kv: KeyValue) -> None:
    for number in range(20):
        await kv.put_items(id=f"id-{number}", items=[item(b"k", b"v"), item(b"l")])
    await truncate(kv)
    assert (await kv.get_items(id="id-3")).items == []
    assert (await kv.get_items(id="id-3", predicate=keys(b"k"))).items == []
    assert (await kv.count_items(id="id-3")).count == 0
    assert [each.items for each in (await kv.batch_get_items(ids=["id-1", "id-2"])).records] == [[], []]
    assert await walked(kv) == {}


async def test_an_item_read_just_before_is_gone_too(kv: KeyValue) -> None:
    await kv.put_items(id="ada", items=[item(b"k", b"v")])
    for _ in range(2):
        assert values((await kv.get_items(id="ada", predicate=keys(b"k"))).items) == {b"k": b"v"}
    await truncate(kv)
    assert (await kv.get_items(id="ada", predicate=keys(b"k"))).items == []


async def test_what_is_written_afterwards_stays(kv: KeyValue) -> None:
    await kv.put_items(id="ada", items=[item(b"old"), item(b"k", b"1")])
    await truncate(kv)
    await kv.put_items(id="ada", items=[item(b"k", b"2"), item(b"new")])
    assert values((await kv.get_items(id="ada")).items) == {b"k": b"2", b"new": b""}
    assert await walked(kv) == {"ada": [b"k", b"new"]}
    assert (await kv.count_items(id="ada")).count == 2


async def test_a_late_write_of_before_does_not_come_back(kv: KeyValue, clock: Clock) -> None:
    early = clock.token(-5_000_000)
    await kv.put_items(id="ada", items=[item(b"k", b"v")], idempotency_token=early)
    await truncate(kv)
    await kv.put_items(id="ada", items=[item(b"k", b"v")], idempotency_token=early)
    await kv.put_items(id="eve", items=[item(b"k", b"v")], idempotency_token=clock.token(-1_000_000))
    assert await walked(kv) == {}


async def test_a_write_of_a_later_token_stays_though_it_came_before(kv: KeyValue, clock: Clock) -> None:
    await kv.put_items(id="ada", items=[item(b"k")], idempotency_token=clock.token(1_000_000))
    await truncate(kv, clock.token())
    assert await walked(kv) == {"ada": [b"k"]}


async def test_the_repetition_of_a_truncation_takes_nothing_of_what_was_written_since(
    kv: KeyValue, clock: Clock
) -> None:
    token = clock.token()
    await truncate(kv, token)
    await kv.put_items(id="ada", items=[item(b"k")])
    await truncate(kv, token)
    await truncate(kv, clock.token(-1_000_000))
    assert await walked(kv) == {"ada": [b"k"]}


async def test_without_a_token_it_hides_whatever_was_seen_here(kv: KeyValue, clock: Clock) -> None:
    await kv.put_items(id="ada", items=[item(b"k")], idempotency_token=clock.token(1_500_000))
    made = await truncate(kv)
    assert await walked(kv) == {}
    await kv.put_items(id="ada", items=[item(b"k")])
    assert (await kv.get_items(id="ada")).items[0].metadata.token.generation_time > made.generation_time


async def test_a_condition_sees_no_item_that_is_gone(kv: KeyValue) -> None:
    before = (await kv.put_items(id="ada", items=[item(b"k", b"1"), item(b"l")])).idempotency_token
    await truncate(kv)
    with pytest.raises(PreconditionFailed):
        await kv.put_items(id="ada", items=[item(b"k")], condition=Condition(key=b"k", token=before))
    await kv.put_items(id="ada", items=[item(b"k", b"2")], condition=Condition(key=b"k", absent=True))
    assert values((await kv.get_items(id="ada")).items) == {b"k": b"2"}


async def test_the_token_of_a_record_that_is_gone_is_that_of_the_truncation(kv: KeyValue) -> None:
    await kv.put_items(id="ada", items=[item(b"k")])
    made = await truncate(kv)
    seen = (await kv.get_items(id="ada")).record_token
    assert seen is not None
    assert seen.generation_time == made.generation_time
    await kv.put_items(id="ada", items=[item(b"k")], condition=Condition(token=seen))
    assert (await kv.get_items(id="nobody")).record_token is None


async def test_a_conditional_write_of_before_is_still_known(kv: KeyValue, clock: Clock) -> None:
    token, absent = clock.token(), Condition(key=b"k", absent=True)
    first = await kv.put_items(id="ada", items=[item(b"k")], condition=absent, idempotency_token=token)
    await truncate(kv)
    again = await kv.put_items(id="ada", items=[item(b"k")], condition=absent, idempotency_token=token)
    assert again == first
    assert await walked(kv) == {}


async def test_a_token_used_for_a_condition_before_may_truncate(kv: KeyValue, clock: Clock) -> None:
    token = clock.token()
    await kv.put_items(
        id="ada", items=[item(b"k")], condition=Condition(key=b"k", absent=True), idempotency_token=token
    )
    await truncate(kv, token)
    await kv.put_items(id="ada", items=[item(b"l")], condition=Condition(key=b"k", absent=True))
    assert await walked(kv) == {"ada": [b"l"]}


async def test_a_walk_ends_though_all_it_meets_is_gone(kv: KeyValue) -> None:
    for number in range(30):
        await kv.put_items(id=f"id-{number}", items=[item(b"k", bytes(2_000))])
    await truncate(kv)
    await kv.put_items(id="last", items=[item(b"k")])
    selection = Selection(page_size_bytes=3_000)
    found = [r.id async for page in kv.scan_items.pages(selection=selection) for r in page.records]
    assert found == ["last"]


async def test_the_chunks_of_a_large_value_are_nobodys_any_more(plain_stage: Stage) -> None:
    kv = await make(plain_stage, "people", chunk_threshold="1KiB")
    await kv.put_items(id="ada", items=[item(b"k", bytes(50_000))])
    await truncate(kv)
    assert (await kv.get_items(id="ada")).items == []
    engine = plain_stage.engines.get("default", "")
    service, environment = plain_stage.systems.service("kv"), plain_stage.environment
    assert isinstance(service, KeyValueService)
    assert isinstance(environment, VirtualEnvironment)
    for _ in range(4):
        environment.advance(8 * 3_600)
        await service.sweep_values("people", 1_000)
    assert (await engine.walk("kv/people/values", 0, 1, None, Budget(), 1)).partitions == []


async def test_the_history_tells_who_truncated(plain_stage: Stage, plain: KeyValue) -> None:
    namespaces = plain_stage.client(Namespaces)
    before = await namespaces.get(name="people")
    await truncate(plain)
    change = (await namespaces.history(name="people")).changes[0]
    assert (change.action, change.version, change.changed) == ("truncated", before.version + 1, [])
    assert (await namespaces.get(name="people")).config == before.config


async def test_changing_a_knob_brings_nothing_back(plain_stage: Stage, plain: KeyValue) -> None:
    await plain.put_items(id="ada", items=[item(b"k")])
    await truncate(plain)
    await make(plain_stage, "people", page_size_bytes="64KiB")
    assert await walked(plain) == {}


async def test_it_takes_the_namespaces_name_to_truncate(plain: KeyValue) -> None:
    await plain.put_items(id="ada", items=[item(b"k")])
    with pytest.raises(InvalidArgument) as raised:
        await truncate(plain, name="peoples")
    assert raised.value.field == "confirm"
    assert await walked(plain) == {"ada": [b"k"]}


async def test_an_unknown_namespace_is_told(plain_stage: Stage) -> None:
    with pytest.raises(NotFound):
        await plain_stage.client(KeyValue, "peolpe").truncate(confirm="peolpe")


async def test_a_token_too_old_is_refused(plain: KeyValue, clock: Clock) -> None:
    with pytest.raises(TokenDrift):
        await truncate(plain, clock.token(-3_600_000_000))


async def test_a_namespace_made_again_under_the_name_was_never_truncated(plain_stage: Stage, plain: KeyValue) -> None:
    await truncate(plain)
    await plain_stage.client(Namespaces).delete(name="people")
    kv = await make(plain_stage, "people")
    assert now_served(plain_stage).view.truncated is None
    await kv.put_items(id="ada", items=[item(b"k")])
    assert await walked(kv) == {"ada": [b"k"]}


def now_served(stage: Stage) -> ServedNamespace:
    service = stage.systems.service("kv")
    assert isinstance(service, KeyValueService)
    return service._serve("people")


async def test_a_stage_that_is_opened_again_shows_nothing_of_it(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = MemoryRecords(environment)
    kv = await make(await open_stage(engine), "people")
    await kv.put_items(id="ada", items=[item(b"k")])
    await truncate(kv)
    again = (await open_stage(engine)).client(KeyValue, "people")
    assert await walked(again) == {}


class Failing(MemoryRecords):
    """The write after so many fails, before or after it was applied."""

    left = -1
    applied = False

    async def apply(self, *arguments: object, **named: object) -> int:
        self.left -= 1
        if self.left == 0:
            if self.applied:
                await super().apply(*arguments, **named)  # type: ignore[arg-type]
            raise Unavailable("the store is away", outcome="unknown")
        return await super().apply(*arguments, **named)  # type: ignore[arg-type]


@pytest.mark.parametrize("applied", [False, True])
async def test_a_truncation_that_fails_has_happened_or_not(
    open_stage: OpenStage, environment: VirtualEnvironment, clock: Clock, *, applied: bool
) -> None:
    engine = Failing(environment)
    kv = await make(await open_stage(engine), "people")
    await kv.put_items(id="ada", items=[item(b"k")])
    token = clock.token()
    engine.left, engine.applied = 1, applied
    with suppress(Unavailable):
        await truncate(kv, token)
    engine.left = -1
    again = (await open_stage(engine)).client(KeyValue, "people")
    assert await walked(again) in ({}, {"ada": [b"k"]})
    await truncate(again, token)
    assert await walked(again) == {}


@dataclass
class Model:
    """Cells by record and key, and the tombstones of records and ranges: everything that was ever accepted."""

    cells: dict[tuple[bytes, bytes], list[bytes]] = field(default_factory=dict)
    tombstones: list[tuple[bytes, bytes, bytes, bytes]] = field(default_factory=list)

    def shown(self, record: bytes) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for (name, key), cells in self.cells.items():
            covers = [c for at, start, end, c in self.tombstones if at == name and start <= key < end]
            greatest = max([*cells, *covers, eraser(AT)])
            if name == record and not version.is_delete(greatest):
                found[key] = greatest
        return found


@pytest.mark.parametrize("seed", range(30))
async def test_any_writes_around_a_truncation_come_to_what_the_rule_says(
    environment: VirtualEnvironment, seed: int
) -> None:
    random, model = Random(seed), Model()
    raw = MemoryRecords(environment)
    await raw.start()
    await raw.create_table(TableSpec(name="t", conditional=True))
    records = TruncatedRecords(raw, "t", AT)
    for number in range(60):
        record, key, time_us = random.choice([b"a", b"b"]), random.choice([b"k", b"l"]), random.randrange(996, 1_005)
        token = random.choice(["s", "t", "u", f"own-{number}"])
        kind = random.choice(["put", "put", "delete", "all", "range"])
        if kind == "put":
            cell = version.put(time_us, token, b"%d" % number)
            model.cells.setdefault((record, key), []).append(cell)
            batch = Batch(cells=[(key, cell)])
        else:
            cell = version.delete(time_us, token)
            whole = (record, b"", b"\xff", cell)
            model.tombstones.append((record, key, key + b"\0", cell) if kind == "range" else whole)
            batch = Batch(ranges=[RangeDelete(key, key + b"\0", cell)]) if kind == "range" else Batch(partition=cell)
            if kind == "delete":
                model.tombstones[-1] = (record, key, key + b"\0", cell)
                batch = Batch(cells=[(key, cell)])
        await records.apply("t", record, batch)
        if random.random() < 0.1:
            await raw.apply("t", record, Batch(partition=eraser(AT)))
        for name in (b"a", b"b"):
            page = await records.read("t", name, WHOLE, Budget(), 2_000)
            assert dict(page.rows) == model.shown(name)
            got = await records.get("t", name, [b"k", b"l"], 2_000)
            assert dict(got.rows) == model.shown(name)
        walk = await records.walk("t", 0, 1, None, Budget(), 2_000)
        assert {name: dict(rows) for name, rows in walk.partitions} == {
            name: shown for name in (b"a", b"b") if (shown := model.shown(name))
        }


async def test_other_tables_are_read_as_ever(environment: VirtualEnvironment) -> None:
    raw = MemoryRecords(environment)
    await raw.start()
    for name in ("t", "u"):
        await raw.create_table(TableSpec(name=name))
        await raw.apply(name, b"p", Batch(cells=[(b"k", version.put(1, "x", b""))]))
    records = TruncatedRecords(raw, "t", AT)
    shown = {name: (await records.read_many(name, [b"p"], WHOLE, Budget(), 2))[0].rows for name in ("t", "u")}
    assert [len(rows) for rows in shown.values()] == [0, 1]


def test_every_token_makes_a_version_of_its_time() -> None:
    longest = stamp_of(7, "é" * 32)
    assert longest.time_us == 7
    assert len(longest.token.encode()) <= version.TOKEN_MAX_BYTES
    assert longest != stamp_of(7, "é" * 31)


async def test_the_last_pass_is_due_when_no_write_of_before_is_admitted(plain_stage: Stage, plain: KeyValue) -> None:
    await truncate(plain)
    found = now_served(plain_stage)
    at = found.view.truncated
    assert at is not None
    assert due_us(found, at) > at.time_us + found.config.drift_past.us


async def test_a_deleted_range_of_before_hides_nothing_of_after(kv: KeyValue) -> None:
    await kv.put_items(id="ada", items=[item(b"k")])
    await kv.delete_items(id="ada", predicate=between(b"a", b"z"))
    await truncate(kv)
    await kv.put_items(id="ada", items=[item(b"k", b"2")])
    assert values((await kv.get_items(id="ada", predicate=ALL)).items) == {b"k": b"2"}
