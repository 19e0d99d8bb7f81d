"""The metrics of several processes as one text."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from soundstage.runtime.workers.merging import merged


def text_of(value: float) -> bytes:
    registry = CollectorRegistry()
    Counter("calls", "calls begun", ["system"], registry=registry).labels("kv").inc(value)
    Gauge("load", 'with a "quote" and a \\ in it', registry=registry).set(value)
    histogram = Histogram("lag_seconds", "how late", registry=registry, buckets=(0.1, 1.0))
    histogram.observe(value)
    return generate_latest(registry)


def samples(text: bytes) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels["process"]): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if not sample.name.endswith("_created") and "le" not in sample.labels
    }


def test_every_sample_tells_its_process() -> None:
    found = samples(merged({"main": text_of(1), "http-1": text_of(2)}))
    assert found[("calls_total", "main")] == 1
    assert found[("calls_total", "http-1")] == 2
    assert found[("load", "http-1")] == 2
    assert found[("lag_seconds_count", "main")] == 1


def test_every_metric_is_explained_once() -> None:
    text = merged({"main": text_of(1), "http-1": text_of(2)}).decode()
    assert text.count("# HELP calls_total ") == 1
    assert text.count("# TYPE lag_seconds histogram") == 1


def test_buckets_stay_with_their_process() -> None:
    text = merged({"a": text_of(0.5), "b": text_of(5)}).decode()
    assert 'lag_seconds_bucket{le="1.0",process="a"} 1.0' in text
    assert 'lag_seconds_bucket{le="1.0",process="b"} 0.0' in text


def test_a_metric_that_one_process_has_is_there_too() -> None:
    registry = CollectorRegistry()
    Gauge("only", "of one", registry=registry).set(3)
    assert samples(merged({"a": text_of(1), "b": generate_latest(registry)}))[("only", "b")] == 3


def test_of_no_process_there_is_nothing() -> None:
    assert merged({}) == b""
