"""The job that puts the rows of a file of Parquet into a namespace, as writes like any other.

Rows go in piece by piece, each of some batches, and after a crash the piece that was begun goes in again. With versions
of the file's own that changes nothing. Else a piece is a write of the time it was begun at, with tokens that name job
and row, so that again it changes nothing; once it is too old for that, as deletes that must hide it may be forgotten,
it goes in as a write of now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from typing import Any, Literal, TypeAlias

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import (
    AlreadyExists,
    DataLoss,
    Exhausted,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
)
from soundstage.core.portions import portions
from soundstage.core.together import together
from soundstage.data.kv.dictionaries.dropping import adopt
from soundstage.data.kv.items import coded_metadata
from soundstage.data.kv.large_values import WHOLE_MAX_BYTES, with_chunks
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.parquet.columns import Bounds, Entry, cell_of, chosen, entries
from soundstage.data.kv.parquet.rows import dictionaries_of
from soundstage.data.kv.shelf import DICTIONARIES_MAX, content_of
from soundstage.data.parquet.files import ParquetFile
from soundstage.data.parquet.persistence import persistently
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Batch, Budget
from soundstage.runtime.transfer.reading import Compute, transfers_of
from soundstage.runtime.work.context import JobContext

Versions: TypeAlias = Literal["keep", "new"]

PIECE_ROWS = 32_768
PIECE_BYTES = 32 << 20
"""Put in between two checkpoints."""

WRITE_ITEMS = 1_000
WRITE_BYTES = 1 << 20
"""One write to a record has so much; one of a larger value has that."""

AT_ONCE = 32
"""Writes that are under way."""

_ANY = Budget(rows=1, bytes=1)


class ImportState(msgspec.Struct):
    """The checkpoint: `rows` are in, and the piece after them is a write of `time_us`."""

    generation: int
    begun_us: int
    time_us: int
    rows: int = 0
    items: int = 0
    size: int = 0
    expired: int = 0


class ParquetImport:
    """One attempt at an import; `serve` gives the namespace as it is by then."""

    def __init__(
        self,
        serve: Callable[[], ServedNamespace],
        file: ParquetFile,
        versions: Versions | None,
        environment: Environment,
        compute: Compute,
    ) -> None:
        self._serve = serve
        self._file = file
        self._keep = versions == "keep" or (versions is None and file.footer is not None)
        self._columns = chosen(file.schema, keep=self._keep)
        self._carried = dictionaries_of(file.texts)
        self._dictionaries: dict[str, bytes] = {}
        self._named: dict[str, bytes] = {}
        self._environment = environment
        self._compute = compute

    async def check(self) -> None:
        """Raises what can be seen to be wrong before anything is written."""
        self._file.check_whole()
        footer = self._file.footer
        if footer is not None and footer.left_out:
            raise InvalidArgument(
                f"{footer.left_out} values were left out of the file when it was exported",
                field="file",
                hint="export without max_value_bytes; or filter the file: WHERE value IS NOT NULL",
            )
        served = self._serve()
        if not self._keep:
            return
        dump = await transfers_of(served.view.records, served.name, "namespace").dump(served.table, None, _ANY)
        if dump.holdings or dump.position is not None or served.view.truncated is not None:
            raise AlreadyExists(
                f"the namespace {served.name!r} holds something, or traces of what was deleted",
                field="namespace",
                hint="make another one, as versions are kept only where nothing was before; or give `versions` new",
            )

    async def run(self, job: JobContext) -> ImportState:
        """All rows are in."""
        if job.state is None:
            await self.check()
            served = self._serve()
            state = ImportState(served.view.generation, self._environment.now_us(), self._time_us(served))
            await job.checkpoint(_encode(state))
        else:
            state = _decode(job.state)
            self._renew(state)
        self._dictionaries = await self._known(self._serve())
        waiting = 0
        async with aclosing(self._file.batches(self._columns, state.rows)) as batches:
            async for batch in batches:
                waiting += await self._put_in(state, batch, job)
                state.rows += batch.num_rows
                job.progress(state.rows, self._file.rows, "rows", "importing")
                if waiting >= PIECE_BYTES or state.rows % PIECE_ROWS < batch.num_rows:
                    waiting = 0
                    await self._end_piece(state, job)
        await self._adopt()
        footer = self._file.footer
        if footer is not None and not state.expired and (state.items, state.size) != (footer.items, footer.bytes):
            raise DataLoss(
                f"the file holds {state.items} items of {state.size} bytes, and says {footer.items} of {footer.bytes}",
                hint="fetch it again",
            )
        return state

    async def _known(self, served: ServedNamespace) -> dict[str, bytes]:
        """The dictionaries that rows may name: those of the file, and of the namespace."""
        if "codec" not in self._columns:
            return {}
        known = dict(self._carried)
        await served.look(0)
        records, table = served.view.records, served.values_table
        if len(served.shelf.kept.keys() | known.keys()) > DICTIONARIES_MAX:
            raise Exhausted(
                f"the namespace {served.name!r} would have more than {DICTIONARIES_MAX} dictionaries",
                field="file",
                hint="drop those that no value needs: kv/drop_dictionaries",
            )
        for codec in served.shelf.kept.keys() - known.keys():
            with suppress(NotFound, DataLoss):
                known[codec] = await content_of(records, table, codec)
        return known

    async def _bring(self, rows: Sequence[Entry]) -> None:
        """The dictionaries that the rows name are there, before they are."""
        coded = {coded_metadata(codec): codec for codec in self._dictionaries.keys() - self._named.keys()}
        named = {coded[each.metadata] for each in rows if each.metadata in coded}
        if named:
            self._named |= {codec: self._dictionaries[codec] for codec in named}
            await self._adopt()

    async def _adopt(self) -> None:
        """None of the dictionaries that rows have named is dropped while others come."""
        await adopt(self._serve(), self._environment, self._named)

    async def _end_piece(self, state: ImportState, job: JobContext) -> None:
        await self._adopt()
        state.time_us = self._time_us(self._serve())
        await job.checkpoint(_encode(state))

    def _renew(self, state: ImportState) -> None:
        served = self._serve()
        if state.time_us < self._environment.now_us() - served.window.past_us:
            state.time_us = self._time_us(served)

    async def _put_in(self, state: ImportState, batch: Any, job: JobContext) -> int:
        """The rows of a batch are in; returns how many bytes they came to."""
        served = self._serve()
        if served.view.generation != state.generation:
            raise NotFound(f"the namespace {served.name!r} was deleted meanwhile", field="namespace")
        now_us = self._environment.now_us()
        latest_us = now_us + served.window.future_us if self._keep else state.time_us
        bounds = Bounds(latest_us, _value_max(served), frozenset(self._dictionaries))
        found = await self._compute(self._entries, batch, state, bounds, job.job_id)
        lasting = [each for each in found if not 0 < each.expires_us <= now_us]
        await self._bring(lasting)
        writes = list(_writes(lasting))
        for first in range(0, len(writes), AT_ONCE):
            job.check()
            self._check_in_time(served, state)
            await together(
                self._write(served, partition, cells) for partition, cells in writes[first : first + AT_ONCE]
            )
        size = sum(len(each.key) + len(each.value) for each in lasting)
        state.items, state.size = state.items + len(lasting), state.size + size
        state.expired += len(found) - len(lasting)
        return size

    def _entries(self, batch: Any, state: ImportState, bounds: Bounds, job_id: str) -> list[Entry]:
        """The rows of a batch with their versions. For a thread."""
        first = state.rows + 1
        found = list(entries(batch, first, bounds, keep=self._keep))
        if self._keep:
            return found
        # Of two rows about one item the later one wins.
        return [
            each._replace(time_us=state.time_us, token=f"{job_id}/{number:012d}")
            for number, each in enumerate(found, first)
        ]

    async def _write(self, served: ServedNamespace, partition: bytes, cells: list[tuple[bytes, bytes]]) -> None:
        async def write() -> None:
            batch = await with_chunks(served, self._environment, partition, Batch(cells=cells), None)
            await served.records.apply(served.table, partition, batch)

        await persistently(self._environment, write)

    def _check_in_time(self, served: ServedNamespace, state: ImportState) -> None:
        """Deletes that were made since the import began are all still known, or nothing more goes in."""
        since_us = self._environment.now_us() - (state.begun_us if self._keep else state.time_us)
        if since_us > served.config.drift_past.us + IN_FLIGHT_MAX_US // 2:
            raise PreconditionFailed(
                f"{state.rows} rows are in, and what was deleted since the import began may be forgotten by now: with "
                "versions of their own, more rows might bring it back",
                hint="raise the knob drift_past, at most to 7d, to more than an import takes; then import into a "
                "namespace that is made anew",
            )

    def _time_us(self, served: ServedNamespace) -> int:
        """Later than all that this process has seen."""
        return served.clock.token().generation_time // 1_000


def _value_max(served: ServedNamespace) -> int:
    return min(WHOLE_MAX_BYTES, int(served.config.value_max))


def _writes(found: Sequence[Entry]) -> Iterator[tuple[bytes, list[tuple[bytes, bytes]]]]:
    """Writes of bounded size, each to one record and with one cell for each key: the greatest."""
    records: dict[bytes, dict[bytes, bytes]] = {}
    for each in found:
        cells, cell = records.setdefault(each.partition, {}), cell_of(each)
        cells[each.key] = max(cell, cells.get(each.key, b""))
    for partition, cells in records.items():
        for part in portions(cells.items(), lambda row: len(row[1]), WRITE_BYTES, WRITE_ITEMS):
            yield partition, part


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ImportState).decode
