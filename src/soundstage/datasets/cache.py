"""The folder of fetched datasets.

    <folder>/<dataset>/<version>-<digest>/<file>   complete and verified when it appears, by one rename
    <folder>/.staging/<dataset>-<version>-<digest>/<random>/   one fetch at work; deleted when it ends
    <folder>/.locks/<dataset>-<version>-<digest>   locked by whoever fetches it

Nothing is synced to disk: every use checks the digests again, so what a power cut damages is fetched again.
The folder may be deleted at any time.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.datasets.archive import sha256_of
from soundstage.datasets.dataset import Dataset

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset(
    {
        errno.EACCES,
        errno.EEXIST,
        errno.EIO,
        errno.EISDIR,
        errno.ENOENT,
        errno.ENOLCK,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)


def cache_folder() -> Path:
    """Where datasets are kept: `$SOUNDSTAGE_DATASETS`, `$XDG_CACHE_HOME/soundstage/datasets` or below `~/.cache`.

    The folder need not exist. Raises `InvalidArgument` when there is no home folder to put it in.
    """
    if chosen := os.environ.get("SOUNDSTAGE_DATASETS"):
        return Path(chosen).expanduser().absolute()
    # The XDG specification wants relative values ignored.
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        root = base if base.is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise InvalidArgument("there is no home folder to keep datasets in", hint="set SOUNDSTAGE_DATASETS") from error
    return root / "soundstage" / "datasets"


class Cache:
    """Entries of one cache folder, safe against other processes and threads that use the same one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entry(self, dataset: Dataset) -> Path:
        """The folder that holds, or would hold, the dataset's files."""
        return self.folder / dataset.name / _edition(dataset)

    def is_intact(self, dataset: Dataset) -> bool:
        """Whether every file is there with its stated size and digest; reads them all."""
        entry = self.entry(dataset)
        try:
            return all(
                (entry / file.name).stat().st_size == file.size and sha256_of(entry / file.name) == file.sha256
                for file in dataset.files
            )
        except OSError:
            return False

    @contextmanager
    def locked(self, dataset: Dataset, waiting: Callable[[], None]) -> Generator[None]:
        """Held by one thread of one process at a time; the kernel frees it on death.

        Waits for the holder, after calling `waiting`.
        """
        locks = self.folder / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / _key(dataset)).open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def staging(self, dataset: Dataset) -> Generator[Path]:
        """An empty folder beside the entries, gone afterwards, as is what killed fetches left. Needs the lock."""
        stages = self.folder / ".staging" / _key(dataset)
        shutil.rmtree(stages, ignore_errors=True)
        stages.mkdir(parents=True, exist_ok=True)
        try:
            yield Path(tempfile.mkdtemp(dir=stages))
        finally:
            shutil.rmtree(stages, ignore_errors=True)

    def publish(self, dataset: Dataset, files: Path, stage: Path) -> Path:
        """The folder `files` has become the dataset's entry, at once; a damaged entry has been moved to `stage`."""
        entry = self.entry(dataset)
        entry.parent.mkdir(parents=True, exist_ok=True)
        if entry.exists():
            entry.rename(stage / "damaged")
        return files.rename(entry)

    def require_space(self, dataset: Dataset) -> None:
        """Raises `Unavailable` when the disk cannot hold the archive and the files at once."""
        needed = dataset.package.size + dataset.size
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise _full(self.folder, f"{dataset.name} needs {needed} bytes and {free} are free")

    @contextmanager
    def faults_reported(self) -> Generator[None]:
        """What the disk refuses inside is raised as `Unavailable` with the reason."""
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise _full(self.folder, str(error)) from error
            if error.errno in _REFUSED:
                raise Unavailable(
                    f"the dataset cache {self.folder} cannot be written: {error}",
                    hint="set SOUNDSTAGE_DATASETS to a folder you can write, or mend its permissions",
                    retryable=False,
                ) from error
            raise


def _edition(dataset: Dataset) -> str:
    return f"{dataset.package.version}-{dataset.package.sha256[:12]}"


def _key(dataset: Dataset) -> str:
    return f"{dataset.name}-{_edition(dataset)}"


def _full(folder: Path, reason: str) -> Unavailable:
    return Unavailable(
        f"no space for datasets in {folder}: {reason}",
        hint="free some space there, or set SOUNDSTAGE_DATASETS to a folder on another disk",
        retryable=False,
    )
