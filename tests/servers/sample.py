"""A kind that needs nothing but a shell: its nodes say that they are up by a file, and can be told to fail."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from soundstage.servers.kind import Launch, Node, Settings, Standalone
from soundstage.servers.programs import Toolbox

SCRIPT = 'echo "node $1 begins"; [ "$2" = no ] && exit 7; : >up; while :; do sleep 60; done'


class Sample(Standalone):
    """Waits for signals; with `works` "no" it ends at once, and with "never" it is never ready."""

    name: str = "sample"
    summary: str = "waits"
    version: str = "1"
    ports: tuple[str, ...] = ("first", "second")
    settings: Settings = MappingProxyType({"works": "yes"})
    stop_within_s: float = 5.0
    stop_signal: signal.Signals = signal.SIGTERM

    def install(self, toolbox: Toolbox) -> SampleKit:
        toolbox.note("installing the sample")
        return SampleKit()

    def ready(self, nodes: Sequence[Node]) -> bool:
        return all((node.folder / "up").exists() and node.settings["works"] == "yes" for node in nodes)

    def url(self, nodes: Sequence[Node]) -> str:
        return "sample://" + ",".join(node.address for node in nodes)


class Ring(Sample):
    """The same with an address for each node, as kinds have whose nodes find each other by one port."""

    own_ports: tuple[str, ...] = ("second",)

    def host(self, number: int) -> str:
        return f"127.0.0.{number + 1}"


@dataclass(frozen=True)
class SampleKit:
    def launch(self, node: Node, nodes: Sequence[Node]) -> Launch:
        return Launch(("/bin/sh", "-c", SCRIPT, "sh", str(node.number), node.settings["works"]))
