"""Export, import and copy, as the system `namespaces` offers them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from soundstage.core.call import Call
from soundstage.core.environment import Environment
from soundstage.core.errors import AlreadyExists, DataLoss, InvalidArgument
from soundstage.core.namespace import NamespaceInfo, NamespaceSpec
from soundstage.engines.records.port import TableSpec
from soundstage.runtime.access import authorise
from soundstage.runtime.compute import Compute
from soundstage.runtime.control.declaration import Declared, below
from soundstage.runtime.control.store import EarlierKnobs, Stored, earlier_than
from soundstage.runtime.files import check_name
from soundstage.runtime.namespaces.api import (
    CopyNamespace,
    Exported,
    ExportNamespace,
    Filled,
    ImportNamespace,
)
from soundstage.runtime.transfer.exporting import Export, Source
from soundstage.runtime.transfer.filling import Filling, targets
from soundstage.runtime.transfer.format import FORMAT, PLAIN, Header, blocks, check_header, packed, unpacker
from soundstage.runtime.transfer.importing import CopyState, ImportState, fill_from_file, fill_from_tables, prove
from soundstage.runtime.transfer.reach import Administered
from soundstage.runtime.transfer.reading import Place, Reading, transfers_of
from soundstage.runtime.transfer.tally import Tally
from soundstage.runtime.work.context import JobContext

SUFFIX = ".soundstage.zst"
"""What the name of an exported file ends with."""


class NamespaceTransfers:
    """Carries out the jobs."""

    def __init__(self, administered: Administered, environment: Environment, compute: Compute) -> None:
        self._control, self._files = administered.control, administered.files
        self._environment = environment
        self._compute = compute.thread

    async def check_export(self, call: Call, request: ExportNamespace) -> None:
        """What can be seen to be wrong."""
        declared = self._control.stored(info := self._control.get(request.name))
        transfers_of(declared.records, request.name, "name")
        await check_fixed_tables(info, declared)
        check_name(request.name + SUFFIX)

    async def export(self, request: ExportNamespace, job: JobContext) -> Exported:
        """See `NamespacesCalls.export`."""
        export = Export(await self._source(request.name), job, self._environment, self._compute)
        file, tally = await export.run(request.name + SUFFIX)
        return Exported(name=request.name, file=file, records=tally.records, items=tally.items, bytes=tally.size)

    async def check_import(self, call: Call, request: ImportNamespace) -> None:
        """What can be seen to be wrong, the file's beginning included."""
        await self._files.find(request.file.blob, call.principal)
        header = await self._header(request.file.blob)
        await self._check_target(self._spec(request, header.namespace, None), overwrite=request.overwrite)

    async def fill(self, call: Call, request: ImportNamespace, job: JobContext) -> Filled:
        """See `NamespacesCalls.import_`."""
        header = await self._header(request.file.blob)
        spec = self._spec(request, header.namespace, None)
        declared = self._control.check(spec)
        filling = self._filling(header.tables, header.namespace, declared)
        size = (await self._files.find(request.file.blob)).size

        def read(offset: int) -> AsyncGenerator[bytes]:
            return self._files.read(request.file.blob, start=offset)

        if job.state is None:
            if request.overwrite:
                # Nothing is deleted for a file that could not take its place.
                await prove(read, size, filling.tables, job, self._compute)
            info = await self._control.begin_filling(
                spec, job.job_id, call.principal.name, job.check, overwrite=request.overwrite
            )
            state = ImportState(info.generation, header.at_us)
        else:
            state = _decode_import(job.state)
        await self._claim(filling, spec.name, state, job)
        trailer = await fill_from_file(state, read, size, filling, job, self._compute)
        await filling.claim(state.generation, job, begun=True)
        source = Stored(info=header.namespace, earlier=header.earlier, truncated=header.truncated)
        return await self._finish(call, job, declared, state.generation, source, trailer.ended_us, trailer.tally)

    async def check_copy(self, call: Call, request: CopyNamespace) -> None:
        """What can be seen to be wrong."""
        authorise(call.principal, "read", (request.name,), "namespaces/copy")
        if request.name == request.to:
            raise InvalidArgument("a namespace is no copy of itself", field="to", hint="name another one")
        info = self._control.get(request.name)
        declared = self._control.stored(info)
        transfers_of(declared.records, request.name, "name")
        await check_fixed_tables(info, declared)
        await self._check_target(self._spec(request, info, info.engines), overwrite=request.overwrite)

    async def copy(self, call: Call, request: CopyNamespace, job: JobContext) -> Filled:
        """See `NamespacesCalls.copy`."""
        source = await self._source(request.name)
        info = source.header.namespace
        spec = self._spec(request, info, info.engines)
        if job.state is None:
            begun = await self._control.begin_filling(
                spec, job.job_id, call.principal.name, job.check, overwrite=request.overwrite
            )
            state = CopyState(begun.generation, Place(source.header.at_us))
        else:
            state = _decode_copy(job.state)
        declared = self._control.check(spec)
        filling = self._filling(source.tables, info, declared)
        await self._claim(filling, spec.name, state, job)
        tables = [table.name for table in source.tables]
        reading = Reading(source.engine, tables, state.place, self._compute)
        tally = await fill_from_tables(state, reading, filling, job, self._environment)
        await filling.claim(state.generation, job, begun=True)
        stored = Stored(info=info, earlier=source.header.earlier, truncated=source.header.truncated)
        return await self._finish(call, job, declared, state.generation, stored, state.ended_us, tally)

    async def _claim(self, filling: Filling, name: str, state: ImportState | CopyState, job: JobContext) -> None:
        """The tables are this attempt's; an attempt that dies before that is followed by one that makes them anew."""
        await filling.claim(state.generation, job, begun=job.state is not None)
        # They may have been another namespace's by then.
        await self._control.check_filling(name, state.generation)
        if job.state is None:
            await job.checkpoint(packed(state))

    async def _finish(
        self,
        call: Call,
        job: JobContext,
        declared: Declared,
        generation: int,
        source: Stored,
        until_us: int,
        tally: Tally,
    ) -> Filled:
        job.check()
        # Purging obeyed the knobs of the source until all was read, and admission may not go behind that.
        earlier: list[EarlierKnobs] = earlier_than(source, declared.knobs, declared.lingering, until_us)
        name, by = declared.spec.name, call.principal.name
        info = await self._control.finish_filling(name, generation, earlier, by, source.truncated)
        return Filled(namespace=info, records=tally.records, items=tally.items, bytes=tally.size)

    async def _source(self, name: str) -> Source:
        found = await self._control.store.find(name)
        if found is None or found.stored.state != "active":
            raise self._control.unknown(name)
        declared = self._control.stored(found.stored.info)
        await check_fixed_tables(found.stored.info, declared)
        tables = list(declared.tables)
        truncated = found.stored.truncated
        header = Header(
            format=PLAIN if truncated is None else FORMAT,
            at_us=self._environment.now_us(),
            namespace=found.stored.info,
            earlier=found.stored.earlier,
            tables=tables,
            truncated=truncated,
        )
        return Source(header, transfers_of(declared.records, name, "name"), tables)

    async def _header(self, blob: str) -> Header:
        chunks = self._files.read(blob)
        async with aclosing(chunks), aclosing(blocks(chunks, b"", self._compute)) as found:
            try:
                first = await anext(found, None)
            except DataLoss:
                # Whose beginning is none is a file of another kind: there is nothing yet that could be lost.
                first = None
        return check_header(None if first is None else first.message)

    async def _check_target(self, spec: NamespaceSpec, *, overwrite: bool) -> None:
        declared = self._control.check(spec)
        transfers_of(declared.records, spec.name, "engines.records")
        found = await self._control.store.find(spec.name)
        if found is None or found.stored.state != "active" or overwrite:
            return
        if not await self._control.is_empty(found.stored.info):
            raise AlreadyExists(
                f"namespace {spec.name!r} exists, and holds records",
                hint="name another one; with overwrite it is deleted first",
            )

    def _spec(
        self, request: ImportNamespace | CopyNamespace, info: NamespaceInfo, engines: dict[str, str] | None
    ) -> NamespaceSpec:
        name = request.name if isinstance(request, ImportNamespace) else request.to
        knobs: dict[str, Any] = request.config
        return self._control.like(info, name, request.engines or engines, knobs)

    def _filling(self, tables: Sequence[TableSpec], info: NamespaceInfo, declared: Declared) -> Filling:
        target = (declared.spec.abstraction, declared.spec.name)
        engine = transfers_of(declared.records, declared.spec.name, "engines.records")
        return Filling(engine, targets(tables, (info.abstraction, info.name), declared.tables, target), self._compute)


_decode_import = unpacker(ImportState)
_decode_copy = unpacker(CopyState)


async def check_fixed_tables(info: NamespaceInfo, declared: Declared) -> None:
    """Raise `InvalidArgument` for a namespace that made tables besides those it began with.

    What is copied table by table would be without them, and look whole.
    """
    more = set(await below(info, declared.records)) - {table.name for table in declared.tables}
    if more:
        raise InvalidArgument(
            f"the namespace {info.name!r} made tables of its own, such as {min(more)}, "
            "which exports and copies do not have",
            field="name",
            hint="back up the stage, move the whole engine, or take the export of the system where it has one",
        )
