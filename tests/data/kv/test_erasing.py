"""How what a truncation hides is removed from the engine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.data.kv.conftest import Clock, OpenStage, item, keys, make
from tests.data.kv.engines import Copied
from tests.data.kv.test_roles import Lost, context_of

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import PreconditionFailed, Unavailable
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.data.kv.api import Condition, KeyValue
from soundstage.data.kv.erasing import Erasure
from soundstage.data.kv.roles import erase_namespaces
from soundstage.data.kv.service import KeyValueService
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Budget, Stamp
from soundstage.runtime.leases import LeaseLost
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage


def service_of(stage: Stage) -> KeyValueService:
    service = stage.systems.service("kv")
    assert isinstance(service, KeyValueService)
    return service


async def kept(stage: Stage, name: str = "people") -> dict[bytes, list[bytes]]:
    """What the engine itself has, by record."""
    walked = await stage.engines.get("default", "").walk(f"kv/{name}", 0, 1, None, Budget(), 1)
    return {partition: [key for key, _ in rows] for partition, rows in walked.partitions}


async def erased(stage: Stage, check: Callable[[], None] = lambda: None) -> Erasure | None:
    return await service_of(stage).erase_truncated("people", check)


async def truncated(kv: KeyValue, token: IdempotencyToken | None = None) -> None:
    await kv.truncate(confirm="people", idempotency_token=token)


async def test_what_is_hidden_is_gone_from_the_engine(stage: Stage, kv: KeyValue) -> None:
    for number in range(150):
        await kv.put_items(id=f"id-{number:03d}", items=[item(b"k"), item(b"l")])
    await truncated(kv)
    await kv.put_items(id="id-001", items=[item(b"l")])
    await kv.put_items(id="new", items=[item(b"k")])
    assert await erased(stage) == Erasure(150, False)
    assert await kept(stage) == {b"id-001": [b"l"], b"new": [b"k"]}


async def test_a_record_that_goes_on_over_pages_is_erased_once(open_stage: OpenStage) -> None:
    stage = await open_stage("rocksdb")
    kv = await make(stage, "people")
    for number in range(4):
        await kv.put_items(id="wide", items=[item(b"%d-%04d" % (number, each), bytes(900)) for each in range(1_000)])
    await truncated(kv)
    assert await erased(stage) == Erasure(1, False)
    assert await kept(stage) == {}


async def test_nothing_is_done_where_nothing_was_truncated(stage: Stage, kv: KeyValue) -> None:
    await kv.put_items(id="ada", items=[item(b"k")])
    assert await erased(stage) is None
    assert service_of(stage).truncated() == []


async def test_it_is_hidden_until_no_write_of_before_can_come(
    plain_stage: Stage, plain: KeyValue, environment: VirtualEnvironment, clock: Clock
) -> None:
    await plain.put_items(id="ada", items=[item(b"k")])
    await truncated(plain)
    early = clock.token(-1)
    await erased(plain_stage)
    environment.advance(590)
    await plain.put_items(id="ada", items=[item(b"k")], idempotency_token=early)
    await plain.put_items(id="eve", items=[item(b"k")], idempotency_token=early)
    assert (await plain.get_items(id="eve")).items == []
    environment.advance(200)
    found = await erased(plain_stage)
    assert found is not None
    assert found.last
    assert service_of(plain_stage).truncated() == []
    assert await kept(plain_stage) == {}
    assert (await plain.get_items(id="eve")).items == []


async def test_the_version_of_the_namespace_is_not_changed_by_forgetting(
    plain_stage: Stage, plain: KeyValue, environment: VirtualEnvironment
) -> None:
    await truncated(plain)
    namespaces = plain_stage.client(Namespaces)
    before = await namespaces.get(name="people")
    environment.advance(3_600)
    await erased(plain_stage)
    assert await namespaces.get(name="people") == before


async def test_a_later_truncation_is_not_forgotten_with_an_earlier_one(
    plain_stage: Stage, plain: KeyValue, environment: VirtualEnvironment
) -> None:
    await truncated(plain)
    first = service_of(plain_stage).truncated()[0][1]
    environment.advance(3_600)
    await truncated(plain)
    generation = (await plain_stage.client(Namespaces).get(name="people")).generation
    await service_of(plain_stage)._context.truncations.forget_truncation("people", generation, first)
    assert len(service_of(plain_stage).truncated()) == 1


async def test_a_condition_after_the_last_pass_meets_nothing_of_before(
    plain_stage: Stage, plain: KeyValue, environment: VirtualEnvironment
) -> None:
    await plain.put_items(id="ada", items=[item(b"k")])
    await truncated(plain)
    environment.advance(3_600)
    await erased(plain_stage)
    await plain.put_items(id="ada", items=[item(b"k", b"2")], condition=Condition(key=b"k", absent=True))
    assert (await plain.get_items(id="ada", predicate=keys(b"k"))).items[0].value == b"2"


async def record_token(kv: KeyValue, id: str = "ada") -> IdempotencyToken | None:
    return (await kv.get_items(id=id)).record_token


async def forgotten(stage: Stage, kv: KeyValue, environment: VirtualEnvironment) -> None:
    """The namespace is truncated, an hour passes, and its last pass has been made."""
    await truncated(kv)
    environment.advance(3_600)
    assert await erased(stage) is not None
    assert service_of(stage).truncated() == []


async def test_a_token_of_before_holds_of_no_record_whose_items_were_truncated(
    stage: Stage, kv: KeyValue, environment: VirtualEnvironment
) -> None:
    await kv.put_items(id="ada", items=[item(b"k")])
    before = await record_token(kv)
    await forgotten(stage, kv, environment)
    with pytest.raises(PreconditionFailed):
        await kv.put_items(id="ada", items=[item(b"k")], condition=Condition(token=before))


async def test_nor_of_one_whose_items_expired_before_they_were_erased(
    stage: Stage, kv: KeyValue, environment: VirtualEnvironment
) -> None:
    await kv.put_items(id="ada", items=[item(b"k", b"v", "1m")])
    before = await record_token(kv)
    await forgotten(stage, kv, environment)
    with pytest.raises(PreconditionFailed):
        await kv.put_items(id="ada", items=[item(b"k")], condition=Condition(token=before))


async def test_a_record_that_was_empty_has_its_own_token_again_once_the_truncation_is_forgotten(
    stage: Stage, kv: KeyValue, environment: VirtualEnvironment
) -> None:
    await kv.put_items(id="ada", items=[item(b"k")])
    await kv.delete_items(id="ada", predicate=keys(b"k"))
    before = await record_token(kv)
    await truncated(kv)
    meanwhile = await record_token(kv)
    environment.advance(3_600)
    await erased(stage)
    assert await record_token(kv) == before != meanwhile
    # Whoever holds the one that was told meanwhile is refused, and reads again.
    with pytest.raises(PreconditionFailed):
        await kv.put_items(id="ada", items=[item(b"k")], condition=Condition(token=meanwhile))
    await kv.put_items(id="ada", items=[item(b"k")], condition=Condition(token=before))


class Dying(MemoryRecords):
    """Its process dies at the write after so many."""

    left = -1

    async def apply(self, *arguments: Any, **named: Any) -> int:
        self.left -= 1
        if self.left == 0:
            raise Unavailable("the process died")
        return await super().apply(*arguments, **named)


@pytest.mark.parametrize("after", range(1, 8))
async def test_who_dies_amid_it_is_followed_by_one_who_finishes(
    open_stage: OpenStage, environment: VirtualEnvironment, after: int
) -> None:
    engine = Dying(environment)
    stage = await open_stage(engine)
    kv = await make(stage, "people")
    for number in range(5):
        await kv.put_items(id=f"id-{number}", items=[item(b"k")])
    await truncated(kv)
    await kv.put_items(id="id-2", items=[item(b"l")])
    environment.advance(3_600)
    engine.left = after
    with suppress(Unavailable):
        await erased(stage)
    engine.left = -1
    again = await open_stage(engine)
    assert await erased(again) is None or service_of(again).truncated() == []
    assert await kept(again) == {b"id-2": [b"l"]}


async def test_the_role_makes_a_first_pass_and_a_last_one(
    plain_stage: Stage, plain: KeyValue, environment: VirtualEnvironment
) -> None:
    await plain.put_items(id="ada", items=[item(b"k")])
    await truncated(plain)
    seen: dict[str, Stamp] = {}
    await erase_namespaces(context_of(plain_stage), seen)
    assert await kept(plain_stage) == {}
    assert list(seen) == ["people"]
    early = IdempotencyToken(at(environment, -60), "early")
    await plain.put_items(id="eve", items=[item(b"k")], idempotency_token=early)
    await erase_namespaces(context_of(plain_stage), seen)
    assert await kept(plain_stage) == {b"eve": [b"k"]}
    environment.advance(3_600)
    await erase_namespaces(context_of(plain_stage), seen)
    assert await kept(plain_stage) == {}
    assert service_of(plain_stage).truncated() == []


def at(environment: VirtualEnvironment, seconds: int) -> Instant:
    return Instant.from_us(environment.now_us() + seconds * 1_000_000)


async def test_who_has_lost_the_lease_erases_nothing(plain_stage: Stage, plain: KeyValue) -> None:
    await plain.put_items(id="ada", items=[item(b"k")])
    await truncated(plain)
    with pytest.raises(LeaseLost):
        await erase_namespaces(context_of(plain_stage, lease=Lost()), {})
    assert await kept(plain_stage) == {b"ada": [b"k"]}


async def test_a_namespace_whose_store_is_away_keeps_no_other_from_its_turn(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Away(environment)
    stage = await open_stage(engine)
    for name in ("people", "titles"):
        kv = await make(stage, name)
        await kv.put_items(id="ada", items=[item(b"k")])
        await kv.truncate(confirm=name)
    engine.away = True
    await erase_namespaces(context_of(stage), {})
    engine.away = False
    assert await kept(stage) == {b"ada": [b"k"]}
    assert await kept(stage, "titles") == {}


class Away(MemoryRecords):
    away = False

    async def walk(self, table: str, *arguments: Any, **named: Any) -> Any:
        if self.away and table == "kv/people":
            raise Unavailable("the store is away")
        return await super().walk(table, *arguments, **named)


@pytest.mark.parametrize("knobs", [{"consistency": "eventual"}, {"consistency_scope": "local"}])
async def test_where_a_copy_may_be_behind_what_was_truncated_is_hidden_for_good(
    open_stage: OpenStage, environment: VirtualEnvironment, knobs: dict[str, Any]
) -> None:
    stage = await open_stage(Copied(environment))
    kv = await make(stage, "people", conditional_writes=False, **knobs)
    await kv.put_items(id="ada", items=[item(b"k")])
    await truncated(kv)
    environment.advance(86_400)
    assert await erased(stage) == Erasure(1, False)
    assert [(name, last) for name, _, last in service_of(stage).truncated()] == [("people", False)]


async def test_an_eventual_namespace_without_copies_is_done_with_as_others_are(
    plain_stage: Stage, environment: VirtualEnvironment
) -> None:
    kv = await make(plain_stage, "people", consistency="eventual", conditional_writes=False)
    await kv.put_items(id="ada", items=[item(b"k")])
    await truncated(kv)
    environment.advance(86_400)
    assert await erased(plain_stage) == Erasure(1, True)
