"""An engine is tried on every port that its URL offers, and leaves nothing of the trial."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from soundstage.core.environment import SystemEnvironment, VirtualEnvironment
from soundstage.core.errors import InvalidArgument
from soundstage.engines.blobs.memory import MemoryBlobs
from soundstage.engines.blobs.port import BlobInfo
from soundstage.engines.cache.memory import MemoryCache
from soundstage.engines.cache.port import Found
from soundstage.runtime import engines as module
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.engines import Engines, Scheme
from soundstage.runtime.openers import Place
from soundstage.runtime.trial import Trial, try_engine
from soundstage.servers.cluster import Cluster
from soundstage.testing.servers import server_fixture

memcached = server_fixture("memcached", nodes=2, scope="module")


async def trials(url: str, data: Path, **options: object) -> list[Trial]:
    return await try_engine(EngineConfig(url=url, options=options), str(data), SystemEnvironment(), 3)


@pytest.mark.parametrize(
    ("url", "ports"),
    [
        ("memory:", ["records", "blobs", "log", "search"]),
        ("rocksdb:x", ["records", "log"]),
        ("file:y", ["blobs"]),
        ("lru:", ["cache"]),
        ("tantivy:z", ["search"]),
        ("arrow:", ["tables"]),
        ("iceberg:z", ["tables"]),
    ],
)
async def test_every_port_is_tried(tmp_path: Path, url: str, ports: list[str]) -> None:
    found = await trials(url, tmp_path)
    assert [trial.port for trial in found] == ports
    for trial in found:
        assert trial.problem == ""
        for latency in (trial.write, trial.read, trial.delete):
            assert latency is not None
            assert 0 <= latency.best <= latency.median <= latency.worst


async def test_capabilities_are_told(tmp_path: Path) -> None:
    for trial in await trials("rocksdb:x", tmp_path):
        assert "durable" in trial.capabilities


async def test_nothing_of_it_is_left(tmp_path: Path) -> None:
    await trials("rocksdb:x", tmp_path)
    await trials("file:y", tmp_path)
    engines = Engines(
        {"x": EngineConfig(url="rocksdb:x"), "y": EngineConfig(url="file:y")}, str(tmp_path), SystemEnvironment()
    )
    await engines.start()
    assert await engines.get("x", "engine").tables() == []
    assert await engines.log("x", "engine").topics() == []
    assert await engines.blobs("y", "engine").list("", "", 10) == []
    await engines.stop()


async def test_servers_are_tried_and_tell_their_version(memcached: Cluster, tmp_path: Path) -> None:
    (trial,) = await trials(memcached.url, tmp_path, within="30s")
    assert trial.problem == ""
    assert trial.version.startswith("memcached 1.")


async def test_a_server_that_is_away_is_told(tmp_path: Path) -> None:
    with Cluster("memcached") as cluster:
        url = cluster.url
    (trial,) = await trials(url, tmp_path)
    assert trial.code == "unavailable"
    assert "did not answer" in trial.problem
    assert trial.write is None


async def test_a_folder_that_another_has_open_is_told(tmp_path: Path) -> None:
    engines = Engines({"x": EngineConfig(url="rocksdb:x")}, str(tmp_path), SystemEnvironment())
    await engines.start()
    for trial in await trials("rocksdb:x", tmp_path):
        assert trial.problem
    await engines.stop()


async def test_a_wrong_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="unknown scheme"):
        await trials("memcachd://x", tmp_path)


class Lying(MemoryCache):
    """Has something else than it was given."""

    async def get(self, keys: Sequence[bytes], **more: Any) -> list[Found]:
        return [found._replace(value=b"other") for found in await super().get(keys, **more)]


def open_lying(place: Place, config: EngineConfig, environment: VirtualEnvironment) -> Lying:
    return Lying(environment)


async def test_an_engine_that_has_something_else_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lying = Scheme({"cache": "tests.runtime.test_trial:open_lying"})
    monkeypatch.setattr(module, "SCHEMES", {**module.SCHEMES, "lying": lying})
    (trial,) = await trials("lying://x", tmp_path)
    assert (trial.code, trial.problem.partition(" (")[0]) == (
        "data_loss",
        "the engine did not read what it was given",
    )


class Mistaken(MemoryBlobs):
    """Reads something else than it was given."""

    left: ClassVar[list[BlobInfo]] = []

    async def open(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        yield b"other"

    async def stop(self) -> None:
        self.left[:] = await self.list("", "", 10)
        await super().stop()


def open_mistaken(place: Place, config: EngineConfig, environment: VirtualEnvironment) -> Mistaken:
    return Mistaken(environment)


async def test_a_trial_that_failed_leaves_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mistaken = Scheme({"blobs": "tests.runtime.test_trial:open_mistaken"})
    monkeypatch.setattr(module, "SCHEMES", {**module.SCHEMES, "mistaken": mistaken})
    (trial,) = await trials("mistaken://x", tmp_path)
    assert (trial.code, Mistaken.left) == ("data_loss", [])
