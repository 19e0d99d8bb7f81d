"""What readers by way of a cache may be shown, by the promises of the cache tier and by nothing else.

- Nobody is shown what nobody wrote, nor what had expired when it was asked for.
- A write that was acknowledged, and of which its process had told the cache, is seen by everybody from then on.
- One of which it could not tell yet is seen by everybody once it has told, and after `ttl` and what a slow reader may
  add to it in any case; by those whom the same process answers, at once.
- Where the cache is well all the time, what one was shown is seen by everybody from then on, acknowledged or not.
- A connection that remembers what it wrote is shown no less, wherever it asks: its greatest write, and those before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from soundstage.testing.model import DELETE, PUT
from soundstage.testing.simulation.scenario import Divergence

NEVER = float("inf")


class Written(NamedTuple):
    """A version of one item. The greater wins."""

    time_us: int
    kind: int
    token: str
    expires_us: int = 0
    value: bytes = b""

    def is_live(self, now_us: int) -> bool:
        """Whether there is an item."""
        return self.kind == PUT and not (self.expires_us and self.expires_us <= now_us)


class Author(NamedTuple):
    """Who acknowledged a write: a server, and which of its lives."""

    server: int
    life: int


NOBODY = -1
"""The connection of what no connection remembers: truncations, and mutations of sets."""


class Write:
    """One write of a record: by a connection, of versions by key. `for_all_s`: from then on everybody sees it.

    One that is `unstamped` has a condition, and a time that is told only with its success, or seen.
    """

    __slots__ = ("acked_s", "author", "begun_s", "connection", "for_all_s", "items", "unstamped")

    def __init__(
        self, connection: int, begun_s: float, items: dict[bytes, Written], *, unstamped: bool = False
    ) -> None:
        self.connection: int = connection
        self.begun_s: float = begun_s
        self.items: dict[bytes, Written] = items
        self.unstamped: bool = unstamped
        self.acked_s: float = NEVER
        self.for_all_s: float = NEVER
        self.author: Author | None = None

    @property
    def age(self) -> tuple[int, str]:
        """By which of two writes the greater one is known."""
        first = next(iter(self.items.values()))
        return first.time_us, first.token

    def stamp(self, time_us: int) -> None:
        """It was written with that time."""
        self.items = {key: version._replace(time_us=time_us) for key, version in self.items.items()}
        self.unstamped = False


class Asked(NamedTuple):
    """A read as it began: who answers it, and whose memory goes with it."""

    began_s: float
    author: Author
    connection: int | None


class Book:
    """The writes of a run. `late_s`: what was read is kept so much later at most; `calm`: all is well there."""

    def __init__(self, ttl_s: float, late_s: float, *, calm: bool = False) -> None:
        self._behind_s = ttl_s + late_s
        self._calm = calm
        self._shown: dict[tuple[str, bytes], Written] = {}
        self._writes: dict[str, list[Write]] = {}
        self._untold: list[tuple[str, Write]] = []

    def begin(self, record: str, write: Write) -> None:
        """The write may be seen from here on."""
        self._writes.setdefault(record, []).append(write)

    def acknowledge(self, record: str, write: Write, author: Author, now_s: float, *, told: bool) -> None:
        """It was acknowledged; `told`: its process owes the cache nothing of the record."""
        if write.acked_s <= now_s:
            return
        write.acked_s, write.author = now_s, author
        write.for_all_s = now_s if told else now_s + self._behind_s
        if not told:
            self._untold.append((record, write))

    def tell(self, has_told: Callable[[Author, str], bool], now_s: float) -> None:
        """What processes have told by now is for all to see."""
        for record, write in list(self._untold):
            assert write.author is not None
            if write.for_all_s <= now_s or has_told(write.author, record):
                write.for_all_s = min(write.for_all_s, now_s)
                self._untold.remove((record, write))

    def newest(self, record: str, key: bytes, before_s: float = NEVER) -> Written | None:
        """The greatest version of the item that was acknowledged before then."""
        writes = self._writes.get(record, ())
        acked = [write.items[key] for write in writes if key in write.items and write.acked_s < before_s]
        return max(acked, default=None)

    def least(self, record: str, asked: Asked, key: bytes) -> Written | None:
        """The least that the read may be shown of the item."""
        found = [write.items[key] for write in self._owed(record, asked) if key in write.items]
        if (shown := self._shown.get((record, key))) is not None:
            found.append(shown)
        return max(found, default=None)

    def check(
        self, record: str, key: bytes, least: Written | None, seen: Written | None, times_us: tuple[int, int]
    ) -> bool:
        """Whether `seen` is all that was acknowledged by anybody. Raises `Divergence` unless it may be shown.

        `times_us` is when it was asked for and when it was answered, by the clock of who did.
        """
        asked_us, answered_us = times_us
        writes = self._writes.get(record, ())
        if seen is not None:
            for write in writes:
                if write.unstamped and key in write.items and write.items[key].token == seen.token:
                    write.stamp(seen.time_us)
        versions = [write.items[key] for write in writes if key in write.items]
        newest = self.newest(record, key)
        if seen is None:
            gone = [each for each in versions if not each.is_live(answered_us)]
            if least is not None and least.is_live(answered_us) and not any(each > least for each in gone):
                raise Divergence(f"{record!r} {key!r} is not there, and must show {least} or later")
            return newest is None or not newest.is_live(answered_us)
        if seen not in versions:
            raise Divergence(f"{record!r} {key!r} shows {seen}, which nobody wrote")
        if least is not None and seen < least:
            raise Divergence(f"{record!r} {key!r} shows {seen}, and must show {least} or later")
        if not seen.is_live(asked_us):
            raise Divergence(f"{record!r} {key!r} shows {seen}, which had expired at {asked_us}")
        if self._calm:
            self._shown[record, key] = max(seen, self._shown.get((record, key), seen))
        return newest is None or seen >= newest

    def _owed(self, record: str, asked: Asked) -> Iterable[Write]:
        """The writes that the read must not miss."""
        writes = self._writes.get(record, ())
        own = [each for each in writes if each.connection == asked.connection and each.acked_s <= asked.began_s]
        greatest = max(own, key=lambda write: write.age, default=None)
        for write in writes:
            if (
                write.for_all_s <= asked.began_s
                or (write.author == asked.author and write.acked_s <= asked.began_s)
                or (
                    greatest is not None
                    and write.connection == asked.connection
                    and (write is greatest or write.acked_s <= greatest.begun_s)
                )
            ):
                yield write


def put(time_us: int, token: str, expires_us: int, value: bytes) -> Written:
    """The version of a put."""
    return Written(time_us, PUT, token, expires_us, value)


def deleted(time_us: int, token: str) -> Written:
    """The version of a delete."""
    return Written(time_us, DELETE, token)
