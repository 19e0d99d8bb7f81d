"""Leases: one holder at a time of a name, across the processes of a stage, and proof of who held it last.

Data on disk: table `system/leases`, one partition per name, one row `lease` that is written by every take,
renewal and release. Rows do not expire, for they hold the fencing number that must only grow.

No two clocks are compared. A holder counts from before it asked, on its own monotonic clock, and gives up at
two thirds of the time; a taker that meets a lease waits the whole time, counted on its own clock from when it
first saw that very write. Pauses of a process only shorten what it believes to hold. What is written elsewhere
under a lease carries its `fence` and is refused where a greater one has been seen, which covers the rest: a
process that was stopped between looking at its lease and writing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import PreconditionFailed, SoundstageError, Unavailable
from soundstage.engines.records.port import Stamp
from soundstage.runtime.patience import within
from soundstage.runtime.system_table import Entry, SystemTable

T = TypeVar("T")

HELD_SHARE = 2 / 3
"""Of its time a holder trusts so much."""

RENEW_SHARE = 1 / 4
"""A holder renews after so much of its time, so that one renewal may fail."""

PAUSE_S = 0.001
"""The shortest pause of a holder between two looks."""

RELEASE_S = 1.0
"""How long who has ended its work waits for the store to take the lease back."""

_ROW = "lease"


class LeaseLost(Unavailable):
    """The lease is not held any more; whoever holds it now may already be at work."""


class _Row(msgspec.Struct, array_like=True):
    holder: str
    fence: int
    ttl_us: int
    released: bool = False
    schema: int = 1


class Lease:
    """A name held by this process since `take`. `fence` is greater than that of every earlier holder."""

    def __init__(self, leases: Leases, name: str, row: _Row, stamp: Stamp, asked_ns: int) -> None:
        self.name = name
        self.fence: int = row.fence
        self._leases = leases
        self._row = row
        self._stamp = stamp
        self._until_ns = _until_ns(asked_ns, row.ttl_us)
        self._lost = False

    @property
    def held(self) -> bool:
        """Whether nobody else can hold the name at this moment."""
        return self.left_s > 0

    @property
    def left_s(self) -> float:
        """How long it is held from now on, unless it is renewed; 0 when it is lost."""
        return 0.0 if self._lost else max(0.0, (self._until_ns - self._leases.now_ns()) / 1e9)

    @property
    def loss(self) -> str:
        """Why it is lost, for whom that is to be told."""
        return "another process has it" if self._lost else "it ran out before it was renewed"

    def check(self) -> None:
        """Raise `LeaseLost` unless it is held."""
        if not self.held:
            raise LeaseLost(f"the lease on {self.name!r} is lost", outcome="not_applied", retryable=False)

    async def renew(self) -> None:
        """It is held for its whole time again, from when this was called. Raises `LeaseLost`, or `Unavailable`."""
        self.check()
        asked_ns = self._leases.now_ns()
        try:
            self._stamp = await self._leases.write(self.name, self._row, self._stamp)
        except PreconditionFailed:
            self._lost = True
            self.check()
        self._until_ns = _until_ns(asked_ns, self._row.ttl_us)

    async def release(self) -> None:
        """The name is free at once. Idempotent; one that was lost is left to its holder."""
        if self._lost:
            return
        self._lost = True
        row = msgspec.structs.replace(self._row, released=True)
        try:
            await self._leases.write(self.name, row, self._stamp)
        except PreconditionFailed:
            return


class Leases:
    """Takes leases for one `holder`, a name that no other process has."""

    def __init__(self, table: SystemTable, environment: Environment, holder: str) -> None:
        self.holder = holder
        self.now_ns: Callable[[], int] = environment.monotonic_ns
        self._table = table
        self._environment = environment
        self._seen: dict[str, tuple[Stamp, int]] = {}

    async def take(self, name: str, ttl_s: float) -> Lease | None:
        """The lease on `name`, for `ttl_s` from now, or None while another has it.

        Call it again to wait: a name whose holder has died is taken once this process has seen the same lease
        for its whole time.
        """
        asked_ns = self.now_ns()
        entry = await self._table.get(name, _ROW)
        found = None if entry is None else msgspec.msgpack.decode(entry.value, type=_Row)
        if entry is not None and found is not None and not self._is_over(name, entry, found):
            return None
        row = _Row(self.holder, 1 if found is None else found.fence + 1, round(ttl_s * 1e6))
        try:
            stamp = await self.write(name, row, None if entry is None else entry.stamp)
        except PreconditionFailed:
            return None
        self._seen.pop(name, None)
        return Lease(self, name, row, stamp, asked_ns)

    async def holder_of(self, name: str) -> str | None:
        """Who wrote the lease last without releasing it; it may have died since."""
        entry = await self._table.get(name, _ROW)
        if entry is None:
            return None
        row = msgspec.msgpack.decode(entry.value, type=_Row)
        return None if row.released else row.holder

    async def forget(self, name: str) -> None:
        """The name was never held: for names that are not taken again, such as those of jobs that have ended."""
        await self._table.write(name, {_ROW: None}, {})

    async def look(self, name: str) -> None:
        """Another's lease counts as seen from now on, so that it is taken the sooner once its holder is dead."""
        entry = await self._table.get(name, _ROW)
        if entry is not None:
            self._is_over(name, entry, msgspec.msgpack.decode(entry.value, type=_Row))

    async def while_held(self, name: str, ttl_s: float, work: Callable[[Lease], Awaitable[T]]) -> T | None:
        """What `work` returns, done while the lease is held, which is then released; None when another has it.

        `work` is cancelled when the lease is lost, and `LeaseLost` raised.
        """
        lease = await self.take(name, ttl_s)
        return None if lease is None else await self.hold(lease, ttl_s, work)

    async def hold(self, lease: Lease, ttl_s: float, work: Callable[[Lease], Awaitable[T]]) -> T:
        """As `while_held`, with a lease that was taken for `ttl_s`."""
        # The answer to who took it may have come when its time was over already.
        lease.check()
        working = asyncio.ensure_future(work(lease))
        renewing = asyncio.ensure_future(self._keep(lease, ttl_s))
        try:
            await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            raise LeaseLost(f"the lease on {lease.name!r} was lost during the work: {lease.loss}", outcome="unknown")
        finally:
            for task in (working, renewing):
                task.cancel()
            await asyncio.gather(working, renewing, return_exceptions=True)
            await self._let_go(lease)

    async def write(self, name: str, row: _Row, replaces: Stamp | None) -> Stamp:
        """`row` replaces what is at `replaces`; `PreconditionFailed` when that is not there any more."""
        return await self._table.write(name, {_ROW: msgspec.msgpack.encode(row)}, {_ROW: replaces}, onward=True)

    async def _keep(self, lease: Lease, ttl_s: float) -> None:
        """Returns once the lease is lost."""
        while lease.held:
            await self._environment.sleep(max(PAUSE_S, min(ttl_s * RENEW_SHARE, lease.left_s)))
            try:
                # A store that does not answer must not keep the work going.
                await within(self._environment, lease.left_s, lease.renew())
            except LeaseLost:
                return
            except SoundstageError:
                # The store may be back before the time is up.
                continue

    async def _let_go(self, lease: Lease) -> None:
        try:
            await within(self._environment, RELEASE_S, lease.release())
        except SoundstageError:
            # It runs out by itself.
            return

    def _is_over(self, name: str, entry: Entry, row: _Row) -> bool:
        if row.released:
            return True
        stamp, since_ns = self._seen.get(name, (None, 0))
        if stamp != entry.stamp:
            if len(self._seen) >= _SEEN_MAX:
                self._seen.pop(next(iter(self._seen)))
            self._seen[name] = entry.stamp, self.now_ns()
            return False
        return self.now_ns() - since_ns >= row.ttl_us * 1_000


_SEEN_MAX = 100_000
"""Leases of others watched at once; one that is dropped is waited for anew."""


def _until_ns(asked_ns: int, ttl_us: int) -> int:
    return asked_ns + round(ttl_us * 1_000 * HELD_SHARE)
