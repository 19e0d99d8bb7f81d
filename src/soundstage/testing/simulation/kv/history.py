"""What was asked of a record, what is certain of it, and what may be.

The rule of conflicts is that of `soundstage.testing.model`; nothing of the product's code decides here. Events are
counted, so that writes and reads that overlap are known to. A write that was acknowledged, or seen by anybody, is
certain for every read that begins later: an answer lasts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from soundstage.testing.model import DELETE, PUT, Version
from soundstage.testing.simulation.kv.steps import Shape

ORIGIN = Version(0, PUT, "")
"""Less than every version."""


class Write:
    """One write as sent, and what is known of it. The versions in `sent` have the token's time.

    A conditional write that was not answered has no time yet: it was stamped after something in `floors`, or not at
    all. `sure_at` is the event from which it is certain; `sure_keys` the same for single keys of a write that may have
    been applied in part. After `over_at` it is not applied any more, if it has not been by then.
    """

    __slots__ = (
        "_stamped",
        "begun",
        "conditional",
        "floors",
        "over_at",
        "record",
        "sent",
        "shape",
        "sure_at",
        "sure_keys",
        "time_us",
        "token",
        "token_time_us",
    )

    def __init__(
        self, record: str, shape: Shape, token: str, time_us: int, sent: dict[bytes, Version], *, conditional: bool
    ) -> None:
        self.record: str = record
        self.shape: Shape = shape
        self.token: str = token
        self.token_time_us: int = time_us
        self.sent: dict[bytes, Version] = sent
        self.conditional: bool = conditional
        self.time_us: int | None = None if conditional else time_us
        self.begun: int = 0
        self.floors: set[int] = set()
        self.sure_at: int | None = None
        self.sure_keys: dict[bytes, int] | None = None
        self.over_at: int | None = None
        # What is asked for in one world is asked for again in the next.
        self._stamped: dict[int, tuple[dict[bytes, Version], Version]] = {}

    @property
    def kind(self) -> int:
        return PUT if self.shape == "put" else DELETE

    def versions(self, time_us: int) -> dict[bytes, Version]:
        """By key, what the write gives the record if it is stamped `time_us`."""
        return self.stamped(time_us)[0]

    def identity(self, time_us: int) -> Version:
        """What the record's own version is compared with."""
        return self.stamped(time_us)[1]

    def stamped(self, time_us: int) -> tuple[dict[bytes, Version], Version]:
        """`versions` and `identity` of that time."""
        found = self._stamped.get(time_us)
        if found is None:
            same = time_us == self.token_time_us
            versions = self.sent if same else {key: each._replace(time_us=time_us) for key, each in self.sent.items()}
            found = self._stamped[time_us] = versions, Version(time_us, self.kind, self.token)
        return found


class Record:
    """The writes of one record. Those that are certain for everybody are folded into `best` and `newest`."""

    def __init__(self) -> None:
        self.best: dict[bytes, Version] = {}
        self.newest: Version = ORIGIN
        self.recent: list[Write] = []

    def begin(self, write: Write) -> None:
        """`write` may be applied from here on."""
        if write.conditional:
            write.floors = {self.newest.time_us, *self._times(write)}
        for other in self.recent:
            if other.time_us is None:
                other.floors.update(self._times_of(write))
        self.recent.append(write)

    def stamp(self, write: Write, time_us: int) -> None:
        """`write` is known to have that time."""
        write.time_us = time_us
        for other in self.recent:
            if other.time_us is None:
                other.floors.add(time_us)

    def drop(self, write: Write) -> None:
        """`write` was never applied and never will be."""
        if write in self.recent:
            self.recent.remove(write)

    def fold(self, horizon: int) -> None:
        """What is certain for every read that is under way, the first of which began at `horizon`, needs no list.

        Nor does what is over and surpassed in all its keys: nothing depends on whether it was applied.
        """
        kept: list[Write] = []
        for write in self.recent:
            time_us = write.time_us
            if time_us is not None and write.sure_at is not None and write.sure_at <= horizon:
                self._fold(write, time_us)
            else:
                kept.append(write)
        self.recent = [write for write in kept if not self._is_idle(write, horizon)]

    def _fold(self, write: Write, time_us: int) -> None:
        best = self.best
        for key, version in write.versions(time_us).items():
            if version > best.get(key, ORIGIN):
                best[key] = version
        self.newest = max(self.newest, write.identity(time_us))

    def _is_idle(self, write: Write, horizon: int) -> bool:
        if write.over_at is None or write.over_at > horizon or write.time_us is None:
            return False
        best = self.best
        return self.newest >= write.identity(write.time_us) and all(
            best.get(key, ORIGIN) >= version for key, version in write.versions(write.time_us).items()
        )

    def _times(self, but: Write) -> Iterator[int]:
        for write in self.recent:
            if write is not but:
                yield from self._times_of(write)

    @staticmethod
    def _times_of(write: Write) -> set[int]:
        return stamps(write) if write.time_us is None else {write.time_us}


class History:
    """All records of a run. `events` counts what has happened."""

    def __init__(self) -> None:
        self.events: int = 0
        self.records: dict[str, Record] = {}
        self._under_way: Counter[int] = Counter()

    def tick(self) -> int:
        self.events += 1
        return self.events

    def record(self, name: str) -> Record:
        """The record of that name, which has no writes at first."""
        found = self.records.get(name)
        if found is None:
            found = self.records[name] = Record()
        return found

    def begin(self, write: Write) -> None:
        """`write` is about to be sent."""
        write.begun = self.open()
        self.record(write.record).begin(write)

    def open(self) -> int:
        """The event with which a call begins; end it with `close`."""
        return self.reopen(self.tick())

    def reopen(self, began: int) -> int:
        """One more call that began with that event is under way."""
        self._under_way[began] += 1
        return began

    def close(self, began: int, *records: str) -> None:
        """The call that began then has been judged; it was about `records`."""
        self._under_way[began] -= 1
        if not self._under_way[began]:
            del self._under_way[began]
        horizon = min(self._under_way, default=self.events + 1)
        for name in records:
            record = self.records.get(name)
            if record is not None and record.recent:
                record.fold(horizon)


def stamps(write: Write) -> set[int]:
    """The times that a conditional write whose answer is not known may have been given."""
    own = write.token_time_us
    return {own, *(max(own, floor + 1) for floor in write.floors)}
