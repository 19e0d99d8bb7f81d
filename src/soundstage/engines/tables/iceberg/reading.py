"""Reading one snapshot: which files hold rows, and the batches of one file. Blocking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from soundstage.engines.tables import refusals
from soundstage.engines.tables.arrow import checked, chosen, schema_of
from soundstage.engines.tables.filters import Filter
from soundstage.engines.tables.iceberg.changes import at_time
from soundstage.engines.tables.iceberg.driver import io
from soundstage.engines.tables.iceberg.driver import table as driver_table
from soundstage.engines.tables.iceberg.failures import Check
from soundstage.engines.tables.iceberg.translation import branches_of, condition, spec_of
from soundstage.engines.tables.port import BATCH_MAX_ROWS, MAIN, At


class Plan(NamedTuple):
    """What a scan will read: one task for each file, and how."""

    name: str
    tasks: Sequence[Any]
    reader: Any
    schema: Any


def planned(name: str, table: Any, where: Filter, columns: Sequence[str] | None, at: At) -> Plan:
    """The files of the snapshot that may hold rows. Raises `NotFound` and `InvalidArgument`."""
    snapshot, metadata = _at(name, table.metadata, at)
    spec = spec_of(name, metadata)
    names = chosen(columns, spec.columns)
    found = condition(checked(where, spec.columns))
    by_name = {column.name: column for column in spec.columns}
    shown = schema_of([by_name[each] for each in names])
    projected = metadata.schema().select(*names)
    reader = io.ArrowScan(metadata, table.io, projected, found)
    if not snapshot:
        return Plan(name, (), reader, shown)
    scan = driver_table.DataScan(table_metadata=metadata, io=table.io, row_filter=found, snapshot_id=snapshot)
    return Plan(name, list(scan.plan_files()), reader, shown)


def batches_of(plan: Plan, task: Any, check: Check) -> list[Any]:
    """The rows of one file, in bounded batches of the port's types."""
    found: list[Any] = []
    for batch in plan.reader.to_record_batches([task]):
        check()
        fitting = batch.select(plan.schema.names)
        if fitting.schema != plan.schema:
            fitting = fitting.cast(plan.schema)
        found += [fitting.slice(start, BATCH_MAX_ROWS) for start in range(0, fitting.num_rows, BATCH_MAX_ROWS)]
    return found


def _at(name: str, metadata: Any, at: At) -> tuple[int, Any]:
    """The snapshot that is read, 0 for none, and the metadata with the columns that it is read by."""
    if at.time_us is not None:
        return _as_then(name, metadata, at_time(name, metadata, at.time_us))
    if at.snapshot is not None:
        return _as_then(name, metadata, at.snapshot)
    head = branches_of(metadata).get(at.branch)
    if head is None:
        raise refusals.no_branch(name, at.branch)
    return (head, metadata) if at.branch == MAIN or not head else _as_then(name, metadata, head)


def _as_then(name: str, metadata: Any, snapshot: int) -> tuple[int, Any]:
    found = metadata.snapshot_by_id(snapshot)
    if found is None:
        raise refusals.no_snapshot(name, snapshot)
    schemas = {each.schema_id for each in metadata.schemas}
    if found.schema_id not in schemas:
        return snapshot, metadata
    return snapshot, metadata.model_copy(update={"current_schema_id": found.schema_id})
