"""Servers that the tests of this folder share, and a kind of their own that starts in no time."""

from __future__ import annotations

from soundstage.testing.servers import server_fixture

cassandra = server_fixture("cassandra")
