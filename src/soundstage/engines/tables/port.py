"""The tables port: columnar tables that are appended to, replaced by partition and read as a whole or by condition.

Every change makes a snapshot, whole or not at all; a read is of one snapshot to its end, whatever is changed meanwhile.
Changes of one branch at the same moment take turns: each is as if it had begun after the one before had ended.

Data comes in as anything that has `__arrow_c_stream__` (tables and readers of pyarrow, frames of polars, relations of
DuckDB), and goes out as `pyarrow.RecordBatch`, which all of them read. This module needs none of these libraries.

To write another engine: implement `Tables`, and the protocols of what it can besides, and run
`soundstage.testing.tables.TablesSuite` over it. `soundstage.engines.tables.memory` is the specification.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Literal, Protocol, TypeAlias, runtime_checkable

import msgspec
from msgspec import Meta

from soundstage.core.errors import InvalidArgument
from soundstage.engines.tables.filters import ALL, Filter

MAIN = "main"
"""The branch that every table has."""

NAME_MAX_CHARS = 128
COLUMNS_MAX = 1_000
PARTITION_FIELDS_MAX = 8
PARTITIONS_MAX = 1_000
"""That one change may touch."""

BATCH_MAX_ROWS = 65_536
"""Readers get at most so many rows at once."""

SUMMARY_MAX_BYTES = 4_096
"""Names and values of what a change says of itself, together."""

SNAPSHOTS_MAX = 10_000

_NAME = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)?")
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRANCH = re.compile(r"[a-z][a-z0-9_-]*")

ArrowStream: TypeAlias = Any
"""Anything that has `__arrow_c_stream__`."""

RecordBatch: TypeAlias = Any
"""A `pyarrow.RecordBatch`."""


class TableCapability(StrEnum):
    """What an engine can beyond `Tables`; ask, never catch."""

    DURABLE = "durable"
    SHARED = "shared"
    """Stages with the same URL see the same tables, those on other hosts too, and their changes take turns."""
    BRANCHES = "branches"
    UPKEEP = "upkeep"
    FILES = "files"


ColumnType: TypeAlias = Literal["boolean", "int32", "int64", "float32", "float64", "text", "bytes", "date", "instant"]
"""An `instant` is in microseconds of UTC; a `date` has no time of day."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column; in one that is `required` no value may be missing."""

    name: str
    type: ColumnType
    required: bool = False
    doc: str = ""


class PartitionField(msgspec.Struct, frozen=True, kw_only=True):
    """What rows of one partition have in common: a column's value, or what `by` makes of it.

    `day`, `month` and `year` are of a date or an instant, `hour` of an instant, in UTC; `bucket` is one of `buckets`
    by the value's hash.
    """

    column: str
    by: Literal["value", "hour", "day", "month", "year", "bucket"] = "value"
    buckets: Annotated[int, Meta(ge=1, le=10_000)] = 16


class TableSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A table to be made. Names are like `ratings` or `films.ratings`."""

    name: str
    columns: tuple[Column, ...]
    partitions: tuple[PartitionField, ...] = ()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A table as it was after a change. `summary` is what the change said of itself.

    `change` tells the kind; `rows` is how many there are. `parent` is the snapshot that was changed, 0 for none.
    """

    id: int
    parent: int
    committed_us: int
    change: Literal["append", "overwrite", "delete", "compact"]
    rows: int
    summary: dict[str, str] = {}


class TableInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A table as it is. `branches` has the snapshot of each, 0 for a table without any."""

    spec: TableSpec
    branches: dict[str, int]


class AddColumn(msgspec.Struct, frozen=True, tag_field="change", tag="add"):
    """A column is there, last, without a value in the rows there are; so it cannot be required."""

    column: Column


class DropColumn(msgspec.Struct, frozen=True, tag_field="change", tag="drop"):
    """A column is gone; past snapshots have it. One that partitions rows stays."""

    name: str


class RenameColumn(msgspec.Struct, frozen=True, tag_field="change", tag="rename"):
    """A column has another name, and the values that it had."""

    name: str
    to: str


class WidenColumn(msgspec.Struct, frozen=True, tag_field="change", tag="widen"):
    """An `int32` is an `int64`, or a `float32` a `float64`."""

    name: str
    type: ColumnType


class RelaxColumn(msgspec.Struct, frozen=True, tag_field="change", tag="relax"):
    """A required column may miss values."""

    name: str


ColumnChange: TypeAlias = AddColumn | DropColumn | RenameColumn | WidenColumn | RelaxColumn


class At(msgspec.Struct, frozen=True, kw_only=True):
    """Which snapshot is read: a branch's last, one by its id, or what `main` was at a time.

    What is read by id or time, or of another branch than `main`, has the columns that it was written with.
    """

    branch: str = MAIN
    snapshot: int | None = None
    time_us: int | None = None


NOW = At()


class Tables(Protocol):
    """The calls every engine has. Failures are those of `soundstage.core.errors`.

    Changes take a branch, `main` unless another is named, a `summary` for the snapshot, and `expect`: the snapshot that
    the branch must be at, 0 for none, or nothing is changed and `PreconditionFailed` raised. Data has the table's
    columns by name; optional ones may be missing, and values are of the column's type or fit it without loss, else
    `InvalidArgument`.

    `deadline_ns` is of the environment's monotonic clock. A call that has not ended by then raises `DeadlineExceeded`,
    whatever stands still below, and its `outcome` says whether a change may yet be made. Data that was given may be
    read for a moment longer. A scan has its deadline for all of its batches.
    """

    capabilities: frozenset[TableCapability]

    async def start(self) -> None:
        """Open; what an earlier run acknowledged is there, what it did not is not seen. Call once."""
        ...

    async def stop(self) -> None:
        """Closed; idempotent. Reads and changes under way end with `Unavailable`."""
        ...

    async def create(self, spec: TableSpec, *, deadline_ns: int | None = None) -> TableInfo:
        """The table is there, empty. Raises `AlreadyExists`, `InvalidArgument`."""
        ...

    async def drop(self, name: str, *, deadline_ns: int | None = None) -> bool:
        """The table is gone, with all its snapshots; whether it was there. Idempotent."""
        ...

    async def tables(self, *, deadline_ns: int | None = None) -> list[str]:
        """The names of all tables, in order."""
        ...

    async def info(self, name: str, *, deadline_ns: int | None = None) -> TableInfo:
        """The table as it is; `NotFound`."""
        ...

    async def append(
        self,
        name: str,
        data: ArrowStream,
        *,
        branch: str = MAIN,
        summary: Mapping[str, str] = MappingProxyType({}),
        expect: int | None = None,
        deadline_ns: int | None = None,
    ) -> Snapshot:
        """The rows are there besides those there were. `data` may be longer than memory."""
        ...

    async def overwrite(
        self,
        name: str,
        data: ArrowStream,
        where: Filter | None = None,
        *,
        branch: str = MAIN,
        summary: Mapping[str, str] = MappingProxyType({}),
        expect: int | None = None,
        deadline_ns: int | None = None,
    ) -> Snapshot:
        """The rows for which `where` holds are gone and those of `data` are there.

        Without `where` these are the rows of all partitions that `data` has rows of (all, in a table without
        partitions); up to 1,000 of them, and none by `bucket`.
        """
        ...

    async def delete(
        self,
        name: str,
        where: Filter,
        *,
        branch: str = MAIN,
        summary: Mapping[str, str] = MappingProxyType({}),
        expect: int | None = None,
        deadline_ns: int | None = None,
    ) -> Snapshot | None:
        """The rows for which `where` holds are gone; None, and no snapshot, when there were none."""
        ...

    def scan(
        self,
        name: str,
        where: Filter = ALL,
        *,
        columns: Sequence[str] | None = None,
        at: At = NOW,
        limit: int | None = None,
        deadline_ns: int | None = None,
    ) -> AsyncGenerator[RecordBatch]:
        """The rows for which `where` holds, in any order, as batches of at most `BATCH_MAX_ROWS`; never an empty one.

        With `columns` these alone, in that order. Memory is bounded by some files' worth of batches, whatever the
        table. Raises at the first batch: `NotFound` for a table, branch or snapshot, `InvalidArgument`.
        """
        ...

    async def evolve(self, name: str, changes: Sequence[ColumnChange], *, deadline_ns: int | None = None) -> TableInfo:
        """All changes of the columns are made, one after another, or none. No row is written anew."""
        ...

    async def snapshots(
        self, name: str, branch: str = MAIN, limit: int = SNAPSHOTS_MAX, *, deadline_ns: int | None = None
    ) -> list[Snapshot]:
        """Up to `limit`, and `SNAPSHOTS_MAX`, of the branch, the last first, back to the first or to one expired."""
        ...


@runtime_checkable
class TableBranches(Protocol):
    """`TableCapability.BRANCHES`: lines of snapshots beside `main`, to prepare what is then published at once."""

    async def point(
        self, name: str, branch: str, snapshot: int, *, expect: int | None = None, deadline_ns: int | None = None
    ) -> None:
        """The branch is at that snapshot; made when it is not there. For `main` this publishes, or goes back.

        Raises `NotFound` for a snapshot, `PreconditionFailed` when the branch is not at `expect` (0: not there).
        """
        ...

    async def drop_branch(self, name: str, branch: str, *, deadline_ns: int | None = None) -> bool:
        """The branch is gone, whether it was there; `InvalidArgument` for `main`."""
        ...


@runtime_checkable
class TableUpkeep(Protocol):
    """`TableCapability.UPKEEP`: what keeps a table quick to read, and its disk from filling."""

    async def compact(
        self, name: str, *, branch: str = MAIN, small_bytes: int = 32 << 20, deadline_ns: int | None = None
    ) -> Snapshot | None:
        """In each partition files under `small_bytes` are one; None when nothing was to be done. Rows stay."""
        ...

    async def expire(self, name: str, before_us: int, keep: int = 1, *, deadline_ns: int | None = None) -> int:
        """Snapshots committed before are gone, but for the last `keep` of each branch; how many."""
        ...

    async def clean(self, name: str, before_us: int, *, deadline_ns: int | None = None) -> int:
        """Files that no snapshot needs are gone, unless written since; how many.

        What a writer has written and not yet committed is such a file: leave an hour or more.
        """
        ...


@runtime_checkable
class TableFiles(Protocol):
    """`TableCapability.FILES`: where the table lies, for whoever reads it without this package."""

    async def location(self, name: str, *, deadline_ns: int | None = None) -> str:
        """The address of the Iceberg metadata of the table as it is, to be read and not to be written."""
        ...


def check_name(name: str) -> str:
    """`name`, if a table may have it; else `InvalidArgument`."""
    if len(name) <= NAME_MAX_CHARS and _NAME.fullmatch(name):
        return name
    raise InvalidArgument(
        f"{name[:80]!r} is no name of a table", field="name", hint="use a-z 0-9 _, such as ratings or films.ratings"
    )


def check_branch(branch: str) -> str:
    """`branch`, if one may be called so; else `InvalidArgument`."""
    if len(branch) <= NAME_MAX_CHARS and _BRANCH.fullmatch(branch):
        return branch
    raise InvalidArgument(f"{branch[:80]!r} is no name of a branch", field="branch", hint="use a-z 0-9 _ -")


def check_summary(summary: Mapping[str, str]) -> dict[str, str]:
    """`summary` as a dictionary; `InvalidArgument` over 4 KiB."""
    size = sum(len(name.encode()) + len(value.encode()) for name, value in summary.items())
    if size > SUMMARY_MAX_BYTES:
        raise InvalidArgument(
            f"the summary has {size} bytes, the limit is {SUMMARY_MAX_BYTES}", field="summary", hint="shorten it"
        )
    return dict(summary)


def check_at(at: At) -> At:
    """`at`, which names a snapshot in one way; else `InvalidArgument`."""
    if at.snapshot is not None and at.time_us is not None:
        raise InvalidArgument("a snapshot is named by its id or by a time", field="at", hint="give one of them")
    if at.branch != MAIN and (at.snapshot is not None or at.time_us is not None):
        raise InvalidArgument("a branch is read as it is", field="at", hint="name a snapshot without a branch")
    check_branch(at.branch)
    return at


def check_limit(limit: int | None) -> None:
    """Raises `InvalidArgument` for a limit that is less than nothing."""
    if limit is not None and limit < 0:
        raise InvalidArgument(f"limit is {limit}", field="limit", hint="use 0 or more")


def check_spec(spec: TableSpec) -> TableSpec:
    """`spec`, if a table can be made of it; else `InvalidArgument`."""
    check_name(spec.name)
    check_columns(spec.columns)
    if len(spec.partitions) > PARTITION_FIELDS_MAX:
        raise InvalidArgument(f"more than {PARTITION_FIELDS_MAX} partition fields", field="partitions")
    types: dict[str, ColumnType] = {column.name: column.type for column in spec.columns}
    if len({field.column for field in spec.partitions}) != len(spec.partitions):
        raise InvalidArgument("a column partitions rows in one way", field="partitions", hint="name each column once")
    for field in spec.partitions:
        _check_partition(field, types)
    return spec


def check_columns(columns: Sequence[Column]) -> None:
    """Raises `InvalidArgument` unless `columns` can be those of a table."""
    if not 1 <= len(columns) <= COLUMNS_MAX:
        raise InvalidArgument(f"a table has 1 to {COLUMNS_MAX} columns, not {len(columns)}", field="columns")
    seen: set[str] = set()
    for column in columns:
        if len(column.name) > NAME_MAX_CHARS or not _COLUMN.fullmatch(column.name):
            raise InvalidArgument(f"{column.name[:80]!r} is no name of a column", field="columns", hint="use letters")
        if column.name.lower() in seen:
            raise InvalidArgument(f"there are two columns called {column.name!r}", field="columns")
        seen.add(column.name.lower())


def _check_partition(field: PartitionField, types: Mapping[str, ColumnType]) -> None:
    found = types.get(field.column)
    if found is None:
        raise InvalidArgument(f"there is no column {field.column!r} to partition by", field="partitions")
    times = {
        "hour": ("instant",),
        "day": ("date", "instant"),
        "month": ("date", "instant"),
        "year": ("date", "instant"),
    }
    if found not in times.get(field.by, (found,)) or found in ("float32", "float64"):
        raise InvalidArgument(
            f"rows cannot be partitioned by the {field.by} of {field.column!r}, which is {found}", field="partitions"
        )
    if field.by == "bucket" and found == "boolean":
        raise InvalidArgument("two values need no buckets", field="partitions", hint="partition by value")
