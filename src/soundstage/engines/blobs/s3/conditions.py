"""Which conditions the server takes notice of: each is found out once, before anything relies on it.

A server that does not know a condition does what it is asked without it, and says that all went well. So a request is
made whose condition cannot hold, on an object of our own, which lies among the marks of what will expire: one that a
process leaves behind goes with a sweep.
"""

from __future__ import annotations

import asyncio
import zlib
from base64 import b64encode
from contextlib import suppress
from enum import StrEnum
from typing import Any

from soundstage.core.environment import Environment
from soundstage.core.errors import SoundstageError, Unavailable
from soundstage.core.ids import uuid4_hex
from soundstage.engines.blobs.s3.failures import Changed, Missing
from soundstage.engines.blobs.s3.link import Link, Unsure

LEFT_FOR_US = 3_600_000_000
"""How long an object that a process leaves behind is there."""

_NO_TAG = f'"{"0" * 32}"'
_BYTE = b"?"


class Condition(StrEnum):
    """A condition, and of which request."""

    WHOLE = "If-None-Match on puts"
    PARTS = "If-None-Match on uploads in parts"
    DELETE = "If-Match on deletes"


class Conditions:
    """What is known of one server; `marks` is what the names of our objects begin with."""

    def __init__(self, link: Link, marks: str, environment: Environment, *, checksums: bool) -> None:
        self._link = link
        self._marks = marks
        self._environment = environment
        self._checksums = checksums
        self._known: dict[Condition, bool] = {}
        self._proving: dict[Condition, asyncio.Future[None]] = {}

    @property
    def warning(self) -> str | None:
        """Which conditions the server takes no notice of; None while it takes notice of all that were needed."""
        ignored = [condition for condition, known in self._known.items() if not known]
        return f"the server of {self._link.bucket!r} takes no notice of {', '.join(ignored)}" if ignored else None

    async def known(self, condition: Condition) -> bool:
        """Whether the server heeds it. Raises the port's errors, and then asks again the next time."""
        while condition not in self._known:
            proving = self._proving.get(condition)
            if proving is None:
                await self._prove(condition)
                continue
            await asyncio.wait((proving,))
            if not proving.cancelled():
                proving.result()
        return self._known[condition]

    async def _prove(self, condition: Condition) -> None:
        """It is known. Who asks meanwhile fails as this call does: in turn each would wait for a server that hangs."""
        proving = self._proving[condition] = asyncio.get_running_loop().create_future()
        try:
            self._known[condition] = await self._proved(condition)
            proving.set_result(None)
        except SoundstageError as error:
            proving.set_exception(error)
            # There may be nobody else; asyncio would complain that nobody looked.
            proving.exception()
            raise
        finally:
            del self._proving[condition]
            # Where this call was cancelled, another proves it.
            proving.cancel()

    async def check_absent(self, *, parts: bool) -> None:
        """Raises `Unavailable` where a put that may replace nothing would replace what others have put."""
        condition = Condition.PARTS if parts else Condition.WHOLE
        if not await self.known(condition):
            raise ignored(self._link.bucket, condition, "put without `absent`")

    async def _proved(self, condition: Condition) -> bool:
        left_us = self._environment.now_us() + LEFT_FOR_US
        name = f"{self._marks}{left_us:020d}/~{uuid4_hex(self._environment)}"
        await self._link.ask("put_object", reading=True, body=b"", Key=name)
        try:
            await self._tried(condition, name)
        except Changed:
            return True
        except Missing:
            # An attempt whose answer was lost did it, or somebody's sweep.
            raise Unavailable(
                f"it is not known whether the server of {self._link.bucket!r} heeds {condition}: what was sent is gone",
                hint="repeat the call",
                outcome="not_applied",
            ) from None
        else:
            return False
        finally:
            with suppress(SoundstageError, Missing, Unsure):
                await self._link.ask("delete_object", reading=False, Key=name)

    async def _tried(self, condition: Condition, name: str) -> None:
        """A request that a server which knows the condition refuses. None of them harms when it is made twice."""
        match condition:
            case Condition.WHOLE:
                await self._link.ask("put_object", reading=True, body=b"", Key=name, IfNoneMatch="*")
            case Condition.DELETE:
                await self._link.ask("delete_object", reading=True, Key=name, IfMatch=_NO_TAG)
            case Condition.PARTS:
                await self._tried_in_parts(name)

    async def _tried_in_parts(self, name: str) -> None:
        crc32 = b64encode(zlib.crc32(_BYTE).to_bytes(4, "big")).decode("ascii")
        algorithm: dict[str, Any] = {"ChecksumAlgorithm": "CRC32"} if self._checksums else {}
        checksum: dict[str, Any] = {"ChecksumCRC32": crc32} if self._checksums else {}
        begun = await self._link.ask("create_multipart_upload", reading=True, Key=name, **algorithm)
        which: dict[str, Any] = {"Key": name, "UploadId": begun["UploadId"]}
        try:
            sent = await self._link.ask("upload_part", reading=True, body=_BYTE, PartNumber=1, **which, **checksum)
            parts = [{"PartNumber": 1, "ETag": sent["ETag"], **checksum}]
            await self._link.ask(
                "complete_multipart_upload", reading=True, MultipartUpload={"Parts": parts}, IfNoneMatch="*", **which
            )
        finally:
            with suppress(SoundstageError, Missing, Unsure):
                await self._link.ask("abort_multipart_upload", reading=False, **which)


def ignored(bucket: str, condition: Condition, instead: str) -> Unavailable:
    """What relies on the condition is not done."""
    return Unavailable(
        f"the server of {bucket!r} takes no notice of {condition}: what others have put could be lost",
        hint=f"{instead}, or use a server that knows the condition",
        outcome="not_applied",
        retryable=False,
    )
