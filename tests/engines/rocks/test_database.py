from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from rocksdict import WriteBatch
from tests.engines.rocks.shelf import Shelf, all_shelved, shelved
from tests.engines.rocks.threads import NO_SPACE, FaultyDisk, HeldExecutor

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import (
    AlreadyExists,
    DataLoss,
    DeadlineExceeded,
    Exhausted,
    InvalidArgument,
    SoundstageError,
    Unavailable,
)
from soundstage.core.size import Size
from soundstage.engines.rocks import database as module
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.database import AT_ONCE_MAX, STALL_WAITS_MAX, Database
from soundstage.engines.rocks.folder import FolderLock, Holder, holder
from soundstage.engines.rocks.opening import flush_tables
from soundstage.engines.rocks.options import Durability, RocksOptions


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def database(folder: str, environment: VirtualEnvironment, disk: FaultyDisk) -> Database:
    return Database(folder, RocksOptions(), environment, disk=disk)


@pytest.fixture
async def shelf(database: Database) -> AsyncIterator[Shelf]:
    opened = Shelf(database).open()
    yield opened
    await opened.close()


async def refusal_of(shelf: Shelf, key: bytes = b"key") -> SoundstageError:
    with pytest.raises(SoundstageError) as caught:
        await shelf.put(key)
    return caught.value


# -- opening and closing


async def test_a_folder_is_made_with_its_format_and_owner(shelf: Shelf, folder: str) -> None:
    assert {"FORMAT", "OWNER", "CURRENT"} <= set(os.listdir(folder))
    assert holder(folder) == Holder(os.getpid())


async def test_what_was_acknowledged_is_there_when_it_is_opened_again(shelf: Shelf) -> None:
    await shelf.put(b"key", b"one")
    await shelf.close()
    assert shelf.open().get(b"key") == b"one"


async def test_the_folder_is_free_when_it_is_closed(shelf: Shelf, folder: str) -> None:
    await shelf.close()
    FolderLock(folder).release()
    assert shelved(folder, b"key") is None


async def test_closing_is_idempotent(shelf: Shelf) -> None:
    await shelf.close()
    await shelf.close()
    assert shelf.left == 1


async def test_closing_what_was_never_opened_is_nothing(database: Database) -> None:
    await database.close(Shelf(database))


async def test_the_address_is_told_to_whoever_finds_the_folder_held(shelf: Shelf, folder: str) -> None:
    shelf.database.announce("http://127.0.0.1:7777")
    with pytest.raises(Unavailable, match=f"the process {os.getpid()} at http://127.0.0.1:7777"):
        Shelf(Database(folder, RocksOptions(), shelf.database.environment)).open()


async def test_an_address_may_be_announced_before_anything_is_open(database: Database) -> None:
    database.announce("http://127.0.0.1:7777")


def contents(folder: str) -> dict[Path, bytes]:
    return {Path(folder, name): Path(folder, name).read_bytes() for name in ("FORMAT", "CURRENT")}


def spoil_format(folder: Path) -> None:
    (folder / "FORMAT").write_bytes(b'{"format":2}')


def spoil_current(folder: Path) -> None:
    (folder / "CURRENT").write_bytes(b"garbage")


def spoil_settling(folder: Path) -> None:
    (folder / "rocksdict-config.json").unlink()
    (folder / "rocksdict-config.json").symlink_to("/nowhere/at/all")


@pytest.mark.parametrize(
    ("spoil", "kind"), [(spoil_format, InvalidArgument), (spoil_current, DataLoss), (spoil_settling, Unavailable)]
)
async def test_opening_that_fails_holds_nothing(
    shelf: Shelf, folder: str, spoil: Callable[[Path], None], kind: type[SoundstageError]
) -> None:
    await shelf.close()
    kept = contents(folder)
    spoil(Path(folder))
    with pytest.raises(kind):
        shelf.open()
    for path, content in kept.items():
        path.write_bytes(content)
    (Path(folder) / "rocksdict-config.json").unlink(missing_ok=True)
    assert shelf.open().get(b"key") is None


async def test_a_closed_database_says_that_the_engine_is_stopped(shelf: Shelf) -> None:
    await shelf.close()
    with pytest.raises(Unavailable, match="the engine is stopped"):
        _ = shelf.database.rdict


async def test_closing_waits_for_the_writers_before_it(shelf: Shelf, folder: str) -> None:
    written = asyncio.gather(*(shelf.put(b"%d" % number) for number in range(10)))
    await asyncio.sleep(0)
    await shelf.close()
    await written
    assert all_shelved(folder, [b"%d" % number for number in range(10)]) == [b"value"] * 10


async def test_closing_flushes_what_nobody_waited_for(
    folder: str, environment: VirtualEnvironment, disk: FaultyDisk
) -> None:
    shelf = Shelf(Database(folder, RocksOptions(durability="os"), environment, disk=disk)).open()
    await shelf.put(b"key")
    assert disk.flushes == 0
    await shelf.close()
    assert disk.flushes == 1


async def test_closing_goes_on_when_the_disk_fails(shelf: Shelf, disk: FaultyDisk, folder: str) -> None:
    await shelf.put(b"key")
    disk.flush_error = NO_SPACE
    await shelf.close()
    assert shelved(folder, b"key") == b"value"


async def test_closing_waits_for_reads_that_hold_an_iterator(shelf: Shelf, folder: str) -> None:
    shelf.database.paused = 1
    closing = asyncio.ensure_future(shelf.close())
    for _ in range(20):
        await asyncio.sleep(0)
    assert holder(folder) is not None
    shelf.database.paused = 0
    await closing
    assert holder(folder) is None


# -- several guests


async def test_guests_share_one_database(shelf: Shelf) -> None:
    other = Shelf(shelf.database, "other").open()
    await shelf.put(b"key", b"one")
    await other.put(b"key", b"two")
    assert (shelf.get(b"key"), other.get(b"key")) == (b"one", b"two")
    await other.close()


async def test_the_folder_stays_open_until_the_last_guest_leaves(shelf: Shelf, folder: str) -> None:
    other = Shelf(shelf.database, "other").open()
    await shelf.close()
    await other.put(b"key")
    assert (shelf.left, other.left) == (1, 0)
    await other.close()
    assert holder(folder) is None


async def test_guests_may_leave_at_the_same_time(shelf: Shelf, folder: str) -> None:
    other = Shelf(shelf.database, "other").open()
    await asyncio.gather(shelf.close(), other.close(), other.close())
    assert holder(folder) is None


async def test_a_batch_over_two_guests_is_durable_by_one_flush(shelf: Shelf, disk: FaultyDisk) -> None:
    other = Shelf(shelf.database, "other").open()

    def both(batch: AtomicBatch) -> None:
        shelf.add(batch, b"key", b"one")
        other.add(batch, b"key", b"two")

    await shelf.database.atomically(both)
    assert (shelf.get(b"key"), other.get(b"key"), disk.writes, disk.flushes) == (b"one", b"two", 1, 1)
    await other.close()


async def test_of_a_batch_that_is_refused_neither_guest_has_anything(shelf: Shelf, disk: FaultyDisk) -> None:
    other = Shelf(shelf.database, "other").open()

    def both(batch: AtomicBatch) -> None:
        shelf.add(batch, b"key", b"one")
        raise InvalidArgument("no")

    with pytest.raises(InvalidArgument):
        await shelf.database.atomically(both)
    assert (shelf.get(b"key"), other.get(b"key"), disk.writes) == (None, None, 0)
    await other.close()


# -- writing


async def test_what_was_built_is_returned_once_it_is_durable(shelf: Shelf, disk: FaultyDisk) -> None:
    assert await shelf.put(b"key", b"one") == b""
    assert await shelf.put(b"key", b"two") == b"one"
    assert disk.flushes == 2


async def test_those_who_asked_are_told_before_anything_else_runs(shelf: Shelf) -> None:
    order: list[str] = []

    def build(batch: AtomicBatch) -> None:
        shelf.add(batch, b"key", b"one")
        batch.once_written(lambda: order.append("written"))
        asyncio.get_running_loop().call_soon(order.append, "others")

    await shelf.database.atomically(build)
    assert order == ["written", "others"]


async def test_nothing_is_written_or_flushed_for_an_empty_batch(shelf: Shelf, disk: FaultyDisk) -> None:
    assert await shelf.database.atomically(lambda batch: "done") == "done"
    assert (disk.writes, disk.flushes) == (0, 0)


async def test_who_never_has_to_wait_lets_others_run_now_and_then(folder: str, environment: VirtualEnvironment) -> None:
    shelf = Shelf(Database(folder, RocksOptions(durability="os"), environment)).open()
    others: list[str] = []
    asyncio.get_running_loop().call_soon(others.append, "ran")
    for number in range(AT_ONCE_MAX):
        assert others == []
        await shelf.put(b"%d" % number)
    assert others == ["ran"]
    await shelf.close()


@pytest.fixture
async def held(folder: str, environment: VirtualEnvironment) -> AsyncIterator[tuple[Shelf, HeldExecutor]]:
    """A shelf whose flushes wait for the test, two of them under way."""
    executors: list[HeldExecutor] = []

    def executor(name: str) -> HeldExecutor:
        executors.append(HeldExecutor())
        return executors[-1]

    shelf = Shelf(Database(folder, RocksOptions(), environment, executor=executor)).open()
    writers = asyncio.gather(shelf.put(b"a"), shelf.put(b"b"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    yield shelf, executors[0]
    while executors[0].waiting:
        executors[0].run()
        await asyncio.sleep(0)
    await writers
    closing = asyncio.ensure_future(shelf.close())
    while not closing.done():
        await asyncio.sleep(0)
        if executors[0].waiting:
            executors[0].run()


async def test_a_refusal_is_answered_after_the_flush_of_what_it_rests_on(held: tuple[Shelf, HeldExecutor]) -> None:
    shelf, flushes = held

    def refuse(batch: AtomicBatch) -> None:
        batch.touch(b"shelf/a")
        raise InvalidArgument("there is an a")

    refused = asyncio.ensure_future(shelf.database.atomically(refuse))
    await asyncio.sleep(0)
    assert not refused.done()
    flushes.run()
    with pytest.raises(InvalidArgument):
        await refused


async def test_an_answer_without_a_write_waits_for_the_flush_of_what_it_rests_on(
    held: tuple[Shelf, HeldExecutor],
) -> None:
    shelf, flushes = held
    answered = asyncio.ensure_future(shelf.database.atomically(lambda batch: batch.touch(b"shelf/a")))
    await asyncio.sleep(0)
    assert not answered.done()
    flushes.run()
    await answered


async def test_an_answer_that_rests_on_nothing_unflushed_waits_for_nothing(held: tuple[Shelf, HeldExecutor]) -> None:
    shelf, _ = held
    await shelf.database.atomically(lambda batch: batch.touch(b"shelf/z"))


# -- a disk that does not keep up


async def test_a_stall_becomes_a_wait(shelf: Shelf, disk: FaultyDisk, environment: VirtualEnvironment) -> None:
    disk.stalls = 5
    began_ns = environment.monotonic_ns()
    await shelf.put(b"key")
    assert environment.monotonic_ns() - began_ns == 10_000_000
    assert shelf.get(b"key") == b"value"


async def test_after_a_stall_what_is_stored_is_looked_at_again(shelf: Shelf, disk: FaultyDisk) -> None:
    disk.stalls = 1
    first = asyncio.ensure_future(shelf.put(b"key", b"first"))
    await asyncio.sleep(0)
    await shelf.put(b"key", b"second")
    assert await first == b"second"


async def test_a_stall_without_end_is_exhausted_and_nothing_is_written(shelf: Shelf, disk: FaultyDisk) -> None:
    disk.stalls = STALL_WAITS_MAX
    error = await refusal_of(shelf)
    assert (type(error), error.outcome, error.retryable, error.retry_after_ms) == (Exhausted, "not_applied", True, 200)
    assert shelf.get(b"key") is None


async def test_a_stall_ends_with_the_deadline(shelf: Shelf, disk: FaultyDisk, environment: VirtualEnvironment) -> None:
    disk.stalls = STALL_WAITS_MAX
    deadline_ns = environment.monotonic_ns() + 5_000_000
    with pytest.raises(Exhausted) as caught:
        await shelf.database.atomically(shelf.add, b"key", b"value", deadline_ns=deadline_ns)
    assert environment.monotonic_ns() - deadline_ns < 2_000_000
    assert caught.value.outcome == "not_applied"


async def test_after_the_deadline_nothing_is_begun(shelf: Shelf, environment: VirtualEnvironment) -> None:
    with pytest.raises(DeadlineExceeded) as caught:
        await shelf.database.atomically(shelf.add, b"key", b"value", deadline_ns=environment.monotonic_ns())
    assert caught.value.outcome == "not_applied"
    assert shelf.get(b"key") is None


# -- a disk that fails


async def test_a_write_that_the_disk_refuses_is_unavailable_with_the_reason(shelf: Shelf, disk: FaultyDisk) -> None:
    disk.write_error = NO_SPACE
    error = await refusal_of(shelf)
    assert (type(error), error.outcome) == (Unavailable, "unknown")
    assert "No space left on device" in error.detail


@pytest.mark.parametrize("fault", ["write_error", "flush_error"])
async def test_a_failed_disk_closes_the_database_and_says_why(shelf: Shelf, disk: FaultyDisk, fault: str) -> None:
    setattr(disk, fault, NO_SPACE)
    await refusal_of(shelf)
    assert shelf.left == 1
    with pytest.raises(Unavailable, match=r"closed after a failed write: .*No space left") as caught:
        _ = shelf.database.rdict
    assert (caught.value.outcome, caught.value.hint) == ("not_applied", "see to the disk and restart")


@pytest.mark.parametrize("fault", ["write_error", "flush_error"])
async def test_a_failed_database_is_lost_until_it_is_opened_again(shelf: Shelf, disk: FaultyDisk, fault: str) -> None:
    assert shelf.database.lost is None
    setattr(disk, fault, NO_SPACE)
    await refusal_of(shelf)
    assert "closed after a failed write: IO error: No space left" in str(shelf.database.lost)
    await shelf.close()
    setattr(disk, fault, None)
    shelf.open()
    assert shelf.database.lost is None


@pytest.mark.parametrize("fault", ["write_error", "flush_error"])
async def test_nothing_acknowledged_is_lost_by_a_failed_disk(shelf: Shelf, disk: FaultyDisk, fault: str) -> None:
    await shelf.put(b"before")
    setattr(disk, fault, NO_SPACE)
    await refusal_of(shelf)
    await shelf.close()
    setattr(disk, fault, None)
    assert shelf.open().get(b"before") == b"value"
    await shelf.put(b"after")


async def test_a_failed_flush_refuses_every_writer_of_its_group(shelf: Shelf, disk: FaultyDisk) -> None:
    disk.flush_error = NO_SPACE
    refusals = await asyncio.gather(*(shelf.put(b"%d" % n) for n in range(8)), return_exceptions=True)
    assert {(type(each), getattr(each, "outcome", "")) for each in refusals} == {(Unavailable, "unknown")}


async def test_a_failed_write_refuses_those_who_wait_for_a_flush(shelf: Shelf, disk: FaultyDisk) -> None:
    waiting = [asyncio.ensure_future(shelf.put(b"%d" % number)) for number in range(3)]
    disk.write_error = None
    await asyncio.sleep(0)
    disk.write_error = NO_SPACE
    error = await refusal_of(shelf)
    refusals = await asyncio.gather(*waiting, return_exceptions=True)
    assert error.outcome == "unknown"
    assert {type(each) for each in refusals} <= {Unavailable, bytes}


async def test_a_failed_database_is_closed_for_new_guests(shelf: Shelf, disk: FaultyDisk) -> None:
    disk.flush_error = NO_SPACE
    await refusal_of(shelf)
    with pytest.raises(Unavailable, match="closed after a failed write"):
        Shelf(shelf.database, "other").open()


async def test_the_folder_of_a_failed_database_is_free_once_its_guests_have_left(
    shelf: Shelf, disk: FaultyDisk, folder: str
) -> None:
    await shelf.put(b"key")
    disk.flush_error = NO_SPACE
    await refusal_of(shelf, b"other")
    await shelf.close()
    assert holder(folder) is None
    assert shelved(folder, b"key") == b"value"


async def test_damage_that_a_write_meets_is_data_loss(shelf: Shelf) -> None:
    def meets(batch: AtomicBatch) -> None:
        raise Exception("Corruption: block checksum mismatch")

    with pytest.raises(DataLoss, match="block checksum mismatch"):
        await shelf.database.atomically(meets)


async def test_defects_in_what_is_built_pass_unchanged(shelf: Shelf) -> None:
    def broken(batch: AtomicBatch) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await shelf.database.atomically(broken)
    await shelf.put(b"key")


# -- column families


async def test_a_family_is_made_when_it_is_first_asked_for(shelf: Shelf) -> None:
    assert shelf.database.families == {"default", "shelf"}
    shelf.database.family("other")
    assert shelf.database.families == {"default", "shelf", "other"}


async def test_families_are_there_after_a_restart(shelf: Shelf) -> None:
    shelf.database.family("other")
    await shelf.close()
    assert shelf.open().database.families == {"default", "shelf", "other"}


async def test_a_dropped_family_is_gone_with_its_rows(shelf: Shelf) -> None:
    other = Shelf(shelf.database, "other").open()
    await other.put(b"key")
    other.let_go()
    shelf.database.drop_family("other")
    assert shelf.database.families == {"default", "shelf"}
    assert Shelf(shelf.database, "other").open().get(b"key") is None


async def test_dropping_a_family_that_is_not_there_is_no_error(shelf: Shelf) -> None:
    shelf.database.drop_family("gone")


async def test_more_families_than_the_limit_are_refused(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FAMILIES_MAX", 3)
    shelf.database.family("third")
    with pytest.raises(Exhausted, match="has 3 column families") as caught:
        shelf.database.family("fourth")
    assert "dedicated" in str(caught.value.hint)
    shelf.database.family("third")


def test_the_limit_of_families_is_that_of_the_semantics() -> None:
    assert module.FAMILIES_MAX == 256


# -- copies and compactions


async def test_a_checkpoint_holds_what_was_acknowledged_before(shelf: Shelf, tmp_path: Path) -> None:
    await shelf.put(b"key", b"one")
    await shelf.database.checkpoint(str(tmp_path / "copy"))
    await shelf.put(b"key", b"two")
    assert shelved(str(tmp_path / "copy"), b"key") == b"one"


async def test_writers_go_on_while_a_checkpoint_is_made(shelf: Shelf, tmp_path: Path) -> None:
    making = asyncio.ensure_future(shelf.database.checkpoint(str(tmp_path / "copy")))
    while not making.done():
        await shelf.put(b"key", b"meanwhile")
    await making
    assert shelf.get(b"key") == b"meanwhile"


async def test_a_checkpoint_over_something_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(AlreadyExists):
        await shelf.database.checkpoint(str(tmp_path))


async def test_a_checkpoint_of_a_closed_database_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    await shelf.close()
    with pytest.raises(Unavailable, match="the engine is stopped"):
        await shelf.database.checkpoint(str(tmp_path / "copy"))


async def test_a_checkpoint_under_way_is_finished_before_the_database_closes(shelf: Shelf, tmp_path: Path) -> None:
    await shelf.put(b"key")
    making = asyncio.ensure_future(shelf.database.checkpoint(str(tmp_path / "copy")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await shelf.close()
    await asyncio.gather(making, return_exceptions=True)
    assert holder(shelf.database.folder) is None


def size_of(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).glob("*.sst"))


async def test_what_was_deleted_gives_its_space_back(shelf: Shelf, folder: str) -> None:
    for number in range(200):
        await shelf.put(b"%04d" % number, os.urandom(10_000))
    flush_tables(shelf.database.rdict)
    before = size_of(folder)
    rows = WriteBatch(raw_mode=True)
    assert shelf.family is not None
    rows.delete_range(b"0000", b"9999", shelf.family.handle)
    shelf.database.write(rows)
    shelf.database.compact("shelf", b"0000", b"9999")
    await shelf.database.idle()
    assert before > 2_000_000
    assert size_of(folder) < before / 10


async def test_compactions_beyond_the_limit_are_left_to_rocksdb(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "CHORES_MAX", 2)
    for _ in range(10):
        shelf.database.compact("shelf", b"a", b"b")
    with pytest.raises(Exhausted, match="many compactions and copies"):
        await shelf.database.checkpoint(str(tmp_path / "copy"))
    await shelf.database.idle()
    await shelf.database.checkpoint(str(tmp_path / "copy"))


async def test_closing_cuts_compactions_short_and_loses_nothing(
    folder: str, environment: VirtualEnvironment, disk: FaultyDisk
) -> None:
    options = RocksOptions(write_buffer=Size(256 << 10))
    shelf = Shelf(Database(folder, options, environment, disk=disk)).open()
    for number in range(300):
        await shelf.put(b"%04d" % number, os.urandom(10_000))
    for _ in range(5):
        shelf.database.compact("shelf", b"0", b"9")
    await shelf.close()
    assert holder(folder) is None
    assert len(shelved(folder, b"0299") or b"") == 10_000


@pytest.mark.parametrize("durability", ["group", "always", "os"])
async def test_every_durability_keeps_what_it_acknowledged_over_a_clean_end(
    folder: str, environment: VirtualEnvironment, durability: Durability
) -> None:
    shelf = Shelf(Database(folder, RocksOptions(durability=durability), environment)).open()
    await asyncio.gather(*(shelf.put(b"%d" % number) for number in range(50)))
    await shelf.close()
    assert all_shelved(folder, [b"%d" % number for number in range(50)]) == [b"value"] * 50
