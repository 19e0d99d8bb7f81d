"""The tables port in memory: the specification that other engines are compared with.

A snapshot has all its rows, in columns named by their ids, which no rename or drop gives to another.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from soundstage.core.environment import Environment
from soundstage.engines.tables import refusals
from soundstage.engines.tables.arrow import TYPES, Touched, checked, chosen, expression, pa, schema_of, slices
from soundstage.engines.tables.evolution import evolved
from soundstage.engines.tables.filters import ALL, Filter
from soundstage.engines.tables.port import (
    BATCH_MAX_ROWS,
    MAIN,
    NOW,
    SNAPSHOTS_MAX,
    AddColumn,
    ArrowStream,
    At,
    ColumnChange,
    DropColumn,
    RecordBatch,
    RenameColumn,
    Snapshot,
    TableCapability,
    TableInfo,
    TableSpec,
    check_at,
    check_branch,
    check_limit,
    check_name,
    check_spec,
    check_summary,
)

Change = Literal["append", "overwrite", "delete"]


class _Shape(NamedTuple):
    """A table's columns at some time, with the ids that their values are kept under."""

    spec: TableSpec
    ids: tuple[str, ...]


class _State(NamedTuple):
    """A snapshot, its rows, and the columns it was written with."""

    snapshot: Snapshot
    rows: Any
    shape: _Shape


class _Table:
    def __init__(self, spec: TableSpec) -> None:
        self.shape = _Shape(spec, tuple(str(number) for number in range(len(spec.columns))))
        self.branches: dict[str, int] = {MAIN: 0}
        self.states: dict[int, _State] = {}
        self._ids = len(spec.columns)

    def take_shape(self, spec: TableSpec, changes: Sequence[ColumnChange]) -> None:
        """The table has the columns of `spec`, which `changes` made of those it has."""
        ids = dict(zip((column.name for column in self.shape.spec.columns), self.shape.ids, strict=True))
        for change in changes:
            match change:
                case RenameColumn(name, to):
                    ids[to] = ids.pop(name)
                case DropColumn(name):
                    del ids[name]
                case AddColumn(column):
                    ids[column.name] = str(self._ids)
                    self._ids += 1
                case _:
                    continue
        self.shape = _Shape(spec, tuple(ids[column.name] for column in spec.columns))


class MemoryTables:
    """Everything in Arrow's tables; not durable, but `start` after `stop` finds what was there."""

    def __init__(self, environment: Environment) -> None:
        self.capabilities: frozenset[TableCapability] = frozenset({TableCapability.BRANCHES})
        self._environment = environment
        self._tables: dict[str, _Table] = {}
        self._last = 0
        self._open = False

    async def start(self) -> None:
        self._open = True

    async def stop(self) -> None:
        self._open = False

    async def create(self, spec: TableSpec, *, deadline_ns: int | None = None) -> TableInfo:
        self._check_open(deadline_ns)
        check_spec(spec)
        if spec.name in self._tables:
            raise refusals.exists(spec.name)
        self._tables[spec.name] = _Table(spec)
        return await self.info(spec.name)

    async def drop(self, name: str, *, deadline_ns: int | None = None) -> bool:
        self._check_open(deadline_ns)
        return self._tables.pop(check_name(name), None) is not None

    async def tables(self, *, deadline_ns: int | None = None) -> list[str]:
        self._check_open(deadline_ns)
        return sorted(self._tables)

    async def info(self, name: str, *, deadline_ns: int | None = None) -> TableInfo:
        table = self._table(name, deadline_ns)
        return TableInfo(spec=table.shape.spec, branches=dict(table.branches))

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
        table, said = self._table(name, deadline_ns), check_summary(summary)
        new = self._taken(table, data)
        return self._commit(table, name, branch, expect, "append", said, lambda old: pa.concat_tables([old, new]))

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
        table, said = self._table(name, deadline_ns), check_summary(summary)
        spec = table.shape.spec
        touched = Touched(spec.partitions) if where is None else None
        gone = None if where is None else checked(where, spec.columns)
        new = self._taken(table, data, touched)
        gone = gone if touched is None else touched.filter()

        def replace(old: Any) -> Any:
            return pa.concat_tables([old if gone is None else self._without(table, old, gone), new])

        return self._commit(table, name, branch, expect, "overwrite", said, replace)

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
        table, said = self._table(name, deadline_ns), check_summary(summary)
        gone = checked(where, table.shape.spec.columns)
        old = self._old(table, name, branch, expect)
        left = self._without(table, old, gone)
        if left.num_rows == old.num_rows:
            return None
        return self._commit(table, name, branch, expect, "delete", said, lambda _: left)

    async def scan(
        self,
        name: str,
        where: Filter = ALL,
        *,
        columns: Sequence[str] | None = None,
        at: At = NOW,
        limit: int | None = None,
        deadline_ns: int | None = None,
    ) -> AsyncGenerator[RecordBatch]:
        table = self._table(name, deadline_ns)
        check_limit(limit)
        rows, shape = self._at(table, name, check_at(at))
        names = chosen(columns, shape.spec.columns)
        found = expression(checked(where, shape.spec.columns), shape.spec.columns)
        shown = _shown(rows, shape)
        left = shown if found is None else shown.filter(found)
        left = left.select(names).slice(0, limit)
        for batch in left.to_batches(max_chunksize=BATCH_MAX_ROWS):
            self._check_open(deadline_ns)
            if batch.num_rows:
                yield batch

    async def evolve(self, name: str, changes: Sequence[ColumnChange], *, deadline_ns: int | None = None) -> TableInfo:
        table = self._table(name, deadline_ns)
        table.take_shape(evolved(table.shape.spec, changes), changes)
        return await self.info(name)

    async def snapshots(
        self, name: str, branch: str = MAIN, limit: int = SNAPSHOTS_MAX, *, deadline_ns: int | None = None
    ) -> list[Snapshot]:
        table = self._table(name, deadline_ns)
        check_limit(limit)
        states = self._line(table, self._head(table, name, branch))
        return [state.snapshot for state in islice(states, min(limit, SNAPSHOTS_MAX))]

    async def point(
        self, name: str, branch: str, snapshot: int, *, expect: int | None = None, deadline_ns: int | None = None
    ) -> None:
        table = self._table(name, deadline_ns)
        check_branch(branch)
        if snapshot not in table.states:
            raise refusals.no_snapshot(name, snapshot)
        found = table.branches.get(branch, 0)
        if expect is not None and found != expect:
            raise refusals.moved(branch, found, expect)
        table.branches[branch] = snapshot

    async def drop_branch(self, name: str, branch: str, *, deadline_ns: int | None = None) -> bool:
        table = self._table(name, deadline_ns)
        if branch == MAIN:
            raise refusals.main_stays()
        return table.branches.pop(check_branch(branch), None) is not None

    def _commit(
        self,
        table: _Table,
        name: str,
        branch: str,
        expect: int | None,
        change: Change,
        summary: dict[str, str],
        make: Callable[[Any], Any],
    ) -> Snapshot:
        old = self._old(table, name, branch, expect)
        rows = make(old)
        parent = table.branches[branch]
        self._last += 1
        snapshot = Snapshot(
            id=self._last,
            parent=parent,
            committed_us=self._environment.now_us(),
            change=change,
            rows=rows.num_rows,
            summary=summary,
        )
        table.states[snapshot.id] = _State(snapshot, rows, table.shape)
        table.branches[branch] = snapshot.id
        return snapshot

    def _old(self, table: _Table, name: str, branch: str, expect: int | None) -> Any:
        """The rows that a branch has, under the ids of the columns that the table has."""
        found = self._head(table, name, branch)
        if expect is not None and found != expect:
            raise refusals.moved(branch, found, expect)
        return _under_ids(table.states[found].rows if found else None, table.shape)

    def _taken(self, table: _Table, data: ArrowStream, touched: Touched | None = None) -> Any:
        """The rows of `data`, under the ids of their columns."""
        columns = table.shape.spec.columns
        taken: list[Any] = []
        for part in slices(data, columns):
            if touched is not None:
                touched.add(part)
            taken.append(part.rename_columns(table.shape.ids))
        schema = pa.schema([(number, TYPES[each.type]) for number, each in zip(table.shape.ids, columns, strict=True)])
        return pa.concat_tables([part.cast(schema) for part in taken]) if taken else schema.empty_table()

    def _without(self, table: _Table, rows: Any, gone: Filter) -> Any:
        found = expression(gone, table.shape.spec.columns)
        if found is None:
            return rows.slice(0, 0)
        shown = _shown(rows, table.shape)
        left = shown.filter(found.is_null() | ~found).rename_columns(table.shape.ids)
        return _under_ids(left, table.shape)

    def _at(self, table: _Table, name: str, at: At) -> tuple[Any, _Shape]:
        if at.snapshot is None and at.time_us is None:
            head = self._head(table, name, at.branch)
            if at.branch == MAIN or not head:
                return (table.states[head].rows if head else None), table.shape
            return table.states[head].rows, table.states[head].shape
        for state in table.states.values() if at.snapshot is not None else self._line(table, table.branches[MAIN]):
            if state.snapshot.id == at.snapshot or (
                at.time_us is not None and state.snapshot.committed_us <= at.time_us
            ):
                return state.rows, state.shape
        raise refusals.no_snapshot(name, at.snapshot if at.time_us is None else f"as of {at.time_us}")

    def _line(self, table: _Table, head: int) -> Iterator[_State]:
        while head in table.states:
            yield table.states[head]
            head = table.states[head].snapshot.parent

    def _head(self, table: _Table, name: str, branch: str) -> int:
        found = table.branches.get(check_branch(branch))
        if found is None:
            raise refusals.no_branch(name, branch)
        return found

    def _table(self, name: str, deadline_ns: int | None = None) -> _Table:
        self._check_open(deadline_ns)
        found = self._tables.get(check_name(name))
        if found is None:
            raise refusals.no_table(name)
        return found

    def _check_open(self, deadline_ns: int | None = None) -> None:
        if not self._open:
            raise refusals.stopped()
        if deadline_ns is not None and self._environment.monotonic_ns() >= deadline_ns:
            raise refusals.late()


def _under_ids(rows: Any, shape: _Shape) -> Any:
    """The rows in the columns of `shape`: those they have not are empty, and those it has not are gone."""
    wanted = [(number, TYPES[each.type]) for number, each in zip(shape.ids, shape.spec.columns, strict=True)]
    if rows is None:
        return pa.schema(wanted).empty_table()
    there = set(rows.column_names)
    columns = [
        rows.column(number).cast(kind) if number in there else pa.nulls(rows.num_rows, kind) for number, kind in wanted
    ]
    return pa.table(columns, schema=pa.schema(wanted)) if columns else rows


def _shown(rows: Any, shape: _Shape) -> Any:
    """The rows in columns by their names."""
    names = [column.name for column in shape.spec.columns]
    shown = _under_ids(rows, shape).rename_columns(names)
    return shown.cast(schema_of(shape.spec.columns))
