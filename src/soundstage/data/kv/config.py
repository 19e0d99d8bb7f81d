"""The knobs of a key-value namespace."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

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

_MS = NS_PER_S // 1_000

FIXED = frozenset({"key_order", "conditional_writes", "dedicated"})
"""What is decided at creation; to change it is to copy into another namespace."""


class SystemConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[systems.kv]`: what all namespaces of a process share."""

    hot_items: Annotated[
        Size,
        Meta(
            description="memory for single items read lately, which are not looked up again until their record changes",
            extra={"bounds": ("0B", "1TiB")},
        ),
    ] = Size(64 * _MIB)
    changes_log: ChangesLog = "default"


class CacheKnobs(msgspec.Struct, frozen=True, kw_only=True):
    """What a cache before the store keeps of a namespace; without an `engine` there is none."""

    engine: Annotated[
        str | None, Meta(description="cache engine of the stage file that keeps what is read often; none: no cache")
    ] = None
    ttl: Annotated[
        Duration,
        Meta(
            description="how long an answer is kept, and so the most that one can be behind the store when a cache "
            "could not be told of a write",
            extra={"bounds": ("1s", "1d")},
        ),
    ] = Duration(180 * NS_PER_S)
    answer_max: Annotated[
        Size, Meta(description="larger answers are not kept", extra={"bounds": ("1KiB", "960KiB")})
    ] = Size(_MIB // 16)
    keys_max: Annotated[int, Meta(ge=1, le=64, description="reads of more keys at once are not kept")] = 8
    within: Annotated[
        Duration,
        Meta(
            description="how long a call of the cache may take until the store is asked",
            extra={"bounds": ("1ms", "1s")},
        ),
    ] = Duration(20 * _MS)
    wait: Annotated[
        Duration,
        Meta(
            description="how long a reader waits for another that is fetching the same, until it asks the store too",
            extra={"bounds": ("0ms", "10s")},
        ),
    ] = Duration(200 * _MS)


class CompressionKnobs(msgspec.Struct, frozen=True, kw_only=True):
    """What clients do to values before they send them; servers store and return what they get."""

    codecs: Annotated[
        list[Literal["zstd", "lz4"]],
        Meta(
            max_length=2,
            description="what values may be compressed with, the best first; none: clients leave them as they are",
        ),
    ] = []
    min_bytes: Annotated[
        Size,
        Meta(
            description="smaller values are left as they are: stores compress many of them together better than each "
            "can be by itself",
            extra={"bounds": ("0B", "4MiB")},
        ),
    ] = Size(1024)
    dictionary_min_bytes: Annotated[
        Size,
        Meta(
            description="the same where the namespace has a dictionary, with which short values that are alike gain",
            extra={"bounds": ("0B", "4MiB")},
        ),
    ] = Size(64)
    level: Annotated[
        int,
        Meta(ge=1, le=19, description="how hard zstd tries; a step up costs the writer more and the reader nothing"),
    ] = 3


class NamespaceConfig(WatchKnobs, frozen=True, kw_only=True):
    """How one namespace of the key-value store behaves."""

    FIXED: ClassVar[frozenset[str]] = knobs.FIXED

    LINGERING: ClassVar[frozenset[str]] = frozenset(
        {"drift_past", "compression.codecs", "consistency", "consistency_scope"}
    )
    """Deletes are forgotten by what the first was: see `DriftWindow.raised`. Clients hear late of the codecs. What was
    written under a weaker promise may lie on few copies: see `ServedNamespace.settled`."""

    key_order: Annotated[
        Literal["asc", "desc"],
        Meta(description="order in which the items of a record are read: by their keys' bytes, up or down; fixed"),
    ] = "asc"
    conditional_writes: Annotated[
        bool | None,
        Meta(description="take writes with a `condition`; none: where that costs the engine little; fixed"),
    ] = None
    consistency: Annotated[
        Literal["linearizable", "strong", "read_your_writes", "eventual"],
        Meta(
            description="`linearizable`: reads and writes of a record are as if done one by one, those of unknown "
            "outcome included, where the engine can; `strong`: whoever reads sees what was acknowledged before; "
            "`read_your_writes`: whoever names "
            "its own write by `min_version` does, and others soon; `eventual`: where the engine keeps replicas, one of "
            "them answers, and may not know yet what was just written"
        ),
    ] = "strong"
    consistency_scope: Annotated[
        Literal["local", "global"] | None,
        Meta(
            description="whose copies that is promised by, on engines with several data centres: `local`: those of the "
            "data centre that is asked, which goes on without the others; `global`: those of all together; none: as "
            "the engine is set; fixed with conditional_writes"
        ),
    ] = None
    cache: CacheKnobs = CacheKnobs()
    dedicated: Annotated[
        bool,
        Meta(description="files of its own instead of shared ones; for large namespaces, of which few; fixed"),
    ] = False
    drift_past: Annotated[
        Duration,
        Meta(
            description="how old a write's token may be; deleted items leave a trace for at least as long",
            extra={"bounds": ("1s", "7d")},
        ),
    ] = Duration(600 * NS_PER_S)
    drift_future: Annotated[
        Duration,
        Meta(
            description="how far a write's token may be ahead of the server's clock",
            extra={"bounds": ("1ms", "1h")},
        ),
    ] = Duration(2 * NS_PER_S)
    delete_ttl_min: Annotated[
        Duration,
        Meta(
            description="the marker of a deleted item is kept at least so long, so that removals spread out",
            extra={"bounds": ("1s", "365d")},
        ),
    ] = Duration(_H)
    delete_ttl_max: Annotated[
        Duration,
        Meta(description="and at most about so long", extra={"bounds": ("1s", "365d")}),
    ] = Duration(24 * _H)
    page_size_bytes: Annotated[
        Size,
        Meta(
            description="keys, values and metadata of a page, where the request does not say",
            extra={"bounds": ("1KiB", "64MiB")},
        ),
    ] = Size(2 * _MIB)
    page_size_max: Annotated[
        Size,
        Meta(description="larger requested pages are cut to this", extra={"bounds": ("1KiB", "64MiB")}),
    ] = Size(8 * _MIB)
    read_bytes_max: Annotated[
        Size,
        Meta(
            description="what a page whose selection leaves out values may read to fill itself",
            extra={"bounds": ("1KiB", "256MiB")},
        ),
    ] = Size(32 * _MIB)
    rows_min: Annotated[
        int, Meta(ge=1, le=10_000, description="least items asked of the store at once, however large they seem")
    ] = 16
    rows_max: Annotated[
        int, Meta(ge=1, le=10_000, description="most items asked of the store at once, however small they seem")
    ] = 10_000
    batch_ids_max: Annotated[int, Meta(ge=1, le=5_000, description="ids of one `batch_get_items`")] = 1_000
    count_limit: Annotated[
        int, Meta(ge=1, le=10_000_000, description="`count_items` is exact up to so many items, then a lower bound")
    ] = 100_000
    chunk_threshold: Annotated[
        Size,
        Meta(
            description="larger values are stored in chunks, apart from their rows", extra={"bounds": ("1KiB", "3MiB")}
        ),
    ] = Size(_MIB)
    chunk_bytes: Annotated[
        Size,
        Meta(description="of a chunk of a large value that is written", extra={"bounds": ("16KiB", "1MiB")}),
    ] = Size(_MIB // 4)
    chunk_grace: Annotated[
        Duration,
        Meta(
            description="chunks of a value that was replaced or deleted are kept at least so long, for who reads it",
            extra={"bounds": ("5m", "30d")},
        ),
    ] = Duration(_H)
    value_max: Annotated[
        Size,
        Meta(description="the largest value that a stream may bring", extra={"bounds": ("1KiB", "1TiB")}),
    ] = Size(4096 * _MIB)
    stream_timeout: Annotated[
        Duration,
        Meta(
            description="how long a value may take to come as a stream; chunks of one that did not are kept as long",
            extra={"bounds": ("1s", "1d")},
        ),
    ] = Duration(_H)
    chunk_check: Annotated[
        Duration,
        Meta(
            description="about how often it is looked whether the row of a large value still has it",
            extra={"bounds": ("1m", "30d")},
        ),
    ] = Duration(6 * _H)
    compression: CompressionKnobs = CompressionKnobs()
    hedging: Hedging = Hedging()


def check_together(config: NamespaceConfig) -> None:
    """Raise `InvalidArgument` for a knob that contradicts another."""
    if config.conditional_writes and config.consistency == "eventual":
        raise InvalidArgument(
            "conditions are about what was written last, which an `eventual` namespace does not know",
            field="consistency",
            hint="leave `consistency` strong, or set `conditional_writes` to false",
        )
    if config.cache.engine is not None and config.consistency in ("linearizable", "strong"):
        raise InvalidArgument(
            f"a cache may show for a while what was replaced, and a `{config.consistency}` namespace never does",
            field="consistency",
            hint="set `consistency` to read_your_writes or eventual, or leave the cache out",
        )
    if len(set(config.compression.codecs)) < len(config.compression.codecs):
        raise InvalidArgument(
            "a codec is named twice", field="compression.codecs", hint="name each once, the best first"
        )
    for low, high in (
        ("delete_ttl_min", "delete_ttl_max"),
        ("page_size_bytes", "page_size_max"),
        ("rows_min", "rows_max"),
    ):
        least, most = getattr(config, low), getattr(config, high)
        if least > most:
            raise InvalidArgument(
                f"`{low}` is {least}, more than `{high}`, which is {most}",
                field=low,
                hint=f"lower `{low}` or raise `{high}`",
            )
