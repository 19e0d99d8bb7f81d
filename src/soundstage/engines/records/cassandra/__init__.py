"""The records port on Cassandra 5.0: `cassandra://host[:port][,host…]/keyspace`.

`open_cassandra(address, environment)` gives the engine; `parse_address` takes a URL apart. `writing` is for tables
at the times of their versions, `paxos` for those that take conditions; `schema` says what lies in Cassandra.
"""

from __future__ import annotations

from soundstage.core.environment import Environment
from soundstage.engines.records.cassandra.engine import CassandraRecords
from soundstage.engines.records.cassandra.link import Link
from soundstage.engines.records.cassandra.options import Address, CassandraOptions, parse_address

__all__ = ["Address", "CassandraOptions", "CassandraRecords", "Link", "open_cassandra", "parse_address"]


def open_cassandra(address: Address, environment: Environment) -> CassandraRecords:
    """An engine on the cluster at `address`, with connections of its own, that `start` makes."""
    return CassandraRecords(Link(address), environment)
