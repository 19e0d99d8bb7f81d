"""The blobs port on one bucket.

What is there lies in the bucket alone, so any number of processes may have it open. An object is written by one
request that makes it whole or does nothing; where none may be, that request carries the condition. In the layout
`plain` that object is the head of a blob, which is written when the bytes are there and deleted before they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from types import MappingProxyType
from typing import Any, TypeVar

from cachetools import LRUCache

from soundstage.core.environment import Environment
from soundstage.core.errors import DataLoss, InvalidArgument, Unavailable
from soundstage.core.ids import uuid4_hex
from soundstage.core.together import all_or_none
from soundstage.engines.blobs import refusals
from soundstage.engines.blobs.port import (
    ANY,
    LIST_MAX,
    BlobCapability,
    BlobInfo,
    Expectation,
    Usage,
    check_key,
    check_metadata,
)
from soundstage.engines.blobs.s3.conditions import Condition, Conditions, ignored
from soundstage.engines.blobs.s3.failures import Changed, Missing
from soundstage.engines.blobs.s3.layout import SEAL_BYTES, Foreign, Seal, blob_bytes
from soundstage.engines.blobs.s3.link import Link, Unsure
from soundstage.engines.blobs.s3.names import Names
from soundstage.engines.blobs.s3.options import Address
from soundstage.engines.blobs.s3.reading import TAIL_BYTES, Look, Replaced, Stream, look
from soundstage.engines.blobs.s3.room import Room
from soundstage.engines.blobs.s3.strays import Strays, drop
from soundstage.engines.blobs.s3.uploading import Upload

log: logging.Logger = logging.getLogger("soundstage.engines.blobs")

T = TypeVar("T")

_THREADS = 2
_LOOKS_MAX = 16
"""How often a read looks again for a blob that is replaced at that very moment."""

_LOOKS_AT_ONCE = 32
_KNOWN_MAX = 10_000
"""Blobs whose info is kept, some 500 bytes each: a list of them costs one request a thousand."""

_ABORTING_S = 5.0
"""How long a stop waits for what is left of puts to be cleared away."""

LEFT_OVER_US = 24 * 3_600_000_000
"""Parts of an object that was begun so long ago and not ended belong to nobody."""


class S3Blobs:
    """Durable, shared, in several processes; not for use from several event loops."""

    def __init__(self, address: Address, environment: Environment) -> None:
        self.capabilities: frozenset[BlobCapability] = frozenset({BlobCapability.DURABLE, BlobCapability.SHARED})
        self._environment = environment
        self._options = address.options
        self._names = Names(address.prefix, address.options.layout)
        self._link = Link(address, environment)
        self._conditions = Conditions(
            self._link, self._names.expiring, environment, checksums=address.options.checksums
        )
        self._strays = Strays(self._link, self._names)
        self._room = Room(self.usage, address.options.quota, environment)
        self._known: LRUCache[tuple[str, str], BlobInfo] = LRUCache(_KNOWN_MAX)
        self._aborting: set[asyncio.Task[None]] = set()
        self._executor: ThreadPoolExecutor | None = None

    @property
    def warning(self) -> str | None:
        """Why the server does not do what it is asked; None when it does, or was not asked."""
        return self._link.trouble or self._conditions.warning

    async def start(self) -> None:
        await self._link.start()
        try:
            await self._check_layout()
        except BaseException:
            await self._link.stop()
            raise
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")

    async def stop(self) -> None:
        executor, self._executor = self._executor, None
        if self._aborting:
            await asyncio.wait(self._aborting, timeout=_ABORTING_S)
        await self._link.stop()
        if executor is not None:
            executor.shutdown()

    async def put(
        self,
        key: str,
        chunks: AsyncIterable[bytes],
        *,
        expect: Expectation = ANY,
        expires_us: int = 0,
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> BlobInfo:
        self._check_open()
        check_key(key)
        said = check_metadata(metadata)
        refusals.check_expiry(expires_us, self._environment.now_us())
        if expect.absent:
            parts = not self._is_plain and (expect.size or 0) > self._options.part
            await self._conditions.check_absent(parts=parts)
            await self._dead(key)
        number = uuid4_hex(self._environment)
        upload = self._upload(key, number)

        def seal(size: int, sha256: str) -> Seal:
            refusals.check_whole(size, sha256, expect)
            self._check_open()
            now_us = self._environment.now_us()
            info = BlobInfo(key=key, size=size, sha256=sha256, created_us=now_us, expires_us=expires_us, metadata=said)
            return Seal(info, number)

        try:
            with self._room.coming() as coming:
                async for chunk in chunks:
                    self._check_open()
                    coming.add(len(chunk))
                    refusals.check_growth(upload.size + len(chunk), expect)
                    await self._room.check(expect)
                    await upload.add(chunk)
                if expires_us:
                    await self._mark(key, expires_us)
                info = await self._committed(key, upload, seal, number, expect)
                self._room.put(info.size)
        except BaseException:
            self._abort(upload)
            raise
        if info.expires_us and not info.is_live(self._environment.now_us()):
            # The sweeper may have seen the mark before there was a blob to delete.
            await self._mark(key, expires_us)
        return info

    async def head(self, key: str) -> BlobInfo:
        self._check_open()
        return (await self._live(check_key(key))).seal.info

    async def open(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        self._check_open()
        check_key(key)
        before = ""
        for _ in range(_LOOKS_MAX):
            seen = await self._live(key, TAIL_BYTES)
            last = refusals.check_range(seen.seal.info, start, end)
            apart = self._names.bytes(key, seen.seal.put)
            try:
                async with aclosing(Stream(self._link, seen, start, last, apart).chunks()) as stream:
                    async for chunk in stream:
                        self._check_open()
                        yield chunk
                return
            except Replaced:
                self._check_open()
                if apart is not None and seen.seal.put == before:
                    raise _damaged(key, Foreign("its bytes are missing, or others")) from None
                before = seen.seal.put
        raise Unavailable(f"the blob {key!r} keeps being replaced", hint="read it again", outcome="not_applied")

    async def delete(self, key: str) -> bool:
        self._check_open()
        try:
            seen = await self._look(self._names.head(check_key(key)))
        except Missing:
            return False
        except Foreign:
            seen = None
        await self._delete(self._names.head(key))
        if seen is None:
            return True
        await self._drop_bytes(seen)
        return seen.seal.info.is_live(self._environment.now_us())

    async def list(self, prefix: str = "", after: str = "", limit: int = LIST_MAX) -> list[BlobInfo]:
        self._check_open()
        refusals.check_limit(limit)
        found: list[BlobInfo] = []
        begin = self._names.head(after) if after else ""
        async for page in self._pages(self._names.head(prefix), begin, limit):
            for at in range(0, len(page), _LOOKS_AT_ONCE):
                infos = await all_or_none([self._info(each) for each in page[at : at + _LOOKS_AT_ONCE]])
                now_us = self._environment.now_us()
                found += [info for info in infos if info is not None and info.is_live(now_us)]
                if len(found) >= limit:
                    return found[:limit]
        return found

    async def usage(self) -> Usage:
        self._check_open()
        blobs = size = 0
        async for page in self._pages(self._names.heads, "", LIST_MAX):
            blobs += len(page)
            size += sum(blob_bytes(each["Size"]) for each in page)
        if self._is_plain:
            pages = self._pages(self._names.files, "", LIST_MAX)
            size = sum([sum(each["Size"] for each in page) async for page in pages])
        return Usage(blobs, size)

    async def sweep(self, limit: int) -> int:
        """See `Blobs`. What processes that died have left of their puts is cleared away too, a day later or two.

        Blobs that were replaced or deleted before they expired count towards `limit` too, but not in the answer. Where
        the server takes no notice of a condition on deletes, what has expired stays in the bucket, unseen.
        """
        self._check_open()
        await self._clear_left_over()
        swept = seen = 0
        async for page in self._pages(self._names.expiring, "", LIST_MAX):
            for each in page:
                name: str = each["Key"]
                expires, _, key = name.removeprefix(self._names.expiring).partition("/")
                if not expires.isdecimal() or int(expires) > self._environment.now_us():
                    return swept
                if not await self._conditions.known(Condition.DELETE):
                    return swept
                swept += await self._expire(key)
                await self._delete(name)
                seen += 1
                if seen >= limit:
                    return swept
        return swept

    async def server_version(self) -> str:
        """What the server calls itself, and which conditions it takes no notice of. Raises `Unavailable`."""
        answer = await self._page(self._names.heads, "", 1)
        for condition in Condition:
            if not (self._is_plain and condition == Condition.PARTS):
                await self._conditions.known(condition)
        said = str(answer["ResponseMetadata"]["HTTPHeaders"].get("server", "S3"))
        warned = self._conditions.warning
        return f"{said}; {warned}" if warned else said

    async def _committed(
        self, key: str, upload: Upload, seal: Callable[[int, str], Seal], number: str, expect: Expectation
    ) -> BlobInfo:
        """The blob is there; what a lost answer leaves open is found out by the number of this put."""
        replaced = list[Look]()

        async def condition() -> Mapping[str, str]:
            if expect.absent:
                return await self._condition(key, parts=upload.in_parts)
            if self._is_plain:
                with suppress(Missing, Foreign):
                    replaced.append(await self._look(self._names.head(key)))
            return {}

        async def done(info: BlobInfo) -> BlobInfo:
            for each in replaced:
                await self._drop_bytes(each)
            return info

        try:
            return await done((await upload.finish(seal, condition)).info)
        except (Changed, Missing, Unsure) as stands:
            seen = await self._seen(key)
            if seen is not None and seen.seal.put == number:
                return await done(seen.seal.info)
            if expect.absent and seen is not None and seen.seal.info.is_live(self._environment.now_us()):
                raise refusals.exists(key) from None
            lost = isinstance(stands, Missing) and not expect.absent
            raise Unavailable(
                f"the server has lost what was sent of the blob {key!r}"
                if lost
                else f"the blob {key!r} was changed by others at the same moment",
                hint="put it again",
                outcome="unknown" if isinstance(stands, Unsure) else "not_applied",
            ) from None

    async def _condition(self, key: str, *, parts: bool) -> Mapping[str, str]:
        """Under which an object is written where no live blob may be; raises `AlreadyExists`."""
        await self._conditions.check_absent(parts=parts)
        expired = await self._dead(key)
        if expired is not None:
            if not await self._conditions.known(Condition.DELETE):
                raise ignored(self._link.bucket, Condition.DELETE, f"delete {key!r}, which has expired, before")
            # Whatever becomes of it: that nothing is there then is the condition of the write.
            with suppress(Missing, Changed):
                await self._link.ask("delete_object", reading=True, Key=expired.name, IfMatch=expired.etag)
            await self._drop_bytes(expired)
        return {"IfNoneMatch": "*"}

    async def _dead(self, key: str) -> Look | None:
        """The object of a blob that has expired, None for none; raises `AlreadyExists` for one that is live."""
        seen = await self._seen(key)
        if seen is not None and seen.seal.info.is_live(self._environment.now_us()):
            raise refusals.exists(key)
        return seen

    async def _seen(self, key: str) -> Look | None:
        try:
            return await self._look(self._names.head(key))
        except Missing:
            return None
        except Foreign as error:
            raise _damaged(key, error) from None

    async def _live(self, key: str, tail_bytes: int = SEAL_BYTES) -> Look:
        try:
            seen = await self._look(self._names.head(key), tail_bytes)
        except Missing:
            raise refusals.no_blob(key) from None
        except Foreign as error:
            raise _damaged(key, error) from None
        if not seen.seal.info.is_live(self._environment.now_us()):
            raise refusals.no_blob(key)
        return seen

    async def _info(self, listed: Mapping[str, Any]) -> BlobInfo | None:
        """The blob of an object of a list; None when it is gone by now, or none of ours."""
        name, etag = listed["Key"], listed["ETag"]
        known = self._known.get((name, etag))
        if known is not None:
            return known
        try:
            check_key(name.removeprefix(self._names.heads))
            seen = await self._look(name)
        except Missing:
            return None
        except (Foreign, InvalidArgument) as error:
            log.error("an object among the blobs is none", extra={"object": name, "reason": str(error)})
            return None
        self._known[name, seen.etag] = seen.seal.info
        return seen.seal.info

    async def _expire(self, key: str) -> bool:
        """The blob is gone if it has expired and nobody has replaced it meanwhile."""
        try:
            seen = await self._look(self._names.head(key))
            if seen.seal.info.is_live(self._environment.now_us()):
                return False
            await self._link.ask("delete_object", reading=False, Key=seen.name, IfMatch=seen.etag)
        except (Missing, Changed, Unsure, Foreign):
            return False
        await self._drop_bytes(seen)
        return True

    async def _look(self, name: str, tail_bytes: int = SEAL_BYTES) -> Look:
        """See `look`."""
        return await look(self._link, name, tail_bytes, apart=self._is_plain)

    async def _drop_bytes(self, gone: Look) -> None:
        """The bytes of a put whose head is gone are gone too, where they are an object of their own; or a day later."""
        apart = self._names.bytes(gone.seal.info.key, gone.seal.put)
        if apart is not None:
            await drop(self._link, apart)

    async def _clear_left_over(self) -> None:
        limit_us = self._environment.now_us() - LEFT_OVER_US
        for prefix in (self._names.files if self._is_plain else self._names.heads, self._names.expiring):
            await self._clear_begun_before(limit_us, prefix)
        if self._is_plain and self._strays.is_due(limit_us):
            await self._strays.clear(limit_us, await self._page(self._names.files, self._strays.after, LIST_MAX))

    async def _clear_begun_before(self, limit_us: int, prefix: str) -> None:
        answer = await self._link.ask("list_multipart_uploads", reading=True, Prefix=prefix, MaxUploads=100)
        for each in answer.get("Uploads", ()):
            if each["Initiated"].timestamp() * 1e6 < limit_us:
                try:
                    await self._link.ask(
                        "abort_multipart_upload", reading=False, Key=each["Key"], UploadId=each["UploadId"]
                    )
                except (Missing, Unsure):
                    continue

    async def _mark(self, key: str, expires_us: int) -> None:
        """What will expire is known to the sweeper, before it is there."""
        name = f"{self._names.expiring}{expires_us:020d}/{key}"
        await self._link.ask("put_object", reading=True, body=b"", Key=name)

    async def _delete(self, name: str) -> None:
        try:
            await self._link.ask("delete_object", reading=False, Key=name)
        except (Missing, Unsure):
            return

    async def _page(self, prefix: str, after: str, limit: int) -> Any:
        begin: dict[str, Any] = {"StartAfter": after} if after else {}
        return await self._link.ask("list_objects_v2", reading=True, Prefix=prefix, MaxKeys=limit, **begin)

    async def _pages(self, prefix: str, after: str, limit: int) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        """The objects with the prefix after a name, in order, some at a time."""
        while True:
            answer = await self._page(prefix, after, limit)
            page = answer.get("Contents", ())
            if page:
                yield page
                after = page[-1]["Key"]
            if not page or not answer.get("IsTruncated"):
                return

    async def _check_layout(self) -> None:
        """Raises `InvalidArgument` where blobs lie in the other layout."""
        await self._page(self._names.heads, "", 1)
        found = (await self._page(self._names.others, "", 1)).get("Contents", ())
        if any(each["Key"].startswith(self._names.others) for each in found):
            used = "packed" if self._is_plain else "plain"
            raise InvalidArgument(
                f"the blobs in {self._link.bucket!r} under this prefix have the layout {used}",
                field="layout",
                hint=f"write layout={used}, or name another prefix",
            )

    def _upload(self, key: str, number: str) -> Upload:
        head, apart = self._names.head(key), self._names.bytes(key, number)
        return Upload(
            self._link,
            head if apart is None else apart,
            head=None if apart is None else head,
            part_bytes=self._options.part,
            at_once=self._options.parts_at_once,
            checksums=self._options.checksums,
            in_thread=self._in_thread,
        )

    def _abort(self, upload: Upload) -> None:
        """What was sent of a put is cleared away, without the caller, who may have gone."""
        task = asyncio.ensure_future(upload.abort())
        self._aborting.add(task)
        task.add_done_callback(self._aborting.discard)

    async def _in_thread(self, do: Callable[[], T]) -> T:
        if self._executor is None:
            raise refusals.stopped()
        return await asyncio.get_running_loop().run_in_executor(self._executor, do)

    @property
    def _is_plain(self) -> bool:
        return self._names.layout == "plain"

    def _check_open(self) -> None:
        if self._executor is None:
            raise refusals.stopped()


def _damaged(key: str, error: Foreign) -> DataLoss:
    return DataLoss(f"the blob {key!r} is not what was written: {error}", hint="restore it, or write it again")
