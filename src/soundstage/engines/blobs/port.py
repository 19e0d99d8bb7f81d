"""The blobs port: large objects by key, written and read as streams, never whole in memory.

A blob is immutable: a put replaces it whole or leaves what was there. Readers get the bytes of one put to
their end, however often the blob is replaced or deleted meanwhile. What is read is checked against the
checksums made when it was written.

To write another engine: implement `Blobs` and run `soundstage.testing.blobs.BlobsSuite` over it.
`soundstage.engines.blobs.memory` is the specification.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

from soundstage.core.errors import InvalidArgument

CHUNK_MAX_BYTES = 256 << 10
"""Readers get at most so much at once."""

KEY_MAX_CHARS = 512
METADATA_MAX_BYTES = 2_048
"""Names and values of a blob's metadata together, in UTF-8."""
METADATA_MAX_NAMES = 128
LIST_MAX = 1_000

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")


class BlobCapability(StrEnum):
    """What an engine can beyond `Blobs`; ask, never catch."""

    DURABLE = "durable"
    CHECKPOINT = "checkpoint"
    SHARED = "shared"
    """Stages with the same URL see the same blobs, those on other hosts too."""


class BlobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A blob without its bytes. `sha256` is of the whole, in hexadecimal; `expires_us` 0: never.

    `metadata` is what whoever put it says of it, and means nothing to the engine.
    """

    key: str
    size: int
    sha256: str
    created_us: int
    expires_us: int = 0
    metadata: dict[str, str] = {}

    def is_live(self, now_us: int) -> bool:
        """Whether the blob is there at `now_us`; absent from the microsecond of expiry on."""
        return self.expires_us == 0 or now_us < self.expires_us


class Usage(NamedTuple):
    """What an engine holds, expired blobs that were not swept yet included."""

    blobs: int
    bytes: int


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What a put must come to, else nothing is stored.

    `size` and `sha256` are those the sender announced; `max_bytes` is the most that is taken, and `most_in_all`
    the most that all blobs may have then, those that are being put at the same time included. With `absent` no
    live blob may be there.
    """

    size: int | None = None
    sha256: str | None = None
    max_bytes: int | None = None
    most_in_all: int | None = None
    absent: bool = False


ANY = Expectation()


class Blobs(Protocol):
    """The calls every engine has. Failures are those of `soundstage.core.errors`."""

    capabilities: frozenset[BlobCapability]

    async def start(self) -> None:
        """Open; what an earlier run acknowledged is there, what it did not is gone. Call once."""
        ...

    async def stop(self) -> None:
        """Closed; idempotent. Reads and puts under way end with `Unavailable`."""
        ...

    async def put(
        self,
        key: str,
        chunks: AsyncIterable[bytes],
        *,
        expect: Expectation = ANY,
        expires_us: int = 0,
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> BlobInfo:
        """The blob is what `chunks` gave, durably, or everything is as it was.

        `chunks` may be of any size. Raises `InvalidArgument` for a key that is none, for bytes that are not as
        expected, for an expiry that has passed and for metadata over 2 KiB or 128 names, `TooLarge` over `max_bytes`,
        `AlreadyExists`, `Exhausted` over the engine's quota or `most_in_all`, `Unavailable`; what `chunks` raises
        goes through.
        """
        ...

    async def head(self, key: str) -> BlobInfo:
        """The blob without its bytes; `NotFound`."""
        ...

    def open(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """The bytes from `start` to before `end` (None: the last), as chunks of at most `CHUNK_MAX_BYTES`.

        Raises at the first chunk: `NotFound`; `InvalidArgument` unless 0 <= start <= end <= size. `DataLoss`
        before a chunk that is not what was written.
        """
        ...

    async def delete(self, key: str) -> bool:
        """The blob is gone, durably; whether it was there. Idempotent."""
        ...

    async def list(self, prefix: str = "", after: str = "", limit: int = LIST_MAX) -> list[BlobInfo]:
        """Up to `limit` (1 to 1,000) live blobs whose keys begin with `prefix` and follow `after`, in byte order."""
        ...

    async def usage(self) -> Usage:
        """How many blobs there are and how many bytes they have."""
        ...

    async def sweep(self, limit: int) -> int:
        """Up to `limit` expired blobs are gone; how many."""
        ...


def check_key(key: str) -> str:
    """`key`, which is 1 to 512 of A-Z a-z 0-9 _ - . in parts between slashes, none of them beginning with a dot.

    Raises `InvalidArgument`.
    """
    if len(key) <= KEY_MAX_CHARS and _KEY.fullmatch(key):
        return key
    raise InvalidArgument(
        f"{key[:80]!r} is no key of a blob",
        field="key",
        hint=f"use 1 to {KEY_MAX_CHARS} of A-Z a-z 0-9 _ - . in parts between slashes that begin with no dot",
    )


def check_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """`metadata` as a dictionary; `InvalidArgument` over 2 KiB or 128 names."""
    size = sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())
    if size > METADATA_MAX_BYTES:
        raise InvalidArgument(
            f"the metadata has {size} bytes, the limit is {METADATA_MAX_BYTES}", field="metadata", hint="shorten it"
        )
    if len(metadata) > METADATA_MAX_NAMES:
        raise InvalidArgument(
            f"the metadata has {len(metadata)} names, the limit is {METADATA_MAX_NAMES}",
            field="metadata",
            hint="put several values under one name",
        )
    return dict(metadata)


@runtime_checkable
class BlobCheckpoints(Protocol):
    """`BlobCapability.CHECKPOINT`: copies of the whole engine in a folder of the caller's own machine, and back."""

    async def checkpoint(self, folder: str) -> int:
        """`folder`, which must not exist, holds every blob acknowledged before the call; returns how many.

        Raises `AlreadyExists`, and `Unavailable` when the disk refuses; having raised, it leaves no folder.
        """
        ...

    async def restore(self, folder: str) -> int:
        """The blobs of the checkpoint in `folder` are there, as they were; returns how many.

        Raises `NotFound` for a folder that is no checkpoint, `AlreadyExists` when a key is there, and then nothing is.
        """
        ...
