"""Which replicas answer for a table: Cassandra's levels, by what the table is to promise and in which data centres.

Two majorities of the same replicas share one: what one took, the other finds. So reads and writes of a table ask
majorities of one circle, which is all replicas, or those of one data centre.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple, TypeAlias

from msgspec import UnsetType

from soundstage.engines.records.cassandra.driver import EACH_QUORUM, LEVELS, LOCAL_SERIAL, SERIAL
from soundstage.engines.records.cassandra.options import Consistency
from soundstage.engines.records.port import TableSpec

Scope: TypeAlias = Literal["local", "global"] | UnsetType


class Levels(NamedTuple):
    """What requests for one table go out at.

    `rows`: its reads and writes. `lists`: what somebody must find again, whatever the table promises. `serial` and
    `commit`: lightweight writes, and reads that decide what is under way. `whole`: reads that must find what a
    majority of any circle took, for who copies or clears away.
    """

    rows: int
    lists: int
    serial: int
    commit: int
    whole: int


def levels_of(consistency: Consistency, spec: TableSpec) -> Levels:
    """Those of a table on an engine of that `consistency`, which counts where the table names no scope."""
    return _levels(consistency, spec.scope, is_eventual(spec))


@cache
def _levels(consistency: Consistency, scope: Scope, is_eventual: bool) -> Levels:
    if scope == "local":
        one, most = LEVELS["local_one"], LEVELS["local_quorum"]
        found = Levels(most, most, LOCAL_SERIAL, most, EACH_QUORUM)
    elif scope == "global":
        one, most = LEVELS["one"], LEVELS["quorum"]
        found = Levels(most, most, SERIAL, most, most)
    else:
        is_local = consistency.startswith("local")
        one, most = LEVELS["local_one" if is_local else "one"], LEVELS[consistency]
        commit = LEVELS["local_quorum" if is_local else "quorum"]
        found = Levels(most, most, LOCAL_SERIAL if is_local else SERIAL, commit, most)
    return found._replace(rows=one) if is_eventual else found


def is_loose(consistency: Consistency) -> bool:
    """Whether an engine of that consistency, where it counts, may read what it wrote by other replicas than it asks."""
    return consistency in ("one", "local_one")


def is_eventual(spec: TableSpec) -> bool:
    """Whether one replica answers. Conditions are about what was written last, whatever else was asked for."""
    return spec.eventual is True and not spec.conditional
