"""Runs roles: everywhere, in one process at a time, or in shares, by leases that move when their holder dies.

Data on disk: in the table `system/leases` the leases `role/<name>` and `role/<name>/<partition>`, and per
partitioned role a partition `members/<name>` with a row for every process that runs it, which expires unless it is
written again. Members only tell how large a fair share is; who may work is told by leases alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import SoundstageError
from soundstage.runtime.leases import RENEW_SHARE, Lease, LeaseLost, Leases
from soundstage.runtime.roles import Role, RoleContext
from soundstage.runtime.system_table import SystemTable

log: logging.Logger = logging.getLogger("soundstage.roles")

PAUSE_MIN_S = 0.5
PAUSE_MAX_S = 30.0
LONG_ENOUGH_S = 60.0
"""A role that ran for so long is begun again as if it had not failed before."""


class Persistence:
    """Begins work again that fails or ends, ever more slowly; `failures` are counted and in the log."""

    def __init__(self, environment: Environment) -> None:
        self.failures: int = 0
        self._environment = environment

    async def again(self, role: Role, work: Callable[[], Awaitable[None]]) -> None:
        """`work` is done again and again until this is cancelled."""
        pause_s = PAUSE_MIN_S
        while True:
            began_ns = self._environment.monotonic_ns()
            await self.once(role, work)
            if self._environment.monotonic_ns() - began_ns >= LONG_ENOUGH_S * 1e9:
                pause_s = PAUSE_MIN_S
            await self._environment.sleep(pause_s * self._environment.random.uniform(0.5, 1.0))
            pause_s = min(PAUSE_MAX_S, pause_s * 2)

    async def once(self, role: Role, work: Callable[[], Awaitable[None]]) -> None:
        """`work` was done, or the log says why not."""
        try:
            await work()
        except LeaseLost as error:
            log.warning("a role is left, for its lease was lost", extra={"role": role.name, "reason": str(error)})
        except SoundstageError as error:
            self.failures += 1
            log.warning("a role failed", extra={"role": role.name, "reason": str(error)})
        except Exception:
            self.failures += 1
            log.exception("a role failed by a defect", extra={"role": role.name})


class RoleRunner:
    """Runs the roles of one process. `held` are the leases it works under, by their name."""

    def __init__(self, table: SystemTable, leases: Leases, environment: Environment, lease_s: float) -> None:
        self.held: dict[str, Lease] = {}
        self.persistence: Persistence = Persistence(environment)
        self._table = table
        self._leases = leases
        self._environment = environment
        self._lease_s = lease_s

    async def run(self, role: Role, context: RoleContext) -> None:
        """`role` is done as its kind says, until this is cancelled; its leases are then given back."""
        if role.kind == "every":
            await self.persistence.again(role, lambda: role.run(context))
        elif role.kind == "one":
            await self.persistence.again(role, lambda: self._wait_for(role, context))
        else:
            await self.persistence.again(role, lambda: self._share(role, context))

    async def _wait_for(self, role: Role, context: RoleContext) -> None:
        """The role is this process's once nobody else has it."""
        name = f"role/{role.name}"
        while True:
            lease = await self._leases.take(name, self._lease_s)
            if lease is not None:
                await self._work(role, context, lease)
                return
            await self._environment.sleep(self._lease_s * RENEW_SHARE)

    async def _work(self, role: Role, context: RoleContext, lease: Lease, partition: str = "") -> None:
        self.held[lease.name] = lease
        mine = msgspec.structs.replace(context, lease=lease, partition=partition)
        try:
            await self._leases.hold(lease, self._lease_s, lambda _: role.run(mine))
        finally:
            self.held.pop(lease.name, None)

    async def _share(self, role: Role, context: RoleContext) -> None:
        """As many partitions are this process's as are its fair share."""
        working: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                share = -(-len(role.partitions) // await self._members(role))
                for partition in [each for each, task in working.items() if task.done()]:
                    # Whatever it ended with is in the log; the next turn is soon enough to begin it again.
                    await _cancelled(working.pop(partition))
                for partition in list(working)[share:]:
                    await _cancelled(working.pop(partition))
                await self._take(role, context, working, share)
                await self._environment.sleep(self._lease_s * RENEW_SHARE)
        finally:
            for task in working.values():
                await _cancelled(task)
            await self._leave(role)

    async def _take(self, role: Role, context: RoleContext, working: dict[str, asyncio.Task[None]], share: int) -> None:
        free = [partition for partition in role.partitions if partition not in working]
        # Processes that start together do not all reach for the same one.
        self._environment.random.shuffle(free)
        for partition in free:
            name = f"role/{role.name}/{partition}"
            if len(working) >= share:
                await self._leases.look(name)
                continue
            lease = await self._leases.take(name, self._lease_s)
            if lease is not None:
                work = partial(self._work, role, context, lease, partition)
                working[partition] = asyncio.ensure_future(self.persistence.once(role, work))

    async def _members(self, role: Role) -> int:
        """How many processes run the role, this one among them."""
        place, ttl_us = f"members/{role.name}", round(self._lease_s * 1e6)
        await self._table.write(place, {self._leases.holder: b""}, {}, ttls_us={self._leases.holder: ttl_us})
        return max(1, len(await self._table.read(place, "")))

    async def _leave(self, role: Role) -> None:
        try:
            await self._table.write(f"members/{role.name}", {self._leases.holder: None}, {})
        except SoundstageError:
            # It is forgotten by itself.
            return


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
