from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from typing import Any, cast

import pytest
from tests.runtime.conftest import NOTES
from tests.runtime.notes.config import NamespaceConfig
from tests.runtime.notes.service import NotesService

from soundstage.catalogue import SYSTEMS
from soundstage.core.errors import InvalidArgument, NotFound, Unavailable
from soundstage.core.system import System
from soundstage.runtime.stage import Stage
from soundstage.runtime.systems import ENTRY_POINTS, Systems, catalogued

THEIRS = System("theirs", "tests.runtime.notes", "A system of another package")
NO_SYSTEM = "text"
NOWHERE = System("nowhere", "package_that_nobody_has", "A system without its package")
COSTLY = System("costly", "driver_that_nobody_has", "A system with a driver", extra="costly")


def systems(*more: System, knobs: dict[str, Any] | None = None) -> Systems:
    def context(name: str, config: Any) -> Any:
        return (name, config)

    return Systems((*SYSTEMS, NOTES, *more), context, knobs or {})


def __getattr__(name: str) -> Any:
    if name == "RAISES":
        raise RuntimeError("the plugin\nraises")
    raise AttributeError(name)


def points(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    found = EntryPoints(EntryPoint(name, f"tests.runtime.test_systems:{name}", ENTRY_POINTS) for name in names)

    def entry_points(**_: Any) -> EntryPoints:
        return found

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)


def test_other_packages_add_systems_by_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    points(monkeypatch, "THEIRS")
    assert catalogued(SYSTEMS)["theirs"] is THEIRS


def test_a_name_that_is_taken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    points(monkeypatch, "THEIRS", "THEIRS")
    with pytest.raises(InvalidArgument, match="'theirs', which exists"):
        catalogued(SYSTEMS)


@pytest.mark.parametrize("broken", ["NO_SYSTEM", "RAISES", "NOWHERE"])
def test_a_system_that_a_package_cannot_bring_is_logged_and_the_others_are_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    points(monkeypatch, broken, "THEIRS")
    assert {system.name for system in SYSTEMS} | {"theirs"} == set(catalogued(SYSTEMS))
    assert [broken.lower() in record.getMessage().lower() for record in caplog.records] == [True]


def test_an_unknown_system_names_the_nearest() -> None:
    with pytest.raises(NotFound) as caught:
        systems().find("noets")
    assert caught.value.hint == "did you mean 'notes'?"


def test_operations_are_those_declared() -> None:
    assert list(systems().operations("notes")) == ["write", "read", "disturb"]


def test_abstractions_are_the_systems_with_namespaces() -> None:
    assert set(systems().abstractions()) == {"kv", "notes", "timeseries"}
    assert systems().namespace_config("notes") is NamespaceConfig
    assert systems().namespace_config("tokens") is None


async def test_a_system_without_namespaces_is_no_abstraction(stage: Stage) -> None:
    with pytest.raises(InvalidArgument, match="'tokens' has no namespaces") as caught:
        stage.systems.abstraction("tokens", "x")
    assert caught.value.field == "x"


async def test_a_service_is_made_once_and_started_once() -> None:
    found = systems()
    service = found.service("notes")
    assert found.service("notes") is service
    assert await found.started("notes") is await found.started("notes") is service
    assert isinstance(service, NotesService)
    assert service.log == ["start"]


async def test_only_what_was_started_stops_and_only_once() -> None:
    found = systems(THEIRS)
    started, other = await found.started("notes"), found.service("theirs")
    for _ in range(2):
        await found.stop()
    assert isinstance(started, NotesService)
    assert isinstance(other, NotesService)
    assert (started.log, other.log) == (["start", "stop"], [])


def test_a_service_gets_the_defaults_of_its_knobs() -> None:
    service: Any = systems().service("notes")
    assert service.context[1].volume == 5


@pytest.mark.parametrize(
    ("knobs", "field"),
    [
        ({"notes": {"volum": 1}}, "systems.notes.volum"),
        ({"notes": {"volume": "loud"}}, "systems.notes.volume"),
        ({"namespaces": {"a": 1}}, "systems.namespaces"),
    ],
)
def test_knobs_that_no_system_understands_are_refused(knobs: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        systems(knobs=knobs).check_knobs()
    assert caught.value.field == field


def test_knobs_of_an_unknown_system_name_the_nearest() -> None:
    with pytest.raises(NotFound) as caught:
        systems(knobs={"noets": {}}).check_knobs()
    assert (caught.value.field, caught.value.hint) == ("systems.noets", "did you mean 'notes'?")


def test_a_system_whose_extra_is_missing_says_what_to_install() -> None:
    with pytest.raises(Unavailable, match="needs the package 'driver_that_nobody_has'") as caught:
        systems(COSTLY).operations("costly")
    assert (caught.value.hint, caught.value.retryable) == ('pip install "soundstage[costly]"', False)


async def test_services_have_what_the_stage_shares() -> None:
    async with Stage.open(data="memory:") as stage:
        context: Any = cast("Any", await stage.systems.started("kv"))._context
        sent = await context.files.upload(b"sent", name="a.txt")
        assert (await stage.files.info(sent)).name == "a.txt"
        lease = await context.leases.take("rebuild", 5.0)
        assert await context.leases.take("rebuild", 5.0) is None
        await lease.release()
