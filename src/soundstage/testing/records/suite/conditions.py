"""Conditional writes: when they pass, what they are stamped with, and what a failure leaves."""

from __future__ import annotations

import asyncio

import pytest

from soundstage.core.errors import Exhausted, InvalidArgument, PreconditionFailed, Unavailable
from soundstage.engines.records.port import TOMBSTONES_MAX, Capability
from soundstage.testing.model import Condition, Put, Stamp
from soundstage.testing.records.bench import RECORD, Bench
from soundstage.testing.records.requirements import requires
from soundstage.testing.records.suite.tables import OTHER, count_in, create
from soundstage.testing.records.writes import batch_of, conditional_of, shown

KEY = b"key"
ABSENT = Condition(KEY, None)
NEW = Condition(None, None)
"""The record has no live item."""

SECOND_US = 1_000_000


async def passes(bench: Bench, *conditions: Condition, at: int = 0) -> bool:
    """Whether a write under `conditions` is taken; where it is refused nothing has changed."""
    before = await bench.page()
    try:
        await bench.put_if(b"other", b"", *conditions, at=at)
    except PreconditionFailed:
        unchanged = await bench.page()
        assert unchanged == before
        return False
    return True


class Conditions:
    @requires(Capability.CONDITIONAL)
    async def test_a_write_passes_where_its_item_is_absent(self, guarded: Bench) -> None:
        assert await passes(guarded, ABSENT)

    @requires(Capability.CONDITIONAL)
    async def test_a_write_fails_where_its_item_should_be_absent(self, guarded: Bench) -> None:
        await guarded.put(KEY, b"", at=-1)
        assert not await passes(guarded, ABSENT)

    @requires(Capability.CONDITIONAL)
    async def test_a_write_passes_where_its_item_is_at_the_version(self, guarded: Bench) -> None:
        await guarded.put(KEY, b"", at=-1)
        assert await passes(guarded, Condition(KEY, await guarded.item_stamp(KEY)))

    @requires(Capability.CONDITIONAL)
    async def test_a_refusal_says_what_to_do(self, guarded: Bench) -> None:
        await guarded.put(KEY, b"", at=-1)
        with pytest.raises(PreconditionFailed) as refused:
            await guarded.put_if(KEY, b"", ABSENT, at=0)
        assert refused.value.hint

    @requires(Capability.CONDITIONAL)
    async def test_a_write_fails_where_its_item_has_moved_on(self, guarded: Bench) -> None:
        await guarded.put(KEY, b"", at=-2)
        stamp = await guarded.item_stamp(KEY)
        await guarded.put(KEY, b"", at=-1)
        assert not await passes(guarded, Condition(KEY, stamp))

    @requires(Capability.CONDITIONAL)
    @pytest.mark.parametrize(("at", "token"), [(-1, "other"), (-2, "token"), (0, "token")])
    async def test_time_and_token_must_both_be_those_of_the_item(self, guarded: Bench, at: int, token: str) -> None:
        await guarded.put(KEY, b"", at=-1)
        assert not await passes(guarded, Condition(KEY, Stamp(guarded.at(at), token)))

    @requires(Capability.CONDITIONAL)
    async def test_a_write_fails_where_its_item_is_gone(self, guarded: Bench) -> None:
        await guarded.put(KEY, b"", at=-2)
        stamp = await guarded.item_stamp(KEY)
        await guarded.delete(KEY, at=-1)
        assert not await passes(guarded, Condition(KEY, stamp))

    @requires(Capability.CONDITIONAL)
    @pytest.mark.parametrize("kind", ["marker", "range", "record", "expiry"])
    async def test_an_item_that_was_deleted_or_expired_is_absent(self, guarded: Bench, kind: str) -> None:
        await guarded.put(KEY, b"", at=-2, expires=0 if kind == "expiry" else None)
        if kind == "marker":
            await guarded.delete(KEY, at=-1)
        elif kind == "range":
            await guarded.delete_range(b"k", b"l", at=-1)
        elif kind == "record":
            await guarded.delete_all(at=-1)
        assert await passes(guarded, ABSENT)

    @requires(Capability.CONDITIONAL)
    @pytest.mark.parametrize("kind", ["range", "record"])
    async def test_what_an_older_delete_than_the_newest_write_hides_is_absent(self, guarded: Bench, kind: str) -> None:
        # Then an engine cannot have dropped the hidden rows without looking.
        await guarded.delete(b"newest", at=-1)
        await guarded.put(KEY, b"", at=-3)
        if kind == "range":
            await guarded.delete_range(b"k", b"l", at=-2)
        else:
            await guarded.delete_all(at=-2)
        assert await passes(guarded, ABSENT, NEW)

    @requires(Capability.CONDITIONAL)
    @pytest.mark.parametrize(("elapsed", "absent"), [(999, False), (1_000, True)])
    async def test_an_item_is_absent_from_the_microsecond_of_its_expiry(
        self, guarded: Bench, elapsed: int, absent: bool
    ) -> None:
        await guarded.put(KEY, b"", at=0, expires=1_000)
        guarded.advance(elapsed)
        assert await passes(guarded, ABSENT) is absent

    @requires(Capability.CONDITIONAL)
    async def test_a_record_never_written_is_absent(self, guarded: Bench) -> None:
        assert await passes(guarded, NEW)

    @requires(Capability.CONDITIONAL)
    async def test_a_record_with_a_live_item_is_not_absent(self, guarded: Bench) -> None:
        await guarded.put(b"\xff", b"", at=-1)
        await guarded.delete(b"", at=0)
        assert not await passes(guarded, NEW)

    @requires(Capability.CONDITIONAL)
    @pytest.mark.parametrize("kind", ["marker", "range", "record", "expiry"])
    async def test_a_record_whose_items_are_gone_is_absent(self, guarded: Bench, kind: str) -> None:
        await guarded.put(KEY, b"", at=-2, expires=0 if kind == "expiry" else None)
        if kind == "marker":
            await guarded.delete(KEY, at=-1)
        elif kind == "range":
            await guarded.delete_range(b"", None, at=-1)
        elif kind == "record":
            await guarded.delete_all(at=-1)
        assert await passes(guarded, NEW)

    @requires(Capability.CONDITIONAL)
    @pytest.mark.parametrize("kind", ["put", "marker", "range", "record", "expired"])
    async def test_a_record_is_at_the_greatest_version_it_ever_accepted(self, guarded: Bench, kind: str) -> None:
        write = {
            "put": guarded.write(at=-1, token="newest", puts={b"x": Put(b"")}),
            "marker": guarded.write(at=-1, token="newest", markers=[b"unknown"]),
            "range": guarded.write(at=-1, token="newest", ranges=[(b"x", b"y")]),
            "record": guarded.write(at=-1, token="newest", whole=True),
            "expired": guarded.write(at=-1, token="newest", puts={b"x": Put(b"", guarded.start_us)}),
        }[kind]
        await guarded.send(write)
        await guarded.put(KEY, b"", at=-3)
        assert not await passes(guarded, Condition(None, Stamp(guarded.at(-3), "token")))
        assert await passes(guarded, Condition(None, Stamp(guarded.at(-1), "newest")))

    @requires(Capability.CONDITIONAL)
    async def test_a_record_is_at_the_delete_rather_than_a_put_of_its_time(self, guarded: Bench) -> None:
        await guarded.delete(KEY, at=-1, token="a")
        await guarded.put(KEY, b"", at=-1, token="z")
        assert not await passes(guarded, Condition(None, Stamp(guarded.at(-1), "z")))
        assert await passes(guarded, Condition(None, Stamp(guarded.at(-1), "a")))

    @requires(Capability.CONDITIONAL)
    async def test_a_record_that_was_read_can_be_written_under_its_token(self, guarded: Bench) -> None:
        await guarded.put(KEY, b"", at=-1)
        assert await passes(guarded, Condition(None, await guarded.record_stamp()))

    @requires(Capability.CONDITIONAL)
    async def test_a_record_never_written_is_at_no_token(self, guarded: Bench) -> None:
        assert not await passes(guarded, Condition(None, Stamp(guarded.at(0), "token")))

    @requires(Capability.CONDITIONAL)
    @pytest.mark.parametrize("failing", [0, 1, 2])
    async def test_every_condition_must_hold(self, guarded: Bench, failing: int) -> None:
        await guarded.put(KEY, b"", at=-1)
        conditions = [Condition(key, None) for key in (b"a", b"b", b"c")]
        assert await passes(guarded, *conditions)
        conditions[failing] = ABSENT
        assert not await passes(guarded, *conditions)

    @requires(Capability.CONDITIONAL)
    async def test_a_write_under_no_condition_passes(self, guarded: Bench) -> None:
        assert await passes(guarded)

    @requires(Capability.CONDITIONAL)
    async def test_a_write_that_passes_is_stamped_after_everything_in_the_record(self, guarded: Bench) -> None:
        await guarded.put(b"other", b"", at=500)
        stamp_us = await guarded.put_if(KEY, b"", ABSENT, at=0)
        assert (stamp_us, (await guarded.item_stamp(KEY)).time_us) == (501, guarded.at(501))

    @requires(Capability.CONDITIONAL)
    async def test_a_write_that_is_the_newest_keeps_its_time(self, guarded: Bench) -> None:
        await guarded.put(KEY, b"", at=-1)
        assert await guarded.put_if(b"other", b"", at=7) == 7

    @requires(Capability.CONDITIONAL)
    async def test_a_write_of_the_newest_time_is_stamped_a_microsecond_later(self, guarded: Bench) -> None:
        await guarded.put(KEY, b"", at=7)
        assert await guarded.put_if(b"other", b"", at=7) == 8

    @requires(Capability.CONDITIONAL)
    async def test_a_write_is_stamped_after_deletes_too(self, guarded: Bench) -> None:
        await guarded.delete_all(at=70)
        await guarded.put_if(KEY, b"shows", ABSENT, at=0)
        assert await guarded.values() == {KEY: b"shows"}

    @requires(Capability.CONDITIONAL)
    async def test_everything_in_a_call_is_stamped_alike(self, guarded: Bench) -> None:
        await guarded.send(guarded.write(at=-1, puts={key: Put(b"") for key in (b"a", b"b", b"c")}))
        await guarded.put(b"z", b"", at=9)
        write = guarded.write(at=0, token="call", puts={b"x": Put(b"")}, markers=[b"a"], ranges=[(b"b", b"c\0")])
        assert await guarded.send(write, conditions=[ABSENT]) == 10
        await guarded.send(guarded.write(at=9, token="late", puts={key: Put(b"") for key in (b"a", b"b", b"x")}))
        found = shown(await guarded.rows())
        assert {key: (each.time_us, each.token) for key, each in found.items()} == {
            b"x": (guarded.at(10), "call"),
            b"z": (guarded.at(9), "token"),
        }

    @requires(Capability.CONDITIONAL)
    async def test_a_stamp_leaves_the_expiry_as_it_was(self, guarded: Bench) -> None:
        await guarded.put(b"other", b"", at=500)
        await guarded.send(guarded.write(at=0, puts={KEY: Put(b"", guarded.at(900))}), conditions=[ABSENT])
        assert shown(await guarded.rows())[KEY].expires_us == guarded.at(900)

    @requires(Capability.CONDITIONAL)
    async def test_a_write_may_be_stamped_as_late_as_the_limit(self, guarded: Bench) -> None:
        await guarded.put(b"other", b"", at=999)
        write = guarded.write(at=0, token="call", puts={KEY: Put(b"")})
        assert await guarded.send(write, conditions=[ABSENT], limit=1_000) == 1_000

    @requires(Capability.CONDITIONAL)
    async def test_a_write_that_would_be_stamped_later_is_not_applied_and_may_be_repeated(self, guarded: Bench) -> None:
        await guarded.put(b"other", b"", at=1_000)
        write = guarded.write(at=0, token="call", puts={KEY: Put(b"")})
        with pytest.raises(Unavailable) as refused:
            await guarded.send(write, conditions=[ABSENT], limit=1_000)
        assert (refused.value.retryable, refused.value.outcome) == (True, "not_applied")
        assert list(await guarded.values()) == [b"other"]

    @requires(Capability.CONDITIONAL)
    async def test_a_write_refused_as_too_early_passes_when_its_time_has_come(self, guarded: Bench) -> None:
        await guarded.put(b"other", b"", at=3 * SECOND_US)
        write = guarded.write(at=0, token="call", puts={KEY: Put(b"")})
        with pytest.raises(Unavailable):
            await guarded.send(write, conditions=[ABSENT])
        guarded.advance(2 * SECOND_US)
        assert await guarded.send(write, conditions=[ABSENT]) == 3 * SECOND_US + 1

    @requires(Capability.CONDITIONAL)
    async def test_of_writers_at_once_one_passes(self, guarded: Bench) -> None:
        async def try_put(number: int) -> bool:
            try:
                await guarded.put_if(KEY, b"%d" % number, ABSENT, at=-number)
            except PreconditionFailed:
                return False
            return True

        assert sum(await asyncio.gather(*(try_put(number) for number in range(50)))) == 1

    @requires(Capability.CONDITIONAL)
    async def test_a_chain_of_conditions_counts_every_link(self, guarded: Bench) -> None:
        await guarded.put_if(KEY, b"0", ABSENT, at=0)

        async def increment() -> None:
            for _ in range(200):
                found = shown(await guarded.rows())[KEY]
                seen = Condition(KEY, Stamp(found.time_us, found.token))
                try:
                    await guarded.put_if(KEY, b"%d" % (int(found.value) + 1), seen, at=0)
                except PreconditionFailed:
                    await asyncio.sleep(0)
                    continue
                return

        await asyncio.gather(*(increment() for _ in range(20)))
        assert await guarded.values() == {KEY: b"20"}

    @requires(Capability.CONDITIONAL)
    async def test_conditions_are_of_one_record(self, guarded: Bench) -> None:
        await guarded.put(KEY, b"", at=50, record=b"other")
        assert await guarded.put_if(KEY, b"", ABSENT, NEW, at=0) == 0

    @requires(Capability.CONDITIONAL)
    async def test_a_delete_may_be_conditional(self, guarded: Bench) -> None:
        await guarded.put(KEY, b"", at=5)
        seen = Condition(KEY, await guarded.item_stamp(KEY))
        assert await guarded.send(guarded.write(at=0, token="delete", whole=True), conditions=[seen]) == 6
        assert await guarded.values() == {}

    @requires(Capability.CONDITIONAL)
    async def test_a_call_with_too_many_ranges_is_not_half_applied(self, guarded: Bench) -> None:
        ranges = [(b"%05d" % number, b"%05d\0" % number) for number in range(TOMBSTONES_MAX + 1)]
        write = guarded.write(at=0, token="call", puts={KEY: Put(b"")}, ranges=ranges)
        with pytest.raises(Exhausted):
            await guarded.send(write, conditions=[ABSENT])
        assert (await guarded.rows(), await guarded.stamp()) == ([], None)
        assert await guarded.send(guarded.write(at=0, token="call", puts={KEY: Put(b"")}), conditions=[ABSENT]) == 0

    async def test_a_table_made_without_conditions_takes_none(self, bench: Bench) -> None:
        await create(bench, OTHER, conditional=False)
        batch = batch_of(bench.write(at=0, puts={KEY: Put(b"")}))
        conditional = conditional_of("call", [ABSENT], b"digest", bench.at(SECOND_US))
        with pytest.raises(InvalidArgument) as refused:
            await bench.engine.apply(OTHER, RECORD, batch, conditional=conditional)
        assert refused.value.field == "condition"
        assert await count_in(bench, OTHER) == 0
