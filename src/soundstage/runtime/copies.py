"""Copies of all that a stage's engines hold, in a folder of this machine, and back from there.

    BACKUP                what is in it, written last
    engine-<name>/        one folder per engine, openable by itself

A copy is made beside its place and named when it is whole on disk, so that what has the name is complete.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from soundstage.core.codec import JSON, decoder, json_encode
from soundstage.core.completion import to_the_end
from soundstage.core.errors import AlreadyExists, DataLoss, InvalidArgument, NotFound, Unavailable
from soundstage.core.time import Instant
from soundstage.engines.blobs.port import BlobCheckpoints
from soundstage.engines.log.port import Log, LogCheckpoints
from soundstage.engines.records.port import Checkpoints, Records
from soundstage.runtime.engines import Engines
from soundstage.runtime.openers import Port

T = TypeVar("T")

MANIFEST = "BACKUP"
DRAFT = ".draft"
"""What the name of a copy that is being made ends with."""

FORMAT = 1

HOLDING: tuple[Port, ...] = ("records", "blobs", "log", "search", "tables")
"""What a copy could lack. A cache holds nothing that is not somewhere else."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy has of one engine: tables and topics, or blobs, in so many `files` of `size` bytes together.

    A table or topic that was made or dropped meanwhile may be in it and is not named.
    """

    engine: str
    tables: list[str] = []
    topics: list[str] = []
    blobs: int = 0
    files: int = 0
    size: int = 0


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy is: of when, of which engines, and by which job, if by one.

    `left_out` are engines that hold something of which no copy can be made: those in memory, on other machines, of
    search indexes and of columnar tables.
    """

    format: int = FORMAT
    made_at: Instant
    job: str = ""
    parts: list[Part]
    left_out: list[str] = []

    @property
    def size(self) -> int:
        """The bytes of all its files; those shared with other folders are counted too."""
        return sum(part.size for part in self.parts)


class Back(NamedTuple):
    """How much came back into an engine."""

    engine: str
    tables: int = 0
    blobs: int = 0


class Copyable(NamedTuple):
    """The engines of which copies can be made, by name; `logs` are those in the folders of records."""

    records: Mapping[str, tuple[Records, Checkpoints]]
    blobs: Mapping[str, BlobCheckpoints]
    left_out: list[str]
    logs: Mapping[str, tuple[Log, LogCheckpoints]]

    def __len__(self) -> int:
        return len(self.records) + len(self.blobs)


class Reach(NamedTuple):
    """The parts of a stage that backups work on. `is_busy` tells whether a job may still go on."""

    engines: Engines
    data: str
    is_busy: Callable[[str], Awaitable[bool]]


def copyable(engines: Engines) -> Copyable:
    """Raises `InvalidArgument` when no copy can be made of any of `engines`, which have started."""
    records = {name: (each, each) for name, each in engines.distinct().items() if isinstance(each, Checkpoints)}
    blobs = {name: each for name, each in engines.distinct_blobs().items() if isinstance(each, BlobCheckpoints)}
    logs = {
        name: (each, each)
        for name, each in engines.distinct_logs().items()
        if name in records and isinstance(each, LogCheckpoints)
    }
    copied: dict[Port, Mapping[str, Any]] = {"records": records, "blobs": blobs, "log": logs}
    left_out = {name for port in HOLDING for name in engines.holding(port).keys() - copied.get(port, {}).keys()}
    if not records and not blobs:
        raise InvalidArgument(
            f"no engine of this configuration can be copied: {', '.join(sorted(left_out))} have what they hold"
            " in memory, on other machines, or in indexes and columnar tables",
            hint="copy engines on other machines by their own means; soundstage engines list tells where each is",
        )
    return Copyable(records, blobs, sorted(left_out), logs)


async def copy(
    found: Copyable,
    target: str,
    made_at: Instant,
    job: str = "",
    told: Callable[[int, str], None] = lambda done, engine: None,
) -> Manifest:
    """`target`, which must not exist, holds everything acknowledged before the call, and of later writes some.

    Each engine is copied as of one moment, records before the blobs that they may name. `told` hears how many
    engines are done and which is next. Raises `AlreadyExists`, and `Unavailable` when the disk refuses; having
    raised, it leaves no target.
    """
    draft = draft_of(target, job)
    try:
        await _in_thread(_begin, draft, target)
        parts = await to_the_end(_copied(found, draft, told))
        manifest = Manifest(made_at=made_at, job=job, parts=parts, left_out=found.left_out)
        await _in_thread(_finish, draft, target, msgspec.json.format(json_encode(manifest)))
        return manifest
    except OSError as error:
        raise Unavailable(
            f"the backup cannot be written: {error.strerror}: {error.filename}",
            hint="see to the disk and the rights of the folder",
            retryable=False,
        ) from error
    finally:
        await _in_thread(shutil.rmtree, draft, True)


def draft_of(target: str, job: str = "") -> str:
    """Where a copy is while it is being made, by the job if by one."""
    return f"{target}.{job}{DRAFT}" if job else f"{target}{DRAFT}"


def place_in(copied: str, engine: str) -> str:
    """The folder in a copy that holds an engine, whose name may hold what a path cannot."""
    return os.path.abspath(os.path.join(copied, f"engine-{quote(engine, safe='')}"))


def manifest_of(copied: str) -> Manifest:
    """Raises `InvalidArgument` for a folder that is no finished copy, `DataLoss` for one that cannot be read."""
    try:
        text = Path(copied, MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidArgument(
            f"{copied} holds no finished backup",
            hint="name a folder that `soundstage data backup` or `soundstage backups create` made",
        ) from None
    except OSError as error:
        raise Unavailable(f"{copied} cannot be read: {error.strerror}", retryable=False) from None
    try:
        manifest = decoder(Manifest, JSON, strict=False).decode(text)
    except InvalidArgument as error:
        raise DataLoss(f"{copied}/{MANIFEST} is damaged: {error.detail}", hint="use another backup") from None
    if manifest.format > FORMAT:
        raise InvalidArgument(f"{copied} is of a newer release", hint="restore it with that release")
    return manifest


def whole(copied: str) -> Manifest:
    """The manifest of a copy that is as it was made.

    Raises as `manifest_of`, and `DataLoss` when files are missing, were cut short or changed.
    """
    manifest = manifest_of(copied)
    for part in manifest.parts:
        files, size = _measured(place_in(copied, part.engine))
        if (files, size) != (part.files, part.size):
            raise DataLoss(
                f"the backup of the engine {part.engine!r} has {files} files of {size} bytes,"
                f" and was made with {part.files} of {part.size}",
                hint="fetch it again from where it was made, or use another one",
            )
    return manifest


async def bring_back(found: Copyable, copied: str, manifest: Manifest, tables: list[str] | None = None) -> list[Back]:
    """The tables (None: all, and all blobs) of a copy that is `whole` are in the engines; how much of each.

    Raises `NotFound` for an engine or table that the copy lacks, `AlreadyExists` for a table or blob that is there,
    `DataLoss` when less came back than was copied.
    """
    parts = {part.engine: part for part in manifest.parts}
    for name in [*found.records, *(found.blobs if tables is None else ())]:
        if name not in parts:
            raise NotFound(f"the backup holds nothing of the engine {name!r}", hint=f"it holds {', '.join(parts)}")
    back: list[Back] = []
    for name, (engine, copies) in found.records.items():
        before = await _names(engine)
        await copies.restore(place_in(copied, name), tables)
        came = await _names(engine) - before
        lost = set(parts[name].tables) - came if tables is None else set[str]()
        back.append(_proven(Back(name, tables=len(came)), f"{len(lost)} tables" if lost else ""))
        if tables is None and name in found.logs:
            await _topics_back(found.logs[name], place_in(copied, name), parts[name])
    for name, blobs in found.blobs.items() if tables is None else ():
        count = await blobs.restore(place_in(copied, name))
        lost_blobs = parts[name].blobs - count
        back.append(_proven(Back(name, blobs=count), f"{lost_blobs} files" if lost_blobs else ""))
    return back


async def _topics_back(found: tuple[Log, LogCheckpoints], place: str, part: Part) -> None:
    log, copies = found
    before = await _topics(log)
    await copies.restore(place)
    lost = set(part.topics) - (await _topics(log) - before)
    _proven(Back(part.engine), f"{len(lost)} topics" if lost else "")


def _proven(back: Back, lost: str) -> Back:
    if lost:
        raise DataLoss(
            f"{lost} of the engine {back.engine!r} did not come back",
            hint="do not use what was restored; restore another backup into a new folder",
        )
    return back


async def _names(engine: Records) -> set[str]:
    return {spec.name for spec in await engine.tables()}


async def _topics(log: Log) -> set[str]:
    return {spec.name for spec in await log.topics()}


def taken(target: str) -> AlreadyExists:
    """What is answered to who names a folder that is there."""
    return AlreadyExists(f"{target} exists", hint="name a folder that does not")


async def _copied(found: Copyable, draft: str, told: Callable[[int, str], None]) -> list[Part]:
    parts: list[Part] = []
    for name, (engine, copies) in found.records.items():
        told(len(parts), name)
        log = found.logs[name][0] if name in found.logs else None
        before, begun = await _names(engine), set[str]() if log is None else await _topics(log)
        await copies.checkpoint(place_in(draft, name))
        tables = sorted(before & await _names(engine))
        topics = [] if log is None else sorted(begun & await _topics(log))
        parts.append(await _part(draft, name, tables=tables, topics=topics))
    for name, blobs in found.blobs.items():
        told(len(parts), name)
        parts.append(await _part(draft, name, blobs=await blobs.checkpoint(place_in(draft, name))))
    return parts


async def _part(
    draft: str, engine: str, *, tables: Sequence[str] = (), topics: Sequence[str] = (), blobs: int = 0
) -> Part:
    files, size = await _in_thread(_measured, place_in(draft, engine))
    return Part(engine=engine, tables=list(tables), topics=list(topics), blobs=blobs, files=files, size=size)


def _measured(folder: str) -> tuple[int, int]:
    """How many files there are below `folder`, and how many bytes they have."""
    found = [Path(at, name).stat().st_size for at, _, names in os.walk(folder) for name in names]
    return len(found), sum(found)


def _begin(draft: str, target: str) -> None:
    if os.path.lexists(target):
        raise taken(target)
    shutil.rmtree(draft, ignore_errors=True)
    os.makedirs(draft)


def _finish(draft: str, target: str, manifest: bytes) -> None:
    path = Path(draft, MANIFEST)
    path.write_bytes(manifest + b"\n")
    _sync(path)
    _sync(path.parent)
    try:
        # Takes the place of an empty folder too, and of nothing else.
        os.rename(draft, target)
    except OSError:
        if os.path.lexists(target):
            raise taken(target) from None
        raise
    _sync(Path(target).absolute().parent)


def _sync(path: Path) -> None:
    """The file, or the names in the folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _in_thread(do: Callable[..., T], *args: Any) -> T:
    return await to_the_end(asyncio.to_thread(do, *args))
