"""Bytes on their way to an object: in one request when there are few, else in parts, some at once.

Nobody sees any of them before `finish`, which sends the end of the object and makes it one; or, where the head of a
blob is another object, sends that one last.
"""

from __future__ import annotations

import asyncio
import zlib
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias

from soundstage.core.errors import SoundstageError, TooLarge, Unavailable
from soundstage.engines.blobs.s3.failures import Changed, Missing
from soundstage.engines.blobs.s3.layout import Seal, sealed, sums
from soundstage.engines.blobs.s3.link import Link, Unsure

PARTS_MAX = 10_000
"""That the API allows."""

INLINE_MAX_BYTES = 64 << 10
"""What is hashed where it is: a thread would take longer."""

InThread: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]


class Part(NamedTuple):
    """One part that the server has, as it wants to hear of it in the end."""

    number: int
    etag: str
    crc32: str

    def told(self, *, checksums: bool) -> dict[str, Any]:
        """The part in the list that completes an object."""
        named: dict[str, Any] = {"PartNumber": self.number, "ETag": self.etag}
        return {**named, "ChecksumCRC32": self.crc32} if checksums else named


class Upload:
    """One blob that is being sent to `name`, and its head to `head` if that is named; for one caller.

    Memory: `at_once` parts and two more.
    """

    def __init__(
        self,
        link: Link,
        name: str,
        *,
        head: str | None,
        part_bytes: int,
        at_once: int,
        checksums: bool,
        in_thread: InThread,
    ) -> None:
        self.size: int = 0
        self._link = link
        self._name = name
        self._head = head
        self._part_bytes = part_bytes
        self._at_once = at_once
        self._checksums = checksums
        self._in_thread = in_thread
        self._waiting: list[memoryview] = []
        self._waiting_bytes = 0
        self._sha256 = sha256()
        self._sums = bytearray()
        self._upload: str | None = None
        self._cut = 0
        self._sending: set[asyncio.Task[Part]] = set()
        self._sent: list[Part] = []
        self._headless = False

    @property
    def in_parts(self) -> bool:
        """Whether the last request completes an object of parts, as far as is known."""
        return self._upload is not None and self._head is None

    async def add(self, chunk: bytes) -> None:
        """`chunk` follows what was added before; waits while as many parts are under way as may be."""
        rest = memoryview(chunk)
        self.size += len(rest)
        while self._waiting_bytes + len(rest) > self._part_bytes:
            needed = self._part_bytes - self._waiting_bytes
            self._keep(rest[:needed])
            rest = rest[needed:]
            await self._send_part()
        self._keep(rest)

    async def finish(
        self, seal: Callable[[int, str], Seal], condition: Callable[[], Awaitable[Mapping[str, str]]]
    ) -> Seal:
        """The blob is there, with the seal that `seal` makes of size and sha256, under the last moment's condition.

        Raises what `seal` and `condition` raise, `Changed` and `Missing` when the condition does not hold, `Unsure`.
        """
        last = await self._taken()
        made = seal(self.size, self._sha256.hexdigest())
        head = b"".join((self._sums, sealed(made)))
        if self._head is None:
            await self._send_last(last + head, condition)
            return made
        self._headless = True
        await self._send_apart(last)
        checksum = await self._checksum(head)
        held: Mapping[str, Any] = await condition()
        try:
            await self._link.ask("put_object", reading=False, body=head, Key=self._head, **checksum, **held)
        except (Changed, Missing):
            raise
        except BaseException as error:
            # A head that may come to be there must find its bytes.
            self._headless = isinstance(error, SoundstageError) and error.outcome == "not_applied"
            raise
        self._headless = False
        return made

    async def _send_last(self, end: bytes, condition: Callable[[], Awaitable[Mapping[str, str]]] | None = None) -> None:
        """The object is there, and ends with `end`; without a condition its request may be repeated."""
        if self._upload is None:
            checksum = await self._checksum(end)
            held: Mapping[str, Any] = {} if condition is None else await condition()
            reading = condition is None
            await self._link.ask("put_object", reading=reading, body=end, Key=self._name, **checksum, **held)
            return
        await self._begin(end, await self._hashed(lambda: _crc32(end), len(end)))
        while self._sending:
            await self._hear()
        parts = [part.told(checksums=self._checksums) for part in sorted(self._sent)]
        held = {} if condition is None else await condition()
        await self._link.ask(
            "complete_multipart_upload",
            reading=condition is None,
            Key=self._name,
            UploadId=self._upload,
            MultipartUpload={"Parts": parts},
            **held,
        )
        self._upload = None

    async def _send_apart(self, last: bytes) -> None:
        """The bytes are an object, of which nobody knows before there is a head."""
        try:
            await self._send_last(last)
        except Missing:
            # An attempt whose answer was lost completed it, or the server has lost what was sent.
            found = await self._link.ask("head_object", reading=True, Key=self._name)
            if found["ContentLength"] != self.size:
                raise
            self._upload = None

    async def _checksum(self, data: bytes) -> dict[str, Any]:
        """What a request says of `data`, for the server to check."""
        return {"ChecksumCRC32": await self._hashed(lambda: _crc32(data), len(data))} if self._checksums else {}

    async def abort(self) -> None:
        """Nothing of it is left on the server, if that answers; what is left is found by its age. Never raises."""
        sending, self._sending = self._sending, set()
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        upload, self._upload = self._upload, None
        if upload is not None:
            with suppress(SoundstageError, Missing, Unsure):
                await self._link.ask("abort_multipart_upload", reading=False, Key=self._name, UploadId=upload)
        if self._headless:
            with suppress(SoundstageError, Missing, Unsure):
                await self._link.ask("delete_object", reading=False, Key=self._name)

    def _keep(self, data: memoryview) -> None:
        if data:
            self._waiting.append(data)
            self._waiting_bytes += len(data)

    async def _taken(self) -> bytes:
        """What was waiting, which is counted in the sums."""
        waiting, self._waiting = self._waiting, []
        size, self._waiting_bytes = self._waiting_bytes, 0
        return await self._hashed(lambda: self._digested(waiting), size)

    def _digested(self, waiting: list[memoryview]) -> bytes:
        data = b"".join(waiting)
        self._sha256.update(data)
        self._sums += sums(data)
        return data

    async def _send_part(self) -> None:
        data = await self._taken()
        if self._upload is None:
            algorithm: dict[str, Any] = {"ChecksumAlgorithm": "CRC32"} if self._checksums else {}
            answer = await self._link.ask("create_multipart_upload", reading=True, Key=self._name, **algorithm)
            self._upload = answer["UploadId"]
        await self._begin(data, await self._hashed(lambda: _crc32(data), len(data)))

    async def _begin(self, data: bytes, crc32: str) -> None:
        """A task sends the part; before, one of those under way has ended if there were too many."""
        while len(self._sending) >= self._at_once:
            await self._hear()
        self._cut += 1
        if self._cut > PARTS_MAX:
            most = self._part_bytes * PARTS_MAX
            raise TooLarge(
                f"the blob has more than {most} bytes, {PARTS_MAX} parts of {self._part_bytes}",
                hint="raise the engine's option part",
            )
        self._sending.add(asyncio.ensure_future(self._send(self._cut, data, crc32)))

    async def _hear(self) -> None:
        """At least one part has arrived; raises what became of one that has not."""
        done, self._sending = await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
        failures = [error for task in done if (error := task.exception()) is not None]
        if failures:
            raise failures[0]
        self._sent += [task.result() for task in done]

    async def _send(self, number: int, data: bytes, crc32: str) -> Part:
        checksum: dict[str, Any] = {"ChecksumCRC32": crc32} if self._checksums else {}
        try:
            # A part that is sent twice is one part, and none is an object.
            answer = await self._link.ask(
                "upload_part",
                reading=True,
                body=data,
                Key=self._name,
                UploadId=self._upload,
                PartNumber=number,
                **checksum,
            )
        except Missing:
            raise Unavailable(
                "the server knows nothing more of the upload: what was sent before is lost",
                hint="put the blob again",
                outcome="not_applied",
            ) from None
        return Part(number, answer["ETag"], crc32)

    async def _hashed(self, do: Callable[[], Any], size: int) -> Any:
        return do() if size <= INLINE_MAX_BYTES else await self._in_thread(do)


def _crc32(data: bytes) -> str:
    return b64encode(zlib.crc32(data).to_bytes(4, "big")).decode("ascii")
