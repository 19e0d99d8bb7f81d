# pyright: reportReturnType=false
from __future__ import annotations

import msgspec

from soundstage.core.job import job
from soundstage.core.message import Instant
from soundstage.core.operation import AsyncFace, SyncFace


class Count(msgspec.Struct, kw_only=True):
    """Counts to `to`, a second each; `how` says what goes wrong at `at`."""

    to: int
    how: str = ""
    at: int = -1


class Counted(msgspec.Struct, kw_only=True):
    numbers: list[int]
    at: Instant
    raw: bytes = b"\x00\xff"


class ErrandsCalls:
    """Errands."""

    system = "errands"

    @job(Count, access="write", restart="resume")
    def resuming(self) -> Counted:
        """Counts on from where it was."""

    @job(Count, access="write", restart="restart")
    def restarting(self) -> Counted:
        """Counts from the beginning."""

    @job(Count, access="read", restart="fail")
    def failing(self) -> Counted:
        """Counts once."""


class Errands(AsyncFace, ErrandsCalls):
    """Errands, asynchronous."""


class SyncErrands(SyncFace, ErrandsCalls):
    """Errands, synchronous."""


CALLS = ErrandsCalls
