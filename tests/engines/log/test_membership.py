"""Who reads what: evenly, with few changes, and by one at a time."""

from __future__ import annotations

from random import Random

import pytest

from soundstage.core.errors import Exhausted, PreconditionFailed
from soundstage.engines.log.membership import Group, Member, Place, shared
from soundstage.engines.log.port import MEMBERS_MAX, Assignment, Commit, Position

SESSION_NS = 10

PLACES: list[Place] = [("a", number) for number in range(12)]


def joined(group: Group, *members: str, now_ns: int = 0) -> None:
    for member in members:
        group.join(member, ["a"], SESSION_NS, {"a": 12}, now_ns)


def loads(owners: dict[Place, str]) -> dict[str, int]:
    return {member: list(owners.values()).count(member) for member in set(owners.values())}


@pytest.mark.parametrize("count", [1, 2, 3, 5, 12])
def test_places_are_shared_evenly(count: int) -> None:
    members = {f"m{number}": frozenset("a") for number in range(count)}
    found = loads(shared(PLACES, members, {}))
    assert (sum(found.values()), len(found)) == (12, count)
    assert max(found.values()) - min(found.values()) <= 1


def test_more_members_than_places_leave_some_without() -> None:
    members = {f"m{number:02}": frozenset("a") for number in range(20)}
    assert set(loads(shared(PLACES, members, {})).values()) == {1}


def test_nobody_reads_what_nobody_joined_for() -> None:
    assert shared([("a", 0), ("b", 0)], {"m": frozenset("a")}, {}) == {("a", 0): "m"}


def test_without_members_nobody_reads() -> None:
    assert shared(PLACES, {}, dict.fromkeys(PLACES, "gone")) == {}


def test_those_who_joined_for_more_give_way() -> None:
    places = [*PLACES[:4], ("b", 0), ("b", 1)]
    found = shared(places, {"both": frozenset("ab"), "one": frozenset("a")}, {})
    assert (found["b", 0], found["b", 1], loads(found)) == ("both", "both", {"both": 3, "one": 3})


def test_a_leaver_moves_only_what_it_had() -> None:
    members = {name: frozenset("a") for name in "wxyz"}
    before = shared(PLACES, members, {})
    after = shared(PLACES, {name: topics for name, topics in members.items() if name != "w"}, before)
    assert all(after[place] == owner for place, owner in before.items() if owner != "w")


def test_a_comer_takes_no_more_than_its_share() -> None:
    before = shared(PLACES, {name: frozenset("a") for name in "xyz"}, {})
    after = shared(PLACES, {name: frozenset("a") for name in "wxyz"}, before)
    assert sum(after[place] != before[place] for place in PLACES) == 3


def test_whatever_happens_every_place_has_one_able_owner_and_loads_are_even() -> None:
    random = Random(7)
    owners: dict[Place, str] = {}
    for _ in range(300):
        topics = {name: frozenset(random.sample("ab", random.randint(1, 2))) for name in random.sample("uvwxyz", 4)}
        places = [(topic, number) for topic in "ab" for number in range(random.randint(1, 9))]
        owners = shared(places, topics, owners)
        wanted = {place for place in places if any(place[0] in each for each in topics.values())}
        assert set(owners) == wanted
        assert all(place[0] in topics[owner] for place, owner in owners.items())
        for one in topics:
            for other in topics:
                could_give = any(place[0] in topics[other] for place, owner in owners.items() if owner == one)
                held = list(owners.values())
                assert not could_give or held.count(one) - held.count(other) <= 1


def test_a_generation_begins_with_every_change_and_with_nothing_else() -> None:
    group = Group("g", 5)
    joined(group, "x")
    joined(group, "x")
    assert group.generation == 6
    joined(group, "y")
    assert group.generation == 7
    group.leave("z", 0)
    assert group.generation == 7
    group.leave("x", 0)
    assert (group.generation, len(group.assignment("y").partitions["a"])) == (8, 12)


def test_who_joins_for_fewer_topics_gives_up_the_others() -> None:
    group = Group("g")
    both = {"a": 2, "b": 2}
    group.join("x", ["a", "b"], SESSION_NS, both, 0)
    group.join("y", ["a", "b"], SESSION_NS, both, 0)
    group.join("y", ["a"], SESSION_NS, {"a": 2}, 0)
    assert group.generation == 3
    assert (group.assignment("x").partitions, group.assignment("y").partitions) == ({"b": [0, 1]}, {"a": [0, 1]})


def test_who_is_not_heard_of_is_gone_at_the_nanosecond() -> None:
    group = Group("g")
    joined(group, "x")
    assert group.beat("x", 1, 9)
    assert group.beat("x", 1, 18)
    assert not group.beat("x", 1, 28)
    assert group.assignment("x") == Assignment(2, {})


def test_several_that_are_gone_at_once_are_one_change() -> None:
    group = Group("g")
    joined(group, "x", "y", "z")
    group.expire(SESSION_NS)
    assert (group.generation, group.members, group.owners) == (4, {}, {})


def test_a_beat_of_who_is_no_member_brings_nobody_back() -> None:
    group = Group("g")
    assert not group.beat("x", 0, 0)
    assert group.members == {}


def test_members_are_bounded() -> None:
    group = Group("g")
    for number in range(MEMBERS_MAX):
        group.members[f"m{number}"] = _member()
    with pytest.raises(Exhausted):
        joined(group, "one-more")
    joined(group, "m0")


def _member() -> Member:
    one = Group("other")
    joined(one, "x")
    return one.members["x"]


def test_positions_are_checked_against_the_present() -> None:
    group = Group("g")
    joined(group, "x")
    fine = Commit(group="g", positions=[Position("a", 0, 5)], member="x", generation=1)
    group.check(fine, 9)
    with pytest.raises(PreconditionFailed, match="not heard of"):
        group.check(fine, 10)
    joined(group, "x", now_ns=10)
    with pytest.raises(PreconditionFailed, match="generation is 3, not 1"):
        group.check(fine, 11)


def test_a_group_in_use_is_told() -> None:
    group = Group("g")
    joined(group, "x")
    with pytest.raises(PreconditionFailed):
        group.check_unused(0)
    group.check_unused(SESSION_NS)
    assert group.info.members == []
