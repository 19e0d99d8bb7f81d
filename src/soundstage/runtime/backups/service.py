"""The system `backups`: copies of a stage that is being served, by name, in one folder."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from soundstage.core.call import Call
from soundstage.core.environment import Environment
from soundstage.core.errors import AlreadyExists, InvalidArgument, NotFound, SoundstageError, Unavailable
from soundstage.core.ids import UUID_PATTERN, uuid7, uuid7_ms
from soundstage.core.limits import check_namespace
from soundstage.core.pages import PageTokens
from soundstage.core.time import NS_PER_MS, Instant
from soundstage.runtime.backups.api import (
    BackedUpEngine,
    Backup,
    CreateBackup,
    DeleteBackup,
    DeleteBackupReply,
    ListBackups,
    ListBackupsReply,
)
from soundstage.runtime.backups.config import SystemConfig
from soundstage.runtime.backups.naming import moment
from soundstage.runtime.copies import DRAFT, MANIFEST, Manifest, Reach, copy, copyable, draft_of, manifest_of
from soundstage.runtime.schedule import Schedule
from soundstage.runtime.service import ServiceContext
from soundstage.runtime.timetable import Timetable
from soundstage.runtime.work.context import JobContext

log: logging.Logger = logging.getLogger("soundstage.backups")

_ID = re.compile(UUID_PATTERN)


class BackupsService:
    """Serves `BackupsCalls`."""

    def __init__(self, context: ServiceContext) -> None:
        administered: Reach = context.administers
        config: SystemConfig = context.config
        self.folder: str = os.path.abspath(os.path.join(administered.data, os.path.expanduser(config.folder)))
        self.timetable: Timetable | None = config.timetable()
        self.keep: int = config.keep
        self.schedule: Schedule = context.schedule
        self._engines = administered.engines
        self._is_busy = administered.is_busy
        self._environment: Environment = context.environment
        self._page_tokens: PageTokens = context.page_tokens

    async def start(self) -> None:
        """There is nothing to start: the folder is made by the first backup."""

    async def stop(self) -> None:
        """There is nothing to stop: jobs are ended by who runs them."""

    def scopes(self, operation: str, request: Any) -> Sequence[str]:
        """Everything: a backup holds all namespaces."""
        return ("*",)

    async def check_create(self, call: Call, request: CreateBackup) -> None:
        copyable(self._engines)
        if request.name is not None and await asyncio.to_thread(os.path.lexists, self._place(request.name)):
            raise _taken(request.name)

    async def create(self, call: Call, request: CreateBackup, job: JobContext) -> Backup:
        name = request.name or moment(Instant(uuid7_ms(job.job_id) * NS_PER_MS))
        place = self._place(name)
        await self._clear_drafts()
        made = await asyncio.to_thread(_made_by, job.job_id, place)
        if made is None:
            found = copyable(self._engines)

            def told(done: int, engine: str) -> None:
                job.progress(done, len(found), "engines", f"copying {engine}")

            made = await copy(found, place, Instant(self._environment.now_ns()), job.job_id, told)
        return _backup(name, place, made)

    async def list(self, call: Call, request: ListBackups) -> ListBackupsReply:
        after = self._page_tokens.open_place("backups/list", request) or ""
        page, more = await asyncio.to_thread(self._listed, after, request.page_size)
        token = self._page_tokens.seal_place("backups/list", request, page[-1].name) if more else None
        return ListBackupsReply(backups=page, next_page_token=token)

    async def delete(self, call: Call, request: DeleteBackup) -> DeleteBackupReply:
        place = self._place(request.name)
        await asyncio.to_thread(_delete, place, draft_of(place, uuid7(self._environment)), request.name)
        return DeleteBackupReply(name=request.name)

    def _place(self, name: str) -> str:
        check_namespace(name, "name")
        if name.endswith(DRAFT):
            raise InvalidArgument(f"the name ends with {DRAFT}", field="name", hint="choose another ending")
        return os.path.join(self.folder, name)

    def _listed(self, after: str, size: int) -> tuple[list[Backup], bool]:
        found: list[Backup] = []
        for name in sorted(name for name in self._names() if name > after):
            place = os.path.join(self.folder, name)
            try:
                found.append(_backup(name, place, manifest_of(place)))
            except SoundstageError as error:
                # Other folders may lie there too; one that is damaged is of no use to who looks for a backup.
                log.debug("%s is no backup: %s", place, error)
            if len(found) > size:
                break
        return found[:size], len(found) > size

    async def _clear_drafts(self) -> None:
        """What was left behind is gone, by jobs that died while they copied and by deletions that were cut off."""
        for name in await asyncio.to_thread(self._names, True):
            job_id = name.removesuffix(DRAFT).rpartition(".")[2]
            if _ID.fullmatch(job_id) and not await self._is_busy(job_id):
                await asyncio.to_thread(shutil.rmtree, os.path.join(self.folder, name), True)

    def _names(self, drafts: bool = False) -> list[str]:
        """What lies in the folder of backups."""
        try:
            return [name for name in os.listdir(self.folder) if name.endswith(DRAFT) == drafts]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unavailable(
                f"the folder of backups cannot be read: {error.strerror}",
                hint="see to systems.backups.folder of the stage file",
                retryable=False,
            ) from None


def _made_by(job_id: str, place: str) -> Manifest | None:
    """What an earlier attempt of the job made, if it came that far. Raises `AlreadyExists` for what others made."""
    if not os.path.lexists(place):
        return None
    with suppress(InvalidArgument):
        manifest = manifest_of(place)
        if manifest.job == job_id:
            return manifest
    raise _taken(os.path.basename(place))


def _taken(name: str) -> AlreadyExists:
    return AlreadyExists(
        f"the backup {name!r} exists",
        field="name",
        hint="choose another name, or delete it first with backups/delete",
    )


def _delete(place: str, draft: str, name: str) -> None:
    if not os.path.isfile(os.path.join(place, MANIFEST)):
        raise NotFound(f"there is no backup {name!r}", field="name", hint="see backups/list")
    try:
        # The name is free at once, and what a deletion that is cut off leaves is cleared as what jobs leave is.
        os.rename(place, draft)
        shutil.rmtree(draft)
    except FileNotFoundError:
        # Somebody else deletes it as well.
        return
    except OSError as error:
        raise Unavailable(f"the backup {name!r} cannot be deleted: {error.strerror}", retryable=False) from None


def _backup(name: str, place: str, manifest: Manifest) -> Backup:
    return Backup(
        name=name,
        folder=place,
        made_at=manifest.made_at,
        size=manifest.size,
        engines=[
            BackedUpEngine(engine=part.engine, tables=len(part.tables), blobs=part.blobs, size=part.size)
            for part in manifest.parts
        ],
        left_out=manifest.left_out,
    )


SERVICE = BackupsService
