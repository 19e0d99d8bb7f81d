from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from tests.engines.records.rocksdb.store import Store
from tests.engines.rocks.images import overwrite

from soundstage.core.errors import (
    AlreadyExists,
    DataLoss,
    Exhausted,
    InvalidArgument,
    NotFound,
    SoundstageError,
    Unavailable,
)
from soundstage.engines.rocks import copying
from soundstage.testing.model import Put
from soundstage.testing.records.bench import KEPT_US, RECORD, TABLE
from soundstage.testing.records.writes import batch_of

ITEMS = 300


@pytest.fixture
async def backup(store: Store, tmp_path: Path) -> str:
    """A copy of a table with live, deleted and expiring items, which is then dropped."""
    puts = {b"%04d" % key: Put(b"v" * 1_000) for key in range(ITEMS)}
    await store.send(store.write(at=-9, puts=puts))
    await store.put(b"expiring", b"", at=-9, expires=50 * KEPT_US)
    await store.delete(b"0000", at=-8)
    await store.delete_range(b"0001", b"0002", at=-8)
    folder = str(tmp_path / "backup")
    await store.rocks.checkpoint(folder)
    await store.rocks.drop_table(TABLE)
    await store.database.idle()
    return folder


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PART_BYTES", 2_000)


async def served(store: Store) -> list[str]:
    return [spec.name for spec in await store.rocks.tables()]


async def part_way(store: Store, backup: str) -> asyncio.Future[None]:
    """A restore that has begun to copy."""
    restoring = asyncio.ensure_future(store.rocks.restore(backup))
    for _ in range(1_000):
        if TABLE in store.catalogue.by_name and store.stored():
            break
        await asyncio.sleep(0.001)
    return restoring


async def test_the_plan_of_what_is_to_be_forgotten_comes_back_too(store: Store, backup: str) -> None:
    await store.rocks.restore(backup)
    assert len(store.due()) == 3


async def test_headers_come_back_as_they_were(store: Store, backup: str) -> None:
    await store.rocks.restore(backup)
    header = store.table.header(store.prefix())
    assert header is not None
    assert (header.low, header.high, len(header.ranges)) == (b"0000", b"expiring\0", 1)


async def test_a_table_that_came_back_is_there_after_a_restart(store: Store, backup: str) -> None:
    await store.rocks.restore(backup)
    before = await store.rows()
    await store.reopen()
    assert await store.rows() == before
    assert len(before) == ITEMS - 1


async def test_a_backup_of_a_dedicated_table_comes_back(store: Store, tmp_path: Path) -> None:
    store.spec = await store.add_table("kv/dedicated", dedicated=True)
    await store.put(b"key", b"value", at=0)
    await store.rocks.checkpoint(str(tmp_path / "backup"))
    await store.rocks.drop_table("kv/dedicated")
    await store.rocks.restore(str(tmp_path / "backup"), ["kv/dedicated"])
    assert await store.values() == {b"key": b"value"}
    await store.rocks.drop_table("kv/dedicated")
    assert store.database.families == {"default", "due"}


@pytest.mark.usefixtures("small_parts")
async def test_others_are_served_while_a_table_comes_back(store: Store, backup: str) -> None:
    await store.add_table("kv/other")
    restoring = await part_way(store, backup)
    answered = 0
    while not restoring.done():
        answered += 1
        batch = batch_of(store.write(at=answered, puts={b"key": Put(b"value")}))
        await store.rocks.apply("kv/other", RECORD, batch)
        assert TABLE not in await served(store) or len(await store.rows()) == ITEMS - 1
    await restoring
    assert answered > 3
    assert len(await store.rows()) == ITEMS - 1


@pytest.mark.usefixtures("small_parts")
async def test_nothing_is_purged_while_its_table_comes_back(store: Store, backup: str) -> None:
    store.advance(KEPT_US + 100)
    restoring = await part_way(store, backup)
    assert (await store.rocks.sweep(1_000)).purged == 0
    await restoring
    assert await store.sweep() == 1


# -- a restore that does not end


@pytest.mark.usefixtures("small_parts")
async def test_a_cancelled_restore_leaves_nothing(store: Store, backup: str) -> None:
    restoring = await part_way(store, backup)
    restoring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await restoring
    assert (await served(store), store.stored(), store.due()) == ([], {}, {})
    await store.rocks.restore(backup)
    assert len(await store.rows()) == ITEMS - 1


@pytest.mark.usefixtures("small_parts")
async def test_a_restore_is_given_up_when_its_table_is_dropped(store: Store, backup: str) -> None:
    restoring = await part_way(store, backup)
    await store.rocks.drop_table(TABLE)
    with pytest.raises(Unavailable, match="dropped"):
        await restoring
    assert (await served(store), store.stored(), store.due()) == ([], {}, {})


@pytest.mark.usefixtures("small_parts")
async def test_a_restore_that_the_engines_end_cuts_off_leaves_nothing_at_the_next_start(
    store: Store, backup: str
) -> None:
    restoring = await part_way(store, backup)
    await store.rocks.stop()
    with pytest.raises(Unavailable):
        await restoring
    store.rocks = store.unstarted()
    await store.rocks.start()
    assert (await served(store), store.stored(), store.due()) == ([], {}, {})


@pytest.mark.usefixtures("small_parts")
async def test_a_restore_that_a_crash_cuts_off_leaves_nothing_at_the_next_start(
    store: Store, backup: str, tmp_path: Path
) -> None:
    restoring = await part_way(store, backup)
    shutil.copytree(store.folder, tmp_path / "crashed")
    await restoring
    crashed = store.unstarted(str(tmp_path / "crashed"))
    await crashed.start()
    assert await crashed.tables() == []
    assert dict(crashed.database.rdict.items(from_key=b"\0\0\0\1")) == {}
    await crashed.stop()


@pytest.mark.usefixtures("small_parts")
async def test_a_disk_that_does_not_keep_up_makes_a_restore_wait(store: Store, backup: str) -> None:
    restoring = await part_way(store, backup)
    store.disk.stalls = 20
    await restoring
    assert len(await store.rows()) == ITEMS - 1


async def test_a_stall_without_end_ends_the_restore(store: Store, backup: str) -> None:
    store.disk.stalls = 1_000_000
    with pytest.raises(Exhausted):
        await store.rocks.restore(backup)
    store.disk.stalls = 0
    assert await served(store) == []


async def test_a_disk_near_full_takes_no_restore(store: Store, backup: str) -> None:
    store.disk.free = store.options.low_water
    store.environment.advance(2)
    with pytest.raises(Unavailable, match="low-water mark"):
        await store.rocks.restore(backup)
    assert (await served(store), store.stored()) == ([], {})


# -- backups that are none


def spoil(folder: str, name: str, content: bytes) -> None:
    Path(folder, name).write_bytes(content)


def damage(folder: str) -> Path:
    """The largest table file has a damaged block."""
    table = max(Path(folder).glob("*.sst"), key=lambda path: path.stat().st_size)
    overwrite(table, 0.2, b"\xff" * 40)
    return table


@pytest.mark.parametrize("name", ["gone", "empty"])
async def test_what_is_no_backup_is_not_found_and_not_written_to(store: Store, tmp_path: Path, name: str) -> None:
    os.mkdir(tmp_path / "empty")
    with pytest.raises(NotFound, match="holds no backup"):
        await store.rocks.restore(str(tmp_path / name))
    assert os.listdir(tmp_path / "empty") == []


async def test_a_table_that_the_backup_lacks_is_not_found_with_those_it_has(store: Store, backup: str) -> None:
    with pytest.raises(NotFound, match="no table 'kv/none'") as caught:
        await store.rocks.restore(backup, ["kv/none"])
    assert caught.value.hint == f"it has {TABLE}"


async def test_a_table_that_is_there_is_not_overwritten(store: Store, backup: str) -> None:
    await store.rocks.restore(backup)
    await store.put(b"0000", b"later", at=1)
    with pytest.raises(AlreadyExists):
        await store.rocks.restore(backup)
    assert (await store.values())[b"0000"] == b"later"


async def test_a_backup_of_a_newer_format_is_refused(store: Store, backup: str) -> None:
    spoil(backup, "FORMAT", b'{"format":2}')
    with pytest.raises(InvalidArgument, match=f"{backup} has the format 2"):
        await store.rocks.restore(backup)


async def test_a_damaged_backup_is_data_loss_naming_its_file_and_leaves_nothing(store: Store, backup: str) -> None:
    table = damage(backup)
    with pytest.raises(DataLoss, match=f"{backup}/{table.name}"):
        await store.rocks.restore(backup)
    assert (await served(store), store.stored()) == ([], {})


@pytest.fixture
def ordinary_user() -> Iterator[Path]:
    """Files are read and written as somebody to whom permissions apply; gives a folder of theirs."""
    folder = Path(mkdtemp(prefix="soundstage-"))
    root = os.geteuid() == 0
    if root:
        os.chown(folder, 65_534, 65_534)
    yield folder
    if root:
        os.seteuid(0)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


async def test_a_backup_is_read_where_nothing_may_be_written(
    store: Store, backup: str, ordinary_user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = shutil.copytree(backup, ordinary_user / "backup")
    other = store.unstarted(str(ordinary_user / "store"))
    for path in (*copied.iterdir(), copied):
        path.chmod(0o555 if path == copied else 0o444)
    if os.geteuid() == 0:
        os.seteuid(65_534)
    monkeypatch.setattr("tempfile.tempdir", str(ordinary_user))
    await other.start()
    try:
        with pytest.raises(OSError, match="Permission denied"):
            (copied / "LOG").open("ab")
        await other.restore(str(copied))
        assert [spec.name for spec in await other.tables()] == [TABLE]
    finally:
        await other.stop()


async def test_errors_say_what_to_do(store: Store, backup: str) -> None:
    shutil.rmtree(backup)
    with pytest.raises(SoundstageError) as caught:
        await store.rocks.restore(backup)
    assert "soundstage data backup" in str(caught.value.hint)
