"""Redis, from Debian's package, in memory alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from soundstage.servers.kind import Launch, Node, Settings, Standalone
from soundstage.servers.ports import answers
from soundstage.servers.programs import Program, Tool, Toolbox

PROGRAM = Program("redis-server", ("redis-server",), "usr/bin/redis-server")


class Redis(Standalone):
    """Nodes that know nothing of each other; `appendonly` "yes" keeps what is written."""

    name: str = "redis"
    summary: str = "data structures in memory"
    version: str = "Debian's (7.0)"
    ports: tuple[str, ...] = ("redis",)
    settings: Settings = MappingProxyType({"appendonly": "no"})
    stop_within_s: float = 10.0

    def install(self, toolbox: Toolbox) -> RedisKit:
        """See `Kind`."""
        return RedisKit(toolbox.program(PROGRAM))

    def ready(self, nodes: Sequence[Node]) -> bool:
        """See `Kind`."""
        return all(answers(node.host, node.port, b"PING\r\n", b"+PONG") for node in nodes)


@dataclass(frozen=True)
class RedisKit:
    """The program as it was found or brought."""

    tool: Tool

    def launch(self, node: Node, nodes: Sequence[Node]) -> Launch:
        """See `Kit`."""
        where = ("--bind", node.host, "--port", str(node.port), "--dir", str(node.folder))
        kept = ("--save", "", "--appendonly", node.settings["appendonly"])
        return Launch((str(self.tool.path), *where, *kept), self.tool.variables)
