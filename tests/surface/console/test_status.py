from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.runtime.conftest import NOTES, make

from soundstage import __version__
from soundstage.catalogue import SYSTEMS
from soundstage.core.call import LOCAL, Call, Principal
from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import Unavailable
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Records, TableSpec
from soundstage.runtime.control.registry import Unserved
from soundstage.runtime.stage import Stage
from soundstage.surface.console.status import NAMESPACES_MAX, EngineStatus, Status, status

READER = Principal("reader", {"home": ("read",)})
OBSERVER = Principal("observer", {"*": ("observe",)})


def default_engine(found: Status) -> EngineStatus:
    """That of records; the same engine may offer other ports."""
    (engine,) = [each for each in found.engines if (each.name, each.port) == ("default", "records")]
    return engine


async def test_a_stage_that_is_well(stage: Stage) -> None:
    found = await status(stage, LOCAL)
    assert (found.version, found.ready, found.reasons, found.authentication) == (__version__, True, [], "none")


async def test_reasons_that_only_the_server_knows(stage: Stage) -> None:
    found = await status(stage, LOCAL, ["the server is stopping"])
    assert (found.ready, found.reasons) == (False, ["the server is stopping"])


async def test_every_system_is_shown_with_its_operations(stage: Stage) -> None:
    found = await status(stage, LOCAL)
    assert [system.name for system in found.systems] == [system.name for system in (*SYSTEMS, NOTES)]
    (kv,) = [system for system in found.systems if system.name == "kv"]
    assert {operation.name for operation in kv.operations} >= {"put_items", "get_items"}
    assert all(operation.summary and "\n" not in operation.summary for operation in kv.operations)


async def test_calls_and_failures_are_counted(stage: Stage) -> None:
    run = stage.operation("notes", "read").run
    request = stage.operation("notes", "read").operation.request
    for _ in range(2):
        with pytest.raises(LookupError):
            await run(Call(), request(namespace="home", name="none"))
    (notes,) = [system for system in (await status(stage, LOCAL)).systems if system.name == "notes"]
    (read,) = [operation for operation in notes.operations if operation.name == "read"]
    assert (read.calls, read.failures) == (2, 2)


async def test_engines_are_shown_with_what_they_can(stage: Stage) -> None:
    engine = default_engine(await status(stage, LOCAL))
    assert (engine.name, engine.url, engine.problem) == ("default", "memory:", None)
    assert "conditional" in engine.capabilities
    assert (engine.tables or 0) > 0


async def test_namespaces_are_shown_by_name(stage: Stage) -> None:
    await make(stage, "attic")
    found = await status(stage, LOCAL)
    assert [namespace.name for namespace in found.namespaces] == ["attic", "home"]
    assert found.namespaces_total == 2


async def test_a_namespace_that_cannot_be_served_is_shown_to_who_may_read_it(stage: Stage) -> None:
    info = next(iter(stage.namespaces.applied.infos.values()))
    odd = msgspec.structs.replace(info, name="odd")
    stage.namespaces.applied.registry.refuse(Unserved(odd, "gone", "bring it back"))
    found = await status(stage, LOCAL)
    assert ("odd" in [each.name for each in found.namespaces], found.ready) == (True, True)
    assert found.unserved == ["namespace 'odd' cannot be served: gone (bring it back)"]
    assert (await status(stage, Principal("x", {"other": ("read",)}))).unserved == []


async def test_who_reads_one_namespace_sees_that_one_and_no_engine(stage: Stage) -> None:
    await make(stage, "attic")
    found = await status(stage, READER)
    assert [namespace.name for namespace in found.namespaces] == ["home"]
    assert (found.namespaces_total, found.engines, found.data) == (1, [], None)


async def test_who_observes_sees_engines_and_no_namespace(stage: Stage) -> None:
    found = await status(stage, OBSERVER)
    assert (default_engine(found).url, found.namespaces, found.data) == ("memory:", [], "memory:")


async def test_no_more_namespaces_than_a_page_holds(stage: Stage) -> None:
    infos: dict[str, Any] = stage.namespaces.applied.infos
    for number in range(NAMESPACES_MAX):
        infos[f"n{number}"] = infos["home"]
    found: Status = await status(stage, LOCAL)
    assert (len(found.namespaces), found.namespaces_total) == (NAMESPACES_MAX, NAMESPACES_MAX + 1)


class Broken(MemoryRecords):
    """Cannot tell its tables once `broken`."""

    broken = False

    async def tables(self) -> list[TableSpec]:
        if self.broken:
            raise Unavailable("the disk is gone")
        return await super().tables()


@pytest.fixture
async def breaking() -> AsyncIterator[tuple[Stage, Broken]]:
    engine = Broken(SystemEnvironment())
    given: dict[str, Records] = {"default": engine}
    async with Stage.open(data="memory:", engines=given) as stage:
        yield stage, engine


async def test_an_engine_that_cannot_tell_says_why(breaking: tuple[Stage, Broken]) -> None:
    stage, engine = breaking
    engine.broken = True
    shown = default_engine(await status(stage, LOCAL))
    engine.broken = False
    assert (shown.problem, shown.tables) == ("the disk is gone", None)


async def test_what_an_engine_of_files_holds_is_told(tmp_path: Path) -> None:
    async with Stage.open(data=tmp_path) as stage:
        (engine,) = stage.engines.distinct_blobs().values()
        await engine.put("a", once(b"12345"))
        (files,) = [each for each in (await status(stage, LOCAL)).engines if each.port == "blobs"]
    assert (files.blobs, files.bytes, files.tables, files.problem) == (1, 5, None, None)


async def once(part: bytes) -> AsyncGenerator[bytes]:
    yield part
