"""Chores: jobs that go on when a file appears."""

# pyright: reportReturnType=false
from __future__ import annotations

import msgspec

from soundstage.core.job import job
from soundstage.core.operation import AsyncFace, SyncFace, operation


class Count(msgspec.Struct, kw_only=True):
    """Counts to `to`; from `wait_at` on only once the file `go` is there."""

    to: int
    wait_at: int


class Counted(msgspec.Struct, kw_only=True):
    numbers: list[int]


class WhereAmI(msgspec.Struct, kw_only=True):
    """Asks which process answers."""


class Here(msgspec.Struct, kw_only=True):
    pid: int


class ChoresCalls:
    """Chores."""

    system = "chores"

    @job(Count, access="write", restart="resume")
    def resuming(self) -> Counted:
        """Counts on from where it was."""

    @job(Count, access="write", restart="fail")
    def failing(self) -> Counted:
        """Counts once."""

    @operation(WhereAmI, access="read")
    def stuck(self) -> Here:
        """Never answers: its work in a thread goes on for ever."""

    @operation(WhereAmI, access="read", idempotent=True)
    def where(self) -> Here:
        """The process that answers."""


class Chores(AsyncFace, ChoresCalls):
    """Chores, asynchronous."""


class SyncChores(SyncFace, ChoresCalls):
    """Chores, synchronous."""


CALLS = ChoresCalls
