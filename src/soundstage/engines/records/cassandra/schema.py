"""The tables in Cassandra, and the statements that make them.

    rows, paxos     what namespaces hold: `rows` is written at the versions' own times, `paxos` by lightweight writes
                    only, and the two never mix. `rows_7`, `paxos_7`: those of a namespace with a table of its own
    catalogue       which tables of the port there are, by space; changed by lightweight writes
    numbers         the last number given to a table of the port; no number is given twice
    fences          who may load into a table of the port, by its number; changed by lightweight writes
    dropped         numbers whose rows in a shared table are still to be erased
    due             what may be forgotten when: a partition for each table, hour and one of 16 hashes
    hours           which of those partitions there are

A row of `rows` and `paxos` is of one kind: an item, a deleted range, an entry of the ledger, or the one row that every
partition of `paxos` has. What all rows of a partition share is static.
"""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from soundstage.core.errors import Unavailable
from soundstage.engines.records.cassandra.options import Address
from soundstage.engines.records.port import IN_FLIGHT_MAX_US

RANGE, SENTINEL, ITEM, LEDGER = 0, 1, 2, 3
"""Kinds of rows, in their order."""

ROWS, PAXOS, DUE = "rows", "paxos", "due"

SHARDS = 16
HOUR_US = 3_600_000_000

GRACE_MIN_S = 10 * 86_400
"""Cassandra keeps its tombstones for ten days at least: hints and repairs must have brought them to all replicas."""

GRACE_SPARE_S = 3_600


def grace_s(max_lag_us: int) -> int:
    """How long Cassandra keeps the tombstones of a table whose writes may be so old."""
    return max(GRACE_MIN_S, (max_lag_us + IN_FLIGHT_MAX_US) // 1_000_000 + GRACE_SPARE_S)


def name_of(number: int, *, conditional: bool, dedicated: bool) -> str:
    """The table in Cassandra that holds the table of the port with this number."""
    shared = PAXOS if conditional else ROWS
    return f"{shared}_{number}" if dedicated else shared


def make_rows(keyspace: str, name: str, max_lag_us: int = 0) -> str:
    """A table for items. Reads mend replicas before they answer, so that nobody sees less than one before saw."""
    return (
        f"CREATE TABLE IF NOT EXISTS {keyspace}.{name} (number int, id blob, kind tinyint, key blob, cell blob, "
        "newest blob STATIC, tombstone blob STATIC, ranges boolean STATIC, rev bigint STATIC, "
        "PRIMARY KEY ((number, id), kind, key)) "
        f"WITH ID = {_identity(keyspace, name)} AND CLUSTERING ORDER BY (kind ASC, key ASC) "
        f"AND read_repair = 'BLOCKING' AND gc_grace_seconds = {grace_s(max_lag_us)}"
    )


def drop(keyspace: str, name: str) -> str:
    return f"DROP TABLE IF EXISTS {keyspace}.{name}"


def lengthen_grace(keyspace: str, name: str, max_lag_us: int) -> str:
    return f"ALTER TABLE {keyspace}.{name} WITH gc_grace_seconds = {grace_s(max_lag_us)}"


def shared_tables(keyspace: str) -> list[str]:
    """What makes every table that is not one namespace's own. Racing engines make the same ones."""

    def make(name: str, columns: str) -> str:
        return f"CREATE TABLE IF NOT EXISTS {keyspace}.{name} ({columns}) WITH ID = {_identity(keyspace, name)}"

    return [
        make_rows(keyspace, ROWS),
        make_rows(keyspace, PAXOS),
        make("catalogue", "space text, name text, number int, spec blob, floor bigint, PRIMARY KEY (space, name)"),
        make("numbers", "name text PRIMARY KEY, last int"),
        make("fences", "number int PRIMARY KEY, fence bigint"),
        make("dropped", "space text, number int, place text, PRIMARY KEY (space, number)"),
        make(
            DUE,
            "number int, hour bigint, shard tinyint, due_us bigint, id blob, kind tinyint, key blob, time_us bigint, "
            "PRIMARY KEY ((number, hour, shard), due_us, id, kind, key, time_us)",
        ),
        make("hours", "space text, hour bigint, number int, PRIMARY KEY (space, hour, number)"),
    ]


def make_keyspace(session: Any, address: Address, metadata: Any) -> None:
    """The keyspace is there: where it was not, with as many copies as asked for and as there are nodes."""
    if address.keyspace in metadata.keyspaces:
        return
    by_centre: dict[str, int] = {}
    for host in metadata.all_hosts():
        by_centre[host.datacenter] = by_centre.get(host.datacenter, 0) + 1
    copies = ", ".join(
        f"'{centre}': {min(count, address.options.replication)}" for centre, count in sorted(by_centre.items())
    )
    session.execute(
        f"CREATE KEYSPACE IF NOT EXISTS {address.keyspace} "
        f"WITH replication = {{'class': 'NetworkTopologyStrategy', {copies}}}",
        timeout=address.options.start_s,
    )


def disagreement() -> Unavailable:
    return Unavailable(
        "the nodes of Cassandra do not agree on the tables there are",
        hint="see that all nodes run and reach one another, then repeat the call",
        outcome="unknown",
    )


def _identity(keyspace: str, name: str) -> str:
    """One table has one identity, whoever makes it: two that make it at once then make the same."""
    return str(uuid5(NAMESPACE_URL, f"soundstage:{keyspace}:{name}"))
