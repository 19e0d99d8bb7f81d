from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from tests.runtime.conftest import OpenStage, make

from soundstage.core.call import Call, Principal
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument
from soundstage.core.feed import Position
from soundstage.core.namespace import NamespaceSpec
from soundstage.engines.records.memory import MemoryRecords
from soundstage.runtime.following import BoundFeed
from soundstage.runtime.namespaces.api import NamespaceEvent, Namespaces, WatchNamespaces
from soundstage.runtime.stage import Stage


async def settled() -> None:
    """Everything that could go on by itself has: nothing here waits for a clock or a disk."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.fixture
def namespaces(stage: Stage) -> Namespaces:
    return stage.client(Namespaces)


def told(event: NamespaceEvent) -> tuple[str, str, int]:
    return event.change.action, event.change.namespace.name, event.change.version


async def taken(events: AsyncGenerator[NamespaceEvent], count: int) -> list[NamespaceEvent]:
    """So many events, and the feed is closed."""
    async with aclosing(events):
        return [await anext(events) for _ in range(count)]


async def test_every_change_is_told_in_its_order(stage: Stage, namespaces: Namespaces) -> None:
    await make(stage, "a")
    await make(stage, "b")
    await make(stage, "a", config={"length_limit": 5})
    await namespaces.delete(name="b")
    assert [told(event) for event in await taken(namespaces.watch(cursor="0"), 5)] == [
        ("created", "home", 1),
        ("created", "a", 1),
        ("created", "b", 1),
        ("changed", "a", 2),
        ("deleted", "b", 2),
    ]


async def test_without_a_cursor_it_begins_now(stage: Stage, namespaces: Namespaces) -> None:
    following = asyncio.ensure_future(taken(namespaces.watch(), 1))
    await settled()
    await make(stage, "later")
    assert told((await following)[0]) == ("created", "later", 1)


async def test_from_a_cursor_nothing_is_missed_or_repeated(stage: Stage, namespaces: Namespaces) -> None:
    for name in ("a", "b", "c", "d"):
        await make(stage, name)
    whole = await taken(namespaces.watch(cursor="0"), 5)
    for position in range(5):
        rest = await taken(namespaces.watch(cursor=whole[position].cursor), 4 - position)
        assert rest == whole[position + 1 :]


async def test_it_waits_for_what_comes(stage: Stage, namespaces: Namespaces) -> None:
    events = namespaces.watch(cursor="0")
    async with aclosing(events):
        await anext(events)
        waiting = asyncio.ensure_future(anext(events))
        await settled()
        assert not waiting.done()
        await make(stage, "later")
        assert told(await waiting) == ("created", "later", 1)


async def test_a_name_or_an_abstraction_chooses(stage: Stage, namespaces: Namespaces) -> None:
    await namespaces.put(namespace=NamespaceSpec(name="store", abstraction="kv"))
    await make(stage, "a")
    assert [told(event)[1] for event in await taken(namespaces.watch(cursor="0", name="a"), 1)] == ["a"]
    assert [told(event)[1] for event in await taken(namespaces.watch(cursor="0", abstraction="kv"), 1)] == ["store"]


async def test_only_what_the_caller_may_read_is_told(stage: Stage) -> None:
    await make(stage, "secret")
    await make(stage, "team-a")
    feed = stage.operation("namespaces", "watch")
    assert isinstance(feed, BoundFeed)
    call = Call(principal=Principal("team", {"team-*": ("read",)}))
    async with aclosing(feed.follow(call, WatchNamespaces(cursor="0"))) as events:
        seen = [await anext(events) for _ in range(3)]
    assert [told(event)[1] for event in seen if isinstance(event, NamespaceEvent)] == ["team-a"]
    assert seen[0] == Position("0")
    assert seen[2] == Position("3")


async def test_the_position_passes_over_what_is_not_wanted(stage: Stage) -> None:
    await make(stage, "a")
    feed = stage.operation("namespaces", "watch")
    assert isinstance(feed, BoundFeed)
    async with aclosing(feed.follow(Call(), WatchNamespaces(cursor="0", name="none"))) as events:
        assert [await anext(events), await anext(events)] == [Position("0"), Position("2")]


@pytest.mark.parametrize("cursor", ["x", "-1", "", "1.5", "2", "99999999999999999999"])
async def test_a_cursor_of_no_message_is_refused(namespaces: Namespaces, cursor: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await taken(namespaces.watch(cursor=cursor), 1)
    assert refused.value.field == "cursor"


async def test_a_cursor_whose_followers_are_forgotten_names_the_oldest_kept(open_stage: OpenStage) -> None:
    async with open_stage({"control": {"history_limit": 1}}) as stage:
        for number in range(13):
            await make(stage, f"n{number}")
        namespaces = stage.client(Namespaces)
        with pytest.raises(InvalidArgument, match="the oldest is 4") as refused:
            await taken(namespaces.watch(cursor="2"), 1)
        assert '"3"' in (refused.value.hint or "")
        assert told((await taken(namespaces.watch(cursor="3"), 1))[0])[1] == "n3"
        assert told((await taken(namespaces.watch(cursor="0"), 1))[0])[1] == "n3"


async def test_one_that_falls_behind_what_is_kept_is_told(open_stage: OpenStage) -> None:
    async with open_stage({"control": {"history_limit": 1}}) as stage:
        await make(stage, "n0")
        events = stage.client(Namespaces).watch(cursor="0")
        await anext(events)
        for number in range(1, 13):
            await make(stage, f"n{number}")
        with pytest.raises(InvalidArgument, match="not kept any more"):
            await anext(events)


async def test_with_no_change_left_it_begins_with_the_next(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    async with open_stage({"control": {"history_ttl": "1d"}}) as stage:
        await make(stage, "old")
        environment.advance(100_000)
        following = asyncio.ensure_future(taken(stage.client(Namespaces).watch(cursor="0"), 1))
        await settled()
        await make(stage, "young")
        assert told((await following)[0])[1] == "young"


async def test_changes_of_another_process_are_told_once_it_has_looked(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = MemoryRecords(environment)
    async with open_stage(engines={"default": engine}) as one, open_stage(engines={"default": engine}) as other:
        following = asyncio.ensure_future(taken(other.client(Namespaces).watch(), 1))
        await settled()
        await make(one, "shared")
        await other.run_background()
        assert told((await following)[0])[1] == "shared"
