"""Appends to several topics, and positions with them, are there together or not at all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from soundstage.core.errors import DeadlineExceeded, InvalidArgument, NotFound, PreconditionFailed, Unavailable
from soundstage.engines.log.port import Appending, Commit, Groups, LogCapability, Spot, Transactions
from soundstage.testing.log.bench import TOPIC, LogBench, at, entry
from soundstage.testing.records.requirements import requires

OTHER = "suite/other"
GROUP = "suite/movers"
SESSION_US = 10_000_000


def appending(*values: bytes, topic: str = TOPIC, partition: int | None = 0) -> Appending:
    return Appending(topic=topic, entries=[entry(value) for value in values], partition=partition)


async def together(
    bench: LogBench, *appends: Appending, commits: Sequence[Commit] = (), deadline_ns: int | None = None
) -> list[list[Spot]]:
    assert isinstance(bench.log, Transactions)
    return await bench.log.append_together(appends, commits, deadline_ns)


async def moved(bench: LogBench, generation_off: int = 0) -> Commit:
    """What a member of a group commits that has read the first entry of the partition 0."""
    assert isinstance(bench.log, Groups)
    await bench.append(b"moved")
    generation = (await bench.log.join(GROUP, "one", [TOPIC], SESSION_US)).generation
    return Commit(group=GROUP, positions=[at(1)], member="one", generation=generation + generation_off)


async def committed(bench: LogBench) -> dict[int, int]:
    assert isinstance(bench.log, Groups)
    return await bench.log.committed(GROUP, TOPIC)


class TransactionsHeld:
    @requires(LogCapability.TRANSACTIONS)
    async def test_several_topics_are_appended_to_in_one(self, bench: LogBench) -> None:
        await bench.another(OTHER)
        spots = await together(bench, appending(b"a", b"b"), appending(b"c", topic=OTHER), appending(b"d", partition=2))
        assert spots == [[Spot(0, 0), Spot(0, 1)], [Spot(0, 0)], [Spot(2, 0)]]
        assert (await bench.values(), await bench.values(2)) == ([b"a", b"b"], [b"d"])
        assert await bench.values(topic=OTHER) == [b"c"]

    @requires(LogCapability.TRANSACTIONS)
    async def test_they_follow_each_other(self, bench: LogBench) -> None:
        for number in range(5):
            ((spot,),) = await together(bench, appending(b"%d" % number))
            page = await bench.page(spot.offset)
            assert [each.value for each in page.entries] == [b"%d" % number]
        await bench.append(b"alone")
        assert await bench.values() == [b"0", b"1", b"2", b"3", b"4", b"alone"]

    @requires(LogCapability.TRANSACTIONS, LogCapability.GROUPS)
    async def test_positions_are_kept_with_what_was_made_of_it(self, bench: LogBench) -> None:
        await bench.another(OTHER)
        commit = await moved(bench)
        await together(bench, appending(b"made", topic=OTHER), commits=[commit])
        assert (await bench.values(topic=OTHER), await committed(bench)) == ([b"made"], {0: 1})

    @requires(LogCapability.TRANSACTIONS, LogCapability.GROUPS)
    async def test_who_has_lost_its_share_appends_nothing_either(self, bench: LogBench) -> None:
        await bench.another(OTHER)
        commit = await moved(bench, generation_off=-1)
        with pytest.raises(PreconditionFailed):
            await together(bench, appending(b"made", topic=OTHER), commits=[commit])
        assert (await bench.values(topic=OTHER), await committed(bench)) == ([], {})

    @requires(LogCapability.TRANSACTIONS, LogCapability.GROUPS)
    async def test_positions_that_nobody_got_to_refuse_all(self, bench: LogBench) -> None:
        await bench.another(OTHER)
        commit = await moved(bench)
        beyond = Commit(group=GROUP, positions=[at(2)], member="one", generation=commit.generation)
        with pytest.raises(InvalidArgument):
            await together(bench, appending(b"made", topic=OTHER), commits=[beyond])
        assert (await bench.values(topic=OTHER), await committed(bench)) == ([], {})

    @requires(LogCapability.TRANSACTIONS)
    async def test_what_one_refuses_refuses_all(self, bench: LogBench) -> None:
        with pytest.raises(InvalidArgument):
            await together(bench, appending(b"a"), appending(b"b", partition=9))
        with pytest.raises(NotFound):
            await together(bench, appending(b"a"), appending(b"b", topic="nothing"))
        assert await bench.values() == []

    @requires(LogCapability.TRANSACTIONS)
    async def test_two_appends_to_one_partition_are_refused(self, bench: LogBench) -> None:
        with pytest.raises(InvalidArgument):
            await together(bench, appending(b"a"), appending(b"b"))
        assert await bench.values() == []

    @requires(LogCapability.TRANSACTIONS)
    async def test_appends_without_keys_to_one_topic_go_to_one_partition_and_are_refused(self, bench: LogBench) -> None:
        with pytest.raises(InvalidArgument):
            await together(bench, appending(b"a", partition=None), appending(b"b", partition=None))
        assert await bench.values() == []

    @requires(LogCapability.TRANSACTIONS)
    async def test_a_deadline_that_has_passed_refuses_all(self, bench: LogBench) -> None:
        with pytest.raises(DeadlineExceeded) as caught:
            await together(bench, appending(b"a"), deadline_ns=bench.environment.monotonic_ns())
        assert (caught.value.outcome, await bench.values()) == ("not_applied", [])

    @requires(LogCapability.TRANSACTIONS)
    async def test_what_was_appended_together_is_there_after_a_restart(self, bench: LogBench) -> None:
        await together(bench, appending(b"a"), appending(b"b", partition=1))
        await bench.reopen()
        await bench.append(b"c")
        assert (await bench.values(), await bench.values(1)) == ([b"a", b"c"], [b"b"])

    @requires(LogCapability.TRANSACTIONS)
    async def test_a_stopped_engine_appends_nothing_together(self, bench: LogBench) -> None:
        await bench.log.stop()
        with pytest.raises(Unavailable):
            await together(bench, appending(b"a"))
