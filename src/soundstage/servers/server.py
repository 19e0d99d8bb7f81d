"""One node of a cluster: started, paused, killed, restarted, stopped, and what it has written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from soundstage.core.errors import PreconditionFailed
from soundstage.servers.child import Child
from soundstage.servers.kind import Kind, Kit, Node

LOG_NAME = "server.log"
LOG_BYTES_MAX = 1 << 20


class Server:
    """A node and its process, if it has one. Calls are safe to repeat; none waits for the node to be ready.

    Not for two threads at once.
    """

    def __init__(self, node: Node, nodes: Sequence[Node], kit: Kit, kind: Kind) -> None:
        self.node = node
        self._kind = kind
        self._nodes = nodes
        self._kit = kit
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """The number of its process; None when it was not started or has been reaped."""
        return None if self._child is None else self._child.pid

    @property
    def running(self) -> bool:
        """Whether its process is there, paused or not."""
        return self._child is not None and self._child.running

    def start(self) -> None:
        """Its process runs; it may not be ready yet. What it wrote before is kept."""
        if self.running:
            return
        self.kill()
        launch = self._kit.launch(self.node, self._nodes)
        self._child = Child(launch.command, folder=self.node.folder, log=self.log, variables=launch.variables)

    def pause(self) -> None:
        """It does nothing, and its connections stay open: what a machine that hangs looks like."""
        self._running().pause()

    def resume(self) -> None:
        """It goes on."""
        self._running().resume()

    def kill(self) -> None:
        """Its process is gone, without a chance to write anything."""
        if self._child is not None:
            self._child.reap()
            self._child = None

    def stop(self) -> None:
        """It was asked to end and has; killed where that takes longer than its kind allows."""
        self.ask_to_end()
        if self._child is not None:
            self._child.ends(self._kind.stop_within_s)
        self.kill()

    def ask_to_end(self) -> None:
        """It was asked to end, which takes it a while."""
        if self._child is not None:
            self._child.resume()
            self._child.signal(self._kind.stop_signal)

    @property
    def log(self) -> Path:
        """The file with what it printed."""
        return self.node.folder / LOG_NAME

    def logs(self, lines: int = 20) -> str:
        """The last `lines` of what it printed; the kind's own log files are below its folder."""
        return tail(self.log, lines)

    def _running(self) -> Child:
        if self._child is None:
            raise PreconditionFailed(f"node {self.node.number} is not running", hint="start it first")
        return self._child


def tail(path: Path, lines: int) -> str:
    """The last `lines` of the file, of its last MiB; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES_MAX))
            text = file.read(LOG_BYTES_MAX).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:] if lines > 0 else [])
