"""The log port on Kafka 4: `kafka://host[:port][,host[:port]…]`.

`open_kafka_log(address, environment)` gives the engine; `parse_address` takes a URL apart. Appends go through
`producing`, pages come from `reading`, groups are Kafka's own and `groups` speaks to them.
"""

from __future__ import annotations

from soundstage.core.environment import Environment
from soundstage.engines.log.kafka.engine import KafkaLog
from soundstage.engines.log.kafka.link import Link
from soundstage.engines.log.kafka.options import Address, KafkaOptions, parse_address

__all__ = ["Address", "KafkaLog", "KafkaOptions", "Link", "open_kafka_log", "parse_address"]


def open_kafka_log(address: Address, environment: Environment) -> KafkaLog:
    """An engine on the cluster at `address`, with clients of its own, that `start` makes."""
    return KafkaLog(Link(address), environment)
