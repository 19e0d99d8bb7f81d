"""Namespaces and their history as the stage keeps them.

Data on disk: table `system/namespaces`, one partition, so that a change, its history entry and the counter
of generations are one atomic write:

    n/<name>                            Stored
    h/<name>/<generation>/<version>     NamespaceChange, twelve digits each
    c/<position>                        the same, of all namespaces in the order they were made, twelve digits
    g                                   the last generation given out
    s                                   the last position given out
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from soundstage.core.codec import decoder, msgpack_encode
from soundstage.core.errors import Exhausted, InvalidArgument, PreconditionFailed
from soundstage.core.namespace import NamespaceChange, NamespaceInfo, Objective, Quotas
from soundstage.core.signal import Signal
from soundstage.core.time import Instant
from soundstage.engines.records.port import Stamp
from soundstage.runtime.salvage import raw_map, salvaged
from soundstage.runtime.system_table import Entry, SystemTable

_PARTITION = "namespaces"
_GENERATION = "g"
_POSITION = "s"


CHANGES_PER_HISTORY = 10
"""The history of all namespaces together is so many times as long as that of one."""


EARLIER_MAX = 32
"""So often the knobs that linger may change within `EARLIER_KEPT_US`: none of their old forms may be dropped sooner."""

EARLIER_KEPT_US = 8 * 86_400_000_000
"""Longer than any knob is honoured in its old form."""


class EarlierKnobs(msgspec.Struct, frozen=True, kw_only=True):
    """The knobs of a namespace until `until_us`."""

    config: dict[str, Any]
    until_us: int


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A namespace and where it is in its life.

    `creating`: its tables are being made; `deleting`: they are being dropped, both since `since_us`. One that is
    `creating` for a `job` is being filled by it, for as long as that takes; one that is `deleting` for it makes room.
    One that is `deleting` and `if_empty` is not served while it is waited for that nobody writes to it any more, and
    has all it had: it is active again should it hold something after all, or the job end.
    `earlier` are the configurations before this one whose lingering knobs were others, the latest first.
    `truncated`: whatever it holds of that version, or of one before it, is gone. It is forgotten once none is left.
    """

    info: NamespaceInfo
    state: Literal["creating", "active", "deleting"] = "active"
    since_us: int = 0
    earlier: list[EarlierKnobs] = []
    job: str = ""
    if_empty: bool = False
    truncated: Stamp | None = None
    schema: int = 1


def earlier_than(stored: Stored, config: dict[str, Any], lingering: Collection[str], now_us: int) -> list[EarlierKnobs]:
    """The `earlier` of what takes the place of `stored` at `now_us` and has the knobs `config`."""
    known, before = stored.earlier, stored.info.config
    if any(_knob(config, path) != _knob(before, path) for path in lingering):
        known = [EarlierKnobs(config=before, until_us=now_us), *known]
    return [each for each in known if each.until_us > now_us - EARLIER_KEPT_US]


def _knob(config: dict[str, Any], path: str) -> Any:
    """What is given for a knob, which a `.` puts into a table of knobs; None for what is left as it is."""
    *tables, name = path.split(".")
    for table in tables:
        config = config.get(table) or {}
    return config.get(name)


def check_earlier(earlier: Sequence[EarlierKnobs], lingering: Collection[str], now_us: int) -> None:
    """Raise `Exhausted` for more changes of knobs that linger than can be remembered."""
    if len(earlier) > EARLIER_MAX:
        raise Exhausted(
            f"{' and '.join(sorted(lingering))} changed {EARLIER_MAX} times within"
            f" {EARLIER_KEPT_US // 86_400_000_000} days",
            field="namespace.config",
            hint="what it was is honoured for so long; leave it as it is until the oldest change is past",
            retry_after_ms=max(1, (earlier[-1].until_us + EARLIER_KEPT_US - now_us) // 1_000),
        )


class Found(NamedTuple):
    """A namespace and the write it is from; `problem` says why it is not wholly what is stored."""

    stored: Stored
    stamp: Stamp
    problem: str | None = None


class Raced(Exception):
    """Another process changed the namespace first; nothing was written."""


class NamespaceStore:
    """Reads and writes `system/namespaces`. Every write names the stamp that it replaces."""

    def __init__(self, table: SystemTable, history_limit: int, history_ttl_us: int) -> None:
        self.changed: Signal = Signal()
        self._table = table
        self._history_limit = history_limit
        self._changes_limit = CHANGES_PER_HISTORY * history_limit
        self._history_ttl_us = history_ttl_us

    async def stamp(self) -> Stamp | None:
        """That of the last change of any namespace."""
        return await self._table.stamp(_PARTITION)

    async def all(self) -> dict[str, Found]:
        """Every namespace in whatever state, by name."""
        entries = await self._table.read(_PARTITION, "n/")
        return {key[2:]: _found(key[2:], entry) for key, entry in entries.items()}

    async def find(self, name: str) -> Found | None:
        entry = await self._table.get(_PARTITION, f"n/{name}")
        return None if entry is None else _found(name, entry)

    async def next_generation(self) -> tuple[int, Stamp | None]:
        """The generation for `claim`, and the stamp of the counter."""
        entry = await self._table.get(_PARTITION, _GENERATION)
        return (1, None) if entry is None else (int(entry.value) + 1, entry.stamp)

    async def claim(self, stored: Stored, replaces: Stamp | None, counter: Stamp | None) -> Found:
        """The name is taken for `stored`, whose generation is counted. Raises `Raced`."""
        key = f"n/{stored.info.name}"
        changes = {key: msgpack_encode(stored), _GENERATION: str(stored.info.generation).encode()}
        return Found(stored, await self._write(changes, {key: replaces, _GENERATION: counter}, {}))

    async def put(self, stored: Stored, replaces: Stamp, change: NamespaceChange | None = None) -> Found:
        """`stored` replaces what is at `replaces`, with `change` in the history. Raises `Raced`."""
        key = f"n/{stored.info.name}"
        return Found(stored, await self._record(key, msgpack_encode(stored), replaces, change))

    async def remove(self, name: str, replaces: Stamp, change: NamespaceChange | None = None) -> None:
        """The name is free; its history stays. Raises `Raced`."""
        key = f"n/{name}"
        await self._record(key, None, replaces, change)

    async def history(self, name: str, before: str | None, limit: int) -> list[tuple[str, NamespaceChange]]:
        """Up to `limit` changes with the keys of their places, the newest first, from `before` on back."""
        prefix = f"h/{name}/"
        entries = await self._table.read(_PARTITION, prefix, newest=limit, before=before and prefix + before)
        return [(key[len(prefix) :], _change(name, entry.value)) for key, entry in entries.items()]

    async def position(self) -> int:
        """That of the last change of any namespace; 0 before the first."""
        entry = await self._table.get(_PARTITION, _POSITION)
        return 0 if entry is None else int(entry.value)

    async def oldest(self) -> int | None:
        """The position of the oldest change that is kept."""
        entries = await self._table.read(_PARTITION, "c/", oldest=1)
        return next((int(key[2:]) for key in entries), None)

    async def changes(self, after: int, limit: int) -> list[tuple[int, NamespaceChange]]:
        """Up to `limit` changes of any namespace with their positions, the first after `after` first."""
        entries = await self._table.read(_PARTITION, "c/", oldest=limit, after=f"c/{after:012d}")
        return [(int(key[2:]), _change("", entry.value)) for key, entry in entries.items()]

    async def _record(self, key: str, value: bytes | None, replaces: Stamp, change: NamespaceChange | None) -> Stamp:
        """`value` replaces what is at `replaces`; `change` is in the history, at the next position of all."""
        changes: dict[str, bytes | None] = {key: value}
        conditions: dict[str, Stamp | None] = {key: replaces}
        if change is None:
            return await self._write(changes, conditions, {})
        counter = await self._table.get(_PARTITION, _POSITION)
        position = 1 if counter is None else int(counter.value) + 1
        conditions[_POSITION] = None if counter is None else counter.stamp
        changes[_POSITION] = str(position).encode()
        kept = self._keep(changes, change, position)
        return await self._write(changes, conditions, dict.fromkeys(kept, self._history_ttl_us))

    def _keep(self, changes: dict[str, bytes | None], change: NamespaceChange, position: int) -> tuple[str, str]:
        """`changes` with `change` in both histories, and without what is over their limits; where it is."""
        place = f"h/{change.namespace.name}/{change.generation:012d}"
        own, common = f"{place}/{change.version:012d}", f"c/{position:012d}"
        changes[own] = changes[common] = msgpack_encode(change)
        if change.version > self._history_limit:
            changes[f"{place}/{change.version - self._history_limit:012d}"] = None
        if position > self._changes_limit:
            changes[f"c/{position - self._changes_limit:012d}"] = None
        return own, common

    async def _write(
        self,
        changes: Mapping[str, bytes | None],
        conditions: Mapping[str, Stamp | None],
        ttls_us: Mapping[str, int],
    ) -> Stamp:
        try:
            stamp = await self._table.write(_PARTITION, changes, conditions, ttls_us=ttls_us)
        except PreconditionFailed as error:
            raise Raced from error
        self.changed.notify()
        return stamp


def _found(name: str, entry: Entry) -> Found:
    """What is stored under `name`; of what cannot be read, those parts that can."""
    try:
        return Found(_STORED.decode(entry.value), entry.stamp)
    except InvalidArgument as error:
        raw = raw_map(entry.value)
        stored = salvaged(Stored, raw, {"info": _salvaged_info(name, raw.get("info"))})
        return Found(stored, entry.stamp, f"what is stored of it cannot be read: {error.detail}")


def _change(name: str, value: bytes) -> NamespaceChange:
    try:
        return _CHANGE.decode(value)
    except InvalidArgument:
        raw = raw_map(value)
        unknown = {
            "version": 1,
            "generation": 1,
            "at": Instant(0),
            "by": "",
            "action": "changed",
            "changed": list[str](),
        }
        return salvaged(NamespaceChange, raw, {**unknown, "namespace": _salvaged_info(name, raw.get("namespace"))})


def _salvaged_info(name: str, raw: Any) -> NamespaceInfo:
    """A namespace of which only some parts can be read; the others are as if nothing had been declared."""
    unknown = {
        "name": name,
        "abstraction": "",
        "engines": dict[str, str](),
        "config": dict[str, Any](),
        "slos": dict[str, Objective](),
        "quotas": Quotas(),
        "version": 1,
        "generation": 1,
        "managed_by": "api",
        "created_at": Instant(0),
        "updated_at": Instant(0),
    }
    return salvaged(NamespaceInfo, raw, unknown)


_STORED = decoder(Stored, "application/msgpack", strict=False)
_CHANGE = decoder(NamespaceChange, "application/msgpack", strict=False)
