"""Typed clients of a stage that runs somewhere else.

`connect` gives a connection for `async` code, `connect_sync` one for code without an event loop. Both
give the same clients as a stage in process: `connection.client(KeyValue, "profiles")`.
"""

from __future__ import annotations

from soundstage.client.connection import Connection, connect
from soundstage.client.network import Unreachable
from soundstage.client.settings import Settings
from soundstage.client.synchronous import SyncConnection, connect_sync

__all__ = ["Connection", "Settings", "SyncConnection", "Unreachable", "connect", "connect_sync"]
