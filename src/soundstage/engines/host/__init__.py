"""Engines of another process of this machine, for any port: MessagePack over a socket in the data folder.

The process that owns a folder runs a `HostServer` over its engines; others use them by a `HostEngine` each, which
has the calls of the engine's port and passes the same conformance suite. Who may use the socket is who may use the
folder: its rights are the owner's alone. Both sides are of one release.
"""

from __future__ import annotations

from soundstage.engines.host.cache import HostCache
from soundstage.engines.host.engine import HostEngine
from soundstage.engines.host.server import HostServer

__all__ = ["HostCache", "HostEngine", "HostServer"]
