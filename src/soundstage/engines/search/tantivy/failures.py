"""What Tantivy's errors mean. They are `ValueError`s with a sentence, and panics, which no `except Exception` sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from soundstage.core.errors import DataLoss, Internal, SoundstageError, TooLarge, Unavailable

P = ParamSpec("P")
T = TypeVar("T")

_PANIC = "PanicException"
_TOO_MUCH = ("limit was exceeded", "Limit Exceeded", "limit exceeded")
_DAMAGE = ("corrupt", "does not exist", "Failed to open", "incompatible", "Incompatible", "checksum", "deserialize")
_DISK = ("IoError", "No space", "Input/output", "Lockfile", "writer was killed", "Permission denied", "os error")


def translated(folder: Path, call: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """What `call` returns. Raises nothing but `SoundstageError`, and what ends the program."""
    try:
        return call(*args, **more)
    except SoundstageError:
        raise
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
            raise
        raise meaning(folder, error) from None


def meaning(folder: Path, error: BaseException) -> SoundstageError:
    """The error of ours that one of the driver's, or of the system's, is."""
    said = " ".join(str(error).split()) or type(error).__name__
    if any(part in said for part in _TOO_MUCH):
        return TooLarge(f"too much to count: {said}", field="aggregations", hint="count over less, or in wider steps")
    if isinstance(error, OSError | MemoryError) or any(part in said for part in _DISK):
        return Unavailable(
            f"the indexes in {folder} could not be used: {said}",
            hint="see to the disk; a put without a condition may be repeated",
            outcome="unknown",
        )
    if any(part in said for part in _DAMAGE):
        return DataLoss(f"an index in {folder} is damaged: {said}", hint="build it again in an empty folder")
    return Internal(f"the search library failed: {said}", hint="please report it", outcome="unknown")
