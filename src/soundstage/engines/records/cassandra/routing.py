"""Which node is asked first: any that has the row; of what is decided always the same one."""

from __future__ import annotations

from typing import Any

from soundstage.engines.records.cassandra.driver import LOCAL_SERIAL, SERIAL, policies


def any_replica(nearest: Any) -> Any:
    """The driver's policy by which, of the nodes of the policy `nearest`, those that have the row come first.

    They come in any order: who asks again, or beside a call that is late, likely asks another one. Lightweight
    transactions of a record, and serial reads, go by way of one node as long as it is there: proposers on several,
    whose clocks differ, would turn each other down.
    """
    return _AnyReplica(nearest)


class _AnyReplica(policies.TokenAwarePolicy):
    def make_query_plan(self, working_keyspace: str | None = None, query: Any = None) -> Any:
        """The nodes to be asked, one after the other."""
        usual: Any = super()
        plan: list[Any] = [*usual.make_query_plan(working_keyspace, query)]
        keyspace = getattr(query, "keyspace", None) or working_keyspace
        key = getattr(query, "routing_key", None)
        if key is None or keyspace is None or _is_decided(query):
            return iter(plan)
        replicas = self._cluster_metadata.get_replicas(keyspace, key)
        first = [host for host in plan if host in replicas]
        # As the driver itself has it, which would do so for what is decided, too.
        policies.shuffle(first)
        return iter([*first, *(host for host in plan if host not in replicas)])


def _is_decided(query: Any) -> bool:
    return query.serial_consistency_level is not None or query.consistency_level in (SERIAL, LOCAL_SERIAL)
