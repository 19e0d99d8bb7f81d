"""The log by which the index of a namespace is told which events were written.

A write is acknowledged once it is stored, and told. What was stored and could not be told of is an error to its caller,
who repeats it; what a crash kept from being told, and nobody repeats, is found when the index is made anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b

import msgspec

from soundstage.core.errors import NotFound
from soundstage.core.namespace import NamespaceInfo
from soundstage.core.time import NS_PER_US
from soundstage.data.timeseries.config import IndexConfig
from soundstage.data.timeseries.events import EventKey, Record
from soundstage.engines.log.port import Entry, Log, TopicSpec
from soundstage.runtime.service import Logs, NamespaceView

TOPICS = "timeseries/index/"

ENTRY_BYTES = 256 << 10
CALL_ENTRIES = 8

LOG_KNOB = "index.log"

Keys = list[tuple[str, int, str]]


class Feed:
    """What was written to one namespace that has an index."""

    def __init__(self, view: NamespaceView, config: IndexConfig, logs: Logs) -> None:
        self.digest: str = digest_of(view)
        self.topic: str = f"{TOPICS}{self.digest}-{config.engine}"
        self._spec = TopicSpec(name=self.topic, retention_us=config.feed_retention // NS_PER_US)
        self._name = config.log
        self._logs = logs
        self._opened: Log | None = None

    async def open(self, *, again: bool = False) -> Log:
        """The log, which has the topic: looked for, if `again`. Raises `InvalidArgument` where there is no such log."""
        if self._opened is None or again:
            log = self._logs.log(self._name, LOG_KNOB)
            await log.create_topic(self._spec)
            self._opened = log
        return self._opened

    async def tell(self, records: Sequence[Record], deadline_ns: int | None) -> None:
        """The indexer is going to look at the events of `records`. To repeat it is safe."""
        entries = list(_entries(records))
        try:
            await self._append(await self.open(), entries, deadline_ns)
        except NotFound:
            # Somebody dropped the topic.
            await self._append(await self.open(again=True), entries, deadline_ns)

    async def _append(self, log: Log, entries: Sequence[Entry], deadline_ns: int | None) -> None:
        for at in range(0, len(entries), CALL_ENTRIES):
            await log.append(self.topic, entries[at : at + CALL_ENTRIES], partition=0, deadline_ns=deadline_ns)


def keys_of(value: bytes | None) -> Iterator[EventKey]:
    """The events that an entry tells of."""
    for each in _decode(value or b"\x90"):
        yield EventKey(*each)


def digest_of(view: NamespaceView | NamespaceInfo) -> str:
    """Of a namespace, which another of its name, or one of another stage, does not share."""
    told = f"{view.name}/{view.generation}/{int(view.created_at)}".encode()
    return blake2b(told, digest_size=8).hexdigest()


def _entries(records: Iterable[Record]) -> Iterator[Entry]:
    keys, size = Keys(), 0
    for record in records:
        keys.append((record.series.decode(), record.time_ns, record.event_id.decode()))
        size += len(record.series) + len(record.event_id) + 32
        if size > ENTRY_BYTES:
            yield Entry(value=_encode(keys))
            keys, size = Keys(), 0
    if keys:
        yield Entry(value=_encode(keys))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Keys).decode
