"""The slices of one namespace, as all processes agree on them.

Data on disk: table `timeseries/<namespace>`, partition `slices`, a row `slice/<number>` for each and the row `head`,
which every change writes: of two who change slices at once one is too late, and looks again. A slice is written down
before its table is made, and marked before that is dropped, so that a table that no slice has is nobody's.

What is kept of it here is looked at by every read, which costs one look-up of the store, and by writes once a minute,
and when it lacks what they need: a slice that is there changes only in which tables it has, and one without an end
grows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from soundstage.core.errors import (
    DataLoss,
    Exhausted,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    SoundstageError,
    Unavailable,
)
from soundstage.core.time import NS_PER_S
from soundstage.data.timeseries.config import Layout
from soundstage.data.timeseries.slices import SLICE_FORMAT, UNMOVED, Left, Slice, covering, following, planned
from soundstage.engines.records.port import Records, Stamp, TableSpec
from soundstage.runtime.system_table import Entry, SystemTable

PARTITION = "slices"
HEAD = "head"
SLICE = "slice/"

FORMAT = 1

SLICES_MAX = 4_096
"""Of one namespace: each is a table of its engine."""

TRIES_MAX = 20

SETTLED_NS = 60 * NS_PER_S
"""A slice that ended before is looked up before it is written to: only younger ones never have another table."""

KNOWN_NS = 60 * NS_PER_S
"""What a write goes by is no older, whatever the clocks of other processes say of the end of a slice."""

PREPARED_AT_ONCE = 2
"""Slices: that of the present, and the next."""


class Head(msgspec.Struct, frozen=True, array_like=True):
    """`numbers` counts the slices that there ever were."""

    numbers: int = 0
    format: int = FORMAT


class _Known(msgspec.Struct, frozen=True):
    """The catalogue at one moment, in the order of time; `going` are those that are being dropped."""

    stamp: Stamp | None
    head: Head
    head_stamp: Stamp | None
    slices: tuple[Slice, ...]
    going: tuple[Slice, ...]


_NOTHING = _Known(None, Head(), None, (), ())

Change = Callable[[_Known], tuple[Head, dict[str, Slice | None]]]
"""What is to be written of what is known: the next head, and slices by their rows; None deletes one."""


async def _as_configured(layout: Layout) -> Layout:
    return layout


class Catalogue:
    """The slices of a namespace of one generation. `prefix` is what the names of their tables begin with.

    `adjusted` says what becomes of a configured layout when slices are made by it.
    """

    def __init__(
        self,
        table: SystemTable,
        records: Records,
        prefix: str,
        adjusted: Callable[[Layout], Awaitable[Layout]] = _as_configured,
    ) -> None:
        self._adjusted = adjusted
        self._table = table
        self._records = records
        self._prefix = prefix
        self._known = _NOTHING
        self._changing = asyncio.Lock()
        self._swept = False
        self._looked_ns: int | None = None

    @property
    def slices(self) -> tuple[Slice, ...]:
        """Those that were known when it was last looked, in the order of time, without any that is being dropped."""
        return self._known.slices

    @property
    def numbers(self) -> int:
        """How many slices there ever were, as it was when it was last looked."""
        return self._known.head.numbers

    @property
    def runs(self) -> set[str]:
        """Every run of segments that a slice names, one that is being dropped included, as of the last look."""
        return {run.name for each in (*self.slices, *self._known.going) for run in runs_of(each)}

    async def refresh(self) -> None:
        """What was acknowledged of them before is known."""
        if self._known.stamp is None or await self._table.stamp(PARTITION) != self._known.stamp:
            await self._load()

    async def refresh_seldom(self, monotonic_ns: int) -> None:
        """What was acknowledged of them `KNOWN_NS` ago is known, by the clock that only goes on."""
        if self._looked_ns is None or monotonic_ns - self._looked_ns >= KNOWN_NS:
            await self.refresh()
            self._looked_ns = monotonic_ns

    async def cover(self, times: Iterable[int], layout: Layout, *, dedicated: bool) -> None:
        """Every one of `times` is in a slice, whose table exists."""
        wanted = sorted(set(times))
        if not self._lacks(wanted):
            return
        async with self._changing:
            await self._load()
            if self._lacking(wanted):
                layout = await self._adjusted(layout)
                await self._change(lambda known: self._made(known, wanted, layout, dedicated=dedicated))
            # Of one whose events lie in segments there is a table only where one is written to.
            unmade = [
                each
                for each in self.slices
                if not each.made and (each.moved == UNMOVED or any(each.start <= at < each.end for at in wanted))
            ]
            for each in unmade:
                await self._records.create_table(TableSpec(name=each.table, dedicated=each.dedicated))
            # All at once: each change reads the whole catalogue anew.
            await self._change(lambda known: (known.head, _with_tables(unmade, known)))

    async def check_kept(self, table: str, error: NotFound) -> None:
        """Raise `DataLoss` where a slice says that it has the table of which a store says that it is not there."""
        await self._load()
        if any(table in each.tables for each in self.slices):
            raise DataLoss(
                f"the table {table} of a time slice is missing", hint="restore it from a backup, or drop the slice"
            ) from error

    async def check_there(self, found: Slice, error: NotFound) -> None:
        """Nothing, where the slice was dropped meanwhile; else raises what became of what an engine says is not there.

        `DataLoss` where the slice says that it has it, `Unavailable` where the events lie elsewhere by now.
        """
        await self._load()
        now = self.numbered(found.number)
        if now is None:
            return
        if set(found.sources) <= set(now.sources):
            raise DataLoss(
                f"a part of a time slice is missing: {error.detail}",
                hint="restore it from a backup, or drop the slice",
            ) from error
        raise Unavailable(
            "the events of a time slice were moved while they were read", hint="read again", outcome="not_applied"
        ) from error

    async def has_moved(self, found: Slice) -> bool:
        """Whether the slice is there, and has not all any more that it had when it was `found`."""
        await self._load()
        now = self.numbered(found.number)
        return now is not None and not set(found.sources) <= set(now.sources)

    def may_have_moved(self, oldest_ns: int, now_ns: int) -> bool:
        """Whether the slice of an event of that time or a later one may be written to elsewhere than is known here."""
        for each in reversed(self.slices):
            if each.end <= oldest_ns:
                return False
            if each.end <= now_ns - SETTLED_NS:
                return True
        return False

    def numbered(self, number: int) -> Slice | None:
        """The slice of that number, as it was when it was last looked; None where it is gone."""
        return next((each for each in self.slices if each.number == number), None)

    async def alter(self, number: int, change: Callable[[Slice], Slice | None]) -> Slice | None:
        """The slice of that number is what `change` made of it as it is, at once and whole; returns it.

        None where it is gone, or `change` wants nothing changed.
        """
        done: Slice | None = None

        def altered(known: _Known) -> tuple[Head, dict[str, Slice | None]]:
            nonlocal done
            found = next((each for each in known.slices if each.number == number), None)
            done = None if found is None else change(found)
            return known.head, {} if done is None else {_row(done): done}

        async with self._changing:
            await self._load()
            await self._change(altered)
        return done

    async def prepare(self, now_ns: int, layout: Layout, *, dedicated: bool) -> bool:
        """The slice that will be needed next exists; whether any was made.

        Where tables are `dedicated` that of the present is one: to make it takes longer than a write should.
        """
        await self.refresh()
        made = False
        for _ in range(PREPARED_AT_ONCE):
            due = following(self.slices, now_ns, layout, ahead=dedicated)
            if due is None:
                break
            await self.cover([due], layout, dedicated=dedicated)
            made = True
        return made

    async def drop(
        self,
        is_due: Callable[[Slice], bool],
        check: Callable[[], None],
        clear: Callable[[Left], Awaitable[None]] | None = None,
    ) -> int:
        """Slices that are due, and those that an earlier call left half-way, are gone with their tables; how many.

        `clear` removes the segments of a run; without it slices that have some stay as they are. Where it fails the
        slice is gone later, all others are now, and the first failure is raised in the end. `check` raises once another
        may be at it. Tables that no slice has, which a process left that died or was slow, go with the first call and
        with every drop.
        """
        async with self._changing:
            await self._load()
            due = [each for each in self.slices if is_due(each)]
            if due:
                rows = {_row(each): msgspec.structs.replace(each, dropping=True) for each in due}
                check()
                await self._change(lambda known: (known.head, _still(rows, known)))
            going = self._known.going
        # Who writes to other slices does not wait for what engines take to remove these.
        failed, gone = list[SoundstageError](), 0
        for each in going:
            if clear is None and runs_of(each):
                continue
            failure = await self._remove(each, check, clear)
            if failure is None:
                gone += 1
            else:
                failed.append(failure)
        if going or not self._swept:
            await self._sweep(check)
        if failed:
            raise failed[0]
        return gone

    async def _remove(
        self, found: Slice, check: Callable[[], None], clear: Callable[[Left], Awaitable[None]] | None
    ) -> SoundstageError | None:
        """The slice, which is being dropped, is gone; else why segments of it could not be removed."""
        for table in _tables(found):
            check()
            await self._records.drop_table(table)
        for run in runs_of(found):
            check()
            assert clear is not None
            try:
                await clear(run)
            except SoundstageError as error:
                return error
        await self._forget(found)
        return None

    async def _forget(self, gone: Slice) -> None:
        def forgotten(known: _Known) -> tuple[Head, dict[str, Slice | None]]:
            there = any(each.number == gone.number for each in known.going)
            return known.head, {_row(gone): None} if there else {}

        async with self._changing:
            await self._change(forgotten)

    async def _sweep(self, check: Callable[[], None]) -> None:
        """No table is there that no slice has: every slice is written down before its table is made."""
        listed = await self._records.tables()
        await self._load()
        have = {table for each in (*self.slices, *self._known.going) for table in _tables(each)}
        for spec in listed:
            if spec.name.startswith(self._prefix) and spec.name not in have:
                check()
                await self._records.drop_table(spec.name)
        self._swept = True

    def _lacks(self, times: Sequence[int]) -> bool:
        """Whether one of `times`, which are in order, is in no slice that has a table."""
        end: int | None = None
        for time_ns in times:
            if end is not None and time_ns < end:
                continue
            found = covering(self.slices, time_ns)
            if found is None or not found.made:
                return True
            end = found.end
        return False

    def _lacking(self, times: Sequence[int]) -> bool:
        return any(covering(self.slices, each) is None for each in times)

    def _made(
        self, known: _Known, times: Sequence[int], layout: Layout, *, dedicated: bool
    ) -> tuple[Head, dict[str, Slice | None]]:
        """Slices for all of `times`."""
        slices, changes, numbers = list(known.slices), dict[str, Slice | None](), known.head.numbers
        for time_ns in times:
            if covering(slices, time_ns) is not None:
                continue
            found = planned(slices, time_ns, layout, numbers + 1, self._prefix)
            if found.number > numbers:
                numbers, found = found.number, msgspec.structs.replace(found, dedicated=dedicated)
            slices = sorted(
                [found, *(each for each in slices if each.number != found.number)], key=lambda each: each.start
            )
            changes[_row(found)] = found
        if len(slices) > SLICES_MAX:
            raise Exhausted(
                f"the events lie in more than {SLICES_MAX} slices, and no namespace has more",
                field="events",
                hint="raise `time_partition.seconds_per_slice`, or let older slices be deleted first",
                retryable=False,
            )
        return Head(numbers), changes

    async def _change(self, change: Change) -> None:
        """What `change` makes of the slices as they are is stored, and known."""
        for _ in range(TRIES_MAX):
            head, slices = change(self._known)
            if not slices:
                return
            rows: dict[str, bytes | None] = {
                row: None if each is None else msgspec.msgpack.encode(each) for row, each in slices.items()
            }
            rows[HEAD] = msgspec.msgpack.encode(head)
            try:
                await self._table.write(PARTITION, rows, {HEAD: self._known.head_stamp}, onward=True)
            except PreconditionFailed:
                await self._load()
                continue
            await self._load()
            return
        raise Unavailable("others change the slices of the namespace all the time", outcome="not_applied")

    async def _load(self) -> None:
        # The stamp first: what changes meanwhile is found by the next look.
        stamp = await self._table.stamp(PARTITION)
        entries = await self._table.read(PARTITION, "")
        head = entries.pop(HEAD, None)
        slices = sorted((_slice(entry) for entry in entries.values()), key=lambda each: each.start)
        self._known = _Known(
            stamp,
            Head() if head is None else msgspec.msgpack.decode(head.value, type=Head),
            None if head is None else head.stamp,
            tuple(each for each in slices if not each.dropping),
            tuple(each for each in slices if each.dropping),
        )


def _with_tables(found: Sequence[Slice], known: _Known) -> dict[str, Slice | None]:
    """Of `found`, whose tables exist, those that are still there and of which nobody has said so."""
    tables = {each.table for each in found}
    unmade = [each for each in known.slices if each.table in tables and not each.made]
    return {_row(each): msgspec.structs.replace(each, made=True) for each in unmade}


def _still(rows: dict[str, Slice], known: _Known) -> dict[str, Slice | None]:
    """Of `rows` those whose slices are still there."""
    there = {_row(each) for each in known.slices}
    return {row: each for row, each in rows.items() if row in there}


def runs_of(found: Slice) -> list[Left]:
    """Every run of segments that the slice has, is to have or had."""
    moved = found.moved
    runs = [each for each in moved.left if each.engine]
    if moved.building is not None:
        runs.append(moved.building)
    if moved.compacted is not None:
        runs.append(Left(moved.compacted.run, moved.compacted.at_us, moved.compacted.engine))
    return runs


def _tables(found: Slice) -> set[str]:
    """Every table that the slice has, is to have or had."""
    return {found.table, *found.moved.sealed, *(each.name for each in found.moved.left if not each.engine)}


def _row(found: Slice) -> str:
    return f"{SLICE}{found.number:012d}"


def _slice(entry: Entry) -> Slice:
    found = msgspec.msgpack.decode(entry.value, type=Slice)
    if found.format > SLICE_FORMAT:
        raise InvalidArgument(
            f"a time slice has the format {found.format}; this release knows {SLICE_FORMAT}",
            hint="read the namespace with the release that wrote it, or a newer one",
        )
    return found
