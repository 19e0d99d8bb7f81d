"""Copies of all blobs of a folder, which share its files where the file system allows. Blocking: for a thread.

A file of a blob is never changed, so that two folders may have the same one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from soundstage.core.errors import AlreadyExists, NotFound
from soundstage.engines.blobs.file.objects import OBJECTS, Found, path_of, prepare, survey
from soundstage.engines.blobs.refusals import damaged
from soundstage.engines.rocks.folder import check_format, sync_file, sync_folder

FORMAT = "FORMAT"


def copy_to(source: Path, keys: Iterable[str], current: Callable[[str], int | None], folder: str) -> int:
    """`folder`, which must not exist, is one of the blobs of `source` with these keys; returns how many.

    `current` tells the sequence of a key: a blob may be replaced or deleted meanwhile, and is then copied as it is
    by now, or not at all. Raises `DataLoss` for one whose file has vanished.
    """
    target = Path(folder).absolute()
    if os.path.lexists(target):
        raise AlreadyExists(f"{target} exists", hint="name a folder that does not")
    draft = target.with_name(f"{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        prepare(draft)
        shutil.copyfile(source / FORMAT, draft / FORMAT)
        sync_file(draft / FORMAT)
        copied = sum(_share_current(source, key, current, draft) for key in keys)
        _sync_objects(draft)
        sync_folder(draft)
        os.rename(draft, target)
        sync_folder(target.parent)
        return copied
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def found_in(folder: str) -> dict[str, Found]:
    """The blobs of a copy, by key. Raises `NotFound` for a folder that is none."""
    copy = Path(folder).absolute()
    if not (copy / FORMAT).is_file():
        raise NotFound(f"{copy} holds no backup", hint="name a folder that `soundstage data backup` made")
    check_format(str(copy))
    return survey(copy, clear=False)


def bring_back(folder: str, blobs: Mapping[str, int], target: Path) -> None:
    """The `blobs` of the copy in `folder`, given by key and sequence, are in `target` too; or none of them is."""
    source = Path(folder).absolute()
    try:
        for key, sequence in blobs.items():
            _share(path_of(source, key, sequence), path_of(target, key, sequence))
        _sync_objects(target)
    except BaseException:
        for key, sequence in blobs.items():
            path_of(target, key, sequence).unlink(missing_ok=True)
        raise


def _share_current(source: Path, key: str, current: Callable[[str], int | None], target: Path) -> bool:
    """The blob of `key` is in `target` too; whether there was one."""
    tried: int | None = None
    while (sequence := current(key)) is not None:
        if sequence == tried:
            raise damaged(key)
        try:
            _share(path_of(source, key, sequence), path_of(target, key, sequence))
            return True
        except FileNotFoundError:
            # A file is removed only once its key is known with another, or unknown.
            tried = sequence
    return False


def _share(file: Path, there: Path) -> None:
    try:
        os.link(file, there)
    except FileNotFoundError:
        raise
    except OSError:
        # Another file system, or one without links.
        shutil.copyfile(file, there)
        sync_file(there)


def _sync_objects(folder: Path) -> None:
    for shard in (folder / OBJECTS).iterdir():
        sync_folder(shard)
