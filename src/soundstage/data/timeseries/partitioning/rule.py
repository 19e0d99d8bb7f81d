"""What slices to come should be like, by what the partitions of the last ones hold.

    f = target / p99        acted upon where it is over 2, or under 0.5, in two slices one after the other

Widening drops event buckets first, then widens buckets; narrowing narrows buckets first, and adds event buckets where
they can be no narrower. Only slices of the layout in force count, so what was just changed is first seen in two slices
of its own: nothing swings. Where only some ids are wide the table stays as it is: cutting all for their sake would make
the reads of all others dearer.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from soundstage.core.size import about
from soundstage.core.time import NS_PER_S, Duration
from soundstage.data.timeseries.config import BUCKETS_MAX, Layout

SLICES = 2
"""That have to agree."""

SEEN_MIN = 8
"""Partitions of a slice that say something of others."""

WIDEN, NARROW = 2.0, 0.5

FEW = 8
"""Where one partition of twenty does not have this part of what one of a hundred has, few ids are wide."""

WIDEST = 16
"""So many times the target no partition is made by widening, even the largest one."""

SNAP = 2
"""A bucket is made to divide its slice where that makes it no more than so much wider."""


class Density(NamedTuple):
    """What the partitions of a slice with that layout hold, in bytes, and how many of them were seen."""

    table: str
    bucket_ns: int
    event_buckets: int
    p95: int
    p99: int
    largest: int
    seen: int


class Aim(NamedTuple):
    """What partitions are to have, and how far buckets may be changed for it."""

    bytes: int
    bucket_min_ns: int
    event_buckets_max: int


class Verdict(NamedTuple):
    """What is to be done: `layout`, or nothing if it is None. `observed` is the p99 that it went by, `slices` where."""

    reason: str
    layout: Layout | None = None
    observed: int = 0
    slices: tuple[str, ...] = ()


def judge(layout: Layout, densities: Sequence[Density], aim: Aim) -> Verdict:
    """By `densities`, the newest last, what slices after one of `layout` should be like."""
    if not layout.width_ns:
        return Verdict("there is one slice, which grows: none is to come")
    last = [each for each in densities if _is_of(each, layout) and each.seen >= SEEN_MIN][-SLICES:]
    if len(last) < SLICES:
        return Verdict(f"{len(last)} of {SLICES} slices of this layout are full enough to go by")
    factors = [aim.bytes / max(1, each.p99) for each in last]
    # The one that asks for less is believed.
    by = last[factors.index(min(factors, key=lambda factor: max(factor, 1 / factor)))]
    if min(factors) > WIDEN:
        return _said(by, last, _widen(layout, by, last, aim))
    if max(factors) < NARROW:
        return _said(by, last, _narrow(layout, by, aim))
    return Verdict(f"partitions are as they should be, or slices differ: {_p99(by)}", None, by.p99, _tables(last))


def _widen(layout: Layout, by: Density, last: Sequence[Density], aim: Aim) -> tuple[Layout | None, str]:
    largest = max(each.largest for each in last)
    factor = min(aim.bytes / max(1, by.p99), WIDEST * aim.bytes / max(1, largest))
    if factor <= WIDEN:
        return None, f"most partitions are narrow, but some have {about(largest)}: wider buckets would make those vast"
    event_buckets = max(1, ceil(layout.event_buckets / factor))
    left = factor * event_buckets / layout.event_buckets
    bucket_ns = max(layout.bucket_ns, _snapped(layout.bucket_ns * left, layout, aim))
    return _changed(layout, bucket_ns, event_buckets, "buckets are as wide as their slice already")


def _narrow(layout: Layout, by: Density, aim: Aim) -> tuple[Layout | None, str]:
    if by.p95 < aim.bytes and by.p95 * FEW < by.p99:
        return None, f"only some ids are wide: 95 of 100 partitions have {about(by.p95)} at most"
    bucket_ns = min(layout.bucket_ns, _snapped(layout.bucket_ns * aim.bytes / by.p99, layout, aim))
    left = by.p99 * bucket_ns / layout.bucket_ns / aim.bytes
    wanted = layout.event_buckets if left <= 1 / NARROW else round(layout.event_buckets * left)
    event_buckets = max(layout.event_buckets, min(aim.event_buckets_max, wanted))
    return _changed(layout, bucket_ns, event_buckets, "buckets can be no narrower, nor be spread further")


def _changed(layout: Layout, bucket_ns: int, event_buckets: int, otherwise: str) -> tuple[Layout | None, str]:
    after = Layout(layout.width_ns, bucket_ns, event_buckets)
    return (None, otherwise) if after == layout else (after, "")


def _snapped(wanted_ns: float, layout: Layout, aim: Aim) -> int:
    """A bucket about as wide as wanted, within bounds: one that divides the slice, if that is not much wider."""
    least_ns = max(NS_PER_S, aim.bucket_min_ns, -(-layout.width_ns // BUCKETS_MAX))
    bound_ns = min(layout.width_ns, max(wanted_ns, least_ns))
    parts = int(layout.width_ns // bound_ns)
    while parts > 1 and layout.width_ns % (parts * NS_PER_S):
        parts -= 1
    dividing_ns = layout.width_ns // parts
    return dividing_ns if dividing_ns <= SNAP * bound_ns else min(layout.width_ns, ceil(bound_ns / NS_PER_S) * NS_PER_S)


def _said(by: Density, last: Sequence[Density], found: tuple[Layout | None, str]) -> Verdict:
    after, why_not = found
    return Verdict(_p99(by) if after is not None else f"{_p99(by)}; {why_not}", after, by.p99, _tables(last))


def _p99(by: Density) -> str:
    return f"99 of 100 partitions have {about(by.p99)} at most"


def _tables(last: Sequence[Density]) -> tuple[str, ...]:
    return tuple(each.table for each in last)


def _is_of(each: Density, layout: Layout) -> bool:
    return (each.bucket_ns, each.event_buckets) == (layout.bucket_ns, layout.event_buckets)


def described(layout: Layout) -> str:
    """For people."""
    return f"buckets of {Duration(layout.bucket_ns)} over {layout.event_buckets} partitions"
