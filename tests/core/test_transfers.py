"""What can be sent, and where to it can be written, on files that are kept in memory."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from soundstage.core.errors import DataLoss, InvalidArgument, NotFound
from soundstage.core.files import DEFAULT_MEDIA_TYPE, File
from soundstage.core.loop_thread import LoopThread
from soundstage.core.time import Duration
from soundstage.core.transfers import (
    CHUNK_BYTES,
    FileAccess,
    Reader,
    Source,
    SourceFailed,
    SyncFileAccess,
    blob_of,
    local_name,
    supply_of,
)

LONG = os.urandom(2 * CHUNK_BYTES + 3)


class Shelf(FileAccess):
    """Keeps files in a dictionary; what is read of `damaged` ones is not what was sent."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[File, bytes]] = {}
        self.damaged: set[str] = set()

    async def upload(
        self,
        source: Source,
        *,
        name: str | None = None,
        media_type: str = DEFAULT_MEDIA_TYPE,
        ttl: Duration | None = None,
    ) -> File:
        supply = await supply_of(source)
        content = b"".join([chunk async for chunk in supply.chunks()])
        file = File(
            blob=f"{len(self.kept):012d}",
            name=supply.name if name is None else name,
            size=len(content),
            sha256=sha256(content).hexdigest(),
        )
        self.kept[file.blob] = file, content
        return file

    async def info(self, file: File | str) -> File:
        found = self.kept.get(blob_of(file))
        if found is None:
            raise NotFound("there is no such file")
        return found[0]

    async def open(self, file: File | str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        content = self.kept[blob_of(file)][1][start:end]
        yield content[:5]
        yield b"?" + content[6:] if blob_of(file) in self.damaged else content[5:]

    async def delete(self, file: File | str) -> bool:
        return self.kept.pop(blob_of(file), None) is not None


class Sip(io.RawIOBase):
    """A raw stream that takes three bytes at a time."""

    def __init__(self) -> None:
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        some = bytes(memoryview(data)[:3])  # type: ignore[arg-type]
        self.taken += some
        return len(some)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def drained(source: Source) -> bytes:
    return b"".join([chunk async for chunk in (await supply_of(source)).chunks()])


async def parts() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


def pulled() -> Iterator[bytes]:
    yield b"one"
    yield b"two"


class TestSources:
    async def test_a_path_is_sent_under_its_name(self, tmp_path: Path) -> None:
        path = tmp_path / "talk.mp4"
        path.write_bytes(LONG)
        supply = await supply_of(path)
        assert (supply.name, supply.size, supply.again) == ("talk.mp4", len(LONG), True)
        assert await drained(str(path)) == LONG

    @pytest.mark.parametrize("made", [bytes, bytearray, memoryview])
    async def test_bytes_are_sent(self, made: type) -> None:
        supply = await supply_of(made(LONG))
        assert (supply.name, supply.size, supply.again) == ("", len(LONG), True)
        assert await drained(made(LONG)) == LONG

    async def test_no_bytes_are_no_chunks(self) -> None:
        assert [chunk async for chunk in (await supply_of(b"")).chunks()] == []

    async def test_chunks_are_bounded(self) -> None:
        sizes = [len(chunk) async for chunk in (await supply_of(io.BytesIO(LONG))).chunks()]
        assert sizes == [CHUNK_BYTES, CHUNK_BYTES, 3]

    async def test_a_stream_is_sent_from_where_it_is_and_again(self) -> None:
        stream = io.BytesIO(b"12345")
        stream.seek(2)
        supply = await supply_of(stream)
        assert (supply.size, supply.again) == (3, True)
        for _ in range(2):
            assert [chunk async for chunk in supply.chunks()] == [b"345"]

    async def test_a_stream_of_a_file_has_its_name(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(b"hello")
        with (tmp_path / "a.txt").open("rb") as stream:
            assert (await supply_of(stream)).name == "a.txt"

    async def test_a_stream_without_places_is_sent_once(self) -> None:
        reading, writing = os.pipe()
        os.write(writing, b"hello")
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            supply = await supply_of(stream)
            assert (supply.name, supply.size, supply.again) == ("", None, False)
            assert [chunk async for chunk in supply.chunks()] == [b"hello"]

    async def test_a_pipe_in_the_file_system_is_sent_once(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        supply = await supply_of(pipe)
        assert (supply.size, supply.again) == (None, False)
        writer = threading.Thread(target=pipe.write_bytes, args=(b"hello",))
        writer.start()
        assert [chunk async for chunk in supply.chunks()] == [b"hello"]
        writer.join()

    async def test_iterators_are_sent_once(self) -> None:
        for source in (parts(), pulled(), [b"one", b"two"]):
            supply = await supply_of(source)
            assert (supply.size, supply.again) == (None, False)
            assert [chunk async for chunk in supply.chunks()] == [b"one", b"two"]

    async def test_what_is_no_file_is_refused(self) -> None:
        with pytest.raises(InvalidArgument, match="a int is no file"):
            await supply_of(5)  # type: ignore[arg-type]

    async def test_a_path_that_leads_nowhere_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidArgument, match="No such file") as caught:
            await supply_of(tmp_path / "none")
        assert caught.value.field == "path"

    async def test_a_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidArgument, match="it is a folder"):
            await supply_of(tmp_path)


class TestDownloads:
    async def test_a_path_holds_the_whole_file(self, shelf: Shelf, tmp_path: Path) -> None:
        file = await shelf.upload(LONG)
        assert await shelf.download(file, tmp_path / "copy") == file
        assert (tmp_path / "copy").read_bytes() == LONG

    async def test_a_folder_gets_it_under_its_own_name(self, shelf: Shelf, tmp_path: Path) -> None:
        await shelf.download(await shelf.upload(LONG, name="a.txt"), str(tmp_path))
        assert names(tmp_path) == ["a.txt"]

    async def test_what_was_there_is_replaced(self, shelf: Shelf, tmp_path: Path) -> None:
        (tmp_path / "copy").write_bytes(b"before")
        await shelf.download((await shelf.upload(b"after it")).blob, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == b"after it"

    async def test_a_stream_gets_all_of_it(self, shelf: Shelf) -> None:
        stream = io.BytesIO()
        await shelf.download(await shelf.upload(LONG), stream)
        assert stream.getvalue() == LONG

    async def test_a_stream_that_takes_little_at_a_time_gets_all_of_it(self, shelf: Shelf) -> None:
        sip = Sip()
        await shelf.download(await shelf.upload(b"hello world"), sip)  # type: ignore[arg-type]
        assert sip.taken == b"hello world"

    async def test_damage_is_told_and_leaves_what_was_there(self, shelf: Shelf, tmp_path: Path) -> None:
        file = await shelf.upload(LONG)
        shelf.damaged.add(file.blob)
        (tmp_path / "copy").write_bytes(b"before")
        with pytest.raises(DataLoss):
            await shelf.download(file, tmp_path / "copy")
        assert names(tmp_path) == ["copy"]
        assert (tmp_path / "copy").read_bytes() == b"before"

    async def test_an_unknown_file_leaves_nothing(self, shelf: Shelf, tmp_path: Path) -> None:
        with pytest.raises(NotFound):
            await shelf.download("none", tmp_path / "copy")
        assert names(tmp_path) == []

    async def test_a_place_that_cannot_be_written_is_told(self, shelf: Shelf, tmp_path: Path) -> None:
        file = await shelf.upload(b"hello")
        with pytest.raises(InvalidArgument, match="No such file"):
            await shelf.download(file, tmp_path / "none" / "copy")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("talk.mp4", "talk.mp4"),
        ("", "the-id"),
        ("..", "the-id"),
        (". .", "the-id"),
        ("../../etc/passwd", "passwd"),
        ("C:\\windows\\a.txt", "a.txt"),
        ("c:a.txt", "a.txt"),
        ("/", "the-id"),
        ("a\0b", "ab"),
    ],
)
def test_a_name_never_leads_out_of_its_folder(name: str, kept: str) -> None:
    assert local_name(File(blob="the-id", name=name)) == kept


def test_a_file_is_named_by_its_id() -> None:
    assert blob_of(File(blob="x")) == blob_of("x") == "x"


def test_synchronous_programs_have_the_same(shelf: Shelf, tmp_path: Path) -> None:
    thread = LoopThread("test")
    try:
        files = SyncFileAccess(shelf, thread.run, thread.iterate)
        file = files.upload(pulled(), name="a.txt", ttl=Duration.parse("1d"))
        assert files.info(file.blob) == file
        assert b"".join(files.open(file, 1, 4)) == b"net"
        assert files.download(file, tmp_path) == file
        assert (tmp_path / "a.txt").read_bytes() == b"onetwo"
        assert (files.delete(file), files.delete(file)) == (True, False)
    finally:
        thread.close()


async def test_a_source_that_fails_is_told_apart_from_whoever_reads_it() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"1"
        raise KeyError("mine")

    reader = Reader(await supply_of(pieces()))
    received: list[bytes] = []
    with pytest.raises(SourceFailed):
        received += [chunk async for chunk in reader.chunks()]
    assert isinstance(reader.failure, KeyError)


async def test_a_source_that_does_not_fail_is_read_as_it_is() -> None:
    reader = Reader(await supply_of(LONG))
    assert b"".join([chunk async for chunk in reader.chunks()]) == LONG
    assert reader.failure is None
