"""The blobs port in memory: the specification that other engines are compared with."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from types import MappingProxyType

from soundstage.core.environment import Environment
from soundstage.engines.blobs import refusals
from soundstage.engines.blobs.index import Index
from soundstage.engines.blobs.port import (
    ANY,
    CHUNK_MAX_BYTES,
    LIST_MAX,
    BlobCapability,
    BlobInfo,
    Expectation,
    Usage,
    check_key,
    check_metadata,
)


class MemoryBlobs:
    """Everything in one dictionary; not durable, but `start` after `stop` finds what was there.

    With `quota`, more bytes than that are refused.
    """

    def __init__(self, environment: Environment, quota: int | None = None) -> None:
        self.capabilities: frozenset[BlobCapability] = frozenset()
        self._environment = environment
        self._quota = quota
        self._index = Index()
        self._coming_bytes = 0
        self._contents: dict[str, bytes] = {}
        self._open = False

    async def start(self) -> None:
        self._open = True

    async def stop(self) -> None:
        self._open = False

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
        self._check_free(key, expect)
        refusals.check_expiry(expires_us, self._environment.now_us())
        content = bytearray()
        try:
            async for chunk in chunks:
                self._check_open()
                content += chunk
                self._coming_bytes += len(chunk)
                refusals.check_growth(len(content), expect)
                refusals.check_all(self._index.usage.bytes + self._coming_bytes, self._quota, expect)
        finally:
            # Nothing else runs between here and the end of this put.
            self._coming_bytes -= len(content)
        sha256 = hashlib.sha256(content).hexdigest()
        refusals.check_whole(len(content), sha256, expect)
        self._check_open()
        self._check_free(key, expect)
        now_us = self._environment.now_us()
        info = BlobInfo(
            key=key, size=len(content), sha256=sha256, created_us=now_us, expires_us=expires_us, metadata=said
        )
        self._contents[key] = bytes(content)
        self._index.put(info)
        return info

    async def head(self, key: str) -> BlobInfo:
        self._check_open()
        return self._live(key)

    async def open(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        self._check_open()
        last = refusals.check_range(self._live(key), start, end)
        content = self._contents[key]
        for at in range(start, last, CHUNK_MAX_BYTES):
            self._check_open()
            yield content[at : min(at + CHUNK_MAX_BYTES, last)]

    async def delete(self, key: str) -> bool:
        self._check_open()
        self._contents.pop(check_key(key), None)
        known = self._index.remove(key)
        return known is not None and known.is_live(self._environment.now_us())

    async def list(self, prefix: str = "", after: str = "", limit: int = LIST_MAX) -> list[BlobInfo]:
        self._check_open()
        refusals.check_limit(limit)
        return self._index.listed(prefix, after, self._environment.now_us(), limit)

    async def usage(self) -> Usage:
        self._check_open()
        return self._index.usage

    async def sweep(self, limit: int) -> int:
        self._check_open()
        expired = self._index.expired(self._environment.now_us(), limit)
        for key in expired:
            self._index.remove(key)
            del self._contents[key]
        return len(expired)

    def _live(self, key: str) -> BlobInfo:
        info = self._index.find(check_key(key))
        if info is None or not info.is_live(self._environment.now_us()):
            raise refusals.no_blob(key)
        return info

    def _check_free(self, key: str, expect: Expectation) -> None:
        known = self._index.find(key)
        if expect.absent and known is not None and known.is_live(self._environment.now_us()):
            raise refusals.exists(key)

    def _check_open(self) -> None:
        if not self._open:
            raise refusals.stopped()
