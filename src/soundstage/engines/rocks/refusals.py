"""What the embedded database says when it refuses, and what the driver's errors mean."""

from __future__ import annotations

from types import TracebackType

import msgspec
from rocksdict import DbClosedError

from soundstage.core.errors import DataLoss, DeadlineExceeded, Exhausted, Unavailable

_DAMAGE = ("Corruption", "checksum", "While open a file for random read")


def stopped() -> Unavailable:
    return Unavailable(
        "the engine is stopped", hint="ask the process that runs now", outcome="not_applied", retryable=False
    )


def closed_after(folder: str, error: Exception) -> Unavailable:
    """Said once a write or a flush has failed, until the folder is opened again."""
    return Unavailable(
        f"the database in {folder} was closed after a failed write: {_one_line(error)}",
        hint="see to the disk and restart",
        outcome="not_applied",
        retryable=True,
    )


def not_flushed(error: Exception) -> Unavailable:
    """Said to writers whose flush failed, and to readers of what they wrote."""
    return Unavailable(
        f"the disk did not take the write: {_one_line(error)}",
        hint="see to the disk and restart; a repetition with the same token is safe",
        outcome="unknown",
    )


def stalled() -> Exhausted:
    return Exhausted(
        "the disk does not keep up with the writes",
        hint="write more slowly",
        retry_after_ms=200,
        outcome="not_applied",
    )


def deadline_passed() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed before the write", hint="allow more time", outcome="not_applied")


def unusable(folder: str, error: Exception) -> Unavailable:
    return Unavailable(
        f"{folder} cannot be used: {_one_line(error)}",
        hint="check that it is a folder which this user may write to, on a disk with room",
        retryable=False,
        outcome="not_applied",
    )


def damaged(folder: str, what: str) -> DataLoss:
    return DataLoss(
        f"the database in {folder} is damaged: {what}",
        hint="restore a backup, or keep what is readable with: soundstage data repair --accept-loss",
    )


def unreadable_format(path: str) -> DataLoss:
    return DataLoss(
        f"{path} does not say which format the database has",
        hint="restore a backup, or write the file anew with: soundstage data repair --accept-loss",
    )


def is_damage(error: Exception) -> bool:
    """Whether an error of the driver says that what is stored is not what was written."""
    return any(word in str(error) for word in _DAMAGE)


class Translation:
    """`with` it, errors of the driver come out as ours: what could not be read is `DataLoss` or `Unavailable`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.translate(error)

    def translate(self, error: BaseException) -> None:
        """Raise ours for an error of the driver; return for any other."""
        if isinstance(error, DbClosedError):
            raise stopped() from error
        if isinstance(error, msgspec.MsgspecError):
            raise damaged(self._folder, f"a row cannot be read: {error}") from error
        # The driver raises the root of all errors and nothing below it.
        if type(error) is Exception:
            text = _one_line(error)
            raise (damaged(self._folder, text) if is_damage(error) else unusable(self._folder, error)) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
