"""The job that takes what a namespace shows to one file of Parquet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from soundstage.core.dictionaries import PREFIX
from soundstage.core.environment import Environment
from soundstage.core.errors import DataLoss, NotFound, TooLarge
from soundstage.core.files import File
from soundstage.data.kv.chunks import MissingChunk, read_whole
from soundstage.data.kv.large_values import WHOLE_MAX_BYTES, lost
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.parquet.rows import DICTIONARIES, Apart, Rows, shape
from soundstage.data.kv.shelf import content_of
from soundstage.data.parquet.files import ReadRange
from soundstage.data.parquet.footers import Footer
from soundstage.data.parquet.library import compute
from soundstage.data.parquet.writing import GROUP_BYTES, GROUP_ROWS, PartedFile, Parts
from soundstage.engines.records.port import Budget, Statistics
from soundstage.runtime.transfer.reading import Compute
from soundstage.runtime.work.context import JobContext

_PAGE = Budget(rows=2_000, bytes=1 << 20)


class ExportState(msgspec.Struct):
    """The checkpoint: `position` None is the beginning, or the end once it has `ended`."""

    generation: int
    begun_us: int
    position: bytes | None = None
    ended: bool = False
    last: bytes = b""
    records: int = 0
    items: int = 0
    size: int = 0
    left_out: int = 0
    parts: list[Parts] = []
    dictionaries: dict[str, str] = {}
    """Where the dictionaries that codecs name were put aside."""


class ParquetExport:
    """One attempt at an export; `serve` gives the namespace as it is by then."""

    def __init__(
        self,
        serve: Callable[[], ServedNamespace],
        value_max: int | None,
        job: JobContext,
        environment: Environment,
        compute: Compute,
    ) -> None:
        self._serve = serve
        self._value_max = value_max
        self._job = job
        self._environment = environment
        self._compute = compute
        self._rows = Rows()
        begun = ExportState(serve().view.generation, environment.now_us()) if job.state is None else _decode(job.state)
        self.state: ExportState = begun
        self._file = PartedFile(begun.parts, shape(), job, compute)

    async def run(self, name: str, read: Callable[[File], ReadRange]) -> File:
        """The file, whole and checked. `read` gives the bytes of one that was kept."""
        if not self.state.ended:
            await self._read()
        dictionaries = {codec: await self._file.read_aside(part) for codec, part in self.state.dictionaries.items()}
        footer = self._footer(name)
        file = await self._file.write(name, footer, _texts(dictionaries))
        await self._file.prove(file, read(file), footer, ("key", "value"), _bytes_in)
        return file

    def _footer(self, name: str) -> Footer:
        state = self.state
        return Footer(
            namespace=name,
            exported_us=state.begun_us,
            items=state.items,
            bytes=state.size,
            left_out=state.left_out,
        )

    async def _read(self) -> None:
        state, likely = self.state, await self._estimate()
        while not state.ended:
            served = self._serve()
            if served.view.generation != state.generation:
                raise NotFound(f"the namespace {served.name!r} was deleted while it was exported", hint="try again")
            now_us = self._environment.now_us()
            page = await served.records.walk(served.table, 0, 1, state.position, _PAGE, now_us)
            apart, parts = await self._compute(self._rows.take, page.partitions, self._value_max), self._file.count
            await self._take_dictionaries(served)
            await self._bring(served, apart, now_us)
            for partition, _ in page.partitions:
                state.records += partition != state.last
                state.last = partition
            state.position, state.ended = page.position, page.position is None
            done = state.records
            self._job.progress(done, max(likely, done), "records", "reading")
            full = self._rows.bytes >= GROUP_BYTES or self._rows.count >= GROUP_ROWS
            # Parts that were put aside on the way count once all of their page is.
            if full or state.ended or self._file.count > parts:
                await self._put_aside(self._rows.count)
                await self._job.checkpoint(_encode(state))

    async def _take_dictionaries(self, served: ServedNamespace) -> None:
        """Those that the rows name are put aside as they are met: later they may be gone with the last such value."""
        for codec in self._rows.dictionaries() - set(self.state.dictionaries):
            try:
                content = await content_of(served.view.records, served.values_table, codec)
            except (NotFound, DataLoss):
                # Such a value can be undone by nobody.
                continue
            part = f"{self._job.fence}-{codec.removeprefix(PREFIX)}"
            await self._job.put_aside(part, content)
            self.state.dictionaries[codec] = part

    async def _bring(self, served: ServedNamespace, apart: list[Apart], now_us: int) -> None:
        """Values that lie in chunks, a few in memory at a time."""
        gone = 0
        for each in apart:
            moved = each._replace(place=each.place - gone)
            self._rows.bring(moved, await _value_of(served, each, now_us))
            if self._rows.bytes >= GROUP_BYTES:
                gone += moved.place + 1
                await self._put_aside(moved.place + 1)

    async def _put_aside(self, count: int) -> None:
        """The first `count` rows are kept; they count once there is a checkpoint."""
        rows = self._rows.split(count)
        if not count:
            return
        await self._file.put_aside(await self._compute(rows.packed))
        self.state.items += count
        self.state.size += rows.tally()
        self.state.left_out += rows.columns[2].count(None)

    async def _estimate(self) -> int:
        served = self._serve()
        records = served.view.records
        return (await records.statistics(served.table)).partitions if isinstance(records, Statistics) else 0


def _bytes_in(batch: Any) -> int:
    """Bytes of the keys and values of a batch. For a thread."""
    pc = compute()
    return sum(pc.sum(pc.binary_length(batch.column(name))).as_py() or 0 for name in ("key", "value"))


async def _value_of(served: ServedNamespace, apart: Apart, now_us: int) -> bytes:
    manifest = apart.manifest
    if manifest.size > WHOLE_MAX_BYTES:
        raise TooLarge(
            f"the value of {apart.key[:80]!r} in the record {apart.partition[:80]!r} has {manifest.size} bytes, and a "
            f"row of Parquet takes {WHOLE_MAX_BYTES}",
            field="max_value_bytes",
            hint="leave larger ones out by max_value_bytes, and get them by get_value; `namespaces export` takes all",
        )
    try:
        return await read_whole(served, manifest)
    except MissingChunk:
        raise await lost(served, apart.partition, apart.key, manifest, now_us) from None


def _texts(dictionaries: dict[str, bytes]) -> dict[bytes, bytes]:
    return {DICTIONARIES: msgspec.msgpack.encode(dictionaries)} if dictionaries else {}


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ExportState).decode
