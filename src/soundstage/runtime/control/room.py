"""Makes room for a namespace that a job fills: the one of its name goes, if it is empty or may be lost.

An empty one is marked first, and then waited for until nobody can write to it any more; others change namespaces
meanwhile. The mark is the job's: for as long as that may go on nobody else touches it, its next attempt begins anew
with a mark of its own, and once it is over whoever finds the mark takes it back.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from soundstage.core.errors import SoundstageError
from soundstage.runtime.admission import Gate
from soundstage.runtime.control import refusals
from soundstage.runtime.control.store import Found, Raced
from soundstage.runtime.control.tables import Check
from soundstage.runtime.control.vacancy import Vacancy

if TYPE_CHECKING:
    from soundstage.runtime.control.changes import NamespaceControl


class Leaving(NamedTuple):
    """A namespace that is served no more, and what counts the calls that are under way."""

    found: Found
    gate: Gate | None


class Room:
    """What `begin_filling` does about a namespace that has the name; all but `wait` with `changing` held."""

    def __init__(self, control: NamespaceControl, vacancy: Vacancy) -> None:
        self._control = control
        self._vacancy = vacancy

    async def leave(self, found: Found, job_id: str, check: Check) -> Leaving | None:
        """The namespace is empty, and served no more; None: it was half gone, and the name is free.

        Raises `AlreadyExists` for one that holds something.
        """
        control = self._control
        await self._check(found, job_id)
        if found.stored.state == "deleting" and not found.stored.if_empty:
            await control.clear(found, None, check=check)
            return None
        info = found.stored.info
        if found.stored.state == "active" and not await control.is_empty(info):
            raise refusals.occupied(info)
        gate = self._vacancy.gate(info.name)
        # An attempt before this one that is still at it finds a mark that is not its own.
        found = await control.mark(found, None, if_empty=True, job_id=job_id)
        control.applied.forget(info.name)
        return Leaving(found, gate)

    async def wait(self, leaving: Leaving) -> None:
        """Nobody serves the namespace, and no call of it goes on. If that fails it is served as before."""
        try:
            await self._vacancy.comes(leaving.gate)
        except BaseException:
            # What fails here too the follower does, once the job is over.
            with suppress(Raced, SoundstageError):
                async with self._control.changing:
                    await self._control.spare(leaving.found)
            raise

    async def make(self, found: Found, job_id: str, by: str, check: Check) -> None:
        """The name is free. Raises `AlreadyExists` for what was to go if empty, and was written to before it left."""
        await self._check(found, job_id)
        if found.stored.if_empty and not await self._is_still_empty(found):
            await self._control.spare(found)
            raise refusals.occupied(found.stored.info)
        begun = found.stored.state == "deleting" and not found.stored.if_empty
        await self._control.clear(found, None if begun else by, job_id=job_id, check=check)

    async def _is_still_empty(self, found: Found) -> bool:
        try:
            return await self._control.is_empty(found.stored.info)
        except BaseException:
            await self._control.spare(found)
            raise

    async def _check(self, found: Found, job_id: str) -> None:
        """The name may be made free for the job. Raises `Raced` when what had it is another thing now."""
        stored = found.stored
        if stored.job and stored.job != job_id and not await self._control.busy(stored.job):
            await self._control.clear(found, None)
            raise Raced
        if stored.state != "active" and (stored.job != job_id or stored.state != "deleting"):
            raise refusals.under_way(found, "deleted" if stored.state == "deleting" else "filled or created")
        refusals.check_managed(stored.info, "api")
