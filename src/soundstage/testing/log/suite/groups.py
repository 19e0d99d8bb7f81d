"""Consumers share partitions, and get to positions that nobody else moves."""

from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument, NotFound, PreconditionFailed, Unavailable
from soundstage.engines.log.port import Assignment, Commit, Groups, LogCapability, Position
from soundstage.testing.log.bench import PARTITIONS, TOPIC, LogBench, at
from soundstage.testing.records.requirements import requires

GROUP = "suite/readers"
SESSION_US = 10_000_000


def groups_of(bench: LogBench) -> Groups:
    assert isinstance(bench.log, Groups)
    return bench.log


async def join(bench: LogBench, member: str = "one", *topics: str, group: str = GROUP) -> Assignment:
    return await groups_of(bench).join(group, member, topics or (TOPIC,), SESSION_US)


async def commit(
    bench: LogBench, *positions: Position, member: str | None = None, generation: int | None = None
) -> None:
    await groups_of(bench).commit(Commit(group=GROUP, positions=positions, member=member, generation=generation))


async def committed(bench: LogBench, topic: str = TOPIC) -> dict[int, int]:
    return await groups_of(bench).committed(GROUP, topic)


class GroupsHeld:
    @requires(LogCapability.GROUPS)
    async def test_one_member_reads_everything(self, bench: LogBench) -> None:
        assert (await join(bench)).partitions == {TOPIC: [0, 1, 2]}

    @requires(LogCapability.GROUPS)
    async def test_members_share_the_partitions(self, bench: LogBench) -> None:
        for member in ("one", "two", "three", "four"):
            await join(bench, member)
        shares = [(await join(bench, member)).partitions.get(TOPIC, []) for member in ("one", "two", "three", "four")]
        assert sorted(number for share in shares for number in share) == [0, 1, 2]
        assert sorted(map(len, shares)) == [0, 1, 1, 1]

    @requires(LogCapability.GROUPS)
    async def test_groups_are_apart(self, bench: LogBench) -> None:
        await join(bench, "one")
        assert (await join(bench, "two", group="suite/others")).partitions == {TOPIC: [0, 1, 2]}

    @requires(LogCapability.GROUPS)
    async def test_a_member_that_comes_begins_a_generation(self, bench: LogBench) -> None:
        first = await join(bench, "one")
        assert await groups_of(bench).beat(GROUP, "one", first.generation)
        second = await join(bench, "two")
        assert second.generation > first.generation
        assert not await groups_of(bench).beat(GROUP, "one", first.generation)
        assert await join(bench, "one") == await join(bench, "one")

    @requires(LogCapability.GROUPS)
    async def test_joining_again_changes_nothing(self, bench: LogBench) -> None:
        assert [await join(bench) for _ in range(3)] == [await join(bench)] * 3

    @requires(LogCapability.GROUPS)
    async def test_a_member_that_leaves_is_followed(self, bench: LogBench) -> None:
        await join(bench, "one")
        before = await join(bench, "two")
        await groups_of(bench).leave(GROUP, "one")
        await groups_of(bench).leave(GROUP, "one")
        after = await join(bench, "two")
        assert after.generation > before.generation
        assert after.partitions == {TOPIC: [0, 1, 2]}

    @requires(LogCapability.GROUPS)
    async def test_a_member_that_is_not_heard_of_is_followed(self, bench: LogBench) -> None:
        first = await join(bench, "one")
        bench.advance_us(SESSION_US // 2)
        await join(bench, "two")
        bench.advance_us(SESSION_US // 2)
        assert (await join(bench, "two")).partitions == {TOPIC: [0, 1, 2]}
        assert not await groups_of(bench).beat(GROUP, "one", first.generation)

    @requires(LogCapability.GROUPS)
    async def test_a_member_that_is_heard_of_stays(self, bench: LogBench) -> None:
        assignment = await join(bench)
        for _ in range(5):
            bench.advance_us(SESSION_US - 1)
            assert await groups_of(bench).beat(GROUP, "one", assignment.generation)

    @requires(LogCapability.GROUPS, LogCapability.EXACT)
    async def test_what_members_have_they_keep(self, bench: LogBench) -> None:
        await bench.another("suite/wide", partitions=12)
        for member in ("a", "b", "c"):
            await join(bench, member, "suite/wide")
        before = {member: set((await join(bench, member, "suite/wide")).partitions["suite/wide"]) for member in "abc"}
        await join(bench, "d", "suite/wide")
        after = {member: set((await join(bench, member, "suite/wide")).partitions["suite/wide"]) for member in "abcd"}
        assert {len(share) for share in after.values()} == {3}
        assert all(after[member] < before[member] for member in "abc")

    @requires(LogCapability.GROUPS)
    async def test_members_read_the_topics_they_joined_for(self, bench: LogBench) -> None:
        await bench.another("suite/other", partitions=6)
        await join(bench, "one", TOPIC)
        await join(bench, "two", "suite/other")
        assert (await join(bench, "one", TOPIC)).partitions == {TOPIC: [0, 1, 2]}
        assert (await join(bench, "two", "suite/other")).partitions == {"suite/other": [0, 1, 2, 3, 4, 5]}

    @requires(LogCapability.GROUPS)
    async def test_a_member_may_join_for_other_topics(self, bench: LogBench) -> None:
        await bench.another("suite/other", partitions=1)
        before = await join(bench, "one", TOPIC)
        after = await join(bench, "one", TOPIC, "suite/other")
        assert after.generation > before.generation
        assert after.partitions == {TOPIC: [0, 1, 2], "suite/other": [0]}

    @requires(LogCapability.GROUPS)
    async def test_a_member_may_join_for_fewer_topics(self, bench: LogBench) -> None:
        await bench.another("suite/other", partitions=2)
        await join(bench, "one", TOPIC, "suite/other")
        before = await join(bench, "two", TOPIC, "suite/other")
        after = await join(bench, "two", TOPIC)
        assert after.generation > before.generation
        assert list(after.partitions) == [TOPIC]
        assert (await join(bench, "one", TOPIC, "suite/other")).partitions["suite/other"] == [0, 1]

    @requires(LogCapability.GROUPS)
    async def test_positions_are_kept_by_partition(self, bench: LogBench) -> None:
        await bench.append(*[b""] * 5, partition=0)
        await bench.append(*[b""] * 5, partition=2)
        assert await committed(bench) == {}
        await commit(bench, at(3), at(5, 2))
        await commit(bench, at(4))
        assert await committed(bench) == {0: 4, 2: 5}

    @requires(LogCapability.GROUPS)
    async def test_a_commit_of_nothing_changes_nothing(self, bench: LogBench) -> None:
        await commit(bench)
        assignment = await join(bench)
        await commit(bench, member="one", generation=assignment.generation)
        assert await committed(bench) == {}

    @requires(LogCapability.GROUPS)
    async def test_a_position_may_go_back(self, bench: LogBench) -> None:
        await bench.append(*[b""] * 5)
        for offset in (5, 1, 0):
            await commit(bench, at(offset))
            assert await committed(bench) == {0: offset}

    @requires(LogCapability.GROUPS)
    async def test_a_member_commits_what_it_reads(self, bench: LogBench) -> None:
        await bench.append(b"")
        assignment = await join(bench)
        await commit(bench, at(1), member="one", generation=assignment.generation)
        assert await committed(bench) == {0: 1}

    @requires(LogCapability.GROUPS)
    async def test_an_older_generation_commits_nothing(self, bench: LogBench) -> None:
        await bench.append(b"")
        before = await join(bench, "one")
        await join(bench, "two")
        with pytest.raises(PreconditionFailed):
            await commit(bench, at(1), member="one", generation=before.generation)
        assert await committed(bench) == {}

    @requires(LogCapability.GROUPS)
    async def test_another_members_partition_cannot_be_committed(self, bench: LogBench) -> None:
        for partition in range(PARTITIONS):
            await bench.append(b"", partition=partition)
        await join(bench, "one")
        await join(bench, "two")
        mine = await join(bench, "one")
        foreign = next(number for number in range(PARTITIONS) if number not in mine.partitions[TOPIC])
        own = mine.partitions[TOPIC][0]
        with pytest.raises(PreconditionFailed):
            await commit(bench, at(1, own), at(1, foreign), member="one", generation=mine.generation)
        assert await committed(bench) == {}

    @requires(LogCapability.GROUPS)
    async def test_a_member_that_was_not_heard_of_commits_nothing(self, bench: LogBench) -> None:
        await bench.append(b"")
        assignment = await join(bench)
        bench.advance_us(SESSION_US)
        with pytest.raises(PreconditionFailed):
            await commit(bench, at(1), member="one", generation=assignment.generation)

    @requires(LogCapability.GROUPS)
    async def test_who_is_no_member_commits_only_where_there_are_none(self, bench: LogBench) -> None:
        await bench.append(b"")
        await join(bench)
        with pytest.raises(PreconditionFailed):
            await commit(bench, at(1))
        await groups_of(bench).leave(GROUP, "one")
        await commit(bench, at(1))
        assert await committed(bench) == {0: 1}

    @requires(LogCapability.GROUPS)
    @pytest.mark.parametrize("offset", [-1, 2])
    async def test_a_position_that_nobody_got_to_is_refused(self, bench: LogBench, offset: int) -> None:
        await bench.append(b"")
        with pytest.raises(InvalidArgument):
            await commit(bench, at(offset))

    @requires(LogCapability.GROUPS)
    async def test_positions_are_there_after_a_restart_and_members_are_not(self, bench: LogBench) -> None:
        await bench.append(b"", b"")
        before = await join(bench)
        await commit(bench, at(2), member="one", generation=before.generation)
        await bench.reopen()
        assert await committed(bench) == {0: 2}
        assert not await groups_of(bench).beat(GROUP, "one", before.generation)
        with pytest.raises(PreconditionFailed):
            await commit(bench, at(1), member="one", generation=before.generation)
        assert (await join(bench)).generation > before.generation

    @requires(LogCapability.GROUPS)
    async def test_positions_go_with_their_topic(self, bench: LogBench) -> None:
        await bench.append(b"")
        await commit(bench, at(1))
        await bench.log.drop_topic(TOPIC)
        await bench.log.create_topic(bench.spec)
        assert await committed(bench) == {}

    @requires(LogCapability.GROUPS)
    async def test_groups_are_listed_with_who_lives(self, bench: LogBench) -> None:
        await join(bench, "b")
        await join(bench, "a")
        await bench.append(b"")
        await groups_of(bench).commit(Commit(group="suite/alone", positions=[at(1)]))
        found = {info.name: info.members for info in await groups_of(bench).groups()}
        assert found == {GROUP: ["a", "b"], "suite/alone": []}
        bench.advance_us(SESSION_US)
        assert [info.members for info in await groups_of(bench).groups()] == [[], []]

    @requires(LogCapability.GROUPS)
    async def test_a_forgotten_group_has_no_positions(self, bench: LogBench) -> None:
        await bench.append(b"")
        await commit(bench, at(1))
        for _ in range(2):
            await groups_of(bench).forget_group(GROUP)
            assert (await committed(bench), await groups_of(bench).groups()) == ({}, [])

    @requires(LogCapability.GROUPS)
    async def test_a_group_with_members_is_not_forgotten(self, bench: LogBench) -> None:
        await bench.append(b"")
        assignment = await join(bench)
        await commit(bench, at(1), member="one", generation=assignment.generation)
        with pytest.raises(PreconditionFailed):
            await groups_of(bench).forget_group(GROUP)
        assert await committed(bench) == {0: 1}

    @requires(LogCapability.GROUPS)
    async def test_groups_whose_names_begin_alike_are_apart(self, bench: LogBench) -> None:
        await bench.append(b"", b"", b"")
        for offset, name in enumerate(("a", "a-b", "aa"), start=1):
            await groups_of(bench).commit(Commit(group=name, positions=[at(offset)]))
        found = [await groups_of(bench).committed(name, TOPIC) for name in ("a", "a-b", "aa")]
        assert found == [{0: 1}, {0: 2}, {0: 3}]

    @requires(LogCapability.GROUPS)
    async def test_what_is_no_name_joins_nothing(self, bench: LogBench) -> None:
        for group, member in (("", "one"), ("a b", "one"), (GROUP, ""), (GROUP, "a\0")):
            with pytest.raises(InvalidArgument):
                await groups_of(bench).join(group, member, [TOPIC], SESSION_US)

    @requires(LogCapability.GROUPS)
    @pytest.mark.parametrize("session_us", [999_999, 3_600_000_001])
    async def test_sessions_have_bounds(self, bench: LogBench, session_us: int) -> None:
        with pytest.raises(InvalidArgument):
            await groups_of(bench).join(GROUP, "one", [TOPIC], session_us)

    @requires(LogCapability.GROUPS)
    async def test_one_joins_for_topics_that_are_there(self, bench: LogBench) -> None:
        with pytest.raises(NotFound):
            await join(bench, "one", TOPIC, "unknown")
        with pytest.raises(InvalidArgument):
            await groups_of(bench).join(GROUP, "one", [], SESSION_US)

    @requires(LogCapability.GROUPS)
    async def test_groups_of_a_stopped_engine_are_unavailable(self, bench: LogBench) -> None:
        groups = groups_of(bench)
        await bench.log.stop()
        for attempt in (
            groups.join(GROUP, "one", [TOPIC], SESSION_US),
            groups.beat(GROUP, "one", 1),
            groups.leave(GROUP, "one"),
            groups.commit(Commit(group=GROUP, positions=[at(0)])),
            groups.committed(GROUP, TOPIC),
            groups.groups(),
            groups.forget_group(GROUP),
        ):
            with pytest.raises(Unavailable):
                await attempt
