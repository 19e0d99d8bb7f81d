"""The one place where the driver is imported; its objects are `Any` from here on, for it has no types."""

from __future__ import annotations

from typing import Any

from soundstage.core.extras import library

EXTRA = "cassandra"

root: Any = library("cassandra", EXTRA)
auth: Any = library("cassandra.auth", EXTRA)
cluster: Any = library("cassandra.cluster", EXTRA)
connection: Any = library("cassandra.connection", EXTRA)
metadata: Any = library("cassandra.metadata", EXTRA)
policies: Any = library("cassandra.policies", EXTRA)
pool: Any = library("cassandra.pool", EXTRA)
protocol: Any = library("cassandra.protocol", EXTRA)
query: Any = library("cassandra.query", EXTRA)

MODULES: tuple[Any, ...] = (root, auth, cluster, connection, metadata, policies, pool, protocol, query)
"""Where the driver's exceptions are declared."""

LEVELS: dict[str, int] = {
    "one": root.ConsistencyLevel.ONE,
    "local_one": root.ConsistencyLevel.LOCAL_ONE,
    "quorum": root.ConsistencyLevel.QUORUM,
    "local_quorum": root.ConsistencyLevel.LOCAL_QUORUM,
    "all": root.ConsistencyLevel.ALL,
}
EACH_QUORUM: int = root.ConsistencyLevel.EACH_QUORUM
SERIAL: int = root.ConsistencyLevel.SERIAL
LOCAL_SERIAL: int = root.ConsistencyLevel.LOCAL_SERIAL


def unlogged_batch(level: int, serial_level: int | None = None) -> Any:
    """An empty batch of statements of one partition, which is atomic without a log."""
    return query.BatchStatement(
        query.BatchType.UNLOGGED, consistency_level=level, serial_consistency_level=serial_level
    )


def token_of(routing_key: bytes) -> int:
    """Where a partition is on the ring."""
    return metadata.Murmur3Token.hash_fn(routing_key)
