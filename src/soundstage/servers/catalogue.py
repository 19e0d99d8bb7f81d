"""The kinds of servers that can be started."""

from __future__ import annotations

from soundstage.core.errors import NotFound
from soundstage.core.names import nearest
from soundstage.servers.kind import Kind
from soundstage.servers.kinds.cassandra import Cassandra
from soundstage.servers.kinds.druid import Druid
from soundstage.servers.kinds.kafka import Kafka
from soundstage.servers.kinds.memcached import Memcached
from soundstage.servers.kinds.opensearch import OpenSearch
from soundstage.servers.kinds.postgresql import PostgreSQL
from soundstage.servers.kinds.redis import Redis
from soundstage.servers.kinds.s3 import S3
from soundstage.servers.kinds.temporal import Temporal

KINDS: tuple[Kind, ...] = (
    Cassandra(),
    Druid(),
    Kafka(),
    Memcached(),
    OpenSearch(),
    PostgreSQL(),
    Redis(),
    S3(),
    Temporal(),
)


def find(name: str) -> Kind:
    """The kind called `name`. Raises `NotFound` with the nearest name, or with all."""
    for kind in KINDS:
        if kind.name == name:
            return kind
    names = [kind.name for kind in KINDS]
    close = nearest(name, names)
    raise NotFound(
        f"there is no kind of server called {name!r}",
        hint=f"did you mean {close!r}?" if close else f"there are {', '.join(names)}",
    )
