"""The knobs of a namespace of time series, and what those left out come to."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from soundstage.core.attunement import Hedging
from soundstage.core.errors import InvalidArgument
from soundstage.core.size import Size
from soundstage.core.time import NS_PER_S, Duration
from soundstage.data.changes import knobs
from soundstage.data.changes.knobs import ChangesLog, WatchKnobs

_MIB = 1 << 20
_H = 3_600 * NS_PER_S
_D = 24 * _H

WIDTHS: tuple[tuple[int, int], ...] = (
    (_D, 4 * _H),
    (7 * _D, _D),
    (14 * _D, 7 * _D),
    (30 * _D, 14 * _D),
    (90 * _D, 30 * _D),
    (180 * _D, 90 * _D),
    (366 * _D, 180 * _D),
)
"""The width of a slice by how long events are kept, at most; beyond, a year."""

YEAR_NS = 365 * _D

BUCKETS_MAX = 65_536
"""Time buckets of one slice, or of a year of one without an end: reads look into each that they pass."""

ACCEPT_LIMIT = 600 * NS_PER_S


class TimePartition(msgspec.Struct, frozen=True, kw_only=True):
    """How the events of slices that are made from here on lie in them."""

    seconds_per_slice: Annotated[
        Duration | None,
        Meta(
            description="how much time a table holds, which is dropped whole; 0s: one table for all of time; "
            "none: by how long events are kept",
            extra={"bounds": ("0s", "3650d")},
        ),
    ] = None
    seconds_per_bucket: Annotated[
        Duration | None,
        Meta(
            description="how much time of one id lies in one partition, best about what is read at once; "
            "none: 1h in slices of up to a week, else 1d, and 30d where slices have no end",
            extra={"bounds": ("1s", "3650d")},
        ),
    ] = None
    event_buckets: Annotated[
        int,
        Meta(ge=1, le=64, description="over how many partitions the events of one id and bucket are spread"),
    ] = 1


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long events are kept, counted from the end of their slice; without it, for ever."""

    close_after: Annotated[
        Duration | None,
        Meta(
            description="slices are neither read nor written any more; none: `delete_after`",
            extra={"bounds": ("1s", "3650d")},
        ),
    ] = None
    delete_after: Annotated[
        Duration | None,
        Meta(description="slices are dropped; none: never", extra={"bounds": ("1s", "3650d")}),
    ] = None


class QueueBuffering(msgspec.Struct, frozen=True, kw_only=True):
    """How events of fire-and-forget writes wait, in each process, to be stored."""

    coalesce: Annotated[
        Duration,
        Meta(
            description="how long events wait for others that are stored with them",
            extra={"bounds": ("1ms", "60s")},
        ),
    ] = Duration(NS_PER_S)
    buffer_capacity: Annotated[
        Size,
        Meta(
            description="what waits at most, each item with 100 bytes more than it has; beyond, writes are `exhausted`",
            extra={"bounds": ("64KiB", "256MiB")},
        ),
    ] = Size(4 * _MIB)
    drain_per_second: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=10_000_000,
                description="events that are stored in a second, at most; none: by how many came of late, and 1,000 at "
                "least",
            ),
        ]
        | None
    ) = None


FieldKind: TypeAlias = Literal["keyword", "text", "integer", "double", "boolean", "instant"]


class IndexConfig(msgspec.Struct, frozen=True, kw_only=True):
    """By what events are found across ids. It may be changed: the index is then made anew while the old one serves."""

    engine: Annotated[str, Meta(description="name of the search engine that has the index")]
    fields: Annotated[
        dict[str, FieldKind],
        Meta(
            max_length=100,
            description="kinds by item keys: `keyword`, `text`, `integer`, `double`, `boolean` or `instant`; values "
            "that are not of the kind are not found",
        ),
    ]
    log: Annotated[str, Meta(description="name of the engine by whose log the index is told what was written")] = (
        "default"
    )
    feed_retention: Annotated[
        Duration,
        Meta(
            description="for how long the search engine may be down before the index has to be made anew",
            extra={"bounds": ("1m", "3650d")},
        ),
    ] = Duration(7 * _D)
    refresh_interval: Annotated[
        Duration,
        Meta(
            description="how long what was written waits for more, with which the search engine is told of it, after "
            "it was told of something; 0s: no longer than until it is noticed",
            extra={"bounds": ("0s", "1h")},
        ),
    ] = Duration(0)


class Repartitioning(msgspec.Struct, frozen=True, kw_only=True):
    """How `time_partition` follows what partitions turn out to hold. Slices that have begun stay as they are."""

    mode: Annotated[
        Literal["off", "propose", "auto"],
        Meta(
            description="`propose` says what slices to come should be like, and somebody applies it or not; `auto` "
            "applies it too"
        ),
    ] = "propose"
    target: Annotated[
        Size,
        Meta(
            description="bytes that 99 of 100 partitions are to have at most",
            extra={"bounds": ("16KiB", "256MiB")},
        ),
    ] = Size(4 * _MIB)
    bucket_min: Annotated[
        Duration, Meta(description="no bucket is made narrower", extra={"bounds": ("1s", "3650d")})
    ] = Duration(60 * NS_PER_S)
    event_buckets_max: Annotated[int, Meta(ge=1, le=64, description="no bucket is spread over more partitions")] = 8


class Compaction(msgspec.Struct, frozen=True, kw_only=True):
    """Where slices go that are not written to any more: into sorted, compressed files of Parquet."""

    engine: Annotated[str, Meta(description="name of the blobs engine that has the files")]
    after: Annotated[
        Duration,
        Meta(
            description="how long after the last event was accepted a slice is rewritten; where events of any age are "
            "accepted, how long after its end, and after it was rewritten before",
            extra={"bounds": ("2m", "3650d")},
        ),
    ] = Duration(_H)
    file_size: Annotated[Size, Meta(description="of one file, about", extra={"bounds": ("64KiB", "4GiB")})] = Size(
        256 * _MIB
    )
    bytes_per_second: Annotated[
        Size,
        Meta(description="what rewriting reads and writes, at most", extra={"bounds": ("64KiB", "10GiB")}),
    ] = Size(32 * _MIB)


class SystemConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[systems.timeseries]`: what all namespaces of a process share."""

    changes_log: ChangesLog = "default"


class NamespaceConfig(WatchKnobs, frozen=True, kw_only=True):
    """How one namespace of time series behaves."""

    FIXED: ClassVar[frozenset[str]] = knobs.FIXED

    accept_limit: Annotated[
        Duration | None,
        Meta(
            description="how old an event may be that is written; 0s: as old as it likes; "
            "none: 10m where events are not kept for ever, else 0s",
            extra={"bounds": ("0s", "3650d")},
        ),
    ] = None
    accept_future: Annotated[
        Duration,
        Meta(
            description="how far the time of an event may be ahead of the server's clock",
            extra={"bounds": ("0s", "7d")},
        ),
    ] = Duration(10 * NS_PER_S)
    time_partition: TimePartition = TimePartition()
    retention: Retention = Retention()
    repartitioning: Repartitioning = Repartitioning()
    queue_buffering: QueueBuffering = QueueBuffering()
    index: Annotated[
        IndexConfig | None, Meta(description="by what events are searched for and counted; none: by nothing")
    ] = None
    hedging: Hedging = Hedging()
    compaction: Annotated[
        Compaction | None, Meta(description="where slices go that are not written to any more; none: they stay")
    ] = None
    page_size: Annotated[int, Meta(ge=1, le=10_000, description="events of a page, where the request does not say")] = (
        1_000
    )
    page_size_bytes: Annotated[
        Size,
        Meta(description="keys and values of a page, at most", extra={"bounds": ("1KiB", "64MiB")}),
    ] = Size(2 * _MIB)
    read_bytes_max: Annotated[
        Size,
        Meta(
            description="what a page may read to fill itself with events that match its filters",
            extra={"bounds": ("1KiB", "256MiB")},
        ),
    ] = Size(32 * _MIB)
    partitions_max: Annotated[
        int,
        Meta(ge=64, le=100_000, description="partitions that a page reads at most; it goes on in the next"),
    ] = 4_096
    fan_out: Annotated[
        int, Meta(ge=1, le=64, description="partitions read at once by the first reads, before it is known better")
    ] = 8
    fan_out_max: Annotated[int, Meta(ge=1, le=64, description="partitions read at once, at most")] = 64
    blocked_ids: Annotated[
        list[str], Meta(max_length=10_000, description="ids whose events are neither written nor read")
    ] = msgspec.field(default_factory=list[str])


class Kept(NamedTuple):
    """How long slices are read and kept after their end, in nanoseconds; None: for ever."""

    close_ns: int | None
    delete_ns: int | None


class Layout(NamedTuple):
    """How new slices are made, in nanoseconds. `width_ns` 0: one slice that grows."""

    width_ns: int
    bucket_ns: int
    event_buckets: int


def kept(config: NamespaceConfig) -> Kept:
    """What the retention comes to."""
    close, delete = config.retention.close_after, config.retention.delete_after
    return Kept(close if close is not None else delete, delete)


def layout(config: NamespaceConfig) -> Layout:
    """What the partitioning comes to."""
    knobs, close_ns = config.time_partition, kept(config).close_ns
    width_ns: int | None = knobs.seconds_per_slice
    if width_ns is None:
        width_ns = 0 if close_ns is None else next((width for most, width in WIDTHS if close_ns <= most), YEAR_NS)
    bucket_ns: int | None = knobs.seconds_per_bucket
    if bucket_ns is None:
        usual = 30 * _D if not width_ns else _H if width_ns <= 7 * _D else _D
        bucket_ns = min(usual, width_ns) if width_ns else usual
    return Layout(int(width_ns), int(bucket_ns), knobs.event_buckets)


def accept_limit_ns(config: NamespaceConfig) -> int | None:
    """How old an event may be that is written; None: as old as it likes. What is not read any more is never."""
    close_ns = kept(config).close_ns
    if config.accept_limit is None:
        return None if close_ns is None else min(ACCEPT_LIMIT, close_ns)
    return int(config.accept_limit) or close_ns


def check_together(config: NamespaceConfig) -> None:
    """Raise `InvalidArgument` for a knob that contradicts another."""
    close_ns, delete_ns = kept(config)
    if close_ns is not None and delete_ns is not None and delete_ns < close_ns:
        raise InvalidArgument(
            f"`delete_after` is {Duration(delete_ns)}, less than `close_after`, which is {Duration(close_ns)}",
            field="retention.delete_after",
            hint="events are deleted when they are not read any more, or later",
        )
    limit_ns = accept_limit_ns(config)
    if close_ns is not None and limit_ns is not None and limit_ns > close_ns:
        raise InvalidArgument(
            f"`accept_limit` is {Duration(limit_ns)}, and events of {Duration(close_ns)} ago are not read any more",
            field="accept_limit",
            hint="lower it, or raise `retention.close_after`",
        )
    width_ns, bucket_ns, _ = layout(config)
    if not width_ns and close_ns is not None:
        raise InvalidArgument(
            "one slice for all of time has no end, from which its retention would be counted",
            field="time_partition.seconds_per_slice",
            hint="give slices a width, or leave `retention` out",
        )
    if 0 < width_ns < NS_PER_S:
        raise InvalidArgument(
            f"`seconds_per_slice` is {Duration(width_ns)}",
            field="time_partition.seconds_per_slice",
            hint="it is 0s, or a second at least",
        )
    if width_ns and bucket_ns > width_ns:
        raise InvalidArgument(
            f"`seconds_per_bucket` is {Duration(bucket_ns)}, more than a slice of {Duration(width_ns)}",
            field="time_partition.seconds_per_bucket",
            hint="lower it, or leave it out",
        )
    if (width_ns or YEAR_NS) > bucket_ns * BUCKETS_MAX:
        what = f"a slice of {Duration(width_ns)}" if width_ns else "each year of a slice without an end"
        raise InvalidArgument(
            f"{what} would have more than {BUCKETS_MAX} buckets of {Duration(bucket_ns)}",
            field="time_partition.seconds_per_bucket",
            hint="raise it, or lower `seconds_per_slice`" if width_ns else "raise it, or give slices a width",
        )
    if not width_ns and config.compaction is not None:
        raise InvalidArgument(
            "one slice for all of time is always written to, so that it is never rewritten",
            field="compaction",
            hint="give slices a width by `time_partition.seconds_per_slice`, or leave `compaction` out",
        )
    index = config.index
    if index is not None and index.refresh_interval >= index.feed_retention:
        raise InvalidArgument(
            f"`refresh_interval` is {index.refresh_interval}, and what waits is kept for {index.feed_retention}",
            field="index.refresh_interval",
            hint="lower it, or raise `feed_retention`: else the index would be made anew again and again",
        )
    if config.fan_out > config.fan_out_max:
        raise InvalidArgument(
            f"`fan_out` is {config.fan_out}, more than `fan_out_max`, which is {config.fan_out_max}",
            field="fan_out",
            hint="lower it, or raise `fan_out_max`",
        )
