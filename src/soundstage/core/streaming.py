"""Operations of the kinds *upload* and *download*: a message, and bytes of any length beside it.

    class KeyValueCalls:
        @upload(PutValue, place="value/{namespace}/{id}/{key}", access="write", idempotent=True)
        def put_value(self) -> PutValueReply:
            "The bytes are stored."

        @download(GetValue, place="value/{namespace}/{id}/{key}", access="read")
        def get_value(self) -> ValueInfo:
            "The bytes that are stored, or a range of them."

    await profiles.put_value("portrait.png", id="ada", key=b"portrait")
    async with profiles.get_value(id="ada", key=b"portrait") as value:
        async for part in value: ...

Over HTTP they are `PUT`, and `GET` and `HEAD`, of one address, whose last parts are fields of the message; the others
are the query. A few chunks are in memory at a time, whatever the length.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, ParamSpec, TypeAlias, TypeVar, overload

from soundstage.core.call import Access
from soundstage.core.errors import InvalidArgument, SoundstageError
from soundstage.core.operation import AsyncFace, Kind, Operation, SyncFace

if TYPE_CHECKING:
    from soundstage.core.transfers import Source, Target

P = ParamSpec("P")
R = TypeVar("R")
I = TypeVar("I")  # noqa: E741

TAG_OF: TypeAlias = Callable[[Any], str]
"""What names the state of what was sent or found, as `ETag` does: no two states have the same."""

MATCHING: TypeAlias = Callable[[Any, Sequence[str] | None, Sequence[str] | None], Any]
"""A request that holds only if the state is one of the first tags, and none of the second; `*` stands for any."""

RANGE = ("start", "end")
"""Fields of a download's request: which bytes."""

INFO = b"soundstage-info"
"""The header of a response over HTTP that says what a download found."""

_FIELD = re.compile(r"\{([a-z_]+)\}")


class Content(Generic[I]):
    """What a download found: `info` of it, its whole `size`, and how the bytes from one place to another are read.

    `read` may be called more than once; what it gives is closed (`aclosing`) by who stops early.
    """

    __slots__ = ("info", "read", "size")

    def __init__(self, info: I, size: int, read: Callable[[int, int], AsyncGenerator[bytes]]) -> None:
        self.info: I = info
        self.size: int = size
        self.read: Callable[[int, int], AsyncGenerator[bytes]] = read


class Body:
    """What comes with an upload, to be read once. `size` is None where only the end will tell.

    `begun`: somebody reads it, or did.
    """

    __slots__ = ("_chunks", "begun", "size")

    def __init__(self, chunks: AsyncIterable[bytes], size: int | None) -> None:
        self._chunks = chunks
        self.size: int | None = size
        self.begun: bool = False

    async def parts(self) -> AsyncGenerator[bytes]:
        """The bytes, in parts of any length. Raises `InvalidArgument` when they are not as many as was announced."""
        self.begun, received = True, 0
        async for chunk in self._chunks:
            received += len(chunk)
            if self.size is not None and received > self.size:
                break
            yield chunk
        if self.size is not None and received != self.size:
            raise InvalidArgument(
                f"{self.size} bytes were announced, and {'more' if received > self.size else received} came",
                field="body",
                hint="send it again, whole",
            )


class StreamOperation(Operation[P, R]):
    """What both kinds declare besides: `place`, whose last parts are the fields `placed`, and what tags mean."""

    def __init__(
        self,
        request: Callable[P, Any],
        declared: Callable[[Any], R],
        *,
        place: str,
        access: Access,
        idempotent: bool,
        errors: tuple[type[SoundstageError], ...],
        tag: TAG_OF | None,
        matching: MATCHING | None,
    ) -> None:
        super().__init__(request, declared, access=access, idempotent=idempotent, errors=errors)
        self.place: str = place
        self.placed: tuple[str, ...] = tuple(_FIELD.findall(place))
        self.tag: TAG_OF | None = tag
        self.matching: MATCHING | None = matching
        missing = [name for name in self.placed if name not in self.request.__struct_fields__]
        if missing or not self.placed:
            raise TypeError(f"{self.request.__name__} has not the fields that {place!r} names")

    @property
    def path(self) -> str:
        return f"/v1/{self.system}/{self.place}"

    @property
    def prefix(self) -> str:
        """How every path of it begins."""
        return self.path.partition("{")[0]


class UploadOperation(StreamOperation[P, R]):
    """A declared upload; also the descriptor that gives both faces their typed methods.

    Its reply has the fields `size`, how many bytes came, and `checksum`, their 128-bit XXH3 in hexadecimal, by which a
    repetition is known.
    """

    kind: ClassVar[Kind] = "upload"
    method: ClassVar[str] = "PUT"

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> UploadOperation[P, R]: ...
    @overload
    def __get__(self, instance: AsyncFace, owner: type[Any]) -> AsyncUpload[P, R]: ...
    @overload
    def __get__(self, instance: SyncFace, owner: type[Any]) -> SyncUpload[P, R]: ...
    def __get__(
        self, instance: AsyncFace | SyncFace | None, owner: type[Any]
    ) -> UploadOperation[P, R] | AsyncUpload[P, R] | SyncUpload[P, R]:
        if instance is None:
            return self
        return AsyncUpload(self, instance) if isinstance(instance, AsyncFace) else SyncUpload(self, instance)


class DownloadOperation(StreamOperation[P, I]):
    """A declared download, whose `reply` is what is said of the bytes; also the descriptor for both faces.

    Where that has a field `checksum`, as the reply of an upload, clients hold it against what they read whole.
    """

    kind: ClassVar[Kind] = "download"
    method: ClassVar[str] = "GET"

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> DownloadOperation[P, I]: ...
    @overload
    def __get__(self, instance: AsyncFace, owner: type[Any]) -> AsyncDownload[P, I]: ...
    @overload
    def __get__(self, instance: SyncFace, owner: type[Any]) -> SyncDownload[P, I]: ...
    def __get__(
        self, instance: AsyncFace | SyncFace | None, owner: type[Any]
    ) -> DownloadOperation[P, I] | AsyncDownload[P, I] | SyncDownload[P, I]:
        if instance is None:
            return self
        return AsyncDownload(self, instance) if isinstance(instance, AsyncFace) else SyncDownload(self, instance)


def upload(
    request: Callable[P, Any],
    *,
    place: str,
    access: Access,
    idempotent: bool = False,
    errors: tuple[type[SoundstageError], ...] = (),
    tag: TAG_OF | None = None,
    matching: MATCHING | None = None,
) -> Callable[[Callable[[Any], R]], UploadOperation[P, R]]:
    """Declare the method below as an upload that is answered with what it is annotated to return.

    `tag` is of the reply, `matching` puts conditions by tags into a request. Raises `TypeError` for a `place` whose
    fields the request has not.
    """

    def declare(declared: Callable[[Any], R]) -> UploadOperation[P, R]:
        return UploadOperation(
            request,
            declared,
            place=place,
            access=access,
            idempotent=idempotent,
            errors=errors,
            tag=tag,
            matching=matching,
        )

    return declare


def download(
    request: Callable[P, Any],
    *,
    place: str,
    access: Access,
    errors: tuple[type[SoundstageError], ...] = (),
    tag: TAG_OF | None = None,
) -> Callable[[Callable[[Any], I]], DownloadOperation[P, I]]:
    """Declare the method below as a download of bytes that are described by what it is annotated to return.

    `tag` is of that. Raises `TypeError` as `upload` does, and for a request without the fields `start` and `end`.
    """

    def declare(declared: Callable[[Any], I]) -> DownloadOperation[P, I]:
        operation = DownloadOperation(
            request, declared, place=place, access=access, idempotent=True, errors=errors, tag=tag, matching=None
        )
        if not set(RANGE) <= set(operation.request.__struct_fields__):
            raise TypeError(f"{operation.request.__name__} needs `start: int = 0` and `end: int | None = None`")
        return operation

    return declare


def chosen_range(size: int, start: int, end: int | None) -> tuple[int, int]:
    """The bytes from `start` to before `end` that there are; a negative `start` counts from the end.

    Raises `InvalidArgument` for a range that begins behind the last byte, or ends before it begins.
    """
    first = max(0, size + start) if start < 0 else start
    last = size if end is None else min(end, size)
    if first > size or (end is not None and end < first):
        raise InvalidArgument(
            f"there are {size} bytes, of which {start} to {end} are no range",
            field="start" if first > size else "end",
            hint="start at most at the size, and end not before the start",
        )
    return first, max(first, last)


class AsyncUpload(Generic[P, R]):
    """An upload bound to an asynchronous client; call it with what is sent and the request's fields."""

    __slots__ = ("_face", "operation")

    def __init__(self, operation: UploadOperation[P, R], face: AsyncFace) -> None:
        self.operation: UploadOperation[P, R] = operation
        self._face = face

    def __call__(self, source: Source, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        face = self._face
        return face.invoker.upload(self.operation, face.request(self.operation, args, kwargs), source, face.options)


class SyncUpload(Generic[P, R]):
    """An upload bound to a synchronous client; call it with what is sent and the request's fields."""

    __slots__ = ("_face", "operation")

    def __init__(self, operation: UploadOperation[P, R], face: SyncFace) -> None:
        self.operation: UploadOperation[P, R] = operation
        self._face = face

    def __call__(self, source: Source, /, *args: P.args, **kwargs: P.kwargs) -> R:
        face, operation = self._face, self.operation
        return face.invoker.upload_sync(operation, face.request(operation, args, kwargs), source, face.options)


class AsyncDownload(Generic[P, I]):
    """A download bound to an asynchronous client; call it with the request's fields and open it by `async with`."""

    __slots__ = ("_face", "operation")

    def __init__(self, operation: DownloadOperation[P, I], face: AsyncFace) -> None:
        self.operation: DownloadOperation[P, I] = operation
        self._face = face

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Reading[I]:
        face = self._face
        request = face.request(self.operation, args, kwargs)
        return Reading(face.invoker.download(self.operation, request, face.options), request.start, request.end)


class SyncDownload(Generic[P, I]):
    """A download bound to a synchronous client; call it with the request's fields and open it by `with`."""

    __slots__ = ("_face", "operation")

    def __init__(self, operation: DownloadOperation[P, I], face: SyncFace) -> None:
        self.operation: DownloadOperation[P, I] = operation
        self._face = face

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> SyncReading[I]:
        face = self._face
        return face.invoker.download_sync(self.operation, face.request(self.operation, args, kwargs), face.options)


class Reading(Generic[I]):
    """A download, open within `async with`: `info`, the `size` of the whole, and the range that is read.

    Iterate it for the bytes in parts, once or more often; or `read` them, or `save` them.
    """

    def __init__(self, opening: AbstractAsyncContextManager[Content[I]], start: int, end: int | None) -> None:
        self._opening = opening
        self._asked = (start, end)
        self._content: Content[I] | None = None
        self.start: int = 0
        self.end: int = 0

    async def __aenter__(self) -> Reading[I]:
        content = await self._opening.__aenter__()
        try:
            self.start, self.end = chosen_range(content.size, *self._asked)
        except BaseException as error:
            await self._opening.__aexit__(type(error), error, error.__traceback__)
            raise
        self._content = content
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._content = None
        await self._opening.__aexit__(kind, error, trace)

    @property
    def info(self) -> I:
        """What is known of the whole."""
        return self._opened().info

    @property
    def size(self) -> int:
        """Of the whole, in bytes."""
        return self._opened().size

    def __aiter__(self) -> AsyncGenerator[bytes]:
        return self._opened().read(self.start, self.end)

    async def read(self) -> bytes:
        """All of the range, in memory."""
        async with aclosing(self.__aiter__()) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def save(self, to: Target) -> None:
        """`to` holds the range; a path is replaced at the end, whole. Raises `InvalidArgument` where that cannot be."""
        from soundstage.core.transfers import save

        async with aclosing(self.__aiter__()) as chunks:
            await save(chunks, to)

    def _opened(self) -> Content[I]:
        if self._content is None:
            raise InvalidArgument("this download is not open", hint="read it within `async with`, or `with`")
        return self._content


class SyncReading(Generic[I]):
    """The same for a synchronous client; `run` and `iterate` are those of its thread."""

    def __init__(
        self,
        reading: Reading[I],
        run: Callable[[Coroutine[Any, Any, Any]], Any],
        iterate: Callable[[AsyncGenerator[bytes]], Generator[bytes]],
    ) -> None:
        self._reading = reading
        self._run = run
        self._iterate = iterate

    def __enter__(self) -> SyncReading[I]:
        self._run(self._reading.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._reading.__aexit__(kind, error, trace))

    @property
    def info(self) -> I:
        """See `Reading.info`."""
        return self._reading.info

    @property
    def size(self) -> int:
        """See `Reading.size`."""
        return self._reading.size

    def __iter__(self) -> Iterator[bytes]:
        return self._iterate(self._reading.__aiter__())

    def read(self) -> bytes:
        """See `Reading.read`."""
        return self._run(self._reading.read())

    def save(self, to: Target) -> None:
        """See `Reading.save`."""
        self._run(self._reading.save(to))
