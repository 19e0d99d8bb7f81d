from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.engines.rocks.threads import NO_SPACE, FaultyDisk
from tests.runtime.conftest import NOTES, OpenStage, make, service_of
from tests.runtime.notes.api import Disturb, Notes

from soundstage.catalogue import SYSTEMS
from soundstage.core.call import LOCAL
from soundstage.core.environment import SystemEnvironment, VirtualEnvironment
from soundstage.core.errors import InvalidArgument, NotFound, Unauthenticated, Unavailable
from soundstage.core.operation import AsyncFace, operation
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.rocksdb import RocksOptions
from soundstage.engines.records.rocksdb.engine import RocksRecords
from soundstage.engines.rocks.database import Database
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import CALLS_A_TURN, Stage


class Watched(MemoryRecords):
    """An engine that tells when it starts and stops, and fails to start when told to."""

    def __init__(self, environment: VirtualEnvironment, log: list[str], name: str, fails: bool = False) -> None:
        super().__init__(environment)
        self._log, self._name, self._fails = log, name, fails

    async def start(self) -> None:
        if self._fails:
            raise Unavailable(f"{self._name} is away")
        self._log.append(f"start {self._name}")
        await super().start()

    async def stop(self) -> None:
        self._log.append(f"stop {self._name}")
        await super().stop()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_client_writes_and_reads_through_the_stage(stage: Stage) -> None:
    notes = stage.client(Notes, "home")
    await notes.write(name="milk", text="two bottles")
    assert (await notes.read(name="milk")).text == "two bottles"


async def test_who_reads_without_end_lets_others_have_their_turn(stage: Stage) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await stage.environment.sleep(0)

    notes = stage.client(Notes, "home")
    await notes.write(name="milk", text="two bottles")
    other = asyncio.ensure_future(count())
    for _ in range(10 * CALLS_A_TURN):
        await notes.read(name="milk")
    other.cancel()
    assert turns >= 10


async def test_a_call_may_name_another_namespace_than_its_client(stage: Stage) -> None:
    await make(stage, "work")
    notes = stage.client(Notes, "home")
    await notes.write(namespace="work", name="a", text="1")
    with pytest.raises(NotFound):
        await notes.read(name="a")
    assert (await notes.read(name="a", namespace="work")).text == "1"


async def test_a_memory_stage_runs_on_the_machines_clock_too() -> None:
    async with Stage.open(data="memory:", systems=(*SYSTEMS, NOTES)) as stage:
        await make(stage)
        await stage.client(Notes, "home").write(name="a", text="1")
        assert stage.health().ready


async def test_starting_and_stopping_twice_changes_nothing(open_stage: OpenStage) -> None:
    stage = open_stage()
    assert await stage.start() is await stage.start() is stage
    await stage.stop()
    await stage.stop()


async def test_a_stage_that_never_started_stops(open_stage: OpenStage) -> None:
    await open_stage().stop()


async def test_engines_stop_in_reverse_after_the_services(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    log: list[str] = []
    engines = {"default": Watched(environment, log, "default"), "other": Watched(environment, log, "other")}
    config = {"engines": {"default": {"url": "memory:"}, "other": {"url": "memory:"}}}
    async with open_stage(config, engines=engines) as stage:
        await make(stage)
        await stage.client(Notes, "home").write(name="a", text="1")
        service = service_of(stage)
        service.log = log
        log.append("working")
    assert log == ["start default", "start other", "working", "stop", "stop other", "stop default"]


async def test_what_had_started_stops_when_a_later_part_cannot(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    log: list[str] = []
    engines = {"default": Watched(environment, log, "default"), "other": Watched(environment, log, "other", fails=True)}
    config = {"engines": {"default": {"url": "memory:"}, "other": {"url": "memory:"}}}
    stage = open_stage(config, engines=engines)
    with pytest.raises(Unavailable, match="other is away"):
        await stage.start()
    assert log == ["start default", "stop default"]
    assert stage.health().ready is False


async def test_a_stage_that_could_not_start_may_try_again(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    engine = Watched(environment, [], "default", fails=True)
    stage = open_stage(engines={"default": engine})
    with pytest.raises(Unavailable):
        await stage.start()
    engine._fails = False
    async with stage:
        await make(stage)


async def test_outside_of_its_life_a_stage_says_how_to_use_it(open_stage: OpenStage) -> None:
    stage = open_stage()
    with pytest.raises(Unavailable, match="not running"):
        await stage.client(Notes, "home").read(name="a")
    async with stage:
        await make(stage)
        notes = stage.client(Notes, "home")
        await notes.write(name="a", text="")
    with pytest.raises(Unavailable, match="not running") as refused:
        await notes.read(name="a")
    assert refused.value.outcome == "not_applied"


async def test_stopping_waits_for_calls_under_way_and_lets_no_other_in(open_stage: OpenStage) -> None:
    async with open_stage(env=SystemEnvironment()) as stage:
        notes = stage.client(Notes, "home")
        running = asyncio.ensure_future(notes.disturb(how="wait"))
        await settle()
        stopping = asyncio.ensure_future(stage.stop())
        await settle()
        assert stage.health().reasons == ["the stage is stopping"]
        with pytest.raises(Unavailable):
            await notes.disturb(how="")
        assert not stopping.done()
        service_of(stage).gate.set()
        await stopping
        assert (await running).count == 1


async def test_stopping_does_not_wait_for_ever(open_stage: OpenStage, environment: VirtualEnvironment) -> None:
    stage = await open_stage({"control": {"drain_timeout": "3s"}}).start()
    running = asyncio.ensure_future(stage.client(Notes, "home").disturb(how="wait"))
    await settle()
    before_ns = environment.monotonic_ns()
    await stage.stop()
    assert 3.0 <= (environment.monotonic_ns() - before_ns) / 1e9 < 3.1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_readiness_follows_the_life_of_the_stage(open_stage: OpenStage) -> None:
    stage = open_stage()
    assert stage.health().reasons == ["the stage is starting"]
    async with stage:
        assert stage.health().ready
    assert stage.health().reasons == ["the stage is stopping"]


@pytest.fixture
def on_disk(environment: VirtualEnvironment, tmp_path: Path) -> RocksRecords:
    """An engine on a `FaultyDisk`."""
    return RocksRecords(Database(str(tmp_path), RocksOptions(), environment, disk=FaultyDisk()), environment)


def disk_of(engine: RocksRecords) -> FaultyDisk:
    disk = engine.database._disk
    assert isinstance(disk, FaultyDisk)
    return disk


async def test_a_stage_is_not_ready_as_soon_as_its_disk_has_failed(
    open_stage: OpenStage, on_disk: RocksRecords
) -> None:
    async with open_stage(engines={"default": on_disk}) as stage:
        await make(stage)
        assert stage.health().ready
        disk_of(on_disk).flush_error = NO_SPACE
        with pytest.raises(Unavailable):
            await stage.client(Notes, "home").write(name="a", text="Ada")
        assert "closed after a failed write" in stage.health().reasons[0]
        disk_of(on_disk).flush_error = None


async def test_a_stage_below_the_low_water_mark_is_ready_and_warns(
    open_stage: OpenStage, on_disk: RocksRecords
) -> None:
    async with open_stage(engines={"default": on_disk}) as stage:
        assert stage.health().warnings == []
        disk_of(on_disk).free = on_disk.database.options.low_water - 1
        health = stage.health()
        assert health.ready
        assert "writes are refused" in health.warnings[0]


async def test_below_the_low_water_mark_a_namespace_can_be_deleted_and_leases_be_taken(
    open_stage: OpenStage, on_disk: RocksRecords, environment: VirtualEnvironment
) -> None:
    async with open_stage(engines={"default": on_disk}) as stage:
        await make(stage)
        disk_of(on_disk).free = on_disk.database.options.low_water - 1
        environment.advance(2)
        with pytest.raises(Unavailable, match="low-water mark"):
            await stage.client(Notes, "home").write(name="a", text="Ada")
        assert await stage._parts.leases.take("role/sweeper", 10.0) is not None
        await stage.client(Namespaces).delete(name="home")
        assert "home" not in stage.namespaces.applied.infos


async def test_operations_are_those_of_every_system(open_stage: OpenStage) -> None:
    async with open_stage() as stage:
        names = stage.operations().keys()
    assert {("notes", "write"), ("namespaces", "put"), ("tokens", "revoke"), ("kv", "put_items")} <= names


async def test_an_operation_is_bound_once(stage: Stage) -> None:
    assert stage.operation("notes", "read") is stage.operations()["notes", "read"]
    await stage.client(Notes, "home").write(name="a", text="")
    assert stage.operation("notes", "write").stats.calls == 1


@pytest.mark.parametrize(
    ("system", "name", "hint"),
    [
        ("nots", "read", "did you mean 'notes'?"),
        ("notes", "raed", "did you mean 'read'?"),
        ("notes", "x", "operations"),
    ],
)
async def test_what_does_not_exist_names_the_nearest(stage: Stage, system: str, name: str, hint: str) -> None:
    with pytest.raises(NotFound) as caught:
        stage.operation(system, name)
    assert hint in str(caught.value.hint)


async def test_a_second_declaration_of_an_operation_is_refused(stage: Stage) -> None:
    class Impostor:
        system = "notes"

        @operation(Disturb, access="admin")
        def disturb(self) -> Any:
            """Not what the catalogue knows."""

    class ImpostorFace(AsyncFace, Impostor):
        pass

    with pytest.raises(InvalidArgument, match="declared twice"):
        await stage.client(ImpostorFace).disturb(how="")


async def test_a_service_starts_with_the_first_call_that_needs_it(open_stage: OpenStage) -> None:
    async with open_stage() as stage:
        assert service_of(stage).log == []
        notes = stage.client(Notes)
        await asyncio.gather(*(notes.disturb(how="") for _ in range(3)))
        assert service_of(stage).log == ["start"]


async def test_a_service_gets_its_knobs(open_stage: OpenStage) -> None:
    async with open_stage({"systems": {"notes": {"volume": 11}}}) as stage:
        assert service_of(stage).context.config.volume == 11


async def test_without_authentication_everyone_is_the_owner(stage: Stage) -> None:
    assert stage.authenticate(None) is LOCAL
    assert stage.authenticate("Bearer nonsense") is LOCAL


@pytest.mark.parametrize("header", [None, "", "Basic dXNlcg==", "Bearer", "Bearer ", "bearer sst_1_2"])
async def test_with_authentication_only_tokens_are_let_in(open_stage: OpenStage, header: str | None) -> None:
    async with open_stage({"auth": {"mode": "tokens"}}) as stage:
        with pytest.raises(Unauthenticated):
            stage.authenticate(header)


async def test_a_stage_file_configures(tmp_path: Path, environment: VirtualEnvironment) -> None:
    path = tmp_path / "stage.toml"
    path.write_text('[engines.default]\nurl = "memory:"\n[namespaces.home]\nabstraction = "notes"\n')
    stage = Stage.open(
        path,
        overrides={"http.port": 8000},
        variables={"SOUNDSTAGE_HTTP__HOST": "::1"},
        environment=environment,
        systems=(*SYSTEMS, NOTES),
    )
    assert (stage.config.http.port, stage.config.http.host) == (8000, "::1")
    async with stage:
        await stage.client(Notes, "home").write(name="a", text="")


async def test_the_poll_makes_changes_arrive_by_itself(environment: VirtualEnvironment, open_stage: OpenStage) -> None:
    async with open_stage(env=SystemEnvironment(), overrides={"control.poll_interval": "10ms"}) as stage:
        store = stage.namespaces.store
        await make(stage)
        found = await store.find("home")
        assert found is not None
        await store.remove("home", found.stamp)
        for _ in range(500):
            await stage.environment.sleep(0.005)
            if "home" not in stage.namespaces.applied.infos:
                break
        assert "home" not in stage.namespaces.applied.infos


async def test_two_runs_of_one_seed_make_the_same_tokens() -> None:
    stamps: list[Any] = []
    for _ in range(2):
        stage = Stage.open(data="memory:", environment=VirtualEnvironment(3), systems=(*SYSTEMS, NOTES))
        async with stage:
            await make(stage)
            stamps.append(await stage.namespaces.store.stamp())
    assert stamps[0] == stamps[1]


async def test_engines_of_each_port_are_reached_by_their_names() -> None:
    engines = {
        "rows": {"url": "memory:"},
        "hot": {"url": "lru:"},
        "wide": {"url": "arrow:"},
        "default": {"url": "memory:"},
    }
    async with Stage.open(data="memory:", config={"engines": engines}) as stage:
        of_rows = stage.engines.ports("rows")
        reached = (
            stage.log("rows"),
            stage.search("rows"),
            stage.blobs("rows"),
            stage.cache("hot"),
            stage.tables("wide"),
        )
        assert reached == (
            of_rows["log"],
            of_rows["search"],
            of_rows["blobs"],
            stage.engines["hot"],
            stage.engines["wide"],
        )


@pytest.mark.parametrize("port", ["log", "search", "blobs", "cache", "tables"])
async def test_an_engine_without_the_port_is_refused(port: str) -> None:
    engines = {"default": {"url": "memory:"}, "hot": {"url": "lru:"}, "wide": {"url": "arrow:"}}
    other = "wide" if port == "cache" else "hot"
    async with Stage.open(data="memory:", config={"engines": engines}) as stage:
        with pytest.raises(InvalidArgument, match=f"holds no {port}") as refused:
            getattr(stage, port)(other)
        assert refused.value.field == "engine"
