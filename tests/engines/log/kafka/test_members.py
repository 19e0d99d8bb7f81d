"""The thread that looks after members, on a driver that fails."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from soundstage.core.errors import Internal
from soundstage.engines.log.kafka import bridge as module
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.driver import KafkaError, KafkaException, code_of
from soundstage.engines.log.kafka.link import Link
from soundstage.engines.log.kafka.members import Attendant, Member
from soundstage.engines.log.kafka.options import parse_address

PATIENCE_S = 30


class Client:
    """Raises when it is asked what came."""

    def __init__(self, _settings: dict[str, Any]) -> None:
        self.closed = False

    def subscribe(self, _topics: list[str], **_heard: Any) -> None:
        """Nothing comes of it."""

    def poll(self, _timeout_s: float) -> None:
        raise KafkaException(KafkaError(code_of("_INVALID_ARG")))

    def close(self) -> None:
        self.closed = True


class Held(Client):
    """Ends when it is told to."""

    go_on: threading.Event = threading.Event()

    def close(self) -> None:
        assert self.go_on.wait(PATIENCE_S)
        super().close()


async def test_the_end_waits_for_no_member_that_cannot_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundstage.engines.log.kafka.link.root", SimpleNamespace(Consumer=Held))
    monkeypatch.setattr(module, "END_S", 0.01)
    attendant = Attendant(Link(parse_address("unit", urlsplit("kafka://127.0.0.1"), {}, None)), Bridge())
    member = Member("group", "name", frozenset({"topic"}), 6_000_000)
    async with asyncio.timeout(PATIENCE_S):
        await attendant.admit(member)
        await attendant.close()
    left = not member.consumer.closed
    Held.go_on.set()
    await attendant.close()
    assert left


class Broken(Client):
    """Cannot say that it leaves."""

    def close(self) -> None:
        raise KafkaException(KafkaError(code_of("_INVALID_ARG")))


async def test_who_lets_a_member_go_is_told_why_it_did_not_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundstage.engines.log.kafka.link.root", SimpleNamespace(Consumer=Broken))
    attendant = Attendant(Link(parse_address("unit", urlsplit("kafka://127.0.0.1"), {}, None)), Bridge())
    member = Member("group", "name", frozenset({"topic"}), 6_000_000)
    async with asyncio.timeout(PATIENCE_S):
        await attendant.admit(member)
        attendant.let_go(member)
        with pytest.raises(Internal):
            await attendant.gone()
        await attendant.gone()
        await attendant.close()


async def test_a_driver_that_raises_is_told_of_and_everybody_is_served_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundstage.engines.log.kafka.link.root", SimpleNamespace(Consumer=Client))
    attendant = Attendant(Link(parse_address("unit", urlsplit("kafka://127.0.0.1"), {}, None)), bridge := Bridge())
    member = Member("group", "name", frozenset({"topic"}), 6_000_000)
    refused = bridge.promise()
    member.waiters.add(refused)
    async with asyncio.timeout(PATIENCE_S):
        await attendant.admit(member)
        await refused
        attendant.let_go(member)
        await attendant.gone()
        await attendant.close()
    assert (type(member.error), member.consumer.closed) == (Internal, True)
