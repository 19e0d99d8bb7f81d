from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.testing.simulation.theatre import at_site, simulated

from soundstage.core.call import Call
from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.data.kv.api import GetItems, KeyValueCalls, PutItem, PutItems
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Records
from soundstage.runtime.namespaces.api import Namespaces, NamespaceSpec
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.faults import HEALTHY, FaultRates
from soundstage.testing.simulation.host import Host
from soundstage.testing.simulation.loop import SimulationLoop
from soundstage.testing.simulation.scenario import SYSTEM_TABLES, Site
from soundstage.testing.simulation.storage import End, MemoryStorage, RocksStorage

PUT = PutItems(namespace="home", id="r", items=[PutItem(key=b"k", value=b"v")])
GET = GetItems(namespace="home", id="r")
LATE = FaultRates(late=1.0, late_s=100.0)


async def make(site: Site) -> None:
    await site.host.stage.client(Namespaces).put(namespace=NamespaceSpec(name="home", abstraction="kv"))


async def put(host: Host) -> None:
    await host.call(KeyValueCalls.put_items, PUT, Call())


async def read(host: Host) -> list[bytes]:
    return [item.key for item in (await host.call(KeyValueCalls.get_items, GET, Call())).items]


def test_a_host_serves_a_whole_stage() -> None:
    async def body(site: Site) -> list[bytes]:
        await make(site)
        await put(site.host)
        return await read(site.host)

    assert at_site(body) == [b"k"]


def test_a_host_leaves_nothing_in_the_folder_it_runs_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    at_site(make)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_was_acknowledged_is_there_after_a_restart(end: End) -> None:
    async def body(site: Site) -> tuple[list[bytes], int]:
        await make(site)
        await put(site.host)
        assert await site.host.restart(end, 0.5)
        return await read(site.host), site.host.restarts

    assert at_site(body) == ([b"k"], 1)


@pytest.mark.parametrize("end", ["stop", "kill", "power"])
def test_a_database_is_really_opened_again(end: End) -> None:
    storage = RocksStorage(Random(1))
    storage.ends = ("stop", "kill", "power")

    async def body(site: Site) -> list[bytes]:
        await make(site)
        await put(site.host)
        before = site.host.engine.engine
        await site.host.restart(end, 0.0)
        assert site.host.engine.engine is not before
        return await read(site.host)

    assert storage.durability == "group"
    assert at_site(body, storage=storage) == [b"k"]


def test_calls_to_a_host_that_is_down_are_refused() -> None:
    async def body(site: Site) -> str | None:
        await make(site)
        restart = asyncio.ensure_future(site.host.restart("kill", 5.0))
        await site.environment.sleep(1.0)
        assert not site.host.is_up
        with pytest.raises(Unavailable, match="refuses connections") as refused:
            await put(site.host)
        await restart
        return refused.value.outcome

    assert at_site(body) == "not_applied"


def test_calls_under_way_end_with_a_killed_process() -> None:
    async def body(site: Site) -> tuple[bool, list[bytes]]:
        await make(site)
        site.host.set_rates(LATE)
        call = asyncio.ensure_future(put(site.host))
        await site.environment.sleep(0)
        await site.host.restart("kill", 0.0)
        await asyncio.wait([call])
        site.host.set_rates(FaultRates())
        return call.cancelled(), await read(site.host)

    assert at_site(body) == (True, [])


def test_a_stopping_process_waits_for_calls_under_way() -> None:
    async def body(site: Site) -> list[bytes]:
        await make(site)
        site.host.set_rates(FaultRates(late=1.0, late_s=2.0))
        call = asyncio.ensure_future(put(site.host))
        await site.environment.sleep(0)
        await site.host.restart("stop", 0.0)
        await call
        site.host.set_rates(FaultRates())
        return await read(site.host)

    assert at_site(body) == [b"k"]


def test_one_restart_at_a_time() -> None:
    async def body(site: Site) -> tuple[bool, bool]:
        return await asyncio.gather(site.host.restart("kill", 1.0), site.host.restart("kill", 1.0))

    assert sorted(at_site(body)) == [False, True]


def test_faults_go_on_after_a_restart() -> None:
    async def body(site: Site) -> int:
        await make(site)
        site.host.set_rates(FaultRates(lost_before=1.0))
        for _ in range(2):
            with pytest.raises(Unavailable):
                await put(site.host)
            await site.host.restart("kill", 0.0)
        return site.host.counts()["lost_before"]

    assert at_site(body) == 2


def test_the_sweeper_runs_on_a_host_that_is_up() -> None:
    async def body(site: Site) -> int:
        swept = await site.host.sweep(10)
        await site.host.stop()
        with pytest.raises(Unavailable):
            await site.host.sweep(10)
        return swept.purged

    assert at_site(body) == 0


class Threaded(MemoryRecords):
    """An engine whose driver has a thread, as those of real clusters do."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ended.wait, name="driver-loop")

    async def start(self) -> None:
        await super().start()
        self._thread.start()

    async def stop(self) -> None:
        await super().stop()
        self._ended.set()
        self._thread.join()


class ThreadedStorage(MemoryStorage):
    def open(self, environment: SimulatedEnvironment) -> Records:
        return Threaded(environment)


def test_an_engine_with_threads_of_its_own_is_refused() -> None:
    async def main(loop: SimulationLoop) -> str | None:
        host = Host(ThreadedStorage(), SimulatedEnvironment(loop, 1), SYSTEM_TABLES)
        with pytest.raises(InvalidArgument, match="driver-loop") as refused:
            await host.start()
        return refused.value.hint

    before = threading.active_count()
    assert "conformance suite" in (simulated(main) or "")
    assert threading.active_count() == before


def test_it_is_calm_while_nothing_is_wrong_and_counts_what_was() -> None:
    async def body(site: Site) -> None:
        before = site.host.calm()
        site.host.set_rates(LATE)
        assert site.host.calm() is None
        site.host.set_rates(HEALTHY)
        assert site.host.calm() not in (before, None)

    at_site(body)
