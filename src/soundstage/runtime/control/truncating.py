"""Marks namespaces as truncated, which is all that it takes: their systems hide what is gone, and remove it later."""

from __future__ import annotations

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.time import Instant
from soundstage.engines.records.port import Stamp
from soundstage.runtime.control.changes import NamespaceControl
from soundstage.runtime.control.history import change_of, tell
from soundstage.runtime.control.store import Found
from soundstage.runtime.control.vacancy import Vacancy


class NamespaceTruncations:
    """See `soundstage.runtime.service.Truncations`."""

    def __init__(self, control: NamespaceControl, vacancy: Vacancy, environment: Environment) -> None:
        self._control = control
        self._vacancy = vacancy
        self._environment = environment

    async def truncate(self, name: str, generation: int, at: Stamp, by: str) -> None:
        """What the namespace holds of the version `at`, or of one before it, is gone for good, here and elsewhere.

        Costs one write, whatever it holds, and the time that other processes take to follow. Safe to repeat.
        """

        async def attempt(found: Found | None) -> None:
            found = self._active(found, name, generation)
            old, before = found.stored.info, found.stored.truncated
            if before is not None and before >= at:
                return
            now = Instant.from_us(self._environment.now_us())
            info = msgspec.structs.replace(old, version=old.version + 1, updated_at=now)
            change = change_of(info, "truncated", by, [], now)
            going = msgspec.structs.replace(found.stored, info=info, truncated=at)
            self._control.applied.apply(await self._control.store.put(going, found.stamp, change))
            tell(change)

        await self._control.serially(name, attempt)
        await self._vacancy.others_follow()

    async def forget_truncation(self, name: str, generation: int, at: Stamp) -> None:
        """Nothing is left of what was truncated at `at`, nor can any of it come: it need not be hidden any more."""

        async def attempt(found: Found | None) -> None:
            found = self._active(found, name, generation)
            if found.stored.truncated == at:
                going = msgspec.structs.replace(found.stored, truncated=None)
                self._control.applied.apply(await self._control.store.put(going, found.stamp))

        await self._control.serially(name, attempt)

    def _active(self, found: Found | None, name: str, generation: int) -> Found:
        """`found`, which is a namespace of that generation and is served; else `NotFound`."""
        if found is None or found.stored.state != "active" or found.stored.info.generation != generation:
            raise self._control.unknown(name)
        return found
