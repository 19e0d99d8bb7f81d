"""What topics are set to in Kafka, and what that says of them here."""

from __future__ import annotations

import pytest

from soundstage.engines.log.kafka.options import KafkaOptions
from soundstage.engines.log.kafka.settings import changeable, configuration, spec_of
from soundstage.engines.log.port import TopicSpec

SPECS = (
    TopicSpec(name="a", partitions=3),
    TopicSpec(name="a", retention_us=5_000, retention_bytes=6, compact_lag_us=7_000, delete_retention_us=8_000),
    TopicSpec(name="a", compact=True, retention_us=9_000),
    TopicSpec(name="a", compact=True),
)


@pytest.mark.parametrize("spec", SPECS)
def test_a_topic_comes_back_as_it_was(spec: TopicSpec) -> None:
    assert spec_of(spec.name, spec.partitions, configuration(spec, KafkaOptions())) == spec


def test_part_of_a_millisecond_is_a_whole_one() -> None:
    settings = configuration(TopicSpec(name="a", retention_us=1_001, compact_lag_us=1), KafkaOptions())
    assert (settings["retention.ms"], settings["min.compaction.lag.ms"]) == ("2", "1")


def test_what_is_compacted_and_forgotten_is_both() -> None:
    assert [configuration(spec, KafkaOptions())["cleanup.policy"] for spec in SPECS] == [
        "delete",
        "delete",
        "compact,delete",
        "compact",
    ]


def test_what_changes_is_part_of_all() -> None:
    for spec in SPECS:
        assert changeable(spec).items() <= configuration(spec, KafkaOptions()).items()


def test_files_are_as_full_as_the_options_say() -> None:
    assert configuration(SPECS[0], KafkaOptions(segment_s=0.5))["segment.ms"] == "500"
