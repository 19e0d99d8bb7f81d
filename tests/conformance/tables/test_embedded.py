"""Tables in one folder: what the suite says, what a kill leaves, what upkeep does, and who else can read them."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import polars
import pyarrow as pa
import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import DataLoss, Exhausted, InvalidArgument, NotFound, PreconditionFailed, Unavailable
from soundstage.engines.tables.filters import above, equal
from soundstage.engines.tables.iceberg import IcebergTables, changes, embedded_address, upkeep
from soundstage.engines.tables.iceberg.driver import catalog
from soundstage.engines.tables.iceberg.failures import Overtaken
from soundstage.engines.tables.iceberg.options import CATALOGUE
from soundstage.engines.tables.port import At, Column, DropColumn, TableCapability, Tables, TableSpec
from soundstage.testing.tables import BranchingTablesSuite
from soundstage.testing.tables.samples import BY_GENRE, FILMS, SPEC, film, found, ids, rows

pytestmark = pytest.mark.slow

KILLED = """
import asyncio, os, signal, sys
import pyarrow as pa
from soundstage.core.environment import SystemEnvironment
from soundstage.engines.tables.iceberg import IcebergTables, embedded_address
from soundstage.engines.tables.iceberg.driver import catalog

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    engine = IcebergTables(embedded_address("t", sys.argv[1], {}), SystemEnvironment())
    await engine.start()
    await engine.append("films", pa.table({"id": [9]}))
    print("acknowledged", flush=True)
    catalog.SqlCatalog.commit_table = die
    await engine.append("films", pa.table({"id": [10]}))

asyncio.run(main())
"""

EACH = 4
WRITER = """
import asyncio, sys
from soundstage.core.environment import SystemEnvironment
from soundstage.engines.tables.iceberg import IcebergTables, embedded_address
from soundstage.testing.tables.samples import film, rows

async def main():
    engine = IcebergTables(embedded_address("t", sys.argv[1], {"tries": 200}), SystemEnvironment(), durable=False)
    await engine.start()
    for number in range(4):
        await engine.append("films", rows(film(number, sys.argv[2])))
    await engine.stop()

asyncio.run(main())
"""


def engine_in(folder: Path, *, durable: bool = False, **options: object) -> IcebergTables:
    return IcebergTables(embedded_address("suite", str(folder), options), SystemEnvironment(), durable=durable)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[IcebergTables]:
    made = engine_in(tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def films(engine: IcebergTables) -> IcebergTables:
    await engine.create(SPEC)
    await engine.append("films", rows(*FILMS))
    return engine


class TestEmbedded(BranchingTablesSuite):
    @pytest.fixture
    async def tables(self, engine: IcebergTables) -> Tables:
        return engine


def files(folder: Path, pattern: str = "*.parquet") -> int:
    return len(list(folder.rglob(pattern)))


def now_us() -> int:
    return time.time_ns() // 1_000


def test_it_is_durable_unless_nothing_waits_for_the_disk(tmp_path: Path) -> None:
    assert TableCapability.DURABLE in engine_in(tmp_path, durable=True).capabilities
    assert engine_in(tmp_path).capabilities == {
        TableCapability.BRANCHES,
        TableCapability.UPKEEP,
        TableCapability.FILES,
    }


async def test_what_is_acknowledged_was_flushed_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    real = __import__("os").fsync

    def noting(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").resolve().suffix)
        real(descriptor)

    engine = engine_in(tmp_path, durable=True)
    await engine.start()
    await engine.create(SPEC)
    monkeypatch.setattr("os.fsync", noting)
    await engine.append("films", rows(*FILMS))
    assert (await ids(engine), flushed.count(".parquet"), flushed.count(".avro"), flushed.count(".json")) == (
        [1, 2, 3, 4],
        1,
        2,
        1,
    )
    await engine.stop()


async def test_a_writer_that_is_killed_before_it_commits_leaves_the_table_as_it_was(
    films: IcebergTables, tmp_path: Path
) -> None:
    run = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, timeout=100
    )
    assert (run.returncode, run.stdout) == (-9, "acknowledged\n"), run.stderr
    assert await ids(films) == [1, 2, 3, 4, 9]
    assert files(tmp_path) == 3
    before = now_us()
    assert await films.clean("films", before - 3_600_000_000) == 0
    assert await films.clean("films", before) > 0
    assert (await ids(films), files(tmp_path)) == ([1, 2, 3, 4, 9], 2)
    await films.append("films", rows(film(11)))
    assert await ids(films) == [1, 2, 3, 4, 9, 11]


async def test_processes_that_have_one_folder_open_lose_nothing_of_each_other(tmp_path: Path) -> None:
    engine = engine_in(tmp_path, tries=200)
    await engine.start()
    await engine.create(BY_GENRE)
    command = [sys.executable, "-c", WRITER, str(tmp_path)]

    def write(genre: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, genre], capture_output=True, text=True, timeout=200)

    others = [asyncio.ensure_future(asyncio.to_thread(write, genre)) for genre in ("drama", "crime")]
    # So that there are three at once.
    for _ in range(2_000):
        if await ids(engine) or all(each.done() for each in others):
            break
        await asyncio.sleep(0.02)
    for number in range(EACH):
        await engine.append("films", rows(film(number, "noir")))
    runs = [await each for each in others]
    assert [(run.returncode, run.stderr) for run in runs] == [(0, "")] * 2
    assert sorted((row["genre"], row["id"]) for row in await found(engine)) == [
        (genre, number) for genre in ("crime", "drama", "noir") for number in range(EACH)
    ]
    assert len(await engine.snapshots("films")) == 3 * EACH
    await engine.stop()


async def test_two_that_open_a_folder_for_the_first_time_at_one_moment_both_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = catalog.SqlCatalog.create_tables, itertools.count()

    def other_first(self: Any) -> None:
        real(self)
        if not next(calls):
            catalog.SqlCatalogBaseTable.metadata.create_all(self.engine, checkfirst=False)

    monkeypatch.setattr(catalog.SqlCatalog, "create_tables", other_first)
    engine = engine_in(tmp_path)
    await engine.start()
    assert await engine.tables() == []
    await engine.stop()


async def test_small_files_become_one_in_each_partition(engine: IcebergTables, tmp_path: Path) -> None:
    await engine.create(BY_GENRE)
    for number in range(3):
        await engine.append("films", rows(film(number, "drama"), film(10 + number, "crime")))
    before = await found(engine)
    snapshot = await engine.compact("films")
    assert snapshot is not None
    assert (snapshot.change, snapshot.rows, await found(engine)) == ("compact", 6, before)
    assert len(list(await planned_files(engine))) == 2
    assert await engine.compact("films") is None


@contextmanager
def held_compaction(monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[threading.Event, threading.Event]]:
    """The first compaction that has written its files sets one event, and commits no sooner than the other is set."""
    reached, go_on = threading.Event(), threading.Event()
    gathered = upkeep.gathered

    def held(*arguments: Any) -> Any:
        made = gathered(*arguments)
        reached.set()
        assert go_on.wait(20)
        return made

    monkeypatch.setattr(upkeep, "gathered", held)
    try:
        yield reached, go_on
    finally:
        go_on.set()


async def test_rows_are_appended_while_files_become_one(engine: IcebergTables, monkeypatch: pytest.MonkeyPatch) -> None:
    await engine.create(SPEC)
    for number in range(3):
        await engine.append("films", rows(film(number)))
    with held_compaction(monkeypatch) as (reached, go_on):
        compacting = asyncio.ensure_future(engine.compact("films"))
        assert await asyncio.to_thread(reached.wait, 20)
        await asyncio.wait_for(engine.append("films", rows(film(9))), 10)
        go_on.set()
        snapshot = await compacting
    assert snapshot is not None
    assert (snapshot.rows, await ids(engine), len(await planned_files(engine))) == (4, [0, 1, 2, 9], 2)


async def test_rows_that_are_deleted_while_files_become_one_stay_deleted(
    engine: IcebergTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.create(SPEC)
    for number in range(3):
        await engine.append("films", rows(film(number), film(10 + number)))
    with held_compaction(monkeypatch) as (reached, go_on):
        compacting = asyncio.ensure_future(engine.compact("films"))
        assert await asyncio.to_thread(reached.wait, 20)
        await asyncio.wait_for(engine.delete("films", equal("id", 1)), 10)
        go_on.set()
        await compacting
    assert (await ids(engine), len(await planned_files(engine))) == ([0, 2, 10, 11, 12], 1)


async def test_files_that_were_to_become_one_when_others_were_quicker_are_gone(
    engine: IcebergTables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.create(SPEC)
    for number in range(3):
        await engine.append("films", rows(film(number)))
    await engine.clean("films", now_us())
    with held_compaction(monkeypatch) as (reached, go_on):
        compacting = asyncio.ensure_future(engine.compact("films"))
        assert await asyncio.to_thread(reached.wait, 20)
        await engine.overwrite("films", rows(film(0), film(1), film(2)), above("id", -1))
        go_on.set()
        await compacting
    # What was there before stays for its snapshots.
    assert (await ids(engine), files(tmp_path)) == ([0, 1, 2], 4)


async def test_rows_of_a_change_that_is_refused_leave_no_files(films: IcebergTables, tmp_path: Path) -> None:
    def moving() -> Iterator[object]:
        # Behind the look at the branch that is made before rows are written.
        asyncio.run_coroutine_threadsafe(films.delete("films", equal("id", 1)), loop).result()
        yield whole.to_batches()[0]

    loop, whole = asyncio.get_running_loop(), rows(film(9))
    head = (await films.info("films")).branches["main"]
    before = files(tmp_path)
    with pytest.raises(PreconditionFailed):
        await films.append("films", pa.RecordBatchReader.from_batches(whole.schema, moving()), expect=head)
    # The delete has written the file anew without the row.
    assert (await ids(films), files(tmp_path)) == ([2, 3, 4], before + 1)


async def test_files_of_a_change_whose_outcome_nobody_knows_stay(
    films: IcebergTables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = changes.committed

    def lost(*arguments: Any) -> None:
        committed(*arguments)
        raise Unavailable("lost", outcome="unknown")

    before = files(tmp_path)
    monkeypatch.setattr(changes, "committed", lost)
    with pytest.raises(Unavailable):
        await films.append("films", rows(film(9)))
    assert files(tmp_path) == before + 1


@pytest.mark.parametrize("change", ["append", "overwrite"])
async def test_files_of_a_change_that_is_cancelled_before_its_commit_are_gone(
    films: IcebergTables, tmp_path: Path, change: str
) -> None:
    before = files(tmp_path)
    async with films._turns.at("films"):
        changing = asyncio.ensure_future(getattr(films, change)("films", rows(film(9))))
        while not films._turns._places["films"].line.waiting:  # noqa: ASYNC110 - its rows are written by a thread
            await asyncio.sleep(0.01)
        assert files(tmp_path) == before + 1
        changing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await changing
    assert (files(tmp_path), await ids(films)) == (before, [1, 2, 3, 4])


@pytest.mark.parametrize("change", ["append", "overwrite", "compact"])
async def test_files_of_a_change_that_is_cancelled_as_they_are_whole_are_gone(
    films: IcebergTables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    await films.append("films", rows(film(5)))
    before, place = files(tmp_path), upkeep if change == "compact" else changes
    reached, go_on = threading.Event(), threading.Event()
    name = "gathered" if change == "compact" else "written"
    write = getattr(place, name)

    def slow(*arguments: Any) -> Any:
        made = write(*arguments)
        reached.set()
        assert go_on.wait(60)
        return made

    monkeypatch.setattr(place, name, slow)
    given = () if change == "compact" else (rows(film(9)),)
    changing = asyncio.ensure_future(getattr(films, change)("films", *given))
    assert await asyncio.to_thread(reached.wait, 60)
    assert files(tmp_path) == before + 1
    changing.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await changing
    assert (files(tmp_path), await ids(films)) == (before, [1, 2, 3, 4, 5])


async def test_files_of_a_change_that_is_cancelled_amid_its_commit_stay(
    films: IcebergTables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, reached, go_on = catalog.SqlCatalog.commit_table, threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:
        reached.set()
        assert go_on.wait(60)
        return commit(*arguments)

    monkeypatch.setattr(catalog.SqlCatalog, "commit_table", slow)
    changing = asyncio.ensure_future(films.append("films", rows(film(9))))
    assert await asyncio.to_thread(reached.wait, 60)
    changing.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await changing
    assert (files(tmp_path), await ids(films)) == (2, [1, 2, 3, 4, 9])


async def planned_files(engine: IcebergTables) -> list[str]:
    """The files that the table has now."""
    table = await asyncio.to_thread(engine._load, "films")
    return [task.file.file_path for task in await asyncio.to_thread(lambda: list(table.scan().plan_files()))]


async def test_files_that_are_large_enough_are_left(films: IcebergTables) -> None:
    await films.append("films", rows(film(9)))
    assert await films.compact("films", small_bytes=100) is None
    assert len(await films.snapshots("films")) == 2


async def test_compaction_of_a_table_without_rows_is_nothing(engine: IcebergTables) -> None:
    await engine.create(SPEC)
    assert await engine.compact("films") is None


async def test_snapshots_expire_but_for_the_last_of_each_branch(films: IcebergTables, tmp_path: Path) -> None:
    (first,) = await films.snapshots("films")
    await films.point("films", "kept", first.id)
    second = await films.overwrite("films", rows(film(8)))
    third = await films.overwrite("films", rows(film(9)))
    assert await films.expire("films", second.committed_us) == 0
    assert await films.expire("films", now_us() + 10**6) == 1
    assert [each.id for each in await films.snapshots("films")] == [third.id]
    with pytest.raises(NotFound):
        await ids(films, at=At(snapshot=second.id))
    assert await ids(films, at=At(branch="kept")) == [1, 2, 3, 4]
    assert await films.clean("films", now_us() + 10**6) > 0
    assert (await ids(films), await ids(films, at=At(branch="kept"))) == ([9], [1, 2, 3, 4])
    assert files(tmp_path) == 2


async def test_as_many_snapshots_stay_as_are_to_be_kept(films: IcebergTables) -> None:
    for number in (7, 8, 9):
        await films.append("films", rows(film(number)))
    assert await films.expire("films", now_us() + 10**6, keep=3) == 1
    assert len(await films.snapshots("films")) == 3
    assert await ids(films) == [1, 2, 3, 4, 7, 8, 9]


async def test_nothing_that_is_needed_is_cleaned(films: IcebergTables, tmp_path: Path) -> None:
    await films.delete("films", equal("id", 1))
    before = files(tmp_path, "*")
    assert await films.clean("films", now_us() + 10**6) == 0
    assert files(tmp_path, "*") == before
    (second, first) = await films.snapshots("films")
    assert (await ids(films, at=At(snapshot=first.id)), await ids(films, at=At(snapshot=second.id))) == (
        [1, 2, 3, 4],
        [2, 3, 4],
    )


async def test_a_dropped_table_leaves_no_files(films: IcebergTables, tmp_path: Path) -> None:
    await films.drop("films")
    assert files(tmp_path / "warehouse", "*.*") == 0


async def test_a_large_append_is_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundstage.engines.tables.arrow.SLICE_ROWS", 50_000)
    engine = engine_in(tmp_path, file="1MiB")
    await engine.start()
    await engine.create(SPEC)
    many = pa.table({"id": pa.array(range(200_000), pa.int64())})
    await engine.append("films", pa.RecordBatchReader.from_batches(many.schema, many.to_batches(max_chunksize=10_000)))
    assert files(tmp_path) >= 4
    assert sum([batch.num_rows async for batch in engine.scan("films")]) == 200_000
    await engine.stop()


async def test_a_filter_of_the_past_is_about_the_columns_of_then(films: IcebergTables) -> None:
    (first,) = await films.snapshots("films")
    await films.evolve("films", [DropColumn("genre")])
    assert await ids(films, equal("genre", "crime"), At(snapshot=first.id)) == [2]
    with pytest.raises(InvalidArgument):
        await ids(films, equal("genre", "crime"))


async def test_duckdb_polars_and_pyarrow_read_what_a_scan_gives(films: IcebergTables) -> None:
    batches = [batch async for batch in films.scan("films", equal("genre", "drama"))]
    table = pa.Table.from_batches(batches)
    assert duckdb.from_arrow(table).aggregate("count(*), avg(stars)").fetchall() == [(2, 4.5)]
    assert polars.DataFrame(table)["id"].to_list() == [1, 4]


async def test_data_comes_from_duckdb_and_polars(films: IcebergTables) -> None:
    await films.append("films", polars.DataFrame({"id": [8], "genre": ["noir"]}))
    await films.append("films", duckdb.sql("SELECT 9::BIGINT AS id, 'noir' AS genre, 2.5::DOUBLE AS stars"))
    assert await found(films, equal("genre", "noir")) == [film(8, "noir", None), film(9, "noir", 2.5)]


async def test_others_read_the_table_by_its_location(films: IcebergTables) -> None:
    frame = polars.scan_iceberg(await films.location("films"), reader_override="pyiceberg")
    assert frame.filter(polars.col("genre") == "drama").select("id").collect().to_series().sort().to_list() == [1, 4]


async def test_a_file_that_is_gone_is_told_and_a_damaged_one_too(films: IcebergTables, tmp_path: Path) -> None:
    (path,) = (tmp_path / "warehouse").rglob("*.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    with pytest.raises(DataLoss):
        await ids(films)
    path.unlink()
    with pytest.raises(Unavailable):
        await ids(films)


async def test_a_catalogue_that_is_none_fails_the_start(tmp_path: Path) -> None:
    (tmp_path / CATALOGUE).write_text("not a database" * 1_000)
    engine = engine_in(tmp_path)
    with pytest.raises(DataLoss):
        await engine.start()
    await engine.stop()


async def test_a_change_that_others_are_always_quicker_than_is_given_up(
    films: IcebergTables, monkeypatch: pytest.MonkeyPatch
) -> None:

    def overtaken(*_: object) -> None:
        raise Overtaken

    monkeypatch.setattr(changes, "committed", overtaken)
    engine = engine_in(Path(films._address.warehouse).parent, tries=2)
    await engine.start()
    with pytest.raises(Exhausted) as refused:
        await engine.append("films", rows(film(9)))
    assert (refused.value.outcome, refused.value.retryable) == ("not_applied", True)
    assert files(Path(films._address.warehouse)) == 1
    await engine.stop()


async def test_a_catalogue_that_another_program_locks_is_unavailable_until_it_is_free(
    films: IcebergTables, tmp_path: Path
) -> None:
    address = msgspec.structs.replace(films._address, database=f"{films._address.database}?timeout=0.01")
    impatient = IcebergTables(address, SystemEnvironment(), durable=False)
    await impatient.start()
    other = sqlite3.connect(tmp_path / CATALOGUE)
    other.execute("BEGIN EXCLUSIVE")
    spec = TableSpec(name="more", columns=SPEC.columns)
    calls = (impatient.info("films"), ids(impatient), impatient.append("films", rows(film(9))), impatient.create(spec))
    for call in calls:
        with pytest.raises(Unavailable) as refused:
            await call
        assert (refused.value.outcome, refused.value.retryable) == ("not_applied", True)
    other.close()
    await impatient.create(spec)
    assert await ids(impatient) == [1, 2, 3, 4]
    await impatient.stop()


@pytest.mark.parametrize("change", ["append", "overwrite"])
async def test_rows_of_a_table_that_is_dropped_meanwhile_are_none_of_the_next_that_has_its_name(
    films: IcebergTables, tmp_path: Path, change: str
) -> None:
    other = engine_in(tmp_path)
    await other.start()
    loop = asyncio.get_running_loop()
    whole = rows(film(9))

    async def made_anew() -> None:
        await other.drop("films")
        await other.create(SPEC)

    def stream() -> Iterator[object]:
        asyncio.run_coroutine_threadsafe(made_anew(), loop).result()
        yield whole.to_batches()[0]

    # An append finds that its files are gone, if these were removed before it commits.
    with pytest.raises((NotFound, Unavailable)):
        await getattr(films, change)("films", pa.RecordBatchReader.from_batches(whole.schema, stream()))
    assert (await other.snapshots("films"), await ids(other)) == ([], [])
    await other.stop()


async def test_changes_that_wait_for_their_turn_leave_the_threads_to_readers(
    films: IcebergTables, tmp_path: Path
) -> None:
    engine = engine_in(tmp_path, threads=1)
    await engine.start()
    async with engine._turns.at("films"):
        change = asyncio.ensure_future(engine.delete("films", equal("id", 1)))
        await asyncio.sleep(0)
        assert await ids(engine) == [1, 2, 3, 4]
        assert not change.done()
    await change
    assert await ids(engine) == [2, 3, 4]
    await engine.stop()


async def test_a_caller_that_goes_while_data_comes_changes_nothing(films: IcebergTables) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    whole = rows(film(9))

    def slow() -> object:
        loop.call_soon_threadsafe(begun.set)
        yield whole.to_batches()[0]
        yield whole.to_batches()[0]

    stream = pa.RecordBatchReader.from_batches(whole.schema, slow())
    change = asyncio.ensure_future(films.append("films", stream))
    await begun.wait()
    change.cancel()
    with pytest.raises(asyncio.CancelledError):
        await change
    assert await ids(films) in ([1, 2, 3, 4], [1, 2, 3, 4, 9, 9])


async def test_tables_of_one_folder_are_there_for_the_next_engine(films: IcebergTables, tmp_path: Path) -> None:
    spec = TableSpec(name="films.seen", columns=(Column(name="id", type="int64"),))
    await films.create(spec)
    other = engine_in(tmp_path)
    await other.start()
    assert (await other.tables(), await ids(other), (await other.info("films.seen")).spec) == (
        ["films", "films.seen"],
        [1, 2, 3, 4],
        spec,
    )
    await other.stop()
