"""Administers namespaces, the units of configuration and isolation.

    async with Stage.open(data="./data") as stage:
        namespaces = stage.client(Namespaces)
        await namespaces.put(namespace=NamespaceSpec(name="profiles", abstraction="kv"))

`api` has the messages and operations, `service` serves them. What namespaces do lies in
`soundstage.runtime.control`.
"""

from __future__ import annotations

from soundstage.core.namespace import LatencyObjective, NamespaceInfo, NamespaceSpec, Objective, Quotas
from soundstage.runtime.namespaces.api import Namespaces, SyncNamespaces

__all__ = [
    "LatencyObjective",
    "NamespaceInfo",
    "NamespaceSpec",
    "Namespaces",
    "Objective",
    "Quotas",
    "SyncNamespaces",
]
