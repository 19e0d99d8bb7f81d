"""Opens RocksDB on a folder, or says what is wrong with it and which file it is."""

from __future__ import annotations

import re
from pathlib import Path

import rocksdict
from rocksdict import Cache, Options, Rdict

from soundstage.core.errors import SoundstageError
from soundstage.engines.rocks.options import RocksOptions
from soundstage.engines.rocks.refusals import damaged, is_damage, unusable
from soundstage.engines.rocks.settings import family_options, open_options

_LOG_TAIL_BYTES = 64 << 10
_DROPPED = re.compile(r"(\S+\.log): dropping \d+ bytes")


def open_rdict(
    folder: str,
    options: RocksOptions,
    cache: Cache,
    *,
    read_only: bool = False,
    tuned: Options | None = None,
) -> Rdict:
    """RocksDB on `folder` with all its column families; `tuned` stands for the usual options.

    Raises `DataLoss`, naming the file, when what lies there is damaged, else `Unavailable`.
    """
    access = rocksdict.AccessType.read_only(False) if read_only else rocksdict.AccessType.read_write()
    families = [name for name in families_of(folder) if name != "default"]
    try:
        return Rdict(
            folder,
            tuned or open_options(options, cache),
            column_families={name: family_options(options, cache) for name in families},
            access_type=access,
        )
    except Exception as error:
        raise _not_opened(folder, error) from error


def flush_tables(db: Rdict) -> None:
    """What is in memory is in table files, of every column family: the driver's flush is of one."""
    for name in Rdict.list_cf(db.path()):
        db.get_column_family(name).flush()


def families_of(folder: str) -> list[str]:
    """The column families of a database; none for a folder that has none yet. Raises `DataLoss`."""
    if not Path(folder, "CURRENT").exists():
        _check_never_used(folder)
        return []
    try:
        return Rdict.list_cf(folder)
    except Exception as error:
        raise _not_opened(folder, error) from error


def _check_never_used(folder: str) -> None:
    # RocksDB would make a new database beside what is left of the old one.
    left = sorted(path.name for pattern in ("*.sst", "[0-9]*.log") for path in Path(folder).glob(pattern))
    if left:
        raise damaged(folder, f"it has {left[0]} but not the file {folder}/CURRENT")


def _not_opened(folder: str, error: Exception) -> SoundstageError:
    if not is_damage(error):
        return unusable(folder, error)
    text = " ".join(str(error).split())
    return damaged(folder, text if folder in text else f"{text} in {_damaged_log(folder)}")


def _damaged_log(folder: str) -> str:
    """The log in which RocksDB found damage: its error does not name it, but its diary does."""
    try:
        with open(Path(folder, "LOG"), "rb") as diary:
            diary.seek(max(0, diary.seek(0, 2) - _LOG_TAIL_BYTES))
            found = _DROPPED.findall(diary.read().decode(errors="replace"))
    except OSError:
        found = []
    return found[-1] if found else f"one of the files of {folder}"
