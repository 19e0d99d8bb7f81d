"""What is accepted is applied: in order, once, whatever fails for a while; and what fails for good holds up nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.data.writeahead.conftest import House, Shop, mutation

from soundstage.core.errors import (
    DeadlineExceeded,
    Exhausted,
    InProgress,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    SoundstageError,
    TokenDrift,
    Unavailable,
)
from soundstage.core.time import Duration
from soundstage.data.writeahead.applying import UNKNOWN_TRIES
from soundstage.data.writeahead.ledger import Listed, dead, pending
from soundstage.data.writeahead.pieces import PIECE_BYTES, entries_of
from soundstage.data.writeahead.worker import Worker
from soundstage.engines.log.port import Commit, Position, Stored

DOWN = Unavailable("the store is down")
BAD = InvalidArgument("never like this")


async def test_a_set_is_applied_in_its_order(each_house: House) -> None:
    mutation_id = await each_house.submit(*[mutation(str(number)) for number in range(50)])
    await each_house.work()
    assert each_house.shop.order("t") == list(range(50))
    assert (await each_house.status(mutation_id)).state == "applied"
    assert (await each_house.status(mutation_id)).applied == 50


async def test_each_mutation_has_a_token_and_a_time_of_its_own(house: House) -> None:
    await house.submit(mutation("1"), mutation("2"), token="tok", time_us=100)
    await house.work()
    assert house.shop.history == [("tok/0", 100, "1"), ("tok/1", 101, "2")]


async def test_a_large_set_is_applied_whole(each_house: House) -> None:
    large = [mutation(str(number) * (PIECE_BYTES // 2)) for number in range(5)]
    await each_house.submit(*large)
    await each_house.work()
    assert each_house.shop.order("t") == list(range(5))


async def test_what_was_applied_is_not_read_again_after_a_restart(each_house: House) -> None:
    await each_house.submit(mutation("1"))
    await each_house.work()
    each_house.restart()
    assert not await each_house.worker.round()


async def test_many_sets_are_all_applied(each_house: House) -> None:
    ids = [await each_house.submit(mutation(str(number)), token=f"t{number}") for number in range(40)]
    await each_house.work()
    assert {(await each_house.status(each)).state for each in ids} == {"applied"}


async def test_a_set_without_a_completion_marker_is_never_applied(house: House) -> None:
    await house.submit(mutation("1"), token="whole")
    pieces = entries_of("f" * 32, b"anything", b"digest", 1)[:-1]
    await house.log.append(house.journal.topic, pieces)
    await house.work()
    await house.later(86_400)
    assert [token for token, _, _ in house.shop.history] == ["whole/0"]


@pytest.mark.parametrize("error", [DOWN, DeadlineExceeded("late"), Exhausted("full"), InProgress("busy")])
async def test_a_set_whose_store_fails_for_a_while_waits_and_is_applied(each_house: House, error: Exception) -> None:
    house = each_house
    house.shop.errors["b"] = error
    mutation_id = await house.submit(mutation("1"), mutation("2", "b"), mutation("3", "c"))
    await house.work()
    status = await house.status(mutation_id)
    assert (status.state, status.applied, status.tries) == ("pending", 1, 1)
    assert house.shop.values() == {"a": "1"}
    del house.shop.errors["b"]
    await house.later(2)
    assert house.shop.values() == {"a": "1", "b": "2", "c": "3"}
    assert (await house.status(mutation_id)).state == "applied"


async def test_what_was_applied_of_a_set_that_waits_is_not_applied_again(house: House) -> None:
    house.shop.errors["b"] = DOWN
    await house.submit(mutation("1"), mutation("2", "b"), mutation("3", "c"))
    await house.work()
    del house.shop.errors["b"]
    await house.later(2)
    assert house.shop.order("t") == [0, 1, 2]


async def test_a_store_that_is_down_holds_up_no_set_of_others(each_house: House) -> None:
    each_house.shop.errors["b"] = DOWN
    for number in range(20):
        await each_house.submit(mutation(str(number), "b"), token=f"b{number}")
        await each_house.submit(mutation(str(number), "a"), token=f"a{number}")
    await each_house.work()
    assert len(each_house.shop.history) == 20
    assert {token[0] for token, _, _ in each_house.shop.history} == {"a"}


async def test_sets_wait_longer_from_failure_to_failure(house: House) -> None:
    house.shop.errors["a"] = DOWN
    mutation_id = await house.submit(mutation("1"))
    waits: list[float] = []
    for _ in range(12):
        await house.work()
        waits.append(((await house.status(mutation_id)).next_us - house.environment.now_us()) / 1e6)
        house.environment.advance(waits[-1])
    assert 0.25 <= waits[0] <= 0.5
    assert all(0.25 * 2**number <= wait <= 0.5 * 2**number for number, wait in enumerate(waits[:7]))
    assert all(30 <= wait <= 60 for wait in waits[8:])


async def test_a_store_that_says_when_to_come_again_is_listened_to(house: House) -> None:
    house.shop.errors["a"] = Exhausted("full", retry_after_ms=90_000)
    mutation_id = await house.submit(mutation("1"))
    await house.work()
    assert (await house.status(mutation_id)).next_us - house.environment.now_us() >= 90_000_000


@pytest.mark.parametrize("error", [BAD, TokenDrift("too old"), PreconditionFailed("no"), RuntimeError("a defect")])
async def test_a_poison_mutation_kills_the_rest_of_its_set_and_nothing_else(
    each_house: House, error: Exception
) -> None:
    each_house.shop.errors["poison"] = error
    killed = await each_house.submit(mutation("1"), mutation("2", "poison"), mutation("3", "c"), token="bad")
    await each_house.submit(mutation("4", "d"), token="good")
    await each_house.work()
    assert each_house.shop.values() == {"a": "1", "d": "4"}
    status = await each_house.status(killed)
    assert (status.state, status.applied) == ("dead", 1)
    assert status.problem is not None
    assert status.problem.code == (error.code if isinstance(error, SoundstageError) else "internal")


async def test_a_dead_set_is_listed_with_what_it_holds(house: House) -> None:
    house.shop.errors["a"] = BAD
    mutation_id = await house.submit(mutation("1"), mutation("2"))
    await house.work()
    listed = await house.ledger.listed(dead("shop"), 10)
    assert [each.mutation_id for each in listed] == [mutation_id]
    assert await house.ledger.content(mutation_id, await house.status(mutation_id)) is not None


async def test_what_is_not_found_may_be_found_a_moment_later(house: House) -> None:
    house.shop.errors["a"] = NotFound("no such namespace")
    mutation_id = await house.submit(mutation("1"))
    await house.work()
    assert (await house.status(mutation_id)).state == "pending"
    house.shop.errors.clear()
    await house.later(2)
    assert (await house.status(mutation_id)).state == "applied"


async def test_what_is_not_found_again_and_again_is_dead(house: House) -> None:
    house.shop.errors["a"] = NotFound("no such namespace")
    mutation_id = await house.submit(mutation("1"))
    await house.later(60)
    status = await house.status(mutation_id)
    assert (status.state, status.tries) == ("dead", UNKNOWN_TRIES)


async def test_a_set_that_fails_for_too_long_is_dead(house: House) -> None:
    house.shop.errors["a"] = DOWN
    mutation_id = await house.submit(mutation("1"))
    await house.later(86_400 - 120)
    assert (await house.status(mutation_id)).state == "pending"
    await house.later(1_000)
    assert (await house.status(mutation_id)).state == "dead"


async def test_a_set_whose_place_is_closed_for_too_long_is_dead(house: House) -> None:
    house.restart(retry_for=Duration.parse("1m"), at_once=1)
    house.shop.errors["a"] = DOWN
    ids = [await house.submit(mutation("1"), token=f"t{number}") for number in range(5)]
    await house.later(300)
    assert {(await house.status(each)).state for each in ids} == {"dead"}


async def test_a_set_that_fails_too_often_is_dead(house: House) -> None:
    house.restart(tries_max=3)
    house.shop.errors["a"] = DOWN
    mutation_id = await house.submit(mutation("1"))
    await house.later(10)
    status = await house.status(mutation_id)
    assert (status.state, status.tries) == ("dead", 3)


async def test_a_delayed_set_is_applied_when_it_is_due(each_house: House) -> None:
    house = each_house
    due_us = house.environment.now_us() + 3_600_000_000
    mutation_id = await house.submit(mutation("1"), due_us=due_us)
    await house.later(3_500)
    status = await house.status(mutation_id)
    assert (status.state, status.tries, status.next_us) == ("pending", 0, due_us)
    assert house.shop.history == []
    await house.later(200)
    assert house.shop.history == [("t/0", due_us, "1")]
    assert (await house.status(mutation_id)).state == "applied"


async def test_the_patience_with_a_delayed_set_begins_when_it_is_due(house: House) -> None:
    house.shop.errors["a"] = DOWN
    mutation_id = await house.submit(mutation("1"), due_us=house.environment.now_us() + 3 * 86_400_000_000)
    await house.later(3 * 86_400 + 3_600)
    assert (await house.status(mutation_id)).state == "pending"


async def test_a_set_that_waits_is_found_again_after_a_restart(each_house: House) -> None:
    house = each_house
    house.shop.errors["a"] = DOWN
    await house.submit(mutation("1"))
    await house.work()
    house.restart()
    house.shop.errors.clear()
    await house.later(2)
    assert house.shop.values() == {"a": "1"}


async def test_a_status_is_forgotten_after_a_while_and_not_before(house: House) -> None:
    mutation_id = await house.submit(mutation("1"))
    await house.work()
    house.environment.advance(2 * 86_400 - 1)
    assert (await house.status(mutation_id)).state == "applied"
    house.environment.advance(2)
    assert await house.ledger.find(mutation_id) is None


async def test_a_dead_set_is_kept_for_longer(house: House) -> None:
    house.shop.errors["a"] = BAD
    mutation_id = await house.submit(mutation("1"))
    await house.work()
    house.environment.advance(29 * 86_400)
    status = await house.status(mutation_id)
    assert await house.ledger.content(mutation_id, status) is not None
    house.environment.advance(2 * 86_400)
    assert await house.ledger.find(mutation_id) is None
    assert await house.ledger.listed(dead("shop"), 10) == []


async def test_what_was_applied_leaves_nothing_on_the_shelf(house: House) -> None:
    house.shop.errors["a"] = DOWN
    mutation_id = await house.submit(mutation("1"))
    await house.work()
    waiting = await house.status(mutation_id)
    house.shop.errors.clear()
    await house.later(2)
    assert waiting.pieces == 1
    assert await house.ledger.content(mutation_id, waiting) is None
    assert await house.ledger.listed(pending("shop"), 10) == []


async def test_a_set_whose_shelf_is_damaged_is_dead(house: House) -> None:
    house.shop.errors["a"] = DOWN
    mutation_id = await house.submit(mutation("1"))
    await house.work()
    await house.ledger.shelve(mutation_id, b"other")
    house.shop.errors.clear()
    await house.later(2)
    status = await house.status(mutation_id)
    assert status.state == "dead"
    assert status.problem is not None
    assert status.problem.code == "data_loss"


async def test_a_set_that_the_log_has_damaged_is_dead(house: House) -> None:
    mutation_id = await house.submit(mutation("1"))
    await damage(house)
    await house.work()
    status = await house.status(mutation_id)
    assert (status.state, house.shop.history) == ("dead", [])


async def damage(house: House) -> None:
    """The log holds something else where the pieces of sets were."""
    from soundstage.engines.log.memory import MemoryLog

    assert isinstance(house.log, MemoryLog)
    for partition in house.log._topic(house.journal.topic).partitions:
        for at, entry in enumerate(partition.entries):
            if entry.value is not None and b"value" in entry.value:
                value = entry.value.replace(b"value", b"worth")
                partition.entries[at] = Stored(entry.offset, entry.time_us, entry.key, value)


async def test_an_entry_of_a_list_that_its_set_does_not_confirm_is_struck(house: House) -> None:
    mutation_id = await house.submit(mutation("1"))
    await house.work()
    await house.ledger.enlist(pending("shop"), Listed(5, mutation_id))
    await house.ledger.enlist(pending("shop"), Listed(6, "f" * 32))
    await house.work()
    assert await house.ledger.listed(pending("shop"), 10) == []
    assert house.shop.order("t") == [0]


async def test_a_set_whose_status_is_lost_is_applied(house: House) -> None:
    mutation_id = await house.submit(mutation("1"))
    await forget(house, mutation_id)
    await house.work()
    assert house.shop.values() == {"a": "1"}
    assert (await house.status(mutation_id)).state == "applied"


async def test_a_set_that_was_forgotten_is_not_applied_when_the_log_is_read_again(house: House) -> None:
    await house.submit(mutation("1"))
    await house.work()
    house.environment.advance(3 * 86_400)
    topic = house.journal.topic
    await house.log.commit(Commit(group=topic, positions=[Position(topic, each, 0) for each in range(4)]))  # type: ignore[attr-defined]
    house.restart()
    await house.work()
    assert house.shop.order("t") == [0]


async def forget(house: House, mutation_id: str) -> None:
    """The set has no status."""
    from soundstage.runtime.system_table import SystemTable

    table = SystemTable(house.records, "writeahead", house.clock, house.environment)
    await table.write(f"set/{mutation_id}", {"status": None}, {})


async def test_entries_that_retention_took_are_counted(house: House) -> None:
    await house.submit(mutation("1"))
    await house.work()
    await house.submit(mutation("2"), token="u")
    house.environment.advance(8 * 86_400)
    await house.log.sweep(1_000)
    await house.submit(mutation("3"), token="v")
    await house.work()
    assert house.journal.tally.counts["lost"] > 0
    assert "v/0" in [token for token, _, _ in house.shop.history]


class Crowded(Shop):
    """Counts how many mutations are being applied at the same time."""

    present = most = 0

    async def apply(self, mutation: bytes, time_us: int, token: str, deadline_ns: int) -> None:
        self.present += 1
        self.most = max(self.most, self.present)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await super().apply(mutation, time_us, token, deadline_ns)
        self.present -= 1


async def test_no_more_sets_are_applied_at_once_than_configured(house: House) -> None:
    house.restart(at_once=3)
    shop = Crowded()
    for number in range(20):
        await house.submit(mutation("1"), token=f"t{number}")
    worker = Worker(house.journal, shop)
    while await worker.round():
        pass
    assert (shop.most, len(shop.history)) == (3, 20)


async def test_a_mutation_has_a_second_at_first_and_then_as_long_as_configured(house: House) -> None:
    house.restart(apply_timeout=Duration.parse("3s"))
    seen: list[int] = []

    class Timed(Shop):
        async def apply(self, mutation: bytes, time_us: int, token: str, deadline_ns: int) -> None:
            seen.append(deadline_ns - house.environment.monotonic_ns())
            raise DeadlineExceeded("late")

    await house.submit(mutation("1"))
    house.worker = Worker(house.journal, Timed())
    await house.later(1)
    assert seen[:2] == [1_000_000_000, 3_000_000_000]


async def test_a_place_that_failed_is_not_asked_by_every_set(house: House) -> None:
    asked: list[str] = []

    class Counting(Shop):
        async def apply(self, mutation: bytes, time_us: int, token: str, deadline_ns: int) -> None:
            asked.append(token)
            await super().apply(mutation, time_us, token, deadline_ns)

    house.shop = Counting()
    house.shop.errors["b"] = DOWN
    house.restart(at_once=1)
    for number in range(20):
        await house.submit(mutation("1", "b"), token=f"t{number}")
    await house.work()
    assert len(asked) == 1
    house.shop.errors.clear()
    await house.later(5)
    assert len(house.shop.history) == 20


async def test_what_was_not_asked_is_no_try(house: House) -> None:
    house.restart(at_once=1)
    house.shop.errors["b"] = DOWN
    ids = [await house.submit(mutation("1", "b"), token=f"t{number}") for number in range(5)]
    await house.work()
    statuses = [await house.status(each) for each in ids]
    assert sorted(each.tries for each in statuses) == [0, 0, 0, 0, 1]
    assert {each.problem.detail for each in statuses if each.problem is not None} == {"the store is down"}


async def test_what_was_counted_is_what_happened(house: House) -> None:
    house.shop.errors |= {"b": DOWN, "c": BAD}
    await house.submit(mutation("1"), mutation("2"), token="t1")
    await house.submit(mutation("1"), mutation("2", "b"), token="t2")
    await house.submit(mutation("1"), mutation("2", "c"), token="t3")
    await house.work()
    counts: dict[str, Any] = house.journal.tally.counts
    wanted = {"accepted": 3, "applied": 1, "mutations": 4, "retries": 1, "dead": 1, "dropped": 0, "lost": 0}
    assert counts == wanted


async def test_the_lag_is_the_age_of_the_oldest_set_that_is_due(house: House) -> None:
    house.shop.errors["b"] = DOWN
    await house.submit(mutation("1", "b"))
    await house.submit(mutation("1"), token="u")
    await house.work()
    house.environment.advance(7)
    assert house.journal.tally.lag_s(house.environment.now_us()) == pytest.approx(7, abs=0.01)
    house.shop.errors.clear()
    await house.work()
    assert house.journal.tally.lag_s(house.environment.now_us()) == 0
