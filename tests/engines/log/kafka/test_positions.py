"""Clients that ask for positions: kept for the next question, and closed when there is none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import Unavailable
from soundstage.engines.log.kafka import Link, parse_address
from soundstage.engines.log.kafka import bridge as bridge_module
from soundstage.engines.log.kafka import positions as module
from soundstage.engines.log.kafka.asking import Asking
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.driver import KafkaError, KafkaException, code_of
from soundstage.engines.log.kafka.groups import Memberships
from soundstage.engines.log.kafka.positions import ASKING_MAX, KEPT_MAX, Positions

LONG_S = 60.0


class Client:
    """What the driver calls a consumer: it answers when it may."""

    def __init__(self, answering: threading.Event) -> None:
        self._answering = answering
        self.asked: int = 0
        self.closed: threading.Event = threading.Event()
        self.error: Any = None

    def committed(self, places: Sequence[Any], timeout: float) -> list[Any]:
        self.asked += 1
        self._answering.wait(LONG_S)
        if self.error is not None:
            raise KafkaException(self.error)
        return list(places)

    def close(self) -> None:
        assert not self.closed.is_set()
        self.closed.set()


class FalseLink(Link):
    """Hands out clients of a cluster that there is not."""

    def __init__(self) -> None:
        super().__init__(parse_address("test", urlsplit("kafka://nowhere?patience_s=0.1"), {}, None))
        self.answering: threading.Event = threading.Event()
        self.clients: list[Client] = []

    def consumer(self, group: str, **more: Any) -> Any:
        self.clients.append(Client(self.answering))
        return self.clients[-1]

    @property
    def closed(self) -> list[bool]:
        return [each.closed.is_set() for each in self.clients]


@pytest.fixture
def link() -> FalseLink:
    return FalseLink()


@pytest.fixture
async def positions(link: FalseLink) -> AsyncIterator[Positions]:
    """Of a cluster that answers."""
    link.answering.set()
    found = Positions(link, Bridge())
    yield found
    await found.close()


async def ask(positions: Positions, group: str = "readers") -> list[Any]:
    return await asyncio.wrap_future(positions.ask(group, [], LONG_S))


async def test_the_next_question_of_a_group_goes_to_the_same_client(positions: Positions, link: FalseLink) -> None:
    for _ in range(3):
        await ask(positions)
    assert ([each.asked for each in link.clients], link.closed) == ([3], [False])


async def test_the_client_that_was_asked_longest_ago_is_closed_for_another(
    positions: Positions, link: FalseLink
) -> None:
    for number in range(KEPT_MAX):
        await ask(positions, f"group {number}")
    await ask(positions, "group 0")
    await ask(positions, "one more")
    assert link.closed == [False, True, *[False] * (KEPT_MAX - 1)]


async def test_a_client_that_fails_is_closed_and_another_is_asked_next(positions: Positions, link: FalseLink) -> None:
    await ask(positions)
    link.clients[0].error = KafkaError(code_of("_TRANSPORT"))
    with pytest.raises(KafkaException):
        await ask(positions)
    await ask(positions)
    assert ([each.asked for each in link.clients], link.closed) == ([2, 1], [True, False])


async def test_two_questions_at_once_have_a_client_each_of_which_one_is_kept(
    positions: Positions, link: FalseLink
) -> None:
    link.answering.clear()
    asked = [asyncio.ensure_future(ask(positions)) for _ in range(2)]
    while sum(each.asked for each in link.clients) < 2:  # noqa: ASYNC110 - threads ask
        await asyncio.sleep(0)
    link.answering.set()
    await asyncio.gather(*asked)
    assert sorted(link.closed) == [False, True]


async def test_clients_are_closed_when_nobody_asks_for_long(
    positions: Positions, link: FalseLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.01)
    await ask(positions)
    assert await asyncio.to_thread(link.clients[0].closed.wait, LONG_S)
    await ask(positions)
    assert len(link.clients) == 2


async def test_clients_are_closed_at_the_end(link: FalseLink) -> None:
    link.answering.set()
    positions = Positions(link, Bridge())
    for number in range(KEPT_MAX):
        await ask(positions, f"group {number}")
    await positions.close()
    assert link.closed == [True] * KEPT_MAX


async def test_the_end_waits_for_no_client_that_does_not_end(link: FalseLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge_module, "END_S", 0.01)
    positions = Positions(link, Bridge())
    asked = positions.ask("readers", [], LONG_S)
    await positions.close()
    assert not asked.done()
    link.answering.set()
    await asyncio.wrap_future(asked)


async def test_who_has_left_the_line_is_asked_for_no_more(link: FalseLink) -> None:
    bridge, environment = Bridge(), SystemEnvironment()
    groups = Memberships(link, bridge, Asking(link, bridge, environment), environment, "main")
    asked = [groups.committed("readers", "topic", 1, "id") for _ in range(3 * ASKING_MAX)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    link.answering.set()
    await groups.close()
    assert [type(each) for each in found] == [Unavailable] * len(asked)
    assert len(link.clients) == ASKING_MAX
