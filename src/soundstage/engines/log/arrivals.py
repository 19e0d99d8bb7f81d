"""What is asked of topics and appends before anything is done, and to which partition an entry goes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec
from xxhash import xxh3_64_intdigest, xxh3_128_digest

from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.engines.log import refusals
from soundstage.engines.log.port import (
    CALL_MAX_BYTES,
    CALL_MAX_ENTRIES,
    ENTRY_MAX_BYTES,
    HEADERS_MAX,
    NAME_MAX_CHARS,
    PAGE_MAX_BYTES,
    PAGE_MAX_ENTRIES,
    PARTITIONS_MAX,
    SESSION_MAX_US,
    SESSION_MIN_US,
    STAMP,
    TIME_AHEAD_MAX_US,
    TOKEN_MAX_BYTES,
    TOPICS_JOINED_MAX,
    WAIT_MAX_POSITIONS,
    Appending,
    Entry,
    Position,
    Stored,
    TopicSpec,
)

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")

_encode = msgspec.msgpack.Encoder().encode


def check_name(name: str, field: str) -> str:
    """`name`, which a topic, a group or a member may have. Raises `InvalidArgument`."""
    if len(name) <= NAME_MAX_CHARS and _NAME.fullmatch(name):
        return name
    raise InvalidArgument(
        f"{name[:80]!r} is no name",
        field=field,
        hint=f"use 1 to {NAME_MAX_CHARS} of A-Z a-z 0-9 _ - . in parts between slashes that begin with no dot",
    )


def check_topics(topics: Sequence[str]) -> Sequence[str]:
    """`topics`, of which there are some and not too many. Raises `InvalidArgument`."""
    if 1 <= len(topics) <= TOPICS_JOINED_MAX:
        return topics
    raise InvalidArgument(f"a member reads 1 to {TOPICS_JOINED_MAX} topics", field="topics")


def check_session(session_us: int) -> int:
    """`session_us`, within its bounds. Raises `InvalidArgument`."""
    if SESSION_MIN_US <= session_us <= SESSION_MAX_US:
        return session_us
    raise InvalidArgument("a session lasts 1 s to 1 h", field="session_us")


def check_spec(spec: TopicSpec) -> TopicSpec:
    """`spec`, which a topic can have. Raises `InvalidArgument`."""
    check_name(spec.name, "name")
    if not 1 <= spec.partitions <= PARTITIONS_MAX:
        raise InvalidArgument(f"a topic has 1 to {PARTITIONS_MAX} partitions", field="partitions")
    for field in ("retention_us", "retention_bytes"):
        if (getattr(spec, field) or 1) < 0:
            raise InvalidArgument(f"{field} is less than nothing", field=field, hint="leave it out to keep everything")
    for field in ("compact_lag_us", "delete_retention_us", "token_us"):
        if getattr(spec, field) < 0:
            raise InvalidArgument(f"{field} is less than nothing", field=field)
    if spec.compact and spec.retention_bytes is not None:
        raise InvalidArgument(
            "a compacted topic keeps the newest entry of every key, whatever its size",
            field="retention_bytes",
            hint="leave it out, or use retention_us",
        )
    return spec


def size_of(entry: Entry | Stored) -> int:
    """Bytes of key, value and headers."""
    size = len(entry.value or b"") + len(entry.key or b"")
    if entry.headers:
        size += sum(len(name.encode()) + len(content) for name, content in entry.headers)
    return size


def check_entries(spec: TopicSpec, entries: Sequence[Entry], now_us: int) -> int:
    """The bytes of a call's entries, of which the topic takes every one. Raises `TooLarge`, `InvalidArgument`."""
    if not entries:
        raise InvalidArgument("a call appends at least one entry", field="entries")
    if len(entries) > CALL_MAX_ENTRIES:
        raise refusals.too_many_entries(len(entries))
    total = 0
    latest_us = now_us + TIME_AHEAD_MAX_US
    is_compact = spec.compact
    for index, entry in enumerate(entries):
        # Most entries have neither headers nor a time, and this is done for each.
        key, value = entry.key, entry.value
        size = 0 if value is None else len(value)
        if key is not None:
            size += len(key)
        if entry.headers:
            size = size_of(entry)
            if len(entry.headers) > HEADERS_MAX:
                raise TooLarge(f"entry {index} has over {HEADERS_MAX} headers", field=f"entries[{index}].headers")
        if size > ENTRY_MAX_BYTES:
            raise refusals.entry_too_large(index, size)
        total += size
        if (time_us := entry.time_us) is not None and not 0 <= time_us <= latest_us:
            raise InvalidArgument(
                f"the time of entry {index} is more than an hour from now, or before 1970",
                field=f"entries[{index}].time_us",
                hint="leave it out, or mend the clock of the producer",
            )
        if is_compact and key is None:
            raise InvalidArgument(
                f"entry {index} has no key, and the topic {spec.name!r} is compacted by key",
                field=f"entries[{index}].key",
            )
    if total > CALL_MAX_BYTES:
        raise refusals.call_too_large(total)
    return total


def check_token(token: str) -> bytes:
    """`token` as bytes. Raises `InvalidArgument`."""
    encoded = token.encode()
    if 0 < len(encoded) <= TOKEN_MAX_BYTES and b"\0" not in encoded:
        return encoded
    raise InvalidArgument(f"a token has 1 to {TOKEN_MAX_BYTES} bytes and no NUL", field="token")


def check_limits(offset: int, limit_entries: int, limit_bytes: int) -> None:
    """Raises `InvalidArgument` for a page that no engine reads."""
    if offset < 0:
        raise InvalidArgument("offsets begin at 0", field="offset")
    if not 1 <= limit_entries <= PAGE_MAX_ENTRIES:
        raise InvalidArgument(f"a page has 1 to {PAGE_MAX_ENTRIES} entries", field="limit_entries")
    if not 1 <= limit_bytes <= PAGE_MAX_BYTES:
        raise InvalidArgument(f"a page has 1 to {PAGE_MAX_BYTES} bytes", field="limit_bytes")


def check_positions(positions: Sequence[Position]) -> None:
    """Raises `InvalidArgument` for none and for too many."""
    if not 1 <= len(positions) <= WAIT_MAX_POSITIONS:
        raise InvalidArgument(f"one waits at 1 to {WAIT_MAX_POSITIONS} positions", field="positions")


def check_partition(spec: TopicSpec, partition: int) -> int:
    """`partition`, which the topic has. Raises `InvalidArgument`."""
    if 0 <= partition < spec.partitions:
        return partition
    raise refusals.no_partition(spec, partition)


def partition_of(key: bytes, partitions: int) -> int:
    """Where entries with this key go; part of the disk format, and the same for every producer."""
    return xxh3_64_intdigest(key) % partitions


def spread(spec: TopicSpec, entries: Sequence[Entry], partition: int | None, keyless: int) -> list[int]:
    """The partition of each entry; those without a key go to `keyless`."""
    if partition is not None:
        return [check_partition(spec, partition)] * len(entries)
    count = spec.partitions
    return [keyless if entry.key is None else partition_of(entry.key, count) for entry in entries]


def check_apart(taken: set[tuple[str, int]], topic: str, places: Iterable[int]) -> None:
    """These partitions are `taken` too. Raises `InvalidArgument` for one that another append of the call takes."""
    for place in set(places):
        if (topic, place) in taken:
            raise refusals.appended_twice(topic, place)
        taken.add((topic, place))


def with_stamps(appending: Appending, stamps: Sequence[int]) -> Appending:
    """`appending` with the header `STAMP` in its entries. Raises `InvalidArgument` where there is no such write."""
    at = appending.stamped
    if at is None or not 0 <= at < len(stamps):
        raise InvalidArgument(f"there is no write {at} beside the append", field="appends.stamped")
    header = (STAMP, stamps[at].to_bytes(8, "big"))
    entries = [msgspec.structs.replace(entry, headers=(*entry.headers, header)) for entry in appending.entries]
    return msgspec.structs.replace(appending, entries=entries)


def digest_of(entries: Sequence[Entry], partition: int | None) -> bytes:
    """Differs between calls that would not append the same."""
    return xxh3_128_digest(_encode((partition, entries)))
