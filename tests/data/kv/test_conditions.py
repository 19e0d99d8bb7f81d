"""Conditions of writes: their shapes, when they hold, and repetition."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.data.kv.conftest import ALL, Clock, item, keys, make, values

from soundstage.core import version
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, PreconditionFailed, TokenReused, TooLarge, Unavailable
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.data.kv.api import Condition, KeyValue
from soundstage.data.kv.conditions import CONDITIONS_MAX, conditional, digest, port_conditions
from soundstage.engines.records import port
from soundstage.engines.records.port import Batch
from soundstage.runtime.stage import Stage

TOKEN = IdempotencyToken(Instant(5_000_999), "t")
WRONG: Any = "k"
ABSENT = Condition(key=b"k", absent=True)


@pytest.mark.parametrize(
    ("condition", "meant"),
    [
        (ABSENT, port.Condition(b"k", None)),
        (Condition(absent=True), port.Condition(None, None)),
        (Condition(key=b"k", token=TOKEN), port.Condition(b"k", port.Stamp(5_000, "t"))),
        (Condition(token=TOKEN), port.Condition(None, port.Stamp(5_000, "t"))),
        (Condition(key=b"", absent=True), port.Condition(b"", None)),
    ],
)
def test_one_condition_and_a_list_of_one_mean_the_same(condition: Condition, meant: port.Condition) -> None:
    assert port_conditions(condition) == port_conditions([condition]) == [meant]


def test_a_list_keeps_its_order() -> None:
    assert [found.key for found in port_conditions([ABSENT, Condition(absent=True)])] == [b"k", None]


@pytest.mark.parametrize(
    ("condition", "field", "said"),
    [
        (Condition(key=b"k"), "condition", "says nothing"),
        (Condition(), "condition", "says nothing"),
        (Condition(key=b"k", absent=True, token=TOKEN), "condition", "both absence and a token"),
        ([ABSENT, Condition()], "condition[1]", "says nothing"),
        (Condition(key=WRONG, absent=True), "condition.key", "str, not bytes"),
        (Condition(token=IdempotencyToken(WRONG, "t")), "condition.token.generation_time", "not an Instant"),
        ([], "condition", "empty list"),
        (Condition(key=b"x" * 4_097, absent=True), "condition.key", "the limit is 4096"),
        ([ABSENT, Condition(key=b"x" * 4_097, absent=True)], "condition[1].key", "the limit is 4096"),
        (Condition(token=IdempotencyToken(Instant(1), "")), "condition.token.token", "is empty"),
        (Condition(token=IdempotencyToken(Instant(1), "a\0")), "condition.token.token", "NUL"),
        ([Condition(token=IdempotencyToken(Instant(1), "x" * 65))], "condition[0].token.token", "65 bytes"),
    ],
)
def test_a_condition_of_no_shape_is_refused_by_its_path(
    condition: Condition | list[Condition], field: str, said: str
) -> None:
    with pytest.raises(InvalidArgument, match=said) as refused:
        port_conditions(condition)
    assert refused.value.field == field
    assert refused.value.hint


def test_there_is_a_limit_to_the_conditions_of_a_write() -> None:
    assert len(port_conditions([ABSENT] * CONDITIONS_MAX)) == CONDITIONS_MAX
    with pytest.raises(TooLarge, match="1001 entries") as refused:
        port_conditions([ABSENT] * (CONDITIONS_MAX + 1))
    assert "whole record" in (refused.value.hint or "")


def cells(value: bytes, key: bytes = b"k", expires_us: int = 0) -> Batch:
    return Batch(cells=[(key, version.put(1, "t", value, expires_us))])


def test_a_repetition_has_the_same_digest() -> None:
    conditions = port_conditions(ABSENT)
    assert digest(cells(b"v"), conditions) == digest(cells(b"v"), port_conditions([ABSENT]))


@pytest.mark.parametrize(
    "other",
    [cells(b"w"), cells(b"v", b"l"), cells(b"v", expires_us=9), Batch(partition=version.delete(1, "t")), Batch()],
)
def test_another_batch_has_another_digest(other: Batch) -> None:
    conditions = port_conditions(ABSENT)
    assert digest(other, conditions) != digest(cells(b"v"), conditions)


def test_other_conditions_have_another_digest() -> None:
    batch = cells(b"v")
    assert digest(batch, port_conditions(ABSENT)) != digest(batch, port_conditions(Condition(absent=True)))


def test_a_conditional_write_carries_its_token_and_the_latest_stamp() -> None:
    asked = conditional(ABSENT, cells(b"v"), "t", 77)
    assert (asked.token, asked.limit_us, asked.conditions) == ("t", 77, [port.Condition(b"k", None)])


# Through a stage.


async def test_an_absent_item_is_made_once(kv: KeyValue) -> None:
    await kv.put_items(id="ada", items=[item(b"k", b"first")], condition=ABSENT)
    with pytest.raises(PreconditionFailed) as refused:
        await kv.put_items(id="ada", items=[item(b"k", b"second")], condition=ABSENT)
    assert refused.value.field == "condition"
    assert values((await kv.get_items(id="ada")).items) == {b"k": b"first"}


async def test_a_deleted_and_an_expired_item_are_absent(kv: KeyValue, environment: VirtualEnvironment) -> None:
    await kv.put_items(id="ada", items=[item(b"k", ttl="1s"), item(b"l")])
    await kv.delete_items(id="ada", predicate=keys(b"l"))
    environment.advance(2)
    both = [ABSENT, Condition(key=b"l", absent=True), Condition(absent=True)]
    await kv.put_items(id="ada", items=[item(b"k", b"again"), item(b"l", b"too")], condition=both)
    assert values((await kv.get_items(id="ada")).items) == {b"k": b"again", b"l": b"too"}


async def test_an_item_is_replaced_only_as_it_was_read(kv: KeyValue) -> None:
    await kv.put_items(id="ada", items=[item(b"k", b"1")])
    seen = (await kv.get_items(id="ada")).items[0].metadata.token
    as_read = Condition(key=b"k", token=seen)
    await kv.put_items(id="ada", items=[item(b"k", b"2")], condition=as_read)
    with pytest.raises(PreconditionFailed):
        await kv.put_items(id="ada", items=[item(b"k", b"3")], condition=as_read)
    assert values((await kv.get_items(id="ada")).items) == {b"k": b"2"}


async def test_a_record_is_changed_only_as_it_was_read(kv: KeyValue) -> None:
    await kv.put_items(id="ada", items=[item(b"k")])
    as_read = Condition(token=(await kv.get_items(id="ada")).record_token)
    await kv.put_items(id="ada", items=[item(b"other")])
    with pytest.raises(PreconditionFailed):
        await kv.delete_items(id="ada", predicate=ALL, condition=as_read)
    as_read = Condition(token=(await kv.get_items(id="ada")).record_token)
    await kv.delete_items(id="ada", predicate=ALL, condition=as_read)
    assert (await kv.get_items(id="ada")).items == []


async def test_the_record_token_is_that_of_deletes_and_of_expired_puts_too(
    kv: KeyValue, clock: Clock, environment: VirtualEnvironment
) -> None:
    await kv.put_items(id="ada", items=[item(b"k")], idempotency_token=clock.token())
    deleted = (await kv.delete_items(id="ada", predicate=keys(b"none"))).idempotency_token
    assert (await kv.get_items(id="ada")).record_token == deleted
    expiring = await kv.put_items(id="ada", items=[item(b"k", ttl="1ms")])
    environment.advance(1)
    assert (await kv.get_items(id="ada")).record_token == expiring.idempotency_token


async def test_all_conditions_of_a_list_must_hold(kv: KeyValue) -> None:
    await kv.put_items(id="ada", items=[item(b"k")])
    with pytest.raises(PreconditionFailed):
        await kv.put_items(id="ada", items=[item(b"l")], condition=[Condition(key=b"l", absent=True), ABSENT])
    assert (await kv.count_items(id="ada")).count == 1


async def test_a_conditional_write_is_stamped_after_all_that_the_record_accepted(kv: KeyValue, clock: Clock) -> None:
    ahead = clock.token(at=1_000_000)
    await kv.put_items(id="ada", items=[item(b"other")], idempotency_token=ahead)
    reply = await kv.put_items(id="ada", items=[item(b"k")], idempotency_token=clock.token(), condition=ABSENT)
    assert reply.idempotency_token.generation_time == ahead.generation_time + 1_000
    shown = {found.key: found.metadata.token for found in (await kv.get_items(id="ada")).items}
    assert shown[b"k"] == reply.idempotency_token


async def test_a_record_written_at_the_limit_of_the_future_takes_one_more_conditional_write(
    kv: KeyValue, clock: Clock
) -> None:
    await kv.put_items(id="ada", items=[item(b"other")], idempotency_token=clock.token(at=2_000_000))
    await kv.put_items(id="ada", items=[item(b"k")], condition=ABSENT)
    with pytest.raises(Unavailable) as refused:
        await kv.put_items(
            id="ada", items=[item(b"l")], idempotency_token=clock.token(), condition=Condition(key=b"l", absent=True)
        )
    assert (refused.value.retryable, refused.value.outcome) == (True, "not_applied")


async def test_a_repetition_is_answered_as_the_first_even_after_an_overwrite(kv: KeyValue, clock: Clock) -> None:
    token = clock.token()
    first = await kv.put_items(id="ada", items=[item(b"k", b"1")], idempotency_token=token, condition=ABSENT)
    await kv.put_items(id="ada", items=[item(b"k", b"2")])
    again = await kv.put_items(id="ada", items=[item(b"k", b"1")], idempotency_token=token, condition=ABSENT)
    assert again == first
    assert values((await kv.get_items(id="ada")).items) == {b"k": b"2"}


async def test_a_token_that_named_another_request_is_reused(kv: KeyValue, clock: Clock) -> None:
    token = clock.token()
    await kv.put_items(id="ada", items=[item(b"k", b"1")], idempotency_token=token, condition=ABSENT)
    with pytest.raises(TokenReused) as refused:
        await kv.put_items(id="ada", items=[item(b"k", b"2")], idempotency_token=token, condition=ABSENT)
    assert refused.value.hint


async def test_a_failure_is_not_recorded(kv: KeyValue, clock: Clock) -> None:
    token = clock.token()
    await kv.put_items(id="ada", items=[item(b"k", b"1")])
    with pytest.raises(PreconditionFailed):
        await kv.put_items(id="ada", items=[item(b"k", b"2")], idempotency_token=token, condition=ABSENT)
    await kv.delete_items(id="ada", predicate=ALL)
    await kv.put_items(id="ada", items=[item(b"k", b"2")], idempotency_token=token, condition=ABSENT)


async def test_the_ttl_counts_from_the_token_not_from_the_stamp(kv: KeyValue, clock: Clock) -> None:
    await kv.put_items(id="ada", items=[item(b"other")], idempotency_token=clock.token(at=1_000_000))
    token = clock.token()
    await kv.put_items(id="ada", items=[item(b"k", ttl="10s")], idempotency_token=token, condition=ABSENT)
    found = (await kv.get_items(id="ada", predicate=keys(b"k"))).items[0].metadata
    assert found.expires_at == token.generation_time + 10_000_000_000


async def test_a_namespace_may_take_no_conditions(stage: Stage) -> None:
    kv = await make(stage, "plain", conditional_writes=False)
    await kv.put_items(id="ada", items=[item(b"k")])
    with pytest.raises(InvalidArgument, match="takes no conditional writes") as refused:
        await kv.put_items(id="ada", items=[item(b"k")], condition=ABSENT)
    assert refused.value.field == "condition"
    assert "conditional_writes" in (refused.value.hint or "")


async def test_racing_writers_of_one_condition_have_one_winner(kv: KeyValue) -> None:
    results = await asyncio.gather(
        *(kv.put_items(id="ada", items=[item(b"k", b"%d" % n)], condition=ABSENT) for n in range(20)),
        return_exceptions=True,
    )
    assert sum(not isinstance(each, BaseException) for each in results) == 1
    assert all(isinstance(each, PreconditionFailed) for each in results if isinstance(each, BaseException))
