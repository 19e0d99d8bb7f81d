"""Files of a stage: sent by callers and left by jobs, kept as blobs until they expire.

A file is the blob `files/<two digits>/<id>`; its sender's name and id, its name and its media type
are the blob's metadata.
Its bytes may be read by whoever sent it, by who may read one of the namespaces it belongs to, and by who may
read the name `blobs`, which stands for all files.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from typing import Literal

from soundstage.core.call import LOCAL, Principal
from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted, Forbidden, InvalidArgument, NotFound
from soundstage.core.files import BLOB_PATTERN, DEFAULT_MEDIA_TYPE, File
from soundstage.core.ids import uuid4_hex, uuid7
from soundstage.core.time import Duration
from soundstage.core.transfers import FileAccess, Source, blob_of, supply_of
from soundstage.engines.blobs.port import BlobInfo, Blobs, Expectation
from soundstage.runtime.access import allows, allows_all_files, authorise
from soundstage.runtime.config import FilesConfig

ASIDE = "aside"
"""Where blobs lie that are no files."""

NAME_MAX_CHARS = 255
MEDIA_TYPE_MAX_CHARS = 127
TTL_MIN_US = 1_000_000
TTL_MAX_US = 3_650 * 86_400_000_000

_ID = re.compile(BLOB_PATTERN)


class Files(FileAccess):
    """The files of a stage. Errors are those of the blobs port, with what callers may do about them.

    `received` and `sent` count bytes, of files that were kept and of what was read.
    """

    def __init__(self, blobs: Blobs, config: FilesConfig, environment: Environment) -> None:
        self.received: int = 0
        self.sent: int = 0
        self._coming = 0
        self._blobs = blobs
        self._config = config
        self._environment = environment

    async def upload(
        self,
        source: Source,
        *,
        name: str | None = None,
        media_type: str = DEFAULT_MEDIA_TYPE,
        ttl: Duration | None = None,
    ) -> File:
        supply = await supply_of(source)
        async with aclosing(supply.chunks()) as chunks:
            return await self.put(
                chunks,
                name=supply.name if name is None else name,
                media_type=media_type,
                size=supply.size,
                ttl_us=None if ttl is None else ttl.us,
            )

    async def info(self, file: File | str) -> File:
        return file_of(await self.find(blob_of(file)))

    def open(self, file: File | str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        return self.read(blob_of(file), start=start, end=end)

    async def put(
        self,
        chunks: AsyncIterable[bytes],
        by: Principal = LOCAL,
        *,
        blob: str | None = None,
        name: str = "",
        media_type: str = DEFAULT_MEDIA_TYPE,
        size: int | None = None,
        sha256: str | None = None,
        namespaces: Sequence[str] = (),
        ttl_us: int | None = None,
        job: str = "",
    ) -> File:
        """The file is kept, durably, for `ttl_us` (`files.ttl`); or nothing of it is.

        `blob` is an id that the sender chose, such as `new_id` gives; it is `AlreadyExists` when such a file is there.
        Files of a `job` are found by `of_job`. Raises `Forbidden` without the access `write` on `blobs` or anywhere,
        `InvalidArgument` for what is not as announced, `TooLarge`, and `Exhausted` when the quota is used up.
        """
        authorise(by, "write", (), "send files")
        chosen = self._id_for(job) if blob is None else check_blob(blob)
        await self._check_quota(size or 0)
        expect = Expectation(
            size=size,
            sha256=sha256,
            max_bytes=int(self._config.size_max),
            # Other processes send files too, and only the engine knows of all of them.
            most_in_all=int(self._config.quota),
            absent=bool(blob or job),
        )
        metadata = {
            "name": check_name(name),
            "media_type": check_media_type(media_type),
            "by": by.name,
            "owner": by.id,
            "namespaces": " ".join(namespaces),
            "job": job,
        }
        ttl = check_ttl(self._config.ttl.us if ttl_us is None else ttl_us)
        async with aclosing(self._within_quota(chunks)) as bounded:
            info = await self._blobs.put(
                _key(chosen),
                bounded,
                expect=expect,
                expires_us=self._environment.now_us() + ttl,
                metadata=metadata,
            )
        self.received += info.size
        return file_of(info)

    async def find(self, blob: str, by: Principal = LOCAL) -> BlobInfo:
        """What is known of a file. Raises `NotFound`; `Forbidden` for who may not read it."""
        try:
            info = await self._blobs.head(_key(check_blob(blob)))
        except NotFound:
            raise _unknown(blob) from None
        if not _may(by, info, "read"):
            raise Forbidden(f"{by.name!r} may not read the file {blob}", hint="ask who sent it")
        return info

    async def read(
        self, blob: str, by: Principal = LOCAL, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes]:
        """The bytes of a file, or of a range of it, in chunks of at most 256 KiB; errors as for `find`."""
        info = await self.find(blob, by)
        async with aclosing(self._blobs.open(info.key, start, end)) as chunks:
            async for chunk in chunks:
                self.sent += len(chunk)
                yield chunk

    async def delete(self, file: File | str, by: Principal = LOCAL) -> bool:
        """The file is gone; whether it was there. Raises `Forbidden` for who neither sent it nor may write all."""
        blob = blob_of(file)
        try:
            info = await self.find(blob, by)
        except NotFound:
            return False
        if not _may(by, info, "write"):
            raise Forbidden(f"{by.name!r} may not delete the file {blob}", hint="ask who sent it")
        return await self._blobs.delete(info.key)

    async def put_aside(self, place: str, data: bytes, ttl_us: int) -> None:
        """`data` is kept at `place`, durably, for whoever put it there; nobody finds it among the files."""

        async def chunks() -> AsyncGenerator[bytes]:
            yield data

        async with aclosing(self._within_quota(chunks())) as bounded:
            expires_us = self._environment.now_us() + ttl_us
            expect = Expectation(most_in_all=int(self._config.quota))
            await self._blobs.put(f"{ASIDE}/{place}", bounded, expect=expect, expires_us=expires_us)

    def read_aside(self, place: str) -> AsyncGenerator[bytes]:
        """What was put aside, in chunks; `NotFound`."""
        return self._blobs.open(f"{ASIDE}/{place}")

    async def clear_aside(self, prefix: str) -> None:
        """Whatever was put aside at places that begin so is gone. Idempotent."""
        while found := await self._blobs.list(f"{ASIDE}/{prefix}"):
            for info in found:
                await self._blobs.delete(info.key)

    async def aside(self) -> list[str]:
        """Places where something was put aside, the first thousand."""
        return [info.key.removeprefix(f"{ASIDE}/") for info in await self._blobs.list(f"{ASIDE}/")]

    async def of_job(self, job_id: str) -> list[str]:
        """The ids of all files that were kept for a job, whether anything names them or not."""
        prefix, after = _prefix_of(job_id), ""
        found: list[str] = []
        while page := await self._blobs.list(prefix, after):
            after = page[-1].key
            found += [info.key.rpartition("/")[2] for info in page if info.metadata.get("job") == job_id]
        return found

    def new_id(self) -> str:
        """An id that no other file has."""
        return uuid7(self._environment)

    def _id_for(self, job: str) -> str:
        """An id; those of one job's files begin and end alike, so that few others lie among them."""
        return f"{job[:-12]}{uuid4_hex(self._environment)[:10]}{job[-2:]}" if job else self.new_id()

    async def _within_quota(self, chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
        """`chunks`, for as long as all files that are being sent fit."""
        mine = 0
        try:
            async for chunk in chunks:
                mine += len(chunk)
                self._coming += len(chunk)
                await self._check_quota(self._coming)
                yield chunk
        finally:
            self._coming -= mine

    async def _check_quota(self, more: int) -> None:
        usage = await self._blobs.usage()
        if usage.bytes + more > self._config.quota:
            raise Exhausted(
                f"the files of the stage hold {usage.bytes} bytes, the quota is {int(self._config.quota)}",
                hint="delete files, let them expire, or raise files.quota",
                retry_after_ms=60_000,
            )


def file_of(info: BlobInfo) -> File:
    """A file as messages name it."""
    return File(
        blob=info.key.rpartition("/")[2],
        name=info.metadata.get("name", ""),
        media_type=info.metadata.get("media_type", DEFAULT_MEDIA_TYPE),
        size=info.size,
        sha256=info.sha256,
    )


def check_blob(blob: str) -> str:
    """The id of a file: a UUID in small letters. Raises `InvalidArgument`."""
    if _ID.fullmatch(blob):
        return blob
    raise InvalidArgument(
        f"{blob[:40]!r} is no id of a file",
        field="blob",
        hint="ids are UUIDs in small letters, such as 01a217f9-a4fd-7a4f-b236-aa33a9622cb6",
    )


def check_name(name: str) -> str:
    """The name of a file, for people: up to 255 printable characters without slashes."""
    if len(name) <= NAME_MAX_CHARS and (name.isprintable() or not name) and "/" not in name and "\\" not in name:
        return name
    raise InvalidArgument(
        f"{name[:40]!r} is no name of a file", field="name", hint="up to 255 printable characters, without slashes"
    )


def check_media_type(media_type: str) -> str:
    """A media type as headers carry it."""
    kind, slash, rest = media_type.partition("/")
    fine = kind and slash and rest and media_type.isascii() and media_type.isprintable()
    if fine and len(media_type) <= MEDIA_TYPE_MAX_CHARS and "\n" not in media_type:
        return media_type
    raise InvalidArgument(
        f"{media_type[:40]!r} is no media type", field="media_type", hint='write one as "video/mp4", or leave it out'
    )


def check_ttl(ttl_us: int) -> int:
    """How long a file is kept: 1 s to ten years. Raises `InvalidArgument`."""
    if TTL_MIN_US <= ttl_us <= TTL_MAX_US:
        return ttl_us
    raise InvalidArgument(f"a file cannot be kept for {ttl_us} µs", field="ttl", hint='use "1s" to "3650d"')


def _key(blob: str) -> str:
    return f"files/{blob[-2:]}/{blob}"


def _prefix_of(job: str) -> str:
    """How the keys of a job's files begin."""
    return f"files/{job[-2:]}/{job[:-12]}"


def _may(principal: Principal, info: BlobInfo, access: Literal["read", "write"]) -> bool:
    if principal is LOCAL or principal.owns(info.metadata.get("owner", "")):
        return True
    if allows_all_files(principal, access):
        return True
    return access == "read" and any(
        allows(principal, access, name) for name in info.metadata.get("namespaces", "").split()
    )


def _unknown(blob: str) -> NotFound:
    return NotFound(f"there is no file {blob}", field="blob", hint="it may have expired; send it again")
