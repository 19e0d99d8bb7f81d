from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
import pytest
from tests.runtime.conftest import NOTES, OpenStage
from tests.runtime.notes.api import Notes

from soundstage.core.call import DEFAULT_OPTIONS, Call, Principal
from soundstage.core.environment import SystemEnvironment, VirtualEnvironment
from soundstage.core.errors import (
    DeadlineExceeded,
    Exhausted,
    Forbidden,
    Internal,
    InvalidArgument,
    SoundstageError,
    Unauthenticated,
    Unavailable,
)
from soundstage.core.feed import Position
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv.api import KeyValueCalls, WatchItems
from soundstage.runtime.deadlines import Deadlines
from soundstage.runtime.following import BoundFeed, Follower, Followers
from soundstage.runtime.namespaces.api import Namespaces, NamespacesCalls, WatchNamespaces
from soundstage.runtime.stage import Stage
from soundstage.runtime.tokens import Tokens


async def silent() -> AsyncGenerator[int]:
    await asyncio.Event().wait()
    yield 0


@pytest.fixture
def deadlines(environment: VirtualEnvironment) -> Deadlines:
    return Deadlines(environment)


async def waiting(follower: Follower, deadlines: Deadlines, deadline_ns: int | None = None) -> asyncio.Task[int]:
    task = asyncio.ensure_future(follower.next(silent(), deadlines, deadline_ns))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def test_an_interrupted_follower_stops_waiting(deadlines: Deadlines) -> None:
    follower = Follower()
    task = await waiting(follower, deadlines)
    follower.interrupt(Unavailable("over"))
    with pytest.raises(Unavailable, match="over"):
        await task


async def test_one_that_is_not_waiting_is_told_when_it_asks_again(deadlines: Deadlines) -> None:
    follower = Follower()
    follower.interrupt(Unavailable("over"))
    with pytest.raises(Unavailable):
        await follower.next(silent(), deadlines, None)


async def test_who_is_cancelled_is_cancelled(deadlines: Deadlines) -> None:
    task = await waiting(Follower(), deadlines)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_deadline_is_the_last_word(deadlines: Deadlines, environment: VirtualEnvironment) -> None:
    task = await waiting(Follower(), deadlines, environment.monotonic_ns() + 1_000_000_000)
    environment.advance(1)
    deadlines.expire()
    with pytest.raises(DeadlineExceeded) as late:
        await task
    assert late.value.retryable


def test_followers_are_bounded_in_number() -> None:
    followers = Followers(1)
    with followers.entered():
        with pytest.raises(Exhausted, match="its limit"), followers.entered():
            pass
        assert followers.count == 1
    assert followers.count == 0


async def test_closing_interrupts_all_and_lets_nobody_in(deadlines: Deadlines) -> None:
    followers = Followers(9)
    with followers.entered() as follower:
        task = await waiting(follower, deadlines)
        followers.close("the stage is stopping")
        with pytest.raises(Unavailable, match="stopping"):
            await task
    with pytest.raises(Unavailable), followers.entered():
        pass


def revoked(principal: Principal) -> None:
    if principal.id == "0123":
        raise Unauthenticated("revoked")


async def test_who_may_not_any_more_is_told_so_and_the_others_go_on(deadlines: Deadlines) -> None:
    followers = Followers(9)
    with (
        followers.entered(Principal("bob", {}, "0123")) as bob,
        followers.entered(Principal("eve", {}, "4567")) as eve,
        followers.entered() as owner,
    ):
        bobs, eves, owners = [await waiting(each, deadlines) for each in (bob, eve, owner)]
        followers.look(revoked)
        with pytest.raises(Unauthenticated, match="revoked"):
            await bobs
        assert (eves.done(), owners.done()) == (False, False)
        eves.cancel()
        owners.cancel()


async def test_a_token_that_was_revoked_ends_its_feeds(open_stage: OpenStage) -> None:
    environment = VirtualEnvironment()
    async with open_stage({"auth": {"mode": "tokens"}}, environment) as stage:
        await ends_when_revoked(stage, environment)


async def ends_when_revoked(stage: Stage, environment: VirtualEnvironment) -> None:
    made = await stage.client(Tokens).create(name="bob", roles=["read"])
    call = Call(principal=stage.authenticate(f"Bearer {made.bearer}"))
    feed = bound(stage).follow(call, WatchNamespaces(cursor="0"))
    await anext(feed)
    next_message = asyncio.ensure_future(anext(feed))
    await stage.client(Tokens).revoke(id="bob")
    for _ in range(1_000):
        if next_message.done():
            break
        await asyncio.sleep(0)
        environment.advance(0.1)
    with pytest.raises(Unauthenticated):
        await next_message


def bound(stage: Stage) -> BoundFeed:
    found = stage.operation("namespaces", "watch")
    assert isinstance(found, BoundFeed)
    return found


async def make(stage: Stage, name: str) -> None:
    await stage.client(Namespaces).put(namespace=NamespaceSpec(name=name, abstraction="notes"))


async def test_messages_are_counted(stage: Stage) -> None:
    async with aclosing(stage.client(Namespaces).watch(cursor="0")) as events:
        await anext(events)
        assert b"soundstage_followers 1.0" in stage.metrics_text()
    assert (bound(stage).stats.calls, bound(stage).messages) == (1, 1)
    assert b'soundstage_feed_messages_total{operation="watch",system="namespaces"} 1.0' in stage.metrics_text()


async def test_a_caller_needs_the_access_of_the_feed(stage: Stage) -> None:
    call = Call(principal=Principal("nobody", {}))
    with pytest.raises(Forbidden):
        async for _ in bound(stage).follow(call, WatchNamespaces()):
            pass
    assert bound(stage).stats.failures == {"forbidden": 1}


async def test_what_a_feed_refuses_is_raised_and_counted(stage: Stage) -> None:
    with pytest.raises(InvalidArgument):
        async for _ in stage.client(Namespaces).watch(cursor="x"):
            pass
    assert bound(stage).stats.failures == {"invalid_argument": 1}


async def test_a_defect_of_a_feed_is_told_as_one(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> AsyncGenerator[int]:
        raise KeyError("secret")

    monkeypatch.setattr(await stage.systems.started("namespaces"), "watch", broken)
    with pytest.raises(Internal) as told:
        async for _ in stage.client(Namespaces).watch():
            pass
    assert "secret" not in str(told.value)


async def test_a_feed_is_followed_and_not_called(stage: Stage) -> None:
    with pytest.raises(InvalidArgument, match="is a feed"):
        await stage.dispatch("namespaces", "watch", Call(), WatchNamespaces())


async def test_a_feed_of_a_namespace_is_not_called_the_short_way_either(stage: Stage) -> None:
    with pytest.raises(InvalidArgument, match="is a feed"):
        await stage.invoke(KeyValueCalls.watch_items, WatchItems(namespace="people"), DEFAULT_OPTIONS)


async def test_a_namespace_that_another_process_has_just_made_is_followed(stage: Stage) -> None:
    async def look() -> None:
        spec = NamespaceSpec(name="people", abstraction="kv", config={"watch": True})
        await stage.client(Namespaces).put(namespace=spec)

    found = stage.operation("kv", "watch_items")
    beside = msgspec.structs.replace(found._on, look=look)  # pyright: ignore[reportPrivateUsage]
    watching = BoundFeed(found.operation, beside, Followers(1))
    async with aclosing(watching.follow(Call(), WatchItems(namespace="people"))) as messages:
        assert isinstance(await anext(messages), Position)


async def test_a_call_is_called_and_not_followed(stage: Stage) -> None:
    notes = stage.client(Notes, "home")
    with pytest.raises(InvalidArgument, match="no feed"):
        async for _ in stage.follow(notes.read.operation, None, notes.options):
            pass


async def test_a_stage_that_stops_says_so_to_who_follows(open_stage: OpenStage) -> None:
    async with open_stage(env=SystemEnvironment(), background=False) as stage:
        await make(stage, "one")
        last: list[SoundstageError] = []

        async def following() -> None:
            try:
                async for _ in stage.client(Namespaces).watch():
                    pass
            except SoundstageError as error:
                last.append(error)

        task = asyncio.ensure_future(following())
        while not stage.operation("namespaces", "watch").stats.calls:  # noqa: ASYNC110
            await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
    await task
    assert [(error.code, error.retryable) for error in last] == [("unavailable", True)]


async def test_the_bound_on_followers_is_configured(open_stage: OpenStage) -> None:
    async with open_stage({"admission": {"followers": 0}}) as stage:
        with pytest.raises(Exhausted):
            async for _ in stage.client(Namespaces).watch():
                pass


def test_without_an_event_loop_a_feed_is_iterated() -> None:
    from soundstage.catalogue import SYSTEMS
    from soundstage.runtime.namespaces.api import SyncNamespaces
    from soundstage.runtime.sync_stage import SyncStage

    with SyncStage(Stage.open(data="memory:", systems=(*SYSTEMS, NOTES))) as stage:
        namespaces = stage.client(SyncNamespaces)
        namespaces.put(namespace=NamespaceSpec(name="a", abstraction="notes"))
        events = namespaces.watch(cursor="0")
        assert next(events).change.namespace.name == "a"
        events.close()
    assert NamespacesCalls.watch.kind == "feed"
