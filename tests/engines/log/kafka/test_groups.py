"""Members that leave, and those that are left behind: by who is cancelled, and by who is not heard of."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Exhausted, InvalidArgument, PreconditionFailed, Unavailable
from soundstage.engines.log.kafka import Link, parse_address
from soundstage.engines.log.kafka import groups as module
from soundstage.engines.log.kafka.asking import Asking
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.driver import KafkaError, code_of
from soundstage.engines.log.kafka.groups import Memberships

SESSION_US = 6_000_000
SOON_S = 30.0
"""For what comes at once, on any machine."""


class Client:
    """What the driver calls a consumer, of a group that is put together when it is told so."""

    def __init__(self, admitting: threading.Event, closing: threading.Event) -> None:
        self._admitting = admitting
        self._closing = closing
        self._said: Any = None
        self.asked: threading.Event = threading.Event()
        self.closed: threading.Event = threading.Event()

    def subscribe(self, _topics: list[str], **heard: Any) -> None:
        self._assigned = heard["on_assign"]
        self.asked.set()
        self._admitting.wait(SOON_S)

    def give(self) -> None:
        """It is a member, and reads nothing."""
        self._assigned(self, [])

    def assign(self, _places: list[Any]) -> None:
        """Nothing comes of it."""

    def consumer_group_metadata(self) -> bytes:
        return struct.pack("=7si", b"", 1)

    def refuse(self) -> None:
        """It is not taken, because of its session."""
        error = KafkaError(code_of("INVALID_SESSION_TIMEOUT"))
        self._said = SimpleNamespace(error=lambda: error)

    def poll(self, _timeout_s: float) -> Any:
        """What is said, once."""
        said, self._said = self._said, None
        return said

    def close(self) -> None:
        self._closing.wait(SOON_S)
        self.closed.set()


class FalseLink(Link):
    """Hands out clients of a cluster that there is not."""

    def __init__(self) -> None:
        super().__init__(parse_address("test", urlsplit("kafka://nowhere?patience_s=60"), {}, None))
        self.admitting: threading.Event = threading.Event()
        self.closing: threading.Event = threading.Event()
        self.closing.set()
        self.clients: list[Client] = []

    def patience(self, seconds: float) -> None:
        """For what it is asked from now on."""
        self.address = parse_address("test", urlsplit(f"kafka://nowhere?patience_s={seconds}"), {}, None)

    def consumer(self, group: str, **more: Any) -> Any:
        self.clients.append(Client(self.admitting, self.closing))
        return self.clients[-1]


@pytest.fixture
def link() -> FalseLink:
    return FalseLink()


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment()


@pytest.fixture
async def groups(link: FalseLink, environment: VirtualEnvironment) -> AsyncIterator[Memberships]:
    bridge = Bridge()
    found = Memberships(link, bridge, Asking(link, bridge, environment), environment, "main")
    yield found
    link.admitting.set()
    link.closing.set()
    bridge.close()
    await found.close()


async def begun(groups: Memberships, link: FalseLink, number: int = 0) -> asyncio.Task[Any]:
    """A join that Kafka has been asked for."""
    joining = asyncio.ensure_future(groups.join("readers", "one", ["topic"], SESSION_US))
    while len(link.clients) <= number:  # noqa: ASYNC110 - a thread of the engine's makes it
        await asyncio.sleep(0)
    assert await asyncio.to_thread(link.clients[number].asked.wait, SOON_S)
    return joining


async def cancelled(joining: asyncio.Task[Any]) -> None:
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining


async def joined(groups: Memberships, link: FalseLink) -> None:
    link.admitting.set()
    joining = await begun(groups, link)
    link.clients[0].give()
    await joining


async def a_second(groups: Memberships, link: FalseLink) -> asyncio.Task[Any]:
    """The join of another member, for whom Kafka is being asked."""
    link.clients[0].asked.clear()
    joining = asyncio.ensure_future(groups.join("readers", "two", ["topic"], SESSION_US))
    while len(link.clients) < 2:  # noqa: ASYNC110 - a thread of the engine's makes it
        await asyncio.sleep(0)
    return joining


async def test_who_is_cancelled_while_the_group_is_put_together_is_no_member(
    groups: Memberships, link: FalseLink
) -> None:
    link.admitting.set()
    await cancelled(await begun(groups, link))
    assert await asyncio.to_thread(link.clients[0].closed.wait, SOON_S)


async def test_who_is_cancelled_before_kafka_has_heard_of_it_is_no_member(groups: Memberships, link: FalseLink) -> None:
    await cancelled(await begun(groups, link))
    link.admitting.set()
    assert await asyncio.to_thread(link.clients[0].closed.wait, SOON_S)


async def test_who_is_cancelled_leaves_a_join_of_the_same_name_its_member(groups: Memberships, link: FalseLink) -> None:
    link.admitting.set()
    first, second = await begun(groups, link), await begun(groups, link)
    await asyncio.sleep(0)
    await cancelled(first)
    link.clients[0].give()
    share = await second
    assert await groups.beat("readers", "one", share.generation)
    assert (len(link.clients), link.clients[0].closed.is_set()) == (1, False)


async def test_when_all_joins_of_a_name_are_cancelled_nobody_is_a_member(groups: Memberships, link: FalseLink) -> None:
    link.admitting.set()
    joins = [await begun(groups, link) for _ in range(2)]
    await asyncio.sleep(0)
    for joining in joins:
        assert not link.clients[0].closed.is_set()
        await cancelled(joining)
    assert await asyncio.to_thread(link.clients[0].closed.wait, SOON_S)
    assert len(link.clients) == 1


async def test_who_is_cancelled_counts_as_a_member_until_kafka_has_let_it_go(
    groups: Memberships, link: FalseLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MEMBERS_MAX", 2)
    link.admitting.set()
    link.closing.clear()
    for number in range(2):
        await cancelled(await begun(groups, link, number))
    # Of another group: the attendant has come to what it was told before.
    other = asyncio.ensure_future(groups.join("others", "one", ["topic"], SESSION_US))
    while len(link.clients) < 3:  # noqa: ASYNC110 - a thread of the engine's makes it
        await asyncio.sleep(0)
    with pytest.raises(Exhausted):
        await groups.join("readers", "one", ["topic"], SESSION_US)
    assert len(link.clients) == 3
    await cancelled(other)


async def test_a_member_stays_one_where_joining_again_is_cancelled(groups: Memberships, link: FalseLink) -> None:
    await joined(groups, link)
    again = asyncio.ensure_future(groups.join("readers", "one", ["others"], SESSION_US))
    await asyncio.sleep(0)
    await cancelled(again)
    link.clients[0].give()
    await groups.join("readers", "one", ["others"], SESSION_US)
    assert (len(link.clients), link.clients[0].closed.is_set()) == (1, False)


async def test_who_is_not_heard_of_leaves_though_nobody_asks(
    groups: Memberships, link: FalseLink, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    await joined(groups, link)
    environment.advance(SESSION_US / 1e6)
    assert await asyncio.to_thread(link.clients[0].closed.wait, SOON_S)


async def test_who_waits_for_its_share_is_heard_of(
    groups: Memberships, link: FalseLink, environment: VirtualEnvironment
) -> None:
    link.admitting.set()
    joining = await begun(groups, link)
    # Of another group: it looks for silent members.
    environment.advance(2 * SESSION_US / 1e6)
    assert not await groups.beat("others", "one", 1)
    link.clients[0].give()
    share = await joining
    assert await groups.beat("readers", "one", share.generation)


async def test_who_is_cancelled_leaves_others_their_shares(groups: Memberships, link: FalseLink) -> None:
    await joined(groups, link)
    await cancelled(await a_second(groups, link))
    assert await asyncio.to_thread(link.clients[0].asked.wait, SOON_S)
    link.clients[0].give()
    share = await groups.join("readers", "one", ["topic"], SESSION_US)
    assert await groups.beat("readers", "one", share.generation)


async def test_who_is_refused_leaves_others_their_shares(groups: Memberships, link: FalseLink) -> None:
    await joined(groups, link)
    joining = await a_second(groups, link)
    link.clients[1].refuse()
    with pytest.raises(InvalidArgument):
        await joining
    assert await asyncio.to_thread(link.clients[1].closed.wait, SOON_S)
    assert await asyncio.to_thread(link.clients[0].asked.wait, SOON_S)
    link.clients[0].give()
    share = await groups.join("readers", "one", ["topic"], SESSION_US)
    assert await groups.beat("readers", "one", share.generation)


async def a_leave(groups: Memberships, link: FalseLink) -> asyncio.Task[Any]:
    """The leave of a member whose client does not end yet."""
    await joined(groups, link)
    link.closing.clear()
    leaving = asyncio.ensure_future(groups.leave("readers", "one"))
    await asyncio.sleep(0)
    return leaving


async def test_while_one_leaves_others_are_served(groups: Memberships, link: FalseLink) -> None:
    leaving = await a_leave(groups, link)
    joining = await begun(groups, link, 1)
    link.clients[1].give()
    share = await joining
    assert (await groups.beat("readers", "one", share.generation), leaving.done()) == (True, False)
    link.closing.set()
    await leaving


async def test_who_leaves_waits_until_its_client_has_ended(groups: Memberships, link: FalseLink) -> None:
    leaving = await a_leave(groups, link)
    again = asyncio.ensure_future(groups.leave("readers", "one"))
    # Of another group: the attendant has come to what it was told before.
    await cancelled(await begun_elsewhere(groups, link))
    assert (leaving.done(), again.done()) == (False, False)
    link.closing.set()
    await asyncio.gather(leaving, again)
    assert link.clients[0].closed.is_set()


async def begun_elsewhere(groups: Memberships, link: FalseLink) -> asyncio.Task[Any]:
    """A join of another group, for which a client was made."""
    there = len(link.clients)
    joining = asyncio.ensure_future(groups.join("others", "one", ["topic"], SESSION_US))
    while len(link.clients) == there:  # noqa: ASYNC110 - a thread of the engine's makes it
        await asyncio.sleep(0)
    return joining


async def test_who_leaves_waits_no_longer_than_its_patience(groups: Memberships, link: FalseLink) -> None:
    await joined(groups, link)
    link.closing.clear()
    link.patience(0.01)
    with pytest.raises(Unavailable):
        await groups.leave("readers", "one")
    assert not await groups.beat("readers", "one", 1)


async def test_who_waits_to_join_is_told_that_its_name_left(groups: Memberships, link: FalseLink) -> None:
    link.admitting.set()
    joins = [await begun(groups, link) for _ in range(2)]
    await asyncio.sleep(0)
    await groups.leave("readers", "one")
    for joining in joins:
        with pytest.raises(PreconditionFailed):
            await joining
    assert (len(link.clients), link.clients[0].closed.is_set()) == (1, True)


async def test_a_share_that_comes_after_its_name_left_is_nobodys(groups: Memberships, link: FalseLink) -> None:
    link.admitting.set()
    joining = await begun(groups, link)
    await asyncio.sleep(0)
    link.clients[0].give()
    leaving = asyncio.ensure_future(groups.leave("readers", "one"))
    with pytest.raises(PreconditionFailed):
        await joining
    await leaving


async def test_a_name_that_left_may_join_again(groups: Memberships, link: FalseLink) -> None:
    await joined(groups, link)
    await groups.leave("readers", "one")
    joining = await begun(groups, link, 1)
    link.clients[1].give()
    share = await joining
    assert await groups.beat("readers", "one", share.generation)


async def test_who_leaves_before_kafka_knew_it_leaves_others_their_shares(groups: Memberships, link: FalseLink) -> None:
    await joined(groups, link)
    joining = await a_second(groups, link)
    await groups.leave("readers", "two")
    with pytest.raises(PreconditionFailed):
        await joining
    assert await asyncio.to_thread(link.clients[0].asked.wait, SOON_S)


async def test_who_leaves_with_a_share_makes_nobody_join_again_besides_kafka(
    groups: Memberships, link: FalseLink
) -> None:
    await joined(groups, link)
    joining = await a_second(groups, link)
    link.clients[1].give()
    await joining
    for client in link.clients:
        client.asked.clear()
    await groups.leave("readers", "two")
    # Of another group: the attendant has come to what it was told before.
    await cancelled(await begun_elsewhere(groups, link))
    assert not link.clients[0].asked.is_set()
