"""Heads that are closed before a write and opened after it, whatever the cache, the writer or others do meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from tests.data.kv.caches import Flaky, settle

from soundstage.core.environment import VirtualEnvironment
from soundstage.data.kv.cache_entries import CLOSED_US, SEEN_MAX, Answer, Head, Writer, digest, head_key, keys_of
from soundstage.data.kv.cache_tier import FAILURES_MAX, CacheTier
from soundstage.data.kv.closed_heads import OWED_MAX, ClosedHeads
from soundstage.data.kv.config import CacheKnobs
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Stamp

ADA = b"ada"
SPACE = b"1 1 0"
WRITTEN = Stamp(5, "t")
CLOSED_S = CLOSED_US / 1e6


class Site:
    """One cache, and the heads of two processes."""

    def __init__(self, environment: VirtualEnvironment) -> None:
        self.environment = environment
        self.cache = Flaky(environment)
        self.key = head_key(SPACE, ADA)
        self.tier = CacheTier(self.cache, CacheKnobs(), SPACE, environment)
        self.other_tier = CacheTier(self.cache, CacheKnobs(), SPACE, environment)
        self.heads = ClosedHeads(self.tier)
        self.others = ClosedHeads(self.other_tier)

    async def head(self) -> Head | None:
        tier = CacheTier(self.cache, CacheKnobs(), SPACE, self.environment)
        return (await tier.head(self.key))[0]

    async def is_closed(self) -> bool:
        head = await self.head()
        return head is not None and head.is_closed(self.environment.now_us())


@pytest.fixture
async def site(environment: VirtualEnvironment) -> Site:
    site = Site(environment)
    await site.cache.start()
    return site


async def test_a_head_is_closed_for_as_long_as_a_write_takes(site: Site) -> None:
    closing = await site.heads.close(ADA)
    assert await site.is_closed()
    site.heads.open(ADA, closing, WRITTEN)
    await settle()
    assert not await site.is_closed()


async def test_closing_and_opening_each_make_what_is_kept_count_for_nothing(site: Site) -> None:
    await site.tier.put_head(site.key, Head(b"first"), 0)
    closing = await site.heads.close(ADA)
    closed = await site.head()
    site.heads.open(ADA, closing, WRITTEN)
    await settle()
    opened = await site.head()
    assert closed is not None
    assert opened is not None
    assert len({b"first", closed.nonce, opened.nonce}) == 3


async def test_an_open_head_knows_the_newest_write(site: Site) -> None:
    site.heads.open(ADA, await site.heads.close(ADA), WRITTEN)
    await settle()
    head = await site.head()
    assert head is not None
    assert head.newest == WRITTEN


async def test_writers_of_one_process_close_a_head_once(site: Site) -> None:
    closings = await asyncio.gather(*(site.heads.close(ADA) for _ in range(20)))
    assert site.cache.calls["set"] == 1
    for closing in closings[1:]:
        site.heads.open(ADA, closing, WRITTEN)
    await settle()
    assert await site.is_closed()
    site.heads.open(ADA, closings[0], WRITTEN)
    await settle()
    assert not await site.is_closed()


async def test_a_head_stays_closed_for_the_writer_of_another_process(site: Site) -> None:
    mine, others = await site.heads.close(ADA), await site.others.close(ADA)
    site.heads.open(ADA, mine, WRITTEN)
    await settle()
    assert await site.is_closed()
    site.others.open(ADA, others, WRITTEN)
    await settle()
    assert not await site.is_closed()


async def test_a_writer_that_comes_when_the_closing_is_old_closes_anew(site: Site) -> None:
    first = await site.heads.close(ADA)
    site.environment.advance((CLOSED_US - IN_FLIGHT_MAX_US) / 1e6 + 1)
    second = await site.heads.close(ADA)
    assert first is not second
    site.heads.open(ADA, first, WRITTEN)
    await settle()
    assert await site.is_closed()


async def test_a_write_that_may_still_come_leaves_the_head_closed_until_it_cannot(site: Site) -> None:
    site.heads.open(ADA, await site.heads.close(ADA), None, doubtful=True)
    await settle()
    assert await site.is_closed()
    site.environment.advance(CLOSED_S)
    assert not await site.is_closed()


async def test_a_write_beside_one_that_may_still_come_voids_what_was_filled_in_when_the_closed_head_was_lost(
    site: Site,
) -> None:
    doubtful, done = await asyncio.gather(site.heads.close(ADA), site.heads.close(ADA))
    await site.cache.restart()
    await site.other_tier.put_head(site.key, Head(b"filled"), 0)
    site.heads.open(ADA, doubtful, None, doubtful=True)
    told = site.heads.open(ADA, done, WRITTEN)
    assert told is not None
    assert site.heads.is_writing(ADA)
    await told
    head = await site.head()
    assert head is not None
    assert head.nonce != b"filled"
    assert await site.is_closed()
    assert not site.heads.is_writing(ADA)


async def test_a_write_beside_one_that_may_still_come_is_owed_where_the_cache_is_away_when_it_ends(site: Site) -> None:
    doubtful, done = await asyncio.gather(site.heads.close(ADA), site.heads.close(ADA))
    site.cache.away = True
    site.heads.open(ADA, doubtful, None, doubtful=True)
    told = site.heads.open(ADA, done, WRITTEN)
    assert told is not None
    await told
    assert site.heads.is_owed(ADA)


async def test_a_write_that_did_not_happen_opens_the_head_again(site: Site) -> None:
    site.heads.open(ADA, await site.heads.close(ADA), None)
    await settle()
    assert not await site.is_closed()


async def test_a_writer_that_died_leaves_the_head_closed_for_a_while(site: Site) -> None:
    await site.heads.close(ADA)
    site.environment.advance(CLOSED_S - 1)
    assert await site.is_closed()
    site.environment.advance(1)
    assert not await site.is_closed()


async def test_a_head_that_vanished_while_it_was_closed_is_new_for_all(site: Site) -> None:
    closing = await site.heads.close(ADA)
    await site.cache.restart()
    await site.tier.put_head(site.key, Head(b"of a reader"), 0)
    site.heads.open(ADA, closing, WRITTEN)
    await settle()
    head = await site.head()
    assert head is not None
    assert head.nonce != b"of a reader"


async def test_others_may_change_a_head_while_it_is_closed(site: Site) -> None:
    async def meddle() -> None:
        await site.cache.inner.set(site.key, b"changed")

    site.cache.before["set"] = meddle
    closing = await site.heads.close(ADA)
    assert closing.is_closed
    assert await site.is_closed()


async def test_a_head_that_changes_all_the_time_is_closed_for_whoever_there_is(site: Site) -> None:
    async def meddle() -> None:
        await site.cache.inner.set(site.key, b"changed")
        site.cache.before["set"] = meddle

    site.cache.before["set"] = meddle
    closing = await site.heads.close(ADA)
    head = await site.head()
    assert closing.is_closed
    assert head is not None
    assert [writer.id for writer in head.writers] == [b""]


async def test_a_word_that_the_cache_did_not_take_is_owed(site: Site) -> None:
    site.cache.away = True
    closing = await site.heads.close(ADA)
    assert not closing.is_closed
    assert (site.heads.owed, site.heads.is_owed(ADA), site.heads.is_owed(b"other")) == (1, True, False)


async def test_what_is_owed_is_told_once_the_cache_is_back(site: Site) -> None:
    await site.tier.put_head(site.key, Head(b"before"), 0)
    site.cache.away = True
    site.heads.open(ADA, await site.heads.close(ADA), WRITTEN)
    await site.heads.tell_owed()
    assert site.heads.owed == 1
    site.cache.away = False
    await site.heads.tell_owed()
    head = await site.head()
    assert head is not None
    assert head.nonce != b"before"
    assert not await site.is_closed()
    assert site.heads.owed == 0


async def test_the_cache_is_told_of_a_writer_that_is_still_writing_and_again_when_that_is_over(site: Site) -> None:
    site.cache.away = True
    closing = await site.heads.close(ADA)
    site.cache.away = False
    await site.heads.tell_owed()
    assert await site.is_closed()
    site.heads.open(ADA, closing, WRITTEN)
    await site.heads.tell_owed()
    assert not await site.is_closed()
    assert site.heads.owed == 0


async def test_of_a_write_that_may_still_come_the_cache_is_told_that_it_may(site: Site) -> None:
    site.cache.away = True
    site.heads.open(ADA, await site.heads.close(ADA), None, doubtful=True)
    site.cache.away = False
    await site.heads.tell_owed()
    assert await site.is_closed()


@pytest.mark.parametrize("told", [False, True], ids=["untold", "told"])
async def test_a_write_that_may_still_come_is_told_of_though_an_untold_one_of_its_process_followed(
    site: Site, told: bool
) -> None:
    site.cache.away = True
    site.heads.open(ADA, await site.heads.close(ADA), None, doubtful=True)
    if told:
        site.cache.away = False
        await site.heads.tell_owed()
        site.cache.away = True
    site.heads.open(ADA, await site.heads.close(ADA), WRITTEN)
    site.cache.away = False
    await site.heads.tell_owed()
    assert await site.is_closed()
    site.environment.advance(CLOSED_S)
    assert not await site.is_closed()


async def test_of_a_writer_that_takes_long_the_cache_is_told_though_a_later_one_has_ended(site: Site) -> None:
    site.cache.away = True
    slow = await site.heads.close(ADA)
    site.environment.advance((CLOSED_US - IN_FLIGHT_MAX_US) / 1e6 + 1)
    site.heads.open(ADA, await site.heads.close(ADA), WRITTEN)
    site.cache.away = False
    await site.heads.tell_owed()
    assert await site.is_closed()
    site.heads.open(ADA, slow, WRITTEN)
    await site.heads.tell_owed()
    assert not await site.is_closed()


async def test_once_a_head_that_could_not_be_changed_is_open_nothing_is_left_of_it(site: Site) -> None:
    first, second = await asyncio.gather(site.heads.close(ADA), site.heads.close(ADA))
    site.cache.away = True
    await told(site.heads.open(ADA, first, WRITTEN))
    site.cache.away = False
    await told(site.heads.open(ADA, second, WRITTEN))
    await site.heads.tell_owed()
    assert not await site.is_closed()


async def test_more_than_can_be_owed_makes_the_process_blind_until_it_is_past(site: Site) -> None:
    site.cache.away = True
    for number in range(OWED_MAX + 1):
        site.heads.open(b"%d" % number, await site.heads.close(b"%d" % number), WRITTEN)
    assert site.heads.is_owed(b"any")
    site.environment.advance(180 + CLOSED_S)
    assert not site.heads.is_owed(b"any")


async def test_a_close_whose_answer_was_lost_is_owed_though_it_was_done(site: Site) -> None:
    site.cache.lost = {"set"}
    site.heads.open(ADA, await site.heads.close(ADA), WRITTEN)
    site.cache.lost = set()
    assert site.heads.is_owed(ADA)
    await site.heads.tell_owed()
    assert not site.heads.is_owed(ADA)


async def test_whoever_is_cancelled_while_it_closes_holds_up_nobody(site: Site) -> None:
    never = asyncio.Event()
    site.cache.before["get"] = never.wait
    first = asyncio.ensure_future(site.heads.close(ADA))
    await settle()
    second = asyncio.ensure_future(site.heads.close(ADA))
    await settle()
    first.cancel()
    await settle()
    assert not (await second).is_closed
    assert site.heads.is_owed(ADA)


async def test_an_open_head_whose_word_was_lost_opens_by_itself(site: Site) -> None:
    closing = await site.heads.close(ADA)
    site.cache.away = True
    site.heads.open(ADA, closing, WRITTEN)
    await settle()
    site.cache.away = False
    assert await site.is_closed()
    site.environment.advance(CLOSED_S)
    assert not await site.is_closed()


async def test_a_word_that_was_lost_with_the_head_that_was_closed_is_owed(site: Site) -> None:
    closing = await site.heads.close(ADA)
    await site.cache.restart()
    await site.tier.put_head(site.key, Head(b"of a reader"), 0)
    site.cache.away = True
    site.heads.open(ADA, closing, WRITTEN)
    await settle()
    assert site.heads.is_owed(ADA)
    site.cache.away = False
    await site.heads.tell_owed()
    head = await site.head()
    assert head is not None
    assert head.nonce != b"of a reader"
    assert not site.heads.is_owed(ADA)


async def test_a_record_is_being_written_until_the_cache_was_told_that_it_was(site: Site) -> None:
    first, second = await site.heads.close(ADA), await site.heads.close(ADA)
    site.heads.open(ADA, first, WRITTEN)
    await settle()
    assert site.heads.is_writing(ADA)
    gate = asyncio.Event()
    site.cache.before["get"] = gate.wait
    site.heads.open(ADA, second, WRITTEN)
    await settle()
    assert site.heads.is_writing(ADA)
    gate.set()
    await settle()
    assert not site.heads.is_writing(ADA)


async def told(task: asyncio.Task[None] | None) -> None:
    assert task is not None
    await task


async def test_a_head_that_a_reader_made_meanwhile_is_another_before_the_write_is_answered(site: Site) -> None:
    closing = await site.heads.close(ADA)
    await site.cache.restart()
    await site.other_tier.put_head(site.key, Head(b"of a reader"), 0)
    await told(site.heads.open(ADA, closing, WRITTEN))
    head = await site.head()
    assert head is not None
    assert head.nonce != b"of a reader"


async def test_so_it_is_while_others_still_write_and_stays_closed_for_them(site: Site) -> None:
    first, second = await asyncio.gather(site.heads.close(ADA), site.heads.close(ADA))
    await site.cache.restart()
    await site.other_tier.put_head(site.key, Head(b"of a reader"), 0)
    await told(site.heads.open(ADA, first, WRITTEN))
    head = await site.head()
    assert head is not None
    assert head.nonce != b"of a reader"
    assert await site.is_closed()
    await told(site.heads.open(ADA, second, WRITTEN))
    assert not await site.is_closed()


async def test_those_who_end_while_a_head_is_changed_wait_for_the_next_time_together(site: Site) -> None:
    closings = await asyncio.gather(*(site.heads.close(ADA) for _ in range(20)))
    await settle()
    gate = asyncio.Event()
    site.cache.before["get"] = gate.wait
    changed = site.cache.calls["set"]
    tasks = [site.heads.open(ADA, closings[0], WRITTEN)]
    await settle()
    tasks += [site.heads.open(ADA, closing, WRITTEN) for closing in closings[1:-1]]
    gate.set()
    for task in tasks:
        await told(task)
    assert site.cache.calls["set"] == changed + 2


async def test_a_last_writer_that_is_quicker_leaves_the_head_open(site: Site) -> None:
    first, second = await asyncio.gather(site.heads.close(ADA), site.heads.close(ADA))
    gate = asyncio.Event()
    site.cache.before["set"] = gate.wait
    slow = site.heads.open(ADA, first, WRITTEN)
    await settle()
    quick = site.heads.open(ADA, second, WRITTEN)
    await told(quick)
    gate.set()
    await told(slow)
    assert not await site.is_closed()


@pytest.mark.parametrize("last", [True, False])
async def test_a_word_that_could_not_be_given_before_the_answer_is_owed(site: Site, last: bool) -> None:
    closings = await asyncio.gather(*(site.heads.close(ADA) for _ in range(1 if last else 2)))
    site.cache.away = True
    await told(site.heads.open(ADA, closings[0], WRITTEN))
    assert site.heads.is_owed(ADA)


async def test_a_word_that_is_owed_of_an_older_closing_makes_no_later_writer_be_forgotten(site: Site) -> None:
    old, _ = await asyncio.gather(site.heads.close(ADA), site.heads.close(ADA))
    await site.environment.sleep(CLOSED_S - IN_FLIGHT_MAX_US / 1e6 + 1)
    site.cache.away = True
    await site.heads.close(ADA)
    await told(site.heads.open(ADA, old, WRITTEN))
    await site.environment.sleep(IN_FLIGHT_MAX_US / 1e6)
    site.cache.away = False
    await site.heads.tell_owed()
    assert await site.is_closed()


async def test_a_head_that_changes_all_the_time_is_owed_the_word(site: Site) -> None:
    closing = await site.heads.close(ADA)

    async def change() -> None:
        head, cas = await site.other_tier.head(site.key)
        assert head is not None
        await site.other_tier.put_head(site.key, head, cas)
        site.cache.before["set"] = change

    site.cache.before["set"] = change
    await told(site.heads.open(ADA, closing, WRITTEN))
    assert site.heads.is_owed(ADA)


async def test_of_many_writes_a_head_is_told_the_greatest_and_the_last(site: Site) -> None:
    closings = [await site.heads.close(ADA) for _ in range(10 * SEEN_MAX)]
    stamps = [Stamp(1_000, "greatest"), *(Stamp(number, "t") for number in range(1, len(closings)))]
    for closing, stamp in zip(closings, stamps, strict=True):
        site.heads.open(ADA, closing, stamp)
        assert len(closing.written) <= 2 * SEEN_MAX
    await settle()
    head = await site.head()
    assert head is not None
    assert head.newest == Stamp(1_000, "greatest")
    assert head.seen == [digest(stamp) for stamp in stamps[-SEEN_MAX:]]


async def test_what_is_owed_of_records_whose_server_is_away_holds_up_no_others(site: Site) -> None:
    records = [b"%d" % number for number in range(2 * FAILURES_MAX)]
    site.cache.away = True
    for record in [*records, ADA]:
        site.heads.open(record, await site.heads.close(record), WRITTEN)
    site.cache.away = False
    dead = {head_key(SPACE, record) for record in records}
    site.cache.dead = dead
    for _ in range(5):
        site.environment.advance(1)
        await site.heads.tell_owed()
    assert not site.heads.is_owed(ADA)
    assert site.heads.owed == len(records)


async def test_a_write_that_outlasted_its_closing_makes_what_was_kept_meanwhile_count_for_nothing(site: Site) -> None:
    closing = await site.heads.close(ADA)
    site.environment.advance(CLOSED_S)
    between = await site.head()
    assert between is not None
    assert not between.is_closed(site.environment.now_us())
    keys = keys_of(SPACE, ADA, b"w")
    lease = await site.tier.lease(keys.answer)
    await site.tier.put_answer(keys.answer, Answer(between.nonce, 0), lease.cas)
    site.heads.open(ADA, closing, WRITTEN)
    await settle()
    looked = await site.tier.look(keys)
    assert looked.head is not None
    assert looked.answer is not None
    assert looked.head.nonce != looked.answer.nonce


async def test_nothing_is_told_after_the_end(site: Site) -> None:
    site.cache.away = True
    site.heads.open(ADA, await site.heads.close(ADA), WRITTEN)
    site.heads.stop()
    assert site.heads.owed == 0


async def test_nothing_is_told_of_a_write_that_outlasts_the_end(site: Site) -> None:
    site.cache.away = True
    closing = await site.heads.close(ADA)
    site.heads.stop()
    site.heads.open(ADA, closing, WRITTEN)
    assert site.heads._repeating is None


async def test_an_old_writer_of_another_release_is_no_bar(site: Site) -> None:
    await site.tier.put_head(site.key, Head(b"n", writers=[Writer(b"gone", 0)]), 0)
    assert not await site.is_closed()
