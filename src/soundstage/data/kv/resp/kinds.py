"""Which keys hold strings, as far as the door knows of late: what it may overwrite without looking.

A string that is overwritten by a string needs no condition, only the knowledge that it is one. All that reaches the
namespace by this door is known here at once. What others write through kv is not: so knowledge is good for a second.
"""

from __future__ import annotations

from collections.abc import Callable

KNOWN_NS = 1_000_000_000
KNOWN_MAX = 20_000


class Strings:
    """The ids of one namespace that held a string less than a second ago."""

    __slots__ = ("_now_ns", "_until")

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._until: dict[str, int] = {}

    def learn(self, id: str) -> None:
        """The record is a string at this moment."""
        until = self._until
        if id not in until and len(until) >= KNOWN_MAX:
            del until[next(iter(until))]
        until[id] = self._now_ns() + KNOWN_NS

    def forget(self, id: str) -> None:
        """The record may be something else."""
        self._until.pop(id, None)

    def know(self, id: str) -> bool:
        """Whether the record was a string less than a second ago, and nothing here has changed that."""
        until = self._until.get(id)
        return until is not None and self._now_ns() < until
