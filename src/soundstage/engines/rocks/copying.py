"""Copies of an open database, openable by themselves."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rocksdict import Checkpoint, Rdict

from soundstage.core.errors import AlreadyExists, SoundstageError
from soundstage.engines.rocks import refusals
from soundstage.engines.rocks.folder import sync_file, sync_folder

_BESIDE = ("FORMAT", "rocksdict-config.json")
"""What belongs to the database and RocksDB knows nothing of."""


def copy_to(db: Rdict, source: str, target: str) -> None:
    """`target`, which must not exist, holds what was written before the call. For a thread of its own.

    Costs next to nothing on the file system of `source`, whose table files it then shares. Raises
    `AlreadyExists`, and `Unavailable` when the disk refuses; having raised, it leaves no target.
    """
    if os.path.lexists(target):
        raise AlreadyExists(f"{target} exists", hint="name a folder that does not")
    draft = Path(f"{target}.draft")
    try:
        # The checkpoint holds the interpreter while it writes what is in memory; this does not.
        db.flush()
        shutil.rmtree(draft, ignore_errors=True)
        _checkpoint(db, Path(source), draft)
        _settle(draft)
        os.rename(draft, target)
        sync_folder(Path(target).absolute().parent)
    except SoundstageError:
        raise
    except Exception as error:
        raise refusals.unusable(target, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _checkpoint(db: Rdict, source: Path, draft: Path) -> None:
    if os.stat(draft.absolute().parent).st_dev == os.stat(source).st_dev:
        Checkpoint(db).create_checkpoint(str(draft))
    else:
        # Across file systems the checkpoint would copy every table while it holds the interpreter.
        near = source.with_name(f"{source.name}.checkpoint")
        shutil.rmtree(near, ignore_errors=True)
        try:
            Checkpoint(db).create_checkpoint(str(near))
            shutil.copytree(near, draft)
        finally:
            shutil.rmtree(near, ignore_errors=True)
    for name in _BESIDE:
        shutil.copyfile(source / name, draft / name)


def _settle(folder: Path) -> None:
    for path in folder.iterdir():
        sync_file(path)
    sync_folder(folder)
