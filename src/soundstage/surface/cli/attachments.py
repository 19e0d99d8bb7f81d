"""Files in messages: paths on the command line are sent before the call, and what a reply names is fetched after it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from secrets import token_hex
from typing import Any, cast

import msgspec

from soundstage.core.errors import InvalidArgument
from soundstage.core.files import BLOB_PATTERN, File
from soundstage.core.operation import Operation
from soundstage.core.transfers import FileAccess, local_name

_ID = re.compile(BLOB_PATTERN)

_MARK = f"path-{token_hex(8)}:"
"""Stands before a path until it is sent; nobody else can write it, so that no message makes this command read one."""


def read_attachment(text: str) -> dict[str, str]:
    """What a flag for a file says: the id of one that the stage has, or a path. `InvalidArgument` for neither."""
    path = os.path.abspath(os.path.expanduser(text))
    if os.path.isfile(path):
        return {"blob": f"{_MARK}{path}"}
    if _ID.fullmatch(text):
        return {"blob": text}
    if os.path.isdir(path):
        raise InvalidArgument(f"{text!r} is a folder", hint="name a file in it")
    raise InvalidArgument(f"there is no file {text!r}", hint="give a path, or the id of a file that the stage has")


def has_files(operation: Operation[..., Any]) -> bool:
    """Whether a reply may name files: those of jobs do, and those with a field for some."""
    return operation.kind == "job" or _may_hold(msgspec.inspect.type_info(operation.reply), set())


async def sent(message: Any, files: FileAccess) -> Any:
    """`message` with every path in it sent, as the file that it became."""

    async def send(file: File) -> File:
        if not file.blob.startswith(_MARK):
            return file
        return await files.upload(file.blob.removeprefix(_MARK))

    return await _replaced(message, send)


async def fetched(messages: Sequence[Any], files: FileAccess, folder: str) -> None:
    """Every file that `messages` name is in `folder`, which is made; tells where. Nothing that is there is replaced."""
    _make(folder)
    found = {file.blob: file for message in messages for file in files_in(message)}
    for file in found.values():
        path = _free(Path(folder, local_name(file)), file.blob)
        await files.download(file, path)
        print(f"soundstage: wrote {path}", file=sys.stderr)


def files_in(value: Any) -> Iterator[File]:
    """Every file that a message names."""
    if isinstance(value, File):
        yield value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from files_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for each in cast("Mapping[Any, Any]", value).values():
            yield from files_in(each)
    elif isinstance(value, (list, tuple)):
        for each in cast("Sequence[Any]", value):
            yield from files_in(each)


async def _replaced(value: Any, send: Callable[[File], Awaitable[File]]) -> Any:
    if not any(True for _ in files_in(value)):
        return value
    if isinstance(value, File):
        return await send(value)
    if isinstance(value, msgspec.Struct):
        fields = {name: await _replaced(getattr(value, name), send) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **fields)
    if isinstance(value, Mapping):
        return {key: await _replaced(each, send) for key, each in cast("Mapping[Any, Any]", value).items()}
    return [await _replaced(each, send) for each in value]


def _may_hold(node: Any, seen: set[Any]) -> bool:
    if isinstance(node, msgspec.inspect.StructType):
        if node.cls is File:
            return True
        if node.cls in seen:
            return False
        seen.add(node.cls)
        return any(_may_hold(field.type, seen) for field in node.fields)
    inner = [getattr(node, name, None) for name in ("type", "item_type", "value_type")]
    return any(_may_hold(each, seen) for each in (*inner, *getattr(node, "types", ())) if each is not None)


def _make(folder: str) -> None:
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgument(f"the folder {folder} cannot be made: {error.strerror}", field="out") from None


def _free(path: Path, blob: str) -> Path:
    """`path`, or the first one beside it where nothing is yet."""
    if not os.path.lexists(path):
        return path
    stem = f"{path.stem}-{blob[-12:]}"
    names = chain([stem], (f"{stem}-{number}" for number in count(2)))
    return next(each for name in names if not os.path.lexists(each := path.with_name(f"{name}{path.suffix}")))
