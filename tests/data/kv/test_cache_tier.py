"""The cache of a namespace as a process speaks to it: what it asks, for how long, and how often in vain."""

from __future__ import annotations

import pytest
from tests.data.kv.caches import Flaky, settle

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.time import Duration
from soundstage.data.kv.cache_entries import CLOSED_US, Answer, Head, Keys
from soundstage.data.kv.cache_tier import FAILURES_MAX, REST_NS, Away, CacheTier
from soundstage.data.kv.config import CacheKnobs
from soundstage.engines.cache.port import VALUE_MAX_BYTES
from soundstage.engines.records.port import Stamp

KEYS = Keys(b"head", b"answer")
HEAD, ANSWER = Head(b"n", Stamp(1, "t")), Answer(b"n", 5, None, [])
REST_S = REST_NS / 1e9


@pytest.fixture
async def cache(environment: VirtualEnvironment) -> Flaky:
    cache = Flaky(environment)
    await cache.start()
    return cache


@pytest.fixture
def tier(cache: Flaky, environment: VirtualEnvironment) -> CacheTier:
    return CacheTier(cache, CacheKnobs(), b"space", environment)


async def test_what_was_put_is_found(tier: CacheTier) -> None:
    assert await tier.put_head(b"head", HEAD, 0)
    lease = await tier.lease(b"answer")
    assert await tier.put_answer(b"answer", ANSWER, lease.cas)
    looked = await tier.look(KEYS)
    assert (looked.head, looked.answer) == (HEAD, ANSWER)


async def test_one_look_is_one_round_trip(tier: CacheTier, cache: Flaky) -> None:
    await tier.look(KEYS)
    assert cache.calls == {"get": 1}


async def test_what_is_not_there_has_no_number(tier: CacheTier) -> None:
    assert await tier.look(KEYS) == (None, 0, None, 0)


async def test_what_is_junk_has_a_number_to_be_replaced_by(tier: CacheTier, cache: Flaky) -> None:
    for key in KEYS:
        await cache.inner.set(key, b"\xc1")
    looked = await tier.look(KEYS)
    assert (looked.head, looked.answer) == (None, None)
    assert await tier.put_head(b"head", HEAD, looked.head_cas)
    assert await tier.put_answer(b"answer", ANSWER, looked.answer_cas)


async def test_a_head_is_put_in_the_place_of_the_state_that_was_seen(tier: CacheTier) -> None:
    await tier.put_head(b"head", HEAD, 0)
    _, cas = await tier.head(b"head")
    assert not await tier.put_head(b"head", HEAD, 0)
    assert await tier.put_head(b"head", HEAD, cas)
    assert not await tier.put_head(b"head", HEAD, cas)
    assert await tier.put_head(b"head", HEAD, None)


async def test_an_answer_is_put_under_a_lease_that_holds(tier: CacheTier, cache: Flaky) -> None:
    lease = await tier.lease(b"answer")
    await cache.inner.delete(b"answer")
    assert not await tier.put_answer(b"answer", ANSWER, lease.cas)


async def test_of_two_who_want_to_fill_one_may(tier: CacheTier) -> None:
    assert [(await tier.lease(b"answer")).won for _ in range(2)] == [True, False]


async def test_a_lease_that_is_given_back_is_for_the_next(tier: CacheTier) -> None:
    lease = await tier.lease(b"answer")
    await tier.drop(b"answer", lease.cas)
    assert (await tier.lease(b"answer")).won


async def test_a_lease_ends(tier: CacheTier, environment: VirtualEnvironment) -> None:
    await tier.lease(b"answer")
    environment.advance(4)
    assert (await tier.lease(b"answer")).won


async def test_an_answer_lives_for_its_time_and_a_head_longer(tier: CacheTier, environment: VirtualEnvironment) -> None:
    await tier.put_head(b"head", HEAD, 0)
    await tier.put_answer(b"answer", ANSWER, (await tier.lease(b"answer")).cas)
    environment.advance(180)
    looked = await tier.look(KEYS)
    assert (looked.head, looked.answer) == (HEAD, None)


async def test_a_head_outlives_the_writer_that_has_closed_it(cache: Flaky, environment: VirtualEnvironment) -> None:
    tier = CacheTier(cache, CacheKnobs(ttl=Duration.parse("1s")), b"space", environment)
    await tier.put_head(b"head", HEAD, 0)
    environment.advance(CLOSED_US / 1e6)
    assert (await tier.look(KEYS)).head == HEAD


async def test_an_answer_that_is_too_large_is_no_failure_of_the_cache(tier: CacheTier) -> None:
    cas = (await tier.lease(b"answer")).cas
    assert await tier.put_answer(b"answer", Answer(b"n", 5, None, [(b"", bytes(VALUE_MAX_BYTES))]), cas)
    assert (await tier.look(KEYS)).answer == Answer(b"n", 5)
    assert tier.counts["failures"] == 0


@pytest.mark.parametrize(("ttl", "whole"), [("1s", 1), ("1500ms", 2), ("3m", 180)])
def test_a_time_to_live_is_rounded_up_to_seconds(environment: VirtualEnvironment, ttl: str, whole: int) -> None:
    knobs = CacheKnobs(ttl=Duration.parse(ttl))
    assert CacheTier(Flaky(environment), knobs, b"", environment).ttl_s == whole


async def test_a_cache_that_does_not_answer_is_away(tier: CacheTier, cache: Flaky) -> None:
    cache.away = True
    for call in (tier.look(KEYS), tier.head(b"head"), tier.lease(b"answer")):
        with pytest.raises(Away):
            await call
    assert tier.counts["failures"] == 3


@pytest.mark.parametrize("call", ["set", "delete"])
async def test_a_change_whose_answer_is_lost_is_away(tier: CacheTier, cache: Flaky, call: str) -> None:
    cache.lost = {call}
    with pytest.raises(Away):
        await (tier.put_head(b"head", HEAD, 0) if call == "set" else tier.drop(b"head", 1))


async def test_after_some_failures_in_a_row_it_is_left_alone(tier: CacheTier, cache: Flaky) -> None:
    cache.away = True
    for _ in range(FAILURES_MAX + 5):
        with pytest.raises(Away):
            await tier.look(KEYS)
    assert cache.calls["get"] == FAILURES_MAX


async def test_failures_that_are_not_in_a_row_do_not_add_up(tier: CacheTier, cache: Flaky) -> None:
    for _ in range(2 * FAILURES_MAX):
        cache.away = True
        with pytest.raises(Away):
            await tier.look(KEYS)
        cache.away = False
        await tier.look(KEYS)
    assert cache.calls["get"] == 4 * FAILURES_MAX


async def test_one_call_sees_whether_it_is_back(tier: CacheTier, cache: Flaky, environment: VirtualEnvironment) -> None:
    cache.away = True
    for _ in range(FAILURES_MAX):
        with pytest.raises(Away):
            await tier.look(KEYS)
    environment.advance(REST_S)
    for _ in range(3):
        with pytest.raises(Away):
            await tier.look(KEYS)
    assert cache.calls["get"] == FAILURES_MAX + 1


async def test_once_it_answers_all_calls_go_to_it(
    tier: CacheTier, cache: Flaky, environment: VirtualEnvironment
) -> None:
    cache.away = True
    for _ in range(FAILURES_MAX):
        with pytest.raises(Away):
            await tier.look(KEYS)
    cache.away = False
    environment.advance(REST_S)
    for _ in range(3):
        await tier.look(KEYS)
    assert cache.calls["get"] == FAILURES_MAX + 3


async def test_what_was_begun_beside_calls_is_waited_for(tier: CacheTier) -> None:
    done: list[int] = []

    async def work() -> None:
        await settle()
        done.append(1)

    tier.spawn(work())
    await tier.drain()
    assert done == [1]


def test_nonces_differ(tier: CacheTier) -> None:
    assert len({tier.nonce() for _ in range(100)}) == 100
