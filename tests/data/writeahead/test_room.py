"""Room for sets that wait: what is let in, what is refused, and that nothing accepted is lost for it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.data.writeahead.conftest import House, mutation

from soundstage.core.errors import Exhausted, Unavailable
from soundstage.data.writeahead.ledger import COUNT_AT_ONCE, Listed
from soundstage.data.writeahead.room import LOOK_S
from soundstage.data.writeahead.target import Submission
from soundstage.engines.log.memory import MemoryLog
from soundstage.engines.log.port import Bounds

DOWN = Unavailable("the store is down")


async def submit(house: House, token: str, *places: str, **fields: Any) -> str:
    mutations = [mutation(token, place) for place in places]
    return await house.submit(*mutations, token=token, places=list(dict.fromkeys(places)), **fields)


async def fill(house: House, place: str, count: int) -> list[str]:
    """So many sets wait for the place, and are counted."""
    house.shop.errors[place] = DOWN
    ids = [await submit(house, f"{place}{number}", place) for number in range(count)]
    await house.work()
    house.environment.advance(LOOK_S)
    await house.journal.room.look()
    return ids


async def test_as_many_sets_wait_as_may_and_one_more_is_refused(each_house: House) -> None:
    each_house.restart(waiting_max=3)
    await fill(each_house, "down", 3)
    with pytest.raises(Exhausted, match="3 sets of mutations wait") as caught:
        await submit(each_house, "more", "well")
    assert "systems.writeahead.waiting_max" in (caught.value.hint or "")
    assert caught.value.retry_after_ms
    assert each_house.journal.room.refused == 1


async def test_a_place_that_is_full_keeps_out_only_those_that_need_it(each_house: House) -> None:
    each_house.restart(waiting_of_place_max=2)
    await fill(each_house, "down", 2)
    with pytest.raises(Exhausted, match="wait for 'down'") as caught:
        await submit(each_house, "both", "well", "down")
    assert "systems.writeahead.waiting_of_place_max" in (caught.value.hint or "")
    await submit(each_house, "other", "well")
    await each_house.work()
    assert each_house.shop.values() == {"well": "other"}


async def test_delayed_sets_take_room_too(house: House) -> None:
    house.restart(waiting_of_place_max=2)
    due_us = house.environment.now_us() + 3_600_000_000
    for number in range(2):
        await submit(house, f"t{number}", "a", "b", due_us=due_us)
    await house.work()
    house.environment.advance(LOOK_S)
    with pytest.raises(Exhausted):
        await submit(house, "more", "a")


async def test_what_was_accepted_is_applied_though_more_of_it_waits_than_may(each_house: House) -> None:
    ids = await fill(each_house, "down", 4)
    each_house.restart(waiting_max=2)
    assert await full(each_house)
    del each_house.shop.errors["down"]
    await each_house.later(5)
    assert {(await each_house.status(each)).state for each in ids} == {"applied"}


async def full(house: House) -> bool:
    try:
        await submit(house, "probe", "down")
    except Exhausted:
        return True
    return False


async def test_there_is_room_again_when_what_waited_was_applied(house: House) -> None:
    house.restart(waiting_max=3)
    ids = await fill(house, "down", 3)
    assert await full(house)
    del house.shop.errors["down"]
    await house.later(5)
    await submit(house, "more", "down")
    await house.work()
    assert {(await house.status(each)).state for each in ids} == {"applied"}
    assert house.shop.values() == {"down": "more"}


async def test_a_refused_set_leaves_no_trace_and_may_be_sent_again_under_its_token(house: House) -> None:
    house.restart(waiting_max=1)
    await fill(house, "down", 1)
    time_us = house.environment.now_us()
    before = await house.log.bounds(house.journal.topic)
    with pytest.raises(Exhausted):
        await submit(house, "late", "well", time_us=time_us)
    assert await house.log.bounds(house.journal.topic) == before
    del house.shop.errors["down"]
    await house.later(5)
    mutation_id = await submit(house, "late", "well", time_us=time_us)
    await house.work()
    assert (await house.status(mutation_id)).state == "applied"


async def test_a_set_that_was_accepted_may_be_sent_again_however_full_it_is(house: House) -> None:
    house.restart(waiting_max=1)
    house.shop.errors["down"] = DOWN
    time_us = house.environment.now_us()
    first = await submit(house, "t", "down", time_us=time_us)
    await house.work()
    house.environment.advance(LOOK_S)
    assert await submit(house, "t", "down", time_us=time_us) == first


async def test_who_is_refused_is_not_asked_for_its_quota(house: House) -> None:
    house.restart(waiting_max=1)
    await fill(house, "down", 1)
    asked: list[str] = []
    submission = Submission(token="u", time_us=1, mutations=[mutation("1")], places=["a"])
    with pytest.raises(Exhausted):
        await house.journal.submit(submission, admit=lambda: asked.append("asked"))
    assert asked == []


async def test_who_is_refused_for_its_quota_takes_no_room(house: House) -> None:
    house.restart(waiting_max=1)

    def refuse() -> None:
        raise Exhausted("over the quota")

    submission = Submission(token="u", time_us=1, mutations=[mutation("1")], places=["a"])
    with pytest.raises(Exhausted, match="over the quota"):
        await house.journal.submit(submission, admit=refuse)
    await submit(house, "t", "a")


async def test_a_restart_forgets_none_of_those_that_wait(each_house: House) -> None:
    await fill(each_house, "down", 3)
    each_house.restart(waiting_max=3)
    with pytest.raises(Exhausted):
        await submit(each_house, "more", "well")
    assert each_house.journal.room.waiting == 3


async def test_sets_that_nobody_has_read_take_room(house: House) -> None:
    house.restart(waiting_max=4)
    for number in range(4):
        await submit(house, f"t{number}", "a")
    house.environment.advance(LOOK_S)
    with pytest.raises(Exhausted):
        await submit(house, "more", "a")
    await house.work()
    house.environment.advance(LOOK_S)
    await submit(house, "more", "a")


async def test_many_sets_that_are_applied_at_once_need_no_room(house: House) -> None:
    house.restart(waiting_max=2, waiting_of_place_max=2)
    for number in range(20):
        await submit(house, f"t{number}", "a")
        await house.work()
        house.environment.advance(LOOK_S / 5)
    assert len(house.shop.history) == 20


@pytest.mark.parametrize("knob", ["waiting_max", "waiting_of_place_max"])
async def test_nobody_is_refused_for_sets_that_were_applied_though_counting_takes_long(
    house: House, monkeypatch: pytest.MonkeyPatch, knob: str
) -> None:
    waiting = house.ledger.waiting

    async def slowly(*arguments: Any) -> Any:
        house.environment.advance(5)
        return await waiting(*arguments)

    monkeypatch.setattr(house.ledger, "waiting", slowly)
    house.restart(**{knob: 2})
    for number in range(10):
        await submit(house, f"t{number}", "a")
        await house.work()
        house.environment.advance(6)
    assert len(house.shop.history) == 10


async def test_while_it_is_certain_that_there_is_no_room_counting_takes_a_twentieth_of_the_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.restart(waiting_max=2)
    await fill(house, "down", 2)
    waiting, counted = house.ledger.waiting, 0

    async def slowly(*arguments: Any) -> Any:
        nonlocal counted
        counted += 1
        house.environment.advance(1)
        return await waiting(*arguments)

    monkeypatch.setattr(house.ledger, "waiting", slowly)
    for _ in range(100):
        house.environment.advance(1)
        assert await full(house)
    assert counted <= 6


async def test_more_than_one_page_of_them_are_counted(house: House) -> None:
    for number in range(COUNT_AT_ONCE + 5):
        await house.ledger.enlist("list", Listed(number, "0" * 32), place="ab"[number % 2])
    assert await house.ledger.waiting("list", 10_000) == {"a": 503, "b": 502}
    assert (await house.ledger.waiting("list", 700)).total() == 700


class Counting(MemoryLog):
    """Counts how often it is asked how far a topic goes."""

    asked = 0

    async def bounds(self, topic: str) -> list[Bounds]:
        self.asked += 1
        return await super().bounds(topic)


async def test_counting_is_not_done_for_every_set(house: House) -> None:
    log = Counting(house.environment)
    await log.start()
    house.log = log
    house.restart()
    for number in range(50):
        await submit(house, f"t{number}", "a")
    assert log.asked == 1
