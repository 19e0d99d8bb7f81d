"""What one thread does to one table: reads its state, writes files, commits. Blocking."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from soundstage.core.errors import SoundstageError
from soundstage.engines.tables import refusals
from soundstage.engines.tables.arrow import Touched, slices
from soundstage.engines.tables.filters import Filter
from soundstage.engines.tables.iceberg.driver import database, io
from soundstage.engines.tables.iceberg.failures import OVERTAKEN, Check, Overtaken, failure
from soundstage.engines.tables.iceberg.translation import (
    TYPES,
    branches_of,
    condition,
    line,
    spec_of,
    summary_of,
)
from soundstage.engines.tables.iceberg.work import Work
from soundstage.engines.tables.port import (
    AddColumn,
    ArrowStream,
    ColumnChange,
    DropColumn,
    RelaxColumn,
    RenameColumn,
    Snapshot,
    TableSpec,
    WidenColumn,
)


class Call(NamedTuple):
    """A change that is asked for: of which branch, of which kind, and what is said of it. `fresh` makes ids."""

    name: str
    branch: str
    expect: int | None
    change: str
    said: Mapping[str, str]
    id: str
    fresh: Callable[[], str]

    @property
    def summary(self) -> dict[str, str]:
        """What is kept with the snapshot."""
        return summary_of(self.id, self.change, self.said)


def head_of(table: Any, call: Call) -> int:
    """Where the branch is. Raises `NotFound`, and `PreconditionFailed` where that is not expected."""
    head = branches_of(table.metadata).get(call.branch)
    if head is None:
        raise refusals.no_branch(call.name, call.branch)
    if call.expect is not None and head != call.expect:
        raise refusals.moved(call.branch, head, call.expect)
    return head


def written(table: Any, call: Call, data: ArrowStream, check: Check, touched: Touched | None = None) -> list[Any]:
    """The files that hold the rows of `data`, as the driver describes them; nobody sees them yet."""
    spec = spec_of(call.name, table.metadata)
    counter, number = itertools.count(), uuid.UUID(call.fresh())
    files: list[Any] = []
    try:
        for part in slices(data, spec.columns):
            check()
            if touched is not None:
                touched.add(part)
            files += io._dataframe_to_data_files(table.metadata, part, table.io, number, counter)
        check()
    except BaseException as error:
        discard(table, files)
        if isinstance(error, OSError):
            _discard_begun(table, number)
        raise
    return files


def discard(table: Any, files: Sequence[Any]) -> None:
    """Files that no snapshot has, nor will have, are gone; one that cannot be removed is left for `clean` to find."""
    for file in files:
        with suppress(OSError):
            table.io.delete(file.file_path)


def _discard_begun(table: Any, number: uuid.UUID) -> None:
    """Of a change whose disk refused, a file that was begun is gone too: there may be no room for anything else."""
    for path in Path(table.location().removeprefix("file://")).rglob(f"*{number}*"):
        with suppress(OSError):
            path.unlink()


def check_same(table: Any, call: Call, written_for: Any) -> None:
    """Raises `NotFound` where files were written for a table that was dropped since; another may have its name."""
    if table.metadata.table_uuid != written_for.metadata.table_uuid:
        raise refusals.no_table(call.name)


def appended(table: Any, call: Call, files: Sequence[Any], check: Work) -> Snapshot:
    """The files are rows of the table. Raises `Overtaken`."""
    head_of(table, call)
    transaction = table.transaction()
    made = _add(transaction, call, files)
    return committed(transaction, call, made, check)


def overwritten(table: Any, call: Call, files: Sequence[Any], where: Filter | None, check: Work) -> Snapshot:
    """The files are rows of the table, in place of those for which `where` holds. Raises `Overtaken`."""
    head = head_of(table, call)
    transaction = table.transaction()
    if where is not None and head:
        transaction.delete(condition(where), snapshot_properties=call.summary, branch=call.branch)
    made = _add(transaction, call, files)
    return committed(transaction, call, made, check)


def deleted(table: Any, call: Call, where: Filter, check: Work) -> Snapshot | None:
    """The rows for which `where` holds are gone; None when there were none. Raises `Overtaken`."""
    head = head_of(table, call)
    if not head:
        return None
    transaction = table.transaction()
    transaction.delete(condition(where), snapshot_properties=call.summary, branch=call.branch)
    made = branches_of(transaction.table_metadata)[call.branch]
    return None if made == head else committed(transaction, call, made, check)


def replaced(table: Any, call: Call, old: Sequence[Any], new: Sequence[Any], check: Work) -> Snapshot:
    """The new files are in the place of the old, which hold the same rows. Raises `Overtaken`."""
    transaction = table.transaction()
    update = transaction.update_snapshot(snapshot_properties=call.summary, branch=call.branch)
    with update.overwrite() as producer:
        for file in old:
            producer.delete_data_file(file)
        for file in new:
            producer.append_data_file(file)
    return committed(transaction, call, producer.snapshot_id, check)


def committed(transaction: Any, call: Call, wanted: int, check: Work) -> Snapshot:
    """The change is made, and `wanted` is the last of its snapshots. Raises `Overtaken`, with nothing changed."""
    check.commits()
    try:
        metadata = transaction.commit_transaction().metadata
    except OVERTAKEN as error:
        raise Overtaken from error
    except (database.SQLAlchemyError, OSError) as error:
        metadata = _landed(transaction, wanted, call, error)
    return next(line(metadata, wanted))


def evolve(table: Any, spec: TableSpec, changes: Sequence[ColumnChange], check: Work) -> None:
    """The columns of `spec` are changed, which allows it. Raises `Overtaken`."""
    if spec_of(spec.name, table.metadata) != spec:
        raise Overtaken
    transaction = table.transaction()
    for change in changes:
        with transaction.update_schema() as update:
            _change(update, change)
    check.commits()
    transaction.commit_transaction()


def point(table: Any, name: str, branch: str, snapshot: int, expect: int | None, check: Work) -> None:
    """The branch is at the snapshot. Raises `Overtaken`."""
    if table.metadata.snapshot_by_id(snapshot) is None:
        raise refusals.no_snapshot(name, snapshot)
    found = branches_of(table.metadata).get(branch, 0)
    if expect is not None and found != expect:
        raise refusals.moved(branch, found, expect)
    if found != snapshot:
        check.commits()
        table.manage_snapshots().create_branch(snapshot, branch).commit()


def at_time(name: str, metadata: Any, time_us: int) -> int:
    """The snapshot that `main` was at. Raises `NotFound`."""
    for snapshot in line(metadata, branches_of(metadata)["main"]):
        if snapshot.committed_us <= time_us:
            return snapshot.id
    raise refusals.no_snapshot(name, f"as of {time_us}")


def _add(transaction: Any, call: Call, files: Sequence[Any]) -> int:
    """The files are added, which will be the snapshot that is returned."""
    update = transaction.update_snapshot(snapshot_properties=call.summary, branch=call.branch)
    with update.fast_append() as producer:
        for file in files:
            producer.append_data_file(file)
    return int(producer.snapshot_id)


def _landed(transaction: Any, wanted: int, call: Call, error: Exception) -> Any:
    """The table's metadata, if the change was made although its answer was lost; else the error, as the port's."""
    refusal = failure(error, call.name, reading=False)
    try:
        table = transaction._table.refresh()
    except (database.SQLAlchemyError, OSError, SoundstageError):
        raise refusal from None
    if table.metadata.snapshot_by_id(wanted) is None:
        raise refusal from None
    return table.metadata


def _change(update: Any, change: ColumnChange) -> None:
    match change:
        case AddColumn(column):
            update.add_column(column.name, TYPES[column.type](), doc=column.doc or None, required=False)
        case DropColumn(name):
            update.delete_column(name)
        case RenameColumn(name, to):
            update.rename_column(name, to)
        case WidenColumn(name, kind):
            update.update_column(name, field_type=TYPES[kind]())
        case RelaxColumn(name):
            update.make_column_optional(name)
