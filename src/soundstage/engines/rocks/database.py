"""The embedded database: one folder, one owner process, shared by every port bound to it.

On disk: RocksDB's files, `OWNER` (the lock, naming the owner) and `FORMAT`. Ports keep their rows in column
families and write them through `atomically`, one batch for all of them together.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from types import CoroutineType
from typing import Any, Protocol, TypeAlias, TypeVar, TypeVarTuple, cast
from weakref import WeakSet

import rocksdict
from rocksdict import CompactOptions, Rdict, WriteBatch

from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted, SoundstageError, Unavailable
from soundstage.engines.rocks import refusals
from soundstage.engines.rocks.atomic import AtomicBatch
from soundstage.engines.rocks.commit import GroupCommit
from soundstage.engines.rocks.copying import copy_to
from soundstage.engines.rocks.disk import Disk, Stalled
from soundstage.engines.rocks.folder import FolderLock, check_format, sync_file, sync_folder
from soundstage.engines.rocks.moment import Moment
from soundstage.engines.rocks.opening import families_of, open_rdict
from soundstage.engines.rocks.options import RocksOptions
from soundstage.engines.rocks.settings import block_cache, family_options
from soundstage.engines.rocks.space import LowWater

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

FAMILIES_MAX = 256
CHORES_MAX = 64
"""Compactions and copies that may be waiting for one another."""

STALL_WAIT_S = 0.002
STALL_WAITS_MAX = 1_000

AT_ONCE_MAX = 64
"""Of so many calls of `atomically` that need not wait one lets others run, as who makes them in a loop might never."""

Handle: TypeAlias = rocksdict.ColumnFamily


class Guest(Protocol):
    """A port that keeps its rows in a database."""

    def let_go(self) -> None:
        """It uses nothing of the database any more; must not raise.

        Called when the guest leaves, and when the database had to be closed under it.
        """
        ...


class Family:
    """A column family to read from, and the handle that batches name it by.

    Both are empty once the database has closed: one that lives on, be it in the frames of an error that somebody
    keeps, would keep the files open and the folder locked. Keep this, and what is in it for a moment only.
    """

    __slots__ = ("__weakref__", "db", "handle")

    def __init__(self, db: Rdict, handle: Handle) -> None:
        self.db: Rdict = db
        self.handle: Handle = handle

    def let_go(self) -> None:
        """Nothing in it is open."""
        self.db = cast("Rdict", None)
        self.handle = cast("Handle", None)


def one_thread(name: str) -> Executor:
    """A thread of its own."""
    return ThreadPoolExecutor(1, thread_name_prefix=name)


class Database:
    """One folder, open from the first guest's `open` to the last one's `close`; for one event loop.

    `disk` and `executor` are for tests.
    """

    def __init__(
        self,
        folder: str,
        options: RocksOptions,
        environment: Environment,
        *,
        disk: Disk | None = None,
        executor: Callable[[str], Executor] = one_thread,
    ) -> None:
        self.folder: str = os.path.abspath(folder)
        self.options = options
        self.environment = environment
        self.translation: refusals.Translation = refusals.Translation(self.folder)
        self.paused = 0
        """Reads that hold an iterator while others run; each must look at what it reads before it goes on."""
        self._shares = options.durability == "group"
        self._at_once = count(1)
        self._disk = disk or Disk()
        self.low_water: LowWater = LowWater(self.folder, options.low_water, environment, self._disk.free_bytes)
        self._new_executor = executor
        self._cache = block_cache(options.cache)
        self._guests: list[Guest] = []
        self._lock: FolderLock | None = None
        self._db: Rdict | None = None
        self._families: set[str] = set()
        self._given: WeakSet[Family] = WeakSet()
        self._failure: Exception | None = None
        self._shutting: asyncio.Task[None] | None = None
        self._chores: set[asyncio.Future[Any]] = set()
        self._flush_executor: Executor
        self._chore_executor: Executor
        self.commits: GroupCommit
        self._moment: Moment

    def open(self, guest: Guest) -> None:
        """`guest` may use the database; what was acknowledged is there.

        Raises `Unavailable` when another process holds the folder (naming it) or it cannot be used,
        `InvalidArgument` for a newer format and `DataLoss` when what lies there is damaged. Having raised, it
        holds nothing.
        """
        if self._lock is None:
            self._open_folder()
        elif self._db is None:
            raise self.refusal()
        self._guests.append(guest)

    async def close(self, guest: Guest) -> None:
        """`guest` has left. With the last one everything written is durable and the folder free. Idempotent."""
        if guest in self._guests:
            self._moment.end()
            self._guests.remove(guest)
            guest.let_go()
        lock = self._lock
        if self._guests or lock is None:
            return
        if self._shutting is None:
            await self.commits.settle()
            self._retire()
        if self._shutting is not None:
            await asyncio.shield(self._shutting)
        # Unless somebody who left at the same time was quicker.
        if self._lock is lock:
            self._flush_executor.shutdown()
            self._chore_executor.shutdown()
            lock.release()
            self._lock = self._shutting = None

    def announce(self, url: str | None) -> None:
        """Whoever finds the folder held is told this address."""
        if self._lock is not None:
            self._lock.announce(url)

    @property
    def rdict(self) -> Rdict:
        """The default column family; raises `Unavailable` when closed or failed."""
        if self._db is None:
            raise self.refusal()
        return self._db

    @property
    def families(self) -> frozenset[str]:
        """The names of the column families that are there."""
        return frozenset(self._families)

    def family(self, name: str) -> Family:
        """The column family of that name, made when it is not there; `Exhausted` over 256."""
        db = self.rdict
        if name not in self._families:
            if len(self._families) >= FAMILIES_MAX:
                raise Exhausted(
                    f"the folder has {FAMILIES_MAX} column families, which is the limit",
                    hint="leave out `dedicated`, or use another engine",
                )
            db.create_column_family(name, family_options(self.options, self._cache))
            self._families.add(name)
        family = Family(db.get_column_family(name), db.get_column_family_handle(name))
        self._given.add(family)
        return family

    def drop_family(self, name: str) -> None:
        """The column family and its files are gone. Whoever uses it has let go. Unknown names are no error."""
        if name in self._families:
            self.rdict.drop_column_family(name)
            self._families.discard(name)

    def write(self, batch: WriteBatch) -> None:
        """`batch` is in the log, whole, and seen by every later read; not durable before the next flush.

        Raises `Stalled`, having done nothing, rather than wait; `Unavailable` when the disk refuses.
        """
        db = self.rdict
        try:
            self._disk.write(db, batch)
        except Stalled:
            raise
        except Exception as error:
            self._fail(error)
            raise refusals.not_flushed(error) from error

    async def atomically(
        self, build: Callable[[AtomicBatch, *Ts], T], *given: *Ts, deadline_ns: int | None = None
    ) -> T:
        """What `build`, called with a batch and what is `given`, puts there is written, whole and durable.

        Returns what it returned.

        `build` resolves and must not wait; it runs again, with a fresh batch, when the disk could not take the
        first one at once. What it raises is raised after the flush of whatever it touched, like every answer.
        Raises `DeadlineExceeded` before anything is done, `Exhausted` when the disk does not keep up.
        """
        if deadline_ns is not None and self.environment.monotonic_ns() >= deadline_ns:
            raise refusals.deadline_passed()
        for _ in range(STALL_WAITS_MAX):
            batch = AtomicBatch()
            try:
                result = build(batch, *given)
                batch.complete()
                written = not batch.rows.is_empty()
                if written:
                    self.write(batch.rows)
                    batch.was_written()
            except Stalled:
                await self._wait_for_room(deadline_ns)
                continue
            except SoundstageError:
                gate = self.commits.gate_each(list(batch.keys))
                if gate is not None:
                    await gate
                raise
            except Exception as error:
                self.translation.translate(error)
                raise
            keys = list(batch.keys)
            waiter = self.commits.join(keys) if written else self.commits.gate_each(keys)
            if waiter is not None:
                await waiter
            elif next(self._at_once) % AT_ONCE_MAX == 0:
                await self.environment.sleep(0)
            return result
        raise refusals.stalled()

    def together(
        self,
        share: Callable[[AtomicBatch, *Ts], T | None],
        alone: Callable[[*Ts, int | None], CoroutineType[Any, Any, T]],
        *given: *Ts,
        deadline_ns: int | None = None,
    ) -> CoroutineType[Any, Any, T]:
        """As `atomically`, in one batch with others of the same moment; what `alone` does where that cannot be.

        `share` is given a batch that may hold writes of others; what it rests on is stored or in `batch.keys`. It
        returns None where it cannot do with that; it has put nothing there then, nor when it raises.
        """
        # Else nobody waits for a flush, or each for one of its own.
        shares = self._shares and self._db is not None
        return self._together(share, alone, given, deadline_ns) if shares else alone(*given, deadline_ns)

    async def _together(
        self,
        share: Callable[[AtomicBatch, *Ts], T | None],
        alone: Callable[[*Ts, int | None], CoroutineType[Any, Any, T]],
        given: tuple[*Ts],
        deadline_ns: int | None,
    ) -> T:
        try:
            shared = await self._moment.add(share, given, deadline_ns)
        except Stalled:
            await self._wait_for_room(deadline_ns)
        else:
            if shared is not None:
                return shared
        return await alone(*given, deadline_ns)

    async def _wait_for_room(self, deadline_ns: int | None) -> None:
        if deadline_ns is not None and self.environment.monotonic_ns() >= deadline_ns:
            raise refusals.stalled()
        await self.environment.sleep(STALL_WAIT_S)

    def refusal(self) -> Unavailable:
        """Why the database is not open."""
        return refusals.stopped() if self._failure is None else refusals.closed_after(self.folder, self._failure)

    @property
    def lost(self) -> str | None:
        """Why it was closed under its guests; None while nothing has failed."""
        return None if self._failure is None else str(self.refusal())

    async def checkpoint(self, folder: str) -> None:
        """`folder`, which must not exist, holds everything acknowledged before the call, openable by itself."""
        self._check_chores()
        await self.commits.settle()
        await self._chore(lambda db: copy_to(db, self.folder, folder))

    def compact(self, family: str, start: bytes, end: bytes) -> None:
        """What was deleted between two keys gives its space back before long; nobody waits for it.

        Left to RocksDB, which gets there some day, while many are under way.
        """
        if len(self._chores) < CHORES_MAX:
            done = self._chore(lambda db: _compact(db, family, start, end))
            # A disk that fails here fails the next write, which is answered.
            done.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def idle(self) -> None:
        """No compaction or copy is under way."""
        while self._chores:
            await asyncio.wait(self._chores)

    def _check_chores(self) -> None:
        if len(self._chores) >= CHORES_MAX:
            raise Exhausted("many compactions and copies are under way", hint="try again later", retry_after_ms=5_000)

    def _chore(self, work: Callable[[Rdict], T]) -> asyncio.Future[T]:
        done = asyncio.get_running_loop().run_in_executor(self._chore_executor, work, self.rdict)
        self._chores.add(done)
        done.add_done_callback(self._chores.discard)
        return done

    def _open_folder(self) -> None:
        lock = FolderLock(self.folder)
        db: Rdict | None = None
        try:
            check_format(self.folder)
            db = open_rdict(self.folder, self.options, self._cache)
            self._families = {"default", *families_of(self.folder)}
            _settle_files(self.folder)
        except BaseException:
            if db is not None:
                db.close()
            lock.release()
            raise
        self._lock, self._db, self._failure = lock, db, None
        self._flush_executor = self._new_executor("soundstage-flush")
        self._chore_executor = self._new_executor("soundstage-compact")
        self.commits = GroupCommit(
            self._flush, self.options.durability, self.environment, self._flush_executor, self._fail
        )
        self._moment = Moment(self.write, self.commits, self.translation, self.environment)

    def _flush(self) -> None:
        self._disk.flush(self.rdict)

    def _fail(self, error: Exception) -> None:
        """Nothing is trusted after a failed write: what was read back might not be there tomorrow."""
        if self._db is not None:
            self._failure = error
            for guest in self._guests:
                guest.let_go()
            self._retire()

    def _retire(self) -> None:
        if self._db is not None:
            db, self._db = self._db, None
            for family in self._given:
                family.let_go()
            self._shutting = asyncio.get_running_loop().create_task(self._shut(db))

    async def _shut(self, db: Rdict) -> None:
        # The driver can close nothing that another thread is in, and an iterator keeps the files open.
        while self.paused:
            await self.environment.sleep(0)
        if self._chores:
            db.cancel_all_background(False)
            await self.idle()
        await asyncio.get_running_loop().run_in_executor(self._flush_executor, _close, self._disk, db)


def _compact(db: Rdict, family: str, start: bytes, end: bytes) -> None:
    options = CompactOptions()
    # An exclusive one would hold up those that keep writes from stalling.
    options.set_exclusive_manual_compaction(False)
    db.get_column_family(family).compact_range(start, end, options)


def _close(disk: Disk, db: Rdict) -> None:
    """Everybody who was promised something has had it; what the disk refuses here is in no promise."""
    for step in (lambda: disk.flush(db), db.close):
        try:
            step()
        except Exception:  # noqa: BLE001 - the driver has one class, and closing goes on
            continue


def _settle_files(folder: str) -> None:
    """What the driver wrote beside the database is on disk, so that a power loss leaves it openable."""
    try:
        for name in ("rocksdict-config.json", "FORMAT"):
            path = Path(folder, name)
            if path.exists():
                sync_file(path)
        sync_folder(Path(folder))
    except OSError as error:
        raise refusals.unusable(folder, error) from None
