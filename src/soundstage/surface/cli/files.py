"""`soundstage files`: what callers send to a stage, and what jobs leave there."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from mimetypes import guess_type
from typing import Annotated, TypeVar

import msgspec
from cyclopts import App, Parameter

from soundstage.core.errors import InvalidArgument
from soundstage.core.files import DEFAULT_MEDIA_TYPE, File
from soundstage.core.time import Duration
from soundstage.core.transfers import FileAccess
from soundstage.surface.cli.attachments import fetched
from soundstage.surface.cli.failure import DONE, usage
from soundstage.surface.cli.help import HelpPages
from soundstage.surface.cli.options import Output, Target
from soundstage.surface.cli.output import chosen_format, show
from soundstage.surface.cli.target import reached, told

T = TypeVar("T")

app: App = App(
    name="files",
    help="Files that callers send to a stage, and that jobs leave there.",
    help_format="plaintext",
    help_formatter=HelpPages(),
    version_flags=(),
)

_NO_TARGET = Target()

Blob = Annotated[str, Parameter(name="ID", help="The id of the file.")]


class SentFiles(msgspec.Struct, frozen=True):
    """What was sent."""

    files: list[File]


class DeletedFile(msgspec.Struct, frozen=True):
    """Whether there was such a file."""

    blob: str
    deleted: bool


@app.command
def upload(
    paths: Annotated[
        tuple[str, ...], Parameter(name="PATH", help="What to send; - for standard input.", allow_leading_hyphen=True)
    ],
    /,
    *,
    name: Annotated[str | None, Parameter(help="What it is called; the name of its path by default.")] = None,
    media_type: Annotated[str | None, Parameter(help="Its media type; guessed by its name by default.")] = None,
    ttl: Annotated[str | None, Parameter(help="How long it is kept, such as 30d.", metavar="DURATION")] = None,
    target: Target = _NO_TARGET,
    output: Output = None,
) -> int:
    """The files are with the stage; prints their ids.

    Example: soundstage files upload talk.mp4 --ttl 30d
    """
    if not paths:
        raise usage("there is nothing to send", hint="give one or more paths", field="PATH")
    if name is not None and len(paths) > 1:
        raise usage("one name is for one file", hint="send the files one by one", field="name")
    kept = _duration(ttl)

    async def send(files: FileAccess) -> SentFiles:
        sent = [await _send(files, path, name, media_type, kept) for path in paths]
        return SentFiles(sent)

    show(asyncio.run(_with_files(target, send, reads=False)), chosen_format(output))
    return DONE


@app.command
def download(
    blobs: Annotated[tuple[str, ...], Parameter(name="ID", help="The ids of the files.")],
    /,
    *,
    out: Annotated[str, Parameter(help="Folder to write them to.", metavar="FOLDER")] = ".",
    target: Target = _NO_TARGET,
) -> int:
    """The files are in a folder under their own names; tells where. Nothing that is there is replaced."""
    if not blobs:
        raise usage("there is nothing to fetch", hint="give one or more ids", field="ID")

    async def fetch(files: FileAccess) -> None:
        await fetched([[await files.info(blob) for blob in blobs]], files, out)

    asyncio.run(_with_files(target, fetch))
    return DONE


@app.command(name="show")
def shown(blob: Blob, /, *, target: Target = _NO_TARGET, output: Output = None) -> int:
    """What is known of a file: its name, media type, size and checksum."""
    show(asyncio.run(_with_files(target, lambda files: files.info(blob))), chosen_format(output))
    return DONE


@app.command
def delete(blob: Blob, /, *, target: Target = _NO_TARGET, output: Output = None) -> int:
    """The file is gone. Safe to repeat."""
    deleted = asyncio.run(_with_files(target, lambda files: files.delete(blob)))
    show(DeletedFile(blob, deleted), chosen_format(output))
    return DONE


async def _with_files(target: Target, use: Callable[[FileAccess], Awaitable[T]], *, reads: bool = True) -> T:
    async with reached(target, reads=reads) as stage:
        with told():
            return await use(stage.files)


async def _send(files: FileAccess, path: str, name: str | None, media_type: str | None, ttl: Duration | None) -> File:
    kind = media_type or guess_type(name or path)[0] or DEFAULT_MEDIA_TYPE
    source = sys.stdin.buffer if path == "-" else path
    return await files.upload(source, name="" if path == "-" and name is None else name, media_type=kind, ttl=ttl)


def _duration(text: str | None) -> Duration | None:
    try:
        return None if text is None else Duration.parse(text)
    except InvalidArgument as error:
        raise usage(error.detail, hint=error.hint, field="ttl") from None
