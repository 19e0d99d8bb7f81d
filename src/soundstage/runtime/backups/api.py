"""The messages and operations of `backups`."""

# pyright: reportReturnType=false
# The body of a declared operation never runs.

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from soundstage.core.errors import AlreadyExists, NotFound
from soundstage.core.job import job
from soundstage.core.message import Instant, Int64, Name, PageSize, PageToken
from soundstage.core.operation import AsyncFace, SyncFace, operation


class CreateBackup(msgspec.Struct, frozen=True, kw_only=True):
    """Without a `name` it is called after the moment at which it was asked for."""

    name: Annotated[Name | None, Meta(description="what the backup is called; no path")] = None


class BackedUpEngine(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup has of one engine. `size` counts bytes that it shares with the stage too."""

    engine: str
    tables: Int64
    blobs: Int64
    size: Int64


class Backup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A backup, whole and on disk. `folder` is where it lies, on the machine of the stage.

    `left_out` are engines that hold something of which no copy can be made: those in memory, on other machines, of
    search indexes and of columnar tables.
    """

    name: str
    folder: str
    made_at: Instant
    size: Int64
    engines: list[BackedUpEngine]
    left_out: list[str] = []


class ListBackups(msgspec.Struct, frozen=True, kw_only=True):
    page_size: PageSize = 100
    page_token: PageToken = None


class ListBackupsReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """By name."""

    backups: list[Backup]
    next_page_token: str | None = None


class DeleteBackup(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[Name, Meta(description="as `list` shows it")]


class DeleteBackupReply(msgspec.Struct, frozen=True, kw_only=True):
    name: str


class BackupsCalls:
    """Copies of the whole stage."""

    system = "backups"

    @job(CreateBackup, access="admin", restart="restart", errors=(AlreadyExists,))
    def create(self) -> Backup:
        """A copy of everything acknowledged before the call is in the stage's folder of backups: records, log, files.

        Calls are answered meanwhile; of their writes it may hold some. Each engine is copied as of one moment, the
        records and the log of one folder together. What cannot be copied is named in the reply.
        Bring it back with `soundstage data restore`.
        """

    @operation(ListBackups, access="admin", idempotent=True)
    def list(self) -> ListBackupsReply:
        """The backups in the stage's folder of backups that were finished."""

    @operation(DeleteBackup, access="admin", errors=(NotFound,))
    def delete(self) -> DeleteBackupReply:
        """The backup is gone, and the disk space with it that nothing else shares."""


class Backups(AsyncFace, BackupsCalls):
    """Makes, lists and deletes backups of the stage, asynchronous: `stage.client(Backups)`."""


class SyncBackups(SyncFace, BackupsCalls):
    """Makes, lists and deletes backups of the stage, synchronous."""


CALLS = BackupsCalls
