"""Positions of groups that a broker is slow to tell."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import Unavailable
from soundstage.engines.log.kafka import Link, parse_address
from soundstage.engines.log.kafka.asking import Asking
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.groups import ASKING_MAX, Memberships

LONG_S = 60.0


class Silent:
    """What the driver calls a consumer: it answers when it is told to."""

    def __init__(self, answering: threading.Event) -> None:
        self._answering = answering

    def committed(self, places: Sequence[Any], timeout: float) -> list[Any]:
        self._answering.wait(LONG_S)
        return []

    def close(self) -> None:
        pass


class FalseLink(Link):
    """Hands out clients of a cluster that there is not, and counts them."""

    def __init__(self, answering: threading.Event) -> None:
        super().__init__(parse_address("test", urlsplit("kafka://nowhere?patience_s=0.1"), {}, None))
        self._answering = answering
        self.made: int = 0

    def consumer(self, group: str, **more: Any) -> Any:
        self.made += 1
        return Silent(self._answering)


async def test_who_has_left_the_line_is_asked_for_no_more() -> None:
    answering = threading.Event()
    link, bridge, environment = FalseLink(answering), Bridge(), SystemEnvironment()
    groups = Memberships(link, bridge, Asking(link, bridge, environment), environment, "main")
    asked = [groups.committed("readers", "topic", 1, "id") for _ in range(3 * ASKING_MAX)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    answering.set()
    await groups.close()
    assert [type(each) for each in found] == [Unavailable] * len(asked)
    assert link.made == ASKING_MAX
