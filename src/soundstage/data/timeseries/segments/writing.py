"""A run of files from sorted rows, and the list of them, which is read back and proved."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from soundstage.core.errors import DataLoss
from soundstage.data.timeseries.segments.columns import FORMAT, Footer, Sorted, Sum, Writer
from soundstage.engines.blobs.port import Blobs
from soundstage.runtime.compute import Compute

LIST = "list"

Pace = Callable[[int], Awaitable[None]]
"""To be told of bytes that were read or written: returns when there may be more."""


class SegmentFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a run. `first` and `last` are the least and the greatest series in it."""

    key: str
    size: int
    rows: int
    first: str
    last: str
    sha256: str


class SegmentList(msgspec.Struct, frozen=True, kw_only=True):
    """The files of a run, in order."""

    format: int = FORMAT
    namespace: str
    slice_start_ns: int
    slice_end_ns: int
    settings: str
    rows: int
    bytes: int
    checksum: str
    files: list[SegmentFile]


class About(NamedTuple):
    """Of which slice a run is."""

    namespace: str
    start_ns: int
    end_ns: int
    settings: str


class Written(NamedTuple):
    """A run: its list, and of what it says the digest."""

    list: SegmentList
    digest: str


async def write_run(
    blobs: Blobs,
    run: str,
    about: About,
    groups: AsyncGenerator[list[Sorted]],
    file_size: int,
    compute: Compute,
    pace: Pace,
    check: Callable[[], None],
) -> Written:
    """`groups` are the row groups of files of about `file_size`, and their list is there, all of it durable."""
    files, total = list[SegmentFile](), Sum()
    group = await anext(groups, None)
    while group is not None:
        check()
        begun = _File(about, groups, group, file_size, compute, pace)
        info = await blobs.put(f"{run}/{len(files):05d}.parquet", begun.chunks())
        total = total.plus(begun.writer.sum)
        files.append(
            SegmentFile(
                key=info.key,
                size=info.size,
                rows=begun.writer.sum.rows,
                first=begun.first.decode(),
                last=begun.last.decode(),
                sha256=info.sha256,
            )
        )
        group = begun.next
    found = SegmentList(
        namespace=about.namespace,
        slice_start_ns=about.start_ns,
        slice_end_ns=about.end_ns,
        settings=about.settings,
        rows=total.rows,
        bytes=total.bytes,
        checksum=f"{total.checksum:032x}",
        files=files,
    )
    encoded = msgspec.json.encode(found)
    check()
    await blobs.put(f"{run}/{LIST}", _one(encoded))
    return Written(found, sha256(encoded).hexdigest())


def decoded_list(run: str, data: bytes, digest: str) -> SegmentList:
    """The list of a run. Raises `DataLoss` for one that is not what was written."""
    if sha256(data).hexdigest() != digest:
        raise DataLoss(f"the list of segments {run}/{LIST} is damaged", hint="restore it from a backup")
    return msgspec.json.decode(data, type=SegmentList)


class _File:
    """One file in the making; `next` is the first row group that has no room in it."""

    def __init__(
        self,
        about: About,
        groups: AsyncGenerator[list[Sorted]],
        group: list[Sorted],
        file_size: int,
        compute: Compute,
        pace: Pace,
    ) -> None:
        self.writer: Writer = Writer()
        self.next: list[Sorted] | None = group
        self.first: bytes = group[0][0]
        self.last: bytes = b""
        self._about = about
        self._groups = groups
        self._file_size = file_size
        self._compute = compute
        self._pace = pace

    async def chunks(self) -> AsyncGenerator[bytes]:
        while self.next is not None and (not self.last or self.writer.size < self._file_size):
            data: bytes = await self._compute.thread(self.writer.add, self.next)
            self.last = self.next[-1][0]
            await self._pace(len(data))
            yield data
            self.next = await anext(self._groups, None)
        yield await self._compute.thread(self.writer.finish, self._footer())

    def _footer(self) -> Footer:
        about, total = self._about, self.writer.sum
        return Footer(
            namespace=about.namespace,
            slice_start_ns=about.start_ns,
            slice_end_ns=about.end_ns,
            settings=about.settings,
            rows=total.rows,
            bytes=total.bytes,
            checksum=f"{total.checksum:032x}",
        )


async def _one(data: bytes) -> AsyncGenerator[Any]:
    yield data
