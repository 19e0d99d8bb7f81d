"""Copies of all blobs of a folder, which share its files where the file system allows. Blocking: for a thread.

A file of a blob is never changed, so that two folders may have the same one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from soundstage.core.errors import AlreadyExists, NotFound
from soundstage.engines.blobs.file.layouts import FORMAT, Layout
from soundstage.engines.blobs.file.objects import OBJECTS
from soundstage.engines.blobs.refusals import damaged
from soundstage.engines.rocks.folder import sync_file, sync_folder


def copy_to(
    source: Layout,
    keys: Iterable[str],
    current: Callable[[str], int | None],
    folder: str,
    layout_in: Callable[[Path], Layout],
) -> int:
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
        copy = layout_in(draft)
        copy.prepare()
        shutil.copyfile(source.folder / FORMAT, draft / FORMAT)
        sync_file(draft / FORMAT)
        copied = sum(_share_current(source, key, current, copy) for key in keys)
        _sync_objects(draft)
        sync_folder(draft)
        os.rename(draft, target)
        sync_folder(target.parent)
        return copied
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_copy(folder: Path) -> None:
    """Raises `NotFound` for a folder that is no copy."""
    if not (folder / FORMAT).is_file():
        raise NotFound(f"{folder} holds no backup", hint="name a folder that `soundstage data backup` made")


def bring_back(source: Layout, blobs: Mapping[str, int], target: Layout) -> None:
    """The `blobs` of a copy, given by key and sequence, are in `target` too; or none of them is."""
    pairs = [list(zip(source.parts(*blob), target.parts(*blob), strict=True)) for blob in blobs.items()]
    try:
        # What makes blobs of files is there only once those are safe.
        for alike in zip(*pairs, strict=True):
            for file, there in alike:
                _share(file, there)
            _sync_objects(target.folder)
    except BaseException:
        for pair in pairs:
            for _, there in reversed(pair):
                there.unlink(missing_ok=True)
        raise


def _share_current(source: Layout, key: str, current: Callable[[str], int | None], target: Layout) -> bool:
    """The blob of `key` is in `target` too; whether there was one."""
    tried: int | None = None
    while (sequence := current(key)) is not None:
        if sequence == tried:
            raise damaged(key)
        try:
            for file, there in zip(source.parts(key, sequence), target.parts(key, sequence), strict=True):
                _share(file, there)
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
        with suppress(OSError):
            # Some file systems know of no rights, and refuse them.
            shutil.copymode(file, there)
        sync_file(there)


def _sync_objects(folder: Path) -> None:
    for shard in (folder / OBJECTS).iterdir():
        sync_folder(shard)
