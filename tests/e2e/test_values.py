"""Large values of a real stage that is killed while one comes: the old value is there, or the new one, whole."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import httpx2
import pytest
from tests.e2e.mortal import ONE_TRY, mortal

from soundstage.client import connect_sync
from soundstage.core.environment import SystemEnvironment, VirtualEnvironment
from soundstage.core.errors import SoundstageError
from soundstage.core.hlc import TokenClock
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv import KeyValue, SyncKeyValue
from soundstage.data.kv.service import KeyValueService
from soundstage.engines.records.port import Budget
from soundstage.runtime.namespaces.api import SyncNamespaces
from soundstage.runtime.stage import Stage
from soundstage.testing.crash.process import StageProcess

pytestmark = pytest.mark.slow

MIB = 1 << 20
VALUES, ROWS = "kv/films/values", "kv/films"

POINTS = [
    *(f"{VALUES} {number} {when}" for number in (1, 2, 7, 13) for when in ("before", "after")),
    f"{VALUES} 14 after",
    *(f"{ROWS} 1 {when}" for when in ("before", "after")),
]
"""The register's entry, the first, a middle and the last chunk, the entry of what is replaced, and the row."""


class Film:
    """One value, as it must be; what it may be besides, where nobody knows."""

    def __init__(self) -> None:
        self.clock: TokenClock = TokenClock(SystemEnvironment())
        self.known: bytes = b""
        self.doubt: bytes | None = None
        self.token = self.clock.token()

    def send(self, url: str) -> None:
        """Another value is put; an error leaves it in doubt."""
        self.doubt, self.token = os.urandom(3 * MIB), self.clock.token()
        self.repeat(url)

    def repeat(self, url: str) -> None:
        """The same again."""
        with connect_sync(url, settings=ONE_TRY) as stage:
            try:
                stage.client(SyncKeyValue, "films").put_value(
                    self.doubt or b"", id="heat", key=b"film", idempotency_token=self.token
                )
            except SoundstageError:
                return
        self.known, self.doubt = self.doubt or b"", None

    def verify(self, url: str) -> None:
        """It is what was acknowledged last, or what was sent last."""
        found = httpx2.get(f"{url}/v1/kv/value/films/heat/film").content
        assert found in (self.known, self.doubt)
        if found == self.doubt:
            self.known, self.doubt = found, None


def test_a_value_survives_a_kill_at_any_step_whole(tmp_path: Path) -> None:
    data, film = tmp_path / "data", Film()
    with StageProcess(data) as server:
        with connect_sync(server.url) as stage:
            stage.client(SyncNamespaces).put(namespace=NamespaceSpec(name="films", abstraction="kv"))
        film.send(server.url)
        assert film.doubt is None
        server.terminate()
    died = 0
    for number, point in enumerate(POINTS):
        with mortal(data, point) as server:
            film.verify(server.url)
            film.send(server.url)
            died += film.doubt is not None
            if number % 2:
                server.kill()
    assert died == len(POINTS)
    with StageProcess(data) as server:
        film.verify(server.url)
        if film.doubt is not None:
            film.repeat(server.url)
            film.verify(server.url)
            assert film.doubt is None
        server.terminate()
    assert asyncio.run(_chunks_left(data)) == 12


async def _chunks_left(data: Path) -> int:
    """How many chunks there are once all that is nobody's has been dropped, days later."""
    environment = VirtualEnvironment(start_ns=SystemEnvironment().now_ns())
    async with Stage.open(data=data, environment=environment) as stage:
        assert (await stage.client(KeyValue, "films").count_items(id="heat")).count == 1
        service = stage.systems.service("kv")
        assert isinstance(service, KeyValueService)
        for _ in range(4):
            environment.advance(36_000)
            await service.sweep_values("films", 1_000)
        served = service._serve("films")
        found, position = 0, b""
        while position is not None:
            page = await served.records.walk(VALUES, 0, 1, position or None, Budget(), environment.now_us())
            found += sum(len(rows) for partition, rows in page.partitions if partition[:1] == b"c")
            position = page.position
        return found
