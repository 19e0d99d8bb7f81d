"""`soundstage data`: copies of the data folder, and what can be done when it is damaged."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import AlreadyExists, InvalidArgument, SoundstageError, Unavailable
from soundstage.core.time import Instant
from soundstage.runtime import folders
from soundstage.runtime.copies import Copyable, Manifest, bring_back, copy, copyable, place_in, whole
from soundstage.runtime.engines import Engines
from soundstage.runtime.stagefile import LoadedConfig
from soundstage.surface.cli.failure import DONE, FAILED, USAGE, CommandFailure, not_started, usage
from soundstage.surface.cli.help import HelpPages
from soundstage.surface.cli.options import Folder, Output
from soundstage.surface.cli.output import chosen_format, show
from soundstage.surface.cli.target import existing_data, load

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


class Copied(msgspec.Struct, frozen=True, omit_defaults=True):
    """`left_out` are engines of which the backup holds nothing, or not everything."""

    engines: list[CopiedEngine]
    left_out: list[str] = []


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
    show(asyncio.run(_back_up(existing_data(folder), backup)), chosen_format(output))
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
    """The tables and files of a backup are in the data folder, as they were; none of them may be there before.

    A backup that lacks anything of what it was made with is refused.
    """
    if not os.path.isdir(backup):
        raise usage(f"there is no folder {backup}", field="BACKUP")
    # Before the data folder is made.
    with _failing():
        manifest = whole(backup)
    show(asyncio.run(_restore(load(folder), backup, manifest, table)), chosen_format(output))
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
    loaded = existing_data(folder) if accept_loss else load(folder)
    repaired = folders.repair(loaded.config, accept_loss=accept_loss)
    show(RepairedFolders(repaired), chosen_format(output))
    return DONE


async def _back_up(loaded: LoadedConfig, to: str) -> Copied:
    async with _open(loaded) as found:
        made = await copy(found, to, Instant(SystemEnvironment().now_ns()))
        return Copied(
            [CopiedEngine(part.engine, place_in(to, part.engine), len(part.tables), part.blobs) for part in made.parts],
            made.left_out,
        )


async def _restore(loaded: LoadedConfig, source: str, manifest: Manifest, tables: list[str] | None) -> Copied:
    to = _absolute(loaded)
    async with _open(loaded) as found:
        try:
            back = await bring_back(found, source, manifest, tables)
        except AlreadyExists as error:
            error.hint = "restore into a folder that is not there yet, by --data"
            raise
        return Copied(
            [CopiedEngine(each.engine, place_in(source, each.engine), each.tables, each.blobs, to) for each in back],
            sorted({*manifest.left_out, *found.left_out}),
        )


def _absolute(loaded: LoadedConfig) -> str:
    return os.path.abspath(loaded.config.data)


@asynccontextmanager
async def _open(loaded: LoadedConfig) -> AsyncGenerator[Copyable]:
    """The engines of which copies can be made, open, without a stage that would write to them."""
    engines = Engines(loaded.config.engines, loaded.config.data, SystemEnvironment())
    try:
        await engines.start()
    except SoundstageError as error:
        raise not_started(_served(error, loaded)) from error
    try:
        with _failing():
            yield copyable(engines)
    finally:
        await engines.stop()


@contextmanager
def _failing() -> Generator[None]:
    """What is refused within the block ends the command."""
    try:
        yield
    except SoundstageError as error:
        raise CommandFailure(error, USAGE if isinstance(error, InvalidArgument) else FAILED) from error


def _served(error: SoundstageError, loaded: LoadedConfig) -> SoundstageError:
    """`error`, which says what to do where the folder is one of a stage that is being served."""
    found = folders.holder(loaded.config) if isinstance(error, Unavailable) else None
    if found is not None and found.url is not None:
        error.hint = f"back it up as it is served: soundstage backups create --url {found.url}"
    return error
