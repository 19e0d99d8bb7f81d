"""The records port: sorted records in partitions, with one conflict rule on every engine.

A table holds partitions; a partition holds rows sorted by key. Each row is one *cell* of
`soundstage.core.version`. Engines keep, per row, the greatest cell they were given, and per partition the
tombstones that hide rows; they answer with live rows only. What they answer depends on the set of cells
accepted, never on order, repetition or batching.

To write another engine: implement `Records`, announce what else it can in `capabilities`, and run
`soundstage.testing.records.RecordsSuite` over it. `soundstage.engines.records.memory` is the specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import msgspec

BATCH_MAX_BYTES = 4 << 20
BATCH_MAX_ITEMS = 5_000
PARTITION_MAX_BYTES = 1_024
KEY_MAX_BYTES = 4_096
SEGMENTS_MAX = 1_024
TOMBSTONES_MAX = 1_000

KEY_CEILING = b"\xff" * (KEY_MAX_BYTES + 1)
"""Greater than every key: where a read down from the last key resumes when it returned nothing."""

IN_FLIGHT_MAX_US = 60_000_000
"""A write accepted at the door reaches its engine within this time or is given up."""

Cell: TypeAlias = bytes
Row: TypeAlias = tuple[bytes, Cell]
"""A key and the cell that won it."""


class Capability(StrEnum):
    """What an engine can beyond `Records`; ask, never catch."""

    CONDITIONAL = "conditional"
    STATISTICS = "statistics"
    CHECKPOINT = "checkpoint"
    ATOMIC_WITH_LOG = "atomic_with_log"
    DURABLE = "durable"
    TRANSFER = "transfer"
    COSTLY_CONDITIONS = "costly_conditions"
    SHARED = "shared"
    """Stages with the same URL see the same rows, those on other hosts too. An engine of another process (`host:`) is
    as shared as the one behind it."""
    HOSTED = "hosted"
    """Another process has the engine (`host:`): all stages of this machine that go by it see the same rows."""
    COPIES = "copies"
    """A row has several copies, which may differ for a while: `eventual` and `scope` of a table mean something."""
    BULK = "bulk"
    """Batches of many partitions cost little more than those of one."""
    LOOSE = "loose"
    """Of those so few answer for a table without `scope` that a read may miss what was acknowledged."""


class TableSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A table as created. `name` is `<system>/<namespace>` or `<system>/<namespace>/<part>`.

    Fixed at creation: `conditional`, `key_order`, `dedicated`. `max_lag_us` bounds how old an accepted
    write may be; the two `delete_ttl` bounds spread the removal of item markers. `eventual`: where an engine keeps
    several replicas, calls need not reach most of them, so that nobody is promised to see what was just written.
    `serial`: where an engine keeps several replicas, a read of a partition of a conditional table first decides what
    writes of unknown outcome are under way there, so that each partition is linearizable. `own`: the few and small
    notes of whoever could not clear away without them: an engine whose disk is near full goes on to take them.
    `scope`, of engines with `COPIES`: whether those in the engine's own region answer for a call or those everywhere;
    without it that is as the engine is set. Of a conditional table it is fixed, and `region`, which the engine fills
    in, is the one where a local one is decided.
    """

    name: str
    conditional: bool = False
    key_order: Literal["asc", "desc"] = "asc"
    dedicated: bool = False
    max_lag_us: int = 600_000_000
    delete_ttl_min_us: int = 3_600_000_000
    delete_ttl_max_us: int = 86_400_000_000
    eventual: Literal[True] | msgspec.UnsetType = msgspec.UNSET
    serial: Literal[True] | msgspec.UnsetType = msgspec.UNSET
    own: Literal[True] | msgspec.UnsetType = msgspec.UNSET
    scope: Literal["local", "global"] | msgspec.UnsetType = msgspec.UNSET
    region: str | msgspec.UnsetType = msgspec.UNSET


class RangeDelete(NamedTuple):
    """Hides every older cell with start <= key < end; `end` None reaches to the last key."""

    start: bytes
    end: bytes | None
    cell: Cell


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What one call changes in one partition; it applies whole or not at all.

    `cells` are puts and item markers, each key at most once. `partition` hides all older cells.
    """

    cells: Sequence[Row] = ()
    ranges: Sequence[RangeDelete] = ()
    partition: Cell | None = None


class Stamp(NamedTuple):
    """Time and token of a version, as conditions and replies name it."""

    time_us: int
    token: str


class Condition(NamedTuple):
    """Holds when the item `key` (None: the whole record) is at `stamp`, or absent when `stamp` is None.

    An item is absent when no live cell holds its key; a record is absent when it has no live item. The
    stamp of a record is that of the greatest version it ever accepted, deletes included.
    """

    key: bytes | None
    stamp: Stamp | None


class Conditional(msgspec.Struct, frozen=True, kw_only=True):
    """The conditions of a write, all of which must hold, and what makes its repetition known.

    `token` names the call; `digest` its contents. `limit_us` is the latest time the engine may stamp.
    """

    conditions: Sequence[Condition]
    token: str
    digest: bytes
    limit_us: int


class Span(msgspec.Struct, frozen=True):
    """Keys from `start` (inclusive) to `end` (exclusive; None: to the last), read up or down."""

    start: bytes = b""
    end: bytes | None = None
    reverse: bool = False


class Budget(msgspec.Struct, frozen=True):
    """Where a read stops: after `rows` rows, at `bytes` of keys and cells, or by `deadline_ns`.

    The first row is returned even when it is larger than `bytes`. `deadline_ns` is on the environment's
    monotonic clock; past it a read returns what it has (possibly nothing) and where to go on.

    `likely_rows` is how many rows the caller thinks will fill `bytes`. A store that can limit rows only asks
    for so many and may return all of them; those that stop at `bytes` by themselves have no use for it.
    """

    rows: int = 10_000
    bytes: int = 2 << 20
    deadline_ns: int | None = None
    likely_rows: int | None = None


ALL = Span()
DEFAULT_BUDGET = Budget()


class Mark(Protocol):
    """What one read of a record found is still what there is, its expiry aside, for as long as this is `current`.

    It ends before a write of the record is seen by any reader, and never comes back. It says nothing of a table that
    has been dropped.
    """

    @property
    def current(self) -> bool: ...


class Page(msgspec.Struct, frozen=True, gc=False, eq=False):
    """Live rows in reading order.

    `resume` is None at the end, else the bound to go on from: as `start` of the next span going up, as
    `end` going down. `stamp` is the record's greatest version ever accepted, None for a record never
    written. `mark` may come with what `get` returns, from engines whose every write passes through this process.
    `unused` counts the bytes of rows that the store returned for it and that it has not, or has them a second time;
    it is no part of what a page says, and pages that differ in it alone are equal.
    """

    rows: list[Row]
    resume: bytes | None
    stamp: Stamp | None
    mark: Mark | None = None
    unused: int = 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Page):
            return NotImplemented
        ours, theirs = (each.rows for each in (self, other))
        return ours == theirs and (self.resume, self.stamp, self.mark) == (other.resume, other.stamp, other.mark)


class WalkPage(msgspec.Struct, frozen=True, gc=False):
    """Partitions with their live rows; the last may go on in the next page. `position` None: the end.

    `cut` false says that it does not: `position` is the beginning of a partition of which nothing was read. Engines
    that cannot tell leave it true.
    """

    partitions: list[tuple[bytes, list[Row]]]
    position: bytes | None
    cut: bool = True


class Sweep(NamedTuple):
    """What one call of the sweeper did. `backlog` counts rows still due, capped where counting costs."""

    purged: int
    backlog: int
    oldest_due_us: int | None


class Records(Protocol):
    """The calls every engine has. Every table must exist, else `NotFound`.

    Calls may be made outside of any task: what asks for the current one, as `asyncio.timeout` does, fails there.

    An answer is durable at the engine's durability, for readers too. Failures are those of
    `soundstage.core.errors`: `Unavailable` (with `outcome`), `Exhausted`, `DeadlineExceeded`, `TooLarge`,
    `DataLoss`.
    """

    capabilities: frozenset[Capability]

    async def start(self) -> None:
        """Open; what an earlier run acknowledged is there. Call once."""
        ...

    async def stop(self) -> None:
        """Flush and close; idempotent. Calls still under way end with `Unavailable`."""
        ...

    async def create_table(self, spec: TableSpec) -> None:
        """The table exists. Idempotent; with other fixed settings `AlreadyExists`; others are updated."""
        ...

    async def drop_table(self, name: str) -> None:
        """The table is gone, at a cost that does not depend on its size. Unknown names are no error."""
        ...

    async def tables(self) -> list[TableSpec]:
        """All tables, by name."""
        ...

    async def set_purge_floor(self, name: str, floor_us: int | None) -> None:
        """Nothing of `floor_us` or later is purged until set to None; kept across restarts."""
        ...

    async def apply(
        self,
        table: str,
        partition: bytes,
        batch: Batch,
        *,
        conditional: Conditional | None = None,
        deadline_ns: int | None = None,
    ) -> int:
        """`batch` is accepted; return the greatest time it was stamped with, in microseconds.

        With `conditional` (conditional tables only, else `InvalidArgument`): all conditions held, the
        cells carry max(their time, the record's greatest + 1), and a ledger entry makes a repetition of
        the same token and digest return the same answer without effect; another digest is `TokenReused`, and
        so is a batch without `conditional` under that token, of the time of that call or before.
        A condition that fails is `PreconditionFailed`; a stamp over `limit_us` is `Unavailable`.
        Raises `TooLarge` over 4 MiB or 5,000 items.
        """
        ...

    async def get(
        self, table: str, partition: bytes, keys: Sequence[bytes], now_us: int, budget: Budget | None = None
    ) -> Page:
        """The live rows among `keys`, in the order asked, as of one moment.

        With a `budget` it stops as a read does; `resume` is then the first of `keys` that was not answered.
        """
        ...

    async def read(self, table: str, partition: bytes, span: Span, budget: Budget, now_us: int) -> Page:
        """Live rows of `span`, one page. All or none of an acknowledged batch's rows in it are seen."""
        ...

    async def read_many(
        self, table: str, partitions: Sequence[bytes], span: Span, budget: Budget, now_us: int
    ) -> list[Page]:
        """One page per partition, in request order; `budget` is for all.

        Ones not reached are empty and resume at their beginning: `start`, or `end` or `KEY_CEILING` going down.
        """
        ...

    async def walk(
        self,
        table: str,
        segment: int,
        segments: int,
        position: bytes | None,
        budget: Budget,
        now_us: int,
    ) -> WalkPage:
        """A page of the walk over one of `segments` equal parts of a table, in the engine's stable order.

        Partitions without live rows are left out. `position` None starts; a page may be empty and still
        carry a position. Raises `InvalidArgument` for a position that no walk returned.
        """
        ...

    async def sweep(self, budget_rows: int) -> Sweep:
        """Remove up to `budget_rows` rows that are due by the rule of purging; never a visible one."""
        ...


class TableStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Estimates; `histogram` counts partitions by the power of two of their bytes, from a sample."""

    rows: int
    bytes: int
    partitions: int
    tombstones: int
    histogram: dict[int, int]


@runtime_checkable
class Statistics(Protocol):
    """`Capability.STATISTICS`."""

    async def statistics(self, table: str) -> TableStatistics: ...


@runtime_checkable
class Bulk(Protocol):
    """`Capability.BULK`."""

    async def apply_each(
        self, table: str, batches: Sequence[tuple[bytes, Batch]], *, deadline_ns: int | None = None
    ) -> None:
        """Every batch is accepted by its partition as `apply` accepts one without conditions.

        A partition is named once. Raises what `apply` raises, and `TooLarge` where they have more than 5,000 items or
        4 MiB together; some may be accepted then, unless the error's `outcome` is `not_applied`.
        """
        ...


@runtime_checkable
class Copies(Protocol):
    """`Capability.COPIES`."""

    async def get_from_all(
        self, table: str, partition: bytes, keys: Sequence[bytes], now_us: int, deadline_ns: int | None = None
    ) -> Page:
        """The live rows among `keys`, in any order, that any copy in any region has.

        What was acknowledged is seen, by however few copies. `Unavailable` while one of them does not answer. For few
        keys, and for who would lose something by not knowing.
        """
        ...


@runtime_checkable
class Checkpoints(Protocol):
    """`Capability.CHECKPOINT`: copies of the whole engine in a folder of the caller's own machine."""

    async def checkpoint(self, folder: str) -> None:
        """`folder`, which must not exist, holds everything acknowledged before the call, openable."""
        ...

    async def restore(self, folder: str, tables: Sequence[str] | None = None) -> None:
        """The named tables (all: None) are as in the checkpoint `folder`, while others are being served.

        Refused with `AlreadyExists` when a table of that name exists.
        """
        ...
