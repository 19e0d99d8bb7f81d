"""Acceptance: what is in the log, what the status says, and what a repetition does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from tests.data.writeahead.conftest import House, mutation

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, TokenReused, TooLarge, Unavailable
from soundstage.data.writeahead.journal import Journal
from soundstage.data.writeahead.pieces import PIECE_BYTES
from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.log.port import Entry, Spot
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Budget


class LosingLog(MemoryLog):
    """Appends and then fails to say so, or fails before, as often as told."""

    before = after = 0

    async def append(self, topic: str, entries: Sequence[Entry], **options: Any) -> list[Spot]:
        if self.before:
            self.before -= 1
            raise Unavailable("the call was lost", outcome="not_applied")
        spots = await super().append(topic, entries, **options)
        if self.after:
            self.after -= 1
            raise Unavailable("the answer was lost", outcome="unknown")
        return spots


@pytest.fixture
async def losing(environment: VirtualEnvironment) -> House:
    records, log = MemoryRecords(environment), LosingLog(environment)
    await records.start()
    await log.start()
    made = House(environment, records, log)
    await made.ledger.create()
    return made


async def entries(journal: Journal) -> int:
    """How many there are in the log."""
    return sum(bounds.end - bounds.start for bounds in await journal.log.bounds(journal.topic))


async def test_an_accepted_set_is_in_the_log_with_its_marker(house: House) -> None:
    mutation_id = await house.submit(mutation("1"), mutation("2"))
    assert await entries(house.journal) == 2
    status = await house.status(mutation_id)
    assert (status.state, status.count, status.applied, status.token) == ("accepted", 2, 0, "t")


async def test_a_large_set_is_in_several_pieces(house: House) -> None:
    await house.submit(b"x" * PIECE_BYTES, b"y" * PIECE_BYTES)
    assert await entries(house.journal) == 4


async def test_a_repetition_appends_nothing(house: House, environment: VirtualEnvironment) -> None:
    time_us = environment.now_us()
    first = await house.submit(mutation("1"), time_us=time_us)
    environment.advance(100)
    assert await house.submit(mutation("1"), time_us=time_us) == first
    assert await entries(house.journal) == 2
    assert house.journal.tally.counts["accepted"] == 1


async def test_a_repetition_of_what_was_applied_appends_nothing(house: House) -> None:
    time_us = house.environment.now_us()
    await house.submit(mutation("1"), time_us=time_us)
    await house.work()
    await house.submit(mutation("1"), time_us=time_us)
    assert await entries(house.journal) == 2
    await house.work()
    assert house.shop.order("t") == [0]


@pytest.mark.parametrize("fields", [{"due_us": 2**60}, {"time_us": 7}])
async def test_another_set_under_the_token_is_refused(house: House, fields: dict[str, int]) -> None:
    await house.submit(mutation("1"), time_us=5)
    other: dict[str, Any] = {"time_us": 5, **fields}
    with pytest.raises(TokenReused):
        await house.submit(mutation("1"), **other)


async def test_other_mutations_under_the_token_are_refused(house: House) -> None:
    await house.submit(mutation("1"), time_us=5)
    with pytest.raises(TokenReused):
        await house.submit(mutation("2"), time_us=5)
    assert await entries(house.journal) == 2


async def test_callers_of_another_scope_may_use_the_same_token(house: House) -> None:
    one = await house.submit(mutation("1"), scope="ada")
    other = await house.submit(mutation("2"), scope="bob")
    assert one != other
    assert await entries(house.journal) == 4


async def test_a_set_that_is_none_is_refused_before_anything_is_written(house: House) -> None:
    for wrong in ([], [b"m"] * 1_001):
        with pytest.raises((InvalidArgument, TooLarge)):
            await house.submit(*wrong)
    assert not await house.journal.exists()


async def test_a_set_whose_append_failed_can_be_submitted_again(losing: House) -> None:
    assert isinstance(losing.log, LosingLog)
    losing.log.before = 1
    with pytest.raises(Unavailable):
        await losing.submit(mutation("1"), time_us=5)
    mutation_id = await losing.submit(mutation("1"), time_us=5)
    assert (await losing.status(mutation_id)).state == "accepted"
    assert await entries(losing.journal) == 2


async def test_a_set_whose_answer_was_lost_is_applied_once_when_it_is_submitted_again(losing: House) -> None:
    assert isinstance(losing.log, LosingLog)
    losing.log.after = 1
    with pytest.raises(Unavailable):
        await losing.submit(mutation("1"), time_us=5)
    mutation_id = await losing.submit(mutation("1"), time_us=5)
    assert await entries(losing.journal) == 4
    await losing.work()
    assert losing.shop.order("t") == [0]
    assert (await losing.status(mutation_id)).state == "applied"


async def test_a_set_whose_answer_was_lost_is_applied_though_nobody_repeats_it(losing: House) -> None:
    assert isinstance(losing.log, LosingLog)
    losing.log.after = 1
    with pytest.raises(Unavailable):
        await losing.submit(mutation("1"))
    await losing.work()
    assert losing.shop.values() == {"a": "1"}


async def test_a_set_that_never_came_to_the_log_is_being_accepted(losing: House) -> None:
    assert isinstance(losing.log, LosingLog)
    losing.log.before = 1
    with pytest.raises(Unavailable):
        await losing.submit(mutation("1"))
    await losing.work()
    assert losing.shop.values() == {}
    keys = [key async for key in _sets(losing)]
    assert [(await losing.status(key)).state for key in keys] == ["accepting"]


async def _sets(house: House) -> AsyncIterator[str]:
    page = await house.records.walk("system/writeahead", 0, 1, None, Budget(), house.environment.now_us())
    for partition, _ in page.partitions:
        if partition.startswith(b"set/"):
            yield partition.decode().removeprefix("set/")


async def test_the_same_set_sent_twice_at_once_is_applied_once(house: House) -> None:
    time_us = house.environment.now_us()
    ids = await asyncio.gather(*(house.submit(mutation("1"), time_us=time_us) for _ in range(5)))
    assert len(set(ids)) == 1
    await house.work()
    assert house.shop.order("t") == [0]


async def test_two_sets_under_one_token_at_once_are_not_both_accepted(house: House) -> None:
    answers = await asyncio.gather(
        *(house.submit(mutation(value), time_us=5) for value in ("1", "2")), return_exceptions=True
    )
    assert [type(answer) for answer in answers if not isinstance(answer, str)] == [TokenReused]
    await house.work()
    assert len(house.shop.history) == 1


async def test_a_journal_nobody_has_used_has_no_topic(house: House) -> None:
    assert not await house.journal.exists()
    assert await house.log.topics() == []
    assert not await house.worker.round()


async def test_a_journal_finds_the_topic_that_another_process_made(house: House) -> None:
    await house.submit(mutation("1"))
    assert await house.restarted().exists()


async def test_sets_are_kept_in_the_log_for_as_long_as_is_configured(house: House) -> None:
    from soundstage.core.time import Duration

    house.restart(log_retention=Duration.parse("3h"))
    await house.submit(mutation("1"))
    assert [spec.retention_us for spec in await house.log.topics()] == [3 * 3_600_000_000]
