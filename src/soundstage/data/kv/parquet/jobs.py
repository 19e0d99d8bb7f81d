"""Export and import of Parquet, as the system `kv` offers them."""

from __future__ import annotations

from collections.abc import Callable

from soundstage.core.call import Call
from soundstage.core.files import File
from soundstage.data.kv.api import ExportParquet, ImportParquet, ParquetExported, ParquetImported
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.parquet.exporting import ParquetExport
from soundstage.data.kv.parquet.importing import ParquetImport
from soundstage.data.parquet.files import ParquetFile, ReadRange
from soundstage.data.parquet.library import parquet
from soundstage.data.parquet.writing import SUFFIX, reading
from soundstage.runtime.files import check_name
from soundstage.runtime.service import ServiceContext
from soundstage.runtime.work.context import JobContext


class ParquetJobs:
    """Carries out the jobs; `serve` gives a namespace as the service keeps it."""

    def __init__(self, context: ServiceContext, serve: Callable[[str], ServedNamespace]) -> None:
        self._context = context
        self._serve = serve

    async def check_export(self, request: ExportParquet) -> None:
        """What can be seen to be wrong."""
        parquet()
        check_name(self._serve(request.namespace).name + SUFFIX)

    async def export(self, request: ExportParquet, job: JobContext) -> ParquetExported:
        """See `KeyValueCalls.export_parquet`."""
        context, name = self._context, request.namespace
        export = ParquetExport(
            lambda: self._serve(name), request.max_value_bytes, job, context.environment, context.compute.thread
        )
        file, state = await export.run(name, self._reading), export.state
        return ParquetExported(
            namespace=name,
            file=file,
            records=state.records,
            items=state.items,
            bytes=state.size,
            left_out=state.left_out,
        )

    async def check_import(self, call: Call, request: ImportParquet) -> None:
        """What can be seen to be wrong, the end of the file included."""
        parquet()
        self._serve(request.namespace)
        await self._context.files.find(request.file.blob, call.principal)
        await (await self._import(request)).check()

    async def fill(self, request: ImportParquet, job: JobContext) -> ParquetImported:
        """See `KeyValueCalls.import_parquet`."""
        state = await (await self._import(request)).run(job)
        return ParquetImported(namespace=request.namespace, items=state.items, bytes=state.size, expired=state.expired)

    async def _import(self, request: ImportParquet) -> ParquetImport:
        context, name = self._context, request.namespace
        size = (await context.files.find(request.file.blob)).size
        file = await ParquetFile.open(self._reading(request.file), size, context.compute.thread)
        return ParquetImport(
            lambda: self._serve(name), file, request.versions, context.environment, context.compute.thread
        )

    def _reading(self, file: File) -> ReadRange:
        return reading(self._context.files.read, file.blob)
