"""Copies of all blobs of a folder, which share its files where the file system allows. Blocking: for a thread.

A file of a blob is never changed, so that two folders may have the same one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from soundstage.core.errors import AlreadyExists, NotFound
from soundstage.engines.blobs.file.objects import Found, path_of, prepare, survey
from soundstage.engines.rocks.folder import check_format, sync_file, sync_folder

FORMAT = "FORMAT"


def copy_to(source: Path, blobs: Mapping[str, int], folder: str) -> None:
    """`folder`, which must not exist, is one of the `blobs` of `source`, given by key and sequence."""
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
        _share(source, blobs, draft)
        sync_folder(draft)
        os.rename(draft, target)
        sync_folder(target.parent)
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
    """The `blobs` of the copy in `folder` are in `target` too."""
    _share(Path(folder).absolute(), blobs, target)


def _share(source: Path, blobs: Mapping[str, int], target: Path) -> None:
    for key, sequence in blobs.items():
        there = path_of(target, key, sequence)
        try:
            os.link(path_of(source, key, sequence), there)
        except OSError:
            # Another file system, or one without links.
            shutil.copyfile(path_of(source, key, sequence), there)
            sync_file(there)
    for folder in {path_of(target, key, sequence).parent for key, sequence in blobs.items()}:
        sync_folder(folder)
