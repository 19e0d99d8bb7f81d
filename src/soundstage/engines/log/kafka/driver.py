"""The one place where the driver is imported; its objects are `Any` from here on, for few of them have types."""

from __future__ import annotations

from typing import Any

from soundstage.core.extras import library

EXTRA = "kafka"

root: Any = library("confluent_kafka", EXTRA)
admin: Any = library("confluent_kafka.admin", EXTRA)

KafkaError: Any = root.KafkaError
KafkaException: Any = root.KafkaException
TopicPartition: Any = root.TopicPartition

END_OF_PARTITION: int = KafkaError._PARTITION_EOF
EARLIEST: Any = admin.OffsetSpec.earliest()
LATEST: Any = admin.OffsetSpec.latest()
COMMITTED: Any = root.IsolationLevel.READ_COMMITTED


def at_time(time_ms: int) -> Any:
    """Asks for the first offset that is not older."""
    return admin.OffsetSpec.for_timestamp(time_ms)


def code_of(name: str) -> int:
    """The number of an error of Kafka or of the driver; those that begin with `_` are the driver's."""
    return getattr(KafkaError, name)


def names_of_codes() -> dict[int, str]:
    """Every error that there is, by its number."""
    found = [name for name in dir(KafkaError) if name.lstrip("_").isupper() and not name.startswith("__")]
    return {code: name for name in found if isinstance(code := getattr(KafkaError, name), int)}
