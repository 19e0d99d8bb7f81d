"""What every system that tunes its clients tells them of a namespace, and whether that is worth asking for."""

from __future__ import annotations

from hashlib import blake2b
from typing import TypeVar

import msgspec

from soundstage.core.attunement import Signals
from soundstage.core.namespace import LatencyObjective
from soundstage.core.operation import operations_of
from soundstage.core.scalars import encode_msgpack_scalar
from soundstage.core.time import NS_PER_S, Duration
from soundstage.runtime.service import NamespaceView

S = TypeVar("S", bound=Signals)

HOLD = Duration(60 * NS_PER_S)
"""Clients that hear of no change ask again after about so long."""


def objectives(view: NamespaceView, calls: type) -> dict[str, LatencyObjective]:
    """The latency objective of each of a system's `calls` that has one: its own, else that of all reads or writes."""
    found: dict[str, LatencyObjective] = {}
    for name, operation in operations_of(calls).items():
        kind = "read" if operation.access == "read" else "write"
        objective = view.slos.get(name) or view.slos.get(kind)
        if objective is not None and operation.kind == "call":
            found[name] = objective.latency
    return found


def versioned(told: S) -> S:
    """`told` under a version that is a digest of it: the same in every process."""
    digest = blake2b(msgspec.msgpack.encode(told, enc_hook=encode_msgpack_scalar), digest_size=8)
    return msgspec.structs.replace(told, version=digest.hexdigest())


def has_hedges(signals: Signals) -> bool:
    """Whether a client that knows of them sends any call twice."""
    after = signals.hedging.after
    return after == "p95" or (
        after == "target" and any(objective.target is not None for objective in signals.slos.values())
    )
