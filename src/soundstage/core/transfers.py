"""Files on their way in and out: what may be sent and where to it may be written, alike in process and remotely.

    file = await stage.files.upload("talk.mp4", media_type="video/mp4")
    await stage.files.download(file, "copy.mp4")
    async for chunk in stage.files.open(file, 0, 1_000): ...

Local files are read and written in threads, a chunk at a time.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias, cast

from soundstage.core.errors import DataLoss, InvalidArgument, SoundstageError
from soundstage.core.files import DEFAULT_MEDIA_TYPE, File
from soundstage.core.time import Duration

CHUNK_BYTES = 256 << 10
"""Read and written at once."""

Source: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | AsyncIterable[bytes] | Iterable[bytes]"
)
"""What can be sent: a path, bytes, a binary stream, or an iterator of bytes, asynchronous or not."""

Target: TypeAlias = "str | os.PathLike[str] | BinaryIO"
"""Where to a file can be written: a path, a folder (the file keeps its name), or a binary stream."""

_DRIVE = re.compile(r".*[/\\:]", re.DOTALL)


class Supply(NamedTuple):
    """What is sent. `size` is None when only the end will tell; `again`: `chunks` may be asked for twice."""

    name: str
    size: int | None
    again: bool
    chunks: Callable[[], AsyncGenerator[bytes]]


class SourceFailed(InvalidArgument):
    """What was to be sent could not be read on; its `__cause__` says why."""


class Reader:
    """What a supply brings, read for somebody who is not to blame where that fails: `failure` is why, as it was raised.

    Who waits for the whole is told by `SourceFailed`, and what called for it raises `failure` instead.
    """

    def __init__(self, supply: Supply) -> None:
        self._supply = supply
        self.size: int | None = supply.size
        self.failure: Exception | None = None

    async def chunks(self) -> AsyncGenerator[bytes]:
        """As those of the supply."""
        async with aclosing(self._supply.chunks()) as chunks:
            while True:
                try:
                    chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
                except Exception as error:
                    self.failure = error
                    raise SourceFailed(
                        f"what is sent could not be read: {error}", field="source", hint="send it again, whole"
                    ) from error
                yield chunk

    @contextmanager
    def blamed(self) -> Generator[None]:
        """What the block fails with is `failure`, where that is why."""
        try:
            yield
        except SoundstageError:
            if self.failure is not None:
                raise self.failure from None
            raise


class FileAccess(ABC):
    """The files of a stage, for programs; the same in process and remotely."""

    @abstractmethod
    async def upload(
        self,
        source: Source,
        *,
        name: str | None = None,
        media_type: str = DEFAULT_MEDIA_TYPE,
        ttl: Duration | None = None,
    ) -> File:
        """The bytes of `source` are a file of the stage, durably and as they were read; or nothing of it is.

        `name` is that of a path by default; `ttl` is `files.ttl` (7 days) of the stage by default. Raises
        `InvalidArgument` for what cannot be read, `TooLarge`, and `Exhausted` when the quota is used up.
        """

    @abstractmethod
    async def info(self, file: File | str) -> File:
        """A file by its id. Raises `NotFound`; `Forbidden` for who may not read it."""

    @abstractmethod
    def open(self, file: File | str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """The bytes from `start` to before `end` (None: the last), in chunks; close it (`aclosing`) to stop early.

        Raises what `info` does, and `DataLoss` before bytes that are not those that were sent.
        """

    @abstractmethod
    async def delete(self, file: File | str) -> bool:
        """The file is gone; whether it was there. Safe to repeat. Raises `Forbidden` for who may not."""

    async def download(self, file: File | str, to: Target) -> File:
        """`to` holds the whole file, checked against its checksum; a path is replaced at the end, whole.

        Raises what `open` does, and `InvalidArgument` for a place that cannot be written.
        """
        found = await self.info(file)
        if not isinstance(to, (str, os.PathLike)):
            await self._copy(found, to)
            return found
        async with _drafted(_place(Path(to), found), found.blob[-12:]) as stream:
            await self._copy(found, stream)
        return found

    async def _copy(self, file: File, to: BinaryIO) -> None:
        digest = sha256()
        async with aclosing(self.open(file)) as chunks:
            await _pour(chunks, to, digest.update)
        if digest.hexdigest() != file.sha256:
            raise DataLoss(f"what came of the file {file.blob} is not what was sent", hint="download it again")


class SyncFileAccess:
    """The same for programs without an event loop; `run` and `iterate` are those of the client's thread."""

    def __init__(
        self,
        files: FileAccess,
        run: Callable[[Coroutine[Any, Any, Any]], Any],
        iterate: Callable[[AsyncGenerator[bytes]], Generator[bytes]],
    ) -> None:
        self._files = files
        self._run = run
        self._iterate = iterate

    def upload(
        self,
        source: Source,
        *,
        name: str | None = None,
        media_type: str = DEFAULT_MEDIA_TYPE,
        ttl: Duration | None = None,
    ) -> File:
        """See `FileAccess.upload`."""
        return self._run(self._files.upload(source, name=name, media_type=media_type, ttl=ttl))

    def download(self, file: File | str, to: Target) -> File:
        """See `FileAccess.download`."""
        return self._run(self._files.download(file, to))

    def open(self, file: File | str, start: int = 0, end: int | None = None) -> Generator[bytes]:
        """See `FileAccess.open`."""
        return self._iterate(self._files.open(file, start, end))

    def info(self, file: File | str) -> File:
        """See `FileAccess.info`."""
        return self._run(self._files.info(file))

    def delete(self, file: File | str) -> bool:
        """See `FileAccess.delete`."""
        return self._run(self._files.delete(file))


def blob_of(file: File | str) -> str:
    """The id of a file."""
    return file.blob if isinstance(file, File) else file


def local_name(file: File) -> str:
    """The name under which a file may be kept in a folder: its own without any path, else its id."""
    name = _DRIVE.sub("", file.name).replace("\0", "")
    return name if name.strip(". ") else file.blob


async def save(chunks: AsyncIterable[bytes], to: Target) -> None:
    """`to` holds all of `chunks`; a path is replaced at the end, whole. Raises `InvalidArgument` where it cannot be."""
    if not isinstance(to, (str, os.PathLike)):
        await _pour(chunks, to)
        return
    async with _drafted(Path(to), f"{os.getpid():x}-{id(chunks):x}") as stream:
        await _pour(chunks, stream)


async def supply_of(source: Source) -> Supply:
    """What `source` brings. Raises `InvalidArgument` for what cannot be sent, or read."""
    if isinstance(source, (str, os.PathLike)):
        return await _of_path(Path(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        content = bytes(source)
        return Supply("", len(content), True, lambda: _slices(content))
    if hasattr(source, "read"):
        return await _of_stream(cast("BinaryIO", source))
    if isinstance(source, AsyncIterable):
        chunks = source
        return Supply("", None, False, lambda: _passed_on(chunks))
    if hasattr(source, "__iter__"):
        return Supply("", None, False, lambda: _drawn(iter(source)))
    raise InvalidArgument(
        f"a {type(source).__name__} is no file", field="source", hint="give a path, bytes, a stream or an iterator"
    )


async def _of_path(path: Path) -> Supply:
    def measured() -> int | None:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if not path.is_file():
            # A pipe, say, tells its size by its end.
            path.stat()
            return None
        with path.open("rb") as stream:
            return os.fstat(stream.fileno()).st_size

    async def chunks() -> AsyncGenerator[bytes]:
        with await _in_thread(path, lambda: path.open("rb")) as stream:
            async for chunk in _read(stream):
                yield chunk

    size = await _in_thread(path, measured)
    return Supply(path.name, size, size is not None, chunks)


async def _of_stream(stream: BinaryIO) -> Supply:
    begin: int | None = None
    size: int | None = None
    with suppress(OSError, AttributeError, ValueError):
        if stream.seekable():
            begin = stream.tell()
            size = stream.seek(0, os.SEEK_END) - begin
            stream.seek(begin)

    async def chunks() -> AsyncGenerator[bytes]:
        if begin is not None:
            await _in_thread("the stream", partial(stream.seek, begin))
        async for chunk in _read(stream):
            yield chunk

    name = getattr(stream, "name", "")
    return Supply(os.path.basename(name) if isinstance(name, str) else "", size, size is not None, chunks)


async def _read(stream: BinaryIO) -> AsyncGenerator[bytes]:
    while chunk := await _in_thread("the stream", lambda: stream.read(CHUNK_BYTES)):
        yield chunk


async def _slices(content: bytes) -> AsyncGenerator[bytes]:
    for at in range(0, len(content), CHUNK_BYTES):
        yield content[at : at + CHUNK_BYTES]


async def _passed_on(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    async for chunk in chunks:
        yield chunk


async def _drawn(chunks: Iterator[bytes]) -> AsyncGenerator[bytes]:
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk


def _place(path: Path, file: File) -> Path:
    return path / local_name(file) if path.is_dir() else path


@asynccontextmanager
async def _drafted(path: Path, mark: str) -> AsyncGenerator[BinaryIO]:
    """A file beside `path` to write to, which takes its place when the block ends well, and else goes."""
    draft = path.with_name(f".{path.name[:100]}.{mark}.part")
    try:
        with await _in_thread(draft, lambda: draft.open("wb")) as stream:
            yield stream
        await _in_thread(path, lambda: draft.replace(path))
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


async def _pour(chunks: AsyncIterable[bytes], to: BinaryIO, also: Callable[[bytes], object] = len) -> None:
    async for chunk in chunks:
        await _in_thread("the stream", partial(_write, to, chunk, also))


def _write(to: BinaryIO, chunk: bytes, also: Callable[[bytes], object]) -> None:
    also(chunk)
    view = memoryview(chunk)
    while view:
        # A raw stream may take less than it is given.
        view = view[to.write(view) or len(view) :]


async def _in_thread(what: Path | str, do: Callable[[], Any]) -> Any:
    try:
        return await asyncio.to_thread(do)
    except OSError as error:
        raise InvalidArgument(
            f"{what} cannot be used: {error.strerror or error}", field="path", hint="check the path and its permissions"
        ) from None
