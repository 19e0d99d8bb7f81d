"""Whatever the driver of Iceberg, the catalogue's database and Arrow raise is an error of the tree in every call."""

from __future__ import annotations

import errno
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pyarrow
import pytest
from tests.engines.tables.iceberg.test_failures import KINDS, made
from tests.engines.walk.calls import At, call, calls_of
from tests.engines.walk.faults import Fault, Told, refusal, told

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.tables.iceberg import IcebergTables, embedded_address
from soundstage.engines.tables.iceberg.driver import catalog, database, exceptions, io
from soundstage.engines.tables.iceberg.failures import Overtaken, failure
from soundstage.testing.tables.samples import SPEC, film, rows

CALLS = calls_of("tables", IcebergTables)
AWAY, FINAL, BUSY = Told("unavailable", True), Told("unavailable", False), Told("exhausted", True)
DEFECT, DAMAGE = Told("internal", False), Told("data_loss", False)
THERE, STRANGER = Told("already_exists", False), Told("unauthenticated", False)
AGAIN = "made again"

STATES: dict[str, Told | str] = {
    "08": AWAY,
    "25": AWAY,
    "28": STRANGER,
    "3D": FINAL,
    "3F": FINAL,
    "40": AGAIN,
    "40003": AWAY,
    "42501": Told("forbidden", False),
    "23": THERE,
    "53": BUSY,
    "55": AWAY,
    "57": AWAY,
    "58": AWAY,
    "F0": AWAY,
    "XX000": AWAY,
    "XX001": DAMAGE,
    "XX002": DAMAGE,
}
"""What a caller is told of each state that PostgreSQL has, or kind of states; of all others, that it is a defect."""

STATELESS: dict[str, Told] = {"IntegrityError": THERE, "PipelineAborted": AWAY}
"""And of what its driver raises by itself; of all others, that the database was not heard of."""


def meaning(state: str) -> Told | str:
    """What a caller is told of a state."""
    return STATES.get(state, STATES.get(state[:2], DEFECT))


def classes() -> dict[str, type[Exception]]:
    """Every error that PostgreSQL's driver declares."""
    found = inspect.getmembers(psycopg.errors, inspect.isclass)
    return {name: kind for name, kind in found if issubclass(kind, psycopg.Error)}


def through_sqlalchemy(error: Exception) -> Any:
    """As it comes out of the library between."""
    return database.DBAPIError.instance("SELECT 1", {}, error, psycopg.Error)


@pytest.mark.parametrize("name", classes())
def test_an_error_of_postgresql_is_told_as_what_it_means(name: str) -> None:
    kind = classes()[name]
    state: str | None = getattr(kind, "sqlstate", None)
    expected = STATELESS.get(name, AWAY) if state is None else meaning(state)
    try:
        found: Told | str = told(failure(through_sqlalchemy(kind("said by the database")), "films", reading=False))
    except Overtaken:
        found = AGAIN
    assert found == expected


@pytest.mark.parametrize("state", ["08006", "08007", "57P01", "57014", "58030", ""])
def test_of_a_change_that_broke_off_nobody_knows_the_outcome(state: str) -> None:
    kind = next(iter(kind for kind in classes().values() if getattr(kind, "sqlstate", None) == (state or None)))
    assert failure(through_sqlalchemy(kind("said")), "films", reading=False).outcome == "unknown"


@pytest.mark.parametrize("state", ["08001", "08004", "57P03", "53300", "3D000", "28P01"])
def test_what_was_refused_at_the_door_was_not_made(state: str) -> None:
    kind = next(iter(kind for kind in classes().values() if getattr(kind, "sqlstate", None) == state))
    assert failure(through_sqlalchemy(kind("said")), "films", reading=False).outcome == "not_applied"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_no_exception_from_below_tells_to_repeat_what_fails_again(kind: type[Exception]) -> None:
    try:
        found = failure(made(kind), "films", reading=False)
    except Overtaken:
        return
    told(found)


class Below:
    """What stands below the engine fails with `fault`: the catalogue's calls, its statements, or files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.catalogue = Fault()
        self.files = Fault()
        for name, found in inspect.getmembers(catalog.SqlCatalog, inspect.isfunction):
            if not name.startswith("_") and name not in ("close", "name"):
                monkeypatch.setattr(catalog.SqlCatalog, name, self._struck(found, self.catalogue))
        for name in ("new_input", "new_output", "delete"):
            monkeypatch.setattr(io.PyArrowFileIO, name, self._struck(getattr(io.PyArrowFileIO, name), self.files))

    def _struck(self, found: Callable[..., Any], fault: Fault) -> Callable[..., Any]:
        def struck(*values: Any, **named: Any) -> Any:
            fault.strike()
            return found(*values, **named)

        return struck


@pytest.fixture
def below(monkeypatch: pytest.MonkeyPatch) -> Below:
    return Below(monkeypatch)


@pytest.fixture
async def tables(below: Below, tmp_path: Path) -> AsyncIterator[At]:
    assert below
    address = embedded_address("walk", str(tmp_path), {"tries": 2})
    environment = VirtualEnvironment()
    engine = IcebergTables(address, environment, durable=False)
    await engine.start()
    await engine.create(SPEC)
    first = await engine.append("films", rows(film(1)))
    await engine.append("films", rows(film(2)))
    await engine.point("films", "audit", first.id)
    yield At(engine, first=first.id, later_us=1 << 60)
    await engine.stop()


FAULTS: dict[str, tuple[Exception, Told]] = {
    "nobody answers": (through_sqlalchemy(psycopg.OperationalError("connection failed: refused")), AWAY),
    "it hangs up": (through_sqlalchemy(psycopg.errors.AdminShutdown("terminating connection")), AWAY),
    "who asks is not known": (through_sqlalchemy(psycopg.errors.InvalidPassword("no")), STRANGER),
    "no right": (through_sqlalchemy(psycopg.errors.InsufficientPrivilege("no")), Told("forbidden", False)),
    "full": (through_sqlalchemy(psycopg.errors.TooManyConnections("full")), BUSY),
    "damage": (through_sqlalchemy(psycopg.errors.DataCorrupted("page 7")), DAMAGE),
    "a defect": (through_sqlalchemy(psycopg.errors.SyntaxError("near SELECT")), DEFECT),
    "a value that is wrong": (ValueError("seven"), DEFECT),
}
"""What the catalogue says, and what a caller is told."""


async def walked(tables: At, name: str, fault: Fault, faults: Mapping[str, tuple[Exception, Told]]) -> None:
    """The call meets each of the faults, and tells of it; none leaves anything that the next would meet with."""
    for said, (error, expected) in faults.items():
        fault.error, fault.met = error, 0
        found = await refusal(call("tables", name, tables))
        assert fault.met, said
        assert found is not None, said
        assert told(found) == expected, said


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
async def test_no_exception_of_the_catalogue_passes_a_call(tables: At, below: Below, name: str) -> None:
    await walked(tables, name, below.catalogue, FAULTS)

    # Others are always quicker.
    below.catalogue.error = exceptions.CommitFailedException("another was quicker")
    error = await refusal(call("tables", name, tables))
    assert error is not None
    assert told(error).retryable


DISK: dict[str, tuple[Exception, Told]] = {
    "no room": (OSError(errno.ENOSPC, "No space left on device"), AWAY),
    "no right": (PermissionError(errno.EACCES, "Permission denied"), AWAY),
    "broken": (OSError(errno.EIO, "Input/output error"), AWAY),
    "no memory": (MemoryError("malloc failed"), BUSY),
    "not what was written": (pyarrow.ArrowInvalid("not a Parquet file"), DAMAGE),
}
"""What files say, and what a caller is told."""

WITHOUT_FILES = {"tables", "snapshots", "drop", "create", "location", "info"}
"""Calls whose files, if they have any, are read in another way."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CALLS if name not in WITHOUT_FILES])
async def test_no_exception_of_files_passes_a_call(tables: At, below: Below, name: str) -> None:
    await walked(tables, name, below.files, DISK)
