"""The messages and jobs of chores."""

# pyright: reportReturnType=false

from __future__ import annotations

import msgspec

from soundstage.core.errors import NotFound
from soundstage.core.job import job
from soundstage.core.operation import AsyncFace, SyncFace


class Chore(msgspec.Struct, frozen=True, kw_only=True):
    """So many `steps`; then a file of `bytes`, unless 0, and the result `number`, unless it `fails`."""

    number: int
    steps: int
    bytes: int = 0
    fails: bool = False


class Done(msgspec.Struct, frozen=True, kw_only=True):
    number: int


class ChoresCalls:
    """Chores."""

    system = "chores"

    @job(Chore, access="write", restart="resume", errors=(NotFound,))
    def resuming(self) -> Done:
        """Goes on from the last step."""

    @job(Chore, access="write", restart="restart", errors=(NotFound,))
    def restarting(self) -> Done:
        """Begins anew."""

    @job(Chore, access="write", restart="fail", errors=(NotFound,))
    def failing(self) -> Done:
        """Is begun once."""


class Chores(AsyncFace, ChoresCalls):
    """Chores, asynchronous."""


class SyncChores(SyncFace, ChoresCalls):
    """Chores, synchronous."""


CALLS = ChoresCalls
