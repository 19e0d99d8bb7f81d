"""What the knobs that are left out come to, and which contradict each other."""

from __future__ import annotations

from typing import Any

import pytest
from tests.data.timeseries.conftest import DAY, H, S, make

from soundstage.core.errors import InvalidArgument
from soundstage.core.time import Duration
from soundstage.data.timeseries.config import (
    ACCEPT_LIMIT,
    IndexConfig,
    Kept,
    Layout,
    NamespaceConfig,
    Retention,
    TimePartition,
    accept_limit_ns,
    check_together,
    kept,
    layout,
)
from soundstage.runtime.stage import Stage


def duration(text: str | None) -> Duration | None:
    return None if text is None else Duration.parse(text)


def config(
    width: str | None = None,
    bucket: str | None = None,
    close: str | None = None,
    delete: str | None = None,
    **rest: Any,
) -> NamespaceConfig:
    return NamespaceConfig(
        time_partition=TimePartition(seconds_per_slice=duration(width), seconds_per_bucket=duration(bucket)),
        retention=Retention(close_after=duration(close), delete_after=duration(delete)),
        **rest,
    )


def index(refresh: str, feed: str) -> IndexConfig:
    return IndexConfig(
        engine="found",
        fields={"note": "text"},
        refresh_interval=Duration.parse(refresh),
        feed_retention=Duration.parse(feed),
    )


def test_without_any_knob_everything_is_kept_for_ever_in_one_slice_and_taken_at_any_age() -> None:
    found = config()
    assert kept(found) == Kept(None, None)
    assert layout(found) == Layout(0, 30 * DAY, 1)
    assert accept_limit_ns(found) is None


@pytest.mark.parametrize(
    ("close", "width"),
    [
        ("1h", 4 * H),
        ("1d", 4 * H),
        ("7d", DAY),
        ("14d", 7 * DAY),
        ("30d", 14 * DAY),
        ("90d", 30 * DAY),
        ("180d", 90 * DAY),
        ("366d", 180 * DAY),
        ("367d", 365 * DAY),
    ],
)
def test_slices_are_as_wide_as_fits_how_long_they_are_kept(close: str, width: int) -> None:
    assert layout(config(close=close)).width_ns == width


@pytest.mark.parametrize(
    ("width", "bucket"), [("10m", 600 * S), ("1h", H), ("7d", H), ("8d", DAY), ("365d", DAY), ("0s", 30 * DAY)]
)
def test_buckets_are_as_wide_as_fits_their_slices(width: str, bucket: int) -> None:
    assert layout(config(width=width)).bucket_ns == bucket


def test_what_is_given_is_taken() -> None:
    assert layout(config("36h", "1h")) == Layout(36 * H, H, 1)


def test_what_is_not_kept_for_ever_is_taken_for_ten_minutes() -> None:
    assert accept_limit_ns(config(close="1d")) == ACCEPT_LIMIT


def test_nothing_is_taken_that_is_not_read_any_more() -> None:
    assert accept_limit_ns(config(close="1s")) == S
    assert accept_limit_ns(config(close="2h", accept_limit=Duration(0))) == 2 * H


def test_slices_are_read_until_they_are_deleted_where_nothing_else_is_said() -> None:
    assert kept(config(delete="2h")) == Kept(2 * H, 2 * H)
    assert kept(config(close="1h")) == Kept(H, None)


@pytest.mark.parametrize(
    "together",
    [
        config(),
        config("36h", "1h", "15d", "16d", accept_limit=Duration.parse("36h")),
        # A wider limit than a slice: late events find slices that have ended.
        config("1h", "10m", "10d", accept_limit=Duration.parse("5h")),
        config("1d", "1d", "1s", "1s"),
        config(bucket="10m"),
        config(index=index("59s", "1m")),
    ],
)
def test_these_go_together(together: NamespaceConfig) -> None:
    check_together(together)


@pytest.mark.parametrize(
    ("apart", "field"),
    [
        (config(close="2d", delete="1d"), "retention.delete_after"),
        (config(close="1h", accept_limit=Duration.parse("2h")), "accept_limit"),
        (config("0s", close="1h"), "time_partition.seconds_per_slice"),
        (config("1ms"), "time_partition.seconds_per_slice"),
        (config("1h", "2h"), "time_partition.seconds_per_bucket"),
        (config("3650d", "1s"), "time_partition.seconds_per_bucket"),
        (config(bucket="1s"), "time_partition.seconds_per_bucket"),
        (config(fan_out=9, fan_out_max=8), "fan_out"),
        (config(index=index("1m", "1m")), "index.refresh_interval"),
    ],
)
def test_these_contradict_each_other(apart: NamespaceConfig, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_together(apart)
    assert (refused.value.field, bool(refused.value.hint)) == (field, True)


@pytest.mark.parametrize(
    ("knobs", "field"),
    [
        ({"accept_limit": "4000d"}, "accept_limit"),
        ({"time_partition": {"seconds_per_slice": 3600}}, "time_partition.seconds_per_slice"),
        ({"time_partition": {"event_buckets": 65}}, "time_partition.event_buckets"),
        ({"retention": {"close_after": "0s"}}, "retention.close_after"),
        ({"retention": {"closes": "1d"}}, "retention.closes"),
        ({"page_size": 0}, "page_size"),
        ({"retention": {"close_after": "2d", "delete_after": "1d"}}, "retention.delete_after"),
        ({"compaction": {"engine": "nowhere"}}, "compaction.engine"),
        ({"index": {"engine": "nowhere", "fields": {"station": "keyword"}}}, "index.engine"),
        ({"index": {"engine": "default", "log": "nowhere", "fields": {"station": "keyword"}}}, "index.log"),
    ],
)
async def test_a_namespace_with_bad_knobs_is_refused_by_their_path(
    plain_stage: Stage, knobs: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await make(plain_stage, **knobs)
    assert refused.value.field == f"namespace.config.{field}"
