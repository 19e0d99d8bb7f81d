"""A Cassandra whose nodes' own clocks disagree: each is off by its number of milliseconds, whatever it uses one for.

Nor do its nodes keep hints: what one has missed it learns by reads and repairs alone, so that whoever asks too few
of them is found out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundstage.servers.kind import Launch, Node
from soundstage.servers.kinds.cassandra import Cassandra, CassandraKit
from soundstage.servers.programs import Toolbox

OFF_MS = (500, -500, 0)
"""Of the nodes, by their numbers."""

SOURCE = Path(__file__).with_name("SkewedClock.java")


class Skewed(Cassandra):
    """`folder` is for the class of the clock, which Cassandra's own compiler makes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def install(self, toolbox: Toolbox) -> SkewedKit:
        kit = super().install(toolbox)
        compiler = ("-jar", str(next(kit.lib.glob("ecj-*.jar"))), "-17", "-nowarn", "-proc:none")
        places = ("-cp", str(next(kit.lib.glob("cassandra-all-*.jar"))), "-d", str(self._folder))
        command = (str(kit.java.path), *compiler, *places, str(SOURCE))
        toolbox.work(self._folder).run("compiling a clock", command, kit.java.variables)
        return SkewedKit(kit.java, kit.lib, self._folder)


@dataclass(frozen=True)
class SkewedKit(CassandraKit):
    """Java, the folder of jars, and that of the clock."""

    clocks: Path

    def launch(self, node: Node, nodes: Sequence[Node]) -> Launch:
        usual = super().launch(node, nodes)
        with (node.folder / "cassandra.yaml").open("a") as settings:
            settings.write("hinted_handoff_enabled: false\n")
        at = usual.command.index("-cp")
        clock = ("-Dcassandra.clock=SkewedClock", f"-Dskew_ms={OFF_MS[node.number]}")
        path = f"{self.clocks}:{usual.command[at + 1]}"
        return Launch((*usual.command[:at], *clock, "-cp", path, *usual.command[at + 2 :]), usual.variables)
