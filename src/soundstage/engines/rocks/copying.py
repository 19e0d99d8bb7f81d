"""Copies of an open database, openable by themselves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rocksdict import Cache, Checkpoint, Rdict

from soundstage.core.errors import AlreadyExists, NotFound, SoundstageError
from soundstage.engines.rocks import refusals
from soundstage.engines.rocks.folder import check_format, sync_file, sync_folder
from soundstage.engines.rocks.opening import families_of, flush_tables, open_rdict
from soundstage.engines.rocks.options import RocksOptions

_BESIDE = ("FORMAT", "rocksdict-config.json")
"""What belongs to the database and RocksDB knows nothing of."""

_OWN = ("LOCK", "LOG", "OWNER")
"""What each who opens a folder writes anew."""

PART_BYTES = 256 << 10
"""Restored and made durable at a time; no part has more than this and one row."""


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
        flush_tables(db)
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


@contextmanager
def likeness(folder: str) -> Generator[str, None, None]:
    """A folder to open instead of the copy in `folder`, which may lie where nothing can be written.

    RocksDB's files are linked; what is written even by who only reads is the likeness's own. Errors, the driver's
    included, speak of `folder`. Raises `Unavailable` when that cannot be read.
    """
    with TemporaryDirectory(prefix="soundstage-") as here:
        try:
            for path in Path(folder).absolute().iterdir():
                if path.name in _BESIDE:
                    shutil.copyfile(path, Path(here, path.name))
                elif path.name not in _OWN:
                    Path(here, path.name).symlink_to(path)
        except OSError as error:
            raise refusals.unusable(folder, error) from None
        try:
            with refusals.Translation(folder):
                yield here
        except SoundstageError as error:
            error.detail = error.detail.replace(here, folder)
            error.args = (error.detail,)
            raise


@contextmanager
def backup(folder: str, options: RocksOptions) -> Generator[tuple[Rdict, list[str]]]:
    """The database whose copy is in `folder`, open to read, and the names of its families.

    Let go of everything of it before the end. Raises `NotFound` for a folder without one, and what `likeness` raises.
    """
    if not Path(folder, "FORMAT").exists():
        raise NotFound(f"{folder} holds no backup", hint="name a folder that `soundstage data backup` made")
    with likeness(folder) as here:
        check_format(here)
        source = open_rdict(here, options, Cache(8 << 20), read_only=True)
        try:
            yield source, families_of(here)
        finally:
            source.close()


def part_of(rows: Iterator[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The next of `rows`, up to `PART_BYTES` and the row that passes them; none at the end."""
    part: list[tuple[bytes, bytes]] = []
    size = 0
    while size < PART_BYTES and (row := next(rows, None)) is not None:
        part.append(row)
        size += len(row[0]) + len(row[1])
    return part


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
