"""What a topic is set to in Kafka, and what that says of it here: Kafka's times are milliseconds."""

from __future__ import annotations

from collections.abc import Mapping

from soundstage.engines.log.kafka.options import KafkaOptions
from soundstage.engines.log.port import TopicSpec

MESSAGE_MAX_BYTES = (1 << 20) + (64 << 10)
"""An entry of the greatest size, with what Kafka adds to it."""

BATCH_MAX_BYTES = 2 << 20
_FOREVER = (1 << 63) - 1


def configuration(spec: TopicSpec, options: KafkaOptions) -> dict[str, str]:
    """The settings of a topic. What takes part of a millisecond takes all of it."""
    return {
        **changeable(spec),
        "cleanup.policy": _policy(spec),
        "segment.ms": str(max(1, round(options.segment_s * 1_000))),
        "min.cleanable.dirty.ratio": "0.1",
        "max.message.bytes": str(BATCH_MAX_BYTES),
        # Entries are refused by the producer's clock, which the engine is given, and by no other.
        "message.timestamp.type": "CreateTime",
        "message.timestamp.after.max.ms": str(_FOREVER),
        "message.timestamp.before.max.ms": str(_FOREVER),
    }


def changeable(spec: TopicSpec) -> dict[str, str]:
    """Those that may be another later."""
    return {
        "cleanup.policy": _policy(spec),
        "retention.ms": str(-1 if spec.retention_us is None else _whole_ms(spec.retention_us)),
        "retention.bytes": str(-1 if spec.retention_bytes is None else spec.retention_bytes),
        "min.compaction.lag.ms": str(_whole_ms(spec.compact_lag_us)),
        "delete.retention.ms": str(_whole_ms(spec.delete_retention_us)),
    }


def spec_of(name: str, partitions: int, settings: Mapping[str, str]) -> TopicSpec:
    """The topic that has these settings."""
    retention_ms, retention_bytes = int(settings["retention.ms"]), int(settings["retention.bytes"])
    return TopicSpec(
        name=name,
        partitions=partitions,
        retention_us=None if retention_ms < 0 else retention_ms * 1_000,
        retention_bytes=None if retention_bytes < 0 else retention_bytes,
        compact="compact" in settings["cleanup.policy"],
        compact_lag_us=int(settings["min.compaction.lag.ms"]) * 1_000,
        delete_retention_us=int(settings["delete.retention.ms"]) * 1_000,
    )


def _policy(spec: TopicSpec) -> str:
    if not spec.compact:
        return "delete"
    return "compact" if spec.retention_us is None else "compact,delete"


def _whole_ms(time_us: int) -> int:
    return -(-time_us // 1_000)
