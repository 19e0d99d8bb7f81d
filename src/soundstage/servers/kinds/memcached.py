"""memcached, from Debian's package. Everything is in memory: a node that restarts is empty."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from soundstage.servers.kind import Launch, Node, Settings, Standalone
from soundstage.servers.ports import answers
from soundstage.servers.programs import Program, Tool, Toolbox

PROGRAM = Program("memcached", ("memcached",), "usr/bin/memcached")


class Memcached(Standalone):
    """Nodes that know nothing of each other: the client spreads its keys."""

    name: str = "memcached"
    summary: str = "cache in memory"
    version: str = "Debian's (1.6)"
    ports: tuple[str, ...] = ("memcached",)
    settings: Settings = MappingProxyType({"memory_mb": "64", "threads": "2", "item_kb": "1024", "evicts": "true"})
    stop_within_s: float = 5.0
    # It has nothing to put away, and takes a second over it when asked politely.
    stop_signal: signal.Signals = signal.SIGKILL

    def install(self, toolbox: Toolbox) -> MemcachedKit:
        """See `Kind`."""
        return MemcachedKit(toolbox.program(PROGRAM))

    def ready(self, nodes: Sequence[Node]) -> bool:
        """See `Kind`."""
        return all(answers(node.host, node.port, b"version\r\n", b"VERSION ") for node in nodes)


@dataclass(frozen=True)
class MemcachedKit:
    """The program as it was found or brought."""

    tool: Tool

    def launch(self, node: Node, nodes: Sequence[Node]) -> Launch:
        """See `Kit`. Root may not run it as itself, so it becomes nobody."""
        user = ("-u", "nobody") if os.geteuid() == 0 else ()
        where = ("-l", node.host, "-p", str(node.port), "-U", "0")
        settings = node.settings
        size = ("-m", settings["memory_mb"], "-t", settings["threads"])
        # Larger values are kept in chunks, of which none may be larger than a value.
        most = int(settings["item_kb"])
        values = ("-I", f"{most}k", "-o", f"slab_chunk_max={most * 512}")
        full = () if settings["evicts"] == "true" else ("-M",)
        return Launch((str(self.tool.path), *user, *where, *size, *values, *full), self.tool.variables)
