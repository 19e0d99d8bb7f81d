"""Makes changes to namespaces.

A change is stored first and applied by this process before the caller is answered. Creating takes the name
(`creating`), makes the tables, then activates; deleting marks (`deleting`), drops the tables, then frees the
name. What a process that died left half-way is deleted by whoever finds it, after a minute; what a call left
half-way that was cut off, by the next call or round of the same process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Literal, TypeVar

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import (
    AlreadyExists,
    DeadlineExceeded,
    Exhausted,
    NotFound,
    PreconditionFailed,
    SoundstageError,
    Unavailable,
)
from soundstage.core.names import nearest
from soundstage.core.namespace import NamespaceInfo, NamespaceSpec
from soundstage.core.time import Instant
from soundstage.engines.records.port import Stamp
from soundstage.runtime.control import refusals
from soundstage.runtime.control.applied import Applied
from soundstage.runtime.control.declaration import Declarations, Declared, check_fixed, check_kept
from soundstage.runtime.control.differences import differences
from soundstage.runtime.control.history import change_of, first_version, next_version, tell
from soundstage.runtime.control.refusals import ManagedBy
from soundstage.runtime.control.room import Leaving, Room
from soundstage.runtime.control.store import (
    EarlierKnobs,
    Found,
    NamespaceStore,
    Raced,
    Stored,
    check_earlier,
    earlier_than,
)
from soundstage.runtime.control.tables import Check, Tables, in_time, unchecked
from soundstage.runtime.control.vacancy import Vacancy

log: logging.Logger = logging.getLogger("soundstage.namespaces")

T = TypeVar("T")

ATTEMPTS = 8
"""How often a change is tried again when others change the same namespace."""

ABANDONED_US = 60_000_000
"""A creation or deletion that takes longer was given up by its process."""

STAGE_FILE = "stage file"
"""Who makes the changes that the stage file asks for."""


class NamespaceControl:
    """Changes the namespaces of one stage; `changing` is held meanwhile, so one at a time per process."""

    def __init__(
        self,
        store: NamespaceStore,
        declarations: Declarations,
        applied: Applied,
        tables: Tables,
        environment: Environment,
        limit: int,
        vacancy: Vacancy,
    ) -> None:
        self.store = store
        self.applied = applied
        self._declarations = declarations
        self._tables = tables
        self._environment = environment
        self._limit = limit
        self._vacancy = vacancy
        self._room = Room(self, vacancy)
        self._begun: dict[str, int] = {}
        self.changing: asyncio.Lock = asyncio.Lock()
        self.busy: Callable[[str], Awaitable[bool]] = _never
        """Whether the job of that id may still go on; those that fill namespaces have their names until it cannot."""

    async def put(
        self, spec: NamespaceSpec, expected_version: int | None, by: str, managed_by: ManagedBy = "api"
    ) -> NamespaceInfo:
        """See `NamespacesCalls.put`."""
        at = "namespace" if managed_by == "api" else f"namespaces.{spec.name}"
        declared = self._declarations.check(spec, at)

        async def attempt(found: Found | None) -> NamespaceInfo:
            if found is None or (found.stored.state != "active" and await self.finished(found)):
                return await self._create(declared, expected_version, by, managed_by)
            if found.stored.state == "deleting":
                raise refusals.under_way(found, "deleted")
            return await self._change(declared, found, expected_version, by, managed_by)

        return await self.serially(spec.name, attempt)

    async def delete(self, name: str, expected_version: int | None, by: str) -> tuple[NamespaceInfo, str | None]:
        """See `NamespacesCalls.delete`; returns what was deleted, and what of it is out of reach and stays."""

        async def attempt(found: Found | None) -> tuple[NamespaceInfo, str | None]:
            if found is None or not await self._may_go(found):
                raise self.unknown(name)
            info = found.stored.info
            refusals.check_managed(info, "api")
            if expected_version not in (None, info.version):
                raise refusals.other_version(info, expected_version)
            return info, await self.clear(found, by)

        return await self.serially(name, attempt)

    async def _may_go(self, found: Found) -> bool:
        """Whether a namespace is there to be deleted; one that nobody could finish to delete is, once more."""
        if found.stored.state == "creating":
            # It never was there; what was made of it goes, and if it cannot now, with the next who finds it.
            await self.finished(found)
            return False
        if found.stored.state == "active" or self._is_cut_off(found):
            return True
        return found.stored.state == "deleting" and bool((await self._declarations.remains(found.stored.info)).left)

    async def release(self, name: str) -> None:
        """The stage file no longer declares the namespace: it stays, and is managed by API."""

        async def attempt(found: Found | None) -> None:
            if found is not None and found.stored.state == "active" and found.stored.info.managed_by == "file":
                old = found.stored.info
                info = msgspec.structs.replace(old, managed_by="api", version=old.version + 1, updated_at=self._now())
                change = change_of(info, "changed", STAGE_FILE, ["managed_by"], self._now())
                going = msgspec.structs.replace(found.stored, info=info)
                self.applied.apply(await self.store.put(going, found.stamp, change))
                tell(change)

        await self.serially(name, attempt)

    async def clear(
        self, found: Found, by: str | None, *, job_id: str | None = None, check: Check | None = None
    ) -> str | None:
        """The namespace, its tables and its name are gone; with `by` None that only finishes a deletion.

        Until it is marked it is served; from then on whoever finds it goes on with the deletion, those that are for
        `job_id` once that can do so no more. One that was only to be deleted if empty is served again. Returns what of
        it is out of reach and stays; with `by` None that is `Unavailable`, and stays half-way. `check` raises once
        others may be at it; after half a minute if left out.
        """
        info = found.stored.info
        if by is None and found.stored.if_empty:
            await self.spare(found)
            return None
        remains = await self._declarations.remains(info)
        if by is None and remains.left is not None:
            raise Unavailable(f"namespace {info.name!r} is half-way, and {remains.left}", outcome="not_applied")
        check = check or in_time(self._environment, ABANDONED_US // 2)
        # One that was marked before is marked again: of two who would finish it, one does.
        marked = found.stored.state == "deleting" and not found.stored.if_empty
        found = await self.mark(found, None if marked else by, job_id=job_id)
        self.applied.forget(info.name)
        try:
            if remains.records is not None:
                await self._tables.drop(remains.records, remains.tables, check)
            with suppress(Raced):  # Whoever was faster has removed the name too.
                await self.store.remove(info.name, found.stamp)
            self._begun.pop(info.name, None)
        except (Unavailable, DeadlineExceeded) as error:
            # What failed did nothing perhaps, but the namespace is as good as gone.
            error.outcome = "unknown"
            raise
        return remains.left

    async def begin_filling(
        self, spec: NamespaceSpec, job_id: str, by: str, check: Check = unchecked, *, overwrite: bool
    ) -> NamespaceInfo:
        """The name is taken, with empty tables, for the job to fill; nobody is served before `finish_filling`.

        `check` raises once another attempt may be at it, whose tables this one leaves alone.

        A namespace of the name is deleted if it is empty, or with `overwrite`; else `AlreadyExists`. Should the
        job end otherwise, whoever finds that clears all away. Safe to repeat: the tables are empty again, and what an
        attempt before began to delete is deleted.
        """
        declared = self._declarations.check(spec)
        leaving: Leaving | None = None

        async def attempt(found: Found | None) -> NamespaceInfo | Leaving:
            if found is not None and (found.stored.job != job_id or found.stored.state != "creating"):
                if not overwrite and (leaving is None or leaving.found.stamp != found.stamp):
                    begun = await self._room.leave(found, job_id, check)
                    if begun is not None:
                        return begun
                else:
                    await self._room.make(found, job_id, by, check)
                found = None
            if found is None:
                found = await self._claim(declared, "api", job_id)
            await self._tables.create(declared.records, declared.tables, check, purge_floor_us=0)
            return found.stored.info

        for _ in range(ATTEMPTS):
            done = await self.serially(spec.name, attempt)
            if isinstance(done, NamespaceInfo):
                return done
            leaving = done
            await self._room.wait(leaving)
        raise refusals.contended(spec.name)

    async def finish_filling(
        self, name: str, generation: int, earlier: list[EarlierKnobs], by: str, truncated: Stamp | None = None
    ) -> NamespaceInfo:
        """The namespace that was filled is served; `earlier` are the knobs that its data lived under. Safe to repeat.

        What its data hold of `truncated`, or of a version before that, stays gone.

        Raises `PreconditionFailed` when the name is no longer the job's.
        """

        async def attempt(found: Found | None) -> NamespaceInfo:
            found = _filled(found, name, generation)
            if found.stored.state == "active":
                return found.stored.info
            declared = self._declarations.stored(found.stored.info)
            for table in declared.tables:
                await declared.records.set_purge_floor(table.name, None)
            change = change_of(found.stored.info, "created", by, [], self._now())
            filled = Stored(info=found.stored.info, earlier=earlier, truncated=truncated)
            stored = await self.store.put(filled, found.stamp, change)
            self.applied.apply(stored)
            tell(change)
            return stored.stored.info

        return await self.serially(name, attempt)

    async def check_filling(self, name: str, generation: int) -> None:
        """Raises `PreconditionFailed` when the name is no longer that of the namespace of that generation."""
        _filled(await self.store.find(name), name, generation)

    async def spare(self, found: Found) -> None:
        """A namespace that was to be deleted if empty is served as before."""
        stored = msgspec.structs.replace(found.stored, state="active", since_us=0, if_empty=False, job="")
        self.applied.apply(await self.store.put(stored, found.stamp, None))
        self._begun.pop(found.stored.info.name, None)

    async def is_empty(self, info: NamespaceInfo) -> bool:
        """Whether a namespace has no record that anything is left of."""
        return await self._vacancy.is_empty(self._declarations.stored(info))

    def check(self, spec: NamespaceSpec, at: str = "namespace") -> Declared:
        """`spec` complete, with engine and tables; raises what `put` would."""
        return self._declarations.check(spec, at)

    def stored(self, info: NamespaceInfo) -> Declared:
        """A namespace as it is, with engine and tables."""
        return self._declarations.stored(info)

    def like(
        self, info: NamespaceInfo, name: str, engines: Mapping[str, str] | None, knobs: Mapping[str, Any]
    ) -> NamespaceSpec:
        """What to declare for a namespace `name` that is as `info` but for `engines` and `knobs`."""
        known = self._declarations.known_knobs(info.abstraction)
        return NamespaceSpec(
            name=name,
            abstraction=info.abstraction,
            engines=None if engines is None else dict(engines),
            config={**{knob: value for knob, value in info.config.items() if knob in known}, **knobs},
            slos=info.slos,
            quotas=info.quotas,
        )

    async def finished(self, found: Found) -> bool:
        """Whether a namespace that is half-way is gone: where only this process can be at it, it is cleared away."""
        return self._is_cut_off(found) and await self.cleared(found)

    async def cleared(self, found: Found) -> bool:
        """Whether a namespace that is half-way could be cleared away; nobody else may be at it."""
        try:
            await self.clear(found, None)
        except (Raced, SoundstageError) as error:
            log.warning(
                "a namespace could not be cleared away",
                extra={"namespace": found.stored.info.name, "reason": str(error)},
            )
            return False
        return True

    def _is_cut_off(self, found: Found) -> bool:
        """Whether a call of this process began what is half-way and was cut off; `changing` is held.

        Others leave it alone until it is abandoned, and might be at it from then on.
        """
        since_us = found.stored.since_us
        return (
            found.stored.state != "active"
            # A job goes on between the calls that it makes here.
            and not found.stored.job
            and self._begun.get(found.stored.info.name) == since_us
            and self._environment.now_us() - since_us < ABANDONED_US // 2
        )

    async def mark(self, found: Found, by: str | None, *, if_empty: bool = False, job_id: str | None = None) -> Found:
        """The namespace is marked, for a job if need be; in doubt it is not served before the follower has looked."""
        info = found.stored.info
        change = None if by is None else change_of(info, "deleted", by, [], self._now())
        since_us = self._begun[info.name] = self._environment.now_us()
        # What never was served stays known as such, so that nobody is told that it was deleted.
        unserved = change is None and found.stored.state == "creating"
        state: Literal["creating", "deleting"] = "creating" if unserved else "deleting"
        job = found.stored.job if job_id is None else job_id
        going = msgspec.structs.replace(found.stored, state=state, since_us=since_us, if_empty=if_empty, job=job)
        try:
            marked = await self.store.put(going, found.stamp, change)
        except Raced:
            raise
        except BaseException as error:
            # What is written into a namespace that is marked goes with it, whoever was told that it is kept.
            if getattr(error, "outcome", None) != "not_applied":
                self.applied.doubt(info.name)
            raise
        if change is not None:
            tell(change)
        return marked

    def get(self, name: str) -> NamespaceInfo:
        """A namespace as stored; `NotFound` with the nearest name otherwise."""
        info = self.applied.known.get(name)
        if info is None:
            raise self.unknown(name)
        return info

    def unknown(self, name: str) -> NotFound:
        """That there is no namespace `name`."""
        close = nearest(name, self.applied.known)
        hint = f"did you mean {close!r}?" if close else "see namespaces/list"
        return NotFound(f"there is no namespace {name!r}", field="name", hint=hint)

    async def _create(
        self, declared: Declared, expected_version: int | None, by: str, managed_by: ManagedBy
    ) -> NamespaceInfo:
        if expected_version not in (None, 0):
            raise PreconditionFailed(
                f"namespace {declared.spec.name!r} does not exist, so it has no version {expected_version}",
                field="expected_version",
                hint="leave expected_version out, or use 0, to create it",
            )
        check = in_time(self._environment, ABANDONED_US // 2)
        found = await self._claim(declared, managed_by)
        info = found.stored.info
        try:
            await self._tables.create(declared.records, declared.tables, check)
        except BaseException:
            await self._abandon(found)
            raise
        change = change_of(info, "created", by, [], self._now())
        found = await self.store.put(Stored(info=info), found.stamp, change)
        self._begun.pop(info.name, None)
        self.applied.apply(found)
        tell(change)
        return info

    async def _claim(self, declared: Declared, managed_by: ManagedBy, job: str = "") -> Found:
        """The name is taken, for a namespace that is not there yet."""
        if len(self.applied.known) >= self._limit:
            raise Exhausted(
                f"the stage has {self._limit} namespaces, its limit",
                hint="delete some, or raise control.namespaces_limit",
                retryable=False,
            )
        generation, counter = await self.store.next_generation()
        now = self._now()
        info = first_version(declared, generation, managed_by, now)
        stored = Stored(info=info, state="creating", since_us=now // 1_000, job=job)
        self._begun[info.name] = stored.since_us
        return await self.store.claim(stored, None, counter)

    async def _abandon(self, found: Found) -> None:
        try:
            await self.clear(found, None)
        except (Raced, Unavailable):
            # The engine that failed to make the tables may fail again; the follower clears them away.
            return

    async def _change(
        self, declared: Declared, found: Found, expected_version: int | None, by: str, managed_by: ManagedBy
    ) -> NamespaceInfo:
        info = found.stored.info
        if found.stored.state == "creating":
            raise refusals.under_way(found, "created")
        refusals.check_managed(info, managed_by)
        before = None if info.name in self.applied.unserved else self._declarations.stored(info)
        same = found.problem is None and info.managed_by == managed_by and not differences(info, declared)
        # A repetition of the call that made this version is answered as that was, but for a creation: who comes second
        # must not believe to have been first. `Idempotency-Key` tells repetitions from rivals.
        if same and expected_version != 0 and expected_version in (None, info.version, info.version - 1):
            if self.applied.stamps.get(info.name) != found.stamp:
                self.applied.apply(found)
            return info
        if expected_version == 0:
            raise AlreadyExists(
                f"namespace {info.name!r} exists at version {info.version}",
                field="namespace.name",
                hint="leave expected_version out to change it; send an Idempotency-Key to repeat a creation",
            )
        if expected_version not in (None, info.version):
            raise refusals.other_version(info, expected_version)
        check_kept(info, declared) if before is None else check_fixed(before, declared)
        return await self._store(declared, found, by, managed_by)

    async def _store(self, declared: Declared, found: Found, by: str, managed_by: ManagedBy) -> NamespaceInfo:
        """The next version is stored and applied, and the tables fit it."""
        old, now = found.stored.info, self._now()
        info = next_version(old, declared, managed_by, now)
        change = change_of(info, "changed", by, differences(old, declared) or ["managed_by"], self._now())
        earlier = earlier_than(found.stored, info.config, declared.lingering, now // 1_000)
        check_earlier(earlier, declared.lingering, now // 1_000)
        await self._tables.adjust(declared.records, declared.tables, now // 1_000)
        going = Stored(info=info, earlier=earlier, truncated=found.stored.truncated)
        self.applied.apply(await self.store.put(going, found.stamp, change))
        tell(change)
        return info

    async def serially(self, name: str, attempt: Callable[[Found | None], Awaitable[T]]) -> T:
        """What `attempt` returns for the namespace as stored, tried again when others were faster."""
        async with self.changing:
            for _ in range(ATTEMPTS):
                try:
                    return await attempt(await self.store.find(name))
                except Raced:
                    await self._environment.sleep(self._environment.random.uniform(0, 0.05))
        raise refusals.contended(name)

    def _now(self) -> Instant:
        return Instant(self._environment.now_us() * 1_000)


async def _never(_: str) -> bool:
    return False


def _filled(found: Found | None, name: str, generation: int) -> Found:
    """`found`, which is that of the job that fills this generation; else `PreconditionFailed`."""
    if found is None or found.stored.info.generation != generation or found.stored.state == "deleting":
        raise PreconditionFailed(f"namespace {name!r} was cleared away meanwhile", hint="start again")
    return found
