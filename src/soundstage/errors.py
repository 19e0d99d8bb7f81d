"""Everything that a call may fail with, in process and over HTTP alike; see `soundstage.core.errors`."""

from __future__ import annotations

from soundstage.core.errors import (
    AlreadyExists,
    DataLoss,
    DeadlineExceeded,
    Exhausted,
    Forbidden,
    InProgress,
    Internal,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    SoundstageError,
    TokenDrift,
    TokenReused,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

__all__ = [
    "AlreadyExists",
    "DataLoss",
    "DeadlineExceeded",
    "Exhausted",
    "Forbidden",
    "InProgress",
    "Internal",
    "InvalidArgument",
    "NotFound",
    "PreconditionFailed",
    "SoundstageError",
    "TokenDrift",
    "TokenReused",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
]
