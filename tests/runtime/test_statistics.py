from __future__ import annotations

from soundstage.runtime.statistics import LATENCY_BOUNDS_NS, CallStatistics, Histogram


def test_the_bounds_of_latency_rise_from_10_us_to_5_s() -> None:
    assert LATENCY_BOUNDS_NS[0] == 10_000
    assert LATENCY_BOUNDS_NS[-1] == 5_000_000_000
    assert list(LATENCY_BOUNDS_NS) == sorted(set(LATENCY_BOUNDS_NS))


def test_a_bound_belongs_to_its_own_bucket() -> None:
    histogram = Histogram((10, 20))
    for value in (0, 10, 11, 20, 21, 1_000):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 2]
    assert histogram.count == 6


def test_a_sampled_observation_stands_for_its_weight() -> None:
    histogram = Histogram((10,))
    histogram.observe(4, 16)
    assert (histogram.counts, histogram.total) == ([16, 0], 64)


def test_quantiles_are_upper_bounds_of_buckets() -> None:
    histogram = Histogram((10, 20, 30))
    for value in (5, 15, 15, 25):
        histogram.observe(value)
    assert [histogram.quantile(share) for share in (0.25, 0.5, 0.75, 1.0)] == [10, 20, 20, 30]


def test_beyond_the_last_bound_the_quantile_is_the_last_bound() -> None:
    histogram = Histogram((10,))
    histogram.observe(99)
    assert histogram.quantile(0.5) == 10


def test_without_observations_the_quantile_is_zero() -> None:
    assert Histogram().quantile(0.99) == 0


def test_failures_are_counted_by_code() -> None:
    stats = CallStatistics()
    for code in ("not_found", "internal", "not_found"):
        stats.failed(code)
    assert stats.failures == {"not_found": 2, "internal": 1}
