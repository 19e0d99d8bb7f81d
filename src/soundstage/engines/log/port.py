"""The log port: topics of partitions to whose ends entries are appended, durable before they are acknowledged.

A partition is a row of entries with offsets that only grow; nothing is ever put between them. Entries go from the
beginning by retention, and in compacted topics where a newer one of the same key follows. Readers are shown what is
durable and nothing else, in the order of offsets, as often as they ask.

To write another engine: implement `Log`, announce what else it can in `capabilities`, and run
`soundstage.testing.log.LogSuite` over it. `soundstage.engines.log.memory` is the specification.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import msgspec

from soundstage.engines.records.port import Batch, Conditional

ENTRY_MAX_BYTES = 1 << 20
"""Of key, value and headers together."""

CALL_MAX_BYTES = 4 << 20
CALL_MAX_ENTRIES = 5_000
PARTITIONS_MAX = 1_024
TOPICS_MAX = 10_000
NAME_MAX_CHARS = 200
TOKEN_MAX_BYTES = 256
HEADERS_MAX = 64

PAGE_MAX_BYTES = 8 << 20
PAGE_MAX_ENTRIES = 100_000
WAIT_MAX_POSITIONS = 2_048

TIME_AHEAD_MAX_US = 3_600_000_000
"""How far beyond now the time that a producer gives may lie: nothing later could be told apart by its time."""

GROUPS_MAX = 10_000
MEMBERS_MAX = 1_000
TOPICS_JOINED_MAX = 100
SESSION_MIN_US, SESSION_MAX_US = 1_000_000, 3_600_000_000

KEYS_COMPACTED_MAX = 1_000_000
"""Keys that one round of compaction tells apart, in one partition."""

Headers: TypeAlias = tuple[tuple[str, bytes], ...]


class LogCapability(StrEnum):
    """What an engine can beyond `Log`; ask, never catch."""

    DURABLE = "durable"
    TOKEN_DEDUP = "token_dedup"
    STATISTICS = "statistics"
    CHECKPOINT = "checkpoint"
    ATOMIC_WITH_LOG = "atomic_with_log"
    GROUPS = "groups"
    TRANSACTIONS = "transactions"
    SHARED = "shared"
    """Stages with the same URL see the same entries, those on other hosts too. An engine of another process (`host:`)
    is as shared as the one behind it."""
    HOSTED = "hosted"
    """Another process has the engine (`host:`): all stages of this machine that go by it see the same entries."""
    EXACT = "exact"
    """What servers do in ways of their own. No time of a partition is less than the one before it, and the engine's own
    are told to the microsecond. Retention by bytes and compaction are done by the sweep, to the entry. Members of
    groups keep most of what they have."""


class TopicSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as created. `name` is `<system>/<namespace>` or `<system>/<namespace>/<part>`.

    Fixed at creation: `partitions` (1 to 1,024) and `compact`.

    `retention_us`: entries older than this go. `retention_bytes`: of each partition the oldest go as long as the rest
    has so many bytes. None: never for that. `compact`: an entry goes when a newer one of its key is in the partition
    and both are older than `compact_lag_us`; one without a value deletes its key, and goes itself once it is older than
    `delete_retention_us`. Entries of a compacted topic have keys, and its size has no limit.

    `token_us` is for how long the tokens of appends are remembered.
    """

    name: str
    partitions: int = 1
    retention_us: int | None = None
    retention_bytes: int | None = None
    compact: bool = False
    compact_lag_us: int = 60_000_000
    delete_retention_us: int = 86_400_000_000
    token_us: int = 660_000_000


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a producer appends. `value` None: the key is deleted. `time_us` None: when the engine takes it."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    time_us: int | None = None


class Stored(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An entry where it stands. Within a partition no time is less than the one before it."""

    offset: int
    time_us: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Spot(msgspec.Struct, frozen=True, array_like=True, order=True, gc=False):
    """Where an entry is in its topic; it can be taken apart as `partition, offset = spot`.

    No named tuple: each append makes one for each entry, and the collector of garbage would look at all of them.
    """

    partition: int
    offset: int

    def __iter__(self) -> Iterator[int]:
        return iter((self.partition, self.offset))


class Position(NamedTuple):
    """From where somebody wants to read."""

    topic: str
    partition: int
    offset: int


class Bounds(NamedTuple):
    """The first offset that may be read, and the one that the next entry is going to have; equal when it is empty."""

    start: int
    end: int


class LogPage(msgspec.Struct, frozen=True, gc=False):
    """Entries in the order of their offsets, and where the next page begins.

    `start` and `end` are the partition's bounds; everything before `end` is durable. `start` after the offset that was
    asked for says that entries are gone which the reader has not seen.
    """

    entries: list[Stored]
    next: int
    start: int
    end: int


class LogSweep(NamedTuple):
    """What one call of the sweeper did: entries it looked at and removed, and whether more is due at once."""

    examined: int
    removed: int
    more: bool


class Log(Protocol):
    """The calls every engine has. Every topic must exist, else `NotFound`; every partition, else `InvalidArgument`.

    An answer is durable at the engine's durability, for readers too. Failures are those of `soundstage.core.errors`:
    `Unavailable` and `DeadlineExceeded` (with `outcome`), `Exhausted`, `TooLarge`, `DataLoss`.
    """

    capabilities: frozenset[LogCapability]

    async def start(self) -> None:
        """Open; what an earlier run acknowledged is there. Call once."""
        ...

    async def stop(self) -> None:
        """Flush and close; idempotent. Calls still under way, waiting ones too, end with `Unavailable`."""
        ...

    async def create_topic(self, spec: TopicSpec) -> None:
        """The topic exists. Idempotent; with other fixed settings `AlreadyExists`; others are updated."""
        ...

    async def drop_topic(self, name: str) -> None:
        """The topic is gone, at a cost that does not depend on its size. Unknown names are no error."""
        ...

    async def topics(self) -> list[TopicSpec]:
        """All topics, by name."""
        ...

    async def append(
        self,
        topic: str,
        entries: Sequence[Entry],
        *,
        partition: int | None = None,
        token: str | None = None,
        deadline_ns: int | None = None,
    ) -> list[Spot]:
        """The entries are at the ends of their partitions, durable; where, in the order they were given.

        Those with one key are in one partition, `partition_of` says which, unless `partition` does; those without a
        key go together, call by call into another one. Entries of one call and one partition follow each other.

        With `token` (`LogCapability.TOKEN_DEDUP`, else `InvalidArgument`) a repetition is answered like the first call
        and appends nothing, for `token_us`; other entries under a token are `TokenReused`.

        Raises `TooLarge` for an entry over 1 MiB and a call over 4 MiB or 5,000 entries, and `InvalidArgument`. Where a
        call ended with the outcome `unknown`, each of its entries may be there.
        """
        ...

    async def read(
        self, topic: str, partition: int, offset: int, limit_entries: int = 1_000, limit_bytes: int = 1 << 20
    ) -> LogPage:
        """Entries from `offset` on, all of them durable; none at the end, without waiting.

        Begins at the first entry there is when those at `offset` are gone. The first entry is returned even when it is
        larger than `limit_bytes`. `InvalidArgument` for an offset after the end.
        """
        ...

    async def wait(self, positions: Sequence[Position], deadline_ns: int | None = None) -> list[Position]:
        """Those of `positions` at which something can be read, as soon as there are any; none once the deadline passed.

        Up to 2,048 positions.
        """
        ...

    async def offset_at(self, topic: str, partition: int, time_us: int) -> int:
        """The offset of the first entry that is not older than `time_us`; the end when all are."""
        ...

    async def bounds(self, topic: str) -> list[Bounds]:
        """The bounds of every partition, by its number."""
        ...

    async def sweep(self, budget: int) -> LogSweep:
        """Something of what is due to go is gone, after a look at about `budget` entries, here or later by itself."""
        ...


class TopicStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """`entries` counts offsets between the bounds, those compacted away too; `bytes` is what they had when appended."""

    entries: int
    bytes: int
    oldest_us: int | None


@runtime_checkable
class LogStatistics(Protocol):
    """`LogCapability.STATISTICS`."""

    async def statistics(self, topic: str) -> TopicStatistics: ...


class Assignment(msgspec.Struct, frozen=True):
    """The partitions, by topic, that one member reads for as long as `generation` is its group's."""

    generation: int
    partitions: dict[str, list[int]]


class GroupInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A group that was joined or has positions. `members` are those that live."""

    name: str
    generation: int
    members: list[str]


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """Positions of a group: what is before them was applied. See `Groups.commit`."""

    group: str
    positions: Sequence[Position]
    member: str | None = None
    generation: int | None = None


@runtime_checkable
class Groups(Protocol):
    """`LogCapability.GROUPS`: consumers that share the partitions of topics, and the positions they got to."""

    async def join(self, group: str, member: str, topics: Sequence[str], session_us: int) -> Assignment:
        """`member` reads its share of the partitions of `topics`, which exist, until it leaves or is not heard of.

        Whenever somebody comes or goes the generation grows, and everybody has to join again to learn its share; most
        keep what they have. Joining again changes nothing else. A member has one name of its own, never used by two
        at a time, and 1 s to 1 h of session.
        """
        ...

    async def beat(self, group: str, member: str, generation: int) -> bool:
        """`member` was heard of; whether its assignment of that generation still holds. If not, join again."""
        ...

    async def leave(self, group: str, member: str) -> None:
        """Others read what it had. Idempotent."""
        ...

    async def commit(self, commit: Commit) -> None:
        """The positions are the group's, durably, all or none of them.

        `PreconditionFailed` when the generation is over or the partitions are not the member's: another may be
        reading them, and has begun at the position before. Without a member a group has to have none that lives.
        """
        ...

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        """The position of each partition that has one. Positions go with their topic."""
        ...

    async def groups(self) -> list[GroupInfo]:
        """All groups, by name."""
        ...

    async def forget_group(self, group: str) -> None:
        """The group has no positions and is unknown. `PreconditionFailed` while it has members. Idempotent."""
        ...


@runtime_checkable
class LogCheckpoints(Protocol):
    """`LogCapability.CHECKPOINT`: copies of the whole engine in a folder of the caller's own machine.

    Of an engine that shares its folder with records, their checkpoint and this one are the same: one cut over both.
    """

    async def checkpoint(self, folder: str) -> None:
        """`folder`, which must not exist, holds everything acknowledged before the call, openable."""
        ...

    async def restore(self, folder: str, topics: Sequence[str] | None = None) -> None:
        """The named topics (all: None) are as in the checkpoint `folder`, while others are being served.

        Refused with `AlreadyExists` when a topic of that name exists, `NotFound` for one that the checkpoint lacks.
        """
        ...


STAMP = "stamp"
"""The header that tells in which version a write was applied: its time in microseconds, eight bytes, big-endian."""


class Appending(msgspec.Struct, frozen=True, kw_only=True):
    """An append as part of a greater whole; see `Log.append`.

    `stamped` is the number of a write beside it: each entry has the header `STAMP` with what that was stamped with.
    """

    topic: str
    entries: Sequence[Entry]
    partition: int | None = None
    token: str | None = None
    stamped: int | None = None


class Applying(msgspec.Struct, frozen=True, kw_only=True):
    """A write of records as part of a greater whole; see `Records.apply`."""

    table: str
    partition: bytes
    batch: Batch
    conditional: Conditional | None = None


class Together(msgspec.Struct, frozen=True):
    """What each write and each append would have answered by itself, in the order they were given."""

    stamps: list[int]
    spots: list[list[Spot]]


@runtime_checkable
class Transactions(Protocol):
    """`LogCapability.TRANSACTIONS`: appends to several topics in one, with positions of groups beside them."""

    async def append_together(
        self, appends: Sequence[Appending], commits: Sequence[Commit] = (), deadline_ns: int | None = None
    ) -> list[list[Spot]]:
        """All entries and positions are there, durable, or none of them; where, append by append.

        Readers are shown all of it or nothing. A partition of a topic is appended to once, and what one of them
        refuses refuses all. Offsets between such appends may be of no entry.
        """
        ...


@runtime_checkable
class AtomicWithLog(Protocol):
    """`LogCapability.ATOMIC_WITH_LOG`: records of the same folder and entries in one batch. Embedded engines only."""

    async def write_together(
        self,
        writes: Sequence[Applying],
        appends: Sequence[Appending],
        commits: Sequence[Commit] = (),
        deadline_ns: int | None = None,
    ) -> Together:
        """All writes, appends and positions are there, durable, or none of them.

        A partition of a table is written once, and a partition of a topic appended to once, else `InvalidArgument`.
        What one of them refuses, such as a condition that fails, refuses all. The repetition of a conditional write,
        or of an append under its token, has no effect, whatever else is given beside it: give both, or neither.
        """
        ...
