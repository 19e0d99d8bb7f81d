"""Whatever RocksDB's driver raises is an error of the tree in every call of the ports on it: records and the log.

The driver has one class for all that RocksDB says, and tells apart by the text.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import rocksdict
from tests.engines.walk.calls import BATCH, ENTRY, TABLE, TOPIC, At, call, calls_of
from tests.engines.walk.faults import Fault, Struck, Told, refusal, told

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import SoundstageError
from soundstage.core.size import Size
from soundstage.engines.log.port import TopicSpec
from soundstage.engines.log.rocksdb import RocksLog
from soundstage.engines.records.port import TableSpec
from soundstage.engines.records.rocksdb import RocksOptions
from soundstage.engines.records.rocksdb.engine import RocksRecords
from soundstage.engines.rocks import copying, database
from soundstage.engines.rocks.database import Database
from soundstage.engines.rocks.refusals import Translation

SMALL = Size(1 << 20)
FINAL, DAMAGE, AWAY = Told("unavailable", False), Told("data_loss", False), Told("unavailable", True)

SAID: dict[str, Told] = {
    "IO error: No space left on device: While appending to file: 000007.log": FINAL,
    "IO error: While open a file for random read: /films/000009.sst: No such file or directory": DAMAGE,
    "IO error: While fsync: /films/000007.log: Input/output error": FINAL,
    "Corruption: block checksum mismatch": DAMAGE,
    "Corruption: Corrupted compressed block contents": DAMAGE,
    "Shutdown in progress: ": FINAL,
    "Operation aborted: ": FINAL,
    "Resource busy: ": FINAL,
    "Not implemented: ": FINAL,
    "Invalid argument: Column family not found": FINAL,
}
"""What RocksDB says, and what a reader is told."""


@pytest.mark.parametrize("said", SAID)
def test_what_rocksdb_says_is_told_as_what_it_means(said: str) -> None:
    with pytest.raises(SoundstageError) as error, Translation("/films"):
        raise Exception(said)
    assert told(error.value) == SAID[said]


def test_the_driver_has_no_other_exceptions() -> None:
    found = {name for name, kind in inspect.getmembers(rocksdict, inspect.isclass) if issubclass(kind, BaseException)}
    assert found == {"DbClosedError"}


def test_a_database_that_was_closed_is_an_engine_that_is_stopped() -> None:
    with pytest.raises(SoundstageError) as error, Translation("/films"):
        raise rocksdict.DbClosedError
    assert told(error.value) == FINAL


SPARED = frozenset({"path", "close", "get_column_family_handle", "cancel_all_background"})
"""Calls that touch no file, and the one that ends it all."""


class Driver(Struck):
    """An open database that fails with a fault, and so do its column families."""

    def get_column_family(self, name: str) -> Driver:
        return Driver(self.made.get_column_family(name), self.fault, self.spared)


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment(seed=3)


@pytest.fixture
async def kept(tmp_path: Path, environment: VirtualEnvironment, name: str) -> None:
    """For the call that brings it back: a copy of other tables and topics, made while all was well."""
    if name != "restore":
        return
    records, log = engines(str(tmp_path / "other"), environment)
    await records.start()
    await log.start()
    await records.create_table(TableSpec(name="kept"))
    await records.apply("kept", b"p", BATCH)
    await log.create_topic(TopicSpec(name="kept", partitions=1))
    await log.append("kept", [ENTRY])
    await records.checkpoint(str(tmp_path / "films-kept"))
    await log.stop()
    await records.stop()


@pytest.fixture
def fault(kept: None, monkeypatch: pytest.MonkeyPatch) -> Fault:
    """Of every call of the driver, of the databases that are opened from here on."""
    found = Fault()
    opened, copied = database.open_rdict, copying.Checkpoint

    def open_rdict(*values: Any, **named: Any) -> Any:
        return Driver(opened(*values, **named), found, SPARED)

    def copy(db: Driver) -> Any:
        return Struck(copied(db.made), found)

    monkeypatch.setattr(database, "open_rdict", open_rdict)
    monkeypatch.setattr(copying, "Checkpoint", copy)
    return found


def engines(folder: str, environment: VirtualEnvironment) -> tuple[RocksRecords, RocksLog]:
    """Both on one database."""
    options = RocksOptions(cache=SMALL, low_water=SMALL, write_buffer=SMALL)
    shared = Database(folder, options, environment)
    records = RocksRecords(shared, environment)
    return records, RocksLog(shared, environment, records.enlist)


@pytest.fixture
async def opened(fault: Fault, tmp_path: Path, environment: VirtualEnvironment) -> AsyncIterator[tuple[At, At]]:
    """Records with a table and a log with a topic, in one folder."""
    folder = str(tmp_path / "films")
    records, log = engines(folder, environment)
    await records.start()
    await log.start()
    await records.create_table(TABLE)
    await records.apply("films", b"p", BATCH)
    await log.create_topic(TOPIC)
    await log.append("seen", [ENTRY])
    yield At(records, folder=folder), At(log, folder=folder, over_ns=environment.monotonic_ns())
    fault.error = None
    await log.stop()
    await records.stop()


RAISED = [
    "IO error: No space left on device: While appending to file: 000007.log",
    "Corruption: block checksum mismatch",
    "Shutdown in progress: ",
]


KNOWN_OF_RECORDS = {"tables"}
"""Calls that are answered of what is known."""
KNOWN_OF_THE_LOG = {"topics", "bounds", "wait", "beat", "leave", "groups", "forget_group"}


@pytest.mark.parametrize("said", RAISED)
@pytest.mark.parametrize("name", calls_of("records", RocksRecords))
async def test_no_exception_of_the_driver_passes_a_call_of_records(
    opened: tuple[At, At], fault: Fault, name: str, said: str
) -> None:
    fault.error = Exception(said)
    error = await refusal(call("records", name, opened[0]))
    assert (fault.met > 0, error is not None) == (name not in KNOWN_OF_RECORDS,) * 2


@pytest.mark.parametrize("said", RAISED)
@pytest.mark.parametrize("name", calls_of("log", RocksLog))
async def test_no_exception_of_the_driver_passes_a_call_of_the_log(
    opened: tuple[At, At], fault: Fault, name: str, said: str
) -> None:
    fault.error = Exception(said)
    error = await refusal(call("log", name, opened[1]))
    assert (fault.met > 0, error is not None) == (name not in KNOWN_OF_THE_LOG,) * 2
