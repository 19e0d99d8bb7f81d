"""Export and import of Parquet, as the system `timeseries` offers them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from soundstage.core.call import Call
from soundstage.core.files import File
from soundstage.data.parquet.files import ParquetFile, ReadRange
from soundstage.data.parquet.library import parquet
from soundstage.data.parquet.writing import SUFFIX, reading
from soundstage.data.timeseries.api import EventsExported, EventsImported, ExportEvents, ImportEvents
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.parquet.exporting import EventsExport, check_ids
from soundstage.data.timeseries.parquet.importing import EventsImport
from soundstage.data.timeseries.reads import interval_of
from soundstage.runtime.files import check_name
from soundstage.runtime.service import ServiceContext
from soundstage.runtime.work.context import JobContext


class ParquetJobs:
    """Carries out the jobs; `serve` gives a namespace as the service keeps it."""

    def __init__(self, context: ServiceContext, serve: Callable[[str], ServedNamespace]) -> None:
        self._context = context
        self._serve = serve

    async def check_export(self, request: ExportEvents) -> None:
        """What can be seen to be wrong."""
        parquet()
        served = self._serve(request.namespace)
        check_name(served.name + SUFFIX)
        interval_of(request.time_interval)
        check_ids(served, request)

    async def export(self, request: ExportEvents, job: JobContext) -> EventsExported:
        """See `TimeSeriesCalls.export_parquet`."""
        context, name = self._context, request.namespace
        export = EventsExport(partial(self._serve, name), request, job, context.environment, context.compute.thread)
        file, state = await export.run(name, self._reading), export.state
        return EventsExported(namespace=name, file=file, events=state.events, items=state.items, bytes=state.size)

    async def check_import(self, call: Call, request: ImportEvents) -> None:
        """What can be seen to be wrong, the end of the file included."""
        parquet()
        self._serve(request.namespace)
        await self._context.files.find(request.file.blob, call.principal)
        (await self._import(request)).check()

    async def fill(self, request: ImportEvents, job: JobContext) -> EventsImported:
        """See `TimeSeriesCalls.import_parquet`."""
        state = await (await self._import(request)).run(job)
        return EventsImported(
            namespace=request.namespace,
            events=state.events,
            items=state.items,
            bytes=state.size,
            bad_rows=state.bad,
            refused=state.told,
        )

    async def _import(self, request: ImportEvents) -> EventsImport:
        context = self._context
        kept = await context.files.find(request.file.blob)
        # What the caller says of the file is not what it is known by.
        known = msgspec.structs.replace(request.file, size=kept.size, sha256=kept.sha256)
        request = msgspec.structs.replace(request, file=known)
        file = await ParquetFile.open(self._reading(known), kept.size, context.compute.thread)
        return EventsImport(
            partial(self._serve, request.namespace), file, request, context.environment, context.compute.thread
        )

    def _reading(self, file: File) -> ReadRange:
        return reading(self._context.files.read, file.blob)
