"""What is known of each set, and the lists of those that wait and of those that are dead.

Every change of a set's status is conditional on the one before, so that of two who decide about it one fails. A list is
only a way to find sets: an entry whose set says otherwise is stale. Entries are therefore written before the status
that they are about, and removed after it has changed; a crash in between leaves a stale one and never loses a set.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from soundstage.core.errors import PreconditionFailed
from soundstage.data.writeahead.pieces import cut
from soundstage.data.writeahead.sets import checksum_of
from soundstage.engines.records.port import Stamp
from soundstage.runtime.system_table import Entry, SystemTable

State: TypeAlias = Literal["accepting", "accepted", "pending", "applied", "dead", "discarded"]

TABLE = "writeahead"

COUNT_AT_ONCE = 1_000
"""Entries of a list that are counted in one read."""

_STATUS = "status"
_PIECE = "piece/"


class Problem(msgspec.Struct, frozen=True, array_like=True):
    """Why a mutation was not applied: the code of the error, and what it said."""

    code: str
    detail: str


class Status(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a set; see `soundstage.data.writeahead.api.MutationStatus`.

    `token` and `time_us` are those it is applied with. `next_us` is when it is tried next, or when it died. Tries and
    their age count from `since_us` on. `checksum` is of what is on the shelf, in so many `pieces`. `place` is the one
    that it waits for.
    """

    target: str
    state: State
    digest: bytes
    count: int
    token: str
    time_us: int
    accepted_us: int
    due_us: int
    since_us: int
    applied: int = 0
    tries: int = 0
    next_us: int = 0
    problem: Problem | None = None
    pieces: int = 0
    checksum: bytes = b""
    schema: int = 1
    place: str = ""

    def now(self, state: State, **changes: object) -> Status:
        """The same set in another state."""
        return msgspec.structs.replace(self, state=state, **changes)


class Known(NamedTuple):
    """A status, and the write it is from."""

    status: Status
    stamp: Stamp


class Shelved(NamedTuple):
    """What a status says of a shelf: how many pieces are on it, and the checksum of them together."""

    pieces: int
    checksum: bytes


class Listed(NamedTuple):
    """An entry of a list: the set, and the time it is listed under. `stamp` is of the write it was read from."""

    at_us: int
    mutation_id: str
    stamp: Stamp | None = None

    @property
    def key(self) -> str:
        return f"{self.at_us:020d}/{self.mutation_id}"

    @classmethod
    def of(cls, key: str, entry: Entry) -> Listed:
        at, _, mutation_id = key.partition("/")
        return cls(int(at), mutation_id, entry.stamp)


class Ledger:
    """The statuses, shelves and lists of all targets, in one table of the stage."""

    def __init__(self, table: SystemTable) -> None:
        self._table = table

    async def create(self) -> None:
        """The table exists. Idempotent."""
        await self._table.create()

    async def find(self, mutation_id: str) -> Known | None:
        """What is known of the set; None for one that was never submitted, or is forgotten."""
        entry = await self._table.get(_place(mutation_id), _STATUS)
        return None if entry is None else Known(_decode(entry.value), entry.stamp)

    async def write(
        self, mutation_id: str, status: Status, before: Stamp | None, *, kept_us: int = 0, clear: bool = False
    ) -> Known:
        """The status is this one, where it was that of `before` until now; else `PreconditionFailed`.

        With `kept_us` the set is forgotten after that time; with `clear` its shelf is empty.
        """
        changes: dict[str, bytes | None] = {}
        if clear:
            changes |= {_piece(number): None for number in range(status.pieces)}
            status = msgspec.structs.replace(status, pieces=0, checksum=b"")
        changes[_STATUS] = _encode(status)
        ttls = {_STATUS: kept_us} if kept_us else {}
        place = _place(mutation_id)
        stamp = await self._table.write(place, changes, {_STATUS: before}, ttls_us=ttls, onward=True)
        return Known(status, stamp)

    async def shelve(self, mutation_id: str, content: bytes, kept_us: int = 0) -> Shelved:
        """`content` is on the shelf of the set, with `kept_us` for that time; its status is to say so. Idempotent."""
        parts = cut(content)
        for number, part in enumerate(parts):
            ttls = {_piece(number): kept_us} if kept_us else {}
            await self._table.write(_place(mutation_id), {_piece(number): part}, {}, ttls_us=ttls)
        return Shelved(len(parts), checksum_of(content))

    async def content(self, mutation_id: str, status: Status) -> bytes | None:
        """What is on the set's shelf; None where that is not what was put there."""
        parts: list[bytes] = []
        for number in range(status.pieces):
            entry = await self._table.get(_place(mutation_id), _piece(number))
            parts.append(b"" if entry is None else entry.value)
        content = b"".join(parts)
        return content if checksum_of(content) == status.checksum else None

    async def enlist(self, name: str, listed: Listed, kept_us: int = 0, place: str = "") -> None:
        """The set is in the list `name`, for the place that it waits for. Idempotent."""
        ttls = {listed.key: kept_us} if kept_us else {}
        await self._table.write(name, {listed.key: place.encode()}, {}, ttls_us=ttls)

    async def waiting(self, name: str, most: int) -> Counter[str]:
        """How many sets of the list `name` wait for each place; counting ends at `most` of them together."""
        counted, after = Counter[str](), None
        while (left := most - counted.total()) > 0:
            found = await self._table.read(name, "", oldest=min(left, COUNT_AT_ONCE), after=after)
            counted.update(entry.value.decode() for entry in found.values())
            if len(found) < COUNT_AT_ONCE:
                break
            after = next(reversed(found))
        return counted

    async def wait(self, mutation_id: str, status: Status, before: Stamp) -> Known:
        """The set waits, as `status` says, and is in the list of those that do; as `write` otherwise.

        It is listed before its status says so, and again after: another worker that takes the entry for stale
        meanwhile, and strikes it, strikes the first one only.
        """
        name, listed = pending(status.target), Listed(status.next_us, mutation_id)
        await self.enlist(name, listed, place=status.place)
        known = await self.write(mutation_id, status, before)
        await self.enlist(name, listed, place=status.place)
        return known

    async def strike(self, name: str, listed: Listed) -> None:
        """The entry as it was read is not in the list `name`; one that was written anew since stays. Idempotent."""
        conditions = {} if listed.stamp is None else {listed.key: listed.stamp}
        with suppress(PreconditionFailed):
            await self._table.write(name, {listed.key: None}, conditions, onward=True)

    async def listed(
        self, name: str, most: int, *, after: str | None = None, until_us: int | None = None
    ) -> list[Listed]:
        """Entries of the list `name`, the earliest first; those before `until_us`, and behind the key `after`."""
        before = None if until_us is None else f"{until_us:020d}"
        found = await self._table.read(name, "", oldest=most, before=before, after=after)
        return [Listed.of(key, entry) for key, entry in found.items()]


def pending(target: str) -> str:
    """The list of sets that wait, by when they are tried next."""
    return f"pending/{target}"


def dead(target: str) -> str:
    """The list of dead sets, by when they died."""
    return f"dead/{target}"


def _place(mutation_id: str) -> str:
    return f"set/{mutation_id}"


def _piece(number: int) -> str:
    return f"{_PIECE}{number:04d}"


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Status).decode
