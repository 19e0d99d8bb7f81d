"""The conformance suite of the cache port.

    class TestMine(CacheSuite):
        @pytest.fixture
        async def cache(self):
            engine = MyCache(...)
            await engine.start()
            yield engine
            await engine.stop()

        @pytest.fixture
        def pass_time(self):
            return asyncio.sleep

`pass_time(seconds)` makes the engine's time go on by at least so much. The cache may hold what others put there: the
suite uses keys of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, PreconditionFailed, SoundstageError, TooLarge
from soundstage.engines.cache.memory import MemoryCache
from soundstage.engines.cache.port import (
    ABSENT,
    COUNTER_LIMIT,
    GET_MAX_KEYS,
    KEY_MAX_BYTES,
    TTL_MAX_S,
    VALUE_MAX_BYTES,
    Cache,
    Found,
    Newer,
    Outcome,
    Unchanged,
    When,
)
from soundstage.testing.cache.histories import history, play

PassTime: TypeAlias = Callable[[float], Awaitable[None]]

KEYS = {
    "one byte": b"a",
    "spaces": b"a b\tc\r\nd",
    "zeros": b"\0\0\0",
    "every byte": bytes(range(256)),
    "longest": bytes(KEY_MAX_BYTES),
    "longest that is plain": b"k" * 250,
    "longer than plain": b"k" * 251,
    "longest as base64": b"\xff" * 186,
    "longer than base64": b"\xff" * 187,
}
VALUES = {
    "empty": b"",
    "digits": b"17",
    "ends of lines": b"\r\nEN\r\nVA 1\r\n",
    "every byte": bytes(range(256)),
    "spaces": b"  ",
    "largest": b"\xa5" * VALUE_MAX_BYTES,
}

HISTORIES = 60

_numbers = itertools.count()


def own_key(name: bytes = b"") -> bytes:
    """A key that nothing else has."""
    return b"%d:%d:%s" % (os.getpid(), next(_numbers), name)


async def value_of(cache: Cache, key: bytes) -> bytes | None:
    """The value, None where there is none."""
    (found,) = await cache.get([key])
    return found.value if found.hit else None


async def found_of(cache: Cache, key: bytes) -> Found:
    """The value with what is said of it."""
    (found,) = await cache.get([key])
    return found


class CacheSuite:
    """What the port promises, each in a test."""

    async def test_a_key_that_was_never_set_is_a_miss(self, cache: Cache) -> None:
        assert await found_of(cache, own_key()) == Found(Outcome.MISS)

    async def test_what_was_set_is_got(self, cache: Cache) -> None:
        key = own_key()
        assert await cache.set(key, b"red")
        assert await value_of(cache, key) == b"red"

    async def test_the_last_set_counts(self, cache: Cache) -> None:
        key = own_key()
        await cache.set(key, b"red")
        assert await cache.set(key, b"blue")
        assert await value_of(cache, key) == b"blue"

    @pytest.mark.parametrize("name", KEYS)
    async def test_a_key_may_be_any_bytes(self, cache: Cache, name: str) -> None:
        await cache.delete(KEYS[name])
        assert await value_of(cache, KEYS[name]) is None
        await cache.set(KEYS[name], name.encode())
        assert await value_of(cache, KEYS[name]) == name.encode()
        assert await cache.delete(KEYS[name])

    async def test_keys_that_are_alike_are_apart(self, cache: Cache) -> None:
        alike = [*KEYS.values(), b"AAAA", b"AA", bytes(KEY_MAX_BYTES - 1), b"k" * 252, b"A", b"\0\0"]
        for number, key in enumerate(alike):
            await cache.set(key, b"%d" % number)
        assert [found.value for found in await cache.get(alike)] == [b"%d" % number for number in range(len(alike))]

    @pytest.mark.parametrize("name", VALUES)
    async def test_a_value_may_be_any_bytes(self, cache: Cache, name: str) -> None:
        key = own_key()
        assert await cache.set(key, VALUES[name], within_s=10)
        (found,) = await cache.get([key], within_s=10)
        assert found.value == VALUES[name]
        await cache.delete(key)

    async def test_many_keys_are_got_in_their_order(self, cache: Cache) -> None:
        keys = [own_key() for _ in range(GET_MAX_KEYS)]
        for number in range(0, GET_MAX_KEYS, 3):
            await cache.set(keys[number], b"%d" % number)
        found = await cache.get(keys, within_s=10)
        assert [each.value for each in found if each.hit] == [b"%d" % n for n in range(0, GET_MAX_KEYS, 3)]
        assert [each.hit for each in found] == [number % 3 == 0 for number in range(GET_MAX_KEYS)]

    async def test_a_key_that_is_asked_for_twice_is_answered_twice(self, cache: Cache) -> None:
        key, other = own_key(), own_key()
        await cache.set(key, b"red")
        assert [found.value for found in await cache.get([key, other, key])] == [b"red", b"", b"red"]

    async def test_no_keys_are_no_answers(self, cache: Cache) -> None:
        assert await cache.get([]) == []

    async def test_gets_are_counted_by_what_they_found(self, cache: Cache) -> None:
        before, key = cache.statistics(), own_key()
        await cache.set(key, b"red")
        await cache.get([key, own_key(), key])
        await cache.lease(key, 10)
        after = cache.statistics()
        assert (after.hits - before.hits, after.misses - before.misses) == (3, 1)

    async def test_what_was_deleted_is_gone(self, cache: Cache) -> None:
        key = own_key()
        await cache.set(key, b"red")
        assert await cache.delete(key)
        assert await value_of(cache, key) is None
        assert not await cache.delete(key)

    async def test_absent_keeps_what_is_there(self, cache: Cache) -> None:
        key = own_key()
        assert await cache.set(key, b"red", when=ABSENT)
        assert not await cache.set(key, b"blue", when=ABSENT)
        assert await value_of(cache, key) == b"red"
        await cache.delete(key)
        assert await cache.set(key, b"blue", when=ABSENT)

    async def test_of_many_who_set_an_absent_key_one_does(self, cache: Cache) -> None:
        key = own_key()
        won = await asyncio.gather(*(cache.set(key, b"%d" % number, when=ABSENT) for number in range(16)))
        assert sum(won) == 1
        assert await value_of(cache, key) == b"%d" % won.index(True)

    async def test_every_change_has_a_number_of_its_own(self, cache: Cache) -> None:
        key, numbers = own_key(), set[int]()
        for _ in range(3):
            await cache.set(key, b"red")
            numbers.add((await found_of(cache, key)).cas)
        assert len(numbers) == 3
        assert 0 not in numbers

    async def test_reading_changes_no_number(self, cache: Cache) -> None:
        key = own_key()
        await cache.set(key, b"red")
        assert await found_of(cache, key) == await found_of(cache, key)

    async def test_unchanged_sets_only_that_very_state(self, cache: Cache) -> None:
        key = own_key()
        await cache.set(key, b"red")
        cas = (await found_of(cache, key)).cas
        assert await cache.set(key, b"blue", when=Unchanged(cas))
        assert not await cache.set(key, b"green", when=Unchanged(cas))
        assert await value_of(cache, key) == b"blue"

    async def test_unchanged_sets_nothing_that_is_gone(self, cache: Cache) -> None:
        key = own_key()
        await cache.set(key, b"red")
        cas = (await found_of(cache, key)).cas
        await cache.delete(key)
        assert not await cache.set(key, b"blue", when=Unchanged(cas))
        assert await value_of(cache, key) is None

    async def test_the_number_nothing_is_of_no_state(self, cache: Cache) -> None:
        key = own_key()
        await cache.set(key, b"red")
        assert not await cache.set(key, b"blue", when=Unchanged(0))
        assert not await cache.delete(key, cas=0)
        assert await value_of(cache, key) == b"red"

    async def test_of_many_who_change_one_state_one_does(self, cache: Cache) -> None:
        key = own_key()
        await cache.set(key, b"red")
        cas = (await found_of(cache, key)).cas
        won = await asyncio.gather(*(cache.set(key, b"%d" % n, when=Unchanged(cas)) for n in range(16)))
        assert sum(won) == 1

    async def test_a_delete_of_one_state_leaves_another(self, cache: Cache) -> None:
        key = own_key()
        await cache.set(key, b"red")
        cas = (await found_of(cache, key)).cas
        await cache.set(key, b"blue")
        assert not await cache.delete(key, cas=cas)
        assert await value_of(cache, key) == b"blue"
        assert await cache.delete(key, cas=(await found_of(cache, key)).cas)
        assert await value_of(cache, key) is None

    async def test_newer_sets_what_is_newer_and_nothing_else(self, cache: Cache) -> None:
        key = own_key()
        assert await cache.set(key, b"5", when=Newer(5))
        assert [await cache.set(key, b"x", when=Newer(version)) for version in (4, 5)] == [False, False]
        assert await cache.set(key, b"6", when=Newer(6))
        found = await found_of(cache, key)
        assert (found.value, found.version) == (b"6", 6)

    async def test_newer_takes_the_place_of_what_has_no_version(self, cache: Cache) -> None:
        key = own_key()
        await cache.set(key, b"red")
        assert (await found_of(cache, key)).version == 0
        assert not await cache.set(key, b"blue", when=Newer(0))
        assert await cache.set(key, b"blue", when=Newer(1))

    async def test_the_greatest_version_fits(self, cache: Cache) -> None:
        key = own_key()
        assert await cache.set(key, b"red", when=Newer(COUNTER_LIMIT - 1))
        assert (await found_of(cache, key)).version == COUNTER_LIMIT - 1

    async def test_of_many_versions_set_at_once_the_greatest_stays(self, cache: Cache) -> None:
        key = own_key()
        await asyncio.gather(*(cache.set(key, b"%d" % n, when=Newer(n)) for n in (3, 1, 5, 2, 4)))
        assert await value_of(cache, key) == b"5"

    async def test_a_counter_begins_at_nothing(self, cache: Cache) -> None:
        key = own_key()
        assert [await cache.add(key, delta) for delta in (7, 0, 5, -2)] == [7, 7, 12, 10]
        assert await value_of(cache, key) == b"10"

    async def test_a_counter_never_goes_below_nothing(self, cache: Cache) -> None:
        key = own_key()
        assert [await cache.add(key, delta) for delta in (-3, 2, -5, 1)] == [0, 2, 0, 1]

    async def test_a_counter_that_gets_shorter_shows_no_more_than_its_digits(self, cache: Cache) -> None:
        key = own_key()
        await cache.add(key, 1_000)
        await cache.add(key, -999)
        assert await value_of(cache, key) == b"1"

    async def test_a_counter_goes_on_from_nothing_beyond_its_bits(self, cache: Cache) -> None:
        key = own_key()
        await cache.add(key, COUNTER_LIMIT - 1)
        assert await cache.add(key, 2) == 1

    async def test_what_many_add_at_once_is_all_counted(self, cache: Cache) -> None:
        key = own_key()
        totals = await asyncio.gather(*(cache.add(key, 1) for _ in range(50)))
        assert sorted(totals) == list(range(1, 51))

    async def test_a_counter_may_be_set_anew_and_deleted(self, cache: Cache) -> None:
        key = own_key()
        await cache.add(key, 5)
        assert await cache.delete(key)
        assert await cache.add(key, 1) == 1
        assert await cache.set(key, b"red")
        assert await value_of(cache, key) == b"red"

    @pytest.mark.parametrize("value", [b"5", b"", b"red", b"5 red", b" 7", b"+7"])
    async def test_a_value_is_no_counter(self, cache: Cache, value: bytes) -> None:
        key = own_key()
        await cache.set(key, value)
        with pytest.raises(PreconditionFailed, match="no counter"):
            await cache.add(key, 1)
        assert await value_of(cache, key) == value

    async def test_a_version_is_no_counter(self, cache: Cache) -> None:
        key = own_key()
        await cache.set(key, b" ", when=Newer(int.from_bytes(b"12345678", "big")))
        with pytest.raises(PreconditionFailed):
            await cache.add(key, 1)

    async def test_a_lease_is_won_once_and_filled_by_who_won(self, cache: Cache) -> None:
        key = own_key()
        first, second = await cache.lease(key, 60), await cache.lease(key, 60)
        assert (first.won, first.found.hit) == (True, False)
        assert (second.won, second.found.hit) == (False, False)
        assert await cache.set(key, b"red", when=Unchanged(first.cas))
        third = await cache.lease(key, 60)
        assert (third.won, third.found.value) == (False, b"red")

    async def test_of_many_who_ask_for_a_lease_one_wins(self, cache: Cache) -> None:
        key = own_key()
        leases = await asyncio.gather(*(cache.lease(key, 60) for _ in range(32)))
        assert sum(lease.won for lease in leases) == 1

    async def test_a_key_that_is_leased_is_a_miss(self, cache: Cache) -> None:
        key = own_key()
        await cache.lease(key, 60)
        assert await found_of(cache, key) == Found(Outcome.MISS)
        assert not await cache.touch(key, 60)
        assert not await cache.set(key, b"red", when=ABSENT)
        with pytest.raises(PreconditionFailed):
            await cache.add(key, 1)

    async def test_a_lease_that_was_deleted_fills_nothing(self, cache: Cache) -> None:
        key = own_key()
        lease = await cache.lease(key, 60)
        assert await cache.delete(key)
        assert not await cache.set(key, b"red", when=Unchanged(lease.cas))
        assert (await cache.lease(key, 60)).won

    async def test_a_lease_that_another_value_took_the_place_of_fills_nothing(self, cache: Cache) -> None:
        key = own_key()
        lease = await cache.lease(key, 60)
        await cache.set(key, b"newer")
        assert not await cache.set(key, b"older", when=Unchanged(lease.cas))
        assert await value_of(cache, key) == b"newer"

    @pytest.mark.slow
    async def test_what_has_a_time_to_live_is_gone_after_it(self, cache: Cache, pass_time: PassTime) -> None:
        gone, touched, counted, leased, kept = (own_key(name) for name in (b"g", b"t", b"c", b"l", b"k"))
        for key in (gone, touched):
            await cache.set(key, b"red", ttl_s=1)
        await cache.set(kept, b"red", ttl_s=60)
        await cache.add(counted, 5, ttl_s=1)
        await cache.lease(leased, 1)
        assert await cache.touch(touched, 60)
        assert not await cache.touch(own_key(), 60)
        await pass_time(2)
        assert [found.hit for found in await cache.get([gone, touched, counted, leased, kept])] == [
            False,
            True,
            False,
            False,
            True,
        ]
        assert await cache.add(counted, 1) == 1
        assert (await cache.lease(leased, 60)).won
        assert await cache.set(gone, b"blue", when=ABSENT)

    @pytest.mark.slow
    async def test_what_is_touched_with_nothing_lives_on(self, cache: Cache, pass_time: PassTime) -> None:
        key = own_key()
        await cache.set(key, b"red", ttl_s=1)
        assert await cache.touch(key, 0)
        await pass_time(2)
        assert await value_of(cache, key) == b"red"

    async def test_what_is_no_key_is_refused(self, cache: Cache) -> None:
        for wrong, error in ((b"", InvalidArgument), (b"k" * (KEY_MAX_BYTES + 1), TooLarge)):
            for call in (cache.get([wrong]), cache.set(wrong, b""), cache.delete(wrong), cache.add(wrong, 1)):
                with pytest.raises(error):
                    await call
            for call in (cache.touch(wrong, 1), cache.lease(wrong, 1)):
                with pytest.raises(error):
                    await call

    async def test_more_keys_than_a_get_takes_are_refused(self, cache: Cache) -> None:
        with pytest.raises(TooLarge):
            await cache.get([b"k"] * (GET_MAX_KEYS + 1))

    async def test_a_value_over_the_limit_is_refused_and_leaves_what_was_there(self, cache: Cache) -> None:
        key = own_key()
        await cache.set(key, b"red")
        with pytest.raises(TooLarge):
            await cache.set(key, bytes(VALUE_MAX_BYTES + 1))
        assert await value_of(cache, key) == b"red"

    @pytest.mark.parametrize("ttl_s", [-1, TTL_MAX_S + 1])
    async def test_what_is_no_time_to_live_is_refused(self, cache: Cache, ttl_s: int) -> None:
        key = own_key()
        for call in (
            cache.set(key, b"", ttl_s=ttl_s),
            cache.touch(key, ttl_s),
            cache.add(key, 1, ttl_s=ttl_s),
            cache.lease(key, ttl_s),
        ):
            with pytest.raises(InvalidArgument):
                await call

    async def test_a_lease_without_an_end_is_refused(self, cache: Cache) -> None:
        with pytest.raises(InvalidArgument):
            await cache.lease(own_key(), 0)

    @pytest.mark.parametrize("when", [Newer(-1), Newer(COUNTER_LIMIT), Unchanged(-1)])
    async def test_what_is_no_version_is_refused(self, cache: Cache, when: When) -> None:
        with pytest.raises(InvalidArgument):
            await cache.set(own_key(), b"", when=when)

    async def test_what_no_counter_holds_is_not_added(self, cache: Cache) -> None:
        for delta in (COUNTER_LIMIT, -COUNTER_LIMIT):
            with pytest.raises(InvalidArgument):
                await cache.add(own_key(), delta)

    async def test_a_cache_that_was_stopped_refuses_until_it_is_started(self, cache: Cache) -> None:
        await cache.stop()
        await cache.stop()
        for call in (cache.get([b"k"]), cache.set(b"k", b""), cache.delete(b"k"), cache.add(b"k", 1)):
            with pytest.raises(SoundstageError, match="not open"):
                await call
        await cache.start()
        assert await cache.set(own_key(), b"red")

    @pytest.mark.slow
    async def test_any_history_is_as_the_specification_has_it(self, cache: Cache) -> None:
        for seed in range(HISTORIES):
            model, prefix, calls = MemoryCache(VirtualEnvironment()), own_key(), history(seed)
            await model.start()
            assert (seed, await play(cache, calls, prefix)) == (seed, await play(model, calls, prefix))
