"""`soundstage data`: copies of the data folder, and what can be done when it is damaged."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, NamedTuple
from urllib.parse import quote

import msgspec
from cyclopts import App, Parameter

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import AlreadyExists, SoundstageError
from soundstage.engines.blobs.port import BlobCheckpoints
from soundstage.engines.records.port import Checkpoints, Records
from soundstage.runtime import folders
from soundstage.runtime.engines import Engines
from soundstage.runtime.stagefile import LoadedConfig
from soundstage.surface.cli.failure import DONE, FAILED, CommandFailure, not_started, usage
from soundstage.surface.cli.help import HelpPages
from soundstage.surface.cli.options import Folder, Output
from soundstage.surface.cli.output import chosen_format, show
from soundstage.surface.cli.target import load

app: App = App(
    name="data",
    help="The folders of embedded engines. No other process may have them open meanwhile.",
    help_format="plaintext",
    help_formatter=HelpPages(),
    version_flags=(),
)

_NO_FOLDER = Folder()

Backup = Annotated[str, Parameter(name="BACKUP", help="Folder of the backup.")]


class CopiedEngine(msgspec.Struct, frozen=True):
    """What was copied of one engine; `folder` is that of the backup, `to` the data folder it was restored to."""

    engine: str
    folder: str
    tables: int = 0
    blobs: int = 0
    to: str | None = None


class Copied(msgspec.Struct, frozen=True):
    engines: list[CopiedEngine]


class Copyable(NamedTuple):
    """The engines of which copies can be made, by name."""

    records: Mapping[str, tuple[Records, Checkpoints]]
    blobs: Mapping[str, BlobCheckpoints]


class RepairedFolders(msgspec.Struct, frozen=True):
    """What was done.

    `method` is `nothing`, `format` when the file FORMAT was written anew, `log` when the end of the log was lost,
    `tables` when files were.
    """

    folders: list[folders.Repaired]


@app.command
def backup(backup: Backup, /, *, folder: Folder = _NO_FOLDER, output: Output = None) -> int:
    """A new folder holds a copy of everything acknowledged, one folder per engine in it.

    Files are hard links where the file system allows, so a backup on the same disk costs next to nothing.
    """
    if os.path.lexists(backup):
        raise usage(f"{backup} exists", hint="name a folder that does not", field="BACKUP")
    show(asyncio.run(_back_up(_existing_data(folder), backup)), chosen_format(output))
    return DONE


@app.command
def restore(
    backup: Backup,
    /,
    *,
    table: Annotated[
        list[str] | None, Parameter(help="Only this table of each engine; repeatable. Without it, all.")
    ] = None,
    folder: Folder = _NO_FOLDER,
    output: Output = None,
) -> int:
    """The tables and files of a backup are in the data folder, as they were; none of them may be there before."""
    if not os.path.isdir(backup):
        raise usage(f"there is no folder {backup}", field="BACKUP")
    show(asyncio.run(_restore(load(folder), backup, table)), chosen_format(output))
    return DONE


@app.command
def repair(
    *,
    accept_loss: Annotated[bool, Parameter(help="What is damaged may be dropped.", show_default=False)] = False,
    folder: Folder = _NO_FOLDER,
    output: Output = None,
) -> int:
    """A folder that was refused as damaged opens again, without what could not be read.

    Copy the folder first. Prefer a backup where you have one.
    """
    loaded = _existing_data(folder) if accept_loss else load(folder)
    repaired = folders.repair(loaded.config, accept_loss=accept_loss)
    show(RepairedFolders(repaired), chosen_format(output))
    return DONE


def _existing_data(folder: Folder) -> LoadedConfig:
    """The configuration, whose data folder is there: a mistyped one is not made, nor taken for an empty one."""
    loaded = load(folder)
    absent = folders.absent(loaded.config)
    if absent is not None:
        raise usage(absent, hint="name the folder that the stage was started with", field="data")
    return loaded


async def _back_up(loaded: LoadedConfig, to: str) -> Copied:
    async with _copyable(loaded) as copyable:
        os.makedirs(to)
        copied: list[CopiedEngine] = []
        for name, (engine, copies) in copyable.records.items():
            place = _place(to, name)
            await copies.checkpoint(place)
            copied.append(CopiedEngine(name, place, len(await engine.tables())))
        for name, blobs in copyable.blobs.items():
            place = _place(to, name)
            copied.append(CopiedEngine(name, place, blobs=await blobs.checkpoint(place)))
        return Copied(copied)


async def _restore(loaded: LoadedConfig, source: str, tables: list[str] | None) -> Copied:
    to = _absolute(loaded)
    async with _copyable(loaded) as copyable:
        copied: list[CopiedEngine] = []
        for name, (engine, copies) in copyable.records.items():
            place = _existing(_place(source, name), name)
            before = len(await engine.tables())
            await _restored(copies, place, tables)
            copied.append(CopiedEngine(name, place, len(await engine.tables()) - before, to=to))
        for name, blobs in copyable.blobs.items() if tables is None else ():
            place = _existing(_place(source, name), name)
            copied.append(CopiedEngine(name, place, blobs=await blobs.restore(place), to=to))
        return Copied(copied)


async def _restored(copies: Checkpoints, place: str, tables: list[str] | None) -> None:
    try:
        await copies.restore(place, tables)
    except AlreadyExists as error:
        error.hint = "restore into a folder that is not there yet, by --data"
        raise


@asynccontextmanager
async def _copyable(loaded: LoadedConfig) -> AsyncGenerator[Copyable]:
    """The engines of which copies can be made, open, without a stage that would write to them."""
    engines = Engines(loaded.config.engines, loaded.config.data, SystemEnvironment())
    try:
        await engines.start()
    except SoundstageError as error:
        raise not_started(error) from error
    try:
        found: dict[str, tuple[Records, Checkpoints]] = {}
        for name, each in engines.distinct().items():
            if isinstance(each, Checkpoints):
                found[name] = (each, each)
        blobs = {name: each for name, each in engines.distinct_blobs().items() if isinstance(each, BlobCheckpoints)}
        if not found and not blobs:
            raise usage("no engine of this configuration can be copied", hint="see soundstage engines list")
        yield Copyable(found, blobs)
    except SoundstageError as error:
        raise CommandFailure(error, FAILED) from error
    finally:
        await engines.stop()


def _absolute(loaded: LoadedConfig) -> str:
    return os.path.abspath(loaded.config.data)


def _place(backup: str, engine: str) -> str:
    """The folder in a backup that holds an engine; its name may hold what a path cannot."""
    return os.path.abspath(os.path.join(backup, f"engine-{quote(engine, safe='')}"))


def _existing(place: str, engine: str) -> str:
    if not os.path.isdir(place):
        raise usage(f"the backup holds nothing of the engine {engine!r}", hint="see soundstage engines list")
    return place
