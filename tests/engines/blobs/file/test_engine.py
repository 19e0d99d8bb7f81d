"""The file engine is what the suite says, survives what happens to files, and keeps its folder to itself."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import Executor
from errno import EIO
from pathlib import Path

import pytest

from soundstage.core.environment import SystemEnvironment, VirtualEnvironment
from soundstage.core.errors import DataLoss, Exhausted, InvalidArgument, NotFound, SoundstageError, Unavailable
from soundstage.core.size import Size
from soundstage.engines.blobs.file import FileBlobs, FileOptions
from soundstage.engines.blobs.file.disk import Disk
from soundstage.engines.blobs.file.engine import AHEAD_MAX
from soundstage.engines.blobs.file.layout import BLOCK_BYTES, HEAD_BYTES
from soundstage.engines.blobs.port import BlobCapability, Blobs
from soundstage.testing.blobs import BlobsSuite
from soundstage.testing.blobs.calls import content_of, keys, put, read
from soundstage.testing.blobs.disk import refusing

FAST = FileOptions(durability="os", low_water=Size(0))


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment(seed=5)


@pytest.fixture
async def engine(tmp_path: Path, environment: VirtualEnvironment) -> AsyncIterator[FileBlobs]:
    made = FileBlobs(str(tmp_path), FAST, environment)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def durable(tmp_path: Path, environment: VirtualEnvironment) -> AsyncIterator[FileBlobs]:
    made = FileBlobs(str(tmp_path), FileOptions(low_water=Size(0)), environment)
    await made.start()
    yield made
    await made.stop()


def objects(engine: FileBlobs) -> list[Path]:
    return sorted((engine.folder / "objects").glob("*/*"))


def staged(engine: FileBlobs) -> list[Path]:
    return list((engine.folder / "staging").iterdir())


def spoil(path: Path, at: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        found = file.read(1)
        file.seek(at)
        file.write(bytes((found[0] ^ 1,)))


class TestFile(BlobsSuite):
    @pytest.fixture
    async def blobs(self, environment: VirtualEnvironment, tmp_path: Path) -> AsyncIterator[Blobs]:
        engine = FileBlobs(str(tmp_path), FAST, environment)
        await engine.start()
        yield engine
        await engine.stop()


class TestDurableFile(BlobsSuite):
    @pytest.fixture
    async def blobs(self, environment: VirtualEnvironment, tmp_path: Path) -> AsyncIterator[Blobs]:
        engine = FileBlobs(str(tmp_path), FileOptions(low_water=Size(0)), environment)
        await engine.start()
        yield engine
        await engine.stop()


class TestPlainFile(BlobsSuite):
    @pytest.fixture
    async def blobs(self, environment: VirtualEnvironment, tmp_path: Path) -> AsyncIterator[Blobs]:
        engine = FileBlobs(str(tmp_path), FileOptions(low_water=Size(0), layout="plain"), environment)
        await engine.start()
        yield engine
        await engine.stop()


def test_it_is_durable_unless_nothing_waits_for_the_disk(tmp_path: Path, environment: VirtualEnvironment) -> None:
    assert BlobCapability.DURABLE in FileBlobs(str(tmp_path), FileOptions(), environment).capabilities
    assert BlobCapability.DURABLE not in FileBlobs(str(tmp_path), FAST, environment).capabilities


async def test_a_replaced_file_is_removed(engine: FileBlobs) -> None:
    for content in (b"1", b"2", b"3"):
        await put(engine, "a", content)
    assert (len(objects(engine)), staged(engine)) == (1, [])


async def test_a_refused_upload_leaves_no_file(engine: FileBlobs) -> None:
    with pytest.raises(InvalidArgument):
        await put(engine, "a", content_of(3 << 20), size=5 << 20)
    assert (objects(engine), staged(engine)) == ([], [])


async def test_what_was_being_written_at_a_crash_is_gone_after_it(engine: FileBlobs) -> None:
    await engine.stop()
    (engine.folder / "staging" / "leftover").write_bytes(b"half")
    await engine.start()
    assert staged(engine) == []


async def test_of_two_puts_of_a_key_found_after_a_crash_the_later_counts(engine: FileBlobs) -> None:
    await put(engine, "a", b"first")
    first = objects(engine)[0]
    kept = first.read_bytes()
    await put(engine, "a", b"second")
    await engine.stop()
    first.write_bytes(kept)
    await engine.start()
    assert (await read(engine, "a"), len(objects(engine))) == (b"second", 1)


async def test_a_replaced_file_that_cannot_be_removed_goes_with_the_blob(
    engine: FileBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(engine, "a", b"first")
    first = objects(engine)[0]
    unlink = Path.unlink

    def stuck(path: Path, missing_ok: bool = False) -> None:
        if path == first:
            raise PermissionError(13, "stuck")
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", stuck)
        await put(engine, "a", b"second")
        with pytest.raises(Unavailable):
            await engine.delete("a")
        assert await read(engine, "a") == b"second"
    await engine.delete("a")
    assert objects(engine) == []


@pytest.mark.parametrize("at", [HEAD_BYTES, HEAD_BYTES + 1_500_000])
async def test_damage_is_found_by_who_reads_it(engine: FileBlobs, at: int) -> None:
    await put(engine, "a", content_of(2_000_000))
    spoil(objects(engine)[0], at)
    with pytest.raises(DataLoss):
        await read(engine, "a")


async def test_a_range_without_the_damage_is_read(engine: FileBlobs) -> None:
    content = content_of(2_000_000)
    await put(engine, "a", content)
    spoil(objects(engine)[0], HEAD_BYTES + 1_500_000)
    assert await read(engine, "a", 0, 1_000_000) == content[:1_000_000]


async def test_no_byte_of_a_damaged_block_is_handed_out(engine: FileBlobs) -> None:
    await put(engine, "a", content_of(2_000_000))
    spoil(objects(engine)[0], HEAD_BYTES + 1_999_999)
    got = bytearray()

    async def gather() -> None:
        async for chunk in engine.open("a"):
            got.extend(chunk)

    with pytest.raises(DataLoss):
        await gather()
    assert len(got) == 1 << 20


@pytest.mark.parametrize(("start", "end", "times"), [(5, 900_000, 1), (0, 1_500_000, 2), (1_100_000, 1_900_000, 1)])
async def test_a_read_waits_for_a_thread_once_a_block(
    engine: FileBlobs, start: int, end: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = content_of(2_000_000)
    await put(engine, "a", content)
    loop, asked = asyncio.get_running_loop(), list[object]()
    run = loop.run_in_executor

    def counted(executor: Executor, work: Callable[[], object]) -> asyncio.Future[object]:
        asked.append(work)
        return run(executor, work)

    monkeypatch.setattr(loop, "run_in_executor", counted)
    assert await read(engine, "a", start, end) == content[start:end]
    assert len(asked) == times


async def test_a_disk_that_refuses_to_be_read_leaves_no_file_open(
    engine: FileBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(engine, "a")
    opened, closed = list[int](), list[int]()
    close = os.close

    def refused(descriptor: int, size: int, at: int) -> bytes:
        opened.append(descriptor)
        raise OSError(EIO, "no such sector")

    def noted(descriptor: int) -> None:
        closed.append(descriptor)
        close(descriptor)

    monkeypatch.setattr(os, "pread", refused)
    monkeypatch.setattr(os, "close", noted)
    with pytest.raises(Unavailable, match="no such sector"):
        await read(engine, "a")
    assert len(opened) == 1
    assert set(opened) <= set(closed)


@pytest.mark.parametrize("damage", ["head", "cut"])
async def test_a_file_that_is_no_blob_is_told_and_left(
    engine: FileBlobs, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    await put(engine, "a", content_of(2_000))
    await engine.stop()
    path = objects(engine)[0]
    if damage == "head":
        spoil(path, 0)
    else:
        os.truncate(path, 5_000)
    await engine.start()
    assert (await keys(engine), objects(engine)) == ([], [path])
    assert "damaged" in caplog.text


async def test_a_file_that_vanished_is_a_loss(engine: FileBlobs) -> None:
    await put(engine, "a")
    objects(engine)[0].unlink()
    with pytest.raises(DataLoss):
        await read(engine, "a")


async def test_a_folder_has_one_owner(engine: FileBlobs, environment: VirtualEnvironment) -> None:
    engine.announce("http://127.0.0.1:7777")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:7777"):
        await FileBlobs(str(engine.folder), FAST, environment).start()


async def test_a_folder_that_was_stopped_is_free(engine: FileBlobs, environment: VirtualEnvironment) -> None:
    await put(engine, "a")
    await engine.stop()
    other = FileBlobs(str(engine.folder), FAST, environment)
    await other.start()
    assert await keys(other) == ["a"]
    await other.stop()


async def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path, environment: VirtualEnvironment) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SoundstageError, match="file"):
        await FileBlobs(str(tmp_path / "file"), FAST, environment).start()


async def test_a_folder_that_could_not_be_opened_is_free(tmp_path: Path, environment: VirtualEnvironment) -> None:
    (tmp_path / "objects").write_text("in the way")
    with pytest.raises(SoundstageError):
        await FileBlobs(str(tmp_path), FAST, environment).start()
    (tmp_path / "objects").unlink()
    engine = FileBlobs(str(tmp_path), FAST, environment)
    await engine.start()
    await engine.stop()


async def test_more_than_the_quota_is_refused(tmp_path: Path, environment: VirtualEnvironment) -> None:
    engine = FileBlobs(
        str(tmp_path), FileOptions(durability="os", low_water=Size(0), quota=Size(1_000_000)), environment
    )
    await engine.start()
    made = await asyncio.gather(*(put(engine, f"k{n}", content_of(400_000)) for n in range(4)), return_exceptions=True)
    assert sum(isinstance(each, Exhausted) for each in made) >= 2
    assert (await engine.usage()).bytes <= 1_000_000
    await engine.stop()


async def test_blocks_that_come_faster_than_they_are_written_keep_their_order(engine: FileBlobs) -> None:
    blocks = [bytes((number,)) * BLOCK_BYTES for number in range(3 * AHEAD_MAX)]

    async def chunks() -> AsyncGenerator[bytes]:
        for block in blocks:
            yield block

    info = await engine.put("key", chunks())
    assert info.sha256 == hashlib.sha256(b"".join(blocks)).hexdigest()
    assert await read(engine, "key") == b"".join(blocks)


@pytest.mark.parametrize("fails_at", [0, 1, AHEAD_MAX, 2 * AHEAD_MAX])
async def test_a_block_that_cannot_be_written_ends_the_upload(
    engine: FileBlobs, fails_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, pwrite = 0, os.pwrite

    def refusing(descriptor: int, data: bytes, at: int) -> int:
        nonlocal written
        written += 1
        if written > fails_at:
            raise OSError(28, "No space left on device")
        return pwrite(descriptor, data, at)

    async def chunks() -> AsyncGenerator[bytes]:
        for _ in range(3 * AHEAD_MAX):
            yield bytes(BLOCK_BYTES)

    monkeypatch.setattr(os, "pwrite", refusing)
    with pytest.raises(Unavailable, match="No space left"):
        await engine.put("key", chunks())
    assert (staged(engine), objects(engine)) == ([], [])


async def test_an_upload_that_is_cancelled_leaves_nothing_behind_what_is_being_written(engine: FileBlobs) -> None:
    came = asyncio.Event()

    async def chunks() -> AsyncGenerator[bytes]:
        for _ in range(AHEAD_MAX):
            yield bytes(BLOCK_BYTES)
        came.set()
        await asyncio.Event().wait()

    putting = asyncio.ensure_future(engine.put("key", chunks()))
    await came.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert (staged(engine), objects(engine)) == ([], [])


async def test_a_full_disk_is_told_and_leaves_nothing(engine: FileBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(Unavailable, match="No space left"):
            await put(engine, "a", content_of(2_000_000))
    assert (staged(engine), await keys(engine)) == ([], [])


async def test_below_the_low_water_mark_blobs_are_refused(tmp_path: Path, environment: VirtualEnvironment) -> None:
    engine = FileBlobs(str(tmp_path), FileOptions(durability="os", low_water=Size(1 << 62)), environment)
    await engine.start()
    with pytest.raises(Unavailable, match="low-water"):
        await put(engine, "a")
    assert "writes are refused: the disk of" in str(engine.warning)
    await engine.stop()


async def test_many_readers_and_writers_of_one_blob_see_whole_ones(engine: FileBlobs) -> None:
    contents = [content_of(700_000, seed) for seed in range(8)]
    await put(engine, "a", contents[0])

    async def reading() -> list[bytes]:
        return [await read(engine, "a") for _ in range(6)]

    writing = asyncio.gather(*(put(engine, "a", content) for content in contents))
    found = await asyncio.gather(reading(), reading())
    await writing
    assert all(each in contents for several in found for each in several)
    assert len(objects(engine)) == 1


async def test_what_could_not_be_named_for_good_is_removed(durable: FileBlobs) -> None:
    with refusing("fsync", 2, after=False), pytest.raises(Unavailable) as refused:
        await put(durable, "a")
    assert (refused.value.outcome, objects(durable), await keys(durable)) == ("unknown", [], [])


async def test_a_delete_that_only_a_power_loss_can_undo_is_of_unknown_outcome(durable: FileBlobs) -> None:
    await put(durable, "a")
    with refusing("fsync", 1, after=False), pytest.raises(Unavailable) as refused:
        await durable.delete("a")
    assert (refused.value.outcome, objects(durable), await keys(durable)) == ("unknown", [], [])


class Held(Disk):
    """A disk that flushes the names in a folder when it is told to."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.asked = threading.Event()

    def sync_folder(self, folder: Path) -> None:
        self.asked.set()
        self.goes_on.wait()
        super().sync_folder(folder)


async def test_nobody_finds_a_blob_gone_that_a_power_loss_could_bring_back(tmp_path: Path) -> None:
    disk = Held()
    engine = FileBlobs(str(tmp_path / "blobs"), FileOptions(low_water=Size(0)), SystemEnvironment(), disk)
    await engine.start()
    await put(engine, "a")
    disk.goes_on.clear()
    disk.asked.clear()
    deleting = asyncio.ensure_future(engine.delete("a"))
    await asyncio.to_thread(disk.asked.wait)
    reading = asyncio.ensure_future(read(engine, "a"))
    try:
        assert await keys(engine) == ["a"]
        assert await engine.checkpoint(str(tmp_path / "copy")) == 0
        assert not reading.done()
    finally:
        disk.goes_on.set()
    assert await deleting
    with pytest.raises(NotFound):
        await reading
    assert await keys(engine) == []
    await engine.stop()


async def test_a_file_that_could_not_be_taken_back_goes_with_the_key(durable: FileBlobs) -> None:
    with refusing("fsync", 2, after=False), refusing("unlink", 1, after=False), pytest.raises(Unavailable):
        await put(durable, "a")
    assert len(objects(durable)) == 1
    assert not await durable.delete("a")
    assert objects(durable) == []
