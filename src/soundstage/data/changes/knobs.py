"""The knobs of namespaces whose changes are kept."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from soundstage.core.size import Size
from soundstage.core.time import NS_PER_S, Duration

_MIB = 1 << 20

FIXED = frozenset({"watch", "watch_partitions"})
"""Decided at creation, though no table shows it."""


ChangesLog: TypeAlias = Annotated[
    str,
    Meta(
        description="name of the engine whose log has what is written to namespaces with `watch`; those on an engine "
        "that writes records and log in one batch have it there"
    ),
]
"""The knob of a system."""


class WatchKnobs(msgspec.Struct, frozen=True, kw_only=True):
    """Whether and for how long changes are kept."""

    watch: Annotated[
        bool, Meta(description="keep what changes for those who follow; every write is put into a log too; fixed")
    ] = False
    watch_partitions: Annotated[
        int, Meta(ge=1, le=32, description="into how many parts of a log changes go, by their record or id; fixed")
    ] = 4
    watch_retention: Annotated[
        Duration,
        Meta(
            description="for how long changes are kept, for those who follow or come back",
            extra={"bounds": ("1m", "3650d")},
        ),
    ] = Duration(86_400 * NS_PER_S)
    watch_bytes: Annotated[
        Size,
        Meta(
            description="how much is kept of the changes in each part of the log",
            extra={"bounds": ("1MiB", "1TiB")},
        ),
    ] = Size(256 * _MIB)
