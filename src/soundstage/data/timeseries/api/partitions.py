"""The messages about partitions: how large they are, and how those of slices to come should be."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from soundstage.core.message import Duration, Instant, Int64, NamespaceName

Message = msgspec.Struct


class PartitionHistogram(Message, kw_only=True):
    namespace: NamespaceName = ""
    slice: Annotated[
        str | None,
        Meta(description="a table of a slice, of which it is looked anew where it may have grown; none: every slice"),
    ] = None


class Quantiles(Message, frozen=True, kw_only=True):
    """What half of the partitions do not exceed, three quarters, and so on; `max` is the greatest that was seen."""

    p50: Int64
    p75: Int64
    p95: Int64
    p98: Int64
    p99: Int64
    max: Int64


class PartitionBucket(Message, frozen=True, kw_only=True):
    """Of the partitions that were seen, those of `bytes_from` bytes and of less than twice that."""

    bytes_from: Int64
    partitions: Int64


class SlicePartitions(Message, frozen=True, kw_only=True, omit_defaults=True):
    """The partitions of a slice, as they were at `surveyed_at`; without that nobody has looked yet.

    `share_seen` of it was looked at, which is `partitions_seen` partitions; with 1 all is exact but for 2 % of each
    size. Else `partitions` is about how many there are, and the rank of a size that is told may be off by
    `p50_rank_error` or `p99_rank_error`, with 99 % confidence; the largest partition may not be among those seen.
    Of a slice that was rewritten into segments it is told as it was before, under `surveyed_table`: nobody looks again.
    """

    table: str
    start: Instant
    end: Instant
    surveyed_at: Instant | None = None
    surveyed_table: Annotated[
        str | None, Meta(description="the table that was looked at, where that is not `table` any more")
    ] = None
    share_seen: float | None = None
    partitions_seen: Int64 | None = None
    partitions: Int64 | None = None
    total_bytes: Annotated[Int64 | None, Meta(description="about what all partitions hold")] = None
    p50_rank_error: float | None = None
    p99_rank_error: float | None = None
    bytes: Annotated[Quantiles | None, Meta(description="keys and values of a partition")] = None
    rows: Annotated[Quantiles | None, Meta(description="items of events in a partition")] = None
    buckets: list[PartitionBucket] | None = None


class PartitionHistogramReply(Message, kw_only=True):
    """The slices, the oldest first."""

    slices: list[SlicePartitions]


class ListProposals(Message, kw_only=True):
    namespace: NamespaceName = ""


class DecideProposal(Message, kw_only=True):
    namespace: NamespaceName = ""
    number: Annotated[int, Meta(ge=1, le=2**63 - 1, description="of the proposal, as list_proposals tells it")]
    why: Annotated[str, Meta(max_length=1_000, description="for those who read it later")] = ""


class PartitionLayout(Message, frozen=True, kw_only=True):
    """How slices are cut."""

    seconds_per_slice: Duration
    seconds_per_bucket: Duration
    event_buckets: Int64


class PartitionProposal(Message, frozen=True, kw_only=True, omit_defaults=True):
    """That slices after one of `before` should be as `after`, for what `slices` have, and what became of that.

    `observed_bytes` is what 99 of 100 partitions have at most, and `target_bytes` what they should.
    """

    number: Int64
    made_at: Instant
    state: Literal["open", "applied", "rejected", "reverted", "superseded"]
    before: PartitionLayout
    after: PartitionLayout
    observed_bytes: Int64
    target_bytes: Int64
    reason: str
    slices: list[str]
    decided_at: Instant | None = None
    decided_by: str | None = None
    why: str | None = None


class ListProposalsReply(Message, kw_only=True):
    """The proposals, the newest first. `layout` is what slices to come are made by; `verdict` what is thought now."""

    mode: Literal["off", "propose", "auto"]
    layout: PartitionLayout
    verdict: str
    proposals: list[PartitionProposal]
