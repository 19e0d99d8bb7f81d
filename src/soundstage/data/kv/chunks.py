"""Writes, reads and drops the chunks of an upload."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Iterator
from typing import Any

from xxhash import xxh3_128

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.errors import DataLoss
from soundstage.data.kv.manifest import Manifest, chunk_cell, chunks_per_call, data_of, group_of, place_of
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.engines.records.port import ALL, Batch, Budget

AT_ONCE = 4
"""Calls to the store that are under way for one value, whether it is written or read."""

ANY_TIME = 0
"""Chunks do not expire, so that it does not matter when they are read."""

_ONE = Budget(rows=1, bytes=1)


class MissingChunk(Exception):
    """A chunk that a manifest tells of is not there, or not what was written."""


class ChunkWriter:
    """Writes one value as it comes, by a bounded number of calls at once. `close` it whatever happens.

    Nobody sees anything of it before a row has the manifest.
    """

    def __init__(
        self, served: ServedNamespace, upload: bytes, time_us: int, token: str, deadline_ns: int | None
    ) -> None:
        self._served = served
        self._upload = upload
        self._time_us = time_us
        self._token = token
        self._deadline_ns = deadline_ns
        self._chunk_bytes = int(served.config.chunk_bytes)
        self._per_call = chunks_per_call(self._chunk_bytes)
        self._buffer = bytearray()
        self._number = 0
        self._size = 0
        self._digest = xxh3_128()
        self._calls: deque[asyncio.Task[int]] = deque()

    async def write(self, data: bytes) -> None:
        """`data` follows; part of it may still be kept here."""
        self._digest.update(data)
        self._size += len(data)
        self._buffer += data
        whole = self._per_call * self._chunk_bytes
        while len(self._buffer) >= whole:
            with memoryview(self._buffer) as view:
                first = bytes(view[:whole])
            del self._buffer[:whole]
            await self._send(first)

    async def finish(self) -> Manifest:
        """All chunks are stored, as durably as writes are."""
        if self._buffer:
            await self._send(bytes(self._buffer))
            self._buffer.clear()
        while self._calls:
            await self._calls[0]
            self._calls.popleft()
        return Manifest(self._digest.digest(), self._size, self._chunk_bytes, self._upload)

    async def close(self) -> None:
        """Nothing of it is under way any more; idempotent."""
        calls, self._calls = self._calls, deque()
        await _ended(calls)

    async def _send(self, data: bytes) -> None:
        while len(self._calls) >= AT_ONCE:
            await self._calls[0]
            self._calls.popleft()
        parts = [data[at : at + self._chunk_bytes] for at in range(0, len(data), self._chunk_bytes)]
        cells = [
            (place_of(self._upload, number)[1], chunk_cell(self._time_us, self._token, part))
            for number, part in enumerate(parts, self._number)
        ]
        partition = place_of(self._upload, self._number)[0]
        self._number += len(parts)
        self._calls.append(asyncio.ensure_future(self._store(partition, Batch(cells=cells))))

    def _store(self, partition: bytes, batch: Batch) -> Coroutine[Any, Any, int]:
        served = self._served
        return served.records.apply(served.values_table, partition, batch, deadline_ns=self._deadline_ns)


async def read_chunks(
    served: ServedNamespace, manifest: Manifest, start: int = 0, end: int | None = None
) -> AsyncGenerator[bytes]:
    """The bytes of a value from `start` to before `end`, chunk by chunk, read a few ahead. Raises `MissingChunk`."""
    chunk_bytes, last = manifest.chunk_bytes, manifest.size if end is None else end
    calls: deque[asyncio.Task[list[bytes]]] = deque()
    wanted = _calls(start // chunk_bytes, -(-last // chunk_bytes), chunks_per_call(chunk_bytes))
    at = start - start % chunk_bytes
    try:
        while at < last:
            while len(calls) < AT_ONCE and (numbers := next(wanted, None)) is not None:
                calls.append(asyncio.ensure_future(_read(served, manifest, numbers)))
            for data in await calls[0]:
                whole = at >= start and at + len(data) <= last
                yield data if whole else data[max(0, start - at) : last - at]
                at += len(data)
            calls.popleft()
    finally:
        await _ended(calls)


async def read_whole(served: ServedNamespace, manifest: Manifest) -> bytes:
    """The value. Raises `MissingChunk`, and `DataLoss` where all chunks are whole and the value is another."""
    parts: list[bytes] = []
    digest = xxh3_128()
    async for data in read_chunks(served, manifest):
        digest.update(data)
        parts.append(data)
    if digest.digest() != manifest.digest:
        raise other_value(served, manifest)
    return b"".join(parts)


def other_value(served: ServedNamespace, manifest: Manifest) -> DataLoss:
    """All chunks are whole, and what they make up is not what the manifest tells of."""
    return DataLoss(
        f"the chunks of a value of {manifest.size} bytes in the namespace {served.name!r} are not those that "
        "were written",
        hint="write the value again; restore a backup if it is nowhere else",
    )


async def drop_chunks(served: ServedNamespace, upload: bytes, time_us: int, environment: Environment) -> int:
    """No chunk of the upload, which was written with that time, is left; returns how many groups there were.

    Writers go on in order, so that behind two groups in a row that are empty there are no others. The last goes
    first: what is cut off is found by the next call.
    """
    number, groups = 0, list[bytes]()
    while number - len(groups) < 2:
        partition = group_of(upload, number)
        found = await served.records.read(served.values_table, partition, ALL, _ONE, ANY_TIME)
        if found.rows or found.resume is not None:
            groups.append(partition)
        number += 1
    cell = version.delete(max(environment.now_us(), time_us + 1), upload.hex())
    for partition in reversed(groups):
        await served.records.apply(served.values_table, partition, Batch(partition=cell))
    return len(groups)


def _calls(first: int, end: int, per_call: int) -> Iterator[range]:
    """The chunks from `first` to before `end`, as calls take them: none across two groups."""
    while first < end:
        after = min(end, first - first % per_call + per_call)
        yield range(first, after)
        first = after


async def _read(served: ServedNamespace, manifest: Manifest, wanted: range) -> list[bytes]:
    try:
        return await _read_once(served, manifest, wanted)
    except MissingChunk:
        # What one replica, or one read of a disk, gave wrong is not lost yet.
        return await _read_once(served, manifest, wanted)


async def _read_once(served: ServedNamespace, manifest: Manifest, wanted: range) -> list[bytes]:
    partition, _ = place_of(manifest.upload, wanted[0])
    keys = [place_of(manifest.upload, number)[1] for number in wanted]
    page = await served.records.get(served.values_table, partition, keys, ANY_TIME)
    cells = dict(page.rows)
    found: list[bytes] = []
    for number, key in zip(wanted, keys, strict=True):
        data = data_of(cells[key]) if key in cells else None
        if data is None or len(data) != min(manifest.chunk_bytes, manifest.size - number * manifest.chunk_bytes):
            raise MissingChunk
        found.append(data)
    return found


async def _ended(calls: deque[asyncio.Task[Any]]) -> None:
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
