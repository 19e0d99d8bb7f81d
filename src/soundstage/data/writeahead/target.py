"""What a system brings to have its mutations applied, and what it gives a journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from soundstage.core.errors import InvalidArgument, TooLarge

MUTATIONS_MAX = 1_000
"""Of one set."""

TOKEN_MAX_BYTES = 60
"""Of the text of a set's token: each mutation's own adds a slash and up to three digits, and has 64 at most."""


def check_count(count: int) -> None:
    """Raise `InvalidArgument` or `TooLarge` for a set of no mutations, or of too many."""
    if not count:
        raise InvalidArgument("mutations is empty", field="mutations", hint="give at least one")
    if count > MUTATIONS_MAX:
        raise TooLarge(
            f"mutations has {count} entries, the limit is {MUTATIONS_MAX}",
            field="mutations",
            hint="split them over several calls; order is kept within one only",
        )


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A set as its system submits it, checked: nothing in it can fail for good by what is known now.

    `token` and `time_us` are those of its caller; mutation i has the token `<token>/<i>` and the time `time_us + i`.
    `scope` keeps callers apart who use the same token. A set that is due later, at `due_us`, has the time it is due
    in place of its token's. `mutations` are MessagePack maps, so that they can be shown to people. `places` are those
    that the target says they need, each once: too many that wait for one of them keep the set out.
    """

    token: str
    time_us: int
    mutations: Sequence[bytes]
    scope: str = ""
    due_us: int = 0
    places: Sequence[str] = ()


class Target(Protocol):
    """Applies mutations of one system."""

    def place(self, mutation: bytes) -> str:
        """What the mutation needs and what may be down: those of one place fail together. A namespace, say."""
        ...

    async def apply(self, mutation: bytes, time_us: int, token: str, deadline_ns: int) -> None:
        """The mutation is durable, at the version of `time_us` and `token`; done twice it is done once.

        `Unavailable`, `DeadlineExceeded`, `Exhausted` and `InProgress`: it is tried again later. `NotFound` too, a few
        times, for another process may know better. Any other error is for good: the rest of its set is dead.
        """
        ...
