"""The knobs of the write-ahead log."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from soundstage.core.errors import InvalidArgument
from soundstage.core.time import NS_PER_MS, NS_PER_S, Duration

_H = 3_600 * NS_PER_S
_DAY = 24 * _H


class SystemConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[systems.writeahead]`."""

    log: Annotated[
        str, Meta(description="name of the engine whose log takes the sets; accepted is what is durable in it")
    ] = "default"
    log_retention: Annotated[
        Duration,
        Meta(
            description="sets are read from the log within this time, or lost; those that wait are kept elsewhere",
            extra={"bounds": ("1h", "3650d")},
        ),
    ] = Duration(7 * _DAY)
    status_kept: Annotated[
        Duration,
        Meta(
            description="for how long `status` knows a set that was applied or discarded",
            extra={"bounds": ("24h", "3650d")},
        ),
    ] = Duration(2 * _DAY)
    dead_kept: Annotated[
        Duration,
        Meta(
            description="for how long dead sets can be read and replayed, from when they died",
            extra={"bounds": ("24h", "3650d")},
        ),
    ] = Duration(30 * _DAY)
    delay_max: Annotated[
        Duration, Meta(description="how far ahead `apply_at` may lie", extra={"bounds": ("1s", "3650d")})
    ] = Duration(30 * _DAY)
    waiting_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="sets that may wait, of one target: for their time, for a place that failed, or to be read; "
            "while there are so many, further ones are refused with `exhausted`",
        ),
    ] = 100_000
    waiting_of_place_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="and of those so many for one place, which for kv is a namespace: further ones that need it "
            "are refused, and others are not",
        ),
    ] = 20_000
    at_once: Annotated[
        int, Meta(ge=1, le=1_000, description="sets that are applied at the same time, by one process")
    ] = 32
    apply_timeout: Annotated[
        Duration,
        Meta(
            description="how long the store has for one mutation before the rest of its set waits",
            extra={"bounds": ("10ms", "20s")},
        ),
    ] = Duration(10 * NS_PER_S)
    retry_min: Annotated[
        Duration,
        Meta(description="about how long a set waits after its first failure", extra={"bounds": ("1ms", "1h")}),
    ] = Duration(500 * NS_PER_MS)
    retry_max: Annotated[
        Duration,
        Meta(description="and at most, the time doubling with each failure", extra={"bounds": ("1ms", "24h")}),
    ] = Duration(60 * NS_PER_S)
    retry_for: Annotated[
        Duration,
        Meta(
            description="a set that could not be applied for so long is dead",
            extra={"bounds": ("1s", "3650d")},
        ),
    ] = Duration(_DAY)
    tries_max: Annotated[
        int, Meta(ge=1, le=1_000_000, description="a set whose application failed so many times is dead")
    ] = 10_000

    def check(self) -> None:
        """Raise `InvalidArgument` for a knob that contradicts another."""
        if self.retry_min > self.retry_max:
            raise InvalidArgument(
                f"`retry_min` is {self.retry_min}, more than `retry_max`, which is {self.retry_max}",
                field="retry_min",
                hint="lower `retry_min` or raise `retry_max`",
            )
