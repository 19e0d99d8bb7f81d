"""The operations as a whole: what a stage does around them, and what the service keeps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.data.kv.conftest import ALL, Clock, OpenStage, between, item, keys, make, served, values

from soundstage.core.environment import Environment, VirtualEnvironment
from soundstage.core.errors import DeadlineExceeded, Exhausted, InvalidArgument, NotFound, TokenDrift, Unavailable
from soundstage.data.kv import KeyValue, SyncKeyValue
from soundstage.data.kv.api import Condition, Selection
from soundstage.data.kv.service import KeyValueService
from soundstage.engines.records.memory import MemoryRecords
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage


class Failing(MemoryRecords):
    """Writes fail with `error`, where there is one."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.error: Exception | None = None

    async def apply(self, table: str, *arguments: Any, **named: Any) -> int:
        if self.error is not None and table.startswith("kv/"):
            raise self.error
        return await super().apply(table, *arguments, **named)


async def test_what_is_put_is_read(kv: KeyValue) -> None:
    await kv.put_items(id="ada", items=[item(b"name", b"Ada"), item(b"born", b"1815")])
    assert values((await kv.get_items(id="ada")).items) == {b"born": b"1815", b"name": b"Ada"}


async def test_records_and_namespaces_are_apart(stage: Stage) -> None:
    one, other = await make(stage, "one"), await make(stage, "other")
    await one.put_items(id="ada", items=[item(b"k", b"1")])
    await one.put_items(id="bob", items=[item(b"k", b"2")])
    await other.put_items(id="ada", items=[item(b"k", b"3")])
    await one.delete_items(id="ada", predicate=ALL)
    assert (await one.get_items(id="ada")).items == []
    assert values((await one.get_items(id="bob")).items) == {b"k": b"2"}
    assert values((await other.get_items(id="ada")).items) == {b"k": b"3"}


async def test_the_same_token_twice_is_one_write(kv: KeyValue, clock: Clock) -> None:
    token = clock.token()
    first = await kv.put_items(id="ada", items=[item(b"k", b"1")], idempotency_token=token)
    await kv.put_items(id="ada", items=[item(b"k", b"2")])
    assert await kv.put_items(id="ada", items=[item(b"k", b"1")], idempotency_token=token) == first
    assert values((await kv.get_items(id="ada")).items) == {b"k": b"2"}


@pytest.mark.holds_the_loop
async def test_a_raised_drift_reaches_back_no_farther_however_often_other_knobs_change(
    stage: Stage, environment: VirtualEnvironment, clock: Clock
) -> None:
    kv = await make(stage, "people", drift_past="1s")
    old = clock.token()
    environment.advance(120)
    await make(stage, "people", drift_past="1h")
    for number in range(40):
        await make(stage, "people", drift_past="1h", count_limit=100 + number)
    with pytest.raises(TokenDrift, match="when drift_past was shorter"):
        await kv.put_items(id="ada", items=[item(b"k", b"deleted long ago")], idempotency_token=old)


async def test_everything_is_there_after_a_restart(open_stage: OpenStage) -> None:
    stage = await open_stage("rocksdb")
    kv = await make(stage, "people")
    await kv.put_items(id="ada", items=[item(b"a"), item(b"b"), item(b"c")])
    await kv.delete_items(id="ada", predicate=keys(b"b"))
    page = await kv.get_items(id="ada", selection=Selection(page_size_bytes=1))
    await stage.stop()
    kv = (await stage.start()).client(KeyValue, "people")
    assert list(values((await kv.get_items(id="ada")).items)) == [b"a", b"c"]
    # Page tokens are good across restarts too.
    rest = await kv.get_items(id="ada", selection=Selection(page_size_bytes=1), page_token=page.next_page_token)
    assert list(values(rest.items)) == [b"c"]


async def test_repetitions_are_known_after_a_restart(open_stage: OpenStage, clock: Clock) -> None:
    stage = await open_stage("rocksdb")
    kv, token, absent = await make(stage, "people"), clock.token(), Condition(key=b"k", absent=True)
    first = await kv.put_items(id="ada", items=[item(b"k")], idempotency_token=token, condition=absent)
    await stage.stop()
    kv = (await stage.start()).client(KeyValue, "people")
    assert await kv.put_items(id="ada", items=[item(b"k")], idempotency_token=token, condition=absent) == first


async def test_changed_knobs_count_for_the_next_call(plain_stage: Stage) -> None:
    kv = await make(plain_stage, "people", count_limit=1)
    await kv.put_items(id="ada", items=[item(b"a"), item(b"b")])
    assert not (await kv.count_items(id="ada")).exact
    await make(plain_stage, "people", count_limit=2)
    assert (await kv.count_items(id="ada")).exact


async def test_a_deleted_namespace_is_not_found_and_no_longer_counted(plain_stage: Stage, plain: KeyValue) -> None:
    await plain.put_items(id="ada", items=[item(b"k")])
    await plain.get_items(id="ada")
    assert _kept(plain_stage) == {b"people"}
    await plain_stage.client(Namespaces).delete(name="people")
    with pytest.raises(NotFound):
        await plain.get_items(id="ada")
    assert _kept(plain_stage) == set()
    with pytest.raises(KeyError):
        served(plain_stage)


async def test_a_namespace_made_again_is_empty(stage: Stage) -> None:
    kv = await make(stage, "people")
    await kv.put_items(id="ada", items=[item(b"k")])
    await stage.client(Namespaces).delete(name="people")
    kv = await make(stage, "people")
    assert (await kv.get_items(id="ada")).items == []


async def test_what_pages_read_and_return_is_measured(plain_stage: Stage, plain: KeyValue) -> None:
    await plain.put_items(id="ada", items=[item(b"k", b"x" * 1_000)])
    await plain.get_items(id="ada", selection=Selection(include_values=False))
    service = plain_stage.systems.service("kv")
    assert isinstance(service, KeyValueService)
    measured = {found.name: found.value for found in service.measurements()}
    assert measured["kv_read_bytes"] > 1_000 > measured["kv_returned_bytes"] > 0


@pytest.mark.parametrize("call", ["put_items", "delete_items"])
@pytest.mark.parametrize("kind", [Unavailable, DeadlineExceeded])
async def test_a_write_of_unknown_outcome_may_be_repeated_with_its_token_only(
    open_stage: OpenStage, environment: Any, clock: Clock, call: str, kind: Any
) -> None:
    engine = Failing(environment)
    kv = await make(await open_stage(engine), "people")
    what: dict[str, Any] = {"items": [item(b"k")]} if call == "put_items" else {"predicate": ALL}
    for token, repeatable in ((clock.token(), True), (None, False)):
        engine.error = kind("who knows", outcome="unknown")
        with pytest.raises(kind) as failed:
            await getattr(kv, call)(id="ada", idempotency_token=token, **what)
        assert failed.value.retryable is repeatable
        assert ("idempotency_token" in (failed.value.hint or "")) is not repeatable


async def test_a_write_that_was_not_applied_may_be_repeated_in_any_case(
    open_stage: OpenStage, environment: Any
) -> None:
    engine = Failing(environment)
    kv = await make(await open_stage(engine), "people")
    engine.error = Unavailable("not now", outcome="not_applied")
    with pytest.raises(Unavailable) as failed:
        await kv.put_items(id="ada", items=[item(b"k")])
    assert failed.value.retryable


async def test_an_exhausted_engine_is_told_as_it_is(open_stage: OpenStage, environment: Any) -> None:
    engine = Failing(environment)
    kv = await make(await open_stage(engine), "people")
    engine.error = Exhausted("the disk does not keep up", retry_after_ms=200)
    with pytest.raises(Exhausted) as failed:
        await kv.put_items(id="ada", items=[item(b"k")])
    assert (failed.value.retry_after_ms, failed.value.retryable) == (200, True)


@pytest.mark.holds_the_loop
async def test_a_record_of_too_many_deleted_ranges_is_refused_and_whole(kv: KeyValue) -> None:
    for number in range(1_000):
        await kv.delete_items(id="ada", predicate=between(b"%04d" % number, b"%04d5" % number))
    with pytest.raises(Exhausted) as refused:
        await kv.delete_items(id="ada", predicate=between(b"x", b"y"))
    assert refused.value.hint
    await kv.delete_items(id="ada", predicate=ALL)
    await kv.delete_items(id="ada", predicate=between(b"x", b"y"))


def test_a_synchronous_program_has_the_same_store(tmp_path: Path) -> None:
    with Stage.open_sync(config={"namespaces": {"people": {"abstraction": "kv"}}}, data=str(tmp_path)) as stage:
        people = stage.client(SyncKeyValue, "people")
        people.put_items(id="ada", items=[item(b"k", b"v"), item(b"l", b"w")])
        pages = people.get_items.pages(id="ada", selection=Selection(page_size_bytes=1))
        assert [found.key for page in pages for found in page.items] == [b"k", b"l"]


def _kept(stage: Stage) -> set[bytes]:
    """The namespaces whose reads are measured."""
    return set(re.findall(rb'kv_read_bytes_total{namespace="(\w+)"', stage.metrics_text()))


WRONG: Any = "5"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"items": [{"key": b"k", "value": b"v"}]}, "items[0]"),
        ({"items": 5}, "items"),
        ({"idempotency_token": "t"}, "idempotency_token"),
        ({"condition": "absent"}, "condition"),
        ({"condition": [{"absent": True}]}, "condition[0]"),
        ({"id": 5}, "id"),
        ({"namespace": ["people"]}, "namespace"),
        ({"namespace": 5}, "namespace"),
    ],
)
async def test_a_write_in_process_of_wrong_types_is_refused_by_its_field(
    stage: Stage, wrong: dict[str, Any], field: str
) -> None:
    kv = await make(stage, "typed", conditional_writes=True)
    request: dict[str, Any] = {"id": "r", "items": [item(b"k")], **wrong}
    with pytest.raises(InvalidArgument) as caught:
        await kv.put_items(**request)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"predicate": {"match_all": {}}}, "predicate"),
        ({"selection": {"item_limit": 1}}, "selection"),
        ({"selection": Selection(item_limit=WRONG)}, "selection.item_limit"),
        ({"min_version": "t"}, "min_version"),
        ({"page_token": 5}, "page_token"),
    ],
)
async def test_a_read_in_process_of_wrong_types_is_refused_by_its_field(
    stage: Stage, wrong: dict[str, Any], field: str
) -> None:
    kv = await make(stage, "typed")
    with pytest.raises(InvalidArgument) as caught:
        await kv.get_items(id="r", **wrong)
    assert caught.value.field == field
